//! Every change leaves an entry in the audit trail. The operations that change something come from the document, which comes from the
//! descriptors, so that a new one is held to it without a line here: each is called with valid input as in the test of the contract, and what
//! succeeded is looked up by its request id.

use serde_json::Value;
use sqlx::{Connection, PgConnection};
use testkit::gateway::{FakeGateway, Options, Release};

use crate::{
    contract::{drive, operations, seed},
    harness::{Harness, PATIENCE},
};

/// Operations that may succeed without an entry, and why that is right.
const QUIET: [(&str, &str); 3] = [
    (
        "heartbeat",
        "one that says nothing new within ten seconds of the last is answered without being written",
    ),
    (
        "bootstrap_user",
        "a person who is there already is answered; signing in for the first time made them",
    ),
    ("set_active_org", "it is the active one already"),
];

/// Changes of what is kept elsewhere: the trail says who, what and where, and leaves what was said to the gateway.
const ELSEWHERE: [&str; 1] = ["send_gateway_session_message"];

/// From this stage on operations take away the organization, and with it who may read its trail.
const LAST: u8 = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_change_leaves_an_entry() {
    let fake = FakeGateway::start(Options::release(Release::Latest)).await;
    let mc = Harness::with(|settings| {
        settings.rate_limit_agent = 0;
        settings.rate_limit_user = 0;
    })
    .await;
    let document = mc.nobody().get("/openapi.json").await.expect(200);
    let (mut seeds, callers) = seed(&mc, &fake).await;
    let (mut changed, mut last) = (Vec::new(), Vec::new());
    let mut trail_was_read = false;
    let mut missing = Vec::new();
    for operation in operations(&document) {
        if operation.rank().0 >= LAST && !trail_was_read {
            missing = unread(&mc, &changed).await;
            trail_was_read = true;
        }
        // What nobody signs (payloads of webhooks) has no key to repeat it, but changes something too.
        if !operation.changes() && !operation.id.contains("ingest") {
            continue;
        }
        let answer = drive(&document, &operation, &mut seeds, &callers)
            .await
            .unwrap_or_else(|why| panic!("{}: {why}", operation.id));
        seeds.keep(&operation, &answer);
        let quiet = QUIET.iter().any(|(part, _)| operation.id.contains(part));
        if !answer.status.is_success() || quiet {
            continue;
        }
        let request = answer.headers["x-request-id"].to_str().expect("text").to_owned();
        if trail_was_read {
            last.push((operation.id, request));
        } else {
            changed.push((operation.id, request));
        }
    }
    assert!(changed.len() > 60, "only {} changes succeeded", changed.len());
    assert!(!last.is_empty());
    // Nobody may read the trail of what is gone, but it is there.
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let mut database = PgConnection::connect(&mc.database.url).await.expect("the database");
    for (operation, request) in last {
        loop {
            let there: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM activity.events WHERE request_id = $1)")
                .bind(&request)
                .fetch_one(&mut database)
                .await
                .expect("an answer");
            if there {
                break;
            }
            if tokio::time::Instant::now() > deadline {
                missing.push(operation);
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }
    assert!(missing.is_empty(), "without an entry: {missing:#?}");
    mc.stop().await;
}

/// Changes without an entry, or with one that does not say who changed what: actor, organization, target and what it was before or is after.
async fn unread(mc: &Harness, changed: &[(String, String)]) -> Vec<String> {
    let person = mc.person();
    let deadline = tokio::time::Instant::now() + PATIENCE / 3;
    let mut missing = Vec::new();
    for (operation, request) in changed {
        loop {
            let found = person
                .get(&format!("/api/v1/audit?request_id={request}"))
                .await
                .expect(200);
            let entries = found["items"].as_array().expect("a list");
            if !entries.is_empty() {
                let elsewhere = ELSEWHERE.iter().any(|part| operation.contains(part));
                let said = |entry: &Value| {
                    (entry["actor_type"] == "anonymous" || entry["actor_id"].as_str().is_some_and(|id| !id.is_empty()))
                        && entry["target_type"].as_str().is_some_and(|kind| !kind.is_empty())
                        && (elsewhere || !(entry["before"].is_null() && entry["after"].is_null()))
                };
                if !entries.iter().any(said) {
                    missing.push(format!("{operation}: incomplete: {:#}", found["items"]));
                }
                break;
            }
            if tokio::time::Instant::now() > deadline {
                missing.push(operation.clone());
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }
    missing
}
