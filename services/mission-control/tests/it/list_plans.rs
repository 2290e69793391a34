//! Plans of the queries about gateways and skills, with many of both: none of them reads a whole table. The queries are those of the
//! checked queries' cache, so that a new one is held to it without a line here.

use std::path::Path;

use mission_control::SCHEMAS;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use testkit::database;

/// Tables that grow, and what fills them.
const TABLES: [&str; 4] = ["gateways", "skill_packs", "skills", "skill_installs"];
/// Queries that look at everything by design, by a part of their text.
const WHOLE: [&str; 1] = [
    // Gateways without a session are looked for among all.
    "NOT EXISTS (SELECT FROM gateway.leases",
];

const FILL: &str = "
    INSERT INTO gateway.gateways (id, organization_id, name, url, workspace_root)
    SELECT md5('gateway ' || n)::uuid, md5('organization ' || n % 100)::uuid, 'Gateway ' || n, 'ws://host-' || n || ':1/', '~'
    FROM generate_series(1, 10000) AS n;
    INSERT INTO agent.skill_packs (id, organization_id, name, source_url, branch, created_at, updated_at)
    SELECT md5('pack ' || n)::uuid, md5('organization ' || n % 100)::uuid, 'Pack ' || n, 'https://github.com/acme/' || n, 'main',
        now() - n * interval '1 second', now()
    FROM generate_series(1, 5000) AS n;
    INSERT INTO agent.skills (id, organization_id, name, description, source_url, created_at, updated_at)
    SELECT md5('skill ' || n)::uuid, md5('organization ' || n % 100)::uuid, 'Skill ' || n, 'Does things',
        'https://github.com/acme/' || n % 5000 || '/tree/main/' || n, now() - n * interval '1 second', now()
    FROM generate_series(1, 60000) AS n;
    INSERT INTO agent.skill_installs (gateway_id, skill_id, organization_id, installed, dispatch, message_key, created_at, updated_at)
    SELECT md5('gateway ' || n % 400)::uuid, md5('skill ' || n)::uuid, md5('organization ' || n % 100)::uuid, true, 'sent', 'key ' || n, now(), now()
    FROM generate_series(1, 40000) AS n;
    ANALYZE;
";

/// The relations that a plan reads from end to end.
fn scanned(plan: &Value, found: &mut Vec<String>) {
    if plan["Node Type"] == "Seq Scan"
        && let Some(relation) = plan["Relation Name"].as_str()
    {
        found.push(relation.to_owned());
    }
    for inner in plan["Plans"].as_array().into_iter().flatten() {
        scanned(inner, found);
    }
}

/// The queries of the cache that are about a table that grows, with the number of their parameters.
fn queries() -> Vec<(String, usize)> {
    let cache = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.sqlx");
    let mut queries: Vec<_> = std::fs::read_dir(cache)
        .expect("the cache of checked queries")
        .map(|entry| std::fs::read(entry.expect("an entry").path()).expect("a query"))
        .map(|text| serde_json::from_slice::<Value>(&text).expect("JSON"))
        .filter_map(|cached| {
            let query = cached["query"].as_str()?.to_owned();
            let about = TABLES.iter().any(|table| {
                query.contains(&format!("gateway.{table} ")) || query.contains(&format!("agent.{table} "))
            });
            let parameters = cached["describe"]["parameters"]["Left"].as_array().map_or(0, Vec::len);
            about.then_some((query, parameters))
        })
        .filter(|(query, _)| !WHOLE.iter().any(|part| query.contains(part)))
        .collect();
    queries.sort();
    queries
}

#[tokio::test]
async fn no_query_about_gateways_or_skills_reads_a_whole_table() {
    let database = database(&SCHEMAS).await;
    let mut connection = PgConnection::connect(&database.url).await.expect("a connection");
    connection.execute(FILL).await.expect("filled");
    // Plans that fit any value, as a service that has asked often uses them.
    connection
        .execute("SET plan_cache_mode = force_generic_plan")
        .await
        .expect("set");
    let queries = queries();
    assert!(queries.len() > 20, "{} queries", queries.len());
    let mut wrong = Vec::new();
    for (number, (query, parameters)) in queries.iter().enumerate() {
        let name = format!("q{number}");
        connection
            .execute(AssertSqlSafe(format!("PREPARE {name} AS {query}")))
            .await
            .unwrap_or_else(|error| panic!("{query}: {error}"));
        let values = vec!["NULL"; *parameters].join(", ");
        let values = if values.is_empty() {
            values
        } else {
            format!("({values})")
        };
        let plan: Value = sqlx::query_scalar(AssertSqlSafe(format!("EXPLAIN (FORMAT JSON) EXECUTE {name}{values}")))
            .fetch_one(&mut connection)
            .await
            .unwrap_or_else(|error| panic!("{query}: {error}"));
        let mut found = Vec::new();
        scanned(&plan[0]["Plan"], &mut found);
        found.retain(|relation| TABLES.contains(&relation.as_str()));
        if !found.is_empty() {
            wrong.push(format!("{found:?} by: {query}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
