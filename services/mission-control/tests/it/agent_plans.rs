//! Every list of the agent service has its index: the plans of its queries at size, read from the cache of checked queries.

use mission_control::SCHEMAS;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use testkit::database;

use crate::plans::{cached, scanned};

const ORGANIZATION: &str = "'00000000-0000-0000-0000-000000000001'::uuid";
const BOARD: &str = "'00000000-0000-0000-0000-0000000000b1'::uuid";
const GATEWAY: &str = "'00000000-0000-0000-0000-0000000000c1'::uuid";
const NO_ID: &str = "NULL::uuid";
const NO_IDS: &str = "NULL::uuid[]";
const NO_TEXT: &str = "NULL::text";

/// Another organization with twenty thousand agents, and one with a thousand; messages and operations of both.
const SEED: &str = "
INSERT INTO agent.agents (id, organization_id, gateway_id, board_id, name, status, shown_status, session_key, token_key_id, token_hash, token_sealed,
    observed_generation, last_seen_at, created_at)
SELECT ('00000000-0000-0000-0001-' || lpad(to_hex(n), 12, '0'))::uuid,
    CASE WHEN n <= 1000 THEN '00000000-0000-0000-0000-000000000001'::uuid ELSE '00000000-0000-0000-0000-000000000002'::uuid END,
    CASE WHEN n <= 1000 THEN '00000000-0000-0000-0000-0000000000c1'::uuid ELSE '00000000-0000-0000-0000-0000000000c2'::uuid END,
    ('00000000-0000-0000-0000-' || lpad(to_hex(176 + n % 50), 12, '0'))::uuid,
    'agent ' || n, 'online', 'online', 'agent:mc-' || n || ':main', 'key ' || n, '', '', CASE WHEN n % 100 = 0 THEN 0 ELSE 1 END,
    now() - n * interval '1 second', now() - n * interval '1 minute'
FROM generate_series(1, 21000) AS n;
INSERT INTO agent.messages (id, organization_id, agent_id, board_id, gateway_id, session_key, label, text, idempotency_key, state, next_attempt_at, listed,
    created_at, settled_at)
SELECT gen_random_uuid(), a.organization_id, a.id, a.board_id, a.gateway_id, a.session_key, a.name, 'x', a.id || '-' || k,
    CASE WHEN k = 5 AND a.organization_id = '00000000-0000-0000-0000-000000000001' THEN 'waiting' ELSE 'sent' END, now() + interval '1 hour', k = 4,
    a.created_at + k * interval '1 second', now()
FROM agent.agents AS a, generate_series(1, 5) AS k;
INSERT INTO agent.operations (id, organization_id, gateway_id, kind, title, created_by, state, deadline_at, created_at, settled_at)
SELECT gen_random_uuid(), CASE WHEN n <= 200 THEN '00000000-0000-0000-0000-000000000001'::uuid ELSE gen_random_uuid() END, gen_random_uuid(), 'template_sync',
    '', '', CASE WHEN n % 50 = 0 THEN 'running' ELSE 'succeeded' END, now() + interval '1 hour', now() - n * interval '1 minute', now()
FROM generate_series(1, 5000) AS n;
INSERT INTO agent.operation_items (operation_id, agent_id, agent_name, generation, state)
SELECT o.id, a.id, a.name, 1, CASE WHEN o.state = 'running' THEN 'waiting' ELSE 'done' END
FROM agent.operations AS o, LATERAL (SELECT id, name FROM agent.agents ORDER BY id LIMIT 5) AS a;
INSERT INTO agent.work SELECT gen_random_uuid(), board_id, id FROM agent.agents WHERE board_id IS NOT NULL;
ANALYZE agent.agents, agent.messages, agent.operations, agent.operation_items, agent.work;
";

