//! Jobs whose rows are damaged while the store is open: they hold nothing up, and are named.

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
use raincheck_core::store::{Leased, Renew, Settle, Store as _, Submission};
use raincheck_core::unique::Unique;
use raincheck_sqlite::{Options, SqliteStore};
use tempfile::TempDir;

use crate::kit::{bytes, claim_as, queue, submission, submit, try_claim};

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
        let options = Options {
            recent_jobs: 0,
            ..Options::new(dir.path(), Arc::<ManualClock>::clone(&clock))
        };
        Self {
            store: SqliteStore::open(options).expect("a store"),
            clock,
            dir,
            ns: Namespace::default(),
        }
    }

    /// Changes a job's row behind the store's back.
    fn damage(&self, job: JobId) {
        let conn = rusqlite::Connection::open(self.dir.path().join("raincheck.db")).expect("a database");
        let changed = conn.execute(
            "UPDATE jobs SET attempt = attempt + 1 WHERE seq = ?1",
            [job.seq().cast_signed()],
        );
        assert_eq!(changed, Ok(1));
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
            settlement: Settlement::Succeed(result),
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
