//! A queue's settings: as somebody wrote them, and the values in force.
//!
//! Invariant: a default is named once, in the method that gives the value in force; rows keep only what was
//! written, so that a better default reaches every queue that did not decide otherwise.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::delivery::Callback;
use crate::group::{GroupSpec, check_rate};
use crate::job::Options;
use crate::lease::{LEASE_MAX, LEASE_MIN};
use crate::limit::{Limits, Rate};
use crate::name::{Namespace, QueueName};
use crate::retry::{Backoff, MAX_ATTEMPTS_DEFAULT, MAX_ATTEMPTS_LIMIT};
pub use crate::size::{ByteSize, ParseSizeError};
use crate::time::Timestamp;
pub use crate::worker::Worker;

/// How many URLs a queue fetches at once, unless it says otherwise.
pub const FETCHES_DEFAULT: u32 = 100;
/// How many of them at one host, unless it says otherwise.
pub const PER_HOST_DEFAULT: u32 = 4;
/// The largest input unless a queue says otherwise.
const BODY_MAX: u64 = 1 << 20;
/// The largest body that a queue may allow: larger ones will get files of their own.
pub const BODY_MAX_LIMIT: u64 = 16 << 20;

/// A queue's settings as they were written; what is absent has its default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QueueSpec {
    /// How the queue is worked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker: Option<Worker>,
    /// At most so many jobs run at once (1 to 100,000).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
    /// So many jobs start in so much time at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// So many of them may start at once after a pause (1 to 1,000,000).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst: Option<u32>,
    /// At most so many jobs wait; beyond it a submit is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub depth: Option<u64>,
    /// The inputs of those that wait have at most so many bytes together; beyond it a submit is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub depth_bytes: Option<ByteSize>,
    /// What bounds each group that has no limits of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_defaults: Option<GroupSpec>,
    /// Whether groups take turns; if not, all jobs stand in one order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fair: Option<bool>,
    /// The largest input, at most 16 MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_max: Option<ByteSize>,
    /// The largest result, at most 16 MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result_max: Option<ByteSize>,
    /// The content type of what a process prints.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result_type: Option<String>,
    /// Whether what push endpoints answer and processes print is emitted as output while it comes; what processes say on
    /// stderr is emitted as log then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<bool>,
    /// One attempt's time.
    #[serde(with = "crate::time::text::option", skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// How long a worker holds a job without renewing (1 s to 12 h).
    #[serde(with = "crate::time::text::option", skip_serializing_if = "Option::is_none")]
    pub lease_for: Option<Duration>,
    /// How long a worker that was told to cancel may go on.
    #[serde(with = "crate::time::text::option", skip_serializing_if = "Option::is_none")]
    pub cancel_grace: Option<Duration>,
    /// How often a job is attempted (1 to 100).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_attempts: Option<u32>,
    /// How long a job waits after a failed attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backoff: Option<Backoff>,
    /// How long a finished job stays.
    #[serde(with = "crate::time::text::option", skip_serializing_if = "Option::is_none")]
    pub keep: Option<Duration>,
    /// How long a failed job stays.
    #[serde(with = "crate::time::text::option", skip_serializing_if = "Option::is_none")]
    pub keep_failed: Option<Duration>,
    /// Whom to tell of the ends of its jobs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub callback: Option<Callback>,
}

/// A setting that cannot be: which, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} {rule}")]
pub struct SettingError {
    /// The setting's name.
    pub field: &'static str,
    /// What it must be.
    pub rule: &'static str,
}

/// The longest that an attempt, a retention or a grace may be set to: a year.
pub const SPAN_MAX: Duration = Duration::from_secs(366 * 86_400);

