//! Server-sent events (<https://html.spec.whatwg.org/multipage/server-sent-events.html>): one frame per message of a stream.

use std::{sync::Arc, time::Duration};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use http::{HeaderValue, header};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tonic::Status;
use transcoder::Route;

use crate::{Edge, authenticate::Holder, call::Messages};

/// How often a stream without events shows that it lives.
const PING: Duration = Duration::from_secs(15);

/// How long a resumed stream may take to say that it cannot.
const RESUME: Duration = Duration::from_millis(250);

/// Counts open streams.
struct Open;

impl Open {
    fn new() -> Self {
        metrics::gauge!("sse_streams_open").increment(1);
        Self
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        metrics::gauge!("sse_streams_open").decrement(1);
    }
}

/// Answers a stream whose beginning was good. It ends when the role ends it, when the client goes away, when it may not hold it any longer, or
/// when the process stops; the client resumes with the last `id`.
///
/// A stream that was asked to resume waits a moment for its first message: a position that cannot be resumed from shows then, and is answered
/// as the error it is.
pub async fn serve(
    edge: &Arc<Edge>,
    route: &Route,
    answered: http::Response<tonic::body::Body>,
    resumed: bool,
    holder: Option<Holder>,
) -> Result<Response, Status> {
    let mut messages = Messages::new(answered.into_body());
    let mut first = None;
    if resumed && let Ok(next) = timeout(RESUME, messages.next()).await {
        first = Some(next?);
    }
    // The stream outlives the borrow of the route: it keeps the catalog and the route's place in it.
    let catalog = edge.context.catalog.clone();
    let place = catalog
        .routes()
        .position(|known| std::ptr::eq(known, route))
        .unwrap_or_default();
    let event = route.event.clone().unwrap_or_else(|| "message".to_owned());
    let stop = edge.context.stop.clone();
    let edge = edge.clone();
    let frames = async_stream::stream! {
        let _open = Open::new();
        let mut outlived = std::pin::pin!(edge.authenticator.outlived(holder.as_ref()));
        let mut ping = interval_at(Instant::now() + PING, PING);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // Headers alone stay in the buffers of some proxies: a first line makes the stream visible.
        yield Ok::<_, std::convert::Infallible>(Bytes::from_static(b": stream\r\n\r\n"));
        loop {
            let next = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                status = &mut outlived => Err(status),
                Some(next) = async { first.take() } => Ok(next),
                next = messages.next() => next,
                _ = ping.tick() => {
                    yield Ok(comment());
                    continue;
                }
            };
            match next {
                Ok(Some(message)) => {
                    let Some(route) = catalog.routes().nth(place) else { break };
                    match frame(route, &event, &message) {
                        Ok(frame) => yield Ok(frame),
                        Err(error) => {
                            tracing::error!(%error, route = route.template, "an event of a role cannot be read");
                            break;
                        }
                    }
                    ping.reset();
                }
                Ok(None) => break,
                Err(status) => {
                    tracing::info!(code = ?status.code(), message = status.message(), "a stream ended early");
                    break;
                }
            }
        }
    };
    let mut response = Response::new(Body::from_stream(frames));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/event-stream; charset=utf-8"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

fn comment() -> Bytes {
    let now = OffsetDateTime::now_utc().format(&Rfc3339).unwrap_or_default();
    Bytes::from(format!(": ping - {now}\r\n\r\n"))
}

fn frame(route: &Route, event: &str, message: &[u8]) -> Result<Bytes, transcoder::DecodeError> {
    let mut json = Vec::with_capacity(message.len() * 2 + 64);
    let id = route.write_event(message, &mut json)?;
    Ok(assemble(event, id.as_deref(), &mut json))
}

/// One frame. Free-form JSON may come with line breaks between its tokens; inside strings they are always escaped, so that a space means
/// the same and keeps the frame whole.
fn assemble(event: &str, id: Option<&str>, json: &mut [u8]) -> Bytes {
    for byte in json.iter_mut().filter(|byte| matches!(byte, b'\r' | b'\n')) {
        *byte = b' ';
    }
    let mut frame = Vec::with_capacity(json.len() + event.len() + 64);
    if let Some(id) = id.filter(|id| !id.contains(['\r', '\n', '\0'])) {
        frame.extend_from_slice(b"id: ");
        frame.extend_from_slice(id.as_bytes());
        frame.extend_from_slice(b"\r\n");
    }
    frame.extend_from_slice(b"event: ");
    frame.extend_from_slice(event.as_bytes());
    frame.extend_from_slice(b"\r\ndata: ");
    frame.extend_from_slice(json);
    frame.extend_from_slice(b"\r\n\r\n");
    frame.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_whole() {
        let mut json = b"{\"a\":\n {\"b\\n\": 1}\r\n}".to_vec();
        assert_eq!(
            assemble("task", Some("42"), &mut json),
            "id: 42\r\nevent: task\r\ndata: {\"a\":  {\"b\\n\": 1}  }\r\n\r\n"
        );
        assert_eq!(
            assemble("task", Some("4\n2"), &mut b"{}".to_vec()),
            "event: task\r\ndata: {}\r\n\r\n"
        );
    }
}
