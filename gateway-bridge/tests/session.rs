//! The session layer against the fake gateway: the conformance list of the protocol.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use gateway_bridge::session::{
    AgentSpec, Call, ChatState, Device, Failure, FileWrite, Gateway, Heartbeat, Kind, Outcome, Phase, SessionEvent,
    SessionOptions, SessionState, Shape, Step, StepReport, Target, TlsPolicy, WorkspaceFile, preflight,
};
use parking_lot::Mutex;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use testkit::gateway::{FakeGateway, Fault, Options, Release};

const SOON: Duration = Duration::from_secs(20);
const BOTH: [Release; 2] = [Release::Old, Release::Latest];

fn target(fake: &FakeGateway) -> Target {
    Target {
        url: fake.url().parse().expect("a url"),
        token: Some(fake.token().into()),
        device: Some(Arc::new(Device::generate())),
        device_token: None,
        tls: TlsPolicy::PublicRoots,
    }
}

fn quick() -> SessionOptions {
    SessionOptions {
        backoff_base: Duration::from_millis(40),
        backoff_cap: Duration::from_millis(200),
        await_user: Duration::from_millis(100),
        on_device_token: None,
    }
}

fn start(fake: &FakeGateway) -> Gateway {
    Gateway::start(target(fake), quick())
}

async fn until(gateway: &Gateway, what: &str, wanted: impl Fn(&SessionState) -> bool) -> SessionState {
    let mut state = gateway.session().state();
    let found = tokio::time::timeout(SOON, state.wait_for(wanted)).await;
    match found {
        Ok(state) => state.expect("a running session").clone(),
        Err(late) => panic!("{late}: not {what}: {:?}", *gateway.session().state().borrow()),
    }
}

async fn connected(gateway: &Gateway) -> SessionState {
    until(gateway, "connected", SessionState::is_connected).await
}

fn spec(n: usize) -> AgentSpec {
    AgentSpec {
        id: format!("mc-{n}"),
        name: format!("Worker {n}"),
        workspace: format!("/ws/mc-{n}"),
        heartbeat: Some(Heartbeat::every("10m")),
    }
}

fn file(name: &str, content: &str) -> WorkspaceFile {
    WorkspaceFile {
        name: name.to_owned(),
        content: content.to_owned().into(),
        keep_existing: false,
    }
}

async fn steps(target: &Target) -> (Vec<StepReport>, Result<u32, Failure>) {
    let mut seen = Vec::new();
    let outcome = preflight(target, &mut |step| seen.push(step)).await;
    (seen, outcome.map(|hello| hello.protocol))
}

// 1: handshake on protocol 3 and 4, hello parsed.

#[tokio::test]
async fn the_handshake_works_on_every_release() {
    for (release, protocol, shape) in [
        (Release::Floor, 3, Shape::List),
        (Release::Old, 3, Shape::List),
        (Release::Latest, 4, Shape::Entries),
    ] {
        let fake = FakeGateway::start(Options::release(release)).await;
        let gateway = start(&fake);
        let state = connected(&gateway).await;
        assert_eq!(state.phase, Phase::Connected);
        let profile = state.profile.expect("a profile");
        assert_eq!((profile.protocol, profile.shape), (protocol, shape));
        assert_eq!(profile.version.as_str(), release.version());
        assert_eq!(profile.restarts_on_agent_change, release == Release::Floor);
        assert!(state.methods.iter().any(|method| method == "chat.send"));
        assert_eq!(state.boot_id.is_some(), release == Release::Latest);
    }
}

#[tokio::test]
async fn a_dev_version_is_looked_up_in_the_configuration() {
    let options = Options {
        version: Some("dev".to_owned()),
        ..Options::release(Release::Old)
    };
    let fake = FakeGateway::start(options).await;
    let state = connected(&start(&fake)).await;
    assert_eq!(state.profile.expect("a profile").version.as_str(), "2026.2.26");
}

// 2: failures map to retry, stop and ask-user.

