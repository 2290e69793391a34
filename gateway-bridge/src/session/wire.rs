//! A live connection: many requests at once on one socket.
//!
//! The reader never stops polling, because pings are only answered while the stream is polled and newer gateways cut
//! a connection that misses one pong.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::{
    SinkExt as _, StreamExt as _,
    stream::{SplitSink, SplitStream},
};
use parking_lot::Mutex;
use serde_json::{Value, value::RawValue};
use tokio::{
    sync::{Semaphore, broadcast, mpsc, oneshot},
    time::{Instant, timeout_at},
};
use tokio_tungstenite::tungstenite::Message;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::{
    connect::{Dialed, Hello, Socket},
    failure::{Failure, Kind},
    frame::{self, Incoming},
    profile::Profile,
    supervisor::SessionEvent,
    tls::Fingerprint,
};

/// Requests in flight on one socket. Gateways refuse work beyond some 256.
const MAX_IN_FLIGHT: usize = 32;
/// Longest time for handing one frame to the network.
const WRITE_DEADLINE: Duration = Duration::from_secs(20);
/// Requests waiting to be written.
const WRITE_QUEUE: usize = 64;
/// The gateway refuses larger frames by closing; we never come close to its own limit by accident.
const MAX_OUTGOING: usize = 25 << 20;

type Answer = Result<Option<Box<RawValue>>, Failure>;
/// `None` once the connection is closed, with nothing left waiting.
type Waiting = Mutex<Option<HashMap<String, oneshot::Sender<Answer>>>>;

/// A live connection.
pub(super) struct Connection {
    pub(super) hello: Hello,
    pub(super) profile: Profile,
    pub(super) fingerprint: Option<Fingerprint>,
    shared: Arc<Shared>,
    outgoing: mpsc::Sender<Message>,
    in_flight: Semaphore,
    next_id: AtomicU64,
    _tasks: (AbortOnDropHandle<()>, AbortOnDropHandle<()>),
}

struct Shared {
    waiting: Waiting,
    why: Mutex<Option<Failure>>,
    closed: CancellationToken,
}

impl Shared {
    /// Ends the connection once; everyone who waits hears why.
    fn close(&self, failure: Failure) {
        let mut why = self.why.lock();
        if why.is_some() {
            return;
        }
        let waiting = self.waiting.lock().take().unwrap_or_default();
        for (_, answer) in waiting {
            let _ = answer.send(Err(failure.clone()));
        }
        *why = Some(failure);
        drop(why);
        self.closed.cancel();
    }
}

/// Forgets a request whose caller went away.
struct Registered<'a> {
    shared: &'a Shared,
    id: &'a str,
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        if let Some(waiting) = self.shared.waiting.lock().as_mut() {
            waiting.remove(self.id);
        }
    }
}

impl Connection {
    pub(super) fn start(dialed: Dialed, events: broadcast::Sender<SessionEvent>) -> Self {
        let (outgoing, queue) = mpsc::channel(WRITE_QUEUE);
        let shared = Arc::new(Shared {
            waiting: Mutex::new(Some(HashMap::new())),
            why: Mutex::new(None),
            closed: CancellationToken::new(),
        });
        let (sink, stream) = dialed.socket.split();
        let reader = Reader {
            stream,
            shared: shared.clone(),
            events,
            patience: dialed.hello.tick_interval * 2,
            counted: dialed.hello.protocol >= 4,
        };
        let tasks = (
            AbortOnDropHandle::new(tokio::spawn(reader.run())),
            AbortOnDropHandle::new(tokio::spawn(write(sink, queue, shared.clone()))),
        );
        Self {
            hello: dialed.hello,
            profile: dialed.profile,
            fingerprint: dialed.fingerprint,
            shared,
            outgoing,
            in_flight: Semaphore::new(MAX_IN_FLIGHT),
            next_id: AtomicU64::new(1),
            _tasks: tasks,
        }
    }

    /// Resolves when the connection is gone.
    pub(super) async fn closed(&self) -> Failure {
        self.shared.closed.cancelled().await;
        self.failure()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.shared.closed.is_cancelled()
    }

    fn failure(&self) -> Failure {
        let why = self.shared.why.lock().clone();
        why.unwrap_or_else(|| Failure::new(Kind::ConnectionLost, "the connection is closed"))
    }

    /// Says goodbye; requests in flight end with [`Kind::Stopped`].
    pub(super) async fn close(&self) {
        let _ = timeout_at(
            Instant::now() + Duration::from_secs(1),
            self.outgoing.send(Message::Close(None)),
        )
        .await;
        let _ = timeout_at(Instant::now() + Duration::from_secs(1), self.shared.closed.cancelled()).await;
        self.shared
            .close(Failure::new(Kind::Stopped, "the session was stopped"));
    }

    /// Waits until nothing is in flight, or the deadline.
    pub(super) async fn drain(&self, until: Instant) {
        let everything = u32::try_from(MAX_IN_FLIGHT).unwrap_or(u32::MAX);
        let _ = timeout_at(until, self.in_flight.acquire_many(everything)).await;
    }

