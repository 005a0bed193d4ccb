//! A sync or a write that fails: nobody is told 202 for it, the process leaves with 70, and a clean open loses nothing.
//!
//! Invariant: the failing call is injected once, so a server that tried again would succeed, and be caught lying.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use tokio::time::{Instant, timeout};

use super::{LEAVES_WITHIN, Options, Traced, order, trace};
use crate::ledger::Event;
use crate::rng::Rng;
use crate::soak::audit;
use crate::soak::desk::Desk;
use crate::soak::http::Client;
use crate::soak::plan::{QUEUES, Spec};
use crate::soak::server::{Server, Start};

/// How soon a server with a failed store has to be gone.
const LEAVES_FAILED_WITHIN: Duration = Duration::from_secs(5);
/// What it leaves with.
const EXIT_STORE_FAILED: i32 = 70;
/// Submissions after which a failure should have come.
const SUBMISSIONS_MAX: u64 = 400;

/// What one injected failure led to.
enum Came {
    /// While the store was being opened: nothing was served.
    AtStart,
    /// While jobs were submitted.
    AtWork,
}

/// Tries failures at points drawn from the seed.
pub(super) async fn all(binary: &str, dir: &Path, options: &Options, say: &dyn Fn(&str)) -> Result<()> {
    let mut rng = Rng::new(options.seed);
    // Writes come more often than syncs: making the tables takes some twenty syncs and a hundred and fifty writes, a
    // submission at least one sync and four writes.
    for (calls, spread) in [("fdatasync,fsync", 40), ("pwrite64", 480)] {
        let (mut at_start, mut at_work) = (0, 0);
        for n in 0..options.points {
            // The first points are spread evenly, so that none of two runs misses the early ones.
            let when = 1 + n * spread / options.points.max(1) + rng.below(spread / options.points.max(1) + 1);
            let name = format!("{}-{n}", calls.replace(',', "-"));
            let came = point(binary, dir, &name, calls, when).await.with_context(|| {
                format!("call {when} of {calls} failing with EIO (seed {})", options.seed)
            })?;
            match came {
                Came::AtStart => at_start += 1,
                Came::AtWork => at_work += 1,
            }
        }
        say(&format!(
            "{calls} failing with EIO at {} points: {at_work} under load (no 202, exit 70 within 5 s, nothing \
             acknowledged lost), {at_start} while opening (refused to serve)",
            options.points
        ));
        ensure!(
            at_work > 0,
            "no failure came while jobs were submitted: more --points"
        );
    }
    Ok(())
}

async fn point(binary: &str, dir: &Path, name: &str, calls: &str, when: u64) -> Result<Came> {
    let inject = format!("{calls}:error=EIO:when={when}");
    let mut traced = Traced::start(binary, dir, name, Some(&inject))?;
    let desk = Arc::new(Desk::new(when));
    desk.record(Event::Started);
    let came = match traced.server.ready().await {
        Ok(to) => {
            load(&desk, to).await;
            Came::AtWork
        }
        Err(_) => Came::AtStart,
    };
    let began = Instant::now();
    let status = traced.server.left(LEAVES_WITHIN).await?;
    let took = began.elapsed();
    if matches!(came, Came::AtWork) {
        let said = traced.server.output();
        ensure!(
            status.code() == Some(EXIT_STORE_FAILED),
            "the server left with {status}:\n{said}"
        );
        ensure!(took < LEAVES_FAILED_WITHIN, "the server took {took:?} to leave");
        let text = traced.trace().await?;
        order::silent_after_failure(&trace::read(&text), &traced.store)?;
    } else {
        ensure!(
            !status.success(),
            "the server left with success though its store did not open"
        );
    }
    recover(&desk, binary, &traced.store).await?;
    Ok(came)
}

/// One client, one request at a time, until the server answers no more.
async fn load(desk: &Desk, to: std::net::SocketAddr) {
    let mut client = Client::default();
    for _ in 0..SUBMISSIONS_MAX {
        let spec = Spec::new(desk.seed, desk.token());
        let answered = desk.submit(&mut client, to, spec).await;
        if answered.is_none_or(|reply| reply.status >= 500) {
            return;
        }
    }
}

/// A clean open: ready, and everything that was acknowledged is there.
async fn recover(desk: &Arc<Desk>, binary: &str, store: &str) -> Result<()> {
    desk.record(Event::Started);
    let mut server = Server::start(&Start {
        words: vec![binary.to_owned()],
        store: store.into(),
        queues: QUEUES.map(str::to_owned).to_vec(),
    })?;
    let to = server.ready().await.context("opening the store again")?;
    audit::look(desk, to, desk.jobs_from(0)).await;
    audit::resolve(desk, to).await;
    server.terminate()?;
    let status = timeout(LEAVES_WITHIN, server.left(LEAVES_WITHIN)).await??;
    ensure!(status.success(), "asked to stop, the server left with {status}");
    let ledger = desk.ledger();
    if let Some(violation) = ledger.violations().first() {
        bail!("{violation}\n{}", ledger.story(violation).join("\n"));
    }
    Ok(())
}
