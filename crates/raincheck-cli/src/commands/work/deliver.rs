//! Bringing what came of an attempt to the server.
//!
//! Invariant: a finished result is sent again until the server took it or says that the lease is over; only leaving in
//! haste gives it up, and then that is said.

use std::time::Duration;

use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use raincheck::backoff::Backoff;
use raincheck::core::content::JobResult;
use raincheck::core::decide::Settlement;
use raincheck::core::job::Failure;
use raincheck::core::time::format_duration;
use tokio::time::{Instant, sleep};

use super::bench::Bench;
use super::wire::{Leased, SettledDocument};
use crate::client::{Answer, Request};
use crate::refused::Problem;

/// What became of a settlement.
#[derive(Debug)]
pub(super) enum Delivered {
    /// The server took it, and gave the next jobs where some were asked for.
    Taken(SettledDocument, Vec<Leased>),
    /// It changes nothing: the lease is over, or the server does not take such a thing.
    Refused(String),
    /// The server stayed away for as long as we may.
    GivenUp,
}

/// Settles the lease.
pub(super) async fn deliver(bench: &Bench, lease: &str, mut settlement: Settlement) -> Delivered {
    let mut backoff = Backoff::new(bench.random.clone());
    loop {
        // Only what settles by itself takes the next job in the same round trip; after a cancel or a release there may
        // be a reason not to.
        let claims = matches!(settlement, Settlement::Succeed(_) | Settlement::Fail { .. });
        let claim = u32::from(claims && bench.take_turn());
        let asked = Instant::now();
        let sent = bench.contact.try_send(request(lease, &settlement, claim)).await;
        let leases = match &sent {
            Ok(answer) if answer.status.is_success() && claim > 0 => {
                Leased::all(answer, asked).unwrap_or_default()
            }
            Ok(_) | Err(_) => Vec::new(),
        };
        if claim > 0 && leases.is_empty() {
            bench.give_turns_back(1);
        }
        let pause = match sent {
            Ok(answer) if answer.status.is_success() => {
                return Delivered::Taken(answer.json().unwrap_or_default(), leases);
            }
            Ok(answer) if answer.status.as_u16() == 413 => {
                settlement = too_large(&answer);
                continue;
            }
            Ok(answer) => return Delivered::Refused(Problem::of(&answer).message()),
            Err(away) => away.pause.max(backoff.next()),
        };
        tokio::select! {
            biased;
            () = bench.giving_up.cancelled() => return Delivered::GivenUp,
            () = sleep(pause) => {}
        }
    }
}

/// The queue takes no result of that size: no other attempt helps.
fn too_large(answer: &Answer) -> Settlement {
    Settlement::Fail {
        failure: Failure::new("result-too-large", Problem::of(answer).message()),
        retry: None,
        result: None,
        timed_out: false,
    }
}

fn request(lease: &str, settlement: &Settlement, claim: u32) -> Request {
    let to = |verb: &str| Request::post(format!("/v1/leases/{lease}/{verb}"));
    let request = match settlement {
        Settlement::Succeed(result) => {
            let JobResult {
                content_type, body, ..
            } = &**result;
            let content_type = content_type
                .as_deref()
                .and_then(|text| HeaderValue::from_str(text).ok());
            to("succeed").body(content_type, body.clone())
        }
        Settlement::Fail { failure, retry, .. } => {
            let after = retry.filter(|after| *after > Duration::ZERO).map(format_duration);
            let body = serde_json::json!({
                "error": {"code": failure.code, "detail": failure.detail},
                "retry": retry.is_some(), "retry_after": after,
            });
            to("fail").body(json(), body.to_string().into())
        }
        // After a cancel request a release ends the job as cancelled.
        Settlement::Release { .. } | Settlement::Cancel => to("release").body(json(), Bytes::new()),
    };
    if claim == 0 {
        return request;
    }
    request.header(
        HeaderName::from_static("raincheck-claim"),
        HeaderValue::from(claim),
    )
}

pub(super) const fn json() -> Option<HeaderValue> {
    Some(HeaderValue::from_static("application/json"))
}
