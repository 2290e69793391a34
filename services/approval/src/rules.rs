//! Pure decisions about approvals.

use chassis::{Error, Result};
use proto::approval::v1::ApprovalStatus;
use serde_json::{Map, Value};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use uuid::Uuid;

/// Most tasks of one approval.
const MOST_TASKS: usize = 200;

/// How an approval stands when somebody wants to decide it.
#[derive(Clone, Debug)]
pub struct Standing {
    /// State.
    pub status: ApprovalStatus,
    /// The person who asked.
    pub requested_by: Option<Uuid>,
    /// How it was decided.
    pub decided: Option<Decided>,
}

/// Who decided, and when.
#[derive(Clone, Debug)]
pub struct Decided {
    /// The person; `None`: nobody did in time.
    pub by: Option<Uuid>,
    /// The name at that time.
    pub name: String,
    /// When.
    pub at: OffsetDateTime,
}

/// What comes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing changes.
    Unchanged,
    /// The decision counts.
    Decide,
}

/// Whether a person may set a status. A decision is final, and the requester never decides.
pub fn decide(standing: &Standing, by: Uuid, wanted: ApprovalStatus) -> Result<Verdict> {
    if wanted == ApprovalStatus::Unspecified
        || (wanted, standing.status) == (ApprovalStatus::Pending, ApprovalStatus::Pending)
    {
        return Ok(Verdict::Unchanged);
    }
    if let Some(decided) = &standing.decided {
        if wanted == standing.status && decided.by == Some(by) {
            return Ok(Verdict::Unchanged);
        }
        let at = decided.at.format(&Rfc3339).unwrap_or_default();
        let word = word(standing.status);
        let error = match decided.by {
            Some(decider) => Error::conflict(format!(
                "{} {word} this approval at {at}. A decision is final: ask for a new approval.",
                decided.name
            ))
            .with("resolved_by_user_id", decider.to_string()),
            None => Error::conflict(format!(
                "This approval expired at {at}, before anybody decided: ask for a new one."
            ))
            .with("resolved_by_user_id", Value::Null),
        };
        return Err(error.with("status", word).with("resolved_at", at));
    }
    if standing.requested_by == Some(by) {
        return Err(Error::denied(
            "Whoever asked for an approval cannot decide it: another member with write access to the board has to.",
        ));
    }
    Ok(Verdict::Decide)
}

/// Why an approval that nobody decided is refused.
pub fn expiry_reason(waited: time::Duration) -> String {
    let seconds = waited.whole_seconds().max(1);
    let (count, unit) = match seconds {
        seconds if seconds % 86_400 == 0 => (seconds / 86_400, "day"),
        seconds if seconds % 3_600 == 0 => (seconds / 3_600, "hour"),
        seconds if seconds % 60 == 0 => (seconds / 60, "minute"),
        seconds => (seconds, "second"),
    };
    let plural = if count == 1 { "" } else { "s" };
    format!("Nobody decided within {count} {unit}{plural}: refused, as the board's setting says.")
}

/// The REST and database word of a status.
pub fn word(status: ApprovalStatus) -> &'static str {
    match status {
        ApprovalStatus::Approved => "approved",
        ApprovalStatus::Rejected => "rejected",
        ApprovalStatus::Pending | ApprovalStatus::Unspecified => "pending",
    }
}

/// The status of a database word.
pub fn status(word: &str) -> ApprovalStatus {
    match word {
        "approved" => ApprovalStatus::Approved,
        "rejected" => ApprovalStatus::Rejected,
        _ => ApprovalStatus::Pending,
    }
}

/// The payload to store: the one sent, with the reason in it. A request without a reason is refused: nobody can decide about it.
pub fn with_reason(payload: Option<Map<String, Value>>, reasoning: Option<&str>) -> Result<Map<String, Value>> {
    let said = |value: Option<&Value>| {
        value
            .and_then(Value::as_str)
            .is_some_and(|text| !text.trim().is_empty())
    };
    let mut payload = payload.unwrap_or_default();
    if said(payload.get("reason")) || said(payload.get("decision").and_then(|decision| decision.get("reason"))) {
        return Ok(payload);
    }
    let reasoning = reasoning
        .map(str::trim)
        .filter(|text| !text.is_empty())
        .ok_or_else(|| Error::unprocessable("lead reasoning is required"))?;
    payload.insert("reason".to_owned(), reasoning.into());
    Ok(payload)
}

