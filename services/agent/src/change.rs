//! Changes of agents that their gateway has to follow: each raises the desired generation and wakes the reconciler.

use chassis::{Caller, Error, Result, Tx, error::Kind, etag::IfMatch, identity::uuid_of, message::Mask};
use proto::{
    agent::v1::{Agent, UpdateAgentRequest},
    org::v1::User,
};
use uuid::Uuid;

use crate::{
    agents::writable,
    app::{App, found},
    create::{self, conflict, gateway_of},
    operations::move_items,
    presence::change,
    render::Scene,
    row::{AgentRow, Wishes, agents},
    rules, token,
};

/// Stands for the token when templates are only checked.
const NO_TOKEN: &str = "token";

/// Changes an agent. Nothing that changes nothing is sent anywhere, unless `force` asks for it.
pub async fn update(app: &App, caller: &Caller, request: UpdateAgentRequest, if_match: &IfMatch) -> Result<Agent> {
    let mask = Mask::of(request.update_mask.as_ref());
    if mask.has("status") || request.status.is_some() {
        return Err(Error::denied("status is controlled by agent heartbeat"));
    }
    let force = request.force.unwrap_or(false);
    let before = writable(app, caller, &request.agent_id).await?;
    if_match.check(&before.etag())?;
    if before.deleting_at.is_some() {
        return Err(Error::conflict("The agent is being deleted."));
    }
    let mut after = before.clone();
    if let Some(name) = mask.required("name", request.name.as_deref())? {
        after.name = create::name_of(name)?;
    }
    if let Some(config) = mask.field("heartbeat_config", request.heartbeat_config.as_deref()) {
        after.heartbeat_config = Some(create::heartbeat(config)?.unwrap_or_else(|| rules::effective_heartbeat(None)));
        after.heartbeat_seconds = rules::heartbeat_seconds(after.heartbeat_config.as_ref());
    }
    if let Some(profile) = mask.field("identity_profile", request.identity_profile.as_deref()) {
        after.identity_profile = rules::profile(create::object("identity_profile", profile)?.as_ref());
    }
    if let Some(template) = mask.field("identity_template", request.identity_template) {
        after.identity_template = rules::template(template);
    }
    if let Some(template) = mask.field("soul_template", request.soul_template) {
        after.soul_template = rules::template(template);
    }
    let board = match mask.field("board_id", request.board_id.as_deref()) {
        None => Place::Stays,
        Some(None) => Place::Nowhere,
        Some(Some(id)) => Place::Board(uuid_of(id)?),
    };
    place(
        &before,
        &mut after,
        mask.field("is_gateway_main", request.is_gateway_main).flatten(),
        board,
    )?;

    let board = match after.board_id {
        Some(id) => Some(found(app.board(id).await)?.ok_or_else(|| Error::not_found("Board not found"))?),
        None => None,
    };
    if let (Some(board), true) = (&board, after.board_id != before.board_id) {
        if board.organization_id != before.organization_id.to_string() {
            return Err(Error::not_found("Board not found"));
        }
        caller.may_write_board(before.organization_id, uuid_of(&board.id)?)?;
    }
    let gateway = match &board {
        Some(board) => gateway_of(app, before.organization_id, board).await?,
        None => app.gateway(before.organization_id, before.gateway_id).await?,
    };
    after.gateway_id = uuid_of(&gateway.id)?;
    if !force && same(&before, &after) {
        return Ok(before.to_proto());
    }
    app.renderer.check(&Scene {
        agent: &after,
        board: board.as_ref(),
        gateway: &gateway,
        owner: &User::default(),
        base_url: &app.base_url,
        token: NO_TOKEN,
        soul: None,
    })?;

    let wishes = Wishes {
        wake: true,
        reset_session: force,
        bootstrap: force,
        overwrite: false,
        verify: true,
        refresh: false,
    };
    let mut tx = app.store.begin().await?;
    if after.gateway_id != before.gateway_id {
        leave_behind(&mut tx, &before).await?;
        // What waits to be told follows.
        let moving = [before.id];
        sqlx::query!(
            "UPDATE agent.messages SET gateway_id = $2 WHERE agent_id = ANY($1) AND state = 'waiting'",
            &moving[..],
            after.gateway_id
        )
        .execute(&mut *tx)
        .await?;
    }
    let row = agents!(
        "UPDATE agent.agents AS a SET name = $2, board_id = $3, gateway_id = $4, heartbeat_config = $5, heartbeat_seconds = $6, \
             identity_profile = $7, identity_template = $8, soul_template = $9, wishes = a.wishes || $10, \
             status = CASE WHEN a.last_seen_at IS NULL THEN 'provisioning' ELSE 'updating' END, \
             shown_status = CASE WHEN a.last_seen_at IS NULL THEN 'provisioning' ELSE 'updating' END, \
             applied_digest = CASE WHEN $11 THEN NULL ELSE a.applied_digest END, \
             desired_generation = a.desired_generation + 1, next_attempt_at = now(), attempts = 0, wake_attempts = 0, updated_at = now() \
         WHERE a.id = $1 AND a.deleting_at IS NULL AND a.desired_generation = $12 RETURNING",
        "",
        after.id,
        after.name,
        after.board_id,
        after.gateway_id,
        after.heartbeat_config,
        after.heartbeat_seconds,
        after.identity_profile,
        after.identity_template,
        after.soul_template,
        wishes.json(),
        force || after.gateway_id != before.gateway_id,
        before.desired_generation
    )
    .fetch_optional(&mut *tx)
    .await
    .map_err(conflict)?;
    let Some(row) = row else {
        drop(tx);
        if_match.check(&writable(app, caller, &before.id.to_string()).await?.etag())?;
        return Err(Error::conflict(
            "The agent was changed by somebody else at the same moment. Load it again and repeat the change.",
        ));
    };
    let told = change("agent.updated", &row)
        .message(format!("Agent updated: {}.", row.name))
        .before(&before.to_proto())
        .after(&row.to_proto());
    tx.record(caller, told).await?;
    tx.commit().await?;
    app.known.forget(row.id);
    app.work.notify_one();
    Ok(row.to_proto())
}

