//! How agents reach each other and people: nudges, souls, questions, messages to leads, the pace of a group.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::gateway::Fault;

use crate::{
    agents::{Scene, token_in},
    harness::{Rest, eventually, id},
    path,
};

const NOBODY: &str = "019f0000-0000-7000-8000-000000000000";

/// Waits for a message whose text begins so.
async fn arrives(scene: &Scene, session: &str, header: &str) -> String {
    eventually(header, || async {
        scene
            .fake
            .messages(session)
            .into_iter()
            .find(|text| text.starts_with(header))
    })
    .await
}

async fn operation(scene: &Scene, reply: &Value) -> Value {
    let operation = reply["operation_id"].as_str().expect("an operation").to_owned();
    scene
        .person
        .get(&format!("/api/v1/operations/{operation}"))
        .await
        .expect(200)
}

async fn happened(scene: &Scene, kind: &str, times: usize) {
    eventually(kind, || async {
        (scene.events(kind).await.len() == times).then_some(())
    })
    .await;
}

/// The main agent's id, session and client.
async fn main_agent(scene: &Scene) -> (String, String, Rest) {
    let gateway = id(&scene.team.gateway);
    let all = scene
        .person
        .get(&format!("/api/v1/agents?gateway_id={gateway}"))
        .await
        .expect(200);
    let main = all["items"]
        .as_array()
        .and_then(|items| items.iter().find(|agent| agent["is_gateway_main"] == true))
        .cloned()
        .expect("a main agent");
    let key = format!("mc-gateway-{gateway}");
    let token = token_in(&scene.fake, &key).await;
    (id(&main), format!("agent:{key}:main"), scene.mc.agent(&token))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leads_nudge_their_agents_and_change_their_souls() {
    let scene = Scene::start().await;
    scene.settled().await;
    let (lead_id, token) = scene.lead().await;
    let (lead, worker) = (scene.mc.agent(&token), scene.mc.agent(&scene.team.token));
    let (main_id, main_session, _) = main_agent(&scene).await;
    let of = |agent: &str| format!("/api/v1/agent/boards/{}/agents/{agent}", scene.board());

    let done = lead
        .post(
            &format!("{}/nudge", of(&scene.agent())),
            json!({"message": " Still there? "}),
        )
        .await
        .expect(200);
    assert_eq!(done["ok"], true);
    arrives(&scene, &scene.session(), "Still there?").await;
    happened(&scene, "agent.nudge.sent", 1).await;
    let shown = operation(&scene, &done).await;
    assert_eq!(
        (&shown["kind"], &shown["state"], &shown["title"], &shown["created_by"]),
        (
            &json!("message"),
            &json!("succeeded"),
            &json!("Nudge Alpha worker"),
            &json!("Grace")
        ),
        "{shown:#}"
    );
    lead.post(&format!("{}/nudge", of(&main_id)), json!({"message": "Hello main"}))
        .await
        .expect(200);
    arrives(&scene, &main_session, "Hello main").await;
    scene
        .person
        .post(&format!("{}/nudge", scene.url()), json!({"message": "From a person"}))
        .await
        .expect(200);
    arrives(&scene, &scene.session(), "From a person").await;
    // The log has who asked, whenever it is sent.
    let asked = eventually("logging who asked", || async {
        let log = scene
            .person
            .get(&format!(
                "/api/v1/activity?board_id={}&event_type=agent.nudge.requested&with_changes=true",
                scene.board()
            ))
            .await
            .expect(200);
        (log["total"] == 3).then_some(log)
    })
    .await;
    assert_eq!(
        (&asked["items"][0]["actor_type"], &asked["items"][2]["actor_id"]),
        (&json!("user"), &json!(lead_id)),
        "{asked:#}"
    );
    assert!(
        !asked.to_string().contains("Still there?"),
        "not what was said: {asked:#}"
    );

    lead.post(&format!("{}/nudge", of(&scene.agent())), json!({"message": "  "}))
        .await
        .expect(422);
    assert_eq!(
        lead.post(&format!("{}/nudge", of(NOBODY)), json!({"message": "x"}))
            .await
            .detail(404),
        "Agent not found"
    );
    assert_eq!(
        worker
            .post(&format!("{}/nudge", of(&lead_id)), json!({"message": "x"}))
            .await
            .detail(403),
        "Only board leads can perform this action"
    );
    let elsewhere = format!("/api/v1/agent/boards/{NOBODY}/agents/{}/nudge", scene.agent());
    lead.post(&elsewhere, json!({"message": "x"})).await.expect(403);

    // Souls: as they are on the gateway, for the lead and the agent itself.
    let soul = lead.get(&format!("{}/soul", of(&scene.agent()))).await.expect(200);
    assert!(soul.as_str().is_some_and(|text| text.starts_with("# ")), "{soul}");
    assert_eq!(
        worker.get(&format!("{}/soul", of(&scene.agent()))).await.expect(200),
        soul
    );
    worker.get(&format!("{}/soul", of(&lead_id))).await.expect(403);
    lead.get(&format!("{}/soul", of(NOBODY))).await.expect(404);
    lead.put(
        &format!("{}/soul", of(&scene.agent())),
        json!({"content": "I am {{ agent_name }}, and brief.", "reason": "It talks too much", "source_url": "https://souls.example/brief"}),
    )
    .await
    .expect(200);
    let key = format!("mc-{}", scene.agent());
    eventually("the new soul", || async {
        scene
            .fake
            .file(&key, "SOUL.md")
            .filter(|text| text.trim() == "I am Alpha worker, and brief.")
    })
    .await;
    let sentences = scene
        .sql("SELECT encode(event, 'escape') FROM agent.recorded WHERE event_type = 'agent.soul.updated'")
        .await;
    let sentence: String = sqlx::Row::get(&sentences[0], 0);
    assert!(
        sentence.contains(
            "SOUL.md updated for Alpha worker. Reason: It talks too much. Source: https://souls.example/brief."
        ),
        "{sentence}"
    );
    assert_eq!(
        lead.put(&format!("{}/soul", of(&scene.agent())), json!({"content": " \n "}))
            .await
            .detail(422),
        "content is required"
    );
    let refused = lead
        .put(
            &format!("{}/soul", of(&scene.agent())),
            json!({"content": "one\n{{ nobody }}"}),
        )
        .await
        .detail(422)
        .to_string();
    assert!(refused.contains("`nobody` is not defined on line 2"), "{refused}");
    worker
        .put(&format!("{}/soul", of(&scene.agent())), json!({"content": "x"}))
        .await
        .expect(403);

    // A gateway that is slow or away: the cause, in time.
    scene.settled().await;
    scene
        .fake
        .fail_next("agents.files.get", Fault::Delay(Duration::from_secs(9)));
    let began = std::time::Instant::now();
    let slow = lead.get(&format!("{}/soul", of(&scene.agent()))).await.detail(504);
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    assert!(slow.to_string().contains("Gateway SOUL read failed"), "{slow}");
    scene.fake.refuse_upgrades(Some(503));
    scene.fake.cut();
    let away = eventually("losing the gateway", || async {
        let answer = lead.get(&format!("{}/soul", of(&scene.agent()))).await;
        (answer.status == 502).then_some(answer)
    })
    .await
    .detail(502);
    assert!(
        away.to_string().starts_with("\"Gateway SOUL read failed: The gateway "),
        "{away}"
    );

    // Deleting: workers of the own board only.
    assert_eq!(
        lead.delete(&of(&main_id)).await.detail(403),
        "Board leads cannot delete gateway main agents"
    );
    assert_eq!(
        lead.delete(&of(&lead_id)).await.detail(403),
        "Board leads cannot delete lead agents"
    );
    lead.delete(&of(NOBODY)).await.expect(404);
    worker.delete(&of(&scene.agent())).await.expect(403);
    scene.fake.refuse_upgrades(None);
    assert_eq!(lead.delete(&of(&scene.agent())).await.expect(200), json!({"ok": true}));
    eventually("the worker's end", || async {
        (scene.person.get(&scene.url()).await.status == 404).then_some(())
    })
    .await;
    scene.mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_reaches_a_person_and_the_answer_comes_back() {
    let scene = Scene::start().await;
    let (_, token) = scene.lead().await;
    let lead = scene.mc.agent(&token);
    let lead_session = format!("agent:lead-{}:main", scene.board());
    let (main_id, main_session, main) = main_agent(&scene).await;
    let url = format!("/api/v1/agent/boards/{}/gateway/main/ask-user", scene.board());

    let asked = lead
        .post(
            &url,
            json!({"content": "Red or blue?", "correlation_id": "q-7", "preferred_channel": "slack"}),
        )
        .await
        .expect(200);
    assert_eq!(
        (
            &asked["ok"],
            &asked["board_id"],
            &asked["main_agent_id"],
            &asked["main_agent_name"]
        ),
        (
            &json!(true),
            &json!(scene.board()),
            &json!(main_id),
            &json!("Alpha gateway Gateway Agent")
        )
    );
    let request = arrives(&scene, &main_session, "LEAD REQUEST: ASK USER").await;
    for part in [
        "Board: Alpha\n",
        "From lead: Grace\nCorrelation ID: q-7\nPreferred channel: slack\n\nRed or blue?\n",
    ] {
        assert!(request.contains(part), "{request}");
    }
    happened(&scene, "gateway.lead.ask_user.sent", 1).await;

    // The message says how to answer; doing just that tells the lead.
    let mut ends = request.lines().rev();
    let body = ends
        .next()
        .and_then(|line| line.strip_prefix("Body: "))
        .expect("a body");
    let post = ends.next().and_then(|line| line.strip_prefix("POST ")).expect("a url");
    let body: Value = serde_json::from_str(body).expect("JSON");
    assert_eq!(body["tags"], json!(["gateway_main", "user_reply"]));
    let path = post.strip_prefix(&scene.mc.url).expect("our url");
    main.post(
        path,
        json!({"content": "[q-7] Red", "tags": body["tags"], "source": body["source"]}),
    )
    .await
    .expect(200);
    let reply = arrives(&scene, &lead_session, "USER REPLY").await;
    assert!(reply.contains("[q-7] Red"), "{reply}");

    lead.post(&url, json!({"content": " "})).await.expect(422);
    main.post(&url, json!({"content": "x"})).await.expect(403);
    scene
        .mc
        .agent(&scene.team.token)
        .post(&url, json!({"content": "x"}))
        .await
        .expect(403);
    scene.mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn main_agents_write_to_leads_which_are_made_when_there_are_none() {
    let scene = Scene::start().await;
    let (_, main_session, main) = main_agent(&scene).await;
    let beta = scene
        .person
        .post("/api/v1/boards", path::board("Beta", &id(&scene.team.gateway)))
        .await
        .expect(200);
    let to = |board: &str| format!("/api/v1/agent/gateway/boards/{board}/lead/message");
    let lead_session = |board: &str| format!("agent:lead-{board}:main");

    let sent = main
        .post(&to(&scene.board()), json!({"content": "How is the shop?"}))
        .await
        .expect(200);
    assert_eq!(
        (&sent["lead_created"], &sent["lead_agent_name"], &sent["board_id"]),
        (&json!(true), &json!("Alpha Lead"), &json!(scene.board())),
        "{sent:#}"
    );
    let question = arrives(&scene, &lead_session(&scene.board()), "GATEWAY MAIN QUESTION").await;
    assert!(
        question.contains("From agent: Alpha gateway Gateway Agent\n\nHow is the shop?\n"),
        "{question}"
    );
    happened(&scene, "gateway.main.lead_message.sent", 1).await;
    assert_eq!(operation(&scene, &sent).await["state"], "succeeded");

    // The lead answers the way the message says, and the main agent is told.
    let token = token_in(&scene.fake, &format!("lead-{}", scene.board())).await;
    scene
        .mc
        .agent(&token)
        .post(
            &format!("/api/v1/agent/boards/{}/memory", scene.board()),
            json!({"content": "It sells.", "tags": ["gateway_main", "lead_reply"], "source": "lead_to_gateway_main"}),
        )
        .await
        .expect(200);
    let reply = arrives(&scene, &main_session, "LEAD REPLY").await;
    assert!(reply.contains("It sells."), "{reply}");

    // A lead that is there keeps its name.
    let lead = sent["lead_agent_id"].as_str().expect("a lead").to_owned();
    scene
        .person
        .patch(&format!("/api/v1/agents/{lead}"), json!({"name": "Grace"}))
        .await
        .expect(200);
    let again = main
        .post(&to(&scene.board()), json!({"content": "Take this", "kind": "handoff"}))
        .await
        .expect(200);
    assert_eq!(
        (&again["lead_created"], &again["lead_agent_name"]),
        (&json!(false), &json!("Grace"))
    );
    arrives(&scene, &lead_session(&scene.board()), "GATEWAY MAIN HANDOFF").await;

    let all = main
        .post(
            "/api/v1/agent/gateway/leads/broadcast",
            json!({"content": "Closed on Friday"}),
        )
        .await
        .expect(200);
    assert_eq!((&all["sent"], &all["failed"]), (&json!(2), &json!(0)), "{all:#}");
    assert_eq!(all["results"][0]["board_id"], json!(id(&beta)), "newest first");
    for board in [scene.board(), id(&beta)] {
        eventually("the broadcast", || async {
            scene
                .fake
                .messages(&lead_session(&board))
                .into_iter()
                .find(|text| text.contains("Closed on Friday"))
        })
        .await;
    }
    happened(&scene, "gateway.main.lead_broadcast.sent", 1).await;
    let some = main
        .post(
            "/api/v1/agent/gateway/leads/broadcast",
            json!({"content": "Only one", "board_ids": [id(&beta), NOBODY]}),
        )
        .await
        .expect(200);
    assert_eq!((&some["sent"], &some["failed"]), (&json!(1), &json!(1)), "{some:#}");
    assert_eq!(
        some["results"]
            .as_array()
            .and_then(|results| results.iter().find(|result| result["board_id"] == NOBODY))
            .map(|result| &result["error"]),
        Some(&json!("The board does not belong to this gateway."))
    );

    assert_eq!(
        main.post(&to(NOBODY), json!({"content": "x"})).await.detail(404),
        "Board not found"
    );
    main.post(&to("not-an-id"), json!({"content": "x"})).await.expect(422);
    main.post(&to(&scene.board()), json!({"content": "x", "kind": "order"}))
        .await
        .expect(422);
    for token in [&token, &scene.team.token] {
        scene
            .mc
            .agent(token)
            .post(&to(&scene.board()), json!({"content": "x"}))
            .await
            .expect(403);
    }
    scene.mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_wait_for_a_gateway_that_is_away_and_say_so() {
    let scene = Scene::start().await;
    scene.settled().await;
    let (_, token) = scene.lead().await;
    let lead = scene.mc.agent(&token);
    let gateway = format!("/api/v1/gateways/{}/connection", id(&scene.team.gateway));
    scene.fake.refuse_upgrades(Some(503));
    scene.fake.cut();
    eventually("losing the gateway", || async {
        (scene.person.get(&gateway).await.expect(200)["phase"] != "connected").then_some(())
    })
    .await;
    let url = format!("/api/v1/agent/boards/{}/agents/{}/nudge", scene.board(), scene.agent());
    let began = std::time::Instant::now();
    let sent = lead.post(&url, json!({"message": "Later"})).await.expect(200);
    assert!(began.elapsed() < Duration::from_secs(3), "nothing waits");
    let waiting = eventually("an attempt", || async {
        let shown = operation(&scene, &sent).await;
        (shown["attempts"].as_i64() > Some(0) && shown["next_attempt_at"].is_string()).then_some(shown)
    })
    .await;
    assert_eq!(waiting["state"], "running");
    let listed = scene
        .person
        .get(&format!(
            "/api/v1/operations?kind=message&state=running&agent_id={}",
            scene.agent()
        ))
        .await
        .expect(200);
    assert_eq!(
        (&listed["total"], &listed["items"][0]["id"]),
        (&json!(1), &sent["operation_id"]),
        "{listed:#}"
    );
    let mut live = scene
        .person
        .stream(&format!(
            "/api/v1/operations/{}/stream",
            sent["operation_id"].as_str().expect("an id")
        ))
        .await;
    let first = live.next().await;
    assert_eq!(
        (first.event.as_str(), &first.data["operation"]["state"]),
        ("operation", &json!("running"))
    );
    scene.fake.refuse_upgrades(None);
    loop {
        let step = live.next().await.data;
        if step["operation"]["state"] != "running" {
            assert_eq!(step["operation"]["state"], "succeeded", "{step:#}");
            break;
        }
    }
    arrives(&scene, &scene.session(), "Later").await;
    scene.mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_has_one_pace() {
    let scene = Scene::start().await;
    scene.settled().await;
    let (lead_id, token) = scene.lead().await;
    let group = scene
        .person
        .post("/api/v1/board-groups", json!({"name": "Teams", "slug": ""}))
        .await
        .expect(200);
    let url = format!("/api/v1/board-groups/{}/heartbeat", id(&group));
    let empty = scene.person.post(&url, json!({"every": "5m"})).await.expect(200);
    assert_eq!(
        empty,
        json!({"board_group_id": id(&group), "requested": {"every": "5m", "include_board_leads": false}, "updated_agent_ids": [], "failed_agent_ids": []})
    );
    let lead = scene.mc.agent(&token);
    lead.post(&url, json!({"every": "5m"})).await.expect(403);
    scene
        .person
        .patch(
            &format!("/api/v1/boards/{}", scene.board()),
            json!({"board_group_id": id(&group)}),
        )
        .await
        .expect(200);

    let done = lead.post(&url, json!({"every": "2m"})).await.expect(200);
    assert_eq!(
        (&done["updated_agent_ids"], &done["failed_agent_ids"]),
        (&json!([scene.agent()]), &json!([])),
        "workers only: {done:#}"
    );
    assert_eq!(
        scene.get().await["heartbeat_config"],
        json!({"every": "2m", "target": "last", "includeReasoning": false})
    );
    eventually("the gateway's configuration", || async {
        scene.fake.config().to_string().contains("\"2m\"").then_some(())
    })
    .await;
    let both = scene
        .person
        .post(&url, json!({"every": "30s", "include_board_leads": true}))
        .await
        .expect(200);
    let mut updated: Vec<_> = both["updated_agent_ids"]
        .as_array()
        .expect("ids")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    updated.sort_unstable();
    let mut expected = [lead_id.clone(), scene.agent()];
    expected.sort_unstable();
    assert_eq!(updated, expected);

    let refused = scene.person.post(&url, json!({"every": "soon"})).await.detail(422);
    assert!(refused.to_string().contains("interval such as"), "{refused}");
    scene
        .person
        .post(
            &format!("/api/v1/board-groups/{NOBODY}/heartbeat"),
            json!({"every": "5m"}),
        )
        .await
        .expect(404);
    scene
        .mc
        .agent(&scene.team.token)
        .post(&url, json!({"every": "5m"}))
        .await
        .expect(403);

    // Agents whose gateway is away are named, and follow when it is back.
    scene.settled().await;
    scene.fake.refuse_upgrades(Some(503));
    scene.fake.cut();
    let away = eventually("losing the gateway", || async {
        let done = scene.person.post(&url, json!({"every": "7m"})).await.expect(200);
        (done["failed_agent_ids"] == json!([scene.agent()])).then_some(done)
    })
    .await;
    assert_eq!(away["updated_agent_ids"], json!([scene.agent()]), "the change is kept");
    scene.fake.refuse_upgrades(None);
    eventually("following", || async {
        scene.fake.config().to_string().contains("\"7m\"").then_some(())
    })
    .await;
    scene.mc.stop().await;
}
