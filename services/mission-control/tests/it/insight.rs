//! What is made of the log: dashboard, inbox, filters of the feed, and streams that follow it.

use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::{
    board::Office,
    harness::{Harness, Rest, TOKEN, eventually, id},
    org::{calling, join, refusal},
};

/// Counts of the dashboard's tasks.
fn tasks(dashboard: &Value) -> [i64; 4] {
    ["inbox_tasks", "in_progress_tasks", "review_tasks", "done_tasks"]
        .map(|key| dashboard["kpis"][key].as_i64().expect("a count"))
}

fn sum(series: &Value, key: &str) -> f64 {
    series["points"]
        .as_array()
        .expect("points")
        .iter()
        .map(|point| point[key].as_f64().expect("a number"))
        .sum()
}

async fn dashboard(person: &Rest, query: &str) -> Value {
    person
        .get(&format!("/api/v1/metrics/dashboard{query}"))
        .await
        .expect(200)
}

/// Sets the hands of the clock back for what the dashboard knows of a task.
async fn backdate(mc: &Harness, task: &str, hours: f64) {
    let mut connection = PgConnection::connect(&mc.database.url).await.expect("connects");
    sqlx::query("UPDATE activity.tasks SET started_at = started_at - make_interval(secs => $2 * 3600) WHERE id = $1")
        .bind(Uuid::parse_str(task).expect("an id"))
        .bind(hours)
        .execute(&mut connection)
        .await
        .expect("is set");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_dashboard_counts_what_happened() {
    let office = Office::open().await;
    let (mc, person) = (&office.mc, &office.person);
    let board = office.board("Board", json!({"require_approval_for_done": false})).await;
    let other = office.board("Other", json!({"require_approval_for_done": false})).await;
    let url = format!("/api/v1/boards/{board}/tasks");
    let mut ids = Vec::new();
    for title in ["a", "b", "c", "d"] {
        ids.push(id(&person.post(&url, json!({"title": title})).await.expect(200)));
    }
    person
        .post(&format!("/api/v1/boards/{other}/tasks"), json!({"title": "elsewhere"}))
        .await
        .expect(200);
    let set = async |task: &str, status: &str| {
        person
            .patch(&format!("{url}/{task}"), json!({"status": status}))
            .await
            .expect(200)
    };
    for task in &ids[..3] {
        set(task, "in_progress").await;
    }
    eventually("following the begin of the work", || async {
        (tasks(&dashboard(person, "").await)[1] == 3).then_some(())
    })
    .await;
    backdate(mc, &ids[1], 2.0).await;
    backdate(mc, &ids[2], 4.0).await;
    set(&ids[1], "review").await;
    set(&ids[2], "done").await;
    let shown = eventually("following the tasks", || async {
        let shown = dashboard(person, "?range_key=7d").await;
        (tasks(&shown) == [2, 1, 1, 1]).then_some(shown)
    })
    .await;
    assert_eq!(
        (&shown["range"], &shown["throughput"]["primary"]["bucket"]),
        (&json!("7d"), &json!("day"))
    );
    assert_eq!(
        shown["throughput"]["primary"]["points"].as_array().map(Vec::len),
        Some(8)
    );
    assert!(
        (sum(&shown["throughput"]["primary"], "value") - 1.0).abs() < f64::EPSILON,
        "one became done"
    );
    assert!(sum(&shown["throughput"]["comparison"], "value").abs() < f64::EPSILON);
    // Two and four hours of work: the mean of the day and the median are three.
    assert!(
        (sum(&shown["cycle_time"]["primary"], "value") - 3.0).abs() < 0.01,
        "{:#}",
        shown["cycle_time"]
    );
    let median = shown["kpis"]["median_cycle_time_hours_7d"].as_f64().expect("a median");
    assert!((median - 3.0).abs() < 0.01, "{median}");
    let wip = &shown["wip"]["primary"];
    for (key, count) in [("inbox", 2.0), ("in_progress", 1.0), ("review", 1.0), ("done", 1.0)] {
        assert!((sum(wip, key) - count).abs() < f64::EPSILON, "{key}: {wip:#}");
    }
    assert_eq!(shown["kpis"]["error_rate_pct"], 0.0);

    // One board, a group, what is not there, and who may not see.
    let one = dashboard(person, &format!("?board_id={other}")).await;
    assert_eq!(tasks(&one), [1, 0, 0, 0]);
    assert_eq!(one["kpis"]["median_cycle_time_hours_7d"], Value::Null);
    let group = id(&person
        .post("/api/v1/board-groups", json!({"name": "Group", "slug": "group"}))
        .await
        .expect(200));
    assert_eq!(tasks(&dashboard(person, &format!("?group_id={group}")).await), [0; 4]);
    person
        .patch(&format!("/api/v1/boards/{other}"), json!({"board_group_id": group}))
        .await
        .expect(200);
    eventually("following the group", || async {
        (tasks(&dashboard(person, &format!("?group_id={group}")).await) == [1, 0, 0, 0]).then_some(())
    })
    .await;
    assert_eq!(
        tasks(&dashboard(person, &format!("?group_id={group}&board_id={board}")).await),
        [0; 4]
    );
    let unknown = Uuid::now_v7();
    person
        .get(&format!("/api/v1/metrics/dashboard?board_id={unknown}"))
        .await
        .detail(403);
    for bad in ["range_key=2d", "board_id=x", "group_id=x"] {
        person
            .get(&format!("/api/v1/metrics/dashboard?{bad}"))
            .await
            .detail(422);
    }
    assert_eq!(person.get("/api/v1/metrics").await.expect(200)["range"], "24h");

    // Approvals that wait.
    person
        .post(
            &format!("/api/v1/boards/{board}/approvals"),
            json!({"action_type": "ship", "confidence": 80, "lead_reasoning": "Ready.", "task_id": ids[0]}),
        )
        .await
        .expect(200);
    let pending = eventually("showing the approval", || async {
        let shown = dashboard(person, "").await["pending_approvals"].clone();
        (shown["total"] == 1).then_some(shown)
    })
    .await;
    assert_eq!(
        (
            &pending["items"][0]["board_name"],
            &pending["items"][0]["action_type"],
            &pending["items"][0]["task_title"]
        ),
        (&json!("Board"), &json!("ship"), &json!("a"))
    );

    // A deleted board counts no more.
    person.delete(&format!("/api/v1/boards/{board}")).await.expect(200);
    eventually("forgetting the board", || async {
        let shown = dashboard(person, "").await;
        (tasks(&shown) == [1, 0, 0, 0] && shown["pending_approvals"]["total"] == 0).then_some(())
    })
    .await;
    office.mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_figures_of_one_answer_belong_together() {
    let office = Office::open().await;
    let person = &office.person;
    let board = office.board("Board", json!({"require_approval_for_done": false})).await;
    let url = format!("/api/v1/boards/{board}/tasks");
    let task = id(&person.post(&url, json!({"title": "Restless"})).await.expect(200));
    let task = format!("{url}/{task}");
    let moving = async {
        for status in ["in_progress", "inbox"].into_iter().cycle().take(60) {
            person.patch(&task, json!({"status": status})).await.expect(200);
        }
    };
    let looking = async {
        for _ in 0..60 {
            let shown = dashboard(person, "").await;
            let wip = &shown["wip"]["primary"];
            for (figure, series) in [("inbox_tasks", "inbox"), ("in_progress_tasks", "in_progress")] {
                let figure = shown["kpis"][figure].as_f64().expect("a count");
                assert!((sum(wip, series) - figure).abs() < f64::EPSILON, "{series}: {shown:#}");
            }
        }
    };
    futures::join!(moving, looking);
    office.mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_derived_from_the_log_can_be_made_anew() {
    let office = Office::open().await;
    let (mc, person) = (&office.mc, &office.person);
    let board = office.board("Board", json!({"require_approval_for_done": false})).await;
    let url = format!("/api/v1/boards/{board}/tasks");
    let first = id(&person.post(&url, json!({"title": "First"})).await.expect(200));
    person
        .post(&url, json!({"title": "Second", "depends_on_task_ids": [first]}))
        .await
        .expect(200);
    person
        .post(&format!("{url}/{first}/comments"), json!({"message": "Hello"}))
        .await
        .expect(200);
    person
        .patch(&format!("{url}/{first}"), json!({"status": "in_progress"}))
        .await
        .expect(200);
    let views = async || {
        let mut dashboard = dashboard(person, "?range_key=1m").await;
        dashboard["generated_at"] = Value::Null;
        let inbox = person.get("/api/v1/inbox").await.expect(200)["items"].clone();
        json!([dashboard, inbox])
    };
    // What happens by itself (the gateway's agent is being made) is told before the views are kept.
    let log = async || person.get("/api/v1/activity?limit=1").await.expect(200)["total"].clone();
    let before = eventually("following the tasks until the log is quiet", || async {
        let (kept, told) = (views().await, log().await);
        tokio::time::sleep(std::time::Duration::from_millis(700)).await;
        let followed = tasks(&kept[0]) == [1, 1, 0, 0] && kept[1].as_array().is_some_and(|items| items.len() == 1);
        (followed && kept == views().await && told == log().await).then_some(kept)
    })
    .await;
    let organization = person.get("/api/v1/organizations/me").await.expect(200);
    let organization = Uuid::parse_str(organization["id"].as_str().expect("an id")).expect("a UUID");
    let store = mc.constellation.context.store(activity::SCHEMA).expect("a store");
    let catalog = &mc.constellation.context.catalog;
    for _ in 0..2 {
        let read = activity::rebuild(&store, catalog, organization)
            .await
            .expect("is made anew");
        assert!(read >= 6, "{read} entries");
        assert_eq!(views().await, before);
    }
    // It goes on from there.
    person
        .patch(&format!("{url}/{first}"), json!({"status": "done"}))
        .await
        .expect(200);
    eventually("following on", || async {
        (tasks(&dashboard(person, "").await) == [1, 0, 0, 1]).then_some(())
    })
    .await;
    office.mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_inbox_shows_what_waits_and_follows() {
    let office = Office::open().await;
    let (mc, person) = (&office.mc, &office.person);
    let board = office.board("Board", json!({})).await;
    let url = format!("/api/v1/boards/{board}/tasks");
    let mut live = person.stream("/api/v1/inbox/stream").await;
    let empty = live.next().await;
    assert_eq!(
        (empty.event.as_str(), &empty.data["items"], &empty.data["total"]),
        ("inbox", &json!([]), &json!(0))
    );

    let first = id(&person.post(&url, json!({"title": "First"})).await.expect(200));
    let second = id(&person
        .post(&url, json!({"title": "Second", "depends_on_task_ids": [first]}))
        .await
        .expect(200));
    let blocked = live.next().await.data;
    let item = &blocked["items"][0];
    assert_eq!(
        (&item["kind"], &item["task_id"], &item["title"], &item["board_name"]),
        (
            &json!("blocked_task"),
            &json!(second),
            &json!("Second"),
            &json!("Board")
        )
    );
    assert_eq!(item["reason"], "It waits for another task.");
    assert_eq!(blocked["counts"], json!([{"kind": "blocked_task", "count": 1}]));

    // Somebody else's request waits for this person; the own one does not.
    let ada = join(mc, "ada", json!({"all_boards_write": true})).await;
    let request = proto::approval::v1::CreateApprovalRequest {
        board_id: board.clone(),
        action_type: "ship".into(),
        confidence: 50.0,
        lead_reasoning: Some("Ready.".into()),
        task_ids: vec![first.clone()],
        ..Default::default()
    };
    let client =
        || proto::approval::v1::approval_service_client::ApprovalServiceClient::new(calling(mc, "approval", &ada));
    let asked = client()
        .create_approval(request)
        .await
        .expect("it is asked")
        .into_inner();
    person
        .post(
            &format!("/api/v1/boards/{board}/approvals"),
            json!({"action_type": "mine", "confidence": 1, "lead_reasoning": "x"}),
        )
        .await
        .expect(200);
    let inbox = eventually("asking for a decision", || async {
        let inbox = person.get("/api/v1/inbox").await.expect(200);
        (inbox["total"] == 2).then_some(inbox)
    })
    .await;
    let item = &inbox["items"][0];
    assert_eq!(
        (&item["kind"], &item["approval_id"], &item["title"], &item["reason"]),
        (
            &json!("approval"),
            &json!(asked.id),
            &json!("ship"),
            &json!("ada asks for a decision about First.")
        )
    );
    let client = || proto::activity::v1::inbox_service_client::InboxServiceClient::new(calling(mc, "activity", &ada));
    let hers = eventually("showing her the other request", || async {
        let inbox = client()
            .get_inbox(proto::activity::v1::GetInboxRequest::default())
            .await
            .expect("answers")
            .into_inner();
        inbox.items.iter().any(|item| item.title == "mine").then_some(inbox)
    })
    .await;
    assert!(hers.items.iter().all(|item| item.title != "ship"), "{hers:?}");

    // A gateway in trouble is for those who can mend it.
    let gateways = person.get("/api/v1/gateways").await.expect(200);
    let gateway = id(&gateways["items"][0]);
    person
        .patch(&format!("/api/v1/gateways/{gateway}"), json!({"token": "wrong"}))
        .await;
    person
        .patch(&format!("{url}/{first}"), json!({"status": "in_progress"}))
        .await
        .expect(200);
    person
        .patch(
            &format!("/api/v1/boards/{board}/approvals/{}", asked.id),
            json!({"status": "approved"}),
        )
        .await
        .expect(200);
    person
        .patch(&format!("{url}/{first}"), json!({"status": "done"}))
        .await
        .expect(200);
    eventually("emptying", || async {
        let inbox = person.get("/api/v1/inbox").await.expect(200);
        inbox["items"]
            .as_array()
            .is_some_and(|items| items.iter().all(|item| item["kind"] == "gateway"))
            .then_some(())
    })
    .await;

    person.get("/api/v1/inbox?limit=0").await.detail(422);
    let strange = person
        .get(&format!("/api/v1/inbox?board_id={}", Uuid::now_v7()))
        .await
        .expect(200);
    assert_eq!(strange["total"], 0);
    let rita = join(mc, "rita", json!({})).await;
    let client = || proto::activity::v1::inbox_service_client::InboxServiceClient::new(calling(mc, "activity", &rita));
    let nothing = client()
        .get_inbox(proto::activity::v1::GetInboxRequest::default())
        .await
        .expect("answers");
    assert_eq!(nothing.into_inner().total, 0, "who may read nothing sees nothing");
    let denied = client()
        .get_inbox(proto::activity::v1::GetInboxRequest {
            board_id: Some(board),
            ..Default::default()
        })
        .await;
    assert_eq!(refusal(denied).0, chassis::error::Kind::Denied);
    office.mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_feed_is_filtered_and_its_stream_is_in_order() {
    let office = Office::open().await;
    let person = &office.person;
    let (board, other) = (
        office.board("Board", json!({})).await,
        office.board("Other", json!({})).await,
    );
    let mut live = person
        .stream("/api/v1/activity/stream?event_types=task.*,tag.created")
        .await;
    let task = id(&person
        .post(&format!("/api/v1/boards/{board}/tasks"), json!({"title": "One"}))
        .await
        .expect(200));
    person
        .post(&format!("/api/v1/boards/{other}/tasks"), json!({"title": "Two"}))
        .await
        .expect(200);
    person
        .post(
            &format!("/api/v1/boards/{board}/tasks/{task}/comments"),
            json!({"message": "Said"}),
        )
        .await
        .expect(200);
    person.post("/api/v1/tags", json!({"name": "Tag"})).await.expect(200);
    let list = async |query: &str| person.get(&format!("/api/v1/activity?{query}")).await.expect(200);
    eventually("logging", || async {
        (list("event_type=tag.created").await["total"] == 1).then_some(())
    })
    .await;
    for (query, total) in [
        ("event_types=task.*", 3),
        ("event_types=task.created,tag.*", 3),
        ("event_types=task.*&exclude_types=task.comment", 2),
        (
            "exclude_types=task.*,board.*,gateway.*,organization.*,user.*,tag.*,agent.*,skill_pack.*",
            0,
        ),
        (&format!("board_id={other}&event_types=task.*"), 1),
        (&format!("task_id={task}"), 2),
        (&format!("agent_id={}", Uuid::now_v7()), 0),
        ("event_types=task.*&limit=2&offset=2", 3),
    ] {
        let found = list(query).await;
        assert_eq!(found["total"], total, "{query}: {found:#}");
        let most = if query.contains("limit") { 1 } else { total };
        assert_eq!(found["items"].as_array().map(Vec::len), Some(most), "{query}");
    }
    for bad in ["event_types=task", "exclude_types=Task.*", "task_id=x", "agent_id=x"] {
        person.get(&format!("/api/v1/activity?{bad}")).await.detail(422);
    }

    let mut tokens = Vec::new();
    for _ in 0..4 {
        let event = live.next().await;
        tokens.push(event.id.expect("a token").parse::<i64>().expect("a position"));
    }
    assert!(tokens.is_sorted(), "{tokens:?}");
    let resumed = |token: String| {
        let mc = &office.mc;
        async move {
            let bearer = format!("Bearer {TOKEN}");
            let mut stream = mc
                .rest(&[("authorization", &bearer), ("last-event-id", &token)])
                .stream("/api/v1/activity/stream?event_types=task.*,tag.created")
                .await;
            stream.next().await.id
        }
    };
    for pair in tokens.windows(2) {
        assert_eq!(resumed(pair[0].to_string()).await, Some(pair[1].to_string()));
    }
    let bearer = format!("Bearer {TOKEN}");
    office
        .mc
        .rest(&[("authorization", &bearer), ("last-event-id", "900000")])
        .get("/api/v1/activity/stream")
        .await
        .detail(410);

    office.mc.stop().await;
}
