//! The public table: methods, routes and how to find them.

use std::{collections::HashMap, sync::Arc};

use http::Method;

use crate::{
    compile,
    openapi::{self, ApiInfo},
    paths::Tree,
    route::Route,
    shape::{Shape, Table},
};

/// Why a descriptor set cannot be served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {what}")]
pub struct CompileError {
    /// The method, message or field, by full name.
    pub place: String,
    /// What is wrong, and what to do.
    pub what: String,
}

/// Kinds of callers a method admits, as the `access` option lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// Nobody is checked.
    Public,
    /// A signed-in person.
    User,
    /// A person with a membership in the active organization.
    Member,
    /// A member whose role is owner or admin.
    Admin,
    /// A member whose role is owner.
    Owner,
    /// Any agent.
    Agent,
    /// An agent that leads its board.
    Lead,
    /// The main agent of a gateway.
    Main,
    /// Another service; never reachable through the public port.
    Service,
}

impl Access {
    /// Whether this kind of caller is an agent.
    pub fn is_agent(self) -> bool {
        matches!(self, Self::Agent | Self::Lead | Self::Main)
    }
}

/// Which credential a route reads, with the default already derived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Credential {
    /// A person's bearer token; `X-Agent-Token` is ignored.
    User,
    /// An agent token: `X-Agent-Token`, or the bearer token read as one.
    Agent,
    /// `X-Agent-Token` when present, else the bearer token as a person's, else as an agent's.
    Any,
}

/// One method of the contract.
#[expect(
    clippy::struct_excessive_bools,
    reason = "these are independent properties of a method"
)]
#[derive(Debug)]
pub struct MethodPlan {
    /// `/package.Service/Method`.
    pub path: Arc<str>,
    /// Full name of the service.
    pub service: String,
    /// Name of the method.
    pub name: String,
    /// Who may call.
    pub access: Vec<Access>,
    /// Whether the answer is a stream.
    pub server_streaming: bool,
    /// Whether the request is a stream.
    pub client_streaming: bool,
    /// Whether the method honours `If-Match`.
    pub if_match: bool,
    /// The request message.
    pub input: Arc<Shape>,
    /// The answer, or one message of the stream.
    pub output: Arc<Shape>,
    /// Whether a call changes something: a unary method whose route is not only GET, without `idempotency_level = NO_SIDE_EFFECTS`. A method
    /// without route is judged by its name.
    pub mutates: bool,
    /// The comment of the proto file.
    pub description: String,
}

/// Variables of a matched path, decoded, in the order of the template.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PathParams {
    pub(crate) values: Vec<String>,
}

/// What serves a method and path.
#[derive(Debug)]
pub enum Found<'c> {
    /// This route, with the variables of the path.
    Route(&'c Route, PathParams),
    /// Nothing; but the same path without its trailing slash is served.
    Redirect(String),
    /// The path is served, with these methods only.
    MethodNotAllowed(Vec<Method>),
    /// Nothing.
    NotFound,
}

/// Everything compiled from one descriptor set. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Catalog {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub table: Arc<Table>,
    pub methods: HashMap<Arc<str>, Arc<MethodPlan>>,
    /// Method paths in declared order.
    pub order: Vec<Arc<str>>,
    pub routes: Vec<Route>,
    pub tree: Tree,
}

impl Catalog {
    /// Compiles every method of an encoded `FileDescriptorSet` that carries source info and custom options (as `protoc`,
    /// `buf` and protox encode it; a set that went through `prost_types` has lost its options).
    pub fn compile(descriptor_set: &[u8]) -> Result<Self, CompileError> {
        compile::catalog(descriptor_set).map(|inner| Self { inner: Arc::new(inner) })
    }

    /// All routes, in declared order.
    pub fn routes(&self) -> impl Iterator<Item = &Route> {
        self.inner.routes.iter()
    }

    /// All methods, with and without routes, in declared order.
    pub fn methods(&self) -> impl Iterator<Item = &MethodPlan> {
        self.inner
            .order
            .iter()
            .filter_map(|path| self.inner.methods.get(path))
            .map(|plan| &**plan)
    }

    /// Which route serves this HTTP method and raw (percent-encoded) path.
    pub fn find(&self, method: &Method, path: &str) -> Found<'_> {
        let inner = &*self.inner;
        let mut found = None;
        let mut allowed: Vec<Method> = Vec::new();
        inner.tree.find(path, &mut |candidate| {
            if let Some((_, route)) = candidate.methods.iter().find(|(served, _)| served == method) {
                found = inner.routes.get(*route).map(|route| {
                    (
                        route,
                        PathParams {
                            values: candidate.values,
                        },
                    )
                });
                return true;
            }
            for (served, _) in candidate.methods {
                if !allowed.contains(served) {
                    allowed.push(served.clone());
                }
            }
            false
        });
        if let Some((route, params)) = found {
            return Found::Route(route, params);
        }
        if !allowed.is_empty() {
            return Found::MethodNotAllowed(allowed);
        }
        if let Some(shorter) = path.strip_suffix('/').filter(|shorter| !shorter.is_empty()) {
            let mut served = false;
            inner.tree.find(shorter, &mut |_| {
                served = true;
                true
            });
            if served {
                return Found::Redirect(shorter.to_owned());
            }
        }
        Found::NotFound
    }

    /// The method behind a gRPC path, `/package.Service/Method`.
    pub fn method(&self, grpc_path: &str) -> Option<&MethodPlan> {
        self.inner.methods.get(grpc_path).map(|plan| &**plan)
    }

    /// The shape of a message by full name, for `Any` and for events.
    pub fn shape(&self, message_full_name: &str) -> Option<Arc<Shape>> {
        let index = *self.inner.table.by_name.get(message_full_name)?;
        Some(Arc::new(Shape {
            table: self.inner.table.clone(),
            index,
        }))
    }

    /// The OpenAPI 3.1 document of all routes.
    pub fn openapi(&self, info: &ApiInfo) -> serde_json::Value {
        openapi::document(&self.inner, info)
    }
}
