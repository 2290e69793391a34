//! Gateways: their rows and the RPCs of people.

use chassis::{
    Caller, Change, Error, Result, Store,
    identity::uuid_of,
    live::Feed,
    message::{Mask, Page},
    timestamp,
};
use futures::stream::BoxStream;
use proto::{
    common::v1::Ok as Done,
    gateway::v1::{
        CreateGatewayRequest, DeleteGatewayRequest, Gateway, GatewayCommands, GatewayConnection, GatewayEvent,
        GatewaySession, GatewaySessions, GatewaysStatus, GetGatewayConnectionRequest, GetGatewayRequest,
        GetGatewaySessionRequest, GetGatewaysStatusRequest, GetSessionHistoryRequest, ListGatewayCommandsRequest,
        ListGatewayConnectionsRequest, ListGatewayConnectionsResponse, ListGatewaySessionsRequest, ListGatewaysRequest,
        ListGatewaysResponse, PreflightGatewayRequest, PreflightStep, SendSessionMessageRequest, SessionHistory,
        UpdateGatewayRequest, WatchGatewaysRequest, gateway_service_server::GatewayService,
    },
};
use time::OffsetDateTime;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::{
    boards, commands, preflight,
    rules::{Draft, TOKEN_MASK, TokenChange},
    sessions::{self, Place, Where},
    status,
    supervisor::{Stored, Supervisor},
    watch,
};

/// The service behind `/gateways`.
pub struct Gateways {
    pub store: Store,
    /// The change log, for live views.
    pub feed: Feed,
    pub supervisor: Supervisor,
    pub boards: boards::Boards,
    /// Oldest release without a warning.
    pub minimum: String,
}

/// A gateway as stored.
#[derive(Clone)]
pub struct Row {
    pub id: Uuid,
    pub organization_id: Uuid,
    pub name: String,
    pub url: String,
    pub workspace_root: String,
    pub allow_insecure_tls: bool,
    pub disable_device_pairing: bool,
    pub tls_fingerprint: Option<String>,
    pub token: Option<Vec<u8>>,
    pub device_token: Option<Vec<u8>>,
    pub created_at: OffsetDateTime,
    pub updated_at: OffsetDateTime,
}

impl Row {
    /// What the supervisor needs.
    pub fn stored(&self) -> Stored {
        Stored {
            id: self.id,
            organization_id: self.organization_id,
            name: self.name.clone(),
            url: self.url.clone(),
            allow_insecure_tls: self.allow_insecure_tls,
            disable_device_pairing: self.disable_device_pairing,
            tls_fingerprint: self.tls_fingerprint.clone(),
            token: self.token.clone(),
            device_token: self.device_token.clone(),
        }
    }
}

impl From<Row> for Gateway {
    fn from(row: Row) -> Self {
        Self {
            name: row.name,
            url: row.url,
            workspace_root: row.workspace_root,
            allow_insecure_tls: row.allow_insecure_tls,
            disable_device_pairing: row.disable_device_pairing,
            id: row.id.to_string(),
            organization_id: row.organization_id.to_string(),
            token: row.token.map(|_| TOKEN_MASK.to_owned()),
            created_at: Some(timestamp(row.created_at)),
            updated_at: Some(timestamp(row.updated_at)),
            tls_fingerprint: row.tls_fingerprint,
        }
    }
}

/// A gateway of an organization (of any when `None`). Others' gateways are not there.
pub async fn find(store: &Store, organization: Option<Uuid>, id: Uuid) -> Result<Row> {
    sqlx::query_as!(
        Row,
        "SELECT id, organization_id, name, url, workspace_root, allow_insecure_tls, disable_device_pairing, tls_fingerprint, \
                token, device_token, created_at, updated_at \
         FROM gateway.gateways WHERE id = $1 AND ($2::uuid IS NULL OR organization_id = $2)",
        id,
        organization
    )
    .fetch_optional(store.pool())
    .await?
    .ok_or_else(not_found)
}

fn not_found() -> Error {
    Error::not_found("Gateway not found")
}

#[tonic::async_trait]
impl GatewayService for Gateways {
    async fn list_gateways(
        &self,
        request: Request<ListGatewaysRequest>,
    ) -> Result<Response<ListGatewaysResponse>, Status> {
        let organization = Caller::of(&request)?.organization()?;
        let request = request.into_inner();
        let page = Page::of(request.limit, request.offset)?;
        let rows = sqlx::query_as!(
            Row,
            "SELECT id, organization_id, name, url, workspace_root, allow_insecure_tls, disable_device_pairing, tls_fingerprint, \
                    token, device_token, created_at, updated_at \
             FROM gateway.gateways WHERE organization_id = $1 ORDER BY created_at DESC, id DESC LIMIT $2 OFFSET $3",
            organization,
            i64::from(page.limit),
            i64::from(page.offset)
        )
        .fetch_all(self.store.pool());
        let total = sqlx::query_scalar!(
            "SELECT count(*) AS \"count!\" FROM gateway.gateways WHERE organization_id = $1",
            organization
        )
        .fetch_one(self.store.pool());
        let (rows, total) = tokio::try_join!(rows, total).map_err(Error::from)?;
        Ok(Response::new(ListGatewaysResponse {
            items: rows.into_iter().map(Gateway::from).collect(),
            total: i32::try_from(total).unwrap_or(i32::MAX),
            limit: page.limit,
            offset: page.offset,
        }))
    }

