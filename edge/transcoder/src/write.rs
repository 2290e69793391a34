//! Wire bytes to JSON. Two passes over each message: the first notes where the fields lie, the second writes them in
//! declared order. No tree is built and nothing is allocated but the output and one stack of slots.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::{
    MAX_DEPTH,
    shape::{self, Field, Int, Kind, Label, Message, Slot, Table},
    text,
    wire::{DecodeError, Raw},
};

pub(crate) struct Writer<'t> {
    table: &'t Table,
    /// Slots of the messages being written, innermost last.
    slots: Vec<Slot>,
}

impl<'t> Writer<'t> {
    pub(crate) fn new(table: &'t Table) -> Self {
        Self {
            table,
            slots: Vec::with_capacity(64),
        }
    }

    /// Appends a message as an object, or as the array or map of its only field.
    pub(crate) fn message(
        &mut self,
        message: &Message,
        wire: &[u8],
        out: &mut Vec<u8>,
        depth: usize,
    ) -> Result<(), DecodeError> {
        let base = self.open(message, wire, depth)?;
        if message.list {
            if let Some((field, slot)) = message.fields.first().zip(self.slots.get(base).copied()) {
                self.field(field, slot, wire, out, depth)?;
            }
        } else if message.written.is_empty() {
            out.extend_from_slice(b"{}");
        } else {
            for (position, key) in &message.written {
                out.extend_from_slice(key);
                self.field(
                    &message.fields[*position],
                    self.slots[base + position],
                    wire,
                    out,
                    depth,
                )?;
            }
            out.push(b'}');
        }
        self.slots.truncate(base);
        Ok(())
    }

    /// Collects the fields of a message; answers where its slots start.
    pub(crate) fn open(&mut self, message: &Message, wire: &[u8], depth: usize) -> Result<usize, DecodeError> {
        if depth >= MAX_DEPTH {
            return Err(DecodeError {
                offset: 0,
                what: "messages are nested too deeply",
            });
        }
        let base = self.slots.len();
        self.slots.resize(base + message.fields.len(), Slot::default());
        shape::collect(message, wire, &mut self.slots[base..])?;
        Ok(base)
    }

    pub(crate) fn slot(&self, at: usize) -> Slot {
        self.slots.get(at).copied().unwrap_or_default()
    }

    /// Appends a field's value; its slot was filled by `open`.
    #[inline]
    pub(crate) fn field(
        &mut self,
        field: &Field,
        slot: Slot,
        wire: &[u8],
        out: &mut Vec<u8>,
        depth: usize,
    ) -> Result<(), DecodeError> {
        if field.rules.write_only {
            out.extend_from_slice(b"null");
            return Ok(());
        }
        match field.label {
            Label::Single if slot.count == 1 => self.value(field.kind, slot.raw, wire, out, depth),
            Label::Single if slot.count == 0 => {
                self.unset(field, out);
                Ok(())
            }
            Label::Single if field.kind.is_message() => {
                let whole = shape::merged(field, wire)?;
                self.value(
                    field.kind,
                    Raw {
                        a: 0,
                        b: whole.len() as u64,
                    },
                    &whole,
                    out,
                    depth,
                )
            }
            Label::Single => self.value(field.kind, slot.raw, wire, out, depth),
            Label::Repeated => {
                out.push(b'[');
                let mut first = true;
                shape::elements(field, slot, wire, |raw| {
                    if !first {
                        out.push(b',');
                    }
                    first = false;
                    self.value(field.kind, raw, wire, out, depth)
                })?;
                out.push(b']');
                Ok(())
            }
            Label::Map(key) => self.map(field, key, slot, wire, out, depth),
        }
    }

    fn map(
        &mut self,
        field: &Field,
        key_kind: Kind,
        slot: Slot,
        wire: &[u8],
        out: &mut Vec<u8>,
        depth: usize,
    ) -> Result<(), DecodeError> {
        out.push(b'{');
        let mut first = true;
        shape::elements(field, slot, wire, |raw| {
            let bytes = raw.slice(wire);
            let (key, value) = shape::entry(key_kind, field.kind, bytes)?;
            if !first {
                out.push(b',');
            }
            first = false;
            let key = key.unwrap_or_default();
            if key_kind == Kind::String {
                self.value(key_kind, key, bytes, out, depth)?;
            } else {
                out.push(b'"');
                self.value(key_kind, key, bytes, out, depth)?;
                out.push(b'"');
            }
            out.push(b':');
            match value {
                Some(value) => self.value(field.kind, value, bytes, out, depth),
                None => self.value(field.kind, Raw::default(), &[], out, depth),
            }
        })?;
        out.push(b'}');
        Ok(())
    }

