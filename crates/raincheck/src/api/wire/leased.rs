//! What pull workers are answered: leases, and what became of those that they renewed or settled.
//!
//! Invariant: `expires_at` is when a reclaim may end the lease, whatever sets that limit: term, attempt or grace.

use std::time::Duration;

use raincheck_core::decide::Renewed;
use raincheck_core::id::{Fence, JobId, LeaseId};
use raincheck_core::job::{Job, State};
use raincheck_core::name::{QueueName, WorkerName};
use raincheck_core::queue::Queue;
use raincheck_core::store::Leased;
use raincheck_core::time::{Timestamp, format_duration};
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use super::content::ContentDocument;
use super::job::{JobDocument, JobState};
use super::pieces::Pieces;
use crate::api::problem::{Problem, ProblemDocument};
use crate::links::Links;
use crate::telemetry::traces::Traces;

/// The time left, to the next whole second: what is left of `30s` when its claim is answered is still `30s`.
fn left(ends_at: Timestamp, now: Timestamp) -> String {
    let seconds = ends_at.since(now).as_millis().div_ceil(1000);
    format_duration(Duration::from_secs(u64::try_from(seconds).unwrap_or(u64::MAX)))
}

fn as_text<S: Serializer>(lease: &LeaseId, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(lease)
}

/// A job in a worker's hands.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Lease)]
pub(crate) struct LeaseDocument<'a> {
    /// Names this claim, and is the capability to renew and settle it: keep it secret.
    #[serde(serialize_with = "as_text")]
    #[schema(value_type = String, example = "l_01jd8zq3k5e7rv2m4n6p8s0t1w000000h3v9k2m5x7q1t4w8y0b6c")]
    lease: LeaseId,
    /// Grows with every claim of the job, so that what the handler touches can refuse an old one.
    #[schema(value_type = u32, example = 17)]
    fence: Fence,
    /// When the lease may be taken away, unless renewed or settled before.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
    /// The same from now, to the next whole second.
    #[schema(example = "30s")]
    expires_in: String,
    /// When the attempt's time is over; no renewal passes it.
    #[schema(value_type = String, format = DateTime)]
    attempt_deadline: Timestamp,
    /// Whether the worker is to stop.
    cancel_requested: bool,
    /// What the worker's spans are below (W3C Trace Context), where the job came with a trace or the server tells traces.
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<String>,
    /// What came with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    tracestate: Option<&'a str>,
    /// The job.
    job: JobDocument<'a>,
    /// Its input.
    input: ContentDocument<'a>,
}

impl<'a> LeaseDocument<'a> {
    /// The lease; `None` where the job is in nobody's hands.
    pub(crate) fn of(
        links: Links<'a>,
        leased: &'a Leased,
        queue: Option<&Queue>,
        now: Timestamp,
        traces: &Traces,
    ) -> Option<Self> {
        let job = &*leased.job;
        let (id, lease) = (job.lease_id()?, job.lease()?);
        Some(Self {
            lease: id,
            fence: id.fence,
            expires_at: lease.ends_at(),
            expires_in: left(lease.ends_at(), now),
            attempt_deadline: lease.attempt_deadline,
            cancel_requested: job.cancel_requested,
            traceparent: traces.traceparent(job),
            tracestate: job.options.tracestate.as_deref(),
            job: JobDocument::of(links, job, queue, now),
            input: ContentDocument::of(links, job.id, &leased.input),
        })
    }
}

