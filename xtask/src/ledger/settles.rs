//! Checks of pull workers' leases: an acknowledged settlement is the job's end, a refused one is nothing, and a lease
//! lives on through a crash.

use super::history::{Deed, JobId, Marker, Reply, Request, Settle, Shown, Verdict};
use super::{Fault, Ledger};

impl Ledger {
    pub(super) fn settle_answered(&mut self, settle: &Settle, reply: &Reply) {
        let id = &settle.job;
        let request = Request::Settle(settle.clone());
        let verb = request.verb();
        self.note_job(
            id,
            &format!("{verb} {:?} answered {}", settle.deed, reply.summary()),
        );
        match reply.verdict(&request) {
            Verdict::Acknowledged => {
                self.tally.settled += 1;
                self.settle_acknowledged(settle);
            }
            Verdict::Unknown => self.settle_lost(settle),
            Verdict::Refused => self.settle_refused(settle, reply),
            Verdict::Broken => {
                self.settle_lost(settle);
                let detail = format!("{verb} answered {}", reply.summary());
                self.violation(Fault::Unexpected, Some(id), None, detail);
            }
        }
    }

    fn settle_acknowledged(&mut self, settle: &Settle) {
        let Deed::Succeed(marker) = settle.deed else {
            return;
        };
        let id = &settle.job;
        let server = self.server;
        let Some(known) = self.known.get_mut(id) else {
            return;
        };
        let before = known.settled.replace(marker);
        let stale = known.refused.contains(&marker);
        known.over(None, server);
        let result = known.result.clone();
        if before.is_some_and(|before| before != marker) {
            let detail = format!("{before:?} was acknowledged, and then {marker}");
            self.violation(Fault::SettlementLost, Some(id), None, detail);
        }
        if stale {
            let detail = format!("{marker} was refused, and then acknowledged");
            self.violation(Fault::StaleAccepted, Some(id), None, detail);
        }
        self.ended(id, Shown::Succeeded);
        if let Some(result) = result {
            self.settled_so(id, Shown::Succeeded, &result);
        }
    }

    fn settle_refused(&mut self, settle: &Settle, reply: &Reply) {
        let id = &settle.job;
        let Some(known) = self.known.get_mut(id) else {
            return;
        };
        // Nothing is promised of the leases of a job that is forgotten, or may be.
        let forgotten_job = known.gone || known.short_lived || known.deletes > 0;
        if forgotten_job || matches!(reply.status, 408 | 429 | 503 | 507) {
            return;
        }
        if reply.code.as_deref() != Some("lease-lost") {
            let detail = format!("{:?} answered {}", settle.deed, reply.summary());
            self.violation(Fault::Unexpected, Some(id), None, detail);
            return;
        }
        self.tally.lapsed += 1;
        if let Deed::Succeed(marker) = settle.deed {
            if known.settled == Some(marker) {
                let detail = format!("{marker} was acknowledged, and now its lease is over");
                self.violation(Fault::SettlementLost, Some(id), None, detail);
                return;
            }
            if !known.doubtful.contains(&marker) {
                known.refused.push(marker);
            }
        }
        if settle.fresh {
            let detail = format!(
                "{:?} within the lease's term answered {}",
                settle.deed,
                reply.summary()
            );
            self.violation(Fault::LeaseForgotten, Some(id), None, detail);
        }
    }

    /// No answer: it may count.
    pub(super) fn settle_lost(&mut self, settle: &Settle) {
        if let (Deed::Succeed(marker), Some(known)) = (settle.deed, self.known.get_mut(&settle.job)) {
            known.doubtful.push(marker);
        }
    }

    /// The result is that of the settlement that was acknowledged, and of none that was refused.
    pub(super) fn settled_so(&mut self, id: &JobId, outcome: Shown, result: &str) {
        let Some(known) = self.known.get(id) else {
            return;
        };
        let shown = Marker::find(result);
        let settled = known.settled;
        let stale = shown.is_some_and(|shown| known.refused.contains(&shown));
        if settled.is_some() && (shown != settled || outcome != Shown::Succeeded) {
            let detail = format!("{settled:?} was acknowledged, the job {outcome:?} with {result:?}");
            self.violation(Fault::SettlementLost, Some(id), None, detail);
        } else if stale {
            self.violation(
                Fault::StaleAccepted,
                Some(id),
                None,
                format!("its result is {result:?}"),
            );
        }
    }
}
