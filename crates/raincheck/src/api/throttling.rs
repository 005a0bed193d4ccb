//! How often callers may come: by key, or where they have none by address; and how they are told.
//!
//! Invariants: who is held to something is told so with every answer (`RateLimit-Policy`, `RateLimit`: the IETF's draft); a
//! 429 says when to come again, never earlier than the answer's `t`. A server without keys that nobody told to holds nobody to
//! anything, and pays one look at a flag.

use std::net::IpAddr;
use std::time::Duration;

use axum::response::Response;
use http::header::{HeaderName, HeaderValue};
use raincheck_core::key::KeyId;
use raincheck_core::limit::Rate;
use raincheck_core::time::Timestamp;

use super::ApiOptions;
use super::answer::value;
use super::code::Code;
use super::problem::Problem;
use crate::throttle::{Allowance, Buckets, Source};

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const STATE: HeaderName = HeaderName::from_static("ratelimit");

/// How often one key may come in a second, unless somebody says otherwise.
pub const KEY_USUAL: u32 = 10_000;
/// How often an address may come without a key in a second, unless somebody says otherwise: that is by tickets and leases, or in vain.
pub const ADDRESS_USUAL: u32 = 200;
/// So many wrong keys in [`WRONG_WINDOW`] are told what they are, of one address.
const WRONG_MAX: u32 = 20;
const WRONG_WINDOW: Duration = Duration::from_secs(60);

/// The buckets of one kind of callers.
#[derive(Debug)]
struct Kind {
    name: &'static str,
    buckets: Buckets,
    policy: HeaderValue,
    /// Whether somebody said so, so that it binds everybody.
    said: bool,
}

impl Kind {
    fn of(name: &'static str, allowance: Allowance, usual: u32) -> Option<Self> {
        let rate = match allowance {
            Allowance::Unbounded => return None,
            Allowance::Usual => Rate::new(usual, Duration::from_secs(1)),
            Allowance::Rate(rate) => Some(rate),
        };
        let buckets = Buckets::of(rate?);
        Some(Self {
            said: matches!(allowance, Allowance::Rate(_)),
            ..Self::with(name, buckets)
        })
    }

    fn with(name: &'static str, buckets: Buckets) -> Self {
        let (quota, window) = buckets.policy();
        Self {
            name,
            policy: value(format!("\"{name}\";q={quota};w={window}")),
            buckets,
            said: false,
        }
    }

    fn take(&self, source: Source, now: Timestamp) -> Held {
        let taken = self.buckets.take(source, now);
        Held {
            policy: self.policy.clone(),
            state: value(format!("\"{}\";r={};t={}", self.name, taken.left, taken.reset)),
            wait: taken.wait,
        }
    }
}

/// What a caller is held to, for its answer.
#[derive(Debug)]
pub(crate) struct Held {
    policy: HeaderValue,
    state: HeaderValue,
    wait: Option<u64>,
}

impl Held {
    /// After how many seconds it may come again, where it may not now.
    pub(crate) const fn wait(&self) -> Option<u64> {
        self.wait
    }

    /// Whether it may go on.
    ///
    /// # Errors
    /// 429 where it came too often.
    pub(crate) fn verdict(&self) -> Result<(), Problem> {
        let Some(seconds) = self.wait else {
            return Ok(());
        };
        let detail = format!("too many requests: try again in {seconds} s, or put more into each");
        Err(Problem::new(Code::RateLimited, detail).retry_after(seconds))
    }

    /// What a caller is told who is held to another thing as well: both, but where one is why it is refused that alone, for its
    /// wait is counted by that.
    pub(crate) fn and(self, other: Option<Self>) -> Self {
        let Some(other) = other.filter(|_| self.wait.is_none()) else {
            return self;
        };
        let both = |one: HeaderValue, other: HeaderValue| {
            let bytes = [one.as_bytes(), b", ", other.as_bytes()].concat();
            HeaderValue::from_bytes(&bytes).expect("two values and a comma are visible")
        };
        Self {
            policy: both(other.policy, self.policy),
            state: both(other.state, self.state),
            wait: None,
        }
    }

    /// Tells it in the answer.
    pub(crate) fn tell(self, response: &mut Response) {
        let headers = response.headers_mut();
        headers.insert(POLICY, self.policy);
        headers.insert(STATE, self.state);
    }
}

/// All buckets.
#[derive(Debug)]
pub(crate) struct Throttling {
    keys: Option<Kind>,
    addresses: Option<Kind>,
    /// Wrong keys, by address.
    wrong: Kind,
}

impl Throttling {
    pub(crate) fn new(options: &ApiOptions) -> Self {
        Self {
            keys: Kind::of("key", options.per_key, KEY_USUAL),
            addresses: Kind::of("address", options.per_address, ADDRESS_USUAL),
            wrong: Kind::with(
                "wrong-keys",
                Buckets::of(Rate::new(WRONG_MAX, WRONG_WINDOW).expect("twenty a minute is a rate")),
            ),
        }
    }

    /// Whether anybody is held to anything on a server without keys.
    pub(crate) fn said(&self) -> bool {
        self.addresses.as_ref().is_some_and(|kind| kind.said)
    }

    /// Counts a request by a key.
    pub(crate) fn key(&self, id: KeyId, now: Timestamp) -> Option<Held> {
        Some(self.keys.as_ref()?.take(Source::Key(id), now))
    }

    /// Counts a request with a wrong key.
    pub(crate) fn wrong(&self, peer: IpAddr, now: Timestamp) -> Held {
        self.wrong.take(Source::Address(peer), now)
    }

    /// Counts a request without one. Behind a proxy on the same machine all callers have its address, so that is bound only
    /// where somebody said so.
    pub(crate) fn address(&self, peer: IpAddr, now: Timestamp) -> Option<Held> {
        let kind = self.addresses.as_ref()?;
        (kind.said || !peer.to_canonical().is_loopback()).then(|| kind.take(Source::Address(peer), now))
    }
}
