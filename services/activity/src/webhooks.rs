//! Outbound webhook subscriptions, and the RPCs of their delivery log.

use base64::{Engine, engine::general_purpose::STANDARD};
use chassis::{
    Caller, Change, Error, Result,
    egress::Policy,
    identity::{optional_uuid, uuid_of},
    message::{Mask, Page},
    timestamp,
};
use proto::{
    activity::v1::{
        CreateWebhookRequest, DeleteWebhookRequest, Delivery, DeliveryDetail, GetDeliveryRequest, GetWebhookRequest,
        ListDeliveriesRequest, ListDeliveriesResponse, ListWebhooksRequest, ListWebhooksResponse, RedeliverRequest,
        UpdateWebhookRequest, Webhook, WebhookWithSecret, webhook_service_server::WebhookService,
    },
    board::v1::{LookupBoardRequest, board_directory_service_client::BoardDirectoryServiceClient},
    common::v1::Ok as Done,
};
use rand::Rng;
use time::OffsetDateTime;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::{State, deliveries, rules, sender::NETWORKS};

/// What a secret begins with (Standard Webhooks).
const SECRET_PREFIX: &str = "whsec_";
/// Most subscriptions of an organization.
const LIMIT: i64 = 100;

/// The service.
pub struct Webhooks(pub State);

pub struct Row {
    pub id: Uuid,
    pub organization_id: Uuid,
    pub url: String,
    pub description: Option<String>,
    pub event_types: Vec<String>,
    pub board_id: Option<Uuid>,
    pub enabled: bool,
    pub disabled_reason: Option<String>,
    pub created_at: OffsetDateTime,
    pub updated_at: OffsetDateTime,
}

impl From<Row> for Webhook {
    fn from(row: Row) -> Self {
        Self {
            id: row.id.to_string(),
            organization_id: row.organization_id.to_string(),
            url: row.url,
            description: row.description,
            event_types: row.event_types,
            board_id: row.board_id.map(|id| id.to_string()),
            enabled: row.enabled,
            disabled_reason: row.disabled_reason,
            created_at: Some(timestamp(row.created_at)),
            updated_at: Some(timestamp(row.updated_at)),
        }
    }
}

impl Webhooks {
    async fn find(&self, organization: Uuid, id: Uuid) -> Result<Row> {
        sqlx::query_as!(
            Row,
            "SELECT id, organization_id, url, description, event_types, board_id, enabled, disabled_reason, created_at, updated_at \
             FROM activity.webhooks WHERE id = $1 AND organization_id = $2",
            id,
            organization
        )
        .fetch_optional(self.0.store.pool())
        .await?
        .ok_or_else(|| Error::not_found("Webhook not found"))
    }

    fn policy(&self) -> Result<Policy> {
        Policy::parse(NETWORKS, &self.0.context.settings.webhook_allowed_networks)
    }

    /// A board of a subscription has to be one of the organization.
    async fn board(&self, caller: &Caller, organization: Uuid, board: Option<Uuid>) -> Result<()> {
        let Some(id) = board else { return Ok(()) };
        let peer = self
            .0
            .context
            .peers
            .named("activity")
            .as_service("board", Some(organization), Some(caller));
        let found = BoardDirectoryServiceClient::new(peer)
            .lookup_board(LookupBoardRequest {
                board_id: id.to_string(),
            })
            .await;
        match found {
            Ok(board) if board.get_ref().organization_id == organization.to_string() => Ok(()),
            Ok(_) => Err(Error::unprocessable("board_id is invalid")),
            Err(status) if status.code() == tonic::Code::NotFound => Err(Error::unprocessable("board_id is invalid")),
            Err(status) => Err(status.into()),
        }
    }
}

/// Checks the names of events of a subscription.
fn event_types(names: &[String]) -> Result<()> {
    match names.iter().position(|name| !rules::is_event_type(name)) {
        Some(index) => Err(Error::invalid(
            format!("event_types.{index}"),
            format!(
                "`{}` is no kind of event: write task.created, task.* or #.",
                names[index]
            ),
        )),
        None => Ok(()),
    }
}

/// The bytes of a secret: `whsec_` and base64 of 24 to 64 bytes.
pub fn secret_bytes(secret: &str) -> Result<Vec<u8>> {
    secret
        .strip_prefix(SECRET_PREFIX)
        .and_then(|text| STANDARD.decode(text).ok())
        .filter(|bytes| (24..=64).contains(&bytes.len()))
        .ok_or_else(|| {
            Error::invalid(
                "secret",
                "secret must be whsec_ followed by base64 of 24 to 64 bytes; leave it out to get one.",
            )
        })
}

/// Where a webhook's secret is sealed to.
pub fn secret_place(id: Uuid) -> String {
    format!("webhook.secret:{id}")
}