impl QueueSpec {
    /// Checks what the types alone cannot.
    ///
    /// # Errors
    /// The first setting that is out of its range.
    pub fn check(&self) -> Result<(), SettingError> {
        let rule = |ok: bool, field, rule| {
            if ok {
                Ok(())
            } else {
                Err(SettingError { field, rule })
            }
        };
        let within = |value: Option<Duration>, min: Duration, max: Duration| {
            value.is_none_or(|d| d >= min && d <= max)
        };
        let second = Duration::from_secs(1);
        let body = |size: Option<ByteSize>| size.is_none_or(|size| size.0 <= BODY_MAX_LIMIT);
        match &self.worker {
            Some(Worker::Push(urls)) => rule(
                !urls.is_empty() && urls.len() <= 100,
                "worker",
                "push takes 1 to 100 URLs",
            )?,
            Some(Worker::Process(argv) | Worker::KeepAlive(argv)) => {
                rule(
                    argv.first().is_some_and(|p| !p.is_empty()),
                    "worker",
                    "process takes a program and its arguments",
                )?;
            }
            Some(Worker::Pull | Worker::Function | Worker::Fetch) | None => {}
        }
        rule(
            self.concurrency.is_none_or(|n| (1..=100_000).contains(&n)),
            "concurrency",
            "is 1 to 100000",
        )?;
        check_rate(self.rate, self.burst)?;
        rule(self.depth.is_none_or(|n| n >= 1), "depth", "is at least 1")?;
        let body_max = self.body_max.map_or(BODY_MAX, |size| size.0);
        rule(
            self.depth_bytes.is_none_or(|size| size.0 >= body_max),
            "depth_bytes",
            "is at least body_max (1MiB unless set), so that any one input fits",
        )?;
        if let Some(error) = self.group_defaults.and_then(|group| group.check().err()) {
            let rule = match error.field {
                "concurrency" => "concurrency is 1 to 100000",
                _ => "burst goes with a rate, is 1 to 1000000 and at most what the rate lets start in a year",
            };
            return Err(SettingError {
                field: "group_defaults",
                rule,
            });
        }
        rule(body(self.body_max), "body_max", "is at most 16MiB")?;
        rule(body(self.result_max), "result_max", "is at most 16MiB")?;
        let visible = |text: &String| !text.is_empty() && text.bytes().all(|b| (32..127).contains(&b));
        rule(
            self.result_type.as_ref().is_none_or(visible),
            "result_type",
            "is a content type",
        )?;
        rule(
            within(self.timeout, Duration::from_millis(1), SPAN_MAX),
            "timeout",
            "is 1ms to 366d",
        )?;
        rule(
            within(self.lease_for, LEASE_MIN, LEASE_MAX),
            "lease_for",
            "is 1s to 12h",
        )?;
        rule(
            within(self.cancel_grace, Duration::ZERO, LEASE_MAX),
            "cancel_grace",
            "is at most 12h",
        )?;
        rule(
            self.max_attempts
                .is_none_or(|n| (1..=MAX_ATTEMPTS_LIMIT).contains(&n)),
            "max_attempts",
            "is 1 to 100",
        )?;
        rule(within(self.keep, second, SPAN_MAX), "keep", "is 1s to 366d")?;
        rule(
            within(self.keep_failed, second, SPAN_MAX),
            "keep_failed",
            "is 1s to 366d",
        )
    }
}

/// A queue: its name, its settings and whether it is paused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue {
    /// Whose queue it is.
    pub namespace: Namespace,
    /// Its name.
    pub name: QueueName,
    /// Its settings as written.
    pub spec: QueueSpec,
    /// Whether flags or a file define it, so that the API may not.
    pub managed: bool,
    /// Since when it is paused: nothing is claimed, submits go on.
    pub paused: Option<Timestamp>,
    /// Since when the receiver of its callback wants nothing more: nothing is recorded for it.
    pub callback_gone: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
}

impl Queue {
    /// A queue with these settings, not paused.
    #[must_use]
    pub const fn new(namespace: Namespace, name: QueueName, spec: QueueSpec, created_at: Timestamp) -> Self {
        Self {
            namespace,
            name,
            spec,
            managed: false,
            paused: None,
            callback_gone: None,
            created_at,
        }
    }

