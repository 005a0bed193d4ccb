//! The real server with far more clients than it takes: its memory stays below a bound, whom it refuses it tells when to try
//! again, and what it accepted is there afterwards.
//!
//! Invariant: the bound is also set as a limit by a cgroup where one can be had, so that a server that goes beyond it for an
//! instant is killed.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::ask::Asker;
use crate::soak::server::{Server, Start};

/// The bound, in MiB.
const BOUND_MIB: u64 = 512;
/// Clients with most of a body of 1 MiB: together several times the bound.
const HALVES: usize = 1_500;
const BODY_BYTES: usize = 1 << 20;
/// Clients that send all of one at once.
const WHOLES: usize = 900;
/// Clients that wait for a job, more than the 10,000 that may.
const WAITERS: usize = 11_000;
/// Files that the server and we need.
const FILES: u64 = 16_000;
/// How long it is listened for an answer.
const HEARS_WITHIN: Duration = Duration::from_secs(2);
/// At most so many connections are being opened at once.
const OPENING: usize = 200;

/// A limit on the server's memory, gone when dropped.
struct Limit(PathBuf);

impl Limit {
    /// Puts the process under a limit; `None` where no cgroup can be had.
    fn set(pid: u32) -> Option<Self> {
        let name = format!("raincheck-trouble-{pid}");
        let (one, two) = (Path::new("/sys/fs/cgroup/memory"), Path::new("/sys/fs/cgroup"));
        let (folder, file) = if one.is_dir() {
            (one.join(name), "memory.limit_in_bytes")
        } else {
            (two.join(name), "memory.max")
        };
        std::fs::create_dir(&folder).ok()?;
        let limit = Self(folder);
        // The page cache counts too, and gives way.
        std::fs::write(limit.0.join(file), (BOUND_MIB << 20).to_string()).ok()?;
        std::fs::write(limit.0.join("cgroup.procs"), pid.to_string()).ok()?;
        Some(limit)
    }
}

impl Drop for Limit {
    fn drop(&mut self) {
        // A folder that is still in use goes with the machine.
        let _ = std::fs::remove_dir(&self.0);
    }
}

/// The process's resident memory, the most so far, in MiB.
fn peak_mib(pid: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib: u64 = line
        .and_then(|line| line.split_whitespace().next())
        .context("the peak")?
        .parse()?;
    Ok(kib >> 10)
}

/// Sends a head and a part of a body.
async fn sends(to: SocketAddr, head: String, part: Bytes) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(to).await?;
    stream.write_all(head.as_bytes()).await?;
    // A server that refuses closes while we still send.
    let _ = timeout(Duration::from_secs(5), stream.write_all(&part)).await;
    Ok(stream)
}

/// What is answered within a moment, if anything is.
async fn hears(mut stream: TcpStream) -> Result<(TcpStream, Option<u16>)> {
    let mut heard = [0; 512];
    let answered = match timeout(HEARS_WITHIN, stream.read(&mut heard)).await {
        Ok(Ok(n)) if n > 12 => {
            let text = String::from_utf8_lossy(&heard[..n]).to_ascii_lowercase();
            ensure!(
                text.contains("retry-after:"),
                "a refusal says when to try again: {text}"
            );
            Some(text[9..12].parse()?)
        }
        // Reset: the server has closed before it had read all.
        Ok(_) => Some(0),
        Err(_) => None,
    };
    Ok((stream, answered))
}

/// Opens so many connections that send the same; those that are held, and how often each status was answered.
async fn crowd(
    to: SocketAddr,
    count: usize,
    head: impl Fn() -> String,
    part: Bytes,
) -> Result<(Vec<TcpStream>, HashMap<u16, usize>)> {
    let (mut sending, mut hearing) = (JoinSet::new(), JoinSet::new());
    let mut sent = Vec::new();
    for _ in 0..count {
        if sending.len() >= OPENING {
            sent.push(sending.join_next().await.context("a task")???);
        }
        sending.spawn(sends(to, head(), part.clone()));
    }
    while let Some(done) = sending.join_next().await {
        sent.push(done??);
    }
    for stream in sent {
        hearing.spawn(hears(stream));
    }
    let (mut held, mut answered) = (Vec::new(), HashMap::new());
    while let Some(done) = hearing.join_next().await {
        match done?? {
            (stream, None) => held.push(stream),
            (_, Some(status)) => *answered.entry(status).or_default() += 1,
        }
    }
    Ok((held, answered))
}

