//! Approvals as stored, and the statements that several handlers share.

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

/// What boards show beside an approval, as this transaction sees it.
pub async fn counts(tx: &mut Tx, board: Uuid, tasks: &[Uuid]) -> Result<ApprovalCounts> {
    let waiting = sqlx::query_scalar!(
        r#"SELECT count(*)::int AS "count!" FROM approval.approvals WHERE board_id = $1 AND status = 'pending'"#,
        board
    )
    .fetch_one(&mut **tx)
    .await?;
    let per_task = sqlx::query!(
        r#"SELECT named.task_id AS "task_id!", count(l.approval_id)::int AS "all!",
                  (count(l.approval_id) FILTER (WHERE l.status = 'pending'))::int AS "pending!"
           FROM unnest($1::uuid[]) WITH ORDINALITY AS named (task_id, place) LEFT JOIN approval.links l ON l.task_id = named.task_id
           GROUP BY named.task_id, named.place ORDER BY named.place"#,
        tasks
    )
    .fetch_all(&mut **tx)
    .await?;
    let task_counts = per_task
        .into_iter()
        .map(|row| TaskApprovalCounts {
            task_id: row.task_id.to_string(),
            approvals_count: row.all,
            approvals_pending_count: row.pending,
        })
        .collect();
    Ok(ApprovalCounts {
        pending_approvals_count: waiting,
        task_counts,
    })
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
    let approval = Approval::from(row);
    let told = Approval {
        counts: Some(counts(tx, row.board_id, &row.task_ids).await?),
        ..approval.clone()
    };
    let mut change = row.change(kind).message(message).after(&told);
    if let Some(before) = before {
        change = change.before(before);
    }
    tx.record(caller, change).await?;
    Ok(approval)
}
