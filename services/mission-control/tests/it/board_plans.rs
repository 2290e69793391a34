//! The plans of every query of the board service, on a database with as much in it as a busy installation has.
//!
//! The queries are those that the build checks (`.sqlx`), so that a new one is held to it without a line here. None may read a large table
//! from end to end, whatever its parameters are.

use std::{collections::BTreeMap, path::Path};

use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use testkit::database;

/// Tables with more rows are large. Smaller ones may be cheaper to read as a whole.
const LARGE: f64 = 5_000.0;

/// Every checked query of the board's schema: its text and how many parameters it has.
fn queries() -> Vec<(String, usize)> {
    let cache = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.sqlx");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(cache).expect("the cache of checked queries") {
        let text = std::fs::read_to_string(entry.expect("an entry").path()).expect("a query");
        let query: Value = serde_json::from_str(&text).expect("JSON");
        let sql = query["query"].as_str().expect("a text");
        let parameters = query["describe"]["parameters"]["Left"].as_array().map_or(0, Vec::len);
        let others = ["agent.", "org.", "activity.", "approval.", "gateway."];
        if sql.contains("board.") && !others.iter().any(|schema| sql.contains(&format!(" {schema}"))) {
            found.push((sql.to_owned(), parameters));
        }
    }
    found
}

fn scanned(plan: &Value, found: &mut Vec<String>) {
    if plan["Node Type"] == "Seq Scan" {
        found.push(plan["Relation Name"].as_str().unwrap_or_default().to_owned());
    }
    for part in plan["Plans"].as_array().into_iter().flatten() {
        scanned(part, found);
    }
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
        "SELECT relname::text, reltuples FROM pg_class WHERE relnamespace = 'board'::regnamespace AND relkind = 'r'",
    )
    .fetch_all(&mut connection)
    .await
    .expect("sizes")
    .into_iter()
    .map(|(table, rows)| (table, f64::from(rows)))
    .collect();
    for table in [
        "tasks",
        "comments",
        "task_tags",
        "task_custom_field_values",
        "board_memory",
    ] {
        assert!(sizes[table] > LARGE, "{table} has {} rows", sizes[table]);
    }
    // The plan that stands for all parameters.
    connection
        .execute("SET search_path = board; SET plan_cache_mode = force_generic_plan")
        .await
        .expect("settings");
    let queries = queries();
    assert!(queries.len() > 80, "{} queries", queries.len());
    let mut slow = Vec::new();
    for (number, (sql, parameters)) in queries.iter().enumerate() {
        let nulls = vec!["NULL"; *parameters].join(", ");
        let arguments = if nulls.is_empty() { nulls } else { format!("({nulls})") };
        connection
            .execute(AssertSqlSafe(format!("PREPARE q{number} AS {sql}")))
            .await
            .unwrap_or_else(|error| panic!("{error}: {sql}"));
        let plan: Value = sqlx::query_scalar(AssertSqlSafe(format!(
            "EXPLAIN (FORMAT JSON) EXECUTE q{number}{arguments}"
        )))
        .fetch_one(&mut connection)
        .await
        .unwrap_or_else(|error| panic!("{error}: {sql}"));
        let mut tables = Vec::new();
        scanned(&plan[0]["Plan"], &mut tables);
        tables.retain(|table| sizes.get(table).is_some_and(|rows| *rows > LARGE));
        if !tables.is_empty() {
            slow.push(format!("{tables:?}: {sql}"));
        }
    }
    assert!(slow.is_empty(), "{}", slow.join("\n\n"));
}
