//! What the board asks before it lets a task move.

use chassis::{Error, Store, identity::uuid_of};
use proto::approval::v1::{
    Approval, ApprovalCounts, CheckTaskRequest, CheckTaskResponse, SummarizeBoardRequest, SummarizeBoardResponse,
    TaskApprovalCounts, gate_service_server::GateService,
};
use tonic::{Request, Response, Status};

use crate::rows::select_approvals;

/// The service behind gates.
pub struct Gate {
    pub store: Store,
}

#[tonic::async_trait]
impl GateService for Gate {
    async fn check_task(&self, request: Request<CheckTaskRequest>) -> Result<Response<CheckTaskResponse>, Status> {
        let request = request.get_ref();
        let row = sqlx::query!(
            r#"SELECT COALESCE(bool_or(l.status = 'pending'), false) AS "pending!", COALESCE(bool_or(l.status = 'approved'), false) AS "approved!"
               FROM approval.links l JOIN approval.approvals a ON a.id = l.approval_id
               WHERE l.task_id = $1 AND a.board_id = $2"#,
            uuid_of(&request.task_id)?,
            uuid_of(&request.board_id)?
        )
        .fetch_one(self.store.pool())
        .await
        .map_err(Error::from)?;
        Ok(Response::new(CheckTaskResponse {
            has_pending: row.pending,
            has_approved: row.approved,
        }))
    }

    async fn summarize_board(
        &self,
        request: Request<SummarizeBoardRequest>,
    ) -> Result<Response<SummarizeBoardResponse>, Status> {
        let board = uuid_of(&request.get_ref().board_id)?;
        let rows = select_approvals!(
            "approval.approvals a",
            "WHERE a.board_id = $1 ORDER BY a.created_at DESC, a.id DESC LIMIT $2",
            board,
            i64::from(request.get_ref().limit.max(0))
        )
        .fetch_all(self.store.pool());
        let waiting = sqlx::query_scalar!(
            r#"SELECT count(*)::int AS "count!" FROM approval.approvals WHERE board_id = $1 AND status = 'pending'"#,
            board
        )
        .fetch_one(self.store.pool());
        let per_task = sqlx::query!(
            r#"SELECT l.task_id, count(*)::int AS "all!", (count(*) FILTER (WHERE l.status = 'pending'))::int AS "pending!"
               FROM approval.approvals a JOIN approval.links l ON l.approval_id = a.id WHERE a.board_id = $1 GROUP BY l.task_id"#,
            board
        )
        .fetch_all(self.store.pool());
        let (rows, waiting, per_task) = futures::try_join!(rows, waiting, per_task).map_err(Error::from)?;
        let task_counts = per_task.into_iter().map(|row| TaskApprovalCounts {
            task_id: row.task_id.to_string(),
            approvals_count: row.all,
            approvals_pending_count: row.pending,
        });
        Ok(Response::new(SummarizeBoardResponse {
            approvals: rows.iter().map(Approval::from).collect(),
            counts: Some(ApprovalCounts {
                pending_approvals_count: waiting,
                task_counts: task_counts.collect(),
            }),
        }))
    }
}
