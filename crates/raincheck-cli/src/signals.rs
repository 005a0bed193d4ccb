//! Signals: the first asks to leave in good order, the second to leave at once.
//!
//! Invariant: from the moment [`Signals`] exists, no SIGTERM or SIGINT is lost and none ends the process by itself.

use std::io;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGTERM and SIGINT.
#[derive(Debug)]
pub(crate) struct Signals {
    term: Signal,
    int: Signal,
}

impl Signals {
    /// Takes the signals over. Must be called within the runtime.
    pub(crate) fn new() -> io::Result<Self> {
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

/// Takes the signals over, and calls `end`, on a thread of its own, where the process is still there so long after a second one: what
/// it waits for cannot be interrupted, such as a write to a pipe that nobody reads.
///
/// What it gives back is heard from this moment on, in whatever runtime: between two ways of hearing them a signal would be lost.
pub(crate) fn last_resort(patience: Duration, end: impl FnOnce() + Send + 'static) -> io::Result<Signals> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (mut signals, heard) = {
        let _within = runtime.enter();
        (Signals::new()?, Signals::new()?)
    };
    let wait = move || {
        runtime.block_on(async {
            signals.next().await;
            signals.next().await;
            tokio::time::sleep(patience).await;
        });
        end();
    };
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(wait)
        .map(|_| heard)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_that_comes_before_there_is_a_runtime_to_hear_it_is_kept() {
        let mut signals = last_resort(Duration::MAX, || unreachable!("there was one signal")).unwrap();
        let own = std::process::id();
        let sent = std::process::Command::new("/bin/sh")
            .args(["-c", &format!("kill -TERM {own}")])
            .status();
        assert!(sent.unwrap().success());
        let later = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let heard =
            later.block_on(async { tokio::time::timeout(Duration::from_secs(60), signals.next()).await });
        assert_eq!(heard.unwrap(), "SIGTERM");
    }
}
