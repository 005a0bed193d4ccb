//! One call through the proxy: passed on, turned into a job while it is under way, or a job from the start.
//!
//! ```text
//! head ─► choose ─┬─ Pass ─► upstream ──────────────► its answer
//!                 ├─ Late ─► upstream ─┬─ in time ──► its answer
//!                 │                    └─ slow ─► flights ─► submit ─► 202 … the attempt takes the call from there
//!                 └─ Job ──► submit ──────────────────────────────► 202
//! ```
//!
//! Invariant: a call is made once for each time a client asks; what makes it a job never makes it again.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use http::header::{self, HeaderMap, HeaderValue};
use http::request::Parts;
use http::{Method, Request, StatusCode, Version};
use hyper::upgrade::OnUpgrade;
use raincheck_core::name::QueueName;
use tokio::time::Instant;
use tracing::debug;

use super::Inner;
use super::again::{Asked, Repeats};
use super::body::{Sending, Upload};
use super::choose::{Choice, choose};
use super::flight::{Answering, CallFailed};
use super::header::{
    closes, has_hop, join_cookies, of_answer, strip_hop, takes_trailers, tell_host, upgrade,
};
use super::parcel::{Parcel, strip_job};
use super::rule::Rule;
use super::stuck::late;
use super::turn::{self, Late, Made};
use super::way::{tell_prefix, tell_way};
use crate::api::code::Code;
use crate::api::desk::{Desk, Order, closing, preference, unambiguous};
use crate::api::prefer::Prefer;
use crate::api::problem::Problem;
use crate::server::{Client, Interim, Unasked};

/// How many headers a request gets on its way, so that its map grows once.
const TOLD: usize = 5;

/// A call that its client gave up in the middle of its request.
pub(super) const GONE: &str = "gone";

/// What became of a call, for those who count.
pub(super) type Fate = (Response, &'static str);

/// One call.
pub(super) struct Calling<'a> {
    pub(super) proxy: &'a Inner,
    pub(super) desk: &'a Desk,
    pub(super) rule: &'a Arc<Rule>,
    pub(super) received: Instant,
}

/// A call that is under way.
pub(super) struct Under {
    answering: Answering,
    upload: Option<Arc<Upload>>,
    /// The client's side, where it wants to change the protocol.
    client: Option<OnUpgrade>,
}

/// A call that has begun.
pub(super) enum Begun {
    /// It is under way, and passes whatever comes of it.
    Passing(Under),
    /// It is, or may become, a job. In a box, so that what passes is no larger for it.
    Chosen(Box<Chosen>),
    /// Its way ends here.
    Answered(Box<Response>),
}

/// A call that something else becomes of than to pass.
pub(super) struct Chosen {
    parts: Parts,
    body: Body,
    /// When it becomes a job, where it is none from the start.
    late: Option<Duration>,
    prefer: Prefer,
}

