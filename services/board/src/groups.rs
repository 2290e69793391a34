//! Groups of boards that work together, and what they look like from above.

use std::collections::HashMap;

use chassis::{
    Caller, Change, Error, Result,
    identity::uuid_of,
    message::{Mask, Page},
    timestamp,
};
use proto::{
    board::v1::{
        BoardGroup, BoardGroupBoardSnapshot, BoardGroupSnapshot, BoardGroupTaskSummary, CreateBoardGroupRequest,
        DeleteBoardGroupRequest, GetBoardGroupRequest, GetBoardGroupSnapshotRequest, GetGroupSnapshotRequest,
        ListBoardGroupsRequest, ListBoardGroupsResponse, LookupBoardGroupRequest, LookupBoardGroupResponse,
        UpdateBoardGroupRequest, board_group_directory_service_server::BoardGroupDirectoryService,
        board_group_service_server::BoardGroupService,
    },
    common::v1::Ok as Done,
    identity::v1::{Membership, PrincipalKind},
};
use sqlx::{PgConnection, PgExecutor};
use time::OffsetDateTime;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::{
    Service,
    boards::{self, BoardRow},
    tags, tasks,
};

/// Tasks of each board in an overview, when the request does not say.
const TASKS: i32 = 5;

/// A group as it is stored.
#[derive(Clone)]
pub struct GroupRow {
    pub id: Uuid,
    pub organization_id: Uuid,
    name: String,
    slug: String,
    description: Option<String>,
    created_at: OffsetDateTime,
    updated_at: OffsetDateTime,
}

impl GroupRow {
    fn message(&self) -> BoardGroup {
        BoardGroup {
            name: self.name.clone(),
            slug: self.slug.clone(),
            description: self.description.clone(),
            id: self.id.to_string(),
            organization_id: self.organization_id.to_string(),
            created_at: Some(timestamp(self.created_at)),
            updated_at: Some(timestamp(self.updated_at)),
        }
    }

    fn change(&self, kind: &str, done: &str) -> Change {
        Change::new(kind, self.organization_id).message(format!("Board group {done}: {}.", self.name))
    }
}

macro_rules! select_groups {
    ($tail:tt $(, $argument:expr)*) => {
        sqlx::query_as!(
            GroupRow,
            "SELECT id, organization_id, name, slug, description, created_at, updated_at FROM board.board_groups g " + $tail
            $(, $argument)*
        )
    };
}

/// One group.
pub async fn find(executor: impl PgExecutor<'_>, group: Uuid) -> Result<GroupRow> {
    select_groups!("WHERE id = $1", group)
        .fetch_optional(executor)
        .await?
        .ok_or_else(not_found)
}

fn not_found() -> Error {
    Error::not_found("Board group not found")
}

/// Refuses a group that is not one of the organization. One that is stays until the transaction ends.
pub async fn check_reference(connection: &mut PgConnection, organization: Uuid, group: Option<Uuid>) -> Result<()> {
    let Some(group) = group else { return Ok(()) };
    let found = sqlx::query_scalar!(
        "SELECT id FROM board.board_groups WHERE id = $1 AND organization_id = $2 FOR KEY SHARE",
        group,
        organization
    )
    .fetch_optional(connection)
    .await?;
    found.map(|_| ()).ok_or_else(|| {
        Error::unprocessable("board_group_id is invalid").beside(
            "remedy",
            "List the board groups of the board's organization and use one of their ids, or null.",
        )
    })
}

/// The slug that was given, as it is; of the name when it is blank.
fn slug_of(given: &str, name: &str) -> String {
    if !given.trim().is_empty() {
        return given.to_owned();
    }
    match tags::dashed(name) {
        // Names of other scripts have no letters to make one of.
        slug if slug.is_empty() => Uuid::new_v4().simple().to_string(),
        slug => slug,
    }
}