    /// Whom to tell of the ends of its jobs, as long as the receiver wants it.
    #[must_use]
    pub fn callback(&self) -> Option<&Callback> {
        self.spec
            .callback
            .as_ref()
            .filter(|_| self.callback_gone.is_none())
    }

    /// How it is worked: `pull` unless written.
    #[must_use]
    pub fn worker(&self) -> Worker {
        self.spec.worker.clone().unwrap_or_default()
    }

    /// How many jobs may wait: 1,000,000 unless written.
    #[must_use]
    pub fn depth(&self) -> u64 {
        self.spec.depth.unwrap_or(1_000_000)
    }

    /// How many jobs may run at once, where `cores` are there: the cores for process (and so many programs are kept
    /// alive), 16 for push and for functions, 100 for fetch, no bound for pull, unless written.
    #[must_use]
    pub fn concurrency(&self, cores: u32) -> Option<u32> {
        self.spec.concurrency.or(match self.spec.worker {
            Some(Worker::Process(_) | Worker::KeepAlive(_)) => Some(cores),
            Some(Worker::Push(_) | Worker::Function) => Some(16),
            Some(Worker::Fetch) => Some(FETCHES_DEFAULT),
            Some(Worker::Pull) | None => None,
        })
    }

    /// How many requests a queue that fetches has under way at one host: what a group may run, for the host is the group; 4
    /// unless written.
    #[must_use]
    pub fn per_host(&self) -> u32 {
        let written = self.spec.group_defaults.and_then(|group| group.concurrency);
        written.unwrap_or(PER_HOST_DEFAULT)
    }

    /// How many jobs may start at once after a pause: one second of the rate unless written; `None` without a rate.
    #[must_use]
    pub fn burst(&self) -> Option<u32> {
        let rate = self.spec.rate?;
        Some(self.spec.burst.unwrap_or_else(|| rate.per_second()))
    }

    /// What bounds its jobs in the store: what is written. A default concurrency binds those who work the queue.
    #[must_use]
    pub fn limits(&self) -> Limits {
        Limits {
            concurrency: self.spec.concurrency,
            rate: self.spec.rate.zip(self.burst()),
        }
    }

    /// How many bytes the inputs of jobs that wait may have together: no bound unless written.
    #[must_use]
    pub fn depth_bytes(&self) -> Option<u64> {
        self.spec.depth_bytes.map(|size| size.0)
    }

    /// Whether groups take turns: so unless written.
    #[must_use]
    pub fn fair(&self) -> bool {
        self.spec.fair.unwrap_or(true)
    }

    /// What bounds a group for which this is written; without a group, nothing.
    #[must_use]
    pub fn group_limits(&self, written: Option<&GroupSpec>) -> Limits {
        let written = written.copied().unwrap_or_default();
        written.over(self.spec.group_defaults.as_ref()).limits()
    }

    /// The largest input in bytes: 1 MiB unless written.
    #[must_use]
    pub fn body_max(&self) -> u64 {
        self.spec.body_max.map_or(BODY_MAX, |size| size.0)
    }

    /// The largest result in bytes: 16 MiB unless written.
    #[must_use]
    pub fn result_max(&self) -> u64 {
        self.spec.result_max.map_or(16 << 20, |size| size.0)
    }

    /// Whether workers of the server's own emit their output while it comes: not unless written.
    #[must_use]
    pub fn stream(&self) -> bool {
        self.spec.stream.unwrap_or(false)
    }

    /// How long a worker holds a job without renewing: 30 s unless written.
    #[must_use]
    pub fn lease_for(&self) -> Duration {
        self.spec.lease_for.unwrap_or(Duration::from_secs(30))
    }

    /// The rules that a job of this queue with these options follows.
    #[must_use]
    pub fn policy(&self, options: &Options) -> Policy {
        let spec = &self.spec;
        let keep = options.keep.or(spec.keep);
        Policy {
            timeout: options
                .timeout
                .or(spec.timeout)
                .unwrap_or(Duration::from_secs(300)),
            cancel_grace: spec.cancel_grace.unwrap_or(Duration::from_secs(30)),
            max_attempts: options
                .max_attempts
                .or(spec.max_attempts)
                .unwrap_or(MAX_ATTEMPTS_DEFAULT),
            backoff: options.backoff.or(spec.backoff).unwrap_or_default(),
            keep: keep.unwrap_or(Duration::from_secs(24 * 3600)),
            keep_failed: options
                .keep
                .or(spec.keep_failed)
                .unwrap_or(Duration::from_secs(7 * 86_400)),
        }
    }
}

