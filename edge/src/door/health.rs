//! Whether the process lives, works and can do all its work; and its metrics.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::json;

use crate::{Edge, fault};

/// The process answers.
pub fn alive() -> Response {
    answer(&[])
}

/// The database is there, as this process sees it or as the roles in other processes say.
pub async fn healthy(edge: &Edge) -> Response {
    let lacking = edge.ready.report().await.lacks_database();
    answer(if lacking { &["database"] } else { &[] })
}

/// Everything is there: what the roles of this process depend on, and every other role.
pub async fn ready(edge: &Edge) -> Response {
    answer(&edge.ready.report().await.missing())
}

/// For Prometheus.
pub fn metrics(edge: &Edge) -> Response {
    let text = edge
        .metrics
        .as_ref()
        .map(chassis::telemetry::MetricsHandle::render)
        .unwrap_or_default();
    (
        [(
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/plain; version=0.0.4"),
        )],
        text,
    )
        .into_response()
}

fn answer(missing: &[&str]) -> Response {
    let mut response = if missing.is_empty() {
        fault::json(StatusCode::OK, r#"{"ok":true}"#)
    } else {
        fault::json(
            StatusCode::SERVICE_UNAVAILABLE,
            json!({ "ok": false, "missing": missing }).to_string(),
        )
    };
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
