//! The relay: takes committed events out of a service's outbox, in order, and publishes them.
//!
//! One process at a time relays a schema: it holds a session lock of PostgreSQL, on the connection that also does the work, so that a
//! relay that lost its lock can write nothing more. An event is moved from the outbox to the change log, where its position is the next whole
//! number, in a commit of its own before it is published: however often it is published, and whoever reads the log meanwhile, its position is
//! the same.

use std::{sync::Arc, time::Duration};

use prost::Message;
use proto::event::v1::Event;
use rand::RngExt;
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row, postgres::PgRow};
use time::OffsetDateTime;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{Error, Result, bus::Bus, error::Kind, role::backoff, store::Store};

/// Events published at once at most.
const BATCH: i64 = 512;
/// Shortest time between two looks at the outbox. The first event after a pause goes at once; under load events gather to batches, which cost
/// consumers little more than one event does.
const PACE: Duration = Duration::from_millis(25);
/// How often the outbox is looked at without a poke, and how often a waiting relay asks for the lock.
const INTERVAL: Duration = Duration::from_millis(500);
/// Longest time a statement of the relay may take, network included.
const DEADLINE: Duration = Duration::from_secs(20);
/// How long events and inbox rows are kept, as PostgreSQL writes it. Watchers resume from what is kept.
const RETENTION: &str = "7 days";
/// How often old rows are removed. The first time is after this long, too: by then every event that was published before a long stop has
/// been published again, and its inbox rows are not needed any more.
const PRUNE_INTERVAL: Duration = Duration::from_mins(10);
/// Rows removed by one statement.
const PRUNE_STEP: i64 = 1000;

/// Relays until `stop`. One process at a time does so for a schema; the others wait for its lock and pass their pokes on.
pub async fn run(store: Store, bus: Arc<dyn Bus>, stop: CancellationToken) -> Result<()> {
    bus.on_wake(store.schema(), store.poke().clone());
    let mut failures = 0;
    while !stop.is_cancelled() {
        if let Err(error) = turn(&store, &*bus, &stop, &mut failures).await
            && !stop.is_cancelled()
        {
            failures += 1;
            tracing::warn!(
                schema = store.schema(),
                error = error.report(),
                failures,
                "relaying failed"
            );
            let _ = tokio::time::timeout(
                backoff(failures, Duration::from_millis(50), Duration::from_secs(5)),
                stop.cancelled(),
            )
            .await;
        }
    }
    Ok(())
}

/// Waits for the lock and relays until `stop` or an error. Either way the connection is given up and the lock with it.
async fn turn(store: &Store, bus: &dyn Bus, stop: &CancellationToken, failures: &mut u32) -> Result<()> {
    // Out of the pool: the lock belongs to this connection and must not go back with it.
    let mut connection = store.pool().acquire().await?.detach();
    let result = tokio::select! {
        () = stop.cancelled() => Ok(()),
        result = async {
            lock(store, bus, &mut connection).await?;
            relay(store, bus, &mut connection, failures).await
        } => result,
    };
    let _ = tokio::time::timeout(Duration::from_secs(2), connection.close()).await;
    result
}

async fn lock(store: &Store, bus: &dyn Bus, connection: &mut PgConnection) -> Result<()> {
    loop {
        let statement =
            sqlx::query_scalar("SELECT pg_try_advisory_lock(hashtextextended('outbox ' || current_schema(), 0))");
        if within(statement.fetch_one(&mut *connection)).await? {
            return Ok(());
        }
        tokio::select! {
            () = store.poke().notified() => bus.wake(store.schema()).await,
            () = tokio::time::sleep(jittered(INTERVAL)) => {}
        }
    }
}

