//! What both busses promise: the same tests for each.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use chassis::{
    Error, Result,
    bus::{Job, WorkHandler, Worker, parked},
};
use parking_lot::Mutex;
use uuid::Uuid;

use crate::support::{Kind, PATIENCE, POLICY, Recorder, Rig, event, labels, tasks, within};

macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod memory {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(crate::support::Kind::Memory).await;
            })*
        }
        mod rabbit {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(crate::support::Kind::Rabbit).await;
            })*
        }
    };
}
pub(crate) use on_both;

on_both!(
    every_consumer_gets_its_topics_in_order,
    a_published_batch_takes_effect,
    a_duplicate_has_one_effect,
    a_failed_batch_is_tried_again_and_leaves_nothing_half_done,
    what_is_away_is_waited_for,
    what_keeps_failing_is_parked_and_the_rest_goes_on,
    a_panic_is_a_failure_like_any_other,
    parked_events_are_replayed,
    events_wait_for_a_consumer_that_is_not_there,
    work_is_done_by_as_many_as_allowed,
    it_is_healthy,
);

async fn every_consumer_gets_its_topics_in_order(kind: Kind) {
    let Some(rig) = Rig::new(kind).await else { return };
    rig.record_effects("sink.tasks", &["task.*"]);
    rig.record_effects("sink.log", &["#"]);
    rig.relay();
    let mut all = Vec::new();
    for n in 0..60 {
        let batch = vec![
            event("task.created", format!("{n}a")),
            event("board.updated", format!("{n}b")),
            event("task.deleted", format!("{n}c")),
            event("tasks.odd", format!("{n}d")),
        ];
        rig.record(&batch).await;
        all.extend(batch);
    }
    let all: Vec<String> = all.into_iter().map(|event| event.message).collect();
    let of_tasks: Vec<String> = all
        .iter()
        .filter(|label| label.ends_with(['a', 'c']))
        .cloned()
        .collect();
    rig.wait_for_effects("sink.log", &all).await;
    rig.wait_for_effects("sink.tasks", &of_tasks).await;
    rig.wait_until_published().await;
    rig.close().await;
}

async fn a_published_batch_takes_effect(kind: Kind) {
    let Some(rig) = Rig::new(kind).await else { return };
    rig.record_effects("sink.tasks", &["task.created"]);
    rig.publish(&tasks(0..40)).await;
    if kind == Kind::Memory {
        assert_eq!(
            rig.effects("sink.tasks").await,
            labels(0..40),
            "in process the answer means that it is done"
        );
    }
    rig.wait_for_effects("sink.tasks", &labels(0..40)).await;
    rig.publish(&[]).await;
    rig.close().await;
}

async fn a_duplicate_has_one_effect(kind: Kind) {
    let Some(rig) = Rig::new(kind).await else { return };
    rig.record_effects("sink.tasks", &["task.*"]);
    let mut events = tasks(0..5);
    let again = events[1].clone();
    events.push(again);
    rig.publish(&events).await;
    rig.publish(&events).await;
    // Comes after everything above, for the same consumer.
    rig.publish(&tasks(5..6)).await;
    rig.wait_for_effects("sink.tasks", &labels(0..6)).await;
    rig.close().await;
}

async fn a_failed_batch_is_tried_again_and_leaves_nothing_half_done(kind: Kind) {
    let Some(rig) = Rig::new(kind).await else { return };
    // The fourth event fails in the batch and once more alone; by then the first three were written and undone once.
    let handler = Recorder::with("sink.tasks", {
        let failed = AtomicUsize::new(0);
        move |event, _| {
            if event.message == "3" && failed.fetch_add(1, Ordering::SeqCst) < 2 {
                return Err(Error::internal(anyhow::anyhow!("not yet")));
            }
            Ok(())
        }
    });
    rig.run(rig.consumer("sink.tasks", &["task.*"], handler.clone()));
    rig.publish(&tasks(0..8)).await;
    rig.wait_for_effects("sink.tasks", &labels(0..8)).await;
    assert!(handler.seen.load(Ordering::SeqCst) >= 10, "it was tried again");
    assert!(
        parked::list(&rig.sink)
            .await
            .expect("parked events are listed")
            .is_empty()
    );
    rig.close().await;
}

