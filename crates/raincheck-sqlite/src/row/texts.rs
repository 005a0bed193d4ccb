//! A job's lease and history as the texts of their columns, written piece by piece: each job needs both once, and a serializer
//! that looks at every name for something to escape costs a tenth of all that the writing thread does for it.
//!
//! Invariant: what is written here is what [`LeaseRow`] and [`History`] write; tests compare them byte for byte.

use raincheck_core::job::{Attempt, Job, JobOptions, Since};
use raincheck_core::lease::Lease;
use raincheck_core::time::Timestamp;
use serde::Serialize;

use super::shape::{AttemptRow, History, LeaseRow, Said, digits_of, is_first, is_success};

/// A text that grows at its end.
struct Pieces<'a>(&'a mut String);

impl Pieces<'_> {
    /// Appends what is JSON already.
    fn raw(&mut self, text: &str) -> &mut Self {
        self.0.push_str(text);
        self
    }

    fn number(&mut self, number: impl itoa::Integer) -> &mut Self {
        self.raw(itoa::Buffer::new().format(number))
    }

    /// Appends a number behind its name, where there is one.
    fn number_of(&mut self, name: &str, number: Option<i64>) -> &mut Self {
        match number {
            Some(number) => self.raw(name).number(number),
            None => self,
        }
    }

    /// Appends a text in quotes, escaped where it has to be.
    fn text(&mut self, text: &str) -> rusqlite::Result<&mut Self> {
        let plain = |byte: u8| byte >= b' ' && byte != b'"' && byte != b'\\';
        if text.bytes().all(plain) {
            return Ok(self.raw("\"").raw(text).raw("\""));
        }
        self.json(&text)
    }

    /// Appends a value by its `Serialize`.
    fn json<T: Serialize>(&mut self, value: &T) -> rusqlite::Result<&mut Self> {
        let text = super::json(value)?;
        Ok(self.raw(&text))
    }
}

/// Writes a job's lease to `text`, whatever that was before; the job was first claimed then.
pub(super) fn lease(text: &mut String, lease: &Lease, started_at: Option<Timestamp>) -> rusqlite::Result<()> {
    text.clear();
    if lease.cancel_by.is_some() || lease.claim_id.is_some() || lease.progress.is_some() {
        Pieces(text).json(&LeaseRow::new(lease, started_at))?;
        return Ok(());
    }
    let nonce = digits_of(&lease.nonce);
    let (started, term, expires, deadline) = LeaseRow::numbers(lease, started_at);
    Pieces(text)
        .raw("{\"nonce\":\"")
        .raw(std::str::from_utf8(&nonce).unwrap_or_default())
        .raw("\",\"worker\":")
        .text(lease.worker.as_str())?
        .raw(",\"kind\":\"")
        .raw(lease.kind.as_str())
        .raw("\"")
        .number_of(",\"started\":", started)
        .raw(",\"term\":")
        .number(term)
        .number_of(",\"expires\":", expires)
        .raw(",\"deadline\":")
        .number(deadline)
        .raw("}");
    Ok(())
}

/// Writes a job's history to `text`, whatever that was before; empty where there is none.
pub(super) fn history(text: &mut String, job: &Job) -> rusqlite::Result<()> {
    text.clear();
    let created = job.created_at != job.id.created_at();
    let links = job.retry_of.is_some() || job.retried_as.is_some();
    if job.error.is_some() || created || links || job.since != Since::default() {
        Pieces(text).json(&History::new(job))?;
        return Ok(());
    }
    if job.attempts.is_empty() {
        return Ok(());
    }
    let (mut pieces, said) = (Pieces(text), Said::of(job));
    let mut before = "{\"attempts\":[";
    for attempt in &job.attempts {
        pieces.raw(before);
        one_attempt(&mut pieces, attempt, said)?;
        before = ",";
    }
    pieces.raw("]}");
    Ok(())
}

fn one_attempt(pieces: &mut Pieces<'_>, attempt: &Attempt, said: Said) -> rusqlite::Result<()> {
    if attempt.error.is_some() {
        pieces.json(&AttemptRow::new(attempt, said))?;
        return Ok(());
    }
    pieces.raw("{");
    if !is_first(&attempt.n) {
        pieces.raw("\"n\":").number(attempt.n).raw(",");
    }
    let (started, ended) = AttemptRow::times(attempt, said);
    pieces
        .raw("\"worker\":")
        .text(attempt.worker.as_str())?
        .number_of(",\"started\":", started)
        .number_of(",\"ended\":", ended);
    if !is_success(&attempt.outcome) {
        pieces
            .raw(",\"outcome\":\"")
            .raw(attempt.outcome.as_str())
            .raw("\"");
    }
    pieces.raw("}");
    Ok(())
}

/// The options that were written last, and their text: the next job mostly asks the same.
#[derive(Default)]
pub(super) struct OptionsText(JobOptions, String);

