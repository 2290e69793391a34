//! Descriptors to plans, once, at start. Everything that cannot be served is refused here, by name.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use http::{HeaderName, Method, StatusCode};
use prost::Message as _;
use prost_reflect::{
    DescriptorPool, EnumDescriptor, FieldDescriptor, FileDescriptor, Kind as Type, MessageDescriptor, MethodDescriptor,
};

use crate::{
    catalog::{Access, CompileError, Credential, Inner, MethodPlan},
    options::{self, HttpRule},
    paths::{self, Segment, Tree},
    route::{Body, Route},
    shape::{Enumeration, Field, Format, Int, JsonKind, Kind, Label, Message, NO_FIELD, Rules, Shape, Table},
};

/// Field numbers below this are looked up directly.
const DENSE: u32 = 512;

fn error(place: &str, what: impl Into<String>) -> CompileError {
    CompileError {
        place: place.to_owned(),
        what: what.into(),
    }
}

pub(crate) fn catalog(descriptor_set: &[u8]) -> Result<Inner, CompileError> {
    let pool = DescriptorPool::decode(descriptor_set).map_err(|cause| error("descriptor set", cause.to_string()))?;
    let mut compiler = Compiler::new(&pool);
    for message in pool
        .all_messages()
        .filter(|message| !foreign(message.package_name()) && !message.is_map_entry())
    {
        compiler.message(&message)?;
    }
    let mut planned = Vec::new();
    for service in pool.services().filter(|service| !foreign(service.package_name())) {
        for method in service.methods() {
            let options = options::MethodOptions::decode(method.options().encode_to_vec().as_slice())
                .map_err(|cause| error(method.full_name(), cause.to_string()))?;
            let input = compiler.message(&method.input())?;
            let output = compiler.message(&method.output())?;
            planned.push((method, options, input, output));
        }
    }
    let Compiler {
        messages,
        enums,
        by_name,
        comments,
        ..
    } = compiler;
    let table = Arc::new(Table {
        messages: messages.into_iter().flatten().collect(),
        enums,
        by_name,
    });
    let mut builder = Builder::default();
    for (method, options, input, output) in planned {
        let description = comments.of(&method.parent_file(), method.path());
        let shape = |index| {
            Arc::new(Shape {
                table: table.clone(),
                index,
            })
        };
        builder.method(&method, options, shape(input), shape(output), description)?;
    }
    let Builder {
        methods,
        order,
        routes,
        tree,
        ..
    } = builder;
    Ok(Inner {
        table,
        methods,
        order,
        routes,
        tree,
    })
}

/// Packages that belong to protobuf and gRPC themselves.
fn foreign(package: &str) -> bool {
    ["google", "grpc"].iter().any(|root| {
        package
            .strip_prefix(root)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    })
}

/// Comments by file and path into its descriptor.
struct Comments(HashMap<String, HashMap<Vec<i32>, String>>);

impl Comments {
    fn new(pool: &DescriptorPool) -> Self {
        let file = |file: FileDescriptor| {
            let locations = file
                .file_descriptor_proto()
                .source_code_info
                .iter()
                .flat_map(|info| &info.location);
            let comments = locations.filter_map(|location| {
                let text = location
                    .leading_comments
                    .as_ref()
                    .or(location.trailing_comments.as_ref())?;
                Some((location.path.clone(), tidy(text)))
            });
            (file.name().to_owned(), comments.collect())
        };
        Self(pool.files().map(file).collect())
    }

    fn of(&self, file: &FileDescriptor, path: &[i32]) -> String {
        self.0
            .get(file.name())
            .and_then(|comments| comments.get(path))
            .cloned()
            .unwrap_or_default()
    }
}

/// Comment lines without the blank after `//`; paragraphs stay, lines within them are joined.
fn tidy(text: &str) -> String {
    let mut tidy = String::new();
    let mut fresh = true;
    for line in text.trim().lines() {
        let line = line.trim();
        if line.is_empty() {
            tidy.push_str("\n\n");
            fresh = true;
        } else if !line.starts_with("buf:") {
            if !fresh {
                tidy.push(if line.starts_with("- ") { '\n' } else { ' ' });
            }
            tidy.push_str(line);
            fresh = false;
        }
    }
    tidy.trim().to_owned()
}

struct Compiler {
    /// `None` while a message is being compiled: it may refer to itself.
    messages: Vec<Option<Message>>,
    enums: Vec<Enumeration>,
    by_name: HashMap<String, usize>,
    enum_by_name: HashMap<String, usize>,
    comments: Comments,
}

impl Compiler {
    fn new(pool: &DescriptorPool) -> Self {
        Self {
            messages: Vec::new(),
            enums: Vec::new(),
            by_name: HashMap::new(),
            enum_by_name: HashMap::new(),
            comments: Comments::new(pool),
        }
    }

