//! Fetching in this process, over a store of the run's own.
//!
//! Invariants: the batch is sealed once the list is taken in; no more than a page of results is held, and of the list no more waits in the
//! store than keeps the hosts busy, so that a longer list takes no more memory.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use raincheck::core::batch::{Finished, LINES_MAX};
use raincheck::core::job::Outcome;
use raincheck::core::time::parse_duration;
use raincheck::fetch::{FetchedLine, Results, Run, RunFailed, Wanted, fetched};
use raincheck::outward::target::Targets;
use raincheck::{Node, NodeOptions};
use serde_json::value::RawValue;

use super::folder::{Folder, State};
use super::meter::{Ended, Meter, told_of};
use super::out::Out;
use super::{Tally, Work, list};
use crate::exit::{Exit, Failed};
use crate::signals::Signals;
use crate::trust::Trust;

/// How long requests under way may take at Ctrl-C before they are given back.
const DRAIN: Duration = Duration::from_millis(500);
/// How long answers are kept unless said: until somebody wants to know what has changed.
const KEEP: &str = "30d";
/// So many URLs are handed over ahead of those that have ended, and more where that does not keep the hosts busy.
const AHEAD: u64 = 1_000;
/// So many are handed over at once; what a commit takes longer for many, all others wait for.
const GROUP: usize = 128;
/// So many jobs the store has at hand: those ahead, and those that run.
const JOBS: usize = 2_000;
/// How often it is looked whether more is to be handed over.
const LOOK: Duration = Duration::from_millis(25);
/// After so many looks in a row that found too little under way it is not a moment's chance any more.
const IDLE_LOOKS: u32 = 3;
/// How often the bar moves where nothing comes.
const TICK: Duration = Duration::from_millis(500);

/// Runs it to its end.
pub(super) fn run(work: Work<'_>, trust: Trust) -> Result<Tally, Failed> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
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
            hand_over(work.folder, &run, taken, &ended).await?;
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

/// Hands over what of the list is not taken yet, as fast as it ends.
async fn hand_over(folder: &Folder, run: &Run, taken: u64, ended: &Cell<u64>) -> Result<(), Failed> {
    let (mut first, mut group, mut size) = (taken, Vec::with_capacity(GROUP), GROUP);
    for line in list::lines(folder, taken)? {
        let checked = Wanted::read(&line?).and_then(Wanted::checked);
        let checked =
            checked.map_err(|why| Failed::new(Exit::Failure, format!("the list is damaged: {why}")))?;
        group.push(run.line(checked));
        if group.len() == size {
            let count = group.len() as u64;
            run.add(first, std::mem::take(&mut group)).await?;
            first += count;
            size = wanted(run, first, ended).await?;
        }
    }
    let all = first + group.len() as u64;
    if !group.is_empty() {
        run.add(first, group).await?;
    }
    Ok(run.seal(all).await?)
}

/// Waits until more is to be handed over, of which `handed` is; how many at once. Those who wait for a host that lets few in, or is
/// paused, shall not keep others waiting, whatever stands in front of them.
async fn wanted(run: &Run, handed: u64, ended: &Cell<u64>) -> Result<usize, Failed> {
    let mut idle = 0;
    while handed.saturating_sub(ended.get()) >= AHEAD {
        idle = if run.idle().await? { idle + 1 } else { 0 };
        if idle == IDLE_LOOKS {
            return Ok(LINES_MAX);
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(GROUP)
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
            let told = finished.result.as_deref().and_then(fetched);
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
        }
        meter.show();
    }
}

/// What the meter is told of a result, of whose answer this was told.
fn ended(finished: &Finished, told: Option<&RawValue>) -> Ended {
    let answer = finished.result.as_deref();
    let (bytes, revalidated) = told_of(told.map_or("", RawValue::get));
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
