//! Approvals as stored, and the statements that several handlers share.

use std::collections::HashMap;

use chassis::{Caller, Change, Result, Tx, timestamp};
use proto::approval::v1::{Approval, ApprovalCounts, TaskApprovalCounts};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::rules::{self, Decided, Standing};

/// An approval with its tasks in their order.
pub struct Row {
    pub id: Uuid,
    pub organization_id: Uuid,
    pub board_id: Uuid,
    pub action_type: String,
    pub payload: Option<String>,
    pub confidence: f64,
    pub rubric_scores: Option<String>,
    pub status: String,
    pub agent_id: Option<Uuid>,
    pub requested_by_user_id: Option<Uuid>,
    pub created_at: OffsetDateTime,
    pub resolved_at: Option<OffsetDateTime>,
    pub resolved_by_user_id: Option<Uuid>,
    pub resolved_by_name: Option<String>,
    pub decision_reason: Option<String>,
    pub expires_at: Option<OffsetDateTime>,
    pub expired: bool,
    pub requested_by_name: Option<String>,
    pub task_ids: Vec<Uuid>,
    pub titles: Vec<String>,
}

/// Selects [`Row`]s from `$from`, which calls `approval.approvals` `a`.
macro_rules! select_approvals {
    ($from:tt, $tail:tt $(, $argument:expr)*) => {
        sqlx::query_as!(
            $crate::rows::Row,
            "SELECT a.id, a.organization_id, a.board_id, a.action_type, a.payload::text, a.confidence, a.rubric_scores::text, a.status, a.agent_id, \
               a.requested_by_user_id, a.created_at, a.resolved_at, a.resolved_by_user_id, a.resolved_by_name, a.decision_reason, \
               a.expires_at, a.expired, a.requested_by_name, \
               ARRAY(SELECT l.task_id FROM approval.links l WHERE l.approval_id = a.id ORDER BY l.position) AS \"task_ids!\", \
               ARRAY(SELECT l.title FROM approval.links l WHERE l.approval_id = a.id ORDER BY l.position) AS \"titles!\" \
             FROM " + $from + " " + $tail
            $(, $argument)*
        )
    };
}
pub(crate) use select_approvals;

impl Row {
    /// How it stands when somebody wants to decide it.
    pub fn standing(&self) -> Standing {
        let decided = self.resolved_at.map(|at| Decided {
            by: self.resolved_by_user_id,
            name: self.resolved_by_name.clone().unwrap_or_default(),
            at,
        });
        Standing {
            status: rules::status(&self.status),
            requested_by: self.requested_by_user_id,
            decided,
        }
    }

    /// A change of this approval, with everything that feeds filter by.
    pub fn change(&self, kind: &str) -> Change {
        let change = Change::new(kind, self.organization_id)
            .board(self.board_id)
            .agent(self.agent_id);
        match self.task_ids.first() {
            Some(primary) => change.task(*primary),
            None => change,
        }
    }
}

impl From<&Row> for Approval {
    fn from(row: &Row) -> Self {
        Self {
            action_type: row.action_type.clone(),
            task_id: row.task_ids.first().map(Uuid::to_string),
            task_ids: row.task_ids.iter().map(Uuid::to_string).collect(),
            payload: row.payload.clone().map(String::into_bytes),
            confidence: row.confidence,
            rubric_scores: row.rubric_scores.clone().map(String::into_bytes),
            status: rules::status(&row.status).into(),
            id: row.id.to_string(),
            board_id: row.board_id.to_string(),
            task_titles: row.titles.clone(),
            agent_id: row.agent_id.map(|id| id.to_string()),
            created_at: Some(timestamp(row.created_at)),
            resolved_at: row.resolved_at.map(timestamp),
            resolved_by_user_id: row.resolved_by_user_id.map(|id| id.to_string()),
            decision_reason: row.decision_reason.clone(),
            counts: None,
            expires_at: row.expires_at.map(timestamp),
            expired: row.expired,
            requested_by_user_id: row.requested_by_user_id.map(|id| id.to_string()),
            requested_by_name: row.requested_by_name.clone(),
            resolved_by_name: row.resolved_by_name.clone(),
            board_name: None,
        }
    }
}

