//! Leads of boards: found, or made when there is none.

use std::collections::HashMap;

use chassis::{Caller, Error, Result, identity::uuid_of};
use proto::board::v1::Board;
use serde_json::Value;
use uuid::Uuid;

use crate::{
    app::{App, found},
    create::{self, NewAgent, gateway_of},
    row::{AgentRow, agents},
    rules,
};

/// The lead of a board.
pub async fn of_board(app: &App, board: Uuid) -> Result<Option<AgentRow>> {
    Ok(agents!(
        "SELECT",
        "FROM agent.agents AS a WHERE a.board_id = $1 AND a.is_board_lead AND a.deleting_at IS NULL",
        board
    )
    .fetch_optional(app.store.pool())
    .await?)
}

/// The leads of boards, by board; boards without one are left out.
pub async fn of_boards(app: &App, boards: &[Uuid]) -> Result<HashMap<Uuid, AgentRow>> {
    let rows = agents!(
        "SELECT",
        "FROM agent.agents AS a WHERE a.board_id = ANY($1) AND a.is_board_lead AND a.deleting_at IS NULL",
        boards
    )
    .fetch_all(app.store.pool())
    .await?;
    Ok(rows.into_iter().filter_map(|row| Some((row.board_id?, row))).collect())
}

/// The main agent of a gateway.
pub async fn main_of(app: &App, gateway: Uuid) -> Result<Option<AgentRow>> {
    Ok(agents!(
        "SELECT",
        "FROM agent.agents AS a WHERE a.gateway_id = $1 AND a.board_id IS NULL AND a.deleting_at IS NULL",
        gateway
    )
    .fetch_optional(app.store.pool())
    .await?)
}

/// The lead of a board, and whether it was made now. One that is there stays as it is.
pub async fn ensure(
    app: &App,
    caller: &Caller,
    board_id: Uuid,
    name: &str,
    profile: Option<Value>,
) -> Result<(AgentRow, bool)> {
    if let Some(row) = of_board(app, board_id).await? {
        return Ok((row, false));
    }
    let board = found(app.board(board_id).await)?.ok_or_else(|| Error::not_found("Board not found"))?;
    let organization = uuid_of(&board.organization_id)?;
    let name = if name.trim().is_empty() {
        default_name(&board)
    } else {
        name.to_owned()
    };
    let new = NewAgent {
        organization,
        gateway: gateway_of(app, organization, &board).await?,
        board: Some(board),
        name: create::name_of(&name)?,
        is_lead: true,
        heartbeat_config: None,
        identity_profile: Some(profile.unwrap_or_else(rules::lead_profile)),
        identity_template: None,
        soul_template: None,
        quota: false,
    };
    match create::create(app, caller, new).await {
        Ok(row) => Ok((row, true)),
        // Somebody else made it meanwhile.
        Err(error) => of_board(app, board_id).await?.map(|row| (row, false)).ok_or(error),
    }
}

/// Names are unique on a gateway, so that a lead is named after its board.
fn default_name(board: &Board) -> String {
    let name: String = board.name.chars().filter(|c| !c.is_control()).take(190).collect();
    format!("{name} Lead")
}
