//! The methods of the fake gateway.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    Control, Inner, Release,
    handshake::Peer,
    state::{Scratch, State, now_ms},
};

type Answer = Result<Value, Value>;

const OLD_FILES: &[&str] = &[
    "AGENTS.md",
    "SOUL.md",
    "TOOLS.md",
    "IDENTITY.md",
    "USER.md",
    "HEARTBEAT.md",
    "BOOTSTRAP.md",
    "MEMORY.md",
    "memory.md",
];
const LATEST_FILES: &[&str] = &[
    "AGENTS.md",
    "SOUL.md",
    "IDENTITY.md",
    "USER.md",
    "BOOTSTRAP.md",
    "MEMORY.md",
];

/// An INVALID_REQUEST error.
pub(super) fn invalid(message: impl Into<String>) -> Value {
    json!({"code": "INVALID_REQUEST", "message": message.into()})
}

/// Methods that hello lists.
pub(super) fn advertised(release: Release) -> Vec<&'static str> {
    let both = [
        "health",
        "config.get",
        "config.patch",
        "agents.list",
        "agents.create",
        "agents.update",
        "agents.delete",
        "agents.files.list",
        "agents.files.get",
        "agents.files.set",
        "sessions.list",
        "sessions.patch",
        "sessions.reset",
        "sessions.delete",
        "chat.send",
        "chat.history",
        "cron.list",
        "device.pair.list",
        "device.pair.approve",
    ];
    let latest = ["cron.scratch.get", "cron.scratch.set"];
    both.into_iter()
        .chain(latest.into_iter().filter(|_| release.is_latest()))
        .collect()
}

/// The scope a method needs.
fn needed_scope(method: &str, release: Release) -> Option<&'static str> {
    match method {
        "health" => None,
        "sessions.patch" if release.is_latest() => Some("operator.write"),
        "chat.send" => Some("operator.write"),
        "agents.create" | "agents.update" | "agents.delete" | "agents.files.set" | "config.patch"
        | "sessions.patch" | "sessions.reset" | "sessions.delete" | "cron.scratch.get" | "cron.scratch.set" => {
            Some("operator.admin")
        }
        "device.pair.list" | "device.pair.approve" => Some("operator.pairing"),
        _ => Some("operator.read"),
    }
}

/// Keys a method takes; anything else is refused.
fn known_keys(method: &str, release: Release) -> Option<&'static [&'static str]> {
    let latest = release.is_latest();
    Some(match method {
        "config.get" | "agents.list" | "device.pair.list" => &[],
        "agents.create" => &["name", "workspace", "emoji", "avatar"],
        "agents.update" => &["agentId", "name", "workspace", "model", "avatar"],
        "agents.delete" => &["agentId", "deleteFiles"],
        "agents.files.list" => &["agentId"],
        "agents.files.get" => &["agentId", "name"],
        "agents.files.set" => &["agentId", "name", "content"],
        "sessions.list" if latest => &["limit", "offset", "agentId"],
        "sessions.list" => &["limit", "agentId"],
        "sessions.patch" => &["key", "label", "model"],
        "sessions.reset" => &["key"],
        "sessions.delete" => &["key", "deleteTranscript"],
        "chat.send" => &[
            "sessionKey",
            "message",
            "idempotencyKey",
            "deliver",
            "thinking",
            "timeoutMs",
            "attachments",
        ],
        "chat.history" => &["sessionKey", "limit"],
        "config.patch" => &["raw", "baseHash", "note"],
        "cron.list" if latest => &["includeDisabled", "agentId", "limit", "offset"],
        "cron.list" => &["includeDisabled"],
        "device.pair.approve" => &["requestId"],
        _ => return None,
    })
}

