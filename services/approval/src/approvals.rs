//! Approvals of a board: list, ask, decide, watch.

use std::{pin::Pin, sync::Arc};

use chassis::{
    Caller, Error, Result, Store,
    identity::{optional_uuid, uuid_of},
    live::{Feed, Start, now_position},
    message::Page,
    outbox::unpack,
};
use futures::{Stream, StreamExt};
use proto::{
    approval::v1::{
        AllApprovalsEvent, Approval, ApprovalEvent, ApprovalStatus, CreateApprovalRequest, DecideApprovalsRequest,
        DecideApprovalsResponse, ListAllApprovalsRequest, ListAllApprovalsResponse, ListApprovalsRequest,
        ListApprovalsResponse, UpdateApprovalRequest, WatchAllApprovalsRequest, WatchApprovalsRequest,
        approval_service_server::ApprovalService,
    },
    event::v1::Event,
};
use serde_json::{Map, Value, json};
use tokio::sync::Notify;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::{
    boards::{Boards, Facts},
    decide::Decision,
    rows::{self, Row},
    rules::{self, Verdict},
};

/// The service behind a board's approvals.
pub struct Approvals {
    pub store: Store,
    pub boards: Boards,
    pub feed: Feed,
    /// Tells the loop that ends what nobody decides that there is more to end.
    pub due: Arc<Notify>,
}

#[tonic::async_trait]
impl ApprovalService for Approvals {
    async fn list_approvals(
        &self,
        request: Request<ListApprovalsRequest>,
    ) -> Result<Response<ListApprovalsResponse>, Status> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let (organization, board) = self.readable(&caller, &request.board_id).await?;
        let page = Page::of(request.limit, request.offset)?;
        let status = match request.status() {
            ApprovalStatus::Unspecified => None,
            status => Some(rules::word(status)),
        };
        Ok(Response::new(self.page(organization, board, status, page).await?))
    }

    async fn create_approval(&self, request: Request<CreateApprovalRequest>) -> Result<Response<Approval>, Status> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let board = uuid_of(&request.board_id)?;
        let facts = self.boards.now(&caller, board).await?;
        caller.may_write_board(facts.organization, board)?;
        Ok(Response::new(self.create(&caller, &facts, board, request).await?))
    }

    async fn update_approval(&self, request: Request<UpdateApprovalRequest>) -> Result<Response<Approval>, Status> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let board = uuid_of(&request.board_id)?;
        let organization = self.boards.organization(&caller, board).await?;
        caller.may_write_board(organization, board)?;
        Ok(Response::new(self.decide(&caller, board, &request).await?))
    }

    async fn list_all_approvals(
        &self,
        request: Request<ListAllApprovalsRequest>,
    ) -> Result<Response<ListAllApprovalsResponse>, Status> {
        let caller = Caller::of(&request)?;
        Ok(Response::new(self.list_all(&caller, &request.into_inner()).await?))
    }

    async fn decide_approvals(
        &self,
        request: Request<DecideApprovalsRequest>,
    ) -> Result<Response<DecideApprovalsResponse>, Status> {
        let caller = Caller::of(&request)?;
        Ok(Response::new(self.decide_all(&caller, &request.into_inner()).await?))
    }

    type WatchAllApprovalsStream = Pin<Box<dyn Stream<Item = Result<AllApprovalsEvent, Status>> + Send>>;

    async fn watch_all_approvals(
        &self,
        request: Request<WatchAllApprovalsRequest>,
    ) -> Result<Response<Self::WatchAllApprovalsStream>, Status> {
        let caller = Caller::of(&request)?;
        Ok(Response::new(self.watch_all(&caller, &request.into_inner()).await?))
    }

    type WatchApprovalsStream = Pin<Box<dyn Stream<Item = Result<ApprovalEvent, Status>> + Send>>;

    async fn watch_approvals(
        &self,
        request: Request<WatchApprovalsRequest>,
    ) -> Result<Response<Self::WatchApprovalsStream>, Status> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let board = self.readable(&caller, &request.board_id).await?.1.to_string();
        // From here on, not from when the stream is first polled: what happens meanwhile is not missed.
        let start = match Start::of(request.since.as_deref(), request.resume_token.as_deref())? {
            Start::Now => Start::After(now_position(&self.store).await?),
            start => start,
        };
        let events = self
            .feed
            .watch(start, move |event: &Event| {
                event.board_id == board && event.r#type.starts_with("approval.")
            })
            .map(|event| Ok(told(&*event?)));
        Ok(Response::new(Box::pin(events)))
    }
}

