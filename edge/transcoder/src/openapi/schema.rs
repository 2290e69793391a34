//! JSON Schemas of messages and fields.

use std::collections::{BTreeSet, HashMap};

use serde_json::{Map, Value, json};

use crate::shape::{Field, JsonKind, Kind, Label, Message, Table};

/// Requests and answers differ in what may be left out and what may be null.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Direction {
    Request,
    Answer,
}

/// A component: the message, its direction, and the fields that are bound elsewhere.
type Key = (usize, Direction, Vec<usize>);

/// The components referred to so far.
pub(super) struct Schemas<'t> {
    table: &'t Table,
    names: HashMap<Key, String>,
    taken: BTreeSet<String>,
    components: Map<String, Value>,
}

/// Names the document itself defines.
const RESERVED: [&str; 4] = ["ValidationError", "HTTPValidationError", "ErrorDetail", "ErrorResponse"];

impl<'t> Schemas<'t> {
    pub(super) fn new(table: &'t Table) -> Self {
        Self {
            table,
            names: HashMap::new(),
            taken: RESERVED.map(str::to_owned).into(),
            components: Map::new(),
        }
    }

    /// All components, by name.
    pub(super) fn finish(self) -> Map<String, Value> {
        let mut entries: Vec<_> = self.components.into_iter().collect();
        entries.sort_by(|a, b| a.0.cmp(&b.0));
        entries.into_iter().collect()
    }

    /// A message: a reference to its component, or the array it is written as.
    pub(super) fn message(&mut self, index: usize, direction: Direction) -> Value {
        let message = &self.table.messages[index];
        match message.fields.first() {
            Some(field) if message.list => described(self.value(field, direction), &message.comment),
            _ => self.component(index, direction, &[]),
        }
    }

    /// The body of a route whose path binds some of the message's fields.
    pub(super) fn body(&mut self, index: usize, bound: &[usize]) -> Value {
        self.component(index, Direction::Request, bound)
    }

    fn component(&mut self, index: usize, direction: Direction, bound: &[usize]) -> Value {
        let key = (index, direction, bound.to_vec());
        let known = self.names.get(&key).cloned();
        let name = known.unwrap_or_else(|| {
            // The name is known before the fields are looked at: they may refer back.
            let name = self.name(&self.table.messages[index], direction);
            self.names.insert(key, name.clone());
            let schema = self.object(index, direction, bound);
            self.components.insert(name.clone(), schema);
            name
        });
        json!({ "$ref": format!("#/components/schemas/{name}") })
    }

    /// The short name of the message; what tells it apart is added only when that is taken.
    fn name(&mut self, message: &Message, direction: Direction) -> String {
        let side = if direction == Direction::Request {
            "Input"
        } else {
            "Output"
        };
        let full: String = message.full_name.split('.').map(capitalized).collect();
        let candidates = [
            message.short_name.clone(),
            format!("{}{side}", message.short_name),
            full,
        ];
        let numbered = (2..).map(|number| format!("{}{side}{number}", message.short_name));
        let name = candidates
            .into_iter()
            .chain(numbered)
            .find(|name| !self.taken.contains(name));
        let name = name.unwrap_or_default();
        self.taken.insert(name.clone());
        name
    }

    fn object(&mut self, index: usize, direction: Direction, bound: &[usize]) -> Value {
        let message = &self.table.messages[index];
        let mut properties = Map::new();
        let mut required = Vec::new();
        for (position, field) in message.fields.iter().enumerate() {
            if !field.in_json() || bound.contains(&position) {
                continue;
            }
            if direction == Direction::Answer || field.rules.required {
                required.push(&*field.json);
            }
            properties.insert((*field.json).to_owned(), self.field(field, direction, false));
        }
        let mut schema = Map::new();
        if !message.comment.is_empty() {
            schema.insert("description".to_owned(), message.comment.clone().into());
        }
        schema.insert("type".to_owned(), "object".into());
        schema.insert("properties".to_owned(), properties.into());
        if !required.is_empty() {
            schema.insert("required".to_owned(), json!(required));
        }
        Value::Object(schema)
    }

    /// A field with its comment, default and nullability. `optional` admits null whatever the field says.
    pub(super) fn field(&mut self, field: &Field, direction: Direction, optional: bool) -> Value {
        let rules = &field.rules;
        let nullable = match direction {
            // `null` for a field that refuses it is told in words: clients may be typed to send it, and get a clear problem.
            Direction::Request => field.accepts_null() || refuses_null(field),
            Direction::Answer => (field.presence && !rules.required && !rules.not_null) || rules.write_only,
        };
        let mut schema = self.value(field, direction);
        // A list of types has null already.
        if (nullable || optional) && !schema["type"].is_array() {
            schema = json!({ "anyOf": [schema, { "type": "null" }] });
        }
        let note = if direction == Direction::Request && refuses_null(field) {
            "`null` is refused."
        } else {
            ""
        };
        let mut schema = described(schema, [field.comment.as_str(), note].join(" ").trim());
        if let Some(schema) = schema.as_object_mut() {
            if direction == Direction::Request
                && let Ok(default) = serde_json::from_str::<Value>(&rules.default_value)
            {
                schema.insert("default".to_owned(), default);
            }
            if rules.write_only {
                schema.insert("writeOnly".to_owned(), true.into());
            }
        }
        schema
    }

