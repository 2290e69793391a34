//! `AgentDirectoryService`: what other services ask about agents.

use std::sync::Arc;

use chassis::{Error, Result, identity::uuid_of};
use proto::{
    agent::v1::{
        Agent, EnsureBoardLeadRequest, EnsureBoardLeadResponse, ListBoardAgentsRequest, LookupAgentsRequest,
        LookupAgentsResponse, LookupGatewayMainRequest, VerifyTokenRequest, VerifyTokenResponse,
        agent_directory_service_server::AgentDirectoryService,
    },
    identity::v1::Principal,
};
use tonic::{Request, Response, Status};

use crate::{
    app::App,
    create, leads,
    row::{AgentRow, agents},
    token::{self, Known, Recall},
};

/// The service.
pub struct Directory {
    pub(crate) app: Arc<App>,
}

impl Directory {
    async fn verify(&self, raw: &str) -> Result<Arc<Principal>> {
        let refused = || Error::unauthenticated("Unauthorized");
        let Some((key_id, secret)) = token::split(raw) else {
            return Err(refused());
        };
        let fingerprint = Known::fingerprint(raw);
        let epoch = match self.app.known.recall(&fingerprint).await {
            Recall::Verified(agent, principal) => {
                self.app.touches.note(agent);
                return Ok(principal);
            }
            Recall::Refused => return Err(refused()),
            Recall::Unknown(epoch) => epoch,
        };
        let row = sqlx::query!(
            "SELECT id, organization_id, gateway_id, board_id, name, is_board_lead, token_hash FROM agent.agents \
             WHERE token_key_id = $1 AND deleting_at IS NULL",
            key_id
        )
        .fetch_optional(self.app.store.pool())
        .await?;
        let Some(row) = row.filter(|row| token::matches(secret, &row.token_hash)) else {
            self.app.known.refused(fingerprint).await;
            return Err(refused());
        };
        let principal = Arc::new(Principal {
            kind: proto::identity::v1::PrincipalKind::Agent.into(),
            id: row.id.to_string(),
            name: row.name,
            organization_id: row.organization_id.to_string(),
            board_id: row.board_id.map(|id| id.to_string()).unwrap_or_default(),
            gateway_id: row.gateway_id.to_string(),
            is_lead: row.is_board_lead,
            ..Principal::default()
        });
        self.app
            .known
            .verified(fingerprint, row.id, principal.clone(), epoch)
            .await;
        self.app.touches.note(row.id);
        Ok(principal)
    }

    async fn ensure_lead(
        &self,
        caller: &chassis::Caller,
        request: EnsureBoardLeadRequest,
    ) -> Result<EnsureBoardLeadResponse> {
        let profile = create::object("identity_profile", request.identity_profile.as_deref())?;
        let (row, created) =
            leads::ensure(&self.app, caller, uuid_of(&request.board_id)?, &request.name, profile).await?;
        Ok(EnsureBoardLeadResponse {
            agent: Some(row.to_proto()),
            created,
        })
    }
}

fn reply(rows: &[AgentRow]) -> Response<LookupAgentsResponse> {
    Response::new(LookupAgentsResponse {
        agents: rows.iter().map(AgentRow::to_proto).collect(),
    })
}

#[tonic::async_trait]
impl AgentDirectoryService for Directory {
    async fn lookup_gateway_main(&self, request: Request<LookupGatewayMainRequest>) -> Result<Response<Agent>, Status> {
        let row = agents!(
            "SELECT",
            "FROM agent.agents AS a WHERE a.gateway_id = $1 AND a.board_id IS NULL AND a.deleting_at IS NULL",
            uuid_of(&request.get_ref().gateway_id)?
        )
        .fetch_optional(self.app.store.pool())
        .await
        .map_err(Error::from)?
        .ok_or_else(|| Error::not_found("The gateway has no main agent."))?;
        Ok(Response::new(row.to_proto()))
    }

    async fn verify_token(
        &self,
        request: Request<VerifyTokenRequest>,
    ) -> Result<Response<VerifyTokenResponse>, Status> {
        let principal = self.verify(&request.get_ref().token).await?;
        Ok(Response::new(VerifyTokenResponse {
            principal: Some((*principal).clone()),
        }))
    }

    async fn lookup_agents(
        &self,
        request: Request<LookupAgentsRequest>,
    ) -> Result<Response<LookupAgentsResponse>, Status> {
        let request = request.into_inner();
        let organization = uuid_of(&request.organization_id)?;
        let ids = request
            .agent_ids
            .iter()
            .map(|id| uuid_of(id))
            .collect::<Result<Vec<_>>>()?;
        let rows = agents!(
            "SELECT",
            "FROM agent.agents AS a WHERE a.organization_id = $1 AND a.id = ANY($2)",
            organization,
            &ids
        )
        .fetch_all(self.app.store.pool())
        .await
        .map_err(Error::from)?;
        Ok(reply(&rows))
    }

    async fn ensure_board_lead(
        &self,
        request: Request<EnsureBoardLeadRequest>,
    ) -> Result<Response<EnsureBoardLeadResponse>, Status> {
        let caller = chassis::Caller::of(&request)?;
        Ok(Response::new(self.ensure_lead(&caller, request.into_inner()).await?))
    }

    async fn list_board_agents(
        &self,
        request: Request<ListBoardAgentsRequest>,
    ) -> Result<Response<LookupAgentsResponse>, Status> {
        let board = uuid_of(&request.get_ref().board_id)?;
        let rows = agents!(
            "SELECT",
            "FROM agent.agents AS a WHERE a.board_id = $1 ORDER BY a.created_at, a.id",
            board
        )
        .fetch_all(self.app.store.pool())
        .await
        .map_err(Error::from)?;
        Ok(reply(&rows))
    }
}
