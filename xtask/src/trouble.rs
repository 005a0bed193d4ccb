//! `cargo xtask trouble`: the real server on a disk that fills up.
//!
//! Invariant: a disk of our own that cannot be had is a failure that says so, never a proof that was skipped.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use hyper::HeaderMap;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::rng::Rng;
use crate::soak::http::{Client, Sent};
use crate::soak::server::{self, Server, Start};

/// The disk's size in MiB, and what lies on it that is taken away later.
const DISK_MIB: usize = 64;
const FILLER_MIB: usize = 24;
/// Bytes of an input: at most.
const INPUT_BYTES_MAX: usize = 60 << 10;
/// No more jobs than would fill the disk twice.
const JOBS_MAX: usize = 4_000;
/// How long the server may take to notice that there is space again.
const RESUMES_WITHIN: Duration = Duration::from_secs(5);

/// A disk in memory, gone when dropped.
struct Disk(PathBuf);

impl Disk {
    fn mount(at: &Path) -> Result<Self> {
        std::fs::create_dir_all(at)?;
        let size = format!("size={DISK_MIB}m");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(at)
            .output()
            .context("mount")?;
        let said = String::from_utf8_lossy(&mounted.stderr).into_owned();
        ensure!(
            mounted.status.success(),
            "a small disk cannot be mounted, so nothing is proven; run as root: {said}"
        );
        Ok(Self(at.to_owned()))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // It goes with the machine otherwise.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Runs the proof `cycles` times.
///
/// # Errors
/// When it fails, or a disk cannot be mounted.
pub fn prove(binary: &Path, cycles: u64, seed: u64, say: &dyn Fn(&str)) -> Result<()> {
    let dir = tempfile::Builder::new().prefix("raincheck-trouble-").tempdir()?;
    let binary = server::copy(binary, dir.path())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    for cycle in 0..cycles {
        let disk = Disk::mount(&dir.path().join(format!("disk-{cycle}")))?;
        let mut run = Run {
            to: SocketAddr::from(([127, 0, 0, 1], 0)),
            client: Client::default(),
            rng: Rng::new(seed.wrapping_add(cycle)),
            kept: HashMap::new(),
        };
        let went = runtime.block_on(run.full(&binary, &disk.0));
        say(&went.with_context(|| format!("a disk that fills up, seed {seed}, cycle {cycle}"))?);
    }
    Ok(())
}

/// An answer.
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default()
    }

    fn json(&self) -> Result<Value> {
        serde_json::from_slice(&self.body).context("the answer is JSON")
    }

    /// A refusal for want of space, as it should be.
    fn full(&self) -> Result<bool> {
        if self.status != 507 {
            return Ok(false);
        }
        let problem = self.json()?;
        ensure!(problem["code"] == "disk-full", "507 is {problem}");
        ensure!(
            !self.header("retry-after").is_empty(),
            "507 says when to try again"
        );
        ensure!(self.header("raincheck-job").is_empty(), "a refusal names no job");
        Ok(true)
    }
}

struct Run {
    to: SocketAddr,
    client: Client,
    rng: Rng,
    /// What was promised: each job's input.
    kept: HashMap<String, Bytes>,
}

impl Run {
    async fn ask(&mut self, method: &str, path: &str, body: impl Into<Bytes>) -> Result<Answer> {
        let json = [("Content-Type", "application/json".to_owned())];
        let headers = if path.ends_with("/jobs") {
            &[][..]
        } else {
            &json[..]
        };
        match self
            .client
            .send(self.to, method, path, headers, body.into())
            .await
        {
            Sent::Answered {
                status,
                headers,
                body: Some(body),
            } => Ok(Answer {
                status,
                headers,
                body,
            }),
            other @ (Sent::Unsent | Sent::Lost | Sent::Silent | Sent::Answered { .. }) => {
                bail!("{method} {path} was not answered: {other:?}")
            }
        }
    }

    async fn submit(&mut self) -> Result<Answer> {
        let size = usize::try_from(self.rng.below(INPUT_BYTES_MAX as u64))?;
        let input: Bytes = (0..size).map(|_| self.rng.next().to_le_bytes()[7]).collect();
        let answer = self.ask("POST", "/v1/queues/q/jobs", input.clone()).await?;
        if answer.status == 202 {
            self.kept.insert(answer.header("raincheck-job").to_owned(), input);
        }
        Ok(answer)
    }

