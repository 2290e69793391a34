//! Who keeps the session of a gateway: one replica of this role at a time, told by rows that live and die with their replica.
//!
//! A replica holds an advisory lock on its id with a connection of its own, so that the database knows at once when its process is gone,
//! and renews its row, for the case that its whole machine is. Whoever notices removes the row; the leases go with it and are free.

use std::{collections::HashSet, time::Duration};

use chassis::{Error, Result, Store};
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

/// How often a replica renews its row and looks for gateways without a session.
pub const RENEW: Duration = Duration::from_secs(3);
/// How long a row counts that is not renewed.
const LIFETIME: &str = "20 seconds";

/// How long the connection with the lock may take to answer: one whose other end is gone says nothing at all.
const PING: Duration = Duration::from_secs(2);

/// Whose a gateway's session is.
#[derive(Debug, PartialEq, Eq)]
pub enum Owner {
    /// This replica's.
    Ours,
    /// The replica's at this address.
    Theirs(String),
}

/// The leases, as one replica sees them.
pub struct Leases {
    store: Store,
    replica: Uuid,
    address: String,
    /// Holds the lock. None before the first round and after the database was away.
    alive: tokio::sync::Mutex<Option<PgConnection>>,
}

impl Leases {
    /// Leases of a new replica that others reach at this address.
    pub fn new(store: Store, address: String) -> Self {
        Self {
            store,
            replica: Uuid::now_v7(),
            address,
            alive: tokio::sync::Mutex::default(),
        }
    }

    /// Says that this replica lives: takes the lock again when its connection was lost, and renews the row.
    pub async fn renew(&self) -> Result<()> {
        let mut alive = self.alive.lock().await;
        if let Some(connection) = alive.as_mut()
            && !matches!(tokio::time::timeout(PING, connection.ping()).await, Ok(Ok(())))
        {
            *alive = None;
        }
        if alive.is_none() {
            let mut connection = self.store.pool().acquire().await?.detach();
            let locked = sqlx::query_scalar!(
                "SELECT pg_try_advisory_lock(hashtextextended('gateway replica ' || $1::text, 0)) AS \"locked!\"",
                self.replica.to_string()
            )
            .fetch_one(&mut connection)
            .await?;
            // While the database has not noticed that the old connection is lost, that one holds it.
            *alive = locked.then_some(connection);
        }
        drop(alive);
        sqlx::query!(
            "INSERT INTO gateway.replicas (id, address, expires_at) VALUES ($1, $2, now() + $3::text::interval) \
             ON CONFLICT (id) DO UPDATE SET expires_at = excluded.expires_at",
            self.replica,
            self.address,
            LIFETIME
        )
        .execute(self.store.pool())
        .await?;
        Ok(())
    }

    /// Removes replicas that are gone; their leases go with them.
    async fn bury(&self) -> Result<()> {
        let gone = sqlx::query!(
            "DELETE FROM gateway.replicas WHERE id <> $1 \
                 AND (expires_at < now() OR pg_try_advisory_xact_lock(hashtextextended('gateway replica ' || id::text, 0)))",
            self.replica
        )
        .execute(self.store.pool())
        .await?;
        if gone.rows_affected() > 0 {
            tracing::info!(replicas = gone.rows_affected(), "took over from replicas that are gone");
        }
        Ok(())
    }

    /// Takes every gateway that nobody has, and answers all that are ours.
    pub async fn take_all(&self) -> Result<HashSet<Uuid>> {
        self.bury().await?;
        sqlx::query!(
            "INSERT INTO gateway.leases (gateway_id, replica_id) \
             SELECT g.id, $1 FROM gateway.gateways g WHERE NOT EXISTS (SELECT FROM gateway.leases l WHERE l.gateway_id = g.id) \
             ON CONFLICT (gateway_id) DO NOTHING",
            self.replica
        )
        .execute(self.store.pool())
        .await?;
        let ours = sqlx::query_scalar!(
            "SELECT gateway_id FROM gateway.leases WHERE replica_id = $1",
            self.replica
        )
        .fetch_all(self.store.pool())
        .await?;
        Ok(ours.into_iter().collect())
    }

    /// Takes one gateway when nobody has it, and says whose it is; `None` when there is no such gateway.
    pub async fn take(&self, gateway: Uuid) -> Result<Option<Owner>> {
        // Once more when the one who had it was gone.
        for look in 0..2 {
            if look > 0 {
                self.bury().await?;
            }
            sqlx::query!(
                "INSERT INTO gateway.leases (gateway_id, replica_id) SELECT g.id, r.id FROM gateway.gateways g, gateway.replicas r \
                 WHERE g.id = $1 AND r.id = $2 ON CONFLICT (gateway_id) DO NOTHING",
                gateway,
                self.replica
            )
            .execute(self.store.pool())
            .await?;
            let owner = sqlx::query!(
                "SELECT r.id, r.address, \
                     r.id <> $2 AND (r.expires_at < now() OR pg_try_advisory_xact_lock(hashtextextended('gateway replica ' || r.id::text, 0))) \
                         AS \"gone!\" \
                 FROM gateway.leases l JOIN gateway.replicas r ON r.id = l.replica_id WHERE l.gateway_id = $1",
                gateway,
                self.replica
            )
            .fetch_optional(self.store.pool())
            .await?;
            match owner {
                Some(owner) if owner.id == self.replica => return Ok(Some(Owner::Ours)),
                Some(owner) if !owner.gone => return Ok(Some(Owner::Theirs(owner.address))),
                Some(_) => {}
                None => {
                    let exists = sqlx::query_scalar!("SELECT id FROM gateway.gateways WHERE id = $1", gateway)
                        .fetch_optional(self.store.pool())
                        .await?;
                    if exists.is_none() {
                        return Ok(None);
                    }
                    // This replica has not told yet that it lives.
                    self.renew().await?;
                }
            }
        }
        Err(Error::unavailable(
            "The gateway is being taken over by another replica. Try again in a moment.",
        ))
    }

    /// Writes down what this replica sees of a gateway that is its own.
    pub async fn tell(&self, gateway: Uuid, connection: &[u8]) -> Result<()> {
        sqlx::query!(
            "UPDATE gateway.leases SET connection = $3 WHERE gateway_id = $1 AND replica_id = $2",
            gateway,
            self.replica,
            connection
        )
        .execute(self.store.pool())
        .await?;
        Ok(())
    }

    /// What other replicas see of these gateways.
    pub async fn told(&self, gateways: &[Uuid]) -> Result<Vec<(Uuid, Vec<u8>)>> {
        let rows = sqlx::query!(
            "SELECT gateway_id, connection AS \"connection!\" FROM gateway.leases WHERE gateway_id = ANY($1) AND connection IS NOT NULL",
            gateways
        )
        .fetch_all(self.store.pool())
        .await?;
        Ok(rows.into_iter().map(|row| (row.gateway_id, row.connection)).collect())
    }

    /// Gives everything back: another replica can take it at once.
    pub async fn leave(&self) -> Result<()> {
        sqlx::query!("DELETE FROM gateway.replicas WHERE id = $1", self.replica)
            .execute(self.store.pool())
            .await?;
        *self.alive.lock().await = None;
        Ok(())
    }
}
