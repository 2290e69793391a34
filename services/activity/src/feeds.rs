//! The log as live streams: in the order of its positions, from any of them on.
//!
//! One loop per process reads on in the logs that somebody watches whenever an event of theirs comes by, and hands what it reads to all
//! watchers. Events themselves come from several services in no common order; the log gives them one, so that a watcher that comes back
//! with the last position it saw misses nothing and gets nothing twice. While nothing happens nothing is asked.

use std::{
    collections::{HashMap, HashSet},
    pin::Pin,
    sync::{Arc, Weak},
    time::Duration,
};

use async_stream::try_stream;
use chassis::{
    Error, Result, Store,
    bus::{Bus, GAP},
    error::Kind,
    live::Start,
};
use futures::Stream;
use parking_lot::Mutex;
use sqlx::{Postgres, QueryBuilder};
use time::OffsetDateTime;
use tokio::{
    sync::{
        Notify,
        broadcast::{self, error::RecvError},
    },
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    log::{COLUMNS, Row},
    view::View,
};

/// Entries read at once.
const PAGE: i64 = 500;
/// Entries that a watcher may fall behind before it has to read them from the log itself.
const BUFFER: usize = 1024;
/// How long after an event went by the log may still be without it: another process may be about to write it.
const LATE: Duration = Duration::from_secs(60);
/// How often the log is looked at meanwhile.
const LOOK: Duration = Duration::from_millis(200);

/// The logs of all organizations. Clones share one loop.
#[derive(Clone)]
pub struct Feeds {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    bus: Arc<dyn Bus>,
    stop: CancellationToken,
    /// This process has written to the log, or somebody began to watch one.
    logged: Arc<Notify>,
    watched: Mutex<HashMap<Uuid, Weak<Watched>>>,
}

/// A log that somebody watches.
struct Watched {
    organization: Uuid,
    /// Position of the last entry handed on.
    last: Mutex<i64>,
    sender: broadcast::Sender<Arc<Row>>,
    /// Nobody has read on since the first watcher came.
    new: Mutex<bool>,
}

/// Where a watcher begins.
#[derive(Clone, Copy, Debug)]
pub enum Begin {
    /// After this position.
    After(i64),
    /// With the first entry of this time or later, after this position.
    Since(OffsetDateTime, i64),
}

impl Feeds {
    /// The logs in a store.
    pub fn new(store: Store, bus: Arc<dyn Bus>, stop: CancellationToken) -> Self {
        Self {
            inner: Arc::new(Inner {
                store,
                bus,
                stop,
                logged: Arc::default(),
                watched: Mutex::default(),
            }),
        }
    }

    /// To be told after every commit that wrote to a log.
    pub fn logged(&self) -> &Arc<Notify> {
        &self.inner.logged
    }

    /// Where a request begins: after its token, at its time, or now.
    pub async fn begin(&self, organization: Uuid, token: Option<&str>, since: Option<&str>) -> Result<Begin> {
        let head = sqlx::query_scalar!(
            "SELECT position FROM activity.heads WHERE organization_id = $1",
            organization
        )
        .fetch_optional(self.inner.store.pool())
        .await?
        .unwrap_or(0);
        if let Some(token) = token.filter(|token| !token.is_empty()) {
            let wrong = || {
                Error::invalid(
                    "resume_token",
                    "The resume token is not one of this stream: use the id of the last event, or leave it out.",
                )
            };
            let position: i64 = token.parse().map_err(|_| wrong())?;
            return match position {
                position if position < 0 => Err(wrong()),
                position if position > head => Err(Error::new(
                    Kind::Gone,
                    "The resume token is ahead of this stream: read the list again and watch without a token.",
                )),
                position => Ok(Begin::After(position)),
            };
        }
        Ok(match Start::of(since, None)? {
            Start::Since(at) => Begin::Since(at, 0),
            Start::Now | Start::After(_) => Begin::After(head),
        })
    }

