//! Typed operations on a gateway, idempotent wherever the gateway allows it.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::{
    sync::broadcast,
    time::{Instant, sleep},
};

use super::{
    config::{ConfigSnapshot, ConfigWriter, Heartbeat},
    connect::Target,
    failure::{Failure, Kind, Retry},
    files::member,
    frame::Event,
    profile::{Profile, Shape},
    supervisor::{Call, Session, SessionEvent, SessionOptions},
};

/// How long a change of agents may take to become visible, a restart included.
const VISIBLE_WITHIN: Duration = Duration::from_secs(40);
/// How long a new agent may take to become known to `chat.send`.
const CHAT_KNOWS_WITHIN: Duration = Duration::from_secs(15);
/// Longest session label of older releases, in characters.
const LABEL_LIMIT: usize = 64;
/// How texts of failed runs begin on releases that report them as a normal final message.
const FAILED_RUN: &str = "⚠️ Agent failed before reply";
/// Longer than the reload of an older release takes (0.6 s measured).
const UNSEEN_RELOAD: Duration = Duration::from_millis(1500);
const PAUSE: Duration = Duration::from_millis(100);

/// A gateway: its session and its one configuration writer. Clones share both.
#[derive(Clone)]
pub struct Gateway {
    session: Session,
    writer: Arc<ConfigWriter>,
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Gateway").field(&self.session).finish()
    }
}

/// An agent as it should be.
#[derive(Clone, Debug)]
pub struct AgentSpec {
    /// Agent id; must be its own slug (`a-z`, `0-9`, `-`).
    pub id: String,
    /// Display name.
    pub name: String,
    /// Workspace folder on the gateway host.
    pub workspace: String,
    /// Heartbeat settings; `None` leaves them alone.
    pub heartbeat: Option<Heartbeat>,
}

/// What [`Gateway::ensure_agent`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EnsureOutcome {
    /// The agent did not exist.
    pub created: bool,
    /// Name or workspace differed.
    pub updated: bool,
    /// Heartbeat settings differed.
    pub heartbeat_changed: bool,
}

/// An agent as listed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct AgentSummary {
    /// Agent id.
    pub id: String,
    /// Display name.
    #[serde(default)]
    pub name: Option<String>,
}

/// A session as listed.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionInfo {
    /// Session key, for example `agent:<id>:main`.
    pub key: String,
    /// Label.
    #[serde(default)]
    pub label: Option<String>,
    /// Name derived by the gateway.
    #[serde(default)]
    pub display_name: Option<String>,
    /// Last change, Unix time in milliseconds.
    #[serde(default)]
    pub updated_at: Option<f64>,
    /// Session id.
    #[serde(default)]
    pub session_id: Option<String>,
    /// Model.
    #[serde(default)]
    pub model: Option<String>,
    /// Tokens used.
    #[serde(default)]
    pub total_tokens: Option<f64>,
    /// Everything else, as the release gives it.
    #[serde(flatten)]
    pub other: serde_json::Map<String, Value>,
}

/// A message of a session's history.
#[derive(Clone, Debug, PartialEq)]
pub struct ChatMessage {
    /// `user`, `assistant`, `toolResult`, `system`, `custom`.
    pub role: String,
    /// Joined text parts.
    pub text: String,
    /// Unix time in milliseconds.
    pub timestamp_ms: Option<f64>,
    /// The message as the release gives it.
    pub raw: Value,
}

/// Answer to `chat.send`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChatReceipt {
    /// The run; equals the idempotency key.
    pub run_id: String,
    /// `started`, `in_flight`, `ok`, `error`.
    pub status: String,
}

/// State of a run in a `chat` event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChatState {
    /// Running, or a part of the answer.
    Running,
    /// Answered.
    Final,
    /// Stopped by somebody.
    Aborted,
    /// Failed, with the gateway's words.
    Failed(String),
}

/// A `chat` event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChatUpdate {
    /// The run.
    pub run_id: String,
    /// Session key.
    pub session_key: String,
    /// State.
    pub state: ChatState,
    /// Text so far; absent for silent answers.
    pub text: Option<String>,
}

