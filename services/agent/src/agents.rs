//! `AgentService`: what people and agents see and change of agents.

use std::{pin::Pin, sync::Arc};

use chassis::{
    Caller, Error, Result,
    error::Kind,
    etag::IfMatch,
    identity::{optional_uuid, uuid_of},
    live::{Feed, Start},
    message::Page,
    outbox::unpack,
};
use futures::{Stream, StreamExt};
use proto::{
    agent::v1::{
        Agent, AgentEvent, AgentHealth, AgentProvisioning, CreateAgentRequest, DeleteAgentRequest,
        GetAgentHealthRequest, GetAgentProvisioningRequest, GetAgentRequest, HeartbeatAgentRequest,
        HeartbeatOrCreateAgentRequest, HeartbeatRequest, ListAgentsRequest, ListAgentsResponse,
        RotateAgentTokenRequest, UpdateAgentRequest, WatchAgentsRequest, agent_service_server::AgentService,
    },
    common::v1::Ok as OkReply,
    event::v1::Event,
    identity::v1::PrincipalKind,
};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::{
    app::{App, found},
    change,
    create::{self, NewAgent, create, gateway_of},
    heartbeat,
    row::{AgentRow, agents},
    rules,
};

/// The service.
pub struct Agents {
    pub(crate) app: Arc<App>,
    pub(crate) feed: Feed,
}

fn unknown() -> Error {
    Error::not_found("Agent not found")
}

/// An agent that the caller may see: of its organization, and of a board it may read.
pub async fn visible(app: &App, caller: &Caller, id: &str) -> Result<AgentRow> {
    let row = agents!(
        "SELECT",
        "FROM agent.agents AS a WHERE a.id = $1 AND a.organization_id = $2",
        uuid_of(id)?,
        caller.organization()?
    )
    .fetch_optional(app.store.pool())
    .await?
    .ok_or_else(unknown)?;
    if let Some(board) = row.board_id {
        caller.may_read_board(row.organization_id, board)?;
    }
    Ok(row)
}

/// An agent that the caller may change.
pub async fn writable(app: &App, caller: &Caller, id: &str) -> Result<AgentRow> {
    let row = visible(app, caller, id).await?;
    if let Some(board) = row.board_id {
        caller.may_write_board(row.organization_id, board)?;
    }
    Ok(row)
}

/// A board of the caller's organization.
async fn own_board(app: &App, organization: Uuid, id: Uuid) -> Result<proto::board::v1::Board> {
    found(app.board(id).await)?
        .filter(|board| board.organization_id == organization.to_string())
        .ok_or_else(|| Error::not_found("Board not found"))
}

impl Agents {
    async fn list(&self, caller: &Caller, request: ListAgentsRequest) -> Result<ListAgentsResponse> {
        let page = Page::of(request.limit, request.offset)?;
        let organization = caller.organization()?;
        let mut board = optional_uuid(request.board_id.as_ref())?;
        let gateway = optional_uuid(request.gateway_id.as_ref())?;
        let readable = match caller.kind() {
            PrincipalKind::Agent => {
                if let Some(own) = caller.agent_board() {
                    if board.is_some_and(|board| board != own) {
                        return Err(Error::denied("Forbidden"));
                    }
                    board = Some(own);
                }
                None
            }
            _ => caller.readable_boards()?,
        };
        if let (Some(board), Some(readable)) = (board, &readable)
            && !readable.contains(&board)
        {
            return Err(Error::denied("Board access denied"));
        }
        let rows = agents!(
            "SELECT",
            "FROM agent.agents AS a \
             WHERE a.organization_id = $1 AND ($2::uuid IS NULL OR a.board_id = $2) AND ($3::uuid IS NULL OR a.gateway_id = $3) \
               AND ($4::uuid[] IS NULL OR a.board_id IS NULL OR a.board_id = ANY($4)) \
             ORDER BY a.created_at DESC, a.id DESC LIMIT $5 OFFSET $6",
            organization,
            board,
            gateway,
            readable.as_deref(),
            i64::from(page.limit),
            i64::from(page.offset)
        )
        .fetch_all(self.app.store.pool())
        .await?;
        let mut total = i64::from(page.offset) + i64::try_from(rows.len()).unwrap_or(i64::MAX);
        // A page that is not full and not past the end says itself how many there are.
        if rows.len() >= usize::try_from(page.limit).unwrap_or(0) || (rows.is_empty() && page.offset > 0) {
            total = sqlx::query_scalar!(
                r#"SELECT count(*) AS "count!" FROM agent.agents AS a
                   WHERE a.organization_id = $1 AND ($2::uuid IS NULL OR a.board_id = $2) AND ($3::uuid IS NULL OR a.gateway_id = $3)
                     AND ($4::uuid[] IS NULL OR a.board_id IS NULL OR a.board_id = ANY($4))"#,
                organization,
                board,
                gateway,
                readable.as_deref()
            )
            .fetch_one(self.app.store.pool())
            .await?;
        }
        if total == 0 {
            self.check_filters(caller, organization, board, gateway).await?;
        }
        Ok(ListAgentsResponse {
            items: rows.iter().map(AgentRow::to_proto).collect(),
            total: i32::try_from(total).unwrap_or(i32::MAX),
            limit: page.limit,
            offset: page.offset,
        })
    }

