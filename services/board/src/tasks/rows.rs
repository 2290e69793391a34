//! Rows of tasks, with their links and their board, and the messages made of them.

use std::collections::{HashMap, HashSet};

use chassis::{Result, timestamp};
use proto::board::v1::{TagRef, Task};
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    fields::rules::object,
    rules::{Gates, State, Status},
};

/// A task with its links.
#[derive(Clone, Debug)]
pub struct TaskRow {
    pub id: Uuid,
    pub board_id: Uuid,
    pub organization_id: Uuid,
    pub title: String,
    pub description: Option<String>,
    pub status: String,
    pub priority: String,
    pub due_at: Option<OffsetDateTime>,
    pub assigned_agent_id: Option<Uuid>,
    pub created_by_user_id: Option<Uuid>,
    pub in_progress_at: Option<OffsetDateTime>,
    pub previous_in_progress_at: Option<OffsetDateTime>,
    pub last_worker_id: Option<Uuid>,
    /// Counts its changes.
    pub revision: i64,
    pub created_at: OffsetDateTime,
    pub updated_at: OffsetDateTime,
    /// Dependencies, in their order.
    pub depends_on: Vec<Uuid>,
    /// Those that are not done.
    pub undone: Vec<Uuid>,
    pub tag_ids: Vec<Uuid>,
    pub tag_names: Vec<String>,
    pub tag_slugs: Vec<String>,
    pub tag_colors: Vec<String>,
    /// Values of the board's custom fields, as a JSON object.
    pub custom: String,
}

impl TaskRow {
    /// Where it stands.
    pub fn status(&self) -> Status {
        // The database holds no other word (tasks_status_check).
        Status::parse(&self.status).unwrap_or(Status::Inbox)
    }

    /// What the rules decide on.
    pub fn state(&self) -> State {
        State {
            status: self.status(),
            assignee: self.assigned_agent_id,
            in_progress_at: self.in_progress_at,
            previous_in_progress_at: self.previous_in_progress_at,
            last_worker: self.last_worker_id,
        }
    }

    /// Takes over a decision of the rules.
    pub fn apply(&mut self, state: &State) {
        state.status.as_str().clone_into(&mut self.status);
        self.assigned_agent_id = state.assignee;
        self.in_progress_at = state.in_progress_at;
        self.previous_in_progress_at = state.previous_in_progress_at;
        self.last_worker_id = state.last_worker;
    }

    /// Names this state of the task.
    pub fn etag(&self) -> String {
        self.revision.to_string()
    }

    /// The task as the API shows it.
    pub fn message(&self) -> Task {
        self.clone().into_message()
    }

    /// The task as the API shows it. A finished task is never shown as blocked.
    pub fn into_message(self) -> Task {
        let status = self.status();
        let undone = if status == Status::Done { &[] } else { &*self.undone };
        let tag_ids = strings(&self.tag_ids);
        let tags = tag_ids
            .iter()
            .zip(self.tag_names)
            .zip(self.tag_slugs)
            .zip(self.tag_colors)
            .map(|(((id, name), slug), color)| TagRef {
                id: id.clone(),
                name,
                slug,
                color,
            })
            .collect();
        Task {
            title: self.title,
            description: self.description,
            status: status.message().into(),
            priority: self.priority,
            due_at: self.due_at.map(timestamp),
            assigned_agent_id: self.assigned_agent_id.map(|id| id.to_string()),
            depends_on_task_ids: strings(&self.depends_on),
            tag_ids,
            id: self.id.to_string(),
            board_id: Some(self.board_id.to_string()),
            created_by_user_id: self.created_by_user_id.map(|id| id.to_string()),
            in_progress_at: self.in_progress_at.map(timestamp),
            created_at: Some(timestamp(self.created_at)),
            updated_at: Some(timestamp(self.updated_at)),
            blocked_by_task_ids: strings(undone),
            is_blocked: !undone.is_empty(),
            tags,
            custom_field_values: Some(self.custom.into_bytes()),
            etag: self.revision.to_string(),
        }
    }
}

