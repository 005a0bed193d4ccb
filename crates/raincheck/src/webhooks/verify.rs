//! What a receiver does: tells whether a request was signed by somebody who has the secret, and is new (Standard
//! Webhooks 1.0.0).
//!
//! Invariant: nothing of a request is believed before its signature was found right; how long that takes says nothing about
//! the right one.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use hmac::Mac as _;
use http::{HeaderMap, HeaderName};
use raincheck_core::time::Timestamp;

use super::sign::{ID, PREFIX, SIGNATURE, TIMESTAMP, mac};
use crate::base64::decode;

/// How far a request's time may lie from ours, so that one that was overheard cannot be sent again later.
pub const TOLERANCE: Duration = Duration::from_secs(300);

/// So many bytes are a secret, by the standard.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// A secret that requests are verified with. Read from the text that `GET /v1/webhook-secret` shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier(Vec<u8>);

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier(…)")
    }
}

/// Why a text is no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a secret: it is written whsec_ and 24 to 64 bytes as base64")]
pub struct ParseSecretError;

impl FromStr for Verifier {
    type Err = ParseSecretError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let key = decode(text.strip_prefix(PREFIX).unwrap_or(text)).ok_or(ParseSecretError)?;
        if SECRET_BYTES.contains(&key.len()) {
            Ok(Self(key))
        } else {
            Err(ParseSecretError)
        }
    }
}

/// A request that is what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Its `webhook-id`: the same on every try, so what has been seen can be left alone.
    pub id: String,
    /// When it was sent, to the second.
    pub at: Timestamp,
}

/// Why a request is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotVerified {
    /// A header is missing, or there twice.
    #[error("it has not exactly one header {0}")]
    Header(&'static str),
    /// The time is none, or lies too far from ours.
    #[error("its time is not within five minutes of ours")]
    Time,
    /// No signature is one of this secret over these bytes.
    #[error("no signature in it was made with this secret over these bytes")]
    Signature,
}

impl Verifier {
    /// Checks a request with this body that arrives at `now`.
    ///
    /// # Errors
    /// When it was not signed with this secret, was changed on its way, or is old.
    pub fn verify(&self, headers: &HeaderMap, body: &[u8], now: Timestamp) -> Result<Verified, NotVerified> {
        let id = one(headers, &ID, "webhook-id")?;
        let seconds = one(headers, &TIMESTAMP, "webhook-timestamp")?;
        let signatures = one(headers, &SIGNATURE, "webhook-signature")?;
        let digits = seconds.bytes().all(|byte| byte.is_ascii_digit());
        let seconds: i64 = seconds.parse().map_err(|_| NotVerified::Time)?;
        let at = Timestamp::from_millis(seconds.saturating_mul(1000));
        if !digits || now.since(at).max(at.since(now)) > TOLERANCE {
            return Err(NotVerified::Time);
        }
        let expected = mac(&self.0, id, seconds, body);
        let right = |signature: &str| {
            let bytes = signature.strip_prefix("v1,").and_then(decode);
            bytes.is_some_and(|bytes| expected.clone().verify_slice(&bytes).is_ok())
        };
        if signatures.split(' ').any(right) {
            Ok(Verified {
                id: id.to_owned(),
                at,
            })
        } else {
            Err(NotVerified::Signature)
        }
    }
}

fn one<'a>(headers: &'a HeaderMap, name: &HeaderName, text: &'static str) -> Result<&'a str, NotVerified> {
    let mut values = headers.get_all(name).iter();
    match (values.next().map(|value| value.to_str()), values.next()) {
        (Some(Ok(value)), None) if !value.is_empty() => Ok(value),
        _ => Err(NotVerified::Header(text)),
    }
}

#[cfg(test)]
mod tests {
    use raincheck_core::decide::{first_secret, rotate_secret};
    use raincheck_core::secret::{Secret, SigningSecrets};

