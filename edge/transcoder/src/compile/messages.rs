//! Messages, fields and enums.

use std::{collections::HashMap, sync::Arc};

use http::HeaderName;
use prost::Message as _;
use prost_reflect::{DescriptorPool, EnumDescriptor, FieldDescriptor, Kind as Type, MessageDescriptor};

use super::{Comments, error};
use crate::{
    catalog::CompileError,
    options,
    shape::{Enumeration, Field, Format, Int, JsonKind, Kind, Label, Message, NO_FIELD, Rules},
};

/// Field numbers below this are looked up directly.
const DENSE: u32 = 512;

/// The messages and enums being collected.
pub(super) struct Compiler {
    /// `None` while a message is being compiled: it may refer to itself.
    pub(super) messages: Vec<Option<Message>>,
    pub(super) enums: Vec<Enumeration>,
    pub(super) by_name: HashMap<String, usize>,
    pub(super) enum_by_name: HashMap<String, usize>,
    pub(super) comments: Comments,
}

impl Compiler {
    pub(super) fn new(pool: &DescriptorPool) -> Self {
        Self {
            messages: Vec::new(),
            enums: Vec::new(),
            by_name: HashMap::new(),
            enum_by_name: HashMap::new(),
            comments: Comments::new(pool),
        }
    }

    pub(super) fn message(&mut self, descriptor: &MessageDescriptor) -> Result<usize, CompileError> {
        let name = descriptor.full_name();
        if let Some(index) = self.by_name.get(name) {
            return Ok(*index);
        }
        let index = self.messages.len();
        self.messages.push(None);
        self.by_name.insert(name.to_owned(), index);
        let options = options::MessageOptions::decode(descriptor.options().encode_to_vec().as_slice())
            .map_err(|cause| error(name, cause.to_string()))?;
        let oneofs: Vec<_> = descriptor.oneofs().filter(|oneof| !oneof.is_synthetic()).collect();
        let mut fields: Vec<Field> = Vec::new();
        // `fields()` goes by number; the file's order is what people wrote and what JSON shows.
        for number in descriptor
            .descriptor_proto()
            .field
            .iter()
            .filter_map(|field| field.number)
        {
            let Some(field) = u32::try_from(number)
                .ok()
                .and_then(|number| descriptor.get_field(number))
            else {
                continue;
            };
            let oneof = field
                .containing_oneof()
                .and_then(|own| oneofs.iter().position(|oneof| *oneof == own));
            let field = self.field(&field, oneof)?;
            if fields.iter().any(|other| other.json == field.json) {
                return Err(error(name, format!("two fields have the JSON name `{}`", field.json)));
            }
            fields.push(field);
        }
        let list = options.message.as_ref().is_some_and(|options| options.list);
        let file = options.message.is_some_and(|options| options.file);
        let bare = |fields: &[Field]| matches!(fields, [field] if field.label != Label::Single);
        if list && !bare(&fields) {
            return Err(error(
                name,
                "option `list` needs a message with one repeated or map field and no other",
            ));
        }
        let written: Vec<_> = fields
            .iter()
            .enumerate()
            .filter(|(_, field)| field.in_json())
            .map(|(at, _)| at)
            .collect();
        let key = |order: usize, at: usize| {
            let mut key = vec![if order == 0 { b'{' } else { b',' }];
            crate::text::string(&fields[at].json, &mut key);
            key.push(b':');
            (at, key.into_boxed_slice())
        };
        let written = written
            .into_iter()
            .enumerate()
            .map(|(order, at)| key(order, at))
            .collect();
        let mut dense = Vec::new();
        let top = fields
            .iter()
            .map(|field| field.number)
            .filter(|number| *number < DENSE)
            .max()
            .unwrap_or(0);
        for number in 0..=top {
            let position = fields.iter().position(|field| field.number == number);
            dense.push(
                position
                    .and_then(|position| u16::try_from(position).ok())
                    .unwrap_or(NO_FIELD),
            );
        }
        let package = descriptor.package_name();
        let short = name.strip_prefix(package).unwrap_or(name).trim_start_matches('.');
        self.messages[index] = Some(Message {
            full_name: name.to_owned(),
            short_name: short.replace('.', ""),
            dense,
            by_json: fields
                .iter()
                .enumerate()
                .map(|(at, field)| (field.json.clone(), at))
                .collect(),
            written,
            list,
            file,
            has_secret: fields.iter().any(|field| field.rules.write_only),
            has_required: fields.iter().any(|field| field.rules.required && field.in_json()),
            oneofs: oneofs.iter().map(|oneof| oneof.name().to_owned()).collect(),
            comment: self.comments.of(&descriptor.parent_file(), descriptor.path()),
            fields,
        });
        Ok(index)
    }

