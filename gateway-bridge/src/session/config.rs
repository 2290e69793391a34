//! The one writer of a gateway's configuration.
//!
//! A patch may restart the gateway and kill running work, older releases lose parallel writes and accept three patches
//! a minute. So: all wishes go through one writer, what is wished at about the same time becomes one patch, nothing is
//! sent when nothing differs, and every write is verified by reading back.

use std::{collections::VecDeque, time::Duration};

use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use tokio::{
    sync::{Mutex as Turn, MutexGuard, oneshot},
    time::{Instant, sleep, timeout, timeout_at},
};

use super::{
    failure::{Failure, Kind, Retry},
    profile::{Profile, Shape},
    supervisor::{Call, Session},
};

/// How long a writer waits for others to join its patch.
const HOT_WINDOW: Duration = Duration::from_millis(150);
/// Longer where each patch is a restart.
const RESTART_WINDOW: Duration = Duration::from_secs(1);
/// How long after a patch an older gateway may take to begin its restart.
const RESTART_BEGINS: Duration = Duration::from_secs(5);
/// Attempts of one patch: conflicts and restarts are normal, but not for ever.
const ATTEMPTS: u32 = 8;
/// Window of the gateway's own rate limit, with a little reserve for clocks.
const RATE_WINDOW: Duration = Duration::from_secs(61);
const READ: Call = Call::repeatable();

/// Heartbeat settings of an agent, in the contract's form: `every` (`10m`; `0m` is off), `target` (`none`, `last` or a
/// channel), `includeReasoning`, … Keys that a release does not take are left out for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heartbeat(Map<String, Value>);

/// Keys that only older releases take.
const ONLY_LIST: &[&str] = &["includeReasoning"];
/// Keys that only newer releases take.
const ONLY_ENTRIES: &[&str] = &["timeoutSeconds", "lightContext", "isolatedSession"];

impl Heartbeat {
    /// Settings from a JSON object; members that are `null` count as absent.
    pub fn new(settings: Map<String, Value>) -> Self {
        Self(settings.into_iter().filter(|(_, value)| !value.is_null()).collect())
    }

    /// An interval, delivered nowhere.
    pub fn every(interval: &str) -> Self {
        Self(Map::from_iter([
            ("every".to_owned(), interval.into()),
            ("target".to_owned(), "none".into()),
        ]))
    }

    /// The settings as this release keeps them.
    fn wire(&self, profile: &Profile) -> Value {
        let foreign = match profile.shape {
            Shape::List => ONLY_ENTRIES,
            Shape::Entries => ONLY_LIST,
        };
        let mut wire: Map<_, _> = self
            .0
            .iter()
            .filter(|(key, _)| !foreign.contains(&key.as_str()))
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect();
        // Without a channel a heartbeat that wants to deliver "last" never runs at all on newer releases.
        let last = wire.get("target").and_then(Value::as_str) == Some("last");
        if profile.shape == Shape::Entries && last && !profile.has_channels {
            wire.insert("target".to_owned(), "none".into());
        }
        Value::Object(wire)
    }
}

/// An agent as the configuration has it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AgentConfig {
    /// Agent id.
    pub id: String,
    /// Display name.
    pub name: Option<String>,
    /// Workspace folder on the gateway host.
    pub workspace: Option<String>,
    /// Heartbeat block as the release keeps it.
    pub heartbeat: Option<Value>,
}

/// The configuration at one moment.
#[derive(Clone)]
pub struct ConfigSnapshot {
    hash: String,
    /// What a user wrote (placeholders for secrets), without defaults.
    parsed: Value,
    /// The same with defaults.
    config: Value,
    shape: Shape,
}

impl std::fmt::Debug for ConfigSnapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConfigSnapshot")
            .field("shape", &self.shape)
            .finish_non_exhaustive()
    }
}

impl ConfigSnapshot {
    pub(super) async fn read(session: &Session, shape: Shape) -> Result<Self, Failure> {
        let mut answer = session.call("config.get", &json!({}), READ).await?;
        let mut take = |key: &str| answer.get_mut(key).map(Value::take).unwrap_or_default();
        let hash = take("hash");
        let hash = hash.as_str().unwrap_or_default().to_owned();
        Ok(Self {
            hash,
            parsed: take("parsed"),
            config: take("config"),
            shape,
        })
    }