/// The tasks a request names, each once: `task_id`, then `task_ids`, then those in the payload, where what is no id is not meant as
/// one. Refused: more than [`MOST_TASKS`].
pub fn named_tasks(task_id: Option<Uuid>, task_ids: Vec<Uuid>, payload: &Map<String, Value>) -> Result<Vec<Uuid>> {
    let listed = ["task_ids", "taskIds", "taskIDs"]
        .into_iter()
        .filter_map(|key| payload.get(key)?.as_array())
        .flatten();
    let single = ["task_id", "taskId", "taskID"]
        .into_iter()
        .filter_map(|key| payload.get(key));
    let in_payload = listed
        .chain(single)
        .filter_map(|value| Uuid::parse_str(value.as_str()?.trim()).ok());
    let mut tasks = Vec::new();
    for id in task_id.into_iter().chain(task_ids).chain(in_payload) {
        if tasks.contains(&id) {
            continue;
        }
        if tasks.len() == MOST_TASKS {
            return Err(Error::invalid(
                "task_ids",
                format!(
                    "An approval is for {MOST_TASKS} tasks at most, those in payload counted in: ask several times."
                ),
            ));
        }
        tasks.push(id);
    }
    Ok(tasks)
}

/// A JSON object that came as bytes.
pub fn object(field: &str, bytes: &[u8]) -> Result<Map<String, Value>> {
    serde_json::from_slice(bytes).map_err(|_| Error::invalid(field, format!("{field} must be a JSON object.")))
}

