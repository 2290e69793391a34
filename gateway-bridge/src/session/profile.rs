//! What one gateway is like: how its release keeps agents, files and heartbeats.

use std::fmt;

use serde_json::Value;

use super::connect::Hello;

/// Frames up to this size mark the oldest supported release line, which restarts on every agent change.
const FLOOR_MAX_PAYLOAD: usize = 512 * 1024;

/// A release number, read leniently: `2026.02.9`, `v2026.9.6-beta.1`, `dev`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Version {
    raw: String,
    parts: Vec<u32>,
}

impl Version {
    /// Reads any text; text without a leading number simply compares to nothing.
    pub fn parse(text: &str) -> Self {
        let raw = text.trim().to_owned();
        let digits = raw.trim_start_matches(['v', 'V']);
        let end = digits
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(digits.len());
        let parts = digits[..end].split('.').map_while(|part| part.parse().ok()).collect();
        Self { raw, parts }
    }

    /// The text as the gateway gave it.
    pub fn as_str(&self) -> &str {
        &self.raw
    }

    /// Whether a number could be read.
    pub fn is_known(&self) -> bool {
        !self.parts.is_empty()
    }

    /// Whether this is `minimum` or later; `None` when either text holds no number. Never a reason to refuse a gateway.
    pub fn at_least(&self, minimum: &Self) -> Option<bool> {
        (self.is_known() && minimum.is_known()).then(|| {
            let length = self.parts.len().max(minimum.parts.len());
            let padded = |v: &Self| {
                (0..length)
                    .map(|i| v.parts.get(i).copied().unwrap_or(0))
                    .collect::<Vec<_>>()
            };
            padded(self) >= padded(minimum)
        })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.raw)
    }
}

/// How the configuration keeps agents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `agents.list`, an array of objects with `id`; every patch restarts the gateway, parallel writes get lost.
    List,
    /// `agents.entries`, a map by id; most patches are applied live.
    Entries,
}

/// The profile of one gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Negotiated protocol, 3 or 4.
    pub protocol: u32,
    /// Release, from hello or (when that says `dev`) from the configuration.
    pub version: Version,
    /// Where agents live in the configuration.
    pub shape: Shape,
    /// Whether any channel is configured; without one a heartbeat must not be delivered anywhere.
    pub has_channels: bool,
    /// Whether even `agents.create` restarts the gateway.
    pub restarts_on_agent_change: bool,
}

/// Files that a release with [`Shape::Entries`] takes by name.
const ENTRIES_FILES: &[&str] = &[
    "AGENTS.md",
    "SOUL.md",
    "IDENTITY.md",
    "USER.md",
    "BOOTSTRAP.md",
    "MEMORY.md",
];
/// Files that a release with [`Shape::List`] takes by name.
const LIST_FILES: &[&str] = &[
    "AGENTS.md",
    "SOUL.md",
    "TOOLS.md",
    "IDENTITY.md",
    "USER.md",
    "HEARTBEAT.md",
    "BOOTSTRAP.md",
    "MEMORY.md",
];

impl Profile {
    /// Derives the profile from hello and, when it could be read, `config.get`.
    pub(super) fn derive(hello: &Hello, config: Option<&Value>) -> Self {
        let agents = config.and_then(|c| c.pointer("/config/agents"));
        let shape = match agents {
            Some(agents) if agents.get("entries").is_some() => Shape::Entries,
            Some(agents) if agents.get("list").is_some() => Shape::List,
            _ if hello.protocol >= 4 => Shape::Entries,
            _ => Shape::List,
        };
        let mut version = Version::parse(&hello.version);
        if !version.is_known()
            && let Some(touched) = config
                .and_then(|c| {
                    c.pointer("/config/meta/lastTouchedVersion")
                        .or_else(|| c.pointer("/parsed/meta/lastTouchedVersion"))
                })
                .and_then(Value::as_str)
        {
            version = Version::parse(touched);
        }
        Self {
            protocol: hello.protocol,
            version,
            shape,
            has_channels: hello.has_channels,
            restarts_on_agent_change: hello.max_payload <= FLOOR_MAX_PAYLOAD,
        }
    }

    /// Whether agent settings are applied without a restart.
    pub const fn hot_config(&self) -> bool {
        matches!(self.shape, Shape::Entries)
    }

    /// How many configuration patches a minute the gateway accepts from us.
    pub const fn patches_per_minute(&self) -> usize {
        match self.shape {
            Shape::List => 3,
            Shape::Entries => 30,
        }
    }

    /// Where a workspace file lives when the release does not take it under its own name.
    pub fn place_of(&self, name: &str) -> Option<&'static str> {
        match (self.shape, name) {
            (Shape::Entries, "TOOLS.md") => Some("AGENTS.md"),
            (Shape::Entries, "HEARTBEAT.md") => Some("heartbeat job"),
            _ => None,
        }
    }

    /// Workspace files that the release stores under their own name.
    pub const fn native_files(&self) -> &'static [&'static str] {
        match self.shape {
            Shape::List => LIST_FILES,
            Shape::Entries => ENTRIES_FILES,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn versions_are_read_leniently_and_compared_by_number() {
        let newer = |a: &str, b: &str| Version::parse(a).at_least(&Version::parse(b));
        assert_eq!(newer("2026.9.6", "2026.02.9"), Some(true));
        assert_eq!(newer("2026.2.9", "2026.02.9"), Some(true));
        assert_eq!(newer("v2026.10.1-beta.2", "2026.9.6"), Some(true));
        assert_eq!(newer("2026.1.30", "2026.2.9"), Some(false));
        assert_eq!(newer("2026.2", "2026.2.0"), Some(true));
        assert_eq!(newer("dev", "2026.2.9"), None);
        assert_eq!(newer("", "2026.2.9"), None);
        assert_eq!(Version::parse(" 2026.9.6 (abc) ").as_str(), "2026.9.6 (abc)");
    }

    fn hello(protocol: u32, version: &str) -> Hello {
        Hello {
            protocol,
            version: version.to_owned(),
            max_payload: 26_214_400,
            ..Hello::default()
        }
    }

    #[test]
    fn the_configuration_decides_the_shape_and_the_protocol_is_the_fallback() {
        let entries = json!({"config": {"agents": {"entries": {"main": {}}}}});
        let list = json!({"config": {"agents": {"list": [{"id": "main"}]}}});
        let neither = json!({"config": {"agents": {"defaults": {}}}});
        assert_eq!(
            Profile::derive(&hello(4, "2026.9.6"), Some(&entries)).shape,
            Shape::Entries
        );
        assert_eq!(Profile::derive(&hello(4, "2026.5.0"), Some(&list)).shape, Shape::List);
        assert_eq!(
            Profile::derive(&hello(3, "2026.2.26"), Some(&neither)).shape,
            Shape::List
        );
        assert_eq!(Profile::derive(&hello(4, "2026.9.6"), None).shape, Shape::Entries);
    }

    #[test]
    fn a_dev_version_is_replaced_by_the_one_in_the_configuration() {
        let config = json!({"config": {"meta": {"lastTouchedVersion": "2026.2.26"}}});
        assert_eq!(
            Profile::derive(&hello(3, "dev"), Some(&config)).version.as_str(),
            "2026.2.26"
        );
        assert_eq!(Profile::derive(&hello(3, "dev"), None).version.as_str(), "dev");
    }
}
