//! Plans of the queries about gateways and skills, with many of both: none of them reads a whole table. The queries are those of the
//! checked queries' cache, so that a new one is held to it without a line here.

use mission_control::SCHEMAS;
use sqlx::{Connection as _, Executor as _, PgConnection};
use testkit::database;

use crate::plans::{cached, wholesale};

/// Tables that grow, and what fills them.
const TABLES: [&str; 4] = [
    "gateway.gateways",
    "agent.skill_packs",
    "agent.skills",
    "agent.skill_installs",
];
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

/// The queries of the cache that are about a table that grows.
fn queries() -> Vec<(String, usize)> {
    cached(|query| {
        let about = TABLES.iter().any(|table| query.contains(&format!("{table} ")));
        about && !WHOLE.iter().any(|part| query.contains(part))
    })
}

#[tokio::test]
async fn no_query_about_gateways_or_skills_reads_a_whole_table() {
    let database = database(&SCHEMAS).await;
    let mut connection = PgConnection::connect(&database.url).await.expect("a connection");
    connection.execute(FILL).await.expect("filled");
    let queries = queries();
    assert!(queries.len() > 20, "{} queries", queries.len());
    let wrong = wholesale(&mut connection, &queries, |table| TABLES.contains(&table)).await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
