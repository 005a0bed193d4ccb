//! The terms of a batch of fetches: how many at once, how fast, how patiently. Options of the API and flags of the command line.
//!
//! Invariant: batches with the same limits share a queue, and with it the limits; those with others have another one.

use std::time::Duration;

use raincheck_core::batch::BatchId;
use raincheck_core::decide::{NewJob, REDIRECTS_MAX};
use raincheck_core::group::GroupSpec;
use raincheck_core::id::JobId;
use raincheck_core::job::{Options, PRIORITY_DEFAULT};
use raincheck_core::limit::Rate;
use raincheck_core::name::{Namespace, QueueName};
use raincheck_core::queue::{FETCHES_DEFAULT, PER_HOST_DEFAULT, QueueSpec, SPAN_MAX};
use raincheck_core::retry::{Backoff, MAX_ATTEMPTS_LIMIT};
use raincheck_core::size::ByteSize;
use raincheck_core::store::Submission;
use raincheck_core::time::{format_duration, parse_duration};
use raincheck_core::worker::Worker;

use super::wanted::Checked;

/// The queue of batches that ask for no limits of their own, and what the names of the others begin with.
const QUEUE: &str = "fetch";
/// The most that a queue or a host may have at once.
const AT_ONCE_MAX: u32 = 100_000;
/// Nothing begins ahead where fewer are asked at once.
const AHEAD_FROM: u32 = 16;
/// No more begin ahead, nor more than three times as many as are asked at once: then three commits' worth waits for its turn while one is synced.
const AHEAD_MAX: u32 = 192;
/// One attempt's time unless said otherwise.
const TIMEOUT: Duration = Duration::from_secs(60);

/// See the module. What is absent has its default.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Terms {
    /// A queue whose worker is `fetch`: its limits are taken.
    pub queue: Option<QueueName>,
    /// So many requests at once: 100.
    pub concurrency: Option<u32>,
    /// So many of them at one host: 4.
    pub per_host: Option<u32>,
    /// So many URLs begin in so much time: no bound.
    pub rate: Option<Rate>,
    /// How often each is attempted: 5.
    pub max_attempts: Option<u32>,
    /// How long between attempts.
    pub backoff: Option<Backoff>,
    /// One attempt's time, redirects and all: 1 minute.
    pub timeout: Option<Duration>,
    /// The time for all attempts of one URL: no bound.
    pub deadline: Option<Duration>,
    /// How many redirects are followed: 10.
    pub follow: Option<u32>,
    /// The largest body: 16 MiB, and no more than that.
    pub max_body: Option<ByteSize>,
    /// An earlier batch, whose answers are kept where they still hold.
    pub since: Option<BatchId>,
    /// How long the batch stays when it is done.
    pub keep: Option<Duration>,
    /// Who is told when it is done.
    pub callback: Option<String>,
}

/// Why a term cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ParseTermError(String);

fn said(error: impl std::fmt::Display) -> ParseTermError {
    ParseTermError(error.to_string())
}

fn whole(text: &str, least: u32, most: u32) -> Result<u32, ParseTermError> {
    let value = text.parse().ok().filter(|n| (least..=most).contains(n));
    value.ok_or_else(|| said(format!("takes a whole number, {least} to {most}")))
}

fn span(text: &str) -> Result<Duration, ParseTermError> {
    let span = parse_duration(text).map_err(said)?;
    if span < Duration::from_millis(1) || span > SPAN_MAX {
        return Err(said("takes 1ms to 366d"));
    }
    Ok(span)
}

fn once<T>(slot: &mut Option<T>, value: T) -> Result<(), ParseTermError> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(said("given twice")),
    }
}

impl Terms {
    /// Their names, as fields and query parameters.
    pub const NAMES: [&str; 13] = [
        "backoff",
        "callback",
        "concurrency",
        "deadline",
        "follow",
        "keep",
        "max_attempts",
        "max_body",
        "per_host",
        "queue",
        "rate",
        "since",
        "timeout",
    ];

