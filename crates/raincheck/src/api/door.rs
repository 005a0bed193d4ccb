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
use raincheck_core::time::Timestamp;

use super::code::Code;
use super::problem::Problem;
use super::throttling::{Held, Throttling};
use super::ticket;
use super::until::Until;
use crate::keys::{Kept, Keys};
use crate::server::Client;

/// In a request's extensions, where the server has keys: what it was let in by.
#[derive(Clone, Debug)]
pub(crate) enum Admitted {
    /// A key.
    Key(Arc<Kept>),
    /// None. What it wants is opened by a ticket or a lease, or needs nothing.
    Guest,
}

/// What became of a request at the door.
#[derive(Debug)]
pub(crate) struct Seen {
    /// Whether it is let in: 401 where a key is asked for and there is none that opens, 429 where it comes too often.
    pub(crate) verdict: Result<(), Problem>,
    /// What its caller is held to.
    pub(crate) held: Option<Held>,
    /// Who came.
    pub(crate) came: Came,
    /// Until when it may be held open.
    pub(crate) until: Option<Until>,
}

/// Who came to the door.
#[derive(Clone, Debug)]
pub(crate) enum Came {
    /// Somebody to a server without keys.
    Anyone,
    /// Who has this key.
    Key(Arc<Kept>),
    /// Somebody without a key that opens.
    Nobody,
}

impl Seen {
    const fn free() -> Self {
        Self {
            verdict: Ok(()),
            held: None,
            came: Came::Anyone,
            until: None,
        }
    }
}

/// The lock.
#[derive(Debug)]
pub(crate) struct Door {
    keys: Keys,
    store: Arc<dyn Store>,
    /// How often who is let in may come.
    throttling: Throttling,
}

impl Door {
    pub(crate) fn new(keys: Keys, store: Arc<dyn Store>, throttling: Throttling) -> Self {
        Self {
            keys,
            store,
            throttling,
        }
    }

    /// Looks who comes, and what it is held to.
    pub(crate) fn look<B>(&self, request: &mut Request<B>) -> Seen {
        let locked = self.keys.required();
        if !locked && !self.throttling.said() {
            return Seen::free();
        }
        let peer = peer(request);
        let now = self.store.now();
        let presented = if locked {
            presented(request.headers())
        } else {
            None
        };
        let key = presented.and_then(|presented| self.keys.check(presented, now));
        let wrong = presented.is_some();
        let mut held = match &key {
            _ if probe(request) => None,
            Some(key) => self.throttling.key(key.id, now),
            None => self.throttling.address(peer, now),
        };
        let came = match &key {
            _ if !locked => Came::Anyone,
            Some(key) => Came::Key(key.clone()),
            None => Came::Nobody,
        };
        let verdict = held.as_ref().map_or(Ok(()), Held::verdict);
        let verdict = verdict.and_then(|()| match key {
            _ if !locked => Ok(()),
            Some(key) => {
                request.extensions_mut().insert(Admitted::Key(key));
                Ok(())
            }
            // What came as a key may be meant for somebody else: whoever is sent from a service to a ticket here brings along what
            // the service asks for.
            None if closed(request) && !opened_otherwise(request) => Err(match wrong {
                true => {
                    let (problem, wrong) = self.refuse(peer, now);
                    held = Some(wrong.and(held.take()));
                    problem
                }
                false => unauthenticated(),
            }),
            None => {
                request.extensions_mut().insert(Admitted::Guest);
                Ok(())
            }
        });
        Seen {
            verdict,
            held,
            came,
            until: Until::of(request, now),
        }
    }

    /// 401, or 429 where the address has presented too many wrong keys; and what it is held to.
    fn refuse(&self, peer: IpAddr, now: Timestamp) -> (Problem, Held) {
        let held = self.throttling.wrong(peer, now);
        let problem = match held.wait() {
            None => unauthenticated(),
            Some(seconds) => {
                let detail =
                    "too many wrong API keys came from your address; try again later, with a right one";
                Problem::new(Code::RateLimited, detail).retry_after(seconds)
            }
        };
        (problem, held)
    }
}

/// Who asks; this machine, where the server tells nobody apart because it serves no other.
pub(crate) fn peer<B>(request: &Request<B>) -> IpAddr {
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

/// Whether somebody looks whether the server lives: not to hear that is to end it, so nobody may take that from him.
fn probe<B>(request: &Request<B>) -> bool {
    matches!(request.uri().path(), "/healthz" | "/readyz")
}

/// Whether the request might be let in by its ticket or its lease.
fn opened_otherwise<B>(request: &Request<B>) -> bool {
    let uri = request.uri();
    ticket::stands_in(uri) || uri.path().starts_with("/v1/leases/l_")
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
