//! Requests that may come twice: the first answer is kept for a day and given again, the effect happens once.
//!
//! A caller names a key ([`KEY`]). Before the handler runs, the key is claimed in the service's own schema; the first transaction that the
//! handler commits marks the key in the same commit ([`Claim::mark`]), together with an answer that can be told from the events it
//! recorded. So a process may die at any point: before the commit nothing has happened and the claim expires; after it the key is known to
//! be used up. Handlers know nothing of this, and a request without a key costs nothing.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Request, Response, header};
use http_body::Frame;
use http_body_util::{BodyExt, Limited, StreamBody};
use prost::Message;
use proto::event::v1::Event;
use sha2::{Digest, Sha256};
use sqlx::{PgConnection, Row};
use tonic::{Code, Status, body::Body, service::Routes};
use tower::Service;
use uuid::Uuid;

use crate::{Error, Result, error::Kind, seal::Sealer, store::Store};

/// Metadata key of the idempotency key; the HTTP header has the same name
/// (<https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/>).
pub const KEY: &str = "idempotency-key";
/// Marks an answer that was given before.
pub const REPLAYED: &str = "idempotency-replayed";
/// Longest key.
pub const LONGEST: usize = 255;

/// Largest request message that can be repeated.
const LARGEST: usize = 16 * 1024 * 1024;
/// Length of the head of a gRPC message.
const HEAD: usize = 5;

tokio::task_local! {
    static CLAIM: Option<Arc<Claim>>;
}

/// Runs a call of a service; transactions that begin in it belong to `claim`. Calls without a key run in a scope of their own too: one
/// service may call another in the same task.
pub(crate) fn scoped<F: Future>(
    claim: Option<Arc<Claim>>,
    call: F,
) -> tokio::task::futures::TaskLocalFuture<Option<Arc<Claim>>, F> {
    CLAIM.scope(claim, call)
}

/// A key that an execution holds.
pub struct Claim {
    schema: &'static str,
    principal: String,
    key: String,
    id: Uuid,
    /// Full name of the answer's message.
    output: String,
    sealer: Sealer,
    committed: AtomicBool,
}

impl Claim {
    /// The claim of the running call, if it is one of this schema.
    pub(crate) fn current(schema: &str) -> Option<Arc<Self>> {
        CLAIM
            .try_with(Clone::clone)
            .ok()
            .flatten()
            .filter(|claim| claim.schema == schema)
    }

    /// The answer as the events tell it: the resource after the change, or before it when it is gone.
    pub(crate) fn told(&self, events: &[Event]) -> Option<Vec<u8>> {
        let named = |any: &prost_types::Any| any.type_url.rsplit('/').next() == Some(self.output.as_str());
        let told = events.iter().find_map(|event| {
            let resource = event.after.as_ref().or(event.before.as_ref())?;
            named(resource).then(|| resource.value.clone())
        });
        let done = <proto::common::v1::Ok as prost::Name>::full_name();
        told.or_else(|| (self.output == done).then(|| proto::common::v1::Ok { ok: true }.encode_to_vec()))
    }

    /// Marks the key as used up, in the transaction of the effect. Refused when another execution has taken the key over meanwhile: then
    /// this one must have no effect.
    pub(crate) async fn mark(&self, connection: &mut PgConnection, answer: Option<&[u8]>) -> Result<()> {
        let sealed = answer.map(|answer| self.seal(answer)).transpose()?;
        let marked = sqlx::query(
            "UPDATE idempotency SET committed = true, code = CASE WHEN $4::bytea IS NULL THEN code ELSE 0 END, answer = coalesce($4, answer) \
             WHERE principal = $1 AND key = $2 AND claim = $3",
        )
        .bind(&self.principal)
        .bind(&self.key)
        .bind(self.id)
        .bind(sealed)
        .execute(connection)
        .await?;
        if marked.rows_affected() == 1 {
            Ok(())
        } else {
            Err(Error::conflict(
                "Another request with the same idempotency key was faster: repeat yours to get its answer.",
            ))
        }
    }

    /// The transaction that [`Self::mark`] was part of is committed.
    pub(crate) fn settled(&self) {
        self.committed.store(true, Ordering::Release);
    }

    fn seal(&self, plain: &[u8]) -> Result<Vec<u8>> {
        self.sealer.seal(&place(&self.principal, &self.key), plain)
    }

    /// Keeps what was answered.
    async fn finish(&self, store: &Store, code: Code, answer: &[u8]) -> Result<()> {
        sqlx::query("UPDATE idempotency SET code = $4, answer = $5, claimed_until = '-infinity' WHERE principal = $1 AND key = $2 AND claim = $3")
            .bind(&self.principal)
            .bind(&self.key)
            .bind(self.id)
            .bind(i32::from(code))
            .bind(self.seal(answer)?)
            .execute(store.pool())
            .await?;
        Ok(())
    }

