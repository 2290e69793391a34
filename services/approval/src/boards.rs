//! What other services know: boards, their tasks and agents.

use std::{collections::HashMap, time::Duration};

use chassis::{Caller, Error, Result, channel::Peers, identity::uuid_of};
use moka::future::Cache;
use proto::{
    agent::v1::{LookupAgentsRequest, agent_directory_service_client::AgentDirectoryServiceClient},
    board::v1::{LookupBoardRequest, LookupTasksRequest, board_directory_service_client::BoardDirectoryServiceClient},
};
use serde_json::Value;
use uuid::Uuid;

/// How long a board is taken to exist for reading. Its organization never changes.
const REMEMBERED: Duration = Duration::from_secs(30);
/// Boards remembered at once.
const CAPACITY: u64 = 10_000;

/// Asks the board and agent services.
pub struct Boards {
    peers: Peers,
    organizations: Cache<Uuid, Uuid>,
}

impl Boards {
    /// Asks these peers.
    pub fn new(peers: Peers) -> Self {
        Self {
            peers,
            organizations: Cache::builder().max_capacity(CAPACITY).time_to_live(REMEMBERED).build(),
        }
    }

    /// The organization of a board, for reading; as known some seconds ago at the earliest.
    pub async fn organization(&self, caller: &Caller, board: Uuid) -> Result<Uuid> {
        match self.organizations.get(&board).await {
            Some(organization) => Ok(organization),
            None => self.organization_now(caller, board).await,
        }
    }

    /// The organization of a board that exists now, for writing.
    pub async fn organization_now(&self, caller: &Caller, board: Uuid) -> Result<Uuid> {
        let peer = self.peers.as_service("board", None, Some(caller));
        let found = BoardDirectoryServiceClient::new(peer)
            .lookup_board(LookupBoardRequest {
                board_id: board.to_string(),
            })
            .await?
            .into_inner();
        let organization = uuid_of(&found.organization_id)?;
        self.organizations.insert(board, organization).await;
        Ok(organization)
    }

    /// The titles of tasks, in their order; an error that lists those which the board does not have.
    pub async fn titles(
        &self,
        caller: &Caller,
        organization: Uuid,
        board: Uuid,
        tasks: &[Uuid],
    ) -> Result<Vec<String>> {
        if tasks.is_empty() {
            return Ok(Vec::new());
        }
        let peer = self.peers.as_service("board", Some(organization), Some(caller));
        let request = LookupTasksRequest {
            board_id: board.to_string(),
            task_ids: tasks.iter().map(Uuid::to_string).collect(),
        };
        let found = BoardDirectoryServiceClient::new(peer)
            .lookup_tasks(request)
            .await?
            .into_inner();
        let mut titles: HashMap<String, String> = found.tasks.into_iter().map(|task| (task.id, task.title)).collect();
        let (mut known, mut missing) = (Vec::with_capacity(tasks.len()), Vec::new());
        for task in tasks.iter().map(Uuid::to_string) {
            match titles.remove(&task) {
                Some(title) => known.push(title),
                None => missing.push(Value::from(task)),
            }
        }
        if missing.is_empty() {
            return Ok(known);
        }
        Err(Error::not_found("These tasks do not exist on this board.").with("missing_task_ids", missing))
    }

    /// Refuses an agent that does not work on the board.
    pub async fn check_agent(&self, caller: &Caller, organization: Uuid, board: Uuid, agent: Uuid) -> Result<()> {
        let peer = self.peers.as_service("agent", Some(organization), Some(caller));
        let request = LookupAgentsRequest {
            organization_id: organization.to_string(),
            agent_ids: vec![agent.to_string()],
        };
        let found = AgentDirectoryServiceClient::new(peer)
            .lookup_agents(request)
            .await?
            .into_inner();
        let board = board.to_string();
        if found.agents.iter().any(|agent| agent.board_id.as_ref() == Some(&board)) {
            Ok(())
        } else {
            Err(Error::not_found(
                "There is no such agent on this board: leave agent_id out or name one that works here.",
            ))
        }
    }
}
