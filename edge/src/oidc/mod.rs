//! JSON Web Tokens of an OpenID Connect issuer.
//!
//! The issuer's keys are fetched when the first token comes and kept for an hour; a token that names an unknown key has them fetched again,
//! once a minute at most, so that made-up tokens cost the issuer nothing. While the issuer is away the known keys go on for a day.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chassis::{Error, Result, role::backoff, settings::Settings};
use jsonwebtoken::{
    Algorithm, DecodingKey, Validation, decode, decode_header,
    jwk::{Jwk, JwkSet, PublicKeyUse},
};
use parking_lot::RwLock;
use reqwest::{Client, Url, redirect::Policy};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

mod claims;
mod ring_provider;

pub use claims::Claims;

/// The subject of the local token, which no issuer may use.
pub const LOCAL_SUBJECT: &str = "local-auth-user";

/// What tokens may be signed with: public keys only, so that no key of the issuer can be taken for a shared secret.
const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];
/// How long keys are not asked for again while tokens name known ones.
const FRESH: Duration = Duration::from_secs(3600);
/// How long keys count while the issuer cannot be asked.
const KEPT: Duration = Duration::from_secs(24 * 3600);
/// How often an unknown key has the keys fetched again.
const REFETCH: Duration = Duration::from_secs(60);
/// How often a first fetch that failed is tried again.
const RETRY: Duration = Duration::from_secs(2);
/// How long the issuer may take.
const DEADLINE: Duration = Duration::from_secs(5);
/// Largest document of the issuer.
const LARGEST: usize = 1024 * 1024;
/// How often the issuer is asked where its endpoints are.
const ENDPOINTS: Duration = Duration::from_secs(3600);
/// The first and the longest pause while it cannot be asked.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));
/// Keys tried for a token that names none.
const TRIED: usize = 8;

/// Checks tokens of one issuer.
pub struct Verifier {
    issuer: String,
    /// The page has a client at the issuer.
    page: bool,
    jwks_url: Option<String>,
    audience: Vec<String>,
    leeway: u64,
    client: Client,
    keys: RwLock<Option<Arc<Keys>>>,
    asked: Mutex<Asked>,
}

/// When the issuer was asked in ways that must not be repeated too soon.
#[derive(Default)]
struct Asked {
    /// For the sake of a key that was not known.
    unknown: Option<Instant>,
    /// In vain.
    failed: Option<Instant>,
}

struct Keys {
    at: Instant,
    keys: Vec<Key>,
}

struct Key {
    id: Option<String>,
    /// The only algorithm the issuer uses it with, when it says so.
    algorithm: Option<Algorithm>,
    decoding: DecodingKey,
}

impl Keys {
    /// Keys that may have made a signature.
    fn candidates(&self, id: Option<&str>, algorithm: Algorithm) -> Vec<&Key> {
        let fits = |key: &&Key| {
            key.decoding.family() == algorithm.family()
                && key.algorithm.is_none_or(|only| only == algorithm)
                && (id.is_none() || key.id.as_deref() == id)
        };
        self.keys.iter().filter(fits).take(TRIED).collect()
    }
}

/// The part of the issuer's configuration that matters here
/// (<https://openid.net/specs/openid-connect-discovery-1_0.html#ProviderMetadata>).
#[derive(Deserialize)]
struct Discovered {
    issuer: String,
    jwks_uri: String,
    /// Where the page exchanges its code.
    token_endpoint: Option<String>,
}

