//! The audit trail: the log once more, with everything it keeps, filtered, exported and checked.

mod export;
#[cfg(test)]
mod plans;
mod verify;

use std::pin::Pin;

use chassis::{Caller, Error, Result, identity::optional_uuid, moment, timestamp};
use futures::Stream;
use proto::{
    activity::v1::{
        AuditAnchor, AuditEntry, ExportAuditRequest, GetAuditAnchorRequest, ListAuditEntriesRequest,
        ListAuditEntriesResponse, VerifyAuditRequest, VerifyAuditResponse, audit_service_server::AuditService,
    },
    common::v1::Chunk,
};
use sqlx::{Postgres, QueryBuilder};
use time::OffsetDateTime;
use tonic::{Request, Response, Status};
use uuid::Uuid;

pub use verify::{Anchor, Finding, Report, anchors, organizations, verify};

use crate::{State, chain, rules::Kinds, view};

/// The service.
pub struct Audit(pub(crate) State);

const COLUMNS: &str = "e.id, e.organization_id, e.position, e.event_type, e.message, e.actor_type, e.actor_id, e.actor_name, e.agent_id, e.task_id, \
     e.board_id, e.gateway_id, e.target_type, e.target_id, e.request_id, e.before, e.after, e.created_at, e.hash";

/// An entry with everything that is kept of it.
#[derive(sqlx::FromRow)]
pub struct Row {
    pub id: Uuid,
    pub organization_id: Uuid,
    pub position: i64,
    pub event_type: String,
    pub message: String,
    pub actor_type: String,
    pub actor_id: String,
    pub actor_name: String,
    pub agent_id: Option<Uuid>,
    pub task_id: Option<Uuid>,
    pub board_id: Option<Uuid>,
    pub gateway_id: Option<Uuid>,
    pub target_type: String,
    pub target_id: Option<Uuid>,
    pub request_id: String,
    pub before: Option<String>,
    pub after: Option<String>,
    pub created_at: OffsetDateTime,
    pub hash: Option<Vec<u8>>,
}

impl Row {
    /// What the chain protects of it.
    fn sealed(&self) -> chain::Entry<'_> {
        chain::Entry {
            organization_id: self.organization_id,
            position: self.position,
            id: self.id,
            event_type: &self.event_type,
            message: &self.message,
            actor_type: &self.actor_type,
            actor_id: &self.actor_id,
            actor_name: &self.actor_name,
            agent_id: self.agent_id,
            task_id: self.task_id,
            board_id: self.board_id,
            gateway_id: self.gateway_id,
            target_type: &self.target_type,
            target_id: self.target_id,
            request_id: &self.request_id,
            before: self.before.as_deref(),
            after: self.after.as_deref(),
            created_at: self.created_at,
        }
    }
}

impl From<Row> for AuditEntry {
    fn from(row: Row) -> Self {
        let id = |id: Option<Uuid>| id.map(|id| id.to_string());
        Self {
            id: row.id.to_string(),
            position: row.position,
            created_at: Some(timestamp(row.created_at)),
            kind: row.event_type,
            message: row.message,
            actor_type: row.actor_type,
            actor_id: row.actor_id,
            actor_name: row.actor_name,
            target_type: row.target_type,
            target_id: id(row.target_id),
            board_id: id(row.board_id),
            task_id: id(row.task_id),
            agent_id: id(row.agent_id),
            gateway_id: id(row.gateway_id),
            request_id: row.request_id,
            before: row.before.map(String::into_bytes),
            after: row.after.map(String::into_bytes),
            hash: row.hash.as_deref().map(chain::hex),
        }
    }
}

/// Which entries are asked for.
#[derive(Clone, Default)]
struct Filter {
    organization: Uuid,
    actor: Option<String>,
    actor_type: Option<String>,
    include: Kinds,
    exclude: Kinds,
    target: Option<Uuid>,
    board: Option<Uuid>,
    request: Option<String>,
    since: Option<OffsetDateTime>,
    until: Option<OffsetDateTime>,
    text: Option<String>,
}

/// Both requests ask with the same fields.
macro_rules! filter {
    ($organization:expr, $request:expr) => {{
        let said = |text: &Option<String>| {
            text.as_deref()
                .map(str::trim)
                .filter(|text| !text.is_empty())
                .map(str::to_owned)
        };
        Filter {
            organization: $organization,
            actor: said(&$request.actor),
            actor_type: said(&$request.actor_type),
            include: Kinds::of("kinds", &$request.kinds)?,
            exclude: Kinds::of("exclude_kinds", &$request.exclude_kinds)?,
            target: optional_uuid($request.target_id.as_ref())?,
            board: optional_uuid($request.board_id.as_ref())?,
            request: said(&$request.request_id),
            since: $request.since.as_ref().map(moment).transpose()?,
            until: $request.until.as_ref().map(moment).transpose()?,
            text: said(&$request.text),
        }
    }};
}
use filter;

