//! Leases on rows that are worked on: short, and renewed while the work goes on, so that what a killed process held is taken over soon.

use std::{future::Future, pin::pin, time::Duration};

use chassis::Result;
use uuid::Uuid;

use crate::app::App;

/// How often a lease of 20 seconds is renewed.
const RENEW: Duration = Duration::from_secs(6);

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
    let mut work = pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return done,
            () = tokio::time::sleep(RENEW) => {
                if let Err(error) = renew(app, of, id, lease).await {
                    tracing::warn!(error = error.report(), %id, "a lease was not renewed");
                }
            }
        }
    }
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
