//! Every way a gateway can fail us, classified: what it is, whether a retry can help, and what a person can do.
//!
//! `error.code` with `details.code` and `details.reason` decide. Message texts are only read where a release gives
//! nothing else (2026.2.9 never sends details).

use std::{fmt, time::Duration};

use super::frame::ErrorBody;

/// Longest wait that a gateway can ask for: locked out addresses are let in again after five minutes.
const LONGEST_WAIT: Duration = Duration::from_mins(10);

/// When to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// The same attempt will fail again until the configuration changes.
    Never,
    /// The gateway said how long to wait.
    After(Duration),
    /// Soon, with growing pauses.
    Backoff,
    /// A person has to act on the gateway; look again now and then.
    AwaitUser,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident, $text:literal, $retry:expr, $remedy:literal;)*) => {
        /// What went wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Kind { $($(#[$doc])* $name,)* }

        impl Kind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Stable name in snake case, for APIs, logs and metrics.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// Whether trying again can help, unless the gateway says otherwise.
            pub const fn default_retry(self) -> Retry {
                match self { $(Self::$name => $retry,)* }
            }

            /// What a person can do about it; empty when there is nothing to do.
            pub const fn remedy(self) -> &'static str {
                match self { $(Self::$name => $remedy,)* }
            }
        }
    };
}