/// Runs one call.
pub(super) fn call(inner: &Arc<Inner>, peer: &Peer, method: &str, params: &Value) -> Answer {
    let release = inner.options.release;
    if let Some(needed) = needed_scope(method, release) {
        // Admin covers write.
        let has = |scope: &str| peer.scopes.iter().any(|granted| granted == scope);
        let granted = has(needed) || (needed == "operator.write" && has("operator.admin"));
        if !granted {
            let message = format!("missing scope: {needed}");
            return Err(if release.is_latest() {
                json!({"code": "FORBIDDEN", "message": message,
                    "details": {"code": "MISSING_SCOPE", "missingScope": needed, "requiredScopes": [needed]}})
            } else {
                invalid(message)
            });
        }
    }
    if let (Some(known), Some(given)) = (known_keys(method, release), params.as_object())
        && let Some(key) = given.keys().find(|key| !known.contains(&key.as_str()))
    {
        return Err(invalid(format!(
            "invalid {method} params: at root: unexpected property '{key}'"
        )));
    }
    let arguments = Arguments { method, params };
    match method {
        "health" => Ok(json!({"ok": true, "ts": now_ms(), "channels": {}, "channelOrder": [], "agents": []})),
        "config.get" => {
            let state = inner.state.lock();
            Ok(
                json!({"path": "/fake/openclaw.json", "exists": true, "parsed": state.stored, "config": state.stored,
                "valid": true, "hash": state.hash(), "issues": []}),
            )
        }
        "config.patch" => config_patch(inner, &arguments),
        "agents.list" => {
            let state = inner.state.lock();
            let mut seen = BTreeMap::from([("main".to_owned(), json!({"id": "main"}))]);
            for id in state.live_agents() {
                let entry = state.live_agent(&id).unwrap_or_default();
                let mut row = json!({"id": id});
                if let Some(name) = entry.get("name") {
                    row["name"] = name.clone();
                }
                seen.insert(id, row);
            }
            Ok(json!({"defaultId": "main", "mainKey": "main", "agents": seen.into_values().collect::<Vec<_>>()}))
        }
        "agents.create" => agents_create(inner, &arguments),
        "agents.update" => agents_update(inner, &arguments),
        "agents.delete" => agents_delete(inner, &arguments),
        "agents.files.list" | "agents.files.get" | "agents.files.set" => files(inner, &arguments),
        "sessions.list" => Ok(sessions_list(inner, params)),
        "sessions.patch" | "sessions.reset" | "sessions.delete" => sessions(inner, &arguments),
        "chat.send" => chat_send(inner, &arguments),
        "chat.history" => {
            let key = arguments.text("sessionKey")?;
            let state = inner.state.lock();
            let messages = state
                .sessions
                .get(key)
                .map(|session| session.messages.clone())
                .unwrap_or_default();
            let limit = params
                .get("limit")
                .and_then(Value::as_u64)
                .and_then(|l| usize::try_from(l).ok())
                .unwrap_or(200);
            let skip = messages.len().saturating_sub(limit);
            Ok(json!({"sessionKey": key, "messages": messages[skip..]}))
        }
        "cron.list" => Ok(json!({"jobs": cron_jobs(&inner.state.lock(), params), "hasMore": false})),
        "cron.scratch.get" | "cron.scratch.set" if release.is_latest() => scratch(inner, &arguments),
        "device.pair.list" => {
            let state = inner.state.lock();
            let pending: Vec<_> = state
                .pending
                .iter()
                .map(|(id, pending)| json!({"requestId": id, "deviceId": pending.device_id}))
                .collect();
            Ok(json!({"pending": pending, "paired": []}))
        }
        "device.pair.approve" => {
            let id = arguments.text("requestId")?;
            if inner.state.lock().approve(id) {
                Ok(json!({"requestId": id}))
            } else {
                Err(invalid("unknown requestId"))
            }
        }
        _ => Err(invalid(format!("unknown method: {method}"))),
    }
}

struct Arguments<'a> {
    method: &'a str,
    params: &'a Value,
}