/// Ids as messages carry them.
pub fn strings(ids: &[Uuid]) -> Vec<String> {
    ids.iter().map(Uuid::to_string).collect()
}

/// What of a board its tasks need.
#[derive(Clone, Copy, Debug)]
pub struct BoardFacts {
    pub id: Uuid,
    pub organization: Uuid,
    pub gateway: Option<Uuid>,
    pub gates: Gates,
    /// Whether its tasks have custom fields.
    pub has_fields: bool,
}

/// A task with what decides about it.
pub struct Loaded {
    pub row: TaskRow,
    pub board: BoardFacts,
    /// The lead that created it.
    pub created_by_agent: Option<Uuid>,
    /// Whether another task depends on it.
    pub has_dependents: bool,
    /// Whether whoever works on it, or the asking agent, has commented since the work began.
    pub worker_commented: bool,
}

/// Values of a task whose board has no custom fields.
pub const NO_VALUES: &str = "{}";

/// Selects [`TaskRow`]s, with no more of their links than ids, from `$from`, a table or subquery with all columns of `board.tasks`, called `t`; it may
/// be several texts to be joined.
macro_rules! select_tasks {
    ([$($from:tt)+], $tail:tt $(, $argument:expr)*) => {
        sqlx::query!(
            "SELECT t.id, t.board_id, b.organization_id, t.title, t.description, t.status, t.priority, t.due_at, t.assigned_agent_id, \
               t.created_by_user_id, t.in_progress_at, t.previous_in_progress_at, t.last_worker_id, t.revision, t.created_at, t.updated_at, \
               t.depends_on, t.tag_ids \
             FROM " + $($from)+ + " AS t JOIN board.boards b ON b.id = t.board_id " + $tail
            $(, $argument)*
        )
        .map(|row| $crate::tasks::TaskRow {
            id: row.id,
            board_id: row.board_id,
            organization_id: row.organization_id,
            title: row.title,
            description: row.description,
            status: row.status,
            priority: row.priority,
            due_at: row.due_at,
            assigned_agent_id: row.assigned_agent_id,
            created_by_user_id: row.created_by_user_id,
            in_progress_at: row.in_progress_at,
            previous_in_progress_at: row.previous_in_progress_at,
            last_worker_id: row.last_worker_id,
            revision: row.revision,
            created_at: row.created_at,
            updated_at: row.updated_at,
            depends_on: row.depends_on,
            undone: Vec::new(),
            tag_ids: row.tag_ids,
            tag_names: Vec::new(),
            tag_slugs: Vec::new(),
            tag_colors: Vec::new(),
            custom: $crate::tasks::NO_VALUES.to_owned(),
        })
    };
}
pub(super) use select_tasks;

/// A custom field of a board, as its tasks show it.
struct Shown {
    id: Uuid,
    key: String,
    default: Option<String>,
}

