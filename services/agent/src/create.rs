//! Making agents: the checks, the row, the token and the event. The gateway work follows in the reconciler.

use chassis::{Caller, Error, Result, Tx, error::Kind, identity::uuid_of, store::violates};
use proto::{board::v1::Board, gateway::v1::Gateway, org::v1::User};
use secrecy::ExposeSecret;
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    app::App,
    presence::change,
    render::Scene,
    row::{AgentRow, Wishes, agents},
    rules::{self, Seat},
    token,
};

/// An agent to be made.
pub struct NewAgent {
    /// Its organization.
    pub organization: Uuid,
    /// Its board; `None` for a gateway's main agent.
    pub board: Option<Board>,
    /// Its gateway.
    pub gateway: Gateway,
    /// Display name.
    pub name: String,
    /// It leads its board.
    pub is_lead: bool,
    /// How often the gateway wakes it.
    pub heartbeat_config: Option<Value>,
    /// Who it is.
    pub identity_profile: Option<Value>,
    /// Its own IDENTITY.md.
    pub identity_template: Option<String>,
    /// Its own SOUL.md.
    pub soul_template: Option<String>,
    /// Refuse when the board has as many workers as it allows.
    pub quota: bool,
}

/// The gateway that a board's agents run on; what is missing is told as the board's fault.
pub async fn gateway_of(app: &App, organization: Uuid, board: &Board) -> Result<Gateway> {
    let id = board
        .gateway_id
        .as_deref()
        .ok_or_else(|| Error::unprocessable("Board gateway_id is required"))?;
    let gateway = match app.gateway(organization, uuid_of(id)?).await {
        Err(error) if error.kind() == Kind::NotFound => Err(Error::unprocessable("Board gateway_id is invalid")),
        answer => answer,
    }?;
    if gateway.workspace_root.trim().is_empty() {
        return Err(Error::unprocessable("Gateway workspace_root is required"));
    }
    if gateway.url.trim().is_empty() {
        return Err(Error::unprocessable("Gateway url is required"));
    }
    Ok(gateway)
}

/// A name as it is stored.
pub fn name_of(given: &str) -> Result<String> {
    let name = given.trim();
    match () {
        () if name.is_empty() => Err(Error::invalid("name", "name must not be blank.")),
        () if name.chars().count() > 200 => Err(Error::invalid("name", "name must have at most 200 characters.")),
        // Names stand in files that are read line by line.
        () if name.chars().any(char::is_control) => Err(Error::invalid(
            "name",
            "name must be one line without control characters.",
        )),
        () => Ok(name.to_owned()),
    }
}

/// A JSON object of a request.
pub fn object(field: &str, bytes: Option<&[u8]>) -> Result<Option<Value>> {
    let Some(bytes) = bytes else { return Ok(None) };
    match serde_json::from_slice(bytes) {
        Ok(value @ Value::Object(_)) => Ok(Some(value)),
        Ok(Value::Null) => Ok(None),
        _ => Err(Error::invalid(field, format!("{field} must be a JSON object."))),
    }
}

/// A heartbeat configuration of a request.
pub fn heartbeat(bytes: Option<&[u8]>) -> Result<Option<Value>> {
    let config = object("heartbeat_config", bytes)?;
    if let Some(every) = config.as_ref().and_then(|config| config.get("every"))
        && !rules::is_interval(every)
    {
        return Err(Error::invalid(
            "heartbeat_config",
            "heartbeat_config.every must be an interval such as 30s, 10m or 1h; 0m switches heartbeats off.",
        ));
    }
    Ok(config)
}

/// What a broken constraint means.
pub fn conflict(error: sqlx::Error) -> Error {
    let known = [
        (
            "agents_board_name_key",
            "An agent with this name already exists on this board.",
        ),
        (
            "agents_gateway_name_key",
            "An agent with this name already exists in this gateway workspace.",
        ),
        ("agents_main_key", "The gateway has its main agent already."),
        ("agents_lead_key", "The board has its lead already."),
        (
            "agents_session_key",
            "The agent that had this place is still being removed. Try again in a moment.",
        ),
    ];
    known
        .iter()
        .find(|(constraint, _)| violates(&error, constraint))
        .map_or_else(|| error.into(), |(_, text)| Error::conflict(*text))
}