impl<'a> Arguments<'a> {
    fn text(&self, key: &str) -> Result<&'a str, Value> {
        self.params.get(key).and_then(Value::as_str).ok_or_else(|| {
            invalid(format!(
                "invalid {} params: must have required property '{key}'",
                self.method
            ))
        })
    }
}

/// Brings a change into force after the reload delay, or restarts where the release does.
fn reload_later(inner: &Arc<Inner>) {
    let inner = inner.clone();
    let tasks = inner.tasks.clone();
    tasks.spawn(async move {
        if inner.options.release == Release::Floor {
            tokio::time::sleep(inner.options.restart_delay).await;
            return inner.restart();
        }
        tokio::time::sleep(inner.options.reload_delay).await;
        inner.state.lock().reload();
        if inner.options.release.is_latest() {
            let _ = inner
                .control
                .send(Control::Event("config.changed".to_owned(), json!({"ts": now_ms()})));
        }
    });
}

fn slug(name: &str) -> String {
    name.to_lowercase()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect()
}

fn agents_create(inner: &Arc<Inner>, arguments: &Arguments<'_>) -> Answer {
    let (name, workspace) = (arguments.text("name")?, arguments.text("workspace")?);
    let id = slug(name);
    {
        let mut state = inner.state.lock();
        // Older releases look at what is in force, and so miss what was created just now.
        let known = if state.release.is_latest() {
            state.stored_agent(&id)
        } else {
            state.live_agent(&id)
        };
        if known.is_some() {
            return Err(invalid(format!("agent \"{id}\" already exists")));
        }
        state.change_agents(|agents| {
            agents.insert(id.clone(), json!({"name": name, "workspace": workspace}));
        });
    }
    reload_later(inner);
    Ok(json!({"ok": true, "agentId": id, "name": name, "workspace": workspace}))
}

fn agents_update(inner: &Arc<Inner>, arguments: &Arguments<'_>) -> Answer {
    let id = arguments.text("agentId")?;
    {
        let mut state = inner.state.lock();
        let known = if state.release.is_latest() {
            state.stored_agent(id)
        } else {
            state.live_agent(id)
        };
        if known.is_none() {
            return Err(invalid(format!("agent \"{id}\" not found")));
        }
        state.change_agents(|agents| {
            let Some(entry) = agents.get_mut(id) else { return };
            for key in ["name", "workspace"] {
                if let Some(value) = arguments.params.get(key) {
                    entry[key] = value.clone();
                }
            }
        });
    }
    reload_later(inner);
    Ok(json!({"ok": true, "agentId": id}))
}

fn agents_delete(inner: &Arc<Inner>, arguments: &Arguments<'_>) -> Answer {
    let id = arguments.text("agentId")?;
    {
        let mut state = inner.state.lock();
        if state.stored_agent(id).is_none() {
            return Err(invalid(format!("agent \"{id}\" not found")));
        }
        state.change_agents(|agents| {
            agents.remove(id);
        });
        state.files.retain(|(agent, _), _| agent != id);
        if state.release.is_latest() {
            let prefix = format!("agent:{id}:");
            state.sessions.retain(|key, _| !key.starts_with(&prefix));
        }
    }
    reload_later(inner);
    Ok(json!({"ok": true, "agentId": id, "removedBindings": 0}))
}

