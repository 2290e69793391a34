//! What only a broker can do to us: go away, come back, give a message up, bring something that is no event.

use std::{path::PathBuf, process::Command, time::Duration};

use chassis::bus::parked;
use futures::StreamExt;
use lapin::{
    BasicProperties,
    options::{BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, BasicRejectOptions},
    types::FieldTable,
};

use crate::support::{Kind, PATIENCE, Recorder, Rig, amqp_url, channel, event, labels, tasks, within};

/// A broker of a test's own, by the script that people use.
struct Broker {
    directory: tempfile::TempDir,
}

impl Broker {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().expect("a folder is made"),
        }
    }

    fn run(&self, action: &str) -> String {
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../scripts/rabbitmq");
        let output = Command::new(script)
            .arg(action)
            .arg(self.directory.path())
            .output()
            .expect("the script runs");
        assert!(
            output.status.success(),
            "{action}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout)
            .expect("it prints text")
            .trim()
            .to_owned()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../scripts/rabbitmq");
        let _ = Command::new(script).arg("kill").arg(self.directory.path()).output();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_crashes_mid_stream_loses_nothing() {
    if amqp_url().is_none() {
        return;
    }
    let broker = Broker::new();
    broker.run("start");
    let rig = Rig::with_broker(Kind::Rabbit, broker.run("url")).await;
    rig.record_effects("sink.tasks", &["task.*"]);
    rig.relay();
    let feed = chassis::live::Feed::new(rig.source.clone(), rig.bus.clone());
    let mut watcher = Box::pin(feed.watch(chassis::live::Start::After(0), |_| true));
    let total = 1200;
    for n in (0..total).step_by(10) {
        rig.record(&tasks(n..n + 10)).await;
        if n == 400 {
            // Some are on their way, some in queues, some being handled.
            broker.run("kill");
        }
        if n == 800 {
            assert!(
                within(PATIENCE, async || rig.bus.health().await.is_err()).await,
                "a broker that is away is told"
            );
            broker.run("start");
        }
    }
    rig.wait_for_effects("sink.tasks", &labels(0..total)).await;
    rig.wait_until_published().await;
    assert!(within(PATIENCE, async || rig.bus.health().await.is_ok()).await);
    let mut seen = Vec::new();
    while seen.len() < total {
        let next = tokio::time::timeout(PATIENCE, watcher.next())
            .await
            .expect("the watcher goes on");
        seen.push(
            next.expect("the stream goes on")
                .expect("it is an event")
                .message
                .clone(),
        );
    }
    assert_eq!(seen, labels(0..total), "the watcher has no gap");
    assert!(
        parked::list(&rig.sink)
            .await
            .expect("parked events are listed")
            .is_empty()
    );
    rig.halt().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_nobody_takes_stays_in_the_outbox() {
    let Some(rig) = Rig::new(Kind::Rabbit).await else {
        return;
    };
    let error = rig.bus.publish(&tasks(0..1)).await.expect_err("no queue takes it");
    assert!(
        error.is_transient() && error.to_string().contains("task.created"),
        "{error}"
    );
    rig.relay();
    rig.record(&tasks(0..3)).await;
    rig.record_effects("sink.tasks", &["task.*"]);
    rig.wait_for_effects("sink.tasks", &labels(0..3)).await;
    rig.wait_until_published().await;
    rig.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_broker_gives_up_is_parked() {
    let Some(rig) = Rig::new(Kind::Rabbit).await else {
        return;
    };
    let consumer = rig.consumer("sink.tasks", &["task.*"], Recorder::new("sink.tasks"));
    rig.bus.declare(&consumer);
    let events = tasks(0..1);
    rig.bus.publish(&events).await.expect("it is published");
    // A process that dies with the event in hand, again and again.
    let (_connection, channel) = channel(&rig.amqp).await;
    channel
        .basic_qos(1, BasicQosOptions::default())
        .await
        .expect("the prefetch is set");
    let queue = format!("{}.sink.tasks", rig.prefix);
    let mut deliveries = channel
        .basic_consume(
            queue.into(),
            "dying".into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        )
        .await
        .expect("it is consumed");
    let mut times = 0;
    while let Ok(Some(delivery)) = tokio::time::timeout(std::time::Duration::from_secs(2), deliveries.next()).await {
        delivery
            .expect("it is delivered")
            .reject(BasicRejectOptions { requeue: true })
            .await
            .expect("it is given back");
        times += 1;
        assert!(times < 100, "it is given up some time");
    }
    assert!(times > 10, "it is not given up early");
    channel
        .basic_cancel("dying".into(), lapin::options::BasicCancelOptions::default())
        .await
        .expect("it is cancelled");
    rig.run(consumer.clone());
    assert!(
        within(PATIENCE, async || parked::list(&rig.sink)
            .await
            .expect("parked events are listed")
            .len()
            == 1)
        .await,
        "it is parked"
    );
    let found = parked::list(&rig.sink)
        .await
        .expect("parked events are listed")
        .remove(0);
    assert_eq!(found.event.map(|event| event.id), Some(events[0].id.clone()));
    assert!(found.error.contains("gave it up"), "{}", found.error);
    assert!(rig.effects("sink.tasks").await.is_empty());
    parked::replay(&consumer, found.id).await.expect("it is handled");
    assert_eq!(rig.effects("sink.tasks").await, labels(0..1));
    rig.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_event_is_parked() {
    let Some(rig) = Rig::new(Kind::Rabbit).await else {
        return;
    };
    rig.record_effects("sink.tasks", &["task.*"]);
    rig.bus.publish(&tasks(0..1)).await.expect("it is published");
    let (_connection, channel) = channel(&rig.amqp).await;
    for bytes in [&b"\xff\xff\xff"[..], &chassis_event_without_id()] {
        channel
            .basic_publish(
                format!("{}.events", rig.prefix).into(),
                "task.created".into(),
                BasicPublishOptions::default(),
                bytes,
                BasicProperties::default(),
            )
            .await
            .expect("it is published");
    }
    assert!(
        within(PATIENCE, async || parked::list(&rig.sink)
            .await
            .expect("parked events are listed")
            .len()
            == 2)
        .await,
        "both are parked"
    );
    rig.bus.publish(&tasks(1..2)).await.expect("it is published");
    rig.wait_for_effects("sink.tasks", &labels(0..2)).await;
    let found = parked::list(&rig.sink).await.expect("parked events are listed");
    assert!(
        found
            .iter()
            .any(|parked| parked.event.is_none() && parked.error.contains("not an event"))
    );
    assert!(
        found
            .iter()
            .any(|parked| parked.event.is_some() && parked.error.contains("event id"))
    );
    rig.close().await;
}

fn chassis_event_without_id() -> Vec<u8> {
    prost::Message::encode_to_vec(&proto::event::v1::Event {
        id: "none".into(),
        ..event("task.created", "x")
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_in_another_process_wakes_the_relay() {
    let Some(rig) = Rig::new(Kind::Rabbit).await else {
        return;
    };
    rig.record_effects("sink.tasks", &["task.*"]);
    rig.relay();
    let mut live = rig.bus.watch();
    // What is published before the live queue is bound does not come by it: watchers read that from the log, when the bus tells of the gap.
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        rig.record(&tasks(0..1)).await;
        let heard = tokio::time::timeout(Duration::from_millis(500), async {
            while live.recv().await.expect("it is an event").message != "0" {}
        });
        if heard.await.is_ok() {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "the live queue is bound");
    }
    rig.wait_until_published().await;
    // This one waits for its turn and passes its pokes on.
    let other = rig.sibling();
    other.relay();
    let mut took = Vec::new();
    for n in 1..30 {
        let started = std::time::Instant::now();
        other.record(&tasks(n..n + 1)).await;
        loop {
            let event = tokio::time::timeout(PATIENCE, live.recv())
                .await
                .expect("it comes")
                .expect("it is an event");
            if event.message == n.to_string() {
                break;
            }
        }
        took.push(started.elapsed());
    }
    took.sort();
    eprintln!(
        "commit elsewhere to live watcher: median {:?}, slowest {:?}",
        took[took.len() / 2],
        took[took.len() - 1]
    );
    // Without a wake-up call it takes a quarter of a second on average.
    assert!(took[took.len() / 2] < Duration::from_millis(150), "{took:?}");
    other.halt().await;
    rig.close().await;
}
