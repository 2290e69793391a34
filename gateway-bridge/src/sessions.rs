//! Sessions of a gateway, named by itself or by a board of it, for people: listed, read and written to while they wait.

use std::time::Duration;

use chassis::{Caller, Change, Error, Result, channel::Peer, error::Kind as ErrorKind, identity::optional_uuid};
use proto::{
    common::v1::Ok as Done,
    gateway::v1::{
        GatewaySession, GatewaySessions, GetGatewaySessionRequest, GetSessionHistoryRequest, SendSessionMessageRequest,
        SessionHistory, gateway_service_client::GatewayServiceClient,
    },
};
use serde::Serialize;
use serde_json::Value;
use tonic::Request;
use uuid::Uuid;

use crate::{
    gateways::{Gateways, Row, find},
    rules,
    session::{Failure, Kind, SessionInfo},
    supervisor::Live,
};

/// How long people wait for a gateway.
pub const DEADLINE: Duration = Duration::from_secs(5);
/// Label of a main session that is made here; the agent service labels it anew when it writes to it.
const MAIN_LABEL: &str = "Gateway Agent";
/// Messages of a history when the request says nothing.
const HISTORY: i32 = 200;

/// Where a request about a gateway is answered.
#[expect(clippy::large_enum_variant, reason = "held for one call only, never in numbers")]
pub enum Where<T> {
    /// By this replica.
    Here(T),
    /// By the one that keeps the gateway's session.
    There(GatewayServiceClient<Peer>),
}

/// The gateway of a request.
pub struct Place {
    organization: Uuid,
    /// The board that named it.
    board: Option<Uuid>,
    pub gateway: Uuid,
    /// The gateway's address.
    pub url: String,
    pub live: Live,
}

impl Place {
    /// The gateway of a board that the caller may read, or one of the organization by its own id.
    pub async fn of<T>(
        gateways: &Gateways,
        request: &Request<T>,
        board: Option<&String>,
        gateway: Option<&String>,
    ) -> Result<Where<Self>> {
        let (board, named) = (optional_uuid(board)?, optional_uuid(gateway)?);
        let caller = Caller::of(request)?;
        let organization = caller.organization()?;
        let row = match (board, named) {
            (Some(board), named) => {
                let gateway = gateways.boards.gateway_of(&caller, board).await?;
                if named.is_some_and(|named| named != gateway) {
                    return Err(Error::invalid(
                        "gateway_id",
                        "gateway_id is not the gateway of this board: give one of them only.",
                    ));
                }
                of_board(gateways, organization, gateway).await?
            }
            (None, Some(named)) => find(&gateways.store, Some(organization), named).await?,
            (None, None) => return Err(Error::unprocessable("board_id is required")),
        };
        let gateway = row.id;
        if let Some(owner) = gateways.supervisor.elsewhere(request, gateway).await? {
            return Ok(Where::There(GatewayServiceClient::new(owner)));
        }
        Ok(Where::Here(Self {
            organization,
            board,
            gateway,
            url: row.url,
            live: gateways.supervisor.live(gateway).await?,
        }))
    }

    fn main_key(&self) -> String {
        rules::main_session(self.gateway)
    }

    async fn list(&self) -> Result<Vec<SessionInfo>> {
        within(&self.live, self.live.gateway.list_sessions()).await
    }
}

/// The gateway that a board names; one that is gone is the board's mistake.
async fn of_board(gateways: &Gateways, organization: Uuid, gateway: Uuid) -> Result<Row> {
    find(&gateways.store, Some(organization), gateway)
        .await
        .map_err(|error| match error.kind() {
            ErrorKind::NotFound => Error::unprocessable("Board gateway_id is invalid"),
            _ => error,
        })
}

