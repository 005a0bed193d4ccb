//! What the server's own workers show while they work: bytes in, chunks in the store.
//!
//! Invariants: one emission is under way at a time, so that chunks keep their order, and what comes meanwhile goes together
//! into the next; a character is not cut in two where its rest is still to come; what waits is bounded, and whoever shows more of
//! an output than is kept hears of it, as does who reads it.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use raincheck_core::decide::EmitRefused;
use raincheck_core::id::LeaseId;
use raincheck_core::name::Namespace;
use raincheck_core::output::{Piece, Stream};
use raincheck_core::store::{Answer, Emit, Emitted, Store, StoreError};
use tokio::sync::Notify;
use tracing::{debug, warn};

/// The largest chunk that is made here.
const CHUNK_BYTES_MAX: usize = 64 << 10;
/// So much of a log waits; what comes beyond it while the store is slow is left out.
const LOG_BYTES_MAX: usize = 1 << 20;
/// How long what is left may take to be kept once the attempt is over.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// The pause before something is handed over again.
const PAUSE: Duration = Duration::from_millis(200);

/// What waits to be emitted.
#[derive(Default)]
struct Waiting {
    /// In the order in which it came, neighbours of one stream together.
    parts: Vec<(Stream, BytesMut)>,
    log_bytes: usize,
    /// Of the output, since the attempt began.
    output_bytes: u64,
    /// Nothing more of the output is taken.
    output_over: bool,
}

#[derive(Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    more: Notify,
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // Nothing under this lock can panic half way.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes what an attempt shows. Cloning gives another handle.
#[derive(Clone)]
pub(crate) struct Emitter {
    shared: Arc<Shared>,
    /// So much of the output is kept.
    output_max: u64,
}

impl fmt::Debug for Emitter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Emitter").finish_non_exhaustive()
    }
}

impl Emitter {
    /// Takes bytes of a stream; they are emitted soon. Whether they are taken.
    pub(crate) fn push(&self, stream: Stream, bytes: &[u8]) -> bool {
        let mut waiting = self.shared.waiting();
        let taken = match stream {
            Stream::Log => waiting.log(bytes),
            Stream::Output => waiting.output(bytes, self.output_max),
        };
        drop(waiting);
        self.shared.more.notify_one();
        taken
    }
}

impl Waiting {
    fn log(&mut self, bytes: &[u8]) -> bool {
        if self.log_bytes + bytes.len() > LOG_BYTES_MAX {
            return false;
        }
        self.log_bytes += bytes.len();
        self.add(Stream::Log, bytes);
        true
    }

    fn output(&mut self, bytes: &[u8], most: u64) -> bool {
        if self.output_over {
            return false;
        }
        let all = self.output_bytes + bytes.len() as u64;
        if all > most {
            self.output_over = true;
            self.log(
                format!("output-too-large: the output is larger than {most} bytes, the rest is not kept\n")
                    .as_bytes(),
            );
            return false;
        }
        self.output_bytes = all;
        self.add(Stream::Output, bytes);
        true
    }

    fn add(&mut self, stream: Stream, bytes: &[u8]) {
        match self.parts.last_mut() {
            Some((last, part)) if *last == stream => part.extend_from_slice(bytes),
            Some(_) | None => self.parts.push((stream, BytesMut::from(bytes))),
        }
    }
}

/// Chunks on their way, and what became of each.
type Flight = (Vec<Emit>, Answer<Vec<Result<Emitted, EmitRefused>>>);

/// Emits what its [`Emitter`] takes, under one lease.
pub(crate) struct Pump {
    shared: Arc<Shared>,
    store: Arc<dyn Store>,
    namespace: Namespace,
    lease: LeaseId,
    seq: u32,
    /// Handed over, not answered.
    flight: Option<Flight>,
    /// The log is full.
    log_over: bool,
    /// Nothing more is taken.
    over: bool,
}

/// A handle, for an output of at most so many bytes, and what works behind it.
pub(crate) fn emission(
    store: Arc<dyn Store>,
    namespace: Namespace,
    lease: LeaseId,
    output_max: u64,
) -> (Emitter, Pump) {
    let shared = Arc::<Shared>::default();
    let pump = Pump {
        shared: shared.clone(),
        store,
        namespace,
        lease,
        seq: 0,
        flight: None,
        log_over: false,
        over: false,
    };
    (Emitter { shared, output_max }, pump)
}

impl Pump {
    /// Emits what comes, for ever.
    ///
    /// # Cancel safety
    /// Safe: called again it goes on where it was.
    pub(crate) async fn run(&mut self) {
        loop {
            self.land().await;
            let batch = self.take(false);
            if batch.is_empty() {
                self.shared.more.notified().await;
            } else {
                self.hand_over(batch);
            }
        }
    }

    /// Whether nothing is left to emit.
    fn is_idle(&self) -> bool {
        self.flight.is_none() && self.shared.waiting().parts.is_empty()
    }

    /// Emits what is left, within a few seconds.
    pub(crate) async fn finish(mut self) {
        let last_words = async {
            loop {
                self.land().await;
                let batch = self.take(true);
                if batch.is_empty() {
                    return;
                }
                self.hand_over(batch);
            }
        };
        if tokio::time::timeout(LAST_WORDS, last_words).await.is_err() {
            warn!("the last of what an attempt showed could not be kept in time");
        }
    }