#[tokio::test]
async fn a_wrong_token_is_refused_and_never_tried_again() {
    for release in [Release::Floor, Release::Old, Release::Latest] {
        let fake = FakeGateway::start(Options::release(release)).await;
        let gateway = Gateway::start(
            Target {
                token: Some("wrong".to_owned().into()),
                ..target(&fake)
            },
            quick(),
        );
        let state = until(&gateway, "refused", |state| state.phase == Phase::Refused).await;
        let failure = state.last_failure.expect("a failure");
        assert_eq!(failure.kind, Kind::TokenMismatch);
        assert!(failure.remedy.contains("gateway.auth.token"));
        assert_eq!(state.next_attempt_at, None);
        let call = gateway.health().await.expect_err("no call without a session");
        assert_eq!(call.kind, Kind::TokenMismatch);
        // The right token ends the wait.
        gateway.session().reconfigure(target(&fake));
        connected(&gateway).await;
    }
}

#[tokio::test]
async fn a_starting_gateway_is_retried_as_soon_as_it_asks() {
    let fake = FakeGateway::start(Options::default()).await;
    fake.starting(3);
    let state = connected(&start(&fake)).await;
    assert_eq!(state.last_failure.expect("the last refusal").kind, Kind::Starting);
}

#[tokio::test]
async fn missing_scopes_are_shown_and_calls_name_the_scope() {
    for release in BOTH {
        let granted = Some(vec!["operator.read".to_owned()]);
        let fake = FakeGateway::start(Options {
            granted_scopes: granted,
            ..Options::release(release)
        })
        .await;
        let gateway = start(&fake);
        let state = connected(&gateway).await;
        let Phase::ScopesMissing { scopes } = state.phase else {
            panic!("scopes should be missing: {:?}", state.phase)
        };
        assert!(scopes.contains(&"operator.admin".to_owned()));
        let failure = gateway.reset_session("agent:main:main").await.expect_err("needs admin");
        assert_eq!(
            (failure.kind, failure.missing_scope.as_deref()),
            (Kind::MissingScope, Some("operator.admin"))
        );
        gateway.list_agents().await.expect("reading works");
    }
}

#[tokio::test]
async fn without_a_device_the_latest_release_grants_nothing_remotely() {
    let fake = FakeGateway::start(Options {
        pairing_required: true,
        ..Options::default()
    })
    .await;
    let (seen, outcome) = steps(&Target {
        device: None,
        ..target(&fake)
    })
    .await;
    assert_eq!(outcome.expect_err("no scopes").kind, Kind::MissingScope);
    let scopes = seen
        .iter()
        .find(|step| step.step == Step::Scopes)
        .expect("a scopes step");
    assert_eq!(scopes.outcome, Outcome::Failed);
    assert!(
        scopes
            .failure
            .as_ref()
            .is_some_and(|failure| failure.remedy.contains("device pairing"))
    );
}

// 3: pairing.

#[tokio::test]
async fn pairing_waits_for_the_user_and_keeps_the_device_token() {
    for release in BOTH {
        let fake = FakeGateway::start(Options {
            pairing_required: true,
            ..Options::release(release)
        })
        .await;
        let stored: Arc<Mutex<Option<SecretString>>> = Arc::default();
        let keep = stored.clone();
        let options = SessionOptions {
            on_device_token: Some(Arc::new(move |token| *keep.lock() = Some(token))),
            ..quick()
        };
        let target = target(&fake);
        let gateway = Gateway::start(target.clone(), options);
        let state = until(&gateway, "waiting", |state| {
            matches!(state.phase, Phase::PairingRequired { .. })
        })
        .await;
        let Phase::PairingRequired { request_id: Some(id) } = state.phase else {
            panic!("no request id")
        };
        assert_eq!(
            fake.pending_pairings(),
            std::slice::from_ref(&id),
            "one request, however often we look"
        );
        let failure = state.last_failure.expect("a failure");
        assert!(failure.remedy.contains(&id));
        assert!(state.next_attempt_at.is_some(), "it looks again by itself");

        assert!(fake.approve(&id));
        connected(&gateway).await;
        let device_token = stored.lock().clone().expect("a device token");
        gateway.session().stop(Duration::ZERO).await;

        // The device token alone is enough from now on, for this key only.
        let alone = Target {
            token: None,
            device_token: Some(device_token.clone()),
            ..target.clone()
        };
        connected(&Gateway::start(alone, quick())).await;
        // A rotated shared token does not lock the device out.
        let rotated = Some("rotated".to_owned().into());
        let rotated = Target {
            token: rotated,
            device_token: Some(device_token),
            ..target
        };
        connected(&Gateway::start(rotated, quick())).await;
    }
}

