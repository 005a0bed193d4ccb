//! The ledger: what clients know of a server they cannot trust, and every promise checked against it.
//!
//! ```text
//!   clients ──Call, Reply, Lost──┐
//!   handlers ─────Handed─────────┼──► Ledger::record ──► Violations
//!   runner ──Started, Settled────┘
//! ```
//!
//! Invariant: pure. It does no I/O, reads no clock and draws no random number, so a history that was recorded once is
//! judged the same way for ever, and a server of twenty lines that lies in one way can test it (`tests`).

mod answers;
mod fault;
mod handlers;
mod history;
mod settles;
mod state;
mod submits;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap, HashSet};

pub use fault::{Fault, Violation};
pub use history::{
    CallId, Deed, Doc, Event, Handed, JobId, Marker, Reply, Request, Settle, Shown, Submit, Token, Verdict,
};
pub use state::Tally;
use state::{Family, Known, Open};

/// Lines of history kept of one submission: its beginning matters, a job polled a thousand times does not.
const LINES_MAX: usize = 200;

/// Everything that was seen, and what it proves.
#[derive(Debug, Default)]
pub struct Ledger {
    at: u64,
    server: u64,
    open: HashMap<CallId, Open>,
    families: HashMap<Token, Family>,
    known: HashMap<JobId, Known>,
    owner: HashMap<JobId, Token>,
    retired: HashSet<Token>,
    /// Submissions with a key that lost an answer and whose job nobody has seen.
    doubtful: BTreeSet<Token>,
    tally: Tally,
    violations: Vec<Violation>,
}

impl Ledger {
    /// Takes note of one fact, `at` so many milliseconds after the beginning, and checks what follows from it.
    pub fn record(&mut self, at: u64, event: Event) {
        self.at = at;
        match event {
            Event::Call(call, request) => self.call(call, &request),
            Event::Reply(call, reply) => {
                if let Some(open) = self.open.remove(&call) {
                    match &open.request {
                        Request::Submit(submit) => self.submit_answered(&open, submit, &reply),
                        Request::Settle(settle) => self.settle_answered(settle, &reply),
                        Request::Read(_)
                        | Request::Redeem(_)
                        | Request::Cancel(_)
                        | Request::Retry(_)
                        | Request::Delete(_) => self.answered(&open, &reply),
                    }
                }
            }
            Event::Lost(call) => self.lost(call, true),
            Event::Unsent(call) => self.lost(call, false),
            Event::Handed(handed) => self.handed(&handed),
            Event::Started => {
                self.server += 1;
                self.tally.servers += 1;
            }
            Event::Counted { queue, jobs } => self.counted(&queue, jobs),
            Event::Settled => self.settled(),
        }
    }

    /// The promises found broken so far.
    #[must_use]
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// How often what happened.
    #[must_use]
    pub const fn tally(&self) -> &Tally {
        &self.tally
    }

    /// The number of the server process that runs now, from 1.
    #[must_use]
    pub const fn server(&self) -> u64 {
        self.server
    }

    /// Jobs that are known to be finished, and not to be deleted.
    #[must_use]
    pub fn is_finished(&self, id: &str) -> bool {
        self.known
            .get(id)
            .is_some_and(|known| known.outcome.is_some() && !known.gone)
    }

    /// Whether the job's id was shown before.
    #[must_use]
    pub fn is_known(&self, id: &str) -> bool {
        self.known.contains_key(id)
    }

    /// Whether the job is known to be deleted.
    #[must_use]
    pub fn is_gone(&self, id: &str) -> bool {
        self.known.get(id).is_some_and(|known| known.gone)
    }

    /// Every job whose id was shown, but for the retired ones.
    pub fn jobs(&self) -> impl Iterator<Item = &JobId> {
        self.known.keys()
    }

    /// Submissions that may have made a job which nobody has seen, and that can be repeated under their key.
    pub fn in_doubt(&self) -> impl Iterator<Item = &Submit> {
        let families = self.doubtful.iter().filter_map(|token| self.families.get(token));
        families
            .filter(|family| family.root.is_none() && !family.refused())
            .map(|family| &family.submit)
    }

    /// Forgets a submission whose jobs are all known to be deleted, so that a long run stays small; should one of
    /// them run again, that is found all the same. Says whether it was forgotten.
    pub fn retire(&mut self, id: &str) -> bool {
        let Some(token) = self.owner.get(id).copied() else {
            return false;
        };
        let over = self.families.get(&token).is_some_and(|family| {
            family.open == 0 && family.unseen() == 0 && family.ids().all(|id| self.is_gone(id))
        });
        if over && let Some(family) = self.families.remove(&token) {
            for id in family.ids() {
                self.known.remove(id);
                self.owner.remove(id);
            }
            self.retired.insert(token);
        }
        over
    }

    /// What happened to the submission of this violation, in lines for people.
    #[must_use]
    pub fn story(&self, violation: &Violation) -> Vec<String> {
        let token = violation
            .token
            .or_else(|| violation.job.as_ref().and_then(|id| self.owner.get(id)).copied());
        let Some(family) = token.and_then(|token| self.families.get(&token)) else {
            return Vec::new();
        };
        family
            .lines
            .iter()
            .map(|(at, line)| format!("{:>9.3} s  {line}", *at as f64 / 1000.0))
            .collect()
    }