kinds! {
    /// The address is not a WebSocket URL.
    InvalidUrl, "invalid_url", Retry::Never,
        "Use an address like ws://host:18789 or wss://host.";
    /// The host name does not resolve.
    Dns, "dns", Retry::Backoff,
        "Check the host name. From inside a container use the gateway's service name or host.docker.internal.";
    /// Nothing listens there, or no route leads there.
    Unreachable, "unreachable", Retry::Backoff,
        "Check that the gateway runs, that the port is right and that it listens on this network (gateway.bind). \
         Inside a container, localhost is the container itself.";
    /// No answer in time while connecting.
    ConnectTimeout, "connect_timeout", Retry::Backoff,
        "Check firewalls and that the address and port belong to the gateway.";
    /// The TLS handshake failed.
    Tls, "tls", Retry::Backoff,
        "Check that the port speaks TLS; use ws:// for a plain port.";
    /// The certificate is not trusted.
    TlsUntrusted, "tls_untrusted", Retry::AwaitUser,
        "If the gateway uses its own certificate, pin the fingerprint shown here after comparing it with the one on \
         the gateway host.";
    /// The certificate is not the pinned one.
    TlsFingerprint, "tls_fingerprint", Retry::AwaitUser,
        "The certificate changed or someone answers in the gateway's place. Compare the fingerprint with the gateway \
         host, then store the new one.";
    /// HTTP refused the upgrade for good.
    UpgradeRefused, "upgrade_refused", Retry::AwaitUser,
        "A proxy or another server answers at this address. Check host, port and path.";
    /// HTTP 403: the gateway does not trust the proxy in front of it.
    UpgradeForbidden, "upgrade_forbidden", Retry::AwaitUser,
        "Add the proxy's address to gateway.trustedProxies on the gateway, or connect to the gateway directly.";
    /// HTTP 5xx on upgrade: draining or restarting.
    UpgradeUnavailable, "upgrade_unavailable", Retry::Backoff,
        "The gateway is restarting or draining; this normally passes by itself.";
    /// The server speaks WebSocket but not the gateway protocol, or something else altogether.
    NotAGateway, "not_a_gateway", Retry::AwaitUser,
        "Another program answers at this address. If the gateway uses TLS, the address must begin with wss://.";
    /// No common protocol version.
    ProtocolMismatch, "protocol_mismatch", Retry::Never,
        "Upgrade the gateway: Mission Control speaks protocol 3 and 4.";
    /// The gateway refused the shape of the connect request.
    ConnectRejected, "connect_rejected", Retry::Never,
        "This release refuses our connect request; report it with the gateway's version.";
    /// The shared token is wrong.
    TokenMismatch, "token_mismatch", Retry::Never,
        "Store the token of gateway.auth.token from the gateway's configuration.";
    /// No token was sent.
    TokenMissing, "token_missing", Retry::Never,
        "Store the token of gateway.auth.token from the gateway's configuration.";
    /// The device token is wrong or was revoked.
    DeviceTokenMismatch, "device_token_mismatch", Retry::Never,
        "The gateway revoked this device's token. Store the shared gateway token, then approve the device again.";
    /// Too many failed logins: even the right token is refused for a while.
    AuthRateLimited, "auth_rate_limited", Retry::Backoff,
        "Too many failed logins from this address; the gateway lets us in again after the pause.";
    /// The device signature was refused.
    DeviceSignature, "device_signature", Retry::Never,
        "The gateway refuses this device's signature. Remove the device there and connect again.";
    /// The signature is too old or from the future.
    DeviceClock, "device_clock", Retry::Backoff,
        "Set the clocks of both hosts (NTP): they differ by more than two minutes.";
    /// The device waits for approval.
    PairingRequired, "pairing_required", Retry::AwaitUser,
        "On the gateway host run: openclaw devices approve";
    /// The gateway demands a device identity.
    DeviceIdentityRequired, "device_identity_required", Retry::Never,
        "This release needs a device identity: switch device pairing on for this gateway.";
    /// The gateway refused the Origin header.
    OriginNotAllowed, "origin_not_allowed", Retry::Never,
        "Add Mission Control's origin to gateway.controlUi.allowedOrigins, or connect without a proxy that adds one.";
    /// The gateway is still starting.
    Starting, "starting", Retry::Backoff, "The gateway is starting; this passes by itself.";
    /// The gateway is restarting or draining.
    Restarting, "restarting", Retry::Backoff, "The gateway is restarting; this passes by itself.";
    /// The gateway changed its connection policy and closed all sockets.
    PolicyChanged, "policy_changed", Retry::Backoff, "The gateway's connection policy changed; we reconnect.";
    /// The connection ended without a word.
    ConnectionLost, "connection_lost", Retry::Backoff, "Check the network between Mission Control and the gateway.";
    /// Nothing arrived for two tick intervals.
    Silent, "silent", Retry::Backoff, "Check the network between Mission Control and the gateway.";
    /// A frame was larger than the gateway takes.
    TooLarge, "too_large", Retry::Never, "Send less at once, or upgrade the gateway if it takes only 512 KiB.";
    /// A scope is missing.
    MissingScope, "missing_scope", Retry::Never,
        "Connect with a device identity (device pairing on), or approve the device with the missing scope.";
    /// Our role may not call this.
    WrongRole, "wrong_role", Retry::Never, "";
    /// The release has no such method.
    UnknownMethod, "unknown_method", Retry::Never, "Upgrade the gateway.";
    /// The agent does not exist (yet).
    AgentNotFound, "agent_not_found", Retry::Never, "";
    /// The agent exists already.
    AgentExists, "agent_exists", Retry::Never, "";
    /// The agent is not in the live configuration: just created, or gone.
    AgentNotConfigured, "agent_not_configured", Retry::Backoff, "";
    /// The release does not take this workspace file.
    UnsupportedFile, "unsupported_file", Retry::Never, "";
    /// A main session cannot be deleted on this release.
    MainSession, "main_session", Retry::Never, "";
    /// Another writer changed the configuration in between.
    ConfigConflict, "config_conflict", Retry::Backoff, "";
    /// The gateway's schema refused the configuration.
    ConfigInvalid, "config_invalid", Retry::Never, "Correct the setting named in the message.";
    /// Too many calls of one method.
    RateLimited, "rate_limited", Retry::Backoff, "";
    /// The gateway is busy.
    Busy, "busy", Retry::Backoff, "The gateway is overloaded; fewer agents or a larger host help.";
    /// The same idempotency key was used with another text.
    ChatConflict, "chat_conflict", Retry::Never, "";
    /// The request was refused for another reason.
    Refused, "refused", Retry::Never, "";
    /// The gateway could not do it now.
    Unavailable, "unavailable", Retry::Backoff, "";
    /// No answer within the deadline.
    Deadline, "deadline", Retry::Backoff, "The gateway did not answer in time; check its load and log.";
    /// The answer had another shape than every known release gives.
    Malformed, "malformed", Retry::Never, "This release answers in an unknown form; report it with the gateway's version.";
    /// The session was stopped.
    Stopped, "stopped", Retry::Never, "";
}

/// A classified failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What went wrong.
    pub kind: Kind,
    /// Whether and when to try again.
    pub retry: Retry,
    /// What happened, in the gateway's words where it gave any. Never holds a secret of ours.
    pub message: String,
    /// What a person can do; may be empty.
    pub remedy: String,
    /// The pairing request that waits for approval.
    pub pairing_request_id: Option<Box<str>>,
    /// The scope that was missing.
    pub missing_scope: Option<Box<str>>,
    /// SHA-256 of the certificate that was shown and not trusted.
    pub tls_fingerprint: Option<Box<str>>,
}

