//! `cargo xtask soak kill`: the real server under load, killed at random moments, and every promise checked.
//!
//! ```text
//!   clients ──HTTP──► raincheck serve ──push──► receiver
//!      │    pull workers ──┤  ▲ └─command─► handler.sh ──► handler.log
//!      │               SIGKILL restart                        │
//!      └────────────► desk: the ledger ◄──────────────────────┘
//! ```
//!
//! Invariant: nothing of the server is linked or trusted; it is a program, a directory and the contract in API.md.

pub(crate) mod audit;
pub(crate) mod desk;
pub(crate) mod http;
mod load;
pub(crate) mod plan;
mod receiver;
mod report;
pub(crate) mod server;
mod wire;
mod worker;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::ledger::Event;
use crate::rng::Rng;
use desk::Desk;
use receiver::{Receiver, Script};
use report::Report;
use server::{Server, Start};

/// Pull workers at once.
const WORKERS: u64 = 3;
/// Clients at once.
const CLIENTS: u64 = 10;
/// The longest pause of a client between two requests: it sets the load.
const PAUSE_MS_MAX: u64 = 12;
/// Jobs that a long run keeps in sight; older ones are deleted and checked to be gone.
const JOBS_KEPT: usize = 8_000;
/// How long a server may take to leave when it is asked to: its drain is 25 s.
const LEAVES_WITHIN: Duration = Duration::from_secs(40);

/// How the crash test is to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// How often the server is killed.
    pub cycles: u64,
    /// What the load and the kills are drawn from.
    pub seed: u64,
    /// The server.
    pub binary: PathBuf,
    /// Whether the store and the logs stay when the run passes; they always stay when it fails.
    pub keep: bool,
}

