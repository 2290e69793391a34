//! Invites: a token that makes whoever has it a member, once and for a week.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chassis::{Caller, Change, Error, Result, Store, Tx, channel::Peers, identity::uuid_of, message::Page, timestamp};
use proto::org::v1::{
    AcceptInviteRequest, CreateInviteRequest, Invite, ListInvitesRequest, ListInvitesResponse, Member,
    RevokeInviteRequest, invite_service_server::InviteService,
};
use sha2::{Digest, Sha256};
use sqlx::types::Json;
use time::{Duration, OffsetDateTime};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::{
    boards::{self, Granted},
    members,
    rules::{self, Role},
    users,
};

/// What stands where a token was.
const MASK: &str = "********";
/// How long a token works.
const LIFETIME: Duration = Duration::days(7);

/// The service behind invites.
pub struct Invites {
    pub store: Store,
    pub peers: Peers,
}

/// An invite as stored.
pub struct InviteRow {
    pub id: Uuid,
    pub organization_id: Uuid,
    invited_email: String,
    role: String,
    all_boards_read: bool,
    all_boards_write: bool,
    board_access: Json<Vec<Granted>>,
    created_by_user_id: Option<Uuid>,
    accepted_by_user_id: Option<Uuid>,
    accepted_at: Option<OffsetDateTime>,
    expires_at: OffsetDateTime,
    created_at: OffsetDateTime,
    updated_at: OffsetDateTime,
}

impl From<InviteRow> for Invite {
    fn from(row: InviteRow) -> Self {
        Self {
            id: row.id.to_string(),
            organization_id: row.organization_id.to_string(),
            invited_email: row.invited_email,
            role: row.role,
            all_boards_read: row.all_boards_read,
            all_boards_write: row.all_boards_write,
            token: MASK.to_owned(),
            created_by_user_id: row.created_by_user_id.map(|id| id.to_string()),
            accepted_by_user_id: row.accepted_by_user_id.map(|id| id.to_string()),
            accepted_at: row.accepted_at.map(timestamp),
            created_at: Some(timestamp(row.created_at)),
            updated_at: Some(timestamp(row.updated_at)),
            expires_at: Some(timestamp(row.expires_at)),
        }
    }
}

#[tonic::async_trait]
impl InviteService for Invites {
    async fn list_invites(
        &self,
        request: Request<ListInvitesRequest>,
    ) -> Result<Response<ListInvitesResponse>, Status> {
        let organization = Caller::of(&request)?.organization()?;
        let page = Page::of(request.get_ref().limit, request.get_ref().offset)?;
        let rows = sqlx::query_as!(
            InviteRow,
            r#"SELECT id, organization_id, invited_email, role, all_boards_read, all_boards_write, board_access AS "board_access: Json<Vec<Granted>>",
                      created_by_user_id, accepted_by_user_id, accepted_at, expires_at, created_at, updated_at
               FROM org.invites WHERE organization_id = $1 AND accepted_at IS NULL ORDER BY created_at DESC, id DESC LIMIT $2 OFFSET $3"#,
            organization,
            i64::from(page.limit),
            i64::from(page.offset)
        )
        .fetch_all(self.store.pool());
        let total = sqlx::query_scalar!(
            r#"SELECT count(*)::int AS "total!" FROM org.invites WHERE organization_id = $1 AND accepted_at IS NULL"#,
            organization
        )
        .fetch_one(self.store.pool());
        let (rows, total) = futures::try_join!(rows, total).map_err(Error::from)?;
        let items = rows.into_iter().map(Invite::from).collect();
        Ok(Response::new(ListInvitesResponse {
            items,
            total,
            limit: page.limit,
            offset: page.offset,
        }))
    }

    async fn create_invite(&self, request: Request<CreateInviteRequest>) -> Result<Response<Invite>, Status> {
        let caller = Caller::of(&request)?;
        Ok(Response::new(self.create(&caller, request.get_ref()).await?))
    }

    async fn revoke_invite(&self, request: Request<RevokeInviteRequest>) -> Result<Response<Invite>, Status> {
        let caller = Caller::of(&request)?;
        Ok(Response::new(
            self.revoke(&caller, uuid_of(&request.get_ref().invite_id)?).await?,
        ))
    }

