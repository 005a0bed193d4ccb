//! What a submitter may ask of one job, beside its place in line.
//!
//! Invariant: a job that was asked nothing of holds nothing, and reads as one whose options are all absent.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::delivery::Callback;
use crate::name::Tag;
use crate::retry::Backoff;
use crate::unique::Unique;

/// The most tags of one job.
pub const TAGS_MAX: usize = 16;

/// What a submitter may ask of one job; what is absent is the queue's to say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Options {
    /// Not started so long after `run_at`: expired.
    #[serde(with = "crate::time::text::option", skip_serializing_if = "Option::is_none")]
    pub start_before: Option<Duration>,
    /// One attempt's time.
    #[serde(with = "crate::time::text::option", skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// The time for all attempts, from acceptance.
    #[serde(with = "crate::time::text::option", skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Duration>,
    /// How often it is attempted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_attempts: Option<u32>,
    /// How long it waits after a failed attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backoff: Option<Backoff>,
    /// How long it stays when finished.
    #[serde(with = "crate::time::text::option", skip_serializing_if = "Option::is_none")]
    pub keep: Option<Duration>,
    /// Labels to search by, at most [`TAGS_MAX`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Tag>,
    /// That no other job of the queue may have the same value meanwhile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unique: Option<Unique>,
    /// Whom to tell of the job's end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub callback: Option<Callback>,
    /// The submitter's trace context (W3C Trace Context), handed to the handler.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// The rest of the trace context.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tracestate: Option<String>,
}

impl Options {
    /// Whether nothing was asked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == NOTHING_ASKED
    }
}

const NOTHING_ASKED: Options = Options {
    start_before: None,
    timeout: None,
    deadline: None,
    max_attempts: None,
    backoff: None,
    keep: None,
    tags: Vec::new(),
    unique: None,
    callback: None,
    traceparent: None,
    tracestate: None,
};

/// The [`Options`] of a job, which go with it through every transition: most jobs have none, and those of the others are shared, so
/// that copying a job copies none of them.
#[derive(Clone, Default)]
pub struct JobOptions(Option<Arc<Options>>);

impl From<Options> for JobOptions {
    fn from(options: Options) -> Self {
        Self((!options.is_empty()).then(|| Arc::new(options)))
    }
}

impl Deref for JobOptions {
    type Target = Options;

    fn deref(&self) -> &Options {
        static NOTHING: Options = NOTHING_ASKED;
        self.0.as_deref().unwrap_or(&NOTHING)
    }
}

impl DerefMut for JobOptions {
    fn deref_mut(&mut self) -> &mut Options {
        Arc::make_mut(self.0.get_or_insert_default())
    }
}

impl PartialEq for JobOptions {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for JobOptions {}

impl fmt::Debug for JobOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_is_the_same_however_it_is_held() {
        let none = JobOptions::default();
        let mut asked = JobOptions::from(Options::default());
        assert!(asked.0.is_none() && asked == none);
        let before = asked.clone();
        asked.max_attempts = Some(3);
        assert_eq!((asked.max_attempts, before.max_attempts), (Some(3), None));
        let shared = asked.clone();
        asked.max_attempts = None;
        assert_eq!((&asked, shared.max_attempts), (&none, Some(3)));
        assert!(asked.is_empty());
    }
}
