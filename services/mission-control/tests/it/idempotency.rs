//! Requests that come twice: one effect, one answer; also when the process dies in between.

use std::{
    process::{Child, Command, Stdio},
    time::Duration,
};

use futures::future::join_all;
use prost::Message;
use prost_reflect::{DescriptorPool, FieldDescriptor, Kind};
use proto::board::v1::{CreateTagRequest, DeleteTagRequest, tag_service_client::TagServiceClient};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use testkit::Database;
use tonic::{Code, Request, transport::Channel};
use tonic_types::StatusExt;
use transcoder::{Access, ApiInfo, Catalog};

use crate::harness::{Answer, Harness, PATIENCE, Rest, TOKEN, eventually, id};

/// Where the process that dies finds the database.
const VARIABLE: &str = "MISSION_CONTROL_TEST_IDEMPOTENCY";

async fn keyed(rest: &Rest, key: &str, method: Method, path: &str, body: &Value) -> Answer {
    let request = rest
        .request(method, path)
        .header("idempotency-key", key)
        .header("content-type", "application/json")
        .body(body.to_string());
    Rest::answer(request).await
}

async fn tag(rest: &Rest, key: &str, name: &str) -> Answer {
    keyed(rest, key, Method::POST, "/api/v1/tags", &json!({"name": name})).await
}

fn replayed(answer: &Answer) -> bool {
    answer.headers.contains_key("idempotency-replayed")
}

async fn tags(mc: &Harness) -> Value {
    mc.person().get("/api/v1/tags").await.expect(200)["total"].clone()
}

