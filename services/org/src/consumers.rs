//! What other services' changes mean here.

use std::sync::Arc;

use async_trait::async_trait;
use chassis::{
    Caller, Result, Store, Tx,
    bus::{Consumer, Handler},
    outbox::unpack,
};
use proto::{
    board::v1::{BoardOnboarding, OnboardingUserProfile},
    event::v1::Event,
    org::v1::User,
};
use uuid::Uuid;

use crate::users::{self, UserRow};

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
        let mut follows = Vec::new();
        for event in events {
            if let (Some(user), Some(profile)) = (person(event), profile(event)) {
                follows.extend(introduce(tx, event, user, profile).await?);
            }
        }
        if !follows.is_empty() {
            tx.record_events(&follows).await?;
        }
        Ok(())
    }
}

/// Takes over what a person told of itself. The event that tells of it is the person's, in the request that confirmed the onboarding; none when
/// nothing is new, or the person is gone.
async fn introduce(tx: &mut Tx, event: &Event, id: Uuid, told: OnboardingUserProfile) -> Result<Option<Event>> {
    let before = sqlx::query_as!(
        UserRow,
        "SELECT id, subject, email, name, preferred_name, pronouns, timezone, notes, context FROM org.users WHERE id = $1 FOR UPDATE",
        id
    )
    .fetch_optional(&mut **tx)
    .await?
    .map(User::from);
    let (Some(before), Ok(organization)) = (before, Uuid::parse_str(&event.organization_id)) else {
        return Ok(None);
    };
    let mut after = before.clone();
    for (field, given) in [
        (&mut after.preferred_name, told.preferred_name),
        (&mut after.pronouns, told.pronouns),
        (&mut after.timezone, told.timezone),
        (&mut after.notes, told.notes),
        (&mut after.context, told.context),
    ] {
        if given.is_some() {
            *field = given;
        }
    }
    if after == before {
        return Ok(None);
    }
    let request = Caller {
        signed: None,
        request_id: event.request_id.as_str().into(),
        traceparent: event.traceparent.as_str().into(),
    };
    let sentence = "Profile updated from an onboarding.";
    let change = users::rewrite(tx, organization, id, (&before, &after), sentence).await?;
    Ok(Some(Event {
        actor: event.actor.clone(),
        ..change.into_event(&request)
    }))
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
