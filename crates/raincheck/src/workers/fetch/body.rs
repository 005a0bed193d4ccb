//! Reading a body: into memory, to be kept with its result, or into a file of its own.
//!
//! Invariants: no more than the limit is ever held or written; a file has its name only once its bytes are on stable storage, and so
//! has the name when this returns.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::Response;
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};

use crate::fetch::file_name;
use crate::outward::root_cause;

/// So many bytes are written at once.
const PIECE: usize = 1 << 20;
/// So much of a body that nobody wants is read, so that its connection can be used again.
const DISCARDED_MAX: u64 = 64 << 10;

/// Why a body was not read whole.
pub(super) enum Unread {
    TooLarge,
    BrokenOff { after: u64, why: String },
    Unwritten(io::Error),
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
pub(super) async fn read_body(mut body: Incoming, max: u64, file: Option<PathBuf>) -> Result<Read, Unread> {
    if body.size_hint().lower() > max {
        return Err(Unread::TooLarge);
    }
    let mut writing = file.map(|path| Writing { path, part: None });
    let mut held = BytesMut::new();
    let mut bytes = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Unread::BrokenOff {
            after: bytes,
            why: root_cause(&error),
        })?;
        // Trailers are no part of it.
        let Ok(data) = frame.into_data() else { continue };
        bytes += data.len() as u64;
        if bytes > max {
            return Err(Unread::TooLarge);
        }
        held.extend_from_slice(&data);
        if let Some(file) = writing.take_if(|_| held.len() >= PIECE) {
            let piece = held.split().freeze();
            let written = blocking(move || file.written(&piece)).await;
            writing = Some(written.map_err(Unread::Unwritten)?);
        }
    }
    let body = held.freeze();
    let Some(file) = writing else {
        return Ok(Read { body, bytes });
    };
    let ended = blocking(move || file.written(&body)?.ended()).await;
    ended.map_err(Unread::Unwritten)?;
    Ok(Read {
        body: Bytes::new(),
        bytes,
    })
}

/// Reads a body that nobody wants, where it is short.
pub(super) async fn discarded(response: Response<Incoming>) {
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
    fn written(mut self, bytes: &[u8]) -> io::Result<Self> {
        if self.part.is_none() {
            let part = self
                .path
                .with_extension(format!("{:08x}.part", rand::random::<u32>()));
            let file = File::create_new(&part)?;
            self.part = Some((part, file));
        }
        if let Some((_, file)) = &mut self.part {
            file.write_all(bytes)?;
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