    /// Appends what a field without value looks like.
    fn unset(&self, field: &Field, out: &mut Vec<u8>) {
        if field.presence {
            out.extend_from_slice(b"null");
            return;
        }
        let default: &[u8] = match field.kind {
            Kind::Int(_) => b"0",
            Kind::Double | Kind::Float => b"0.0",
            Kind::Bool => b"false",
            Kind::String | Kind::Bytes => b"\"\"",
            Kind::Enum(index) => return self.enumeration(index, 0, out),
            _ => b"null",
        };
        out.extend_from_slice(default);
    }

    fn enumeration(&self, index: usize, number: i32, out: &mut Vec<u8>) {
        match self.table.enums.get(index).and_then(|values| values.text(number)) {
            // Names of enum values are identifiers: nothing to escape.
            Some(text) => {
                out.push(b'"');
                out.extend_from_slice(text.as_bytes());
                out.push(b'"');
            }
            None => out.extend_from_slice(b"null"),
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        reason = "protobuf reads the low bits of a longer number"
    )]
    #[inline]
    pub(crate) fn value(
        &mut self,
        kind: Kind,
        raw: Raw,
        wire: &[u8],
        out: &mut Vec<u8>,
        depth: usize,
    ) -> Result<(), DecodeError> {
        match kind {
            Kind::Int(Int::I64 | Int::SF64) => text::signed(raw.a as i64, out),
            Kind::Int(Int::U64 | Int::F64) => text::unsigned(raw.a, out),
            Kind::Int(int) => text::signed(int.decode(raw.a) as i64, out),
            Kind::Double => text::double(f64::from_bits(raw.a), out),
            Kind::Float => text::float(f32::from_bits(raw.a as u32), out),
            Kind::Bool => out.extend_from_slice(if raw.a == 0 { b"false" } else { b"true" }),
            Kind::String => text::string(utf8(raw, wire)?, out),
            Kind::Bytes => {
                out.push(b'"');
                out.extend_from_slice(STANDARD.encode(raw.slice(wire)).as_bytes());
                out.push(b'"');
            }
            Kind::Json(_) => json(raw.slice(wire), out),
            Kind::Enum(index) => self.enumeration(index, raw.a as i32, out),
            Kind::Message(index) => {
                let table = self.table;
                return self.message(&table.messages[index], raw.slice(wire), out, depth + 1);
            }
            Kind::Timestamp => {
                let (seconds, nanos) = shape::moment(raw.slice(wire))?;
                if !text::timestamp(seconds, nanos, out) {
                    return Err(DecodeError {
                        offset: 0,
                        what: "a timestamp is outside the years 1 to 9999",
                    });
                }
            }
            Kind::Duration => {
                let (seconds, nanos) = shape::moment(raw.slice(wire))?;
                text::duration(seconds, nanos, out);
            }
            Kind::Mask => mask(raw.slice(wire), out)?,
            Kind::Any => return self.any(raw.slice(wire), out, depth),
        }
        Ok(())
    }

    /// An `Any` is the object of the message inside; `null` when this catalog does not know it.
    fn any(&mut self, wire: &[u8], out: &mut Vec<u8>, depth: usize) -> Result<(), DecodeError> {
        let (url, value) = shape::entry(Kind::String, Kind::Bytes, wire)?;
        let url = url.map_or(Ok(""), |raw| utf8(raw, wire))?;
        let name = url.rsplit('/').next().unwrap_or_default();
        let table = self.table;
        let Some(index) = table.by_name.get(name) else {
            out.extend_from_slice(b"null");
            return Ok(());
        };
        let value = value.unwrap_or_default();
        self.message(&table.messages[*index], value.slice(wire), out, depth + 1)
    }
}

/// A `FieldMask` is its paths, joined by commas.
fn mask(wire: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
    let mut paths = Vec::new();
    let mut cursor = crate::wire::Cursor::new(wire);
    while !cursor.done() {
        let (number, wire_type) = cursor.tag()?;
        let raw = cursor.value(wire_type)?;
        if number == 1 && wire_type == crate::wire::LEN {
            paths.push(utf8(raw, wire)?);
        }
    }
    text::string(&paths.join(","), out);
    Ok(())
}

/// Free-form JSON goes through as it is. Line breaks, which JSON allows between tokens only, become blanks: an event
/// stream could not carry them.
fn json(bytes: &[u8], out: &mut Vec<u8>) {
    if bytes.is_empty() {
        out.extend_from_slice(b"null");
        return;
    }
    let start = out.len();
    out.extend_from_slice(bytes);
    for byte in &mut out[start..] {
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
}

#[inline]
pub(crate) fn utf8(raw: Raw, wire: &[u8]) -> Result<&str, DecodeError> {
    std::str::from_utf8(raw.slice(wire)).map_err(|_| DecodeError {
        offset: crate::wire::position(raw.a),
        what: "a string is not UTF-8",
    })
}