    /// Takes one term by its name. `false` where there is none of this name.
    ///
    /// # Errors
    /// Why its value cannot be, or that it was given before.
    pub fn take(&mut self, name: &str, text: &str) -> Result<bool, ParseTermError> {
        match name {
            "queue" => once(&mut self.queue, text.parse().map_err(said)?)?,
            "concurrency" => once(&mut self.concurrency, whole(text, 1, AT_ONCE_MAX)?)?,
            "per_host" => once(&mut self.per_host, whole(text, 1, AT_ONCE_MAX)?)?,
            "rate" => once(&mut self.rate, text.parse().map_err(said)?)?,
            "max_attempts" => once(&mut self.max_attempts, whole(text, 1, MAX_ATTEMPTS_LIMIT)?)?,
            "backoff" => once(&mut self.backoff, text.parse().map_err(said)?)?,
            "timeout" => once(&mut self.timeout, span(text)?)?,
            "deadline" => once(&mut self.deadline, span(text)?)?,
            "follow" => once(&mut self.follow, whole(text, 0, REDIRECTS_MAX)?)?,
            "max_body" => once(&mut self.max_body, text.parse().map_err(said)?)?,
            "since" => once(&mut self.since, text.parse().map_err(said)?)?,
            "keep" => once(&mut self.keep, span(text)?)?,
            "callback" => once(&mut self.callback, text.to_owned())?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// What was said, by its names: [`Terms::take`] takes it back.
    #[must_use]
    pub fn said(&self) -> Vec<(String, String)> {
        let text = |value: &Option<Duration>| value.map(format_duration);
        let number = |value: Option<u32>| value.map(|value| value.to_string());
        let said = [
            ("queue", self.queue.as_ref().map(ToString::to_string)),
            ("concurrency", number(self.concurrency)),
            ("per_host", number(self.per_host)),
            ("rate", self.rate.map(|rate| rate.to_string())),
            ("max_attempts", number(self.max_attempts)),
            ("backoff", self.backoff.map(|backoff| backoff.to_string())),
            ("timeout", text(&self.timeout)),
            ("deadline", text(&self.deadline)),
            ("follow", number(self.follow)),
            ("max_body", self.max_body.map(|size| size.to_string())),
            ("since", self.since.map(|batch| batch.to_string())),
            ("keep", text(&self.keep)),
            ("callback", self.callback.clone()),
        ];
        let said = said
            .into_iter()
            .filter_map(|(name, text)| Some((name.to_owned(), text?)));
        said.collect()
    }

    /// Whether limits are asked for, which a queue that is named has already.
    #[must_use]
    pub const fn limited(&self) -> bool {
        self.concurrency.is_some() || self.per_host.is_some() || self.rate.is_some()
    }

    /// The queue that its jobs wait in.
    #[must_use]
    pub fn queue(&self) -> QueueName {
        if let Some(queue) = &self.queue {
            return queue.clone();
        }
        let mut name = QUEUE.to_owned();
        if self.limited() {
            let (all, host) = (self.at_once(), self.per_host.unwrap_or(PER_HOST_DEFAULT));
            name.push_str(&format!("-{all}-{host}"));
            if let Some(rate) = self.rate {
                name.push_str(&format!("-{}", rate.to_string().replace('/', ".")));
            }
        }
        QueueName::new(&name).expect("words and numbers are a queue's name")
    }

    /// Whether a queue of this name was made for the limits of batches.
    #[must_use]
    pub fn made(queue: &QueueName) -> bool {
        let rest = queue.as_str().strip_prefix(QUEUE);
        rest.is_some_and(|rest| rest.starts_with('-'))
    }

    /// So many are asked at once.
    #[must_use]
    pub fn at_once(&self) -> u32 {
        self.concurrency.unwrap_or(FETCHES_DEFAULT)
    }

    /// So many may begin beyond those that are asked at once, and wait for their turn here: then those that ask need not wait for the
    /// commit that ends others and brings what follows. None where they must not begin before they ask, or are so few that
    /// what is written together with them is little.
    #[must_use]
    pub fn ahead(&self) -> u32 {
        match self.at_once() {
            0..AHEAD_FROM => 0,
            // What begins is charged to the rate, and a crash to what has begun.
            _ if self.rate.is_some() || self.max_attempts == Some(1) => 0,
            most => (3 * most).min(AHEAD_MAX).min(AT_ONCE_MAX.saturating_sub(most)),
        }
    }

    /// The settings of that queue, where none is named, and so many may begin ahead of their turn. A host that may have all that are asked
    /// at once is not to hold those back; of one that may have fewer no more begin than that.
    #[must_use]
    pub fn settings(&self, ahead: u32) -> QueueSpec {
        let (all, host) = (self.at_once(), self.per_host.unwrap_or(PER_HOST_DEFAULT));
        QueueSpec {
            worker: Some(Worker::Fetch),
            concurrency: Some(all + ahead),
            rate: self.rate,
            group_defaults: Some(GroupSpec {
                concurrency: Some(if ahead == 0 || host < all {
                    host
                } else {
                    all + ahead
                }),
                ..GroupSpec::default()
            }),
            ..QueueSpec::default()
        }
    }

    /// The job that fetches this.
    #[must_use]
    pub fn job(
        &self,
        id: JobId,
        namespace: &Namespace,
        queue: &QueueName,
        mut checked: Checked,
    ) -> Submission {
        let wanted = &mut checked.wanted;
        wanted.follow = wanted.follow.or(self.follow);
        wanted.max_body = wanted.max_body.or(self.max_body);
        let input = checked.input();
        Submission {
            job: NewJob {
                id,
                namespace: namespace.clone(),
                queue: queue.clone(),
                group: Some(checked.host),
                priority: PRIORITY_DEFAULT,
                run_at: None,
                delay: None,
                options: Options {
                    timeout: Some(self.timeout.unwrap_or(TIMEOUT)),
                    deadline: self.deadline,
                    max_attempts: self.max_attempts,
                    backoff: self.backoff,
                    ..Options::default()
                }
                .into(),
                retry_of: None,
                member: None,
            },
            input,
            idempotency: None,
            create_queue: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(said: &[(&str, &str)]) -> Terms {
        let mut terms = Terms::default();
        for (name, text) in said {
            assert_eq!(terms.take(name, text), Ok(true), "{name}");
        }
        terms
    }

    #[test]
    fn batches_with_the_same_limits_share_a_queue() {
        for (said, queue) in [
            (&[][..], "fetch"),
            (&[("max_attempts", "2"), ("timeout", "5s")], "fetch"),
            (&[("concurrency", "20")], "fetch-20-4"),
            (&[("per_host", "2"), ("rate", "50/s")], "fetch-100-2-50.s"),
            (&[("queue", "pages")], "pages"),
        ] {
            assert_eq!(terms(said).queue().as_str(), queue);
        }
        assert!(Terms::made(&"fetch-20-4".parse().unwrap()));
        assert!(!Terms::made(&"fetch".parse().unwrap()));
        assert_eq!(
            terms(&[("rate", "5/m"), ("per_host", "1")]).settings(0).check(),
            Ok(())
        );
    }

    #[test]
    fn what_begins_ahead_is_bounded_and_never_more_than_a_host_may_have() {
        for (said, ahead, all, host) in [
            (&[][..], 192, 292, 4),
            (&[("concurrency", "64"), ("per_host", "64")], 192, 256, 256),
            (&[("concurrency", "20"), ("per_host", "30")], 60, 80, 80),
            (&[("concurrency", "15"), ("per_host", "15")], 0, 15, 15),
            (&[("rate", "5/s")], 0, 100, 4),
            (&[("max_attempts", "1")], 0, 100, 4),
            (
                &[("concurrency", "99990"), ("per_host", "100000")],
                10,
                100_000,
                100_000,
            ),
        ] {
            let terms = terms(said);
            let spec = terms.settings(terms.ahead());
            assert_eq!((terms.ahead(), spec.concurrency), (ahead, Some(all)), "{said:?}");
            assert_eq!(spec.group_defaults.unwrap().concurrency, Some(host), "{said:?}");
            assert_eq!(spec.check(), Ok(()));
            let spec = terms.settings(0);
            assert_eq!(spec.concurrency, Some(terms.at_once()), "{said:?}");
        }
    }

    #[test]
    fn what_was_said_is_taken_back() {
        let all = [
            ("queue", "q"),
            ("concurrency", "9"),
            ("per_host", "2"),
            ("rate", "50/s"),
            ("max_attempts", "3"),
            ("backoff", "constant;base=30s"),
            ("timeout", "1m30s"),
            ("deadline", "1h"),
            ("follow", "0"),
            ("max_body", "1MiB"),
            ("since", "batch_01h455vb4pex5vsknk084sn02q"),
            ("keep", "7d"),
            ("callback", "https://a/"),
        ];
        assert_eq!(all.len(), Terms::NAMES.len());
        let said = terms(&all).said();
        let said: Vec<_> = said
            .iter()
            .map(|(name, text)| (name.as_str(), text.as_str()))
            .collect();
        assert_eq!(said, all);
    }

    #[test]
    fn every_term_is_taken_once_and_within_its_bounds() {
        for name in Terms::NAMES {
            assert!(!matches!(Terms::default().take(name, "0x"), Ok(false)), "{name}");
        }
        assert_eq!(Terms::default().take("group", "x"), Ok(false));
        for (name, text) in [
            ("concurrency", "0"),
            ("per_host", "x"),
            ("rate", "5"),
            ("max_attempts", "101"),
            ("follow", "21"),
            ("timeout", "0s"),
            ("since", "job_x"),
        ] {
            assert!(Terms::default().take(name, text).is_err(), "{name}={text}");
        }
        assert!(terms(&[("follow", "1")]).take("follow", "1").is_err());
    }
}
