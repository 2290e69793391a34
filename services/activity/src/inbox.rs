//! What needs a person now, from the facts.

use std::{pin::Pin, time::Duration};

use async_stream::try_stream;
use chassis::{Caller, Error, Result, timestamp};
use futures::{Stream, StreamExt};
use proto::activity::v1::{
    GetInboxRequest, Inbox, InboxCount, InboxItem, InboxKind, inbox_service_server::InboxService,
};
use sqlx::PgConnection;
use time::OffsetDateTime;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::{
    State,
    feeds::Begin,
    view::{self, View},
};

/// Items of a kind, unless the request says otherwise.
const LIMIT: i32 = 50;
/// Changes that come within this time are told together.
const TOGETHER: Duration = Duration::from_millis(150);
/// How long a delivery that was given up is shown.
const REMEMBERED: &str = "7 days";

/// The service.
pub struct Inboxes(pub State);

/// What a caller gets to see.
#[derive(Clone)]
struct Desk {
    organization: Uuid,
    view: View,
    /// Owners and admins look after gateways and webhooks.
    admin: bool,
    /// Whose own requests do not wait for themselves.
    user: Uuid,
    limit: i64,
}

/// Items of one kind, the most pressing first, and how many there are.
type Pile = (InboxKind, Vec<InboxItem>, i32);

impl Desk {
    fn of(caller: &Caller, request: &GetInboxRequest) -> Result<Self> {
        let limit = request.limit.unwrap_or(LIMIT);
        if !(1..=200).contains(&limit) {
            return Err(Error::invalid("limit", "limit must be between 1 and 200."));
        }
        let view = View::of(caller, request.board_id.as_ref())?;
        Ok(Self {
            organization: view.organization,
            admin: view.unbound && view.board.is_none(),
            view,
            user: caller.user_id()?,
            limit: i64::from(limit),
        })
    }
}

#[tonic::async_trait]
impl InboxService for Inboxes {
    async fn get_inbox(&self, request: Request<GetInboxRequest>) -> Result<Response<Inbox>, Status> {
        let desk = Desk::of(&Caller::of(&request)?, request.get_ref())?;
        Ok(Response::new(self.inbox(&desk).await?))
    }

    type WatchInboxStream = Pin<Box<dyn Stream<Item = Result<Inbox, Status>> + Send>>;

    async fn watch_inbox(&self, request: Request<GetInboxRequest>) -> Result<Response<Self::WatchInboxStream>, Status> {
        let desk = Desk::of(&Caller::of(&request)?, request.get_ref())?;
        // Every change of the organization may matter: a gateway that comes back has no board.
        let all = View {
            organization: desk.organization,
            unbound: true,
            ..View::default()
        };
        let begin: Begin = self.0.feeds.begin(desk.organization, None, None).await?;
        let mut changes = self.0.feeds.watch(all, begin).await?;
        let inboxes = Self(self.0.clone());
        let stream = try_stream! {
            let mut shown = inboxes.inbox(&desk).await?;
            yield shown.clone();
            while let Some(change) = changes.next().await {
                if !matters(&change?.event_type) {
                    continue;
                }
                // What follows at once comes along; each change ends the wait anew, for a second at most.
                let until = tokio::time::Instant::now() + Duration::from_secs(1);
                while let Ok(Some(more)) = tokio::time::timeout(TOGETHER.min(until - tokio::time::Instant::now()), changes.next()).await {
                    more?;
                }
                let now = inboxes.inbox(&desk).await?;
                if (&now.items, now.total) != (&shown.items, shown.total) {
                    shown = now;
                    yield shown.clone();
                }
            }
        };
        Ok(Response::new(Box::pin(
            stream.map(|inbox: Result<_>| inbox.map_err(Status::from)),
        )))
    }
}

/// Whether a change of this kind can change an inbox.
fn matters(kind: &str) -> bool {
    let subject = kind.split('.').next().unwrap_or_default();
    matches!(subject, "approval" | "task" | "board" | "agent" | "gateway" | "webhook")
        && !matches!(kind, "agent.heartbeat" | "task.comment")
}

impl Inboxes {
    async fn inbox(&self, desk: &Desk) -> Result<Inbox> {
        let boards = view::boards(&self.0, &desk.view).await?;
        // One moment for all of it: what moves meanwhile is in one pile.
        let mut read = self.0.store.snapshot().await?;
        let mut piles: Vec<Pile> = vec![approvals(&mut read, desk, &boards).await?];
        if desk.admin {
            piles.push(gateways(&mut read, desk).await?);
        }
        piles.push(agents(&mut read, desk, &boards).await?);
        if desk.admin {
            piles.push(deliveries(&mut read, desk).await?);
        }
        piles.push(blocked(&mut read, desk, &boards).await?);
        read.commit().await?;
        let counts: Vec<InboxCount> = piles
            .iter()
            .filter(|(_, _, count)| *count > 0)
            .map(|(kind, _, count)| InboxCount {
                kind: (*kind).into(),
                count: *count,
            })
            .collect();
        Ok(Inbox {
            total: counts.iter().map(|count| count.count).sum(),
            items: piles.into_iter().flat_map(|(_, items, _)| items).collect(),
            counts,
            generated_at: Some(timestamp(OffsetDateTime::now_utc())),
        })
    }
}

