//! Who calls: credentials become signed principals, once for a few seconds.

use std::{net::IpAddr, sync::Arc, time::Duration};

use chassis::{
    Context, Error, Result,
    channel::Peers,
    error::Kind,
    identity::{Signed, Signer},
    role::backoff,
};
use http::{HeaderMap, HeaderName, header};
use moka::future::Cache;
use proto::{
    agent::v1::{VerifyTokenRequest, agent_directory_service_client::AgentDirectoryServiceClient},
    event::v1::Event,
    identity::v1::Principal,
    org::v1::{ResolveUserRequest, VerifyApiKeyRequest, directory_service_client::DirectoryServiceClient},
};
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio::sync::{
    broadcast::{Receiver, error::RecvError},
    watch,
};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use transcoder::Credential;

use crate::{limits::Limits, oidc};

/// The header of agents.
const AGENT_TOKEN: &str = "x-agent-token";
/// How API keys begin.
const API_KEY: &str = "mck_";
/// How long a signature counts. Longer than any call takes.
const LIFETIME: Duration = Duration::from_secs(60);
/// How long a credential is not asked about again: the longest a revoked one lives when its event got lost.
const REMEMBERED: Duration = Duration::from_secs(5);
/// Credentials remembered at most.
const CAPACITY: u64 = 20_000;
/// How long the role that knows the credential may take.
const DEADLINE: Duration = Duration::from_secs(5);
/// How often those who hold streams are looked at again when no event says that something changed: credentials end by themselves, too.
const AGAIN: Duration = Duration::from_secs(30);
/// Within which time they are looked at after such an event, so that not all are at once.
const SPREAD: Duration = Duration::from_millis(500);

/// SHA-256 of a credential and its kind: what is kept in memory instead of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key([u8; 32]);

impl Key {
    fn of(kind: &str, credential: &str) -> Self {
        Self(
            Sha256::new()
                .chain_update(kind)
                .chain_update([0])
                .chain_update(credential)
                .finalize()
                .into(),
        )
    }
}

/// Turns credentials into principals.
pub struct Authenticator {
    /// The local token; none when people do not sign in that way.
    local: Option<Key>,
    /// Checks people's tokens; none when they sign in with the local one.
    issuer: Option<oidc::Verifier>,
    people: Cache<Key, Signed>,
    agents: Cache<Key, Signed>,
    limits: Limits,
    peers: Peers,
    signer: Signer,
    /// Told when what was known of somebody counts no more.
    moved: watch::Sender<()>,
}

/// Who holds a stream: the credential, and who that was when the stream began.
pub struct Holder {
    wanted: Credential,
    headers: HeaderMap,
    began: Arc<Principal>,
}

impl Holder {
    /// The caller of a request with these headers.
    pub fn new(wanted: Credential, headers: &HeaderMap, caller: &Signed) -> Self {
        let credentials = [header::AUTHORIZATION, HeaderName::from_static(AGENT_TOKEN)];
        Self {
            wanted,
            headers: credentials
                .into_iter()
                .filter_map(|name| Some((name.clone(), headers.get(&name)?.clone())))
                .collect(),
            began: caller.principal.clone(),
        }
    }
}

/// Whether a caller still has every right that it had. What it gained elsewhere does not matter, nor which organization is active: a stream keeps
/// to the one it was begun in.
fn keeps(before: &Principal, now: &Principal) -> bool {
    before.id == now.id
        && before.board_id == now.board_id
        && before.is_lead == now.is_lead
        && before.read_only == now.read_only
        && before
            .memberships
            .iter()
            .all(|membership| now.memberships.contains(membership))
}

/// Credentials as they were sent: trimmed, blank ones left out.
#[derive(Debug, PartialEq, Eq)]
struct Presented<'a> {
    bearer: Option<&'a str>,
    agent: Option<&'a str>,
}

impl<'a> Presented<'a> {
    fn of(headers: &'a HeaderMap) -> Self {
        let text = |name: &str| {
            headers
                .get(name)
                .and_then(|value| value.to_str().ok())
                .map(str::trim)
                .filter(|text| !text.is_empty())
        };
        let bearer = text(header::AUTHORIZATION.as_str())
            .and_then(|value| value.split_once(char::is_whitespace))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim());
        Self {
            bearer,
            agent: text(AGENT_TOKEN),
        }
    }
}

impl Authenticator {
    /// Reads from the settings how people sign in.
    pub fn new(context: &Context) -> Result<Self> {
        let settings = &context.settings;
        let issuer = if settings.auth_mode.has_issuer() {
            Some(oidc::Verifier::new(settings)?)
        } else {
            None
        };
        let token = settings.local_auth_token.expose_secret().trim();
        let cache = || Cache::builder().max_capacity(CAPACITY).time_to_live(REMEMBERED).build();
        Ok(Self {
            local: (issuer.is_none() && !token.is_empty()).then(|| Key::of("person", token)),
            issuer,
            people: cache(),
            agents: cache(),
            limits: Limits::new(settings.rate_limit_agent, settings.rate_limit_user),
            peers: context.peers.named("edge"),
            signer: context.signer.clone(),
            moved: watch::Sender::new(()),
        })
    }

