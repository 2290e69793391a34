//! What the tests of this binary share: two services, a bus of either kind, consumers that write down what they did.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use chassis::{
    Error, Result, Schema, Store, Tx,
    bus::{
        Bus, Consumer, Handler, Policy,
        memory::MemoryBus,
        rabbit::{Options, RabbitBus},
    },
};
use lapin::{
    Channel, Connection, ConnectionProperties,
    options::{ExchangeDeleteOptions, QueueDeleteOptions},
};
use proto::event::v1::Event;
use sqlx::migrate::Migrator;
use testkit::Database;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

static MIGRATIONS: Migrator = sqlx::migrate!("./tests/migrations");
/// Writes events.
pub const SOURCE: Schema = Schema {
    name: "source",
    migrations: &MIGRATIONS,
};
/// Consumes them.
pub const SINK: Schema = Schema {
    name: "sink",
    migrations: &MIGRATIONS,
};

/// Long enough for a slow machine; nothing waits that long when it works.
pub const PATIENCE: Duration = Duration::from_secs(40);

/// Quick retries, so that tests of failures are quick.
pub const POLICY: Policy = Policy {
    batch: 16,
    attempts: 3,
    delay: Duration::from_millis(2),
    longest: Duration::from_millis(20),
};

/// Which bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Memory,
    Rabbit,
}

/// The broker of this test run, if there is one.
pub fn amqp_url() -> Option<String> {
    let url = std::env::var("TEST_AMQP_URL").ok().filter(|url| !url.is_empty());
    if url.is_none() {
        assert!(
            std::env::var_os("CI").is_none(),
            "TEST_AMQP_URL is not set: in CI the RabbitMQ half has to run (`make test` starts a broker)"
        );
        eprintln!("NOT RUN: TEST_AMQP_URL is not set; `make test` starts a broker");
    }
    url
}

/// Two services on a database of their own and a bus.
pub struct Rig {
    pub kind: Kind,
    pub url: String,
    pub prefix: String,
    pub source: Store,
    pub sink: Store,
    pub bus: Arc<dyn Bus>,
    pub stop: CancellationToken,
    pub tasks: TaskTracker,
    pub amqp: String,
    /// Dropped last: it takes the database with it.
    database: Option<Database>,
}

impl Rig {
    /// `None` when the bus of this kind cannot be tested here.
    pub async fn new(kind: Kind) -> Option<Self> {
        let amqp = match kind {
            Kind::Memory => String::new(),
            Kind::Rabbit => amqp_url()?,
        };
        Some(Self::with_broker(kind, amqp).await)
    }

    /// On a broker of its own.
    pub async fn with_broker(kind: Kind, amqp: String) -> Self {
        let database = testkit::database(&[SOURCE, SINK]).await;
        let url = database.url.clone();
        let mut rig = Self::attach(kind, &url, amqp, &format!("test-{}", Uuid::now_v7().simple()));
        rig.database = Some(database);
        rig
    }

    /// Another process's view of the same services: same database, same names in the broker.
    pub fn attach(kind: Kind, url: &str, amqp: String, prefix: &str) -> Self {
        // Said aloud when asked: RUST_LOG=chassis=debug.
        if std::env::var_os("RUST_LOG").is_some() {
            let _ = tracing_subscriber::fmt()
                .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
                .with_writer(std::io::stderr)
                .try_init();
        }
        let stop = CancellationToken::new();
        let open = |schema| Store::open(url, schema, 8).expect("the database URL is valid");
        let bus: Arc<dyn Bus> = match kind {
            Kind::Memory => Arc::new(MemoryBus::with_policy(stop.clone(), POLICY)),
            Kind::Rabbit => {
                let options = Options {
                    prefix: prefix.to_owned(),
                    policy: POLICY,
                };
                Arc::new(RabbitBus::with_options(&amqp, &options, stop.clone()).expect("TEST_AMQP_URL is valid"))
            }
        };
        Self {
            kind,
            url: url.to_owned(),
            prefix: prefix.to_owned(),
            source: open(SOURCE),
            sink: open(SINK),
            bus,
            stop,
            tasks: TaskTracker::new(),
            amqp,
            database: None,
        }
    }

    /// Another process beside this one.
    pub fn sibling(&self) -> Self {
        Self::attach(self.kind, &self.url, self.amqp.clone(), &self.prefix)
    }

    /// Runs the relay of the source.
    pub fn relay(&self) {
        self.tasks.spawn(chassis::relay::run(
            self.source.clone(),
            self.bus.clone(),
            self.stop.clone(),
        ));
    }

