//! The product's main path over REST, with a scripted gateway: from a person who creates a board to an agent that finishes its task.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use testkit::gateway::{FakeGateway, Options, Release};
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{method, path},
};

use crate::harness::{Harness, Rest, eventually, id};

/// What a person prepares before work begins.
pub struct Team {
    pub gateway: Value,
    pub board: Value,
    pub agent: Value,
    /// The agent's raw token, as it stands in the files on the gateway.
    pub token: String,
}

/// Registers a gateway, creates a board and an agent, and waits until the agent's files are on the gateway.
pub async fn team(person: &Rest, fake: &FakeGateway, name: &str) -> Team {
    let gateway = person
        .post("/api/v1/gateways", json!({"name": format!("{name} gateway"), "url": fake.url(), "token": fake.token(), "workspace_root": "~/.openclaw"}))
        .await
        .expect(200);
    let board = person
        .post("/api/v1/boards", board(name, &id(&gateway)))
        .await
        .expect(200);
    let agent = person
        .post(
            "/api/v1/agents",
            json!({"name": format!("{name} worker"), "board_id": board["id"]}),
        )
        .await
        .expect(200);
    assert_eq!(agent["status"], "provisioning", "an agent is answered at once");
    let token = token_of(fake, &id(&agent)).await;
    Team {
        gateway,
        board,
        agent,
        token,
    }
}

/// A board's body.
pub fn board(name: &str, gateway: &str) -> Value {
    json!({"name": name, "slug": name.to_lowercase(), "description": "What the team works on", "gateway_id": gateway, "require_approval_for_done": false})
}

/// The token in an agent's files.
pub async fn token_of(fake: &FakeGateway, agent: &str) -> String {
    token_at(fake, &format!("mc-{agent}")).await
}