    async fn accept_invite(&self, request: Request<AcceptInviteRequest>) -> Result<Response<Member>, Status> {
        let caller = Caller::of(&request)?;
        Ok(Response::new(self.accept(&caller, &request.get_ref().token).await?))
    }
}

impl Invites {
    async fn create(&self, caller: &Caller, request: &CreateInviteRequest) -> Result<Invite> {
        let (organization, actor) = (caller.organization()?, caller.user_id()?);
        let email = rules::email(&request.invited_email)?;
        let role = Role::sent(request.role.as_deref().unwrap_or_default())?;
        let access = rules::access(request.all_boards_read, request.all_boards_write, &request.board_access)?;
        boards::check(&self.peers, caller, organization, &access).await?;

        let mut tx = self.store.begin().await?;
        rules::check_invite(members::standing(&mut tx, organization, caller).await?.actor, role)?;
        let member = sqlx::query_scalar!(
            r#"SELECT EXISTS (SELECT FROM org.members m JOIN org.users u ON u.id = m.user_id
                              WHERE m.organization_id = $1 AND lower(u.email) = $2) AS "exists!""#,
            organization,
            email
        )
        .fetch_one(&mut *tx)
        .await?;
        if member {
            return Err(Error::conflict(format!(
                "{email} is a member of this organization already."
            )));
        }
        let token = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 24]>());
        let row = sqlx::query_as!(
            InviteRow,
            r#"INSERT INTO org.invites (id, organization_id, invited_email, role, all_boards_read, all_boards_write, board_access, token_hash,
                                        created_by_user_id, expires_at)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
               RETURNING id, organization_id, invited_email, role, all_boards_read, all_boards_write,
                         board_access AS "board_access: Json<Vec<Granted>>", created_by_user_id, accepted_by_user_id, accepted_at, expires_at,
                         created_at, updated_at"#,
            Uuid::now_v7(),
            organization,
            email,
            role.word(),
            access.read,
            access.write,
            Json(Granted::list(&access)) as _,
            hash(&token),
            actor,
            OffsetDateTime::now_utc() + LIFETIME
        )
        .fetch_one(&mut *tx)
        .await?;
        let invite = Invite::from(row);
        let change = Change::new("invite.created", organization)
            .message(format!("{email} was invited."))
            .after(&invite);
        tx.record(caller, change).await?;
        tx.commit().await?;
        Ok(Invite { token, ..invite })
    }

    async fn revoke(&self, caller: &Caller, id: Uuid) -> Result<Invite> {
        let organization = caller.organization()?;
        let mut tx = self.store.begin().await?;
        rules::check_admin(members::standing(&mut tx, organization, caller).await?.actor)?;
        let row = sqlx::query_as!(
            InviteRow,
            r#"DELETE FROM org.invites WHERE id = $1 AND organization_id = $2
               RETURNING id, organization_id, invited_email, role, all_boards_read, all_boards_write,
                         board_access AS "board_access: Json<Vec<Granted>>", created_by_user_id, accepted_by_user_id, accepted_at, expires_at,
                         created_at, updated_at"#,
            id,
            organization
        )
        .fetch_optional(&mut *tx)
        .await?
        .ok_or_else(|| Error::not_found("There is no such invite in this organization."))?;
        let invite = Invite::from(row);
        let message = format!("The invite of {} was revoked.", invite.invited_email);
        tx.record(
            caller,
            Change::new("invite.revoked", organization)
                .message(message)
                .before(&invite),
        )
        .await?;
        tx.commit().await?;
        Ok(invite)
    }

    async fn accept(&self, caller: &Caller, token: &str) -> Result<Member> {
        let user = caller.user_id()?;
        let mut tx = self.store.begin().await?;
        let email = sqlx::query_scalar!("SELECT email FROM org.users WHERE id = $1 FOR NO KEY UPDATE", user)
            .fetch_optional(&mut *tx)
            .await?
            .ok_or_else(users::gone)?;
        let invite = sqlx::query_as!(
            InviteRow,
            r#"SELECT id, organization_id, invited_email, role, all_boards_read, all_boards_write, board_access AS "board_access: Json<Vec<Granted>>",
                      created_by_user_id, accepted_by_user_id, accepted_at, expires_at, created_at, updated_at
               FROM org.invites WHERE token_hash = $1 AND accepted_at IS NULL AND expires_at > now() FOR UPDATE"#,
            hash(token.trim())
        )
        .fetch_optional(&mut *tx)
        .await?
        .ok_or_else(|| Error::not_found("The invite does not exist, was used or has expired: ask for a new one."))?;
        if email.is_some_and(|email| !email.trim().is_empty() && email.trim().to_lowercase() != invite.invited_email) {
            return Err(Error::denied("This invite is for another e-mail address."));
        }
        let (member, changes) = take(&mut tx, &invite, user).await?;
        let events: Vec<_> = changes.into_iter().map(|change| change.into_event(caller)).collect();
        tx.record_events(&events).await?;
        tx.commit().await?;
        Ok(member)
    }
}

