//! Lists of tasks, and one task.

use chassis::{
    Caller, Error, Result,
    identity::{optional_uuid, uuid_of},
    message::Page,
    unchanged::Answer,
};
use prost::Message;
use proto::{
    board::v1::{
        BoardTaskCounts, CountTasksRequest, CountTasksResponse, GetTaskRequest, ListTasksRequest, ListTasksResponse,
        Task, TaskOrder,
    },
    identity::v1::PrincipalKind,
};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    overview::newest,
    rows::{TaskRow, load, select_tasks, with_links},
};
use crate::{
    Service, boards,
    fields::{self, Wanted},
    rules::Status,
};

/// Hands to `$then`, after what stands in `$context`, the condition of the tasks `s` of board `$1` that fit a [`Filter`], and the values of `$1` to
/// `$10` in it: pages and counts ask the same.
macro_rules! fitting {
    ($then:ident, [$($context:tt),* $(,)?], $board:expr, $filter:expr) => {
        $then!(
            $($context,)*
            "s.board_id = $1 AND ($2::text[] IS NULL OR s.status = ANY($2)) \
                AND ($3::uuid IS NULL OR s.assigned_agent_id = $3) AND (NOT $4 OR s.assigned_agent_id IS NULL) \
                AND ($5::text IS NULL OR s.title ILIKE $5 OR s.description ILIKE $5) AND ($6::text[] IS NULL OR s.priority = ANY($6)) \
                AND ($7::uuid[] IS NULL OR EXISTS (SELECT FROM board.task_tags l WHERE l.task_id = s.id AND l.tag_id = ANY($7))) \
                AND ($8::uuid[] IS NULL OR NOT EXISTS ( \
                  SELECT FROM unnest($8::uuid[], $9::text[], $10::text[]) AS w (field, fallback, wanted) \
                  LEFT JOIN board.task_custom_field_values v ON v.task_id = s.id AND v.custom_field_id = w.field \
                  WHERE (CASE WHEN v.task_id IS NULL THEN w.fallback ELSE v.value #>> '{}' END) IS DISTINCT FROM w.wanted \
                ))",
            [
                $board,
                $filter.statuses.as_deref() as _,
                $filter.assignee,
                $filter.unassigned,
                $filter.text.as_deref(),
                $filter.priorities.as_deref() as _,
                $filter.tags.as_deref() as _,
                $filter.fields.as_deref() as _,
                &$filter.defaults as _,
                &$filter.wanted
            ]
        )
    };
}

/// One page of what fits, in an order of `s`, repeated outside as one of `t`.
macro_rules! page_of {
    ($inner:tt, $outer:tt, $page:ident, $condition:tt, [$($value:expr),+]) => {
        select_tasks!(
            ["(SELECT s.* FROM board.tasks s WHERE " + $condition + " ORDER BY " + $inner + " LIMIT $11 OFFSET $12)"],
            $outer,
            $($value,)+
            i64::from($page.limit),
            i64::from($page.offset)
        )
    };
}

/// How much fits.
macro_rules! count_of {
    ($condition:tt, [$($value:expr),+]) => {
        sqlx::query_scalar!(
            "SELECT count(*) AS \"count!\" FROM board.tasks s WHERE " + $condition,
            $($value),+
        )
    };
}

/// Which tasks a list has; `None` is no filter.
struct Filter {
    statuses: Option<Vec<String>>,
    assignee: Option<Uuid>,
    unassigned: bool,
    /// A pattern of `LIKE`.
    text: Option<String>,
    priorities: Option<Vec<String>>,
    tags: Option<Vec<Uuid>>,
    fields: Option<Vec<Uuid>>,
    defaults: Vec<Option<String>>,
    wanted: Vec<String>,
}

