//! Workspace files by their logical names, whatever the release calls them.
//!
//! Newer releases took TOOLS.md and HEARTBEAT.md away. There TOOLS.md lives as a marked section of AGENTS.md and
//! HEARTBEAT.md as the scratch text of the agent's heartbeat job. Callers see the same eight files everywhere.

use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{
    failure::{Failure, Kind},
    ops::Gateway,
    profile::{Profile, Shape},
    supervisor::Call,
};

const AGENTS: &str = "AGENTS.md";
const TOOLS: &str = "TOOLS.md";
const HEARTBEAT: &str = "HEARTBEAT.md";
const SECTION_BEGIN: &str = "<!-- mission-control:TOOLS.md -->";
const SECTION_END: &str = "<!-- /mission-control:TOOLS.md -->";
/// How long a new agent's heartbeat job may take to appear.
const JOB_APPEARS: Duration = Duration::from_secs(10);

/// A file to write. The content may hold an agent's token, so it is never printed.
#[derive(Clone, Debug)]
pub struct WorkspaceFile {
    /// Logical name, for example `AGENTS.md`.
    pub name: String,
    /// Whole content.
    pub content: SecretString,
    /// Leave a file that exists and is not empty as it is (the agent's own notes).
    pub keep_existing: bool,
}

/// What became of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileWrite {
    /// Written.
    Written,
    /// Equal already, or kept as asked: nothing sent.
    Unchanged,
    /// This release has no place for it.
    Unsupported(String),
}

/// A file as listed.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FileInfo {
    /// Logical name.
    pub name: String,
    /// The release knows the file, but it does not exist.
    #[serde(default)]
    pub missing: bool,
    /// Size in bytes.
    #[serde(default)]
    pub size: Option<u64>,
    /// Last change, Unix time in milliseconds.
    #[serde(default)]
    pub updated_at_ms: Option<f64>,
}

/// Joins AGENTS.md and the TOOLS section.
fn with_section(agents: &str, tools: &str) -> String {
    let body = without_section(agents);
    if tools.trim().is_empty() {
        return body;
    }
    format!(
        "{}\n\n{SECTION_BEGIN}\n{}\n{SECTION_END}\n",
        body.trim_end(),
        tools.trim_end()
    )
}

/// AGENTS.md without the TOOLS section.
fn without_section(text: &str) -> String {
    match section_span(text) {
        Some((begin, end)) => {
            let (head, tail) = (text[..begin].trim_end(), text[end..].trim_start());
            if tail.is_empty() {
                format!("{head}\n")
            } else {
                format!("{head}\n\n{tail}")
            }
        }
        None => text.to_owned(),
    }
}

/// The TOOLS section of AGENTS.md.
fn section(text: &str) -> Option<String> {
    let (begin, end) = section_span(text)?;
    let inner = &text[begin + SECTION_BEGIN.len()..end - SECTION_END.len()];
    Some(format!("{}\n", inner.trim_matches('\n')))
}

fn section_span(text: &str) -> Option<(usize, usize)> {
    let begin = text.find(SECTION_BEGIN)?;
    let end = begin + text[begin..].find(SECTION_END)? + SECTION_END.len();
    Some((begin, end))
}

impl Gateway {
    /// Files of an agent's workspace, by logical name.
    pub async fn list_files(&self, agent_id: &str) -> Result<Vec<FileInfo>, Failure> {
        let answer = self.read("agents.files.list", json!({"agentId": agent_id})).await?;
        let mut files: Vec<FileInfo> = member(answer, "files", "agents.files.list")?;
        if self.profile().await?.shape == Shape::Entries {
            for name in [TOOLS, HEARTBEAT] {
                let content = self.get_file(agent_id, name).await?;
                files.push(FileInfo {
                    name: name.to_owned(),
                    missing: content.is_none(),
                    size: content.map(|c| c.expose_secret().len() as u64),
                    updated_at_ms: None,
                });
            }
        }
        Ok(files)
    }

    /// Content of a file; `None` when it does not exist.
    pub async fn get_file(&self, agent_id: &str, name: &str) -> Result<Option<SecretString>, Failure> {
        let shape = self.profile().await?.shape;
        let content = match (shape, name) {
            (Shape::Entries, TOOLS) => self
                .native(agent_id, AGENTS)
                .await?
                .and_then(|text| section(text.expose_secret()))
                .map(Into::into),
            (Shape::Entries, AGENTS) => self
                .native(agent_id, AGENTS)
                .await?
                .map(|text| without_section(text.expose_secret()).into()),
            (Shape::Entries, HEARTBEAT) => match self.heartbeat_job(agent_id).await? {
                Some(job) => self.scratch(&job).await?.0,
                None => None,
            },
            _ => self.native(agent_id, name).await?,
        };
        Ok(content)
    }

