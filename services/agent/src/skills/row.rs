//! Packs and skills as stored.

use chassis::{Change, Error, Result, timestamp};
use proto::agent::v1::{MarketplaceSkill, PackSync, PackSyncState, SkillPack};
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

/// A pack, with the number of its skills.
#[derive(Clone)]
pub struct PackRow {
    pub id: Uuid,
    pub organization_id: Uuid,
    pub name: String,
    pub description: Option<String>,
    pub source_url: String,
    pub branch: String,
    pub metadata: Value,
    pub created_at: OffsetDateTime,
    pub updated_at: OffsetDateTime,
    pub sync_state: String,
    pub sync_error: Option<String>,
    pub sync_warnings: Vec<String>,
    pub sync_commit: Option<String>,
    pub sync_found: i32,
    pub sync_created: i32,
    pub sync_updated: i32,
    pub sync_requested_at: Option<OffsetDateTime>,
    pub sync_finished_at: Option<OffsetDateTime>,
    pub skill_count: i64,
}

/// Packs, with the number of their skills.
macro_rules! select_packs {
    ($tail:tt $(, $argument:expr)*) => {
        sqlx::query_as!(
            crate::skills::row::PackRow,
            "SELECT p.id, p.organization_id, p.name, p.description, p.source_url, p.branch, p.metadata, p.created_at, p.updated_at, \
                 p.sync_state, p.sync_error, p.sync_warnings, p.sync_commit, p.sync_found, p.sync_created, p.sync_updated, \
                 p.sync_requested_at, p.sync_finished_at, \
                 (SELECT count(*) FROM agent.skills s WHERE s.organization_id = p.organization_id AND s.repository = p.source_url) AS \"skill_count!\" \
             FROM agent.skill_packs p " + $tail
            $(, $argument)*
        )
    };
}
pub(super) use select_packs;

impl PackRow {
    /// The pack in the contract's form.
    pub fn message(&self) -> SkillPack {
        let state = match self.sync_state.as_str() {
            "queued" => PackSyncState::Queued,
            "running" => PackSyncState::Running,
            "succeeded" => PackSyncState::Succeeded,
            "failed" => PackSyncState::Failed,
            _ => PackSyncState::Never,
        };
        SkillPack {
            id: self.id.to_string(),
            organization_id: self.organization_id.to_string(),
            name: self.name.clone(),
            description: self.description.clone(),
            source_url: self.source_url.clone(),
            branch: self.branch.clone(),
            metadata: self.metadata.to_string().into_bytes(),
            skill_count: i32::try_from(self.skill_count).unwrap_or(i32::MAX),
            created_at: Some(timestamp(self.created_at)),
            updated_at: Some(timestamp(self.updated_at)),
            sync: Some(PackSync {
                state: state.into(),
                error: self.sync_error.clone(),
                warnings: self.sync_warnings.clone(),
                commit: self.sync_commit.clone(),
                requested_at: self.sync_requested_at.map(timestamp),
                finished_at: self.sync_finished_at.map(timestamp),
            }),
        }
    }

    /// A change of the pack: what happened to it, and in which words.
    pub fn change(&self, kind: &str, done: &str) -> Change {
        Change::new(kind, self.organization_id).message(format!("Skill pack {done}: {}.", self.name))
    }
}

/// A skill of the marketplace.
#[derive(Clone)]
pub struct SkillRow {
    pub id: Uuid,
    pub organization_id: Uuid,
    pub name: String,
    pub description: Option<String>,
    pub category: Option<String>,
    pub risk: Option<String>,
    pub source_url: String,
    pub metadata: Value,
    pub created_at: OffsetDateTime,
    pub updated_at: OffsetDateTime,
}

impl SkillRow {
    /// The skill in the contract's form.
    pub fn message(&self) -> MarketplaceSkill {
        MarketplaceSkill {
            id: self.id.to_string(),
            organization_id: self.organization_id.to_string(),
            name: self.name.clone(),
            description: self.description.clone(),
            category: self.category.clone(),
            risk: self.risk.clone(),
            source: Some(self.source_url.clone()),
            source_url: self.source_url.clone(),
            metadata: self.metadata.to_string().into_bytes(),
            created_at: Some(timestamp(self.created_at)),
            updated_at: Some(timestamp(self.updated_at)),
        }
    }

    /// A change of the skill: what happened to it, and in which words.
    pub fn change(&self, kind: &str, done: &str) -> Change {
        Change::new(kind, self.organization_id).message(format!("Skill {done}: {}.", self.name))
    }
}

/// Free-form JSON of a request; an empty object when there is none.
pub fn object(field: &str, bytes: Option<&[u8]>) -> Result<Value> {
    match bytes.map(serde_json::from_slice) {
        None => Ok(Value::Object(serde_json::Map::new())),
        Some(Ok(value @ Value::Object(_))) => Ok(value),
        Some(_) => Err(Error::invalid(field, format!("{field} must be a JSON object."))),
    }
}
