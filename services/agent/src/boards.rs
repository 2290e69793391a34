//! What agents are told when their board, or a group of boards they work in, changes.

use std::{fmt::Write, sync::Arc};

use async_trait::async_trait;
use chassis::{
    Result, Tx,
    bus::{Consumer, Handler},
    outbox::unpack,
};
use proto::{
    board::v1::{Board, BoardGroup},
    event::v1::Event,
};
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use crate::{
    app::App,
    chat::{Told, letter, seats},
    notify::{Letter, queue},
};

/// Longest part of a value that the message names.
const EXCERPT: usize = 300;

/// Follows changes of boards, and writes the messages agents get about them.
pub fn changes(app: &Arc<App>) -> Consumer {
    Consumer {
        name: "agent.board-changes",
        topics: &["board.updated"],
        store: app.store.clone(),
        handler: Arc::new(Changes { app: app.clone() }),
    }
}

fn fields(board: &Board) -> [(&'static str, Value); 18] {
    let metrics = board
        .success_metrics
        .as_deref()
        .and_then(|json| serde_json::from_slice(json).ok());
    let date = board
        .target_date
        .as_ref()
        .and_then(|date| chassis::moment(date).ok()?.format(&Rfc3339).ok());
    [
        ("approval_ttl_seconds", json!(board.approval_ttl_seconds)),
        (
            "block_status_changes_with_pending_approval",
            json!(board.block_status_changes_with_pending_approval),
        ),
        ("board_group_id", json!(board.board_group_id)),
        ("board_type", json!(board.board_type)),
        ("comment_required_for_review", json!(board.comment_required_for_review)),
        ("description", json!(board.description)),
        ("gateway_id", json!(board.gateway_id)),
        ("goal_confirmed", json!(board.goal_confirmed)),
        ("goal_source", json!(board.goal_source)),
        ("max_agents", json!(board.max_agents)),
        ("name", json!(board.name)),
        ("objective", json!(board.objective)),
        ("only_lead_can_change_status", json!(board.only_lead_can_change_status)),
        ("require_approval_for_done", json!(board.require_approval_for_done)),
        ("require_review_before_done", json!(board.require_review_before_done)),
        ("slug", json!(board.slug)),
        ("success_metrics", metrics.unwrap_or(Value::Null)),
        ("target_date", json!(date)),
    ]
}

fn shown(value: &Value) -> String {
    let text = value.as_str().map_or_else(
        || value.to_string(),
        |text| text.split_whitespace().collect::<Vec<_>>().join(" "),
    );
    crate::notices::excerpt(&text, EXCERPT)
}

/// The message to the lead of a board about what changed on it; `None` when nothing did.
pub fn changed_text(before: &Board, after: &Board) -> Option<String> {
    let mut lines = String::new();
    for ((name, old), (_, new)) in fields(before).into_iter().zip(fields(after)) {
        if old != new {
            // Writing to a string cannot fail.
            let _ = writeln!(lines, "- {name}: {} -> {}", shown(&old), shown(&new));
        }
    }
    if lines.is_empty() {
        return None;
    }
    Some(format!(
        "BOARD UPDATED\nBoard: {}\nBoard ID: {}\n\nChanged fields:\n{lines}\nTake action: check whether plans, assignments and open tasks still fit, and adjust them.",
        after.name, after.id
    ))
}

/// The message about a board that joined or left a group.
pub fn group_text(joined: bool, board: &Board, recipient: (&str, Uuid), group: &BoardGroup) -> String {
    let verb = if joined { "Joined" } else { "Left" };
    format!(
        "BOARD GROUP UPDATED\n{verb} Board: {}\n{verb} Board ID: {}\nRecipient Board: {}\nRecipient Board ID: {}\nBoard Group: {}\nBoard Group ID: {}\n\n\
         Coordination guidance:\n\
         1. Read the group snapshot before you plan work that touches other boards.\n\
         2. Use group memory for what concerns more than one board, board memory for everything else.\n\
         3. Do not change tasks of other boards: ask their lead.",
        board.name, board.id, recipient.0, recipient.1, group.name, group.id
    )
}

struct Changes {
    app: Arc<App>,
}

#[async_trait]
impl Handler for Changes {
    async fn handle(&self, tx: &mut Tx, events: &[Event]) -> Result<()> {
        let mut letters = Vec::new();
        for event in events {
            let (before, after) = (
                unpack::<Board>(event.before.as_ref()),
                unpack::<Board>(event.after.as_ref()),
            );
            let (Some(before), Some(after)) = (before, after) else {
                continue;
            };
            to_lead(tx, event, &before, &after, &mut letters).await?;
            if before.board_group_id != after.board_group_id {
                self.to_group(tx, event, &after, before.board_group_id.as_deref(), false, &mut letters)
                    .await?;
                self.to_group(tx, event, &after, after.board_group_id.as_deref(), true, &mut letters)
                    .await?;
            }
        }
        queue(tx, &letters).await?;
        tx.wake_on_commit(&self.app.mail);
        Ok(())
    }
}

async fn to_lead(tx: &mut Tx, event: &Event, before: &Board, after: &Board, letters: &mut Vec<Letter>) -> Result<()> {
    let (Some(text), Ok(board)) = (changed_text(before, after), Uuid::parse_str(&after.id)) else {
        return Ok(());
    };
    let seats = seats(tx, &[board]).await?;
    let Some(lead) = seats.iter().find(|seat| seat.member.is_lead).map(|seat| seat.member.id) else {
        return Ok(());
    };
    letters.extend(
        letter(
            &seats,
            Told {
                agent: lead,
                mentioned: false,
            },
            event,
            text,
            false,
        )
        .map(|letter| Letter {
            sent: Some((
                "board.lead_notified",
                format!("Lead agent notified of changes to board {}.", after.name),
            )),
            failed: Some((
                "board.lead_notify_failed",
                format!("Lead agent could not be notified of changes to board {}.", after.name),
            )),
            ..letter
        }),
    );
    Ok(())
}

impl Changes {
    /// Tells the agents of a group that a board came or went. Of a group that is deleted nobody is told.
    async fn to_group(
        &self,
        tx: &mut Tx,
        event: &Event,
        board: &Board,
        group: Option<&str>,
        joined: bool,
        letters: &mut Vec<Letter>,
    ) -> Result<()> {
        let Some(group) = group else { return Ok(()) };
        let Some(found) = self.app.board_group(group).await? else {
            return Ok(());
        };
        let group = found.group.unwrap_or_default();
        let mut boards: Vec<(Uuid, &str)> = found
            .boards
            .iter()
            .chain([board])
            .filter_map(|board| Some((Uuid::parse_str(&board.id).ok()?, board.name.as_str())))
            .collect();
        boards.sort_unstable();
        boards.dedup_by_key(|(id, _)| *id);
        let ids: Vec<Uuid> = boards.iter().map(|(id, _)| *id).collect();
        let seats = seats(tx, &ids).await?;
        let (word, sent, failed) = if joined {
            ("joined", "board.group.join.notified", "board.group.join.notify_failed")
        } else {
            ("left", "board.group.leave.notified", "board.group.leave.notify_failed")
        };
        for seat in &seats {
            let name = boards
                .iter()
                .find(|(id, _)| *id == seat.board)
                .map_or("", |(_, name)| *name);
            let text = group_text(joined, board, (name, seat.board), &group);
            let told = Told {
                agent: seat.member.id,
                mentioned: false,
            };
            letters.extend(letter(&seats, told, event, text, false).map(|letter| Letter {
                // The same agent can be told of the board's changes and of both groups by one event.
                key: format!("{}-{word}", letter.key),
                sent: Some((
                    sent,
                    format!(
                        "{} was told that board {} {word} group {}.",
                        seat.member.name, board.name, group.name
                    ),
                )),
                failed: Some((
                    failed,
                    format!(
                        "{} could not be told that board {} {word} group {}.",
                        seat.member.name, board.name, group.name
                    ),
                )),
                ..letter
            }));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lead_reads_what_changed_in_order_of_names() {
        let before = Board {
            name: "Alpha".into(),
            id: "b".into(),
            success_metrics: Some(br#"{"z": 1, "a": true}"#.to_vec()),
            ..Board::default()
        };
        let after = Board {
            objective: Some("Ship\nit".into()),
            success_metrics: None,
            goal_confirmed: true,
            approval_ttl_seconds: Some(60),
            ..before.clone()
        };
        assert_eq!(changed_text(&before, &before), None);
        let text = changed_text(&before, &after).expect("changes");
        let expected = "BOARD UPDATED\nBoard: Alpha\nBoard ID: b\n\nChanged fields:\n- approval_ttl_seconds: null -> 60\n- goal_confirmed: false -> true\n- objective: null -> Ship it\n";
        assert!(text.starts_with(expected), "{text}");
        assert!(
            text.contains("- success_metrics: {") && text.contains("} -> null\n"),
            "{text}"
        );
    }

    #[test]
    fn a_group_reads_which_board_came_or_went() {
        let (board, group) = (
            Board {
                name: "Alpha".into(),
                ..Board::default()
            },
            BoardGroup {
                name: "Teams".into(),
                ..BoardGroup::default()
            },
        );
        for (joined, line) in [(true, "Joined Board: Alpha"), (false, "Left Board: Alpha")] {
            let text = group_text(joined, &board, ("Beta", Uuid::nil()), &group);
            assert!(
                text.starts_with(&format!("BOARD GROUP UPDATED\n{line}\n")) && text.contains("Recipient Board: Beta\n"),
                "{text}"
            );
        }
    }
}