/// The token in the files of what the gateway calls `key`: `mc-<agent>`, `lead-<board>` or `mc-gateway-<gateway>`.
pub async fn token_at(fake: &FakeGateway, key: &str) -> String {
    eventually("writing the agent's files", || async {
        let text = fake.file(key, "TOOLS.md").or_else(|| fake.file(key, "AGENTS.md"))?;
        text.lines()
            .find_map(|line| line.strip_prefix("AUTH_TOKEN=").map(|token| token.trim().to_owned()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_a_board_to_a_finished_task() {
    let fake = FakeGateway::start(Options::release(Release::Latest)).await;
    let hook = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path("/hook"))
        .respond_with(ResponseTemplate::new(204))
        .mount(&hook)
        .await;
    let mc = Harness::with(|settings| settings.webhook_allowed_networks = "127.0.0.0/8".into()).await;
    let person = mc.person();

    // The first sign-in makes the person and a personal organization.
    let me = person.get("/api/v1/users/me").await.expect(200);
    assert_eq!(me["email"], "admin@home.local");
    let organizations = person.get("/api/v1/organizations/me/list").await.expect(200);
    assert_eq!(
        (
            &organizations[0]["name"],
            &organizations[0]["role"],
            &organizations[0]["is_active"]
        ),
        (&json!("Personal"), &json!("owner"), &json!(true))
    );

    let webhook = person
        .post(
            "/api/v1/organizations/me/webhooks",
            json!({"url": format!("{}/hook", hook.uri()), "event_types": ["task.status_changed"]}),
        )
        .await
        .expect(200);
    let secret = STANDARD
        .decode(
            webhook["secret"]
                .as_str()
                .expect("a secret")
                .strip_prefix("whsec_")
                .expect("its prefix"),
        )
        .expect("base64");

    let team = team(&person, &fake, "Alpha").await;
    let (board, agent) = (id(&team.board), id(&team.agent));
    assert!(
        team.gateway["token"].as_str().is_some_and(|mask| mask != fake.token()),
        "the token is masked: {}",
        team.gateway["token"]
    );
    let connection = person
        .get(&format!("/api/v1/gateways/{}/connection", id(&team.gateway)))
        .await
        .expect(200);
    assert_eq!(connection["phase"], "connected", "{connection:#}");

    // The agent reports for the first time and is online then.
    let worker = mc.agent(&team.token);
    worker.post("/api/v1/agent/heartbeat", json!({})).await.expect(200);
    let seen = person.get(&format!("/api/v1/agents/{agent}")).await.expect(200);
    assert_eq!(seen["status"], "online", "{seen:#}");

    let mut live = person.stream(&format!("/api/v1/boards/{board}/tasks/stream")).await;
    let task = person
        .post(
            &format!("/api/v1/boards/{board}/tasks"),
            json!({"title": "Write the report"}),
        )
        .await
        .expect(200);
    let other = person
        .post("/api/v1/tasks", json!({"board_id": board, "title": "Second task"}))
        .await
        .expect(200);
    let created = live.next().await;
    assert_eq!(
        (
            created.event.as_str(),
            &created.data["type"],
            &created.data["task"]["title"]
        ),
        ("task", &json!("task.created"), &json!("Write the report"))
    );
    assert!(created.id.is_some(), "an event can be resumed after");

    // Assigned, the agent is told over the gateway.
    let assigned = person
        .patch(
            &format!("/api/v1/boards/{board}/tasks/{}", id(&task)),
            json!({"assigned_agent_id": agent}),
        )
        .await
        .expect(200);
    assert_eq!(assigned["assigned_agent_id"], agent.as_str());
    person
        .post(
            &format!("/api/v1/tasks/{}/assign-agent", id(&other)),
            json!({"agent_id": agent}),
        )
        .await
        .expect(200);
    let session = format!("agent:mc-{agent}:main");
    eventually("telling the agent", || async {
        (fake
            .messages(&session)
            .iter()
            .filter(|text| text.contains("TASK ASSIGNED"))
            .count()
            == 2)
            .then_some(())
    })
    .await;

    // The agent works over REST.
    let mine = worker
        .get(&format!("/api/v1/agent/boards/{board}/tasks?assigned_agent_id={agent}"))
        .await
        .expect(200);
    assert_eq!(mine["total"], 2, "{mine:#}");
    let url = format!("/api/v1/agent/boards/{board}/tasks/{}", id(&task));
    let started = worker.patch(&url, json!({"status": "in_progress"})).await.expect(200);
    assert!(
        started["in_progress_at"].as_str().is_some_and(|at| at.ends_with('Z')),
        "{started:#}"
    );
    worker
        .post(&format!("{url}/comments"), json!({"message": "On it."}))
        .await
        .expect(200);
    worker
        .patch(&url, json!({"status": "review", "comment": "Done, please look."}))
        .await
        .expect(200);

    // Watchers see each step, in order.
    let mut kinds = Vec::new();
    while !kinds
        .iter()
        .any(|(kind, status)| kind == "task.status_changed" && status == "review")
    {
        let event = live.next().await;
        kinds.push((
            event.data["type"].as_str().unwrap_or_default().to_owned(),
            event.data["task"]["status"].as_str().unwrap_or_default().to_owned(),
        ));
    }
    assert!(
        kinds.contains(&("task.status_changed".into(), "in_progress".into())),
        "{kinds:?}"
    );
    assert!(kinds.iter().any(|(kind, _)| kind == "task.comment"), "{kinds:?}");

    // The log says who did what, before and after.
    let logged = eventually("logging the change", || async {
        let feed = person
            .get(&format!(
                "/api/v1/activity?board_id={board}&event_type=task.status_changed&with_changes=true"
            ))
            .await
            .expect(200);
        feed["items"]
            .as_array()?
            .iter()
            .find(|event| event["after"]["status"] == "in_progress")
            .cloned()
    })
    .await;
    assert_eq!(
        (&logged["actor_type"], &logged["actor_id"], &logged["before"]["status"]),
        (&json!("agent"), &json!(agent), &json!("inbox"))
    );

    // The webhook got both moves, signed.
    let received = eventually("delivering the webhook", || async {
        let received = hook.received_requests().await?;
        (received.len() == 2).then_some(received)
    })
    .await;
    for request in received {
        let header = |name: &str| {
            request
                .headers
                .get(name)
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default()
                .to_owned()
        };
        let body = String::from_utf8(request.body.clone()).expect("UTF-8");
        assert_eq!(
            header("webhook-signature"),
            signature(
                &secret,
                &format!("{}.{}.{body}", header("webhook-id"), header("webhook-timestamp"))
            )
        );
    }
    let deliveries = person
        .get(&format!(
            "/api/v1/organizations/me/webhooks/{}/deliveries?status=succeeded",
            id(&webhook)
        ))
        .await
        .expect(200);
    assert_eq!(deliveries["total"], 2, "{deliveries:#}");

    // Templates are rendered again; nothing differs, so nothing is sent.
    eventually("settling the agents", || async {
        let provisioning = person
            .get(&format!("/api/v1/agents/{agent}/provisioning"))
            .await
            .expect(200);
        (provisioning["observed_generation"] == provisioning["desired_generation"]
            && provisioning["next_attempt_at"].is_null())
        .then_some(())
    })
    .await;
    fake.clear_calls();
    let synced = person
        .post(
            &format!("/api/v1/gateways/{}/templates/sync", id(&team.gateway)),
            json!({}),
        )
        .await
        .expect(200);
    assert_eq!(
        (&synced["agents_updated"], &synced["errors"]),
        (&json!(1), &json!([])),
        "{synced:#}"
    );
    // The gateway's main agent may still be on its way.
    let key = format!("mc-{agent}");
    let written: Vec<Value> = fake
        .calls_of("agents.files.set")
        .into_iter()
        .map(|call| call.params)
        .filter(|params| params["agentId"] == key)
        .collect();
    assert!(
        written.is_empty(),
        "what is right already is not written again: {written:?}"
    );

    // A board that requires an approval lets the task become done only with one.
    person
        .patch(
            &format!("/api/v1/boards/{board}"),
            json!({"require_approval_for_done": true}),
        )
        .await
        .expect(200);
    let task_url = format!("/api/v1/boards/{board}/tasks/{}", id(&task));
    let refused = person.patch(&task_url, json!({"status": "done"})).await.detail(409);
    assert_eq!(
        refused["message"], "Task can only be marked done when a linked approval has been approved.",
        "{refused:#}"
    );
    let approval = worker
        .post(&format!("/api/v1/agent/boards/{board}/approvals"), json!({"action_type": "mark_done", "confidence": 90, "task_id": id(&task), "lead_reasoning": "The report is complete."}))
        .await
        .expect(200);
    assert_eq!(
        (&approval["status"], &approval["agent_id"]),
        (&json!("pending"), &json!(agent))
    );
    let decided = person
        .patch(
            &format!("/api/v1/boards/{board}/approvals/{}", id(&approval)),
            json!({"status": "approved"}),
        )
        .await
        .expect(200);
    assert_eq!(decided["status"], "approved");
    let done = person.patch(&task_url, json!({"status": "done"})).await.expect(200);
    assert_eq!(done["status"], "done");

    // An agent reaches its own board only.
    let beta = person
        .post("/api/v1/boards", self::board("Beta", &id(&team.gateway)))
        .await
        .expect(200);
    worker
        .get(&format!("/api/v1/agent/boards/{}/tasks", id(&beta)))
        .await
        .expect(403);

    for probe in ["/health", "/healthz", "/readyz"] {
        assert_eq!(mc.nobody().get(probe).await.expect(200)["ok"], true);
    }
    mc.stop().await;
}

fn signature(secret: &[u8], text: &str) -> String {
    use hmac::{Hmac, KeyInit, Mac};
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret).expect("a key");
    mac.update(text.as_bytes());
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}
