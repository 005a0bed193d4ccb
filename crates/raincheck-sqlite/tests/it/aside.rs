//! Jobs whose rows are damaged: they hold nothing up, and are named; also over a restart.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use raincheck_core::batch::{BatchId, BatchStatus, Line, NewBatch};
use raincheck_core::clock::ManualClock;
use raincheck_core::content::JobResult;
use raincheck_core::decide::{SettleRefused, Settlement};
use raincheck_core::group::GroupSpec;
use raincheck_core::id::{JobId, LeaseId, Nonce};
use raincheck_core::name::{GroupName, Namespace};
use raincheck_core::queue::QueueSpec;
use raincheck_core::store::{Leased, Renew, Retry, Settle, Store as _, Submission};
use raincheck_core::unique::Unique;
use raincheck_sqlite::{OpenError, Options, SqliteStore};
use tempfile::TempDir;

use crate::kit::{bytes, claim_as, queue, submission, submit, try_claim};

fn opened(
    dir: &Path,
    clock: &Arc<ManualClock>,
    change: impl FnOnce(&mut Options),
) -> Result<SqliteStore, OpenError> {
    let mut options = Options {
        recent_jobs: 0,
        ..Options::new(dir, Arc::<ManualClock>::clone(clock))
    };
    change(&mut options);
    SqliteStore::open(options)
}

/// A store that reads each row from its file.
struct Kept {
    store: SqliteStore,
    clock: Arc<ManualClock>,
    dir: TempDir,
    ns: Namespace,
}

impl Kept {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let clock = Arc::new(ManualClock::default());
        Self {
            store: opened(dir.path(), &clock, |_| ()).expect("a store"),
            clock,
            dir,
            ns: Namespace::default(),
        }
    }

    /// Closes the store and opens it with these options.
    async fn reopened(&mut self, change: impl FnOnce(&mut Options) + Send) -> Result<(), OpenError> {
        // After a refusal it is closed already.
        let _ = self.store.close().await;
        self.store = opened(self.dir.path(), &self.clock, change)?;
        Ok(())
    }

    /// Changes a row behind the store's back.
    fn change(&self, sql: &str, job: JobId) {
        let conn = rusqlite::Connection::open(self.dir.path().join("raincheck.db")).expect("a database");
        assert_eq!(conn.execute(sql, [job.seq().cast_signed()]), Ok(1), "{sql}");
    }

    /// Changes a job's row behind the store's back.
    fn damage(&self, job: JobId) {
        self.change("UPDATE jobs SET attempt = attempt + 1 WHERE seq = ?1", job);
    }

    /// Time goes by, and leases that lapsed by it are ended.
    async fn after(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
        self.store.reclaim(10, 0).await.expect("the others are ended");
    }

    async fn put(&self, spec: QueueSpec) {
        let put = self.store.put_queue(&self.ns, &queue(), spec, false).await;
        put.expect("the store answers").expect("it is nobody else's");
    }

    async fn take(&self, submission: Submission) -> JobId {
        let id = submission.job.id;
        let taken = self.store.submit(&self.ns, vec![submission]).await;
        taken.expect("the store answers").remove(0).expect("it is taken");
        id
    }

    async fn settle(&self, lease: LeaseId) -> Result<(), SettleRefused> {
        let result = JobResult::new(200, None, Vec::new(), "done".into());
        let settle = Settle {
            lease,
            digest: result.digest,
            settlement: Settlement::succeed(result),
            seed: 1,
        };
        let settled = self.store.settle(&self.ns, vec![settle]).await;
        settled.expect("the store answers").remove(0).map(drop)
    }

    /// A sealed batch of two jobs.
    async fn batch(&self) -> (BatchId, Vec<JobId>) {
        let id = BatchId::new(self.store.mint());
        let new = NewBatch {
            id,
            keep: None,
            open_for: None,
            callback: None,
            idempotency: None,
        };
        let opened = self.store.open_batch(&self.ns, new).await;
        opened.expect("the store answers").expect("it is new");
        let members = [
            submission(&self.store, bytes("1")),
            submission(&self.store, bytes("2")),
        ];
        let ids = members.iter().map(|member| member.job.id).collect();
        let lines = members.into_iter().map(|member| Line::Job(Box::new(member)));
        let added = self.store.add_lines(&self.ns, id, 0, lines.collect()).await;
        added.expect("the store answers").expect("it takes lines");
        let sealed = self.store.seal_batch(&self.ns, id, 2).await;
        sealed.expect("the store answers").expect("it is open");
        (id, ids)
    }

    async fn status(&self, id: BatchId) -> BatchStatus {
        let status = self.store.batch(&self.ns, id).await;
        status.expect("the store answers").expect("it is there")
    }

    fn named(&self) -> Vec<JobId> {
        self.store.vitals().expect("numbers").damaged(9).0
    }
}

fn lease_of(leased: &Leased) -> LeaseId {
    leased.job.lease_id().expect("it runs")
}

