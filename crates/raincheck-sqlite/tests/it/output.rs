//! What the embedded store promises about emitted bytes on the disk: stored once, and gone in slices.

use raincheck_core::content::{Input, JobResult};
use raincheck_core::id::{JobId, LeaseId};
use raincheck_core::name::Namespace;
use raincheck_core::output::{Piece, Stream};
use raincheck_core::store::{Emit, Store as _};
use raincheck_sqlite::SqliteStore;

use crate::kit::{claim, number, open, submit, succeed};

/// A claimed job.
async fn running(store: &SqliteStore) -> LeaseId {
    submit(store, Input::default()).await;
    claim(store).await.job.lease_id().expect("it runs")
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
    succeed(store, lease, result).await;
    whole
}

async fn result(store: &SqliteStore, id: JobId) -> Vec<u8> {
    let change = store.result(&Namespace::default(), id).await;
    let change = change.expect("the store answers").expect("the job is there");
    change.result.expect("it has a result").body.to_vec()
}

#[tokio::test]
async fn a_result_that_was_emitted_is_stored_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    let lease = running(&store).await;
    let whole = emit_and_succeed(&store, lease, 50).await;
    assert_eq!(result(&store, lease.job).await, whole.as_bytes());
    assert_eq!(number(dir.path(), "SELECT length(body) FROM results"), 0);
    let emitted = number(dir.path(), "SELECT sum(length(body)) FROM output");
    assert_eq!(usize::try_from(emitted).unwrap(), whole.len());
}

#[tokio::test]
async fn the_output_of_a_forgotten_job_goes_in_slices() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    let lease = running(&store).await;
    emit_and_succeed(&store, lease, 5_000).await;
    let deleted = store.delete(&Namespace::default(), vec![lease.job]).await;
    assert_eq!(deleted.expect("the store answers"), [Ok(())]);
    let left = || number(dir.path(), "SELECT count(*) FROM output");
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
        number(dir.path(), "SELECT count(*) FROM jobs WHERE emitted IS NOT NULL"),
        0
    );
}