    /// Nothing was found: says so when what was asked for is not the organization's.
    async fn check_filters(
        &self,
        caller: &Caller,
        organization: Uuid,
        board: Option<Uuid>,
        gateway: Option<Uuid>,
    ) -> Result<()> {
        if let (Some(board), PrincipalKind::User) = (board, caller.kind()) {
            own_board(&self.app, organization, board)
                .await
                .map_err(|error| match error.kind() {
                    Kind::NotFound => Error::denied("Board access denied"),
                    _ => error,
                })?;
        }
        if let Some(gateway) = gateway {
            found(self.app.gateway(organization, gateway).await)?
                .ok_or_else(|| Error::not_found("Gateway not found"))?;
        }
        Ok(())
    }

    async fn create(&self, caller: &Caller, request: CreateAgentRequest) -> Result<Agent> {
        let organization = caller.organization()?;
        let given = optional_uuid(request.board_id.as_ref())?;
        let is_agent = caller.kind() == PrincipalKind::Agent;
        let board_id = match (is_agent, caller.agent_board(), given) {
            (true, Some(own), Some(given)) if own != given => {
                return Err(Error::denied("Board leads can only create agents in their own board"));
            }
            (true, own, _) => own.ok_or_else(|| Error::denied("Only board leads can create agents"))?,
            (false, _, given) => given.ok_or_else(|| Error::unprocessable("board_id is required"))?,
        };
        let board = own_board(&self.app, organization, board_id).await?;
        caller.may_write_board(organization, board_id)?;
        let new = NewAgent {
            organization,
            gateway: gateway_of(&self.app, organization, &board).await?,
            board: Some(board),
            name: create::name_of(&request.name)?,
            is_lead: false,
            heartbeat_config: create::heartbeat(request.heartbeat_config.as_deref())?,
            identity_profile: create::object("identity_profile", request.identity_profile.as_deref())?,
            identity_template: request.identity_template,
            soul_template: request.soul_template,
            quota: is_agent,
        };
        Ok(create(&self.app, caller, new).await?.to_proto())
    }

    async fn heartbeat_agent(&self, caller: &Caller, request: HeartbeatAgentRequest) -> Result<Agent> {
        let id = uuid_of(&request.agent_id)?;
        match caller.agent_id() {
            Some(own) if own != id => return Err(Error::denied("Forbidden")),
            Some(_) => {}
            None => {
                writable(&self.app, caller, &request.agent_id).await?;
            }
        }
        heartbeat::heartbeat(&self.app, caller, id, request.status.as_deref()).await
    }

