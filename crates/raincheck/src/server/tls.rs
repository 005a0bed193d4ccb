//! TLS: certificate and key from files, read again when asked.
//!
//! Invariant: a pair that does not fit changes nothing: connections are always answered with a certificate that has its
//! key. Connections that are there keep what they began with.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::{TLS12, TLS13};

/// Why TLS cannot be spoken with these files.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file holds no certificate, or no key, or cannot be read.
    #[error("{} holds no {what} in PEM form: {source}", .path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        what: &'static str,
        /// What is wrong with it.
        source: rustls::pki_types::pem::Error,
    },
    /// There is no certificate in the file.
    #[error("{} holds no certificate in PEM form", .0.display())]
    Empty(PathBuf),
    /// They are no pair, or of a kind that is not spoken.
    #[error("{} and {} cannot be used together: {source}", .cert.display(), .key.display())]
    Pair {
        /// The certificates.
        cert: PathBuf,
        /// The key.
        key: PathBuf,
        /// Why not.
        source: rustls::Error,
    },
}

/// What TLS is spoken with. Cloning gives another handle.
#[derive(Clone)]
pub struct Tls(Arc<Files>);

struct Files {
    cert: PathBuf,
    key: PathBuf,
    config: RwLock<Arc<ServerConfig>>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("cert", &self.0.cert)
            .field("key", &self.0.key)
            .finish_non_exhaustive()
    }
}

impl Tls {
    /// With the certificate chain (the server's own first) and the private key in these PEM files. HTTP/2 and HTTP/1.1 are
    /// offered, over TLS 1.2 and 1.3.
    ///
    /// # Errors
    /// When they cannot be read or are no pair.
    pub fn open(cert: &Path, key: &Path) -> Result<Self, TlsError> {
        let config = RwLock::new(load(cert, key)?);
        let (cert, key) = (cert.to_owned(), key.to_owned());
        Ok(Self(Arc::new(Files { cert, key, config })))
    }

    /// Reads the files again; connections from now on are answered with what they hold.
    ///
    /// # Errors
    /// As [`Tls::open`]; then nothing is changed.
    pub fn reload(&self) -> Result<(), TlsError> {
        let fresh = load(&self.0.cert, &self.0.key)?;
        *self.0.config.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }

    /// The files.
    #[must_use]
    pub fn files(&self) -> [&Path; 2] {
        [&self.0.cert, &self.0.key]
    }

    pub(super) fn config(&self) -> Arc<ServerConfig> {
        self.0
            .config
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

fn load(cert: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    let pem = |path: &Path, what| {
        let path = path.to_owned();
        move |source| TlsError::Pem { path, what, source }
    };
    let chain = CertificateDer::pem_file_iter(cert).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let chain = chain.map_err(pem(cert, "certificate"))?;
    if chain.is_empty() {
        return Err(TlsError::Empty(cert.to_owned()));
    }
    let secret = PrivateKeyDer::from_pem_file(key).map_err(pem(key, "private key"))?;
    let pair = |source| TlsError::Pair {
        cert: cert.to_owned(),
        key: key.to_owned(),
        source,
    };
    // Named, so that no other part of the process decides which cryptography is used.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(pair)?
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .map_err(pair)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