    async fn create_gateway(&self, request: Request<CreateGatewayRequest>) -> Result<Response<Gateway>, Status> {
        let caller = Caller::of(&request)?;
        let organization = caller.organization()?;
        let request = request.into_inner();
        let draft = Draft {
            name: request.name,
            url: request.url,
            workspace_root: request.workspace_root,
            tls_fingerprint: request.tls_fingerprint,
        };
        let draft = draft.checked().map_err(Error::invalid_fields)?;
        let id = Uuid::now_v7();
        let token = match TokenChange::of(Some(request.token.as_deref())) {
            TokenChange::Set(token) => Some(self.supervisor.seal_token(id, token)?),
            TokenChange::Clear => None,
            // Nothing is stored yet that the mask could mean.
            TokenChange::Keep => {
                return Err(Error::invalid("token", "The token is a mask: give the gateway's token itself.").into());
            }
        };
        let now = OffsetDateTime::now_utc();
        let row = Row {
            id,
            organization_id: organization,
            name: draft.name,
            url: draft.url,
            workspace_root: draft.workspace_root,
            allow_insecure_tls: request.allow_insecure_tls.unwrap_or_default(),
            disable_device_pairing: request.disable_device_pairing.unwrap_or_default(),
            tls_fingerprint: draft.tls_fingerprint,
            token,
            device_token: None,
            created_at: now,
            updated_at: now,
        };
        preflight::check(&self.supervisor.target(&row.stored()).await?).await?;

        let mut tx = self.store.begin().await?;
        let row = sqlx::query_as!(
            Row,
            "INSERT INTO gateway.gateways (id, organization_id, name, url, workspace_root, allow_insecure_tls, disable_device_pairing, \
                                           tls_fingerprint, token) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) \
             RETURNING id, organization_id, name, url, workspace_root, allow_insecure_tls, disable_device_pairing, tls_fingerprint, \
                       token, device_token, created_at, updated_at",
            row.id,
            row.organization_id,
            row.name,
            row.url,
            row.workspace_root,
            row.allow_insecure_tls,
            row.disable_device_pairing,
            row.tls_fingerprint,
            row.token
        )
        .fetch_one(&mut *tx)
        .await
        .map_err(Error::from)?;
        let gateway = Gateway::from(row);
        let message = format!("Gateway created: {}.", gateway.name);
        let change = Change::new("gateway.created", organization)
            .gateway(id)
            .message(message)
            .after(&gateway);
        tx.record(&caller, change).await?;
        tx.commit().await?;
        self.start(id).await;
        Ok(Response::new(gateway))
    }

    async fn get_gateway(&self, request: Request<GetGatewayRequest>) -> Result<Response<Gateway>, Status> {
        let organization = Caller::of(&request)?.organization()?;
        let row = find(&self.store, Some(organization), uuid_of(&request.get_ref().gateway_id)?).await?;
        Ok(Response::new(row.into()))
    }

    async fn update_gateway(&self, request: Request<UpdateGatewayRequest>) -> Result<Response<Gateway>, Status> {
        let caller = Caller::of(&request)?;
        let organization = caller.organization()?;
        let request = request.into_inner();
        let id = uuid_of(&request.gateway_id)?;
        let before = find(&self.store, Some(organization), id).await?;
        let after = self.changed(&before, &request)?;
        // A look costs seconds: only when it would be at something else than before.
        if after.stored()
            != (Stored {
                name: after.name.clone(),
                ..before.stored()
            })
        {
            preflight::check(&self.supervisor.target(&after.stored()).await?).await?;
        }

        let mut tx = self.store.begin().await?;
        let current = sqlx::query_scalar!(
            "SELECT updated_at FROM gateway.gateways WHERE id = $1 AND organization_id = $2 FOR UPDATE",
            id,
            organization
        )
        .fetch_optional(&mut *tx)
        .await
        .map_err(Error::from)?
        .ok_or_else(not_found)?;
        if current != before.updated_at {
            return Err(
                Error::conflict("The gateway was changed meanwhile. Load it again and repeat the change.").into(),
            );
        }
        let row = sqlx::query_as!(
            Row,
            "UPDATE gateway.gateways SET name = $2, url = $3, workspace_root = $4, allow_insecure_tls = $5, disable_device_pairing = $6, \
                    tls_fingerprint = $7, token = $8, updated_at = now() \
             WHERE id = $1 \
             RETURNING id, organization_id, name, url, workspace_root, allow_insecure_tls, disable_device_pairing, tls_fingerprint, \
                       token, device_token, created_at, updated_at",
            id,
            after.name,
            after.url,
            after.workspace_root,
            after.allow_insecure_tls,
            after.disable_device_pairing,
            after.tls_fingerprint,
            after.token
        )
        .fetch_one(&mut *tx)
        .await
        .map_err(Error::from)?;
        let gateway = Gateway::from(row);
        let change = Change::new("gateway.updated", organization)
            .gateway(id)
            .message(format!("Gateway updated: {}.", gateway.name))
            .before(&Gateway::from(before))
            .after(&gateway);
        tx.record(&caller, change).await?;
        tx.commit().await?;
        self.start(id).await;
        Ok(Response::new(gateway))
    }

