//! The plans of every checked query of the activity and approval services, on a database with as much in it as a busy installation has. The
//! queries are those of the cache (`.sqlx`), so that a new one is held to it without a line here. Queries that are put together as they are
//! needed are looked at beside them, in the activity service.

use std::collections::BTreeMap;

use sqlx::{Connection, Executor, PgConnection};
use testkit::database;

use crate::plans::{cached, wholesale};

/// Tables with more rows are large. Smaller ones may be cheaper to read as a whole.
const LARGE: f64 = 4_000.0;

/// Queries that look at everything by design, by a part of their text.
const WHOLE: [&str; 3] = [
    // The facts of an organization go once, with it, or when they are made anew.
    "WHERE organization_id = ANY($1)",
    // Verification from the command line goes over every organization.
    "UNION SELECT DISTINCT organization_id FROM activity.events",
    "WHERE hash IS NOT NULL AND signature IS NOT NULL",
];

/// A hundred organizations, the first of them with a fifth of everything.
const FILL: &str = "
    CREATE FUNCTION pg_temp.one(kind text, n bigint) RETURNS uuid IMMUTABLE LANGUAGE sql AS $$ SELECT md5(kind || n)::uuid $$;
    CREATE FUNCTION pg_temp.owner(n bigint) RETURNS uuid IMMUTABLE LANGUAGE sql AS
        $$ SELECT md5('organization' || CASE WHEN n % 5 = 0 THEN 0 ELSE n % 100 END)::uuid $$;
    INSERT INTO activity.events (id, organization_id, position, event_type, message, actor_type, actor_id, actor_name, agent_id, task_id, board_id,
        request_id, created_at, target_type, target_id)
    SELECT gen_random_uuid(), pg_temp.owner(n), n, 'task.updated', 'm', 'user', 'u' || n % 50, '', pg_temp.one('agent', n % 5000),
        pg_temp.one('task', n % 20000), pg_temp.one('board', n % 5000), 'r' || n, now() - n * interval '1 second', 'task', pg_temp.one('task', n % 20000)
    FROM generate_series(1, 40000) AS n;
    INSERT INTO activity.heads (organization_id, position)
    SELECT gen_random_uuid(), n FROM generate_series(1, 5000) AS n;
    INSERT INTO activity.tallies
    SELECT pg_temp.owner(n), pg_temp.one('board', n), 'task.updated', 1 FROM generate_series(1, 10000) AS n;
    INSERT INTO activity.task_events
    SELECT pg_temp.one('board', n % 5000), 'hour', now() - n * interval '1 hour', 1, 0 FROM generate_series(1, 30000) AS n;
    INSERT INTO activity.boards SELECT pg_temp.one('board', n), pg_temp.owner(n), 'B', NULL, 1, false FROM generate_series(1, 5000) AS n;
    INSERT INTO activity.tasks
    SELECT pg_temp.one('task', n), pg_temp.owner(n), pg_temp.one('board', n % 5000), 'T', 'inbox', now(), now(), NULL, NULL,
        CASE WHEN n % 200 = 0 THEN now() END, 0, 1, false
    FROM generate_series(1, 20000) AS n;
    INSERT INTO activity.agents
    SELECT pg_temp.one('agent', n), pg_temp.owner(n), pg_temp.one('board', n), pg_temp.one('gateway', n), 'A', 'online', now(), now(), NULL, NULL, 1, false
    FROM generate_series(1, 5000) AS n;
    INSERT INTO activity.gateways
    SELECT pg_temp.one('gateway', n), pg_temp.owner(n), 'G', 'connected', now(), NULL, NULL, 1, false FROM generate_series(1, 5000) AS n;
    INSERT INTO activity.approvals
    SELECT pg_temp.one('approval', n), pg_temp.owner(n), pg_temp.one('board', n % 5000), NULL, NULL, 'ship', 50, CASE WHEN n % 50 = 0 THEN 'pending' ELSE 'approved' END,
        NULL, NULL, now() - n * interval '1 minute', NULL, 1, false
    FROM generate_series(1, 20000) AS n;
    INSERT INTO activity.webhooks
    SELECT pg_temp.one('webhook', n), pg_temp.owner(n), 'https://x.example.org', NULL, ARRAY['*'], NULL, '', true, NULL, now(), now()
    FROM generate_series(1, 5000) AS n;
    INSERT INTO activity.deliveries (id, webhook_id, event_id, event_type, payload, status, next_attempt_at, created_at)
    SELECT pg_temp.one('delivery', n), pg_temp.one('webhook', 1 + n % 5000), gen_random_uuid(), 'task.updated', '{}',
        CASE WHEN n % 500 = 0 THEN 'pending' ELSE 'succeeded' END, CASE WHEN n % 500 = 0 THEN now() END, now() - n * interval '1 minute'
    FROM generate_series(1, 30000) AS n;
    INSERT INTO activity.attempts SELECT pg_temp.one('delivery', n), 1, now(), 1, 200, NULL, NULL FROM generate_series(1, 30000) AS n;
    INSERT INTO approval.approvals (id, organization_id, board_id, action_type, confidence, status, created_at, resolved_at, resolved_by_user_id, expires_at)
    SELECT pg_temp.one('approval', n), pg_temp.owner(n), pg_temp.one('board', n % 5000), 'ship', 50, CASE WHEN n % 50 = 0 THEN 'pending' ELSE 'approved' END,
        now() - n * interval '1 minute', CASE WHEN n % 50 <> 0 THEN now() END, CASE WHEN n % 50 <> 0 THEN gen_random_uuid() END,
        CASE WHEN n % 100 = 0 THEN now() + interval '1 day' END
    FROM generate_series(1, 20000) AS n;
    INSERT INTO approval.links
    SELECT pg_temp.one('approval', n), pg_temp.one('task', n), 0, 'T', CASE WHEN n % 50 = 0 THEN 'pending' ELSE 'approved' END
    FROM generate_series(1, 20000) AS n;
    ANALYZE;