    /// What the field holds, without comment and nullability.
    pub(super) fn value(&mut self, field: &Field, direction: Direction) -> Value {
        let single = self.single(field, direction);
        let rules = &field.rules;
        let mut schema = Map::new();
        let (least, most) = match field.label {
            Label::Single => return single,
            Label::Repeated => {
                schema.insert("type".to_owned(), "array".into());
                schema.insert("items".to_owned(), single);
                ("minItems", "maxItems")
            }
            Label::Map(_) => {
                schema.insert("type".to_owned(), "object".into());
                schema.insert("additionalProperties".to_owned(), single);
                ("minProperties", "maxProperties")
            }
        };
        if rules.min_items > 0 {
            schema.insert(least.to_owned(), rules.min_items.into());
        }
        if rules.max_items > 0 {
            schema.insert(most.to_owned(), rules.max_items.into());
        }
        Value::Object(schema)
    }

    fn single(&mut self, field: &Field, direction: Direction) -> Value {
        match field.kind {
            Kind::Int(_) => bounded(field, "integer"),
            Kind::Double | Kind::Float => bounded(field, "number"),
            Kind::Bool => json!({ "type": "boolean" }),
            Kind::String => text(field, direction),
            Kind::Bytes => json!({ "type": "string", "contentEncoding": "base64" }),
            // Every kind by name: a client that generates types from an empty schema makes an object of it.
            Kind::Json(JsonKind::Any) => {
                json!({ "type": ["object", "array", "string", "integer", "number", "boolean", "null"] })
            }
            Kind::Json(JsonKind::Array) => json!({ "type": "array", "items": {} }),
            Kind::Enum(index) => {
                let values: Vec<&str> = self.table.enums[index].values.iter().map(|value| &*value.1).collect();
                json!({ "type": "string", "enum": values })
            }
            Kind::Message(index) => self.message(index, direction),
            Kind::Timestamp => json!({ "type": "string", "format": "date-time" }),
            Kind::Duration => json!({ "type": "string", "pattern": "^-?[0-9]+(\\.[0-9]{1,9})?s$" }),
            Kind::Mask => json!({ "type": "string" }),
            Kind::Json(JsonKind::Object) | Kind::Any => json!({ "type": "object", "additionalProperties": true }),
        }
    }
}

/// Whether the field may be left out but not be null.
fn refuses_null(field: &Field) -> bool {
    field.rules.not_null && !field.rules.required
}

fn text(field: &Field, direction: Direction) -> Value {
    let rules = &field.rules;
    let mut schema = Map::new();
    schema.insert("type".to_owned(), "string".into());
    if !rules.format_name.is_empty() {
        // `url` is this vocabulary's word for a URI of any scheme.
        let name = if rules.format_name == "url" {
            "uri"
        } else {
            rules.format_name.as_str()
        };
        schema.insert("format".to_owned(), name.into());
    }
    if direction == Direction::Request {
        if rules.non_empty {
            schema.insert("minLength".to_owned(), 1.into());
        }
        if rules.max_length > 0 {
            schema.insert("maxLength".to_owned(), rules.max_length.into());
        }
    }
    Value::Object(schema)
}

fn bounded(field: &Field, kind: &str) -> Value {
    let mut schema = Map::new();
    schema.insert("type".to_owned(), kind.into());
    for (key, bound) in [("minimum", field.rules.minimum), ("maximum", field.rules.maximum)] {
        if let Some(bound) = bound {
            schema.insert(key.to_owned(), number(bound));
        }
    }
    Value::Object(schema)
}

/// Whole numbers without `.0`.
fn number(value: f64) -> Value {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "only for whole numbers that floats hold exactly"
    )]
    if value.fract() == 0.0 && value.abs() < 9e15 {
        (value as i64).into()
    } else {
        value.into()
    }
}

fn capitalized(word: &str) -> String {
    let mut letters = word.chars();
    letters
        .next()
        .map(|first| first.to_ascii_uppercase())
        .into_iter()
        .chain(letters)
        .collect()
}

/// Puts a description in front.
pub(super) fn described(schema: Value, comment: &str) -> Value {
    let Value::Object(rest) = schema else { return schema };
    let mut described = Map::new();
    if !comment.is_empty() {
        described.insert("description".to_owned(), comment.into());
    }
    described.extend(rest);
    Value::Object(described)
}
