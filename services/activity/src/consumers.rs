//! What this service does with the events of all: it logs them, and makes deliveries for the subscriptions that want them.

use std::collections::{BTreeMap, HashMap};

use async_trait::async_trait;
use chassis::{Error, Result, Tx, bus::Handler, moment, seal::Sealer};
use prost_types::Any;
use proto::event::v1::Event;
use serde_json::value::RawValue;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use transcoder::Catalog;
use uuid::Uuid;

use crate::{
    State, chain,
    facts::{self, Told},
    periods, rules,
};

/// Writes the log and the deliveries.
pub struct Log(pub State);

#[async_trait]
impl Handler for Log {
    async fn handle(&self, tx: &mut Tx, events: &[Event]) -> Result<()> {
        // Events without an organization (a person signed up) belong to nobody's log.
        let entries: Vec<Entry<'_>> = events
            .iter()
            .filter_map(|event| Entry::of(event, &self.0.context.catalog))
            .collect();
        if entries.is_empty() {
            return Ok(());
        }
        append(tx, &self.0.sealer, &entries).await?;
        count(tx, &entries).await?;
        let told: Vec<Told<'_>> = entries
            .iter()
            .map(|entry| Told {
                event: entry.event,
                organization: entry.organization,
                at: entry.created_at,
            })
            .collect();
        facts::follow(tx, &told).await?;
        if deliver(tx, &entries).await? > 0 {
            tx.wake_on_commit(&self.0.due);
        }
        // Live views of this process read on.
        tx.wake_on_commit(self.0.feeds.logged());
        Ok(())
    }
}

/// An event with what the log keeps of it.
struct Entry<'a> {
    event: &'a Event,
    id: Uuid,
    organization: Uuid,
    created_at: OffsetDateTime,
    agent_id: Option<Uuid>,
    task_id: Option<Uuid>,
    board_id: Option<Uuid>,
    gateway_id: Option<Uuid>,
    /// What kind of thing was changed, and which.
    target: (String, Option<Uuid>),
    before: Option<String>,
    after: Option<String>,
}

impl<'a> Entry<'a> {
    fn of(event: &'a Event, catalog: &Catalog) -> Option<Self> {
        let id = |text: &str| Uuid::parse_str(text).ok();
        let created_at = event
            .time
            .as_ref()
            .and_then(|at| moment(at).ok())
            .unwrap_or_else(OffsetDateTime::now_utc);
        let (before, after) = (
            json(catalog, event.before.as_ref()),
            json(catalog, event.after.as_ref()),
        );
        let own = after.as_deref().or(before.as_deref()).and_then(rules::id_of);
        Some(Self {
            event,
            id: id(&event.id)?,
            organization: id(&event.organization_id)?,
            // As the database keeps it: the hash is made of the same.
            created_at: created_at
                .replace_microsecond(created_at.microsecond())
                .unwrap_or(created_at),
            agent_id: id(&event.agent_id),
            task_id: id(&event.task_id),
            board_id: id(&event.board_id),
            gateway_id: id(&event.gateway_id),
            target: rules::target(event, own),
            before,
            after,
        })
    }

    fn actor(&self) -> (&str, &str, &str) {
        self.event
            .actor
            .as_ref()
            .map_or(("", "", ""), |actor| (&actor.kind, &actor.id, &actor.name))
    }

