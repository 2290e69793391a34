//! The signed-in person.

use chassis::{Caller, Change, Error, Result, Store, Tx, message::Mask};
use proto::common::v1::Ok as Done;
use proto::org::v1::{
    BootstrapUserRequest, DeleteMeRequest, GetMeRequest, UpdateMeRequest, User, user_service_server::UserService,
};
use sqlx::PgExecutor;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::organizations;

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

/// Writes what people say of themselves, before and after a change, and answers the change with its sentence.
pub async fn rewrite(
    tx: &mut Tx,
    organization: Uuid,
    id: Uuid,
    (before, after): (&User, &User),
    sentence: &str,
) -> Result<Change> {
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
    .execute(&mut **tx)
    .await?;
    Ok(Change::new("user.updated", organization)
        .message(sentence)
        .before(before)
        .after(after))
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
        let change = rewrite(&mut tx, organization, id, (&before, &after), "Profile updated.").await?;
        tx.record(&caller, change).await?;
        tx.commit().await?;
        Ok(Response::new(after))
    }

    async fn delete_me(&self, request: Request<DeleteMeRequest>) -> Result<Response<Done>, Status> {
        let caller = Caller::of(&request)?;
        self.delete(&caller, caller.user_id()?).await?;
        Ok(Response::new(Done { ok: true }))
    }
}

impl Users {
    async fn delete(&self, caller: &Caller, user: Uuid) -> Result<()> {
        let mut tx = self.store.begin().await?;
        // The organizations first and in one order, as everywhere; then nobody joins or leaves them.
        let held = sqlx::query_scalar!(
            "SELECT o.id FROM org.organizations o JOIN org.members m ON m.organization_id = o.id WHERE m.user_id = $1 \
             ORDER BY o.id FOR UPDATE OF o",
            user
        )
        .fetch_all(&mut *tx)
        .await?;
        let rows = sqlx::query!(
            r#"SELECT o.id, o.name, m.role, (SELECT count(*) FROM org.members x JOIN org.users y ON y.id = x.user_id
                       WHERE x.organization_id = o.id AND NOT y.service) AS "people!",
                      (SELECT count(*) FROM org.members x WHERE x.organization_id = o.id AND x.role = 'owner') AS "owners!"
               FROM org.members m JOIN org.organizations o ON o.id = m.organization_id
               WHERE m.user_id = $1 AND o.id = ANY($2) ORDER BY o.id"#,
            user,
            &held
        )
        .fetch_all(&mut *tx)
        .await?;
        let mut own = Vec::new();
        for row in rows {
            if row.people == 1 {
                own.push(row.id);
            } else if row.role == "owner" && row.owners == 1 {
                return Err(Error::conflict(format!(
                    "You are the only owner of {}: make another member its owner first, or delete the organization.",
                    row.name
                )));
            }
        }
        let changes = organizations::delete(&mut tx, &own).await?;
        let deleted = sqlx::query!("DELETE FROM org.users WHERE id = $1", user)
            .execute(&mut *tx)
            .await?;
        if deleted.rows_affected() == 0 {
            return Err(gone());
        }
        // What was known of the person is not kept in the change log.
        let last = Change::new("user.deleted", caller.organization()?).message("User deleted.");
        let events: Vec<_> = changes
            .into_iter()
            .chain([last])
            .map(|change| change.into_event(caller))
            .collect();
        tx.record_events(&events).await?;
        tx.commit().await
    }
}
