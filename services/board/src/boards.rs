//! Boards: the work of one team of agents, with its rules.

use chassis::{
    Caller, Change, Error, Result, Tx,
    etag::IfMatch,
    identity::{optional_uuid, uuid_of},
    message::{Mask, Page},
    moment, timestamp,
    unchanged::{self, Answer},
};
use proto::{
    board::v1::{
        Board, CreateBoardRequest, DeleteBoardRequest, GetBoardRequest, ListBoardsRequest, ListBoardsResponse,
        UpdateBoardRequest, board_service_server::BoardService,
    },
    common::v1::Ok as Done,
    identity::v1::PrincipalKind,
};
use sqlx::{PgConnection, PgExecutor, PgPool};
use time::OffsetDateTime;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::{Service, goals, groups, rules::Gates, tasks::BoardFacts};

/// A board as it is stored.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "one column per rule of the board")]
pub struct BoardRow {
    id: Uuid,
    organization_id: Uuid,
    name: String,
    slug: String,
    description: String,
    gateway_id: Option<Uuid>,
    board_group_id: Option<Uuid>,
    board_type: String,
    objective: Option<String>,
    success_metrics: Option<String>,
    target_date: Option<OffsetDateTime>,
    goal_confirmed: bool,
    goal_source: Option<String>,
    require_approval_for_done: bool,
    require_review_before_done: bool,
    comment_required_for_review: bool,
    block_status_changes_with_pending_approval: bool,
    only_lead_can_change_status: bool,
    max_agents: i32,
    /// Counts its changes.
    revision: i64,
    approval_ttl_seconds: Option<i32>,
    created_at: OffsetDateTime,
    updated_at: OffsetDateTime,
}

impl BoardRow {
    /// The board as the API shows it.
    pub fn message(&self) -> Board {
        Board {
            name: self.name.clone(),
            slug: self.slug.clone(),
            description: self.description.clone(),
            gateway_id: self.gateway_id.map(|id| id.to_string()),
            board_group_id: self.board_group_id.map(|id| id.to_string()),
            board_type: self.board_type.clone(),
            objective: self.objective.clone(),
            success_metrics: self.success_metrics.clone().map(String::into_bytes),
            target_date: self.target_date.map(timestamp),
            goal_confirmed: self.goal_confirmed,
            goal_source: self.goal_source.clone(),
            require_approval_for_done: self.require_approval_for_done,
            require_review_before_done: self.require_review_before_done,
            comment_required_for_review: self.comment_required_for_review,
            block_status_changes_with_pending_approval: self.block_status_changes_with_pending_approval,
            only_lead_can_change_status: self.only_lead_can_change_status,
            max_agents: self.max_agents,
            approval_ttl_seconds: self.approval_ttl_seconds,
            id: self.id.to_string(),
            organization_id: self.organization_id.to_string(),
            created_at: Some(timestamp(self.created_at)),
            updated_at: Some(timestamp(self.updated_at)),
            etag: self.revision.to_string(),
        }
    }

    /// An event about the board, without its resource.
    pub fn change(&self, kind: &str, message: String) -> Change {
        Change::new(kind, self.organization_id).board(self.id).message(message)
    }

    /// The board.
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// Its organization.
    pub fn organization(&self) -> Uuid {
        self.organization_id
    }

    /// The name, for the feed.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The board after its gateway is gone.
    pub fn without_gateway(&self, at: OffsetDateTime) -> Self {
        Self {
            gateway_id: None,
            updated_at: at,
            revision: self.revision + 1,
            ..self.clone()
        }
    }

    /// What it is for.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// Where its agents run.
    pub fn gateway(&self) -> Option<Uuid> {
        self.gateway_id
    }

    /// The board with a confirmed goal; refused when the goal is not whole.
    pub fn with_goal(&self, goal: Goal) -> Result<Self> {
        let row = Self {
            board_type: goal.board_type,
            objective: goal.objective,
            success_metrics: goal.success_metrics,
            target_date: goal.target_date,
            goal_confirmed: true,
            goal_source: Some(goal.source),
            require_approval_for_done: goal.require_approval_for_done,
            ..self.clone()
        };
        row.check_goal(None)?;
        Ok(row)
    }

