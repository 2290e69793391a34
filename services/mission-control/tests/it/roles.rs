//! What main agents, leads and workers are for, and what each is told.

use serde_json::{Value, json};
use sqlx::Row;

use crate::{
    agents::{Scene, token_in},
    harness::{eventually, id},
    path,
};

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
