//! A process is killed with SIGKILL between any two steps, and another one goes on: nothing is lost, everything has one effect, in order.
//!
//! The process that dies is this test binary, started again; it prints [`REACHED`] when it is at the step and goes no further.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use chassis::{
    Result, Tx,
    bus::{Bus, Consumer, Handler, Job, Worker},
};
use futures::future::BoxFuture;
use lapin::options::QueueDeclareOptions;
use proto::event::v1::Event;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Notify, broadcast},
};
use tokio_util::sync::CancellationToken;

use crate::{
    bus::on_both,
    support::{Kind, PATIENCE, Recorder, Rig, channel, labels, tasks, within},
};

const REACHED: &str = "REACHED";
const EVENTS: usize = 20;
const VARIABLE: &str = "MISSION_CONTROL_TEST_STEP";

on_both!(
    after_the_commit,
    after_positions_are_given,
    after_publishing,
    inside_the_handler
);

async fn after_the_commit(kind: Kind) {
    survives(kind, "commit", (0, 0)).await;
}

async fn after_positions_are_given(kind: Kind) {
    survives(kind, "number", (EVENTS, 0)).await;
}

async fn after_publishing(kind: Kind) {
    survives(kind, "publish", (EVENTS, 0)).await;
}

async fn inside_the_handler(kind: Kind) {
    survives(kind, "handle", (EVENTS, 0)).await;
}

/// Only a broker knows a step between the consumer's commit and its acknowledgement.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_consumers_commit_before_the_acknowledgement() {
    survives(Kind::Rabbit, "acknowledge", (EVENTS, EVENTS)).await;
}

/// Lets a process reach the step and die there, checks that it died there, and goes on in this one. `left`: events that had positions, and
/// messages that were not acknowledged.
async fn survives(kind: Kind, step: &str, left: (usize, usize)) {
    let Some(rig) = Rig::new(kind).await else { return };
    let mut child = Command::new(std::env::current_exe().expect("this binary has a path"))
        .args(["--exact", "kill::the_process_that_dies", "--ignored", "--nocapture"])
        .env(VARIABLE, [step, &format!("{kind:?}"), &rig.url, &rig.prefix].join(" "))
        .stdout(Stdio::piped())
        .spawn()
        .expect("the process starts");
    let output = child.stdout.take().expect("its output is read");
    let reached = tokio::task::spawn_blocking(move || {
        BufReader::new(output)
            .lines()
            .map_while(Result::ok)
            .any(|line| line.contains(REACHED))
    });
    let reached = tokio::time::timeout(PATIENCE, reached).await;
    child.kill().expect("SIGKILL");
    child.wait().expect("it is dead");
    assert!(
        reached.expect("in time").expect("read"),
        "the process came to the step `{step}`"
    );

    let count = async |sql: &'static str| {
        sqlx::query_scalar::<_, i64>(sql)
            .fetch_one(rig.source.pool())
            .await
            .expect("it is counted")
    };
    let effects = rig.effects("sink.tasks").await.len();
    let as_count = |n: usize| i64::try_from(n).expect("small");
    assert_eq!(
        count("SELECT count(*) FROM source.change_log").await,
        as_count(left.0),
        "positions given before `{step}`"
    );
    match step {
        "acknowledge" => {
            assert!(effects > 0, "the consumer had committed");
            let (_connection, channel) = channel(&rig.amqp).await;
            let passive = QueueDeclareOptions {
                passive: true,
                ..QueueDeclareOptions::default()
            };
            let waiting = async || {
                let queue = channel
                    .queue_declare(
                        format!("{}.sink.tasks", rig.prefix).into(),
                        passive,
                        lapin::types::FieldTable::default(),
                    )
                    .await;
                usize::try_from(queue.expect("the queue is there").message_count()).expect("small") == left.1
            };
            assert!(within(PATIENCE, waiting).await, "every message was given back");
        }
        "publish" => assert!(
            count("SELECT published FROM source.relay").await == 0,
            "nothing was marked"
        ),
        _ => assert_eq!(effects, 0, "nothing had taken effect"),
    }

    rig.record_effects("sink.tasks", &["task.*"]);
    rig.relay();
    rig.wait_until_published().await;
    rig.wait_for_effects("sink.tasks", &labels(0..EVENTS)).await;
    // What comes after is handled after: nothing of the past is still on its way.
    rig.record(&tasks(EVENTS..EVENTS + 1)).await;
    rig.wait_for_effects("sink.tasks", &labels(0..EVENTS + 1)).await;
    rig.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the other half of the tests of this module, which start it"]
