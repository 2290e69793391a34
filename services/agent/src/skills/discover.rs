//! Which skills a repository has: by its index, or by every `SKILL.md` in it.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use url::Url;

use crate::git::Snapshot;

/// Most skills of one pack.
const MOST: usize = 5000;
/// Longest texts, in characters.
const NAME: usize = 200;
const TEXT: usize = 2000;
const WORD: usize = 100;
/// Most warnings; more of them say nothing new.
const WARNINGS: usize = 50;

/// A skill as found.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    pub name: String,
    pub description: Option<String>,
    pub category: Option<String>,
    pub risk: Option<String>,
    pub source_url: String,
    pub metadata: Value,
}

/// What a repository showed.
#[derive(Debug, Default)]
pub struct Findings {
    /// By address, each once.
    pub skills: Vec<Found>,
    pub warnings: Vec<String>,
}

impl Findings {
    fn warn(&mut self, text: impl Into<String>) {
        match self.warnings.len() {
            0..WARNINGS => self.warnings.push(text.into()),
            WARNINGS => self.warnings.push("There are more warnings than these.".to_owned()),
            _ => {}
        }
    }
}

/// Reads an index when there is a valid one, else every `SKILL.md`.
pub fn discover(repository: &str, snapshot: &Snapshot) -> Findings {
    let mut findings = Findings::default();
    let place = Place { repository, snapshot };
    let indexed = match snapshot.files.get("skills_index.json") {
        None => None,
        Some(None) => {
            findings.warn("skills_index.json is too large; every SKILL.md was read instead.");
            None
        }
        Some(Some(content)) => match entries(content) {
            Ok(entries) => Some(entries),
            Err(why) => {
                findings.warn(format!("skills_index.json {why}; every SKILL.md was read instead."));
                None
            }
        },
    };
    let mut skills = BTreeMap::new();
    match indexed {
        Some(entries) => {
            for (number, entry) in entries.iter().enumerate() {
                match place.indexed(entry) {
                    Ok(skill) => {
                        skills.insert(skill.source_url.clone(), skill);
                    }
                    Err(why) => findings.warn(format!("Entry {} of skills_index.json {why}.", number + 1)),
                }
            }
        }
        None => {
            for (path, content) in &snapshot.files {
                let Some(folder) = path.strip_suffix("SKILL.md").map(|folder| folder.trim_end_matches('/')) else {
                    continue;
                };
                match content {
                    Some(content) => {
                        let skill = place.found(folder, content);
                        skills.insert(skill.source_url.clone(), skill);
                    }
                    None => findings.warn(format!("{path} is too large and was passed over.")),
                }
            }
        }
    }
    if skills.len() > MOST {
        findings.warn(format!(
            "There are {} skills: the first {MOST} were taken.",
            skills.len()
        ));
    }
    findings.skills = skills.into_values().take(MOST).collect();
    findings
}

struct Place<'a> {
    repository: &'a str,
    snapshot: &'a Snapshot,
}

