//! A queue's settings, as an application writes them.
//!
//! Invariant: what they mean, their bounds and their defaults are those of `PUT /v1/queues/{queue}`; what cannot be is refused
//! when the store is opened.

use std::time::Duration;

use raincheck_core::queue::{ByteSize, QueueSpec};
use raincheck_core::retry::Backoff;

/// A queue with the usual settings: 16 jobs at once, 5 attempts, 5 minutes each, results kept for a day. They are those of
/// `PUT /v1/queues/{queue}`, which `/docs` describes.
///
/// ```
/// use std::time::Duration;
/// use raincheck::embed::queue;
///
/// let reports = queue().concurrency(4).max_attempts(5).timeout(Duration::from_secs(600)).depth(1000);
/// # let _ = reports;
/// ```
#[must_use]
pub fn queue() -> QueueSettings {
    QueueSettings::default()
}

/// The settings of a queue that is worked by a function.
///
/// ```
/// use raincheck::embed::{QueueSettings, queue};
///
/// let mails: QueueSettings = queue()
///     .backoff("exponential;base=2s;cap=10m".parse().unwrap())
///     .with(|spec| spec.rate = Some("10/s".parse().unwrap())); // whatever PUT /v1/queues/{queue} takes
/// # let _ = mails;
/// ```
#[derive(Clone, Debug, Default)]
pub struct QueueSettings {
    pub(super) spec: QueueSpec,
}

macro_rules! settings {
    ($($(#[doc = $doc:literal])+ $name:ident: $kind:ty => $value:expr, $such:literal;)+) => {
        impl QueueSettings {
            $(
                $(#[doc = $doc])+
                ///
                /// ```
                /// # use std::time::Duration;
                /// # use raincheck::embed::queue;
                #[doc = concat!("let _settings = queue().", stringify!($name), "(", $such, ");")]
                /// ```
                #[must_use]
                pub fn $name(mut self, $name: $kind) -> Self {
                    self.spec.$name = Some($value);
                    self
                }
            )+
        }
    };
}

settings! {
    /// At most so many jobs run at once, 1 to 100,000: 16 unless said.
    concurrency: u32 => concurrency, "4";
    /// At most so many jobs wait; beyond it a submit is refused. 1,000,000 unless said.
    depth: u64 => depth, "1000";
    /// The inputs of those that wait have at most so many bytes together: no bound unless said.
    depth_bytes: u64 => ByteSize(depth_bytes), "64 << 20";
    /// Whether groups take turns: so unless said.
    fair: bool => fair, "false";
    /// The largest input in bytes, at most 16 MiB.
    body_max: u64 => ByteSize(body_max), "1 << 20";
    /// The largest result in bytes, at most 16 MiB; a larger one fails the job.
    result_max: u64 => ByteSize(result_max), "1 << 20";
    /// One attempt's time.
    timeout: Duration => timeout, "Duration::from_secs(600)";
    /// How long a lease runs, 1 s to 12 h; it is renewed while the attempt runs.
    lease_for: Duration => lease_for, "Duration::from_secs(30)";
    /// How long a handler that was told to cancel may go on.
    cancel_grace: Duration => cancel_grace, "Duration::from_secs(5)";
    /// How often a job is attempted, 1 to 100.
    max_attempts: u32 => max_attempts, "3";
    /// How long a job waits after a failed attempt.
    backoff: Backoff => backoff, "\"exponential;base=2s;cap=10m\".parse().unwrap()";
    /// How long a finished job stays.
    keep: Duration => keep, "Duration::from_secs(3600)";
    /// How long a failed job stays.
    keep_failed: Duration => keep_failed, "Duration::from_secs(7 * 24 * 3600)";
}

impl QueueSettings {
    /// Changes whatever else there is: rates, groups, callbacks. Who works the queue is not among it.
    ///
    /// ```
    /// use raincheck::embed::queue;
    ///
    /// let mails = queue().with(|spec| {
    ///     spec.rate = Some("10/s".parse().unwrap());
    ///     spec.result_type = Some("text/html".to_owned());
    /// });
    /// # let _ = mails;
    /// ```
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut QueueSpec)) -> Self {
        change(&mut self.spec);
        self
    }
}
