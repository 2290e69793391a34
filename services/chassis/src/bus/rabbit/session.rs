//! What runs on a channel: consumers, workers and the live feed of this process. A session ends with its channel; the loop around it opens
//! the next one.

use std::{pin::pin, sync::Arc, time::Duration};

use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use lapin::{
    Channel, Connection,
    message::Delivery,
    options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions},
    types::FieldTable,
};
use prost::Message;
use proto::event::v1::Event;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    Shared, WAKE, answered, away, gap,
    topology::{declare_consumer, declare_exchanges, declare_live, declare_work},
};
use crate::{
    Error, Result,
    bus::{Consumer, Worker, consume::settle, matches, parked, run_job},
    role::backoff,
};

/// Dead letters fetched at once.
const PARKED_PREFETCH: u16 = 16;

/// Runs a consumer until `stop`, over as many connections as it takes.
pub(super) async fn consume(shared: Arc<Shared>, consumer: Consumer, stop: CancellationToken) {
    // Nothing is fetched while the database is away: a delivery that cannot be handled counts against its limit.
    let events = forever(consumer.name, &shared, &stop, |connection| {
        let (shared, consumer, stop) = (shared.clone(), consumer.clone(), stop.clone());
        Box::pin(async move {
            consumer.store.ping().await?;
            handle_events(&shared, &connection, &consumer, &stop).await
        })
    });
    let dead = forever(consumer.name, &shared, &stop, |connection| {
        let (shared, consumer, stop) = (shared.clone(), consumer.clone(), stop.clone());
        Box::pin(async move {
            consumer.store.ping().await?;
            park_dead_letters(&shared, &connection, &consumer, &stop).await
        })
    });
    tokio::join!(events, dead, parked::take_up(&consumer, shared.policy, &stop));
}

/// Runs a worker until `stop`, over as many connections as it takes.
pub(super) async fn work(shared: Arc<Shared>, worker: Worker, stop: CancellationToken) {
    forever(worker.queue, &shared, &stop, |connection| {
        let (shared, worker, stop) = (shared.clone(), worker.clone(), stop.clone());
        Box::pin(async move { work_off(&shared, &connection, &worker, &stop).await })
    })
    .await;
}

/// Runs sessions, one after the other, until `stop`.
async fn forever<F>(name: &'static str, shared: &Shared, stop: &CancellationToken, session: F)
where
    F: Fn(Arc<Connection>) -> BoxFuture<'static, Result<()>> + Send,
{
    let mut failures = 0;
    while !stop.is_cancelled() {
        let connection = tokio::select! {
            () = stop.cancelled() => return,
            connection = shared.consuming.connection() => connection,
        };
        let started = tokio::time::Instant::now();
        if let Err(error) = session(connection).await {
            failures = if started.elapsed() > Duration::from_secs(30) {
                1
            } else {
                failures + 1
            };
            tracing::warn!(name, error = error.report(), failures, "consuming interrupted");
            let _ = tokio::time::timeout(
                backoff(failures, Duration::from_millis(50), Duration::from_secs(10)),
                stop.cancelled(),
            )
            .await;
        }
    }
}

async fn handle_events(
    shared: &Shared,
    connection: &Arc<Connection>,
    consumer: &Consumer,
    stop: &CancellationToken,
) -> Result<()> {
    let policy = shared.policy;
    let channel = open(connection, u16::try_from(policy.batch * 2).unwrap_or(u16::MAX)).await?;
    answered(declare_exchanges(&channel, &shared.names)).await?;
    answered(declare_consumer(
        &channel,
        &shared.names,
        consumer.name,
        consumer.topics,
    ))
    .await?;
    let mut deliveries = subscribe(&channel, &shared.names.consumer(consumer.name)).await?;
    loop {
        let mut next = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            error = shared.consuming.ended(connection) => return Err(error),
            delivery = deliveries.next() => delivery,
        };
        // What is there already is one batch.
        let mut batch = Vec::new();
        loop {
            match next {
                Some(delivery) => batch.push(delivery.map_err(away)?),
                None => return Err(Error::unavailable("The broker ended the delivery.")),
            }
            match deliveries.next().now_or_never() {
                Some(ready) if batch.len() < policy.batch => next = ready,
                Some(Some(Ok(delivery))) => {
                    batch.push(delivery);
                    break;
                }
                Some(Some(Err(error))) => return Err(away(error)),
                Some(None) | None => break,
            }
        }
        if !settle_batch(consumer, policy, &batch, stop).await? {
            break;
        }
        if let Some(last) = batch.last() {
            answered(last.ack(BasicAckOptions { multiple: true })).await?;
        }
    }
    close(&channel).await;
    Ok(())
}

