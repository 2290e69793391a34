//! `TemplateService`: agents' files of a gateway, rendered and written again, and what that would change.
//!
//! A sync says what it wants of its agents in their rows, as every other change does, and the reconciler brings the gateway there. The
//! operation shows how far it has come; a caller who waits is answered when it is settled, or after a while with what is not done yet.

use std::{sync::Arc, time::Duration};

use chassis::{
    Caller, Error, Result, Tx,
    identity::uuid_of,
    live::{Feed, Start, now_position},
};
use futures::StreamExt;
use proto::agent::v1::{
    Operation, OperationItemState, PreviewAgentFilesRequest, PreviewAgentFilesResponse, PreviewTemplateSyncRequest,
    PreviewTemplateSyncResponse, SyncGatewayTemplatesError, SyncGatewayTemplatesRequest, SyncGatewayTemplatesResponse,
    template_service_server::TemplateService,
};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::{
    app::{App, found},
    operations::{self, TEMPLATE_SYNC, begin, is_settled},
    presence::change,
    preview, provision,
    row::{AgentRow, Wishes, agents},
    token,
};

/// How long a caller waits at most; what is not done then is reported, and the operation goes on.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long an operation tries.
const DEADLINE: time::Duration = time::Duration::minutes(10);

/// The service.
pub struct Templates {
    pub(crate) app: Arc<App>,
    pub(crate) feed: Feed,
}

/// Which agents of a gateway.
pub struct Scope {
    pub gateway: Uuid,
    pub board: Option<Uuid>,
    pub include_main: bool,
    pub lead_only: bool,
}

impl Scope {
    /// The agents, main agent last, others in the order they were made. Locked, in the order of their ids like everywhere.
    pub async fn rows(&self, tx: &mut Tx) -> Result<Vec<AgentRow>> {
        let mut rows = agents!(
            "SELECT",
            "FROM agent.agents AS a \
             WHERE a.gateway_id = $1 AND a.deleting_at IS NULL AND CASE WHEN a.board_id IS NULL THEN $2 \
                 ELSE ($3::uuid IS NULL OR a.board_id = $3) AND (a.is_board_lead OR NOT $4) END \
             ORDER BY a.id FOR UPDATE",
            self.gateway,
            self.include_main,
            self.board,
            self.lead_only
        )
        .fetch_all(&mut **tx)
        .await?;
        rows.sort_by_key(|row| (row.board_id.is_none(), row.created_at, row.id));
        Ok(rows)
    }

    /// The same agents in the same order, only to be looked at.
    pub async fn seen(&self, tx: &mut Tx) -> Result<Vec<AgentRow>> {
        Ok(agents!(
            "SELECT",
            "FROM agent.agents AS a \
             WHERE a.gateway_id = $1 AND a.deleting_at IS NULL AND CASE WHEN a.board_id IS NULL THEN $2 \
                 ELSE ($3::uuid IS NULL OR a.board_id = $3) AND (a.is_board_lead OR NOT $4) END \
             ORDER BY a.board_id IS NULL, a.created_at, a.id",
            self.gateway,
            self.include_main,
            self.board,
            self.lead_only
        )
        .fetch_all(&mut **tx)
        .await?)
    }

    /// Whether the board is one of the gateway.
    pub async fn has_board(&self, app: &App, organization: Uuid) -> Result<bool> {
        let Some(board) = self.board else { return Ok(true) };
        Ok(found(app.board(board).await)?.is_some_and(|board| {
            board.gateway_id == Some(self.gateway.to_string()) && board.organization_id == organization.to_string()
        }))
    }
}

/// Boards of these agents that were told to pause.
pub async fn paused(tx: &mut Tx, agents: &[AgentRow]) -> Result<Vec<Uuid>> {
    let boards: Vec<Uuid> = agents.iter().filter_map(|row| row.board_id).collect();
    Ok(sqlx::query_scalar!(
        "SELECT board_id FROM agent.paused_boards WHERE board_id = ANY($1)",
        &boards
    )
    .fetch_all(&mut **tx)
    .await?)
}

/// Says why nothing was begun.
const FOREIGN_BOARD: &str = "Board does not belong to this gateway.";
/// What is said of agents of paused boards.
pub const PAUSED: &str = "The board is paused.";

