//! Which other origins browsers may call from (<https://fetch.spec.whatwg.org/#http-cors-protocol>).

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use crate::Edge;

const METHODS: HeaderValue = HeaderValue::from_static("DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT");
/// What scripts may read of an answer: totals of lists, the request id, versions, when to come back, and the status of gRPC-web.
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "X-Total-Count, X-Limit, X-Offset, X-Request-Id, ETag, Location, Retry-After, Idempotency-Replayed, Grpc-Status, Grpc-Message, \
     Grpc-Status-Details-Bin",
);
/// How long a browser remembers a preflight, in seconds.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");

/// The origins of `CORS_ORIGINS`.
#[derive(Debug, Default)]
pub struct Cors {
    origins: Vec<HeaderValue>,
    any: bool,
}

/// What a preflight is answered.
#[derive(Debug, PartialEq, Eq)]
enum Preflight {
    Allowed(HeaderValue),
    Refused,
    /// No preflight, or CORS is off.
    None,
}

impl Cors {
    /// Reads a comma-separated list of origins; empty turns CORS off, `*` allows every origin (without credentials).
    pub fn new(list: &str) -> Self {
        let origins: Vec<_> = list
            .split(',')
            .map(|origin| origin.trim().trim_end_matches('/'))
            .filter(|origin| !origin.is_empty())
            .collect();
        Self {
            any: origins.contains(&"*"),
            origins: origins
                .iter()
                .filter_map(|origin| HeaderValue::from_str(origin).ok())
                .collect(),
        }
    }

    /// What `Access-Control-Allow-Origin` says to this origin.
    fn allowed(&self, origin: &HeaderValue) -> Option<HeaderValue> {
        if self.any {
            return Some(HeaderValue::from_static("*"));
        }
        self.origins.contains(origin).then(|| origin.clone())
    }

    fn preflight(&self, method: &Method, headers: &HeaderMap) -> Preflight {
        match headers.get(header::ORIGIN) {
            Some(origin)
                if *method == Method::OPTIONS
                    && !self.origins.is_empty()
                    && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD) =>
            {
                self.allowed(origin).map_or(Preflight::Refused, Preflight::Allowed)
            }
            _ => Preflight::None,
        }
    }

    fn mark(&self, headers: &mut HeaderMap, origin: HeaderValue) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        if !self.any {
            headers.insert(
                header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
                HeaderValue::from_static("true"),
            );
        }
    }
}

/// Answers preflights, and marks the answers to allowed origins: errors too, or the browser would hide them.
pub async fn layer(State(edge): State<Arc<Edge>>, request: Request, next: Next) -> Response<Body> {
    let cors = &edge.cors;
    if cors.origins.is_empty() {
        return next.run(request).await;
    }
    let mut response = match cors.preflight(request.method(), request.headers()) {
        Preflight::Allowed(origin) => {
            let mut response = "OK".into_response();
            let headers = response.headers_mut();
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
            headers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
            if let Some(wanted) = request.headers().get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
                headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
            }
            cors.mark(headers, origin);
            response
        }
        Preflight::Refused => (StatusCode::BAD_REQUEST, "Disallowed CORS origin").into_response(),
        Preflight::None => {
            let allowed = request
                .headers()
                .get(header::ORIGIN)
                .and_then(|origin| cors.allowed(origin));
            let mut response = next.run(request).await;
            if let Some(origin) = allowed {
                let headers = response.headers_mut();
                headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
                cors.mark(headers, origin);
            }
            response
        }
    };
    // Caches must not give one origin's answer to another.
    response
        .headers_mut()
        .append(header::VARY, HeaderValue::from_static("origin"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(origin: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::ORIGIN, HeaderValue::from_static(origin));
        headers.insert(header::ACCESS_CONTROL_REQUEST_METHOD, HeaderValue::from_static("PATCH"));
        headers
    }

    #[test]
    fn origins_match_exactly() {
        let cors = Cors::new("http://localhost:3000/, https://ui.example");
        let ask = |origin| cors.preflight(&Method::OPTIONS, &asked(origin));
        assert_eq!(
            ask("https://ui.example"),
            Preflight::Allowed(HeaderValue::from_static("https://ui.example"))
        );
        assert_eq!(
            ask("http://localhost:3000"),
            Preflight::Allowed(HeaderValue::from_static("http://localhost:3000"))
        );
        for foreign in [
            "https://ui.example.evil",
            "http://ui.example",
            "https://ui.example:8443",
            "null",
        ] {
            assert_eq!(ask(foreign), Preflight::Refused, "{foreign}");
        }
    }

    #[test]
    fn only_preflights_are_answered() {
        let cors = Cors::new("https://ui.example");
        assert_eq!(
            cors.preflight(&Method::GET, &asked("https://ui.example")),
            Preflight::None
        );
        assert_eq!(cors.preflight(&Method::OPTIONS, &HeaderMap::new()), Preflight::None);
        assert_eq!(
            Cors::new(" , ").preflight(&Method::OPTIONS, &asked("https://ui.example")),
            Preflight::None
        );
    }

    #[test]
    fn every_origin_gets_no_credentials() {
        let cors = Cors::new("*");
        let mut headers = HeaderMap::new();
        let origin = cors
            .allowed(&HeaderValue::from_static("https://anybody.example"))
            .expect("allowed");
        cors.mark(&mut headers, origin);
        assert_eq!(headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*");
        assert!(!headers.contains_key(header::ACCESS_CONTROL_ALLOW_CREDENTIALS));
    }
}
