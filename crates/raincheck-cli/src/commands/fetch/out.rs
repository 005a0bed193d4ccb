//! Where results are written, and how far they are.
//!
//! Invariant: a file holds whole lines in the order of their `seq`, each once, across any number of runs: what a crash tore is cut
//! off and written again.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::folder::Folder;
use crate::exit::{Exit, Failed};

/// So much of a file's end is looked through at once for the end of a line.
const CHUNK: u64 = 64 << 10;

/// See the module.
#[derive(Debug)]
pub(crate) enum Out {
    /// A file, and where it is.
    File(BufWriter<File>, PathBuf),
    /// Standard output, with the file that says how far it is.
    Stdout(File),
}

impl Out {
    /// Opens it; also the `seq` of the last result that it has.
    pub(super) fn open(path: Option<&Path>, folder: &Folder, resume: bool) -> Result<(Self, u64), Failed> {
        let Some(path) = path else {
            let mark = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(!resume)
                .open(folder.written())?;
            let text = fs::read_to_string(folder.written())?;
            return Ok((Self::Stdout(mark), text.trim().parse().unwrap_or(0)));
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(!resume)
            .open(path)
            .map_err(|error| cannot_write(path, &error))?;
        let after = mend(&mut file).map_err(|error| {
            let text = format!("{} cannot be gone on with: {error}", path.display());
            let next = format!(
                "Write all results to another file: -o FILE --store {}",
                folder.shown()
            );
            Failed::new(Exit::Conflict, text).next(next)
        })?;
        let file = BufWriter::with_capacity(1 << 20, file);
        Ok((Self::File(file, path.to_owned()), after))
    }

    /// Writes whole lines, of which the last has this `seq`.
    pub(crate) fn write(&mut self, lines: &[u8], last: u64) -> Result<(), Failed> {
        self.told(|out| match out {
            Self::File(file, _) => file.write_all(lines),
            Self::Stdout(mark) => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(lines)?;
                stdout.flush()?;
                mark.write_all_at(format!("{last:020}\n").as_bytes(), 0)
            }
        })
    }

    /// Hands on what is held.
    pub(crate) fn flush(&mut self) -> Result<(), Failed> {
        self.told(|out| match out {
            Self::File(file, _) => file.flush(),
            Self::Stdout(_) => Ok(()),
        })
    }

    /// Brings it to stable storage.
    pub(crate) fn finish(&mut self) -> Result<(), Failed> {
        self.flush()?;
        self.told(|out| match out {
            Self::File(file, _) => file.get_ref().sync_all(),
            Self::Stdout(_) => Ok(()),
        })
    }

    fn told(&mut self, write: impl FnOnce(&mut Self) -> io::Result<()>) -> Result<(), Failed> {
        write(self).map_err(|error| match self {
            Self::File(_, path) => cannot_write(path, &error),
            // Results that nobody reads any more are not all there yet.
            Self::Stdout(_) if error.kind() == io::ErrorKind::BrokenPipe => Failed::new(
                Exit::Conflict,
                "whoever read the results has left before the last one",
            ),
            Self::Stdout(_) => cannot_write(Path::new("standard output"), &error),
        })
    }
}

fn cannot_write(path: &Path, error: &io::Error) -> Failed {
    Failed::new(Exit::Failure, format!("cannot write {}: {error}", path.display()))
}

#[derive(Deserialize)]
struct Line {
    seq: u64,
}

/// Cuts off what is no whole line; the `seq` of the last one.
fn mend(file: &mut File) -> io::Result<u64> {
    let length = file.seek(SeekFrom::End(0))?;
    let ended = line_end(file, length)?;
    file.set_len(ended)?;
    let after = if ended == 0 {
        0
    } else {
        let begins = line_end(file, ended - 1)?;
        let mut line = Vec::new();
        file.seek(SeekFrom::Start(begins))?;
        file.take(ended - begins).read_to_end(&mut line)?;
        let line: Line = serde_json::from_slice(&line)?;
        line.seq
    };
    file.seek(SeekFrom::Start(ended))?;
    Ok(after)
}

/// Behind the last end of a line before this place; 0 where there is none.
fn line_end(file: &File, before: u64) -> io::Result<u64> {
    let mut end = before;
    while end > 0 {
        let begin = end.saturating_sub(CHUNK);
        let mut chunk = vec![0; usize::try_from(end - begin).unwrap_or_default()];
        file.read_exact_at(&mut chunk, begin)?;
        if let Some(at) = chunk.iter().rposition(|byte| *byte == b'\n') {
            return Ok(begin + at as u64 + 1);
        }
        end = begin;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mended(text: &[u8]) -> (io::Result<u64>, Vec<u8>) {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text).unwrap();
        let after = mend(&mut file);
        let mut left = Vec::new();
        file.seek(SeekFrom::Start(0)).unwrap();
        file.read_to_end(&mut left).unwrap();
        (after, left)
    }

    #[test]
    fn a_torn_line_is_cut_off_and_the_one_before_says_where_to_go_on() {
        let long = format!("{{\"seq\":8,\"text\":{:?}}}\n", "x".repeat(200_000));
        for (text, after, left) in [
            ("", 0, ""),
            ("{\"seq\":1", 0, ""),
            ("{\"seq\":1}\n", 1, "{\"seq\":1}\n"),
            ("{\"seq\":1}\n{\"seq\":2}\n{\"se", 2, "{\"seq\":1}\n{\"seq\":2}\n"),
            (&long, 8, &long),
            (&long[..150_000], 0, ""),
        ] {
            let (found, kept) = mended(text.as_bytes());
            assert_eq!((found.unwrap(), kept), (after, left.as_bytes().to_vec()));
        }
        assert!(mended(b"something else\n").0.is_err(), "no file of ours");
    }
}
