//! Rules of what attempts emit: under a live lease, numbered without a gap, kept once, read as it was kept.

use std::sync::Arc;

use raincheck_core::decide::EmitRefused;
use raincheck_core::id::{Fence, JobId};
use raincheck_core::output::Piece;
use raincheck_core::store::{Emit, Emitted, Missing, Output};

use super::Checker;
use crate::log::number;

/// A chunk that was kept.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Kept {
    n: u64,
    fence: Fence,
    seq: u32,
    piece: Piece,
}

impl Checker {
    /// A chunk was kept, or refused.
    pub(crate) fn emitted(&mut self, sent: &Emit, answer: &Result<Emitted, EmitRefused>) -> &'static str {
        let id = sent.lease.job;
        let live = self.live(&sent.lease);
        let kept = self.chunks.entry(id).or_default();
        let last = kept.last().map_or(0, |kept| kept.n);
        let own = kept.iter().filter(|kept| kept.fence == sent.lease.fence);
        let next = u32::try_from(own.clone().count()).unwrap_or(u32::MAX);
        let former = own.clone().find(|kept| kept.seq == sent.seq).cloned();
        let ok = match (answer, &former) {
            (Err(EmitRefused::LeaseLost), _) => !live,
            _ if !live => false,
            (Ok(emitted), Some(former)) => emitted.n == former.n && former.piece == sent.piece,
            (Ok(emitted), None) => sent.seq == next && emitted.n == last + 1,
            (Err(EmitRefused::Gap { next: told }), None) => sent.seq > next && *told == next,
            (Err(EmitRefused::Mismatch), Some(former)) => former.piece != sent.piece,
            (Err(_), _) => false,
        };
        if let (Ok(emitted), None) = (answer, &former) {
            kept.push(Kept {
                n: emitted.n,
                fence: sent.lease.fence,
                seq: sent.seq,
                piece: sent.piece.clone(),
            });
        }
        self.rule(ok, "a chunk is kept once, in its place, under a live lease (G5)", || {
            format!("{sent:?} was answered {answer:?}; its lease is live: {live}, next is {next}, kept is {former:?}")
        });
        let outcome = match (answer, former) {
            (Ok(_), Some(_)) => "emitted again",
            (Ok(_), None) => "emitted",
            (Err(_), _) => "stale emission rejected",
        };
        self.cover.hit(outcome);
        outcome
    }

    /// What a job has emitted, as it was read from after number `after`.
    pub(crate) fn read_output(
        &mut self,
        id: JobId,
        after: u64,
        found: &Result<Output, Missing>,
    ) -> &'static str {
        let job = found.as_ref().map(|output| Arc::clone(&output.job));
        let outcome = self.read(id, &job.map_err(|missing| *missing));
        let Ok(output) = found else { return outcome };
        let kept = self.chunks.get(&id).map(Vec::as_slice).unwrap_or_default();
        let shown = output.chunks.iter().map(|chunk| Kept {
            n: chunk.n,
            fence: chunk.fence,
            seq: chunk.seq,
            piece: chunk.piece.clone(),
        });
        let shown: Vec<Kept> = shown.collect();
        let same = kept
            .iter()
            .filter(|kept| kept.n > after)
            .take(shown.len())
            .eq(&shown);
        let whole = output.last == kept.last().map_or(0, |kept| kept.n);
        let more = shown.last().map_or(after, |kept| kept.n) < output.last;
        self.rule(
            same && whole && (!more || !shown.is_empty()),
            "output is read as it was kept (G7)",
            || format!("job {}: {shown:?} of {} after {after}", number(id), output.last),
        );
        if output.last > 0 {
            self.cover.hit("output read");
        }
        outcome
    }
}