impl ChatUpdate {
    /// Reads a `chat` event; `None` for every other event.
    pub fn read(event: &Event) -> Option<Self> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Payload {
            run_id: String,
            session_key: String,
            state: String,
            #[serde(default)]
            message: Value,
            #[serde(default)]
            error_message: Option<String>,
        }
        if event.name != "chat" {
            return None;
        }
        let payload: Payload = event.parse()?;
        let text = payload
            .message
            .get("content")
            .map(text_of)
            .filter(|text| !text.is_empty());
        let state = match payload.state.as_str() {
            // Older releases report a failed run as a normal final message.
            "final" => match &text {
                Some(text) if text.starts_with(FAILED_RUN) => ChatState::Failed(text.clone()),
                _ => ChatState::Final,
            },
            "aborted" => ChatState::Aborted,
            "error" => ChatState::Failed(payload.error_message.or_else(|| text.clone()).unwrap_or_default()),
            _ => ChatState::Running,
        };
        Some(Self {
            run_id: payload.run_id,
            session_key: payload.session_key,
            state,
            text,
        })
    }
}

/// Text of a message content: a string, or a list of parts.
fn text_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            let texts: Vec<_> = parts
                .iter()
                .filter_map(|part| part.get("text").and_then(Value::as_str))
                .collect();
            texts.join("\n")
        }
        _ => String::new(),
    }
}

impl Gateway {
    /// Starts a session.
    pub fn start(target: Target, options: SessionOptions) -> Self {
        Self {
            session: Session::start(target, options),
            writer: Arc::default(),
        }
    }

    /// The session, for its state, its events and calls without a typed form.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// The profile of the connected gateway.
    pub async fn profile(&self) -> Result<Profile, Failure> {
        self.session.profile(Call::repeatable().deadline).await
    }

    pub(super) async fn read(&self, method: &str, params: Value) -> Result<Value, Failure> {
        self.session.call(method, &params, Call::repeatable()).await
    }

    /// The configuration now.
    pub async fn snapshot(&self) -> Result<ConfigSnapshot, Failure> {
        ConfigSnapshot::read(&self.session, self.profile().await?.shape).await
    }

    /// Agents that exist.
    pub async fn list_agents(&self) -> Result<Vec<AgentSummary>, Failure> {
        member(self.read("agents.list", json!({})).await?, "agents", "agents.list")
    }

    /// Makes an agent be as specified: creates or adopts it, and sends nothing when nothing differs. May wait for other
    /// changes of the same gateway and for its rate limit, up to the deadline.
    pub async fn ensure_agent(&self, spec: &AgentSpec, deadline: Duration) -> Result<EnsureOutcome, Failure> {
        let until = Instant::now() + deadline;
        let mut outcome = EnsureOutcome::default();
        let agent = self.snapshot().await?.agent(&spec.id);
        let matches = |name: Option<&str>, workspace: Option<&str>| {
            name == Some(&spec.name) && workspace == Some(&spec.workspace)
        };
        if !agent
            .as_ref()
            .is_some_and(|a| matches(a.name.as_deref(), a.workspace.as_deref()))
        {
            (outcome.created, outcome.updated) = self.write_agent(spec, until).await?;
        }
        if let Some(heartbeat) = &spec.heartbeat {
            let wish = [(spec.id.clone(), heartbeat.clone())];
            outcome.heartbeat_changed = self.writer.set_heartbeats(&self.session, &wish, until).await?;
        }
        Ok(outcome)
    }

    /// Makes heartbeat settings of agents true, joined with what others ask for at about the same time. Says whether the
    /// configuration had to change.
    pub async fn set_heartbeats(
        &self,
        heartbeats: &[(String, Heartbeat)],
        deadline: Duration,
    ) -> Result<bool, Failure> {
        if heartbeats.is_empty() {
            return Ok(false);
        }
        self.writer
            .set_heartbeats(&self.session, heartbeats, Instant::now() + deadline)
            .await
    }

