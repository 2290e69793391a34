//! Creating and deleting tasks.

use chassis::{
    Caller, Change, Error, Result,
    error::Kind,
    etag::IfMatch,
    identity::{optional_uuid, uuid_of},
    moment,
    outbox::OutboxRow,
    store::violates,
};
use proto::board::v1::{CreateTaskRequest, DeleteTaskRequest, Task};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    dependents::{self, Dependency},
    links,
    read::not_found,
    rows::{NO_VALUES, TaskRow, load},
};
use crate::{
    Service, boards, fields,
    rules::{self, Facts, Status, Stop},
};

/// Times a decision may ask for another fact or find the task changed, before the caller is told to try again. A decision asks for
/// three facts at most.
pub(super) const ATTEMPTS: usize = 8;

impl Service {
    pub(super) async fn create(&self, caller: &Caller, request: CreateTaskRequest) -> Result<Task> {
        let board = boards::facts(self.store.pool(), uuid_of(&request.board_id)?).await?;
        caller.may_write_board(board.organization, board.id)?;
        let actor = super::update::actor(caller)?;
        let status = Status::of(request.status()).unwrap_or(Status::Inbox);
        let assignee = optional_uuid(request.assigned_agent_id.as_ref())?;
        let dependencies = links::unique(&request.depends_on_task_ids)?;
        let tag_ids = links::unique(&request.tag_ids)?;
        let given = fields::rules::given(request.custom_field_values.as_deref())?;
        let due_at = request.due_at.as_ref().map(moment).transpose()?;
        let now = OffsetDateTime::now_utc();
        let mut facts = Facts {
            now,
            blocked_by: Vec::new(),
            worker_commented: false,
            assignee: None,
            lead: None,
            approvals: None,
        };

        // What a task without links and fields writes is one statement.
        let alone = dependencies.is_empty() && tag_ids.is_empty() && !board.has_fields && given.is_empty();

        for _ in 0..ATTEMPTS {
            let mut tx = if alone { None } else { Some(self.store.begin().await?) };
            let mut tags = links::Tags::default();
            if let Some(tx) = &mut tx {
                facts.blocked_by = links::check_dependencies(tx, board.id, None, &dependencies).await?;
                tags = links::check_tags(tx, board.organization, &tag_ids).await?;
            }
            let state = match rules::begin(actor, board.gates, status, assignee, &facts) {
                Ok(state) => state,
                Err(Stop::Refused(refusal)) => return Err(refusal.into()),
                Err(Stop::Needs(fact)) => {
                    drop(tx);
                    self.fetch(caller, &board, None, fact, &mut facts).await?;
                    continue;
                }
            };
            let mut row = TaskRow {
                id: Uuid::now_v7(),
                board_id: board.id,
                organization_id: board.organization,
                title: request.title.clone(),
                description: request.description.clone(),
                status: String::new(),
                priority: request.priority.clone().unwrap_or_else(|| "medium".to_owned()),
                due_at,
                assigned_agent_id: None,
                created_by_user_id: caller.user_id().ok(),
                in_progress_at: None,
                previous_in_progress_at: None,
                last_worker_id: None,
                revision: 0,
                created_at: now,
                updated_at: now,
                depends_on: dependencies.clone(),
                undone: facts.blocked_by.clone(),
                tag_ids: tags.ids,
                tag_names: tags.names,
                tag_slugs: tags.slugs,
                tag_colors: tags.colors,
                custom: NO_VALUES.to_owned(),
            };
            row.apply(&state);
            let values = if let Some(tx) = tx.as_mut().filter(|_| board.has_fields || !given.is_empty()) {
                let fields = fields::of_board_held(tx, board.id).await?;
                let values = fields::rules::settle(&fields, &given, None).map_err(Error::from)?;
                row.custom = fields::shown(&fields, &values.iter().cloned().collect());
                values
            } else {
                Vec::new()
            };
            let task = row.message();
            let created = if caller.is_lead() {
                "Task created by lead"
            } else {
                "Task created"
            };
            let event = Change::new("task.created", board.organization)
                .board(board.id)
                .task(row.id)
                .agent(caller.agent_id())
                .message(format!("{created}: {}.", row.title))
                .after(&task)
                .into_event(caller);
            let told = OutboxRow::of(&event)?;
            let statement = sqlx::query!(
                "WITH told AS (INSERT INTO board.outbox (id, event_type, event) VALUES ($16, $17, $18)) \
                 INSERT INTO board.tasks (id, board_id, title, description, status, priority, due_at, assigned_agent_id, created_by_user_id, \
                   created_by_agent_id, in_progress_at, last_worker_id, created_at, updated_at, depends_on, tag_ids) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $13, $14, $15)",
                row.id,
                row.board_id,
                row.title,
                row.description,
                row.status,
                row.priority,
                row.due_at,
                row.assigned_agent_id,
                row.created_by_user_id,
                caller.agent_id(),
                row.in_progress_at,
                row.last_worker_id,
                row.created_at,
                &row.depends_on,
                &row.tag_ids,
                told.id,
                told.event_type,
                told.event
            );
            let refused = |error: sqlx::Error| {
                if violates(&error, "tasks_board_id_fkey") {
                    boards::not_found()
                } else {
                    error.into()
                }
            };
            let Some(mut tx) = tx else {
                self.store.change_alone(statement, &event, refused).await?;
                return Ok(task);
            };
            statement.execute(&mut *tx).await.map_err(refused)?;
            tx.recorded(std::slice::from_ref(&event));
            if !row.depends_on.is_empty() {
                links::replace_dependencies(&mut tx, row.id, &row.depends_on).await?;
            }
            if !row.tag_ids.is_empty() {
                links::replace_tags(&mut tx, row.id, &row.tag_ids).await?;
            }
            fields::write(&mut tx, row.id, &values).await?;
            tx.commit().await?;
            return Ok(task);
        }
        Err(unsettled())
    }

    pub(super) async fn delete(&self, caller: &Caller, request: &DeleteTaskRequest, if_match: &IfMatch) -> Result<()> {
        let (board, task) = (uuid_of(&request.board_id)?, uuid_of(&request.task_id)?);
        let mut tx = self.store.begin().await?;
        super::update::lock_linked(&mut tx, board, task, None).await?;
        let loaded = load(&mut tx, task, None, true)
            .await?
            .filter(|loaded| loaded.board.id == board)
            .ok_or_else(not_found)?;
        caller.may_write_board(loaded.board.organization, board)?;
        if_match.check(&loaded.row.etag())?;
        let waiting = if loaded.has_dependents {
            dependents::before(&mut tx, task).await?
        } else {
            Vec::new()
        };
        sqlx::query!("DELETE FROM board.tasks WHERE id = $1", task)
            .execute(&mut *tx)
            .await?;
        let title = &loaded.row.title;
        let change = Change::new("task.deleted", loaded.board.organization)
            .board(board)
            .task(task)
            .agent(caller.agent_id());
        let mut events = vec![
            change
                .message(format!("Task deleted: {title}."))
                .before(&loaded.row.message())
                .into_event(caller),
        ];
        events.extend(
            dependents::after(
                &mut tx,
                caller,
                &waiting,
                Dependency::Deleted,
                title,
                OffsetDateTime::now_utc(),
            )
            .await?,
        );
        tx.record_events(&events).await?;
        tx.commit().await
    }
}

/// The task kept changing under the decision.
pub(super) fn unsettled() -> Error {
    Error::new(
        Kind::Conflict,
        "The task is being changed by others at the same time. Read it again and retry.",
    )
}
