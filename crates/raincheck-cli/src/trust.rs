//! Whom the command line trusts when it speaks TLS: Mozilla's roots, and those of a file that the user names.
//!
//! Invariant: nothing turns the verification off.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use crate::exit::Failed;

/// Roots of trust, as connections take them. Cloning gives another handle.
#[derive(Clone, Debug)]
pub(crate) struct Trust(Arc<ClientConfig>);

impl Default for Trust {
    /// Mozilla's roots.
    fn default() -> Self {
        Self::of(mozilla())
    }
}

fn mozilla() -> RootCertStore {
    webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect()
}

impl Trust {
    /// Mozilla's roots and those in this file, in PEM form.
    ///
    /// # Errors
    /// When the file cannot be read, or has none.
    pub(crate) fn with(file: &Path) -> Result<Self, Failed> {
        let wrong = |why: String| {
            Failed::usage(format!("--ca-file: {}: {why}", file.display()))
                .next("Name a file with certificates in PEM form, of the authority that signed the server's")
        };
        let certificates = CertificateDer::pem_file_iter(file).map_err(|error| wrong(error.to_string()))?;
        let (mut roots, before) = (mozilla(), mozilla().len());
        for certificate in certificates {
            let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
            roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
        }
        if roots.len() == before {
            return Err(wrong("it has no certificate".to_owned()));
        }
        Ok(Self::of(roots))
    }

    fn of(roots: RootCertStore) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring has the protocol versions that are asked for")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self(Arc::new(config))
    }

    /// What a connector takes.
    pub(crate) fn config(&self) -> ClientConfig {
        ClientConfig::clone(&self.0)
    }
}
