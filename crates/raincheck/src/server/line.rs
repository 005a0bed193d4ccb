//! A connection's bytes: passes them through and notes on the [`Pulse`] what happens.
//!
//! Invariant: a client that closed its side while it is waited on is noticed without a read, so without a buffer (TLS has its
//! own): that keeps an idle waiter small.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::api::code::Code;

use super::ServerOptions;
use super::bare::{bare_answer, instead};
use super::caps::Admission;
use super::framing::Framing;
use super::pulse::{Phase, Pulse};
use super::wire::Wire;

/// The socket under hyper.
#[derive(Debug)]
pub(super) struct Line<W> {
    stream: W,
    pulse: Arc<Pulse>,
    /// Counted for as long as the socket is open, in whosever hands.
    _admission: Admission,
    framing: Framing,
    /// Set when more bytes are there than the request being worked on: then the client is there as well.
    ahead: bool,
    /// What is left of what is said without hyper: an answer before the last one, or to what is no request.
    interim: Vec<u8>,
    /// Of this request nothing was answered yet, and nothing of the answers before it is left to write; 0: of none.
    clear: u32,
    options: Arc<ServerOptions>,
}

impl<W: Wire> Line<W> {
    pub(super) fn new(
        stream: W,
        pulse: Arc<Pulse>,
        admission: Admission,
        options: Arc<ServerOptions>,
    ) -> Self {
        Self {
            stream,
            pulse,
            _admission: admission,
            framing: Framing::default(),
            ahead: false,
            interim: Vec::new(),
            clear: 0,
            options,
        }
    }

    /// Puts what was said before an answer in front of it, where the answer came so soon after that it was not written yet.
    fn before_answer(&mut self) {
        // A short answer is whole, and its request done with, before its first byte is written.
        if self.clear == 0 || self.pulse.phase() == Phase::Busy {
            return;
        }
        let clear = std::mem::take(&mut self.clear);
        if self.interim.is_empty()
            && clear == self.pulse.requests()
            && let Some(hints) = self.pulse.hints()
        {
            self.interim = hints.take(clear);
        }
    }

    /// Goes on with an answer before the last that is half written.
    fn finish_interim(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.interim.is_empty() {
            let written = Pin::new(&mut self.stream).poll_write(cx, &self.interim);
            let written = ready!(self.note(written))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.interim.drain(..written);
        }
        Poll::Ready(Ok(()))
    }

    /// Notes that the client closed its side, where it did.
    fn listen(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let listens = match self.pulse.phase() {
            Phase::Busy => true,
            // What is passed on may be silent for long, with nothing to write that would tell.
            Phase::Answering => self.pulse.hints().is_some(),
            Phase::Idle | Phase::Head | Phase::Leaving | Phase::Handed => false,
        };
        if self.ahead || !listens {
            return Ok(());
        }
        match self.stream.poll_coming(cx) {
            Poll::Pending => {}
            Poll::Ready(Ok(false)) => {
                self.ahead = true;
                self.pulse.close();
            }
            Poll::Ready(Ok(true)) => {
                self.ahead = true;
                self.pulse.come();
            }
            Poll::Ready(Err(error)) => return Err(error),
        }
        Ok(())
    }

    /// Whether hyper refuses what is no request, while no request is there: then that is said in our words.
    fn refuses(&mut self, bytes: &[u8]) -> bool {
        if !matches!(self.pulse.phase(), Phase::Head | Phase::Idle) {
            return false;
        }
        let Some(answer) = instead(&self.options.mount, bytes) else {
            return false;
        };
        self.interim = answer;
        true
    }

    fn note<T>(&self, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match written {
            Poll::Pending => self.pulse.stall(),
            Poll::Ready(_) => self.pulse.flow(),
        }
        written
    }
}

impl<W: Wire> AsyncRead for Line<W> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.pulse.expired() {
            if self.pulse.phase() == Phase::Head {
                let answer = bare_answer(
                    &self.options.mount,
                    Code::RequestTimeout,
                    "the request's head took too long",
                );
                // Best effort: whoever sends so slowly may not read either.
                if Pin::new(&mut self.stream).poll_write(cx, &answer).is_ready() {
                    let _ = Pin::new(&mut self.stream).poll_flush(cx);
                }
            }
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        let this = &mut *self;
        if this.pulse.phase() == Phase::Handed {
            return read;
        }
        if let Some(heard) = buf.filled().get(before..).filter(|heard| !heard.is_empty()) {
            this.ahead = false;
            if this.pulse.phase() == Phase::Idle {
                this.framing.wake(this.pulse.requests());
            }
            if let Some(request) = this.framing.watch(heard) {
                this.pulse.set_twice(request);
            }
            this.pulse.set_more(this.framing.more());
            this.pulse.heard();
        }
        read
    }
}

impl<W: Wire> AsyncWrite for Line<W> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.before_answer();
        ready!(self.finish_interim(cx))?;
        if self.refuses(bytes) {
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.note(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.before_answer();
        ready!(self.finish_interim(cx))?;
        if let [bytes] = slices
            && self.refuses(bytes)
        {
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.note(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// hyper flushes whenever it is woken, so this is where a waiting connection listens for its client.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.listen(cx)?;
        // hyper has written all it had to, so that this is the place between two answers.
        let this = &mut *self;
        if let Some(hints) = this.pulse.hints()
            && this.pulse.phase() == Phase::Busy
        {
            this.clear = this.pulse.requests();
            if this.interim.is_empty() {
                this.interim = hints.take(this.clear);
            }
        }
        ready!(self.finish_interim(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    /// Says that nothing more is coming, then throws away what an interrupted request still sends.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.pulse.phase() != Phase::Leaving {
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
            // In a head that never became a request something was wrong, and more of it may be coming.
            if !self.pulse.sending() && self.pulse.phase() != Phase::Head {
                return Poll::Ready(Ok(()));
            }
            self.pulse.enter(Phase::Leaving);
        }
        loop {
            let mut waste = [0; 4096];
            let mut waste = ReadBuf::new(&mut waste);
            let read = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut waste));
            if read.is_err() || waste.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }
}
