//! A whole board at once: what its page loads first.

use std::collections::HashMap;

use chassis::{Caller, Result, identity::uuid_of};
use proto::board::v1::{
    BoardSnapshot, GetBoardSnapshotRequest, Task, TaskCard, snapshot_service_server::SnapshotService,
};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::{Service, boards, memory, tasks};

/// Approvals and chat messages that a snapshot carries at most.
const MOST: i32 = 200;

#[tonic::async_trait]
impl SnapshotService for Service {
    async fn get_board_snapshot(
        &self,
        request: Request<GetBoardSnapshotRequest>,
    ) -> Result<Response<BoardSnapshot>, Status> {
        let caller = Caller::of(&request)?;
        let (board, most) = (uuid_of(&request.get_ref().board_id)?, request.get_ref().task_limit);
        Ok(Response::new(self.snapshot(&caller, board, most).await?))
    }
}

impl Service {
    async fn snapshot(&self, caller: &Caller, board: Uuid, most: Option<i32>) -> Result<BoardSnapshot> {
        let board = boards::find(self.store.pool(), board).await?;
        let (organization, id) = (board.organization(), board.id());
        caller.may_read_board(organization, id)?;
        let tasks = async {
            let mut connection = self.store.pool().acquire().await?;
            let counts = tasks::counts(&mut connection, id).await?;
            Ok((
                tasks::of_board(&mut connection, id, most.map(|most| most.max(0))).await?,
                counts,
            ))
        };
        let ((tasks, task_counts), chat_messages, mut agents, approvals) = futures::try_join!(
            tasks,
            memory::latest_chat(self.store.pool(), id, i64::from(MOST)),
            self.outside.agents_of_board(caller, organization, id),
            self.outside.approvals_of_board(caller, organization, id, MOST),
        )?;
        agents.reverse();
        let counts = approvals.counts.unwrap_or_default();
        let names: HashMap<&str, &str> = agents
            .iter()
            .map(|agent| (agent.id.as_str(), agent.name.as_str()))
            .collect();
        let per_task: HashMap<&str, (i32, i32)> = counts
            .task_counts
            .iter()
            .map(|count| {
                let of = (count.approvals_count, count.approvals_pending_count);
                (count.task_id.as_str(), of)
            })
            .collect();
        let cards = tasks.into_iter().map(|row| {
            let task = row.into_message();
            let assignee = task.assigned_agent_id.as_deref().and_then(|id| names.get(id).copied());
            let of_task = per_task.get(task.id.as_str()).copied().unwrap_or_default();
            card(task, assignee.map(str::to_owned), of_task)
        });
        let tasks = cards.collect();
        Ok(BoardSnapshot {
            board: Some(board.message()),
            tasks,
            agents,
            approvals: approvals.approvals,
            chat_messages,
            pending_approvals_count: counts.pending_approvals_count,
            task_counts: Some(task_counts),
        })
    }
}

fn card(task: Task, assignee: Option<String>, (approvals_count, approvals_pending_count): (i32, i32)) -> TaskCard {
    TaskCard {
        title: task.title,
        description: task.description,
        status: task.status,
        priority: task.priority,
        due_at: task.due_at,
        assigned_agent_id: task.assigned_agent_id,
        depends_on_task_ids: task.depends_on_task_ids,
        tag_ids: task.tag_ids,
        id: task.id,
        board_id: task.board_id,
        created_by_user_id: task.created_by_user_id,
        in_progress_at: task.in_progress_at,
        created_at: task.created_at,
        updated_at: task.updated_at,
        blocked_by_task_ids: task.blocked_by_task_ids,
        is_blocked: task.is_blocked,
        tags: task.tags,
        custom_field_values: task.custom_field_values,
        assignee,
        approvals_count,
        approvals_pending_count,
        etag: task.etag,
    }
}