/// Handles the events of a batch; what is none is parked. `false`: stopped before the end.
async fn settle_batch(
    consumer: &Consumer,
    policy: crate::bus::Policy,
    batch: &[Delivery],
    stop: &CancellationToken,
) -> Result<bool> {
    let mut events = Vec::with_capacity(batch.len());
    for delivery in batch {
        match Event::decode(&*delivery.data) {
            // A binding of an older version may still be there: only the topics of this one count.
            Ok(event) if consumer.topics.iter().any(|topic| matches(topic, &event.r#type)) => events.push(event),
            Ok(_) => {}
            Err(error) => park_bytes(consumer, delivery, &format!("not an event: {error}")).await?,
        }
    }
    Ok(events.is_empty() || settle(consumer, policy, events, stop).await)
}

async fn park_bytes(consumer: &Consumer, delivery: &Delivery, error: &str) -> Result<()> {
    parked::park(consumer, None, delivery.routing_key.as_str(), &delivery.data, error, 1).await
}

/// Moves what the broker gave up into the consumer's store.
async fn park_dead_letters(
    shared: &Shared,
    connection: &Arc<Connection>,
    consumer: &Consumer,
    stop: &CancellationToken,
) -> Result<()> {
    let channel = open(connection, PARKED_PREFETCH).await?;
    answered(declare_exchanges(&channel, &shared.names)).await?;
    answered(declare_consumer(
        &channel,
        &shared.names,
        consumer.name,
        consumer.topics,
    ))
    .await?;
    let mut deliveries = subscribe(&channel, &shared.names.parked_of(consumer.name)).await?;
    loop {
        let delivery = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            error = shared.consuming.ended(connection) => return Err(error),
            delivery = deliveries.next() => delivery,
        };
        let Some(delivery) = delivery else {
            return Err(Error::unavailable("The broker ended the delivery."));
        };
        let delivery = delivery.map_err(away)?;
        match Event::decode(&*delivery.data) {
            Ok(event) => {
                let given_up = "the broker gave it up: its delivery ended without an answer too often (the process died or lost its connection)";
                parked::park(
                    consumer,
                    Uuid::parse_str(&event.id).ok(),
                    &event.r#type,
                    &delivery.data,
                    given_up,
                    0,
                )
                .await?;
            }
            Err(error) => park_bytes(consumer, &delivery, &format!("not an event: {error}")).await?,
        }
        answered(delivery.ack(BasicAckOptions::default())).await?;
    }
    close(&channel).await;
    Ok(())
}

async fn work_off(
    shared: &Shared,
    connection: &Arc<Connection>,
    worker: &Worker,
    stop: &CancellationToken,
) -> Result<()> {
    let channel = open(connection, u16::try_from(worker.concurrency.max(1)).unwrap_or(u16::MAX)).await?;
    let queue = shared.names.work(worker.queue);
    answered(declare_work(&channel, &queue)).await?;
    let mut deliveries = subscribe(&channel, &queue).await?;
    // The prefetch is the limit: no more than that is ever here.
    let mut running = FuturesUnordered::new();
    let outcome = loop {
        let delivery = tokio::select! {
            biased;
            () = stop.cancelled() => break Ok(()),
            error = shared.consuming.ended(connection) => break Err(error),
            Some(answered) = running.next() => match answered {
                Ok(()) => continue,
                Err(error) => break Err(error),
            },
            delivery = deliveries.next() => delivery,
        };
        match delivery {
            Some(Ok(delivery)) => running.push(work_one(worker, delivery)),
            Some(Err(error)) => break Err(away(error)),
            None => break Err(Error::unavailable("The broker ended the delivery.")),
        }
    };
    // What was begun is finished, whatever becomes of the channel: a hint that comes again finds its row done.
    while running.next().await.is_some() {}
    close(&channel).await;
    outcome
}

async fn work_one(worker: &Worker, delivery: Delivery) -> Result<()> {
    if let Ok(id) = Uuid::from_slice(&delivery.data) {
        run_job(worker, id).await;
    } else {
        tracing::error!(queue = worker.queue, "a piece of work is not an id: dropped");
    }
    answered(delivery.ack(BasicAckOptions::default())).await?;
    Ok(())
}

/// One connection's time of the live feed.
pub(super) async fn live(shared: &Shared, failures: &mut u32) -> Result<()> {
    let connection = shared.consuming.connection().await;
    let channel = answered(connection.create_channel()).await?;
    answered(declare_exchanges(&channel, &shared.names)).await?;
    let queue = answered(declare_live(&channel, &shared.names)).await?;
    let no_ack = BasicConsumeOptions {
        no_ack: true,
        ..BasicConsumeOptions::default()
    };
    let deliveries =
        answered(channel.basic_consume(queue.as_str().into(), "".into(), no_ack, FieldTable::default())).await?;
    let mut deliveries = pin!(deliveries);
    *failures = 0;
    // Sending fails when nobody watches.
    let _ = shared.live.send(gap());
    for poke in shared.wakes.lock().values() {
        poke.notify_one();
    }
    loop {
        let delivery = tokio::select! {
            error = shared.consuming.ended(&connection) => return Err(error),
            delivery = deliveries.next() => delivery,
        };
        let Some(delivery) = delivery else {
            return Err(Error::unavailable("The broker ended the delivery."));
        };
        let delivery = delivery.map_err(away)?;
        if delivery
            .properties
            .kind()
            .as_ref()
            .is_some_and(|kind| kind.as_str() == WAKE)
        {
            if let Some(poke) = std::str::from_utf8(&delivery.data)
                .ok()
                .and_then(|schema| shared.wakes.lock().get(schema).cloned())
            {
                poke.notify_one();
            }
        } else if shared.live.receiver_count() > 0 {
            match Event::decode(&*delivery.data) {
                Ok(event) => {
                    let _ = shared.live.send(Arc::new(event));
                }
                Err(error) => tracing::warn!(%error, "a live message is not an event"),
            }
        }
    }
}

async fn open(connection: &Connection, prefetch: u16) -> Result<Channel> {
    let channel = answered(connection.create_channel()).await?;
    answered(channel.basic_qos(prefetch, BasicQosOptions::default())).await?;
    Ok(channel)
}

async fn subscribe(channel: &Channel, queue: &str) -> Result<lapin::Consumer> {
    answered(channel.basic_consume(
        queue.into(),
        "".into(),
        BasicConsumeOptions::default(),
        FieldTable::default(),
    ))
    .await
}

/// Gives back what was not acknowledged, at once instead of with the connection.
async fn close(channel: &Channel) {
    let _ = tokio::time::timeout(Duration::from_secs(2), channel.close(200, "stopping".into())).await;
}
