//! Native gRPC and gRPC-web: the same methods, credentials and rules as REST, for callers with protobuf.

use std::{convert::Infallible, pin::pin, sync::Arc, time::Duration};

use axum::{extract::Request, response::Response};
use bytes::BytesMut;
use chassis::{Context, Error, Result};
use http::HeaderMap;
use http_body::Frame;
use http_body_util::{BodyExt, Limited, StreamBody};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status, body::Body, service::Routes};
use tonic_health::{ServingStatus, server::HealthReporter};
use tonic_web::GrpcWebLayer;
use tower::{Layer, Service, service_fn};

use crate::{
    Edge,
    authenticate::Holder,
    call,
    call::Methods,
    fault,
    observe::{Served, Visit},
};

/// How often the health service looks at the readiness.
const HEALTH_INTERVAL: Duration = Duration::from_secs(5);

/// Keeps the gRPC health service true.
#[derive(Clone)]
pub struct Health {
    reporter: HealthReporter,
    services: Arc<Vec<String>>,
}

impl Health {
    /// Tells the health of every service until `stop`; then says that nothing is served any more.
    pub async fn report(&self, edge: &Edge, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let missing = edge.ready.report().await;
            let ready = missing.missing().is_empty();
            self.set(if ready {
                ServingStatus::Serving
            } else {
                ServingStatus::NotServing
            })
            .await;
            let _ = tokio::time::timeout(HEALTH_INTERVAL, stop.cancelled()).await;
        }
        self.set(ServingStatus::NotServing).await;
    }

    async fn set(&self, status: ServingStatus) {
        for service in self.services.iter().map(String::as_str).chain([""]) {
            self.reporter.set_service_status(service, status).await;
        }
    }
}

/// Reflection (both versions) and health, for the public services only.
pub async fn infrastructure(context: &Context, methods: &Methods) -> Result<(Routes, Health)> {
    let mut services: Vec<String> = Vec::new();
    for plan in context.catalog.methods() {
        if methods.has_public(plan) && !services.contains(&plan.service) {
            services.push(plan.service.clone());
        }
    }
    let builder = || {
        let mut builder = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .with_service_name("grpc.health.v1.Health");
        for service in &services {
            builder = builder.with_service_name(service);
        }
        builder
    };
    let v1 = builder()
        .with_service_name("grpc.reflection.v1.ServerReflection")
        .build_v1()
        .map_err(Error::internal)?;
    let v1alpha = builder()
        .with_service_name("grpc.reflection.v1alpha.ServerReflection")
        .build_v1alpha()
        .map_err(Error::internal)?;
    let (reporter, health) = tonic_health::server::health_reporter();
    let routes = Routes::new(v1).add_service(v1alpha).add_service(health).prepare();
    let health = Health {
        reporter,
        services: Arc::new(services),
    };
    health.set(ServingStatus::NotServing).await;
    Ok((routes, health))
}

/// gRPC-web (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md>): translated, then as native gRPC.
pub async fn web(edge: &Arc<Edge>, visit: Visit, request: Request) -> Response {
    let edge = edge.clone();
    let inner = service_fn(move |request: http::Request<Body>| {
        let (edge, visit) = (edge.clone(), visit.clone());
        async move { Ok::<_, Infallible>(native(&edge, &visit, request).await) }
    });
    match GrpcWebLayer::new().layer(inner).call(request).await {
        Ok(response) => response.map(axum::body::Body::new),
        Err(never) => match never {},
    }
}

/// A call with one request message.
pub async fn native(edge: &Arc<Edge>, visit: &Visit, request: http::Request<Body>) -> http::Response<Body> {
    let path = request.uri().path();
    if path.starts_with("/grpc.health.v1.") || path.starts_with("/grpc.reflection.v1") {
        return match edge.infrastructure.clone().call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
    }
    let Some(target) = edge.methods.get(path).cloned() else {
        return Status::unimplemented(format!("There is no method {path}.")).into_http();
    };
    let mut response = match answer(edge, visit, request, &target).await {
        Ok(response) => response,
        Err(status) => status.into_http(),
    };
    response.extensions_mut().insert(Served(target.label.clone()));
    response
}

async fn answer(
    edge: &Arc<Edge>,
    visit: &Visit,
    request: http::Request<Body>,
    target: &call::Target,
) -> Result<http::Response<Body>, Status> {
    let (parts, body) = request.into_parts();
    let deadline = deadline(&parts.headers)?;
    let caller = if target.public {
        edge.authenticator.anonymous(visit.address)?;
        None
    } else {
        Some(
            edge.authenticator
                .authenticate(target.credential, &parts.headers, visit.address)
                .await?,
        )
    };
    let message = call::only(collect(body, edge.context.settings.max_body_bytes).await?)?;
    let plan = edge
        .context
        .catalog
        .method(&target.label)
        .ok_or_else(|| Status::unimplemented("There is no such method."))?;
    plan.input
        .validate(&message)
        .map_err(|problems| fault::invalid(&problems))?;

    let mut origin = HeaderMap::new();
    if let Some(key) = call::idempotency_key(plan, &parts.headers, &message)? {
        origin.insert(chassis::idempotency::KEY, key);
    }
    let asked = call::asked(plan, &message);
    let calling = target.call_from(visit, caller.as_ref().map(|caller| &caller.value), &asked, origin);
    let response = match deadline {
        None => calling.await,
        Some(deadline) => tokio::time::timeout(deadline, calling)
            .await
            .unwrap_or_else(|_| Err(Status::deadline_exceeded("Deadline expired"))),
    };
    let response = response.map_err(hidden)?;
    if target.moves_principals {
        edge.authenticator.forget_all();
    }
    if plan.server_streaming {
        let holder = caller
            .as_ref()
            .map(|caller| Holder::new(target.credential, &parts.headers, caller));
        let edge = edge.clone();
        let end = async move {
            tokio::select! {
                () = edge.context.stop.cancelled() => Status::unavailable("The server is stopping: resume in a moment."),
                status = edge.authenticator.outlived(holder.as_ref()) => status,
            }
        };
        return Ok(response.map(|body| until(body, end)));
    }
    Ok(response)
}

