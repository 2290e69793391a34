//! JSON over HTTP for gRPC services, from descriptors alone.
//!
//! A [`Catalog`] is compiled once from a descriptor set. It answers which method serves a path, encodes requests
//! ([`Route::read`]), writes answers ([`Route::write`], [`Route::write_event`]), checks encoded messages
//! ([`Shape::validate`]) and describes all of it ([`Catalog::openapi`]). The crate knows `google.api.http` and the option
//! vocabulary `missioncontrol.options.v1`, and no word of what the services do.
//!
//! The hot path walks wire bytes with compiled plans: no message objects, no JSON tree on the way out.
//!
//! JSON form: snake_case keys in declared order; what has no value is `null`; lists are always arrays; enum values are the
//! proto names without prefix, in lower case; moments are RFC 3339 in UTC with `Z`; 64-bit integers are numbers.
//! Requests are read as pydantic reads them in lax mode, and problems are reported in its words.

mod catalog;
mod coerce;
mod compile;
mod json;
mod openapi;
mod options;
mod paths;
mod problem;
mod read;
mod route;
mod rules;
mod shape;
mod text;
mod validate;
mod wire;
mod write;

pub use catalog::{Access, Catalog, CompileError, Credential, Found, MethodPlan, PathParams};
pub use openapi::ApiInfo;
pub use problem::{Loc, Problem};
pub use route::Route;
pub use shape::Shape;
pub use wire::DecodeError;

/// Deepest nesting of messages and of JSON values, both ways.
pub const MAX_DEPTH: usize = 64;
