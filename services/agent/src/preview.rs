//! What would be written, without writing: an agent's files with unsaved fields, and a sync against what is on the gateway.

use std::time::Duration;

use chassis::{
    Caller, Error, Result,
    identity::{optional_uuid, uuid_of},
};
use futures::{StreamExt, stream};
use proto::{
    agent::v1::{
        AgentFilesPreview, FileChange, FilePreview, PreviewAgentFilesRequest, PreviewAgentFilesResponse,
        PreviewTemplateSyncRequest, PreviewTemplateSyncResponse, RenderedFile, TemplateError,
    },
    gateway::v1::Gateway,
};
use serde_json::Value;
use similar::TextDiff;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    agents::visible,
    app::{App, found},
    create, provision,
    render::Scene,
    row::AgentRow,
    rules::{self, Seat},
    soul, souls,
    sync::{PAUSED, Scope, paused},
};

/// Stands for tokens in everything that is shown.
pub const MASK: &str = "********";
/// Agents looked at on the gateway at once.
const CONCURRENCY: usize = 6;
/// How long the files of one agent may take.
const DEADLINE: Duration = Duration::from_secs(5);
/// Unchanged lines around a change.
const CONTEXT: usize = 3;
/// Longest comparison: texts that have nothing in common are then shown as one replacement.
const EFFORT: Duration = Duration::from_millis(200);

/// A text without the tokens in it: ours, and whatever the file on the gateway says its token is.
fn masked(text: &str, ours: &str) -> String {
    let mut text = if ours.is_empty() {
        text.to_owned()
    } else {
        text.replace(ours, MASK)
    };
    for found in rules::settings_values(&text, "AUTH_TOKEN") {
        text = text.replace(&found, MASK);
    }
    text
}

/// Unified diff of two texts; empty when they are equal.
fn diff(name: &str, before: &str, after: &str) -> String {
    if before == after {
        return String::new();
    }
    TextDiff::configure()
        .timeout(EFFORT)
        .diff_lines(before, after)
        .unified_diff()
        .context_radius(CONTEXT)
        .header(&format!("gateway/{name}"), &format!("template/{name}"))
        .to_string()
}

/// What would happen to one file. What an agent appended to a file that differs only in blank ends is no difference.
fn compare(name: &str, there: Option<&str>, wanted: &str, kept: bool) -> FilePreview {
    let change = match there {
        None => FileChange::New,
        Some(there) if there.trim() == wanted.trim() => FileChange::Unchanged,
        Some(there) if kept && !there.trim().is_empty() => FileChange::Kept,
        Some(_) => FileChange::Changed,
    };
    let diff = if change == FileChange::Unchanged {
        String::new()
    } else {
        diff(name, there.unwrap_or_default(), wanted)
    };
    FilePreview {
        name: name.to_owned(),
        change: change.into(),
        diff,
    }
}

