//! The one error of every service.
//!
//! A handler says what went wrong in these terms; this module alone knows the gRPC code and details, the edge alone knows HTTP.
//! Messages are read by the person or agent that called: they name the rule and, where there is one, the remedy.

use std::time::Duration;

use serde_json::{Map, Value};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// Result of service code.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Domain of the `ErrorInfo` details.
pub const DOMAIN: &str = "missioncontrol";

/// Key of the `ErrorInfo` metadata that carries the JSON `detail` of the REST answer when it is more than the message.
pub const DETAIL_KEY: &str = "detail";

/// What kind of thing went wrong. Each has one gRPC code and one stable `ErrorInfo` reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Fields break rules; every violation is listed.
    Invalid,
    /// The request is well formed but cannot be meant (a reference that is not valid here).
    Unprocessable,
    /// The request cannot be understood at all.
    BadRequest,
    /// No valid credential.
    Unauthenticated,
    /// The caller may not do this.
    Denied,
    /// It does not exist, or not for this caller.
    NotFound,
    /// It clashes with what is there.
    Conflict,
    /// It has changed since the caller looked at it.
    Stale,
    /// A rule of the board or the state of things forbids it for now.
    Precondition,
    /// It existed and is switched off.
    Gone,
    /// The request is larger than allowed.
    TooLarge,
    /// Too many requests.
    Limited,
    /// A gateway could not do its part; the message has the cause.
    Gateway,
    /// Something this needs is away; trying again helps.
    Unavailable,
    /// It took too long.
    Deadline,
    /// A defect. The caller learns nothing of the inside; the cause is logged once.
    Internal,
}

impl Kind {
    /// The gRPC code.
    pub fn code(self) -> Code {
        match self {
            Self::Invalid | Self::Unprocessable | Self::BadRequest => Code::InvalidArgument,
            Self::Unauthenticated => Code::Unauthenticated,
            Self::Denied => Code::PermissionDenied,
            Self::NotFound => Code::NotFound,
            Self::Conflict | Self::Stale => Code::Aborted,
            Self::Precondition | Self::Gone => Code::FailedPrecondition,
            Self::TooLarge => Code::OutOfRange,
            Self::Limited => Code::ResourceExhausted,
            Self::Gateway | Self::Unavailable => Code::Unavailable,
            Self::Deadline => Code::DeadlineExceeded,
            Self::Internal => Code::Internal,
        }
    }

    /// The stable word of the `ErrorInfo` detail; with the code it tells the kinds apart.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Invalid => "INVALID",
            Self::Unprocessable => "UNPROCESSABLE",
            Self::BadRequest => "BAD_REQUEST",
            Self::Unauthenticated => "UNAUTHENTICATED",
            Self::Denied => "DENIED",
            Self::NotFound => "NOT_FOUND",
            Self::Conflict => "CONFLICT",
            Self::Stale => "STALE",
            Self::Precondition => "PRECONDITION",
            Self::Gone => "GONE",
            Self::TooLarge => "TOO_LARGE",
            Self::Limited => "LIMITED",
            Self::Gateway => "GATEWAY",
            Self::Unavailable => "UNAVAILABLE",
            Self::Deadline => "DEADLINE",
            Self::Internal => "INTERNAL",
        }
    }
}

/// One broken rule of one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Dotted path of the field in the request message.
    pub field: String,
    /// Which rule, and how to satisfy it.
    pub message: String,
}

/// An error that a caller may see. Boxed: results stay small.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.message)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: Kind,
    message: String,
    /// Further keys of the REST `detail` object, beside `message`.
    extra: Map<String, Value>,
    /// Typed details beside the `detail`.
    beside: Map<String, Value>,
    violations: Vec<Violation>,
    retry_after: Option<Duration>,
    source: Option<anyhow::Error>,
}

