//! Rules on single values, in pydantic's words. Both doors use them: JSON (after coercion) and encoded messages.

use std::borrow::Cow;

use serde_json::json;

use crate::{
    json::{Node, Value},
    problem::Fault,
    shape::{Enumeration, Format, Int, JsonKind, Rules},
};

/// Checks a text; answers what is to be encoded (trimmed, or in canonical form).
pub(crate) fn text<'a>(rules: &Rules, value: Cow<'a, str>) -> Result<Cow<'a, str>, Fault> {
    let value = if rules.non_empty { trim(value) } else { value };
    if value.contains('\0') {
        return Err(Fault::value("the text must not contain NUL characters"));
    }
    if rules.non_empty && value.is_empty() {
        return Err(Fault::with(
            "string_too_short",
            "String should have at least 1 character",
            json!({ "min_length": 1 }),
        ));
    }
    let limit = rules.max_length as usize;
    if limit > 0 && value.len() > limit && value.chars().count() > limit {
        let plural = if limit == 1 { "" } else { "s" };
        return Err(Fault::with(
            "string_too_long",
            format!("String should have at most {limit} character{plural}"),
            json!({ "max_length": limit }),
        ));
    }
    match rules.format {
        Format::None => Ok(value),
        Format::Uuid => Ok(Cow::Owned(uuid(&value)?)),
        Format::Uri | Format::Url => uri(&value, rules.format == Format::Uri).map(|()| value),
        Format::Email => email(&value).map(|()| value),
    }
}

fn trim(value: Cow<'_, str>) -> Cow<'_, str> {
    match value {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
        Cow::Owned(text) if text.trim().len() == text.len() => Cow::Owned(text),
        Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
    }
}

/// Lower-case hyphenated form of any accepted UUID text: simple, hyphenated, braced, urn.
fn uuid(text: &str) -> Result<String, Fault> {
    if let Ok(uuid) = uuid::Uuid::try_parse(text) {
        return Ok(uuid.hyphenated().to_string());
    }
    let error = uuid_error(text);
    let ctx = json!({ "error": error });
    Err(Fault::with(
        "uuid_parsing",
        format!("Input should be a valid UUID, {error}"),
        ctx,
    ))
}

/// Why a text is no UUID, as pydantic's parser says it.
fn uuid_error(text: &str) -> String {
    let (inner, offset, simple) = if let Some(inner) = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
        (inner, 1, false)
    } else if let Some(inner) = text.strip_prefix("urn:uuid:") {
        (inner, 9, false)
    } else {
        (text, 0, true)
    };
    let mut hyphens = 0;
    let mut bounds = [0_usize; 4];
    for (index, character) in inner.char_indices() {
        if character == '-' {
            if let Some(bound) = bounds.get_mut(hyphens) {
                *bound = index;
            }
            hyphens += 1;
        } else if !character.is_ascii_hexdigit() {
            let at = index + offset + 1;
            return format!(
                "invalid character: expected an optional prefix of `urn:uuid:` followed by [0-9a-fA-F-], \
                 found `{character}` at {at}"
            );
        }
    }
    if hyphens == 0 && simple {
        return format!(
            "invalid length: expected length 32 for simple format, found {}",
            text.len()
        );
    }
    if hyphens != 4 {
        return format!("invalid group count: expected 5, found {}", hyphens + 1);
    }
    let starts = [0, 9, 14, 19];
    let lengths = [8, 4, 4, 4];
    for (group, ((bound, start), length)) in bounds.iter().zip(starts).zip(lengths).enumerate() {
        let found = bound.saturating_sub(start);
        if found != length {
            return format!("invalid group length in group {group}: expected {length}, found {found}");
        }
    }
    format!(
        "invalid group length in group 4: expected 12, found {}",
        inner.len().saturating_sub(24)
    )
}

fn uri(text: &str, web: bool) -> Result<(), Fault> {
    let fault = |error: String| {
        let ctx = json!({ "error": error });
        Fault::with("url_parsing", format!("Input should be a valid URL, {error}"), ctx)
    };
    if text.is_empty() {
        return Err(fault("input is empty".to_owned()));
    }
    let url = url::Url::parse(text).map_err(|error| fault(error.to_string()))?;
    if web && !matches!(url.scheme(), "http" | "https") {
        let ctx = json!({ "expected_schemes": "'http' or 'https'" });
        return Err(Fault::with("url_scheme", "URL scheme should be 'http' or 'https'", ctx));
    }
    Ok(())
}

