//! The data that is measured on, made through the public doors. Only the crowd of agents is copied in the database: it stands for agents
//! that were provisioned long ago.

use std::{
    path::Path,
    time::{Duration, Instant},
};

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
    /// A board that gets 10,000 tasks.
    pub large_board: String,
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
        large_board: boards[3].clone(),
        agent,
        agent_token,
        _gateway: fake,
    })
}

/// Brings the number of agents to `count`.
pub async fn agents(server: &Server, world: &World, count: i32) -> anyhow::Result<()> {
    let mut connection = PgConnection::connect(&server.database_url).await?;
    sqlx::query("DELETE FROM agent.agents WHERE name LIKE 'Crowd %' AND substr(name, 7)::int > $1")
        .bind(count)
        .execute(&mut connection)
        .await?;
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
    sqlx::query("VACUUM ANALYZE agent.agents")
        .execute(&mut connection)
        .await?;
    connection.close().await?;
    Ok(())
}

/// Fills the large board, and tells the dashboard of its tasks and of the crowd of agents as their events would have.
pub async fn crowd(server: &Server, world: &World) -> anyhow::Result<()> {
    let mut connection = PgConnection::connect(&server.database_url).await?;
    let (original, board) = (
        uuid::Uuid::parse_str(&world.board)?,
        uuid::Uuid::parse_str(&world.large_board)?,
    );
    for statement in [
        "INSERT INTO board.tasks SELECT (jsonb_populate_record(o.original, jsonb_build_object(\
           'id', gen_random_uuid(), 'board_id', $2::uuid, 'title', 'Task ' || number, 'tag_ids', '{}'::uuid[], 'depends_on', '{}'::uuid[], \
           'status', (ARRAY['inbox', 'in_progress', 'review', 'done'])[1 + number % 4], \
           'created_at', now() - make_interval(mins => number)))).* \
         FROM (SELECT t AS original FROM board.tasks AS t WHERE board_id = $1 LIMIT 1) AS o, generate_series(1, 10000) AS number",
        "INSERT INTO activity.tasks SELECT t.id, (SELECT organization_id FROM board.boards WHERE id = $2), t.board_id, t.title, t.status, \
           t.created_at, t.created_at, t.created_at - interval '2 hours', CASE WHEN t.status IN ('review', 'done') THEN t.created_at END, \
           NULL, 0, 0, false FROM board.tasks t WHERE t.board_id = $2 AND $1 <> $2 ON CONFLICT DO NOTHING",
        "INSERT INTO activity.agents SELECT a.id, a.organization_id, a.board_id, a.gateway_id, a.name, \
           CASE WHEN row_number() OVER () % 20 = 0 THEN 'offline' ELSE 'online' END, now(), now(), NULL, NULL, 0, false \
         FROM agent.agents a WHERE $1::uuid <> $2::uuid ON CONFLICT DO NOTHING",
    ] {
        sqlx::query(statement)
            .bind(original)
            .bind(board)
            .execute(&mut connection)
            .await?;
    }
    for table in ["board.tasks", "activity.tasks", "activity.agents"] {
        sqlx::query(sqlx::AssertSqlSafe(format!("VACUUM ANALYZE {table}")))
            .execute(&mut connection)
            .await?;
    }
    connection.close().await?;
    Ok(())
}

/// The statements that a list of 200 tasks stands on, with this board's values in place of their parameters: taken from the cache of
/// checked queries, so that they are the server's own.
pub async fn tasks_statements(server: &Server, board: &str) -> anyhow::Result<String> {
    let page =
        cached(&["FROM board.tasks s WHERE s.board_id = $1 ORDER BY s.created_at DESC, s.id DESC LIMIT $2 OFFSET $3"])?;
    let links = cached(&[
        "FROM board.tasks p",
        "FROM board.tags k WHERE k.id = ANY($2)",
        "UNION ALL",
    ])?;
    let mut connection = PgConnection::connect(&server.database_url).await?;
    let board = uuid::Uuid::parse_str(board)?;
    let tasks: Vec<uuid::Uuid> = sqlx::query_scalar(
        "SELECT id FROM board.tasks WHERE board_id = $1 ORDER BY created_at DESC, id DESC LIMIT 200",
    )
    .bind(board)
    .fetch_all(&mut connection)
    .await?;
    let tags: Vec<uuid::Uuid> =
        sqlx::query_scalar("SELECT DISTINCT unnest(tag_ids) FROM board.tasks WHERE board_id = $1")
            .bind(board)
            .fetch_all(&mut connection)
            .await?;
    connection.close().await?;
    let list = |ids: &[uuid::Uuid]| {
        let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
        format!("'{{{}}}'::uuid[]", ids.join(","))
    };
    Ok(format!(
        "{};\n{};\n",
        with_values(page, &[format!("'{board}'::uuid"), "201".into(), "0".into()]),
        with_values(
            links,
            &["'{}'::uuid[]".into(), list(&tags), list(&tasks), list(&[board])]
        )
    ))
}

/// A query on one line, with these values in place of `$1`, `$2`, ...
fn with_values(query: String, values: &[String]) -> String {
    let filled = values.iter().enumerate().fold(query, |query, (index, value)| {
        query.replace(&format!("${}", index + 1), value)
    });
    filled.replace('\n', " ")
}

/// The checked query that has all of these words.
fn cached(words: &[&str]) -> anyhow::Result<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.sqlx");
    for file in std::fs::read_dir(&folder).with_context(|| format!("{} cannot be read", folder.display()))? {
        let checked: Value = serde_json::from_slice(&std::fs::read(file?.path())?)?;
        let query = checked["query"].as_str().unwrap_or_default();
        if words.iter().all(|word| query.contains(word)) {
            return Ok(query.to_owned());
        }
    }
    anyhow::bail!("no checked query has {words:?}")
}

fn id(resource: &Value) -> anyhow::Result<String> {
    Ok(resource["id"].as_str().context("an id")?.to_owned())
}