impl std::error::Error for Failure {}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Failure {
    /// A failure of a kind, with the kind's own retry rule and remedy.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            retry: kind.default_retry(),
            message: message.into(),
            remedy: kind.remedy().to_owned(),
            pairing_request_id: None,
            missing_scope: None,
            tls_fingerprint: None,
        }
    }

    /// The same failure with a more exact remedy.
    #[must_use]
    pub fn with_remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = remedy.into();
        self
    }

    /// Whether the request may have reached the gateway without us hearing the answer.
    pub fn is_interruption(&self) -> bool {
        matches!(
            self.kind,
            Kind::ConnectionLost
                | Kind::Silent
                | Kind::Restarting
                | Kind::PolicyChanged
                | Kind::Starting
                | Kind::UpgradeUnavailable
                | Kind::Unreachable
                | Kind::Busy
        )
    }

    /// A missing scope, wherever it was noticed.
    pub fn missing_scope(scope: &str) -> Self {
        Self {
            missing_scope: Some(scope.into()),
            ..Self::new(Kind::MissingScope, format!("missing scope: {scope}"))
        }
    }

    /// Classifies an error answer, of `connect` or of any other method.
    pub(super) fn from_error(error: &ErrorBody) -> Self {
        let kind = classify(error);
        let mut failure = Self::new(kind, describe(error));
        match kind {
            Kind::PairingRequired => pairing(&mut failure, error),
            Kind::MissingScope => {
                let scope = match error.detail("missingScope") {
                    "" => error.message.strip_prefix("missing scope: ").unwrap_or_default(),
                    scope => scope,
                };
                failure.missing_scope = Some(scope).filter(|scope| !scope.is_empty()).map(Into::into);
            }
            _ => {}
        }
        // The gateway's own waiting time is honoured wherever waiting can help at all.
        if failure.retry == Retry::Backoff
            && let Some(wait) = error.retry_after_ms
        {
            failure.retry = Retry::After(Duration::from_millis(wait).min(LONGEST_WAIT));
        }
        failure
    }

    /// Classifies a close frame.
    pub(super) fn from_close(code: u16, reason: &str) -> Self {
        let kind = match code {
            1009 => Kind::TooLarge,
            1012 => Kind::Restarting,
            1013 => Kind::Starting,
            4001 => Kind::PolicyChanged,
            1002 | 1008 => {
                let guess = classify(&ErrorBody {
                    code: "INVALID_REQUEST".to_owned(),
                    message: reason.to_owned(),
                    ..ErrorBody::default()
                });
                // "slow consumer" and the like: the connection is gone, nothing else is known.
                if guess == Kind::Refused {
                    Kind::ConnectionLost
                } else {
                    guess
                }
            }
            _ => Kind::ConnectionLost,
        };
        let mut failure = Self::new(kind, format!("the gateway closed the connection ({code} {reason})"));
        // An oversized frame kills only this connection, the next one is fine.
        if kind == Kind::TooLarge {
            failure.retry = Retry::Backoff;
        }
        failure
    }
}

fn describe(error: &ErrorBody) -> String {
    match (error.message.as_str(), error.code.as_str()) {
        ("", "") => "the gateway answered with an empty error".to_owned(),
        ("", code) => code.to_owned(),
        (message, _) => message.to_owned(),
    }
}

fn pairing(failure: &mut Failure, error: &ErrorBody) {
    let id = error.detail("requestId");
    if !id.is_empty() {
        failure.pairing_request_id = Some(id.into());
        failure.remedy = format!("On the gateway host run: openclaw devices approve {id}");
    }
    match error.detail("reason") {
        "" | "not-paired" => {}
        reason => failure.message = format!("{} ({reason})", failure.message),
    }
}

fn classify(error: &ErrorBody) -> Kind {
    by_details(error).unwrap_or_else(|| by_text(error))
}

