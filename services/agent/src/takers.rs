//! The loop of everything that takes work from rows under leases: the reconciler, the sender of messages, the reader of skill packs.

use std::{future::Future, time::Duration};

use chassis::{Result, role::backoff};
use futures::future::BoxFuture;
use tokio::{
    sync::Notify,
    task::{JoinError, JoinSet},
};
use tokio_util::sync::CancellationToken;

/// How work of one kind is taken.
pub struct Takers<'a> {
    /// What is worked on, for the log.
    pub what: &'static str,
    /// How many are worked on at once.
    pub most: usize,
    /// Tells that there may be work.
    pub woken: &'a Notify,
    /// Longest wait before the rows are looked at again: for what other processes and consumers wrote.
    pub idle: Duration,
    /// Longest wait while the rows cannot be looked at.
    pub away: Duration,
}

impl Takers<'_> {
    /// Takes work and begins it until `stop`; answers what is under way then. `claim` leases as much as there is room for.
    ///
    /// A look that fails is repeated; what is under way goes on. Ending there would cut it off with its leases held.
    pub async fn take<'c, T, W>(
        &self,
        stop: &CancellationToken,
        claim: impl Fn(usize) -> BoxFuture<'c, Result<Vec<T>>>,
        begin: impl Fn(T) -> W,
    ) -> JoinSet<Result<()>>
    where
        W: Future<Output = Result<()>> + Send + 'static,
    {
        let mut working = JoinSet::new();
        let mut failures = 0;
        while !stop.is_cancelled() {
            while let Some(ended) = working.try_join_next() {
                self.log(ended);
            }
            let room = self.most.saturating_sub(working.len());
            let claimed = if room == 0 { Ok(Vec::new()) } else { claim(room).await };
            let pause = match claimed {
                Ok(claimed) => {
                    for taken in claimed {
                        working.spawn(begin(taken));
                    }
                    failures = 0;
                    self.idle
                }
                Err(error) => {
                    failures += 1;
                    tracing::warn!(
                        work = self.what,
                        error = error.report(),
                        failures,
                        "what is due could not be looked for"
                    );
                    backoff(failures, self.idle, self.away)
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.woken.notified(), if failures == 0 => {}
                Some(ended) = working.join_next(), if !working.is_empty() => self.log(ended),
                () = tokio::time::sleep(pause) => {}
            }
        }
        working
    }

    /// Waits for what is under way, for so long at most; answers whether all of it ended.
    pub async fn drain(&self, working: &mut JoinSet<Result<()>>, within: Duration) -> bool {
        let drained = async {
            while let Some(ended) = working.join_next().await {
                self.log(ended);
            }
        };
        tokio::time::timeout(within, drained).await.is_ok()
    }

    fn log(&self, ended: Result<Result<()>, JoinError>) {
        match ended {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(
                work = self.what,
                error = error.report(),
                "an outcome could not be recorded"
            ),
            Err(error) if error.is_cancelled() => {}
            Err(error) => tracing::error!(work = self.what, %error, "work panicked"),
        }
    }
}
