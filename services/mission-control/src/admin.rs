//! Operators' commands: migrate, openapi, parked messages.

use std::{
    io::{ErrorKind, Write},
    sync::Arc,
};

use anyhow::{Context, ensure};
use chassis::{
    Store,
    bus::{parked, rabbit::RabbitBus},
    settings::Settings,
    store,
};
use clap::Subcommand;
use sqlx::{Connection, PgConnection};
use tokio_util::sync::CancellationToken;
use transcoder::Catalog;
use uuid::Uuid;

use crate::{SCHEMAS, constellation};

/// What to do with parked messages.
#[derive(Subcommand)]
pub enum Parked {
    /// Lists them: service, id, consumer, event type, attempts, when, error.
    List(Box<Settings>),
    /// Hands one to its consumer again, or all of them.
    Replay {
        /// The message's id; all when absent.
        id: Option<Uuid>,
        #[command(flatten)]
        settings: Box<Settings>,
    },
}

/// Brings every schema up to date, and the broker's queues when there is a broker: an event that is published before a consumer's queue
/// exists would pass that consumer by.
pub async fn migrate(settings: &Settings) -> anyhow::Result<()> {
    ensure!(
        !settings.database_url.is_empty(),
        "DATABASE_URL is not set: whose database is to be migrated?"
    );
    store::migrate(&settings.database_url, &SCHEMAS)
        .await
        .context("the database could not be brought up to date")?;
    println!(
        "the database is up to date: {}",
        SCHEMAS.map(|schema| schema.name).join(", ")
    );
    if !settings.amqp_url.is_empty() {
        let stop = CancellationToken::new();
        let bus = Arc::new(RabbitBus::start(&settings.amqp_url, stop.clone())?);
        let context = constellation::context(settings.clone(), &constellation::ROLES, bus.clone(), stop.clone())?;
        // Building a role declares its consumers.
        for name in constellation::ROLES.into_iter().filter(|name| *name != "edge") {
            constellation::build(name, &context)?;
        }
        bus.provision().await?;
        stop.cancel();
        println!("the broker has every queue");
    }
    Ok(())
}

/// Prints the OpenAPI document that the edge serves.
pub fn openapi(settings: &Settings) -> anyhow::Result<()> {
    let catalog = Catalog::compile(proto::DESCRIPTORS)?;
    let text = serde_json::to_string_pretty(&edge::openapi(&catalog, &settings.public_url()))?;
    match writeln!(std::io::stdout().lock(), "{text}") {
        // `| head` has seen enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

/// Lists parked messages of every service, or hands them back to their consumers.
pub async fn parked(action: Parked) -> anyhow::Result<()> {
    let (settings, replay) = match action {
        Parked::List(settings) => (*settings, None),
        Parked::Replay { id, settings } => (*settings, Some(id)),
    };
    ensure!(
        !settings.database_url.is_empty(),
        "DATABASE_URL is not set: whose messages?"
    );
    // Asked first, without the pool, whose callers are not told why a connection failed.
    let mut connection = PgConnection::connect(&settings.database_url)
        .await
        .context("the database cannot be connected to")?;
    let pending = store::pending(&mut connection, &SCHEMAS).await?;
    connection.close().await?;
    ensure!(
        pending.is_empty(),
        "the database is not up to date: run `mission-control migrate` first"
    );
    let mut count = 0;
    for schema in SCHEMAS {
        let store = Store::open(&settings.database_url, schema, 2)?;
        if let Some(id) = replay {
            count += parked::requeue(&store, id).await?;
            continue;
        }
        for message in parked::list(&store).await? {
            count += 1;
            println!(
                "{}\t{}\t{}\t{} attempts\t{}\t{}",
                message.id, message.consumer, message.event_type, message.attempts, message.parked_at, message.error
            );
        }
    }
    match replay {
        None => println!("{count} parked"),
        Some(Some(id)) if count == 0 => {
            anyhow::bail!("no parked message has the id {id}: `mission-control parked list` shows them")
        }
        Some(_) => println!("{count} handed back; the running services take them up"),
    }
    Ok(())
}
