//! What follows from an interview: how far its messages came, and the lead it wished for.

use chassis::{Caller, Change, Error, Result, Tx, bus::Handler, error::Kind, identity::Signer, outbox::unpack};
use proto::{board::v1::BoardOnboarding, event::v1::Event};
use serde_json::Value;
use uuid::Uuid;

use super::rules;
use crate::outside::Outside;

/// Follows messages of onboardings to their gateway, and makes the leads of confirmed ones.
pub struct Follow {
    outside: Outside,
    signer: Signer,
}

impl Follow {
    /// `outside` makes the leads; `signer` makes the caller that resulting events name.
    pub fn new(outside: Outside, signer: Signer) -> Self {
        Self { outside, signer }
    }
}

#[async_trait::async_trait]
impl Handler for Follow {
    async fn handle(&self, tx: &mut Tx, events: &[Event]) -> Result<()> {
        for event in events {
            match event.r#type.as_str() {
                "onboarding.confirmed" => self.confirmed(tx, event).await?,
                "onboarding.dispatched" => delivered(tx, event, "sent", None).await?,
                _ => delivered(tx, event, "failed", Some(&event.message)).await?,
            }
        }
        Ok(())
    }
}

/// Notes how far the last message of an interview came. The outcome of an earlier one says nothing of it, and finds no session.
async fn delivered(tx: &mut Tx, event: &Event, delivery: &str, error: Option<&str>) -> Result<()> {
    let (Ok(board), Ok(asked)) = (Uuid::parse_str(&event.board_id), Uuid::parse_str(&event.operation_id)) else {
        return Ok(());
    };
    sqlx::query!(
        "UPDATE board.onboarding_sessions SET delivery = $3, delivery_error = $4 WHERE board_id = $1 AND asked_id = $2",
        board,
        asked,
        delivery,
        error
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

impl Follow {
    /// Makes the lead as it was drafted, unless the board has one: that one stays as it is.
    async fn confirmed(&self, tx: &mut Tx, event: &Event) -> Result<()> {
        let Some(onboarding) = unpack::<BoardOnboarding>(event.after.as_ref()) else {
            return Ok(());
        };
        let (Ok(board), Ok(organization)) = (
            Uuid::parse_str(&event.board_id),
            Uuid::parse_str(&event.organization_id),
        ) else {
            return Ok(());
        };
        let lead = onboarding
            .draft_goal
            .and_then(|draft| draft.lead_agent)
            .unwrap_or_default();
        let profile = rules::lead_profile(&lead);
        let profile = (!profile.is_empty()).then(|| Value::Object(profile).to_string().into_bytes());
        let made = self
            .outside
            .ensure_lead(organization, board, lead.name.unwrap_or_default(), profile)
            .await;
        match made {
            Ok(()) => Ok(()),
            // Nobody can make it by trying again: it is said where the board's people see it.
            Err(error) if !error.is_transient() && error.kind() != Kind::Internal => {
                self.tell(tx, organization, board, &error).await
            }
            Err(error) => Err(error),
        }
    }

    async fn tell(&self, tx: &mut Tx, organization: Uuid, board: Uuid, error: &Error) -> Result<()> {
        let caller = Caller::service(&self.signer, crate::SCHEMA.name, Some(organization));
        let change = Change::new("board.lead_failed", organization)
            .board(board)
            .message(format!("The board's lead could not be made: {error}"));
        tx.record(&caller, change).await?;
        Ok(())
    }
}
