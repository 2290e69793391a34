//! The port through its doors, with roles that answer by script: what the edge does by itself, without database or other services.

mod auth;
mod grpc;
mod rest;
mod roles;
mod stop;
mod stream;

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use chassis::{
    Context, Role,
    bus::memory::MemoryBus,
    channel::{Channel, Peers},
    identity::Signer,
    role::Check,
    seal::{Sealer, derive},
    server::Running,
    settings::Settings,
};
use clap::Parser;
use reqwest::{Method, RequestBuilder, Response};
use roles::Script;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use transcoder::Catalog;

/// The local token of every test.
pub const TOKEN: &str = "edge-token-0123456789-0123456789-0123456789-0123456789";
/// A board of the script.
pub const BOARD: &str = "0190c3a0-0000-7000-8000-000000000001";

#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    settings: Settings,
}

/// An edge with scripted roles.
pub struct Port {
    pub url: String,
    pub address: SocketAddr,
    pub script: Arc<Script>,
    pub context: Context,
    pub client: reqwest::Client,
    running: Running,
}

impl Port {
    pub async fn open() -> Self {
        Self::with(|_| {}, &["org", "agent", "board"]).await
    }

    /// With other settings, and only some roles.
    pub async fn with(change: impl FnOnce(&mut Settings), present: &[&'static str]) -> Self {
        static CATALOG: OnceLock<Catalog> = OnceLock::new();
        let catalog = CATALOG
            .get_or_init(|| Catalog::compile(proto::DESCRIPTORS).expect("the contract compiles"))
            .clone();
        let arguments = [
            "edge",
            "--listen",
            "127.0.0.1:0",
            "--local-auth-token",
            TOKEN,
            "--secret-key",
            &"k".repeat(32),
        ];
        let mut settings = Arguments::parse_from(arguments).settings;
        change(&mut settings);
        let signer = Signer::new(&derive(&settings.secret_key, "principal"));
        let stop = CancellationToken::new();
        let channels: HashMap<_, _> = present.iter().map(|role| (*role, Channel::near())).collect();
        let context = Context {
            sealer: Sealer::new(&settings.secret_key),
            settings: Arc::new(settings),
            catalog,
            peers: Peers::new(channels, signer.clone()),
            signer,
            bus: Arc::new(MemoryBus::new(stop.clone())),
            stop,
        };
        let script = Arc::new(Script::default());
        let checked = script.clone();
        let checks = vec![Check::new("database", move || {
            let script = checked.clone();
            async move { script.ping() }
        })];
        let mut all: Vec<Role> = present.iter().map(|role| script.role(role)).collect();
        let (edge, address) = edge::bind(&context, checks.clone(), None)
            .await
            .expect("the port is bound");
        all.push(edge);
        let running = Running::start(&context, all, checks);
        chassis::tls::install();
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(Duration::from_secs(20))
            .build()
            .expect("a client");
        Self {
            url: format!("http://{address}"),
            address,
            script,
            context,
            client,
            running,
        }
    }

    /// A request without credential.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url))
    }

    /// A GET of the person.
    pub fn get(&self, path: &str) -> RequestBuilder {
        self.request(Method::GET, path).bearer_auth(TOKEN)
    }

    /// A POST of the person with a JSON text.
    pub fn post(&self, path: &str, json: &str) -> RequestBuilder {
        self.request(Method::POST, path)
            .bearer_auth(TOKEN)
            .header("content-type", "application/json")
            .body(json.to_owned())
    }

    /// A new task with this title, which the script acts on.
    pub fn task(&self, title: &str) -> RequestBuilder {
        self.post(
            &format!("/api/v1/boards/{BOARD}/tasks"),
            &format!(r#"{{"title":"{title}"}}"#),
        )
    }

    pub async fn close(self) {
        self.running.stop().await;
    }
}

/// Status and JSON body.
pub async fn answer(request: RequestBuilder) -> (u16, Value) {
    let response = send(request).await;
    let status = response.status().as_u16();
    let text = response.text().await.expect("a body");
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

pub async fn send(request: RequestBuilder) -> Response {
    request.send().await.expect("the port answers")
}

/// Asks until it is so.
pub async fn eventually(what: &str, mut so: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while !so().await {
        assert!(tokio::time::Instant::now() < deadline, "{what}: not within ten seconds");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
