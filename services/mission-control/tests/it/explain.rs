//! What stands against a change of a task, and who could make it.

use proto::board::v1::{ExplainTransitionRequest, TaskStatus};
use serde_json::{Value, json};

use crate::{board::Office, harness::id};

fn rules(refusals: &Value) -> Vec<&str> {
    let refusals = refusals.as_array().expect("a list").iter();
    refusals
        .map(|refusal| refusal["rule"].as_str().expect("a rule"))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transition_is_explained_to_everybody() {
    let office = Office::open().await;
    let person = &office.person;
    let strict = json!({"require_approval_for_done": true, "require_review_before_done": true, "only_lead_can_change_status": true});
    let board = office.board("Strict", strict).await;
    let url = format!("/api/v1/boards/{board}/tasks");
    let blocker = id(&person.post(&url, json!({"title": "a"})).await.expect(200));
    let task = id(&person
        .post(&url, json!({"title": "b", "depends_on_task_ids": [blocker]}))
        .await
        .expect(200));
    let explain = format!("{url}/{task}/explain-transition");

    let told = person.post(&explain, json!({"status": "done"})).await.expect(200);
    assert_eq!(
        (&told["allowed"], &told["from"], &told["to"]),
        (&json!(false), &json!("inbox"), &json!("done"))
    );
    assert_eq!(
        rules(&told["refusals"]),
        [
            "task_blocked_cannot_transition",
            "require_review_before_done",
            "require_approval_for_done"
        ]
    );
    let first = &told["refusals"][0];
    assert_eq!(
        (&first["blocked_by_task_ids"], &first["who"]),
        (
            &json!([blocker]),
            &json!(["assignee", "board_lead", "person_with_write_access"])
        )
    );
    // The first is what the change itself is refused with.
    let refused = person
        .patch(&format!("{url}/{task}"), json!({"status": "done"}))
        .await
        .detail(409);
    assert_eq!(
        (&refused["rule"], &refused["message"]),
        (&first["rule"], &first["message"])
    );

    // Without a lead there are people and workers; with one, it is asked about too.
    let kinds = |told: &Value| {
        let actors = told["actors"].as_array().unwrap().iter();
        actors
            .map(|actor| {
                (
                    actor["kind"].as_str().unwrap().to_owned(),
                    actor["allowed"].as_bool().unwrap(),
                )
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(
        kinds(&told),
        [
            ("person_with_write_access".to_owned(), false),
            ("worker".to_owned(), false)
        ]
    );
    person
        .patch(&format!("{url}/{blocker}"), json!({"status": "in_progress"}))
        .await
        .expect(200);
    let lead = office.lead(&board).await;
    let worker = office.worker(&board, "Ann").await;
    let start = person
        .post(
            &format!("{url}/{blocker}/explain-transition"),
            json!({"status": "review"}),
        )
        .await
        .expect(200);
    assert_eq!((&start["allowed"], rules(&start["refusals"])), (&json!(true), vec![]));
    assert_eq!(
        kinds(&start),
        [
            ("person_with_write_access".to_owned(), true),
            ("board_lead".to_owned(), false),
            ("worker".to_owned(), false)
        ]
    );
    assert_eq!(start["actors"][1]["agent_id"], lead.id.as_str());
    assert_eq!(rules(&start["actors"][2]["refusals"]), ["only_lead_can_change_status"]);

    // An agent is told of itself; nothing is changed by asking.
    let request = ExplainTransitionRequest {
        board_id: board.clone(),
        task_id: blocker.clone(),
        status: Some(TaskStatus::Review.into()),
        ..ExplainTransitionRequest::default()
    };
    let own = office
        .tasks(&worker.caller)
        .explain_transition(request.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(own.refusals[0].rule, "only_lead_can_change_status");
    assert_eq!(own.refusals[0].who, ["board_lead", "person_with_write_access"]);
    assert_eq!(
        person.get(&format!("/api/v1/tasks/{blocker}")).await.expect(200)["etag"],
        own.etag.as_str()
    );
    // Who may only read is told that first.
    let reader = office.member(&office.organization, "member", &[(&board, false)]);
    let seen = office
        .tasks(&reader)
        .explain_transition(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (seen.allowed, seen.refusals[0].rule.as_str()),
        (false, "board_write_access")
    );

    // The page of a task shows what is around it.
    let page = person.get(&format!("/api/v1/tasks/{task}/details")).await.expect(200);
    assert_eq!(
        (&page["task"]["id"], &page["board_name"], &page["assignee"]),
        (&json!(task), &json!("Strict"), &Value::Null)
    );
    assert_eq!(
        page["depends_on"],
        json!([{"id": blocker, "title": "a", "status": "in_progress"}])
    );
    let page = person
        .get(&format!("/api/v1/tasks/{blocker}/details"))
        .await
        .expect(200);
    assert_eq!(
        page["dependents"],
        json!([{"id": task, "title": "b", "status": "inbox"}])
    );
    assert_eq!((&page["comments"], &page["comments_total"]), (&json!([]), &json!(0)));

    person.post(&explain, json!({})).await.expect(422);
    person.post(&explain, json!({"status": "doing"})).await.expect(422);
    let elsewhere = office.board("Other", json!({})).await;
    person
        .post(
            &format!("/api/v1/boards/{elsewhere}/tasks/{task}/explain-transition"),
            json!({"status": "done"}),
        )
        .await
        .expect(404);
    office.mc.stop().await;
}
