//! Compiled messages: what the hot path needs to know of a field, and nothing else.

use std::{borrow::Cow, collections::HashMap, sync::Arc};

use http::HeaderName;

use crate::{
    problem::{Findings, Loc, Problem},
    read, validate,
    wire::{self, Cursor, DecodeError, Raw},
    write::Writer,
};

/// Free-form JSON a `bytes` field carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JsonKind {
    Any,
    Object,
    Array,
}

/// Integer types by range and wire form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Int {
    I32,
    I64,
    U32,
    U64,
    S32,
    S64,
    F32,
    F64,
    SF32,
    SF64,
}

impl Int {
    pub(crate) fn wire_type(self) -> u8 {
        match self {
            Self::F32 | Self::SF32 => wire::FIXED32,
            Self::F64 | Self::SF64 => wire::FIXED64,
            _ => wire::VARINT,
        }
    }

    /// Smallest and largest value.
    pub(crate) fn range(self) -> (i128, i128) {
        match self {
            Self::I32 | Self::S32 | Self::SF32 => (i32::MIN.into(), i32::MAX.into()),
            Self::I64 | Self::S64 | Self::SF64 => (i64::MIN.into(), i64::MAX.into()),
            Self::U32 | Self::F32 => (0, u32::MAX.into()),
            Self::U64 | Self::F64 => (0, u64::MAX.into()),
        }
    }

    /// The number behind a raw value.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        reason = "protobuf reads the low bits of a longer number"
    )]
    #[inline]
    pub(crate) fn decode(self, raw: u64) -> i128 {
        match self {
            Self::I32 | Self::SF32 => i128::from(raw as i32),
            Self::I64 | Self::SF64 => i128::from(raw as i64),
            Self::U32 | Self::F32 => i128::from(raw as u32),
            Self::U64 | Self::F64 => i128::from(raw),
            Self::S32 => i128::from(((raw as u32 >> 1) as i32) ^ -((raw as u32 & 1) as i32)),
            Self::S64 => i128::from(((raw >> 1) as i64) ^ -((raw & 1) as i64)),
        }
    }

    /// Appends a number within `range`.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the caller has checked the range; negative numbers are written in two's complement"
    )]
    pub(crate) fn encode(self, value: i128, out: &mut Vec<u8>) {
        match self {
            Self::F32 | Self::SF32 => out.extend_from_slice(&(value as u32).to_le_bytes()),
            Self::F64 | Self::SF64 => out.extend_from_slice(&(value as u64).to_le_bytes()),
            Self::S32 | Self::S64 => wire::put_varint(out, ((value << 1) ^ (value >> 127)) as u64),
            Self::I32 | Self::I64 | Self::U32 | Self::U64 => wire::put_varint(out, value as u64),
        }
    }
}

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Int(Int),
    Double,
    Float,
    Bool,
    String,
    Bytes,
    Json(JsonKind),
    /// Index into `Table::enums`.
    Enum(usize),
    /// Index into `Table::messages`.
    Message(usize),
    Timestamp,
    Duration,
    Mask,
    Any,
}

impl Kind {
    pub(crate) fn wire_type(self) -> u8 {
        match self {
            Self::Int(int) => int.wire_type(),
            Self::Bool | Self::Enum(_) => wire::VARINT,
            Self::Double => wire::FIXED64,
            Self::Float => wire::FIXED32,
            _ => wire::LEN,
        }
    }

    /// Whether the value is a message in protobuf.
    pub(crate) fn is_message(self) -> bool {
        matches!(
            self,
            Self::Message(_) | Self::Timestamp | Self::Duration | Self::Mask | Self::Any
        )
    }
}

/// How many values a field has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Label {
    Single,
    Repeated,
    /// A map with keys of this kind; the field's own kind is that of the values.
    Map(Kind),
}

/// String formats that are checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Format {
    #[default]
    None,
    Uuid,
    Uri,
    Url,
    Email,
}

/// Rules of a field beyond its type.
#[derive(Clone, Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "these are the flags of the option vocabulary"
)]
pub(crate) struct Rules {
    pub required: bool,
    pub not_null: bool,
    pub non_empty: bool,
    pub format: Format,
    /// The format's name as declared, for OpenAPI.
    pub format_name: String,
    pub max_length: u32,
    pub minimum: Option<f64>,
    pub maximum: Option<f64>,
    pub min_items: u32,
    pub max_items: u32,
    pub default_value: String,
    pub write_only: bool,
    pub comma_separated: bool,
    pub hidden: bool,
    pub event_id: bool,
    pub query: bool,
    /// Beside its header, the field is in the body too.
    pub in_body: bool,
}

