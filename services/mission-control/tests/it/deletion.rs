//! An organization goes with everything, in every service, also when the process dies halfway.

use std::{
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use testkit::{
    Database,
    gateway::{FakeGateway, Options, Release},
};

use crate::{
    harness::{Harness, PATIENCE, id},
    path::team,
};

/// Where the process that dies finds the database.
const VARIABLE: &str = "MISSION_CONTROL_TEST_DELETION";

async fn connect(url: &str) -> PgConnection {
    PgConnection::connect(url).await.expect("the database answers")
}

/// Rows of an organization, by table: of everything but the logs of what happened.
async fn left(url: &str, organization: &str) -> Vec<String> {
    let mut connection = connect(url).await;
    let tables: Vec<(String, String)> = sqlx::query_as(
        "SELECT c.table_schema::text, c.table_name::text FROM information_schema.columns c \
         JOIN information_schema.tables t USING (table_schema, table_name) \
         WHERE c.column_name = 'organization_id' AND t.table_type = 'BASE TABLE' \
           AND c.table_schema IN ('org', 'board', 'agent', 'approval', 'activity', 'gateway') \
           AND c.table_name NOT IN ('outbox', 'inbox', 'parked') AND NOT (c.table_schema = 'activity' AND c.table_name IN ('events', 'heads', 'tallies'))",
    )
    .fetch_all(&mut connection)
    .await
    .expect("the tables");
    assert!(tables.len() > 5, "{tables:?}");
    let mut left = Vec::new();
    for (schema, table) in tables {
        let statement = format!("SELECT count(*) FROM {schema}.{table} WHERE organization_id::text = $1");
        let count: i64 = sqlx::query_scalar(AssertSqlSafe(statement))
            .bind(organization)
            .fetch_one(&mut connection)
            .await
            .expect("a count");
        if count > 0 {
            left.push(format!("{schema}.{table}: {count}"));
        }
    }
    left
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_organization_is_gone_everywhere_after_a_kill() {
    let fake = FakeGateway::start(Options::release(Release::Latest)).await;
    let mc = Harness::start().await;
    let person = mc.person();
    let team = team(&person, &fake, "Doomed").await;
    let organization = team.board["organization_id"].as_str().expect("an id").to_owned();
    let board = id(&team.board);
    let task = person
        .post(
            &format!("/api/v1/boards/{board}/tasks"),
            json!({"title": "x", "assigned_agent_id": team.agent["id"]}),
        )
        .await
        .expect(200);
    person.post("/api/v1/tags", json!({"name": "Blue"})).await.expect(200);
    person
        .post(
            &format!("/api/v1/boards/{board}/approvals"),
            json!({"action_type": "deploy", "confidence": 50, "lead_reasoning": "Ready.", "task_id": task["id"]}),
        )
        .await
        .expect(200);
    person
        .post(
            "/api/v1/organizations/me/webhooks",
            json!({"url": "https://doomed.example.org/"}),
        )
        .await
        .expect(200);
    person
        .post(
            "/api/v1/board-groups",
            json!({"name": "G", "slug": "g", "description": "d"}),
        )
        .await
        .expect(200);
    person
        .post("/api/v1/organizations/me/api-keys", json!({"name": "Robot"}))
        .await
        .expect(200);
    let database = mc.stop().await;
    assert!(!left(&database.url, &organization).await.is_empty());

    // The board service is held up in the middle of its part.
    let mut connection = connect(&database.url).await;
    for statement in [
        "CREATE FUNCTION board.slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(14); RETURN OLD; END'",
        "CREATE TRIGGER slow BEFORE DELETE ON board.boards FOR EACH ROW EXECUTE FUNCTION board.slow()",
    ] {
        connection.execute(statement).await.expect("the database holds it up");
    }
    let mut child = Command::new(std::env::current_exe().expect("this binary has a path"))
        .args(["--exact", "deletion::the_process_that_dies", "--ignored", "--nocapture"])
        .env(VARIABLE, &database.url)
        .stdout(Stdio::null())
        .spawn()
        .expect("the process starts");
    let sleeping =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'";
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while sqlx::query_scalar::<_, i64>(sleeping)
        .fetch_one(&mut connection)
        .await
        .expect("activity")
        == 0
    {
        assert!(tokio::time::Instant::now() < deadline, "the process came to the step");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    child.kill().expect("SIGKILL");
    child.wait().expect("it is dead");
    for statement in [
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()",
        "DROP TRIGGER slow ON board.boards",
    ] {
        connection.execute(statement).await.expect("nothing is held up");
    }
    assert!(
        left(&database.url, &organization)
            .await
            .iter()
            .any(|table| table.starts_with("board.boards")),
        "it died halfway"
    );
    drop(connection);

    let mc = Harness::on(database, |_| {}).await;
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let left = left(&mc.database.url, &organization).await;
        if left.is_empty() {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "left behind: {left:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let agents: i64 = sqlx::query_scalar("SELECT count(*) FROM agent.agents")
        .fetch_one(&mut connect(&mc.database.url).await)
        .await
        .expect("a count");
    assert_eq!(agents, 0);
    mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the other half of the test of this module, which starts it"]
async fn the_process_that_dies() {
    let url = std::env::var(VARIABLE).expect("started by a test of this module");
    let mc = Harness::on(Database::lent(&url), |_| {}).await;
    mc.person().delete("/api/v1/organizations/me").await.expect(200);
    tokio::time::sleep(PATIENCE).await;
}
