//! The certificate's files are looked at while the server runs: whoever renews it need not tell anybody.
//!
//! Invariant: files that are no pair are told of once, and leave what is in force as it is.

use std::future::pending;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use raincheck::server::Tls;
use tokio::time::{Interval, MissedTickBehavior, interval};
use tracing::{error, info};

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(2);

/// What tells one content of a file from the next: links to another file are followed.
type Mark = Option<(SystemTime, u64, u64)>;

/// The files of a server that speaks TLS; of one that does not, nothing ever changes.
#[derive(Debug)]
pub(crate) struct Certificate(Option<Watched>);

#[derive(Debug)]
struct Watched {
    tls: Tls,
    seen: [Mark; 2],
    look: Interval,
}

impl Certificate {
    /// Must be called within the runtime.
    pub(crate) fn new(tls: Option<Tls>) -> Self {
        Self(tls.map(|tls| {
            let mut look = interval(LOOK);
            look.set_missed_tick_behavior(MissedTickBehavior::Delay);
            Watched {
                seen: marks(&tls),
                tls,
                look,
            }
        }))
    }

    /// What TLS is spoken with.
    pub(crate) fn tls(&self) -> Option<&Tls> {
        self.0.as_ref().map(|watched| &watched.tls)
    }

    /// Waits until a file is another one than it was.
    ///
    /// # Cancel safety
    /// Safe: a change is seen by the next call.
    pub(crate) async fn changed(&mut self) {
        let Some(watched) = &mut self.0 else {
            return pending().await;
        };
        while marks(&watched.tls) == watched.seen {
            watched.look.tick().await;
        }
    }

    /// Reads the files again; tells in the log what came of it.
    pub(crate) fn follow(&mut self) {
        let Some(watched) = &mut self.0 else { return };
        watched.seen = marks(&watched.tls);
        match watched.tls.reload() {
            Ok(()) => info!("the certificate was read again"),
            Err(why) => error!("the certificate is left as it was: {why}"),
        }
    }
}

fn marks(tls: &Tls) -> [Mark; 2] {
    tls.files().map(mark)
}

fn mark(path: &Path) -> Mark {
    let meta = std::fs::metadata(path).ok()?;
    Some((meta.modified().ok()?, meta.ino(), meta.len()))
}
