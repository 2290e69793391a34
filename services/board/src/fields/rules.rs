//! What a custom field takes, and what a request makes of a task's values. Pure.

use std::collections::{BTreeMap, HashMap};

use chassis::{Error, Result};
use proto::board::v1::{CustomFieldType, CustomFieldVisibility};
use regex::Regex;
use serde_json::{Value, value::RawValue};
use uuid::Uuid;

use super::moments;

/// The JSON text of nothing.
pub const NULL: &str = "null";

/// What kind of values a field takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Text,
    TextLong,
    Integer,
    Decimal,
    Boolean,
    Date,
    DateTime,
    Url,
    Json,
}

impl Kind {
    pub const ALL: [Self; 9] = [
        Self::Text,
        Self::TextLong,
        Self::Integer,
        Self::Decimal,
        Self::Boolean,
        Self::Date,
        Self::DateTime,
        Self::Url,
        Self::Json,
    ];

    /// The word of the contract and of the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::TextLong => "text_long",
            Self::Integer => "integer",
            Self::Decimal => "decimal",
            Self::Boolean => "boolean",
            Self::Date => "date",
            Self::DateTime => "date_time",
            Self::Url => "url",
            Self::Json => "json",
        }
    }

    /// The kind of a word in any case, or of another name for it.
    pub fn parse(word: &str) -> Option<Self> {
        let word = word.trim().to_lowercase();
        match word.as_str() {
            "text (long)" | "long_text" => Some(Self::TextLong),
            "true/false" => Some(Self::Boolean),
            "date & time" | "datetime" => Some(Self::DateTime),
            word => Self::ALL.into_iter().find(|kind| kind.as_str() == word),
        }
    }

    /// The kind in messages.
    pub fn message(self) -> CustomFieldType {
        match self {
            Self::Text => CustomFieldType::Text,
            Self::TextLong => CustomFieldType::TextLong,
            Self::Integer => CustomFieldType::Integer,
            Self::Decimal => CustomFieldType::Decimal,
            Self::Boolean => CustomFieldType::Boolean,
            Self::Date => CustomFieldType::Date,
            Self::DateTime => CustomFieldType::DateTime,
            Self::Url => CustomFieldType::Url,
            Self::Json => CustomFieldType::Json,
        }
    }

    /// Whether its values are texts, which a pattern can be for.
    pub fn is_text(self) -> bool {
        matches!(
            self,
            Self::Text | Self::TextLong | Self::Date | Self::DateTime | Self::Url
        )
    }
}

/// When a page shows a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visibility {
    Always,
    IfSet,
    Hidden,
}

impl Visibility {
    /// The word of the contract and of the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::IfSet => "if_set",
            Self::Hidden => "hidden",
        }
    }

    /// The visibility of a word in any case, or of another name for it.
    pub fn parse(word: &str) -> Option<Self> {
        match word.trim().to_lowercase().as_str() {
            "always" => Some(Self::Always),
            "if_set" | "if set" => Some(Self::IfSet),
            "hidden" => Some(Self::Hidden),
            _ => None,
        }
    }

    /// The visibility in messages.
    pub fn message(self) -> CustomFieldVisibility {
        match self {
            Self::Always => CustomFieldVisibility::Always,
            Self::IfSet => CustomFieldVisibility::IfSet,
            Self::Hidden => CustomFieldVisibility::Hidden,
        }
    }
}

/// A field of a board, as the values of its tasks need it.
#[derive(Clone, Debug)]
pub struct Field {
    pub id: Uuid,
    pub key: String,
    pub kind: Kind,
    pub pattern: Option<String>,
    pub required: bool,
    /// JSON text.
    pub default: Option<String>,
}

/// The compiled pattern of a field: the whole value has to match.
pub fn pattern(text: &str) -> Result<Regex, String> {
    regex::RegexBuilder::new(&format!(r"\A(?:{text})\z"))
        .size_limit(1 << 20)
        .build()
        .map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => "validation_regex is too large.".to_owned(),
            // The last line says what is wrong, the ones before show where.
            error => {
                let said = error.to_string();
                let what = said.lines().last().unwrap_or_default().trim_start_matches("error: ");
                format!("validation_regex cannot be used: {what}.")
            }
        })
}

