//! `cargo bench -p raincheck-sqlite`: the embedded store alone, without HTTP, in the hands of many callers at once.
//!
//! Invariant: every operation is answered after its sync, as always; without `--bench` (under `cargo test`) a few jobs
//! only show that it runs.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use raincheck_core::clock::ManualClock;
use raincheck_core::conformance::Opened;
use raincheck_core::conformance::promises::kit::{Draft, Kit, Take, lease, settle, succeed};
use raincheck_core::queue::QueueSpec;
use raincheck_sqlite::{Options, SqliteStore};
use tokio::task::{JoinSet, LocalSet};
use tokio::time::Instant;

/// Callers that submit at once.
const SUBMITTERS: usize = 64;
/// Callers that claim and settle at once.
const WORKERS: usize = 4;

fn open() -> Rc<Kit> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let clock = Arc::new(ManualClock::default());
    let store = SqliteStore::open(Options::new(folder.path(), clock.clone())).expect("a new store opens");
    Rc::new(Kit::new(Opened {
        store: Arc::new(store),
        clock,
        guard: Box::new(folder),
    }))
}

/// Each caller submits one job after the other.
async fn submit(kit: &Rc<Kit>, each: usize, keyed: bool) {
    let mut callers = JoinSet::new();
    for caller in 0..SUBMITTERS {
        let kit = kit.clone();
        callers.spawn_local(async move {
            for n in 0..each {
                let mut submission = kit.submission(&Draft::keyed("k", 1));
                submission.idempotency = submission.idempotency.filter(|_| keyed);
                if let Some(idempotency) = &mut submission.idempotency {
                    idempotency.key = format!("{caller}-{n}");
                }
                let answer = kit.store.submit(&kit.ns, vec![submission]).await;
                assert!(
                    answer.is_ok_and(|answers| answers[0].is_ok()),
                    "every job is accepted"
                );
            }
        });
    }
    while let Some(ended) = callers.join_next().await {
        ended.expect("no caller panics");
    }
}

/// Each worker claims so many, settles them and claims again, until nothing is left; how many there were.
async fn work(kit: &Rc<Kit>, count: usize) -> usize {
    let mut workers = JoinSet::new();
    for _ in 0..WORKERS {
        let kit = kit.clone();
        workers.spawn_local(async move {
            let mut done = 0;
            loop {
                let take = Take {
                    count,
                    ..Take::default()
                };
                let leased = kit.store.claim(&kit.ns, kit.claim(&take)).await;
                let leased = leased.expect("the store answers");
                if leased.is_empty() {
                    return done;
                }
                done += leased.len();
                let batch = leased
                    .iter()
                    .map(|leased| settle(lease(&leased.job), succeed("done")));
                let settled = kit.store.settle(&kit.ns, batch.collect()).await;
                assert!(
                    settled.is_ok_and(|all| all.iter().all(Result::is_ok)),
                    "every lease is held"
                );
            }
        });
    }
    let mut done = 0;
    while let Some(ended) = workers.join_next().await {
        done += ended.expect("no worker panics");
    }
    done
}

#[expect(clippy::print_stdout, reason = "a benchmark speaks on standard output")]
fn tell(what: &str, jobs: usize, took: Duration) {
    let rate = jobs as f64 / took.as_secs_f64();
    println!("{what:<40} {rate:>10.0} jobs/s");
}

async fn all(each: usize) {
    let jobs = SUBMITTERS * each;
    for keyed in [false, true] {
        let kit = open();
        let spec = QueueSpec {
            depth: Some(u64::MAX),
            ..QueueSpec::default()
        };
        kit.put("q", spec).await;
        let what = if keyed { "with a key each" } else { "plain" };
        let since = Instant::now();
        submit(&kit, each, keyed).await;
        tell(
            &format!("submit, {SUBMITTERS} at once, {what}"),
            jobs,
            since.elapsed(),
        );
        if !keyed {
            let since = Instant::now();
            let done = work(&kit, 32).await;
            assert_eq!(done, jobs);
            tell("claim and settle, 32 in a batch", done, since.elapsed());
            submit(&kit, each / 10 + 1, keyed).await;
            let since = Instant::now();
            let done = work(&kit, 1).await;
            tell("claim and settle, one by one", done, since.elapsed());
        }
        kit.store.close().await.expect("the store closes");
    }
}

fn main() {
    let each = if std::env::args().any(|word| word == "--bench") {
        4_000
    } else {
        2
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime needs a few file descriptors");
    // What a promise is written with stays on one thread.
    LocalSet::new().block_on(&runtime, all(each));
}
