//! API keys of people and of service accounts.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chassis::{
    Caller, Change, Error, Result, Store, Tx, channel::Peers, error::Kind, identity::uuid_of, message::Page, moment,
    timestamp,
};
use proto::{
    common::v1::Ok as Done,
    identity::v1::{Membership, Principal, PrincipalKind},
    org::v1::{
        ApiKey, CreateMyApiKeyRequest, CreateOrganizationApiKeyRequest, ListApiKeysResponse, ListMyApiKeysRequest,
        ListOrganizationApiKeysRequest, RevokeMyApiKeyRequest, RevokeOrganizationApiKeyRequest, VerifyApiKeyResponse,
        api_key_service_server::ApiKeyService,
    },
};
use sha2::{Digest, Sha256};
use sqlx::types::Json;
use subtle::ConstantTimeEq;
use time::OffsetDateTime;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::{
    boards::{self, Granted},
    directory::Held,
    members,
    rules::{self, KeyRights},
};

/// How a key begins.
const PREFIX: &str = "mck_";
/// Most keys of one membership: whoever makes more has lost track.
const MOST: i64 = 50;

/// The service behind `/users/me/api-keys` and `/organizations/me/api-keys`.
pub struct ApiKeys {
    pub store: Store,
    pub peers: Peers,
}

/// A key as stored, with whom it acts as.
struct KeyRow {
    id: Uuid,
    organization_id: Uuid,
    user_id: Uuid,
    service: bool,
    name: String,
    key_id: String,
    scope: String,
    role: String,
    board_ids: Vec<Uuid>,
    expires_at: Option<OffsetDateTime>,
    last_used_at: Option<OffsetDateTime>,
    created_by_user_id: Option<Uuid>,
    created_at: OffsetDateTime,
}

impl From<KeyRow> for ApiKey {
    fn from(row: KeyRow) -> Self {
        Self {
            id: row.id.to_string(),
            organization_id: row.organization_id.to_string(),
            name: row.name,
            kind: if row.service { "service" } else { "personal" }.to_owned(),
            user_id: row.user_id.to_string(),
            scope: row.scope,
            role: row.role,
            board_ids: row.board_ids.iter().map(Uuid::to_string).collect(),
            prefix: format!("{PREFIX}{}", row.key_id),
            key: None,
            expires_at: row.expires_at.map(timestamp),
            last_used_at: row.last_used_at.map(timestamp),
            created_by_user_id: row.created_by_user_id.map(|id| id.to_string()),
            created_at: Some(timestamp(row.created_at)),
        }
    }
}

macro_rules! select_keys {
    ($tail:tt $(+ $more:tt)* $(, $argument:expr)*) => {
        sqlx::query_as!(
            KeyRow,
            "SELECT k.id, m.organization_id, m.user_id, u.service, k.name, k.key_id, k.scope, k.role, k.board_ids, k.expires_at, \
                    k.last_used_at, k.created_by_user_id, k.created_at \
             FROM org.api_keys k JOIN org.members m ON m.id = k.member_id JOIN org.users u ON u.id = m.user_id " + $tail $(+ $more)*
            $(, $argument)*
        )
    };
}

/// A page of the keys of a person or an organization, by the column of the membership, the newest first.
macro_rules! list_keys {
    ($store:expr, $column:tt, $id:expr, $request:expr) => {{
        let page = Page::of($request.limit, $request.offset)?;
        let rows = select_keys!(
            "WHERE " + $column + " = $1 ORDER BY k.created_at DESC, k.id DESC LIMIT $2 OFFSET $3",
            $id,
            i64::from(page.limit),
            i64::from(page.offset)
        )
        .fetch_all($store.pool());
        let total = sqlx::query_scalar!(
            r#"SELECT count(*)::int AS "total!" FROM org.api_keys k JOIN org.members m ON m.id = k.member_id WHERE "#
                + $column
                + " = $1",
            $id
        )
        .fetch_one($store.pool());
        let (rows, total) = futures::try_join!(rows, total).map_err(Error::from)?;
        Ok(Response::new(ListApiKeysResponse {
            items: rows.into_iter().map(ApiKey::from).collect(),
            total,
            limit: page.limit,
            offset: page.offset,
        }))
    }};
}

