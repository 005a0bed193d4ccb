//! What becomes of jobs, as spans for OpenTelemetry.
//!
//! ```text
//! submitter ── send q ──┬── process q (attempt 1) ── whatever the handler does
//!                       ├── process q (attempt 2)
//!                       └── POST (webhook)
//! ```
//!
//! Spans are told of what was committed, when it was: a crash loses the news of a span at most, never tells one that was not.
//! Names are those of the semantic conventions for messaging and HTTP (1.38.0).
//!
//! Invariant: telling never waits: where the collector is slow, spans are dropped and counted.

mod context;
mod export;
mod kinds;
mod sampler;
mod webhook;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::SpanData;
use raincheck_core::decide::TryEnd;
use raincheck_core::job::{AttemptOutcome, Job, Phase};
use raincheck_core::store::{About, Change, Outgoing};
use raincheck_core::time::Timestamp;

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use self::context::parse;
use self::context::{Of, Trace, header, of_delivery};
pub(crate) use self::export::Exporter;
use self::export::Outbox;
use self::kinds::Kinds;
pub use self::sampler::Sampler;
use crate::outward::trust::Trust;

/// Where spans are sent, and which.
#[derive(Clone, Debug, PartialEq)]
pub struct TraceOptions {
    /// The collector's URL: OTLP over HTTP, protobuf; `/v1/traces` is added unless it is there.
    pub endpoint: String,
    /// Which traces are told.
    pub sampler: Sampler,
}

#[derive(Debug)]
struct Inner {
    outbox: Outbox,
    sampler: Sampler,
    kinds: Kinds,
    scope: InstrumentationScope,
}

/// Tells spans, or does nothing. Cloning gives another handle.
#[derive(Clone, Debug, Default)]
pub(crate) struct Traces(Option<Arc<Inner>>);

impl Traces {
    /// Tells spans to this collector; what it gives back sends them.
    pub(crate) fn new(options: &TraceOptions, trust: &Trust) -> (Self, Exporter) {
        let (outbox, exporter) = export::exporter(&options.endpoint, trust);
        let scope = InstrumentationScope::builder("raincheck")
            .with_version(env!("CARGO_PKG_VERSION"))
            .build();
        let inner = Inner {
            outbox,
            sampler: options.sampler,
            kinds: Kinds::default(),
            scope,
        };
        (Self(Some(Arc::new(inner))), exporter)
    }

    /// How many spans were dropped.
    pub(crate) fn dropped(&self) -> u64 {
        self.0.as_ref().map_or(0, |inner| inner.outbox.dropped())
    }

    /// What the handler of the job's running attempt is to call its parent: the attempt where spans are told, else whatever
    /// the job came with.
    pub(crate) fn traceparent(&self, job: &Job) -> Option<String> {
        match &self.0 {
            Some(inner) => Some(header(
                &Trace::of(job, inner.sampler).span(Of::Attempt(job.fence)),
            )),
            None => job.options.traceparent.clone(),
        }
    }

    /// The same for the receiver of a webhook: the try, or whatever the job came with.
    pub(crate) fn traceparent_of(&self, outgoing: &Outgoing) -> Option<String> {
        let About::Job { job, .. } = &outgoing.about else {
            return None;
        };
        let Some(inner) = &self.0 else {
            return job.options.traceparent.clone();
        };
        let of = of_delivery(outgoing.delivery.id, outgoing.delivery.tries)?;
        Some(header(&Trace::of(job, inner.sampler).span(of)))
    }

    /// Hears of jobs that were accepted or claimed.
    pub(crate) fn advanced(&self, jobs: &[Arc<Job>]) {
        let Some(inner) = &self.0 else { return };
        for job in jobs {
            if !matches!(job.phase, Phase::Waiting) {
                inner.kinds.runs(job);
                continue;
            }
            let trace = Trace::of(job, inner.sampler);
            inner.tell(&trace, Of::Send, || {
                let mut attributes = messaging(job, "send", "send");
                attributes.push(KeyValue::new("raincheck.job.priority", i64::from(job.priority)));
                Span {
                    name: format!("send {}", job.queue),
                    kind: SpanKind::Producer,
                    from: job.created_at,
                    to: job.created_at,
                    attributes,
                    status: Status::Unset,
                }
            });
        }
    }

