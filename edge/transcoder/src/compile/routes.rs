//! Methods and their routes.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use http::{Method, StatusCode};
use prost_reflect::MethodDescriptor;

use super::{error, messages::upper_snake};
use crate::{
    catalog::{Access, CompileError, Credential, MethodPlan},
    options::{self, HttpRule},
    paths::{self, Segment, Tree},
    route::{Body, Route},
    shape::{Kind, Label, Message, Shape},
};

/// The methods and routes being collected.
#[derive(Default)]
pub(super) struct Builder {
    pub(super) methods: HashMap<Arc<str>, Arc<MethodPlan>>,
    pub(super) order: Vec<Arc<str>>,
    pub(super) routes: Vec<Route>,
    pub(super) tree: Tree,
    ids: HashSet<String>,
}

impl Builder {
    pub(super) fn method(
        &mut self,
        descriptor: &MethodDescriptor,
        options: options::MethodOptions,
        input: Arc<Shape>,
        output: Arc<Shape>,
        description: String,
    ) -> Result<(), CompileError> {
        let place = descriptor.full_name();
        let method = options.method.clone().unwrap_or_default();
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
            if_match: method.if_match,
            input,
            output,
            mutates: mutates(descriptor, &options),
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
            Segment::Param(name) | Segment::Suffixed(name, _) | Segment::Rest(name) => Some(name),
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

/// Verbs that only read, for methods without a route.
const READS: [&str; 9] = [
    "Get", "List", "Watch", "Search", "Lookup", "Resolve", "Verify", "Check", "Explain",
];

fn mutates(descriptor: &MethodDescriptor, options: &options::MethodOptions) -> bool {
    if descriptor.is_server_streaming() || descriptor.is_client_streaming() || options.idempotency_level == 1 {
        return false;
    }
    match &options.http {
        Some(rule) => std::iter::once(rule)
            .chain(&rule.additional_bindings)
            .any(|rule| rule.get.is_none()),
        None => !READS.iter().any(|verb| descriptor.name().starts_with(verb)),
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
