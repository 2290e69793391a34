//! What every consumer does with a batch of events, whichever bus brought it.
//!
//! The effect and the inbox row are one transaction; a batch that fails is taken apart; what keeps failing is parked, so that one bad
//! event does not hold up the others for ever. An inbox row therefore means: this consumer is done with the event, handled or parked.

use std::{collections::HashSet, panic::AssertUnwindSafe, time::Duration};

use futures::FutureExt;
use prost::Message;
use proto::event::v1::Event;
use sqlx::Row;
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Consumer;
use crate::{Error, Result, Store, Tx, role::backoff};

/// Longest time a handler may take for a batch: handlers talk to the database only.
const HANDLER_TIMEOUT: Duration = Duration::from_mins(1);

/// How consumers try again.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// Events handled in one transaction at most.
    pub batch: usize,
    /// Tries of one event before it is parked. Tries that fail because something is away do not count.
    pub attempts: u32,
    /// Delay before the second try; it doubles with each further one, with jitter.
    pub delay: Duration,
    /// Longest delay between two tries.
    pub longest: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self { batch: 128, attempts: 8, delay: Duration::from_millis(100), longest: Duration::from_secs(10) }
    }
}

/// Handles events in their order until each of them is handled or parked. `false`: `stop` came first and the events have to be delivered
/// again.
pub(crate) async fn settle(consumer: &Consumer, policy: Policy, events: Vec<Event>, stop: &CancellationToken) -> bool {
    let mut away = 0;
    loop {
        match handle(consumer, &events).await {
            Ok(()) => return true,
            Err(error) if error.is_transient() => {
                away += 1;
                tracing::warn!(consumer = consumer.name, error = error.report(), away, "waiting to handle events");
                if !pause(policy, away, stop).await {
                    return false;
                }
            }
            Err(error) if events.len() == 1 => return settle_one(consumer, policy, &events[0], Some(error), stop).await,
            Err(error) => {
                tracing::warn!(consumer = consumer.name, error = error.report(), events = events.len(), "batch failed: handling one by one");
                break;
            }
        }
    }
    for event in &events {
        if !settle_one(consumer, policy, event, None, stop).await {
            return false;
        }
    }
    true
}

/// Handles one event or parks it. `failed` is the error of a first try that has been made.
async fn settle_one(consumer: &Consumer, policy: Policy, event: &Event, mut failed: Option<Error>, stop: &CancellationToken) -> bool {
    let (mut attempts, mut away) = (0, 0);
    loop {
        let outcome = match failed.take() {
            Some(error) => Err(error),
            None => handle(consumer, std::slice::from_ref(event)).await,
        };
        let delays = match outcome {
            Ok(()) => return true,
            Err(error) if error.is_transient() => {
                away += 1;
                tracing::warn!(consumer = consumer.name, event = event.id, error = error.report(), away, "waiting to handle an event");
                away
            }
            Err(error) => {
                attempts += 1;
                metrics::counter!("mc_bus_failures_total", "consumer" => consumer.name).increment(1);
                tracing::warn!(consumer = consumer.name, event = event.id, event_type = event.r#type, error = error.report(), attempts, "handling an event failed");
                if attempts >= policy.attempts {
                    return park_event(consumer, policy, event, &error.report(), attempts, stop).await;
                }
                attempts
            }
        };
        if !pause(policy, delays, stop).await {
            return false;
        }
    }
}

async fn park_event(consumer: &Consumer, policy: Policy, event: &Event, error: &str, attempts: u32, stop: &CancellationToken) -> bool {
    let mut failures = 0;
    let id = Uuid::parse_str(&event.id).ok();
    while let Err(failure) = park(consumer, id, &event.r#type, &event.encode_to_vec(), error, attempts).await {
        failures += 1;
        tracing::warn!(consumer = consumer.name, event = event.id, error = failure.report(), "parking an event failed");
        if !pause(policy, failures, stop).await {
            return false;
        }
    }
    true
}

/// Puts an event, or bytes that are none, where an administrator sees it. With an id it counts as done from then on; one that was done
/// before is not parked.
pub(crate) async fn park(consumer: &Consumer, event_id: Option<Uuid>, event_type: &str, event: &[u8], error: &str, attempts: u32) -> Result<()> {
    let mut tx = consumer.store.begin().await?;
    if let Some(event_id) = event_id {
        let fresh = sqlx::query("INSERT INTO inbox (consumer, event_id) VALUES ($1, $2) ON CONFLICT DO NOTHING")
            .bind(consumer.name)
            .bind(event_id)
            .execute(&mut *tx)
            .await?
            .rows_affected();
        if fresh == 0 {
            return Ok(());
        }
    }
    sqlx::query("INSERT INTO parked (id, consumer, event_type, event, error, attempts) VALUES ($1, $2, $3, $4, $5, $6)")
        .bind(Uuid::now_v7())
        .bind(consumer.name)
        .bind(event_type)
        .bind(event)
        .bind(error)
        .bind(i32::try_from(attempts).unwrap_or(i32::MAX))
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    metrics::counter!("mc_bus_parked_total", "consumer" => consumer.name).increment(1);
    tracing::error!(consumer = consumer.name, event_type, error, attempts, "event parked: see `mission-control parked`");
    Ok(())
}

/// One transaction: filter what was done before, handle the rest, commit.
async fn handle(consumer: &Consumer, events: &[Event]) -> Result<()> {
    let started = std::time::Instant::now();
    let mut ids = Vec::with_capacity(events.len());
    for event in events {
        ids.push(Uuid::parse_str(&event.id).map_err(|error| Error::internal(anyhow::anyhow!("event id `{}`: {error}", event.id)))?);
    }
    let mut tx = consumer.store.begin().await?;
    let mut fresh: HashSet<Uuid> =
        sqlx::query_scalar("INSERT INTO inbox (consumer, event_id) SELECT $1, unnest($2::uuid[]) ON CONFLICT DO NOTHING RETURNING event_id")
            .bind(consumer.name)
            .bind(&ids)
            .fetch_all(&mut *tx)
            .await?
            .into_iter()
            .collect();
    if fresh.is_empty() {
        return Ok(());
    }
    let count = fresh.len();
    if count == events.len() {
        call(consumer, &mut tx, events).await?;
    } else {
        // Removing keeps the first of an event that is twice in the batch.
        let new: Vec<Event> = ids.iter().zip(events).filter(|(id, _)| fresh.remove(id)).map(|(_, event)| event.clone()).collect();
        call(consumer, &mut tx, &new).await?;
    }
    tx.commit().await?;
    metrics::counter!("mc_bus_consumed_total", "consumer" => consumer.name).increment(count as u64);
    metrics::histogram!("mc_bus_handle_seconds", "consumer" => consumer.name).record(started.elapsed().as_secs_f64());
    Ok(())
}

/// Calls the handler with a deadline; a panic is an error like any other.
async fn call(consumer: &Consumer, tx: &mut Tx, events: &[Event]) -> Result<()> {
    let handled = AssertUnwindSafe(consumer.handler.handle(tx, events)).catch_unwind();
    match tokio::time::timeout(HANDLER_TIMEOUT, handled).await {
        Ok(Ok(result)) => result,
        Ok(Err(panic)) => {
            let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned()).or_else(|| panic.downcast_ref::<String>().cloned());
            Err(Error::internal(anyhow::anyhow!("the handler panicked: {}", text.unwrap_or_default())))
        }
        Err(_) => Err(Error::new(crate::error::Kind::Deadline, "The handler took too long.")),
    }
}

