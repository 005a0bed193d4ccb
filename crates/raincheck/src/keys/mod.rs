//! The API keys of this node, in memory: who a key is, and what it allows.
//!
//! Invariants: where the store has one key, nothing is let in without one; a key that this node revoked opens nothing from
//! that moment on, and what it holds open ends. Whatever is wrong with a key (mistyped, unknown, another secret, expired) costs the same work and is
//! told in the same words.

mod make;
pub(crate) mod touch;

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use hmac::{Hmac, KeyInit as _, Mac as _};
use raincheck_core::key::{ApiKey, Grants, KeyDigest, KeyId, KeyRefused, Scope, Scopes, Token};
use raincheck_core::name::{Namespace, QueueName};
use raincheck_core::secret::Secret;
use raincheck_core::store::{Store, StoreError};
use raincheck_core::time::Timestamp;
use sha2::Sha256;
use tokio_util::sync::CancellationToken;

use crate::random::Randomness;

pub use make::{KeyWish, any, create, create_first};

/// A key as this node keeps it.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) id: KeyId,
    pub(crate) namespace: Namespace,
    pub(crate) grants: Grants,
    expires_at: Option<Timestamp>,
    digest: KeyDigest,
    revoked: CancellationToken,
    /// When it was used last, in milliseconds since 1970; zero where it was not.
    used: AtomicI64,
    /// The same as the store knows it.
    told: AtomicI64,
}

impl Kept {
    fn of(key: &ApiKey) -> Self {
        let used = key.last_used_at.map_or(0, Timestamp::as_millis);
        Self {
            id: key.id,
            namespace: key.namespace.clone(),
            grants: key.grants.clone(),
            expires_at: key.expires_at,
            digest: key.digest.clone(),
            revoked: CancellationToken::new(),
            used: AtomicI64::new(used),
            told: AtomicI64::new(used),
        }
    }

    /// Whether it may do what concerns all namespaces: act in another one, for example.
    pub(crate) fn is_operator(&self) -> bool {
        self.namespace == Namespace::default()
            && self.grants.scopes.contains(Scope::Admin)
            && self.grants.all_queues()
    }

    /// Until when it opens something, where it is not for ever.
    pub(crate) const fn expires_at(&self) -> Option<Timestamp> {
        self.expires_at
    }

    /// Cancelled once this node has revoked it.
    pub(crate) const fn revoked(&self) -> &CancellationToken {
        &self.revoked
    }

    /// When it was used last, where that is later than the store knows.
    fn untold(&self) -> Option<Timestamp> {
        let used = self.used.load(Ordering::Relaxed);
        (used > self.told.load(Ordering::Relaxed)).then(|| Timestamp::from_millis(used))
    }
}

/// How keys are hashed: with what only the server knows.
#[derive(Clone)]
struct Hasher(Hmac<Sha256>);

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hasher(…)")
    }
}

impl Hasher {
    fn new(pepper: &Secret) -> Self {
        let mut mac = Hmac::<Sha256>::new_from_slice(pepper.reveal()).expect("a key of any length is taken");
        mac.update(b"raincheck key\0");
        Self(mac)
    }

    fn digest(&self, token: &Token) -> KeyDigest {
        let mut mac = self.0.clone();
        mac.update(token.id.as_str().as_bytes());
        mac.update(token.secret.reveal());
        KeyDigest::new(mac.finalize().into_bytes().into())
    }
}

#[derive(Debug)]
struct Inner {
    hasher: Hasher,
    /// Whether the store has keys, so that one is asked for.
    required: AtomicBool,
    kept: RwLock<HashMap<KeyId, Arc<Kept>>>,
    /// Keys of this process only, for the programs that it keeps alive. They make no difference to `required`.
    own: RwLock<HashMap<KeyId, Arc<Kept>>>,
    random: Randomness,
    /// What an unknown key is compared with.
    nobody: KeyDigest,
}

/// The keys. Cloning gives another handle.
#[derive(Clone, Debug)]
pub(crate) struct Keys(Arc<Inner>);

