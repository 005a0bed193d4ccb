//! The real server on a disk that stalls: no sync returns for seconds, and then they do.
//!
//! Invariant: the stall is ended by us, never by a time that was guessed, so that whatever is answered meanwhile is answered while
//! nothing can have been synced.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::ask::{Answer, Asker};
use crate::rng::Rng;
use crate::soak::server::{self, Server, Start};
use crate::tree::has;

/// Within what new work is refused, after the server's own five seconds.
const REFUSES_WITHIN: Duration = Duration::from_secs(5 + 2);
/// How soon a refusal, or an answer that needs no disk, is there.
const AT_ONCE: Duration = Duration::from_secs(1);
/// How soon the server works again when the disk does.
const RESUMES_WITHIN: Duration = Duration::from_secs(5);
/// Jobs that are handed over as the stall begins.
const HELD: u64 = 40;
/// Clients of the flood, what each sends one after the other, and its input's bytes.
const FLOODERS: u64 = 8;
const EACH: u64 = 25;
const INPUT_BYTES: usize = 256 << 10;
/// How much more may be resident after the flood, which is a third of what it sent.
const GROWS_KIB: u64 = 16 << 10;

/// A tracer that lets no sync return.
struct Stall(Child);

impl Stall {
    async fn begin(pid: u32) -> Result<Self> {
        let mut strace = Command::new("strace");
        strace
            .args(["-f", "-p", &pid.to_string(), "-e", "trace=fdatasync,fsync"])
            .args([
                "-e",
                "inject=fdatasync,fsync:delay_enter=3600s",
                "-e",
                "signal=none",
            ])
            .args(["-o", "/dev/null"])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        let mut tracer = strace.spawn().context("starting strace")?;
        let began = Instant::now();
        while !traced(pid)? {
            if let Some(status) = tracer.try_wait()? {
                bail!("strace left with {status} (may processes be traced here?), so nothing is proven");
            }
            ensure!(
                began.elapsed() < RESUMES_WITHIN,
                "strace does not trace the server, so nothing is proven"
            );
            sleep(Duration::from_millis(10)).await;
        }
        Ok(Self(tracer))
    }

    /// From now on syncs return, those that are under way as well.
    async fn end(mut self) -> Result<()> {
        let pid = self.0.id().context("strace was running")?;
        server::signal(pid, Signal::TERM)?;
        self.0.wait().await?;
        Ok(())
    }
}

