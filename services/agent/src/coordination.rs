//! `CoordinationService`: what agents ask of each other and of people. Messages are queued with the answer.

use std::sync::Arc;

use chassis::{Caller, Change, Error, Result, error::Kind, identity::uuid_of};
use proto::{
    agent::v1::{
        ApplyBoardGroupHeartbeatRequest, ApplyBoardGroupHeartbeatResponse, AskUserRequest, AskUserResponse,
        BroadcastResult, BroadcastToLeadsRequest, BroadcastToLeadsResponse, DeleteBoardAgentRequest,
        GetAgentSoulRequest, GetAgentSoulResponse, LeadMessageKind, MessageBoardLeadRequest, MessageBoardLeadResponse,
        NudgeAgentRequest, NudgeAgentResponse, Operation, UpdateAgentSoulRequest,
        coordination_service_server::CoordinationService,
    },
    board::v1::{Board, ListGatewayBoardsRequest},
    common::v1::Ok as Done,
    identity::v1::PrincipalKind,
};
use time::OffsetDateTime;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::{
    agents::writable,
    app::{App, found},
    change, leads,
    notify::{Letter, Purpose, queue},
    operations::{self, MessageRow},
    pace, provision,
    requests::{self, LEAD_REPLY, Place, Reply, USER_REPLY},
    row::{AgentRow, agents},
    soul,
};

/// The service.
pub struct Coordination {
    pub(crate) app: Arc<App>,
}

/// Source of an answer when the request names none.
const USER_SOURCE: &str = "user_via_gateway_main";
const LEAD_SOURCE: &str = "lead_to_gateway_main";

