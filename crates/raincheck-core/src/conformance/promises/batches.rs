//! Promises about batches: every line counted once, every member told of once.

use std::sync::Arc;
use std::time::Duration;

use super::kit::{Draft, Kit, Take, h, key, refuse, release, s, succeed};
use crate::batch::{
    Batch, BatchId, BatchMissing, BatchOpened, BatchRefused, BatchStatus, Finished, Line, Member, NewBatch,
    Stage,
};
use crate::decide::UPLOAD_TERM;
use crate::id::JobId;
use crate::job::{Job, Outcome};
use crate::list::{Filter, Page};
use crate::name::Namespace;
use crate::queue::QueueSpec;
use crate::store::Counts;

impl Kit {
    pub fn new_batch(&self) -> NewBatch {
        NewBatch {
            id: BatchId::new(self.store.mint()),
            keep: None,
            open_for: None,
            callback: None,
            idempotency: None,
        }
    }

    pub async fn try_open(&self, new: NewBatch) -> Result<BatchOpened, BatchRefused> {
        self.store
            .open_batch(&self.ns, new)
            .await
            .expect("the store answers")
    }

    /// Opens a batch.
    pub async fn open_batch(&self) -> BatchId {
        let new = self.new_batch();
        let id = new.id;
        let opened = self.try_open(new).await;
        assert!(matches!(opened, Ok(BatchOpened::Created(_))), "{opened:?}");
        id
    }

    pub fn line(&self, draft: &Draft) -> Line {
        Line::Job(Box::new(self.submission(draft)))
    }

    pub async fn try_add(
        &self,
        id: BatchId,
        first: u64,
        lines: Vec<Line>,
    ) -> Result<Arc<Batch>, BatchRefused> {
        let added = self.store.add_lines(&self.ns, id, first, lines).await;
        added.expect("the store answers")
    }

    /// Adds jobs like this one.
    pub async fn add(&self, id: BatchId, first: u64, count: usize, draft: &Draft) -> Arc<Batch> {
        let lines = (0..count).map(|_| self.line(draft)).collect();
        self.try_add(id, first, lines)
            .await
            .expect("the batch takes lines")
    }

    pub async fn try_seal(&self, id: BatchId, lines: u64) -> Result<BatchStatus, BatchRefused> {
        let sealed = self.store.seal_batch(&self.ns, id, lines).await;
        sealed.expect("the store answers")
    }

    pub async fn seal(&self, id: BatchId, lines: u64) -> BatchStatus {
        self.try_seal(id, lines).await.expect("the batch is open")
    }

    pub async fn find_batch(&self, id: BatchId) -> Result<BatchStatus, BatchMissing> {
        self.store.batch(&self.ns, id).await.expect("the store answers")
    }

    pub async fn batch(&self, id: BatchId) -> BatchStatus {
        self.find_batch(id).await.expect("the batch is there")
    }

    pub async fn finished_members(&self, id: BatchId, after: u64, limit: u32) -> Vec<Finished> {
        let page = self.store.results(&self.ns, id, after, limit).await;
        page.expect("the store answers")
            .expect("the batch is there")
            .finished
    }

    pub async fn cancel_all(&self, id: BatchId, limit: u32) -> u32 {
        let mut slices = 1;
        loop {
            let cancelled = self.store.cancel_batch(&self.ns, id, limit).await;
            let cancelled = cancelled.expect("the store answers").expect("the batch is there");
            if !cancelled.more {
                return slices;
            }
            slices += 1;
        }
    }

    pub async fn tend(&self) -> Option<crate::time::Timestamp> {
        loop {
            let tended = self.store.tend_batches(2).await.expect("the store answers");
            if !tended.more {
                return tended.next_at;
            }
        }
    }

    pub async fn members(&self, id: BatchId) -> Vec<Arc<Job>> {
        let mut page = Page {
            filter: Filter {
                batch: Some(id),
                ..Filter::default()
            },
            cursor: None,
            limit: 3,
        };
        let mut found = Vec::new();
        loop {
            let listed = self
                .store
                .list(&self.ns, page.clone())
                .await
                .expect("the store answers");
            found.extend(listed.jobs);
            if listed.cursor.is_none() {
                return found;
            }
            page.cursor = listed.cursor;
        }
    }