impl Filter {
    fn of(request: &ListTasksRequest, wanted: Wanted) -> Result<Self> {
        let tags = request
            .tag_ids
            .iter()
            .map(|id| uuid_of(id))
            .collect::<Result<Vec<_>>>()?;
        Ok(Self {
            statuses: statuses(request.status.as_deref())?,
            assignee: optional_uuid(request.assigned_agent_id.as_ref())?,
            unassigned: request.unassigned == Some(true),
            text: request
                .q
                .as_deref()
                .map(str::trim)
                .filter(|text| !text.is_empty())
                .map(containing),
            priorities: Some(request.priority.clone()).filter(|words| !words.is_empty()),
            tags: Some(tags).filter(|tags| !tags.is_empty()),
            fields: Some(wanted.fields).filter(|fields| !fields.is_empty()),
            defaults: wanted.defaults,
            wanted: wanted.texts,
        })
    }

    /// Whether every task fits.
    fn takes_all(&self) -> bool {
        !self.unassigned
            && self.assignee.is_none()
            && self.text.is_none()
            && [&self.statuses, &self.priorities].iter().all(|words| words.is_none())
            && [&self.tags, &self.fields].iter().all(|ids| ids.is_none())
    }

    /// One page of a board's tasks, still without what their links show, and whether more follow.
    async fn page(
        &self,
        connection: &mut PgConnection,
        board: Uuid,
        order: TaskOrder,
        page: Page,
    ) -> Result<(Vec<TaskRow>, bool)> {
        // One more than is answered: whether there is one says whether this page ends the list.
        let beyond = Page {
            limit: page.limit + 1,
            ..page
        };
        let mut rows = match order {
            TaskOrder::Unspecified | TaskOrder::Newest if self.takes_all() => {
                newest(connection, board, Some(i64::from(beyond.limit)), i64::from(beyond.offset)).await?
            }
            TaskOrder::Unspecified | TaskOrder::Newest => {
                fitting!(
                    page_of,
                    ["s.created_at DESC, s.id DESC", "ORDER BY t.created_at DESC, t.id DESC", beyond],
                    board,
                    self
                )
                .fetch_all(&mut *connection)
                .await?
            }
            TaskOrder::Oldest => {
                fitting!(
                    page_of,
                    ["s.created_at, s.id", "ORDER BY t.created_at, t.id", beyond],
                    board,
                    self
                )
                .fetch_all(&mut *connection)
                .await?
            }
            TaskOrder::Updated => {
                fitting!(
                    page_of,
                    ["s.updated_at DESC, s.id DESC", "ORDER BY t.updated_at DESC, t.id DESC", beyond],
                    board,
                    self
                )
                .fetch_all(&mut *connection)
                .await?
            }
            TaskOrder::Due => {
                fitting!(
                    page_of,
                    [
                        "s.due_at NULLS LAST, s.created_at DESC, s.id DESC",
                        "ORDER BY t.due_at NULLS LAST, t.created_at DESC, t.id DESC",
                        beyond
                    ],
                    board,
                    self
                )
                .fetch_all(&mut *connection)
                .await?
            }
            TaskOrder::Priority => {
                fitting!(
                    page_of,
                    [
                        "array_position(ARRAY['high', 'medium', 'low'], s.priority) NULLS LAST, s.created_at DESC, s.id DESC",
                        "ORDER BY array_position(ARRAY['high', 'medium', 'low'], t.priority) NULLS LAST, t.created_at DESC, t.id DESC",
                        beyond
                    ],
                    board,
                    self
                )
                .fetch_all(&mut *connection)
                .await?
            }
        };
        let most = usize::try_from(page.limit).unwrap_or(0);
        let more = rows.len() > most;
        rows.truncate(most);
        Ok((rows, more))
    }

    /// How many tasks of a board fit.
    async fn count(&self, connection: &mut PgConnection, board: Uuid) -> Result<i64> {
        Ok(fitting!(count_of, [], board, self).fetch_one(connection).await?)
    }
}

/// The pattern of texts that contain this one, whatever characters it has.
fn containing(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len() + 2);
    pattern.push('%');
    for c in text.chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