    /// The caller behind a request that needs this credential.
    pub async fn authenticate(&self, wanted: Credential, headers: &HeaderMap, address: IpAddr) -> Result<Signed> {
        // A caller that shows nothing has not failed: it costs nothing, and a page that is not signed in yet must not lock out others.
        let verified = self.verify(wanted, headers).await.ok_or_else(unauthorized)?;
        match verified {
            Ok(verified) => {
                self.limits.signed_in(&verified.principal)?;
                Ok(verified)
            }
            Err(error) if error.kind() == Kind::Unauthenticated => {
                metrics::counter!("auth_failures_total").increment(1);
                self.limits.failed(address)?;
                Err(error)
            }
            Err(error) => Err(error),
        }
    }

    /// Waits until whoever holds a stream may not hold it any longer, and says why: the credential counts no more, or a right is gone or another.
    /// Nobody holds streams of public methods.
    pub async fn outlived(&self, holder: Option<&Holder>) -> Status {
        let Some(holder) = holder else {
            return std::future::pending().await;
        };
        let mut moved = self.moved.subscribe();
        loop {
            let _ = tokio::time::timeout(AGAIN, moved.changed()).await;
            tokio::time::sleep(backoff(1, SPREAD, SPREAD)).await;
            // In a box: an open stream is small while it waits.
            match Box::pin(self.verify(holder.wanted, &holder.headers)).await {
                Some(Ok(now)) if keeps(&holder.began, &now.principal) => {}
                // The role that knows is away: that takes nobody's right.
                Some(Err(error)) if error.kind() != Kind::Unauthenticated => {}
                Some(Ok(_)) => {
                    return Error::precondition(
                        "What you may see has changed: load it again, and watch without a resume token.",
                    )
                    .into();
                }
                Some(Err(_)) | None => return unauthorized().into(),
            }
        }
    }

    /// Who shows these credentials; `None`: there are none.
    async fn verify(&self, wanted: Credential, headers: &HeaderMap) -> Option<Result<Signed>> {
        let presented = Presented::of(headers);
        let token = match wanted {
            Credential::User => presented.bearer,
            Credential::Agent | Credential::Any => presented.agent.or(presented.bearer),
        };
        let token = token?;
        Some(match wanted {
            Credential::User => self.person(token).await,
            Credential::Agent => self.agent(token).await,
            Credential::Any if presented.agent.is_some() => self.agent(token).await,
            Credential::Any => match self.person(token).await {
                Err(error) if error.kind() == Kind::Unauthenticated => self.agent(token).await,
                found => found,
            },
        })
    }

    /// Counts a call to a public method.
    pub fn anonymous(&self, address: IpAddr) -> Result<()> {
        self.limits.anonymous(address)
    }

    async fn person(&self, token: &str) -> Result<Signed> {
        let key = Key::of("person", token);
        let local = self.local.as_ref().is_some_and(|local| local.0.ct_eq(&key.0).into());
        let known = async {
            if token.starts_with(API_KEY) {
                return self.api_key(token).await;
            }
            let claims = match &self.issuer {
                Some(issuer) => issuer.verify(token).await?,
                None if local => oidc::Claims {
                    subject: oidc::LOCAL_SUBJECT.to_owned(),
                    email: Some("admin@home.local".to_owned()),
                    name: Some("Local User".to_owned()),
                },
                None => return Err(unauthorized().into()),
            };
            let peer = self.peers.as_service("org", None, None).within(DEADLINE);
            let request = ResolveUserRequest {
                subject: claims.subject,
                email: claims.email,
                name: claims.name,
            };
            let answer = DirectoryServiceClient::new(peer).resolve_user(request).await?;
            self.sign(answer.into_inner().principal)
        };
        if self.issuer.is_none() && !local && !token.starts_with(API_KEY) {
            return Err(unauthorized());
        }
        self.people
            .try_get_with(key, known)
            .await
            .map_err(|status| Error::from(Status::clone(&status)))
    }

    async fn api_key(&self, key: &str) -> Result<Signed, Status> {
        let peer = self.peers.as_service("org", None, None).within(DEADLINE);
        let request = VerifyApiKeyRequest { key: key.to_owned() };
        let answer = DirectoryServiceClient::new(peer).verify_api_key(request).await?;
        self.sign(answer.into_inner().principal)
    }

