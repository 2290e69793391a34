//! RPCs of the marketplace.

use chassis::{
    Caller, Error, Result,
    identity::{optional_uuid, uuid_of},
    message::Page,
    timestamp,
};
use proto::{
    agent::v1::{
        CreateMarketplaceSkillRequest, DeleteMarketplaceSkillRequest, InstallSkillRequest,
        ListMarketplaceSkillsRequest, ListMarketplaceSkillsResponse, MarketplaceSkill, SkillAction, SkillCard,
        SkillDispatch, UninstallSkillRequest, skill_service_server::SkillService,
    },
    common::v1::Ok as Done,
};
use sqlx::PgConnection;
use time::OffsetDateTime;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::{Service, install, row::SkillRow, source};

/// The word for skills without category or risk.
const NONE: &str = "uncategorized";

/// A skill of an organization; others' skills are not there.
pub async fn find(connection: &mut PgConnection, organization: Uuid, id: &str) -> Result<SkillRow> {
    sqlx::query_as!(
        SkillRow,
        "SELECT id, organization_id, name, description, category, risk, source_url, metadata, created_at, updated_at \
         FROM agent.skills WHERE id = $1 AND organization_id = $2 FOR UPDATE",
        uuid_of(id)?,
        organization
    )
    .fetch_optional(connection)
    .await?
    .ok_or_else(|| Error::not_found("Marketplace skill not found"))
}

/// A filter's word as it is compared: blank for none of it, `None` for no filter.
fn word(given: Option<&str>) -> Option<String> {
    let given = given?.trim().to_lowercase();
    match given.as_str() {
        "" => None,
        NONE => Some(String::new()),
        _ => Some(given),
    }
}

/// What a list asks for, ready for the query.
struct Filter {
    organization: Uuid,
    gateway: Uuid,
    repository: Option<String>,
    search: Option<String>,
    category: Option<String>,
    risk: Option<String>,
}

impl Service {
    async fn filter(&self, organization: Uuid, request: &ListMarketplaceSkillsRequest) -> Result<Filter> {
        let gateway = uuid_of(&request.gateway_id)?;
        self.0.app.gateway(organization, gateway).await?;
        let repository = match optional_uuid(request.pack_id.as_ref())? {
            None => None,
            Some(pack) => Some(
                sqlx::query_scalar!(
                    "SELECT source_url FROM agent.skill_packs WHERE id = $1 AND organization_id = $2",
                    pack,
                    organization
                )
                .fetch_optional(self.0.app.store.pool())
                .await?
                .ok_or_else(|| Error::not_found("Skill pack not found"))?,
            ),
        };
        Ok(Filter {
            organization,
            gateway,
            repository,
            search: request
                .search
                .as_deref()
                .map(|search| search.trim().to_lowercase())
                .filter(|search| !search.is_empty()),
            category: word(request.category.as_deref()),
            risk: word(request.risk.as_deref()),
        })
    }

    async fn page(&self, filter: &Filter, limit: Option<i64>, offset: i64) -> Result<Vec<SkillCard>> {
        let rows = sqlx::query!(
            "SELECT s.id, s.organization_id, s.name, s.description, s.category, s.risk, s.source_url, s.metadata, s.created_at, s.updated_at, \
                 i.installed AS \"installed?\", i.installed_at AS \"installed_at?\", i.dispatch AS \"dispatch?\" \
             FROM agent.skills s LEFT JOIN agent.skill_installs i ON i.skill_id = s.id AND i.gateway_id = $2 \
             WHERE s.organization_id = $1 AND ($3::text IS NULL OR s.repository = $3) AND ($4::text IS NULL OR strpos(s.words, $4) > 0) \
               AND ($5::text IS NULL OR lower(btrim(coalesce(s.category, ''))) = $5) \
               AND ($6::text IS NULL OR lower(btrim(coalesce(s.risk, ''))) = $6) \
             ORDER BY s.created_at DESC, s.id DESC LIMIT $7 OFFSET $8",
            filter.organization,
            filter.gateway,
            filter.repository,
            filter.search,
            filter.category,
            filter.risk,
            limit,
            offset
        )
        .fetch_all(self.0.app.store.pool())
        .await?;
        Ok(rows
            .into_iter()
            .map(|row| {
                let installed = row.installed.unwrap_or_default();
                let dispatch = row.dispatch.as_deref().map(|state| match state {
                    "queued" => SkillDispatch::Queued,
                    "sent" => SkillDispatch::Sent,
                    _ => SkillDispatch::Failed,
                });
                SkillCard {
                    id: row.id.to_string(),
                    organization_id: row.organization_id.to_string(),
                    name: row.name,
                    description: row.description,
                    category: row.category,
                    risk: row.risk,
                    source: Some(row.source_url.clone()),
                    source_url: row.source_url,
                    metadata: row.metadata.to_string().into_bytes(),
                    created_at: Some(timestamp(row.created_at)),
                    updated_at: Some(timestamp(row.updated_at)),
                    installed,
                    installed_at: row.installed_at.filter(|_| installed).map(timestamp),
                    dispatch: dispatch.map(Into::into),
                }
            })
            .collect())
    }

