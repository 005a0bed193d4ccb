//! A server to measure, and what is made on it for that.
//!
//! Invariant: whatever a workload made on a server that is somebody else's is taken away again, as far as the server
//! lets us: the queues; finished jobs leave by themselves within a minute.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode};
use raincheck::core::name::QueueName;
use serde::Deserialize;
use tokio::time::Instant;

use super::drive::Window;
use super::meter::Meter;
use super::spawn::{How, Spawned};
use super::wire::Target;
use crate::client::Request;
use crate::exit::{Exit, Failed};
use crate::output::Output;
use crate::progress::Progress;
use crate::session::{About, Session};

/// How long to try to delete a queue whose last leases are still running out.
const DELETE_MAX: Duration = Duration::from_secs(5);
/// How long a server that has just said where it listens may take until it is ready.
const READY_MAX: Duration = Duration::from_secs(60);

/// How much of everything.
#[derive(Clone, Debug)]
pub(super) struct Sizes {
    /// Clients at once.
    pub(super) connections: usize,
    /// Bytes of an input.
    pub(super) bytes: usize,
    /// Seconds that a timed part counts.
    pub(super) seconds: f64,
    /// Connections of workers in `cycle`.
    pub(super) workers: usize,
    /// Jobs in one of their claims.
    pub(super) claim: u32,
    /// Jobs of `arrays`.
    pub(super) jobs: u64,
    /// Idle waiters.
    pub(super) waiters: usize,
    /// Waiters of one job.
    pub(super) told: usize,
    /// Jobs that wait in `backlog`.
    pub(super) waiting: u64,
    /// Finished jobs that are kept in `backlog`.
    pub(super) finished: u64,
    /// Jobs a second of `rate`.
    pub(super) rate: f64,
    /// Readers of `stream`.
    pub(super) readers: usize,
    /// Whether the server is benches/bare.rs, which knows nothing but how to write chunks.
    pub(super) bare: bool,
}

impl Sizes {
    /// When a timed part counts.
    pub(super) fn window(&self) -> Window {
        let measured = Duration::from_secs_f64(self.seconds);
        Window {
            warm_up: (measured / 4).min(Duration::from_secs(1)),
            measured,
        }
    }

    /// One job's input.
    pub(super) fn input(&self) -> Bytes {
        input(self.bytes)
    }
}