/// What a sync would write.
pub async fn sync(
    app: &App,
    caller: &Caller,
    request: &PreviewTemplateSyncRequest,
) -> Result<PreviewTemplateSyncResponse> {
    let (organization, gateway_id) = (caller.organization()?, uuid_of(&request.gateway_id)?);
    found(app.gateway(organization, gateway_id).await)?.ok_or_else(|| Error::not_found("Gateway not found"))?;
    let scope = Scope {
        gateway: gateway_id,
        board: optional_uuid(request.board_id.as_ref())?,
        include_main: request.include_main.unwrap_or(true),
        lead_only: request.lead_only.unwrap_or(false),
    };
    if !scope.has_board(app, organization).await? {
        return Err(Error::unprocessable("Board does not belong to this gateway."));
    }
    let (limit, offset) = (
        request.limit.unwrap_or(20).clamp(1, 50),
        request.offset.unwrap_or(0).max(0),
    );
    let mut tx = app.store.begin().await?;
    let rows = scope.seen(&mut tx).await?;
    let paused = paused(&mut tx, &rows).await?;
    drop(tx);
    let readable = caller.readable_boards()?;
    let rows: Vec<AgentRow> = rows
        .into_iter()
        .filter(|row| match (row.board_id, &readable) {
            (Some(board), Some(readable)) => readable.contains(&board),
            _ => true,
        })
        .collect();
    let total = i32::try_from(rows.len()).unwrap_or(i32::MAX);
    if !rows.is_empty() {
        provision::connected(app, organization, gateway_id)
            .await
            .map_err(|failure| Error::gateway(failure.message))?;
    }
    let page = rows
        .into_iter()
        .skip(usize::try_from(offset).unwrap_or(0))
        .take(usize::try_from(limit).unwrap_or(0));
    let (bootstrap, overwrite, paused) = (
        request.force_bootstrap.unwrap_or(false),
        request.overwrite.unwrap_or(false),
        &paused,
    );
    let items = stream::iter(page)
        .map(|row| async move {
            let mut item = AgentFilesPreview {
                agent_id: row.id.to_string(),
                agent_name: row.name.clone(),
                board_id: row.board_id.map(|id| id.to_string()),
                ..AgentFilesPreview::default()
            };
            if row.board_id.is_some_and(|board| paused.contains(&board)) {
                item.skipped = Some(PAUSED.to_owned());
                return item;
            }
            match tokio::time::timeout(DEADLINE, one(app, &row, bootstrap, overwrite)).await {
                Ok(Ok(files)) => item.files = files,
                Ok(Err(error)) => item.error = Some(provision::describe(&error)),
                Err(_) => {
                    item.error = Some(format!(
                        "The gateway did not show the agent's files within {} seconds. Try again.",
                        DEADLINE.as_secs()
                    ));
                }
            }
            item
        })
        .buffered(CONCURRENCY)
        .collect()
        .await;
    Ok(PreviewTemplateSyncResponse {
        items,
        total,
        limit,
        offset,
    })
}

async fn one(app: &App, row: &AgentRow, bootstrap: bool, overwrite: bool) -> Result<Vec<FilePreview>> {
    let is_new = row.observed_generation == 0;
    let plan = provision::plan(app, row, bootstrap || is_new).await?;
    let mut previews = Vec::with_capacity(plan.files.len());
    for file in &plan.files {
        let there = soul::file(app, row, file.name).await?;
        let there = there.map(|text| masked(&text, &plan.token));
        let wanted = masked(&file.content, &plan.token);
        let kept = !(overwrite || is_new) && provision::kept(row, file.name);
        previews.push(compare(file.name, there.as_deref(), &wanted, kept));
    }
    Ok(previews)
}

/// The files of an agent with unsaved fields.
pub async fn files(app: &App, caller: &Caller, request: PreviewAgentFilesRequest) -> Result<PreviewAgentFilesResponse> {
    let organization = caller.organization()?;
    let mut row = match (&request.agent_id, &request.board_id) {
        (Some(agent), _) => visible(app, caller, agent).await?,
        (None, Some(board)) => draft(organization, uuid_of(board)?),
        (None, None) => {
            return Err(Error::invalid(
                "agent_id",
                "Name an agent, or the board of an agent that is still to be made.",
            ));
        }
    };
    let board = match row.board_id {
        Some(id) => Some(
            found(app.board(id).await)?
                .filter(|board| board.organization_id == organization.to_string())
                .ok_or_else(|| Error::not_found("Board not found"))?,
        ),
        None => None,
    };
    if let Some(board) = row.board_id {
        caller.may_read_board(organization, board)?;
    }
    if let Some(name) = &request.name {
        row.name = create::name_of(name)?;
    }
    if let Some(profile) = &request.identity_profile {
        row.identity_profile = rules::profile(create::object("identity_profile", Some(profile))?.as_ref());
    }
    if request.identity_template.is_some() {
        row.identity_template = rules::template(request.identity_template);
    }
    if request.soul_template.is_some() {
        row.soul_template = rules::template(request.soul_template);
    }
    let gateway = match board.as_ref().map(|board| board.gateway_id.as_deref()) {
        Some(None) => Gateway::default(),
        Some(Some(id)) => found(app.gateway(organization, uuid_of(id)?).await)?.unwrap_or_default(),
        None => app.gateway(organization, row.gateway_id).await?,
    };
    let owner = app.owner(organization).await?;
    let soul = match souls::role_of(&row) {
        Some(role) => app.souls.role_soul(role).await,
        None => None,
    };
    let scene = Scene {
        agent: &row,
        board: board.as_ref(),
        gateway: &gateway,
        owner: &owner,
        base_url: &app.base_url,
        token: MASK,
        soul: soul.as_ref(),
    };
    let (files, faults) = app.renderer.preview(&scene)?;
    Ok(PreviewAgentFilesResponse {
        files: files
            .into_iter()
            .map(|file| RenderedFile {
                name: file.name.to_owned(),
                content: file.content,
            })
            .collect(),
        errors: faults
            .into_iter()
            .map(|fault| TemplateError {
                field: fault.field.to_owned(),
                line: fault.line.and_then(|line| i32::try_from(line).ok()),
                variable: fault.variable,
                message: fault.message,
            })
            .collect(),
        variables: crate::render::variables(&scene),
    })
}

