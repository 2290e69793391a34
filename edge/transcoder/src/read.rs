//! JSON to wire bytes. Every problem is collected; the output counts only when there is none.

use std::borrow::Cow;

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

use crate::{
    coerce,
    json::{Node, Value},
    problem::{Fault, Findings, Loc},
    rules,
    shape::{Field, Format, Kind, Label, Message, Rules, Shape, Table},
    wire,
};

pub(crate) const MISSING: Fault = Fault::plain("missing", "Field required");
const STRING_TYPE: Fault = Fault::plain("string_type", "Input should be a valid string");
const UUID_TYPE: Fault = Fault::plain("uuid_type", "UUID input should be a string, bytes or UUID object");
const URL_TYPE: Fault = Fault::plain("url_type", "URL input should be a string or URL");
const BYTES_TYPE: Fault = Fault::plain("bytes_type", "Input should be a valid bytes");
pub(crate) const MODEL_TYPE: Fault = Fault::plain(
    "model_attributes_type",
    "Input should be a valid dictionary or object to extract fields from",
);

/// Both base64 alphabets, with or without padding.
const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const PLAIN: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

pub(crate) struct Reader<'t, 'f> {
    pub table: &'t Table,
    pub found: &'f mut Findings,
}

impl Reader<'_, '_> {
    /// Reads a whole body: `null` counts as missing.
    pub(crate) fn body(&mut self, message: &Message, node: &Node<'_>, out: &mut Vec<u8>) {
        if node.is_null() {
            self.found.add(MISSING, || None);
        } else {
            self.message(message, node, &|_| true, out);
        }
    }

    /// Reads the fields that `wanted` admits by position. Unknown keys are ignored; of equal keys the last one counts.
    pub(crate) fn message(
        &mut self,
        message: &Message,
        node: &Node<'_>,
        wanted: &dyn Fn(usize) -> bool,
        out: &mut Vec<u8>,
    ) {
        let entries = match &node.value {
            Value::Object(entries) if !message.list => entries,
            _ if message.list => {
                if let Some(field) = message.fields.first() {
                    self.field(field, node, out);
                }
                return;
            }
            _ => return self.found.add(MODEL_TYPE, || node.echo()),
        };
        let mut given = vec![None; message.fields.len()];
        for (key, value) in entries {
            if let Some(slot) = message
                .by_json
                .get(&**key)
                .and_then(|position| given.get_mut(*position))
            {
                *slot = Some(value);
            }
        }
        let mut members: Vec<Option<&Field>> = vec![None; message.oneofs.len()];
        for (position, field) in message.fields.iter().enumerate() {
            if !field.in_json() || !wanted(position) {
                continue;
            }
            self.found.loc.push(Shape::loc(field));
            match given.get(position).copied().flatten() {
                Some(value) => {
                    self.field(field, value, out);
                    if let Some(member) = field.oneof.and_then(|oneof| members.get_mut(oneof))
                        && !value.is_null()
                        && let Some(other) = member.replace(field)
                    {
                        let error = format!("only one of '{}' and '{}' may be given", other.json, field.json);
                        self.found
                            .add(Fault::value(error), || echo(field.rules.write_only, value));
                    }
                }
                None if field.rules.required => self.found.add(MISSING, || echo(message.has_secret, node)),
                None => {}
            }
            self.found.loc.pop();
        }
    }

    /// Reads one field with its tag.
    pub(crate) fn field(&mut self, field: &Field, node: &Node<'_>, out: &mut Vec<u8>) {
        if node.is_null() && field.accepts_null() {
            return;
        }
        match field.label {
            Label::Single => {
                let start = out.len();
                wire::put_tag(out, field.number, field.kind.wire_type());
                match self.value(field.kind, &field.rules, node, out) {
                    Some(default) if field.presence || !default => {}
                    _ => out.truncate(start),
                }
            }
            Label::Repeated => self.list(field, node, out),
            Label::Map(key) => self.map(field, key, node, out),
        }
    }

    fn list(&mut self, field: &Field, node: &Node<'_>, out: &mut Vec<u8>) {
        let Value::Array(items) = &node.value else {
            return self.found.add(rules::LIST_TYPE, || echo(field.rules.write_only, node));
        };
        if let Err(fault) = rules::items(&field.rules, "List", items.len()) {
            return self.found.add(fault, || echo(field.rules.write_only, node));
        }
        if items.is_empty() {
            return;
        }
        let wire_type = field.kind.wire_type();
        let packed = wire_type != wire::LEN;
        if packed {
            wire::put_tag(out, field.number, wire::LEN);
        }
        let start = out.len();
        for (index, item) in items.iter().enumerate() {
            self.found.loc.push(Loc::Index(index));
            if !packed {
                wire::put_tag(out, field.number, wire_type);
            }
            self.value(field.kind, &field.rules, item, out);
            self.found.loc.pop();
        }
        if packed {
            wire::close(out, start);
        }
    }

    fn map(&mut self, field: &Field, key_kind: Kind, node: &Node<'_>, out: &mut Vec<u8>) {
        let Value::Object(entries) = &node.value else {
            return self.found.add(rules::DICT_TYPE, || echo(field.rules.write_only, node));
        };
        if let Err(fault) = rules::items(&field.rules, "Dictionary", entries.len()) {
            return self.found.add(fault, || echo(field.rules.write_only, node));
        }
        let no_rules = Rules::default();
        for (key, value) in entries {
            self.found.loc.push(Loc::Name(key.clone().into_owned().into()));
            wire::put_tag(out, field.number, wire::LEN);
            let start = out.len();
            wire::put_tag(out, 1, key_kind.wire_type());
            self.value(key_kind, &no_rules, &Node::text(Cow::Borrowed(&**key)), out);
            wire::put_tag(out, 2, field.kind.wire_type());
            self.value(field.kind, &field.rules, value, out);
            wire::close(out, start);
            self.found.loc.pop();
        }
    }

