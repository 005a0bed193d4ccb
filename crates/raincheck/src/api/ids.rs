//! The ids of requests: the caller's own where it has a fit one, else a new one.
//!
//! Invariant: an id is short and holds only what may stand in a header and a log.

use std::fmt::Write as _;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

use http::header::{HeaderMap, HeaderName, HeaderValue};

pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest request id that is taken from a caller.
const REQUEST_ID_BYTES_MAX: usize = 128;

/// Makes ids: this server's number and a counter.
#[derive(Debug)]
pub(crate) struct Ids {
    origin: u64,
    count: AtomicU64,
}

impl Ids {
    pub(crate) fn new() -> Self {
        Self {
            origin: RandomState::new().hash_one(0),
            count: AtomicU64::new(0),
        }
    }

    /// A new one.
    pub(crate) fn mint(&self) -> HeaderValue {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let mut text = String::with_capacity(24);
        // Writing to a string does not fail.
        let _ = write!(text, "{:08x}-{count:x}", self.origin >> 32);
        HeaderValue::from_str(&text).expect("hexadecimal digits are visible")
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
