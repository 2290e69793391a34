//! What a verified token says of its person.

use serde_json::{Map, Value};

/// Longest subject.
const LONGEST: usize = 255;

/// A person as the issuer knows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// `sub`: the person's name at the issuer, for ever the same.
    pub subject: String,
    /// An e-mail address that the issuer does not call unverified.
    pub email: Option<String>,
    /// A name for people.
    pub name: Option<String>,
}

impl Claims {
    /// Reads the claims of a token; `None` when they name nobody, or somebody whom only Mission Control itself may name.
    pub fn of(claims: &Map<String, Value>) -> Option<Self> {
        let subject = text(claims, "sub").filter(|subject| subject.len() <= LONGEST)?;
        if subject == super::LOCAL_SUBJECT || subject.starts_with("service:") {
            return None;
        }
        // Invites are matched by address: one that anybody can claim must not open them.
        let unverified = matches!(claims.get("email_verified"), Some(Value::Bool(false)))
            || text(claims, "email_verified").as_deref() == Some("false");
        Some(Self {
            subject,
            email: email(claims).filter(|_| !unverified),
            name: name(claims),
        })
    }
}

fn text(claims: &Map<String, Value>, key: &str) -> Option<String> {
    claims
        .get(key)
        .and_then(Value::as_str)
        .map(str::trim)
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
}

fn email(claims: &Map<String, Value>) -> Option<String> {
    let simple = ["email", "email_address", "primary_email_address"]
        .iter()
        .find_map(|key| text(claims, key));
    simple
        .or_else(|| {
            let list = claims.get("email_addresses")?.as_array()?;
            let primary = claims.get("primary_email_address_id").and_then(Value::as_str);
            let entry = list
                .iter()
                .find(|entry| primary.is_some() && entry.get("id").and_then(Value::as_str) == primary)
                .or(list.first())?;
            match entry {
                Value::String(address) => Some(address.trim().to_owned()),
                Value::Object(entry) => text(entry, "email_address").or_else(|| text(entry, "email")),
                _ => None,
            }
        })
        .filter(|address| address.contains('@'))
}

fn name(claims: &Map<String, Value>) -> Option<String> {
    let whole = ["name", "full_name"].iter().find_map(|key| text(claims, key));
    whole.or_else(|| {
        let part = |keys: [&str; 2]| keys.iter().find_map(|key| text(claims, key));
        let parts: Vec<String> = [part(["given_name", "first_name"]), part(["family_name", "last_name"])]
            .into_iter()
            .flatten()
            .collect();
        (!parts.is_empty()).then(|| parts.join(" "))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(claims: &Value) -> Option<Claims> {
        Claims::of(claims.as_object().expect("an object"))
    }

    #[test]
    fn a_subject_is_somebody_of_the_issuer() {
        for nobody in [
            json!({}),
            json!({"sub": ""}),
            json!({"sub": 7}),
            json!({"sub": "local-auth-user"}),
            json!({"sub": "service:0190c3a0-0000-7000-8000-000000000001"}),
            json!({"sub": "x".repeat(256)}),
        ] {
            assert_eq!(read(&nobody), None, "{nobody}");
        }
        assert_eq!(read(&json!({"sub": " u1 "})).expect("somebody").subject, "u1");
    }

    #[test]
    fn addresses_are_found_in_order() {
        for (claims, expected) in [
            (json!({"email": "a@x", "email_address": "b@x"}), Some("a@x")),
            (json!({"email": " ", "email_address": "b@x"}), Some("b@x")),
            (json!({"primary_email_address": "c@x"}), Some("c@x")),
            (
                json!({"email_addresses": [{"id": "1", "email_address": "d@x"}, {"id": "2", "email_address": "e@x"}], "primary_email_address_id": "2"}),
                Some("e@x"),
            ),
            (
                json!({"email_addresses": [{"id": "1", "email_address": "d@x"}]}),
                Some("d@x"),
            ),
            (json!({"email_addresses": ["f@x"]}), Some("f@x")),
            (json!({"email": "no address"}), None),
            (json!({"email": "a@x", "email_verified": false}), None),
            (json!({"email": "a@x", "email_verified": "false"}), None),
            (json!({"email": "a@x", "email_verified": true}), Some("a@x")),
        ] {
            let mut whole = claims.clone();
            whole["sub"] = "u".into();
            assert_eq!(read(&whole).expect("somebody").email.as_deref(), expected, "{claims}");
        }
    }

    #[test]
    fn names_are_whole_or_put_together() {
        for (claims, expected) in [
            (json!({"name": "Ada L", "given_name": "x"}), Some("Ada L")),
            (json!({"full_name": "Ada L"}), Some("Ada L")),
            (json!({"given_name": "Ada", "last_name": "L"}), Some("Ada L")),
            (json!({"first_name": "Ada"}), Some("Ada")),
            (json!({"family_name": "L"}), Some("L")),
            (json!({}), None),
        ] {
            let mut whole = claims.clone();
            whole["sub"] = "u".into();
            assert_eq!(read(&whole).expect("somebody").name.as_deref(), expected, "{claims}");
        }
    }
}
