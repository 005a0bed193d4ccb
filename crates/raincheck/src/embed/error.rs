//! How an attempt fails.
//!
//! Invariant: an error says whether trying again may help; one that does not is tried again.

use std::fmt;
use std::time::Duration;

use raincheck_core::job::Failure;

use crate::workers::AttemptEnd;

/// Why an attempt failed, and whether another may help. Every [`std::error::Error`] becomes one by `?`, to be tried again;
/// its text is shown to those who may read the job. (So it cannot be such an error itself.)
///
/// ```
/// use std::time::Duration;
/// use raincheck::embed::{Args, JobError};
///
/// async fn load(Args(path): Args<String>) -> Result<String, JobError> {
///     if path.is_empty() {
///         return Err(JobError::fatal("which file?").code("no-path")); // no other attempt helps
///     }
///     if path.ends_with(".part") {
///         return Err(JobError::retry_after(Duration::from_secs(60), "it is still being written"));
///     }
///     Ok(std::fs::read_to_string(path)?) // any error: after the queue's backoff
/// }
///
/// let refused = JobError::fatal("which file?").code("no-path"); // what tests of a handler look at
/// assert!(!refused.is_retried());
/// assert_eq!(refused.failure().code, "no-path");
/// # assert_eq!(refused.to_string(), "no-path: which file?");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobError {
    failure: Failure,
    retry: Option<Duration>,
}

const CODE: &str = "handler-failed";

impl JobError {
    /// Another attempt may help: after the queue's backoff, while attempts are left.
    ///
    /// ```
    /// use raincheck::embed::JobError;
    ///
    /// assert!(JobError::retry("the other side is down").is_retried());
    /// ```
    pub fn retry(why: impl fmt::Display) -> Self {
        Self::retry_after(Duration::ZERO, why)
    }

    /// Another attempt may help, no sooner than after so long.
    ///
    /// ```
    /// use raincheck::embed::JobError;
    /// use std::time::Duration;
    ///
    /// let told = JobError::retry_after(Duration::from_secs(30), "429 with Retry-After: 30");
    /// assert!(told.is_retried());
    /// ```
    pub fn retry_after(delay: Duration, why: impl fmt::Display) -> Self {
        Self {
            failure: Failure::of_handler(CODE, why.to_string()),
            retry: Some(delay),
        }
    }

    /// No other attempt will help: the job has failed.
    ///
    /// ```
    /// use raincheck::embed::JobError;
    ///
    /// assert!(!JobError::fatal("no such customer").is_retried());
    /// ```
    pub fn fatal(why: impl fmt::Display) -> Self {
        Self {
            failure: Failure::of_handler(CODE, why.to_string()),
            retry: None,
        }
    }

    /// With a stable word of the application's own in place of `handler-failed`: 1 to 64 visible ASCII characters. What is
    /// no such word is passed over.
    ///
    /// ```
    /// use raincheck::embed::JobError;
    ///
    /// let refused = JobError::fatal("no such customer").code("no-customer");
    /// assert_eq!(refused.to_string(), "no-customer: no such customer");
    /// ```
    #[must_use]
    pub fn code(mut self, code: impl Into<String>) -> Self {
        let code = code.into();
        if Failure::takes_code(&code) {
            self.failure.code = code;
        } else {
            tracing::warn!(
                ?code,
                "a failure's code takes 1 to 64 visible ASCII characters: it is passed over"
            );
        }
        self
    }

    /// The stable word and the text.
    ///
    /// ```
    /// use raincheck::embed::JobError;
    ///
    /// let refused = JobError::fatal("no such customer");
    /// assert_eq!(refused.failure().code, "handler-failed");
    /// assert_eq!(refused.failure().detail, "no such customer");
    /// ```
    #[must_use]
    pub fn failure(&self) -> &Failure {
        &self.failure
    }

    /// Whether another attempt may help.
    ///
    /// ```
    /// use raincheck::embed::JobError;
    ///
    /// let read = std::fs::read("/no/such/file").map_err(JobError::from).unwrap_err();
    /// assert!(read.is_retried()); // as any error by `?` is
    /// ```
    #[must_use]
    pub fn is_retried(&self) -> bool {
        self.retry.is_some()
    }

    pub(super) fn end(self) -> AttemptEnd {
        AttemptEnd::Failed {
            failure: self.failure,
            retry: self.retry,
            result: None,
        }
    }

    /// What came out of the layers: the handler's own error, or one of theirs.
    pub(super) fn of(error: tower::BoxError) -> Self {
        match error.downcast::<JobFailed>() {
            Ok(failed) => failed.0,
            Err(error) => Self::retry(error),
        }
    }
}

impl fmt::Display for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.failure.code, self.failure.detail)
    }
}

impl<E: std::error::Error> From<E> for JobError {
    fn from(error: E) -> Self {
        Self::retry(error)
    }
}

/// A [`JobError`] as layers around attempts see it.
///
/// ```
/// use raincheck::embed::{JobError, JobFailed};
///
/// // A layer of your own fails an attempt for good by giving this as its error; any other error is tried again.
/// let refused: tower::BoxError = JobFailed(JobError::fatal("not on a Sunday").code("closed")).into();
/// assert!(refused.downcast_ref::<JobFailed>().is_some());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct JobFailed(pub JobError);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_only_words_and_texts_that_a_worker_may_say() {
        for code in ["", "Not A Code!\n", &"c".repeat(65)] {
            assert_eq!(JobError::fatal("never").code(code).failure().code, CODE);
        }
        assert_eq!(
            JobError::fatal("never").code("no-such-month").failure().code,
            "no-such-month"
        );
        let long = JobError::retry("ä".repeat(4_000)).failure().detail.clone();
        assert_eq!(long, format!("{}…", "ä".repeat(Failure::DETAIL_MAX / 2)));
    }
}
