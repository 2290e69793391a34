//! Changing a task: the rules decide, one transaction writes.

use chassis::{
    Caller, Error, Result, Tx,
    etag::IfMatch,
    identity::{optional_uuid, uuid_of},
    message::Mask,
    moment,
};
use proto::{
    board::v1::{AssignTaskRequest, Task, TaskStatus, UpdateTaskRequest},
    identity::v1::PrincipalKind,
};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    create::{ATTEMPTS, unsettled},
    dependents::{self, Dependency},
    links,
    read::not_found,
    rows::{BoardFacts, Loaded, load},
};
use crate::{
    Service, comments, fields,
    rules::{self, Actor, Asked, Fact, Facts, Status, Stop},
};

/// What a request changes; `None` leaves a field.
#[expect(clippy::option_option, reason = "absent leaves a field, null clears it")]
pub struct Change {
    task: Uuid,
    /// The board in the path, when there is one.
    board: Option<Uuid>,
    title: Option<String>,
    description: Option<Option<String>>,
    status: Option<Status>,
    priority: Option<String>,
    due_at: Option<Option<OffsetDateTime>>,
    assignee: Option<Option<Uuid>>,
    dependencies: Option<Vec<Uuid>>,
    tags: Option<Vec<Uuid>>,
    /// Values of custom fields.
    custom: Option<fields::rules::Given>,
    comment: Option<String>,
    /// Every field the request names.
    fields: Vec<&'static str>,
}

impl Change {
    /// The change a request asks for.
    pub fn of(request: UpdateTaskRequest) -> Result<Self> {
        let mask = Mask::of(request.update_mask.as_ref());
        let status = mask.required("status", request.status)?.map(|status| {
            TaskStatus::try_from(status)
                .ok()
                .and_then(Status::of)
                .ok_or_else(|| Error::invalid("status", "status must be inbox, in_progress, review or done."))
        });
        let due_at = mask
            .field("due_at", request.due_at)
            .map(|at| at.as_ref().map(moment).transpose());
        let assignee = mask
            .field("assigned_agent_id", request.assigned_agent_id)
            .map(|id| optional_uuid(id.as_ref()));
        // A list that is null is an empty one.
        let list = |given: Option<Option<proto::board::v1::IdList>>| {
            given.map(|list| links::unique(&list.unwrap_or_default().items))
        };
        let custom = mask
            .field("custom_field_values", request.custom_field_values)
            .map(|json| fields::rules::given(json.as_deref()));
        let comment = mask.field("comment", request.comment);
        let mut change = Self {
            task: uuid_of(&request.task_id)?,
            board: Some(uuid_of(&request.board_id)?),
            title: mask.required("title", request.title)?,
            description: mask.field("description", request.description),
            status: status.transpose()?,
            priority: mask.required("priority", request.priority)?,
            due_at: due_at.transpose()?,
            assignee: assignee.transpose()?,
            dependencies: list(mask.field("depends_on_task_ids", request.depends_on_task_ids)).transpose()?,
            tags: list(mask.field("tag_ids", request.tag_ids)).transpose()?,
            custom: custom.transpose()?,
            comment: None,
            fields: Vec::new(),
        };
        for (name, named) in [
            ("title", change.title.is_some()),
            ("description", change.description.is_some()),
            ("status", change.status.is_some()),
            ("priority", change.priority.is_some()),
            ("due_at", change.due_at.is_some()),
            ("assigned_agent_id", change.assignee.is_some()),
            ("depends_on_task_ids", change.dependencies.is_some()),
            ("tag_ids", change.tags.is_some()),
            ("custom_field_values", change.custom.is_some()),
            ("comment", comment.is_some()),
        ] {
            if named {
                change.fields.push(name);
            }
        }
        change.comment = comment
            .flatten()
            .map(|text| text.trim().to_owned())
            .filter(|text| !text.is_empty());
        Ok(change)
    }

    /// A change of the assignee alone.
    pub fn assignment(request: &AssignTaskRequest) -> Result<Self> {
        Ok(Self {
            task: uuid_of(&request.task_id)?,
            board: None,
            title: None,
            description: None,
            status: None,
            priority: None,
            due_at: None,
            assignee: Some(optional_uuid(request.agent_id.as_ref())?),
            dependencies: None,
            tags: None,
            custom: None,
            comment: None,
            fields: vec!["assigned_agent_id"],
        })
    }