    /// Hears of jobs that changed.
    pub(crate) fn changed(&self, changes: &[Change]) {
        let Some(inner) = &self.0 else { return };
        for job in changes.iter().map(|change| &*change.job) {
            // One that runs is still to end: it is asked to stop.
            let kind = match job.phase {
                Phase::Running(_) => None,
                Phase::Waiting | Phase::Done { .. } => inner.kinds.ended(job),
            };
            let Some(attempt) = job.just_ended().filter(|_| job.retried_as.is_none()) else {
                continue;
            };
            let trace = Trace::of(job, inner.sampler);
            inner.tell(&trace, Of::Attempt(job.fence), || {
                let mut attributes = messaging(job, "process", "process");
                attributes.push(KeyValue::new("raincheck.job.attempt", i64::from(attempt.n)));
                attributes.push(KeyValue::new("raincheck.worker", attempt.worker.to_string()));
                attributes.extend(kind.map(|kind| KeyValue::new("raincheck.worker.kind", kind)));
                let failed = attempt.outcome != AttemptOutcome::Succeeded;
                let status = if failed {
                    let code = attempt.error.as_ref().map(|error| error.code.to_string());
                    let code = code.unwrap_or_else(|| attempt.outcome.as_str().to_owned());
                    attributes.push(KeyValue::new("error.type", code.clone()));
                    Status::error(code)
                } else {
                    Status::Unset
                };
                Span {
                    name: format!("process {}", job.queue),
                    kind: SpanKind::Consumer,
                    from: attempt.started_at,
                    to: attempt.ended_at,
                    attributes,
                    status,
                }
            });
        }
    }

    /// Hears how a try of a webhook ended.
    pub(crate) fn tried(&self, outgoing: &Outgoing, end: &TryEnd, from: Timestamp, to: Timestamp) {
        let (Some(inner), About::Job { job, .. }) = (&self.0, &outgoing.about) else {
            return;
        };
        let Some(of) = of_delivery(outgoing.delivery.id, outgoing.delivery.tries) else {
            return;
        };
        let trace = Trace::of(job, inner.sampler);
        inner.tell(&trace, of, || {
            let (attributes, status) = webhook::told(&outgoing.delivery, job, end);
            Span {
                name: "POST".to_owned(),
                kind: SpanKind::Client,
                from,
                to,
                attributes,
                status,
            }
        });
    }
}

struct Span {
    name: String,
    kind: SpanKind,
    from: Timestamp,
    to: Timestamp,
    attributes: Vec<KeyValue>,
    status: Status,
}

impl Inner {
    /// Tells a span, if its trace is one that is told.
    fn tell(&self, trace: &Trace, of: Of, span: impl FnOnce() -> Span) {
        if !trace.sampled() {
            return;
        }
        let parent = match of {
            Of::Send => trace.submitter.unwrap_or(SpanId::INVALID),
            Of::Attempt(_) | Of::Delivery(..) => trace.span(Of::Send).span_id(),
        };
        let remote = matches!(of, Of::Send) && trace.submitter.is_some();
        self.outbox.put(self.data(trace.span(of), parent, remote, span()));
    }

    fn data(&self, context: SpanContext, parent: SpanId, remote: bool, span: Span) -> SpanData {
        SpanData {
            span_context: context,
            parent_span_id: parent,
            parent_span_is_remote: remote,
            span_kind: span.kind,
            name: span.name.into(),
            start_time: instant(span.from),
            end_time: instant(span.to),
            attributes: span.attributes,
            dropped_attributes_count: 0,
            events: Default::default(),
            links: Default::default(),
            status: span.status,
            instrumentation_scope: self.scope.clone(),
        }
    }
}

/// What the conventions for messaging ask of each span.
fn messaging(job: &Job, operation: &'static str, kind: &'static str) -> Vec<KeyValue> {
    vec![
        KeyValue::new("messaging.system", "raincheck"),
        KeyValue::new("messaging.operation.name", operation),
        KeyValue::new("messaging.operation.type", kind),
        KeyValue::new("messaging.destination.name", job.queue.to_string()),
        KeyValue::new("messaging.message.id", job.id.to_string()),
        KeyValue::new("raincheck.namespace", job.namespace.to_string()),
    ]
}

fn instant(at: Timestamp) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(u64::try_from(at.as_millis()).unwrap_or_default())
}
