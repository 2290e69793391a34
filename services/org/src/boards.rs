//! What the board service knows.

use std::collections::HashSet;

use chassis::{
    Caller, Error, Result,
    channel::{ANSWER, Peers},
};
use proto::board::v1::{LookupBoardsRequest, board_directory_service_client::BoardDirectoryServiceClient};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::rules::Access;

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
    if access.boards.is_empty() {
        return Ok(());
    }
    let named: Vec<String> = access.boards.iter().map(|(board, ..)| board.to_string()).collect();
    let peer = peers.as_service("board", Some(organization), Some(caller));
    let request = LookupBoardsRequest {
        board_ids: named.clone(),
    };
    let found = BoardDirectoryServiceClient::new(peer)
        .max_decoding_message_size(ANSWER)
        .lookup_boards(request)
        .await?
        .into_inner();
    let organization = organization.to_string();
    let own: HashSet<String> = found
        .boards
        .into_iter()
        .filter(|board| board.organization_id == organization)
        .map(|board| board.id)
        .collect();
    let unknown: Vec<String> = named.into_iter().filter(|board| !own.contains(board)).collect();
    if unknown.is_empty() {
        return Ok(());
    }
    Err(Error::unprocessable("These boards are not in this organization.").with("board_ids", unknown))
}