    /// Every job that is known, one a line, for those who have to find out what went wrong.
    #[must_use]
    pub fn dump(&self) -> String {
        let mut lines: Vec<String> = self
            .known
            .iter()
            .map(|(id, known)| {
                let token = self.owner.get(id);
                let queue = token
                    .and_then(|token| self.families.get(token))
                    .map(|family| &*family.submit.queue);
                format!(
                    "{id} {token:?} queue {queue:?} outcome {:?} gone {} deletes {} short-lived {}\n",
                    known.outcome, known.gone, known.deletes, known.short_lived
                )
            })
            .collect();
        lines.sort();
        lines.concat()
    }

    fn violation(&mut self, fault: Fault, id: Option<&JobId>, token: Option<Token>, detail: String) {
        let token = token.or_else(|| id.and_then(|id| self.owner.get(id)).copied());
        if let Some(token) = token {
            self.note(token, &format!("!!! {fault}: {detail}"));
        }
        self.violations.push(Violation {
            fault,
            job: id.cloned(),
            token,
            detail,
        });
    }

    fn note(&mut self, token: Token, line: &str) {
        if let Some(family) = self.families.get_mut(&token)
            && family.lines.len() < LINES_MAX
        {
            family.lines.push((self.at, line.into()));
        }
    }

    fn note_job(&mut self, id: &JobId, line: &str) {
        if let Some(token) = self.owner.get(id).copied() {
            self.note(token, &format!("{id} {line}"));
        }
    }

    fn call(&mut self, call: CallId, request: &Request) {
        self.tally.calls += 1;
        let mut open = Open {
            request: request.clone(),
            floor: 0,
            finished: false,
            gone: false,
            acknowledged: false,
        };
        let mut job = request.job().cloned();
        if let Request::Submit(submit) = request {
            let family = self
                .families
                .entry(submit.token)
                .or_insert_with(|| Family::new(submit.clone()));
            family.open += 1;
            open.acknowledged = family.acknowledged > 0;
            job.clone_from(&family.root);
            self.note(
                submit.token,
                &format!("{call:?} submit to {} key {:?}", submit.queue, submit.key),
            );
        } else if let Some(id) = &job {
            self.note_job(id, &format!("{call:?} {}", request.verb()));
        }
        if let Some(known) = job.as_ref().and_then(|id| self.known.get_mut(id)) {
            open.floor = known.floor();
            open.finished = known.outcome.is_some();
            open.gone = known.gone;
            known.deletes += u32::from(matches!(request, Request::Delete(_)));
        }
        if let (Request::Retry(id), Some(token)) = (request, job.and_then(|id| self.owner.get(&id)).copied())
            && let Some(family) = self.families.get_mut(&token)
        {
            debug_assert!(family.ids().any(|known| known == id), "a retried job is known");
            family.retries += 1;
        }
        self.open.insert(call, open);
    }

    /// A call ended without an answer; `maybe` when it may have happened all the same.
    fn lost(&mut self, call: CallId, maybe: bool) {
        let Some(open) = self.open.remove(&call) else {
            return;
        };
        self.tally.unsent += u64::from(!maybe);
        let text = if maybe { "no answer" } else { "not sent" };
        if let Request::Submit(submit) = &open.request {
            self.note(submit.token, &format!("{call:?} {text}"));
            if let Some(family) = self.families.get_mut(&submit.token) {
                family.open -= 1;
                family.unknown += u32::from(maybe);
            }
            self.tally.unknown += u64::from(maybe);
            if maybe && submit.valid && submit.key.is_some() {
                self.doubtful.insert(submit.token);
            }
            if !maybe {
                self.refused_ran(submit.token);
            }
        }
        if let Some(id) = open.request.job() {
            self.note_job(id, &format!("{call:?} {text}"));
        }
        if !maybe {
            self.undo(&open.request);
        } else if let Request::Settle(settle) = &open.request {
            self.settle_lost(settle);
        }
    }

    /// A retry or a deletion certainly did not happen.
    fn undo(&mut self, request: &Request) {
        if let Request::Delete(id) = request
            && let Some(known) = self.known.get_mut(id)
        {
            known.deletes = known.deletes.saturating_sub(1);
        }
        if let Request::Retry(id) = request
            && let Some(family) = self.owner.get(id).and_then(|token| self.families.get_mut(token))
        {
            family.retries = family.retries.saturating_sub(1);
        }
    }

    /// How many jobs a resting server may show in this queue: all that are known, and some of those in doubt.
    #[must_use]
    pub fn expected(&self, queue: &str) -> std::ops::RangeInclusive<u64> {
        let (mut least, mut most) = (0, 0);
        for family in self
            .families
            .values()
            .filter(|family| *family.submit.queue == *queue)
        {
            most += family.unseen();
            for known in family.ids().filter_map(|id| self.known.get(id)) {
                let may_be_gone = known.gone || known.deletes > 0 || known.short_lived;
                least += u64::from(!may_be_gone);
                most += u64::from(!known.gone);
            }
        }
        least..=most
    }

    fn counted(&mut self, queue: &str, jobs: u64) {
        let expected = self.expected(queue);
        if !expected.contains(&jobs) {
            let detail = format!("queue {queue} counts {jobs} jobs, the clients know of {expected:?}");
            self.violation(Fault::Miscounted, None, None, detail);
        }
    }

    /// Jobs that are known and neither finished nor gone.
    pub fn unfinished(&self) -> impl Iterator<Item = &JobId> {
        self.known
            .iter()
            .filter(|(_, known)| known.outcome.is_none() && !known.gone)
            .map(|(id, _)| id)
    }

    fn settled(&mut self) {
        for id in self.unfinished().cloned().collect::<Vec<_>>() {
            self.violation(
                Fault::Unfinished,
                Some(&id),
                None,
                "not finished in its time".to_owned(),
            );
        }
    }
}
