//! The workload `rate`: jobs that come at a steady pace, however long the server takes (an open loop).
//!
//! Invariant: every time is counted from the instant at which the job was due, so that a server that falls behind
//! cannot hide it by slowing its clients down.

use std::collections::VecDeque;
use std::num::NonZeroU64;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::cycle::{acknowledged, redeem, result_of};
use super::drive::{micros, panicked, silent};
use super::figures::{Latency, Measured, Row};
use super::rig::Rig;
use super::submit::HowToSubmit;
use super::wire::{Target, Wire};
use super::worker::{HowToWork, Workers};
use crate::exit::Failed;

const NAME: &str = "rate";
/// Connections that are open from the start.
const READY: usize = 32;
/// Jobs that are under way at once, each on its connection; those that are due beyond that begin late, and count as late.
const OPEN_MAX: usize = 512;
/// How long the last jobs may take.
const LAST_JOBS: Duration = Duration::from_secs(30);

/// Jobs at the rate that was asked for, worked as they come.
pub(super) async fn run(rig: &Rig, rows: &mut Vec<Row>) -> Result<(), Failed> {
    let rate = rig.sizes.rate;
    rig.progress.begin(&format!("{NAME}, {rate} a second"));
    let how = HowToSubmit::plain(rig.queue("paced").await?);
    let (answer, result) = measure(rig, &how).await?;
    rows.push(Row::of(NAME, format!("answer at {rate}/s"), &answer));
    rows.push(Row::of(NAME, format!("result at {rate}/s"), &result));
    Ok(())
}

/// The times until the answer to the submit, and until the result was read.
pub(super) async fn measure(rig: &Rig, how: &HowToSubmit) -> Result<(Measured, Measured), Failed> {
    let work = HowToWork {
        queue: how.queue.clone(),
        workers: rig.sizes.workers,
        claim: rig.sizes.claim,
        quota: how.quota.clone(),
    };
    let mut workers = Workers::start(&rig.target, &work).await?;
    let mut idle = Vec::new();
    for _ in 0..READY {
        idle.push(Wire::open(&rig.target).await?);
    }
    let paced = Paced {
        target: rig.target.clone(),
        message: how.head(rig, "").with(&rig.sizes.input()),
        quota: how.quota.clone(),
    };
    let window = rig.sizes.window();
    let mut pacer = Pacer::start(rig.sizes.rate, window.warm_up + window.measured)?;
    let mut course = Course {
        idle,
        late: VecDeque::new(),
        tasks: JoinSet::new(),
        seen: Vec::new(),
    };
    let from = pacer.start + window.warm_up;
    let until = from + window.measured;
    course.go(&paced, &mut pacer, from, rig, &mut workers).await?;
    let reading = rig.meter().read();
    course.go(&paced, &mut pacer, until, rig, &mut workers).await?;
    let used = rig.meter().since(reading);
    course.finish(&paced, &mut workers).await?;
    workers.stop().await?;
    course.seen.retain(|times| (from..until).contains(&times.due));
    let of = |time: fn(&Times) -> u32| Measured {
        jobs: course.seen.len() as u64,
        latency: Latency::of(course.seen.iter().map(time).collect()),
        used,
    };
    if course.seen.is_empty() {
        return Err(silent());
    }
    Ok((of(|times| times.answer), of(|times| times.result)))
}

/// One job's times.
#[derive(Clone, Copy, Debug)]
struct Times {
    due: Instant,
    /// Microseconds from then until the 202.
    answer: u32,
    /// Microseconds from then until the result.
    result: u32,
}

/// A job that comes at its time.
#[derive(Clone, Debug)]
struct Paced {
    target: Target,
    message: Bytes,
    quota: Option<std::sync::Arc<tokio::sync::Semaphore>>,
}

impl Paced {
    async fn run(self, wire: Option<Wire>, due: Instant) -> Result<(Wire, Times), Failed> {
        let mut wire = match wire {
            Some(wire) => wire,
            None => Wire::open(&self.target).await?,
        };
        let answer = wire.call(&self.message).await?;
        let answered = due.elapsed();
        let result = self.target.get(&result_of(acknowledged(answer)?));
        if let Some(quota) = &self.quota {
            quota.add_permits(1);
        }
        redeem(&mut wire, &result).await?;
        let times = Times {
            due,
            answer: micros(answered),
            result: micros(due.elapsed()),
        };
        Ok((wire, times))
    }
}

/// All the jobs that are due, under way or done.
struct Course {
    idle: Vec<Wire>,
    late: VecDeque<Instant>,
    tasks: JoinSet<Result<(Wire, Times), Failed>>,
    seen: Vec<Times>,
}

impl Course {
    /// Begins every job that falls due until `end`.
    async fn go(
        &mut self,
        paced: &Paced,
        pacer: &mut Pacer,
        end: Instant,
        rig: &Rig,
        workers: &mut Workers,
    ) -> Result<(), Failed> {
        loop {
            tokio::select! {
                biased;
                due = pacer.due.recv() => {
                    let Some(due) = due else { return Ok(()) };
                    self.late.push_back(due);
                    self.begin(paced);
                    let past = (due - pacer.start).as_secs_f64();
                    rig.progress.show(past / (rig.sizes.seconds * 1.25));
                    if due >= end {
                        return Ok(());
                    }
                }
                Some(ended) = self.tasks.join_next() => self.ended(ended.map_err(|error| panicked(&error))??, paced),
                failed = workers.failed() => return Err(failed),
            }
        }
    }

    fn begin(&mut self, paced: &Paced) {
        while self.tasks.len() < OPEN_MAX
            && let Some(due) = self.late.pop_front()
        {
            self.tasks.spawn(paced.clone().run(self.idle.pop(), due));
        }
    }

    fn ended(&mut self, (wire, times): (Wire, Times), paced: &Paced) {
        self.idle.push(wire);
        self.seen.push(times);
        self.begin(paced);
    }

    /// Waits for those that have begun.
    async fn finish(&mut self, paced: &Paced, workers: &mut Workers) -> Result<(), Failed> {
        let end = Instant::now() + LAST_JOBS;
        while !self.tasks.is_empty() {
            tokio::select! {
                Some(ended) = self.tasks.join_next() => self.ended(ended.map_err(|error| panicked(&error))??, paced),
                failed = workers.failed() => return Err(failed),
                () = tokio::time::sleep_until(end) => return Err(silent()),
            }
        }
        Ok(())
    }
}

/// A pace. It is kept by a thread that sleeps, because tokio's timers tell whole milliseconds only, which is longer than
/// an answer takes.
struct Pacer {
    /// Each job at the time at which it is due.
    due: mpsc::Receiver<Instant>,
    start: Instant,
}

impl Pacer {
    /// Begins at once, and ends with the last job that is due within `span`, or when nobody listens any more.
    fn start(rate: f64, span: Duration) -> Result<Self, Failed> {
        let (tell, due) = mpsc::channel(OPEN_MAX);
        let start = Instant::now();
        let keep = move || {
            // Within a microsecond, where the kernel allows it; else within its usual fifty.
            let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
            let gap = Duration::from_secs_f64(1.0 / rate);
            for n in 0_u32.. {
                let due = start + gap.mul_f64(f64::from(n));
                if due >= start + span {
                    return;
                }
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                if tell.blocking_send(due).is_err() {
                    return;
                }
            }
        };
        std::thread::Builder::new().name("pace".to_owned()).spawn(keep)?;
        Ok(Self { due, start })
    }
}
