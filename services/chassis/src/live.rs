//! Live views: the change log of a service as a stream that can be resumed.
//!
//! A [`Feed`] first reads what its watcher missed from the change log and then goes on with what the bus brings. Positions have no gaps, so
//! that the feed knows whether it has everything: what is missing is read from the log, what comes twice is dropped. While nothing
//! happens nothing is asked.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::Duration,
};

use futures::Stream;
use parking_lot::Mutex;
use proto::event::v1::Event;
use time::{Date, OffsetDateTime, PrimitiveDateTime, format_description::well_known::Iso8601};
use tokio::{
    sync::{OnceCell, broadcast::error::RecvError, mpsc},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use crate::{
    Error, Result,
    bus::{Bus, GAP},
    error::Kind,
    relay::stored,
    role::backoff,
    store::Store,
};

/// Events read from the log at once.
const PAGE: i64 = 256;
/// Events that a watcher may fall behind before it has to read them from the log.
const BUFFER: usize = 1024;

/// Where a watcher begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Start {
    /// With the next event.
    Now,
    /// With the first event of this time or later that is still kept.
    Since(OffsetDateTime),
    /// With the event after this position.
    After(i64),
}

impl Start {
    /// The beginning that a request asks for. A resume token wins over `since`. `since` is an ISO 8601 time (UTC when it names no offset, midnight
    /// when it is a day); one that cannot be read means now. Invalid: the token is not one.
    pub fn of(since: Option<&str>, resume_token: Option<&str>) -> Result<Self> {
        if let Some(token) = resume_token.filter(|token| !token.is_empty()) {
            return match token.parse() {
                Ok(position) if position >= 0 => Ok(Self::After(position)),
                _ => Err(Error::invalid(
                    "resume_token",
                    "The resume token is not one of this stream: use the id of the last event, or leave it out.",
                )),
            };
        }
        Ok(since.and_then(parse_time).map_or(Self::Now, Self::Since))
    }
}

fn parse_time(text: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(text, &Iso8601::DEFAULT)
        .or_else(|_| PrimitiveDateTime::parse(text, &Iso8601::DEFAULT).map(PrimitiveDateTime::assume_utc))
        .or_else(|_| Date::parse(text, &Iso8601::DEFAULT).map(|day| day.midnight().assume_utc()))
        .ok()
}

/// Position of the newest event that has one: a watcher that begins after it misses nothing of what a later read does not show.
pub async fn now_position(store: &Store) -> Result<i64> {
    Ok(sqlx::query_scalar("SELECT coalesce(max(position), 0) FROM change_log")
        .fetch_one(store.pool())
        .await?)
}

/// The change log of one service, for any number of watchers. Clones share one hub: create one per service and process.
#[derive(Clone)]
pub struct Feed {
    inner: Arc<Inner>,
    stop: CancellationToken,
}

struct Inner {
    store: Store,
    bus: Arc<dyn Bus>,
    hub: OnceCell<Hub>,
}

impl Feed {
    /// The events that `store`'s service records.
    pub fn new(store: Store, bus: Arc<dyn Bus>) -> Self {
        Self {
            inner: Arc::new(Inner {
                store,
                bus,
                hub: OnceCell::new(),
            }),
            stop: CancellationToken::new(),
        }
    }

    /// Ends every watch with `stop`, so that a server can drain.
    #[must_use]
    pub fn until(mut self, stop: CancellationToken) -> Self {
        self.stop = stop;
        self
    }

