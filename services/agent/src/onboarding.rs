//! Passes on what a person says in a board's onboarding to the main agent of its gateway.

use std::sync::Arc;

use async_trait::async_trait;
use chassis::{
    Result, Tx,
    bus::{Consumer, Handler},
    outbox::unpack,
};
use proto::{board::v1::OnboardingMessage, event::v1::Event};
use uuid::Uuid;

use crate::{
    app::App,
    notify::{Letter, queue},
};

/// Name of the conversation on the gateway.
const LABEL: &str = "Gateway Agent";

/// Follows onboardings, and writes the messages of them.
pub fn messages(app: &Arc<App>) -> Consumer {
    Consumer {
        name: "agent.onboarding",
        topics: &["onboarding.asked"],
        store: app.store.clone(),
        handler: Arc::new(Onboarding { app: app.clone() }),
    }
}

struct Onboarding {
    app: Arc<App>,
}

#[async_trait]
impl Handler for Onboarding {
    async fn handle(&self, tx: &mut Tx, events: &[Event]) -> Result<()> {
        let mut letters = Vec::new();
        for event in events {
            letters.extend(letter(tx, event).await?);
        }
        queue(tx, &letters).await?;
        tx.wake_on_commit(&self.app.mail);
        Ok(())
    }
}

/// The message, with the id of the event that asks for it: the interview waits for the outcome of that one. None when the gateway has no main
/// agent any more.
async fn letter(tx: &mut Tx, event: &Event) -> Result<Option<Letter>> {
    let (Some(said), Ok(id), Ok(organization), Ok(board), Ok(gateway)) = (
        unpack::<OnboardingMessage>(event.after.as_ref()),
        Uuid::parse_str(&event.id),
        Uuid::parse_str(&event.organization_id),
        Uuid::parse_str(&event.board_id),
        Uuid::parse_str(&event.gateway_id),
    ) else {
        return Ok(None);
    };
    let main = sqlx::query!(
        "SELECT id, session_key FROM agent.agents WHERE gateway_id = $1 AND organization_id = $2 AND board_id IS NULL AND deleting_at IS NULL",
        gateway,
        organization
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(main.map(|main| Letter {
        id,
        organization,
        agent: main.id,
        board: Some(board),
        task: None,
        gateway,
        session_key: main.session_key,
        label: LABEL.to_owned(),
        text: said.content,
        deliver: false,
        key: format!("{}-{}", event.id, main.id),
        sent: Some((
            "onboarding.dispatched",
            "Onboarding message sent to the gateway agent.".to_owned(),
        )),
        failed: Some((
            "onboarding.dispatch_failed",
            "Onboarding message could not be sent to the gateway agent:".to_owned(),
        )),
        purpose: None,
    }))
}
