//! Organizations: the tenants.

use chassis::{Caller, Change, Error, Result, Store, identity::uuid_of, store::violates, timestamp};
use proto::common::v1::Ok as Done;
use proto::org::v1::{
    CreateOrganizationRequest, DeleteMyOrganizationRequest, GetMyMembershipRequest, GetMyOrganizationRequest,
    ListMyOrganizationsRequest, ListMyOrganizationsResponse, Member, Organization, OrganizationListItem,
    SetActiveOrganizationRequest, UpdateMyOrganizationRequest, organization_service_server::OrganizationService,
};
use time::OffsetDateTime;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::{
    members,
    rules::{self, Role},
    users,
};

/// The service behind `/organizations`.
pub struct Organizations {
    pub store: Store,
}

/// An organization as stored.
pub struct OrganizationRow {
    pub id: Uuid,
    pub name: String,
    pub created_at: OffsetDateTime,
    pub updated_at: OffsetDateTime,
}

impl From<OrganizationRow> for Organization {
    fn from(row: OrganizationRow) -> Self {
        Self {
            id: row.id.to_string(),
            name: row.name,
            created_at: Some(timestamp(row.created_at)),
            updated_at: Some(timestamp(row.updated_at)),
        }
    }
}

#[tonic::async_trait]
impl OrganizationService for Organizations {
    async fn create_organization(
        &self,
        request: Request<CreateOrganizationRequest>,
    ) -> Result<Response<Organization>, Status> {
        let caller = Caller::of(&request)?;
        let user = caller.user_id()?;
        let request = request.into_inner();
        let name = called(&request.name)?;

        let mut tx = self.store.begin().await?;
        // The condition covers personal organizations, which the unique index leaves out; the index covers two at once.
        let inserted = sqlx::query_as!(
            OrganizationRow,
            "INSERT INTO org.organizations (id, name) \
             SELECT $1, $2 WHERE NOT EXISTS (SELECT FROM org.organizations WHERE lower(name) = lower($2)) \
             RETURNING id, name, created_at, updated_at",
            Uuid::now_v7(),
            name
        )
        .fetch_optional(&mut *tx)
        .await;
        let organization = match inserted {
            Ok(Some(row)) => row,
            Ok(None) => return Err(taken(name).into()),
            Err(error) if violates(&error, "organizations_name_key") => return Err(taken(name).into()),
            Err(error) => return Err(Error::from(error).into()),
        };
        let id = organization.id;
        let organization = Organization::from(organization);
        found(&mut tx, id, user).await?;
        let change = Change::new("organization.created", id)
            .message(format!("Organization created: {name}."))
            .after(&organization);
        tx.record(&caller, change).await?;
        tx.commit().await?;
        Ok(Response::new(organization))
    }

    async fn list_my_organizations(
        &self,
        request: Request<ListMyOrganizationsRequest>,
    ) -> Result<Response<ListMyOrganizationsResponse>, Status> {
        let user = Caller::of(&request)?.user_id()?;
        let rows = sqlx::query!(
            r#"SELECT o.id, o.name, m.role, u.active_organization_id IS NOT DISTINCT FROM o.id AS "is_active!"
               FROM org.members m JOIN org.users u ON u.id = m.user_id JOIN org.organizations o ON o.id = m.organization_id
               WHERE m.user_id = $1 ORDER BY lower(o.name), o.created_at, o.id"#,
            user
        )
        .fetch_all(self.store.pool())
        .await
        .map_err(Error::from)?;
        let items = rows
            .into_iter()
            .map(|row| OrganizationListItem {
                id: row.id.to_string(),
                name: row.name,
                role: row.role,
                is_active: row.is_active,
            })
            .collect();
        Ok(Response::new(ListMyOrganizationsResponse { items }))
    }

    async fn set_active_organization(
        &self,
        request: Request<SetActiveOrganizationRequest>,
    ) -> Result<Response<Organization>, Status> {
        let caller = Caller::of(&request)?;
        let user = caller.user_id()?;
        let id = uuid_of(&request.get_ref().organization_id)?;

        let mut tx = self.store.begin().await?;
        // The membership is held until the end, so that it cannot end in between.
        let organization = sqlx::query_as!(
            OrganizationRow,
            "SELECT o.id, o.name, o.created_at, o.updated_at FROM org.organizations o JOIN org.members m ON m.organization_id = o.id \
             WHERE o.id = $1 AND m.user_id = $2 FOR SHARE OF m",
            id,
            user
        )
        .fetch_optional(&mut *tx)
        .await
        .map_err(Error::from)?
        .ok_or_else(|| Error::denied("No org access"))?;
        let changed = sqlx::query!(
            "UPDATE org.users SET active_organization_id = $2, updated_at = now() \
             WHERE id = $1 AND active_organization_id IS DISTINCT FROM $2",
            user,
            id
        )
        .execute(&mut *tx)
        .await
        .map_err(Error::from)?
        .rows_affected();
        if changed > 0 {
            let after = users::user(&mut *tx, user).await?;
            let message = format!("Active organization changed: {}.", organization.name);
            tx.record(&caller, Change::new("user.updated", id).message(message).after(&after))
                .await?;
            tx.commit().await?;
        }
        Ok(Response::new(organization.into()))
    }

