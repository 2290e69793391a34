//! Deliveries: rows that say what is to be sent when, the loop that queues what is due, and their log.

use std::time::Duration;

use chassis::{Caller, Change, Error, Result, bus::Job, message::Page, role::backoff, timestamp};
use proto::activity::v1::{Delivery, DeliveryAttempt, DeliveryDetail, DeliveryStatus, ListDeliveriesResponse};
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{State, webhooks};

/// The queue that deliveries are worked from.
pub const QUEUE: &str = "webhook-delivery";
/// Deliveries queued at once.
const BATCH: i64 = 200;
/// How long a queued delivery may wait before it is queued again: the hint was lost.
const QUEUED: &str = "90 seconds";
/// Longest sleep between looks: for rows that another process wrote.
const LOOK: Duration = Duration::from_secs(1);
/// How long deliveries that are done with are kept.
const KEPT: &str = "30 days";
/// How often older ones are looked for.
const PRUNING: Duration = Duration::from_secs(3600);
/// How many are deleted at once.
const PRUNED: i64 = 1000;

pub struct Row {
    pub id: Uuid,
    pub webhook_id: Uuid,
    pub event_id: Uuid,
    pub event_type: String,
    pub status: String,
    pub attempts: i32,
    pub next_attempt_at: Option<OffsetDateTime>,
    pub last_status: Option<i32>,
    pub last_error: Option<String>,
    pub created_at: OffsetDateTime,
    pub delivered_at: Option<OffsetDateTime>,
}

impl From<Row> for Delivery {
    fn from(row: Row) -> Self {
        let status = match row.status.as_str() {
            "pending" => DeliveryStatus::Pending,
            "succeeded" => DeliveryStatus::Succeeded,
            _ => DeliveryStatus::Failed,
        };
        Self {
            id: row.id.to_string(),
            webhook_id: row.webhook_id.to_string(),
            event_id: row.event_id.to_string(),
            event_type: row.event_type,
            status: status.into(),
            attempts: row.attempts,
            next_attempt_at: row
                .next_attempt_at
                .filter(|_| status == DeliveryStatus::Pending)
                .map(timestamp),
            last_status: row.last_status,
            last_error: row.last_error,
            created_at: Some(timestamp(row.created_at)),
            delivered_at: row.delivered_at.map(timestamp),
        }
    }
}