    /// The group it is in.
    pub fn group(&self) -> Option<Uuid> {
        self.board_group_id
    }

    /// The board after its group is gone.
    pub fn without_group(&self, at: OffsetDateTime) -> Self {
        Self {
            board_group_id: None,
            updated_at: at,
            revision: self.revision + 1,
            ..self.clone()
        }
    }

    /// Refuses a goal that is not whole; `was` is the type the board had before.
    fn check_goal(&self, was: Option<&str>) -> Result<()> {
        let whole = goals::is_whole(self.objective.as_deref(), self.success_metrics.as_deref());
        goals::check(was, &self.board_type, self.goal_confirmed, whole)
    }
}

/// Selects [`BoardRow`]s.
macro_rules! select_boards {
    ($tail:tt $(, $argument:expr)*) => {
        sqlx::query_as!(
            $crate::boards::BoardRow,
            "SELECT id, organization_id, name, slug, description, gateway_id, board_group_id, board_type, objective, \
               success_metrics::text AS success_metrics, target_date, goal_confirmed, goal_source, require_approval_for_done, \
               require_review_before_done, comment_required_for_review, block_status_changes_with_pending_approval, \
               only_lead_can_change_status, max_agents, approval_ttl_seconds, revision, created_at, updated_at \
             FROM board.boards " + $tail
            $(, $argument)*
        )
    };
}

/// There is no such board.
pub fn not_found() -> Error {
    Error::not_found("Board not found")
}

/// What of a board its tasks need.
pub async fn facts(executor: impl PgExecutor<'_>, board: Uuid) -> Result<BoardFacts> {
    let row = sqlx::query!(
        "SELECT organization_id, gateway_id, require_approval_for_done, require_review_before_done, comment_required_for_review, \
           block_status_changes_with_pending_approval, only_lead_can_change_status, \
           EXISTS (SELECT FROM board.board_custom_fields f WHERE f.board_id = boards.id) AS \"has_fields!\" FROM board.boards WHERE id = $1",
        board
    )
    .fetch_optional(executor)
    .await?
    .ok_or_else(not_found)?;
    Ok(BoardFacts {
        id: board,
        organization: row.organization_id,
        gateway: row.gateway_id,
        gates: Gates {
            require_approval_for_done: row.require_approval_for_done,
            require_review_before_done: row.require_review_before_done,
            comment_required_for_review: row.comment_required_for_review,
            block_status_changes_with_pending_approval: row.block_status_changes_with_pending_approval,
            only_lead_can_change_status: row.only_lead_can_change_status,
        },
        has_fields: row.has_fields,
    })
}

/// One board.
pub async fn find(pool: &PgPool, board: Uuid) -> Result<BoardRow> {
    select_boards!("WHERE id = $1", board)
        .fetch_optional(pool)
        .await?
        .ok_or_else(not_found)
}

/// One board, locked against changes.
pub async fn find_locked(connection: &mut PgConnection, board: Uuid) -> Result<BoardRow> {
    select_boards!("WHERE id = $1 FOR NO KEY UPDATE", board)
        .fetch_optional(connection)
        .await?
        .ok_or_else(not_found)
}

/// Boards by id, in no order.
pub async fn by_id(pool: &PgPool, boards: &[Uuid]) -> Result<Vec<BoardRow>> {
    Ok(select_boards!("WHERE id = ANY($1)", boards).fetch_all(pool).await?)
}

/// Boards of a gateway, oldest first.
pub async fn of_gateway(pool: &PgPool, gateway: Uuid) -> Result<Vec<BoardRow>> {
    Ok(select_boards!("WHERE gateway_id = $1 ORDER BY created_at, id", gateway)
        .fetch_all(pool)
        .await?)
}

/// Boards of a group, by name.
pub async fn of_group(pool: &PgPool, group: Uuid) -> Result<Vec<BoardRow>> {
    Ok(
        select_boards!("WHERE board_group_id = $1 ORDER BY lower(name), created_at, id", group)
            .fetch_all(pool)
            .await?,
    )
}