    /// All agents of the configuration.
    pub fn agents(&self) -> Vec<AgentConfig> {
        let one = |id: &str, entry: &Value| AgentConfig {
            id: id.to_owned(),
            name: text(entry, "name")
                .or_else(|| entry.pointer("/identity/name").and_then(Value::as_str).map(Into::into)),
            workspace: text(entry, "workspace"),
            heartbeat: entry.get("heartbeat").cloned(),
        };
        match self.shape {
            Shape::List => self
                .list()
                .iter()
                .filter_map(|entry| entry.get("id").and_then(Value::as_str).map(|id| one(id, entry)))
                .collect(),
            Shape::Entries => {
                let entries = self.config.pointer("/agents/entries").and_then(Value::as_object);
                entries
                    .into_iter()
                    .flatten()
                    .map(|(id, entry)| one(id, entry))
                    .collect()
            }
        }
    }

    /// One agent of the configuration.
    pub fn agent(&self, id: &str) -> Option<AgentConfig> {
        self.agents().into_iter().find(|agent| agent.id == id)
    }

    fn list(&self) -> &[Value] {
        let list = |config: &Value| config.pointer("/agents/list").and_then(Value::as_array).is_some();
        let source = if list(&self.parsed) { &self.parsed } else { &self.config };
        source
            .pointer("/agents/list")
            .and_then(Value::as_array)
            .map_or(&[], Vec::as_slice)
    }

    /// The smallest patch that makes the wishes true; `None` when they are.
    fn patch(&self, wishes: &[Wish], profile: &Profile) -> Option<Value> {
        let mut changed: Vec<(&str, Value)> = Vec::new();
        for (index, wish) in wishes.iter().enumerate() {
            // The last wish for an agent counts.
            if wishes[index + 1..].iter().any(|later| later.agent_id == wish.agent_id) {
                continue;
            }
            let Some(agent) = self.agent(&wish.agent_id) else {
                continue;
            };
            let wanted = wish.heartbeat.wire(profile);
            if !contains(agent.heartbeat.as_ref(), &wanted) {
                changed.push((&wish.agent_id, wanted));
            }
        }
        let exec_host = self.shape == Shape::List && self.config.pointer("/tools/exec/host").is_none();
        if changed.is_empty() && !exec_host {
            return None;
        }
        let mut patch = json!({});
        if exec_host {
            // Older releases run commands in a sandbox container unless told otherwise.
            patch["tools"] = json!({"exec": {"host": "gateway"}});
        }
        match self.shape {
            // Arrays are replaced as a whole by some releases and merged by id by others: the whole list fits both.
            Shape::List if !changed.is_empty() => {
                let mut list = self.list().to_vec();
                for entry in &mut list {
                    let wanted = changed
                        .iter()
                        .find(|(id, _)| entry.get("id").and_then(Value::as_str) == Some(id));
                    if let Some((_, wanted)) = wanted {
                        merge(entry, wanted);
                    }
                }
                patch["agents"] = json!({"list": list});
            }
            Shape::List => {}
            Shape::Entries => {
                let entries: Map<_, _> = changed
                    .into_iter()
                    .map(|(id, wanted)| (id.to_owned(), json!({"heartbeat": wanted})))
                    .collect();
                patch["agents"] = json!({"entries": entries});
            }
        }
        Some(patch)
    }
}

fn text(value: &Value, key: &str) -> Option<String> {
    value.get(key).and_then(Value::as_str).map(Into::into)
}

/// Whether every wanted member is there; settings that we do not manage are left alone.
fn contains(actual: Option<&Value>, wanted: &Value) -> bool {
    let (Some(actual), Some(wanted)) = (actual, wanted.as_object()) else {
        return false;
    };
    wanted.iter().all(|(key, value)| actual.get(key) == Some(value))
}

fn merge(entry: &mut Value, wanted: &Value) {
    let mut heartbeat = entry
        .get("heartbeat")
        .cloned()
        .filter(Value::is_object)
        .unwrap_or_else(|| json!({}));
    if let (Some(to), Some(from)) = (heartbeat.as_object_mut(), wanted.as_object()) {
        to.extend(from.clone());
    }
    entry["heartbeat"] = heartbeat;
}

/// A wish for one agent.
#[derive(Clone)]
struct Wish {
    agent_id: String,
    heartbeat: Heartbeat,
}

struct Request {
    wishes: Vec<Wish>,
    done: oneshot::Sender<Result<bool, Failure>>,
}

/// Sent patches of the last minute.
#[derive(Default)]
pub(super) struct Budget {
    sent: VecDeque<Instant>,
}

impl Budget {
    /// When the next patch may be sent.
    fn ready_at(&mut self, per_minute: usize, now: Instant) -> Instant {
        while self.sent.front().is_some_and(|sent| *sent + RATE_WINDOW <= now) {
            self.sent.pop_front();
        }
        match self.sent.len().checked_sub(per_minute) {
            Some(excess) => self.sent[excess] + RATE_WINDOW,
            None => now,
        }
    }
}

