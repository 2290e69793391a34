//! The directory of souls, with a directory of our own.

use serde_json::json;
use testkit::gateway::{FakeGateway, Options, Release};
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{method, path},
};

use crate::{
    harness::{Harness, eventually, id},
    path::{board, team},
};

async fn directory(souls: &[(&str, &str)]) -> MockServer {
    let server = MockServer::start().await;
    let list: Vec<String> = souls
        .iter()
        .map(|(place, _)| format!("<url><loc>https://souls.example/souls/{place}</loc></url>"))
        .collect();
    Mock::given(method("GET"))
        .and(path("/sitemap.xml"))
        .respond_with(ResponseTemplate::new(200).set_body_string(format!("<urlset>{}</urlset>", list.concat())))
        .mount(&server)
        .await;
    for (place, text) in souls {
        Mock::given(method("GET"))
            .and(path(format!("/api/souls/{place}.md")))
            .respond_with(ResponseTemplate::new(200).set_body_string((*text).to_owned()))
            .mount(&server)
            .await;
    }
    server
}

async fn asked(server: &MockServer, wanted: &str) -> usize {
    let requests = server.received_requests().await.expect("recorded");
    requests.iter().filter(|request| request.url.path() == wanted).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn souls_are_searched_and_read_by_people_and_agents() {
    let upstream = directory(&[
        ("ann/code-reviewer", "# Reviewer"),
        ("bob/writer", "# Writer"),
        ("ann/Writer_2", "# Second"),
    ])
    .await;
    let fake = FakeGateway::start(Options::release(Release::Latest)).await;
    let mc = Harness::with(|settings| settings.souls_directory_url = upstream.uri()).await;
    let person = mc.person();
    let team = team(&person, &fake, "Alpha").await;
    let found = person.get("/api/v1/souls-directory/search?q=WRITER").await.expect(200);
    assert_eq!(
        found,
        json!({"items": [
            {"handle": "bob", "slug": "writer", "page_url": format!("{}/souls/bob/writer", upstream.uri()),
             "raw_md_url": format!("{}/api/souls/bob/writer.md", upstream.uri())},
            {"handle": "ann", "slug": "Writer_2", "page_url": format!("{}/souls/ann/Writer_2", upstream.uri()),
             "raw_md_url": format!("{}/api/souls/ann/Writer_2.md", upstream.uri())},
        ]})
    );
    let agent = mc.agent(&team.token);
    let all = agent.get("/api/v1/souls-directory/search?limit=2").await.expect(200);
    assert_eq!(all["items"].as_array().map(Vec::len), Some(2));
    assert_eq!(asked(&upstream, "/sitemap.xml").await, 1, "the list is kept");
    for text in ["ann/code-reviewer", "ann/code-reviewer.md"] {
        let soul = agent.get(&format!("/api/v1/souls-directory/{text}")).await.expect(200);
        assert_eq!(
            soul,
            json!({"handle": "ann", "slug": "code-reviewer", "content": "# Reviewer"})
        );
    }
    for (wrong, detail) in [
        ("a!/b", "handle contains unsupported characters"),
        ("a/b%20c", "slug contains unsupported characters"),
        ("a/b.c", "slug contains unsupported characters"),
        ("a/-b.md", "slug contains unsupported characters"),
    ] {
        let answer = person.get(&format!("/api/v1/souls-directory/{wrong}")).await;
        assert_eq!(answer.detail(422), detail, "{wrong}");
    }
    person.get("/api/v1/souls-directory/search?limit=101").await.expect(422);
    let missing = person.get("/api/v1/souls-directory/ann/nobody").await.detail(404);
    assert_eq!(missing, "Soul not found in the directory");
    mc.nobody().get("/api/v1/souls-directory/search").await.expect(401);
    mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_that_is_down_is_told_and_moved_ones_are_not_followed() {
    let down = MockServer::start().await;
    Mock::given(method("GET"))
        .and(path("/sitemap.xml"))
        .respond_with(ResponseTemplate::new(503))
        .mount(&down)
        .await;
    Mock::given(method("GET"))
        .and(path("/api/souls/a/b.md"))
        .respond_with(ResponseTemplate::new(302).insert_header("location", "http://127.0.0.1:1/"))
        .mount(&down)
        .await;
    let mc = Harness::with(|settings| settings.souls_directory_url = down.uri()).await;
    let person = mc.person();
    for _ in 0..2 {
        let detail = person.get("/api/v1/souls-directory/search").await.detail(502);
        assert!(
            detail
                .as_str()
                .is_some_and(|text| text.contains("503") && text.contains("Try again")),
            "{detail}"
        );
    }
    assert_eq!(asked(&down, "/sitemap.xml").await, 1, "it is left alone for a while");
    let detail = person.get("/api/v1/souls-directory/a/b").await.detail(502);
    assert!(detail.as_str().is_some_and(|text| text.contains("302")), "{detail}");
    mc.stop().await;

    let none = Harness::start().await;
    let detail = none.person().get("/api/v1/souls-directory/search").await.detail(502);
    assert!(
        detail.as_str().is_some_and(|text| text.contains("SOULS_DIRECTORY_URL")),
        "{detail}"
    );
    none.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_get_the_soul_of_their_role() {
    let upstream = directory(&[("ann/code-reviewer", "Reads every line twice."), ("ann/cook", "Salt.")]).await;
    let fake = FakeGateway::start(Options::release(Release::Latest)).await;
    let mc = Harness::with(|settings| settings.souls_directory_url = upstream.uri()).await;
    let person = mc.person();
    let gateway = person
        .post(
            "/api/v1/gateways",
            json!({"name": "Lab", "url": fake.url(), "token": fake.token(), "workspace_root": "~/.openclaw"}),
        )
        .await
        .expect(200);
    let board = person
        .post("/api/v1/boards", board("Alpha", &id(&gateway)))
        .await
        .expect(200);
    let mut files = Vec::new();
    for (name, role) in [("One", "Code Reviewer"), ("Two", "Gardener")] {
        let agent = person
            .post(
                "/api/v1/agents",
                json!({"name": name, "board_id": board["id"], "identity_profile": {"role": role}}),
            )
            .await
            .expect(200);
        let key = format!("mc-{}", id(&agent));
        files.push(eventually("the soul file", || async { fake.file(&key, "SOUL.md") }).await);
    }
    assert!(files[0].contains("Reads every line twice."), "{}", files[0]);
    assert!(
        !files[1].contains("Salt.") && !files[1].contains("Reads every line"),
        "{}",
        files[1]
    );
    mc.stop().await;
}
