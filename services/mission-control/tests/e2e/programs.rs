//! Programs that the end-to-end tests start: a gateway, and the model that it asks.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

/// The root of the project.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .expect("the project's root")
}

/// Gateway releases to walk with.
pub fn versions() -> Vec<String> {
    std::env::var("OPENCLAW_VERSIONS")
        .unwrap_or_else(|_| "2026.9.6".to_owned())
        .split_whitespace()
        .map(str::to_owned)
        .collect()
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a free port")
        .port()
}

/// Where a program's output goes, for whoever looks into a failure.
fn log(name: &str) -> (File, File) {
    let dir = root().join("target/e2e");
    std::fs::create_dir_all(&dir).expect("a folder for logs");
    let file = File::create(dir.join(name)).expect("a log file");
    (file.try_clone().expect("the same file"), file)
}

/// Ends a program: asks, and insists after a while, since a gateway with a turn in hand would drain for minutes.
fn end(child: &mut Child) {
    let _ = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
    for _ in 0..30 {
        if matches!(child.try_wait(), Ok(Some(_))) {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let _ = child.kill();
    let _ = child.wait();
}

/// The scripted language model.
pub struct Model {
    url: String,
    child: Child,
}

impl Model {
    /// Starts it on a free port.
    pub async fn start() -> Self {
        let port = free_port();
        let (out, err) = log("model.log");
        let child = Command::new("node")
            .arg(root().join("e2e/model.mjs"))
            .args(["--port", &port.to_string()])
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .spawn()
            .expect("node runs the model");
        let model = Self {
            url: format!("http://127.0.0.1:{port}"),
            child,
        };
        chassis::tls::install();
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(2))
            .build()
            .expect("a client");
        for _ in 0..200 {
            if client.get(format!("{}/healthz", model.url)).send().await.is_ok() {
                return model;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the model did not start");
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// A real OpenClaw gateway with a state of its own.
pub struct Gateway {
    /// WebSocket address.
    pub url: String,
    /// Its shared token.
    pub token: String,
    child: Child,
    state: tempfile::TempDir,
}

impl Gateway {
    /// Starts a release; it is not ready yet.
    pub fn start(version: &str, model: &Model) -> Self {
        let port = free_port();
        let state = tempfile::tempdir().expect("a folder");
        let token = "e2e-gateway-token-0123456789abcdef".to_owned();
        let (out, err) = log(&format!("gateway-{version}.log"));
        let child = Command::new(root().join("scripts/openclaw"))
            .args(["start", version, &port.to_string()])
            .env("OPENCLAW_TOKEN", &token)
            .env("OPENCLAW_FRESH", "1")
            .env("OPENCLAW_MODEL", format!("{}/v1", model.url))
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .spawn()
            .expect("the gateway starts");
        Self {
            url: format!("ws://127.0.0.1:{port}"),
            token,
            child,
            state,
        }
    }

    /// Where agents' workspaces go.
    pub fn workspace(&self) -> String {
        self.state.path().to_string_lossy().into_owned()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}
