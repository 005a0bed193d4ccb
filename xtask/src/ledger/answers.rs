//! Checks of what a job's document, result and verbs answer: never older, never changed, never back from the dead.

use super::history::{Doc, JobId, Reply, Request, Shown, Token, Verdict};
use super::state::Open;
use super::{Fault, Ledger};

impl Ledger {
    /// A request about a job was answered.
    pub(super) fn answered(&mut self, open: &Open, reply: &Reply) {
        let request = &open.request;
        let Some(id) = request.job().cloned() else {
            return;
        };
        self.note_job(&id, &format!("{} answered {}", request.verb(), reply.summary()));
        if reply.gone() {
            self.undo(request);
            self.saw_tombstone(&id, reply);
            return;
        }
        if reply.status == 404 {
            self.undo(request);
            let detail = format!("{} answered {}", request.verb(), reply.summary());
            self.violation(Fault::Lost, Some(&id), None, detail);
            return;
        }
        match reply.verdict(request) {
            Verdict::Acknowledged => self.acknowledged(open, request, &id, reply),
            Verdict::Unknown => {}
            Verdict::Refused => {
                self.undo(request);
                self.refused(open, request, &id, reply);
            }
            Verdict::Broken => {
                let detail = format!("{} answered {}", request.verb(), reply.summary());
                self.violation(Fault::Unexpected, Some(&id), None, detail);
            }
        }
    }

    fn acknowledged(&mut self, open: &Open, request: &Request, id: &JobId, reply: &Reply) {
        if open.gone {
            let detail = format!("{} answered {}", request.verb(), reply.summary());
            self.violation(Fault::Revived, Some(id), None, detail);
        }
        if let Request::Retry(_) = request {
            self.tally.retried += 1;
            if let Some(child) = &reply.job {
                self.adopt(id, child, open, reply);
            }
            return;
        }
        if reply.job.as_ref().is_some_and(|named| named != id) {
            let detail = format!("{} of {id} was answered for {:?}", request.verb(), reply.job);
            self.violation(Fault::Mixed, Some(id), None, detail);
            return;
        }
        if let Some(doc) = &reply.doc {
            self.document(id, doc, open);
        }
        match request {
            Request::Redeem(_) => self.redeemed(id, reply, open),
            Request::Cancel(_) => self.cancelled(id, reply),
            Request::Delete(_) => {
                self.tally.deleted += 1;
                let server = self.server;
                if let Some(known) = self.known.get_mut(id) {
                    known.gone = true;
                    known.over(None, server);
                }
            }
            Request::Read(_) | Request::Retry(_) | Request::Submit(_) | Request::Settle(_) => {}
        }
    }

    fn refused(&mut self, open: &Open, request: &Request, id: &JobId, reply: &Reply) {
        let not_done = reply.code.as_deref() == Some("job-not-done");
        let verb = request.verb();
        let may_be_not_done = matches!(request, Request::Retry(_) | Request::Delete(_)) && not_done;
        if may_be_not_done && open.finished {
            let detail = format!("{verb} says that it is not done, and it was");
            self.violation(Fault::OlderState, Some(id), None, detail);
        } else if !may_be_not_done && !matches!(reply.status, 408 | 429 | 503 | 507) {
            let detail = format!("{verb} answered {}", reply.summary());
            self.violation(Fault::Unexpected, Some(id), None, detail);
        }
    }

    /// The cancel was acknowledged: whatever attempt runs now is the last.
    fn cancelled(&mut self, id: &JobId, reply: &Reply) {
        self.tally.cancelled += 1;
        let server = self.server;
        let Some(known) = self.known.get_mut(id) else {
            return;
        };
        known.over(reply.doc.as_ref().map(|doc| doc.attempt), server);
        let Some(doc) = &reply.doc else {
            return;
        };
        if doc.outcome.is_none() {
            known.cancel_acknowledged = true;
            if !doc.cancel_requested {
                let detail = "acknowledged without cancel_requested".to_owned();
                self.violation(Fault::CancelForgotten, Some(id), None, detail);
            }
        }
    }