fn files(inner: &Inner, arguments: &Arguments<'_>) -> Answer {
    let agent = arguments.text("agentId")?;
    let mut state = inner.state.lock();
    let latest = state.release.is_latest();
    if agent != "main" && state.stored_agent(agent).is_none() {
        return Err(invalid(if latest {
            format!("agent \"{agent}\" not found")
        } else {
            "unknown agent id".into()
        }));
    }
    let allowed = if latest { LATEST_FILES } else { OLD_FILES };
    let row = |name: &str, content: Option<&String>| match content {
        Some(content) => json!({"name": name, "path": format!("/ws/{agent}/{name}"), "missing": false,
            "size": content.len(), "updatedAtMs": now_ms()}),
        None => json!({"name": name, "path": format!("/ws/{agent}/{name}"), "missing": true}),
    };
    let key = |name: &str| (agent.to_owned(), name.to_owned());
    if arguments.method == "agents.files.list" {
        let files: Vec<_> = allowed
            .iter()
            .filter(|name| **name != "memory.md")
            .map(|name| row(name, state.files.get(&key(name))))
            .collect();
        return Ok(json!({"agentId": agent, "workspace": format!("/ws/{agent}"), "files": files}));
    }
    let name = arguments.text("name")?;
    if !allowed.contains(&name) {
        return Err(invalid(format!("unsupported file \"{name}\"")));
    }
    if arguments.method == "agents.files.set" {
        let content = arguments.text("content")?.to_owned();
        state.files.insert(key(name), content);
    }
    let content = state.files.get(&key(name));
    let mut file = row(name, content);
    if let Some(content) = content {
        file["content"] = json!(content);
    }
    Ok(json!({"ok": true, "agentId": agent, "file": file}))
}

fn config_patch(inner: &Arc<Inner>, arguments: &Arguments<'_>) -> Answer {
    let raw = arguments.text("raw")?;
    let release = inner.options.release;
    let default = (if release.is_latest() { 30 } else { 3 }, Duration::from_mins(1));
    let (limit, window) = inner.options.patch_limit.unwrap_or(default);
    let mut state = inner.state.lock();
    let now = Instant::now();
    while state.patches.front().is_some_and(|sent| *sent + window <= now) {
        state.patches.pop_front();
    }
    if state.patches.len() >= limit {
        let wait = state
            .patches
            .front()
            .map_or(window, |oldest| (*oldest + window).saturating_duration_since(now));
        return Err(json!({"code": "UNAVAILABLE", "retryable": true,
            "message": format!("rate limit exceeded for config.patch; retry after {}s", wait.as_secs() + 1),
            "retryAfterMs": u64::try_from(wait.as_millis()).unwrap_or(1000),
            "details": {"method": "config.patch", "limit": format!("{limit} per {}s", window.as_secs())}}));
    }
    state.patches.push_back(now);
    let patch: Value = serde_json::from_str(raw).map_err(|error| invalid(format!("SyntaxError: JSON5: {error}")))?;
    match arguments.params.get("baseHash").and_then(Value::as_str) {
        None => return Err(invalid("config base hash required; re-run config.get and retry")),
        Some(hash) if hash != state.hash() => {
            return Err(invalid("config changed since last load; re-run config.get and retry"));
        }
        Some(_) => {}
    }
    validate(&patch, release)?;
    let mut next = state.stored.clone();
    merge(&mut next, &patch);
    if release.is_latest() && next == state.stored {
        return Ok(json!({"ok": true, "noop": true, "hash": state.hash(), "config": state.stored}));
    }
    state.stored = next;
    state.touch();
    if release.is_latest() {
        state.reload();
    } else {
        let inner = inner.clone();
        let tasks = inner.tasks.clone();
        tasks.spawn(async move {
            tokio::time::sleep(inner.options.restart_delay).await;
            inner.restart();
        });
    }
    Ok(json!({"ok": true, "hash": state.hash(), "config": state.stored}))
}

