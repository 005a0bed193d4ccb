//! Fetching in this process, over a store of the run's own.
//!
//! Invariants: the batch is sealed once the list is taken in; no more than a page of results is held.

use std::sync::Arc;
use std::time::Duration;

use raincheck::core::batch::{Finished, LINES_MAX};
use raincheck::core::job::Outcome;
use raincheck::core::time::parse_duration;
use raincheck::fetch::{FetchedLine, Results, Run, RunFailed, Wanted, fetched};
use raincheck::outward::target::Targets;
use raincheck::{Node, NodeOptions};

use super::folder::{Folder, State};
use super::meter::{Ended, Meter, told_of};
use super::out::Out;
use super::{Tally, Work, list};
use crate::exit::{Exit, Failed};
use crate::signals::Signals;

/// How long requests under way may take at Ctrl-C before they are given back.
const DRAIN: Duration = Duration::from_millis(500);
/// How long answers are kept unless said: until somebody wants to know what has changed.
const KEEP: &str = "30d";
/// How often the bar moves where nothing comes.
const TICK: Duration = Duration::from_millis(500);

/// Runs it to its end.
pub(super) fn run(work: Work<'_>) -> Result<Tally, Failed> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(fetch(work))
}

async fn fetch(mut work: Work<'_>) -> Result<Tally, Failed> {
    let mut signals = Signals::new()?;
    let folder = work.folder.store();
    let opening = tokio::task::spawn_blocking(move || {
        raincheck::store::open(folder, Arc::new(raincheck::clock::SystemClock::new()))
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
        ..NodeOptions::default()
    };
    let node = Node::start(store, options).await.map_err(RunFailed::from)?;
    let ended = tokio::select! {
        biased;
        _ = signals.next() => None,
        why = node.failure() => Some(Err(Failed::new(Exit::StoreFailed, format!("the store has failed: {why}")))),
        ended = all(&mut work, &node) => Some(ended),
    };
    let flushed = work.out.flush();
    tokio::select! {
        biased;
        () = node.shutdown() => {}
        _ = signals.next() => node.abort(),
    }
    flushed?;
    work.ended(ended)
}

/// Hands the list over and writes what comes.
async fn all(work: &mut Work<'_>, node: &Node) -> Result<(), Failed> {
    let mut terms = work.state.terms()?;
    terms.keep = terms.keep.or(parse_duration(KEEP).ok());
    let run = Run::open(node, &work.state.key, terms).await?;
    let batch = run.batch();
    if batch.cancel_requested {
        let text = "the list was not taken in whole when the run was interrupted, more than an hour ago";
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
    let handing = async {
        if !sealed {
            hand_over(work.folder, &run, taken).await?;
        }
        // The end is that of the results.
        std::future::pending().await
    };
    let writing = write(&mut work.out, &mut work.meter, work.after, results);
    tokio::select! {
        ended = handing => ended,
        ended = writing => ended,
    }
}

/// Hands over what of the list is not taken yet.
async fn hand_over(folder: &Folder, run: &Run, taken: u64) -> Result<(), Failed> {
    let (mut first, mut group) = (taken, Vec::with_capacity(LINES_MAX));
    for line in list::lines(folder, taken)? {
        let checked = Wanted::read(&line?).and_then(Wanted::checked);
        let checked =
            checked.map_err(|why| Failed::new(Exit::Failure, format!("the list is damaged: {why}")))?;
        group.push(run.line(checked));
        if group.len() == LINES_MAX {
            run.add(first, std::mem::take(&mut group)).await?;
            first += LINES_MAX as u64;
        }
    }
    let all = first + group.len() as u64;
    if !group.is_empty() {
        run.add(first, group).await?;
    }
    Ok(run.seal(all).await?)
}

/// Writes results as they come, those behind `after`.
async fn write(out: &mut Out, meter: &mut Meter, after: u64, mut results: Results) -> Result<(), Failed> {
    let mut lines = Vec::new();
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
        lines.clear();
        for finished in &page {
            meter.count(ended(finished));
            if finished.place > after {
                let told = finished.result.as_deref().and_then(fetched);
                let url = match told {
                    Some(_) => None,
                    None => results.wanted(finished).await.map(|wanted| wanted.url),
                };
                FetchedLine::of(finished, url.as_deref()).write(&mut lines);
            }
        }
        if last <= after {
            meter.resume();
        } else {
            out.write(&lines, last)?;
        }
        meter.show();
    }
}

/// What the meter is told of a result.
fn ended(finished: &Finished) -> Ended {
    let answer = finished.result.as_deref();
    let told = answer.and_then(fetched).map_or("", |told| told.get());
    let (bytes, revalidated) = told_of(told);
    Ended {
        status: answer.map(|answer| answer.status),
        answered: finished.job.outcome() == Some(Outcome::Succeeded),
        revalidated,
        bytes: if revalidated { 0 } else { bytes },
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