/// The values in force for one job: its own options, else its queue's settings, else the defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// One attempt's time.
    pub timeout: Duration,
    /// How long a worker that was told to cancel may go on.
    pub cancel_grace: Duration,
    /// How often the job is attempted.
    pub max_attempts: u32,
    /// How long it waits after a failed attempt.
    pub backoff: Backoff,
    /// How long it stays when it has succeeded, was cancelled or expired.
    pub keep: Duration,
    /// How long it stays when it has failed.
    pub keep_failed: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_setting_is_refused() {
        assert!(serde_json::from_str::<QueueSpec>(r#"{"retries": 3}"#).is_err());
        assert!(
            serde_json::from_str::<QueueSpec>(r#"{"worker": "pull", "timeout": "5m", "body_max": 7}"#)
                .is_ok()
        );
        assert!(serde_json::from_str::<QueueSpec>(r#"{"worker": {"push": ["http://a"]}}"#).is_ok());
    }

    #[test]
    fn settings_out_of_range_are_named() {
        let refused = |json: &str| {
            serde_json::from_str::<QueueSpec>(json)
                .unwrap()
                .check()
                .unwrap_err()
                .field
        };
        assert_eq!(refused(r#"{"worker": {"push": []}}"#), "worker");
        assert_eq!(refused(r#"{"worker": {"process": [""]}}"#), "worker");
        assert_eq!(refused(r#"{"concurrency": 0}"#), "concurrency");
        assert_eq!(refused(r#"{"burst": 3}"#), "burst");
        assert_eq!(refused(r#"{"rate": "1/s", "burst": 0}"#), "burst");
        assert_eq!(refused(r#"{"rate": "1/s", "burst": 1000001}"#), "burst");
        assert_eq!(refused(r#"{"rate": "1/d", "burst": 367}"#), "burst");
        assert_eq!(refused(r#"{"depth": 0}"#), "depth");
        assert_eq!(refused(r#"{"body_max": "17MiB"}"#), "body_max");
        assert_eq!(refused(r#"{"depth_bytes": "1023KiB"}"#), "depth_bytes");
        assert_eq!(
            refused(r#"{"group_defaults": {"concurrency": 0}}"#),
            "group_defaults"
        );
        assert_eq!(refused(r#"{"lease_for": "10ms"}"#), "lease_for");
        assert_eq!(refused(r#"{"max_attempts": 101}"#), "max_attempts");
        assert_eq!(refused(r#"{"keep": "0s"}"#), "keep");
        assert_eq!(refused(r#"{"result_type": ""}"#), "result_type");
        assert_eq!(QueueSpec::default().check(), Ok(()));
    }

    #[test]
    fn a_jobs_own_option_beats_its_queues_setting_and_that_the_default() {
        let spec = QueueSpec {
            timeout: Some(Duration::from_secs(9)),
            ..QueueSpec::default()
        };
        let queue = Queue::new(
            Namespace::default(),
            QueueName::new("q").unwrap(),
            spec,
            Timestamp::default(),
        );
        let own = Options {
            timeout: Some(Duration::from_secs(1)),
            ..Options::default()
        };
        assert_eq!(queue.policy(&own).timeout, Duration::from_secs(1));
        assert_eq!(queue.policy(&Options::default()).timeout, Duration::from_secs(9));
        assert_eq!(queue.policy(&Options::default()).max_attempts, 5);
        let keep = Options {
            keep: Some(Duration::from_secs(60)),
            ..Options::default()
        };
        assert_eq!(queue.policy(&keep).keep_failed, Duration::from_secs(60));
    }
}
