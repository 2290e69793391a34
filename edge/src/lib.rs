//! The one public port: REST, server-sent events, gRPC-web, native gRPC, OpenAPI, health, metrics and the page.
//!
//! A request passes the layers of [`stack`], then one of the doors. A door authenticates the caller ([`authenticate`]), encodes the request
//! message and calls the role that serves the method ([`call`]). Everything that goes wrong is a gRPC status; [`fault`] alone says it in HTTP.

use std::{net::SocketAddr, sync::Arc};

use chassis::{Context, Error, Result, Role, role::Check, telemetry::MetricsHandle};
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpSocket};
use transcoder::ApiInfo;

mod address;
mod authenticate;
mod call;
mod cors;
mod door;
mod fault;
mod limits;
mod observe;
mod oidc;
mod ready;
mod secure;
mod server;
mod stack;

pub use door::openapi::document as openapi;

/// What the port needs to serve: built once, shared by every request.
struct Edge {
    context: Context,
    methods: call::Methods,
    authenticator: authenticate::Authenticator,
    proxies: address::TrustedProxies,
    cors: cors::Cors,
    headers: secure::SecurityHeaders,
    ready: ready::Readiness,
    /// gRPC reflection and health.
    infrastructure: tonic::service::Routes,
    openapi: door::openapi::Document,
    metrics: Option<MetricsHandle>,
}

/// Connections that may wait for being accepted.
const BACKLOG: u32 = 4096;

/// Binds `LISTEN` and builds the role that serves it; answers the address that was bound, for port 0. `checks` are the dependencies of every
/// role of this process, for `/readyz`; `metrics` renders `/metrics`.
pub async fn bind(context: &Context, checks: Vec<Check>, metrics: Option<MetricsHandle>) -> Result<(Role, SocketAddr)> {
    let listener = listen(context.settings.listen)
        .map_err(|error| Error::unavailable(format!("{} cannot be listened on: {error}", context.settings.listen)))?;
    let address = listener.local_addr().map_err(Error::internal)?;
    let listener = Arc::new(Mutex::new(Some(listener.into_std().map_err(Error::internal)?)));

    let methods = call::Methods::new(context);
    let ready = ready::Readiness::new(checks, methods.roles());
    let (infrastructure, health) = door::grpc::infrastructure(context, &methods).await?;
    let edge = Arc::new(Edge {
        authenticator: authenticate::Authenticator::new(context)?,
        proxies: address::TrustedProxies::parse(&context.settings.trusted_proxies),
        cors: cors::Cors::new(&context.settings.cors_origins),
        headers: secure::SecurityHeaders::new(&context.settings),
        openapi: door::openapi::Document::new(context),
        context: context.clone(),
        methods,
        ready,
        infrastructure,
        metrics,
    });

    let (served, followed, counted, named, reported) = (edge.clone(), edge.clone(), edge.clone(), edge.clone(), edge);
    let role = Role::new("edge")
        .task("public-port", move |stop| {
            let (edge, listener) = (served.clone(), listener.clone());
            async move {
                // A copy, so that the port stays bound when the task is started again.
                let copy = listener.lock().as_ref().map(std::net::TcpListener::try_clone);
                let Some(copy) = copy else { return Ok(()) };
                let accepting = TcpListener::from_std(copy.map_err(Error::internal)?).map_err(Error::internal)?;
                // Closed with the last copy: a stopping process must not leave callers in the backlog.
                server::serve(edge, accepting, stop, || drop(listener.lock().take())).await;
                Ok(())
            }
        })
        .task("principals", move |stop| {
            let edge = followed.clone();
            async move {
                edge.authenticator.follow(edge.context.bus.watch(), stop).await;
                Ok(())
            }
        })
        .task("limits", move |stop| {
            let edge = counted.clone();
            async move {
                edge.authenticator.share_limits(stop).await;
                Ok(())
            }
        })
        .task("issuer", move |stop| {
            let edge = named.clone();
            async move {
                let allow = |origins: &[String]| edge.headers.allow(origins);
                edge.authenticator.follow_issuer(stop, allow).await;
                Ok(())
            }
        })
        .task("grpc-health", move |stop| {
            let (edge, health) = (reported.clone(), health.clone());
            async move {
                health.report(&edge, stop).await;
                Ok(())
            }
        });
    Ok((role, address))
}

/// What the OpenAPI document says of the API as a whole.
pub fn api_info() -> ApiInfo {
    ApiInfo {
        title: "Mission Control".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        description: "Control plane for OpenClaw gateways and AI agents. The same methods are served as REST, gRPC-web and native gRPC \
                      (with reflection) on this port; streams are server-sent events that resume with `Last-Event-ID`."
            .to_owned(),
    }
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }?;
    // A restart must not wait for connections of the previous process.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}
