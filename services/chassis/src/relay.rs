//! The relay: takes committed events out of a service's outbox, in order, and publishes them.

use std::{sync::Arc, time::Duration};

use prost::Message;
use proto::event::v1::Event;
use sqlx::Row;
use tokio_util::sync::CancellationToken;

use crate::{Result, bus::Bus, role::backoff, store::Store};

/// Events published at once.
const BATCH: i64 = 256;
/// How often the outbox is looked at without a poke: for events that another process committed.
const INTERVAL: Duration = Duration::from_millis(500);

/// Relays until `stop`. One process at a time does so for a schema; the others wait for its lock.
pub async fn run(store: Store, bus: Arc<dyn Bus>, stop: CancellationToken) -> Result<()> {
    let mut failures = 0;
    while !stop.is_cancelled() {
        match relay(&store, &*bus).await {
            Ok(count) => {
                failures = 0;
                if count == usize::try_from(BATCH).unwrap_or(usize::MAX) {
                    continue;
                }
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = store.poke().notified() => {}
                    () = tokio::time::sleep(INTERVAL) => {}
                }
            }
            Err(error) => {
                failures += 1;
                tracing::warn!(schema = store.schema(), %error, failures, "relaying failed");
                let _ = tokio::time::timeout(backoff(failures, Duration::from_millis(100), Duration::from_secs(10)), stop.cancelled()).await;
            }
        }
    }
    Ok(())
}

async fn relay(store: &Store, bus: &dyn Bus) -> Result<usize> {
    // The lock of this transaction makes positions increase in publishing order; a concurrent relay gets nothing and waits for its turn.
    let mut tx = store.pool().begin().await?;
    let locked: bool = sqlx::query_scalar("SELECT pg_try_advisory_xact_lock(hashtextextended('outbox ' || current_schema(), 0))")
        .fetch_one(&mut *tx)
        .await?;
    if !locked {
        return Ok(0);
    }
    sqlx::query(
        "UPDATE outbox SET position = numbered.position \
         FROM (SELECT id, nextval('outbox_position') AS position FROM (SELECT id FROM outbox WHERE position IS NULL ORDER BY sequence LIMIT $1) waiting) numbered \
         WHERE outbox.id = numbered.id",
    )
    .bind(BATCH)
    .execute(&mut *tx)
    .await?;
    let rows = sqlx::query("SELECT id, position, event FROM outbox WHERE position IS NOT NULL AND published_at IS NULL ORDER BY position LIMIT $1")
        .bind(BATCH)
        .fetch_all(&mut *tx)
        .await?;
    if rows.is_empty() {
        tx.commit().await?;
        return Ok(0);
    }
    let mut ids = Vec::with_capacity(rows.len());
    let mut events = Vec::with_capacity(rows.len());
    for row in &rows {
        let mut event = Event::decode(row.get::<&[u8], _>("event"))?;
        event.position = row.get("position");
        store.schema().clone_into(&mut event.source);
        ids.push(row.get::<uuid::Uuid, _>("id"));
        events.push(event);
    }
    bus.publish(&events).await?;
    sqlx::query("UPDATE outbox SET published_at = now() WHERE id = ANY($1)").bind(&ids).execute(&mut *tx).await?;
    tx.commit().await?;
    Ok(rows.len())
}
