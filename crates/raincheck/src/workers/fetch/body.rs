//! Reading a body: into memory, to be kept with its result, or into a file of its own.
//!
//! Invariants: no more than the limit is ever held or written; a file has its name only once its bytes are on stable storage, and so
//! has the name when this returns.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use http_body_util::BodyExt as _;
use hyper::body::Body as _;

use crate::fetch::file_name;
use crate::outward::places::Answered;
use crate::outward::root_cause;
use crate::room::Room;
use crate::workers::whole;

/// So many bytes are written at once.
const PIECE: usize = 1 << 20;
/// So many parts of a body are held at most before they are written, however short they are.
const FRAMES_MAX: usize = 256;
/// So much of a body that nobody wants is read, so that its connection can be used again.
const DISCARDED_MAX: u64 = 64 << 10;

/// Why a body was not read whole.
pub(super) enum Unread {
    TooLarge,
    BrokenOff { after: u64, why: String },
    Unwritten(io::Error),
}

impl From<whole::Unread> for Unread {
    fn from(why: whole::Unread) -> Self {
        match why {
            whole::Unread::TooLarge => Self::TooLarge,
            whole::Unread::BrokenOff { after, why } => Self::BrokenOff { after, why },
        }
    }
}

/// A body that was read.
pub(super) struct Read {
    /// The bytes, where they are not in a file.
    pub(super) body: Bytes,
    /// How many there were.
    pub(super) bytes: u64,
}

/// A folder of bodies. Cloning gives another handle.
#[derive(Clone, Debug)]
pub(super) struct Bodies(Arc<Path>);

impl Bodies {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self(folder.into())
    }

    /// The name that the body of this URL has.
    pub(super) fn name(&self, url: &str, content_type: Option<&str>) -> String {
        file_name(url, content_type)
    }

    pub(super) fn file(&self, url: &str, content_type: Option<&str>) -> PathBuf {
        self.0.join(self.name(url, content_type))
    }

    /// Whether a body of this length is there.
    pub(super) fn has(&self, name: &str, bytes: u64) -> bool {
        fs::metadata(self.0.join(name)).is_ok_and(|about| about.is_file() && about.len() == bytes)
    }
}

/// Reads a body to its end, into this file where one is named.
pub(super) async fn read_body(
    body: Answered,
    max: u64,
    room: &Room,
    file: Option<PathBuf>,
) -> Result<Read, Unread> {
    let Some(path) = file else {
        let body = whole::read(body, max, room, |_| {}).await?;
        let bytes = body.len() as u64;
        return Ok(Read { body, bytes });
    };
    if body.size_hint().lower() > max {
        return Err(Unread::TooLarge);
    }
    let mut coming = Coming { body, bytes: 0, max };
    coming.write(path).await?;
    Ok(Read {
        body: Bytes::new(),
        bytes: coming.bytes,
    })
}

/// A body that is being read, and how much of it came.
struct Coming {
    body: Answered,
    bytes: u64,
    max: u64,
}

impl Coming {
    /// What comes next; nothing at its end.
    async fn data(&mut self) -> Result<Option<Bytes>, Unread> {
        while let Some(frame) = self.body.frame().await {
            let frame = frame.map_err(|error| Unread::BrokenOff {
                after: self.bytes,
                why: root_cause(&error),
            })?;
            // Trailers are no part of it.
            let Ok(data) = frame.into_data() else { continue };
            self.bytes += data.len() as u64;
            if self.bytes > self.max {
                return Err(Unread::TooLarge);
            }
            return Ok(Some(data));
        }
        Ok(None)
    }

    /// Writes what comes as it came: to join it first costs a copy of all of it.
    async fn write(&mut self, path: PathBuf) -> Result<(), Unread> {
        let mut file = Writing { path, part: None };
        let mut held = Vec::new();
        let mut bytes = 0;
        while let Some(data) = self.data().await? {
            bytes += data.len();
            held.push(data);
            if bytes >= PIECE || held.len() >= FRAMES_MAX {
                bytes = 0;
                let piece = std::mem::take(&mut held);
                file = blocking(move || file.written(&piece))
                    .await
                    .map_err(Unread::Unwritten)?;
            }
        }
        blocking(move || file.written(&held)?.ended())
            .await
            .map_err(Unread::Unwritten)
    }
}

/// Reads a body that nobody wants, where it is short.
pub(super) async fn discarded(response: Response<Answered>) {
    let mut body = response.into_body();
    let mut bytes = 0;
    while bytes <= DISCARDED_MAX {
        match body.frame().await {
            Some(Ok(frame)) => bytes += frame.data_ref().map_or(0, |data| data.len() as u64),
            Some(Err(_)) | None => return,
        }
    }
}

/// A file that is being written; gone where it is dropped before its end.
struct Writing {
    path: PathBuf,
    part: Option<(PathBuf, File)>,
}

impl Writing {
    fn written(mut self, parts: &[Bytes]) -> io::Result<Self> {
        if self.part.is_none() {
            let part = self
                .path
                .with_extension(format!("{:08x}.part", rand::random::<u32>()));
            let file = File::create_new(&part)?;
            self.part = Some((part, file));
        }
        if let Some((_, file)) = &mut self.part {
            parts.iter().try_for_each(|part| file.write_all(part))?;
        }
        Ok(self)
    }

    fn ended(mut self) -> io::Result<()> {
        if let Some((part, file)) = &self.part {
            file.sync_data()?;
            fs::rename(part, &self.path)?;
            self.part = None;
            if let Some(folder) = self.path.parent() {
                File::open(folder)?.sync_all()?;
            }
        }
        Ok(())
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        if let Some((part, _)) = &self.part {
            // What stays behind is named so that everybody can tell.
            let _ = fs::remove_file(part);
        }
    }
}

/// Runs what blocks where that harms nobody.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(io::Error::other(error)))
}
