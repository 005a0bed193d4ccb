//! Runs many clients at once for a given time and counts what they finish.
//!
//! Invariant: only what is finished between the two readings of the meter counts; the first client or worker that fails
//! ends the run with its reason; a run ends even when the server falls silent.

use std::time::Duration;

use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;

use super::figures::{Latency, Measured};
use super::meter::Meter;
use super::progress::Progress;
use super::worker::Workers;
use crate::exit::{Exit, Failed};

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

/// Runs the clients through the window.
pub(super) async fn closed<C: Client>(
    clients: Vec<C>,
    window: Window,
    workers: &mut Workers,
    meter: Meter,
    progress: &Progress,
) -> Result<Measured, Failed> {
    let from = Instant::now() + window.warm_up;
    let until = from + window.measured;
    let mut tasks = JoinSet::new();
    for client in clients {
        tasks.spawn(turns(client, from, until));
    }
    let mut seen = Vec::new();
    run_until(from, from..until, &mut tasks, &mut seen, workers, progress).await?;
    let reading = meter.read();
    run_until(until, from..until, &mut tasks, &mut seen, workers, progress).await?;
    let used = meter.since(reading);
    let end = until + LAST_ANSWERS;
    while !tasks.is_empty() {
        run_until(end, from..until, &mut tasks, &mut seen, workers, progress).await?;
        if Instant::now() >= end {
            return Err(silent());
        }
    }
    let latency = Latency::of(seen);
    if latency.count() == 0 {
        return Err(silent());
    }
    Ok(Measured {
        jobs: latency.count(),
        latency,
        used,
    })
}

async fn turns<C: Client>(mut client: C, from: Instant, until: Instant) -> Result<Vec<u32>, Failed> {
    let mut seen = Vec::new();
    let mut sent = Instant::now();
    while sent < until {
        client.turn().await?;
        let now = Instant::now();
        if now >= from && now <= until {
            seen.push(micros(now - sent));
        }
        sent = now;
    }
    Ok(seen)
}

/// Lets everything run until then, or until no client is left.
async fn run_until(
    end: Instant,
    whole: std::ops::Range<Instant>,
    tasks: &mut JoinSet<Result<Vec<u32>, Failed>>,
    seen: &mut Vec<u32>,
    workers: &mut Workers,
    progress: &Progress,
) -> Result<(), Failed> {
    loop {
        let now = Instant::now();
        let passed = now.saturating_duration_since(whole.start).as_secs_f64();
        progress.show(passed / (whole.end - whole.start).as_secs_f64());
        if now >= end {
            return Ok(());
        }
        tokio::select! {
            joined = tasks.join_next() => match joined {
                Some(joined) => seen.extend(joined.map_err(|error| panicked(&error))??),
                None => return Ok(()),
            },
            failed = workers.failed() => return Err(failed),
            () = tokio::time::sleep_until(end.min(now + FRAME)) => {}
        }
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

/// Waits until the workers have settled so many jobs in all.
pub(super) async fn settled(jobs: u64, workers: &mut Workers, progress: &Progress) -> Result<(), Failed> {
    let count = workers.settled();
    let mut last = (0, Instant::now());
    loop {
        let done = count.load(std::sync::atomic::Ordering::Relaxed);
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
