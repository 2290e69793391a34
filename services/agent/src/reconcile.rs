//! The reconciler: brings gateways to what the rows say, as often as it takes.
//!
//! It looks at levels, not at edges: a row is due, it is claimed under a lease, and one pass does whatever is missing. A pass that fails
//! leaves a condition with the reason and a time for the next one; a process that dies leaves a lease that runs out.

use std::{collections::HashSet, sync::Arc, time::Duration};

use chassis::{Caller, Result, Tx, role::backoff};
use parking_lot::Mutex;
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    app::App,
    change::leave_behind,
    lease::{Of, give_back, hold},
    operations::{self, move_items},
    presence::{change, tell_status},
    provision::{self, Ensured, Failure, Occasion},
    row::{AgentRow, CONDITIONS, Condition, agents, set_condition},
    rules::{self, CheckIn},
    takers::Takers,
};

/// Agents worked on at once. Writes to one gateway are put together by the bridge.
const CONCURRENCY: usize = 8;
/// Longest wait before the rows are looked at again: for what other processes and consumers wrote.
const IDLE: Duration = Duration::from_millis(500);
/// Longest wait while the rows cannot be looked at.
const AWAY: Duration = Duration::from_secs(10);
/// How long passes may go on when the process is to end.
const DRAIN: Duration = Duration::from_secs(5);
/// Delays between attempts that fail.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// An agent is removed from here after this long, although its gateway could not be told.
const REMOVE_WITHIN: time::Duration = time::Duration::minutes(10);

/// Reconciles until `stop`.
pub async fn run(app: Arc<App>, stop: CancellationToken) -> Result<()> {
    let leases = Arc::new(Mutex::new(HashSet::new()));
    let takers = Takers {
        what: "reconciling agents",
        most: CONCURRENCY,
        woken: &app.work,
        idle: IDLE,
        away: AWAY,
    };
    let begin = |claimed: Claimed| {
        let (app, leases, lease) = (app.clone(), leases.clone(), claimed.lease);
        leases.lock().insert(lease);
        async move {
            let done = pass(app, claimed).await;
            leases.lock().remove(&lease);
            done
        }
    };
    let mut passes = takers.take(&stop, |most| Box::pin(claim(&app, most)), begin).await;
    if !takers.drain(&mut passes, DRAIN).await {
        tracing::info!("reconciling is cut off: another process goes on with it");
        passes.shutdown().await;
        let leases: Vec<Uuid> = leases.lock().iter().copied().collect();
        sqlx::query!(
            "UPDATE agent.agents SET lease_id = NULL, lease_until = NULL WHERE lease_id = ANY($1)",
            &leases
        )
        .execute(app.store.pool())
        .await?;
    }
    Ok(())
}

/// One pass under its lease.
async fn pass(app: Arc<App>, claimed: Claimed) -> Result<()> {
    let (id, lease, attempts) = (claimed.row.id, claimed.lease, claimed.row.attempts);
    let done = hold(&app, Of::Agent, id, lease, Box::pin(Pass::new(&app, claimed).run())).await;
    if done.is_err() {
        give_back(&app, Of::Agent, id, lease, attempts).await;
    }
    done
}

struct Claimed {
    row: AgentRow,
    lease: Uuid,
}

/// Rows that are due. Rows that are claimed together share a lease, which no other claim has.
async fn claim(app: &App, most: usize) -> Result<Vec<Claimed>> {
    let lease = Uuid::now_v7();
    let rows = agents!(
        "UPDATE agent.agents AS a SET lease_id = $1, lease_until = now() + interval '20 seconds' WHERE a.id IN ( \
             SELECT id FROM agent.agents WHERE next_attempt_at <= now() AND (lease_until IS NULL OR lease_until < now()) \
             ORDER BY next_attempt_at LIMIT $2 FOR UPDATE SKIP LOCKED) RETURNING",
        "",
        lease,
        i64::try_from(most).unwrap_or(1)
    )
    .fetch_all(app.store.pool())
    .await?;
    Ok(rows.into_iter().map(|row| Claimed { row, lease }).collect())
}

