//! By whose word a server is the one that it says it is: Mozilla's roots, and those of a file that somebody names; or none but
//! that of one certificate.
//!
//! Invariant: nothing turns the verification off.

mod exactly;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::{ClientConfig, RootCertStore};

/// Why a file makes nobody trusted.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// It cannot be read, or is not in PEM form.
    #[error("{}: {source}", .path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: pem::Error,
    },
    /// It is none that can vouch for others.
    #[error("{}: {source}", .path.display())]
    Root {
        /// The file.
        path: PathBuf,
        /// What is wrong with one of its certificates.
        source: rustls::Error,
    },
    /// There is no certificate in it.
    #[error("{}: it has no certificate", .0.display())]
    Empty(PathBuf),
}

/// Roots of trust, as connections take them. Cloning gives another handle.
#[derive(Clone)]
pub struct Trust(Arc<ClientConfig>);

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Trust")
    }
}

impl Default for Trust {
    /// Mozilla's roots.
    fn default() -> Self {
        Self::of(mozilla())
    }
}

fn mozilla() -> RootCertStore {
    webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect()
}

/// Named, so that no other part of the process decides which cryptography is used.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

impl Trust {
    /// Mozilla's roots and those in this file, in PEM form.
    ///
    /// # Errors
    /// When the file cannot be read, or has none.
    pub fn with(file: &Path) -> Result<Self, TrustError> {
        let path = || file.to_owned();
        let pem = |source| TrustError::Pem { path: path(), source };
        let mut roots = mozilla();
        let before = roots.len();
        for certificate in CertificateDer::pem_file_iter(file).map_err(pem)? {
            let added = roots.add(certificate.map_err(pem)?);
            added.map_err(|source| TrustError::Root { path: path(), source })?;
        }
        if roots.len() == before {
            return Err(TrustError::Empty(path()));
        }
        Ok(Self::of(roots))
    }

    /// Nobody but who holds the key of the first certificate in this file, in PEM form, whatever name it is asked by, whoever
    /// signed it and until when: what a program on the server's own machine knows better than any authority.
    ///
    /// # Errors
    /// When the file cannot be read, or has none.
    pub fn exactly(file: &Path) -> Result<Self, TrustError> {
        let path = || file.to_owned();
        let pem = |source| TrustError::Pem { path: path(), source };
        let first = CertificateDer::pem_file_iter(file).map_err(pem)?.next();
        let own = first.ok_or_else(|| TrustError::Empty(path()))?.map_err(pem)?;
        let provider = provider();
        let verifier = Arc::new(exactly::Exactly::new(own, &provider));
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring has the protocol versions that are asked for")
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        Ok(Self(Arc::new(config)))
    }

    fn of(roots: RootCertStore) -> Self {
        let config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("ring has the protocol versions that are asked for")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self(Arc::new(config))
    }

    /// What a connector takes.
    #[must_use]
    pub fn config(&self) -> ClientConfig {
        ClientConfig::clone(&self.0)
    }
}
