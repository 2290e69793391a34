//! The one binary: every role, alone or together, and the tools of its operators.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use mission_control::{admin, audit, constellation, doctor, health, up};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Mission Control: the control plane for OpenClaw gateways and AI agents.
#[derive(Parser)]
#[command(version, propagate_version = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Everything in one process; brings its own PostgreSQL when DATABASE_URL is not set.
    Up(chassis::settings::Settings),
    /// Chosen roles, for one process per role.
    Serve {
        /// org, board, agent, approval, activity, gateway-bridge, edge.
        #[arg(required = true, value_parser = clap::builder::PossibleValuesParser::new(constellation::ROLES))]
        roles: Vec<String>,
        #[command(flatten)]
        settings: chassis::settings::Settings,
    },
    /// Brings the database up to date.
    Migrate(chassis::settings::Settings),
    /// Shows every setting with its source, and looks at what the product depends on.
    Doctor(chassis::settings::Settings),
    /// Asks the process of `serve` on this machine whether it serves, for container health checks.
    Health(chassis::settings::Settings),
    /// Prints the OpenAPI document.
    Openapi(chassis::settings::Settings),
    /// Messages that consumers gave up on.
    Parked {
        #[command(subcommand)]
        action: admin::Parked,
    },
    /// The audit trail: check it, write down its ends, make what is derived from it anew.
    Audit {
        #[command(subcommand)]
        action: audit::Audit,
    },
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // For operators: what and why, never a stack trace, whatever RUST_BACKTRACE says.
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    let matches = <Arguments as clap::CommandFactory>::command().get_matches();
    let arguments = <Arguments as clap::FromArgMatches>::from_arg_matches(&matches)?;
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(async {
            match arguments.command {
                Command::Up(settings) => up::run(settings).await,
                Command::Serve { roles, settings } => constellation::serve(settings, &roles).await,
                Command::Migrate(settings) => admin::migrate(&settings).await,
                Command::Doctor(settings) => doctor::run(&settings, matches.subcommand_matches("doctor")).await,
                Command::Health(settings) => health::run(&settings).await,
                Command::Openapi(settings) => admin::openapi(&settings),
                Command::Parked { action } => admin::parked(action).await,
                Command::Audit { action } => audit::run(action).await,
            }
        })
}