    async fn get_my_organization(
        &self,
        request: Request<GetMyOrganizationRequest>,
    ) -> Result<Response<Organization>, Status> {
        let id = Caller::of(&request)?.organization()?;
        let row = sqlx::query_as!(
            OrganizationRow,
            "SELECT id, name, created_at, updated_at FROM org.organizations WHERE id = $1",
            id
        )
        .fetch_optional(self.store.pool())
        .await
        .map_err(Error::from)?
        .ok_or_else(|| Error::not_found("The organization does not exist any more."))?;
        Ok(Response::new(row.into()))
    }

    async fn get_my_membership(&self, request: Request<GetMyMembershipRequest>) -> Result<Response<Member>, Status> {
        let caller = Caller::of(&request)?;
        let member = members::membership(self.store.pool(), caller.organization()?, caller.user_id()?)
            .await?
            .ok_or_else(|| Error::denied("No org access"))?;
        Ok(Response::new(member))
    }

    async fn update_my_organization(
        &self,
        request: Request<UpdateMyOrganizationRequest>,
    ) -> Result<Response<Organization>, Status> {
        let caller = Caller::of(&request)?;
        let id = caller.organization()?;
        let request = request.into_inner();
        Ok(Response::new(self.rename(&caller, id, called(&request.name)?).await?))
    }

    async fn delete_my_organization(
        &self,
        request: Request<DeleteMyOrganizationRequest>,
    ) -> Result<Response<Done>, Status> {
        let caller = Caller::of(&request)?;
        let id = caller.organization()?;
        let mut tx = self.store.begin().await?;
        if members::standing(&mut tx, id, &caller).await?.actor != Role::Owner {
            return Err(Error::denied("Only organization owners can delete organizations").into());
        }
        // Members, grants and invites go with the row; whoever had it active gets another at the next sign-in. What other services keep
        // goes when they hear of it.
        for change in delete(&mut tx, &[id]).await? {
            tx.record(&caller, change).await?;
        }
        tx.commit().await?;
        Ok(Response::new(Done { ok: true }))
    }
}

impl Organizations {
    async fn rename(&self, caller: &Caller, id: Uuid, name: &str) -> Result<Organization> {
        let mut tx = self.store.begin().await?;
        rules::check_admin(members::standing(&mut tx, id, caller).await?.actor)?;
        let before = sqlx::query_as!(
            OrganizationRow,
            "SELECT id, name, created_at, updated_at FROM org.organizations WHERE id = $1",
            id
        )
        .fetch_one(&mut *tx)
        .await?;
        let before = Organization::from(before);
        if before.name == name {
            return Ok(before);
        }
        // Whoever names their organization has chosen: the unique index holds for it from now on, and covers two at once.
        let renamed = sqlx::query_as!(
            OrganizationRow,
            "UPDATE org.organizations SET name = $2, personal = false, updated_at = now() \
             WHERE id = $1 AND NOT EXISTS (SELECT FROM org.organizations WHERE lower(name) = lower($2) AND id <> $1) \
             RETURNING id, name, created_at, updated_at",
            id,
            name
        )
        .fetch_optional(&mut *tx)
        .await;
        let after = match renamed {
            Ok(Some(row)) => Organization::from(row),
            Ok(None) => return Err(taken(name)),
            Err(error) if violates(&error, "organizations_name_key") => return Err(taken(name)),
            Err(error) => return Err(error.into()),
        };
        let change = Change::new("organization.updated", id)
            .message(format!("Organization renamed from {} to {name}.", before.name))
            .before(&before)
            .after(&after);
        tx.record(caller, change).await?;
        tx.commit().await?;
        Ok(after)
    }
}

/// The name that was sent, without blanks around it.
fn called(name: &str) -> Result<&str> {
    match name.trim() {
        "" => Err(Error::invalid("name", "name must not be blank.")),
        name => Ok(name),
    }
}

fn taken(name: &str) -> Error {
    Error::conflict(format!(
        "An organization named `{name}` exists already. Choose another name."
    ))
}

/// Deletes organizations. Answers what to record.
pub async fn delete(tx: &mut chassis::Tx, ids: &[Uuid]) -> Result<Vec<Change>> {
    // Service accounts belong to their one organization.
    sqlx::query!(
        "DELETE FROM org.users u USING org.members m WHERE m.user_id = u.id AND u.service AND m.organization_id = ANY($1)",
        ids
    )
    .execute(&mut **tx)
    .await?;
    let rows = sqlx::query_as!(
        OrganizationRow,
        "DELETE FROM org.organizations WHERE id = ANY($1) RETURNING id, name, created_at, updated_at",
        ids
    )
    .fetch_all(&mut **tx)
    .await?;
    let change = |row: OrganizationRow| {
        let change =
            Change::new("organization.deleted", row.id).message(format!("Organization deleted: {}.", row.name));
        change.before(&Organization::from(row))
    };
    Ok(rows.into_iter().map(change).collect())
}

/// Makes a person the owner of a new organization, with every right, and makes it their active one.
pub async fn found(tx: &mut chassis::Tx, organization: Uuid, user: Uuid) -> Result<()> {
    sqlx::query!(
        "INSERT INTO org.members (id, organization_id, user_id, role, all_boards_read, all_boards_write) \
         VALUES ($1, $2, $3, 'owner', true, true)",
        Uuid::now_v7(),
        organization,
        user
    )
    .execute(&mut **tx)
    .await?;
    sqlx::query!(
        "UPDATE org.users SET active_organization_id = $2, updated_at = now() WHERE id = $1",
        user,
        organization
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}
