//! Reading the log: lists and live feeds.

use std::{collections::HashSet, pin::Pin, sync::Arc, time::Duration};

use async_stream::try_stream;
use chassis::{
    Caller, Error, Result,
    bus::GAP,
    error::Kind,
    identity::{optional_uuid, uuid_of},
    message::Page,
    moment, timestamp,
};
use futures::Stream;
use proto::{
    activity::v1::{
        ActivityEvent, ListActivityRequest, ListActivityResponse, RouteParams, WatchActivityRequest,
        activity_service_server::ActivityService,
    },
    event::v1::Event,
    identity::v1::PrincipalKind,
};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::{sync::broadcast::error::RecvError, time::Instant};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::{State, rules};

/// Events read at once when a feed catches up.
const CATCH_UP: i64 = 500;
/// How long after a loss of live events the log may still be without them.
const LATE: Duration = Duration::from_secs(60);
/// How often the log is looked at meanwhile.
const LOOK: Duration = Duration::from_millis(500);
/// How long a watcher that asks for no sign of life may hear nothing.
const NEVER: Duration = Duration::from_secs(365 * 86_400);
/// Events that a watcher remembers to have got, at least.
const REMEMBERED: usize = 5_000;
/// How long a resume token may be ahead of the log: it was pushed, and is about to be logged.
const TOKEN_PATIENCE: Duration = Duration::from_secs(3);

/// The service.
pub struct Activity(pub State);

/// Whose events a caller sees.
#[derive(Clone)]
struct View {
    organization: Uuid,
    /// `None`: all boards.
    boards: Option<Vec<Uuid>>,
    /// Events of the organization itself, without a board.
    unbound: bool,
    agent: Option<Uuid>,
    board: Option<Uuid>,
    event_type: Option<String>,
}

impl View {
    fn of(caller: &Caller, board: Option<&String>, event_type: Option<String>) -> Result<Self> {
        let organization = caller.organization()?;
        let board = optional_uuid(board)?;
        if caller.kind() == PrincipalKind::Agent {
            return Ok(Self {
                organization,
                boards: None,
                unbound: true,
                agent: caller.agent_id(),
                board,
                event_type,
            });
        }
        let boards = caller.readable_boards()?;
        if let (Some(board), Some(boards)) = (board, &boards)
            && !boards.contains(&board)
        {
            return Err(Error::denied("Board access denied"));
        }
        let role = caller
            .membership(organization)
            .map(|membership| membership.role.as_str());
        Ok(Self {
            organization,
            boards,
            unbound: matches!(role, Some("owner" | "admin")),
            agent: None,
            board,
            event_type,
        })
    }

    /// Whether nothing of the organization's log is left out.
    fn is_whole(&self) -> bool {
        self.boards.is_none()
            && self.unbound
            && self.agent.is_none()
            && self.board.is_none()
            && self.event_type.is_none()
    }

