//! `make bench`: speed and memory of a release build, measured through its public port, printed as a table.
//!
//! Starts a private PostgreSQL with its default durability, the server as a process of its own and a scripted gateway, seeds data through
//! the public doors, and measures one row after the other. The load generator shares the machine with what it measures.

mod load;
mod page;
mod seed;
mod server;
mod table;
mod watchers;

use std::{path::PathBuf, time::Duration};

use clap::Parser;
use http::Method;
use load::{Load, measure};
use server::Server;
use table::Table;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures Mission Control.
#[derive(Parser)]
struct Arguments {
    /// The server's binary.
    #[arg(long, env = "MISSION_CONTROL", default_value = "target/release/mission-control")]
    binary: PathBuf,
    /// Seconds a row.
    #[arg(long, env = "BENCH_SECONDS", default_value_t = 5)]
    seconds: u64,
    /// Connections of the load generator.
    #[arg(long, env = "BENCH_CONNECTIONS", default_value_t = 16)]
    connections: usize,
    /// Watchers of the stream row.
    #[arg(long, env = "BENCH_WATCHERS", default_value_t = 1000)]
    watchers: usize,
    /// Measure only the rows whose name contains this.
    #[arg(long)]
    only: Option<String>,
    /// Measure the page in Chromium instead, with this script.
    #[arg(long)]
    page: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let time = Duration::from_secs(arguments.seconds);
    let mut server = Server::start(&arguments.binary).await?;
    if let Some(script) = &arguments.page {
        let measured = page::measure(&server, script).await;
        server.stop().await?;
        return measured;
    }
    let wanted = |name: &str| arguments.only.as_deref().is_none_or(|only| name.contains(only));
    let mut table = Table::default();
    table.figure(
        "start to ready, PostgreSQL up and migrated",
        format!("{:.0} ms", server.ready_again().await?.as_secs_f64() * 1000.0),
    );
    let world = seed::world(&server).await?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    table.figure("memory idle", format!("{:.0} MiB", server.memory_mib()?));

