//! Rows that are not as they were written: a store that is small is not opened with one, a large one finds it by itself.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use raincheck_core::audit::{Act, Actor};
use raincheck_core::batch::{BatchId, Line, NewBatch};
use raincheck_core::clock::ManualClock;
use raincheck_core::group::GroupSpec;
use raincheck_core::id::Nonce;
use raincheck_core::key::{Grants, KeyDigest, KeyId, NewKey};
use raincheck_core::name::{GroupName, KeyName, Namespace, Tag};
use raincheck_core::secret::Secret;
use raincheck_core::store::{Idempotency, Store as _, StoreError};
use raincheck_sqlite::{OpenError, Options, SqliteStore};

use crate::kit::{bytes, claim_as, open, queue, submission, submit};

/// A store with three jobs that wait, one of which looks finished.
async fn damaged(dir: &Path) {
    let store = open(dir).expect("a store");
    for _ in 0..3 {
        submit(&store, bytes("input")).await;
    }
    store.close().await.expect("it closes");
    drop(store);
    let conn = rusqlite::Connection::open(dir.join("raincheck.db")).expect("a database");
    let changed = conn.execute(
        "UPDATE jobs SET state = 2 WHERE seq = (SELECT max(seq) FROM jobs)",
        [],
    );
    assert_eq!(changed, Ok(1));
}

fn open_large(dir: &Path) -> Result<SqliteStore, OpenError> {
    let clock = Arc::new(ManualClock::default());
    SqliteStore::open(Options {
        look_at: 0,
        ..Options::new(dir, clock)
    })
}

