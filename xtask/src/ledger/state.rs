//! What the ledger remembers of each submission, each job and each unanswered call.

use std::sync::Arc;

use super::history::{Doc, JobId, Marker, Request, Shown, Submit};

/// One submission, all its repetitions, and the jobs that it and its retries by hand made.
#[derive(Clone, Debug)]
pub(super) struct Family {
    /// What was meant.
    pub(super) submit: Submit,
    /// Calls without an answer yet.
    pub(super) open: u32,
    /// Calls that were acknowledged.
    pub(super) acknowledged: u32,
    /// Calls that may have happened.
    pub(super) unknown: u32,
    /// Retries by hand of its jobs that were not refused: each may have made one more job.
    pub(super) retries: u32,
    /// The job it made, once known.
    pub(super) root: Option<JobId>,
    /// The jobs that its retries made, as far as they are known.
    pub(super) children: Vec<JobId>,
    /// Whether a handler saw its input.
    pub(super) handed: bool,
    /// What happened and when (milliseconds), for people.
    pub(super) lines: Vec<(u64, Box<str>)>,
}

impl Family {
    pub(super) const fn new(submit: Submit) -> Self {
        Self {
            submit,
            open: 0,
            acknowledged: 0,
            unknown: 0,
            retries: 0,
            root: None,
            children: Vec::new(),
            handed: false,
            lines: Vec::new(),
        }
    }

    /// Whether no call of it can have made a job.
    pub(super) const fn refused(&self) -> bool {
        self.open == 0 && self.acknowledged == 0 && self.unknown == 0
    }

    /// The jobs of it that are known.
    pub(super) fn ids(&self) -> impl Iterator<Item = &JobId> {
        self.root.iter().chain(&self.children)
    }

    /// How many jobs it may have made beyond those that are known.
    pub(super) fn unseen(&self) -> u64 {
        let possible = u64::from(!self.refused()) + u64::from(self.retries);
        possible.saturating_sub(self.ids().count() as u64)
    }
}

/// A job whose id was shown.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    /// The newest document seen.
    pub(super) newest: Option<Doc>,
    /// Its end, once any answer told of it.
    pub(super) outcome: Option<Shown>,
    /// Its document from then on.
    pub(super) fixed: Option<Arc<str>>,
    /// Its result, once seen.
    pub(super) result: Option<Arc<str>>,
    /// The result whose settlement was acknowledged.
    pub(super) settled: Option<Marker>,
    /// Results whose settlement was refused, and may have been accepted at no other time.
    pub(super) refused: Vec<Marker>,
    /// Results whose settlement had no answer.
    pub(super) doubtful: Vec<Marker>,
    /// The fences that handlers saw.
    pub(super) fences: Vec<u64>,
    /// Set by an acknowledged cancel and by a final document: no later attempt may start.
    pub(super) last_attempt: Option<u64>,
    /// The server under which it was cancelled, finished or deleted: no later one may start it.
    pub(super) over_under: Option<u64>,
    /// Whether a cancel was acknowledged while it was not finished.
    pub(super) cancel_acknowledged: bool,
    /// Deletions that were not refused.
    pub(super) deletes: u32,
    /// Whether a deletion was acknowledged or a tombstone seen.
    pub(super) gone: bool,
    /// Whether its retention is so short that it may be gone once it is finished.
    pub(super) short_lived: bool,
}

impl Known {
    /// The version below which no later answer may fall.
    pub(super) fn floor(&self) -> u64 {
        self.newest.as_ref().map_or(0, |doc| doc.version)
    }

    /// Remembers that no attempt after `attempt`, and no server after `server`, may start it.
    pub(super) fn over(&mut self, attempt: Option<u64>, server: u64) {
        self.over_under.get_or_insert(server);
        self.last_attempt = self.last_attempt.or(attempt);
    }
}

/// A call that has no answer yet, and what was known of its job when it was sent.
#[derive(Clone, Debug)]
pub(super) struct Open {
    /// What was asked.
    pub(super) request: Request,
    /// The newest version known.
    pub(super) floor: u64,
    /// Whether the job was known to be finished.
    pub(super) finished: bool,
    /// Whether the job was known to be deleted.
    pub(super) gone: bool,
    /// Whether the submission was acknowledged before, so that its key must be known.
    pub(super) acknowledged: bool,
}

/// How often what happened: the proof that a run looked where it should.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Server processes started.
    pub servers: u64,
    /// Requests sent.
    pub calls: u64,
    /// Of these, those that never left: nobody listened.
    pub unsent: u64,
    /// Submissions acknowledged, repetitions included.
    pub acknowledged: u64,
    /// Of these, repetitions under a known key.
    pub replayed: u64,
    /// Submissions without an answer, or answered `unknown`.
    pub unknown: u64,
    /// Submissions refused.
    pub refused: u64,
    /// Submissions that must be refused, and were.
    pub invalid: u64,
    /// Submissions without an answer of which a job was seen later.
    pub surfaced: u64,
    /// Jobs handed to a handler.
    pub handed: u64,
    /// Of these, second and later attempts.
    pub repeated: u64,
    /// Cancels acknowledged.
    pub cancelled: u64,
    /// Retries by hand acknowledged.
    pub retried: u64,
    /// Deletions acknowledged.
    pub deleted: u64,
    /// Settlements and renewals of pull workers acknowledged.
    pub settled: u64,
    /// The same, refused because the lease was over.
    pub lapsed: u64,
    /// Answers with a job document.
    pub documents: u64,
    /// Documents of finished jobs compared with an earlier one.
    pub compared: u64,
    /// Results read.
    pub results: u64,
    /// Results compared with an earlier reading.
    pub results_compared: u64,
    /// Tombstones seen.
    pub tombstones: u64,
}

impl Tally {
    /// Name and count, in the order of a table.
    #[must_use]
    pub const fn rows(&self) -> [(&'static str, u64); 21] {
        [
            ("servers started", self.servers),
            ("requests sent", self.calls),
            ("  nobody listened", self.unsent),
            ("submits acknowledged", self.acknowledged),
            ("  replayed under a key", self.replayed),
            ("submits in doubt", self.unknown),
            ("  whose job was seen later", self.surfaced),
            ("submits refused", self.refused),
            ("  that had to be", self.invalid),
            ("attempts handed out", self.handed),
            ("  second and later ones", self.repeated),
            ("cancels acknowledged", self.cancelled),
            ("retries acknowledged", self.retried),
            ("deletions acknowledged", self.deleted),
            ("  tombstones seen", self.tombstones),
            ("leases settled, renewed", self.settled),
            ("  refused, over", self.lapsed),
            ("documents read", self.documents),
            ("  final, compared", self.compared),
            ("results read", self.results),
            ("  compared", self.results_compared),
        ]
    }
}
