//! The embedded store keeps every promise that a store makes.

use std::sync::Arc;

use raincheck_core::clock::ManualClock;
use raincheck_core::conformance::Opened;
use raincheck_core::store::Store;
use raincheck_sqlite::{Options, SqliteStore};

fn at(dir: &std::path::Path, clock: &Arc<ManualClock>, recent_jobs: usize) -> Arc<dyn Store> {
    let mut options = Options::new(dir, clock.clone());
    options.recent_jobs = recent_jobs;
    Arc::new(SqliteStore::open(options).expect("the directory is free and sound"))
}

fn open<const RECENT: usize>() -> Opened {
    let dir = tempfile::tempdir().expect("a temporary directory can be made");
    let clock = Arc::new(ManualClock::default());
    Opened {
        store: at(dir.path(), &clock, RECENT),
        clock,
        guard: Box::new(dir),
    }
}

fn reopen<const RECENT: usize>(closed: Opened) -> Opened {
    let Opened { clock, guard, store } = closed;
    drop(store);
    let dir = guard
        .downcast::<tempfile::TempDir>()
        .expect("the guard is what open() made it");
    claims_belong_to_their_jobs(dir.path());
    Opened {
        store: at(dir.path(), &clock, RECENT),
        clock,
        guard: dir,
    }
}

/// Holds the claims on unique values against the jobs, in words of SQL: no claim without a job that should hold it, no
/// job that should hold its value without a claim.
fn claims_belong_to_their_jobs(dir: &std::path::Path) {
    let conn = rusqlite::Connection::open(dir.join("raincheck.db")).expect("nobody has it open");
    let disagreeing = "
        WITH held AS (
          SELECT queue, options ->> '$.unique.value' AS value, seq FROM jobs
          WHERE state < 6 AND options ->> '$.unique.value' IS NOT NULL AND CASE options ->> '$.unique.while'
            WHEN 'queued' THEN state = 0 AND started_at IS NULL
            WHEN 'active' THEN state < 2
            ELSE history ->> '$.retried_as' IS NULL
              AND NOT (state = 4 AND started_at IS NULL AND coalesce(history ->> '$.error.code', '') = 'replaced')
          END)
        SELECT count(*) FROM (
          SELECT * FROM (SELECT queue, value, seq FROM uniques EXCEPT SELECT * FROM held)
          UNION ALL
          SELECT * FROM (SELECT * FROM held EXCEPT SELECT queue, value, seq FROM uniques))";
    let count: i64 = conn
        .query_row(disagreeing, [], |row| row.get(0))
        .expect("the tables are there");
    assert_eq!(count, 0, "claims and jobs disagree");
    let orphans: i64 = conn
        .query_row(
            "SELECT count(*) FROM attached_keys WHERE seq NOT IN (SELECT seq FROM jobs)",
            [],
            |row| row.get(0),
        )
        .expect("the tables are there");
    assert_eq!(orphans, 0, "attached keys outlived their job");
}

/// As it is used: the newest jobs are answered from memory.
mod from_memory {
    raincheck_core::conformance!(crate::open::<4096>, crate::reopen::<4096>);
}

/// Every step and every question reads the row, so that what memory says cannot hide what was written.
mod from_rows {
    raincheck_core::conformance!(crate::open::<0>, crate::reopen::<0>);
}

/// Some jobs are in memory and some are not.
mod from_both {
    raincheck_core::conformance!(crate::open::<3>, crate::reopen::<3>);
}