impl Keys {
    /// Reads all keys of a store.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn load(store: &dyn Store, random: &Randomness) -> Result<Self, StoreError> {
        let pepper = store.key_pepper(random.secret()).await?;
        let all = store.all_keys().await?;
        let kept: HashMap<_, _> = all.iter().map(|key| (key.id, Arc::new(Kept::of(key)))).collect();
        Ok(Self(Arc::new(Inner {
            hasher: Hasher::new(&pepper),
            required: AtomicBool::new(!kept.is_empty()),
            kept: RwLock::new(kept),
            own: RwLock::default(),
            random: random.clone(),
            nobody: KeyDigest::new(*random.secret().reveal()),
        })))
    }

    /// Whether nothing is let in without a key.
    pub(crate) fn required(&self) -> bool {
        self.0.required.load(Ordering::Relaxed)
    }

    /// The key that a caller presents, where it is one and good at `now`; it counts as used then.
    pub(crate) fn check(&self, presented: &[u8], now: Timestamp) -> Option<Arc<Kept>> {
        let nothing = || Token {
            id: KeyId::new(0),
            secret: Secret::new([0; 32]),
        };
        let read = Token::read(presented);
        let token = read.as_ref();
        let digest = self.0.hasher.digest(token.unwrap_or(&nothing()));
        let kept = token.and_then(|token| self.find(token.id));
        // Compared in any case, so that a key that is not there takes as long as one that is.
        let same = digest == *kept.as_ref().map_or(&self.0.nobody, |kept| &kept.digest);
        let kept = kept.filter(|kept| same && kept.expires_at.is_none_or(|end| now < end))?;
        let used = now.as_millis();
        // A second is more than anybody wants to know, and spares the other threads' caches.
        if kept.used.load(Ordering::Relaxed) + 1_000 <= used {
            kept.used.store(used, Ordering::Relaxed);
        }
        Some(kept)
    }

    fn find(&self, id: KeyId) -> Option<Arc<Kept>> {
        let find = |keys: &RwLock<HashMap<KeyId, Arc<Kept>>>| {
            keys.read()
                .unwrap_or_else(PoisonError::into_inner)
                .get(&id)
                .cloned()
        };
        find(&self.0.kept).or_else(|| find(&self.0.own))
    }

    /// Makes a key of the namespace; it is good at once. The secret is in the token and nowhere else.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn create(
        &self,
        store: &dyn Store,
        ns: &Namespace,
        wish: &KeyWish,
    ) -> Result<Result<(ApiKey, Token), KeyRefused>, StoreError> {
        let made = make::with(store, &self.0.hasher, &self.0.random, ns, wish).await?;
        if let Ok((key, _)) = &made {
            let mut kept = self.0.kept.write().unwrap_or_else(PoisonError::into_inner);
            kept.insert(key.id, Arc::new(Kept::of(key)));
            self.0.required.store(true, Ordering::Relaxed);
        }
        Ok(made)
    }

    /// Revokes a key of the namespace: on this node it is refused before the store is asked to forget it.
    ///
    /// # Errors
    /// Those of the store; the key is refused until the node starts again, then, unless the store kept it.
    pub(crate) async fn revoke(
        &self,
        store: &dyn Store,
        ns: &Namespace,
        id: KeyId,
    ) -> Result<Result<(), KeyRefused>, StoreError> {
        let answer = store.revoke_key(ns, id).await;
        // In doubt it is closed.
        if !matches!(
            answer,
            Ok(Err(_)) | Err(StoreError::Unavailable(_) | StoreError::DiskFull)
        ) {
            let mut kept = self.0.kept.write().unwrap_or_else(PoisonError::into_inner);
            if let Some(key) = kept.remove(&id) {
                key.revoked.cancel();
            }
        }
        answer
    }

    /// A key for a program of this process that works one queue. It is kept nowhere.
    pub(crate) fn lend(&self, ns: &Namespace, queue: &QueueName) -> Token {
        let token = Token {
            id: KeyId::new(self.0.random.bits()),
            secret: self.0.random.secret(),
        };
        let glob = queue.as_str().parse();
        let kept = Kept {
            id: token.id,
            namespace: ns.clone(),
            grants: Grants {
                scopes: Scopes::from_iter([Scope::Work]),
                queues: vec![glob.expect("a name is a pattern that matches itself")],
            },
            expires_at: None,
            digest: self.0.hasher.digest(&token),
            revoked: CancellationToken::new(),
            used: AtomicI64::new(i64::MAX - 1_000),
            told: AtomicI64::new(i64::MAX),
        };
        let mut own = self.0.own.write().unwrap_or_else(PoisonError::into_inner);
        own.insert(token.id, Arc::new(kept));
        token
    }

    /// Keys that were used since the store was told, and when.
    fn untold(&self) -> Vec<(Arc<Kept>, Timestamp)> {
        let kept = self.0.kept.read().unwrap_or_else(PoisonError::into_inner);
        let used = kept
            .values()
            .filter_map(|kept| Some((kept.clone(), kept.untold()?)));
        used.collect()
    }
}

#[cfg(test)]
mod tests;
