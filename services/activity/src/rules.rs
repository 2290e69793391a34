//! Pure decisions: which events a subscription gets, when a delivery is tried again, which page shows an event.

use std::{borrow::Cow, collections::HashMap, time::Duration};

use chassis::Error;
use proto::event::v1::Event;
use serde::Deserialize;
use uuid::Uuid;

/// Attempts whose answer is in this range succeed.
pub const SUCCESS: std::ops::Range<u16> = 200..300;

/// The kind of event that says that a delivery was given up. It is not delivered: an endpoint that is away would be told of it for ever.
pub const GIVEN_UP: &str = "webhook.delivery_failed";

/// Whether a subscription to these kinds of events (all when empty), perhaps of one board, gets an event.
pub fn subscribes(event_types: &[String], board: Option<&str>, event: &Event) -> bool {
    let kind = event_types.is_empty()
        || event_types
            .iter()
            .any(|wanted| chassis::bus::matches(wanted, &event.r#type));
    kind && event.r#type != GIVEN_UP && board.is_none_or(|board| board == event.board_id)
}

/// Whether a word names events: `task.created`, `task.*` or `#`.
pub fn is_event_type(text: &str) -> bool {
    let word = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    text == "#"
        || text
            .split_once('.')
            .is_some_and(|(subject, verb)| word(subject) && (verb == "*" || verb.split('.').all(word)))
}

/// The `id` of a resource as REST shows it.
pub fn id_of(json: &str) -> Option<Uuid> {
    #[derive(Deserialize)]
    struct Resource<'a> {
        #[serde(borrow, default)]
        id: Option<Cow<'a, str>>,
    }
    let resource: Resource<'_> = serde_json::from_str(json).ok()?;
    Uuid::parse_str(&resource.id?).ok()
}

/// What kind of thing an event changed, and which one: `own` is the id that the resource itself shows.
pub fn target(event: &Event, own: Option<Uuid>) -> (String, Option<Uuid>) {
    let subject = event.r#type.split('.').next().unwrap_or_default();
    let named = match subject {
        "task" => &event.task_id,
        "agent" => &event.agent_id,
        "gateway" => &event.gateway_id,
        "board" => &event.board_id,
        "organization" => &event.organization_id,
        _ => "",
    };
    // A comment or a connection belongs to the thing that the event names.
    (subject.to_owned(), Uuid::parse_str(named).ok().or(own))
}

/// A list of kinds of events as statements take it: names, and beginnings of names as patterns of LIKE. Everything is no list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kinds {
    /// `task.created`.
    pub exact: Vec<String>,
    /// `task.%` of `task.*`.
    pub patterns: Vec<String>,
}

impl Kinds {
    /// Reads a list; the error names what is no kind. `#` means every kind and makes the list empty.
    pub fn of(field: &str, names: &[String]) -> Result<Self, Error> {
        let mut kinds = Self::default();
        for name in names.iter().map(|name| name.trim()).filter(|name| !name.is_empty()) {
            match name.strip_suffix(".*") {
                _ if name == "#" => return Ok(Self::default()),
                Some(subject) if is_event_type(name) => {
                    kinds.patterns.push(format!("{}.%", subject.replace('_', "\\_")));
                }
                None if is_event_type(name) => kinds.exact.push(name.to_owned()),
                _ => {
                    return Err(Error::invalid(
                        field,
                        format!("`{name}` is no kind of event: write task.created or task.*"),
                    ));
                }
            }
        }
        Ok(kinds)
    }

    /// Whether nothing is listed.
    pub fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.patterns.is_empty()
    }

    /// Whether a kind is listed.
    pub fn has(&self, kind: &str) -> bool {
        self.exact.iter().any(|name| name == kind)
            || self
                .patterns
                .iter()
                .any(|pattern| kind.starts_with(&pattern.trim_end_matches('%').replace("\\_", "_")))
    }
}