/// What an update says of an agent's board.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Stays,
    Nowhere,
    Board(Uuid),
}

/// Moves an agent between boards, as far as that is possible.
fn place(before: &AgentRow, after: &mut AgentRow, main: Option<bool>, board: Place) -> Result<()> {
    let is_main = before.board_id.is_none();
    match (main.unwrap_or(is_main), is_main) {
        (true, true) => return Ok(()),
        (true, false) => return Err(Error::conflict("The gateway has its main agent already.")),
        (false, true) if !matches!(board, Place::Board(_)) => {
            return Err(Error::unprocessable(
                "board_id is required when converting a gateway-main agent to board scope",
            ));
        }
        (false, true) => {
            return Err(Error::conflict(
                "A gateway cannot be without its main agent: create a worker on the board instead.",
            ));
        }
        (false, false) => {}
    }
    match board {
        Place::Stays => {}
        Place::Nowhere => {
            return Err(Error::unprocessable(
                "board_id cannot be null: an agent works on a board.",
            ));
        }
        Place::Board(id) => {
            if before.is_board_lead && before.board_id != Some(id) {
                return Err(Error::conflict("A board's lead cannot move to another board."));
            }
            after.board_id = Some(id);
        }
    }
    Ok(())
}

/// Whether an update leaves everything as it is.
fn same(before: &AgentRow, after: &AgentRow) -> bool {
    let fields = |row: &AgentRow| {
        (
            row.name.clone(),
            row.board_id,
            row.gateway_id,
            row.heartbeat_config.clone(),
            row.identity_profile.clone(),
            row.identity_template.clone(),
            row.soul_template.clone(),
        )
    };
    fields(before) == fields(after)
}

/// Remembers to remove an agent from the gateway it leaves.
pub async fn leave_behind(tx: &mut Tx, row: &AgentRow) -> Result<()> {
    sqlx::query!(
        "INSERT INTO agent.leftovers (id, organization_id, gateway_id, agent_key, session_key) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
        Uuid::now_v7(),
        row.organization_id,
        row.gateway_id,
        rules::agent_key_of(&row.session_key),
        row.session_key
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Gives an agent a new token. The old one stops working at once; the agent's files are written again.
pub async fn rotate(app: &App, caller: &Caller, agent: Uuid) -> Result<AgentRow> {
    let minted = token::mint()?;
    let sealed = token::seal(&app.sealer, agent, &minted)?;
    let mut tx = app.store.begin().await?;
    let row = agents!(
        "UPDATE agent.agents AS a SET token_key_id = $2, token_hash = $3, token_sealed = $4, desired_generation = a.desired_generation + 1, \
             next_attempt_at = now(), attempts = 0, updated_at = now() \
         WHERE a.id = $1 AND a.deleting_at IS NULL RETURNING",
        "",
        agent,
        minted.key_id,
        minted.hash,
        sealed
    )
    .fetch_optional(&mut *tx)
    .await?
    .ok_or_else(|| Error::new(Kind::Conflict, "The agent is being deleted."))?;
    let told = change("agent.token_rotated", &row)
        .message(format!("Token of agent {} replaced.", row.name))
        .after(&row.to_proto());
    tx.record(caller, told).await?;
    tx.commit().await?;
    app.known.forget(agent);
    app.work.notify_one();
    Ok(row)
}

/// Marks agents for removal. Their tokens stop working when the transaction commits; the reconciler does the rest.
pub async fn mark_deleting(app: &App, tx: &mut Tx, caller: &Caller, ids: &[Uuid]) -> Result<()> {
    let before = agents!(
        "SELECT",
        "FROM agent.agents AS a WHERE a.id = ANY($1) AND a.deleting_at IS NULL ORDER BY a.id FOR UPDATE",
        ids
    )
    .fetch_all(&mut **tx)
    .await?;
    let after = agents!(
        "UPDATE agent.agents AS a SET deleting_at = now(), status = 'deleting', shown_status = 'deleting', next_attempt_at = now(), \
             attempts = 0, updated_at = now() WHERE a.id = ANY($1) AND a.deleting_at IS NULL RETURNING",
        "",
        ids
    )
    .fetch_all(&mut **tx)
    .await?;
    sqlx::query!("UPDATE agent.messages SET state = 'failed', last_error = 'The agent is being deleted.', settled_at = now() WHERE agent_id = ANY($1) AND state = 'waiting'", ids)
        .execute(&mut **tx)
        .await?;
    for row in after {
        move_items(tx, caller, &row, "skipped", "The agent is being deleted.").await?;
        let mut told = change("agent.updated", &row)
            .message(format!("Deleting agent {}.", row.name))
            .after(&row.to_proto());
        if let Some(before) = before.iter().find(|before| before.id == row.id) {
            told = told.before(&before.to_proto());
        }
        tx.record(caller, told).await?;
        app.known.forget(row.id);
    }
    Ok(())
}

/// Has agents rendered again because something their files tell of changed.
pub async fn render_again(tx: &mut Tx, ids: &[Uuid]) -> Result<()> {
    sqlx::query!(
        "UPDATE agent.agents SET desired_generation = desired_generation + 1, next_attempt_at = now(), attempts = 0 \
         WHERE id = ANY($1) AND deleting_at IS NULL",
        ids
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}
