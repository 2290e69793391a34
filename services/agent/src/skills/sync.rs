//! Reading packs: asked for by a person, done by a loop under a lease, so that it goes on whoever waits and whichever process dies.

use std::{collections::HashMap, sync::Arc, time::Duration};

use chassis::{Caller, Error, Result, error::Kind};
use proto::agent::v1::SyncSkillPackResponse;
use serde_json::Value;
use time::OffsetDateTime;
use tokio::{sync::broadcast::error::RecvError, time::Instant};
use tokio_util::sync::CancellationToken;
use url::Url;
use uuid::Uuid;

use super::{
    Skills,
    discover::{Findings, discover},
    packs::find,
    row::{PackRow, select_packs},
    source,
};
use crate::{git, takers::Takers};

/// How long a caller waits for a reading.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often a caller looks at the row, for readings that another process does.
const LOOK: Duration = Duration::from_secs(1);
/// Packs read at once in one process.
const CONCURRENCY: usize = 2;
/// Longest wait before the rows are looked at again: for what other processes wrote.
const IDLE: Duration = Duration::from_secs(2);
/// Longest wait while the rows cannot be looked at.
const AWAY: Duration = Duration::from_secs(20);
/// Readings that ended with their process before it is no longer tried.
const ATTEMPTS: i32 = 3;

/// Asks for a reading, or joins the one that is under way, and waits for its end.
pub async fn ask(skills: &Skills, caller: &Caller, id: &str) -> Result<SyncSkillPackResponse> {
    let organization = caller.organization()?;
    let mut ended = skills.ended.subscribe();
    let mut tx = skills.app.store.begin().await?;
    let row = find(&mut tx, organization, id, true).await?;
    // What was allowed once may not be any more.
    let source_url = source::repository(&row.source_url, &skills.hosts)?;
    skills.policy.check("source_url", &source_url)?;
    if !matches!(row.sync_state.as_str(), "queued" | "running") {
        sqlx::query!(
            "UPDATE agent.skill_packs SET sync_state = 'queued', sync_attempts = 0, sync_error = NULL, sync_warnings = '{}', \
                 sync_requested_at = now(), sync_finished_at = NULL WHERE id = $1",
            row.id
        )
        .execute(&mut *tx)
        .await?;
        let after = find(&mut tx, organization, id, false).await?;
        let change = row.change("skill_pack.sync_requested", "will be read");
        tx.record(caller, change.before(&row.message()).after(&after.message()))
            .await?;
    }
    tx.commit().await?;
    skills.work.notify_one();

    let until = Instant::now() + PATIENCE;
    loop {
        let mut connection = skills.app.store.pool().acquire().await?;
        let row = find(&mut connection, organization, id, false).await?;
        drop(connection);
        match row.sync_state.as_str() {
            "succeeded" => return Ok(answer(&row)),
            "failed" => {
                let cause = row.sync_error.unwrap_or_default();
                return Err(Error::gateway(format!("The pack could not be read. {cause}")));
            }
            "never" => return Err(Error::conflict("The pack was changed meanwhile. Sync it again.")),
            _ if Instant::now() >= until => {
                return Err(Error::new(
                    Kind::Deadline,
                    "The pack is still being read, and that goes on: `sync` of the pack shows how it stands.",
                ));
            }
            _ => {}
        }
        // The row tells; this only wakes.
        let pack = row.id;
        let woken = async {
            loop {
                match ended.recv().await {
                    Ok(id) if id == pack => return,
                    Ok(_) => {}
                    Err(RecvError::Lagged(_)) => return,
                    Err(RecvError::Closed) => std::future::pending().await,
                }
            }
        };
        let _ = tokio::time::timeout_at(until.min(Instant::now() + LOOK), woken).await;
    }
}

fn answer(row: &PackRow) -> SyncSkillPackResponse {
    SyncSkillPackResponse {
        ok: true,
        pack_id: row.id.to_string(),
        synced: row.sync_found,
        created: row.sync_created,
        updated: row.sync_updated,
        warnings: row.sync_warnings.clone(),
    }
}

