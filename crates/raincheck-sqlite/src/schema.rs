//! The tables, their migrations and the settings of a connection.
//!
//! Invariant: `user_version` counts the migrations that were applied, each in a transaction of its own, so a crash
//! leaves the file at one version or the next; a file of a newer version, or of another program, is refused.

use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::directory::{OpenError, row_error};
use crate::look::{self, Looked};
use crate::seal::Seal;
use crate::sum;

/// The oldest SQLite that is safe here, as `MAJOR * 1_000_000 + MINOR * 1_000 + PATCH`: before 3.51.3 a writer and a
/// checkpoint on two connections could lose a WAL reset.
pub const SQLITE_VERSION_MIN: i32 = 3_051_003;

/// `Rain` in ASCII: marks the file as ours.
const APPLICATION_ID: i32 = 0x5261_696e;

/// The migrations, oldest first. Only ever append, and bring `sql/schema.sql` to what they make.
const MIGRATIONS: [&str; 22] = [
    include_str!("sql/0001_jobs.sql"),
    include_str!("sql/0002_output.sql"),
    include_str!("sql/0003_signing_secrets.sql"),
    include_str!("sql/0004_unique.sql"),
    include_str!("sql/0005_small_bodies.sql"),
    include_str!("sql/0006_deliveries.sql"),
    include_str!("sql/0007_ticket_key.sql"),
    include_str!("sql/0008_batches.sql"),
    include_str!("sql/0009_lease_text.sql"),
    include_str!("sql/0010_api_keys.sql"),
    include_str!("sql/0011_rates.sql"),
    include_str!("sql/0012_groups.sql"),
    include_str!("sql/0013_acts.sql"),
    include_str!("sql/0014_sums.sql"),
    include_str!("sql/0015_sealed.sql"),
    include_str!("sql/0016_more_sums.sql"),
    include_str!("sql/0017_set_back.sql"),
    include_str!("sql/0018_member_sums.sql"),
    include_str!("sql/0019_set_aside.sql"),
    include_str!("sql/0020_clock_set.sql"),
    include_str!("sql/0021_said_once.sql"),
    include_str!("sql/0022_results_in_order.sql"),
];

/// What so many of them make of an empty file, to the letter: a new store is made by this, for they take five times as long. A test compares
/// the two, and demands that it is all of them.
const NEWEST: (&str, usize) = (include_str!("sql/schema.sql"), 22);

/// What makes an empty file one of the newest version.
fn newest() -> impl Iterator<Item = &'static str> {
    let (sql, version) = NEWEST;
    std::iter::once(sql).chain(MIGRATIONS[version..].iter().copied())
}

/// A store of which nothing is on disk.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn in_memory() -> rusqlite::Result<Connection> {
    let conn = Connection::open_in_memory()?;
    sum::register(&conn)?;
    newest().try_for_each(|sql| conn.execute_batch(sql))?;
    Ok(conn)
}

/// Opens the writing connection and brings the file to the newest version.
///
/// What it gives back last is what was found where all of it was looked at.
pub(crate) fn open_writer(
    path: &Path,
    cache_kib: u32,
    look_at: u64,
) -> Result<(Connection, Seal, Option<Looked>), OpenError> {
    let version = rusqlite::version_number();
    if version < SQLITE_VERSION_MIN {
        return Err(OpenError::OldSqlite {
            found: rusqlite::version().to_owned(),
        });
    }
    let mut conn = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE, cache_kib)?;
    check_owner(&conn, path)?;
    with_log(&conn, path)?;
    conn.pragma_update(None, "synchronous", "FULL")
        .map_err(corrupt(path))?;
    conn.pragma_update(None, "foreign_keys", false)
        .map_err(corrupt(path))?;
    // Reading it reads the log, and makes SQLite's index of it.
    conn.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))
        .map_err(corrupt(path))?;
    let seal = Seal::open(path)?;
    migrate(&mut conn, path)?;
    let looked_at = sound(&conn, path, look_at)?;
    Ok((conn, seal, looked_at))
}

/// Makes a database of the newest version in an empty file that nobody uses yet. Nothing of it is durable before the file is synced.
pub(crate) fn make(path: &Path) -> Result<(), OpenError> {
    let mut conn = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE, 64)?;
    conn.execute_batch("PRAGMA synchronous = OFF; PRAGMA journal_mode = OFF")
        .map_err(corrupt(path))?;
    // It only takes effect in an empty file; incremental vacuum lets pruning give space back in slices.
    conn.pragma_update(None, "auto_vacuum", "INCREMENTAL")
        .map_err(corrupt(path))?;
    migrate(&mut conn, path)?;
    with_log(&conn, path)?;
    conn.close().map_err(|(_, error)| corrupt(path)(error))
}

