//! The way to the store in bad times: late, in doubt, full, gone.
//!
//! Invariant: what a caller is told of a failure is true by the contract of [`Store`]: `Unavailable`, `DiskFull` and `Failed`
//! stored nothing, and only `Unknown` leaves open what happened.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use raincheck::tasks::TaskKind;
use raincheck_core::audit::Act;
use raincheck_core::id::JobId;
use raincheck_core::store::{Answer, Change, Store, StoreError};
use raincheck_core::time::Timestamp;
use tokio::sync::oneshot;

use crate::check::Checker;
use crate::world::World;

/// What goes wrong with one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Pass,
    Refused,
    Full,
    Lost,
    Forgotten,
    Poisoned,
}

/// What an operation is, as far as faults care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    Read,
    Write,
    /// Takes space: refused where none is left.
    Grow,
}

/// A way to the store, of one run of the node.
pub(crate) struct Door {
    pub(crate) world: Arc<World>,
    pub(crate) epoch: u64,
    /// What is done through this handle.
    pub(crate) act: Option<Act>,
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Door({})", self.epoch)
    }
}

impl Door {
    pub(crate) const fn new(world: Arc<World>, epoch: u64) -> Self {
        Self {
            world,
            epoch,
            act: None,
        }
    }

    /// What becomes of the next operation: how long until it is carried out, what goes wrong, how long its answer takes.
    fn fate(&self, op: Op) -> Result<(Duration, Fate, Duration), StoreError> {
        let mut guard = self.world.state();
        let state = &mut *guard;
        if state.epoch != self.epoch {
            return Err(StoreError::Closed);
        }
        if state.poisoned {
            return Err(StoreError::Failed("a sync failed".to_owned()));
        }
        let (faults, rng) = (state.faults, &mut state.rng);
        let mut wait = || {
            if rng.below(1000) < faults.slow {
                rng.ms(0, faults.slow_ms_max)
            } else {
                Duration::ZERO
            }
        };
        let (before, after) = (wait(), wait());
        if before + after > Duration::ZERO {
            state.checker.cover.hit("slow operation");
        }
        let mut drawn = state.rng.below(1000);
        let mut comes = |share: u64| {
            let hit = drawn < share;
            drawn = drawn.saturating_sub(share);
            hit
        };
        let fate = if comes(faults.refused) {
            Fate::Refused
        } else if op == Op::Grow && comes(faults.full) {
            Fate::Full
        } else if op != Op::Read && comes(faults.lost) {
            Fate::Lost
        } else if op != Op::Read && comes(faults.forgotten) {
            Fate::Forgotten
        } else if op != Op::Read && comes(faults.poisoned) {
            Fate::Poisoned
        } else {
            Fate::Pass
        };
        Ok((before, fate, after))
    }

    pub(crate) fn ask<T: Send + 'static>(
        &self,
        (op, what, job): (Op, &'static str, Option<JobId>),
        operation: impl FnOnce(&dyn Store) -> Answer<T> + Send + 'static,
        judge: impl FnOnce(&mut Checker, &T, &[Change], Timestamp) -> &'static str + Send + 'static,
    ) -> Answer<T> {
        let (before, fate, after) = match self.fate(op) {
            Ok(fate) => fate,
            Err(error) => return Box::pin(std::future::ready(Err(error))),
        };
        let (world, epoch, act) = (self.world.clone(), self.epoch, self.act.clone());
        let operation = move |store: &dyn Store| match act {
            Some(act) => operation(&*store.recording(act)),
            None => operation(store),
        };
        let carry_out = move |world: &World| {
            let answer = match fate {
                Fate::Refused | Fate::Full | Fate::Lost => None,
                Fate::Pass => return world.carry_out(epoch, what, job, operation, judge),
                Fate::Forgotten | Fate::Poisoned => {
                    Some(world.carry_out(epoch, what, job, operation, judge).map(drop))
                }
            };
            go_wrong(world, epoch, what, job, fate);
            match (fate, answer) {
                (_, Some(Err(error))) => Err(error),
                (Fate::Refused, _) => Err(StoreError::Unavailable("out of reach".to_owned())),
                (Fate::Full, _) => Err(StoreError::DiskFull),
                _ => Err(StoreError::Unknown),
            }
        };
        if before.is_zero() {
            let answer = carry_out(&world);
            return Box::pin(async move {
                if !after.is_zero() {
                    tokio::time::sleep(after).await;
                }
                answered(&world, epoch, answer)
            });
        }
        // It is on its way now, and stays so where the caller goes away.
        let (tell, told) = oneshot::channel();
        let on_its_way = world.clone();
        world.tasks.spawn(TaskKind::Errand, async move {
            tokio::time::sleep(before).await;
            let answer = carry_out(&on_its_way);
            tokio::time::sleep(after).await;
            // The caller may be gone.
            let _ = tell.send(answer);
        });
        Box::pin(async move {
            let answer = told.await.unwrap_or(Err(StoreError::Unknown));
            answered(&world, epoch, answer)
        })
    }
}

/// An answer as it arrives: a node that ended meanwhile takes it with it.
fn answered<T>(world: &World, epoch: u64, answer: Result<T, StoreError>) -> Result<T, StoreError> {
    if world.state().epoch == epoch {
        answer
    } else {
        Err(StoreError::Unknown)
    }
}

fn go_wrong(world: &World, epoch: u64, what: &'static str, job: Option<JobId>, fate: Fate) {
    let (outcome, cover) = match fate {
        Fate::Pass => return,
        Fate::Refused => ("REFUSED", "refused before the commit"),
        Fate::Full => ("DISK FULL", "disk full"),
        Fate::Lost => ("LOST, in doubt", "commit in doubt: lost"),
        Fate::Forgotten => ("carried out, in doubt", "commit in doubt: applied"),
        Fate::Poisoned => ("carried out, SYNC FAILED", "store poisoned"),
    };
    world.event(what, job, outcome);
    world.hit(cover);
    if fate == Fate::Poisoned {
        let mut state = world.state();
        if state.epoch == epoch {
            state.poisoned = true;
            let observer = state.observer.clone();
            drop(state);
            if let Some(observer) = observer {
                observer.failed("a sync failed");
            }
        }
    }
}
