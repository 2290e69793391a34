//! The field rules on encoded messages, for callers of the gRPC and gRPC-web doors.
//!
//! What JSON can say and protobuf cannot (an empty text that was given, a zero that was given) counts as not given here:
//! whatever `read` accepts passes.

use std::borrow::Cow;

use crate::{
    MAX_DEPTH, json,
    problem::{Fault, Findings, Loc},
    read::MISSING,
    rules,
    shape::{self, Field, Format, Kind, Label, Message, Rules, Shape, Slot, Table},
    text,
    wire::{self, Cursor, DecodeError, Raw},
    write,
};

pub(crate) fn message(
    table: &Table,
    message: &Message,
    wire: &[u8],
    found: &mut Findings,
    depth: usize,
) -> Result<(), DecodeError> {
    if depth >= MAX_DEPTH {
        return Err(DecodeError {
            offset: 0,
            what: "messages are nested too deeply",
        });
    }
    let mut slots = vec![Slot::default(); message.fields.len()];
    shape::collect(message, wire, &mut slots)?;
    for (field, slot) in message.fields.iter().zip(&slots) {
        // A bare list has no key of its own.
        if message.list {
            self::field(table, field, *slot, wire, found, depth)?;
            continue;
        }
        found.loc.push(Shape::loc(field));
        self::field(table, field, *slot, wire, found, depth)?;
        found.loc.pop();
    }
    if depth == 0
        && let Some(position) = message.named("update_mask")
        && let Some(slot) = slots.get(position).filter(|slot| slot.count > 0)
    {
        masked(table, message, wire, &slots, slot.raw.slice(wire), found)?;
    }
    Ok(())
}

/// A mask that names a field without value sets it to null, which some fields refuse.
fn masked(
    table: &Table,
    message: &Message,
    wire: &[u8],
    slots: &[Slot],
    mask: &[u8],
    found: &mut Findings,
) -> Result<(), DecodeError> {
    let mut cursor = Cursor::new(mask);
    while !cursor.done() {
        let (number, wire_type) = cursor.tag()?;
        let raw = cursor.value(wire_type)?;
        if number != 1 || wire_type != wire::LEN {
            continue;
        }
        let path = write::utf8(raw, mask)?;
        if let Some(position) = message.named(path) {
            refuse_null(&message.fields[position], slots[position], found);
            continue;
        }
        for (parent, slot) in message.fields.iter().zip(slots) {
            let Kind::Message(index) = parent.kind else { continue };
            let inner = &table.messages[index];
            let Some(position) = inner.named(path).filter(|_| parent.label == Label::Single) else {
                continue;
            };
            let mut inner_slots = vec![Slot::default(); inner.fields.len()];
            shape::collect(inner, slot.raw.slice(wire), &mut inner_slots)?;
            found.loc.push(Shape::loc(parent));
            refuse_null(&inner.fields[position], inner_slots[position], found);
            found.loc.pop();
        }
    }
    Ok(())
}

fn refuse_null(field: &Field, slot: Slot, found: &mut Findings) {
    if slot.count == 0 && field.presence && field.rules.not_null {
        found.within(Shape::loc(field), |found| {
            found.add(Fault::value("the field must not be null"), || None);
        });
    }
}

fn field(
    table: &Table,
    field: &Field,
    slot: Slot,
    wire: &[u8],
    found: &mut Findings,
    depth: usize,
) -> Result<(), DecodeError> {
    match field.label {
        Label::Single => {
            if unset(field, slot) {
                if field.rules.required && absence_shows(field) {
                    found.add(MISSING, || None);
                }
                return Ok(());
            }
            if slot.count > 1 && field.kind.is_message() {
                let whole = shape::merged(field, wire)?;
                return value(
                    table,
                    field,
                    Raw {
                        a: 0,
                        b: whole.len() as u64,
                    },
                    &whole,
                    found,
                    depth,
                );
            }
            value(table, field, slot.raw, wire, found, depth)
        }
        Label::Repeated => {
            let mut count = 0;
            shape::elements(field, slot, wire, |raw| {
                found.loc.push(Loc::Index(count));
                count += 1;
                value(table, field, raw, wire, found, depth)?;
                found.loc.pop();
                Ok::<_, DecodeError>(())
            })?;
            size(field, "List", count, found);
            Ok(())
        }
        Label::Map(key_kind) => {
            let mut count = 0;
            shape::elements(field, slot, wire, |raw| {
                count += 1;
                let bytes = raw.slice(wire);
                let (key, item) = shape::entry(key_kind, field.kind, bytes)?;
                found
                    .loc
                    .push(Loc::Name(key_text(key_kind, key.unwrap_or_default(), bytes)?.into()));
                if let (Kind::String, Some(key)) = (key_kind, key) {
                    check(rules::text(&Rules::default(), write::utf8(key, bytes)?.into()), found);
                }
                match item {
                    Some(item) => value(table, field, item, bytes, found, depth)?,
                    None => value(table, field, Raw::default(), &[], found, depth)?,
                }
                found.loc.pop();
                Ok::<_, DecodeError>(())
            })?;
            size(field, "Dictionary", count, found);
            Ok(())
        }
    }
}

