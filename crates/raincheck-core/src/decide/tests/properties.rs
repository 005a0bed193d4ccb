//! What holds of every decision, whatever came before: jobs are led through random lives.

use proptest::prelude::*;

use super::*;
use crate::conformance::invariants::{follows, sound};
use crate::decide::{
    Cancelled, Patch, SettleRefused, SettleStep, cancel, claim, claimable, expire, interrupt_on_open, patch,
    reclaim, renew, retry, settle,
};
use crate::id::Fence;
use crate::job::Outcome;

/// Something that can happen to a job.
#[derive(Clone, Debug)]
enum Event {
    Claim(WorkerKind, u64),
    Renew(u64),
    Settle(Settlement, u8),
    Cancel,
    Reclaim,
    Open,
    Expire,
    Retry,
    Patch(u8),
    Wait(u64),
}

fn settlement() -> impl Strategy<Value = Settlement> {
    prop_oneof![
        3 => Just(succeed()),
        4 => prop::option::of(0u64..100).prop_map(|floor| fail(floor.map(s))),
        2 => (0u64..50, any::<bool>()).prop_map(|(delay, interrupted)| release(delay, interrupted)),
        1 => Just(Settlement::Cancel),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    let kind = prop_oneof![
        Just(WorkerKind::Pull),
        Just(WorkerKind::Push),
        Just(WorkerKind::Process),
        Just(WorkerKind::Deferred)
    ];
    prop_oneof![
        5 => (kind, 0u64..100).prop_map(|(kind, term)| Event::Claim(kind, term)),
        1 => (0u64..100).prop_map(Event::Renew),
        3 => (settlement(), 0u8..3).prop_map(|(settlement, digest)| Event::Settle(settlement, digest)),
        1 => Just(Event::Cancel),
        2 => Just(Event::Reclaim),
        1 => Just(Event::Open),
        1 => Just(Event::Expire),
        1 => Just(Event::Retry),
        1 => (0u8..10).prop_map(Event::Patch),
        4 => (0u64..60).prop_map(Event::Wait),
    ]
}

fn options() -> impl Strategy<Value = Options> {
    let limit = || prop::option::of((1u64..300).prop_map(s));
    (limit(), limit(), limit()).prop_map(|(start_before, deadline, timeout)| Options {
        start_before,
        deadline,
        timeout,
        ..Options::default()
    })
}

fn rules() -> impl Strategy<Value = Policy> {
    (1u64..300, 0u64..30, 1u32..5, 0u64..20, 0u64..100).prop_map(
        |(timeout, grace, max_attempts, base, cap)| Policy {
            timeout: s(timeout),
            cancel_grace: s(grace),
            max_attempts,
            backoff: Backoff::Exponential {
                base: s(base),
                cap: s(cap),
            },
            ..policy()
        },
    )
}

/// A job on its way, and the last lease that it had.
#[derive(Debug)]
struct Life {
    job: Job,
    lease: Option<LeaseId>,
    now: Timestamp,
    seed: u64,
    policy: Policy,
}

impl Life {
    /// What the event makes of the job; `None` where nothing changes.
    fn next(&mut self, event: &Event) -> Option<Job> {
        let (job, policy, now) = (&self.job, &self.policy, self.now);
        self.seed += 1;
        match event {
            Event::Claim(kind, term) => {
                let mut nonce = [0; 12];
                nonce[..8].copy_from_slice(&self.seed.to_be_bytes());
                let who = Claimer {
                    kind: *kind,
                    term: s(*term),
                    ..claimer()
                };
                let next = claim(job, &who, Nonce(nonce), policy, now)?;
                self.lease = next.lease_id();
                Some(next)
            }
            Event::Renew(term) => {
                let renewed = renew(job, &self.lease?, s(*term), None, term.is_multiple_of(4), now)?;
                let mut next = job.clone();
                next.phase = Phase::Running(renewed.lease);
                Some(next)
            }
            Event::Settle(settlement, digest) => {
                match settle(
                    job,
                    &self.lease?,
                    settlement.clone(),
                    [*digest; 16],
                    policy,
                    self.seed,
                    now,
                ) {
                    Ok(SettleStep::Moved { job, .. }) => Some(Arc::unwrap_or_clone(job)),
                    Ok(SettleStep::Repeated) | Err(_) => None,
                }
            }
            Event::Cancel => match cancel(job, policy, now) {
                Cancelled::Ended(job) | Cancelled::Asked(job) => Some(job),
                Cancelled::Already => None,
            },
            Event::Reclaim => reclaim(job, policy, self.seed, now),
            Event::Open => interrupt_on_open(job, policy, self.seed, now),
            Event::Expire => expire(job, policy, now),
            Event::Retry => retry(job, id(self.seed)).ok().map(|(_, job)| job),
            Event::Patch(priority) => {
                let wanted = Patch {
                    priority: Some(*priority),
                    ..Patch::default()
                };
                patch(job, &wanted).ok().flatten()
            }
            Event::Wait(seconds) => {
                self.now = now.plus(s(*seconds));
                None
            }
        }
    }
}

prop_compose! {
    /// A job in the middle of its life.
    fn life()(options in options(), policy in rules(), seed in 0u64..1 << 40, events in prop::collection::vec(event(), 0..25))
        -> Life
    {
        let mut life = Life { job: waiting_with(options), lease: None, now: at(0), seed, policy };
        for event in events {
            if let Some(next) = life.next(&event) {
                life.job = next;
            }
        }
        life
    }
}

/// Whether the event moves a job without being a transition of it.
fn silent(event: &Event, before: &Job, after: &Job) -> bool {
    matches!(event, Event::Renew(_)) || matches!(event, Event::Open) && before.lease_id() == after.lease_id()
}

proptest! {
    #[test]
    fn every_decision_keeps_what_is_true_of_jobs(mut life in life(), event in event()) {
        let before = life.job.clone();
        if let Some(next) = life.next(&event) {
            prop_assert_eq!(sound(&next), Ok(()), "after {:?}", event);
            prop_assert_eq!(follows(&before, &next), Ok(()), "after {:?}", event);
            let grown = next.version - before.version;
            prop_assert_eq!(grown, u32::from(!silent(&event, &before, &next)), "a transition is one version");
            prop_assert!(!before.done() || matches!(event, Event::Retry), "{:?} changed a finished job", event);
        }
    }

    #[test]
    fn a_claim_never_goes_past_the_attempts(life in life()) {
        prop_assert!(life.job.attempt <= life.policy.max_attempts);
        if matches!(life.job.phase, Phase::Waiting) {
            prop_assert!(life.job.attempt < life.policy.max_attempts, "what waits has an attempt left");
        }
    }

    #[test]
    fn a_job_is_claimed_exactly_when_it_waits_and_is_due_and_not_overdue(life in life()) {
        let (job, now) = (&life.job, life.now);
        let claimed = claim(job, &claimer(), NONCE, &life.policy, now);
        prop_assert_eq!(claimed.is_some(), claimable(job, now));
        if let Some(claimed) = claimed {
            prop_assert!(job.run_at <= now && job.overdue_at().is_none_or(|overdue| overdue > now));
            prop_assert_eq!(expire(job, &life.policy, now), None, "nothing is both claimed and expired");
            prop_assert_eq!((claimed.attempt, claimed.fence), (job.attempt + 1, Fence(job.fence.0 + 1)));
        } else if matches!(job.phase, Phase::Waiting) && job.run_at <= now {
            prop_assert!(expire(job, &life.policy, now).is_some(), "what is due and not claimable is overdue");
        }
    }

    #[test]
    fn success_under_the_lease_always_wins(life in life()) {
        if let Some(lease) = life.job.lease_id() {
            let step = settle(&life.job, &lease, succeed(), [9; 16], &life.policy, 0, life.now);
            let Ok(SettleStep::Moved { job, result: kept }) = step else {
                return Err(TestCaseError::fail(format!("refused: {step:?}")));
            };
            prop_assert_eq!((job.outcome(), kept), (Some(Outcome::Succeeded), Some(Arc::new(result()))));
        }
    }

    #[test]
    fn a_job_that_was_asked_to_stop_never_waits_again(mut life in life(), event in event()) {
        let asked = life.job.cancel_requested;
        if let Some(next) = life.next(&event).filter(|_| asked) {
            prop_assert!(!matches!(next.phase, Phase::Waiting));
            if let (false, Some(outcome)) = (life.job.done(), next.outcome()) {
                prop_assert!(matches!(outcome, Outcome::Succeeded | Outcome::Cancelled), "{:?}", outcome);
            }
        }
    }

    #[test]
    fn only_the_lease_that_holds_the_job_can_move_it(life in life(), settlement in settlement(), fence in 0u32..9) {
        let forged = LeaseId { job: life.job.id, fence: Fence(fence), nonce: Nonce([0xff; 12]) };
        let step = settle(&life.job, &forged, settlement.clone(), [9; 16], &life.policy, 0, life.now);
        prop_assert_eq!(step, Err(SettleRefused::LeaseLost));
        prop_assert_eq!(renew(&life.job, &forged, s(30), None, true, life.now), None);
        if let Some(former) = life.lease.filter(|lease| life.job.lease_id() != Some(*lease)) {
            let step = settle(&life.job, &former, settlement, [9; 16], &life.policy, 0, life.now);
            prop_assert!(step.is_err(), "a lease that is over moved the job: {:?}", step);
        }
    }

    #[test]
    fn a_settlement_that_comes_twice_changes_nothing(life in life(), settlement in settlement()) {
        if let Some(lease) = life.job.lease_id() {
            let once = settle(&life.job, &lease, settlement.clone(), [9; 16], &life.policy, 0, life.now);
            if let Ok(SettleStep::Moved { job, .. }) = once {
                let later = life.now.plus(s(1));
                let again = settle(&job, &lease, settlement.clone(), [9; 16], &life.policy, 0, later);
                prop_assert_eq!(again, Ok(SettleStep::Repeated));
                let other = settle(&job, &lease, settlement, [8; 16], &life.policy, 0, later);
                prop_assert_eq!(other, Err(SettleRefused::AlreadySettled));
            }
        }
    }

    #[test]
    fn a_lease_is_reclaimed_exactly_when_it_has_lapsed(life in life()) {
        let lapsed = life.job.lease().is_some_and(|lease| lease.ends_at() <= life.now);
        prop_assert_eq!(reclaim(&life.job, &life.policy, 0, life.now).is_some(), lapsed);
    }

    #[test]
    fn no_renewal_passes_the_attempts_time_nor_the_grace(life in life(), term in 0u64..100_000) {
        if let Some(renewed) = life.job.lease_id().and_then(|lease| renew(&life.job, &lease, s(term), None, term.is_multiple_of(2), life.now)) {
            let held = life.job.lease().unwrap();
            prop_assert!(renewed.lease.ends_at() <= held.attempt_deadline);
            prop_assert!(held.cancel_by.is_none_or(|by| renewed.lease.ends_at() <= by));
            prop_assert_eq!(renewed.lease.nonce, held.nonce);
        }
    }

    #[test]
    fn a_retry_waits_no_longer_than_its_backoff_or_what_its_handler_asked(life in life(), floor in 0u64..100, seed: u64) {
        if let Some(lease) = life.job.lease_id() {
            let step = settle(&life.job, &lease, fail(Some(s(floor))), [9; 16], &life.policy, seed, life.now);
            if let Ok(SettleStep::Moved { job, .. }) = step && matches!(job.phase, Phase::Waiting) {
                let ceiling = life.policy.backoff.ceiling(job.attempt);
                prop_assert!(job.run_at >= life.now.plus(s(floor)));
                prop_assert!(job.run_at <= life.now.plus(ceiling.max(s(floor))));
                prop_assert!(job.deadline_at().is_none_or(|deadline| job.run_at < deadline));
            }
        }
    }

    #[test]
    fn every_job_comes_to_its_end(life in life()) {
        // Workers that die, again and again, and upkeep: nothing else is needed.
        let Life { mut job, policy, mut now, .. } = life;
        for seed in 0..100 {
            let next = reclaim(&job, &policy, seed, now)
                .or_else(|| expire(&job, &policy, now))
                .or_else(|| claim(&job, &claimer(), NONCE, &policy, now));
            job = next.unwrap_or(job);
            now = now.plus(s(60));
        }
        prop_assert!(job.done(), "{}", show(&job));
    }
}
