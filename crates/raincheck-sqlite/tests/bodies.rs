//! What the embedded store promises about where inputs and results lie: in the job's row or beside it, always to the byte.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use raincheck_core::clock::ManualClock;
use raincheck_core::content::{Header, Input, JobResult};
use raincheck_core::decide::{Claimer, NewJob, Settlement};
use raincheck_core::id::{JobId, Nonce};
use raincheck_core::job::Options as JobOptions;
use raincheck_core::lease::WorkerKind;
use raincheck_core::name::{Namespace, QueueName, WorkerName};
use raincheck_core::store::{Claim, Settle, Store, Submission};
use raincheck_sqlite::{Options, SqliteStore};

fn open(dir: &Path) -> SqliteStore {
    SqliteStore::open(Options::new(dir, Arc::new(ManualClock::default()))).expect("the store opens")
}

fn headers(some: bool) -> Vec<Header> {
    let header = || ("content-language".to_owned(), "de".to_owned());
    some.then(header).into_iter().collect()
}

/// A job with this input that ends with this result.
async fn finish(store: &SqliteStore, input: &Input, result: &JobResult) -> JobId {
    let ns = Namespace::default();
    let queue = QueueName::new("q").expect("a plain name");
    let id = store.mint();
    let job = NewJob {
        id,
        namespace: ns.clone(),
        queue: queue.clone(),
        group: None,
        priority: 5,
        run_at: None,
        delay: None,
        options: JobOptions::default(),
        retry_of: None,
        member: None,
    };
    let submission = Submission {
        job,
        input: input.clone(),
        idempotency: None,
        create_queue: true,
    };
    let accepted = store.submit(&ns, vec![submission]).await;
    accepted
        .expect("the store answers")
        .remove(0)
        .expect("there is room");
    let claim = Claim {
        queue,
        claimer: Claimer {
            worker: WorkerName::new("w").expect("a plain name"),
            kind: WorkerKind::Pull,
            term: Duration::from_secs(30),
            claim_id: None,
        },
        nonces: vec![Nonce([7; 12])],
        running_max: None,
    };
    let leased = store
        .claim(&ns, claim)
        .await
        .expect("the store answers")
        .remove(0);
    assert_eq!(leased.input, *input, "as the worker gets it");
    let settle = Settle {
        lease: leased.job.lease_id().expect("it runs"),
        digest: result.digest,
        settlement: Settlement::Succeed(result.clone()),
        seed: 1,
    };
    let settled = store.settle(&ns, vec![settle]).await.expect("the store answers");
    assert!(settled[0].is_ok());
    id
}

fn count(dir: &Path, sql: &str) -> i64 {
    let conn = rusqlite::Connection::open(dir.join("raincheck.db")).expect("the database is there");
    conn.query_row(sql, [], |row| row.get(0)).expect("the query runs")
}

#[tokio::test]
async fn bodies_of_every_size_come_back_to_the_byte_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let ns = Namespace::default();
    let mut kept = Vec::new();
    let store = open(dir.path());
    for (size, some) in [
        (0, false),
        (1, true),
        (256, false),
        (256, true),
        (257, false),
        (70_000, false),
    ] {
        let body: Vec<u8> = (0..size).map(|n: u32| n.to_le_bytes()[0]).collect();
        let input = Input {
            content_type: some.then(|| "text/plain".to_owned()),
            headers: headers(some),
            body: body.clone().into(),
        };
        let kind = (!some).then(|| "image/png".to_owned());
        let result = JobResult::new(201, kind, headers(some), body.into());
        kept.push((finish(&store, &input, &result).await, input, result));
    }
    store.close().await.unwrap();
    let store = open(dir.path());
    for (id, input, result) in kept {
        assert_eq!(store.input(&ns, id).await.unwrap().unwrap(), input);
        let found = store.result(&ns, id).await.unwrap().unwrap();
        assert_eq!(*found.result.unwrap(), result);
    }
}

#[tokio::test]
async fn nothing_of_a_deleted_jobs_bodies_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut ids = Vec::new();
    for size in [10, 1_000] {
        let body = vec![b'x'; size];
        let input = Input {
            content_type: Some("a/b".to_owned()),
            headers: Vec::new(),
            body: body.clone().into(),
        };
        let result = JobResult::new(200, Some("a/b".to_owned()), Vec::new(), body.into());
        ids.push(finish(&store, &input, &result).await);
    }
    let beside = "SELECT (SELECT count(*) FROM inputs) + (SELECT count(*) FROM results)";
    let inside = "SELECT count(*) FROM jobs WHERE coalesce(input, input_type, result, result_type, result_status) \
                  IS NOT NULL";
    assert_eq!((count(dir.path(), beside), count(dir.path(), inside)), (2, 1));
    let deleted = store.delete(&Namespace::default(), ids).await.unwrap();
    assert!(deleted.iter().all(Result::is_ok));
    assert_eq!((count(dir.path(), beside), count(dir.path(), inside)), (0, 0));
}