    /// A document of the job was shown in answer to a request that was sent when `open` was known.
    pub(super) fn document(&mut self, id: &JobId, doc: &Doc, open: &Open) {
        self.tally.documents += 1;
        if doc.id != *id {
            let detail = format!("the document is that of {}", doc.id);
            self.violation(Fault::Mixed, Some(id), None, detail);
            return;
        }
        if doc.version < open.floor || (open.finished && doc.outcome.is_none()) {
            let detail = format!(
                "version {} ({:?}) after version {} (finished: {})",
                doc.version, doc.outcome, open.floor, open.finished
            );
            self.violation(Fault::OlderState, Some(id), None, detail);
            return;
        }
        if let Some(outcome) = doc.outcome {
            self.ended(id, outcome);
            self.unchanged(id, doc);
        }
        let server = self.server;
        let Some(known) = self.known.get_mut(id) else {
            return;
        };
        if doc.outcome.is_some() {
            known.over(Some(doc.attempt), server);
        }
        let newest = known.newest.as_ref();
        let same_version = newest.filter(|newest| newest.version == doc.version && doc.outcome.is_none());
        if let (Some(before), Some(now)) = (same_version.and_then(|same| same.fixed.as_ref()), &doc.fixed)
            && before != now
        {
            let detail = format!("one version, two documents: {before} and {now}");
            self.violation(Fault::OlderState, Some(id), None, detail);
            return;
        }
        // Of one version the whole document tells more than the short one.
        let rank = |doc: &Doc| (doc.version, doc.fixed.is_some());
        if newest.is_none_or(|newest| rank(newest) < rank(doc)) {
            known.newest = Some(doc.clone());
        }
    }

    /// A finished job's document is the one that was seen first.
    fn unchanged(&mut self, id: &JobId, doc: &Doc) {
        let (Some(known), Some(fixed)) = (self.known.get_mut(id), &doc.fixed) else {
            return;
        };
        let Some(before) = known.fixed.clone() else {
            known.fixed = Some(fixed.clone());
            return;
        };
        self.tally.compared += 1;
        if before != *fixed {
            let detail = format!("the document was {before} and is {fixed}");
            self.violation(Fault::OutcomeChanged, Some(id), None, detail);
        }
    }

    /// The job ended so, or an earlier answer said otherwise.
    pub(super) fn ended(&mut self, id: &JobId, outcome: Shown) {
        let server = self.server;
        let Some(known) = self.known.get_mut(id) else {
            return;
        };
        let before = known.outcome.replace(outcome);
        known.over_under.get_or_insert(server);
        let forgotten = before.is_none()
            && known.cancel_acknowledged
            && !matches!(outcome, Shown::Cancelled | Shown::Succeeded);
        if before.is_some_and(|before| before != outcome) {
            known.outcome = before;
            let detail = format!("it was {before:?} and is {outcome:?}");
            self.violation(Fault::OutcomeChanged, Some(id), None, detail);
        }
        if forgotten {
            let detail = format!("it ended {outcome:?}");
            self.violation(Fault::CancelForgotten, Some(id), None, detail);
        }
    }

    /// An answer with the result, or with the news that there is none yet.
    pub(super) fn redeemed(&mut self, id: &JobId, reply: &Reply, open: &Open) {
        let Some(outcome) = reply.outcome else {
            return;
        };
        if !outcome.is_final() {
            if open.finished {
                let detail = "not done, and it was".to_owned();
                self.violation(Fault::OlderState, Some(id), None, detail);
            }
            return;
        }
        self.ended(id, outcome);
        let Some(result) = &reply.result else {
            return;
        };
        self.tally.results += 1;
        let own = self.owner.get(id).copied();
        let shown = Token::find(result);
        if shown.is_some_and(|shown| Some(shown) != own) || (outcome == Shown::Succeeded && shown.is_none()) {
            self.violation(Fault::Mixed, Some(id), None, format!("its result is {result:?}"));
            return;
        }
        let Some(known) = self.known.get_mut(id) else {
            return;
        };
        let Some(before) = known.result.clone() else {
            known.result = Some(result.clone());
            self.settled_so(id, outcome, result);
            return;
        };
        self.tally.results_compared += 1;
        if before != *result {
            let detail = format!("it was {before:?} and is {result:?}");
            self.violation(Fault::ResultChanged, Some(id), None, detail);
        }
    }

    /// An answer says that the job is forgotten: that must have been asked for.
    pub(super) fn saw_tombstone(&mut self, id: &JobId, reply: &Reply) {
        self.tally.tombstones += 1;
        let server = self.server;
        let Some(known) = self.known.get_mut(id) else {
            return;
        };
        let asked = match reply.code.as_deref() {
            Some("job-deleted") => known.gone || known.deletes > 0,
            _ => known.short_lived,
        };
        if asked {
            known.gone = true;
            known.over(None, server);
        } else {
            let detail = format!("nobody deleted it, and it answers {}", reply.summary());
            self.violation(Fault::Lost, Some(id), None, detail);
        }
    }
}