// 4: provision, update and delete on both shapes.

#[tokio::test]
async fn agents_are_provisioned_updated_and_deleted() {
    for release in [Release::Floor, Release::Old, Release::Latest] {
        let fake = FakeGateway::start(Options::release(release)).await;
        let gateway = start(&fake);
        let outcome = gateway.ensure_agent(&spec(1), SOON).await.expect("created");
        assert!(outcome.created && outcome.heartbeat_changed, "{release:?} {outcome:?}");
        let agent = gateway
            .snapshot()
            .await
            .expect("config")
            .agent("mc-1")
            .expect("the agent");
        assert_eq!(
            (agent.name.as_deref(), agent.workspace.as_deref()),
            (Some("Worker 1"), Some("/ws/mc-1"))
        );
        assert_eq!(agent.heartbeat, Some(json!({"every": "10m", "target": "none"})));

        fake.clear_calls();
        let outcome = gateway.ensure_agent(&spec(1), SOON).await.expect("unchanged");
        assert!(
            !outcome.created && !outcome.updated && !outcome.heartbeat_changed,
            "{release:?} {outcome:?}"
        );
        let writes: Vec<_> = fake
            .calls()
            .into_iter()
            .filter(|call| !matches!(call.method.as_str(), "config.get" | "agents.list"))
            .collect();
        assert_eq!(writes, [], "nothing is sent when nothing differs");

        let renamed = AgentSpec {
            name: "Renamed".to_owned(),
            ..spec(1)
        };
        assert!(gateway.ensure_agent(&renamed, SOON).await.expect("updated").updated);
        let agents = gateway.list_agents().await.expect("agents");
        assert!(
            agents.iter().any(|agent| agent.name.as_deref() == Some("Renamed")),
            "{release:?} {agents:?}"
        );

        gateway
            .label_session("agent:mc-1:main", "Renamed")
            .await
            .expect("labelled");
        assert!(gateway.delete_agent("mc-1", SOON).await.expect("deleted"));
        assert_eq!(fake.agents().iter().filter(|id| *id != "main").count(), 0);
        assert!(
            !gateway
                .delete_agent("mc-1", SOON)
                .await
                .expect("a second delete is fine")
        );
        assert_eq!(gateway.list_sessions().await.expect("sessions"), []);
    }
}

#[tokio::test]
async fn existing_agents_are_adopted() {
    let fake = FakeGateway::start(Options::default()).await;
    fake.edit_config(|config| {
        config["agents"]["entries"]["mc-1"] = json!({"name": "Worker 1", "workspace": "/ws/mc-1", "model": "mine"});
    });
    let gateway = start(&fake);
    let outcome = gateway.ensure_agent(&spec(1), SOON).await.expect("adopted");
    assert!(!outcome.created && !outcome.updated && outcome.heartbeat_changed);
    assert_eq!(
        fake.config()["agents"]["entries"]["mc-1"]["model"],
        "mine",
        "what we do not manage stays"
    );
    assert_eq!(fake.calls_of("agents.create"), []);
}

