//! Plans of the checked queries, for the tests that hold them to their indexes. The queries are those that the build checks (`.sqlx`), so that
//! a new one is held to it without a line in a test.

use std::path::Path;

use serde_json::Value;
use sqlx::{AssertSqlSafe, Executor, PgConnection};

/// The checked queries that are chosen by their text, in its order, each with how many parameters it has.
pub fn cached(chosen: impl Fn(&str) -> bool) -> Vec<(String, usize)> {
    let cache = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.sqlx");
    let mut found: Vec<_> = std::fs::read_dir(cache)
        .expect("the cache of checked queries")
        .map(|entry| std::fs::read(entry.expect("an entry").path()).expect("a query"))
        .map(|text| serde_json::from_slice::<Value>(&text).expect("JSON"))
        .map(|query| {
            let parameters = query["describe"]["parameters"]["Left"].as_array().map_or(0, Vec::len);
            (query["query"].as_str().expect("a text").to_owned(), parameters)
        })
        .filter(|(query, _)| chosen(query))
        .collect();
    found.sort();
    found
}

/// The tables (`schema.name`) that a statement reads from end to end.
pub async fn scanned(connection: &mut PgConnection, statement: &str) -> Vec<String> {
    let plan: Value = sqlx::query_scalar(AssertSqlSafe(format!("EXPLAIN (VERBOSE, FORMAT JSON) {statement}")))
        .fetch_one(connection)
        .await
        .unwrap_or_else(|error| panic!("{error}: {statement}"));
    let mut found = Vec::new();
    collect(&plan[0]["Plan"], &mut found);
    found
}

fn collect(plan: &Value, found: &mut Vec<String>) {
    if plan["Node Type"] == "Seq Scan" {
        let [schema, name] = ["Schema", "Relation Name"].map(|key| plan[key].as_str().unwrap_or_default());
        found.push(format!("{schema}.{name}"));
    }
    for part in plan["Plans"].as_array().into_iter().flatten() {
        collect(part, found);
    }
}

/// The queries that read a large table from end to end, with these tables. Asked for is the plan that stands for all parameters.
pub async fn wholesale(
    connection: &mut PgConnection,
    queries: &[(String, usize)],
    large: impl Fn(&str) -> bool,
) -> Vec<String> {
    connection
        .execute("SET plan_cache_mode = force_generic_plan")
        .await
        .expect("set");
    let mut wrong = Vec::new();
    for (number, (query, parameters)) in queries.iter().enumerate() {
        connection
            .execute(AssertSqlSafe(format!("PREPARE q{number} AS {query}")))
            .await
            .unwrap_or_else(|error| panic!("{error}: {query}"));
        let nulls = vec!["NULL"; *parameters].join(", ");
        let arguments = if nulls.is_empty() { nulls } else { format!("({nulls})") };
        let mut tables = scanned(connection, &format!("EXECUTE q{number}{arguments}")).await;
        tables.retain(|table| large(table));
        if !tables.is_empty() {
            wrong.push(format!("{tables:?}: {query}"));
        }
    }
    wrong
}
