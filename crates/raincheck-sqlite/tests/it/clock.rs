//! A clock that is set: back while the store was closed, and forwards and back under an open one.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use raincheck_core::clock::ManualClock;
use raincheck_core::content::JobResult;
use raincheck_core::decide::Settlement;
use raincheck_core::delivery::Callback;
use raincheck_core::id::{JobId, Nonce};
use raincheck_core::job::Outcome;
use raincheck_core::store::{Settle, Store as _};
use raincheck_sqlite::{OpenError, Options, SqliteStore};

use raincheck_core::name::Namespace;

use crate::kit::{bytes, claim_as, number, open, submission, submit, succeed, try_claim};

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

/// Submits a job that is due in an hour.
async fn in_an_hour(store: &SqliteStore) -> JobId {
    let mut delayed = submission(store, bytes("delayed"));
    delayed.job.delay = Some(HOUR);
    let id = delayed.job.id;
    let taken = store.submit(&Namespace::default(), vec![delayed]).await;
    taken.expect("the store answers").remove(0).expect("it is new");
    id
}

fn open_at(dir: &Path, clock: &Arc<ManualClock>) -> SqliteStore {
    SqliteStore::open(Options::new(dir, Arc::<ManualClock>::clone(clock))).expect("a store")
}

#[tokio::test]
async fn what_came_after_a_jump_far_ahead_and_back_is_due_when_it_was_asked_to_be() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::default());
    let store = open_at(dir.path(), &clock);
    let years = 10 * 365 * 24 * HOUR_MILLIS;
    clock.set(years);
    store.reclaim(10, 0).await.unwrap();
    let ahead = submit(&store, bytes("ahead")).await;
    clock.set(-years);
    store.reclaim(10, 0).await.unwrap();
    assert_eq!(claim_as(&store, Nonce([1; 12])).await.job.id, ahead, "it was due");

    let accepted_at = store.now();
    let due = in_an_hour(&store).await;
    assert!(due > ahead, "ids only grow");
    let read = async |store: &SqliteStore| store.get(&Namespace::default(), due).await.unwrap().unwrap();
    assert_eq!(read(&store).await.created_at, accepted_at, "by the clock");
    store.close().await.unwrap();
    // However often it is opened: each time the clock stands years before the newest id.
    for n in 2..4 {
        let store = open_at(dir.path(), &clock);
        assert!(try_claim(&store, Nonce([n; 12])).await.is_none(), "it is not due");
        let job = read(&store).await;
        assert_eq!(
            (job.created_at, job.run_at),
            (accepted_at, accepted_at.plus(HOUR))
        );
        store.close().await.unwrap();
    }
    let store = open_at(dir.path(), &clock);
    clock.advance(HOUR);
    assert_eq!(claim_as(&store, Nonce([9; 12])).await.job.id, due);
}

#[tokio::test]
async fn a_clock_that_was_set_back_while_the_store_was_closed_is_noticed_once() {
    let dir = tempfile::tempdir().unwrap();
    let ahead = Arc::new(ManualClock::default());
    ahead.advance(4 * HOUR);
    let store = open_at(dir.path(), &ahead);
    let before = submit(&store, bytes("before")).await;
    store.close().await.unwrap();
    let clock = Arc::new(ManualClock::default());
    let store = open_at(dir.path(), &clock);
    assert_eq!(
        claim_as(&store, Nonce([1; 12])).await.job.id,
        before,
        "it was due"
    );
    in_an_hour(&store).await;
    store.close().await.unwrap();
    let store = open_at(dir.path(), &clock);
    assert!(try_claim(&store, Nonce([2; 12])).await.is_none(), "it is not due");
    // The clock comes to the ids by itself, and is then set back again: what was due by then stays due.
    clock.advance(5 * HOUR);
    let late = submit(&store, bytes("late")).await;
    store.close().await.unwrap();
    let store = open_at(dir.path(), &Arc::new(ManualClock::default()));
    let claimed = [
        claim_as(&store, Nonce([3; 12])).await.job.id,
        claim_as(&store, Nonce([4; 12])).await.job.id,
    ];
    assert!(claimed.contains(&late), "{claimed:?}");
}

