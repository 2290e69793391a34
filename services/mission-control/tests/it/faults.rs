//! Faults: parts the product stands on go away and come back, answer wrongly or late, and the product itself is stopped in the middle.
//! Whoever asks meanwhile is told why; what was promised happens afterwards, once, without anybody's help.

use std::{
    collections::HashMap,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures::future::join_all;
use mission_control::{SCHEMAS, postgres::Postgres};
use reqwest::Method;
use serde_json::{Value, json};
use testkit::{
    Database,
    gateway::{FakeGateway, Fault, Options, Release},
};
use tokio::net::TcpListener;
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate, matchers::method};

use crate::{
    harness::{Events, Harness, PATIENCE, Rest, TOKEN, eventually, id},
    path::{board, team},
};

/// An endpoint of webhooks that takes what comes while it is open, and answers 503 otherwise.
struct Hook {
    server: MockServer,
    open: Arc<AtomicBool>,
    /// How often each delivery was taken, by its id, with the payload's event.
    taken: Arc<Mutex<HashMap<String, (String, usize)>>>,
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Door {
    open: Arc<AtomicBool>,
    taken: Arc<Mutex<HashMap<String, (String, usize)>>>,
}

impl Respond for Door {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        if !self.open.load(Ordering::SeqCst) {
            return ResponseTemplate::new(503);
        }
        let delivery = request.headers["webhook-id"].to_str().expect("text").to_owned();
        let payload: Value = request.body_json().expect("JSON");
        let event = payload["data"]["id"]
            .as_str()
            .unwrap_or_else(|| panic!("an id in {payload:#}"))
            .to_owned();
        locked(&self.taken).entry(delivery).or_insert((event, 0)).1 += 1;
        ResponseTemplate::new(204)
    }
}

impl Hook {
    async fn start() -> Self {
        let (server, open, taken) = (
            MockServer::start().await,
            Arc::new(AtomicBool::new(true)),
            Arc::default(),
        );
        let door = Door {
            open: Arc::clone(&open),
            taken: Arc::clone(&taken),
        };
        Mock::given(method("POST")).respond_with(door).mount(&server).await;
        Self { server, open, taken }
    }

    async fn subscribe(&self, person: &Rest, kind: &str) -> String {
        let body = json!({"url": format!("{}/hook", self.server.uri()), "event_types": [kind]});
        id(&person.post("/api/v1/organizations/me/webhooks", body).await.expect(200))
    }

    /// Waits for so many deliveries, of as many events, each taken once.
    async fn takes(&self, count: usize) {
        eventually(&format!("taking {count} deliveries"), || async {
            (locked(&self.taken).len() >= count).then_some(())
        })
        .await;
        let taken = locked(&self.taken);
        let mut events: Vec<_> = taken.values().map(|(event, _)| event).collect();
        events.sort_unstable();
        events.dedup();
        assert_eq!(
            (taken.len(), events.len()),
            (count, count),
            "one delivery an event: {taken:?}"
        );
        assert!(
            taken.values().all(|(_, times)| *times == 1),
            "each is taken once: {taken:?}"
        );
    }
}

/// A stream that begins after an event, as a browser opens it again.
async fn resumed(mc: &Harness, path: &str, after: &str) -> Events {
    mc.rest(&[("authorization", &format!("Bearer {TOKEN}")), ("last-event-id", after)])
        .stream(path)
        .await
}

