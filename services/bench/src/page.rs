//! `make bench-web`: the page in Chromium, against the server as it is shipped.

use std::path::Path;

use testkit::gateway::{FakeGateway, Options, Release};
use tokio::process::Command;

use crate::server::Server;

/// Runs the script that makes the boards and measures them; it prints its own table.
pub async fn measure(server: &Server, script: &Path) -> anyhow::Result<()> {
    let gateway = FakeGateway::start(Options::release(Release::Latest)).await;
    let status = Command::new("node")
        .arg(script)
        .env("MC_URL", format!("http://{}", server.address))
        .env("MC_TOKEN", &server.token)
        .env("GATEWAY_URL", gateway.url())
        .env("GATEWAY_TOKEN", gateway.token())
        .kill_on_drop(true)
        .status()
        .await?;
    anyhow::ensure!(status.success(), "the page could not be measured");
    Ok(())
}
