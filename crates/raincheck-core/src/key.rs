//! API keys: who may do what, in which namespace, on which queues.
//!
//! Invariants: a key belongs to one namespace for good; what was made for it is kept only as a digest, which no log and
//! no `Debug` shows and which is compared in constant time.

mod glob;
mod scope;
mod token;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;

pub use glob::{GlobError, QueueGlob};
pub use scope::{ParseScopeError, Scope, Scopes};
pub use token::Token;

use crate::id::ParseIdError;
use crate::name::{KeyName, Namespace, QueueName};
use crate::time::Timestamp;

/// The most keys of one namespace.
pub const KEYS_MAX: usize = 1_000;

/// The most queue patterns of one key.
pub const GLOBS_MAX: usize = 16;

/// What a key is called in lists and logs: 8 letters and digits, part of the key itself and no secret.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; 8]);

impl KeyId {
    /// The id that the low 47 bits of `random` make.
    #[must_use]
    pub fn new(random: u64) -> Self {
        let mut digits = [0; 8];
        token::encode(&random.to_be_bytes(), &mut digits);
        Self(digits)
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for KeyId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits: [u8; 8] = text.as_bytes().try_into().map_err(|_| ParseIdError)?;
        if digits.iter().all(u8::is_ascii_alphanumeric) {
            Ok(Self(digits))
        } else {
            Err(ParseIdError)
        }
    }
}

impl Serialize for KeyId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for KeyId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// What is kept of a key's secret: a keyed hash of it.
#[derive(Clone)]
pub struct KeyDigest([u8; 32]);

impl KeyDigest {
    /// These bytes.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes, to be kept.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl PartialEq for KeyDigest {
    /// Takes the same time wherever the two differ.
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for KeyDigest {}

impl fmt::Debug for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyDigest(…)")
    }
}

/// What a key allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grants {
    /// What may be done.
    pub scopes: Scopes,
    /// On which queues: on those that one of these patterns matches; on all where there is none.
    pub queues: Vec<QueueGlob>,
}

impl Grants {
    /// Everything, on every queue.
    #[must_use]
    pub fn everything() -> Self {
        Self {
            scopes: Scopes::all(),
            queues: Vec::new(),
        }
    }

    /// Whether all queues are allowed, so that none needs to be looked at.
    #[must_use]
    pub const fn all_queues(&self) -> bool {
        self.queues.is_empty()
    }

    /// Whether this queue is.
    #[must_use]
    pub fn allows_queue(&self, name: &QueueName) -> bool {
        self.all_queues() || self.queues.iter().any(|glob| glob.matches(name.as_str()))
    }
}

/// A key to be made.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// Its id; drawn at random.
    pub id: KeyId,
    /// What it is for, in the words of who makes it.
    pub name: KeyName,
    /// What it allows.
    pub grants: Grants,
    /// How long it is good; for good where nothing is said.
    pub valid_for: Option<Duration>,
    /// What is kept of its secret.
    pub digest: KeyDigest,
}

/// A key as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// Its id.
    pub id: KeyId,
    /// The namespace in which it acts.
    pub namespace: Namespace,
    /// What it is for.
    pub name: KeyName,
    /// What it allows.
    pub grants: Grants,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it is good no longer.
    pub expires_at: Option<Timestamp>,
    /// When it was used last, to the minute or so.
    pub last_used_at: Option<Timestamp>,
    /// What is kept of its secret.
    pub digest: KeyDigest,
}

impl ApiKey {
    /// Whether it is good at `now`.
    #[must_use]
    pub fn live(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|end| now < end)
    }

    /// Whether it may administer everything: an `admin` key of the namespace `default` for all queues.
    #[must_use]
    pub fn is_operator(&self) -> bool {
        self.namespace == Namespace::default()
            && self.grants.scopes.contains(Scope::Admin)
            && self.grants.all_queues()
    }
}

/// Why a key was not made or not revoked; nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyRefused {
    /// Another key has this id: draw another one.
    #[error("another key has this id")]
    Taken,
    /// Nothing works without a key once there is one, so the first must be able to make others.
    #[error("the first key must be an admin key of the namespace default for all queues")]
    FirstNotAdmin,
    /// It would leave a server that nobody can administer.
    #[error("it is the last key that may administer the server")]
    LastAdmin,
    /// The namespace has as many keys as it may.
    #[error("the namespace has {KEYS_MAX} keys already")]
    TooMany,
    /// The namespace has no such key.
    #[error("no such key")]
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back() {
        for random in [0, 1, 61, 62, u64::MAX, 0x0123_4567_89ab_cdef] {
            let id = KeyId::new(random);
            assert_eq!(id.to_string().parse(), Ok(id));
            assert_eq!(id.as_str().len(), 8);
        }
        for text in ["", "abcdefg", "abcdefghi", "abc-efgh", "abcdefü"] {
            assert_eq!(text.parse::<KeyId>(), Err(ParseIdError), "{text:?}");
        }
    }

    #[test]
    fn no_log_shows_a_digest() {
        let digest = KeyDigest::new([0xab; 32]);
        assert_eq!(format!("{digest:?}"), "KeyDigest(…)");
        assert_eq!(digest, KeyDigest::new([0xab; 32]));
        assert_ne!(digest, KeyDigest::new([0xac; 32]));
    }

    #[test]
    fn a_key_without_patterns_is_for_every_queue() {
        let name = |text: &str| QueueName::new(text).unwrap();
        let mut grants = Grants::everything();
        assert!(grants.allows_queue(&name("thumbs")));
        grants.queues = vec!["thumbs*".parse().unwrap(), "mail".parse().unwrap()];
        for (queue, allowed) in [
            ("thumbs", true),
            ("thumbs-eu", true),
            ("mail", true),
            ("mails", false),
        ] {
            assert_eq!(grants.allows_queue(&name(queue)), allowed, "{queue}");
        }
    }
}