impl Place<'_> {
    /// The address of a folder of the repository.
    fn address(&self, folder: &str) -> String {
        let branch = &self.snapshot.branch;
        let Ok(mut url) = Url::parse(self.repository) else {
            return self.repository.to_owned();
        };
        if let Ok(mut path) = url.path_segments_mut() {
            path.push("tree").extend(branch.split('/'));
            if !folder.is_empty() {
                path.extend(folder.split('/'));
            }
        }
        url.to_string()
    }

    /// A skill by its `SKILL.md`.
    fn found(&self, folder: &str, content: &[u8]) -> Found {
        let page = Page::read(content);
        Found {
            name: page.name.unwrap_or_else(|| self.named(folder)),
            description: page.description,
            category: page.category,
            risk: page.risk,
            source_url: self.address(folder),
            metadata: json!({"discovery_mode": "skills_md", "pack_branch": self.snapshot.branch, "skill_dir": folder}),
        }
    }

    /// The name of a folder, or of the repository.
    fn named(&self, folder: &str) -> String {
        let last = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
        cut(
            &if folder.is_empty() {
                last(self.repository)
            } else {
                last(folder)
            },
            NAME,
        )
    }

    /// A skill by its entry of the index; what the entry leaves out is read from its `SKILL.md`.
    fn indexed(&self, entry: &Value) -> Result<Found, String> {
        let Value::Object(entry) = entry else {
            return Err("is not an object".to_owned());
        };
        let path = text(entry, "path", TEXT);
        let given = text(entry, "source_url", TEXT);
        let folder = match &path {
            Some(path) => {
                Some(folder(path).ok_or_else(|| format!("has a path that leads out of the repository: {path}"))?)
            }
            None => None,
        };
        let source_url = match (&given, &folder) {
            (Some(url), _) => {
                web(url).ok_or_else(|| format!("has a source_url that is not an https address: {url}"))?
            }
            (None, Some(folder)) => self.address(folder),
            (None, None) => return Err("has neither path nor source_url".to_owned()),
        };
        let page = folder
            .as_ref()
            .and_then(|folder| {
                let file = if folder.is_empty() {
                    "SKILL.md".to_owned()
                } else {
                    format!("{folder}/SKILL.md")
                };
                self.snapshot.files.get(&file)?.as_ref()
            })
            .map(|content| Page::read(content))
            .unwrap_or_default();
        let mut metadata = Map::new();
        metadata.insert("discovery_mode".into(), "skills_index".into());
        metadata.insert("pack_branch".into(), self.snapshot.branch.clone().into());
        if let Some(folder) = &folder {
            metadata.insert("resolved_path".into(), folder.clone().into());
        }
        if let Some(given) = given {
            metadata.insert("source_url".into(), given.into());
        }
        let last = || {
            let end = source_url.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
            cut(end, NAME)
        };
        Ok(Found {
            name: text(entry, "name", NAME)
                .or(page.name)
                .unwrap_or_else(|| folder.as_deref().map_or_else(last, |folder| self.named(folder))),
            description: text(entry, "description", TEXT).or(page.description),
            category: text(entry, "category", WORD).or(page.category),
            risk: text(entry, "risk", WORD).or(page.risk),
            source_url,
            metadata: metadata.into(),
        })
    }
}

/// The entries of an index: a list, or an object with the list `skills`.
fn entries(content: &[u8]) -> Result<Vec<Value>, &'static str> {
    match serde_json::from_slice(content) {
        Ok(Value::Array(entries)) => Ok(entries),
        Ok(Value::Object(mut index)) => match index.remove("skills") {
            Some(Value::Array(entries)) => Ok(entries),
            _ => Err("has no list `skills`"),
        },
        Ok(_) => Err("is neither a list nor an object"),
        Err(_) => Err("is not valid JSON"),
    }
}

fn cut(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}

/// One line without control characters; `None` when nothing is left.
fn line(text: &str, most: usize) -> Option<String> {
    let words: Vec<&str> = text
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
        .collect();
    Some(cut(&words.join(" "), most)).filter(|line| !line.is_empty())
}

fn text(entry: &Map<String, Value>, key: &str, most: usize) -> Option<String> {
    line(entry.get(key)?.as_str()?, most)
}

/// An https address in its plain form.
fn web(text: &str) -> Option<String> {
    let url = Url::parse(text).ok()?;
    let plain = url.scheme() == "https" && url.has_host() && url.username().is_empty() && url.password().is_none();
    plain.then(|| url.as_str().trim_end_matches('/').to_owned())
}

/// A folder inside the repository; the path may name its `SKILL.md`. `None` when it leads outside.
fn folder(path: &str) -> Option<String> {
    let mut parts = Vec::new();
    for part in path.split(['/', '\\']) {
        match part {
            "" | "." => {}
            ".." => return None,
            part => parts.push(part),
        }
    }
    if parts.last() == Some(&"SKILL.md") {
        parts.pop();
    }
    Some(parts.join("/"))
}

