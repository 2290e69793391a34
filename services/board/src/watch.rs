//! Live changes of a board's tasks: built from the events alone, without asking the database for each watcher.

use std::{pin::Pin, sync::Arc};

use chassis::{
    Caller, Result,
    identity::uuid_of,
    live::{Start, now_position},
    outbox::unpack,
};
use futures::{Stream, StreamExt};
use proto::{
    board::v1::{TaskActivity, TaskEvent, WatchTasksRequest},
    event::v1::Event,
};
use tonic::Status;

use crate::{Service, boards};

/// A stream of a server-streaming method.
type Live<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl Service {
    pub(super) async fn watch(&self, caller: &Caller, request: &WatchTasksRequest) -> Result<Live<TaskEvent>> {
        let board = boards::facts(self.store.pool(), uuid_of(&request.board_id)?).await?;
        caller.may_read_board(board.organization, board.id)?;
        let start = match Start::of(request.since.as_deref(), request.resume_token.as_deref())? {
            // Now is when this is answered, not when the stream is first looked at.
            Start::Now => Start::After(now_position(&self.store).await?),
            start => start,
        };
        let board = board.id.to_string();
        let events = self.feed.watch(start, move |event| {
            event.board_id == board && event.r#type.starts_with("task.")
        });
        Ok(Box::pin(events.map(|event| Ok(message(&event?)))))
    }
}

/// An event as watchers see it.
fn message(event: &Arc<Event>) -> TaskEvent {
    let given = |id: &String| Some(id.clone()).filter(|id| !id.is_empty());
    TaskEvent {
        id: event.position.to_string(),
        r#type: event.r#type.clone(),
        activity: Some(TaskActivity {
            id: event.id.clone(),
            event_type: event.r#type.clone(),
            message: given(&event.message),
            agent_id: given(&event.agent_id),
            task_id: given(&event.task_id),
            created_at: event.time,
        }),
        task: unpack(event.after.as_ref()),
        comment: unpack(event.after.as_ref()),
    }
}

#[cfg(test)]
mod tests {
    use chassis::outbox::pack;
    use proto::board::v1::{Task, TaskComment};

    use super::*;

    fn seen(kind: &str, after: Option<prost_types::Any>) -> TaskEvent {
        let event = Event {
            id: "e".into(),
            r#type: kind.into(),
            task_id: "t".into(),
            position: 7,
            after,
            ..Event::default()
        };
        message(&Arc::new(event))
    }

    #[test]
    fn changes_carry_the_task_comments_the_comment_deletions_neither() {
        let changed = seen(
            "task.updated",
            Some(pack(&Task {
                title: "a".into(),
                ..Task::default()
            })),
        );
        assert_eq!(
            (
                changed.id.as_str(),
                changed.task.map(|task| task.title),
                changed.comment
            ),
            ("7", Some("a".into()), None)
        );

        let comment = seen(
            "task.comment",
            Some(pack(&TaskComment {
                id: "c".into(),
                ..TaskComment::default()
            })),
        );
        assert_eq!(
            (comment.task, comment.comment.map(|comment| comment.id)),
            (None, Some("c".into()))
        );

        let deleted = seen("task.deleted", None);
        assert_eq!((deleted.task, deleted.comment), (None, None));
        let activity = deleted.activity.unwrap();
        assert_eq!((activity.task_id.as_deref(), activity.agent_id), (Some("t"), None));
    }
}
