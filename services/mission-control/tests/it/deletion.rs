//! An organization goes with everything, in every service, also when the process dies halfway.

use std::{
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use testkit::{
    Database,
    gateway::{FakeGateway, Options, Release},
};

use crate::{
    harness::{Harness, PATIENCE, eventually, id},
    path::team,
};

/// Where the process that dies finds the database.
const VARIABLE: &str = "MISSION_CONTROL_TEST_DELETION";

/// What the process that dies is to delete.
const PATH: &str = "MISSION_CONTROL_TEST_DELETION_PATH";
/// Whether a statement is held up by a trigger of a test.
const SLEEPING: &str =
    "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep')";

async fn connect(url: &str) -> PgConnection {
    PgConnection::connect(url).await.expect("the database answers")
}

/// Starts a constellation in a process of its own. It deletes what `path` names, if anything, and goes on until it is killed.
fn spawn(url: &str, path: &str) -> Child {
    Command::new(std::env::current_exe().expect("this binary has a path"))
        .args(["--exact", "deletion::the_process_that_dies", "--ignored", "--nocapture"])
        .env(VARIABLE, url)
        .env(PATH, path)
        .stdout(Stdio::null())
        .spawn()
        .expect("the process starts")
}

/// Kills a process once this is true in the database, and ends what it had begun there.
async fn killed_when(mut child: Child, connection: &mut PgConnection, step: &'static str) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !sqlx::query_scalar::<_, bool>(step)
        .fetch_one(&mut *connection)
        .await
        .expect("an answer")
    {
        assert!(
            tokio::time::Instant::now() < deadline,
            "the process did not come to the step: {step}"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    child.kill().expect("SIGKILL");
    child.wait().expect("it is dead");
    connection
        .execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
        .await
        .expect("its connections end");
}

/// Rows of an organization, by table: of everything but the logs of what happened.
async fn left(url: &str, organization: &str) -> Vec<String> {
    let mut connection = connect(url).await;
    let tables: Vec<(String, String)> = sqlx::query_as(
        "SELECT c.table_schema::text, c.table_name::text FROM information_schema.columns c \
         JOIN information_schema.tables t USING (table_schema, table_name) \
         WHERE c.column_name = 'organization_id' AND t.table_type = 'BASE TABLE' \
           AND c.table_schema IN ('org', 'board', 'agent', 'approval', 'activity', 'gateway') \
           AND c.table_name NOT IN ('inbox', 'parked') AND NOT (c.table_schema = 'activity' AND c.table_name IN ('events', 'heads', 'tallies'))",
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
    let child = spawn(&database.url, "/api/v1/organizations/me");
    killed_when(child, &mut connection, SLEEPING).await;
    connection
        .execute("DROP TRIGGER slow ON board.boards")
        .await
        .expect("nothing is held up");
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
async fn a_deleted_agent_is_gone_everywhere_wherever_it_was_killed() {
    let fake = FakeGateway::start(Options::release(Release::Latest)).await;
    let mc = Harness::start().await;
    let person = mc.person();
    let team = team(&person, &fake, "Doomed").await;
    let (agent, board) = (id(&team.agent), id(&team.board));
    let tasks = format!("/api/v1/boards/{board}/tasks");
    let mut assigned = Vec::new();
    for title in ["Begun", "Waiting"] {
        let task = json!({"title": title, "assigned_agent_id": agent});
        assigned.push(id(&person.post(&tasks, task).await.expect(200)));
    }
    mc.agent(&team.token)
        .patch(
            &format!("/api/v1/agent/boards/{board}/tasks/{}", assigned[0]),
            json!({"status": "in_progress"}),
        )
        .await
        .expect(200);
    let key = format!("mc-{agent}");
    let path = format!("/api/v1/agents/{agent}");
    let database = mc.stop().await;
    let mut connection = connect(&database.url).await;
    connection
        .execute("CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(14); RETURN coalesce(NEW, OLD); END'")
        .await
        .expect("a function");
    let rows = "SELECT count(*) FROM agent.agents WHERE deleting_at IS NOT NULL";
    let held = "SELECT count(*) FROM board.tasks WHERE assigned_agent_id IS NOT NULL";
    let count = async |connection: &mut PgConnection, statement: &'static str| {
        sqlx::query_scalar::<_, i64>(statement)
            .fetch_one(connection)
            .await
            .expect("a count")
    };

    // It is marked, and the gateway says nothing: here it knows of the end of the agent, there it does not.
    fake.freeze(true);
    let child = spawn(&database.url, &path);
    let marked = "SELECT EXISTS (SELECT FROM agent.agents WHERE deleting_at IS NOT NULL)";
    killed_when(child, &mut connection, marked).await;
    fake.freeze(false);
    assert!(fake.agents().contains(&key), "the gateway has it still");

    // It is off the gateway, and the row is about to go.
    for statement in [
        "CREATE TRIGGER slow BEFORE DELETE ON agent.agents FOR EACH ROW EXECUTE FUNCTION slow()",
        "UPDATE agent.agents SET lease_until = now(), next_attempt_at = now() WHERE deleting_at IS NOT NULL",
    ] {
        connection.execute(statement).await.expect("the database holds it up");
    }
    killed_when(spawn(&database.url, ""), &mut connection, SLEEPING).await;
    assert!(!fake.agents().contains(&key), "it is off the gateway");
    assert_eq!(count(&mut connection, rows).await, 1, "its row is there");

    // The row is gone, and the board service is about to take it off its tasks.
    for statement in [
        "DROP TRIGGER slow ON agent.agents",
        "CREATE TRIGGER slow BEFORE UPDATE ON board.tasks FOR EACH ROW EXECUTE FUNCTION slow()",
        "UPDATE agent.agents SET lease_until = now(), next_attempt_at = now() WHERE deleting_at IS NOT NULL",
    ] {
        connection.execute(statement).await.expect("the database holds it up");
    }
    killed_when(spawn(&database.url, ""), &mut connection, SLEEPING).await;
    assert_eq!(count(&mut connection, rows).await, 0, "its row is gone");
    assert_eq!(count(&mut connection, held).await, 2, "the board does not know");
    connection
        .execute("DROP TRIGGER slow ON board.tasks")
        .await
        .expect("nothing is held up");
    drop(connection);

    let mc = Harness::on(database, |_| {}).await;
    let person = mc.person();
    let orphans = "SELECT name FROM (VALUES \
        ('agent.agents', (SELECT count(*) FROM agent.agents WHERE id = $1)), \
        ('agent.messages', (SELECT count(*) FROM agent.messages WHERE agent_id = $1)), \
        ('agent.work', (SELECT count(*) FROM agent.work WHERE agent_id = $1)), \
        ('agent.operation_items', (SELECT count(*) FROM agent.operation_items WHERE agent_id = $1 AND state = 'waiting')), \
        ('agent.leftovers', (SELECT count(*) FROM agent.leftovers WHERE agent_key = 'mc-' || $1::uuid::text)), \
        ('board.tasks', (SELECT count(*) FROM board.tasks WHERE $1 IN (assigned_agent_id, last_worker_id))), \
        ('activity.agents', (SELECT count(*) FROM activity.agents WHERE id = $1 AND NOT deleted)) \
        ) AS left_behind (name, rows) WHERE rows > 0";
    let agent_id: uuid::Uuid = agent.parse().expect("an id");
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let left: Vec<String> = sqlx::query_scalar(orphans)
            .bind(agent_id)
            .fetch_all(&mut connect(&mc.database.url).await)
            .await
            .expect("an answer");
        if left.is_empty() {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "left behind in {left:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for (task, status) in assigned.iter().zip(["inbox", "inbox"]) {
        let task = person.get(&format!("/api/v1/tasks/{task}")).await.expect(200);
        assert_eq!(
            (&task["assigned_agent_id"], &task["status"]),
            (&json!(null), &json!(status))
        );
    }
    person.get(&path).await.detail(404);
    mc.agent(&team.token).get("/api/v1/agent/boards").await.detail(401);
    assert!(!fake.agents().contains(&key), "nobody makes it anew");
    let told = eventually("telling of the end", || async {
        let log = person
            .get("/api/v1/activity?event_type=agent.deleted")
            .await
            .expect(200);
        (log["total"] != 0).then_some(log)
    })
    .await;
    let of_it = told["items"].as_array().expect("a list").iter();
    assert_eq!(
        of_it.filter(|entry| entry["agent_id"] == agent.as_str()).count(),
        1,
        "{told:#}"
    );
    mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the other half of the test of this module, which starts it"]
async fn the_process_that_dies() {
    let url = std::env::var(VARIABLE).expect("started by a test of this module");
    let path = std::env::var(PATH).expect("what to delete");
    let mc = Harness::on(Database::lent(&url), |_| {}).await;
    if !path.is_empty() {
        mc.person().delete(&path).await.expect(200);
    }
    tokio::time::sleep(2 * PATIENCE).await;
}