/// Has commits go to a log beside the file.
fn with_log(conn: &Connection, path: &Path) -> Result<(), OpenError> {
    let mode: String = conn
        .query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))
        .map_err(corrupt(path))?;
    if mode == "wal" {
        return Ok(());
    }
    Err(OpenError::NoWal {
        path: path.to_owned(),
    })
}

/// Refuses a database whose pages do not fit together, or a row of which is not as it was written, and finds the jobs of which
/// one is not; one that has more bytes than this is not looked at here.
fn sound(conn: &Connection, path: &Path, look_at: u64) -> Result<Option<Looked>, OpenError> {
    let pragma = |name| {
        conn.query_row(name, [], |row| row.get::<_, i64>(0))
            .map_err(corrupt(path))
    };
    let bytes = pragma("PRAGMA page_count")?.saturating_mul(pragma("PRAGMA page_size")?);
    if bytes.cast_unsigned() > look_at {
        return Ok(None);
    }
    let found: String = conn
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(corrupt(path))?;
    if found == "ok" {
        return look::at_once(conn)
            .map(Some)
            .map_err(|error| row_error(path, error));
    }
    Err(OpenError::Damaged {
        path: path.to_owned(),
        detail: found.replace('\n', ", "),
    })
}

/// Opens a connection that can only read.
pub(crate) fn open_reader(path: &Path, cache_kib: u32) -> Result<Connection, OpenError> {
    let conn = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE, cache_kib)?;
    conn.pragma_update(None, "query_only", true)
        .map_err(corrupt(path))?;
    Ok(conn)
}

/// Opens the connection that moves pages from the WAL into the database file.
pub(crate) fn open_checkpointer(path: &Path) -> Result<Connection, OpenError> {
    let conn = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE, 2048)?;
    conn.pragma_update(None, "synchronous", "FULL")
        .map_err(corrupt(path))?;
    Ok(conn)
}

fn open(path: &Path, flags: OpenFlags, cache_kib: u32) -> Result<Connection, OpenError> {
    let conn =
        Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX).map_err(corrupt(path))?;
    conn.set_prepared_statement_cache_capacity(64);
    // Else every statement with `LIMIT ?` is prepared anew whenever it is run, in the hope of a better plan.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)
        .map_err(corrupt(path))?;
    conn.busy_timeout(std::time::Duration::from_secs(5))
        .map_err(corrupt(path))?;
    // Only the checkpoint's thread moves the log, and the last connection when it is closed.
    conn.pragma_update(None, "wal_autocheckpoint", 0)
        .map_err(corrupt(path))?;
    conn.pragma_update(None, "cache_size", -i64::from(cache_kib))
        .map_err(corrupt(path))?;
    conn.pragma_update(None, "temp_store", "MEMORY")
        .map_err(corrupt(path))?;
    sum::register(&conn).map_err(corrupt(path))?;
    Ok(conn)
}

fn corrupt(path: &Path) -> impl Fn(rusqlite::Error) -> OpenError + '_ {
    |source| {
        let path = path.to_owned();
        match source.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => OpenError::Full { path, source },
            _ => OpenError::Database { path, source },
        }
    }
}

/// Refuses a database that another program made.
fn check_owner(conn: &Connection, path: &Path) -> Result<(), OpenError> {
    let number = |name: &str| {
        conn.query_row(name, [], |row| row.get::<_, i64>(0))
            .map_err(corrupt(path))
    };
    let empty = number("SELECT count(*) FROM sqlite_schema")? == 0;
    if !empty && number("PRAGMA application_id")? != i64::from(APPLICATION_ID) {
        return Err(OpenError::Foreign {
            path: path.to_owned(),
        });
    }
    Ok(())
}

fn migrate(conn: &mut Connection, path: &Path) -> Result<(), OpenError> {
    let found: i64 = conn
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .map_err(corrupt(path))?;
    let applied = usize::try_from(found).unwrap_or(usize::MAX);
    if applied > MIGRATIONS.len() {
        return Err(OpenError::Newer {
            path: path.to_owned(),
            found,
            known: MIGRATIONS.len(),
        });
    }
    if applied == 0 {
        return step(conn, newest(), MIGRATIONS.len()).map_err(corrupt(path));
    }
    let mut steps = (applied + 1..).zip(&MIGRATIONS[applied..]);
    steps
        .try_for_each(|(version, sql)| step(conn, [*sql], version))
        .map_err(corrupt(path))
}

/// Brings the file to a version, in one transaction.
fn step<'a>(
    conn: &mut Connection,
    sql: impl IntoIterator<Item = &'a str>,
    version: usize,
) -> rusqlite::Result<()> {
    let tx = conn.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    sql.into_iter().try_for_each(|sql| tx.execute_batch(sql))?;
    tx.pragma_update(None, "application_id", APPLICATION_ID)?;
    tx.pragma_update(None, "user_version", i64::try_from(version).unwrap_or(i64::MAX))?;
    tx.commit()
}

#[cfg(test)]
mod tests;