    let load =
        |name: &'static str, method: Method, path: String, body: Option<String>, agent: bool, expect: u16| Load {
            name,
            method,
            path,
            body,
            header: if agent {
                ("x-agent-token".to_owned(), world.agent_token.clone())
            } else {
                ("authorization".to_owned(), format!("Bearer {}", server.token))
            },
            expect,
            guess: false,
        };
    let board = &world.board;
    let rows = [
        (
            load("list 20 boards", Method::GET, "/api/v1/boards".into(), None, false, 200),
            Some(114.0),
            Some(265.0),
        ),
        (
            load(
                "list 200 tasks with tags and dependencies",
                Method::GET,
                format!("/api/v1/boards/{board}/tasks"),
                None,
                false,
                200,
            ),
            Some(27.0),
            Some(1100.0),
        ),
        (
            load(
                "create a task",
                Method::POST,
                format!("/api/v1/boards/{}/tasks", world.busy_board),
                Some(r#"{"title":"A task of the benchmark","description":"Measured"}"#.into()),
                false,
                200,
            ),
            Some(69.0),
            Some(530.0),
        ),
        (
            load(
                "agent heartbeat",
                Method::POST,
                "/api/v1/agent/heartbeat".into(),
                None,
                true,
                200,
            ),
            None,
            None,
        ),
        (
            load(
                "activity, 50 events",
                Method::GET,
                "/api/v1/activity?limit=50".into(),
                None,
                false,
                200,
            ),
            Some(79.0),
            Some(498.0),
        ),
        (
            load(
                "activity, 200 events",
                Method::GET,
                "/api/v1/activity?limit=200".into(),
                None,
                false,
                200,
            ),
            Some(45.0),
            Some(841.0),
        ),
        (
            load("health, no work", Method::GET, "/health".into(), None, false, 200),
            Some(3060.0),
            Some(125.0),
        ),
    ];
    let mut tasks_rate = 0.0;
    for (row, original_rate, original_p99) in rows {
        if !wanted(row.name) {
            continue;
        }
        let result = measure(&server, &row, arguments.connections, time).await?;
        table.row(row.name, &result, original_rate, original_p99);
        if row.name.starts_with("list 200") {
            // Lists are answered again while nothing is committed: the cost of reading one shows while something always is.
            let commits = server.commits().await?;
            let result = measure(&server, &row, arguments.connections, time).await?;
            commits.abort();
            tasks_rate = result.rate;
            table.row("the same, read anew each time", &result, original_rate, original_p99);
        }
    }
    table.figure("memory under load", format!("{:.0} MiB", server.memory_mib()?));

    for agents in [10, 10_000, 1_000] {
        if !wanted("bad agent token, large lists alone") {
            break;
        }
        seed::agents(&server, &world, agents).await?;
        let row = Load {
            guess: true,
            ..load(
                "bad agent token",
                Method::GET,
                format!("/api/v1/agent/boards/{board}/tasks"),
                None,
                true,
                401,
            )
        };
        let result = measure(&server, &row, arguments.connections, time).await?;
        table.row(
            &format!("bad agent token, {agents} agents"),
            &result,
            (agents == 10).then_some(0.5),
            (agents == 10).then_some(7000.0),
        );
    }

    let alone = [
        load(
            "list 200 of 10,000 tasks, alone",
            Method::GET,
            format!("/api/v1/boards/{}/tasks", world.large_board),
            None,
            false,
            200,
        ),
        load(
            "dashboard of 10,000 tasks and 1,000 agents, alone",
            Method::GET,
            "/api/v1/metrics/dashboard?range_key=7d".into(),
            None,
            false,
            200,
        ),
        load(
            "inbox of the same, alone",
            Method::GET,
            "/api/v1/inbox".into(),
            None,
            false,
            200,
        ),
        load(
            "list 200 of 1,000 agents, alone",
            Method::GET,
            "/api/v1/agents".into(),
            None,
            false,
            200,
        ),
        load(
            "snapshot of 10,000 tasks, alone",
            Method::GET,
            format!("/api/v1/boards/{}/snapshot", world.large_board),
            None,
            false,
            200,
        ),
    ];
    if alone.iter().any(|row| wanted(row.name)) {
        seed::crowd(&server, &world).await?;
    }
    for row in alone.into_iter().filter(|row| wanted(row.name)) {
        // What one person waits for.
        let result = measure(&server, &row, 1, time).await?;
        table.row(row.name, &result, None, None);
    }

    if tasks_rate > 0.0 {
        match pgbench(&server, board, &arguments).await {
            Ok(rate) => table.figure(
                "the query of 200 tasks alone, by pgbench",
                format!(
                    "{rate:.0} /s; an edge request costs {:.1} times as much",
                    rate / tasks_rate
                ),
            ),
            Err(error) => table.figure(
                "the query of 200 tasks alone, by pgbench",
                format!("not measured: {error}"),
            ),
        }
    }
    if wanted("event to SSE watchers") {
        let spread = watchers::measure(&server, &world, arguments.watchers).await?;
        table.figure(
            &format!("event to {} SSE watchers", arguments.watchers),
            format!(
                "p50 {:.1} ms, p99 {:.1} ms, slowest {:.1} ms",
                spread.p50, spread.p99, spread.max
            ),
        );
        table.figure("memory with these watchers", format!("{:.0} MiB", server.memory_mib()?));
    }
    table.print(arguments.connections);
    server.stop().await
}

/// The statements of a list of 200 tasks, without the server: lists a second.
async fn pgbench(server: &Server, board: &str, arguments: &Arguments) -> anyhow::Result<f64> {
    let statements = seed::tasks_statements(server, board).await?;
    server
        .pgbench(&statements, arguments.connections, arguments.seconds)
        .await
}
