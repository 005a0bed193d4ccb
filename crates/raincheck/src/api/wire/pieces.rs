//! JSON written piece by piece, for the documents that every job needs several of: the answer to its submit, its lease, and
//! what became of that lease. A serializer that goes through each name and each id to see whether there is something to
//! escape costs a tenth of a submit and of a claim.
//!
//! Invariant: what is written here is what the document's `Serialize` writes; tests compare them byte for byte. What a
//! caller chose is escaped like everywhere else.

use raincheck_core::id::JobId;
use raincheck_core::time::Timestamp;
use serde::Serialize;

use crate::api::ticket::Ticket;
use crate::links::Links;

/// The names of a job's URLs, and what each adds to the job's own.
const URLS: [(&str, &str); 6] = [
    (r#""self":""#, ""),
    (r#","result":""#, "/result"),
    (r#","input":""#, "/input"),
    (r#","events":""#, "/events"),
    (r#","cancel":""#, "/cancel"),
    (r#","retry":""#, "/retry"),
];

/// The end of a document that is being written.
#[derive(Debug)]
pub(super) struct Pieces<'a>(pub(super) &'a mut Vec<u8>);

impl Pieces<'_> {
    /// Appends what is JSON already, or needs no escaping where it stands: literals, ids, plain names.
    pub(super) fn raw(&mut self, text: impl AsRef<[u8]>) -> &mut Self {
        self.0.extend_from_slice(text.as_ref());
        self
    }

    /// Appends a value by its `Serialize`.
    pub(super) fn json<T: Serialize + ?Sized>(&mut self, value: &T) -> &mut Self {
        serde_json::to_writer(&mut *self.0, value).expect("a document's keys are text");
        self
    }

    /// Appends a word that needs no escaping, in quotes, or `null`.
    pub(super) fn word(&mut self, word: Option<&str>) -> &mut Self {
        match word {
            Some(word) => self.raw("\"").raw(word).raw("\""),
            None => self.raw("null"),
        }
    }

    /// Appends an instant in quotes, or `null`.
    pub(super) fn time(&mut self, time: Option<Timestamp>) -> &mut Self {
        match time {
            Some(time) => self.raw("\"").raw(time.text().as_bytes()).raw("\""),
            None => self.raw("null"),
        }
    }

    /// Appends `true` or `false`.
    pub(super) fn bool(&mut self, value: bool) -> &mut Self {
        self.raw(if value { "true" } else { "false" })
    }

    /// Appends the object of a job's URLs, with a ticket in each that it opens.
    pub(super) fn urls(&mut self, links: Links<'_>, id: JobId, ticket: Option<&Ticket>) -> &mut Self {
        let id = id.text();
        self.raw("{");
        for (name, below) in URLS {
            self.raw(name)
                .raw(links.base())
                .raw("/v1/jobs/")
                .raw(id.as_bytes())
                .raw(below);
            if let Some(ticket) = ticket.filter(|_| below != "/retry") {
                self.raw("?ticket=").raw(ticket.as_bytes());
            }
            self.raw("\"");
        }
        self.raw("}")
    }
}

#[cfg(test)]
mod tests;