/// Takes all boards out of a group and answers them as they were.
pub async fn leave_group(connection: &mut PgConnection, group: Uuid, at: OffsetDateTime) -> Result<Vec<BoardRow>> {
    let rows = select_boards!("WHERE board_group_id = $1 ORDER BY id FOR NO KEY UPDATE", group)
        .fetch_all(&mut *connection)
        .await?;
    sqlx::query!(
        "UPDATE board.boards SET board_group_id = NULL, updated_at = $2, revision = revision + 1 WHERE board_group_id = $1",
        group,
        at
    )
    .execute(connection)
    .await?;
    Ok(rows)
}

/// Boards of these organizations or gateways, locked.
pub async fn of_owners(
    connection: &mut PgConnection,
    organizations: &[Uuid],
    gateways: &[Uuid],
) -> Result<Vec<BoardRow>> {
    Ok(select_boards!(
        "WHERE organization_id = ANY($1) OR gateway_id = ANY($2) ORDER BY id FOR NO KEY UPDATE",
        organizations,
        gateways
    )
    .fetch_all(connection)
    .await?)
}

/// Locks the tasks of boards that are to be deleted: before the boards and in order, as changes of tasks lock them, so that neither waits
/// for the other.
pub async fn lock_tasks(connection: &mut PgConnection, boards: &[Uuid]) -> Result<()> {
    sqlx::query!(
        "SELECT id FROM board.tasks WHERE board_id = ANY($1) ORDER BY id FOR UPDATE",
        boards
    )
    .fetch_all(connection)
    .await?;
    Ok(())
}

/// Deletes boards with everything on them.
pub async fn remove(connection: &mut PgConnection, boards: &[Uuid]) -> Result<()> {
    lock_tasks(connection, boards).await?;
    sqlx::query!("DELETE FROM board.boards WHERE id = ANY($1)", boards)
        .execute(connection)
        .await?;
    Ok(())
}

#[tonic::async_trait]
impl BoardService for Service {
    async fn list_boards(&self, request: Request<ListBoardsRequest>) -> Result<Response<ListBoardsResponse>, Status> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let page = Page::of(request.limit, request.offset)?;
        let organization = caller.organization()?;
        let readable = match caller.kind() {
            PrincipalKind::Agent => caller.agent_board().map(|board| vec![board]),
            _ => caller.readable_boards()?,
        };
        let gateway = optional_uuid(request.gateway_id.as_ref())?;
        let group = optional_uuid(request.board_group_id.as_ref())?;
        let mut connection = self.store.pool().acquire().await.map_err(Error::from)?;
        let asked = unchanged::key(&request, organization, readable.as_deref());
        let look = self.board_pages.look(&mut connection, asked).await?;
        if let Some(known) = &look.known {
            return Ok(Response::new(known.message.clone()));
        }
        let rows = select_boards!(
            "WHERE organization_id = $1 AND ($2::uuid[] IS NULL OR id = ANY($2)) AND ($3::uuid IS NULL OR gateway_id = $3) \
               AND ($4::uuid IS NULL OR board_group_id = $4) ORDER BY lower(name), created_at DESC, id LIMIT $5 OFFSET $6",
            organization,
            readable.as_deref() as _,
            gateway,
            group,
            i64::from(page.limit),
            i64::from(page.offset)
        )
        .fetch_all(&mut *connection)
        .await
        .map_err(Error::from)?;
        let seen = i64::from(page.offset) + i64::try_from(rows.len()).unwrap_or(i64::MAX);
        // A page that is not full ends the list; only full ones, and those beyond the end, need the count.
        let ends = rows.len() < usize::try_from(page.limit).unwrap_or(0) && (!rows.is_empty() || page.offset == 0);
        let total = if ends {
            seen
        } else {
            sqlx::query_scalar!(
                "SELECT count(*) AS \"count!\" FROM board.boards WHERE organization_id = $1 AND ($2::uuid[] IS NULL OR id = ANY($2)) \
                   AND ($3::uuid IS NULL OR gateway_id = $3) AND ($4::uuid IS NULL OR board_group_id = $4)",
                organization,
                readable.as_deref() as _,
                gateway,
                group
            )
            .fetch_one(&mut *connection)
            .await
            .map_err(Error::from)?
        };
        let message = ListBoardsResponse {
            items: rows.iter().map(BoardRow::message).collect(),
            total: i32::try_from(total).unwrap_or(i32::MAX),
            limit: page.limit,
            offset: page.offset,
        };
        let answer = Answer { organization, message };
        let answer = self.board_pages.keep(&mut connection, look, answer).await?;
        Ok(Response::new(answer.message.clone()))
    }

    async fn create_board(&self, request: Request<CreateBoardRequest>) -> Result<Response<Board>, Status> {
        let caller = Caller::of(&request)?;
        Ok(Response::new(
            self.create_new_board(&caller, request.into_inner()).await?,
        ))
    }

    async fn get_board(&self, request: Request<GetBoardRequest>) -> Result<Response<Board>, Status> {
        let caller = Caller::of(&request)?;
        let row = find(self.store.pool(), uuid_of(&request.get_ref().board_id)?).await?;
        caller.may_read_board(row.organization_id, row.id)?;
        Ok(Response::new(row.message()))
    }

    async fn update_board(&self, request: Request<UpdateBoardRequest>) -> Result<Response<Board>, Status> {
        let (caller, if_match) = (Caller::of(&request)?, IfMatch::of(&request));
        Ok(Response::new(
            self.change_board(&caller, request.into_inner(), &if_match).await?,
        ))
    }

    async fn delete_board(&self, request: Request<DeleteBoardRequest>) -> Result<Response<Done>, Status> {
        let (caller, if_match) = (Caller::of(&request)?, IfMatch::of(&request));
        let id = uuid_of(&request.get_ref().board_id)?;
        let seen = find(self.store.pool(), id).await?;
        caller.may_write_board(seen.organization_id, id)?;
        let mut tx = self.store.begin().await?;
        lock_tasks(&mut tx, &[id]).await?;
        let row = select_boards!("WHERE id = $1 FOR UPDATE", id)
            .fetch_optional(&mut *tx)
            .await
            .map_err(Error::from)?
            .ok_or_else(not_found)?;
        if_match.check(&row.revision.to_string())?;
        remove(&mut tx, &[id]).await?;
        tx.record(
            &caller,
            row.change("board.deleted", format!("Board deleted: {}.", row.name))
                .before(&row.message()),
        )
        .await?;
        tx.commit().await?;
        Ok(Response::new(Done { ok: true }))
    }
}

