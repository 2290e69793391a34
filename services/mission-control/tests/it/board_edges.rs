//! What boards hold at most, and what is left on them when an agent moves on.

use proto::board::v1::{TaskStatus, UpdateTaskRequest};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    board::Office,
    harness::{eventually, id},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_moves_leaves_its_work_behind() {
    let office = Office::open().await;
    let person = &office.person;
    let (from, to) = (
        office.board("From", json!({})).await,
        office.board("To", json!({})).await,
    );
    let (ann, lead) = (office.worker(&from, "Ann").await, office.lead(&from).await);
    let url = format!("/api/v1/boards/{from}/tasks");
    let held = json!({"title": "held", "status": "in_progress", "assigned_agent_id": ann.id});
    let held = id(&person.post(&url, held).await.expect(200));
    let reviewed = json!({"title": "reviewed", "status": "in_progress", "assigned_agent_id": ann.id});
    let reviewed = id(&person.post(&url, reviewed).await.expect(200));
    person
        .patch(&format!("{url}/{reviewed}"), json!({"status": "review"}))
        .await
        .expect(200);
    let hooks = format!("/api/v1/boards/{from}/webhooks");
    let hook = json!({"description": "Triage", "agent_id": ann.id});
    let hook = id(&person.post(&hooks, hook).await.expect(200));

    person
        .patch(&format!("/api/v1/agents/{}", ann.id), json!({"board_id": to}))
        .await
        .expect(200);
    let left = eventually("leaving the task", || async {
        let task = person.get(&format!("/api/v1/tasks/{held}")).await.expect(200);
        task["assigned_agent_id"].is_null().then_some(task)
    })
    .await;
    assert_eq!(
        (&left["status"], &left["in_progress_at"]),
        (&json!("inbox"), &Value::Null)
    );
    assert_eq!(
        person.get(&format!("{hooks}/{hook}")).await.expect(200)["agent_id"],
        Value::Null
    );
    // Rework goes to who works here.
    let back = UpdateTaskRequest {
        board_id: from.clone(),
        task_id: reviewed,
        status: Some(TaskStatus::Inbox.into()),
        ..UpdateTaskRequest::default()
    };
    let back = office.tasks(&lead.caller).update_task(back).await.unwrap().into_inner();
    assert_eq!(back.assigned_agent_id, None);
    office.mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_are_kept_whole_or_refused() {
    let office = Office::open().await;
    let person = &office.person;
    // Three bytes each, and none like the one before: nothing that an index could make smaller.
    let name = |length: u32| {
        (0..length)
            .filter_map(|n| char::from_u32(0x4E00 + n * 7 % 20_000))
            .collect::<String>()
    };
    let group = person
        .post("/api/v1/board-groups", json!({"name": name(500), "slug": "g"}))
        .await
        .expect(200);
    let board = office.board(&name(500), json!({"board_group_id": group["id"]})).await;
    let tag = person
        .post("/api/v1/tags", json!({"name": name(500), "slug": "b".repeat(500)}))
        .await
        .expect(200);
    let custom = person
        .post(
            "/api/v1/organizations/me/custom-fields",
            json!({"field_key": name(200), "label": name(200), "board_ids": [board]}),
        )
        .await
        .expect(200);
    assert_eq!(
        (&group["name"], &custom["label"]),
        (&json!(name(500)), &json!(name(200)))
    );
    for (url, field, longest) in [
        (format!("/api/v1/boards/{board}"), "name", 500),
        (format!("/api/v1/board-groups/{}", id(&group)), "name", 500),
        (format!("/api/v1/tags/{}", id(&tag)), "name", 500),
        (format!("/api/v1/tags/{}", id(&tag)), "slug", 500),
        (
            format!("/api/v1/organizations/me/custom-fields/{}", id(&custom)),
            "label",
            200,
        ),
    ] {
        let mut body = json!({});
        body[field] = name(longest + 1).into();
        let refused = person.patch(&url, body).await.detail(422);
        assert_eq!(
            (&refused[0]["loc"], &refused[0]["type"]),
            (&json!(["body", field]), &json!("string_too_long")),
            "{url}"
        );
    }
    // Nor do lists grow without bound.
    let many: Vec<Uuid> = std::iter::repeat_with(Uuid::now_v7).take(1001).collect();
    let tasks = format!("/api/v1/boards/{board}/tasks");
    let task = id(&person.post(&tasks, json!({"title": "t"})).await.expect(200));
    for field in ["depends_on_task_ids", "tag_ids"] {
        for (url, made) in [(tasks.clone(), true), (format!("{tasks}/{task}"), false)] {
            let mut body = json!({"title": "t"});
            body[field] = json!(many);
            let refused = if made {
                person.post(&url, body).await
            } else {
                person.patch(&url, body).await
            };
            let refused = refused.detail(422);
            assert_eq!(
                (&refused[0]["loc"], &refused[0]["type"]),
                (&json!(["body", field]), &json!("too_long")),
                "{url}"
            );
        }
    }
    // A name is not taken away by null either.
    for url in [
        format!("/api/v1/boards/{board}"),
        format!("/api/v1/board-groups/{}", id(&group)),
        format!("/api/v1/tags/{}", id(&tag)),
    ] {
        person.patch(&url, json!({"name": null})).await.expect(422);
    }
    office.mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_board_with_long_texts_is_shown_as_a_whole() {
    let office = Office::open().await;
    let person = &office.person;
    let board = office.board("Board", json!({})).await;
    // More than a client takes at once unless it is told to.
    let plan = "x".repeat(1_500_000);
    for _ in 0..3 {
        let asked = json!({"action_type": "deploy", "confidence": 90, "lead_reasoning": "It is time.", "payload": {"plan": plan}});
        person
            .post(&format!("/api/v1/boards/{board}/approvals"), asked)
            .await
            .expect(200);
    }
    let whole = person
        .get(&format!("/api/v1/boards/{board}/snapshot"))
        .await
        .expect(200);
    assert_eq!(
        (
            whole["approvals"].as_array().map(Vec::len),
            &whole["pending_approvals_count"]
        ),
        (Some(3), &json!(3))
    );
    office.mc.stop().await;
}
