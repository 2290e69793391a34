//! Tasks through the public doors: people over REST, agents over gRPC as themselves. The transition table itself is tested in the board crate;
//! here it meets the database, the other services and each other's requests.

use proto::board::v1::{
    CreateTaskCommentRequest, CreateTaskRequest, DeleteTaskRequest, ListTasksRequest, Task, TaskStatus,
    UpdateTaskRequest,
};
use serde_json::{Value, json};
use tonic::{Code, Status};
use tonic_types::StatusExt;
use uuid::Uuid;

use crate::{
    board::{Agent, Office},
    harness::id,
};

/// `rule` of a refusal.
fn rule(status: &Status) -> String {
    let details = status.get_error_details();
    let rule = details.error_info().and_then(|info| info.metadata.get("rule"));
    rule.cloned().unwrap_or_else(|| format!("{status}"))
}

fn change(board: &str, task: &str, status: TaskStatus) -> UpdateTaskRequest {
    UpdateTaskRequest {
        board_id: board.into(),
        task_id: task.into(),
        status: Some(status.into()),
        ..UpdateTaskRequest::default()
    }
}

async fn update(office: &Office, agent: &Agent, request: UpdateTaskRequest) -> Result<Task, Status> {
    Ok(office.tasks(&agent.caller).update_task(request).await?.into_inner())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_are_created_listed_changed_and_deleted() {
    let office = Office::open().await;
    let person = &office.person;
    let board = office.board("Board", json!({})).await;
    let url = format!("/api/v1/boards/{board}/tasks");
    let empty = person.get(&url).await.expect(200);
    assert_eq!(
        (&empty["items"], &empty["total"], &empty["limit"]),
        (&json!([]), &json!(0), &json!(200))
    );

    let first = person.post(&url, json!({"title": ""})).await.expect(200);
    for (key, expected) in [
        ("title", json!("")),
        ("status", json!("inbox")),
        ("priority", json!("medium")),
        ("description", Value::Null),
        ("due_at", Value::Null),
        ("assigned_agent_id", Value::Null),
        ("in_progress_at", Value::Null),
        ("depends_on_task_ids", json!([])),
        ("blocked_by_task_ids", json!([])),
        ("is_blocked", json!(false)),
        ("tags", json!([])),
        ("custom_field_values", json!({})),
        ("board_id", json!(board)),
    ] {
        assert_eq!(first[key], expected, "{key}");
    }
    assert!(first["created_by_user_id"].is_string(), "the creator is the caller");
    let foreign = json!({"title": "b", "status": "in_progress", "priority": "odd", "due_at": "2031-01-01", "created_by_user_id": Uuid::now_v7(), "description": "**d**"});
    let second = person.post(&url, foreign).await.expect(200);
    assert_eq!(
        second["created_by_user_id"], first["created_by_user_id"],
        "nobody creates in another's name"
    );
    assert_eq!(
        (&second["priority"], &second["description"]),
        (&json!("odd"), &json!("**d**"))
    );
    assert_eq!(second["in_progress_at"], second["created_at"]);
    assert_eq!(
        person.get(&format!("/api/v1/tasks/{}", id(&second))).await.expect(200),
        second,
        "what is answered is what is stored"
    );

    let ids = |listed: Value| listed["items"].as_array().unwrap().iter().map(id).collect::<Vec<_>>();
    assert_eq!(
        ids(person.get(&url).await.expect(200)),
        [id(&second), id(&first)],
        "newest first"
    );
    assert_eq!(
        ids(person.get(&format!("{url}?status=in_progress, done")).await.expect(200)),
        [id(&second)]
    );
    assert_eq!(ids(person.get(&format!("{url}?status=")).await.expect(200)).len(), 2);
    let page = person.get(&format!("{url}?limit=1&offset=1")).await.expect(200);
    assert_eq!((page["total"].clone(), ids(page)), (json!(2), vec![id(&first)]));
    let beyond = person.get(&format!("{url}?offset=9")).await.expect(200);
    assert_eq!((&beyond["items"], &beyond["total"]), (&json!([]), &json!(2)));
    let wrong = person.get(&format!("{url}?status=doing")).await.detail(422);
    assert_eq!(wrong["message"], "Unsupported task status filter.");

    let task = format!("{url}/{}", id(&first));
    let patched = person
        .patch(
            &task,
            json!({"title": "A", "description": "text", "due_at": "2031-01-01T00:00:00Z"}),
        )
        .await
        .expect(200);
    assert_eq!(
        (&patched["title"], &patched["description"], &patched["priority"]),
        (&json!("A"), &json!("text"), &json!("medium"))
    );
    assert!(patched["updated_at"].as_str() > first["updated_at"].as_str());
    let cleared = person
        .patch(&task, json!({"description": null, "due_at": null}))
        .await
        .expect(200);
    assert_eq!(
        (&cleared["title"], &cleared["description"], &cleared["due_at"]),
        (&json!("A"), &Value::Null, &Value::Null)
    );
    for wrong in [
        json!({"status": null}),
        json!({"title": null}),
        json!({"status": "doing"}),
        json!({"custom_field_values": {"x": 1}}),
    ] {
        person.patch(&task, wrong).await.expect(422);
    }
    person
        .patch(
            &format!("/api/v1/boards/{}/tasks/{}", Uuid::now_v7(), id(&first)),
            json!({}),
        )
        .await
        .expect(404);

    assert_eq!(person.delete(&task).await.expect(200), json!({"ok": true}));
    person.delete(&task).await.expect(404);
    person.get(&format!("/api/v1/tasks/{}", id(&first))).await.expect(404);
    person
        .post(
            &format!("/api/v1/boards/{}/tasks", Uuid::now_v7()),
            json!({"title": "x"}),
        )
        .await
        .expect(404);
    person
        .get(&format!("/api/v1/boards/{}/tasks", Uuid::now_v7()))
        .await
        .expect(404);
    office.mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dependencies_hold_tasks_back_and_let_them_go() {
    let office = Office::open().await;
    let person = &office.person;
    let board = office.board("Board", json!({})).await;
    let url = format!("/api/v1/boards/{board}/tasks");
    let a = person.post(&url, json!({"title": "A"})).await.expect(200);
    let b = person
        .post(&url, json!({"title": "B", "depends_on_task_ids": [a["id"], a["id"]]}))
        .await
        .expect(200);
    assert_eq!(
        (&b["depends_on_task_ids"], &b["blocked_by_task_ids"], &b["is_blocked"]),
        (&json!([a["id"]]), &json!([a["id"]]), &json!(true))
    );
    let (a_url, b_url) = (format!("{url}/{}", id(&a)), format!("{url}/{}", id(&b)));

    // Bad links, by name.
    assert_eq!(
        person
            .patch(&a_url, json!({"depends_on_task_ids": [a["id"]]}))
            .await
            .detail(422),
        json!("Task cannot depend on itself.")
    );
    let cycle = person
        .patch(&a_url, json!({"depends_on_task_ids": [b["id"]]}))
        .await
        .detail(409);
    assert_eq!(
        cycle,
        json!("Dependency cycle detected. Remove the cycle before saving.")
    );
    let missing = Uuid::now_v7().to_string();
    let refused = person
        .patch(&a_url, json!({"depends_on_task_ids": [missing]}))
        .await
        .detail(404);
    assert_eq!(refused["missing_task_ids"], json!([missing]));
    let elsewhere = office.board("Elsewhere", json!({})).await;
    let foreign = person
        .post(&format!("/api/v1/boards/{elsewhere}/tasks"), json!({"title": "F"}))
        .await
        .expect(200);
    person
        .patch(&a_url, json!({"depends_on_task_ids": [foreign["id"]]}))
        .await
        .expect(404);

    for (links, status, rule) in [
        (&a["id"], 422, "dependency_itself"),
        (&b["id"], 409, "dependency_cycle"),
        (&foreign["id"], 404, "dependency_unknown"),
    ] {
        let refused = person
            .patch(&a_url, json!({"depends_on_task_ids": [links]}))
            .await
            .expect(status);
        assert_eq!(refused["rule"], rule);
        assert!(refused["remedy"].is_string(), "{refused:#}");
    }

    // A blocked task does not move; everything else about it can change, and nothing is reset in silence.
    for body in [
        json!({"status": "in_progress"}),
        json!({"status": "done", "title": "never"}),
    ] {
        let refused = person.patch(&b_url, body).await.detail(409);
        assert_eq!(
            (&refused["code"], &refused["blocked_by_task_ids"]),
            (&json!("task_blocked_cannot_transition"), &json!([a["id"]]))
        );
        assert!(refused["remedy"].is_string());
    }
    person
        .post(
            &url,
            json!({"title": "C", "status": "done", "depends_on_task_ids": [a["id"]]}),
        )
        .await
        .expect(409);
    let edited = person
        .patch(&b_url, json!({"title": "B2", "status": "inbox"}))
        .await
        .expect(200);
    assert_eq!((&edited["title"], &edited["is_blocked"]), (&json!("B2"), &json!(true)));

    // Done unblocks, reopening blocks again and takes begun work back; watchers see both.
    let mut live = person.stream(&format!("{url}/stream")).await;
    person.patch(&a_url, json!({"status": "done"})).await.expect(200);
    // What was changed a moment before may still come.
    let moved = loop {
        let event = live.next().await;
        if event.data["type"] == "task.status_changed" {
            break event;
        }
    };
    assert_eq!(moved.data["task"]["title"], "A");
    let unblocked = live.next().await;
    assert_eq!(
        (&unblocked.data["type"], &unblocked.data["activity"]["message"]),
        (&json!("task.updated"), &json!("Dependency completion changed: A."))
    );
    assert_eq!(
        (&unblocked.data["task"]["title"], &unblocked.data["task"]["is_blocked"]),
        (&json!("B2"), &json!(false))
    );
    assert_ne!(
        unblocked.data["task"]["etag"], edited["etag"],
        "what it is blocked by is part of it"
    );
    person.patch(&b_url, json!({"status": "in_progress"})).await.expect(200);
    person.patch(&a_url, json!({"status": "inbox"})).await.expect(200);
    let returned = person.get(&format!("/api/v1/tasks/{}", id(&b))).await.expect(200);
    assert_eq!(
        (
            &returned["status"],
            &returned["in_progress_at"],
            &returned["is_blocked"]
        ),
        (&json!("inbox"), &Value::Null, &json!(true))
    );

    // Dependencies of finished tasks stay; deleting a dependency frees the dependents.
    person.patch(&a_url, json!({"status": "done"})).await.expect(200);
    person.patch(&b_url, json!({"status": "done"})).await.expect(200);
    let fixed = person
        .patch(&b_url, json!({"depends_on_task_ids": []}))
        .await
        .detail(409);
    assert_eq!(fixed, "Cannot change task dependencies after a task is done.");
    let c = person.post(&url, json!({"title": "C"})).await.expect(200);
    let d = person
        .post(&url, json!({"title": "D", "depends_on_task_ids": [b["id"], c["id"]]}))
        .await
        .expect(200);
    assert_eq!(
        (&d["depends_on_task_ids"], &d["blocked_by_task_ids"]),
        (&json!([b["id"], c["id"]]), &json!([c["id"]])),
        "in the order given"
    );
    person.delete(&format!("{url}/{}", id(&c))).await.expect(200);
    let freed = person.get(&format!("/api/v1/tasks/{}", id(&d))).await.expect(200);
    assert_eq!(
        (&freed["depends_on_task_ids"], &freed["is_blocked"]),
        (&json!([b["id"]]), &json!(false))
    );
    assert_ne!(freed["etag"], d["etag"]);
    office.mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gates_of_the_board_hold_for_people_too() {
    let office = Office::open().await;
    let person = &office.person;
    let strict = json!({
        "require_approval_for_done": true, "require_review_before_done": true, "comment_required_for_review": true,
        "block_status_changes_with_pending_approval": true, "only_lead_can_change_status": true,
    });
    let board = office.board("Strict", strict).await;
    let url = format!("/api/v1/boards/{board}/tasks");
    let born = person
        .post(&url, json!({"title": "t", "status": "done"}))
        .await
        .detail(409);
    assert_eq!(
        (&born["rule"], &born["blocked_by_task_ids"]),
        (&json!("require_review_before_done"), &json!([]))
    );

    let task = person.post(&url, json!({"title": "t"})).await.expect(200);
    let task_url = format!("{url}/{}", id(&task));
    assert_eq!(
        person.patch(&task_url, json!({"status": "done"})).await.detail(409)["rule"],
        "require_review_before_done"
    );
    // Where the contract has a text, the rule stands beside it.
    let silent = person.patch(&task_url, json!({"status": "review"})).await.expect(422);
    assert_eq!(
        (&silent["detail"], &silent["rule"], &silent["who"]),
        (
            &json!("Comment is required."),
            &json!("comment_required_for_review"),
            &json!("assignee,caller")
        )
    );
    assert_eq!(
        person
            .patch(&task_url, json!({"status": "review", "comment": "  "}))
            .await
            .expect(422)["detail"],
        "Comment is required."
    );
    person
        .patch(&task_url, json!({"status": "review", "comment": "Look at it"}))
        .await
        .expect(200);
    let comments = person.get(&format!("{task_url}/comments")).await.expect(200);
    assert_eq!(
        (&comments["total"], &comments["items"][0]["message"]),
        (&json!(1), &json!("Look at it"))
    );
    let unapproved = person.patch(&task_url, json!({"status": "done"})).await.expect(409);
    for place in [&unapproved, &unapproved["detail"]] {
        assert_eq!(
            (&place["rule"], &place["missing"]),
            (
                &json!("require_approval_for_done"),
                &json!("a granted approval that is linked to the task")
            )
        );
    }
    assert_eq!(unapproved["detail"]["who"], json!(["person_with_write_access"]));

    let approvals = format!("/api/v1/boards/{board}/approvals");
    let worker = office.worker(&board, "Ann").await;
    let asked = proto::approval::v1::CreateApprovalRequest {
        board_id: board.clone(),
        action_type: "mark_done".into(),
        confidence: 90.0,
        task_ids: vec![id(&task)],
        lead_reasoning: Some("It is complete.".into()),
        ..Default::default()
    };
    let peer = office
        .mc
        .constellation
        .context
        .peers
        .on_behalf("approval", &worker.caller);
    let approval = proto::approval::v1::approval_service_client::ApprovalServiceClient::new(peer)
        .create_approval(asked)
        .await
        .unwrap()
        .into_inner();
    for status in ["done", "inbox"] {
        let held = person.patch(&task_url, json!({"status": status})).await.detail(409);
        assert_eq!(held["rule"], "block_status_changes_with_pending_approval", "{status}");
    }
    person
        .patch(&task_url, json!({"status": "review", "title": "still editable"}))
        .await
        .expect(200);
    person
        .patch(&format!("{approvals}/{}", approval.id), json!({"status": "approved"}))
        .await
        .expect(200);
    assert_eq!(
        person.patch(&task_url, json!({"status": "done"})).await.expect(200)["status"],
        "done"
    );

    let refused = update(&office, &worker, change(&board, &id(&task), TaskStatus::Inbox))
        .await
        .unwrap_err();
    assert_eq!(
        (rule(&refused), refused.code()),
        ("only_lead_can_change_status".into(), Code::PermissionDenied)
    );
    office.mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_claim_hand_over_and_get_rework_back() {
    let office = Office::open().await;
    let person = &office.person;
    let board = office
        .board("Board", json!({"comment_required_for_review": true}))
        .await;
    let url = format!("/api/v1/boards/{board}/tasks");
    let (ann, bob, lead) = (
        office.worker(&board, "Ann").await,
        office.worker(&board, "Bob").await,
        office.lead(&board).await,
    );
    let task = id(&person.post(&url, json!({"title": "t"})).await.expect(200));

    // Of all workers that claim at once one gets it.
    let (one, two) = tokio::join!(
        update(&office, &ann, change(&board, &task, TaskStatus::InProgress)),
        update(&office, &bob, change(&board, &task, TaskStatus::InProgress))
    );
    let (winner, loser, late) = match (one, two) {
        (Ok(_), Err(late)) => (&ann, &bob, late),
        (Err(late), Ok(_)) => (&bob, &ann, late),
        other => panic!("exactly one gets it: {other:?}"),
    };
    assert_eq!(rule(&late), "task_assignee_mismatch");

    // Review wants a word of whoever worked on it.
    let silent = update(&office, winner, change(&board, &task, TaskStatus::Review))
        .await
        .unwrap_err();
    assert_eq!(
        (rule(&silent), silent.code()),
        ("comment_required_for_review".into(), Code::InvalidArgument)
    );
    let said = |agent: &Agent, message: &str| {
        let (mut tasks, request) = (
            office.tasks(&agent.caller),
            CreateTaskCommentRequest {
                board_id: board.clone(),
                task_id: task.clone(),
                message: message.into(),
                ..CreateTaskCommentRequest::default()
            },
        );
        async move { tasks.create_task_comment(request).await }
    };
    said(loser, "I would do it better").await.unwrap();
    assert_eq!(
        rule(
            &update(&office, winner, change(&board, &task, TaskStatus::Review))
                .await
                .unwrap_err()
        ),
        "comment_required_for_review",
        "another's word does not count"
    );
    let early = said(&lead, "How is it going?").await.unwrap_err();
    assert_eq!(
        (rule(&early), early.code()),
        ("lead_comment_scope".into(), Code::PermissionDenied)
    );
    said(winner, "  Finished, @grace please look  ").await.unwrap();
    said(&lead, "I look").await.expect("mentioned leads may answer");
    let reviewed = update(&office, winner, change(&board, &task, TaskStatus::Review))
        .await
        .unwrap();
    assert_eq!(
        (reviewed.assigned_agent_id.as_deref(), &reviewed.in_progress_at),
        (Some(lead.id.as_str()), &None)
    );

    // The lead asks for changes: the task goes back to its worker.
    let denied = update(&office, &lead, change(&board, &task, TaskStatus::InProgress))
        .await
        .unwrap_err();
    assert_eq!(rule(&denied), "lead_status_target_gate");
    let with_comment = UpdateTaskRequest {
        comment: Some("redo".into()),
        ..change(&board, &task, TaskStatus::Inbox)
    };
    assert_eq!(
        rule(&update(&office, &lead, with_comment).await.unwrap_err()),
        "lead_comment_gate"
    );
    said(&lead, "Please redo").await.unwrap();
    let rework = update(&office, &lead, change(&board, &task, TaskStatus::Inbox))
        .await
        .unwrap();
    assert_eq!(
        (rework.status(), rework.assigned_agent_id.as_deref()),
        (TaskStatus::Inbox, Some(winner.id.as_str()))
    );

    let comments = person.get(&format!("{url}/{task}/comments")).await.expect(200);
    let authors: Vec<&Value> = comments["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|comment| &comment["agent_id"])
        .collect();
    assert_eq!(
        authors,
        [&json!(loser.id), &json!(winner.id), &json!(lead.id), &json!(lead.id)],
        "oldest first"
    );
    assert_eq!(
        (&comments["items"][1]["message"], &comments["items"][3]["author_name"]),
        (&json!("Finished, @grace please look"), &json!("Grace Lead"))
    );
    let mine = person
        .post(&format!("{url}/{task}/comments"), json!({"message": "ok"}))
        .await
        .expect(200);
    assert!(mine["agent_id"].is_null() && mine["user_id"].is_string(), "{mine:#}");
    person
        .post(&format!("{url}/{task}/comments"), json!({"message": "  "}))
        .await
        .expect(422);
    office.mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leads_create_assign_start_and_delete_on_their_board() {
    let office = Office::open().await;
    let board = office.board("Board", json!({})).await;
    let elsewhere = office.board("Elsewhere", json!({})).await;
    let (ann, lead, carl) = (
        office.worker(&board, "Ann").await,
        office.lead(&board).await,
        office.worker(&elsewhere, "Carl").await,
    );
    let mut tasks = office.tasks(&lead.caller);
    let new = |assignee: Option<&str>| CreateTaskRequest {
        board_id: board.clone(),
        title: "Sub".into(),
        assigned_agent_id: assignee.map(str::to_owned),
        ..CreateTaskRequest::default()
    };
    for (assignee, code, expected) in [
        (lead.id.as_str(), Code::PermissionDenied, "lead_self_assignment"),
        (carl.id.as_str(), Code::Aborted, "assignee_on_another_board"),
        (&Uuid::now_v7().to_string(), Code::NotFound, "assignee_unknown"),
    ] {
        let refused = tasks.create_task(new(Some(assignee))).await.unwrap_err();
        assert_eq!((refused.code(), rule(&refused)), (code, expected.to_owned()));
        let refused = office
            .person
            .post(
                &format!("/api/v1/boards/{board}/tasks"),
                json!({"title": "x", "assigned_agent_id": assignee}),
            )
            .await;
        assert_eq!(
            refused.status.as_u16(),
            match code {
                Code::Aborted => 409,
                Code::NotFound => 404,
                _ => 200,
            },
            "a person may give a task to the lead"
        );
    }
    let task = tasks.create_task(new(None)).await.unwrap().into_inner();
    assert_eq!(task.created_by_user_id, None);
    let denied = office.tasks(&ann.caller).create_task(new(None)).await.unwrap_err();
    assert_eq!(
        (denied.code(), denied.message()),
        (Code::PermissionDenied, "Only board leads can perform this action")
    );
    let foreign = CreateTaskRequest {
        board_id: elsewhere.clone(),
        ..new(None)
    };
    assert_eq!(
        tasks.create_task(foreign).await.unwrap_err().code(),
        Code::PermissionDenied
    );

    let start = UpdateTaskRequest {
        assigned_agent_id: Some(ann.id.clone()),
        ..change(&board, &task.id, TaskStatus::InProgress)
    };
    let started = update(&office, &lead, start).await.unwrap();
    assert_eq!(
        (started.status(), started.assigned_agent_id.as_deref()),
        (TaskStatus::InProgress, Some(ann.id.as_str()))
    );
    assert!(started.in_progress_at.is_some(), "started means started");
    let retitled = UpdateTaskRequest {
        board_id: board.clone(),
        task_id: task.id.clone(),
        title: Some("x".into()),
        ..UpdateTaskRequest::default()
    };
    assert_eq!(
        rule(&update(&office, &lead, retitled.clone()).await.unwrap_err()),
        "lead_field_gate"
    );
    assert_eq!(
        rule(&update(&office, &ann, retitled).await.unwrap_err()),
        "task_update_field_forbidden"
    );

    let assign = |agent: Option<&str>| json!({"agent_id": agent});
    let url = format!("/api/v1/tasks/{}/assign-agent", task.id);
    assert_eq!(
        office.person.post(&url, assign(None)).await.expect(200)["assigned_agent_id"],
        Value::Null
    );
    assert_eq!(
        office.person.post(&url, assign(Some(&carl.id))).await.expect(409)["rule"],
        "assignee_on_another_board"
    );
    assert_eq!(
        office.person.post(&url, assign(Some(&ann.id))).await.expect(200)["assigned_agent_id"],
        ann.id.as_str()
    );

    let mine = ListTasksRequest {
        board_id: board.clone(),
        assigned_agent_id: Some(ann.id.clone()),
        ..Default::default()
    };
    assert_eq!(
        office
            .tasks(&ann.caller)
            .list_tasks(mine.clone())
            .await
            .unwrap()
            .into_inner()
            .total,
        1
    );
    assert_eq!(
        office.tasks(&carl.caller).list_tasks(mine).await.unwrap_err().code(),
        Code::PermissionDenied
    );
    let delete = DeleteTaskRequest {
        board_id: board.clone(),
        task_id: task.id.clone(),
        ..DeleteTaskRequest::default()
    };
    assert_eq!(
        office
            .tasks(&ann.caller)
            .delete_task(delete.clone())
            .await
            .unwrap_err()
            .code(),
        Code::PermissionDenied
    );
    tasks.delete_task(delete.clone()).await.unwrap();
    assert_eq!(tasks.delete_task(delete).await.unwrap_err().code(), Code::NotFound);
    office.mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_was_just_read_shows_what_its_tasks_link_to_now() {
    let office = Office::open().await;
    let person = &office.person;
    let board = office.board("Board", json!({})).await;
    let url = format!("/api/v1/boards/{board}/tasks");
    let tag = person.post("/api/v1/tags", json!({"name": "Urgent"})).await.expect(200);
    let first = person
        .post(&url, json!({"title": "First", "tag_ids": [tag["id"]]}))
        .await
        .expect(200);
    let second = person
        .post(&url, json!({"title": "Second", "depends_on_task_ids": [first["id"]]}))
        .await
        .expect(200);
    // What the list says of the tag of the first and the dependencies of the second; whole, and from a page that has the second alone.
    let read = async || {
        let all = person.get(&url).await.expect(200);
        let page = person.get(&format!("{url}?limit=1")).await.expect(200);
        let of = |list: &Value, task: &Value, key: &str| {
            let rows = list["items"].as_array().expect("items");
            rows.iter()
                .find(|row| row["id"] == task["id"])
                .map(|row| row[key].clone())
        };
        let blocked = of(&all, &second, "blocked_by_task_ids");
        assert_eq!(of(&page, &second, "blocked_by_task_ids"), blocked, "{page:#}");
        let name = of(&all, &first, "tags").map(|tags| tags[0]["name"].clone());
        (name.unwrap_or_default(), blocked.unwrap_or_default())
    };
    for _ in 0..2 {
        assert_eq!(read().await, (json!("Urgent"), json!([first["id"]])));
    }
    person
        .patch(&format!("/api/v1/tags/{}", id(&tag)), json!({"name": "Soon"}))
        .await
        .expect(200);
    assert_eq!(read().await, (json!("Soon"), json!([first["id"]])));
    person
        .patch(&format!("{url}/{}", id(&first)), json!({"status": "done"}))
        .await
        .expect(200);
    assert_eq!(read().await, (json!("Soon"), json!([])));
    person.delete(&format!("/api/v1/tags/{}", id(&tag))).await.expect(200);
    assert_eq!(read().await, (Value::Null, json!([])));
    person.delete(&format!("{url}/{}", id(&first))).await.expect(200);
    let left = person.get(&url).await.expect(200);
    assert_eq!(
        (&left["total"], &left["items"][0]["depends_on_task_ids"]),
        (&json!(1), &json!([]))
    );
    office.mc.stop().await;
}
