//! Changes of tasks that meet each other, and those who watch them.

use serde_json::{Value, json};

use crate::{
    board::Office,
    harness::{eventually, id},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cycle_is_not_closed_from_two_sides_at_once() {
    let office = Office::open().await;
    let person = &office.person;
    let board = office.board("Board", json!({})).await;
    let url = format!("/api/v1/boards/{board}/tasks");
    for round in 0..8 {
        let a = id(&person
            .post(&url, json!({"title": format!("a{round}")}))
            .await
            .expect(200));
        let b = id(&person
            .post(&url, json!({"title": format!("b{round}")}))
            .await
            .expect(200));
        let (a_url, b_url) = (format!("{url}/{a}"), format!("{url}/{b}"));
        let (one, two) = tokio::join!(
            person.patch(&a_url, json!({"depends_on_task_ids": [b]})),
            person.patch(&b_url, json!({"depends_on_task_ids": [a]})),
        );
        let mut statuses = [one.status.as_u16(), two.status.as_u16()];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 409], "{} {}", one.body, two.body);
    }
    office.mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_does_not_begin_while_its_dependency_is_reopened() {
    let office = Office::open().await;
    let person = &office.person;
    let board = office.board("Board", json!({})).await;
    let url = format!("/api/v1/boards/{board}/tasks");
    for round in 0..8 {
        let a = id(&person
            .post(&url, json!({"title": format!("a{round}"), "status": "done"}))
            .await
            .expect(200));
        let b = id(&person
            .post(&url, json!({"title": format!("b{round}"), "depends_on_task_ids": [a]}))
            .await
            .expect(200));
        let (a_url, b_url) = (format!("{url}/{a}"), format!("{url}/{b}"));
        let (reopened, begun) = tokio::join!(
            person.patch(&a_url, json!({"status": "inbox"})),
            person.patch(&b_url, json!({"status": "in_progress"}))
        );
        reopened.expect(200);
        assert!(matches!(begun.status.as_u16(), 200 | 409), "{}", begun.body);
        let after = person.get(&format!("/api/v1/tasks/{b}")).await.expect(200);
        assert_eq!(
            (&after["status"], &after["is_blocked"]),
            (&json!("inbox"), &json!(true)),
            "blocked work is never in progress"
        );
    }
    office.mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watchers_see_every_change_once_and_resume_where_they_were() {
    let office = Office::open().await;
    let person = &office.person;
    let (board, other) = (
        office.board("Board", json!({})).await,
        office.board("Other", json!({})).await,
    );
    let url = format!("/api/v1/boards/{board}/tasks");
    let mut live = person.stream(&format!("{url}/stream")).await;
    let task = person.post(&url, json!({"title": "t"})).await.expect(200);
    person
        .post(&format!("/api/v1/boards/{other}/tasks"), json!({"title": "unseen"}))
        .await
        .expect(200);
    let task_url = format!("{url}/{}", id(&task));
    person
        .patch(&task_url, json!({"status": "in_progress", "comment": "Go"}))
        .await
        .expect(200);
    person.delete(&task_url).await.expect(200);

    let created = live.next().await;
    assert_eq!(
        (created.event.as_str(), &created.data["type"], &created.data["task"]),
        ("task", &json!("task.created"), &task)
    );
    assert_eq!(created.data["activity"]["message"], "Task created: t.");
    let resume = created.id.expect("a position");
    let check = |events: [crate::harness::Sent; 3]| {
        let [comment, moved, deleted] = events;
        assert_eq!(
            (
                &comment.data["type"],
                &comment.data["comment"]["message"],
                &comment.data["task"]
            ),
            (&json!("task.comment"), &json!("Go"), &Value::Null)
        );
        assert_eq!(
            (&moved.data["type"], &moved.data["task"]["status"]),
            (&json!("task.status_changed"), &json!("in_progress"))
        );
        assert_eq!(moved.data["activity"]["message"], "Task moved to in_progress: t.");
        assert_eq!(
            (
                &deleted.data["type"],
                &deleted.data["task"],
                &deleted.data["activity"]["task_id"]
            ),
            (&json!("task.deleted"), &Value::Null, &task["id"])
        );
    };
    check([live.next().await, live.next().await, live.next().await]);

    let mut resumed = office
        .mc
        .rest(&[
            ("authorization", &format!("Bearer {}", crate::harness::TOKEN)),
            ("last-event-id", &resume),
        ])
        .stream(&format!("{url}/stream"))
        .await;
    check([resumed.next().await, resumed.next().await, resumed.next().await]);

    // The log has the same events under the same ids, with the state before and after.
    let logged = eventually("logging the move", || async {
        let feed = person
            .get(&format!(
                "/api/v1/activity?board_id={board}&event_type=task.status_changed&with_changes=true"
            ))
            .await
            .expect(200);
        feed["items"].as_array()?.first().cloned()
    })
    .await;
    assert_eq!(
        (&logged["before"]["status"], &logged["after"]["status"]),
        (&json!("inbox"), &json!("in_progress"))
    );
    office.mc.stop().await;
}
