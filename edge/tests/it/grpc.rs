use bytes::{BufMut, BytesMut};
use prost::Message;
use proto::board::v1::{
    CreateTaskRequest, ListBoardsRequest, ListBoardsResponse, TaskEvent, WatchTasksRequest,
    board_service_client::BoardServiceClient, task_service_client::TaskServiceClient,
};
use proto::org::v1::{ResolveUserRequest, directory_service_client::DirectoryServiceClient};
use reqwest::{Method, RequestBuilder};
use tonic::{Code, Request, transport::Channel};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};
use tonic_types::StatusExt;

use crate::{BOARD, Port, TOKEN, roles::AGENT_TOKEN, send};

async fn channel(port: &Port) -> Channel {
    Channel::from_shared(port.url.clone())
        .expect("a url")
        .connect()
        .await
        .expect("HTTP/2 with prior knowledge")
}

fn as_person<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request
        .metadata_mut()
        .insert("authorization", format!("Bearer {TOKEN}").parse().expect("a value"));
    request
}

fn new_task(title: &str, board: &str) -> CreateTaskRequest {
    CreateTaskRequest {
        board_id: board.into(),
        title: title.into(),
        ..CreateTaskRequest::default()
    }
}

#[tokio::test]
async fn grpc_has_the_same_rules() {
    let port = Port::open().await;
    let channel = channel(&port).await;
    let mut boards = BoardServiceClient::new(channel.clone());
    assert_eq!(
        boards
            .list_boards(ListBoardsRequest::default())
            .await
            .expect_err("no credential")
            .code(),
        Code::Unauthenticated
    );
    assert_eq!(
        boards
            .list_boards(as_person(ListBoardsRequest::default()))
            .await
            .expect("boards")
            .into_inner()
            .items
            .len(),
        2
    );
    let mut agent = Request::new(ListBoardsRequest::default());
    agent
        .metadata_mut()
        .insert("x-agent-token", AGENT_TOKEN.parse().expect("a value"));
    assert_eq!(boards.list_boards(agent).await.expect("boards").into_inner().total, 2);

    let mut tasks = TaskServiceClient::new(channel.clone());
    let refused = tasks
        .create_task(as_person(new_task("x", "no-uuid")))
        .await
        .expect_err("the board is no UUID");
    assert_eq!(refused.code(), Code::InvalidArgument);
    let details = refused.get_error_details();
    assert_eq!(
        details.bad_request().expect("fields").field_violations[0].field,
        "board_id"
    );
    assert_eq!(
        tasks
            .create_task(as_person(new_task("conflict", BOARD)))
            .await
            .expect_err("taken")
            .code(),
        Code::Aborted
    );
    let inside = tasks
        .create_task(as_person(new_task("inside", BOARD)))
        .await
        .expect_err("a defect");
    assert_eq!(
        (inside.code(), inside.message()),
        (Code::Internal, "Internal Server Error")
    );
    let panicked = tasks
        .create_task(as_person(new_task("panic", BOARD)))
        .await
        .expect_err("a defect");
    assert_eq!(panicked.code(), Code::Internal);
    let limit = port.context.settings.max_body_bytes;
    let large = tasks
        .create_task(as_person(new_task(&"x".repeat(limit + 1), BOARD)))
        .await
        .expect_err("too large");
    assert_eq!(large.code(), Code::OutOfRange, "{large:?}");

    let watch = WatchTasksRequest {
        board_id: BOARD.into(),
        resume_token: Some("9".into()),
        ..WatchTasksRequest::default()
    };
    let mut events = tasks
        .watch_tasks(as_person(watch))
        .await
        .expect("a stream")
        .into_inner();
    assert_eq!(events.message().await.expect("good").expect("an event").id, "10");

    let mut directory = DirectoryServiceClient::new(channel);
    let closed = directory
        .resolve_user(as_person(ResolveUserRequest::default()))
        .await
        .expect_err("for services only");
    assert_eq!(closed.code(), Code::Unimplemented);
    drop(events);
    port.close().await;
}

