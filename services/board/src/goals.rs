//! When the goal of a board is whole. Pure.

use chassis::{Error, Result, error::Violation};
use serde_json::{Map, Value};

/// The type of boards that work towards a goal; any other word is a type without one.
const GOAL: &str = "goal";

/// What to do about a goal that is not whole.
const REMEDY: &str =
    "Send an objective and success_metrics, a JSON object with one key at least, or another board_type than goal.";

/// Whether a goal says what is to be reached and how that is measured. `metrics` is a JSON text.
pub fn is_whole(objective: Option<&str>, metrics: Option<&str>) -> bool {
    let measured = metrics
        .is_some_and(|json| serde_json::from_str::<Map<String, Value>>(json).is_ok_and(|metrics| !metrics.is_empty()));
    measured && objective.is_some_and(|objective| !objective.trim().is_empty())
}

/// Refuses a board of type goal whose goal is not whole: when it is confirmed, and when the board becomes one of that type. `was` is the type it
/// had; `None` when it is made, or when its goal is confirmed.
pub fn check(was: Option<&str>, board_type: &str, confirmed: bool, whole: bool) -> Result<()> {
    if board_type != GOAL || whole {
        return Ok(());
    }
    if was.is_some_and(|was| was != GOAL) {
        return Err(Error::unprocessable("Goal boards require objective and success_metrics").beside("remedy", REMEDY));
    }
    if !confirmed {
        return Ok(());
    }
    let violation = Violation {
        field: String::new(),
        message: "Confirmed goal boards require objective and success_metrics".to_owned(),
    };
    Err(Error::invalid_fields(vec![violation]).beside("remedy", REMEDY))
}

#[cfg(test)]
mod tests {
    use chassis::error::Kind;

    use super::*;

    #[test]
    fn a_goal_has_an_objective_and_measures() {
        for (objective, metrics, expected) in [
            (Some("Ship"), Some(r#"{"a": 1}"#), true),
            (Some("Ship"), Some(r#"{"a": null}"#), true),
            (Some("Ship"), Some("{}"), false),
            (Some("Ship"), Some("[1]"), false),
            (Some("Ship"), None, false),
            (Some("  "), Some(r#"{"a": 1}"#), false),
            (None, Some(r#"{"a": 1}"#), false),
            (None, None, false),
        ] {
            assert_eq!(is_whole(objective, metrics), expected, "{objective:?} {metrics:?}");
        }
    }

    #[test]
    fn goals_are_whole_once_confirmed_and_when_a_board_becomes_one() {
        for was in [None, Some("goal"), Some("general")] {
            for board_type in ["goal", "general", "Goal", ""] {
                for confirmed in [false, true] {
                    for whole in [false, true] {
                        let expected = match (was, board_type, confirmed, whole) {
                            (Some("general"), "goal", _, false) => Some(Kind::Unprocessable),
                            (_, "goal", true, false) => Some(Kind::Invalid),
                            _ => None,
                        };
                        let found = check(was, board_type, confirmed, whole).err();
                        assert_eq!(
                            found.map(|error| error.kind()),
                            expected,
                            "{was:?} {board_type:?} {confirmed} {whole}"
                        );
                    }
                }
            }
        }
    }
}