/// Runs the crash test.
///
/// # Errors
/// When a promise was broken, the server misbehaved, or the run could not be made.
pub fn kill(options: &Options, say: &(dyn Fn(&str) + Sync), progress: &(dyn Fn(&str) + Sync)) -> Result<()> {
    let mut dir = tempfile::Builder::new().prefix("raincheck-soak-").tempdir()?;
    progress(&format!(
        "soak kill: seed {}, {} cycles; repeat it with --seed {}",
        options.seed, options.cycles, options.seed
    ));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let desk = Arc::new(runtime.block_on(async { Desk::new(options.seed) }));
    let mut report = Report::default();
    let went = runtime.block_on(async {
        let mut run = Run::prepare(options, dir.path(), desk.clone()).await?;
        let went = run.all(options, &mut report, progress).await;
        went.with_context(|| run.last_words.clone())
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    let ledger = desk.ledger();
    report.print(
        options,
        &ledger,
        desk.silent.load(std::sync::atomic::Ordering::Relaxed),
        say,
    );
    let trouble = report.trouble(options, &ledger);
    if options.keep || went.is_err() || !trouble.is_empty() {
        dir.disable_cleanup(true);
        std::fs::write(dir.path().join("ledger.txt"), ledger.dump()).context("writing the ledger")?;
        say(&format!("store and logs: {}", dir.path().display()));
    }
    went?;
    if !trouble.is_empty() {
        report.explain(&ledger, say);
        bail!("seed {}: {}", options.seed, trouble.join("; "));
    }
    Ok(())
}

struct Run {
    desk: Arc<Desk>,
    rng: Rng,
    receiver: Receiver,
    script: Script,
    how: Start,
    clients: JoinSet<()>,
    workers: JoinSet<()>,
    /// Where in the list of jobs the last audit ended.
    audited: usize,
    last_words: String,
}

impl Run {
    async fn prepare(options: &Options, dir: &Path, desk: Arc<Desk>) -> Result<Self> {
        let rng = Rng::new(options.seed);
        let receiver = Receiver::start(desk.clone()).await?;
        let script = Script::create(dir)?;
        let how = Start {
            words: vec![server::copy(&options.binary, dir)?],
            store: dir.join("store"),
            queues: vec![
                format!("{}=http://{}/jobs", plan::PUSH, receiver.address),
                format!("{}=cmd:sh '{}'", plan::PROCESS, script.path.display()),
                plan::PULL.to_owned(),
                plan::WORKED.to_owned(),
            ],
        };
        let mut clients = JoinSet::new();
        for n in 0..CLIENTS {
            clients.spawn(load::client(desk.clone(), rng.fork(1_000 + n), PAUSE_MS_MAX));
        }
        let mut workers = JoinSet::new();
        for n in 0..WORKERS {
            workers.spawn(worker::worker(desk.clone(), rng.fork(2_000 + n), n));
        }
        Ok(Self {
            desk,
            rng: rng.fork(1),
            receiver,
            script,
            how,
            clients,
            workers,
            audited: 0,
            last_words: String::new(),
        })
    }

    async fn all(
        &mut self,
        options: &Options,
        report: &mut Report,
        progress: &(dyn Fn(&str) + Sync),
    ) -> Result<()> {
        let every = (options.cycles / 10).max(1);
        for cycle in 1..=options.cycles {
            self.cycle(report)
                .await
                .with_context(|| format!("in cycle {cycle}"))?;
            let found = self.desk.ledger().violations().len();
            if cycle % every == 0 || found > 0 {
                let tally = *self.desk.ledger().tally();
                progress(&format!(
                    "cycle {cycle}/{}: {} submits acknowledged, {} in doubt, {} attempts, {found} violations",
                    options.cycles, tally.acknowledged, tally.unknown, tally.handed
                ));
            }
            if found > 0 {
                return Ok(());
            }
        }
        self.end(report).await.context("at the end")
    }

    async fn start(&mut self) -> Result<Server> {
        self.desk.record(Event::Started);
        let server = Server::start(&self.how)?;
        self.desk.started(server.pid());
        Ok(server)
    }

    /// One life of a server: start, look, load, kill.
    async fn cycle(&mut self, report: &mut Report) -> Result<()> {
        let began = Instant::now();
        let mut server = self.start().await?;
        if self.rng.chance(1, 10) {
            // Killed while it starts or recovers.
            tokio::time::sleep(Duration::from_millis(self.rng.below(60))).await;
            report.kills_starting += 1;
            return self.bury(server).await;
        }
        let to = self.keep_words(server.ready().await, &server)?;
        report.ready.push(began.elapsed());
        self.audit(to).await;
        self.desk.address.send_replace(Some(to));
        tokio::time::sleep(Duration::from_millis(30 + self.rng.below(900))).await;
        if self.rng.chance(1, 10) {
            // Killed while it drains.
            server.terminate()?;
            tokio::time::sleep(Duration::from_millis(self.rng.below(150))).await;
            report.kills_draining += 1;
        } else {
            report.kills_working += 1;
            if let Some(status) = server.gone()? {
                self.last_words = server.output();
                bail!("the server left by itself: {status}");
            }
        }
        self.bury(server).await
    }

    /// Kills the server and waits until nothing of it is left.
    async fn bury(&mut self, mut server: Server) -> Result<()> {
        server.kill().await?;
        self.desk.address.send_replace(None);
        self.last_words = server.output();
        let idle = timeout(Duration::from_secs(10), self.receiver.idle()).await;
        idle.context("connections of a dead server did not end")?;
        self.script.collect(&self.desk)
    }

    /// After a restart: everything that the last server was told, and a sample of what is older.
    async fn audit(&mut self, to: std::net::SocketAddr) {
        let mut jobs = self.desk.jobs_from(self.audited);
        self.audited += jobs.len();
        for _ in 0..100 {
            jobs.extend(
                self.desk
                    .job(|count| usize::try_from(self.rng.below(count as u64)).unwrap_or(0)),
            );
        }
        audit::look(&self.desk, to, jobs).await;
        audit::resolve(&self.desk, to).await;
        if self.audited > JOBS_KEPT + JOBS_KEPT / 10 {
            audit::retire(&self.desk, to, JOBS_KEPT).await;
            self.audited = self.desk.jobs_from(0).len();
        }
    }

    /// No kills any more: everything finishes, is looked at, and is still the same after an orderly restart.
    async fn end(&mut self, report: &mut Report) -> Result<()> {
        let mut server = self.start().await?;
        let to = self.keep_words(server.ready().await, &server)?;
        self.desk.close();
        self.desk.address.send_replace(Some(to));
        while self.clients.join_next().await.is_some() {}
        audit::resolve(&self.desk, to).await;
        let began = Instant::now();
        let settled = audit::settle(&self.desk, to).await;
        self.keep_words(settled, &server)?;
        self.desk.send_workers_home();
        while self.workers.join_next().await.is_some() {}
        report.settled = began.elapsed();
        let jobs: Vec<_> = self.desk.ledger().jobs().cloned().collect();
        report.jobs = jobs.len();
        audit::look(&self.desk, to, jobs).await;
        let counted = audit::count(&self.desk, to).await;
        self.keep_words(counted, &server)?;
        self.script.collect(&self.desk)?;
        let began = Instant::now();
        server.terminate()?;
        let left = server.left(LEAVES_WITHIN).await?;
        report.left = began.elapsed();
        if !left.success() {
            self.last_words = server.output();
            bail!("asked to stop, the server left with {left}");
        }
        let mut server = self.start().await?;
        let to = self.keep_words(server.ready().await, &server)?;
        let mut jobs: Vec<_> = self.desk.ledger().jobs().cloned().collect();
        jobs.truncate(5_000);
        audit::look(&self.desk, to, jobs).await;
        self.bury(server).await
    }

    fn keep_words<T>(&mut self, result: Result<T>, server: &Server) -> Result<T> {
        if result.is_err() {
            self.last_words = server.output();
        }
        result
    }
}
