//! RPCs of packs.

use chassis::{Caller, Error, Result, identity::uuid_of, store::violates};
use proto::{
    agent::v1::{
        CreateSkillPackRequest, DeleteSkillPackRequest, GetSkillPackRequest, ListSkillPacksRequest,
        ListSkillPacksResponse, SkillPack, SyncSkillPackRequest, SyncSkillPackResponse, UpdateSkillPackRequest,
        skill_pack_service_server::SkillPackService,
    },
    common::v1::Ok as Done,
};
use sqlx::PgConnection;
use time::OffsetDateTime;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::{
    Service,
    row::{PackRow, object, select_packs},
    source, sync,
};

/// A pack of an organization; others' packs are not there.
pub async fn find(connection: &mut PgConnection, organization: Uuid, id: &str, lock: bool) -> Result<PackRow> {
    let id = uuid_of(id)?;
    let row = if lock {
        select_packs!(
            "WHERE p.id = $1 AND p.organization_id = $2 FOR UPDATE OF p",
            id,
            organization
        )
        .fetch_optional(connection)
        .await?
    } else {
        select_packs!("WHERE p.id = $1 AND p.organization_id = $2", id, organization)
            .fetch_optional(connection)
            .await?
    };
    row.ok_or_else(|| Error::not_found("Skill pack not found"))
}

async fn by_source(connection: &mut PgConnection, organization: Uuid, source_url: &str) -> Result<Option<PackRow>> {
    Ok(select_packs!(
        "WHERE p.organization_id = $1 AND p.source_url = $2 FOR UPDATE OF p",
        organization,
        source_url
    )
    .fetch_optional(connection)
    .await?)
}

fn taken(error: sqlx::Error) -> Error {
    if violates(&error, "skill_packs_source_key") {
        Error::conflict("A pack with this source URL already exists")
    } else {
        error.into()
    }
}

