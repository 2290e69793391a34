//! The page in a real browser.

use std::path::PathBuf;

use serde_json::json;
use testkit::gateway::{FakeGateway, Options, Release};

use crate::{
    harness::{Harness, TOKEN},
    programs::root,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Chromium and playwright-core: run with `make e2e`"]
async fn the_page_signs_in_and_lists_boards_through_grpc_web() {
    let fake = FakeGateway::start(Options::release(Release::Latest)).await;
    let mc = Harness::start().await;
    let person = mc.person();
    let gateway = person
        .post(
            "/api/v1/gateways",
            json!({"name": "Seen", "url": fake.url(), "token": fake.token(), "workspace_root": "/tmp"}),
        )
        .await
        .expect(200);
    for name in ["Apollo programme", "Customer support"] {
        let body =
            json!({"name": name, "slug": "seen", "description": "Seen in the browser", "gateway_id": gateway["id"]});
        person.post("/api/v1/boards", body).await.expect(200);
    }
    let screenshots: PathBuf = root().join("target/e2e");
    std::fs::create_dir_all(&screenshots).expect("a folder");
    let output = tokio::process::Command::new("node")
        .arg(root().join("e2e/page.mjs"))
        .args([mc.url.as_str(), TOKEN])
        .arg(&screenshots)
        .arg("Apollo programme")
        .output()
        .await
        .expect("node runs");
    println!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "the page does what a person expects");
    mc.stop().await;
}
