//! The way of every request, from the outside in.

use std::{convert::Infallible, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use axum::{
    extract::Request,
    middleware::{Next, from_fn, from_fn_with_state},
    response::Response,
};
use futures::FutureExt;
use tonic::Status;
use tower::{Service, ServiceBuilder, service_fn, util::BoxCloneService};
use tower_http::compression::{
    CompressionLayer, CompressionLevel,
    predicate::{NotForContentType, Predicate, SizeAbove},
};

use crate::{Edge, cors, door, observe};

/// How long a call may take; of streams, their beginning.
const DEADLINE: Duration = Duration::from_secs(30);
/// Smaller answers are not worth compressing.
const COMPRESS_FROM: u16 = 860;

/// The whole port as one service.
pub fn build(edge: &Arc<Edge>) -> BoxCloneService<Request, Response, Infallible> {
    let (opened, secured) = (edge.clone(), edge.clone());
    // Streams and gRPC are never compressed: their messages must leave at once, and gRPC compresses for itself.
    let compressible = SizeAbove::new(COMPRESS_FROM)
        .and(NotForContentType::GRPC)
        .and(NotForContentType::SSE)
        .and(NotForContentType::IMAGES);
    let stack = ServiceBuilder::new()
        // Gives the request its id and trace; sees every answer for the log and the metrics.
        .layer(from_fn_with_state(edge.clone(), observe::layer))
        // Every answer carries the security headers, refusals and preflights too.
        .map_response(move |mut response: Response| {
            secured.headers.apply(response.headers_mut());
            response
        })
        // Answers preflights; lets allowed origins read answers, errors too.
        .layer(from_fn_with_state(edge.clone(), cors::layer))
        // gzip or brotli, when the client takes it.
        .layer(
            CompressionLayer::new()
                .quality(CompressionLevel::Fastest)
                .compress_when(compressible),
        )
        .map_response(|response: http::Response<_>| response.map(axum::body::Body::new))
        // Nobody waits for ever, and a defect ends one request only.
        .layer(from_fn(bounded))
        // REST, gRPC, gRPC-web, health, documents, the page.
        .service(service_fn(move |request: Request| {
            let edge = opened.clone();
            async move { Ok::<_, Infallible>(door::open(&edge, request).await) }
        }));
    BoxCloneService::new(stack)
}

/// Ends a request that takes too long or panics with an answer of its own door's form.
async fn bounded(request: Request, next: Next) -> Response {
    let form = door::Form::of(&request);
    match tokio::time::timeout(DEADLINE, AssertUnwindSafe(next.run(request)).catch_unwind()).await {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => {
            tracing::error!("the request handler panicked");
            form.refuse(&Status::internal("Internal Server Error"))
        }
        Err(_) => form.refuse(&Status::deadline_exceeded(
            "The request took too long. Try again, or ask for less at once.",
        )),
    }
}

/// A service per connection must not fail: ours cannot.
pub fn call(
    service: &BoxCloneService<Request, Response, Infallible>,
    request: Request,
) -> impl Future<Output = Result<Response, Infallible>> + use<> {
    service.clone().call(request)
}
