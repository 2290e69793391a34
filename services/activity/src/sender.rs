//! Sending deliveries: signed as Standard Webhooks says, bounded in time, with every attempt kept.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use base64::{Engine, engine::general_purpose::STANDARD};
use chassis::{
    Caller, Change, Error, Result,
    bus::WorkHandler,
    egress::{self, Policy},
};
use hmac::{Hmac, KeyInit, Mac};
use proto::activity::v1::Webhook;
use rand::RngExt;
use reqwest::{Client, header::RETRY_AFTER};
use sha2::Sha256;
use time::{OffsetDateTime, format_description::well_known::Rfc2822};
use uuid::Uuid;

use crate::{
    State,
    rules::{self, Outcome},
    webhooks::{Row, secret_place},
};

/// How long an endpoint may take to answer.
const TIMEOUT: Duration = Duration::from_secs(15);
/// The setting that opens private networks.
pub const NETWORKS: &str = "WEBHOOK_ALLOWED_NETWORKS";
/// How much of an answer is kept, in bytes.
const EXCERPT: usize = 1024;
/// Longest delay an endpoint can ask for.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(24 * 3600);

/// Works the queue of deliveries.
pub struct Sender {
    state: State,
    client: Client,
    policy: Policy,
    schedule: Vec<Duration>,
}

/// What came of an attempt.
struct Attempt {
    status: Option<u16>,
    error: Option<String>,
    excerpt: Option<String>,
    retry_after: Option<Duration>,
}

impl Sender {
    /// A sender with the configured schedule and networks.
    pub fn new(state: State) -> Result<Self> {
        let settings = &state.context.settings;
        let policy = Policy::parse(NETWORKS, &settings.webhook_allowed_networks)?;
        let schedule = rules::schedule(&settings.webhook_retry_schedule)
            .map_err(|error| Error::invalid("WEBHOOK_RETRY_SCHEDULE", error))?;
        let client = policy.client(settings.tls_ca_file.as_deref(), TIMEOUT)?;
        Ok(Self {
            state,
            client,
            policy,
            schedule,
        })
    }

    async fn attempt(&self, id: Uuid, url: &str, secret: &[u8], body: String) -> Attempt {
        let failed = |error: String| Attempt {
            status: None,
            error: Some(error),
            excerpt: None,
            retry_after: None,
        };
        // Addresses written as such never meet the resolver.
        if let Err(error) = self.policy.check("url", url) {
            tracing::debug!(%error, "webhook target refused");
            return failed("The URL points to an address that is not allowed.".to_owned());
        }
        let at = OffsetDateTime::now_utc().unix_timestamp();
        let request = self
            .client
            .post(url)
            .header("content-type", "application/json")
            .header("webhook-id", id.to_string())
            .header("webhook-timestamp", at.to_string())
            .header("webhook-signature", sign(secret, id, at, &body))
            .body(body);
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => return failed(explain(&error)),
        };
        let status = response.status().as_u16();
        let retry_after = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok())
            .and_then(retry_after);
        let excerpt = excerpt(response).await;
        let error = (!rules::SUCCESS.contains(&status)).then(|| format!("The endpoint answered {status}."));
        Attempt {
            status: Some(status),
            error,
            excerpt,
            retry_after,
        }
    }

    async fn settle(
        &self,
        id: Uuid,
        webhook: Row,
        number: i32,
        scheduled: i32,
        started: (OffsetDateTime, Instant),
        attempt: Attempt,
    ) -> Result<()> {
        let made = usize::try_from(number - scheduled).unwrap_or(1);
        let outcome = rules::outcome(
            attempt.status,
            made,
            &self.schedule,
            attempt.retry_after,
            rand::rng().random_range(0.0..1.0),
        );
        let (status, next, delivered) = match outcome {
            Outcome::Succeeded => ("succeeded", None, true),
            Outcome::Retry(delay) => ("pending", Some(OffsetDateTime::now_utc() + delay), false),
            Outcome::Failed | Outcome::Gone => ("failed", None, false),
        };
        let mut tx = self.state.store.begin().await?;
        sqlx::query!(
            "INSERT INTO activity.attempts (delivery_id, number, started_at, duration_ms, status, error, response_excerpt) VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
            id,
            number,
            started.0,
            i32::try_from(started.1.elapsed().as_millis()).unwrap_or(i32::MAX),
            attempt.status.map(i32::from),
            attempt.error,
            attempt.excerpt,
        )
        .execute(&mut *tx)
        .await?;
        sqlx::query!(
            "UPDATE activity.deliveries SET status = $2, next_attempt_at = $3, claimed_until = NULL, last_status = $4, last_error = $5, \
             delivered_at = CASE WHEN $6 THEN now() ELSE delivered_at END WHERE id = $1",
            id,
            status,
            next,
            attempt.status.map(i32::from),
            attempt.error,
            delivered,
        )
        .execute(&mut *tx)
        .await?;
        if matches!(outcome, Outcome::Failed | Outcome::Gone) {
            // Tells whoever looks after the subscription; never sent to subscriptions itself.
            let organization = webhook.organization_id;
            let caller = Caller::service(&self.state.context.signer, "activity", Some(organization));
            let error = attempt.error.as_deref().unwrap_or("The endpoint did not take it.");
            let change = Change::new(rules::GIVEN_UP, organization)
                .message(format!("A delivery to {} was given up: {error}", webhook.url));
            tx.record(&caller, change).await?;
        }
        if outcome == Outcome::Gone {
            let reason = "The endpoint answered 410 Gone.";
            let disabled = sqlx::query_as!(
                Row,
                "UPDATE activity.webhooks SET enabled = false, disabled_reason = $2, updated_at = now() WHERE id = $1 AND enabled \
                 RETURNING id, organization_id, url, description, event_types, board_id, enabled, disabled_reason, created_at, updated_at",
                webhook.id,
                reason
            )
            .fetch_optional(&mut *tx)
            .await?;
            if let Some(disabled) = disabled {
                let organization = disabled.organization_id;
                let caller = Caller::service(&self.state.context.signer, "activity", Some(organization));
                let change = Change::new("webhook.disabled", organization)
                    .message(format!("Webhook to {} disabled: {reason}", disabled.url))
                    .before(&Webhook::from(webhook))
                    .after(&Webhook::from(disabled));
                tx.record(&caller, change).await?;
            }
        }
        tx.commit().await?;
        tracing::debug!(delivery = %id, attempt = number, status = attempt.status, ?outcome, "webhook attempt");
        Ok(())
    }
}

