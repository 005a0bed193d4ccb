//! Upstream: a job is a request that was kept, and its result is the answer to it: that of an upstream of a proxy, or of a route
//! of the application around this server.
//!
//! | what happens | the attempt |
//! |---|---|
//! | an answer below 500 | succeeded: 4xx is an answer, and so is a redirect |
//! | 502, 503, 504 (or what the rule names), where the request may be sent again | failed, another attempt, not before `Retry-After` |
//! | any other answer | failed for good, the answer is the result |
//! | no connection | given back with the reason, not charged: nothing was sent; again after a while (but for a call that was under way already) |
//! | it breaks | failed, another attempt where the request may be sent again |
//! | larger than the queue's limit | failed for good, `result-too-large` |
//!
//! Invariants: a call that was under way when it became this job is awaited, not made again; a request that is not safe to
//! repeat is sent once at most, whatever crashes: its job has one attempt, and one of which nobody knows whether it was sent
//! ends as `call-lost`.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::ConnectInfo;
use bytes::Bytes;
use http::{Method, Request, Response};
use raincheck_core::job::Failure;
use raincheck_core::time::Timestamp;

use super::StopReason;
use super::function::{Call, Ended, Function};
use super::whole::{self, Unread};
use crate::outward::retry_after;
use crate::proxy::flight::{Answering, CallFailed, Flights, Origin};
use crate::proxy::header::of_answer;
use crate::proxy::parcel::{self, Parcel};
use crate::proxy::rule::Retries;
use crate::proxy::safe::Safes;
use crate::room::Room;

/// Why a request that must not be sent twice was not sent.
const LOST: &str = "the server stopped while the call was under way; the request is not safe to repeat and was not sent again";

/// What works the jobs of a proxy's queue.
pub(crate) fn function(origin: Arc<dyn Origin>, flights: Flights) -> Function {
    let safes = Safes::default();
    Function::new(move |call| work(origin.clone(), flights.clone(), safes.clone(), call))
}

/// How one attempt is made.
struct Manner {
    /// What is asked.
    who: &'static str,
    retries: Retries,
    /// Whether the request may be sent again.
    repeats: bool,
    /// Whether the call was under way already: then whatever it answers is the answer.
    late: bool,
    method: Method,
}

/// What bounds its result.
struct Limits {
    most: u64,
    room: Room,
    now: Timestamp,
}

/// The request of a job. What is sealed in it is opened here, and lies open nowhere else.
async fn unpacked(call: &Call, safes: &Safes) -> Result<Parcel, Ended> {
    let safe = match Parcel::is_sealed(&call.input) {
        // Who cannot ask the store cannot settle either: the attempt is over, and its job is told so by the lease.
        true => Some(safes.of(&*call.store).await.map_err(|_| Ended::Stopped)?),
        false => None,
    };
    Parcel::read(&call.input, safe)
        .map_err(|why| Ended::for_good(Failure::new("handler-failed", why.to_string())))
}

async fn work(origin: Arc<dyn Origin>, flights: Flights, safes: Safes, mut call: Call) -> Ended {
    let mut parcel = match unpacked(&call, &safes).await {
        Ok(parcel) => parcel,
        Err(ended) => return ended,
    };
    let retries = origin.retries(&parcel);
    let flying = flights.take(call.job.id);
    let manner = Manner {
        who: origin.name(),
        repeats: retries.repeats(&parcel.method),
        late: flying.is_some(),
        method: parcel.method.clone(),
        retries,
    };
    let was_sent = parcel.late == Some(call.job.id);
    // It goes with the request, or nobody needs it: an attempt may take long.
    let body = std::mem::take(&mut call.input.body);
    let answering = match flying {
        Some(flying) => {
            drop(body);
            flying
        }
        None if was_sent && !manner.repeats => return lost(),
        None => {
            parcel.tell_job(call.job.id, call.job.attempt, call.traceparent.as_deref());
            let request = request(parcel, body);
            origin.call(request, &mut call)
        }
    };
    let limits = Limits {
        most: call.result_max,
        room: call.room.clone(),
        now: call.store.now(),
    };
    let repeats = manner.repeats;
    tokio::select! {
        biased;
        ended = answered(answering, manner, limits) => ended,
        reason = stopped(&mut call) => match reason {
            // What is given back is sent again.
            StopReason::Draining if !repeats => lost(),
            StopReason::Cancelled
            | StopReason::TimedOut
            | StopReason::Draining
            | StopReason::Settled
            | StopReason::LeaseOver => Ended::Stopped,
        },
    }
}