    /// Writes one file, unless it has that content already.
    pub async fn set_file(&self, agent_id: &str, name: &str, content: SecretString) -> Result<FileWrite, Failure> {
        let file = WorkspaceFile {
            name: name.to_owned(),
            content,
            keep_existing: false,
        };
        let outcome = self.set_files(agent_id, std::slice::from_ref(&file)).await?;
        Ok(outcome
            .into_iter()
            .next()
            .map_or(FileWrite::Unchanged, |(_, outcome)| outcome))
    }

    /// Writes files that differ, each at most once. A file that the release has no place for is reported, not an error.
    pub async fn set_files(
        &self,
        agent_id: &str,
        files: &[WorkspaceFile],
    ) -> Result<Vec<(String, FileWrite)>, Failure> {
        let profile = self.profile().await?;
        let merged = profile.shape == Shape::Entries;
        let tools = files.iter().find(|file| merged && file.name == TOOLS);
        let has_agents = files.iter().any(|file| file.name == AGENTS);
        let mut outcomes = Vec::with_capacity(files.len());
        for file in files {
            let outcome = match file.name.as_str() {
                AGENTS if merged => self.set_agents(agent_id, Some(file), tools).await?,
                // Written together with AGENTS.md, and told with it.
                TOOLS if merged && has_agents => continue,
                TOOLS if merged => self.set_agents(agent_id, None, Some(file)).await?,
                HEARTBEAT if merged => self.set_scratch(agent_id, file).await?,
                _ => self.set_native(agent_id, file, &profile).await?,
            };
            outcomes.push((file.name.clone(), outcome.clone()));
            if let (AGENTS, Some(tools)) = (file.name.as_str(), tools) {
                outcomes.push((tools.name.clone(), outcome));
            }
        }
        Ok(outcomes)
    }

    async fn set_agents(
        &self,
        agent_id: &str,
        agents: Option<&WorkspaceFile>,
        tools: Option<&WorkspaceFile>,
    ) -> Result<FileWrite, Failure> {
        let existing = self.native(agent_id, AGENTS).await?;
        let existing = existing.as_ref().map_or("", |text| text.expose_secret());
        let pick = |file: Option<&WorkspaceFile>, old: String| match file {
            Some(file) if !file.keep_existing || old.trim().is_empty() => file.content.expose_secret().to_owned(),
            _ => old,
        };
        let body = pick(agents, without_section(existing));
        let wanted = with_section(&body, &pick(tools, section(existing).unwrap_or_default()));
        if wanted == existing {
            return Ok(FileWrite::Unchanged);
        }
        self.write_native(agent_id, AGENTS, &wanted).await
    }

    async fn set_native(&self, agent_id: &str, file: &WorkspaceFile, profile: &Profile) -> Result<FileWrite, Failure> {
        let existing = match self.native(agent_id, &file.name).await {
            Ok(existing) => existing,
            Err(failure) if failure.kind == Kind::UnsupportedFile => {
                // IDENTITY.md can be written but not always read; only names that are nowhere known end here.
                if !profile.native_files().contains(&file.name.as_str()) {
                    return Ok(FileWrite::Unsupported(failure.message));
                }
                None
            }
            Err(failure) => return Err(failure),
        };
        if let Some(existing) = &existing {
            let existing = existing.expose_secret();
            if existing == file.content.expose_secret() || (file.keep_existing && !existing.trim().is_empty()) {
                return Ok(FileWrite::Unchanged);
            }
        }
        self.write_native(agent_id, &file.name, file.content.expose_secret())
            .await
    }

    async fn write_native(&self, agent_id: &str, name: &str, content: &str) -> Result<FileWrite, Failure> {
        let params = json!({"agentId": agent_id, "name": name, "content": content});
        match self
            .session()
            .call("agents.files.set", &params, Call::repeatable())
            .await
        {
            Ok(_) => Ok(FileWrite::Written),
            Err(failure) if failure.kind == Kind::UnsupportedFile => Ok(FileWrite::Unsupported(failure.message)),
            Err(failure) => Err(failure),
        }
    }

    /// A file under its own name; `None` when missing.
    async fn native(&self, agent_id: &str, name: &str) -> Result<Option<SecretString>, Failure> {
        #[derive(Deserialize)]
        struct File {
            #[serde(default)]
            missing: bool,
            #[serde(default)]
            content: Option<String>,
        }
        let answer = self
            .read("agents.files.get", json!({"agentId": agent_id, "name": name}))
            .await?;
        let file: File = member(answer, "file", "agents.files.get")?;
        Ok(file.content.filter(|_| !file.missing).map(Into::into))
    }

