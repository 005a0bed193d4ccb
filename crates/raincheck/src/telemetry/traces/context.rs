//! Where a job's spans belong: the trace of whoever submitted it, or one of its own.
//!
//! Invariant: the ids of a job's spans follow from the job, so that whoever tells of a span and whoever hands its id on
//! need not have met: the push that carries an attempt's id, and the commit that tells how the attempt ended, maybe after
//! a restart.

use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};
use raincheck_core::delivery::{DeliveryId, Source};
use raincheck_core::id::{Fence, JobId};
use raincheck_core::job::Job;
use raincheck_core::retry::mix;

use super::Sampler;

/// Which of a job's spans.
#[derive(Clone, Copy, Debug)]
pub(super) enum Of {
    /// Its acceptance.
    Send,
    /// An attempt, by its fence.
    Attempt(Fence),
    /// A try of a webhook, by its number.
    Delivery(Source, u32),
}

impl Of {
    const fn number(self) -> u64 {
        match self {
            Self::Send => 0,
            Self::Attempt(fence) => 1 << 40 | fence.0 as u64,
            Self::Delivery(Source::Job, n) => 2 << 40 | n as u64,
            Self::Delivery(Source::Queue, n) => 3 << 40 | n as u64,
        }
    }
}

/// A job's trace.
#[derive(Clone, Debug)]
pub(super) struct Trace {
    job: JobId,
    id: TraceId,
    /// The span of whoever submitted the job, where that was told.
    pub(super) submitter: Option<SpanId>,
    sampled: bool,
    state: TraceState,
}

impl Trace {
    /// The trace that the job came with (W3C Trace Context, section 3.2), or one of its own; the sampler says whether it is told.
    pub(super) fn of(job: &Job, sampler: Sampler) -> Self {
        let told = job.options.traceparent.as_deref().and_then(parse);
        let (id, submitter, sampled) = match told {
            Some((id, span, sampled)) => (id, Some(span), sampler.follows(id, sampled)),
            None => {
                let id = u128::from(job.id.seq()) << 64 | u128::from(job.id.tail());
                // Ids begin with the time: only their mixture is even.
                (TraceId::from(id), None, sampler.draws(mix(job.id.tail())))
            }
        };
        let state = job.options.tracestate.as_deref();
        Self {
            job: job.id,
            id,
            submitter,
            sampled,
            state: state.and_then(|state| state.parse().ok()).unwrap_or_default(),
        }
    }

    /// Whether its spans are told.
    pub(super) const fn sampled(&self) -> bool {
        self.sampled
    }

    /// One of its spans.
    pub(super) fn span(&self, of: Of) -> SpanContext {
        let id = mix(self.job.tail() ^ mix(self.job.seq() ^ of.number())).max(1);
        let flags = TraceFlags::default().with_sampled(self.sampled);
        SpanContext::new(self.id, SpanId::from(id), flags, false, self.state.clone())
    }
}

/// What a delivery is about; `None` where that is a batch, which has no trace.
pub(super) const fn of_delivery(id: DeliveryId, n: u32) -> Option<Of> {
    match id {
        DeliveryId::Job { source, .. } => Some(Of::Delivery(source, n)),
        DeliveryId::Batch(_) => None,
    }
}

/// A span as the header says it.
pub(super) fn header(span: &SpanContext) -> String {
    let flags = span.trace_flags().to_u8();
    format!("00-{}-{}-{flags:02x}", span.trace_id(), span.span_id())
}

/// The ids in a `traceparent` that was found well formed, and whether it is sampled; `None` where one is nought.
pub(crate) fn parse(parent: &str) -> Option<(TraceId, SpanId, bool)> {
    let mut parts = parent.split('-').skip(1);
    let id = TraceId::from_hex(parts.next()?).ok()?;
    let span = SpanId::from_hex(parts.next()?).ok()?;
    let flags = u8::from_str_radix(parts.next()?, 16).ok()?;
    let valid = id != TraceId::INVALID && span != SpanId::INVALID;
    valid.then_some((id, span, flags & 1 == 1))
}

#[cfg(test)]
mod tests {
    use raincheck_core::decide::{NewJob, submit};
    use raincheck_core::id::IdGenerator;
    use raincheck_core::job::Options;
    use raincheck_core::name::{Namespace, QueueName};
    use raincheck_core::time::Timestamp;

    use super::*;

    fn job(n: u64, traceparent: Option<&str>) -> Job {
        submit(&NewJob {
            id: IdGenerator::after(0).next(Timestamp::from_millis(1_795_227_064_123), mix(n)),
            namespace: Namespace::default(),
            queue: QueueName::new("q").unwrap(),
            group: None,
            priority: 5,
            run_at: None,
            delay: None,
            options: Options {
                traceparent: traceparent.map(str::to_owned),
                ..Options::default()
            }
            .into(),
            retry_of: None,
            member: None,
        })
    }

    #[test]
    fn a_job_belongs_to_the_trace_it_came_with_and_follows_its_choice() {
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let trace = Trace::of(&job(1, Some(parent)), Sampler::parent_based(0.0));
        assert!(trace.sampled());
        let span = trace.span(Of::Send);
        assert_eq!(span.trace_id().to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(trace.submitter.unwrap().to_string(), "b7ad6b7169203331");
        assert!(header(&span).starts_with("00-0af7651916cd43dd8448eb211c80319c-"));
        assert!(header(&span).ends_with("-01"));
        let unsampled = parent.replace("-01", "-00");
        assert!(!Trace::of(&job(1, Some(&unsampled)), Sampler::default()).sampled());
        let nought = "00-00000000000000000000000000000000-b7ad6b7169203331-01";
        assert_eq!(
            Trace::of(&job(1, Some(nought)), Sampler::default()).submitter,
            None,
            "an invalid id is none"
        );
    }

    #[test]
    fn spans_of_one_job_are_told_apart_and_found_again() {
        let job = job(1, None);
        let ids = |trace: Trace| {
            [
                Of::Send,
                Of::Attempt(Fence(1)),
                Of::Attempt(Fence(2)),
                Of::Delivery(Source::Job, 1),
                Of::Delivery(Source::Queue, 1),
            ]
            .map(|of| trace.span(of).span_id())
        };
        let (first, again) = (
            ids(Trace::of(&job, Sampler::default())),
            ids(Trace::of(&job, Sampler::default())),
        );
        assert_eq!(first, again);
        let distinct: std::collections::HashSet<_> = first.iter().collect();
        assert_eq!(distinct.len(), first.len());
    }

    #[test]
    fn as_many_traces_are_told_as_was_asked() {
        for (share, least, most) in [(0.0, 0, 0), (0.25, 400, 600), (1.0, 2000, 2000)] {
            let told =
                (0..2000).filter(|n| Trace::of(&job(*n, None), Sampler::parent_based(share)).sampled());
            let told = told.count();
            assert!((least..=most).contains(&told), "{told} at {share}");
        }
    }
}