/// A compiled field.
#[derive(Debug)]
pub(crate) struct Field {
    /// Name in the proto file; masks and paths use it.
    pub name: Arc<str>,
    /// Name in JSON.
    pub json: Arc<str>,
    pub number: u32,
    pub kind: Kind,
    pub label: Label,
    /// Whether unset differs from the default value.
    pub presence: bool,
    /// Index of the real `oneof` the field belongs to.
    pub oneof: Option<usize>,
    pub rules: Rules,
    /// The response header the field travels in.
    pub header: Option<HeaderName>,
    /// The comment of the proto file.
    pub comment: String,
}

impl Field {
    /// Whether the field is part of JSON bodies.
    pub(crate) fn in_json(&self) -> bool {
        !self.rules.hidden && !self.rules.event_id && (self.header.is_none() || self.rules.in_body)
    }

    /// Whether a request may say `null` for "not given".
    pub(crate) fn accepts_null(&self) -> bool {
        let unset = self.presence || self.label != Label::Single || matches!(self.kind, Kind::Enum(_) | Kind::Json(_));
        unset && !self.rules.required && !self.rules.not_null
    }
}

/// A compiled message.
#[expect(
    clippy::struct_excessive_bools,
    reason = "these are independent properties of a message"
)]
#[derive(Debug)]
pub(crate) struct Message {
    pub full_name: String,
    pub short_name: String,
    /// In declared order.
    pub fields: Vec<Field>,
    /// Field position by field number, for small numbers.
    pub dense: Vec<u16>,
    /// Field position by JSON name.
    pub by_json: HashMap<Arc<str>, usize>,
    /// What `write` emits: field position and its key with the punctuation before it.
    pub written: Vec<(usize, Box<[u8]>)>,
    /// Written as the bare array or map of its only field.
    pub list: bool,
    /// A stream of it is a file.
    pub file: bool,
    pub has_required: bool,
    /// Whether a field is write-only: such messages are not echoed in problems.
    pub has_secret: bool,
    pub oneofs: Vec<String>,
    pub comment: String,
}

/// Marks numbers without field in `Message::dense`.
pub(crate) const NO_FIELD: u16 = u16::MAX;

impl Message {
    #[inline]
    pub(crate) fn position(&self, number: u32) -> Option<usize> {
        match self.dense.get(number as usize) {
            Some(&NO_FIELD) => None,
            Some(&position) => Some(usize::from(position)),
            None => self.fields.iter().position(|field| field.number == number),
        }
    }

    /// The field with this name in the proto file.
    pub(crate) fn named(&self, name: &str) -> Option<usize> {
        self.fields.iter().position(|field| &*field.name == name)
    }
}

/// A compiled enum.
#[derive(Debug)]
pub(crate) struct Enumeration {
    /// Values that clients see, in declared order: number, JSON text, comment.
    pub values: Vec<(i32, Arc<str>, String)>,
    /// `'a', 'b' or 'c'`, for errors.
    pub expected: String,
}

impl Enumeration {
    #[inline]
    pub(crate) fn text(&self, number: i32) -> Option<&str> {
        // Most enums count up from the unspecified 0, so the value is where its number says.
        let guess = usize::try_from(number)
            .ok()
            .and_then(|n| self.values.get(n.wrapping_sub(1)));
        let found = guess
            .filter(|value| value.0 == number)
            .or_else(|| self.values.iter().find(|value| value.0 == number));
        found.map(|value| &*value.1)
    }

    pub(crate) fn number(&self, text: &str) -> Option<i32> {
        self.values.iter().find(|value| &*value.1 == text).map(|value| value.0)
    }
}

/// All compiled messages of a descriptor set.
#[derive(Debug, Default)]
pub(crate) struct Table {
    pub messages: Vec<Message>,
    pub enums: Vec<Enumeration>,
    /// Message position by full name.
    pub by_name: HashMap<String, usize>,
}

/// What a field of a message on the wire looked like.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Slot {
    /// Occurrences; 0 means unset.
    pub count: u32,
    /// The last value; for repeated fields and maps `a..b` spans from the first tag to the end of the last value.
    pub raw: Raw,
}

