//! `If-Match`: a change is made for what was seen, over REST and gRPC.

use proto::board::v1::{DeleteTaskRequest, UpdateTaskRequest};
use reqwest::Method;
use serde_json::{Value, json};
use tonic::{Code, Request};

use crate::{
    board::Office,
    harness::{Answer, Rest, id},
};

async fn conditional(person: &Rest, method: Method, path: &str, etag: &str, body: Option<Value>) -> Answer {
    let mut request = person.request(method, path).header("if-match", etag);
    if let Some(body) = body {
        request = request
            .header("content-type", "application/json")
            .body(body.to_string());
    }
    Rest::answer(request).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn boards_and_tasks_change_only_as_they_were_seen() {
    let office = Office::open().await;
    let person = &office.person;
    let board = office.board("Board", json!({})).await;
    let tasks = format!("/api/v1/boards/{board}/tasks");
    let task = id(&person.post(&tasks, json!({"title": "t"})).await.expect(200));
    for (read, url, change) in [
        (
            format!("/api/v1/boards/{board}"),
            format!("/api/v1/boards/{board}"),
            json!({"name": "n"}),
        ),
        (
            format!("/api/v1/tasks/{task}"),
            format!("{tasks}/{task}"),
            json!({"title": "n"}),
        ),
    ] {
        let seen = person.get(&read).await;
        let header = seen.headers["etag"].to_str().unwrap().to_owned();
        let etag = seen.body["etag"].as_str().unwrap().to_owned();
        assert_eq!(header, format!("\"{etag}\""), "the header is the field, quoted");

        let changed = conditional(person, Method::PATCH, &url, &header, Some(change.clone())).await;
        let now = changed.headers["etag"].to_str().unwrap().to_owned();
        assert_ne!(changed.expect(200)["etag"], json!(etag));
        let stale = conditional(person, Method::PATCH, &url, &header, Some(change.clone()))
            .await
            .detail(412);
        assert_eq!(
            (&stale["rule"], format!("\"{}\"", stale["etag"].as_str().unwrap())),
            (&json!("if_match"), now.clone())
        );
        assert!(
            stale["message"]
                .as_str()
                .unwrap()
                .contains("has changed since you read it"),
            "{stale:#}"
        );
        assert_eq!(person.get(&read).await.headers["etag"], now.as_str(), "nothing changed");
        // Any of several, any at all, and without a condition.
        let several = format!("{header}, {now}");
        conditional(person, Method::PATCH, &url, &several, Some(change.clone()))
            .await
            .expect(200);
        conditional(person, Method::PATCH, &url, "*", Some(change.clone()))
            .await
            .expect(200);
        person.patch(&url, change).await.expect(200);
        conditional(person, Method::DELETE, &url, &header, None)
            .await
            .expect(412);
    }
    // What a list shows can be changed as it was seen.
    let listed = person.get(&tasks).await.expect(200);
    let etag = listed["items"][0]["etag"].as_str().unwrap().to_owned();

    // The same over gRPC, by metadata.
    let worker = office.worker(&board, "Ann").await;
    let request = |etag: &str| {
        let mut request = Request::new(UpdateTaskRequest {
            board_id: board.clone(),
            task_id: task.clone(),
            comment: Some("c".into()),
            ..UpdateTaskRequest::default()
        });
        request.metadata_mut().insert("if-match", etag.parse().unwrap());
        request
    };
    let changed = office
        .tasks(&worker.caller)
        .update_task(request(&etag))
        .await
        .unwrap()
        .into_inner();
    assert_ne!(changed.etag, etag);
    let stale = office
        .tasks(&worker.caller)
        .update_task(request(&etag))
        .await
        .unwrap_err();
    assert_eq!(stale.code(), Code::Aborted);
    let mut deletion = Request::new(DeleteTaskRequest {
        board_id: board.clone(),
        task_id: task.clone(),
        ..DeleteTaskRequest::default()
    });
    deletion.metadata_mut().insert("if-match", etag.parse().unwrap());
    let lead = office.lead(&board).await;
    assert_eq!(
        office
            .tasks(&lead.caller)
            .delete_task(deletion)
            .await
            .unwrap_err()
            .code(),
        Code::Aborted
    );
    let assign = format!("/api/v1/tasks/{task}/assign-agent");
    let body = json!({"agent_id": worker.id});
    conditional(person, Method::POST, &assign, "x", Some(body.clone()))
        .await
        .expect(412);
    conditional(person, Method::POST, &assign, &changed.etag, Some(body))
        .await
        .expect(200);

    let document = person.get("/openapi.json").await.expect(200);
    let patch = &document["paths"]["/api/v1/boards/{board_id}/tasks/{task_id}"]["patch"];
    assert!(
        patch["parameters"]
            .as_array()
            .unwrap()
            .iter()
            .any(|parameter| parameter["name"] == "If-Match"),
        "{patch:#}"
    );
    assert!(
        patch["responses"]["412"].is_object() && patch["responses"]["200"]["headers"]["Etag"].is_object(),
        "{patch:#}"
    );
    office.mc.stop().await;
}