/// Reads what tasks show of their links, and their custom values, for all of them at once. Of a dependency that is among the tasks its state is
/// known already.
pub async fn with_links(connection: &mut PgConnection, mut rows: Vec<TaskRow>) -> Result<Vec<TaskRow>> {
    if rows.is_empty() {
        return Ok(rows);
    }
    let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
    let boards = each_once(rows.iter().map(|row| row.board_id));
    let tags = each_once(rows.iter().flat_map(|row| row.tag_ids.iter().copied()));
    let mut open: HashMap<Uuid, bool> = rows.iter().map(|row| (row.id, row.status() != Status::Done)).collect();
    let outside = each_once(rows.iter().flat_map(|row| row.depends_on.iter().copied()))
        .into_iter()
        .filter(|id| !open.contains_key(id))
        .collect::<Vec<_>>();
    let links = sqlx::query!(
        "SELECT 0 AS \"kind!\", p.id AS \"id!\", NULL::uuid AS owner, NULL::text AS first, NULL::text AS second, NULL::text AS third \
         FROM board.tasks p WHERE p.id = ANY($1) AND p.status <> 'done' \
         UNION ALL \
         SELECT 1, k.id, NULL, k.name, k.slug, k.color FROM board.tags k WHERE k.id = ANY($2) \
         UNION ALL \
         SELECT 2, v.custom_field_id, v.task_id, v.value::text, NULL, NULL \
         FROM board.task_custom_field_values v \
         WHERE v.task_id = ANY($3) AND EXISTS (SELECT FROM board.board_custom_fields WHERE board_id = ANY($4)) \
         UNION ALL \
         SELECT 3, f.id, b.board_id, f.field_key, f.default_value::text, NULL \
         FROM board.board_custom_fields b JOIN board.custom_fields f ON f.id = b.custom_field_id WHERE b.board_id = ANY($4)",
        &outside,
        &tags,
        &ids,
        &boards
    )
    .fetch_all(connection)
    .await?;
    let mut labels: HashMap<Uuid, [String; 3]> = HashMap::with_capacity(tags.len());
    let mut fields: HashMap<Uuid, Vec<Shown>> = HashMap::new();
    let mut values: HashMap<(Uuid, Uuid), String> = HashMap::new();
    for link in links {
        let owner = link.owner.unwrap_or_default();
        match link.kind {
            0 => {
                open.insert(link.id, true);
            }
            1 => {
                labels.insert(
                    link.id,
                    [link.first, link.second, link.third].map(Option::unwrap_or_default),
                );
            }
            2 => {
                values.insert((owner, link.id), link.first.unwrap_or_default());
            }
            _ => fields.entry(owner).or_default().push(Shown {
                id: link.id,
                key: link.first.unwrap_or_default(),
                default: link.second,
            }),
        }
    }
    for shown in fields.values_mut() {
        shown.sort_by(|a, b| a.key.cmp(&b.key));
    }
    for row in &mut rows {
        let is_open = |id: &&Uuid| open.get(id).copied().unwrap_or(false);
        row.undone = row.depends_on.iter().filter(is_open).copied().collect();
        // A tag that was deleted since the page was read is not shown any more.
        row.tag_ids.retain(|id| labels.contains_key(id));
        for [name, slug, color] in row.tag_ids.iter().filter_map(|id| labels.get(id)) {
            row.tag_names.push(name.clone());
            row.tag_slugs.push(slug.clone());
            row.tag_colors.push(color.clone());
        }
        if let Some(shown) = fields.get(&row.board_id) {
            row.custom = object(shown.iter().map(|field| {
                let value = values.get(&(row.id, field.id)).or(field.default.as_ref());
                (field.key.as_str(), value.map(String::as_str))
            }));
        }
    }
    Ok(rows)
}

/// These ids, each once.
fn each_once(ids: impl Iterator<Item = Uuid>) -> Vec<Uuid> {
    ids.collect::<HashSet<_>>().into_iter().collect()
}

/// Tasks by id, in no order.
pub async fn rows_by_id(connection: &mut PgConnection, ids: &[Uuid]) -> Result<Vec<TaskRow>> {
    let rows = select_tasks!(["(SELECT s.* FROM board.tasks s WHERE s.id = ANY($1))"], "", ids)
        .fetch_all(&mut *connection)
        .await?;
    with_links(connection, rows).await
}

/// Tasks assigned to one of these agents, everywhere or on one board, by board, locked.
pub async fn rows_of_agents(
    connection: &mut PgConnection,
    agents: &[Uuid],
    board: Option<Uuid>,
) -> Result<Vec<TaskRow>> {
    let rows = select_tasks!(
        ["(SELECT s.* FROM board.tasks s WHERE s.assigned_agent_id = ANY($1) AND ($2::uuid IS NULL OR s.board_id = $2) \
            ORDER BY s.id FOR NO KEY UPDATE)"],
        "ORDER BY t.board_id, t.id",
        agents,
        board
    )
    .fetch_all(&mut *connection)
    .await?;
    with_links(connection, rows).await
}