/// `5s,5m,2h` as durations.
pub fn schedule(text: &str) -> Result<Vec<Duration>, String> {
    text.split(',')
        .map(str::trim)
        .map(|part| {
            let split = part.len().saturating_sub(1);
            let (number, unit) = part.split_at_checked(split).unwrap_or((part, ""));
            let seconds = match unit {
                "s" => 1,
                "m" => 60,
                "h" => 3600,
                _ => return Err(format!("`{part}` is not a duration: write 5s, 5m or 2h")),
            };
            number
                .parse::<u32>()
                .map(|number| Duration::from_secs(u64::from(number) * seconds))
                .map_err(|_| format!("`{part}` is not a duration: write 5s, 5m or 2h"))
        })
        .collect()
}

/// What becomes of a delivery after an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The endpoint took it.
    Succeeded,
    /// To be tried again after this delay.
    Retry(Duration),
    /// Given up: the schedule is exhausted.
    Failed,
    /// Given up, and the subscription is disabled: the endpoint says that it is gone for good.
    Gone,
}

/// Decides by the answer (`None`: there was none), the number of attempts made under the schedule, and the endpoint's wish. `jitter` is in
/// 0..1 and spreads retries over a tenth of their delay.
pub fn outcome(
    status: Option<u16>,
    attempts: usize,
    schedule: &[Duration],
    retry_after: Option<Duration>,
    jitter: f64,
) -> Outcome {
    match status {
        Some(status) if SUCCESS.contains(&status) => return Outcome::Succeeded,
        Some(410) => return Outcome::Gone,
        _ => {}
    }
    match schedule.get(attempts.saturating_sub(1)) {
        Some(delay) => Outcome::Retry(delay.mul_f64(1.0 + jitter * 0.1).max(retry_after.unwrap_or_default())),
        None => Outcome::Failed,
    }
}

