//! The bus inside one process: no broker, durable all the same.
//!
//! Nothing is kept here that cannot be lost: an event counts as published when every consumer's transaction is committed, and until then
//! the relay publishes it again.

use std::{collections::HashMap, sync::Arc};

use futures::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use parking_lot::Mutex;
use proto::event::v1::Event;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    Bus, Consumer, Job, LIVE_BUFFER, Worker,
    consume::{Policy, settle},
    matches, parked, run_job,
};
use crate::{Error, Result};

/// Hints that a queue holds. More are dropped: the rows they point to are found when due.
const QUEUE: usize = 10_000;

/// See the module.
pub struct MemoryBus {
    stop: CancellationToken,
    live: broadcast::Sender<Arc<Event>>,
    consumers: Arc<Mutex<HashMap<&'static str, Mailbox>>>,
    queues: Arc<Mutex<HashMap<&'static str, Queue>>>,
    policy: Policy,
}

/// Where a consumer's events wait. It outlives the consumer's task, so that a restarted one goes on with what is there.
#[derive(Clone)]
struct Mailbox {
    topics: &'static [&'static str],
    sender: mpsc::UnboundedSender<Delivery>,
    receiver: Arc<tokio::sync::Mutex<mpsc::UnboundedReceiver<Delivery>>>,
}

struct Delivery {
    events: Vec<Event>,
    done: oneshot::Sender<()>,
}

#[derive(Clone)]
struct Queue {
    sender: mpsc::Sender<Uuid>,
    receiver: Arc<tokio::sync::Mutex<mpsc::Receiver<Uuid>>>,
}

impl MemoryBus {
    /// A bus without consumers. With `stop` it takes no more events.
    pub fn new(stop: CancellationToken) -> Self {
        Self::with_policy(stop, Policy::default())
    }

    /// The same with another policy of trying again.
    pub fn with_policy(stop: CancellationToken, policy: Policy) -> Self {
        Self {
            stop,
            live: broadcast::Sender::new(LIVE_BUFFER),
            consumers: Arc::default(),
            queues: Arc::default(),
            policy,
        }
    }

    fn mailbox(&self, consumer: &Consumer) -> Mailbox {
        self.consumers
            .lock()
            .entry(consumer.name)
            .or_insert_with(|| {
                let (sender, receiver) = mpsc::unbounded_channel();
                Mailbox {
                    topics: consumer.topics,
                    sender,
                    receiver: Arc::new(tokio::sync::Mutex::new(receiver)),
                }
            })
            .clone()
    }

    fn queue(&self, name: &'static str) -> Queue {
        self.queues
            .lock()
            .entry(name)
            .or_insert_with(|| {
                let (sender, receiver) = mpsc::channel(QUEUE);
                Queue {
                    sender,
                    receiver: Arc::new(tokio::sync::Mutex::new(receiver)),
                }
            })
            .clone()
    }
}

impl Bus for MemoryBus {
    fn publish<'a>(&'a self, events: &'a [Event]) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            if self.live.receiver_count() > 0 {
                for event in events {
                    // Fails only when the last watcher has just gone.
                    let _ = self.live.send(Arc::new(event.clone()));
                }
            }
            let mailboxes: Vec<Mailbox> = self.consumers.lock().values().cloned().collect();
            let mut waiting = Vec::new();
            for mailbox in mailboxes {
                let wanted: Vec<Event> = events
                    .iter()
                    .filter(|event| mailbox.topics.iter().any(|topic| matches(topic, &event.r#type)))
                    .cloned()
                    .collect();
                if wanted.is_empty() {
                    continue;
                }
                let (done, settled) = oneshot::channel();
                // The receiver is kept beside the sender: sending cannot fail.
                let _ = mailbox.sender.send(Delivery { events: wanted, done });
                waiting.push(settled);
            }
            let stopped = || Error::unavailable("A consumer stopped before it handled the events.");
            for settled in waiting {
                tokio::select! {
                    biased;
                    settled = settled => settled.map_err(|_| stopped())?,
                    () = self.stop.cancelled() => return Err(stopped()),
                }
            }
            Ok(())
        })
    }

    fn enqueue<'a>(&'a self, job: &'a Job) -> BoxFuture<'a, Result<()>> {
        if self.queue(job.queue).sender.try_send(job.id).is_err() {
            tracing::warn!(queue = job.queue, "queue full: hint dropped");
        }
        Box::pin(async { Ok(()) })
    }

    fn declare(&self, consumer: &Consumer) {
        self.mailbox(consumer);
    }

    fn consume(&self, consumer: Consumer, stop: CancellationToken) -> BoxFuture<'static, ()> {
        let (mailbox, policy) = (self.mailbox(&consumer), self.policy);
        Box::pin(async move {
            tokio::join!(
                deliver(&mailbox, &consumer, policy, &stop),
                parked::take_up(&consumer, policy, &stop)
            );
        })
    }

    fn work(&self, worker: Worker, stop: CancellationToken) -> BoxFuture<'static, ()> {
        let queue = self.queue(worker.queue);
        Box::pin(async move {
            let mut receiver = tokio::select! {
                () = stop.cancelled() => return,
                receiver = queue.receiver.lock() => receiver,
            };
            let mut running = FuturesUnordered::new();
            loop {
                tokio::select! {
                    biased;
                    () = stop.cancelled() => break,
                    Some(()) = running.next() => {}
                    id = receiver.recv(), if running.len() < worker.concurrency => match id {
                        Some(id) => running.push(run_job(&worker, id)),
                        None => break,
                    },
                }
            }
            // What was begun is finished.
            while running.next().await.is_some() {}
        })
    }

    fn watch(&self) -> broadcast::Receiver<Arc<Event>> {
        self.live.subscribe()
    }

    fn health(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async { Ok(()) })
    }
}

/// Hands what comes into a mailbox to its consumer, until `stop`.
async fn deliver(mailbox: &Mailbox, consumer: &Consumer, policy: Policy, stop: &CancellationToken) {
    let mut receiver = tokio::select! {
        () = stop.cancelled() => return,
        receiver = mailbox.receiver.lock() => receiver,
    };
    loop {
        let mut next = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            delivery = receiver.recv() => delivery,
        };
        let (mut events, mut done) = (Vec::new(), Vec::new());
        while let Some(delivery) = next {
            // A publisher that has gone away publishes again: handling its events now could turn their order around.
            if !delivery.done.is_closed() {
                events.extend(delivery.events);
                done.push(delivery.done);
            }
            next = if events.len() < policy.batch {
                receiver.try_recv().ok()
            } else {
                None
            };
        }
        while !events.is_empty() {
            let rest = events.split_off(events.len().min(policy.batch));
            if !settle(consumer, policy, std::mem::replace(&mut events, rest), stop).await {
                return;
            }
        }
        for done in done {
            // A publisher that does not wait any more publishes again: the inbox knows what was done.
            let _ = done.send(());
        }
    }
}