#[tokio::test]
async fn a_small_store_with_a_damaged_row_is_not_opened() {
    let dir = tempfile::tempdir().unwrap();
    damaged(dir.path()).await;
    match open(dir.path()) {
        Err(error @ OpenError::Jobs { jobs: 1, .. }) => {
            let said = error.to_string();
            for part in [
                "raincheck.db holds a damaged job",
                "the state of job",
                "--set-aside-damaged",
            ] {
                assert!(said.contains(part), "{said}");
            }
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_large_store_finds_a_damaged_row_without_being_asked_for_it_and_has_failed_then() {
    let dir = tempfile::tempdir().unwrap();
    damaged(dir.path()).await;
    let store = open_large(dir.path()).unwrap();
    let found = async {
        loop {
            match store.check().await {
                Ok(()) => tokio::task::yield_now().await,
                Err(error) => return error,
            }
        }
    };
    let found = tokio::time::timeout(Duration::from_secs(60), found)
        .await
        .unwrap();
    assert!(
        matches!(&found, StoreError::Failed(reason) if reason.contains("the state of job")),
        "{found:?}"
    );
}

#[tokio::test]
async fn a_large_store_that_is_well_is_served_and_closed_in_the_middle_of_the_look() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    submit(&store, bytes("input")).await;
    store.close().await.unwrap();
    for _ in 0..3 {
        let store = open_large(dir.path()).unwrap();
        submit(&store, bytes("more")).await;
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_job_that_is_damaged_while_the_store_is_open_is_set_aside_and_the_others_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(Options {
        recent_jobs: 0,
        ..Options::new(dir.path(), Arc::new(ManualClock::default()))
    })
    .unwrap();
    let mut jobs = Vec::new();
    for _ in 0..4 {
        jobs.push(submit(&store, bytes("input")).await);
    }
    let conn = rusqlite::Connection::open(dir.path().join("raincheck.db")).unwrap();
    for (sql, job) in [
        ("UPDATE jobs SET input = x'00' WHERE seq = ?1", jobs[0]),
        ("UPDATE jobs SET priority = 6 WHERE seq = ?1", jobs[2]),
    ] {
        assert_eq!(conn.execute(sql, [job.seq().cast_signed()]), Ok(1));
    }
    let claimed = [
        claim_as(&store, Nonce([1; 12])).await.job.id,
        claim_as(&store, Nonce([2; 12])).await.job.id,
    ];
    assert_eq!(claimed, [jobs[1], jobs[3]]);
    assert!(store.check().await.is_ok());
    let troubles: Vec<_> = store
        .vitals()
        .unwrap()
        .errors()
        .filter(|(_, count)| *count > 0)
        .collect();
    assert_eq!(troubles, [("damaged", 2)]);
}

/// Every table that has a row here: one of its columns changed, and what is said of it.
const CHANGES: [(&str, &str); 19] = [
    ("UPDATE queues SET settings = '{\"concurrency\":9}'", "a queue"),
    (
        "UPDATE groups SET settings = '{\"concurrency\":9}'",
        "a group's limits",
    ),
    ("UPDATE idempotency SET seq = seq + 1", "an idempotency key"),
    ("UPDATE uniques SET value = 'other'", "a unique value"),
    ("UPDATE tags SET tag = 'other'", "a tag"),
    (
        "UPDATE key_pepper SET secret = zeroblob(32)",
        "the pepper of keys",
    ),
    (
        "UPDATE ticket_key SET secret = zeroblob(32)",
        "the key of tickets",
    ),
    (
        "UPDATE signing_secrets SET secret = zeroblob(32)",
        "a signing secret",
    ),
    ("UPDATE acts SET target = 'other'", "an act of the audit log"),
    (
        "UPDATE deliveries SET body = replace(body, '127.0.0.1', '127.0.0.9')",
        "a webhook",
    ),
    ("UPDATE deliveries SET next_at = next_at + 1", "a webhook"),
    ("UPDATE batches SET lines = lines + 1", "a batch"),
    ("UPDATE batches SET settings = '{}'", "a batch"),
    ("UPDATE batches SET refusals = '[]'", "a batch's refusals"),
    ("UPDATE api_keys SET namespace = 'other'", "an API key"),
    ("UPDATE set_back SET at = at + 1", "when the clock was set back"),
    (
        "UPDATE clock_set SET moved = moved + 1",
        "by how much the clock was set",
    ),
    ("UPDATE jobs SET state = 6", "the sums of a job that is there"),
    (
        "UPDATE jobs SET batch = 1, batch_tail = 2, batch_index = 3",
        "the options of job",
    ),
];

/// A store with a row in each of those tables.
async fn furnished(dir: &Path) {
    let clock = Arc::new(ManualClock::default());
    let options = Options::new(dir, Arc::<ManualClock>::clone(&clock));
    let store = SqliteStore::open(options).expect("a store");
    let ns = Namespace::default();
    let mut job = submission(&store, bytes("input"));
    job.job.options.tags = vec![Tag::new("eu").expect("a tag")];
    job.job.options.unique = Some("\"u\"".parse().expect("a unique value"));
    job.idempotency = Some(Idempotency {
        key: "k".to_owned(),
        fingerprint: [7; 32],
    });
    store
        .submit(&ns, vec![job])
        .await
        .expect("it is taken")
        .remove(0)
        .expect("it is new");
    let group = GroupName::new("g").expect("a name");
    let limits = GroupSpec {
        concurrency: Some(2),
        ..GroupSpec::default()
    };
    let put = store.put_group(&ns, &queue(), &group, Some(limits)).await;
    put.expect("the store answers").expect("the queue is there");
    for n in 1..=2 {
        let secret = Secret::new([n; 32]);
        store.key_pepper(secret.clone()).await.expect("a pepper");
        store.ticket_key(secret.clone()).await.expect("a key");
        store.rotate_secret(&ns, secret).await.expect("a secret");
    }
    let act = Act {
        id: 1,
        actor: Actor::Local,
        address: None,
        namespace: ns.clone(),
        action: "putQueue".to_owned(),
        target: "q".to_owned(),
        request_id: "r".to_owned(),
    };
    store.record(act, None).await.expect("it is kept");
    batch(&store, &ns).await;
    let key = NewKey {
        id: KeyId::new(1),
        name: KeyName::new("k").expect("a name"),
        grants: Grants::everything(),
        valid_for: None,
        digest: KeyDigest::new([1; 32]),
    };
    let made = store.create_key(&ns, key).await;
    made.expect("the store answers").expect("there is room");
    clock.set(-3_600_000);
    store.reclaim(1, 0).await.expect("the clock is followed");
    store.close().await.expect("it closes");
}

/// A batch of which every line was refused, and the webhook that its end makes.
async fn batch(store: &SqliteStore, ns: &Namespace) {
    let id = BatchId::new(store.mint());
    let new = NewBatch {
        id,
        keep: None,
        open_for: None,
        callback: Some("http://127.0.0.1:9/done".to_owned()),
        idempotency: None,
    };
    let opened = store.open_batch(ns, new).await;
    opened.expect("the store answers").expect("it is new");
    let bad = Line::Bad {
        code: "bad-request".to_owned(),
        detail: "no".to_owned(),
    };
    let added = store.add_lines(ns, id, 0, vec![bad]).await;
    added.expect("the store answers").expect("it takes lines");
    let sealed = store.seal_batch(ns, id, 1).await;
    sealed.expect("the store answers").expect("it is open");
}

#[tokio::test]
async fn whichever_row_was_changed_it_is_told() {
    let dir = tempfile::tempdir().unwrap();
    furnished(dir.path()).await;
    let file = dir.path().join("raincheck.db");
    let whole = std::fs::read(&file).unwrap();
    open(dir.path()).unwrap().close().await.unwrap();
    for (change, what) in CHANGES {
        std::fs::write(&file, &whole).unwrap();
        let conn = rusqlite::Connection::open(&file).unwrap();
        assert!(conn.execute(change, []).unwrap() > 0, "{change}");
        drop(conn);
        match open(dir.path()) {
            Err(OpenError::Row { detail, .. } | OpenError::Jobs { detail, .. }) => {
                assert!(detail.contains(what), "{change}: {detail}");
            }
            other => panic!("{change}: {other:?}"),
        }
    }
}
