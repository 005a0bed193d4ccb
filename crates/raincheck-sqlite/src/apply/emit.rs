//! Keeping what attempts emit.

use std::sync::Arc;

use raincheck_core::decide::{self, EmitRefused, EmitStep};
use raincheck_core::name::Namespace;
use raincheck_core::store::{Emit, Emitted};

use crate::output;
use crate::row;
use crate::tx::Tx;

type Answer = Result<Emitted, EmitRefused>;

/// Keeps one chunk.
pub(crate) fn emit(tx: &mut Tx<'_>, ns: &Namespace, emit: &Emit) -> rusqlite::Result<Answer> {
    if tx.memory.damaged.has(emit.lease.job.seq()) {
        return Ok(Err(EmitRefused::LeaseLost));
    }
    let Ok((key, job)) = tx.load(ns, emit.lease.job)? else {
        return Ok(Err(EmitRefused::LeaseLost));
    };
    let seq = row::key(job.id);
    let mark = match tx.memory.mark(job.id.seq()) {
        Some(mark) => Some(*mark),
        None => output::mark(tx.conn, seq)?,
    };
    let bytes_max = tx.memory.settings(key, &job).result_max();
    let step = decide::emit(
        &job,
        &emit.lease,
        mark.as_ref(),
        emit.seq,
        &emit.piece,
        bytes_max,
        tx.now,
    );
    let n = match step {
        Ok(EmitStep::Kept {
            chunk,
            mark: next,
            drop_former,
        }) => {
            if mark.is_none() {
                output::note(tx.conn, seq)?;
            }
            if drop_former {
                output::drop_before(tx.conn, seq, chunk.n)?;
            }
            output::insert(tx.conn, &chunk, &next)?;
            tx.memory.set_mark(job.id.seq(), next);
            tx.tell_emitted(Arc::new(chunk));
            next.n
        }
        Ok(EmitStep::Again { n }) => {
            // A live lease's own rows are all there.
            let kept = output::one(tx.conn, job.id, n)?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
            if let Err(refused) = decide::emitted_again(&kept, &emit.piece) {
                return Ok(Err(refused));
            }
            n
        }
        Err(refused) => return Ok(Err(refused)),
    };
    let cancel_requested = job.cancel_requested;
    Ok(Ok(Emitted { n, cancel_requested }))
}
