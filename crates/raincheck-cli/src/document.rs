//! Documents of the API as this program reads them.
//!
//! Invariant: a field that is unknown is ignored and one that is missing has a default, so that this client speaks
//! with servers of other versions; `--json` passes on what the server sent, not what is read here.

use std::collections::BTreeMap;

use raincheck::core::queue::ByteSize;
use raincheck::core::time::Timestamp;
use serde::Deserialize;

use crate::client::Answer;
use crate::exit::Failed;
use crate::output::{Output, Shape};
use crate::table::{Record, Table, Value};
use crate::when;

/// A job document (API.md section 3).
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct JobDocument {
    /// Its id.
    pub(crate) id: String,
    /// Its queue.
    pub(crate) queue: String,
    /// Where it stands.
    pub(crate) state: String,
    /// Whether that is final.
    pub(crate) done: bool,
    /// How it ended.
    pub(crate) outcome: Option<String>,
    /// Attempts charged so far.
    pub(crate) attempt: u32,
    max_attempts: u32,
    priority: u32,
    group: Option<String>,
    /// Its labels.
    pub(crate) tags: Vec<String>,
    /// When it was submitted.
    pub(crate) created_at: Option<Timestamp>,
    run_at: Option<Timestamp>,
    started_at: Option<Timestamp>,
    finished_at: Option<Timestamp>,
    expires_at: Option<Timestamp>,
    progress: Option<ProgressDocument>,
    /// Why it failed.
    pub(crate) error: Option<ErrorDocument>,
    attempts: Vec<AttemptDocument>,
    /// Whether its worker was told to stop.
    pub(crate) cancel_requested: bool,
    /// Its URLs by what they are.
    pub(crate) urls: BTreeMap<String, String>,
    waiting_for: Option<String>,
    position: Option<u64>,
    batch: Option<String>,
    retry_of: Option<String>,
    retried_as: Option<String>,
}

/// How far a worker says it is.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ProgressDocument {
    fraction: Option<f64>,
    message: Option<String>,
}

impl ProgressDocument {
    fn text(&self) -> String {
        let percent = self.fraction.map(|fraction| format!("{:.0} %", fraction * 100.0));
        let parts: Vec<String> = percent.into_iter().chain(self.message.clone()).collect();
        parts.join(" ")
    }
}

/// Why a job or an attempt failed.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ErrorDocument {
    code: String,
    detail: String,
}

impl ErrorDocument {
    /// From a code and what happened.
    pub(crate) fn new(code: &str, detail: &str) -> Self {
        Self {
            code: code.to_owned(),
            detail: detail.to_owned(),
        }
    }

