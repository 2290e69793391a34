//! Decisions without side effects: presence, identity on the gateway, profiles, wake-ups.

use std::time::Duration;

use serde_json::{Map, Value};
use time::OffsetDateTime;
use uuid::Uuid;

/// Heartbeat interval of an agent that has none configured, in seconds.
pub const DEFAULT_HEARTBEAT_SECONDS: i32 = 600;
/// An agent is offline after this many missed heartbeats.
pub const MISSED_HEARTBEATS: i32 = 3;
/// Wake-ups sent before a silent agent is called offline.
pub const MAX_WAKES: i32 = 3;
/// How long a woken agent has to check in.
pub const CHECK_IN: Duration = Duration::from_secs(30);

/// Statuses that only Mission Control sets.
pub const RESERVED_STATUSES: [&str; 2] = ["updating", "deleting"];

/// How long an agent may be silent before it is offline.
pub fn patience(heartbeat_seconds: i32) -> time::Duration {
    time::Duration::seconds(i64::from(heartbeat_seconds) * i64::from(MISSED_HEARTBEATS))
}

/// Why an agent shows a status, in a sentence. `obstacle` is the first condition of its provisioning that is not met.
pub fn status_reason(
    status: &str,
    last_seen_at: Option<OffsetDateTime>,
    heartbeat_seconds: i32,
    obstacle: Option<&str>,
) -> String {
    let minutes = |seconds: i64| {
        if seconds % 60 == 0 {
            format!("{} min", seconds / 60)
        } else {
            format!("{seconds} s")
        }
    };
    let interval = minutes(i64::from(heartbeat_seconds));
    match (status, last_seen_at, obstacle) {
        ("deleting", ..) => "It is taken off its gateway.".to_owned(),
        ("provisioning" | "updating", _, Some(obstacle)) => obstacle.to_owned(),
        ("updating", ..) => "Its gateway is brought up to date.".to_owned(),
        ("provisioning", ..) => "It was not heard of yet.".to_owned(),
        ("offline", None, obstacle) => obstacle.unwrap_or("It never answered.").to_owned(),
        ("offline", Some(_), _) => {
            format!("It missed {MISSED_HEARTBEATS} heartbeats of {interval} each.")
        }
        _ => format!("It was heard of within {MISSED_HEARTBEATS} heartbeats of {interval} each."),
    }
}

/// The status shown: `deleting` and `updating` as stored, `provisioning` until first seen, `offline` after three missed heartbeats.
pub fn shown_status(
    stored: &str,
    last_seen_at: Option<OffsetDateTime>,
    heartbeat_seconds: i32,
    now: OffsetDateTime,
) -> String {
    let silent = |seen: OffsetDateTime| now - seen > patience(heartbeat_seconds);
    match (stored, last_seen_at) {
        ("deleting" | "updating", _) => stored.to_owned(),
        // An agent that never answered its wake-ups was given up: that is more than not having been seen yet.
        ("offline", None) => "offline".to_owned(),
        (_, None) => "provisioning".to_owned(),
        (_, Some(seen)) if silent(seen) => "offline".to_owned(),
        (stored, Some(_)) => stored.to_owned(),
    }
}

/// A heartbeat interval as OpenClaw writes it: `30s`, `10m`, `1h`, `1h30m`; a bare number counts minutes. `None` when it cannot be read
/// or is zero, which switches heartbeats off.
pub fn interval_seconds(every: &str) -> Option<i32> {
    let text = every.trim().to_ascii_lowercase();
    if let Ok(minutes) = text.parse::<i32>() {
        return minutes.checked_mul(60).filter(|seconds| *seconds > 0);
    }
    let (mut total, mut digits) = (0i32, String::new());
    for character in text.chars() {
        if character.is_ascii_digit() {
            digits.push(character);
            continue;
        }
        let unit = match character {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            _ => return None,
        };
        let number: i32 = std::mem::take(&mut digits).parse().ok()?;
        total = total.checked_add(number.checked_mul(unit)?)?;
    }
    (digits.is_empty() && total > 0).then_some(total)
}