/// The scores to store: integers, also those that came as `8.0` or `"8"`. Others are refused.
pub fn scores(sent: Map<String, Value>) -> Result<Map<String, Value>> {
    let integer = |score: &Value| match score {
        Value::Number(number) => number.as_i64().or_else(|| number.as_f64()?.to_string().parse().ok()),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    sent.into_iter()
        .map(|(name, score)| match integer(&score) {
            Some(score) => Ok((name, score.into())),
            None => Err(Error::invalid(
                "rubric_scores",
                format!("rubric_scores.{name} must be an integer."),
            )),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use chassis::error::Kind;
    use serde_json::json;
    use time::macros::datetime;

    use super::*;

    const ASKER: Uuid = Uuid::from_u128(1);
    const DECIDER: Uuid = Uuid::from_u128(2);
    const OTHER: Uuid = Uuid::from_u128(3);

    fn standing(status: ApprovalStatus) -> Standing {
        let decided = (status != ApprovalStatus::Pending).then(|| Decided {
            by: Some(DECIDER),
            name: "Ada".to_owned(),
            at: datetime!(2026-01-02 03:04:05 UTC),
        });
        Standing {
            status,
            requested_by: Some(ASKER),
            decided,
        }
    }

    #[test]
    fn every_standing_person_and_wish_has_one_answer() {
        use ApprovalStatus::{Approved, Pending, Rejected, Unspecified};
        for now in [Pending, Approved, Rejected] {
            for by in [ASKER, DECIDER, OTHER] {
                for wanted in [Unspecified, Pending, Approved, Rejected] {
                    let expected = match (now, by, wanted) {
                        (_, _, Unspecified) | (Pending, _, Pending) => Ok(Verdict::Unchanged),
                        (Pending, ASKER, _) => Err(Kind::Denied),
                        (Pending, _, _) => Ok(Verdict::Decide),
                        (now, DECIDER, wanted) if now == wanted => Ok(Verdict::Unchanged),
                        _ => Err(Kind::Conflict),
                    };
                    let found = decide(&standing(now), by, wanted).map_err(|error| error.kind());
                    assert_eq!(found, expected, "{now:?} {by} {wanted:?}");
                }
            }
        }
    }

    #[test]
    fn agents_requests_are_decided_by_anybody_with_access() {
        let asked_by_agent = Standing {
            requested_by: None,
            ..standing(ApprovalStatus::Pending)
        };
        assert_eq!(
            decide(&asked_by_agent, ASKER, ApprovalStatus::Approved).unwrap(),
            Verdict::Decide
        );
    }

    #[test]
    fn a_second_decision_learns_who_decided_and_when() {
        let error = decide(&standing(ApprovalStatus::Approved), OTHER, ApprovalStatus::Rejected).unwrap_err();
        assert_eq!(
            error.to_string(),
            "Ada approved this approval at 2026-01-02T03:04:05Z. A decision is final: ask for a new approval."
        );
    }

    #[test]
    fn what_expired_stays_refused() {
        let mut expired = standing(ApprovalStatus::Rejected);
        expired.decided = expired.decided.map(|decided| Decided { by: None, ..decided });
        for wanted in [
            ApprovalStatus::Approved,
            ApprovalStatus::Rejected,
            ApprovalStatus::Pending,
        ] {
            let error = decide(&expired, OTHER, wanted).unwrap_err();
            assert_eq!(error.kind(), Kind::Conflict, "{wanted:?}");
            assert!(
                error
                    .to_string()
                    .starts_with("This approval expired at 2026-01-02T03:04:05Z"),
                "{error}"
            );
        }
    }

    #[test]
    fn the_reason_of_an_expiry_names_the_setting() {
        for (seconds, said) in [
            (1, "1 second:"),
            (90, "90 seconds:"),
            (120, "2 minutes:"),
            (3_600, "1 hour:"),
            (172_800, "2 days:"),
        ] {
            let reason = expiry_reason(time::Duration::seconds(seconds));
            assert!(reason.starts_with(&format!("Nobody decided within {said}")), "{reason}");
        }
    }

    #[test]
    fn words_and_statuses_are_inverse() {
        for known in [
            ApprovalStatus::Pending,
            ApprovalStatus::Approved,
            ApprovalStatus::Rejected,
        ] {
            assert_eq!(status(word(known)), known);
        }
    }

    #[test]
    fn a_reason_is_found_in_three_places_or_missed() {
        let map = |value: Value| value.as_object().cloned();
        for (payload, reasoning, expected) in [
            (None, None, None),
            (None, Some("  "), None),
            (Some(json!({"reason": " "})), None, None),
            (Some(json!({"reason": 7})), None, None),
            (Some(json!({"decision": {"reason": ""}})), None, None),
            (None, Some(" safe "), Some(json!({"reason": "safe"}))),
            (
                Some(json!({"a": 1})),
                Some("safe"),
                Some(json!({"a": 1, "reason": "safe"})),
            ),
            (
                Some(json!({"reason": ""})),
                Some("safe"),
                Some(json!({"reason": "safe"})),
            ),
            (
                Some(json!({"reason": "first"})),
                Some("second"),
                Some(json!({"reason": "first"})),
            ),
            (
                Some(json!({"decision": {"reason": "x"}})),
                None,
                Some(json!({"decision": {"reason": "x"}})),
            ),
        ] {
            let found = with_reason(payload.clone().and_then(map), reasoning)
                .ok()
                .map(Value::Object);
            assert_eq!(found, expected, "{payload:?} {reasoning:?}");
        }
    }

    #[test]
    fn tasks_are_collected_in_order_and_once() {
        let id = |n: u128| Uuid::from_u128(n);
        let payload = json!({
            "taskId": id(5).to_string(),
            "task_ids": [id(2).to_string(), "not an id", 7, id(4).to_string()],
            "task_id": id(1).to_string(),
        });
        let found = named_tasks(Some(id(1)), vec![id(2), id(3), id(2)], payload.as_object().unwrap()).unwrap();
        assert_eq!(found, [id(1), id(2), id(3), id(4), id(5)]);
        assert!(named_tasks(None, vec![], &Map::new()).unwrap().is_empty());
        let many = |count: usize| (0..count).map(|number| Uuid::from_u128(number as u128)).collect();
        assert_eq!(
            named_tasks(None, many(MOST_TASKS), &Map::new()).unwrap().len(),
            MOST_TASKS
        );
        let error = named_tasks(None, many(MOST_TASKS + 1), &Map::new()).unwrap_err();
        assert_eq!(error.violations()[0].field, "task_ids");
    }

    #[test]
    fn scores_are_integers() {
        for (sent, stored) in [
            (json!({}), Some(json!({}))),
            (json!({"a": 1, "b": -2}), Some(json!({"a": 1, "b": -2}))),
            (json!({"a": 8.0, "b": " 8 "}), Some(json!({"a": 8, "b": 8}))),
            (json!({"a": 1.5}), None),
            (json!({"a": "much"}), None),
            (json!({"a": [1]}), None),
            (json!({"a": null}), None),
        ] {
            let found = scores(sent.as_object().unwrap().clone()).ok().map(Value::Object);
            assert_eq!(found, stored, "{sent}");
        }
    }
}
