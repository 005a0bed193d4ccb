//! What the embedded store promises about emitted bytes on the disk: stored once, and gone in slices.

use std::sync::Arc;
use std::time::Duration;

use raincheck_core::clock::ManualClock;
use raincheck_core::content::{Input, JobResult};
use raincheck_core::decide::{Claimer, NewJob, Settlement};
use raincheck_core::id::{JobId, LeaseId, Nonce};
use raincheck_core::job::Options as JobOptions;
use raincheck_core::lease::WorkerKind;
use raincheck_core::name::{Namespace, QueueName, WorkerName};
use raincheck_core::output::{Piece, Stream};
use raincheck_core::store::{Claim, Emit, Settle, Store, Submission};
use raincheck_sqlite::{Options, SqliteStore};

fn queue() -> QueueName {
    QueueName::new("q").expect("a plain name")
}

/// A claimed job.
async fn running(store: &SqliteStore) -> LeaseId {
    let ns = Namespace::default();
    let job = NewJob {
        id: store.mint(),
        namespace: ns.clone(),
        queue: queue(),
        group: None,
        priority: 5,
        run_at: None,
        delay: None,
        options: JobOptions::default(),
        retry_of: None,
        member: None,
    };
    let submission = Submission {
        job,
        input: Input::default(),
        idempotency: None,
        create_queue: true,
    };
    let accepted = store.submit(&ns, vec![submission]).await;
    accepted
        .expect("the store answers")
        .remove(0)
        .expect("there is room");
    let claim = Claim {
        queue: queue(),
        claimer: Claimer {
            worker: WorkerName::new("w").expect("a plain name"),
            kind: WorkerKind::Pull,
            term: Duration::from_secs(30),
            claim_id: None,
        },
        nonces: vec![Nonce([7; 12])],
        running_max: None,
    };
    let leased = store
        .claim(&ns, claim)
        .await
        .expect("the store answers")
        .remove(0);
    leased.job.lease_id().expect("it runs")
}

/// Emits so many chunks and succeeds with all of them.
async fn emit_and_succeed(store: &SqliteStore, lease: LeaseId, chunks: u32) -> String {
    let ns = Namespace::default();
    let text = |seq: u32| format!("word {seq} ");
    let emit = |seq| Emit {
        lease,
        seq,
        piece: Piece {
            stream: Stream::Output,
            body: text(seq).into(),
        },
    };
    let emitted = store.emit(&ns, (0..chunks).map(emit).collect()).await;
    assert!(emitted.expect("the store answers").iter().all(Result::is_ok));
    let whole: String = (0..chunks).map(text).collect();
    let result = JobResult::new(200, None, Vec::new(), whole.clone().into());
    let settle = Settle {
        lease,
        digest: result.digest,
        settlement: Settlement::Succeed(result),
        seed: 1,
    };
    let settled = store.settle(&ns, vec![settle]).await.expect("the store answers");
    assert!(settled[0].is_ok());
    whole
}

/// The bytes that the table of results holds.
fn stored(dir: &std::path::Path, sql: &str) -> i64 {
    let conn = rusqlite::Connection::open(dir.join("raincheck.db")).expect("the database is there");
    conn.query_row(sql, [], |row| row.get(0)).expect("the query runs")
}

async fn result(store: &SqliteStore, id: JobId) -> Vec<u8> {
    let change = store.result(&Namespace::default(), id).await;
    let change = change.expect("the store answers").expect("the job is there");
    change.result.expect("it has a result").body.to_vec()
}

#[tokio::test]
async fn a_result_that_was_emitted_is_stored_once() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::default());
    let store = SqliteStore::open(Options::new(dir.path(), clock)).unwrap();
    let lease = running(&store).await;
    let whole = emit_and_succeed(&store, lease, 50).await;
    assert_eq!(result(&store, lease.job).await, whole.as_bytes());
    assert_eq!(stored(dir.path(), "SELECT length(body) FROM results"), 0);
    let emitted = stored(dir.path(), "SELECT sum(length(body)) FROM output");
    assert_eq!(usize::try_from(emitted).unwrap(), whole.len());
}

#[tokio::test]
async fn the_output_of_a_forgotten_job_goes_in_slices() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::default());
    let store = SqliteStore::open(Options::new(dir.path(), clock)).unwrap();
    let lease = running(&store).await;
    emit_and_succeed(&store, lease, 5_000).await;
    let deleted = store.delete(&Namespace::default(), vec![lease.job]).await;
    assert_eq!(deleted.expect("the store answers"), [Ok(())]);
    let left = || stored(dir.path(), "SELECT count(*) FROM output");
    let mut slices = vec![left()];
    loop {
        let slice = store.prune(100).await.expect("the store answers");
        slices.push(left());
        if !slice.more {
            break;
        }
    }
    assert!(
        slices.len() > 3 && slices.is_sorted_by(|a, b| a > b),
        "{slices:?}"
    );
    assert_eq!(slices.last(), Some(&0));
    assert_eq!(
        stored(dir.path(), "SELECT count(*) FROM jobs WHERE emitted IS NOT NULL"),
        0
    );
}