    pub fn consumer(&self, name: &'static str, topics: &'static [&'static str], handler: Arc<dyn Handler>) -> Consumer {
        Consumer {
            name,
            topics,
            store: self.sink.clone(),
            handler,
        }
    }

    /// Runs a consumer that writes down what it did.
    pub fn record_effects(&self, name: &'static str, topics: &'static [&'static str]) {
        self.run(self.consumer(name, topics, Recorder::new(name)));
    }

    pub fn run(&self, consumer: Consumer) {
        self.tasks.spawn(self.bus.consume(consumer, self.stop.clone()));
    }

    /// Publishes as the relay does: again while the broker is not ready to take it, as with a queue that was just declared.
    pub async fn publish(&self, events: &[Event]) {
        let done = within(PATIENCE, async || match self.bus.publish(events).await {
            Ok(()) => true,
            Err(error) if error.is_transient() => false,
            Err(error) => panic!("it is not published: {}", error.report()),
        });
        assert!(done.await, "it is published");
    }

    /// Events committed by the source, in one transaction.
    pub async fn record(&self, events: &[Event]) {
        record(&self.source, events).await;
    }

    /// Labels of what a consumer did, in order.
    pub async fn effects(&self, consumer: &str) -> Vec<String> {
        sqlx::query_scalar("SELECT label FROM sink.effects WHERE consumer = $1 ORDER BY n")
            .bind(consumer)
            .fetch_all(self.sink.pool())
            .await
            .expect("effects are read")
    }

    /// Waits until a consumer did exactly this.
    pub async fn wait_for_effects(&self, consumer: &str, expected: &[String]) {
        let seen = parking_lot::Mutex::new(Vec::new());
        let done = within(PATIENCE, async || {
            let effects = self.effects(consumer).await;
            let done = effects.len() >= expected.len();
            *seen.lock() = effects;
            done
        })
        .await;
        assert_eq!(*seen.lock(), expected, "{consumer} (in time: {done})");
    }

    /// Waits until nothing is left to publish.
    pub async fn wait_until_published(&self) {
        let done = within(PATIENCE, async || {
            let waiting: i64 = sqlx::query_scalar("SELECT count(*) FROM source.recorded WHERE position IS NULL OR position > (SELECT published FROM source.relay)")
                .fetch_one(self.source.pool())
                .await
                .expect("the outbox is read");
            waiting == 0
        })
        .await;
        assert!(done, "the outbox is not empty");
    }

    /// Stops everything and waits for it. Nothing is left behind in the broker.
    pub async fn close(self) {
        self.halt().await;
        if self.kind == Kind::Rabbit {
            self.sweep().await;
        }
    }

    /// Stops everything and waits for it.
    pub async fn halt(&self) {
        self.stop.cancel();
        self.tasks.close();
        tokio::time::timeout(PATIENCE, self.tasks.wait())
            .await
            .expect("everything stops");
    }

    async fn sweep(&self) {
        let (_connection, channel) = channel(&self.amqp).await;
        for name in CONSUMERS {
            for queue in [
                format!("{}.{name}", self.prefix),
                format!("{}.parked.{name}", self.prefix),
            ] {
                channel
                    .queue_delete(queue.into(), QueueDeleteOptions::default())
                    .await
                    .expect("the queue is deleted");
            }
        }
        channel
            .queue_delete(
                format!("{}.work.jobs", self.prefix).into(),
                QueueDeleteOptions::default(),
            )
            .await
            .expect("the queue is deleted");
        for exchange in ["events", "live", "parked"] {
            channel
                .exchange_delete(
                    format!("{}.{exchange}", self.prefix).into(),
                    ExchangeDeleteOptions::default(),
                )
                .await
                .expect("the exchange is deleted");
        }
    }
}

/// Every consumer of these tests.
const CONSUMERS: [&str; 3] = ["sink.tasks", "sink.log", "sink.late"];

/// A channel of the test's own.
pub async fn channel(amqp: &str) -> (Connection, Channel) {
    let connection = Connection::connect(amqp, ConnectionProperties::default())
        .await
        .expect("the broker answers");
    let channel = connection.create_channel().await.expect("a channel is opened");
    (connection, channel)
}

pub async fn record(store: &Store, events: &[Event]) {
    let mut tx = store.begin().await.expect("a transaction begins");
    tx.record_events(events).await.expect("events are recorded");
    tx.commit().await.expect("the transaction commits");
}

/// An event whose message is its label.
pub fn event(kind: &str, label: impl Into<String>) -> Event {
    Event {
        id: Uuid::now_v7().to_string(),
        r#type: kind.to_owned(),
        message: label.into(),
        time: Some(chassis::timestamp(time::OffsetDateTime::now_utc())),
        source: SOURCE.name.to_owned(),
        ..Event::default()
    }
}

/// `from..to` as events of tasks, labelled by number.
pub fn tasks(range: std::ops::Range<usize>) -> Vec<Event> {
    range.map(|n| event("task.created", n.to_string())).collect()
}

pub fn labels(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| n.to_string()).collect()
}

/// Asks until it is true or the time is over.
pub async fn within<F: Future<Output = bool>>(patience: Duration, mut ask: impl FnMut() -> F) -> bool {
    let deadline = tokio::time::Instant::now() + patience;
    loop {
        if ask().await {
            return true;
        }
        if tokio::time::Instant::now() > deadline {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

type Trouble = Box<dyn Fn(&Event, usize) -> Result<()> + Send + Sync>;

/// Writes down every event, then meets the trouble a test makes for it.
pub struct Recorder {
    consumer: &'static str,
    trouble: Trouble,
    /// Events seen, tries included.
    pub seen: AtomicUsize,
}

impl Recorder {
    pub fn new(consumer: &'static str) -> Arc<Self> {
        Self::with(consumer, |_, _| Ok(()))
    }

    /// `trouble` gets the event and how many were seen before it, tries included.
    pub fn with(
        consumer: &'static str,
        trouble: impl Fn(&Event, usize) -> Result<()> + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            consumer,
            trouble: Box::new(trouble),
            seen: AtomicUsize::new(0),
        })
    }
}

#[async_trait]
impl Handler for Recorder {
    async fn handle(&self, tx: &mut Tx, events: &[Event]) -> Result<()> {
        for event in events {
            sqlx::query("INSERT INTO effects (consumer, event_id, label) VALUES ($1, $2, $3)")
                .bind(self.consumer)
                .bind(Uuid::parse_str(&event.id).map_err(Error::internal)?)
                .bind(&event.message)
                .execute(&mut **tx)
                .await?;
            (self.trouble)(event, self.seen.fetch_add(1, Ordering::SeqCst))?;
        }
        Ok(())
    }
}