/// Waits before the next try; `false` when stopped.
async fn pause(policy: Policy, failures: u32, stop: &CancellationToken) -> bool {
    tokio::time::timeout(backoff(failures, policy.delay, policy.longest), stop.cancelled()).await.is_err()
}

/// An event that a consumer gave up on.
#[derive(Clone, Debug)]
pub struct Parked {
    /// Names it for [`replay`].
    pub id: Uuid,
    /// Who gave up.
    pub consumer: String,
    /// Type of the event.
    pub event_type: String,
    /// The event; `None` when the bytes that came are not one.
    pub event: Option<Event>,
    /// The last error.
    pub error: String,
    /// Tries made.
    pub attempts: i32,
    /// When.
    pub parked_at: OffsetDateTime,
}

/// The oldest `limit` parked events of a service, of one consumer or of all.
pub async fn parked(store: &Store, consumer: Option<&str>, limit: i64) -> Result<Vec<Parked>> {
    let rows = sqlx::query(
        "SELECT id, consumer, event_type, event, error, attempts, parked_at FROM parked WHERE $1::text IS NULL OR consumer = $1 ORDER BY id LIMIT $2",
    )
    .bind(consumer)
    .bind(limit)
    .fetch_all(store.pool())
    .await?;
    Ok(rows
        .iter()
        .map(|row| Parked {
            id: row.get("id"),
            consumer: row.get("consumer"),
            event_type: row.get("event_type"),
            event: Event::decode(row.get::<&[u8], _>("event")).ok(),
            error: row.get("error"),
            attempts: row.get("attempts"),
            parked_at: row.get("parked_at"),
        })
        .collect())
}

/// Handles a parked event again, with the consumer that gave up on it; it leaves the table in the transaction of its effect. When it fails
/// again it stays, with the new error. NotFound: there is no such parked event (any more).
pub async fn replay(consumer: &Consumer, id: Uuid) -> Result<()> {
    let mut tx = consumer.store.begin().await?;
    let bytes: Option<Vec<u8>> = sqlx::query_scalar("DELETE FROM parked WHERE id = $1 AND consumer = $2 RETURNING event")
        .bind(id)
        .bind(consumer.name)
        .fetch_optional(&mut *tx)
        .await?;
    let Some(bytes) = bytes else {
        return Err(Error::not_found(format!("{} has no parked event {id}.", consumer.name)));
    };
    let event = Event::decode(&*bytes).map_err(|_| Error::precondition("The parked bytes are not an event: nothing can handle them."))?;
    match call(consumer, &mut tx, &[event]).await {
        Ok(()) => tx.commit().await,
        Err(error) => {
            drop(tx);
            sqlx::query("UPDATE parked SET error = $2, attempts = attempts + 1 WHERE id = $1")
                .bind(id)
                .bind(error.report())
                .execute(consumer.store.pool())
                .await?;
            Err(error)
        }
    }
}
