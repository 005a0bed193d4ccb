//! Traces of a build without the feature `otlp`: nothing is told, and what a job came with is handed on.
//!
//! Invariant: it has the names of `traces`, which stands in its place where the feature is on; nobody else asks which of the two it is.

use std::sync::Arc;

use raincheck_core::decide::TryEnd;
use raincheck_core::job::Job;
use raincheck_core::store::{About, Change, Outgoing};
use raincheck_core::time::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::outward::trust::Trust;

/// Where spans are sent, and which: there is none without the feature `otlp`.
#[derive(Clone, Debug, PartialEq)]
pub enum TraceOptions {}

/// Tells nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Traces;

/// Sends nothing: there is none.
#[derive(Debug)]
pub(crate) enum Exporter {}

impl Exporter {
    pub(crate) async fn run(self, _: CancellationToken) {
        match self {}
    }
}

impl Traces {
    pub(crate) const fn new(options: &TraceOptions, _: &Trust) -> (Self, Exporter) {
        match *options {}
    }

    pub(crate) const fn dropped(&self) -> u64 {
        0
    }

    pub(crate) fn traceparent(&self, job: &Job) -> Option<String> {
        job.options.traceparent.clone()
    }

    pub(crate) fn traceparent_of(&self, outgoing: &Outgoing) -> Option<String> {
        match &outgoing.about {
            About::Job { job, .. } => job.options.traceparent.clone(),
            _ => None,
        }
    }

    pub(crate) const fn advanced(&self, _: &[Arc<Job>]) {}

    pub(crate) const fn changed(&self, _: &[Change]) {}

    pub(crate) const fn tried(&self, _: &Outgoing, _: &TryEnd, _: Timestamp, _: Timestamp) {}
}
