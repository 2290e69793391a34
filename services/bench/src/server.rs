//! The measured server: a process of its own on a private PostgreSQL.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::Context;
use mission_control::postgres::Postgres;
use sqlx::Connection;
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// How long the server may take to become ready.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running server.
pub struct Server {
    /// `host:port`.
    pub address: String,
    /// The local token.
    pub token: String,
    /// Connection URL of its database.
    pub database_url: String,
    /// REST.
    pub client: reqwest::Client,
    binary: PathBuf,
    child: Child,
    postgres: Option<Postgres>,
    // Removed last.
    _dir: TempDir,
}

impl Server {
    /// Starts PostgreSQL and the server.
    pub async fn start(binary: &Path) -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new().prefix("mc-bench").tempdir()?;
        // PostgreSQL runs as another user when we are root, who has to enter.
        std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        let bin = std::env::var_os("PG_BIN_DIR").map(PathBuf::from);
        let postgres = Postgres::start(bin.as_deref(), &dir.path().join("postgres")).await?;
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let (address, token, database_url) = (
            format!("127.0.0.1:{port}"),
            "bench-token-0123456789-0123456789-0123456789-0123456789".to_owned(),
            postgres.url.clone(),
        );
        let child = spawn(binary, &address, &token, &database_url)?;
        chassis::tls::install();
        let client = reqwest::Client::builder().no_proxy().build()?;
        let server = Self {
            address,
            token,
            database_url,
            client,
            binary: binary.to_owned(),
            child,
            postgres: Some(postgres),
            _dir: dir,
        };
        server.ready(Instant::now()).await?;
        Ok(server)
    }

    /// Starts it once more, on a database that is there and up to date; answers how long it took.
    pub async fn ready_again(&mut self) -> anyhow::Result<Duration> {
        self.terminate().await?;
        let started = Instant::now();
        self.child = spawn(&self.binary, &self.address, &self.token, &self.database_url)?;
        self.ready(started).await
    }

    async fn ready(&self, started: Instant) -> anyhow::Result<Duration> {
        loop {
            let answer = self.client.get(format!("http://{}/readyz", self.address)).send().await;
            if answer.is_ok_and(|answer| answer.status() == 200) {
                return Ok(started.elapsed());
            }
            anyhow::ensure!(started.elapsed() < PATIENCE, "the server did not become ready");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// A REST call; the answer has to be a success.
    pub async fn call(
        &self,
        method: reqwest::Method,
        path: &str,
        body: Option<serde_json::Value>,
    ) -> anyhow::Result<serde_json::Value> {
        let mut request = self
            .client
            .request(method, format!("http://{}{path}", self.address))
            .bearer_auth(&self.token);
        if let Some(body) = body {
            request = request
                .header("content-type", "application/json")
                .body(body.to_string());
        }
        let response = request.send().await?;
        let (status, text) = (response.status(), response.text().await?);
        anyhow::ensure!(status.is_success(), "{path}: {status}: {text}");
        Ok(serde_json::from_str(&text)?)
    }

    /// Resident memory.
    pub fn memory_mib(&self) -> anyhow::Result<f64> {
        let output = std::process::Command::new("ps")
            .args(["-o", "rss=", "-p", &self.pid()?])
            .output()?;
        Ok(String::from_utf8(output.stdout)?.trim().parse::<f64>()? / 1024.0)
    }

    /// CPU time used so far.
    pub fn cpu(&self) -> anyhow::Result<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid()?)).unwrap_or_default();
        // Fields 14 and 15, in ticks of 10 ms (proc(5)); zero where there is no /proc.
        let ticks: u64 = stat
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .skip(11)
            .take(2)
            .filter_map(|field| field.parse::<u64>().ok())
            .sum();
        Ok(Duration::from_millis(ticks * 10))
    }

    /// Requests a second of a query by pgbench, prepared, with as many clients.
    pub async fn pgbench(&self, query: &str, clients: usize, seconds: u64) -> anyhow::Result<f64> {
        let file = tempfile::NamedTempFile::new()?;
        std::fs::write(file.path(), query)?;
        let output = Command::new("pgbench")
            .args([
                "-n",
                "-M",
                "prepared",
                "-j",
                "2",
                "-c",
                &clients.to_string(),
                "-T",
                &seconds.to_string(),
                "-f",
            ])
            .arg(file.path())
            .arg(&self.database_url)
            .output()
            .await
            .context("pgbench is not installed")?;
        let text = String::from_utf8(output.stdout)?;
        text.lines()
            .find_map(|line| line.strip_prefix("tps = ")?.split_whitespace().next()?.parse().ok())
            .with_context(|| format!("pgbench failed: {}", String::from_utf8_lossy(&output.stderr)))
    }

    /// Commits something every other millisecond that no list shows, until the task is aborted.
    pub async fn commits(&self) -> anyhow::Result<tokio::task::JoinHandle<()>> {
        let mut connection = sqlx::PgConnection::connect(&self.database_url).await?;
        Ok(tokio::spawn(async move {
            let mut pause = tokio::time::interval(Duration::from_millis(2));
            loop {
                pause.tick().await;
                // Having a transaction's number is enough for its end to be a commit.
                let _ = sqlx::query("SELECT pg_current_xact_id()")
                    .execute(&mut connection)
                    .await;
            }
        }))
    }

    fn pid(&self) -> anyhow::Result<String> {
        Ok(self.child.id().context("the server has ended")?.to_string())
    }

    async fn terminate(&mut self) -> anyhow::Result<()> {
        Command::new("kill").args(["-TERM", &self.pid()?]).status().await?;
        tokio::time::timeout(PATIENCE, self.child.wait()).await??;
        Ok(())
    }

    /// Stops everything.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.terminate().await?;
        match self.postgres.take() {
            Some(postgres) => postgres.stop().await,
            None => Ok(()),
        }
    }
}

fn spawn(binary: &Path, address: &str, token: &str, database_url: &str) -> anyhow::Result<Child> {
    Command::new(binary)
        .arg("up")
        .env("LISTEN", address)
        .env("LOCAL_AUTH_TOKEN", token)
        .env("SECRET_KEY", "bench-secret-key-0123456789-0123456789")
        .env("DATABASE_URL", database_url)
        .env("DATA_DIR", std::env::temp_dir().join("mc-bench-data"))
        .env("LOG_LEVEL", "warn")
        // Measured is the work, not its limits: guesses come from many addresses, callers ask as often as they can.
        .env("TRUSTED_PROXIES", "127.0.0.1")
        .env("RATE_LIMIT_AGENT", "0")
        .env("RATE_LIMIT_USER", "0")
        .env_remove("AMQP_URL")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| {
            format!(
                "{} cannot be started: build it with `cargo build --release -p mission-control`",
                binary.display()
            )
        })
}