#[tokio::test]
async fn rows_keep_their_checksums_where_the_clock_is_set_back() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::default());
    let store = open_at(dir.path(), &clock);
    let job = submit(&store, bytes("input")).await;
    let damaged = submit(&store, bytes("input")).await;
    let database = rusqlite::Connection::open(dir.path().join("raincheck.db")).unwrap();
    let changed = "UPDATE jobs SET priority = 4 WHERE seq = ?1";
    database.execute(changed, [damaged.seq().cast_signed()]).unwrap();
    clock.set(-HOUR_MILLIS);
    store.reclaim(10, 0).await.unwrap();
    let moved = "SELECT count(*) FROM jobs WHERE run_at < (seq >> 12)";
    assert_eq!(number(dir.path(), moved), 2);
    assert_eq!(
        number(dir.path(), "SELECT count(*) FROM jobs WHERE sum IS NULL"),
        0
    );
    let whole = store.get(&Namespace::default(), job).await.unwrap();
    assert_eq!(whole.unwrap().run_at, store.now());
    // It is in memory as it was written; the row is found damaged where it is read.
    store.close().await.unwrap();
    match SqliteStore::open(Options::new(dir.path(), Arc::<ManualClock>::clone(&clock))) {
        Err(OpenError::Jobs { detail, .. }) => assert!(detail.contains("the state of job"), "{detail}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_job_that_is_to_be_tried_again_and_a_webhook_wait_as_long_as_they_would_have() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::default());
    let store = open_at(dir.path(), &clock);
    let ns = Namespace::default();
    let mut job = submission(&store, bytes("input"));
    job.job.options.callback = Some(Callback {
        url: "http://127.0.0.1:9/done".to_owned(),
        events: vec![Outcome::Succeeded],
    });
    let first = job.job.id;
    store.submit(&ns, vec![job]).await.unwrap().remove(0).unwrap();
    let lease = claim_as(&store, Nonce([1; 12])).await.job.lease_id().unwrap();
    succeed(
        &store,
        lease,
        JobResult::new(200, None, Vec::new(), "done".into()),
    )
    .await;
    let again = submit(&store, bytes("again")).await;
    assert!(again > first);
    let lease = claim_as(&store, Nonce([2; 12])).await.job.lease_id().unwrap();
    let minute = Duration::from_secs(60);
    let settlement = Settlement::Release {
        delay: minute,
        interrupted: false,
        why: None,
    };
    let settle = Settle {
        lease,
        settlement,
        digest: [1; 16],
        seed: 0,
    };
    store.settle(&ns, vec![settle]).await.unwrap().remove(0).unwrap();
    let tried_next = || number(dir.path(), "SELECT next_at FROM deliveries");
    let before = tried_next();
    let mut off = 0;
    for (n, by) in [3 * HOUR_MILLIS, -5 * HOUR_MILLIS].into_iter().enumerate() {
        clock.set(by);
        store.reclaim(10, 0).await.unwrap();
        off += by;
        let nonce = Nonce([u8::try_from(n).unwrap() + 3; 12]);
        assert!(try_claim(&store, nonce).await.is_none(), "its minute is not over");
        let job = store.get(&ns, again).await.unwrap().unwrap();
        assert_eq!(job.run_at, store.now().plus(minute));
        assert_eq!(tried_next(), before + off);
    }
    clock.advance(minute);
    assert_eq!(claim_as(&store, Nonce([9; 12])).await.job.id, again);
    // Every row is as its checksum says: a store that is small is looked through where it is opened.
    store.close().await.unwrap();
    open_at(dir.path(), &clock).close().await.unwrap();
}
