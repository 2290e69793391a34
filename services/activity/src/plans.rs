//! At size, lists of the log read what they show and little more: the plans of PostgreSQL, read by a program. What the other queries of this
//! service read is looked at with the checked queries, where all services are together.

use chassis::Store;
use serde_json::Value;
use sqlx::{Connection, PgConnection, Postgres, QueryBuilder};
use uuid::Uuid;

use crate::{SCHEMA, rules::Kinds, view::View};

/// The organization that is asked about.
pub const ORGANIZATION: Uuid = Uuid::from_u128(1);
/// Rows of one page.
pub const PAGE: i32 = 50;
/// What a list may read at most to show a page.
pub const SOME: f64 = 50.0 * 12.0;
/// Begins a statement that is explained instead of answered.
pub const EXPLAIN: &str = "EXPLAIN (ANALYZE, FORMAT JSON) ";

/// 60,000 events of two organizations on 20 boards each; one in fifty is about a task, one in a thousand is rare.
const FILL: [&str; 4] = [
    "INSERT INTO activity.events (id, organization_id, position, event_type, message, actor_type, actor_id, actor_name, agent_id, task_id, \
       board_id, gateway_id, request_id, before, after, created_at, target_type, target_id) \
     SELECT gen_random_uuid(), ('00000000-0000-0000-0000-00000000000' || 1 + n % 2)::uuid, 1 + n / 2, \
       CASE WHEN n % 1000 < 2 THEN 'tag.created' WHEN n % 50 < 2 THEN 'task.created' ELSE 'agent.heartbeat' END, 'm' || n, 'agent', 'a' || n % 500, '', \
       md5('agent' || n % 1000)::uuid, CASE WHEN n % 50 < 2 THEN md5('task' || n / 400)::uuid END, \
       CASE WHEN n % 100 < 2 THEN NULL ELSE md5('board' || n % 2 || n / 2 % 20)::uuid END, NULL, 'r' || n, NULL, NULL, \
       now() - make_interval(secs => 60000 - n), 'agent', md5('agent' || n % 1000)::uuid \
     FROM generate_series(0, 59999) AS n",
    "INSERT INTO activity.heads (organization_id, position) SELECT organization_id, count(*) FROM activity.events GROUP BY 1",
    "INSERT INTO activity.tallies SELECT organization_id, coalesce(board_id, '00000000-0000-0000-0000-000000000000'), event_type, count(*) \
     FROM activity.events GROUP BY 1, 2, 3",
    "ANALYZE",
];

/// A busy log.
pub struct Busy {
    pub store: Store,
    /// Boards of the organization.
    pub boards: Vec<Uuid>,
    /// An agent and a task of it.
    pub agent: Uuid,
    pub task: Uuid,
    _database: testkit::Database,
}

impl Busy {
    pub async fn fill() -> Self {
        let database = testkit::database(&[SCHEMA]).await;
        let mut connection = PgConnection::connect(&database.url).await.expect("connects");
        for statement in FILL {
            sqlx::query(statement).execute(&mut connection).await.expect("fills");
        }
        let store = Store::open(&database.url, SCHEMA, 2).expect("opens");
        let boards = sqlx::query_scalar(
            "SELECT DISTINCT board_id FROM activity.events WHERE organization_id = $1 AND board_id IS NOT NULL ORDER BY board_id",
        )
        .bind(ORGANIZATION)
        .fetch_all(store.pool())
        .await
        .expect("boards");
        let (agent, task) = sqlx::query_as(
            "SELECT min(agent_id::text)::uuid, min(task_id::text)::uuid FROM activity.events WHERE organization_id = $1",
        )
        .bind(ORGANIZATION)
        .fetch_one(store.pool())
        .await
        .expect("ids");
        Self {
            store,
            boards,
            agent,
            task,
            _database: database,
        }
    }

    /// Holds a statement that begins with [`EXPLAIN`] to a number of rows, and to not reading the log from end to end.
    pub async fn check(&self, name: &str, mut query: QueryBuilder<Postgres>, allowed: f64) {
        let plan: Value = query
            .build_query_scalar()
            .fetch_one(self.store.pool())
            .await
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let (mut most, mut scanned) = (0.0, Vec::new());
        look(&plan[0]["Plan"], &mut most, &mut scanned);
        assert!(
            !scanned.iter().any(|table| table == "events"),
            "{name} reads the whole log: {plan:#}"
        );
        assert!(most <= allowed, "{name} reads {most} rows: {plan:#}");
    }
}

/// The most rows that one step of a plan produced or threw away, over all its runs, and the tables that were read from end to end.
fn look(plan: &Value, most: &mut f64, scanned: &mut Vec<String>) {
    let number = |key: &str| plan[key].as_f64().unwrap_or(0.0);
    let runs = number("Actual Loops");
    *most = most
        .max(number("Actual Rows") * runs)
        .max(number("Rows Removed by Filter") * runs);
    if plan["Node Type"].as_str().is_some_and(|kind| kind.contains("Seq Scan")) {
        scanned.extend(plan["Relation Name"].as_str().map(str::to_owned));
    }
    for part in plan["Plans"].as_array().into_iter().flatten() {
        look(part, most, scanned);
    }
}

/// Kinds by their names.
pub fn kinds(names: &[&str]) -> Kinds {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    Kinds::of("kinds", &names).expect("kinds")
}

#[tokio::test]
async fn pages_of_the_log_read_little_more_than_they_show() {
    let busy = Busy::fill().await;
    let whole = View {
        organization: ORGANIZATION,
        unbound: true,
        ..View::default()
    };
    let part = |change: fn(&Busy, &mut View)| {
        let mut view = whole.clone();
        change(&busy, &mut view);
        view
    };
    let views = [
        ("everything", whole.clone(), f64::from(PAGE)),
        ("what is on boards", part(|_, view| view.unbound = false), SOME),
        ("one board", part(|busy, view| view.board = Some(busy.boards[0])), SOME),
        (
            "three boards",
            part(|busy, view| {
                view.boards = Some(busy.boards[..3].to_vec());
                view.unbound = false;
            }),
            SOME,
        ),
        (
            "three boards and what is on none",
            part(|busy, view| view.boards = Some(busy.boards[..3].to_vec())),
            SOME,
        ),
        ("one agent", part(|busy, view| view.agent = Some(busy.agent)), SOME),
        ("one task", part(|busy, view| view.task = Some(busy.task)), SOME),
        (
            "a rare kind",
            part(|_, view| view.include = kinds(&["tag.created"])),
            SOME,
        ),
        ("a subject", part(|_, view| view.include = kinds(&["task.*"])), SOME),
        // Fifty in a page, of which there is one in fifty.
        (
            "no heartbeats",
            part(|_, view| view.exclude = kinds(&["agent.heartbeat"])),
            f64::from(PAGE) * 60.0,
        ),
    ];
    for (name, view, allowed) in views {
        let page = view.page(&format!("{EXPLAIN}SELECT e.id"), PAGE, 0);
        busy.check(name, page, allowed).await;
        let next = view.page(&format!("{EXPLAIN}SELECT e.id"), PAGE, PAGE);
        busy.check(&format!("{name}, the second page"), next, allowed * 2.0)
            .await;
    }
}