#[tokio::test]
async fn files_are_mapped_to_what_the_release_takes() {
    for release in BOTH {
        let fake = FakeGateway::start(Options::release(release)).await;
        let gateway = start(&fake);
        gateway.ensure_agent(&spec(1), SOON).await.expect("created");
        fake.put_file("mc-1", "MEMORY.md", "what I learned");
        let files = [
            file("AGENTS.md", "# AGENTS\n"),
            file("TOOLS.md", "- `AUTH_TOKEN=one`\n"),
            file("HEARTBEAT.md", "Check in.\n"),
            WorkspaceFile {
                keep_existing: true,
                ..file("MEMORY.md", "fresh")
            },
            file("NONSENSE.md", "x"),
        ];
        let outcomes = gateway.set_files("mc-1", &files).await.expect("written");
        let of = |name: &str| {
            outcomes
                .iter()
                .find(|(known, _)| known == name)
                .map(|(_, outcome)| outcome.clone())
        };
        for name in ["AGENTS.md", "TOOLS.md", "HEARTBEAT.md"] {
            assert_eq!(of(name), Some(FileWrite::Written), "{release:?} {name}");
        }
        assert_eq!(
            of("MEMORY.md"),
            Some(FileWrite::Unchanged),
            "the agent's notes are kept"
        );
        assert!(matches!(of("NONSENSE.md"), Some(FileWrite::Unsupported(_))));

        for (name, content) in [
            ("AGENTS.md", "# AGENTS\n"),
            ("TOOLS.md", "- `AUTH_TOKEN=one`\n"),
            ("HEARTBEAT.md", "Check in.\n"),
        ] {
            let read = gateway.get_file("mc-1", name).await.expect("read").expect("there");
            assert_eq!(read.expose_secret(), content, "{release:?} {name}");
        }
        let agents = fake.file("mc-1", "AGENTS.md").expect("AGENTS.md");
        assert_eq!(agents.contains("AUTH_TOKEN=one"), release == Release::Latest);
        assert_eq!(fake.scratch("mc-1").is_some(), release == Release::Latest);

        fake.clear_calls();
        let again = gateway.set_files("mc-1", &files[..3]).await.expect("unchanged");
        assert!(
            again.iter().all(|(_, outcome)| *outcome == FileWrite::Unchanged),
            "{release:?} {again:?}"
        );
        assert_eq!(fake.calls_of("agents.files.set"), []);
        assert_eq!(fake.calls_of("cron.scratch.set"), []);

        // One file alone keeps the other's part.
        gateway
            .set_file("mc-1", "TOOLS.md", "- `AUTH_TOKEN=two`\n".to_owned().into())
            .await
            .expect("written");
        let read = gateway
            .get_file("mc-1", "AGENTS.md")
            .await
            .expect("read")
            .expect("there");
        assert_eq!(read.expose_secret(), "# AGENTS\n");
        let listed = gateway.list_files("mc-1").await.expect("listed");
        assert!(listed.iter().any(|file| file.name == "TOOLS.md" && !file.missing));
    }
}

// 5: ten agents at once.

#[tokio::test]
async fn ten_agents_at_once_all_survive_with_few_patches() {
    for release in BOTH {
        let fake = FakeGateway::start(Options::release(release)).await;
        let gateway = start(&fake);
        let deadline = Duration::from_mins(1);
        let specs: Vec<_> = (0..10).map(spec).collect();
        let outcomes = futures::future::join_all(specs.iter().map(|spec| gateway.ensure_agent(spec, deadline))).await;
        for outcome in outcomes {
            outcome.expect("provisioned");
        }
        let config = gateway.snapshot().await.expect("config");
        for spec in &specs {
            let agent = config
                .agent(&spec.id)
                .unwrap_or_else(|| panic!("{release:?} lost {}", spec.id));
            assert_eq!(agent.name.as_ref(), Some(&spec.name), "{release:?}");
            assert!(agent.heartbeat.is_some(), "{release:?} {}", spec.id);
        }
        let patches = fake.calls_of("config.patch").len();
        assert!(patches <= 3, "{release:?} needed {patches} patches");
    }
}

#[tokio::test]
async fn one_refused_wish_does_not_take_the_others_with_it() {
    let fake = FakeGateway::start(Options::default()).await;
    let gateway = start(&fake);
    for n in 0..3 {
        gateway
            .ensure_agent(
                &AgentSpec {
                    heartbeat: None,
                    ..spec(n)
                },
                SOON,
            )
            .await
            .expect("created");
    }
    let wish = |n: usize, every: &str| [(format!("mc-{n}"), Heartbeat::every(every))];
    let (first, second, third) = (wish(0, "10m"), wish(1, "nonsense"), wish(2, "5m"));
    let (first, second, third) = tokio::join!(
        gateway.set_heartbeats(&first, SOON),
        gateway.set_heartbeats(&second, SOON),
        gateway.set_heartbeats(&third, SOON),
    );
    assert!(first.is_ok() && third.is_ok(), "{first:?} {third:?}");
    assert_eq!(second.expect_err("an invalid interval").kind, Kind::ConfigInvalid);
}

