//! Parked events: what a consumer gave up on. They wait in its store until an administrator hands them back.

use std::time::Duration;

use prost::Message;
use proto::event::v1::Event;
use sqlx::Row;
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    Consumer,
    consume::{Policy, call, pause},
};
use crate::{Error, Result, Store};

/// How often a running consumer looks for parked events that were handed back.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// An event that a consumer gave up on.
#[derive(Clone, Debug)]
pub struct Parked {
    /// Names it for [`replay`] and [`requeue`].
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

/// The parked events of a service, oldest first.
pub async fn list(store: &Store) -> Result<Vec<Parked>> {
    let rows =
        sqlx::query("SELECT id, consumer, event_type, event, error, attempts, parked_at FROM parked ORDER BY id")
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

/// Hands a parked event of a service, or all of them, back to the consumers that gave up on them; wherever they run they take them up within
/// seconds. Answers how many.
pub async fn requeue(store: &Store, id: Option<Uuid>) -> Result<u64> {
    Ok(
        sqlx::query("UPDATE parked SET requeued_at = now() WHERE $1::uuid IS NULL OR id = $1")
            .bind(id)
            .execute(store.pool())
            .await?
            .rows_affected(),
    )
}

/// Handles a parked event again, here and now, with the consumer that gave up on it; it leaves the table in the transaction of its effect.
/// When it fails again it stays, with the new error. NotFound: there is no such parked event (any more).
pub async fn replay(consumer: &Consumer, id: Uuid) -> Result<()> {
    let mut tx = consumer.store.begin().await?;
    let bytes: Option<Vec<u8>> =
        sqlx::query_scalar("DELETE FROM parked WHERE id = $1 AND consumer = $2 RETURNING event")
            .bind(id)
            .bind(consumer.name)
            .fetch_optional(&mut *tx)
            .await?;
    let Some(bytes) = bytes else {
        return Err(Error::not_found(format!("{} has no parked event {id}.", consumer.name)));
    };
    let handled = match Event::decode(&*bytes) {
        Ok(event) => call(consumer, &mut tx, &[event]).await,
        Err(_) => Err(Error::precondition(
            "The parked bytes are not an event: nothing can handle them.",
        )),
    };
    let Err(error) = handled else {
        tx.commit().await?;
        tracing::info!(consumer = consumer.name, %id, "parked event handled");
        return Ok(());
    };
    drop(tx);
    if !error.is_transient() {
        sqlx::query("UPDATE parked SET error = $2, attempts = attempts + 1, requeued_at = NULL WHERE id = $1")
            .bind(id)
            .bind(error.report())
            .execute(consumer.store.pool())
            .await?;
    }
    Err(error)
}

/// Takes up what was handed back to a consumer, until `stop`.
pub(super) async fn take_up(consumer: &Consumer, policy: Policy, stop: &CancellationToken) {
    let mut failures = 0;
    loop {
        if tokio::time::timeout(LOOK_INTERVAL, stop.cancelled()).await.is_ok() {
            return;
        }
        if let Err(error) = take_up_once(consumer).await {
            failures += 1;
            tracing::warn!(
                consumer = consumer.name,
                error = error.report(),
                "handling parked events failed"
            );
            if !pause(policy, failures, stop).await {
                return;
            }
        } else {
            failures = 0;
        }
    }
}

async fn take_up_once(consumer: &Consumer) -> Result<()> {
    let ids: Vec<Uuid> =
        sqlx::query_scalar("SELECT id FROM parked WHERE consumer = $1 AND requeued_at IS NOT NULL ORDER BY id")
            .bind(consumer.name)
            .fetch_all(consumer.store.pool())
            .await?;
    for id in ids {
        match replay(consumer, id).await {
            Err(error) if error.is_transient() => return Err(error),
            // Another process of this consumer was first, or it failed again and says so in its row.
            Err(error) => {
                tracing::warn!(consumer = consumer.name, %id, error = error.report(), "parked event not handled");
            }
            Ok(()) => {}
        }
    }
    Ok(())
}

/// Puts an event, or bytes that are none, where an administrator sees it. With an id it counts as done from then on; one that was done
/// before is not parked.
pub(super) async fn park(
    consumer: &Consumer,
    event_id: Option<Uuid>,
    event_type: &str,
    event: &[u8],
    error: &str,
    attempts: u32,
) -> Result<()> {
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
    sqlx::query(
        "INSERT INTO parked (id, consumer, event_type, event, error, attempts) VALUES ($1, $2, $3, $4, $5, $6)",
    )
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
    tracing::error!(
        consumer = consumer.name,
        event_type,
        error,
        attempts,
        "event parked: `mission-control parked list` shows it"
    );
    Ok(())
}
