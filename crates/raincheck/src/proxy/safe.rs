//! Credentials at rest: the headers of a kept request that open doors are encrypted before they reach the store.
//!
//! What they are encrypted under is derived from the store's own secret, which lies under the master key where there is one. So
//! they share its fate: with a master key no file shows them, not even those that were kept before it was given; without one who
//! has the files has everything.
//!
//! Invariants: a value that opens a door leaves this process only to whom it was sent; sealed for one method, target and header it
//! opens for no other.

use std::sync::Arc;

use chacha20poly1305::aead::{AeadInOut as _, KeyInit as _};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac as _};
use http::header::HeaderName;
use raincheck_core::secret::Secret;
use raincheck_core::store::{Store, StoreError};
use sha2::Sha256;
use tokio::sync::OnceCell;

use crate::base64;
use crate::random::Randomness;

/// Bytes of a nonce; drawn at random from so many that no two are alike.
const NONCE: usize = 24;
/// What the key is derived for, so that it is none that anything else is signed with.
const PURPOSE: &[u8] = b"raincheck kept credentials\0";

/// Whether who has this header's value may have doors opened by it: its name holds a word that tells so, as `Authorization` and
/// `Cookie` do. One look along the name, for every header of every call that is kept is asked.
pub(super) fn opens_doors(name: &HeaderName) -> bool {
    let mut rest = name.as_str().as_bytes();
    while let [first, behind @ ..] = rest {
        let tells = match first {
            b'a' => {
                behind.starts_with(b"uth") || behind.starts_with(b"pi-key") || behind.starts_with(b"pikey")
            }
            b'c' => behind.starts_with(b"ookie"),
            b'p' => behind.starts_with(b"assw"),
            b's' => behind.starts_with(b"ecret") || behind.starts_with(b"ession"),
            b't' => behind.starts_with(b"oken"),
            _ => false,
        };
        if tells {
            return true;
        }
        rest = behind;
    }
    false
}

/// Seals and opens.
#[derive(Clone)]
pub(crate) struct Safe(XChaCha20Poly1305);

impl std::fmt::Debug for Safe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Safe(…)")
    }
}

impl Safe {
    /// By the secret of a store.
    fn of(secret: &Secret) -> Self {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.reveal()).expect("a key of any length is taken");
        mac.update(PURPOSE);
        let key = mac.finalize().into_bytes();
        Self(XChaCha20Poly1305::new_from_slice(&key).expect("the digest has 32 bytes"))
    }

    /// One of no store.
    #[cfg(test)]
    pub(super) fn sample() -> Self {
        Self::of(&Secret::new([7; 32]))
    }

    /// Another one.
    #[cfg(test)]
    pub(super) fn other() -> Self {
        Self::of(&Secret::new([8; 32]))
    }

    /// The value, sealed for this place alone.
    pub(super) fn seal(&self, place: &[&str], value: &[u8]) -> String {
        let nonce: [u8; NONCE] = rand::random();
        let mut sealed = value.to_vec();
        let done = self
            .0
            .encrypt_in_place(&XNonce::from(nonce), &bound(place), &mut sealed);
        done.expect("a header is not too long");
        base64::encode(&[nonce.as_slice(), &sealed].concat())
    }

    /// A value that was sealed for this place; `None` where it was not, or was changed.
    pub(super) fn open(&self, place: &[&str], sealed: &str) -> Option<Vec<u8>> {
        let bytes = base64::decode(sealed)?;
        let (nonce, sealed) = bytes.split_first_chunk::<NONCE>()?;
        let mut value = sealed.to_vec();
        let opened = self
            .0
            .decrypt_in_place(&XNonce::from(*nonce), &bound(place), &mut value);
        opened.ok().map(|()| value)
    }
}

/// What a value is bound to. No part holds a zero byte, so none can run into the next.
fn bound(place: &[&str]) -> Vec<u8> {
    place.join("\0").into_bytes()
}

/// The safe of a store, opened when it is first needed. Cloning gives another handle.
#[derive(Clone, Debug, Default)]
pub(crate) struct Safes(Arc<OnceCell<Safe>>);

impl Safes {
    /// The safe of this store, which is always the same one.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) async fn of(&self, store: &dyn Store) -> Result<&Safe, StoreError> {
        let ask = || async {
            let secret = store.ticket_key(Randomness::default().secret()).await?;
            Ok(Safe::of(&secret))
        };
        self.0.get_or_try_init(ask).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_where_it_belongs_and_nowhere_else() {
        let safe = Safe::sample();
        let place = ["cookie", "POST", "/a"];
        let sealed = safe.seal(&place, b"session=1");
        assert_ne!(sealed, safe.seal(&place, b"session=1"), "nonces differ");
        assert_eq!(safe.open(&place, &sealed).unwrap(), b"session=1");
        for other in [
            ["authorization", "POST", "/a"],
            ["cookie", "GET", "/a"],
            ["cookie", "POST", "/b"],
        ] {
            assert_eq!(safe.open(&other, &sealed), None, "{other:?}");
        }
        assert_eq!(Safe::other().open(&place, &sealed), None);
        for text in ["", "AAAA", "no base64"] {
            assert_eq!(safe.open(&place, text), None, "{text}");
        }
    }

    #[test]
    fn names_tell_what_opens_doors() {
        for (name, opens) in [
            ("authorization", true),
            ("cookie", true),
            ("x-api-key", true),
            ("x-auth-user", true),
            ("x-csrf-token", true),
            ("x-amz-security-token", true),
            ("apikey", true),
            ("x-my-password", true),
            ("client-secret-2", true),
            ("x-session", true),
            ("set-cookie2", true),
            ("tokentoken", true),
            ("aauth", true),
            ("sessecret", true),
            ("idempotency-key", false),
            ("x-api", false),
            ("x-aut", false),
            ("x-toke", false),
            ("accept", false),
            ("x-request-id", false),
        ] {
            assert_eq!(opens_doors(&HeaderName::from_static(name)), opens, "{name}");
        }
    }
}