    async fn delete_gateway(&self, request: Request<DeleteGatewayRequest>) -> Result<Response<Done>, Status> {
        let caller = Caller::of(&request)?;
        let organization = caller.organization()?;
        let id = uuid_of(&request.get_ref().gateway_id)?;
        find(&self.store, Some(organization), id).await?;
        let boards = self.boards.of_gateway(&caller, organization, id).await?;
        if !boards.is_empty() {
            let names: Vec<_> = boards.iter().take(5).map(|board| format!("`{}`", board.name)).collect();
            let text = format!(
                "The gateway is used by {} board(s): {}. Move them to another gateway or delete them first.",
                boards.len(),
                names.join(", ")
            );
            return Err(Error::precondition(text).into());
        }
        let mut tx = self.store.begin().await?;
        delete(&mut tx, &caller, organization, Some(id)).await?;
        tx.commit().await?;
        self.supervisor.retire(id);
        Ok(Response::new(Done { ok: true }))
    }

    async fn get_gateway_connection(
        &self,
        request: Request<GetGatewayConnectionRequest>,
    ) -> Result<Response<GatewayConnection>, Status> {
        let organization = Caller::of(&request)?.organization()?;
        let row = find(&self.store, Some(organization), uuid_of(&request.get_ref().gateway_id)?).await?;
        Ok(Response::new(self.supervisor.connection(row.id).await?))
    }

    async fn get_gateways_status(
        &self,
        request: Request<GetGatewaysStatusRequest>,
    ) -> Result<Response<GatewaysStatus>, Status> {
        match status::look(self, &request).await? {
            Where::Here(status) => Ok(Response::new(status)),
            Where::There(mut owner) => owner.get_gateways_status(request.into_inner()).await,
        }
    }

    type PreflightGatewayStream = BoxStream<'static, Result<PreflightStep, Status>>;

    async fn preflight_gateway(
        &self,
        request: Request<PreflightGatewayRequest>,
    ) -> Result<Response<Self::PreflightGatewayStream>, Status> {
        let caller = Caller::of(&request)?;
        Ok(Response::new(
            preflight::walk(self, &caller, request.into_inner()).await?,
        ))
    }

    async fn list_gateway_connections(
        &self,
        request: Request<ListGatewayConnectionsRequest>,
    ) -> Result<Response<ListGatewayConnectionsResponse>, Status> {
        let organization = Caller::of(&request)?.organization()?;
        let ids = sqlx::query_scalar!(
            "SELECT id FROM gateway.gateways WHERE organization_id = $1 ORDER BY created_at DESC, id DESC",
            organization
        )
        .fetch_all(self.store.pool())
        .await
        .map_err(Error::from)?;
        let items = self.supervisor.connections(&ids).await?;
        Ok(Response::new(ListGatewayConnectionsResponse { items }))
    }

    type WatchGatewaysStream = BoxStream<'static, Result<GatewayEvent, Status>>;

    async fn watch_gateways(
        &self,
        request: Request<WatchGatewaysRequest>,
    ) -> Result<Response<Self::WatchGatewaysStream>, Status> {
        let caller = Caller::of(&request)?;
        Ok(Response::new(watch::watch(self, &caller, request.get_ref()).await?))
    }

    async fn list_gateway_sessions(
        &self,
        request: Request<ListGatewaySessionsRequest>,
    ) -> Result<Response<GatewaySessions>, Status> {
        let asked = request.get_ref();
        let place = match Place::of(self, &request, asked.board_id.as_ref(), asked.gateway_id.as_ref()).await? {
            Where::Here(place) => place,
            Where::There(mut owner) => return owner.list_gateway_sessions(request.into_inner()).await,
        };
        Ok(Response::new(sessions::list(&place).await?))
    }

