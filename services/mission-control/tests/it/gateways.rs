//! Gateways over REST: registering, looking, walking, moving, deleting.

use reqwest::Method;
use serde_json::{Value, json};
use testkit::gateway::{FakeGateway, Options};

use crate::{
    harness::{Harness, Rest, eventually, id},
    path::board,
};

fn body(fake: &FakeGateway) -> Value {
    json!({"name": "Lab", "url": fake.url(), "token": fake.token(), "workspace_root": "~/.openclaw"})
}

async fn registered(person: &Rest, fake: &FakeGateway) -> Value {
    person.post("/api/v1/gateways", body(fake)).await.expect(200)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_is_registered_read_changed_and_deleted() {
    let fake = FakeGateway::start(Options::default()).await;
    let mc = Harness::start().await;
    let person = mc.person();
    let gateway = registered(&person, &fake).await;
    let url = format!("/api/v1/gateways/{}", id(&gateway));
    let mut keys: Vec<_> = gateway
        .as_object()
        .expect("an object")
        .keys()
        .map(String::as_str)
        .collect();
    keys.sort_unstable();
    assert_eq!(
        keys,
        [
            "allow_insecure_tls",
            "created_at",
            "disable_device_pairing",
            "id",
            "name",
            "organization_id",
            "tls_fingerprint",
            "token",
            "updated_at",
            "url",
            "workspace_root",
        ]
    );
    assert!(
        !gateway.to_string().contains(&fake.token()),
        "the token is write-only: {gateway}"
    );

    let page = person.get("/api/v1/gateways").await.expect(200);
    assert_eq!((&page["total"], &page["items"][0]["id"]), (&json!(1), &gateway["id"]));
    let renamed = person.patch(&url, json!({"name": "Lab two"})).await.expect(200);
    assert_eq!(
        (&renamed["name"], &renamed["token"]),
        (&json!("Lab two"), &gateway["token"])
    );
    assert_ne!(renamed["updated_at"], gateway["updated_at"]);
    person.patch(&url, json!({"name": null})).await.expect(422);

    let connection = eventually("connecting", || async {
        let connection = person.get(&format!("{url}/connection")).await.expect(200);
        (connection["phase"] == "connected").then_some(connection)
    })
    .await;
    assert_eq!(
        (&connection["protocol"], &connection["error"]),
        (&json!(4), &Value::Null)
    );
    let main = format!("mc-gateway-{}", id(&gateway));
    eventually("the main agent", || async {
        fake.agents().contains(&main).then_some(())
    })
    .await;

    person.delete(&url).await.expect(200);
    eventually("the end of the main agent", || async {
        (!fake.agents().contains(&main)).then_some(())
    })
    .await;
    assert_eq!(person.get(&url).await.detail(404), "Gateway not found");
    assert_eq!(person.delete(&url).await.detail(404), "Gateway not found");
    let feed = eventually("the log", || async {
        let feed = person
            .get("/api/v1/activity?event_type=gateway.deleted")
            .await
            .expect(200);
        (feed["total"] == 1).then_some(feed)
    })
    .await;
    assert!(!feed.to_string().contains(&fake.token()));
    mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_boards_use_stays() {
    let fake = FakeGateway::start(Options::default()).await;
    let mc = Harness::start().await;
    let person = mc.person();
    let gateway = registered(&person, &fake).await;
    let url = format!("/api/v1/gateways/{}", id(&gateway));
    let created = person
        .post("/api/v1/boards", board("Alpha", &id(&gateway)))
        .await
        .expect(200);

    let refused = person.delete(&url).await.detail(409);
    assert!(
        refused.as_str().is_some_and(|text| text.contains("`Alpha`")),
        "{refused}"
    );
    let status = person
        .get(&format!("/api/v1/gateways/status?board_id={}", id(&created)))
        .await
        .expect(200);
    assert_eq!(
        (&status["connected"], &status["gateway_url"], &status["error"]),
        (&json!(true), &gateway["url"], &Value::Null)
    );
    assert!(status["sessions"].is_array(), "{status:#}");
    let missing = person.get("/api/v1/gateways/status").await.detail(422);
    assert!(
        missing.to_string().contains("board_id or gateway_url is required"),
        "{missing}"
    );

    person
        .delete(&format!("/api/v1/boards/{}", id(&created)))
        .await
        .expect(200);
    person.delete(&url).await.expect(200);
    mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mistakes_and_refusals_are_sentences() {
    let fake = FakeGateway::start(Options::default()).await;
    let mc = Harness::start().await;
    let person = mc.person();
    let mut wrong = body(&fake);
    wrong["token"] = json!("wrong");
    let detail = person.post("/api/v1/gateways", wrong).await.detail(502);
    assert!(
        detail
            .as_str()
            .is_some_and(|text| text.contains("token mismatch") && text.contains("gateway.auth.token")),
        "{detail}"
    );
    let mut wrong = body(&fake);
    wrong["url"] = json!("https://example.test");
    let detail = person.post("/api/v1/gateways", wrong).await.detail(422);
    assert_eq!(detail[0]["loc"], json!(["body", "url"]), "{detail:#}");
    assert_eq!(person.get("/api/v1/gateways").await.expect(200)["total"], 0);
    mc.nobody().get("/api/v1/gateways").await.expect(401);
    let commands = person.get("/api/v1/gateways/commands").await.expect(200);
    assert_eq!(
        (
            &commands["protocol_version"],
            &commands["methods"][0],
            &commands["events"][0]
        ),
        (&json!(4), &json!("health"), &json!("connect.challenge"))
    );
    mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_walk_is_a_stream_of_steps() {
    let fake = FakeGateway::start(Options {
        pairing_required: true,
        ..Options::default()
    })
    .await;
    let mc = Harness::start().await;
    let request = mc
        .person()
        .request(Method::POST, "/api/v1/gateways/preflight")
        .header("accept", "text/event-stream")
        .header("content-type", "application/json")
        .body(json!({"url": fake.url(), "token": fake.token()}).to_string());
    let response = request.send().await.expect("the edge answers");
    assert_eq!(response.status(), 200);
    let text = response.text().await.expect("a body");
    let steps: Vec<Value> = text
        .lines()
        .filter_map(|line| line.strip_prefix("data:"))
        .map(|data| serde_json::from_str(data).expect("JSON"))
        .collect();
    let failed: Vec<_> = steps.iter().filter(|step| step["status"] == "failed").collect();
    assert_eq!(failed.len(), 1, "{steps:#?}");
    assert_eq!(
        (&failed[0]["name"], &failed[0]["error_code"]),
        (&json!("pairing"), &json!("PAIRING_REQUIRED"))
    );
    assert_eq!(failed[0]["pairing_request_id"], json!(fake.pending_pairings()[0]));
    assert!(
        steps
            .iter()
            .any(|step| step["name"] == "methods" && step["status"] == "skipped")
    );
    mc.stop().await;
}
