//! Skill packs and the marketplace, with git repositories of our own behind a server of our own.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::{
    gateway::{FakeGateway, Options, Release},
    git::GitServer,
};
use uuid::Uuid;

use crate::{
    harness::{Answer, Harness, Rest, eventually, id},
    path::team,
};

const PACKS: &str = "/api/v1/skills/packs";
const MARKET: &str = "/api/v1/skills/marketplace";

/// Everything, with packs allowed from this server.
async fn with(server: &GitServer) -> Harness {
    Harness::with(|settings| {
        settings.skill_pack_hosts = format!("github.com,{}", server.authority());
        settings.skill_pack_allowed_networks = "127.0.0.0/8".into();
        settings.tls_ca_file = Some(server.certificate().to_owned());
    })
    .await
}

async fn pack(person: &Rest, body: Value) -> Value {
    person.post(PACKS, body).await.expect(200)
}

async fn sync(person: &Rest, pack: &Value) -> Answer {
    person.post(&format!("{PACKS}/{}/sync", id(pack)), json!({})).await
}

fn names(skills: &Value) -> Vec<String> {
    let mut names: Vec<_> = skills
        .as_array()
        .expect("a list")
        .iter()
        .map(|skill| skill["name"].as_str().expect("a name").to_owned())
        .collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn packs_are_added_changed_and_deleted() {
    let mc = Harness::start().await;
    let person = mc.person();
    let first = eventually("the packs that an organization begins with", || async {
        let packs = person.get(PACKS).await.expect(200);
        (packs.as_array().map(Vec::len) == Some(2)).then_some(packs)
    })
    .await;
    assert_eq!(first[0]["branch"], "main");
    assert!(
        first
            .as_array()
            .expect("a list")
            .iter()
            .any(|pack| pack["name"] == "antigravity awesome skills"),
        "{first:#}"
    );

    let made = pack(&person, json!({"source_url": "https://github.com/acme/my-skills.git/"})).await;
    assert_eq!(
        (
            &made["name"],
            &made["source_url"],
            &made["branch"],
            &made["metadata"],
            &made["skill_count"]
        ),
        (
            &json!("my skills"),
            &json!("https://github.com/acme/my-skills"),
            &json!("main"),
            &json!({}),
            &json!(0)
        )
    );
    assert_eq!(made["sync"]["state"], "never");
    // The same repository again is the same pack: what is not said of name and description stays, the rest is anew.
    let named = pack(
        &person,
        json!({"source_url": "https://github.com/acme/my-skills", "name": " Mine ", "description": "All of it", "branch": "dev",
            "metadata": {"a": [1]}}),
    )
    .await;
    assert_eq!((id(&named), &named["name"]), (id(&made), &json!("Mine")));
    let again = pack(&person, json!({"source_url": "https://github.com/acme/my-skills"})).await;
    assert_eq!(
        (
            &again["name"],
            &again["description"],
            &again["branch"],
            &again["metadata"]
        ),
        (&json!("Mine"), &json!("All of it"), &json!("main"), &json!({}))
    );
    let listed = person.get(PACKS).await.expect(200);
    assert_eq!(
        (listed.as_array().map(Vec::len), &listed[0]["id"]),
        (Some(3), &made["id"])
    );

    let url = format!("{PACKS}/{}", id(&made));
    let replaced = person
        .patch(
            &url,
            json!({"source_url": "https://github.com/acme/other", "branch": "a b"}),
        )
        .await
        .expect(200);
    assert_eq!(
        (&replaced["name"], &replaced["description"], &replaced["branch"]),
        (&json!("other"), &Value::Null, &json!("main"))
    );
    let taken = person
        .patch(&url, json!({"source_url": first[0]["source_url"]}))
        .await
        .detail(409);
    assert_eq!(taken, "A pack with this source URL already exists");

    for (wrong, status, text) in [
        (
            "http://github.com/a/b",
            400,
            "Unsupported pack source URL scheme: 'http'",
        ),
        (
            "https://gitlab.com/a/b",
            400,
            "Pack source URL must be a GitHub repository URL (https://github.com/<owner>/<repo>)",
        ),
        ("https://localhost/a/b", 400, "Pack source URL hostname is not allowed"),
        (
            "https://169.254.169.254/a",
            400,
            "Pack source URL hostname is not allowed",
        ),
    ] {
        assert_eq!(
            person.post(PACKS, json!({"source_url": wrong})).await.detail(status),
            text
        );
        assert_eq!(
            person.patch(&url, json!({"source_url": wrong})).await.detail(status),
            text
        );
    }
    for wrong in [
        json!({}),
        json!({"source_url": "nonsense"}),
        json!({"source_url": "https://github.com/a/b", "metadata": [1]}),
        json!({"source_url": "https://github.com/a/b", "branch": null}),
        json!({"source_url": "https://github.com/a/b", "name": ""}),
    ] {
        person.post(PACKS, wrong).await.expect(422);
    }
    person.delete(&url).await.expect(200);
    for answer in [person.get(&url).await, person.delete(&url).await] {
        assert_eq!(answer.detail(404), "Skill pack not found");
    }
    person.get(&format!("{PACKS}/nonsense")).await.expect(422);
    mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_packs_skills_come_from_its_repository_and_its_branch() {
    let server = GitServer::start().await;
    server
        .commit(
            "acme/skills",
            "trunk",
            &[
                (
                    "pdf/SKILL.md",
                    "---\nname: PDF\ndescription: Reads PDFs\ncategory: Docs\nrisk: low\n---\n",
                ),
                ("deep/er/mail/SKILL.md", "# Mail\n\nSends mail.\n"),
                (".hidden/SKILL.md", "# Hidden"),
                ("README.md", "nothing"),
            ],
        )
        .await;
    server
        .commit("acme/skills", "dev", &[("next/SKILL.md", "# Next")])
        .await;
    let fake = FakeGateway::start(Options::release(Release::Latest)).await;
    let mc = with(&server).await;
    let person = mc.person();
    let team = team(&person, &fake, "Alpha").await;

    let dev = pack(
        &person,
        json!({"source_url": server.url("acme/skills"), "branch": "dev"}),
    )
    .await;
    let done = sync(&person, &dev).await.expect(200);
    assert_eq!(
        done,
        json!({"ok": true, "pack_id": dev["id"], "synced": 1, "created": 1, "updated": 0, "warnings": []})
    );
    // There is no branch `main`: the default one is read, and that is said.
    let main = pack(&person, json!({"source_url": server.url("acme/skills.git")})).await;
    assert_eq!(main["id"], dev["id"]);
    let done = sync(&person, &main).await.expect(200);
    assert_eq!(
        (&done["synced"], &done["created"], &done["updated"]),
        (&json!(2), &json!(2), &json!(0))
    );
    assert!(
        done["warnings"][0]
            .as_str()
            .is_some_and(|text| text.contains("`trunk` was read")),
        "{done:#}"
    );

    server
        .commit(
            "acme/skills",
            "trunk",
            &[(
                "pdf/SKILL.md",
                "---\nname: PDF\ndescription: Reads and writes PDFs\n---\n",
            )],
        )
        .await;
    let done = sync(&person, &main).await.expect(200);
    assert_eq!(
        (&done["synced"], &done["created"], &done["updated"]),
        (&json!(2), &json!(0), &json!(1))
    );
    let shown = person.get(&format!("{PACKS}/{}", id(&main))).await.expect(200);
    assert_eq!(
        (&shown["skill_count"], &shown["sync"]["state"]),
        (&json!(3), &json!("succeeded"))
    );
    assert_eq!(shown["sync"]["commit"].as_str().map(str::len), Some(40));

    let market = format!("{MARKET}?gateway_id={}", id(&team.gateway));
    let all = person.get(&market).await.expect(200);
    assert_eq!(names(&all), ["Mail", "Next", "PDF"]);
    let pdf = all
        .as_array()
        .expect("a list")
        .iter()
        .find(|skill| skill["name"] == "PDF");
    let pdf = pdf.expect("PDF");
    assert_eq!(
        pdf["source_url"],
        format!("{}/tree/trunk/pdf", server.url("acme/skills"))
    );
    assert_eq!(
        (&pdf["description"], &pdf["source"], &pdf["installed"], &pdf["metadata"]),
        (
            &json!("Reads and writes PDFs"),
            &pdf["source_url"],
            &json!(false),
            &json!({"discovery_mode": "skills_md", "pack_branch": "trunk", "skill_dir": "pdf"})
        )
    );
    let feed = eventually("the log", || async {
        let feed = person
            .get("/api/v1/activity?event_type=skill_pack.synced")
            .await
            .expect(200);
        (feed["total"] == 3).then_some(feed)
    })
    .await;
    assert!(
        feed["items"][0]["message"]
            .as_str()
            .is_some_and(|text| text.contains("2 skills"))
    );
    mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_packed_repositories_are_read_whole_and_with_their_index() {
    let server = GitServer::start().await;
    let index: Vec<Value> = (0..40)
        .map(|number| json!({"path": format!("skills/s{number}"), "category": "Many", "risk": if number % 2 == 0 {"safe"} else {""}}))
        .chain([json!({"name": "lost"})])
        .collect();
    let index = json!({"skills": index}).to_string();
    // Texts that differ a little become differences in the pack.
    let lines: Vec<String> = (0..400)
        .map(|line| format!("Line {line} of a text that repeats itself.\n"))
        .collect();
    let long = lines.concat();
    let pages: Vec<(String, String)> = (0..40)
        .map(|number| {
            (
                format!("skills/s{number}/SKILL.md"),
                format!("---\nname: Skill {number}\ndescription: Number {number}\n---\n{long}{number}\n"),
            )
        })
        .collect();
    let mut files: Vec<(&str, &str)> = pages
        .iter()
        .map(|(path, text)| (path.as_str(), text.as_str()))
        .collect();
    files.push(("skills_index.json", &index));
    server.commit("big/pack", "main", &files).await;
    server
        .git("big/pack", &["repack", "-adfq", "--depth=50", "--window=50"])
        .await;
    server.only_with_suffix();
    let fake = FakeGateway::start(Options::release(Release::Latest)).await;
    let mc = with(&server).await;
    let person = mc.person();
    let team = team(&person, &fake, "Alpha").await;
    let pack = pack(&person, json!({"source_url": server.url("big/pack")})).await;
    // With and without a server that leaves large files out.
    for filter in ["true", "false"] {
        server
            .git("big/pack", &["config", "uploadpack.allowFilter", filter])
            .await;
        let done = sync(&person, &pack).await.expect(200);
        assert_eq!(done["synced"], json!(40), "{done:#}");
        assert_eq!(
            done["warnings"],
            json!(["Entry 41 of skills_index.json has neither path nor source_url."])
        );
    }

    let market = |query: &str| format!("{MARKET}?gateway_id={}{query}", id(&team.gateway));
    let page = person.get(&market("&limit=7&offset=38&category=%20MANY")).await;
    assert_eq!(
        ["x-total-count", "x-limit", "x-offset"].map(|name| page.headers[name].to_str().expect("a text").to_owned()),
        ["40", "7", "38"]
    );
    assert_eq!(page.expect(200).as_array().map(Vec::len), Some(2));
    let unpaged = person.get(&market("&offset=5")).await;
    assert!(!unpaged.headers.contains_key("x-total-count"));
    assert_eq!(unpaged.expect(200).as_array().map(Vec::len), Some(40));
    for (query, count) in [
        ("&risk=SAFE", 20),
        ("&risk=uncategorized", 20),
        ("&category=uncategorized", 0),
        ("&search=number%2013", 1),
        ("&search=%25", 0),
        ("&search=S_1", 0),
        (&*format!("&pack_id={}", id(&pack)), 40),
    ] {
        let found = person.get(&market(query)).await.expect(200);
        assert_eq!(found.as_array().map(Vec::len), Some(count), "{query}");
    }
    for (query, status) in [
        ("&limit=0", 422),
        ("&limit=201", 422),
        ("&pack_id=nonsense", 422),
        (&*format!("&pack_id={}", Uuid::now_v7()), 404),
    ] {
        person.get(&market(query)).await.expect(status);
    }
    person.get(MARKET).await.expect(422);
    assert_eq!(
        person
            .get(&format!("{MARKET}?gateway_id={}", Uuid::now_v7()))
            .await
            .detail(404),
        "Gateway not found"
    );
    mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn repositories_that_cannot_be_read_are_told_with_the_cause() {
    let server = GitServer::start().await;
    server.commit("acme/skills", "main", &[("a/SKILL.md", "# A")]).await;
    let local = format!("localhost:{}", server.port());
    let mc = Harness::with(|settings| {
        settings.skill_pack_hosts = format!("{},{local}", server.authority());
        settings.tls_ca_file = Some(server.certificate().to_owned());
    })
    .await;
    let person = mc.person();
    // Private networks are closed: addresses at once, names when they are looked up.
    let detail = person
        .post(PACKS, json!({"source_url": server.url("acme/skills")}))
        .await
        .detail(422);
    assert!(detail.to_string().contains("SKILL_PACK_ALLOWED_NETWORKS"), "{detail}");
    let named = pack(&person, json!({"source_url": format!("https://{local}/acme/skills")})).await;
    let detail = sync(&person, &named).await.detail(502);
    assert!(detail.as_str().is_some_and(|text| text.contains("private")), "{detail}");
    assert_eq!(server.requests(), 0, "nothing was asked");
    let database = mc.stop().await;

    let mc = Harness::on(database, |settings| {
        settings.skill_pack_hosts = format!("{},{local}", server.authority());
        settings.skill_pack_allowed_networks = "127.0.0.1".into();
        settings.tls_ca_file = Some(server.certificate().to_owned());
    })
    .await;
    let person = mc.person();
    for (repository, part) in [
        ("acme/nothing", "no public repository"),
        ("moved/acme/skills", "has moved"),
    ] {
        let pack = pack(&person, json!({"source_url": server.url(repository)})).await;
        let detail = sync(&person, &pack).await.detail(502);
        assert!(detail.as_str().is_some_and(|text| text.contains(part)), "{detail}");
        let shown = person.get(&format!("{PACKS}/{}", id(&pack))).await.expect(200);
        assert_eq!(shown["sync"]["state"], "failed");
        assert!(
            shown["sync"]["error"].as_str().is_some_and(|text| text.contains(part)),
            "{shown:#}"
        );
    }
    // What failed is tried again when it is asked for again.
    let pack = pack(&person, json!({"source_url": server.url("acme/nothing")})).await;
    server.commit("acme/nothing", "main", &[("a/SKILL.md", "# A")]).await;
    assert_eq!(sync(&person, &pack).await.expect(200)["created"], json!(1));
    let unknown = sync(&person, &json!({"id": Uuid::now_v7().to_string()})).await;
    assert_eq!(unknown.detail(404), "Skill pack not found");
    mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reading_goes_on_without_its_caller_and_over_a_restart() {
    let server = GitServer::start().await;
    server.commit("acme/skills", "main", &[("a/SKILL.md", "# A")]).await;
    let mc = with(&server).await;
    let person = mc.person();
    let pack = pack(&person, json!({"source_url": server.url("acme/skills")})).await;
    let path = format!("{PACKS}/{}", id(&pack));
    server.hold(true);
    let waiting = {
        let (person, pack) = (person.clone(), pack.clone());
        tokio::spawn(async move { sync(&person, &pack).await })
    };
    eventually("the reading", || async {
        (person.get(&path).await.expect(200)["sync"]["state"] == "running").then_some(())
    })
    .await;
    // A second caller joins the reading that is under way.
    let joined = tokio::time::timeout(Duration::from_millis(300), sync(&person, &pack)).await;
    assert!(joined.is_err(), "it waits");
    waiting.abort();
    let database = mc.stop().await;
    server.hold(false);

    let mc = Harness::on(database, |settings| {
        settings.skill_pack_hosts = server.authority();
        settings.skill_pack_allowed_networks = "127.0.0.0/8".into();
        settings.tls_ca_file = Some(server.certificate().to_owned());
    })
    .await;
    let person = mc.person();
    let read = eventually("the end of the reading", || async {
        let pack = person.get(&path).await.expect(200);
        (pack["sync"]["state"] == "succeeded").then_some(pack)
    })
    .await;
    assert_eq!(read["skill_count"], json!(1));

    // A caller that waited long enough is told that it goes on.
    server.hold(true);
    let detail = sync(&person, &read).await.detail(504);
    assert!(
        detail.as_str().is_some_and(|text| text.contains("still being read")),
        "{detail}"
    );
    server.hold(false);
    eventually("the end of the reading", || async {
        let pack = person.get(&path).await.expect(200);
        (pack["sync"]["state"] == "succeeded").then_some(())
    })
    .await;
    mc.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn skills_are_installed_and_removed_by_the_gateways_main_agent() {
    let fake = FakeGateway::start(Options::release(Release::Latest)).await;
    let mc = Harness::start().await;
    let person = mc.person();
    let team = team(&person, &fake, "Alpha").await;
    let gateway = id(&team.gateway);
    let main = format!("agent:mc-gateway-{gateway}:main");
    let skill = person
        .post(
            MARKET,
            json!({"source_url": "https://example.org/skills/pdf/", "name": "PDF\nreader", "description": "Reads"}),
        )
        .await
        .expect(200);
    assert_eq!(
        (&skill["source_url"], &skill["metadata"], &skill["source"]),
        (
            &json!("https://example.org/skills/pdf"),
            &json!({}),
            &json!("https://example.org/skills/pdf")
        )
    );
    let again = person
        .post(MARKET, json!({"source_url": "https://example.org/skills/pdf"}))
        .await
        .expect(200);
    assert_eq!(
        (&again["id"], &again["name"], &again["description"]),
        (&skill["id"], &skill["name"], &skill["description"])
    );
    let card = async || {
        let listed = person.get(&format!("{MARKET}?gateway_id={gateway}")).await.expect(200);
        listed[0].clone()
    };
    let action = |what: &str| format!("{MARKET}/{}/{what}?gateway_id={gateway}", id(&skill));

    let done = person.post(&action("install"), json!({})).await.expect(200);
    assert_eq!(
        done,
        json!({"ok": true, "skill_id": skill["id"], "gateway_id": gateway, "installed": true})
    );
    let installed = eventually("the message", || async {
        let card = card().await;
        (card["dispatch"] == "sent").then_some(card)
    })
    .await;
    assert_eq!(installed["installed"], json!(true));
    let told = fake.messages(&main);
    let request = told
        .iter()
        .find(|text| text.contains("SKILL INSTALL REQUEST"))
        .expect("a request");
    assert!(request.contains("Skill: PDF reader"), "{request}");
    assert!(request.contains("~/.openclaw/skills"), "{request}");
    assert!(request.contains("https://example.org/skills/pdf"), "{request}");

    // Once more: the date of the installation stays.
    person.post(&action("install"), json!({})).await.expect(200);
    assert_eq!(card().await["installed_at"], installed["installed_at"]);
    let done = person.post(&action("uninstall"), json!({})).await.expect(200);
    assert_eq!(done["installed"], json!(false));
    let removed = eventually("the message", || async {
        let card = card().await;
        (card["dispatch"] == "sent").then_some(card)
    })
    .await;
    assert_eq!(
        (&removed["installed"], &removed["installed_at"]),
        (&json!(false), &Value::Null)
    );
    assert!(
        fake.messages(&main)
            .iter()
            .any(|text| text.contains("SKILL UNINSTALL REQUEST"))
    );

    // While the gateway is away the request waits.
    fake.refuse_upgrades(Some(503));
    fake.close_all(1012, "service restart");
    person.post(&action("install"), json!({})).await.expect(200);
    assert_eq!(card().await["dispatch"], "queued");
    fake.refuse_upgrades(None);
    eventually("the message after the gateway's return", || async {
        (card().await["dispatch"] == "sent").then_some(())
    })
    .await;

    let unknown = Uuid::now_v7();
    let answer = person
        .post(&format!("{MARKET}/{unknown}/install?gateway_id={gateway}"), json!({}))
        .await;
    assert_eq!(answer.detail(404), "Marketplace skill not found");
    let answer = person
        .post(
            &format!("{MARKET}/{}/install?gateway_id={unknown}", id(&skill)),
            json!({}),
        )
        .await;
    assert_eq!(answer.detail(404), "Gateway not found");
    person
        .post(&format!("{MARKET}/{}/install", id(&skill)), json!({}))
        .await
        .expect(422);
    person.delete(&format!("{MARKET}/{}", id(&skill))).await.expect(200);
    let gone = person.delete(&format!("{MARKET}/{}", id(&skill))).await;
    assert_eq!(gone.detail(404), "Marketplace skill not found");
    mc.stop().await;
}
