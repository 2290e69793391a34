//! How services call each other: the generated client over a [`Peer`], near (the same process) or far (HTTP/2), with the same code.

use std::{
    collections::HashMap,
    future::Future,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
    time::Duration,
};

use http::{HeaderValue, Request, Response};
use tonic::{Status, body::Body, transport::Endpoint};
use tower::{Service, ServiceExt};
use uuid::Uuid;

use crate::{
    access::Guarded,
    identity::{Caller, PRINCIPAL, REQUEST_ID, Signer, TRACEPARENT},
};

/// Deadline of a call between services, unless the caller sets another.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// Largest head of a call or an answer between processes: principals with rights on many boards and errors with many details travel there,
/// and do not fit into the 16 KiB that HTTP/2 libraries take by themselves.
pub const HEAD: u32 = 256 * 1024;

/// Where a role is.
#[derive(Clone)]
pub enum Channel {
    /// In this process; bound once all roles are built, since they know each other.
    Near(Arc<OnceLock<Guarded>>),
    /// In another process.
    Far(tonic::transport::Channel),
}

impl Channel {
    /// A place in this process that is filled later.
    pub fn near() -> Self {
        Self::Near(Arc::default())
    }

    /// A role in another process (`http://host:port`). Connects when first used and reconnects by itself.
    pub fn far(url: String) -> Result<Self, tonic::transport::Error> {
        let endpoint = Endpoint::from_shared(url)?
            .connect_timeout(Duration::from_secs(3))
            .http2_keep_alive_interval(Duration::from_secs(20))
            .keep_alive_while_idle(true)
            .http2_max_header_list_size(HEAD)
            .tcp_nodelay(true);
        Ok(Self::Far(endpoint.connect_lazy()))
    }

    /// Fills a near place. A second time is a mistake in the wiring and changes nothing.
    pub fn bind(&self, routes: Guarded) {
        if let Self::Near(place) = self {
            let _ = place.set(routes);
        }
    }

    /// Sends a request as it is.
    pub async fn send(&self, request: Request<Body>) -> Result<Response<Body>, Status> {
        match self {
            Self::Near(place) => {
                let Some(routes) = place.get() else {
                    return Err(Status::unavailable("The service has not started yet."));
                };
                let mut routes = routes.clone();
                match routes.ready().await {
                    Ok(ready) => match ready.call(request).await {
                        Ok(response) => Ok(response),
                        Err(never) => match never {},
                    },
                    Err(never) => match never {},
                }
            }
            Self::Far(channel) => {
                let mut channel = channel.clone();
                let away = |error: tonic::transport::Error| {
                    tracing::warn!(%error, "peer unavailable");
                    Status::unavailable("A part of Mission Control is not available. Try again in a moment.")
                };
                channel.ready().await.map_err(away)?.call(request).await.map_err(away)
            }
        }
    }
}

/// Every role, by name.
#[derive(Clone)]
pub struct Peers {
    channels: Arc<HashMap<&'static str, Channel>>,
    signer: Signer,
    name: &'static str,
}

impl Peers {
    /// All channels of the constellation.
    pub fn new(channels: HashMap<&'static str, Channel>, signer: Signer) -> Self {
        Self {
            channels: Arc::new(channels),
            signer,
            name: "mission-control",
        }
    }

    /// The same peers, speaking as the service of this name.
    #[must_use]
    pub fn named(&self, name: &'static str) -> Self {
        Self { name, ..self.clone() }
    }

    /// The channel of a role; `None` for a role that does not exist.
    pub fn channel(&self, role: &str) -> Option<&Channel> {
        self.channels.get(role)
    }

    /// A role, called on behalf of a caller: the caller's principal is passed on.
    pub fn on_behalf(&self, role: &str, caller: &Caller) -> Peer {
        Peer::new(self.channels.get(role).cloned(), caller)
    }

    /// A role, called by this service itself in an organization (or in none). Request id and trace of `caller` are kept.
    pub fn as_service(&self, role: &str, organization: Option<Uuid>, caller: Option<&Caller>) -> Peer {
        let mut own = Caller::service(&self.signer, self.name, organization);
        if let Some(caller) = caller {
            own.request_id = caller.request_id.clone();
            own.traceparent = caller.traceparent.clone();
        }
        Peer::new(self.channels.get(role).cloned(), &own)
    }
}

/// Most bytes of an answer from another service. Lists carry what people and agents wrote as a whole; generated clients take 4 MiB unless they
/// are told: `TaskServiceClient::new(peer).max_decoding_message_size(ANSWER)`.
pub const ANSWER: usize = 512 * 1024 * 1024;

/// The transport of a generated client: `TaskServiceClient::new(peers.on_behalf("board", &caller))`.
#[derive(Clone)]
pub struct Peer {
    channel: Option<Channel>,
    headers: Vec<(&'static str, HeaderValue)>,
    deadline: Duration,
}

impl Peer {
    fn new(channel: Option<Channel>, caller: &Caller) -> Self {
        let mut headers = Vec::with_capacity(3);
        if let Some(signed) = &caller.signed {
            headers.push((PRINCIPAL, signed.value.clone()));
        }
        if let Ok(value) = HeaderValue::from_str(&caller.request_id) {
            headers.push((REQUEST_ID, value));
        }
        if !caller.traceparent.is_empty()
            && let Ok(value) = HeaderValue::from_str(&caller.traceparent)
        {
            headers.push((TRACEPARENT, value));
        }
        Self {
            channel,
            headers,
            deadline: DEADLINE,
        }
    }

    /// A place that is no role of the constellation's list, called on behalf of a caller: another replica of one's own.
    pub fn to(channel: Channel, caller: &Caller) -> Self {
        Self::new(Some(channel), caller)
    }

    /// Sends one more header.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Another deadline than [`DEADLINE`], for the answer (of streams: for its beginning).
    #[must_use]
    pub fn within(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }
}

impl Service<Request<Body>> for Peer {
    type Response = Response<Body>;
    type Error = Status;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Status>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        for (name, value) in &self.headers {
            request.headers_mut().insert(*name, value.clone());
        }
        let (channel, deadline) = (self.channel.clone(), self.deadline);
        Box::pin(async move {
            let channel = channel.ok_or_else(|| Status::unavailable("This role is not part of the constellation."))?;
            tokio::time::timeout(deadline, channel.send(request))
                .await
                .unwrap_or_else(|_| {
                    Err(Status::deadline_exceeded(
                        "A part of Mission Control did not answer in time.",
                    ))
                })
        })
    }
}