    async fn heartbeat_or_create(&self, caller: &Caller, request: HeartbeatOrCreateAgentRequest) -> Result<Agent> {
        if let Some(own) = caller.agent_id() {
            return heartbeat::heartbeat(&self.app, caller, own, request.status.as_deref()).await;
        }
        let organization = caller.organization()?;
        let name = create::name_of(&request.name)?;
        let board = optional_uuid(request.board_id.as_ref())?;
        let known = sqlx::query!(
            "SELECT id, board_id FROM agent.agents \
             WHERE organization_id = $1 AND name = $2 AND ($3::uuid IS NULL OR board_id = $3) AND deleting_at IS NULL \
             ORDER BY created_at LIMIT 1",
            organization,
            name,
            board
        )
        .fetch_optional(self.app.store.pool())
        .await?;
        let id = if let Some(agent) = known {
            if let Some(board) = agent.board_id {
                caller.may_write_board(organization, board)?;
            }
            agent.id
        } else {
            let new = CreateAgentRequest {
                board_id: request.board_id,
                name,
                ..CreateAgentRequest::default()
            };
            uuid_of(&self.create(caller, new).await?.id)?
        };
        heartbeat::heartbeat(&self.app, caller, id, request.status.as_deref()).await
    }

    async fn health(&self, caller: &Caller) -> Result<AgentHealth> {
        let id = caller
            .agent_id()
            .ok_or_else(|| Error::unauthenticated("Unauthorized"))?;
        let row = sqlx::query!(
            "SELECT board_id, gateway_id, status, is_board_lead FROM agent.agents WHERE id = $1",
            id
        )
        .fetch_optional(self.app.store.pool())
        .await?
        .ok_or_else(unknown)?;
        Ok(AgentHealth {
            ok: true,
            agent_id: id.to_string(),
            board_id: row.board_id.map(|id| id.to_string()),
            gateway_id: row.gateway_id.to_string(),
            status: row.status,
            is_board_lead: row.is_board_lead,
        })
    }
}

/// An event as watchers of agents get it.
fn agent_event(event: &Event) -> AgentEvent {
    AgentEvent {
        id: event.position.to_string(),
        agent: unpack(event.after.as_ref()).or_else(|| unpack(event.before.as_ref())),
        r#type: event.r#type.clone(),
    }
}

type AgentEvents = Pin<Box<dyn Stream<Item = Result<AgentEvent, Status>> + Send>>;

#[tonic::async_trait]
impl AgentService for Agents {
    type WatchAgentsStream = AgentEvents;

    async fn list_agents(&self, request: Request<ListAgentsRequest>) -> Result<Response<ListAgentsResponse>, Status> {
        let caller = Caller::of(&request)?;
        Ok(Response::new(self.list(&caller, request.into_inner()).await?))
    }

    async fn create_agent(&self, request: Request<CreateAgentRequest>) -> Result<Response<Agent>, Status> {
        let caller = Caller::of(&request)?;
        Ok(Response::new(self.create(&caller, request.into_inner()).await?))
    }

    async fn get_agent(&self, request: Request<GetAgentRequest>) -> Result<Response<Agent>, Status> {
        let caller = Caller::of(&request)?;
        Ok(Response::new(
            visible(&self.app, &caller, &request.get_ref().agent_id)
                .await?
                .to_proto(),
        ))
    }

    async fn update_agent(&self, request: Request<UpdateAgentRequest>) -> Result<Response<Agent>, Status> {
        let (caller, if_match) = (Caller::of(&request)?, IfMatch::of(&request));
        Ok(Response::new(
            change::update(&self.app, &caller, request.into_inner(), &if_match).await?,
        ))
    }

    async fn delete_agent(&self, request: Request<DeleteAgentRequest>) -> Result<Response<OkReply>, Status> {
        let caller = Caller::of(&request)?;
        let row = writable(&self.app, &caller, &request.get_ref().agent_id).await?;
        let mut tx = self.app.store.begin().await?;
        // Locked, so that what is checked is what is deleted.
        let row = agents!("SELECT", "FROM agent.agents AS a WHERE a.id = $1 FOR UPDATE", row.id)
            .fetch_optional(&mut *tx)
            .await
            .map_err(Error::from)?
            .ok_or_else(unknown)?;
        IfMatch::of(&request).check(&row.etag())?;
        change::mark_deleting(&self.app, &mut tx, &caller, &[row.id]).await?;
        tx.commit().await?;
        self.app.known.forget(row.id);
        self.app.work.notify_one();
        Ok(Response::new(OkReply { ok: true }))
    }

