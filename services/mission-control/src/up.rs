//! `up`: everything in one process on a machine that has nothing prepared.

use std::{
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use anyhow::Context;
use chassis::{settings::Settings, telemetry::Telemetry};
use rand::Rng;
use secrecy::{ExposeSecret, SecretString};

use crate::{
    SCHEMAS,
    constellation::{Constellation, ROLES, check},
    postgres::Postgres,
};

/// Fills in what is not set, starts everything, and drains on SIGTERM or Ctrl-C.
pub async fn run(mut settings: Settings) -> anyhow::Result<()> {
    let dir = data_dir(&settings)?;
    std::fs::create_dir_all(&dir).with_context(|| format!("{} cannot be created: set DATA_DIR", dir.display()))?;
    // Where an issuer says who people are, a token of our own would open nothing.
    if !settings.auth_mode.has_issuer() && settings.local_auth_token.expose_secret().trim().is_empty() {
        settings.local_auth_token = kept(&dir.join("token"))?;
    }
    if settings.secret_key.expose_secret().is_empty() {
        settings.secret_key = kept(&dir.join("secret-key"))?;
    }
    let telemetry = Telemetry::start(&settings)?;
    let mut private = None;
    if settings.database_url.is_empty() {
        let server = Postgres::start(settings.pg_bin_dir.as_deref(), &dir.join("postgres")).await?;
        settings.database_url.clone_from(&server.url);
        private = Some(server);
    }
    let result = serve(settings, &telemetry).await;
    if let Some(server) = private
        && let Err(error) = server.stop().await
    {
        tracing::warn!(%error, "the private postgresql did not stop");
    }
    result
}

async fn serve(settings: Settings, telemetry: &Telemetry) -> anyhow::Result<()> {
    check(&settings)?;
    chassis::store::migrate(&settings.database_url, &SCHEMAS)
        .await
        .context("the database could not be brought up to date")?;
    let sign_in = sign_in(&settings);
    let constellation = Constellation::start(settings, &ROLES, Some(telemetry.metrics.clone())).await?;
    if let Some(address) = constellation.address {
        println!("Mission Control is ready\n  page:  http://{address}/\n  {sign_in}");
    }
    crate::constellation::until_signal().await?;
    tracing::info!("stopping");
    constellation.stop().await;
    Ok(())
}

/// What people need to sign in.
fn sign_in(settings: &Settings) -> String {
    let issuer = settings.oidc_issuer.trim();
    if !settings.auth_mode.has_issuer() {
        format!("token: {}", settings.local_auth_token.expose_secret())
    } else if settings.oidc_client_id.trim().is_empty() {
        format!("sign in with a token of {issuer}; set OIDC_CLIENT_ID to sign in on the page")
    } else {
        format!("sign in with your account at {issuer}")
    }
}

fn data_dir(settings: &Settings) -> anyhow::Result<PathBuf> {
    if let Some(dir) = &settings.data_dir {
        return Ok(dir.clone());
    }
    let home = std::env::var_os("HOME").map(PathBuf::from);
    match (std::env::var_os("XDG_DATA_HOME"), home) {
        (Some(data), _) => Ok(PathBuf::from(data).join("mission-control")),
        // PostgreSQL runs as another user then, who may not enter root's home.
        (None, Some(home)) if home == Path::new("/root") => Ok("/var/lib/mission-control".into()),
        (None, Some(home)) => Ok(home.join(".local/share/mission-control")),
        (None, None) => anyhow::bail!("neither DATA_DIR nor HOME is set"),
    }
}

/// The secret in a file only we may read; made on the first use.
fn kept(path: &Path) -> anyhow::Result<SecretString> {
    match std::fs::read_to_string(path) {
        Ok(text) if !text.trim().is_empty() => return Ok(SecretString::from(text.trim())),
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("{} cannot be read", path.display())),
    }
    let mut bytes = [0u8; 32];
    rand::rng().fill_bytes(&mut bytes);
    let text = hex::encode(bytes);
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("{} cannot be written", path.display()))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    Ok(SecretString::from(text))
}
