//! The real server on a disk that something else fills to its last byte: what is there is finished all the same.
//!
//! Invariant: the disk is full when it is said to be: not a byte more can be written to it by anybody.

use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::ask::Asker;
use super::disk::{Disk, RESUMES_WITHIN, full};
use crate::soak::server::{Server, Start};

/// The disk's size in MiB.
const DISK_MIB: usize = 24;
/// Jobs that are there when the disk is full, and how many of them are held then.
const JOBS: usize = 60;
const HELD: usize = 10;

/// Runs the proof once, on a disk of its own.
pub(super) async fn prove(binary: &str, dir: &Path, say: &dyn Fn(&str)) -> Result<()> {
    let disk = Disk::mount(&dir.join("brimful"), DISK_MIB)?;
    say(&brimful(binary, &disk.0)
        .await
        .context("a disk that something else fills")?);
    Ok(())
}

/// Writes to this file until there is no space.
fn fill(file: &Path) -> Result<()> {
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(file)?;
    for size in [1 << 20, 4096, 1] {
        loop {
            match file.write_all(&vec![1; size]) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => break,
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}

struct Run {
    asker: Asker,
    /// What is held: each lease and its job.
    held: Vec<(String, String)>,
    /// Whose result was taken.
    done: Vec<String>,
}

impl Run {
    async fn submit(&mut self) -> Result<String> {
        let taken = self
            .asker
            .expect(202, "POST", "/v1/queues/q/jobs", vec![7; 600])
            .await?;
        Ok(taken.header("raincheck-job").to_owned())
    }

    async fn claim(&mut self, max: usize) -> Result<()> {
        let wanted = json!({"worker": "w", "max": max}).to_string();
        let claimed = self
            .asker
            .expect(200, "POST", "/v1/queues/q/claim", wanted)
            .await?;
        let leases = claimed.json()?["leases"].as_array().cloned().unwrap_or_default();
        ensure!(leases.len() == max, "{} of {max} were claimed", leases.len());
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let held = leases
            .iter()
            .map(|lease| (text(&lease["lease"]), text(&lease["job"]["id"])));
        self.held.extend(held);
        Ok(())
    }

    /// The oldest of those held is renewed, ends, and is read.
    async fn finish(&mut self) -> Result<()> {
        let (lease, id) = self.held.remove(0);
        self.asker
            .expect(200, "POST", &format!("/v1/leases/{lease}/renew"), "{}")
            .await?;
        self.asker
            .expect(200, "POST", &format!("/v1/leases/{lease}/succeed"), "\"done\"")
            .await?;
        self.asker
            .expect(200, "GET", &format!("/v1/jobs/{id}/result"), "")
            .await?;
        self.done.push(id);
        Ok(())
    }

    async fn refused(&mut self) -> Result<()> {
        let answer = self.asker.ask("POST", "/v1/queues/q/jobs", vec![7; 600]).await?;
        ensure!(
            full(&answer)?,
            "on a full disk a job is answered with {}",
            answer.status
        );
        Ok(())
    }

    /// All that goes on on a full disk, and what does not.
    async fn go_on(&mut self, count: usize) -> Result<()> {
        for _ in 0..count {
            self.finish().await?;
            self.claim(1).await?;
            self.refused().await?;
        }
        let gone = self.done.remove(0);
        self.asker
            .expect(204, "DELETE", &format!("/v1/jobs/{gone}"), "")
            .await?;
        Ok(())
    }

    async fn audit(&mut self) -> Result<()> {
        for id in self.done.clone() {
            let read = self
                .asker
                .expect(200, "GET", &format!("/v1/jobs/{id}/result"), "")
                .await?;
            ensure!(&*read.body == b"\"done\"", "the result of {id}");
        }
        Ok(())
    }
}

/// The bytes that the server holds.
fn held(store: &Path) -> u64 {
    let file = std::fs::metadata(store.join("raincheck.reserve"));
    file.map_or(0, |file| file.blocks() * 512)
}

async fn brimful(binary: &str, disk: &Path) -> Result<String> {
    let store = disk.join("store");
    let filler = disk.join("filler");
    let how = Start {
        words: vec![binary.to_owned()],
        store: store.clone(),
        queues: vec!["q".to_owned()],
    };
    let mut server = Server::start(&how)?;
    let asker = Asker::to(server.ready().await?);
    let mut run = Run {
        asker,
        held: Vec::new(),
        done: Vec::new(),
    };
    let mut waiting = Vec::new();
    for _ in 0..JOBS {
        waiting.push(run.submit().await?);
    }
    run.claim(HELD).await?;
    let before = held(&store);
    fill(&filler)?;
    run.go_on(20)
        .await
        .context("on a disk that is full to the last byte")?;
    let last = waiting.pop().context("a job that waits")?;
    run.asker
        .expect(200, "POST", &format!("/v1/jobs/{last}/cancel"), "")
        .await?;
    run.asker.expect(503, "GET", "/readyz", "").await?;
    ensure!(
        before > 0 && held(&store) == 0,
        "what was held is given up: {before} bytes, {}",
        held(&store)
    );

    let resumed = resumes(&mut run, &filler, &store, before).await?;

    server.kill().await?;
    fill(&filler)?;
    let mut server = Server::start(&how)?;
    run.asker = Asker::to(server.listening().await?);
    run.audit().await.context("started on a full disk")?;
    run.go_on(10).await.context("started on a full disk")?;
    let again = resumes(&mut run, &filler, &store, before).await?;
    run.audit().await?;
    server.kill().await?;
    Ok(format!(
        "disk filled to the last byte by something else: {} jobs finished meanwhile, also after a crash on the full disk; \
         {} and {} ms after there was space again new ones taken",
        run.done.len() + 2,
        resumed.as_millis(),
        again.as_millis()
    ))
}

/// There is space again: new work is taken, and some is held for the next time.
async fn resumes(run: &mut Run, filler: &Path, store: &Path, bytes: u64) -> Result<Duration> {
    std::fs::remove_file(filler)?;
    let since = Instant::now();
    let mut resumed = None;
    while resumed.is_none() || held(store) != bytes {
        ensure!(
            since.elapsed() < RESUMES_WITHIN,
            "there is space again, and {} bytes are held",
            held(store)
        );
        let answer = run.asker.ask("POST", "/v1/queues/q/jobs", vec![7; 600]).await?;
        if !full(&answer)? {
            resumed.get_or_insert_with(|| since.elapsed());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(resumed.unwrap_or_default())
}
