//! The transcoder through its public door, on a small contract of its own.

#![expect(clippy::unwrap_used, reason = "a test that finds nothing fails")]

mod compile;
mod openapi;
mod property;
mod read;
mod routes;
mod support;
mod validate;
mod values;
mod write;