    /// Creates and names an agent. On older releases one change at a time, each awaited until it can be seen: they lose
    /// changes that overlap and report success all the same.
    async fn write_agent(&self, spec: &AgentSpec, until: Instant) -> Result<(bool, bool), Failure> {
        let shape = self.profile().await?.shape;
        let _turn = match shape {
            Shape::List => Some(self.writer.turn(until).await?),
            Shape::Entries => None,
        };
        let mut created = false;
        // A change that overlapped with somebody else's (a person's) may still get lost: look and repeat.
        for _ in 0..4 {
            if self.snapshot().await?.agent(&spec.id).is_some() {
                break;
            }
            created |= self.create_agent(spec).await?;
            if self.await_agent(&spec.id, true).await? {
                break;
            }
        }
        let Some(agent) = self.snapshot().await?.agent(&spec.id) else {
            let text = format!("the gateway accepted agent \"{}\" but does not show it", spec.id);
            return Err(Failure::new(Kind::AgentNotFound, text));
        };
        let same = agent.name.as_deref() == Some(&spec.name) && agent.workspace.as_deref() == Some(&spec.workspace);
        if !same {
            self.update_agent(spec).await?;
            if shape == Shape::List && agent.name.as_deref() == Some(&spec.name) {
                // Lists show no workspace, so its reload cannot be seen.
                sleep(UNSEEN_RELOAD).await;
            }
        }
        Ok((created, !same && !created))
    }

    async fn create_agent(&self, spec: &AgentSpec) -> Result<bool, Failure> {
        let params = json!({"name": spec.id, "workspace": spec.workspace});
        match self.session.call("agents.create", &params, Call::once()).await {
            Ok(answer) => match answer.get("agentId").and_then(Value::as_str) {
                Some(id) if id != spec.id => Err(Failure::new(
                    Kind::Refused,
                    format!("the gateway turned agent id \"{}\" into \"{id}\"", spec.id),
                )),
                _ => Ok(true),
            },
            Err(failure) if failure.kind == Kind::AgentExists => Ok(false),
            // The answer got lost with the connection: looking again tells.
            Err(failure) if failure.is_interruption() => Ok(true),
            Err(failure) => Err(failure),
        }
    }

    async fn update_agent(&self, spec: &AgentSpec) -> Result<(), Failure> {
        let params = json!({"agentId": spec.id, "name": spec.name, "workspace": spec.workspace});
        let until = Instant::now() + VISIBLE_WITHIN;
        loop {
            match self.session.call("agents.update", &params, Call::repeatable()).await {
                Ok(_) => break,
                // Not yet reloaded after create.
                Err(failure) if failure.kind == Kind::AgentNotFound && Instant::now() < until => sleep(PAUSE).await,
                Err(failure) => return Err(failure),
            }
        }
        // Stored is not yet in force: on older releases the next change would start from the old state and undo this one.
        while Instant::now() < until {
            let listed = self.list_agents().await?.into_iter().find(|agent| agent.id == spec.id);
            if listed.is_some_and(|agent| agent.name.as_deref() == Some(&spec.name)) {
                return Ok(());
            }
            sleep(PAUSE).await;
        }
        Err(Failure::new(
            Kind::Deadline,
            format!("agent \"{}\" does not take its new name", spec.id),
        ))
    }

    /// Waits until an agent is (or is no longer) visible. Says whether it came to be.
    async fn await_agent(&self, id: &str, present: bool) -> Result<bool, Failure> {
        let until = Instant::now() + VISIBLE_WITHIN;
        // Older releases answer before they have reloaded, and a change that got lost never shows.
        let patience = Instant::now() + Duration::from_secs(6);
        loop {
            let seen = self.list_agents().await?.iter().any(|agent| agent.id == id);
            if seen == present {
                return Ok(true);
            }
            let configured = self.snapshot().await?.agent(id).is_some() == present;
            if Instant::now() >= if configured { until } else { patience } {
                return Ok(false);
            }
            sleep(PAUSE).await;
        }
    }

