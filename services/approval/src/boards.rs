//! What other services know: boards, their tasks and agents.

use std::{collections::HashMap, time::Duration};

use chassis::{
    Caller, Error, Result,
    channel::{ANSWER, Peers},
    identity::uuid_of,
};
use moka::future::Cache;
use proto::{
    agent::v1::{LookupAgentsRequest, agent_directory_service_client::AgentDirectoryServiceClient},
    board::v1::{
        LookupBoardRequest, LookupBoardsRequest, LookupTasksRequest,
        board_directory_service_client::BoardDirectoryServiceClient,
    },
};
use serde_json::Value;
use uuid::Uuid;

/// How long a board is taken to exist for reading. Its organization never changes.
const REMEMBERED: Duration = Duration::from_secs(30);
/// Boards remembered at once.
const CAPACITY: u64 = 10_000;

/// What of a board its approvals need.
pub struct Facts {
    /// Its organization.
    pub organization: Uuid,
    /// How long its approvals wait; `None`: for ever.
    pub wait: Option<Duration>,
}

/// Asks the board and agent services.
#[derive(Clone)]
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
            None => Ok(self.now(caller, board).await?.organization),
        }
    }

    /// A board that exists now, for writing.
    pub async fn now(&self, caller: &Caller, board: Uuid) -> Result<Facts> {
        let peer = self.peers.as_service("board", None, Some(caller));
        let found = BoardDirectoryServiceClient::new(peer)
            .lookup_board(LookupBoardRequest {
                board_id: board.to_string(),
            })
            .await?
            .into_inner();
        let organization = uuid_of(&found.organization_id)?;
        self.organizations.insert(board, organization).await;
        let wait = found
            .approval_ttl_seconds
            .and_then(|seconds| u64::try_from(seconds).ok())
            .map(Duration::from_secs);
        Ok(Facts { organization, wait })
    }

    /// The names of boards by id, of those that exist.
    pub async fn names(&self, caller: &Caller, organization: Uuid, boards: &[Uuid]) -> Result<HashMap<String, String>> {
        if boards.is_empty() {
            return Ok(HashMap::new());
        }
        let peer = self.peers.as_service("board", Some(organization), Some(caller));
        let request = LookupBoardsRequest {
            board_ids: boards.iter().map(Uuid::to_string).collect(),
        };
        let found = BoardDirectoryServiceClient::new(peer)
            .max_decoding_message_size(ANSWER)
            .lookup_boards(request)
            .await?
            .into_inner();
        Ok(found.boards.into_iter().map(|board| (board.id, board.name)).collect())
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
            .max_decoding_message_size(ANSWER)
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
