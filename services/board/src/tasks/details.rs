//! One task with what its page shows.

use chassis::{Caller, Result, identity::uuid_of, timestamp};
use proto::board::v1::{GetTaskDetailsRequest, TaskComment, TaskDetails, TaskRef};
use uuid::Uuid;

use super::{read::not_found, rows::load};
use crate::{Service, rules::Status};

/// Comments that are answered at most.
const MOST: i64 = 200;

impl Service {
    pub(super) async fn details(&self, caller: &Caller, request: &GetTaskDetailsRequest) -> Result<TaskDetails> {
        let task = uuid_of(&request.task_id)?;
        let mut connection = self.store.pool().acquire().await?;
        let loaded = load(&mut connection, task, None, false).await?.ok_or_else(not_found)?;
        let board = loaded.board;
        caller.may_read_board(board.organization, board.id)?;
        let around = sqlx::query!(
            "SELECT true AS \"before!\", l.position AS \"place!\", t.id AS \"id!\", t.title AS \"title!\", t.status AS \"status!\", t.created_at AS \"at!\" \
             FROM board.task_dependencies l JOIN board.tasks t ON t.id = l.depends_on_task_id WHERE l.task_id = $1 \
             UNION ALL \
             SELECT false, 0, t.id, t.title, t.status, t.created_at \
             FROM board.task_dependencies l JOIN board.tasks t ON t.id = l.task_id WHERE l.depends_on_task_id = $1 \
             ORDER BY 2, 6, 3",
            task
        )
        .fetch_all(&mut *connection)
        .await?;
        let said = sqlx::query!(
            "SELECT id, message, agent_id, user_id, author_name, created_at FROM board.comments \
             WHERE task_id = $1 ORDER BY created_at DESC, id DESC LIMIT $2",
            task,
            MOST
        )
        .fetch_all(&mut *connection)
        .await?;
        let more = sqlx::query!(
            "SELECT name, (SELECT count(*) FROM board.comments c WHERE c.task_id = $2) AS \"comments!\" FROM board.boards WHERE id = $1",
            board.id,
            task
        )
        .fetch_optional(&mut *connection)
        .await?
        .ok_or_else(not_found)?;
        drop(connection);
        let agents: Vec<Uuid> = loaded.row.assigned_agent_id.into_iter().collect();
        let assignee = self.outside.agents(caller, board.organization, &agents).await?.pop();

        let (mut depends_on, mut dependents) = (Vec::new(), Vec::new());
        for row in around {
            let reference = TaskRef {
                id: row.id.to_string(),
                title: row.title,
                status: Status::parse(&row.status).unwrap_or(Status::Inbox).message().into(),
            };
            if row.before {
                depends_on.push(reference);
            } else {
                dependents.push(reference);
            }
        }
        let comments = said.into_iter().rev().map(|row| TaskComment {
            id: row.id.to_string(),
            message: Some(row.message),
            agent_id: row.agent_id.map(|id| id.to_string()),
            task_id: Some(task.to_string()),
            created_at: Some(timestamp(row.created_at)),
            user_id: row.user_id.map(|id| id.to_string()),
            author_name: Some(row.author_name),
        });
        Ok(TaskDetails {
            task: Some(loaded.row.message()),
            board_name: more.name,
            assignee: assignee.map(|agent| agent.name),
            depends_on,
            dependents,
            comments: comments.collect(),
            comments_total: i32::try_from(more.comments).unwrap_or(i32::MAX),
        })
    }
}