async fn what_is_away_is_waited_for(kind: Kind) {
    let Some(rig) = Rig::new(kind).await else { return };
    // More often than a failure may happen, since this is none.
    let handler = Recorder::with("sink.tasks", |_, seen| {
        if seen < 12 {
            Err(Error::unavailable("away"))
        } else {
            Ok(())
        }
    });
    rig.run(rig.consumer("sink.tasks", &["task.*"], handler));
    rig.publish(&tasks(0..3)).await;
    rig.wait_for_effects("sink.tasks", &labels(0..3)).await;
    assert!(
        parked::list(&rig.sink)
            .await
            .expect("parked events are listed")
            .is_empty()
    );
    rig.close().await;
}

async fn what_keeps_failing_is_parked_and_the_rest_goes_on(kind: Kind) {
    let Some(rig) = Rig::new(kind).await else { return };
    let tries = Arc::new(AtomicUsize::new(0));
    let counted = tries.clone();
    let handler = Recorder::with("sink.tasks", move |event, _| {
        if event.message != "2" {
            return Ok(());
        }
        counted.fetch_add(1, Ordering::SeqCst);
        Err(Error::internal(anyhow::anyhow!("poison")))
    });
    rig.run(rig.consumer("sink.tasks", &["task.*"], handler));
    rig.record_effects("sink.log", &["#"]);
    let events = tasks(0..5);
    rig.publish(&events).await;
    rig.wait_for_effects("sink.tasks", &["0", "1", "3", "4"].map(str::to_owned))
        .await;
    rig.wait_for_effects("sink.log", &labels(0..5)).await;
    let parked = parked::list(&rig.sink).await.expect("parked events are listed");
    let [found] = parked.as_slice() else {
        panic!("one event is parked, not {}", parked.len())
    };
    assert_eq!(
        (found.consumer.as_str(), found.event_type.as_str()),
        ("sink.tasks", "task.created")
    );
    assert!(found.error.contains("poison"), "{}", found.error);
    assert_eq!(u32::try_from(found.attempts), Ok(POLICY.attempts));
    assert_eq!(found.event.as_ref().map(|event| &event.id), Some(&events[2].id));
    // Delivered again it is not tried again: it is in the administrator's hands.
    let before = tries.load(Ordering::SeqCst);
    rig.publish(&events[2..3]).await;
    rig.publish(&tasks(5..6)).await;
    rig.wait_for_effects("sink.tasks", &["0", "1", "3", "4", "5"].map(str::to_owned))
        .await;
    assert_eq!(tries.load(Ordering::SeqCst), before);
    rig.close().await;
}

async fn a_panic_is_a_failure_like_any_other(kind: Kind) {
    let Some(rig) = Rig::new(kind).await else { return };
    let handler = Recorder::with("sink.tasks", |event, _| {
        assert!(event.message != "1", "a defect in a handler");
        Ok(())
    });
    rig.run(rig.consumer("sink.tasks", &["task.*"], handler));
    rig.publish(&tasks(0..3)).await;
    rig.wait_for_effects("sink.tasks", &["0", "2"].map(str::to_owned)).await;
    let parked = parked::list(&rig.sink).await.expect("parked events are listed");
    assert_eq!(parked.len(), 1);
    assert!(parked[0].error.contains("a defect in a handler"), "{}", parked[0].error);
    rig.close().await;
}

