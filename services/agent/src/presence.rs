//! Who is here: what calls and heartbeats say of agents, and who went silent.
//!
//! Every authenticated call of an agent is a sign of life. It is noted in memory and written by a loop, at most every 30 seconds an
//! agent, so that no request waits for it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chassis::{
    Caller, Change, Result, Tx,
    bus::{Bus, GAP},
};
use proto::{agent::v1::Agent, event::v1::Event};
use tokio::{
    sync::{Notify, broadcast::error::RecvError},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    app::App,
    row::{AgentRow, agents},
};

/// How often an agent that calls all the time is written.
const COALESCE: Duration = Duration::from_secs(30);
/// How often silence is looked for.
const SILENCE: Duration = Duration::from_secs(10);
/// Above this many remembered agents the old ones are dropped.
const REMEMBERED: usize = 10_000;

/// Signs of life that wait to be written.
#[derive(Default)]
pub struct Touches {
    state: Mutex<State>,
    poke: Notify,
}

#[derive(Default)]
struct State {
    noted: HashMap<Uuid, Instant>,
    waiting: Vec<Uuid>,
}

impl Touches {
    /// Notes a sign of life.
    pub fn note(&self, agent: Uuid) {
        self.note_at(agent, Instant::now());
    }

    fn note_at(&self, agent: Uuid, now: Instant) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.noted.get(&agent).is_some_and(|at| now - *at < COALESCE) {
            return;
        }
        if state.noted.len() >= REMEMBERED {
            state.noted.retain(|_, at| now - *at < COALESCE);
        }
        state.noted.insert(agent, now);
        state.waiting.push(agent);
        drop(state);
        self.poke.notify_one();
    }

    /// The next sign of life of an agent is written whenever it comes: it was woken and is waited for.
    pub fn forget(&self, agent: Uuid) {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .noted
            .remove(&agent);
    }

    fn take(&self) -> Vec<Uuid> {
        std::mem::take(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner).waiting)
    }
}

/// Writes noted signs of life until `stop`.
pub async fn write_touches(app: Arc<App>, stop: CancellationToken) -> Result<()> {
    while !stop.is_cancelled() {
        tokio::select! {
            () = stop.cancelled() => {}
            () = app.touches.poke.notified() => {}
        }
        let agents = app.touches.take();
        if agents.is_empty() {
            continue;
        }
        if let Err(error) = seen(&app, &agents).await {
            tracing::warn!(%error, agents = agents.len(), "writing signs of life failed");
            for agent in agents {
                app.touches.forget(agent);
            }
        }
    }
    Ok(())
}

async fn seen(app: &App, agents: &[Uuid]) -> Result<()> {
    let mut tx = app.store.begin().await?;
    // `shown_status` still has what was told last: what differs after the update is news.
    let rows = agents!(
        "UPDATE agent.agents AS a SET last_seen_at = now(), \
             status = CASE WHEN a.status IN ('provisioning', 'offline') THEN 'online' ELSE a.status END, \
             next_attempt_at = CASE WHEN a.wake_attempts > 0 AND a.attempts = 0 AND a.next_attempt_at > now() THEN now() ELSE a.next_attempt_at END \
         WHERE a.id = ANY($1) AND a.deleting_at IS NULL \
           AND (a.last_seen_at IS NULL OR a.last_seen_at < now() - interval '30 seconds' OR a.last_seen_at < a.last_wake_at) \
         RETURNING",
        "",
        agents
    )
    .fetch_all(&mut *tx)
    .await?;
    for row in rows {
        let caller = app.itself(row.organization_id);
        tell_status(&mut tx, &caller, &row).await?;
    }
    tx.commit().await?;
    app.work.notify_one();
    Ok(())
}

