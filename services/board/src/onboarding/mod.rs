//! Onboarding: the gateway's main agent interviews a person about a board, and drafts its goal.

mod follow;
mod rules;

use chassis::{Caller, Change, Error, Result, Tx, error::Kind, identity::uuid_of, moment, store::violates, timestamp};
use prost::Message;
use proto::board::v1::{
    AnswerOnboardingRequest, Board, BoardOnboarding, ConfirmOnboardingRequest, GetOnboardingRequest, OnboardingDraft,
    OnboardingMessage, StartOnboardingRequest, UpdateOnboardingRequest, onboarding_service_server::OnboardingService,
};
use sqlx::PgConnection;
use time::OffsetDateTime;
use tonic::{Request, Response, Status};
use uuid::Uuid;

pub use follow::Follow;

use crate::{Service, boards};

const ACTIVE: &str = "active";
const COMPLETED: &str = "completed";
const CONFIRMED: &str = "confirmed";

/// Where a goal that came out of an interview is said to come from.
const SOURCE: &str = "lead_agent_onboarding";

/// An interview without what was said.
#[derive(Clone)]
struct Interview {
    id: Uuid,
    board_id: Uuid,
    session_key: String,
    status: String,
    draft: Option<Vec<u8>>,
    delivery: String,
    delivery_error: Option<String>,
    /// The event that asked for the last message to the agent.
    asked_id: Option<Uuid>,
    created_at: OffsetDateTime,
    updated_at: OffsetDateTime,
}

impl Interview {
    /// The agent is to be told something: answers the id of the event that asks for it. From now on its outcome alone counts.
    fn ask(&mut self) -> Uuid {
        let id = Uuid::now_v7();
        self.asked_id = Some(id);
        "queued".clone_into(&mut self.delivery);
        self.delivery_error = None;
        id
    }

    fn message(&self, messages: &[Said]) -> Result<BoardOnboarding> {
        Ok(BoardOnboarding {
            id: self.id.to_string(),
            board_id: self.board_id.to_string(),
            session_key: self.session_key.clone(),
            status: self.status.clone(),
            messages: messages
                .iter()
                .map(|said| OnboardingMessage {
                    role: said.role.clone(),
                    content: said.content.clone(),
                    timestamp: Some(timestamp(said.created_at)),
                })
                .collect(),
            draft_goal: self.draft.as_deref().map(OnboardingDraft::decode).transpose()?,
            created_at: Some(timestamp(self.created_at)),
            updated_at: Some(timestamp(self.updated_at)),
            delivery: self.delivery.clone(),
            delivery_error: self.delivery_error.clone(),
        })
    }
}

/// One thing that was said.
struct Said {
    role: String,
    content: String,
    created_at: OffsetDateTime,
}

macro_rules! select_sessions {
    ($tail:tt $(, $argument:expr)*) => {
        sqlx::query_as!(
            Interview,
            "SELECT id, board_id, session_key, status, draft, delivery, delivery_error, asked_id, created_at, updated_at \
             FROM board.onboarding_sessions " + $tail
            $(, $argument)*
        )
    };
}

fn not_found() -> Error {
    Error::not_found("There is no onboarding of this board yet. Start one first.")
}

/// The latest session of a board, locked.
async fn latest(tx: &mut Tx, board: Uuid) -> Result<Interview> {
    select_sessions!(
        "WHERE board_id = $1 ORDER BY updated_at DESC, id DESC LIMIT 1 FOR UPDATE",
        board
    )
    .fetch_optional(&mut **tx)
    .await?
    .ok_or_else(not_found)
}

async fn messages(connection: &mut PgConnection, session: Uuid) -> Result<Vec<Said>> {
    Ok(sqlx::query_as!(
        Said,
        "SELECT role, content, created_at FROM board.onboarding_messages WHERE session_id = $1 ORDER BY created_at, id",
        session
    )
    .fetch_all(connection)
    .await?)
}

