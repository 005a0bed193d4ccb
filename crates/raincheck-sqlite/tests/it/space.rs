//! What the embedded store promises about the disk: its log starts again, and what is forgotten gives its space back.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use raincheck_core::clock::ManualClock;
use raincheck_core::name::Namespace;
use raincheck_core::store::{Retry, Store as _, StoreError};
use raincheck_sqlite::{Options, SqliteStore};

use crate::kit::{bytes, queue, submission, submit};

const INPUT_BYTES: usize = 64 << 10;

async fn fill(store: &SqliteStore) {
    submit(store, bytes(vec![7; INPUT_BYTES])).await;
}

/// The salt in the log's header, which changes when the log starts again (SQLite file format, section 4.1).
fn salt(dir: &Path) -> Vec<u8> {
    let log = std::fs::read(dir.join("raincheck.db-wal"));
    log.expect("an open store has a log")[16..24].to_vec()
}

#[tokio::test]
async fn where_space_is_low_nothing_new_is_taken_and_what_is_there_is_finished() {
    let dir = tempfile::tempdir().unwrap();
    let options = |reserve| Options {
        reserve,
        ..Options::new(dir.path(), Arc::new(ManualClock::default()))
    };
    let store = SqliteStore::open(options(Some(0))).unwrap();
    let id = submit(&store, bytes("x")).await;
    assert_eq!(store.check().await, Ok(()));
    store.close().await.unwrap();
    let store = SqliteStore::open(options(Some(u64::MAX))).unwrap();
    assert_eq!(store.check().await, Err(StoreError::DiskFull));
    let ns = Namespace::default();
    let refused = store.submit(&ns, vec![submission(&store, bytes("y"))]).await;
    assert_eq!(refused.unwrap_err(), StoreError::DiskFull);
    let retried = Retry {
        id,
        new_id: store.mint(),
    };
    assert_eq!(
        store.retry(&ns, vec![retried]).await.unwrap_err(),
        StoreError::DiskFull
    );
    assert!(
        store.cancel(&ns, vec![id]).await.unwrap()[0]
            .as_ref()
            .unwrap()
            .done()
    );
    assert_eq!(store.delete(&ns, vec![id]).await, Ok(vec![Ok(())]));
}

#[tokio::test]
async fn what_is_held_for_a_full_disk_is_there_where_there_is_space_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let held = || std::fs::metadata(dir.path().join("raincheck.reserve")).map_or(0, |file| file.len());
    let open = |reserve, ballast| {
        let options = Options {
            reserve: Some(reserve),
            ballast,
            ..Options::new(dir.path(), Arc::new(ManualClock::default()))
        };
        SqliteStore::open(options).unwrap()
    };
    for (reserve, ballast, expected) in [
        (1 << 20, false, 0),
        (1 << 20, true, 1 << 20),
        // It is there over a restart, and only where it is wanted.
        (1 << 20, true, 1 << 20),
        (1 << 20, false, 0),
        (0, true, 0),
        (u64::MAX, true, 0),
    ] {
        let store = open(reserve, ballast);
        assert_eq!(held(), expected, "{reserve} {ballast}");
        store.close().await.unwrap();
        assert_eq!(held(), expected, "closed: {reserve} {ballast}");
    }
}

#[tokio::test]
async fn the_log_starts_again_under_a_steady_load() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = Options::new(dir.path(), Arc::new(ManualClock::default()));
    options.log_pages = 200;
    let store = SqliteStore::open(options).unwrap();
    fill(&store).await;
    let first = salt(dir.path());
    let mut submitted = 1;
    while salt(dir.path()) == first {
        fill(&store).await;
        submitted += 1;
        assert!(submitted < 5_000, "the log grows without end");
    }
}

#[tokio::test]
async fn the_space_of_what_is_forgotten_is_given_back() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::default());
    let ns = Namespace::default();
    let size = || std::fs::metadata(dir.path().join("raincheck.db")).unwrap().len();
    let store = SqliteStore::open(Options::new(dir.path(), clock.clone())).unwrap();
    for _ in 0..300 {
        fill(&store).await;
    }
    store.purge(&ns, &queue(), 1_000).await.unwrap().unwrap();
    store.close().await.unwrap();
    let full = size();
    assert!(full > 300 * INPUT_BYTES as u64);
    let store = SqliteStore::open(Options::new(dir.path(), clock.clone())).unwrap();
    clock.advance(Duration::from_secs(25 * 3600));
    while store.prune(50).await.unwrap().more {}
    store.close().await.unwrap();
    assert!(size() < full / 2, "{} of {full} bytes are left", size());
}
