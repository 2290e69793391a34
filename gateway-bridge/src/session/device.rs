//! The device identity that gateways pair with: an Ed25519 key pair.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ed25519_dalek::{Signer as _, SigningKey};
use secrecy::{ExposeSecret as _, SecretString, zeroize::Zeroizing};
use sha2::{Digest as _, Sha256};

/// The stored form of a device key could not be read.
#[derive(Debug, thiserror::Error)]
#[error("the device key is not 32 bytes of base64url text")]
pub struct DeviceError;

/// An Ed25519 device identity. Never printed; the key is wiped when dropped.
pub struct Device {
    key: SigningKey,
    id: String,
    public_key: String,
}

/// The fields that a device signs when it connects.
pub(super) struct SignedConnect<'a> {
    pub client_id: &'a str,
    pub client_mode: &'a str,
    pub role: &'a str,
    pub scopes: &'a [&'a str],
    pub signed_at_ms: i64,
    pub token: &'a str,
    pub nonce: &'a str,
}

impl Device {
    /// Creates a new identity.
    pub fn generate() -> Self {
        let mut seed = Zeroizing::new([0_u8; 32]);
        rand::fill(&mut seed[..]);
        Self::from_seed(&seed)
    }

    /// Reads an identity written by [`Device::to_secret`].
    pub fn from_secret(secret: &SecretString) -> Result<Self, DeviceError> {
        let bytes = URL_SAFE_NO_PAD
            .decode(secret.expose_secret().trim())
            .map_err(|_| DeviceError)?;
        let bytes = Zeroizing::new(bytes);
        let seed: &[u8; 32] = bytes.as_slice().try_into().map_err(|_| DeviceError)?;
        Ok(Self::from_seed(seed))
    }

    fn from_seed(seed: &[u8; 32]) -> Self {
        let key = SigningKey::from_bytes(seed);
        let public = key.verifying_key().to_bytes();
        Self {
            key,
            id: hex::encode(Sha256::digest(public)),
            public_key: URL_SAFE_NO_PAD.encode(public),
        }
    }

    /// The private key as text, for encrypted storage only.
    pub fn to_secret(&self) -> SecretString {
        URL_SAFE_NO_PAD
            .encode(Zeroizing::new(self.key.to_bytes()).as_slice())
            .into()
    }

    /// Device id: lowercase hex SHA-256 of the raw public key.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The raw public key as unpadded base64url.
    pub fn public_key(&self) -> &str {
        &self.public_key
    }

    /// Signs a connect request in form v2, the one form that every supported release accepts.
    pub(super) fn sign(&self, fields: &SignedConnect<'_>) -> String {
        let text = Zeroizing::new(format!(
            "v2|{}|{}|{}|{}|{}|{}|{}|{}",
            self.id,
            fields.client_id,
            fields.client_mode,
            fields.role,
            fields.scopes.join(","),
            fields.signed_at_ms,
            fields.token,
            fields.nonce,
        ));
        URL_SAFE_NO_PAD.encode(self.key.sign(text.as_bytes()).to_bytes())
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Device").field("id", &self.id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::{Signature, Verifier as _, VerifyingKey};

    use super::*;

    fn signed(device: &Device) -> String {
        device.sign(&SignedConnect {
            client_id: "gateway-client",
            client_mode: "backend",
            role: "operator",
            scopes: &["operator.read", "operator.admin"],
            signed_at_ms: 1_795_330_529_954,
            token: "shared",
            nonce: "n-1",
        })
    }

    #[test]
    fn the_identity_survives_storage() {
        let device = Device::generate();
        let again = Device::from_secret(&device.to_secret()).expect("readable");
        assert_eq!(again.id(), device.id());
        assert_eq!(signed(&again), signed(&device));
        assert!(Device::from_secret(&"short".to_owned().into()).is_err());
    }

    #[test]
    fn the_signature_covers_the_v2_text() {
        let device = Device::generate();
        let text = format!(
            "v2|{}|gateway-client|backend|operator|operator.read,operator.admin|1795330529954|shared|n-1",
            device.id()
        );
        let public: [u8; 32] = URL_SAFE_NO_PAD
            .decode(device.public_key())
            .expect("base64")
            .try_into()
            .expect("32 bytes");
        let signature: [u8; 64] = URL_SAFE_NO_PAD
            .decode(signed(&device))
            .expect("base64")
            .try_into()
            .expect("64 bytes");
        VerifyingKey::from_bytes(&public)
            .expect("a key")
            .verify(text.as_bytes(), &Signature::from_bytes(&signature))
            .expect("valid");
    }

    #[test]
    fn debug_output_shows_no_key() {
        let device = Device::generate();
        assert!(!format!("{device:?}").contains(device.to_secret().expose_secret()));
    }
}
