//! The short document that answers a submit.
//!
//! Invariant: it says what the job's own document says, field by field; a test compares them.

use raincheck_core::id::JobId;
use raincheck_core::job::State;
use raincheck_core::name::QueueName;
use raincheck_core::time::Timestamp;

use super::pieces::Pieces;
use crate::api::ticket::Ticket;
use crate::links::Links;

/// A job that was just accepted: the start of its document.
#[derive(Debug)]
pub(crate) struct AcceptedDocument<'a> {
    links: Links<'a>,
    id: JobId,
    queue: &'a QueueName,
    run_at: Timestamp,
    ticket: Option<Ticket>,
}

impl<'a> AcceptedDocument<'a> {
    /// The document of a job that is about to be accepted.
    pub(crate) const fn of(links: Links<'a>, id: JobId, queue: &'a QueueName, run_at: Timestamp) -> Self {
        Self {
            links,
            id,
            queue,
            run_at,
            ticket: None,
        }
    }

    /// With the ticket in its URLs.
    pub(crate) const fn with(mut self, ticket: Option<Ticket>) -> Self {
        self.ticket = ticket;
        self
    }

    /// The document as JSON.
    pub(crate) fn render(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(768);
        self.write(&mut out);
        out
    }

    /// Appends the document as JSON.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let created_at = self.id.created_at();
        let later = self.run_at > created_at;
        let state = if later { State::Scheduled } else { State::Queued };
        let mut pieces = Pieces(out);
        pieces.raw(r#"{"id":""#).raw(self.id.text().as_bytes());
        pieces.raw(r#"","queue":""#).raw(self.queue.as_str());
        pieces.raw(r#"","state":""#).raw(state.as_str());
        pieces.raw(r#"","done":false,"outcome":null,"version":1,"attempt":0,"created_at":"#);
        pieces.time(Some(created_at)).raw(r#","run_at":"#);
        pieces.time(Some(if later { self.run_at } else { created_at }));
        pieces
            .raw(r#","urls":"#)
            .urls(self.links, self.id, self.ticket.as_ref())
            .raw("}");
    }
}

#[cfg(test)]
mod tests {
    use raincheck_core::decide::{self, NewJob};
    use raincheck_core::id::IdGenerator;
    use raincheck_core::job::JobOptions;
    use raincheck_core::name::Namespace;
    use serde_json::Value;
    use std::time::Duration;

    use super::*;
    use crate::api::wire::job::JobDocument;

    /// What the answer to a submit says, and what GET says of the same job.
    fn both(delay: Option<Duration>) -> (Value, Value) {
        let new = NewJob {
            id: IdGenerator::after(0).next(Timestamp::from_millis(1_795_000_000_123), 7),
            namespace: Namespace::default(),
            queue: QueueName::new("a.b_c-9").unwrap(),
            group: None,
            priority: 5,
            run_at: None,
            delay,
            options: JobOptions::default(),
            retry_of: None,
            member: None,
        };
        let job = decide::submit(&new);
        let short = AcceptedDocument::of(Links::default(), new.id, &new.queue, new.starts_at()).render();
        let long = JobDocument::of(Links::default(), &job, None, job.created_at);
        (
            serde_json::from_slice(&short).unwrap(),
            serde_json::to_value(long).unwrap(),
        )
    }

    #[test]
    fn the_answer_to_a_submit_says_what_the_jobs_document_says() {
        for delay in [None, Some(Duration::from_secs(60))] {
            let (short, long) = both(delay);
            let short = short.as_object().unwrap();
            for (name, value) in short {
                assert_eq!(value, &long[name], "{name}");
            }
            assert_eq!(short.len(), 10);
        }
    }
}