    async fn get_gateway_session(
        &self,
        request: Request<GetGatewaySessionRequest>,
    ) -> Result<Response<GatewaySession>, Status> {
        let asked = request.get_ref();
        let place = match Place::of(self, &request, asked.board_id.as_ref(), asked.gateway_id.as_ref()).await? {
            Where::Here(place) => place,
            Where::There(mut owner) => return owner.get_gateway_session(request.into_inner()).await,
        };
        Ok(Response::new(sessions::get(&place, request.get_ref()).await?))
    }

    async fn get_session_history(
        &self,
        request: Request<GetSessionHistoryRequest>,
    ) -> Result<Response<SessionHistory>, Status> {
        let asked = request.get_ref();
        let place = match Place::of(self, &request, asked.board_id.as_ref(), asked.gateway_id.as_ref()).await? {
            Where::Here(place) => place,
            Where::There(mut owner) => return owner.get_session_history(request.into_inner()).await,
        };
        Ok(Response::new(sessions::history(&place, request.get_ref()).await?))
    }

    async fn send_session_message(
        &self,
        request: Request<SendSessionMessageRequest>,
    ) -> Result<Response<Done>, Status> {
        let asked = request.get_ref();
        let place = match Place::of(self, &request, asked.board_id.as_ref(), asked.gateway_id.as_ref()).await? {
            Where::Here(place) => place,
            Where::There(mut owner) => return owner.send_session_message(request.into_inner()).await,
        };
        let caller = Caller::of(&request)?;
        Ok(Response::new(
            sessions::send(self, &caller, &place, request.get_ref()).await?,
        ))
    }

    async fn list_gateway_commands(
        &self,
        _: Request<ListGatewayCommandsRequest>,
    ) -> Result<Response<GatewayCommands>, Status> {
        Ok(Response::new(commands::known()))
    }
}

impl Gateways {
    /// The row with the changes of a request.
    fn changed(&self, before: &Row, request: &UpdateGatewayRequest) -> Result<Row> {
        let mask = Mask::of(request.update_mask.as_ref());
        let text = |name: &str, value: &Option<String>, old: &str| -> Result<String> {
            Ok(mask.required(name, value.clone())?.unwrap_or_else(|| old.to_owned()))
        };
        let draft = Draft {
            name: text("name", &request.name, &before.name)?,
            url: text("url", &request.url, &before.url)?,
            workspace_root: text("workspace_root", &request.workspace_root, &before.workspace_root)?,
            tls_fingerprint: mask
                .field("tls_fingerprint", request.tls_fingerprint.clone())
                .unwrap_or_else(|| before.tls_fingerprint.clone()),
        };
        let draft = draft.checked().map_err(Error::invalid_fields)?;
        let token = match TokenChange::of(mask.field("token", request.token.as_deref())) {
            TokenChange::Keep => before.token.clone(),
            TokenChange::Clear => None,
            TokenChange::Set(token) => Some(self.supervisor.seal_token(before.id, token)?),
        };
        Ok(Row {
            name: draft.name,
            url: draft.url,
            workspace_root: draft.workspace_root,
            tls_fingerprint: draft.tls_fingerprint,
            allow_insecure_tls: mask
                .required("allow_insecure_tls", request.allow_insecure_tls)?
                .unwrap_or(before.allow_insecure_tls),
            disable_device_pairing: mask
                .required("disable_device_pairing", request.disable_device_pairing)?
                .unwrap_or(before.disable_device_pairing),
            token,
            ..before.clone()
        })
    }

    /// Starts or changes the session now; the event does the same again, should this fail.
    async fn start(&self, id: Uuid) {
        if let Err(error) = self.supervisor.sync(id).await {
            tracing::warn!(gateway = %id, error = error.report(), "gateway session not brought up to date");
        }
    }
}

/// Deletes one gateway of an organization, or all, and tells of each.
pub async fn delete(tx: &mut chassis::Tx, caller: &Caller, organization: Uuid, id: Option<Uuid>) -> Result<()> {
    let rows = sqlx::query_as!(
        Row,
        "DELETE FROM gateway.gateways WHERE organization_id = $1 AND ($2::uuid IS NULL OR id = $2) \
         RETURNING id, organization_id, name, url, workspace_root, allow_insecure_tls, disable_device_pairing, tls_fingerprint, \
                   token, device_token, created_at, updated_at",
        organization,
        id
    )
    .fetch_all(&mut **tx)
    .await?;
    for row in rows {
        let id = row.id;
        let gateway = Gateway::from(row);
        let message = format!("Gateway deleted: {}.", gateway.name);
        let change = Change::new("gateway.deleted", organization)
            .gateway(id)
            .message(message)
            .before(&gateway);
        tx.record(caller, change).await?;
    }
    Ok(())
}
