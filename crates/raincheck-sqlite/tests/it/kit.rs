//! Jobs of one queue, `q`, from submit to settle, and a look into the file beside the store.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use raincheck_core::clock::ManualClock;
use raincheck_core::content::{Input, JobResult};
use raincheck_core::decide::{Claimer, NewJob, Settlement};
use raincheck_core::id::{JobId, LeaseId, Nonce};
use raincheck_core::job::JobOptions;
use raincheck_core::lease::WorkerKind;
use raincheck_core::name::{Namespace, QueueName, WorkerName};
use raincheck_core::store::{Answer, Claim, Leased, Settle, Store, Submission};
use raincheck_sqlite::{OpenError, Options, SqliteStore};

pub(crate) fn open(dir: &Path) -> Result<SqliteStore, OpenError> {
    SqliteStore::open(Options::new(dir, Arc::new(ManualClock::default())))
}

pub(crate) fn queue() -> QueueName {
    QueueName::new("q").expect("a plain name")
}

/// A job with this input; its queue is made where it is missing.
pub(crate) fn submission(store: &SqliteStore, input: Input) -> Submission {
    let job = NewJob {
        id: store.mint(),
        namespace: Namespace::default(),
        queue: queue(),
        group: None,
        priority: 5,
        run_at: None,
        delay: None,
        options: JobOptions::default(),
        retry_of: None,
        member: None,
    };
    Submission {
        job,
        input,
        idempotency: None,
        create_queue: true,
    }
}

/// Bytes as an input without a type.
pub(crate) fn bytes(body: impl Into<bytes::Bytes>) -> Input {
    Input {
        body: body.into(),
        ..Input::default()
    }
}

/// Submits such a job.
pub(crate) async fn submit(store: &SqliteStore, input: Input) -> JobId {
    let submission = submission(store, input);
    let id = submission.job.id;
    let answers = store.submit(&Namespace::default(), vec![submission]).await;
    let answer = answers.expect("the store answers").remove(0);
    answer.expect("the queue has room");
    id
}

/// Claims the next job.
pub(crate) async fn claim(store: &SqliteStore) -> Leased {
    claim_as(store, Nonce([7; 12])).await
}

/// Claims the next job under a lease with this nonce.
pub(crate) async fn claim_as(store: &SqliteStore, nonce: Nonce) -> Leased {
    try_claim(store, nonce).await.expect("a job can be claimed")
}

/// The same, if there is one.
pub(crate) async fn try_claim(store: &SqliteStore, nonce: Nonce) -> Option<Leased> {
    let leased = store.claim(&Namespace::default(), of_one(nonce)).await;
    leased.expect("the store answers").pop()
}

/// The same, once there is one.
pub(crate) fn patient_claim(store: &SqliteStore, nonce: Nonce) -> Answer<Vec<Leased>> {
    store.claim_when_ready(&Namespace::default(), of_one(nonce))
}

/// A claim of one job.
pub(crate) fn of_one(nonce: Nonce) -> Claim {
    Claim {
        queue: queue(),
        claimer: Claimer {
            worker: WorkerName::new("w").expect("a plain name"),
            kind: WorkerKind::Pull,
            term: Duration::from_secs(30),
            claim_id: None,
        },
        nonces: vec![nonce],
        running_max: None,
        passing_over: Vec::new(),
    }
}

/// Ends the lease with this result.
pub(crate) async fn succeed(store: &SqliteStore, lease: LeaseId, result: JobResult) {
    let settle = Settle {
        lease,
        digest: result.digest,
        settlement: Settlement::succeed(result),
        seed: 1,
    };
    let settled = store.settle(&Namespace::default(), vec![settle]).await;
    assert!(settled.expect("the store answers")[0].is_ok());
}

/// A number that the file holds, by a query beside the store.
pub(crate) fn number(dir: &Path, sql: &str) -> i64 {
    let conn = rusqlite::Connection::open(dir.join("raincheck.db")).expect("the database is there");
    conn.query_row(sql, [], |row| row.get(0)).expect("the query runs")
}