#[tokio::test]
async fn a_damaged_job_that_runs_gives_its_queues_and_its_groups_place_back() {
    let kept = Kept::new();
    let limits = GroupSpec {
        concurrency: Some(1),
        ..GroupSpec::default()
    };
    for spec in [
        QueueSpec {
            concurrency: Some(1),
            ..QueueSpec::default()
        },
        QueueSpec {
            group_defaults: Some(limits),
            ..QueueSpec::default()
        },
    ] {
        kept.put(spec).await;
        for _ in 0..2 {
            let mut job = submission(&kept.store, bytes("input"));
            job.job.group = Some(GroupName::new("g").unwrap());
            kept.take(job).await;
        }
        let first = claim_as(&kept.store, Nonce([1; 12])).await.job.id;
        assert!(
            try_claim(&kept.store, Nonce([2; 12])).await.is_none(),
            "it is full"
        );
        kept.damage(first);
        kept.after(31).await;
        assert!(kept.named().contains(&first));
        let second = claim_as(&kept.store, Nonce([3; 12])).await;
        assert_ne!(second.job.id, first);
        assert_eq!(kept.settle(lease_of(&second)).await, Ok(()));
    }
    let queues = kept.store.queues(&kept.ns).await.unwrap();
    assert_eq!((queues[0].counts.running, queues[0].counts.succeeded), (0, 2));
}

#[tokio::test]
async fn the_lease_of_a_damaged_job_is_over() {
    let kept = Kept::new();
    submit(&kept.store, bytes("input")).await;
    let leased = claim_as(&kept.store, Nonce([1; 12])).await;
    kept.damage(leased.job.id);
    let renew = Renew {
        lease: lease_of(&leased),
        term: Duration::from_secs(30),
        progress: None,
        defer: false,
    };
    let renewed = kept.store.renew(&kept.ns, vec![renew]).await;
    assert_eq!(renewed, Ok(vec![None]), "who finds the damage is told so as well");
    assert_eq!(
        kept.settle(lease_of(&leased)).await,
        Err(SettleRefused::LeaseLost)
    );
    assert_eq!(kept.named(), [leased.job.id]);
}

#[tokio::test]
async fn a_batch_counts_a_damaged_member_as_failed_and_ends() {
    for runs in [true, false] {
        let kept = Kept::new();
        let (batch, members) = kept.batch().await;
        if runs {
            claim_as(&kept.store, Nonce([1; 12])).await;
        }
        kept.damage(members[0]);
        kept.after(20).await;
        let other = claim_as(&kept.store, Nonce([2; 12])).await;
        assert_eq!(other.job.id, members[1]);
        kept.after(11).await;
        let status = kept.status(batch).await;
        assert_eq!(
            (status.counts.failed, status.batch.remaining()),
            (1, 1),
            "{status:?}"
        );
        assert_eq!(kept.settle(lease_of(&other)).await, Ok(()));
        let status = kept.status(batch).await;
        let counts = (status.counts.succeeded, status.counts.failed);
        assert_eq!((status.batch.done(), counts), (true, (1, 1)), "{status:?}");
        let results = kept.store.results(&kept.ns, batch, 0, 9).await;
        let finished = results.unwrap().unwrap().finished;
        let finished: Vec<_> = finished.iter().map(|member| member.job.id).collect();
        assert_eq!(finished, [members[1]]);
    }
}

#[tokio::test]
async fn what_is_done_to_many_jobs_goes_on_past_a_damaged_one() {
    let kept = Kept::new();
    let (batch, members) = kept.batch().await;
    kept.damage(members[0]);
    let cancelled = kept.store.cancel_batch(&kept.ns, batch, 10).await;
    cancelled.expect("the others are cancelled").expect("it is there");
    let status = kept.status(batch).await;
    assert_eq!(
        (status.batch.done(), status.counts.cancelled),
        (true, 1),
        "{status:?}"
    );

    let jobs = [
        submit(&kept.store, bytes("1")).await,
        submit(&kept.store, bytes("2")).await,
    ];
    kept.damage(jobs[0]);
    let purged = kept.store.purge(&kept.ns, &queue(), 10).await;
    purged.expect("the others are cancelled").expect("it is there");
    let queues = kept.store.queues(&kept.ns).await.unwrap();
    assert_eq!((queues[0].counts.queued, queues[0].counts.cancelled), (0, 2));

    kept.damage(members[1]);
    kept.clock.advance(Duration::from_secs(40 * 24 * 3_600));
    for _ in 0..3 {
        kept.store.prune(10).await.expect("the others are forgotten");
    }
    assert_eq!(kept.named(), [members[0], members[1], jobs[0]]);
    let gone = kept.store.get(&kept.ns, jobs[1]).await.unwrap();
    assert!(gone.is_err(), "{gone:?}");
}

