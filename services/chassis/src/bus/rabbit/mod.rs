//! The bus over RabbitMQ.
//!
//! A topic exchange carries every event to one quorum queue per consumer; a fan-out exchange carries it to every process for live views.
//! Publishes are confirmed and mandatory; a message is acknowledged when the consumer's transaction is committed. What the broker gives up
//! (its deliveries end without an answer again and again) comes to the consumer by another queue and is parked in its store.

mod link;
mod session;
mod topology;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use futures::future::BoxFuture;
use lapin::{
    BasicProperties, Channel, Confirmation, Connection,
    options::{BasicPublishOptions, ConfirmSelectOptions},
    uri::AMQPUri,
};
use parking_lot::Mutex;
use prost::Message;
use proto::event::v1::Event;
use tokio::{
    sync::{Notify, broadcast},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use self::{
    link::Link,
    topology::{Names, declare_consumer, declare_exchanges, declare_work},
};
use super::{Bus, Consumer, GAP, Job, LIVE_BUFFER, Policy, Worker};
use crate::{Error, Result, role::backoff};

/// How long a publish waits for a connection: the outbox keeps the events.
const CONNECT_DEADLINE: Duration = Duration::from_secs(3);
/// How long the broker may take to confirm a batch.
const CONFIRM_DEADLINE: Duration = Duration::from_secs(30);
/// How long the broker may take for anything else.
const ANSWER_DEADLINE: Duration = Duration::from_secs(10);
/// Heartbeat when the URL names none: a dead peer is noticed within two of them.
const HEARTBEAT_SECONDS: u16 = 10;
/// Message type of wake-up calls on the live exchange.
const WAKE: &str = "wake";
/// AMQP's delivery mode of messages that survive a restart.
const PERSISTENT: u8 = 2;

/// What may differ from one bus to another.
#[derive(Clone, Debug)]
pub struct Options {
    /// Begins the name of every exchange and queue.
    pub prefix: String,
    /// How consumers try again.
    pub policy: Policy,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            prefix: "mc".to_owned(),
            policy: Policy::default(),
        }
    }
}

/// See the module. Dropping it closes its connections.
pub struct RabbitBus {
    shared: Arc<Shared>,
    tasks: Vec<JoinHandle<()>>,
}

