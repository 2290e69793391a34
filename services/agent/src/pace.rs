//! One heartbeat interval for all agents of a group of boards.

use std::collections::{BTreeMap, BTreeSet};

use chassis::{Caller, Error, Result, identity::uuid_of};
use futures::future::join_all;
use proto::{
    agent::v1::{ApplyBoardGroupHeartbeatRequest, ApplyBoardGroupHeartbeatResponse},
    board::v1::LookupBoardGroupResponse,
    identity::v1::PrincipalKind,
};
use serde_json::json;
use uuid::Uuid;

use crate::{
    app::App,
    presence::change,
    provision,
    row::{AgentRow, agents},
    rules,
};

/// Refuses callers that may not set the pace of a group: people need a right to write one of its boards, leads lead one of them.
fn may_set(caller: &Caller, organization: Uuid, boards: &[Uuid]) -> Result<()> {
    if caller.organization()? != organization {
        return Err(Error::denied("No org access"));
    }
    let allowed = match caller.kind() {
        PrincipalKind::Agent => caller.agent_board().is_some_and(|own| boards.contains(&own)),
        _ => {
            boards.is_empty()
                || boards
                    .iter()
                    .any(|board| caller.may_write_board(organization, *board).is_ok())
        }
    };
    if allowed {
        Ok(())
    } else {
        Err(Error::denied(
            "Only leads of the group's boards and people who may write one of them can set its pace.",
        ))
    }
}

fn boards_of(group: &LookupBoardGroupResponse) -> Vec<Uuid> {
    group
        .boards
        .iter()
        .filter_map(|board| Uuid::parse_str(&board.id).ok())
        .collect()
}

/// Sets the interval of the group's agents. The gateways follow; agents of those that cannot be reached now are named.
pub async fn apply(
    app: &App,
    caller: &Caller,
    request: ApplyBoardGroupHeartbeatRequest,
) -> Result<ApplyBoardGroupHeartbeatResponse> {
    let group = app
        .board_group(&request.group_id)
        .await?
        .ok_or_else(|| Error::not_found("Board group not found"))?;
    let organization = group
        .group
        .as_ref()
        .map(|group| uuid_of(&group.organization_id))
        .transpose()?;
    let organization = organization.ok_or_else(|| Error::not_found("Board group not found"))?;
    let boards = boards_of(&group);
    may_set(caller, organization, &boards)?;
    let every = request.every.trim();
    if !rules::is_interval(&json!(every)) {
        return Err(Error::invalid(
            "every",
            "every must be an interval such as 30s, 10m or 1h; 0m switches heartbeats off.",
        ));
    }
    let leads = request.include_board_leads.unwrap_or(false);
    let pace = json!({"every": every, "target": "last"});
    let mut tx = app.store.begin().await?;
    let before = agents!(
        "SELECT",
        "FROM agent.agents AS a WHERE a.board_id = ANY($1) AND a.organization_id = $2 AND a.deleting_at IS NULL AND ($3 OR NOT a.is_board_lead) \
         ORDER BY a.id FOR UPDATE",
        &boards,
        organization,
        leads
    )
    .fetch_all(&mut *tx)
    .await?;
    let ids: Vec<Uuid> = before.iter().map(|row| row.id).collect();
    let after = agents!(
        "UPDATE agent.agents AS a SET heartbeat_config = $2::jsonb || coalesce(a.heartbeat_config, '{}') || $3, heartbeat_seconds = $4, \
             desired_generation = a.desired_generation + 1, next_attempt_at = now(), attempts = 0, updated_at = now() \
         WHERE a.id = ANY($1) RETURNING",
        "",
        &ids,
        rules::effective_heartbeat(None),
        pace,
        rules::heartbeat_seconds(Some(&pace))
    )
    .fetch_all(&mut *tx)
    .await?;
    let old: BTreeMap<Uuid, &AgentRow> = before.iter().map(|row| (row.id, row)).collect();
    let events: Vec<_> = after
        .iter()
        .map(|row| {
            let told = change("agent.updated", row)
                .message(format!("Heartbeat of {} set to {every}.", row.name))
                .after(&row.to_proto());
            match old.get(&row.id) {
                Some(before) => told.before(&before.to_proto()),
                None => told,
            }
            .into_event(caller)
        })
        .collect();
    if !events.is_empty() {
        tx.record_events(&events).await?;
    }
    tx.commit().await?;
    app.work.notify_one();

    let gateways: BTreeSet<Uuid> = after.iter().map(|row| row.gateway_id).collect();
    let looked = join_all(
        gateways
            .into_iter()
            .map(|gateway| async move { (gateway, provision::connected(app, organization, gateway).await.is_ok()) }),
    )
    .await;
    let away: BTreeSet<Uuid> = looked
        .into_iter()
        .filter(|(_, there)| !there)
        .map(|(id, _)| id)
        .collect();
    Ok(ApplyBoardGroupHeartbeatResponse {
        board_group_id: uuid_of(&request.group_id)?.to_string(),
        requested: json!({"every": every, "include_board_leads": leads})
            .to_string()
            .into_bytes(),
        updated_agent_ids: after.iter().map(|row| row.id.to_string()).collect(),
        failed_agent_ids: after
            .iter()
            .filter(|row| away.contains(&row.gateway_id))
            .map(|row| row.id.to_string())
            .collect(),
    })
}
