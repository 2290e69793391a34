//! The feed of comments over all boards.

use proto::board::v1::{CreateTaskCommentRequest, comment_feed_service_client::CommentFeedServiceClient};
use serde_json::{Value, json};
use tonic::Code;
use uuid::Uuid;

use crate::{board::Office, harness::id};

const FEED: &str = "/api/v1/activity/task-comments";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn comments_of_all_readable_boards_are_listed_and_live() {
    let office = Office::open().await;
    let person = &office.person;
    let (one, two) = (
        office.board("One", json!({})).await,
        office.board("Two", json!({})).await,
    );
    assert_eq!(person.get(FEED).await.expect(200)["items"], json!([]));
    let task = async |board: &str, title: &str| {
        id(&person
            .post(&format!("/api/v1/boards/{board}/tasks"), json!({"title": title}))
            .await
            .expect(200))
    };
    let (first, second) = (task(&one, "first").await, task(&two, "second").await);
    let say = async |board: &str, task: &str, text: &str| {
        person
            .post(
                &format!("/api/v1/boards/{board}/tasks/{task}/comments"),
                json!({"message": text}),
            )
            .await
            .expect(200)
    };
    let mut live = person.stream(&format!("{FEED}/stream")).await;
    let mut of_one = person.stream(&format!("{FEED}/stream?board_id={one}")).await;
    say(&two, &second, "on two").await;
    let worker = office.worker(&one, "Ann").await;
    let by_ann = office
        .tasks(&worker.caller)
        .create_task_comment(CreateTaskCommentRequest {
            board_id: one.clone(),
            task_id: first.clone(),
            message: "on one".into(),
            ..CreateTaskCommentRequest::default()
        })
        .await
        .unwrap()
        .into_inner();

    let feed = person.get(FEED).await.expect(200);
    assert_eq!((&feed["total"], &feed["limit"]), (&json!(2), &json!(200)));
    for (key, expected) in [
        ("id", json!(by_ann.id)),
        ("message", json!("on one")),
        ("agent_id", json!(worker.id)),
        ("agent_name", json!("Ann")),
        ("task_id", json!(first)),
        ("task_title", json!("first")),
        ("board_id", json!(one)),
        ("board_name", json!("One")),
    ] {
        assert_eq!(feed["items"][0][key], expected, "{key}");
    }
    let by_person = &feed["items"][1];
    assert_eq!(
        (
            &by_person["agent_id"],
            &by_person["agent_name"],
            &by_person["agent_role"]
        ),
        (&Value::Null, &Value::Null, &Value::Null)
    );
    let page = person.get(&format!("{FEED}?limit=1&offset=1")).await.expect(200);
    assert_eq!(
        (&page["items"][0]["message"], &page["total"]),
        (&json!("on two"), &json!(2))
    );
    let page = person.get(&format!("{FEED}?board_id={one}&limit=1")).await.expect(200);
    assert_eq!(
        (&page["items"][0]["message"], &page["total"]),
        (&json!("on one"), &json!(1))
    );
    person
        .get(&format!("{FEED}?board_id={}", Uuid::now_v7()))
        .await
        .expect(404);

    let sent = live.next().await;
    assert_eq!((sent.event.as_str(), &sent.data["comment"]), ("comment", by_person));
    assert_eq!(live.next().await.data["comment"], feed["items"][0]);
    assert_eq!(of_one.next().await.data["comment"]["message"], "on one");
    // Resumed after the first.
    let resumed = person
        .request(reqwest::Method::GET, &format!("{FEED}/stream"))
        .header("last-event-id", sent.id.expect("an id"));
    let resumed = resumed.send().await.unwrap();
    assert_eq!(resumed.status(), 200);

    // A member sees what it was granted, and no more.
    let member = office.member(&office.organization, "member", &[(&one, false)]);
    let mut feed = CommentFeedServiceClient::new(office.door(&member));
    let seen = feed
        .list_task_comment_feed(proto::board::v1::ListTaskCommentFeedRequest::default())
        .await
        .unwrap()
        .into_inner();
    assert_eq!((seen.items.len(), seen.total), (1, 1));
    let refused = feed
        .list_task_comment_feed(proto::board::v1::ListTaskCommentFeedRequest {
            board_id: Some(two.clone()),
            ..Default::default()
        })
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);

    // With a task go its comments.
    person
        .delete(&format!("/api/v1/boards/{two}/tasks/{second}"))
        .await
        .expect(200);
    assert_eq!(person.get(FEED).await.expect(200)["total"], 1);
    office.mc.stop().await;
}
