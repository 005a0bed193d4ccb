//! What connections run on: TCP, a local socket, and TLS over TCP.
//!
//! Invariant: whether the client closed its side can be asked without losing a byte that it sent.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A connection's bytes.
pub(super) trait Wire: AsyncRead + AsyncWrite + Unpin + Send + fmt::Debug {
    /// Ready when something has come: a byte (true) or the end (false). What has come is read later.
    fn poll_coming(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>>;
}

impl Wire for TcpStream {
    fn poll_coming(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut byte = [0];
        self.poll_peek(cx, &mut ReadBuf::new(&mut byte))
            .map_ok(|bytes| bytes != 0)
    }
}

impl Wire for Box<dyn Wire> {
    fn poll_coming(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        (**self).poll_coming(cx)
    }
}

/// A stream that cannot be peeked at: the byte that was asked for too early is kept, and comes with what follows it. By itself it would
/// be a body's next part, and a body of a million of those takes half a minute.
#[derive(Debug)]
pub(super) struct Kept<S> {
    stream: S,
    byte: Option<u8>,
    ended: bool,
    /// What went wrong after that byte.
    failed: Option<io::Error>,
}

impl<S> Kept<S> {
    pub(super) const fn new(stream: S) -> Self {
        Self {
            stream,
            byte: None,
            ended: false,
            failed: None,
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + fmt::Debug> Wire for Kept<S> {
    fn poll_coming(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        if self.byte.is_none() && !self.ended {
            let mut byte = [0];
            let mut buf = ReadBuf::new(&mut byte);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buf))?;
            self.byte = buf.filled().first().copied();
            self.ended = self.byte.is_none();
        }
        Poll::Ready(Ok(!self.ended))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Kept<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(error) = self.failed.take() {
            return Poll::Ready(Err(error));
        }
        if buf.remaining() > 0
            && let Some(byte) = self.byte.take()
        {
            buf.put_slice(&[byte]);
            if buf.remaining() > 0
                && let Poll::Ready(Err(error)) = Pin::new(&mut self.stream).poll_read(cx, buf)
            {
                self.failed = Some(error);
            }
            return Poll::Ready(Ok(()));
        }
        if self.ended {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Kept<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    #[tokio::test]
    async fn a_byte_that_was_asked_for_too_early_is_read_once() {
        let (mut client, server) = tokio::io::duplex(16);
        let mut kept = Kept::new(server);
        client.write_all(b"rain").await.unwrap();
        for _ in 0..2 {
            assert!(poll_fn(|cx| kept.poll_coming(cx)).await.unwrap());
        }
        let mut part = [0; 3];
        assert_eq!(
            kept.read(&mut part).await.unwrap(),
            3,
            "it comes with what follows it"
        );
        assert_eq!(&part, b"rai");
        drop(client);
        let mut text = String::new();
        kept.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "n");
        assert!(!poll_fn(|cx| kept.poll_coming(cx)).await.unwrap());
    }
}
