//! Template syncs as operations, and what they would change before they do.

use serde_json::{Value, json};

use crate::{
    agents::{Scene, token_in},
    harness::{eventually, id},
};

fn sync_url(scene: &Scene, tail: &str) -> String {
    format!("/api/v1/gateways/{}/templates/{tail}", id(&scene.team.gateway))
}

/// Waits until the worker and the main agent have their files.
async fn ready(scene: &Scene) {
    scene.settled().await;
    token_in(&scene.fake, &format!("mc-gateway-{}", id(&scene.team.gateway))).await;
    eventually("the main agent", || async {
        let behind = scene
            .person
            .get("/api/v1/operations?kind=provisioning")
            .await
            .expect(200);
        (behind["total"] == 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sync_is_followed_agent_by_agent() {
    let scene = Scene::start().await;
    ready(&scene).await;
    let key = format!("mc-{}", scene.agent());
    scene.fake.put_file(&key, "SOUL.md", "nothing");
    let begun = scene
        .person
        .post(&sync_url(&scene, "sync/start"), json!({}))
        .await
        .expect(200);
    assert_eq!(
        (&begun["kind"], &begun["total"], &begun["title"]),
        (
            &json!("template_sync"),
            &json!(2),
            &json!("Template sync of Alpha gateway")
        ),
        "{begun:#}"
    );
    let mut live = scene
        .person
        .stream(&format!("/api/v1/operations/{}/stream", id(&begun)))
        .await;
    let first = live.next().await;
    assert_eq!(
        first.data["items"].as_array().map(Vec::len),
        Some(2),
        "all parts at first: {first:?}"
    );
    let mut last = first;
    while last.data["operation"]["state"] == "running" {
        last = live.next().await;
    }
    assert_eq!(
        (&last.data["operation"]["state"], &last.data["operation"]["done"]),
        (&json!("succeeded"), &json!(2)),
        "{last:?}"
    );
    let whole = scene
        .person
        .get(&format!("/api/v1/operations/{}", id(&begun)))
        .await
        .expect(200);
    let worker = whole["items"]
        .as_array()
        .and_then(|items| items.iter().find(|item| item["agent_id"] == scene.agent().as_str()))
        .cloned()
        .expect("the worker");
    assert_eq!(
        (&worker["state"], &worker["message"]),
        (&json!("done"), &json!("Written: SOUL.md.")),
        "{whole:#}"
    );
    assert!(whole["settled_at"].is_string());
    let listed = scene
        .person
        .get("/api/v1/operations?kind=template_sync&state=succeeded")
        .await
        .expect(200);
    assert_eq!((&listed["total"], &listed["items"][0]["id"]), (&json!(1), &begun["id"]));
    eventually("the log", || async {
        (scene.events("gateway.templates_synced").await.len() == 1).then_some(())
    })
    .await;
    assert_eq!(scene.events("gateway.templates_sync.requested").await.len(), 1);

    // A token that is not the agent's, in the form of the Python product, is named and put right.
    let tools = scene.fake.file(&key, "AGENTS.md").expect("a file");
    let foreign = tools.replace(
        &format!("AUTH_TOKEN={}", scene.team.token),
        "- `AUTH_TOKEN=somebody-elses`",
    );
    assert_ne!(tools, foreign);
    scene.fake.put_file(&key, "AGENTS.md", &foreign);
    let answer = scene.person.post(&sync_url(&scene, "sync"), json!({})).await;
    let operation = answer
        .headers
        .get("x-operation-id")
        .and_then(|id| id.to_str().ok())
        .expect("the operation")
        .to_owned();
    assert_eq!(answer.expect(200)["agents_updated"], 1);
    let whole = scene
        .person
        .get(&format!("/api/v1/operations/{operation}"))
        .await
        .expect(200);
    assert!(
        whole.to_string().contains("AUTH_TOKEN in TOOLS.md was not the agent's"),
        "{whole:#}"
    );
    assert_eq!(scene.fake.file(&key, "AGENTS.md").as_deref(), Some(tools.as_str()));

    // Agents of a paused board are left out without a word.
    let chat = format!("/api/v1/boards/{}/memory", scene.board());
    for (word, updated, skipped) in [(" /PAUSE ", 0, 1), ("/resume", 1, 0)] {
        scene
            .person
            .post(&chat, json!({"content": word, "tags": ["chat"]}))
            .await
            .expect(200);
        eventually(word, || async {
            let done = scene
                .person
                .post(&sync_url(&scene, "sync"), json!({}))
                .await
                .expect(200);
            (done["agents_updated"] == updated && done["agents_skipped"] == skipped && done["errors"] == json!([]))
                .then_some(())
        })
        .await;
    }

    // Sessions are started afresh when asked for.
    scene.fake.clear_calls();
    let done = scene
        .person
        .post(
            &sync_url(&scene, "sync?reset_sessions=true&include_main=false"),
            json!({}),
        )
        .await
        .expect(200);
    assert_eq!(
        (&done["reset_sessions"], &done["main_updated"]),
        (&json!(true), &json!(false))
    );
    let resets = scene.fake.calls_of("sessions.reset");
    assert_eq!(resets.len(), 1, "{resets:?}");
    scene.mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sync_of_a_gateway_that_is_away_is_queued() {
    let scene = Scene::start().await;
    ready(&scene).await;
    let gateway = format!("/api/v1/gateways/{}/connection", id(&scene.team.gateway));
    scene.fake.refuse_upgrades(Some(503));
    scene.fake.cut();
    eventually("losing the gateway", || async {
        (scene.person.get(&gateway).await.expect(200)["phase"] != "connected").then_some(())
    })
    .await;
    let began = std::time::Instant::now();
    let queued = scene
        .person
        .post(&sync_url(&scene, "sync"), json!({}))
        .await
        .expect(200);
    assert!(began.elapsed() < std::time::Duration::from_secs(3), "nothing waits");
    assert!(
        queued["errors"][0]["message"]
            .as_str()
            .is_some_and(|text| text.contains("is queued as operation")),
        "{queued:#}"
    );
    let running = scene
        .person
        .get("/api/v1/operations?state=running&kind=template_sync")
        .await
        .expect(200);
    assert_eq!(
        (&running["total"], &running["items"][0]["done"]),
        (&json!(1), &json!(0))
    );
    let away = scene.person.get(&sync_url(&scene, "preview")).await.detail(502);
    assert!(away.as_str().is_some_and(|text| text.len() > 20), "{away}");
    scene.fake.refuse_upgrades(None);
    eventually("catching up", || async {
        let all = scene
            .person
            .get("/api/v1/operations?kind=template_sync")
            .await
            .expect(200);
        (all["items"][0]["state"] == "succeeded").then_some(())
    })
    .await;

    // What cannot be rendered fails at once and names the agent; what is not done in time is given up.
    scene
        .sql("UPDATE agent.agents SET soul_template = '{{ nobody }}' WHERE board_id IS NOT NULL RETURNING 1")
        .await;
    let broken = scene
        .person
        .post(&sync_url(&scene, "sync?include_main=false"), json!({}))
        .await
        .expect(200);
    assert_eq!(
        (&broken["agents_updated"], &broken["agents_skipped"]),
        (&json!(0), &json!(1))
    );
    assert!(
        broken["errors"][0]["message"]
            .as_str()
            .is_some_and(|text| text.contains("`nobody` is not defined on line 1")),
        "{broken:#}"
    );
    scene.mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_preview_shows_what_a_sync_would_write_and_writes_nothing() {
    let scene = Scene::start().await;
    ready(&scene).await;
    let key = format!("mc-{}", scene.agent());
    let file = |preview: &Value, name: &str| {
        preview["items"]
            .as_array()
            .and_then(|items| items.iter().find(|item| item["agent_id"] == scene.agent().as_str()))
            .and_then(|item| item["files"].as_array())
            .and_then(|files| files.iter().find(|file| file["name"] == name))
            .cloned()
            .unwrap_or_else(|| panic!("{name} in {preview:#}"))
    };
    let quiet = scene.person.get(&sync_url(&scene, "preview")).await.expect(200);
    assert_eq!(quiet["total"], 2);
    for item in quiet["items"].as_array().expect("agents") {
        for file in item["files"].as_array().expect("files") {
            assert_eq!(
                (&file["change"], &file["diff"]),
                (&json!("unchanged"), &json!("")),
                "{item:#}"
            );
        }
    }
    scene.fake.put_file(&key, "SOUL.md", "nothing\n");
    scene.fake.put_file(&key, "MEMORY.md", "mine\n");
    let tools = scene.fake.file(&key, "AGENTS.md").expect("a file");
    scene.fake.put_file(
        &key,
        "AGENTS.md",
        &tools
            .replace("BASE_URL=", "BASE=")
            .replace(&scene.team.token, "other.token"),
    );
    scene.fake.clear_calls();
    let preview = scene
        .person
        .get(&sync_url(&scene, "preview?include_main=false"))
        .await
        .expect(200);
    assert_eq!(preview["total"], 1);
    let soul = file(&preview, "SOUL.md");
    assert_eq!(soul["change"], "changed");
    assert!(
        soul["diff"].as_str().is_some_and(
            |diff| diff.starts_with("--- gateway/SOUL.md\n+++ template/SOUL.md\n") && diff.contains("\n-nothing\n")
        ),
        "{soul:#}"
    );
    assert_eq!(file(&preview, "MEMORY.md")["change"], "kept");
    let tools = file(&preview, "TOOLS.md");
    assert!(
        tools["diff"]
            .as_str()
            .is_some_and(|diff| diff.contains("-BASE=") && diff.contains("+BASE_URL=")),
        "{tools:#}"
    );
    let text = preview.to_string();
    assert!(
        !text.contains(&scene.team.token) && !text.contains("other.token"),
        "tokens are masked"
    );
    assert!(scene.fake.calls_of("agents.files.set").is_empty(), "nothing is written");
    let all = scene
        .person
        .get(&sync_url(&scene, "preview?overwrite=true&include_main=false"))
        .await
        .expect(200);
    assert_eq!(file(&all, "MEMORY.md")["change"], "changed");

    // The files of an agent with fields that are not saved.
    let url = "/api/v1/agents/files/preview";
    let drawn = scene
        .person
        .post(
            url,
            json!({"agent_id": scene.agent(), "name": "Bob", "soul_template": "I am {{ agent_name }}.", "identity_profile": {"role": "Cook"}}),
        )
        .await
        .expect(200);
    let shown = |name: &str| {
        drawn["files"]
            .as_array()
            .and_then(|files| files.iter().find(|file| file["name"] == name))
            .and_then(|file| file["content"].as_str())
            .map(str::to_owned)
            .unwrap_or_default()
    };
    assert_eq!(shown("SOUL.md"), "I am Bob.\n");
    assert!(shown("IDENTITY.md").contains("Cook"), "{drawn:#}");
    assert!(shown("TOOLS.md").contains("AUTH_TOKEN=********"));
    assert!(!drawn.to_string().contains(&scene.team.token));
    assert!(
        drawn["variables"]
            .as_array()
            .is_some_and(|all| all.contains(&json!("board_name")))
    );
    let wrong = scene
        .person
        .post(
            url,
            json!({"board_id": scene.board(), "soul_template": "one\n{{ nobody }}", "identity_template": "{% if %}"}),
        )
        .await
        .expect(200);
    let errors = wrong["errors"].as_array().expect("errors");
    assert_eq!(errors.len(), 2, "{wrong:#}");
    assert_eq!(
        (&errors[1]["field"], &errors[1]["line"], &errors[1]["variable"]),
        (&json!("soul_template"), &json!(2), &json!("nobody"))
    );
    assert_eq!(
        (&errors[0]["field"], &errors[0]["line"]),
        (&json!("identity_template"), &json!(1))
    );
    scene.person.post(url, json!({})).await.expect(422);
    scene.mc.stop().await;
}