/// What a gateway answers, or within [`DEADLINE`] why it does not.
async fn within<T>(live: &Live, asked: impl Future<Output = Result<T, Failure>>) -> Result<T> {
    match tokio::time::timeout(DEADLINE, asked).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(failure)) => Err(told(&failure)),
        Err(_) => {
            let state = live.gateway.session().state().borrow().clone();
            // One that is away has its reason in the state; waiting longer gives no better one.
            let connected = state.is_connected();
            match state.last_failure {
                Some(failure) if !connected => Err(told(&failure)),
                _ => Err(Error::new(
                    ErrorKind::Deadline,
                    format!(
                        "The gateway did not answer within {} s. Check its load and log, and try again.",
                        DEADLINE.as_secs()
                    ),
                )),
            }
        }
    }
}

/// A failure as people read it.
fn told(failure: &Failure) -> Error {
    let message = rules::sentence(failure);
    match failure.kind {
        Kind::Deadline => Error::new(ErrorKind::Deadline, message),
        Kind::AgentNotConfigured | Kind::AgentNotFound => Error::not_found("Session not found"),
        Kind::TooLarge => Error::unprocessable(message),
        _ => Error::gateway(message),
    }
}

fn json<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(Error::internal)
}

/// Sessions of a gateway.
pub async fn list(place: &Place) -> Result<GatewaySessions> {
    let sessions = place.list().await?;
    let key = place.main_key();
    let main = sessions.iter().find(|session| session.key == key);
    Ok(GatewaySessions {
        main_session: main.map(json).transpose()?,
        sessions: json(&sessions)?,
    })
}

/// One session.
pub async fn get(place: &Place, request: &GetGatewaySessionRequest) -> Result<GatewaySession> {
    let key = &request.session_id;
    let found = |sessions: Vec<SessionInfo>| sessions.into_iter().find(|session| session.key == *key);
    let mut session = found(place.list().await?);
    if session.is_none() && *key == place.main_key() {
        within(&place.live, place.live.label(key, MAIN_LABEL)).await?;
        session = found(place.list().await?);
    }
    let session = session.ok_or_else(|| Error::not_found("Session not found"))?;
    Ok(GatewaySession {
        session: json(&session)?,
    })
}

/// The newest messages of a session.
pub async fn history(place: &Place, request: &GetSessionHistoryRequest) -> Result<SessionHistory> {
    let limit = request.limit.unwrap_or(HISTORY);
    if !(1..=1000).contains(&limit) {
        return Err(Error::invalid("limit", "limit must be between 1 and 1000."));
    }
    let asked = place
        .live
        .gateway
        .chat_history(&request.session_id, limit.unsigned_abs());
    let messages: Vec<Value> = within(&place.live, asked)
        .await?
        .into_iter()
        .map(|message| message.raw)
        .collect();
    Ok(SessionHistory {
        history: json(&messages)?,
    })
}

/// Says something in a session.
pub async fn send(
    gateways: &Gateways,
    caller: &Caller,
    place: &Place,
    request: &SendSessionMessageRequest,
) -> Result<Done> {
    let content = request.content.trim();
    if content.is_empty() {
        return Err(Error::invalid("content", "content must not be empty."));
    }
    if let Some(board) = place.board {
        caller.may_write_board(place.organization, board)?;
    }
    let key = &request.session_id;
    if *key == place.main_key() {
        within(&place.live, place.live.label(key, MAIN_LABEL)).await?;
    }
    // Older releases run a turn for agents that nobody created.
    if let Some(agent) = key.strip_prefix("agent:").and_then(|rest| rest.split(':').next())
        && !within(&place.live, place.live.gateway.list_agents())
            .await?
            .iter()
            .any(|known| known.id == agent)
    {
        return Err(Error::not_found("Session not found"));
    }
    let id = Uuid::now_v7().to_string();
    within(&place.live, place.live.gateway.chat_now(key, content, &id)).await?;
    // What was said is not part of the record: conversations stay on the gateway.
    let mut change = Change::new("gateway.message_sent", place.organization)
        .gateway(place.gateway)
        .message(format!("Message sent to gateway session {key}."));
    if let Some(board) = place.board {
        change = change.board(board);
    }
    let mut tx = gateways.store.begin().await?;
    tx.record(caller, change).await?;
    tx.commit().await?;
    Ok(Done { ok: true })
}