/// The page of the original's frontend that shows an event, with its parameters.
pub fn route(
    event_type: &str,
    id: &str,
    board: Option<&str>,
    task: Option<&str>,
    created_at: impl FnOnce() -> String,
) -> (&'static str, HashMap<String, String>) {
    let mut parameters = HashMap::new();
    let mut put = |key: &str, value: &str| {
        parameters.insert(key.to_owned(), value.to_owned());
    };
    let Some(board) = board else {
        put("eventId", id);
        put("eventType", event_type);
        put("createdAt", &created_at());
        if let Some(task) = task {
            put("taskId", task);
        }
        return ("activity", parameters);
    };
    put("boardId", board);
    let name = match (event_type, task) {
        ("task.comment", Some(task)) => {
            put("taskId", task);
            put("commentId", id);
            "board"
        }
        (kind, _) if kind.starts_with("approval.") => "board.approvals",
        (kind, _) if kind.starts_with("board.") => {
            put("panel", "chat");
            "board"
        }
        (_, Some(task)) => {
            put("taskId", task);
            "board"
        }
        _ => "board",
    };
    (name, parameters)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: &str, board: &str) -> Event {
        Event {
            r#type: kind.into(),
            board_id: board.into(),
            ..Event::default()
        }
    }

    #[test]
    fn subscriptions_choose_by_kind_and_board() {
        let types = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert!(subscribes(&[], None, &event("task.created", "a")));
        assert!(subscribes(&types(&["task.*"]), Some("a"), &event("task.created", "a")));
        assert!(!subscribes(&types(&["task.*"]), Some("b"), &event("task.created", "a")));
        assert!(!subscribes(
            &types(&["task.deleted", "board.*"]),
            None,
            &event("task.created", "a")
        ));
        assert!(
            !subscribes(&[], None, &event(GIVEN_UP, "")),
            "failures are not delivered"
        );
        assert!(
            !subscribes(&types(&["task.*"]), None, &event("tasks.created", "a")),
            "a subject is a whole word"
        );
    }

    #[test]
    fn names_of_events_are_checked() {
        for good in ["#", "task.*", "task.status_changed", "gateway.main.lead_message"] {
            assert!(is_event_type(good), "{good}");
        }
        for bad in [
            "",
            "task",
            "task.",
            ".created",
            "Task.created",
            "task.*.x",
            "task created",
        ] {
            assert!(!is_event_type(bad), "{bad}");
        }
    }

    #[test]
    fn lists_of_kinds_are_read() {
        let names = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        let kinds = Kinds::of("kinds", &names(&["task.created", " board.*", "", "lead_x.*"])).unwrap();
        assert_eq!(kinds.exact, ["task.created"]);
        assert_eq!(kinds.patterns, ["board.%", "lead\\_x.%"]);
        for (kind, listed) in [
            ("task.created", true),
            ("task.updated", false),
            ("board.updated", true),
            ("boards.updated", false),
            ("lead_x.y", true),
        ] {
            assert_eq!(kinds.has(kind), listed, "{kind}");
        }
        assert!(Kinds::of("kinds", &names(&["task.created", "#"])).unwrap().is_empty());
        for bad in ["task", "Task.created", "*", "task.%"] {
            assert!(Kinds::of("kinds", &names(&[bad])).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_target_is_what_the_event_is_about() {
        let (task, own) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let comment = Event {
            task_id: task.to_string(),
            ..event("task.comment", "")
        };
        assert_eq!(target(&comment, Some(own)), ("task".to_owned(), Some(task)));
        assert_eq!(
            target(&event("tag.created", ""), Some(own)),
            ("tag".to_owned(), Some(own))
        );
        assert_eq!(target(&event("tag.created", ""), None), ("tag".to_owned(), None));
        let json = format!("{{\"name\": \"x\", \"id\": \"{own}\", \"tags\": [1]}}");
        assert_eq!(id_of(&json), Some(own));
        assert_eq!((id_of("{}"), id_of("{\"id\": 7}"), id_of("[]")), (None, None, None));
    }

    #[test]
    fn the_schedule_is_followed_to_its_end() {
        let plan = schedule("5s,5m,2h").expect("a schedule");
        assert_eq!(plan, [5, 300, 7200].map(Duration::from_secs));
        assert_eq!(outcome(Some(204), 1, &plan, None, 0.0), Outcome::Succeeded);
        assert_eq!(outcome(Some(410), 1, &plan, None, 0.0), Outcome::Gone);
        assert_eq!(
            outcome(None, 1, &plan, None, 0.0),
            Outcome::Retry(Duration::from_secs(5))
        );
        assert_eq!(
            outcome(Some(500), 2, &plan, None, 0.0),
            Outcome::Retry(Duration::from_secs(300))
        );
        assert_eq!(
            outcome(Some(503), 1, &plan, Some(Duration::from_secs(60)), 1.0),
            Outcome::Retry(Duration::from_secs(60))
        );
        assert_eq!(outcome(Some(302), 4, &plan, None, 0.0), Outcome::Failed);
        assert!(
            matches!(outcome(None, 1, &plan, None, 1.0), Outcome::Retry(delay) if delay > Duration::from_secs(5) && delay < Duration::from_secs(6))
        );
        assert!(schedule("5x").is_err() && schedule("").is_err() && schedule("5s,,1m").is_err());
    }

    #[test]
    fn events_lead_to_the_page_that_shows_them() {
        let (name, parameters) = route("task.comment", "e", Some("b"), Some("t"), || "now".into());
        assert_eq!(
            (name, parameters["commentId"].as_str(), parameters["taskId"].as_str()),
            ("board", "e", "t")
        );
        assert_eq!(
            route("approval.created", "e", Some("b"), Some("t"), || "now".into()).0,
            "board.approvals"
        );
        assert_eq!(
            route("board.updated", "e", Some("b"), None, || "now".into()).1["panel"],
            "chat"
        );
        assert_eq!(route("gateway.created", "e", None, None, || "now".into()).0, "activity");
    }
}
