//! Standard Webhooks 1.0.0: the three headers by which a receiver knows that a request is ours, whole and new.
//!
//! Invariant: what is signed are the bytes that are sent; each secret that signs now gives one signature.

use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, HeaderName, HeaderValue};
use raincheck_core::secret::{Secret, SigningSecrets};
use raincheck_core::time::Timestamp;
use sha2::Sha256;

use crate::base64::encode;

pub(super) const ID: HeaderName = HeaderName::from_static("webhook-id");
pub(super) const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
pub(super) const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// What a secret is written with.
pub(super) const PREFIX: &str = "whsec_";

/// The headers that are ours to write.
pub(crate) const HEADERS: [&str; 3] = ["webhook-id", "webhook-timestamp", "webhook-signature"];

/// Signs a message that is sent at `now`; `id` is the same on every try and holds no dot.
pub(crate) fn sign(headers: &mut HeaderMap, secrets: &SigningSecrets, id: &str, body: &[u8], now: Timestamp) {
    let seconds = now.as_millis().div_euclid(1000);
    let signatures: Vec<_> = secrets
        .signing(now)
        .map(|secret| {
            let signed = mac(secret.reveal(), id, seconds, body).finalize();
            format!("v1,{}", encode(&signed.into_bytes()))
        })
        .collect();
    for (name, value) in [
        (ID, id.to_owned()),
        (TIMESTAMP, seconds.to_string()),
        (SIGNATURE, signatures.join(" ")),
    ] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
}

/// What is signed, and how: the one rule of those who sign and those who verify.
pub(super) fn mac(key: &[u8], id: &str, seconds: i64, body: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(id.as_bytes());
    mac.update(format!(".{seconds}.").as_bytes());
    mac.update(body);
    mac
}

/// The secret as receivers take it.
pub(crate) fn written(secret: &Secret) -> String {
    format!("{PREFIX}{}", encode(secret.reveal()))
}

#[cfg(test)]
mod tests {
    use raincheck_core::decide::{first_secret, rotate_secret};

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_614_265_330_999);

    fn bytes() -> [u8; 32] {
        std::array::from_fn(|n| u8::try_from(n).unwrap_or(0))
    }

    #[test]
    fn a_signature_is_what_the_standard_says() {
        let mut headers = HeaderMap::new();
        let secrets = first_secret(Secret::new(bytes()), NOW);
        sign(
            &mut headers,
            &secrets,
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            br#"{"test": 2432232314}"#,
            NOW,
        );
        assert_eq!(headers["webhook-id"], "msg_p5jXN8AQM9LWM0D4loKWxJek");
        assert_eq!(headers["webhook-timestamp"], "1614265330");
        // Computed with Python's hmac module over the same id, second and body.
        assert_eq!(
            headers["webhook-signature"],
            "v1,O4Gjv1HqPqsMrjmczoggs/sWA8gZD0VyHG+fLh4+ktI="
        );
        assert_eq!(
            written(&secrets.current),
            "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
        );
    }

    #[test]
    fn after_a_rotation_there_are_two_signatures() {
        let first = first_secret(Secret::new(bytes()), NOW);
        let second = rotate_secret(&first, Secret::new([7; 32]), NOW);
        let signed = |secrets| {
            let mut headers = HeaderMap::new();
            sign(&mut headers, secrets, "m", b"x", NOW);
            headers["webhook-signature"].to_str().unwrap().to_owned()
        };
        let (before, both) = (signed(&first), signed(&second));
        let both: Vec<_> = both.split(' ').collect();
        assert_eq!(both.len(), 2);
        assert_eq!(both[1], before, "the former one goes on");
    }
}
