//! Memberships: what a person may do in an organization.

use chassis::{Caller, Change, Error, Result, Store, Tx, channel::Peers, identity::uuid_of, message::Page, timestamp};
use proto::{
    common::v1::Ok as Done,
    org::v1::{
        BoardAccess, GetMemberRequest, ListMembersRequest, ListMembersResponse, Member, MemberUser,
        RemoveMemberRequest, UpdateMemberAccessRequest, UpdateMemberRequest, member_service_server::MemberService,
    },
};
use serde::Deserialize;
use sqlx::{PgExecutor, types::Json};
use time::OffsetDateTime;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::{
    boards::{self, Granted},
    rules::{self, Role},
};

/// The service behind `/organizations/me/members`.
pub struct Members {
    pub store: Store,
    pub peers: Peers,
}

/// A right on one board, as the queries build it.
#[derive(Deserialize)]
struct Grant {
    id: Uuid,
    board_id: Uuid,
    can_read: bool,
    can_write: bool,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    updated_at: OffsetDateTime,
}

impl From<Grant> for BoardAccess {
    fn from(grant: Grant) -> Self {
        Self {
            id: grant.id.to_string(),
            board_id: grant.board_id.to_string(),
            can_read: grant.can_read,
            can_write: grant.can_write,
            created_at: Some(timestamp(grant.created_at)),
            updated_at: Some(timestamp(grant.updated_at)),
        }
    }
}

struct MemberRow {
    id: Uuid,
    organization_id: Uuid,
    user_id: Uuid,
    role: String,
    all_boards_read: bool,
    all_boards_write: bool,
    created_at: OffsetDateTime,
    updated_at: OffsetDateTime,
    email: Option<String>,
    name: Option<String>,
    preferred_name: Option<String>,
    board_access: Json<Vec<Grant>>,
}

impl From<MemberRow> for Member {
    fn from(row: MemberRow) -> Self {
        Self {
            id: row.id.to_string(),
            organization_id: row.organization_id.to_string(),
            user_id: row.user_id.to_string(),
            role: row.role,
            all_boards_read: row.all_boards_read,
            all_boards_write: row.all_boards_write,
            created_at: Some(timestamp(row.created_at)),
            updated_at: Some(timestamp(row.updated_at)),
            user: Some(MemberUser {
                id: row.user_id.to_string(),
                email: row.email,
                name: row.name,
                preferred_name: row.preferred_name,
            }),
            board_access: row.board_access.0.into_iter().map(BoardAccess::from).collect(),
        }
    }
}

/// Which members of an organization; what is `None` does not matter.
#[derive(Clone, Copy, Default)]
struct Wanted {
    member: Option<Uuid>,
    user: Option<Uuid>,
    page: Option<Page>,
}

/// Members with the person and the rights on single boards, by e-mail and name.
async fn select(executor: impl PgExecutor<'_>, organization: Uuid, wanted: Wanted) -> Result<Vec<Member>> {
    let rows = sqlx::query_as!(
        MemberRow,
        r#"SELECT m.id, m.organization_id, m.user_id, m.role, m.all_boards_read, m.all_boards_write, m.created_at, m.updated_at,
                  u.email, u.name, u.preferred_name,
                  COALESCE((SELECT jsonb_agg(to_jsonb(g) ORDER BY g.created_at, g.id) FROM org.board_grants g WHERE g.member_id = m.id), '[]')
                      AS "board_access!: Json<Vec<Grant>>"
           FROM org.members m JOIN org.users u ON u.id = m.user_id
           WHERE m.organization_id = $1 AND ($2::uuid IS NULL OR m.id = $2) AND ($3::uuid IS NULL OR m.user_id = $3)
           ORDER BY lower(u.email), u.name, m.id LIMIT $4 OFFSET $5"#,
        organization,
        wanted.member,
        wanted.user,
        wanted.page.map(|page| i64::from(page.limit)),
        wanted.page.map(|page| i64::from(page.offset))
    )
    .fetch_all(executor)
    .await?;
    Ok(rows.into_iter().map(Member::from).collect())
}

/// A person's membership in an organization.
pub async fn membership(executor: impl PgExecutor<'_>, organization: Uuid, user: Uuid) -> Result<Option<Member>> {
    Ok(select(
        executor,
        organization,
        Wanted {
            user: Some(user),
            ..Wanted::default()
        },
    )
    .await?
    .pop())
}

async fn by_id(executor: impl PgExecutor<'_>, organization: Uuid, member: Uuid) -> Result<Member> {
    let wanted = Wanted {
        member: Some(member),
        ..Wanted::default()
    };
    select(executor, organization, wanted).await?.pop().ok_or_else(unknown)
}

fn unknown() -> Error {
    Error::not_found("There is no such member in this organization.")
}

/// What a change of members is decided by, as it is now and stays until the transaction ends.
pub struct Standing {
    /// The role of whoever acts.
    pub actor: Role,
    /// How many owners there are.
    pub owners: i64,
}