#[tokio::test]
async fn a_person_who_edits_at_the_same_time_is_not_overwritten() {
    let fake = FakeGateway::start(Options::default()).await;
    let gateway = start(&fake);
    gateway
        .ensure_agent(
            &AgentSpec {
                heartbeat: None,
                ..spec(1)
            },
            SOON,
        )
        .await
        .expect("created");
    let conflict =
        json!({"code": "INVALID_REQUEST", "message": "config changed since last load; re-run config.get and retry"});
    fake.fail_next("config.patch", Fault::Error(conflict));
    let wish = [("mc-1".to_owned(), Heartbeat::every("10m"))];
    assert!(gateway.set_heartbeats(&wish, SOON).await.expect("written"));
    assert_eq!(fake.calls_of("config.patch").len(), 2);
}

// 6: a restart in the middle of a call.

#[tokio::test]
async fn a_restart_in_the_middle_of_a_patch_gives_the_result_once() {
    for release in BOTH {
        for fault in [Fault::RestartBefore, Fault::RestartAfter, Fault::CutAfter] {
            let fake = FakeGateway::start(Options::release(release)).await;
            let gateway = start(&fake);
            gateway
                .ensure_agent(
                    &AgentSpec {
                        heartbeat: None,
                        ..spec(1)
                    },
                    SOON,
                )
                .await
                .expect("created");
            fake.fail_next("config.patch", fault.clone());
            let wish = [("mc-1".to_owned(), Heartbeat::every("10m"))];
            let changed = gateway.set_heartbeats(&wish, SOON).await.expect("written");
            assert!(changed, "{release:?} {fault:?}");
            let agent = gateway
                .snapshot()
                .await
                .expect("config")
                .agent("mc-1")
                .expect("the agent");
            assert!(agent.heartbeat.is_some(), "{release:?} {fault:?}");
        }
    }
}

#[tokio::test]
async fn a_lost_answer_to_create_does_not_create_twice() {
    for release in BOTH {
        let fake = FakeGateway::start(Options::release(release)).await;
        let gateway = start(&fake);
        connected(&gateway).await;
        fake.fail_next("agents.create", Fault::CutAfter);
        let outcome = gateway.ensure_agent(&spec(1), SOON).await.expect("created");
        assert!(outcome.created);
        assert_eq!(fake.calls_of("agents.create").len(), 1, "{release:?}");
    }
}

#[tokio::test]
async fn a_call_that_must_not_repeat_fails_when_its_answer_is_lost() {
    let fake = FakeGateway::start(Options::default()).await;
    let gateway = start(&fake);
    connected(&gateway).await;
    fake.fail_next("health", Fault::CutAfter);
    let failure = gateway
        .session()
        .call("health", &json!({}), Call::once())
        .await
        .expect_err("lost");
    assert_eq!(failure.kind, Kind::ConnectionLost);
    assert_eq!(fake.calls_of("health").len(), 1);
}

// 7: every way to lose a connection ends in a new one.

