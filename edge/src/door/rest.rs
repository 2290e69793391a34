//! REST: JSON in, one call, JSON out. Everything about a route comes from its plan.

use std::sync::Arc;

use axum::{
    body::{Body, Bytes, to_bytes},
    extract::Request,
    response::Response,
};
use chassis::idempotency;
use http::{HeaderValue, Method, StatusCode, header, request::Parts};
use http_body::Body as _;
use tonic::Status;
use transcoder::{PathParams, Route};

use super::{file, sse};
use crate::{
    Edge,
    authenticate::Holder,
    call,
    fault::{self, Fault},
    observe::{Served, Visit},
};

/// Pydantic's type for a body that is no JSON.
const MALFORMED: &str = "json_invalid";

/// Serves a route. Errors come in this order: the body cannot be read (413) or is no JSON (422); the caller is unknown (401, 429); fields break
/// rules (422, all of them); what the service says.
pub async fn serve(edge: &Arc<Edge>, visit: &Visit, request: Request, route: &Route, params: PathParams) -> Response {
    let mut response = match answer(edge, visit, request, route, params).await {
        Ok(response) => response,
        Err(fault) => fault.respond(&visit.id),
    };
    response
        .extensions_mut()
        .insert(Served(Arc::from(route.template.as_str())));
    response
}

async fn answer(
    edge: &Arc<Edge>,
    visit: &Visit,
    request: Request,
    route: &Route,
    params: PathParams,
) -> Result<Response, Fault> {
    let (parts, body) = request.into_parts();
    let body = collect(&parts, body, edge.context.settings.max_body_bytes).await?;
    let message = read(&parts, route, &params, &body);
    if let Err(problems) = &message
        && problems.iter().any(|problem| problem.kind == MALFORMED)
    {
        return Err(Fault::problems(message.err().unwrap_or_default()));
    }

    let section = if matches!(route.method, Method::GET | Method::DELETE) {
        "query"
    } else {
        "body"
    };
    let refused = |status: &Status| Fault::of(status, section);
    // A route of a method that is for services only: as good as not there.
    let target = edge
        .methods
        .get(&route.plan.path)
        .ok_or_else(|| Fault::new(StatusCode::NOT_FOUND, "Not Found"))?;
    let caller = if target.public {
        edge.authenticator
            .anonymous(visit.address)
            .map_err(|error| refused(&error.into()))?;
        None
    } else {
        let found = edge
            .authenticator
            .authenticate(route.credential, &parts.headers, visit.address)
            .await;
        Some(found.map_err(|error| refused(&error.into()))?)
    };
    let message = message.map_err(Fault::problems)?;

    let mut origin = if route.takes_raw() {
        call::origin(visit.address, &parts.headers)
    } else {
        http::HeaderMap::new()
    };
    let key = call::idempotency_key(&route.plan, &parts.headers, &message);
    if let Some(key) = key.map_err(|error| refused(&error.into()))? {
        origin.insert(idempotency::KEY, key);
    }
    let principal = caller.as_ref().map(|caller| &caller.value);
    let answered = target
        .call_from(visit, principal, &message, origin)
        .await
        .map_err(|status| refused(&status))?;
    if route.answers_file() {
        return file::serve(edge, answered).await.map_err(|status| refused(&status));
    }
    if route.plan.server_streaming {
        let resumed = resumes(&parts);
        let holder = caller
            .as_ref()
            .map(|caller| Holder::new(route.credential, &parts.headers, caller));
        return sse::serve(edge, route, answered, resumed, holder)
            .await
            .map_err(|status| refused(&status));
    }
    let replayed = answered.headers().contains_key(idempotency::REPLAYED);
    let wire = call::single(answered).await.map_err(|status| refused(&status))?;
    if target.moves_principals {
        edge.authenticator.forget_all();
    }
    let mut response = write(route, &wire)?;
    if replayed {
        response
            .headers_mut()
            .insert(idempotency::REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(response)
}

/// Whether a stream is asked for what was before.
fn resumes(parts: &Parts) -> bool {
    let in_query = |pair: &str| pair.starts_with("last_event_id=") || pair.starts_with("since=");
    parts.headers.contains_key("last-event-id") || parts.uri.query().is_some_and(|query| query.split('&').any(in_query))
}

/// The whole body, up to the limit.
async fn collect(parts: &Parts, body: Body, limit: usize) -> Result<Bytes, Fault> {
    let too_large = || {
        Fault::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("The request body exceeds the maximum size of {limit} bytes."),
        )
    };
    let announced = parts
        .headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > limit) {
        return Err(too_large());
    }
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    to_bytes(body, limit).await.map_err(|error| {
        if std::error::Error::source(&error)
            .is_some_and(<dyn std::error::Error>::is::<http_body_util::LengthLimitError>)
        {
            too_large()
        } else {
            Fault::new(StatusCode::BAD_REQUEST, "The request body broke off.")
        }
    })
}

fn read(parts: &Parts, route: &Route, params: &PathParams, body: &[u8]) -> Result<Vec<u8>, Vec<transcoder::Problem>> {
    let text = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let query = parts.uri.query();
    // A page that cannot set headers resumes with the query.
    let in_query = |query: &str| {
        query
            .split('&')
            .find_map(|pair| pair.strip_prefix("last_event_id="))
            .map(ToOwned::to_owned)
    };
    let resumed = match text("last-event-id") {
        Some(id) => Some(id.to_owned()),
        None if route.plan.server_streaming => query.and_then(in_query),
        None => None,
    };
    route.read(
        params,
        query,
        text(header::CONTENT_TYPE.as_str()),
        body,
        resumed.as_deref(),
    )
}

fn write(route: &Route, wire: &[u8]) -> Result<Response, Fault> {
    let mut json = Vec::with_capacity(wire.len() * 2 + 64);
    let mut headers = Vec::new();
    route.write(wire, &mut json, &mut headers).map_err(|error| {
        tracing::error!(%error, route = route.template, "the answer of a role cannot be read");
        Fault::new(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error")
    })?;
    let status = StatusCode::from_u16(route.status).unwrap_or(StatusCode::OK);
    let mut response = fault::json(status, json);
    if status == StatusCode::NO_CONTENT {
        response.headers_mut().remove(header::CONTENT_TYPE);
    }
    for (name, value) in headers {
        let value = if name == header::ETAG {
            format!("\"{value}\"")
        } else {
            value
        };
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(name, value);
        }
    }
    Ok(response)
}