fn by_details(error: &ErrorBody) -> Option<Kind> {
    let reason = error.detail("reason");
    Some(match error.detail("code") {
        "PROTOCOL_MISMATCH" => Kind::ProtocolMismatch,
        "AUTH_TOKEN_MISMATCH" | "AUTH_PASSWORD_MISMATCH" => Kind::TokenMismatch,
        "AUTH_TOKEN_MISSING" | "AUTH_PASSWORD_MISSING" | "AUTH_REQUIRED" => Kind::TokenMissing,
        "AUTH_DEVICE_TOKEN_MISMATCH" => Kind::DeviceTokenMismatch,
        "AUTH_RATE_LIMITED" => Kind::AuthRateLimited,
        "DEVICE_AUTH_SIGNATURE_EXPIRED" => Kind::DeviceClock,
        "DEVICE_AUTH_INVALID" if reason.contains("stale") || reason.contains("expired") => Kind::DeviceClock,
        code if code.starts_with("DEVICE_AUTH_") => Kind::DeviceSignature,
        "PAIRING_REQUIRED" => Kind::PairingRequired,
        "CONTROL_UI_DEVICE_IDENTITY_REQUIRED" | "DEVICE_IDENTITY_REQUIRED" => Kind::DeviceIdentityRequired,
        "CONTROL_UI_ORIGIN_NOT_ALLOWED" => Kind::OriginNotAllowed,
        "MISSING_SCOPE" => Kind::MissingScope,
        _ => match reason {
            "startup-sidecars" => Kind::Starting,
            "gateway-restarting" => Kind::Restarting,
            "chat-request-conflict" => Kind::ChatConflict,
            _ if error.code == "NOT_PAIRED" => Kind::PairingRequired,
            _ => return None,
        },
    })
}

