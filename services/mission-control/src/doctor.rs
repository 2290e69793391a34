//! `doctor`: every setting with its source, and whether what the product depends on is there.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use chassis::{
    Store,
    bus::{Bus, parked, rabbit::RabbitBus},
    settings::Settings,
    store,
};
use clap::{ArgMatches, CommandFactory, parser::ValueSource};
use sqlx::{Connection, PgConnection};
use tokio_util::sync::CancellationToken;

use crate::SCHEMAS;

/// Settings whose values are never shown.
const SECRET: [&str; 4] = ["LOCAL_AUTH_TOKEN", "SECRET_KEY", "DATABASE_URL", "AMQP_URL"];

/// How long a dependency may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between looks at a connection that is being made.
const PAUSE: Duration = Duration::from_millis(200);
/// Oldest PostgreSQL, as `server_version_num` writes it.
const OLDEST: i32 = 150_000;

/// Only to enumerate the settings.
#[derive(clap::Parser)]
struct Listing {
    #[command(flatten)]
    _settings: Settings,
}

/// Prints settings, mistakes and probes. Fails when something is wrong.
pub async fn run(settings: &Settings, matches: Option<&ArgMatches>) -> anyhow::Result<()> {
    println!("settings");
    for argument in Listing::command().get_arguments() {
        let Some(name) = argument.get_env().and_then(|name| name.to_str()) else {
            continue;
        };
        let id = argument.get_id().as_str();
        let source = match matches.and_then(|matches| matches.value_source(id)) {
            Some(ValueSource::CommandLine) => "command line",
            Some(ValueSource::EnvVariable) => "environment",
            _ => "default",
        };
        let value = matches
            .and_then(|matches| matches.get_raw(id))
            .map(|values| {
                values
                    .map(|value| value.to_string_lossy())
                    .collect::<Vec<_>>()
                    .join(",")
            })
            .unwrap_or_default();
        let shown = match value.as_str() {
            "" => "(not set)",
            _ if SECRET.contains(&name) => "(set, hidden)",
            value => value,
        };
        println!("  {name:<44} {shown}  [{source}]");
    }
    let mut wrong = settings.mistakes();
    println!("dependencies");
    if !settings.database_url.is_empty() {
        report("database", database(settings).await, &mut wrong);
    }
    if !settings.amqp_url.is_empty() {
        report("broker", broker(settings).await, &mut wrong);
    }
    if wrong.is_empty() {
        println!("everything is fine");
        return Ok(());
    }
    bail!("found:\n  - {}", wrong.join("\n  - "))
}

/// Connects, and looks whether the database is one we can work with.
async fn database(settings: &Settings) -> anyhow::Result<String> {
    // Without the pool, whose callers are not told why a connection failed.
    let connecting = tokio::time::timeout(PATIENCE, PgConnection::connect(&settings.database_url)).await;
    let mut connection = connecting
        .with_context(|| format!("does not answer within {} seconds", PATIENCE.as_secs()))?
        .context("cannot be connected to")?;
    let version: i32 = sqlx::query_scalar("SELECT current_setting('server_version_num')::int")
        .fetch_one(&mut connection)
        .await?;
    ensure!(
        version >= OLDEST,
        "is PostgreSQL {}: {} is the oldest that works",
        version / 10_000,
        OLDEST / 10_000
    );
    let pending = store::pending(&mut connection, &SCHEMAS)
        .await
        .context("its migrations cannot be read")?;
    connection.close().await?;
    ensure!(
        pending.is_empty(),
        "lacks {} (`mission-control migrate` applies them)",
        pending.join(", ")
    );
    let mut waiting = 0;
    for schema in SCHEMAS {
        waiting += parked::list(&Store::open(&settings.database_url, schema, 1)?)
            .await?
            .len();
    }
    let note = if waiting == 0 {
        String::new()
    } else {
        format!("; {waiting} messages are parked (`mission-control parked list`)")
    };
    Ok(format!("PostgreSQL {}, up to date{note}", version / 10_000))
}

async fn broker(settings: &Settings) -> anyhow::Result<String> {
    let stop = CancellationToken::new();
    let _end = stop.clone().drop_guard();
    let bus = RabbitBus::start(&settings.amqp_url, stop)?;
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        match tokio::time::timeout_at(deadline, bus.health()).await {
            Ok(Ok(())) => return Ok("answers".to_owned()),
            Ok(Err(error)) if tokio::time::Instant::now() + PAUSE >= deadline => bail!("{}", error.report()),
            Ok(Err(_)) => tokio::time::sleep(PAUSE).await,
            Err(_) => bail!("does not answer within {} seconds", PATIENCE.as_secs()),
        }
    }
}

fn report(name: &str, result: anyhow::Result<String>, wrong: &mut Vec<String>) {
    match result {
        Ok(state) => println!("  {name}: {state}"),
        Err(error) => {
            println!("  {name}: {error:#}");
            wrong.push(format!("{name}: {error:#}"));
        }
    }
}