async fn parked_events_are_replayed(kind: Kind) {
    let Some(rig) = Rig::new(kind).await else { return };
    let broken = Arc::new(AtomicBool::new(true));
    let state = broken.clone();
    let handler = Recorder::with("sink.tasks", move |_, _| {
        if state.load(Ordering::SeqCst) {
            Err(Error::internal(anyhow::anyhow!("broken")))
        } else {
            Ok(())
        }
    });
    let consumer = rig.consumer("sink.tasks", &["task.*"], handler);
    rig.run(consumer.clone());
    rig.publish(&tasks(0..3)).await;
    let count = async || parked::list(&rig.sink).await.expect("parked events are listed").len();
    assert!(within(PATIENCE, async || count().await == 3).await, "three are parked");

    // Still broken: it stays, with one more attempt and no effect.
    let first = parked::list(&rig.sink).await.expect("parked events are listed")[0].clone();
    let error = parked::replay(&consumer, first.id).await.expect_err("it fails again");
    assert!(error.report().contains("broken"));
    let after = parked::list(&rig.sink).await.expect("parked events are listed")[0].clone();
    assert_eq!((after.id, after.attempts), (first.id, first.attempts + 1));
    assert!(rig.effects("sink.tasks").await.is_empty());

    broken.store(false, Ordering::SeqCst);
    parked::replay(&consumer, first.id).await.expect("it is handled");
    assert_eq!(rig.effects("sink.tasks").await, labels(0..1));
    assert_eq!(
        parked::replay(&consumer, first.id)
            .await
            .expect_err("it is gone")
            .kind(),
        chassis::error::Kind::NotFound
    );
    // The running consumer takes up the others.
    assert_eq!(parked::requeue(&rig.sink, None).await.expect("they are handed back"), 2);
    rig.wait_for_effects("sink.tasks", &labels(0..3)).await;
    assert_eq!(count().await, 0);
    rig.close().await;
}

async fn events_wait_for_a_consumer_that_is_not_there(kind: Kind) {
    let Some(rig) = Rig::new(kind).await else { return };
    let late = rig.consumer("sink.late", &["task.*"], Recorder::new("sink.late"));
    rig.bus.declare(&late);
    rig.relay();
    rig.record(&tasks(0..4)).await;
    let numbered = within(PATIENCE, async || {
        chassis::live::now_position(&rig.source)
            .await
            .expect("the outbox is read")
            == 4
    })
    .await;
    assert!(numbered, "the relay has them");
    rig.run(late);
    rig.wait_for_effects("sink.late", &labels(0..4)).await;
    rig.wait_until_published().await;
    rig.close().await;
}

struct Busy {
    now: AtomicUsize,
    most: AtomicUsize,
    done: Mutex<Vec<Uuid>>,
}

#[async_trait]
impl WorkHandler for Busy {
    async fn work(&self, id: Uuid) -> Result<()> {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(20)).await;
        self.now.fetch_sub(1, Ordering::SeqCst);
        self.done.lock().push(id);
        match id.as_u128() % 3 {
            0 => Err(Error::internal(anyhow::anyhow!("the row says when to try again"))),
            1 => panic!("a defect in a worker"),
            _ => Ok(()),
        }
    }
}

async fn work_is_done_by_as_many_as_allowed(kind: Kind) {
    let Some(rig) = Rig::new(kind).await else { return };
    let busy = Arc::new(Busy {
        now: AtomicUsize::new(0),
        most: AtomicUsize::new(0),
        done: Mutex::default(),
    });
    let ids: Vec<Uuid> = (0..30).map(|_| Uuid::now_v7()).collect();
    // The first ones before there is a worker.
    for (n, id) in ids.iter().enumerate() {
        if n == 10 {
            rig.tasks.spawn(rig.bus.work(
                Worker {
                    queue: "jobs",
                    concurrency: 3,
                    handler: busy.clone(),
                },
                rig.stop.clone(),
            ));
        }
        rig.bus
            .enqueue(&Job { queue: "jobs", id: *id })
            .await
            .expect("it is queued");
    }
    assert!(
        within(PATIENCE, async || busy.done.lock().len() >= ids.len()).await,
        "all is worked off"
    );
    let mut done = busy.done.lock().clone();
    done.sort();
    let mut expected = ids;
    expected.sort();
    assert_eq!(done, expected, "each once");
    assert_eq!(busy.most.load(Ordering::SeqCst), 3);
    rig.close().await;
}

async fn it_is_healthy(kind: Kind) {
    let Some(rig) = Rig::new(kind).await else { return };
    assert!(within(PATIENCE, async || rig.bus.health().await.is_ok()).await);
    rig.close().await;
}
