//! The document of a batch as this program reads it.
//!
//! Invariant: a field that is unknown is ignored and one that is missing has a default.

use raincheck::core::time::Timestamp;
use serde::Deserialize;

use crate::client::Answer;
use crate::document::{CountsDocument, instant};
use crate::exit::Failed;
use crate::output::{Output, Shape};
use crate::table::{Record, Value};

/// How many rejected lines are told one by one.
const REJECTED_TOLD: usize = 10;

/// A batch (API.md section 8).
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct BatchDocument {
    pub(super) id: String,
    sealed: bool,
    pub(super) done: bool,
    cancel_requested: bool,
    pub(super) total: u64,
    pub(super) rejected: u64,
    rejected_lines: Vec<RejectedLine>,
    pub(super) counts: CountsDocument,
    pub(super) progress: f64,
    created_at: Option<Timestamp>,
    open_until: Option<Timestamp>,
    finished_at: Option<Timestamp>,
    expires_at: Option<Timestamp>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RejectedLine {
    index: u64,
    code: String,
    detail: String,
}

impl BatchDocument {
    /// How it stands, in a word.
    pub(super) fn state(&self) -> &'static str {
        match (self.done, self.cancel_requested, self.sealed) {
            (true, true, _) => "cancelled",
            (true, false, _) => "done",
            (false, true, _) => "cancelling",
            (false, false, true) => "running",
            (false, false, false) => "open",
        }
    }

    /// How many of its jobs have ended.
    pub(super) const fn ended(&self) -> u64 {
        let counts = &self.counts;
        counts.succeeded + counts.failed + counts.cancelled + counts.expired
    }

    /// Whether all that was asked for was done.
    pub(super) const fn all_well(&self) -> bool {
        self.rejected == 0 && self.counts.succeeded == self.total
    }

    /// Where its jobs stand, in a few words.
    pub(super) fn summary(&self) -> String {
        let counts = &self.counts;
        let parts = [
            (counts.waiting(), "waiting"),
            (counts.running, "running"),
            (counts.succeeded, "succeeded"),
            (counts.failed, "failed"),
            (counts.cancelled, "cancelled"),
            (counts.expired, "expired"),
            (self.rejected, "rejected"),
        ];
        let told = parts.iter().filter(|(count, _)| *count > 0);
        let told: Vec<_> = told.map(|(count, what)| format!("{count} {what}")).collect();
        match told.is_empty() {
            true => "no jobs".to_owned(),
            false => told.join(", "),
        }
    }

    /// Writes the batch in full.
    pub(super) fn write(&self, output: Output, answer: &Answer) -> Result<(), Failed> {
        match output.shape {
            Shape::Json => return output.document(&answer.body),
            Shape::Quiet => return output.line(&self.id),
            Shape::Terminal | Shape::Plain => {}
        }
        let now = answer.date().filter(|_| output.shape == Shape::Terminal);
        let counts = &self.counts;
        let mut record = Record::default();
        record.field("id", Value::text(&self.id));
        record.field("state", Value::state(self.state()));
        record.field(
            "progress",
            Value::text(&format!("{:.0} %", self.progress * 100.0)),
        );
        for (name, count) in [
            ("total", self.total),
            ("rejected", self.rejected),
            ("scheduled", counts.scheduled),
            ("queued", counts.queued),
            ("running", counts.running),
            ("succeeded", counts.succeeded),
            ("failed", counts.failed),
            ("cancelled", counts.cancelled),
            ("expired", counts.expired),
        ] {
            record.field(name, Value::text(&count.to_string()));
        }
        for (name, time) in [
            ("created", self.created_at),
            ("open_until", self.open_until),
            ("finished", self.finished_at),
            ("expires", self.expires_at),
        ] {
            if let Some(time) = time {
                record.field(name, Value::text(&instant(time, now)));
            }
        }
        record.write(output)?;
        self.note_rejected(output);
        Ok(())
    }

    /// Writes id, state and counts in one line.
    pub(super) fn write_brief(&self, output: Output, answer: &Answer) -> Result<(), Failed> {
        match output.shape {
            Shape::Json => output.document(&answer.body),
            Shape::Quiet => output.line(&self.id),
            Shape::Terminal => output.line(&format!("{}  {}: {}", self.id, self.state(), self.summary())),
            Shape::Plain => output.fields(&[
                &self.id,
                self.state(),
                &self.total.to_string(),
                &self.rejected.to_string(),
                &self.ended().to_string(),
            ]),
        }
    }

    /// Tells people of the first rejected lines.
    pub(super) fn note_rejected(&self, output: Output) {
        for line in self.rejected_lines.iter().take(REJECTED_TOLD) {
            let (index, code) = (line.index, &line.code);
            output.note(&crate::output::visible(&format!(
                "line {index} was rejected ({code}): {}",
                line.detail
            )));
        }
        let told = self.rejected_lines.len().min(REJECTED_TOLD) as u64;
        if self.rejected > told {
            output.note(&format!("and {} more were rejected", self.rejected - told));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_told_in_a_few_words() {
        let batch: BatchDocument = serde_json::from_str(
            r#"{"id":"batch_1","sealed":true,"total":7,"rejected":1,"counts":{"queued":2,"scheduled":1,"succeeded":3},"news":1}"#,
        )
        .unwrap();
        assert_eq!(batch.summary(), "3 waiting, 3 succeeded, 1 rejected");
        assert_eq!(
            (batch.state(), batch.ended(), batch.all_well()),
            ("running", 3, false)
        );
        assert_eq!(BatchDocument::default().summary(), "no jobs");
    }
}
