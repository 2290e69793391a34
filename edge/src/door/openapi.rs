//! `/openapi.json`: every route of the contract, and the health routes of this port.

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use chassis::Context;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use transcoder::{Access, Catalog};

/// The document as it is served.
pub struct Document {
    bytes: Bytes,
    tag: HeaderValue,
}

impl Document {
    /// Builds it once.
    pub fn new(context: &Context) -> Self {
        let bytes = Bytes::from(document(&context.catalog, &context.settings.public_url()).to_string());
        let tag = tag(&bytes);
        Self { bytes, tag }
    }

    /// The document, or 304 when the client has it.
    pub fn serve(&self, headers: &HeaderMap) -> Response {
        cached(
            headers,
            &self.tag,
            || self.bytes.clone(),
            HeaderValue::from_static("application/json"),
        )
    }
}

/// The OpenAPI document of this port.
pub fn document(catalog: &Catalog, server: &str) -> Value {
    let mut document = catalog.openapi(&crate::api_info());
    document["servers"] = json!([{ "url": server }]);
    let routes = [
        ("/health", "health_health_get", "The process answers."),
        (
            "/healthz",
            "healthz_healthz_get",
            "The database answers, as this process sees it or as the other roles say.",
        ),
        (
            "/readyz",
            "readyz_readyz_get",
            "Everything that requests need answers: dependencies and every role. 503 names what is missing.",
        ),
    ];
    for (path, id, description) in routes {
        let content =
            json!({ "application/json": { "schema": { "$ref": "#/components/schemas/HealthStatusResponse" } } });
        let mut responses = json!({ "200": { "description": "All is well.", "content": content } });
        if path != "/health" {
            responses["503"] = json!({ "description": "Something is missing.", "content": content });
        }
        document["paths"][path] = json!({ "get": {
            "tags": ["health"],
            "summary": description,
            "description": description,
            "operationId": id,
            "responses": responses,
        } });
    }
    document["components"]["parameters"] = json!({ "IdempotencyKey": {
        "name": "Idempotency-Key",
        "in": "header",
        "required": false,
        "description": "Makes a repetition safe: within 24 hours the same request with the same key gets the first answer, marked with \
                        `Idempotency-Replayed`, and has no second effect.",
        "schema": { "type": "string", "minLength": 1, "maxLength": chassis::idempotency::LONGEST, "pattern": "^[!-~]([ -~]*[!-~])?$" },
    } });
    for route in catalog
        .routes()
        .filter(|route| route.plan.mutates && !route.plan.access.contains(&Access::Public))
    {
        let verb = route.method.as_str().to_lowercase();
        let Some(operation) = document["paths"]
            .get_mut(&route.template)
            .and_then(|path| path.get_mut(&verb))
        else {
            continue;
        };
        let parameter = json!({ "$ref": "#/components/parameters/IdempotencyKey" });
        if let Some(parameters) = operation.get_mut("parameters").and_then(Value::as_array_mut) {
            parameters.push(parameter);
        } else {
            operation["parameters"] = json!([parameter]);
        }
    }
    document["components"]["schemas"]["HealthStatusResponse"] = json!({
        "type": "object",
        "title": "HealthStatusResponse",
        "description": "Whether all is well.",
        "required": ["ok"],
        "properties": {
            "ok": { "type": "boolean", "title": "Ok", "description": "Whether all is well." },
            "missing": { "type": "array", "items": { "type": "string" }, "title": "Missing", "description": "What is missing; left out when nothing is." },
        },
    });
    document
}

/// A strong entity tag of a content.
pub fn tag(content: &[u8]) -> HeaderValue {
    let digest = Sha256::digest(content);
    HeaderValue::from_str(&format!("\"{}\"", hex::encode(&digest[..16])))
        .unwrap_or_else(|_| HeaderValue::from_static("\"\""))
}

/// A document that clients keep and ask about: 304 when it has not changed.
pub fn cached(headers: &HeaderMap, tag: &HeaderValue, body: impl FnOnce() -> Bytes, kind: HeaderValue) -> Response {
    let bare = |text: &str| text.trim().trim_start_matches("W/").to_owned();
    let known = tag.to_str().is_ok_and(|tag| {
        headers
            .get_all(header::IF_NONE_MATCH)
            .into_iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(|candidate| candidate.trim() == "*" || bare(candidate) == tag)
    });
    let mut response = if known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        body().into_response()
    };
    let out = response.headers_mut();
    out.insert(header::ETAG, tag.clone());
    out.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if !known {
        out.insert(header::CONTENT_TYPE, kind);
    }
    response
}