/// The whole body, up to the limit.
async fn collect(body: Body, limit: usize) -> Result<BytesMut, Status> {
    let mut body = Limited::new(body, limit + call::HEAD);
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            if error.is::<http_body_util::LengthLimitError>() {
                Error::new(
                    chassis::error::Kind::TooLarge,
                    format!("The message exceeds the maximum size of {limit} bytes."),
                )
                .into()
            } else {
                Status::cancelled("The request broke off.")
            }
        })?;
        if let Ok(data) = frame.into_data() {
            if whole.is_empty() {
                whole = BytesMut::from(data);
            } else {
                whole.extend_from_slice(&data);
            }
        }
    }
    Ok(whole)
}

/// What went wrong inside is none of the caller's business.
fn hidden(status: Status) -> Status {
    match status.code() {
        Code::Unknown | Code::DataLoss | Code::Internal => Status::internal("Internal Server Error"),
        _ => status,
    }
}

/// A stream that ends with the status of `end`, should that come first: the client learns why, and whether to come back.
fn until(body: Body, end: impl Future<Output = Status> + Send + 'static) -> Body {
    Body::new(StreamBody::new(async_stream::stream! {
        let mut body = pin!(body);
        let mut end = pin!(end);
        loop {
            tokio::select! {
                status = &mut end => {
                    let mut trailers = HeaderMap::new();
                    if status.add_header(&mut trailers).is_ok() {
                        yield Ok::<_, Status>(Frame::trailers(trailers));
                    }
                    return;
                }
                frame = body.frame() => match frame {
                    Some(frame) => yield frame,
                    None => return,
                },
            }
        }
    }))
}

/// `grpc-timeout` (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md#requests>).
fn deadline(headers: &HeaderMap) -> Result<Option<Duration>, Status> {
    let Some(value) = headers.get("grpc-timeout") else {
        return Ok(None);
    };
    let wrong =
        || Status::invalid_argument("grpc-timeout must be up to eight digits and a unit of H, M, S, m, u or n.");
    let text = value.to_str().map_err(|_| wrong())?;
    let (digits, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    let amount: u64 = digits.parse().map_err(|_| wrong())?;
    Ok(Some(match unit {
        "H" => Duration::from_secs(amount * 3600),
        "M" => Duration::from_secs(amount * 60),
        "S" => Duration::from_secs(amount),
        "m" => Duration::from_millis(amount),
        "u" => Duration::from_micros(amount),
        "n" => Duration::from_nanos(amount),
        _ => return Err(wrong()),
    }))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures::stream;
    use http::HeaderValue;

    use super::*;

    #[test]
    fn timeouts_are_read() {
        let read = |text: &str| {
            deadline(&HeaderMap::from_iter([(
                http::HeaderName::from_static("grpc-timeout"),
                HeaderValue::from_str(text).expect("a header"),
            )]))
        };
        assert_eq!(read("1500m").expect("reads"), Some(Duration::from_millis(1500)));
        assert_eq!(read("2H").expect("reads"), Some(Duration::from_secs(7200)));
        for bad in ["", "S", "5", "5x", "-5S", "123456789S"] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
        assert_eq!(deadline(&HeaderMap::new()).expect("reads"), None);
    }

    #[tokio::test]
    async fn streams_end_with_the_status_that_comes_first() {
        let stop = CancellationToken::new();
        let first = stream::iter([Ok::<_, Status>(Frame::data(Bytes::from_static(b"x")))]);
        let endless = Body::new(StreamBody::new(futures::StreamExt::chain(first, stream::pending())));
        let stopping = stop.clone();
        let mut body = until(endless, async move {
            stopping.cancelled().await;
            Status::unavailable("The server is stopping: resume in a moment.")
        });
        assert!(body.frame().await.expect("a frame").expect("good").is_data());
        stop.cancel();
        let trailers = body
            .frame()
            .await
            .expect("a frame")
            .expect("good")
            .into_trailers()
            .expect("trailers");
        assert_eq!(
            Status::from_header_map(&trailers).expect("a status").code(),
            Code::Unavailable
        );
        assert!(body.frame().await.is_none());
    }

    #[tokio::test]
    async fn messages_are_limited() {
        let body = || Body::new(http_body_util::Full::new(Bytes::from(vec![0; 100])));
        assert_eq!(collect(body(), 95).await.expect("fits").len(), 100);
        assert_eq!(
            collect(body(), 94).await.expect_err("too large").code(),
            Code::OutOfRange
        );
    }
}