struct Shared {
    names: Names,
    policy: Policy,
    // Two connections: the broker stops reading from one that publishes too much, and acknowledgements must come through all the same.
    publishing: Link,
    consuming: Link,
    live: broadcast::Sender<Arc<Event>>,
    wakes: Mutex<HashMap<String, Arc<Notify>>>,
    declared: Mutex<Vec<(&'static str, &'static [&'static str])>>,
    publishers: Mutex<HashMap<String, Publisher>>,
}

/// A channel of one publisher. Not shared: an unroutable message must be told to the one who sent it.
#[derive(Clone)]
struct Publisher {
    connection: Arc<Connection>,
    channel: Channel,
    /// Queues and consumers that were declared on this connection.
    known: Arc<Mutex<HashSet<String>>>,
}

impl RabbitBus {
    /// Connects in the background, again and again until `stop`. Invalid: the URL is not one.
    pub fn start(url: &str, stop: CancellationToken) -> Result<Self> {
        Self::with_options(url, &Options::default(), stop)
    }

    /// The same with other names and another policy.
    pub fn with_options(url: &str, options: &Options, stop: CancellationToken) -> Result<Self> {
        let mut uri: AMQPUri = url.parse().map_err(|error: String| {
            Error::invalid(
                "AMQP_URL",
                format!("AMQP_URL is not amqp(s)://user:password@host:port/vhost: {error}."),
            )
        })?;
        uri.query.heartbeat.get_or_insert(HEARTBEAT_SECONDS);
        let shared = Arc::new(Shared {
            names: Names::new(&options.prefix),
            policy: options.policy,
            publishing: Link::new(),
            consuming: Link::new(),
            live: broadcast::Sender::new(LIVE_BUFFER),
            wakes: Mutex::default(),
            declared: Mutex::default(),
            publishers: Mutex::default(),
        });
        let tasks = vec![
            tokio::spawn(
                shared
                    .publishing
                    .clone()
                    .keep(uri.clone(), "mission-control publish", stop.clone()),
            ),
            tokio::spawn(
                shared
                    .consuming
                    .clone()
                    .keep(uri, "mission-control consume", stop.clone()),
            ),
            tokio::spawn(live(shared.clone(), stop)),
        ];
        Ok(Self { shared, tasks })
    }

    /// Declares exchanges and the queues of every consumer that was made known, so that nothing published before a consumer's first start
    /// passes it by. For the command that migrates.
    pub async fn provision(&self) -> Result<()> {
        self.shared.publisher("").await.map(drop)
    }
}

impl Drop for RabbitBus {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Shared {
    /// The channel of a publisher, with everything declared that this process knows of.
    async fn publisher(&self, name: &str) -> Result<Publisher> {
        let existing = self.publishers.lock().get(name).cloned();
        let publisher = match existing {
            Some(publisher) if publisher.channel.status().connected() && publisher.connection.status().connected() => {
                publisher
            }
            _ => {
                let connection = self.publishing.connection_within(CONNECT_DEADLINE).await?;
                let channel = answered(connection.create_channel()).await?;
                answered(channel.confirm_select(ConfirmSelectOptions::default())).await?;
                answered(declare_exchanges(&channel, &self.names)).await?;
                let publisher = Publisher {
                    connection,
                    channel,
                    known: Arc::default(),
                };
                self.publishers.lock().insert(name.to_owned(), publisher.clone());
                publisher
            }
        };
        let consumers = self.declared.lock().clone();
        for (consumer, topics) in consumers {
            if !publisher.known.lock().contains(consumer) {
                answered(declare_consumer(&publisher.channel, &self.names, consumer, topics)).await?;
                publisher.known.lock().insert(consumer.to_owned());
            }
        }
        Ok(publisher)
    }

    /// Publishes with the channel of the events' source. A channel on which something went wrong is not used again.
    async fn publish(&self, events: &[Event]) -> Result<()> {
        let Some(source) = events.first().map(|event| event.source.as_str()) else {
            return Ok(());
        };
        let published = within(CONFIRM_DEADLINE, self.publish_from(source, events)).await;
        if published.is_err() {
            self.publishers.lock().remove(source);
        }
        published
    }

    async fn publish_from(&self, source: &str, events: &[Event]) -> Result<()> {
        let publisher = self.publisher(source).await?;
        let (exchange, live) = (self.names.events(), self.names.live());
        let mandatory = BasicPublishOptions {
            mandatory: true,
            ..BasicPublishOptions::default()
        };
        let mut confirms = Vec::with_capacity(events.len() * 2);
        for event in events {
            let bytes = event.encode_to_vec();
            let properties = BasicProperties::default()
                .with_message_id(event.id.as_str().into())
                .with_type(event.r#type.as_str().into());
            // To processes that are watching, if there are any. A copy of its own: it must not count as a route of the mandatory one.
            let passed = publisher.channel.basic_publish(
                live.as_str().into(),
                "".into(),
                BasicPublishOptions::default(),
                &bytes,
                properties.clone(),
            );
            confirms.push(passed.await.map_err(away)?);
            let properties = properties
                .with_delivery_mode(PERSISTENT)
                .with_content_type("application/protobuf".into());
            let kept = publisher.channel.basic_publish(
                exchange.as_str().into(),
                event.r#type.as_str().into(),
                mandatory,
                &bytes,
                properties,
            );
            confirms.push(kept.await.map_err(away)?);
        }
        for confirm in confirms {
            match confirm.await.map_err(away)? {
                Confirmation::Ack(None) => {}
                Confirmation::Ack(Some(returned)) | Confirmation::Nack(Some(returned)) => {
                    metrics::counter!("mc_bus_unroutable_total").increment(1);
                    let key = returned.routing_key.as_str();
                    return Err(Error::unavailable(format!(
                        "No queue takes `{key}`: a consumer of it has to be started once, or `mission-control migrate` run."
                    )));
                }
                Confirmation::Nack(None) | Confirmation::NotRequested => {
                    return Err(Error::unavailable("The broker did not take an event."));
                }
            }
        }
        Ok(())
    }

    async fn enqueue(&self, job: &Job) -> Result<()> {
        let publisher = self.publisher("").await?;
        let queue = self.names.work(job.queue);
        if !publisher.known.lock().contains(&queue) {
            answered(declare_work(&publisher.channel, &queue)).await?;
            publisher.known.lock().insert(queue.clone());
        }
        let properties = BasicProperties::default().with_delivery_mode(PERSISTENT);
        let sent = publisher.channel.basic_publish(
            "".into(),
            queue.into(),
            BasicPublishOptions::default(),
            job.id.as_bytes(),
            properties,
        );
        match sent.await.map_err(away)?.await.map_err(away)? {
            Confirmation::Ack(_) => Ok(()),
            _ => Err(Error::unavailable("The broker did not take a piece of work.")),
        }
    }

    async fn wake(&self, schema: &str) -> Result<()> {
        let publisher = self.publisher("").await?;
        let properties = BasicProperties::default().with_type(WAKE.into());
        let sent = publisher.channel.basic_publish(
            self.names.live().into(),
            "".into(),
            BasicPublishOptions::default(),
            schema.as_bytes(),
            properties,
        );
        sent.await.map_err(away)?.await.map_err(away)?;
        Ok(())
    }
}

impl Bus for RabbitBus {
    fn publish<'a>(&'a self, events: &'a [Event]) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.shared.publish(events))
    }

    fn declare(&self, consumer: &Consumer) {
        let mut declared = self.shared.declared.lock();
        if !declared.iter().any(|(name, _)| *name == consumer.name) {
            declared.push((consumer.name, consumer.topics));
        }
    }

    fn enqueue<'a>(&'a self, job: &'a Job) -> BoxFuture<'a, Result<()>> {
        Box::pin(within(CONNECT_DEADLINE * 2, self.shared.enqueue(job)))
    }

    fn consume(&self, consumer: Consumer, stop: CancellationToken) -> BoxFuture<'static, ()> {
        self.declare(&consumer);
        Box::pin(session::consume(self.shared.clone(), consumer, stop))
    }

    fn work(&self, worker: Worker, stop: CancellationToken) -> BoxFuture<'static, ()> {
        Box::pin(session::work(self.shared.clone(), worker, stop))
    }

    fn watch(&self) -> broadcast::Receiver<Arc<Event>> {
        self.shared.live.subscribe()
    }

    fn wake<'a>(&'a self, schema: &'a str) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            if let Err(error) = within(CONNECT_DEADLINE * 2, self.shared.wake(schema)).await {
                tracing::debug!(schema, error = error.report(), "wake-up call not sent");
            }
        })
    }

    fn on_wake(&self, schema: &'static str, poke: Arc<Notify>) {
        self.shared.wakes.lock().insert(schema.to_owned(), poke);
    }

    fn health(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async {
            self.shared.publishing.check()?;
            self.shared.consuming.check()
        })
    }
}