/// What a `SKILL.md` says of itself.
#[derive(Debug, Default, PartialEq)]
struct Page {
    name: Option<String>,
    description: Option<String>,
    category: Option<String>,
    risk: Option<String>,
}

impl Page {
    fn read(content: &[u8]) -> Self {
        let content = String::from_utf8_lossy(content);
        let content = content.trim_start_matches('\u{feff}');
        let (matter, body) = split(content);
        let said = |key: &str| scalar(matter, key);
        let heading = || {
            body.lines()
                .find_map(|line| line.trim_start().strip_prefix('#'))
                .map(|heading| heading.trim_start_matches('#').to_owned())
        };
        let first = || {
            body.lines()
                .map(str::trim)
                .find(|line| !line.is_empty() && !line.starts_with('#'))
                .map(ToOwned::to_owned)
        };
        Self {
            name: said("name").or_else(heading).and_then(|name| line(&name, NAME)),
            description: said("description").or_else(first).and_then(|text| line(&text, TEXT)),
            category: said("category").and_then(|word| line(&word, WORD)),
            risk: said("risk").and_then(|word| line(&word, WORD)),
        }
    }
}

/// Front matter and what comes after it.
fn split(content: &str) -> (&str, &str) {
    let Some(rest) = content
        .strip_prefix("---\n")
        .or_else(|| content.strip_prefix("---\r\n"))
    else {
        return ("", content);
    };
    let mut end = 0;
    for line in rest.split_inclusive('\n') {
        if line.trim_end() == "---" {
            return (&rest[..end], &rest[end + line.len()..]);
        }
        end += line.len();
    }
    ("", content)
}

