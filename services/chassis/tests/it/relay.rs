//! The relay: one at a time, in order, with positions that stay.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use chassis::{
    Error, Result,
    bus::{Bus, Consumer, Job, Worker},
    relay,
};
use futures::future::BoxFuture;
use parking_lot::Mutex;
use proto::event::v1::Event;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use crate::{
    bus::on_both,
    support::{Kind, PATIENCE, Recorder, Rig, labels, record, tasks, within},
};

on_both!(
    of_two_relays_one_works_and_the_other_takes_over,
    events_are_published_in_batches
);

/// A bus that can be away, and remembers what it was asked to publish.
pub struct Flaky {
    failures: AtomicUsize,
    published: Mutex<Vec<Vec<(String, i64)>>>,
    live: broadcast::Sender<Arc<Event>>,
}

impl Flaky {
    fn new(failures: usize) -> Arc<Self> {
        Arc::new(Self {
            failures: AtomicUsize::new(failures),
            published: Mutex::default(),
            live: broadcast::Sender::new(16),
        })
    }
}

impl Bus for Flaky {
    fn publish<'a>(&'a self, events: &'a [Event]) -> BoxFuture<'a, Result<()>> {
        self.published.lock().push(
            events
                .iter()
                .map(|event| (event.message.clone(), event.position))
                .collect(),
        );
        let away = self
            .failures
            .try_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
            .is_ok();
        Box::pin(async move { if away { Err(Error::unavailable("away")) } else { Ok(()) } })
    }

    fn enqueue<'a>(&'a self, _: &'a Job) -> BoxFuture<'a, Result<()>> {
        Box::pin(async { Ok(()) })
    }

    fn consume(&self, _: Consumer, _: CancellationToken) -> BoxFuture<'static, ()> {
        Box::pin(async {})
    }

    fn work(&self, _: Worker, _: CancellationToken) -> BoxFuture<'static, ()> {
        Box::pin(async {})
    }

    fn watch(&self) -> broadcast::Receiver<Arc<Event>> {
        self.live.subscribe()
    }

    fn health(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async { Ok(()) })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_published_again_keeps_its_position() {
    let rig = Rig::new(Kind::Memory).await.expect("it needs no broker");
    rig.record(&tasks(0..3)).await;
    let bus = Flaky::new(2);
    rig.tasks
        .spawn(relay::run(rig.source.clone(), bus.clone(), rig.stop.clone()));
    rig.wait_until_published().await;
    rig.record(&tasks(3..5)).await;
    rig.wait_until_published().await;
    let batch = |range: std::ops::Range<i64>| range.map(|n| (n.to_string(), n + 1)).collect::<Vec<_>>();
    assert_eq!(
        *bus.published.lock(),
        [batch(0..3), batch(0..3), batch(0..3), batch(3..5)]
    );
    rig.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_is_relayed_at_once() {
    let rig = Rig::new(Kind::Memory).await.expect("it needs no broker");
    rig.record_effects("sink.tasks", &["task.*"]);
    rig.relay();
    rig.record(&tasks(0..1)).await;
    rig.wait_until_published().await;
    let mut live = rig.bus.watch();
    let mut took = Vec::new();
    for n in 1..40 {
        let started = Instant::now();
        rig.record(&tasks(n..n + 1)).await;
        tokio::time::timeout(PATIENCE, live.recv())
            .await
            .expect("it comes")
            .expect("it is an event");
        took.push(started.elapsed());
        rig.wait_until_published().await;
    }
    took.sort();
    eprintln!(
        "commit to live watcher: median {:?}, slowest {:?}",
        took[took.len() / 2],
        took[took.len() - 1]
    );
    // The outbox is looked at every half second without being told: most must come long before.
    assert!(took[took.len() / 2] < Duration::from_millis(100), "{took:?}");
    rig.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn late_commits_are_not_skipped() {
    let rig = Rig::new(Kind::Memory).await.expect("it needs no broker");
    rig.record_effects("sink.tasks", &["task.*"]);
    rig.relay();
    let mut late = rig.source.begin().await.expect("a transaction begins");
    late.record_events(&tasks(0..1)).await.expect("it is recorded");
    rig.record(&tasks(1..2)).await;
    rig.wait_for_effects("sink.tasks", &labels(1..2)).await;
    late.commit().await.expect("it commits");
    rig.wait_for_effects("sink.tasks", &["1", "0"].map(str::to_owned)).await;
    rig.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_inbox_is_pruned_too() {
    let rig = Rig::new(Kind::Memory).await.expect("it needs no broker");
    rig.record_effects("sink.tasks", &["task.*"]);
    rig.publish(&tasks(0..5)).await;
    sqlx::query("UPDATE sink.inbox SET handled_at = now() - interval '8 days' WHERE event_id IN (SELECT event_id FROM sink.inbox LIMIT 3)")
        .execute(rig.sink.pool())
        .await
        .expect("they age");
    relay::prune_all(&rig.sink).await.expect("old rows go");
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM sink.inbox")
        .fetch_one(rig.sink.pool())
        .await
        .expect("the inbox is read");
    assert_eq!(left, 2);
    rig.close().await;
}

async fn of_two_relays_one_works_and_the_other_takes_over(kind: Kind) {
    let Some(rig) = Rig::new(kind).await else { return };
    let other = rig.sibling();
    if kind == Kind::Memory {
        // In one process: two relays on one bus.
        rig.record_effects("sink.tasks", &["task.*"]);
        rig.relay();
        rig.tasks
            .spawn(relay::run(other.source.clone(), rig.bus.clone(), other.stop.clone()));
    } else {
        for one in [&rig, &other] {
            one.record_effects("sink.tasks", &["task.*"]);
            one.relay();
        }
    }
    for n in 0..30 {
        record(if n % 2 == 0 { &rig.source } else { &other.source }, &tasks(n..n + 1)).await;
    }
    rig.wait_until_published().await;
    // Either may be the one that works: the remaining one goes on.
    other.halt().await;
    rig.record(&tasks(30..40)).await;
    rig.wait_until_published().await;
    rig.wait_for_effects("sink.tasks", &labels(0..40)).await;
    let positions: Vec<i64> = sqlx::query_scalar("SELECT position FROM source.change_log ORDER BY position")
        .fetch_all(rig.source.pool())
        .await
        .expect("the outbox is read");
    assert_eq!(positions, (1..=40).collect::<Vec<_>>());
    rig.close().await;
}

async fn events_are_published_in_batches(kind: Kind) {
    let Some(rig) = Rig::new(kind).await else { return };
    let handler = Recorder::new("sink.tasks");
    rig.run(rig.consumer("sink.tasks", &["task.*"], handler));
    for n in 0..20 {
        rig.record(&tasks(n * 100..(n + 1) * 100)).await;
    }
    let started = Instant::now();
    rig.relay();
    rig.wait_for_effects("sink.tasks", &labels(0..2000)).await;
    rig.wait_until_published().await;
    eprintln!("2000 events over {kind:?} in {:?}", started.elapsed());
    let ids: HashSet<uuid::Uuid> = sqlx::query_scalar("SELECT event_id FROM sink.effects")
        .fetch_all(rig.sink.pool())
        .await
        .expect("effects are read")
        .into_iter()
        .collect();
    assert_eq!(ids.len(), 2000);
    assert!(within(PATIENCE, async || rig.bus.health().await.is_ok()).await);
    rig.close().await;
}