impl Service {
    /// A page that is right still costs a look. One that is read costs two queries, tasks and what their links show; the last page and the only
    /// one need no count.
    pub(super) async fn list(&self, caller: &Caller, request: ListTasksRequest) -> Result<ListTasksResponse> {
        let board = uuid_of(&request.board_id)?;
        let page = Page::of(request.limit, request.offset)?;
        let mut connection = self.store.pool().acquire().await?;
        let look = self.task_pages.look(&mut connection, request.encode_to_vec()).await?;
        if let Some(known) = &look.known {
            caller.may_read_board(known.organization, board)?;
            return Ok(known.message.clone());
        }
        let wanted = if request.custom_field.is_empty() {
            Wanted::default()
        } else {
            // Which fields a board has is for those who may read it.
            let facts = boards::facts(&mut *connection, board).await?;
            caller.may_read_board(facts.organization, board)?;
            fields::wanted(&mut connection, board, &request.custom_field).await?
        };
        let filter = Filter::of(&request, wanted)?;
        let (rows, more) = filter.page(&mut connection, board, request.order(), page).await?;
        let organization = match rows.first() {
            Some(first) => first.organization_id,
            None => boards::facts(&mut *connection, board).await?.organization,
        };
        caller.may_read_board(organization, board)?;
        let total = if more || (rows.is_empty() && page.offset > 0) {
            filter.count(&mut connection, board).await?
        } else {
            i64::from(page.offset) + i64::try_from(rows.len()).unwrap_or(i64::MAX)
        };
        let rows = with_links(&mut connection, rows).await?;
        let message = ListTasksResponse {
            items: rows.into_iter().map(TaskRow::into_message).collect(),
            total: i32::try_from(total).unwrap_or(i32::MAX),
            limit: page.limit,
            offset: page.offset,
        };
        let answer = Answer { organization, message };
        Ok(self
            .task_pages
            .keep(&mut connection, look, answer)
            .await?
            .message
            .clone())
    }

    /// How many tasks every board has that the caller may read.
    pub(super) async fn count(&self, caller: &Caller, request: &CountTasksRequest) -> Result<CountTasksResponse> {
        let readable = match caller.kind() {
            PrincipalKind::Agent => caller.agent_board().map(|board| vec![board]),
            _ => caller.readable_boards()?,
        };
        let rows = sqlx::query!(
            "SELECT b.id, c.inbox AS \"inbox!\", c.in_progress AS \"in_progress!\", c.review AS \"review!\", c.done AS \"done!\", \
               (SELECT count(*) FROM board.tasks o WHERE o.board_id = b.id AND o.due_at < now() AND o.status <> 'done') AS \"overdue!\" \
             FROM board.boards b CROSS JOIN LATERAL ( \
               SELECT count(*) FILTER (WHERE t.status = 'inbox') AS inbox, count(*) FILTER (WHERE t.status = 'in_progress') AS in_progress, \
                 count(*) FILTER (WHERE t.status = 'review') AS review, count(*) FILTER (WHERE t.status = 'done') AS done \
               FROM board.tasks t WHERE t.board_id = b.id \
             ) c \
             WHERE b.organization_id = $1 AND ($2::uuid[] IS NULL OR b.id = ANY($2)) AND ($3::uuid IS NULL OR b.board_group_id = $3) \
             ORDER BY lower(b.name), b.created_at DESC, b.id",
            caller.organization()?,
            readable.as_deref() as _,
            optional_uuid(request.board_group_id.as_ref())?
        )
        .fetch_all(self.store.pool())
        .await?;
        let number = |count: i64| i32::try_from(count).unwrap_or(i32::MAX);
        let items = rows.into_iter().map(|row| BoardTaskCounts {
            board_id: row.id.to_string(),
            inbox: number(row.inbox),
            in_progress: number(row.in_progress),
            review: number(row.review),
            done: number(row.done),
            overdue: number(row.overdue),
            total: number(row.inbox + row.in_progress + row.review + row.done),
        });
        Ok(CountTasksResponse { items: items.collect() })
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
    fn a_text_is_looked_for_as_it_is() {
        for (text, pattern) in [("a b", "%a b%"), ("50%", "%50\\%%"), ("a_b\\", "%a\\_b\\\\%")] {
            assert_eq!(containing(text), pattern);
        }
    }

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
