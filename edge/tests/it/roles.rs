//! Roles that answer by script. They speak real gRPC behind the real access layer; only what they say is made up.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Body, extract::Request, response::Response};
use bytes::{BufMut, Bytes, BytesMut};
use chassis::{Error, Role};
use futures::{StreamExt, stream};
use http::{HeaderMap, HeaderValue};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use parking::Gate;
use prost::Message;
use proto::{
    agent::v1::{VerifyTokenRequest, VerifyTokenResponse},
    board::v1::{Board, CreateTaskRequest, ListBoardsResponse, ListTasksResponse, Task, TaskEvent, WatchTasksRequest},
    identity::v1::{Membership, Principal, PrincipalKind},
    org::v1::{Organization, ResolveUserResponse},
};
use tonic::{Status, service::Routes};

use crate::BOARD;

const ORGANIZATION: &str = "0190c3a0-0000-7000-8000-0000000000aa";
pub const USER: &str = "0190c3a0-0000-7000-8000-0000000000bb";
pub const AGENT: &str = "0190c3a0-0000-7000-8000-0000000000cc";
/// A token the agent role knows.
pub const AGENT_TOKEN: &str = "key.secret";

/// What the roles do, and what they were asked.
#[derive(Default)]
pub struct Script {
    /// How often a person was resolved.
    pub resolved: AtomicUsize,
    /// How often an agent token was verified.
    pub verified: AtomicUsize,
    /// The agent's token does not count any more.
    pub rotated: AtomicBool,
    /// The database is away.
    pub down: AtomicBool,
    /// Holds tasks named `slow`.
    pub gate: Gate,
    /// Streams that are open.
    pub watching: Arc<AtomicUsize>,
}

mod parking {
    use tokio::sync::Semaphore;

    /// Lets nothing through until opened; says how many wait.
    pub struct Gate {
        open: Semaphore,
        pub waiting: super::AtomicUsize,
    }

    impl Default for Gate {
        fn default() -> Self {
            Self {
                open: Semaphore::new(0),
                waiting: super::AtomicUsize::new(0),
            }
        }
    }

    impl Gate {
        pub fn open(&self) {
            self.open.add_permits(1000);
        }

        pub async fn pass(&self) {
            self.waiting.fetch_add(1, super::Ordering::SeqCst);
            let _permit = self.open.acquire().await;
        }
    }
}

/// What a method answers: messages, then perhaps silence.
enum Say {
    One(Vec<u8>),
    /// These, and the stream stays open.
    Stream(Vec<Vec<u8>>),
}

impl Script {
    pub fn ping(&self) -> Result<(), Error> {
        if self.down.load(Ordering::SeqCst) {
            Err(Error::unavailable("the database is away"))
        } else {
            Ok(())
        }
    }

    /// The routes of a role: every method of every service.
    pub fn role(self: &Arc<Self>, name: &'static str) -> Role {
        let script = self.clone();
        let router = Router::new().fallback(move |request: Request| {
            let script = script.clone();
            async move { Ok::<_, Infallible>(script.serve(request).await) }
        });
        Role {
            routes: Routes::from(router),
            ..Role::new(name)
        }
    }

    async fn serve(&self, request: Request) -> Response {
        let path = request.uri().path().to_owned();
        let body = request.into_body().collect().await.expect("a body").to_bytes();
        match self.say(&path, &body[5..]).await {
            Ok(Say::One(message)) => response(stream::iter([framed(&message), ended()]), None),
            Ok(Say::Stream(messages)) => {
                let frames: Vec<_> = messages.iter().map(|message| framed(message)).collect();
                response(
                    stream::iter(frames).chain(stream::pending()),
                    Some(self.watching.clone()),
                )
            }
            Err(status) => status.into_http(),
        }
    }