/// Why a value does not fit a kind and pattern; `None` when it does. Null always fits.
pub fn reason(kind: Kind, pattern: Option<&Regex>, value: &Value) -> Option<&'static str> {
    if value.is_null() {
        return None;
    }
    if has_nul(value) {
        return Some("must not contain NUL characters");
    }
    let text = value.as_str();
    let wrong = match kind {
        Kind::Text | Kind::TextLong => text.is_none().then_some("must be a string"),
        Kind::Integer => (!is_integer(value)).then_some("must be an integer"),
        Kind::Decimal => (!value.is_number()).then_some("must be a decimal number"),
        Kind::Boolean => (!value.is_boolean()).then_some("must be true or false"),
        Kind::Date => (!text.is_some_and(moments::is_date)).then_some("must be an ISO date string (YYYY-MM-DD)"),
        Kind::DateTime => (!text.is_some_and(moments::is_date_time)).then_some("must be an ISO datetime string"),
        Kind::Url => match text {
            None => Some("must be a URL string"),
            Some(text) if !is_web_address(text) => Some("must be a valid http/https URL"),
            Some(_) => None,
        },
        Kind::Json => (!value.is_object() && !value.is_array()).then_some("must be a JSON object or array"),
    };
    wrong.or_else(|| match (text, pattern) {
        (Some(text), Some(pattern)) if !pattern.is_match(text) => Some("does not match validation_regex"),
        _ => None,
    })
}

/// A number without fraction and exponent that 64 bits hold.
fn is_integer(value: &Value) -> bool {
    value.is_i64() || value.is_u64()
}

fn is_web_address(text: &str) -> bool {
    url::Url::parse(text).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https") && url.host_str().is_some_and(|host| !host.is_empty())
    })
}

/// PostgreSQL's texts cannot hold NUL.
fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(has_nul),
        Value::Object(map) => map.iter().any(|(key, value)| key.contains('\0') || has_nul(value)),
        _ => false,
    }
}

/// Values as a request gives them: by key, with their JSON text.
pub type Given = BTreeMap<String, (String, Value)>;

/// The values of a request. Null counts as none given.
pub fn given(json: Option<&[u8]>) -> Result<Given> {
    let wrong = || Error::invalid("custom_field_values", "custom_field_values must be a JSON object.");
    let Some(json) = json else { return Ok(Given::new()) };
    let values: Option<BTreeMap<String, &RawValue>> = serde_json::from_slice(json).map_err(|_| wrong())?;
    values
        .unwrap_or_default()
        .into_iter()
        .map(|(key, raw)| {
            let value = serde_json::from_str(raw.get()).map_err(|_| wrong())?;
            Ok((key, (raw.get().to_owned(), value)))
        })
        .collect()
}

/// Why values are refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The board has no such fields.
    Unknown(Vec<String>),
    /// A value does not fit.
    Invalid {
        key: String,
        kind: Kind,
        reason: &'static str,
    },
    /// Fields need values.
    Missing(Vec<String>),
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Unknown(keys) => Error::unprocessable("Unknown custom field keys for this board.")
                .with("unknown_field_keys", keys)
                .beside("rule", "custom_field_unknown")
                .beside("remedy", "Use keys of custom fields that are bound to the board."),
            Refusal::Invalid { key, kind, reason } => Error::unprocessable("Invalid custom field value.")
                .with("field_key", key)
                .with("field_type", kind.as_str())
                .with("reason", reason)
                .beside("rule", "custom_field_value")
                .beside(
                    "remedy",
                    "Send a value that fits the field's type and pattern, or null to take it away.",
                ),
            Refusal::Missing(keys) => Error::unprocessable("Required custom fields must have values.")
                .with("missing_field_keys", keys)
                .beside("rule", "custom_field_required")
                .beside("remedy", "Send values of the missing fields in custom_field_values."),
        }
    }
}

/// Which rows a task's values become: field and JSON text. `stored` are the values it has; `None` is a task that is being made, which gets
/// the defaults of what it is not given. A null that is given is kept as such, so that the default does not come back.
pub fn settle(
    fields: &[Field],
    given: &Given,
    stored: Option<&HashMap<Uuid, String>>,
) -> Result<Vec<(Uuid, String)>, Refusal> {
    let unknown: Vec<String> = given
        .keys()
        .filter(|key| !fields.iter().any(|field| field.key == **key))
        .cloned()
        .collect();
    if !unknown.is_empty() {
        return Err(Refusal::Unknown(unknown));
    }
    let mut rows = Vec::new();
    let mut missing = Vec::new();
    for field in fields {
        if let Some((text, value)) = given.get(&field.key) {
            // A pattern that cannot be compiled was refused when the field was defined.
            let pattern = field.pattern.as_deref().and_then(|text| pattern(text).ok());
            if let Some(reason) = reason(field.kind, pattern.as_ref(), value) {
                return Err(Refusal::Invalid {
                    key: field.key.clone(),
                    kind: field.kind,
                    reason,
                });
            }
            rows.push((field.id, text.clone()));
        } else if let (None, Some(default)) = (stored, &field.default) {
            rows.push((field.id, default.clone()));
        }
        let effective = rows
            .last()
            .filter(|(id, _)| *id == field.id)
            .map(|(_, text)| text.as_str())
            .or_else(|| stored.and_then(|stored| stored.get(&field.id)).map(String::as_str))
            .or(field.default.as_deref());
        if field.required && effective.is_none_or(|text| text == NULL) {
            missing.push(field.key.clone());
        }
    }
    if missing.is_empty() {
        Ok(rows)
    } else {
        missing.sort();
        Err(Refusal::Missing(missing))
    }
}