";

/// Every checked query about a schema.
fn queries() -> Vec<(String, usize)> {
    cached(|query| {
        let about = ["activity.", "approval."]
            .iter()
            .any(|schema| query.contains(&format!(" {schema}")));
        about && !WHOLE.iter().any(|part| query.contains(part))
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_query_about_the_log_or_approvals_reads_a_large_table_from_end_to_end() {
    let database = database(&[activity::SCHEMA, approval::SCHEMA]).await;
    let mut connection = PgConnection::connect(&database.url)
        .await
        .expect("the database answers");
    connection.execute(FILL).await.expect("filled");
    let sizes: BTreeMap<String, f64> = sqlx::query_as::<_, (String, f32)>(
        "SELECT relnamespace::regnamespace || '.' || relname, reltuples FROM pg_class \
         WHERE relnamespace IN ('activity'::regnamespace, 'approval'::regnamespace) AND relkind = 'r'",
    )
    .fetch_all(&mut connection)
    .await
    .expect("sizes")
    .into_iter()
    .map(|(table, rows)| (table, f64::from(rows)))
    .collect();
    let large = |table: &str| sizes.get(table).is_some_and(|rows| *rows > LARGE);
    let own = |table: &String| {
        !table.ends_with("migrations")
            && !["outbox", "change_log", "relay", "inbox", "parked", "idempotency"]
                .iter()
                .any(|common| table.ends_with(&format!(".{common}")))
    };
    let small: Vec<&String> = sizes.keys().filter(|table| own(table) && !large(table)).collect();
    assert!(small.is_empty(), "fill {small:?} too");
    let queries = queries();
    assert!(queries.len() > 60, "{} queries", queries.len());
    let slow = wholesale(&mut connection, &queries, large).await;
    assert!(slow.is_empty(), "{}", slow.join("\n\n"));
}
