//! What others send, pure: its signature, its form, and how much of it is shown.

use std::collections::HashMap;

use chassis::{Error, Result};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;

/// Characters of a payload that the board's memory and messages carry.
const PREVIEW: usize = 4_000;
/// Headers a signature is read from when a webhook names none.
const SIGNATURES: [&str; 2] = ["x-hub-signature-256", "x-webhook-signature"];
/// Parts of the names of headers that prove who sends: `x-gitlab-token`, `x-hub-signature`, `x-api-key`, ...
const PROOFS: [&str; 8] = [
    "authorization",
    "token",
    "secret",
    "signature",
    "password",
    "api-key",
    "apikey",
    "auth-key",
];

/// A header name: the token of RFC 9110, section 5.6.2. Blank is none.
pub fn header_name(given: Option<String>) -> Result<Option<String>> {
    let name = given.unwrap_or_default().trim().to_owned();
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    match name.chars().all(is_token) {
        true if name.is_empty() => Ok(None),
        true => Ok(Some(name)),
        false => Err(Error::invalid(
            "signature_header",
            "signature_header must be a header name: letters, digits and !#$%&'*+-.^_`|~ only.",
        )),
    }
}

/// Whether a body is signed as it has to be: the header's value is the hex HMAC-SHA256 of the body, in any case, with or without `sha256=`.
pub fn check_signature(
    secret: &[u8],
    configured: Option<&str>,
    headers: &HashMap<String, String>,
    body: &[u8],
) -> Result<()> {
    let given = match configured {
        Some(name) => headers.get(&name.to_lowercase()),
        None => SIGNATURES.into_iter().find_map(|name| headers.get(name)),
    };
    let given = given.ok_or_else(|| Error::denied("Missing webhook signature header."))?;
    let given = given.trim().to_lowercase();
    let digits = given.strip_prefix("sha256=").unwrap_or(&given).trim();
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).map_err(Error::internal)?;
    mac.update(body);
    // Compared in constant time.
    let valid = hex::decode(digits).is_ok_and(|digest| mac.verify_slice(&digest).is_ok());
    if valid {
        Ok(())
    } else {
        Err(Error::denied("Invalid webhook signature."))
    }
}

/// The body as JSON: what it is when it says so or looks like it, its text otherwise; nothing is an empty object.
pub fn read_body(content_type: Option<&str>, body: &[u8]) -> Value {
    let text = String::from_utf8_lossy(body);
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return Value::Object(serde_json::Map::new());
    }
    let says = content_type.is_some_and(|kind| kind.to_lowercase().contains("application/json"));
    let looks = trimmed.starts_with(['{', '[', '"']) || matches!(trimmed, "true" | "false");
    if (says || looks)
        && let Ok(value) = serde_json::from_str(trimmed)
    {
        return value;
    }
    Value::String(text.into_owned())
}