impl Calling<'_> {
    /// Begins to answer a request. What only passes is under way then, and its request is held by nobody here.
    pub(super) fn begin(&self, request: Request<Body>) -> Result<Begun, Problem> {
        unambiguous(&request)?;
        if self.proxy.via.passed(request.headers()) {
            let detail = "the request has passed this proxy before: the upstream leads back to it";
            return Err(Problem::new(Code::LoopDetected, detail));
        }
        let (mut parts, body) = request.into_parts();
        if let Some(own) = end_of_way(&mut parts) {
            return Ok(Begun::Answered(Box::new(own)));
        }
        let changing = upgrade(&parts.headers).filter(|_| parts.version == Version::HTTP_11);
        let (changing, choice) = match choose(self.rule.mode, self.rule.after, &parts.method, &parts.headers)
        {
            // A tunnel begins with a GET: on anything else that is to become a job it is nobody's way past the rule.
            choice if choice != Choice::Pass && parts.method != Method::GET => (None, choice),
            choice if changing.is_none() => (None, choice),
            _ => (changing, Choice::Pass),
        };
        let late = match choice {
            Choice::Pass => {
                self.address(&mut parts, changing.as_ref());
                let under = self.send(parts, body, changing.is_some(), None)?;
                return Ok(Begun::Passing(under));
            }
            Choice::Late(after) => Some(after),
            Choice::Job => None,
        };
        let prefer = preference(&parts.headers);
        self.address(&mut parts, None);
        Ok(Begun::Chosen(Box::new(Chosen {
            parts,
            body,
            late,
            prefer,
        })))
    }

    /// Answers it.
    pub(super) async fn answer(&self, begun: Begun) -> Result<Fate, Problem> {
        match begun {
            Begun::Passing(under) => self.pass(under, self.received).await,
            Begun::Chosen(chosen) => Box::pin(self.decide(*chosen)).await,
            Begun::Answered(own) => Ok((*own, "pass")),
        }
    }

    /// Makes a job of a call, now or once it takes longer.
    async fn decide(&self, chosen: Chosen) -> Result<Fate, Problem> {
        let Chosen {
            parts,
            body,
            late,
            prefer,
        } = chosen;
        let repeats = Repeats {
            desk: self.desk,
            turns: &self.proxy.turns,
            mode: self.rule.mode,
            after: self.rule.after,
            queue: &self.rule.queue,
            limit: self.proxy.head_time,
        };
        let choice = late.map_or(Choice::Job, Choice::Late);
        let _turn = match repeats.asked(&parts.headers, choice).await? {
            Asked::Before(queue) => return self.place(queue, parts, body, prefer).await,
            Asked::First(turn) => turn,
        };
        match late {
            Some(after) => self.late(parts, body, after, prefer).await,
            None => self.place(self.rule.queue.clone(), parts, body, prefer).await,
        }
    }

    /// Makes the head one of this hop.
    fn address(&self, parts: &mut Parts, changing: Option<&HeaderValue>) {
        let headers = &mut parts.headers;
        headers.reserve(TOLD);
        let trailers = has_hop(headers) && takes_trailers(headers);
        strip_hop(headers);
        strip_job(headers);
        tell_host(headers, &parts.uri);
        if parts.version > Version::HTTP_11 {
            join_cookies(headers);
        }
        let client = parts.extensions.get::<Client>().copied();
        let host = headers.get(header::HOST).cloned();
        let client = client.unwrap_or(Client::HERE);
        tell_way(headers, &client, host.as_ref());
        if let Some(prefix) = &self.rule.prefix {
            tell_prefix(headers, &client, prefix.as_str());
        }
        self.proxy.via.enter(headers, parts.version);
        let options = match (changing, trailers) {
            (Some(protocol), _) => {
                headers.insert(header::UPGRADE, protocol.clone());
                "upgrade"
            }
            (None, true) => {
                headers.insert(header::TE, HeaderValue::from_static("trailers"));
                "te"
            }
            (None, false) => return,
        };
        headers.insert(header::CONNECTION, HeaderValue::from_static(options));
    }

    /// Makes the call; `keep` is how much of its body is kept.
    fn send(
        &self,
        mut parts: Parts,
        body: Body,
        changing: bool,
        keep: Option<u64>,
    ) -> Result<Under, Problem> {
        if changing && !self.proxy.tunnels.room() {
            let detail = "too many connections have changed their protocol; try again later";
            return Err(Problem::new(Code::Overloaded, detail).retry_after(5));
        }
        // What else is in there means nothing to who sends it, and its room is used again.
        let extensions = &mut parts.extensions;
        let client = extensions.remove::<OnUpgrade>().filter(|_| changing);
        let interim = extensions.remove::<Interim>();
        let unasked = extensions.remove::<Unasked>();
        let mut sending = Sending::new(body, self.proxy.head_time);
        let upload = match keep {
            None => sending.looked_after(None, self.received),
            Some(most) => sending.looked_after(Some((most, self.desk.room())), self.received),
        };
        let waits = upload.is_some() && parts.version == Version::HTTP_11 && expects(&parts.headers);
        let welcome = waits.then(|| sending.await_welcome(unasked));
        let mut request = Request::from_parts(parts, sending);
        if welcome.is_some() || interim.is_some() {
            let welcome = Mutex::new(welcome);
            hyper::ext::on_informational(&mut request, move |told| match told.status() {
                StatusCode::CONTINUE => {
                    let welcome = welcome.lock().unwrap_or_else(PoisonError::into_inner).take();
                    if let Some(welcome) = welcome {
                        // The body may be gone already.
                        let _ = welcome.send(());
                    }
                }
                status => {
                    if let Some(interim) = &interim {
                        interim.send(status, told.headers());
                    }
                }
            });
        }
        Ok(Under {
            answering: self.proxy.upstreams.send(self.rule, request),
            upload,
            client,
        })
    }

    /// Waits for the answer's head, in time from the request's end, and for the request as long as it keeps coming.
    async fn pass(&self, mut under: Under, since: Instant) -> Result<Fate, Problem> {
        let limit = self.proxy.head_time;
        let late = late(under.upload.as_deref(), since, limit);
        let answered = tokio::select! {
            biased;
            answered = &mut under.answering => answered,
            problem = late => return Err(problem),
        };
        if let Some(upload) = &under.upload {
            upload.leave_alone();
        }
        self.given(answered, under.client, under.upload.as_deref())
    }

    /// The answer as it goes to the client.
    fn given(
        &self,
        answered: Result<http::Response<Body>, CallFailed>,
        client: Option<OnUpgrade>,
        upload: Option<&Upload>,
    ) -> Result<Fate, Problem> {
        let mut response = match answered {
            Ok(response) => response,
            // Nobody may be there to be told; who only closed his side is.
            Err(_) if upload.is_some_and(Upload::broke_off) => {
                let problem = Problem::bad_request("the body broke off or is not well-formed");
                return Ok((self.desk.refuse(closing(problem), None), GONE));
            }
            Err(why) => {
                debug!(upstream = %self.rule.upstream, %why, "a call failed");
                return Err(Problem::new(Code::HandlerUnreachable, why.to_string()));
            }
        };
        let (status, version) = (response.status(), response.version());
        // It closes, and takes no more of what the client is still sending: where one request ends and the next begins nobody would
        // know (RFC 9112 section 9.6).
        let cuts = upload.is_some_and(Upload::under_way) && closes(response.headers(), version);
        let upstream = (status == StatusCode::SWITCHING_PROTOCOLS).then(|| hyper::upgrade::on(&mut response));
        let protocol = response.headers().get(header::UPGRADE).cloned();
        let headers = response.headers_mut();
        of_answer(status, headers).map_err(|why| Problem::new(Code::HandlerUnreachable, why))?;
        self.proxy.via.enter(headers, version);
        if cuts {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        *response.version_mut() = Version::HTTP_11;
        let Some(upstream) = upstream else {
            return Ok((response, "pass"));
        };
        let Some(client) = client else {
            let detail = "the upstream changed the protocol, and nobody had asked it to";
            return Err(Problem::new(Code::HandlerUnreachable, detail));
        };
        let headers = response.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        if let Some(protocol) = protocol {
            headers.insert(header::UPGRADE, protocol);
        }
        self.proxy.tunnels.join(client, upstream);
        *response.body_mut() = Body::empty();
        Ok((response, "pass"))
    }

    /// Passes on, and gives a rain check for what takes longer.
    async fn late(
        &self,
        mut parts: Parts,
        body: Body,
        after: Duration,
        prefer: Prefer,
    ) -> Result<Fate, Problem> {
        let late = Late {
            desk: self.desk,
            flights: &self.proxy.flights,
            tasks: self.proxy.tunnels.group(),
            id: self.desk.mint(),
            queue: self.rule.late_queue(),
            retries: &self.rule.retries,
            after,
            deadline: self.rule.deadline,
            prefer,
            received: self.received,
            stall_time: Some(self.proxy.head_time),
            within: false,
        };
        late.key(&mut parts.headers);
        let parcel = Parcel::of(&parts.method, &parts.uri, &parts.headers);
        let watched = OnceLock::new();
        let make = |most| {
            let under = self.send(parts, body, false, Some(most))?;
            let _ = watched.set(under.upload.clone());
            Ok(Made {
                answering: under.answering,
                upload: under.upload,
            })
        };
        match late.call(parcel, make).await? {
            turn::Fate::Answered(answered) => {
                let upload = watched.get().and_then(Option::as_deref);
                if let Some(upload) = upload {
                    upload.leave_alone();
                }
                self.given(answered, None, upload)
            }
            turn::Fate::Job(response) => Ok((response, "late")),
            turn::Fate::Goes(Made { answering, upload }) => {
                let under = Under {
                    answering,
                    upload,
                    client: None,
                };
                self.pass(under, self.received).await
            }
        }
    }

    /// Submits a call as a job of this queue from the start, or finds the one that it was before.
    async fn place(
        &self,
        queue: QueueName,
        parts: Parts,
        body: Body,
        prefer: Prefer,
    ) -> Result<Fate, Problem> {
        let body = self.desk.read(&queue, body).await?;
        let repeats = self.rule.retries.repeats(&parts.method);
        let order = Order {
            id: self.desk.mint(),
            queue,
            parcel: Parcel::taken(parts.method, &parts.uri, parts.headers),
            body,
            repeats,
            deadline: self.rule.deadline,
        };
        let placed = self.desk.place(order, prefer, self.received).await?;
        Ok((placed.response, "job"))
    }
}

fn expects(headers: &HeaderMap) -> bool {
    headers
        .get(header::EXPECT)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// Answers for the upstream where the request says that its way ends here (RFC 9110 section 7.6.2), else counts this hop.
fn end_of_way(parts: &mut Parts) -> Option<Response> {
    if parts.method != Method::OPTIONS && parts.method != Method::TRACE {
        return None;
    }
    let left = parts.headers.get(header::MAX_FORWARDS)?;
    let left: u32 = left.to_str().ok()?.trim().parse().ok()?;
    if let Some(next) = left.checked_sub(1) {
        parts
            .headers
            .insert(header::MAX_FORWARDS, HeaderValue::from(next));
        return None;
    }
    let mut response = Response::new(Body::empty());
    *response.status_mut() = match parts.method {
        Method::OPTIONS => StatusCode::NO_CONTENT,
        _ => StatusCode::METHOD_NOT_ALLOWED,
    };
    if parts.method == Method::TRACE {
        response
            .headers_mut()
            .insert(header::ALLOW, HeaderValue::from_static("OPTIONS"));
    }
    Some(response)
}
