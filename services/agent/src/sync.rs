//! `TemplateService`: every agent's files of a gateway, rendered and written again while the caller waits.

use std::{sync::Arc, time::Duration};

use chassis::{Caller, Error, Result, identity::uuid_of, message::Page};
use futures::{StreamExt, stream};
use proto::agent::v1::{
    SyncGatewayTemplatesError, SyncGatewayTemplatesRequest, SyncGatewayTemplatesResponse,
    template_service_server::TemplateService,
};
use tokio::time::Instant;
use tonic::{Request, Response, Status};

use crate::{
    app::{App, found},
    change,
    provision::{self, Ensured, Failure},
    row::{AgentRow, agents},
};

/// How long a caller waits at most; what is not done then is reported, and the reconciler goes on with it.
const DEADLINE: Duration = Duration::from_secs(20);
/// Agents written at once.
const CONCURRENCY: usize = 8;

/// The service.
pub struct Templates {
    pub(crate) app: Arc<App>,
}

fn entry(row: Option<&AgentRow>, message: impl Into<String>) -> SyncGatewayTemplatesError {
    SyncGatewayTemplatesError {
        agent_id: row.map(|row| row.id.to_string()),
        agent_name: row.map(|row| row.name.clone()),
        board_id: row.and_then(|row| row.board_id).map(|id| id.to_string()),
        message: message.into(),
    }
}

impl Templates {
    async fn sync(
        &self,
        caller: &Caller,
        request: SyncGatewayTemplatesRequest,
    ) -> Result<SyncGatewayTemplatesResponse> {
        let deadline = Instant::now() + DEADLINE;
        let (organization, gateway_id) = (caller.organization()?, uuid_of(&request.gateway_id)?);
        found(self.app.gateway(organization, gateway_id).await)?
            .ok_or_else(|| Error::not_found("Gateway not found"))?;
        let mut reply = SyncGatewayTemplatesResponse {
            gateway_id: gateway_id.to_string(),
            include_main: request.include_main.unwrap_or(true),
            reset_sessions: request.reset_sessions.unwrap_or(false),
            ..SyncGatewayTemplatesResponse::default()
        };
        if let Err(failure) = provision::connected(&self.app, organization, gateway_id).await {
            reply.errors.push(entry(None, failure.message));
            return Ok(reply);
        }
        let board = request.board_id.as_deref().map(uuid_of).transpose()?;
        if let Some(board) = board {
            let own = found(self.app.board(board).await)?.is_some_and(|board| {
                board.gateway_id.as_deref() == Some(reply.gateway_id.as_str())
                    && board.organization_id == organization.to_string()
            });
            if !own {
                reply.errors.push(entry(None, "Board does not belong to this gateway."));
                return Ok(reply);
            }
        }
        let rows = agents!(
            "SELECT",
            "FROM agent.agents AS a \
             WHERE a.gateway_id = $1 AND a.deleting_at IS NULL AND CASE WHEN a.board_id IS NULL THEN $2 \
                 ELSE ($3::uuid IS NULL OR a.board_id = $3) AND (a.is_board_lead OR NOT $4) END \
             ORDER BY a.board_id IS NULL, a.created_at LIMIT $5",
            gateway_id,
            reply.include_main,
            board,
            request.lead_only.unwrap_or(false),
            i64::from(Page::of(None, None)?.limit) * 50
        )
        .fetch_all(self.app.store.pool())
        .await?;
        let has_main = rows.iter().any(|row| row.board_id.is_none());
        let request = &request;
        let mut done = stream::iter(rows)
            .map(|row| async move {
                let outcome = tokio::time::timeout_at(deadline, self.sync_one(caller, &row, request)).await;
                (row, outcome)
            })
            .buffer_unordered(CONCURRENCY);
        while let Some((row, outcome)) = done.next().await {
            let failure = match outcome {
                Ok(Ok(())) if row.board_id.is_none() => {
                    reply.main_updated = true;
                    continue;
                }
                Ok(Ok(())) => {
                    reply.agents_updated += 1;
                    continue;
                }
                Ok(Err(failure)) => failure.message,
                Err(_) => format!("not done within {} seconds; it goes on by itself", DEADLINE.as_secs()),
            };
            if row.board_id.is_some() {
                reply.agents_skipped += 1;
            }
            reply
                .errors
                .push(entry(Some(&row), format!("Failed to sync templates: {failure}")));
        }
        if reply.include_main && !has_main {
            reply.errors.push(entry(
                None,
                "The gateway has no main agent: save the gateway again to have it made.",
            ));
        }
        reply.errors.sort_by(|one, other| one.agent_name.cmp(&other.agent_name));
        self.app.work.notify_one();
        Ok(reply)
    }

    async fn sync_one(
        &self,
        caller: &Caller,
        row: &AgentRow,
        request: &SyncGatewayTemplatesRequest,
    ) -> Result<(), Failure> {
        let rotated;
        let row = if request.rotate_tokens.unwrap_or(false) {
            rotated = change::rotate(&self.app, caller, row.id)
                .await
                .map_err(|error| Failure::of("FilesWritten", &error))?;
            &rotated
        } else {
            row
        };
        let bootstrap = request.force_bootstrap.unwrap_or(false) || row.observed_generation == 0;
        let plan = provision::plan(&self.app, row, bootstrap)
            .await
            .map_err(|error| Failure::of("FilesWritten", &error))?;
        let ensured = provision::ensure(&self.app, row, &plan).await?;
        let overwrite =
            request.overwrite.unwrap_or(false) || ensured == Ensured::Created || row.observed_generation == 0;
        provision::write(&self.app, row, &plan, overwrite).await?;
        provision::configure(&self.app, row, &plan).await?;
        if request.reset_sessions.unwrap_or(false) {
            provision::reset_session(&self.app, row).await?;
        }
        // What is there now needs no second writing, unless the agent changed meanwhile.
        sqlx::query!(
            "UPDATE agent.agents SET applied_digest = $2 WHERE id = $1 AND desired_generation = $3",
            row.id,
            plan.digest,
            row.desired_generation
        )
        .execute(self.app.store.pool())
        .await
        .map_err(|error| Failure::of("FilesWritten", &error.into()))?;
        Ok(())
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
}
