//! The workload `webhooks`: jobs with a callback, worked, until a receiver in this process has been told of each.
//!
//! Invariant: every job has its webhook; the receiver does nothing but read and answer, so that what is measured is the
//! server.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::arrays::{Arrays, submit, workers};
use super::drive::reached;
use super::figures::{Latency, Measured, Row};
use super::rig::Rig;
use crate::exit::Failed;

const NAME: &str = "webhooks";
/// The most headers of a webhook.
const HEADERS_MAX: usize = 32;
/// The largest webhook that is read: the server's own limit is 20 KB.
const WEBHOOK_MAX: usize = 64 << 10;

/// Submits them all, then has them worked.
pub(super) async fn run(rig: &Rig, rows: &mut Vec<Row>) -> Result<(), Failed> {
    rig.progress.begin(&format!("{NAME}, submit"));
    let receiver = Receiver::start().await?;
    let mut arrays = Arrays::of(rig.queue("told").await?, rig.sizes.jobs);
    arrays.callback = Some(format!("http://{}/", receiver.address));
    rows.push(Row::of(
        NAME,
        "submit with a callback",
        &submit(rig, &arrays).await?,
    ));
    rig.progress.begin(&format!("{NAME}, work and tell"));
    let reading = rig.meter().read();
    let mut workers = workers(rig, &arrays).await?;
    reached(arrays.jobs, &receiver.told, &mut workers, &rig.progress).await?;
    let used = rig.meter().since(reading);
    workers.stop().await?;
    let latency = Latency::default();
    let measured = Measured {
        jobs: arrays.jobs,
        latency,
        used,
    };
    rows.push(Row::of(NAME, "work and tell", &measured));
    Ok(())
}

/// Answers whatever it is told. It ends when it is dropped.
struct Receiver {
    address: SocketAddr,
    /// How much it has been told.
    told: Arc<AtomicU64>,
    _listening: JoinSet<()>,
}

impl Receiver {
    async fn start() -> Result<Self, Failed> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let told = Arc::new(AtomicU64::new(0));
        let mut listening = JoinSet::new();
        listening.spawn(accept(listener, told.clone()));
        Ok(Self {
            address,
            told,
            _listening: listening,
        })
    }
}

async fn accept(listener: TcpListener, told: Arc<AtomicU64>) {
    // They end with the set.
    let mut lines = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        lines.spawn(listen(stream, told.clone()));
        while lines.try_join_next().is_some() {}
    }
}

/// Reads webhooks from a connection until it ends; what cannot be read ends it as well, and is tried again by the server.
async fn listen(mut stream: TcpStream, told: Arc<AtomicU64>) {
    let mut buffer = Vec::with_capacity(4 << 10);
    loop {
        while let Some(length) = whole(&buffer) {
            if stream
                .write_all(b"HTTP/1.1 204 No Content\r\n\r\n")
                .await
                .is_err()
            {
                return;
            }
            buffer.drain(..length);
            told.fetch_add(1, Ordering::Relaxed);
        }
        let read = stream.read_buf(&mut buffer).await;
        if !read.is_ok_and(|read| read > 0) || buffer.len() > WEBHOOK_MAX {
            return;
        }
    }
}

/// How long the first request is, once it is whole.
fn whole(buffer: &[u8]) -> Option<usize> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    let Ok(httparse::Status::Complete(head)) = request.parse(buffer) else {
        return None;
    };
    let length = request
        .headers
        .iter()
        .find(|header| header.name.eq_ignore_ascii_case("content-length"))?;
    let length: usize = std::str::from_utf8(length.value).ok()?.parse().ok()?;
    Some(head + length).filter(|whole| *whole <= buffer.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webhook_is_read_where_it_ends() {
        let one = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n{}";
        let both = [&one[..], &one[..]].concat();
        assert_eq!(whole(&both), Some(one.len()));
        for part in 0..one.len() {
            assert_eq!(whole(&one[..part]), None, "{part} bytes");
        }
    }
}
