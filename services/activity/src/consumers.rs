//! What this service does with the events of all: it logs them, and makes deliveries for the subscriptions that want them.

use std::collections::{BTreeMap, HashMap};

use async_trait::async_trait;
use chassis::{Result, Tx, bus::Handler, moment};
use prost_types::Any;
use proto::event::v1::Event;
use serde_json::value::RawValue;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use transcoder::Catalog;
use uuid::Uuid;

use crate::{State, rules};

/// Writes the log and the deliveries.
pub struct Log(pub State);

#[async_trait]
impl Handler for Log {
    async fn handle(&self, tx: &mut Tx, events: &[Event]) -> Result<()> {
        // Events without an organization (a person signed up) belong to nobody's log.
        let events: Vec<Entry<'_>> = events
            .iter()
            .filter_map(|event| Entry::of(event, &self.0.context.catalog))
            .collect();
        if events.is_empty() {
            return Ok(());
        }
        append(tx, &events).await?;
        if deliver(tx, &events).await? > 0 {
            tx.wake_on_commit(&self.0.due);
        }
        Ok(())
    }
}

/// An event with what the log keeps of it.
struct Entry<'a> {
    event: &'a Event,
    id: Uuid,
    organization: Uuid,
    created_at: OffsetDateTime,
    before: Option<String>,
    after: Option<String>,
}

impl<'a> Entry<'a> {
    fn of(event: &'a Event, catalog: &Catalog) -> Option<Self> {
        Some(Self {
            event,
            id: Uuid::parse_str(&event.id).ok()?,
            organization: Uuid::parse_str(&event.organization_id).ok()?,
            created_at: event
                .time
                .as_ref()
                .and_then(|at| moment(at).ok())
                .unwrap_or_else(OffsetDateTime::now_utc),
            before: json(catalog, event.before.as_ref()),
            after: json(catalog, event.after.as_ref()),
        })
    }
}

/// A resource as REST shows it.
pub fn json(catalog: &Catalog, any: Option<&Any>) -> Option<String> {
    let any = any?;
    let shape = catalog.shape(any.type_url.rsplit('/').next()?)?;
    let mut out = Vec::with_capacity(512);
    if let Err(error) = shape.write_json(&any.value, &mut out) {
        tracing::error!(%error, kind = any.type_url, "an event's resource cannot be read");
        return None;
    }
    String::from_utf8(out).ok()
}

