//! What some journeys have around them that others do not: servers of their own, which they may stop, or an issuer to sign in at.

use std::{path::Path, process::Stdio};

use chassis::settings::{AuthMode, Settings};
use mission_control::SCHEMAS;
use testkit::{Database, database};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

use crate::{harness::Harness, web};

/// A server by the script that people use, in a folder of its own.
struct Server {
    script: &'static str,
    directory: tempfile::TempDir,
    url: String,
}

impl Server {
    fn start(script: &'static str) -> Self {
        let directory = tempfile::tempdir().expect("a folder");
        let output = tool(script)
            .arg("start")
            .arg(directory.path())
            .output()
            .expect("the script runs");
        assert!(
            output.status.success(),
            "{script}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let url = String::from_utf8(output.stdout)
            .expect("it prints text")
            .trim()
            .to_owned();
        Self { script, directory, url }
    }

    fn folder(&self) -> String {
        self.directory.path().display().to_string()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = tool(self.script).arg("stop").arg(self.directory.path()).output();
    }
}

fn tool(script: &str) -> std::process::Command {
    std::process::Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts").join(script))
}

/// An issuer of OpenID Connect, `web/e2e/issuer.mjs`.
struct Issuer {
    url: String,
    _process: Child,
}

impl Issuer {
    async fn start() -> Self {
        let mut process = Command::new("node")
            .arg(web().join("e2e/issuer.mjs"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("node runs");
        let mut url = String::new();
        BufReader::new(process.stdout.take().expect("its output"))
            .read_line(&mut url)
            .await
            .expect("the issuer says where it is");
        Self {
            url: url.trim().to_owned(),
            _process: process,
        }
    }
}

/// What a journey has around it.
#[derive(Default)]
pub struct Surroundings {
    database: Option<Server>,
    broker: Option<Server>,
    issuer: Option<Issuer>,
}

impl Surroundings {
    /// What the journey of this name needs.
    pub async fn of(journey: &str) -> Self {
        match journey {
            "restarts" => Self {
                database: Some(Server::start("postgres")),
                broker: Some(Server::start("rabbitmq")),
                issuer: None,
            },
            "single-sign-on" => Self {
                issuer: Some(Issuer::start().await),
                ..Self::default()
            },
            _ => Self::default(),
        }
    }

    /// A constellation in it.
    pub async fn harness(&self) -> Harness {
        let database = match &self.database {
            Some(server) => {
                chassis::store::migrate(&server.url, &SCHEMAS)
                    .await
                    .expect("it is migrated");
                Database::lent(&server.url)
            }
            None => database(&SCHEMAS).await,
        };
        Harness::on(database, |settings| self.settle(settings)).await
    }

    fn settle(&self, settings: &mut Settings) {
        if let Some(broker) = &self.broker {
            settings.amqp_url.clone_from(&broker.url);
        }
        if let Some(issuer) = &self.issuer {
            settings.auth_mode = AuthMode::Oidc;
            settings.oidc_issuer.clone_from(&issuer.url);
            settings.oidc_audience = "mission-control-page".into();
            settings.oidc_client_id = "page".into();
        }
    }

    /// What the journey is told of it, as variables of its environment.
    pub fn told(&self) -> Vec<(&'static str, String)> {
        let mut told = Vec::new();
        if let Some(server) = &self.database {
            told.push(("DATABASE_FOLDER", server.folder()));
            told.push(("DATABASE_URL", server.url.clone()));
        }
        if let Some(server) = &self.broker {
            told.push(("BROKER_FOLDER", server.folder()));
        }
        if let Some(issuer) = &self.issuer {
            told.push(("ISSUER_URL", issuer.url.clone()));
        }
        told
    }
}
