//! The lock on the door: who comes with which key, before any route is looked for.
//!
//! Invariants: where the server has keys, nothing below `/v1` nor `/metrics` is reached without one, but by a ticket or a lease, which
//! [`caller`](super::caller) checks; whatever is wrong with a key is told in the same words; an address
//! that keeps presenting wrong ones is told to wait.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use http::Request;
use http::header::{self, HeaderMap, HeaderValue};
use raincheck_core::store::Store;

use super::code::Code;
use super::problem::Problem;
use crate::keys::{Kept, Keys};
use crate::server::Client;
use crate::throttle::{Buckets, Source};

/// In a request's extensions, where the server has keys: what it was let in by.
#[derive(Clone, Debug)]
pub(crate) enum Admitted {
    /// A key.
    Key(Arc<Kept>),
    /// None. What it wants is opened by a ticket or a lease, or needs nothing.
    Guest,
}

/// So many wrong keys are told at once what they are, of one address.
const WRONG_BURST: u32 = 20;

/// The lock.
#[derive(Debug)]
pub(crate) struct Door {
    keys: Keys,
    store: Arc<dyn Store>,
    /// Wrong keys, by address.
    wrong: Buckets,
}

impl Door {
    pub(crate) fn new(keys: Keys, store: Arc<dyn Store>) -> Self {
        let a_minute = raincheck_core::limit::Rate::new(WRONG_BURST, std::time::Duration::from_secs(60));
        Self {
            keys,
            store,
            wrong: Buckets::new(a_minute.expect("twenty a minute is a rate"), WRONG_BURST),
        }
    }

    /// Looks who comes.
    ///
    /// # Errors
    /// 401 where a key is asked for and there is none, or one that does not open; 429 where the address has presented too
    /// many of those.
    pub(crate) fn admit<B>(&self, request: &mut Request<B>) -> Result<(), Problem> {
        if !self.keys.required() {
            return Ok(());
        }
        let peer = peer(request);
        let now = self.store.now();
        let admitted = match presented(request.headers()) {
            Some(presented) => match self.keys.check(presented, now) {
                Some(key) => Admitted::Key(key),
                None if closed(request) => return Err(self.refuse(peer, now)),
                None => Admitted::Guest,
            },
            None if !closed(request) || opened_otherwise(request) => Admitted::Guest,
            None => return Err(unauthenticated()),
        };
        request.extensions_mut().insert(admitted);
        Ok(())
    }

    fn refuse(&self, peer: IpAddr, now: raincheck_core::time::Timestamp) -> Problem {
        let taken = self.wrong.take(Source::Address(peer), now);
        match taken.wait {
            None => unauthenticated(),
            Some(seconds) => {
                let detail =
                    "too many wrong API keys came from your address; try again later, with a right one";
                Problem::new(Code::RateLimited, detail).retry_after(seconds)
            }
        }
    }
}

/// Who asks; this machine, where the server tells nobody apart because it serves no other.
fn peer<B>(request: &Request<B>) -> IpAddr {
    let client = request.extensions().get::<Client>();
    client.map_or(Ipv4Addr::LOCALHOST.into(), |client| client.address)
}

/// What stands behind `Bearer`; nothing, where the header is there but holds something else.
fn presented(headers: &HeaderMap) -> Option<&[u8]> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next()?.as_bytes();
    if values.next().is_some() {
        return Some(b"");
    }
    let (scheme, rest) = value.split_at_checked(7).unwrap_or((value, b""));
    if scheme.eq_ignore_ascii_case(b"bearer ") {
        Some(rest.trim_ascii())
    } else {
        Some(b"")
    }
}

/// Whether a key opens what the request is for.
fn closed<B>(request: &Request<B>) -> bool {
    let path = request.uri().path();
    path == "/metrics" || path == "/v1" || path.starts_with("/v1/")
}

/// Whether the request might be let in by its ticket or its lease.
fn opened_otherwise<B>(request: &Request<B>) -> bool {
    let uri = request.uri();
    let ticket = uri.query().is_some_and(|query| query.contains("ticket="));
    ticket || uri.path().starts_with("/v1/leases/l_")
}

/// No key, or one that does not open.
pub(crate) fn unauthenticated() -> Problem {
    let detail = "this takes an API key that is good here: send Authorization: Bearer rck_…; an administrator makes one \
                  with raincheck key create";
    Problem::new(Code::Unauthenticated, detail).header(
        header::WWW_AUTHENTICATE,
        HeaderValue::from_static("Bearer realm=\"raincheck\""),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_stands_behind_bearer_and_nowhere_else() {
        let of = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::AUTHORIZATION, HeaderValue::from_static(value));
            }
            presented(&headers).map(|key| String::from_utf8_lossy(key).into_owned())
        };
        for (values, expected) in [
            (&[][..], None),
            (&["Bearer rck_x"][..], Some("rck_x")),
            (&["bEARER  rck_x "][..], Some("rck_x")),
            (&["rck_x"][..], Some("")),
            (&["Basic cmNrX3g="][..], Some("")),
            (&["Bearer"][..], Some("")),
            (&["Bearer rck_x", "Bearer rck_x"][..], Some("")),
        ] {
            assert_eq!(of(values).as_deref(), expected, "{values:?}");
        }
    }
}
