//! Decisions without side effects: what a gateway's settings may be, and which failures forbid to store one.

use chassis::error::Violation;
use url::Url;
use uuid::Uuid;

use crate::session::{Failure, Fingerprint, Kind, Version};

/// Answered instead of a stored token, and taken as "as it is" when sent back.
pub const TOKEN_MASK: &str = "********";

/// Settings of a gateway that a person can type, before they are checked.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    pub name: String,
    pub url: String,
    pub workspace_root: String,
    pub tls_fingerprint: Option<String>,
}

impl Draft {
    /// The settings in their canonical form, or every mistake at once.
    pub fn checked(self) -> Result<Self, Vec<Violation>> {
        let mut wrong = Vec::new();
        let mut note = |field: &str, message: String| {
            wrong.push(Violation {
                field: field.to_owned(),
                message,
            });
        };
        let name = self.name.trim().to_owned();
        if name.is_empty() {
            note("name", "name must not be blank.".to_owned());
        }
        let url = address(&self.url).map_or_else(
            |message| {
                note("url", message);
                String::new()
            },
            |url| url.to_string(),
        );
        let workspace_root = workspace_root(&self.workspace_root).unwrap_or_else(|message| {
            note("workspace_root", message);
            String::new()
        });
        let tls_fingerprint = fingerprint(self.tls_fingerprint.as_deref()).unwrap_or_else(|message| {
            note("tls_fingerprint", message);
            None
        });
        if wrong.is_empty() {
            Ok(Self {
                name,
                url,
                workspace_root,
                tls_fingerprint: tls_fingerprint.map(|print| print.to_string()),
            })
        } else {
            Err(wrong)
        }
    }
}