impl Error {
    /// An error of a kind with a message for the caller.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            message: message.into(),
            extra: Map::new(),
            beside: Map::new(),
            violations: Vec::new(),
            retry_after: None,
            source: None,
        }))
    }

    /// One field breaks a rule.
    pub fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        let message = message.into();
        Self::invalid_fields(vec![Violation {
            field: field.into(),
            message,
        }])
    }

    /// Several fields break rules.
    pub fn invalid_fields(violations: Vec<Violation>) -> Self {
        let mut error = Self::new(Kind::Invalid, "The request is not valid.");
        error.0.violations = violations;
        error
    }

    /// See [`Kind::Unprocessable`].
    pub fn unprocessable(message: impl Into<String>) -> Self {
        Self::new(Kind::Unprocessable, message)
    }

    /// See [`Kind::Unauthenticated`].
    pub fn unauthenticated(message: impl Into<String>) -> Self {
        Self::new(Kind::Unauthenticated, message)
    }

    /// See [`Kind::Denied`].
    pub fn denied(message: impl Into<String>) -> Self {
        Self::new(Kind::Denied, message)
    }

    /// See [`Kind::NotFound`].
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(Kind::NotFound, message)
    }

    /// See [`Kind::Conflict`].
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(Kind::Conflict, message)
    }

    /// See [`Kind::Precondition`].
    pub fn precondition(message: impl Into<String>) -> Self {
        Self::new(Kind::Precondition, message)
    }

    /// See [`Kind::Gateway`].
    pub fn gateway(message: impl Into<String>) -> Self {
        Self::new(Kind::Gateway, message)
    }

    /// See [`Kind::Unavailable`]; the caller is told to try again after a second.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(Kind::Unavailable, message).retry_after(Duration::from_secs(1))
    }

    /// See [`Kind::Limited`].
    pub fn limited(retry_after: Duration) -> Self {
        Self::new(Kind::Limited, "Too Many Requests").retry_after(retry_after)
    }

    /// A defect. `source` is logged when the error becomes a status, never answered.
    pub fn internal(source: impl Into<anyhow::Error>) -> Self {
        let mut error = Self::new(Kind::Internal, "Internal Server Error");
        error.0.source = Some(source.into());
        error
    }

    /// Adds a key to the REST `detail`, which becomes an object with `message` and the keys added.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.0.extra.insert(key.to_owned(), value.into());
        self
    }

    /// Adds a typed detail that leaves the REST `detail` as it is: a key of the `ErrorInfo` metadata, and of the REST body beside `detail`. Texts
    /// travel as they are, everything else as JSON text.
    #[must_use]
    pub fn beside(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.0.beside.insert(key.to_owned(), value.into());
        self
    }

    /// Says when trying again can help.
    #[must_use]
    pub fn retry_after(mut self, delay: Duration) -> Self {
        self.0.retry_after = Some(delay);
        self
    }

    /// What kind of error this is.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The message with its inner causes: for logs and administrators, never for callers.
    pub fn report(&self) -> String {
        match &self.0.source {
            Some(source) => format!("{}: {source:#}", self.0.message),
            None => self.0.message.clone(),
        }
    }

    /// The broken rules, for [`Kind::Invalid`].
    pub fn violations(&self) -> &[Violation] {
        &self.0.violations
    }

    /// Whether the same call may succeed later without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        matches!(
            self.0.kind,
            Kind::Unavailable | Kind::Deadline | Kind::Limited | Kind::Gateway
        )
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let inner = *error.0;
        if let Some(source) = &inner.source {
            tracing::error!(error = format!("{source:#}"), "internal error");
        }
        let mut details = ErrorDetails::new();
        let mut metadata = std::collections::HashMap::new();
        if !inner.extra.is_empty() {
            let mut detail = Map::new();
            detail.insert("message".into(), inner.message.clone().into());
            detail.extend(inner.extra);
            metadata.insert(DETAIL_KEY.to_owned(), Value::Object(detail).to_string());
        }
        for (key, value) in inner.beside {
            let text = match value {
                Value::String(text) => text,
                value => value.to_string(),
            };
            metadata.insert(key, text);
        }
        details.set_error_info(inner.kind.reason(), DOMAIN, metadata);
        for violation in inner.violations {
            details.add_bad_request_violation(violation.field, violation.message);
        }
        if let Some(delay) = inner.retry_after {
            details.set_retry_info(Some(delay));
        }
        Status::with_error_details(inner.kind.code(), inner.message, details)
    }
}

