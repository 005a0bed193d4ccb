//! Results on their way into the output: their lines are written on a thread of its own, beside the one that asks.
//!
//! Invariants: they are written in the order in which they were handed over, and counted once; no more pages than one are held beside
//! the one that is written.

use std::time::Duration;

use raincheck::core::batch::Finished;
use raincheck::core::job::Outcome;
use raincheck::fetch::{Fetched, FetchedLine};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::Instant;

use super::here::TICK;
use super::meter::{Ended, Meter};
use super::out::Out;
use crate::exit::Failed;

/// Results, each with its URL where nothing else says which it was.
type Page = Vec<(Finished, Option<String>)>;

/// What is handed over.
#[derive(Debug)]
pub(super) enum News {
    Page(Page),
    /// None came for a while; these hosts asked to be left alone, and for how long yet.
    None(Vec<(String, Duration)>),
}

/// Where results are handed over to.
#[derive(Clone, Debug)]
pub(super) struct Results(mpsc::Sender<News>);

/// What is there once all is written.
pub(super) struct Written {
    pub(super) out: Out,
    pub(super) meter: Meter,
    pub(super) ended: Result<(), Failed>,
}

impl Results {
    /// Begins to write, those behind `after`; that ends when there is no handle left.
    pub(super) fn begin(out: Out, meter: Meter, after: u64) -> (Self, JoinHandle<Written>) {
        let (to, pages) = mpsc::channel(1);
        (Self(to), spawn_blocking(move || write(out, meter, after, pages)))
    }

    /// Hands it over. `false` where nothing more can be written.
    pub(super) async fn write(&self, news: News) -> bool {
        self.0.send(news).await.is_ok()
    }
}

fn write(mut out: Out, mut meter: Meter, after: u64, pages: mpsc::Receiver<News>) -> Written {
    let ended = write_all(&mut out, &mut meter, after, pages);
    Written { out, meter, ended }
}

fn write_all(
    out: &mut Out,
    meter: &mut Meter,
    after: u64,
    mut pages: mpsc::Receiver<News>,
) -> Result<(), Failed> {
    let mut lines = Vec::new();
    let mut flushed = Instant::now();
    while let Some(news) = pages.blocking_recv() {
        lines.clear();
        let page = match news {
            News::Page(page) => page,
            News::None(paused) => {
                meter.waits_for(&paused);
                Page::new()
            }
        };
        for (finished, url) in &page {
            let told = finished.result.as_deref().and_then(Fetched::of);
            meter.count(ended(finished, told));
            if finished.place > after {
                FetchedLine::of(finished, told, url.as_deref()).write(&mut lines);
            }
        }
        match page.last().map(|(last, _)| last.place) {
            Some(last) if last <= after => meter.resume(),
            Some(last) => out.write(&lines, last)?,
            None => {}
        }
        if flushed.elapsed() >= TICK {
            out.flush()?;
            flushed = Instant::now();
        }
        meter.show();
    }
    Ok(())
}

/// What the meter is told of a result, of whose answer this was told.
fn ended<'a>(finished: &Finished, fetched: Option<Fetched<'a>>) -> Ended<'a> {
    Ended {
        status: finished.result.as_deref().map(|answer| answer.status),
        answered: finished.job.outcome() == Some(Outcome::Succeeded),
        fetched,
    }
}