    /// Entries that a view shows, in the order of the log, from `begin` on.
    pub async fn watch(
        &self,
        view: View,
        begin: Begin,
    ) -> Result<Pin<Box<dyn Stream<Item = Result<Arc<Row>>> + Send>>> {
        let watched = self.watched(view.organization).await?;
        let inner = self.inner.clone();
        // Subscribed before anything is read, and before this answers.
        let (mut live, mut known) = watched.subscribe();
        Ok(Box::pin(try_stream! {
            let (mut position, mut since) = match begin {
                Begin::After(position) => (position, None),
                Begin::Since(at, position) => (position, Some(at)),
            };
            loop {
                // What is handed on comes after `known`; everything up to it can be read.
                while position < known {
                    let rows = after(&inner.store, &view, position, Some(known), since).await?;
                    let full = rows.len() == usize::try_from(PAGE).unwrap_or(usize::MAX);
                    for row in rows {
                        position = row.position;
                        yield Arc::new(row);
                    }
                    if !full {
                        position = known;
                    }
                }
                since = None;
                let again = loop {
                    let next = tokio::select! {
                        biased;
                        () = inner.stop.cancelled() => break false,
                        next = live.recv() => next,
                    };
                    match next {
                        Ok(row) => {
                            if row.position > position {
                                position = row.position;
                                if view.shows(&row) {
                                    yield row;
                                }
                            }
                        }
                        Err(RecvError::Lagged(_)) => break true,
                        Err(RecvError::Closed) => break false,
                    }
                };
                if !again {
                    break;
                }
                (live, known) = watched.subscribe();
            }
        }))
    }

    async fn watched(&self, organization: Uuid) -> Result<Arc<Watched>> {
        if let Some(watched) = self.known(organization) {
            return Ok(watched);
        }
        let last = sqlx::query_scalar!(
            "SELECT position FROM activity.heads WHERE organization_id = $1",
            organization
        )
        .fetch_optional(self.inner.store.pool())
        .await?
        .unwrap_or(0);
        let mut all = self.inner.watched.lock();
        if let Some(watched) = all.get(&organization).and_then(Weak::upgrade) {
            return Ok(watched);
        }
        all.retain(|_, watched| watched.strong_count() > 0);
        let watched = Arc::new(Watched {
            organization,
            last: Mutex::new(last),
            sender: broadcast::Sender::new(BUFFER),
            new: Mutex::new(true),
        });
        all.insert(organization, Arc::downgrade(&watched));
        drop(all);
        // What was written since the position was read: the loop looks once.
        self.inner.logged.notify_one();
        Ok(watched)
    }

    fn known(&self, organization: Uuid) -> Option<Arc<Watched>> {
        self.inner.watched.lock().get(&organization).and_then(Weak::upgrade)
    }

    fn all(&self) -> Vec<Arc<Watched>> {
        self.inner.watched.lock().values().filter_map(Weak::upgrade).collect()
    }

    /// The loop.
    pub async fn run(self, stop: CancellationToken) -> Result<()> {
        let mut events = self.inner.bus.watch();
        let mut waiting = Waiting::default();
        loop {
            let pause = if waiting.is_empty() { LATE } else { LOOK };
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = self.inner.logged.notified() => {
                    for watched in self.all() {
                        if std::mem::take(&mut *watched.new.lock()) {
                            waiting.look(watched.organization);
                        }
                    }
                }
                event = events.recv() => match event {
                    Ok(event) if event.r#type == GAP => waiting.lost(&self.all()),
                    Err(RecvError::Lagged(_)) => waiting.lost(&self.all()),
                    Err(RecvError::Closed) => return Ok(()),
                    Ok(event) => {
                        if let (Ok(organization), Ok(id)) = (Uuid::parse_str(&event.organization_id), Uuid::parse_str(&event.id))
                            && self.known(organization).is_some()
                        {
                            waiting.event(organization, id);
                        }
                        // A burst is taken whole; this process tells when it has written it.
                        continue;
                    }
                },
                () = tokio::time::sleep(pause) => {}
            }
            waiting.expire();
            for organization in waiting.organizations() {
                let Some(watched) = self.known(organization) else {
                    waiting.done(organization);
                    continue;
                };
                match self.read_on(&watched, &mut waiting).await {
                    Ok(()) => {}
                    Err(error) => tracing::warn!(%organization, error = error.report(), "reading on in a log failed"),
                }
            }
        }
    }

    /// Hands on what is new in a log.
    async fn read_on(&self, watched: &Watched, waiting: &mut Waiting) -> Result<()> {
        let whole = View {
            organization: watched.organization,
            unbound: true,
            ..View::default()
        };
        loop {
            let last = *watched.last.lock();
            let rows = after(&self.inner.store, &whole, last, None, None).await?;
            let full = rows.len() == usize::try_from(PAGE).unwrap_or(usize::MAX);
            for row in rows {
                waiting.seen(watched.organization, row.id);
                watched.hand_on(Arc::new(row));
            }
            if !full {
                break;
            }
        }
        // Written before its event came by.
        let missing = waiting.missing(watched.organization);
        if !missing.is_empty() {
            let known = sqlx::query_scalar!("SELECT id FROM activity.events WHERE id = ANY($1)", &missing)
                .fetch_all(self.inner.store.pool())
                .await?;
            for id in known {
                waiting.seen(watched.organization, id);
            }
        }
        waiting.looked(watched.organization);
        Ok(())
    }
}

