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
    let mut server = Server::start(&arguments.binary).await?;
    if let Some(script) = &arguments.page {
        let measured = page::measure(&server, script).await;
        server.stop().await?;
        return measured;
    }
    let mut table = Table::default();
    table.figure(
        "start to ready, PostgreSQL up and migrated",
        format!("{:.0} ms", server.ready_again().await?.as_secs_f64() * 1000.0),
    );
    let world = seed::world(&server).await?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    table.figure("memory idle", format!("{:.0} MiB", server.memory_mib()?));
    let mut bench = Bench {
        arguments,
        server,
        world,
        table,
    };
    bench.busy().await?;
    bench.guesses().await?;
    bench.alone().await?;
    bench.watchers().await?;
    bench.table.print(bench.arguments.connections);
    bench.server.stop().await
}

/// A run of the benchmark.
struct Bench {
    arguments: Arguments,
    server: Server,
    world: seed::World,
    table: Table,
}

impl Bench {
    fn wants(&self, name: &str) -> bool {
        self.arguments.only.as_deref().is_none_or(|only| name.contains(only))
    }

    fn time(&self) -> Duration {
        Duration::from_secs(self.arguments.seconds)
    }

    /// A request of a person that succeeds.
    fn load(&self, name: &'static str, method: Method, path: String) -> Load {
        Load {
            name,
            method,
            path,
            body: None,
            header: ("authorization".to_owned(), format!("Bearer {}", self.server.token)),
            expect: 200,
            guess: false,
        }
    }

    /// The same of an agent.
    fn of_agent(&self, name: &'static str, method: Method, path: String) -> Load {
        Load {
            header: ("x-agent-token".to_owned(), self.world.agent_token.clone()),
            ..self.load(name, method, path)
        }
    }

    /// Rows under load, with the original's rate and p99 (`contract/baseline.md`).
    async fn busy(&mut self) -> anyhow::Result<()> {
        let tasks = |board: &str| format!("/api/v1/boards/{board}/tasks");
        let create = Load {
            body: Some(r#"{"title":"A task of the benchmark","description":"Measured"}"#.into()),
            ..self.load("create a task", Method::POST, tasks(&self.world.busy_board))
        };
        let list = "list 200 tasks with tags and dependencies";
        let rows = [
            (
                self.load("list 20 boards", Method::GET, "/api/v1/boards".into()),
                Some((114.0, 265.0)),
            ),
            (
                self.load(list, Method::GET, tasks(&self.world.board)),
                Some((27.0, 1100.0)),
            ),
            (create, Some((69.0, 530.0))),
            (
                self.of_agent("agent heartbeat", Method::POST, "/api/v1/agent/heartbeat".into()),
                None,
            ),
            (
                self.load("activity, 50 events", Method::GET, "/api/v1/activity?limit=50".into()),
                Some((79.0, 498.0)),
            ),
            (
                self.load("activity, 200 events", Method::GET, "/api/v1/activity?limit=200".into()),
                Some((45.0, 841.0)),
            ),
            (
                self.load("health, no work", Method::GET, "/health".into()),
                Some((3060.0, 125.0)),
            ),
        ];
        let connections = self.arguments.connections;
        for (row, original) in rows {
            if !self.wants(row.name) {
                continue;
            }
            let result = measure(&self.server, &row, connections, self.time()).await?;
            self.table.row(row.name, &result, original);
            if row.name == list {
                // Lists are answered again while nothing is committed: the cost of reading one shows while something always is.
                let commits = self.server.commits().await?;
                let result = measure(&self.server, &row, connections, self.time()).await?;
                commits.abort();
                self.table.row("the same, read anew each time", &result, original);
                self.pgbench(result.rate).await;
            }
        }
        self.table
            .figure("memory under load", format!("{:.0} MiB", self.server.memory_mib()?));
        Ok(())
    }

    /// The statements of a list of 200 tasks, without the server.
    async fn pgbench(&mut self, through_the_edge: f64) {
        let measured = async {
            let statements = seed::tasks_statements(&self.server, &self.world.board).await?;
            self.server
                .pgbench(&statements, self.arguments.connections, self.arguments.seconds)
                .await
        };
        let value = match measured.await {
            Ok(rate) => format!(
                "{rate:.0} /s; read anew through the edge it costs {:.1} times as much",
                rate / through_the_edge
            ),
            Err(error) => format!("not measured: {error}"),
        };
        self.table.figure("the query of 200 tasks alone, by pgbench", value);
    }

    /// Guessed tokens of agents, however many agents there are.
    async fn guesses(&mut self) -> anyhow::Result<()> {
        for agents in [10, 10_000, 1_000] {
            let path = format!("/api/v1/agent/boards/{}/tasks", self.world.board);
            let row = Load {
                guess: true,
                expect: 401,
                ..self.of_agent("bad agent token", Method::GET, path)
            };
            if !self.wants(row.name) {
                return Ok(());
            }
            seed::agents(&self.server, &self.world, agents).await?;
            let result = measure(&self.server, &row, self.arguments.connections, self.time()).await?;
            let original = (agents == 10).then_some((0.5, 7000.0));
            self.table
                .row(&format!("bad agent token, {agents} agents"), &result, original);
        }
        Ok(())
    }

    /// What one person waits for, in an organization with 1,000 agents and a board with 10,000 tasks.
    async fn alone(&mut self) -> anyhow::Result<()> {
        let board = &self.world.large_board;
        let rows: Vec<Load> = [
            (
                "list 200 of 10,000 tasks, alone",
                format!("/api/v1/boards/{board}/tasks"),
            ),
            (
                "dashboard of 10,000 tasks and 1,000 agents, alone",
                "/api/v1/metrics/dashboard?range_key=7d".into(),
            ),
            ("inbox of the same, alone", "/api/v1/inbox".into()),
            ("list 200 of 1,000 agents, alone", "/api/v1/agents".into()),
            (
                "snapshot of 10,000 tasks, alone",
                format!("/api/v1/boards/{board}/snapshot"),
            ),
        ]
        .into_iter()
        .filter(|(name, _)| self.wants(name))
        .map(|(name, path)| self.load(name, Method::GET, path))
        .collect();
        if rows.is_empty() {
            return Ok(());
        }
        seed::agents(&self.server, &self.world, 1_000).await?;
        seed::crowd(&self.server, &self.world).await?;
        for row in rows {
            let result = measure(&self.server, &row, 1, self.time()).await?;
            self.table.row(row.name, &result, None);
        }
        Ok(())
    }

    /// One event, many watchers.
    async fn watchers(&mut self) -> anyhow::Result<()> {
        let name = format!("event to {} SSE watchers", self.arguments.watchers);
        if !self.wants(&name) {
            return Ok(());
        }
        let spread = watchers::measure(&self.server, &self.world, self.arguments.watchers).await?;
        self.table.figure(
            &name,
            format!(
                "p50 {:.1} ms, p99 {:.1} ms, slowest {:.1} ms",
                spread.p50, spread.p99, spread.max
            ),
        );
        self.table.figure(
            "memory with these watchers",
            format!("{:.0} MiB", self.server.memory_mib()?),
        );
        Ok(())
    }
}