impl Filter {
    /// The entries `e` that match, up to where conditions on positions follow. `what` is how a statement begins, up to its columns.
    fn select(&self, what: &str) -> QueryBuilder<Postgres> {
        let mut query = QueryBuilder::new(format!("{what} FROM activity.events e WHERE e.organization_id = "));
        query.push_bind(self.organization);
        if let Some(actor) = &self.actor {
            query.push(" AND e.actor_id = ").push_bind(actor.clone());
        }
        if let Some(kind) = &self.actor_type {
            query.push(" AND e.actor_type = ").push_bind(kind.clone());
        }
        view::kinds(&mut query, &self.include, " AND (", ")");
        view::kinds(&mut query, &self.exclude, " AND NOT (", ")");
        if let Some(target) = self.target {
            query.push(" AND (e.target_id = ").push_bind(target);
            for column in ["task_id", "agent_id"] {
                query.push(format!(" OR e.{column} = ")).push_bind(target);
            }
            query.push(")");
        }
        if let Some(board) = self.board {
            query.push(" AND e.board_id = ").push_bind(board);
        }
        if let Some(request) = &self.request {
            query.push(" AND e.request_id = ").push_bind(request.clone());
        }
        if let Some(since) = self.since {
            query.push(" AND e.created_at >= ").push_bind(since);
        }
        if let Some(until) = self.until {
            query.push(" AND e.created_at < ").push_bind(until);
        }
        if let Some(text) = &self.text {
            let escaped = text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
            query.push(" AND e.message ILIKE ").push_bind(format!("%{escaped}%"));
        }
        query
    }

    /// The last `most` entries that match, of those before a position if there is one.
    fn page(&self, what: &str, before: Option<i64>, most: i64) -> QueryBuilder<Postgres> {
        let mut query = self.select(what);
        if let Some(before) = before {
            query.push(" AND e.position < ").push_bind(before);
        }
        query.push(" ORDER BY e.position DESC LIMIT ").push_bind(most);
        query
    }
}

#[tonic::async_trait]
impl AuditService for Audit {
    async fn list_audit_entries(
        &self,
        request: Request<ListAuditEntriesRequest>,
    ) -> Result<Response<ListAuditEntriesResponse>, Status> {
        let organization = Caller::of(&request)?.organization()?;
        let request = request.into_inner();
        Ok(Response::new(self.list(organization, &request).await?))
    }

    type ExportAuditStream = Pin<Box<dyn Stream<Item = Result<Chunk, Status>> + Send>>;

    async fn export_audit(
        &self,
        request: Request<ExportAuditRequest>,
    ) -> Result<Response<Self::ExportAuditStream>, Status> {
        let organization = Caller::of(&request)?.organization()?;
        let request = request.into_inner();
        Ok(Response::new(self.export(organization, &request)?))
    }

    async fn verify_audit(
        &self,
        request: Request<VerifyAuditRequest>,
    ) -> Result<Response<VerifyAuditResponse>, Status> {
        let organization = Caller::of(&request)?.organization()?;
        let request = request.into_inner();
        let after = request.after_position.unwrap_or(0);
        let limit = request.limit.unwrap_or(20_000);
        if after < 0 || !(1..=100_000).contains(&limit) {
            return Err(Error::invalid(
                "limit",
                "after_position must not be negative, limit between 1 and 100000.",
            )
            .into());
        }
        let found = verify(
            &self.0.store,
            &self.0.sealer,
            organization,
            after,
            Some(i64::from(limit)),
            &[],
        )
        .await?;
        Ok(Response::new(found.into()))
    }

    async fn get_audit_anchor(&self, request: Request<GetAuditAnchorRequest>) -> Result<Response<AuditAnchor>, Status> {
        let organization = Caller::of(&request)?.organization()?;
        let anchor = anchors(&self.0.store, Some(organization))
            .await?
            .pop()
            .ok_or_else(|| Error::not_found("The audit trail of this organization is empty."))?;
        Ok(Response::new(AuditAnchor {
            organization_id: anchor.organization_id.to_string(),
            position: anchor.position,
            hash: anchor.hash,
            signature: anchor.signature,
            at: Some(timestamp(anchor.at)),
        }))
    }
}

impl Audit {
    async fn list(&self, organization: Uuid, request: &ListAuditEntriesRequest) -> Result<ListAuditEntriesResponse> {
        let limit = request.limit.unwrap_or(50);
        if !(1..=200).contains(&limit) {
            return Err(Error::invalid("limit", "limit must be between 1 and 200."));
        }
        // One more than asked for: it tells whether there is a next page.
        let mut query = filter!(organization, request).page(
            &format!("SELECT {COLUMNS}"),
            request.before_position,
            i64::from(limit) + 1,
        );
        let pool = self.0.store.pool();
        let head = sqlx::query_scalar!(
            "SELECT position FROM activity.heads WHERE organization_id = $1",
            organization
        );
        let (mut rows, head) =
            futures::try_join!(query.build_query_as::<Row>().fetch_all(pool), head.fetch_optional(pool))?;
        let most = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = rows.len() > most;
        rows.truncate(most);
        Ok(ListAuditEntriesResponse {
            next_before: rows.last().filter(|_| more).map(|row| row.position),
            items: rows.into_iter().map(Into::into).collect(),
            entries: head.unwrap_or(0),
        })
    }
}