    fn field(&mut self, descriptor: &FieldDescriptor, oneof: Option<usize>) -> Result<Field, CompileError> {
        let place = descriptor.full_name();
        let options = options::FieldOptions::decode(descriptor.options().encode_to_vec().as_slice())
            .map_err(|cause| error(place, cause.to_string()))?
            .field
            .unwrap_or_default();
        let (label, descriptor_kind) = match descriptor.kind() {
            Type::Message(entry) if descriptor.is_map() => {
                let key = self.kind(place, &entry.map_entry_key_field().kind(), 0)?;
                (Label::Map(key), entry.map_entry_value_field().kind())
            }
            kind if descriptor.is_list() => (Label::Repeated, kind),
            kind => (Label::Single, kind),
        };
        let kind = self.kind(place, &descriptor_kind, options.json)?;
        let presence = label == Label::Single && descriptor.supports_presence();
        check(place, &options, kind, label)?;
        let header = match options.header.as_str() {
            "" => None,
            name => Some(
                name.parse::<HeaderName>()
                    .map_err(|_| error(place, "`header` is no header name"))?,
            ),
        };
        let json = if options.name.is_empty() {
            descriptor.name()
        } else {
            options.name.as_str()
        };
        Ok(Field {
            name: descriptor.name().into(),
            json: json.into(),
            number: descriptor.number(),
            kind,
            label,
            presence,
            oneof,
            header,
            comment: self
                .comments
                .of(&descriptor.parent_message().parent_file(), descriptor.path()),
            rules: Rules {
                required: options.required,
                not_null: options.not_null,
                non_empty: options.non_empty,
                format: match options.format.as_str() {
                    "uuid" => Format::Uuid,
                    "uri" => Format::Uri,
                    "url" => Format::Url,
                    "email" => Format::Email,
                    _ => Format::None,
                },
                format_name: options.format,
                max_length: options.max_length,
                minimum: options.minimum,
                maximum: options.maximum,
                min_items: options.min_items,
                max_items: options.max_items,
                default_value: options.default_value,
                write_only: options.write_only,
                comma_separated: options.comma_separated,
                hidden: options.hidden,
                event_id: options.event_id,
                query: options.query,
                in_body: options.in_body,
            },
        })
    }

    fn kind(&mut self, place: &str, kind: &Type, json: i32) -> Result<Kind, CompileError> {
        Ok(match kind {
            Type::Double => Kind::Double,
            Type::Float => Kind::Float,
            Type::Int32 => Kind::Int(Int::I32),
            Type::Int64 => Kind::Int(Int::I64),
            Type::Uint32 => Kind::Int(Int::U32),
            Type::Uint64 => Kind::Int(Int::U64),
            Type::Sint32 => Kind::Int(Int::S32),
            Type::Sint64 => Kind::Int(Int::S64),
            Type::Fixed32 => Kind::Int(Int::F32),
            Type::Fixed64 => Kind::Int(Int::F64),
            Type::Sfixed32 => Kind::Int(Int::SF32),
            Type::Sfixed64 => Kind::Int(Int::SF64),
            Type::Bool => Kind::Bool,
            Type::String => Kind::String,
            Type::Bytes => match json {
                0 => Kind::Bytes,
                1 => Kind::Json(JsonKind::Any),
                2 => Kind::Json(JsonKind::Object),
                3 => Kind::Json(JsonKind::Array),
                _ => return Err(error(place, "an unknown value of option `json`")),
            },
            Type::Enum(descriptor) => Kind::Enum(self.enumeration(descriptor)),
            Type::Message(descriptor) => match descriptor.full_name() {
                "google.protobuf.Timestamp" => Kind::Timestamp,
                "google.protobuf.Duration" => Kind::Duration,
                "google.protobuf.FieldMask" => Kind::Mask,
                "google.protobuf.Any" => Kind::Any,
                "google.protobuf.Struct" | "google.protobuf.Value" | "google.protobuf.ListValue" => {
                    return Err(error(place, "free-form JSON is a `bytes` field with option `json`"));
                }
                name if name.starts_with("google.protobuf.") && name.ends_with("Value") => {
                    return Err(error(
                        place,
                        "a nullable scalar is an `optional` field, not a wrapper message",
                    ));
                }
                _ => Kind::Message(self.message(descriptor)?),
            },
        })
    }

