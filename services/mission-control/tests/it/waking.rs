//! Agents and gateways that are silent, away or restarted: noticed, waited for and woken.

use serde_json::json;
use sqlx::Row;
use testkit::gateway::{FakeGateway, Fault, Options, Release};

use crate::{
    agents::{Scene, condition, token_in},
    harness::{Harness, eventually, id},
    path::{team, token_of},
};

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