impl Service {
    async fn create_new_board(&self, caller: &Caller, request: CreateBoardRequest) -> Result<Board> {
        let organization = caller.organization()?;
        let gateway = optional_uuid(request.gateway_id.as_ref())?
            .ok_or_else(|| Error::invalid("gateway_id", "gateway_id is required"))?;
        let now = OffsetDateTime::now_utc();
        let row = BoardRow {
            id: Uuid::now_v7(),
            organization_id: organization,
            name: request.name,
            slug: request.slug,
            description: description(&request.description)?,
            gateway_id: Some(gateway),
            board_group_id: optional_uuid(request.board_group_id.as_ref())?,
            board_type: request.board_type.unwrap_or_else(|| "goal".to_owned()),
            objective: request.objective,
            success_metrics: object(request.success_metrics)?,
            target_date: request.target_date.as_ref().map(moment).transpose()?,
            goal_confirmed: request.goal_confirmed.unwrap_or(false),
            goal_source: request.goal_source,
            require_approval_for_done: request.require_approval_for_done.unwrap_or(true),
            require_review_before_done: request.require_review_before_done.unwrap_or(false),
            comment_required_for_review: request.comment_required_for_review.unwrap_or(false),
            block_status_changes_with_pending_approval: request
                .block_status_changes_with_pending_approval
                .unwrap_or(false),
            only_lead_can_change_status: request.only_lead_can_change_status.unwrap_or(false),
            max_agents: most_agents(request.max_agents.unwrap_or(1))?,
            revision: 0,
            approval_ttl_seconds: approval_ttl(request.approval_ttl_seconds)?,
            created_at: now,
            updated_at: now,
        };
        row.check_goal(None)?;
        self.outside.check_gateway(caller, organization, gateway).await?;
        let mut tx = self.store.begin().await?;
        groups::check_reference(&mut tx, organization, row.board_group_id).await?;
        sqlx::query!(
            "INSERT INTO board.boards (id, organization_id, name, slug, description, gateway_id, board_group_id, board_type, objective, \
               success_metrics, target_date, goal_confirmed, goal_source, require_approval_for_done, require_review_before_done, \
               comment_required_for_review, block_status_changes_with_pending_approval, only_lead_can_change_status, max_agents, \
               created_at, updated_at, approval_ttl_seconds) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10::text::json, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $20, $21)",
            row.id,
            row.organization_id,
            row.name,
            row.slug,
            row.description,
            row.gateway_id,
            row.board_group_id,
            row.board_type,
            row.objective,
            row.success_metrics,
            row.target_date,
            row.goal_confirmed,
            row.goal_source,
            row.require_approval_for_done,
            row.require_review_before_done,
            row.comment_required_for_review,
            row.block_status_changes_with_pending_approval,
            row.only_lead_can_change_status,
            row.max_agents,
            row.created_at,
            row.approval_ttl_seconds
        )
        .execute(&mut *tx)
        .await?;
        let board = row.message();
        tx.record(
            caller,
            row.change("board.created", format!("Board created: {}.", row.name))
                .after(&board),
        )
        .await?;
        tx.commit().await?;
        Ok(board)
    }

