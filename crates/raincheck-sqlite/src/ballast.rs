//! A file that holds space for what must go on where another program fills the disk to its last byte: it is removed then, and
//! made anew once there is space again.
//!
//! Invariants: it holds nothing but space, which is taken for real and all of it or none; that it cannot be made, or is
//! missing from a copy of the folder, is no error. Only the store that has the folder open touches it.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate, statvfs};

/// At most so many bytes: the ends of tens of thousands of jobs.
pub(crate) const BYTES_MAX: u64 = 64 << 20;

/// See the module.
#[derive(Debug)]
pub(crate) struct Ballast {
    path: PathBuf,
    held: u64,
}

fn place_of(database: &Path) -> PathBuf {
    database.with_file_name("raincheck.reserve")
}

/// Before the store is opened, which writes: removes what a former process left where the disk is as good as full.
pub(crate) fn make_room(database: &Path) {
    let path = place_of(database);
    if let (Ok(file), Ok(disk)) = (std::fs::metadata(&path), statvfs(database))
        && disk.f_bavail.saturating_mul(disk.f_frsize) < file.len()
    {
        remove(&path);
    }
}

/// Whether some of it is free now.
fn remove(path: &Path) -> bool {
    // Some file systems give back what lay in a removed file only later.
    let cut = OpenOptions::new().write(true).truncate(true).open(path);
    std::fs::remove_file(path).is_ok() || cut.is_ok()
}

impl Ballast {
    /// Takes over what a former process left; where none is wanted that is removed.
    pub(crate) fn of(database: &Path, wanted: bool) -> Self {
        let path = place_of(database);
        let mut ballast = Self { path, held: 0 };
        let left = std::fs::metadata(&ballast.path).map_or(0, |file| file.len());
        if wanted && left > 0 {
            ballast.make(left.min(BYTES_MAX));
        } else if !wanted {
            remove(&ballast.path);
        }
        ballast
    }

    /// So many bytes are held.
    pub(crate) const fn held(&self) -> u64 {
        self.held
    }

    /// Takes so many bytes of the disk, if they can be had.
    pub(crate) fn make(&mut self, bytes: u64) {
        let made = || -> std::io::Result<()> {
            let file = private(&self.path)?;
            if file.metadata()?.len() > bytes {
                file.set_len(bytes)?;
            }
            Ok(fallocate(&file, FallocateFlags::empty(), 0, bytes)?)
        };
        match made() {
            Ok(()) => self.held = bytes,
            Err(error) => {
                tracing::debug!(%error, "no space is held for a full disk");
                self.held = 0;
                remove(&self.path);
            }
        }
    }

    /// Gives them back to the disk; whether there were any.
    pub(crate) fn release(&mut self) -> bool {
        std::mem::take(&mut self.held) > 0 && remove(&self.path)
    }
}

fn private(path: &Path) -> std::io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn it_takes_space_for_real_and_gives_it_back_once() {
        let dir = tempfile::tempdir().unwrap();
        let database = dir.path().join("raincheck.db");
        let mut ballast = Ballast::of(&database, true);
        assert_eq!((ballast.held(), ballast.release()), (0, false));
        ballast.make(1 << 20);
        let file = std::fs::metadata(place_of(&database)).unwrap();
        assert_eq!(
            (ballast.held(), file.len(), file.mode() & 0o777),
            (1 << 20, 1 << 20, 0o600)
        );
        assert!(file.blocks() * 512 >= 1 << 20, "it is a hole");
        assert!(ballast.release());
        assert!(!place_of(&database).exists());
        assert!(!ballast.release());
    }

    #[test]
    fn what_is_left_is_taken_over_or_removed() {
        let dir = tempfile::tempdir().unwrap();
        let database = dir.path().join("raincheck.db");
        // A copy that left its space behind.
        private(&place_of(&database)).unwrap().set_len(1 << 20).unwrap();
        assert_eq!(Ballast::of(&database, true).held(), 1 << 20);
        assert!(std::fs::metadata(place_of(&database)).unwrap().blocks() * 512 >= 1 << 20);
        assert_eq!(Ballast::of(&database, false).held(), 0);
        assert!(!place_of(&database).exists());
    }
}
