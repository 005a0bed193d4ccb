//! A call that is made at once and becomes a job where it takes longer than its client waits: for a proxy and for routes of an
//! application alike.
//!
//! Invariants: what makes a call a job never makes it again; a call is in one pair of hands, those of the request that made it or
//! those of the attempt at its job, and where no job was accepted it goes on as it was.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::StatusCode;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use raincheck_core::id::JobId;
use raincheck_core::name::QueueName;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};
use tracing::debug;

use super::body::Upload;
use super::flight::{Answering, CallFailed, Flights};
use super::parcel::Parcel;
use super::rule::Retries;
use super::stuck::stalled;
use crate::api::desk::{Desk, Order, Placed};
use crate::api::prefer::{PREFERENCE_APPLIED, Prefer};
use crate::api::problem::Problem;
use crate::tasks::{Group, TaskKind};
use crate::watch::Watching;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// A call that may become this job.
pub(crate) struct Late<'a> {
    pub(crate) desk: &'a Desk,
    pub(crate) flights: &'a Flights,
    /// For what outlives the request.
    pub(crate) tasks: &'a Group,
    pub(crate) id: JobId,
    pub(crate) queue: QueueName,
    pub(crate) retries: &'a Retries,
    /// How long the call may take before it becomes a job, counted from `received`.
    pub(crate) after: Duration,
    /// How long the job may take.
    pub(crate) deadline: Option<Duration>,
    pub(crate) prefer: Prefer,
    pub(crate) received: Instant,
    /// How long the request may stand still on its way; `None` where its body looks after itself.
    pub(crate) stall_time: Option<Duration>,
    /// Whether the call is a future of this process, which stands still unless somebody polls it.
    pub(crate) within: bool,
}

/// A call that was made.
pub(crate) struct Made {
    pub(crate) answering: Answering,
    /// Its request's body on the way, where there is one.
    pub(crate) upload: Option<Arc<Upload>>,
}

/// What became of the call.
pub(crate) enum Fate {
    /// It was answered in time.
    Answered(Result<http::Response<Body>, CallFailed>),
    /// It is a job now, and this is the rain check.
    Job(Response),
    /// It is no job, and goes on as it was.
    Goes(Made),
}

impl Late<'_> {
    /// Gives the request a key under which it may be made again, where it may.
    pub(crate) fn key(&self, headers: &mut HeaderMap) {
        if !self.retries.unsafe_too || headers.contains_key(IDEMPOTENCY_KEY) {
            return;
        }
        if let Ok(key) = HeaderValue::try_from(self.id.to_string()) {
            headers.insert(IDEMPOTENCY_KEY, key);
        }
    }

    /// Has the call made, with at most so many bytes of its body kept aside, and waits for the head of its answer, but no longer
    /// than it may take and its body takes to come.
    ///
    /// # Errors
    /// Where it could not be made, its request stood still, or nobody knows whether it became a job.
    pub(crate) async fn call(
        self,
        mut parcel: Parcel,
        make: impl FnOnce(u64) -> Result<Made, Problem>,
    ) -> Result<Fate, Problem> {
        parcel.late = Some(self.id);
        let most = self.desk.body_max(&self.queue).await?;
        let mut made = make(most)?;
        let due = async {
            sleep_until(self.received + self.after).await;
            if let Some(upload) = &made.upload {
                upload.ended().await;
            }
        };
        let stalled = async {
            match (&made.upload, self.stall_time) {
                (Some(upload), Some(limit)) => stalled(upload, self.received, limit).await,
                _ => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            answered = &mut made.answering => return Ok(Fate::Answered(answered)),
            () = due => {}
            problem = stalled => return Err(problem),
        }
        let body = match &made.upload {
            None => Some(Bytes::new()),
            Some(upload) => upload.kept(),
        };
        match body {
            Some(body) => self.turn(made, parcel, body).await,
            // Too large for a job, or broken off.
            None => Ok(Fate::Goes(made)),
        }
    }

    /// Turns a call under way into a job.
    async fn turn(self, made: Made, parcel: Parcel, body: Bytes) -> Result<Fate, Problem> {
        let Made { answering, upload } = made;
        let again = |answering| Fate::Goes(Made { answering, upload });
        let answering = if self.within {
            going_on(self.tasks, answering)
        } else {
            answering
        };
        if let Err(answering) = self.flights.leave(self.id, answering) {
            debug!("too many calls wait for their attempts: one more just goes on");
            return Ok(again(answering));
        }
        let prefer = Prefer {
            wait: None,
            respond_async: self.prefer.wait.is_some() || self.prefer.respond_async,
        };
        // Listening before the job exists, so that not even its first change is missed.
        let watching = self.desk.node().watch().subscribe(self.id);
        let order = Order {
            id: self.id,
            queue: self.queue.clone(),
            repeats: self.retries.repeats(&parcel.method),
            deadline: self.deadline,
            parcel,
            body,
        };
        match self.desk.place(order, prefer, self.received).await {
            Ok(Placed {
                mut response,
                was_there,
            }) => {
                // It was waited before the job was made.
                if let (StatusCode::ACCEPTED, Some(applied)) = (response.status(), self.prefer.applied(true))
                {
                    response.headers_mut().insert(PREFERENCE_APPLIED, applied);
                }
                if was_there {
                    // The job of an earlier request with the same key answers for this one.
                    drop(self.flights.take(self.id));
                } else {
                    end_with_job(self.flights, self.tasks, watching, self.id);
                }
                Ok(Fate::Job(response))
            }
            Err(problem) => match self.flights.take(self.id) {
                None => Err(problem),
                Some(answering) => {
                    debug!(
                        why = problem.detail(),
                        "a slow call was not accepted as a job and goes on as it was"
                    );
                    Ok(again(answering))
                }
            },
        }
    }
}

/// The call in a task of its own, so that it goes on while it waits for its attempt; it ends with whoever drops this.
fn going_on(tasks: &Group, answering: Answering) -> Answering {
    let (mut tell, told) = oneshot::channel();
    tasks.spawn(TaskKind::Connection, async move {
        tokio::select! {
            biased;
            () = tell.closed() => {}
            answered = answering => {
                // Whoever is gone wants no answer.
                let _ = tell.send(answered);
            }
        }
    });
    Box::pin(async move { told.await.unwrap_or(Err(CallFailed::Gone)) })
}

/// Drops a call that waits for its attempt where its job ends without one: it was cancelled.
fn end_with_job(flights: &Flights, tasks: &Group, mut watching: Watching, id: JobId) {
    let flights = flights.clone();
    let stopping = tasks.stopping().clone();
    tasks.spawn(TaskKind::Connection, async move {
        while flights.has(id) {
            tokio::select! {
                () = stopping.cancelled() => return,
                change = watching.changed() => if change.job.done() {
                    drop(flights.take(id));
                },
            }
        }
    });
}
