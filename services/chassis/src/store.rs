//! PostgreSQL: one schema, one role and one migration history per service.
//!
//! A [`Store`] is a service's view of the database; a [`Tx`] is a transaction that also writes the outbox, so that a change and the
//! event that tells of it are one.

use std::{
    borrow::Cow,
    ops::{Deref, DerefMut},
    sync::Arc,
    time::Duration,
};

use proto::event::v1::Event;
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection, PgPool, Postgres, Transaction,
    migrate::Migrator,
    postgres::{PgArguments, PgConnectOptions, PgPoolOptions},
    query::Query,
};
use tokio::sync::Notify;
use tracing::Instrument;

use crate::{
    Error, Result,
    idempotency::Claim,
    identity::Caller,
    outbox::{Change, OutboxRow},
};

/// Outbox, inbox and parked messages, the same in every schema.
static COMMON: Migrator = sqlx::migrate!("./migrations");

/// Longest wait for a connection of the pool. Shorter than the deadlines of those who wait for the answer, so that they are told why.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);
/// A connection that nobody used for this long is asked before it is used: the server may have been restarted meanwhile.
const IDLE: Duration = Duration::from_secs(1);
/// How long it may take to answer.
const PING: Duration = Duration::from_secs(2);
/// Longest time a statement may run.
const STATEMENT_TIMEOUT: &str = "15s";

/// What belongs to one service in the database.
#[derive(Clone, Copy)]
pub struct Schema {
    /// Name of the schema (`board`); the role is `mc_<name>`.
    pub name: &'static str,
    /// Its migrations.
    pub migrations: &'static Migrator,
}

impl Schema {
    fn role(&self) -> String {
        format!("mc_{}", self.name)
    }
}

/// A service's view of the database.
#[derive(Clone)]
pub struct Store {
    pool: PgPool,
    schema: &'static str,
    poke: Arc<Notify>,
}

