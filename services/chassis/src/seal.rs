//! Secrets at rest: encrypted with a key from configuration, bound to where they belong.

use std::sync::Arc;

use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use rand::Rng;
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

use crate::{Error, Result};

/// First byte of everything sealed: the scheme, so that another can follow.
const SCHEME: u8 = 1;
const NONCE: usize = 24;

/// Keys that the constellation shares, all derived from `SECRET_KEY` (HKDF-SHA256, RFC 5869).
#[derive(Clone)]
pub struct Sealer {
    cipher: Arc<XChaCha20Poly1305>,
    stamp: Arc<Hmac<Sha256>>,
}

impl Sealer {
    /// The sealer of a master secret.
    pub fn new(secret: &SecretString) -> Self {
        Self {
            cipher: Arc::new(XChaCha20Poly1305::new(&derive(secret, "seal").into())),
            stamp: Arc::new(
                <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(&derive(secret, "stamp"))
                    .unwrap_or_else(|_| unreachable!("HMAC takes any key")),
            ),
        }
    }

    /// Signs bytes that stay readable (HMAC-SHA256): who lacks the key cannot make others that pass for them.
    pub fn stamp(&self, bytes: &[u8]) -> Vec<u8> {
        let mut mac = Hmac::<Sha256>::clone(&self.stamp);
        mac.update(bytes);
        mac.finalize().into_bytes().to_vec()
    }

    /// Whether [`Sealer::stamp`] made this for these bytes.
    pub fn is_stamp(&self, bytes: &[u8], stamp: &[u8]) -> bool {
        let mut mac = Hmac::<Sha256>::clone(&self.stamp);
        mac.update(bytes);
        mac.verify_slice(stamp).is_ok()
    }

    /// Encrypts. `place` (`gateway.token:<id>`) is authenticated: a value copied to another row does not open.
    pub fn seal(&self, place: &str, plain: &[u8]) -> Result<Vec<u8>> {
        let mut nonce = [0u8; NONCE];
        rand::rng().fill_bytes(&mut nonce);
        let sealed = self
            .cipher
            .encrypt(
                &XNonce::from(nonce),
                Payload {
                    msg: plain,
                    aad: place.as_bytes(),
                },
            )
            .map_err(|_| Error::internal(anyhow::anyhow!("sealing failed")))?;
        let mut out = Vec::with_capacity(1 + NONCE + sealed.len());
        out.push(SCHEME);
        out.extend_from_slice(&nonce);
        out.extend_from_slice(&sealed);
        Ok(out)
    }

    /// Decrypts what [`Sealer::seal`] made for the same place.
    pub fn open(&self, place: &str, sealed: &[u8]) -> Result<Vec<u8>> {
        let broken = || {
            Error::internal(anyhow::anyhow!(
                "a secret of `{place}` cannot be opened: was SECRET_KEY changed?"
            ))
        };
        let (scheme, rest) = sealed.split_first().ok_or_else(broken)?;
        if *scheme != SCHEME || rest.len() < NONCE {
            return Err(broken());
        }
        let (nonce, text) = rest.split_at(NONCE);
        let nonce: [u8; NONCE] = nonce.try_into().map_err(|_| broken())?;
        self.cipher
            .decrypt(
                &XNonce::from(nonce),
                Payload {
                    msg: text,
                    aad: place.as_bytes(),
                },
            )
            .map_err(|_| broken())
    }
}

/// A key of 32 bytes for one purpose.
pub fn derive(secret: &SecretString, purpose: &str) -> [u8; 32] {
    let mut key = [0u8; 32];
    // 32 bytes are far below the limit of 255 hashes, the only way this can fail.
    let _ = Hkdf::<Sha256>::new(Some(b"mission-control"), secret.expose_secret().as_bytes())
        .expand(purpose.as_bytes(), &mut key);
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_only_in_its_place() {
        let sealer = Sealer::new(&SecretString::from("a".repeat(32)));
        let secret = sealer.seal("gateway.token:1", b"hunter2").expect("seals");
        assert!(!secret.windows(7).any(|window| window == b"hunter2"));
        assert_eq!(sealer.open("gateway.token:1", &secret).expect("opens"), b"hunter2");
        assert!(sealer.open("gateway.token:2", &secret).is_err());
        let other = Sealer::new(&SecretString::from("b".repeat(32)));
        assert!(other.open("gateway.token:1", &secret).is_err());
    }
}