    fn enumeration(&mut self, descriptor: &EnumDescriptor) -> usize {
        if let Some(index) = self.enum_by_name.get(descriptor.full_name()) {
            return *index;
        }
        let prefix = format!("{}_", upper_snake(descriptor.name()));
        let all = descriptor.values().collect::<Vec<_>>();
        let prefixed = all.iter().all(|value| value.name().starts_with(&prefix));
        let shown = all
            .iter()
            .filter(|value| value.number() != 0 || !value.name().ends_with("UNSPECIFIED"));
        let values: Vec<(i32, Arc<str>, String)> = shown
            .map(|value| {
                let name = if prefixed {
                    value.name().trim_start_matches(&*prefix)
                } else {
                    value.name()
                };
                let comment = self.comments.of(&descriptor.parent_file(), value.path());
                (value.number(), name.to_ascii_lowercase().into(), comment)
            })
            .collect();
        let quoted: Vec<_> = values.iter().map(|value| format!("'{}'", value.1)).collect();
        let expected = match quoted.split_last() {
            Some((last, [])) => last.clone(),
            Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
            None => String::new(),
        };
        let index = self.enums.len();
        self.enums.push(Enumeration { values, expected });
        self.enum_by_name.insert(descriptor.full_name().to_owned(), index);
        index
    }
}

/// Options that do not fit the field's type are mistakes, never silently ignored.
fn check(place: &str, options: &options::Field, kind: Kind, label: Label) -> Result<(), CompileError> {
    let text = kind == Kind::String;
    let number = matches!(kind, Kind::Int(_) | Kind::Double | Kind::Float);
    let many = label != Label::Single;
    let scalar = !many && !kind.is_message() && !matches!(kind, Kind::Bytes | Kind::Json(_));
    let misfits = [
        (!text && options.non_empty, "`non_empty` needs a string field"),
        (!text && options.max_length > 0, "`max_length` needs a string field"),
        (
            !text && matches!(options.format.as_str(), "uuid" | "uri" | "url" | "email"),
            "`format` needs a string field",
        ),
        (
            !number && (options.minimum.is_some() || options.maximum.is_some()),
            "`minimum` and `maximum` need a number",
        ),
        (
            !many && (options.min_items > 0 || options.max_items > 0),
            "`min_items` and `max_items` need a repeated field",
        ),
        (
            label != Label::Repeated && options.comma_separated,
            "`comma_separated` needs a repeated field",
        ),
        (
            options.json != 0 && !matches!(kind, Kind::Json(_)),
            "`json` needs a `bytes` field",
        ),
        (!scalar && !options.header.is_empty(), "`header` needs a scalar field"),
        (!scalar && options.event_id, "`event_id` needs a scalar field"),
    ];
    if let Some((_, what)) = misfits.iter().find(|(misfit, _)| *misfit) {
        return Err(error(place, *what));
    }
    if !options.default_value.is_empty() && serde_json::from_str::<serde_json::Value>(&options.default_value).is_err() {
        return Err(error(
            place,
            format!(
                "`default_value` is not JSON: {} (texts need quotes)",
                options.default_value
            ),
        ));
    }
    Ok(())
}

/// `HTTPStatus` -> `HTTP_STATUS`.
pub(super) fn upper_snake(name: &str) -> String {
    let characters: Vec<char> = name.chars().collect();
    let mut snake = String::new();
    for (at, character) in characters.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|at| characters.get(at));
        let after = characters.get(at + 1);
        let starts = character.is_ascii_uppercase()
            && before.is_some_and(|before| !before.is_ascii_uppercase() || after.is_some_and(char::is_ascii_lowercase));
        if starts && !snake.ends_with('_') {
            snake.push('_');
        }
        snake.push(character.to_ascii_uppercase());
    }
    snake
}
