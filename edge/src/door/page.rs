//! The page: a built single-page application that is part of the binary.
//!
//! Files below `/assets/` carry a hash in their name and never change; everything else is asked for again each time. Paths that are places
//! of the page (`/boards/…`) answer its index. The build leaves a `.br` and a `.gz` beside every text, so that nothing is compressed here.

use std::{borrow::Cow, collections::HashMap, sync::LazyLock};

use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use rust_embed::RustEmbed;

use super::openapi::{cached, tag};

#[derive(RustEmbed)]
#[folder = "../web/dist"]
struct Files;

/// What stands in for the page in a binary that was built without it.
const NOT_BUILT: &str = "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>Mission Control</title>\n\
    <h1>Mission Control</h1>\n<p>The page is not part of this build. <code>make run</code> builds it (it needs Node.js with npm); \
    so does <code>scripts/web build</code> before <code>cargo build</code>.</p>\n\
    <p>The API is here: <a href=\"/openapi.json\">/openapi.json</a>.</p>\n";

/// Paths that belong to programs: what is not found there is an error, never the page.
const NOT_PLACES: [&str; 9] = [
    "/api",
    "/assets",
    "/health",
    "/healthz",
    "/readyz",
    "/metrics",
    "/openapi.json",
    "/grpc.",
    "/missioncontrol.",
];

/// One content in the encodings that the build made.
struct File {
    plain: Bytes,
    brotli: Option<Bytes>,
    gzip: Option<Bytes>,
    kind: HeaderValue,
    tag: HeaderValue,
    immutable: bool,
}

static FILES: LazyLock<HashMap<String, File>> = LazyLock::new(|| {
    let mut files: HashMap<String, File> = Files::iter()
        .filter(|name| !name.ends_with(".br") && !name.ends_with(".gz"))
        .filter_map(|name| {
            let plain = content(&name)?;
            let file = File {
                brotli: content(&format!("{name}.br")),
                gzip: content(&format!("{name}.gz")),
                kind: kind(&name),
                tag: tag(&plain),
                immutable: name.starts_with("assets/"),
                plain,
            };
            Some((format!("/{name}"), file))
        })
        .collect();
    let index = files.remove("/index.html").unwrap_or_else(|| File {
        plain: Bytes::from_static(NOT_BUILT.as_bytes()),
        brotli: None,
        gzip: None,
        kind: kind("index.html"),
        tag: tag(NOT_BUILT.as_bytes()),
        immutable: false,
    });
    files.insert("/".to_owned(), index);
    files
});

fn content(name: &str) -> Option<Bytes> {
    Some(match Files::get(name)?.data {
        Cow::Borrowed(data) => Bytes::from_static(data),
        Cow::Owned(data) => Bytes::from(data),
    })
}

/// Whether the page has a file of this path, or is asked for one of its places by a browser.
pub fn has(path: &str, headers: &HeaderMap) -> bool {
    FILES.contains_key(path) || is_place(path, headers)
}

/// The file of a path that [`has`] knows; the index for every other.
pub fn serve(path: &str, headers: &HeaderMap) -> Response {
    // The index is always there, see above.
    let Some(file) = FILES.get(path).or_else(|| FILES.get("/")) else {
        return Response::default();
    };
    let (encoding, body) = match (&file.brotli, &file.gzip) {
        (Some(body), _) if accepts(headers, "br") => (Some("br"), body),
        (_, Some(body)) if accepts(headers, "gzip") => (Some("gzip"), body),
        _ => (None, &file.plain),
    };
    let mut response = cached(headers, &file.tag, || body.clone(), file.kind.clone());
    let out = response.headers_mut();
    if file.immutable {
        out.insert(
            header::CACHE_CONTROL,
            HeaderValue::from_static("public, max-age=31536000, immutable"),
        );
    }
    if file.brotli.is_some() || file.gzip.is_some() {
        out.append(header::VARY, HeaderValue::from_static("accept-encoding"));
    }
    if let Some(encoding) = encoding.filter(|_| out.contains_key(header::CONTENT_TYPE)) {
        out.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
    }
    response
}

/// A path without a file's ending that a browser navigates to.
fn is_place(path: &str, headers: &HeaderMap) -> bool {
    let html = headers
        .get_all(header::ACCEPT)
        .iter()
        .any(|value| value.as_bytes().windows(9).any(|part| part == b"text/html"));
    let file = path.rsplit('/').next().is_some_and(|name| name.contains('.'));
    html && !file && !NOT_PLACES.iter().any(|taken| below(path, taken))
}

/// Whether a path is `taken`, lies below it, or begins with it where it ends in a dot.
fn below(path: &str, taken: &str) -> bool {
    path.strip_prefix(taken)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || taken.ends_with('.'))
}

/// Whether the client takes an encoding: named, and not with weight nought.
fn accepts(headers: &HeaderMap, encoding: &str) -> bool {
    headers
        .get_all(header::ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|choice| {
            let mut parts = choice.split(';').map(str::trim);
            parts.next().is_some_and(|name| name.eq_ignore_ascii_case(encoding))
                && !parts.any(|weight| matches!(weight, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
        })
}

fn kind(name: &str) -> HeaderValue {
    HeaderValue::from_static(match name.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "woff2" => "font/woff2",
        "txt" => "text/plain; charset=utf-8",
        "webmanifest" => "application/manifest+json",
        "json" | "map" => "application/json",
        _ => "application/octet-stream",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: header::HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn places_are_paths_that_browsers_navigate_to() {
        let browser = headers(header::ACCEPT, "text/html,application/xhtml+xml,*/*;q=0.8");
        for (path, expected) in [
            ("/boards", true),
            ("/boards/0190/tasks/1", true),
            ("/apiary", true),
            ("/healthy", true),
            ("/api", false),
            ("/api/v1/nothing", false),
            ("/assets/gone.js", false),
            ("/assets/gone", false),
            ("/robots.txt", false),
            ("/grpc.health.v1.Health/Check", false),
            ("/missioncontrol.org.v1.UserService/GetMe", false),
        ] {
            assert_eq!(is_place(path, &browser), expected, "{path}");
            assert!(!is_place(path, &headers(header::ACCEPT, "application/json")), "{path}");
        }
    }

    #[test]
    fn encodings_are_taken_when_named() {
        let accept = |value| headers(header::ACCEPT_ENCODING, value);
        assert!(accepts(&accept("gzip, deflate, br"), "br"));
        assert!(accepts(&accept("gzip;q=0.5, BR;q=1"), "br"));
        assert!(!accepts(&accept("gzip, br;q=0"), "br"));
        assert!(!accepts(&accept("gzip"), "br"));
        assert!(!accepts(&HeaderMap::new(), "gzip"));
    }
}
