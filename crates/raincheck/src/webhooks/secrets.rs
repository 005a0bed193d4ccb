//! The secrets that this node signs with, kept in memory for a moment.
//!
//! Invariant: a rotation through this node is in force at once; one through another node within [`FRESH`]. Nothing is
//! signed with a secret that the store did not give.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use raincheck_core::name::Namespace;
use raincheck_core::secret::SigningSecrets;
use raincheck_core::store::{Store, StoreError};
use tokio::time::Instant;

use crate::random::Randomness;

/// How long what was read is taken for what is.
const FRESH: Duration = Duration::from_secs(60);

#[derive(Debug)]
struct Kept {
    secrets: Arc<SigningSecrets>,
    read_at: Instant,
}

#[derive(Debug)]
struct Inner {
    store: Arc<dyn Store>,
    random: Randomness,
    kept: Mutex<HashMap<Namespace, Kept>>,
}

/// Gives and replaces secrets. Cloning gives another handle.
#[derive(Clone, Debug)]
pub(crate) struct Secrets(Arc<Inner>);

impl Secrets {
    pub(crate) fn new(store: Arc<dyn Store>, random: Randomness) -> Self {
        Self(Arc::new(Inner {
            store,
            random,
            kept: Mutex::default(),
        }))
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<Namespace, Kept>> {
        // Nothing under this lock can panic half way.
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The namespace's secrets, made where there are none.
    ///
    /// # Errors
    /// When they are not in memory and the store cannot be asked.
    pub(crate) async fn get(&self, ns: &Namespace) -> Result<Arc<SigningSecrets>, StoreError> {
        let asked = Instant::now();
        if let Some(kept) = self.kept().get(ns)
            && kept.read_at + FRESH > asked
        {
            return Ok(kept.secrets.clone());
        }
        let read = self.0.store.signing_secrets(ns, self.0.random.secret()).await?;
        Ok(self.keep(ns, read, asked))
    }

    /// Makes a new secret, in this store. Durable on return.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn rotate(
        &self,
        store: &dyn Store,
        ns: &Namespace,
    ) -> Result<Arc<SigningSecrets>, StoreError> {
        let rotated = store.rotate_secret(ns, self.0.random.secret());
        // Whether or not the answer arrives, what is kept may be old from here on.
        self.kept().remove(ns);
        let rotated = rotated.await?;
        Ok(self.keep(ns, rotated, Instant::now()))
    }

    /// Keeps what was read, unless something later is kept already.
    fn keep(&self, ns: &Namespace, secrets: SigningSecrets, read_at: Instant) -> Arc<SigningSecrets> {
        let secrets = Arc::new(secrets);
        let mut kept = self.kept();
        let newer = kept
            .get(ns)
            .is_some_and(|kept| kept.secrets.since > secrets.since);
        if !newer {
            let secrets = secrets.clone();
            kept.insert(ns.clone(), Kept { secrets, read_at });
        }
        secrets
    }
}
