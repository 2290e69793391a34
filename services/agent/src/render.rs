//! Rendering of agents' files: our templates for every role, and the agents' own for identity and soul.

use std::collections::BTreeMap;

use chassis::{Error, Result};
use minijinja::{Environment, ErrorKind, UndefinedBehavior, syntax::SyntaxConfig};
use proto::{board::v1::Board, gateway::v1::Gateway, org::v1::User};
use serde_json::Value;
use sha2::{Digest, Sha256};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{row::AgentRow, souls::RoleSoul};

/// Steps a template may take; ours need a few hundred.
const FUEL: u64 = 50_000;
/// Longest file, in bytes: gateways of old releases take frames of 512 KiB.
const MAX_BYTES: usize = 200_000;

/// File names with their templates, in the order they are written.
const TEMPLATES: [(&str, &str); 8] = [
    ("AGENTS.md", include_str!("../templates/AGENTS.md.j2")),
    ("BOOTSTRAP.md", include_str!("../templates/BOOTSTRAP.md.j2")),
    ("HEARTBEAT.md", include_str!("../templates/HEARTBEAT.md.j2")),
    ("IDENTITY.md", include_str!("../templates/IDENTITY.md.j2")),
    ("MEMORY.md", include_str!("../templates/MEMORY.md.j2")),
    ("SOUL.md", include_str!("../templates/SOUL.md.j2")),
    ("TOOLS.md", include_str!("../templates/TOOLS.md.j2")),
    ("USER.md", include_str!("../templates/USER.md.j2")),
];

/// Parts of an identity profile that templates can use: key, variable, and what it is when absent.
const IDENTITY: [(&str, &str, &str); 10] = [
    ("role", "identity_role", "Generalist"),
    (
        "communication_style",
        "identity_communication_style",
        "direct, concise, practical",
    ),
    ("emoji", "identity_emoji", ":gear:"),
    ("autonomy_level", "identity_autonomy_level", ""),
    ("verbosity", "identity_verbosity", ""),
    ("output_format", "identity_output_format", ""),
    ("update_cadence", "identity_update_cadence", ""),
    ("purpose", "identity_purpose", ""),
    ("personality", "identity_personality", ""),
    ("custom_instructions", "identity_custom_instructions", ""),
];

/// Everything files are made from.
pub struct Scene<'a> {
    /// The agent.
    pub agent: &'a AgentRow,
    /// Its board; `None` for main agents.
    pub board: Option<&'a Board>,
    /// Its gateway.
    pub gateway: &'a Gateway,
    /// The person it works for.
    pub owner: &'a User,
    /// Where agents reach Mission Control.
    pub base_url: &'a str,
    /// Its raw token.
    pub token: &'a str,
    /// What the directory of souls has for its role.
    pub soul: Option<&'a RoleSoul>,
}

/// A rendered file. Carries the token: no `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct File {
    /// `AGENTS.md`, ...
    pub name: &'static str,
    /// Text.
    pub content: String,
}

/// Renders files.
pub struct Renderer {
    environment: Environment<'static>,
}

impl Default for Renderer {
    fn default() -> Self {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        environment.set_fuel(Some(FUEL));
        // Block tags stand on lines of their own and leave none behind.
        match SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .keep_trailing_newline(true)
            .build()
        {
            Ok(syntax) => environment.set_syntax(syntax),
            Err(error) => unreachable!("the default delimiters are valid: {error}"),
        }
        for (name, source) in TEMPLATES {
            // The golden tests render every one of them.
            if let Err(error) = environment.add_template(name, source) {
                unreachable!("{name} is a valid template: {error}");
            }
        }
        Self { environment }
    }
}

impl Renderer {
    /// The files of an agent. BOOTSTRAP.md is for leads, when asked for; empty files are left out.
    pub fn files(&self, scene: &Scene<'_>, bootstrap: bool) -> Result<Vec<File>> {
        let (files, faults) = self.render(scene, bootstrap)?;
        faults.into_iter().next().map_or(Ok(files), |fault| Err(fault.into()))
    }

    /// The files that can be rendered, with BOOTSTRAP.md, and what is wrong with the agent's own templates.
    pub fn preview(&self, scene: &Scene<'_>) -> Result<(Vec<File>, Vec<Fault>)> {
        self.render(scene, true)
    }

