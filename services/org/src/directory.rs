//! What the other services ask about people.

use chassis::{Caller, Change, Error, Result, Store, Tx, identity::uuid_of};
use proto::{
    event::v1::{Actor, Event},
    identity::v1::{BoardGrant, Membership, Principal, PrincipalKind},
    org::v1::{
        GetOwnerProfileRequest, Organization, ResolveUserRequest, ResolveUserResponse, SyncUsageRequest,
        SyncUsageResponse, User, VerifyApiKeyRequest, VerifyApiKeyResponse, directory_service_server::DirectoryService,
    },
};
use serde::Deserialize;
use sqlx::{PgExecutor, types::Json};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::{
    boards::Granted,
    invites, keys,
    organizations::{self, OrganizationRow},
    rules,
    usage::Usages,
    users::UserRow,
};

/// Name of the organization that a first sign-in creates.
const PERSONAL: &str = "Personal";

/// The service behind sign-in.
pub struct Directory {
    pub store: Store,
    pub usages: Usages,
}

/// A membership as [`person`] builds it.
#[derive(Deserialize)]
pub struct Held {
    pub organization_id: Uuid,
    pub member_id: Uuid,
    pub role: String,
    pub all_boards_read: bool,
    pub all_boards_write: bool,
    pub grants: Vec<Granted>,
}

/// A person with every membership, the oldest first.
struct Person {
    id: Uuid,
    email: Option<String>,
    name: Option<String>,
    preferred_name: Option<String>,
    active_organization_id: Option<Uuid>,
    memberships: Json<Vec<Held>>,
}

impl Person {
    /// Whether there is nothing to write before this person can be answered.
    fn is_settled(&self, claims: &ResolveUserRequest) -> bool {
        let active = self.active_organization_id;
        self.memberships.iter().any(|held| Some(held.organization_id) == active)
            && rules::email_to_store(self.email.as_deref(), claims.email.as_deref()).is_none()
            && rules::name_to_store(self.name.as_deref(), claims.name.as_deref()).is_none()
    }

    fn into_principal(self, subject: &str) -> Principal {
        Principal {
            kind: PrincipalKind::User.into(),
            id: self.id.to_string(),
            name: rules::display_name(self.name.as_deref(), self.email.as_deref(), subject).to_owned(),
            organization_id: self.active_organization_id.map(|id| id.to_string()).unwrap_or_default(),
            memberships: self.memberships.0.into_iter().map(Membership::from).collect(),
            preferred_name: self.preferred_name.unwrap_or_default(),
            ..Principal::default()
        }
    }
}

impl From<Held> for Membership {
    fn from(held: Held) -> Self {
        Self {
            organization_id: held.organization_id.to_string(),
            member_id: held.member_id.to_string(),
            role: held.role,
            all_boards_read: held.all_boards_read,
            all_boards_write: held.all_boards_write,
            grants: held
                .grants
                .into_iter()
                .map(|grant| BoardGrant {
                    board_id: grant.board_id.to_string(),
                    can_read: grant.can_read,
                    can_write: grant.can_write,
                })
                .collect(),
        }
    }
}

#[tonic::async_trait]
impl DirectoryService for Directory {
    async fn resolve_user(
        &self,
        request: Request<ResolveUserRequest>,
    ) -> Result<Response<ResolveUserResponse>, Status> {
        let caller = Caller::of(&request)?;
        let claims = request.into_inner();
        if claims.subject.trim().is_empty() {
            return Err(Error::invalid("subject", "subject must not be blank.").into());
        }
        let known = person(self.store.pool(), &claims.subject).await?;
        let person = match known.filter(|person| person.is_settled(&claims)) {
            Some(person) => person,
            None => self.settle(&caller, &claims).await?,
        };
        let principal = Some(person.into_principal(&claims.subject));
        Ok(Response::new(ResolveUserResponse { principal }))
    }

    async fn verify_api_key(
        &self,
        request: Request<VerifyApiKeyRequest>,
    ) -> Result<Response<VerifyApiKeyResponse>, Status> {
        Ok(Response::new(keys::verify(&self.store, &request.get_ref().key).await?))
    }

    async fn sync_usage(&self, request: Request<SyncUsageRequest>) -> Result<Response<SyncUsageResponse>, Status> {
        Ok(Response::new(self.usages.add(request.into_inner()).await?))
    }

    async fn get_owner_profile(&self, request: Request<GetOwnerProfileRequest>) -> Result<Response<User>, Status> {
        let organization = uuid_of(&request.get_ref().organization_id)?;
        let owner = sqlx::query_as!(
            UserRow,
            "SELECT u.id, u.subject, u.email, u.name, u.preferred_name, u.pronouns, u.timezone, u.notes, u.context \
             FROM org.members m JOIN org.users u ON u.id = m.user_id \
             WHERE m.organization_id = $1 AND m.role = 'owner' ORDER BY m.created_at, m.id LIMIT 1",
            organization
        )
        .fetch_optional(self.store.pool())
        .await
        .map_err(Error::from)?
        .ok_or_else(|| Error::not_found("The organization does not exist or has no owner."))?;
        Ok(Response::new(owner.into()))
    }
}