/// A text that says something.
fn said(text: Option<String>) -> Option<String> {
    text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// Writes a pack's settings. Another repository or branch has not been read yet.
async fn write(connection: &mut PgConnection, row: &PackRow) -> Result<PackRow> {
    sqlx::query!(
        "UPDATE agent.skill_packs SET name = $2, description = $3, source_url = $4, branch = $5, metadata = $6, updated_at = $7, \
             sync_state = CASE WHEN source_url = $4 AND branch = $5 THEN sync_state ELSE 'never' END, \
             sync_error = CASE WHEN source_url = $4 AND branch = $5 THEN sync_error END, \
             lease_id = CASE WHEN source_url = $4 AND branch = $5 THEN lease_id END \
         WHERE id = $1",
        row.id,
        row.name,
        row.description,
        row.source_url,
        row.branch,
        row.metadata,
        row.updated_at
    )
    .execute(&mut *connection)
    .await
    .map_err(taken)?;
    find(connection, row.organization_id, &row.id.to_string(), false).await
}

/// Adds a pack that is not there yet. Says whether it is new.
pub async fn add(connection: &mut PgConnection, row: &PackRow) -> Result<bool> {
    let added = sqlx::query!(
        "INSERT INTO agent.skill_packs (id, organization_id, name, description, source_url, branch, metadata, created_at, updated_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8) ON CONFLICT (organization_id, source_url) DO NOTHING",
        row.id,
        row.organization_id,
        row.name,
        row.description,
        row.source_url,
        row.branch,
        row.metadata,
        row.created_at
    )
    .execute(connection)
    .await?;
    Ok(added.rows_affected() == 1)
}

/// A pack that was never read.
pub fn fresh(organization: Uuid, source_url: String) -> PackRow {
    let now = OffsetDateTime::now_utc();
    PackRow {
        id: Uuid::now_v7(),
        organization_id: organization,
        name: source::named(&source_url),
        description: None,
        source_url,
        branch: source::BRANCH.to_owned(),
        metadata: serde_json::Value::Object(serde_json::Map::new()),
        created_at: now,
        updated_at: now,
        sync_state: "never".to_owned(),
        sync_error: None,
        sync_warnings: Vec::new(),
        sync_commit: None,
        sync_found: 0,
        sync_created: 0,
        sync_updated: 0,
        sync_requested_at: None,
        sync_finished_at: None,
        skill_count: 0,
    }
}

#[tonic::async_trait]
impl SkillPackService for Service {
    async fn list_skill_packs(
        &self,
        request: Request<ListSkillPacksRequest>,
    ) -> Result<Response<ListSkillPacksResponse>, Status> {
        let organization = Caller::of(&request)?.organization()?;
        let rows = select_packs!(
            "WHERE p.organization_id = $1 ORDER BY p.created_at DESC, p.id DESC",
            organization
        )
        .fetch_all(self.0.app.store.pool())
        .await
        .map_err(Error::from)?;
        Ok(Response::new(ListSkillPacksResponse {
            packs: rows.iter().map(PackRow::message).collect(),
        }))
    }

    async fn create_skill_pack(&self, request: Request<CreateSkillPackRequest>) -> Result<Response<SkillPack>, Status> {
        let caller = Caller::of(&request)?;
        let organization = caller.organization()?;
        let request = request.into_inner();
        let source_url = source::repository(&request.source_url, &self.0.hosts)?;
        self.0.policy.check("source_url", &source_url)?;
        let mut row = fresh(organization, source_url);
        row.branch = source::branch(request.branch.as_deref());
        row.metadata = object("metadata", request.metadata.as_deref())?;
        let (name, description) = (said(request.name), said(request.description));
        row.name = name.clone().unwrap_or(row.name);
        row.description.clone_from(&description);

        let mut tx = self.0.app.store.begin().await?;
        if add(&mut tx, &row).await? {
            let pack = row.message();
            tx.record(&caller, row.change("skill_pack.created", "added").after(&pack))
                .await?;
            tx.commit().await?;
            return Ok(Response::new(pack));
        }
        let before = by_source(&mut tx, organization, &row.source_url)
            .await?
            .ok_or_else(|| Error::conflict("The pack was deleted meanwhile. Add it again."))?;
        let after = PackRow {
            name: name.unwrap_or_else(|| before.name.clone()),
            description: description.or_else(|| before.description.clone()),
            branch: row.branch,
            metadata: row.metadata,
            updated_at: row.updated_at.max(before.updated_at),
            ..before.clone()
        };
        let pack = write(&mut tx, &after).await?.message();
        let change = after.change("skill_pack.updated", "updated");
        tx.record(&caller, change.before(&before.message()).after(&pack))
            .await?;
        tx.commit().await?;
        Ok(Response::new(pack))
    }

    async fn get_skill_pack(&self, request: Request<GetSkillPackRequest>) -> Result<Response<SkillPack>, Status> {
        let organization = Caller::of(&request)?.organization()?;
        let mut connection = self.0.app.store.pool().acquire().await.map_err(Error::from)?;
        let row = find(&mut connection, organization, &request.get_ref().pack_id, false).await?;
        Ok(Response::new(row.message()))
    }

    async fn update_skill_pack(&self, request: Request<UpdateSkillPackRequest>) -> Result<Response<SkillPack>, Status> {
        let caller = Caller::of(&request)?;
        let organization = caller.organization()?;
        let request = request.into_inner();
        let mut tx = self.0.app.store.begin().await?;
        let before = find(&mut tx, organization, &request.pack_id, true).await?;
        let source_url = source::repository(&request.source_url, &self.0.hosts)?;
        self.0.policy.check("source_url", &source_url)?;
        let after = PackRow {
            name: said(request.name).unwrap_or_else(|| source::named(&source_url)),
            description: said(request.description),
            branch: source::branch(request.branch.as_deref()),
            metadata: object("metadata", request.metadata.as_deref())?,
            updated_at: OffsetDateTime::now_utc().max(before.updated_at),
            source_url,
            ..before.clone()
        };
        let pack = write(&mut tx, &after).await?.message();
        let change = after.change("skill_pack.updated", "updated");
        tx.record(&caller, change.before(&before.message()).after(&pack))
            .await?;
        tx.commit().await?;
        Ok(Response::new(pack))
    }

    async fn delete_skill_pack(&self, request: Request<DeleteSkillPackRequest>) -> Result<Response<Done>, Status> {
        let caller = Caller::of(&request)?;
        let organization = caller.organization()?;
        let mut tx = self.0.app.store.begin().await?;
        let row = find(&mut tx, organization, &request.get_ref().pack_id, true).await?;
        sqlx::query!("DELETE FROM agent.skill_packs WHERE id = $1", row.id)
            .execute(&mut *tx)
            .await
            .map_err(Error::from)?;
        let change = row.change("skill_pack.deleted", "deleted");
        tx.record(&caller, change.before(&row.message())).await?;
        tx.commit().await?;
        Ok(Response::new(Done { ok: true }))
    }

    async fn sync_skill_pack(
        &self,
        request: Request<SyncSkillPackRequest>,
    ) -> Result<Response<SyncSkillPackResponse>, Status> {
        let caller = Caller::of(&request)?;
        Ok(Response::new(
            sync::ask(&self.0, &caller, &request.get_ref().pack_id).await?,
        ))
    }
}