/// How a sync began.
enum Begun {
    /// Nothing was begun, for this reason.
    Refused(&'static str),
    /// The operation.
    Operation(Uuid),
}

fn entry(agent: Option<&str>, name: Option<&str>, board: Option<&str>, message: String) -> SyncGatewayTemplatesError {
    SyncGatewayTemplatesError {
        agent_id: agent.map(str::to_owned),
        agent_name: name.map(str::to_owned),
        board_id: board.map(str::to_owned),
        message,
    }
}

impl Templates {
    async fn begin(&self, caller: &Caller, request: &SyncGatewayTemplatesRequest) -> Result<Begun> {
        let (organization, gateway_id) = (caller.organization()?, uuid_of(&request.gateway_id)?);
        let gateway = found(self.app.gateway(organization, gateway_id).await)?
            .ok_or_else(|| Error::not_found("Gateway not found"))?;
        let scope = Scope {
            gateway: gateway_id,
            board: request.board_id.as_deref().map(uuid_of).transpose()?,
            include_main: request.include_main.unwrap_or(true),
            lead_only: request.lead_only.unwrap_or(false),
        };
        if !scope.has_board(&self.app, organization).await? {
            return Ok(Begun::Refused(FOREIGN_BOARD));
        }
        let operation = Uuid::now_v7();
        let mut tx = self.app.store.begin().await?;
        let rows = scope.rows(&mut tx).await?;
        let paused = paused(&mut tx, &rows).await?;
        let is_paused = |row: &AgentRow| row.board_id.is_some_and(|board| paused.contains(&board));
        let chosen: Vec<Uuid> = rows.iter().filter(|row| !is_paused(row)).map(|row| row.id).collect();
        let wishes = Wishes {
            refresh: true,
            overwrite: request.overwrite.unwrap_or(false),
            bootstrap: request.force_bootstrap.unwrap_or(false),
            reset_session: request.reset_sessions.unwrap_or(false),
            verify: true,
            wake: false,
        };
        if request.rotate_tokens.unwrap_or(false) {
            self.rotate(&mut tx, caller, &rows, &chosen).await?;
        }
        sqlx::query!(
            "UPDATE agent.agents SET wishes = wishes || $2, desired_generation = desired_generation + 1, next_attempt_at = now(), attempts = 0 \
             WHERE id = ANY($1)",
            &chosen,
            wishes.json()
        )
        .execute(&mut *tx)
        .await?;
        sqlx::query!(
            "INSERT INTO agent.operations (id, organization_id, gateway_id, board_id, kind, title, created_by, deadline_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            operation,
            organization,
            gateway_id,
            scope.board,
            TEMPLATE_SYNC,
            format!("Template sync of {}", gateway.name),
            caller.actor().name,
            time::OffsetDateTime::now_utc() + DEADLINE
        )
        .execute(&mut *tx)
        .await?;
        sqlx::query!(
            "INSERT INTO agent.operation_items (operation_id, agent_id, agent_name, board_id, generation, state, message) \
             SELECT $1, a.id, a.name, a.board_id, a.desired_generation, \
                 CASE WHEN a.id = ANY($3) THEN 'waiting' ELSE 'skipped' END, CASE WHEN a.id = ANY($3) THEN '' ELSE $4 END \
             FROM agent.agents AS a WHERE a.id = ANY($2)",
            operation,
            &rows.iter().map(|row| row.id).collect::<Vec<_>>(),
            &chosen,
            PAUSED
        )
        .execute(&mut *tx)
        .await?;
        begin(&mut tx, caller, operation).await?;
        tx.commit().await?;
        for id in chosen.iter().filter(|_| request.rotate_tokens.unwrap_or(false)) {
            self.app.known.forget(*id);
        }
        self.app.work.notify_one();
        Ok(Begun::Operation(operation))
    }

    /// New tokens for many agents with one statement. The old ones stop working when the transaction commits.
    async fn rotate(&self, tx: &mut Tx, caller: &Caller, rows: &[AgentRow], chosen: &[Uuid]) -> Result<()> {
        let (mut keys, mut hashes, mut sealed, mut events) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for row in rows.iter().filter(|row| chosen.contains(&row.id)) {
            let minted = token::mint()?;
            sealed.push(token::seal(&self.app.sealer, row.id, &minted)?);
            keys.push(minted.key_id);
            hashes.push(minted.hash);
            let told = change("agent.token_rotated", row)
                .message(format!("Token of agent {} replaced.", row.name))
                .after(&row.to_proto());
            events.push(told.into_event(caller));
        }
        sqlx::query!(
            "UPDATE agent.agents AS a SET token_key_id = n.key_id, token_hash = n.hash, token_sealed = n.sealed, updated_at = now() \
             FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bytea[]) AS n (id, key_id, hash, sealed) WHERE a.id = n.id",
            chosen,
            &keys,
            &hashes,
            &sealed
        )
        .execute(&mut **tx)
        .await?;
        if events.is_empty() {
            return Ok(());
        }
        tx.record_events(&events).await
    }

