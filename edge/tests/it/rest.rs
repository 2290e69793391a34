use std::sync::atomic::Ordering;

use reqwest::Method;
use serde_json::{Value, json};

use crate::{BOARD, Port, TOKEN, answer, roles::AGENT_TOKEN, send};

#[tokio::test]
async fn what_comes_first_is_said_first() {
    let port = Port::open().await;
    let tasks = format!("/api/v1/boards/{BOARD}/tasks");
    let anonymous = |body: &'static str| {
        port.request(Method::POST, &tasks)
            .header("content-type", "application/json")
            .body(body)
    };

    let (status, body) = answer(anonymous(r#"{"title": "#)).await;
    assert_eq!(
        (status, &body["detail"][0]["type"]),
        (422, &json!("json_invalid")),
        "no JSON, before who asks: {body}"
    );
    let (status, body) = answer(anonymous(r#"{"title": 5}"#)).await;
    assert_eq!(
        (status, &body["detail"]),
        (401, &json!("Unauthorized")),
        "who asks, before what is wrong"
    );
    let (status, body) = answer(port.post(&tasks, r#"{"description": 5, "due_at": "soon", "tag_ids": ["x"]}"#)).await;
    let problems = body["detail"].as_array().expect("a list");
    let found: Vec<_> = problems
        .iter()
        .map(|problem| (problem["type"].as_str().expect("a type"), problem["loc"].to_string()))
        .collect();
    assert_eq!(status, 422);
    for expected in [
        ("missing", r#"["body","title"]"#),
        ("string_type", r#"["body","description"]"#),
        ("uuid_parsing", r#"["body","tag_ids",0]"#),
    ] {
        assert!(
            found.contains(&(expected.0, expected.1.to_owned())),
            "{expected:?} in {found:?}"
        );
    }
    assert!(problems.len() >= 4, "all of them at once: {found:?}");
    let (status, body) = answer(port.post(&tasks, "")).await;
    assert_eq!(
        (status, &body["detail"][0]["type"], &body["detail"][0]["loc"]),
        (422, &json!("missing"), &json!(["body"]))
    );
    let (status, body) = answer(port.get("/api/v1/boards?limit=0")).await;
    assert_eq!((status, &body["detail"][0]["loc"]), (422, &json!(["query", "limit"])));
    port.close().await;
}

#[tokio::test]
async fn answers_are_json_of_the_contract() {
    let port = Port::open().await;
    let (status, body) = answer(port.get("/api/v1/boards")).await;
    assert_eq!(status, 200);
    assert_eq!(
        (
            &body["total"],
            &body["items"][1]["name"],
            &body["items"][1]["gateway_id"]
        ),
        (&json!(2), &json!("Beta"), &Value::Null)
    );
    let (status, body) = answer(port.task("Write it down")).await;
    assert_eq!((status, &body["title"]), (200, &json!("Write it down")));
    port.close().await;
}

#[tokio::test]
async fn what_roles_refuse_is_said_in_http() {
    let port = Port::open().await;
    let (status, body) = answer(port.task("conflict")).await;
    assert_eq!(
        (status, &body["detail"]),
        (409, &json!({"message": "It is taken.", "code": "taken"}))
    );
    let (status, body) = answer(port.task("invalid")).await;
    assert_eq!(
        (status, &body["detail"][0]["loc"], &body["detail"][0]["type"]),
        (422, &json!(["body", "title"]), &json!("value_error"))
    );
    assert_eq!(answer(port.task("gateway")).await.0, 502);
    assert_eq!(answer(port.task("deadline")).await.0, 504);
    let limited = send(port.task("limited")).await;
    assert_eq!(
        (limited.status().as_u16(), &limited.headers()["retry-after"]),
        (429, &"3".parse().expect("a value"))
    );
    for defect in ["inside", "panic"] {
        let (status, body) = answer(port.task(defect)).await;
        assert_eq!(
            (status, &body["detail"]),
            (500, &json!("Internal Server Error")),
            "{defect}"
        );
    }
    assert_eq!(
        answer(port.task("after the defects")).await.0,
        200,
        "the process goes on"
    );
    port.close().await;
}

#[tokio::test]
async fn bodies_are_limited_however_they_come() {
    let port = Port::with(|settings| settings.max_body_bytes = 1000, &["org", "agent", "board"]).await;
    let tasks = format!("/api/v1/boards/{BOARD}/tasks");
    let large = format!(r#"{{"title":"{}"}}"#, "x".repeat(2000));
    let (status, body) = answer(port.post(&tasks, &large)).await;
    assert_eq!(status, 413, "{body}");
    assert!(
        body["detail"].as_str().expect("a sentence").contains("1000 bytes"),
        "{body}"
    );
    let chunks = futures::stream::iter((0..5).map(|_| Ok::<_, std::io::Error>(vec![b' '; 400])));
    let chunked = port
        .request(Method::POST, &tasks)
        .bearer_auth(TOKEN)
        .body(reqwest::Body::wrap_stream(chunks));
    assert_eq!(answer(chunked).await.0, 413, "without a length");
    port.close().await;
}

#[tokio::test]
async fn paths_and_methods_that_are_not_there() {
    let port = Port::open().await;
    let (status, body) = answer(port.get("/api/v1/nothing")).await;
    assert_eq!((status, &body["detail"]), (404, &json!("Not Found")));
    let refused = send(port.request(Method::PUT, "/api/v1/boards")).await;
    let allowed = refused.headers()["allow"].to_str().expect("text").to_owned();
    assert_eq!(refused.status(), 405);
    assert!(
        allowed.contains("GET") && allowed.contains("POST"),
        "every method of the path: {allowed}"
    );
    assert_eq!(
        send(port.request(Method::OPTIONS, "/api/v1/boards")).await.status(),
        405,
        "no preflight without CORS"
    );
    assert_eq!(
        send(port.request(Method::POST, "/healthz")).await.headers()["allow"],
        "GET, HEAD"
    );
    let moved = send(port.get("/api/v1/boards/?limit=3")).await;
    assert_eq!(
        (
            moved.status().as_u16(),
            moved.headers()["location"].to_str().expect("text")
        ),
        (307, "/api/v1/boards?limit=3")
    );
    port.close().await;
}

#[tokio::test]
async fn every_answer_has_an_id_and_security_headers() {
    let port = Port::open().await;
    let refused = send(port.get("/api/v1/nothing").header("x-request-id", "run-7")).await;
    assert_eq!(refused.headers()["x-request-id"], "run-7");
    assert_eq!(refused.headers()["x-frame-options"], "DENY");
    assert_eq!(refused.headers()["x-content-type-options"], "nosniff");
    assert!(
        !refused.headers().contains_key("permissions-policy"),
        "blank is left out"
    );
    assert_eq!(refused.json::<Value>().await.expect("json")["request_id"], "run-7");
    let made = send(port.get("/api/v1/nothing").header("x-request-id", "x".repeat(500))).await;
    assert!(made.headers()["x-request-id"].len() < 100, "an endless id is replaced");
    port.close().await;
}

#[tokio::test]
async fn browsers_of_allowed_origins_may_call() {
    let port = Port::with(
        |settings| settings.cors_origins = "http://ui.test:3000".into(),
        &["org", "agent", "board"],
    )
    .await;
    let preflight = |origin: &'static str| {
        port.request(Method::OPTIONS, "/api/v1/boards")
            .header("origin", origin)
            .header("access-control-request-method", "PATCH")
            .header("access-control-request-headers", "authorization,content-type")
    };
    let allowed = send(preflight("http://ui.test:3000")).await;
    assert_eq!(allowed.status(), 200);
    assert_eq!(allowed.headers()["access-control-allow-origin"], "http://ui.test:3000");
    assert_eq!(
        allowed.headers()["access-control-allow-headers"],
        "authorization,content-type"
    );
    assert_eq!(allowed.headers()["access-control-max-age"], "600");
    assert!(
        allowed.headers()["access-control-allow-methods"]
            .to_str()
            .expect("text")
            .contains("PATCH")
    );
    assert_eq!(allowed.headers()["x-frame-options"], "DENY");
    let foreign = send(preflight("http://evil.test")).await;
    assert_eq!(foreign.status(), 400);
    assert!(!foreign.headers().contains_key("access-control-allow-origin"));

    let error = send(
        port.request(Method::GET, "/api/v1/boards")
            .header("origin", "http://ui.test:3000"),
    )
    .await;
    assert_eq!(
        (
            error.status().as_u16(),
            error.headers()["access-control-allow-origin"].to_str().expect("text")
        ),
        (401, "http://ui.test:3000")
    );
    assert!(
        error.headers()["access-control-expose-headers"]
            .to_str()
            .expect("text")
            .contains("X-Total-Count")
    );
    assert!(error.headers()["vary"].to_str().expect("text").contains("origin"));
    let foreign = send(port.get("/api/v1/boards").header("origin", "http://evil.test")).await;
    assert!(!foreign.headers().contains_key("access-control-allow-origin"));
    port.close().await;
}

#[tokio::test]
async fn health_is_true() {
    let port = Port::open().await;
    assert_eq!(
        answer(port.request(Method::GET, "/health")).await,
        (200, json!({"ok": true}))
    );
    assert_eq!(
        answer(port.request(Method::GET, "/healthz")).await,
        (200, json!({"ok": true}))
    );
    let head = send(port.request(Method::HEAD, "/healthz")).await;
    assert_eq!(
        (
            head.status().as_u16(),
            head.headers()["content-length"].to_str().expect("text")
        ),
        (200, "11")
    );
    let (status, body) = answer(port.request(Method::GET, "/readyz")).await;
    assert_eq!((status, &body["ok"]), (503, &json!(false)));
    let missing: Vec<_> = body["missing"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    assert!(
        missing.contains(&"approval") && missing.contains(&"gateway-bridge") && !missing.contains(&"board"),
        "{missing:?}"
    );

    port.script.down.store(true, Ordering::SeqCst);
    crate::eventually("the database is missed", async || {
        answer(port.request(Method::GET, "/healthz")).await == (503, json!({"ok": false, "missing": ["database"]}))
    })
    .await;
    assert_eq!(
        answer(port.request(Method::GET, "/health")).await.0,
        200,
        "the process lives"
    );
    // A role that is not there is 503 with the reason, not 500.
    let (status, body) = answer(port.get("/api/v1/activity").header("x-agent-token", AGENT_TOKEN)).await;
    assert_eq!(status, 503);
    assert!(
        body["detail"].as_str().expect("a sentence").contains("activity"),
        "{body}"
    );
    port.close().await;
}

#[tokio::test]
async fn documents_are_described_cached_and_compressed() {
    let port = Port::open().await;
    let document = send(port.request(Method::GET, "/openapi.json")).await;
    let tag = document.headers()["etag"].clone();
    let document: Value = document.json().await.expect("json");
    for path in ["/api/v1/boards", "/health", "/readyz"] {
        assert!(document["paths"][path]["get"]["operationId"].is_string(), "{path}");
    }
    assert_eq!(
        document["components"]["schemas"]["HealthStatusResponse"]["required"],
        json!(["ok"])
    );
    assert!(
        !document.to_string().contains("ResolveUser"),
        "methods for services are not described"
    );
    let unchanged = send(port.request(Method::GET, "/openapi.json").header("if-none-match", tag)).await;
    assert_eq!(
        (
            unchanged.status().as_u16(),
            unchanged.bytes().await.expect("a body").len()
        ),
        (304, 0)
    );

    let tasks = format!("/api/v1/boards/{BOARD}/tasks");
    let small = send(port.get(&tasks).header("accept-encoding", "gzip")).await;
    assert_eq!(small.headers()["content-encoding"], "gzip");
    let plain = send(port.get(&tasks)).await;
    assert!(!plain.headers().contains_key("content-encoding"));
    assert!(small.bytes().await.expect("a body").len() * 5 < plain.bytes().await.expect("a body").len());
    port.close().await;
}

#[tokio::test]
async fn the_page_is_part_of_the_port() {
    let port = Port::open().await;
    let page = send(port.request(Method::GET, "/")).await;
    assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
    let policy = page.headers()["content-security-policy"]
        .to_str()
        .expect("text")
        .to_owned();
    assert!(
        policy.contains("default-src 'none'") && policy.contains("script-src 'self'") && !policy.contains("unsafe"),
        "{policy}"
    );
    let html = page.text().await.expect("a body");
    let mut loaded = 0;
    for link in html
        .split(['"'])
        .filter(|part| part.starts_with('/') && part.contains('.') && !part.contains("openapi"))
    {
        assert_eq!(send(port.request(Method::GET, link)).await.status(), 200, "{link}");
        loaded += 1;
    }
    assert!(loaded >= 3, "script, style and icon");
    assert!(
        !html.contains("http://") && !html.contains("https://"),
        "nothing of a foreign origin"
    );
    port.close().await;
}
