//! A role as a value: what a service gives to the process that runs it.

use std::{future::Future, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use rand::RngExt;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::service::Routes;
use transcoder::Catalog;

use crate::{
    Result,
    bus::{Bus, Consumer, Worker},
    channel::Peers,
    idempotency::Keeper,
    identity::Signer,
    seal::Sealer,
    settings::Settings,
    store::{Schema, Store},
};

/// What every role is built from.
#[derive(Clone)]
pub struct Context {
    /// Configuration.
    pub settings: Arc<Settings>,
    /// The compiled contract.
    pub catalog: Catalog,
    /// Signs principals.
    pub signer: Signer,
    /// Encrypts secrets.
    pub sealer: Sealer,
    /// The other roles.
    pub peers: Peers,
    /// Events and work.
    pub bus: Arc<dyn Bus>,
    /// Ends everything.
    pub stop: CancellationToken,
}

impl Context {
    /// The store of a schema.
    pub fn store(&self, schema: Schema) -> Result<Store> {
        Store::open(&self.settings.database_url, schema, self.settings.database_connections)
    }
}

/// A service as a value: its routes and what runs beside them.
pub struct Role {
    /// Its name (`board`).
    pub name: &'static str,
    /// Its gRPC services.
    pub routes: Routes,
    /// Full names of those services, for health and reflection.
    pub services: Vec<&'static str>,
    /// Loops, consumers and workers.
    pub tasks: Vec<Task>,
    /// Its consumers, for declaring them and for replaying what they parked.
    pub consumers: Vec<Consumer>,
    /// What it depends on, for readiness.
    pub checks: Vec<Check>,
    /// Keeps answers of requests that may be repeated.
    pub keeper: Option<Keeper>,
}

impl Role {
    /// A role without anything.
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            routes: Routes::default(),
            services: Vec::new(),
            tasks: Vec::new(),
            consumers: Vec::new(),
            checks: Vec::new(),
            keeper: None,
        }
    }

    /// Adds a gRPC service.
    #[must_use]
    pub fn service<S>(mut self, service: S) -> Self
    where
        S: tower::Service<
                http::Request<tonic::body::Body>,
                Error = std::convert::Infallible,
                Response = http::Response<tonic::body::Body>,
            > + tonic::server::NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
    {
        self.services.push(S::NAME);
        self.routes = self.routes.add_service(service);
        self
    }

    /// Adds the store: readiness, the relay of its outbox, and idempotency keys.
    #[must_use]
    pub fn store(mut self, context: &Context, store: &Store) -> Self {
        self.keeper = Some(Keeper::new(store.clone(), context.sealer.clone()));
        let checked = store.clone();
        self.checks.push(Check::new("database", move || {
            let store = checked.clone();
            async move { store.ping().await }
        }));
        let (relayed, bus) = (store.clone(), context.bus.clone());
        self.task("outbox-relay", move |stop| {
            crate::relay::run(relayed.clone(), bus.clone(), stop)
        })
    }

    /// Adds a consumer of events.
    #[must_use]
    pub fn consumer(mut self, context: &Context, consumer: Consumer) -> Self {
        let bus = context.bus.clone();
        bus.declare(&consumer);
        self.consumers.push(consumer.clone());
        let name = consumer.name;
        self.task(name, move |stop| {
            let running = bus.consume(consumer.clone(), stop);
            async move {
                running.await;
                Ok(())
            }
        })
    }

    /// Adds a worker of a queue.
    #[must_use]
    pub fn worker(self, context: &Context, worker: Worker) -> Self {
        let bus = context.bus.clone();
        let name = worker.queue;
        self.task(name, move |stop| {
            let running = bus.work(worker.clone(), stop);
            async move {
                running.await;
                Ok(())
            }
        })
    }

    /// Adds a loop. It runs until the token is cancelled; one that fails or panics is started again with growing delays.
    #[must_use]
    pub fn task<F, R>(mut self, name: &'static str, run: F) -> Self
    where
        F: Fn(CancellationToken) -> R + Send + Sync + 'static,
        R: Future<Output = Result<()>> + Send + 'static,
    {
        self.tasks.push(Task {
            name,
            run: Arc::new(move |stop| Box::pin(run(stop))),
        });
        self
    }
}

/// A loop of a role.
#[derive(Clone)]
pub struct Task {
    /// For logs.
    pub name: &'static str,
    run: Arc<dyn Fn(CancellationToken) -> BoxFuture<'static, Result<()>> + Send + Sync>,
}

impl Task {
    /// Runs it on the tracker until `stop`, starting it again when it fails.
    pub fn supervise(self, role: &'static str, stop: CancellationToken, tracker: &TaskTracker) {
        tracker.spawn(async move {
            let mut failures = 0u32;
            while !stop.is_cancelled() {
                let started = tokio::time::Instant::now();
                // A task of its own, so that a panic ends the loop and not the process.
                match tokio::spawn((self.run)(stop.clone())).await {
                    Ok(Ok(())) => return,
                    Ok(Err(error)) => tracing::error!(role, task = self.name, %error, "task failed"),
                    Err(error) => tracing::error!(role, task = self.name, %error, "task panicked"),
                }
                failures = if started.elapsed() > Duration::from_secs(60) {
                    1
                } else {
                    failures + 1
                };
                let delay = backoff(failures, Duration::from_millis(200), Duration::from_secs(30));
                let _ = tokio::time::timeout(delay, stop.cancelled()).await;
            }
        });
    }
}

/// Something a role depends on.
#[derive(Clone)]
pub struct Check {
    /// What is named when it is missing (`database`, `broker`).
    pub name: &'static str,
    probe: Arc<dyn Fn() -> BoxFuture<'static, Result<()>> + Send + Sync>,
}

impl Check {
    /// A probe; its error says what is missing.
    pub fn new<F, R>(name: &'static str, probe: F) -> Self
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = Result<()>> + Send + 'static,
    {
        Self {
            name,
            probe: Arc::new(move || Box::pin(probe())),
        }
    }

    /// Asks, for two seconds at most.
    pub async fn ask(&self) -> Result<()> {
        tokio::time::timeout(Duration::from_secs(2), (self.probe)())
            .await
            .unwrap_or_else(|_| Err(crate::Error::unavailable(format!("{} does not answer", self.name))))
    }
}

/// The delay before attempt `failures + 1`: exponential from `base` to `cap`, with full jitter
/// (<https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>), never below a tenth.
pub fn backoff(failures: u32, base: Duration, cap: Duration) -> Duration {
    let ceiling = base
        .saturating_mul(2u32.saturating_pow(failures.saturating_sub(1).min(20)))
        .min(cap);
    ceiling.mul_f64(rand::rng().random_range(0.1..=1.0))
}