impl LeaseDocument<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        let mut pieces = Pieces(out);
        pieces.raw(r#"{"lease":""#).raw(self.lease.text().as_bytes());
        pieces.raw(r#"","fence":"#).json(&self.fence);
        pieces.raw(r#","expires_at":"#).time(Some(self.expires_at));
        pieces.raw(r#","expires_in":"#).word(Some(&self.expires_in));
        pieces
            .raw(r#","attempt_deadline":"#)
            .time(Some(self.attempt_deadline));
        pieces.raw(r#","cancel_requested":"#).bool(self.cancel_requested);
        for (name, value) in [
            (r#","traceparent":"#, self.traceparent.as_deref()),
            (r#","tracestate":"#, self.tracestate),
        ] {
            if let Some(value) = value {
                pieces.raw(name).json(value);
            }
        }
        pieces.raw(r#","job":"#);
        self.job.write(pieces.0);
        pieces.raw(r#","input":"#).json(&self.input).raw("}");
    }
}

fn write_leases(leases: &[LeaseDocument<'_>], out: &mut Vec<u8>) {
    out.push(b'[');
    for (index, lease) in leases.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        lease.write(out);
    }
    out.push(b']');
}

/// Leases.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Leases)]
pub(crate) struct LeasesDocument<'a> {
    /// The leases, in the queue's order.
    pub(crate) leases: Vec<LeaseDocument<'a>>,
}

impl LeasesDocument<'_> {
    /// The document as JSON.
    pub(crate) fn render(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(1536 * self.leases.len());
        Pieces(&mut out).raw(r#"{"leases":"#);
        write_leases(&self.leases, &mut out);
        out.push(b'}');
        out
    }
}

/// A lease that was renewed.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Renewed)]
pub(crate) struct RenewedDocument {
    /// When the lease may be taken away, unless renewed or settled before.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
    /// The same from now, to the next whole second.
    #[schema(example = "30s")]
    expires_in: String,
    /// Whether the worker is to stop: it has until `expires_at`; `succeed` still wins.
    cancel_requested: bool,
}

impl RenewedDocument {
    pub(crate) fn of(renewed: &Renewed, now: Timestamp) -> Self {
        let ends_at = renewed.lease.ends_at();
        Self {
            expires_at: ends_at,
            expires_in: left(ends_at, now),
            cancel_requested: renewed.cancel_requested,
        }
    }
}

/// What became of a job whose lease was settled, and the next leases where `Raincheck-Claim` asked for them.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Settled)]
pub(crate) struct SettledDocument<'a> {
    /// The job.
    #[schema(value_type = String, example = "job_01jd8zq3k5e7rv2m4n6p8s0t1w")]
    job: JobId,
    /// Where it stands.
    #[schema(value_type = JobState)]
    state: State,
    /// Whether it is finished.
    done: bool,
    /// How it ended: null, then equal to the final state.
    #[schema(value_type = Option<JobState>)]
    outcome: Option<State>,
    /// Its next start, where it is tried again.
    #[schema(value_type = Option<String>, format = DateTime)]
    run_at: Option<Timestamp>,
    /// The next leases, where they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) leases: Option<Vec<LeaseDocument<'a>>>,
}

impl SettledDocument<'_> {
    pub(crate) fn of(job: &Job, now: Timestamp) -> Self {
        Self {
            job: job.id,
            state: job.state(now),
            done: job.done(),
            outcome: job.outcome().map(State::from),
            run_at: (!job.done()).then_some(job.run_at),
            leases: None,
        }
    }
}

impl SettledDocument<'_> {
    /// Appends the fields as JSON, without the braces.
    fn write(&self, out: &mut Vec<u8>) {
        let mut pieces = Pieces(out);
        pieces.raw(r#""job":""#).raw(self.job.text().as_bytes());
        pieces.raw(r#"","state":""#).raw(self.state.as_str());
        pieces.raw(r#"","done":"#).bool(self.done);
        pieces.raw(r#","outcome":"#).word(self.outcome.map(State::as_str));
        pieces.raw(r#","run_at":"#).time(self.run_at);
        if let Some(leases) = &self.leases {
            pieces.raw(r#","leases":"#);
            write_leases(leases, pieces.0);
        }
    }

    /// The document as JSON.
    pub(crate) fn render(&self) -> Vec<u8> {
        let mut out = vec![b'{'];
        self.write(&mut out);
        out.push(b'}');
        out
    }
}

/// A chunk that is kept.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Emitted)]
pub(crate) struct EmittedDocument {
    /// Its number within the lease.
    #[schema(example = 0)]
    pub(crate) seq: u32,
    /// Whether the worker is to stop; `succeed` still wins.
    pub(crate) cancel_requested: bool,
}

/// What became of one entry of many: `status` is 200, or the entry is a problem as well.
#[derive(Serialize, ToSchema)]
#[schema(as = LeaseEntry)]
pub(crate) struct EntryDocument<'a> {
    /// The lease of the entry.
    #[schema(value_type = Option<String>)]
    pub(crate) lease: Option<&'a str>,
    #[serde(flatten)]
    pub(crate) fate: Fate<'a>,
}

/// What became of all entries, as JSON.
pub(crate) fn render_entries(entries: &[EntryDocument<'_>]) -> Vec<u8> {
    let mut out = Vec::with_capacity(192 * entries.len());
    for (index, entry) in entries.iter().enumerate() {
        out.push(if index == 0 { b'[' } else { b',' });
        entry.write(&mut out);
    }
    out.extend_from_slice(if entries.is_empty() { b"[]" } else { b"]" });
    out
}

impl EntryDocument<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        let Fate::Settled { status, settled } = &self.fate else {
            Pieces(out).json(self);
            return;
        };
        let mut pieces = Pieces(out);
        pieces.raw(r#"{"lease":"#).json(&self.lease);
        pieces.raw(r#","status":"#).json(status).raw(",");
        settled.write(pieces.0);
        out.push(b'}');
    }
}

/// How an entry went.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum Fate<'a> {
    Renewed {
        /// 200.
        status: u16,
        /// The job.
        #[schema(value_type = String)]
        job: JobId,
        #[serde(flatten)]
        renewed: RenewedDocument,
    },
    Emitted {
        /// 200.
        status: u16,
        /// The job.
        #[schema(value_type = String)]
        job: JobId,
        #[serde(flatten)]
        emitted: EmittedDocument,
    },
    Settled {
        /// 200.
        status: u16,
        #[serde(flatten)]
        settled: SettledDocument<'a>,
    },
    Refused(ProblemDocument<'a>),
}

impl<'a> Fate<'a> {
    pub(crate) fn refused(links: Links<'a>, problem: &'a Problem) -> Self {
        Self::Refused(problem.document(links, ""))
    }
}

/// One who works a queue.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Worker)]
pub(crate) struct WorkerDocument<'a> {
    /// How it calls itself; the node's own name where the server works the queue.
    #[schema(value_type = String, example = "gpu-1")]
    pub(crate) id: &'a WorkerName,
    /// The queue.
    #[schema(value_type = String, example = "thumbs")]
    pub(crate) queue: &'a QueueName,
    /// `pull`, `push`, `process`, or `keep_alive`: a program that this server keeps running, and that pulls.
    #[schema(example = "pull")]
    pub(crate) kind: &'a str,
    /// Jobs in its hands.
    #[schema(example = 4)]
    pub(crate) running: u64,
    /// When it last claimed, renewed or settled; now where the server itself works the queue, or has just begun to.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) last_seen: Timestamp,
}

/// Who works.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Workers)]
pub(crate) struct WorkersDocument<'a> {
    /// By queue and name.
    pub(crate) workers: Vec<WorkerDocument<'a>>,
}