    /// Claims the next job and has it succeed.
    pub async fn work(&self, result: &'static str) -> JobId {
        let leased = self.take(Take::default()).await.remove(0);
        self.settle(&leased.job, succeed(result))
            .await
            .expect("the lease is held")
            .id
    }
}

/// A line of which no job can be made.
pub fn bad() -> Line {
    Line::Bad {
        code: "bad-request".to_owned(),
        detail: "no JSON".to_owned(),
    }
}

/// So many that wait to be claimed, and nothing else.
pub fn queued(count: u64) -> Counts {
    Counts {
        queued: count,
        ..Counts::default()
    }
}

pub async fn lines_become_members_that_are_counted(kit: Kit) {
    kit.q().await;
    let id = kit.open_batch().await;
    let empty = kit.batch(id).await;
    assert_eq!((empty.batch.lines, empty.counts), (0, Counts::default()));
    assert!(!empty.batch.sealed());
    kit.add(id, 0, 3, &Draft::default()).await;
    let later = Draft {
        delay: Some(s(60)),
        ..Draft::default()
    };
    let batch = kit.add(id, 3, 2, &later).await;
    assert_eq!((batch.lines, batch.rejected, batch.remaining()), (5, 0, 5));
    let counts = Counts {
        scheduled: 2,
        ..queued(3)
    };
    assert_eq!(kit.batch(id).await.counts, counts);
    let indexes: Vec<_> = kit.members(id).await.iter().map(|job| job.member).collect();
    let member = |index| Some(Member { batch: id, index });
    assert_eq!(indexes, [4, 3, 2, 1, 0].map(member), "listed newest first");
    let alone = kit.submit(Draft::default()).await;
    assert_eq!(kit.get(alone).await.member, None);
    kit.take(Take::default()).await;
    kit.advance(s(60));
    kit.store.check().await.expect("the store answers");
    let counts = Counts {
        running: 1,
        ..queued(4)
    };
    assert_eq!(kit.batch(id).await.counts, counts);
}

pub async fn a_line_that_makes_no_job_is_counted_and_told(kit: Kit) {
    kit.put(
        "q",
        QueueSpec {
            depth: Some(2),
            ..QueueSpec::default()
        },
    )
    .await;
    let id = kit.open_batch().await;
    let elsewhere = Draft {
        queue: "nowhere",
        ..Draft::default()
    };
    let keyed = Draft::keyed("k", 1);
    let lines = vec![
        bad(),
        kit.line(&keyed),
        kit.line(&elsewhere),
        kit.line(&keyed),
        kit.line(&Draft::default()),
        kit.line(&Draft::default()),
    ];
    let batch = kit.try_add(id, 0, lines).await.expect("the batch takes lines");
    let told: Vec<_> = batch
        .refusals
        .iter()
        .map(|refusal| (refusal.index, refusal.code.as_str()))
        .collect();
    let expected = [
        (0, "bad-request"),
        (2, "unknown-queue"),
        (3, "already-submitted"),
        (5, "queue-full"),
    ];
    assert_eq!(told, expected);
    assert_eq!((batch.lines, batch.rejected, batch.members()), (6, 4, 2));
    assert_eq!(kit.batch(id).await.counts, queued(2));
}

pub async fn many_rejected_lines_are_counted_and_the_first_are_told(kit: Kit) {
    let id = kit.open_batch().await;
    let lines = (0..150).map(|_| bad()).collect();
    let batch = kit.try_add(id, 0, lines).await.expect("the batch takes lines");
    assert_eq!((batch.rejected, batch.refusals.len()), (150, 100));
    let sealed = kit.seal(id, 150).await;
    assert!(sealed.batch.done(), "nothing remains");
    assert_eq!(kit.batch(id).await.batch.refusals.len(), 100);
}

