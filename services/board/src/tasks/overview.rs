//! Tasks of whole boards at once, for overviews.

use chassis::Result;
use sqlx::PgConnection;
use uuid::Uuid;

use super::rows::{TaskRow, select_tasks, with_links};

/// All tasks of a board, newest first.
pub async fn of_board(connection: &mut PgConnection, board: Uuid) -> Result<Vec<TaskRow>> {
    let rows = select_tasks!(
        "(SELECT s.*, 0::bigint AS total FROM board.tasks s WHERE s.board_id = $1)",
        "ORDER BY t.created_at DESC, t.id DESC",
        board
    )
    .fetch_all(&mut *connection)
    .await?;
    with_links(connection, rows).await
}

/// The foremost tasks of each of these boards: by status (in progress, review, inbox, done), then priority, then the latest change.
pub async fn foremost(
    connection: &mut PgConnection,
    boards: &[Uuid],
    with_done: bool,
    most: i32,
) -> Result<Vec<TaskRow>> {
    let rows = select_tasks!(
        "(SELECT x.*, 0::bigint AS total FROM unnest($1::uuid[]) AS w (board_id) CROSS JOIN LATERAL ( \
            SELECT s.*, CASE s.status WHEN 'in_progress' THEN 0 WHEN 'review' THEN 1 WHEN 'inbox' THEN 2 ELSE 3 END AS status_rank, \
              CASE s.priority WHEN 'high' THEN 0 WHEN 'medium' THEN 1 WHEN 'low' THEN 2 ELSE 3 END AS priority_rank \
            FROM board.tasks s WHERE s.board_id = w.board_id AND ($2 OR s.status <> 'done') \
            ORDER BY status_rank, priority_rank, s.updated_at DESC, s.created_at DESC, s.id DESC LIMIT $3 \
          ) x)",
        "ORDER BY t.status_rank, t.priority_rank, t.updated_at DESC, t.created_at DESC, t.id DESC",
        boards,
        with_done,
        i64::from(most)
    )
    .fetch_all(&mut *connection)
    .await?;
    with_links(connection, rows).await
}
