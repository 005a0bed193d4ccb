//! The ids of requests: the caller's own where it has a fit one, else a new one.
//!
//! Invariant: an id is short and holds only what may stand in a header and a log.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

use http::header::{HeaderMap, HeaderName, HeaderValue};

pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest request id that is taken from a caller.
const REQUEST_ID_BYTES_MAX: usize = 128;

/// Makes ids: this server's number and a counter.
#[derive(Debug)]
pub(crate) struct Ids {
    /// How all begin.
    origin: [u8; 9],
    count: AtomicU64,
}

impl Ids {
    pub(crate) fn new() -> Self {
        let mut origin = *b"00000000-";
        hexadecimal(RandomState::new().hash_one(0) >> 32, &mut origin[..8]);
        Self {
            origin,
            count: AtomicU64::new(0),
        }
    }

    /// A new one. By hand, for every request takes one, and formatting costs more than all else of it.
    pub(crate) fn mint(&self) -> HeaderValue {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let digits = (64 - count.leading_zeros()).div_ceil(4).max(1) as usize;
        let mut text = [0; 9 + 16];
        text[..9].copy_from_slice(&self.origin);
        hexadecimal(count, &mut text[9..9 + digits]);
        HeaderValue::from_bytes(&text[..9 + digits]).expect("hexadecimal digits are visible")
    }
}

/// Writes the lowest digits of a number, as many as there is room for.
fn hexadecimal(mut number: u64, out: &mut [u8]) {
    for digit in out.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(number & 15) as usize];
        number >>= 4;
    }
}

/// The caller's own, where it is fit.
pub(crate) fn told(headers: &HeaderMap) -> Option<HeaderValue> {
    headers.get(X_REQUEST_ID).filter(|id| fit(id)).cloned()
}

pub(crate) fn fit(id: &HeaderValue) -> bool {
    let bytes = id.as_bytes();
    (1..=REQUEST_ID_BYTES_MAX).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_the_servers_number_and_a_count_that_grows() {
        let ids = Ids::new();
        let origin = std::str::from_utf8(&ids.origin).unwrap();
        for count in [0, 1, 9, 15, 16, 255, 256, 1 << 40, u64::MAX] {
            ids.count.store(count, Ordering::Relaxed);
            assert_eq!(ids.mint(), format!("{origin}{count:x}"));
        }
        assert_eq!(origin.len(), 9);
        assert!(origin.starts_with(|c: char| c.is_ascii_hexdigit()) && origin.ends_with('-'));
    }
}