    /// What of it the rules decide on.
    fn asked(&self, loaded: &Loaded) -> Asked {
        Asked {
            status: self.status,
            assignee: self.assignee,
            dependencies_change: self
                .dependencies
                .as_ref()
                .is_some_and(|dependencies| *dependencies != loaded.row.depends_on),
            comment: self.comment.is_some(),
            fields: self.fields.clone(),
        }
    }

    /// Whether the outcome depends on other tasks, or changes them.
    fn touches_links(&self, loaded: &Loaded) -> bool {
        let moves = self.status.is_some() || self.assignee.is_some();
        self.dependencies.is_some() || (moves && (!loaded.row.depends_on.is_empty() || loaded.has_dependents))
    }
}

/// Who asks, for the rules.
pub fn actor(caller: &Caller) -> Result<Actor> {
    match (caller.kind(), caller.agent_id()) {
        (PrincipalKind::User, _) => Ok(Actor::User),
        (PrincipalKind::Agent, Some(agent)) if caller.is_lead() => Ok(Actor::Lead(agent)),
        (PrincipalKind::Agent, Some(agent)) => Ok(Actor::Worker(agent)),
        _ => Err(Error::denied("Forbidden")),
    }
}

impl Service {
    /// Changes a task. The first attempt locks the task alone. When the outcome turns out to depend on linked tasks, or on a fact of another
    /// service, the transaction is given up and begun again with the links locked, or with the fact: no lock is held while another
    /// service is asked, and locks are taken in the order of ids.
    pub(super) async fn update(&self, caller: &Caller, change: Change, if_match: &IfMatch) -> Result<Task> {
        let actor = actor(caller)?;
        let mut facts = Facts {
            now: OffsetDateTime::now_utc(),
            blocked_by: Vec::new(),
            worker_commented: false,
            assignee: None,
            lead: None,
            approvals: None,
        };
        let mut lock_links = None;
        for _ in 0..ATTEMPTS {
            let mut tx = self.store.begin().await?;
            if let Some(board) = lock_links {
                lock_linked(&mut tx, board, change.task, change.dependencies.as_deref()).await?;
            }
            let loaded = load(&mut tx, change.task, caller.agent_id(), true)
                .await?
                .filter(|loaded| change.board.is_none_or(|board| board == loaded.board.id))
                .ok_or_else(not_found)?;
            let board = loaded.board;
            caller.may_write_board(board.organization, board.id)?;
            if_match.check(&loaded.row.etag())?;
            let (task, asked) = (loaded.row.state(), change.asked(&loaded));
            rules::admit(actor, board.gates, &task, &asked).map_err(Error::from)?;
            if lock_links.is_none() && change.touches_links(&loaded) {
                lock_links = Some(board.id);
                continue;
            }
            let tags = match &change.tags {
                Some(tags) => Some(links::check_tags(&mut tx, board.organization, tags).await?),
                None => None,
            };
            facts.blocked_by = match &change.dependencies {
                Some(dependencies) if asked.dependencies_change => {
                    links::check_dependencies(&mut tx, board.id, Some(change.task), dependencies).await?
                }
                _ => loaded.row.undone.clone(),
            };
            facts.worker_commented = loaded.worker_commented;
            let next = match rules::decide(actor, board.gates, &task, &asked, &facts) {
                Ok(next) => next,
                Err(Stop::Refused(refusal)) => return Err(refusal.into()),
                Err(Stop::Needs(fact)) => {
                    drop(tx);
                    self.fetch(caller, &board, Some(change.task), fact, &mut facts).await?;
                    continue;
                }
            };
            let task = write(&mut tx, caller, change, loaded, tags, next, &facts).await?;
            tx.commit().await?;
            return Ok(task);
        }
        Err(unsettled())
    }

    /// Fetches a fact that a rule needs.
    pub(super) async fn fetch(
        &self,
        caller: &Caller,
        board: &BoardFacts,
        task: Option<Uuid>,
        fact: Fact,
        facts: &mut Facts,
    ) -> Result<()> {
        match fact {
            Fact::Assignee(agent) => facts.assignee = Some(self.outside.assignee(caller, board, agent).await?),
            Fact::Lead => facts.lead = Some(self.outside.lead(caller, board).await?),
            Fact::Approvals => {
                facts.approvals = Some(match task {
                    Some(task) => self.outside.approvals(caller, board, task).await?,
                    None => rules::Approvals::default(),
                });
            }
        }
        Ok(())
    }
}