/// The writer.
#[derive(Default)]
pub(super) struct ConfigWriter {
    requests: Mutex<Vec<Request>>,
    turn: Turn<Budget>,
}

impl ConfigWriter {
    /// The right to change agents, first come first served. Older releases lose changes that overlap.
    pub(super) async fn turn(&self, until: Instant) -> Result<MutexGuard<'_, Budget>, Failure> {
        timeout_at(until, self.turn.lock()).await.map_err(|_| {
            Failure::new(
                Kind::Deadline,
                "other changes of this gateway's configuration take too long",
            )
        })
    }

    /// Makes heartbeat settings of agents true. Says whether a patch was needed.
    pub(super) async fn set_heartbeats(
        &self,
        session: &Session,
        heartbeats: &[(String, Heartbeat)],
        until: Instant,
    ) -> Result<bool, Failure> {
        let wishes: Vec<_> = heartbeats
            .iter()
            .map(|(agent_id, heartbeat)| Wish {
                agent_id: agent_id.clone(),
                heartbeat: heartbeat.clone(),
            })
            .collect();
        loop {
            let (done, mut outcome) = oneshot::channel();
            self.requests.lock().push(Request {
                wishes: wishes.clone(),
                done,
            });
            let mut turn = tokio::select! {
                outcome = &mut outcome => match outcome {
                    Ok(outcome) => return outcome,
                    // Whoever wrote for us went away in the middle: ask again.
                    Err(_) => continue,
                },
                turn = self.turn(until) => turn?,
            };
            match outcome.try_recv() {
                Ok(outcome) => return outcome,
                Err(oneshot::error::TryRecvError::Closed) => continue,
                Err(oneshot::error::TryRecvError::Empty) => {}
            }
            let profile = session.profile(until.saturating_duration_since(Instant::now())).await?;
            sleep(if profile.hot_config() {
                HOT_WINDOW
            } else {
                RESTART_WINDOW
            })
            .await;
            let batch = std::mem::take(&mut *self.requests.lock());
            write_batch(session, &mut turn, batch, until).await;
            drop(turn);
            if let Ok(outcome) = outcome.try_recv() {
                return outcome;
            }
        }
    }
}

/// Writes a batch and tells everyone. A wish that the gateway refuses does not take the others with it.
async fn write_batch(session: &Session, budget: &mut Budget, batch: Vec<Request>, until: Instant) {
    let wishes: Vec<_> = batch.iter().flat_map(|request| request.wishes.clone()).collect();
    let outcome = apply(session, budget, &wishes, until).await;
    let invalid = matches!(&outcome, Err(failure) if failure.kind == Kind::ConfigInvalid);
    for request in batch {
        let outcome = if invalid && wishes.len() > request.wishes.len() {
            apply(session, budget, &request.wishes, until).await
        } else {
            outcome.clone()
        };
        let _ = request.done.send(outcome);
    }
}

async fn apply(session: &Session, budget: &mut Budget, wishes: &[Wish], until: Instant) -> Result<bool, Failure> {
    let mut written = false;
    let mut last = Failure::new(Kind::ConfigConflict, "the configuration keeps changing under our hands");
    for attempt in 0..ATTEMPTS {
        let left = until.saturating_duration_since(Instant::now());
        let profile = session.profile(left).await?;
        let snapshot = ConfigSnapshot::read(session, profile.shape).await?;
        if let Some(absent) = wishes.iter().find(|wish| snapshot.agent(&wish.agent_id).is_none())
            && attempt == 0
            && wishes.len() == 1
        {
            return Err(Failure::new(
                Kind::AgentNotFound,
                format!("agent \"{}\" is not configured", absent.agent_id),
            ));
        }
        let Some(patch) = snapshot.patch(wishes, &profile) else {
            return Ok(written);
        };
        wait_until(
            budget.ready_at(profile.patches_per_minute(), Instant::now()),
            until,
            &last,
        )
        .await?;
        budget.sent.push_back(Instant::now());
        let params = json!({"raw": patch.to_string(), "baseHash": snapshot.hash});
        let disconnection = session.disconnection();
        match session.call("config.patch", &params, Call::once()).await {
            Ok(_) => {
                written = true;
                if !profile.hot_config() {
                    // It restarts half a second to two seconds later; what we read until then is not yet live.
                    let _ = timeout(RESTART_BEGINS, disconnection).await;
                }
            }
            Err(failure) if failure.kind == Kind::RateLimited => {
                let pause = match failure.retry {
                    Retry::After(pause) => pause,
                    _ => Duration::from_secs(20),
                };
                last = failure;
                wait_until(Instant::now() + pause, until, &last).await?;
            }
            Err(failure) if failure.kind == Kind::ConfigConflict => last = failure,
            // The answer got lost: reading back tells what became of the patch.
            Err(failure) if failure.is_interruption() || failure.kind == Kind::Deadline => {
                written = true;
                last = failure;
                sleep(Duration::from_millis(200)).await;
            }
            Err(failure) => return Err(failure),
        }
    }
    Err(last)
}