async fn the_process_that_dies() {
    let parameters = std::env::var(VARIABLE).expect("started by a test of this module");
    let [step, kind, url, prefix] = parameters.split(' ').collect::<Vec<_>>()[..] else {
        panic!("four parameters")
    };
    let kind = if kind == "Memory" { Kind::Memory } else { Kind::Rabbit };
    let gate = Arc::new(Gate::default());
    let amqp = match (kind, step) {
        (Kind::Memory, _) => String::new(),
        (Kind::Rabbit, "acknowledge") => gate.clone().proxy(&std::env::var("TEST_AMQP_URL").expect("set")).await,
        (Kind::Rabbit, _) => std::env::var("TEST_AMQP_URL").expect("set"),
    };
    let mut rig = Rig::attach(kind, url, amqp, prefix);
    rig.bus = Arc::new(Stepping {
        inner: rig.bus.clone(),
        step: step.to_owned(),
    });
    rig.run(rig.consumer(
        "sink.tasks",
        &["task.*"],
        Arc::new(SteppingHandler {
            step: step.to_owned(),
            gate: gate.clone(),
            inner: Recorder::new("sink.tasks"),
        }),
    ));
    rig.record(&tasks(0..EVENTS)).await;
    if step == "commit" {
        reached().await;
    }
    rig.relay();
    if step == "acknowledge" {
        // Committed by the consumer; the acknowledgement is held back by the gate.
        assert!(within(PATIENCE, async || rig.effects("sink.tasks").await.len() == EVENTS).await);
        reached().await;
    }
    tokio::time::sleep(PATIENCE).await;
}

/// Tells the parent and goes no further.
async fn reached() -> ! {
    println!("\n{REACHED}");
    std::future::pending().await
}

/// A bus that stops before or after publishing.
struct Stepping {
    inner: Arc<dyn Bus>,
    step: String,
}

impl Bus for Stepping {
    fn publish<'a>(&'a self, events: &'a [Event]) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            if self.step == "number" {
                reached().await;
            }
            self.inner.publish(events).await?;
            if self.step == "publish" {
                reached().await;
            }
            Ok(())
        })
    }

    fn enqueue<'a>(&'a self, job: &'a Job) -> BoxFuture<'a, Result<()>> {
        self.inner.enqueue(job)
    }

    fn declare(&self, consumer: &Consumer) {
        self.inner.declare(consumer);
    }

    fn consume(&self, consumer: Consumer, stop: CancellationToken) -> BoxFuture<'static, ()> {
        self.inner.consume(consumer, stop)
    }

    fn work(&self, worker: Worker, stop: CancellationToken) -> BoxFuture<'static, ()> {
        self.inner.work(worker, stop)
    }

    fn watch(&self) -> broadcast::Receiver<Arc<Event>> {
        self.inner.watch()
    }

    fn wake<'a>(&'a self, schema: &'a str) -> BoxFuture<'a, ()> {
        self.inner.wake(schema)
    }

    fn on_wake(&self, schema: &'static str, poke: Arc<Notify>) {
        self.inner.on_wake(schema, poke);
    }

    fn health(&self) -> BoxFuture<'_, Result<()>> {
        self.inner.health()
    }
}

/// A handler that stops after its effect, or closes the gate first.
struct SteppingHandler {
    step: String,
    gate: Arc<Gate>,
    inner: Arc<Recorder>,
}

#[async_trait]
impl Handler for SteppingHandler {
    async fn handle(&self, tx: &mut Tx, events: &[Event]) -> Result<()> {
        if self.step == "acknowledge" {
            self.gate.closed.store(true, Ordering::SeqCst);
        }
        self.inner.handle(tx, events).await?;
        if self.step == "handle" {
            reached().await;
        }
        Ok(())
    }
}

/// Stands between this process and the broker. Closed, it lets nothing more through to the broker.
#[derive(Default)]
struct Gate {
    closed: AtomicBool,
}

impl Gate {
    /// The URL of the broker through the gate.
    async fn proxy(self: Arc<Self>, amqp: &str) -> String {
        let mut url = url::Url::parse(amqp).expect("TEST_AMQP_URL is a URL");
        let broker = (
            url.host_str().expect("it has a host").to_owned(),
            url.port().unwrap_or(5672),
        );
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        url.set_port(Some(listener.local_addr().expect("it is bound").port()))
            .expect("it takes a port");
        url.set_host(Some("127.0.0.1")).expect("it takes a host");
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let far = TcpStream::connect(broker.clone()).await.expect("the broker answers");
                let (mut near_in, mut near_out) = near.into_split();
                let (mut far_in, mut far_out) = far.into_split();
                let gate = self.clone();
                tokio::spawn(async move {
                    let mut buffer = vec![0; 65536];
                    while let Ok(read @ 1..) = near_in.read(&mut buffer).await {
                        while gate.closed.load(Ordering::SeqCst) {
                            tokio::time::sleep(Duration::from_millis(10)).await;
                        }
                        if far_out.write_all(&buffer[..read]).await.is_err() {
                            return;
                        }
                    }
                });
                tokio::spawn(async move { tokio::io::copy(&mut far_in, &mut near_out).await });
            }
        });
        url.to_string()
    }
}