/// Locks a task with all tasks linked to it, now or after the change to `dependencies`. Changes of dependencies wait for each other on the
/// whole board, since a cycle can be closed from any side.
pub(super) async fn lock_linked(tx: &mut Tx, board: Uuid, task: Uuid, dependencies: Option<&[Uuid]>) -> Result<()> {
    if dependencies.is_some() {
        sqlx::query!("SELECT id FROM board.boards WHERE id = $1 FOR NO KEY UPDATE", board)
            .fetch_optional(&mut **tx)
            .await?;
    }
    sqlx::query!(
        "SELECT t.id FROM board.tasks t WHERE t.board_id = $2 AND t.id IN ( \
           SELECT $1::uuid UNION SELECT unnest($3::uuid[]) \
           UNION SELECT depends_on_task_id FROM board.task_dependencies WHERE task_id = $1 \
           UNION SELECT task_id FROM board.task_dependencies WHERE depends_on_task_id = $1 \
         ) ORDER BY t.id FOR NO KEY UPDATE",
        task,
        board,
        dependencies.unwrap_or_default()
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(())
}

/// Writes the decided change, what follows from it and the events that tell of it.
async fn write(
    tx: &mut Tx,
    caller: &Caller,
    change: Change,
    loaded: Loaded,
    tags: Option<links::Tags>,
    next: rules::State,
    facts: &Facts,
) -> Result<Task> {
    let old = loaded.row.status();
    let before = loaded.row.message();
    let dependency = match (old == Status::Done, next.status == Status::Done) {
        (false, true) => Some(Dependency::Finished),
        (true, false) => Some(Dependency::Reopened),
        _ => None,
    };
    let waiting = match dependency {
        Some(_) if loaded.has_dependents => dependents::before(tx, change.task).await?,
        _ => Vec::new(),
    };

    let mut row = loaded.row;
    row.apply(&next);
    row.title = change.title.unwrap_or(row.title);
    row.description = change.description.unwrap_or(row.description);
    row.priority = change.priority.unwrap_or(row.priority);
    row.due_at = change.due_at.unwrap_or(row.due_at);
    row.updated_at = facts.now.max(row.updated_at);
    row.revision += 1;
    sqlx::query!(
        "UPDATE board.tasks SET title = $2, description = $3, status = $4, priority = $5, due_at = $6, assigned_agent_id = $7, \
           in_progress_at = $8, previous_in_progress_at = $9, last_worker_id = $10, updated_at = $11, revision = $12 WHERE id = $1",
        row.id,
        row.title,
        row.description,
        row.status,
        row.priority,
        row.due_at,
        row.assigned_agent_id,
        row.in_progress_at,
        row.previous_in_progress_at,
        row.last_worker_id,
        row.updated_at,
        row.revision
    )
    .execute(&mut **tx)
    .await?;
    if let Some(dependencies) = change.dependencies {
        if dependencies != row.depends_on {
            links::replace_dependencies(tx, row.id, &dependencies).await?;
        }
        row.depends_on = dependencies;
        row.undone.clone_from(&facts.blocked_by);
    }
    if let Some(tags) = tags {
        if tags.ids != row.tag_ids {
            links::replace_tags(tx, row.id, &tags.ids).await?;
        }
        (row.tag_ids, row.tag_names, row.tag_slugs, row.tag_colors) = (tags.ids, tags.names, tags.slugs, tags.colors);
    }
    if let Some(given) = change.custom
        && (loaded.board.has_fields || !given.is_empty())
    {
        let fields = fields::of_board_held(tx, loaded.board.id).await?;
        let mut values = fields::stored(tx, row.id).await?;
        let changed = fields::rules::settle(&fields, &given, Some(&values)).map_err(Error::from)?;
        fields::write(tx, row.id, &changed).await?;
        values.extend(changed);
        row.custom = fields::shown(&fields, &values);
    }

    let mut events = Vec::new();
    if let Some(text) = change.comment {
        events.push(
            comments::insert(tx, caller, &loaded.board, row.id, text, facts.now)
                .await?
                .1,
        );
    }
    let task = row.message();
    let (kind, message) = if next.status == old {
        ("task.updated", format!("Task updated: {}.", row.title))
    } else {
        (
            "task.status_changed",
            format!("Task moved to {}: {}.", row.status, row.title),
        )
    };
    let moved = chassis::Change::new(kind, loaded.board.organization)
        .board(loaded.board.id)
        .task(row.id)
        .agent(caller.agent_id());
    events.push(moved.message(message).before(&before).after(&task).into_event(caller));
    if let Some(dependency) = dependency {
        events.extend(dependents::after(tx, caller, &waiting, dependency, &row.title, facts.now).await?);
    }
    tx.record_events(&events).await?;
    Ok(task)
}