    /// Gives the key back: nothing has happened.
    async fn release(&self, store: &Store) -> Result<()> {
        sqlx::query("DELETE FROM idempotency WHERE principal = $1 AND key = $2 AND claim = $3 AND NOT committed")
            .bind(&self.principal)
            .bind(&self.key)
            .bind(self.id)
            .execute(store.pool())
            .await?;
        Ok(())
    }
}

/// An error as it is kept.
#[derive(Clone, PartialEq, prost::Message)]
struct Failure {
    #[prost(string, tag = "1")]
    message: String,
    #[prost(bytes = "vec", tag = "2")]
    details: Vec<u8>,
}

/// Keeps the keys of one service.
#[derive(Clone)]
pub struct Keeper {
    store: Store,
    sealer: Sealer,
}

/// A call that named a key.
pub(crate) struct Keyed {
    pub principal: String,
    pub key: String,
    /// Full name of the answer's message.
    pub output: String,
}

/// How a call with a key goes on.
enum Begun {
    /// It runs.
    Claimed(Arc<Claim>),
    /// It ran before.
    Answered(Code, Vec<u8>),
}

impl Keeper {
    /// Keys in a service's schema.
    pub fn new(store: Store, sealer: Sealer) -> Self {
        Self { store, sealer }
    }

    /// Runs a call, or answers what it answered before. It goes on when the caller goes away, so that a repetition finds its answer.
    pub(crate) async fn once(self, keyed: Keyed, routes: Routes, request: Request<Body>) -> Response<Body> {
        let running = tokio::spawn(async move {
            self.run(keyed, routes, request)
                .await
                .unwrap_or_else(|error| Status::from(error).into_http())
        });
        running.await.unwrap_or_else(|error| {
            tracing::error!(%error, "a call with an idempotency key ended early");
            Status::internal("Internal Server Error").into_http()
        })
    }

    async fn run(&self, keyed: Keyed, mut routes: Routes, request: Request<Body>) -> Result<Response<Body>> {
        let (parts, body) = request.into_parts();
        let body = Limited::new(body, LARGEST)
            .collect()
            .await
            .map_err(|_| Error::new(Kind::TooLarge, "The request is too large to be repeated."))?
            .to_bytes();
        let fingerprint = Sha256::new()
            .chain_update(parts.uri.path())
            .chain_update([0])
            .chain_update(body.get(HEAD..).unwrap_or_default())
            .finalize()
            .to_vec();
        let claim = match self.begin(keyed, &fingerprint).await? {
            Begun::Claimed(claim) => claim,
            Begun::Answered(code, answer) => return replay(code, &answer),
        };
        let request = Request::from_parts(
            parts,
            Body::new(http_body_util::Full::new(body).map_err(|never| match never {})),
        );
        let response = match scoped(Some(claim.clone()), routes.call(request)).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        let answered = Answered::of(response).await;
        let kept = match (answered.code, claim.committed.load(Ordering::Acquire)) {
            (Code::Ok, _) => claim.finish(&self.store, Code::Ok, answered.message()).await,
            (code, true) => claim.finish(&self.store, code, &answered.failure()).await,
            (_, false) => claim.release(&self.store).await,
        };
        if let Err(error) = kept {
            // The effect is safe: its transaction marked the key.
            tracing::warn!(
                error = error.report(),
                "an answer could not be kept for repetitions of its request"
            );
        }
        Ok(answered.into_response())
    }