impl Watched {
    fn subscribe(&self) -> (broadcast::Receiver<Arc<Row>>, i64) {
        let last = self.last.lock();
        (self.sender.subscribe(), *last)
    }

    fn hand_on(&self, row: Arc<Row>) {
        let mut last = self.last.lock();
        *last = row.position;
        // Fails only when nobody listens just now.
        let _ = self.sender.send(row);
    }
}

/// Events that went by and are not in the log yet, by organization.
#[derive(Default)]
struct Waiting {
    organizations: HashMap<Uuid, Expected>,
}

struct Expected {
    events: HashSet<Uuid>,
    /// Until when it is looked at whatever is expected.
    anyway: Option<Instant>,
    /// A look is due.
    look: bool,
    until: Instant,
}

impl Waiting {
    fn entry(&mut self, organization: Uuid) -> &mut Expected {
        let until = Instant::now() + LATE;
        let expected = self.organizations.entry(organization).or_insert(Expected {
            events: HashSet::new(),
            anyway: None,
            look: false,
            until,
        });
        expected.until = until;
        expected
    }

    fn event(&mut self, organization: Uuid, id: Uuid) {
        self.entry(organization).events.insert(id);
    }

    fn look(&mut self, organization: Uuid) {
        self.entry(organization).look = true;
    }

    /// Events may have been lost: every log is looked at for a while.
    fn lost(&mut self, watched: &[Arc<Watched>]) {
        for watched in watched {
            self.entry(watched.organization).anyway = Some(Instant::now() + LATE);
        }
    }

    fn seen(&mut self, organization: Uuid, id: Uuid) {
        if let Some(expected) = self.organizations.get_mut(&organization) {
            expected.events.remove(&id);
        }
    }

    fn missing(&self, organization: Uuid) -> Vec<Uuid> {
        self.organizations
            .get(&organization)
            .map(|expected| expected.events.iter().copied().collect())
            .unwrap_or_default()
    }

    /// After a look: what has nothing to wait for any more is dropped.
    fn looked(&mut self, organization: Uuid) {
        if let Some(expected) = self.organizations.get_mut(&organization) {
            expected.look = false;
            if expected.events.is_empty() && expected.anyway.is_none_or(|until| until <= Instant::now()) {
                self.organizations.remove(&organization);
            }
        }
    }

    fn done(&mut self, organization: Uuid) {
        self.organizations.remove(&organization);
    }

    fn expire(&mut self) {
        let now = Instant::now();
        self.organizations.retain(|_, expected| {
            expected.until > now || expected.look || expected.anyway.is_some_and(|until| until > now)
        });
    }

    fn organizations(&self) -> Vec<Uuid> {
        self.organizations.keys().copied().collect()
    }

    fn is_empty(&self) -> bool {
        self.organizations.is_empty()
    }
}

/// Entries of a view after a position, in the order of the log.
async fn after(
    store: &Store,
    view: &View,
    position: i64,
    up_to: Option<i64>,
    since: Option<OffsetDateTime>,
) -> Result<Vec<Row>> {
    let mut query: QueryBuilder<Postgres> =
        QueryBuilder::new(format!("SELECT {COLUMNS} FROM activity.events e WHERE "));
    view.conditions(&mut query);
    query.push(" AND e.position > ").push_bind(position);
    if let Some(up_to) = up_to {
        query.push(" AND e.position <= ").push_bind(up_to);
    }
    if let Some(since) = since {
        query.push(" AND e.created_at >= ").push_bind(since);
    }
    query.push(" ORDER BY e.position LIMIT ").push_bind(PAGE);
    Ok(query.build_query_as::<Row>().fetch_all(store.pool()).await?)
}
