//! Lists of tasks, and one task.

use chassis::{
    Caller, Error, Result,
    identity::{optional_uuid, uuid_of},
    message::Page,
};
use proto::board::v1::{GetTaskRequest, ListTasksRequest, ListTasksResponse, Task};

use super::rows::{load, select_tasks, with_links};
use crate::{Service, boards, rules::Status};

impl Service {
    /// The page's rows come with their count and the board's organization, so that a page costs two queries: tasks, and their links.
    pub(super) async fn list(&self, caller: &Caller, request: ListTasksRequest) -> Result<ListTasksResponse> {
        let board = uuid_of(&request.board_id)?;
        let page = Page::of(request.limit, request.offset)?;
        let assignee = optional_uuid(request.assigned_agent_id.as_ref())?;
        let statuses = statuses(request.status.as_deref())?;
        let unassigned = request.unassigned == Some(true);
        let mut connection = self.store.pool().acquire().await?;
        let rows = select_tasks!(
            "(SELECT s.*, count(*) OVER () AS total FROM board.tasks s WHERE s.board_id = $1 AND ($2::text[] IS NULL OR s.status = ANY($2)) \
                AND ($3::uuid IS NULL OR s.assigned_agent_id = $3) AND (NOT $4 OR s.assigned_agent_id IS NULL) \
              ORDER BY s.created_at DESC, s.id DESC LIMIT $5 OFFSET $6)",
            "ORDER BY t.created_at DESC, t.id DESC",
            board,
            statuses.as_deref() as _,
            assignee,
            unassigned,
            i64::from(page.limit),
            i64::from(page.offset)
        )
        .fetch_all(&mut *connection)
        .await?;
        let total = if let Some(first) = rows.first() {
            caller.may_read_board(first.organization_id, board)?;
            first.total
        } else {
            // Nothing to take them from: ask for the organization and the count.
            let board = boards::facts(&mut *connection, board).await?;
            caller.may_read_board(board.organization, board.id)?;
            if page.offset == 0 {
                0
            } else {
                sqlx::query_scalar!(
                    "SELECT count(*) AS \"count!\" FROM board.tasks s WHERE s.board_id = $1 AND ($2::text[] IS NULL OR s.status = ANY($2)) \
                       AND ($3::uuid IS NULL OR s.assigned_agent_id = $3) AND (NOT $4 OR s.assigned_agent_id IS NULL)",
                    board.id,
                    statuses.as_deref() as _,
                    assignee,
                    unassigned
                )
                .fetch_one(&mut *connection)
                .await?
            }
        };
        let rows = with_links(&mut connection, rows).await?;
        Ok(ListTasksResponse {
            items: rows.iter().map(super::TaskRow::message).collect(),
            total: i32::try_from(total).unwrap_or(i32::MAX),
            limit: page.limit,
            offset: page.offset,
        })
    }

    pub(super) async fn get(&self, caller: &Caller, request: &GetTaskRequest) -> Result<Task> {
        let mut connection = self.store.pool().acquire().await?;
        let loaded = load(&mut connection, uuid_of(&request.task_id)?, None, false)
            .await?
            .ok_or_else(not_found)?;
        caller.may_read_board(loaded.board.organization, loaded.board.id)?;
        Ok(loaded.row.message())
    }
}

/// There is no such task, or not on this board.
pub fn not_found() -> Error {
    Error::not_found("Task not found")
}

/// The statuses of a comma-separated filter; `None` is all of them.
fn statuses(filter: Option<&str>) -> Result<Option<Vec<String>>> {
    let words: Vec<&str> = filter
        .unwrap_or_default()
        .split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty())
        .collect();
    if words.iter().any(|word| Status::parse(word).is_none()) {
        return Err(Error::unprocessable("Unsupported task status filter.")
            .with("supported", Status::ALL.map(Status::as_str).to_vec()));
    }
    Ok((!words.is_empty()).then(|| words.into_iter().map(str::to_owned).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_filters_are_lists_of_known_words() {
        for (filter, expected) in [
            (None, None),
            (Some(""), None),
            (Some(" , "), None),
            (Some("inbox"), Some(vec!["inbox"])),
            (Some("review, in_progress"), Some(vec!["review", "in_progress"])),
        ] {
            let found = statuses(filter).unwrap();
            assert_eq!(
                found
                    .as_deref()
                    .map(|words| words.iter().map(String::as_str).collect::<Vec<_>>()),
                expected,
                "{filter:?}"
            );
        }
        for wrong in ["doing", "inbox,Review", "done;inbox"] {
            assert_eq!(
                statuses(Some(wrong)).unwrap_err().to_string(),
                "Unsupported task status filter.",
                "{wrong}"
            );
        }
    }
}
