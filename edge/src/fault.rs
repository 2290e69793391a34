//! How a gRPC status is said in HTTP: the one place that knows both.

use std::{borrow::Cow, collections::BTreeMap, fmt::Write};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use chassis::error::DETAIL_KEY;
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;
use serde_json::value::RawValue;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};
use transcoder::{Loc, Problem};

/// An error on its way to a REST caller: `{"detail": ..., "request_id": ...}`.
#[derive(Debug)]
pub struct Fault {
    pub status: StatusCode,
    detail: Detail,
    /// Typed details beside `detail`: `rule`, `missing`, `who`, ...
    beside: BTreeMap<String, String>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Detail {
    Text(Cow<'static, str>),
    Object(Box<RawValue>),
    Problems(Vec<Problem>),
}

#[derive(Serialize)]
struct Answer<'a> {
    detail: &'a Detail,
    request_id: &'a str,
    #[serde(flatten)]
    beside: &'a BTreeMap<String, String>,
}

impl Fault {
    /// An error with a sentence for the caller.
    pub fn new(status: StatusCode, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            detail: Detail::Text(detail.into()),
            beside: BTreeMap::new(),
            headers: Vec::new(),
        }
    }

    /// Everything that is wrong with a request: 422.
    pub fn problems(problems: Vec<Problem>) -> Self {
        Self {
            status: StatusCode::UNPROCESSABLE_ENTITY,
            detail: Detail::Problems(problems),
            beside: BTreeMap::new(),
            headers: Vec::new(),
        }
    }

    /// Adds a header to the answer.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The error of a service. `section` is where the fields that the service names were read: `body` or `query`.
    pub fn of(status: &Status, section: &'static str) -> Self {
        let details = status.get_error_details();
        let info = details.error_info();
        let reason = info.map(|info| info.reason.as_str()).unwrap_or_default();
        let code = http_status(status.code(), reason);
        if code == StatusCode::UNPROCESSABLE_ENTITY
            && let Some(problems) = violations(&details, section)
        {
            return Self::problems(problems);
        }
        let detail = info
            .and_then(|info| info.metadata.get(DETAIL_KEY))
            .and_then(|json| RawValue::from_string(json.clone()).ok())
            .map_or_else(|| Detail::Text(text(status, code)), Detail::Object);
        let typed = info.map(|info| {
            let given = info.metadata.iter();
            given
                .filter(|(key, _)| !matches!(key.as_str(), DETAIL_KEY | "request_id"))
                .map(|(key, text)| (key.clone(), text.clone()))
                .collect()
        });
        let mut fault = Self {
            status: code,
            detail,
            beside: typed.unwrap_or_default(),
            headers: Vec::new(),
        };
        if status.metadata().contains_key(chassis::idempotency::REPLAYED) {
            fault = fault.header(
                HeaderName::from_static(chassis::idempotency::REPLAYED),
                HeaderValue::from_static("true"),
            );
        }
        if let Some(delay) = details.retry_info().and_then(|info| info.retry_delay) {
            // Whole seconds, rounded up: coming back a little later is right, a little earlier is not.
            let seconds = delay.as_secs() + u64::from(delay.subsec_nanos() > 0);
            fault = fault.header(header::RETRY_AFTER, seconds.max(1).into());
        }
        fault
    }

    /// The answer.
    pub fn respond(self, request_id: &str) -> Response {
        let body = serde_json::to_vec(&Answer {
            detail: &self.detail,
            request_id,
            beside: &self.beside,
        })
        .unwrap_or_default();
        let mut response = json(self.status, body);
        for (name, value) in self.headers {
            response.headers_mut().append(name, value);
        }
        response
    }
}

