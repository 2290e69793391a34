//! What the handlers, consumers and loops of this service share.

use std::{sync::Arc, time::Duration};

use chassis::{
    Caller, Context, Error, Result, Store,
    channel::{ANSWER, Peer, Peers},
    error::Kind,
    identity::Signer,
    seal::Sealer,
};
use moka::future::Cache;
use proto::{
    board::v1::{
        Board, LookupBoardGroupRequest, LookupBoardGroupResponse, LookupBoardRequest,
        board_directory_service_client::BoardDirectoryServiceClient,
        board_group_directory_service_client::BoardGroupDirectoryServiceClient,
    },
    gateway::v1::{Gateway, LookupGatewayRequest, gateway_runtime_service_client::GatewayRuntimeServiceClient},
    org::v1::{GetOwnerProfileRequest, User, directory_service_client::DirectoryServiceClient},
};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::{presence::Touches, render::Renderer, souls::Souls, token::Known};

/// Name of this service among its peers.
pub const NAME: &str = "agent";

/// Name of the role that talks to gateways.
const BRIDGE: &str = "gateway-bridge";

/// Deadline of work on a gateway: old releases restart after every write and are waited for.
pub const GATEWAY_DEADLINE: Duration = Duration::from_secs(60);

/// Shared state.
pub struct App {
    /// The service's schema.
    pub store: Store,
    /// Seals raw tokens.
    pub sealer: Sealer,
    /// Tokens seen lately.
    pub known: Known,
    /// Agents seen lately.
    pub touches: Touches,
    /// Wakes the reconciler.
    pub work: Arc<Notify>,
    /// Wakes the sender of messages.
    pub mail: Arc<Notify>,
    /// Renders files.
    pub renderer: Renderer,
    /// The directory of souls.
    pub souls: Souls,
    /// Where agents reach Mission Control.
    pub base_url: String,
    signer: Signer,
    peers: Peers,
    /// Boards as consumers see them; names in messages may be a minute old.
    boards: Cache<Uuid, Arc<Board>>,
}

impl App {
    /// The state of this process.
    pub fn new(context: &Context, store: Store) -> Result<Arc<Self>> {
        Ok(Arc::new(Self {
            souls: Souls::new(&context.settings, store.clone())?,
            store,
            sealer: context.sealer.clone(),
            known: Known::default(),
            touches: Touches::default(),
            work: Arc::default(),
            mail: Arc::default(),
            renderer: Renderer::default(),
            base_url: context.settings.public_url(),
            signer: context.signer.clone(),
            peers: context.peers.named(NAME),
            boards: Cache::builder()
                .max_capacity(10_000)
                .time_to_live(Duration::from_secs(60))
                .build(),
        }))
    }

    /// This service acting by itself in an organization.
    pub fn itself(&self, organization: Uuid) -> Caller {
        Caller::service(&self.signer, NAME, Some(organization))
    }

    fn peer(&self, role: &str, organization: Option<Uuid>) -> Peer {
        self.peers.as_service(role, organization, None)
    }

    /// The bridge, for work that may take as long as a gateway's restart.
    pub fn gateways(&self, organization: Uuid) -> GatewayRuntimeServiceClient<Peer> {
        GatewayRuntimeServiceClient::new(self.peer(BRIDGE, Some(organization)).within(GATEWAY_DEADLINE))
    }

    /// The board service.
    pub fn board_directory(&self) -> BoardDirectoryServiceClient<Peer> {
        BoardDirectoryServiceClient::new(self.peer("board", None)).max_decoding_message_size(ANSWER)
    }

    /// A group of boards with its boards; `None` when there is none.
    pub async fn board_group(&self, id: &str) -> Result<Option<LookupBoardGroupResponse>> {
        let request = LookupBoardGroupRequest {
            group_id: id.to_owned(),
        };
        let mut client =
            BoardGroupDirectoryServiceClient::new(self.peer("board", None)).max_decoding_message_size(ANSWER);
        found(
            client
                .lookup_board_group(request)
                .await
                .map(tonic::Response::into_inner)
                .map_err(Error::from),
        )
    }

    /// A board; [`Kind::NotFound`] when there is none.
    pub async fn board(&self, id: Uuid) -> Result<Board> {
        Ok(self
            .board_directory()
            .lookup_board(LookupBoardRequest {
                board_id: id.to_string(),
            })
            .await?
            .into_inner())
    }

    /// A board that may be a minute old, for names in messages; `None` when there is none.
    pub async fn remembered_board(&self, id: Uuid) -> Result<Option<Arc<Board>>> {
        if let Some(board) = self.boards.get(&id).await {
            return Ok(Some(board));
        }
        let Some(board) = found(self.board(id).await)? else {
            return Ok(None);
        };
        let board = Arc::new(board);
        self.boards.insert(id, board.clone()).await;
        Ok(Some(board))
    }

    /// Forgets a board that changed.
    pub async fn forget_board(&self, id: Uuid) {
        self.boards.invalidate(&id).await;
    }

    /// A gateway of an organization; [`Kind::NotFound`] when there is none.
    pub async fn gateway(&self, organization: Uuid, id: Uuid) -> Result<Gateway> {
        let request = LookupGatewayRequest {
            organization_id: organization.to_string(),
            gateway_id: id.to_string(),
        };
        let mut client = GatewayRuntimeServiceClient::new(self.peer(BRIDGE, Some(organization)));
        Ok(client.lookup_gateway(request).await?.into_inner())
    }

    /// The person an organization's agents work for; nobody in particular when the organization has no owner.
    pub async fn owner(&self, organization: Uuid) -> Result<User> {
        let request = GetOwnerProfileRequest {
            organization_id: organization.to_string(),
        };
        let mut client = DirectoryServiceClient::new(self.peer("org", Some(organization)));
        Ok(found(
            client
                .get_owner_profile(request)
                .await
                .map(tonic::Response::into_inner)
                .map_err(Error::from),
        )?
        .unwrap_or_default())
    }
}

/// `None` for what does not exist.
pub fn found<T>(answer: Result<T>) -> Result<Option<T>> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == Kind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
