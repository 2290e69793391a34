//! The OpenAPI 3.1 document of a catalog: one operation per route, one component per message and direction.

mod schema;

use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::{
    catalog::{Access, Credential, Inner},
    options::Hints,
    paths::{self, Segment},
    route::{Body, Route},
    shape::Field,
};

use schema::{Direction, Schemas, described};

/// What the document says of the API as a whole.
#[derive(Clone, Debug, Default)]
pub struct ApiInfo {
    /// Title of the API.
    pub title: String,
    /// Version of the API.
    pub version: String,
    /// Prose about the API, in Markdown.
    pub description: String,
}

/// Name of the security scheme for bearer tokens.
const BEARER: &str = "HTTPBearer";
/// Name of the security scheme for agent tokens.
const AGENT_TOKEN: &str = "AgentToken";

pub(crate) fn document(inner: &Inner, info: &ApiInfo) -> Value {
    let mut schemas = Schemas::new(&inner.table);
    let routes: Vec<&Route> = inner
        .routes
        .iter()
        .filter(|route| route.plan.access.iter().any(|access| *access != Access::Service))
        .collect();
    // Answers first: a message that is used both ways keeps its plain name there.
    let responses: Vec<Value> = routes.iter().map(|route| responses(route, &mut schemas)).collect();
    let mut paths = Map::new();
    let mut tags: Vec<Value> = Vec::new();
    for (route, responses) in routes.iter().zip(responses) {
        for tag in &route.tags {
            let tag = json!({ "name": tag });
            if !tags.contains(&tag) {
                tags.push(tag);
            }
        }
        let operation = operation(route, responses, &mut schemas);
        let path = paths
            .entry(template(&route.template))
            .or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(path) = path {
            path.insert(route.method.as_str().to_ascii_lowercase(), operation);
        }
    }
    let mut about = Map::new();
    about.insert("title".to_owned(), info.title.clone().into());
    about.insert("version".to_owned(), info.version.clone().into());
    if !info.description.is_empty() {
        about.insert("description".to_owned(), info.description.clone().into());
    }
    let mut components = schemas.finish();
    error_schemas(&mut components);
    json!({
        "openapi": "3.1.0",
        "info": about,
        "tags": tags,
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                BEARER: { "type": "http", "scheme": "bearer" },
                AGENT_TOKEN: { "type": "apiKey", "in": "header", "name": "X-Agent-Token" },
            },
        },
    })
}

/// The template as OpenAPI writes it: variables without patterns.
fn template(template: &str) -> String {
    let Ok(segments) = paths::parse(template) else {
        return template.to_owned();
    };
    segments.iter().fold(String::new(), |path, segment| match segment {
        Segment::Literal(text) => format!("{path}/{text}"),
        Segment::Param(name) | Segment::Rest(name) => format!("{path}/{{{name}}}"),
        Segment::Suffixed(name, suffix) => format!("{path}/{{{name}}}{suffix}"),
    })
}

fn operation(route: &Route, responses: Value, schemas: &mut Schemas<'_>) -> Value {
    let mut operation = Map::new();
    let mut put = |key: &str, value: Value| operation.insert(key.to_owned(), value);
    if !route.tags.is_empty() {
        put("tags", json!(route.tags));
    }
    put("summary", summary(&route.plan.name).into());
    if !route.plan.description.is_empty() {
        put("description", route.plan.description.clone().into());
    }
    put("operationId", route.operation_id.clone().into());
    let parameters = parameters(route, schemas);
    if !parameters.is_empty() {
        put("parameters", Value::Array(parameters));
    }
    if let Some(body) = request_body(route, schemas) {
        put("requestBody", body);
    }
    put("responses", responses);
    put("security", security(route));
    if let Some(hints) = &route.hints {
        for (key, value) in extensions(hints) {
            put(key, value);
        }
    }
    Value::Object(operation)
}

/// `ListTasks` -> `List tasks`.
fn summary(name: &str) -> String {
    let mut words = String::new();
    for (at, character) in name.chars().enumerate() {
        if at > 0 && character.is_ascii_uppercase() {
            words.push(' ');
            words.push(character.to_ascii_lowercase());
        } else {
            words.push(character);
        }
    }
    words
}

fn parameters(route: &Route, schemas: &mut Schemas<'_>) -> Vec<Value> {
    let input = route.plan.input.message();
    let mut parameters = Vec::new();
    for field in route.path.iter().filter_map(|position| input.fields.get(*position)) {
        let mut schema = schemas.value(field, Direction::Request);
        if let Some(schema) = schema.as_object_mut() {
            schema.remove("default");
        }
        parameters.push(parameter("path", &field.name, true, &field.comment, schema));
    }
    for field in route.query.iter().filter_map(|position| input.fields.get(*position)) {
        parameters.push(query(field, schemas));
    }
    if let Some(field) = route.resume.and_then(|position| input.fields.get(position)) {
        let schema = json!({ "anyOf": [{ "type": "string" }, { "type": "null" }] });
        parameters.push(parameter("header", "Last-Event-ID", false, &field.comment, schema));
    }
    if route.plan.if_match {
        let schema = json!({ "anyOf": [{ "type": "string" }, { "type": "null" }] });
        let comment = "The etag the caller has seen: the call is refused with 412 when the resource has changed since.";
        parameters.push(parameter("header", "If-Match", false, comment, schema));
    }
    parameters
}

