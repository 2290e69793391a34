//! What is wrong with a request, in the words of pydantic: every problem has a type, a place, a message and the input.

use std::{borrow::Cow, fmt, sync::Arc};

use serde::{Serialize, ser::SerializeMap};
use serde_json::{Value, value::RawValue};

/// Problems beyond this number are not reported: they would only repeat themselves.
pub(crate) const MAX_PROBLEMS: usize = 100;
/// Longer inputs are answered as `null` instead of being echoed.
pub(crate) const MAX_ECHO: usize = 4096;

/// One step of the way to the place of a problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Loc {
    /// The section (`body`, `query`, `path`, `header`), a field's JSON name, or a map key.
    Name(Cow<'static, str>),
    /// A field's name, shared with the plan.
    Field(Arc<str>),
    /// Position in a list, or the byte position of a syntax error.
    Index(usize),
}

impl Loc {
    /// The steps of a dotted path (`items[2].name` or `items.2.name`), as services put it into `google.rpc.BadRequest`.
    pub fn parse(path: &str) -> Vec<Self> {
        path.split(['.', '[', ']'])
            .filter(|step| !step.is_empty())
            .map(|step| {
                step.parse()
                    .map_or_else(|_| Self::Name(step.to_owned().into()), Self::Index)
            })
            .collect()
    }
}

impl fmt::Display for Loc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Field(name) => f.write_str(name),
            Self::Index(index) => index.fmt(f),
        }
    }
}

impl Serialize for Loc {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Name(name) => serializer.serialize_str(name),
            Self::Field(name) => serializer.serialize_str(name),
            Self::Index(index) => serializer.serialize_u64(*index as u64),
        }
    }
}

/// One thing wrong with a request. Serializes to `{type, loc, msg, input, ctx?}`, an element of a 422 answer's `detail`.
#[derive(Clone, Debug)]
pub struct Problem {
    /// Pydantic's error type (`missing`, `string_type`, ...).
    pub kind: &'static str,
    /// Where: the section, then field names and list positions.
    pub loc: Vec<Loc>,
    /// What is wrong, for people.
    pub msg: String,
    /// The offending input as JSON text; `None` is written as `null`.
    pub input: Option<Box<RawValue>>,
    /// The parameters of the message.
    pub ctx: Option<Value>,
}

impl Problem {
    /// A problem without input.
    pub fn new(kind: &'static str, loc: Vec<Loc>, msg: impl Into<String>) -> Self {
        Self {
            kind,
            loc,
            msg: msg.into(),
            input: None,
            ctx: None,
        }
    }

    /// The place as `google.rpc.BadRequest` writes it: dotted, list positions in brackets, without the section.
    pub fn field(&self) -> String {
        let mut path = String::new();
        for step in self.loc.iter().skip(1) {
            match step {
                Loc::Index(index) => {
                    path.push('[');
                    path.push_str(&index.to_string());
                    path.push(']');
                }
                name => {
                    if !path.is_empty() {
                        path.push('.');
                    }
                    path.push_str(&name.to_string());
                }
            }
        }
        path
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field(), self.msg)
    }
}

impl Serialize for Problem {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("type", self.kind)?;
        map.serialize_entry("loc", &self.loc)?;
        map.serialize_entry("msg", &self.msg)?;
        map.serialize_entry("input", &self.input)?;
        if let Some(ctx) = &self.ctx {
            map.serialize_entry("ctx", ctx)?;
        }
        map.end()
    }
}

/// A rule broken by a value, before its place is known.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Fault {
    pub kind: &'static str,
    pub msg: Cow<'static, str>,
    pub ctx: Option<Value>,
}

impl Fault {
    pub(crate) const fn plain(kind: &'static str, msg: &'static str) -> Self {
        Self {
            kind,
            msg: Cow::Borrowed(msg),
            ctx: None,
        }
    }

    pub(crate) fn with(kind: &'static str, msg: impl Into<Cow<'static, str>>, ctx: Value) -> Self {
        Self {
            kind,
            msg: msg.into(),
            ctx: Some(ctx),
        }
    }

    /// A rule that pydantic has no type for.
    pub(crate) fn value(error: impl Into<String>) -> Self {
        let error = error.into();
        Self::with(
            "value_error",
            format!("Value error, {error}"),
            serde_json::json!({ "error": error }),
        )
    }
}

/// Collects problems and knows the place being read.
#[derive(Default)]
pub(crate) struct Findings {
    pub problems: Vec<Problem>,
    pub loc: Vec<Loc>,
}

impl Findings {
    pub(crate) fn at(section: &'static str) -> Self {
        Self {
            problems: Vec::new(),
            loc: vec![Loc::Name(section.into())],
        }
    }

    /// Notes `fault` at the current place; `input` is JSON text.
    pub(crate) fn add(&mut self, fault: Fault, input: impl FnOnce() -> Option<String>) {
        if self.problems.len() >= MAX_PROBLEMS {
            return;
        }
        let input = input()
            .filter(|text| text.len() <= MAX_ECHO)
            .and_then(|text| RawValue::from_string(text).ok());
        self.problems.push(Problem {
            kind: fault.kind,
            loc: self.loc.clone(),
            msg: fault.msg.into_owned(),
            input,
            ctx: fault.ctx,
        });
    }

    /// Runs `inner` one step further down.
    pub(crate) fn within<T>(&mut self, step: Loc, inner: impl FnOnce(&mut Self) -> T) -> T {
        self.loc.push(step);
        let result = inner(self);
        self.loc.pop();
        result
    }
}
