//! Secrets: what nobody may see who has no business with it, and what pushes and webhooks are signed with (Standard
//! Webhooks 1.0.0).
//!
//! Invariant: a secret shows only where [`Secret::reveal`] is written; no log, no `Debug`, no `Display` and no error holds it.

use std::fmt;
use std::time::Duration;

use crate::time::Timestamp;

/// How long a former secret signs beside the new one.
pub const BOTH_SIGN: Duration = Duration::from_secs(24 * 3600);

/// So many former secrets sign at most; where secrets change more often than that, the oldest goes early.
pub const FORMER_MAX: usize = 3;

/// What must not be shown: 32 random bytes that sign or open something, or any other value, such as the text of a setting.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret<T = [u8; 32]>(T);

impl<T> Secret<T> {
    /// This value. Bytes that sign must be random and known to nobody.
    #[must_use]
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself: to sign with, to keep, or to show to those who may see it.
    #[must_use]
    pub const fn reveal(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl<T> fmt::Display for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(set)")
    }
}

/// A secret that was replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Former {
    /// The secret.
    pub secret: Secret,
    /// Until when it signs beside the present one.
    pub until: Timestamp,
}

/// The secrets of a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigningSecrets {
    /// The present one.
    pub current: Secret,
    /// Since when it is.
    pub since: Timestamp,
    /// Those before it, the latest first, as far as they may still sign.
    pub former: Vec<Former>,
}

impl SigningSecrets {
    /// The secrets that sign at `now`, the present one first.
    pub fn signing(&self, now: Timestamp) -> impl Iterator<Item = &Secret> {
        let former = self.former.iter().filter(move |former| former.until > now);
        std::iter::once(&self.current).chain(former.map(|former| &former.secret))
    }

    /// Until when a former secret signs as well, where one does.
    #[must_use]
    pub fn both_until(&self, now: Timestamp) -> Option<Timestamp> {
        let untils = self.former.iter().map(|former| former.until);
        untils.filter(|until| *until > now).max()
    }
}