/// Whether a person may read or write a group: by a right on all boards, by one on a board of the group; a group without boards is the admins'.
fn may_use(caller: &Caller, group: &GroupRow, boards: &[Uuid], write: bool) -> Result<()> {
    if caller.organization()? != group.organization_id {
        return Err(Error::denied("No org access"));
    }
    let membership = caller
        .membership(group.organization_id)
        .ok_or_else(|| Error::denied("No org access"))?;
    let allowed = |board: &Uuid| {
        if write {
            caller.may_write_board(group.organization_id, *board)
        } else {
            caller.may_read_board(group.organization_id, *board)
        }
        .is_ok()
    };
    let by_flag = membership.all_boards_write || (!write && membership.all_boards_read);
    let by_role = boards.is_empty() && is_admin(membership);
    if by_flag || by_role || boards.iter().any(allowed) {
        Ok(())
    } else {
        Err(Error::denied("Board group access denied").beside(
            "remedy",
            "An owner or admin of the organization can grant access to a board of the group.",
        ))
    }
}

fn is_admin(membership: &Membership) -> bool {
    matches!(membership.role.as_str(), "owner" | "admin")
}

impl Service {
    /// A group, if the calling person may read (or write) it.
    pub async fn usable_group(&self, caller: &Caller, group: &str, write: bool) -> Result<GroupRow> {
        let group = find(self.store.pool(), uuid_of(group)?).await?;
        let boards = sqlx::query_scalar!("SELECT id FROM board.boards WHERE board_group_id = $1", group.id)
            .fetch_all(self.store.pool())
            .await?;
        may_use(caller, &group, &boards, write)?;
        Ok(group)
    }

    async fn list_groups(&self, caller: &Caller, request: &ListBoardGroupsRequest) -> Result<ListBoardGroupsResponse> {
        let page = Page::of(request.limit, request.offset)?;
        let (organization, readable) = (caller.organization()?, caller.readable_boards()?);
        let empty = caller.membership(organization).is_some_and(is_admin);
        let rows = select_groups!(
            "WHERE organization_id = $1 AND ($2::uuid[] IS NULL \
               OR EXISTS (SELECT FROM board.boards b WHERE b.board_group_id = g.id AND b.id = ANY($2)) \
               OR ($3 AND NOT EXISTS (SELECT FROM board.boards b WHERE b.board_group_id = g.id))) \
             ORDER BY lower(name), created_at DESC, id LIMIT $4 OFFSET $5",
            organization,
            readable.as_deref() as _,
            empty,
            i64::from(page.limit),
            i64::from(page.offset)
        )
        .fetch_all(self.store.pool());
        let total = sqlx::query_scalar!(
            "SELECT count(*)::int AS \"count!\" FROM board.board_groups g WHERE organization_id = $1 AND ($2::uuid[] IS NULL \
               OR EXISTS (SELECT FROM board.boards b WHERE b.board_group_id = g.id AND b.id = ANY($2)) \
               OR ($3 AND NOT EXISTS (SELECT FROM board.boards b WHERE b.board_group_id = g.id)))",
            organization,
            readable.as_deref() as _,
            empty
        )
        .fetch_one(self.store.pool());
        let (rows, total) = futures::try_join!(rows, total)?;
        Ok(ListBoardGroupsResponse {
            items: rows.iter().map(GroupRow::message).collect(),
            total,
            limit: page.limit,
            offset: page.offset,
        })
    }

    async fn change_group(&self, caller: &Caller, request: UpdateBoardGroupRequest) -> Result<BoardGroup> {
        let seen = self.usable_group(caller, &request.group_id, true).await?;
        let mask = Mask::of(request.update_mask.as_ref());
        let mut tx = self.store.begin().await?;
        let old = select_groups!("WHERE id = $1 FOR NO KEY UPDATE", seen.id)
            .fetch_optional(&mut *tx)
            .await?
            .ok_or_else(not_found)?;
        let mut row = old.clone();
        row.name = mask.required("name", request.name)?.unwrap_or(row.name);
        if let Some(slug) = mask.field("slug", request.slug) {
            row.slug = slug_of(slug.as_deref().unwrap_or_default(), &row.name);
        }
        row.description = mask
            .field("description", request.description)
            .unwrap_or(row.description);
        if (&row.name, &row.slug, &row.description) == (&old.name, &old.slug, &old.description) {
            return Ok(old.message());
        }
        row.updated_at = OffsetDateTime::now_utc().max(old.updated_at);
        sqlx::query!(
            "UPDATE board.board_groups SET name = $2, slug = $3, description = $4, updated_at = $5 WHERE id = $1",
            row.id,
            row.name,
            row.slug,
            row.description,
            row.updated_at
        )
        .execute(&mut *tx)
        .await?;
        let group = row.message();
        let change = row.change("board_group.updated", "updated");
        tx.record(caller, change.before(&old.message()).after(&group)).await?;
        tx.commit().await?;
        Ok(group)
    }

