//! The files of a commit.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{
    Id, Limits, Trouble,
    pack::{Kind, Pack},
};

/// Deepest folder that is looked into.
const DEPTH: usize = 32;

/// The files of a commit that matter to us, by path.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// The branch the commit was taken from.
    pub branch: String,
    /// The commit, in hex.
    pub commit: String,
    /// Contents by path; `None` for a file that is too large to be looked at.
    pub files: BTreeMap<String, Option<Bytes>>,
}

fn broken() -> Trouble {
    Trouble::new("The repository's files are not readable.")
}

/// Files that say something about skills.
fn matters(name: &str, depth: usize) -> bool {
    name == "SKILL.md" || (depth == 0 && name == "skills_index.json")
}

/// Reads the files of a commit that matter.
pub fn snapshot(pack: &mut Pack, commit: Id, branch: String, limits: Limits) -> Result<Snapshot, Trouble> {
    let Some((Kind::Commit, content)) = pack.find(commit)? else {
        return Err(Trouble::new(
            "The git server did not send the commit that was asked for.",
        ));
    };
    let root = content
        .strip_prefix(b"tree ")
        .and_then(|rest| rest.get(..40))
        .and_then(|id| std::str::from_utf8(id).ok())
        .and_then(Id::parse)
        .ok_or_else(broken)?;
    let mut snapshot = Snapshot {
        branch,
        commit: commit.to_string(),
        files: BTreeMap::new(),
    };
    let mut seen = 0;
    let mut folders = vec![(String::new(), root, 0)];
    while let Some((path, id, depth)) = folders.pop() {
        let Some((Kind::Tree, content)) = pack.find(id)? else {
            return Err(broken());
        };
        let mut rest = &content[..];
        while !rest.is_empty() {
            let (mode, name, id, after) = entry(rest).ok_or_else(broken)?;
            rest = after;
            seen += 1;
            if seen > limits.files {
                return Err(Trouble::new(format!(
                    "The repository has more than {} files and folders: too many for a skill pack.",
                    limits.files
                )));
            }
            // Names that are no text cannot be part of an address either.
            let Ok(name) = std::str::from_utf8(name) else { continue };
            match mode {
                b"40000" if !name.starts_with('.') && depth < DEPTH => {
                    folders.push((format!("{path}{name}/"), id, depth + 1));
                }
                b"100644" | b"100755" if matters(name, depth) => {
                    let content = match pack.find(id)? {
                        Some((Kind::Blob, content)) => Some(content),
                        _ => None,
                    };
                    snapshot.files.insert(format!("{path}{name}"), content);
                }
                // Links and other repositories lead elsewhere.
                _ => {}
            }
        }
    }
    Ok(snapshot)
}

/// Mode, name, object, and what comes after the entry.
type Entry<'a> = (&'a [u8], &'a [u8], Id, &'a [u8]);

/// The first entry of a tree.
fn entry(bytes: &[u8]) -> Option<Entry<'_>> {
    let blank = bytes.iter().position(|byte| *byte == b' ')?;
    let end = blank + 1 + bytes[blank + 1..].iter().position(|byte| *byte == 0)?;
    let id = bytes.get(end + 1..end + 21)?;
    Some((
        &bytes[..blank],
        &bytes[blank + 1..end],
        Id(id.try_into().ok()?),
        &bytes[end + 21..],
    ))
}
