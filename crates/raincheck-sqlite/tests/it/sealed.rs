//! Secrets at rest: what is in the files of a store with a master key, and of one without.

use std::path::Path;
use std::sync::Arc;

use raincheck_core::clock::ManualClock;
use raincheck_core::name::Namespace;
use raincheck_core::secret::Secret;
use raincheck_core::store::Store;
use raincheck_sqlite::{MasterKeys, OpenError, Options, SqliteStore, master_key_id};

use crate::kit;

/// What tickets, keys and two namespaces sign with, each byte the same.
const SECRETS: [u8; 5] = [0xa1, 0xa2, 0xa3, 0xa4, 0xa5];

fn key(byte: u8) -> Secret {
    Secret::new([byte; 32])
}

fn keys(current: Option<u8>, former: Option<u8>) -> MasterKeys {
    MasterKeys {
        current: current.map(key),
        former: former.map(key),
    }
}

fn open(dir: &Path, master_keys: MasterKeys) -> Result<SqliteStore, OpenError> {
    SqliteStore::open(Options {
        master_keys,
        ..Options::new(dir, Arc::new(ManualClock::default()))
    })
}

fn ns(name: &str) -> Namespace {
    Namespace::new(name).expect("a plain name")
}

/// Makes all secrets; one of them was replaced.
async fn fill(store: &SqliteStore) {
    let [tickets, pepper, a, b, c] = SECRETS.map(key);
    store.ticket_key(tickets).await.expect("the store answers");
    store.key_pepper(pepper).await.expect("the store answers");
    store
        .signing_secrets(&ns("one"), a)
        .await
        .expect("the store answers");
    store
        .rotate_secret(&ns("one"), b)
        .await
        .expect("the store answers");
    store
        .signing_secrets(&ns("two"), c)
        .await
        .expect("the store answers");
}

/// All secrets are those that were made.
async fn check(store: &SqliteStore) {
    let [tickets, pepper, a, b, c] = SECRETS.map(key);
    assert_eq!(store.ticket_key(key(0)).await, Ok(tickets));
    assert_eq!(store.key_pepper(key(0)).await, Ok(pepper));
    let one = store
        .signing_secrets(&ns("one"), key(0))
        .await
        .expect("the store answers");
    assert_eq!((&one.current, &one.former[0].secret), (&b, &a));
    let two = store
        .signing_secrets(&ns("two"), key(0))
        .await
        .expect("the store answers");
    assert_eq!(two.current, c);
}

/// How many of the secrets can be read in the directory's files.
fn readable(dir: &Path) -> usize {
    let files = std::fs::read_dir(dir).expect("the directory is there");
    let bytes: Vec<Vec<u8>> = files
        .map(|file| std::fs::read(file.expect("a file").path()).expect("it can be read"))
        .collect();
    let holds = |byte: &u8| {
        bytes
            .iter()
            .any(|file| file.windows(32).any(|part| part == [*byte; 32]))
    };
    SECRETS.iter().filter(|byte| holds(byte)).count()
}

#[tokio::test]
async fn no_file_of_a_store_with_a_master_key_shows_a_secret() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), keys(Some(1), None)).unwrap();
    fill(&store).await;
    assert_eq!(readable(dir.path()), 0, "while it is open");
    store.close().await.unwrap();
    assert_eq!(readable(dir.path()), 0);
    let store = open(dir.path(), keys(Some(1), None)).unwrap();
    check(&store).await;
}

#[tokio::test]
async fn secrets_in_the_clear_are_sealed_when_a_key_is_given_and_nothing_of_them_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let store = kit::open(dir.path()).unwrap();
    fill(&store).await;
    store.close().await.unwrap();
    assert_eq!(
        readable(dir.path()),
        SECRETS.len(),
        "without a key they lie in the clear"
    );
    let store = open(dir.path(), keys(Some(1), None)).unwrap();
    assert_eq!(readable(dir.path()), 0, "from the opening on");
    check(&store).await;
    store.close().await.unwrap();
    assert_eq!(readable(dir.path()), 0);
}

#[tokio::test]
async fn a_store_with_sealed_secrets_is_opened_with_their_key_only() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), keys(Some(1), None)).unwrap();
    fill(&store).await;
    store.close().await.unwrap();
    for (given, id) in [(None, None), (Some(2), Some(master_key_id(&key(2))))] {
        match open(dir.path(), keys(given, None)) {
            Err(OpenError::MasterKey { wanted, given, .. }) => {
                assert_eq!((wanted, given), (master_key_id(&key(1)), id));
            }
            other => panic!("{other:?}"),
        }
    }
    check(&open(dir.path(), keys(Some(1), None)).unwrap()).await;
}

#[tokio::test]
async fn a_master_key_is_replaced_when_both_are_given() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), keys(Some(1), None)).unwrap();
    fill(&store).await;
    store.close().await.unwrap();
    let store = open(dir.path(), keys(Some(2), Some(1))).unwrap();
    check(&store).await;
    store.close().await.unwrap();
    assert!(
        open(dir.path(), keys(Some(1), None)).is_err(),
        "the former key opens nothing"
    );
    let store = open(dir.path(), keys(Some(2), Some(1))).unwrap();
    check(&store).await;
    store.close().await.unwrap();
    check(&open(dir.path(), keys(Some(2), None)).unwrap()).await;
}

#[tokio::test]
async fn a_secret_that_was_moved_to_another_row_is_damage() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), keys(Some(1), None)).unwrap();
    fill(&store).await;
    store.close().await.unwrap();
    let file = rusqlite::Connection::open(dir.path().join("raincheck.db")).unwrap();
    let moved = "UPDATE key_pepper SET (secret, sum) = (SELECT secret, sum FROM ticket_key)";
    assert_eq!(file.execute(moved, []).unwrap(), 1);
    file.close().unwrap();
    match open(dir.path(), keys(Some(1), None)) {
        Err(OpenError::Row { detail, .. }) => assert!(detail.contains("moved from another row"), "{detail}"),
        other => panic!("{other:?}"),
    }
}
