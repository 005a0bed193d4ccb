//! What follows where the disk has no space for a transaction.
//!
//! Invariants: what is there is refused only once what is new was, and what is held for a full disk was given up; and nothing
//! is run after that but in a transaction of its own, for the one that found no space was rolled back.

use raincheck_core::time::Timestamp;

use super::{Fault, Writer};
use crate::operation::Operation;

impl Writer<'_> {
    /// Runs what came to nothing for want of space once more without what is new, and where that does not help with what is held
    /// for a full disk.
    pub(super) fn make_do(&mut self, requests: Vec<&mut Box<dyn Operation>>, now: Timestamp) {
        self.shared.space.ran_out();
        let (new, mut old): (Vec<_>, Vec<_>) = requests.into_iter().partition(|request| request.is_new());
        let mut outcome = Err(Fault::Full);
        if !new.is_empty() {
            self.answer_fault(Fault::Full, &mut new.into_iter());
            outcome = self.transact(&mut old.iter_mut().map(|request| &mut **request), now);
        }
        if matches!(outcome, Err(Fault::Full)) && self.shared.space.release() {
            outcome = self.transact(&mut old.iter_mut().map(|request| &mut **request), now);
        }
        match outcome {
            Ok(()) => {}
            Err(Fault::Operation(_)) if old.len() > 1 => self.each_alone(&mut old.into_iter(), now),
            Err(fault) => self.answer_fault(fault, &mut old.into_iter()),
        }
    }
}