/// Makes changes of an organization's members follow each other. What the principal says is some seconds old; this is not. An API key acts
/// with the role that it was cut down to, however high its person stands.
pub async fn standing(tx: &mut Tx, organization: Uuid, caller: &Caller) -> Result<Standing> {
    let user = caller.user_id()?;
    sqlx::query!(
        "SELECT id FROM org.organizations WHERE id = $1 FOR NO KEY UPDATE",
        organization
    )
    .fetch_optional(&mut **tx)
    .await?
    .ok_or_else(|| Error::not_found("The organization does not exist any more."))?;
    let row = sqlx::query!(
        r#"SELECT (SELECT role FROM org.members WHERE organization_id = $1 AND user_id = $2) AS role,
                  (SELECT count(*) FROM org.members WHERE organization_id = $1 AND role = 'owner') AS "owners!""#,
        organization,
        user
    )
    .fetch_one(&mut **tx)
    .await?;
    let role = row.role.ok_or_else(|| Error::denied("No org access"))?;
    let mut actor = Role::stored(&role);
    if !caller.principal()?.api_key_id.is_empty() {
        let cut = caller.membership(organization).map(|held| Role::stored(&held.role));
        actor = actor.min(cut.unwrap_or(Role::Member));
    }
    Ok(Standing {
        actor,
        owners: row.owners,
    })
}

#[tonic::async_trait]
impl MemberService for Members {
    async fn list_members(
        &self,
        request: Request<ListMembersRequest>,
    ) -> Result<Response<ListMembersResponse>, Status> {
        let organization = Caller::of(&request)?.organization()?;
        let page = Page::of(request.get_ref().limit, request.get_ref().offset)?;
        let total = async {
            Ok::<_, Error>(
                sqlx::query_scalar!(
                    r#"SELECT count(*)::int AS "total!" FROM org.members WHERE organization_id = $1"#,
                    organization
                )
                .fetch_one(self.store.pool())
                .await?,
            )
        };
        let wanted = Wanted {
            page: Some(page),
            ..Wanted::default()
        };
        let (items, total) = futures::try_join!(select(self.store.pool(), organization, wanted), total)?;
        Ok(Response::new(ListMembersResponse {
            items,
            total,
            limit: page.limit,
            offset: page.offset,
        }))
    }

    async fn get_member(&self, request: Request<GetMemberRequest>) -> Result<Response<Member>, Status> {
        let caller = Caller::of(&request)?;
        let organization = caller.organization()?;
        let member = by_id(self.store.pool(), organization, uuid_of(&request.get_ref().member_id)?).await?;
        let role = caller
            .membership(organization)
            .map_or(Role::Member, |own| Role::stored(&own.role));
        if !role.is_admin() && member.user_id != caller.user_id()?.to_string() {
            return Err(Error::denied("Forbidden").into());
        }
        Ok(Response::new(member))
    }

    async fn update_member(&self, request: Request<UpdateMemberRequest>) -> Result<Response<Member>, Status> {
        let caller = Caller::of(&request)?;
        Ok(Response::new(self.change_role(&caller, request.get_ref()).await?))
    }

    async fn update_member_access(
        &self,
        request: Request<UpdateMemberAccessRequest>,
    ) -> Result<Response<Member>, Status> {
        let caller = Caller::of(&request)?;
        Ok(Response::new(self.change_access(&caller, request.get_ref()).await?))
    }

    async fn remove_member(&self, request: Request<RemoveMemberRequest>) -> Result<Response<Done>, Status> {
        let caller = Caller::of(&request)?;
        self.remove(&caller, uuid_of(&request.get_ref().member_id)?).await?;
        Ok(Response::new(Done { ok: true }))
    }
}

impl Members {
    async fn change_role(&self, caller: &Caller, request: &UpdateMemberRequest) -> Result<Member> {
        let organization = caller.organization()?;
        let mut tx = self.store.begin().await?;
        let standing = standing(&mut tx, organization, caller).await?;
        let before = by_id(&mut *tx, organization, uuid_of(&request.member_id)?).await?;
        let from = Role::stored(&before.role);
        let to = request.role.as_deref().map_or(Ok(from), Role::sent)?;
        rules::check_role_change(standing.actor, from, to, standing.owners)?;
        if from == to {
            return Ok(before);
        }
        let id = uuid_of(&before.id)?;
        if to == Role::Owner && is_service(&mut tx, uuid_of(&before.user_id)?).await? {
            return Err(Error::unprocessable(
                "A service account cannot be an owner: people answer for an organization.",
            ));
        }
        sqlx::query!(
            "UPDATE org.members SET role = $2, updated_at = now() WHERE id = $1",
            id,
            to.word()
        )
        .execute(&mut *tx)
        .await?;
        let message = format!("{} is now {}.", called(&before), to.word());
        finish(tx, caller, organization, before, message).await
    }