/// Whether every thread of the process is traced.
fn traced(pid: u32) -> Result<bool> {
    for thread in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread may end meanwhile.
        let status = std::fs::read_to_string(thread?.path().join("status")).unwrap_or_default();
        if status.lines().any(|line| line == "TracerPid:\t0") {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What of the process is in memory, in KiB.
fn resident_kib(pid: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next());
    Ok(kib.context("what is resident")?.parse()?)
}

/// Submits a job; its answer, and how long that took.
async fn submit(to: SocketAddr, input: Vec<u8>) -> Result<(Answer, Duration)> {
    let began = Instant::now();
    let answer = Asker::to(to).ask("POST", "/v1/queues/q/jobs", input).await?;
    Ok((answer, began.elapsed()))
}

/// It was refused, at once, and told when to try again.
fn refused(answer: &Answer, took: Duration) -> Result<()> {
    let said = String::from_utf8_lossy(&answer.body);
    ensure!(
        answer.status == 503,
        "while the disk stalls: {}: {said}",
        answer.status
    );
    let after: u64 = answer.header("retry-after").parse().context("Retry-After")?;
    ensure!(after >= 1, "Retry-After: {after}");
    ensure!(
        answer.header("raincheck-outcome") != "unknown",
        "whether it was taken is unknown: {said}"
    );
    ensure!(took < AT_ONCE, "it was refused after {took:?}");
    Ok(())
}

/// What one stall came to.
#[derive(Default)]
struct Came {
    refused_after: Duration,
    held: usize,
    refused: u64,
    grew_kib: u64,
    resumed_after: Duration,
}

/// A server, and the jobs that it took.
struct World {
    to: SocketAddr,
    pid: u32,
    asker: Asker,
    taken: BTreeSet<String>,
}

impl World {
    fn take(&mut self, answer: &Answer) -> Result<()> {
        let said = String::from_utf8_lossy(&answer.body);
        ensure!(
            answer.status == 202,
            "a job was answered with {}: {said}",
            answer.status
        );
        let new = self.taken.insert(answer.header("raincheck-job").to_owned());
        ensure!(new, "two jobs have one id");
        Ok(())
    }

    /// One stall, which goes on for so long after the flood.
    async fn stall(&mut self, longer: Duration) -> Result<Came> {
        let mut came = Came::default();
        let (before, _) = submit(self.to, b"before".to_vec()).await?;
        self.take(&before)?;
        let stall = Stall::begin(self.pid).await?;
        let began = Instant::now();
        let mut held = JoinSet::new();
        for _ in 0..HELD {
            held.spawn(submit(self.to, b"held".to_vec()));
        }
        // Each that is not refused is held as well.
        loop {
            held.spawn(submit(self.to, b"perhaps".to_vec()));
            tokio::select! {
                () = sleep(Duration::from_millis(100)) => {}
                Some(answered) = held.join_next() => {
                    let (answer, took) = answered??;
                    refused(&answer, took)?;
                    break;
                }
            }
            ensure!(
                began.elapsed() < REFUSES_WITHIN,
                "nothing was refused within {REFUSES_WITHIN:?}"
            );
        }
        came.refused_after = began.elapsed();
        let (answer, took) = timed_read(self.to, before.header("raincheck-job")).await?;
        ensure!(
            answer.status == 200 && took < AT_ONCE,
            "reading an input: {} after {took:?}",
            answer.status
        );
        (came.refused, came.grew_kib) = self.flood().await?;
        sleep(longer).await;
        // Two may have been refused as the first was; no other can have an answer while no sync returns.
        while let Some(answered) = held.try_join_next() {
            let (answer, took) = answered??;
            refused(&answer, took)?;
        }
        came.held = held.len();
        stall.end().await?;
        let ended = Instant::now();
        while let Some(answered) = held.join_next().await {
            self.take(&answered??.0)?;
        }
        loop {
            let (answer, _) = submit(self.to, b"after".to_vec()).await?;
            if answer.status == 202 {
                self.take(&answer)?;
                break;
            }
            ensure!(
                ended.elapsed() < RESUMES_WITHIN,
                "new work is still answered with {}",
                answer.status
            );
        }
        came.resumed_after = ended.elapsed();
        ensure!(
            came.resumed_after < RESUMES_WITHIN,
            "what was held was answered after {:?}",
            came.resumed_after
        );
        self.settle_all().await?;
        Ok(came)
    }

    /// Far more than would be taken: how much was refused, which is all, and how much more was resident then.
    async fn flood(&self) -> Result<(u64, u64)> {
        let before = resident_kib(self.pid)?;
        let mut clients = JoinSet::new();
        for _ in 0..FLOODERS {
            let to = self.to;
            clients.spawn(async move {
                let mut asker = Asker::to(to);
                for _ in 0..EACH {
                    let began = Instant::now();
                    let input = vec![b'x'; INPUT_BYTES];
                    let answer = asker.ask("POST", "/v1/queues/q/jobs", input).await?;
                    refused(&answer, began.elapsed())?;
                }
                anyhow::Ok(())
            });
        }
        while let Some(client) = clients.join_next().await {
            client??;
        }
        let grew = resident_kib(self.pid)?.saturating_sub(before);
        ensure!(
            grew < GROWS_KIB,
            "{grew} KiB more were resident after what was refused"
        );
        Ok((FLOODERS * EACH, grew))
    }

    /// Takes and ends every job that there is: those that were taken, each once, and no other.
    async fn settle_all(&mut self) -> Result<()> {
        loop {
            let claim = json!({"worker": "w", "max": 100}).to_string();
            let claimed = self.asker.ask("POST", "/v1/queues/q/claim", claim).await?;
            if claimed.status == 204 {
                break;
            }
            ensure!(
                claimed.status == 200,
                "a claim was answered with {}",
                claimed.status
            );
            for lease in claimed.json()?["leases"].as_array().into_iter().flatten() {
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                let (id, lease) = (text(&lease["job"]["id"]), text(&lease["lease"]));
                ensure!(
                    self.taken.remove(&id),
                    "{id} was handed out, and nobody was told 202 for it"
                );
                let path = format!("/v1/leases/{lease}/succeed");
                self.asker.expect(200, "POST", &path, "1").await?;
            }
        }
        ensure!(
            self.taken.is_empty(),
            "{} jobs were acknowledged and are not there",
            self.taken.len()
        );
        Ok(())
    }
}

/// Reads what lies in the store already.
async fn timed_read(to: SocketAddr, id: &str) -> Result<(Answer, Duration)> {
    let began = Instant::now();
    let answer = Asker::to(to)
        .ask("GET", &format!("/v1/jobs/{id}/input"), "")
        .await?;
    Ok((answer, began.elapsed()))
}

/// Runs the proof.
pub(super) async fn prove(
    binary: &str,
    dir: &Path,
    stalls: u64,
    seed: u64,
    say: &dyn Fn(&str),
) -> Result<()> {
    ensure!(
        has("strace"),
        "strace is missing, so nothing is proven; install it: cargo xtask setup"
    );
    let mut rng = Rng::new(seed);
    let mut server = Server::start(&Start {
        words: vec![binary.to_owned()],
        store: dir.join("stall"),
        queues: vec!["q".to_owned()],
    })?;
    let to = server.ready().await?;
    let mut world = World {
        to,
        pid: server.pid(),
        asker: Asker::to(to),
        taken: BTreeSet::new(),
    };
    let mut most = Came::default();
    for n in 0..stalls {
        // The first is as short as it can be; none is longer than clients wait.
        let longer = Duration::from_millis(if n == 0 { 0 } else { rng.below(8_000) });
        let went = world.stall(longer).await;
        let came = went.with_context(|| format!("stall {n}:\n{}", server.output()))?;
        most.refused_after = most.refused_after.max(came.refused_after);
        most.held += came.held;
        most.refused += came.refused;
        most.grew_kib = most.grew_kib.max(came.grew_kib);
        most.resumed_after = most.resumed_after.max(came.resumed_after);
    }
    server.kill().await?;
    say(&format!(
        "stall: all syncs stalled, {stalls} times: new work refused with 503 after at most {:.1} s, then {} submissions at once, with {} KiB \
         more resident at most; {} that were handed over before all answered 202, and new work taken, within {:.1} s of the \
         disk's going on; nothing that was refused was there",
        most.refused_after.as_secs_f64(),
        most.refused,
        most.grew_kib,
        most.held,
        most.resumed_after.as_secs_f64(),
    ));
    Ok(())
}
