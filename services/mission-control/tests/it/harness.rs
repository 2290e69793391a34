//! A constellation per test, and clients of its doors.

use std::{fmt::Debug, future::Future, time::Duration};

use chassis::settings::Settings;
use clap::Parser;
use mission_control::{
    SCHEMAS,
    constellation::{Constellation, ROLES},
};
use reqwest::{Method, StatusCode, header::HeaderMap};
use serde_json::Value;
use testkit::{Database, database};

/// The local token of every test.
pub const TOKEN: &str = "test-token-0123456789-0123456789-0123456789-0123456789";

/// How long something that happens by itself may take.
pub const PATIENCE: Duration = Duration::from_secs(45);

#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    settings: Settings,
}

/// All roles in this process.
pub struct Harness {
    /// `http://host:port` of the public port.
    pub url: String,
    /// The roles.
    pub constellation: Constellation,
    /// Their database.
    pub database: Database,
    client: reqwest::Client,
}

impl Harness {
    /// Everything with the defaults of a test.
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// Everything with other settings.
    pub async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let database = database(&SCHEMAS).await;
        Self::on(database, change).await
    }

    /// Everything on a database that exists.
    pub async fn on(database: Database, change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = settings(&database.url);
        change(&mut settings);
        let constellation = Constellation::start(settings, &ROLES, None)
            .await
            .expect("the constellation starts");
        chassis::tls::install();
        let url = format!("http://{}", constellation.address.expect("the edge listens"));
        Self {
            url,
            constellation,
            database,
            client: reqwest::Client::builder().no_proxy().build().expect("a client"),
        }
    }

    /// REST as the person with the local token.
    pub fn person(&self) -> Rest {
        self.rest(&[("authorization", &format!("Bearer {TOKEN}"))])
    }

    /// REST as an agent.
    pub fn agent(&self, token: &str) -> Rest {
        self.rest(&[("x-agent-token", token)])
    }

    /// REST without a credential.
    pub fn nobody(&self) -> Rest {
        self.rest(&[])
    }

    /// REST with these headers.
    pub fn rest(&self, headers: &[(&str, &str)]) -> Rest {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(
                reqwest::header::HeaderName::from_bytes(name.as_bytes()).expect("a name"),
                value.parse().expect("a value"),
            );
        }
        Rest {
            url: self.url.clone(),
            headers: map,
            client: self.client.clone(),
        }
    }

    /// Stops everything and gives the database back, to start again on it.
    pub async fn stop(self) -> Database {
        self.constellation.stop().await;
        self.database
    }
}

/// Settings of a test, independent of the environment.
pub fn settings(database_url: &str) -> Settings {
    // Known before the start, since agents' files name it.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a free port")
        .port();
    let listen = format!("127.0.0.1:{port}");
    let mut arguments: Vec<String> = [
        "mission-control",
        "--listen",
        &listen,
        "--secret-key",
        "test-secret-key-0123456789-0123456789",
    ]
    .map(str::to_owned)
    .to_vec();
    arguments.extend([
        "--database-url".to_owned(),
        database_url.to_owned(),
        "--local-auth-token".to_owned(),
        TOKEN.to_owned(),
        "--amqp-url".to_owned(),
        String::new(),
    ]);
    arguments.extend(["--database-connections".to_owned(), "5".to_owned()]);
    // No test asks the world outside.
    arguments.extend(["--souls-directory-url".to_owned(), String::new()]);
    Arguments::parse_from(arguments).settings
}

/// A REST client with one credential.
#[derive(Clone)]
pub struct Rest {
    url: String,
    headers: HeaderMap,
    client: reqwest::Client,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// JSON body; a JSON string of the text when it is not JSON.
    pub body: Value,
}

impl Answer {
    /// The body, when the status is the one expected.
    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{:#}", self.body);
        self.body
    }

