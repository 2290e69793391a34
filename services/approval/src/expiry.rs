//! Approvals that nobody decides in time are refused.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use chassis::{Caller, Result, Store, identity::Signer, role::backoff};
use proto::approval::v1::{Approval, ApprovalStatus};
use time::OffsetDateTime;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    rows::{self, Counts, Row},
    rules,
};

/// Approvals ended by one transaction at most.
const BATCH: i64 = 100;
/// Longest sleep: approvals may be asked for by another process.
const LONGEST: Duration = Duration::from_secs(15);
/// Shortest sleep, while another process may hold what is due.
const SHORTEST: Duration = Duration::from_millis(200);

/// The loop that ends them.
#[derive(Clone)]
pub struct Expiry {
    pub store: Store,
    pub signer: Signer,
    /// Rings when there may be an earlier end than known.
    pub due: Arc<Notify>,
}

impl Expiry {
    /// Runs until `stop`.
    pub async fn run(self, stop: CancellationToken) -> Result<()> {
        let mut failures = 0;
        while !stop.is_cancelled() {
            let pause = match self.turn().await {
                Ok(pause) => {
                    failures = 0;
                    pause
                }
                Err(error) => {
                    failures += 1;
                    tracing::warn!(
                        error = error.report(),
                        failures,
                        "ending approvals that nobody decided failed"
                    );
                    backoff(failures, SHORTEST, LONGEST)
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.due.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
        Ok(())
    }

    /// Ends what is due. Answers how long there is nothing to do.
    async fn turn(&self) -> Result<Duration> {
        let due = sqlx::query!(
            "SELECT id, board_id FROM approval.approvals WHERE status = 'pending' AND expires_at <= now() ORDER BY expires_at LIMIT $1",
            BATCH
        )
        .fetch_all(self.store.pool())
        .await?;
        if !due.is_empty() {
            let ids: Vec<Uuid> = due.iter().map(|row| row.id).collect();
            let boards: BTreeSet<Uuid> = due.iter().map(|row| row.board_id).collect();
            self.end(&ids, &boards.into_iter().collect::<Vec<_>>()).await?;
            return Ok(Duration::ZERO);
        }
        let next = sqlx::query_scalar!(
            "SELECT min(expires_at) FROM approval.approvals WHERE status = 'pending' AND expires_at IS NOT NULL"
        )
        .fetch_one(self.store.pool())
        .await?;
        let left = next.map_or(LONGEST, |at| {
            Duration::try_from(at - OffsetDateTime::now_utc()).unwrap_or_default()
        });
        Ok(left.clamp(SHORTEST, LONGEST))
    }

    async fn end(&self, ids: &[Uuid], boards: &[Uuid]) -> Result<()> {
        let mut tx = self.store.begin().await?;
        rows::lock_boards(&mut tx, boards).await?;
        let now = rows::now();
        let (mut before, mut ended): (Vec<Approval>, Vec<Row>) = (Vec::new(), Vec::new());
        for mut row in rows::hold(&mut tx, ids).await? {
            // Somebody may have decided meanwhile.
            let Some(expires_at) = row.expires_at.filter(|at| *at <= now) else {
                continue;
            };
            if rules::status(&row.status) != ApprovalStatus::Pending {
                continue;
            }
            before.push(Approval::from(&row));
            rules::word(ApprovalStatus::Rejected).clone_into(&mut row.status);
            row.resolved_at = Some(now);
            row.expired = true;
            row.decision_reason = Some(rules::expiry_reason(expires_at - row.created_at));
            ended.push(row);
        }
        if ended.is_empty() {
            return Ok(());
        }
        rows::resolve(&mut tx, &ended).await?;
        let counts = Counts::of(&mut tx, &ended).await?;
        let events: Vec<_> = ended
            .iter()
            .zip(&before)
            .map(|(row, before)| {
                let caller = Caller::service(&self.signer, "approval", Some(row.organization_id));
                let message = format!("Approval {} expired: nobody decided in time.", row.action_type);
                rows::changed("approval.resolved", message, Some(before), row, &counts).into_event(&caller)
            })
            .collect();
        tx.record_events(&events).await?;
        tx.commit().await
    }
}
