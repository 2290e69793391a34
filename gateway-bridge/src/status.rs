//! The status page: whether a gateway answers, and its sessions. What goes wrong is part of the answer.

use std::time::Duration;

use chassis::{Caller, Error, Result};
use proto::gateway::v1::{GatewaysStatus, GetGatewaysStatusRequest, gateway_service_client::GatewayServiceClient};
use tonic::Request;
use uuid::Uuid;

use crate::{
    gateways::{Gateways, find},
    rules::{self, TokenChange},
    session::{Failure, Gateway, SessionInfo, SessionOptions, Target},
    sessions::{DEADLINE, Place, Where},
    supervisor::tls_policy,
};

/// Looks at the gateway that the request means.
pub async fn look(gateways: &Gateways, request: &Request<GetGatewaysStatusRequest>) -> Result<Where<GatewaysStatus>> {
    let asked = request.get_ref();
    if asked.gateway_url.as_deref().is_some_and(|url| !url.trim().is_empty()) {
        return by_address(gateways, request).await;
    }
    if asked.board_id.is_none() {
        return Err(Error::unprocessable("board_id or gateway_url is required"));
    }
    Ok(
        match Place::of(gateways, request, asked.board_id.as_ref(), None).await? {
            Where::Here(place) => {
                let sessions = sessions(&place.live.gateway).await;
                Where::Here(answer(place.url, Some(place.gateway), sessions))
            }
            Where::There(owner) => Where::There(owner),
        },
    )
}

async fn by_address(gateways: &Gateways, request: &Request<GetGatewaysStatusRequest>) -> Result<Where<GatewaysStatus>> {
    let organization = Caller::of(request)?.organization()?;
    let asked = request.get_ref();
    let url = rules::address(asked.gateway_url.as_deref().unwrap_or_default())
        .map_err(|message| Error::invalid("gateway_url", message))?;
    let stored = sqlx::query_scalar!(
        "SELECT id FROM gateway.gateways WHERE organization_id = $1 AND url = $2 ORDER BY created_at DESC LIMIT 1",
        organization,
        url.as_str()
    )
    .fetch_optional(gateways.store.pool())
    .await?;
    let row = match stored {
        Some(id) => Some(find(&gateways.store, Some(organization), id).await?),
        None => None,
    };
    let token = TokenChange::of(asked.gateway_token.as_deref().map(Some));
    let unpaired = asked.gateway_disable_device_pairing;
    let insecure = asked.gateway_allow_insecure_tls;
    if let (Some(row), TokenChange::Keep) = (&row, &token)
        && unpaired.is_none_or(|unpaired| unpaired == row.disable_device_pairing)
        && insecure.is_none_or(|insecure| insecure == row.allow_insecure_tls)
    {
        // Exactly what is stored: the session that is there already.
        if let Some(owner) = gateways.supervisor.elsewhere(request, row.id).await? {
            return Ok(Where::There(GatewayServiceClient::new(owner)));
        }
        let live = gateways.supervisor.live(row.id).await?;
        let sessions = sessions(&live.gateway).await;
        return Ok(Where::Here(answer(url.to_string(), stored, sessions)));
    }
    let stored_token = || match row
        .as_ref()
        .and_then(|row| row.token.as_deref().map(|token| (row.id, token)))
    {
        Some((id, sealed)) => gateways.supervisor.open_token(id, sealed).map(Some),
        None => Ok(None),
    };
    let token = match token {
        TokenChange::Set(token) => Some(token.to_owned().into()),
        TokenChange::Clear => None,
        TokenChange::Keep => stored_token()?,
    };
    let unpaired = unpaired.or(row.as_ref().map(|row| row.disable_device_pairing));
    let insecure = insecure.or(row.as_ref().map(|row| row.allow_insecure_tls));
    let print = row.as_ref().and_then(|row| row.tls_fingerprint.as_deref());
    let device = if unpaired.unwrap_or_default() {
        None
    } else {
        Some(gateways.supervisor.device(organization).await?)
    };
    let target = Target {
        url: url.clone(),
        token,
        device,
        device_token: None,
        tls: tls_policy(print, insecure.unwrap_or_default())?,
    };
    let brief = Brief(Gateway::start(target, SessionOptions::default()));
    let sessions = sessions(&brief.0).await;
    brief.0.session().stop(Duration::ZERO).await;
    Ok(Where::Here(answer(url.to_string(), stored, sessions)))
}

/// A session for one look. It ends with the look, also when whoever asked is gone before the answer: nobody else would end it.
struct Brief(Gateway);

impl Drop for Brief {
    fn drop(&mut self) {
        self.0.session().cancel();
    }
}

async fn sessions(gateway: &Gateway) -> Result<Vec<SessionInfo>, String> {
    // A gateway that is away has its reason in the state; waiting longer than people do gives no better one.
    let listed = tokio::time::timeout(DEADLINE, gateway.list_sessions()).await;
    let state = gateway.session().state().borrow().last_failure.clone();
    match listed {
        Ok(Ok(sessions)) => Ok(sessions),
        Ok(Err(failure)) => Err(rules::sentence(&failure)),
        Err(_) => Err(state.as_ref().map_or_else(
            || format!("The gateway did not answer within {} s.", DEADLINE.as_secs()),
            |failure: &Failure| rules::sentence(failure),
        )),
    }
}

fn answer(url: String, gateway: Option<Uuid>, sessions: Result<Vec<SessionInfo>, String>) -> GatewaysStatus {
    let sessions = match sessions {
        Ok(sessions) => sessions,
        Err(error) => {
            return GatewaysStatus {
                connected: false,
                gateway_url: url,
                error: Some(error),
                ..GatewaysStatus::default()
            };
        }
    };
    let key = gateway.map(rules::main_session);
    let main = key
        .as_ref()
        .and_then(|key| sessions.iter().find(|session| session.key == *key));
    GatewaysStatus {
        connected: true,
        gateway_url: url,
        sessions_count: i32::try_from(sessions.len()).ok(),
        main_session: main.and_then(|session| serde_json::to_vec(session).ok()),
        main_session_error: (key.is_some() && main.is_none()).then(|| {
            "The gateway's main agent has no session yet: it is made when the agent is provisioned.".to_owned()
        }),
        sessions: serde_json::to_vec(&sessions).ok(),
        error: None,
    }
}