    async fn agent(&self, token: &str) -> Result<Signed> {
        let key = Key::of("agent", token);
        let verify = async {
            let peer = self.peers.as_service("agent", None, None).within(DEADLINE);
            let answer = AgentDirectoryServiceClient::new(peer)
                .verify_token(VerifyTokenRequest {
                    token: token.to_owned(),
                })
                .await?;
            self.sign(answer.into_inner().principal)
        };
        self.agents
            .try_get_with(key, verify)
            .await
            .map_err(|status| match status.code() {
                tonic::Code::Unauthenticated | tonic::Code::NotFound | tonic::Code::InvalidArgument => unauthorized(),
                _ => Error::from(Status::clone(&status)),
            })
    }

    fn sign(&self, principal: Option<Principal>) -> Result<Signed, Status> {
        let principal = principal.ok_or_else(|| Status::internal("the principal is missing"))?;
        Ok(self.signer.sign(principal, LIFETIME))
    }

    /// Asks about everybody again.
    pub fn forget_all(&self) {
        self.people.invalidate_all();
        self.agents.invalidate_all();
        self.moved.send_replace(());
    }

    /// Shares what callers used with the other replicas, until `stop`.
    pub async fn share_limits(&self, stop: CancellationToken) {
        self.limits.follow(&self.peers, stop).await;
    }

    /// Tells the origins that the page needs to sign people in, until `stop`.
    pub async fn follow_issuer(&self, stop: CancellationToken, tell: impl Fn(&[String])) {
        match &self.issuer {
            Some(issuer) => issuer.follow_endpoints(stop, tell).await,
            None => stop.cancelled().await,
        }
    }

    /// Forgets what events make untrue, until `stop`.
    pub async fn follow(&self, mut events: Receiver<Arc<Event>>, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                event = events.recv() => match event {
                    Ok(event) => self.forget(&event).await,
                    Err(RecvError::Lagged(_)) => self.forget_all(),
                    // The bus has ended: so does this process.
                    Err(RecvError::Closed) => return stop.cancelled().await,
                },
            }
        }
    }

    async fn forget(&self, event: &Event) {
        let (subject, verb) = event.r#type.split_once('.').unwrap_or((&event.r#type, ""));
        match (subject, verb) {
            ("user" | "member" | "membership" | "invite" | "api_key", _) => self.people.invalidate_all(),
            ("organization", _) | ("board" | "gateway", "deleted") => self.forget_all(),
            ("agent", "updated" | "deleted" | "token_rotated") => {
                let keys: Vec<_> = self
                    .agents
                    .iter()
                    .filter(|(_, known)| known.principal.id == event.agent_id)
                    .map(|(key, _)| *key)
                    .collect();
                for key in keys {
                    self.agents.invalidate(&key).await;
                }
            }
            _ => return,
        }
        self.moved.send_replace(());
    }
}

fn unauthorized() -> Error {
    Error::unauthenticated("Unauthorized")
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn credentials_are_trimmed_and_schemes_have_no_case() {
        for value in ["Bearer secret", "bearer  secret ", "BEARER\tsecret"] {
            assert_eq!(
                Presented::of(&headers(&[("authorization", value)])).bearer,
                Some("secret"),
                "{value:?}"
            );
        }
        for value in ["Basic secret", "secret", "Bearer", "Bearer "] {
            assert_eq!(
                Presented::of(&headers(&[("authorization", value)])).bearer,
                None,
                "{value:?}"
            );
        }
        let both = headers(&[("authorization", "Bearer a"), ("x-agent-token", " b ")]);
        assert_eq!(
            Presented::of(&both),
            Presented {
                bearer: Some("a"),
                agent: Some("b")
            }
        );
        assert_eq!(Presented::of(&headers(&[("x-agent-token", "  ")])).agent, None);
    }

    #[test]
    fn a_stream_outlives_what_is_gained_and_not_what_is_lost() {
        use proto::identity::v1::{BoardGrant, Membership};
        let member = |organization: &str, board: Option<&str>| Membership {
            organization_id: organization.into(),
            role: "member".into(),
            grants: board
                .map(|board| BoardGrant {
                    board_id: board.into(),
                    can_read: true,
                    can_write: false,
                })
                .into_iter()
                .collect(),
            ..Membership::default()
        };
        let person = |memberships: Vec<Membership>| Principal {
            id: "ada".into(),
            memberships,
            ..Principal::default()
        };
        let had = person(vec![member("one", Some("board"))]);
        let active = Principal {
            name: "Ada".into(),
            organization_id: "two".into(),
            ..person(vec![member("two", None), member("one", Some("board"))])
        };
        assert!(keeps(&had, &active));
        for less in [
            person(vec![]),
            person(vec![member("one", None)]),
            person(vec![member("two", Some("board"))]),
            Principal {
                read_only: true,
                ..had.clone()
            },
        ] {
            assert!(!keeps(&had, &less), "{less:?}");
        }
    }

    #[test]
    fn a_credential_of_one_kind_is_none_of_another() {
        assert!(Key::of("person", "x") != Key::of("agent", "x"));
        assert!(Key::of("person", "x") == Key::of("person", "x"));
    }
}