    fn render(&self, scene: &Scene<'_>, bootstrap: bool) -> Result<(Vec<File>, Vec<Fault>)> {
        let values = context(scene);
        let mut files = Vec::with_capacity(TEMPLATES.len());
        let mut faults = Vec::new();
        for (name, _) in TEMPLATES {
            let own = match name {
                "IDENTITY.md" => scene
                    .agent
                    .identity_template
                    .as_deref()
                    .map(|text| ("identity_template", text)),
                "SOUL.md" => scene.agent.soul_template.as_deref().map(|text| ("soul_template", text)),
                "BOOTSTRAP.md" if !(bootstrap && scene.agent.is_board_lead) => continue,
                _ => None,
            };
            let content = match own {
                Some((field, source)) => match self.custom(field, source, &values) {
                    Ok(content) => content,
                    Err(fault) => {
                        faults.push(fault);
                        continue;
                    }
                },
                None => self
                    .environment
                    .get_template(name)
                    .and_then(|template| template.render(&values))
                    .map_err(Error::internal)?,
            };
            let content = content.trim();
            if !content.is_empty() {
                files.push(File {
                    name,
                    content: format!("{content}\n"),
                });
            }
        }
        Ok((files, faults))
    }

    /// Renders the templates an agent brings; what is wrong with them is told by field, line and variable.
    pub fn check(&self, scene: &Scene<'_>) -> Result<()> {
        let context = context(scene);
        for (field, source) in [
            ("identity_template", &scene.agent.identity_template),
            ("soul_template", &scene.agent.soul_template),
        ] {
            if let Some(source) = source {
                self.custom(field, source, &context)?;
            }
        }
        Ok(())
    }

    fn custom(
        &self,
        field: &'static str,
        source: &str,
        context: &BTreeMap<&'static str, String>,
    ) -> Result<String, Fault> {
        let fault = |error: &minijinja::Error, unknown: &[String]| {
            let line = error.line();
            let place = line.map(|line| format!(" on line {line}")).unwrap_or_default();
            let what = match error.kind() {
                ErrorKind::UndefinedError if !unknown.is_empty() => {
                    let names: Vec<_> = unknown.iter().map(|name| format!("`{name}`")).collect();
                    let known: Vec<_> = context.keys().copied().collect();
                    format!(
                        "{} is not defined{place}; the variables are {}",
                        names.join(", "),
                        known.join(", ")
                    )
                }
                ErrorKind::OutOfFuel => format!("it runs too long{place}; make its loops shorter"),
                kind => format!(
                    "{}{place}",
                    error.detail().map_or_else(|| kind.to_string(), str::to_owned)
                ),
            };
            Fault {
                field,
                line,
                variable: unknown.first().cloned(),
                message: format!("{field} cannot be rendered: {what}."),
            }
        };
        let template = self
            .environment
            .template_from_named_str(field, source)
            .map_err(|error| fault(&error, &[]))?;
        let rendered = template.render(context).map_err(|error| {
            let mut unknown: Vec<String> = template
                .undeclared_variables(false)
                .into_iter()
                .filter(|name| !context.contains_key(name.as_str()) && !BUILT_IN.contains(&name.as_str()))
                .collect();
            unknown.sort();
            fault(&error, &unknown)
        })?;
        if rendered.len() > MAX_BYTES {
            return Err(Fault {
                field,
                line: None,
                variable: None,
                message: format!("{field} renders to {} bytes; the most is {MAX_BYTES}.", rendered.len()),
            });
        }
        Ok(rendered)
    }
}

/// What is wrong with a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// `identity_template` or `soul_template`.
    pub field: &'static str,
    /// Line, from 1.
    pub line: Option<usize>,
    /// The variable that is not defined.
    pub variable: Option<String>,
    /// What is wrong and how to mend it.
    pub message: String,
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        Self::invalid(fault.field, fault.message)
    }
}

/// Names that templates can use.
pub fn variables(scene: &Scene<'_>) -> Vec<String> {
    context(scene).into_keys().map(str::to_owned).collect()
}

/// Functions of minijinja, which look like variables to the analysis.
const BUILT_IN: [&str; 6] = ["range", "dict", "namespace", "debug", "loop", "self"];

/// Digest of files, so that unchanged ones are not sent again.
pub fn digest(files: &[File], name: &str, workspace: &str, heartbeat: &Value) -> String {
    let mut hasher = Sha256::new();
    let mut part = |text: &str| {
        hasher.update(text.len().to_be_bytes());
        hasher.update(text.as_bytes());
    };
    part(name);
    part(workspace);
    part(&heartbeat.to_string());
    // BOOTSTRAP.md is deleted by the agent when it has read it, so that it does not say whether files are right.
    for file in files.iter().filter(|file| file.name != "BOOTSTRAP.md") {
        part(file.name);
        part(&file.content);
    }
    hex::encode(hasher.finalize())
}

