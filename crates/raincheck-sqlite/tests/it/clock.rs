//! A clock that is set: back while the store was closed, and forwards and back under an open one.

use std::sync::Arc;
use std::time::Duration;

use raincheck_core::clock::ManualClock;
use raincheck_core::id::Nonce;
use raincheck_core::store::Store as _;
use raincheck_sqlite::{Options, SqliteStore};

use raincheck_core::name::Namespace;

use crate::kit::{bytes, claim_as, open, submission, submit};

const HOUR: Duration = Duration::from_secs(3_600);
const HOUR_MILLIS: i64 = 3_600_000;

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

#[tokio::test]
async fn a_clock_that_is_set_moves_due_times_and_no_lease() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::default());
    let store = SqliteStore::open(Options::new(dir.path(), Arc::<ManualClock>::clone(&clock))).unwrap();
    let held = submit(&store, bytes("held")).await;
    let lease = claim_as(&store, Nonce([1; 12])).await;
    assert_eq!(lease.job.id, held);
    let mut delayed = submission(&store, bytes("delayed"));
    delayed.job.delay = Some(HOUR);
    let due = delayed.job.id;
    store.submit(&Namespace::default(), vec![delayed]).await.unwrap();

    let before = store.now();
    clock.set(3 * HOUR_MILLIS);
    assert_eq!(
        store.reclaim(10, 0).await.unwrap().count,
        0,
        "the lease goes by the time that passes"
    );
    assert_eq!(store.now(), before.plus(3 * HOUR));
    assert_eq!(
        claim_as(&store, Nonce([2; 12])).await.job.id,
        due,
        "the job is due by the wall"
    );

    let waiting = submit(&store, bytes("waiting")).await;
    clock.set(-5 * HOUR_MILLIS);
    assert_eq!(store.reclaim(10, 0).await.unwrap().count, 0);
    assert!(store.now() < before);
    assert_eq!(
        claim_as(&store, Nonce([3; 12])).await.job.id,
        waiting,
        "what was due stays due"
    );

    // Leases of 30 s end after 30 s, wherever the wall went meanwhile.
    clock.advance(Duration::from_secs(29));
    assert_eq!(store.reclaim(10, 0).await.unwrap().count, 0);
    clock.advance(Duration::from_secs(1));
    assert_eq!(store.reclaim(10, 0).await.unwrap().count, 3);
}
