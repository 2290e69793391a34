//! The statements that keep the facts: one per kind and batch.

use std::collections::HashMap;

use chassis::{Result, Tx};
use proto::board::v1::Task;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{AgentFact, AgentProblem, ApprovalFact, BoardFact, GatewayFact, TaskFact, Told, is_deletion};

/// A column of values.
macro_rules! column {
    ($rows:expr, $row:ident => $value:expr) => {
        &$rows.iter().map(|$row| $value).collect::<Vec<_>>()
    };
}

pub async fn boards(tx: &mut Tx, facts: Vec<BoardFact>) -> Result<()> {
    if facts.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "INSERT INTO activity.boards AS known (id, organization_id, name, board_group_id, version, deleted) \
         SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::uuid[], $5::bigint[], $6::boolean[]) \
         ON CONFLICT (id) DO UPDATE SET name = EXCLUDED.name, board_group_id = EXCLUDED.board_group_id, version = EXCLUDED.version, \
           deleted = EXCLUDED.deleted \
         WHERE known.version <= EXCLUDED.version AND NOT known.deleted",
        column!(facts, fact => fact.id),
        column!(facts, fact => fact.organization),
        column!(facts, fact => fact.name.clone()),
        column!(facts, fact => fact.group) as &[Option<Uuid>],
        column!(facts, fact => fact.version),
        column!(facts, fact => fact.deleted),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

pub async fn tasks(tx: &mut Tx, events: Vec<(Told<'_>, Task)>) -> Result<()> {
    if events.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = events
        .iter()
        .filter_map(|(_, task)| Uuid::parse_str(&task.id).ok())
        .collect();
    let mut facts: HashMap<Uuid, TaskFact> = sqlx::query_as!(
        TaskFact,
        // One lookup each, whatever the planner believes of a table that was empty when it planned.
        "SELECT t.id, t.organization_id AS organization, t.board_id AS board, t.title, t.status, t.created_at, t.moved_at, t.started_at, \
           t.finished_at, t.blocked_since, t.blocked_by, t.version, t.deleted \
         FROM unnest($1::uuid[]) AS wanted (id) CROSS JOIN LATERAL (SELECT * FROM activity.tasks WHERE id = wanted.id OFFSET 0) t",
        &ids
    )
    .fetch_all(&mut **tx)
    .await?
    .into_iter()
    .map(|fact| (fact.id, fact))
    .collect();
    for (told, task) in &events {
        let Ok(id) = Uuid::parse_str(&task.id) else { continue };
        let how = (told.organization, told.at, told.event.position, is_deletion(told));
        if let Some(fact) = TaskFact::after(facts.remove(&id), task, how) {
            facts.insert(id, fact);
        }
    }
    let facts: Vec<TaskFact> = facts.into_values().collect();
    sqlx::query!(
        "INSERT INTO activity.tasks (id, organization_id, board_id, title, status, created_at, moved_at, started_at, finished_at, \
           blocked_since, blocked_by, version, deleted) \
         SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::timestamptz[], $7::timestamptz[], \
           $8::timestamptz[], $9::timestamptz[], $10::timestamptz[], $11::integer[], $12::bigint[], $13::boolean[]) \
         ON CONFLICT (id) DO UPDATE SET title = EXCLUDED.title, status = EXCLUDED.status, moved_at = EXCLUDED.moved_at, \
           started_at = EXCLUDED.started_at, finished_at = EXCLUDED.finished_at, blocked_since = EXCLUDED.blocked_since, \
           blocked_by = EXCLUDED.blocked_by, version = EXCLUDED.version, deleted = EXCLUDED.deleted",
        column!(facts, fact => fact.id),
        column!(facts, fact => fact.organization),
        column!(facts, fact => fact.board),
        column!(facts, fact => fact.title.clone()),
        column!(facts, fact => fact.status.clone()),
        column!(facts, fact => fact.created_at),
        column!(facts, fact => fact.moved_at),
        column!(facts, fact => fact.started_at) as &[Option<OffsetDateTime>],
        column!(facts, fact => fact.finished_at) as &[Option<OffsetDateTime>],
        column!(facts, fact => fact.blocked_since) as &[Option<OffsetDateTime>],
        column!(facts, fact => fact.blocked_by),
        column!(facts, fact => fact.version),
        column!(facts, fact => fact.deleted),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

pub async fn agents(tx: &mut Tx, facts: Vec<AgentFact>) -> Result<()> {
    if facts.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "INSERT INTO activity.agents AS known (id, organization_id, board_id, gateway_id, name, status, status_since, last_seen_at, version, deleted) \
         SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::text[], $7::timestamptz[], \
           $8::timestamptz[], $9::bigint[], $10::boolean[]) \
         ON CONFLICT (id) DO UPDATE SET board_id = EXCLUDED.board_id, gateway_id = EXCLUDED.gateway_id, name = EXCLUDED.name, \
           status = EXCLUDED.status, \
           status_since = CASE WHEN known.status = EXCLUDED.status THEN known.status_since ELSE EXCLUDED.status_since END, \
           last_seen_at = EXCLUDED.last_seen_at, version = EXCLUDED.version, deleted = EXCLUDED.deleted \
         WHERE known.version <= EXCLUDED.version AND NOT known.deleted",
        column!(facts, fact => fact.id),
        column!(facts, fact => fact.organization),
        column!(facts, fact => fact.board) as &[Option<Uuid>],
        column!(facts, fact => fact.gateway) as &[Option<Uuid>],
        column!(facts, fact => fact.name.clone()),
        column!(facts, fact => fact.status.clone()),
        column!(facts, fact => fact.at),
        column!(facts, fact => fact.last_seen_at) as &[Option<OffsetDateTime>],
        column!(facts, fact => fact.version),
        column!(facts, fact => fact.deleted),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

pub async fn problems(tx: &mut Tx, problems: Vec<AgentProblem>) -> Result<()> {
    if problems.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "UPDATE activity.agents AS known SET problem = now.problem, \
           problem_since = CASE WHEN now.problem IS NULL THEN NULL ELSE coalesce(known.problem_since, now.at) END \
         FROM unnest($1::uuid[], $2::text[], $3::timestamptz[]) AS now (id, problem, at) WHERE known.id = now.id",
        column!(problems, problem => problem.id),
        column!(problems, problem => problem.problem.clone()) as &[Option<String>],
        column!(problems, problem => problem.at),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Each by itself: names and connections come in different events, and there are few.
pub async fn gateways(tx: &mut Tx, facts: Vec<GatewayFact>) -> Result<()> {
    for fact in facts {
        sqlx::query!(
            "INSERT INTO activity.gateways AS known (id, organization_id, name, phase, since, error, remedy, version, deleted) \
             VALUES ($1, $2, coalesce($3, ''), coalesce($4, 'connecting'), $5, $6, $7, $8, $9) \
             ON CONFLICT (id) DO UPDATE SET name = coalesce($3, known.name), phase = coalesce($4, known.phase), \
               since = CASE WHEN $4 IS NULL OR $4 = known.phase THEN known.since ELSE EXCLUDED.since END, \
               error = CASE WHEN $4 IS NULL THEN known.error ELSE $6 END, remedy = CASE WHEN $4 IS NULL THEN known.remedy ELSE $7 END, \
               version = EXCLUDED.version, deleted = EXCLUDED.deleted \
             WHERE known.version <= EXCLUDED.version AND NOT known.deleted",
            fact.id,
            fact.organization,
            fact.name as Option<String>,
            fact.phase as Option<&str>,
            fact.at,
            fact.error,
            fact.remedy,
            fact.version,
            fact.deleted,
        )
        .execute(&mut **tx)
        .await?;
    }
    Ok(())
}

pub async fn approvals(tx: &mut Tx, facts: Vec<ApprovalFact>) -> Result<()> {
    if facts.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "INSERT INTO activity.approvals AS known (id, organization_id, board_id, task_id, task_title, action_type, confidence, status, \
           requested_by_user_id, requested_by_name, created_at, expires_at, version, deleted) \
         SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::text[], $7::float8[], $8::text[], $9::uuid[], \
           $10::text[], $11::timestamptz[], $12::timestamptz[], $13::bigint[], $14::boolean[]) \
         ON CONFLICT (id) DO UPDATE SET task_id = EXCLUDED.task_id, task_title = EXCLUDED.task_title, status = EXCLUDED.status, \
           version = EXCLUDED.version, deleted = EXCLUDED.deleted \
         WHERE known.version <= EXCLUDED.version AND NOT known.deleted",
        column!(facts, fact => fact.id),
        column!(facts, fact => fact.organization),
        column!(facts, fact => fact.board),
        column!(facts, fact => fact.task) as &[Option<Uuid>],
        column!(facts, fact => fact.title.clone()) as &[Option<String>],
        column!(facts, fact => fact.action.clone()),
        column!(facts, fact => fact.confidence),
        column!(facts, fact => fact.status.to_owned()),
        column!(facts, fact => fact.requested_by) as &[Option<Uuid>],
        column!(facts, fact => fact.requested_by_name.clone()) as &[Option<String>],
        column!(facts, fact => fact.created_at),
        column!(facts, fact => fact.expires_at) as &[Option<OffsetDateTime>],
        column!(facts, fact => fact.version),
        column!(facts, fact => fact.deleted),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Those of these organizations that were deleted, as the log says.
pub async fn closed(tx: &mut Tx, organizations: &[Uuid]) -> Result<Vec<Uuid>> {
    Ok(sqlx::query_scalar!(
        "SELECT organization_id FROM activity.tallies WHERE organization_id = ANY($1) AND board_id = $2 AND event_type = 'organization.deleted'",
        organizations,
        Uuid::nil()
    )
    .fetch_all(&mut **tx)
    .await?)
}

/// Everything of these organizations.
pub async fn forget(tx: &mut Tx, organizations: &[Uuid]) -> Result<()> {
    sqlx::query!(
        "DELETE FROM activity.task_events WHERE board_id IN (SELECT id FROM activity.boards WHERE organization_id = ANY($1))",
        organizations
    )
    .execute(&mut **tx)
    .await?;
    sqlx::query!(
        "DELETE FROM activity.boards WHERE organization_id = ANY($1)",
        organizations
    )
    .execute(&mut **tx)
    .await?;
    sqlx::query!(
        "DELETE FROM activity.tasks WHERE organization_id = ANY($1)",
        organizations
    )
    .execute(&mut **tx)
    .await?;
    sqlx::query!(
        "DELETE FROM activity.agents WHERE organization_id = ANY($1)",
        organizations
    )
    .execute(&mut **tx)
    .await?;
    sqlx::query!(
        "DELETE FROM activity.gateways WHERE organization_id = ANY($1)",
        organizations
    )
    .execute(&mut **tx)
    .await?;
    sqlx::query!(
        "DELETE FROM activity.approvals WHERE organization_id = ANY($1)",
        organizations
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}