    /// Submits until there is no space; how many were taken.
    async fn fill(&mut self) -> Result<usize> {
        for taken in 0..JOBS_MAX {
            let answer = self.submit().await?;
            if answer.full()? {
                return Ok(taken);
            }
            ensure!(
                answer.status == 202,
                "a submit was answered with {}",
                answer.status
            );
        }
        bail!("{JOBS_MAX} jobs did not fill {DISK_MIB} MiB")
    }

    /// What is there is claimed, finished, read and deleted.
    async fn finish(&mut self, count: usize) -> Result<()> {
        let claim = json!({"worker": "w", "max": count}).to_string();
        let claimed = self.ask("POST", "/v1/queues/q/claim", claim).await?;
        ensure!(
            claimed.status == 200,
            "a claim was answered with {}",
            claimed.status
        );
        let leases = claimed.json()?["leases"].as_array().cloned().unwrap_or_default();
        ensure!(leases.len() == count, "{} of {count} were claimed", leases.len());
        for (n, lease) in leases.iter().enumerate() {
            let path = format!(
                "/v1/leases/{}/succeed",
                lease["lease"].as_str().unwrap_or_default()
            );
            let done = self.ask("POST", &path, "\"done\"").await?;
            ensure!(done.status == 200, "a success was answered with {}", done.status);
            let id = lease["job"]["id"].as_str().unwrap_or_default().to_owned();
            let read = self.ask("GET", &format!("/v1/jobs/{id}/result"), "").await?;
            ensure!(
                (read.status, &*read.body) == (200, b"\"done\"".as_slice()),
                "the result of {id}"
            );
            if n % 2 == 0 {
                let deleted = self.ask("DELETE", &format!("/v1/jobs/{id}"), "").await?;
                ensure!(
                    deleted.status == 204,
                    "a deletion was answered with {}",
                    deleted.status
                );
                self.kept.remove(&id);
            }
        }
        Ok(())
    }

    /// Every promise is kept, to the byte.
    async fn audit(&mut self) -> Result<()> {
        let kept: Vec<_> = self
            .kept
            .iter()
            .map(|(id, input)| (id.clone(), input.clone()))
            .collect();
        for (id, input) in kept {
            let read = self.ask("GET", &format!("/v1/jobs/{id}/input"), "").await?;
            ensure!(
                read.status == 200 && read.body == input,
                "the input of {id}: {}",
                read.status
            );
        }
        Ok(())
    }

    async fn full(&mut self, binary: &str, disk: &Path) -> Result<String> {
        let filler = disk.join("filler");
        std::fs::write(&filler, vec![1; FILLER_MIB << 20])?;
        let how = Start {
            words: vec![binary.to_owned()],
            store: disk.join("store"),
            queues: vec!["q".to_owned()],
        };
        let mut server = Server::start(&how)?;
        self.to = server.ready().await?;
        let first = self.fill().await?;
        let ready = self.ask("GET", "/readyz", "").await?;
        ensure!(ready.status == 503, "a full server says that it is ready");
        ensure!(ready.json()?["checks"]["store"] == "full", "readiness says why");
        self.finish(16).await.context("on a full disk")?;

        std::fs::remove_file(&filler)?;
        let since = Instant::now();
        while self.submit().await?.full()? {
            ensure!(
                since.elapsed() < RESUMES_WITHIN,
                "there is space, and it is not noticed"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let resumed = since.elapsed();
        let second = self.fill().await?;
        self.finish(16).await.context("on a disk that is full again")?;
        self.audit().await?;

        server.kill().await?;
        let mut server = Server::start(&how)?;
        // It is not ready for new work, and says so to whoever asks.
        self.to = server.listening().await?;
        self.client = Client::default();
        self.audit().await.context("after a crash on a full disk")?;
        self.finish(8).await.context("after a crash on a full disk")?;
        server.kill().await?;
        Ok(format!(
            "disk full: {first} jobs taken, then refused; {} ms after there was space again taken by itself, {second} more; \
             {} promises kept over a crash on the full disk",
            resumed.as_millis(),
            self.kept.len()
        ))
    }
}
