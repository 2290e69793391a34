//! What the fake gateway remembers.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    time::Instant,
};

use serde_json::{Value, json};
use time::OffsetDateTime;
use uuid::Uuid;

use super::Release;

/// Unix time in milliseconds.
pub(super) fn now_ms() -> i64 {
    i64::try_from(OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)
}

/// An approved device.
pub(super) struct Paired {
    pub(super) token: String,
    /// Pinned at approval.
    pub(super) platform: String,
}

/// A device that waits.
#[derive(Clone)]
pub(super) struct Pending {
    pub(super) device_id: String,
    pub(super) platform: String,
}

/// A session.
#[derive(Default)]
pub(super) struct Session {
    pub(super) id: String,
    pub(super) label: Option<String>,
    pub(super) messages: Vec<Value>,
    pub(super) updated_at: i64,
}

/// A heartbeat checklist.
pub(super) struct Scratch {
    pub(super) content: String,
    pub(super) revision: u64,
}

pub(super) struct State {
    pub(super) release: Release,
    /// The configuration file.
    pub(super) stored: Value,
    /// The configuration in force; behind `stored` until a reload.
    pub(super) live: Value,
    pub(super) revision: u64,
    pub(super) files: HashMap<(String, String), String>,
    pub(super) sessions: BTreeMap<String, Session>,
    pub(super) scratches: HashMap<String, Scratch>,
    /// Idempotency keys with their message and status.
    pub(super) runs: HashMap<String, (String, &'static str)>,
    pub(super) patches: VecDeque<Instant>,
    pub(super) paired: HashMap<String, Paired>,
    pub(super) pending: BTreeMap<String, Pending>,
}

impl State {
    pub(super) fn new(release: Release) -> Self {
        let mut stored = json!({
            "gateway": {"mode": "local", "auth": {"mode": "token", "token": "__OPENCLAW_REDACTED__"}},
            "meta": {"lastTouchedVersion": release.version()},
            "agents": {"defaults": {"heartbeat": {"every": "0m"}}},
        });
        if release.is_latest() {
            stored["agents"]["entries"] = json!({"main": {}});
        }
        Self {
            release,
            live: stored.clone(),
            stored,
            revision: 1,
            files: HashMap::new(),
            sessions: BTreeMap::new(),
            scratches: HashMap::new(),
            runs: HashMap::new(),
            patches: VecDeque::new(),
            paired: HashMap::new(),
            pending: BTreeMap::new(),
        }
    }

    pub(super) fn hash(&self) -> String {
        format!("hash-{}", self.revision)
    }

    pub(super) fn touch(&mut self) {
        self.revision += 1;
    }

    /// What is stored comes into force.
    pub(super) fn reload(&mut self) {
        self.live = self.stored.clone();
    }

    pub(super) fn stored_agents(&self) -> Vec<String> {
        agents(&self.stored).into_iter().map(|(id, _)| id).collect()
    }

    pub(super) fn live_agents(&self) -> Vec<String> {
        agents(&self.live).into_iter().map(|(id, _)| id).collect()
    }

    pub(super) fn live_agent(&self, id: &str) -> Option<Value> {
        agents(&self.live)
            .into_iter()
            .find(|(known, _)| known == id)
            .map(|(_, entry)| entry)
    }

    pub(super) fn stored_agent(&self, id: &str) -> Option<Value> {
        agents(&self.stored)
            .into_iter()
            .find(|(known, _)| known == id)
            .map(|(_, entry)| entry)
    }

    /// Changes the agents of the file. Older releases start from what is in force, so overlapping changes get lost.
    pub(super) fn change_agents(&mut self, change: impl FnOnce(&mut BTreeMap<String, Value>)) {
        let base = if self.release.is_latest() {
            &self.stored
        } else {
            &self.live
        };
        let mut all: BTreeMap<_, _> = agents(base).into_iter().collect();
        change(&mut all);
        let mut next = base.clone();
        if self.release.is_latest() {
            next["agents"]["entries"] = Value::Object(all.into_iter().collect());
        } else {
            all.entry("main".to_owned()).or_insert_with(|| json!({}));
            let list: Vec<Value> = all
                .into_iter()
                .map(|(id, mut entry)| {
                    entry["id"] = json!(id);
                    entry
                })
                .collect();
            next["agents"]["list"] = json!(list);
        }
        self.stored = next;
        self.touch();
    }

    pub(super) fn session(&mut self, key: &str) -> &mut Session {
        let session = self.sessions.entry(key.to_owned()).or_insert_with(|| Session {
            id: Uuid::new_v4().to_string(),
            ..Session::default()
        });
        session.updated_at = now_ms();
        session
    }

    pub(super) fn user_messages(&self, key: &str) -> Vec<String> {
        let messages = self.sessions.get(key).map_or(&[][..], |session| &session.messages);
        messages
            .iter()
            .filter(|message| message["role"] == "user")
            .map(|message| match &message["content"] {
                Value::String(text) => text.clone(),
                other => other[0]["text"].as_str().unwrap_or_default().to_owned(),
            })
            .collect()
    }

    /// A pending request; the id stays the same while it waits.
    pub(super) fn request_pairing(&mut self, pending: Pending) -> String {
        let waiting = self
            .pending
            .iter()
            .find(|(_, known)| known.device_id == pending.device_id);
        if let Some((id, _)) = waiting {
            return id.clone();
        }
        let id = Uuid::new_v4().to_string();
        self.pending.insert(id.clone(), pending);
        id
    }

    pub(super) fn approve(&mut self, request_id: &str) -> bool {
        let Some(pending) = self.pending.remove(request_id) else {
            return false;
        };
        let token = format!("device-{}", Uuid::new_v4().simple());
        self.paired.insert(
            pending.device_id,
            Paired {
                token,
                platform: pending.platform,
            },
        );
        true
    }
}

fn agents(config: &Value) -> Vec<(String, Value)> {
    let listed = config.pointer("/agents/list").and_then(Value::as_array);
    let entries = config.pointer("/agents/entries").and_then(Value::as_object);
    let listed = listed
        .into_iter()
        .flatten()
        .map(|entry| (entry["id"].as_str().unwrap_or_default().to_owned(), entry.clone()));
    let entries = entries
        .into_iter()
        .flatten()
        .map(|(id, entry)| (id.clone(), entry.clone()));
    listed.chain(entries).collect()
}