async fn relay(store: &Store, bus: &dyn Bus, connection: &mut PgConnection, failures: &mut u32) -> Result<()> {
    // The outbox is a queue: read from its front by its index, whatever the planner knew when the table was empty.
    within(sqlx::query("SET enable_seqscan = off").execute(&mut *connection)).await?;
    // What a relay before this one, or this one before an error, numbered and did not finish.
    loop {
        let rows = within(
            sqlx::query(
                "SELECT position, event, created_at FROM change_log WHERE position > (SELECT published FROM relay WHERE only_row) ORDER BY position LIMIT $1",
            )
            .bind(BATCH)
            .fetch_all(&mut *connection),
        )
        .await?;
        if rows.is_empty() {
            break;
        }
        publish(store, bus, connection, rows).await?;
        *failures = 0;
    }
    let mut prune_at = Instant::now() + jittered(PRUNE_INTERVAL);
    let mut next_at = Instant::now();
    loop {
        tokio::time::sleep_until(next_at).await;
        next_at = Instant::now() + PACE;
        let rows = number(connection).await?;
        *failures = 0;
        if !rows.is_empty() {
            if i64::try_from(rows.len()).is_ok_and(|count| count >= BATCH) {
                next_at = Instant::now();
            }
            publish(store, bus, connection, rows).await?;
            continue;
        }
        if Instant::now() >= prune_at {
            let full = prune(connection).await?;
            prune_at = Instant::now()
                + if full {
                    Duration::from_secs(1)
                } else {
                    jittered(PRUNE_INTERVAL)
                };
        }
        tokio::select! {
            () = store.poke().notified() => {}
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
}

/// Moves committed events to the end of the change log. Its newest row is never pruned, so that numbers go on from it; two relays at once
/// would break the primary key and not the order.
async fn number(connection: &mut PgConnection) -> Result<Vec<PgRow>> {
    let mut rows = within(
        sqlx::query(
            "WITH taken AS ( \
               DELETE FROM outbox WHERE sequence = ANY (ARRAY(SELECT sequence FROM outbox ORDER BY sequence LIMIT $1)) \
               RETURNING sequence, id, event_type, event, created_at) \
             INSERT INTO change_log (position, id, event_type, event, created_at) \
             SELECT (SELECT coalesce(max(position), 0) FROM change_log) + row_number() OVER (ORDER BY sequence), id, event_type, event, created_at \
             FROM taken \
             RETURNING position, event, created_at",
        )
        .bind(BATCH)
        .fetch_all(connection),
    )
    .await?;
    rows.sort_unstable_by_key(|row| row.get::<i64, _>("position"));
    Ok(rows)
}

async fn publish(store: &Store, bus: &dyn Bus, connection: &mut PgConnection, rows: Vec<PgRow>) -> Result<()> {
    let schema = store.schema();
    let mut events = Vec::with_capacity(rows.len());
    for row in &rows {
        match stored(schema, row) {
            Ok(event) => events.push(event),
            // Cannot happen to what we wrote. The row stays to be looked at; it must not stop the others.
            Err(error) => {
                tracing::error!(
                    schema,
                    position = row.get::<i64, _>("position"),
                    error = error.report(),
                    "a row of the change log is not an event"
                );
            }
        }
    }
    let age = |row: &PgRow| {
        (OffsetDateTime::now_utc() - row.get::<OffsetDateTime, _>("created_at"))
            .as_seconds_f64()
            .max(0.0)
    };
    if let Err(error) = bus.publish(&events).await {
        metrics::gauge!("mc_outbox_oldest_seconds", "schema" => schema).set(age(&rows[0]));
        return Err(error);
    }
    let last: i64 = rows[rows.len() - 1].get("position");
    within(
        sqlx::query("UPDATE relay SET published = $1 WHERE only_row")
            .bind(last)
            .execute(connection),
    )
    .await?;
    metrics::counter!("mc_outbox_published_total", "schema" => schema).increment(rows.len() as u64);
    metrics::gauge!("mc_outbox_oldest_seconds", "schema" => schema).set(0.0);
    let lag = metrics::histogram!("mc_outbox_lag_seconds", "schema" => schema);
    for row in &rows {
        lag.record(age(row));
    }
    Ok(())
}

/// The event of a row of the change log (`event`, `position`), as it is published.
pub(crate) fn stored(schema: &str, row: &PgRow) -> Result<Event> {
    let mut event = Event::decode(row.get::<&[u8], _>("event"))?;
    event.position = row.get("position");
    schema.clone_into(&mut event.source);
    Ok(event)
}

/// Removes a step of old rows, from the oldest on and without holes: what is left can be resumed from. Answers whether there is more.
async fn prune(connection: &mut PgConnection) -> Result<bool> {
    let log = format!(
        "DELETE FROM change_log WHERE position < (SELECT max(position) FROM change_log) AND position <= ( \
           SELECT max(position) FROM ( \
             SELECT position, bool_and(position <= (SELECT published FROM relay WHERE only_row) AND created_at < now() - interval '{RETENTION}') \
               OVER (ORDER BY position) AS old \
             FROM (SELECT position, created_at FROM change_log ORDER BY position LIMIT {PRUNE_STEP}) first \
           ) prefix WHERE old)"
    );
    let inbox = format!(
        "DELETE FROM inbox WHERE (consumer, event_id) IN ( \
           SELECT consumer, event_id FROM inbox WHERE handled_at < now() - interval '{RETENTION}' ORDER BY handled_at LIMIT {PRUNE_STEP})"
    );
    let keys = format!(
        "DELETE FROM idempotency WHERE (principal, key) IN ( \
           SELECT principal, key FROM idempotency WHERE created_at < now() - interval '24 hours' ORDER BY created_at LIMIT {PRUNE_STEP})"
    );
    let mut most = 0;
    for statement in [log, inbox, keys] {
        most = most.max(
            within(sqlx::query(AssertSqlSafe(statement)).execute(&mut *connection))
                .await?
                .rows_affected(),
        );
    }
    // One less than a step: the newest row stays.
    Ok(i64::try_from(most).is_ok_and(|most| most >= PRUNE_STEP - 1))
}

/// Removes rows older than the retention time, as the relay does from time to time. For maintenance and tests.
pub async fn prune_all(store: &Store) -> Result<()> {
    let mut connection = store.pool().acquire().await?;
    while prune(&mut connection).await? {}
    Ok(())
}

async fn within<T>(statement: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T> {
    match tokio::time::timeout(DEADLINE, statement).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(Error::new(Kind::Deadline, "The database did not answer in time.")),
    }
}

fn jittered(interval: Duration) -> Duration {
    interval.mul_f64(rand::rng().random_range(0.8..=1.2))
}