    async fn sync(
        &self,
        caller: &Caller,
        request: SyncGatewayTemplatesRequest,
    ) -> Result<SyncGatewayTemplatesResponse> {
        let (organization, gateway) = (caller.organization()?, uuid_of(&request.gateway_id)?);
        let mut reply = SyncGatewayTemplatesResponse {
            gateway_id: gateway.to_string(),
            include_main: request.include_main.unwrap_or(true),
            reset_sessions: request.reset_sessions.unwrap_or(false),
            ..SyncGatewayTemplatesResponse::default()
        };
        let position = now_position(&self.app.store).await?;
        let operation = match self.begin(caller, &request).await? {
            Begun::Refused(why) => {
                reply.errors.push(entry(None, None, None, why.to_owned()));
                return Ok(reply);
            }
            Begun::Operation(id) => id,
        };
        reply.operation_id = Some(operation.to_string());
        if let Err(failure) = provision::connected(&self.app, organization, gateway).await {
            let message = format!(
                "{} The sync is queued as operation {operation} and goes on when the gateway answers.",
                failure.message
            );
            reply.errors.push(entry(None, None, None, message));
            return Ok(reply);
        }
        self.wait(operation, position).await?;
        let items = operations::items(&self.app, operation).await?;
        let mut has_main = false;
        for item in items {
            let is_main = item.board_id.is_none();
            has_main |= is_main;
            let message = match item.state() {
                OperationItemState::Done if is_main => {
                    reply.main_updated = true;
                    continue;
                }
                OperationItemState::Done => {
                    reply.agents_updated += 1;
                    continue;
                }
                OperationItemState::Failed => format!("Failed to sync templates: {}", item.message),
                OperationItemState::Skipped if item.message == PAUSED => String::new(),
                OperationItemState::Skipped => format!("Left out: {}", item.message),
                _ => format!(
                    "Failed to sync templates: not done within {} seconds; operation {operation} goes on. {}",
                    PATIENCE.as_secs(),
                    item.message
                ),
            };
            reply.agents_skipped += i32::from(!is_main);
            if !message.is_empty() {
                reply.errors.push(entry(
                    item.agent_id.as_deref(),
                    Some(&item.name),
                    item.board_id.as_deref(),
                    message.trim_end().to_owned(),
                ));
            }
        }
        if reply.include_main && !has_main {
            reply.errors.push(entry(
                None,
                None,
                None,
                "The gateway has no main agent: save the gateway again to have it made.".to_owned(),
            ));
        }
        Ok(reply)
    }

    /// Waits until an operation is settled, or for as long as a caller has patience.
    async fn wait(&self, operation: Uuid, position: i64) -> Result<()> {
        let id = operation.to_string();
        let mut steps = Box::pin(operations::watch(&self.feed, Start::After(position), move |step| {
            step.id == id
        }));
        let settled = async {
            while let Some(step) = steps.next().await {
                if is_settled(step?.operation.as_ref()) {
                    break;
                }
            }
            Ok(())
        };
        tokio::time::timeout(PATIENCE, settled).await.unwrap_or(Ok(()))
    }

    async fn start(&self, caller: &Caller, request: SyncGatewayTemplatesRequest) -> Result<Operation> {
        match self.begin(caller, &request).await? {
            Begun::Refused(why) => Err(Error::unprocessable(why)),
            Begun::Operation(id) => operations::find(&self.app, caller, &id.to_string()).await,
        }
    }
}

#[tonic::async_trait]
impl TemplateService for Templates {
    async fn sync_gateway_templates(
        &self,
        request: Request<SyncGatewayTemplatesRequest>,
    ) -> Result<Response<SyncGatewayTemplatesResponse>, Status> {
        let caller = Caller::of(&request)?;
        Ok(Response::new(self.sync(&caller, request.into_inner()).await?))
    }

    async fn start_template_sync(
        &self,
        request: Request<SyncGatewayTemplatesRequest>,
    ) -> Result<Response<Operation>, Status> {
        let caller = Caller::of(&request)?;
        Ok(Response::new(self.start(&caller, request.into_inner()).await?))
    }

    async fn preview_template_sync(
        &self,
        request: Request<PreviewTemplateSyncRequest>,
    ) -> Result<Response<PreviewTemplateSyncResponse>, Status> {
        let caller = Caller::of(&request)?;
        Ok(Response::new(
            preview::sync(&self.app, &caller, &request.into_inner()).await?,
        ))
    }

    async fn preview_agent_files(
        &self,
        request: Request<PreviewAgentFilesRequest>,
    ) -> Result<Response<PreviewAgentFilesResponse>, Status> {
        let caller = Caller::of(&request)?;
        Ok(Response::new(
            preview::files(&self.app, &caller, request.into_inner()).await?,
        ))
    }
}