/// A JSON answer.
pub fn json(status: StatusCode, body: impl Into<Bytes>) -> Response {
    let mut response = Response::new(Body::from(body.into()));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn http_status(code: Code, reason: &str) -> StatusCode {
    match code {
        Code::Ok => StatusCode::OK,
        Code::InvalidArgument if reason == "BAD_REQUEST" => StatusCode::BAD_REQUEST,
        Code::InvalidArgument => StatusCode::UNPROCESSABLE_ENTITY,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::FailedPrecondition if reason == "GONE" => StatusCode::GONE,
        Code::Aborted if reason == "STALE" => StatusCode::PRECONDITION_FAILED,
        Code::Aborted | Code::AlreadyExists | Code::FailedPrecondition => StatusCode::CONFLICT,
        Code::OutOfRange => StatusCode::PAYLOAD_TOO_LARGE,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unavailable if reason == "GATEWAY" => StatusCode::BAD_GATEWAY,
        Code::Unavailable | Code::Cancelled => StatusCode::SERVICE_UNAVAILABLE,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Internal | Code::Unknown | Code::DataLoss => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn text(status: &Status, code: StatusCode) -> Cow<'static, str> {
    match status.message() {
        // What went wrong inside is none of the caller's business; it was logged where it happened.
        _ if code == StatusCode::INTERNAL_SERVER_ERROR => "Internal Server Error".into(),
        "" => code.canonical_reason().unwrap_or("Error").into(),
        message => message.to_owned().into(),
    }
}

/// Fields that a service refused, in the words of the transcoder.
fn violations(details: &ErrorDetails, section: &'static str) -> Option<Vec<Problem>> {
    let violations = &details.bad_request()?.field_violations;
    let problem = |field: &str, description: &str| {
        let mut loc = vec![Loc::Name(section.into())];
        loc.extend(Loc::parse(field));
        let mut problem = Problem::new("value_error", loc, format!("Value error, {description}"));
        problem.ctx = Some(serde_json::json!({ "error": description }));
        problem
    };
    (!violations.is_empty()).then(|| {
        violations
            .iter()
            .map(|violation| problem(&violation.field, &violation.description))
            .collect()
    })
}

/// Problems of an encoded message as gRPC says them: `INVALID_ARGUMENT` with every field.
pub fn invalid(problems: &[Problem]) -> Status {
    let mut details = ErrorDetails::new();
    let mut message = String::from("The request is not valid.");
    for problem in problems {
        let field = problem.field();
        let _ = write!(
            message,
            " {}: {}.",
            if field.is_empty() { "message" } else { &field },
            problem.msg.trim_end_matches('.')
        );
        details.add_bad_request_violation(field, problem.msg.clone());
    }
    details.set_error_info(
        chassis::error::Kind::Invalid.reason(),
        chassis::error::DOMAIN,
        std::collections::HashMap::new(),
    );
    Status::with_error_details(Code::InvalidArgument, message, details)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chassis::error::{Error, Kind, Violation};
    use http::HeaderMap;
    use http_body_util::BodyExt;
    use serde_json::{Value, json};

    use super::*;

    async fn answer(error: Error) -> (u16, Value, HeaderMap) {
        let response = Fault::of(&Status::from(error), "body").respond("r-1");
        let (head, body) = response.into_parts();
        let bytes = body.collect().await.expect("a body").to_bytes();
        (
            head.status.as_u16(),
            serde_json::from_slice(&bytes).expect("json"),
            head.headers,
        )
    }

    #[tokio::test]
    async fn every_kind_has_its_status() {
        let expected = [
            (Kind::Invalid, 422),
            (Kind::Unprocessable, 422),
            (Kind::BadRequest, 400),
            (Kind::Unauthenticated, 401),
            (Kind::Denied, 403),
            (Kind::NotFound, 404),
            (Kind::Conflict, 409),
            (Kind::Stale, 412),
            (Kind::Precondition, 409),
            (Kind::Gone, 410),
            (Kind::TooLarge, 413),
            (Kind::Limited, 429),
            (Kind::Gateway, 502),
            (Kind::Unavailable, 503),
            (Kind::Deadline, 504),
        ];
        for (kind, status) in expected {
            let (code, body, _) = answer(Error::new(kind, "Said so.")).await;
            assert_eq!(
                (code, body),
                (status, json!({"detail": "Said so.", "request_id": "r-1"})),
                "{kind:?}"
            );
        }
    }

    #[tokio::test]
    async fn a_defect_says_nothing_of_its_inside() {
        let (code, body, _) = answer(Error::internal(std::io::Error::other("password=hunter2"))).await;
        assert_eq!(
            (code, body),
            (500, json!({"detail": "Internal Server Error", "request_id": "r-1"}))
        );
        let unknown = Fault::of(&Status::unknown("at 10.0.0.3"), "body").respond("r-2");
        let bytes = unknown.into_body().collect().await.expect("a body").to_bytes();
        assert!(!String::from_utf8_lossy(&bytes).contains("10.0.0.3"));
    }

    #[tokio::test]
    async fn details_are_lists_or_objects() {
        let fields = vec![
            Violation {
                field: "items[2].name".into(),
                message: "name is taken.".into(),
            },
            Violation {
                field: "title".into(),
                message: "title is empty.".into(),
            },
        ];
        let (code, body, _) = answer(Error::invalid_fields(fields)).await;
        assert_eq!(code, 422);
        assert_eq!(
            body["detail"][0],
            json!({"type": "value_error", "loc": ["body", "items", 2, "name"], "msg": "Value error, name is taken.", "input": null,
                   "ctx": {"error": "name is taken."}})
        );
        assert_eq!(body["detail"][1]["loc"], json!(["body", "title"]));

        let blocked = Error::precondition("Task is blocked.").with("code", "task_blocked_cannot_transition");
        let (code, body, _) = answer(blocked).await;
        assert_eq!(
            (code, &body["detail"]),
            (
                409,
                &json!({"message": "Task is blocked.", "code": "task_blocked_cannot_transition"})
            )
        );
    }

    #[tokio::test]
    async fn typed_details_leave_the_detail_as_it_is() {
        let refused = Error::new(Kind::Denied, "Not so.")
            .beside("rule", "a_rule")
            .beside("count", 2);
        let (code, body, _) = answer(Error::from(Status::from(refused))).await;
        assert_eq!(
            (code, body),
            (
                403,
                json!({"detail": "Not so.", "request_id": "r-1", "rule": "a_rule", "count": "2"})
            )
        );
    }

    #[tokio::test]
    async fn retry_after_is_rounded_up() {
        let (code, _, headers) = answer(Error::limited(Duration::from_millis(2100))).await;
        assert_eq!(
            (code, &headers[header::RETRY_AFTER]),
            (429, &HeaderValue::from_static("3"))
        );
        let (_, _, headers) = answer(Error::limited(Duration::ZERO)).await;
        assert_eq!(headers[header::RETRY_AFTER], "1");
    }

    #[test]
    fn problems_become_violations() {
        let problem = Problem::new(
            "missing",
            vec![Loc::Name("body".into()), Loc::Name("title".into())],
            "Field required",
        );
        let status = invalid(&[problem]);
        assert_eq!(status.code(), Code::InvalidArgument);
        let details = status.get_error_details();
        let violation = &details.bad_request().expect("details").field_violations[0];
        assert_eq!(
            (violation.field.as_str(), violation.description.as_str()),
            ("title", "Field required")
        );
        assert!(
            status.message().contains("title: Field required"),
            "{}",
            status.message()
        );
    }
}