async fn title(stream: &mut Events) -> Value {
    let event = stream.next().await;
    assert_eq!(event.data["type"], "task.created", "{event:?}");
    event.data["task"]["title"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_stopped_and_started_loses_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    // PostgreSQL runs as another user when we are root, and has to get in.
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).expect("it is ours");
    let (bin, cluster) = (
        std::env::var_os("PG_BIN_DIR").map(PathBuf::from),
        dir.path().join("postgres"),
    );
    let server = Postgres::start(bin.as_deref(), &cluster)
        .await
        .expect("PostgreSQL starts");
    chassis::store::migrate(&server.url, &SCHEMAS)
        .await
        .expect("it is migrated");
    let (fake, hook) = (FakeGateway::start(Options::default()).await, Hook::start().await);
    let mc = Harness::on(Database::lent(&server.url), |settings| {
        settings.webhook_allowed_networks = "127.0.0.0/8".into();
    })
    .await;
    let person = mc.person();
    let team = team(&person, &fake, "Alpha").await;
    let worker = mc.agent(&team.token);
    let webhook = hook.subscribe(&person, "task.created").await;
    let tasks = format!("/api/v1/boards/{}/tasks", id(&team.board));
    let stream = format!("{tasks}/stream");
    let mut live = person.stream(&stream).await;
    person.post(&tasks, json!({"title": "before"})).await.expect(200);
    let seen = live.next().await.id.expect("a position");
    // One that is being sent when the database goes is sent again: receivers know it by its id.
    let log = format!("/api/v1/organizations/me/webhooks/{webhook}/deliveries?status=succeeded");
    eventually("the first delivery", || async {
        (person.get(&log).await.expect(200)["total"] == 1).then_some(())
    })
    .await;

    server.stop().await.expect("PostgreSQL stops");
    let heartbeat = "/api/v1/agent/heartbeat".to_owned();
    let asked = [
        person.send(Method::GET, &tasks, None),
        person.send(Method::POST, &tasks, Some(json!({"title": "never"}))),
        person.send(Method::GET, "/api/v1/gateways", None),
        person.send(Method::GET, "/api/v1/organizations/me/webhooks", None),
    ];
    let mut answers = join_all(asked).await;
    answers.push(worker.post(&heartbeat, json!({})).await);
    for answer in answers {
        let retry = answer
            .headers
            .get("retry-after")
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.parse::<u64>().ok());
        assert!(
            retry.is_some_and(|seconds| (1..=60).contains(&seconds)),
            "it says when to come back: {answer:?}"
        );
        let detail = answer.detail(503);
        assert!(
            detail
                .as_str()
                .is_some_and(|text| text.contains("database is not available")),
            "{detail}"
        );
    }
    assert_eq!(mc.nobody().get("/health").await.expect(200)["ok"], true);
    for probe in ["/healthz", "/readyz"] {
        // What was found a second ago counts.
        let missing = eventually(probe, || async {
            Some(mc.nobody().get(probe).await).filter(|answer| answer.status == 503)
        })
        .await
        .expect(503);
        assert_eq!(
            (&missing["ok"], &missing["missing"]),
            (&json!(false), &json!(["database"]))
        );
    }

    let server = Postgres::start(bin.as_deref(), &cluster)
        .await
        .expect("PostgreSQL starts again");
    eventually("being ready", || async {
        (mc.nobody().get("/readyz").await.status == 200).then_some(())
    })
    .await;
    // Nobody meets a connection of before.
    for round in 0..4 {
        let asked = (0..8).map(|_| person.get(&tasks));
        for answer in join_all(asked).await {
            assert_eq!((answer.expect(200)["total"].clone(), round), (json!(1), round));
        }
    }
    worker.post(&heartbeat, json!({})).await.expect(200);
    for title in ["after", "later"] {
        person.post(&tasks, json!({"title": title})).await.expect(200);
    }
    let mut again = resumed(&mc, &stream, &seen).await;
    for expected in ["after", "later"] {
        assert_eq!(title(&mut live).await, expected, "the stream that was open goes on");
        assert_eq!(
            title(&mut again).await,
            expected,
            "the stream that is opened again misses and repeats nothing"
        );
    }
    hook.takes(3).await;
    eventually("logging", || async {
        let feed = person
            .get(&format!(
                "/api/v1/activity?board_id={}&event_type=task.created",
                id(&team.board)
            ))
            .await
            .expect(200);
        (feed["total"] == 3).then_some(())
    })
    .await;
    // What is done in the background goes on too.
    let second = person
        .post("/api/v1/agents", json!({"name": "Second", "board_id": id(&team.board)}))
        .await
        .expect(200);
    provisioned(&person, &second).await;
    mc.stop().await;
    server.stop().await.expect("PostgreSQL stops");
}

