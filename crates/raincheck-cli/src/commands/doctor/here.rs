//! What a server would find on this machine: its configuration, its store's folder and disk, its limits.
//!
//! Invariant: what is not there yet is looked at where it would be made.

use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Resource, getrlimit};
use tokio::time::Instant;

use super::Finding;
use crate::client::Address;
use crate::commands::serve::before::{self, Ready, Refusal};
use crate::config::{Config, Flags, Listen, at};
use crate::disk::{self, Disk};
use crate::session::Session;
use crate::trust::Trust;

/// So many syncs are timed.
const SYNCS: usize = 15;
/// A sync that takes longer makes every submit slow.
const SLOW: Duration = Duration::from_millis(20);
/// No disk syncs so fast; one that pretends to loses what was acknowledged when the power fails.
const UNLIKELY: Duration = Duration::from_micros(15);
/// Free space below which new work is refused soon.
const ROOM: u64 = 1 << 30;
/// With fewer open files the server has little room for clients that wait.
const FILES: u64 = 4096;

/// A server of this configuration, as it is reached from this machine.
pub(super) struct Own {
    /// Where it listens.
    pub(super) address: Address,
    /// The certificate that it shows, where only this machine hears what is asked there.
    certificate: Option<PathBuf>,
}

impl Own {
    /// A session that only asks whether it takes work. A certificate is made out to the name by which others come, and hardly
    /// ever to this machine's own address: here the server is known by the certificate itself. No key goes along.
    pub(super) fn probe(self, session: &Session) -> Option<Session> {
        let certificate = self.certificate?;
        let meant = session.client.address == self.address;
        let trust = Trust::exactly(&certificate).ok().filter(|_| meant)?;
        Some(Session::trusting(trust, self.address, session.output))
    }
}

/// The server that is meant where none is named; none where that cannot be told.
pub(super) fn own(flags: &Flags) -> Option<Own> {
    let settings = Config::load(flags).ok()?.settings;
    let address = settings.listen.iter().find_map(|listen| match listen {
        Listen::Tcp(address) => Some(*address),
        Listen::Local(_) => None,
    })?;
    let scheme = if settings.tls_cert.is_some() {
        "https"
    } else {
        "http"
    };
    let ip = address.ip();
    let certificate = settings
        .tls_cert
        .filter(|_| ip.is_unspecified() || ip.is_loopback());
    let address = at(scheme, address).parse().ok()?;
    Some(Own { address, certificate })
}

/// Looks at all of it.
pub(super) fn look(flags: &Flags) -> Vec<Finding> {
    let config = match Config::load(flags) {
        Ok(config) => config,
        Err(failed) => return vec![Finding::failed("configuration", failed)],
    };
    let file = config.file.as_ref().map_or_else(
        || "no file; flags, variables and defaults".to_owned(),
        |file| file.display().to_string(),
    );
    let mut findings = vec![Finding::ok("configuration", file)];
    let told = "Every setting and its variable: docs/configuration.md";
    findings.extend(
        config
            .passed_over
            .iter()
            .map(|what| Finding::warning("environment", what, told)),
    );
    match before::ready(&config, false) {
        Ok(ready) => {
            if let Some(cert) = &config.settings.tls_cert {
                findings.push(Finding::ok("certificate", cert.display().to_string()));
            }
            findings.extend(first_key(&ready));
        }
        Err(refusals) => {
            let failed = |refusal: Refusal| Finding::failed(refusal.about, refusal.failed);
            findings.extend(refusals.into_iter().map(failed));
        }
    }
    if let Ok(directory) = before::directory(&config.settings) {
        findings.extend(store(&directory));
    }
    findings.push(open_files());
    findings
}

/// Whether others would reach a store that cannot have a key yet.
fn first_key(ready: &Ready) -> Option<Finding> {
    let fresh = !ready.directory.join("raincheck.db").exists();
    let refused = ready.plan.check(false).err().filter(|_| fresh)?;
    Some(Finding::warning(
        "first key",
        format!("{}, unless it is started in a terminal", refused.message),
        refused.next.unwrap_or_default(),
    ))
}

