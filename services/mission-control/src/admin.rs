//! Operators' commands: migrate, openapi, parked messages.

use chassis::{
    Store,
    bus::parked,
    settings::Settings,
};
use clap::Subcommand;
use transcoder::Catalog;
use uuid::Uuid;

use crate::SCHEMAS;

/// What to do with parked messages.
#[derive(Subcommand)]
pub enum Parked {
    /// Lists them: service, id, consumer, event type, attempts, when, error.
    List(Settings),
    /// Hands one to its consumer again, or all of them.
    Replay {
        /// The message's id; all when absent.
        id: Option<Uuid>,
        #[command(flatten)]
        settings: Box<Settings>,
    },
}

/// Brings every schema up to date.
pub async fn migrate(settings: &Settings) -> anyhow::Result<()> {
    anyhow::ensure!(!settings.database_url.is_empty(), "DATABASE_URL is not set: whose database is to be migrated?");
    chassis::store::migrate(&settings.database_url, &SCHEMAS).await?;
    println!("the database is up to date: {}", SCHEMAS.map(|schema| schema.name).join(", "));
    Ok(())
}

/// Prints the OpenAPI document that the edge serves.
pub fn openapi(settings: &Settings) -> anyhow::Result<()> {
    let catalog = Catalog::compile(proto::DESCRIPTORS)?;
    println!("{}", serde_json::to_string_pretty(&edge::openapi(&catalog, &settings.public_url()))?);
    Ok(())
}

/// Lists parked messages of every service, or hands them back to their consumers.
pub async fn parked(action: Parked) -> anyhow::Result<()> {
    let (settings, replay) = match action {
        Parked::List(settings) => (settings, None),
        Parked::Replay { id, settings } => (*settings, Some(id)),
    };
    anyhow::ensure!(!settings.database_url.is_empty(), "DATABASE_URL is not set: whose messages?");
    let mut count = 0;
    for schema in SCHEMAS {
        let store = Store::open(&settings.database_url, schema, 2)?;
        if let Some(id) = replay {
            count += parked::requeue(&store, id).await?;
            continue;
        }
        for message in parked::list(&store).await? {
            count += 1;
            println!("{}\t{}\t{}\t{} attempts\t{}\t{}", message.id, message.consumer, message.event_type, message.attempts, message.parked_at, message.error);
        }
    }
    match replay {
        None => println!("{count} parked"),
        Some(_) => println!("{count} handed back; the running services take them up"),
    }
    Ok(())
}
