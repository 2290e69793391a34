//! What the version before has written is there after a migration.

use chassis::store::common_migrations;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

/// As the version before the change log wrote an event.
const EVENT: &str = "INSERT INTO outbox (id, event_type, organization_id, board_id, event) \
     SELECT gen_random_uuid(), 'task.created', gen_random_uuid(), gen_random_uuid(), convert_to($1, 'UTF8')";

#[tokio::test]
async fn events_of_the_version_before_keep_their_positions() {
    let database = testkit::database(&[]).await;
    let mut connection = PgConnection::connect(&database.url)
        .await
        .expect("the database answers");
    connection
        .execute("CREATE SCHEMA old; SET search_path = old")
        .await
        .expect("a schema");
    let all: Vec<String> = common_migrations()
        .iter()
        .map(|one| one.sql.as_str().to_owned())
        .collect();
    let (before, after) = all.split_at(2);
    for sql in before {
        connection.execute(AssertSqlSafe(sql.clone())).await.expect("as it was");
    }
    for name in ["published", "numbered", "waiting"] {
        sqlx::query(EVENT)
            .bind(name)
            .execute(&mut connection)
            .await
            .expect("an event");
    }
    connection
        .execute(
            "UPDATE outbox SET position = 7, published_at = now() WHERE event = 'published'; \
             UPDATE outbox SET position = 8 WHERE event = 'numbered'",
        )
        .await
        .expect("relayed so far");
    for sql in after {
        let sql = format!("BEGIN; {sql}; COMMIT");
        connection.execute(AssertSqlSafe(sql)).await.expect("migrated");
    }
    // It is replaced while it serves, and writes on.
    sqlx::query(EVENT)
        .bind("meanwhile")
        .execute(&mut connection)
        .await
        .expect("an event");
    let recorded: Vec<(Option<i64>, String)> =
        sqlx::query_as("SELECT position, convert_from(event, 'UTF8') FROM recorded ORDER BY position, created_at")
            .fetch_all(&mut connection)
            .await
            .expect("what is recorded");
    let recorded: Vec<(Option<i64>, &str)> = recorded.iter().map(|(at, name)| (*at, name.as_str())).collect();
    assert_eq!(
        recorded,
        [
            (Some(7), "published"),
            (Some(8), "numbered"),
            (None, "waiting"),
            (None, "meanwhile")
        ]
    );
    let published: i64 = sqlx::query_scalar("SELECT published FROM relay")
        .fetch_one(&mut connection)
        .await
        .expect("the mark");
    assert_eq!(published, 7, "what was numbered and not published is published next");
}