/// Adds what was said.
async fn say(tx: &mut Tx, session: &Interview, role: &str, content: &str) -> Result<()> {
    sqlx::query!(
        "INSERT INTO board.onboarding_messages (id, session_id, role, content, created_at) VALUES ($1, $2, $3, $4, $5)",
        Uuid::now_v7(),
        session.id,
        role,
        content,
        session.updated_at
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

async fn save(tx: &mut Tx, session: &Interview) -> Result<()> {
    sqlx::query!(
        "UPDATE board.onboarding_sessions SET status = $2, draft = $3, delivery = $4, delivery_error = $5, asked_id = $6, updated_at = $7 \
         WHERE id = $1",
        session.id,
        session.status,
        session.draft,
        session.delivery,
        session.delivery_error,
        session.asked_id,
        session.updated_at
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The next moment of a session: its messages are ordered by it.
fn later(session: &Interview) -> OffsetDateTime {
    OffsetDateTime::now_utc().max(session.updated_at + time::Duration::microseconds(1))
}

/// A text for the agent: who follows `onboarding.asked` passes it on, and tells the outcome under the event's id.
fn asked(id: Uuid, organization: Uuid, board: Uuid, gateway: Uuid, sentence: &str, text: &str) -> Change {
    Change::new("onboarding.asked", organization)
        .id(id)
        .board(board)
        .gateway(gateway)
        .message(sentence)
        .after(&OnboardingMessage {
            role: "user".into(),
            content: text.to_owned(),
            timestamp: None,
        })
}

#[tonic::async_trait]
impl OnboardingService for Service {
    async fn get_onboarding(
        &self,
        request: Request<GetOnboardingRequest>,
    ) -> Result<Response<BoardOnboarding>, Status> {
        let caller = Caller::of(&request)?;
        let board = boards::facts(self.store.pool(), uuid_of(&request.get_ref().board_id)?).await?;
        caller.may_read_board(board.organization, board.id)?;
        let mut connection = self.store.pool().acquire().await.map_err(Error::from)?;
        let session = select_sessions!(
            "WHERE board_id = $1 ORDER BY updated_at DESC, id DESC LIMIT 1",
            board.id
        )
        .fetch_optional(&mut *connection)
        .await
        .map_err(Error::from)?
        .ok_or_else(not_found)?;
        let said = messages(&mut connection, session.id).await?;
        Ok(Response::new(session.message(&said)?))
    }

    async fn start_onboarding(
        &self,
        request: Request<StartOnboardingRequest>,
    ) -> Result<Response<BoardOnboarding>, Status> {
        let caller = Caller::of(&request)?;
        let (board, restart) = (
            uuid_of(&request.get_ref().board_id)?,
            request.get_ref().restart == Some(true),
        );
        Ok(Response::new(self.begin_onboarding(&caller, board, restart).await?))
    }

    async fn answer_onboarding(
        &self,
        request: Request<AnswerOnboardingRequest>,
    ) -> Result<Response<BoardOnboarding>, Status> {
        let caller = Caller::of(&request)?;
        Ok(Response::new(self.answer_question(&caller, request.get_ref()).await?))
    }

    async fn update_onboarding(
        &self,
        request: Request<UpdateOnboardingRequest>,
    ) -> Result<Response<BoardOnboarding>, Status> {
        let caller = Caller::of(&request)?;
        Ok(Response::new(self.agent_says(&caller, request.into_inner()).await?))
    }

    async fn confirm_onboarding(&self, request: Request<ConfirmOnboardingRequest>) -> Result<Response<Board>, Status> {
        let caller = Caller::of(&request)?;
        Ok(Response::new(self.confirm_goal(&caller, request.into_inner()).await?))
    }
}

impl Service {
    async fn begin_onboarding(&self, caller: &Caller, id: Uuid, restart: bool) -> Result<BoardOnboarding> {
        let board = boards::find(self.store.pool(), id).await?;
        let organization = board.organization();
        caller.may_write_board(organization, id)?;
        let gateway = board.gateway().ok_or_else(|| {
            Error::unprocessable("The board has no gateway: set gateway_id first, its main agent does the interview.")
        })?;
        let main = self.outside.gateway_main(caller, organization, gateway).await?;
        let session_key = main.openclaw_session_id.unwrap_or_default();
        let mut tx = self.store.begin().await?;
        let active = select_sessions!("WHERE board_id = $1 AND status = 'active' FOR UPDATE", id)
            .fetch_optional(&mut *tx)
            .await?;
        let active = match active {
            Some(mut given_up) if restart => {
                COMPLETED.clone_into(&mut given_up.status);
                save(&mut tx, &given_up).await?;
                None
            }
            active => active,
        };
        let session = if let Some(mut session) = active {
            let said = messages(&mut tx, session.id).await?;
            // The agent's turn: it may not have heard it.
            if let Some(last) = said.last().filter(|last| last.role == "user") {
                session.updated_at = later(&session);
                let asking = session.ask();
                save(&mut tx, &session).await?;
                tx.record(
                    caller,
                    asked(
                        asking,
                        organization,
                        id,
                        gateway,
                        "Onboarding message queued again.",
                        &last.content,
                    ),
                )
                .await?;
            }
            session
        } else {
            let (now, asking) = (OffsetDateTime::now_utc(), Uuid::now_v7());
            let session = Interview {
                id: Uuid::now_v7(),
                board_id: id,
                session_key,
                status: ACTIVE.to_owned(),
                draft: None,
                delivery: "queued".to_owned(),
                delivery_error: None,
                asked_id: Some(asking),
                created_at: now,
                updated_at: now,
            };
            sqlx::query!(
                "INSERT INTO board.onboarding_sessions (id, board_id, session_key, status, delivery, asked_id, created_at, updated_at) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $7)",
                session.id,
                session.board_id,
                session.session_key,
                session.status,
                session.delivery,
                session.asked_id,
                session.created_at
            )
            .execute(&mut *tx)
            .await
            .map_err(|error| match () {
                () if violates(&error, "onboarding_sessions_board_id_fkey") => boards::not_found(),
                () if violates(&error, "onboarding_sessions_active_key") => {
                    Error::conflict("An onboarding of this board was started at the same time. Read it.")
                }
                () => error.into(),
            })?;
            let url = format!("{}/api/v1/agent/boards/{id}/onboarding", self.base_url);
            let text = rules::prompt(board.name(), board.description(), &url);
            say(&mut tx, &session, "user", &text).await?;
            let change = asked(asking, organization, id, gateway, "Onboarding started.", &text);
            tx.record(caller, change).await?;
            session
        };
        let said = messages(&mut tx, session.id).await?;
        tx.commit().await?;
        session.message(&said)
    }

    async fn answer_question(&self, caller: &Caller, request: &AnswerOnboardingRequest) -> Result<BoardOnboarding> {
        let id = uuid_of(&request.board_id)?;
        let board = boards::find(self.store.pool(), id).await?;
        caller.may_write_board(board.organization(), id)?;
        let text = rules::answer(&request.answer, request.other_text.as_ref());
        if text.is_empty() {
            return Err(Error::invalid("answer", "answer must not be empty."));
        }
        let gateway = board.gateway().ok_or_else(|| {
            Error::unprocessable("The board has no gateway: set gateway_id first, its main agent does the interview.")
        })?;
        let mut tx = self.store.begin().await?;
        let mut session = latest(&mut tx, id).await?;
        check_open(&session)?;
        session.updated_at = later(&session);
        let asking = session.ask();
        save(&mut tx, &session).await?;
        say(&mut tx, &session, "user", &text).await?;
        let change = asked(
            asking,
            board.organization(),
            id,
            gateway,
            "Onboarding question answered.",
            &text,
        );
        tx.record(caller, change).await?;
        let said = messages(&mut tx, session.id).await?;
        tx.commit().await?;
        session.message(&said)
    }

    async fn agent_says(&self, caller: &Caller, request: UpdateOnboardingRequest) -> Result<BoardOnboarding> {
        let id = uuid_of(&request.board_id)?;
        let agent = caller.principal()?;
        if !agent.board_id.is_empty() {
            return Err(Error::denied("Forbidden"));
        }
        let board = boards::find(self.store.pool(), id).await?;
        caller.may_write_board(board.organization(), id)?;
        if board
            .gateway()
            .is_none_or(|gateway| gateway.to_string() != agent.gateway_id)
        {
            return Err(
                Error::denied("Only the dedicated gateway agent may call this endpoint.")
                    .beside("remedy", "Leave it to the main agent of the board's gateway."),
            );
        }
        let what = rules::said(request)?;
        let mut tx = self.store.begin().await?;
        let mut session = latest(&mut tx, id).await?;
        check_open(&session)?;
        session.updated_at = later(&session);
        let (text, sentence) = match what {
            rules::Said::Question(text) => (text, "Onboarding question asked."),
            rules::Said::Complete(draft, text) => {
                session.draft = Some(draft.encode_to_vec());
                COMPLETED.clone_into(&mut session.status);
                (text, "Onboarding completed with a draft.")
            }
        };
        save(&mut tx, &session).await?;
        say(&mut tx, &session, "assistant", &text).await?;
        let said = messages(&mut tx, session.id).await?;
        let onboarding = session.message(&said)?;
        let change = Change::new("onboarding.updated", board.organization())
            .board(id)
            .agent(caller.agent_id())
            .message(sentence)
            .after(&onboarding);
        tx.record(caller, change).await?;
        tx.commit().await?;
        Ok(onboarding)
    }

    async fn confirm_goal(&self, caller: &Caller, request: ConfirmOnboardingRequest) -> Result<Board> {
        let id = uuid_of(&request.board_id)?;
        let seen = boards::find(self.store.pool(), id).await?;
        caller.may_write_board(seen.organization(), id)?;
        let mut tx = self.store.begin().await?;
        // The board first: a board's deletion takes its sessions with it.
        let old = boards::find_locked(&mut tx, id).await?;
        let mut session = latest(&mut tx, id).await?;
        let draft = session.draft.as_deref().map(OnboardingDraft::decode).transpose()?;
        let lead = draft.as_ref().and_then(|draft| draft.lead_agent.as_ref());
        let row = old.with_goal(boards::Goal {
            board_type: request.board_type,
            objective: request.objective.filter(|text| !text.trim().is_empty()),
            success_metrics: boards::object(request.success_metrics)?,
            target_date: request.target_date.as_ref().map(moment).transpose()?,
            source: SOURCE.to_owned(),
            require_approval_for_done: !rules::is_autonomous(lead),
        })?;
        let board = boards::save(&mut tx, caller, &old, row).await?;
        session.updated_at = later(&session);
        CONFIRMED.clone_into(&mut session.status);
        save(&mut tx, &session).await?;
        let said = messages(&mut tx, session.id).await?;
        // Who follows it gives the person its profile, and the board its lead.
        let change = Change::new("onboarding.confirmed", old.organization())
            .board(id)
            .message(format!("Onboarding confirmed: {}.", old.name()))
            .after(&session.message(&said)?);
        tx.record(caller, change).await?;
        tx.commit().await?;
        Ok(board)
    }
}

fn check_open(session: &Interview) -> Result<()> {
    if session.status == CONFIRMED {
        return Err(Error::new(
            Kind::Conflict,
            "The onboarding is confirmed already. Start another one to change the goal.",
        ));
    }
    Ok(())
}