    async fn change_board(&self, caller: &Caller, request: UpdateBoardRequest, if_match: &IfMatch) -> Result<Board> {
        let id = uuid_of(&request.board_id)?;
        let mask = Mask::of(request.update_mask.as_ref());
        let gateway = match mask.field("gateway_id", request.gateway_id) {
            Some(given) => Some(
                optional_uuid(given.as_ref())?.ok_or_else(|| Error::invalid("gateway_id", "gateway_id is required"))?,
            ),
            None => None,
        };
        let seen = find(self.store.pool(), id).await?;
        caller.may_write_board(seen.organization_id, id)?;
        if let Some(gateway) = gateway
            && seen.gateway_id != Some(gateway)
        {
            self.outside
                .check_gateway(caller, seen.organization_id, gateway)
                .await?;
        }
        let mut tx = self.store.begin().await?;
        let old = find_locked(&mut tx, id).await?;
        if_match.check(&old.revision.to_string())?;
        let mut row = old.clone();
        row.gateway_id = gateway.or(row.gateway_id);
        row.name = mask.required("name", request.name)?.unwrap_or(row.name);
        row.slug = mask.required("slug", request.slug)?.unwrap_or(row.slug);
        if let Some(text) = mask.required("description", request.description)? {
            row.description = description(&text)?;
        }
        if let Some(group) = mask.field("board_group_id", request.board_group_id) {
            row.board_group_id = optional_uuid(group.as_ref())?;
            if row.board_group_id != old.board_group_id {
                groups::check_reference(&mut tx, row.organization_id, row.board_group_id).await?;
            }
        }
        row.board_type = mask
            .required("board_type", request.board_type)?
            .unwrap_or(row.board_type);
        row.objective = mask.field("objective", request.objective).unwrap_or(row.objective);
        if let Some(metrics) = mask.field("success_metrics", request.success_metrics) {
            row.success_metrics = object(metrics)?;
        }
        if let Some(date) = mask.field("target_date", request.target_date) {
            row.target_date = date.as_ref().map(moment).transpose()?;
        }
        row.goal_confirmed = mask
            .required("goal_confirmed", request.goal_confirmed)?
            .unwrap_or(row.goal_confirmed);
        row.goal_source = mask
            .field("goal_source", request.goal_source)
            .unwrap_or(row.goal_source);
        row.require_approval_for_done = mask
            .required("require_approval_for_done", request.require_approval_for_done)?
            .unwrap_or(row.require_approval_for_done);
        row.require_review_before_done = mask
            .required("require_review_before_done", request.require_review_before_done)?
            .unwrap_or(row.require_review_before_done);
        row.comment_required_for_review = mask
            .required("comment_required_for_review", request.comment_required_for_review)?
            .unwrap_or(row.comment_required_for_review);
        row.block_status_changes_with_pending_approval = mask
            .required(
                "block_status_changes_with_pending_approval",
                request.block_status_changes_with_pending_approval,
            )?
            .unwrap_or(row.block_status_changes_with_pending_approval);
        row.only_lead_can_change_status = mask
            .required("only_lead_can_change_status", request.only_lead_can_change_status)?
            .unwrap_or(row.only_lead_can_change_status);
        if let Some(most) = mask.required("max_agents", request.max_agents)? {
            row.max_agents = most_agents(most)?;
        }
        if let Some(seconds) = mask.field("approval_ttl_seconds", request.approval_ttl_seconds) {
            row.approval_ttl_seconds = approval_ttl(seconds)?;
        }
        row.check_goal(Some(&old.board_type))?;
        let board = save(&mut tx, caller, &old, row).await?;
        tx.commit().await?;
        Ok(board)
    }
}

