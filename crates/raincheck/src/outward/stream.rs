//! A connection that the client asks nothing of: what it is told of one it copies into every answer, and nobody reads it there.
//!
//! A service that refuses a body early answers and closes: what is still written to it fails, often before the answer is read, and
//! the client would give up over that. So it is only read from then on (RFC 9112 section 9.5: an answer that came is one).
//!
//! Invariant: bytes go through as they are, until the other side takes none.

use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::{Connected, Connection};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// See the module.
#[derive(Debug)]
pub(super) struct Stream {
    socket: TcpStream,
    /// Whether the other side takes nothing more.
    deaf: bool,
}

impl Stream {
    pub(super) const fn new(socket: TcpStream) -> Self {
        Self { socket, deaf: false }
    }

    /// What is told of a write of so many bytes: one that nobody takes any more has gone well.
    fn written(&mut self, written: Poll<io::Result<usize>>, bytes: usize) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Err(error))
                if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) =>
            {
                self.deaf = true;
                Poll::Ready(Ok(bytes))
            }
            written @ (Poll::Pending | Poll::Ready(_)) => written,
        }
    }
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, into)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.deaf {
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = Pin::new(&mut self.socket).poll_write(cx, bytes);
        self.written(written, bytes.len())
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let all = || bytes.iter().map(|bytes| bytes.len()).sum();
        if self.deaf {
            return Poll::Ready(Ok(all()));
        }
        let written = Pin::new(&mut self.socket).poll_write_vectored(cx, bytes);
        self.written(written, all())
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.deaf {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn an_answer_that_came_is_read_though_nobody_takes_what_is_sent() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let mut stream = Stream::new(socket);
        stream.write_all(b"too much").await.unwrap();
        let (mut service, _) = listener.accept().await.unwrap();
        service.readable().await.unwrap();
        service.write_all(b"413").await.unwrap();
        drop(service); // a reset: something is unread
        for _ in 0..3 {
            stream.write_all(b"and more").await.unwrap();
        }
        stream.shutdown().await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "413");
    }
}
