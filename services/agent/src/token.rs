//! Agent tokens: `<key id>.<secret>`.
//!
//! The key id finds the row, the secret has 256 random bits and is kept as a bcrypt hash at its lowest cost: against that much entropy
//! a slow hash buys nothing. What was verified is remembered for a minute under the token's SHA-256, so that the steady cost of a call
//! is one hash of a short text.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chassis::{Error, Result};
use moka::future::Cache;
use proto::identity::v1::Principal;
use rand::Rng;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// The lowest cost bcrypt takes.
const COST: u32 = 4;
/// How long a verified token is trusted without looking.
const VERIFIED_FOR: Duration = Duration::from_secs(60);
/// How long a refused token is refused without looking.
const REFUSED_FOR: Duration = Duration::from_secs(10);

/// A new token, with what is stored of it.
pub struct Minted {
    /// Finds the row.
    pub key_id: String,
    /// Verifies the secret.
    pub hash: String,
    /// What the agent gets.
    pub raw: SecretString,
}

/// Makes a token.
pub fn mint() -> Result<Minted> {
    let (mut id, mut secret) = ([0u8; 12], [0u8; 32]);
    rand::rng().fill_bytes(&mut id);
    rand::rng().fill_bytes(&mut secret);
    let (key_id, secret) = (URL_SAFE_NO_PAD.encode(id), URL_SAFE_NO_PAD.encode(secret));
    let hash = bcrypt::hash(&secret, COST).map_err(Error::internal)?;
    Ok(Minted {
        raw: SecretString::from(format!("{key_id}.{secret}")),
        key_id,
        hash,
    })
}

