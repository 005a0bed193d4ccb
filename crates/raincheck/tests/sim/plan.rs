//! What a seed decides before its schedule begins: store, queues, faults, who takes part, when the node ends.
//!
//! Invariant: a plan is a function of the seed alone, so that a seed names one schedule for ever.

use std::time::Duration;

use raincheck_core::group::GroupSpec;
use raincheck_core::queue::{QueueSpec, Worker};

use crate::rng::Rng;

/// The queue that pull workers work.
pub(crate) const PULL: &str = "pull";
/// The queue that the node works itself.
pub(crate) const OWN: &str = "own";

/// One schedule in so many runs on the embedded store.
const SQLITE_ONE_IN: u64 = 100;
/// So many of a hundred schedules on the model have a whole node; the others work the store alone.
const NODE_PERCENT: u64 = 25;

/// What tells the stream of groups' limits from a seed's own.
const GROUPS: u64 = 0x6772_6f75_7073;

/// How likely what goes wrong with one operation, of a thousand.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    /// Not reached: nothing is stored, the caller is told so.
    pub(crate) refused: u64,
    /// Stored, and the caller is told that nobody knows.
    pub(crate) forgotten: u64,
    /// Not stored, and the caller is told that nobody knows.
    pub(crate) lost: u64,
    /// No space for what is new.
    pub(crate) full: u64,
    /// The operation, or its answer, takes a while.
    pub(crate) slow: u64,
    /// How long at most, in milliseconds.
    pub(crate) slow_ms_max: u64,
    /// A sync fails: nothing is taken any more.
    pub(crate) poisoned: u64,
    /// A hint does not reach the node.
    pub(crate) hint_lost: u64,
}

/// How a run of the node ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Everything in memory is gone.
    Crash,
    /// It is told to leave, and leaves in order.
    Drain,
}

/// One schedule.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) sqlite: bool,
    pub(crate) node: bool,
    pub(crate) queues: Vec<(&'static str, QueueSpec)>,
    pub(crate) faults: Faults,
    pub(crate) clients: u64,
    /// What each client does.
    pub(crate) actions: u64,
    pub(crate) workers: u64,
    /// When the node ends, counted from the end before.
    pub(crate) endings: Vec<(Duration, Ending)>,
    /// The stream from which everybody forks.
    pub(crate) rng: Rng,
}

impl Plan {
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let sqlite = rng.below(SQLITE_ONE_IN) == 0;
        let node = rng.chance(NODE_PERCENT);
        let mut queues = vec![(PULL, spec(&mut rng, None, sqlite))];
        if node {
            let worker = Worker::Process(vec!["simulated".to_owned()]);
            queues.push((OWN, spec(&mut rng, Some(worker), sqlite)));
        }
        // From a stream of their own, so that what else a seed decides stays.
        let mut limits = Rng::new(seed ^ GROUPS);
        for (_, spec) in &mut queues {
            spec.group_defaults = group_defaults(&mut limits, sqlite);
        }
        let endings = (0..rng.below(3)).map(|_| {
            let ending = if rng.chance(75) {
                Ending::Crash
            } else {
                Ending::Drain
            };
            (rng.ms(200, 6_000), ending)
        });
        let endings = endings.collect();
        Self {
            seed,
            sqlite,
            node,
            queues,
            endings,
            faults: faults(&mut rng),
            clients: rng.between(1, 2),
            actions: rng.between(5, 11),
            workers: rng.between(1, 3),
            rng,
        }
    }
}

/// What bounds each group, where something does.
fn group_defaults(rng: &mut Rng, sqlite: bool) -> Option<GroupSpec> {
    let concurrency = rng
        .chance(25)
        .then(|| u32::try_from(rng.between(1, 2)).unwrap_or(1));
    // The same holds for it as for a queue's rate.
    let rate = (rng.chance(15) && !sqlite).then(|| "2/s".parse().ok()).flatten();
    (concurrency.is_some() || rate.is_some()).then_some(GroupSpec {
        concurrency,
        rate,
        burst: None,
    })
}

fn faults(rng: &mut Rng) -> Faults {
    let calm = Faults::default();
    let slow = Faults {
        slow: 300,
        slow_ms_max: rng.between(5, 900),
        hint_lost: 50,
        ..calm
    };
    match rng.below(8) {
        0 => calm,
        1 => slow,
        2 => Faults {
            poisoned: 5,
            forgotten: 20,
            ..calm
        },
        3 => Faults {
            full: 400,
            refused: 40,
            ..slow
        },
        4 => Faults {
            refused: 400,
            forgotten: 50,
            ..calm
        },
        5 => Faults {
            forgotten: 250,
            lost: 80,
            ..calm
        },
        _ => Faults {
            refused: rng.below(120),
            forgotten: rng.below(120),
            lost: rng.below(60),
            full: rng.below(60),
            hint_lost: rng.below(400),
            ..slow
        },
    }
}

/// Settings that let much happen within seconds.
fn spec(rng: &mut Rng, worker: Option<Worker>, sqlite: bool) -> QueueSpec {
    let seconds = |rng: &mut Rng, low, high| Some(Duration::from_secs(rng.between(low, high)));
    // Opening the embedded store draws its own jitter: without delays it cannot make two runs differ.
    let backoff = if sqlite {
        "constant;base=0ms"
    } else {
        *rng.pick(&[
            "constant;base=0ms",
            "constant;base=800ms",
            "exponential;base=200ms;cap=3s",
        ])
    };
    QueueSpec {
        worker,
        concurrency: rng
            .chance(50)
            .then(|| u32::try_from(rng.between(1, 3)).unwrap_or(1)),
        // The embedded store wakes by the time outside, so a rate would make two runs differ.
        rate: (rng.chance(25) && !sqlite).then(|| "3/s".parse().ok()).flatten(),
        depth: rng.chance(25).then(|| rng.between(2, 6)),
        timeout: seconds(rng, 2, 12),
        lease_for: seconds(rng, 1, 5),
        cancel_grace: seconds(rng, 0, 3),
        max_attempts: Some(u32::try_from(rng.between(1, 4)).unwrap_or(1)),
        backoff: backoff.parse().ok(),
        keep: rng.chance(30).then(|| rng.ms(1_000, 6_000)),
        ..QueueSpec::default()
    }
}