/// The values templates can use; all text.
fn context(scene: &Scene<'_>) -> BTreeMap<&'static str, String> {
    let (agent, gateway) = (scene.agent, scene.gateway);
    let seat = agent.seat();
    let role = match (&scene.board, agent.is_board_lead) {
        (None, _) => "main",
        (Some(_), true) => "lead",
        (Some(_), false) => "worker",
    };
    let workspace = seat.workspace(&gateway.workspace_root);
    let mut values = BTreeMap::from([
        ("role", role.to_owned()),
        ("agent_name", agent.name.clone()),
        ("agent_id", agent.id.to_string()),
        ("is_main_agent", (role == "main").to_string()),
        ("session_key", agent.session_key.clone()),
        ("base_url", scene.base_url.to_owned()),
        ("auth_token", scene.token.to_owned()),
        (
            "main_session_key",
            crate::rules::Seat::Main {
                gateway: agent.gateway_id,
            }
            .session_key(),
        ),
        (
            "workspace_root",
            gateway.workspace_root.trim_end_matches('/').to_owned(),
        ),
        ("workspace", workspace.clone()),
    ]);
    values.extend(person(scene.owner));
    for (key, name, absent) in IDENTITY {
        let given = agent
            .identity_profile
            .as_ref()
            .and_then(|profile| profile.get(key))
            .and_then(Value::as_str)
            .map(str::trim);
        values.insert(name, given.filter(|text| !text.is_empty()).unwrap_or(absent).to_owned());
    }
    if let Some(board) = scene.board {
        let metrics = board
            .success_metrics
            .as_deref()
            .map_or("{}".into(), String::from_utf8_lossy)
            .into_owned();
        values.extend([
            ("is_board_lead", agent.is_board_lead.to_string()),
            ("workspace_path", workspace),
            ("board_id", board.id.clone()),
            ("board_name", board.name.clone()),
            ("board_type", board.board_type.clone()),
            ("board_objective", board.objective.clone().unwrap_or_default()),
            ("board_success_metrics", metrics),
            (
                "board_target_date",
                board.target_date.as_ref().and_then(moment_text).unwrap_or_default(),
            ),
            ("board_goal_confirmed", board.goal_confirmed.to_string()),
            (
                "board_rule_require_approval_for_done",
                board.require_approval_for_done.to_string(),
            ),
            (
                "board_rule_require_review_before_done",
                board.require_review_before_done.to_string(),
            ),
            (
                "board_rule_comment_required_for_review",
                board.comment_required_for_review.to_string(),
            ),
            (
                "board_rule_block_status_changes_with_pending_approval",
                board.block_status_changes_with_pending_approval.to_string(),
            ),
            (
                "board_rule_only_lead_can_change_status",
                board.only_lead_can_change_status.to_string(),
            ),
            ("board_rule_max_agents", board.max_agents.to_string()),
            (
                "directory_role_soul_markdown",
                scene.soul.map(|soul| soul.markdown.clone()).unwrap_or_default(),
            ),
            (
                "directory_role_soul_source_url",
                scene.soul.map(|soul| soul.source_url.clone()).unwrap_or_default(),
            ),
        ]);
    }
    values
}

/// The person's part: what to call them is the first word of the preferred name, else of the name, else of the e-mail address.
fn person(user: &User) -> [(&'static str, String); 6] {
    let text = |value: &Option<String>| value.as_deref().map(str::trim).unwrap_or_default().to_owned();
    let local = |address: &str| address.split('@').next().unwrap_or_default().to_owned();
    let first = |words: &str| words.split_whitespace().next().unwrap_or_default().to_owned();
    let (email, full) = (text(&user.email), text(&user.name));
    let name = if full.is_empty() { email.clone() } else { full.clone() };
    let preferred = [
        first(&text(&user.preferred_name)),
        if full.contains('@') { local(&full) } else { first(&full) },
        local(&email),
    ]
    .into_iter()
    .find(|candidate| !candidate.is_empty())
    .unwrap_or_default();
    [
        ("user_name", name),
        ("user_preferred_name", preferred),
        ("user_pronouns", text(&user.pronouns)),
        ("user_timezone", text(&user.timezone)),
        ("user_notes", text(&user.notes)),
        ("user_context", text(&user.context)),
    ]
}

fn moment_text(at: &prost_types::Timestamp) -> Option<String> {
    OffsetDateTime::from_unix_timestamp(at.seconds)
        .ok()?
        .format(&Rfc3339)
        .ok()
}

/// Whether two states of a board render differently.
pub fn board_renders_differently(before: &Board, after: &Board) -> bool {
    let rendered = |board: &Board| {
        (
            board.name.clone(),
            board.board_type.clone(),
            board.objective.clone(),
            board.success_metrics.clone(),
            board.target_date,
            board.goal_confirmed,
            [
                board.require_approval_for_done,
                board.require_review_before_done,
                board.comment_required_for_review,
                board.block_status_changes_with_pending_approval,
                board.only_lead_can_change_status,
            ],
            board.max_agents,
        )
    };
    rendered(before) != rendered(after)
}

#[cfg(test)]
#[path = "render_tests.rs"]
mod tests;
