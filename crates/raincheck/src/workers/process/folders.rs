//! A folder of its own for each attempt of a program, and what is left of those of processes that were killed.
//!
//! ```text
//! $TMPDIR/raincheck-programs-PID-N/    one for each server or worker, locked while it lives
//!     1/ 2/ 3/ …                       one for each attempt, 0700, the program's own
//! ```
//!
//! Invariants: nobody but the program's user looks into an attempt's folder; it is gone when the attempt is over, and where
//! whoever made it was killed, when the next one starts. Nothing is removed whose maker lives.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tracing::{debug, warn};

use super::users::User;

/// What the folders of servers and workers are called.
const NAME: &str = "raincheck-programs-";
/// So many names are tried: a container that starts again has the number of the one before.
const NAMES_MAX: u32 = 1_000;

/// Where attempts get folders. Cloning gives another handle.
#[derive(Clone, Debug)]
pub struct Folders(Arc<Base>);

#[derive(Debug)]
struct Base {
    path: PathBuf,
    made: AtomicU64,
    /// Held as long as this process lives: who sees it free removes what is there.
    _lock: File,
}

impl Folders {
    /// Makes a place for them below `parent`, and removes what processes of this user left there that are gone.
    ///
    /// # Errors
    /// When nothing can be made there.
    pub fn open(parent: &Path) -> io::Result<Self> {
        sweep(parent);
        for n in 0..NAMES_MAX {
            let path = parent.join(format!("{NAME}{}-{n}", std::process::id()));
            match DirBuilder::new().mode(0o711).create(&path) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
                made => made?,
            }
            // Whom the programs run as goes through it, and sees no name in it; whatever the umask is.
            fs::set_permissions(&path, Permissions::from_mode(0o711))?;
            let lock = File::open(&path)?;
            // Whoever sweeps at this very moment may have it, and remove it.
            if lock.try_lock().is_ok() && is_there(&path, &lock) {
                return Ok(Self(Arc::new(Base {
                    path,
                    made: AtomicU64::new(0),
                    _lock: lock,
                })));
            }
        }
        Err(io::Error::new(ErrorKind::AlreadyExists, "every name is taken"))
    }

    /// Makes one.
    pub(super) fn make(&self, owner: Option<&User>) -> io::Result<Private> {
        let n = 1 + self.0.made.fetch_add(1, Ordering::Relaxed);
        let path = self.0.path.join(n.to_string());
        DirBuilder::new().mode(0o700).create(&path)?;
        let folder = Private(path);
        if let Some(user) = owner {
            chown(folder.path(), Some(user.uid), Some(user.gid))?;
        }
        Ok(folder)
    }

    /// Removes all of them with their place: for the end of a process, when no program is left.
    pub fn close(&self) {
        remove(&self.0.path);
    }
}

/// The folder of one attempt; gone when dropped.
#[derive(Debug)]
pub(super) struct Private(PathBuf);

impl Private {
    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Removes it with all that is in it, however much that is, without holding up others.
    pub(super) async fn remove(self) {
        // Most programs leave nothing.
        if fs::remove_dir(&self.0).is_ok() {
            return;
        }
        // A task that is cut leaves it to the thread.
        let _ = tokio::task::spawn_blocking(move || drop(self)).await;
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        remove(&self.0);
    }
}

/// Removes a folder with all that is in it.
fn remove(path: &Path) {
    let mut removed = fs::remove_dir_all(path);
    if matches!(&removed, Err(error) if error.kind() == ErrorKind::PermissionDenied)
        && !rustix::process::geteuid().is_root()
    {
        // The program closed a folder to its own user, which is us. (Root needs none of it, and would follow whatever
        // somebody else puts there meanwhile.)
        open_up(path);
        removed = fs::remove_dir_all(path);
    }
    match removed {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            warn!(folder = %path.display(), %error, "what a program left cannot be removed");
        }
        Ok(()) | Err(_) => {}
    }
}

/// Makes all folders below this one, and it, open to their owner.
fn open_up(path: &Path) {
    let is_folder = fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir());
    if !is_folder || fs::set_permissions(path, Permissions::from_mode(0o700)).is_err() {
        return;
    }
    let Ok(entries) = fs::read_dir(path) else { return };
    for entry in entries.flatten() {
        open_up(&entry.path());
    }
}

/// Removes the folders of processes of this user that are gone.
fn sweep(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        let ours = entry
            .file_name()
            .to_str()
            .is_some_and(|name| name.starts_with(NAME));
        let path = entry.path();
        let meta = fs::symlink_metadata(&path);
        let ours =
            ours && meta.is_ok_and(|meta| meta.is_dir() && meta.uid() == rustix::process::geteuid().as_raw());
        let Some(lock) = ours.then(|| File::open(&path).ok()).flatten() else {
            continue;
        };
        if lock.try_lock().is_ok() && is_there(&path, &lock) {
            debug!(folder = %path.display(), "removing what a process that is gone left");
            remove(&path);
        }
    }
}

/// Whether the folder at this path is still the one that was opened.
fn is_there(path: &Path, opened: &File) -> bool {
    let (Ok(there), Ok(opened)) = (fs::symlink_metadata(path), opened.metadata()) else {
        return false;
    };
    (there.dev(), there.ino()) == (opened.dev(), opened.ino())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(parent: &Path) -> usize {
        fs::read_dir(parent).unwrap().count()
    }

    #[test]
    fn a_folder_is_its_users_alone_and_goes_with_what_is_in_it() {
        let parent = tempfile::tempdir().unwrap();
        let folders = Folders::open(parent.path()).unwrap();
        let folder = folders.make(None).unwrap();
        let mode = fs::metadata(folder.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        let closed = folder.path().join("a/closed");
        fs::create_dir_all(&closed).unwrap();
        fs::write(closed.join("f"), "x").unwrap();
        fs::set_permissions(&closed, Permissions::from_mode(0o0)).unwrap();
        std::os::unix::fs::symlink(parent.path(), folder.path().join("out")).unwrap();
        let path = folder.path().to_owned();
        drop(folder);
        assert!(!path.exists() && parent.path().exists());
        folders.close();
        assert_eq!(names(parent.path()), 0);
    }

    #[test]
    fn what_a_process_that_is_gone_left_is_swept_and_nothing_else() {
        let parent = tempfile::tempdir().unwrap();
        let alive = Folders::open(parent.path()).unwrap();
        let _attempt = alive.make(None).unwrap();
        let gone = Folders::open(parent.path()).unwrap();
        std::mem::forget(gone.make(None).unwrap());
        fs::write(gone.0.path.join("1/f"), "x").unwrap();
        fs::create_dir(parent.path().join("raincheck-other")).unwrap();
        // As when its process ends: the lock is free.
        drop(gone);
        assert_eq!(names(parent.path()), 3);
        let next = Folders::open(parent.path()).unwrap();
        assert_eq!(
            names(parent.path()),
            3,
            "the one that is gone made place for the next"
        );
        assert!(alive.0.path.join("1").exists());
        next.close();
        assert_eq!(names(parent.path()), 2);
    }
}
