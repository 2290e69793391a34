//! Tasks of whole boards at once, for overviews.

use chassis::Result;
use proto::board::v1::BoardTaskCounts;
use sqlx::PgConnection;
use uuid::Uuid;

use super::rows::{TaskRow, select_tasks, with_links};

/// Tasks of a board, newest first: all of them, or so many.
pub async fn of_board(connection: &mut PgConnection, board: Uuid, most: Option<i32>) -> Result<Vec<TaskRow>> {
    let rows = newest(connection, board, most.map(i64::from), 0).await?;
    with_links(connection, rows).await
}

/// Tasks of a board, newest first, still without what their links show, after so many others. A statement of its own: what a list filters by
/// costs time even where it filters nothing.
pub(super) async fn newest(
    connection: &mut PgConnection,
    board: Uuid,
    most: Option<i64>,
    after: i64,
) -> Result<Vec<TaskRow>> {
    Ok(select_tasks!(
        ["(SELECT s.* FROM board.tasks s WHERE s.board_id = $1 ORDER BY s.created_at DESC, s.id DESC LIMIT $2 OFFSET $3)"],
        "ORDER BY t.created_at DESC, t.id DESC",
        board,
        most,
        after
    )
    .fetch_all(connection)
    .await?)
}

/// How many tasks a board has, by where they stand.
pub async fn counts(connection: &mut PgConnection, board: Uuid) -> Result<BoardTaskCounts> {
    let row = sqlx::query!(
        "SELECT count(*) FILTER (WHERE t.status = 'inbox') AS \"inbox!\", count(*) FILTER (WHERE t.status = 'in_progress') AS \"in_progress!\", \
           count(*) FILTER (WHERE t.status = 'review') AS \"review!\", count(*) FILTER (WHERE t.status = 'done') AS \"done!\", \
           (SELECT count(*) FROM board.tasks o WHERE o.board_id = $1 AND o.due_at < now() AND o.status <> 'done') AS \"overdue!\" \
         FROM board.tasks t WHERE t.board_id = $1",
        board
    )
    .fetch_one(connection)
    .await?;
    let number = |count: i64| i32::try_from(count).unwrap_or(i32::MAX);
    Ok(BoardTaskCounts {
        board_id: board.to_string(),
        inbox: number(row.inbox),
        in_progress: number(row.in_progress),
        review: number(row.review),
        done: number(row.done),
        overdue: number(row.overdue),
        total: number(row.inbox + row.in_progress + row.review + row.done),
    })
}

/// The foremost tasks of each of these boards: by status (in progress, review, inbox, done), then priority, then the latest change.
pub async fn foremost(
    connection: &mut PgConnection,
    boards: &[Uuid],
    with_done: bool,
    most: i32,
) -> Result<Vec<TaskRow>> {
    let rows = select_tasks!(
        ["(SELECT x.* FROM unnest($1::uuid[]) AS w (board_id) CROSS JOIN LATERAL ( \
            SELECT s.*, CASE s.status WHEN 'in_progress' THEN 0 WHEN 'review' THEN 1 WHEN 'inbox' THEN 2 ELSE 3 END AS status_rank, \
              CASE s.priority WHEN 'high' THEN 0 WHEN 'medium' THEN 1 WHEN 'low' THEN 2 ELSE 3 END AS priority_rank \
            FROM board.tasks s WHERE s.board_id = w.board_id AND ($2 OR s.status <> 'done') \
            ORDER BY status_rank, priority_rank, s.updated_at DESC, s.created_at DESC, s.id DESC LIMIT $3 \
          ) x)"],
        "ORDER BY t.status_rank, t.priority_rank, t.updated_at DESC, t.created_at DESC, t.id DESC",
        boards,
        with_done,
        i64::from(most)
    )
    .fetch_all(&mut *connection)
    .await?;
    with_links(connection, rows).await
}
