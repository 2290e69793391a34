//! What the board service knows.

use chassis::{Caller, Error, Result, channel::Peers, error::Kind};
use futures::{StreamExt, TryStreamExt, stream};
use proto::board::v1::{LookupBoardRequest, board_directory_service_client::BoardDirectoryServiceClient};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::rules::Access;

/// Boards asked about at once.
const AT_ONCE: usize = 8;

/// A right on one board, as JSON columns and queries have it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Granted {
    pub board_id: Uuid,
    pub can_read: bool,
    pub can_write: bool,
}

impl Granted {
    /// The rights to store.
    pub fn list(access: &Access) -> Vec<Self> {
        let grant = |(board_id, can_read, can_write): &(Uuid, bool, bool)| Self {
            board_id: *board_id,
            can_read: *can_read,
            can_write: *can_write,
        };
        access.stored_boards().iter().map(grant).collect()
    }
}

/// Refuses rights on boards that the organization does not have.
pub async fn check(peers: &Peers, caller: &Caller, organization: Uuid, access: &Access) -> Result<()> {
    let named: Vec<Uuid> = access.boards.iter().map(|(board, ..)| *board).collect();
    let unknown: Vec<String> = stream::iter(named)
        .map(|board| has(peers, caller, organization, board))
        .buffered(AT_ONCE)
        .try_filter_map(async |(board, known)| Ok((!known).then(|| board.to_string())))
        .try_collect()
        .await?;
    if unknown.is_empty() {
        return Ok(());
    }
    Err(Error::unprocessable("These boards are not in this organization.").with("board_ids", unknown))
}

async fn has(peers: &Peers, caller: &Caller, organization: Uuid, board: Uuid) -> Result<(Uuid, bool)> {
    let peer = peers.as_service("board", Some(organization), Some(caller));
    let request = LookupBoardRequest {
        board_id: board.to_string(),
    };
    match BoardDirectoryServiceClient::new(peer).lookup_board(request).await {
        Ok(found) => Ok((board, found.get_ref().organization_id == organization.to_string())),
        Err(status) => match Error::from(status) {
            error if error.kind() == Kind::NotFound => Ok((board, false)),
            error => Err(error),
        },
    }
}
