//! The doors: what a request may want, and who answers it.

use std::sync::Arc;

use axum::{body::Body, extract::Request, response::Response};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use tonic::Status;
use transcoder::Found;

use crate::{
    Edge,
    fault::Fault,
    observe::{Served, Visit},
};

mod file;
pub mod grpc;
mod health;
pub mod openapi;
mod page;
mod rest;
mod sse;

/// In which form a caller expects errors.
pub enum Form {
    /// JSON with this request id.
    Rest(Arc<str>),
    /// A gRPC status with this content type.
    Grpc(HeaderValue),
}

impl Form {
    /// By the request's content type.
    pub fn of(request: &Request) -> Self {
        match request.headers().get(header::CONTENT_TYPE) {
            Some(kind) if kind.as_bytes().starts_with(b"application/grpc") => Self::Grpc(kind.clone()),
            _ => Self::Rest(
                request
                    .extensions()
                    .get::<Visit>()
                    .map_or_else(|| "".into(), |visit| visit.id.clone()),
            ),
        }
    }

    /// The answer that says so.
    pub fn refuse(&self, status: &Status) -> Response {
        match self {
            Self::Rest(id) => Fault::of(status, "body").respond(id),
            Self::Grpc(kind) => {
                let mut response = status.clone().into_http::<Body>();
                response.headers_mut().insert(header::CONTENT_TYPE, kind.clone());
                response
            }
        }
    }
}

/// Finds the door and goes through it.
pub async fn open(edge: &Arc<Edge>, request: Request) -> Response {
    let Some(visit) = request.extensions().get::<Visit>().cloned() else {
        return Form::of(&request).refuse(&Status::internal("the request has no id"));
    };
    if let Form::Grpc(kind) = Form::of(&request) {
        return if kind.as_bytes().starts_with(b"application/grpc-web") {
            grpc::web(edge, visit, request).await
        } else {
            grpc::native(edge, &visit, request.map(tonic::body::Body::new))
                .await
                .map(Body::new)
        };
    }
    let (method, path) = (request.method(), request.uri().path());
    // HEAD is GET without the body (RFC 9110, 9.3.2).
    let head = *method == Method::HEAD;
    let wanted = if head { &Method::GET } else { method };
    let allowed = match edge.context.catalog.find(wanted, path) {
        Found::Route(route, params) => {
            let mut response = rest::serve(edge, &visit, request, route, params).await;
            if head {
                leave_out_body(&mut response);
            }
            return response;
        }
        Found::Redirect(path) => return redirect(&request, path),
        Found::MethodNotAllowed(mut methods) => {
            if methods.contains(&Method::GET) {
                methods.push(Method::HEAD);
            }
            methods
        }
        Found::NotFound => match own(edge, method, path, request.headers()).await {
            Own::Answer(response) => return response,
            Own::OnlyReads => vec![Method::GET, Method::HEAD],
            Own::Nothing => return Fault::new(StatusCode::NOT_FOUND, "Not Found").respond(&visit.id),
        },
    };
    let allowed = allowed.iter().map(Method::as_str).collect::<Vec<_>>().join(", ");
    Fault::new(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed")
        .header(
            header::ALLOW,
            HeaderValue::from_str(&allowed).unwrap_or_else(|_| HeaderValue::from_static("")),
        )
        .respond(&visit.id)
}

/// What is not part of the contract's routes.
enum Own {
    Answer(Response),
    /// It is there, for GET and HEAD.
    OnlyReads,
    Nothing,
}

async fn own(edge: &Edge, method: &Method, path: &str, headers: &HeaderMap) -> Own {
    let known: &'static str = match path {
        "/health" => "/health",
        "/healthz" => "/healthz",
        "/readyz" => "/readyz",
        "/openapi.json" => "/openapi.json",
        "/metrics" if edge.metrics.is_some() => "/metrics",
        _ if page::has(path, headers) => "page",
        _ => return Own::Nothing,
    };
    if !matches!(*method, Method::GET | Method::HEAD) {
        return Own::OnlyReads;
    }
    let mut response = match known {
        "/health" => health::alive(),
        "/healthz" => health::healthy(edge).await,
        "/readyz" => health::ready(edge).await,
        "/openapi.json" => edge.openapi.serve(headers),
        "/metrics" => health::metrics(edge),
        _ => {
            let mut response = page::serve(path, headers);
            response
                .headers_mut()
                .insert(header::CONTENT_SECURITY_POLICY, edge.headers.page());
            response
        }
    };
    response.extensions_mut().insert(Served(known.into()));
    if *method == Method::HEAD {
        leave_out_body(&mut response);
    }
    Own::Answer(response)
}

/// Answers HEAD: the length is that of the body that GET would have had.
fn leave_out_body(response: &mut Response) {
    let length = http_body::Body::size_hint(response.body()).exact();
    *response.body_mut() = Body::empty();
    if let Some(length) = length {
        response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    }
}

/// The same path without its trailing slash; the query is kept.
fn redirect(request: &Request, path: String) -> Response {
    let target = match request.uri().query() {
        Some(query) => format!("{path}?{query}"),
        None => path,
    };
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
    if let Ok(target) = HeaderValue::from_str(&target) {
        response.headers_mut().insert(header::LOCATION, target);
    }
    response
}
