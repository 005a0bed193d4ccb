//! The embedded store keeps every promise that a store makes.

use std::sync::Arc;

use raincheck_core::clock::ManualClock;
use raincheck_core::conformance::Opened;
use raincheck_core::store::Store;
use raincheck_sqlite::{Options, SqliteStore};

fn at(dir: &std::path::Path, clock: &Arc<ManualClock>) -> Arc<dyn Store> {
    Arc::new(SqliteStore::open(Options::new(dir, clock.clone())).expect("the directory is free and sound"))
}

fn open() -> Opened {
    let dir = tempfile::tempdir().expect("a temporary directory can be made");
    let clock = Arc::new(ManualClock::default());
    Opened {
        store: at(dir.path(), &clock),
        clock,
        guard: Box::new(dir),
    }
}

fn reopen(closed: Opened) -> Opened {
    let Opened { clock, guard, store } = closed;
    drop(store);
    let dir = guard
        .downcast::<tempfile::TempDir>()
        .expect("the guard is what open() made it");
    Opened {
        store: at(dir.path(), &clock),
        clock,
        guard: dir,
    }
}

raincheck_core::conformance!(open, reopen);