    /// One request and its answer.
    pub(super) async fn call(&self, method: &str, params: &Value, until: Instant) -> Answer {
        match timeout_at(until, self.call_unbounded(method, params)).await {
            Ok(answer) => answer,
            Err(_) => Err(Failure::new(
                Kind::Deadline,
                format!("{method} was not answered in time"),
            )),
        }
    }

    async fn call_unbounded(&self, method: &str, params: &Value) -> Answer {
        let Ok(_permit) = self.in_flight.acquire().await else {
            return Err(self.failure());
        };
        let id = self.next_id.fetch_add(1, Ordering::Relaxed).to_string();
        let text = frame::request(&id, method, params);
        let limit = self.hello.max_payload.min(MAX_OUTGOING);
        if text.len() > limit {
            let text = format!(
                "{method} needs a frame of {} bytes, the gateway takes {limit}",
                text.len()
            );
            return Err(Failure::new(Kind::TooLarge, text));
        }
        let (answer, answered) = oneshot::channel();
        match self.shared.waiting.lock().as_mut() {
            Some(waiting) => drop(waiting.insert(id.clone(), answer)),
            None => return Err(self.failure()),
        }
        let _registered = Registered {
            shared: &self.shared,
            id: &id,
        };
        if self.outgoing.send(Message::text(text)).await.is_err() {
            return Err(self.failure());
        }
        answered.await.unwrap_or_else(|_| Err(self.failure()))
    }
}

async fn write(mut sink: SplitSink<Socket, Message>, mut queue: mpsc::Receiver<Message>, shared: Arc<Shared>) {
    loop {
        let message = tokio::select! {
            message = queue.recv() => message,
            () = shared.closed.cancelled() => None,
        };
        let Some(message) = message else { return };
        match timeout_at(Instant::now() + WRITE_DEADLINE, sink.send(message)).await {
            Ok(Ok(())) => {}
            // The reader hears the reason of a close; give it the chance to say so first.
            Ok(Err(error)) => {
                let _ = timeout_at(Instant::now() + Duration::from_millis(200), shared.closed.cancelled()).await;
                return shared.close(Failure::new(Kind::ConnectionLost, error.to_string()));
            }
            Err(_) => {
                return shared.close(Failure::new(Kind::Silent, "the gateway does not read what we send"));
            }
        }
    }
}

struct Reader {
    stream: SplitStream<Socket>,
    shared: Arc<Shared>,
    events: broadcast::Sender<SessionEvent>,
    /// Longest silence: two ticks.
    patience: Duration,
    /// Whether sequence numbers have no gaps on a healthy connection (protocol 4).
    counted: bool,
}

impl Reader {
    async fn run(mut self) {
        let mut last_seq = None;
        let failure = loop {
            let message = tokio::select! {
                message = timeout_at(Instant::now() + self.patience, self.stream.next()) => message,
                () = self.shared.closed.cancelled() => return,
            };
            match message {
                Err(_) => {
                    break Failure::new(
                        Kind::Silent,
                        format!("nothing heard from the gateway for {:?}", self.patience),
                    );
                }
                Ok(None) => break Failure::new(Kind::ConnectionLost, "the connection ended without a close frame"),
                Ok(Some(Err(error))) => break Failure::new(Kind::ConnectionLost, error.to_string()),
                Ok(Some(Ok(Message::Close(close)))) => {
                    break close.map_or_else(
                        || Failure::new(Kind::ConnectionLost, "the gateway closed the connection"),
                        |close| Failure::from_close(close.code.into(), &close.reason),
                    );
                }
                Ok(Some(Ok(Message::Text(text)))) => self.take(text.as_str(), &mut last_seq),
                Ok(Some(Ok(Message::Binary(bytes)))) => {
                    if let Ok(text) = std::str::from_utf8(&bytes) {
                        self.take(text, &mut last_seq);
                    }
                }
                // Pings are answered by the stream itself.
                Ok(Some(Ok(_))) => {}
            }
        };
        self.shared.close(failure);
    }

    fn take(&self, text: &str, last_seq: &mut Option<u64>) {
        match frame::parse(text) {
            Some(Incoming::Response { id, result }) => {
                let waiting = self
                    .shared
                    .waiting
                    .lock()
                    .as_mut()
                    .and_then(|waiting| waiting.remove(&id));
                if let Some(answer) = waiting {
                    let _ = answer.send(result.map_err(|error| Failure::from_error(&error)));
                }
            }
            Some(Incoming::Event(event)) => {
                if let (true, Some(seq)) = (self.counted, event.seq) {
                    if last_seq.is_some_and(|last| seq != last + 1) {
                        let _ = self.events.send(SessionEvent::Gap);
                    }
                    *last_seq = Some(seq);
                }
                // Nobody listening is fine.
                let _ = self.events.send(SessionEvent::Event(Arc::new(event)));
            }
            Some(Incoming::Other) => {}
            None => tracing::debug!("the gateway sent text that is not a frame"),
        }
    }
}