/// Makes changes of a board's approvals follow each other, so that the counts in their events are those of the moment. Boards are locked
/// in one order: two that lock several cannot wait for each other.
pub async fn lock_boards(tx: &mut Tx, boards: &[Uuid]) -> Result<()> {
    sqlx::query!(
        "SELECT pg_advisory_xact_lock(hashtextextended('approvals ' || board, 0)) \
         FROM (SELECT DISTINCT board::text FROM unnest($1::uuid[]) AS boards (board) ORDER BY 1) ordered",
        boards
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(())
}

/// Reads approvals and holds them until the transaction ends.
pub async fn hold(tx: &mut Tx, ids: &[Uuid]) -> Result<Vec<Row>> {
    Ok(select_approvals!(
        "approval.approvals a",
        "WHERE a.id = ANY($1) ORDER BY a.id FOR UPDATE OF a",
        ids
    )
    .fetch_all(&mut **tx)
    .await?)
}

/// Now, in the precision that the database keeps.
pub fn now() -> OffsetDateTime {
    let now = OffsetDateTime::now_utc();
    now.replace_microsecond(now.microsecond()).unwrap_or(now)
}

/// Writes the decisions that these rows carry.
pub async fn resolve(tx: &mut Tx, rows: &[Row]) -> Result<()> {
    sqlx::query!(
        "UPDATE approval.approvals AS a SET status = now.status, resolved_at = now.resolved_at, resolved_by_user_id = now.resolved_by_user_id, \
           resolved_by_name = now.resolved_by_name, decision_reason = now.decision_reason, expired = now.expired \
         FROM unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::uuid[], $5::text[], $6::text[], $7::boolean[]) \
           AS now (id, status, resolved_at, resolved_by_user_id, resolved_by_name, decision_reason, expired) \
         WHERE a.id = now.id",
        &rows.iter().map(|row| row.id).collect::<Vec<_>>(),
        &rows.iter().map(|row| row.status.clone()).collect::<Vec<_>>(),
        &rows.iter().map(|row| row.resolved_at).collect::<Vec<_>>() as &[Option<OffsetDateTime>],
        &rows.iter().map(|row| row.resolved_by_user_id).collect::<Vec<_>>() as &[Option<Uuid>],
        &rows.iter().map(|row| row.resolved_by_name.clone()).collect::<Vec<_>>() as &[Option<String>],
        &rows.iter().map(|row| row.decision_reason.clone()).collect::<Vec<_>>() as &[Option<String>],
        &rows.iter().map(|row| row.expired).collect::<Vec<_>>(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// What boards show beside approvals that changed, as a transaction sees it.
pub struct Counts {
    /// How many wait, by board.
    waiting: HashMap<Uuid, i32>,
    /// How many there are and how many of them wait, by task.
    tasks: HashMap<Uuid, (i32, i32)>,
}

impl Counts {
    /// For the boards and tasks of these approvals.
    pub async fn of(tx: &mut Tx, rows: &[Row]) -> Result<Self> {
        let boards: Vec<Uuid> = rows.iter().map(|row| row.board_id).collect();
        let tasks: Vec<Uuid> = rows.iter().flat_map(|row| &row.task_ids).copied().collect();
        let waiting = sqlx::query!(
            "SELECT board_id, count(*)::int AS \"count!\" FROM approval.approvals WHERE board_id = ANY($1) AND status = 'pending' GROUP BY board_id",
            &boards
        )
        .fetch_all(&mut **tx)
        .await?;
        let tasks = sqlx::query!(
            "SELECT task_id, count(*)::int AS \"all!\", (count(*) FILTER (WHERE status = 'pending'))::int AS \"pending!\" \
             FROM approval.links WHERE task_id = ANY($1) GROUP BY task_id",
            &tasks
        )
        .fetch_all(&mut **tx)
        .await?;
        Ok(Self {
            waiting: waiting.into_iter().map(|row| (row.board_id, row.count)).collect(),
            tasks: tasks
                .into_iter()
                .map(|row| (row.task_id, (row.all, row.pending)))
                .collect(),
        })
    }

    /// Those beside one of the approvals.
    pub fn beside(&self, row: &Row) -> ApprovalCounts {
        let task_counts = row.task_ids.iter().map(|task| {
            let (all, pending) = self.tasks.get(task).copied().unwrap_or_default();
            TaskApprovalCounts {
                task_id: task.to_string(),
                approvals_count: all,
                approvals_pending_count: pending,
            }
        });
        ApprovalCounts {
            pending_approvals_count: self.waiting.get(&row.board_id).copied().unwrap_or_default(),
            task_counts: task_counts.collect(),
        }
    }
}

/// That an approval is now as `row` says.
pub fn changed(kind: &str, message: String, before: Option<&Approval>, row: &Row, counts: &Counts) -> Change {
    let told = Approval {
        counts: Some(counts.beside(row)),
        ..Approval::from(row)
    };
    let change = row.change(kind).message(message).after(&told);
    match before {
        Some(before) => change.before(before),
        None => change,
    }
}

/// Records that an approval is now as `row` says. Answers it as the API does.
pub async fn record(
    tx: &mut Tx,
    caller: &Caller,
    kind: &str,
    message: String,
    before: Option<&Approval>,
    row: &Row,
) -> Result<Approval> {
    let counts = Counts::of(tx, std::slice::from_ref(row)).await?;
    tx.record(caller, changed(kind, message, before, row, &counts)).await?;
    Ok(Approval::from(row))
}
