//! What is uploaded: a file, or standard input, which is kept in a file of its own so that it can be sent again.
//!
//! Invariant: reading from the same place gives the same bytes, however often.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame};
use tokio::sync::mpsc;

use crate::exit::{Exit, Failed};

/// So many bytes are sent at once.
const CHUNK: usize = 64 << 10;

/// How many chunks wait to be sent.
const WAITING: usize = 4;

/// Where the lines come from. Cloning gives another handle.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    inner: Arc<Mutex<Inner>>,
    /// How many bytes there are, where that is known.
    pub(super) size: Option<u64>,
}

#[derive(Debug)]
struct Inner {
    file: File,
    /// Whether more may come from standard input.
    stdin: bool,
}

impl Source {
    /// The file, or standard input where it is called `-`.
    pub(crate) fn open(path: &str) -> Result<Self, Failed> {
        if path == "-" {
            let file = tempfile::tempfile()?;
            let inner = Inner { file, stdin: true };
            return Ok(Self {
                inner: Arc::new(Mutex::new(inner)),
                size: None,
            });
        }
        let unreadable = |error| {
            Failed::new(
                Exit::Failure,
                format!("cannot read the lines of {path:?}: {error}"),
            )
        };
        let file = File::open(Path::new(path)).map_err(unreadable)?;
        let about = file.metadata().map_err(unreadable)?;
        if !about.is_file() {
            return Err(Failed::usage(format!("{path:?} is not a file"))
                .next("Read a pipe from standard input: raincheck batch submit -"));
        }
        let inner = Inner { file, stdin: false };
        Ok(Self {
            inner: Arc::new(Mutex::new(inner)),
            size: Some(about.len()),
        })
    }

    /// The bytes from the beginning on, as a body; `told` hears of each chunk that is sent.
    pub(crate) fn body(&self, told: impl Fn(&[u8]) + Send + Sync + 'static) -> Upload {
        let (sender, chunks) = mpsc::channel(WAITING);
        let inner = self.inner.clone();
        // Reading blocks, standard input for as long as nobody writes.
        std::thread::spawn(move || {
            let mut at = 0;
            loop {
                let chunk = inner.lock().unwrap_or_else(PoisonError::into_inner).chunk(at);
                let last = !matches!(&chunk, Ok(chunk) if !chunk.is_empty());
                at += chunk.as_ref().map_or(0, Vec::len) as u64;
                if matches!(&chunk, Ok(chunk) if chunk.is_empty())
                    || sender.blocking_send(chunk.map(Bytes::from)).is_err()
                    || last
                {
                    return;
                }
            }
        });
        Upload {
            chunks,
            told: Box::new(told),
        }
    }
}

impl Inner {
    /// The bytes from this place on, some of them; none at the end.
    fn chunk(&mut self, at: u64) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; CHUNK];
        let mut read = self.file.read_at(&mut bytes, at)?;
        if read == 0 && self.stdin {
            read = io::stdin().lock().read(&mut bytes)?;
            self.file.write_all_at(&bytes[..read], at)?;
        }
        bytes.truncate(read);
        Ok(bytes)
    }
}

/// Hears of what is sent.
type Ear = Box<dyn Fn(&[u8]) + Send + Sync>;

/// A request's body that is read while it is sent.
pub(crate) struct Upload {
    chunks: mpsc::Receiver<io::Result<Bytes>>,
    told: Ear,
}

impl Body for Upload {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        self.chunks.poll_recv(cx).map(|chunk| {
            let chunk = chunk?;
            if let Ok(chunk) = &chunk {
                (self.told)(chunk);
            }
            Some(chunk.map(Frame::data))
        })
    }
}