fn store(directory: &Path) -> Vec<Finding> {
    let Some(folder) = there(directory) else {
        let found = format!("{} cannot be made", directory.display());
        return vec![Finding::fault("store", found, "Name a folder: --store DIRECTORY")];
    };
    let mut findings = vec![
        place(directory, &folder),
        kept(directory, &folder),
        space(&folder),
    ];
    findings.push(sync(&folder));
    findings
}

/// The folder itself, or the nearest around it that is there.
fn there(directory: &Path) -> Option<PathBuf> {
    directory
        .ancestors()
        .find(|folder| folder.is_dir())
        .map(Path::to_owned)
}

/// Whether the folder is there, and nobody else's.
fn place(directory: &Path, folder: &Path) -> Finding {
    let shown = directory.display();
    if folder != directory {
        return Finding::ok("store", format!("{shown}: made at the first start"));
    }
    let mode = folder.metadata().map_or(0, |found| found.mode());
    if mode & 0o077 != 0 {
        return Finding::warning(
            "store",
            format!("{shown} is open to others (mode {:o})", mode & 0o777),
            format!("Close it: chmod 700 {shown}"),
        );
    }
    let store = if directory.join("raincheck.db").exists() {
        "a store"
    } else {
        "empty"
    };
    Finding::ok("store", format!("{shown}: {store}"))
}

/// Whether what is written there is kept.
fn kept(directory: &Path, folder: &Path) -> Finding {
    let shown = directory.display();
    match disk::kind(folder) {
        Disk::Local => Finding::ok("disk", "one of this machine's"),
        Disk::Memory => Finding::warning(
            "disk",
            format!("{shown} lies in memory: a restart of the machine forgets every job"),
            "Name a folder on a disk: --store DIRECTORY",
        ),
        Disk::Layer => Finding::warning(
            "disk",
            format!("{shown} lies in the container's own layer: it goes with the container"),
            "Mount a volume there",
        ),
        Disk::Network(kind) => Finding::fault(
            "disk",
            format!("{shown} lies on {kind}: locks and syncs over a network do not hold what is promised"),
            "Name a folder on a disk of this machine: --store DIRECTORY",
        ),
    }
}

fn space(folder: &Path) -> Finding {
    let Ok(found) = rustix::fs::statvfs(folder) else {
        return Finding::warning("space", "the disk cannot be measured", "Look at it: df");
    };
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    let shown = format!("{} MiB free", free >> 20);
    if free < ROOM {
        let next = "Make room: new work is refused below 5 % of the disk (at most 256 MiB), besides what is held for a full one";
        return Finding::warning("space", shown, next);
    }
    Finding::ok("space", shown)
}

/// How long a sync takes: what every commit waits for.
fn sync(folder: &Path) -> Finding {
    let times = match timed(folder) {
        Ok(times) => times,
        Err(error) => {
            let found = format!("nothing can be written in {}: {error}", folder.display());
            return Finding::fault(
                "sync",
                found,
                "Let the server's user write there, or name another --store",
            );
        }
    };
    let median = times[times.len() / 2];
    let found = format!("{:.2} ms, the median of {SYNCS}", median.as_secs_f64() * 1e3);
    if median > SLOW {
        let next = "Every submit waits for one: a faster disk, or clients that submit many at once";
        return Finding::warning("sync", found, next);
    }
    if median < UNLIKELY && disk::kind(folder) == Disk::Local {
        let next = "Too fast for a disk: make sure that it keeps what it says it has written";
        return Finding::warning("sync", found, next);
    }
    Finding::ok("sync", found)
}

fn timed(folder: &Path) -> std::io::Result<Vec<Duration>> {
    let mut file = tempfile::tempfile_in(folder)?;
    let mut times = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        let begun = Instant::now();
        file.write_all(&[0; 4096])?;
        file.sync_data()?;
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    Ok(times)
}

fn open_files() -> Finding {
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let found = format!("{files} allowed");
    if files < FILES {
        return Finding::warning(
            "open files",
            found,
            "Each client that waits takes one: LimitNOFILE=65536 in the unit, or ulimit -Hn 65536",
        );
    }
    Finding::ok("open files", found)
}
