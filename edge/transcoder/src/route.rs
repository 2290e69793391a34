//! One REST route: how a request becomes a message and a message an answer.

use std::{borrow::Cow, sync::Arc};

use http::{HeaderName, Method};

use crate::{
    catalog::{Credential, MethodPlan, PathParams},
    json::{self, Node, Value},
    options::Hints,
    problem::{Findings, Loc, Problem},
    read::{self, MISSING, MODEL_TYPE, Reader},
    shape::{Field, Kind, Label, Message, Slot},
    wire::{self, DecodeError},
    write::{self, Writer},
};

/// Where the JSON body goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    None,
    /// The body's keys are the message's fields that the path does not bind.
    All,
    /// The body is this field.
    Field(usize),
    /// The body is this `bytes` field as it came, whatever its content type.
    Raw(usize),
}

/// One REST route of a method.
#[derive(Debug)]
pub struct Route {
    /// HTTP method.
    pub method: Method,
    /// Path with `{field}` variables.
    pub template: String,
    /// The method that serves the route.
    pub plan: Arc<MethodPlan>,
    /// Which credential the route reads.
    pub credential: Credential,
    /// HTTP status of success.
    pub status: u16,
    /// SSE event name, for server-streaming methods.
    pub event: Option<String>,
    /// Stable id of the operation.
    pub operation_id: String,
    /// Tags of the operation.
    pub tags: Vec<String>,
    pub(crate) hints: Option<Hints>,
    /// Fields bound by the path, in the order of the template.
    pub(crate) path: Vec<usize>,
    /// Fields read from the query.
    pub(crate) query: Vec<usize>,
    pub(crate) body: Body,
    /// Whether an empty body lacks something.
    pub(crate) body_required: bool,
    /// The `update_mask` field.
    pub(crate) mask: Option<usize>,
    /// The request field filled from `Last-Event-ID`.
    pub(crate) resume: Option<usize>,
    /// The answer's field that is the whole body.
    pub(crate) response: Option<usize>,
    /// The answer's fields that travel as headers.
    pub(crate) headers: Vec<(usize, HeaderName)>,
    /// The answer's field that is the event id.
    pub(crate) event_id: Option<usize>,
}

