//! Fetching in this process, over a store of the run's own.
//!
//! One thread asks. Beside it the list is read ahead (`ahead`) and results are written (`results`), so that it waits for neither.
//!
//! Invariants: the batch is sealed once the list is taken in; no more than three pages of results are held, and of the list no more waits
//! in the store than keeps the hosts busy, so that a longer list takes no more memory.

use std::cell::Cell;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use raincheck::core::store::Store;
use raincheck::core::time::parse_duration;
use raincheck::fetch::{Fetched, Results as Coming, Run, RunFailed};
use raincheck::outward::target::Targets;
use raincheck::store::OpenError;
use raincheck::{Node, NodeOptions};
use tokio::task;

use super::ahead::Ahead;
use super::folder::{Folder, State};
use super::results::{News, Results, Written};
use super::{Tally, Work, feed, list};
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
pub(super) const TICK: Duration = Duration::from_millis(500);

/// A store that is being opened on a thread of its own, while the list is taken down.
#[derive(Debug)]
pub(super) struct Opening {
    opening: JoinHandle<Result<Arc<dyn Store>, OpenError>>,
    /// Where, for people.
    shown: String,
}

impl Opening {
    pub(super) fn begin(folder: &Folder) -> Self {
        let path = folder.store();
        let opening = std::thread::spawn(move || {
            let clock = Arc::new(raincheck::clock::SystemClock::new());
            raincheck::store::open_small(path, clock, JOBS)
        });
        Self {
            opening,
            shown: folder.shown(),
        }
    }

    /// The store, once it is open.
    ///
    /// # Errors
    /// Where it cannot be opened.
    pub(super) fn opened(self) -> Result<Arc<dyn Store>, Failed> {
        let Self { opening, shown } = self;
        let opened = opening.join();
        let opened = opened.map_err(|_| Failed::new(Exit::StoreFailed, "opening the store panicked"))?;
        opened.map_err(|error| {
            let text = format!("the store in {shown} cannot be opened: {error}");
            Failed::new(Exit::StoreFailed, text)
        })
    }
}

/// Runs it to its end, over the store that is being opened.
pub(super) fn run(work: Work<'_>, opening: Opening, trust: Trust, signals: Signals) -> Result<Tally, Failed> {
    let store = opening.opened()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(fetch(work, store, trust, signals))
}

async fn fetch(
    work: Work<'_>,
    store: Arc<dyn Store>,
    trust: Trust,
    mut signals: Signals,
) -> Result<Tally, Failed> {
    let Work {
        folder,
        state,
        out,
        after,
        meter,
        again,
    } = work;
    let node = node(store, state, trust).await?;
    let (results, writing) = Results::begin(out, meter, after);
    let ended = tokio::select! {
        biased;
        _ = signals.next() => None,
        why = node.failure() => Some(Err(Failed::new(Exit::StoreFailed, format!("the store has failed: {why}")))),
        ended = all(folder, state, results, &node) => Some(ended),
    };
    let whole = matches!(ended, Some(Ok(())));
    let leaving = async {
        tokio::select! {
            biased;
            () = node.shutdown() => {}
            _ = signals.next() => node.abort(),
        }
    };
    // What was handed over is written, also where the run was interrupted.
    let (written, ()) = tokio::join!(written(writing, whole), leaving);
    let Written {
        out,
        meter,
        ended: written,
    } = written?;
    let ended = match (ended, written) {
        (None | Some(Ok(())), Err(failed)) => Some(Err(failed)),
        (ended, _) => ended,
    };
    let mut work = Work {
        folder,
        state,
        out,
        after,
        meter,
        again,
    };
    work.ended(ended)
}

/// What is there once all is written, and on stable storage where it is `whole`: beside the store, which is closed meanwhile.
async fn written(writing: task::JoinHandle<Written>, whole: bool) -> Result<Written, Failed> {
    let mut written = writing.await.map_err(std::io::Error::other)?;
    if whole && written.ended.is_ok() {
        let synced = task::spawn_blocking(move || {
            written.ended = written.out.finish();
            written
        });
        written = synced.await.map_err(std::io::Error::other)?;
    }
    Ok(written)
}

/// Starts what works on the store.
async fn node(store: Arc<dyn Store>, state: &State, trust: Trust) -> Result<Node, Failed> {
    let options = NodeOptions {
        drain: DRAIN,
        // The URLs are those of whoever runs this.
        targets: Arc::new(Targets::anywhere()),
        bodies: state.bodies.clone(),
        fetches: Some(state.terms()?.at_once()),
        trust,
        ..NodeOptions::default()
    };
    Ok(Node::start(store, options).await.map_err(RunFailed::from)?)
}

/// Hands the list over, and on what comes.
async fn all(folder: &Folder, state: &State, results: Results, node: &Node) -> Result<(), Failed> {
    let mut terms = state.terms()?;
    terms.keep = terms.keep.or(parse_duration(KEEP).ok());
    let run = Arc::new(Run::open(node, &state.key, terms).await?);
    let batch = run.batch();
    if batch.cancel_requested {
        let text = "the run was interrupted more than a year ago";
        return Err(Failed::new(Exit::Conflict, text).next("Begin anew: --restart"));
    }
    // Which batch it is stands there soon: until then it is found by its key.
    let named = State {
        batch: Some(batch.id),
        ..state.clone()
    };
    let named = state
        .batch
        .is_none()
        .then(|| task::spawn_blocking(folder.writing(&named)));
    // What is written already is counted again, so that the end tells of all.
    let coming = run.results(0);
    let (sealed, taken) = (batch.sealed(), batch.lines);
    let ended = Cell::new(0);
    let handing = async {
        if !sealed {
            let lines = Ahead::begin(list::lines(folder, taken)?, &run);
            feed::hand_over(lines, &run, taken, &ended).await?;
        }
        // The end is that of the results.
        std::future::pending().await
    };
    let ended = tokio::select! {
        ended = handing => ended,
        ended = hand_on(coming, &results, &ended, node) => ended,
    };
    if let Some(named) = named {
        named.await.map_err(std::io::Error::other)??;
    }
    ended
}

/// Hands results on as they come, until there are no more or nobody takes them.
async fn hand_on(mut coming: Coming, results: &Results, done: &Cell<u64>, node: &Node) -> Result<(), Failed> {
    loop {
        let page = tokio::select! {
            biased;
            page = coming.next() => page?,
            () = tokio::time::sleep(TICK) => {
                if results.write(News::None(node.paused_hosts())).await {
                    continue;
                }
                return Ok(());
            }
        };
        let Some(last) = page.last().map(|last| last.place) else {
            return Ok(());
        };
        done.set(last);
        let mut named = Vec::with_capacity(page.len());
        for finished in page {
            let told = finished.result.as_deref().is_some_and(Fetched::is_there);
            let url = match told {
                true => None,
                false => coming.wanted(&finished).await.map(|wanted| wanted.url),
            };
            named.push((finished, url));
        }
        if !results.write(News::Page(named)).await {
            return Ok(());
        }
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