    /// The events from `start` on that `filter` lets pass, in order, each once. An event's resume token is its position. Errors end the
    /// stream: Gone when `start` is a position whose successors are not kept any more, Unavailable when the database is away.
    pub fn watch<F>(&self, start: Start, filter: F) -> impl Stream<Item = Result<Arc<Event>>> + Send + 'static
    where
        F: Fn(&Event) -> bool + Send + Sync + 'static,
    {
        let (inner, stop) = (self.inner.clone(), self.stop.clone());
        let filter: Filter = Arc::new(filter);
        async_stream::try_stream! {
            let hub = inner.hub.get_or_try_init(|| Hub::start(&inner.store, &inner.bus)).await?;
            let schema = inner.store.schema();
            let mut last = None;
            loop {
                // Subscribed before reading: what is not read comes here.
                let mut watcher = hub.shared.subscribe(filter.clone());
                let _gauge = Watching::new(schema);
                let mut after = match (last, start) {
                    (Some(position), _) => position,
                    (None, Start::Now) => watcher.from,
                    (None, Start::After(position)) => {
                        still_kept(&inner.store, position).await?;
                        position
                    }
                    (None, Start::Since(time)) => position_before(&inner.store, time).await?,
                };
                // The hub passes on what comes after `from`; everything up to it is committed and can be read.
                while after < watcher.from {
                    let page = page(&inner.store, after, Some(watcher.from)).await?;
                    let Some(newest) = page.last().map(|event| event.position) else { break };
                    for event in page {
                        if since(start, &event) && filter(&event) {
                            yield Arc::new(event);
                        }
                    }
                    after = newest;
                }
                last = Some(after.max(watcher.from));
                loop {
                    let event = tokio::select! {
                        biased;
                        () = stop.cancelled() => return,
                        event = watcher.events.recv() => event,
                    };
                    // None: this watcher fell behind and reads the rest from the log.
                    let Some(event) = event else { break };
                    if Some(event.position) > last {
                        last = Some(event.position);
                        yield event;
                    }
                }
            }
        }
    }
}

fn since(start: Start, event: &Event) -> bool {
    match (start, &event.time) {
        (Start::Since(since), Some(time)) => crate::moment(time).is_ok_and(|time| time >= since),
        _ => true,
    }
}

/// Refuses a position when an event after it has been pruned.
async fn still_kept(store: &Store, position: i64) -> Result<()> {
    let (oldest, newest): (Option<i64>, Option<i64>) =
        sqlx::query_as("SELECT (SELECT min(position) FROM change_log), (SELECT max(position) FROM change_log)")
            .fetch_one(store.pool())
            .await?;
    if position > newest.unwrap_or(0) {
        return Err(Error::invalid(
            "resume_token",
            "The resume token is ahead of this stream: load the list again and watch without a token.",
        ));
    }
    if oldest.is_some_and(|oldest| position + 1 < oldest) {
        return Err(Error::new(
            Kind::Gone,
            "The resume token is too old: load the list again and watch without a token.",
        ));
    }
    Ok(())
}

/// The position to read on from for events of this time or later. A row carries the time its transaction began, which may be earlier than
/// the event's, and positions follow commits: with transactions shorter than a minute, nothing that is wanted has a smaller position than
/// the rows of the first minute. A minute of rows is read and looked at for nothing.
async fn position_before(store: &Store, time: OffsetDateTime) -> Result<i64> {
    let statement = "WITH first AS (SELECT created_at AS at FROM change_log WHERE created_at >= $1 - interval '1 minute' ORDER BY created_at LIMIT 1), \
           near AS MATERIALIZED (SELECT position FROM change_log, first WHERE created_at BETWEEN first.at AND first.at + interval '1 minute') \
         SELECT coalesce((SELECT min(position) - 1 FROM near), (SELECT max(position) FROM change_log), 0)";
    Ok(sqlx::query_scalar(statement).bind(time).fetch_one(store.pool()).await?)
}

/// Events after a position, up to another one (included), as many as [`PAGE`].
async fn page(store: &Store, after: i64, up_to: Option<i64>) -> Result<Vec<Event>> {
    let rows = sqlx::query(
        "SELECT position, event FROM change_log WHERE position > $1 AND position <= $2 ORDER BY position LIMIT $3",
    )
    .bind(after)
    .bind(up_to.unwrap_or(i64::MAX))
    .bind(PAGE)
    .fetch_all(store.pool())
    .await?;
    rows.iter().map(|row| stored(store.schema(), row)).collect()
}

type Filter = Arc<dyn Fn(&Event) -> bool + Send + Sync>;

/// Brings a service's events in order, without gaps and repetitions, to the watchers of this process.
struct Hub {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Position of the last event passed on.
    last: i64,
    next_id: u64,
    watchers: HashMap<u64, Entry>,
}

struct Entry {
    filter: Filter,
    sender: mpsc::Sender<Arc<Event>>,
}

struct Watcher {
    /// Everything after this position comes in `events`.
    from: i64,
    events: mpsc::Receiver<Arc<Event>>,
    id: u64,
    shared: Weak<Shared>,
}

impl Drop for Watcher {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.upgrade() {
            shared.state.lock().watchers.remove(&self.id);
        }
    }
}

