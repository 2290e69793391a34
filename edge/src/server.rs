//! Connections: HTTP/1.1 and HTTP/2 (prior knowledge) on one port, until told to stop.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::body::Body;
use http::Request;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::{Edge, stack};

/// How long a client may take to send the head of a request.
const HEAD_DEADLINE: Duration = Duration::from_secs(15);
/// How long requests in flight may take after the signal to stop. Below the drain of the whole process.
const DRAIN: Duration = Duration::from_secs(15);
/// Streams of one HTTP/2 connection: a client may watch many boards at once.
const STREAMS: u32 = 1024;
/// How often idle HTTP/2 connections are asked whether they are still there, and how long they may take to answer.
const KEEP_ALIVE: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(10));
/// How long to wait when no connection can be accepted (no file descriptors left): trying at once would only burn CPU.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until `stop`, then drains: accepts no more, ends streams, waits for the rest. `close` gives up whatever else holds the port.
pub async fn serve(edge: Arc<Edge>, listener: TcpListener, stop: CancellationToken, close: impl FnOnce()) {
    let service = stack::build(&edge);
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_DEADLINE);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .keep_alive_interval(KEEP_ALIVE.0)
        .keep_alive_timeout(KEEP_ALIVE.1)
        .adaptive_window(true);
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer): (TcpStream, SocketAddr) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // Without it small answers wait for the client's acknowledgement. Failing only costs time.
        let _ = stream.set_nodelay(true);
        let service = service.clone();
        let handler = service_fn(move |request: Request<Incoming>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(peer);
            stack::call(&service, request)
        });
        let connection = graceful.watch(builder.serve_connection(TokioIo::new(stream), handler).into_owned());
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error, "connection ended");
            }
        });
    }
    drop(listener);
    close();
    if tokio::time::timeout(DRAIN, graceful.shutdown()).await.is_err() {
        tracing::warn!("some requests did not finish in time");
    }
}