    fn shows(&self, event: &Event) -> bool {
        let board = Uuid::parse_str(&event.board_id).ok();
        event.organization_id == self.organization.to_string()
            && match board {
                Some(id) => self.boards.as_ref().is_none_or(|boards| boards.contains(&id)),
                None => self.unbound,
            }
            && self.board.is_none_or(|wanted| board == Some(wanted))
            && self.agent.is_none_or(|wanted| event.agent_id == wanted.to_string())
            && self.event_type.as_ref().is_none_or(|wanted| *wanted == event.r#type)
    }
}

struct Row {
    id: Uuid,
    position: i64,
    event_type: String,
    message: String,
    actor_type: String,
    actor_id: String,
    actor_name: String,
    agent_id: Option<Uuid>,
    task_id: Option<Uuid>,
    board_id: Option<Uuid>,
    request_id: String,
    before: Option<String>,
    after: Option<String>,
    created_at: OffsetDateTime,
}

impl From<Row> for ActivityEvent {
    fn from(row: Row) -> Self {
        let id = row.id.to_string();
        let (board, task) = (
            row.board_id.map(|id| id.to_string()),
            row.task_id.map(|id| id.to_string()),
        );
        let at = row.created_at.format(&Rfc3339).unwrap_or_default();
        let (name, values) = rules::route(&row.event_type, &id, board.as_deref(), task.as_deref(), &at);
        let text = |text: String| (!text.is_empty()).then_some(text);
        Self {
            resume_token: id.clone(),
            id,
            event_type: row.event_type,
            message: Some(row.message),
            agent_id: row.agent_id.map(|id| id.to_string()),
            task_id: task,
            board_id: board,
            route_name: Some(name.to_owned()),
            route_params: Some(RouteParams { values }),
            created_at: Some(timestamp(row.created_at)),
            actor_type: text(row.actor_type),
            actor_id: text(row.actor_id),
            actor_name: text(row.actor_name),
            request_id: text(row.request_id),
            before: row.before.map(String::into_bytes),
            after: row.after.map(String::into_bytes),
            position: row.position,
        }
    }
}

#[tonic::async_trait]
impl ActivityService for Activity {
    async fn list_activity(
        &self,
        request: Request<ListActivityRequest>,
    ) -> Result<Response<ListActivityResponse>, Status> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let page = Page::of(request.limit, request.offset)?;
        let view = View::of(&caller, request.board_id.as_ref(), request.event_type)?;
        let pool = self.0.store.pool();
        let total = async {
            // The whole log needs no counting: positions have no gaps.
            if view.is_whole() {
                let head = sqlx::query_scalar!(
                    "SELECT position FROM activity.heads WHERE organization_id = $1",
                    view.organization
                );
                return Ok(head.fetch_optional(pool).await?.unwrap_or(0));
            }
            sqlx::query_scalar!(
                "SELECT count(*) AS \"count!\" FROM activity.events WHERE organization_id = $1 \
                 AND (board_id = ANY($2) OR ($2::uuid[] IS NULL AND board_id IS NOT NULL) OR ($3 AND board_id IS NULL)) \
                 AND ($4::uuid IS NULL OR agent_id = $4) AND ($5::uuid IS NULL OR board_id = $5) AND ($6::text IS NULL OR event_type = $6)",
                view.organization,
                view.boards.as_deref(),
                view.unbound,
                view.agent,
                view.board,
                view.event_type,
            )
            .fetch_one(pool)
            .await
        };
        let rows = sqlx::query_as!(
            Row,
            "SELECT id, position, event_type, message, actor_type, actor_id, actor_name, agent_id, task_id, board_id, request_id, before, after, created_at \
             FROM activity.events WHERE organization_id = $1 \
             AND (board_id = ANY($2) OR ($2::uuid[] IS NULL AND board_id IS NOT NULL) OR ($3 AND board_id IS NULL)) \
             AND ($4::uuid IS NULL OR agent_id = $4) AND ($5::uuid IS NULL OR board_id = $5) AND ($6::text IS NULL OR event_type = $6) \
             ORDER BY created_at DESC, id DESC LIMIT $7 OFFSET $8",
            view.organization,
            view.boards.as_deref(),
            view.unbound,
            view.agent,
            view.board,
            view.event_type,
            i64::from(page.limit),
            i64::from(page.offset),
        );
        let (total, rows) = tokio::try_join!(total, rows.fetch_all(pool)).map_err(Error::from)?;
        Ok(Response::new(ListActivityResponse {
            items: rows.into_iter().map(Into::into).collect(),
            total: i32::try_from(total).unwrap_or(i32::MAX),
            limit: page.limit,
            offset: page.offset,
        }))
    }

    type WatchActivityStream = Pin<Box<dyn Stream<Item = Result<ActivityEvent, Status>> + Send>>;

    async fn watch_activity(
        &self,
        request: Request<WatchActivityRequest>,
    ) -> Result<Response<Self::WatchActivityStream>, Status> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let view = View::of(&caller, request.board_id.as_ref(), None)?;
        // Listening begins before the log is read, so that nothing falls between.
        let mut live = self.0.context.bus.watch();
        let mut from = self.start(&view, &request).await?;
        let silence = request
            .keepalive_seconds
            .and_then(|seconds| u64::try_from(seconds).ok())
            .map_or(NEVER, Duration::from_secs);
        let (state, stop) = (self.0.clone(), self.0.context.stop.clone());
        let stream = try_stream! {
            let mut seen = Seen::default();
            let mut catching_up = true;
            let mut log_only: Option<Instant> = None;
            loop {
                while catching_up {
                    let rows = after(&state, &view, from).await?;
                    catching_up = rows.len() == usize::try_from(CATCH_UP).unwrap_or(usize::MAX);
                    for row in rows {
                        from = Begin::Position(row.position);
                        if seen.first(row.id) {
                            yield ActivityEvent::from(row);
                        }
                    }
                }
                if log_only.is_some_and(|until| Instant::now() < until) {
                    tokio::select! {
                        () = stop.cancelled() => break,
                        () = tokio::time::sleep(LOOK) => catching_up = true,
                    }
                    continue;
                }
                let next = tokio::select! {
                    () = stop.cancelled() => break,
                    next = live.recv() => next,
                    () = tokio::time::sleep(silence) => {
                        yield ActivityEvent::default();
                        continue;
                    }
                };
                match next {
                    // Events were lost on the way: the log has them, or will. Until then it alone is followed, so that they come before
                    // what is newer, and a watcher that comes back later misses none.
                    Ok(event) if event.r#type == GAP => log_only = Some(Instant::now() + LATE),
                    Err(RecvError::Lagged(_)) => log_only = Some(Instant::now() + LATE),
                    Ok(event) => {
                        if view.shows(&event) && let Ok(id) = Uuid::parse_str(&event.id) && seen.first(id) {
                            yield of_event(&state, &event);
                        }
                        // What is forgotten next must not be read again.
                        catching_up = seen.is_full();
                    }
                    Err(RecvError::Closed) => break,
                }
            }
        };
        Ok(Response::new(Box::pin(stream)))
    }
}