/// Whether an `every` can be meant: an interval, or zero in any unit, which switches heartbeats off.
pub fn is_interval(every: &Value) -> bool {
    let text = match every {
        Value::String(text) => text.clone(),
        Value::Number(minutes) => minutes.to_string(),
        _ => return false,
    };
    let number = text.trim().trim_end_matches(['s', 'm', 'h', 'd', 'S', 'M', 'H', 'D']);
    interval_seconds(&text).is_some() || (!number.is_empty() && number.bytes().all(|digit| digit == b'0'))
}

/// The interval of a heartbeat configuration, or the default.
pub fn heartbeat_seconds(config: Option<&Value>) -> i32 {
    config
        .and_then(|config| config.get("every"))
        .and_then(|every| match every {
            Value::String(text) => interval_seconds(text),
            Value::Number(minutes) => interval_seconds(&minutes.to_string()),
            _ => None,
        })
        .unwrap_or(DEFAULT_HEARTBEAT_SECONDS)
}

/// The heartbeat the gateway gets: what is configured over the defaults.
pub fn effective_heartbeat(config: Option<&Value>) -> Value {
    let mut heartbeat = Map::new();
    heartbeat.insert("every".into(), "10m".into());
    heartbeat.insert("target".into(), "last".into());
    heartbeat.insert("includeReasoning".into(), false.into());
    if let Some(Value::Object(config)) = config {
        heartbeat.extend(config.clone());
    }
    Value::Object(heartbeat)
}

/// What an agent is on its gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seat {
    /// The gateway's main agent.
    Main {
        /// Its gateway.
        gateway: Uuid,
    },
    /// The lead of a board.
    Lead {
        /// Its board.
        board: Uuid,
    },
    /// A worker.
    Worker {
        /// The agent itself.
        agent: Uuid,
    },
}

impl Seat {
    /// The seat of an agent.
    pub fn of(agent: Uuid, gateway: Uuid, board: Option<Uuid>, is_lead: bool) -> Self {
        match board {
            None => Self::Main { gateway },
            Some(board) if is_lead => Self::Lead { board },
            Some(_) => Self::Worker { agent },
        }
    }

    /// Its id on the gateway.
    pub fn agent_key(&self) -> String {
        match self {
            Self::Main { gateway } => format!("mc-gateway-{gateway}"),
            Self::Lead { board } => format!("lead-{board}"),
            Self::Worker { agent } => format!("mc-{agent}"),
        }
    }

    /// Its session.
    pub fn session_key(&self) -> String {
        format!("agent:{}:main", self.agent_key())
    }

    /// Its workspace directory below the gateway's root. `~` stays: the gateway expands it.
    pub fn workspace(&self, root: &str) -> String {
        let root = root.trim_end_matches('/');
        match self {
            Self::Main { gateway } => format!("{root}/workspace-gateway-{gateway}"),
            Self::Lead { .. } | Self::Worker { .. } => format!("{root}/workspace-{}", self.agent_key()),
        }
    }
}

/// The agent id inside a session key (`agent:<id>:main`).
pub fn agent_key_of(session_key: &str) -> &str {
    session_key.split(':').nth(1).unwrap_or(session_key)
}

/// Name of a gateway's main agent.
pub fn main_agent_name(gateway: &str) -> String {
    format!("{gateway} Gateway Agent")
}

/// Profile of a gateway's main agent.
pub fn main_agent_profile() -> Value {
    serde_json::json!({"role": "Gateway Agent", "communication_style": "direct, concise, practical", "emoji": ":compass:"})
}

/// Profile of a board's lead when none is given.
pub fn lead_profile() -> Value {
    serde_json::json!({"role": "Board Lead", "communication_style": "direct, concise, practical", "emoji": ":gear:"})
}

