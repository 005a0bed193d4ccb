//! Signals: the first asks to leave in good order, the second to leave at once.
//!
//! Invariant: from the moment [`Signals`] exists, no SIGTERM or SIGINT is lost and none ends the process by itself.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGTERM and SIGINT.
#[derive(Debug)]
pub(crate) struct Signals {
    term: Signal,
    int: Signal,
}

impl Signals {
    /// Takes the signals over. Must be called within the runtime.
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next one and tells its name.
    ///
    /// # Cancel safety
    /// Safe: a signal that comes meanwhile is kept for the next call.
    pub(crate) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.term.recv() => "SIGTERM",
            _ = self.int.recv() => "SIGINT",
        }
    }
}

/// SIGHUP: read the configuration again.
#[derive(Debug)]
pub(crate) struct Hangups(Signal);

impl Hangups {
    /// Takes the signal over. Must be called within the runtime.
    pub(crate) fn new() -> std::io::Result<Self> {
        signal(SignalKind::hangup()).map(Self)
    }

    /// Waits for the next one.
    ///
    /// # Cancel safety
    /// Safe: a signal that comes meanwhile is kept for the next call.
    pub(crate) async fn next(&mut self) {
        self.0.recv().await;
    }
}
