//! Agents: made, provisioned, seen, changed, silent and gone; and what they are told.

use std::time::Duration;

use proto::agent::v1::{EnsureBoardLeadRequest, agent_directory_service_client::AgentDirectoryServiceClient};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};
use testkit::gateway::{FakeGateway, Fault, Options, Release};

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

fn condition(provisioning: &Value, kind: &str, status: &str) -> Option<Value> {
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
async fn gateways_that_fail_or_restart_are_waited_for() {
    let mc = Harness::start().await;
    let person = mc.person();
    // Old releases restart with every patch and take three a minute: the team's two and the one that fails.
    let releases = [
        (Release::Old, vec![("config.patch", Fault::RestartAfter)]),
        (
            Release::Latest,
            vec![
                ("agents.files.set", Fault::RestartBefore),
                ("chat.send", Fault::CutAfter),
                (
                    "agents.create",
                    Fault::Error(json!({"code": "UNAVAILABLE", "message": "not now"})),
                ),
            ],
        ),
    ];
    for (release, faults) in releases {
        let fake = FakeGateway::start(Options::release(release)).await;
        let first = team(&person, &fake, &format!("{release:?}")).await;
        for (method, fault) in faults {
            fake.fail_next(method, fault);
            let name = format!("{release:?} after {method}");
            let agent = person
                .post("/api/v1/agents", json!({"name": name, "board_id": id(&first.board)}))
                .await
                .expect(200);
            let url = format!("/api/v1/agents/{}/provisioning", id(&agent));
            eventually(&name, || async {
                let now = person.get(&url).await.expect(200);
                (now["observed_generation"] == 1
                    && condition(&now, "Woken", "true").is_some()
                    && condition(&now, "FilesWritten", "true").is_some())
                .then_some(())
            })
            .await;
            let key = format!("mc-{}", id(&agent));
            assert!(fake.agents().contains(&key), "{name}");
            assert!(fake.file(&key, "SOUL.md").is_some(), "{name}");
            let greetings = fake
                .messages(&format!("agent:{key}:main"))
                .iter()
                .filter(|text| text.starts_with("Hello"))
                .count();
            assert_eq!(greetings, 1, "{name}: greeted once");
        }
    }
    mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_is_away_is_named_and_caught_up_with() {
    let scene = Scene::start().await;
    scene.settled().await;
    scene.fake.refuse_upgrades(Some(503));
    scene.fake.cut();
    let gateway = format!("/api/v1/gateways/{}/connection", id(&scene.team.gateway));
    eventually("losing the gateway", || async {
        (scene.person.get(&gateway).await.expect(200)["phase"] != "connected").then_some(())
    })
    .await;

    scene
        .person
        .patch(&scene.url(), json!({"name": "Alpha two"}))
        .await
        .expect(200);
    let missing = scene.condition("GatewayConnected", "false").await;
    assert!(
        missing["message"].as_str().is_some_and(|text| text.len() > 20),
        "it says why: {missing:#}"
    );
    let waiting = scene.provisioning().await;
    assert!(
        waiting["next_attempt_at"].is_string() && waiting["attempts"].as_i64() > Some(0),
        "{waiting:#}"
    );
    // Told once, however often it is tried.
    eventually("a second attempt", || async {
        (scene.provisioning().await["attempts"].as_i64() > Some(1)).then_some(())
    })
    .await;
    let sentences = scene
        .sql("SELECT encode(event, 'escape') FROM agent.recorded WHERE event_type = 'agent.update.failed'")
        .await;
    assert!(
        (1..=2).contains(&sentences.len()),
        "one event a cause: {:?}",
        sentences.iter().map(|row| row.get::<String, _>(0)).collect::<Vec<_>>()
    );
    let synced = scene
        .person
        .post(
            &format!("/api/v1/gateways/{}/templates/sync", id(&scene.team.gateway)),
            json!({}),
        )
        .await
        .expect(200);
    assert_eq!(
        (&synced["agents_updated"], synced["errors"].as_array().map(Vec::len)),
        (&json!(0), Some(1)),
        "{synced:#}"
    );

    // An agent that never got there goes at once.
    let never = scene
        .create(json!({"name": "Never there", "board_id": scene.board()}))
        .await;
    scene
        .person
        .delete(&format!("/api/v1/agents/{}", id(&never)))
        .await
        .expect(200);
    eventually("the end of what never was", || async {
        (scene.person.get(&format!("/api/v1/agents/{}", id(&never))).await.status == 404).then_some(())
    })
    .await;

    scene.fake.refuse_upgrades(None);
    let key = format!("mc-{}", scene.agent());
    eventually("catching up", || async {
        scene
            .fake
            .file(&key, "IDENTITY.md")
            .filter(|text| text.contains("Alpha two"))
    })
    .await;
    scene.settled().await;
    scene.mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_agent_is_woken_three_times_and_keeps_its_token() {
    let scene = Scene::start().await;
    scene.settled().await;
    let greetings = || {
        scene
            .fake
            .messages(&scene.session())
            .iter()
            .filter(|text| text.starts_with("Hello"))
            .count()
    };
    for expected in 2..=3 {
        scene.sql("UPDATE agent.agents SET last_wake_at = last_wake_at - interval '31 seconds', next_attempt_at = now() WHERE board_id IS NOT NULL").await;
        eventually("waking again", || async { (greetings() == expected).then_some(()) }).await;
        eventually("recording the wake-up", || async {
            let rows = scene
                .sql(&format!(
                    "SELECT wake_attempts FROM agent.agents WHERE id = '{}' AND lease_id IS NULL",
                    scene.agent()
                ))
                .await;
            (rows.first().map(|row| row.get::<i32, _>(0)) == i32::try_from(expected).ok()).then_some(())
        })
        .await;
    }
    assert_eq!(scene.get().await["status"], "provisioning");
    scene.sql("UPDATE agent.agents SET last_wake_at = last_wake_at - interval '31 seconds', next_attempt_at = now() WHERE board_id IS NOT NULL").await;
    scene.shows("offline").await;
    let silent = scene.condition("CheckedIn", "false").await;
    assert!(
        silent["message"]
            .as_str()
            .is_some_and(|text| text.contains("three wake-ups")),
        "{silent:#}"
    );
    assert_eq!(greetings(), 3);
    assert_eq!(
        token_of(&scene.fake, &scene.agent()).await,
        scene.team.token,
        "silence rotates nothing"
    );
    scene
        .mc
        .agent(&scene.team.token)
        .post("/api/v1/agent/heartbeat", json!({}))
        .await
        .expect(200);
    scene.shows("online").await;
    scene.mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_missed_heartbeats_are_offline() {
    let scene = Scene::start().await;
    scene.settled().await;
    scene
        .person
        .patch(&scene.url(), json!({"heartbeat_config": {"every": "30s"}}))
        .await
        .expect(200);
    scene.settled().await;
    scene
        .mc
        .agent(&scene.team.token)
        .post("/api/v1/agent/heartbeat", json!({}))
        .await
        .expect(200);
    scene.shows("online").await;
    let mut live = scene
        .person
        .stream(&format!("/api/v1/agents/stream?board_id={}", scene.board()))
        .await;
    scene
        .sql("UPDATE agent.agents SET last_seen_at = now() - interval '80 seconds' WHERE board_id IS NOT NULL")
        .await;
    assert_eq!(scene.get().await["status"], "online", "two beats and a bit");
    scene.sql("UPDATE agent.agents SET last_seen_at = now() - interval '91 seconds', next_attempt_at = NULL WHERE board_id IS NOT NULL").await;
    assert_eq!(scene.get().await["status"], "offline", "computed when asked");
    loop {
        let told = live.next().await.data;
        if told["type"] == "agent.status_changed" && told["agent"]["status"] == "offline" {
            break;
        }
    }
    scene
        .mc
        .agent(&scene.team.token)
        .post("/api/v1/agent/heartbeat", json!({}))
        .await
        .expect(200);
    assert_eq!(scene.get().await["status"], "online");
    scene.mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_gateway_has_its_main_agent() {
    let scene = Scene::start().await;
    let gateway = id(&scene.team.gateway);
    let main = || async {
        let all = scene
            .person
            .get(&format!("/api/v1/agents?gateway_id={gateway}"))
            .await
            .expect(200);
        all["items"]
            .as_array()?
            .iter()
            .find(|agent| agent["is_gateway_main"] == true)
            .cloned()
    };
    let agent = eventually("the main agent", main).await;
    assert_eq!(
        (&agent["name"], &agent["board_id"]),
        (&json!("Alpha gateway Gateway Agent"), &Value::Null)
    );
    let key = format!("mc-gateway-{gateway}");
    assert_eq!(agent["openclaw_session_id"], format!("agent:{key}:main"));
    assert_eq!(
        (&agent["identity_profile"]["role"], &agent["identity_profile"]["emoji"]),
        (&json!("Gateway Agent"), &json!(":compass:"))
    );
    let token = token_in(&scene.fake, &key).await;
    let itself = scene.mc.agent(&token);
    assert_eq!(
        itself.get("/api/v1/agent/healthz").await.expect(200)["board_id"],
        Value::Null
    );
    assert_eq!(
        itself.get("/api/v1/agent/agents").await.expect(200)["total"],
        2,
        "every agent of its organization"
    );

    scene
        .person
        .patch(&format!("/api/v1/gateways/{gateway}"), json!({"name": "Lab"}))
        .await
        .expect(200);
    eventually("the new name", || async {
        main().await.filter(|agent| agent["name"] == "Lab Gateway Agent")
    })
    .await;
    eventually("the name in its files", || async {
        scene
            .fake
            .file(&key, "IDENTITY.md")
            .filter(|text| text.contains("Lab Gateway Agent"))
    })
    .await;
    let refused = scene
        .person
        .patch(
            &format!("/api/v1/agents/{}", id(&agent)),
            json!({"is_gateway_main": false}),
        )
        .await
        .detail(422);
    assert_eq!(
        refused,
        "board_id is required when converting a gateway-main agent to board scope"
    );
    scene.mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lead_makes_workers_within_the_boards_limit() {
    let scene = Scene::start().await;
    let (lead, token) = scene.lead().await;
    let itself = scene.mc.agent(&token);
    // The file that has the token is not the last that is written.
    eventually("introducing the lead", || async {
        scene.fake.file(&format!("lead-{}", scene.board()), "BOOTSTRAP.md")
    })
    .await;
    scene
        .person
        .patch(&format!("/api/v1/boards/{}", scene.board()), json!({"max_agents": 2}))
        .await
        .expect(200);
    let made = itself
        .post(
            "/api/v1/agent/agents",
            json!({"name": "Second", "identity_profile": {"role": " Writer ", "skills": ["a", " b"]}}),
        )
        .await
        .expect(200);
    assert_eq!(
        (&made["board_id"], &made["status"], &made["identity_profile"]),
        (
            &json!(scene.board()),
            &json!("provisioning"),
            &json!({"role": "Writer", "skills": "a, b"})
        )
    );
    let refused = itself
        .post("/api/v1/agent/agents", json!({"name": "Third"}))
        .await
        .detail(409);
    assert_eq!(
        refused,
        "Board worker-agent limit reached: max_agents=2 (excluding the lead); cannot create more than 2 agents."
    );
    scene.create(json!({"name": "Third", "board_id": scene.board()})).await;
    let beta = scene
        .person
        .post("/api/v1/boards", path::board("Beta", &id(&scene.team.gateway)))
        .await
        .expect(200);
    let elsewhere = itself
        .post("/api/v1/agent/agents", json!({"name": "Fourth", "board_id": id(&beta)}))
        .await
        .detail(403);
    assert_eq!(elsewhere, "Board leads can only create agents in their own board");

    // Boards take their agents with them.
    scene
        .person
        .delete(&format!("/api/v1/boards/{}", scene.board()))
        .await
        .expect(200);
    for agent in [lead, scene.agent(), id(&made)] {
        eventually("going with the board", || async {
            (scene.person.get(&format!("/api/v1/agents/{agent}")).await.status == 404).then_some(())
        })
        .await;
    }
    eventually("leaving the gateway", || async {
        (scene
            .fake
            .agents()
            .iter()
            .filter(|key| key.starts_with("lead-") || key.contains(&scene.agent()))
            .count()
            == 0)
            .then_some(())
    })
    .await;
    scene.mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agents_are_told_what_concerns_them() {
    let scene = Scene::start().await;
    scene.settled().await;
    let (_, token) = scene.lead().await;
    let (lead, worker) = (scene.mc.agent(&token), scene.mc.agent(&scene.team.token));
    let lead_session = format!("agent:lead-{}:main", scene.board());
    let told = |session: &str, header: &str| {
        scene
            .fake
            .messages(session)
            .into_iter()
            .filter(|text| text.starts_with(header))
            .collect::<Vec<_>>()
    };
    let arrives = async |session: &str, header: &str, text: &str| {
        eventually(header, || async {
            told(session, header).into_iter().find(|message| message.contains(text))
        })
        .await
    };
    let tasks = format!("/api/v1/boards/{}/tasks", scene.board());
    let own = format!("/api/v1/agent/boards/{}/tasks", scene.board());

    let task = scene
        .person
        .post(&tasks, json!({"title": "Build a kite", "description": "Red"}))
        .await
        .expect(200);
    let message = arrives(&lead_session, "NEW TASK ADDED", "Build a kite").await;
    assert!(
        message.contains("Board: Alpha")
            && message.contains(&format!("Task ID: {}", id(&task)))
            && message.contains("Description: Red"),
        "{message}"
    );
    lead.patch(
        &format!("{own}/{}", id(&task)),
        json!({"assigned_agent_id": scene.agent()}),
    )
    .await
    .expect(200);
    arrives(&scene.session(), "TASK ASSIGNED", "Build a kite").await;
    eventually("recording it", || async {
        (scene.events("task.assignee_notified").await.len() == 1).then_some(())
    })
    .await;

    worker
        .patch(&format!("{own}/{}", id(&task)), json!({"status": "in_progress"}))
        .await
        .expect(200);
    scene
        .person
        .post(
            &format!("{tasks}/{}/comments", id(&task)),
            json!({"message": "How is it going?"}),
        )
        .await
        .expect(200);
    arrives(&scene.session(), "NEW TASK COMMENT", "How is it going?").await;
    worker
        .post(
            &format!("{own}/{}/comments", id(&task)),
            json!({"message": "@lead which red?"}),
        )
        .await
        .expect(200);
    let mention = arrives(&lead_session, "TASK MENTION", "which red?").await;
    assert!(mention.contains("From: Alpha worker"), "{mention}");

    let approval = worker
        .post(&format!("/api/v1/agent/boards/{}/approvals", scene.board()), json!({"action_type": "buy_paint", "confidence": 70, "task_id": id(&task), "lead_reasoning": "Out of red."}))
        .await
        .expect(200);
    scene
        .person
        .patch(
            &format!("/api/v1/boards/{}/approvals/{}", scene.board(), id(&approval)),
            json!({"status": "rejected"}),
        )
        .await
        .expect(200);
    for session in [&lead_session, &scene.session()] {
        arrives(session, "APPROVAL RESOLVED", "Decision: rejected").await;
    }

    // Own deeds are not told.
    assert_eq!(told(&scene.session(), "TASK STARTED").len(), 0);
    assert_eq!(told(&scene.session(), "TASK MENTION").len(), 0);

    // What cannot be sent now is sent when the gateway is back, once and in order.
    scene.fake.refuse_upgrades(Some(503));
    scene.fake.cut();
    for number in 1..=3 {
        scene
            .person
            .post(
                &format!("{tasks}/{}/comments", id(&task)),
                json!({"message": format!("note {number}")}),
            )
            .await
            .expect(200);
    }
    eventually("queueing", || async {
        let rows = scene
            .sql("SELECT count(*) FROM agent.messages WHERE state = 'waiting'")
            .await;
        (rows[0].get::<i64, _>(0) == 3).then_some(())
    })
    .await;
    scene.fake.refuse_upgrades(None);
    eventually("catching up", || async {
        (told(&scene.session(), "NEW TASK COMMENT").len() == 4).then_some(())
    })
    .await;
    let notes: Vec<_> = told(&scene.session(), "NEW TASK COMMENT")
        .iter()
        .filter_map(|text| text.split("note ").nth(1).and_then(|rest| rest.chars().next()))
        .collect();
    assert_eq!(notes, ['1', '2', '3']);
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
async fn a_silent_agent_is_woken_when_it_has_work_and_only_then() {
    let scene = Scene::start().await;
    scene.settled().await;
    let worker = scene.mc.agent(&scene.team.token);
    let idle = scene.create(json!({"name": "Idle", "board_id": scene.board()})).await;
    let idle_token = token_in(&scene.fake, &format!("mc-{}", id(&idle))).await;
    let greetings = |agent: &str| {
        scene
            .fake
            .messages(&format!("agent:mc-{agent}:main"))
            .iter()
            .filter(|text| text.starts_with("Hello"))
            .count()
    };
    eventually("the greetings", || async {
        (greetings(&scene.agent()) == 1 && greetings(&id(&idle)) == 1).then_some(())
    })
    .await;
    for agent in [&worker, &scene.mc.agent(&idle_token)] {
        agent.post("/api/v1/agent/heartbeat", json!({})).await.expect(200);
    }
    eventually("being settled", || async {
        let waiting = scene
            .sql("SELECT 1 FROM agent.agents WHERE board_id IS NOT NULL AND (wake_attempts > 0 OR lease_id IS NOT NULL OR next_attempt_at IS NOT NULL)")
            .await;
        waiting.is_empty().then_some(())
    })
    .await;
    let tasks = format!("/api/v1/boards/{}/tasks", scene.board());
    for (title, status) in [("Open", "inbox"), ("Closed", "done")] {
        let owner = if status == "done" { id(&idle) } else { scene.agent() };
        scene
            .person
            .post(
                &tasks,
                json!({"title": title, "status": status, "assigned_agent_id": owner}),
            )
            .await
            .expect(200);
    }
    eventually("knowing the open task", || async {
        let work = scene.sql("SELECT agent_id::text FROM agent.work").await;
        (work.len() == 1 && work[0].get::<String, _>(0) == scene.agent()).then_some(())
    })
    .await;
    scene
        .sql("UPDATE agent.agents SET last_seen_at = now() - interval '31 minutes' WHERE board_id IS NOT NULL")
        .await;
    eventually("waking the one with work", || async {
        (greetings(&scene.agent()) == 2).then_some(())
    })
    .await;
    assert!(
        scene
            .fake
            .messages(&scene.session())
            .last()
            .is_some_and(|text| text.starts_with("Hello Alpha worker. You were not heard of for a while")),
    );
    eventually("telling of both", || async {
        let all = scene
            .sql("SELECT 1 FROM agent.agents WHERE board_id IS NOT NULL AND shown_status = 'offline'")
            .await;
        (all.len() == 2).then_some(())
    })
    .await;
    let shown = scene
        .person
        .get(&format!("/api/v1/agents/{}", id(&idle)))
        .await
        .expect(200);
    assert_eq!(
        (&shown["status"], &shown["status_reason"]),
        (&json!("offline"), &json!("It missed 3 heartbeats of 10 min each."))
    );
    assert_eq!(greetings(&id(&idle)), 1, "nobody is woken for nothing");
    scene.mc.stop().await;
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