    /// `detail` of an error with this status.
    #[track_caller]
    pub fn detail(self, status: u16) -> Value {
        let body = self.expect(status);
        assert!(body["request_id"].is_string(), "an error names its request: {body:#}");
        body["detail"].clone()
    }
}

impl Rest {
    /// GET.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None).await
    }

    /// POST with a JSON body.
    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(Method::POST, path, Some(body)).await
    }

    /// PATCH with a JSON body.
    pub async fn patch(&self, path: &str, body: Value) -> Answer {
        self.send(Method::PATCH, path, Some(body)).await
    }

    /// PUT with a JSON body.
    pub async fn put(&self, path: &str, body: Value) -> Answer {
        self.send(Method::PUT, path, Some(body)).await
    }

    /// DELETE.
    pub async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, None).await
    }

    /// Any request.
    pub async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        let mut request = self.request(method, path);
        if let Some(body) = body {
            request = request
                .header("content-type", "application/json")
                .body(body.to_string());
        }
        Self::answer(request).await
    }

    /// A request to be completed by the test.
    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client
            .request(method, format!("{}{path}", self.url))
            .headers(self.headers.clone())
    }

    /// Sends such a request.
    pub async fn answer(request: reqwest::RequestBuilder) -> Answer {
        let response = request.send().await.expect("the edge answers");
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await.expect("a body");
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Answer { status, headers, body }
    }

    /// Opens a server-sent event stream.
    pub async fn stream(&self, path: &str) -> Events {
        Events::open(self.request(Method::GET, path)).await
    }
}

/// A stream of server-sent events.
pub struct Events {
    response: reqwest::Response,
    buffer: String,
}

/// One event.
#[derive(Debug)]
pub struct Sent {
    /// `id:`.
    pub id: Option<String>,
    /// `event:`.
    pub event: String,
    /// `data:` as JSON.
    pub data: Value,
}

impl Events {
    /// Opens a stream by a request that the test completed.
    pub async fn open(request: reqwest::RequestBuilder) -> Self {
        let response = request
            .header("accept", "text/event-stream")
            .send()
            .await
            .expect("the edge answers");
        assert_eq!(response.status(), 200, "the stream opens");
        Self {
            response,
            buffer: String::new(),
        }
    }

    /// The next event; comments are passed over.
    pub async fn next(&mut self) -> Sent {
        tokio::time::timeout(PATIENCE, self.read())
            .await
            .expect("an event in time")
    }

    async fn read(&mut self) -> Sent {
        loop {
            while let Some((frame, rest)) = self.buffer.split_once("\r\n\r\n") {
                let (frame, rest) = (frame.to_owned(), rest.to_owned());
                self.buffer = rest;
                let field = |name: &str| {
                    frame
                        .lines()
                        .find_map(|line| line.strip_prefix(name).map(|value| value.trim_start().to_owned()))
                };
                if let Some(data) = field("data:") {
                    return Sent {
                        id: field("id:"),
                        event: field("event:").unwrap_or_default(),
                        data: serde_json::from_str(&data).expect("JSON data"),
                    };
                }
            }
            let chunk = self
                .response
                .chunk()
                .await
                .expect("the stream goes on")
                .expect("the stream does not end");
            self.buffer.push_str(std::str::from_utf8(&chunk).expect("UTF-8"));
        }
    }
}

/// Asks until the answer is there, for [`PATIENCE`] at most.
pub async fn eventually<T, F, R>(what: &str, mut ask: F) -> T
where
    F: FnMut() -> R,
    R: Future<Output = Option<T>>,
{
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(found) = ask().await {
            return found;
        }
        assert!(
            tokio::time::Instant::now() < deadline,
            "{what} did not happen in {PATIENCE:?}"
        );
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
}

/// The `id` of a resource.
#[track_caller]
pub fn id(resource: &Value) -> String {
    resource["id"]
        .as_str()
        .unwrap_or_else(|| panic!("an id in {resource:#}"))
        .to_owned()
}