    /// Code and detail in one text.
    pub(crate) fn text(&self) -> String {
        match self.detail.trim() {
            "" => self.code.clone(),
            detail => format!("{}: {detail}", self.code),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct AttemptDocument {
    n: u32,
    worker: String,
    started_at: Option<Timestamp>,
    ended_at: Option<Timestamp>,
    outcome: Option<String>,
    error: Option<ErrorDocument>,
}

impl JobDocument {
    /// When its attempt that runs now was claimed.
    pub(crate) fn attempt_started(&self) -> Option<Timestamp> {
        self.attempts.last().and_then(|attempt| attempt.started_at)
    }

    /// Writes the job in full.
    pub(crate) fn write(&self, output: Output, answer: &Answer) -> Result<(), Failed> {
        match output.shape {
            Shape::Json => return output.document(&answer.body),
            Shape::Quiet => return output.line(&self.id),
            Shape::Terminal | Shape::Plain => {}
        }
        let now = answer.date().filter(|_| output.shape == Shape::Terminal);
        self.record(now).write(output)?;
        if !self.attempts.is_empty() && output.shape == Shape::Terminal {
            output.line("")?;
            self.attempts(now).write(output)?;
        }
        Ok(())
    }

    /// Writes id and state, after a command that changed the job.
    pub(crate) fn write_brief(&self, output: Output, answer: &Answer) -> Result<(), Failed> {
        match output.shape {
            Shape::Json => output.document(&answer.body),
            Shape::Quiet => output.line(&self.id),
            Shape::Terminal => output.line(&format!("{}  {}", self.id, self.state)),
            Shape::Plain => output.fields(&[&self.id, &self.state]),
        }
    }

    fn record(&self, now: Option<Timestamp>) -> Record {
        let mut record = Record::default();
        record.field("id", Value::text(&self.id));
        record.field("queue", Value::text(&self.queue));
        record.field("state", Value::state(&self.state));
        let mut text = |name, text: Option<&str>| {
            if let Some(text) = text.filter(|text| !text.is_empty()) {
                record.field(name, Value::text(text));
            }
        };
        text("waiting_for", self.waiting_for.as_deref());
        text("position", self.position.map(|n| n.to_string()).as_deref());
        text("cancel", self.cancel_requested.then_some("requested"));
        text(
            "attempt",
            Some(&format!("{} of {}", self.attempt, self.max_attempts)),
        );
        text("priority", Some(&self.priority.to_string()));
        text("group", self.group.as_deref());
        text(
            "progress",
            self.progress.as_ref().map(ProgressDocument::text).as_deref(),
        );
        text("tags", Some(&self.tags.join(",")));
        text("error", self.error.as_ref().map(ErrorDocument::text).as_deref());
        for (name, time) in [
            ("created", self.created_at),
            ("run_at", self.run_at),
            ("started", self.started_at),
            ("finished", self.finished_at),
            ("expires", self.expires_at),
        ] {
            text(name, time.map(|time| instant(time, now)).as_deref());
        }
        text("batch", self.batch.as_deref());
        text("retry_of", self.retry_of.as_deref());
        text("retried_as", self.retried_as.as_deref());
        record
    }

    fn attempts(&self, now: Option<Timestamp>) -> Table {
        let mut table = Table::new(&["ATTEMPT", "OUTCOME", "STARTED", "TOOK", "WORKER", "ERROR"]);
        for attempt in &self.attempts {
            let took = attempt.ended_at.zip(attempt.started_at);
            table.row(vec![
                Value::text(&attempt.n.to_string()),
                Value::state(attempt.outcome.as_deref().unwrap_or("running")),
                Value::text(&attempt.started_at.map(|t| instant(t, now)).unwrap_or_default()),
                Value::text(
                    &took
                        .map(|(end, start)| when::span(end.since(start)))
                        .unwrap_or_default(),
                ),
                Value::text(&attempt.worker),
                Value::text(
                    &attempt
                        .error
                        .as_ref()
                        .map(ErrorDocument::text)
                        .unwrap_or_default(),
                ),
            ]);
        }
        table
    }
}

/// An instant as RFC 3339, or from `now` where there is one.
pub(crate) fn instant(time: Timestamp, now: Option<Timestamp>) -> String {
    now.map_or_else(|| time.to_string(), |now| when::relative(time, now))
}

/// A queue document, as far as it is used here (its settings are read as they are).
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct QueueDocument {
    /// Its name.
    pub(crate) name: String,
    /// How it is worked, as written.
    pub(crate) worker: serde_json::Value,
    /// Since when it is paused.
    pub(crate) paused: Option<Timestamp>,
    /// Whether the server's flags define it.
    pub(crate) managed: bool,
    /// The content type of results, where it is set.
    pub(crate) result_type: Option<String>,
    /// The largest result.
    pub(crate) result_max: Option<ByteSize>,
    /// What is in it.
    pub(crate) counts: CountsDocument,
}

/// How many jobs of a queue stand where.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct CountsDocument {
    /// Wait for their time.
    pub(crate) scheduled: u64,
    /// Wait for a worker.
    pub(crate) queued: u64,
    /// In a worker's hands.
    pub(crate) running: u64,
    /// Finished.
    pub(crate) succeeded: u64,
    /// Finished.
    pub(crate) failed: u64,
    /// Finished.
    pub(crate) cancelled: u64,
    /// Finished.
    pub(crate) expired: u64,
}

impl CountsDocument {
    /// Jobs that wait.
    pub(crate) const fn waiting(self) -> u64 {
        self.scheduled + self.queued
    }

    /// Jobs that are not finished.
    pub(crate) const fn unfinished(self) -> u64 {
        self.waiting() + self.running
    }
}

impl QueueDocument {
    /// Whether workers claim its jobs over HTTP.
    pub(crate) fn is_pulled(&self) -> bool {
        self.worker_kind() == "pull" || self.worker["keep_alive"] == true
    }

    /// The kind of worker: `pull`, `push` or `process`.
    pub(crate) fn worker_kind(&self) -> &str {
        match (&self.worker.as_object(), self.worker.as_str()) {
            (Some(object), _) => {
                let kind = object.keys().find(|name| *name != "keep_alive");
                kind.map_or("pull", String::as_str)
            }
            (None, Some(kind)) => kind,
            (None, None) => "pull",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_of_another_version_is_read_as_far_as_it_goes() {
        let job: JobDocument =
            serde_json::from_str(r#"{"id":"job_1","state":"queued","done":false,"news":1,"outcome":null}"#)
                .unwrap();
        assert_eq!((job.id.as_str(), job.done, job.outcome), ("job_1", false, None));
    }

    #[test]
    fn progress_is_told_as_far_as_it_is_known() {
        let text = |json: &str| serde_json::from_str::<ProgressDocument>(json).unwrap().text();
        assert_eq!(text(r#"{"fraction":0.4,"message":"page 4"}"#), "40 % page 4");
        assert_eq!(text(r#"{"fraction":null,"message":"page 4"}"#), "page 4");
        assert_eq!(text("{}"), "");
    }

    #[test]
    fn the_kind_of_a_worker_is_read_from_every_form() {
        let kind = |json: &str| {
            let queue: QueueDocument = serde_json::from_str(json).unwrap();
            queue.worker_kind().to_owned()
        };
        assert_eq!(kind(r#"{"worker":{"push":["http://a"]}}"#), "push");
        assert_eq!(kind(r#"{"worker":"pull"}"#), "pull");
        assert_eq!(kind("{}"), "pull");
    }
}
