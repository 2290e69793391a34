//! Agents: made, provisioned, changed and gone.

use std::time::Duration;

use proto::agent::v1::{EnsureBoardLeadRequest, agent_directory_service_client::AgentDirectoryServiceClient};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};
use testkit::gateway::{FakeGateway, Options, Release};

use crate::{
    harness::{Harness, Rest, eventually, id},
    path::{self, Team, team, token_of},
};

/// A team on a gateway, with the person that made it.
pub struct Scene {
    pub mc: Harness,
    pub fake: FakeGateway,
    pub person: Rest,
    pub team: Team,
}

impl Scene {
    pub async fn start() -> Self {
        let fake = FakeGateway::start(Options::release(Release::Latest)).await;
        let mc = Harness::start().await;
        let person = mc.person();
        let team = team(&person, &fake, "Alpha").await;
        Self { mc, fake, person, team }
    }

    pub fn agent(&self) -> String {
        id(&self.team.agent)
    }

    pub fn board(&self) -> String {
        id(&self.team.board)
    }

    pub fn url(&self) -> String {
        format!("/api/v1/agents/{}", self.agent())
    }

    pub fn session(&self) -> String {
        format!("agent:mc-{}:main", self.agent())
    }

    pub async fn get(&self) -> Value {
        self.person.get(&self.url()).await.expect(200)
    }

    pub async fn create(&self, body: Value) -> Value {
        self.person.post("/api/v1/agents", body).await.expect(200)
    }

    /// Waits until an agent shows this status.
    pub async fn shows(&self, status: &str) -> Value {
        eventually(&format!("showing {status}"), || async {
            let agent = self.get().await;
            (agent["status"] == status).then_some(agent)
        })
        .await
    }

    /// Waits until a condition of the agent has this status, and answers it.
    pub async fn condition(&self, kind: &str, status: &str) -> Value {
        eventually(&format!("{kind} being {status}"), || async {
            condition(&self.provisioning().await, kind, status)
        })
        .await
    }

    pub async fn provisioning(&self) -> Value {
        self.person
            .get(&format!("{}/provisioning", self.url()))
            .await
            .expect(200)
    }

    /// Waits until the gateway has everything.
    pub async fn settled(&self) -> Value {
        eventually("converging", || async {
            let now = self.provisioning().await;
            (now["observed_generation"] == now["desired_generation"] && condition(&now, "Woken", "true").is_some())
                .then_some(now)
        })
        .await
    }

    /// Changes rows behind the product's back: how time passes in a test.
    pub async fn sql(&self, statement: &str) -> Vec<sqlx::postgres::PgRow> {
        let mut connection = PgConnection::connect(&self.mc.database.url)
            .await
            .expect("the database");
        sqlx::query(AssertSqlSafe(statement.to_owned()))
            .fetch_all(&mut connection)
            .await
            .expect(statement)
    }

    pub async fn events(&self, kind: &str) -> Vec<String> {
        self.sql(&format!(
            "SELECT id::text FROM agent.recorded WHERE event_type = '{kind}' ORDER BY position, id"
        ))
        .await
        .iter()
        .map(|row| row.get(0))
        .collect()
    }

    /// The lead of the board, with its token.
    pub async fn lead(&self) -> (String, String) {
        let peer = self.mc.constellation.context.peers.as_service("agent", None, None);
        let request = EnsureBoardLeadRequest {
            board_id: self.board(),
            name: "Grace".into(),
            identity_profile: None,
        };
        let made = AgentDirectoryServiceClient::new(peer.clone())
            .ensure_board_lead(request.clone())
            .await
            .expect("a lead")
            .into_inner();
        assert!(made.created);
        let again = AgentDirectoryServiceClient::new(peer)
            .ensure_board_lead(request)
            .await
            .expect("the lead")
            .into_inner();
        assert!(!again.created);
        let (made, again) = (made.agent.expect("an agent"), again.agent.expect("an agent"));
        assert_eq!(made.id, again.id);
        let key = format!("lead-{}", self.board());
        assert_eq!(
            made.openclaw_session_id.as_deref(),
            Some(format!("agent:{key}:main").as_str())
        );
        (made.id, token_in(&self.fake, &key).await)
    }
}

/// The condition of a kind, when it has this status.
pub fn condition(provisioning: &Value, kind: &str, status: &str) -> Option<Value> {
    let conditions = provisioning["conditions"].as_array()?;
    conditions
        .iter()
        .find(|condition| condition["type"] == kind && condition["status"] == status)
        .cloned()
}