/// A query of the cache: the one with all of these parts.
fn query(parts: &[&str]) -> String {
    let mut found = cached(|query| parts.iter().all(|part| query.contains(part)));
    assert_eq!(found.len(), 1, "one query has {parts:?}: {found:#?}");
    found.remove(0).0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_list_of_the_agent_service_has_its_index() {
    let database = database(&SCHEMAS).await;
    let mut connection = PgConnection::connect(&database.url).await.expect("the database");
    sqlx::raw_sql(AssertSqlSafe(SEED.to_owned()))
        .execute(&mut connection)
        .await
        .expect("seeds");
    let cases: &[(&str, &[&str], &[&str])] = &[
        (
            "the agents of an organization",
            &[
                "FROM agent.agents AS a ",
                "ORDER BY a.created_at DESC, a.id DESC LIMIT $5 OFFSET $6",
            ],
            &[ORGANIZATION, NO_ID, NO_ID, NO_IDS, "200", "0"],
        ),
        (
            "the agents of a board",
            &[
                "FROM agent.agents AS a ",
                "ORDER BY a.created_at DESC, a.id DESC LIMIT $5 OFFSET $6",
            ],
            &[ORGANIZATION, BOARD, NO_ID, NO_IDS, "200", "0"],
        ),
        (
            "how many agents an organization has",
            &[
                "SELECT count(*)",
                "($3::uuid IS NULL OR a.gateway_id = $3)\n                     AND ($4::uuid[] IS NULL",
            ],
            &[ORGANIZATION, NO_ID, NO_ID, NO_IDS],
        ),
        (
            "what is behind",
            &[
                "a.observed_generation < a.desired_generation",
                "ORDER BY a.updated_at DESC, a.id DESC LIMIT $6",
            ],
            &[ORGANIZATION, NO_ID, NO_ID, NO_ID, NO_IDS, "200"],
        ),
        (
            "messages as operations",
            &[
                "FROM agent.messages ",
                "(listed OR state <> 'sent')",
                "ORDER BY created_at DESC, id DESC LIMIT $7",
            ],
            &[ORGANIZATION, NO_TEXT, NO_ID, NO_ID, NO_ID, NO_IDS, "200"],
        ),
        (
            "syncs",
            &[
                "FROM agent.operations AS o CROSS JOIN LATERAL",
                "ORDER BY o.created_at DESC, o.id DESC LIMIT $6",
            ],
            &[ORGANIZATION, NO_TEXT, NO_ID, NO_ID, NO_IDS, "200"],
        ),
        (
            "the items of a sync",
            &[
                "FROM agent.operation_items WHERE operation_id = $1",
                "ORDER BY board_id IS NULL",
            ],
            &[ORGANIZATION],
        ),
        (
            "the agents of a gateway for a sync",
            &[
                "WHERE a.gateway_id = $1 AND a.deleting_at IS NULL AND CASE WHEN a.board_id IS NULL THEN $2",
                "ORDER BY a.id FOR UPDATE",
            ],
            &[GATEWAY, "true", NO_ID, "false"],
        ),
        (
            "the agents of a gateway for a preview",
            &[
                "WHERE a.gateway_id = $1 AND a.deleting_at IS NULL AND CASE WHEN a.board_id IS NULL THEN $2",
                "ORDER BY a.board_id IS NULL, a.created_at, a.id",
            ],
            &[GATEWAY, "true", NO_ID, "false"],
        ),
        (
            "what the reconciler claims",
            &[
                "UPDATE agent.agents AS a SET lease_id = $1",
                "ORDER BY next_attempt_at LIMIT $2",
            ],
            &[ORGANIZATION, "8"],
        ),
        (
            "the next messages",
            &["UPDATE agent.messages SET lease_id = $1", "FOR UPDATE OF m SKIP LOCKED"],
            &[ORGANIZATION, "8"],
        ),
        (
            "the roster of a board",
            &["SELECT id, name, is_board_lead, gateway_id, session_key FROM agent.agents WHERE board_id = $1"],
            &[BOARD],
        ),
        (
            "the agents of boards",
            &["WHERE board_id = ANY($1) AND deleting_at IS NULL ORDER BY created_at, id"],
            &["ARRAY['00000000-0000-0000-0000-0000000000b1'::uuid]"],
        ),
        (
            "a token",
            &["WHERE token_key_id = $1 AND deleting_at IS NULL"],
            &["'key 77'"],
        ),
        (
            "what an operation waits for",
            &[
                "UPDATE agent.operation_items SET state = $2",
                "WHERE agent_id = $1 AND state = 'waiting'",
            ],
            &["'00000000-0000-0000-0001-000000000001'::uuid", "'done'", "''", "1"],
        ),
    ];
    let mut slow = Vec::new();
    for (what, parts, values) in cases {
        let mut statement = query(parts);
        for (number, value) in values.iter().enumerate().rev() {
            statement = statement.replace(&format!("${}", number + 1), value);
        }
        let found = scanned(&mut connection, &statement).await;
        if !found.is_empty() {
            slow.push(format!("{what} reads all of {found:?}:\n{statement}"));
        }
    }
    assert!(slow.is_empty(), "{}", slow.join("\n\n"));
}