impl Verifier {
    /// For the issuer of the settings.
    pub fn new(settings: &Settings) -> Result<Self> {
        ring_provider::install();
        let text = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        let client = Client::builder()
            .timeout(DEADLINE)
            .connect_timeout(DEADLINE)
            .redirect(Policy::none())
            .no_proxy()
            .tls_backend_preconfigured(chassis::tls::client_config()?)
            .user_agent(concat!("mission-control/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(Error::internal)?;
        Ok(Self {
            issuer: settings.oidc_issuer.trim().to_owned(),
            page: text(&settings.oidc_client_id).is_some(),
            jwks_url: text(&settings.oidc_jwks_url),
            audience: settings.oidc_audience.split(',').filter_map(text).collect(),
            leeway: settings.oidc_leeway,
            client,
            keys: RwLock::new(None),
            asked: Mutex::default(),
        })
    }

    /// The person a token speaks for. Unauthenticated: it is no good token of this issuer; Unavailable: the issuer cannot be asked.
    pub async fn verify(&self, token: &str) -> Result<Claims> {
        let header = decode_header(token).map_err(|_| unauthorized())?;
        if !ALGORITHMS.contains(&header.alg) {
            return Err(unauthorized());
        }
        let keys = self.keys(header.kid.as_deref(), header.alg).await?;
        let mut validation = Validation::new(header.alg);
        validation.leeway = self.leeway;
        validation.validate_nbf = true;
        validation.set_required_spec_claims(&["exp", "iss", "sub"]);
        validation.set_issuer(&[&self.issuer]);
        if self.audience.is_empty() {
            validation.validate_aud = false;
        } else {
            validation.set_audience(&self.audience);
            validation.required_spec_claims.insert("aud".to_owned());
        }
        let checked = keys
            .candidates(header.kid.as_deref(), header.alg)
            .into_iter()
            .find_map(
                |key| match decode::<Map<String, Value>>(token, &key.decoding, &validation) {
                    Ok(data) => Some(data.claims),
                    Err(error) => {
                        tracing::debug!(%error, "a token is refused");
                        None
                    }
                },
            )
            .ok_or_else(unauthorized)?;
        Claims::of(&checked).ok_or_else(unauthorized)
    }

    /// The keys to check a token with, fetched if need be.
    async fn keys(&self, id: Option<&str>, algorithm: Algorithm) -> Result<Arc<Keys>> {
        let usable = |keys: &Arc<Keys>| !keys.candidates(id, algorithm).is_empty();
        let known = self.known();
        if let Some(keys) = &known
            && keys.at.elapsed() < FRESH
            && usable(keys)
        {
            return Ok(keys.clone());
        }
        // One asks, the others wait for its answer.
        let mut asked = self.asked.lock().await;
        let within = |at: Option<Instant>, pause| at.is_some_and(|at| at.elapsed() < pause);
        match self.known() {
            Some(keys) if keys.at.elapsed() < FRESH => {
                if usable(&keys) || within(asked.unknown, REFETCH) {
                    return Ok(keys);
                }
                asked.unknown = Some(Instant::now());
            }
            Some(keys) if within(asked.failed, REFETCH) => return Ok(keys),
            None if within(asked.failed, RETRY) => return Err(away()),
            _ => {}
        }
        match self.fetch().await {
            Ok(keys) => {
                let keys = Arc::new(keys);
                *self.keys.write() = Some(keys.clone());
                Ok(keys)
            }
            Err(error) => {
                asked.failed = Some(Instant::now());
                tracing::warn!(
                    issuer = self.issuer,
                    error = error.report(),
                    "the issuer's keys cannot be fetched"
                );
                self.known().ok_or_else(away)
            }
        }
    }

    fn known(&self) -> Option<Arc<Keys>> {
        self.keys.read().clone().filter(|keys| keys.at.elapsed() < KEPT)
    }

    async fn fetch(&self) -> Result<Keys> {
        let url = match &self.jwks_url {
            Some(url) => url.clone(),
            None => self.discover().await?.jwks_uri,
        };
        let set: JwkSet = self.document(&url).await?;
        let keys: Vec<Key> = set.keys.iter().filter_map(key).collect();
        if keys.is_empty() {
            return Err(Error::unavailable(format!("{url} has no key to check signatures with")));
        }
        tracing::info!(
            issuer = self.issuer,
            keys = keys.len(),
            "the issuer's keys were fetched"
        );
        Ok(Keys {
            at: Instant::now(),
            keys,
        })
    }

    /// What the issuer says of itself.
    async fn discover(&self) -> Result<Discovered> {
        let url = format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'));
        let discovered: Discovered = self.document(&url).await?;
        if discovered.issuer == self.issuer {
            return Ok(discovered);
        }
        Err(Error::unavailable(format!(
            "{url} speaks for `{}`: set OIDC_ISSUER to exactly that",
            discovered.issuer
        )))
    }

    /// Tells the origins that the page talks to while people sign in, now and whenever the issuer was asked again, until `stop`. What was
    /// told last holds while it cannot be asked. Without a client of the page there is nothing to tell.
    pub async fn follow_endpoints(&self, stop: CancellationToken, tell: impl Fn(&[String])) {
        let mut failures = 0;
        while self.page && !stop.is_cancelled() {
            let pause = match self.discover().await {
                Ok(discovered) => {
                    failures = 0;
                    let named = [Some(self.issuer.as_str()), discovered.token_endpoint.as_deref()];
                    let mut origins: Vec<_> = named.into_iter().flatten().filter_map(origin).collect();
                    origins.dedup();
                    tell(&origins);
                    ENDPOINTS
                }
                Err(error) => {
                    failures += 1;
                    if failures == 1 {
                        tracing::warn!(
                            issuer = self.issuer,
                            error = error.report(),
                            "the issuer's endpoints are not known: the page may be kept from exchanging its code"
                        );
                    }
                    backoff(failures, PAUSES.0, PAUSES.1)
                }
            };
            let _ = tokio::time::timeout(pause, stop.cancelled()).await;
        }
        stop.cancelled().await;
    }

    async fn document<T: DeserializeOwned>(&self, url: &str) -> Result<T> {
        let wrong = |what: String| Error::unavailable(format!("{url}: {what}"));
        let mut response = self
            .client
            .get(url)
            .header(http::header::ACCEPT, "application/json")
            .send()
            .await
            .map_err(|error| wrong(error.to_string()))?;
        if !response.status().is_success() {
            return Err(wrong(format!("answered {}", response.status())));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| wrong(error.to_string()))? {
            body.extend_from_slice(&chunk);
            if body.len() > LARGEST {
                return Err(wrong("the document is too large".to_owned()));
            }
        }
        serde_json::from_slice(&body).map_err(|error| wrong(error.to_string()))
    }
}

/// The origin of a URL that a page may talk to.
pub fn origin(url: &str) -> Option<String> {
    let url = Url::parse(url.trim()).ok()?;
    matches!(url.scheme(), "http" | "https").then(|| url.origin().ascii_serialization())
}

/// A key of the issuer, if it is one for signatures that are checked here.
fn key(jwk: &Jwk) -> Option<Key> {
    if matches!(jwk.common.public_key_use, Some(ref meant) if *meant != PublicKeyUse::Signature) {
        return None;
    }
    let algorithm = match jwk.common.key_algorithm {
        None => None,
        Some(algorithm) => Some(Algorithm::try_from(algorithm).ok()?),
    };
    let decoding = DecodingKey::from_jwk(jwk).ok()?;
    let known = ALGORITHMS
        .iter()
        .any(|algorithm| algorithm.family() == decoding.family());
    known.then(|| Key {
        id: jwk.common.key_id.clone(),
        algorithm,
        decoding,
    })
}

fn unauthorized() -> Error {
    Error::unauthenticated("Unauthorized")
}

fn away() -> Error {
    Error::unavailable("The identity provider cannot be reached: sign-ins cannot be checked. Try again in a moment.")
        .retry_after(RETRY)
}