async fn append(tx: &mut Tx, entries: &[Entry<'_>]) -> Result<()> {
    let mut counts: BTreeMap<Uuid, i64> = BTreeMap::new();
    for entry in entries {
        *counts.entry(entry.organization).or_default() += 1;
    }
    let organizations: Vec<Uuid> = counts.keys().copied().collect();
    let numbers: Vec<i64> = counts.values().copied().collect();
    let heads = sqlx::query!(
        "INSERT INTO activity.heads AS heads (organization_id, position) SELECT * FROM unnest($1::uuid[], $2::bigint[]) \
         ON CONFLICT (organization_id) DO UPDATE SET position = heads.position + EXCLUDED.position \
         RETURNING organization_id, position",
        &organizations,
        &numbers
    )
    .fetch_all(&mut **tx)
    .await?;
    let mut next: HashMap<Uuid, i64> = heads
        .into_iter()
        .map(|head| (head.organization_id, head.position - counts[&head.organization_id]))
        .collect();
    let positions: Vec<i64> = entries
        .iter()
        .map(|entry| {
            let position = next.entry(entry.organization).or_default();
            *position += 1;
            *position
        })
        .collect();
    let text = |get: fn(&Event) -> &str| {
        entries
            .iter()
            .map(|entry| get(entry.event).to_owned())
            .collect::<Vec<String>>()
    };
    let id = |get: fn(&Event) -> &str| {
        entries
            .iter()
            .map(|entry| Uuid::parse_str(get(entry.event)).ok())
            .collect::<Vec<Option<Uuid>>>()
    };
    let actor = |get: fn(&proto::event::v1::Actor) -> &str| {
        entries
            .iter()
            .map(|entry| {
                entry
                    .event
                    .actor
                    .as_ref()
                    .map(|actor| get(actor).to_owned())
                    .unwrap_or_default()
            })
            .collect::<Vec<String>>()
    };
    sqlx::query!(
        "INSERT INTO activity.events (id, organization_id, position, event_type, message, actor_type, actor_id, actor_name, agent_id, task_id, board_id, gateway_id, request_id, before, after, created_at) \
         SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::uuid[], $10::uuid[], $11::uuid[], $12::uuid[], $13::text[], $14::text[], $15::text[], $16::timestamptz[])",
        &entries.iter().map(|entry| entry.id).collect::<Vec<_>>(),
        &entries.iter().map(|entry| entry.organization).collect::<Vec<_>>(),
        &positions,
        &text(|event| &event.r#type),
        &text(|event| &event.message),
        &actor(|actor| &actor.kind),
        &actor(|actor| &actor.id),
        &actor(|actor| &actor.name),
        &id(|event| &event.agent_id) as &[Option<Uuid>],
        &id(|event| &event.task_id) as &[Option<Uuid>],
        &id(|event| &event.board_id) as &[Option<Uuid>],
        &id(|event| &event.gateway_id) as &[Option<Uuid>],
        &text(|event| &event.request_id),
        &entries.iter().map(|entry| entry.before.clone()).collect::<Vec<_>>() as &[Option<String>],
        &entries.iter().map(|entry| entry.after.clone()).collect::<Vec<_>>() as &[Option<String>],
        &entries.iter().map(|entry| entry.created_at).collect::<Vec<_>>(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Makes a delivery for every subscription that wants an event; answers how many.
async fn deliver(tx: &mut Tx, entries: &[Entry<'_>]) -> Result<usize> {
    let organizations: Vec<Uuid> = entries.iter().map(|entry| entry.organization).collect();
    let webhooks = sqlx::query!(
        "SELECT id, organization_id, event_types, board_id FROM activity.webhooks WHERE enabled AND organization_id = ANY($1)",
        &organizations
    )
    .fetch_all(&mut **tx)
    .await?;
    let (mut ids, mut hooks, mut events, mut types, mut payloads) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for entry in entries {
        let mut body = None;
        for webhook in webhooks
            .iter()
            .filter(|webhook| webhook.organization_id == entry.organization)
        {
            let board = webhook.board_id.map(|id| id.to_string());
            if rules::subscribes(&webhook.event_types, board.as_deref(), entry.event) {
                ids.push(Uuid::now_v7());
                hooks.push(webhook.id);
                events.push(entry.id);
                types.push(entry.event.r#type.clone());
                payloads.push(body.get_or_insert_with(|| payload(entry)).clone());
            }
        }
    }
    if ids.is_empty() {
        return Ok(0);
    }
    sqlx::query!(
        "INSERT INTO activity.deliveries (id, webhook_id, event_id, event_type, payload, status, next_attempt_at, created_at) \
         SELECT new.id, new.webhook_id, new.event_id, new.event_type, new.payload, 'pending', now(), now() \
         FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[]) AS new (id, webhook_id, event_id, event_type, payload) \
         ON CONFLICT ON CONSTRAINT deliveries_once DO NOTHING",
        &ids,
        &hooks,
        &events,
        &types,
        &payloads,
    )
    .execute(&mut **tx)
    .await?;
    Ok(ids.len())
}

/// What happened, with resources passed through as they are.
#[derive(serde::Serialize)]
struct Data {
    id: String,
    organization_id: String,
    board_id: Option<String>,
    task_id: Option<String>,
    agent_id: Option<String>,
    gateway_id: Option<String>,
    message: String,
    actor: serde_json::Value,
    request_id: String,
    before: Option<Box<RawValue>>,
    after: Option<Box<RawValue>>,
}
/// A delivery's body; a struct keeps the order of its keys.
#[derive(serde::Serialize)]
struct Body {
    r#type: String,
    timestamp: String,
    data: Data,
}

/// The body of a delivery, in the form of <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>.
fn payload(entry: &Entry<'_>) -> String {
    let event = entry.event;
    let optional = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let raw = |json: &Option<String>| json.clone().and_then(|json| RawValue::from_string(json).ok());
    let actor = event.actor.clone().unwrap_or_default();
    let body = Body {
        r#type: event.r#type.clone(),
        timestamp: entry.created_at.format(&Rfc3339).unwrap_or_default(),
        data: Data {
            id: event.id.clone(),
            organization_id: event.organization_id.clone(),
            board_id: optional(&event.board_id),
            task_id: optional(&event.task_id),
            agent_id: optional(&event.agent_id),
            gateway_id: optional(&event.gateway_id),
            message: event.message.clone(),
            actor: serde_json::json!({"type": actor.kind, "id": actor.id, "name": actor.name}),
            request_id: event.request_id.clone(),
            before: raw(&entry.before),
            after: raw(&entry.after),
        },
    };
    // Strings, and JSON that was valid when it came in: this cannot fail.
    serde_json::to_string(&body).unwrap_or_default()
}

/// Ends the subscriptions of an organization that is gone; the log stays, as an audit trail must.
pub struct OrganizationDeleted;

#[async_trait]
impl Handler for OrganizationDeleted {
    async fn handle(&self, tx: &mut Tx, events: &[Event]) -> Result<()> {
        let gone: Vec<Uuid> = events
            .iter()
            .filter_map(|event| Uuid::parse_str(&event.organization_id).ok())
            .collect();
        sqlx::query!("DELETE FROM activity.webhooks WHERE organization_id = ANY($1)", &gone)
            .execute(&mut **tx)
            .await?;
        Ok(())
    }
}
