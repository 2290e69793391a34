//! How a task's history is followed.

use proto::board::v1::{Task, TaskStatus};
use time::OffsetDateTime;
use uuid::Uuid;

/// What is kept of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskFact {
    pub id: Uuid,
    pub organization: Uuid,
    pub board: Uuid,
    pub title: String,
    pub status: String,
    pub created_at: OffsetDateTime,
    /// When it came into its status.
    pub moved_at: OffsetDateTime,
    /// When the work on it began; `None` in the inbox.
    pub started_at: Option<OffsetDateTime>,
    /// When the work was handed over for review or done.
    pub finished_at: Option<OffsetDateTime>,
    /// Since when other tasks hold it up.
    pub blocked_since: Option<OffsetDateTime>,
    /// How many do.
    pub blocked_by: i32,
    pub version: i64,
    pub deleted: bool,
}

/// The word of a status.
fn word(status: TaskStatus) -> &'static str {
    match status {
        TaskStatus::Unspecified | TaskStatus::Inbox => "inbox",
        TaskStatus::InProgress => "in_progress",
        TaskStatus::Review => "review",
        TaskStatus::Done => "done",
    }
}

impl TaskFact {
    /// What is known after an event that shows the task as it is now. The work begins when the task first comes into progress and ends when
    /// it is handed over; what comes back from review goes on with the same work, what comes back to the inbox begins anew.
    pub fn after(before: Option<Self>, task: &Task, told: (Uuid, OffsetDateTime, i64, bool)) -> Option<Self> {
        let (organization, at, version, deleted) = told;
        if before
            .as_ref()
            .is_some_and(|before| version < before.version || before.deleted)
        {
            return before;
        }
        let status = word(task.status());
        let moment = |time: Option<&prost_types::Timestamp>| time.and_then(|time| chassis::moment(time).ok());
        let moved = before.as_ref().is_none_or(|before| before.status != status);
        let (mut moved_at, mut started_at, mut finished_at) = match &before {
            Some(before) => (before.moved_at, before.started_at, before.finished_at),
            None => (at, None, None),
        };
        if moved {
            moved_at = at;
            match task.status() {
                TaskStatus::Unspecified | TaskStatus::Inbox => (started_at, finished_at) = (None, None),
                TaskStatus::InProgress => {
                    started_at = started_at.or_else(|| moment(task.in_progress_at.as_ref())).or(Some(at));
                    finished_at = None;
                }
                TaskStatus::Review | TaskStatus::Done => finished_at = finished_at.or(started_at.and(Some(at))),
            }
        }
        let blocked_since = before.as_ref().and_then(|before| before.blocked_since);
        Some(Self {
            id: Uuid::parse_str(&task.id).ok()?,
            organization,
            board: task.board_id.as_deref().and_then(|board| Uuid::parse_str(board).ok())?,
            title: task.title.clone(),
            status: status.to_owned(),
            created_at: moment(task.created_at.as_ref()).unwrap_or(at),
            moved_at,
            started_at,
            finished_at,
            blocked_since: task.is_blocked.then(|| blocked_since.unwrap_or(at)),
            blocked_by: i32::try_from(task.blocked_by_task_ids.len()).unwrap_or(i32::MAX),
            version,
            deleted,
        })
    }
}

#[cfg(test)]
mod tests {
    use time::{Duration, macros::datetime};

    use super::*;

    const START: OffsetDateTime = datetime!(2026-01-05 08:00 UTC);

    fn task(status: TaskStatus) -> Task {
        Task {
            id: Uuid::from_u128(1).to_string(),
            board_id: Some(Uuid::from_u128(2).to_string()),
            title: "Report".into(),
            status: status.into(),
            created_at: Some(chassis::timestamp(START)),
            ..Task::default()
        }
    }

    fn hour(number: i64) -> OffsetDateTime {
        START + Duration::hours(number)
    }

    /// Walks through statuses, one an hour.
    fn walk(statuses: &[TaskStatus]) -> TaskFact {
        let mut fact = None;
        for (number, status) in (1..).zip(statuses) {
            fact = TaskFact::after(fact, &task(*status), (Uuid::nil(), hour(number), number, false));
        }
        fact.expect("a fact")
    }

    #[test]
    fn work_is_timed_from_its_begin_to_its_handing_over() {
        use TaskStatus::{Done, InProgress, Inbox, Review};
        for (statuses, moved, started, finished) in [
            (&[Inbox][..], 1, None, None),
            (&[Inbox, InProgress], 2, Some(2), None),
            (&[Inbox, InProgress, InProgress], 2, Some(2), None),
            (&[Inbox, InProgress, Review], 3, Some(2), Some(3)),
            (&[Inbox, InProgress, Review, Done], 4, Some(2), Some(3)),
            (&[Inbox, InProgress, Done], 3, Some(2), Some(3)),
            (&[Inbox, InProgress, Review, InProgress], 4, Some(2), None),
            (&[Inbox, InProgress, Review, InProgress, Review], 5, Some(2), Some(5)),
            (&[Inbox, InProgress, Inbox], 3, None, None),
            (&[Inbox, InProgress, Inbox, InProgress, Done], 5, Some(4), Some(5)),
            (&[Inbox, Done], 2, None, None),
            (&[InProgress, Review, Review], 2, Some(1), Some(2)),
        ] {
            let fact = walk(statuses);
            assert_eq!(
                (fact.moved_at, fact.started_at, fact.finished_at),
                (hour(moved), started.map(hour), finished.map(hour)),
                "{statuses:?}"
            );
        }
    }

    #[test]
    fn what_comes_late_or_after_the_end_changes_nothing() {
        let fact = walk(&[TaskStatus::Inbox, TaskStatus::InProgress]);
        let late = TaskFact::after(
            Some(fact.clone()),
            &task(TaskStatus::Inbox),
            (Uuid::nil(), hour(9), 1, false),
        );
        assert_eq!(late.as_ref(), Some(&fact));
        let again = TaskFact::after(
            Some(fact.clone()),
            &task(TaskStatus::InProgress),
            (Uuid::nil(), hour(2), 2, false),
        );
        assert_eq!(again.as_ref(), Some(&fact), "the same event again");
        let gone = TaskFact::after(
            Some(fact),
            &task(TaskStatus::InProgress),
            (Uuid::nil(), hour(3), 3, true),
        );
        assert!(gone.as_ref().is_some_and(|fact| fact.deleted));
        let after = TaskFact::after(gone.clone(), &task(TaskStatus::Done), (Uuid::nil(), hour(4), 4, false));
        assert_eq!(after, gone, "a deleted task does not come back");
    }

    #[test]
    fn a_block_counts_from_its_begin() {
        let blocked = |by: usize| Task {
            is_blocked: by > 0,
            blocked_by_task_ids: vec![Uuid::from_u128(3).to_string(); by],
            ..task(TaskStatus::Inbox)
        };
        let mut fact = None;
        for (number, by, since) in [
            (1, 0, None),
            (2, 2, Some(2)),
            (3, 1, Some(2)),
            (4, 0, None),
            (5, 1, Some(5)),
        ] {
            fact = TaskFact::after(fact, &blocked(by), (Uuid::nil(), hour(number), number, false));
            assert_eq!(
                fact.as_ref().and_then(|fact| fact.blocked_since),
                since.map(hour),
                "hour {number}"
            );
        }
    }
}