/// The invite that waits longest for an address, held until the transaction ends.
pub async fn oldest_pending(tx: &mut Tx, email: Option<&str>) -> Result<Option<InviteRow>> {
    let Some(email) = email else { return Ok(None) };
    Ok(sqlx::query_as!(
        InviteRow,
        r#"SELECT id, organization_id, invited_email, role, all_boards_read, all_boards_write, board_access AS "board_access: Json<Vec<Granted>>",
                  created_by_user_id, accepted_by_user_id, accepted_at, expires_at, created_at, updated_at
           FROM org.invites WHERE invited_email = $1 AND accepted_at IS NULL AND expires_at > now() ORDER BY created_at, id LIMIT 1 FOR UPDATE"#,
        email
    )
    .fetch_optional(&mut **tx)
    .await?)
}

/// Gives a person what an invite says; what they have already only grows. Answers the member and what to record.
pub async fn take(tx: &mut Tx, invite: &InviteRow, user: Uuid) -> Result<(Member, Vec<Change>)> {
    let organization = invite.organization_id;
    let before = members::membership(&mut **tx, organization, user).await?;
    let member = sqlx::query_scalar!(
        "INSERT INTO org.members (id, organization_id, user_id, role, all_boards_read, all_boards_write) VALUES ($1, $2, $3, $4, $5, $6) \
         ON CONFLICT ON CONSTRAINT members_person_key DO UPDATE \
         SET role = CASE WHEN array_position(ARRAY['member', 'admin', 'owner'], EXCLUDED.role) \
                              > array_position(ARRAY['member', 'admin', 'owner'], members.role) THEN EXCLUDED.role ELSE members.role END, \
             all_boards_read = members.all_boards_read OR EXCLUDED.all_boards_read OR EXCLUDED.all_boards_write, \
             all_boards_write = members.all_boards_write OR EXCLUDED.all_boards_write, updated_at = now() \
         RETURNING id",
        Uuid::now_v7(),
        organization,
        user,
        invite.role,
        invite.all_boards_read,
        invite.all_boards_write
    )
    .fetch_one(&mut **tx)
    .await?;
    members::grant(tx, member, &invite.board_access, true).await?;
    let accepted = sqlx::query_as!(
        InviteRow,
        r#"UPDATE org.invites SET accepted_by_user_id = $2, accepted_at = now(), updated_at = now() WHERE id = $1
           RETURNING id, organization_id, invited_email, role, all_boards_read, all_boards_write,
                     board_access AS "board_access: Json<Vec<Granted>>", created_by_user_id, accepted_by_user_id, accepted_at, expires_at,
                     created_at, updated_at"#,
        invite.id,
        user
    )
    .fetch_one(&mut **tx)
    .await?;
    sqlx::query!(
        "UPDATE org.users SET active_organization_id = $2, updated_at = now() WHERE id = $1 AND active_organization_id IS NULL",
        user,
        organization
    )
    .execute(&mut **tx)
    .await?;
    let after = members::membership(&mut **tx, organization, user)
        .await?
        .ok_or_else(users::gone)?;
    let name = members::called(&after).to_owned();
    let joined = match &before {
        None => Change::new("member.created", organization).message(format!("{name} joined the organization.")),
        Some(before) => Change::new("member.updated", organization)
            .message(format!("{name} accepted another invite."))
            .before(before),
    };
    let accepting = Change::new("invite.accepted", organization).message(format!("{name} accepted an invite."));
    Ok((
        after.clone(),
        vec![joined.after(&after), accepting.after(&Invite::from(accepted))],
    ))
}

/// What is kept of a token. It is 192 random bits: a slow hash would add nothing.
fn hash(token: &str) -> Vec<u8> {
    Sha256::digest(token).to_vec()
}
