//! Messages to agents: queued in the transaction of what causes them, sent in order, retried for a day.

use std::{sync::Arc, time::Duration};

use chassis::{Change, Result, Tx, role::backoff};
use proto::gateway::v1::SendMessageRequest;
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    app::App,
    lease::{Of, give_back, hold},
    operations::{self, MessageRow},
    provision::describe,
    takers::Takers,
};

/// Messages sent at once; to one agent one after the other.
const CONCURRENCY: usize = 8;
/// Longest wait before the rows are looked at again.
const IDLE: Duration = Duration::from_millis(500);
/// Longest wait while the rows cannot be looked at.
const AWAY: Duration = Duration::from_secs(10);
/// Delays between attempts.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));
/// After this long a message is given up: it tells of something that has changed since.
const GIVE_UP: time::Duration = time::Duration::DAY;
/// How long settled messages are kept.
const KEEP: Duration = Duration::from_secs(3600);

/// What makes a message one that somebody sent on purpose: it is listed as an operation, also after it was sent.
pub struct Purpose {
    /// What it is, in a few words.
    pub title: String,
    /// Who sends it: display name.
    pub by: String,
}

/// A message to be queued.
pub struct Letter {
    /// The message; also the id of its operation.
    pub id: Uuid,
    pub organization: Uuid,
    pub agent: Uuid,
    pub board: Option<Uuid>,
    pub task: Option<Uuid>,
    pub gateway: Uuid,
    pub session_key: String,
    pub label: String,
    pub text: String,
    /// Deliver the answer to the session's channel.
    pub deliver: bool,
    /// The same key is sent once.
    pub key: String,
    /// Event and sentence when it was sent.
    pub sent: Option<(&'static str, String)>,
    /// Event and sentence when it was given up.
    pub failed: Option<(&'static str, String)>,
    /// Set for messages between agents and from people.
    pub purpose: Option<Purpose>,
}

/// Queues messages with one statement.
pub async fn queue(tx: &mut Tx, letters: &[Letter]) -> Result<()> {
    if letters.is_empty() {
        return Ok(());
    }
    let texts = |of: fn(&Letter) -> &str| letters.iter().map(|letter| of(letter).to_owned()).collect::<Vec<_>>();
    let event = |of: fn(&Letter) -> &Option<(&'static str, String)>| {
        let kinds: Vec<Option<String>> = letters
            .iter()
            .map(|letter| of(letter).as_ref().map(|(kind, _)| (*kind).to_owned()))
            .collect();
        let sentences: Vec<String> = letters
            .iter()
            .map(|letter| of(letter).as_ref().map(|(_, text)| text.clone()).unwrap_or_default())
            .collect();
        (kinds, sentences)
    };
    let purpose = |of: fn(&Purpose) -> &str| {
        let text = |letter: &Letter| {
            letter
                .purpose
                .as_ref()
                .map(|purpose| of(purpose).to_owned())
                .unwrap_or_default()
        };
        letters.iter().map(text).collect::<Vec<String>>()
    };
    let ((sent, sent_text), (failed, failed_text)) = (event(|letter| &letter.sent), event(|letter| &letter.failed));
    sqlx::query!(
        "INSERT INTO agent.messages (id, organization_id, agent_id, board_id, task_id, gateway_id, session_key, label, text, deliver, \
             idempotency_key, sent_event, sent_text, failed_event, failed_text, listed, title, created_by, next_attempt_at) \
         SELECT *, now() FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::uuid[], $6::uuid[], $7::text[], $8::text[], $9::text[], \
             $10::bool[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[], $16::bool[], $17::text[], $18::text[]) \
         ON CONFLICT (idempotency_key) DO NOTHING",
        &letters.iter().map(|letter| letter.id).collect::<Vec<_>>(),
        &letters.iter().map(|letter| letter.organization).collect::<Vec<_>>(),
        &letters.iter().map(|letter| letter.agent).collect::<Vec<_>>(),
        &letters.iter().map(|letter| letter.board).collect::<Vec<_>>() as &[Option<Uuid>],
        &letters.iter().map(|letter| letter.task).collect::<Vec<_>>() as &[Option<Uuid>],
        &letters.iter().map(|letter| letter.gateway).collect::<Vec<_>>(),
        &texts(|letter| &letter.session_key),
        &texts(|letter| &letter.label),
        &texts(|letter| &letter.text),
        &letters.iter().map(|letter| letter.deliver).collect::<Vec<_>>(),
        &texts(|letter| &letter.key),
        &sent as &[Option<String>],
        &sent_text,
        &failed as &[Option<String>],
        &failed_text,
        &letters.iter().map(|letter| letter.purpose.is_some()).collect::<Vec<_>>(),
        &purpose(|purpose| &purpose.title),
        &purpose(|purpose| &purpose.by)
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Sends until `stop`. What is on its way then may be sent again by the next process: the key makes that harmless.
pub async fn run(app: Arc<App>, stop: CancellationToken) -> Result<()> {
    let takers = Takers {
        what: "sending messages",
        most: CONCURRENCY,
        woken: &app.mail,
        idle: IDLE,
        away: AWAY,
    };
    let sending = takers.take(
        &stop,
        |most| Box::pin(claim(&app, most)),
        |message| send(app.clone(), message),
    );
    tokio::join!(sending, sweeping(&app, &stop));
    Ok(())
}

/// Sweeps from time to time until `stop`.
async fn sweeping(app: &App, stop: &CancellationToken) {
    while tokio::time::timeout(KEEP, stop.cancelled()).await.is_err() {
        if let Err(error) = sweep(app).await {
            tracing::warn!(error = error.report(), "old messages and operations were not removed");
        }
    }
}

/// Removes what was settled a week ago.
async fn sweep(app: &App) -> Result<()> {
    sqlx::query!("DELETE FROM agent.messages WHERE state <> 'waiting' AND settled_at < now() - interval '7 days'")
        .execute(app.store.pool())
        .await?;
    sqlx::query!("DELETE FROM agent.operations WHERE state <> 'running' AND settled_at < now() - interval '7 days'")
        .execute(app.store.pool())
        .await?;
    Ok(())
}

/// Sends one message under its lease.
async fn send(app: Arc<App>, message: Message) -> Result<()> {
    let (id, lease, attempts) = (message.id, message.lease_id.unwrap_or_default(), message.attempts);
    let done = hold(&app, Of::Message, id, lease, Box::pin(deliver(&app, message))).await;
    if done.is_err() {
        give_back(&app, Of::Message, id, lease, attempts).await;
    }
    done
}

struct Message {
    id: Uuid,
    organization_id: Uuid,
    agent_id: Uuid,
    board_id: Option<Uuid>,
    task_id: Option<Uuid>,
    gateway_id: Uuid,
    session_key: String,
    label: String,
    text: String,
    deliver: bool,
    idempotency_key: String,
    sent_event: Option<String>,
    sent_text: String,
    failed_event: Option<String>,
    failed_text: String,
    listed: bool,
    title: String,
    created_by: String,
    attempts: i32,
    lease_id: Option<Uuid>,
    next_attempt_at: Option<OffsetDateTime>,
    created_at: OffsetDateTime,
    /// The agent was never set up on its gateway.
    absent: bool,
}

/// The first waiting message of each agent that is on its gateway, when it is due, and those of agents that did not get there in time.
async fn claim(app: &App, most: usize) -> Result<Vec<Message>> {
    Ok(sqlx::query_as!(
        Message,
        "UPDATE agent.messages SET lease_id = $1, lease_until = now() + interval '20 seconds', attempts = attempts + 1 WHERE id IN ( \
             SELECT m.id FROM agent.messages AS m JOIN agent.agents AS a ON a.id = m.agent_id \
             WHERE m.state = 'waiting' AND m.next_attempt_at <= now() AND (m.lease_until IS NULL OR m.lease_until < now()) \
               AND (a.observed_generation > 0 OR m.created_at < now() - interval '1 day') \
               AND NOT EXISTS (SELECT 1 FROM agent.messages AS o WHERE o.agent_id = m.agent_id AND o.state = 'waiting' \
                               AND (o.created_at, o.id) < (m.created_at, m.id)) \
             ORDER BY m.next_attempt_at LIMIT $2 FOR UPDATE OF m SKIP LOCKED) \
         RETURNING id, organization_id, agent_id, board_id, task_id, gateway_id, session_key, label, text, deliver, idempotency_key, \
             sent_event, sent_text, failed_event, failed_text, listed, title, created_by, attempts, lease_id, next_attempt_at, created_at, \
             (SELECT a.observed_generation = 0 FROM agent.agents AS a WHERE a.id = agent_id) AS \"absent!\"",
        Uuid::now_v7(),
        i64::try_from(most).unwrap_or(1)
    )
    .fetch_all(app.store.pool())
    .await?)
}

async fn deliver(app: &App, message: Message) -> Result<()> {
    let request = SendMessageRequest {
        gateway_id: message.gateway_id.to_string(),
        session_key: message.session_key.clone(),
        label: message.label.clone(),
        text: message.text.clone(),
        deliver: message.deliver,
        idempotency_key: message.idempotency_key.clone(),
    };
    let outcome = if message.absent {
        Err(chassis::Error::gateway(
            "The agent was not set up on its gateway within a day.",
        ))
    } else {
        app.gateways(message.organization_id)
            .send_message(request)
            .await
            .map_err(chassis::Error::from)
    };
    let now = OffsetDateTime::now_utc();
    let (state, next, error) = match &outcome {
        Ok(_) => ("sent", None, None),
        Err(error) if now - message.created_at > GIVE_UP => ("failed", None, Some(describe(error))),
        Err(error) => {
            let attempts = u32::try_from(message.attempts).unwrap_or(u32::MAX);
            (
                "waiting",
                Some(now + backoff(attempts, RETRY.0, RETRY.1)),
                Some(describe(error)),
            )
        }
    };
    if let Some(error) = &error {
        tracing::warn!(agent = %message.agent_id, gateway = %message.gateway_id, attempts = message.attempts, error, "a message was not sent");
    }
    let mut tx = app.store.begin().await?;
    // A time that is not the one this attempt came for was set meanwhile, because the gateway is back: it counts.
    let done = sqlx::query!(
        "UPDATE agent.messages SET state = $3, last_error = $5, lease_id = NULL, lease_until = NULL, \
             next_attempt_at = CASE WHEN $3 = 'waiting' AND next_attempt_at IS DISTINCT FROM $6 THEN next_attempt_at ELSE $4 END, \
             settled_at = CASE WHEN $3 = 'waiting' THEN NULL ELSE now() END \
         WHERE id = $1 AND lease_id = $2 AND state = 'waiting'",
        message.id,
        message.lease_id,
        state,
        next,
        error,
        message.next_attempt_at
    )
    .execute(&mut *tx)
    .await?;
    let caller = app.itself(message.organization_id);
    // Notices that go through at once are nobody's operation.
    if done.rows_affected() == 1 && (message.listed || state != "sent" || message.attempts > 1) {
        let shown = MessageRow {
            id: message.id,
            organization_id: message.organization_id,
            agent_id: message.agent_id,
            board_id: message.board_id,
            gateway_id: message.gateway_id,
            label: message.label.clone(),
            title: message.title.clone(),
            created_by: message.created_by.clone(),
            state: state.to_owned(),
            attempts: message.attempts,
            next_attempt_at: next,
            last_error: error.clone(),
            created_at: message.created_at,
            settled_at: (state != "waiting").then_some(now),
        };
        operations::tell(&mut tx, &caller, operations::message(&shown), Vec::new()).await?;
    }
    let told = match state {
        "sent" => message
            .sent_event
            .as_deref()
            .map(|kind| (kind, message.sent_text.clone())),
        "failed" => message
            .failed_event
            .as_deref()
            .map(|kind| (kind, format!("{} {}", message.failed_text, error.unwrap_or_default()))),
        _ => None,
    };
    if let (1, Some((kind, sentence))) = (done.rows_affected(), told) {
        let mut change = Change::new(kind, message.organization_id)
            .agent(Some(message.agent_id))
            .gateway(message.gateway_id)
            .operation(message.id)
            .message(sentence);
        if let Some(board) = message.board_id {
            change = change.board(board);
        }
        if let Some(task) = message.task_id {
            change = change.task(task);
        }
        tx.record(&caller, change).await?;
    }
    tx.commit().await?;
    // The next message of this agent may go now.
    if state == "sent" {
        app.mail.notify_one();
    }
    Ok(())
}
