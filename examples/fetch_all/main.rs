//! `fetch_all`: the pages of a list, 30 at once, each written as soon as it is there.
//!
//! URLs come on standard input, a line each; a line of JSON goes out for each. A page that is slow holds no other up, one that fails is
//! a line like any other, and a run that was killed goes on where it was: started again over the same `STORE` it asks only for
//! what it does not have, and tells all from the beginning.
//!
//! Invariant: a line is printed only once its page is on stable storage.

use std::error::Error;
use std::io::{BufRead as _, Write as _, stdin, stdout};
use std::sync::Arc;
use std::time::Duration;

use raincheck::clock::SystemClock;
use raincheck::fetch::{Checked, Fetched, FetchedLine, Run, Terms, Wanted, blank};
use raincheck::outward::target::Targets;
use raincheck::{Node, NodeOptions};
use raincheck_examples::{setting, store};

/// So many URLs are handed over at once.
const CHUNK: usize = 500;

/// The list: lines that are no URL end the program, for here nobody would see them.
fn urls() -> Result<Vec<Checked>, Box<dyn Error>> {
    let mut urls = Vec::new();
    for line in stdin().lock().lines() {
        let line = line?;
        if !blank(line.as_bytes()) {
            urls.push(Wanted::read(line.as_bytes())?.checked()?);
        }
    }
    Ok(urls)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let store = raincheck::store::open(store("fetch_all"), Arc::new(SystemClock::new()))?;
    let options = NodeOptions {
        // The URLs are those of whoever runs this, on his own machine.
        targets: Arc::new(Targets::anywhere()),
        drain: Duration::from_millis(500),
        ..NodeOptions::default()
    };
    let node = Node::start(store, options).await?;
    // 30 at once through one client, as in the original; and what that lacks: an end to each attempt, and a second one.
    let terms = Terms {
        concurrency: Some(30),
        per_host: Some(30),
        max_attempts: Some(2),
        backoff: std::env::var("BACKOFF").ok().and_then(|said| said.parse().ok()),
        timeout: Some(Duration::from_secs(setting("TIMEOUT_S", 30))),
        ..Terms::default()
    };
    // The batch of this name is made once; whoever opens it again finds how far it is.
    let run = Run::open(&node, "fetch_all", terms).await?;
    if !run.batch().sealed() {
        let mut taken = run.batch().lines;
        let left = urls()?.into_iter().skip(usize::try_from(taken)?);
        let lines: Vec<_> = left.map(|url| run.line(url)).collect();
        for chunk in lines.chunks(CHUNK) {
            run.add(taken, chunk.to_vec()).await?;
            taken += chunk.len() as u64;
        }
        run.seal(taken).await?;
    }
    let mut pages = run.results(0);
    loop {
        let page = tokio::select! {
            page = pages.next() => page?,
            _ = tokio::signal::ctrl_c() => break,
        };
        if page.is_empty() {
            break;
        }
        let mut lines = Vec::new();
        for finished in &page {
            let told = finished.result.as_deref().and_then(Fetched::of);
            let url = match told {
                Some(_) => None,
                None => pages.wanted(finished).await.map(|wanted| wanted.url),
            };
            FetchedLine::of(finished, told, url.as_deref()).write(&mut lines);
        }
        let mut out = stdout().lock();
        out.write_all(&lines)?;
        out.flush()?;
    }
    node.shutdown().await;
    Ok(())
}
