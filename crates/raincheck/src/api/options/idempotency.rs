//! The idempotency key and the fingerprint of what was sent under it.
//!
//! Invariant: two requests have one fingerprint exactly where content type, bytes and options were sent alike; how a
//! client prefers to be answered and which trace it belongs to do not count.

use std::borrow::Cow;

use raincheck_core::decide::Fingerprint;
use sha2::{Digest, Sha256};

use super::Asked;

/// The longest key.
const KEY_BYTES_MAX: usize = 255;

/// Reads a key: a structured-field string (RFC 9651 section 3.3.3), else visible ASCII characters taken raw.
///
/// # Errors
/// Why it is not a key.
pub(crate) fn idempotency_key(value: &[u8]) -> Result<String, Cow<'static, str>> {
    let key = match value {
        [b'"', rest @ ..] => {
            quoted(rest).ok_or("not a quoted string: \"…\" with \\\" and \\\\ for those two")?
        }
        raw if raw.iter().all(u8::is_ascii_graphic) => raw.to_vec(),
        _ => return Err("takes visible ASCII characters, or a quoted string".into()),
    };
    plain_key(String::from_utf8(key).map_err(|_| "takes ASCII only")?)
}

/// Takes a key that needs no quotes any more, as the JSON form has it.
///
/// # Errors
/// Why it is not a key.
pub(crate) fn plain_key(key: String) -> Result<String, Cow<'static, str>> {
    if key.is_empty() || key.len() > KEY_BYTES_MAX {
        return Err(format!("takes 1 to {KEY_BYTES_MAX} characters").into());
    }
    if !key.bytes().all(|b| (b' '..=b'~').contains(&b)) {
        return Err("takes visible ASCII characters and spaces".into());
    }
    Ok(key)
}

/// The rest of a structured-field string after its first quote.
fn quoted(rest: &[u8]) -> Option<Vec<u8>> {
    let mut key = Vec::with_capacity(rest.len());
    let mut bytes = rest.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => return bytes.as_slice().is_empty().then_some(key),
            b'\\' => match bytes.next() {
                Some(escaped @ (b'"' | b'\\')) => key.push(*escaped),
                Some(_) | None => return None,
            },
            0x20..=0x7e => key.push(*byte),
            _ => return None,
        }
    }
    None
}

/// Computes a [`Fingerprint`].
#[derive(Debug)]
pub(crate) struct Fingerprinter(Sha256);

impl Fingerprinter {
    /// Over content type and options.
    pub(crate) fn new(content_type: Option<&str>, asked: &Asked<'_>) -> Self {
        let mut hash = Sha256::new();
        // Each text is preceded by its length, so that none can run into the next.
        let mut text = |text: &str| {
            hash.update(u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
            hash.update(text.as_bytes());
        };
        text(content_type.unwrap_or_default());
        let mut sent: Vec<_> = asked.sent.iter().collect();
        sent.sort_unstable_by_key(|(row, _)| *row);
        for (row, value) in sent {
            text(super::TABLE[*row].field);
            text(value);
        }
        Self(hash)
    }

    /// And over the bytes.
    pub(crate) fn finish(mut self, body: &[u8]) -> Fingerprint {
        self.0.update([u8::from(true)]);
        self.0.update(body);
        self.0.finalize().into()
    }
}