    fn message(&mut self, descriptor: &MessageDescriptor) -> Result<usize, CompileError> {
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
        let list = options.message.is_some_and(|options| options.list);
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
fn upper_snake(name: &str) -> String {
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

/// The methods and routes being collected.
#[derive(Default)]
struct Builder {
    methods: HashMap<Arc<str>, Arc<MethodPlan>>,
    order: Vec<Arc<str>>,
    routes: Vec<Route>,
    tree: Tree,
    ids: HashSet<String>,
}

impl Builder {
    fn method(
        &mut self,
        descriptor: &MethodDescriptor,
        options: options::MethodOptions,
        input: Arc<Shape>,
        output: Arc<Shape>,
        description: String,
    ) -> Result<(), CompileError> {
        let place = descriptor.full_name();
        let method = options.method.unwrap_or_default();
        let access: Vec<Access> = method
            .access
            .iter()
            .map(|access| self::access(*access))
            .collect::<Option<_>>()
            .ok_or_else(|| error(place, "an unknown value of option `access`"))?;
        if access.is_empty() {
            return Err(error(place, "option `access` is missing: say who may call"));
        }
        let service = descriptor.parent_service().full_name().to_owned();
        let path: Arc<str> = format!("/{service}/{}", descriptor.name()).into();
        let plan = Arc::new(MethodPlan {
            path: path.clone(),
            service,
            name: descriptor.name().to_owned(),
            access,
            server_streaming: descriptor.is_server_streaming(),
            client_streaming: descriptor.is_client_streaming(),
            input,
            output,
            description,
        });
        self.methods.insert(path.clone(), plan.clone());
        self.order.push(path);
        let Some(rule) = options.http else {
            if method.operations.is_empty() {
                return Ok(());
            }
            return Err(error(place, "`operations` without `google.api.http`"));
        };
        let bindings: Vec<&HttpRule> = std::iter::once(&rule).chain(&rule.additional_bindings).collect();
        if method.operations.len() > bindings.len() {
            return Err(error(place, "there are more `operations` than bindings"));
        }
        for (order, rule) in bindings.into_iter().enumerate() {
            let operation = method.operations.get(order).cloned().unwrap_or_default();
            self.route(place, &plan, &method, rule, operation)?;
        }
        Ok(())
    }

    fn route(
        &mut self,
        place: &str,
        plan: &Arc<MethodPlan>,
        options: &options::Method,
        rule: &HttpRule,
        operation: options::Operation,
    ) -> Result<(), CompileError> {
        if plan.client_streaming {
            return Err(error(place, "a client-streaming method cannot have a REST route"));
        }
        let (method, template) = verb(rule).ok_or_else(|| error(place, "a binding needs one method and path"))?;
        let segments = paths::parse(&template).map_err(|what| error(place, format!("{template}: {what}")))?;
        let input = plan.input.message();
        let output = plan.output.message();
        let mut path = Vec::new();
        for name in segments.iter().filter_map(|segment| match segment {
            Segment::Param(name) | Segment::Rest(name) => Some(name),
            Segment::Literal(_) => None,
        }) {
            let position = input.named(name).ok_or_else(|| {
                error(
                    place,
                    format!("path variable `{name}` is no field of {}", input.full_name),
                )
            })?;
            let field = &input.fields[position];
            if field.label != Label::Single
                || field.kind.is_message()
                || matches!(field.kind, Kind::Bytes | Kind::Json(_))
            {
                return Err(error(place, format!("path variable `{name}` must be a scalar field")));
            }
            if path.contains(&position) {
                return Err(error(place, format!("path variable `{name}` occurs twice")));
            }
            path.push(position);
        }
        let body = body(place, rule, input, &path)?;
        let mask = input
            .named("update_mask")
            .filter(|at| input.fields[*at].kind == Kind::Mask && body != Body::None);
        let resume = input.fields.iter().position(|field| field.rules.event_id);
        let in_query = |position: &usize| {
            let field = &input.fields[*position];
            let scalar = !field.kind.is_message() || matches!(field.kind, Kind::Timestamp | Kind::Duration);
            let bound = path.contains(position) || body == Body::Field(*position) || body == Body::Raw(*position);
            let declared = body != Body::All || field.rules.query;
            scalar && !bound && declared && field.in_json() && !matches!(field.label, Label::Map(_))
        };
        let query = (0..input.fields.len()).filter(in_query).collect();
        let response = match rule.response_body.as_str() {
            "" => None,
            name => Some(output.named(name).ok_or_else(|| {
                error(
                    place,
                    format!("`response_body: \"{name}\"` is no field of {}", output.full_name),
                )
            })?),
        };
        let status = match u16::try_from(options.status) {
            Ok(0) => 200,
            Ok(status) if StatusCode::from_u16(status).is_ok_and(|status| status.is_success()) => status,
            _ => {
                return Err(error(
                    place,
                    format!("`status: {}` is no success status", options.status),
                ));
            }
        };
        let credential = credential(&operation, &template, &plan.access)
            .ok_or_else(|| error(place, "an unknown value of option `credential`"))?;
        let operation_id = if operation.id.is_empty() {
            default_id(plan, &template, &method)
        } else {
            operation.id
        };
        if !self.ids.insert(operation_id.clone()) {
            return Err(error(place, format!("operation id `{operation_id}` is taken")));
        }
        let mut route = Route {
            credential,
            status,
            event: (!options.event.is_empty()).then(|| options.event.clone()),
            operation_id,
            tags: operation.tags,
            hints: operation.hints,
            path,
            query,
            body,
            body_required: false,
            mask,
            resume,
            response,
            headers: output
                .fields
                .iter()
                .enumerate()
                .filter_map(|(at, field)| field.header.clone().map(|name| (at, name)))
                .collect(),
            event_id: output.fields.iter().position(|field| field.rules.event_id),
            plan: plan.clone(),
            method,
            template,
        };
        route.body_required = body_required(&route);
        if let Err(other) = self.tree.insert(&segments, &route.method, self.routes.len()) {
            let other = self.routes.get(other).map_or("", |route| &*route.plan.path);
            return Err(error(
                place,
                format!("{} {} is already served by {other}", route.method, route.template),
            ));
        }
        self.routes.push(route);
        Ok(())
    }
}

fn body(place: &str, rule: &HttpRule, input: &Message, path: &[usize]) -> Result<Body, CompileError> {
    match rule.body.as_str() {
        "" => Ok(Body::None),
        "*" => Ok(Body::All),
        name => {
            let position = input
                .named(name)
                .filter(|position| !path.contains(position))
                .ok_or_else(|| {
                    error(
                        place,
                        format!("`body: \"{name}\"` is no free field of {}", input.full_name),
                    )
                })?;
            let field = &input.fields[position];
            let raw = field.kind == Kind::Bytes && field.label == Label::Single;
            Ok(if raw {
                Body::Raw(position)
            } else {
                Body::Field(position)
            })
        }
    }
}

/// Whether an empty body leaves out something required.
fn body_required(route: &Route) -> bool {
    let input = route.plan.input.message();
    match route.body {
        Body::None | Body::Raw(_) => false,
        Body::All => {
            let mut fields = input.fields.iter().enumerate();
            fields.any(|(at, field)| field.rules.required && field.in_json() && route.in_body(at))
        }
        Body::Field(position) => {
            let field = &input.fields[position];
            let inner = match field.kind {
                Kind::Message(index) if field.label == Label::Single => {
                    route.plan.input.table.messages[index].has_required
                }
                _ => false,
            };
            field.rules.required || inner
        }
    }
}

fn verb(rule: &HttpRule) -> Option<(Method, String)> {
    let standard = [
        (Method::GET, &rule.get),
        (Method::PUT, &rule.put),
        (Method::POST, &rule.post),
        (Method::DELETE, &rule.delete),
        (Method::PATCH, &rule.patch),
    ];
    for (method, path) in standard {
        if let Some(path) = path {
            return Some((method, path.clone()));
        }
    }
    let custom = rule.custom.as_ref()?;
    Some((custom.kind.parse().ok()?, custom.path.clone()))
}

fn access(value: i32) -> Option<Access> {
    Some(match value {
        1 => Access::Public,
        2 => Access::User,
        3 => Access::Member,
        4 => Access::Admin,
        5 => Access::Owner,
        6 => Access::Agent,
        7 => Access::Lead,
        8 => Access::Main,
        9 => Access::Service,
        _ => return None,
    })
}

/// The rule of `missioncontrol.options.v1.Credential` for the unspecified value.
fn credential(operation: &options::Operation, template: &str, access: &[Access]) -> Option<Credential> {
    Some(match operation.credential {
        0 if template.starts_with("/api/v1/agent/") => Credential::Agent,
        0 if access.iter().any(|access| access.is_agent()) => Credential::Any,
        0 | 1 => Credential::User,
        2 => Credential::Agent,
        3 => Credential::Any,
        _ => return None,
    })
}

/// `create_task_api_v1_boards__board_id__tasks_post`.
fn default_id(plan: &MethodPlan, template: &str, method: &Method) -> String {
    let name = upper_snake(&plan.name).to_ascii_lowercase();
    let path: String = template
        .chars()
        .map(|c| if c.is_alphanumeric() { c } else { '_' })
        .collect();
    format!("{name}{path}_{}", method.as_str().to_ascii_lowercase())
}
