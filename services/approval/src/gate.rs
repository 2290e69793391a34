//! What the board asks before it lets a task move.

use chassis::{Error, Store, identity::uuid_of};
use proto::approval::v1::{CheckTaskRequest, CheckTaskResponse, gate_service_server::GateService};
use tonic::{Request, Response, Status};

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
}
