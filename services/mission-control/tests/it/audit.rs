//! The audit trail: complete, filtered, exported, and not to be changed unseen.

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use uuid::Uuid;

use crate::{
    board::Office,
    harness::{eventually, id},
    org::{calling, join, refusal},
};

async fn audit(office: &Office, query: &str) -> Value {
    office.person.get(&format!("/api/v1/audit?{query}")).await.expect(200)
}

async fn sql(office: &Office, statement: &str) {
    let mut connection = PgConnection::connect(&office.mc.database.url).await.expect("connects");
    let done = sqlx::query(AssertSqlSafe(statement.to_owned()))
        .execute(&mut connection)
        .await
        .expect("runs");
    assert!(done.rows_affected() > 0, "{statement}");
}

/// A board with a tag that was created, changed and deleted; answers the tag.
async fn history(office: &Office) -> String {
    let person = &office.person;
    let tag = id(&person
        .post("/api/v1/tags", json!({"name": "Tag, \"quoted\""}))
        .await
        .expect(200));
    person
        .patch(&format!("/api/v1/tags/{tag}"), json!({"name": "Other"}))
        .await
        .expect(200);
    person.delete(&format!("/api/v1/tags/{tag}")).await.expect(200);
    eventually("logging", || async {
        (audit(office, "kinds=tag.deleted").await["items"]
            .as_array()
            .map(Vec::len)
            == Some(1))
        .then_some(())
    })
    .await;
    tag
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_say_who_did_what_and_can_be_found() {
    let office = Office::open().await;
    let person = &office.person;
    let me = person.get("/api/v1/users/me").await.expect(200);
    let request = person
        .request(reqwest::Method::POST, "/api/v1/tags")
        .header("x-request-id", "the-request")
        .header("content-type", "application/json")
        .body(json!({"name": "First"}).to_string());
    let first = id(&crate::harness::Rest::answer(request).await.expect(200));
    let tag = history(&office).await;

    let of_tag = audit(&office, &format!("target_id={tag}")).await;
    let kinds: Vec<&str> = of_tag["items"]
        .as_array()
        .expect("items")
        .iter()
        .map(|item| item["kind"].as_str().expect("a kind"))
        .collect();
    assert_eq!(kinds, ["tag.deleted", "tag.updated", "tag.created"], "newest first");
    let updated = &of_tag["items"][1];
    assert_eq!(
        (
            &updated["actor_type"],
            &updated["actor_id"],
            &updated["target_type"],
            &updated["target_id"]
        ),
        (&json!("user"), &me["id"], &json!("tag"), &json!(tag))
    );
    assert_eq!(
        (&updated["before"]["name"], &updated["after"]["name"]),
        (&json!("Tag, \"quoted\""), &json!("Other"))
    );
    assert!(updated["hash"].as_str().is_some_and(|hash| hash.len() == 64));

    let count = async |query: &str| audit(&office, query).await["items"].as_array().map_or(0, Vec::len);
    assert_eq!(
        audit(&office, "request_id=the-request").await["items"][0]["target_id"],
        first.as_str()
    );
    for (query, found) in [
        ("kinds=tag.*".to_owned(), 4),
        ("kinds=tag.created".to_owned(), 2),
        ("kinds=tag.*&exclude_kinds=tag.created,tag.updated".to_owned(), 1),
        (format!("actor={}&kinds=tag.*", me["id"].as_str().expect("an id")), 4),
        ("actor=nobody".to_owned(), 0),
        ("actor_type=agent".to_owned(), 0),
        ("text=oTHER&kinds=tag.*".to_owned(), 2),
        ("text=%25".to_owned(), 0),
        ("since=2100-01-01T00:00:00Z".to_owned(), 0),
        ("until=2000-01-01T00:00:00Z".to_owned(), 0),
        (format!("board_id={}", Uuid::now_v7()), 0),
    ] {
        assert_eq!(count(&query).await, found, "{query}");
    }
    // Page by page.
    let (mut seen, mut before) = (Vec::new(), String::new());
    loop {
        let page = audit(&office, &format!("limit=2{before}")).await;
        seen.extend(page["items"].as_array().expect("items").iter().map(|item| {
            item["position"].as_str().map_or_else(
                || item["position"].as_i64().expect("a number"),
                |text| text.parse().expect("a number"),
            )
        }));
        match &page["next_before"] {
            Value::Null => break,
            next => before = format!("&before_position={}", next.to_string().trim_matches('"')),
        }
    }
    let all: Vec<i64> = (1..=i64::try_from(seen.len()).expect("few")).rev().collect();
    assert_eq!(seen, all, "every position, once");

    for bad in ["limit=0", "target_id=x", "kinds=tag", "since=yesterday"] {
        person.get(&format!("/api/v1/audit?{bad}")).await.detail(422);
    }
    let member = join(&office.mc, "mia", json!({"all_boards_write": true})).await;
    let refused =
        proto::activity::v1::audit_service_client::AuditServiceClient::new(calling(&office.mc, "activity", &member))
            .list_audit_entries(proto::activity::v1::ListAuditEntriesRequest::default())
            .await;
    assert_eq!(
        refusal(refused).0,
        chassis::error::Kind::Denied,
        "members do not read the trail"
    );
    office.mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_exported_as_lines_and_as_a_table() {
    let office = Office::open().await;
    let tag = history(&office).await;
    let get = async |query: &str| {
        office
            .person
            .request(
                reqwest::Method::GET,
                &format!("/api/v1/audit/export?kinds=tag.*{query}"),
            )
            .send()
            .await
            .expect("answers")
    };
    let answer = get("").await;
    assert_eq!(answer.headers()["content-type"], "application/x-ndjson");
    assert!(
        answer.headers()["content-disposition"]
            .to_str()
            .is_ok_and(|value| value.starts_with("attachment; filename=\"audit-20") && value.ends_with(".jsonl\""))
    );
    let text = answer.text().await.expect("text");
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(
        (
            &lines[0]["kind"],
            &lines[0]["target_id"],
            &lines[0]["after"]["name"],
            &lines[0]["before"]
        ),
        (
            &json!("tag.created"),
            &json!(tag),
            &json!("Tag, \"quoted\""),
            &Value::Null
        )
    );

    let answer = get("&format=csv").await;
    assert_eq!(answer.headers()["content-type"], "text/csv; charset=utf-8");
    let text = answer.text().await.expect("text");
    let rows: Vec<&str> = text.trim_end().split("\r\n").collect();
    assert_eq!(rows.len(), 4, "{text}");
    assert!(rows[0].starts_with("position,created_at,kind,message,actor_type"));
    assert!(
        rows[1].contains(",tag.created,") && rows[1].contains("\"\"quoted"),
        "{}",
        rows[1]
    );
    office.person.get("/api/v1/audit/export?format=xml").await.detail(422);
    office.mc.stop().await;
}

/// What the check over REST finds, as `position kind`.
async fn findings(office: &Office) -> Vec<String> {
    let (mut found, mut after) = (Vec::new(), 0);
    loop {
        let part = office
            .person
            .get(&format!("/api/v1/audit/verify?after_position={after}&limit=3"))
            .await
            .expect(200);
        let problems = part["problems"].as_array().expect("problems");
        assert_eq!(part["intact"], problems.is_empty());
        found.extend(problems.iter().map(|problem| {
            format!(
                "{} {}",
                problem["position"].to_string().trim_matches('"'),
                problem["kind"].as_str().expect("a kind")
            )
        }));
        let to: i64 = part["checked_to"]
            .to_string()
            .trim_matches('"')
            .parse()
            .expect("a position");
        assert!(to > after || part["complete"] == true, "{part:#}");
        after = to;
        if part["complete"] == true {
            found.dedup();
            return found;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_edit_gap_and_cut_is_found() {
    let office = Office::open().await;
    history(&office).await;
    assert_eq!(findings(&office).await, Vec::<String>::new());
    let context = &office.mc.constellation.context;
    let store = context.store(activity::SCHEMA).expect("a store");
    let organization = office.person.get("/api/v1/organizations/me").await.expect(200);
    let organization = Uuid::parse_str(organization["id"].as_str().expect("an id")).expect("a UUID");
    let kept = activity::audit::anchors(&store, Some(organization))
        .await
        .expect("anchors");
    let end = kept[0].position;
    let check = async |kept: &[activity::audit::Anchor]| {
        let report = activity::audit::verify(&store, &context.sealer, organization, 0, None, kept)
            .await
            .expect("checks");
        let found: Vec<String> = report
            .findings
            .iter()
            .map(|finding| format!("{} {}", finding.position, finding.kind))
            .collect();
        found
    };
    assert_eq!(check(&kept).await, Vec::<String>::new());
    // The database as it was, to break it in one way after the other.
    sql(
        &office,
        "CREATE TABLE activity.events_kept AS SELECT * FROM activity.events",
    )
    .await;
    sql(
        &office,
        "CREATE TABLE activity.heads_kept AS SELECT * FROM activity.heads",
    )
    .await;
    let restore = async || {
        let mut connection = PgConnection::connect(&office.mc.database.url).await.expect("connects");
        for statement in [
            "DELETE FROM activity.events",
            "INSERT INTO activity.events SELECT * FROM activity.events_kept",
            "DELETE FROM activity.heads",
            "INSERT INTO activity.heads SELECT * FROM activity.heads_kept",
        ] {
            sqlx::query(statement).execute(&mut connection).await.expect("runs");
        }
    };
    let (last, before) = (end, end - 1);
    for (name, statements, expected) in [
        (
            "an edited text",
            vec!["UPDATE activity.events SET message = 'x' WHERE position = 2".to_owned()],
            "2 edited",
        ),
        (
            "an edited thing",
            vec!["UPDATE activity.events SET after = '{}' WHERE position = 2".to_owned()],
            "2 edited",
        ),
        (
            "another actor",
            vec!["UPDATE activity.events SET actor_id = 'y' WHERE position = 3".to_owned()],
            "3 edited",
        ),
        (
            "another time",
            vec![
                "UPDATE activity.events SET created_at = created_at - interval '1 second' WHERE position = 3"
                    .to_owned(),
            ],
            "3 edited",
        ),
        (
            "a lost hash",
            vec!["UPDATE activity.events SET hash = NULL WHERE position = 3".to_owned()],
            "3 edited",
        ),
        (
            "a gap",
            vec!["DELETE FROM activity.events WHERE position = 3".to_owned()],
            "3 missing",
        ),
        (
            "a cut",
            vec![format!("DELETE FROM activity.events WHERE position = {last}")],
            &format!("{last} missing"),
        ),
        (
            "a cut with the end set back",
            vec![
                format!("DELETE FROM activity.events WHERE position = {last}"),
                format!(
                    "UPDATE activity.heads SET position = {before}, hash = (SELECT hash FROM activity.events WHERE position = {before} AND organization_id = '{organization}') WHERE organization_id = '{organization}'"
                ),
            ],
            "0 head_unsigned",
        ),
        (
            "an end set back",
            vec![format!(
                "UPDATE activity.heads SET position = {before} WHERE organization_id = '{organization}'"
            )],
            "0 head_unsigned",
        ),
        (
            "an unsigned end",
            vec!["UPDATE activity.heads SET signature = NULL".to_owned()],
            "0 head_unsigned",
        ),
        ("no end", vec!["DELETE FROM activity.heads".to_owned()], "0 truncated"),
    ] {
        for statement in &statements {
            sql(&office, statement).await;
        }
        assert!(
            check(&[]).await.iter().any(|found| found == expected),
            "{name}: {:?}",
            check(&[]).await
        );
        if name != "no end" {
            assert!(
                findings(&office).await.iter().any(|found| found == expected),
                "{name} over REST"
            );
        }
        restore().await;
    }
    assert_eq!(check(&kept).await, Vec::<String>::new(), "as it was");

    // An old end with its own good signature: only an anchor that was kept elsewhere shows the cut.
    office
        .person
        .post("/api/v1/tags", json!({"name": "Later"}))
        .await
        .expect(200);
    eventually("logging", || async {
        (audit(&office, "text=Later").await["items"].as_array().map(Vec::len) == Some(1)).then_some(())
    })
    .await;
    let later = activity::audit::anchors(&store, Some(organization))
        .await
        .expect("anchors");
    restore().await;
    assert_eq!(
        check(&[]).await,
        Vec::<String>::new(),
        "the old state is consistent in itself"
    );
    assert_eq!(check(&later).await, [format!("{} truncated", end + 1)]);
    let mut forged = kept.clone();
    forged[0].hash = "00".repeat(32);
    assert!(check(&forged).await.contains(&format!("{end} anchor_unsigned")));
    let anchor = office.person.get("/api/v1/audit/anchor").await.expect(200);
    assert_eq!(anchor["hash"], kept[0].hash.as_str());
    office.mc.stop().await;
}
