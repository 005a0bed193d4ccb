//! What systemd hands to the server, and what it is told: sockets that are listened on already (sd_listen_fds(3)),
//! how the server is (sd_notify(3)), and that it still works (the watchdog).
//!
//! Invariants: without systemd, which is known by the variables it sets, nothing here does anything; the watchdog hears
//! of a server only while its store's writer answers.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::time::Duration;

use listenfd::ListenFd;
use raincheck::Node;
use raincheck::tasks::{Group, TaskKind};
use sd_notify::NotifyState;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tracing::{debug, error};

use crate::exit::Failed;

/// What a stop takes besides the drain, at most.
const LEAVE: Duration = Duration::from_secs(15);

/// A socket that is listened on already.
#[derive(Debug)]
pub(super) enum Inherited {
    /// A TCP port.
    Tcp(TcpListener, SocketAddr),
    /// A socket in the file system.
    Local(UnixListener),
}

/// Takes the sockets that were handed over. To be called once, before there are other threads.
pub(super) fn inherited() -> Result<Vec<Inherited>, Failed> {
    let mut given = ListenFd::from_env();
    (0..given.len()).map(|index| take(&mut given, index)).collect()
}

fn take(given: &mut ListenFd, index: usize) -> Result<Inherited, Failed> {
    let wrong = |error: io::Error| {
        Failed::usage(format!("socket {index} of LISTEN_FDS cannot be served: {error}"))
            .next("Give it stream sockets: ListenStream= in the unit of the socket")
    };
    if let Ok(Some(listener)) = given.take_tcp_listener(index) {
        listener.set_nonblocking(true).map_err(wrong)?;
        let address = listener.local_addr().map_err(wrong)?;
        return Ok(Inherited::Tcp(listener, address));
    }
    let missing = || io::Error::from(io::ErrorKind::NotFound);
    let listener = given.take_unix_listener(index).map_err(wrong)?;
    let listener = listener.ok_or_else(missing).map_err(wrong)?;
    listener.set_nonblocking(true).map_err(wrong)?;
    Ok(Inherited::Local(listener))
}

/// The server answers.
pub(super) fn ready(url: &str) {
    tell(&[
        NotifyState::Ready,
        NotifyState::Status(&format!("answering at {url}")),
    ]);
}

/// The configuration is read again; [`ready`] tells when that is done.
pub(super) fn reloading() {
    // A service manager that gets no time with it ends the service (sd_notify(3), Type=notify-reload).
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => debug!(%error, "systemd is not told of the reload"),
    }
}

/// The server was told to stop, and needs at most `drain` for what runs.
pub(super) fn stopping(drain: Duration) {
    let most = u32::try_from((drain + LEAVE).as_micros()).unwrap_or(u32::MAX);
    tell(&[
        NotifyState::Stopping,
        NotifyState::ExtendTimeoutUsec(most),
        NotifyState::Status("finishing what runs"),
    ]);
}

/// Tells the watchdog, where there is one, that the server works, until the group is told to stop.
pub(super) fn watch(node: &Node, group: &Group) {
    let Some(term) = sd_notify::watchdog_enabled().filter(|term| !term.is_zero()) else {
        return;
    };
    let (node, stopping) = (node.clone(), group.stopping().clone());
    group.spawn(TaskKind::Service, async move {
        let mut beat = interval(term / 2);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stopping.cancelled() => return,
                _ = beat.tick() => {}
            }
            // A store that refuses, for the disk is full or it has failed, answers; what has failed ends by itself.
            match timeout(term / 2, node.store().check()).await {
                Ok(_) => tell(&[NotifyState::Watchdog]),
                Err(_) => error!("the store does not answer: the watchdog is not told that all is well"),
            }
        }
    });
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        debug!(%error, "systemd cannot be told");
    }
}
