//! Files: the pieces of a stream, one after the other, as the body of the answer.

use std::sync::Arc;

use axum::{body::Body, response::Response};
use bytes::Bytes;
use http::{HeaderValue, header};
use prost::Message;
use proto::common::v1::Chunk;
use tonic::Status;

use crate::{Edge, call::Messages};

/// Answers a file. What is wrong before its first piece is an ordinary error; later the connection breaks off, so that nobody takes the
/// half for the whole.
pub async fn serve(edge: &Arc<Edge>, answered: http::Response<tonic::body::Body>) -> Result<Response, Status> {
    let mut messages = Messages::new(answered.into_body());
    let first = match messages.next().await? {
        Some(message) => piece(&message)?,
        None => Chunk::default(),
    };
    let (media_type, disposition) = (
        HeaderValue::from_str(&first.content_type)
            .ok()
            .filter(|value| !value.is_empty())
            .unwrap_or_else(|| HeaderValue::from_static("application/octet-stream")),
        disposition(&first.filename),
    );
    let stop = edge.context.stop.clone();
    let body = async_stream::try_stream! {
        yield Bytes::from(first.data);
        loop {
            let next = tokio::select! {
                () = stop.cancelled() => Err(Status::unavailable("Mission Control is stopping.")),
                next = messages.next() => next,
            };
            match next? {
                Some(message) => yield Bytes::from(piece(&message)?.data),
                None => break,
            }
        }
    };
    let body = futures::StreamExt::map(body, |part: Result<Bytes, Status>| {
        part.inspect_err(|status| tracing::info!(code = ?status.code(), message = status.message(), "a file broke off"))
    });
    let mut response = Response::new(Body::from_stream(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, media_type);
    headers.insert(header::CONTENT_DISPOSITION, disposition);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

fn piece(message: &[u8]) -> Result<Chunk, Status> {
    Chunk::decode(message).map_err(|error| {
        tracing::error!(%error, "a piece of a file cannot be read");
        Status::internal("The file cannot be read.")
    })
}

/// Saves it under its name, of which only plain characters are kept.
fn disposition(name: &str) -> HeaderValue {
    let name: String = name
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
        .collect();
    HeaderValue::try_from(format!("attachment; filename=\"{name}\""))
        .unwrap_or_else(|_| HeaderValue::from_static("attachment"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_their_quotes() {
        assert_eq!(
            disposition("audit\"; x=\r\n-2026.csv"),
            "attachment; filename=\"auditx-2026.csv\""
        );
    }
}