/// What is sent to an agent.
struct Note {
    board: Option<Uuid>,
    text: String,
    deliver: bool,
    title: String,
    sent: Option<(&'static str, String)>,
    failed: Option<(&'static str, String)>,
}

fn letter(caller: &Caller, to: &AgentRow, note: Note) -> Letter {
    let id = Uuid::now_v7();
    Letter {
        id,
        organization: to.organization_id,
        agent: to.id,
        board: note.board,
        task: None,
        gateway: to.gateway_id,
        session_key: to.session_key.clone(),
        label: to.name.clone(),
        text: note.text,
        deliver: note.deliver,
        key: format!("note-{id}"),
        sent: note.sent,
        failed: note.failed,
        purpose: Some(Purpose {
            title: note.title,
            by: caller.actor().name,
        }),
    }
}

fn text_of(field: &str, given: &str) -> Result<String> {
    let text = given.trim();
    if text.is_empty() {
        return Err(Error::invalid(field, format!("{field} must not be blank.")));
    }
    Ok(text.to_owned())
}

/// A message that waits, as an operation: what the audit trail keeps of it.
fn waiting(letter: &Letter) -> Operation {
    let (title, created_by) = letter
        .purpose
        .as_ref()
        .map(|purpose| (purpose.title.clone(), purpose.by.clone()))
        .unwrap_or_default();
    let now = OffsetDateTime::now_utc();
    operations::message(&MessageRow {
        id: letter.id,
        organization_id: letter.organization,
        agent_id: letter.agent,
        board_id: letter.board,
        gateway_id: letter.gateway,
        label: letter.label.clone(),
        title,
        created_by,
        state: "waiting".to_owned(),
        attempts: 0,
        next_attempt_at: Some(now),
        last_error: None,
        created_at: now,
        settled_at: None,
    })
}

impl Coordination {
    /// Queues a message and tells who asked for it: that it was sent is told by the sender, later. What it says is part of no record.
    async fn send(&self, caller: &Caller, letter: &Letter, kind: &str, sentence: String) -> Result<()> {
        let mut told = Change::new(kind, letter.organization)
            .agent(Some(letter.agent))
            .gateway(letter.gateway)
            .message(sentence)
            .after(&waiting(letter));
        if let Some(board) = letter.board {
            told = told.board(board);
        }
        let mut tx = self.app.store.begin().await?;
        queue(&mut tx, std::slice::from_ref(letter)).await?;
        tx.record(caller, told).await?;
        tx.commit().await?;
        self.app.mail.notify_one();
        Ok(())
    }

    /// A board that the calling agent may write, of its own organization.
    async fn own_board(&self, caller: &Caller, id: &str) -> Result<Board> {
        let id = uuid_of(id)?;
        caller.may_write_board(caller.organization()?, id)?;
        self.organizations_board(caller, id).await
    }

    async fn organizations_board(&self, caller: &Caller, id: Uuid) -> Result<Board> {
        let organization = caller.organization()?.to_string();
        found(self.app.board(id).await)?
            .filter(|board| board.organization_id == organization)
            .ok_or_else(|| Error::not_found("Board not found"))
    }

    async fn nudge(&self, caller: &Caller, request: NudgeAgentRequest) -> Result<NudgeAgentResponse> {
        let row = if caller.kind() == PrincipalKind::Agent {
            self.reach(caller, &request).await?
        } else {
            let row = writable(&self.app, caller, &request.agent_id).await?;
            // Main agents belong to no board: they are the admins'.
            let admin = caller
                .membership(row.organization_id)
                .is_some_and(|own| matches!(own.role.as_str(), "owner" | "admin"));
            if row.board_id.is_none() && !admin {
                return Err(Error::denied("Only admins can nudge a gateway's main agent."));
            }
            row
        };
        if row.deleting_at.is_some() {
            return Err(Error::conflict("The agent is being deleted."));
        }
        let note = Note {
            board: row.board_id.or_else(|| caller.agent_board()),
            text: text_of("message", &request.message)?,
            deliver: true,
            title: format!("Nudge {}", row.name),
            sent: Some(("agent.nudge.sent", format!("Nudge sent to {}.", row.name))),
            failed: Some(("agent.nudge.failed", format!("Nudge to {} failed:", row.name))),
        };
        let letter = letter(caller, &row, note);
        let sentence = format!("Nudge to {} asked for.", row.name);
        self.send(caller, &letter, "agent.nudge.requested", sentence).await?;
        Ok(NudgeAgentResponse {
            ok: true,
            operation_id: letter.id.to_string(),
        })
    }

    /// The agent a lead may nudge: of its board, or the main agent of its gateway.
    async fn reach(&self, caller: &Caller, request: &NudgeAgentRequest) -> Result<AgentRow> {
        let (organization, board) = (caller.organization()?, uuid_of(&request.board_id)?);
        caller.may_write_board(organization, board)?;
        let gateway = uuid_of(&caller.principal()?.gateway_id)?;
        agents!(
            "SELECT",
            "FROM agent.agents AS a WHERE a.id = $1 AND a.organization_id = $2 AND (a.board_id = $3 OR (a.board_id IS NULL AND a.gateway_id = $4))",
            uuid_of(&request.agent_id)?,
            organization,
            board,
            gateway
        )
        .fetch_optional(self.app.store.pool())
        .await?
        .ok_or_else(|| Error::not_found("Agent not found"))
    }

    async fn delete(&self, caller: &Caller, request: DeleteBoardAgentRequest) -> Result<()> {
        let (organization, board) = (caller.organization()?, uuid_of(&request.board_id)?);
        caller.may_write_board(organization, board)?;
        let row = agents!(
            "SELECT",
            "FROM agent.agents AS a WHERE a.id = $1 AND a.organization_id = $2",
            uuid_of(&request.agent_id)?,
            organization
        )
        .fetch_optional(self.app.store.pool())
        .await?
        .ok_or_else(|| Error::not_found("Agent not found"))?;
        if row.board_id.is_none() {
            return Err(Error::denied("Board leads cannot delete gateway main agents"));
        }
        if row.board_id != Some(board) {
            return Err(Error::not_found("Agent not found"));
        }
        if row.is_board_lead {
            return Err(Error::denied("Board leads cannot delete lead agents"));
        }
        let mut tx = self.app.store.begin().await?;
        change::mark_deleting(&self.app, &mut tx, caller, &[row.id]).await?;
        tx.commit().await?;
        self.app.known.forget(row.id);
        self.app.work.notify_one();
        Ok(())
    }

    async fn ask_user(&self, caller: &Caller, request: AskUserRequest) -> Result<AskUserResponse> {
        let board = self.own_board(caller, &request.board_id).await?;
        let gateway = board
            .gateway_id
            .as_deref()
            .ok_or_else(|| Error::unprocessable("Board gateway_id is required"))?;
        let main = leads::main_of(&self.app, uuid_of(gateway)?).await?.ok_or_else(|| {
            Error::precondition(
                "The gateway has no main agent yet: it is made with the gateway. Try again in a moment.",
            )
        })?;
        let content = text_of("content", &request.content)?;
        let tags = requests::tags(&request.reply_tags, USER_REPLY);
        let reply = Reply {
            correlation: blank(request.correlation_id.as_deref()),
            tags: &tags,
            source: blank(request.reply_source.as_deref()).unwrap_or(USER_SOURCE),
        };
        let lead = caller.actor().name;
        let channel = blank(request.preferred_channel.as_deref());
        let text = requests::ask_user(&self.place(&board), &lead, channel, &content, &reply);
        let note = Note {
            board: Some(uuid_of(&board.id)?),
            text,
            deliver: true,
            title: format!("{lead} asks a person"),
            sent: Some((
                "gateway.lead.ask_user.sent",
                format!("Lead requested user info via gateway agent for board: {}.", board.name),
            )),
            failed: Some((
                "gateway.lead.ask_user.failed",
                format!("Lead user request failed for {}:", board.name),
            )),
        };
        let letter = letter(caller, &main, note);
        let sentence = format!("Question for a person asked for board {}.", board.name);
        self.send(caller, &letter, "gateway.lead.ask_user.requested", sentence)
            .await?;
        Ok(AskUserResponse {
            ok: true,
            board_id: board.id,
            main_agent_id: Some(main.id.to_string()),
            main_agent_name: Some(main.name),
            operation_id: letter.id.to_string(),
        })
    }

    fn place<'a>(&'a self, board: &'a Board) -> Place<'a> {
        Place {
            board: &board.name,
            board_id: &board.id,
            base_url: &self.app.base_url,
        }
    }

    /// A message for the lead of a board: the one that is known, or one that is looked for, and made when there is none.
    async fn to_lead(
        &self,
        caller: &Caller,
        board: &Board,
        known: Option<AgentRow>,
        message: &LeadMessage<'_>,
    ) -> Result<(Letter, AgentRow, bool)> {
        let board_id = uuid_of(&board.id)?;
        let (lead, created) = match known {
            Some(lead) => (lead, false),
            None => leads::ensure(&self.app, caller, board_id, "", None).await?,
        };
        let from = caller.actor().name;
        let text = requests::to_lead(message.kind, &self.place(board), &from, message.content, &message.reply);
        let note = Note {
            board: Some(board_id),
            text,
            deliver: false,
            title: format!("Message to {}", lead.name),
            sent: message.told.then(|| {
                (
                    "gateway.main.lead_message.sent",
                    format!("Gateway message sent to the lead of {}: {}.", board.name, lead.name),
                )
            }),
            failed: Some((
                "gateway.main.lead_message.failed",
                format!("Gateway message to the lead of {} failed:", board.name),
            )),
        };
        Ok((letter(caller, &lead, note), lead, created))
    }

    async fn message_lead(
        &self,
        caller: &Caller,
        request: MessageBoardLeadRequest,
    ) -> Result<MessageBoardLeadResponse> {
        let board = self.organizations_board(caller, uuid_of(&request.board_id)?).await?;
        if board.gateway_id.as_deref() != Some(caller.principal()?.gateway_id.as_str()) {
            return Err(Error::denied("The board belongs to another gateway."));
        }
        let content = text_of("content", &request.content)?;
        let tags = requests::tags(&request.reply_tags, LEAD_REPLY);
        let message = LeadMessage {
            kind: request.kind(),
            content: &content,
            reply: Reply {
                correlation: blank(request.correlation_id.as_deref()),
                tags: &tags,
                source: blank(request.reply_source.as_deref()).unwrap_or(LEAD_SOURCE),
            },
            told: true,
        };
        let (letter, lead, created) = self.to_lead(caller, &board, None, &message).await?;
        let sentence = format!("Message to the lead of {} asked for: {}.", board.name, lead.name);
        self.send(caller, &letter, "gateway.main.lead_message.requested", sentence)
            .await?;
        Ok(MessageBoardLeadResponse {
            ok: true,
            board_id: board.id,
            lead_agent_id: Some(lead.id.to_string()),
            lead_agent_name: Some(lead.name),
            lead_created: created,
            operation_id: letter.id.to_string(),
        })
    }

    async fn broadcast(&self, caller: &Caller, request: BroadcastToLeadsRequest) -> Result<BroadcastToLeadsResponse> {
        let organization = caller.organization()?;
        let content = text_of("content", &request.content)?;
        let tags = requests::tags(&request.reply_tags, LEAD_REPLY);
        let message = LeadMessage {
            kind: request.kind(),
            content: &content,
            reply: Reply {
                correlation: blank(request.correlation_id.as_deref()),
                tags: &tags,
                source: blank(request.reply_source.as_deref()).unwrap_or(LEAD_SOURCE),
            },
            told: false,
        };
        let gateway = caller.principal()?.gateway_id.clone();
        let mut boards = self
            .app
            .board_directory()
            .list_gateway_boards(ListGatewayBoardsRequest {
                gateway_id: gateway.clone(),
            })
            .await
            .map_err(Error::from)?
            .into_inner()
            .boards;
        boards.retain(|board| board.organization_id == organization.to_string());
        boards.reverse();
        let mut reply = BroadcastToLeadsResponse {
            ok: true,
            ..BroadcastToLeadsResponse::default()
        };
        if let Some(wanted) = &request.board_ids {
            for id in wanted
                .items
                .iter()
                .filter(|id| !boards.iter().any(|board| board.id == **id))
            {
                reply.failed += 1;
                reply.results.push(BroadcastResult {
                    board_id: id.clone(),
                    error: Some("The board does not belong to this gateway.".to_owned()),
                    ..BroadcastResult::default()
                });
            }
            boards.retain(|board| wanted.items.contains(&board.id));
        }
        let ids = boards
            .iter()
            .map(|board| uuid_of(&board.id))
            .collect::<Result<Vec<_>>>()?;
        let mut known = leads::of_boards(&self.app, &ids).await?;
        let mut letters = Vec::new();
        for (board, id) in boards.iter().zip(&ids) {
            let mut result = BroadcastResult {
                board_id: board.id.clone(),
                ..BroadcastResult::default()
            };
            match self.to_lead(caller, board, known.remove(id), &message).await {
                Ok((letter, lead, _)) => {
                    reply.sent += 1;
                    result.ok = true;
                    result.lead_agent_id = Some(lead.id.to_string());
                    result.lead_agent_name = Some(lead.name);
                    result.operation_id = Some(letter.id.to_string());
                    letters.push(letter);
                }
                Err(error) if error.kind() == Kind::Internal => return Err(error),
                Err(error) => {
                    reply.failed += 1;
                    result.error = Some(provision::describe(&error));
                }
            }
            reply.results.push(result);
        }
        let mut tx = self.app.store.begin().await?;
        queue(&mut tx, &letters).await?;
        let told = Change::new("gateway.main.lead_broadcast.sent", organization)
            .agent(caller.agent_id())
            .gateway(uuid_of(&gateway)?)
            .message(format!(
                "Broadcast to {} board leads (failed: {}).",
                reply.sent, reply.failed
            ))
            .after(&reply);
        tx.record(caller, told).await?;
        tx.commit().await?;
        self.app.mail.notify_one();
        Ok(reply)
    }
}

/// A message of a main agent to leads.
struct LeadMessage<'a> {
    kind: LeadMessageKind,
    content: &'a str,
    reply: Reply<'a>,
    /// Tell of the sending; a broadcast is told of once.
    told: bool,
}

fn blank(text: Option<&str>) -> Option<&str> {
    text.map(str::trim).filter(|text| !text.is_empty())
}

#[tonic::async_trait]
impl CoordinationService for Coordination {
    async fn nudge_agent(&self, request: Request<NudgeAgentRequest>) -> Result<Response<NudgeAgentResponse>, Status> {
        let caller = Caller::of(&request)?;
        Ok(Response::new(self.nudge(&caller, request.into_inner()).await?))
    }