/// A request body after its first look.
enum Document<'a> {
    Missing,
    Json(Node<'a>),
    /// Not declared as JSON.
    Text(Cow<'a, str>),
}

impl Route {
    /// Whether the body is taken as it comes, of any content type.
    pub fn takes_raw(&self) -> bool {
        matches!(self.body, Body::Raw(_))
    }

    /// Whether the stream of the method is a file: its messages carry the media type (field 1), the name (field 2) and the bytes (field 3).
    pub fn answers_file(&self) -> bool {
        self.plan.server_streaming && self.plan.output.message().file
    }

    /// Encodes the request message, or says everything that is wrong with path, query and body at once.
    ///
    /// `query` is the raw query string, `last_event_id` the header of that name; it fills the field with option `event_id`.
    /// A body whose content type is not JSON is refused, unless the route takes raw bytes; without a content type it is JSON.
    pub fn read(
        &self,
        params: &PathParams,
        query: Option<&str>,
        content_type: Option<&str>,
        body: &[u8],
        last_event_id: Option<&str>,
    ) -> Result<Vec<u8>, Vec<Problem>> {
        let input = self.plan.input.message();
        // Malformed JSON is reported alone: nothing else can be said about such a request.
        let document = match self.body {
            Body::All | Body::Field(_) => document(content_type, body)?,
            Body::None | Body::Raw(_) => Document::Missing,
        };
        let mut out = Vec::with_capacity(body.len() + 64);
        let mut found = Findings::at("path");
        let mut reader = Reader {
            table: &self.plan.input.table,
            found: &mut found,
        };
        for (position, value) in self.path.iter().zip(&params.values) {
            if let Some(field) = input.fields.get(*position) {
                reader.found.loc.push(Loc::Field(field.name.clone()));
                reader.field(field, &Node::text(value.as_str()), &mut out);
                reader.found.loc.pop();
            }
        }
        reader.found.loc = vec![Loc::Name("query".into())];
        self.read_query(input, query.unwrap_or_default(), &mut reader, &mut out);
        if let Some((field, id)) = self
            .resume
            .and_then(|position| input.fields.get(position))
            .zip(last_event_id)
            && !id.is_empty()
        {
            reader.found.loc = vec![Loc::Name("header".into()), Loc::Name("last-event-id".into())];
            reader.field(field, &Node::text(id), &mut out);
        }
        reader.found.loc = vec![Loc::Name("body".into())];
        self.read_body(input, &document, body, &mut reader, &mut out);
        if found.problems.is_empty() {
            Ok(out)
        } else {
            Err(found.problems)
        }
    }

    fn read_query(&self, input: &Message, query: &str, reader: &mut Reader<'_, '_>, out: &mut Vec<u8>) {
        if self.query.is_empty() {
            return;
        }
        let pairs: Vec<_> = url::form_urlencoded::parse(query.as_bytes()).collect();
        for field in self.query.iter().filter_map(|position| input.fields.get(*position)) {
            let mut values = pairs
                .iter()
                .filter(|(key, _)| **key == *field.json)
                .map(|(_, value)| &**value)
                .peekable();
            reader.found.loc.push(Loc::Field(field.json.clone()));
            if values.peek().is_none() {
                if field.rules.required {
                    reader.found.add(MISSING, || None);
                }
            } else if field.label == Label::Single {
                if let Some(last) = values.last() {
                    reader.field(field, &Node::text(last), out);
                }
            } else {
                let items = if field.rules.comma_separated {
                    let parts = values.flat_map(|value| value.split(',')).map(str::trim);
                    parts.filter(|part| !part.is_empty()).map(Node::text).collect()
                } else {
                    values.map(Node::text).collect()
                };
                reader.field(
                    field,
                    &Node {
                        raw: "",
                        value: Value::Array(items),
                    },
                    out,
                );
            }
            reader.found.loc.pop();
        }
    }

    fn read_body(
        &self,
        input: &Message,
        document: &Document<'_>,
        raw: &[u8],
        reader: &mut Reader<'_, '_>,
        out: &mut Vec<u8>,
    ) {
        let target = match self.body {
            Body::Field(position) | Body::Raw(position) => input.fields.get(position),
            Body::None | Body::All => None,
        };
        match (document, self.body) {
            (_, Body::None) => return,
            (_, Body::Raw(_)) => {
                if let Some(field) = target.filter(|field| field.presence || !raw.is_empty()) {
                    wire::put_tag(out, field.number, wire::LEN);
                    wire::put_bytes(out, raw);
                }
                return;
            }
            (Document::Text(text), _) => reader.found.add(MODEL_TYPE, || Node::text(&**text).echo()),
            (Document::Missing, _) if self.body_required => reader.found.add(MISSING, || None),
            (Document::Missing, Body::Field(_)) => {
                // An empty body is an empty message, not no message.
                if let Some(field) = target.filter(|field| field.kind.is_message() && field.label == Label::Single) {
                    wire::put_tag(out, field.number, wire::LEN);
                    wire::put_bytes(out, &[]);
                }
            }
            (Document::Missing, Body::All) => {}
            (Document::Json(node), Body::All) => {
                reader.message(input, node, &|position| self.in_body(position), out);
            }
            (Document::Json(node), Body::Field(_)) => {
                if let Some(field) = target {
                    reader.field(field, node, out);
                }
            }
        }
        if let Some(field) = self.mask.and_then(|position| input.fields.get(position)) {
            let message = match target.map(|field| field.kind) {
                Some(Kind::Message(index)) => reader.table.messages.get(index),
                _ => Some(input),
            };
            let names = message
                .map(|message| self.present(message, document))
                .unwrap_or_default();
            wire::put_tag(out, field.number, wire::LEN);
            let start = out.len();
            read::mask(names.into_iter(), out);
            wire::close(out, start);
        }
    }

    /// With `body: "*"`: whether the body may carry this field.
    pub(crate) fn in_body(&self, position: usize) -> bool {
        let elsewhere = self.path.contains(&position) || self.query.contains(&position);
        !elsewhere && self.mask != Some(position) && self.resume != Some(position)
    }

    /// Names of the fields whose keys a body has.
    fn present<'m>(&self, message: &'m Message, document: &Document<'_>) -> Vec<&'m str> {
        let Document::Json(Node {
            value: Value::Object(entries),
            ..
        }) = document
        else {
            return Vec::new();
        };
        let mut given = vec![false; message.fields.len()];
        for (key, _) in entries {
            if let Some(position) = message.by_json.get(&**key) {
                given[*position] = self.body != Body::All || self.in_body(*position);
            }
        }
        let fields = message.fields.iter().zip(given);
        fields
            .filter(|(field, given)| *given && field.in_json())
            .map(|(field, _)| &*field.name)
            .collect()
    }

    /// Appends the JSON of an answer; fields with option `header` go to `headers` instead. A 204 answer has no body.
    pub fn write(
        &self,
        wire: &[u8],
        out: &mut Vec<u8>,
        headers: &mut Vec<(HeaderName, String)>,
    ) -> Result<(), DecodeError> {
        if self.status == 204 {
            return Ok(());
        }
        let output = self.plan.output.message();
        let mut writer = Writer::new(&self.plan.output.table);
        if !self.headers.is_empty() {
            let base = writer.open(output, wire, 0)?;
            for (position, name) in &self.headers {
                if let Some(text) = plain(&mut writer, &output.fields[*position], base + position, wire)? {
                    headers.push((name.clone(), text));
                }
            }
        }
        self.write_with(&mut writer, output, wire, out)
    }

    /// Appends the JSON of one streamed message; answers its event id when it has one.
    pub fn write_event(&self, wire: &[u8], out: &mut Vec<u8>) -> Result<Option<String>, DecodeError> {
        let output = self.plan.output.message();
        let mut writer = Writer::new(&self.plan.output.table);
        let mut id = None;
        if let Some(position) = self.event_id {
            let base = writer.open(output, wire, 0)?;
            id = plain(&mut writer, &output.fields[position], base + position, wire)?;
        }
        self.write_with(&mut writer, output, wire, out)?;
        Ok(id.filter(|id| !id.is_empty()))
    }

    fn write_with(
        &self,
        writer: &mut Writer<'_>,
        output: &Message,
        wire: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), DecodeError> {
        match self.response {
            Some(position) => {
                let base = writer.open(output, wire, 0)?;
                let slot = writer.slot(base + position);
                writer.field(&output.fields[position], slot, wire, out, 0)
            }
            None => writer.message(output, wire, out, 0),
        }
    }
}

/// The text of a scalar field without quotes; `None` when it is unset.
fn plain(writer: &mut Writer<'_>, field: &Field, slot: usize, wire: &[u8]) -> Result<Option<String>, DecodeError> {
    let slot: Slot = writer.slot(slot);
    if slot.count == 0 && (field.presence || field.kind == Kind::String) {
        return Ok(None);
    }
    if field.kind == Kind::String {
        return write::utf8(slot.raw, wire).map(|text| Some(text.to_owned()));
    }
    let mut text = Vec::new();
    writer.field(field, slot, wire, &mut text, 0)?;
    Ok(String::from_utf8(text)
        .ok()
        .map(|text| text.trim_matches('"').to_owned()))
}

fn document<'a>(content_type: Option<&str>, body: &'a [u8]) -> Result<Document<'a>, Vec<Problem>> {
    if body.is_empty() {
        return Ok(Document::Missing);
    }
    if !content_type.is_none_or(is_json) {
        return Ok(Document::Text(String::from_utf8_lossy(body)));
    }
    match json::parse(body) {
        Ok(Some(node)) if !node.is_null() => Ok(Document::Json(node)),
        Ok(_) => Ok(Document::Missing),
        Err(error) => Err(vec![error.problem(body)]),
    }
}

/// `application/json` and `application/*+json`, whatever the parameters.
fn is_json(content_type: &str) -> bool {
    let essence = content_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    match essence.strip_prefix("application/") {
        Some(subtype) => subtype == "json" || subtype.ends_with("+json"),
        None => essence.is_empty(),
    }
}
