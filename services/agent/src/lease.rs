//! Leases on rows that are worked on: short, and renewed while the work goes on, so that what a killed process held is taken over soon.

use std::{convert::Infallible, future::Future, time::Duration};

use chassis::{Result, role::backoff};
use uuid::Uuid;

use crate::app::App;

/// How often a lease of 20 seconds is renewed.
const RENEW: Duration = Duration::from_secs(6);
/// Delays between tries to give a lease back.
const GIVE_BACK: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));
/// How often that is tried: after this the lease has run out.
const TRIES: u32 = 6;
/// How long work rests whose outcome could not be written down, by the attempts made.
const REST: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// What is leased.
#[derive(Clone, Copy)]
pub enum Of {
    /// An agent, by the reconciler.
    Agent,
    /// A message, by the sender.
    Message,
}

/// Does the work, and renews the lease until it is done.
pub async fn hold<T>(app: &App, of: Of, id: Uuid, lease: Uuid, work: impl Future<Output = T>) -> T {
    let renewal = move || async move {
        if let Err(error) = renew(app, of, id, lease).await {
            tracing::warn!(error = error.report(), %id, "a lease was not renewed");
        }
    };
    beside(work, RENEW, renewal).await
}

/// Does the work, and something again and again until it is done. Neither waits for the other: a renewal may wait for the row that a
/// transaction of the work has locked.
async fn beside<T, R>(work: impl Future<Output = T>, every: Duration, again: impl Fn() -> R) -> T
where
    R: Future<Output = ()>,
{
    tokio::select! {
        done = work => done,
        never = repeat(every, again) => match never {},
    }
}

async fn repeat<R>(every: Duration, again: impl Fn() -> R) -> Infallible
where
    R: Future<Output = ()>,
{
    loop {
        tokio::time::sleep(every).await;
        again().await;
    }
}

/// Gives a lease back when the outcome of the work could not be written down, so that it is taken up again after a rest that grows with
/// the attempts, and not when the lease has run out.
pub async fn give_back(app: &App, of: Of, id: Uuid, lease: Uuid, attempts: i32) {
    let attempts = u32::try_from(attempts).unwrap_or(u32::MAX).saturating_add(1);
    let rest = backoff(attempts, REST.0, REST.1);
    for tries in 1..=TRIES {
        match free(app, of, id, lease, rest).await {
            Ok(()) => return,
            Err(error) => tracing::warn!(error = error.report(), %id, tries, "a lease was not given back"),
        }
        tokio::time::sleep(backoff(tries, GIVE_BACK.0, GIVE_BACK.1)).await;
    }
}

async fn free(app: &App, of: Of, id: Uuid, lease: Uuid, rest: Duration) -> Result<()> {
    match of {
        Of::Agent => {
            sqlx::query!(
                "UPDATE agent.agents SET lease_id = NULL, lease_until = now() + make_interval(secs => $3), attempts = attempts + 1 \
                 WHERE id = $1 AND lease_id = $2",
                id,
                lease,
                rest.as_secs_f64()
            )
            .execute(app.store.pool())
            .await?
        }
        Of::Message => {
            sqlx::query!(
                "UPDATE agent.messages SET lease_id = NULL, lease_until = now() + make_interval(secs => $3) WHERE id = $1 AND lease_id = $2",
                id,
                lease,
                rest.as_secs_f64()
            )
            .execute(app.store.pool())
            .await?
        }
    };
    Ok(())
}

async fn renew(app: &App, of: Of, id: Uuid, lease: Uuid) -> Result<()> {
    match of {
        Of::Agent => {
            sqlx::query!(
                "UPDATE agent.agents SET lease_until = now() + interval '20 seconds' WHERE id = $1 AND lease_id = $2",
                id,
                lease
            )
            .execute(app.store.pool())
            .await?
        }
        Of::Message => {
            sqlx::query!(
                "UPDATE agent.messages SET lease_until = now() + interval '20 seconds' WHERE id = $1 AND lease_id = $2",
                id,
                lease
            )
            .execute(app.store.pool())
            .await?
        }
    };
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::sync::{Mutex, Notify};

    use super::*;

    #[tokio::test]
    async fn work_goes_on_while_a_renewal_waits_for_its_row() {
        let (row, waiting) = (Mutex::new(()), Notify::new());
        let work = async {
            let locked = row.lock().await;
            waiting.notified().await;
            drop(locked);
            7
        };
        let renewal = || async {
            waiting.notify_one();
            drop(row.lock().await);
        };
        let done = tokio::time::timeout(Duration::from_secs(10), beside(work, Duration::from_millis(1), renewal)).await;
        assert_eq!(done, Ok(7));
    }
}