/// A worker that does not exist yet.
fn draft(organization: Uuid, board: Uuid) -> AgentRow {
    let (id, now) = (Uuid::nil(), OffsetDateTime::now_utc());
    AgentRow {
        id,
        organization_id: organization,
        gateway_id: Uuid::nil(),
        board_id: Some(board),
        name: "New agent".to_owned(),
        status: "provisioning".to_owned(),
        shown_status: "provisioning".to_owned(),
        is_board_lead: false,
        heartbeat_config: None,
        heartbeat_seconds: rules::DEFAULT_HEARTBEAT_SECONDS,
        identity_profile: None,
        identity_template: None,
        soul_template: None,
        session_key: Seat::Worker { agent: id }.session_key(),
        last_seen_at: None,
        desired_generation: 1,
        observed_generation: 0,
        wishes: Value::Object(serde_json::Map::new()),
        conditions: Value::Array(Vec::new()),
        applied_digest: None,
        next_attempt_at: None,
        attempts: 0,
        last_failure: None,
        wake_attempts: 0,
        last_wake_at: None,
        deleting_at: None,
        created_at: now,
        updated_at: now,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_masked_in_both_forms_of_the_file() {
        let ours = "AUTH_TOKEN=ours.secret\ncurl -H \"X-Agent-Token: ours.secret\"";
        assert_eq!(
            masked(ours, "ours.secret"),
            format!("AUTH_TOKEN={MASK}\ncurl -H \"X-Agent-Token: {MASK}\"")
        );
        let other = "- `AUTH_TOKEN=theirs-123`\nuse theirs-123 here";
        assert_eq!(
            masked(other, "ours.secret"),
            format!("- `AUTH_TOKEN={MASK}`\nuse {MASK} here")
        );
    }

    #[test]
    fn files_are_told_apart() {
        let cases = [
            (None, "a\n", false, FileChange::New),
            (Some("a\n\n"), "a\n", false, FileChange::Unchanged),
            (Some("b\n"), "a\n", false, FileChange::Changed),
            (Some("b\n"), "a\n", true, FileChange::Kept),
            (Some("  "), "a\n", true, FileChange::Changed),
        ];
        for (there, wanted, kept, expected) in cases {
            let seen = compare("SOUL.md", there, wanted, kept);
            assert_eq!(seen.change(), expected, "{there:?} {wanted:?}");
            assert_eq!(seen.diff.is_empty(), expected == FileChange::Unchanged, "{}", seen.diff);
        }
        let seen = compare("SOUL.md", Some("one\ntwo\n"), "one\nthree\n", false);
        assert_eq!(
            seen.diff,
            "--- gateway/SOUL.md\n+++ template/SOUL.md\n@@ -1,2 +1,2 @@\n one\n-two\n+three\n"
        );
    }
}
