//! What this service asks of the others, and only when a rule needs to know.

use chassis::{
    Caller, Error, Result,
    channel::{ANSWER, Peers},
    error::Kind,
};
use proto::{
    agent::v1::{
        Agent, EnsureBoardLeadRequest, ListBoardAgentsRequest, LookupAgentsRequest, LookupGatewayMainRequest,
        agent_directory_service_client::AgentDirectoryServiceClient,
    },
    approval::v1::{
        CheckTaskRequest, SummarizeBoardRequest, SummarizeBoardResponse, gate_service_client::GateServiceClient,
    },
    gateway::v1::{LookupGatewayRequest, gateway_runtime_service_client::GatewayRuntimeServiceClient},
};
use uuid::Uuid;

use crate::{
    rules::{Approvals, Assignee},
    tasks::BoardFacts,
};

/// The other services, called as this one on behalf of a request.
#[derive(Clone)]
pub struct Outside {
    peers: Peers,
}

impl Outside {
    /// `peers` speak as this service.
    pub fn new(peers: Peers) -> Self {
        Self { peers }
    }

    /// The approvals linked to a task.
    pub async fn approvals(&self, caller: &Caller, board: &BoardFacts, task: Uuid) -> Result<Approvals> {
        let peer = self
            .peers
            .as_service("approval", Some(board.organization), Some(caller));
        let request = CheckTaskRequest {
            board_id: board.id.to_string(),
            task_id: task.to_string(),
        };
        let state = GateServiceClient::new(peer).check_task(request).await?.into_inner();
        Ok(Approvals {
            pending: state.has_pending,
            approved: state.has_approved,
        })
    }

    /// Approvals of a board, the newest ones up to a limit, and how many wait.
    pub async fn approvals_of_board(
        &self,
        caller: &Caller,
        organization: Uuid,
        board: Uuid,
        limit: i32,
    ) -> Result<SummarizeBoardResponse> {
        let peer = self.peers.as_service("approval", Some(organization), Some(caller));
        let request = SummarizeBoardRequest {
            board_id: board.to_string(),
            limit,
        };
        Ok(GateServiceClient::new(peer)
            .max_decoding_message_size(ANSWER)
            .summarize_board(request)
            .await?
            .into_inner())
    }

    /// The agents of a board, oldest first.
    pub async fn agents_of_board(&self, caller: &Caller, organization: Uuid, board: Uuid) -> Result<Vec<Agent>> {
        let peer = self.peers.as_service("agent", Some(organization), Some(caller));
        let request = ListBoardAgentsRequest {
            board_id: board.to_string(),
        };
        let found = AgentDirectoryServiceClient::new(peer)
            .max_decoding_message_size(ANSWER)
            .list_board_agents(request)
            .await?;
        Ok(found.into_inner().agents)
    }

    /// Agents of an organization by id, those that exist.
    pub async fn agents(&self, caller: &Caller, organization: Uuid, ids: &[Uuid]) -> Result<Vec<Agent>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let peer = self.peers.as_service("agent", Some(organization), Some(caller));
        let request = LookupAgentsRequest {
            organization_id: organization.to_string(),
            agent_ids: ids.iter().map(Uuid::to_string).collect(),
        };
        let found = AgentDirectoryServiceClient::new(peer)
            .max_decoding_message_size(ANSWER)
            .lookup_agents(request)
            .await?;
        Ok(found.into_inner().agents)
    }

    /// The agent that leads a board.
    pub async fn lead(&self, caller: &Caller, board: &BoardFacts) -> Result<Option<Uuid>> {
        let peer = self.peers.as_service("agent", Some(board.organization), Some(caller));
        let request = ListBoardAgentsRequest {
            board_id: board.id.to_string(),
        };
        let agents = AgentDirectoryServiceClient::new(peer)
            .max_decoding_message_size(ANSWER)
            .list_board_agents(request)
            .await?
            .into_inner()
            .agents;
        agents
            .iter()
            .find(|agent| agent.is_board_lead)
            .map(|agent| chassis::identity::uuid_of(&agent.id))
            .transpose()
    }

    /// The main agent of a gateway.
    pub async fn gateway_main(&self, caller: &Caller, organization: Uuid, gateway: Uuid) -> Result<Agent> {
        let peer = self.peers.as_service("agent", Some(organization), Some(caller));
        let request = LookupGatewayMainRequest {
            gateway_id: gateway.to_string(),
        };
        let answer = AgentDirectoryServiceClient::new(peer)
            .lookup_gateway_main(request)
            .await;
        match answer.map_err(Error::from) {
            Ok(agent) => Ok(agent.into_inner()),
            Err(error) if error.kind() == Kind::NotFound => Err(Error::unprocessable(
                "The board's gateway has no main agent yet. It is made when the gateway is registered: try again in a moment.",
            )),
            Err(error) => Err(error),
        }
    }

    /// Makes a board's lead when it has none.
    pub async fn ensure_lead(
        &self,
        organization: Uuid,
        board: Uuid,
        name: String,
        identity_profile: Option<Vec<u8>>,
    ) -> Result<()> {
        let peer = self.peers.as_service("agent", Some(organization), None);
        let request = EnsureBoardLeadRequest {
            board_id: board.to_string(),
            name,
            identity_profile,
        };
        AgentDirectoryServiceClient::new(peer)
            .ensure_board_lead(request)
            .await?;
        Ok(())
    }

    /// What an agent is to a board.
    pub async fn assignee(&self, caller: &Caller, board: &BoardFacts, agent: Uuid) -> Result<Assignee> {
        let peer = self.peers.as_service("agent", Some(board.organization), Some(caller));
        let request = LookupAgentsRequest {
            organization_id: board.organization.to_string(),
            agent_ids: vec![agent.to_string()],
        };
        let agents = AgentDirectoryServiceClient::new(peer)
            .lookup_agents(request)
            .await?
            .into_inner()
            .agents;
        let Some(found) = agents.into_iter().find(|found| found.id == agent.to_string()) else {
            return Ok(Assignee::Unknown);
        };
        let here = match &found.board_id {
            Some(id) => *id == board.id.to_string(),
            None => {
                found.is_gateway_main
                    && board
                        .gateway
                        .is_some_and(|gateway| found.gateway_id == gateway.to_string())
            }
        };
        Ok(match here {
            false => Assignee::Elsewhere,
            true if found.is_board_lead => Assignee::Lead,
            true => Assignee::Member,
        })
    }

    /// Refuses a gateway that is not one of the organization.
    pub async fn check_gateway(&self, caller: &Caller, organization: Uuid, gateway: Uuid) -> Result<()> {
        let peer = self
            .peers
            .as_service("gateway-bridge", Some(organization), Some(caller));
        let request = LookupGatewayRequest {
            organization_id: organization.to_string(),
            gateway_id: gateway.to_string(),
        };
        match GatewayRuntimeServiceClient::new(peer)
            .lookup_gateway(request)
            .await
            .map_err(Error::from)
        {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == Kind::NotFound => Err(Error::unprocessable("gateway_id is invalid").beside(
                "remedy",
                "List the gateways of the board's organization and use one of their ids.",
            )),
            Err(error) => Err(error),
        }
    }
}
