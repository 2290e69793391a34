//! Rows of `agent.agents` and how they are answered.

use chassis::timestamp;
use proto::agent::v1::{Agent, AgentCondition, AgentProvisioning};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::rules::{self, Seat};

/// An agent without its credential.
#[derive(Clone)]
pub struct AgentRow {
    pub id: Uuid,
    pub organization_id: Uuid,
    pub gateway_id: Uuid,
    pub board_id: Option<Uuid>,
    pub name: String,
    pub status: String,
    pub shown_status: String,
    pub is_board_lead: bool,
    pub heartbeat_config: Option<Value>,
    pub heartbeat_seconds: i32,
    pub identity_profile: Option<Value>,
    pub identity_template: Option<String>,
    pub soul_template: Option<String>,
    pub session_key: String,
    pub last_seen_at: Option<OffsetDateTime>,
    pub desired_generation: i64,
    pub observed_generation: i64,
    pub wishes: Value,
    pub conditions: Value,
    pub applied_digest: Option<String>,
    pub next_attempt_at: Option<OffsetDateTime>,
    pub attempts: i32,
    pub last_failure: Option<String>,
    pub wake_attempts: i32,
    pub last_wake_at: Option<OffsetDateTime>,
    pub deleting_at: Option<OffsetDateTime>,
    pub created_at: OffsetDateTime,
    pub updated_at: OffsetDateTime,
}

/// A checked query for [`AgentRow`]s: `agents!("<before the columns>", "<after them>", arguments...)`. The table's alias is `a`.
macro_rules! agents {
    ($before:tt, $after:tt $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            $crate::row::AgentRow,
            $before
                + " a.id, a.organization_id, a.gateway_id, a.board_id, a.name, a.status, a.shown_status, a.is_board_lead, \
                   a.heartbeat_config, a.heartbeat_seconds, a.identity_profile, a.identity_template, a.soul_template, a.session_key, \
                   a.last_seen_at, a.desired_generation, a.observed_generation, a.wishes, a.conditions, a.applied_digest, \
                   a.next_attempt_at, a.attempts, a.last_failure, a.wake_attempts, a.last_wake_at, a.deleting_at, a.created_at, a.updated_at "
                + $after
            $(, $argument)*
        )
    };
}
pub(crate) use agents;

/// What the next pass of the reconciler does beyond writing what differs.
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent wishes, each with its own column of a small JSON object"
)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Wishes {
    /// Greet the agent when its files are there.
    pub wake: bool,
    /// Start its session afresh first.
    pub reset_session: bool,
    /// Write everything, also what the agent keeps itself.
    pub overwrite: bool,
    /// Write BOOTSTRAP.md again.
    pub bootstrap: bool,
    /// Make sure that the gateway still has the agent, although nothing changed here.
    pub verify: bool,
    /// Look at every file and write what differs, although nothing changed here.
    pub refresh: bool,
}

impl Wishes {
    /// As stored: only what is wished for, so that several writers' wishes can be merged.
    pub fn json(self) -> Value {
        let mut json = serde_json::to_value(self).unwrap_or_default();
        if let Some(object) = json.as_object_mut() {
            object.retain(|_, wish| wish.as_bool() == Some(true));
        }
        json
    }
}

/// One condition as stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// Which.
    pub kind: String,
    /// `true`, `false` or `unknown`.
    pub status: String,
    /// One stable word.
    pub reason: String,
    /// What happened and what to do about it.
    pub message: String,
    /// Since when the status holds.
    #[serde(with = "time::serde::rfc3339")]
    pub since: OffsetDateTime,
}

/// Conditions in the order they are reached.
pub const CONDITIONS: [&str; 6] = [
    "GatewayConnected",
    "Created",
    "HeartbeatConfigured",
    "FilesWritten",
    "Woken",
    "CheckedIn",
];

/// Sets a condition; its time only moves when the status does.
pub fn set_condition(
    conditions: &mut Vec<Condition>,
    kind: &str,
    status: &str,
    reason: &str,
    message: &str,
    now: OffsetDateTime,
) {
    let condition = Condition {
        kind: kind.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        since: now,
    };
    match conditions.iter_mut().find(|known| known.kind == kind) {
        Some(known) => {
            let since = if known.status == status { known.since } else { now };
            *known = Condition { since, ..condition };
        }
        None => conditions.push(condition),
    }
    let rank = |condition: &Condition| CONDITIONS.iter().position(|kind| *kind == condition.kind);
    conditions.sort_by_key(rank);
}

impl AgentRow {
    /// What it is on its gateway.
    pub fn seat(&self) -> Seat {
        Seat::of(self.id, self.gateway_id, self.board_id, self.is_board_lead)
    }

    /// The status shown now.
    pub fn shown(&self, now: OffsetDateTime) -> String {
        rules::shown_status(&self.status, self.last_seen_at, self.heartbeat_seconds, now)
    }