/// What was asked for, checked.
struct Wanted {
    name: String,
    rights: KeyRights,
    expires_at: Option<OffsetDateTime>,
}

impl Wanted {
    fn of(
        name: &str,
        scope: Option<&str>,
        role: Option<&str>,
        board_ids: &[String],
        expires_at: Option<&prost_types::Timestamp>,
    ) -> Result<Self> {
        let name = match name.trim() {
            "" => return Err(Error::invalid("name", "name must not be blank.")),
            name => name.to_owned(),
        };
        let expires_at = expires_at.map(moment).transpose()?;
        if expires_at.is_some_and(|at| at <= OffsetDateTime::now_utc()) {
            return Err(Error::invalid("expires_at", "expires_at must be in the future."));
        }
        let boards = board_ids.iter().map(|id| uuid_of(id)).collect::<Result<_>>()?;
        Ok(Self {
            name,
            rights: KeyRights::sent(scope, role, boards)?,
            expires_at,
        })
    }

    /// Refuses boards that the organization does not have.
    async fn check_boards(&self, peers: &Peers, caller: &Caller, organization: Uuid) -> Result<()> {
        let access = rules::Access {
            boards: self.rights.boards.iter().map(|board| (*board, true, false)).collect(),
            ..rules::Access::default()
        };
        boards::check(peers, caller, organization, &access).await
    }
}

#[tonic::async_trait]
impl ApiKeyService for ApiKeys {
    async fn list_my_api_keys(
        &self,
        request: Request<ListMyApiKeysRequest>,
    ) -> Result<Response<ListApiKeysResponse>, Status> {
        let user = Caller::of(&request)?.user_id()?;
        list_keys!(self.store, "m.user_id", user, request.get_ref())
    }

    async fn create_my_api_key(&self, request: Request<CreateMyApiKeyRequest>) -> Result<Response<ApiKey>, Status> {
        let caller = Caller::of(&request)?;
        Ok(Response::new(self.create_personal(&caller, request.get_ref()).await?))
    }

    async fn revoke_my_api_key(&self, request: Request<RevokeMyApiKeyRequest>) -> Result<Response<Done>, Status> {
        let caller = Caller::of(&request)?;
        let (key, user) = (uuid_of(&request.get_ref().key_id)?, caller.user_id()?);
        let mut tx = self.store.begin().await?;
        let row = select_keys!("WHERE k.id = $1 AND m.user_id = $2 FOR UPDATE OF k", key, user)
            .fetch_optional(&mut *tx)
            .await
            .map_err(Error::from)?
            .ok_or_else(unknown)?;
        revoke(tx, &caller, row).await?;
        Ok(Response::new(Done { ok: true }))
    }

    async fn list_organization_api_keys(
        &self,
        request: Request<ListOrganizationApiKeysRequest>,
    ) -> Result<Response<ListApiKeysResponse>, Status> {
        let organization = Caller::of(&request)?.organization()?;
        list_keys!(self.store, "m.organization_id", organization, request.get_ref())
    }

    async fn create_organization_api_key(
        &self,
        request: Request<CreateOrganizationApiKeyRequest>,
    ) -> Result<Response<ApiKey>, Status> {
        let caller = Caller::of(&request)?;
        Ok(Response::new(self.create_service(&caller, request.get_ref()).await?))
    }

    async fn revoke_organization_api_key(
        &self,
        request: Request<RevokeOrganizationApiKeyRequest>,
    ) -> Result<Response<Done>, Status> {
        let caller = Caller::of(&request)?;
        let (key, organization) = (uuid_of(&request.get_ref().key_id)?, caller.organization()?);
        let mut tx = self.store.begin().await?;
        let actor = members::standing(&mut tx, organization, &caller).await?.actor;
        rules::check_admin(actor)?;
        let row = select_keys!(
            "WHERE k.id = $1 AND m.organization_id = $2 FOR UPDATE OF k",
            key,
            organization
        )
        .fetch_optional(&mut *tx)
        .await
        .map_err(Error::from)?
        .ok_or_else(unknown)?;
        revoke(tx, &caller, row).await?;
        Ok(Response::new(Done { ok: true }))
    }
}

