//! Comments of tasks.

use chassis::{Caller, Change, Error, Result, Tx, identity::uuid_of, message::Page, timestamp};
use proto::{
    board::v1::{CreateTaskCommentRequest, ListTaskCommentsRequest, ListTaskCommentsResponse, TaskComment},
    event::v1::Event,
};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    Service, mentions,
    rules::Status,
    tasks::{BoardFacts, Loaded, load},
};

impl Service {
    pub(super) async fn list_comments(
        &self,
        caller: &Caller,
        request: &ListTaskCommentsRequest,
    ) -> Result<ListTaskCommentsResponse> {
        let page = Page::of(request.limit, request.offset)?;
        let loaded = self.commented(&request.board_id, &request.task_id).await?;
        caller.may_read_board(loaded.board.organization, loaded.board.id)?;
        let rows = sqlx::query!(
            "SELECT id, message, agent_id, user_id, author_name, created_at, count(*) OVER () AS \"total!\" \
             FROM board.comments WHERE task_id = $1 ORDER BY created_at, id LIMIT $2 OFFSET $3",
            loaded.row.id,
            i64::from(page.limit),
            i64::from(page.offset)
        )
        .fetch_all(self.store.pool())
        .await?;
        let total = match rows.first() {
            Some(first) => first.total,
            None if page.offset == 0 => 0,
            None => {
                sqlx::query_scalar!(
                    "SELECT count(*) AS \"count!\" FROM board.comments WHERE task_id = $1",
                    loaded.row.id
                )
                .fetch_one(self.store.pool())
                .await?
            }
        };
        let comment = |agent_id: Option<Uuid>, user_id: Option<Uuid>| {
            (agent_id.map(|id| id.to_string()), user_id.map(|id| id.to_string()))
        };
        let items = rows.into_iter().map(|row| {
            let (agent_id, user_id) = comment(row.agent_id, row.user_id);
            TaskComment {
                id: row.id.to_string(),
                message: Some(row.message),
                agent_id,
                task_id: Some(loaded.row.id.to_string()),
                created_at: Some(timestamp(row.created_at)),
                user_id,
                author_name: Some(row.author_name),
            }
        });
        Ok(ListTaskCommentsResponse {
            items: items.collect(),
            total: i32::try_from(total).unwrap_or(i32::MAX),
            limit: page.limit,
            offset: page.offset,
        })
    }

    pub(super) async fn create_comment(
        &self,
        caller: &Caller,
        request: CreateTaskCommentRequest,
    ) -> Result<TaskComment> {
        let loaded = self.commented(&request.board_id, &request.task_id).await?;
        caller.may_write_board(loaded.board.organization, loaded.board.id)?;
        let text = request.message.trim();
        if text.is_empty() {
            return Err(Error::invalid("message", "message must not be empty."));
        }
        if caller.is_lead() {
            self.check_lead(caller, &loaded).await?;
        }
        let mut tx = self.store.begin().await?;
        let (comment, event) = insert(
            &mut tx,
            caller,
            &loaded.board,
            loaded.row.id,
            text.to_owned(),
            OffsetDateTime::now_utc(),
        )
        .await?;
        tx.record_events(&[event]).await?;
        tx.commit().await?;
        Ok(comment)
    }

    async fn commented(&self, board: &str, task: &str) -> Result<Loaded> {
        let board = uuid_of(board)?;
        let mut connection = self.store.pool().acquire().await?;
        let loaded = load(&mut connection, uuid_of(task)?, None, false).await?;
        loaded
            .filter(|loaded| loaded.board.id == board)
            .ok_or_else(|| Error::not_found("Task not found"))
    }

    /// Refuses a lead's comment where [`lead_may_comment`] does; what was said is read only when it decides.
    async fn check_lead(&self, caller: &Caller, loaded: &Loaded) -> Result<()> {
        let created = loaded.created_by_agent.is_some() && loaded.created_by_agent == caller.agent_id();
        if lead_may_comment(loaded.row.status(), created, false) {
            return Ok(());
        }
        let said = sqlx::query_scalar!(
            "SELECT message FROM board.comments WHERE task_id = $1 AND message LIKE '%@%'",
            loaded.row.id
        )
        .fetch_all(self.store.pool())
        .await?;
        let name = &caller.principal()?.name;
        let mentioned = said
            .iter()
            .any(|text| mentions::names(&mentions::tokens(text), name, true));
        if lead_may_comment(loaded.row.status(), created, mentioned) {
            return Ok(());
        }
        Err(
            Error::denied("Board leads can only comment during review, when mentioned, or on tasks they created.")
                .beside("rule", "lead_comment_scope")
                .beside(
                    "remedy",
                    "Wait until the task is in review, or until somebody mentions you with @lead on it.",
                ),
        )
    }
}

/// Leads leave the work to the workers: they comment in review, on what they created, and where somebody mentioned them.
fn lead_may_comment(status: Status, created: bool, mentioned: bool) -> bool {
    status == Status::Review || created || mentioned
}

/// Writes a comment of the caller and answers it with the event that tells of it, which has the same id.
pub async fn insert(
    tx: &mut Tx,
    caller: &Caller,
    board: &BoardFacts,
    task: Uuid,
    message: String,
    at: OffsetDateTime,
) -> Result<(TaskComment, Event)> {
    let id = Uuid::now_v7();
    let (agent, user) = (caller.agent_id(), caller.user_id().ok());
    let author = caller.principal()?.name.clone();
    sqlx::query!(
        "INSERT INTO board.comments (id, task_id, board_id, organization_id, message, agent_id, user_id, author_name, created_at) \
         VALUES ($1, $2, $8, $9, $3, $4, $5, $6, $7)",
        id,
        task,
        message,
        agent,
        user,
        author,
        at,
        board.id,
        board.organization
    )
    .execute(&mut **tx)
    .await
    .map_err(|error| {
        if chassis::store::violates(&error, "comments_task_id_fkey") { Error::not_found("Task not found") } else { error.into() }
    })?;
    let change = Change::new("task.comment", board.organization)
        .id(id)
        .board(board.id)
        .task(task)
        .agent(agent)
        .message(&message);
    let comment = TaskComment {
        id: id.to_string(),
        message: Some(message),
        agent_id: agent.map(|id| id.to_string()),
        task_id: Some(task.to_string()),
        created_at: Some(timestamp(at)),
        user_id: user.map(|id| id.to_string()),
        author_name: Some(author),
    };
    let event = change.after(&comment).into_event(caller);
    Ok((comment, event))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leads_comment_in_review_on_what_they_created_and_when_mentioned() {
        for status in Status::ALL {
            for (created, mentioned, elsewhere) in [
                (false, false, false),
                (true, false, true),
                (false, true, true),
                (true, true, true),
            ] {
                assert_eq!(
                    lead_may_comment(status, created, mentioned),
                    elsewhere || status == Status::Review,
                    "{} {created} {mentioned}",
                    status.as_str()
                );
            }
        }
    }
}
