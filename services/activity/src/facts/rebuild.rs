//! The facts made anew from the log.

use chassis::{Result, Store, Tx, timestamp};
use prost_types::Any;
use proto::event::v1::Event;
use time::OffsetDateTime;
use transcoder::Catalog;
use uuid::Uuid;

use super::{Told, follow, write};

/// Entries read at once.
const PAGE: i64 = 500;

struct Row {
    position: i64,
    event_type: String,
    message: String,
    agent_id: Option<Uuid>,
    task_id: Option<Uuid>,
    board_id: Option<Uuid>,
    gateway_id: Option<Uuid>,
    before: Option<String>,
    after: Option<String>,
    created_at: OffsetDateTime,
}

/// Makes the facts of an organization anew, in one transaction that holds the end of its log, so that nothing is written meanwhile.
/// Answers how many entries were read.
pub async fn rebuild(store: &Store, catalog: &Catalog, organization: Uuid) -> Result<u64> {
    let mut tx = store.begin().await?;
    sqlx::query!(
        "SELECT position FROM activity.heads WHERE organization_id = $1 FOR UPDATE",
        organization
    )
    .fetch_optional(&mut *tx)
    .await?;
    write::forget(&mut tx, &[organization]).await?;
    let (mut after, mut count) = (0, 0);
    loop {
        let rows = page(&mut tx, organization, after).await?;
        let Some(last) = rows.last() else { break };
        after = last.position;
        count += rows.len() as u64;
        let events: Vec<(Event, OffsetDateTime)> =
            rows.iter().map(|row| (row.event(catalog), row.created_at)).collect();
        let told: Vec<Told<'_>> = events
            .iter()
            .map(|(event, at)| Told {
                event,
                organization,
                at: *at,
            })
            .collect();
        follow(&mut tx, &told).await?;
    }
    // Versions were counted in the log; the services' own positions follow from the next event on.
    for statement in [
        "UPDATE activity.boards SET version = 0 WHERE organization_id = $1",
        "UPDATE activity.tasks SET version = 0 WHERE organization_id = $1",
        "UPDATE activity.agents SET version = 0 WHERE organization_id = $1",
        "UPDATE activity.gateways SET version = 0 WHERE organization_id = $1",
        "UPDATE activity.approvals SET version = 0 WHERE organization_id = $1",
        "INSERT INTO activity.task_events \
           SELECT board_id, step, date_trunc(step, created_at, 'UTC'), count(*), count(*) FILTER (WHERE event_type LIKE '%failed') \
           FROM activity.events CROSS JOIN (VALUES ('hour'), ('day')) AS steps (step) \
           WHERE organization_id = $1 AND task_id IS NOT NULL AND board_id IS NOT NULL GROUP BY 1, 2, 3 \
         ON CONFLICT (board_id, step, at) DO UPDATE SET total = EXCLUDED.total, failed = EXCLUDED.failed",
    ] {
        sqlx::query(statement).bind(organization).execute(&mut *tx).await?;
    }
    tx.commit().await?;
    Ok(count)
}

async fn page(tx: &mut Tx, organization: Uuid, after: i64) -> Result<Vec<Row>> {
    Ok(sqlx::query_as!(
        Row,
        "SELECT position, event_type, message, agent_id, task_id, board_id, gateway_id, before, after, created_at \
         FROM activity.events WHERE organization_id = $1 AND position > $2 ORDER BY position LIMIT $3",
        organization,
        after,
        PAGE
    )
    .fetch_all(&mut **tx)
    .await?)
}

impl Row {
    /// The event, as far as facts need it.
    fn event(&self, catalog: &Catalog) -> Event {
        let id = |id: Option<Uuid>| id.map(|id| id.to_string()).unwrap_or_default();
        let name = resource_of(&self.event_type);
        let pack = |json: Option<&String>| {
            let (json, name) = (json?, name?);
            let shape = catalog.shape(name)?;
            match shape.read_json(json.as_bytes()) {
                Ok(value) => Some(Any {
                    type_url: format!("type.googleapis.com/{name}"),
                    value,
                }),
                Err(problems) => {
                    tracing::warn!(
                        position = self.position,
                        kind = self.event_type,
                        ?problems,
                        "an entry of the log cannot be read"
                    );
                    None
                }
            }
        };
        Event {
            r#type: self.event_type.clone(),
            message: self.message.clone(),
            agent_id: id(self.agent_id),
            task_id: id(self.task_id),
            board_id: id(self.board_id),
            gateway_id: id(self.gateway_id),
            time: Some(timestamp(self.created_at)),
            before: pack(self.before.as_ref()),
            after: pack(self.after.as_ref()),
            position: self.position,
            ..Event::default()
        }
    }
}

/// The message that events of a kind carry; the log keeps its JSON alone.
fn resource_of(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "board.created" | "board.updated" | "board.deleted" => "missioncontrol.board.v1.Board",
        "task.created" | "task.updated" | "task.status_changed" | "task.deleted" => "missioncontrol.board.v1.Task",
        "gateway.connection_changed" => "missioncontrol.gateway.v1.GatewayConnection",
        "gateway.created" | "gateway.updated" | "gateway.deleted" => "missioncontrol.gateway.v1.Gateway",
        kind if kind.starts_with("agent.") => "missioncontrol.agent.v1.Agent",
        kind if kind.starts_with("approval.") => "missioncontrol.approval.v1.Approval",
        _ => return None,
    })
}