fn validate(patch: &Value, release: Release) -> Result<(), Value> {
    let unknown = |path: &str, key: &str| {
        let message = format!("Unrecognized key: \"{key}\"");
        let mut error = invalid(format!("invalid config: {path}: {message}"));
        if release.is_latest() {
            error["details"] = json!({"issues": [{"path": path, "message": message}]});
        }
        error
    };
    let (foreign, ours) = if release.is_latest() {
        ("list", "entries")
    } else {
        ("entries", "list")
    };
    let Some(agents) = patch.get("agents") else {
        return Ok(());
    };
    if agents.get(foreign).is_some() {
        return Err(unknown("agents", foreign));
    }
    let entries: Vec<&Value> = match agents.get(ours) {
        Some(Value::Object(map)) => map.values().collect(),
        Some(Value::Array(list)) => list.iter().collect(),
        _ => Vec::new(),
    };
    for heartbeat in entries.iter().filter_map(|entry| entry.get("heartbeat")) {
        if release.is_latest() && heartbeat.get("includeReasoning").is_some() {
            return Err(unknown("agents.entries.*.heartbeat", "includeReasoning"));
        }
        let every = heartbeat.get("every").and_then(Value::as_str).unwrap_or("1m");
        if !every.ends_with(['s', 'm', 'h']) {
            return Err(invalid(format!(
                "invalid config: agents.*.heartbeat.every: invalid duration {every:?}"
            )));
        }
    }
    Ok(())
}

/// RFC 7396.
fn merge(target: &mut Value, patch: &Value) {
    let Some(members) = patch.as_object() else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (key, value) in members {
        if value.is_null() {
            target.as_object_mut().map(|object| object.remove(key));
        } else {
            merge(&mut target[key.as_str()], value);
        }
    }
}

fn sessions_list(inner: &Inner, params: &Value) -> Value {
    let state = inner.state.lock();
    let rows: Vec<_> = state
        .sessions
        .iter()
        .map(|(key, session)| {
            json!({"key": key, "kind": "direct", "label": session.label, "sessionId": session.id,
                "updatedAt": session.updated_at})
        })
        .collect();
    if !state.release.is_latest() {
        return json!({"ts": now_ms(), "count": rows.len(), "sessions": rows});
    }
    let number = |key: &str, default: usize| {
        params
            .get(key)
            .and_then(Value::as_u64)
            .and_then(|n| usize::try_from(n).ok())
            .unwrap_or(default)
    };
    let (offset, limit) = (number("offset", 0), number("limit", 100));
    let total = rows.len();
    let page: Vec<_> = rows.into_iter().skip(offset).take(limit).collect();
    let next = offset + page.len();
    let more = next < total;
    json!({"ts": now_ms(), "count": page.len(), "totalCount": total, "hasMore": more,
        "nextOffset": more.then_some(next), "sessions": page})
}

fn sessions(inner: &Inner, arguments: &Arguments<'_>) -> Answer {
    let key = arguments.text("key")?;
    let mut state = inner.state.lock();
    match arguments.method {
        "sessions.patch" => {
            let label = arguments.params.get("label").and_then(Value::as_str);
            if !state.release.is_latest() && label.is_some_and(|label| label.chars().count() > 64) {
                return Err(invalid("invalid label: too long (max 64)"));
            }
            let session = state.session(key);
            session.label = label.map(Into::into).or(session.label.take());
            Ok(json!({"ok": true, "key": key, "entry": {"sessionId": session.id, "label": session.label}}))
        }
        "sessions.reset" => {
            let session = state.session(key);
            session.messages.clear();
            session.id = Uuid::new_v4().to_string();
            Ok(json!({"ok": true, "key": key, "entry": {"sessionId": session.id}}))
        }
        _ => {
            let main = key.starts_with("agent:") && key.ends_with(":main");
            if main && (state.release.is_latest() || key == "agent:main:main") {
                return Err(invalid(format!("Cannot delete the main session ({key}).")));
            }
            let deleted = state.sessions.remove(key).is_some();
            Ok(json!({"ok": true, "key": key, "deleted": deleted, "archived": []}))
        }
    }
}

