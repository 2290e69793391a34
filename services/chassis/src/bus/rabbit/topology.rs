//! Names and properties of what lives in the broker.

use lapin::{
    Channel, ExchangeKind,
    options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable},
};

/// Deliveries that ended without an answer (the process died, the connection broke) before the broker gives an event up. A handler's
/// errors do not count here: they are tried again where they happen.
const DELIVERY_LIMIT: i64 = 20;
/// The limit of queues from which nothing may ever be dropped: RabbitMQ 4 has one unless told.
const NO_LIMIT: i64 = 1_000_000_000;
/// How long a hint of work is of use: the row it points to is found when due.
const HINT_LIFETIME_MS: i64 = 3_600_000;
/// Hints that a queue holds; older ones are dropped.
const HINTS: i64 = 100_000;

/// Names, all with one prefix.
#[derive(Clone, Debug)]
pub(super) struct Names {
    prefix: String,
}

impl Names {
    pub(super) fn new(prefix: &str) -> Self {
        Self {
            prefix: prefix.to_owned(),
        }
    }

    /// Topic exchange of all events; the routing key is the event type.
    pub(super) fn events(&self) -> String {
        format!("{}.events", self.prefix)
    }

    /// Fan-out of all events and wake-up calls to every process.
    pub(super) fn live(&self) -> String {
        format!("{}.live", self.prefix)
    }

    /// Exchange of events that the broker gave up; the routing key is the consumer's queue.
    pub(super) fn parked(&self) -> String {
        format!("{}.parked", self.prefix)
    }

    /// Queue of a consumer.
    pub(super) fn consumer(&self, name: &str) -> String {
        format!("{}.{name}", self.prefix)
    }

    /// Queue of what the broker gave up on the way to a consumer.
    pub(super) fn parked_of(&self, name: &str) -> String {
        format!("{}.parked.{name}", self.prefix)
    }

    /// Queue of work.
    pub(super) fn work(&self, queue: &str) -> String {
        format!("{}.work.{queue}", self.prefix)
    }
}

pub(super) async fn declare_exchanges(channel: &Channel, names: &Names) -> lapin::Result<()> {
    let durable = ExchangeDeclareOptions {
        durable: true,
        ..ExchangeDeclareOptions::default()
    };
    for (name, kind) in [
        (names.events(), ExchangeKind::Topic),
        (names.live(), ExchangeKind::Fanout),
        (names.parked(), ExchangeKind::Direct),
    ] {
        channel
            .exchange_declare(name.into(), kind, durable, FieldTable::default())
            .await?;
    }
    Ok(())
}

/// The queue of a consumer with its bindings, and the queue of what the broker gives up.
pub(super) async fn declare_consumer(
    channel: &Channel,
    names: &Names,
    name: &str,
    topics: &[&str],
) -> lapin::Result<()> {
    let (queue, parked) = (names.consumer(name), names.parked_of(name));
    let arguments = table([
        ("x-queue-type", text("quorum")),
        // One process at a time: with two, a task's events could be handled in another order than they happened. The others stand by.
        ("x-single-active-consumer", AMQPValue::Boolean(true)),
        ("x-delivery-limit", AMQPValue::LongLongInt(DELIVERY_LIMIT)),
        ("x-dead-letter-exchange", text(&names.parked())),
        ("x-dead-letter-routing-key", text(&queue)),
        // A dead letter leaves its queue only when it is safe in the other one; that needs this overflow.
        ("x-dead-letter-strategy", text("at-least-once")),
        ("x-overflow", text("reject-publish")),
    ]);
    channel
        .queue_declare(queue.clone().into(), durable(), arguments)
        .await?;
    for topic in topics {
        bind(channel, &queue, &names.events(), topic).await?;
    }
    let arguments = table([
        ("x-queue-type", text("quorum")),
        ("x-delivery-limit", AMQPValue::LongLongInt(NO_LIMIT)),
    ]);
    channel
        .queue_declare(parked.clone().into(), durable(), arguments)
        .await?;
    bind(channel, &parked, &names.parked(), &queue).await
}

/// A queue of work.
pub(super) async fn declare_work(channel: &Channel, queue: &str) -> lapin::Result<()> {
    let arguments = table([
        ("x-queue-type", text("quorum")),
        ("x-message-ttl", AMQPValue::LongLongInt(HINT_LIFETIME_MS)),
        ("x-max-length", AMQPValue::LongLongInt(HINTS)),
        // A piece of work that ends its worker again and again: its row keeps it.
        ("x-delivery-limit", AMQPValue::LongLongInt(DELIVERY_LIMIT)),
    ]);
    channel.queue_declare(queue.into(), durable(), arguments).await?;
    Ok(())
}

/// This process's own queue of live events; it goes with its connection. Answers its name.
pub(super) async fn declare_live(channel: &Channel, names: &Names) -> lapin::Result<String> {
    let own = QueueDeclareOptions {
        exclusive: true,
        auto_delete: true,
        ..QueueDeclareOptions::default()
    };
    let queue = channel
        .queue_declare("".into(), own, FieldTable::default())
        .await?
        .name()
        .to_string();
    bind(channel, &queue, &names.live(), "").await?;
    Ok(queue)
}

async fn bind(channel: &Channel, queue: &str, exchange: &str, key: &str) -> lapin::Result<()> {
    channel
        .queue_bind(
            queue.into(),
            exchange.into(),
            key.into(),
            QueueBindOptions::default(),
            FieldTable::default(),
        )
        .await
}

fn durable() -> QueueDeclareOptions {
    QueueDeclareOptions {
        durable: true,
        ..QueueDeclareOptions::default()
    }
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

fn table<const N: usize>(entries: [(&str, AMQPValue); N]) -> FieldTable {
    let mut table = FieldTable::default();
    for (key, value) in entries {
        table.insert(key.into(), value);
    }
    table
}
