//! Random commands from a printed seed, applied to a store and to the model, with every answer compared.
//!
//! Where a store may choose (which group's turn it is, how long an attempt that the former process ran waits) its
//! choice is followed, and it is checked that it was permitted. Invariants: a seed names one run, whatever the store;
//! the job rules of [`invariants`](super::invariants) are checked on every job that an answer shows.
//!
//! `RAINCHECK_SEED=7` runs that seed alone; `RAINCHECK_SLOW_TESTS=1` runs many fresh seeds and longer ones.

mod apply;
mod claims;
mod command;
mod compare;
mod draw;
mod emits;
mod reopen;
mod rng;
mod run;
mod turns;
mod upkeep;
mod values;

use std::collections::hash_map::RandomState;
use std::future::IntoFuture;
use std::hash::{BuildHasher, Hasher};

use super::Opened;
pub use run::Coverage;
use run::Run;

/// Commands of one run.
const STEPS: u32 = 500;
/// Commands of one run when there is time.
const STEPS_SLOW: u32 = 2_000;
/// Fresh seeds when there is time.
const SEEDS_SLOW: u64 = 40;
/// Seeds that every run of the suite takes, beside a fresh one.
const SEEDS: [u64; 3] = [1, 2, 3];

/// Seeds and length of the runs, as the environment wants them.
fn plan() -> (Vec<u64>, u32) {
    let slow = std::env::var("RAINCHECK_SLOW_TESTS").is_ok_and(|value| !value.is_empty() && value != "0");
    let steps = if slow { STEPS_SLOW } else { STEPS };
    if let Ok(seed) = std::env::var("RAINCHECK_SEED") {
        let seed = seed.parse().expect("RAINCHECK_SEED is a number");
        return (vec![seed], steps);
    }
    let fresh = RandomState::new().build_hasher().finish() >> 16;
    let more = if slow { SEEDS_SLOW } else { 1 };
    (
        SEEDS.into_iter().chain((0..more).map(|n| fresh + n)).collect(),
        steps,
    )
}

/// A store that cannot be opened again.
type Never = fn(Opened) -> Opened;

/// Holds fresh stores against the model, one for each seed.
///
/// # Panics
/// When a store answers otherwise than it may; the message names the seed and the last commands.
pub fn agree<O: IntoFuture<Output = Opened>>(open: impl Fn() -> O) -> Coverage {
    let (seeds, steps) = plan();
    agree_on(seeds, steps, open, None::<&Never>)
}

/// The same for durable stores, which are also closed and opened again in between.
///
/// # Panics
/// When a store answers otherwise than it may; the message names the seed and the last commands.
pub fn agree_durably<O, R>(open: impl Fn() -> O, reopen: impl Fn(Opened) -> R) -> Coverage
where
    O: IntoFuture<Output = Opened>,
    R: IntoFuture<Output = Opened>,
{
    let (seeds, steps) = plan();
    agree_on(seeds, steps, open, Some(&reopen))
}

/// Runs these seeds.
pub(super) fn agree_on<O, R>(
    seeds: impl IntoIterator<Item = u64>,
    steps: u32,
    open: impl Fn() -> O,
    reopen: Option<&impl Fn(Opened) -> R>,
) -> Coverage
where
    O: IntoFuture<Output = Opened>,
    R: IntoFuture<Output = Opened>,
{
    let mut coverage = Coverage::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime needs a few file descriptors");
    for seed in seeds {
        let outcome = runtime.block_on(async {
            let run = Run::new(open().await, seed);
            run.drive(steps, reopen).await
        });
        match outcome {
            Ok(covered) => coverage.add(covered),
            Err(failure) => panic!("{failure}"),
        }
    }
    coverage
}
