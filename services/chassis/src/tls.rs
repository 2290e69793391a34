//! The one TLS stack of the house for calls to the outside: rustls with ring.

use std::{path::Path, sync::Arc};

use anyhow::Context as _;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject as _},
};

use crate::{Error, Result};

/// Makes ring what libraries use that ask for the process's default. Without it their clients refuse to be built. Safe to call again.
pub fn install() {
    // An error means that one is installed already: this one.
    let _ = ring::default_provider().install_default();
}

/// Trusts the public certificate authorities and those of this machine, which may have one of its own (`SSL_CERT_FILE`, `SSL_CERT_DIR`).
pub fn client_config() -> Result<ClientConfig> {
    client_config_with(None)
}

/// The same, and trusts the authorities of a PEM file too (`TLS_CA_FILE`).
pub fn client_config_with(authorities: Option<&Path>) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    // A machine without any, as a slim image, is served by the public ones.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(file) = authorities {
        let read = || format!("reading the certificates of TLS_CA_FILE ({})", file.display());
        for certificate in CertificateDer::pem_file_iter(file)
            .with_context(read)
            .map_err(Error::internal)?
        {
            let certificate = certificate.with_context(read).map_err(Error::internal)?;
            roots.add(certificate).with_context(read).map_err(Error::internal)?;
        }
    }
    Ok(ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(Error::internal)?
        .with_root_certificates(roots)
        .with_no_client_auth())
}