/// Reads packs until `stop`.
pub async fn run(skills: Arc<Skills>, stop: CancellationToken) -> Result<()> {
    let takers = Takers {
        what: "reading skill packs",
        most: CONCURRENCY,
        woken: &skills.work,
        idle: IDLE,
        away: AWAY,
    };
    let begin = |claimed: Claimed| {
        let skills = skills.clone();
        async move { work(&skills, claimed).await }
    };
    let mut reading = takers.take(&stop, |most| Box::pin(claim(&skills, most)), begin).await;
    // What is under way is begun again by the next process: at once, or when the lease runs out after a crash.
    reading.shutdown().await;
    sqlx::query!(
        "UPDATE agent.skill_packs SET sync_state = 'queued', lease_id = NULL, lease_until = NULL WHERE lease_id = $1 AND sync_state = 'running'",
        skills.lease
    )
    .execute(skills.app.store.pool())
    .await?;
    Ok(())
}

/// A pack that this process reads.
struct Claimed {
    row: PackRow,
    attempts: i32,
}

/// Packs that are to be read, under a lease that outlives a reading.
async fn claim(skills: &Skills, most: usize) -> Result<Vec<Claimed>> {
    let claimed = sqlx::query!(
        "UPDATE agent.skill_packs SET sync_state = 'running', sync_attempts = sync_attempts + 1, lease_id = $1, \
             lease_until = now() + interval '3 minutes' WHERE id IN ( \
             SELECT id FROM agent.skill_packs WHERE sync_state IN ('queued', 'running') AND (sync_state = 'queued' OR lease_until < now()) \
             ORDER BY sync_requested_at LIMIT $2 FOR UPDATE SKIP LOCKED) \
         RETURNING id, sync_attempts",
        skills.lease,
        i64::try_from(most).unwrap_or(1)
    )
    .fetch_all(skills.app.store.pool())
    .await?;
    if claimed.is_empty() {
        return Ok(Vec::new());
    }
    let attempts: HashMap<Uuid, i32> = claimed.iter().map(|row| (row.id, row.sync_attempts)).collect();
    let ids: Vec<Uuid> = attempts.keys().copied().collect();
    let rows = select_packs!("WHERE p.id = ANY($1)", &ids)
        .fetch_all(skills.app.store.pool())
        .await?;
    let claimed = rows.into_iter().map(|row| Claimed {
        attempts: attempts.get(&row.id).copied().unwrap_or_default(),
        row,
    });
    Ok(claimed.collect())
}

/// Reads one pack and writes down what came of it.
async fn work(skills: &Skills, claimed: Claimed) -> Result<()> {
    let Claimed { row, attempts } = claimed;
    let outcome = read(skills, &row, attempts).await;
    let caller = skills.app.itself(row.organization_id);
    let mut tx = skills.app.store.begin().await?;
    // A pack that was changed or deleted meanwhile, or that another process took over, has no use for this.
    let ours = sqlx::query_scalar!(
        "SELECT id FROM agent.skill_packs WHERE id = $1 AND lease_id = $2 AND sync_state = 'running' FOR UPDATE",
        row.id,
        skills.lease
    )
    .fetch_optional(&mut *tx)
    .await?;
    if ours.is_none() {
        return Ok(());
    }
    let error = match outcome {
        Ok((commit, findings)) => {
            let (created, updated) = store(&mut tx, row.organization_id, &findings).await?;
            sqlx::query!(
                "UPDATE agent.skill_packs SET sync_state = 'succeeded', sync_error = NULL, sync_warnings = $2, sync_commit = $3, sync_found = $4, \
                     sync_created = $5, sync_updated = $6, sync_finished_at = now(), lease_id = NULL, lease_until = NULL WHERE id = $1",
                row.id,
                &findings.warnings,
                commit,
                count(findings.skills.len()),
                created,
                updated
            )
            .execute(&mut *tx)
            .await?;
            None
        }
        Err(trouble) => {
            tracing::info!(pack = %row.id, source = row.source_url, attempts, error = %trouble, "a skill pack could not be read");
            sqlx::query!(
                "UPDATE agent.skill_packs SET sync_state = 'failed', sync_error = $2, sync_finished_at = now(), lease_id = NULL, \
                     lease_until = NULL WHERE id = $1",
                row.id,
                trouble.0
            )
            .execute(&mut *tx)
            .await?;
            Some(trouble)
        }
    };
    let after = find(&mut tx, row.organization_id, &row.id.to_string(), false).await?;
    let change = match &error {
        None => row.change("skill_pack.synced", &format!("read, {} skills", after.sync_found)),
        Some(_) => row.change("skill_pack.sync_failed", "could not be read"),
    };
    tx.record(&caller, change.after(&after.message())).await?;
    tx.commit().await?;
    let _ = skills.ended.send(row.id);
    Ok(())
}

