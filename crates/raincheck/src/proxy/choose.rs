//! Whether a call passes through or becomes a job: what the rule says, and what its client prefers.
//!
//! Invariant: one table, for a proxy and for routes of an application alike.

use std::time::Duration;

use http::Method;
use http::header::{HeaderMap, HeaderName};

use super::rule::Mode;
use crate::api::prefer::Prefer;

const ACCESS_CONTROL_REQUEST_METHOD: HeaderName = HeaderName::from_static("access-control-request-method");

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// It passes through.
    Pass,
    /// It passes through, and becomes a job where it takes longer.
    Late(Duration),
    /// It is a job from the start.
    Job,
}

/// See [`Choice`].
pub(crate) fn choose(mode: Mode, after: Option<Duration>, method: &Method, headers: &HeaderMap) -> Choice {
    // What asks about the way, not for the thing: a browser that asks whether it may, above all.
    let about = *method == Method::TRACE
        || *method == Method::CONNECT
        || (*method == Method::OPTIONS && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD));
    if mode == Mode::Never || about {
        return Choice::Pass;
    }
    let prefer = Prefer::from_headers(headers);
    let usual = match (mode, after) {
        (_, Some(after)) => Choice::Late(after),
        (Mode::Always, None) => Choice::Job,
        (Mode::Prefer | Mode::Never, None) => Choice::Pass,
    };
    match prefer.wait {
        // Who waits for a job that is one from the start waits for its place in the queue as well.
        Some(_) if usual == Choice::Job => Choice::Job,
        Some(wait) if !wait.is_zero() => Choice::Late(wait),
        Some(_) => Choice::Job,
        None if prefer.respond_async => Choice::Job,
        None => usual,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_and_the_client_decide() {
        let seconds = Duration::from_secs;
        let late = |n| Choice::Late(seconds(n));
        for (mode, after, prefer, expected) in [
            (Mode::Never, None, "respond-async", Choice::Pass),
            (Mode::Never, None, "wait=1", Choice::Pass),
            (Mode::Prefer, None, "", Choice::Pass),
            (Mode::Prefer, None, "respond-async", Choice::Job),
            (Mode::Prefer, None, "wait=10", late(10)),
            (Mode::Prefer, None, "respond-async, wait=10", late(10)),
            (Mode::Prefer, None, "wait=0", Choice::Job),
            (Mode::Prefer, None, "wait=999", late(60)),
            (Mode::Prefer, Some(2), "", late(2)),
            (Mode::Prefer, Some(2), "wait=10", late(10)),
            (Mode::Prefer, Some(2), "respond-async", Choice::Job),
            (Mode::Always, None, "", Choice::Job),
            (Mode::Always, None, "wait=10", Choice::Job),
            (Mode::Always, Some(2), "", late(2)),
            (Mode::Always, Some(2), "wait=10", late(10)),
        ] {
            let mut headers = HeaderMap::new();
            if !prefer.is_empty() {
                headers.insert("prefer", prefer.parse().unwrap());
            }
            let choice = choose(mode, after.map(seconds), &Method::POST, &headers);
            assert_eq!(choice, expected, "{mode:?} {after:?} {prefer:?}");
        }
    }

    #[test]
    fn a_browser_that_asks_whether_it_may_is_answered_at_once() {
        let mut headers = HeaderMap::new();
        assert_eq!(
            choose(Mode::Always, None, &Method::OPTIONS, &headers),
            Choice::Job
        );
        headers.insert("access-control-request-method", "POST".parse().unwrap());
        assert_eq!(
            choose(Mode::Always, None, &Method::OPTIONS, &headers),
            Choice::Pass
        );
        assert_eq!(
            choose(Mode::Always, None, &Method::TRACE, &HeaderMap::new()),
            Choice::Pass
        );
    }
}