/// Waits, unless the moment lies behind the deadline.
async fn wait_until(moment: Instant, until: Instant, why: &Failure) -> Result<(), Failure> {
    if moment > until {
        return Err(why.clone());
    }
    tokio::time::sleep_until(moment).await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::{connect::Hello, profile::Version};

    fn profile(shape: Shape) -> Profile {
        let protocol = if shape == Shape::Entries { 4 } else { 3 };
        let profile = Profile::derive(
            &Hello {
                protocol,
                ..Hello::default()
            },
            None,
        );
        Profile {
            version: Version::parse("2026.9.6"),
            ..profile
        }
    }

    fn snapshot(shape: Shape, agents: &Value) -> ConfigSnapshot {
        let config = json!({"agents": agents, "tools": {"exec": {"host": "gateway"}}});
        ConfigSnapshot {
            hash: "h".into(),
            parsed: config.clone(),
            config,
            shape,
        }
    }

    fn wish(id: &str, every: &str) -> Wish {
        let settings = json!({"every": every, "target": "last", "includeReasoning": false, "model": null});
        let heartbeat = Heartbeat::new(settings.as_object().cloned().unwrap_or_default());
        Wish {
            agent_id: id.into(),
            heartbeat,
        }
    }

    #[test]
    fn entries_get_only_what_differs_in_the_keys_of_the_release() {
        let agents =
            json!({"entries": {"a": {"heartbeat": {"every": "10m", "target": "none", "prompt": "mine"}}, "b": {}}});
        let snapshot = snapshot(Shape::Entries, &agents);
        let wishes = [wish("a", "10m"), wish("b", "5m")];
        assert_eq!(
            snapshot.patch(&wishes, &profile(Shape::Entries)),
            Some(json!({"agents": {"entries": {"b": {"heartbeat": {"every": "5m", "target": "none"}}}}}))
        );
        assert_eq!(snapshot.patch(&wishes[..1], &profile(Shape::Entries)), None);
    }

    #[test]
    fn lists_are_sent_whole_and_keep_what_we_do_not_manage() {
        let agents = json!({"list": [{"id": "main"}, {"id": "a", "agentDir": "/x", "heartbeat": {"every": "1m", "model": "m"}}]});
        let snapshot = snapshot(Shape::List, &agents);
        assert_eq!(
            snapshot.patch(&[wish("a", "10m")], &profile(Shape::List)),
            Some(json!({"agents": {"list": [{"id": "main"}, {"id": "a", "agentDir": "/x",
                "heartbeat": {"every": "10m", "model": "m", "target": "last", "includeReasoning": false}}]}}))
        );
    }

    #[test]
    fn the_last_wish_for_an_agent_wins() {
        let snapshot = snapshot(Shape::Entries, &json!({"entries": {"a": {}}}));
        let patch = snapshot
            .patch(&[wish("a", "1m"), wish("a", "2m")], &profile(Shape::Entries))
            .expect("a patch");
        assert_eq!(patch.pointer("/agents/entries/a/heartbeat/every"), Some(&json!("2m")));
        let done = json!({"entries": {"a": {"heartbeat": {"every": "2m", "target": "none"}}}});
        let snapshot = self::snapshot(Shape::Entries, &done);
        assert_eq!(
            snapshot.patch(&[wish("a", "1m"), wish("a", "2m")], &profile(Shape::Entries)),
            None
        );
    }

    #[test]
    fn older_gateways_are_told_to_run_commands_on_the_host_once() {
        let bare = json!({"agents": {"list": [{"id": "main"}]}});
        let snapshot = ConfigSnapshot {
            hash: "h".into(),
            parsed: bare.clone(),
            config: bare,
            shape: Shape::List,
        };
        assert_eq!(
            snapshot.patch(&[], &profile(Shape::List)),
            Some(json!({"tools": {"exec": {"host": "gateway"}}}))
        );
    }

    #[test]
    fn the_budget_delays_the_fourth_patch_of_a_minute() {
        let mut budget = Budget::default();
        let now = Instant::now();
        for _ in 0..3 {
            assert_eq!(budget.ready_at(3, now), now);
            budget.sent.push_back(now);
        }
        assert_eq!(budget.ready_at(3, now), now + RATE_WINDOW);
        assert_eq!(budget.ready_at(3, now + RATE_WINDOW), now + RATE_WINDOW);
        assert!(budget.sent.is_empty(), "old patches are forgotten");
    }
}
