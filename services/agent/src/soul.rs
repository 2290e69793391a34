//! Souls of agents: read from the gateway, replaced by leads.

use std::{fmt::Write, time::Duration};

use chassis::{Caller, Error, Result, error::Kind, identity::uuid_of};
use proto::{
    agent::v1::{GetAgentSoulRequest, UpdateAgentSoulRequest},
    gateway::v1::ReadAgentFileRequest,
    org::v1::User,
};
use uuid::Uuid;

use crate::{
    app::{App, found},
    create::gateway_of,
    presence::change,
    provision,
    render::Scene,
    row::{AgentRow, agents},
    rules,
};

/// How long the gateway has to answer.
const DEADLINE: Duration = Duration::from_secs(5);

/// An agent of a board that the caller may use; unknown ones and those of other boards are not found.
pub async fn on_board(app: &App, caller: &Caller, board: Uuid, agent: &str) -> Result<AgentRow> {
    let organization = caller.organization()?;
    caller.may_read_board(organization, board)?;
    agents!(
        "SELECT",
        "FROM agent.agents AS a WHERE a.id = $1 AND a.organization_id = $2 AND a.board_id = $3 AND a.deleting_at IS NULL",
        uuid_of(agent)?,
        organization,
        board
    )
    .fetch_optional(app.store.pool())
    .await?
    .ok_or_else(|| Error::not_found("Agent not found"))
}

/// SOUL.md as the gateway has it.
pub async fn read(app: &App, caller: &Caller, request: &GetAgentSoulRequest) -> Result<String> {
    let row = on_board(app, caller, uuid_of(&request.board_id)?, &request.agent_id).await?;
    if !caller.is_lead() && caller.agent_id() != Some(row.id) {
        return Err(Error::denied(
            "Only the board's lead and the agent itself can read its soul.",
        ));
    }
    tokio::time::timeout(DEADLINE, file(app, &row, "SOUL.md"))
        .await
        .unwrap_or_else(|_| {
            Err(Error::new(
                Kind::Deadline,
                format!(
                    "Gateway SOUL read failed: the gateway did not answer within {} seconds. Look at its connection, then try again.",
                    DEADLINE.as_secs()
                ),
            ))
        })?
        .ok_or_else(|| Error::not_found("SOUL.md is not on the gateway yet: the agent is still being set up. Try again in a moment."))
}

/// A file of an agent as the gateway has it; `None` when it does not exist.
pub async fn file(app: &App, row: &AgentRow, name: &str) -> Result<Option<String>> {
    let what = name.trim_end_matches(".md");
    let failed = |cause: &str| Error::gateway(format!("Gateway {what} read failed: {cause}"));
    provision::connected(app, row.organization_id, row.gateway_id)
        .await
        .map_err(|failure| failed(&failure.message))?;
    let request = ReadAgentFileRequest {
        gateway_id: row.gateway_id.to_string(),
        agent_key: rules::agent_key_of(&row.session_key).to_owned(),
        name: name.to_owned(),
    };
    let read = app
        .gateways(row.organization_id)
        .read_agent_file(request)
        .await
        .map_err(Error::from);
    match read {
        Ok(read) => {
            let read = read.into_inner();
            Ok(read.exists.then_some(read.content))
        }
        Err(error) if matches!(error.kind(), Kind::Deadline) => Err(Error::new(
            Kind::Deadline,
            format!("Gateway {what} read failed: {error}"),
        )),
        Err(error) => Err(failed(&provision::describe(&error))),
    }
}

/// Replaces a soul: kept as the agent's template, written by the reconciler.
pub async fn update(app: &App, caller: &Caller, request: UpdateAgentSoulRequest) -> Result<()> {
    let board_id = uuid_of(&request.board_id)?;
    let before = on_board(app, caller, board_id, &request.agent_id).await?;
    let content = request.content.trim();
    if content.is_empty() {
        return Err(Error::unprocessable("content is required"));
    }
    let board = found(app.board(board_id).await)?.ok_or_else(|| Error::not_found("Board not found"))?;
    let gateway = gateway_of(app, before.organization_id, &board).await?;
    let mut after = before.clone();
    after.soul_template = Some(content.to_owned());
    app.renderer.check(&Scene {
        agent: &after,
        board: Some(&board),
        gateway: &gateway,
        owner: &User::default(),
        base_url: &app.base_url,
        token: "token",
        soul: None,
    })?;
    let mut tx = app.store.begin().await?;
    let row = agents!(
        "UPDATE agent.agents AS a SET soul_template = $2, desired_generation = a.desired_generation + 1, next_attempt_at = now(), attempts = 0, \
             updated_at = now() WHERE a.id = $1 AND a.deleting_at IS NULL RETURNING",
        "",
        before.id,
        content
    )
    .fetch_optional(&mut *tx)
    .await?
    .ok_or_else(|| Error::conflict("The agent is being deleted."))?;
    let mut sentence = format!("SOUL.md updated for {}.", row.name);
    for (what, text) in [("Reason", &request.reason), ("Source", &request.source_url)] {
        if let Some(text) = text.as_deref().map(str::trim).filter(|text| !text.is_empty()) {
            // Writing to a string cannot fail.
            let _ = write!(sentence, " {what}: {}.", text.trim_end_matches('.'));
        }
    }
    let told = change("agent.soul.updated", &row)
        .message(sentence)
        .before(&before.to_proto())
        .after(&row.to_proto());
    tx.record(caller, told).await?;
    tx.commit().await?;
    app.work.notify_one();
    Ok(())
}