    /// Deletes an agent and its files. Says whether there was one.
    pub async fn delete_agent(&self, id: &str, deadline: Duration) -> Result<bool, Failure> {
        let until = Instant::now() + deadline;
        let shape = self.profile().await?.shape;
        let _turn = match shape {
            Shape::List => Some(self.writer.turn(until).await?),
            Shape::Entries => None,
        };
        let params = json!({"agentId": id, "deleteFiles": true});
        let deleted = match self
            .session
            .call("agents.delete", &params, Call::repeatable().within(VISIBLE_WITHIN))
            .await
        {
            Ok(_) => true,
            Err(failure) if failure.kind == Kind::AgentNotFound => false,
            Err(failure) => return Err(failure),
        };
        if shape == Shape::List {
            if deleted && !self.await_agent(id, false).await? {
                return Err(Failure::new(
                    Kind::Unavailable,
                    format!("agent \"{id}\" is still there after its deletion"),
                ));
            }
            // Newer releases remove the sessions with the agent, and refuse to delete a main session.
            self.delete_session(&format!("agent:{id}:main")).await?;
        }
        Ok(deleted)
    }

    /// All sessions.
    pub async fn list_sessions(&self) -> Result<Vec<SessionInfo>, Failure> {
        let mut sessions = Vec::new();
        let mut params = json!({});
        // Newer releases give pages of 100; a bound in case one never ends.
        for _ in 0..100 {
            let answer = self.read("sessions.list", params).await?;
            let next = answer.get("nextOffset").and_then(Value::as_u64);
            let more = answer.get("hasMore").and_then(Value::as_bool).unwrap_or(false);
            let page: Vec<SessionInfo> = member(answer, "sessions", "sessions.list")?;
            sessions.extend(page);
            match next {
                Some(next) if more => params = json!({"offset": next}),
                _ => break,
            }
        }
        Ok(sessions)
    }

    /// Labels a session, which creates it if it does not exist.
    pub async fn label_session(&self, key: &str, label: &str) -> Result<(), Failure> {
        let label: String = label.chars().take(LABEL_LIMIT).collect();
        self.read("sessions.patch", json!({"key": key, "label": label}))
            .await
            .map(drop)
    }

    /// Empties a session.
    pub async fn reset_session(&self, key: &str) -> Result<(), Failure> {
        self.read("sessions.reset", json!({"key": key})).await.map(drop)
    }