impl Store {
    /// A pool whose connections act as the service's role, with its schema first in the search path. Connects lazily, so that a
    /// service starts while the database is away.
    pub fn open(url: &str, schema: Schema, connections: u32) -> Result<Self> {
        let options: PgConnectOptions = url.parse().map_err(|error: sqlx::Error| Error::internal(error))?;
        let options = options
            .application_name(schema.name)
            // Compiling a plan takes longer than any statement here runs.
            .options([
                ("search_path", schema.name),
                ("statement_timeout", STATEMENT_TIMEOUT),
                ("jit", "off"),
            ])
            .log_statements(tracing::log::LevelFilter::Trace)
            .log_slow_statements(tracing::log::LevelFilter::Warn, Duration::from_secs(1));
        let role: Arc<str> = schema.role().into();
        let pool = PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .test_before_acquire(false)
            .before_acquire(|connection, metadata| {
                Box::pin(async move {
                    if metadata.idle_for > IDLE {
                        // One that does not answer is replaced: its error is no answer.
                        return Ok(matches!(tokio::time::timeout(PING, connection.ping()).await, Ok(Ok(()))));
                    }
                    Ok(true)
                })
            })
            .after_connect(move |connection, _| {
                let role = role.clone();
                Box::pin(async move {
                    // A role that is missing means a database whose owner may not create roles: migrate said so.
                    let exists: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1 AND pg_has_role(current_user, oid, 'member'))")
                        .bind(&*role)
                        .fetch_one(&mut *connection)
                        .await?;
                    if exists {
                        connection.execute(AssertSqlSafe(format!("SET ROLE {role}"))).await?;
                    }
                    Ok(())
                })
            })
            .connect_lazy_with(options);
        Ok(Self {
            pool,
            schema: schema.name,
            poke: Arc::default(),
        })
    }

    /// For reads.
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Name of the schema.
    pub fn schema(&self) -> &'static str {
        self.schema
    }

    /// Told after every commit that wrote an event.
    pub fn poke(&self) -> &Arc<Notify> {
        &self.poke
    }

    /// Begins a transaction.
    pub async fn begin(&self) -> Result<Tx> {
        Ok(Tx {
            inner: self.begun("BEGIN").await?,
            poke: self.poke.clone(),
            recorded: false,
            wake: Vec::new(),
            claim: Claim::current(self.schema),
            told: None,
        })
    }

    /// A change that is one statement, which also writes the outbox row of its event, is a transaction by itself: that saves the round trips of
    /// beginning and committing one. What is carried out for an idempotency key is marked in the same transaction, so it does get one.
    /// `refused` says what an error of the statement means.
    pub async fn change_alone(
        &self,
        statement: Query<'_, Postgres, PgArguments>,
        event: &Event,
        refused: impl FnOnce(sqlx::Error) -> Error,
    ) -> Result<()> {
        if Claim::current(self.schema).is_some() {
            let mut tx = self.begin().await?;
            statement.execute(&mut *tx).await.map_err(refused)?;
            tx.recorded(std::slice::from_ref(event));
            return tx.commit().await;
        }
        statement.execute(&self.pool).await.map_err(refused)?;
        self.poke.notify_one();
        Ok(())
    }

    /// For reads that must agree with each other: all of them see what was there at the first. Nothing can be written.
    pub async fn snapshot(&self) -> Result<Transaction<'static, Postgres>> {
        self.begun("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await
    }

    /// Begins in a task of its own. Callers go away at any moment, and a future that is dropped while `BEGIN` is on its way leaves a connection in
    /// the pool that stands in a transaction nobody knows of (sqlx 0.9.0, <https://github.com/transact-rs/sqlx/issues/4393>): what others write on
    /// it is never committed. The task comes to its end, and what it began is rolled back when nobody waits for it any more.
    async fn begun(&self, statement: &'static str) -> Result<Transaction<'static, Postgres>> {
        let pool = self.pool.clone();
        let begun = tokio::spawn(async move { pool.begin_with(statement).await }.in_current_span());
        Ok(begun.await.map_err(Error::internal)??)
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<()> {
        sqlx::query("SELECT 1").execute(&self.pool).await?;
        Ok(())
    }
}

/// A transaction that can record events. Dropped without [`Tx::commit`] it is rolled back.
pub struct Tx {
    inner: Transaction<'static, Postgres>,
    poke: Arc<Notify>,
    recorded: bool,
    wake: Vec<Arc<Notify>>,
    /// The idempotency key this is carried out for.
    claim: Option<Arc<Claim>>,
    /// The answer as the recorded events tell it.
    told: Option<Vec<u8>>,
}

impl Tx {
    /// Writes an event into the outbox of this transaction and answers it.
    pub async fn record(&mut self, caller: &Caller, change: Change) -> Result<Event> {
        let event = change.into_event(caller);
        self.record_events(std::slice::from_ref(&event)).await?;
        Ok(event)
    }

    /// Writes events that are complete already, in their order, with one statement.
    pub async fn record_events(&mut self, events: &[Event]) -> Result<()> {
        let rows = events.iter().map(OutboxRow::of).collect::<Result<Vec<_>>>()?;
        sqlx::query(
            "INSERT INTO outbox (id, event_type, event) SELECT * FROM unnest($1::uuid[], $2::text[], $3::bytea[])",
        )
        .bind(rows.iter().map(|row| row.id).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.event_type).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.event.as_slice()).collect::<Vec<_>>())
        .execute(&mut *self.inner)
        .await?;
        self.recorded(events);
        Ok(())
    }

    /// Says that a statement of this transaction has written the outbox rows of these events.
    pub fn recorded(&mut self, events: &[Event]) {
        self.recorded = true;
        if let Some(claim) = &self.claim {
            // What is recorded first is what was asked for; consequences follow.
            self.told = self.told.take().or_else(|| claim.told(events));
        }
    }

    /// Wakes a loop once this is committed: one that looks for rows this transaction writes.
    pub fn wake_on_commit(&mut self, loop_: &Arc<Notify>) {
        self.wake.push(loop_.clone());
    }

    /// Commits, and wakes the relay when there is something to relay. What is done for an idempotency key is marked in the same commit.
    pub async fn commit(mut self) -> Result<()> {
        if let Some(claim) = &self.claim {
            claim.mark(&mut self.inner, self.told.as_deref()).await?;
        }
        self.inner.commit().await?;
        if let Some(claim) = &self.claim {
            claim.settled();
        }
        for waiting in self.wake {
            waiting.notify_one();
        }
        if self.recorded {
            self.poke.notify_one();
        }
        Ok(())
    }
}

impl Deref for Tx {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.inner
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.inner
    }
}