    async fn get_agent_soul(
        &self,
        request: Request<GetAgentSoulRequest>,
    ) -> Result<Response<GetAgentSoulResponse>, Status> {
        let caller = Caller::of(&request)?;
        let content = soul::read(&self.app, &caller, request.get_ref()).await?;
        Ok(Response::new(GetAgentSoulResponse { content }))
    }

    async fn update_agent_soul(&self, request: Request<UpdateAgentSoulRequest>) -> Result<Response<Done>, Status> {
        let caller = Caller::of(&request)?;
        soul::update(&self.app, &caller, request.into_inner()).await?;
        Ok(Response::new(Done { ok: true }))
    }

    async fn delete_board_agent(&self, request: Request<DeleteBoardAgentRequest>) -> Result<Response<Done>, Status> {
        let caller = Caller::of(&request)?;
        self.delete(&caller, request.into_inner()).await?;
        Ok(Response::new(Done { ok: true }))
    }

    async fn ask_user(&self, request: Request<AskUserRequest>) -> Result<Response<AskUserResponse>, Status> {
        let caller = Caller::of(&request)?;
        Ok(Response::new(self.ask_user(&caller, request.into_inner()).await?))
    }

    async fn message_board_lead(
        &self,
        request: Request<MessageBoardLeadRequest>,
    ) -> Result<Response<MessageBoardLeadResponse>, Status> {
        let caller = Caller::of(&request)?;
        Ok(Response::new(self.message_lead(&caller, request.into_inner()).await?))
    }

    async fn broadcast_to_leads(
        &self,
        request: Request<BroadcastToLeadsRequest>,
    ) -> Result<Response<BroadcastToLeadsResponse>, Status> {
        let caller = Caller::of(&request)?;
        Ok(Response::new(self.broadcast(&caller, request.into_inner()).await?))
    }

    async fn apply_board_group_heartbeat(
        &self,
        request: Request<ApplyBoardGroupHeartbeatRequest>,
    ) -> Result<Response<ApplyBoardGroupHeartbeatResponse>, Status> {
        let caller = Caller::of(&request)?;
        Ok(Response::new(
            pace::apply(&self.app, &caller, request.into_inner()).await?,
        ))
    }
}
