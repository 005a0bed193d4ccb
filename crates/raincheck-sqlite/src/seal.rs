//! How far the log was written: a note beside it, by which a log that lost something is told from one that did not.
//!
//! SQLite reads a log up to the first page whose checksum differs and takes the rest for what a crash left unfinished. So a
//! flipped bit in the middle, a log that was cut or one that was deleted would silently take what was acknowledged.
//! Invariant: the note never says more than what was synced: it is written after each commit, and needs no sync of its own.
//! It is deleted before a log is.

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::directory::{OpenError, beside, failed};

/// The log starts anew so often at most between two notes that reached the disk before power was cut.
const RESTARTS_MAX: u32 = 1_000;

/// What is said of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    /// Counts how often the log started anew, and a random number; both are on each of its pages.
    salts: [u32; 2],
    /// Pages that are committed.
    frames: u32,
}

/// Where the note is.
fn place_of(database: &Path) -> PathBuf {
    database.with_file_name("seal")
}

/// The note of an open store.
#[derive(Debug)]
pub(crate) struct Seal {
    note: File,
    /// SQLite's index of the log: its head says how far the log goes.
    index: File,
    path: PathBuf,
    last: Option<Place>,
    /// Whether the log is left at the end, and this with it.
    stays: bool,
}

impl Seal {
    /// Compares the log, as SQLite has just read it, with the note, and goes on noting.
    ///
    /// # Errors
    /// When the log holds less than was noted, or the files cannot be opened.
    pub(crate) fn open(database: &Path) -> Result<Self, OpenError> {
        let path = place_of(database);
        let index = beside(database, "-shm");
        let index = File::open(&index).map_err(failed(&index))?;
        let log = beside(database, "-wal");
        if let Some(noted) = noted(&path).map_err(failed(&path))?
            && !holds(&log, current(&index).map_err(failed(&log))?, noted)
        {
            return Err(OpenError::Log {
                path: log,
                seal: path,
            });
        }
        let note = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(failed(&path))?;
        let mut seal = Self {
            note,
            index,
            path: path.clone(),
            last: None,
            stays: false,
        };
        seal.note().map_err(failed(&path))?;
        Ok(seal)
    }

    /// Notes how far the log goes now, after a commit.
    pub(crate) fn note(&mut self) -> std::io::Result<()> {
        let place = current(&self.index)?;
        if self.last == Some(place) {
            return Ok(());
        }
        match self.note.write_all_at(&written(place), 0) {
            // What is noted is less than what is there, which harms nothing.
            Err(error) if error.kind() == ErrorKind::StorageFull => Ok(()),
            Err(error) => Err(error),
            Ok(()) => {
                self.last = Some(place);
                Ok(())
            }
        }
    }

    /// The same note, which is not taken away: the log is left as it is at the end.
    pub(crate) const fn staying(mut self) -> Self {
        self.stays = true;
        self
    }

    /// Takes the note away, before the log is moved into the database and deleted.
    pub(crate) fn lift(self) -> std::io::Result<()> {
        if self.stays {
            return Ok(());
        }
        std::fs::remove_file(&self.path)
    }
}

/// What SQLite's index says. Its format is part of SQLite's file format and does not change; its numbers are this machine's.
fn current(index: &File) -> std::io::Result<Place> {
    let mut head = [0; 48];
    index.read_exact_at(&mut head, 0)?;
    let word = |n: usize| {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(&head[n * 4..n * 4 + 4]);
        bytes
    };
    Ok(Place {
        frames: u32::from_ne_bytes(word(4)),
        // Copied from the log as they stand there.
        salts: [u32::from_be_bytes(word(8)), u32::from_be_bytes(word(9))],
    })
}

fn written(place: Place) -> [u8; 16] {
    let mut bytes = [0; 16];
    for (four, number) in
        bytes
            .as_chunks_mut::<4>()
            .0
            .iter_mut()
            .zip([place.salts[0], place.salts[1], place.frames])
    {
        *four = number.to_le_bytes();
    }
    let sum = crc32fast::hash(&bytes[..12]);
    bytes[12..].copy_from_slice(&sum.to_le_bytes());
    bytes
}

/// What was noted; `None` where nothing was, or the note itself is damaged.
fn noted(path: &Path) -> std::io::Result<Option<Place>> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok(read(&bytes))
}

fn read(bytes: &[u8]) -> Option<Place> {
    let number = |n: usize| {
        let four = bytes.get(n * 4..n * 4 + 4)?;
        Some(u32::from_le_bytes([four[0], four[1], four[2], four[3]]))
    };
    let place = Place {
        salts: [number(0)?, number(1)?],
        frames: number(2)?,
    };
    (bytes == written(place)).then_some(place)
}

/// For fuzzers: a note is read back as it was written, and one of which a bit was changed is none.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn read_and_written(bytes: &[u8]) {
    let mut start = [0; 13];
    for (to, from) in start.iter_mut().zip(bytes) {
        *to = *from;
    }
    let number = |n: usize| u32::from_le_bytes([start[n], start[n + 1], start[n + 2], start[n + 3]]);
    let place = Place {
        salts: [number(0), number(4)],
        frames: number(8),
    };
    let mut note = written(place);
    assert_eq!(read(&note), Some(place));
    note[usize::from(start[12] / 8) % 16] ^= 1 << (start[12] % 8);
    assert_eq!(read(&note), None, "a changed note is believed");
    if let Some(place) = read(bytes) {
        assert_eq!(written(place), bytes);
    }
}

/// Whether the log, in which SQLite found so much, holds what was noted.
fn holds(log: &Path, found: Place, noted: Place) -> bool {
    if noted.frames == 0 {
        return true;
    }
    if found.frames > 0 && found.salts == noted.salts {
        return found.frames >= noted.frames;
    }
    // The log started anew: then all of the one before is in the database.
    salts(log).is_some_and(|salts| (1..=RESTARTS_MAX).contains(&salts[0].wrapping_sub(noted.salts[0])))
}

/// The salts of a log's head; `None` where it is no head of a log.
fn salts(log: &Path) -> Option<[u32; 2]> {
    let mut head = [0; 32];
    File::open(log).ok()?.read_exact_at(&mut head, 0).ok()?;
    let (words, _) = head.as_chunks::<4>();
    let big = u32::from_be_bytes(words[0]) & 1 == 1;
    let read = |word: [u8; 4]| {
        if big {
            u32::from_be_bytes(word)
        } else {
            u32::from_le_bytes(word)
        }
    };
    let (mut one, mut two) = (0_u32, 0_u32);
    for pair in words[..6].as_chunks::<2>().0 {
        one = one.wrapping_add(read(pair[0])).wrapping_add(two);
        two = two.wrapping_add(read(pair[1])).wrapping_add(one);
    }
    let sums = [u32::from_be_bytes(words[6]), u32::from_be_bytes(words[7])];
    ([one, two] == sums).then(|| [u32::from_be_bytes(words[4]), u32::from_be_bytes(words[5])])
}