/// The text of a top-level key: plain, quoted, or as a block (`>` or `|`), going on in lines that are set in.
fn scalar(matter: &str, key: &str) -> Option<String> {
    let mut lines = matter.lines();
    let first = loop {
        let line = lines.next()?;
        if let Some(value) = line.strip_prefix(key).and_then(|rest| rest.strip_prefix(':')) {
            break value.trim();
        }
    };
    let more: Vec<&str> = lines
        .take_while(|line| line.trim().is_empty() || line.starts_with([' ', '\t']))
        .map(str::trim)
        .collect();
    let block = first.starts_with(['>', '|']);
    let whole = match (block, first) {
        (true, _) | (_, "") => more.join(" "),
        (false, first) => std::iter::once(first).chain(more).collect::<Vec<_>>().join(" "),
    };
    let whole = whole.trim();
    if block {
        return Some(whole.to_owned()).filter(|text| !text.is_empty());
    }
    let quoted = |quote: char| {
        let inner = whole.strip_prefix(quote)?;
        let end = inner.rfind(quote)?;
        Some(&inner[..end])
    };
    let value = if let Some(inner) = quoted('"') {
        inner.replace("\\\"", "\"").replace("\\\\", "\\")
    } else if let Some(inner) = quoted('\'') {
        inner.replace("''", "'")
    } else {
        // A comment begins after a blank.
        whole.split(" #").next().unwrap_or_default().trim().to_owned()
    };
    Some(value).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    const REPOSITORY: &str = "https://github.com/acme/skills";

    fn snapshot(files: &[(&str, &str)]) -> Snapshot {
        Snapshot {
            branch: "main".into(),
            commit: "c".into(),
            files: files
                .iter()
                .map(|(path, content)| ((*path).to_owned(), Some(Bytes::from((*content).to_owned()))))
                .collect(),
        }
    }

    #[test]
    fn pages_say_who_they_are() {
        let page = |text: &str| {
            let page = Page::read(text.as_bytes());
            (page.name.unwrap_or_default(), page.description.unwrap_or_default())
        };
        let cases = [
            (
                "---\nname: pdf\ndescription: Reads PDFs\n---\n# Other\n",
                "pdf",
                "Reads PDFs",
            ),
            (
                "---\r\nname: \"A \\\"b\\\"\"\r\ndescription: 'It''s'\r\n---\r\n",
                "A \"b\"",
                "It's",
            ),
            (
                "---\nname: x # why\ndescription: >-\n  One\n  two\n\n  three\n---\n",
                "x",
                "One two three",
            ),
            ("---\nname:\n  y\ndescription: |\n  a\n  b\n---\nBody", "y", "a b"),
            ("---\nname: z\n---\n\nBody text.\nMore.", "z", "Body text."),
            ("# Title \n\nFirst line.\n", "Title", "First line."),
            ("## Deep\n", "Deep", ""),
            ("---\nname: never closed\n", "", "---"),
            ("", "", ""),
        ];
        for (text, name, description) in cases {
            assert_eq!(page(text), (name.to_owned(), description.to_owned()), "{text:?}");
        }
    }

    #[test]
    fn without_an_index_every_skill_file_is_a_skill() {
        let findings = discover(
            REPOSITORY,
            &snapshot(&[
                ("SKILL.md", "no heading"),
                ("tools/a b/SKILL.md", "---\nname: AB\ncategory: tools\nrisk: low\n---\n"),
            ]),
        );
        assert!(findings.warnings.is_empty(), "{:?}", findings.warnings);
        let urls: Vec<_> = findings.skills.iter().map(|skill| skill.source_url.as_str()).collect();
        assert_eq!(
            urls,
            [
                "https://github.com/acme/skills/tree/main",
                "https://github.com/acme/skills/tree/main/tools/a%20b"
            ]
        );
        assert_eq!(findings.skills[0].name, "skills");
        let second = &findings.skills[1];
        assert_eq!(
            (second.name.as_str(), second.category.as_deref(), second.risk.as_deref()),
            ("AB", Some("tools"), Some("low"))
        );
        assert_eq!(
            second.metadata,
            json!({"discovery_mode": "skills_md", "pack_branch": "main", "skill_dir": "tools/a b"})
        );
    }

    #[test]
    fn an_index_wins_and_its_mistakes_are_told() {
        let index = json!({"skills": [
            {"path": "./pdf/SKILL.md", "category": "docs", "risk": "safe"},
            {"path": "../outside", "name": "no"},
            {"source_url": "https://example.org/x/", "name": "Elsewhere"},
            {"source_url": "http://example.org/y"},
            {"name": "nowhere"},
            7,
        ]})
        .to_string();
        let findings = discover(
            REPOSITORY,
            &snapshot(&[
                ("skills_index.json", &index),
                ("pdf/SKILL.md", "---\nname: PDF\ndescription: Reads\n---\n"),
                ("ignored/SKILL.md", "# Ignored"),
            ]),
        );
        let named: Vec<_> = findings
            .skills
            .iter()
            .map(|skill| {
                (
                    skill.name.as_str(),
                    skill.source_url.as_str(),
                    skill.description.as_deref(),
                )
            })
            .collect();
        assert_eq!(
            named,
            [
                ("Elsewhere", "https://example.org/x", None),
                ("PDF", "https://github.com/acme/skills/tree/main/pdf", Some("Reads")),
            ]
        );
        assert_eq!(findings.warnings.len(), 4, "{:?}", findings.warnings);
        assert!(findings.warnings[0].starts_with("Entry 2 "), "{:?}", findings.warnings);
    }

    #[test]
    fn a_broken_index_is_told_and_does_not_hide_the_skills() {
        for broken in ["{", "7", "{\"skills\": 1}"] {
            let findings = discover(
                REPOSITORY,
                &snapshot(&[("skills_index.json", broken), ("a/SKILL.md", "# A")]),
            );
            assert_eq!((findings.skills.len(), findings.warnings.len()), (1, 1), "{broken}");
        }
    }
}