impl Approvals {
    /// The board with its organization, if the caller may read it.
    async fn readable(&self, caller: &Caller, board: &str) -> Result<(Uuid, Uuid)> {
        let board = uuid_of(board)?;
        let organization = self.boards.organization(caller, board).await?;
        caller.may_read_board(organization, board)?;
        Ok((organization, board))
    }

    async fn page(
        &self,
        organization: Uuid,
        board: Uuid,
        status: Option<&str>,
        page: Page,
    ) -> Result<ListApprovalsResponse> {
        let boards = [board];
        let total = async {
            let pool = self.store.pool();
            // Each from its own index, like the rows.
            Ok::<i32, Error>(match status {
                None => {
                    sqlx::query_scalar!(
                        "SELECT count(*)::int AS \"total!\" FROM approval.approvals WHERE board_id = $1",
                        board
                    )
                    .fetch_one(pool)
                    .await?
                }
                Some(status) => sqlx::query_scalar!(
                    "SELECT count(*)::int AS \"total!\" FROM approval.approvals WHERE board_id = $1 AND status = $2",
                    board,
                    status
                )
                .fetch_one(pool)
                .await?,
            })
        };
        let (rows, total) = futures::try_join!(self.rows(organization, Some(&boards), status, page), total)?;
        let items = rows.iter().map(Approval::from).collect();
        Ok(ListApprovalsResponse {
            items,
            total,
            limit: page.limit,
            offset: page.offset,
        })
    }

    async fn create(
        &self,
        caller: &Caller,
        facts: &Facts,
        board: Uuid,
        request: CreateApprovalRequest,
    ) -> Result<Approval> {
        let organization = facts.organization;
        if !matches!(request.status(), ApprovalStatus::Unspecified | ApprovalStatus::Pending) {
            return Err(Error::unprocessable(
                "A request is not a decision: leave status out, a member of the board decides.",
            ));
        }
        let asked = Asked::of(&request)?;
        let agent = match caller.agent_id() {
            Some(own) => Some(own),
            None => optional_uuid(request.agent_id.as_ref())?,
        };
        if let (None, Some(agent)) = (caller.agent_id(), agent) {
            self.boards.check_agent(caller, organization, board, agent).await?;
        }
        let titles = self.boards.titles(caller, organization, board, &asked.tasks).await?;
        let created_at = rows::now();
        let row = Row {
            id: Uuid::now_v7(),
            organization_id: organization,
            board_id: board,
            action_type: request.action_type,
            payload: Some(asked.payload),
            confidence: request.confidence,
            rubric_scores: asked.scores,
            status: rules::word(ApprovalStatus::Pending).to_owned(),
            agent_id: agent,
            requested_by_user_id: caller.user_id().ok(),
            created_at,
            resolved_at: None,
            resolved_by_user_id: None,
            resolved_by_name: None,
            decision_reason: None,
            expires_at: facts.wait.map(|wait| created_at + wait),
            expired: false,
            requested_by_name: Some(caller.principal()?.name.clone()).filter(|name| !name.is_empty()),
            task_ids: asked.tasks,
            titles,
        };

        let mut tx = self.store.begin().await?;
        rows::lock_boards(&mut tx, &[board]).await?;
        // A task with a pending approval is left out by the index, which shows in the count.
        let linked = sqlx::query_scalar!(
            r#"WITH created AS (
                   INSERT INTO approval.approvals (id, organization_id, board_id, action_type, payload, confidence, rubric_scores, agent_id,
                                                   requested_by_user_id, created_at, expires_at, requested_by_name)
                   VALUES ($1, $2, $3, $4, $5::text::json, $6, $7::text::json, $8, $9, $10, $13, $14) RETURNING id, status
               ), linked AS (
                   INSERT INTO approval.links (approval_id, task_id, position, title, status)
                   SELECT created.id, named.task_id, named.position, named.title, created.status
                   FROM created, unnest($11::uuid[], $12::text[]) WITH ORDINALITY AS named (task_id, title, position)
                   ORDER BY named.task_id
                   ON CONFLICT (task_id) WHERE status = 'pending' DO NOTHING RETURNING task_id
               )
               SELECT count(*) AS "count!" FROM linked"#,
            row.id,
            organization,
            board,
            row.action_type,
            row.payload,
            row.confidence,
            row.rubric_scores,
            row.agent_id,
            row.requested_by_user_id,
            row.created_at,
            &row.task_ids,
            &row.titles,
            row.expires_at,
            row.requested_by_name
        )
        .fetch_one(&mut *tx)
        .await?;
        if usize::try_from(linked).is_ok_and(|linked| linked < row.task_ids.len()) {
            return Err(conflicts(&mut tx, &row).await?);
        }
        let message = format!("Approval {} requested.", row.action_type);
        let approval = rows::record(&mut tx, caller, "approval.created", message, None, &row).await?;
        if row.expires_at.is_some() {
            tx.wake_on_commit(&self.due);
        }
        tx.commit().await?;
        Ok(approval)
    }

    async fn decide(&self, caller: &Caller, board: Uuid, request: &UpdateApprovalRequest) -> Result<Approval> {
        let id = uuid_of(&request.approval_id)?;
        let by = caller.user_id()?;
        let wanted = request.status();
        let reason = request.reason.as_deref().map(str::trim).filter(|text| !text.is_empty());
        if reason.is_some() && !matches!(wanted, ApprovalStatus::Approved | ApprovalStatus::Rejected) {
            return Err(Error::invalid(
                "reason",
                "A reason belongs to a decision: send status approved or rejected with it.",
            ));
        }

        let mut tx = self.store.begin().await?;
        rows::lock_boards(&mut tx, &[board]).await?;
        let mut row = rows::hold(&mut tx, &[id])
            .await?
            .pop()
            .filter(|row| row.board_id == board)
            .ok_or_else(|| Error::not_found("There is no such approval on this board."))?;
        let before = Approval::from(&row);
        if rules::decide(&row.standing(), by, wanted)? == Verdict::Unchanged {
            return Ok(before);
        }
        let decision = Decision::of(caller, wanted, reason)?;
        decision.apply(&mut row);
        rows::resolve(&mut tx, std::slice::from_ref(&row)).await?;
        let message = format!("Approval {} {}.", row.action_type, row.status);
        let approval = rows::record(&mut tx, caller, "approval.resolved", message, Some(&before), &row).await?;
        tx.commit().await?;
        Ok(approval)
    }
}

