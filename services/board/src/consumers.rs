//! What follows here when something elsewhere is gone.

use std::sync::Arc;

use chassis::{Caller, Change, Result, Tx, bus::Handler, identity::Signer, outbox::unpack};
use proto::{agent::v1::Agent, event::v1::Event};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    boards, inbound,
    rules::Status,
    tasks::{rows_by_id, rows_of_agents},
};

/// Agents, gateways and organizations that are gone: their tasks go back, their webhooks tell the lead, their boards lose the gateway, or go too.
/// An agent that moved to another board is gone from the one it left.
pub struct Departures {
    signer: Signer,
    base_url: Arc<str>,
}

impl Departures {
    /// `signer` makes the caller that the resulting events name; webhooks in them are reached at `base_url`.
    pub fn new(signer: Signer, base_url: Arc<str>) -> Self {
        Self { signer, base_url }
    }

    fn caller(&self) -> Caller {
        Caller::service(&self.signer, crate::SCHEMA.name, None)
    }
}

#[async_trait::async_trait]
impl Handler for Departures {
    async fn handle(&self, tx: &mut Tx, events: &[Event]) -> Result<()> {
        let gone = |kind: &str, id: fn(&Event) -> &String| -> Vec<Uuid> {
            events
                .iter()
                .filter(|event| event.r#type == kind)
                .filter_map(|event| Uuid::parse_str(id(event)).ok())
                .collect()
        };
        let organizations = gone("organization.deleted", |event| &event.organization_id);
        let gateways = gone("gateway.deleted", |event| &event.gateway_id);
        let agents = gone("agent.deleted", |event| &event.agent_id);
        let mut follows = Vec::new();
        if !organizations.is_empty() || !gateways.is_empty() {
            follows.extend(self.leave_boards(tx, &organizations, &gateways).await?);
        }
        if !agents.is_empty() {
            follows.extend(self.leave_agents(tx, &agents, None).await?);
        }
        for (agent, board) in events.iter().filter_map(moved) {
            follows.extend(self.leave_agents(tx, &[agent], Some(board)).await?);
        }
        if !follows.is_empty() {
            tx.record_events(&follows).await?;
        }
        Ok(())
    }
}

/// An agent that was moved to another board, with the board it left.
fn moved(event: &Event) -> Option<(Uuid, Uuid)> {
    if event.r#type != "agent.updated" {
        return None;
    }
    let before = unpack::<Agent>(event.before.as_ref())?;
    let after = unpack::<Agent>(event.after.as_ref())?;
    let left = before.board_id.filter(|board| after.board_id.as_ref() != Some(board))?;
    Some((Uuid::parse_str(&before.id).ok()?, Uuid::parse_str(&left).ok()?))
}

impl Departures {
    /// Boards, tags, custom fields and groups of organizations that are gone go too; boards of a gateway that is gone stay without one.
    async fn leave_boards(&self, tx: &mut Tx, organizations: &[Uuid], gateways: &[Uuid]) -> Result<Vec<Event>> {
        let caller = self.caller();
        let (gone, left): (Vec<_>, Vec<_>) = boards::of_owners(tx, organizations, gateways)
            .await?
            .into_iter()
            .partition(|row| organizations.contains(&row.organization()));
        let mut events = Vec::new();
        if !gone.is_empty() {
            let ids: Vec<Uuid> = gone.iter().map(boards::BoardRow::id).collect();
            boards::remove(tx, &ids).await?;
        }
        sqlx::query!("DELETE FROM board.tags WHERE organization_id = ANY($1)", organizations)
            .execute(&mut **tx)
            .await?;
        sqlx::query!(
            "DELETE FROM board.custom_fields WHERE organization_id = ANY($1)",
            organizations
        )
        .execute(&mut **tx)
        .await?;
        sqlx::query!(
            "DELETE FROM board.board_groups WHERE organization_id = ANY($1)",
            organizations
        )
        .execute(&mut **tx)
        .await?;
        for row in gone {
            let change = row.change("board.deleted", format!("Board deleted: {}.", row.name()));
            events.push(change.before(&row.message()).into_event(&caller));
        }
        if !left.is_empty() {
            let now = OffsetDateTime::now_utc();
            sqlx::query!(
                "UPDATE board.boards SET gateway_id = NULL, updated_at = $2, revision = revision + 1 WHERE gateway_id = ANY($1)",
                gateways,
                now
            )
            .execute(&mut **tx)
            .await?;
            for row in left {
                let after = row.without_gateway(now);
                let change = row.change("board.updated", format!("Board updated: {}.", row.name()));
                events.push(
                    change
                        .before(&row.message())
                        .after(&after.message())
                        .into_event(&caller),
                );
            }
        }
        Ok(events)
    }

