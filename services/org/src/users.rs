//! The signed-in person.

use chassis::{Caller, Change, Error, Result, Store, message::Mask};
use proto::org::v1::{BootstrapUserRequest, GetMeRequest, UpdateMeRequest, User, user_service_server::UserService};
use sqlx::PgExecutor;
use tonic::{Request, Response, Status};
use uuid::Uuid;

/// The service behind `/users/me`.
pub struct Users {
    pub store: Store,
}

/// A person as stored.
pub struct UserRow {
    pub id: Uuid,
    pub subject: String,
    pub email: Option<String>,
    pub name: Option<String>,
    pub preferred_name: Option<String>,
    pub pronouns: Option<String>,
    pub timezone: Option<String>,
    pub notes: Option<String>,
    pub context: Option<String>,
}

impl From<UserRow> for User {
    fn from(row: UserRow) -> Self {
        Self {
            clerk_user_id: row.subject,
            email: row.email,
            name: row.name,
            preferred_name: row.preferred_name,
            pronouns: row.pronouns,
            timezone: row.timezone,
            notes: row.notes,
            context: row.context,
            id: row.id.to_string(),
            // Nobody is: rights come from memberships only.
            is_super_admin: false,
        }
    }
}

/// A person by id.
pub async fn user(executor: impl PgExecutor<'_>, id: Uuid) -> Result<User> {
    sqlx::query_as!(
        UserRow,
        "SELECT id, subject, email, name, preferred_name, pronouns, timezone, notes, context FROM org.users WHERE id = $1",
        id
    )
    .fetch_optional(executor)
    .await?
    .map(User::from)
    .ok_or_else(gone)
}

/// The credential is good, the person is no longer there.
pub fn gone() -> Error {
    Error::unauthenticated("Unauthorized")
}

#[tonic::async_trait]
impl UserService for Users {
    // The edge resolved the person before the call: what had to be created is there.
    async fn bootstrap_user(&self, request: Request<BootstrapUserRequest>) -> Result<Response<User>, Status> {
        let id = Caller::of(&request)?.user_id()?;
        Ok(Response::new(user(self.store.pool(), id).await?))
    }

    async fn get_me(&self, request: Request<GetMeRequest>) -> Result<Response<User>, Status> {
        let id = Caller::of(&request)?.user_id()?;
        Ok(Response::new(user(self.store.pool(), id).await?))
    }

    async fn update_me(&self, request: Request<UpdateMeRequest>) -> Result<Response<User>, Status> {
        let caller = Caller::of(&request)?;
        let (id, organization) = (caller.user_id()?, caller.organization()?);
        let request = request.into_inner();
        let mask = Mask::of(request.update_mask.as_ref());

        let mut tx = self.store.begin().await?;
        let before: User = sqlx::query_as!(
            UserRow,
            "SELECT id, subject, email, name, preferred_name, pronouns, timezone, notes, context FROM org.users WHERE id = $1 FOR UPDATE",
            id
        )
        .fetch_optional(&mut *tx)
        .await
        .map_err(Error::from)?
        .map(User::from)
        .ok_or_else(gone)?;

        let mut after = before.clone();
        for (field, name, value) in [
            (&mut after.name, "name", request.name),
            (&mut after.preferred_name, "preferred_name", request.preferred_name),
            (&mut after.pronouns, "pronouns", request.pronouns),
            (&mut after.timezone, "timezone", request.timezone),
            (&mut after.notes, "notes", request.notes),
            (&mut after.context, "context", request.context),
        ] {
            if let Some(value) = mask.field(name, value) {
                *field = value;
            }
        }
        if after == before {
            return Ok(Response::new(before));
        }
        sqlx::query!(
            "UPDATE org.users SET name = $2, preferred_name = $3, pronouns = $4, timezone = $5, notes = $6, context = $7, updated_at = now() \
             WHERE id = $1",
            id,
            after.name,
            after.preferred_name,
            after.pronouns,
            after.timezone,
            after.notes,
            after.context
        )
        .execute(&mut *tx)
        .await
        .map_err(Error::from)?;
        let change = Change::new("user.updated", organization)
            .message("Profile updated.")
            .before(&before)
            .after(&after);
        tx.record(&caller, change).await?;
        tx.commit().await?;
        Ok(Response::new(after))
    }
}