/// What a request asks for, checked.
struct Asked {
    payload: String,
    scores: Option<String>,
    tasks: Vec<Uuid>,
}

impl Asked {
    fn of(request: &CreateApprovalRequest) -> Result<Self> {
        let sent = request
            .payload
            .as_deref()
            .map(|bytes| rules::object("payload", bytes))
            .transpose()?;
        let scores = match request.rubric_scores.as_deref() {
            Some(bytes) => {
                let scores = rules::scores(rules::object("rubric_scores", bytes)?)?;
                Some(Value::Object(scores).to_string())
            }
            None => None,
        };
        let payload: Map<String, Value> = rules::with_reason(sent, request.lead_reasoning.as_deref())?;
        let listed = request.task_ids.iter().map(|id| uuid_of(id)).collect::<Result<_>>()?;
        let tasks = rules::named_tasks(optional_uuid(request.task_id.as_ref())?, listed, &payload)?;
        Ok(Self {
            payload: Value::Object(payload).to_string(),
            scores,
            tasks,
        })
    }
}

/// The refusal of a second pending approval: which tasks have one, and which.
async fn conflicts(tx: &mut chassis::Tx, row: &Row) -> Result<Error> {
    let held = sqlx::query!(
        "SELECT task_id, approval_id FROM approval.links WHERE task_id = ANY($1) AND status = 'pending' AND approval_id <> $2 ORDER BY task_id",
        &row.task_ids,
        row.id
    )
    .fetch_all(&mut **tx)
    .await?;
    let conflicts: Vec<Value> = held
        .into_iter()
        .map(|held| json!({"task_id": held.task_id.to_string(), "approval_id": held.approval_id.to_string()}))
        .collect();
    Ok(Error::conflict("Each task can have only one pending approval.").with("conflicts", conflicts))
}

/// An event of the change log as watchers get it.
pub fn told(event: &Event) -> ApprovalEvent {
    let after = unpack::<Approval>(event.after.as_ref());
    let deleted = after
        .is_none()
        .then(|| unpack::<Approval>(event.before.as_ref()))
        .flatten();
    let counts = after
        .as_ref()
        .or(deleted.as_ref())
        .and_then(|approval| approval.counts.clone())
        .unwrap_or_default();
    ApprovalEvent {
        id: event.position.to_string(),
        approval: after.map(|approval| Approval {
            counts: None,
            ..approval
        }),
        pending_approvals_count: counts.pending_approvals_count,
        task_counts: counts.task_counts,
        deleted_approval_id: deleted.map(|approval| approval.id),
    }
}
