//! `doctor`: every setting with its source, and whether what the product depends on is there.

use std::time::Duration;

use chassis::{Store, bus::{Bus, rabbit::RabbitBus}, settings::Settings};
use tokio_util::sync::CancellationToken;
use clap::{ArgMatches, CommandFactory, parser::ValueSource};

use crate::SCHEMAS;

/// Settings whose values are never shown.
const SECRET: [&str; 4] = ["LOCAL_AUTH_TOKEN", "SECRET_KEY", "DATABASE_URL", "AMQP_URL"];

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
        let Some(name) = argument.get_env().and_then(|name| name.to_str()) else { continue };
        let id = argument.get_id().as_str();
        let source = match matches.and_then(|matches| matches.value_source(id)) {
            Some(ValueSource::CommandLine) => "command line",
            Some(ValueSource::EnvVariable) => "environment",
            _ => "default",
        };
        let value = matches
            .and_then(|matches| matches.get_raw(id))
            .map(|values| values.map(|value| value.to_string_lossy()).collect::<Vec<_>>().join(","))
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
        let asked = async { Store::open(&settings.database_url, SCHEMAS[0], 1)?.ping().await };
        report("database", tokio::time::timeout(Duration::from_secs(8), asked).await, &mut wrong);
    }
    if !settings.amqp_url.is_empty() {
        let stop = CancellationToken::new();
        let asked = async {
            let bus = RabbitBus::start(&settings.amqp_url, stop.clone())?;
            for _ in 0..20 {
                if bus.health().await.is_ok() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            bus.health().await
        };
        report("broker", tokio::time::timeout(Duration::from_secs(8), asked).await, &mut wrong);
        stop.cancel();
    }
    if wrong.is_empty() {
        println!("everything is fine");
        return Ok(());
    }
    anyhow::bail!("found:\n  - {}", wrong.join("\n  - "))
}

fn report(name: &str, result: Result<chassis::Result<()>, tokio::time::error::Elapsed>, wrong: &mut Vec<String>) {
    match result {
        Ok(Ok(())) => println!("  {name}: answers"),
        Ok(Err(error)) => {
            println!("  {name}: {error}");
            wrong.push(format!("{name}: {error}"));
        }
        Err(_) => {
            println!("  {name}: does not answer");
            wrong.push(format!("{name} does not answer within 8 seconds"));
        }
    }
}