/// Writes a changed board, and the event that tells of it when anything did change.
pub async fn save(tx: &mut Tx, caller: &Caller, old: &BoardRow, mut row: BoardRow) -> Result<Board> {
    row.updated_at = OffsetDateTime::now_utc().max(old.updated_at);
    row.revision += 1;
    sqlx::query!(
        "UPDATE board.boards SET name = $2, slug = $3, description = $4, gateway_id = $5, board_group_id = $6, board_type = $7, \
           objective = $8, success_metrics = $9::text::json, target_date = $10, goal_confirmed = $11, goal_source = $12, \
           require_approval_for_done = $13, require_review_before_done = $14, comment_required_for_review = $15, \
           block_status_changes_with_pending_approval = $16, only_lead_can_change_status = $17, max_agents = $18, updated_at = $19, \
           revision = $20, approval_ttl_seconds = $21 \
         WHERE id = $1",
        row.id,
        row.name,
        row.slug,
        row.description,
        row.gateway_id,
        row.board_group_id,
        row.board_type,
        row.objective,
        row.success_metrics,
        row.target_date,
        row.goal_confirmed,
        row.goal_source,
        row.require_approval_for_done,
        row.require_review_before_done,
        row.comment_required_for_review,
        row.block_status_changes_with_pending_approval,
        row.only_lead_can_change_status,
        row.max_agents,
        row.updated_at,
        row.revision,
        row.approval_ttl_seconds
    )
    .execute(&mut **tx)
    .await?;
    let (before, after) = (old.message(), row.message());
    // Saving the same values again is no news.
    if (Board {
        updated_at: before.updated_at,
        etag: before.etag.clone(),
        ..after.clone()
    }) != before
    {
        tx.record(
            caller,
            row.change("board.updated", format!("Board updated: {}.", row.name))
                .before(&before)
                .after(&after),
        )
        .await?;
    }
    Ok(after)
}

/// A goal that a person confirmed.
pub struct Goal {
    /// `goal` or another kind.
    pub board_type: String,
    /// What is to be reached.
    pub objective: Option<String>,
    /// How success is measured: JSON text.
    pub success_metrics: Option<String>,
    /// Until when.
    pub target_date: Option<OffsetDateTime>,
    /// Where it comes from.
    pub source: String,
    /// A task becomes done only with a granted approval.
    pub require_approval_for_done: bool,
}

fn description(text: &str) -> Result<String> {
    match text.trim() {
        "" => Err(Error::invalid("description", "description must not be empty.")),
        text => Ok(text.to_owned()),
    }
}

fn most_agents(most: i32) -> Result<i32> {
    if most < 0 {
        Err(Error::invalid("max_agents", "max_agents must not be negative."))
    } else {
        Ok(most)
    }
}

/// The longest time that approvals may wait, in seconds: a year.
const LONGEST_WAIT: i32 = 31_536_000;

fn approval_ttl(seconds: Option<i32>) -> Result<Option<i32>> {
    if seconds.is_none_or(|seconds| (1..=LONGEST_WAIT).contains(&seconds)) {
        Ok(seconds)
    } else {
        Err(Error::invalid(
            "approval_ttl_seconds",
            format!("approval_ttl_seconds must be between 1 and {LONGEST_WAIT}; null lets approvals wait for ever."),
        ))
    }
}

/// The text of success metrics.
pub fn object(json: Option<Vec<u8>>) -> Result<Option<String>> {
    let wrong = || Error::invalid("success_metrics", "success_metrics must be a JSON object.");
    let Some(json) = json else { return Ok(None) };
    let text = String::from_utf8(json).map_err(|_| wrong())?;
    match serde_json::from_str::<serde_json::Value>(&text) {
        Ok(serde_json::Value::Object(_)) => Ok(Some(text)),
        Ok(serde_json::Value::Null) => Ok(None),
        _ => Err(wrong()),
    }
}