/// Waits until the attempt has to stop. A drain leaves it the time to wind down, in which the answer may come.
async fn stopped(call: &mut Call) -> StopReason {
    let reason = call.stops.told().await.reason;
    if reason == StopReason::Draining {
        call.stops.out_of_patience().await;
    }
    reason
}

fn lost() -> Ended {
    Ended::for_good(Failure::new("call-lost", LOST))
}

fn request(parcel: Parcel, body: Bytes) -> Request<Body> {
    let body = if body.is_empty() {
        Body::empty()
    } else {
        Body::from(body)
    };
    let mut request = Request::new(body);
    if let Some(peer) = parcel.peer {
        request.extensions_mut().insert(ConnectInfo(peer));
    }
    *request.method_mut() = parcel.method;
    *request.uri_mut() = parcel.target;
    *request.headers_mut() = parcel.headers;
    request
}

async fn answered(answering: Answering, manner: Manner, limits: Limits) -> Ended {
    let response = match answering.await {
        Ok(response) => response,
        Err(why) => {
            let failure = |code| Failure::new(code, why.to_string());
            return match why {
                CallFailed::Unsent(_, delay) if manner.repeats || !manner.late => Ended::Released {
                    delay,
                    why: Some(failure("handler-unreachable")),
                },
                CallFailed::Unsent(..) | CallFailed::Unreachable(_) => {
                    manner.broken(failure("handler-unreachable"))
                }
                CallFailed::Gone => manner.broken(failure("handler-failed")),
                CallFailed::Nobody => Ended::for_good(failure("handler-unreachable")),
            };
        }
    };
    read(response, &manner, limits).await
}

async fn read(response: Response<Body>, manner: &Manner, limits: Limits) -> Ended {
    let (mut head, body) = response.into_parts();
    let status = head.status.as_u16();
    let who = manner.who;
    let failure = |code: &str, detail: String| Failure {
        status: Some(status),
        ..Failure::new(code, detail)
    };
    if head.status.is_informational() {
        let why = format!("the {who} changed the protocol, and nobody had asked it to");
        return Ended::for_good(failure("handler-unreachable", why));
    }
    if let Err(why) = of_answer(head.status, &mut head.headers) {
        return Ended::for_good(failure("handler-unreachable", why.to_owned()));
    }
    let most = limits.most;
    let read = match manner.method {
        // It says what a GET would have.
        Method::HEAD => Ok(Bytes::new()),
        _ => whole::read(body, most, &limits.room, |_| {}).await,
    };
    let body = match read {
        Ok(body) => body,
        Err(Unread::TooLarge) => {
            let detail = format!("the {who}'s answer is larger than {most} bytes, the queue's limit");
            return Ended::for_good(failure("result-too-large", detail));
        }
        Err(Unread::BrokenOff { why, .. }) => {
            let detail = format!("the {who}'s answer broke off: {why}");
            return manner.broken(failure("handler-unreachable", detail));
        }
    };
    let again = manner.repeats && !manner.late && manner.retries.codes.contains(&status);
    let again = again.then(|| retry_after(&head.headers, limits.now));
    let result = parcel::result(&manner.method, status, head.headers, body);
    if status < 500 && again.is_none() {
        return Ended::Succeeded(result);
    }
    Ended::Failed {
        failure: failure("handler-failed", format!("the {who} answered {}", head.status)),
        retry: again,
        result: Some(result),
    }
}

impl Manner {
    /// A connection that could not be made, or broke.
    fn broken(&self, failure: Failure) -> Ended {
        Ended::Failed {
            failure,
            retry: self.repeats.then_some(Duration::ZERO),
            result: None,
        }
    }
}
