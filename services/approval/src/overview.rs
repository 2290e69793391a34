//! Approvals of all boards at once: one list, one stream, and how many wait.

use std::{collections::BTreeMap, pin::Pin};

use async_stream::try_stream;
use chassis::{
    Caller, Error, Result,
    identity::{optional_uuid, uuid_of},
    live::{Start, now_position},
    message::Page,
};
use futures::{Stream, StreamExt};
use proto::{
    approval::v1::{
        AllApprovalsEvent, Approval, ApprovalStatus, BoardPending, ListAllApprovalsRequest, ListAllApprovalsResponse,
        WatchAllApprovalsRequest,
    },
    event::v1::Event,
};
use tonic::Status;
use uuid::Uuid;

use crate::{
    approvals::{Approvals, told},
    rows::{Row, select_approvals},
    rules,
};

/// How many wait, by board.
type Waiting = BTreeMap<Uuid, i32>;

impl Approvals {
    pub async fn list_all(
        &self,
        caller: &Caller,
        request: &ListAllApprovalsRequest,
    ) -> Result<ListAllApprovalsResponse> {
        let organization = caller.organization()?;
        let page = Page::of(request.limit, request.offset)?;
        let readable = caller.readable_boards()?;
        let boards = narrowed(readable.clone(), optional_uuid(request.board_id.as_ref())?)?;
        let status = match request.status() {
            ApprovalStatus::Unspecified => None,
            status => Some(rules::word(status)),
        };
        let (rows, total, waiting) = futures::try_join!(
            self.rows(organization, boards.as_deref(), status, page),
            self.total(organization, boards.as_deref(), status),
            self.waiting(organization, readable.as_deref()),
        )?;
        let mut mentioned: Vec<Uuid> = rows.iter().map(|row| row.board_id).collect();
        mentioned.sort_unstable();
        mentioned.dedup();
        let names = self.boards.names(caller, organization, &mentioned).await?;
        let items = rows.iter().map(|row| {
            let approval = Approval::from(row);
            Approval {
                board_name: names.get(&approval.board_id).cloned(),
                ..approval
            }
        });
        Ok(ListAllApprovalsResponse {
            items: items.collect(),
            total,
            limit: page.limit,
            offset: page.offset,
            pending: waiting.values().sum(),
            pending_by_board: by_board(&waiting),
        })
    }

    /// A page of approvals. Each way to ask has its own statement, so that each is read from its own index: of the organization or of some
    /// boards, of all states or of one.
    pub async fn rows(
        &self,
        organization: Uuid,
        boards: Option<&[Uuid]>,
        status: Option<&str>,
        page: Page,
    ) -> Result<Vec<Row>> {
        let (limit, offset) = (i64::from(page.limit), i64::from(page.offset));
        let pool = self.store.pool();
        Ok(match (boards, status) {
            (None, None) => {
                select_approvals!(
                    "approval.approvals a",
                    "WHERE a.organization_id = $1 ORDER BY a.created_at DESC, a.id DESC LIMIT $2 OFFSET $3",
                    organization,
                    limit,
                    offset
                )
                .fetch_all(pool)
                .await?
            }
            (None, Some(status)) => {
                select_approvals!(
                    "approval.approvals a",
                    "WHERE a.organization_id = $1 AND a.status = $2 ORDER BY a.created_at DESC, a.id DESC LIMIT $3 OFFSET $4",
                    organization,
                    status,
                    limit,
                    offset
                )
                .fetch_all(pool)
                .await?
            }
            (Some(boards), None) => {
                select_approvals!(
                    "unnest($2::uuid[]) AS wanted (board_id) CROSS JOIN LATERAL ( \
                       SELECT * FROM approval.approvals b WHERE b.board_id = wanted.board_id AND b.organization_id = $1 \
                       ORDER BY b.created_at DESC, b.id DESC LIMIT $3::bigint + $4::bigint) a",
                    "ORDER BY a.created_at DESC, a.id DESC LIMIT $3 OFFSET $4",
                    organization,
                    boards,
                    limit,
                    offset
                )
                .fetch_all(pool)
                .await?
            }
            (Some(boards), Some(status)) => {
                select_approvals!(
                    "unnest($2::uuid[]) AS wanted (board_id) CROSS JOIN LATERAL ( \
                       SELECT * FROM approval.approvals b WHERE b.board_id = wanted.board_id AND b.organization_id = $1 AND b.status = $3 \
                       ORDER BY b.created_at DESC, b.id DESC LIMIT $4::bigint + $5::bigint) a",
                    "ORDER BY a.created_at DESC, a.id DESC LIMIT $4 OFFSET $5",
                    organization,
                    boards,
                    status,
                    limit,
                    offset
                )
                .fetch_all(pool)
                .await?
            }
        })
    }

