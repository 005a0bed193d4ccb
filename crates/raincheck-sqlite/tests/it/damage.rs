//! Rows that are not as they were written: a store that is small is not opened with one, a large one finds it by itself.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use raincheck_core::clock::ManualClock;
use raincheck_core::store::{Store as _, StoreError};
use raincheck_sqlite::{OpenError, Options, SqliteStore};

use crate::kit::{bytes, open, submit};

/// A store with three jobs that wait, one of which looks finished.
async fn damaged(dir: &Path) {
    let store = open(dir).expect("a store");
    for _ in 0..3 {
        submit(&store, bytes("input")).await;
    }
    store.close().await.expect("it closes");
    drop(store);
    let conn = rusqlite::Connection::open(dir.join("raincheck.db")).expect("a database");
    let changed = conn.execute(
        "UPDATE jobs SET state = 2 WHERE seq = (SELECT max(seq) FROM jobs)",
        [],
    );
    assert_eq!(changed, Ok(1));
}

fn open_large(dir: &Path) -> Result<SqliteStore, OpenError> {
    let clock = Arc::new(ManualClock::default());
    SqliteStore::open(Options {
        look_at: 0,
        ..Options::new(dir, clock)
    })
}

#[tokio::test]
async fn a_small_store_with_a_damaged_row_is_not_opened() {
    let dir = tempfile::tempdir().unwrap();
    damaged(dir.path()).await;
    match open(dir.path()) {
        Err(OpenError::Row { detail, .. }) => assert!(detail.contains("the state of job"), "{detail}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_large_store_finds_a_damaged_row_without_being_asked_for_it_and_has_failed_then() {
    let dir = tempfile::tempdir().unwrap();
    damaged(dir.path()).await;
    let store = open_large(dir.path()).unwrap();
    let found = async {
        loop {
            match store.check().await {
                Ok(()) => tokio::task::yield_now().await,
                Err(error) => return error,
            }
        }
    };
    let found = tokio::time::timeout(Duration::from_secs(60), found)
        .await
        .unwrap();
    assert!(
        matches!(&found, StoreError::Failed(reason) if reason.contains("the state of job")),
        "{found:?}"
    );
}

#[tokio::test]
async fn a_large_store_that_is_well_is_served_and_closed_in_the_middle_of_the_look() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    submit(&store, bytes("input")).await;
    store.close().await.unwrap();
    for _ in 0..3 {
        let store = open_large(dir.path()).unwrap();
        submit(&store, bytes("more")).await;
        store.close().await.unwrap();
    }
}