/// Queues what is due until `stop`.
pub async fn schedule(state: State, stop: CancellationToken) -> Result<()> {
    let mut failures = 0;
    // Without a broker the queue was in the memory of the process before this one, and is gone with it.
    let mut forgotten = state.context.settings.amqp_url.is_empty();
    while !stop.is_cancelled() {
        let due = async {
            if forgotten {
                sqlx::query!("UPDATE activity.deliveries SET claimed_until = NULL WHERE status = 'pending' AND claimed_until IS NOT NULL").execute(state.store.pool()).await?;
            }
            queue_due(&state).await
        };
        let due = due.await;
        forgotten &= due.is_err();
        let pause = match due {
            Ok(count) if count == usize::try_from(BATCH).unwrap_or(usize::MAX) => continue,
            Ok(_) => {
                failures = 0;
                LOOK
            }
            Err(error) => {
                failures += 1;
                tracing::warn!(%error, "due deliveries were not queued");
                backoff(failures, Duration::from_millis(200), Duration::from_secs(10))
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = state.due.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
    Ok(())
}

/// Deletes what is done with and old, until `stop`. Processes that do so at the same time take different rows.
pub async fn prune(state: State, stop: CancellationToken) -> Result<()> {
    while !stop.is_cancelled() {
        let deleted = sqlx::query(
            "DELETE FROM activity.deliveries WHERE id IN (\
               SELECT id FROM activity.deliveries WHERE status <> 'pending' AND created_at < now() - $1::text::interval \
               ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED)",
        )
        .bind(KEPT)
        .bind(PRUNED)
        .execute(state.store.pool())
        .await?
        .rows_affected();
        let pause = if deleted < PRUNED.unsigned_abs() {
            backoff(1, PRUNING, PRUNING)
        } else {
            LOOK
        };
        let _ = tokio::time::timeout(pause, stop.cancelled()).await;
    }
    Ok(())
}

async fn queue_due(state: &State) -> Result<usize> {
    let due = sqlx::query_scalar!(
        "UPDATE activity.deliveries SET claimed_until = now() + $2::text::interval WHERE id IN (\
           SELECT id FROM activity.deliveries WHERE status = 'pending' AND next_attempt_at <= now() AND (claimed_until IS NULL OR claimed_until < now()) \
           ORDER BY next_attempt_at LIMIT $1 FOR UPDATE SKIP LOCKED) RETURNING id",
        BATCH,
        QUEUED,
    )
    .fetch_all(state.store.pool())
    .await?;
    for (done, id) in due.iter().enumerate() {
        if let Err(error) = state.context.bus.enqueue(&Job { queue: QUEUE, id: *id }).await {
            // What was not queued is due at once when the broker is back, not when the claim ends.
            sqlx::query!(
                "UPDATE activity.deliveries SET claimed_until = NULL WHERE id = ANY($1) AND status = 'pending'",
                &due[done..]
            )
            .execute(state.store.pool())
            .await?;
            return Err(error);
        }
    }
    Ok(due.len())
}

/// The log of a subscription.
pub async fn list(state: &State, webhook: Uuid, status: DeliveryStatus, page: Page) -> Result<ListDeliveriesResponse> {
    let status = match status {
        DeliveryStatus::Unspecified => None,
        DeliveryStatus::Pending => Some("pending"),
        DeliveryStatus::Succeeded => Some("succeeded"),
        DeliveryStatus::Failed => Some("failed"),
    };
    // One statement: what is counted is what is shown.
    let rows = sqlx::query!(
        "SELECT d.id AS \"id?\", d.webhook_id AS \"webhook_id?\", d.event_id AS \"event_id?\", d.event_type AS \"event_type?\", \
           d.status AS \"status?\", d.attempts AS \"attempts?\", d.next_attempt_at, d.last_status, d.last_error, \
           d.created_at AS \"created_at?\", d.delivered_at, (SELECT count(*) FROM activity.deliveries c WHERE c.webhook_id = $1 AND ($2::text IS NULL OR c.status = $2)) AS \"total!\" \
         FROM (SELECT) one LEFT JOIN LATERAL ( \
           SELECT * FROM activity.deliveries d WHERE d.webhook_id = $1 AND ($2::text IS NULL OR d.status = $2) \
           ORDER BY d.created_at DESC, d.id DESC LIMIT $3 OFFSET $4) d ON true ORDER BY d.created_at DESC, d.id DESC",
        webhook,
        status,
        i64::from(page.limit),
        i64::from(page.offset)
    )
    .fetch_all(state.store.pool())
    .await?;
    let total = rows.first().map_or(0, |row| row.total);
    let rows = rows.into_iter().filter_map(|row| {
        Some(Row {
            id: row.id?,
            webhook_id: row.webhook_id?,
            event_id: row.event_id?,
            event_type: row.event_type?,
            status: row.status?,
            attempts: row.attempts?,
            next_attempt_at: row.next_attempt_at,
            last_status: row.last_status,
            last_error: row.last_error,
            created_at: row.created_at?,
            delivered_at: row.delivered_at,
        })
    });
    Ok(ListDeliveriesResponse {
        items: rows.map(Into::into).collect(),
        total: i32::try_from(total).unwrap_or(i32::MAX),
        limit: page.limit,
        offset: page.offset,
    })
}

/// One delivery with its attempts.
pub async fn detail(state: &State, webhook: Uuid, id: Uuid) -> Result<DeliveryDetail> {
    let row = sqlx::query_as!(
        Row,
        "SELECT id, webhook_id, event_id, event_type, status, attempts, next_attempt_at, last_status, last_error, created_at, delivered_at \
         FROM activity.deliveries WHERE id = $1 AND webhook_id = $2",
        id,
        webhook
    )
    .fetch_optional(state.store.pool())
    .await?
    .ok_or_else(|| Error::not_found("Delivery not found"))?;
    let payload = sqlx::query_scalar!("SELECT payload FROM activity.deliveries WHERE id = $1", id)
        .fetch_one(state.store.pool())
        .await?;
    let attempts = sqlx::query!("SELECT number, started_at, duration_ms, status, error, response_excerpt FROM activity.attempts WHERE delivery_id = $1 ORDER BY number", id)
        .fetch_all(state.store.pool())
        .await?;
    Ok(DeliveryDetail {
        delivery: Some(row.into()),
        payload: Some(payload.into_bytes()),
        attempts: attempts
            .into_iter()
            .map(|attempt| DeliveryAttempt {
                number: attempt.number,
                started_at: Some(timestamp(attempt.started_at)),
                duration_ms: attempt.duration_ms,
                status: attempt.status,
                error: attempt.error,
                response_excerpt: attempt.response_excerpt,
            })
            .collect(),
    })
}

/// Begins the schedule of a delivery anew, now.
pub async fn again(state: &State, caller: &Caller, webhook: &webhooks::Row, id: Uuid) -> Result<Delivery> {
    let mut tx = state.store.begin().await?;
    let before = sqlx::query_as!(
        Row,
        "SELECT id, webhook_id, event_id, event_type, status, attempts, next_attempt_at, last_status, last_error, created_at, delivered_at \
         FROM activity.deliveries WHERE id = $1 AND webhook_id = $2 FOR UPDATE",
        id,
        webhook.id
    )
    .fetch_optional(&mut *tx)
    .await?
    .ok_or_else(|| Error::not_found("Delivery not found"))?;
    let after = sqlx::query_as!(
        Row,
        "UPDATE activity.deliveries SET status = 'pending', next_attempt_at = now(), claimed_until = NULL, schedule_from = attempts, delivered_at = NULL \
         WHERE id = $1 \
         RETURNING id, webhook_id, event_id, event_type, status, attempts, next_attempt_at, last_status, last_error, created_at, delivered_at",
        id
    )
    .fetch_one(&mut *tx)
    .await?;
    let (before, after) = (Delivery::from(before), Delivery::from(after));
    let change = Change::new("webhook.redelivered", webhook.organization_id)
        .message(format!(
            "Delivery of {} to {} asked for again.",
            after.event_type, webhook.url
        ))
        .before(&before)
        .after(&after);
    tx.record(caller, change).await?;
    tx.wake_on_commit(&state.due);
    tx.commit().await?;
    Ok(after)
}
