//! The page: static files that are part of the binary.

use std::{collections::HashMap, sync::LazyLock};

use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use rust_embed::RustEmbed;

use super::openapi::{cached, tag};
use crate::{fault, secure::PAGE_POLICY};

#[derive(RustEmbed)]
#[folder = "../web/static"]
struct Files;

struct File {
    bytes: Bytes,
    kind: HeaderValue,
    tag: HeaderValue,
}

static FILES: LazyLock<HashMap<String, File>> = LazyLock::new(|| {
    let files = Files::iter().filter_map(|name| {
        let bytes = match Files::get(&name)?.data {
            std::borrow::Cow::Borrowed(data) => Bytes::from_static(data),
            std::borrow::Cow::Owned(data) => Bytes::from(data),
        };
        let path = if name == "index.html" {
            "/".to_owned()
        } else {
            format!("/{name}")
        };
        Some((
            path,
            File {
                kind: kind(&name),
                tag: tag(&bytes),
                bytes,
            },
        ))
    });
    files.collect()
});

/// Whether the page has a file of this path.
pub fn has(path: &str) -> bool {
    FILES.contains_key(path)
}

/// The file of a path that [`has`] knows.
pub fn serve(path: &str, headers: &HeaderMap) -> Response {
    let Some(file) = FILES.get(path) else {
        return fault::json(StatusCode::NOT_FOUND, "null");
    };
    let mut response = cached(headers, &file.tag, || file.bytes.clone(), file.kind.clone());
    response
        .headers_mut()
        .insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(PAGE_POLICY));
    response
}

fn kind(name: &str) -> HeaderValue {
    HeaderValue::from_static(match name.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "woff2" => "font/woff2",
        "json" | "map" => "application/json",
        _ => "application/octet-stream",
    })
}
