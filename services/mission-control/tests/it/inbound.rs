//! Inbound webhooks: what a stranger sends is checked, kept, and told to an agent.

use chassis::Change;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::Method;
use serde_json::{Value, json};
use testkit::gateway::{FakeGateway, Options, Release};

use crate::{
    board::Office,
    harness::{Harness, Rest, eventually, id},
    path::team,
};

fn signature(secret: &str, body: &str) -> String {
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).expect("a key");
    mac.update(body.as_bytes());
    mac.finalize()
        .into_bytes()
        .iter()
        .fold(String::new(), |digits, byte| digits + &format!("{byte:02X}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_arrives_is_kept_and_told() {
    let fake = FakeGateway::start(Options::release(Release::Latest)).await;
    let mc = Harness::start().await;
    let (person, stranger) = (mc.person(), mc.nobody());
    let team = team(&person, &fake, "Alpha").await;
    let (board, agent) = (id(&team.board), id(&team.agent));
    let hooks = format!("/api/v1/boards/{board}/webhooks");

    let hook = person
        .post(&hooks, json!({"description": " Triage builds ", "agent_id": agent}))
        .await
        .expect(200);
    let url = format!("{hooks}/{}", id(&hook));
    assert_eq!(
        (&hook["description"], &hook["enabled"], &hook["has_secret"]),
        (&json!("Triage builds"), &json!(true), &json!(false))
    );
    assert_eq!(
        (&hook["endpoint_path"], &hook["endpoint_url"]),
        (&json!(url), &json!(format!("{}{url}", mc.url)))
    );
    let stray = json!({"description": "x", "agent_id": "0199aaaa-0000-7000-8000-000000000000"});
    assert_eq!(
        person.post(&hooks, stray).await.detail(422),
        "agent_id must reference an agent on this board."
    );
    person
        .post(&hooks, json!({"description": "x", "signature_header": "no token"}))
        .await
        .expect(422);

    let sent = stranger
        .request(Method::POST, &url)
        .header("content-type", "application/json")
        .header("x-event", "push")
        .header("authorization", "Bearer nothing")
        .header("x-gitlab-token", "opens-doors")
        .body(r#"{"build": "failed", "n": 1}"#);
    let taken = Rest::answer(sent).await.expect(202);
    assert_eq!(
        (&taken["ok"], &taken["webhook_id"], &taken["board_id"]),
        (&json!(true), &hook["id"], &json!(board))
    );
    let payload = taken["payload_id"].as_str().expect("an id").to_owned();
    let text = stranger
        .request(Method::POST, &url)
        .header("content-type", "text/plain")
        .body("plain words, rather many");
    let words = Rest::answer(text).await.expect(202)["payload_id"]
        .as_str()
        .expect("an id")
        .to_owned();

    let kept = person.get(&format!("{url}/payloads/{payload}")).await.expect(200);
    assert_eq!(
        (&kept["payload"], &kept["content_type"], &kept["source_ip"]),
        (
            &json!({"build": "failed", "n": 1}),
            &json!("application/json"),
            &json!("127.0.0.1")
        )
    );
    assert_eq!(
        (&kept["headers"]["x-event"], &kept["headers"]["authorization"]),
        (&json!("push"), &Value::Null)
    );
    assert!(!kept.to_string().contains("opens-doors"), "{kept:#}");
    let listed = person.get(&format!("{url}/payloads?limit=1")).await.expect(200);
    assert_eq!(
        (&listed["total"], &listed["items"][0]["id"]),
        (&json!(2), &json!(words))
    );

    // The agent reads it, in part, and is told.
    let worker = mc.agent(&team.token);
    let agents_url = format!("/api/v1/agent/boards/{board}/webhooks/{}/payloads", id(&hook));
    assert_eq!(
        worker
            .get(&format!("{agents_url}/{words}?max_chars=8"))
            .await
            .expect(200)["payload"],
        "plain..."
    );
    assert_eq!(
        worker
            .get(&format!("{agents_url}/{payload}?max_chars=100"))
            .await
            .expect(200)["payload"]["n"],
        1
    );
    worker
        .get(&format!("{agents_url}/{payload}?max_chars=0"))
        .await
        .expect(422);
    let session = format!("agent:mc-{agent}:main");
    let told = eventually("telling the agent", || async {
        fake.messages(&session)
            .into_iter()
            .find(|text| text.contains("WEBHOOK EVENT RECEIVED"))
    })
    .await;
    assert!(
        told.contains("Instruction: Triage builds")
            && told.contains("\"build\": \"failed\"")
            && told.contains(&payload),
        "{told}"
    );
    let memory = person.get(&format!("/api/v1/boards/{board}/memory")).await.expect(200);
    let entry = &memory["items"][1];
    assert_eq!(
        (&entry["source"], &entry["tags"]),
        (
            &json!("webhook"),
            &json!([
                "webhook",
                format!("webhook:{}", id(&hook)),
                format!("payload:{payload}")
            ])
        )
    );
    assert!(
        entry["content"]
            .as_str()
            .is_some_and(|text| text.starts_with("WEBHOOK PAYLOAD RECEIVED")),
        "{entry:#}"
    );

    // A secret asks for a signature, in the configured header only.
    let secured = person
        .patch(&url, json!({"secret": "s3cret", "signature_header": "X-Sig"}))
        .await
        .expect(200);
    assert_eq!(
        (
            &secured["has_secret"],
            &secured["signature_header"],
            secured.get("secret")
        ),
        (&json!(true), &json!("X-Sig"), None)
    );
    let sign = |header: &str, value: String| {
        stranger
            .request(Method::POST, &url)
            .header(header, value)
            .body("signed")
    };
    let digest = format!("SHA256={}", signature("s3cret", "signed"));
    assert_eq!(
        Rest::answer(sign("x-hub-signature-256", digest.clone()))
            .await
            .detail(403),
        "Missing webhook signature header."
    );
    assert_eq!(
        Rest::answer(sign("x-sig", "00".into())).await.detail(403),
        "Invalid webhook signature."
    );
    Rest::answer(sign("x-sig", digest)).await.expect(202);
    let stored: Option<Vec<u8>> = sqlx::query_scalar("SELECT secret FROM board.webhooks")
        .fetch_one(&sqlx::PgPool::connect(&mc.database.url).await.expect("the database"))
        .await
        .expect("a webhook");
    assert!(
        stored.is_some_and(|sealed| !sealed.windows(6).any(|window| window == b"s3cret")),
        "the secret is encrypted"
    );

    let opened = person
        .patch(&url, json!({"secret": null, "enabled": false}))
        .await
        .expect(200);
    assert_eq!(
        (&opened["has_secret"], &opened["enabled"], &opened["signature_header"]),
        (&json!(false), &json!(false), &json!("X-Sig"))
    );
    assert_eq!(
        Rest::answer(stranger.request(Method::POST, &url).body("x"))
            .await
            .detail(410),
        "Webhook is disabled."
    );
    person.patch(&url, json!({"enabled": true})).await.expect(200);
    let large = stranger.request(Method::POST, &url).body("x".repeat(1_048_577));
    assert_eq!(
        Rest::answer(large).await.detail(413),
        "Payload exceeds maximum size of 1048576 bytes."
    );

    stranger.get(&url).await.expect(401);
    worker.get(&url).await.expect(401);
    assert_eq!(person.delete(&url).await.expect(200), json!({"ok": true}));
    Rest::answer(stranger.request(Method::POST, &url).body("x"))
        .await
        .expect(404);
    mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn anything_may_arrive_and_agents_may_go() {
    let office = Office::open().await;
    let (person, stranger) = (&office.person, office.mc.nobody());
    let board = office.board("Board", json!({})).await;
    let ann = office.worker(&board, "Ann").await;
    let hooks = format!("/api/v1/boards/{board}/webhooks");
    let hook = person
        .post(&hooks, json!({"description": "Triage", "agent_id": ann.id}))
        .await
        .expect(200);
    let url = format!("{hooks}/{}", id(&hook));

    // What no text of the database takes is kept as JSON has it, and shown as what stands for the unreadable.
    for (body, kept) in [
        (&b"a\0b"[..], json!("a\u{0}b")),
        (&b"\xff\xfe"[..], json!("\u{fffd}\u{fffd}")),
        (&br#"{"a": "\u0000"}"#[..], json!({"a": "\u{0}"})),
    ] {
        let sent = stranger
            .request(Method::POST, &url)
            .header("content-type", "application/octet-stream")
            .body(body);
        let payload = Rest::answer(sent).await.expect(202)["payload_id"]
            .as_str()
            .expect("an id")
            .to_owned();
        let read = person.get(&format!("{url}/payloads/{payload}")).await.expect(200);
        assert_eq!(read["payload"], kept);
    }
    let memory = person.get(&format!("/api/v1/boards/{board}/memory")).await.expect(200);
    let oldest = memory["items"][2]["content"].as_str().expect("a text");
    assert!(oldest.contains("\na\u{fffd}b\n"), "{oldest}");

    // A webhook that told an agent tells the lead once the agent is gone, and says so.
    let organization = office.organization.parse().expect("an id");
    let gone = Change::new("agent.deleted", organization).agent(Some(ann.id.parse().expect("an id")));
    office.happened(gone).await;
    assert_eq!(person.get(&url).await.expect(200)["agent_id"], Value::Null);
    let log = format!("/api/v1/activity?board_id={board}&event_types=board_webhook.updated&with_changes=true");
    let told = eventually("telling of the webhook", || async {
        person.get(&log).await.expect(200)["items"].get(0).cloned()
    })
    .await;
    assert_eq!(
        (&told["before"]["agent_id"], &told["after"]["agent_id"]),
        (&json!(ann.id), &Value::Null),
        "{told:#}"
    );
    office.mc.stop().await;
}