    async fn total(&self, filter: &Filter) -> Result<i32> {
        let total = sqlx::query_scalar!(
            "SELECT count(*) AS \"count!\" FROM agent.skills s \
             WHERE s.organization_id = $1 AND ($2::text IS NULL OR s.repository = $2) AND ($3::text IS NULL OR strpos(s.words, $3) > 0) \
               AND ($4::text IS NULL OR lower(btrim(coalesce(s.category, ''))) = $4) \
               AND ($5::text IS NULL OR lower(btrim(coalesce(s.risk, ''))) = $5)",
            filter.organization,
            filter.repository,
            filter.search,
            filter.category,
            filter.risk
        )
        .fetch_one(self.0.app.store.pool())
        .await?;
        Ok(i32::try_from(total).unwrap_or(i32::MAX))
    }
}

#[tonic::async_trait]
impl SkillService for Service {
    async fn list_marketplace_skills(
        &self,
        request: Request<ListMarketplaceSkillsRequest>,
    ) -> Result<Response<ListMarketplaceSkillsResponse>, Status> {
        let organization = Caller::of(&request)?.organization()?;
        let request = request.into_inner();
        let page = Page::of(request.limit, request.offset)?;
        let filter = self.filter(organization, &request).await?;
        let Some(limit) = request.limit else {
            return Ok(Response::new(ListMarketplaceSkillsResponse {
                skills: self.page(&filter, None, 0).await?,
                ..ListMarketplaceSkillsResponse::default()
            }));
        };
        let skills = self.page(&filter, Some(limit.into()), page.offset.into());
        let (skills, total) = tokio::try_join!(skills, self.total(&filter))?;
        Ok(Response::new(ListMarketplaceSkillsResponse {
            skills,
            total: Some(total),
            limit: Some(limit),
            offset: Some(page.offset),
        }))
    }

    async fn create_marketplace_skill(
        &self,
        request: Request<CreateMarketplaceSkillRequest>,
    ) -> Result<Response<MarketplaceSkill>, Status> {
        let caller = Caller::of(&request)?;
        let organization = caller.organization()?;
        let request = request.into_inner();
        let source_url = source::skill(&request.source_url)?;
        let said = |text: Option<String>| text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        let (name, description) = (said(request.name), said(request.description));
        let mut tx = self.0.app.store.begin().await?;
        let before = sqlx::query_as!(
            SkillRow,
            "SELECT id, organization_id, name, description, category, risk, source_url, metadata, created_at, updated_at \
             FROM agent.skills WHERE organization_id = $1 AND source_url = $2 FOR UPDATE",
            organization,
            source_url
        )
        .fetch_optional(&mut *tx)
        .await
        .map_err(Error::from)?;
        // Two at once: the second one changes what the first one added.
        let row = sqlx::query_as!(
            SkillRow,
            "INSERT INTO agent.skills AS s (id, organization_id, name, description, source_url, created_at, updated_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $6) ON CONFLICT (organization_id, source_url) DO UPDATE \
                 SET name = coalesce($7, s.name), description = coalesce($4, s.description), updated_at = greatest(s.updated_at, $6) \
             RETURNING id, organization_id, name, description, category, risk, source_url, metadata, created_at, updated_at",
            Uuid::now_v7(),
            organization,
            name.clone().unwrap_or_else(|| source::named(&source_url)),
            description,
            source_url,
            OffsetDateTime::now_utc(),
            name
        )
        .fetch_one(&mut *tx)
        .await
        .map_err(Error::from)?;
        let skill = row.message();
        let change = match before {
            None => row.change("skill.created", "added"),
            Some(before) => row.change("skill.updated", "updated").before(&before.message()),
        };
        tx.record(&caller, change.after(&skill)).await?;
        tx.commit().await?;
        Ok(Response::new(skill))
    }

    async fn delete_marketplace_skill(
        &self,
        request: Request<DeleteMarketplaceSkillRequest>,
    ) -> Result<Response<Done>, Status> {
        let caller = Caller::of(&request)?;
        let organization = caller.organization()?;
        let mut tx = self.0.app.store.begin().await?;
        let row = find(&mut tx, organization, &request.get_ref().skill_id).await?;
        sqlx::query!("DELETE FROM agent.skills WHERE id = $1", row.id)
            .execute(&mut *tx)
            .await
            .map_err(Error::from)?;
        let change = row.change("skill.deleted", "deleted");
        tx.record(&caller, change.before(&row.message())).await?;
        tx.commit().await?;
        Ok(Response::new(Done { ok: true }))
    }

    async fn install_skill(&self, request: Request<InstallSkillRequest>) -> Result<Response<SkillAction>, Status> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let asked = install::ask(&self.0, &caller, &request.skill_id, &request.gateway_id, true);
        Ok(Response::new(asked.await?))
    }

    async fn uninstall_skill(&self, request: Request<UninstallSkillRequest>) -> Result<Response<SkillAction>, Status> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let asked = install::ask(&self.0, &caller, &request.skill_id, &request.gateway_id, false);
        Ok(Response::new(asked.await?))
    }
}