/// A gateway's address. The error names the rule and the remedy.
pub fn address(text: &str) -> Result<Url, String> {
    let text = text.trim();
    let url =
        Url::parse(text).map_err(|_| format!("`{text}` is not an address: write ws://host:18789 or wss://host."))?;
    if !matches!(url.scheme(), "ws" | "wss") {
        return Err(format!(
            "The address must begin with ws:// or wss://, not {}://.",
            url.scheme()
        ));
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err("The address has no host: write ws://host:18789 or wss://host.".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("The address must not hold a user or password; the token has a field of its own.".to_owned());
    }
    if url.query_pairs().any(|(key, _)| key.eq_ignore_ascii_case("token")) {
        return Err("The address must not hold the token: addresses are logged. Use the token field.".to_owned());
    }
    if url.fragment().is_some() {
        return Err("The address must not have a fragment (#...).".to_owned());
    }
    Ok(url)
}

fn workspace_root(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() {
        return Err(
            "workspace_root must not be blank: it is a directory on the gateway's machine, such as ~/.openclaw."
                .to_owned(),
        );
    }
    if text.chars().any(char::is_control) {
        return Err("workspace_root must not contain control characters.".to_owned());
    }
    Ok(text.to_owned())
}

/// A certificate fingerprint; blank is none.
pub fn fingerprint(text: Option<&str>) -> Result<Option<Fingerprint>, String> {
    match text.map(str::trim).filter(|text| !text.is_empty()) {
        None => Ok(None),
        Some(text) => text
            .parse()
            .map(Some)
            .map_err(|error| format!("tls_fingerprint is not valid: {error}.")),
    }
}

/// What a token field asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum TokenChange<'a> {
    /// Leave the stored one.
    Keep,
    /// Remove it.
    Clear,
    /// Store this one.
    Set(&'a str),
}

impl<'a> TokenChange<'a> {
    /// Reads an optional field of an update: `None` leaves it, `Some(None)` clears it.
    #[expect(clippy::option_option, reason = "the form that field masks have in chassis")]
    pub fn of(field: Option<Option<&'a str>>) -> Self {
        match field {
            None | Some(Some(TOKEN_MASK)) => Self::Keep,
            Some(None) => Self::Clear,
            Some(Some(token)) if token.trim().is_empty() => Self::Clear,
            Some(Some(token)) => Self::Set(token.trim()),
        }
    }
}

/// Whether a gateway that fails like this may be stored all the same: only when what is missing is somebody's approval.
pub const fn may_store(failure: &Failure) -> bool {
    matches!(failure.kind, Kind::PairingRequired)
}

/// Whether looking again in a moment can help.
pub const fn passes_soon(failure: &Failure) -> bool {
    matches!(
        failure.kind,
        Kind::Starting | Kind::Restarting | Kind::UpgradeUnavailable
    )
}

/// Scopes without which nothing works.
pub fn fatal_scope(missing: &[String]) -> Option<&str> {
    missing
        .iter()
        .map(String::as_str)
        .find(|scope| matches!(*scope, "operator.read" | "operator.admin"))
}

/// A warning for releases older than what is fully supported. Never a veto: versions are texts that people change.
pub fn version_warning(version: &Version, minimum: &str) -> Option<String> {
    match version.at_least(&Version::parse(minimum)) {
        Some(false) => Some(format!(
            "{version} is older than {minimum}, the oldest fully supported release"
        )),
        _ => None,
    }
}

/// Id of a gateway's main agent on the gateway.
pub fn main_agent(gateway: Uuid) -> String {
    format!("mc-gateway-{gateway}")
}

/// The session of a gateway's main agent.
pub fn main_session(gateway: Uuid) -> String {
    format!("agent:{}:main", main_agent(gateway))
}

/// The stable word of a failure in answers.
pub fn error_code(kind: Kind) -> String {
    kind.as_str().to_ascii_uppercase()
}

/// A failure as one sentence with its remedy.
pub fn sentence(failure: &Failure) -> String {
    let message = failure.message.trim_end_matches('.');
    if failure.remedy.is_empty() {
        format!("{message}.")
    } else {
        format!("{message}. {}", failure.remedy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for good in [
            "ws://localhost:18789",
            " wss://gateway.example/path ",
            "ws://[::1]:1",
            "ws://10.0.0.1?x=1",
        ] {
            assert!(address(good).is_ok(), "{good}");
        }
        let bad = [
            ("http://host", "ws://"),
            ("host:18789", "ws"),
            ("", "not an address"),
            ("ws://", "address"),
            ("ws://user@host", "token"),
            ("ws://:secret@host", "token"),
            ("ws://host?token=abc", "token field"),
            ("ws://host?Token=abc", "token field"),
            ("ws://host#x", "fragment"),
        ];
        for (text, part) in bad {
            let message = address(text).expect_err(text);
            assert!(message.contains(part), "{text}: {message}");
            assert!(!message.contains("secret"), "{text}: {message}");
        }
    }

    #[test]
    fn every_mistake_of_a_draft_is_told_at_once() {
        let draft = Draft {
            tls_fingerprint: Some("xyz".to_owned()),
            ..Draft::default()
        };
        let fields: Vec<_> = draft
            .checked()
            .expect_err("empty")
            .into_iter()
            .map(|wrong| wrong.field)
            .collect();
        assert_eq!(fields, ["name", "url", "workspace_root", "tls_fingerprint"]);
        let draft = Draft {
            name: " One ".to_owned(),
            url: "ws://host:1".to_owned(),
            workspace_root: " ~/.openclaw ".to_owned(),
            tls_fingerprint: Some(["AB"; 32].join(":")),
        };
        let draft = draft.checked().expect("fine");
        assert_eq!(
            (draft.name.as_str(), draft.workspace_root.as_str()),
            ("One", "~/.openclaw")
        );
        assert_eq!(draft.tls_fingerprint, Some("ab".repeat(32)));
    }

    #[test]
    fn tokens_are_kept_cleared_and_set() {
        let rows = [
            (None, TokenChange::Keep),
            (Some(Some(TOKEN_MASK)), TokenChange::Keep),
            (Some(None), TokenChange::Clear),
            (Some(Some("  ")), TokenChange::Clear),
            (Some(Some(" abc ")), TokenChange::Set("abc")),
        ];
        for (field, expected) in rows {
            assert_eq!(TokenChange::of(field), expected, "{field:?}");
        }
    }

    #[test]
    fn only_a_missing_approval_lets_a_failing_gateway_be_stored() {
        for kind in Kind::ALL {
            let failure = Failure::new(*kind, "x");
            assert_eq!(may_store(&failure), *kind == Kind::PairingRequired, "{kind:?}");
        }
    }

    #[test]
    fn versions_warn_and_never_forbid() {
        let warning = |version: &str| version_warning(&Version::parse(version), "2026.02.9");
        assert!(warning("2026.1.30").is_some());
        for fine in ["2026.2.9", "2026.9.6", "dev", ""] {
            assert_eq!(warning(fine), None, "{fine}");
        }
    }

    #[test]
    fn without_reading_or_changing_nothing_works() {
        let scopes = |list: &[&str]| list.iter().map(|scope| (*scope).to_owned()).collect::<Vec<_>>();
        assert_eq!(
            fatal_scope(&scopes(&["operator.pairing", "operator.admin"])),
            Some("operator.admin")
        );
        assert_eq!(fatal_scope(&scopes(&["operator.pairing"])), None);
    }
}