    /// Appends a value without tag; answers whether it is the default of its type, or nothing after a problem.
    fn value(&mut self, kind: Kind, rules: &Rules, node: &Node<'_>, out: &mut Vec<u8>) -> Option<bool> {
        match self.encode(kind, rules, node, out) {
            Ok(default) => Some(default),
            Err(fault) => {
                self.found.add(fault, || echo(rules.write_only, node));
                None
            }
        }
    }

    fn encode(&mut self, kind: Kind, rules: &Rules, node: &Node<'_>, out: &mut Vec<u8>) -> Result<bool, Fault> {
        match kind {
            Kind::Int(int) => {
                let value = coerce::integer(&node.value)?;
                rules::integer(rules, int, value)?;
                int.encode(value, out);
                Ok(value == 0)
            }
            Kind::Double => {
                let value = coerce::number(&node.value)?;
                rules::number(rules, value)?;
                out.extend_from_slice(&value.to_le_bytes());
                Ok(value.to_bits() == 0)
            }
            Kind::Float => {
                #[expect(clippy::cast_possible_truncation, reason = "the field asks for single precision")]
                let value = coerce::number(&node.value)? as f32;
                rules::number(rules, f64::from(value))?;
                out.extend_from_slice(&value.to_le_bytes());
                Ok(value.to_bits() == 0)
            }
            Kind::Bool => {
                let value = coerce::boolean(&node.value)?;
                out.push(u8::from(value));
                Ok(!value)
            }
            Kind::String => {
                let Value::String(value) = &node.value else {
                    return Err(match rules.format {
                        Format::Uuid => UUID_TYPE,
                        Format::Uri | Format::Url => URL_TYPE,
                        _ => STRING_TYPE,
                    });
                };
                let value = rules::text(rules, Cow::Borrowed(&**value))?;
                wire::put_bytes(out, value.as_bytes());
                Ok(value.is_empty())
            }
            Kind::Bytes => {
                let Value::String(value) = &node.value else {
                    return Err(BYTES_TYPE);
                };
                let decoded = PLAIN
                    .decode(value.as_bytes())
                    .or_else(|_| URL_SAFE.decode(value.as_bytes()));
                let decoded = decoded.map_err(|_| Fault::value("the text is not base64"))?;
                wire::put_bytes(out, &decoded);
                Ok(decoded.is_empty())
            }
            Kind::Json(json) => {
                rules::free_form(json, node)?;
                if node.raw.is_empty() {
                    wire::put_bytes(out, node.to_json().as_bytes());
                } else {
                    wire::put_bytes(out, node.raw.as_bytes());
                }
                Ok(false)
            }
            Kind::Enum(index) => {
                let values = &self.table.enums[index];
                let number = match &node.value {
                    Value::String(text) => values.number(text),
                    _ => None,
                };
                let number = number.ok_or_else(|| rules::literal(values))?;
                crate::shape::Int::I32.encode(number.into(), out);
                Ok(number == 0)
            }
            Kind::Message(index) => {
                let table = self.table;
                self.nested(out, |reader, out| {
                    reader.message(&table.messages[index], node, &|_| true, out);
                });
                Ok(false)
            }
            Kind::Timestamp | Kind::Duration => {
                let (seconds, nanos) = if kind == Kind::Timestamp {
                    coerce::datetime(&node.value)?
                } else {
                    coerce::duration(&node.value)?
                };
                let start = out.len();
                moment(seconds, nanos, out);
                wire::close(out, start);
                Ok(false)
            }
            Kind::Mask => {
                let Value::String(paths) = &node.value else {
                    return Err(STRING_TYPE);
                };
                let start = out.len();
                mask(paths.split(',').map(str::trim).filter(|path| !path.is_empty()), out);
                wire::close(out, start);
                Ok(false)
            }
            Kind::Any => Err(Fault::value("this field cannot be given as JSON")),
        }
    }

    fn nested(&mut self, out: &mut Vec<u8>, inner: impl FnOnce(&mut Self, &mut Vec<u8>)) {
        let start = out.len();
        inner(self, out);
        wire::close(out, start);
    }
}

/// The input as a problem repeats it; secrets are not repeated, for problems are shown and logged.
fn echo(secret: bool, node: &Node<'_>) -> Option<String> {
    if secret { None } else { node.echo() }
}

/// The fields of a `Timestamp` or `Duration`.
fn moment(seconds: i64, nanos: i32, out: &mut Vec<u8>) {
    for (number, value) in [(1, i128::from(seconds)), (2, i128::from(nanos))] {
        if value != 0 {
            wire::put_tag(out, number, wire::VARINT);
            crate::shape::Int::I64.encode(value, out);
        }
    }
}

/// The fields of a `FieldMask`.
pub(crate) fn mask<'a>(paths: impl Iterator<Item = &'a str>, out: &mut Vec<u8>) {
    for path in paths {
        wire::put_tag(out, 1, wire::LEN);
        wire::put_bytes(out, path.as_bytes());
    }
}
