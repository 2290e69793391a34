//! Outbound webhooks: tried again as planned or as asked, given up, switched off, delivered again, and kept away from private places.

use std::time::{Duration, Instant};

use chassis::settings::Settings;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use testkit::gateway::{FakeGateway, Options};
use tokio::net::TcpListener;
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{header_exists, method, path},
};

use crate::harness::{Harness, Rest, eventually, id};

const HOOKS: &str = "/api/v1/organizations/me/webhooks";

async fn subscribe(person: &Rest, url: &str) -> String {
    id(&person
        .post(HOOKS, json!({"url": url, "event_types": ["tag.created"]}))
        .await
        .expect(200))
}

/// Waits until the only delivery of a subscription has this status, and answers it with its attempts.
async fn delivery(person: &Rest, webhook: &str, status: &str) -> Value {
    let log = format!("{HOOKS}/{webhook}/deliveries");
    let found = eventually(&format!("a {status} delivery"), || async {
        let log = person.get(&format!("{log}?status={status}")).await.expect(200);
        log["items"][0]["id"].as_str().map(str::to_owned)
    })
    .await;
    person.get(&format!("{log}/{found}")).await.expect(200)
}

fn statuses(delivery: &Value) -> Vec<Value> {
    delivery["attempts"]
        .as_array()
        .expect("attempts")
        .iter()
        .map(|attempt| attempt["status"].clone())
        .collect()
}