#[tonic::async_trait]
impl WebhookService for Webhooks {
    async fn list_webhooks(
        &self,
        request: Request<ListWebhooksRequest>,
    ) -> Result<Response<ListWebhooksResponse>, Status> {
        let organization = Caller::of(&request)?.organization()?;
        let request = request.into_inner();
        let page = Page::of(request.limit, request.offset)?;
        let total = sqlx::query_scalar!(
            "SELECT count(*) AS \"count!\" FROM activity.webhooks WHERE organization_id = $1",
            organization
        )
        .fetch_one(self.0.store.pool())
        .await
        .map_err(Error::from)?;
        let rows = sqlx::query_as!(
            Row,
            "SELECT id, organization_id, url, description, event_types, board_id, enabled, disabled_reason, created_at, updated_at \
             FROM activity.webhooks WHERE organization_id = $1 ORDER BY created_at DESC, id DESC LIMIT $2 OFFSET $3",
            organization,
            i64::from(page.limit),
            i64::from(page.offset)
        )
        .fetch_all(self.0.store.pool())
        .await
        .map_err(Error::from)?;
        Ok(Response::new(ListWebhooksResponse {
            items: rows.into_iter().map(Into::into).collect(),
            total: i32::try_from(total).unwrap_or(i32::MAX),
            limit: page.limit,
            offset: page.offset,
        }))
    }

    async fn create_webhook(
        &self,
        request: Request<CreateWebhookRequest>,
    ) -> Result<Response<WebhookWithSecret>, Status> {
        let caller = Caller::of(&request)?;
        let organization = caller.organization()?;
        let request = request.into_inner();
        self.policy()?.check("url", &request.url)?;
        event_types(&request.event_types)?;
        let board = optional_uuid(request.board_id.as_ref())?;
        let secret = request
            .secret
            .filter(|secret| !secret.trim().is_empty())
            .unwrap_or_else(|| {
                let mut bytes = [0u8; 32];
                rand::rng().fill_bytes(&mut bytes);
                format!("{SECRET_PREFIX}{}", STANDARD.encode(bytes))
            });
        let bytes = secret_bytes(&secret)?;
        self.board(&caller, organization, board).await?;
        let id = Uuid::now_v7();
        let sealed = self.0.sealer.seal(&secret_place(id), &bytes)?;
        let mut tx = self.0.store.begin().await?;
        let count = sqlx::query_scalar!(
            "SELECT count(*) AS \"count!\" FROM activity.webhooks WHERE organization_id = $1",
            organization
        )
        .fetch_one(&mut *tx)
        .await
        .map_err(Error::from)?;
        if count >= LIMIT {
            return Err(
                Error::conflict(format!("An organization can have {LIMIT} webhooks; delete one first.")).into(),
            );
        }
        let row = sqlx::query_as!(
            Row,
            "INSERT INTO activity.webhooks (id, organization_id, url, description, event_types, board_id, secret, enabled, created_at, updated_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, now(), now()) \
             RETURNING id, organization_id, url, description, event_types, board_id, enabled, disabled_reason, created_at, updated_at",
            id,
            organization,
            request.url,
            request.description,
            &request.event_types,
            board,
            sealed,
            request.enabled.unwrap_or(true),
        )
        .fetch_one(&mut *tx)
        .await
        .map_err(Error::from)?;
        let webhook = Webhook::from(row);
        tx.record(
            &caller,
            Change::new("webhook.created", organization)
                .message(format!("Webhook to {} created.", webhook.url))
                .after(&webhook),
        )
        .await?;
        tx.commit().await?;
        Ok(Response::new(WebhookWithSecret {
            id: webhook.id,
            organization_id: webhook.organization_id,
            url: webhook.url,
            description: webhook.description,
            event_types: webhook.event_types,
            board_id: webhook.board_id,
            enabled: webhook.enabled,
            created_at: webhook.created_at,
            secret,
        }))
    }

    async fn get_webhook(&self, request: Request<GetWebhookRequest>) -> Result<Response<Webhook>, Status> {
        let organization = Caller::of(&request)?.organization()?;
        let id = uuid_of(&request.get_ref().webhook_id)?;
        Ok(Response::new(self.find(organization, id).await?.into()))
    }