/// Makes an agent and answers it. Conflict: name, place or quota is taken. Invalid: a template cannot be rendered.
pub async fn create(app: &App, caller: &Caller, new: NewAgent) -> Result<AgentRow> {
    let mut tx = app.store.begin().await?;
    let row = insert(app, &mut tx, caller, new).await?;
    tx.commit().await?;
    app.work.notify_one();
    Ok(row)
}

/// [`create`] inside a transaction.
pub async fn insert(app: &App, tx: &mut Tx, caller: &Caller, new: NewAgent) -> Result<AgentRow> {
    let id = Uuid::now_v7();
    let gateway_id = uuid_of(&new.gateway.id)?;
    let board_id = new.board.as_ref().map(|board| uuid_of(&board.id)).transpose()?;
    let minted = token::mint()?;
    let sealed = token::seal(&app.sealer, id, &minted)?;
    let now = OffsetDateTime::now_utc();
    let heartbeat_config = new.heartbeat_config.unwrap_or_else(|| rules::effective_heartbeat(None));
    let draft = AgentRow {
        id,
        organization_id: new.organization,
        gateway_id,
        board_id,
        name: new.name,
        status: "provisioning".into(),
        shown_status: "provisioning".into(),
        is_board_lead: new.is_lead,
        heartbeat_seconds: rules::heartbeat_seconds(Some(&heartbeat_config)),
        heartbeat_config: Some(heartbeat_config),
        identity_profile: rules::profile(new.identity_profile.as_ref()),
        identity_template: rules::template(new.identity_template),
        soul_template: rules::template(new.soul_template),
        session_key: Seat::of(id, gateway_id, board_id, new.is_lead).session_key(),
        last_seen_at: None,
        desired_generation: 1,
        observed_generation: 0,
        wishes: Wishes {
            wake: true,
            overwrite: true,
            bootstrap: true,
            ..Wishes::default()
        }
        .json(),
        conditions: Value::Array(Vec::new()),
        applied_digest: None,
        next_attempt_at: Some(now),
        attempts: 0,
        last_failure: None,
        wake_attempts: 0,
        last_wake_at: None,
        deleting_at: None,
        created_at: now,
        updated_at: now,
    };
    app.renderer.check(&Scene {
        agent: &draft,
        board: new.board.as_ref(),
        gateway: &new.gateway,
        owner: &User::default(),
        base_url: &app.base_url,
        token: minted.raw.expose_secret(),
        soul: None,
    })?;

    if let (true, Some(board)) = (new.quota, &new.board) {
        // Two leads' requests at once would both see room: one of them waits here.
        sqlx::query!(
            "SELECT pg_advisory_xact_lock(hashtextextended('agent quota ' || $1::text, 0))",
            board.id
        )
        .execute(&mut **tx)
        .await?;
        let workers = sqlx::query_scalar!(
            r#"SELECT count(*) AS "count!" FROM agent.agents WHERE board_id = $1 AND NOT is_board_lead AND deleting_at IS NULL"#,
            board_id
        )
        .fetch_one(&mut **tx)
        .await?;
        if let Some(refusal) = rules::quota_refusal(workers, board.max_agents) {
            return Err(Error::conflict(refusal));
        }
    }
    let row = agents!(
        "INSERT INTO agent.agents AS a (id, organization_id, gateway_id, board_id, name, is_board_lead, heartbeat_config, heartbeat_seconds, \
             identity_profile, identity_template, soul_template, session_key, token_key_id, token_hash, token_sealed, wishes, next_attempt_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, now()) RETURNING",
        "",
        draft.id,
        draft.organization_id,
        draft.gateway_id,
        draft.board_id,
        draft.name,
        draft.is_board_lead,
        draft.heartbeat_config,
        draft.heartbeat_seconds,
        draft.identity_profile,
        draft.identity_template,
        draft.soul_template,
        draft.session_key,
        minted.key_id,
        minted.hash,
        sealed,
        draft.wishes
    )
    .fetch_one(&mut **tx)
    .await
    .map_err(conflict)?;
    tx.record(
        caller,
        change("agent.created", &row)
            .message(format!("Agent created: {}.", row.name))
            .after(&row.to_proto()),
    )
    .await?;
    Ok(row)
}