impl OptionsText {
    pub(super) fn of(&mut self, options: &JobOptions) -> rusqlite::Result<Option<&str>> {
        if options.is_empty() {
            return Ok(None);
        }
        if self.0 != *options {
            self.1 = super::json(&**options)?;
            self.0 = options.clone();
        }
        Ok(Some(&self.1))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use raincheck_core::id::{JobId, Nonce};
    use raincheck_core::job::{AttemptOutcome, Failure, Outcome, Phase};
    use raincheck_core::lease::{Progress, WorkerKind};
    use raincheck_core::name::WorkerName;

    use super::*;

    fn worker(name: &str) -> WorkerName {
        WorkerName::new(name).unwrap()
    }

    fn plain() -> Lease {
        Lease {
            nonce: Nonce([0, 1, 2, 3, 4, 5, 6, 7, 8, 0xa0, 0xbc, 0xff]),
            worker: worker("node-1/4"),
            kind: WorkerKind::Function,
            started_at: Timestamp::from_millis(1_790_000_000_123),
            term: Duration::from_secs(30),
            expires_at: Timestamp::from_millis(1_790_000_030_123),
            attempt_deadline: Timestamp::MAX,
            cancel_by: None,
            progress: None,
            claim_id: None,
        }
    }

    #[test]
    fn a_lease_is_written_as_its_row_is() {
        let mut leases = vec![plain()];
        for kind in [
            WorkerKind::Push,
            WorkerKind::Pull,
            WorkerKind::Process,
            WorkerKind::Fetch,
            WorkerKind::Deferred,
        ] {
            leases.push(Lease { kind, ..plain() });
        }
        for name in ["say \"hi\"", "C:\\work", "\u{fc}ber\u{2028}all", "\u{7f}a"] {
            if let Ok(worker) = WorkerName::new(name) {
                leases.push(Lease { worker, ..plain() });
            }
        }
        leases.push(Lease {
            started_at: Timestamp::from_millis(-5),
            term: Duration::MAX,
            ..plain()
        });
        leases.push(Lease {
            cancel_by: Some(Timestamp::from_millis(7)),
            ..plain()
        });
        leases.push(Lease {
            claim_id: Some("a \"claim\"".to_owned()),
            ..plain()
        });
        leases.push(Lease {
            progress: Some(Progress {
                fraction: Some(0.5),
                message: None,
            }),
            ..plain()
        });
        let mut text = "what was there before".to_owned();
        for one in &leases {
            for first in [None, Some(one.started_at), Some(Timestamp::from_millis(7))] {
                lease(&mut text, one, first).unwrap();
                assert_eq!(text, super::super::json(&LeaseRow::new(one, first)).unwrap());
                let read: LeaseRow = serde_json::from_str(&text).unwrap();
                let term = Duration::from_millis(u64::try_from(one.term.as_millis()).unwrap_or(u64::MAX));
                assert_eq!(read.read(first), Some(Lease { term, ..one.clone() }));
            }
        }
        assert!(leases.len() >= 12, "{}", leases.len());
    }

    fn attempts() -> Vec<Attempt> {
        let attempt = |n, outcome, error| Attempt {
            n,
            worker: worker(if n == 2 { "a \"b\" \\ c" } else { "node-1/4" }),
            started_at: Timestamp::from_millis(1_790_000_000_123),
            ended_at: Timestamp::from_millis(1_790_000_000_456),
            outcome,
            error,
        };
        vec![
            attempt(1, AttemptOutcome::Succeeded, None),
            attempt(2, AttemptOutcome::Failed, Some(Failure::new("exit", "1\n"))),
            attempt(2, AttemptOutcome::TimedOut, None),
            attempt(3, AttemptOutcome::Cancelled, None),
            attempt(4, AttemptOutcome::Released, None),
            attempt(5, AttemptOutcome::Interrupted, None),
            attempt(6, AttemptOutcome::LeaseLost, None),
        ]
    }

    #[test]
    fn a_history_is_written_as_its_row_is() {
        let mut job = crate::fuzz::job(1);
        job.created_at = job.id.created_at();
        let mut text = "what was there before".to_owned();
        history(&mut text, &job).unwrap();
        assert_eq!(text, "", "none");
        let mut check = |job: &Job| {
            history(&mut text, job).unwrap();
            assert_eq!(text, super::super::json(&History::new(job)).unwrap());
            let read: History = serde_json::from_str(&text).unwrap();
            let read = read.attempts.into_iter().map(|one| one.read(Said::of(job)));
            assert_eq!(read.collect::<Option<Vec<_>>>().as_ref(), Some(&job.attempts));
        };
        for few in 1..=attempts().len() {
            job.attempts = attempts()[..few].to_vec();
            check(&job);
        }
        job.started_at = Some(Timestamp::from_millis(1_790_000_000_123));
        job.phase = Phase::Done {
            outcome: Outcome::Succeeded,
            finished_at: Timestamp::from_millis(1_790_000_000_456),
            expires_at: Timestamp::from_millis(1_790_000_999_999),
        };
        for few in 1..=attempts().len() {
            job.attempts = attempts()[..few].to_vec();
            check(&job);
        }
        let all: [fn(&mut Job); 5] = [
            |job| job.error = Some(Failure::new("exit", "1")),
            |job| job.retry_of = Some(JobId::from_parts(1, 2)),
            |job| job.retried_as = Some(JobId::from_parts(3, 4)),
            |job| job.created_at = Timestamp::from_millis(5),
            |job| job.since.due = Some(Timestamp::from_millis(6)),
        ];
        for change in all {
            let mut changed = job.clone();
            change(&mut changed);
            check(&changed);
            changed.attempts.clear();
            check(&changed);
        }
        job.attempts = attempts()[..1].to_vec();
        history(&mut text, &job).unwrap();
        assert_eq!(text, "{\"attempts\":[{\"worker\":\"node-1/4\"}]}");
    }
}