/// [`Loaded`] before it is taken apart.
#[expect(clippy::struct_excessive_bools, reason = "one column per rule of the board")]
struct Flat {
    id: Uuid,
    board_id: Uuid,
    organization_id: Uuid,
    gateway_id: Option<Uuid>,
    require_approval_for_done: bool,
    require_review_before_done: bool,
    comment_required_for_review: bool,
    block_status_changes_with_pending_approval: bool,
    only_lead_can_change_status: bool,
    title: String,
    description: Option<String>,
    status: String,
    priority: String,
    due_at: Option<OffsetDateTime>,
    assigned_agent_id: Option<Uuid>,
    created_by_user_id: Option<Uuid>,
    created_by_agent_id: Option<Uuid>,
    in_progress_at: Option<OffsetDateTime>,
    previous_in_progress_at: Option<OffsetDateTime>,
    last_worker_id: Option<Uuid>,
    revision: i64,
    snapshot_revision: i64,
    created_at: OffsetDateTime,
    updated_at: OffsetDateTime,
    depends_on: Vec<Uuid>,
    undone: Vec<Uuid>,
    tag_ids: Vec<Uuid>,
    tag_names: Vec<String>,
    tag_slugs: Vec<String>,
    tag_colors: Vec<String>,
    custom_keys: Vec<String>,
    custom_values: Vec<Option<String>>,
    has_dependents: bool,
    worker_commented: bool,
}

/// A task with its board in one round trip.
macro_rules! select_flat {
    ($tail:tt, $task:expr, $agent:expr) => {
        sqlx::query_as!(
            Flat,
            "SELECT t.id, t.board_id, b.organization_id, b.gateway_id, b.require_approval_for_done, b.require_review_before_done, \
               b.comment_required_for_review, b.block_status_changes_with_pending_approval, b.only_lead_can_change_status, \
               t.title, t.description, t.status, t.priority, t.due_at, t.assigned_agent_id, t.created_by_user_id, t.created_by_agent_id, \
               t.in_progress_at, t.previous_in_progress_at, t.last_worker_id, t.created_at, t.updated_at, t.revision, \
               (SELECT s.revision FROM board.tasks s WHERE s.id = t.id) AS \"snapshot_revision!\", \
               d.ids AS \"depends_on!\", d.undone AS \"undone!\", \
               g.ids AS \"tag_ids!\", g.names AS \"tag_names!\", g.slugs AS \"tag_slugs!\", g.colors AS \"tag_colors!\", \
               c.keys AS \"custom_keys!\", c.values AS \"custom_values!: Vec<Option<String>>\", \
               EXISTS (SELECT FROM board.task_dependencies l WHERE l.depends_on_task_id = t.id) AS \"has_dependents!\", \
               (b.comment_required_for_review AND EXISTS ( \
                 SELECT FROM board.comments c WHERE c.task_id = t.id AND c.agent_id IN (t.assigned_agent_id, $2) \
                   AND c.created_at >= coalesce(t.in_progress_at, t.previous_in_progress_at) \
               )) AS \"worker_commented!\" \
             FROM board.tasks t JOIN board.boards b ON b.id = t.board_id \
             CROSS JOIN LATERAL ( \
               SELECT coalesce(array_agg(l.depends_on_task_id ORDER BY l.position), '{}') AS ids, \
                 coalesce(array_agg(l.depends_on_task_id ORDER BY l.position) FILTER (WHERE p.status <> 'done'), '{}') AS undone \
               FROM board.task_dependencies l JOIN board.tasks p ON p.id = l.depends_on_task_id WHERE l.task_id = t.id \
             ) d \
             CROSS JOIN LATERAL ( \
               SELECT coalesce(array_agg(k.id ORDER BY l.position), '{}') AS ids, coalesce(array_agg(k.name ORDER BY l.position), '{}') AS names, \
                 coalesce(array_agg(k.slug ORDER BY l.position), '{}') AS slugs, coalesce(array_agg(k.color ORDER BY l.position), '{}') AS colors \
               FROM board.task_tags l JOIN board.tags k ON k.id = l.tag_id WHERE l.task_id = t.id \
             ) g \
             CROSS JOIN LATERAL ( \
               SELECT coalesce(array_agg(f.field_key ORDER BY f.field_key COLLATE \"C\"), '{}') AS keys, \
                 coalesce(array_agg((CASE WHEN v.task_id IS NULL THEN f.default_value ELSE v.value END)::text \
                   ORDER BY f.field_key COLLATE \"C\"), '{}') AS values \
               FROM board.board_custom_fields l JOIN board.custom_fields f ON f.id = l.custom_field_id \
               LEFT JOIN board.task_custom_field_values v ON v.task_id = t.id AND v.custom_field_id = f.id WHERE l.board_id = t.board_id \
             ) c \
             WHERE t.id = $1 " + $tail,
            $task,
            $agent
        )
    };
}