#[async_trait]
impl WorkHandler for Sender {
    async fn work(&self, id: Uuid) -> Result<()> {
        // The claim outlives the attempt: a process that dies leaves it to be queued again when the claim ends.
        let claimed = sqlx::query!(
            "UPDATE activity.deliveries SET attempts = attempts + 1, claimed_until = now() + interval '60 seconds' FROM activity.webhooks \
             WHERE deliveries.id = $1 AND webhooks.id = deliveries.webhook_id AND deliveries.status = 'pending' AND deliveries.next_attempt_at <= now() \
             AND deliveries.id IN (SELECT id FROM activity.deliveries WHERE id = $1 FOR UPDATE SKIP LOCKED) \
             RETURNING deliveries.payload, deliveries.attempts, deliveries.schedule_from, webhooks.secret, \
             webhooks.id AS webhook_id, organization_id, url, description, event_types, board_id, enabled, disabled_reason, webhooks.created_at, updated_at",
            id
        )
        .fetch_optional(self.state.store.pool())
        .await?;
        let Some(claimed) = claimed else { return Ok(()) };
        let webhook = Row {
            id: claimed.webhook_id,
            organization_id: claimed.organization_id,
            url: claimed.url,
            description: claimed.description,
            event_types: claimed.event_types,
            board_id: claimed.board_id,
            enabled: claimed.enabled,
            disabled_reason: claimed.disabled_reason,
            created_at: claimed.created_at,
            updated_at: claimed.updated_at,
        };
        let started = (OffsetDateTime::now_utc(), Instant::now());
        let attempt = if webhook.enabled {
            let secret = self.state.sealer.open(&secret_place(webhook.id), &claimed.secret)?;
            self.attempt(id, &webhook.url, &secret, claimed.payload).await
        } else {
            Attempt {
                status: None,
                error: Some("The webhook is disabled.".to_owned()),
                excerpt: None,
                retry_after: None,
            }
        };
        self.settle(id, webhook, claimed.attempts, claimed.schedule_from, started, attempt)
            .await
    }
}

/// `v1,` and base64 of HMAC-SHA256 over `id.timestamp.body`.
fn sign(secret: &[u8], id: Uuid, at: i64, body: &str) -> String {
    // HMAC takes keys of any length: this cannot fail.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret) else {
        return String::new();
    };
    mac.update(format!("{id}.{at}.{body}").as_bytes());
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

/// Seconds, or a date (RFC 9110, 10.2.3).
fn retry_after(text: &str) -> Option<Duration> {
    let delay = if let Ok(seconds) = text.trim().parse() {
        Duration::from_secs(seconds)
    } else {
        let at = OffsetDateTime::parse(&text.replace("GMT", "+0000"), &Rfc2822).ok()?;
        Duration::try_from(at - OffsetDateTime::now_utc()).ok()?
    };
    Some(delay.min(LONGEST_RETRY_AFTER))
}

async fn excerpt(mut response: reqwest::Response) -> Option<String> {
    let mut kept = Vec::new();
    while kept.len() < EXCERPT {
        match response.chunk().await {
            Ok(Some(chunk)) => kept.extend_from_slice(&chunk[..chunk.len().min(EXCERPT - kept.len())]),
            _ => break,
        }
    }
    // PostgreSQL's text has no NUL.
    (!kept.is_empty()).then(|| String::from_utf8_lossy(&kept).replace('\0', "\u{fffd}"))
}

/// The innermost cause in words, without the URL.
fn explain(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "The endpoint did not answer within 15 seconds.".to_owned();
    }
    format!("The endpoint could not be reached: {}.", egress::explain(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_like_the_specification() {
        // Test vector of the Standard Webhooks reference libraries.
        let secret = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("base64");
        let mut mac = Hmac::<Sha256>::new_from_slice(&secret).expect("a key");
        mac.update(b"msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.{\"test\": 2432232314}");
        assert_eq!(
            STANDARD.encode(mac.finalize().into_bytes()),
            "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
        let id = Uuid::nil();
        assert!(sign(&secret, id, 1, "{}").starts_with("v1,"));
        assert_ne!(sign(&secret, id, 1, "{}"), sign(&secret, id, 2, "{}"));
    }

    #[test]
    fn honours_both_forms_of_retry_after() {
        assert_eq!(retry_after("120"), Some(Duration::from_secs(120)));
        assert_eq!(retry_after("99999999"), Some(LONGEST_RETRY_AFTER));
        assert_eq!(retry_after("soon"), None);
        assert_eq!(
            retry_after("Sun, 06 Nov 1994 08:49:37 GMT"),
            None,
            "a date that has passed asks for nothing"
        );
        let at = (OffsetDateTime::now_utc() + Duration::from_secs(90))
            .format(&Rfc2822)
            .expect("a date");
        assert!(retry_after(&at).is_some_and(|delay| (80..=90).contains(&delay.as_secs())));
    }
}