async fn connect(url: &str) -> PgConnection {
    PgConnection::connect(url).await.expect("the database answers")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repetition_gets_the_first_answer() {
    let mc = Harness::start().await;
    let person = mc.person();
    let raw = async || {
        let request = person
            .request(Method::POST, "/api/v1/tags")
            .header("idempotency-key", "k-1")
            .header("content-type", "application/json")
            .body(r#"{"name":"Blue"}"#);
        let response = request.send().await.expect("an answer");
        let again = response.headers().contains_key("idempotency-replayed");
        (
            response.status().as_u16(),
            again,
            response.text().await.expect("a body"),
        )
    };
    let first = raw().await;
    assert_eq!((first.0, first.1), (200, false), "{}", first.2);
    let second = raw().await;
    assert_eq!(second, (200, true, first.2.clone()), "the same bytes, marked");
    assert_eq!(tags(&mc).await, 1);

    let other = tag(&person, "k-1", "Red").await.detail(422);
    assert_eq!(other["code"], "idempotency_key_reused", "{other}");
    let elsewhere = keyed(
        &person,
        "k-1",
        Method::PATCH,
        &format!("/api/v1/tags/{}", id(&serde_json::from_str(&first.2).expect("JSON"))),
        &json!({"name": "Blue"}),
    )
    .await;
    assert_eq!(elsewhere.detail(422)["code"], "idempotency_key_reused");
    let fresh = tag(&person, "k-2", "Blue").await;
    assert!(!replayed(&fresh));
    fresh.detail(409);

    // gRPC takes the key as metadata; the door does not matter.
    let channel = Channel::from_shared(mc.url.clone())
        .expect("a url")
        .connect()
        .await
        .expect("HTTP/2");
    let mut request = Request::new(CreateTagRequest {
        name: "Blue".into(),
        ..CreateTagRequest::default()
    });
    let metadata = request.metadata_mut();
    metadata.insert("authorization", format!("Bearer {TOKEN}").parse().expect("a value"));
    metadata.insert("idempotency-key", "k-1".parse().expect("a value"));
    let native = TagServiceClient::new(channel)
        .create_tag(request)
        .await
        .expect("the first answer");
    assert!(native.metadata().contains_key("idempotency-replayed"));
    assert_eq!(native.get_ref().id, id(&serde_json::from_str(&first.2).expect("JSON")));

    // What changes nothing needs no key, and a key that is none is told.
    let list = person
        .request(Method::GET, "/api/v1/tags")
        .header("idempotency-key", "k-1");
    let list = Rest::answer(list).await;
    assert!(!replayed(&list));
    list.expect(200);
    for bad in ["", " ", &"x".repeat(256), "\u{e4}"] {
        let request = person
            .request(Method::POST, "/api/v1/tags")
            .header("idempotency-key", bad.as_bytes())
            .body(r#"{"name":"Green"}"#);
        let detail = Rest::answer(request).await.detail(400);
        assert!(
            detail.as_str().is_some_and(|text| text.starts_with("Idempotency-Key")),
            "{detail}"
        );
    }
    assert_eq!(tags(&mc).await, 1);
    mc.stop().await;
}

#[test]
fn every_change_can_be_repeated_by_its_request_id() {
    let catalog = Catalog::compile(proto::DESCRIPTORS).expect("compiles");
    let pool = DescriptorPool::decode(proto::DESCRIPTORS).expect("descriptors");
    let (mut changes, mut wrong) = (0, Vec::new());
    for plan in catalog.methods() {
        // Services among themselves repeat by the fields of what they ask; what nobody signs has no key.
        let closed = plan.access.iter().all(|access| *access == Access::Service);
        if closed || plan.access.contains(&Access::Public) || !plan.path.starts_with("/missioncontrol.") {
            continue;
        }
        let input = pool.get_message_by_name(plan.input.name()).expect("the request");
        let field = input.get_field_by_name("request_id");
        if !plan.mutates {
            // Where lists filter by the request that made an entry, that is no key.
            let filter = field.as_ref().is_none_or(FieldDescriptor::supports_presence);
            if !filter {
                wrong.push(format!("{} changes nothing and needs no `request_id`", plan.path));
            }
            continue;
        }
        changes += 1;
        match field {
            Some(field) if field.number() == 100 && field.kind() == Kind::String && !field.is_list() => {}
            _ => wrong.push(format!(
                "{}: give {} `string request_id = 100`, as the others have it",
                plan.path,
                input.full_name()
            )),
        }
    }
    assert!(changes > 70, "{changes} methods change something");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));

    // Over REST the key is the header alone.
    let document = catalog.openapi(&ApiInfo::default());
    let mut shown = Vec::new();
    for route in catalog.routes().filter(|route| route.plan.mutates) {
        let verb = route.method.as_str().to_lowercase();
        let operation = &document["paths"][&route.template][verb];
        let mut text = operation["parameters"].to_string();
        let body = operation["requestBody"].to_string();
        if let Some((_, name)) = body.split_once("#/components/schemas/") {
            let name = name.split('"').next().unwrap_or_default();
            text += &document["components"]["schemas"][name]["properties"].to_string();
        }
        if (text + &body).contains("\"request_id\"") {
            shown.push(route.operation_id.clone());
        }
    }
    assert_eq!(shown, Vec::<String>::new());
}

async fn tag_service(mc: &Harness) -> TagServiceClient<Channel> {
    let channel = Channel::from_shared(mc.url.clone())
        .expect("a url")
        .connect()
        .await
        .expect("HTTP/2");
    TagServiceClient::new(channel)
}

fn signed<T>(message: T, token: &str) -> Request<T> {
    let mut request = Request::new(message);
    request
        .metadata_mut()
        .insert("authorization", format!("Bearer {token}").parse().expect("a value"));
    request
}

fn named(name: &str, request_id: &str) -> CreateTagRequest {
    CreateTagRequest {
        name: name.into(),
        request_id: request_id.into(),
        ..CreateTagRequest::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_id_in_the_message_is_the_key() {
    let mc = Harness::start().await;
    let mut service = tag_service(&mc).await;
    let first = service
        .create_tag(signed(named("Blue", "r-1"), TOKEN))
        .await
        .expect("a tag");
    assert!(!first.metadata().contains_key("idempotency-replayed"));
    let again = service
        .create_tag(signed(named("Blue", "r-1"), TOKEN))
        .await
        .expect("the first answer");
    assert!(again.metadata().contains_key("idempotency-replayed"));
    assert_eq!(again.get_ref(), first.get_ref());
    assert_eq!(tags(&mc).await, 1);

    // The same key in the header, over REST and beside the message, is the same request.
    let rest = tag(&mc.person(), "r-1", "Blue").await;
    assert!(replayed(&rest));
    assert_eq!(id(&rest.expect(200)), first.get_ref().id);
    let mut beside = signed(named("Blue", ""), TOKEN);
    beside
        .metadata_mut()
        .insert("idempotency-key", "r-1".parse().expect("a value"));
    let beside = service.create_tag(beside).await.expect("the first answer");
    assert!(beside.metadata().contains_key("idempotency-replayed"));
    // The message's own id counts before the header.
    let mut both = signed(named("Blue", "r-1"), TOKEN);
    both.metadata_mut()
        .insert("idempotency-key", "another".parse().expect("a value"));
    let both = service.create_tag(both).await.expect("the first answer");
    assert_eq!(both.get_ref().id, first.get_ref().id);

    // gRPC-web is the same door.
    let message = named("Blue", "r-1").encode_to_vec();
    let mut framed = vec![0];
    framed.extend(u32::try_from(message.len()).expect("short").to_be_bytes());
    framed.extend(message);
    let web = mc
        .person()
        .request(Method::POST, "/missioncontrol.board.v1.TagService/CreateTag")
        .header("content-type", "application/grpc-web+proto")
        .body(framed)
        .send()
        .await
        .expect("the edge answers");
    assert!(web.headers().contains_key("idempotency-replayed"));
    let body = web.bytes().await.expect("a body");
    let length = u32::from_be_bytes(body[1..5].try_into().expect("a head")) as usize;
    let told = proto::board::v1::Tag::decode(&body[5..5 + length]).expect("a tag");
    assert_eq!(&told, first.get_ref());

    // Another request under the same id, at this method or another, is refused.
    let other = service
        .create_tag(signed(named("Red", "r-1"), TOKEN))
        .await
        .expect_err("another body");
    let elsewhere = service
        .delete_tag(signed(
            DeleteTagRequest {
                tag_id: first.get_ref().id.clone(),
                request_id: "r-1".into(),
            },
            TOKEN,
        ))
        .await
        .expect_err("another method");
    for refused in [other, elsewhere] {
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
        assert!(refused.message().contains("idempotency key was used"), "{refused:?}");
    }
    for bad in ["x".repeat(256), " ".into(), "\u{e4}".into()] {
        let refused = service
            .create_tag(signed(named("Green", &bad), TOKEN))
            .await
            .expect_err("no key");
        assert_eq!(refused.code(), Code::InvalidArgument, "{bad:?}");
        let details = refused.get_error_details();
        assert_eq!(
            details.bad_request().expect("fields").field_violations[0].field,
            "request_id"
        );
    }
    // In the body of REST it means nothing.
    let ignored = json!({"name": "Green", "request_id": "r-1"});
    let made = mc.person().post("/api/v1/tags", ignored).await;
    assert!(!replayed(&made));
    made.expect(200);
    assert_eq!(tags(&mc).await, 2);

    // A deletion is repeated as well; and somebody else's id is another one.
    let gone = DeleteTagRequest {
        tag_id: first.get_ref().id.clone(),
        request_id: "r-2".into(),
    };
    service
        .delete_tag(signed(gone.clone(), TOKEN))
        .await
        .expect("it is deleted");
    let again = service
        .delete_tag(signed(gone, TOKEN))
        .await
        .expect("not NOT_FOUND: it is the same request");
    assert!(again.metadata().contains_key("idempotency-replayed"));
    let key = mc
        .person()
        .post(
            "/api/v1/organizations/me/api-keys",
            json!({"name": "Robot", "scope": "write", "role": "admin"}),
        )
        .await
        .expect(200);
    let robot = service
        .create_tag(signed(named("Red", "r-1"), key["key"].as_str().expect("a key")))
        .await
        .expect("a tag of its own");
    assert!(!robot.metadata().contains_key("idempotency-replayed"));
    assert_eq!(tags(&mc).await, 2);
    mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_request_leaves_its_key_free_and_secrets_are_sealed() {
    let mc = Harness::start().await;
    let person = mc.person();
    let sent = json!({"name": "Blue", "color": "nonsense"});
    for _ in 0..2 {
        let refused = keyed(&person, "k", Method::POST, "/api/v1/tags", &sent).await;
        assert!(!replayed(&refused));
        refused.detail(422);
    }
    tag(&person, "k", "Blue").await.expect(200);

    // A token that is shown once is shown again to who repeats, and lies nowhere in clear.
    let invite = json!({"invited_email": "bob@example.org"});
    let path = "/api/v1/organizations/me/invites";
    let first = keyed(&person, "i", Method::POST, path, &invite).await.expect(200);
    let again = keyed(&person, "i", Method::POST, path, &invite).await;
    assert!(replayed(&again));
    assert_eq!(again.expect(200), first);
    let token = first["token"].as_str().expect("a token");
    let kept: Vec<Vec<u8>> = sqlx::query_scalar("SELECT answer FROM org.idempotency WHERE answer IS NOT NULL")
        .fetch_all(&mut connect(&mc.database.url).await)
        .await
        .expect("the answers");
    assert!(!kept.is_empty());
    assert!(
        kept.iter()
            .all(|answer| !String::from_utf8_lossy(answer).contains(token))
    );

    // A day later the key means nothing any more.
    connect(&mc.database.url)
        .await
        .execute("UPDATE board.idempotency SET created_at = now() - interval '25 hours'")
        .await
        .expect("time passes");
    tag(&person, "k", "Green").await.expect(200);
    assert_eq!(tags(&mc).await, 2);
    mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_different_callers_have_nothing_to_do_with_each_other() {
    let mc = Harness::start().await;
    let made = mc
        .person()
        .post(
            "/api/v1/organizations/me/api-keys",
            json!({"name": "Robot", "scope": "write", "role": "admin"}),
        )
        .await
        .expect(200);
    let robot = mc.rest(&[(
        "authorization",
        &format!("Bearer {}", made["key"].as_str().expect("a key")),
    )]);
    let one = tag(&mc.person(), "k", "Blue").await.expect(200);
    let other = tag(&robot, "k", "Red").await.expect(200);
    assert_ne!(id(&one), id(&other));
    mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_at_once_one_has_the_effect() {
    let mc = Harness::start().await;
    let person = mc.person();
    person.get("/api/v1/users/me").await.expect(200);
    let answers = join_all((0..12).map(|_| tag(&person, "k", "Blue"))).await;
    let mut ids = Vec::new();
    for answer in answers {
        if answer.status == 409 {
            assert!(answer.headers.contains_key("retry-after"));
            assert_eq!(answer.detail(409)["code"], "idempotency_in_progress");
        } else {
            ids.push(id(&answer.expect(200)));
        }
    }
    assert!(!ids.is_empty());
    ids.dedup();
    assert_eq!((ids.len(), tags(&mc).await), (1, json!(1)));
    mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_between_the_commit_and_the_answer_the_effect_stays_one() {
    let mc = dies_at(
        "CREATE TRIGGER slow BEFORE UPDATE ON board.idempotency FOR EACH ROW WHEN (OLD.committed) EXECUTE FUNCTION board.slow()",
        "DROP TRIGGER slow ON board.idempotency",
    )
    .await;
    let person = mc.person();
    assert_eq!(tags(&mc).await, 1, "it was committed");
    // For a few seconds the process might still be about to answer.
    let repeated = eventually("the answer", || async {
        let answer = tag(&person, "k", "Blue").await;
        (answer.status != 409).then_some(answer)
    })
    .await;
    assert!(replayed(&repeated));
    let made = repeated.expect(200);
    let stored = person.get(&format!("/api/v1/tags/{}", id(&made))).await.expect(200);
    assert_eq!(made, stored, "the answer is that of the effect");
    assert_eq!(tags(&mc).await, 1);
    mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_before_the_commit_it_happens_when_it_is_repeated() {
    let mc = dies_at(
        "CREATE TRIGGER slow BEFORE INSERT ON board.tags FOR EACH ROW EXECUTE FUNCTION board.slow()",
        "DROP TRIGGER slow ON board.tags",
    )
    .await;
    let person = mc.person();
    assert_eq!(tags(&mc).await, 0, "it was not committed");
    let early = tag(&person, "k", "Blue").await.detail(409);
    assert_eq!(early["code"], "idempotency_in_progress", "it may still be running");
    let claims = connect(&mc.database.url)
        .await
        .execute("UPDATE board.idempotency SET claimed_until = now()")
        .await
        .expect("the claim runs out");
    assert_eq!(claims.rows_affected(), 1);
    let repeated = tag(&person, "k", "Blue").await;
    assert!(!replayed(&repeated));
    repeated.expect(200);
    assert_eq!(tags(&mc).await, 1);
    mc.stop().await;
}

/// Has another process make a tag and kills it while the database holds it up where `hold` says. Answers a constellation on what is left.
async fn dies_at(hold: &'static str, free: &'static str) -> Harness {
    let mc = Harness::start().await;
    mc.person().get("/api/v1/users/me").await.expect(200);
    let database = mc.stop().await;
    let mut connection = connect(&database.url).await;
    let function = "CREATE FUNCTION board.slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(14); RETURN NEW; END'";
    for statement in [function, hold] {
        connection.execute(statement).await.expect("the database holds it up");
    }
    let mut child = start(&database.url);
    let sleeping =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'";
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while sqlx::query_scalar::<_, i64>(sleeping)
        .fetch_one(&mut connection)
        .await
        .expect("activity")
        == 0
    {
        assert!(tokio::time::Instant::now() < deadline, "the process came to the step");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    child.kill().expect("SIGKILL");
    child.wait().expect("it is dead");
    // What it had open ends as it would when the server notices.
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    connection.execute(end).await.expect("its connections end");
    eventually("the end of its connections", || async {
        let mut connection = connect(&database.url).await;
        let others =
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'board'";
        let left: i64 = sqlx::query_scalar(others)
            .fetch_one(&mut connection)
            .await
            .expect("activity");
        (left == 0).then_some(())
    })
    .await;
    connection
        .execute(AssertSqlSafe(free))
        .await
        .expect("nothing is held up");
    drop(connection);
    Harness::on(database, |_| {}).await
}

fn start(url: &str) -> Child {
    Command::new(std::env::current_exe().expect("this binary has a path"))
        .args([
            "--exact",
            "idempotency::the_process_that_dies",
            "--ignored",
            "--nocapture",
        ])
        .env(VARIABLE, url)
        .stdout(Stdio::null())
        .spawn()
        .expect("the process starts")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the other half of the tests of this module, which start it"]
async fn the_process_that_dies() {
    let url = std::env::var(VARIABLE).expect("started by a test of this module");
    let mc = Harness::on(Database::lent(&url), |_| {}).await;
    tag(&mc.person(), "k", "Blue").await;
    unreachable!("it is killed before it has an answer");
}