/// What a peer answered becomes this service's error of the same kind, so that causes reach the caller unchanged.
impl From<Status> for Error {
    fn from(status: Status) -> Self {
        let details = status.get_error_details();
        let reason = details.error_info().map(|info| info.reason.clone()).unwrap_or_default();
        let kind = match status.code() {
            Code::InvalidArgument if reason == "UNPROCESSABLE" => Kind::Unprocessable,
            Code::InvalidArgument if reason == "BAD_REQUEST" => Kind::BadRequest,
            Code::InvalidArgument => Kind::Invalid,
            Code::Unauthenticated => Kind::Unauthenticated,
            Code::PermissionDenied => Kind::Denied,
            Code::NotFound => Kind::NotFound,
            Code::Aborted if reason == "STALE" => Kind::Stale,
            Code::Aborted | Code::AlreadyExists => Kind::Conflict,
            Code::FailedPrecondition if reason == "GONE" => Kind::Gone,
            Code::FailedPrecondition => Kind::Precondition,
            Code::OutOfRange => Kind::TooLarge,
            Code::ResourceExhausted => Kind::Limited,
            Code::Unavailable if reason == "GATEWAY" => Kind::Gateway,
            Code::Unavailable | Code::Cancelled => Kind::Unavailable,
            Code::DeadlineExceeded => Kind::Deadline,
            _ => return Self::internal(anyhow::anyhow!("peer answered {status}")),
        };
        let mut error = Self::new(kind, status.message());
        if let Some(detail) = details.error_info().and_then(|info| info.metadata.get(DETAIL_KEY))
            && let Ok(Value::Object(mut detail)) = serde_json::from_str(detail)
        {
            detail.remove("message");
            error.0.extra = detail;
        }
        if let Some(info) = details.error_info() {
            let beside = info.metadata.iter().filter(|(key, _)| *key != DETAIL_KEY);
            error.0.beside = beside.map(|(key, text)| (key.clone(), text.clone().into())).collect();
        }
        if let Some(request) = details.bad_request() {
            error.0.violations = request
                .field_violations
                .iter()
                .map(|violation| Violation {
                    field: violation.field.clone(),
                    message: violation.description.clone(),
                })
                .collect();
        }
        error.0.retry_after = details.retry_info().and_then(|info| info.retry_delay);
        error
    }
}

/// A database that is away is [`Kind::Unavailable`]; anything else that was not expected is a defect. Constraint violations that
/// stand for a rule are mapped where the statement is, with [`crate::store::violates`].
impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        let away = match &error {
            sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::WorkerCrashed => true,
            // Class 57: operator intervention (shutdown, starting up); 53: out of resources; 08: connection trouble.
            // https://www.postgresql.org/docs/current/errcodes-appendix.html
            sqlx::Error::Database(cause) => cause.code().is_some_and(|code| {
                code.starts_with("57")
                    || code.starts_with("53")
                    || code.starts_with("08")
                    || code == "40001"
                    || code == "40P01"
            }),
            _ => false,
        };
        if away {
            tracing::warn!(%error, "database unavailable");
            Self::unavailable("The database is not available. Try again in a moment.")
        } else {
            Self::internal(error)
        }
    }
}

impl From<prost::DecodeError> for Error {
    fn from(error: prost::DecodeError) -> Self {
        Self::internal(error)
    }
}
