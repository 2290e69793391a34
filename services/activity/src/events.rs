//! Reading the log: lists and live feeds.

use std::{pin::Pin, time::Duration};

use chassis::{
    Caller, Error, Result,
    identity::optional_uuid,
    message::Page,
    unchanged::{self, Answer},
};
use futures::{Stream, StreamExt};
use proto::activity::v1::{
    ActivityEvent, ListActivityRequest, ListActivityResponse, WatchActivityRequest,
    activity_service_server::ActivityService,
};
use time::OffsetDateTime;
use tonic::{Request, Response, Status};

use crate::{
    State,
    feeds::Begin,
    log::{BRIEF, COLUMNS, Row},
    rules::Kinds,
    view::View,
};

/// Events that a watcher who asks for the last seconds gets at most.
const REPLAYED: i64 = 500;
/// How long a watcher that asks for no sign of life may hear nothing.
const NEVER: Duration = Duration::from_secs(365 * 86_400);

/// The service.
pub struct Activity(pub State);

/// Whether changes come at all: the bus brings them, and the log can be read.
async fn flows(state: &State) -> Result<()> {
    state.context.bus.health().await?;
    state.store.ping().await
}

type Streamed<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl ActivityService for Activity {
    async fn list_activity(
        &self,
        request: Request<ListActivityRequest>,
    ) -> Result<Response<ListActivityResponse>, Status> {
        let caller = Caller::of(&request)?;
        let mut request = request.into_inner();
        let page = Page::of(request.limit, request.offset)?;
        let mut view = View::of(&caller, request.board_id.as_ref())?;
        // With what else of the log the caller may see.
        let mut asked = unchanged::key(&request, view.organization, view.boards.as_deref());
        asked.push(u8::from(view.unbound));
        asked.extend_from_slice(view.agent.unwrap_or_default().as_bytes());
        request.event_types.extend(request.event_type);
        view.include = Kinds::of("event_types", &request.event_types)?;
        view.exclude = Kinds::of("exclude_types", &request.exclude_types)?;
        view.about_agent(optional_uuid(request.agent_id.as_ref())?)?;
        view.task = optional_uuid(request.task_id.as_ref())?;
        let mut connection = self.0.store.pool().acquire().await.map_err(Error::from)?;
        let look = self.0.pages.look(&mut connection, asked).await?;
        if let Some(known) = &look.known {
            return Ok(Response::new(known.message.clone()));
        }
        let columns = if request.with_changes == Some(true) {
            COLUMNS
        } else {
            BRIEF
        };
        let (mut total, mut rows) = (
            view.total(),
            view.page(&format!("SELECT {columns}"), page.limit, page.offset),
        );
        let total = total
            .build_query_scalar::<i64>()
            .fetch_one(&mut *connection)
            .await
            .map_err(Error::from)?;
        let rows = rows
            .build_query_as::<Row>()
            .fetch_all(&mut *connection)
            .await
            .map_err(Error::from)?;
        let answer = Answer {
            organization: view.organization,
            message: ListActivityResponse {
                items: rows.into_iter().map(Into::into).collect(),
                total: i32::try_from(total).unwrap_or(i32::MAX),
                limit: page.limit,
                offset: page.offset,
            },
        };
        let answer = self.0.pages.keep(&mut connection, look, answer).await?;
        Ok(Response::new(answer.message.clone()))
    }

    type WatchActivityStream = Streamed<ActivityEvent>;

    async fn watch_activity(
        &self,
        request: Request<WatchActivityRequest>,
    ) -> Result<Response<Self::WatchActivityStream>, Status> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let mut view = View::of(&caller, request.board_id.as_ref())?;
        view.include = Kinds::of("event_types", &request.event_types)?;
        view.exclude = Kinds::of("exclude_types", &request.exclude_types)?;
        view.about_agent(optional_uuid(request.agent_id.as_ref())?)?;
        view.task = optional_uuid(request.task_id.as_ref())?;
        let (token, since) = (request.resume_token.as_deref(), request.since.as_deref());
        let begin = match self.0.feeds.begin(view.organization, token, since).await? {
            Begin::After(head) if token.is_none_or(str::is_empty) => match request.replay_seconds {
                Some(seconds) if seconds > 0 => {
                    let ago = Duration::from_secs(seconds.unsigned_abs().into());
                    Begin::Since(OffsetDateTime::now_utc() - ago, (head - REPLAYED).max(0))
                }
                _ => Begin::After(head),
            },
            begin => begin,
        };
        let silence = request
            .keepalive_seconds
            .and_then(|seconds| u64::try_from(seconds).ok())
            .map_or(NEVER, Duration::from_secs);
        // Who asks for signs of life is not told that all is well while nothing can come.
        if silence != NEVER {
            flows(&self.0).await?;
        }
        let mut rows = self.0.feeds.watch(view, begin).await?;
        let state = self.0.clone();
        let events = async_stream::stream! {
            loop {
                match tokio::time::timeout(silence, rows.next()).await {
                    Ok(Some(row)) => yield row.map(|row| ActivityEvent::from(row.as_ref().clone())).map_err(Status::from),
                    Ok(None) => break,
                    Err(_) => match flows(&state).await {
                        Ok(()) => yield Ok(ActivityEvent::default()),
                        Err(error) => {
                            yield Err(Status::from(error));
                            break;
                        }
                    },
                }
            }
        };
        Ok(Response::new(Box::pin(events)))
    }
}
