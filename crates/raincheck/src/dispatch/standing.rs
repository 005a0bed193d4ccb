//! Claims that stand: where the store counts what runs, and attempts leave their slots before they are settled, a few claims wait in
//! the store at any time, so that the commit which settles an attempt brings the job that follows it.
//!
//! Invariants: the store gives no more than the queue's concurrency lets run, and what it counts as running holds whatever runs here; where
//! less is free for once (an attempt that lost its lease winds down), what was claimed waits for a slot.

use std::collections::VecDeque;
use std::sync::Arc;

use raincheck_core::id::Nonce;
use raincheck_core::name::GroupName;
use raincheck_core::queue::Queue;
use raincheck_core::store::{Answer, Leased, StoreError};
use raincheck_core::time::Timestamp;
use tokio::time::{Instant, sleep};

use super::Slot;
use super::line::{CLAIM_MAX, Line, claimed_at, works};
use crate::sharded::locked;
use crate::workers::attempt;
use crate::workers::{Runner, Shop};

/// So many claims wait one behind the other: one is answered, one is with the commit that is under way, one waits for the next.
const STANDING: usize = 3;

/// One claim that waits.
struct Standing {
    first: Option<Nonce>,
    asked: Instant,
    answer: Answer<Vec<Leased>>,
}

/// Hosts that are left alone, as groups, and until when.
type Passed = Vec<(GroupName, Timestamp)>;

/// What those that wait were asked with.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// Their first nonces; none where they were taken back.
    firsts: Vec<Nonce>,
    passed: Passed,
}

impl Slot {
    /// The attempt ended and is about to be settled: its slot is free. Where a host wants to be left alone since the claims that stand
    /// were asked, they are taken back first: the settlement would hand them what that host's group may run now.
    pub(crate) fn leave(self, shop: &Shop, queue: &Queue, runner: &dyn Runner) {
        let mut asked = locked(&self.0.standing);
        if !asked.firsts.is_empty() && runner.passing_over(shop.store.now()) != asked.passed {
            for first in asked.firsts.drain(..) {
                shop.store.withdraw(&queue.namespace, &queue.name, first);
            }
        }
    }
}

impl Line {
    /// Claims and starts until there is a reason to ask otherwise. `Err` where the store takes nothing any more.
    pub(super) async fn stand(&mut self, queue: &Arc<Queue>, runner: &Arc<dyn Runner>) -> Result<(), ()> {
        let passed = self.passed(runner);
        let wanted = queue.limits().concurrency.map_or(CLAIM_MAX, |most| most as usize);
        let pause = sleep(self.pause_until(passed.iter().map(|(_, until)| *until).min()));
        tokio::pin!(pause);
        let mut standing = VecDeque::new();
        let ended = loop {
            while standing.len() < STANDING {
                match self.ask(queue, runner, wanted.min(CLAIM_MAX), &passed) {
                    Some(one) => standing.push_back(one),
                    None => break,
                }
            }
            let Some(front) = standing.front_mut() else {
                return Ok(());
            };
            tokio::select! {
                biased;
                // First, for where there is much to do the next answer is always there.
                // Who asks to be left alone says so to an attempt, whose slot is free after that.
                () = self.told(|line| runner.passing_over(line.shop.store.now()) != passed) => break Ok(()),
                () = &mut pause => break Ok(()),
                answered = &mut front.answer => {
                    let asked = front.asked;
                    standing.pop_front();
                    match answered {
                        // Taken back; or there is nothing more, and a hint says when there is.
                        Ok(leased) if leased.is_empty() => {
                            self.hungry = locked(&self.slots.standing).firsts.is_empty();
                            break Ok(());
                        }
                        Ok(leased) => {
                            self.backoff.reset();
                            self.start_counted(queue, runner, asked, leased).await;
                        }
                        Err(error) => break Err(error),
                    }
                }
            }
            if self.shop.unrenewed.any() {
                break Ok(());
            }
        };
        let rest = self.withdraw(queue, runner, standing).await;
        match ended.and(rest) {
            Ok(()) => Ok(()),
            Err(error) => self.refused(queue, &error).await,
        }
    }

    /// Whom to leave alone, from here on also said with what stands.
    fn passed(&self, runner: &Arc<dyn Runner>) -> Passed {
        let mut asked = locked(&self.slots.standing);
        asked.firsts.clear();
        asked.passed = runner.passing_over(self.shop.store.now());
        asked.passed.clone()
    }

    /// One claim more that stands; `None` where it would have to be asked otherwise.
    fn ask(
        &self,
        queue: &Arc<Queue>,
        runner: &Arc<dyn Runner>,
        wanted: usize,
        passed: &Passed,
    ) -> Option<Standing> {
        let claim = self.claim_of(queue, runner, wanted, passed);
        let first = claim.nonces.first().copied();
        let mut asked = locked(&self.slots.standing);
        // Between this look and the claim no attempt can leave.
        if runner.passing_over(self.shop.store.now()) != *passed {
            return None;
        }
        asked.firsts.extend(first);
        // Those that were answered long ago are no loss.
        let surplus = asked.firsts.len().saturating_sub(2 * STANDING);
        asked.firsts.drain(..surplus);
        Some(Standing {
            first,
            asked: Instant::now(),
            answer: self.shop.store.claim_when_ready(&queue.namespace, claim),
        })
    }

    /// Takes claims back; what they brought meanwhile is started.
    async fn withdraw(
        &mut self,
        queue: &Arc<Queue>,
        runner: &Arc<dyn Runner>,
        standing: VecDeque<Standing>,
    ) -> Result<(), StoreError> {
        for first in standing.iter().filter_map(|standing| standing.first) {
            self.shop.store.withdraw(&queue.namespace, &queue.name, first);
        }
        let mut ended = Ok(());
        for Standing { asked, answer, .. } in standing {
            match answer.await {
                Ok(leased) => self.start_counted(queue, runner, asked, leased).await,
                Err(error) => ended = Err(error),
            }
        }
        ended
    }

    /// Starts each as soon as it has a slot, which is at once.
    async fn start_counted(
        &mut self,
        queue: &Arc<Queue>,
        runner: &Arc<dyn Runner>,
        asked: Instant,
        leased: Vec<Leased>,
    ) {
        let asked = claimed_at(asked, &leased, self.shop.store.now());
        for leased in leased {
            while self.free(queue) == 0 && !self.stopping.is_cancelled() {
                tokio::select! {
                    biased;
                    () = self.stopping.cancelled() => {}
                    () = self.slots.wake.notified() => {}
                }
            }
            let late = asked.elapsed() > queue.lease_for().mul_f32(0.8);
            let interrupted = self.stopping.is_cancelled();
            let former = self.settings.borrow().as_deref().map(works) != self.made_for;
            if late || interrupted || former {
                attempt::give_back(&self.shop, &leased, interrupted, self.slots.take());
            } else {
                self.begin(queue, runner, asked, leased, None);
            }
        }
    }
}
