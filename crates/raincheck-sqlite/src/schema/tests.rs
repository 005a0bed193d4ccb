//! Files of earlier versions: each is brought to today's, wherever that broke off.

use raincheck_core::job::AttemptOutcome;
use raincheck_core::name::{Namespace, QueueName};
use raincheck_core::time::Timestamp;
use rusqlite::Batch;
use rusqlite::fallible_iterator::FallibleIterator as _;

use super::*;
use crate::row::{self, Found, QueueNames};

/// In memory where there is such a place: nothing is proven of syncs here.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .expect("a folder")
}

/// A file as the program that knew so many migrations left it, with a job of each kind where it has the columns.
fn of_version(path: &Path, version: usize) -> Connection {
    let conn = open(path, OpenFlags::default(), 64).expect("a database");
    conn.pragma_update(None, "journal_mode", "WAL")
        .expect("it has a log");
    for sql in &MIGRATIONS[..version] {
        conn.execute_batch(sql).expect("it is applied");
    }
    if version > 0 {
        conn.pragma_update(None, "application_id", APPLICATION_ID)
            .expect("it is ours");
        conn.execute_batch(
            "INSERT INTO queues (id, namespace, name, managed, created_at) VALUES (1, 'default', 'q', 0, 7)",
        )
        .expect("a queue");
        conn.execute_batch(
            "INSERT INTO jobs (seq, tail, queue, state, priority, version, attempt, fence, cancelling, run_at) \
             VALUES (1, 2, 1, 0, 5, 1, 0, 0, 0, 9)",
        )
        .expect("a job");
    }
    conn.pragma_update(None, "user_version", i64::try_from(version).expect("few"))
        .expect("it is noted");
    conn
}

fn tables(conn: &Connection) -> Vec<String> {
    texts(
        conn,
        "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY type, name",
    )
}

fn texts(conn: &Connection, sql: &str) -> Vec<String> {
    let mut select = conn.prepare(sql).expect("tables");
    let rows = select.query_map([], |row| row.get(0)).expect("rows");
    rows.collect::<Result<_, _>>().expect("texts")
}

/// Opens a file as a server does, and says what is in it.
fn opened(path: &Path) -> (Vec<String>, i64) {
    let (conn, ..) = open_writer(path, 64, u64::MAX).expect("it is opened");
    let jobs = conn.query_row("SELECT count(*) FROM jobs", [], |row| row.get(0));
    (tables(&conn), jobs.expect("a number"))
}

fn copy_of(from: &Path, to: &Path) -> std::path::PathBuf {
    for name in ["raincheck.db", "raincheck.db-wal"] {
        // A log that is not there is none.
        let _ = std::fs::copy(from.join(name), to.join(name));
    }
    to.join("raincheck.db")
}

/// A store as the migrations make it of an empty file.
fn migrated() -> Connection {
    let conn = Connection::open_in_memory().expect("a database");
    sum::register(&conn).expect("functions");
    for sql in MIGRATIONS {
        conn.execute_batch(sql).expect("it is applied");
    }
    conn
}

#[test]
fn a_new_store_is_to_the_letter_what_the_migrations_make() {
    let migrated = migrated();
    // In the order in which they came, for SQLite goes through a table's indexes in it.
    let sql = "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY rowid";
    let text: Vec<_> = texts(&migrated, sql)
        .into_iter()
        .map(|sql| format!("{sql};\n"))
        .collect();
    let text = text.join("\n");
    assert!(text == NEWEST.0, "write this into sql/schema.sql:\n{text}");
    assert_eq!(NEWEST.1, MIGRATIONS.len(), "say so of sql/schema.sql");
    let names = "SELECT name FROM sqlite_schema ORDER BY rowid";
    assert_eq!(
        texts(&in_memory().expect("a store"), names),
        texts(&migrated, names)
    );
    for table in texts(&migrated, "SELECT name FROM sqlite_schema WHERE type = 'table'") {
        let rows = format!("SELECT count(*) FROM {table}");
        let rows = migrated.query_row(&rows, [], |row| row.get::<_, i64>(0));
        assert_eq!(
            rows,
            Ok(0),
            "{table}: a migration wrote rows, which sql/schema.sql does not"
        );
    }
}

#[test]
fn a_store_of_any_earlier_version_is_brought_to_todays() {
    let newest = tables(&migrated());
    for version in 0..=MIGRATIONS.len() {
        let dir = folder();
        let path = dir.path().join("raincheck.db");
        drop(of_version(&path, version));
        let (tables, jobs) = opened(&path);
        assert_eq!(tables, newest, "{version}");
        assert_eq!(jobs, i64::from(version > 0), "{version}");
    }
}

#[test]
fn wherever_a_migration_is_broken_off_the_next_start_finds_one_version_or_the_next() {
    let newest = tables(&migrated());
    for (version, sql) in MIGRATIONS.iter().enumerate() {
        let dir = folder();
        let path = dir.path().join("raincheck.db");
        let conn = of_version(&path, version);
        // Pages leave the cache before the commit, so that a crash leaves them behind.
        conn.execute_batch("PRAGMA cache_size = 1; PRAGMA cache_spill = 1; BEGIN IMMEDIATE")
            .expect("a transaction");
        let mut statements = Batch::new(&conn, sql);
        while let Some(mut statement) = statements.next().expect("SQL") {
            statement.raw_execute().expect("it runs");
            let crashed = folder();
            let copy = copy_of(dir.path(), crashed.path());
            let (tables, jobs) = opened(&copy);
            assert_eq!(
                (tables, jobs),
                (newest.clone(), i64::from(version > 0)),
                "{version}"
            );
        }
    }
}

