//! The OpenAPI 3.1 document of a catalog.

use crate::catalog::Inner;

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

pub(crate) fn document(_inner: &Inner, info: &ApiInfo) -> serde_json::Value {
    serde_json::json!({ "openapi": "3.1.0", "info": { "title": info.title, "version": info.version } })
}