impl Directory {
    /// Creates or repairs what is missing, then reads again. Calls at the same time meet at the unique subject or at the row lock: one
    /// does the work, the others find it done.
    async fn settle(&self, caller: &Caller, claims: &ResolveUserRequest) -> Result<Person> {
        let mut tx = self.store.begin().await?;
        let created = sqlx::query_scalar!(
            "INSERT INTO org.users (id, subject) VALUES ($1, $2) ON CONFLICT ON CONSTRAINT users_subject_key DO NOTHING RETURNING id",
            Uuid::now_v7(),
            claims.subject
        )
        .fetch_optional(&mut *tx)
        .await?
        .is_some();
        let stored = sqlx::query!(
            "SELECT id, email, name, active_organization_id FROM org.users WHERE subject = $1 FOR UPDATE",
            claims.subject
        )
        .fetch_one(&mut *tx)
        .await?;
        let email = rules::email_to_store(stored.email.as_deref(), claims.email.as_deref());
        let name = rules::name_to_store(stored.name.as_deref(), claims.name.as_deref());
        let profile_changed = email.is_some() || name.is_some();
        let user: User = sqlx::query_as!(
            UserRow,
            "UPDATE org.users SET email = COALESCE($2, email), name = COALESCE($3, name), updated_at = now() WHERE id = $1 \
             RETURNING id, subject, email, name, preferred_name, pronouns, timezone, notes, context",
            stored.id,
            email,
            name
        )
        .fetch_one(&mut *tx)
        .await?
        .into();

        let held = sqlx::query_scalar!(
            "SELECT organization_id FROM org.members WHERE user_id = $1 ORDER BY created_at, id",
            stored.id
        )
        .fetch_all(&mut *tx)
        .await?;
        let mut events = Vec::new();
        let active = match (stored.active_organization_id, held.first()) {
            (Some(active), _) if held.contains(&active) => active,
            // The membership in the active organization ended: the oldest takes its place.
            (_, Some(oldest)) => {
                sqlx::query!(
                    "UPDATE org.users SET active_organization_id = $2 WHERE id = $1",
                    stored.id,
                    oldest
                )
                .execute(&mut *tx)
                .await?;
                *oldest
            }
            (_, None) => {
                let (id, changes) = Self::first_organization(&mut tx, stored.id, user.email.as_deref()).await?;
                events.extend(changes.into_iter().map(|change| by(change.into_event(caller), &user)));
                id
            }
        };
        if created {
            let change = Change::new("user.created", active).message(format!("User created: {}.", called(&user)));
            events.push(by(change.after(&user).into_event(caller), &user));
        } else if profile_changed {
            let change = Change::new("user.updated", active).message("Profile updated from the identity provider.");
            events.push(by(change.after(&user).into_event(caller), &user));
        }
        if !events.is_empty() {
            tx.record_events(&events).await?;
        }
        let person = person(&mut *tx, &claims.subject)
            .await?
            .ok_or_else(|| Error::internal(std::io::Error::other("a locked user row has gone")))?;
        tx.commit().await?;
        Ok(person)
    }

    /// Where a person without any membership belongs: to the organization that invited their address first, else to one of their own.
    async fn first_organization(tx: &mut Tx, user: Uuid, email: Option<&str>) -> Result<(Uuid, Vec<Change>)> {
        if let Some(invite) = invites::oldest_pending(tx, email).await? {
            let (_, changes) = invites::take(tx, &invite, user).await?;
            sqlx::query!(
                "UPDATE org.users SET active_organization_id = $2 WHERE id = $1",
                user,
                invite.organization_id
            )
            .execute(&mut **tx)
            .await?;
            return Ok((invite.organization_id, changes));
        }
        let (id, change) = found_personal(tx, user).await?;
        Ok((id, vec![change]))
    }
}

/// A person's own organization.
async fn found_personal(tx: &mut Tx, user: Uuid) -> Result<(Uuid, Change)> {
    let organization: OrganizationRow = sqlx::query_as!(
        OrganizationRow,
        "INSERT INTO org.organizations (id, name, personal) VALUES ($1, $2, true) RETURNING id, name, created_at, updated_at",
        Uuid::now_v7(),
        PERSONAL
    )
    .fetch_one(&mut **tx)
    .await?;
    let id = organization.id;
    organizations::found(tx, id, user).await?;
    let change = Change::new("organization.created", id)
        .message(format!("Organization created: {PERSONAL}."))
        .after(&Organization::from(organization));
    Ok((id, change))
}

/// People cause their own arrival, although the edge makes the call.
fn by(mut event: Event, user: &User) -> Event {
    event.actor = Some(Actor {
        kind: "user".to_owned(),
        id: user.id.clone(),
        name: called(user).to_owned(),
    });
    event
}

fn called(user: &User) -> &str {
    rules::display_name(user.name.as_deref(), user.email.as_deref(), &user.clerk_user_id)
}

/// The principal of a person that is known.
pub async fn principal(executor: impl PgExecutor<'_>, subject: &str) -> Result<Option<Principal>> {
    Ok(person(executor, subject)
        .await?
        .map(|person| person.into_principal(subject)))
}

/// One query: sign-in is on the path of every request whose principal is not cached.
async fn person(executor: impl PgExecutor<'_>, subject: &str) -> Result<Option<Person>> {
    Ok(sqlx::query_as!(
        Person,
        r#"SELECT u.id, u.email, u.name, u.preferred_name, u.active_organization_id,
                  COALESCE((
                      SELECT jsonb_agg(jsonb_build_object(
                          'organization_id', m.organization_id, 'member_id', m.id, 'role', m.role,
                          'all_boards_read', m.all_boards_read, 'all_boards_write', m.all_boards_write,
                          'grants', COALESCE((
                              SELECT jsonb_agg(jsonb_build_object('board_id', g.board_id, 'can_read', g.can_read, 'can_write', g.can_write)
                                               ORDER BY g.board_id)
                              FROM org.board_grants g WHERE g.member_id = m.id), '[]')
                      ) ORDER BY m.created_at, m.id)
                      FROM org.members m WHERE m.user_id = u.id), '[]') AS "memberships!: Json<Vec<Held>>"
           FROM org.users u WHERE u.subject = $1"#,
        subject
    )
    .fetch_optional(executor)
    .await?)
}
