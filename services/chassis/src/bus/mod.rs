//! The bus: how events leave a service and reach the others, and how queued work is handed out.
//!
//! One trait, two implementations that pass the same tests: [`memory`] inside one process and [`rabbit`] over RabbitMQ. Events come from
//! the outbox by the relay; a consumer's effect and its inbox row are one transaction, so that a redelivered event has no second effect.

use std::{panic::AssertUnwindSafe, sync::Arc};

use async_trait::async_trait;
use futures::{FutureExt, future::BoxFuture};
use proto::event::v1::Event;
use tokio::sync::{Notify, broadcast};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    Result,
    store::{Store, Tx},
};

mod consume;
pub mod memory;
pub mod parked;
pub mod rabbit;

pub use consume::Policy;

/// Events a live watcher may fall behind before it is told that it missed some.
const LIVE_BUFFER: usize = 4096;

/// Type of the event that a bus sends to its live watchers when some may have been lost (a connection was down). It carries nothing else
/// and comes from no service.
pub const GAP: &str = "bus.gap";

/// Carries events and work between services.
pub trait Bus: Send + Sync + 'static {
    /// Hands events to every durable consumer whose topics match, and to every live watcher. Answers when all of it is safe: over
    /// RabbitMQ confirmed by the broker, in process when the consumers' transactions are committed. An error means that the batch has to
    /// be published again; consumers tell repetitions by the event id.
    fn publish<'a>(&'a self, events: &'a [Event]) -> BoxFuture<'a, Result<()>>;

    /// Makes a consumer known before it runs, so that nothing published meanwhile passes it by. Done for every consumer when its role is
    /// built.
    fn declare(&self, consumer: &Consumer) {
        let _ = consumer;
    }

    /// Puts a piece of work on a queue. Work is a hint: its truth is a row that is claimed, so that a lost or doubled hint is harmless.
    fn enqueue<'a>(&'a self, job: &'a Job) -> BoxFuture<'a, Result<()>>;

    /// Runs a consumer of events until `stop`. Never returns earlier: connection loss is its own business.
    fn consume(&self, consumer: Consumer, stop: CancellationToken) -> BoxFuture<'static, ()>;

    /// Runs a worker of a queue until `stop`.
    fn work(&self, worker: Worker, stop: CancellationToken) -> BoxFuture<'static, ()>;

    /// Every event that passes, for live views of this process. A receiver that falls behind is told how many it missed; one that may have
    /// missed some because the bus was away gets a [`GAP`].
    fn watch(&self) -> broadcast::Receiver<Arc<Event>>;

    /// Tells the relay of a schema, in whichever process it runs, that there is something to relay. A hint: it may get lost.
    fn wake<'a>(&'a self, schema: &'a str) -> BoxFuture<'a, ()> {
        let _ = schema;
        Box::pin(async {})
    }

    /// Where [`Bus::wake`] calls of other processes go.
    fn on_wake(&self, schema: &'static str, poke: Arc<Notify>) {
        let _ = (schema, poke);
    }

    /// Whether the bus can be used now; the error says what is missing.
    fn health(&self) -> BoxFuture<'_, Result<()>>;
}

/// A piece of queued work: a pointer to a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// The queue (`webhook-delivery`).
    pub queue: &'static str,
    /// The row.
    pub id: Uuid,
}

/// A durable consumer of events.
#[derive(Clone)]
pub struct Consumer {
    /// Stable name (`agent.task-changes`); its queue is `mc.<name>`.
    pub name: &'static str,
    /// Event types it wants: exact (`task.created`), by subject (`task.*`) or all (`#`).
    pub topics: &'static [&'static str],
    /// Where its inbox and its effects are.
    pub store: Store,
    /// What it does.
    pub handler: Arc<dyn Handler>,
}

/// What a consumer does with events that it has not handled before.
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    /// Applies events in their order inside the transaction that also marks them handled. An error rolls all of it back; the events are
    /// then tried one by one, retried with growing delays, and parked when they keep failing for a reason that waiting does not cure.
    async fn handle(&self, tx: &mut Tx, events: &[Event]) -> Result<()>;
}

/// A worker of a queue.
#[derive(Clone)]
pub struct Worker {
    /// The queue.
    pub queue: &'static str,
    /// How many pieces are worked on at once.
    pub concurrency: usize,
    /// What it does.
    pub handler: Arc<dyn WorkHandler>,
}

/// What a worker does.
#[async_trait]
pub trait WorkHandler: Send + Sync + 'static {
    /// Claims the row and does the work; a row that is claimed or done already is fine. Errors are logged: the row says when to try again.
    async fn work(&self, id: Uuid) -> Result<()>;
}

/// Whether an event type matches a topic: exact, `subject.*`, or `#`.
pub fn matches(topic: &str, event_type: &str) -> bool {
    topic == "#"
        || topic == event_type
        || topic.strip_suffix(".*").is_some_and(|subject| {
            event_type
                .strip_prefix(subject)
                .is_some_and(|rest| rest.starts_with('.'))
        })
}

/// One piece of work; what goes wrong is logged, since the row says when to try again.
async fn run_job(worker: &Worker, id: Uuid) {
    let started = std::time::Instant::now();
    match AssertUnwindSafe(worker.handler.work(id)).catch_unwind().await {
        Ok(Ok(())) => metrics::counter!("mc_bus_worked_total", "queue" => worker.queue, "outcome" => "ok").increment(1),
        Ok(Err(error)) => {
            metrics::counter!("mc_bus_worked_total", "queue" => worker.queue, "outcome" => "error").increment(1);
            tracing::warn!(queue = worker.queue, %id, error = error.report(), "work failed");
        }
        Err(_) => {
            metrics::counter!("mc_bus_worked_total", "queue" => worker.queue, "outcome" => "panic").increment(1);
            tracing::error!(queue = worker.queue, %id, "work panicked");
        }
    }
    metrics::histogram!("mc_bus_work_seconds", "queue" => worker.queue).record(started.elapsed().as_secs_f64());
}
