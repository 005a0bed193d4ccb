//! Promises about a host's clock that is set while a store is open: what counts from something that has happened goes by the time
//! that passes, what is due at a time of the day comes when the clock says so.

use super::kit::{Draft, Kit, Take, fail, h, key, ms, release, s, succeed};
use crate::batch::NewBatch;
use crate::id::JobId;
use crate::job::{Options, Outcome};
use crate::store::{Counts, Missing, Submitted};

const HOUR: i64 = 3_600_000;
const YEAR: i64 = 365 * 24 * HOUR;

/// Where clocks go: by hours and years, forwards and back. Jobs that were there when one was set back are not held against the
/// invariants, by which what comes later has a later time.
const JUMPS: [i64; 5] = [HOUR, 3 * HOUR, -5 * HOUR, 10 * YEAR, -9 * YEAR];

fn start_before(limit: std::time::Duration) -> Options {
    Options {
        start_before: Some(limit),
        ..Options::default()
    }
}

fn deadline(limit: std::time::Duration) -> Options {
    Options {
        deadline: Some(limit),
        ..Options::default()
    }
}

async fn cancel(kit: &Kit, id: JobId) {
    let cancelled = kit.store.cancel(&kit.ns, vec![id]).await;
    let cancelled = cancelled.expect("the store answers").remove(0);
    cancelled.expect("the job is there");
}

async fn claimed(kit: &Kit) -> Vec<JobId> {
    let claim = kit.claim(&Take {
        count: 9,
        ..Take::default()
    });
    let leased = kit.store.claim(&kit.ns, claim).await;
    let leased = leased.expect("the store answers").into_iter();
    leased.map(|leased| leased.job.id).collect()
}

/// Why the job is not there, if it is not.
async fn missing(kit: &Kit, id: JobId) -> Option<Missing> {
    let result = kit.store.result(&kit.ns, id).await;
    result.expect("the store answers").err()
}

pub async fn leases_and_waits_are_as_long_as_they_were_when_the_clock_is_set(kit: Kit) {
    for by in JUMPS {
        kit.q().await;
        let held = kit.running(Draft::default()).await;
        let released = kit.running(Draft::default()).await;
        let released = kit.settle(&released, release(s(60))).await;
        let released = released.expect("the lease is held").id;
        kit.set_clock(by).await;
        kit.advance(s(30) - ms(1));
        assert_eq!(kit.reclaim().await.count, 0, "{by}");
        kit.advance(ms(1));
        assert_eq!(kit.reclaim().await.count, 1, "{by}");
        cancel(&kit, held.id).await;
        kit.advance(s(30) - ms(1));
        assert_eq!(claimed(&kit).await, [], "{by}");
        kit.advance(ms(1));
        assert_eq!(claimed(&kit).await, [released], "{by}");
        cancel(&kit, released).await;
        kit.advance(s(60));
        kit.reclaim().await;
    }
}

pub async fn due_times_follow_a_clock_that_is_set_and_what_was_due_stays_due(kit: Kit) {
    kit.q().await;
    let late = Draft {
        delay: Some(h(4)),
        ..Draft::default()
    };
    let late = kit.submit(late).await;
    let soon = Draft {
        delay: Some(h(2)),
        ..Draft::default()
    };
    let soon = kit.submit(soon).await;
    kit.set_clock(3 * HOUR).await;
    assert_eq!(kit.claim_one().await.id, soon);
    let waiting = kit.submit(Draft::default()).await;
    kit.set_clock(-3 * HOUR).await;
    assert_eq!(claimed(&kit).await, [waiting]);
    kit.advance(h(4));
    assert_eq!(claimed(&kit).await, [late]);
}

pub async fn limits_go_by_the_time_that_passes_when_the_clock_is_set(kit: Kit) {
    kit.q().await;
    let mut ended = 0;
    for by in JUMPS {
        kit.submit(Draft::with(start_before(s(1_800)))).await;
        kit.submit(Draft::with(deadline(s(1_800)))).await;
        kit.advance(s(60));
        kit.set_clock(by).await;
        assert_eq!(kit.reclaim().await.count, 0, "{by}");
        kit.advance(s(1_740) - ms(1));
        assert_eq!(kit.reclaim().await.count, 0, "{by}");
        kit.advance(ms(1));
        assert_eq!(kit.reclaim().await.count, 2, "{by}");
        ended += 2;
        let counts = Counts {
            expired: ended,
            ..Counts::default()
        };
        kit.counts_become("q", counts).await;
    }
}

pub async fn who_becomes_due_by_a_clock_that_is_set_has_all_its_time_to_be_started(kit: Kit) {
    kit.q().await;
    let draft = Draft {
        delay: Some(h(2)),
        ..Draft::with(start_before(s(1_800)))
    };
    let early = kit.submit(draft.clone()).await;
    kit.advance(h(1));
    let late = kit.submit(draft).await;
    // One is due since an hour by the clock, and since this moment by the time that passes; the other is not due.
    kit.set_clock(2 * HOUR - 1).await;
    assert_eq!(kit.reclaim().await.count, 0);
    kit.advance(s(1_800) - ms(1));
    assert_eq!(kit.reclaim().await.count, 0);
    kit.advance(ms(1));
    assert_eq!(kit.reclaim().await.count, 1);
    assert_eq!(kit.get(early).await.outcome(), Some(Outcome::Expired));
    assert!(!kit.get(late).await.done(), "it counts from when it is due");
    kit.advance(ms(1));
    assert_eq!(kit.reclaim().await.count, 1);
}

