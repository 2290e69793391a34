//! Entries of the log as they are stored, and as the feed shows them.

use chassis::timestamp;
use proto::activity::v1::{ActivityEvent, RouteParams};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use uuid::Uuid;

use crate::rules;

/// The columns of a [`Row`], of entries `e`.
pub const COLUMNS: &str = "e.id, e.position, e.event_type, e.message, e.actor_type, e.actor_id, e.actor_name, e.agent_id, e.task_id, e.board_id, \
     e.request_id, e.before, e.after, e.created_at";

/// The same without the things that changed: much shorter.
pub const BRIEF: &str = "e.id, e.position, e.event_type, e.message, e.actor_type, e.actor_id, e.actor_name, e.agent_id, e.task_id, e.board_id, \
     e.request_id, NULL::text AS before, NULL::text AS after, e.created_at";

/// An entry.
#[derive(Clone, sqlx::FromRow)]
pub struct Row {
    pub id: Uuid,
    pub position: i64,
    pub event_type: String,
    pub message: String,
    pub actor_type: String,
    pub actor_id: String,
    pub actor_name: String,
    pub agent_id: Option<Uuid>,
    pub task_id: Option<Uuid>,
    pub board_id: Option<Uuid>,
    pub request_id: String,
    pub before: Option<String>,
    pub after: Option<String>,
    pub created_at: OffsetDateTime,
}

impl From<Row> for ActivityEvent {
    fn from(row: Row) -> Self {
        let id = row.id.to_string();
        let (board, task) = (
            row.board_id.map(|id| id.to_string()),
            row.task_id.map(|id| id.to_string()),
        );
        let (name, values) = rules::route(&row.event_type, &id, board.as_deref(), task.as_deref(), || {
            row.created_at.format(&Rfc3339).unwrap_or_default()
        });
        let text = |text: String| (!text.is_empty()).then_some(text);
        Self {
            resume_token: row.position.to_string(),
            id,
            event_type: row.event_type,
            message: Some(row.message),
            agent_id: row.agent_id.map(|id| id.to_string()),
            task_id: task,
            board_id: board,
            route_name: Some(name.to_owned()),
            route_params: Some(RouteParams { values }),
            created_at: Some(timestamp(row.created_at)),
            actor_type: text(row.actor_type),
            actor_id: text(row.actor_id),
            actor_name: text(row.actor_name),
            request_id: text(row.request_id),
            before: row.before.map(String::into_bytes),
            after: row.after.map(String::into_bytes),
            position: row.position,
        }
    }
}