fn query(field: &Field, schemas: &mut Schemas<'_>) -> Value {
    let required = field.rules.required;
    if !field.rules.comma_separated {
        let mut schema = schemas.field(field, Direction::Request, false);
        if let Some(schema) = schema.as_object_mut() {
            schema.remove("description");
        }
        return parameter("query", &field.json, required, &field.comment, schema);
    }
    let note = "Several values are separated by commas.";
    let comment = [field.comment.as_str(), note].join(" ");
    let schema = if field.accepts_null() {
        json!({ "anyOf": [{ "type": "string" }, { "type": "null" }] })
    } else {
        json!({ "type": "string" })
    };
    parameter("query", &field.json, required, comment.trim(), schema)
}

fn parameter(place: &str, name: &str, required: bool, comment: &str, schema: Value) -> Value {
    let mut parameter = Map::new();
    parameter.insert("name".to_owned(), name.into());
    parameter.insert("in".to_owned(), place.into());
    parameter.insert("required".to_owned(), required.into());
    if !comment.is_empty() {
        parameter.insert("description".to_owned(), comment.into());
    }
    parameter.insert("schema".to_owned(), schema);
    Value::Object(parameter)
}

fn request_body(route: &Route, schemas: &mut Schemas<'_>) -> Option<Value> {
    let input = &route.plan.input;
    let message = input.message();
    let content = match route.body {
        Body::None => return None,
        Body::Raw(position) => {
            let comment = message.fields.get(position).map_or("", |field| field.comment.as_str());
            json!({ "*/*": { "schema": described(json!({}), comment) } })
        }
        Body::Field(position) => {
            let schema = schemas.field(message.fields.get(position)?, Direction::Request, !route.body_required);
            json!({ "application/json": { "schema": schema } })
        }
        Body::All => {
            let visible = |position: &usize| message.fields.get(*position).is_some_and(Field::in_json);
            let (shown, bound): (Vec<usize>, Vec<usize>) = (0..message.fields.len())
                .filter(visible)
                .partition(|position| route.in_body(*position));
            if shown.is_empty() {
                return None;
            }
            json!({ "application/json": { "schema": schemas.body(input.index, &bound) } })
        }
    };
    Some(json!({ "required": route.body_required, "content": content }))
}

fn responses(route: &Route, schemas: &mut Schemas<'_>) -> Value {
    let output = &route.plan.output;
    let mut responses = Map::new();
    let reason = StatusCode::from_u16(route.status)
        .ok()
        .and_then(|status| status.canonical_reason());
    let mut success = Map::new();
    success.insert("description".to_owned(), reason.unwrap_or("Success").into());
    if !route.headers.is_empty() {
        let mut headers = Map::new();
        for (position, name) in &route.headers {
            if let Some(field) = output.message().fields.get(*position) {
                let schema = schemas.value(field, Direction::Answer);
                headers.insert(
                    header_name(name.as_str()),
                    described(json!({ "schema": schema }), &field.comment),
                );
            }
        }
        success.insert("headers".to_owned(), headers.into());
    }
    if route.status != 204 {
        let schema = match route
            .response
            .and_then(|position| output.message().fields.get(position))
        {
            Some(field) => schemas.field(field, Direction::Answer, false),
            None => schemas.message(output.index, Direction::Answer),
        };
        let content = if route.answers_file() {
            json!({ "*/*": { "schema": { "type": "string", "format": "binary" } } })
        } else if route.plan.server_streaming {
            if let Some(event) = &route.event {
                let text = format!("Server-sent events named `{event}`; `data` is the JSON described here.");
                success.insert("description".to_owned(), text.into());
            }
            json!({ "text/event-stream": { "schema": schema } })
        } else {
            json!({ "application/json": { "schema": schema } })
        };
        success.insert("content".to_owned(), content);
    }
    responses.insert(route.status.to_string(), success.into());
    for (status, text) in errors(route) {
        let name = if status == 422 {
            "HTTPValidationError"
        } else {
            "ErrorResponse"
        };
        let schema = json!({ "$ref": format!("#/components/schemas/{name}") });
        // Well-formed fields can still be refused together: with a sentence instead of a list.
        let schema = if status == 422 {
            json!({ "anyOf": [schema, { "$ref": "#/components/schemas/ErrorResponse" }] })
        } else {
            schema
        };
        let content = json!({ "application/json": { "schema": schema } });
        responses.insert(status.to_string(), json!({ "description": text, "content": content }));
    }
    let content = json!({ "application/json": { "schema": { "$ref": "#/components/schemas/ErrorResponse" } } });
    let text = "Anything else: the request is too large, or something it needs is away for now.";
    responses.insert("default".to_owned(), json!({ "description": text, "content": content }));
    Value::Object(responses)
}