    /// Wishes for the next pass.
    pub fn wishes(&self) -> Wishes {
        serde_json::from_value(self.wishes.clone()).unwrap_or_default()
    }

    /// Conditions as stored.
    pub fn conditions(&self) -> Vec<Condition> {
        serde_json::from_value(self.conditions.clone()).unwrap_or_default()
    }

    /// Tells whether something that can be edited is as it was.
    pub fn etag(&self) -> String {
        let seen = serde_json::json!([
            self.name,
            self.board_id,
            self.heartbeat_config,
            self.identity_profile,
            self.identity_template,
            self.soul_template
        ]);
        let digest: [u8; 32] = Sha256::digest(seen.to_string().as_bytes()).into();
        hex::encode(&digest[..8])
    }

    /// As it is answered, with the status shown now.
    pub fn to_proto(&self) -> Agent {
        let now = OffsetDateTime::now_utc();
        let status = self.shown(now);
        let conditions = self.provisioning().conditions;
        let json = |value: &Option<Value>| value.as_ref().map(|value| value.to_string().into_bytes());
        Agent {
            board_id: self.board_id.map(|id| id.to_string()),
            name: self.name.clone(),
            status_reason: Some(rules::status_reason(
                &status,
                self.last_seen_at,
                self.heartbeat_seconds,
                conditions
                    .iter()
                    .find(|condition| condition.status == "false")
                    .map(|condition| condition.message.as_str()),
            )),
            condition: conditions.into_iter().find(|condition| condition.status != "true"),
            offline_at: self
                .last_seen_at
                .map(|seen| seen + rules::patience(self.heartbeat_seconds))
                .filter(|at| *at > now)
                .map(timestamp),
            status,
            heartbeat_config: json(&self.heartbeat_config),
            identity_profile: json(&self.identity_profile),
            identity_template: self.identity_template.clone(),
            soul_template: self.soul_template.clone(),
            id: self.id.to_string(),
            gateway_id: self.gateway_id.to_string(),
            is_board_lead: self.is_board_lead,
            is_gateway_main: self.board_id.is_none(),
            openclaw_session_id: Some(self.session_key.clone()),
            last_seen_at: self.last_seen_at.map(timestamp),
            created_at: Some(timestamp(self.created_at)),
            updated_at: Some(timestamp(self.updated_at)),
            etag: self.etag(),
        }
    }

    /// How far provisioning has come. `CheckedIn` follows from presence, so that it is true the moment the agent calls.
    pub fn provisioning(&self) -> AgentProvisioning {
        let mut conditions = self.conditions();
        if let (Some(woken), Some(seen)) = (self.last_wake_at, self.last_seen_at)
            && rules::answered(woken, Some(seen))
            && self.observed_generation > 0
        {
            set_condition(&mut conditions, "CheckedIn", "true", "Seen", "The agent calls.", seen);
        }
        AgentProvisioning {
            agent_id: self.id.to_string(),
            desired_generation: self.desired_generation,
            observed_generation: self.observed_generation,
            conditions: conditions
                .into_iter()
                .map(|condition| AgentCondition {
                    r#type: condition.kind,
                    status: condition.status,
                    reason: condition.reason,
                    message: condition.message,
                    since: Some(timestamp(condition.since)),
                })
                .collect(),
            next_attempt_at: self.next_attempt_at.map(timestamp),
            attempts: self.attempts,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_keep_their_order_and_their_time() {
        let (early, late) = (
            OffsetDateTime::UNIX_EPOCH,
            OffsetDateTime::UNIX_EPOCH + time::Duration::HOUR,
        );
        let mut conditions = Vec::new();
        set_condition(&mut conditions, "Created", "true", "Created", "", early);
        set_condition(
            &mut conditions,
            "GatewayConnected",
            "false",
            "Unreachable",
            "refused",
            early,
        );
        set_condition(
            &mut conditions,
            "GatewayConnected",
            "false",
            "PairingRequired",
            "approve it",
            late,
        );
        set_condition(&mut conditions, "Created", "unknown", "Checking", "", late);
        let seen: Vec<_> = conditions
            .iter()
            .map(|c| (c.kind.as_str(), c.reason.as_str(), c.since))
            .collect();
        assert_eq!(
            seen,
            [
                ("GatewayConnected", "PairingRequired", early),
                ("Created", "Checking", late)
            ]
        );
    }

    #[test]
    fn wishes_survive_storage_and_unknown_keys() {
        let wishes = Wishes {
            wake: true,
            bootstrap: true,
            ..Wishes::default()
        };
        assert_eq!(
            wishes.json(),
            serde_json::json!({"wake": true, "bootstrap": true}),
            "nothing that could undo another's wish"
        );
        assert_eq!(serde_json::from_value::<Wishes>(wishes.json()).expect("reads"), wishes);
        let sparse: Wishes = serde_json::from_value(serde_json::json!({"verify": true, "other": 1})).expect("reads");
        assert_eq!(
            sparse,
            Wishes {
                verify: true,
                ..Wishes::default()
            }
        );
    }
}