/// Waits until the gateway has everything of an agent.
async fn provisioned(person: &Rest, agent: &Value) {
    let url = format!("/api/v1/agents/{}/provisioning", id(agent));
    let deadline = tokio::time::Instant::now() + PATIENCE * 4;
    loop {
        let now = person.get(&url).await.expect(200);
        let done = |kind: &str| {
            now["conditions"]
                .as_array()
                .is_some_and(|all| all.iter().any(|one| one["type"] == kind && one["status"] == "true"))
        };
        if now["observed_generation"] == now["desired_generation"]
            && ["Created", "FilesWritten", "Woken"].into_iter().all(done)
        {
            return;
        }
        assert!(
            tokio::time::Instant::now() < deadline,
            "the agent is not there: {now:#}"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Agents are made while the gateway restarts and cuts connections, each time after it did what it was asked and before it said
/// so.
async fn restarts_in_the_middle(release: Release) {
    let fake = FakeGateway::start(Options {
        patch_limit: Some((1000, Duration::from_secs(1))),
        ..Options::release(release)
    })
    .await;
    let mc = Harness::start().await;
    let person = mc.person();
    let team = team(&person, &fake, "Alpha").await;
    provisioned(&person, &team.agent).await;
    fake.fail_next("agents.create", Fault::RestartAfter);
    fake.fail_next("agents.create", Fault::CutAfter);
    // Every connection that breaks at once doubles the pause before the next one: few faults keep the test short.
    fake.fail_next(
        if release == Release::Old {
            "config.patch"
        } else {
            "agents.files.set"
        },
        Fault::CutAfter,
    );
    let connections = fake.connections();
    // A release that restarts for every change is slow with several.
    let names: &[&str] = if release == Release::Old {
        &["Ada"]
    } else {
        &["Ada", "Grace", "Joan"]
    };
    let made = join_all(names.iter().map(|name| {
        let (person, board) = (&person, id(&team.board));
        async move {
            person
                .post("/api/v1/agents", json!({"name": name, "board_id": board}))
                .await
                .expect(200)
        }
    }))
    .await;
    join_all(made.iter().map(|agent| provisioned(&person, agent))).await;
    assert!(
        fake.connections() >= connections + 2,
        "the gateway went away again and again"
    );
    for agent in &made {
        let key = format!("mc-{}", id(agent));
        assert!(
            fake.file(&key, "SOUL.md").is_some_and(|text| !text.is_empty()),
            "{}",
            agent["name"]
        );
        let greetings = fake
            .messages(&format!("agent:{key}:main"))
            .iter()
            .filter(|text| text.starts_with("Hello"))
            .count();
        // The older release forgets with every restart which messages it had.
        let most = if release == Release::Old { 2 } else { 1 };
        assert!(
            (1..=most).contains(&greetings),
            "{} is greeted {greetings} times",
            agent["name"]
        );
    }
    let mut there: Vec<_> = fake
        .agents()
        .into_iter()
        .filter(|key| key.starts_with("mc-") && !key.starts_with("mc-gateway-"))
        .collect();
    let mut wanted: Vec<_> = made
        .iter()
        .chain([&team.agent])
        .map(|agent| format!("mc-{}", id(agent)))
        .collect();
    there.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(there, wanted, "each agent is on the gateway, once");
    mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_of_protocol_3_that_restarts_in_the_middle_has_every_agent_once() {
    restarts_in_the_middle(Release::Old).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_of_protocol_4_that_restarts_in_the_middle_has_every_agent_once() {
    restarts_in_the_middle(Release::Latest).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_gateway_is_not_registered() {
    let mc = Harness::start().await;
    let person = mc.person();
    let web = MockServer::start().await;
    let closed = TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port")
        .local_addr()
        .expect("bound");
    let refuse = |url: String| {
        let person = person.clone();
        async move {
            let body = json!({"name": "Lab", "url": url, "token": "a-token", "workspace_root": "~/.openclaw"});
            person
                .post("/api/v1/gateways", body)
                .await
                .detail(502)
                .as_str()
                .expect("a sentence")
                .to_owned()
        }
    };
    let unreachable = refuse(format!("ws://{closed}")).await;
    assert!(unreachable.contains("refused"), "the cause: {unreachable}");
    let unknown = refuse("ws://gateway.invalid:18789".to_owned()).await;
    assert!(unknown.contains("gateway.invalid"), "the cause: {unknown}");
    let other = refuse(web.uri().replace("http://", "ws://")).await;
    for text in [&unreachable, &unknown, &other] {
        assert!(text.contains("Check") || text.contains("check"), "the remedy: {text}");
        assert!(!text.contains("a-token"), "{text}");
    }
    assert_eq!(
        person.get("/api/v1/gateways").await.expect(200)["total"],
        0,
        "nothing is stored"
    );
    mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_wants_the_device_approved_is_connected_once_it_is() {
    let fake = FakeGateway::start(Options {
        pairing_required: true,
        ..Options::default()
    })
    .await;
    let mc = Harness::start().await;
    let person = mc.person();
    let body = json!({"name": "Lab", "url": fake.url(), "token": fake.token(), "workspace_root": "~/.openclaw"});
    let gateway = person.post("/api/v1/gateways", body).await.expect(200);
    let url = format!("/api/v1/gateways/{}", id(&gateway));
    let waiting = eventually("waiting for the approval", || async {
        let connection = person.get(&format!("{url}/connection")).await.expect(200);
        (connection["phase"] == "pairing_required").then_some(connection)
    })
    .await;
    let request = waiting["pairing_request_id"]
        .as_str()
        .expect("which request is to be approved")
        .to_owned();
    assert_eq!(fake.pending_pairings(), std::slice::from_ref(&request));
    let remedy = waiting["remedy"].as_str().expect("a remedy");
    assert!(remedy.contains("openclaw devices approve"), "{remedy}");

    // An agent is accepted meanwhile and says what it waits for.
    let home = person
        .post("/api/v1/boards", board("Alpha", &id(&gateway)))
        .await
        .expect(200);
    let agent = person
        .post("/api/v1/agents", json!({"name": "Ada", "board_id": id(&home)}))
        .await
        .expect(200);
    let provisioning = format!("/api/v1/agents/{}/provisioning", id(&agent));
    eventually("saying what it waits for", || async {
        let now = person.get(&provisioning).await.expect(200);
        let waits = |one: &Value| {
            one["type"] == "GatewayConnected"
                && one["status"] == "false"
                && one["message"].as_str().is_some_and(|text| text.contains("approve"))
        };
        now["conditions"].as_array()?.iter().any(waits).then_some(())
    })
    .await;

    assert!(fake.approve(&request));
    // It looks again by itself after twenty seconds; saving the gateway looks at once.
    person.patch(&url, json!({"token": fake.token()})).await.expect(200);
    eventually("connecting", || async {
        (person.get(&format!("{url}/connection")).await.expect(200)["phase"] == "connected").then_some(())
    })
    .await;
    provisioned(&person, &agent).await;
    mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_under_way_when_everything_stopped_goes_on_when_it_starts() {
    let (fake, hook) = (FakeGateway::start(Options::default()).await, Hook::start().await);
    let mut listen = None;
    let mc = Harness::with(|settings| {
        settings.webhook_allowed_networks = "127.0.0.0/8".into();
        settings.webhook_retry_schedule = "1s,1s,1s,1s,1s,1s,1s,1s".into();
        listen = Some(settings.listen);
    })
    .await;
    let person = mc.person();
    let team = team(&person, &fake, "Alpha").await;
    provisioned(&person, &team.agent).await;
    let webhook = hook.subscribe(&person, "task.created").await;
    let tasks = format!("/api/v1/boards/{}/tasks", id(&team.board));
    let stream = format!("{tasks}/stream");
    let mut live = person.stream(&stream).await;
    person.post(&tasks, json!({"title": "first"})).await.expect(200);
    let seen = live.next().await.id.expect("a position");
    drop(live);
    hook.takes(1).await;

    // The endpoint and the gateway are away, an agent is half made, and events are just committed.
    hook.open.store(false, Ordering::SeqCst);
    fake.refuse_upgrades(Some(503));
    fake.cut();
    let late = person
        .post("/api/v1/agents", json!({"name": "Late", "board_id": id(&team.board)}))
        .await
        .expect(200);
    let deliveries = format!("/api/v1/organizations/me/webhooks/{webhook}/deliveries");
    person.post(&tasks, json!({"title": "second"})).await.expect(200);
    eventually("a failed attempt", || async {
        let log = person.get(&format!("{deliveries}?status=pending")).await.expect(200);
        (log["items"][0]["last_status"] == 503).then_some(())
    })
    .await;
    let many = join_all((0..20).map(|number| {
        let (person, tasks) = (&person, &tasks);
        async move {
            person
                .post(tasks, json!({"title": format!("task {number}")}))
                .await
                .expect(200)
        }
    }))
    .await;
    let database = mc.stop().await;
    assert!(!locked(&hook.taken).values().any(|(_, times)| *times > 1));

    hook.open.store(true, Ordering::SeqCst);
    fake.refuse_upgrades(None);
    let mc = Harness::on(database, |settings| {
        settings.webhook_allowed_networks = "127.0.0.0/8".into();
        settings.webhook_retry_schedule = "1s,1s,1s,1s,1s,1s,1s,1s".into();
        // Agents' files name the address.
        settings.listen = listen.expect("the first start's address");
    })
    .await;
    let person = mc.person();
    // first, second and the many: each event once to the endpoint, the log and whoever watches on.
    hook.takes(2 + many.len()).await;
    let mut resumed = resumed(&mc, &stream, &seen).await;
    let mut titles = Vec::new();
    for _ in 0..=many.len() {
        titles.push(title(&mut resumed).await.as_str().expect("a title").to_owned());
    }
    assert_eq!(titles.remove(0), "second");
    titles.sort_unstable();
    let mut wanted: Vec<_> = many
        .iter()
        .map(|task| task["title"].as_str().expect("a title").to_owned())
        .collect();
    wanted.sort_unstable();
    assert_eq!(titles, wanted);
    let feed = eventually("logging", || async {
        let feed = person
            .get(&format!(
                "/api/v1/activity?board_id={}&event_type=task.created",
                id(&team.board)
            ))
            .await
            .expect(200);
        (feed["total"] == 2 + many.len()).then_some(feed)
    })
    .await;
    assert_eq!(feed["total"], 2 + many.len());
    provisioned(&person, &late).await;
    for agent in [&team.agent, &late] {
        let session = format!("agent:mc-{}:main", id(agent));
        let greetings = fake
            .messages(&session)
            .iter()
            .filter(|text| text.starts_with("Hello"))
            .count();
        assert_eq!(greetings, 1, "{} is greeted once", agent["name"]);
    }
    mc.agent(&team.token)
        .post("/api/v1/agent/heartbeat", json!({}))
        .await
        .expect(200);
    mc.stop().await;
}