    async fn delete_group(&self, caller: &Caller, request: &DeleteBoardGroupRequest) -> Result<()> {
        let seen = self.usable_group(caller, &request.group_id, true).await?;
        let mut tx = self.store.begin().await?;
        // From here on no board can be put into it.
        let row = select_groups!("WHERE id = $1 FOR UPDATE", seen.id)
            .fetch_optional(&mut *tx)
            .await?
            .ok_or_else(not_found)?;
        let now = OffsetDateTime::now_utc();
        let left = boards::leave_group(&mut tx, row.id, now).await?;
        sqlx::query!("DELETE FROM board.board_groups WHERE id = $1", row.id)
            .execute(&mut *tx)
            .await?;
        let mut events = vec![
            row.change("board_group.deleted", "deleted")
                .before(&row.message())
                .into_event(caller),
        ];
        events.extend(left.iter().map(|board| {
            board
                .change("board.updated", format!("Board updated: {}.", board.name()))
                .before(&board.message())
                .after(&board.without_group(now).message())
                .into_event(caller)
        }));
        tx.record_events(&events).await?;
        tx.commit().await
    }

    /// A group seen from above: these boards of it.
    async fn overview(
        &self,
        caller: &Caller,
        group: &GroupRow,
        boards: &[BoardRow],
        with_done: bool,
        most: Option<i32>,
    ) -> Result<BoardGroupSnapshot> {
        let ids: Vec<Uuid> = boards.iter().map(BoardRow::id).collect();
        let mut connection = self.store.pool().acquire().await?;
        let rows = tasks::foremost(&mut connection, &ids, with_done, most.unwrap_or(TASKS)).await?;
        let counts = sqlx::query!(
            "SELECT board_id, status, count(*)::int AS \"count!\" FROM board.tasks WHERE board_id = ANY($1) GROUP BY board_id, status",
            &ids
        )
        .fetch_all(&mut *connection)
        .await?;
        drop(connection);
        let assignees: Vec<Uuid> = rows.iter().filter_map(|row| row.assigned_agent_id).collect();
        let agents = self.outside.agents(caller, group.organization_id, &assignees).await?;
        let names: HashMap<&str, &str> = agents
            .iter()
            .map(|agent| (agent.id.as_str(), agent.name.as_str()))
            .collect();
        let boards = boards.iter().map(|board| BoardGroupBoardSnapshot {
            board: Some(board.message()),
            task_counts: counts
                .iter()
                .filter(|count| count.board_id == board.id())
                .map(|count| (count.status.clone(), count.count))
                .collect(),
            tasks: rows
                .iter()
                .filter(|row| row.board_id == board.id())
                .map(|row| summary(row, board.name(), &names))
                .collect(),
        });
        Ok(BoardGroupSnapshot {
            group: Some(group.message()),
            boards: boards.collect(),
        })
    }

    async fn overview_of_board(
        &self,
        caller: &Caller,
        request: &GetBoardGroupSnapshotRequest,
    ) -> Result<BoardGroupSnapshot> {
        let board = boards::find(self.store.pool(), uuid_of(&request.board_id)?).await?;
        caller.may_read_board(board.organization(), board.id())?;
        let Some(group) = board.group() else {
            return Ok(BoardGroupSnapshot::default());
        };
        let group = find(self.store.pool(), group).await?;
        let mut boards = readable(caller, boards::of_group(self.store.pool(), group.id).await?);
        if request.include_self != Some(true) {
            boards.retain(|other| other.id() != board.id());
        }
        let with_done = request.include_done == Some(true);
        self.overview(caller, &group, &boards, with_done, request.per_board_task_limit)
            .await
    }
}

