//! A store that is opened while the clock tells an earlier time than when it was open last.

use std::sync::Arc;
use std::time::Duration;

use raincheck_core::clock::ManualClock;
use raincheck_core::id::Nonce;
use raincheck_core::store::Store as _;
use raincheck_sqlite::{Options, SqliteStore};

use crate::kit::{bytes, claim_as, open, submit};

#[tokio::test]
async fn what_was_due_stays_due_when_the_clock_is_set_back() {
    let dir = tempfile::tempdir().unwrap();
    let ahead = ManualClock::default();
    ahead.advance(Duration::from_secs(4 * 3_600));
    let store = SqliteStore::open(Options::new(dir.path(), Arc::new(ahead))).unwrap();
    let before = submit(&store, bytes("before")).await;
    store.close().await.unwrap();
    let store = open(dir.path()).unwrap();
    let after = submit(&store, bytes("after")).await;
    let claimed = [
        claim_as(&store, Nonce([7; 12])).await.job.id,
        claim_as(&store, Nonce([8; 12])).await.job.id,
    ];
    assert_eq!(claimed, [before, after]);
}