fn chat_send(inner: &Arc<Inner>, arguments: &Arguments<'_>) -> Answer {
    let key = arguments.text("sessionKey")?.to_owned();
    let run = arguments.text("idempotencyKey")?.to_owned();
    let message = arguments.text("message")?;
    if message.is_empty() {
        return Err(invalid("message or attachment required"));
    }
    let latest = inner.options.release.is_latest();
    // Older releases fold blanks and newlines.
    let message = if latest {
        message.to_owned()
    } else {
        message.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    {
        let mut state = inner.state.lock();
        if let Some((known, status)) = state.runs.get(&run) {
            if latest && *known != message {
                let mut error = invalid("chat request conflict");
                error["details"] = json!({"reason": "chat-request-conflict"});
                return Err(error);
            }
            return Ok(json!({"runId": run, "status": status}));
        }
        let agent = key.split(':').nth(1).unwrap_or("main").to_owned();
        if latest && agent != "main" && state.live_agent(&agent).is_none() {
            return Err(invalid(format!("Agent \"{agent}\" no longer exists in configuration")));
        }
        state.runs.insert(run.clone(), (message.clone(), "in_flight"));
        let said = said("user", &message, latest);
        state.session(&key).messages.push(said);
    }
    let inner = inner.clone();
    let tasks = inner.tasks.clone();
    let answer = json!({"runId": run, "status": "started"});
    tasks.spawn(async move {
        tokio::time::sleep(inner.options.reply_delay).await;
        let reply = said("assistant", &format!("ack: {message}"), latest);
        {
            let mut state = inner.state.lock();
            state.session(&key).messages.push(reply);
            state.runs.insert(run.clone(), (message.clone(), "ok"));
        }
        for chat_state in ["delta", "final"] {
            let payload = json!({"runId": run, "sessionKey": key, "seq": 1, "state": chat_state,
                "message": {"role": "assistant", "content": [{"type": "text", "text": format!("ack: {message}")}]}});
            let _ = inner.control.send(Control::Event("chat".to_owned(), payload));
        }
    });
    Ok(answer)
}

fn said(role: &str, text: &str, latest: bool) -> Value {
    let content = if latest {
        json!(text)
    } else {
        json!([{"type": "text", "text": text}])
    };
    json!({"role": role, "content": content, "timestamp": now_ms()})
}

/// Jobs that the latest release derives from heartbeat settings.
fn cron_jobs(state: &State, params: &Value) -> Vec<Value> {
    if !state.release.is_latest() {
        return Vec::new();
    }
    let wanted = params.get("agentId").and_then(Value::as_str);
    state
        .live_agents()
        .into_iter()
        .filter(|id| wanted.is_none_or(|wanted| wanted == id))
        .filter(|id| {
            state
                .live_agent(id)
                .is_some_and(|entry| entry.get("heartbeat").is_some())
        })
        .map(|id| {
            json!({"id": format!("job-{id}"), "name": format!("heartbeat-{id}"), "agentId": id, "enabled": true,
                "declarationKey": format!("heartbeat:{id}")})
        })
        .collect()
}

fn scratch(inner: &Inner, arguments: &Arguments<'_>) -> Answer {
    let id = arguments.text("id")?;
    let mut state = inner.state.lock();
    let agent = id
        .strip_prefix("job-")
        .filter(|agent| state.live_agent(agent).is_some());
    let Some(agent) = agent.map(ToOwned::to_owned) else {
        return Err(invalid(format!("unknown cron job: {id}")));
    };
    let current = state.scratches.get(&agent).map_or(0, |scratch| scratch.revision);
    if arguments.method == "cron.scratch.set" {
        let expected = arguments.params.get("expectedRevision").and_then(Value::as_u64);
        if expected.is_some_and(|expected| expected != current) {
            return Ok(json!({"ok": false, "currentRevision": current}));
        }
        let content = arguments.text("content")?.to_owned();
        state.scratches.insert(
            agent.clone(),
            Scratch {
                content,
                revision: current + 1,
            },
        );
    }
    let shown = state
        .scratches
        .get(&agent)
        .map(|scratch| json!({"content": scratch.content, "revision": scratch.revision}));
    let revision = state.scratches.get(&agent).map_or(0, |scratch| scratch.revision);
    Ok(json!({"ok": true, "scratch": shown, "currentRevision": revision, "maxBytes": 262_144}))
}
