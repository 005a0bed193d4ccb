//! The ledger finds every lie and accuses no honest server.

mod leases;
mod server;

use super::*;
use crate::rng::Rng;
use server::{Lie, Server};

/// Clients and handlers of one simulated server.
struct Run {
    ledger: Ledger,
    server: Server,
    rng: Rng,
    calls: u64,
    tokens: u64,
    keyed: Vec<Submit>,
    ids: Vec<JobId>,
    at: u64,
}

impl Run {
    fn record(&mut self, event: Event) {
        self.at += 1;
        self.ledger.record(self.at, event);
    }

    /// Sends one request; one answer in ten never arrives, and half of those requests neither.
    fn send(&mut self, request: &Request, reliable: bool) {
        self.calls += 1;
        let call = CallId(self.calls);
        self.record(Event::Call(call, request.clone()));
        let lost = !reliable && self.rng.chance(1, 10);
        if lost && self.rng.chance(1, 2) {
            let known = self.rng.chance(1, 3);
            self.record(if known {
                Event::Unsent(call)
            } else {
                Event::Lost(call)
            });
            return;
        }
        let reply = self.server.serve(request);
        if lost {
            self.record(Event::Lost(call));
            return;
        }
        if let Some(id) = &reply.job
            && !self.ids.contains(id)
        {
            self.ids.push(id.clone());
        }
        self.record(Event::Reply(call, reply));
    }

    fn submit(&mut self) -> Request {
        self.tokens += 1;
        let submit = Submit {
            queue: "work".into(),
            key: self
                .rng
                .chance(1, 2)
                .then(|| format!("key-{}", self.tokens).into()),
            token: Token(self.tokens),
            valid: !self.rng.chance(1, 8),
            short_lived: false,
        };
        if submit.key.is_some() && submit.valid {
            self.keyed.push(submit.clone());
        }
        Request::Submit(submit)
    }

    /// A known key with another body: must be refused.
    fn steal(&mut self) -> Option<Request> {
        let known = self.rng.pick(&self.keyed)?.clone();
        self.tokens += 1;
        // Only a key whose job is known to exist is certainly refused.
        self.ledger
            .jobs()
            .any(|id| self.ledger.owner.get(id) == Some(&known.token))
            .then_some(Request::Submit(Submit {
                token: Token(self.tokens),
                valid: false,
                ..known
            }))
    }

    fn step(&mut self) {
        let about: Option<fn(JobId) -> Request> = match self.rng.below(20) {
            0..=3 => {
                let request = self.submit();
                self.send(&request, false);
                None
            }
            4 => {
                if let Some(again) = self.rng.pick(&self.keyed).cloned() {
                    self.send(&Request::Submit(again), false);
                }
                None
            }
            5 => {
                if let Some(request) = self.steal() {
                    self.send(&request, false);
                }
                None
            }
            6..=11 => {
                self.work();
                None
            }
            12..=13 => Some(Request::Read),
            14..=15 => Some(Request::Redeem),
            16 => Some(Request::Cancel),
            17 => Some(Request::Retry),
            18 => Some(Request::Delete),
            _ => {
                if self.rng.chance(1, 2) {
                    self.record(Event::Started);
                    self.server.crash();
                }
                None
            }
        };
        // Mostly the newest jobs: there the races are.
        let recent = self
            .ids
            .len()
            .saturating_sub(if self.rng.chance(2, 3) { 20 } else { usize::MAX });
        if let Some(about) = about
            && let Some(id) = self.rng.pick(&self.ids[recent..]).cloned()
        {
            self.send(&about(id), false);
        }
    }

    fn work(&mut self) {
        if let Some(handed) = self.server.work() {
            self.record(Event::Handed(handed));
        }
    }

    fn end(&mut self) {
        for submit in self.ledger.in_doubt().cloned().collect::<Vec<_>>() {
            self.send(&Request::Submit(submit), true);
        }
        for id in self.server.jobs.keys().cloned().collect::<Vec<_>>() {
            for _ in 0..8 {
                if let Some(handed) = self.server.work_on(id.clone()) {
                    self.record(Event::Handed(handed));
                }
            }
        }
        for id in self.ids.clone() {
            self.send(&Request::Read(id.clone()), true);
            self.send(&Request::Redeem(id), true);
        }
        // A retry whose answer was lost made a job that only the handlers told of.
        for id in self.ledger.jobs().cloned().collect::<Vec<_>>() {
            self.send(&Request::Read(id), true);
        }
        let jobs = self.server.count();
        self.record(Event::Counted {
            queue: "work".into(),
            jobs,
        });
        self.record(Event::Settled);
    }
}

fn run(lie: Option<Lie>, seed: u64) -> Ledger {
    let rng = Rng::new(seed);
    let mut run = Run {
        ledger: Ledger::default(),
        server: Server::new(lie, rng.fork(1)),
        rng: rng.fork(2),
        calls: 0,
        tokens: 0,
        keyed: Vec::new(),
        ids: Vec::new(),
        at: 0,
    };
    run.record(Event::Started);
    run.server.crash();
    for _ in 0..1_500 {
        run.step();
    }
    run.end();
    run.ledger
}