/// Finds every field of `wire`. A later value replaces an earlier one, and an earlier member of its `oneof`.
pub(crate) fn collect(message: &Message, wire: &[u8], slots: &mut [Slot]) -> Result<(), DecodeError> {
    let mut cursor = Cursor::new(wire);
    while !cursor.done() {
        let start = cursor.at;
        let (number, wire_type) = cursor.tag()?;
        let raw = cursor.value(wire_type)?;
        let Some(position) = message.position(number) else {
            continue;
        };
        let (Some(field), Some(slot)) = (message.fields.get(position), slots.get_mut(position)) else {
            continue;
        };
        if field.label == Label::Single {
            if wire_type != field.kind.wire_type() {
                return Err(DecodeError {
                    offset: start,
                    what: "a field has another type than declared",
                });
            }
            *slot = Slot {
                count: slot.count + 1,
                raw,
            };
            if let Some(oneof) = field.oneof {
                for (other, sibling) in message.fields.iter().enumerate() {
                    if other != position && sibling.oneof == Some(oneof) {
                        slots[other] = Slot::default();
                    }
                }
            }
        } else {
            let expected = if matches!(field.label, Label::Map(_)) {
                wire::LEN
            } else {
                field.kind.wire_type()
            };
            if wire_type != expected && wire_type != wire::LEN {
                return Err(DecodeError {
                    offset: start,
                    what: "a repeated field has another type than declared",
                });
            }
            if slot.count == 0 {
                slot.raw.a = start as u64;
            }
            slot.raw.b = cursor.at as u64;
            slot.count += 1;
        }
    }
    Ok(())
}

/// Calls `each` with every element of a repeated field that `collect` found.
pub(crate) fn elements<E: From<DecodeError>>(
    field: &Field,
    slot: Slot,
    wire: &[u8],
    mut each: impl FnMut(Raw) -> Result<(), E>,
) -> Result<(), E> {
    if slot.count == 0 {
        return Ok(());
    }
    let expected = if matches!(field.label, Label::Map(_)) {
        wire::LEN
    } else {
        field.kind.wire_type()
    };
    let end = wire::position(slot.raw.b);
    let mut cursor = Cursor::between(wire, wire::position(slot.raw.a), end);
    while !cursor.done() {
        let (number, wire_type) = cursor.tag()?;
        let raw = cursor.value(wire_type)?;
        if number != field.number {
            continue;
        }
        if wire_type == expected {
            each(raw)?;
        } else {
            // Numbers packed into one value.
            let mut packed = Cursor::between(wire, wire::position(raw.a), wire::position(raw.b));
            while !packed.done() {
                each(packed.value(expected)?)?;
            }
        }
    }
    Ok(())
}

/// The bytes of a single message field: protobuf merges repeated occurrences, which is what their concatenation means.
pub(crate) fn merged(field: &Field, wire: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let mut whole = Vec::new();
    let mut cursor = Cursor::new(wire);
    while !cursor.done() {
        let (number, wire_type) = cursor.tag()?;
        let raw = cursor.value(wire_type)?;
        if number == field.number && wire_type == wire::LEN {
            whole.extend_from_slice(raw.slice(wire));
        }
    }
    Ok(whole)
}

/// Key and value of a map entry.
pub(crate) fn entry(key: Kind, value: Kind, wire: &[u8]) -> Result<(Option<Raw>, Option<Raw>), DecodeError> {
    let mut found = (None, None);
    let mut cursor = Cursor::new(wire);
    while !cursor.done() {
        let (number, wire_type) = cursor.tag()?;
        let raw = cursor.value(wire_type)?;
        match number {
            1 if wire_type == key.wire_type() => found.0 = Some(raw),
            2 if wire_type == value.wire_type() => found.1 = Some(raw),
            1 | 2 => {
                return Err(DecodeError {
                    offset: cursor.at,
                    what: "a map entry has another type than declared",
                });
            }
            _ => {}
        }
    }
    Ok(found)
}

