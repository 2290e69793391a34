//! Explicit signs of life.

use chassis::{Caller, Error, Result};
use proto::agent::v1::Agent;
use uuid::Uuid;

use crate::{
    agents::reportable,
    app::App,
    presence::{change, tell_status},
    row::agents,
};

/// Writes a heartbeat. The status becomes what the agent says of itself; without that, `online` when it was not here before.
pub async fn heartbeat(app: &App, caller: &Caller, agent: Uuid, status: Option<&str>) -> Result<Agent> {
    let status = status.map(str::trim).filter(|status| !status.is_empty());
    status.map_or(Ok(()), reportable)?;
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