/// Counts watchers.
struct Watching(&'static str);

impl Watching {
    fn new(schema: &'static str) -> Self {
        metrics::gauge!("mc_live_watchers", "schema" => schema).increment(1.0);
        Self(schema)
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        metrics::gauge!("mc_live_watchers", "schema" => self.0).decrement(1.0);
    }
}

impl Shared {
    fn subscribe(self: &Arc<Self>, filter: Filter) -> Watcher {
        let (sender, events) = mpsc::channel(BUFFER);
        let mut state = self.state.lock();
        let id = state.next_id;
        state.next_id += 1;
        state.watchers.insert(id, Entry { filter, sender });
        Watcher {
            from: state.last,
            events,
            id,
            shared: Arc::downgrade(self),
        }
    }

    fn last(&self) -> i64 {
        self.state.lock().last
    }

    fn pass_on(&self, event: &Arc<Event>) {
        let mut state = self.state.lock();
        state.last = event.position;
        // A watcher whose buffer is full loses its place: it ends what is there and reads on from the log.
        state
            .watchers
            .retain(|_, entry| !(entry.filter)(event) || entry.sender.try_send(event.clone()).is_ok());
    }
}

impl Hub {
    async fn start(store: &Store, bus: &Arc<dyn Bus>) -> Result<Self> {
        let mut events = bus.watch();
        let shared = Arc::new(Shared::default());
        shared.state.lock().last = now_position(store).await?;
        let (store, own) = (store.clone(), shared.clone());
        let task = tokio::spawn(async move {
            loop {
                match events.recv().await {
                    Ok(event) if event.source == store.schema() => {
                        let last = own.last();
                        if event.position == last + 1 {
                            own.pass_on(&event);
                        } else if event.position > last {
                            catch_up(&store, &own, Some(event.position)).await;
                            if event.position > own.last() {
                                // Its row is gone (a log that was cut by hand): go on from here.
                                own.pass_on(&event);
                            }
                        }
                    }
                    Ok(event) if event.r#type == GAP => catch_up(&store, &own, None).await,
                    Ok(_) => {}
                    Err(RecvError::Lagged(missed)) => {
                        tracing::info!(
                            schema = store.schema(),
                            missed,
                            "live events missed: reading them from the log"
                        );
                        catch_up(&store, &own, None).await;
                    }
                    Err(RecvError::Closed) => return,
                }
            }
        });
        Ok(Self { shared, task })
    }
}

/// Passes on what the bus did not bring, up to a position or all there is. Tries until it is done.
async fn catch_up(store: &Store, shared: &Shared, up_to: Option<i64>) {
    let mut failures = 0;
    loop {
        match page(store, shared.last(), up_to).await {
            Ok(events) if events.is_empty() => return,
            Ok(events) => {
                failures = 0;
                for event in events {
                    shared.pass_on(&Arc::new(event));
                }
            }
            Err(error) => {
                failures += 1;
                tracing::warn!(
                    schema = store.schema(),
                    error = error.report(),
                    failures,
                    "reading missed live events failed"
                );
                tokio::time::sleep(backoff(failures, Duration::from_millis(100), Duration::from_secs(5))).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn starts_where_the_request_says() {
        let cases = [
            (None, None, Start::Now),
            (Some("yesterday"), None, Start::Now),
            (Some(""), None, Start::Now),
            (
                Some("2026-11-22T10:00:00Z"),
                None,
                Start::Since(datetime!(2026-11-22 10:00 UTC)),
            ),
            (
                Some("2026-11-22T10:00:00.5+02:00"),
                None,
                Start::Since(datetime!(2026-11-22 8:00:00.5 UTC)),
            ),
            (
                Some("2026-11-22T10:00:00"),
                None,
                Start::Since(datetime!(2026-11-22 10:00 UTC)),
            ),
            (Some("2026-11-22"), None, Start::Since(datetime!(2026-11-22 0:00 UTC))),
            (Some("2026-11-22T10:00:00Z"), Some("17"), Start::After(17)),
            (None, Some("0"), Start::After(0)),
            (None, Some(""), Start::Now),
        ];
        for (since, token, expected) in cases {
            assert_eq!(
                Start::of(since, token).expect("starts"),
                expected,
                "{since:?} {token:?}"
            );
        }
        for token in ["x", "-1", "1.5"] {
            let error = Start::of(None, Some(token)).expect_err("refuses");
            assert_eq!(error.kind(), Kind::Invalid, "{token}");
        }
    }
}
