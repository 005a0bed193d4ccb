//! Fetching in this process, over a store of the run's own.
//!
//! Invariants: the batch is sealed once the list is taken in; no more than a page of results is held, and of the list no more waits in the
//! store than keeps the hosts busy, so that a longer list takes no more memory.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use raincheck::core::batch::Finished;
use raincheck::core::job::Outcome;
use raincheck::core::time::parse_duration;
use raincheck::fetch::{Fetched, FetchedLine, Results, Run, RunFailed};
use raincheck::outward::target::Targets;
use raincheck::{Node, NodeOptions};
use tokio::time::Instant;

use super::folder::State;
use super::meter::{Ended, Meter};
use super::out::Out;
use super::{Tally, Work, feed};
use crate::exit::{Exit, Failed};
use crate::signals::Signals;
use crate::trust::Trust;

/// How long requests under way may take at Ctrl-C before they are given back.
const DRAIN: Duration = Duration::from_millis(500);
/// How long answers are kept unless said: until somebody wants to know what has changed.
const KEEP: &str = "30d";
/// So many jobs the store has at hand: those ahead, and those that run.
const JOBS: usize = 2_000;
/// How often the bar moves where nothing comes, and how long a result may be held before it stands in the file.
const TICK: Duration = Duration::from_millis(500);

/// Runs it to its end.
pub(super) fn run(work: Work<'_>, trust: Trust) -> Result<Tally, Failed> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(fetch(work, trust))
}

async fn fetch(mut work: Work<'_>, trust: Trust) -> Result<Tally, Failed> {
    let mut signals = Signals::new()?;
    let folder = work.folder.store();
    let opening = tokio::task::spawn_blocking(move || {
        let clock = Arc::new(raincheck::clock::SystemClock::new());
        raincheck::store::open_small(folder, clock, JOBS)
    });
    let opened = opening.await.map_err(std::io::Error::other)?;
    let store = opened.map_err(|error| {
        let text = format!("the store in {} cannot be opened: {error}", work.folder.shown());
        Failed::new(Exit::StoreFailed, text)
    })?;
    let options = NodeOptions {
        drain: DRAIN,
        // The URLs are those of whoever runs this.
        targets: Arc::new(Targets::anywhere()),
        bodies: work.state.bodies.clone(),
        fetches: Some(work.state.terms()?.at_once()),
        trust,
        ..NodeOptions::default()
    };
    let node = Node::start(store, options).await.map_err(RunFailed::from)?;
    let ended = tokio::select! {
        biased;
        _ = signals.next() => None,
        why = node.failure() => Some(Err(Failed::new(Exit::StoreFailed, format!("the store has failed: {why}")))),
        ended = all(&mut work, &node) => Some(ended),
    };
    tokio::select! {
        biased;
        () = node.shutdown() => {}
        _ = signals.next() => node.abort(),
    }
    work.ended(ended)
}

/// Hands the list over and writes what comes.
async fn all(work: &mut Work<'_>, node: &Node) -> Result<(), Failed> {
    let mut terms = work.state.terms()?;
    terms.keep = terms.keep.or(parse_duration(KEEP).ok());
    let run = Run::open(node, &work.state.key, terms).await?;
    let batch = run.batch();
    if batch.cancel_requested {
        let text = "the run was interrupted more than a year ago";
        return Err(Failed::new(Exit::Conflict, text).next("Begin anew: --restart"));
    }
    if work.state.batch.is_none() {
        work.folder.write(&State {
            batch: Some(batch.id),
            ..work.state.clone()
        })?;
    }
    // What is written already is counted again, so that the end tells of all.
    let results = run.results(0);
    let (sealed, taken) = (batch.sealed(), batch.lines);
    let ended = Cell::new(0);
    let handing = async {
        if !sealed {
            feed::hand_over(work.folder, &run, taken, &ended).await?;
        }
        // The end is that of the results.
        std::future::pending().await
    };
    let writing = write(&mut work.out, &mut work.meter, work.after, results, &ended);
    tokio::select! {
        ended = handing => ended,
        ended = writing => ended,
    }
}

/// Writes results as they come, those behind `after`.
async fn write(
    out: &mut Out,
    meter: &mut Meter,
    after: u64,
    mut results: Results,
    done: &Cell<u64>,
) -> Result<(), Failed> {
    let mut lines = Vec::new();
    let mut flushed = Instant::now();
    loop {
        let page = tokio::select! {
            biased;
            page = results.next() => page?,
            () = tokio::time::sleep(TICK) => {
                out.flush()?;
                meter.show();
                continue;
            }
        };
        let Some(last) = page.last().map(|last| last.place) else {
            return Ok(());
        };
        done.set(last);
        lines.clear();
        for finished in &page {
            let told = finished.result.as_deref().and_then(Fetched::of);
            meter.count(ended(finished, told));
            if finished.place > after {
                let url = match told {
                    Some(_) => None,
                    None => results.wanted(finished).await.map(|wanted| wanted.url),
                };
                FetchedLine::of(finished, told, url.as_deref()).write(&mut lines);
            }
        }
        if last <= after {
            meter.resume();
        } else {
            out.write(&lines, last)?;
            if flushed.elapsed() >= TICK {
                out.flush()?;
                flushed = Instant::now();
            }
        }
        meter.show();
    }
}

/// What the meter is told of a result, of whose answer this was told.
fn ended<'a>(finished: &Finished, fetched: Option<Fetched<'a>>) -> Ended<'a> {
    Ended {
        status: finished.result.as_deref().map(|answer| answer.status),
        answered: finished.job.outcome() == Some(Outcome::Succeeded),
        fetched,
    }
}

impl From<RunFailed> for Failed {
    fn from(error: RunFailed) -> Self {
        let exit = match error {
            RunFailed::Store(_) => Exit::StoreFailed,
            RunFailed::Batch(_) | RunFailed::Queue(_) => Exit::Failure,
        };
        Self::new(exit, error.to_string())
    }
}