pub async fn a_line_is_taken_once(kit: Kit) {
    kit.q().await;
    let id = kit.open_batch().await;
    kit.add(id, 0, 4, &Draft::default()).await;
    assert_eq!(
        kit.add(id, 0, 4, &Draft::default()).await.lines,
        4,
        "all over again"
    );
    assert_eq!(
        kit.add(id, 2, 4, &Draft::default()).await.lines,
        6,
        "two of them again"
    );
    let gap = kit.try_add(id, 7, vec![kit.line(&Draft::default())]).await;
    assert_eq!(gap.err(), Some(BatchRefused::Gap { lines: 6 }));
    assert_eq!(kit.members(id).await.len(), 6);
}

pub async fn a_batch_is_done_when_it_is_sealed_and_nothing_remains(kit: Kit) {
    kit.q().await;
    let id = kit.open_batch().await;
    kit.add(id, 0, 2, &Draft::default()).await;
    kit.work("1").await;
    kit.work("2").await;
    assert!(!kit.batch(id).await.batch.done(), "lines may come");
    assert_eq!(
        kit.try_seal(id, 3).await.err(),
        Some(BatchRefused::Gap { lines: 2 })
    );
    kit.add(id, 2, 1, &Draft::default()).await;
    assert!(!kit.seal(id, 3).await.batch.done(), "one remains");
    assert!(kit.seal(id, 3).await.batch.sealed(), "again");
    kit.advance(s(5));
    kit.work("3").await;
    let status = kit.batch(id).await;
    let expected = Stage::Done {
        finished_at: kit.now(),
        expires_at: kit.now().plus(h(24)),
    };
    assert_eq!(status.batch.stage, expected);
    assert_eq!((status.counts.succeeded, status.batch.remaining()), (3, 0));
}

pub async fn a_sealed_batch_takes_no_more_lines(kit: Kit) {
    kit.q().await;
    let id = kit.open_batch().await;
    kit.add(id, 0, 2, &Draft::default()).await;
    kit.seal(id, 2).await;
    let sealed = Some(BatchRefused::Sealed { lines: 2 });
    let more = kit.try_add(id, 2, vec![kit.line(&Draft::default())]).await;
    assert_eq!(more.err(), sealed);
    assert_eq!(kit.try_seal(id, 1).await.err(), sealed);
    assert_eq!(kit.add(id, 0, 2, &Draft::default()).await.lines, 2, "repeated");
    assert_eq!(kit.members(id).await.len(), 2);
}

pub async fn an_upload_is_recognised_by_its_key(kit: Kit) {
    kit.q().await;
    let keyed = |sent| NewBatch {
        idempotency: key(&Draft::keyed("k", sent)),
        ..kit.new_batch()
    };
    let first = keyed(1);
    let id = first.id;
    assert!(matches!(kit.try_open(first).await, Ok(BatchOpened::Created(_))));
    kit.add(id, 0, 3, &Draft::default()).await;
    match kit.try_open(keyed(1)).await {
        Ok(BatchOpened::Replayed(status)) => assert_eq!((status.batch.id, status.batch.lines), (id, 3)),
        other => panic!("{other:?}"),
    }
    assert_eq!(
        kit.try_open(keyed(2)).await,
        Err(BatchRefused::IdempotencyMismatch)
    );
    let stranger = kit.acting_for(Namespace::new("other").expect("a name"));
    let theirs = NewBatch {
        id: BatchId::new(kit.store.mint()),
        ..keyed(2)
    };
    assert!(matches!(
        stranger.try_open(theirs).await,
        Ok(BatchOpened::Created(_))
    ));
}