/// How a pass ended.
enum End {
    /// Everything is as it should be; look again at this time, if any.
    Converged {
        next: Option<OffsetDateTime>,
        woken: bool,
        gave_up: bool,
        digest: Option<String>,
    },
    /// A step failed.
    Failed(Failure),
    /// The agent is off its gateway, or its gateway is out of reach for good; the note says which.
    Removed(&'static str),
    /// Another process has taken over.
    Lost,
}

/// One look at one agent.
struct Pass<'a> {
    app: &'a App,
    row: AgentRow,
    lease: Uuid,
    conditions: Vec<Condition>,
}

impl<'a> Pass<'a> {
    fn new(app: &'a App, claimed: Claimed) -> Self {
        let conditions = claimed.row.conditions();
        Self {
            app,
            row: claimed.row,
            lease: claimed.lease,
            conditions,
        }
    }

    async fn run(mut self) -> Result<()> {
        let end = if self.row.deleting_at.is_some() {
            self.remove().await
        } else {
            self.converge().await
        };
        let end = end.unwrap_or_else(End::Failed);
        match end {
            End::Converged {
                next,
                woken,
                gave_up,
                digest,
            } => self.converged(next, woken, gave_up, digest).await,
            End::Failed(failure) => self.failed(failure).await,
            End::Removed(note) => self.removed(note, false).await,
            End::Lost => Ok(()),
        }
    }

    fn set(&mut self, condition: &'static str, reason: &str, message: &str) {
        set_condition(
            &mut self.conditions,
            condition,
            "true",
            reason,
            message,
            OffsetDateTime::now_utc(),
        );
    }