    async fn begin(&self, keyed: Keyed, fingerprint: &[u8]) -> Result<Begun> {
        let Keyed { principal, key, output } = keyed;
        let id = Uuid::now_v7();
        // A claim that was given back between two statements is looked for again.
        for _ in 0..3 {
            let claimed = sqlx::query(
                "INSERT INTO idempotency AS known (principal, key, fingerprint, claim, claimed_until) \
                 VALUES ($1, $2, $3, $4, now() + interval '60 seconds') \
                 ON CONFLICT (principal, key) DO UPDATE \
                 SET fingerprint = EXCLUDED.fingerprint, claim = EXCLUDED.claim, claimed_until = EXCLUDED.claimed_until, \
                     created_at = EXCLUDED.created_at, committed = false, code = NULL, answer = NULL \
                 WHERE known.created_at < now() - interval '24 hours' \
                    OR (NOT known.committed AND known.code IS NULL AND known.claimed_until < now() AND known.fingerprint = EXCLUDED.fingerprint) \
                 RETURNING claim",
            )
            .bind(&principal)
            .bind(&key)
            .bind(fingerprint)
            .bind(id)
            .fetch_optional(self.store.pool())
            .await?;
            if claimed.is_some() {
                return Ok(Begun::Claimed(Arc::new(Claim {
                    schema: self.store.schema(),
                    principal,
                    key,
                    id,
                    output,
                    sealer: self.sealer.clone(),
                    committed: AtomicBool::new(false),
                })));
            }
            let known = sqlx::query(
                "SELECT fingerprint, code, answer, committed, claimed_until > now() AS running, \
                   (claimed_until = '-infinity' OR created_at < now() - interval '5 seconds') AS settled \
                 FROM idempotency WHERE principal = $1 AND key = $2",
            )
            .bind(&principal)
            .bind(&key)
            .fetch_optional(self.store.pool())
            .await?;
            let Some(known) = known else { continue };
            if known.get::<&[u8], _>("fingerprint") != fingerprint {
                return Err(Error::unprocessable(
                    "This idempotency key was used with another request within the last 24 hours: use a new key for every request.",
                )
                .with("code", "idempotency_key_reused"));
            }
            // What the events tell stands in for an answer only once nothing better is to be expected: it lacks secrets that are shown once.
            if known.get::<bool, _>("settled")
                && let (Some(code), Some(sealed)) = (
                    known.get::<Option<i32>, _>("code"),
                    known.get::<Option<&[u8]>, _>("answer"),
                )
            {
                let answer = self.sealer.open(&place(&principal, &key), sealed)?;
                return Ok(Begun::Answered(Code::from(code), answer));
            }
            if known.get("committed") && !known.get::<bool, _>("running") {
                return Err(Error::conflict(
                    "This request was carried out, but its answer was lost: load the resource to see the result.",
                )
                .with("code", "idempotency_answer_lost"));
            }
            break;
        }
        Err(
            Error::conflict("A request with this idempotency key is still running: repeat it in a moment.")
                .with("code", "idempotency_in_progress")
                .retry_after(std::time::Duration::from_secs(1)),
        )
    }
}

/// Where a sealed answer belongs.
fn place(principal: &str, key: &str) -> String {
    format!("idempotency:{principal}:{key}")
}

/// The same answer as before, marked.
fn replay(code: Code, answer: &[u8]) -> Result<Response<Body>> {
    let mut response = if code == Code::Ok {
        let mut framed = BytesMut::with_capacity(HEAD + answer.len());
        framed.put_u8(0);
        framed.put_u32(u32::try_from(answer.len()).map_err(Error::internal)?);
        framed.put_slice(answer);
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        let mut response = Response::new(whole(framed.freeze(), Some(trailers)));
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        response
    } else {
        let failure = Failure::decode(answer)?;
        Status::with_details(code, failure.message, failure.details.into()).into_http()
    };
    response
        .headers_mut()
        .insert(REPLAYED, HeaderValue::from_static("true"));
    Ok(response)
}

fn whole(data: Bytes, trailers: Option<HeaderMap>) -> Body {
    let frames = [
        (!data.is_empty()).then(|| Frame::data(data)),
        trailers.map(Frame::trailers),
    ];
    Body::new(StreamBody::new(futures::stream::iter(
        frames.into_iter().flatten().map(Ok::<_, Status>),
    )))
}

/// A whole answer of a handler.
struct Answered {
    parts: http::response::Parts,
    data: Bytes,
    trailers: Option<HeaderMap>,
    code: Code,
}

impl Answered {
    async fn of(response: Response<Body>) -> Self {
        let (parts, body) = response.into_parts();
        let mut code = code(&parts.headers);
        let (mut data, mut trailers) = (Bytes::new(), None);
        match body.collect().await {
            Ok(collected) => {
                trailers = collected.trailers().cloned();
                data = collected.to_bytes();
                code = code.or_else(|| trailers.as_ref().and_then(self::code));
            }
            Err(status) => code = Some(status.code()),
        }
        Self {
            parts,
            data,
            trailers,
            code: code.unwrap_or(Code::Unknown),
        }
    }

    fn message(&self) -> &[u8] {
        self.data.get(HEAD..).unwrap_or_default()
    }

    fn failure(&self) -> Vec<u8> {
        let status = Status::from_header_map(&self.parts.headers)
            .or_else(|| self.trailers.as_ref().and_then(Status::from_header_map));
        status
            .map(|status| Failure {
                message: status.message().to_owned(),
                details: status.details().to_vec(),
            })
            .unwrap_or_default()
            .encode_to_vec()
    }

    fn into_response(self) -> Response<Body> {
        Response::from_parts(self.parts, whole(self.data, self.trailers))
    }
}

fn code(headers: &HeaderMap) -> Option<Code> {
    headers
        .get("grpc-status")
        .map(|value| Code::from_bytes(value.as_bytes()))
}
