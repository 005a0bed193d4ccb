//! The real server on a disk that fills up: nothing new is taken, what is there is finished, and it goes on by itself.
//!
//! Invariant: a disk of our own that cannot be had is a failure that says so, never a proof that was skipped.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use serde_json::json;
use tokio::time::Instant;

use super::ask::{Answer, Asker};
use super::brim;
use crate::rng::Rng;
use crate::soak::server::{Server, Start};

/// The disk's size in MiB, and what lies on it that is taken away later.
pub(super) const DISK_MIB: usize = 64;
const FILLER_MIB: usize = 24;
/// Bytes of an input: at most.
const INPUT_BYTES_MAX: usize = 60 << 10;
/// No more jobs than would fill the disk twice.
const JOBS_MAX: usize = 4_000;
/// How long the server may take to notice that there is space again.
pub(super) const RESUMES_WITHIN: Duration = Duration::from_secs(5);

/// A disk in memory, gone when dropped.
pub(super) struct Disk(pub(super) PathBuf);

impl Disk {
    pub(super) fn mount(at: &Path, mib: usize) -> Result<Self> {
        std::fs::create_dir_all(at)?;
        let size = format!("size={mib}m");
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

    /// From now on nothing on it can be changed.
    pub(super) fn read_only(&self) -> Result<()> {
        let mounted = Command::new("mount")
            .args(["-o", "remount,ro"])
            .arg(&self.0)
            .status()?;
        ensure!(mounted.success(), "the disk cannot be made read-only");
        Ok(())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // It goes with the machine otherwise.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Runs the proof `cycles` times.
pub(super) async fn prove(
    binary: &str,
    dir: &Path,
    cycles: u64,
    seed: u64,
    say: &dyn Fn(&str),
) -> Result<()> {
    for cycle in 0..cycles {
        let disk = Disk::mount(&dir.join(format!("disk-{cycle}")), DISK_MIB)?;
        let mut run = Run {
            asker: Asker::default(),
            rng: Rng::new(seed.wrapping_add(cycle)),
            kept: HashMap::new(),
        };
        let went = run.full(binary, &disk.0).await;
        say(&went.with_context(|| format!("a disk that fills up, seed {seed}, cycle {cycle}"))?);
    }
    brim::prove(binary, dir, say).await
}

/// Whether it is a refusal for want of space, as it should be.
pub(super) fn full(answer: &Answer) -> Result<bool> {
    if answer.status != 507 {
        return Ok(false);
    }
    let problem = answer.json()?;
    ensure!(problem["code"] == "disk-full", "507 is {problem}");
    ensure!(
        !answer.header("retry-after").is_empty(),
        "507 says when to try again"
    );
    ensure!(
        answer.header("raincheck-job").is_empty(),
        "a refusal names no job"
    );
    Ok(true)
}

struct Run {
    asker: Asker,
    rng: Rng,
    /// What was promised: each job's input.
    kept: HashMap<String, Bytes>,
}

impl Run {
    async fn submit(&mut self) -> Result<Answer> {
        let size = usize::try_from(self.rng.below(INPUT_BYTES_MAX as u64))?;
        let input: Bytes = (0..size).map(|_| self.rng.next().to_le_bytes()[7]).collect();
        let answer = self.asker.ask("POST", "/v1/queues/q/jobs", input.clone()).await?;
        if answer.status == 202 {
            self.kept.insert(answer.header("raincheck-job").to_owned(), input);
        }
        Ok(answer)
    }

    /// Submits until there is no space; how many were taken.
    async fn fill(&mut self) -> Result<usize> {
        for taken in 0..JOBS_MAX {
            let answer = self.submit().await?;
            if full(&answer)? {
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
        let claimed = self.asker.ask("POST", "/v1/queues/q/claim", claim).await?;
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
            let done = self.asker.ask("POST", &path, "\"done\"").await?;
            ensure!(done.status == 200, "a success was answered with {}", done.status);
            let id = lease["job"]["id"].as_str().unwrap_or_default().to_owned();
            let read = self
                .asker
                .ask("GET", &format!("/v1/jobs/{id}/result"), "")
                .await?;
            ensure!(
                (read.status, &*read.body) == (200, b"\"done\"".as_slice()),
                "the result of {id}"
            );
            if n % 2 == 0 {
                let deleted = self.asker.ask("DELETE", &format!("/v1/jobs/{id}"), "").await?;
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
            let read = self.asker.ask("GET", &format!("/v1/jobs/{id}/input"), "").await?;
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
        self.asker = Asker::to(server.ready().await?);
        let first = self.fill().await?;
        let ready = self.asker.ask("GET", "/readyz", "").await?;
        ensure!(ready.status == 503, "a full server says that it is ready");
        ensure!(ready.json()?["checks"]["store"] == "full", "readiness says why");
        self.finish(16).await.context("on a full disk")?;

        std::fs::remove_file(&filler)?;
        let since = Instant::now();
        while full(&self.submit().await?)? {
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
        self.asker = Asker::to(server.listening().await?);
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
