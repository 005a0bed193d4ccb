//! The model under the suite, and the suite under a look at its own completeness.

mod broken;

use std::sync::Arc;

use super::{ModelStore, Opened};
use crate::clock::ManualClock;

/// A fresh model.
fn open() -> Opened {
    let clock = Arc::new(ManualClock::default());
    let store = Arc::new(ModelStore::new(clock.clone()));
    Opened {
        store: store.clone(),
        clock,
        guard: Box::new(store),
    }
}

/// The model as it would be if it were durable.
fn reopen(opened: Opened) -> Opened {
    let old = opened.guard.downcast::<Arc<ModelStore>>().unwrap();
    let store = Arc::new(old.reopened(3));
    Opened {
        store: store.clone(),
        clock: opened.clock,
        guard: Box::new(store),
    }
}

crate::conformance!(open, reopen);

/// The names of the promises in one file.
fn written(source: &str) -> Vec<&str> {
    let lines = source
        .lines()
        .filter_map(|line| line.strip_prefix("pub async fn "));
    lines.filter_map(|line| line.split(['(', '<']).next()).collect()
}

macro_rules! listed {
    (; $($subject:ident { $($name:ident)* })*) => {
        pub(super) const SUBJECTS: &[(&str, &str, &[&str])] = &[$((
            stringify!($subject),
            include_str!(concat!("../promises/", stringify!($subject), ".rs")),
            &[$(stringify!($name)),*],
        )),*];
    };
}

mod every_store {
    crate::conformance_promises!(listed);
}

mod durable_stores {
    crate::conformance_durable_promises!(listed);
}

#[test]
fn the_suite_leaves_no_promise_out() {
    let subjects = [every_store::SUBJECTS, durable_stores::SUBJECTS].concat();
    for (subject, source, names) in &subjects {
        assert_eq!(
            *names,
            written(source),
            "the list of {subject} names what the file holds, in its order"
        );
    }
    for line in include_str!("../promises/mod.rs").lines() {
        let file = line
            .strip_prefix("pub mod ")
            .and_then(|line| line.strip_suffix(';'));
        let listed = file.is_none_or(|file| {
            ["draft", "kit", "patience"].contains(&file)
                || subjects.iter().any(|(subject, ..)| *subject == file)
        });
        assert!(listed, "{file:?} is not in the list");
    }
}

/// Random commands are worth what they reach: each of these must happen.
#[test]
fn random_commands_reach_every_corner() {
    let coverage = super::random::agree_on(1..13, 400, open, Some(&reopen));
    for what in [
        "asked to stop",
        "attached",
        "cancelled",
        "claim repeated",
        "claimed",
        "claimed again",
        "claimed in turn",
        "held by concurrency",
        "held by a rate",
        "held by a group's limit",
        "queue full of bytes",
        "created",
        "deleted",
        "interrupted by opening",
        "listed",
        "mismatch",
        "other settlement refused",
        "patched",
        "pruned",
        "purged",
        "queue deleted",
        "queue full",
        "read a tombstone",
        "read after the tombstone",
        "reclaimed",
        "renewal refused",
        "renewed",
        "reopened",
        "replayed",
        "replayed a forgotten job",
        "retried",
        "retried before",
        "settled again",
        "settled for good",
        "settled for now",
        "stale settlement refused",
        "success won",
        "unique conflict",
        "unknown queue",
    ] {
        assert!(
            coverage.of(what) >= 1,
            "{what}: {} times in {coverage:?}",
            coverage.of(what)
        );
    }
}