    async fn total(&self, organization: Uuid, boards: Option<&[Uuid]>, status: Option<&str>) -> Result<i32> {
        Ok(sqlx::query_scalar!(
            "SELECT count(*)::int AS \"total!\" FROM approval.approvals \
             WHERE organization_id = $1 AND ($2::uuid[] IS NULL OR board_id = ANY($2)) AND ($3::text IS NULL OR status = $3)",
            organization,
            boards as _,
            status
        )
        .fetch_one(self.store.pool())
        .await?)
    }

    async fn waiting(&self, organization: Uuid, boards: Option<&[Uuid]>) -> Result<Waiting> {
        let rows = sqlx::query!(
            "SELECT board_id, count(*)::int AS \"pending!\" FROM approval.approvals \
             WHERE organization_id = $1 AND status = 'pending' AND ($2::uuid[] IS NULL OR board_id = ANY($2)) GROUP BY board_id",
            organization,
            boards as _
        )
        .fetch_all(self.store.pool())
        .await?;
        Ok(rows.into_iter().map(|row| (row.board_id, row.pending)).collect())
    }

    pub async fn watch_all(
        &self,
        caller: &Caller,
        request: &WatchAllApprovalsRequest,
    ) -> Result<Pin<Box<dyn Stream<Item = Result<AllApprovalsEvent, Status>> + Send>>> {
        let organization = caller.organization()?;
        let boards = narrowed(caller.readable_boards()?, optional_uuid(request.board_id.as_ref())?)?;
        let resumed = Start::of(None, request.resume_token.as_deref())?;
        // The position before the counts: what changes between the two comes as an event.
        let position = now_position(&self.store).await?;
        let mut waiting = self.waiting(organization, boards.as_deref()).await?;
        let start = match resumed {
            Start::Now => Start::After(position),
            resumed => resumed,
        };
        let wanted = organization.to_string();
        let readable = move |event: &Event| {
            event.organization_id == wanted
                && event.r#type.starts_with("approval.")
                && boards
                    .as_ref()
                    .is_none_or(|boards| uuid_of(&event.board_id).is_ok_and(|board| boards.contains(&board)))
        };
        let events = self.feed.watch(start, readable);
        let stream = try_stream! {
            if resumed == Start::Now {
                yield counted(position.to_string(), &waiting);
            }
            let mut events = std::pin::pin!(events);
            while let Some(event) = events.next().await {
                let event = event?;
                let change = told(&event);
                if let Ok(board) = uuid_of(&event.board_id) {
                    waiting.insert(board, change.pending_approvals_count);
                }
                yield AllApprovalsEvent {
                    approval: change.approval,
                    deleted_approval_id: change.deleted_approval_id,
                    ..counted(change.id, &waiting)
                };
            }
        };
        Ok(Box::pin(stream.map(|event: Result<_>| event.map_err(Status::from))))
    }
}

/// The boards to look at: the readable ones (`None`: all), or the one that is asked for.
fn narrowed(readable: Option<Vec<Uuid>>, board: Option<Uuid>) -> Result<Option<Vec<Uuid>>> {
    let Some(board) = board else { return Ok(readable) };
    if readable.is_none_or(|readable| readable.contains(&board)) {
        return Ok(Some(vec![board]));
    }
    Err(Error::denied("Board access denied"))
}

fn counted(id: String, waiting: &Waiting) -> AllApprovalsEvent {
    AllApprovalsEvent {
        id,
        pending: waiting.values().sum(),
        pending_by_board: by_board(waiting),
        ..AllApprovalsEvent::default()
    }
}

fn by_board(waiting: &Waiting) -> Vec<BoardPending> {
    waiting
        .iter()
        .filter(|(_, pending)| **pending > 0)
        .map(|(board, pending)| BoardPending {
            board_id: board.to_string(),
            pending: *pending,
        })
        .collect()
}