pub async fn a_deadline_is_as_far_as_it_was_for_the_attempts_that_follow(kit: Kit) {
    kit.q().await;
    let held = kit.running(Draft::with(deadline(h(1)))).await;
    kit.set_clock(3 * HOUR).await;
    kit.advance(s(10));
    let job = kit.settle(&held, fail()).await.expect("the lease is held");
    assert_eq!(job.outcome(), None, "it is tried again");
    kit.advance(s(3_589));
    assert_eq!(kit.reclaim().await.count, 0);
    kit.advance(s(1));
    assert_eq!(kit.reclaim().await.count, 1);
    assert_eq!(kit.get(held.id).await.outcome(), Some(Outcome::Failed));
}

pub async fn what_is_finished_is_kept_as_long_when_the_clock_is_set(kit: Kit) {
    kit.q().await;
    for (n, by) in (0..).zip(JUMPS) {
        let options = Options {
            keep: Some(h(2)),
            ..Options::default()
        };
        let done = kit.finished(Draft::with(options), succeed("yes")).await.id;
        let keyed = Draft::keyed("k", n);
        let deleted = kit.finished(keyed.clone(), succeed("yes")).await.id;
        kit.delete(deleted).await.expect("the job is done");
        kit.advance(h(1));
        kit.set_clock(by).await;
        assert_eq!(kit.prune().await, 0, "{by}");
        kit.advance(h(1) - ms(1));
        assert_eq!(kit.prune().await, 0, "{by}");
        assert_eq!(missing(&kit, done).await, None, "{by}");
        kit.advance(ms(1));
        assert_eq!(kit.prune().await, 1, "{by}");
        assert_eq!(missing(&kit, done).await, Some(Missing::Expired), "{by}");
        kit.advance(h(22) - ms(1));
        assert_eq!(kit.prune().await, 0, "{by}");
        assert_eq!(missing(&kit, deleted).await, Some(Missing::Deleted), "{by}");
        kit.advance(ms(1));
        assert_eq!(kit.prune().await, 1, "{by}");
        let (new, taken) = kit.try_submit(&[keyed]).await.remove(0);
        assert_eq!(taken, Ok(Submitted::Created), "{by}");
        kit.cancel(new).await.expect("the job is there");
        kit.advance(h(48));
        assert_eq!(kit.prune().await, 2, "{by}");
        kit.advance(h(24));
        kit.prune().await;
    }
}

pub async fn batches_are_open_and_kept_as_long_when_the_clock_is_set(kit: Kit) {
    kit.q().await;
    for (n, by) in (0..).zip(JUMPS) {
        let new = NewBatch {
            keep: Some(h(2)),
            open_for: Some(h(1)),
            idempotency: key(&Draft::keyed("b", n)),
            ..kit.new_batch()
        };
        let done = new.id;
        kit.try_open(new).await.expect("it is opened");
        kit.seal(done, 0).await;
        let open = NewBatch {
            open_for: Some(h(1)),
            ..kit.new_batch()
        };
        let open_id = open.id;
        kit.try_open(open).await.expect("it is opened");
        kit.set_clock(by).await;
        let tended = kit.store.tend_batches(10).await.expect("the store answers");
        assert_eq!(tended.count, 0, "{by}");
        kit.advance(h(1) - ms(1));
        let tended = kit.store.tend_batches(10).await.expect("the store answers");
        assert_eq!(tended.count, 0, "{by}");
        kit.advance(ms(1));
        kit.store.tend_batches(10).await.expect("the store answers");
        let status = kit.find_batch(open_id).await.expect("it is there");
        assert!(status.batch.cancel_requested, "{by}");
        assert_eq!(kit.prune().await, 0, "{by}");
        kit.advance(h(1) - ms(1));
        assert_eq!(kit.prune().await, 0, "{by}");
        kit.advance(ms(1));
        assert_eq!(kit.prune().await, 1, "{by}");
        assert!(kit.find_batch(done).await.is_err(), "{by}");
        kit.advance(h(72));
        kit.prune().await;
        kit.advance(h(24));
        kit.prune().await;
    }
}

pub async fn a_batch_was_opened_when_the_clock_said_so_whatever_its_id_says(kit: Kit) {
    kit.q().await;
    kit.set_clock(HOUR).await;
    // The id was made ahead of a clock that is set back since.
    let new = kit.new_batch();
    let id = new.id;
    kit.set_clock(-HOUR).await;
    let opened = kit.now();
    assert!(id.created_at() > opened);
    kit.try_open(new).await.expect("it is opened");
    kit.advance(s(1));
    kit.seal(id, 0).await;
    kit.advance(s(1));
    let batch = kit.find_batch(id).await.expect("it is there").batch;
    assert_eq!(batch.created_at, opened);
    assert!(batch.done(), "and so it is read from where it lies");
}