#[tokio::test]
async fn a_damaged_job_holds_no_unique_value() {
    let kept = Kept::new();
    let unique = || {
        let mut job = submission(&kept.store, bytes("input"));
        job.job.options.unique = Some("\"u\"".parse::<Unique>().unwrap());
        job
    };
    let first = kept.take(unique()).await;
    kept.damage(first);
    let second = kept.take(unique()).await;
    assert_eq!(claim_as(&kept.store, Nonce([1; 12])).await.job.id, second);
    assert_eq!(kept.named(), [first]);
}

#[tokio::test]
async fn what_was_set_aside_stays_so_over_a_restart_and_is_counted_once() {
    let mut kept = Kept::new();
    let (batch, members) = kept.batch().await;
    claim_as(&kept.store, Nonce([1; 12])).await;
    kept.damage(members[0]);
    kept.after(31).await;
    for _ in 0..2 {
        kept.reopened(|_| ()).await.expect("whoever runs it was told");
        assert_eq!(kept.named(), [members[0]]);
        let status = kept.status(batch).await;
        assert_eq!(
            (status.counts.failed, status.batch.remaining()),
            (1, 1),
            "{status:?}"
        );
    }
    let other = claim_as(&kept.store, Nonce([2; 12])).await;
    assert_eq!(other.job.id, members[1]);
    assert_eq!(kept.settle(lease_of(&other)).await, Ok(()));
    assert!(kept.status(batch).await.batch.done());
    kept.change("UPDATE set_aside SET why = 'other' WHERE seq = ?1", members[0]);
    let refused = kept.reopened(|_| ()).await;
    assert!(
        matches!(&refused, Err(OpenError::Row { detail, .. }) if detail.contains("a note of a damaged job")),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_store_with_damaged_jobs_is_opened_where_they_may_be_set_aside() {
    for look_at in [u64::MAX, 0] {
        let mut kept = Kept::new();
        let mut jobs = Vec::new();
        for _ in 0..5 {
            jobs.push(submit(&kept.store, bytes("input")).await);
        }
        let done = claim_as(&kept.store, Nonce([1; 12])).await;
        assert_eq!(kept.settle(lease_of(&done)).await, Ok(()));
        claim_as(&kept.store, Nonce([2; 12])).await;
        // One that is done, one that runs, one that waits.
        jobs[..3].iter().for_each(|job| kept.damage(*job));
        if look_at > 0 {
            let refused = kept.reopened(|_| ()).await;
            assert!(
                matches!(refused, Err(OpenError::Jobs { jobs: 3, .. })),
                "{refused:?}"
            );
        }
        let accept = |options: &mut Options| {
            options.set_aside_damaged = true;
            options.look_at = look_at;
        };
        kept.reopened(accept).await.expect("they may be set aside");
        let found = async {
            while kept.named() != jobs[..3] {
                kept.store.check().await.expect("it goes on");
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), found)
            .await
            .expect("each is named");
        kept.reopened(|_| ()).await.expect("whoever runs it was told");
        assert_eq!(kept.named(), jobs[..3]);
        for (n, job) in (3_u8..).zip(&jobs[3..]) {
            let next = claim_as(&kept.store, Nonce([n; 12])).await;
            assert_eq!(next.job.id, *job);
            assert_eq!(kept.settle(lease_of(&next)).await, Ok(()));
        }
        assert!(try_claim(&kept.store, Nonce([9; 12])).await.is_none());
    }
}

#[tokio::test]
async fn a_members_batch_its_line_and_its_place_are_in_its_sums() {
    let mut kept = Kept::new();
    let (_, members) = kept.batch().await;
    let first = claim_as(&kept.store, Nonce([1; 12])).await;
    assert_eq!(kept.settle(lease_of(&first)).await, Ok(()));
    // What it gains after its end leaves its place.
    let retry = Retry {
        id: members[0],
        new_id: kept.store.mint(),
    };
    let retried = kept.store.retry(&kept.ns, vec![retry]).await;
    retried.expect("the store answers").remove(0).expect("it is done");
    kept.reopened(|_| ()).await.expect("it is well");
    kept.store.close().await.expect("it closes");
    let file = kept.dir.path().join("raincheck.db");
    let whole = std::fs::read(&file).expect("a database");
    for (change, what) in [
        ("UPDATE jobs SET batch = batch + 1 WHERE seq = ?1", "the options"),
        ("UPDATE jobs SET batch_tail = 1 WHERE seq = ?1", "the options"),
        ("UPDATE jobs SET batch_index = 7 WHERE seq = ?1", "the options"),
        ("UPDATE jobs SET batch = NULL WHERE seq = ?1", "the options"),
        ("UPDATE jobs SET batch_place = 7 WHERE seq = ?1", "the state"),
        ("UPDATE jobs SET batch_place = NULL WHERE seq = ?1", "the state"),
    ] {
        std::fs::write(&file, &whole).expect("it is written");
        kept.change(change, members[0]);
        match opened(kept.dir.path(), &kept.clock, |_| ()) {
            Err(OpenError::Jobs { detail, .. }) => assert!(detail.contains(what), "{change}: {detail}"),
            other => panic!("{change}: {other:?}"),
        }
    }
}