fn key_text(kind: Kind, key: Raw, wire: &[u8]) -> Result<String, DecodeError> {
    match kind {
        Kind::String => Ok(write::utf8(key, wire)?.to_owned()),
        Kind::Int(int) => Ok(int.decode(key.a).to_string()),
        _ => Ok((key.a != 0).to_string()),
    }
}

/// An absent list and an empty one look alike, so the lower bound holds only for required lists.
fn size(field: &Field, word: &str, count: usize, found: &mut Findings) {
    if count > 0 || field.rules.required {
        check(rules::items(&field.rules, word, count), found);
    }
}

fn unset(field: &Field, slot: Slot) -> bool {
    let empty = slot.raw.a == slot.raw.b;
    match field.kind {
        _ if slot.count == 0 => true,
        Kind::Json(_) => empty,
        _ if field.presence => false,
        Kind::String | Kind::Bytes => empty,
        _ => slot.raw.a == 0,
    }
}

/// Whether a field that carries nothing was certainly not given: for the others nothing may be an empty text or a zero.
fn absence_shows(field: &Field) -> bool {
    field.presence
        || match field.kind {
            Kind::String => field.rules.non_empty || field.rules.format != Format::None,
            Kind::Enum(_) | Kind::Json(_) => true,
            _ => false,
        }
}

fn check<T>(result: Result<T, Fault>, found: &mut Findings) {
    if let Err(fault) = result {
        found.add(fault, || None);
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "protobuf reads the low bits of a longer number"
)]
fn value(
    table: &Table,
    field: &Field,
    raw: Raw,
    wire: &[u8],
    found: &mut Findings,
    depth: usize,
) -> Result<(), DecodeError> {
    let field_rules = &field.rules;
    match field.kind {
        Kind::Int(int) => check(rules::integer(field_rules, int, int.decode(raw.a)), found),
        Kind::Double => check(rules::number(field_rules, f64::from_bits(raw.a)), found),
        Kind::Float => check(rules::number(field_rules, f32::from_bits(raw.a as u32).into()), found),
        Kind::Bool | Kind::Bytes | Kind::Mask | Kind::Any => {}
        Kind::String => check(rules::text(field_rules, Cow::Borrowed(write::utf8(raw, wire)?)), found),
        Kind::Json(kind) => {
            check(
                json::check(raw.slice(wire)).and_then(|node| rules::free_form(kind, &node)),
                found,
            );
        }
        Kind::Enum(index) => {
            let values = &table.enums[index];
            let number = raw.a as i32;
            let unspecified = number == 0 && field.label == Label::Single;
            if !unspecified && values.text(number).is_none() {
                check::<()>(Err(rules::literal(values)), found);
            }
        }
        Kind::Message(index) => {
            return message(table, &table.messages[index], raw.slice(wire), found, depth + 1);
        }
        Kind::Timestamp => {
            let (seconds, nanos) = shape::moment(raw.slice(wire))?;
            if !text::SECONDS.contains(&seconds) || !(0..1_000_000_000).contains(&nanos) {
                let error = "the moment is outside the years 1 to 9999";
                let ctx = serde_json::json!({ "error": error });
                let msg = format!("Input should be a valid datetime, {error}");
                check::<()>(Err(Fault::with("datetime_parsing", msg, ctx)), found);
            }
        }
        Kind::Duration => {
            shape::moment(raw.slice(wire))?;
        }
    }
    Ok(())
}