pub async fn results_come_in_the_order_in_which_members_end(kit: Kit) {
    kit.q().await;
    let id = kit.open_batch().await;
    kit.add(id, 0, 4, &Draft::default()).await;
    let leased = kit
        .take(Take {
            count: 3,
            ..Take::default()
        })
        .await;
    kit.settle(&leased[2].job, succeed("third"))
        .await
        .expect("the lease is held");
    kit.settle(&leased[0].job, refuse())
        .await
        .expect("the lease is held");
    kit.settle(&leased[1].job, release(Duration::ZERO))
        .await
        .expect("the lease is held");
    let told = |finished: Vec<Finished>| {
        let one = |one: &Finished| {
            let index = one.job.member.map(|member| member.index);
            (one.place, index, one.job.outcome())
        };
        finished.iter().map(one).collect::<Vec<_>>()
    };
    let first = (1, Some(2), Some(Outcome::Succeeded));
    let second = (2, Some(0), Some(Outcome::Failed));
    assert_eq!(told(kit.finished_members(id, 0, 10).await), [first, second]);
    assert_eq!(told(kit.finished_members(id, 0, 1).await), [first]);
    assert_eq!(told(kit.finished_members(id, 1, 10).await), [second]);
    assert_eq!(told(kit.finished_members(id, 2, 10).await), []);
    let with = kit.finished_members(id, 0, 1).await.remove(0);
    assert_eq!(
        with.result.map(|result| result.body.clone()).as_deref(),
        Some(&b"third"[..])
    );
    kit.work("fourth").await;
    kit.work("fifth").await;
    let places: Vec<_> = kit
        .finished_members(id, 2, 10)
        .await
        .iter()
        .map(|one| one.place)
        .collect();
    assert_eq!(places, [3, 4]);
}

pub async fn a_cancelled_batch_ends_all_that_is_unfinished(kit: Kit) {
    kit.q().await;
    let id = kit.open_batch().await;
    kit.add(id, 0, 7, &Draft::default()).await;
    kit.work("kept").await;
    let running = kit.take(Take::default()).await.remove(0).job;
    assert!(kit.cancel_all(id, 2).await >= 3, "in slices");
    let status = kit.batch(id).await;
    assert!(status.batch.cancel_requested && status.batch.sealed());
    let counts = Counts {
        succeeded: 1,
        cancelled: 5,
        running: 1,
        ..Counts::default()
    };
    assert_eq!(status.counts, counts);
    assert!(kit.get(running.id).await.cancel_requested);
    let more = kit.try_add(id, 7, vec![kit.line(&Draft::default())]).await;
    assert_eq!(more.err(), Some(BatchRefused::Cancelled));
    kit.settle(&running, release(Duration::ZERO))
        .await
        .expect("the lease is held");
    let status = kit.batch(id).await;
    assert!(status.batch.done());
    assert_eq!(status.counts.cancelled, 6);
    assert_eq!(kit.cancel_all(id, 2).await, 1, "again");
    assert_eq!(kit.batch(id).await, status);
}

pub async fn an_upload_that_is_not_taken_up_again_is_cancelled(kit: Kit) {
    kit.q().await;
    let id = kit.open_batch().await;
    kit.advance(UPLOAD_TERM - s(1));
    kit.add(id, 0, 5, &Draft::default()).await;
    kit.advance(UPLOAD_TERM - s(1));
    assert_eq!(kit.tend().await, Some(kit.now().plus(s(1))));
    assert!(!kit.batch(id).await.batch.cancel_requested);
    kit.advance(s(1));
    assert_eq!(kit.tend().await, None);
    let status = kit.batch(id).await;
    assert!(status.batch.cancel_requested && status.batch.done());
    assert_eq!(status.counts.cancelled, 5);
    let patient = NewBatch {
        open_for: Some(h(48)),
        ..kit.new_batch()
    };
    let id = patient.id;
    kit.try_open(patient).await.expect("it is opened");
    for _ in 0..2 {
        kit.advance(h(47));
        kit.tend().await;
        let lines = kit.batch(id).await.batch.lines;
        kit.add(id, lines, 1, &Draft::default()).await;
    }
    kit.advance(h(48));
    kit.tend().await;
    assert!(kit.batch(id).await.batch.cancel_requested);
}

pub async fn tending_goes_on_with_what_a_cancel_began(kit: Kit) {
    kit.q().await;
    let id = kit.open_batch().await;
    kit.add(id, 0, 9, &Draft::default()).await;
    let cancelled = kit.store.cancel_batch(&kit.ns, id, 2).await;
    assert!(cancelled.expect("the store answers").expect("it is there").more);
    kit.tend().await;
    assert!(kit.batch(id).await.batch.done());
}
