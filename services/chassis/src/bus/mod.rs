//! The bus: how events leave a service and reach the others, and how queued work is handed out.
//!
//! One trait, two implementations that pass the same tests: [`memory`] inside one process and [`rabbit`] over RabbitMQ. Events come from
//! the outbox by the relay; a consumer's effect and its inbox row are one transaction, so that a redelivered event has no second effect.

use std::sync::Arc;

use async_trait::async_trait;
use futures::future::BoxFuture;
use proto::event::v1::Event;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    Result,
    store::{Store, Tx},
};

/// Carries events and work between services.
pub trait Bus: Send + Sync + 'static {
    /// Hands events to every durable consumer whose topics match, and to every live watcher. Answers when all of it is safe: over
    /// RabbitMQ confirmed by the broker, in process when the consumers' transactions are committed. An error means that the batch has to
    /// be published again; consumers tell repetitions by the event id.
    fn publish<'a>(&'a self, events: &'a [Event]) -> BoxFuture<'a, Result<()>>;

    /// Puts a piece of work on a queue. Work is a hint: its truth is a row that is claimed, so that a lost or doubled hint is harmless.
    fn enqueue<'a>(&'a self, job: &'a Job) -> BoxFuture<'a, Result<()>>;

    /// Runs a consumer of events until `stop`. Never returns earlier: connection loss is its own business.
    fn consume(&self, consumer: Consumer, stop: CancellationToken) -> BoxFuture<'static, ()>;

    /// Runs a worker of a queue until `stop`.
    fn work(&self, worker: Worker, stop: CancellationToken) -> BoxFuture<'static, ()>;

    /// Every event that passes, for live views of this process. A receiver that falls behind is told how many it missed.
    fn watch(&self) -> broadcast::Receiver<Arc<Event>>;

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
    /// Stable name; also the queue's name (`agent.task-changes`).
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
    topic == "#" || topic == event_type || topic.strip_suffix(".*").is_some_and(|subject| event_type.strip_prefix(subject).is_some_and(|rest| rest.starts_with('.')))
}