/// A JSON object of so many bytes, or the smallest that there is.
pub(super) fn input(bytes: usize) -> Bytes {
    let frame = r#"{"note":""}"#;
    let pad = "x".repeat(bytes.saturating_sub(frame.len()));
    format!(r#"{{"note":"{pad}"}}"#).into()
}

/// Which server.
#[derive(Clone, Debug)]
pub(super) enum Choice {
    /// One that is running, and its process where that is known.
    Running(Box<Session>, Option<u32>),
    /// A new one for every workload.
    ThrowAway(How),
}

/// A server under load.
#[derive(Debug)]
pub(super) struct Rig {
    session: Session,
    spawned: Option<Spawned>,
    pid: Option<u32>,
    queues: Mutex<Vec<QueueName>>,
    made: AtomicU32,
    /// Where the load goes.
    pub(super) target: Target,
    /// How much of everything.
    pub(super) sizes: Sizes,
    /// Shows how far it is.
    pub(super) progress: Progress,
}

impl Rig {
    /// Starts a server, or sees that the one that was named answers.
    pub(super) async fn open(choice: &Choice, sizes: &Sizes, output: Output) -> Result<Self, Failed> {
        let (session, pid, spawned) = match choice {
            Choice::Running(session, pid) => (Session::clone(session), *pid, None),
            Choice::ThrowAway(how) => {
                let spawned = Spawned::start(how).await?;
                let session = Session::new(spawned.address.clone(), output);
                (session, spawned.pid(), Some(spawned))
            }
        };
        let rig = Self {
            target: Target::of(&session.client).await?,
            session,
            spawned,
            pid,
            queues: Mutex::default(),
            made: AtomicU32::default(),
            sizes: sizes.clone(),
            progress: Progress::new(output),
        };
        rig.ready().await?;
        Ok(rig)
    }

    /// Whether the server was started for this.
    pub(super) const fn is_throw_away(&self) -> bool {
        self.spawned.is_some()
    }

    /// Reads what the server uses.
    pub(super) const fn meter(&self) -> Meter {
        Meter { server: self.pid }
    }

    /// The server's program, where it is on this machine.
    pub(super) fn binary(&self) -> Option<PathBuf> {
        std::fs::read_link(format!("/proc/{}/exe", self.pid?)).ok()
    }

    async fn ready(&self) -> Result<(), Failed> {
        let until = Instant::now() + READY_MAX;
        loop {
            let answer = self.session.client.send(Request::get("/readyz")).await;
            let answer = answer.map_err(|error| self.session.unanswered(&error))?;
            if answer.status == StatusCode::OK {
                return Ok(());
            }
            if Instant::now() > until || !self.is_throw_away() {
                return Err(Failed::new(
                    Exit::Unreachable,
                    format!("the server at {} is not ready", self.session.client.address),
                ));
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Starts the server again over what it stored; how long it took until it was ready.
    pub(super) async fn restart(&mut self) -> Result<Option<Duration>, Failed> {
        let Some(spawned) = self.spawned.take() else {
            return Ok(None);
        };
        let spawned = spawned.restart().await?;
        let since = Instant::now();
        self.session = Session::new(spawned.address.clone(), self.session.output);
        self.target = Target::of(&self.session.client).await?;
        self.pid = spawned.pid();
        let started_in = spawned.started_in;
        self.spawned = Some(spawned);
        self.ready().await?;
        Ok(Some(started_in + since.elapsed()))
    }

    /// Makes a queue for a part of a workload.
    pub(super) async fn queue(&self, part: &str) -> Result<QueueName, Failed> {
        self.queue_that_keeps(part, if self.is_throw_away() { "24h" } else { "1m" })
            .await
    }

    /// Makes a queue whose finished jobs stay so long.
    pub(super) async fn queue_that_keeps(&self, part: &str, keep: &str) -> Result<QueueName, Failed> {
        let n = self.made.fetch_add(1, Ordering::Relaxed);
        let part = part.replace(' ', "-");
        let name = format!("bench-{}-{n}-{part}", std::process::id());
        let name = QueueName::new(&name).map_err(|error| Failed::new(Exit::Failure, error.to_string()))?;
        let settings = serde_json::json!({
            "worker": "pull", "depth": u32::MAX, "keep": keep, "keep_failed": keep,
        });
        let request = Request::new(Method::PUT, format!("/v1/queues/{name}")).body(
            Some(HeaderValue::from_static("application/json")),
            settings.to_string().into(),
        );
        self.session.call(request, About::Queue(&name)).await?;
        if let Ok(mut queues) = self.queues.lock() {
            queues.push(name.clone());
        }
        Ok(name)
    }

    /// Cancels what waits in the queue.
    pub(super) async fn purge(&self, queue: &QueueName) -> Result<(), Failed> {
        let request = Request::post(format!("/v1/queues/{queue}/purge"));
        self.session.call(request, About::Queue(queue)).await.map(drop)
    }

    /// How many jobs of the queue have succeeded and are kept.
    pub(super) async fn kept(&self, queue: &QueueName) -> Result<u64, Failed> {
        #[derive(Deserialize)]
        struct Document {
            counts: Counts,
        }
        #[derive(Deserialize)]
        struct Counts {
            succeeded: u64,
        }
        let request = Request::get(format!("/v1/queues/{queue}"));
        let answer = self.session.call(request, About::Queue(queue)).await?;
        Ok(answer.json::<Document>()?.counts.succeeded)
    }

    /// Takes away what was made; in a server that goes away itself there is nothing to do.
    pub(super) async fn close(self) {
        self.progress.clear();
        if let Some(spawned) = self.spawned {
            return spawned.end().await;
        }
        for queue in self.queues.into_inner().unwrap_or_default() {
            if let Err(failed) = delete(&self.session, &queue).await {
                let next = self.session.command(&format!("queue delete {queue} --yes"));
                self.session
                    .output
                    .note(&format!("queue {queue} is still there ({failed}); later: {next}"));
            }
        }
    }
}

async fn delete(session: &Session, queue: &QueueName) -> Result<(), Failed> {
    let until = Instant::now() + DELETE_MAX;
    loop {
        let purge = Request::post(format!("/v1/queues/{queue}/purge"));
        session.call(purge, About::Queue(queue)).await?;
        let delete = Request::new(Method::DELETE, format!("/v1/queues/{queue}"));
        match session.call(delete, About::Queue(queue)).await {
            Err(failed) if failed.exit == Exit::Conflict && Instant::now() < until => {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            ended => return ended.map(drop),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_is_json_of_the_size_that_was_asked_for() {
        for bytes in [11, 100, 200] {
            let input = input(bytes);
            assert_eq!(input.len(), bytes);
            assert!(serde_json::from_slice::<serde_json::Value>(&input).is_ok());
        }
        assert_eq!(input(0).len(), 11);
    }
}