    use super::super::sign::{sign, written};
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_614_265_330_000);
    const BODY: &[u8] = br#"{"type":"job.succeeded"}"#;

    fn verifier(secrets: &SigningSecrets) -> Verifier {
        written(&secrets.current)
            .parse()
            .expect("what is written is read")
    }

    fn signed(secrets: &SigningSecrets) -> HeaderMap {
        let mut headers = HeaderMap::new();
        sign(&mut headers, secrets, "msg_1", BODY, NOW);
        headers
    }

    /// What a receiver with the first secret says of a request that was changed by `change`, `later` seconds later.
    fn check(later: i64, change: impl FnOnce(&mut HeaderMap)) -> Result<Verified, NotVerified> {
        let secrets = first_secret(Secret::new([1; 32]), NOW);
        let mut headers = signed(&secrets);
        change(&mut headers);
        let now = Timestamp::from_millis(NOW.as_millis() + later * 1000);
        verifier(&secrets).verify(&headers, BODY, now)
    }

    #[test]
    fn what_was_signed_is_verified_and_what_was_changed_is_not() {
        let verified = Verified {
            id: "msg_1".to_owned(),
            at: NOW,
        };
        assert_eq!(check(0, |_| {}), Ok(verified.clone()));
        assert_eq!(check(300, |_| {}), Ok(verified.clone()));
        assert_eq!(check(-300, |_| {}), Ok(verified));
        assert_eq!(check(301, |_| {}), Err(NotVerified::Time));
        assert_eq!(check(-301, |_| {}), Err(NotVerified::Time));
        for (name, value, expected) in [
            ("webhook-id", "msg_2", NotVerified::Signature),
            ("webhook-id", "", NotVerified::Header("webhook-id")),
            ("webhook-timestamp", "1614265331", NotVerified::Signature),
            ("webhook-timestamp", "+1614265330", NotVerified::Time),
            ("webhook-timestamp", "soon", NotVerified::Time),
            ("webhook-timestamp", "99999999999999999999", NotVerified::Time),
            ("webhook-signature", "v1,", NotVerified::Signature),
            ("webhook-signature", "v1,AAAA", NotVerified::Signature),
        ] {
            let change = |headers: &mut HeaderMap| {
                headers.insert(name, value.parse().expect("a header"));
            };
            assert_eq!(check(0, change), Err(expected), "{name}: {value}");
        }
        let twice = |headers: &mut HeaderMap| {
            headers.append("webhook-signature", "v1,AAAA".parse().expect("a header"));
        };
        assert_eq!(check(0, twice), Err(NotVerified::Header("webhook-signature")));
        let secrets = first_secret(Secret::new([1; 32]), NOW);
        let other = verifier(&secrets).verify(&signed(&secrets), b"{}", NOW);
        assert_eq!(other, Err(NotVerified::Signature));
    }

    #[test]
    fn after_a_rotation_the_former_and_the_new_secret_both_verify() {
        let first = first_secret(Secret::new([1; 32]), NOW);
        let second = rotate_secret(&first, Secret::new([2; 32]), NOW);
        let headers = signed(&second);
        for secrets in [&first, &second] {
            assert!(verifier(secrets).verify(&headers, BODY, NOW).is_ok());
        }
        let alone = signed(&first);
        assert_eq!(
            verifier(&second).verify(&alone, BODY, NOW),
            Err(NotVerified::Signature)
        );
    }

    #[test]
    fn a_secret_is_read_as_it_is_written_and_never_shown() {
        let text = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
        let read: Verifier = text.parse().unwrap();
        assert_eq!(Ok(read.clone()), text.trim_start_matches("whsec_").parse());
        assert_eq!(format!("{read:?}"), "Verifier(…)");
        for bad in [
            "",
            "whsec_",
            "whsec_AAEC",
            "whsec_!",
            &format!("whsec_{}", "AAAA".repeat(22)),
        ] {
            assert_eq!(bad.parse::<Verifier>(), Err(ParseSecretError), "{bad}");
        }
    }
}