    /// What the chain protects of it.
    fn sealed(&self, position: i64) -> chain::Entry<'_> {
        let (actor_type, actor_id, actor_name) = self.actor();
        chain::Entry {
            organization_id: self.organization,
            position,
            id: self.id,
            event_type: &self.event.r#type,
            message: &self.event.message,
            actor_type,
            actor_id,
            actor_name,
            agent_id: self.agent_id,
            task_id: self.task_id,
            board_id: self.board_id,
            gateway_id: self.gateway_id,
            target_type: &self.target.0,
            target_id: self.target.1,
            request_id: &self.event.request_id,
            before: self.before.as_deref(),
            after: self.after.as_deref(),
            created_at: self.created_at,
        }
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

/// Writes the log: gives positions, links each entry to the one before and signs the new end. The rows of the ends are held until the
/// commit, so that writers of one organization follow each other.
async fn append(tx: &mut Tx, sealer: &Sealer, entries: &[Entry<'_>]) -> Result<()> {
    let mut organizations: Vec<Uuid> = entries.iter().map(|entry| entry.organization).collect();
    organizations.sort_unstable();
    organizations.dedup();
    // Made where it is missing, in order; held either way.
    let heads = sqlx::query!(
        "INSERT INTO activity.heads AS heads (organization_id, position) SELECT *, 0 FROM unnest($1::uuid[]) \
         ON CONFLICT (organization_id) DO UPDATE SET position = heads.position \
         RETURNING organization_id, position, hash, chain_begins",
        &organizations
    )
    .fetch_all(&mut **tx)
    .await?;
    let mut heads: HashMap<Uuid, chain::Head> = heads
        .into_iter()
        .map(|head| {
            let known = head.hash.and_then(|hash| chain::Hash::try_from(hash.as_slice()).ok());
            let chain_begins = known.and(head.chain_begins).unwrap_or(head.position + 1);
            let (organization_id, position) = (head.organization_id, head.position);
            let hash = known.unwrap_or(chain::ORIGIN);
            (
                organization_id,
                chain::Head {
                    organization_id,
                    position,
                    hash,
                    chain_begins,
                },
            )
        })
        .collect();
    let (mut positions, mut hashes) = (Vec::with_capacity(entries.len()), Vec::with_capacity(entries.len()));
    for entry in entries {
        let Some(head) = heads.get_mut(&entry.organization) else {
            return Err(Error::internal(anyhow::anyhow!(
                "the log of {} has no end",
                entry.organization
            )));
        };
        head.position += 1;
        head.hash = entry.sealed(head.position).hash(&head.hash);
        positions.push(head.position);
        hashes.push(head.hash.to_vec());
    }
    let actor = |get: fn(&Entry<'_>) -> String| entries.iter().map(get).collect::<Vec<String>>();
    sqlx::query!(
        "INSERT INTO activity.events (id, organization_id, position, event_type, message, actor_type, actor_id, actor_name, agent_id, task_id, \
           board_id, gateway_id, target_type, target_id, request_id, before, after, created_at, hash) \
         SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::uuid[], \
           $10::uuid[], $11::uuid[], $12::uuid[], $13::text[], $14::uuid[], $15::text[], $16::text[], $17::text[], $18::timestamptz[], $19::bytea[])",
        &entries.iter().map(|entry| entry.id).collect::<Vec<_>>(),
        &entries.iter().map(|entry| entry.organization).collect::<Vec<_>>(),
        &positions,
        &actor(|entry| entry.event.r#type.clone()),
        &actor(|entry| entry.event.message.clone()),
        &actor(|entry| entry.actor().0.to_owned()),
        &actor(|entry| entry.actor().1.to_owned()),
        &actor(|entry| entry.actor().2.to_owned()),
        &entries.iter().map(|entry| entry.agent_id).collect::<Vec<_>>() as &[Option<Uuid>],
        &entries.iter().map(|entry| entry.task_id).collect::<Vec<_>>() as &[Option<Uuid>],
        &entries.iter().map(|entry| entry.board_id).collect::<Vec<_>>() as &[Option<Uuid>],
        &entries.iter().map(|entry| entry.gateway_id).collect::<Vec<_>>() as &[Option<Uuid>],
        &actor(|entry| entry.target.0.clone()),
        &entries.iter().map(|entry| entry.target.1).collect::<Vec<_>>() as &[Option<Uuid>],
        &actor(|entry| entry.event.request_id.clone()),
        &entries.iter().map(|entry| entry.before.clone()).collect::<Vec<_>>() as &[Option<String>],
        &entries.iter().map(|entry| entry.after.clone()).collect::<Vec<_>>() as &[Option<String>],
        &entries.iter().map(|entry| entry.created_at).collect::<Vec<_>>(),
        &hashes,
    )
    .execute(&mut **tx)
    .await?;
    let heads: Vec<chain::Head> = heads.into_values().collect();
    sqlx::query!(
        "UPDATE activity.heads SET position = now.position, hash = now.hash, chain_begins = now.chain_begins, signature = now.signature, \
           signed_at = now() \
         FROM unnest($1::uuid[], $2::bigint[], $3::bytea[], $4::bigint[], $5::bytea[]) AS now (organization_id, position, hash, chain_begins, signature) \
         WHERE heads.organization_id = now.organization_id",
        &heads.iter().map(|head| head.organization_id).collect::<Vec<_>>(),
        &heads.iter().map(|head| head.position).collect::<Vec<_>>(),
        &heads.iter().map(|head| head.hash.to_vec()).collect::<Vec<_>>(),
        &heads.iter().map(|head| head.chain_begins).collect::<Vec<_>>(),
        &heads.iter().map(|head| head.sign(sealer)).collect::<Vec<_>>(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Counts the entries: for the totals of lists, and for the share of failures.
async fn count(tx: &mut Tx, entries: &[Entry<'_>]) -> Result<()> {
    let mut tallies: BTreeMap<(Uuid, Uuid, &str), i64> = BTreeMap::new();
    let mut steps: BTreeMap<(Uuid, &str, OffsetDateTime), (i64, i64)> = BTreeMap::new();
    for entry in entries {
        let kind = entry.event.r#type.as_str();
        *tallies
            .entry((entry.organization, entry.board_id.unwrap_or_default(), kind))
            .or_default() += 1;
        if let (Some(board), Some(_)) = (entry.board_id, entry.task_id) {
            for (step, at) in periods::steps(entry.created_at) {
                let (total, failed) = steps.entry((board, step, at)).or_default();
                *total += 1;
                *failed += i64::from(kind.ends_with("failed"));
            }
        }
    }
    let (mut organizations, mut boards, mut kinds, mut totals) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for ((organization, board, kind), total) in tallies {
        organizations.push(organization);
        boards.push(board);
        kinds.push(kind.to_owned());
        totals.push(total);
    }
    sqlx::query!(
        "INSERT INTO activity.tallies AS known (organization_id, board_id, event_type, total) \
         SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::bigint[]) \
         ON CONFLICT (organization_id, board_id, event_type) DO UPDATE SET total = known.total + EXCLUDED.total",
        &organizations,
        &boards,
        &kinds,
        &totals,
    )
    .execute(&mut **tx)
    .await?;
    if steps.is_empty() {
        return Ok(());
    }
    let (mut boards, mut names, mut moments, mut totals, mut failures) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for ((board, step, at), (total, failed)) in steps {
        boards.push(board);
        names.push(step.to_owned());
        moments.push(at);
        totals.push(total);
        failures.push(failed);
    }
    sqlx::query!(
        "INSERT INTO activity.task_events AS known (board_id, step, at, total, failed) \
         SELECT * FROM unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::bigint[], $5::bigint[]) \
         ON CONFLICT (board_id, step, at) DO UPDATE SET total = known.total + EXCLUDED.total, failed = known.failed + EXCLUDED.failed",
        &boards,
        &names,
        &moments,
        &totals,
        &failures,
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
