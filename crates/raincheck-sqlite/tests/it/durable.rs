//! What the embedded store promises of its directory and its file, and what opening it again brings.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use raincheck_core::clock::ManualClock;
use raincheck_core::decide::Settlement;
use raincheck_core::id::Nonce;
use raincheck_core::name::Namespace;
use raincheck_core::queue::QueueSpec;
use raincheck_core::store::{Settle, Store as _, StoreError, Submitted};
use raincheck_sqlite::{OpenError, Options, SqliteStore};

use crate::kit::{bytes, claim_as, open, queue, submission, submit};

#[tokio::test]
async fn what_was_acknowledged_is_there_after_opening_again() {
    let dir = tempfile::tempdir().unwrap();
    let ns = Namespace::default();
    let store = open(dir.path()).unwrap();
    let submission = submission(&store, bytes("hello"));
    let id = submission.job.id;
    assert_eq!(
        store.submit(&ns, vec![submission]).await,
        Ok(vec![Ok(Submitted::Created)])
    );
    store.close().await.unwrap();
    assert_eq!(store.get(&ns, id).await, Err(StoreError::Closed));
    let store = open(dir.path()).unwrap();
    assert_eq!(store.get(&ns, id).await.unwrap().unwrap().id, id);
    assert_eq!(&*store.input(&ns, id).await.unwrap().unwrap().body, b"hello");
    assert_eq!(
        store.queue(&ns, &queue()).await.unwrap().unwrap().counts.queued,
        1
    );
    assert!(store.mint() > id);
}

#[tokio::test]
async fn a_queue_is_managed_only_while_the_configuration_that_defines_it_runs() {
    let dir = tempfile::tempdir().unwrap();
    let ns = Namespace::default();
    let spec = QueueSpec {
        depth: Some(7),
        ..QueueSpec::default()
    };
    let store = open(dir.path()).unwrap();
    let put = store.put_queue(&ns, &queue(), spec.clone(), true).await.unwrap();
    assert!(put.unwrap().managed);
    assert!(store.pause(&ns, &queue(), true).await.unwrap().unwrap().managed);
    store.close().await.unwrap();
    let store = open(dir.path()).unwrap();
    let there = store.queue(&ns, &queue()).await.unwrap().unwrap().queue;
    assert!(!there.managed && there.paused.is_some());
    assert_eq!(there.spec, spec);
    let put = store
        .put_queue(&ns, &queue(), QueueSpec::default(), false)
        .await
        .unwrap();
    assert!(put.is_ok());
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_second_process_is_refused_and_the_directory_is_free_after_closing() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    assert!(matches!(open(dir.path()), Err(OpenError::InUse { .. })));
    store.close().await.unwrap();
    open(dir.path()).unwrap();
}

#[test]
fn only_the_owner_can_read_what_is_stored() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("deep/store");
    let store = open(&path).unwrap();
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o700);
    let names: Vec<_> = std::fs::read_dir(&path)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert!(names.len() >= 3, "{names:?}");
    for name in names {
        assert_eq!(mode(&name), 0o600, "{}", name.display());
    }
    drop(store);
}

#[test]
fn a_file_of_another_program_or_of_a_newer_version_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("raincheck.db");
    let foreign = rusqlite::Connection::open(&file).unwrap();
    foreign.execute_batch("CREATE TABLE t (x)").unwrap();
    drop(foreign);
    assert!(matches!(open(dir.path()), Err(OpenError::Foreign { .. })));
    std::fs::write(&file, b"this is no database, and long enough to be looked at").unwrap();
    assert!(matches!(open(dir.path()), Err(OpenError::Database { .. })));

    let newer = tempfile::tempdir().unwrap();
    drop(open(newer.path()).unwrap());
    let file = newer.path().join("raincheck.db");
    let conn = rusqlite::Connection::open(&file).unwrap();
    conn.pragma_update(None, "user_version", 99).unwrap();
    drop(conn);
    let refused = loop {
        match open(newer.path()) {
            // The writer of the first store may still be closing.
            Err(OpenError::InUse { .. }) => std::thread::yield_now(),
            other => break other,
        }
    };
    assert!(matches!(refused, Err(OpenError::Newer { found: 99, .. })));
}

#[tokio::test]
async fn requests_of_one_round_share_one_transaction() {
    let dir = tempfile::tempdir().unwrap();
    let ns = Namespace::default();
    let store = open(dir.path()).unwrap();
    store
        .put_queue(&ns, &queue(), QueueSpec::default(), false)
        .await
        .unwrap()
        .unwrap();
    let wal = || {
        std::fs::metadata(dir.path().join("raincheck.db-wal"))
            .unwrap()
            .len()
    };
    let before = wal();
    let answers: Vec<_> = (0..64)
        .map(|_| store.submit(&ns, vec![submission(&store, bytes("x"))]))
        .collect();
    for answer in answers {
        answer.await.unwrap().remove(0).unwrap();
    }
    // 64 transactions would have written at least two pages each.
    assert!((wal() - before) / 4096 < 20, "{} pages", (wal() - before) / 4096);
}