    /// The next chunks.
    fn take(&mut self, all: bool) -> Vec<Emit> {
        let parts = {
            let mut waiting = self.shared.waiting();
            waiting.log_bytes = 0;
            let mut parts = std::mem::take(&mut waiting.parts);
            if let Some((stream, part)) = parts.last_mut()
                && !all
            {
                // A part that is not whole stays for its rest.
                let rest = part.split_off(whole(part));
                if !rest.is_empty() {
                    waiting.parts.push((*stream, rest));
                }
            }
            parts
        };
        let mut batch = Vec::new();
        for (stream, part) in parts {
            let mut part = part.freeze();
            let taken = !self.over && (stream == Stream::Output || !self.log_over);
            while taken && !part.is_empty() {
                let body = part.split_to(cut(&part));
                batch.push(self.emit(Piece { stream, body }));
            }
        }
        batch
    }

    fn emit(&mut self, piece: Piece) -> Emit {
        let seq = self.seq;
        self.seq += 1;
        Emit {
            lease: self.lease,
            seq,
            piece,
        }
    }

    fn hand_over(&mut self, batch: Vec<Emit>) {
        let answer = self.store.emit(&self.namespace, batch.clone());
        self.flight = Some((batch, answer));
    }

    /// Waits until what was handed over is kept, or is known never to be.
    async fn land(&mut self) {
        while let Some((_, answer)) = &mut self.flight {
            let answers = answer.await;
            let Some((batch, _)) = self.flight.take() else {
                return;
            };
            match answers {
                Ok(answers) => self.landed(batch, &answers),
                Err(StoreError::Failed(_) | StoreError::Closed) => self.end(),
                Err(error) => {
                    // The same chunks again: those that were kept are kept once.
                    debug!(%error, "what an attempt shows could not be kept yet");
                    self.hand_over_later(batch);
                }
            }
        }
    }

    /// Nothing more is taken.
    fn end(&mut self) {
        self.over = true;
        self.shared.waiting().output_over = true;
    }

    fn hand_over_later(&mut self, batch: Vec<Emit>) {
        let (store, namespace, again) = (self.store.clone(), self.namespace.clone(), batch.clone());
        let answer: Answer<_> = Box::pin(async move {
            tokio::time::sleep(PAUSE).await;
            store.emit(&namespace, again).await
        });
        self.flight = Some((batch, answer));
    }

    /// Goes on after the first chunk that was refused, if any.
    fn landed(&mut self, batch: Vec<Emit>, answers: &[Result<Emitted, EmitRefused>]) {
        let Some(place) = answers.iter().position(Result::is_err) else {
            return;
        };
        let log = batch
            .get(place)
            .is_some_and(|emit| emit.piece.stream == Stream::Log);
        if !(log && matches!(answers.get(place), Some(Err(EmitRefused::TooLarge { .. })))) {
            // The lease is over, or there are too many chunks.
            self.end();
            return;
        }
        self.log_over = true;
        self.seq = batch.get(place).map_or(self.seq, |emit| emit.seq);
        let rest = batch.into_iter().skip(place);
        let rest: Vec<Piece> = rest
            .map(|emit| emit.piece)
            .filter(|piece| piece.stream == Stream::Output)
            .collect();
        let rest: Vec<Emit> = rest.into_iter().map(|piece| self.emit(piece)).collect();
        if !rest.is_empty() {
            self.hand_over(rest);
        }
    }
}

/// How many of the bytes do not end within a character.
fn whole(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        Ok(_) | Err(_) => bytes.len(),
    }
}

/// Where the next chunk ends.
fn cut(bytes: &Bytes) -> usize {
    if bytes.len() <= CHUNK_BYTES_MAX {
        return bytes.len();
    }
    match whole(&bytes[..CHUNK_BYTES_MAX]) {
        0 => CHUNK_BYTES_MAX,
        end => end,
    }
}

/// Runs an attempt, and emits meanwhile what it shows.
pub(super) async fn alongside<T>(attempt: impl Future<Output = T>, pump: Option<Pump>) -> T {
    let Some(mut pump) = pump else {
        return attempt.await;
    };
    let mut attempt = std::pin::pin!(attempt);
    let end = tokio::select! {
        biased;
        end = &mut attempt => end,
        () = pump.run() => attempt.await,
    };
    if !pump.is_idle() {
        pump.finish().await;
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_character_is_not_cut_in_two() {
        for (bytes, end) in [
            (&b"abc"[..], 3),
            (b"a\xc3\xa4", 3),
            (b"a\xc3", 1),
            (b"\xe2\x82", 0),
            (b"a\xff", 2),
            (b"\xff\xc3", 2),
            (b"", 0),
        ] {
            assert_eq!(whole(bytes), end, "{bytes:?}");
        }
        let mut long = vec![b'x'; CHUNK_BYTES_MAX - 1];
        long.extend_from_slice("ä".as_bytes());
        assert_eq!(cut(&long.into()), CHUNK_BYTES_MAX - 1);
        assert_eq!(cut(&vec![0xc3; CHUNK_BYTES_MAX + 9].into()), CHUNK_BYTES_MAX);
    }
}