/// Boards of a group that the caller may look at. Agents that reached their own board see the others of its group.
fn readable(caller: &Caller, mut boards: Vec<BoardRow>) -> Vec<BoardRow> {
    if caller.kind() == PrincipalKind::User {
        boards.retain(|board| caller.may_read_board(board.organization(), board.id()).is_ok());
    }
    boards
}

fn summary(row: &tasks::TaskRow, board: &str, names: &HashMap<&str, &str>) -> BoardGroupTaskSummary {
    let task = row.message();
    let assignee = task.assigned_agent_id.as_deref().and_then(|id| names.get(id));
    BoardGroupTaskSummary {
        board_id: row.board_id.to_string(),
        board_name: board.to_owned(),
        status: row.status.clone(),
        assignee: assignee.map(|name| (*name).to_owned()),
        id: task.id,
        title: task.title,
        priority: task.priority,
        assigned_agent_id: task.assigned_agent_id,
        due_at: task.due_at,
        in_progress_at: task.in_progress_at,
        tags: task.tags,
        created_at: task.created_at,
        updated_at: task.updated_at,
    }
}

#[tonic::async_trait]
impl BoardGroupService for Service {
    async fn list_board_groups(
        &self,
        request: Request<ListBoardGroupsRequest>,
    ) -> Result<Response<ListBoardGroupsResponse>, Status> {
        let caller = Caller::of(&request)?;
        Ok(Response::new(self.list_groups(&caller, request.get_ref()).await?))
    }

    async fn create_board_group(
        &self,
        request: Request<CreateBoardGroupRequest>,
    ) -> Result<Response<BoardGroup>, Status> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let now = OffsetDateTime::now_utc();
        let row = GroupRow {
            id: Uuid::now_v7(),
            organization_id: caller.organization()?,
            slug: slug_of(&request.slug, &request.name),
            name: request.name,
            description: request.description,
            created_at: now,
            updated_at: now,
        };
        let mut tx = self.store.begin().await?;
        sqlx::query!(
            "INSERT INTO board.board_groups (id, organization_id, name, slug, description, created_at, updated_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $6)",
            row.id,
            row.organization_id,
            row.name,
            row.slug,
            row.description,
            row.created_at
        )
        .execute(&mut *tx)
        .await
        .map_err(Error::from)?;
        let group = row.message();
        tx.record(&caller, row.change("board_group.created", "created").after(&group))
            .await?;
        tx.commit().await?;
        Ok(Response::new(group))
    }

    async fn get_board_group(&self, request: Request<GetBoardGroupRequest>) -> Result<Response<BoardGroup>, Status> {
        let caller = Caller::of(&request)?;
        let group = self.usable_group(&caller, &request.get_ref().group_id, false).await?;
        Ok(Response::new(group.message()))
    }

    async fn update_board_group(
        &self,
        request: Request<UpdateBoardGroupRequest>,
    ) -> Result<Response<BoardGroup>, Status> {
        let caller = Caller::of(&request)?;
        Ok(Response::new(self.change_group(&caller, request.into_inner()).await?))
    }

    async fn delete_board_group(&self, request: Request<DeleteBoardGroupRequest>) -> Result<Response<Done>, Status> {
        let caller = Caller::of(&request)?;
        self.delete_group(&caller, request.get_ref()).await?;
        Ok(Response::new(Done { ok: true }))
    }

    async fn get_group_snapshot(
        &self,
        request: Request<GetGroupSnapshotRequest>,
    ) -> Result<Response<BoardGroupSnapshot>, Status> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let group = self.usable_group(&caller, &request.group_id, false).await?;
        let boards = readable(&caller, boards::of_group(self.store.pool(), group.id).await?);
        let with_done = request.include_done == Some(true);
        let overview = self.overview(&caller, &group, &boards, with_done, request.per_board_task_limit);
        Ok(Response::new(overview.await?))
    }

    async fn get_board_group_snapshot(
        &self,
        request: Request<GetBoardGroupSnapshotRequest>,
    ) -> Result<Response<BoardGroupSnapshot>, Status> {
        let caller = Caller::of(&request)?;
        Ok(Response::new(self.overview_of_board(&caller, request.get_ref()).await?))
    }
}

