//! What other services' changes mean here.

use std::sync::Arc;

use async_trait::async_trait;
use chassis::{
    Result, Store, Tx,
    bus::{Consumer, Handler},
    outbox::unpack,
};
use proto::{
    board::v1::{BoardOnboarding, OnboardingUserProfile},
    event::v1::Event,
};
use uuid::Uuid;

/// Rights on a board end with the board.
pub fn board_deletions(store: &Store) -> Consumer {
    Consumer {
        name: "org.board-deletions",
        topics: &["board.deleted"],
        store: store.clone(),
        handler: Arc::new(BoardDeletions),
    }
}

struct BoardDeletions;

#[async_trait]
impl Handler for BoardDeletions {
    async fn handle(&self, tx: &mut Tx, events: &[Event]) -> Result<()> {
        let boards: Vec<Uuid> = events
            .iter()
            .filter_map(|event| Uuid::parse_str(&event.board_id).ok())
            .collect();
        sqlx::query!("DELETE FROM org.board_grants WHERE board_id = ANY($1)", &boards)
            .execute(&mut **tx)
            .await?;
        Ok(())
    }
}

/// What a person told of itself in a board's onboarding becomes its profile, when it confirms the onboarding.
pub fn introductions(store: &Store) -> Consumer {
    Consumer {
        name: "org.introductions",
        topics: &["onboarding.confirmed"],
        store: store.clone(),
        handler: Arc::new(Introductions),
    }
}

struct Introductions;

#[async_trait]
impl Handler for Introductions {
    async fn handle(&self, tx: &mut Tx, events: &[Event]) -> Result<()> {
        for event in events {
            let (Some(user), Some(profile)) = (person(event), profile(event)) else {
                continue;
            };
            sqlx::query!(
                "UPDATE org.users SET preferred_name = coalesce($2, preferred_name), pronouns = coalesce($3, pronouns), \
                   timezone = coalesce($4, timezone), notes = coalesce($5, notes), context = coalesce($6, context), updated_at = now() \
                 WHERE id = $1",
                user,
                profile.preferred_name,
                profile.pronouns,
                profile.timezone,
                profile.notes,
                profile.context
            )
            .execute(&mut **tx)
            .await?;
        }
        Ok(())
    }
}

fn person(event: &Event) -> Option<Uuid> {
    let actor = event.actor.as_ref().filter(|actor| actor.kind == "user")?;
    Uuid::parse_str(&actor.id).ok()
}

fn profile(event: &Event) -> Option<OnboardingUserProfile> {
    unpack::<BoardOnboarding>(event.after.as_ref())?
        .draft_goal?
        .user_profile
}
