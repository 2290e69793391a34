//! What every consumer does with a batch of events, whichever bus brought it.
//!
//! The effect and the inbox row are one transaction; a batch that fails is taken apart; what keeps failing is parked, so that one bad
//! event does not hold up the others for ever. An inbox row therefore means: this consumer is done with the event, handled or parked.

use std::{collections::HashSet, panic::AssertUnwindSafe, time::Duration};

use futures::FutureExt;
use prost::Message;
use proto::event::v1::Event;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Consumer, parked};
use crate::{Error, Result, Tx, role::backoff};

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
        Self {
            batch: 128,
            attempts: 8,
            delay: Duration::from_millis(100),
            longest: Duration::from_secs(10),
        }
    }
}

/// Handles events in their order until each of them is handled or parked. `false`: `stop` came first and the events have to be delivered
/// again.
pub(super) async fn settle(consumer: &Consumer, policy: Policy, events: Vec<Event>, stop: &CancellationToken) -> bool {
    let mut away = 0;
    loop {
        match handle(consumer, &events).await {
            Ok(()) => return true,
            Err(error) if error.is_transient() => {
                away += 1;
                tracing::warn!(
                    consumer = consumer.name,
                    error = error.report(),
                    away,
                    "waiting to handle events"
                );
                if !pause(policy, away, stop).await {
                    return false;
                }
            }
            Err(error) if events.len() == 1 => {
                return settle_one(consumer, policy, &events[0], Some(error), stop).await;
            }
            Err(error) => {
                tracing::warn!(
                    consumer = consumer.name,
                    error = error.report(),
                    events = events.len(),
                    "batch failed: handling one by one"
                );
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
async fn settle_one(
    consumer: &Consumer,
    policy: Policy,
    event: &Event,
    mut failed: Option<Error>,
    stop: &CancellationToken,
) -> bool {
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
                tracing::warn!(
                    consumer = consumer.name,
                    event = event.id,
                    error = error.report(),
                    away,
                    "waiting to handle an event"
                );
                away
            }
            Err(error) => {
                attempts += 1;
                metrics::counter!("mc_bus_failures_total", "consumer" => consumer.name).increment(1);
                tracing::warn!(
                    consumer = consumer.name,
                    event = event.id,
                    event_type = event.r#type,
                    error = error.report(),
                    attempts,
                    "handling an event failed"
                );
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

async fn park_event(
    consumer: &Consumer,
    policy: Policy,
    event: &Event,
    error: &str,
    attempts: u32,
    stop: &CancellationToken,
) -> bool {
    let mut failures = 0;
    let id = Uuid::parse_str(&event.id).ok();
    while let Err(failure) = parked::park(consumer, id, &event.r#type, &event.encode_to_vec(), error, attempts).await {
        failures += 1;
        tracing::warn!(
            consumer = consumer.name,
            event = event.id,
            error = failure.report(),
            "parking an event failed"
        );
        if !pause(policy, failures, stop).await {
            return false;
        }
    }
    true
}

/// One transaction: filter what was done before, handle the rest, commit.
async fn handle(consumer: &Consumer, events: &[Event]) -> Result<()> {
    let started = std::time::Instant::now();
    let mut ids = Vec::with_capacity(events.len());
    for event in events {
        ids.push(
            Uuid::parse_str(&event.id)
                .map_err(|error| Error::internal(anyhow::anyhow!("event id `{}`: {error}", event.id)))?,
        );
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
        let new: Vec<Event> = ids
            .iter()
            .zip(events)
            .filter(|(id, _)| fresh.remove(id))
            .map(|(_, event)| event.clone())
            .collect();
        call(consumer, &mut tx, &new).await?;
    }
    tx.commit().await?;
    metrics::counter!("mc_bus_consumed_total", "consumer" => consumer.name).increment(count as u64);
    metrics::histogram!("mc_bus_handle_seconds", "consumer" => consumer.name).record(started.elapsed().as_secs_f64());
    Ok(())
}

/// Calls the handler with a deadline; a panic is an error like any other.
pub(super) async fn call(consumer: &Consumer, tx: &mut Tx, events: &[Event]) -> Result<()> {
    let handled = AssertUnwindSafe(consumer.handler.handle(tx, events)).catch_unwind();
    match tokio::time::timeout(HANDLER_TIMEOUT, handled).await {
        Ok(Ok(result)) => result,
        Ok(Err(panic)) => {
            let text = panic
                .downcast_ref::<&str>()
                .map(|text| (*text).to_owned())
                .or_else(|| panic.downcast_ref::<String>().cloned());
            Err(Error::internal(anyhow::anyhow!(
                "the handler panicked: {}",
                text.unwrap_or_default()
            )))
        }
        Err(_) => Err(Error::new(crate::error::Kind::Deadline, "The handler took too long.")),
    }
}

/// Waits before the next try; `false` when stopped.
pub(super) async fn pause(policy: Policy, failures: u32, stop: &CancellationToken) -> bool {
    tokio::time::timeout(backoff(failures, policy.delay, policy.longest), stop.cancelled())
        .await
        .is_err()
}