#[tokio::test]
async fn every_kind_of_loss_ends_in_a_new_connection() {
    type Loss = (&'static str, fn(&FakeGateway), Kind);
    let losses: [Loss; 6] = [
        ("restart", FakeGateway::restart, Kind::Restarting),
        ("cut", FakeGateway::cut, Kind::ConnectionLost),
        (
            "policy",
            |fake| fake.close_all(4001, "gateway policy changed"),
            Kind::PolicyChanged,
        ),
        ("1013", |fake| fake.close_all(1013, ""), Kind::Starting),
        (
            "1008",
            |fake| fake.close_all(1008, "slow consumer"),
            Kind::ConnectionLost,
        ),
        ("1009", |fake| fake.close_all(1009, ""), Kind::TooLarge),
    ];
    let fake = FakeGateway::start(Options::default()).await;
    let gateway = start(&fake);
    connected(&gateway).await;
    for (name, lose, kind) in losses {
        let before = fake.connections();
        lose(&fake);
        let mut state = gateway.session().state();
        let again = state.wait_for(|state| state.is_connected() && fake.connections() > before);
        let state = tokio::time::timeout(SOON, again)
            .await
            .expect(name)
            .expect("running")
            .clone();
        let seen = state.last_failure.map(|failure| failure.kind);
        // While the gateway is away the last failure may already be that of the next attempt.
        assert!(seen == Some(kind) || name == "restart", "{name} {seen:?}");
        gateway.health().await.expect(name);
    }
}

#[tokio::test]
async fn a_draining_gateway_is_waited_for() {
    let fake = FakeGateway::start(Options::default()).await;
    fake.refuse_upgrades(Some(503));
    let gateway = start(&fake);
    let state = until(&gateway, "unreachable", |state| state.phase == Phase::Unreachable).await;
    assert_eq!(state.last_failure.expect("a failure").kind, Kind::UpgradeUnavailable);
    fake.refuse_upgrades(None);
    connected(&gateway).await;
}

#[tokio::test]
async fn silence_is_noticed_after_two_ticks() {
    let fake = FakeGateway::start(Options {
        tick_interval: Duration::from_millis(200),
        ..Options::default()
    })
    .await;
    let gateway = start(&fake);
    connected(&gateway).await;
    let began = Instant::now();
    fake.freeze(true);
    let state = until(&gateway, "cut off", |state| !state.is_connected()).await;
    assert_eq!(state.last_failure.expect("a failure").kind, Kind::Silent);
    assert!(
        began.elapsed() >= Duration::from_millis(380),
        "not before two ticks: {:?}",
        began.elapsed()
    );
    fake.freeze(false);
    fake.cut();
    connected(&gateway).await;
}

// 8: an idle connection stays.

#[tokio::test]
async fn an_idle_session_lives_on_ticks() {
    let fake = FakeGateway::start(Options {
        tick_interval: Duration::from_millis(50),
        ..Options::default()
    })
    .await;
    let gateway = start(&fake);
    let mut events = gateway.session().events();
    connected(&gateway).await;
    let ticks = async {
        let mut ticks = 0;
        while ticks < 10 {
            if let Ok(SessionEvent::Event(event)) = events.recv().await {
                ticks += u32::from(event.name == "tick");
            }
        }
    };
    tokio::time::timeout(SOON, ticks).await.expect("ticks");
    assert_eq!(fake.connections(), 1);
}

// 9: chat.send runs once per key.

#[tokio::test]
async fn a_message_is_sent_once_per_key_even_over_a_lost_connection() {
    for release in BOTH {
        let fake = FakeGateway::start(Options::release(release)).await;
        let gateway = start(&fake);
        connected(&gateway).await;
        let mut events = gateway.session().events();
        fake.fail_next("chat.send", Fault::CutAfter);
        let receipt = gateway
            .chat_send("agent:main:main", "hello there", "key-1", false)
            .await
            .expect("sent");
        assert_eq!(receipt.run_id, "key-1");
        gateway
            .chat_send("agent:main:main", "hello there", "key-1", false)
            .await
            .expect("sent again");
        assert_eq!(fake.messages("agent:main:main"), ["hello there"]);
        assert!(fake.calls_of("chat.send").len() >= 3);

        let receipt = gateway
            .chat_send("agent:main:main", "second", "key-2", false)
            .await
            .expect("sent");
        let update = gateway
            .await_run(&mut events, &receipt.run_id, SOON)
            .await
            .expect("an answer");
        assert_eq!(
            (update.state, update.text.as_deref()),
            (ChatState::Final, Some("ack: second"))
        );
        let history = gateway.chat_history("agent:main:main", 50).await.expect("history");
        let texts: Vec<_> = history.iter().map(|message| message.text.as_str()).collect();
        assert_eq!(
            texts,
            ["hello there", "ack: hello there", "second", "ack: second"],
            "{release:?}"
        );
    }
}

#[tokio::test]
async fn a_new_agent_can_be_spoken_to_at_once() {
    let fake = FakeGateway::start(Options {
        reload_delay: Duration::from_millis(600),
        ..Options::default()
    })
    .await;
    let gateway = start(&fake);
    fake.edit_config(|_| {});
    let create = json!({"name": "mc-1", "workspace": "/ws/mc-1"});
    gateway
        .session()
        .call("agents.create", &create, Call::once())
        .await
        .expect("created");
    gateway
        .chat_send("agent:mc-1:main", "hello", "key", false)
        .await
        .expect("sent");
    assert_eq!(fake.messages("agent:mc-1:main"), ["hello"]);
}

// 10: gaps.

#[tokio::test]
async fn a_gap_in_the_sequence_is_told_on_protocol_4_only() {
    for (release, told) in [(Release::Latest, true), (Release::Old, false)] {
        let fake = FakeGateway::start(Options::release(release)).await;
        let gateway = start(&fake);
        let mut events = gateway.session().events();
        connected(&gateway).await;
        // Both arrive before the marker if they arrive at all.
        fake.emit("presence", json!({"n": 1}));
        loop {
            if let SessionEvent::Event(event) = events.recv().await.expect("events")
                && event.name == "presence"
            {
                break;
            }
        }
        fake.lose_an_event();
        fake.emit("presence", json!({"n": 2}));
        fake.emit("marker", Value::Null);
        let mut gaps = 0;
        loop {
            match events.recv().await.expect("events") {
                SessionEvent::Gap => gaps += 1,
                SessionEvent::Event(event) if event.name == "marker" => break,
                _ => {}
            }
        }
        assert_eq!(gaps > 0, told, "{release:?}");
    }
}

// 11: size guard.

#[tokio::test]
async fn frames_that_the_gateway_refuses_are_not_sent() {
    for (release, size) in [(Release::Floor, 600 << 10), (Release::Latest, 26 << 20)] {
        let fake = FakeGateway::start(Options::release(release)).await;
        let gateway = start(&fake);
        connected(&gateway).await;
        let text: SecretString = "x".repeat(size).into();
        let failure = gateway.set_file("main", "SOUL.md", text).await.expect_err("too large");
        assert_eq!(failure.kind, Kind::TooLarge);
        assert_eq!(fake.calls_of("agents.files.set"), []);
        assert_eq!(fake.connections(), 1, "the connection lives on");
    }
}

// 12: rate limit.

#[tokio::test]
async fn a_rate_limit_delays_and_does_not_fail() {
    let limit = Some((2, Duration::from_secs(1)));
    let fake = FakeGateway::start(Options {
        patch_limit: limit,
        ..Options::default()
    })
    .await;
    let gateway = start(&fake);
    for n in 0..4 {
        gateway.ensure_agent(&spec(n), SOON).await.expect("delayed, not failed");
    }
    let accepted = fake.calls_of("config.patch").len();
    assert!(accepted >= 4, "each agent was patched alone");
}

// 16: TLS.

#[tokio::test]
async fn certificates_are_pinned_or_reported() {
    let fake = FakeGateway::start(Options {
        tls: true,
        ..Options::default()
    })
    .await;
    let fingerprint = fake.fingerprint().expect("a fingerprint").to_owned();
    let with = |tls| Target { tls, ..target(&fake) };

    let (_, outcome) = steps(&with(TlsPolicy::PublicRoots)).await;
    let failure = outcome.expect_err("self-signed");
    assert_eq!(failure.kind, Kind::TlsUntrusted);
    assert!(
        failure.message.contains(&fingerprint),
        "the fingerprint to pin is shown"
    );

    let (_, outcome) = steps(&with(TlsPolicy::Pinned(fingerprint.parse().expect("hex")))).await;
    outcome.expect("the right certificate");

    let (_, outcome) = steps(&with(TlsPolicy::Pinned("00".repeat(32).parse().expect("hex")))).await;
    assert_eq!(outcome.expect_err("another certificate").kind, Kind::TlsFingerprint);

    let (seen, outcome) = steps(&with(TlsPolicy::AcceptAny)).await;
    outcome.expect("anything goes");
    let tls = seen.iter().find(|step| step.step == Step::Tls).expect("a TLS step");
    assert_eq!(tls.outcome, Outcome::Warned);
    assert!(tls.detail.contains(&fingerprint));
}

// Preflight.

#[tokio::test]
async fn preflight_reports_every_step_in_order() {
    let fake = FakeGateway::start(Options::default()).await;
    let (seen, outcome) = steps(&target(&fake)).await;
    assert_eq!(outcome.expect("fine"), 4);
    assert_eq!(seen.iter().map(|step| step.step).collect::<Vec<_>>(), Step::ALL);
    assert!(
        seen.iter()
            .all(|step| matches!(step.outcome, Outcome::Passed | Outcome::Skipped))
    );
}

#[tokio::test]
async fn preflight_stops_at_the_first_failure_with_its_remedy() {
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.local_addr().expect("bound").port()
    };
    let fake = FakeGateway::start(Options::default()).await;
    let pairing = FakeGateway::start(Options {
        pairing_required: true,
        ..Options::default()
    })
    .await;
    let at = |url: String| Target {
        url: url.parse().expect("a url"),
        ..target(&fake)
    };
    let wss = fake.url().replace("ws://", "wss://");
    let rows = [
        (at("ws://no-such-host.invalid:1".to_owned()), Step::Dns, Kind::Dns),
        (at(format!("ws://127.0.0.1:{closed}")), Step::Tcp, Kind::Unreachable),
        (at(wss), Step::Tls, Kind::Tls),
        (
            Target {
                token: Some("wrong".to_owned().into()),
                ..target(&fake)
            },
            Step::Authentication,
            Kind::TokenMismatch,
        ),
        (target(&pairing), Step::Pairing, Kind::PairingRequired),
    ];
    for (target, step, kind) in rows {
        let (seen, outcome) = steps(&target).await;
        assert_eq!(outcome.expect_err("a failure").kind, kind, "{step:?}");
        let failed = seen
            .iter()
            .find(|report| report.outcome == Outcome::Failed)
            .expect("a failed step");
        assert_eq!(failed.step, step);
        assert!(!failed.failure.as_ref().expect("a failure").remedy.is_empty());
        let after = seen.iter().skip_while(|report| report.step != step).skip(1);
        assert!(after.clone().count() > 0 && after.clone().all(|report| report.outcome == Outcome::Skipped));
        assert_eq!(seen.len(), Step::ALL.len());
    }
}