/// A profile as it is stored: keys and values trimmed text, lists joined, empty ones dropped; `None` when nothing is left.
pub fn profile(given: Option<&Value>) -> Option<Value> {
    let text = |value: &Value| match value {
        Value::Null => String::new(),
        Value::String(text) => text.trim().to_owned(),
        Value::Array(items) => items
            .iter()
            .map(|item| {
                item.as_str()
                    .map_or_else(|| item.to_string(), |text| text.trim().to_owned())
            })
            .filter(|item| !item.is_empty() && item != "null")
            .collect::<Vec<_>>()
            .join(", "),
        other => other.to_string(),
    };
    let Some(Value::Object(given)) = given else { return None };
    let kept: Map<String, Value> = given
        .iter()
        .map(|(key, value)| (key.trim().to_owned(), text(value)))
        .filter(|(key, value)| !key.is_empty() && !value.is_empty())
        .map(|(key, value)| (key, Value::String(value)))
        .collect();
    (!kept.is_empty()).then_some(Value::Object(kept))
}

/// A template text as it is stored: blank ones are none.
pub fn template(given: Option<String>) -> Option<String> {
    given.filter(|text| !text.trim().is_empty())
}

/// What to do about an agent that was woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckIn {
    /// Nothing: nobody waits for it, or it has checked in.
    Settled,
    /// It has until then.
    Waiting(OffsetDateTime),
    /// Wake it once more.
    WakeAgain,
    /// It stays silent.
    GiveUp,
}

/// Whether an agent answered a wake-up: it was heard of since, or so shortly before that it was awake anyhow.
pub fn answered(woken: OffsetDateTime, last_seen: Option<OffsetDateTime>) -> bool {
    last_seen.is_some_and(|seen| seen >= woken - CHECK_IN)
}

/// Looks at an agent that was woken `wakes` times, last at `last_wake`.
pub fn check_in(
    wakes: i32,
    last_wake: Option<OffsetDateTime>,
    last_seen: Option<OffsetDateTime>,
    now: OffsetDateTime,
) -> CheckIn {
    let Some(woken) = last_wake.filter(|_| wakes > 0) else {
        return CheckIn::Settled;
    };
    if answered(woken, last_seen) {
        return CheckIn::Settled;
    }
    let deadline = woken + CHECK_IN;
    match () {
        () if now < deadline => CheckIn::Waiting(deadline),
        () if wakes < MAX_WAKES => CheckIn::WakeAgain,
        () => CheckIn::GiveUp,
    }
}

/// Values of a key in a file of settings for agents, in order: lines `KEY=value`, also as list items and in backticks, the way the files of
/// the Python product have them.
pub fn settings_values(text: &str, key: &str) -> Vec<String> {
    let value = |line: &str| {
        let line = line.trim().trim_start_matches(['-', '*', '+', ' ', '`']);
        let line = line.strip_prefix("export ").unwrap_or(line);
        let value = line.strip_prefix(key)?.strip_prefix('=')?;
        let value = value.split('`').next().unwrap_or_default().trim();
        (!value.is_empty()).then(|| value.to_owned())
    };
    text.lines().filter_map(value).collect()
}

/// Whether the token in a file of settings is this one; `None` when the file has none.
pub fn token_agrees(text: &str, token: &str) -> Option<bool> {
    settings_values(text, "AUTH_TOKEN").last().map(|found| found == token)
}

