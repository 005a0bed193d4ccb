//! Taking the list down: each line checked, each URL once.
//!
//! Invariant: what is taken down can be sent as it is; of a URL no more than a digest is held meanwhile.

use std::collections::HashSet;
use std::fs::{self, File};
use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, BufRead, BufReader, BufWriter, Write as _};

use raincheck::fetch::{Origin, Wanted, blank};

use super::folder::Folder;
use crate::exit::{Exit, Failed};
use crate::output::{Output, visible};

/// So many lines that are no URLs are told one by one.
const TOLD_MAX: u64 = 20;

/// What was taken down.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Taken {
    /// URLs.
    pub(super) lines: u64,
    /// Lines that were none.
    pub(super) bad: u64,
}

/// Takes the list down into the folder. Durable on return.
pub(super) fn take(path: &str, folder: &Folder, output: Output) -> Result<Taken, Failed> {
    let lines: Box<dyn BufRead> = if path == "-" {
        Box::new(BufReader::new(io::stdin()))
    } else {
        let file = File::open(path);
        Box::new(BufReader::new(file.map_err(|error| {
            let hint = if path.starts_with("http://") || path.starts_with("https://") {
                format!("; for one URL type: echo {path} | raincheck fetch -")
            } else {
                String::new()
            };
            Failed::new(
                Exit::Failure,
                format!("cannot read the list {path:?}: {error}{hint}"),
            )
        })?))
    };
    let part = folder.list().with_extension("part");
    let mut to = BufWriter::new(File::create(&part)?);
    let (mut taken, mut twice) = (Taken::default(), 0_u64);
    let (mut seen, hash) = (HashSet::new(), (RandomState::new(), RandomState::new()));
    let mut origin = Origin::default();
    for (index, line) in lines.split(b'\n').enumerate() {
        let line = line?;
        // A byte order mark is no part of the first URL.
        let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&line);
        if blank(line) {
            continue;
        }
        match Wanted::read(line).and_then(|wanted| wanted.checked_of(&mut origin)) {
            Ok(checked) => {
                let text = checked.input().body;
                // Two of 64 bits each, so that no two URLs are taken for one.
                if seen.insert((hash.0.hash_one(&text), hash.1.hash_one(&text))) {
                    to.write_all(&text)?;
                    to.write_all(b"\n")?;
                    taken.lines += 1;
                } else {
                    twice += 1;
                }
            }
            Err(why) => {
                taken.bad += 1;
                if taken.bad <= TOLD_MAX {
                    output.note(&format!("line {}: {}", index + 1, visible(&why)));
                }
            }
        }
    }
    if taken.bad > TOLD_MAX {
        output.note(&format!(
            "and {} more lines that are no URLs",
            taken.bad - TOLD_MAX
        ));
    }
    if twice > 0 {
        output.note(&format!("{twice} URLs stand there again and are fetched once"));
    }
    if taken.lines == 0 {
        fs::remove_file(&part)?;
        return Err(Failed::usage(format!("there is no URL in {path:?}")));
    }
    to.into_inner()
        .map_err(io::IntoInnerError::into_error)?
        .sync_all()?;
    fs::rename(&part, folder.list())?;
    Ok(taken)
}

/// The list from its line `from` on.
pub(super) fn lines(
    folder: &Folder,
    from: u64,
) -> io::Result<impl Iterator<Item = io::Result<Vec<u8>>> + use<>> {
    let lines = BufReader::new(File::open(folder.list())?).split(b'\n');
    Ok(lines.skip(usize::try_from(from).unwrap_or(usize::MAX)))
}