// Multiplexing, deadlines, stopping.

#[tokio::test]
async fn many_requests_share_one_socket_and_answers_may_overtake() {
    let fake = FakeGateway::start(Options::default()).await;
    let gateway = start(&fake);
    connected(&gateway).await;
    fake.fail_next("config.get", Fault::Delay(Duration::from_millis(400)));
    let nothing = json!({});
    let slow = gateway.session().call("config.get", &nothing, Call::repeatable());
    let quick = async {
        let calls = (0..100).map(|_| gateway.health());
        for answer in futures::future::join_all(calls).await {
            answer.expect("answered");
        }
        Instant::now()
    };
    let ((slow, slow_done), quick_done) = tokio::join!(async { (slow.await, Instant::now()) }, quick);
    slow.expect("answered");
    assert!(quick_done < slow_done, "a slow answer holds nothing up");
    assert_eq!(fake.connections(), 1);
}

#[tokio::test]
async fn a_call_ends_at_its_deadline() {
    let fake = FakeGateway::start(Options::default()).await;
    let gateway = start(&fake);
    connected(&gateway).await;
    fake.fail_next("health", Fault::Delay(Duration::from_secs(30)));
    let call = Call::repeatable().within(Duration::from_millis(100));
    let failure = gateway
        .session()
        .call("health", &json!({}), call)
        .await
        .expect_err("late");
    assert_eq!(failure.kind, Kind::Deadline);
    gateway.health().await.expect("the session is fine");
}

