//! The public port with everything behind it: doors that agree, credentials that end.

use prost::Message;
use proto::board::v1::{ListBoardsRequest, ListBoardsResponse, board_service_client::BoardServiceClient};
use reqwest::Method;
use serde_json::json;
use sqlx::{Connection, Executor, PgConnection};
use testkit::gateway::{FakeGateway, Options, Release};
use tonic::{Request, transport::Channel};

use crate::{
    board::Office,
    harness::{Harness, Rest, TOKEN, eventually, id},
    path::team,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_door_shows_the_same_board() {
    let office = Office::open().await;
    let board = office.board("Seen from everywhere", json!({})).await;

    let rest = office.person.get("/api/v1/boards").await.expect(200);
    assert_eq!((&rest["total"], &rest["items"][0]["id"]), (&json!(1), &json!(board)));

    let channel = Channel::from_shared(office.mc.url.clone())
        .expect("a url")
        .connect()
        .await
        .expect("HTTP/2");
    let mut request = Request::new(ListBoardsRequest::default());
    request
        .metadata_mut()
        .insert("authorization", format!("Bearer {TOKEN}").parse().expect("a value"));
    let native = BoardServiceClient::new(channel)
        .list_boards(request)
        .await
        .expect("boards")
        .into_inner();
    assert_eq!(native.items[0].id, board);

    let web = office
        .person
        .request(Method::POST, "/missioncontrol.board.v1.BoardService/ListBoards")
        .header("content-type", "application/grpc-web+proto")
        .body(vec![0u8; 5])
        .send()
        .await
        .expect("the edge answers")
        .bytes()
        .await
        .expect("a body");
    let length = u32::from_be_bytes(web[1..5].try_into().expect("a head")) as usize;
    assert_eq!(ListBoardsResponse::decode(&web[5..5 + length]).expect("boards"), native);

    let page = office.mc.nobody().get("/").await.expect(200);
    assert!(page.as_str().expect("a text").contains("Mission Control"));
    let ready = office.mc.nobody().get("/readyz").await.expect(200);
    assert_eq!(ready, json!({"ok": true}));
    office.mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agents_token_is_checked_and_ends_with_the_agent() {
    let fake = FakeGateway::start(Options::release(Release::Latest)).await;
    let mc = Harness::start().await;
    let person = mc.person();
    let team = team(&person, &fake, "Alpha").await;
    let agent = mc.agent(&team.token);
    let boards = agent.get("/api/v1/agent/boards").await.expect(200);
    assert_eq!(boards["items"][0]["id"], team.board["id"]);
    let (key, secret) = team.token.split_once('.').expect("key id and secret");
    let other = if secret.ends_with('A') { "B" } else { "A" };
    for wrong in [
        format!("{key}.{}{other}", &secret[..secret.len() - 1]),
        secret.to_owned(),
        format!("{key}."),
    ] {
        let refused = mc.agent(&wrong).get("/api/v1/agent/boards").await;
        assert_eq!(refused.detail(401), "Unauthorized", "{wrong:?}");
    }

    person
        .delete(&format!("/api/v1/agents/{}", id(&team.agent)))
        .await
        .expect(200);
    eventually("the end of the token", || async {
        (agent.get("/api/v1/agent/boards").await.status == 401).then_some(())
    })
    .await;
    mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_cannot_be_resumed_says_so_and_head_is_get_without_a_body() {
    let office = Office::open().await;
    let board = office.board("Resumed", json!({})).await;
    let tasks = format!("/api/v1/boards/{board}/tasks");
    for title in ["One", "Two"] {
        office.person.post(&tasks, json!({"title": title})).await.expect(200);
    }
    let url = office.mc.database.url.clone();
    // What was relayed and is older than a week, as far as the stream can tell.
    eventually("removing old events", || async {
        let mut connection = PgConnection::connect(&url).await.expect("the database answers");
        let removed = connection
            .execute("DELETE FROM board.change_log WHERE position < (SELECT published FROM board.relay)")
            .await
            .expect("the change log");
        (removed.rows_affected() > 0).then_some(())
    })
    .await;
    let stream = office
        .person
        .request(Method::GET, &format!("{tasks}/stream"))
        .header("last-event-id", "0");
    let refused = Rest::answer(stream).await.detail(410);
    assert!(
        refused.as_str().is_some_and(|text| text.contains("too old")),
        "{refused}"
    );
    let stream = office
        .person
        .request(Method::GET, &format!("{tasks}/stream"))
        .header("last-event-id", "nonsense");
    Rest::answer(stream).await.detail(422);

    let list = office.person.get(&tasks).await;
    let head = office
        .person
        .request(Method::HEAD, &tasks)
        .send()
        .await
        .expect("an answer");
    assert_eq!((head.status(), list.status.as_u16()), (reqwest::StatusCode::OK, 200));
    assert_eq!(head.headers()["content-type"], list.headers["content-type"]);
    assert!(head.bytes().await.expect("a body").is_empty());
    let wrong = office.person.send(Method::PUT, &tasks, None).await;
    let allowed = wrong.headers["allow"].to_str().expect("text").to_owned();
    wrong.detail(405);
    for method in ["GET", "HEAD", "POST"] {
        assert!(allowed.contains(method), "{allowed}");
    }
    office.mc.nobody().send(Method::HEAD, &tasks, None).await.expect(401);
    office.mc.stop().await;
}