/// Rows of a statement as items of one kind; each row has the number of all.
fn pile<R>(kind: InboxKind, rows: Vec<R>, count: fn(&R) -> i32, item: fn(R) -> InboxItem) -> Pile {
    let all = rows.first().map_or(0, count);
    (kind, rows.into_iter().map(item).collect(), all)
}

async fn approvals(read: &mut PgConnection, desk: &Desk, boards: &[Uuid]) -> Result<Pile> {
    let rows = sqlx::query!(
        "SELECT a.id, a.board_id, b.name AS board_name, a.task_id, a.task_title, a.action_type, a.requested_by_name, a.created_at, a.expires_at, \
           count(*) OVER ()::int AS \"count!\" \
         FROM activity.approvals a JOIN activity.boards b ON b.id = a.board_id \
         WHERE a.organization_id = $1 AND a.board_id = ANY($2) AND a.status = 'pending' AND NOT a.deleted \
           AND a.requested_by_user_id IS DISTINCT FROM $3 \
         ORDER BY a.expires_at NULLS LAST, a.created_at, a.id LIMIT $4",
        desk.organization,
        boards,
        desk.user,
        desk.limit
    )
    .fetch_all(read)
    .await?;
    Ok(pile(
        InboxKind::Approval,
        rows,
        |row| row.count,
        |row| {
            let who = row.requested_by_name.as_deref().unwrap_or("Somebody");
            InboxItem {
                kind: InboxKind::Approval.into(),
                id: format!("approval:{}", row.id),
                reason: match &row.task_title {
                    Some(title) => format!("{who} asks for a decision about {title}."),
                    None => format!("{who} asks for a decision."),
                },
                title: row.action_type,
                since: Some(timestamp(row.created_at)),
                due_at: row.expires_at.map(timestamp),
                remedy: Some("Approve or reject it.".to_owned()),
                board_id: Some(row.board_id.to_string()),
                board_name: Some(row.board_name),
                task_id: row.task_id.map(|id| id.to_string()),
                approval_id: Some(row.id.to_string()),
                ..InboxItem::default()
            }
        },
    ))
}

async fn gateways(read: &mut PgConnection, desk: &Desk) -> Result<Pile> {
    let rows = sqlx::query!(
        "SELECT id, name, phase, since, error, remedy, count(*) OVER ()::int AS \"count!\" FROM activity.gateways \
         WHERE organization_id = $1 AND NOT deleted AND phase IN ('pairing_required', 'refused', 'unreachable') \
         ORDER BY since, id LIMIT $2",
        desk.organization,
        desk.limit
    )
    .fetch_all(read)
    .await?;
    Ok(pile(
        InboxKind::Gateway,
        rows,
        |row| row.count,
        |row| InboxItem {
            kind: InboxKind::Gateway.into(),
            id: format!("gateway:{}", row.id),
            title: row.name,
            reason: row.error.unwrap_or_else(|| {
                match row.phase.as_str() {
                    "pairing_required" => "The gateway wants this device approved.",
                    "refused" => "The gateway refuses the connection.",
                    _ => "The gateway does not answer.",
                }
                .to_owned()
            }),
            since: Some(timestamp(row.since)),
            remedy: row.remedy,
            gateway_id: Some(row.id.to_string()),
            ..InboxItem::default()
        },
    ))
}

async fn agents(read: &mut PgConnection, desk: &Desk, boards: &[Uuid]) -> Result<Pile> {
    let rows = sqlx::query!(
        "SELECT a.id, a.name, a.board_id, b.name AS \"board_name?\", a.gateway_id, a.status, a.problem, \
           CASE WHEN a.problem IS NOT NULL THEN a.problem_since ELSE coalesce(a.last_seen_at, a.status_since) END AS \"since!\", \
           count(*) OVER ()::int AS \"count!\" \
         FROM activity.agents a LEFT JOIN activity.boards b ON b.id = a.board_id \
         WHERE a.organization_id = $1 AND NOT a.deleted AND (a.board_id = ANY($2) OR ($3 AND a.board_id IS NULL)) \
           AND (a.status = 'offline' OR (a.problem IS NOT NULL AND a.status <> 'deleting')) \
         ORDER BY (a.problem IS NOT NULL) DESC, 8, a.id LIMIT $4",
        desk.organization,
        boards,
        desk.admin,
        desk.limit
    )
    .fetch_all(read)
    .await?;
    Ok(pile(
        InboxKind::Agent,
        rows,
        |row| row.count,
        |row| InboxItem {
            kind: InboxKind::Agent.into(),
            id: format!("agent:{}", row.id),
            title: row.name,
            remedy: Some(
                if row.problem.is_some() {
                    "Look at its provisioning, and at its gateway."
                } else {
                    "Look at its gateway, or wake it."
                }
                .to_owned(),
            ),
            reason: row
                .problem
                .unwrap_or_else(|| "The agent has not been heard of for three of its heartbeats.".to_owned()),
            since: Some(timestamp(row.since)),
            board_id: row.board_id.map(|id| id.to_string()),
            board_name: row.board_name,
            agent_id: Some(row.id.to_string()),
            gateway_id: row.gateway_id.map(|id| id.to_string()),
            ..InboxItem::default()
        },
    ))
}