/// The two halves of a token; `None` for anything that cannot be one.
pub fn split(raw: &str) -> Option<(&str, &str)> {
    let url_safe = |text: &str| {
        text.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    let (key_id, secret) = raw.split_once('.')?;
    (key_id.len() == 16 && secret.len() == 43 && url_safe(key_id) && url_safe(secret)).then_some((key_id, secret))
}

/// Whether a secret belongs to a hash.
pub fn matches(secret: &str, hash: &str) -> bool {
    bcrypt::verify(secret, hash).unwrap_or(false)
}

/// The place a raw token is sealed for.
pub fn place(agent: Uuid) -> String {
    format!("agent.token:{agent}")
}

/// The sealed form of a token that is stored beside the hash.
pub fn seal(sealer: &chassis::seal::Sealer, agent: Uuid, minted: &Minted) -> Result<Vec<u8>> {
    sealer.seal(&place(agent), minted.raw.expose_secret().as_bytes())
}

/// The raw token of an agent, for its files.
pub fn open(sealer: &chassis::seal::Sealer, agent: Uuid, stored: &[u8]) -> Result<SecretString> {
    let raw = sealer.open(&place(agent), stored)?;
    String::from_utf8(raw).map(SecretString::from).map_err(Error::internal)
}

/// SHA-256 of a token: what caches know of it.
pub type Fingerprint = [u8; 32];

/// What is known of tokens seen lately.
#[derive(Clone)]
pub struct Known {
    verified: Cache<Fingerprint, (Uuid, Arc<Principal>)>,
    refused: Cache<Fingerprint, ()>,
    /// Raised by every invalidation: what was read before it must not be remembered after it.
    epoch: Arc<AtomicU64>,
}

/// What the memory says of a token.
pub enum Recall {
    /// It belongs to this agent.
    Verified(Uuid, Arc<Principal>),
    /// It is not valid.
    Refused,
    /// Look, then tell [`Known::verified`] or [`Known::refused`] with this epoch.
    Unknown(u64),
}

impl Default for Known {
    fn default() -> Self {
        Self {
            verified: Cache::builder()
                .max_capacity(50_000)
                .time_to_live(VERIFIED_FOR)
                .support_invalidation_closures()
                .build(),
            refused: Cache::builder().max_capacity(10_000).time_to_live(REFUSED_FOR).build(),
            epoch: Arc::default(),
        }
    }
}

impl Known {
    /// The key of a token.
    pub fn fingerprint(raw: &str) -> Fingerprint {
        Sha256::digest(raw.as_bytes()).into()
    }

    /// What is known of a token.
    pub async fn recall(&self, of: &Fingerprint) -> Recall {
        let epoch = self.epoch.load(Ordering::Acquire);
        match self.verified.get(of).await {
            Some((agent, principal)) => Recall::Verified(agent, principal),
            None if self.refused.contains_key(of) => Recall::Refused,
            None => Recall::Unknown(epoch),
        }
    }

    /// Remembers a verified token, unless something was forgotten since `epoch`.
    pub async fn verified(&self, of: Fingerprint, agent: Uuid, principal: Arc<Principal>, epoch: u64) {
        if self.epoch.load(Ordering::Acquire) == epoch {
            self.verified.insert(of, (agent, principal)).await;
        }
    }

    /// Remembers a refused token.
    pub async fn refused(&self, of: Fingerprint) {
        self.refused.insert(of, ()).await;
    }

    /// Forgets every token of an agent: it was rotated, deleted, renamed or moved.
    pub fn forget(&self, agent: Uuid) {
        self.epoch.fetch_add(1, Ordering::AcqRel);
        if self
            .verified
            .invalidate_entries_if(move |_, (of, _)| *of == agent)
            .is_err()
        {
            self.verified.invalidate_all();
        }
    }

    /// Forgets everything: changes may have been missed.
    pub fn forget_all(&self) {
        self.epoch.fetch_add(1, Ordering::AcqRel);
        self.verified.invalidate_all();
        self.refused.invalidate_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minted_tokens_verify_and_differ() {
        let (one, other) = (mint().expect("mints"), mint().expect("mints"));
        let raw = one.raw.expose_secret().to_owned();
        let (key_id, secret) = split(&raw).expect("has two halves");
        assert_eq!(key_id, one.key_id);
        assert!(matches(secret, &one.hash));
        assert!(!matches(secret, &other.hash));
        assert!(!one.hash.contains(secret));
        assert_ne!(one.key_id, other.key_id);
        assert!(one.hash.starts_with("$2b$04$"), "the lowest cost: {}", one.hash);
    }

    #[test]
    fn what_cannot_be_a_token_is_not_looked_up() {
        let good = mint().expect("mints").raw.expose_secret().to_owned();
        let cases = [
            String::new(),
            ".".to_owned(),
            good.replace('.', ""),
            good[1..].to_owned(),
            good[..good.len() - 1].to_owned(),
            format!("{good}x"),
            format!("{}é", &good[..good.len() - 2]),
            "%".repeat(16) + "." + &"a".repeat(43),
        ];
        for case in cases {
            assert!(split(&case).is_none(), "{case:?}");
        }
    }

    #[test]
    fn sealed_tokens_open_for_their_agent_only() {
        let sealer = chassis::seal::Sealer::new(&SecretString::from("k".repeat(32)));
        let (agent, minted) = (Uuid::now_v7(), mint().expect("mints"));
        let stored = seal(&sealer, agent, &minted).expect("seals");
        assert_eq!(
            open(&sealer, agent, &stored).expect("opens").expose_secret(),
            minted.raw.expose_secret()
        );
        assert!(open(&sealer, Uuid::now_v7(), &stored).is_err());
    }

    #[tokio::test]
    async fn what_was_read_before_a_rotation_is_not_remembered_after_it() {
        let known = Known::default();
        let (token, agent) = (Known::fingerprint("t"), Uuid::now_v7());
        let Recall::Unknown(epoch) = known.recall(&token).await else {
            panic!("nothing is known yet")
        };
        known.verified(token, agent, Arc::default(), epoch).await;
        assert!(matches!(known.recall(&token).await, Recall::Verified(of, _) if of == agent));
        known.forget(Uuid::now_v7());
        assert!(
            matches!(known.recall(&token).await, Recall::Verified(..)),
            "another agent's rotation changes nothing"
        );
        known.forget(agent);
        let Recall::Unknown(late) = known.recall(&token).await else {
            panic!("forgotten")
        };
        known.verified(token, agent, Arc::default(), epoch).await;
        assert!(
            matches!(known.recall(&token).await, Recall::Unknown(_)),
            "read before the rotation"
        );
        known.verified(token, agent, Arc::default(), late).await;
        known.refused(Known::fingerprint("u")).await;
        assert!(matches!(known.recall(&Known::fingerprint("u")).await, Recall::Refused));
        known.forget_all();
        assert!(matches!(known.recall(&token).await, Recall::Unknown(_)));
        assert!(matches!(
            known.recall(&Known::fingerprint("u")).await,
            Recall::Unknown(_)
        ));
    }
}
