//! API keys of people and service accounts.

use serde_json::{Value, json};
use sqlx::{Connection, Executor, PgConnection};

use crate::{
    board::Office,
    harness::{Harness, Rest, eventually, id},
    org::{join, member_id},
};

const MINE: &str = "/api/v1/users/me/api-keys";
const OURS: &str = "/api/v1/organizations/me/api-keys";

/// REST with a key as it was answered.
fn with(mc: &Harness, made: &Value) -> Rest {
    let key = made["key"].as_str().unwrap_or_else(|| panic!("a key in {made:#}"));
    mc.rest(&[("authorization", &format!("Bearer {key}"))])
}

async fn ends(rest: &Rest) {
    eventually("the end of the key", || async {
        (rest.get("/api/v1/tags").await.status == 401).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_does_what_its_scope_says_and_is_shown_once() {
    let mc = Harness::start().await;
    let person = mc.person();
    let reading = person.post(MINE, json!({"name": "Reader"})).await.expect(200);
    assert_eq!(
        (
            &reading["scope"],
            &reading["role"],
            &reading["kind"],
            &reading["expires_at"]
        ),
        (&json!("read"), &json!("member"), &json!("personal"), &Value::Null)
    );
    let key = reading["key"].as_str().expect("a key").to_owned();
    assert!(key.starts_with(reading["prefix"].as_str().expect("a prefix")) && key.len() > 60);
    let reader = with(&mc, &reading);
    assert_eq!(reader.get("/api/v1/tags").await.expect(200)["total"], 0);
    let refused = reader.post("/api/v1/tags", json!({"name": "Blue"})).await.detail(403);
    assert!(
        refused.as_str().is_some_and(|text| text.contains("reading only")),
        "{refused}"
    );
    assert_eq!(
        reader.get("/api/v1/users/me").await.expect(200)["id"],
        person.get("/api/v1/users/me").await.expect(200)["id"],
        "it acts as its person"
    );

    let writing = person
        .post(MINE, json!({"name": "Writer", "scope": "write", "role": "admin"}))
        .await
        .expect(200);
    let writer = with(&mc, &writing);
    writer.post("/api/v1/tags", json!({"name": "Blue"})).await.expect(200);
    writer
        .post(
            "/api/v1/organizations/me/invites",
            json!({"invited_email": "x@example.org"}),
        )
        .await
        .expect(200);
    let own = id(&person.get("/api/v1/organizations/me/member").await.expect(200));
    // Not even a key of an owner with every right is a sign-in.
    for refused in [
        writer.post(MINE, json!({"name": "Child"})).await,
        writer.post(OURS, json!({"name": "Child"})).await,
        writer.delete(&format!("{MINE}/{}", id(&reading))).await,
        writer.delete("/api/v1/users/me").await,
        writer.delete("/api/v1/organizations/me").await,
        writer.post("/api/v1/organizations", json!({"name": "New"})).await,
        // Nor does it act as an owner.
        writer
            .post(
                "/api/v1/organizations/me/invites",
                json!({"invited_email": "y@example.org", "role": "owner"}),
            )
            .await,
        writer
            .patch(
                &format!("/api/v1/organizations/me/members/{own}"),
                json!({"role": "admin"}),
            )
            .await,
        writer
            .put(
                &format!("/api/v1/organizations/me/members/{own}/access"),
                json!({"all_boards_read": true}),
            )
            .await,
    ] {
        refused.detail(403);
    }

    let listed = person.get(MINE).await.expect(200);
    assert_eq!(listed["total"], 2);
    for item in listed["items"].as_array().expect("items") {
        assert_eq!(item["key"], Value::Null, "shown once");
        assert!(item["last_used_at"].is_string(), "{item:#}");
    }
    assert_eq!(person.get(OURS).await.expect(200)["total"], 2, "admins see every key");

    for wrong in [
        format!("{key}x"),
        key.replace('.', ""),
        format!("{}.{}", reading["prefix"].as_str().expect("text"), "A".repeat(43)),
        "mck_".to_owned(),
    ] {
        let refused = mc.rest(&[("authorization", &format!("Bearer {wrong}"))]);
        refused.get("/api/v1/tags").await.detail(401);
    }
    person.delete(&format!("{MINE}/{}", id(&reading))).await.expect(200);
    person.delete(&format!("{MINE}/{}", id(&reading))).await.detail(404);
    ends(&reader).await;

    let stored: Vec<Vec<u8>> = sqlx::query_scalar("SELECT event FROM org.recorded")
        .fetch_all(&mut PgConnection::connect(&mc.database.url).await.expect("the database"))
        .await
        .expect("the outbox");
    let secret = key.split_once('.').expect("two parts").1;
    assert!(
        !stored
            .iter()
            .any(|event| String::from_utf8_lossy(event).contains(secret)),
        "no event carries a key"
    );
    for (body, field) in [
        (json!({"name": " "}), "name"),
        (json!({"name": "x", "scope": "all"}), "scope"),
        (json!({"name": "x", "role": "owner"}), "role"),
        (json!({"name": "x", "expires_at": "2020-01-01T00:00:00Z"}), "expires_at"),
        (json!({"name": "x", "board_ids": ["y"]}), "board_ids"),
    ] {
        let detail = person.post(MINE, body).await.detail(422);
        assert_eq!(detail[0]["loc"][1], field, "{detail:#}");
    }
    mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_ends_with_its_time_or_its_membership() {
    let mc = Harness::start().await;
    let person = mc.person();
    let made = person
        .post(MINE, json!({"name": "Short", "expires_at": "2999-01-01T00:00:00Z"}))
        .await
        .expect(200);
    assert_eq!(made["expires_at"], "2999-01-01T00:00:00Z");
    let key = with(&mc, &made);
    key.get("/api/v1/tags").await.expect(200);
    PgConnection::connect(&mc.database.url)
        .await
        .expect("the database")
        .execute("UPDATE org.api_keys SET expires_at = now()")
        .await
        .expect("time passes");
    ends(&key).await;

    // A service account is a member that is no person; it goes when it is removed, and its key with it.
    let robot = person.post(OURS, json!({"name": "Robot"})).await.expect(200);
    assert_eq!((&robot["kind"], &robot["name"]), (&json!("service"), &json!("Robot")));
    let robotic = with(&mc, &robot);
    let me = robotic.get("/api/v1/users/me").await.expect(200);
    assert_eq!((&me["id"], &me["name"]), (&robot["user_id"], &json!("Robot")));
    let members = person.get("/api/v1/organizations/me/members").await.expect(200);
    let member = members["items"]
        .as_array()
        .expect("items")
        .iter()
        .find(|member| member["user_id"] == robot["user_id"])
        .expect("the robot is a member")
        .clone();
    let url = format!("/api/v1/organizations/me/members/{}", id(&member));
    person.patch(&url, json!({"role": "owner"})).await.detail(422);
    person.delete(&url).await.expect(200);
    ends(&robotic).await;
    assert_eq!(person.get(OURS).await.expect(200)["total"], 1);

    // Revoked by an admin, the account goes too; an organization with nobody but robots goes with its last person.
    let robot = person.post(OURS, json!({"name": "Robot 2"})).await.expect(200);
    let robotic = with(&mc, &robot);
    robotic.get("/api/v1/tags").await.expect(200);
    person.delete(&format!("{OURS}/{}", id(&robot))).await.expect(200);
    ends(&robotic).await;
    assert_eq!(
        person.get("/api/v1/organizations/me/members").await.expect(200)["total"],
        1
    );
    person.post(OURS, json!({"name": "Robot 3"})).await.expect(200);
    person.delete("/api/v1/users/me").await.expect(200);
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM org.users")
        .fetch_one(&mut PgConnection::connect(&mc.database.url).await.expect("the database"))
        .await
        .expect("a count");
    assert_eq!(left, 0);
    mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_for_single_boards_reaches_no_other() {
    let office = Office::open().await;
    let (one, two) = (
        office.board("One", json!({})).await,
        office.board("Two", json!({})).await,
    );
    let made = office
        .person
        .post(OURS, json!({"name": "Robot", "scope": "write", "board_ids": [one]}))
        .await
        .expect(200);
    let robot = with(&office.mc, &made);
    let boards = robot.get("/api/v1/boards").await.expect(200);
    assert_eq!((&boards["total"], &boards["items"][0]["id"]), (&json!(1), &json!(one)));
    let tasks = |board: &str| format!("/api/v1/boards/{board}/tasks");
    robot.post(&tasks(&one), json!({"title": "Mine"})).await.expect(200);
    robot.post(&tasks(&two), json!({"title": "Not mine"})).await.detail(403);

    let reading = office
        .person
        .post(MINE, json!({"name": "Reader", "board_ids": [two]}))
        .await
        .expect(200);
    let reader = with(&office.mc, &reading);
    reader.get(&tasks(&two)).await.expect(200);
    reader.get(&tasks(&one)).await.detail(403);
    reader.post(&tasks(&two), json!({"title": "Not I"})).await.detail(403);

    let foreign = uuid::Uuid::now_v7().to_string();
    let refused = office
        .person
        .post(MINE, json!({"name": "x", "board_ids": [foreign]}))
        .await;
    assert_eq!(refused.detail(422)["board_ids"], json!([foreign]));
    let admin = json!({"name": "x", "role": "admin", "board_ids": [one]});
    office.person.post(OURS, admin).await.detail(422);
    office.mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn explanations_are_what_the_rules_do() {
    let office = Office::open().await;
    let (mc, person) = (&office.mc, &office.person);
    let (seen, hidden) = (
        office.board("Seen", json!({})).await,
        office.board("Hidden", json!({})).await,
    );
    let bob = join(mc, "bob", json!({"board_access": [{"board_id": seen}]})).await;
    let ask = async |rest: &Rest, query: String| rest.get(&format!("/api/v1/access/explain?{query}")).await;
    let robot = person
        .post(OURS, json!({"name": "Robot", "board_ids": [seen]}))
        .await
        .expect(200);
    let robotic = with(mc, &robot);

    let update = "method=missioncontrol.board.v1.TaskService/UpdateTask";
    let list = "method=GET%20/api/v1/boards/%7Bboard_id%7D/tasks";
    let member = format!("&member_id={}", member_id(&bob));
    for (query, allowed, rule) in [
        (format!("{list}{member}&board_id={seen}"), true, "board_read"),
        (format!("{update}{member}&board_id={seen}"), false, "board_write"),
        (format!("{list}{member}&board_id={hidden}"), false, "board_read"),
        (
            format!("method=create_org_invite_api_v1_organizations_me_invites_post{member}"),
            false,
            "admin",
        ),
        (
            format!("method=DELETE%20/api/v1/organizations/me{member}"),
            false,
            "owner",
        ),
        ("method=DELETE%20/api/v1/organizations/me".to_owned(), true, "owner"),
        (format!("{update}&board_id={hidden}"), true, "board_write"),
    ] {
        let said = ask(person, query.clone()).await.expect(200);
        assert_eq!(
            (&said["allowed"], &said["rule"]),
            (&json!(allowed), &json!(rule)),
            "{query}: {said:#}"
        );
        assert_eq!(said["missing"].is_null(), allowed, "{said:#}");
        assert_eq!(said["granted_by"].is_null(), allowed, "{said:#}");
    }
    // What is said of a caller is what happens to it.
    for (method, path, body) in [
        ("GET", format!("/api/v1/boards/{seen}/tasks"), Value::Null),
        ("GET", format!("/api/v1/boards/{hidden}/tasks"), Value::Null),
        ("POST", format!("/api/v1/boards/{seen}/tasks"), json!({"title": "x"})),
        ("POST", "/api/v1/tags".to_owned(), json!({"name": "x"})),
        ("GET", "/api/v1/organizations/me/invites".to_owned(), Value::Null),
    ] {
        let board = [&seen, &hidden]
            .into_iter()
            .find(|board| path.contains(board.as_str()))
            .map(|board| format!("&board_id={board}"))
            .unwrap_or_default();
        let said = ask(&robotic, format!("method={method}%20{path}{board}"))
            .await
            .expect(200);
        let done = robotic
            .send(
                method.parse().expect("a method"),
                &path,
                (!body.is_null()).then_some(body),
            )
            .await;
        assert_eq!(
            said["allowed"] == json!(true),
            done.status.is_success(),
            "{method} {path}: {said:#} {:#}",
            done.body
        );
    }
    ask(&robotic, format!("{list}{member}")).await.detail(403);
    ask(person, "method=nothing".into()).await.detail(404);
    ask(person, format!("{list}&board_id={}", uuid::Uuid::now_v7()))
        .await
        .detail(404);
    ask(person, format!("{list}&member_id={}", uuid::Uuid::now_v7()))
        .await
        .detail(404);
    mc.nobody()
        .get(&format!("/api/v1/access/explain?{list}"))
        .await
        .detail(401);
    office.mc.stop().await;
}
