//! Explicit signs of life.

use chassis::{Caller, Error, Result, timestamp};
use proto::agent::v1::Agent;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    agents::reportable,
    app::App,
    presence::{change, tell_status},
    row::{AgentRow, agents},
};

/// A heartbeat that says nothing new is not written when the last one is no older: silence is measured in minutes, and an agent that calls
/// in a loop must not fill the log.
const COALESCE: time::Duration = time::Duration::seconds(10);

/// Whether writing a heartbeat would tell anybody anything: the agent was heard of a moment ago, by its own measure too, is shown as what it
/// is, and nobody waits for it.
fn says_nothing_new(row: &AgentRow, status: Option<&str>, now: OffsetDateTime) -> bool {
    let window = COALESCE.min(time::Duration::seconds(i64::from(row.heartbeat_seconds)) / 2);
    row.last_seen_at
        .is_some_and(|at| (time::Duration::ZERO..window).contains(&(now - at)))
        && status.is_none_or(|status| status == row.status)
        && !matches!(row.status.as_str(), "provisioning" | "offline" | "updating")
        && row.wake_attempts == 0
        && row.shown(now) == row.shown_status
}

/// Writes a heartbeat. The status becomes what the agent says of itself; without that, `online` when it was not here before.
pub async fn heartbeat(app: &App, caller: &Caller, agent: Uuid, status: Option<&str>) -> Result<Agent> {
    let status = status.map(str::trim).filter(|status| !status.is_empty());
    status.map_or(Ok(()), reportable)?;
    let known = agents!("SELECT", "FROM agent.agents AS a WHERE a.id = $1", agent)
        .fetch_optional(app.store.pool())
        .await?
        .ok_or_else(|| Error::not_found("Agent not found"))?;
    let now = OffsetDateTime::now_utc();
    if says_nothing_new(&known, status, now) {
        // It was heard of now; others see it a moment later.
        return Ok(Agent {
            last_seen_at: Some(timestamp(now)),
            ..known.to_proto()
        });
    }
    let mut tx = app.store.begin().await?;
    let row = agents!(
        "UPDATE agent.agents AS a SET last_seen_at = now(), updated_at = now(), status = CASE \
             WHEN a.deleting_at IS NOT NULL OR (a.status = 'updating' AND a.observed_generation < a.desired_generation) THEN a.status \
             WHEN $2::text IS NOT NULL THEN $2 \
             WHEN a.status IN ('provisioning', 'offline', 'updating') THEN 'online' \
             ELSE a.status END, \
             next_attempt_at = CASE WHEN a.wake_attempts > 0 AND a.attempts = 0 AND a.next_attempt_at > now() THEN now() ELSE a.next_attempt_at END \
         WHERE a.id = $1 RETURNING",
        "",
        agent,
        status
    )
    .fetch_optional(&mut *tx)
    .await?
    .ok_or_else(|| Error::not_found("Agent not found"))?;
    tell_status(&mut tx, caller, &row).await?;
    let told = change("agent.heartbeat", &row)
        .message(format!("Heartbeat received from {}.", row.name))
        .after(&row.to_proto());
    tx.record(caller, told).await?;
    tx.commit().await?;
    if row.wake_attempts > 0 {
        // It was waited for: the reconciler need not wait any more.
        app.work.notify_one();
    }
    Ok(row.to_proto())
}