/// Which events a watcher has already, by id: the last thousands, since an event comes live and is in the log soon after.
#[derive(Default)]
struct Seen {
    now: HashSet<Uuid>,
    before: HashSet<Uuid>,
}

impl Seen {
    /// Whether this is the first time.
    fn first(&mut self, id: Uuid) -> bool {
        if self.is_full() {
            self.before = std::mem::take(&mut self.now);
        }
        !self.before.contains(&id) && self.now.insert(id)
    }

    /// Whether the next one makes it forget the oldest.
    fn is_full(&self) -> bool {
        self.now.len() >= REMEMBERED
    }
}

/// Where a feed begins.
#[derive(Clone, Copy)]
enum Begin {
    Position(i64),
    /// From a time on, and after a position.
    Time(OffsetDateTime, i64),
}

impl Activity {
    async fn start(&self, view: &View, request: &WatchActivityRequest) -> Result<Begin> {
        if let Some(token) = request.resume_token.as_deref().filter(|token| !token.is_empty()) {
            let id = uuid_of(token)
                .map_err(|_| Error::invalid("resume_token", "The resume token is not one of this stream."))?;
            let deadline = Instant::now() + TOKEN_PATIENCE;
            loop {
                let position = sqlx::query_scalar!(
                    "SELECT position FROM activity.events WHERE id = $1 AND organization_id = $2",
                    id,
                    view.organization
                )
                .fetch_optional(self.0.store.pool())
                .await?;
                match position {
                    Some(position) => return Ok(Begin::Position(position)),
                    None if Instant::now() < deadline => tokio::time::sleep(Duration::from_millis(50)).await,
                    None => {
                        return Err(Error::new(
                            Kind::Gone,
                            "The resume token is too old or unknown: read the list again and watch without a token.",
                        ));
                    }
                }
            }
        }
        let since = request.since.as_deref();
        if let Some(at) = since.and_then(|since| OffsetDateTime::parse(since, &Rfc3339).ok()) {
            return Ok(Begin::Time(at, 0));
        }
        let head = sqlx::query_scalar!(
            "SELECT position FROM activity.heads WHERE organization_id = $1",
            view.organization
        )
        .fetch_optional(self.0.store.pool())
        .await?
        .unwrap_or(0);
        Ok(match request.replay_seconds {
            Some(seconds) if seconds > 0 => {
                let at = OffsetDateTime::now_utc() - Duration::from_secs(seconds.unsigned_abs().into());
                Begin::Time(at, (head - CATCH_UP).max(0))
            }
            _ => Begin::Position(head),
        })
    }
}

async fn after(state: &State, view: &View, from: Begin) -> Result<Vec<Row>> {
    let (position, since) = match from {
        Begin::Position(position) => (position, None),
        Begin::Time(at, position) => (position, Some(at)),
    };
    Ok(sqlx::query_as!(
        Row,
        "SELECT id, position, event_type, message, actor_type, actor_id, actor_name, agent_id, task_id, board_id, request_id, before, after, created_at \
         FROM activity.events WHERE organization_id = $1 AND position > $2 AND ($3::timestamptz IS NULL OR created_at >= $3) \
         AND (board_id = ANY($4) OR ($4::uuid[] IS NULL AND board_id IS NOT NULL) OR ($5 AND board_id IS NULL)) AND ($6::uuid IS NULL OR board_id = $6) \
         ORDER BY position LIMIT $7",
        view.organization,
        position,
        since,
        view.boards.as_deref(),
        view.unbound,
        view.board,
        CATCH_UP,
    )
    .fetch_all(state.store.pool())
    .await?)
}

/// An event that is still on its way into the log.
fn of_event(state: &State, event: &Arc<Event>) -> ActivityEvent {
    let id = |text: &str| Uuid::parse_str(text).ok();
    let json = |any: Option<&prost_types::Any>| crate::consumers::json(&state.context.catalog, any);
    let actor = event.actor.clone().unwrap_or_default();
    Row {
        id: id(&event.id).unwrap_or_default(),
        position: 0,
        event_type: event.r#type.clone(),
        message: event.message.clone(),
        actor_type: actor.kind,
        actor_id: actor.id,
        actor_name: actor.name,
        agent_id: id(&event.agent_id),
        task_id: id(&event.task_id),
        board_id: id(&event.board_id),
        request_id: event.request_id.clone(),
        before: json(event.before.as_ref()),
        after: json(event.after.as_ref()),
        created_at: event
            .time
            .as_ref()
            .and_then(|at| moment(at).ok())
            .unwrap_or_else(OffsetDateTime::now_utc),
    }
    .into()
}
