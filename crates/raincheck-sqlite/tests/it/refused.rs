//! Transactions that come to nothing: what waited for them waits on.

use std::time::Duration;

use raincheck_core::id::Nonce;
use raincheck_core::name::Namespace;
use raincheck_core::store::{Store as _, StoreError};
use rusqlite::Connection;

use crate::kit::{bytes, open, patient_claim, submission, submit, try_claim};

/// Has every row of a new job refused by the database itself, until it is dropped.
const REFUSE: &str =
    "CREATE TRIGGER refuse BEFORE INSERT ON jobs BEGIN SELECT RAISE(ABORT, 'not today'); END";

#[tokio::test]
async fn who_waits_for_jobs_waits_on_where_a_submission_comes_to_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    submit(&store, bytes("there is a queue")).await;
    try_claim(&store, Nonce([1; 12])).await.unwrap();
    // Three, for a submission that comes to nothing is run twice: two that changed places each time would be as before.
    let mut line: Vec<_> = (2..5).map(|n| patient_claim(&store, Nonce([n; 12]))).collect();
    let beside = Connection::open(dir.path().join("raincheck.db")).unwrap();
    beside.execute_batch(REFUSE).unwrap();
    let ns = Namespace::default();
    let refused = store.submit(&ns, vec![submission(&store, bytes("x"))]).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    for waiting in &mut line {
        let answered = tokio::time::timeout(Duration::ZERO, waiting).await;
        assert!(answered.is_err(), "there was no job: {answered:?}");
    }
    beside.execute_batch("DROP TRIGGER refuse").unwrap();
    for waiting in line {
        let id = submit(&store, bytes("y")).await;
        let answered = tokio::time::timeout(Duration::from_secs(30), waiting).await;
        let leased = answered.expect("the first who came is served first").unwrap();
        assert_eq!((leased.len(), leased[0].job.id), (1, id));
    }
}