#[tokio::test]
async fn reflection_lists_what_is_public() {
    use tonic_reflection::pb::{v1, v1alpha};
    let port = Port::open().await;
    let channel = channel(&port).await;

    let ask = v1::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(v1::server_reflection_request::MessageRequest::ListServices(
            String::new(),
        )),
    };
    let answers = v1::server_reflection_client::ServerReflectionClient::new(channel.clone())
        .server_reflection_info(tokio_stream(ask))
        .await;
    let answer = answers
        .expect("a stream")
        .into_inner()
        .message()
        .await
        .expect("good")
        .expect("an answer");
    let Some(v1::server_reflection_response::MessageResponse::ListServicesResponse(list)) = answer.message_response
    else {
        panic!("a list: {answer:?}")
    };
    let names: Vec<_> = list.service.iter().map(|service| service.name.as_str()).collect();
    assert!(
        names.contains(&"missioncontrol.board.v1.BoardService") && names.contains(&"grpc.health.v1.Health"),
        "{names:?}"
    );
    assert!(!names.contains(&"missioncontrol.org.v1.DirectoryService"), "{names:?}");

    let ask = v1alpha::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(
            v1alpha::server_reflection_request::MessageRequest::FileContainingSymbol(
                "missioncontrol.board.v1.BoardService".into(),
            ),
        ),
    };
    let answers = v1alpha::server_reflection_client::ServerReflectionClient::new(channel.clone())
        .server_reflection_info(tokio_stream(ask))
        .await;
    let answer = answers
        .expect("a stream")
        .into_inner()
        .message()
        .await
        .expect("good")
        .expect("an answer");
    assert!(
        matches!(
            answer.message_response,
            Some(v1alpha::server_reflection_response::MessageResponse::FileDescriptorResponse(_))
        ),
        "{answer:?}"
    );

    let health = HealthClient::new(channel)
        .check(HealthCheckRequest {
            service: "missioncontrol.board.v1.BoardService".into(),
        })
        .await
        .expect("known");
    assert_eq!(
        health.into_inner().status(),
        ServingStatus::NotServing,
        "some roles are missing"
    );
    port.close().await;
}

fn tokio_stream<T: Send + 'static>(one: T) -> impl futures::Stream<Item = T> + Send + 'static {
    futures::stream::iter([one])
}

/// A gRPC-web request with one message.
fn web(port: &Port, method: &str, message: &impl Message) -> RequestBuilder {
    let message = message.encode_to_vec();
    let mut body = BytesMut::new();
    body.put_u8(0);
    body.put_u32(u32::try_from(message.len()).expect("small"));
    body.put_slice(&message);
    port.request(Method::POST, &format!("/missioncontrol.board.v1.{method}"))
        .header("content-type", "application/grpc-web+proto")
        .header("accept", "application/grpc-web+proto")
        .body(body.freeze())
}

/// The first frame: flag, content, and what follows.
fn cut(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let head: [u8; 4] = bytes.get(1..5)?.try_into().ok()?;
    let end = 5 + u32::from_be_bytes(head) as usize;
    Some((bytes[0], bytes.get(5..end)?, &bytes[end..]))
}

#[tokio::test]
async fn browsers_call_grpc_over_http_1() {
    let port = Port::open().await;
    let answer = send(web(&port, "BoardService/ListBoards", &ListBoardsRequest::default()).bearer_auth(TOKEN)).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "application/grpc-web+proto");
    assert!(answer.headers().contains_key("x-request-id"));
    let bytes = answer.bytes().await.expect("a body");
    let (flag, message, rest) = cut(&bytes).expect("a message");
    assert_eq!(
        (flag, ListBoardsResponse::decode(message).expect("boards").total),
        (0, 2)
    );
    let (flag, trailers, _) = cut(rest).expect("trailers");
    assert_eq!(flag, 0x80);
    assert!(
        String::from_utf8_lossy(trailers).contains("grpc-status:0"),
        "{:?}",
        String::from_utf8_lossy(trailers)
    );

    let refused = send(web(&port, "BoardService/ListBoards", &ListBoardsRequest::default())).await;
    assert_eq!(
        (
            refused.status().as_u16(),
            refused.headers()["grpc-status"].to_str().expect("text")
        ),
        (200, "16")
    );

    let watch = WatchTasksRequest {
        board_id: BOARD.into(),
        ..WatchTasksRequest::default()
    };
    let mut stream = send(web(&port, "TaskService/WatchTasks", &watch).bearer_auth(TOKEN)).await;
    let mut bytes = Vec::new();
    while cut(&bytes).is_none() {
        bytes.extend(stream.chunk().await.expect("goes on").expect("not at its end"));
    }
    let (_, message, _) = cut(&bytes).expect("a message");
    assert_eq!(TaskEvent::decode(message).expect("an event").id, "1");
    drop(stream);
    port.close().await;
}