/// A task with its board; `agent` is the asking agent, whose comments count as the worker's. With `lock` the row stays as it is until
/// the transaction ends.
pub async fn load(
    connection: &mut PgConnection,
    task: Uuid,
    agent: Option<Uuid>,
    lock: bool,
) -> Result<Option<Loaded>> {
    let flat = if lock {
        let first = select_flat!("FOR NO KEY UPDATE OF t", task, agent)
            .fetch_optional(&mut *connection)
            .await?;
        match first {
            // The row changed while this waited for its lock: its links come from before that. Now it is locked, look again.
            Some(flat) if flat.revision != flat.snapshot_revision => {
                select_flat!("", task, agent).fetch_optional(connection).await?
            }
            first => first,
        }
    } else {
        select_flat!("", task, agent).fetch_optional(connection).await?
    };
    Ok(flat.map(Flat::into_loaded))
}

impl Flat {
    fn into_loaded(self) -> Loaded {
        Loaded {
            board: BoardFacts {
                id: self.board_id,
                organization: self.organization_id,
                gateway: self.gateway_id,
                gates: Gates {
                    require_approval_for_done: self.require_approval_for_done,
                    require_review_before_done: self.require_review_before_done,
                    comment_required_for_review: self.comment_required_for_review,
                    block_status_changes_with_pending_approval: self.block_status_changes_with_pending_approval,
                    only_lead_can_change_status: self.only_lead_can_change_status,
                },
                has_fields: !self.custom_keys.is_empty(),
            },
            created_by_agent: self.created_by_agent_id,
            has_dependents: self.has_dependents,
            worker_commented: self.worker_commented,
            row: TaskRow {
                id: self.id,
                board_id: self.board_id,
                organization_id: self.organization_id,
                title: self.title,
                description: self.description,
                status: self.status,
                priority: self.priority,
                due_at: self.due_at,
                assigned_agent_id: self.assigned_agent_id,
                created_by_user_id: self.created_by_user_id,
                in_progress_at: self.in_progress_at,
                previous_in_progress_at: self.previous_in_progress_at,
                last_worker_id: self.last_worker_id,
                revision: self.revision,
                created_at: self.created_at,
                updated_at: self.updated_at,
                depends_on: self.depends_on,
                undone: self.undone,
                tag_ids: self.tag_ids,
                tag_names: self.tag_names,
                tag_slugs: self.tag_slugs,
                tag_colors: self.tag_colors,
                custom: object(
                    self.custom_keys
                        .iter()
                        .map(String::as_str)
                        .zip(self.custom_values.iter().map(Option::as_deref)),
                ),
            },
        }
    }
}