/// The migrations that every schema gets.
pub fn common_migrations() -> &'static Migrator {
    &COMMON
}

/// Whether a statement failed on the constraint of this name. Rules that the database holds are mapped to errors with it.
pub fn violates(error: &sqlx::Error, constraint: &str) -> bool {
    matches!(error, sqlx::Error::Database(cause) if cause.constraint() == Some(constraint))
}

/// Brings the schemas up to date: role, schema, the common tables and the service's own, each with its own history. Safe to run from
/// several processes at once.
pub async fn migrate(url: &str, schemas: &[Schema]) -> anyhow::Result<()> {
    let options: PgConnectOptions = url.parse()?;
    let mut connection = PgConnection::connect_with(&options).await?;
    // One migrator at a time in the whole database; released with the connection.
    sqlx::query("SELECT pg_advisory_lock(hashtextextended('mission-control migrate', 0))")
        .execute(&mut connection)
        .await?;
    for schema in schemas {
        let (name, role) = (schema.name, schema.role());
        let granted = ensure_role(&mut connection, &role).await?;
        connection
            .execute(AssertSqlSafe(format!("CREATE SCHEMA IF NOT EXISTS {name}")))
            .await?;
        connection
            .execute(AssertSqlSafe(format!("SET search_path = {name}")))
            .await?;
        migrator(&COMMON, "_chassis_migrations").run(&mut connection).await?;
        migrator(schema.migrations, "_migrations").run(&mut connection).await?;
        if granted {
            connection
                .execute(AssertSqlSafe(format!(
                    "GRANT USAGE ON SCHEMA {name} TO {role}; \
                     GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {name} TO {role}; \
                     GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA {name} TO {role}"
                )))
                .await?;
        }
    }
    connection.close().await?;
    Ok(())
}

/// Migrations that the database still lacks, as `board 0002 groups memory`: [`migrate`] applies them.
pub async fn pending(connection: &mut PgConnection, schemas: &[Schema]) -> sqlx::Result<Vec<String>> {
    let mut missing = Vec::new();
    for schema in schemas {
        for (migrator, table) in [(&COMMON, "_chassis_migrations"), (schema.migrations, "_migrations")] {
            let table = format!("{}.{table}", schema.name);
            let exists: bool = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
                .bind(&table)
                .fetch_one(&mut *connection)
                .await?;
            let applied: Vec<i64> = if exists {
                sqlx::query_scalar(AssertSqlSafe(format!("SELECT version FROM {table} WHERE success")))
                    .fetch_all(&mut *connection)
                    .await?
            } else {
                Vec::new()
            };
            let lacking = migrator
                .iter()
                .filter(|migration| !applied.contains(&migration.version));
            missing.extend(
                lacking.map(|migration| format!("{} {:04} {}", schema.name, migration.version, migration.description)),
            );
        }
    }
    Ok(missing)
}

/// A copy with a history table of its own; the caller holds the lock.
fn migrator(of: &Migrator, table: &'static str) -> Migrator {
    Migrator {
        migrations: of.migrations.clone(),
        locking: false,
        table_name: Cow::Borrowed(table),
        ..Migrator::DEFAULT
    }
}

/// Creates the service's role and lets the connecting user act as it. Roles belong to the whole cluster, so that another database may
/// have made it first. Answers whether the role can be used.
async fn ensure_role(connection: &mut PgConnection, role: &str) -> anyhow::Result<bool> {
    let create = format!(
        "DO $$ BEGIN \
           IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') THEN CREATE ROLE {role} NOLOGIN; END IF; \
         EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
    );
    let grant = format!("GRANT {role} TO CURRENT_USER");
    for statement in [create, grant] {
        if let Err(error) = connection.execute(AssertSqlSafe(statement)).await {
            // 42501: insufficient privilege. A database owner that may not create roles still gets a working product.
            let denied = matches!(&error, sqlx::Error::Database(cause) if cause.code().as_deref() == Some("42501"));
            let raced = matches!(&error, sqlx::Error::Database(cause) if cause.code().as_deref() == Some("XX000"));
            if raced {
                continue;
            }
            if !denied {
                return Err(error.into());
            }
            tracing::warn!(
                role,
                "the database user may not create roles: this service runs with the rights of that user"
            );
            return Ok(false);
        }
    }
    Ok(true)
}