    async fn say(&self, path: &str, message: &[u8]) -> Result<Say, Status> {
        let method = path.strip_prefix("/missioncontrol.").expect("a method of the contract");
        let one = |message: Vec<u8>| Ok(Say::One(message));
        match method {
            "org.v1.DirectoryService/ResolveUser" => {
                self.resolved.fetch_add(1, Ordering::SeqCst);
                // Long enough for others to come meanwhile.
                tokio::time::sleep(Duration::from_millis(50)).await;
                one(ResolveUserResponse {
                    principal: Some(person()),
                }
                .encode_to_vec())
            }
            "org.v1.OrganizationService/SetActiveOrganization" => one(Organization {
                id: ORGANIZATION.into(),
                ..Organization::default()
            }
            .encode_to_vec()),
            "agent.v1.AgentDirectoryService/VerifyToken" => {
                self.verified.fetch_add(1, Ordering::SeqCst);
                let token = VerifyTokenRequest::decode(message).expect("a request").token;
                if token == AGENT_TOKEN && !self.rotated.load(Ordering::SeqCst) {
                    return one(VerifyTokenResponse {
                        principal: Some(agent()),
                    }
                    .encode_to_vec());
                }
                Err(Error::unauthenticated("The token is not known.").into())
            }
            "board.v1.BoardService/ListBoards" => {
                let board = |name: &str| Board {
                    name: name.into(),
                    id: BOARD.into(),
                    ..Board::default()
                };
                one(ListBoardsResponse {
                    items: vec![board("Alpha"), board("Beta")],
                    total: 2,
                    limit: 200,
                    offset: 0,
                }
                .encode_to_vec())
            }
            "board.v1.TaskService/ListTasks" => {
                let task = Task {
                    title: "A long title that compresses well. ".repeat(200),
                    id: BOARD.into(),
                    ..Task::default()
                };
                one(ListTasksResponse {
                    items: vec![task],
                    total: 1,
                    limit: 200,
                    offset: 0,
                }
                .encode_to_vec())
            }
            "board.v1.TaskService/CreateTask" => {
                let request = CreateTaskRequest::decode(message).expect("a request");
                self.create(&request).await?;
                one(Task {
                    title: request.title,
                    id: BOARD.into(),
                    ..Task::default()
                }
                .encode_to_vec())
            }
            "board.v1.TaskService/WatchTasks" => {
                let request = WatchTasksRequest::decode(message).expect("a request");
                if request.board_id != BOARD {
                    return Err(Error::denied("Board access denied").into());
                }
                let after: u64 = request
                    .resume_token
                    .as_deref()
                    .unwrap_or("0")
                    .parse()
                    .map_err(|_| Status::from(Error::invalid("resume_token", "unknown")))?;
                let event = |id: u64| {
                    TaskEvent {
                        id: id.to_string(),
                        r#type: "task.created".into(),
                        ..TaskEvent::default()
                    }
                    .encode_to_vec()
                };
                Ok(Say::Stream(vec![event(after + 1), event(after + 2)]))
            }
            other => Err(Status::unimplemented(other.to_owned())),
        }
    }

    async fn create(&self, request: &CreateTaskRequest) -> Result<(), Status> {
        Err(match request.title.as_str() {
            "conflict" => Error::conflict("It is taken.").with("code", "taken").into(),
            "invalid" => Error::invalid("title", "title is taken.").into(),
            "gateway" => Error::gateway("Gateway unreachable: connection refused").into(),
            "limited" => Error::limited(Duration::from_millis(2100)).into(),
            "deadline" => Error::new(chassis::error::Kind::Deadline, "Too slow.").into(),
            "inside" => Status::unknown("password=hunter2 at 10.0.0.3"),
            "panic" => panic!("a defect of a handler"),
            "slow" => {
                self.gate.pass().await;
                return Ok(());
            }
            _ => return Ok(()),
        })
    }
}

fn person() -> Principal {
    Principal {
        kind: PrincipalKind::User.into(),
        id: USER.into(),
        name: "Local User".into(),
        organization_id: ORGANIZATION.into(),
        memberships: vec![Membership {
            organization_id: ORGANIZATION.into(),
            role: "owner".into(),
            all_boards_write: true,
            ..Membership::default()
        }],
        ..Principal::default()
    }
}

fn agent() -> Principal {
    Principal {
        kind: PrincipalKind::Agent.into(),
        id: AGENT.into(),
        organization_id: ORGANIZATION.into(),
        board_id: BOARD.into(),
        ..Principal::default()
    }
}

fn framed(message: &[u8]) -> Frame<Bytes> {
    let mut out = BytesMut::new();
    out.put_u8(0);
    out.put_u32(u32::try_from(message.len()).expect("small"));
    out.put_slice(message);
    Frame::data(out.freeze())
}

fn ended() -> Frame<Bytes> {
    Frame::trailers(HeaderMap::from_iter([(
        http::HeaderName::from_static("grpc-status"),
        HeaderValue::from_static("0"),
    )]))
}

fn response(
    frames: impl futures::Stream<Item = Frame<Bytes>> + Send + 'static,
    open: Option<Arc<AtomicUsize>>,
) -> Response {
    struct Open(Option<Arc<AtomicUsize>>);
    impl Drop for Open {
        fn drop(&mut self) {
            self.0.as_ref().inspect(|count| {
                count.fetch_sub(1, Ordering::SeqCst);
            });
        }
    }
    open.as_ref().inspect(|count| {
        count.fetch_add(1, Ordering::SeqCst);
    });
    let open = Open(open);
    let frames = frames.map(move |frame| {
        let _held = &open;
        Ok::<_, Infallible>(frame)
    });
    let mut response = Response::new(Body::new(StreamBody::new(frames)));
    response
        .headers_mut()
        .insert("content-type", HeaderValue::from_static("application/grpc"));
    response
}