#[tonic::async_trait]
impl BoardGroupDirectoryService for Service {
    async fn lookup_board_group(
        &self,
        request: Request<LookupBoardGroupRequest>,
    ) -> Result<Response<LookupBoardGroupResponse>, Status> {
        let group = find(self.store.pool(), uuid_of(&request.get_ref().group_id)?).await?;
        let boards = boards::of_group(self.store.pool(), group.id).await?;
        Ok(Response::new(LookupBoardGroupResponse {
            group: Some(group.message()),
            boards: boards.iter().map(BoardRow::message).collect(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chassis::identity::Signer;
    use proto::identity::v1::{BoardGrant, Principal};

    use super::*;

    const ORGANIZATION: Uuid = Uuid::from_u128(1);
    const BOARD: Uuid = Uuid::from_u128(2);
    const OTHER: Uuid = Uuid::from_u128(3);

    fn group() -> GroupRow {
        GroupRow {
            id: Uuid::from_u128(4),
            organization_id: ORGANIZATION,
            name: "Teams".into(),
            slug: "teams".into(),
            description: None,
            created_at: OffsetDateTime::UNIX_EPOCH,
            updated_at: OffsetDateTime::UNIX_EPOCH,
        }
    }

    /// A person that acts in `active`, as a member of [`ORGANIZATION`] with flags for all boards or a grant of [`BOARD`].
    fn person(active: Uuid, role: &str, (all_read, all_write): (bool, bool), grant: Option<bool>) -> Caller {
        let grants = grant.map(|can_write| BoardGrant {
            board_id: BOARD.to_string(),
            can_read: true,
            can_write,
        });
        let principal = Principal {
            kind: PrincipalKind::User.into(),
            organization_id: active.to_string(),
            memberships: vec![Membership {
                organization_id: ORGANIZATION.to_string(),
                role: role.into(),
                all_boards_read: all_read,
                all_boards_write: all_write,
                grants: grants.into_iter().collect(),
                ..Membership::default()
            }],
            ..Principal::default()
        };
        Caller {
            signed: Some(Signer::new(&[7; 32]).sign(principal, Duration::from_secs(60))),
            request_id: "test".into(),
            traceparent: "".into(),
        }
    }

    #[test]
    fn a_group_is_used_by_flag_by_a_board_of_it_or_empty_by_admins() {
        let (none, reader, writer) = ((false, false), (true, false), (false, true));
        // (role, flags, grant, boards of the group, may read, may write)
        for (role, flags, grant, boards, read, write) in [
            ("member", none, None, &[BOARD][..], false, false),
            ("member", none, Some(false), &[BOARD], true, false),
            ("member", none, Some(true), &[OTHER, BOARD], true, true),
            ("member", none, Some(true), &[OTHER], false, false),
            ("member", none, Some(true), &[], false, false),
            ("member", reader, None, &[BOARD], true, false),
            ("member", reader, None, &[], true, false),
            ("member", writer, None, &[BOARD], true, true),
            ("member", writer, None, &[], true, true),
            ("admin", none, None, &[BOARD], false, false),
            ("admin", none, None, &[], true, true),
            ("owner", none, None, &[BOARD], false, false),
            ("owner", none, None, &[], true, true),
        ] {
            let caller = person(ORGANIZATION, role, flags, grant);
            let may = |write| may_use(&caller, &group(), boards, write).is_ok();
            assert_eq!(
                (may(false), may(true)),
                (read, write),
                "{role} {flags:?} {grant:?} {boards:?}"
            );
            // A group is used from its own organization.
            let elsewhere = person(OTHER, role, flags, grant);
            assert!(
                may_use(&elsewhere, &group(), boards, false).is_err(),
                "{role} {flags:?}"
            );
        }
    }

    #[test]
    fn slugs_are_kept_or_made_of_the_name() {
        assert_eq!(slug_of("Custom Slug", "Any"), "Custom Slug");
        assert_eq!(slug_of("  ", "Platform Teams"), "platform-teams");
        assert_eq!(slug_of("", "日本").len(), 32);
    }
}
