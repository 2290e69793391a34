//! Sessions of gateways over REST, and the live view of gateways.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::gateway::{FakeGateway, Options, Release};
use uuid::Uuid;

use crate::{
    harness::{Harness, eventually, id},
    path::{board, team},
};

fn texts(history: &Value) -> Vec<String> {
    let text = |message: &Value| match &message["content"] {
        Value::String(text) => text.clone(),
        parts => parts[0]["text"].as_str().unwrap_or_default().to_owned(),
    };
    history["history"]
        .as_array()
        .expect("a list")
        .iter()
        .map(text)
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_are_listed_read_and_written_to_on_every_release() {
    for release in [Release::Old, Release::Latest] {
        let fake = FakeGateway::start(Options::release(release)).await;
        let mc = Harness::start().await;
        let person = mc.person();
        let team = team(&person, &fake, "Alpha").await;
        let query = format!("board_id={}", id(&team.board));
        let main = format!("agent:mc-gateway-{}:main", id(&team.gateway));
        let worker = format!("agent:mc-{}:main", id(&team.agent));

        let sent = format!("/api/v1/gateways/sessions/{worker}/message?{query}");
        assert_eq!(
            person
                .post(&sent, json!({"content": " Where are you? "}))
                .await
                .expect(200),
            json!({"ok": true})
        );
        let listed = eventually("the worker's session", || async {
            let listed = person
                .get(&format!("/api/v1/gateways/sessions?{query}"))
                .await
                .expect(200);
            let found = listed["sessions"]
                .as_array()
                .is_some_and(|sessions| sessions.iter().any(|session| session["key"] == json!(worker)));
            found.then_some(listed)
        })
        .await;
        assert!(listed.as_object().is_some_and(|keys| keys.contains_key("main_session")));

        let one = format!("/api/v1/gateways/sessions/{worker}?{query}");
        assert_eq!(person.get(&one).await.expect(200)["session"]["key"], json!(worker));
        let history = eventually("the answer", || async {
            let path = format!("/api/v1/gateways/sessions/{worker}/history?{query}");
            let texts = texts(&person.get(&path).await.expect(200));
            texts.iter().any(|text| text == "ack: Where are you?").then_some(texts)
        })
        .await;
        assert!(history.contains(&"Where are you?".to_owned()), "{history:?}");
        let short = format!("/api/v1/gateways/sessions/{worker}/history?{query}&limit=1");
        assert_eq!(texts(&person.get(&short).await.expect(200)).len(), 1);
        person
            .get(&format!("/api/v1/gateways/sessions/{worker}/history?{query}&limit=0"))
            .await
            .expect(422);

        // The main session is made when it is asked for.
        let asked = person
            .get(&format!("/api/v1/gateways/sessions/{main}?{query}"))
            .await
            .expect(200);
        assert_eq!(asked["session"]["key"], json!(main));
        let listed = person
            .get(&format!("/api/v1/gateways/sessions?{query}"))
            .await
            .expect(200);
        assert_eq!(listed["main_session"]["key"], json!(main));

        // A gateway is found by itself too: not all have a board.
        let direct = format!("gateway_id={}", id(&team.gateway));
        let by_itself = person
            .get(&format!("/api/v1/gateways/sessions?{direct}"))
            .await
            .expect(200);
        assert_eq!(by_itself["main_session"]["key"], json!(main));
        let said = format!("/api/v1/gateways/sessions/{worker}/message?{direct}");
        person.post(&said, json!({"content": "And now?"})).await.expect(200);
        eventually("the second answer", || async {
            let path = format!("/api/v1/gateways/sessions/{worker}/history?{direct}");
            let texts = texts(&person.get(&path).await.expect(200));
            texts.iter().any(|text| text == "ack: And now?").then_some(())
        })
        .await;
        mc.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_meant_is_refused_and_told() {
    let fake = FakeGateway::start(Options::release(Release::Latest)).await;
    let mc = Harness::start().await;
    let person = mc.person();
    let team = team(&person, &fake, "Alpha").await;
    let query = format!("board_id={}", id(&team.board));
    let unknown = Uuid::now_v7();
    for path in [
        "/api/v1/gateways/sessions",
        "/api/v1/gateways/sessions/agent:x:main",
        "/api/v1/gateways/sessions/agent:x:main/history",
    ] {
        assert_eq!(person.get(path).await.detail(422), "board_id is required", "{path}");
        person.get(&format!("{path}?board_id=nonsense")).await.expect(422);
        assert_eq!(
            person.get(&format!("{path}?board_id={unknown}")).await.detail(404),
            "Board not found"
        );
        assert_eq!(
            person.get(&format!("{path}?gateway_id={unknown}")).await.detail(404),
            "Gateway not found"
        );
        person
            .get(&format!("{path}?{query}&gateway_id={unknown}"))
            .await
            .expect(422);
    }
    let nobody = format!("/api/v1/gateways/sessions/agent:mc-{unknown}:main");
    assert_eq!(
        person.get(&format!("{nobody}?{query}")).await.detail(404),
        "Session not found"
    );
    let sent = person
        .post(&format!("{nobody}/message?{query}"), json!({"content": "Hello"}))
        .await;
    assert_eq!(sent.detail(404), "Session not found");
    for wrong in [json!({"content": "  "}), json!({})] {
        person
            .post(&format!("{nobody}/message?{query}"), wrong)
            .await
            .expect(422);
    }
    mc.nobody()
        .get(&format!("/api/v1/gateways/sessions?{query}"))
        .await
        .expect(401);
    mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_is_silent_or_away_is_told_within_seconds() {
    let fake = FakeGateway::start(Options::release(Release::Latest)).await;
    let mc = Harness::start().await;
    let person = mc.person();
    let team = team(&person, &fake, "Alpha").await;
    let path = format!("/api/v1/gateways/sessions?board_id={}", id(&team.board));
    person.get(&path).await.expect(200);

    fake.freeze(true);
    let began = Instant::now();
    let detail = person.get(&path).await.detail(504);
    assert!(
        detail
            .as_str()
            .is_some_and(|text| text.contains("within 5 s") && text.contains("try again")),
        "{detail}"
    );
    assert!(began.elapsed() < Duration::from_secs(9), "{:?}", began.elapsed());
    fake.freeze(false);

    fake.refuse_upgrades(Some(503));
    fake.close_all(1012, "service restart");
    let began = Instant::now();
    let detail = person.get(&path).await.detail(502);
    assert!(detail.as_str().is_some_and(|text| text.contains("503")), "{detail}");
    assert!(began.elapsed() < Duration::from_secs(9), "{:?}", began.elapsed());
    let status = person
        .get(&format!("/api/v1/gateways/status?board_id={}", id(&team.board)))
        .await
        .expect(200);
    assert_eq!(status["connected"], json!(false), "{status:#}");

    fake.refuse_upgrades(None);
    eventually("the gateway's return", || async {
        (person.get(&path).await.status == 200).then_some(())
    })
    .await;
    mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stored_token_is_meant_by_its_mask_for_the_stored_address_only() {
    let fake = FakeGateway::start(Options::release(Release::Latest)).await;
    let elsewhere = FakeGateway::start(Options {
        token: "another-token".into(),
        ..Options::release(Release::Latest)
    })
    .await;
    let mc = Harness::start().await;
    let person = mc.person();
    let body = json!({"name": "Lab", "url": fake.url(), "token": fake.token(), "workspace_root": "~/.openclaw"});
    let gateway = person.post("/api/v1/gateways", body).await.expect(200);
    let mask = gateway["token"].as_str().expect("a mask").to_owned();
    let flags = "gateway_disable_device_pairing=false&gateway_allow_insecure_tls=false";
    for token in [format!("&gateway_token={mask}"), String::new()] {
        let path = format!("/api/v1/gateways/status?gateway_url={}&{flags}{token}", fake.url());
        let status = person.get(&path).await.expect(200);
        assert_eq!(status["connected"], json!(true), "{status:#}");
    }
    // What the form of the product sends is the session that is there already: no new connection.
    let connections = fake.connections();
    let path = format!(
        "/api/v1/gateways/status?gateway_url={}&{flags}&gateway_token={mask}",
        fake.url()
    );
    person.get(&path).await.expect(200);
    assert_eq!(fake.connections(), connections);
    let path = format!(
        "/api/v1/gateways/status?gateway_url={}&{flags}&gateway_token={mask}",
        elsewhere.url()
    );
    let status = person.get(&path).await.expect(200);
    assert_eq!(status["connected"], json!(false), "{status:#}");
    let path = format!(
        "/api/v1/gateways/status?gateway_url={}&gateway_token={}",
        elsewhere.url(),
        elsewhere.token()
    );
    assert_eq!(person.get(&path).await.expect(200)["connected"], json!(true));

    // The form of the product sends everything back, mask included: nothing is wiped.
    let form = json!({"name": "Lab", "url": gateway["url"], "token": mask, "workspace_root": "~/.openclaw",
        "allow_insecure_tls": false, "disable_device_pairing": false});
    let saved = person
        .patch(&format!("/api/v1/gateways/{}", id(&gateway)), form)
        .await
        .expect(200);
    assert_eq!(saved["token"], json!(mask));
    let status = person
        .get(&format!("/api/v1/gateways/status?gateway_url={}", fake.url()))
        .await
        .expect(200);
    assert_eq!(status["connected"], json!(true), "{status:#}");
    mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateways_are_watched_live_and_watching_is_resumed() {
    let fake = FakeGateway::start(Options::release(Release::Latest)).await;
    let mc = Harness::start().await;
    let person = mc.person();
    person.get("/api/v1/users/me").await.expect(200);
    let mut events = person.stream("/api/v1/gateways/stream").await;
    let body = json!({"name": "Lab", "url": fake.url(), "token": fake.token(), "workspace_root": "~/.openclaw"});
    let gateway = person.post("/api/v1/gateways", body).await.expect(200);
    let created = events.next().await;
    assert_eq!(
        (
            created.event.as_str(),
            &created.data["type"],
            &created.data["gateway"]["name"]
        ),
        ("gateway", &json!("gateway.created"), &json!("Lab"))
    );
    assert!(!created.data.to_string().contains(&fake.token()));
    let connected = events.next().await;
    assert_eq!(
        (&connected.data["type"], &connected.data["connection"]["phase"]),
        (&json!("gateway.connection_changed"), &json!("connected"))
    );
    drop(events);

    let neighbour = person
        .post("/api/v1/boards", board("Alpha", &id(&gateway)))
        .await
        .expect(200);
    assert_eq!(neighbour["gateway_id"], gateway["id"]);
    let resumed = person
        .request(reqwest::Method::GET, "/api/v1/gateways/stream")
        .header("last-event-id", created.id.expect("an id"));
    let mut resumed = crate::harness::Events::open(resumed).await;
    let again = resumed.next().await;
    assert_eq!((again.id, again.data), (connected.id, connected.data));

    let connections = person.get("/api/v1/gateways/connections").await.expect(200);
    assert_eq!(
        (
            &connections["items"][0]["gateway_id"],
            &connections["items"][0]["phase"],
            &connections["items"][0]["version"]
        ),
        (&gateway["id"], &json!("connected"), &json!("2026.9.6"))
    );
    assert!(
        connections["items"][0]["scopes"]
            .as_array()
            .is_some_and(|scopes| scopes.contains(&json!("operator.admin"))),
        "{connections:#}"
    );
    mc.stop().await;
}
