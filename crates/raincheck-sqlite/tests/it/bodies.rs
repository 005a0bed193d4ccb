//! What the embedded store promises about where inputs and results lie: in the job's row or beside it, always to the byte.

use raincheck_core::content::{Header, Input, JobResult};
use raincheck_core::id::JobId;
use raincheck_core::name::Namespace;
use raincheck_core::store::Store as _;
use raincheck_sqlite::SqliteStore;

use crate::kit::{claim, number, open, submit, succeed};

fn headers(some: bool) -> Vec<Header> {
    let header = || ("content-language".to_owned(), "de".to_owned());
    some.then(header).into_iter().collect()
}

/// A job with this input that ends with this result.
async fn finish(store: &SqliteStore, input: &Input, result: &JobResult) -> JobId {
    let id = submit(store, input.clone()).await;
    let leased = claim(store).await;
    assert_eq!(leased.input, *input, "as the worker gets it");
    succeed(store, leased.job.lease_id().expect("it runs"), result.clone()).await;
    id
}

#[tokio::test]
async fn bodies_of_every_size_come_back_to_the_byte_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let ns = Namespace::default();
    let mut kept = Vec::new();
    let store = open(dir.path()).expect("the store opens");
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
    let store = open(dir.path()).expect("the store opens");
    for (id, input, result) in kept {
        assert_eq!(store.input(&ns, id).await.unwrap().unwrap(), input);
        let found = store.result(&ns, id).await.unwrap().unwrap();
        assert_eq!(*found.result.unwrap(), result);
    }
}

#[tokio::test]
async fn results_beside_their_jobs_go_on_after_a_restart_where_they_had_got_to() {
    let dir = tempfile::tempdir().unwrap();
    let mut kept = Vec::new();
    for run in 0..3_u8 {
        let store = open(dir.path()).expect("the store opens");
        for size in [1_000, 2_000] {
            let result = JobResult::new(200, None, Vec::new(), vec![run; size].into());
            kept.push((finish(&store, &Input::default(), &result).await, result));
        }
        for (id, result) in &kept {
            let found = store.result(&Namespace::default(), *id).await.unwrap().unwrap();
            assert_eq!(*found.result.unwrap(), *result);
        }
        store.close().await.unwrap();
    }
    let in_order = "SELECT count(*) FROM (SELECT result_at - lag(result_at) OVER (ORDER BY seq) AS step FROM jobs) WHERE step = 1";
    assert_eq!(number(dir.path(), in_order), 5, "each lies behind the one before");
}

#[tokio::test]
async fn nothing_of_a_deleted_jobs_bodies_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).expect("the store opens");
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
    assert_eq!((number(dir.path(), beside), number(dir.path(), inside)), (2, 1));
    let deleted = store.delete(&Namespace::default(), ids).await.unwrap();
    assert!(deleted.iter().all(Result::is_ok));
    assert_eq!((number(dir.path(), beside), number(dir.path(), inside)), (0, 0));
}
