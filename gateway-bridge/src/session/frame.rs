//! Wire frames: one JSON object per WebSocket text message.
//!
//! Requests are closed objects (an extra key is refused), answers and events are open (unknown keys are ignored).
//! Nothing here prints a frame: requests carry tokens, answers carry workspace files.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};

/// Writes a request frame.
pub(super) fn request(id: &str, method: &str, params: &Value) -> String {
    #[derive(Serialize)]
    struct Request<'a> {
        r#type: &'static str,
        id: &'a str,
        method: &'a str,
        #[serde(skip_serializing_if = "Value::is_null")]
        params: &'a Value,
    }
    let frame = Request {
        r#type: "req",
        id,
        method,
        params,
    };
    serde_json::to_string(&frame).unwrap_or_default()
}

/// The error object of a failed answer. Only `code` and `message` are always there; the oldest supported release
/// never sends `details`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ErrorBody {
    /// `INVALID_REQUEST`, `NOT_PAIRED`, `UNAVAILABLE`, `FORBIDDEN`.
    pub code: String,
    /// Human text, also the only classification the oldest release gives.
    pub message: String,
    /// Finer meaning: `details.code`, `details.reason`, `details.requestId`, …
    pub details: Option<Value>,
    /// Whether the gateway thinks a retry can help.
    pub retryable: Option<bool>,
    /// How long to wait before a retry, in milliseconds.
    pub retry_after_ms: Option<u64>,
}

impl ErrorBody {
    /// A text member of `details`, or the empty string.
    pub fn detail(&self, key: &str) -> &str {
        self.details
            .as_ref()
            .and_then(|d| d.get(key))
            .and_then(Value::as_str)
            .unwrap_or_default()
    }
}

/// A server event.
#[derive(Clone)]
pub struct Event {
    /// Event name, for example `chat`.
    pub name: String,
    /// The payload, unparsed: most events interest nobody.
    pub payload: Option<Box<RawValue>>,
    /// Sequence number; per connection and without gaps on protocol 4.
    pub seq: Option<u64>,
}

impl Event {
    /// The payload as a typed value, `None` when it is absent or of another shape.
    pub fn parse<T: serde::de::DeserializeOwned>(&self) -> Option<T> {
        self.payload
            .as_deref()
            .and_then(|raw| serde_json::from_str(raw.get()).ok())
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Tool events show command lines with tokens in them.
        f.debug_struct("Event")
            .field("name", &self.name)
            .field("seq", &self.seq)
            .finish_non_exhaustive()
    }
}

/// What the server may send.
pub(super) enum Incoming {
    /// Answer to the request with this id.
    Response {
        id: String,
        result: Result<Option<Box<RawValue>>, ErrorBody>,
    },
    /// An event.
    Event(Event),
    /// Anything else; tolerated.
    Other,
}

/// Reads a frame. `None` when it is not a JSON object.
pub(super) fn parse(text: &str) -> Option<Incoming> {
    #[derive(Deserialize)]
    struct Raw {
        r#type: String,
        #[serde(default)]
        id: Option<String>,
        #[serde(default)]
        ok: bool,
        #[serde(default)]
        payload: Option<Box<RawValue>>,
        #[serde(default)]
        error: Option<ErrorBody>,
        #[serde(default)]
        event: Option<String>,
        #[serde(default)]
        seq: Option<u64>,
    }
    let raw: Raw = serde_json::from_str(text).ok()?;
    Some(match (raw.r#type.as_str(), raw.id, raw.event) {
        // A failed answer may carry a payload too: `ok` alone decides.
        ("res", Some(id), _) => Incoming::Response {
            id,
            result: if raw.ok {
                Ok(raw.payload)
            } else {
                Err(raw.error.unwrap_or_default())
            },
        },
        ("event", _, Some(name)) => Incoming::Event(Event {
            name,
            payload: raw.payload,
            seq: raw.seq,
        }),
        _ => Incoming::Other,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_request_has_exactly_the_four_known_keys() {
        let text = request("7", "agents.list", &json!({"a": 1}));
        let value: Value = serde_json::from_str(&text).expect("json");
        assert_eq!(
            value,
            json!({"type": "req", "id": "7", "method": "agents.list", "params": {"a": 1}})
        );
        let bare: Value = serde_json::from_str(&request("8", "health", &Value::Null)).expect("json");
        assert_eq!(bare, json!({"type": "req", "id": "8", "method": "health"}));
    }

    #[test]
    fn ok_alone_decides_when_payload_and_error_are_both_there() {
        let text = r#"{"type":"res","id":"1","ok":false,"payload":{"runId":"x"},
            "error":{"code":"UNAVAILABLE","message":"m","retryAfterMs":500}}"#;
        let Some(Incoming::Response { result: Err(error), .. }) = parse(text) else {
            panic!("an error")
        };
        assert_eq!((error.code.as_str(), error.retry_after_ms), ("UNAVAILABLE", Some(500)));
    }

    #[test]
    fn unknown_keys_and_kinds_are_tolerated() {
        let event = r#"{"type":"event","event":"tick","payload":{"ts":1},"seq":4,"recipientProfileId":"p"}"#;
        assert!(matches!(
            parse(event),
            Some(Incoming::Event(Event { seq: Some(4), .. }))
        ));
        assert!(matches!(parse(r#"{"type":"news"}"#), Some(Incoming::Other)));
        assert!(parse("not json").is_none());
    }

    #[test]
    fn debug_output_shows_no_payload() {
        let text = r#"{"type":"event","event":"agent","payload":{"command":"X-Agent-Token: s3cret"}}"#;
        let Some(Incoming::Event(event)) = parse(text) else {
            panic!("an event")
        };
        assert!(!format!("{event:?}").contains("s3cret"));
    }
}