/// The token in the files of a gateway's agent.
pub async fn token_in(fake: &FakeGateway, key: &str) -> String {
    eventually("writing the files", || async {
        let text = fake.file(key, "TOOLS.md").or_else(|| fake.file(key, "AGENTS.md"))?;
        text.lines()
            .find_map(|line| line.strip_prefix("AUTH_TOKEN=").map(|token| token.trim().to_owned()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_is_provisioned_step_by_step_and_online_when_it_calls() {
    let scene = Scene::start().await;
    let agent = scene.agent();
    let settled = scene.settled().await;
    let steps: Vec<_> = settled["conditions"]
        .as_array()
        .expect("conditions")
        .iter()
        .map(|step| (step["type"].clone(), step["status"].clone()))
        .collect();
    let expected = [
        ("GatewayConnected", "true"),
        ("Created", "true"),
        ("HeartbeatConfigured", "true"),
        ("FilesWritten", "true"),
        ("Woken", "true"),
        ("CheckedIn", "unknown"),
    ];
    assert_eq!(
        steps,
        expected.map(|(kind, status)| (json!(kind), json!(status))),
        "{settled:#}"
    );
    assert_eq!(
        scene.get().await["status"],
        "provisioning",
        "nobody has heard of it yet"
    );
    eventually("the greeting", || async {
        scene
            .fake
            .messages(&scene.session())
            .first()
            .filter(|text| text.starts_with("Hello Alpha worker. Your workspace has been provisioned."))
            .cloned()
    })
    .await;
    assert!(
        !scene
            .fake
            .messages(&scene.session())
            .concat()
            .contains(&scene.team.token),
        "messages carry no token"
    );

    let worker = scene.mc.agent(&scene.team.token);
    let health = worker.get("/api/v1/agent/healthz").await.expect(200);
    assert_eq!(
        (
            &health["ok"],
            &health["agent_id"],
            &health["board_id"],
            &health["is_board_lead"]
        ),
        (&json!(true), &json!(agent), &json!(scene.board()), &json!(false))
    );
    // Any authenticated call is a sign of life.
    let online = scene.shows("online").await;
    assert!(online["last_seen_at"].is_string());
    scene.condition("CheckedIn", "true").await;

    let beat = worker.post("/api/v1/agent/heartbeat", json!({})).await.expect(200);
    assert_eq!((&beat["id"], &beat["status"]), (&json!(agent), &json!("online")));
    let busy = worker
        .post(&format!("{}/heartbeat", scene.url()), json!({"status": "busy"}))
        .await
        .expect(200);
    assert_eq!(busy["status"], "busy");
    let refused = worker
        .post(&format!("{}/heartbeat", scene.url()), json!({"status": "deleting"}))
        .await
        .detail(422);
    assert!(refused.to_string().contains("set by Mission Control"), "{refused}");
    let roster = worker.get("/api/v1/agent/agents").await.expect(200);
    assert_eq!(
        (&roster["total"], &roster["items"][0]["id"]),
        (&json!(1), &json!(agent)),
        "its own board only"
    );

    // The token is nowhere but in the files and, sealed, in the row.
    let leaks = scene
        .sql(&format!(
            "SELECT 1 FROM agent.recorded WHERE position(convert_to('{}', 'UTF8') IN event) > 0",
            scene.team.token
        ))
        .await;
    assert!(leaks.is_empty());
    scene.mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_requests_say_what_is_wrong() {
    let scene = Scene::start().await;
    let (person, board) = (&scene.person, scene.board());
    let nobody = "019f0000-0000-7000-8000-000000000000";
    let new = |name: &str| json!({"name": name, "board_id": board});

    assert_eq!(
        person.post("/api/v1/agents", json!({"name": "X"})).await.detail(422),
        "board_id is required"
    );
    assert_eq!(
        person
            .post("/api/v1/agents", json!({"name": "X", "board_id": nobody}))
            .await
            .detail(404),
        "Board not found"
    );
    assert_eq!(
        person.post("/api/v1/agents", new("ALPHA WORKER")).await.detail(409),
        "An agent with this name already exists on this board."
    );
    let beta = person
        .post("/api/v1/boards", path::board("Beta", &id(&scene.team.gateway)))
        .await
        .expect(200);
    let elsewhere = json!({"name": "Alpha worker", "board_id": id(&beta)});
    assert_eq!(
        person.post("/api/v1/agents", elsewhere).await.detail(409),
        "An agent with this name already exists in this gateway workspace."
    );
    // No wildcards: a name of `%` is a name.
    scene.create(new("%")).await;
    for (field, body) in [
        ("name", json!({"name": "two\nlines", "board_id": board})),
        (
            "heartbeat_config",
            json!({"name": "Y", "board_id": board, "heartbeat_config": {"every": "soon"}}),
        ),
        (
            "soul_template",
            json!({"name": "Y", "board_id": board, "soul_template": "one\n{{ agent_nam }}"}),
        ),
    ] {
        let refused = person.post("/api/v1/agents", body).await.detail(422);
        assert!(refused.to_string().contains(field), "{field}: {refused}");
    }
    let template = person
        .patch(&scene.url(), json!({"soul_template": "one\n{{ agent_nam }}"}))
        .await
        .detail(422)
        .to_string();
    assert!(template.contains("`agent_nam` is not defined on line 2"), "{template}");

    assert_eq!(
        person
            .patch(&scene.url(), json!({"status": "online"}))
            .await
            .detail(403),
        "status is controlled by agent heartbeat"
    );
    assert!(
        person
            .patch(&scene.url(), json!({"board_id": null}))
            .await
            .detail(422)
            .to_string()
            .contains("board_id")
    );
    assert_eq!(
        person.get(&format!("/api/v1/agents/{nobody}")).await.detail(404),
        "Agent not found"
    );
    assert_eq!(
        person.delete(&format!("/api/v1/agents/{nobody}")).await.detail(404),
        "Agent not found"
    );
    assert_eq!(
        person
            .get(&format!("/api/v1/agents?gateway_id={nobody}"))
            .await
            .detail(404),
        "Gateway not found"
    );
    assert_eq!(
        person
            .get(&format!("/api/v1/agents?board_id={nobody}"))
            .await
            .detail(403),
        "Board access denied"
    );

    let page = person
        .get(&format!("/api/v1/agents?board_id={board}&limit=1"))
        .await
        .expect(200);
    assert_eq!(
        (&page["total"], &page["items"][0]["name"]),
        (&json!(2), &json!("%")),
        "newest first"
    );
    let all = person
        .get(&format!("/api/v1/agents?gateway_id={}", id(&scene.team.gateway)))
        .await
        .expect(200);
    assert_eq!(all["total"], 3, "with the main agent: {all:#}");
    assert_eq!(person.get("/api/v1/agents?offset=50").await.expect(200)["total"], 3);

    // Another agent is not oneself; a worker makes no agents; a made-up token opens nothing.
    let worker = scene.mc.agent(&scene.team.token);
    let other = id(&all["items"]
        .as_array()
        .and_then(|items| items.iter().find(|agent| agent["name"] == "%"))
        .cloned()
        .expect("the other"));
    worker
        .post(&format!("/api/v1/agents/{other}/heartbeat"), json!({}))
        .await
        .expect(403);
    worker
        .post("/api/v1/agent/agents", json!({"name": "Z"}))
        .await
        .expect(403);
    let forged = format!("{}x", &scene.team.token[..scene.team.token.len() - 1]);
    assert_ne!(forged, scene.team.token);
    scene.mc.agent(&forged).get("/api/v1/agent/healthz").await.expect(401);
    scene.mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_reaches_the_gateway_and_nothing_else_does() {
    let scene = Scene::start().await;
    scene.settled().await;
    scene
        .mc
        .agent(&scene.team.token)
        .post("/api/v1/agent/heartbeat", json!({}))
        .await
        .expect(200);
    scene.shows("online").await;
    let key = format!("mc-{}", scene.agent());
    let mut live = scene
        .person
        .stream(&format!("/api/v1/agents/stream?board_id={}", scene.board()))
        .await;

    scene.fake.clear_calls();
    let before = scene.provisioning().await;
    let same = scene
        .person
        .patch(&scene.url(), json!({"name": "Alpha worker"}))
        .await
        .expect(200);
    assert_eq!(same["status"], "online");
    assert_eq!(
        scene.provisioning().await["desired_generation"],
        before["desired_generation"],
        "nothing changed"
    );

    let changed = scene
        .person
        .patch(
            &scene.url(),
            json!({"soul_template": "I am {{ agent_name }}.", "identity_profile": {"role": "Tester"}}),
        )
        .await
        .expect(200);
    assert_eq!(
        (&changed["status"], &changed["identity_profile"]["role"]),
        (&json!("updating"), &json!("Tester"))
    );
    let event = loop {
        let event = live.next().await;
        assert_eq!(event.event, "agent");
        if event.data["type"] == "agent.updated" {
            break event;
        }
    };
    assert_eq!(event.data["agent"]["status"], "updating", "{event:?}");
    eventually("the soul", || async {
        scene
            .fake
            .file(&key, "SOUL.md")
            .filter(|soul| soul.trim() == "I am Alpha worker.")
    })
    .await;
    scene.shows("online").await;
    let told = eventually("the second greeting", || async {
        scene
            .fake
            .messages(&scene.session())
            .last()
            .filter(|text| text.contains("updated"))
            .cloned()
    })
    .await;
    assert!(told.starts_with("Hello Alpha worker."), "{told}");
    let written: Vec<_> = scene
        .fake
        .calls_of("agents.files.set")
        .iter()
        .filter(|call| call.params["agentId"] == key.as_str())
        .map(|call| call.params["name"].clone())
        .collect();
    assert!(
        written.contains(&json!("SOUL.md")) && !written.contains(&json!("USER.md")),
        "only what differs: {written:?}"
    );
    assert!(
        !scene
            .fake
            .calls_of("agents.create")
            .iter()
            .any(|call| call.params.to_string().contains(&key))
    );
    assert_eq!(
        token_of(&scene.fake, &scene.agent()).await,
        scene.team.token,
        "the token stays"
    );

    // A rule of the board is told to its agents; its description is not.
    scene.fake.clear_calls();
    let generation = scene.settled().await["desired_generation"].as_i64().expect("a number");
    scene
        .person
        .patch(
            &format!("/api/v1/boards/{}", scene.board()),
            json!({"description": "Something else"}),
        )
        .await
        .expect(200);
    scene
        .person
        .patch(
            &format!("/api/v1/boards/{}", scene.board()),
            json!({"only_lead_can_change_status": true}),
        )
        .await
        .expect(200);
    eventually("rendering the rule", || async {
        scene
            .fake
            .file(&key, "AGENTS.md")
            .filter(|text| text.contains("only the lead changes statuses"))
    })
    .await;
    let settled = scene.settled().await;
    assert_eq!(settled["desired_generation"], generation + 1, "once");
    scene.mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotated_token_replaces_the_old_one() {
    let scene = Scene::start().await;
    scene.settled().await;
    let old = scene.mc.agent(&scene.team.token);
    old.get("/api/v1/agent/healthz").await.expect(200);
    scene
        .person
        .post(&format!("{}/rotate-token", scene.url()), json!({}))
        .await
        .expect(200);
    eventually("the old token's end", || async {
        (old.get("/api/v1/agent/healthz").await.status == 401).then_some(())
    })
    .await;
    let new = eventually("the new token", || async {
        let token = token_of(&scene.fake, &scene.agent()).await;
        (token != scene.team.token).then_some(token)
    })
    .await;
    scene.mc.agent(&new).get("/api/v1/agent/healthz").await.expect(200);
    assert_eq!(scene.events("agent.token_rotated").await.len(), 1);
    scene.mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_agent_leaves_the_gateway_and_its_tasks() {
    let scene = Scene::start().await;
    scene.settled().await;
    let worker = scene.mc.agent(&scene.team.token);
    worker.get("/api/v1/agent/healthz").await.expect(200);
    let tasks = format!("/api/v1/boards/{}/tasks", scene.board());
    let task = scene
        .person
        .post(
            &tasks,
            json!({"title": "Half done", "assigned_agent_id": scene.agent()}),
        )
        .await
        .expect(200);
    let mut live = scene.person.stream("/api/v1/agents/stream").await;

    assert_eq!(scene.person.delete(&scene.url()).await.expect(200), json!({"ok": true}));
    eventually("the row's end", || async {
        (scene.person.get(&scene.url()).await.status == 404).then_some(())
    })
    .await;
    let key = format!("mc-{}", scene.agent());
    assert!(!scene.fake.agents().contains(&key), "{:?}", scene.fake.agents());
    eventually("the token's end", || async {
        (worker.get("/api/v1/agent/healthz").await.status == 401).then_some(())
    })
    .await;
    let mut kinds = Vec::new();
    while kinds.last() != Some(&json!("agent.deleted")) {
        kinds.push(live.next().await.data["type"].clone());
    }
    eventually("freeing the task", || async {
        let all = scene.person.get(&tasks).await.expect(200);
        let item = all["items"]
            .as_array()?
            .iter()
            .find(|item| item["id"] == task["id"])?
            .clone();
        item["assigned_agent_id"].is_null().then_some(())
    })
    .await;
    // Its name is free again.
    scene
        .create(json!({"name": "Alpha worker", "board_id": scene.board()}))
        .await;
    scene.mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn templates_are_synchronised_as_asked() {
    let scene = Scene::start().await;
    scene.settled().await;
    let url = format!("/api/v1/gateways/{}/templates/sync", id(&scene.team.gateway));
    let sync = async |body: Value| {
        let query: Vec<String> = body
            .as_object()
            .expect("an object")
            .iter()
            .map(|(key, value)| {
                format!(
                    "{key}={}",
                    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
                )
            })
            .collect();
        scene
            .person
            .post(&format!("{url}?{}", query.join("&")), json!({}))
            .await
            .expect(200)
    };
    let key = format!("mc-{}", scene.agent());
    // Files that were damaged are mended; what agents keep themselves is left alone unless asked for.
    scene.fake.put_file(&key, "SOUL.md", "nothing");
    scene.fake.put_file(&key, "MEMORY.md", "mine");
    let done = sync(json!({})).await;
    assert_eq!(
        (
            &done["agents_updated"],
            &done["agents_skipped"],
            &done["main_updated"],
            &done["errors"]
        ),
        (&json!(1), &json!(0), &json!(true), &json!([])),
        "{done:#}"
    );
    assert!(
        scene
            .fake
            .file(&key, "SOUL.md")
            .is_some_and(|text| text.contains("How you behave"))
    );
    assert_eq!(scene.fake.file(&key, "MEMORY.md").as_deref(), Some("mine"));
    sync(json!({"overwrite": true, "include_main": false})).await;
    assert_ne!(scene.fake.file(&key, "MEMORY.md").as_deref(), Some("mine"));

    let lead_only = sync(json!({"lead_only": true, "include_main": false})).await;
    assert_eq!(
        (&lead_only["agents_updated"], &lead_only["main_updated"]),
        (&json!(0), &json!(false))
    );
    let foreign = sync(json!({"board_id": "019f0000-0000-7000-8000-000000000000"})).await;
    assert_eq!(
        (&foreign["errors"][0]["message"], &foreign["main_updated"]),
        (&json!("Board does not belong to this gateway."), &json!(false))
    );
    let rotated = sync(json!({"rotate_tokens": true, "include_main": false})).await;
    assert_eq!(rotated["agents_updated"], 1, "{rotated:#}");
    let token = token_of(&scene.fake, &scene.agent()).await;
    assert_ne!(token, scene.team.token);
    scene.mc.agent(&token).get("/api/v1/agent/healthz").await.expect(200);
    assert_eq!(
        scene
            .person
            .post(
                "/api/v1/gateways/019f0000-0000-7000-8000-000000000000/templates/sync",
                json!({})
            )
            .await
            .detail(404),
        "Gateway not found"
    );
    tokio::time::timeout(Duration::from_secs(10), scene.mc.stop())
        .await
        .expect("stops");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_is_changed_as_it_was_seen() {
    let scene = Scene::start().await;
    scene.settled().await;
    let seen = scene.person.get(&scene.url()).await;
    let etag = seen
        .headers
        .get("etag")
        .and_then(|etag| etag.to_str().ok())
        .expect("an etag")
        .to_owned();
    assert_eq!(
        seen.expect(200)["etag"].as_str(),
        Some(etag.trim_matches('"')),
        "the same in the body"
    );
    // What the agent and its gateway do changes nothing that can be edited.
    scene
        .mc
        .agent(&scene.team.token)
        .post("/api/v1/agent/heartbeat", json!({}))
        .await
        .expect(200);
    let change = async |etag: &str, body: Value| {
        let request = scene
            .person
            .request(reqwest::Method::PATCH, &scene.url())
            .header("if-match", etag)
            .header("content-type", "application/json")
            .body(body.to_string());
        Rest::answer(request).await
    };
    let renamed = change(&etag, json!({"name": "Alpha two"})).await.expect(200);
    assert_ne!(renamed["etag"].as_str(), Some(etag.trim_matches('"')));
    let stale = change(&etag, json!({"name": "Alpha three"})).await.detail(412);
    assert_eq!(stale["etag"], renamed["etag"], "{stale:#}");
    assert_eq!(scene.get().await["name"], "Alpha two");
    let request = scene
        .person
        .request(reqwest::Method::DELETE, &scene.url())
        .header("if-match", &etag);
    Rest::answer(request).await.detail(412);
    scene.mc.stop().await;
}