    async fn update_webhook(&self, request: Request<UpdateWebhookRequest>) -> Result<Response<Webhook>, Status> {
        let caller = Caller::of(&request)?;
        let organization = caller.organization()?;
        let request = request.into_inner();
        let mask = Mask::of(request.update_mask.as_ref());
        let id = uuid_of(&request.webhook_id)?;
        let known = self.find(organization, id).await?;
        let board = mask
            .field("board_id", request.board_id)
            .map(|board| optional_uuid(board.as_ref()))
            .transpose()?;
        if let Some(board) = board.filter(|board| *board != known.board_id) {
            self.board(&caller, organization, board).await?;
        }
        let mut tx = self.0.store.begin().await?;
        // Held until the end: what others change meanwhile is not undone.
        let before = sqlx::query_as!(
            Row,
            "SELECT id, organization_id, url, description, event_types, board_id, enabled, disabled_reason, created_at, updated_at \
             FROM activity.webhooks WHERE id = $1 AND organization_id = $2 FOR UPDATE",
            id,
            organization
        )
        .fetch_optional(&mut *tx)
        .await
        .map_err(Error::from)?
        .ok_or_else(|| Error::not_found("Webhook not found"))?;
        let url = mask.required("url", request.url)?.unwrap_or_else(|| before.url.clone());
        self.policy()?.check("url", &url)?;
        let types = mask
            .field("event_types", request.event_types.map(|types| types.items))
            .map_or_else(|| before.event_types.clone(), Option::unwrap_or_default);
        event_types(&types)?;
        let description = mask
            .field("description", request.description)
            .unwrap_or_else(|| before.description.clone());
        let board = board.unwrap_or(before.board_id);
        let enabled = mask.required("enabled", request.enabled)?;
        let row = sqlx::query_as!(
            Row,
            "UPDATE activity.webhooks SET url = $3, description = $4, event_types = $5, board_id = $6, enabled = COALESCE($7, enabled), \
             disabled_reason = CASE WHEN COALESCE($7, enabled) THEN NULL ELSE disabled_reason END, updated_at = now() WHERE id = $1 AND organization_id = $2 \
             RETURNING id, organization_id, url, description, event_types, board_id, enabled, disabled_reason, created_at, updated_at",
            id,
            organization,
            url,
            description,
            &types,
            board,
            enabled,
        )
        .fetch_optional(&mut *tx)
        .await
        .map_err(Error::from)?
        .ok_or_else(|| Error::not_found("Webhook not found"))?;
        let after = Webhook::from(row);
        let change = Change::new("webhook.updated", organization)
            .message(format!("Webhook to {} updated.", after.url))
            .before(&Webhook::from(before))
            .after(&after);
        tx.record(&caller, change).await?;
        tx.commit().await?;
        Ok(Response::new(after))
    }

    async fn delete_webhook(&self, request: Request<DeleteWebhookRequest>) -> Result<Response<Done>, Status> {
        let caller = Caller::of(&request)?;
        let organization = caller.organization()?;
        let id = uuid_of(&request.get_ref().webhook_id)?;
        let mut tx = self.0.store.begin().await?;
        let row = sqlx::query_as!(
            Row,
            "DELETE FROM activity.webhooks WHERE id = $1 AND organization_id = $2 \
             RETURNING id, organization_id, url, description, event_types, board_id, enabled, disabled_reason, created_at, updated_at",
            id,
            organization
        )
        .fetch_optional(&mut *tx)
        .await
        .map_err(Error::from)?
        .ok_or_else(|| Error::not_found("Webhook not found"))?;
        let webhook = Webhook::from(row);
        tx.record(
            &caller,
            Change::new("webhook.deleted", organization)
                .message(format!("Webhook to {} deleted.", webhook.url))
                .before(&webhook),
        )
        .await?;
        tx.commit().await?;
        Ok(Response::new(Done { ok: true }))
    }

    async fn list_deliveries(
        &self,
        request: Request<ListDeliveriesRequest>,
    ) -> Result<Response<ListDeliveriesResponse>, Status> {
        let organization = Caller::of(&request)?.organization()?;
        let request = request.into_inner();
        let page = Page::of(request.limit, request.offset)?;
        let webhook = self.find(organization, uuid_of(&request.webhook_id)?).await?;
        Ok(Response::new(
            deliveries::list(&self.0, webhook.id, request.status(), page).await?,
        ))
    }

    async fn get_delivery(&self, request: Request<GetDeliveryRequest>) -> Result<Response<DeliveryDetail>, Status> {
        let organization = Caller::of(&request)?.organization()?;
        let request = request.into_inner();
        let webhook = self.find(organization, uuid_of(&request.webhook_id)?).await?;
        Ok(Response::new(
            deliveries::detail(&self.0, webhook.id, uuid_of(&request.delivery_id)?).await?,
        ))
    }

    async fn redeliver(&self, request: Request<RedeliverRequest>) -> Result<Response<Delivery>, Status> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let webhook = self.find(caller.organization()?, uuid_of(&request.webhook_id)?).await?;
        if !webhook.enabled {
            return Err(Error::precondition("The webhook is disabled; enable it before delivering again.").into());
        }
        Ok(Response::new(
            deliveries::again(&self.0, &caller, &webhook, uuid_of(&request.delivery_id)?).await?,
        ))
    }
}