#[test]
fn an_answer_comes_without_a_runtime_too() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    let answer = store.submit(&Namespace::default(), vec![submission(&store, bytes("x"))]);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert_eq!(runtime.block_on(answer), Ok(vec![Ok(Submitted::Created)]));
}

#[test]
fn a_round_survives_the_runtime_it_came_from() {
    let dir = tempfile::tempdir().unwrap();
    let ns = Namespace::default();
    let store = open(dir.path()).unwrap();
    let first = submission(&store, bytes("x"));
    let id = first.job.id;
    let short = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let answer = {
        let _inside = short.enter();
        store.submit(&ns, vec![first])
    };
    drop(short);
    drop(answer);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        store.check().await.unwrap();
        assert_eq!(store.get(&ns, id).await.unwrap().unwrap().id, id);
    });
}

#[tokio::test]
async fn a_lease_that_an_older_version_wrote_can_be_settled() {
    let dir = tempfile::tempdir().unwrap();
    let ns = Namespace::default();
    let store = open(dir.path()).unwrap();
    let job = submission(&store, bytes("hello"));
    assert_eq!(
        store.submit(&ns, vec![job]).await,
        Ok(vec![Ok(Submitted::Created)])
    );
    let leased = claim_as(&store, Nonce([0xfe, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 255])).await;
    let lease = leased.job.lease_id().unwrap();
    store.close().await.unwrap();
    let conn = rusqlite::Connection::open(dir.path().join("raincheck.db")).unwrap();
    let bytes = "json('[254,1,2,3,4,5,6,7,8,9,10,255]')";
    let before = format!("UPDATE jobs SET lease = json_set(lease, '$.nonce', {bytes})");
    assert_eq!(conn.execute(&before, []), Ok(1));
    conn.execute_batch(include_str!("../../src/sql/0009_lease_text.sql"))
        .unwrap();
    drop(conn);
    let store = open(dir.path()).unwrap();
    let settle = Settle {
        lease,
        settlement: Settlement::Cancel,
        digest: [0; 16],
        seed: 1,
    };
    let settled = store.settle(&ns, vec![settle]).await.unwrap();
    assert!(settled[0].as_ref().is_ok_and(|job| job.done()), "{settled:?}");
}

#[tokio::test]
async fn a_store_whose_making_was_cut_off_is_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name);
    for (name, left) in [
        ("raincheck.db", ""),
        ("raincheck.db.part", "the beginning of one"),
        ("raincheck.db.part-wal", "and of its log"),
    ] {
        std::fs::write(file(name), left).unwrap();
    }
    let store = open(dir.path()).unwrap();
    let ns = Namespace::default();
    let taken = store.submit(&ns, vec![submission(&store, bytes("x"))]);
    taken.await.unwrap().remove(0).unwrap();
    assert!(!file("raincheck.db.part").exists() && !file("raincheck.db.part-wal").exists());
}

#[tokio::test]
async fn a_log_that_outlived_its_database_is_none_of_a_new_one() {
    let (before, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = open(before.path()).unwrap();
    let ns = Namespace::default();
    let taken = store.submit(&ns, vec![submission(&store, bytes("x"))]);
    taken.await.unwrap().remove(0).unwrap();
    let log = |dir: &std::path::Path| dir.join("raincheck.db-wal");
    assert!(std::fs::copy(log(before.path()), log(dir.path())).unwrap() > 0);
    let store = open(dir.path()).unwrap();
    assert_eq!(store.queues(&ns).await.unwrap().len(), 0);
}

#[tokio::test]
async fn a_log_that_is_left_at_the_end_is_read_at_the_next_start_and_missed_where_it_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        leave_log: true,
        ..Options::new(dir.path(), Arc::new(ManualClock::default()))
    };
    let log = dir.path().join("raincheck.db-wal");
    let mut jobs = Vec::new();
    for _ in 0..2 {
        let store = SqliteStore::open(options.clone()).unwrap();
        jobs.push(submit(&store, bytes("x")).await);
        store.close().await.unwrap();
        assert!(std::fs::metadata(&log).unwrap().len() > 0);
        assert!(dir.path().join("seal").exists());
    }
    let store = open(dir.path()).unwrap();
    for job in &jobs {
        let found = store.get(&Namespace::default(), *job).await.unwrap();
        assert!(found.is_ok(), "{found:?}");
    }
    store.close().await.unwrap();
    assert!(!log.exists(), "it is moved where nothing else was said");
    let store = SqliteStore::open(options.clone()).unwrap();
    submit(&store, bytes("x")).await;
    store.close().await.unwrap();
    std::fs::remove_file(&log).unwrap();
    let missed = open(dir.path()).unwrap_err();
    assert!(matches!(missed, OpenError::Log { .. }), "{missed}");
}