    async fn set_scratch(&self, agent_id: &str, file: &WorkspaceFile) -> Result<FileWrite, Failure> {
        let until = Instant::now() + JOB_APPEARS;
        let job = loop {
            if let Some(job) = self.heartbeat_job(agent_id).await? {
                break job;
            }
            // Without a heartbeat in the configuration there will never be a job.
            if Instant::now() >= until || !self.heartbeat_configured(agent_id).await? {
                let text = "this release keeps HEARTBEAT.md in the heartbeat job, and the agent has none";
                return Ok(FileWrite::Unsupported(text.to_owned()));
            }
            sleep(Duration::from_millis(300)).await;
        };
        for _ in 0..3 {
            let (existing, revision) = self.scratch(&job).await?;
            let existing = existing.as_ref().map_or("", |text| text.expose_secret());
            let wanted = file.content.expose_secret();
            if existing == wanted || (file.keep_existing && !existing.trim().is_empty()) {
                return Ok(FileWrite::Unchanged);
            }
            let mut params = json!({"id": job, "content": wanted});
            if let Some(revision) = revision {
                params["expectedRevision"] = revision;
            }
            let answer = self
                .session()
                .call("cron.scratch.set", &params, Call::repeatable())
                .await?;
            // A conflict is `ok: false` inside an ok answer.
            if answer.get("ok") != Some(&Value::Bool(false)) {
                return Ok(FileWrite::Written);
            }
        }
        Err(Failure::new(
            Kind::ConfigConflict,
            "the heartbeat checklist keeps changing under our hands",
        ))
    }

    /// Id of the job that the gateway derives from an agent's heartbeat settings.
    async fn heartbeat_job(&self, agent_id: &str) -> Result<Option<String>, Failure> {
        #[derive(Deserialize)]
        struct Job {
            id: String,
            #[serde(default)]
            name: String,
        }
        let params = json!({"includeDisabled": true, "agentId": agent_id});
        let jobs: Vec<Job> = member(self.read("cron.list", params).await?, "jobs", "cron.list")?;
        let wanted = format!("heartbeat-{agent_id}");
        Ok(jobs.into_iter().find(|job| job.name == wanted).map(|job| job.id))
    }

    async fn heartbeat_configured(&self, agent_id: &str) -> Result<bool, Failure> {
        let snapshot = self.snapshot().await?;
        Ok(snapshot.agent(agent_id).is_some_and(|agent| agent.heartbeat.is_some()))
    }

    async fn scratch(&self, job: &str) -> Result<(Option<SecretString>, Option<Value>), Failure> {
        let mut answer = self.read("cron.scratch.get", json!({"id": job})).await?;
        let content = answer
            .pointer("/scratch/content")
            .and_then(Value::as_str)
            .map(|text| text.to_owned().into());
        let revision = answer
            .get_mut("currentRevision")
            .map(Value::take)
            .filter(|r| !r.is_null());
        Ok((content, revision))
    }
}

/// A typed member of an answer.
pub(super) fn member<T: serde::de::DeserializeOwned>(mut answer: Value, key: &str, method: &str) -> Result<T, Failure> {
    let value = answer.get_mut(key).map(Value::take).unwrap_or_default();
    serde_json::from_value(value).map_err(|error| {
        Failure::new(
            Kind::Malformed,
            format!("{method} answers {key} in an unknown form: {error}"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_section_can_be_added_read_replaced_and_removed() {
        let agents = "# AGENTS\n\nRules.\n";
        let both = with_section(agents, "- `AUTH_TOKEN=a`\n");
        assert_eq!(section(&both).as_deref(), Some("- `AUTH_TOKEN=a`\n"));
        assert_eq!(without_section(&both), agents);
        let replaced = with_section(&both, "- `AUTH_TOKEN=b`\n");
        assert_eq!(section(&replaced).as_deref(), Some("- `AUTH_TOKEN=b`\n"));
        assert_eq!(with_section(&replaced, ""), agents);
        assert_eq!(
            with_section(&both, "- `AUTH_TOKEN=a`\n"),
            both,
            "writing twice changes nothing"
        );
    }

    #[test]
    fn text_after_the_section_survives() {
        let text = format!("{}\nNotes of the agent.\n", with_section("# A\n", "t"));
        assert_eq!(without_section(&text), "# A\n\nNotes of the agent.\n");
        assert_eq!(section("no section"), None);
        assert_eq!(section(&format!("{SECTION_BEGIN} never closed")), None);
    }
}
