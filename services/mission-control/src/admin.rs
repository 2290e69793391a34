//! Operators' commands: migrate, openapi, parked messages.

use std::sync::Arc;

use chassis::settings::Settings;
use clap::Subcommand;
use uuid::Uuid;

use crate::{SCHEMAS, constellation};

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
    let context = constellation::context(settings.clone(), &constellation::ROLES, Arc::new(chassis::bus::Memory::default()))?;
    println!("{}", serde_json::to_string_pretty(&edge::openapi(&context))?);
    Ok(())
}

/// Lists or replays parked messages of every service.
pub async fn parked(action: Parked) -> anyhow::Result<()> {
    let (settings, replay) = match action {
        Parked::List(settings) => (settings, None),
        Parked::Replay { id, settings } => (*settings, Some(id)),
    };
    constellation::check(&settings)?;
    // The roles are built for their consumers, and not started: an effect and its events are rows that the running services take up.
    let context = constellation::context(settings, &constellation::ROLES, Arc::new(chassis::bus::Memory::default()))?;
    let (mut found, mut failed) = (0, 0);
    for name in constellation::ROLES.into_iter().filter(|name| *name != "edge") {
        for consumer in constellation::build(name, &context)?.consumers {
            for message in chassis::bus::parked(&consumer.store, Some(consumer.name), 10_000).await? {
                match replay {
                    None => {
                        found += 1;
                        println!("{}\t{}\t{}\t{} attempts\t{}\t{}", message.id, message.consumer, message.event_type, message.attempts, message.parked_at, message.error);
                    }
                    Some(id) if id.is_none_or(|id| id == message.id) => match chassis::bus::replay(&consumer, message.id).await {
                        Ok(()) => found += 1,
                        Err(error) => {
                            failed += 1;
                            println!("{}\t{}\tfailed again: {error}", message.id, message.consumer);
                        }
                    },
                    Some(_) => {}
                }
            }
        }
    }
    match replay {
        None => println!("{found} parked"),
        Some(_) => println!("{found} replayed, {failed} failed"),
    }
    anyhow::ensure!(failed == 0, "some messages failed again and stay parked");
    Ok(())
}
