//! Runs many clients at once for a given time and counts what they finish.
//!
//! Invariant: only what is finished between the two readings of the meter counts; the first client or worker that fails
//! ends the run with its reason; a run ends even when the server falls silent.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;

use super::figures::{Latency, Measured};
use super::meter::Meter;
use super::worker::Workers;
use crate::exit::{Exit, Failed};
use crate::progress::Progress;

/// How long after the measured time the last answers may take.
const LAST_ANSWERS: Duration = Duration::from_secs(60);
/// How often the bar moves.
const FRAME: Duration = Duration::from_millis(100);

/// One client of a closed loop: it begins the next turn when the last one is over.
pub(super) trait Client: Send + 'static {
    /// Brings one job to where the workload wants it.
    fn turn(&mut self) -> impl Future<Output = Result<(), Failed>> + Send;
}

/// When a run counts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    /// How long it is under way before that.
    pub(super) warm_up: Duration,
    /// How long it counts.
    pub(super) measured: Duration,
}

/// A time in microseconds; four thousand seconds are the longest that it can tell.
pub(super) fn micros(span: Duration) -> u32 {
    u32::try_from(span.as_micros()).unwrap_or(u32::MAX)
}

/// Runs the clients through the window. It lasts longer where not one job was finished in it.
pub(super) async fn closed<C: Client>(
    clients: Vec<C>,
    window: Window,
    workers: &mut Workers,
    meter: Meter,
    progress: &Progress,
) -> Result<Measured, Failed> {
    let (phase, tasks) = (Arc::new(Phase::default()), JoinSet::new());
    let mut course = Course {
        whole: Instant::now() + window.warm_up..Instant::now() + window.warm_up + window.measured,
        tasks,
        seen: Vec::new(),
    };
    for client in clients {
        course.tasks.spawn(turns(client, phase.clone()));
    }
    let (from, until) = (course.whole.start, course.whole.end);
    course.run(|| Instant::now() >= from, workers, progress).await?;
    phase.counts.store(true, Ordering::Relaxed);
    let reading = meter.read();
    let enough = || Instant::now() >= until && phase.finished.load(Ordering::Relaxed) > 0;
    course.run(enough, workers, progress).await?;
    let used = meter.since(reading);
    phase.over.store(true, Ordering::Relaxed);
    course.run(|| false, workers, progress).await?;
    let latency = Latency::of(course.seen);
    Ok(Measured {
        jobs: latency.count(),
        latency,
        used,
    })
}

/// What the clients have to know of the run.
#[derive(Debug, Default)]
struct Phase {
    /// What is finished counts.
    counts: AtomicBool,
    /// Nothing more is to be begun, and nothing counts any more.
    over: AtomicBool,
    /// So many jobs have counted.
    finished: AtomicU64,
}

async fn turns<C: Client>(mut client: C, phase: Arc<Phase>) -> Result<Vec<u32>, Failed> {
    let mut seen = Vec::new();
    let mut sent = Instant::now();
    while !phase.over.load(Ordering::Relaxed) {
        client.turn().await?;
        let now = Instant::now();
        if phase.counts.load(Ordering::Relaxed) && !phase.over.load(Ordering::Relaxed) {
            seen.push(micros(now - sent));
            phase.finished.fetch_add(1, Ordering::Relaxed);
        }
        sent = now;
    }
    Ok(seen)
}

/// Clients under way.
struct Course {
    /// The time that counts.
    whole: Range<Instant>,
    tasks: JoinSet<Result<Vec<u32>, Failed>>,
    seen: Vec<u32>,
}

impl Course {
    /// Lets everything run until this is so, or until no client is left.
    async fn run(
        &mut self,
        ended: impl Fn() -> bool,
        workers: &mut Workers,
        progress: &Progress,
    ) -> Result<(), Failed> {
        let Range { start, end } = self.whole;
        while !ended() {
            let now = Instant::now();
            let passed = now.saturating_duration_since(start).as_secs_f64();
            progress.show(passed / (end - start).as_secs_f64());
            if now > end + LAST_ANSWERS {
                return Err(silent());
            }
            let next = [start, end].into_iter().find(|then| *then > now);
            let next = next.map_or(now + FRAME, |then| then.min(now + FRAME));
            tokio::select! {
                joined = self.tasks.join_next() => match joined {
                    Some(joined) => self.seen.extend(joined.map_err(|error| panicked(&error))??),
                    None => return Ok(()),
                },
                failed = workers.failed() => return Err(failed),
                () = tokio::time::sleep_until(next) => {}
            }
        }
        Ok(())
    }
}

/// The server answers no more.
pub(super) fn silent() -> Failed {
    Failed::new(
        Exit::Unreachable,
        format!("the server finished nothing within {} s", LAST_ANSWERS.as_secs()),
    )
}

/// A part of the load ended as it should not.
pub(super) fn panicked(error: &JoinError) -> Failed {
    Failed::new(Exit::Failure, format!("a part of the load broke: {error}"))
}

/// Waits for all of these tasks, or for the first that fails; `shown` says how far they are.
pub(super) async fn all<T: 'static>(
    tasks: &mut JoinSet<Result<T, Failed>>,
    workers: &mut Workers,
    progress: &Progress,
    shown: impl Fn() -> f64,
) -> Result<Vec<T>, Failed> {
    let mut ended = Vec::new();
    let mut last = (0.0, Instant::now());
    loop {
        let share = shown();
        progress.show(share);
        if share > last.0 {
            last = (share, Instant::now());
        } else if last.1.elapsed() > LAST_ANSWERS {
            return Err(silent());
        }
        tokio::select! {
            joined = tasks.join_next() => match joined {
                Some(joined) => ended.push(joined.map_err(|error| panicked(&error))??),
                None => return Ok(ended),
            },
            failed = workers.failed() => return Err(failed),
            () = tokio::time::sleep(FRAME) => {}
        }
    }
}

/// Waits until the workers have settled so many jobs.
pub(super) async fn settled(jobs: u64, workers: &mut Workers, progress: &Progress) -> Result<(), Failed> {
    let count = workers.settled();
    reached(jobs, &count, workers, progress).await
}

/// Waits until so many are counted, while the workers work.
pub(super) async fn reached(
    jobs: u64,
    count: &AtomicU64,
    workers: &mut Workers,
    progress: &Progress,
) -> Result<(), Failed> {
    let mut last = (0, Instant::now());
    loop {
        let done = count.load(Ordering::Relaxed);
        progress.show(done as f64 / jobs as f64);
        if done >= jobs {
            return Ok(());
        }
        if done > last.0 {
            last = (done, Instant::now());
        } else if last.1.elapsed() > LAST_ANSWERS {
            return Err(silent());
        }
        tokio::select! {
            failed = workers.failed() => return Err(failed),
            // A millisecond is the finest that a timer here can tell.
            () = tokio::time::sleep(Duration::from_millis(1)) => {}
        }
    }
}
