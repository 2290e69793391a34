//! What a task's change does to the tasks that depend on it.

use chassis::{Caller, Change, Result, Tx};
use proto::event::v1::Event;
use time::OffsetDateTime;
use uuid::Uuid;

use super::rows::{TaskRow, rows_by_id};
use crate::rules::{State, Status};

/// What happened to a dependency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dependency {
    /// It became done.
    Finished,
    /// It was done and is not any more.
    Reopened,
    /// It is gone.
    Deleted,
}

/// The unfinished tasks that depend on a task, locked, as they are before it changes.
pub async fn before(tx: &mut Tx, task: Uuid) -> Result<Vec<TaskRow>> {
    let ids = sqlx::query_scalar!(
        "SELECT t.id FROM board.tasks t JOIN board.task_dependencies l ON l.task_id = t.id \
         WHERE l.depends_on_task_id = $1 AND t.status <> 'done' ORDER BY t.id FOR NO KEY UPDATE OF t",
        task
    )
    .fetch_all(&mut **tx)
    .await?;
    if ids.is_empty() {
        Ok(Vec::new())
    } else {
        rows_by_id(tx, &ids).await
    }
}

/// Carries out what follows for the dependents of `title`, after its own change is written, and answers the events that tell of it.
/// When a dependency is reopened, work that had begun goes back to the inbox. All of them count the change: what they are blocked by is part of
/// them, and whoever waited for their locks has to look again.
pub async fn after(
    tx: &mut Tx,
    caller: &Caller,
    before: &[TaskRow],
    what: Dependency,
    title: &str,
    now: OffsetDateTime,
) -> Result<Vec<Event>> {
    if before.is_empty() {
        return Ok(Vec::new());
    }
    let returns = |row: &TaskRow| goes_back(what, &row.state());
    let (returning, staying): (Vec<&TaskRow>, Vec<&TaskRow>) = before.iter().partition(|row| returns(row));
    let ids = |rows: &[&TaskRow]| rows.iter().map(|row| row.id).collect::<Vec<Uuid>>();
    let (returning, staying) = (ids(&returning), ids(&staying));
    if !returning.is_empty() {
        sqlx::query!(
            "UPDATE board.tasks SET status = 'inbox', assigned_agent_id = NULL, in_progress_at = NULL, \
               previous_in_progress_at = coalesce(in_progress_at, previous_in_progress_at), revision = revision + 1, updated_at = $2 \
             WHERE id = ANY($1)",
            &returning,
            now
        )
        .execute(&mut **tx)
        .await?;
    }
    if !staying.is_empty() {
        sqlx::query!(
            "UPDATE board.tasks SET revision = revision + 1 WHERE id = ANY($1)",
            &staying
        )
        .execute(&mut **tx)
        .await?;
    }
    let rows = rows_by_id(tx, &[returning, staying].concat()).await?;
    let events = before.iter().filter_map(|old| {
        let new = rows.iter().find(|row| row.id == old.id)?;
        let (kind, message) = match what {
            Dependency::Reopened if returns(old) => (
                "task.status_changed",
                format!("Task returned to inbox: dependency reopened ({title})."),
            ),
            Dependency::Deleted => ("task.updated", format!("Dependency removed: {title}.")),
            Dependency::Finished | Dependency::Reopened => {
                ("task.updated", format!("Dependency completion changed: {title}."))
            }
        };
        let change = Change::new(kind, new.organization_id)
            .board(new.board_id)
            .task(new.id)
            .agent(caller.agent_id());
        Some(
            change
                .message(message)
                .before(&old.message())
                .after(&new.message())
                .into_event(caller),
        )
    });
    Ok(events.collect())
}

/// Whether a dependent goes back to the inbox: when a dependency is reopened, and it is more than a task that lies there untouched.
fn goes_back(what: Dependency, task: &State) -> bool {
    let begun = task.status != Status::Inbox || task.assignee.is_some() || task.in_progress_at.is_some();
    what == Dependency::Reopened && begun
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn begun_work_goes_back_when_a_dependency_is_reopened_and_only_then() {
        for what in [Dependency::Finished, Dependency::Reopened, Dependency::Deleted] {
            for status in Status::ALL {
                for assignee in [None, Some(Uuid::nil())] {
                    for in_progress_at in [None, Some(OffsetDateTime::UNIX_EPOCH)] {
                        let task = State {
                            status,
                            assignee,
                            in_progress_at,
                            ..State::NEW
                        };
                        let untouched = task == State::NEW;
                        let expected = what == Dependency::Reopened && !untouched;
                        assert_eq!(goes_back(what, &task), expected, "{what:?} {task:?}");
                    }
                }
            }
        }
    }
}
