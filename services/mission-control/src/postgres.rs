//! A private PostgreSQL for `up`: found binaries, a cluster in the data directory, a socket only this user reaches.

use std::{
    ffi::OsStr,
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, bail};
use sha2::{Digest, Sha256};
use sqlx::{Connection, Executor, PgConnection};
use tokio::process::Command;

/// How long the server may take to start or stop.
const PATIENCE: Duration = Duration::from_secs(60);
/// Longest path of a socket that every system takes, with PostgreSQL's file name behind it.
const SOCKET_LIMIT: usize = 80;
const DATABASE: &str = "mission_control";

/// A running private server.
pub struct Postgres {
    /// Connection URL.
    pub url: String,
    bin: PathBuf,
    data: PathBuf,
    owner: Option<Owner>,
}

/// Whom the server runs as when we are root, which it refuses to be.
#[derive(Clone, Copy)]
struct Owner {
    uid: u32,
    gid: u32,
}

impl Postgres {
    /// Starts the cluster in `dir`, creating it the first time. A server that a killed process left behind is taken over.
    pub async fn start(bin: Option<&Path>, dir: &Path) -> anyhow::Result<Self> {
        let bin = match bin {
            Some(bin) if is_bin(bin) => bin.to_owned(),
            Some(bin) => bail!("PG_BIN_DIR={} lacks initdb, postgres or pg_ctl", bin.display()),
            None => find_bin().context("no PostgreSQL was found: install it (Debian: apt-get install postgresql; macOS: brew install postgresql), set PG_BIN_DIR, or set DATABASE_URL")?,
        };
        std::fs::create_dir_all(dir)?;
        let dir = dir.canonicalize()?;
        let owner = if is_root(&dir)? {
            Some(unprivileged().await?)
        } else {
            None
        };
        let data = dir.join("data");
        let socket = socket_dir(&dir);
        for folder in [&dir, &socket] {
            std::fs::create_dir_all(folder)?;
            std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700))?;
            if let Some(owner) = owner {
                chown(folder, Some(owner.uid), Some(owner.gid))?;
            }
        }
        let server = Self {
            url: format!("postgres://{DATABASE}@localhost/{DATABASE}?host={}", percent(&socket)),
            bin,
            data,
            owner,
        };
        if !server.data.join("PG_VERSION").exists() {
            server
                .tool("initdb", ["-D".as_ref(), server.data.as_os_str(), "-U".as_ref(), DATABASE.as_ref(), "--auth-local=trust".as_ref(), "--auth-host=reject".as_ref(), "-E".as_ref(), "UTF8".as_ref(), "--locale=C".as_ref()])
                .await
                .with_context(|| format!("the cluster in {} was not created (as root, every folder above must let others enter: set DATA_DIR)", server.data.display()))?;
        }
        if server
            .tool("pg_ctl", ["status".as_ref(), "-D".as_ref(), server.data.as_os_str()])
            .await
            .is_err()
        {
            let options = format!(
                "-c listen_addresses='' -c unix_socket_directories='{}' -c max_connections=200 -c shared_buffers=128MB -c track_activity_query_size=16kB",
                socket.display()
            );
            let log = server.data.with_file_name("postgres.log");
            server
                .tool(
                    "pg_ctl",
                    [
                        "start".as_ref(),
                        "-w".as_ref(),
                        "-s".as_ref(),
                        "-D".as_ref(),
                        server.data.as_os_str(),
                        "-l".as_ref(),
                        log.as_os_str(),
                        "-o".as_ref(),
                        options.as_ref(),
                    ],
                )
                .await
                .with_context(|| format!("PostgreSQL did not start; its log is {}", log.display()))?;
        }
        server.ensure_database().await?;
        Ok(server)
    }

    /// Stops the server.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.tool(
            "pg_ctl",
            [
                "stop".as_ref(),
                "-m".as_ref(),
                "fast".as_ref(),
                "-w".as_ref(),
                "-s".as_ref(),
                "-D".as_ref(),
                self.data.as_os_str(),
            ],
        )
        .await
    }

    async fn ensure_database(&self) -> anyhow::Result<()> {
        let admin = self.url.replace(&format!("/{DATABASE}?"), "/postgres?");
        let mut connection = PgConnection::connect(&admin).await?;
        let exists: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
            .bind(DATABASE)
            .fetch_one(&mut connection)
            .await?;
        if !exists {
            connection.execute("CREATE DATABASE mission_control").await?;
        }
        connection.close().await?;
        Ok(())
    }

    async fn tool<'a>(&self, name: &str, arguments: impl IntoIterator<Item = &'a OsStr>) -> anyhow::Result<()> {
        let mut command = Command::new(self.bin.join(name));
        // A session of its own would be lost on Ctrl-C together with us: the server has to outlive the signal until the drain is over.
        command
            .args(arguments)
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        if let Some(owner) = self.owner {
            command.uid(owner.uid).gid(owner.gid);
        }
        // The server inherits the tool's streams, so that waiting for the end of stderr would wait for the server: wait for the tool.
        let mut child = command.stderr(Stdio::null()).spawn()?;
        let status = tokio::time::timeout(PATIENCE, child.wait())
            .await
            .with_context(|| format!("{name} took too long"))??;
        if !status.success() {
            bail!("{name} failed ({status})");
        }
        Ok(())
    }
}

fn is_bin(dir: &Path) -> bool {
    ["initdb", "postgres", "pg_ctl"]
        .iter()
        .all(|tool| dir.join(tool).exists())
}

/// PATH, then Debian's folders (newest first), then Homebrew's.
fn find_bin() -> Option<PathBuf> {
    let mut places: Vec<PathBuf> = std::env::var_os("PATH")
        .map(|path| std::env::split_paths(&path).collect())
        .unwrap_or_default();
    let mut versions: Vec<(u32, PathBuf)> = ["/usr/lib/postgresql", "/opt/homebrew/opt", "/usr/local/opt"]
        .iter()
        .filter_map(|root| std::fs::read_dir(root).ok())
        .flatten()
        .filter_map(Result::ok)
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let version = name.trim_start_matches("postgresql@").parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .collect();
    versions.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    places.extend(versions.into_iter().map(|(_, path)| path));
    places.into_iter().find(|dir| is_bin(dir))
}

/// Whether a folder we just made belongs to root: then so do we.
fn is_root(dir: &Path) -> std::io::Result<bool> {
    let probe = dir.join(".owner");
    std::fs::write(&probe, b"")?;
    let uid = std::fs::metadata(&probe)?.uid();
    std::fs::remove_file(&probe)?;
    Ok(uid == 0)
}

async fn unprivileged() -> anyhow::Result<Owner> {
    for user in ["postgres", "nobody"] {
        let ask = |flag: &'static str| async move {
            let output = Command::new("id").args([flag, user]).output().await.ok()?;
            String::from_utf8(output.stdout).ok()?.trim().parse::<u32>().ok()
        };
        if let (Some(uid), Some(gid)) = (ask("-u").await, ask("-g").await) {
            return Ok(Owner { uid, gid });
        }
    }
    bail!("PostgreSQL does not run as root, and there is neither a user postgres nor nobody")
}

fn socket_dir(dir: &Path) -> PathBuf {
    let near = dir.join("socket");
    if near.as_os_str().len() <= SOCKET_LIMIT {
        return near;
    }
    let digest = hex::encode(Sha256::digest(dir.as_os_str().as_encoded_bytes()));
    std::env::temp_dir().join(format!("mission-control-{}", &digest[..16]))
}

fn percent(path: &Path) -> String {
    path.to_string_lossy()
        .bytes()
        .map(|byte| {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}