/// Seconds and nanoseconds of a `Timestamp` or `Duration`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "protobuf reads the low bits"
)]
pub(crate) fn moment(wire: &[u8]) -> Result<(i64, i32), DecodeError> {
    let (mut seconds, mut nanos) = (0, 0);
    let mut cursor = Cursor::new(wire);
    while !cursor.done() {
        let (number, wire_type) = cursor.tag()?;
        let raw = cursor.value(wire_type)?;
        match (number, wire_type) {
            (1, wire::VARINT) => seconds = raw.a as i64,
            (2, wire::VARINT) => nanos = raw.a as i32,
            _ => {}
        }
    }
    Ok((seconds, nanos))
}

/// A compiled message, ready to turn wire bytes into JSON and back.
#[derive(Clone, Debug)]
pub struct Shape {
    pub(crate) table: Arc<Table>,
    pub(crate) index: usize,
}

impl Shape {
    pub(crate) fn message(&self) -> &Message {
        // A shape is only made for a position of its own table.
        &self.table.messages[self.index]
    }

    /// Full name of the message, `package.Message`.
    pub fn name(&self) -> &str {
        &self.message().full_name
    }

    /// The value of a string field of an encoded message; `None` when the message has no such field, or it is not set or empty.
    pub fn text<'w>(&self, wire: &'w [u8], field: &str) -> Option<&'w str> {
        let message = self.message();
        let field = &message.fields[message.named(field)?];
        if field.kind != Kind::String || field.label != Label::Single {
            return None;
        }
        let (mut cursor, mut found) = (Cursor::new(wire), None);
        while !cursor.done() {
            let (number, wire_type) = cursor.tag().ok()?;
            let raw = cursor.value(wire_type).ok()?;
            if number == field.number && wire_type == wire::LEN {
                found = std::str::from_utf8(raw.slice(wire)).ok();
            }
        }
        found.filter(|text| !text.is_empty())
    }

    /// An encoded message without the values of one of its fields; as it is when the message has none, or cannot be read.
    pub fn without<'w>(&self, wire: &'w [u8], field: &str) -> Cow<'w, [u8]> {
        let message = self.message();
        let Some(position) = message.named(field) else {
            return Cow::Borrowed(wire);
        };
        let number = message.fields[position].number;
        let (mut cursor, mut rest, mut kept) = (Cursor::new(wire), Vec::new(), 0);
        while !cursor.done() {
            let start = cursor.at;
            let Ok((found, wire_type)) = cursor.tag() else {
                return Cow::Borrowed(wire);
            };
            if cursor.value(wire_type).is_err() {
                return Cow::Borrowed(wire);
            }
            if found == number {
                rest.extend_from_slice(&wire[kept..start]);
                kept = cursor.at;
            }
        }
        if kept == 0 {
            return Cow::Borrowed(wire);
        }
        rest.extend_from_slice(&wire[kept..]);
        Cow::Owned(rest)
    }

    /// Appends the JSON form of an encoded message.
    pub fn write_json(&self, wire: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
        Writer::new(&self.table).message(self.message(), wire, out, 0)
    }

    /// Encodes a JSON text, or says everything that is wrong with it. Places start with `body`.
    pub fn read_json(&self, json: &[u8]) -> Result<Vec<u8>, Vec<Problem>> {
        let node = crate::json::parse(json).map_err(|error| vec![error.problem(json)])?;
        let mut findings = Findings::at("body");
        let mut out = Vec::new();
        match node {
            Some(node) => {
                read::Reader {
                    table: &self.table,
                    found: &mut findings,
                }
                .body(self.message(), &node, &mut out);
            }
            None => findings.add(read::MISSING, || None),
        }
        if findings.problems.is_empty() {
            Ok(out)
        } else {
            Err(findings.problems)
        }
    }

    /// Checks the field rules (required, formats, bounds, JSON kinds) of an encoded message, for callers that do not come
    /// through JSON. Places start with `body`; `Problem::field` gives the path for `google.rpc.BadRequest`.
    pub fn validate(&self, wire: &[u8]) -> Result<(), Vec<Problem>> {
        let mut findings = Findings::at("body");
        if let Err(error) = validate::message(&self.table, self.message(), wire, &mut findings, 0) {
            findings.loc.truncate(1);
            let problem = Problem::new("value_error", findings.loc.clone(), format!("Value error, {error}"));
            findings.problems.push(problem);
        }
        if findings.problems.is_empty() {
            Ok(())
        } else {
            Err(findings.problems)
        }
    }

    /// The place of a top-level field in problems.
    pub(crate) fn loc(field: &Field) -> Loc {
        Loc::Field(field.json.clone())
    }
}
