//! Checks of submissions: acknowledged ones exist once, refused ones not at all, keys keep pointing at their job.

use super::history::{JobId, Reply, Request, Submit, Token, Verdict};
use super::state::Open;
use super::{Fault, Ledger};

impl Ledger {
    pub(super) fn submit_answered(&mut self, open: &Open, submit: &Submit, reply: &Reply) {
        let token = submit.token;
        self.note(token, &format!("submit answered {}", reply.summary()));
        let verdict = if reply.gone() && submit.key.is_some() {
            // The key is known, its job is forgotten: that is an answer about a job that was stored.
            Verdict::Acknowledged
        } else {
            reply.verdict(&open.request)
        };
        if let Some(family) = self.families.get_mut(&token) {
            family.open -= 1;
            match verdict {
                Verdict::Acknowledged => family.acknowledged += 1,
                Verdict::Unknown | Verdict::Broken => family.unknown += 1,
                Verdict::Refused => {}
            }
        }
        match verdict {
            Verdict::Acknowledged => self.submit_acknowledged(open, submit, reply),
            Verdict::Unknown => {
                self.tally.unknown += 1;
                if submit.valid && submit.key.is_some() {
                    self.doubtful.insert(token);
                }
            }
            Verdict::Refused => self.submit_refused(open, submit, reply),
            Verdict::Broken => {
                let detail = format!("submit answered {}", reply.summary());
                self.violation(Fault::Unexpected, None, Some(token), detail);
            }
        }
    }

    fn submit_acknowledged(&mut self, open: &Open, submit: &Submit, reply: &Reply) {
        self.tally.acknowledged += 1;
        self.tally.replayed += u64::from(reply.replayed);
        let token = submit.token;
        if !submit.valid {
            self.violation(
                Fault::TookInvalid,
                reply.job.as_ref(),
                Some(token),
                reply.summary(),
            );
        }
        let Some(id) = &reply.job else {
            return;
        };
        self.bind(token, id);
        if reply.gone() {
            self.saw_tombstone(id, reply);
            return;
        }
        if open.gone {
            let detail = format!("its key answered {}", reply.summary());
            self.violation(Fault::Revived, Some(id), None, detail);
        }
        if let Some(doc) = &reply.doc {
            self.document(id, doc, open);
        }
        self.redeemed(id, reply, open);
    }

    fn submit_refused(&mut self, open: &Open, submit: &Submit, reply: &Reply) {
        self.tally.refused += 1;
        self.tally.invalid += u64::from(!submit.valid);
        let token = submit.token;
        let unavailable = reply.code.as_deref() == Some("store-unavailable");
        if open.acknowledged && submit.key.is_some() && !unavailable {
            let detail = format!("a key whose job was acknowledged answered {}", reply.summary());
            self.violation(Fault::KeyForgotten, None, Some(token), detail);
        } else if submit.valid && !matches!(reply.status, 408 | 429 | 503 | 507) {
            let detail = format!("a valid submission answered {}", reply.summary());
            self.violation(Fault::Unexpected, None, Some(token), detail);
        }
        self.refused_ran(token);
    }

    /// Once nothing of a submission can have been stored, no handler may have seen it.
    pub(super) fn refused_ran(&mut self, token: Token) {
        let ran = self
            .families
            .get(&token)
            .is_some_and(|family| family.handed && family.refused());
        if ran {
            let detail = "a handler had seen its input".to_owned();
            self.violation(Fault::RanRefused, None, Some(token), detail);
        }
    }

    /// A submission's answer named its job.
    fn bind(&mut self, token: Token, id: &JobId) {
        if !self.owns(token, id) {
            return;
        }
        let Some(family) = self.families.get_mut(&token) else {
            return;
        };
        let keyed = family.submit.key.is_some();
        let before = family.root.get_or_insert_with(|| id.clone()).clone();
        if before == *id {
            self.meet(token, id);
            return;
        }
        let fault = if keyed {
            Fault::KeyForgotten
        } else {
            Fault::TwoJobs
        };
        let detail = format!("it made {before}, and now {id}");
        self.violation(fault, Some(id), Some(token), detail);
    }

    /// Whether the job is not another submission's.
    pub(super) fn owns(&mut self, token: Token, id: &JobId) -> bool {
        let other = self.owner.get(id).copied().filter(|owner| *owner != token);
        if let Some(other) = other {
            let detail = format!("the job of {other} was shown for {token}");
            self.violation(Fault::Mixed, Some(id), Some(token), detail);
        }
        other.is_none()
    }

    /// The job's id was shown: from now on it may not be missing.
    pub(super) fn meet(&mut self, token: Token, id: &JobId) {
        self.owner.insert(id.clone(), token);
        self.doubtful.remove(&token);
        let short_lived = self
            .families
            .get(&token)
            .is_some_and(|family| family.submit.short_lived);
        self.known.entry(id.clone()).or_default().short_lived = short_lived;
    }

    /// A retry's answer named its new job.
    pub(super) fn adopt(&mut self, parent: &JobId, child: &JobId, open: &Open, reply: &Reply) {
        let Some(token) = self.owner.get(parent).copied() else {
            return;
        };
        if !self.owns(token, child) {
            return;
        }
        if let Some(family) = self.families.get_mut(&token) {
            if family.root.as_ref() == Some(child) {
                let detail = format!("retrying {parent} gave the first job");
                self.violation(Fault::Mixed, Some(child), Some(token), detail);
                return;
            }
            if !family.children.contains(child) {
                family.children.push(child.clone());
            }
        }
        self.meet(token, child);
        let Some(doc) = &reply.doc else {
            return;
        };
        if doc.retry_of.as_ref() != Some(parent) {
            let detail = format!("a retry of {parent} says that it repeats {:?}", doc.retry_of);
            self.violation(Fault::Mixed, Some(child), Some(token), detail);
        }
        // What was known of the parent says nothing about the child.
        let fresh = Open {
            request: Request::Read(child.clone()),
            floor: 0,
            finished: false,
            gone: false,
            acknowledged: open.acknowledged,
        };
        self.document(child, doc, &fresh);
    }
}