/// The headers that are kept: what describes the content and the sender, nothing that proves who sent it.
pub fn kept_headers(headers: &HashMap<String, String>, signature_header: Option<&str>) -> HashMap<String, String> {
    let proof = |name: &str| {
        PROOFS.iter().any(|part| name.contains(part))
            || signature_header.is_some_and(|own| own.eq_ignore_ascii_case(name))
    };
    headers
        .iter()
        .filter(|(name, _)| matches!(name.as_str(), "content-type" | "user-agent") || name.starts_with("x-"))
        .filter(|(name, _)| !proof(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// The first characters of a text, with dots where something is missing.
fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    if most <= 3 {
        return text.chars().take(most).collect();
    }
    text.chars().take(most - 3).chain("...".chars()).collect()
}

/// A payload as text for people and agents. What others send may hold NUL, which neither PostgreSQL's texts nor a terminal take; as JSON it is
/// escaped.
pub fn preview(payload: &Value) -> String {
    let text = match payload {
        Value::String(text) => text.replace('\0', "\u{fffd}"),
        other => serde_json::to_string_pretty(other).unwrap_or_default(),
    };
    cut(&text, PREVIEW)
}

/// A payload of at most so many characters: a longer text is cut, other longer JSON becomes text that is cut.
pub fn within(payload: Vec<u8>, most: usize) -> Vec<u8> {
    match serde_json::from_slice(&payload) {
        Ok(Value::String(text)) => Value::String(cut(&text, most)).to_string().into_bytes(),
        Ok(other) => {
            let text = other.to_string();
            if text.chars().count() <= most {
                payload
            } else {
                Value::String(cut(&text, most)).to_string().into_bytes()
            }
        }
        Err(_) => payload,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> HashMap<String, String> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        pairs.iter().map(owned).collect()
    }

    #[test]
    fn bodies_are_json_when_they_say_so_or_look_like_it() {
        for (kind, body, expected) in [
            (None, "", json!({})),
            (Some("text/plain"), "  \n", json!({})),
            (None, r#"{"a": 1}"#, json!({"a": 1})),
            (None, "[1]", json!([1])),
            (None, "true", json!(true)),
            (None, "12", json!("12")),
            (Some("application/json; charset=utf-8"), "12", json!(12)),
            (Some("application/json"), "{broken", json!("{broken")),
            (None, "a=b&c=d", json!("a=b&c=d")),
        ] {
            assert_eq!(read_body(kind, body.as_bytes()), expected, "{kind:?} {body}");
        }
        assert_eq!(read_body(None, b"\xff!"), json!("\u{fffd}!"));
    }

    #[test]
    fn signatures_are_those_of_the_right_header() {
        // RFC 4231, test case 2.
        let (secret, body) = (b"Jefe".as_slice(), b"what do ya want for nothing?".as_slice());
        let digest = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        let (upper, prefixed) = (digest.to_uppercase(), format!("SHA256={digest}"));
        for (configured, name, value, expected) in [
            (None, "x-hub-signature-256", prefixed.as_str(), None),
            (None, "x-webhook-signature", upper.as_str(), None),
            (Some("X-Sig"), "x-sig", digest, None),
            (
                Some("X-Sig"),
                "x-hub-signature-256",
                digest,
                Some("Missing webhook signature header."),
            ),
            (None, "x-sig", digest, Some("Missing webhook signature header.")),
            (
                None,
                "x-hub-signature-256",
                "sha256=00",
                Some("Invalid webhook signature."),
            ),
            (
                None,
                "x-hub-signature-256",
                "no hex",
                Some("Invalid webhook signature."),
            ),
        ] {
            let found = check_signature(secret, configured, &headers(&[(name, value)]), body);
            assert_eq!(
                found.err().map(|error| error.to_string()).as_deref(),
                expected,
                "{configured:?} {name} {value}"
            );
        }
    }

    #[test]
    fn kept_headers_prove_nothing() {
        let all = headers(&[
            ("content-type", "text/plain"),
            ("user-agent", "curl"),
            ("x-event", "push"),
            ("x-author", "Ann"),
            ("x-sig", "1"),
            ("x-hub-signature-256", "2"),
            ("authorization", "3"),
            ("cookie", "4"),
            ("x-agent-token", "5"),
            ("x-webhook-signature", "6"),
            ("x-hub-signature", "7"),
            ("x-gitlab-token", "8"),
            ("x-api-key", "9"),
            ("x-forwarded-authorization", "10"),
            ("x-client-secret", "11"),
        ]);
        let mut names: Vec<String> = kept_headers(&all, Some("X-Sig")).into_keys().collect();
        names.sort();
        assert_eq!(names, ["content-type", "user-agent", "x-author", "x-event"]);
    }

    #[test]
    fn long_payloads_are_cut_texts_unquoted() {
        let cut_to =
            |json: Value, most| serde_json::from_slice::<Value>(&within(json.to_string().into_bytes(), most)).unwrap();
        assert_eq!(cut_to(json!("abcdefgh"), 6), json!("abc..."));
        assert_eq!(cut_to(json!("abcdefgh"), 3), json!("abc"));
        assert_eq!(cut_to(json!("äöü"), 3), json!("äöü"));
        assert_eq!(cut_to(json!({"a": 1}), 7), json!({"a": 1}));
        assert_eq!(cut_to(json!({"a": 12}), 7), json!("{\"a\"..."));
    }

    #[test]
    fn previews_are_texts_that_can_be_stored() {
        for (payload, expected) in [
            (json!("a\u{0}b"), "a\u{fffd}b"),
            (json!({"a": "\u{0}"}), "{\n  \"a\": \"\\u0000\"\n}"),
            (json!(null), "null"),
        ] {
            assert_eq!(preview(&payload), expected);
        }
        let long = preview(&json!("ä".repeat(PREVIEW + 1)));
        assert!(long.chars().count() == PREVIEW && long.ends_with("ä..."), "{long}");
    }

    #[test]
    fn header_names_are_tokens() {
        assert_eq!(header_name(Some(" X-Sig ".into())).unwrap().as_deref(), Some("X-Sig"));
        assert_eq!(header_name(Some("  ".into())).unwrap(), None);
        assert_eq!(header_name(None).unwrap(), None);
        for wrong in ["X Sig", "X:Sig", "Sïg"] {
            assert!(header_name(Some(wrong.into())).is_err(), "{wrong}");
        }
    }
}
