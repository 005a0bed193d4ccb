//! Simulation of one node: the engine, its workers, its clients and its store in bad times, from one seed.
//!
//! Time is the runtime's, paused; randomness is the seed's; the store fails before and after commits, answers late, is full
//! or gone. After every step the [`check`]er holds what was answered against what was answered before. Invariants: a seed
//! run twice gives equal logs; what is rare must happen often enough, or the test fails.
//!
//! `RAINCHECK_SEED=7` runs that schedule alone; `RAINCHECK_SLOW_TESTS=10` runs ten times as many. Seeds that ever failed stay in
//! `seeds.txt`, and go first.

mod broken;
mod check;
mod client;
mod cover;
mod disk;
mod door;
mod engine;
mod log;
mod plan;
mod rng;
mod run;
mod store;
mod worker;
mod world;

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use broken::Bug;
use log::Cover;
use run::schedule;

/// Schedules of the normal test run: the same ones each time, and some that nobody ran before.
const SCHEDULES: u64 = 20_000;
/// How many of them are fresh.
const FRESH: u64 = 2_000;
/// How many seeds are run twice to compare their logs.
const TWICE: u64 = 150;
/// So many seeds are enough to show a bug.
const ENOUGH: u64 = 400;

/// The seed that was asked for.
fn asked() -> Option<u64> {
    let seed = std::env::var("RAINCHECK_SEED").ok()?;
    Some(seed.parse().expect("RAINCHECK_SEED is a number"))
}

/// By how much the volume grows.
fn volume() -> u64 {
    let asked = std::env::var("RAINCHECK_SLOW_TESTS").ok();
    asked.map_or(1, |asked| match asked.parse() {
        Ok(0) => 1,
        Ok(times) => times,
        Err(_) if asked.is_empty() => 1,
        Err(_) => 10,
    })
}

/// Runs one schedule; fails with all that is needed to see why.
fn hold(seed: u64) -> Cover {
    let ended = schedule(seed, None);
    if let Some(broken) = ended.broken {
        panic!(
            "seed {seed} broke a rule after {} events. {broken}\n\nThe last events:\n{}\nAgain: RAINCHECK_SEED={seed} cargo test \
             -p raincheck --test sim every_schedule_holds. Keep the seed: add it to tests/sim/seeds.txt.",
            ended.log.len(),
            ended.log
        );
    }
    ended.cover
}

/// The seeds that failed once.
fn kept() -> Vec<u64> {
    let lines = include_str!("seeds.txt").lines();
    let seeds = lines.filter_map(|line| line.split('#').next()).map(str::trim);
    seeds
        .filter(|seed| !seed.is_empty())
        .map(|seed| seed.parse().expect("a line begins with a seed"))
        .collect()
}

#[test]
fn every_schedule_holds() {
    if let Some(seed) = asked() {
        println!("{}", hold(seed));
        return;
    }
    for seed in kept() {
        hold(seed);
    }
    let fresh = RandomState::new().build_hasher().finish() >> 24;
    let (all, fresh_from) = (SCHEDULES * volume(), (SCHEDULES - FRESH) * volume());
    println!("fresh schedules begin at seed {fresh}");
    let (next, sum) = (AtomicU64::new(0), Mutex::new(Cover::default()));
    let work = || {
        let mut cover = Cover::default();
        loop {
            let place = next.fetch_add(1, Ordering::Relaxed);
            if place >= all {
                break;
            }
            cover.add(&hold(if place < fresh_from { place } else { fresh + place }));
        }
        sum.lock().unwrap_or_else(PoisonError::into_inner).add(&cover);
    };
    std::thread::scope(|scope| {
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        for _ in 1..threads {
            scope.spawn(work);
        }
        work();
    });
    let sum = sum.into_inner().unwrap_or_else(PoisonError::into_inner);
    println!("{sum}");
    let missing = sum.missing(cover::WANTED);
    assert!(
        missing.is_empty(),
        "the schedules became blind to: {missing:#?}\n{sum}"
    );
}

#[test]
fn a_seed_run_twice_gives_equal_logs() {
    for seed in asked().map_or(0..TWICE, |seed| seed..seed + 1) {
        let (first, second) = (schedule(seed, None), schedule(seed, None));
        if let Some(difference) = first.log.difference(&second.log) {
            panic!("seed {seed}: {difference}\n{}", first.log);
        }
    }
}

#[test]
fn the_checker_sees_every_bug() {
    for bug in Bug::ALL {
        let seen = (0..ENOUGH).find_map(|seed| schedule(seed, Some(bug)).broken.map(|rule| (seed, rule)));
        let (seed, rule) = seen.unwrap_or_else(|| panic!("{bug:?} was not seen in {ENOUGH} schedules"));
        println!(
            "{bug:?} was seen with seed {seed}: {}",
            rule.lines().next().unwrap_or_default()
        );
    }
}