/// Runs the proof.
pub(super) async fn prove(binary: &str, dir: &Path, say: &dyn Fn(&str)) -> Result<()> {
    let mut files = getrlimit(Resource::Nofile);
    files.current = files.maximum;
    setrlimit(Resource::Nofile, files)?;
    let enough = files.maximum.is_none_or(|most| most >= FILES);
    ensure!(
        enough,
        "{FILES} files must be allowed, so nothing is proven; raise ulimit -Hn"
    );
    let mut server = Server::start(&Start {
        words: vec![binary.to_owned()],
        store: dir.join("memory"),
        queues: vec!["q".to_owned()],
    })?;
    let limit = Limit::set(server.pid());
    let to = server.ready().await?;
    let mut asker = Asker::to(to);
    let idle = peak_mib(server.pid())?;
    let awaited = asker.expect(202, "POST", "/v1/queues/q/jobs", "awaited").await?;
    let awaited = awaited.header("raincheck-job").to_owned();
    let mut kept = vec![(awaited.clone(), Bytes::from_static(b"awaited"))];

    let head = || {
        format!("POST /v1/queues/q/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: {BODY_BYTES}\r\n\r\n")
    };
    let most = Bytes::from(vec![b'x'; BODY_BYTES - 1]);
    let (halves, turned_away) = crowd(to, HALVES, head, most).await.context("half bodies")?;
    ensure!(
        turned_away.keys().all(|status| [0, 503].contains(status)),
        "half bodies got {turned_away:?}"
    );
    ensure!(turned_away.contains_key(&503), "no half body was refused");
    accepts(&mut asker, &mut kept)
        .await
        .context("beside half bodies")?;
    let with_bodies = peak_mib(server.pid())?;
    let held_bodies = halves.len();
    drop(halves);
    let (taken, with_wholes) = wholes(&server, to).await.context("whole bodies")?;

    let head = || format!("GET /v1/jobs/{awaited}?wait=60 HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let (waiting, refused) = crowd(to, WAITERS, head, Bytes::new()).await.context("waiters")?;
    ensure!(
        refused.keys().all(|status| *status == 429),
        "waiters got {refused:?}"
    );
    ensure!(waiting.len() == 10_000, "{} wait", waiting.len());
    accepts(&mut asker, &mut kept).await.context("beside waiters")?;
    let with_waiters = peak_mib(server.pid())?;
    drop(waiting);

    for (id, input) in &kept {
        let read = asker
            .expect(200, "GET", &format!("/v1/jobs/{id}/input"), "")
            .await?;
        ensure!(read.body == input, "the input of {id}");
    }
    ensure!(
        with_waiters < BOUND_MIB,
        "{with_waiters} MiB were resident, the bound is {BOUND_MIB} MiB"
    );
    let by = if limit.is_some() {
        "a cgroup's limit"
    } else {
        "measured, for no cgroup can be had"
    };
    say(&format!(
        "memory: {idle} MiB idle; {held_bodies} of {HALVES} half bodies held, the others 503: {with_bodies} MiB; {taken} of \
         {WHOLES} whole ones taken at once: {with_wholes} MiB; 10,000 of \
         {WAITERS} waiters held, the others 429: {with_waiters} MiB; bound {BOUND_MIB} MiB ({by}), {} jobs taken meanwhile are there",
        kept.len()
    ));
    server.kill().await?;
    Ok(())
}

/// Whole bodies, all at once: how many became jobs, and the memory at its peak. What was read counts until it is on disk.
async fn wholes(server: &Server, to: SocketAddr) -> Result<(usize, u64)> {
    let head = || {
        format!("POST /v1/queues/q/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: {BODY_BYTES}\r\n\r\n")
    };
    let body = Bytes::from(vec![b'x'; BODY_BYTES]);
    let (_, answered) = crowd(to, WHOLES, head, body).await?;
    ensure!(
        answered.keys().all(|status| [0, 202, 503].contains(status)),
        "they got {answered:?}"
    );
    let taken = answered.get(&202).copied().unwrap_or_default();
    ensure!(taken > 0, "none was taken: {answered:?}");
    Ok((taken, peak_mib(server.pid())?))
}

/// Jobs are taken as ever.
async fn accepts(asker: &mut Asker, kept: &mut Vec<(String, Bytes)>) -> Result<()> {
    for n in 0..50 {
        let input = Bytes::from(format!("job {n} of {}", kept.len()));
        let taken = asker
            .expect(202, "POST", "/v1/queues/q/jobs", input.clone())
            .await?;
        kept.push((taken.header("raincheck-job").to_owned(), input));
    }
    Ok(())
}