    async fn heartbeat_agent(&self, request: Request<HeartbeatAgentRequest>) -> Result<Response<Agent>, Status> {
        let caller = Caller::of(&request)?;
        Ok(Response::new(
            self.heartbeat_agent(&caller, request.into_inner()).await?,
        ))
    }

    async fn heartbeat_or_create_agent(
        &self,
        request: Request<HeartbeatOrCreateAgentRequest>,
    ) -> Result<Response<Agent>, Status> {
        let caller = Caller::of(&request)?;
        Ok(Response::new(
            self.heartbeat_or_create(&caller, request.into_inner()).await?,
        ))
    }

    async fn heartbeat(&self, request: Request<HeartbeatRequest>) -> Result<Response<Agent>, Status> {
        let caller = Caller::of(&request)?;
        let id = caller
            .agent_id()
            .ok_or_else(|| Error::unauthenticated("Unauthorized"))?;
        Ok(Response::new(heartbeat::heartbeat(&self.app, &caller, id, None).await?))
    }

    async fn get_agent_health(&self, request: Request<GetAgentHealthRequest>) -> Result<Response<AgentHealth>, Status> {
        let caller = Caller::of(&request)?;
        Ok(Response::new(self.health(&caller).await?))
    }

    async fn rotate_agent_token(&self, request: Request<RotateAgentTokenRequest>) -> Result<Response<Agent>, Status> {
        let caller = Caller::of(&request)?;
        let row = writable(&self.app, &caller, &request.get_ref().agent_id).await?;
        Ok(Response::new(
            change::rotate(&self.app, &caller, row.id).await?.to_proto(),
        ))
    }

    async fn get_agent_provisioning(
        &self,
        request: Request<GetAgentProvisioningRequest>,
    ) -> Result<Response<AgentProvisioning>, Status> {
        let caller = Caller::of(&request)?;
        Ok(Response::new(
            visible(&self.app, &caller, &request.get_ref().agent_id)
                .await?
                .provisioning(),
        ))
    }

    async fn watch_agents(&self, request: Request<WatchAgentsRequest>) -> Result<Response<AgentEvents>, Status> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let organization = caller.organization()?.to_string();
        let board = optional_uuid(request.board_id.as_ref())?;
        let readable = caller.readable_boards()?;
        if let (Some(board), Some(readable)) = (board, &readable)
            && !readable.contains(&board)
        {
            return Err(Error::denied("Board access denied").into());
        }
        let board = board.map(|id| id.to_string());
        let readable: Option<Vec<String>> = readable.map(|boards| boards.iter().map(Uuid::to_string).collect());
        let start = Start::of(request.since.as_deref(), request.resume_token.as_deref())?;
        let events = self.feed.watch(start, move |event| {
            event.organization_id == organization
                && event.r#type.starts_with("agent.")
                && (event.after.is_some() || event.before.is_some())
                && board.as_ref().is_none_or(|board| *board == event.board_id)
                && readable
                    .as_ref()
                    .is_none_or(|readable| event.board_id.is_empty() || readable.contains(&event.board_id))
        });
        let events = events.map(|event| event.map(|event| agent_event(&event)).map_err(Status::from));
        Ok(Response::new(Box::pin(events)))
    }
}

/// Whether a status may be reported by an agent.
pub fn reportable(status: &str) -> Result<()> {
    if rules::RESERVED_STATUSES.contains(&status) {
        return Err(Error::invalid(
            "status",
            format!("`{status}` is set by Mission Control; report another status, or none."),
        ));
    }
    Ok(())
}