#[tokio::test]
async fn stopping_lets_requests_finish_and_ends_the_session() {
    let fake = FakeGateway::start(Options::default()).await;
    let gateway = start(&fake);
    connected(&gateway).await;
    fake.fail_next("health", Fault::Delay(Duration::from_millis(200)));
    let session = gateway.session().clone();
    let call = gateway.health();
    let stop = async {
        while fake.calls_of("health").is_empty() {
            tokio::task::yield_now().await;
        }
        session.stop(SOON).await;
    };
    let (answer, ()) = tokio::join!(call, stop);
    answer.expect("finished");
    assert_eq!(session.state().borrow().phase, Phase::Stopped);
    assert_eq!(gateway.health().await.expect_err("stopped").kind, Kind::Stopped);
}

#[tokio::test]
async fn secrets_never_reach_debug_output() {
    let fake = FakeGateway::start(Options::default()).await;
    let target = Target {
        device_token: Some("device-secret".to_owned().into()),
        ..target(&fake)
    };
    let gateway = Gateway::start(target.clone(), quick());
    connected(&gateway).await;
    let state = gateway.session().state().borrow().clone();
    let printed = format!("{target:?} {gateway:?} {state:?} {:?}", file("TOOLS.md", "file-secret"));
    for secret in [fake.token().as_str(), "device-secret", "file-secret"] {
        assert!(!printed.contains(secret), "{secret} is in {printed}");
    }
}