/// Brings live events and wake-up calls into this process. What was missed while the connection was down is not known here: watchers are
/// told that there is a gap.
async fn live(shared: Arc<Shared>, stop: CancellationToken) {
    let mut failures = 0;
    while !stop.is_cancelled() {
        if let Err(error) = session::live(&shared, &mut failures).await {
            failures += 1;
            tracing::warn!(error = error.report(), failures, "live events interrupted");
            let _ = tokio::time::timeout(
                backoff(failures, Duration::from_millis(50), Duration::from_secs(5)),
                stop.cancelled(),
            )
            .await;
        }
    }
}

fn gap() -> Arc<Event> {
    Arc::new(Event {
        r#type: GAP.to_owned(),
        ..Event::default()
    })
}

async fn within<T>(deadline: Duration, work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(deadline, work)
        .await
        .unwrap_or_else(|_| Err(Error::unavailable("The broker did not answer in time.")))
}

/// What the broker is asked must be answered in time: on a connection that breaks at the wrong moment an answer may never come.
async fn answered<T>(question: impl Future<Output = lapin::Result<T>>) -> Result<T> {
    within(ANSWER_DEADLINE, async { question.await.map_err(away) }).await
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn away(error: lapin::Error) -> Error {
    Error::unavailable(format!("The broker is not available: {error}"))
}
