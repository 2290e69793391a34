//! One agent on its gateway, step by step: there, with its files, with its heartbeat, awake. Every step looks before it writes.

use chassis::{Error, Result, error::Kind};
use proto::gateway::v1::{
    AgentFile, AgentHeartbeatConfig, ConfigureHeartbeatsRequest, ConnectionPhase, EnsureAgentRequest,
    GatewayConnection, LookupConnectionRequest, ReadAgentFileRequest, RemoveAgentRequest, ResetSessionRequest,
    SendMessageRequest, WriteAgentFilesRequest,
};
use secrecy::ExposeSecret;
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    app::{App, found},
    render::{File, Scene, digest},
    row::AgentRow,
    rules, souls, token,
};

/// Why a step could not be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The condition that is false because of it.
    pub condition: &'static str,
    /// One stable word.
    pub reason: String,
    /// What happened and what to do about it.
    pub message: String,
}

impl Failure {
    /// A failure that a call of the bridge or a peer reported.
    pub fn of(condition: &'static str, error: &Error) -> Self {
        let reason = match error.kind() {
            Kind::Gateway => "GatewayRefused",
            Kind::Unavailable => "Unavailable",
            Kind::Deadline => "Timeout",
            Kind::NotFound => "NotFound",
            Kind::Invalid | Kind::Unprocessable | Kind::Precondition | Kind::Conflict => "Refused",
            _ => "Failed",
        };
        Self {
            condition,
            reason: reason.to_owned(),
            message: describe(error),
        }
    }
}

/// An error with its broken rules, in one line.
pub fn describe(error: &Error) -> String {
    let rules: Vec<_> = error
        .violations()
        .iter()
        .map(|violation| violation.message.as_str())
        .collect();
    if rules.is_empty() {
        error.to_string()
    } else {
        rules.join(" ")
    }
}

/// Whether the gateway can be used; why not, with the remedy, otherwise.
pub async fn connected(app: &App, organization: Uuid, gateway: Uuid) -> Result<(), Failure> {
    let request = LookupConnectionRequest {
        gateway_id: gateway.to_string(),
    };
    match found(
        app.gateways(organization)
            .lookup_connection(request)
            .await
            .map(tonic::Response::into_inner)
            .map_err(Error::from),
    ) {
        Ok(Some(connection)) => usable(&connection),
        Ok(None) => Err(Failure {
            condition: "GatewayConnected",
            reason: "GatewayMissing".into(),
            message: "The gateway does not exist any more.".into(),
        }),
        Err(error) => Err(Failure::of("GatewayConnected", &error)),
    }
}

fn usable(connection: &GatewayConnection) -> Result<(), Failure> {
    let (reason, what) = match connection.phase() {
        ConnectionPhase::Connected => return Ok(()),
        ConnectionPhase::PairingRequired => ("PairingRequired", "The gateway wants the device approved."),
        ConnectionPhase::Refused => ("Refused", "The gateway refuses the connection."),
        ConnectionPhase::Unreachable => ("Unreachable", "The gateway does not answer."),
        ConnectionPhase::Stopped => ("Stopped", "The gateway is not connected."),
        ConnectionPhase::Connecting | ConnectionPhase::Unspecified => ("Connecting", "The gateway is being connected."),
    };
    let mut message = what.to_owned();
    for part in [&connection.error, &connection.remedy]
        .into_iter()
        .flatten()
        .filter(|part| !part.trim().is_empty())
    {
        message.push(' ');
        message.push_str(part.trim());
    }
    Err(Failure {
        condition: "GatewayConnected",
        reason: reason.to_owned(),
        message,
    })
}

/// An agent as its gateway should have it.
pub struct Plan {
    /// Its id on the gateway.
    pub agent_key: String,
    /// Its workspace directory.
    pub workspace: String,
    /// Its heartbeat.
    pub heartbeat: Value,
    /// Its files.
    pub files: Vec<File>,
    /// Digest of all of it.
    pub digest: String,
    /// The agent's raw token. Never logged.
    pub token: String,
}

