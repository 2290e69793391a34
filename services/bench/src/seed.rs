//! The data that is measured on, made through the public doors. Only the crowd of agents is copied in the database: it stands for agents
//! that were provisioned long ago.

use std::time::{Duration, Instant};

use anyhow::Context;
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use testkit::gateway::{FakeGateway, Options, Release};

use crate::server::Server;

/// What the rows need.
pub struct World {
    /// A board with 200 tasks that have tags and dependencies.
    pub board: String,
    /// A board that tasks are created on.
    pub busy_board: String,
    /// A board that is watched.
    pub quiet_board: String,
    /// An agent of the first board.
    pub agent: String,
    /// Its token.
    pub agent_token: String,
    // Stops when dropped.
    _gateway: FakeGateway,
}

/// Makes it.
pub async fn world(server: &Server) -> anyhow::Result<World> {
    let fake = FakeGateway::start(Options::release(Release::Latest)).await;
    let body = json!({"name": "Bench", "url": fake.url(), "token": fake.token(), "workspace_root": "/tmp/bench"});
    let gateway = id(&server.call(Method::POST, "/api/v1/gateways", Some(body)).await?)?;
    let mut boards = Vec::new();
    for number in 0..20 {
        let body = json!({"name": format!("Board {number:02}"), "slug": format!("board-{number:02}"), "description": "A board of the benchmark", "gateway_id": gateway, "require_approval_for_done": false});
        boards.push(id(&server.call(Method::POST, "/api/v1/boards", Some(body)).await?)?);
    }
    let board = boards[0].clone();
    let mut tags = Vec::new();
    for name in ["backend", "frontend", "urgent"] {
        tags.push(id(&server
            .call(Method::POST, "/api/v1/tags", Some(json!({"name": name})))
            .await?)?);
    }
    let mut last: Option<String> = None;
    for number in 0..200 {
        let body = json!({
            "title": format!("Task {number:03} of the benchmark"), "description": "What has to be done, in a sentence or two that people would write.",
            "priority": "medium", "tag_ids": tags, "depends_on_task_ids": last.iter().collect::<Vec<_>>(),
        });
        last = Some(id(&server
            .call(Method::POST, &format!("/api/v1/boards/{board}/tasks"), Some(body))
            .await?)?);
    }
    let agent = id(&server
        .call(
            Method::POST,
            "/api/v1/agents",
            Some(json!({"name": "Bench worker", "board_id": board})),
        )
        .await?)?;
    let deadline = Instant::now() + Duration::from_secs(20);
    let agent_token = loop {
        let text = ["TOOLS.md", "AGENTS.md"]
            .iter()
            .find_map(|name| fake.file(&format!("mc-{agent}"), name))
            .unwrap_or_default();
        if let Some(token) = text.lines().find_map(|line| line.strip_prefix("AUTH_TOKEN=")) {
            break token.trim().to_owned();
        }
        anyhow::ensure!(Instant::now() < deadline, "the agent was not provisioned");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    Ok(World {
        board,
        busy_board: boards[1].clone(),
        quiet_board: boards[2].clone(),
        agent,
        agent_token,
        _gateway: fake,
    })
}

/// Brings the number of agents to `count`.
pub async fn agents(server: &Server, world: &World, count: i32) -> anyhow::Result<()> {
    let mut connection = PgConnection::connect(&server.database_url).await?;
    sqlx::query(
        "INSERT INTO agent.agents SELECT (jsonb_populate_record(original, jsonb_build_object(\
           'id', gen_random_uuid(), 'name', 'Crowd ' || number, 'session_key', 'agent:crowd-' || number || ':main', \
           'token_key_id', 'crowd' || lpad(number::text, 11, '0'), 'next_attempt_at', NULL))).* \
         FROM agent.agents AS original, generate_series((SELECT count(*) FROM agent.agents) + 1, $2) AS number WHERE original.id = $1",
    )
    .bind(uuid::Uuid::parse_str(&world.agent)?)
    .bind(count)
    .execute(&mut connection)
    .await?;
    sqlx::query("ANALYZE agent.agents").execute(&mut connection).await?;
    connection.close().await?;
    Ok(())
}

/// The query that a list of 200 tasks stands on: what the server asked last, with this board's values in place of its parameters.
pub async fn tasks_query(server: &Server, board: &str) -> anyhow::Result<String> {
    let mut connection = PgConnection::connect(&server.database_url).await?;
    let query: String = sqlx::query_scalar("SELECT query FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND query LIKE '%board.tasks%LIMIT $11 OFFSET $12%' LIMIT 1")
        .fetch_one(&mut connection)
        .await
        .context("the query of the list was not found")?;
    connection.close().await?;
    let values = [
        format!("'{board}'::uuid"),
        "NULL::text[]".into(),
        "NULL::uuid".into(),
        "false".into(),
        "NULL::text".into(),
        "NULL::text[]".into(),
        "NULL::uuid[]".into(),
        "NULL::uuid[]".into(),
        "'{}'::text[]".into(),
        "'{}'::text[]".into(),
        "200".into(),
        "0".into(),
    ];
    // From the last one on: `$1` is the beginning of `$10`.
    Ok(values
        .iter()
        .enumerate()
        .rev()
        .fold(query, |query, (index, value)| {
            query.replace(&format!("${}", index + 1), value)
        })
        .replace('\n', " "))
}

fn id(resource: &Value) -> anyhow::Result<String> {
    Ok(resource["id"].as_str().context("an id")?.to_owned())
}