/// A JSON text as filters name it: strings without their quotes.
pub fn plain(json: &str) -> String {
    match serde_json::from_str(json) {
        Ok(Value::String(text)) => text,
        _ => json.trim().to_owned(),
    }
}

/// The JSON object of a task's values: every field of its board with the stored value or the default. `fields` are ordered by key.
pub fn object<'a>(fields: impl Iterator<Item = (&'a str, Option<&'a str>)>) -> String {
    let mut json = String::from("{");
    for (key, value) in fields {
        if json.len() > 1 {
            json.push(',');
        }
        json.push_str(&Value::from(key).to_string());
        json.push(':');
        json.push_str(value.unwrap_or(NULL));
    }
    json.push('}');
    json
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn field(place: u128, key: &str, kind: Kind, required: bool, default: Option<&str>) -> Field {
        Field {
            id: Uuid::from_u128(place),
            key: key.into(),
            kind,
            pattern: None,
            required,
            default: default.map(str::to_owned),
        }
    }

    #[test]
    fn words_in_any_case_and_by_other_names() {
        for kind in Kind::ALL {
            assert_eq!(Kind::parse(&kind.as_str().to_uppercase()), Some(kind));
        }
        for (word, kind) in [
            ("Text (Long)", Kind::TextLong),
            ("long_text", Kind::TextLong),
            ("True/False", Kind::Boolean),
            ("Date & Time", Kind::DateTime),
            (" datetime ", Kind::DateTime),
        ] {
            assert_eq!(Kind::parse(word), Some(kind), "{word}");
        }
        assert_eq!((Kind::parse("number"), Kind::parse("")), (None, None));
        assert_eq!(Visibility::parse("If Set"), Some(Visibility::IfSet));
        assert_eq!(Visibility::parse("never"), None);
    }

    #[test]
    fn values_of_every_kind() {
        let good = [
            (Kind::Text, vec![json!(""), json!("a\nb")]),
            (Kind::TextLong, vec![json!("long")]),
            (
                Kind::Integer,
                vec![json!(0), json!(-3), json!(18_446_744_073_709_551_615_u64)],
            ),
            (Kind::Decimal, vec![json!(1), json!(-0.5), json!(1e9)]),
            (Kind::Boolean, vec![json!(true), json!(false)]),
            (Kind::Date, vec![json!("2031-01-31"), json!("20310131")]),
            (
                Kind::DateTime,
                vec![json!("2031-01-31T10:00:00Z"), json!("2031-01-31 10:00")],
            ),
            (
                Kind::Url,
                vec![json!("https://example.org/a?b=c"), json!("http://localhost:8000")],
            ),
            (Kind::Json, vec![json!({}), json!([1, {"a": null}])]),
        ];
        for (kind, values) in good {
            for value in values {
                assert_eq!(reason(kind, None, &value), None, "{kind:?} {value}");
            }
            assert_eq!(reason(kind, None, &Value::Null), None, "{kind:?} null");
        }
        for (kind, value, expected) in [
            (Kind::Text, json!(1), "must be a string"),
            (Kind::TextLong, json!({}), "must be a string"),
            (Kind::Text, json!("a\u{0}"), "must not contain NUL characters"),
            (Kind::Json, json!({"a": ["\u{0}"]}), "must not contain NUL characters"),
            (Kind::Integer, json!(1.0), "must be an integer"),
            (Kind::Integer, json!(true), "must be an integer"),
            (Kind::Integer, json!("1"), "must be an integer"),
            (Kind::Decimal, json!(false), "must be a decimal number"),
            (Kind::Decimal, json!("1.5"), "must be a decimal number"),
            (Kind::Boolean, json!(0), "must be true or false"),
            (Kind::Boolean, json!("true"), "must be true or false"),
            (
                Kind::Date,
                json!("31.1.2031"),
                "must be an ISO date string (YYYY-MM-DD)",
            ),
            (Kind::Date, json!(20_310_131), "must be an ISO date string (YYYY-MM-DD)"),
            (
                Kind::Date,
                json!("2031-02-29"),
                "must be an ISO date string (YYYY-MM-DD)",
            ),
            (Kind::DateTime, json!("soon"), "must be an ISO datetime string"),
            (Kind::DateTime, json!(1), "must be an ISO datetime string"),
            (Kind::Url, json!(1), "must be a URL string"),
            (Kind::Url, json!("ftp://example.org"), "must be a valid http/https URL"),
            (Kind::Url, json!("example.org"), "must be a valid http/https URL"),
            (Kind::Url, json!("https://"), "must be a valid http/https URL"),
            (Kind::Json, json!("{}"), "must be a JSON object or array"),
            (Kind::Json, json!(1), "must be a JSON object or array"),
        ] {
            assert_eq!(reason(kind, None, &value), Some(expected), "{kind:?} {value}");
        }
    }

    #[test]
    fn a_pattern_is_for_the_whole_text() {
        let compiled = pattern("[A-Z]{2}|x").unwrap();
        for (text, fits) in [
            ("AB", true),
            ("x", true),
            ("ABC", false),
            ("AB\n", false),
            ("ax", false),
        ] {
            let found = reason(Kind::Text, Some(&compiled), &json!(text));
            assert_eq!(found.is_none(), fits, "{text:?}");
        }
        assert!(
            pattern("(")
                .unwrap_err()
                .starts_with("validation_regex cannot be used: ")
        );
        assert!(pattern("(?=a)b").is_err(), "no look-around");
        assert!(pattern("a{1000}{1000}").is_err(), "not without bound");
    }

    #[test]
    fn what_is_not_given_becomes_the_default_at_creation_only() {
        let fields = [
            field(1, "a", Kind::Text, false, Some("\"d\"")),
            field(2, "b", Kind::Integer, false, None),
        ];
        let made = |given: &Given| settle(&fields, given, None);
        let nothing = Given::new();
        assert_eq!(made(&nothing), Ok(vec![(fields[0].id, "\"d\"".to_owned())]));
        let some = given(Some(br#"{"b": 7, "a": null}"#)).unwrap();
        assert_eq!(
            made(&some),
            Ok(vec![(fields[0].id, NULL.to_owned()), (fields[1].id, "7".to_owned())])
        );
        assert_eq!(settle(&fields, &nothing, Some(&HashMap::new())), Ok(vec![]));
        let cleared = given(Some(br#"{"a": null}"#)).unwrap();
        assert_eq!(
            settle(
                &fields,
                &cleared,
                Some(&HashMap::from([(fields[0].id, "\"v\"".to_owned())]))
            ),
            Ok(vec![(fields[0].id, NULL.to_owned())])
        );
    }

    #[test]
    fn refusals_come_in_order_unknown_invalid_missing() {
        let fields = [
            field(1, "a", Kind::Integer, true, None),
            field(2, "b", Kind::Text, true, None),
        ];
        let refused = |json: &str, stored: Option<&HashMap<Uuid, String>>| {
            settle(&fields, &given(Some(json.as_bytes())).unwrap(), stored).unwrap_err()
        };
        assert_eq!(
            refused(r#"{"z": 1, "y": 1, "a": "x"}"#, None),
            Refusal::Unknown(vec!["y".into(), "z".into()])
        );
        let invalid = Refusal::Invalid {
            key: "a".into(),
            kind: Kind::Integer,
            reason: "must be an integer",
        };
        assert_eq!(refused(r#"{"a": "x"}"#, None), invalid);
        assert_eq!(refused("{}", None), Refusal::Missing(vec!["a".into(), "b".into()]));
        assert_eq!(
            refused(r#"{"a": 1, "b": null}"#, None),
            Refusal::Missing(vec!["b".into()])
        );
        // What is stored counts, and so does that it was taken away.
        let mut stored = HashMap::from([(fields[0].id, "1".to_owned()), (fields[1].id, NULL.to_owned())]);
        assert_eq!(refused("{}", Some(&stored)), Refusal::Missing(vec!["b".into()]));
        stored.insert(fields[1].id, "\"x\"".to_owned());
        assert_eq!(settle(&fields, &Given::new(), Some(&stored)), Ok(vec![]));
    }

    #[test]
    fn values_come_as_an_object_or_not_at_all() {
        assert!(given(None).unwrap().is_empty());
        assert!(given(Some(b"null")).unwrap().is_empty());
        assert!(given(Some(b"[]")).is_err());
        let large = given(Some(br#"{"a": 12345678901234567890.125}"#)).unwrap();
        assert_eq!(
            large["a"].0, "12345678901234567890.125",
            "numbers are kept as they came"
        );
    }

    #[test]
    fn an_object_has_every_field() {
        let fields = [("a\"b", Some("1")), ("c", None)];
        assert_eq!(object(fields.into_iter()), r#"{"a\"b":1,"c":null}"#);
        assert_eq!(object(std::iter::empty()), "{}");
    }
}
