//! TLS for `wss://`: public roots, a pinned certificate, or (explicitly) any certificate.
//!
//! A gateway that makes its own certificate writes one without subjectAltName and with CA:TRUE. No WebPKI verifier
//! accepts that, not even as a root, so pinning compares the SHA-256 of the DER certificate itself.

use std::{fmt, str::FromStr, sync::Arc};

use parking_lot::Mutex;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use sha2::{Digest as _, Sha256};

/// SHA-256 of a DER certificate. Text form: 64 hex digits, colons allowed, any case.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

/// The text is not a SHA-256 fingerprint.
#[derive(Debug, thiserror::Error)]
#[error("a certificate fingerprint is the SHA-256 as 64 hex digits, colons allowed")]
pub struct FingerprintError;

impl FromStr for Fingerprint {
    type Err = FingerprintError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let text = text
            .get(..7)
            .filter(|p| p.eq_ignore_ascii_case("sha256:"))
            .map_or(text, |_| &text[7..]);
        let digits: String = text.chars().filter(|c| !matches!(c, ':' | ' ')).collect();
        let mut bytes = [0; 32];
        hex::decode_to_slice(digits, &mut bytes).map_err(|_| FingerprintError)?;
        Ok(Self(bytes))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

/// Which server certificates are trusted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsPolicy {
    /// The certificate chains to a public root and names the host.
    #[default]
    PublicRoots,
    /// The certificate is exactly this one.
    Pinned(Fingerprint),
    /// Any certificate: no protection against an impostor. The fingerprint is still reported, so that it can be pinned.
    AcceptAny,
}

/// The certificate that the server showed, whatever came of it.
#[derive(Clone, Default)]
pub(super) struct Presented(Arc<Mutex<Option<Fingerprint>>>);

impl Presented {
    pub(super) fn get(&self) -> Option<Fingerprint> {
        *self.0.lock()
    }
}

/// A client configuration for one connection attempt.
pub(super) fn client_config(policy: TlsPolicy, presented: Presented) -> Result<ClientConfig, Error> {
    let provider = Arc::new(ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    let public = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .build()
        .map_err(|error| Error::General(error.to_string()))?;
    let verifier = Verifier {
        policy,
        public,
        provider: provider.clone(),
        presented,
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(config)
}

struct Verifier {
    policy: TlsPolicy,
    public: Arc<WebPkiServerVerifier>,
    provider: Arc<CryptoProvider>,
    presented: Presented,
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let shown = Fingerprint(Sha256::digest(end_entity.as_ref()).into());
        *self.presented.0.lock() = Some(shown);
        match self.policy {
            TlsPolicy::PublicRoots => {
                self.public
                    .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
            }
            TlsPolicy::Pinned(expected) if expected != shown => {
                Err(CertificateError::ApplicationVerificationFailure.into())
            }
            TlsPolicy::Pinned(_) | TlsPolicy::AcceptAny => Ok(ServerCertVerified::assertion()),
        }
    }

    // The handshake signature is always checked: it proves that the peer holds the key of the certificate it shows.
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_read_in_every_usual_form() {
        let plain = "ab".repeat(32);
        let colons = vec!["AB"; 32].join(":");
        let expected: Fingerprint = plain.parse().expect("plain");
        assert_eq!(colons.parse::<Fingerprint>().expect("colons"), expected);
        assert_eq!(
            format!("SHA256:{plain}").parse::<Fingerprint>().expect("prefix"),
            expected
        );
        assert_eq!(expected.to_string(), plain);
        assert!("abcd".parse::<Fingerprint>().is_err());
        assert!("zz".repeat(32).parse::<Fingerprint>().is_err());
    }
}
