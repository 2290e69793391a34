//! The page in a real browser, against the real port with a real PostgreSQL and a scripted gateway.
//!
//! Every file of `web/e2e/journeys` is a journey and a test of its name; each gets a constellation and a database of its own, and what
//! [`Surroundings::of`] says beside it. `WEB_HOLD=127.0.0.1:8123` runs none, but fills a constellation on that address with what
//! `web/e2e/seed.mjs` makes and waits.

#[path = "../it/harness.rs"]
#[expect(dead_code, reason = "the harness serves another test binary too")]
mod harness;
mod surroundings;

use std::{
    path::{Path, PathBuf},
    process::{ExitCode, Stdio},
    sync::Arc,
};

use harness::{Harness, TOKEN};
use libtest_mimic::{Arguments, Failed, Trial};
use surroundings::Surroundings;
use testkit::gateway::{FakeGateway, Options, Release};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpListener,
    process::Command,
    runtime::Runtime,
};

fn web() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../web")
        .canonicalize()
        .expect("the page's folder")
}

/// Names of the journeys, in order.
fn journeys() -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(web().join("e2e/journeys"))
        .expect("a folder of journeys")
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter_map(|name| name.strip_suffix(".mjs").map(str::to_owned))
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

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // What the server had to say stands beside the journey that failed.
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::WARN)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
    if !arguments.list
        && let Ok(address) = std::env::var("WEB_HOLD")
    {
        runtime().block_on(hold(&address));
        return ExitCode::SUCCESS;
    }
    // A browser and what it talks to keep two cores busy.
    let at_once = std::thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2));
    arguments.test_threads = arguments.test_threads.or(Some(at_once));
    let trials = journeys()
        .into_iter()
        .map(|name| Trial::test(name.clone(), move || runtime().block_on(walk(&name))))
        .collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
}

/// One journey, with a constellation of its own; what it printed, when it fails.
async fn walk(name: &str) -> Result<(), Failed> {
    let gateway = Arc::new(FakeGateway::start(Options::release(Release::Latest)).await);
    let surroundings = Surroundings::of(name).await;
    let mc = surroundings.harness().await;
    let page = mc.nobody().get("/").await.expect(200);
    assert!(
        page.as_str().is_some_and(|page| page.contains("/assets/")),
        "the page is part of the binary: scripts/web build, then build again"
    );
    let output = script("run.mjs", &mc, &gateway)
        .await
        .arg(name)
        .envs(surroundings.told())
        .output()
        .await
        .expect("node runs");
    mc.stop().await;
    if output.status.success() {
        return Ok(());
    }
    Err(format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
    .into())
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
