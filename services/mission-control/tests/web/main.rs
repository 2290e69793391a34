//! The page in a real browser, against the real port with a real PostgreSQL and a scripted gateway.
//!
//! Every file of `web/e2e/journeys` is one journey; each gets a constellation and a database of its own. `JOURNEY=board` runs one;
//! `WEB_HOLD=127.0.0.1:8123` runs none, but fills a constellation on that address with what `web/e2e/seed.mjs` makes and waits.

#[path = "../it/harness.rs"]
#[expect(dead_code, reason = "the harness serves another test binary too")]
mod harness;

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
};

use harness::{Harness, TOKEN};
use testkit::gateway::{FakeGateway, Options, Release};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpListener,
    process::Command,
};

fn web() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../web")
        .canonicalize()
        .expect("the page's folder")
}

/// Names of the journeys, in order.
fn journeys() -> Vec<String> {
    let wanted = std::env::var("JOURNEY").ok();
    let mut names: Vec<String> = std::fs::read_dir(web().join("e2e/journeys"))
        .expect("a folder of journeys")
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter_map(|name| name.strip_suffix(".mjs").map(str::to_owned))
        .filter(|name| wanted.as_ref().is_none_or(|wanted| wanted == name))
        .collect();
    names.sort();
    names
}

/// Serves the files that agents were given, as `GET /<agent id>/<name>`: from them a journey learns an agent's token, as the agent does.
async fn serve_files(gateway: Arc<FakeGateway>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut line = String::new();
            let _ = BufReader::new(&mut stream).read_line(&mut line).await;
            let path = line.split(' ').nth(1).unwrap_or_default();
            let mut parts = path.trim_start_matches('/').split('/');
            let (agent, name) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            let body = gateway.file(&format!("mc-{agent}"), name).unwrap_or_default();
            let answer = format!(
                "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            );
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    url
}

/// A script of the page's folder that knows the constellation and the gateway.
async fn script(name: &str, mc: &Harness, gateway: &Arc<FakeGateway>) -> Command {
    let mut command = Command::new("node");
    command
        .arg(web().join("e2e").join(name))
        .env("MC_URL", &mc.url)
        .env("MC_TOKEN", TOKEN)
        .env("GATEWAY_URL", gateway.url())
        .env("GATEWAY_TOKEN", gateway.token())
        .env("GATEWAY_FILES", serve_files(gateway.clone()).await)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_journey_through_the_page_succeeds() {
    if let Ok(address) = std::env::var("WEB_HOLD") {
        hold(&address).await;
        return;
    }
    let mut failed = Vec::new();
    for name in journeys() {
        let gateway = Arc::new(FakeGateway::start(Options::release(Release::Latest)).await);
        let mc = Harness::start().await;
        let page = mc.nobody().get("/").await.expect(200);
        assert!(
            page.as_str().is_some_and(|page| page.contains("/assets/")),
            "the page is part of the binary: scripts/web build, then build again"
        );
        let output = script("run.mjs", &mc, &gateway)
            .await
            .arg(&name)
            .output()
            .await
            .expect("node runs");
        println!(
            "== {name}\n{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        if !output.status.success() {
            failed.push(name);
        }
        mc.stop().await;
    }
    assert!(failed.is_empty(), "journeys that failed: {}", failed.join(", "));
}

/// A filled constellation to look at while working on the page, until it is interrupted.
async fn hold(address: &str) {
    let gateway = Arc::new(FakeGateway::start(Options::release(Release::Latest)).await);
    let mc = Harness::with(|settings| settings.listen = address.parse().expect("an address")).await;
    let filled = script("seed.mjs", &mc, &gateway)
        .await
        .status()
        .await
        .expect("node runs");
    assert!(filled.success(), "the data is made");
    println!("{} with the token {TOKEN}", mc.url);
    let _ = tokio::signal::ctrl_c().await;
    mc.stop().await;
}
