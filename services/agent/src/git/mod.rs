//! Reads the files of one commit from a git repository over smart HTTP (protocol 2), inside this process and in memory: no `git`, no
//! working copy, nothing on disk. What a server sends is bounded in bytes, objects, files and time before it is used.

mod pack;
mod tree;
mod wire;

use std::{fmt, time::Duration};

use reqwest::Client;
use url::Url;

pub use tree::Snapshot;

/// What a repository may cost.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Longest time for everything.
    pub time: Duration,
    /// Bytes that are received at most.
    pub received: usize,
    /// Objects of a pack at most.
    pub objects: usize,
    /// Bytes of one object at most; larger ones are passed over.
    pub object: usize,
    /// Bytes that are unpacked at most, counted as often as it takes.
    pub unpacked: usize,
    /// Files of the commit at most.
    pub files: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            time: Duration::from_secs(120),
            received: 48 << 20,
            objects: 200_000,
            object: 1 << 20,
            unpacked: 1 << 30,
            files: 100_000,
        }
    }
}

/// Why a repository could not be read, in a sentence for the person who named it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble(pub String);

impl Trouble {
    fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Name of an object: the SHA-1 of its kind, size and content.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id([u8; 20]);

impl Id {
    fn parse(text: &str) -> Option<Self> {
        let mut id = [0; 20];
        hex::decode_to_slice(text, &mut id).ok().map(|()| Self(id))
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The newest commit of a branch, or of the repository's default branch when there is no such branch (the snapshot says so).
pub async fn read(client: &Client, repository: &Url, branch: &str, limits: Limits) -> Result<Snapshot, Trouble> {
    let reading = async {
        let fetched = wire::fetch(client, repository, branch, limits).await?;
        // Unpacking is work for the processor; other requests go on meanwhile.
        tokio::task::spawn_blocking(move || {
            let mut pack = pack::Pack::read(&fetched.pack, limits)?;
            tree::snapshot(&mut pack, fetched.commit, fetched.branch, limits)
        })
        .await
        .map_err(|_| Trouble::new("The repository could not be unpacked."))?
    };
    tokio::time::timeout(limits.time, reading).await.map_err(|_| {
        Trouble::new(format!(
            "Reading the repository took longer than {} s.",
            limits.time.as_secs()
        ))
    })?
}
