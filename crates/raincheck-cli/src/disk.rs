//! What kind of disk a folder lies on.
//!
//! Invariant: a kind that is not known counts as an ordinary disk.

use std::path::Path;

/// Disks that are none, or not this machine's, by their magic numbers (statfs(2)).
const KINDS: [(u64, Disk); 7] = [
    (0x0102_1994, Disk::Memory),
    (0x8584_58f6, Disk::Memory),
    (0x6969, Disk::Network("NFS")),
    (0x517b, Disk::Network("SMB")),
    (0xff53_4d42, Disk::Network("CIFS")),
    (0xfe53_4d42, Disk::Network("SMB2")),
    (0x794c_7630, Disk::Layer),
];

/// A kind of disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Disk {
    /// One of this machine.
    Local,
    /// Memory: a sync costs nothing and keeps nothing.
    Memory,
    /// Another machine's.
    Network(&'static str),
    /// A container's own layer, which goes with it.
    Layer,
}

/// The kind of disk under a folder that is there.
pub(crate) fn kind(folder: &Path) -> Disk {
    let found = rustix::fs::statfs(folder).ok();
    let magic = found.and_then(|found| u64::try_from(found.f_type).ok());
    let known = KINDS.iter().find(|(number, _)| Some(*number) == magic);
    known.map_or(Disk::Local, |(_, disk)| *disk)
}