async fn read(skills: &Skills, row: &PackRow, attempts: i32) -> Result<(String, Findings), git::Trouble> {
    if attempts > ATTEMPTS {
        return Err(git::Trouble(format!(
            "Reading it was interrupted {ATTEMPTS} times, which may be its own doing."
        )));
    }
    let url = Url::parse(&row.source_url).map_err(|_| git::Trouble("Its address is not a URL.".to_owned()))?;
    let snapshot = git::read(&skills.client, &url, &row.branch, skills.limits).await?;
    let mut findings = discover(&row.source_url, &snapshot);
    if snapshot.branch != row.branch {
        let text = format!("There is no branch `{}`: `{}` was read.", row.branch, snapshot.branch);
        findings.warnings.insert(0, text);
    }
    Ok((snapshot.commit, findings))
}

fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// Brings findings into the marketplace with one statement. Says how many are new and how many differed.
async fn store(tx: &mut chassis::Tx, organization: Uuid, findings: &Findings) -> Result<(i32, i32)> {
    let skills = &findings.skills;
    let ids: Vec<Uuid> = skills.iter().map(|_| Uuid::now_v7()).collect();
    let texts =
        |of: fn(&super::discover::Found) -> &String| skills.iter().map(|skill| of(skill).clone()).collect::<Vec<_>>();
    let options = |of: fn(&super::discover::Found) -> &Option<String>| {
        skills.iter().map(|skill| of(skill).clone()).collect::<Vec<_>>()
    };
    let metadata: Vec<Value> = skills.iter().map(|skill| skill.metadata.clone()).collect();
    let written = sqlx::query_scalar!(
        "INSERT INTO agent.skills AS s (id, organization_id, name, description, category, risk, source_url, metadata, created_at, updated_at) \
         SELECT id, $2, name, description, category, risk, source_url, metadata, $9, $9 \
         FROM unnest($1::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::jsonb[]) \
             AS f (id, name, description, category, risk, source_url, metadata) \
         ON CONFLICT (organization_id, source_url) DO UPDATE SET name = excluded.name, description = excluded.description, \
             category = excluded.category, risk = excluded.risk, metadata = excluded.metadata, updated_at = excluded.updated_at \
         WHERE (s.name, s.description, s.category, s.risk, s.metadata) \
             IS DISTINCT FROM (excluded.name, excluded.description, excluded.category, excluded.risk, excluded.metadata) \
         RETURNING (xmax = 0) AS \"new!\"",
        &ids,
        organization,
        &texts(|skill| &skill.name),
        &options(|skill| &skill.description) as &[Option<String>],
        &options(|skill| &skill.category) as &[Option<String>],
        &options(|skill| &skill.risk) as &[Option<String>],
        &texts(|skill| &skill.source_url),
        &metadata,
        OffsetDateTime::now_utc()
    )
    .fetch_all(&mut **tx)
    .await?;
    let new = written.iter().filter(|new| **new).count();
    Ok((count(new), count(written.len() - new)))
}
