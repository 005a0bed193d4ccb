//! What is logged while a test runs, on its own thread: all tasks of a test run there.

use std::fmt::{self, Write as _};
use std::sync::{Arc, LazyLock, Mutex};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::DefaultGuard;
use tracing::{Dispatch, Event, Level, Metadata, Subscriber};

/// Where there is one listener alone, a line that another thread comes to first, without any, is taken for one that nobody wants.
static SECOND: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(Logged::default()));

/// The lines so far, each with its level. Cloning gives another handle.
#[derive(Clone, Default)]
pub(super) struct Logged(Arc<Mutex<Vec<(Level, String)>>>);

impl Logged {
    /// Listens until what comes with it is dropped.
    pub(super) fn begin() -> (Self, DefaultGuard) {
        LazyLock::force(&SECOND);
        let logged = Self::default();
        let listening = tracing::subscriber::set_default(logged.clone());
        (logged, listening)
    }

    /// Those of this level and above.
    pub(super) fn lines(&self, least: &str) -> Vec<String> {
        let least: Level = least.parse().unwrap();
        let lines = self.0.lock().unwrap();
        let told = lines.iter().filter(|(level, _)| *level <= least);
        told.map(|(level, line)| format!("{level} {line}")).collect()
    }
}

/// The message of an event.
#[derive(Default)]
struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            write!(self.0, "{value:?}").unwrap();
        }
    }
}

impl Subscriber for Logged {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut message = Message::default();
        event.record(&mut message);
        let line = (*event.metadata().level(), message.0);
        self.0.lock().unwrap().push(line);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}