/// `x-total-count` -> `X-Total-Count`.
fn header_name(name: &str) -> String {
    let words = name.split('-').map(|word| {
        let mut letters = word.chars();
        letters
            .next()
            .map(|first| first.to_ascii_uppercase())
            .into_iter()
            .chain(letters)
            .collect::<String>()
    });
    words.collect::<Vec<_>>().join("-")
}

/// The error statuses a route can answer, as far as its description tells.
fn errors(route: &Route) -> Vec<(u16, &'static str)> {
    let public = route.plan.access.contains(&Access::Public);
    let mut errors = Vec::new();
    if !public {
        errors.push((401, "The credential is missing or not valid."));
        errors.push((403, "The caller may not do this."));
    }
    if !route.path.is_empty() || route.method != http::Method::GET || !route.query.is_empty() {
        errors.push((404, "Something the request names does not exist."));
    }
    if route.method != http::Method::GET {
        errors.push((409, "The state of the resource does not allow this."));
    }
    if route.plan.if_match {
        errors.push((412, "The resource has changed since the etag in `If-Match`."));
    }
    errors.push((422, "Something in the request is not valid."));
    errors.push((429, "Too many requests; `Retry-After` says when to come back."));
    errors
}

fn security(route: &Route) -> Value {
    if route.plan.access.contains(&Access::Public) {
        return json!([]);
    }
    match route.credential {
        Credential::User => json!([{ BEARER: [] }]),
        Credential::Agent | Credential::Any => json!([{ AGENT_TOKEN: [] }, { BEARER: [] }]),
    }
}

fn extensions(hints: &Hints) -> Vec<(&'static str, Value)> {
    let examples: Vec<Value> = hints
        .routing_policy_examples
        .iter()
        .map(|example| json!({ "input": example.input, "decision": example.decision }))
        .collect();
    let all = [
        ("x-llm-intent", json!(hints.intent)),
        ("x-when-to-use", json!(hints.when_to_use)),
        ("x-when-not-to-use", json!(hints.when_not_to_use)),
        ("x-required-actor", json!(hints.required_actor)),
        ("x-prerequisites", json!(hints.prerequisites)),
        ("x-side-effects", json!(hints.side_effects)),
        ("x-negative-guidance", json!(hints.negative_guidance)),
        ("x-routing-policy", json!(hints.routing_policy)),
        ("x-routing-policy-examples", examples.into()),
    ];
    all.into_iter()
        .filter(|(_, value)| *value != json!("") && *value != json!([]))
        .collect()
}

fn error_schemas(components: &mut Map<String, Value>) {
    let text = json!({ "type": "string" });
    let maybe_text = json!({ "anyOf": [{ "type": "string" }, { "type": "null" }] });
    components.insert(
        "ValidationError".to_owned(),
        json!({
            "description": "One thing that is wrong with the request.",
            "type": "object",
            "properties": {
                "type": described(text.clone(), "Stable name of the rule."),
                "loc": {
                    "description": "Where: `body`, `query`, `path` or `header`, then field names and list positions.",
                    "type": "array",
                    "items": { "anyOf": [{ "type": "string" }, { "type": "integer" }] },
                },
                "msg": described(text.clone(), "What is wrong, for people."),
                "input": { "description": "What was given." },
                "ctx": { "description": "Parameters of the message.", "type": "object", "additionalProperties": true },
            },
            "required": ["type", "loc", "msg"],
        }),
    );
    components.insert(
        "HTTPValidationError".to_owned(),
        json!({
            "description": "The request is not valid; or its values are not acceptable, then `detail` is a text or object.",
            "type": "object",
            "properties": {
                "detail": {
                    "description": "Everything that is wrong.",
                    "anyOf": [
                        { "type": "array", "items": { "$ref": "#/components/schemas/ValidationError" } },
                        { "type": "string" },
                        { "$ref": "#/components/schemas/ErrorDetail" },
                    ],
                },
                "request_id": described(maybe_text.clone(), "Id of the request, as in `X-Request-Id`."),
            },
            "required": ["detail"],
        }),
    );
    components.insert(
        "ErrorDetail".to_owned(),
        json!({
            "description": "What went wrong, for programs.",
            "type": "object",
            "properties": {
                "message": described(text.clone(), "What went wrong, for people."),
                "code": described(maybe_text.clone(), "Stable name of the error."),
            },
            "required": ["message"],
            "additionalProperties": true,
        }),
    );
    components.insert(
        "ErrorResponse".to_owned(),
        json!({
            "description": "The request failed.",
            "type": "object",
            "properties": {
                "detail": {
                    "description": "What went wrong.",
                    "anyOf": [{ "type": "string" }, { "$ref": "#/components/schemas/ErrorDetail" }],
                },
                "request_id": described(maybe_text, "Id of the request, as in `X-Request-Id`."),
            },
            "required": ["detail"],
        }),
    );
}