/// Tells watchers when the status shown of an agent is not the one told last. `row` is as written; answers whether there was news.
pub async fn tell_status(tx: &mut Tx, caller: &Caller, row: &AgentRow) -> Result<bool> {
    let shown = row.shown(time::OffsetDateTime::now_utc());
    if shown == row.shown_status {
        return Ok(false);
    }
    sqlx::query!("UPDATE agent.agents SET shown_status = $2 WHERE id = $1", row.id, shown)
        .execute(&mut **tx)
        .await?;
    let after = row.to_proto();
    let before = Agent {
        status: row.shown_status.clone(),
        ..after.clone()
    };
    let change = change("agent.status_changed", row)
        .message(format!("Agent {} is {shown}.", row.name))
        .before(&before)
        .after(&after);
    tx.record(caller, change).await?;
    Ok(true)
}

/// A change of an agent, with everything that places it.
pub fn change(kind: &str, row: &AgentRow) -> Change {
    let change = Change::new(kind, row.organization_id)
        .agent(Some(row.id))
        .gateway(row.gateway_id);
    match row.board_id {
        Some(board) => change.board(board),
        None => change,
    }
}

/// Looks for agents that went silent, until `stop`.
pub async fn watch_silence(app: Arc<App>, stop: CancellationToken) -> Result<()> {
    while !stop.is_cancelled() {
        silent(&app).await?;
        let _ = tokio::time::timeout(SILENCE, stop.cancelled()).await;
    }
    Ok(())
}

async fn silent(app: &App) -> Result<()> {
    let mut tx = app.store.begin().await?;
    let rows = agents!(
        "SELECT",
        "FROM agent.agents AS a \
         WHERE a.shown_status NOT IN ('provisioning', 'updating', 'deleting', 'offline') \
           AND a.last_seen_at < now() - make_interval(secs => 3 * a.heartbeat_seconds::float8) \
         ORDER BY a.last_seen_at LIMIT 500 FOR UPDATE SKIP LOCKED",
    )
    .fetch_all(&mut *tx)
    .await?;
    let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
    for row in rows {
        let caller = app.itself(row.organization_id);
        tell_status(&mut tx, &caller, &row).await?;
    }
    // Nobody is woken for nothing: those with open tasks are, as often as any agent that is waited for.
    let woken = sqlx::query!(
        "UPDATE agent.agents AS a SET wishes = a.wishes || '{\"wake\": true}', wake_attempts = 0, next_attempt_at = now(), attempts = 0 \
         WHERE a.id = ANY($1) AND EXISTS (SELECT 1 FROM agent.work AS w WHERE w.agent_id = a.id)",
        &ids
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    if woken.rows_affected() > 0 {
        app.work.notify_one();
    }
    Ok(())
}

/// Follows the agents' events of every process, so that no instance trusts a token or a name longer than the others, until `stop`.
pub async fn follow_changes(app: Arc<App>, bus: Arc<dyn Bus>, stop: CancellationToken) -> Result<()> {
    let mut events = bus.watch();
    loop {
        let event: Arc<Event> = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            event = events.recv() => match event {
                Ok(event) if event.r#type != GAP => event,
                Ok(_) | Err(RecvError::Lagged(_)) => {
                    app.known.forget_all();
                    continue;
                }
                Err(RecvError::Closed) => return Ok(()),
            },
        };
        let Ok(agent) = Uuid::parse_str(&event.agent_id) else {
            continue;
        };
        match event.r#type.as_str() {
            "agent.updated" | "agent.deleted" | "agent.token_rotated" => app.known.forget(agent),
            "agent.wakeup.sent" => app.touches.forget(agent),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_of_life_are_coalesced() {
        let (touches, agent, other, start) = (
            Touches::default(),
            Uuid::from_u128(1),
            Uuid::from_u128(2),
            Instant::now(),
        );
        touches.note_at(agent, start);
        touches.note_at(agent, start);
        touches.note_at(other, start);
        assert_eq!(touches.take(), [agent, other]);
        touches.note_at(agent, start + COALESCE / 2);
        assert!(touches.take().is_empty(), "written a moment ago");
        touches.note_at(agent, start + COALESCE);
        assert_eq!(touches.take(), [agent]);
        touches.forget(agent);
        touches.note_at(agent, start + COALESCE);
        assert_eq!(touches.take(), [agent], "a woken agent is not coalesced");
    }
}