fn by_text(error: &ErrorBody) -> Kind {
    let text = error.message.to_ascii_lowercase();
    let has = |part: &str| text.contains(part);
    match () {
        () if has("protocol mismatch") => Kind::ProtocolMismatch,
        () if has("too many failed authentication") => Kind::AuthRateLimited,
        () if has("device token mismatch") => Kind::DeviceTokenMismatch,
        () if has("token mismatch") || has("password mismatch") => Kind::TokenMismatch,
        () if has("token missing") || has("password missing") => Kind::TokenMissing,
        () if has("device signature expired") => Kind::DeviceClock,
        () if has("device signature") || has("device nonce") || has("device identity mismatch") => {
            Kind::DeviceSignature
        }
        () if has("pairing required") => Kind::PairingRequired,
        () if has("requires device identity") || has("requires https or localhost") => Kind::DeviceIdentityRequired,
        () if has("origin not allowed") => Kind::OriginNotAllowed,
        () if has("missing scope") => Kind::MissingScope,
        () if has("unauthorized role") => Kind::WrongRole,
        () if has("unauthorized") => Kind::TokenMismatch,
        () if has("invalid connect params") || has("invalid handshake") || has("invalid role") => Kind::ConnectRejected,
        () if has("unknown method") => Kind::UnknownMethod,
        () if has("unsupported file") => Kind::UnsupportedFile,
        () if has("cannot delete the main session") => Kind::MainSession,
        () if has("no longer exists in configuration") => Kind::AgentNotConfigured,
        () if has("agent \"") && has("already exists") => Kind::AgentExists,
        () if has("unknown agent id") || (has("agent \"") && has("not found")) => Kind::AgentNotFound,
        () if has("config changed since last load") || has("config base hash required") => Kind::ConfigConflict,
        () if has("invalid config:") => Kind::ConfigInvalid,
        () if has("rate limit exceeded") => Kind::RateLimited,
        () if has("server is busy") => Kind::Busy,
        () if has("during gateway restart") || has("gateway is draining") || has("gateway is restarting") => {
            Kind::Restarting
        }
        () if error.code == "NOT_PAIRED" => Kind::PairingRequired,
        () if error.code == "UNAVAILABLE" => Kind::Unavailable,
        () => Kind::Refused,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn classified(error: Value) -> Failure {
        Failure::from_error(&serde_json::from_value(error).expect("an error body"))
    }

    fn plain(code: &str, message: &str) -> Value {
        json!({"code": code, "message": message})
    }

    /// One row per situation: details as recent releases send them.
    #[test]
    fn connect_errors_with_details() {
        let with = |code: &str, detail: Value| json!({"code": code, "message": "m", "details": detail});
        let rows = [
            (
                with(
                    "INVALID_REQUEST",
                    json!({"code": "PROTOCOL_MISMATCH", "expectedProtocol": 5}),
                ),
                Kind::ProtocolMismatch,
                Retry::Never,
            ),
            (
                with("INVALID_REQUEST", json!({"code": "AUTH_TOKEN_MISMATCH"})),
                Kind::TokenMismatch,
                Retry::Never,
            ),
            (
                with("INVALID_REQUEST", json!({"code": "AUTH_TOKEN_MISSING"})),
                Kind::TokenMissing,
                Retry::Never,
            ),
            (
                with("INVALID_REQUEST", json!({"code": "AUTH_DEVICE_TOKEN_MISMATCH"})),
                Kind::DeviceTokenMismatch,
                Retry::Never,
            ),
            (
                with("INVALID_REQUEST", json!({"code": "DEVICE_AUTH_NONCE_MISMATCH"})),
                Kind::DeviceSignature,
                Retry::Never,
            ),
            (
                with("INVALID_REQUEST", json!({"code": "DEVICE_AUTH_SIGNATURE_INVALID"})),
                Kind::DeviceSignature,
                Retry::Never,
            ),
            (
                with("INVALID_REQUEST", json!({"code": "DEVICE_AUTH_SIGNATURE_EXPIRED"})),
                Kind::DeviceClock,
                Retry::Backoff,
            ),
            (
                with(
                    "INVALID_REQUEST",
                    json!({"code": "DEVICE_AUTH_INVALID", "reason": "device-signature-stale"}),
                ),
                Kind::DeviceClock,
                Retry::Backoff,
            ),
            (
                with(
                    "INVALID_REQUEST",
                    json!({"code": "DEVICE_AUTH_INVALID", "reason": "device-signature"}),
                ),
                Kind::DeviceSignature,
                Retry::Never,
            ),
            (
                with("NOT_PAIRED", json!({"code": "PAIRING_REQUIRED", "requestId": "r-1"})),
                Kind::PairingRequired,
                Retry::AwaitUser,
            ),
            (
                with(
                    "INVALID_REQUEST",
                    json!({"code": "CONTROL_UI_DEVICE_IDENTITY_REQUIRED"}),
                ),
                Kind::DeviceIdentityRequired,
                Retry::Never,
            ),
            (
                with("INVALID_REQUEST", json!({"code": "CONTROL_UI_ORIGIN_NOT_ALLOWED"})),
                Kind::OriginNotAllowed,
                Retry::Never,
            ),
            (
                with(
                    "FORBIDDEN",
                    json!({"code": "MISSING_SCOPE", "missingScope": "operator.read"}),
                ),
                Kind::MissingScope,
                Retry::Never,
            ),
            (
                json!({"code": "UNAVAILABLE", "message": "m", "retryAfterMs": 500, "details": {"reason": "startup-sidecars"}}),
                Kind::Starting,
                Retry::After(Duration::from_millis(500)),
            ),
            (
                json!({"code": "UNAVAILABLE", "message": "m", "retryAfterMs": 1000, "details": {"reason": "gateway-restarting"}}),
                Kind::Restarting,
                Retry::After(Duration::from_secs(1)),
            ),
            (
                json!({"code": "INVALID_REQUEST", "message": "m", "retryAfterMs": 299_966, "details": {"code": "AUTH_RATE_LIMITED"}}),
                Kind::AuthRateLimited,
                Retry::After(Duration::from_millis(299_966)),
            ),
        ];
        for (error, kind, retry) in rows {
            let failure = classified(error.clone());
            assert_eq!((failure.kind, failure.retry), (kind, retry), "{error}");
            assert!(!failure.remedy.is_empty(), "{error} has no remedy");
        }
    }

    /// The oldest release sends only texts.
    #[test]
    fn errors_by_text_alone() {
        let rows = [
            ("protocol mismatch", Kind::ProtocolMismatch),
            (
                "unauthorized: gateway token mismatch (provide gateway auth token)",
                Kind::TokenMismatch,
            ),
            (
                "unauthorized: gateway token missing (provide gateway auth token)",
                Kind::TokenMissing,
            ),
            (
                "unauthorized: device token mismatch (rotate/reissue device token)",
                Kind::DeviceTokenMismatch,
            ),
            ("device signature invalid", Kind::DeviceSignature),
            ("device nonce mismatch", Kind::DeviceSignature),
            ("device signature expired", Kind::DeviceClock),
            (
                "control ui requires HTTPS or localhost (secure context)",
                Kind::DeviceIdentityRequired,
            ),
            (
                "origin not allowed (open the Control UI from the gateway host)",
                Kind::OriginNotAllowed,
            ),
            (
                "invalid connect params: at root: unexpected property 'foo'",
                Kind::ConnectRejected,
            ),
            ("missing scope: operator.admin", Kind::MissingScope),
            ("unauthorized role: node", Kind::WrongRole),
            ("unknown method: agents.files.delete", Kind::UnknownMethod),
            ("unsupported file \"TOOLS.md\"", Kind::UnsupportedFile),
            ("agent \"mc-1\" not found", Kind::AgentNotFound),
            ("unknown agent id", Kind::AgentNotFound),
            ("agent \"mc-1\" already exists", Kind::AgentExists),
            (
                "Agent \"mc-1\" no longer exists in configuration",
                Kind::AgentNotConfigured,
            ),
            ("Cannot delete the main session (agent:mc-1:main).", Kind::MainSession),
            (
                "config changed since last load; re-run config.get and retry",
                Kind::ConfigConflict,
            ),
            (
                "config base hash required; re-run config.get and retry",
                Kind::ConfigConflict,
            ),
            (
                "invalid config: agents: Unrecognized key: \"list\"",
                Kind::ConfigInvalid,
            ),
            ("something new", Kind::Refused),
        ];
        for (message, kind) in rows {
            assert_eq!(classified(plain("INVALID_REQUEST", message)).kind, kind, "{message}");
        }
        assert_eq!(
            classified(plain("UNAVAILABLE", "something new")).kind,
            Kind::Unavailable
        );
        assert_eq!(
            classified(plain("NOT_PAIRED", "pairing required")).kind,
            Kind::PairingRequired
        );
        assert_eq!(
            classified(plain("", "")).message,
            "the gateway answered with an empty error"
        );
    }

    #[test]
    fn the_pairing_request_id_reaches_the_remedy() {
        let failure = classified(json!({"code": "NOT_PAIRED", "message": "pairing required",
            "details": {"code": "PAIRING_REQUIRED", "requestId": "9716", "reason": "metadata-upgrade"}}));
        assert_eq!(failure.pairing_request_id.as_deref(), Some("9716"));
        assert!(failure.remedy.contains("openclaw devices approve 9716"));
        assert!(failure.message.contains("metadata-upgrade"));
    }

    #[test]
    fn the_missing_scope_is_named_with_and_without_details() {
        let old = classified(plain("INVALID_REQUEST", "missing scope: operator.admin"));
        assert_eq!(old.missing_scope.as_deref(), Some("operator.admin"));
        let new = classified(json!({"code": "FORBIDDEN", "message": "missing scope: operator.read",
            "details": {"code": "MISSING_SCOPE", "missingScope": "operator.read"}}));
        assert_eq!(new.missing_scope.as_deref(), Some("operator.read"));
    }

    #[test]
    fn rate_limits_carry_the_gateways_own_pause() {
        let failure = classified(json!({"code": "UNAVAILABLE", "retryable": true, "retryAfterMs": 34_085,
            "message": "rate limit exceeded for config.patch; retry after 35s"}));
        assert_eq!(
            (failure.kind, failure.retry),
            (Kind::RateLimited, Retry::After(Duration::from_millis(34_085)))
        );
        // A pause that no clock can count to is not waited for.
        let absurd = classified(json!({"code": "UNAVAILABLE", "retryAfterMs": u64::MAX,
            "message": "rate limit exceeded for config.patch"}));
        assert_eq!(absurd.retry, Retry::After(LONGEST_WAIT));
    }

    #[test]
    fn close_codes_are_classified() {
        let rows = [
            (1012, "service restart", Kind::Restarting, Retry::Backoff),
            (1013, "", Kind::Starting, Retry::Backoff),
            (1009, "", Kind::TooLarge, Retry::Backoff),
            (4001, "gateway policy changed", Kind::PolicyChanged, Retry::Backoff),
            (1008, "slow consumer", Kind::ConnectionLost, Retry::Backoff),
            (1008, "pairing required", Kind::PairingRequired, Retry::AwaitUser),
            (1002, "protocol mismatch", Kind::ProtocolMismatch, Retry::Never),
            (1000, "", Kind::ConnectionLost, Retry::Backoff),
        ];
        for (code, reason, kind, retry) in rows {
            let failure = Failure::from_close(code, reason);
            assert_eq!((failure.kind, failure.retry), (kind, retry), "{code} {reason}");
        }
    }

    #[test]
    fn names_are_unique() {
        let names: std::collections::HashSet<_> = Kind::ALL.iter().map(|k| k.as_str()).collect();
        assert_eq!(names.len(), Kind::ALL.len());
    }
}