    async fn change_access(&self, caller: &Caller, request: &UpdateMemberAccessRequest) -> Result<Member> {
        let organization = caller.organization()?;
        let access = rules::access(request.all_boards_read, request.all_boards_write, &request.board_access)?;
        boards::check(&self.peers, caller, organization, &access).await?;

        let mut tx = self.store.begin().await?;
        let standing = standing(&mut tx, organization, caller).await?;
        let before = by_id(&mut *tx, organization, uuid_of(&request.member_id)?).await?;
        rules::check_access_change(standing.actor, Role::stored(&before.role))?;
        let id = uuid_of(&before.id)?;
        sqlx::query!(
            "UPDATE org.members SET all_boards_read = $2, all_boards_write = $3, updated_at = now() WHERE id = $1",
            id,
            access.read,
            access.write
        )
        .execute(&mut *tx)
        .await?;
        let grants = Granted::list(&access);
        let kept: Vec<Uuid> = grants.iter().map(|grant| grant.board_id).collect();
        sqlx::query!(
            "DELETE FROM org.board_grants WHERE member_id = $1 AND board_id <> ALL($2)",
            id,
            &kept
        )
        .execute(&mut *tx)
        .await?;
        grant(&mut tx, id, &grants, false).await?;
        let message = format!("Board access of {} changed.", called(&before));
        finish(tx, caller, organization, before, message).await
    }

    async fn remove(&self, caller: &Caller, member: Uuid) -> Result<()> {
        let organization = caller.organization()?;
        let actor = caller.user_id()?;
        let mut tx = self.store.begin().await?;
        let standing = standing(&mut tx, organization, caller).await?;
        let before = by_id(&mut *tx, organization, member).await?;
        let user = uuid_of(&before.user_id)?;
        rules::check_removal(
            standing.actor,
            user == actor,
            Role::stored(&before.role),
            standing.owners,
        )?;
        sqlx::query!("DELETE FROM org.members WHERE id = $1", member)
            .execute(&mut *tx)
            .await?;
        sqlx::query!("DELETE FROM org.users WHERE id = $1 AND service", user)
            .execute(&mut *tx)
            .await?;
        sqlx::query!(
            "UPDATE org.users SET updated_at = now(), active_organization_id = \
                 (SELECT organization_id FROM org.members WHERE user_id = $1 ORDER BY created_at, id LIMIT 1) \
             WHERE id = $1 AND active_organization_id = $2",
            user,
            organization
        )
        .execute(&mut *tx)
        .await?;
        let message = format!("{} was removed from the organization.", called(&before));
        tx.record(
            caller,
            Change::new("member.deleted", organization)
                .message(message)
                .before(&before),
        )
        .await?;
        tx.commit().await
    }
}

async fn is_service(tx: &mut Tx, user: Uuid) -> Result<bool> {
    Ok(sqlx::query_scalar!("SELECT service FROM org.users WHERE id = $1", user)
        .fetch_one(&mut **tx)
        .await?)
}

/// Records that a member changed, and commits. Answers the member as it is now.
async fn finish(mut tx: Tx, caller: &Caller, organization: Uuid, before: Member, message: String) -> Result<Member> {
    let after = by_id(&mut *tx, organization, uuid_of(&before.id)?).await?;
    let change = Change::new("member.updated", organization)
        .message(message)
        .before(&before)
        .after(&after);
    tx.record(caller, change).await?;
    tx.commit().await?;
    Ok(after)
}

/// Gives a member rights on boards. With `merge` a right that is there already stays.
pub async fn grant(tx: &mut Tx, member: Uuid, grants: &[Granted], merge: bool) -> Result<()> {
    if grants.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "INSERT INTO org.board_grants (id, member_id, board_id, can_read, can_write) \
         SELECT given.id, $2, given.board_id, given.can_read, given.can_write \
         FROM unnest($1::uuid[], $3::uuid[], $4::bool[], $5::bool[]) AS given (id, board_id, can_read, can_write) \
         ON CONFLICT ON CONSTRAINT board_grants_board_key DO UPDATE \
         SET can_read = EXCLUDED.can_read OR ($6 AND board_grants.can_read), \
             can_write = EXCLUDED.can_write OR ($6 AND board_grants.can_write), updated_at = now()",
        &grants.iter().map(|_| Uuid::now_v7()).collect::<Vec<_>>(),
        member,
        &grants.iter().map(|grant| grant.board_id).collect::<Vec<_>>(),
        &grants.iter().map(|grant| grant.can_read).collect::<Vec<_>>(),
        &grants.iter().map(|grant| grant.can_write).collect::<Vec<_>>(),
        merge
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// What to call a member in the feed.
pub fn called(member: &Member) -> &str {
    match &member.user {
        Some(user) => rules::display_name(user.name.as_deref(), user.email.as_deref(), "A member"),
        None => "A member",
    }
}