#[test]
fn what_the_version_before_wrote_of_leases_and_attempts_is_read_as_it_was() {
    const LEASE: &str = r#"{"nonce":"00000000000000000000000a","worker":"w","kind":"pull","started":40,"term":1000,"expires":940,"deadline":9000}"#;
    const HISTORY: &str = r#"{"attempts":[{"n":1,"worker":"v","started":10,"ended":20,"outcome":"lease_lost"},{"n":2,"worker":"w","started":40,"ended":50,"outcome":"succeeded"}]}"#;
    let dir = folder();
    let path = dir.path().join("raincheck.db");
    let conn = of_version(&path, 20);
    for (seq, state, more) in [(2, 1, "lease"), (3, 2, "history")] {
        let text = if more == "lease" { LEASE } else { HISTORY };
        conn.execute(
            &format!(
                "INSERT INTO jobs (seq, tail, queue, state, priority, version, attempt, fence, cancelling, run_at, started_at, \
                 finished_at, expires_at, {more}) VALUES ({seq}, 2, 1, {state}, 5, 4, 2, 2, 0, 9, 10, \
                 iif({state} = 2, 50, NULL), iif({state} = 2, 99, NULL), ?1)"
            ),
            [text],
        )
        .expect("a job");
    }
    conn.execute_batch("UPDATE jobs SET emitted = 1; UPDATE jobs SET state = 6 WHERE seq = 1")
        .expect("a tombstone, of which output is left");
    drop(conn);
    let (conn, ..) = open_writer(&path, 64, 0).expect("it is opened");
    let names = QueueNames::from([(1, (Namespace::default(), QueueName::new("q").expect("a name")))]);
    let read = |seq| match row::load_key(&conn, &names, seq) {
        Ok(Some(Found::Job(_, job))) => job,
        other => panic!("{other:?}"),
    };
    let lease = read(2).lease().cloned().expect("it runs");
    let millis = [lease.started_at, lease.expires_at, lease.attempt_deadline].map(Timestamp::as_millis);
    assert_eq!(millis, [40, 940, 9000]);
    let attempts = read(3).attempts;
    let times = attempts
        .iter()
        .map(|one| (one.n, one.started_at.as_millis(), one.ended_at.as_millis()));
    assert_eq!(times.collect::<Vec<_>>(), [(1, 10, 20), (2, 40, 50)]);
    let outcomes = [attempts[0].outcome, attempts[1].outcome];
    assert_eq!(outcomes, [AttemptOutcome::LeaseLost, AttemptOutcome::Succeeded]);
    let mut select = conn
        .prepare("SELECT emitted FROM jobs ORDER BY seq")
        .expect("a query");
    let emitted = select.query_map([], |row| row.get(0)).expect("rows");
    let emitted: Vec<i64> = emitted.collect::<Result<_, _>>().expect("numbers");
    assert_eq!(emitted, [2, 1, 1], "only what is forgotten is to be swept");
}

#[test]
fn members_of_an_earlier_version_are_summed_with_their_batch_and_what_was_damaged_stays_so() {
    const SUMS: &str = "sum = jobs_sum(seq, state, priority, version, attempt, fence, cancelling, run_at, started_at, finished_at, \
                        expires_at, lease, settled), asked_sum = jobs_sum(seq, tail, queue, job_group, options)";
    let dir = folder();
    let path = dir.path().join("raincheck.db");
    let conn = of_version(&path, 17);
    for (seq, more) in [
        (2, ""),
        (3, ", batch_place = 1"),
        (4, ""),
        (5, ", batch_place = 2"),
    ] {
        conn.execute_batch(&format!(
            "INSERT INTO jobs (seq, tail, queue, state, priority, version, attempt, fence, cancelling, run_at, finished_at, \
             expires_at) VALUES ({seq}, 2, 1, 3, 5, 1, 0, 0, 0, 9, 9, 9);
             UPDATE jobs SET batch = 1, batch_tail = 1, batch_index = seq, {SUMS}{more} WHERE seq = {seq}"
        ))
        .expect("a member");
    }
    conn.execute_batch("UPDATE jobs SET tail = 3 WHERE seq = 4; UPDATE jobs SET version = 9 WHERE seq = 5")
        .expect("damage");
    conn.execute_batch("UPDATE jobs SET history_sum = row_sum(1) WHERE seq = 1")
        .expect("another");
    drop(conn);
    let (.., looked) = open_writer(&path, 64, u64::MAX).expect("it is opened");
    let found: Vec<u64> = looked
        .expect("it was looked at")
        .into_iter()
        .map(|(seq, _)| seq)
        .collect();
    assert_eq!(found, [1, 4, 5]);
}

#[test]
fn a_full_disk_is_told_from_damage() {
    let told = |code| {
        let error = rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None);
        corrupt(Path::new("raincheck.db"))(error)
    };
    assert!(matches!(told(rusqlite::ffi::SQLITE_FULL), OpenError::Full { .. }));
    assert!(matches!(
        told(rusqlite::ffi::SQLITE_CORRUPT),
        OpenError::Database { .. }
    ));
}