    /// What agents leave behind that are gone, from everywhere or from one board.
    async fn leave_agents(&self, tx: &mut Tx, agents: &[Uuid], board: Option<Uuid>) -> Result<Vec<Event>> {
        let mut events = self.return_tasks(tx, agents, board).await?;
        events.extend(inbound::leave_agents(tx, &self.caller(), &self.base_url, agents, board).await?);
        Ok(events)
    }

    /// Tasks of agents that are gone: work in progress goes back to the inbox, everything else keeps its status; nobody has them.
    async fn return_tasks(&self, tx: &mut Tx, agents: &[Uuid], board: Option<Uuid>) -> Result<Vec<Event>> {
        sqlx::query!(
            "UPDATE board.tasks SET last_worker_id = NULL, revision = revision + 1 \
             WHERE last_worker_id = ANY($1) AND ($2::uuid IS NULL OR board_id = $2)",
            agents,
            board
        )
        .execute(&mut **tx)
        .await?;
        let before = rows_of_agents(tx, agents, board).await?;
        if before.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<Uuid> = before.iter().map(|row| row.id).collect();
        sqlx::query!(
            "UPDATE board.tasks SET assigned_agent_id = NULL, \
               status = CASE status WHEN 'in_progress' THEN 'inbox' ELSE status END, \
               previous_in_progress_at = CASE status WHEN 'in_progress' THEN in_progress_at ELSE previous_in_progress_at END, \
               in_progress_at = CASE status WHEN 'in_progress' THEN NULL ELSE in_progress_at END, \
               revision = revision + 1, updated_at = $2 \
             WHERE id = ANY($1)",
            &ids,
            OffsetDateTime::now_utc()
        )
        .execute(&mut **tx)
        .await?;
        let after = rows_by_id(tx, &ids).await?;
        let caller = self.caller();
        let events = before.iter().filter_map(|old| {
            let new = after.iter().find(|row| row.id == old.id)?;
            let (kind, message) = if old.status() == Status::InProgress {
                ("task.status_changed", format!("Task moved to inbox: {}.", new.title))
            } else {
                ("task.updated", format!("Task updated: {}.", new.title))
            };
            let change = Change::new(kind, new.organization_id)
                .board(new.board_id)
                .task(new.id)
                .message(message);
            Some(change.before(&old.message()).after(&new.message()).into_event(&caller))
        });
        Ok(events.collect())
    }
}

#[cfg(test)]
mod tests {
    use chassis::outbox::pack;

    use super::*;

    #[test]
    fn an_agent_leaves_a_board_by_moving_to_another() {
        let (id, one, other) = (Uuid::from_u128(1), Uuid::from_u128(2), Uuid::from_u128(3));
        let agent = |board: Option<Uuid>| {
            Some(pack(&Agent {
                id: id.to_string(),
                board_id: board.map(|board| board.to_string()),
                ..Agent::default()
            }))
        };
        for (kind, before, after, expected) in [
            ("agent.updated", agent(Some(one)), agent(Some(other)), Some((id, one))),
            ("agent.updated", agent(Some(one)), agent(None), Some((id, one))),
            ("agent.updated", agent(Some(one)), agent(Some(one)), None),
            ("agent.updated", agent(None), agent(Some(one)), None),
            ("agent.updated", None, agent(Some(one)), None),
            ("agent.created", agent(Some(one)), agent(Some(other)), None),
        ] {
            let event = Event {
                r#type: kind.to_owned(),
                before,
                after,
                ..Event::default()
            };
            assert_eq!(moved(&event), expected, "{event:?}");
        }
    }
}