/// Why a lead may not create one more worker, if so.
pub fn quota_refusal(workers: i64, max_agents: i32) -> Option<String> {
    (workers >= i64::from(max_agents)).then(|| {
        let noun = if max_agents == 1 { "agent" } else { "agents" };
        format!(
            "Board worker-agent limit reached: max_agents={max_agents} (excluding the lead); cannot create more than {max_agents} {noun}."
        )
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(seconds: i64) -> OffsetDateTime {
        OffsetDateTime::UNIX_EPOCH + time::Duration::seconds(1_000_000 + seconds)
    }

    #[test]
    fn status_shown_follows_presence() {
        let cases: [(&str, Option<i64>, &str); 11] = [
            ("deleting", None, "deleting"),
            ("deleting", Some(-99_999), "deleting"),
            ("updating", None, "updating"),
            ("updating", Some(-99_999), "updating"),
            ("online", None, "provisioning"),
            ("provisioning", None, "provisioning"),
            ("offline", None, "offline"),
            ("online", Some(-1800), "online"),
            ("online", Some(-1801), "offline"),
            ("busy", Some(-5), "busy"),
            ("busy", Some(-1801), "offline"),
        ];
        for (stored, seen, expected) in cases {
            assert_eq!(
                shown_status(stored, seen.map(at), 600, at(0)),
                expected,
                "{stored} seen {seen:?}"
            );
        }
        assert_eq!(
            shown_status("online", Some(at(-91)), 30, at(0)),
            "offline",
            "its own interval counts"
        );
        assert_eq!(shown_status("online", Some(at(-90)), 30, at(0)), "online");
    }

    #[test]
    fn a_status_has_its_reason() {
        let seen = Some(at(0));
        for (status, seen, seconds, obstacle, expected) in [
            (
                "online",
                seen,
                600,
                None,
                "It was heard of within 3 heartbeats of 10 min each.",
            ),
            ("offline", seen, 30, None, "It missed 3 heartbeats of 30 s each."),
            ("offline", None, 600, Some("Silent."), "Silent."),
            ("offline", None, 600, None, "It never answered."),
            ("provisioning", None, 600, None, "It was not heard of yet."),
            ("provisioning", None, 600, Some("No gateway."), "No gateway."),
            ("updating", seen, 600, None, "Its gateway is brought up to date."),
            (
                "deleting",
                seen,
                600,
                Some("No gateway."),
                "It is taken off its gateway.",
            ),
        ] {
            assert_eq!(status_reason(status, seen, seconds, obstacle), expected, "{status}");
        }
    }

    #[test]
    fn intervals_are_read() {
        let cases = [
            ("30s", Some(30)),
            ("10m", Some(600)),
            ("1h", Some(3600)),
            ("1h30m", Some(5400)),
            (" 2H ", Some(7200)),
            ("1d", Some(86_400)),
            ("5", Some(300)),
            ("0m", None),
            ("0", None),
            ("-5", None),
            ("", None),
            ("m", None),
            ("10x", None),
            ("10m5", None),
            ("99999999999h", None),
            ("999999h", None),
        ];
        for (text, expected) in cases {
            assert_eq!(interval_seconds(text), expected, "{text:?}");
        }
        for (every, expected) in [
            (json!("10m"), true),
            (json!("0m"), true),
            (json!("0"), true),
            (json!(0), true),
            (json!(15), true),
            (json!("soon"), false),
            (json!("m"), false),
            (json!(""), false),
            (json!(null), false),
            (json!("-1m"), false),
        ] {
            assert_eq!(is_interval(&every), expected, "{every}");
        }
        assert_eq!(heartbeat_seconds(None), 600);
        assert_eq!(heartbeat_seconds(Some(&json!({"every": "30s"}))), 30);
        assert_eq!(heartbeat_seconds(Some(&json!({"every": "whenever"}))), 600);
        assert_eq!(heartbeat_seconds(Some(&json!({"every": 5}))), 300);
    }

    #[test]
    fn seats_have_the_names_that_gateways_know() {
        let (agent, board, gateway) = (Uuid::from_u128(1), Uuid::from_u128(2), Uuid::from_u128(3));
        let worker = Seat::of(agent, gateway, Some(board), false);
        assert_eq!(worker.session_key(), format!("agent:mc-{agent}:main"));
        assert_eq!(
            worker.workspace("~/.openclaw//"),
            format!("~/.openclaw/workspace-mc-{agent}")
        );
        let lead = Seat::of(agent, gateway, Some(board), true);
        assert_eq!(lead.session_key(), format!("agent:lead-{board}:main"));
        assert_eq!(lead.workspace("/srv"), format!("/srv/workspace-lead-{board}"));
        let main = Seat::of(agent, gateway, None, false);
        assert_eq!(main.session_key(), format!("agent:mc-gateway-{gateway}:main"));
        assert_eq!(
            main.workspace("/srv"),
            format!("/srv/workspace-gateway-{gateway}"),
            "without the prefix"
        );
        assert_eq!(agent_key_of(&main.session_key()), main.agent_key());
    }

    #[test]
    fn profiles_become_trimmed_text() {
        let given = json!({" role ": " QA ", "empty": "  ", "none": null, "skills": ["sql", " go ", "", null], "level": 3, "": "x"});
        assert_eq!(
            profile(Some(&given)),
            Some(json!({"role": "QA", "skills": "sql, go", "level": "3"}))
        );
        for nothing in [None, Some(json!({})), Some(json!({"a": ""})), Some(json!("text"))] {
            assert_eq!(profile(nothing.as_ref()), None, "{nothing:?}");
        }
    }

    #[test]
    fn silent_agents_are_woken_three_times() {
        let cases = [
            (0, None, None, CheckIn::Settled),
            (0, Some(-100), None, CheckIn::Settled),
            (1, Some(-10), None, CheckIn::Waiting(at(20))),
            (1, Some(-10), Some(-41), CheckIn::Waiting(at(20))),
            (1, Some(-10), Some(-40), CheckIn::Settled),
            (1, Some(-10), Some(-10), CheckIn::Settled),
            (1, Some(-30), None, CheckIn::WakeAgain),
            (2, Some(-31), Some(-62), CheckIn::WakeAgain),
            (3, Some(-29), None, CheckIn::Waiting(at(1))),
            (3, Some(-30), None, CheckIn::GiveUp),
            (3, Some(-30), Some(-1), CheckIn::Settled),
        ];
        for (wakes, woken, seen, expected) in cases {
            assert_eq!(
                check_in(wakes, woken.map(at), seen.map(at), at(0)),
                expected,
                "{wakes} {woken:?} {seen:?}"
            );
        }
    }

    #[test]
    fn settings_are_read_in_every_form_they_were_written_in() {
        let cases = [
            ("AUTH_TOKEN=abc.def", vec!["abc.def"]),
            ("- `AUTH_TOKEN=abc-1_2`", vec!["abc-1_2"]),
            ("  * AUTH_TOKEN=abc ", vec!["abc"]),
            ("```\nBASE_URL=x\nAUTH_TOKEN=abc\n```", vec!["abc"]),
            ("export AUTH_TOKEN=abc\nAUTH_TOKEN=def", vec!["abc", "def"]),
            ("AUTH_TOKEN=", vec![]),
            ("MY_AUTH_TOKEN=abc\nAUTH_TOKENS=abc\nthe AUTH_TOKEN=abc", vec![]),
        ];
        for (text, expected) in cases {
            assert_eq!(settings_values(text, "AUTH_TOKEN"), expected, "{text:?}");
        }
        assert_eq!(token_agrees("- `AUTH_TOKEN=abc`", "abc"), Some(true));
        assert_eq!(token_agrees("AUTH_TOKEN=other", "abc"), Some(false));
        assert_eq!(token_agrees("nothing", "abc"), None);
    }

    #[test]
    fn the_quota_counts_workers() {
        assert_eq!(quota_refusal(0, 1), None);
        assert_eq!(
            quota_refusal(1, 1).as_deref(),
            Some(
                "Board worker-agent limit reached: max_agents=1 (excluding the lead); cannot create more than 1 agent."
            )
        );
        assert!(quota_refusal(2, 2).is_some_and(|text| text.ends_with("more than 2 agents.")));
        assert!(quota_refusal(0, 0).is_some(), "a board may allow none");
    }

    #[test]
    fn heartbeats_have_defaults() {
        assert_eq!(
            effective_heartbeat(Some(&json!({"every": "1h", "model": "x"}))),
            json!({"every": "1h", "target": "last", "includeReasoning": false, "model": "x"})
        );
    }
}