impl ApiKeys {
    async fn create_personal(&self, caller: &Caller, request: &CreateMyApiKeyRequest) -> Result<ApiKey> {
        let (organization, user) = (caller.organization()?, caller.user_id()?);
        let wanted = Wanted::of(
            &request.name,
            request.scope.as_deref(),
            request.role.as_deref(),
            &request.board_ids,
            request.expires_at.as_ref(),
        )?;
        wanted.check_boards(&self.peers, caller, organization).await?;
        for board in &wanted.rights.boards {
            caller.may_read_board(organization, *board)?;
        }
        let mut tx = self.store.begin().await?;
        members::standing(&mut tx, organization, caller).await?;
        let member = sqlx::query_scalar!(
            "SELECT id FROM org.members WHERE organization_id = $1 AND user_id = $2",
            organization,
            user
        )
        .fetch_one(&mut *tx)
        .await?;
        store(tx, caller, organization, member, &wanted).await
    }

    async fn create_service(&self, caller: &Caller, request: &CreateOrganizationApiKeyRequest) -> Result<ApiKey> {
        let organization = caller.organization()?;
        let wanted = Wanted::of(
            &request.name,
            request.scope.as_deref(),
            request.role.as_deref(),
            &request.board_ids,
            request.expires_at.as_ref(),
        )?;
        wanted.check_boards(&self.peers, caller, organization).await?;
        let mut tx = self.store.begin().await?;
        rules::check_admin(members::standing(&mut tx, organization, caller).await?.actor)?;
        let (user, member) = (Uuid::now_v7(), Uuid::now_v7());
        sqlx::query!(
            "INSERT INTO org.users (id, subject, name, active_organization_id, service) VALUES ($1, $2, $3, $4, true)",
            user,
            format!("service:{user}"),
            wanted.name,
            organization
        )
        .execute(&mut *tx)
        .await?;
        let all = wanted.rights.boards.is_empty();
        sqlx::query!(
            "INSERT INTO org.members (id, organization_id, user_id, role, all_boards_read, all_boards_write) VALUES ($1, $2, $3, $4, $5, $6)",
            member,
            organization,
            user,
            wanted.rights.role.word(),
            all,
            all && wanted.rights.write
        )
        .execute(&mut *tx)
        .await?;
        let grants: Vec<Granted> = wanted
            .rights
            .boards
            .iter()
            .map(|board_id| Granted {
                board_id: *board_id,
                can_read: true,
                can_write: wanted.rights.write,
            })
            .collect();
        members::grant(&mut tx, member, &grants, false).await?;
        store(tx, caller, organization, member, &wanted).await
    }
}

/// Makes the key of a membership, and commits. The answer carries it in clear.
async fn store(mut tx: Tx, caller: &Caller, organization: Uuid, member: Uuid, wanted: &Wanted) -> Result<ApiKey> {
    let count = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM org.api_keys WHERE member_id = $1"#,
        member
    )
    .fetch_one(&mut *tx)
    .await?;
    if count >= MOST {
        return Err(Error::conflict(format!(
            "There are {MOST} keys already: revoke one that is not needed any more."
        )));
    }
    let key_id = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 12]>());
    let secret = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>());
    let id = Uuid::now_v7();
    sqlx::query!(
        "INSERT INTO org.api_keys (id, member_id, name, key_id, secret_hash, scope, role, board_ids, expires_at, created_by_user_id) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        id,
        member,
        wanted.name,
        key_id,
        hash(&secret),
        wanted.rights.scope(),
        wanted.rights.role.word(),
        &wanted.rights.boards,
        wanted.expires_at,
        caller.user_id()?
    )
    .execute(&mut *tx)
    .await?;
    let key: ApiKey = select_keys!("WHERE k.id = $1", id).fetch_one(&mut *tx).await?.into();
    let change = Change::new("api_key.created", organization)
        .message(format!("API key created: {}.", wanted.name))
        .after(&key);
    tx.record(caller, change).await?;
    tx.commit().await?;
    Ok(ApiKey {
        key: Some(format!("{PREFIX}{key_id}.{secret}")),
        ..key
    })
}

