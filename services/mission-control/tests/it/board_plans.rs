//! The plans of every query of the board service, on a database with as much in it as a busy installation has.
//!
//! The queries are those that the build checks (`.sqlx`), so that a new one is held to it without a line here. None may read a large table
//! from end to end, whatever its parameters are.

use std::collections::BTreeMap;

use sqlx::{Connection, Executor, PgConnection};
use testkit::database;

use crate::plans::{cached, wholesale};

/// Tables with more rows are large. Smaller ones may be cheaper to read as a whole.
const LARGE: f64 = 5_000.0;

/// Every checked query of the board's schema.
fn queries() -> Vec<(String, usize)> {
    cached(|query| {
        let others = ["agent.", "org.", "activity.", "approval.", "gateway."];
        query.contains("board.") && !others.iter().any(|schema| query.contains(&format!(" {schema}")))
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_query_reads_a_large_table_from_end_to_end() {
    let database = database(&[board::SCHEMA]).await;
    let mut connection = PgConnection::connect(&database.url)
        .await
        .expect("the database answers");
    for part in include_str!("board_plans.sql").split(";\n") {
        connection
            .execute(part)
            .await
            .unwrap_or_else(|error| panic!("{error}: {part}"));
    }
    let sizes: BTreeMap<String, f64> = sqlx::query_as::<_, (String, f32)>(
        "SELECT 'board.' || relname, reltuples FROM pg_class WHERE relnamespace = 'board'::regnamespace AND relkind = 'r'",
    )
    .fetch_all(&mut connection)
    .await
    .expect("sizes")
    .into_iter()
    .map(|(table, rows)| (table, f64::from(rows)))
    .collect();
    for table in [
        "board.tasks",
        "board.comments",
        "board.task_tags",
        "board.task_custom_field_values",
        "board.board_memory",
    ] {
        assert!(sizes[table] > LARGE, "{table} has {} rows", sizes[table]);
    }
    connection.execute("SET search_path = board").await.expect("set");
    let queries = queries();
    assert!(queries.len() > 80, "{} queries", queries.len());
    let large = |table: &str| sizes.get(table).is_some_and(|rows| *rows > LARGE);
    let slow = wholesale(&mut connection, &queries, large).await;
    assert!(slow.is_empty(), "{}", slow.join("\n\n"));
}