async fn deliveries(read: &mut PgConnection, desk: &Desk) -> Result<Pile> {
    let rows = sqlx::query!(
        "SELECT w.id, w.url, w.board_id, w.disabled_reason, w.updated_at, f.failed AS \"failed!\", f.since, f.last_error, \
           count(*) OVER ()::int AS \"count!\" \
         FROM activity.webhooks w CROSS JOIN LATERAL ( \
           SELECT count(*)::int AS failed, min(d.created_at) AS since, (array_agg(d.last_error ORDER BY d.created_at DESC))[1] AS last_error \
           FROM activity.deliveries d WHERE d.webhook_id = w.id AND d.status = 'failed' AND d.created_at > now() - $2::text::interval \
         ) f WHERE w.organization_id = $1 AND (f.failed > 0 OR (NOT w.enabled AND w.disabled_reason IS NOT NULL)) \
         ORDER BY f.since NULLS FIRST, w.id LIMIT $3",
        desk.organization,
        REMEMBERED,
        desk.limit
    )
    .fetch_all(read)
    .await?;
    Ok(pile(
        InboxKind::Delivery,
        rows,
        |row| row.count,
        |row| {
            let failed = match row.failed {
                0 => None,
                1 => Some("One delivery was given up".to_owned()),
                many => Some(format!("{many} deliveries were given up")),
            };
            let reason = match (row.disabled_reason, failed) {
                (Some(disabled), _) => format!("Switched off: {disabled}"),
                (None, Some(failed)) => match row.last_error {
                    Some(error) => format!("{failed}: {error}"),
                    None => format!("{failed}."),
                },
                (None, None) => "Deliveries fail.".to_owned(),
            };
            InboxItem {
                kind: InboxKind::Delivery.into(),
                id: format!("webhook:{}", row.id),
                title: row.url,
                reason,
                since: Some(timestamp(row.since.unwrap_or(row.updated_at))),
                remedy: Some("Mend the endpoint, then deliver again.".to_owned()),
                board_id: row.board_id.map(|id| id.to_string()),
                webhook_id: Some(row.id.to_string()),
                ..InboxItem::default()
            }
        },
    ))
}

async fn blocked(read: &mut PgConnection, desk: &Desk, boards: &[Uuid]) -> Result<Pile> {
    let rows = sqlx::query!(
        "SELECT t.id, t.title, t.board_id, b.name AS board_name, t.blocked_by, t.blocked_since AS \"blocked_since!\", \
           count(*) OVER ()::int AS \"count!\" \
         FROM activity.tasks t JOIN activity.boards b ON b.id = t.board_id \
         WHERE t.organization_id = $1 AND t.board_id = ANY($2) AND t.blocked_since IS NOT NULL AND NOT t.deleted AND t.status <> 'done' \
         ORDER BY t.blocked_since, t.id LIMIT $3",
        desk.organization,
        boards,
        desk.limit
    )
    .fetch_all(read)
    .await?;
    Ok(pile(
        InboxKind::BlockedTask,
        rows,
        |row| row.count,
        |row| InboxItem {
            kind: InboxKind::BlockedTask.into(),
            id: format!("task:{}", row.id),
            title: row.title,
            reason: match row.blocked_by {
                1 => "It waits for another task.".to_owned(),
                many => format!("It waits for {many} other tasks."),
            },
            since: Some(timestamp(row.blocked_since)),
            board_id: Some(row.board_id.to_string()),
            board_name: Some(row.board_name),
            task_id: Some(row.id.to_string()),
            ..InboxItem::default()
        },
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_changes_that_can_matter_are_looked_at() {
        for kind in [
            "approval.created",
            "task.updated",
            "agent.status_changed",
            "gateway.connection_changed",
            "webhook.disabled",
        ] {
            assert!(matters(kind), "{kind}");
        }
        for kind in ["agent.heartbeat", "task.comment", "tag.created", "user.updated"] {
            assert!(!matters(kind), "{kind}");
        }
    }
}
