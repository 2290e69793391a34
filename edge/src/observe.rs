//! What is noted of every request: id, trace, log line, metrics.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use chassis::{
    etag::IF_MATCH,
    identity::{REQUEST_ID, TRACEPARENT},
    telemetry,
};
use http::{HeaderMap, HeaderValue};
use tracing::{Instrument, Span, field::Empty};
use uuid::Uuid;

use crate::Edge;

/// Longest request id that is taken from a client.
const LONGEST_ID: usize = 128;

/// What the doors know of a request beside the request itself.
#[derive(Clone)]
pub struct Visit {
    /// The request id.
    pub id: Arc<str>,
    /// The same as a header.
    pub id_header: HeaderValue,
    /// Trace context for the services.
    pub traceparent: Option<HeaderValue>,
    /// Where the request comes from.
    pub address: IpAddr,
    /// The etags the caller has seen, for methods that honour them.
    pub if_match: Option<HeaderValue>,
}

/// Left by a door in an answer: the route or method that was served, for metrics. Never the path: that would be one series per id.
#[derive(Clone)]
pub struct Served(pub Arc<str>);

/// The outermost layer: gives the request its id and trace, and notes how it ended.
pub async fn layer(State(edge): State<Arc<Edge>>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let (id, id_header) = request_id(request.headers());
    let peer = request
        .extensions()
        .get::<SocketAddr>()
        .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |address| address.ip().to_canonical());
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let span = tracing::info_span!("request", otel.name = Empty, otel.kind = "server", http.request.method = %method, url.path = %path, request_id = %id);
    let visit = Visit {
        traceparent: trace(
            &span,
            request.headers(),
            !edge.context.settings.otlp_endpoint.is_empty(),
        ),
        address: edge.proxies.client(peer, request.headers()),
        if_match: request.headers().get(IF_MATCH).cloned(),
        id,
        id_header: id_header.clone(),
    };
    request.extensions_mut().insert(visit);

    let mut response = next.run(request).instrument(span.clone()).await;

    let elapsed = started.elapsed();
    let served = response
        .extensions_mut()
        .remove::<Served>()
        .map_or_else(|| Arc::from("other"), |served| served.0);
    response.headers_mut().insert(REQUEST_ID, id_header);
    span.record("otel.name", &*served);
    let status = response.status().as_u16();
    metrics::counter!("http_requests_total", "method" => method.to_string(), "route" => served.clone(), "status" => status.to_string()).increment(1);
    metrics::histogram!("http_request_duration_seconds", "route" => served).record(elapsed);
    span.in_scope(|| log(&edge, &path, status, elapsed));
    response
}

fn log(edge: &Edge, path: &str, status: u16, elapsed: Duration) {
    let settings = &edge.context.settings;
    if matches!(path, "/health" | "/healthz" | "/readyz" | "/metrics") && !settings.request_log_include_health {
        return;
    }
    let milliseconds = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
    match status {
        500.. => tracing::error!(status, milliseconds, "request failed"),
        400.. => tracing::info!(status, milliseconds, "request refused"),
        _ => tracing::debug!(status, milliseconds, "request served"),
    }
    if milliseconds >= settings.request_log_slow_ms {
        tracing::warn!(status, milliseconds, "request slow");
    }
}

/// The client's id when it is harmless in logs and headers, else a new one.
fn request_id(headers: &HeaderMap) -> (Arc<str>, HeaderValue) {
    if let Some(value) = headers.get(REQUEST_ID)
        && let Ok(text) = value.to_str()
        && !text.trim().is_empty()
        && text.len() <= LONGEST_ID
    {
        let text = text.trim();
        return (
            text.into(),
            HeaderValue::from_str(text).unwrap_or_else(|_| value.clone()),
        );
    }
    let id = Uuid::now_v7().to_string();
    let header = HeaderValue::from_str(&id).unwrap_or_else(|_| HeaderValue::from_static("-"));
    (id.into(), header)
}

/// Makes the span a child of the caller's, and answers the context for the services: ours when traces are exported, else the caller's.
fn trace(span: &Span, headers: &HeaderMap, exported: bool) -> Option<HeaderValue> {
    let incoming = headers
        .get(TRACEPARENT)
        .filter(|value| telemetry::is_traceparent(value.as_bytes()));
    if !exported {
        return incoming.cloned();
    }
    if let Some(text) = incoming.and_then(|value| value.to_str().ok()) {
        telemetry::continue_trace(span, text);
    }
    telemetry::traceparent(span)
        .and_then(|text| HeaderValue::try_from(text).ok())
        .or_else(|| incoming.cloned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(sent: &[u8]) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(REQUEST_ID, HeaderValue::from_bytes(sent).expect("a header"));
        let (id, header) = request_id(&headers);
        assert_eq!(header.as_bytes(), id.as_bytes());
        id.to_string()
    }

    #[test]
    fn sane_ids_are_kept() {
        assert_eq!(id(b" run-7/attempt 2 "), "run-7/attempt 2");
        for bad in [&b"   "[..], "\u{e4}".as_bytes(), &[b'x'; 129]] {
            let made = id(bad);
            assert!(Uuid::parse_str(&made).is_ok(), "{made}");
        }
    }
}