    /// Deletes a session. Says whether there was one; a main session that the release keeps counts as none.
    pub async fn delete_session(&self, key: &str) -> Result<bool, Failure> {
        match self.read("sessions.delete", json!({"key": key})).await {
            Ok(answer) => Ok(answer.get("deleted").and_then(Value::as_bool).unwrap_or(true)),
            Err(failure) if failure.kind == Kind::MainSession => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    /// Sends a message. The same idempotency key runs once, however often this is called.
    pub async fn chat_send(
        &self,
        session_key: &str,
        message: &str,
        idempotency_key: &str,
        deliver: bool,
    ) -> Result<ChatReceipt, Failure> {
        let until = Instant::now() + CHAT_KNOWS_WITHIN;
        self.chat(session_key, message, idempotency_key, deliver, until).await
    }

    /// Sends a message to an agent that has been there for a while, for somebody who waits; its answer stays in the session.
    pub async fn chat_now(
        &self,
        session_key: &str,
        message: &str,
        idempotency_key: &str,
    ) -> Result<ChatReceipt, Failure> {
        self.chat(session_key, message, idempotency_key, false, Instant::now())
            .await
    }

    /// Sends a message; an agent that chat does not know may become known until then.
    async fn chat(
        &self,
        session_key: &str,
        message: &str,
        idempotency_key: &str,
        deliver: bool,
        until: Instant,
    ) -> Result<ChatReceipt, Failure> {
        let params = json!({
            "sessionKey": session_key,
            "message": message,
            "idempotencyKey": idempotency_key,
            "deliver": deliver,
        });
        let receipt = |status: &str| ChatReceipt {
            run_id: idempotency_key.to_owned(),
            status: status.to_owned(),
        };
        loop {
            let failure = match self.session.call("chat.send", &params, Call::repeatable()).await {
                Ok(answer) => {
                    return Ok(receipt(
                        answer.get("status").and_then(Value::as_str).unwrap_or("started"),
                    ));
                }
                Err(failure) => failure,
            };
            match failure.kind {
                // Agents are known to chat only some time after their creation.
                Kind::AgentNotConfigured if Instant::now() < until => sleep(PAUSE * 4).await,
                // The answer to a repetition: the first one ran, and failed.
                Kind::Unavailable if failure.message.starts_with(FAILED_RUN) => return Ok(receipt("error")),
                _ => return Err(failure),
            }
        }
    }

    /// The newest messages of a session, oldest first. An unknown session has none.
    pub async fn chat_history(&self, session_key: &str, limit: u32) -> Result<Vec<ChatMessage>, Failure> {
        let params = json!({"sessionKey": session_key, "limit": limit.clamp(1, 1000)});
        let messages: Vec<Value> = member(self.read("chat.history", params).await?, "messages", "chat.history")?;
        let message = |raw: Value| ChatMessage {
            role: raw.get("role").and_then(Value::as_str).unwrap_or_default().to_owned(),
            text: raw.get("content").map(text_of).unwrap_or_default(),
            timestamp_ms: raw.get("timestamp").and_then(Value::as_f64),
            raw,
        };
        Ok(messages.into_iter().map(message).collect())
    }

    /// Approves a device that waits for pairing.
    pub async fn approve_device(&self, request_id: &str) -> Result<(), Failure> {
        self.session
            .call("device.pair.approve", &json!({"requestId": request_id}), Call::once())
            .await
            .map(drop)
    }

    /// Whether the gateway answers.
    pub async fn health(&self) -> Result<Value, Failure> {
        self.read("health", json!({})).await
    }

    /// Waits for the end of a run. Subscribe with [`Session::events`] before sending, so that no event is missed.
    pub async fn await_run(
        &self,
        events: &mut broadcast::Receiver<SessionEvent>,
        run_id: &str,
        deadline: Duration,
    ) -> Result<ChatUpdate, Failure> {
        let finished = async {
            loop {
                match events.recv().await {
                    Ok(SessionEvent::Event(event)) => match ChatUpdate::read(&event) {
                        Some(update) if update.run_id == run_id && update.state != ChatState::Running => {
                            return Ok(update);
                        }
                        _ => {}
                    },
                    Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => {
                        return Err(Failure::new(Kind::Stopped, "the session was stopped"));
                    }
                }
            }
        };
        match tokio::time::timeout(deadline, finished).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Failure {
                retry: Retry::Never,
                ..Failure::new(Kind::Deadline, format!("run {run_id} did not end in time"))
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;

    fn chat(payload: &Value) -> Option<ChatUpdate> {
        let payload = RawValue::from_string(payload.to_string()).expect("json");
        ChatUpdate::read(&Event {
            name: "chat".into(),
            payload: Some(payload),
            seq: None,
        })
    }

    #[test]
    fn final_messages_of_older_releases_may_be_failures() {
        let message = |text: &str| {
            json!({"runId": "r", "sessionKey": "k", "state": "final", "seq": 1,
            "message": {"role": "assistant", "content": [{"type": "text", "text": text}]}})
        };
        let failed = chat(&message("⚠️ Agent failed before reply: No API key found")).expect("an update");
        assert!(matches!(failed.state, ChatState::Failed(_)));
        let fine = chat(&message("Hello")).expect("an update");
        assert_eq!((fine.state, fine.text.as_deref()), (ChatState::Final, Some("Hello")));
    }

    #[test]
    fn silent_answers_have_no_text() {
        let update = chat(&json!({"runId": "r", "sessionKey": "k", "state": "final"})).expect("an update");
        assert_eq!((update.state, update.text), (ChatState::Final, None));
    }
}