/// Renders what the gateway should have.
pub async fn plan(app: &App, row: &AgentRow, bootstrap: bool) -> Result<Plan> {
    let sealed = sqlx::query_scalar!("SELECT token_sealed FROM agent.agents WHERE id = $1", row.id)
        .fetch_optional(app.store.pool())
        .await?
        .ok_or_else(|| Error::not_found("The agent was deleted."))?;
    let raw = token::open(&app.sealer, row.id, &sealed)?;
    let board = match row.board_id {
        Some(id) => Some(app.board(id).await?),
        None => None,
    };
    let gateway = app.gateway(row.organization_id, row.gateway_id).await?;
    let owner = app.owner(row.organization_id).await?;
    let soul = match souls::role_of(row) {
        Some(role) => app.souls.role_soul(role).await,
        None => None,
    };
    let scene = Scene {
        agent: row,
        board: board.as_ref(),
        gateway: &gateway,
        owner: &owner,
        base_url: &app.base_url,
        token: raw.expose_secret(),
        soul: soul.as_ref(),
    };
    let files = app.renderer.files(&scene, bootstrap)?;
    let workspace = row.seat().workspace(&gateway.workspace_root);
    let heartbeat = rules::effective_heartbeat(row.heartbeat_config.as_ref());
    let digest = digest(&files, &row.name, &workspace, &heartbeat);
    Ok(Plan {
        agent_key: rules::agent_key_of(&row.session_key).to_owned(),
        workspace,
        heartbeat,
        files,
        digest,
        token: raw.expose_secret().to_owned(),
    })
}

/// What [`ensure`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ensured {
    /// It was not there.
    Created,
    /// It was there and differed.
    Changed,
    /// It was there as it should be.
    Unchanged,
}

/// Makes sure that the gateway has the agent.
pub async fn ensure(app: &App, row: &AgentRow, plan: &Plan) -> Result<Ensured, Failure> {
    let request = EnsureAgentRequest {
        gateway_id: row.gateway_id.to_string(),
        agent_key: plan.agent_key.clone(),
        name: row.name.clone(),
        workspace: plan.workspace.clone(),
    };
    match app
        .gateways(row.organization_id)
        .ensure_agent(request)
        .await
        .map(tonic::Response::into_inner)
    {
        Ok(done) if done.created => Ok(Ensured::Created),
        Ok(done) if done.updated => Ok(Ensured::Changed),
        Ok(_) => Ok(Ensured::Unchanged),
        Err(status) => Err(Failure::of("Created", &status.into())),
    }
}

/// Files that agents keep themselves, once they have them.
pub fn kept(row: &AgentRow, name: &str) -> bool {
    name == "MEMORY.md" || (name == "USER.md" && row.board_id.is_some())
}

/// What [`write`] did.
pub struct Files {
    /// Names of what differed.
    pub written: Vec<String>,
    /// Names that the release has no place for, with the reason.
    pub refused: Vec<String>,
}

/// Writes the files that differ; those that the agent keeps only with `overwrite`.
pub async fn write(app: &App, row: &AgentRow, plan: &Plan, overwrite: bool) -> Result<Files, Failure> {
    let files = plan
        .files
        .iter()
        .map(|file| AgentFile {
            name: file.name.to_owned(),
            content: file.content.clone(),
            keep_existing: !overwrite && kept(row, file.name),
        })
        .collect();
    let request = WriteAgentFilesRequest {
        gateway_id: row.gateway_id.to_string(),
        agent_key: plan.agent_key.clone(),
        files,
    };
    match app.gateways(row.organization_id).write_agent_files(request).await {
        Ok(done) => {
            let done = done.into_inner();
            Ok(Files {
                written: done.written,
                refused: done
                    .mapped
                    .into_iter()
                    .filter(|place| place.contains(" -> nowhere"))
                    .collect(),
            })
        }
        Err(status) => Err(Failure::of("FilesWritten", &status.into())),
    }
}

/// Whether the token in the agent's TOOLS.md on the gateway is its own; a file that has none agrees with any.
pub async fn token_agrees(app: &App, row: &AgentRow, plan: &Plan) -> Result<bool, Failure> {
    let request = ReadAgentFileRequest {
        gateway_id: row.gateway_id.to_string(),
        agent_key: plan.agent_key.clone(),
        name: "TOOLS.md".to_owned(),
    };
    match app.gateways(row.organization_id).read_agent_file(request).await {
        Ok(file) => Ok(rules::token_agrees(&file.into_inner().content, &plan.token).unwrap_or(true)),
        Err(status) => Err(Failure::of("FilesWritten", &status.into())),
    }
}

/// Sets the agent's heartbeat. Answers whether the gateway's configuration was changed.
pub async fn configure(app: &App, row: &AgentRow, plan: &Plan) -> Result<bool, Failure> {
    let request = ConfigureHeartbeatsRequest {
        gateway_id: row.gateway_id.to_string(),
        agents: vec![AgentHeartbeatConfig {
            agent_key: plan.agent_key.clone(),
            workspace: plan.workspace.clone(),
            heartbeat: plan.heartbeat.to_string().into_bytes(),
        }],
    };
    match app.gateways(row.organization_id).configure_heartbeats(request).await {
        Ok(done) => Ok(done.into_inner().changed),
        Err(status) => Err(Failure::of("HeartbeatConfigured", &status.into())),
    }
}