/// Ends a key, and the service account that has no other, and commits.
async fn revoke(mut tx: Tx, caller: &Caller, row: KeyRow) -> Result<()> {
    let (organization, user, service) = (row.organization_id, row.user_id, row.service);
    if service {
        sqlx::query!("DELETE FROM org.users WHERE id = $1 AND service", user)
            .execute(&mut *tx)
            .await?;
    } else {
        sqlx::query!("DELETE FROM org.api_keys WHERE id = $1", row.id)
            .execute(&mut *tx)
            .await?;
    }
    let key = ApiKey::from(row);
    let change = Change::new("api_key.revoked", organization)
        .message(format!("API key revoked: {}.", key.name))
        .before(&key);
    tx.record(caller, change).await?;
    tx.commit().await
}

/// The principal behind a key, cut down to what the key allows.
pub async fn verify(store: &Store, key: &str) -> Result<VerifyApiKeyResponse> {
    let refused = || Error::new(Kind::Unauthenticated, "Unauthorized");
    let (key_id, secret) = key
        .strip_prefix(PREFIX)
        .and_then(|rest| rest.split_once('.'))
        .ok_or_else(refused)?;
    let row = sqlx::query!(
        r#"SELECT k.id, k.secret_hash, k.scope, k.role AS highest, k.board_ids, k.expires_at, u.id AS user_id, u.name, u.email, u.subject,
                  u.preferred_name, m.id AS member_id, m.organization_id, m.role, m.all_boards_read, m.all_boards_write,
                  COALESCE((SELECT jsonb_agg(jsonb_build_object('board_id', g.board_id, 'can_read', g.can_read, 'can_write', g.can_write)
                                             ORDER BY g.board_id)
                            FROM org.board_grants g WHERE g.member_id = m.id), '[]') AS "grants!: Json<Vec<Granted>>",
                  (k.last_used_at IS NULL OR k.last_used_at < now() - interval '1 minute') AS "stale!"
           FROM org.api_keys k JOIN org.members m ON m.id = k.member_id JOIN org.users u ON u.id = m.user_id
           WHERE k.key_id = $1 AND (k.expires_at IS NULL OR k.expires_at > now())"#,
        key_id
    )
    .fetch_optional(store.pool())
    .await?
    .ok_or_else(refused)?;
    if !bool::from(row.secret_hash.ct_eq(&hash(secret))) {
        return Err(refused());
    }
    if row.stale {
        // Within the minute only: a key in steady use costs no write per request.
        sqlx::query!("UPDATE org.api_keys SET last_used_at = now() WHERE id = $1", row.id)
            .execute(store.pool())
            .await?;
    }
    let rights = KeyRights::stored(&row.scope, &row.highest, row.board_ids);
    let membership = Membership::from(Held {
        organization_id: row.organization_id,
        member_id: row.member_id,
        role: row.role,
        all_boards_read: row.all_boards_read,
        all_boards_write: row.all_boards_write,
        grants: row.grants.0,
    });
    Ok(VerifyApiKeyResponse {
        principal: Some(Principal {
            kind: PrincipalKind::User.into(),
            id: row.user_id.to_string(),
            name: rules::display_name(row.name.as_deref(), row.email.as_deref(), &row.subject).to_owned(),
            organization_id: row.organization_id.to_string(),
            memberships: vec![rights.cut(membership)],
            api_key_id: row.id.to_string(),
            read_only: !rights.write,
            preferred_name: row.preferred_name.unwrap_or_default(),
            ..Principal::default()
        }),
        expires_at: row.expires_at.map(timestamp),
    })
}

fn unknown() -> Error {
    Error::not_found("There is no such API key.")
}

fn hash(secret: &str) -> Vec<u8> {
    Sha256::digest(secret).to_vec()
}
