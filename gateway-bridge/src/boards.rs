//! What this service asks the board service.

use chassis::{
    Caller, Error, Result,
    channel::{ANSWER, Peers},
    error::Kind,
    identity::uuid_of,
};
use proto::board::v1::{
    Board, ListGatewayBoardsRequest, LookupBoardRequest, board_directory_service_client::BoardDirectoryServiceClient,
};
use uuid::Uuid;

/// The board service.
#[derive(Clone)]
pub struct Boards {
    pub peers: Peers,
}

impl Boards {
    /// Boards that use a gateway.
    pub async fn of_gateway(&self, caller: &Caller, organization: Uuid, gateway: Uuid) -> Result<Vec<Board>> {
        let peer = self.peers.as_service("board", Some(organization), Some(caller));
        let request = ListGatewayBoardsRequest {
            gateway_id: gateway.to_string(),
        };
        Ok(BoardDirectoryServiceClient::new(peer)
            .max_decoding_message_size(ANSWER)
            .list_gateway_boards(request)
            .await?
            .into_inner()
            .boards)
    }

    /// The gateway of a board that the caller may read.
    pub async fn gateway_of(&self, caller: &Caller, board: Uuid) -> Result<Uuid> {
        let organization = caller.organization()?;
        let peer = self.peers.as_service("board", Some(organization), Some(caller));
        let request = LookupBoardRequest {
            board_id: board.to_string(),
        };
        let board = match BoardDirectoryServiceClient::new(peer).lookup_board(request).await {
            Ok(board) => board.into_inner(),
            Err(status) => {
                let error = Error::from(status);
                return Err(if error.kind() == Kind::NotFound {
                    Error::not_found("Board not found")
                } else {
                    error
                });
            }
        };
        if uuid_of(&board.organization_id)? != organization {
            return Err(Error::not_found("Board not found"));
        }
        caller.may_read_board(organization, uuid_of(&board.id)?)?;
        match board.gateway_id {
            Some(id) => uuid_of(&id),
            None => Err(Error::unprocessable("Board gateway_id is required")),
        }
    }
}