/// Starts the agent's session afresh.
pub async fn reset_session(app: &App, row: &AgentRow) -> Result<(), Failure> {
    let request = ResetSessionRequest {
        gateway_id: row.gateway_id.to_string(),
        session_key: row.session_key.clone(),
    };
    match found(
        app.gateways(row.organization_id)
            .reset_session(request)
            .await
            .map_err(Error::from),
    ) {
        Ok(_) => Ok(()),
        Err(error) => Err(Failure::of("Woken", &error)),
    }
}

/// Why an agent is woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// It was just made.
    Provisioned,
    /// Its files changed.
    Updated,
    /// It is waited for.
    Silent,
}

/// The text that wakes an agent.
pub fn greeting(name: &str, occasion: Occasion) -> String {
    let news = match occasion {
        Occasion::Provisioned => "Your workspace has been provisioned.",
        Occasion::Updated => "Your workspace has been updated.",
        Occasion::Silent => "You were not heard of for a while; there may be work for you.",
    };
    format!(
        "Hello {name}. {news}\n\n\
         If there is a BOOTSTRAP.md, read it first and do what it says. Then read AGENTS.md and begin your heartbeats: report now that you \
         are alive, with the heartbeat call of TOOLS.md."
    )
}

/// Wakes the agent. The same wake-up is sent once, however often it is tried: what was sent is known by the wake-up before it.
pub async fn wake(app: &App, row: &AgentRow, occasion: Occasion, number: i32) -> Result<(), Failure> {
    let request = SendMessageRequest {
        gateway_id: row.gateway_id.to_string(),
        session_key: row.session_key.clone(),
        label: row.name.clone(),
        text: greeting(&row.name, occasion),
        deliver: true,
        idempotency_key: format!(
            "wake-{}-{}-{number}-{}",
            row.id,
            row.desired_generation,
            row.last_wake_at.map_or(0, OffsetDateTime::unix_timestamp)
        ),
    };
    match app.gateways(row.organization_id).send_message(request).await {
        Ok(_) => Ok(()),
        Err(status) => Err(Failure::of("Woken", &status.into())),
    }
}

/// Removes an agent with its files and session from a gateway; one that is gone, or whose gateway is, is fine.
pub async fn remove(app: &App, organization: Uuid, gateway: Uuid, agent_key: &str, session_key: &str) -> Result<()> {
    let request = RemoveAgentRequest {
        gateway_id: gateway.to_string(),
        agent_key: agent_key.to_owned(),
        session_key: session_key.to_owned(),
    };
    found(
        app.gateways(organization)
            .remove_agent(request)
            .await
            .map_err(Error::from),
    )
    .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_phase_but_connected_says_what_to_do() {
        let connection = |phase: ConnectionPhase| GatewayConnection {
            phase: phase.into(),
            error: Some("pairing required".into()),
            remedy: Some("Run `openclaw devices approve 7`.".into()),
            ..GatewayConnection::default()
        };
        assert_eq!(usable(&connection(ConnectionPhase::Connected)), Ok(()));
        for (phase, reason) in [
            (ConnectionPhase::PairingRequired, "PairingRequired"),
            (ConnectionPhase::Refused, "Refused"),
            (ConnectionPhase::Unreachable, "Unreachable"),
            (ConnectionPhase::Stopped, "Stopped"),
            (ConnectionPhase::Connecting, "Connecting"),
            (ConnectionPhase::Unspecified, "Connecting"),
        ] {
            let failure = usable(&connection(phase)).expect_err("not usable");
            assert_eq!(failure.reason, reason);
            assert!(
                failure.message.contains("pairing required") && failure.message.ends_with("approve 7`."),
                "{}",
                failure.message
            );
        }
    }

    #[test]
    fn the_greeting_names_bootstrap_before_agents() {
        let text = greeting("Ada", Occasion::Provisioned);
        assert!(text.starts_with("Hello Ada. Your workspace has been provisioned.\n\n"));
        assert!(text.find("BOOTSTRAP.md") < text.find("AGENTS.md"));
        assert!(greeting("Ada", Occasion::Updated).contains("updated"));
        assert!(greeting("Ada", Occasion::Silent).starts_with("Hello Ada. You were not heard of"));
    }

    #[test]
    fn failures_tell_the_broken_rule() {
        let error = Error::invalid(
            "soul_template",
            "soul_template cannot be rendered: `x` is not defined on line 3.",
        );
        let failure = Failure::of("FilesWritten", &error);
        assert_eq!(
            (failure.reason.as_str(), failure.message.contains("line 3")),
            ("Refused", true)
        );
        assert_eq!(
            Failure::of("Created", &Error::gateway("no such method")).reason,
            "GatewayRefused"
        );
    }
}