fn email(text: &str) -> Result<(), Fault> {
    let reason = match text.rsplit_once('@') {
        None => "An email address must have an @-sign.",
        Some(("", _)) => "There must be something before the @-sign.",
        Some((_, "")) => "There must be something after the @-sign.",
        Some((local, domain)) => {
            let space = text.chars().any(|c| c.is_whitespace() || c.is_control());
            let labels = domain
                .split('.')
                .all(|label| !label.is_empty() && !label.starts_with('-'));
            if space || local.contains('@') {
                "The part before the @-sign contains invalid characters."
            } else if !domain.contains('.') || !labels {
                "The part after the @-sign is not valid. It should have a period."
            } else {
                return Ok(());
            }
        }
    };
    let msg = format!("value is not a valid email address: {reason}");
    Err(Fault::with("value_error", msg, json!({ "reason": reason })))
}

/// Checks an integer against the field's bounds and the range of its type.
pub(crate) fn integer(rules: &Rules, int: Int, value: i128) -> Result<(), Fault> {
    let (lowest, highest) = int.range();
    #[expect(clippy::cast_possible_truncation, reason = "bounds are small whole numbers")]
    let bound = |bound: f64| bound as i128;
    let least = rules
        .minimum
        .map_or(lowest, |minimum| bound(minimum.ceil()).max(lowest));
    let most = rules
        .maximum
        .map_or(highest, |maximum| bound(maximum.floor()).min(highest));
    if value < least {
        let ctx = json!({ "ge": least.to_string().parse::<serde_json::Number>().ok() });
        return Err(Fault::with(
            "greater_than_equal",
            format!("Input should be greater than or equal to {least}"),
            ctx,
        ));
    }
    if value > most {
        let ctx = json!({ "le": most.to_string().parse::<serde_json::Number>().ok() });
        return Err(Fault::with(
            "less_than_equal",
            format!("Input should be less than or equal to {most}"),
            ctx,
        ));
    }
    Ok(())
}

/// Checks a number with a fraction.
pub(crate) fn number(rules: &Rules, value: f64) -> Result<(), Fault> {
    if !value.is_finite() {
        return Err(Fault::plain("finite_number", "Input should be a finite number"));
    }
    if let Some(least) = rules.minimum.filter(|least| value < *least) {
        let msg = format!("Input should be greater than or equal to {least}");
        return Err(Fault::with("greater_than_equal", msg, json!({ "ge": least })));
    }
    if let Some(most) = rules.maximum.filter(|most| value > *most) {
        let msg = format!("Input should be less than or equal to {most}");
        return Err(Fault::with("less_than_equal", msg, json!({ "le": most })));
    }
    Ok(())
}

/// Checks the number of elements of a list or map.
pub(crate) fn items(rules: &Rules, word: &str, count: usize) -> Result<(), Fault> {
    let (least, most) = (rules.min_items as usize, rules.max_items as usize);
    let plural = |n: usize| if n == 1 { "" } else { "s" };
    if count < least {
        let msg = format!(
            "{word} should have at least {least} item{} after validation, not {count}",
            plural(least)
        );
        let ctx = json!({ "field_type": word, "min_length": least, "actual_length": count });
        return Err(Fault::with("too_short", msg, ctx));
    }
    if most > 0 && count > most {
        let msg = format!(
            "{word} should have at most {most} item{} after validation, not {count}",
            plural(most)
        );
        let ctx = json!({ "field_type": word, "max_length": most, "actual_length": count });
        return Err(Fault::with("too_long", msg, ctx));
    }
    Ok(())
}

/// The fault of a text that names no value of an enum.
pub(crate) fn literal(values: &Enumeration) -> Fault {
    let ctx = json!({ "expected": values.expected });
    Fault::with("literal_error", format!("Input should be {}", values.expected), ctx)
}

/// Checks that free-form JSON is of the declared kind and can be stored.
pub(crate) fn free_form(kind: JsonKind, node: &Node<'_>) -> Result<(), Fault> {
    match (kind, &node.value) {
        (JsonKind::Any, _) | (JsonKind::Object, Value::Object(_)) | (JsonKind::Array, Value::Array(_)) => {}
        (JsonKind::Object, _) => return Err(DICT_TYPE),
        (JsonKind::Array, _) => return Err(LIST_TYPE),
    }
    if node.has_nul() {
        return Err(Fault::value("the text must not contain NUL characters"));
    }
    Ok(())
}

pub(crate) const DICT_TYPE: Fault = Fault::plain("dict_type", "Input should be a valid dictionary");
pub(crate) const LIST_TYPE: Fault = Fault::plain("list_type", "Input should be a valid list");