/// Every seed finds the lie, and the first thing found names it.
#[track_caller]
fn finds(lie: Lie, fault: Fault) {
    for seed in 0..10 {
        let ledger = run(Some(lie), seed);
        let found = ledger.violations();
        assert!(
            found.iter().any(|violation| violation.fault == fault),
            "seed {seed}: {lie:?} must be found as {fault:?}, found {found:?}"
        );
        let named = found.iter().find(|violation| violation.fault == fault);
        let told = named.is_some_and(|violation| !ledger.story(violation).is_empty());
        assert!(
            told || fault == Fault::Miscounted || fault == Fault::Invented,
            "{fault:?} comes with its history"
        );
    }
}

#[test]
fn an_honest_server_is_not_accused() {
    for seed in 0..100 {
        let ledger = run(None, seed);
        let stories: Vec<_> = ledger
            .violations()
            .iter()
            .map(|found| (found, ledger.story(found)))
            .collect();
        assert!(stories.is_empty(), "seed {seed}: {stories:#?}");
    }
}

#[test]
fn an_honest_run_sees_everything_it_counts() {
    let ledger = run(None, 1);
    let blind: Vec<_> = ledger
        .tally()
        .rows()
        .into_iter()
        // Its server has no pull workers: `leases` is about those.
        .filter(|(name, count)| *count == 0 && !name.contains("settled") && !name.contains("over"))
        .collect();
    assert!(blind.is_empty(), "never happened: {blind:?}");
}

#[test]
fn a_lost_job_is_found() {
    finds(Lie::LosesJobInCrash, Fault::Lost);
}

#[test]
fn a_known_job_that_answers_404_is_found() {
    finds(Lie::AnswersNotFound, Fault::Lost);
}

#[test]
fn an_invented_job_is_found() {
    finds(Lie::InventsJob, Fault::Invented);
}

#[test]
fn a_refused_job_that_runs_is_found() {
    finds(Lie::RunsRefused, Fault::RanRefused);
}

#[test]
fn an_invalid_submission_that_is_taken_is_found() {
    finds(Lie::TakesInvalid, Fault::TookInvalid);
}

#[test]
fn a_phantom_in_the_queue_is_found() {
    finds(Lie::MiscountsQueue, Fault::Miscounted);
}

#[test]
fn a_forgotten_key_is_found() {
    finds(Lie::ForgetsKeyInCrash, Fault::KeyForgotten);
}

#[test]
fn one_submission_that_makes_two_jobs_is_found() {
    finds(Lie::MakesTwoJobs, Fault::TwoJobs);
}

#[test]
fn a_job_that_never_finishes_is_found() {
    finds(Lie::NeverFinishes, Fault::Unfinished);
}

#[test]
fn a_repeated_fence_is_found() {
    finds(Lie::RepeatsFence, Fault::FenceRepeated);
}

#[test]
fn a_changed_outcome_is_found() {
    finds(Lie::ChangesOutcome, Fault::OutcomeChanged);
}

#[test]
fn a_changed_result_is_found() {
    finds(Lie::ChangesResult, Fault::ResultChanged);
}

#[test]
fn a_result_of_another_job_is_found() {
    finds(Lie::MixesResults, Fault::Mixed);
}

#[test]
fn a_finished_job_that_runs_again_is_found() {
    finds(Lie::RerunsFinished, Fault::RanFinished);
}

#[test]
fn an_older_state_after_a_newer_one_is_found() {
    finds(Lie::ShowsOlderState, Fault::OlderState);
}

#[test]
fn a_cancelled_job_that_runs_again_is_found() {
    finds(Lie::RerunsCancelled, Fault::RanCancelled);
}

#[test]
fn a_forgotten_cancel_is_found() {
    finds(Lie::ForgetsCancel, Fault::CancelForgotten);
}

#[test]
fn a_deleted_job_that_is_back_is_found() {
    finds(Lie::RevivesDeleted, Fault::Revived);
}

#[test]
fn a_deleted_job_that_runs_is_found() {
    finds(Lie::RunsDeleted, Fault::RanDeleted);
}

#[test]
fn an_answer_outside_the_contract_is_found() {
    finds(Lie::Answers500, Fault::Unexpected);
}

#[test]
fn a_retired_job_that_runs_is_found() {
    let mut ledger = run(None, 4);
    let owners = ledger.owner.clone();
    let gone = owners
        .keys()
        .find(|id| ledger.retire(id))
        .expect("a run deletes some jobs")
        .clone();
    let token = owners[&gone];
    ledger.record(
        1_000_000,
        Event::Handed(Handed {
            job: Some(gone),
            token: Some(token),
            fence: Some(9),
            attempt: Some(1),
            live: false,
            server: 99,
        }),
    );
    assert_eq!(
        ledger.violations().last().map(|found| found.fault),
        Some(Fault::RanDeleted)
    );
}
