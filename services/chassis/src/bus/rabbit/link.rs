//! One connection to the broker, kept up by one loop of our own.
//!
//! lapin's own recovery replays a topology it remembers and may hand back a channel that is half alive
//! (<https://github.com/amqp-rs/lapin/issues/421>). Here a lost connection is thrown away with all its channels; whoever used it waits for
//! the next one and declares what it needs again.

use std::{sync::Arc, time::Duration};

use futures::StreamExt;
use lapin::{Connection, ConnectionProperties, uri::AMQPUri};
use parking_lot::Mutex;
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{Error, Result, role::backoff};

/// Longest time for connecting, TLS and log-in included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a connection is looked at without being told anything. Costs an atomic read.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// A connection that comes back. Clones are the same connection.
#[derive(Clone)]
pub(super) struct Link {
    current: watch::Sender<Option<Arc<Connection>>>,
    trouble: Arc<Mutex<String>>,
}

impl Link {
    pub(super) fn new() -> Self {
        Self {
            current: watch::Sender::new(None),
            trouble: Arc::new(Mutex::new("not connected yet".to_owned())),
        }
    }

    /// The connection, as soon as there is one.
    pub(super) async fn connection(&self) -> Arc<Connection> {
        let mut current = self.current.subscribe();
        loop {
            if let Ok(found) = current
                .wait_for(|connection| {
                    connection
                        .as_ref()
                        .is_some_and(|connection| connection.status().connected())
                })
                .await
                && let Some(connection) = found.as_ref()
            {
                return connection.clone();
            }
        }
    }

    /// The connection, when it is there within a deadline.
    pub(super) async fn connection_within(&self, deadline: Duration) -> Result<Arc<Connection>> {
        tokio::time::timeout(deadline, self.connection())
            .await
            .map_err(|_| self.away())
    }

    /// Answers when a connection is not the one in use any more.
    pub(super) async fn ended(&self, connection: &Arc<Connection>) -> Error {
        let mut current = self.current.subscribe();
        // Fails only when nobody keeps the connection up any more: then it has ended, too.
        let _ = current
            .wait_for(|current| !current.as_ref().is_some_and(|current| Arc::ptr_eq(current, connection)))
            .await;
        self.away()
    }

    /// Whether it is up; the error says why not.
    pub(super) fn check(&self) -> Result<()> {
        if self
            .current
            .borrow()
            .as_ref()
            .is_some_and(|connection| connection.status().connected())
        {
            Ok(())
        } else {
            Err(self.away())
        }
    }

    fn away(&self) -> Error {
        Error::unavailable(format!("The broker is not available: {}", self.trouble.lock()))
    }

    /// The supervised loop: connects, watches, connects again.
    pub(super) async fn keep(self, uri: AMQPUri, name: &'static str, stop: CancellationToken) {
        let mut failures = 0;
        loop {
            let properties = ConnectionProperties::default().with_connection_name(name.into());
            let started = Instant::now();
            let trouble =
                match tokio::time::timeout(CONNECT_TIMEOUT, Connection::connect_uri(uri.clone(), properties)).await {
                    Ok(Ok(connection)) => {
                        tracing::info!(connection = name, "broker connected");
                        let connection = Arc::new(connection);
                        self.current.send_replace(Some(connection.clone()));
                        let trouble = lost(&connection).await;
                        self.current.send_replace(None);
                        trouble
                    }
                    Ok(Err(error)) => error.to_string(),
                    Err(_) => "it did not answer in time".to_owned(),
                };
            // After the signal to stop a lost connection stays lost: what was in hand is delivered again.
            if stop.is_cancelled() {
                return;
            }
            failures = if started.elapsed() > Duration::from_secs(30) {
                1
            } else {
                failures + 1
            };
            metrics::counter!("mc_bus_reconnects_total", "connection" => name).increment(1);
            tracing::warn!(connection = name, error = trouble, failures, "broker away");
            *self.trouble.lock() = trouble;
            if tokio::time::timeout(
                backoff(failures, Duration::from_millis(100), Duration::from_secs(5)),
                stop.cancelled(),
            )
            .await
            .is_ok()
            {
                return;
            }
        }
    }
}

/// Answers when the connection is gone, and why.
async fn lost(connection: &Connection) -> String {
    let mut events = std::pin::pin!(connection.events_listener());
    let mut trouble = "the connection was lost".to_owned();
    loop {
        tokio::select! {
            Some(event) = events.next() => if let lapin::Event::Error(error) = event {
                trouble = error.to_string();
            },
            () = tokio::time::sleep(LOOK_INTERVAL) => {}
        }
        if !connection.status().connected() {
            return trouble;
        }
    }
}