    /// Keeps the lease and shows how far this pass has come. `false`: the lease is somebody else's now.
    async fn checkpoint(&self) -> Result<bool> {
        let mut tx = self.app.store.begin().await?;
        let row = agents!(
            "UPDATE agent.agents AS a SET conditions = $3, lease_until = now() + interval '20 seconds' WHERE a.id = $1 AND a.lease_id = $2 RETURNING",
            "",
            self.row.id,
            self.lease,
            serde_json::to_value(&self.conditions).unwrap_or_default()
        )
        .fetch_optional(&mut *tx)
        .await?;
        let Some(row) = row else { return Ok(false) };
        tell(&mut tx, &self.app.itself(row.organization_id), &row).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// [`Self::checkpoint`] between steps: a database that is away ends the pass.
    async fn step(&self, condition: &'static str) -> Result<bool, Failure> {
        self.checkpoint().await.map_err(|error| Failure::of(condition, &error))
    }

    async fn converge(&mut self) -> Result<End, Failure> {
        let wishes = self.row.wishes();
        let is_new = self.row.observed_generation == 0;
        let pending = self.row.observed_generation < self.row.desired_generation
            || self.row.applied_digest.is_none()
            || wishes.verify;
        let check = rules::check_in(
            self.row.wake_attempts,
            self.row.last_wake_at,
            self.row.last_seen_at,
            OffsetDateTime::now_utc(),
        );
        if check == CheckIn::Settled {
            self.row.wake_attempts = 0;
        }
        if !pending && !wishes.wake {
            match check {
                CheckIn::Settled => {
                    return Ok(End::Converged {
                        next: None,
                        woken: false,
                        gave_up: false,
                        digest: None,
                    });
                }
                CheckIn::Waiting(until) => {
                    return Ok(End::Converged {
                        next: Some(until),
                        woken: false,
                        gave_up: false,
                        digest: None,
                    });
                }
                CheckIn::GiveUp => {
                    return Ok(End::Converged {
                        next: None,
                        woken: false,
                        gave_up: true,
                        digest: None,
                    });
                }
                CheckIn::WakeAgain => {}
            }
        }
        provision::connected(self.app, self.row.organization_id, self.row.gateway_id).await?;
        self.set("GatewayConnected", "Connected", "The gateway answers.");
        let mut digest = None;
        if pending {
            match self
                .apply(wishes.overwrite || is_new, wishes.bootstrap, wishes.refresh)
                .await?
            {
                Some(applied) => digest = Some(applied),
                None => return Ok(End::Lost),
            }
            if wishes.reset_session {
                provision::reset_session(self.app, &self.row).await?;
            }
        }
        if !wishes.wake && !matches!(check, CheckIn::WakeAgain) {
            let next = if let CheckIn::Waiting(until) = check {
                Some(until)
            } else {
                None
            };
            return Ok(End::Converged {
                next,
                woken: false,
                gave_up: false,
                digest,
            });
        }
        let number = if wishes.wake { 1 } else { self.row.wake_attempts + 1 };
        let occasion = match (is_new, pending) {
            (true, _) => Occasion::Provisioned,
            (false, true) => Occasion::Updated,
            (false, false) => Occasion::Silent,
        };
        provision::wake(self.app, &self.row, occasion, number).await?;
        self.row.wake_attempts = number;
        self.set(
            "Woken",
            "Sent",
            &format!("Wake-up {number} of {} was sent.", rules::MAX_WAKES),
        );
        let waiting = format!("The agent has {} seconds to call.", rules::CHECK_IN.as_secs());
        set_condition(
            &mut self.conditions,
            "CheckedIn",
            "unknown",
            "Waiting",
            &waiting,
            OffsetDateTime::now_utc(),
        );
        Ok(End::Converged {
            next: Some(OffsetDateTime::now_utc() + rules::CHECK_IN),
            woken: true,
            gave_up: false,
            digest,
        })
    }

    /// Agent, files and heartbeat. Answers the digest of what is there now; `None` when the lease was lost.
    async fn apply(&mut self, overwrite: bool, bootstrap: bool, refresh: bool) -> Result<Option<String>, Failure> {
        let plan = provision::plan(self.app, &self.row, bootstrap)
            .await
            .map_err(|error| Failure::of("FilesWritten", &error))?;
        let ensured = provision::ensure(self.app, &self.row, &plan).await?;
        let (reason, message) = match ensured {
            Ensured::Created => ("Created", "The agent was created on the gateway."),
            Ensured::Changed => ("Changed", "The agent was there and was brought up to date."),
            Ensured::Unchanged => ("Unchanged", "The agent was there as it should be."),
        };
        self.set("Created", reason, message);
        if !self.step("Created").await? {
            return Ok(None);
        }
        let same = self.row.applied_digest.as_ref() == Some(&plan.digest) && ensured != Ensured::Created;
        if same && !overwrite && !bootstrap && !refresh {
            self.set("HeartbeatConfigured", "Unchanged", "The heartbeat is as it should be.");
            self.set("FilesWritten", "Unchanged", "The files are as they should be.");
            return Ok(Some(plan.digest));
        }
        // First the heartbeat: newer releases keep HEARTBEAT.md in the job that they make of it.
        let changed = provision::configure(self.app, &self.row, &plan).await?;
        let every = plan
            .heartbeat
            .get("every")
            .and_then(serde_json::Value::as_str)
            .unwrap_or_default();
        self.set(
            "HeartbeatConfigured",
            if changed { "Configured" } else { "Unchanged" },
            &format!("The gateway wakes it every {every}."),
        );
        if !self.step("HeartbeatConfigured").await? {
            return Ok(None);
        }
        let stale = refresh && !provision::token_agrees(self.app, &self.row, &plan).await?;
        let files = provision::write(self.app, &self.row, &plan, overwrite || ensured == Ensured::Created).await?;
        let mut message = if files.written.is_empty() {
            "No file differed.".to_owned()
        } else {
            format!("Written: {}.", files.written.join(", "))
        };
        for refused in &files.refused {
            message.push_str(" Not taken: ");
            message.push_str(refused);
            message.push('.');
        }
        if stale {
            message.push_str(" Warning: AUTH_TOKEN in TOOLS.md was not the agent's; it is now.");
        }
        self.set(
            "FilesWritten",
            if files.written.is_empty() {
                "Unchanged"
            } else {
                "Written"
            },
            &message,
        );
        Ok(Some(plan.digest))
    }

    async fn converged(
        mut self,
        next: Option<OffsetDateTime>,
        woken: bool,
        gave_up: bool,
        digest: Option<String>,
    ) -> Result<()> {
        const SILENT: &str = "The agent did not call after three wake-ups. Look at its session on the gateway: does it have a model, and can it \
                              reach Mission Control? Then update the agent with force.";
        let observed = digest.is_some();
        let now = OffsetDateTime::now_utc();
        if gave_up {
            set_condition(&mut self.conditions, "CheckedIn", "false", "Silent", SILENT, now);
        } else if next.is_none()
            && self
                .row
                .last_wake_at
                .is_some_and(|woken| rules::answered(woken, self.row.last_seen_at))
        {
            set_condition(
                &mut self.conditions,
                "CheckedIn",
                "true",
                "Seen",
                "The agent calls.",
                now,
            );
        }
        // What was wished for meanwhile stays. Whoever wishes says when to look again: a time that is not the one this pass came for is a
        // wish, also when it names nothing new, as the return of a gateway that was being looked at.
        let fulfilled: Vec<String> = self
            .row
            .wishes
            .as_object()
            .map(|wishes| wishes.keys().cloned().collect())
            .unwrap_or_default();
        let caller = self.app.itself(self.row.organization_id);
        let mut tx = self.app.store.begin().await?;
        let row = agents!(
            "UPDATE agent.agents AS a SET conditions = $3, attempts = 0, last_failure = NULL, lease_id = NULL, lease_until = NULL, \
                 last_provision_error = CASE WHEN $9 THEN $10 END, \
                 observed_generation = CASE WHEN $5 THEN $4 ELSE a.observed_generation END, \
                 applied_digest = CASE WHEN $5 AND a.desired_generation = $4 THEN $6 ELSE a.applied_digest END, \
                 wishes = CASE WHEN a.desired_generation <> $4 THEN a.wishes \
                     WHEN a.next_attempt_at IS DISTINCT FROM $13 THEN a.wishes - array_remove($7::text[], 'verify') \
                     ELSE a.wishes - $7::text[] END, \
                 next_attempt_at = CASE WHEN a.desired_generation <> $4 OR a.wishes - $7::text[] <> '{}' OR a.deleting_at IS NOT NULL \
                     OR ($11 AND a.last_seen_at > now() - interval '30 seconds') THEN now() \
                     WHEN a.next_attempt_at IS DISTINCT FROM $13 THEN a.next_attempt_at ELSE $8 END, \
                 wake_attempts = $12, \
                 last_wake_at = CASE WHEN $11 THEN now() ELSE a.last_wake_at END, \
                 status = CASE WHEN a.deleting_at IS NOT NULL THEN a.status \
                     WHEN $9 THEN 'offline' \
                     WHEN a.status = 'updating' AND a.desired_generation = $4 THEN \
                         CASE WHEN a.last_seen_at IS NULL THEN 'provisioning' ELSE 'online' END \
                     ELSE a.status END \
             WHERE a.id = $1 AND a.lease_id = $2 RETURNING",
            "",
            self.row.id,
            self.lease,
            serde_json::to_value(&self.conditions).unwrap_or_default(),
            self.row.desired_generation,
            observed,
            digest,
            &fulfilled,
            next,
            gave_up,
            SILENT,
            woken,
            self.row.wake_attempts,
            self.row.next_attempt_at
        )
        .fetch_optional(&mut *tx)
        .await?;
        let Some(row) = row else { return Ok(()) };
        if observed && self.row.observed_generation < self.row.desired_generation {
            let (kind, done) = if self.row.observed_generation == 0 {
                ("agent.provision.direct", "set up")
            } else {
                ("agent.update.direct", "up to date")
            };
            let told = change(kind, &row)
                .message(format!("Agent {} is {done} on its gateway.", row.name))
                .after(&row.to_proto());
            tx.record(&caller, told).await?;
        }
        if observed {
            let files = self
                .conditions
                .iter()
                .find(|condition| condition.kind == "FilesWritten")
                .map_or("", |condition| condition.message.as_str());
            move_items(&mut tx, &caller, &row, "done", files).await?;
        }
        if observed || woken || gave_up {
            tell(&mut tx, &caller, &row).await?;
        }
        if woken {
            let told = change("agent.wakeup.sent", &row)
                .message(format!("Wake-up sent to {}.", row.name))
                .after(&row.to_proto());
            tx.record(&caller, told).await?;
            self.app.touches.forget(row.id);
        }
        tell_status(&mut tx, &caller, &row).await?;
        tx.commit().await
    }

    async fn failed(mut self, failure: Failure) -> Result<()> {
        let now = OffsetDateTime::now_utc();
        if self.row.deleting_at.is_some_and(|since| now - since > REMOVE_WITHIN) {
            return self
                .removed(
                    "; its gateway could not be told: it is removed there when that is back within a day",
                    true,
                )
                .await;
        }
        set_condition(
            &mut self.conditions,
            failure.condition,
            "false",
            &failure.reason,
            &failure.message,
            now,
        );
        // What comes after the failed step is not known any more, unless it was true and still may be.
        let reached = CONDITIONS
            .iter()
            .position(|kind| *kind == failure.condition)
            .unwrap_or(0);
        for kind in &CONDITIONS[reached + 1..] {
            if !self.conditions.iter().any(|condition| condition.kind == *kind) {
                set_condition(
                    &mut self.conditions,
                    kind,
                    "unknown",
                    "Waiting",
                    "An earlier step comes first.",
                    now,
                );
            }
        }
        let attempts = self.row.attempts.saturating_add(1);
        let delay = backoff(u32::try_from(attempts).unwrap_or(u32::MAX), RETRY.0, RETRY.1);
        let cause = format!("{}/{}", failure.condition, failure.reason);
        // Every cause is told once until the agent converges; a gateway on its way up is no failure.
        let known = self.row.last_failure.as_deref().unwrap_or_default();
        let is_news = failure.reason != "Connecting" && !known.split(' ').any(|known| known == cause);
        let causes = if is_news {
            format!("{known} {cause}").trim().to_owned()
        } else {
            known.to_owned()
        };
        tracing::warn!(agent = %self.row.id, gateway = %self.row.gateway_id, condition = failure.condition, reason = failure.reason, attempts, "an agent could not be reconciled");
        let mut tx = self.app.store.begin().await?;
        // A time to look again that is not the one this pass came for was set meanwhile, by a change or because the gateway is back: it
        // counts, and the delays begin anew.
        let row = agents!(
            "UPDATE agent.agents AS a SET conditions = $3, last_failure = $5, last_provision_error = $6, lease_id = NULL, lease_until = NULL, \
                 attempts = CASE WHEN a.next_attempt_at IS DISTINCT FROM $10 THEN 1 ELSE $4 END, \
                 next_attempt_at = CASE WHEN a.desired_generation <> $7 OR (a.deleting_at IS NOT NULL AND NOT $8) THEN now() \
                     WHEN a.next_attempt_at IS DISTINCT FROM $10 THEN a.next_attempt_at ELSE $9 END \
             WHERE a.id = $1 AND a.lease_id = $2 RETURNING",
            "",
            self.row.id,
            self.lease,
            serde_json::to_value(&self.conditions).unwrap_or_default(),
            attempts,
            causes,
            failure.message,
            self.row.desired_generation,
            self.row.deleting_at.is_some(),
            now + delay,
            self.row.next_attempt_at
        )
        .fetch_optional(&mut *tx)
        .await?;
        if let Some(row) = &row {
            let caller = self.app.itself(row.organization_id);
            // What the agent's own templates forbid is not mended by trying again.
            let hopeless = failure.condition == "FilesWritten" && failure.reason == "Refused";
            let state = if hopeless { "failed" } else { "waiting" };
            move_items(&mut tx, &caller, row, state, &failure.message).await?;
            tell(&mut tx, &caller, row).await?;
        }
        if let Some(row) = row
            && is_news
        {
            let caller = self.app.itself(row.organization_id);
            let (kind, verb) = if row.deleting_at.is_some() {
                ("agent.delete.failed", "removed from")
            } else if row.observed_generation == 0 {
                ("agent.provision.failed", "set up on")
            } else {
                ("agent.update.failed", "brought up to date on")
            };
            let sentence = format!(
                "Agent {} could not be {verb} its gateway: {}",
                row.name, failure.message
            );
            tx.record(&caller, change(kind, &row).message(sentence).after(&row.to_proto()))
                .await?;
        }
        tx.commit().await
    }

    /// Takes the agent off its gateway.
    async fn remove(&mut self) -> Result<End, Failure> {
        let row = &self.row;
        match provision::connected(self.app, row.organization_id, row.gateway_id).await {
            Ok(()) => {}
            Err(failure) if failure.reason == "GatewayMissing" => return Ok(End::Removed("; its gateway is gone")),
            // It never got there: nothing waits for the gateway.
            Err(_)
                if row.observed_generation == 0
                    && !self
                        .conditions
                        .iter()
                        .any(|known| known.kind == "Created" && known.status == "true") =>
            {
                return Ok(End::Removed(""));
            }
            Err(failure) => return Err(failure),
        }
        provision::remove(
            self.app,
            row.organization_id,
            row.gateway_id,
            rules::agent_key_of(&row.session_key),
            &row.session_key,
        )
        .await
        .map_err(|error| Failure::of("Created", &error))?;
        Ok(End::Removed(""))
    }

    async fn removed(self, note: &str, is_there: bool) -> Result<()> {
        let caller = self.app.itself(self.row.organization_id);
        let mut tx = self.app.store.begin().await?;
        if is_there {
            leave_behind(&mut tx, &self.row).await?;
        }
        delete(&mut tx, &caller, &self.row, note).await?;
        tx.commit().await?;
        self.app.known.forget(self.row.id);
        Ok(())
    }
}

/// Tells watchers of operations how an agent's provisioning stands.
async fn tell(tx: &mut Tx, caller: &Caller, row: &AgentRow) -> Result<()> {
    operations::tell(
        tx,
        caller,
        operations::provisioning(row),
        operations::steps(&row.conditions()),
    )
    .await
}

/// Deletes a row and tells of it.
pub async fn delete(tx: &mut Tx, caller: &Caller, row: &AgentRow, note: &str) -> Result<()> {
    move_items(tx, caller, row, "skipped", "The agent was deleted.").await?;
    let done = sqlx::query!("DELETE FROM agent.agents WHERE id = $1", row.id)
        .execute(&mut **tx)
        .await?;
    if done.rows_affected() == 1 {
        let told = change("agent.deleted", row)
            .message(format!("Deleted agent {}{note}.", row.name))
            .before(&row.to_proto());
        tx.record(caller, told).await?;
    }
    Ok(())
}

/// Removes agents from gateways they were moved away from, until `stop`; given up after a day.
pub async fn tidy(app: Arc<App>, stop: CancellationToken) -> Result<()> {
    while !stop.is_cancelled() {
        // One that came back is left behind no more.
        sqlx::query!("DELETE FROM agent.leftovers AS l USING agent.agents AS a WHERE a.gateway_id = l.gateway_id AND a.session_key = l.session_key")
            .execute(app.store.pool())
            .await?;
        let due = sqlx::query!(
            "UPDATE agent.leftovers SET attempts = attempts + 1, next_attempt_at = now() + interval '60 seconds' WHERE id IN ( \
                 SELECT id FROM agent.leftovers WHERE next_attempt_at <= now() ORDER BY next_attempt_at LIMIT 8 FOR UPDATE SKIP LOCKED) \
             RETURNING id, organization_id, gateway_id, agent_key, session_key, created_at"
        )
        .fetch_all(app.store.pool())
        .await?;
        for left in due {
            let gone = provision::remove(
                &app,
                left.organization_id,
                left.gateway_id,
                &left.agent_key,
                &left.session_key,
            )
            .await;
            let old = OffsetDateTime::now_utc() - left.created_at > time::Duration::DAY;
            if let Err(error) = &gone {
                tracing::warn!(gateway = %left.gateway_id, agent_key = left.agent_key, %error, "an agent that moved is still on its old gateway");
            }
            if gone.is_ok() || old {
                sqlx::query!("DELETE FROM agent.leftovers WHERE id = $1", left.id)
                    .execute(app.store.pool())
                    .await?;
            }
        }
        let _ = tokio::time::timeout(Duration::from_secs(5), stop.cancelled()).await;
    }
    Ok(())
}