async fn ids(server: &MockServer, path: &str) -> Vec<String> {
    let received = server.received_requests().await.expect("they are recorded");
    received
        .iter()
        .filter(|request| request.url.path() == path)
        .map(|request| request.headers["webhook-id"].to_str().expect("text").to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deliveries_follow_the_plan_and_the_endpoint() {
    let server = MockServer::start().await;
    let on = |place: &str| {
        Mock::given(method("POST"))
            .and(path(place))
            .and(header_exists("webhook-signature"))
    };
    on("/flaky")
        .respond_with(ResponseTemplate::new(500).set_body_string("not yet"))
        .up_to_n_times(2)
        .mount(&server)
        .await;
    on("/flaky")
        .respond_with(ResponseTemplate::new(204))
        .mount(&server)
        .await;
    on("/busy")
        .respond_with(ResponseTemplate::new(503).insert_header("retry-after", "3"))
        .up_to_n_times(1)
        .mount(&server)
        .await;
    on("/busy")
        .respond_with(ResponseTemplate::new(200))
        .mount(&server)
        .await;
    on("/broken")
        .respond_with(ResponseTemplate::new(500))
        .up_to_n_times(3)
        .mount(&server)
        .await;
    on("/broken")
        .respond_with(ResponseTemplate::new(201))
        .mount(&server)
        .await;
    on("/moved")
        .respond_with(ResponseTemplate::new(302).insert_header("location", format!("{}/flaky", server.uri()).as_str()))
        .mount(&server)
        .await;
    on("/gone")
        .respond_with(ResponseTemplate::new(410))
        .up_to_n_times(1)
        .mount(&server)
        .await;
    on("/gone")
        .respond_with(ResponseTemplate::new(204))
        .mount(&server)
        .await;
    let mc = Harness::with(|settings| {
        settings.webhook_allowed_networks = "127.0.0.0/8".into();
        settings.webhook_retry_schedule = "1s,1s".into();
    })
    .await;
    let person = mc.person();
    let at = |place: &str| format!("{}{place}", server.uri());
    let (flaky, busy, broken, moved, gone) = (
        subscribe(&person, &at("/flaky")).await,
        subscribe(&person, &at("/busy")).await,
        subscribe(&person, &at("/broken")).await,
        subscribe(&person, &at("/moved")).await,
        subscribe(&person, &at("/gone")).await,
    );
    let began = Instant::now();
    person.post("/api/v1/tags", json!({"name": "Urgent"})).await.expect(200);

    // Refused twice, taken the third time: one delivery, one id, its attempts and answers kept.
    let done = delivery(&person, &flaky, "succeeded").await;
    assert_eq!(statuses(&done), [500, 500, 204].map(|status| json!(status)), "{done:#}");
    assert_eq!(done["attempts"][0]["response_excerpt"], "not yet");
    assert!(began.elapsed() >= Duration::from_secs(2), "it waits a second twice");
    let seen = ids(&server, "/flaky").await;
    assert_eq!(seen.len(), 3, "a redirect is not followed: {seen:?}");
    assert!(
        seen.iter().all(|id| *id == seen[0]),
        "receivers can tell a repetition by its id: {seen:?}"
    );

    // The endpoint's own wish wins over a shorter plan.
    let done = delivery(&person, &busy, "succeeded").await;
    assert_eq!(statuses(&done), [503, 200].map(|status| json!(status)), "{done:#}");
    let attempt = |number: usize| {
        let text = done["attempts"][number]["started_at"]
            .as_str()
            .expect("a time")
            .to_owned();
        time::OffsetDateTime::parse(&text, &time::format_description::well_known::Rfc3339).expect("RFC 3339")
    };
    let pause = attempt(1) - attempt(0);
    assert!(
        pause >= time::Duration::seconds(3),
        "it asked for three seconds and got {pause}"
    );

    // Given up when the plan ends; a person delivers it again, and the plan begins anew.
    let failed = delivery(&person, &broken, "failed").await;
    assert_eq!(
        statuses(&failed),
        [500, 500, 500].map(|status| json!(status)),
        "{failed:#}"
    );
    let redeliver = |webhook: &str, delivery: &Value| {
        format!(
            "{HOOKS}/{webhook}/deliveries/{}/redeliver",
            delivery["delivery"]["id"]
                .as_str()
                .or(delivery["id"].as_str())
                .expect("an id")
        )
    };
    person.post(&redeliver(&broken, &failed), json!({})).await.expect(202);
    let done = delivery(&person, &broken, "succeeded").await;
    assert_eq!(
        statuses(&done),
        [500, 500, 500, 201].map(|status| json!(status)),
        "{done:#}"
    );
    let failed = delivery(&person, &moved, "failed").await;
    assert_eq!(
        statuses(&failed),
        [302, 302, 302].map(|status| json!(status)),
        "{failed:#}"
    );

    // Gone for good: switched off with the reason, tried no more; switched on again it works.
    let failed = delivery(&person, &gone, "failed").await;
    assert_eq!(statuses(&failed), [json!(410)], "{failed:#}");
    let off = person.get(&format!("{HOOKS}/{gone}")).await.expect(200);
    assert_eq!(
        (&off["enabled"], &off["disabled_reason"]),
        (&json!(false), &json!("The endpoint answered 410 Gone."))
    );
    let refused = person.post(&redeliver(&gone, &failed), json!({})).await.detail(409);
    assert_eq!(refused, "The webhook is disabled; enable it before delivering again.");
    person.post("/api/v1/tags", json!({"name": "Later"})).await.expect(200);
    // Who gets an event is decided when it is logged.
    eventually("logging the tag", || async {
        let feed = person
            .get("/api/v1/activity?event_type=tag.created&with_changes=true")
            .await
            .expect(200);
        let logged = feed["items"]
            .as_array()?
            .iter()
            .any(|event| event["after"]["name"] == "Later");
        logged.then_some(())
    })
    .await;
    let on = person
        .patch(&format!("{HOOKS}/{gone}"), json!({"enabled": true}))
        .await
        .expect(200);
    assert_eq!((&on["enabled"], &on["disabled_reason"]), (&json!(true), &Value::Null));
    person.post(&redeliver(&gone, &failed), json!({})).await.expect(202);
    let done = delivery(&person, &gone, "succeeded").await;
    assert_eq!(statuses(&done), [410, 204].map(|status| json!(status)), "{done:#}");
    mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_at_the_same_time_do_not_undo_each_other_and_old_deliveries_go() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(204))
        .mount(&server)
        .await;
    let open = |settings: &mut Settings| settings.webhook_allowed_networks = "127.0.0.0/8".into();
    let mc = Harness::with(open).await;
    let person = mc.person();
    let webhook = subscribe(&person, &server.uri()).await;
    let url = format!("{HOOKS}/{webhook}");
    for round in 0..10 {
        let (description, kinds) = (
            format!("Round {round}"),
            json!([format!("tag.round_{}", "x".repeat(round + 1)), "tag.created"]),
        );
        let (one, other) = futures::join!(
            person.patch(&url, json!({"description": description})),
            person.patch(&url, json!({"event_types": kinds}))
        );
        one.expect(200);
        other.expect(200);
        let now = person.get(&url).await.expect(200);
        assert_eq!(
            (&now["description"], &now["event_types"]),
            (&json!(description), &kinds)
        );
    }
    let many: Vec<_> = (0..101).map(|_| "tag.created").collect();
    person.patch(&url, json!({"event_types": many})).await.detail(422);

    person.post("/api/v1/tags", json!({"name": "Urgent"})).await.expect(200);
    delivery(&person, &webhook, "succeeded").await;
    let database = mc.stop().await;
    let mut connection = PgConnection::connect(&database.url)
        .await
        .expect("the database answers");
    sqlx::query("UPDATE activity.deliveries SET created_at = now() - interval '31 days'")
        .execute(&mut connection)
        .await
        .expect("they are old");
    let mc = Harness::on(database, open).await;
    let log = format!("{url}/deliveries");
    eventually("old deliveries going", || async {
        (mc.person().get(&log).await.expect(200)["total"] == 0).then_some(())
    })
    .await;
    mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn private_places_are_out_of_reach_unless_opened() {
    let mc = Harness::with(|settings| settings.webhook_retry_schedule = "1s".into()).await;
    let person = mc.person();
    for url in [
        "https://127.0.0.1/hook",
        "https://[::1]/hook",
        "https://10.0.0.1/",
        "https://169.254.169.254/latest/meta-data",
        "https://[::ffff:192.168.0.1]/",
        "http://example.org/hook",
    ] {
        let detail = person.post(HOOKS, json!({"url": url})).await.detail(422);
        assert_eq!(detail[0]["loc"], json!(["body", "url"]), "{url}: {detail:#}");
    }
    assert_eq!(person.get(HOOKS).await.expect(200)["total"], 0);

    // A name is looked up when the connection is made: what it leads to decides.
    let inside = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = inside.local_addr().expect("bound").port();
    let webhook = subscribe(&person, &format!("https://localhost:{port}/hook")).await;
    person.post("/api/v1/tags", json!({"name": "Urgent"})).await.expect(200);
    let failed = delivery(&person, &webhook, "failed").await;
    assert_eq!(statuses(&failed), [Value::Null, Value::Null], "{failed:#}");
    let error = failed["attempts"][0]["error"].as_str().expect("an error");
    assert!(error.contains("private or link-local"), "{error}");
    assert!(
        tokio::time::timeout(Duration::from_millis(100), inside.accept())
            .await
            .is_err(),
        "nobody connected"
    );
    mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateways_secrets_stay_out_of_deliveries() {
    let (fake, server) = (FakeGateway::start(Options::default()).await, MockServer::start().await);
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(204))
        .mount(&server)
        .await;
    let mc = Harness::with(|settings| settings.webhook_allowed_networks = "127.0.0.0/8".into()).await;
    let person = mc.person();
    id(&person.post(HOOKS, json!({"url": server.uri()})).await.expect(200));
    let team = crate::path::team(&person, &fake, "Alpha").await;
    let bodies = eventually("telling of the gateway and the agent", || async {
        let received = server.received_requests().await?;
        let bodies: Vec<String> = received
            .iter()
            .map(|request| String::from_utf8_lossy(&request.body).into_owned())
            .collect();
        let told = |kind: &str| bodies.iter().any(|body| body.contains(&format!("\"type\":\"{kind}\"")));
        (told("gateway.created") && told("agent.created") && told("board.created")).then_some(bodies)
    })
    .await;
    for body in bodies {
        assert!(
            !body.contains(&fake.token()) && !body.contains(&team.token),
            "a secret in {body}"
        );
    }
    mc.stop().await;
}
