//! `raincheck bench`: loads a server over HTTP, the way clients and workers do, and tells what it did and what it cost.
//!
//! ```text
//! workloads ── Rig ── Target ── Wire ══HTTP══► server: thrown away afterwards, or the one that --url names
//!                └── Meter ─── /proc ────────────┘
//! ```
//!
//! Invariants: a server that is somebody else's is loaded only when the command line itself names it; every load is
//! bounded in number and in time; what was measured before a failure is still shown.

mod arrays;
mod backlog;
mod batch;
mod cycle;
mod drive;
mod figures;
mod meter;
mod rate;
mod rig;
mod size;
mod spawn;
mod stream;
mod submit;
mod waiters;
mod webhooks;
mod wire;
mod worker;

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use self::figures::{Row, Setting};
use self::rig::{Choice, Rig, Sizes};
use self::spawn::How;
use crate::disk::{self, Disk};
use crate::exit::{Exit, Failed};
use crate::output::Output;
use crate::session::Session;

const EXAMPLES: &str = "\
Workloads:
  submit   clients submit one job at a time: plainly, and with an idempotency key each
  arrays   jobs in arrays of 1,000, claimed and settled by 100; without and with workers
  batch    one upload of as many jobs, a line each
  cycle    submit, work and redeem: by long-poll, and in the submit's own answer
  waiters  memory of idle long-polls; the time until all who wait for one job are told
  backlog  the others again with many jobs waiting and many kept; memory and start-up
  rate     jobs at a steady pace; times are counted from when each one was due
  stream   readers of one job's output, 50 pieces of text a second; here a job is a piece at a reader
  webhooks jobs with a callback, worked, until a receiver in this process has been told of each
  size     the program on disk, and an idle server in memory

Without --url the server is one of this program's own, new for each workload, and thrown away with
its store. A server that is named with --url gets queues named bench-…, deleted afterwards.
RAINCHECK_URL is not enough to have a server loaded. CPU and memory are read from /proc: of a server
started here, or the one that --server-pid names. On a busy machine, or a disk in memory, figures
say little; notes tell.

Examples:
  raincheck bench                                 a round of everything, in about a minute
  raincheck bench submit cycle --pin --seconds 5  server on core 0, load on core 1
  raincheck bench backlog --waiting 1000000 --finished 1000000 --json
  raincheck bench rate --rate 200 --url http://127.0.0.1:7246 --server-pid 4711";

/// Measures a server.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Bench {
    /// What to measure; everything unless given
    #[arg(value_name = "WORKLOAD", value_enum, hide_possible_values = true)]
    workloads: Vec<Workload>,
    /// The smallest sizes, to see that everything works
    #[arg(long)]
    quick: bool,
    /// How long each timed part counts, in seconds [default: 2]
    #[arg(long, value_name = "N", value_parser = seconds)]
    seconds: Option<f64>,
    /// Clients at once in submit and cycle [default: 64]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    connections: Option<u32>,
    /// Bytes of an input, but in arrays, where it is 200 [default: 100]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(11..=1_000_000))]
    bytes: Option<u32>,
    /// Connections of workers in cycle and rate [default: 2]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    workers: Option<u32>,
    /// Jobs that such a worker claims and settles at once [default: 32]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    claim: Option<u32>,
    /// Jobs of arrays and batch [default: 20000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    jobs: Option<u64>,
    /// Idle waiters [default: 5000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    waiters: Option<u32>,
    /// Waiters of one job [default: 5000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    told: Option<u32>,
    /// Jobs that wait in backlog [default: 50000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=20_000_000))]
    waiting: Option<u64>,
    /// Finished jobs that are kept in backlog [default: 50000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=20_000_000))]
    finished: Option<u64>,
    /// Jobs a second in rate [default: 200]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: Option<u32>,
    /// Readers of stream [default: 1000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    readers: Option<u32>,
    /// The server that --url names is benches/bare.rs, the least that stream can be compared with
    #[arg(long)]
    bare: bool,
    /// Keep the server on one core and the load on another; 0,1 unless said
    #[arg(long, value_name = "SERVER,CLIENT", num_args = 0..=1, require_equals = true,
          default_missing_value = "0,1", value_parser = cores)]
    pin: Option<(usize, usize)>,
    /// The process of the server that --url names, to read its CPU and memory
    #[arg(long, value_name = "PID")]
    server_pid: Option<u32>,
    /// Where the throw-away store lies [default: the system's folder for temporary files]
    #[arg(long, value_name = "DIRECTORY")]
    folder: Option<PathBuf>,
}

/// Something to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Workload {
    Submit,
    Arrays,
    Batch,
    Cycle,
    Waiters,
    Backlog,
    Rate,
    Stream,
    Webhooks,
    Size,
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds = text
        .parse()
        .ok()
        .filter(|seconds| (0.1..=600.0).contains(seconds));
    seconds.ok_or_else(|| "takes a number of seconds, 0.1 to 600".to_owned())
}

fn cores(text: &str) -> Result<(usize, usize), String> {
    let read = |core: &str| core.trim().parse().ok();
    let both = text
        .split_once(',')
        .and_then(|(server, client)| Some((read(server)?, read(client)?)));
    both.ok_or_else(|| "takes two cores such as 0,1".to_owned())
}

impl Bench {
    /// Runs the command; `named` is the server that the command line itself names.
    pub(crate) async fn run(self, output: Output, named: Option<Session>) -> Result<(), Failed> {
        let sizes = self.sizes();
        let nobody_named = named.is_none();
        let choice = self.choice(named)?;
        let workloads = if self.workloads.is_empty() {
            Workload::value_variants().to_vec()
        } else {
            self.workloads
        };
        if self.bare && (workloads != [Workload::Stream] || nobody_named) {
            return Err(Failed::usage(
                "--bare is for stream alone, and for a server that --url names",
            ));
        }
        if workloads.contains(&Workload::Waiters) {
            waiters::prepare(sizes.waiters.max(sizes.told))?;
        }
        if workloads.contains(&Workload::Stream) {
            waiters::prepare(sizes.readers)?;
        }
        let setting = Setting {
            server: match &choice {
                Choice::Running(session, _) => session.client.address.to_string().into(),
                Choice::ThrowAway(_) => "throw-away".into(),
            },
            pinned: self.pin,
        };
        if let Choice::ThrowAway(How { folder, .. }) = &choice
            && disk::kind(folder) == Disk::Memory
        {
            output.note(
                "The store lies in memory, where a sync costs nothing: name a disk with --folder DIRECTORY",
            );
        }
        let mut rows = Vec::new();
        let mut ended = Ok(());
        for workload in workloads {
            ended = measure(workload, &choice, &sizes, output, &mut rows).await;
            if ended.is_err() {
                break;
            }
        }
        if ended.is_ok() || !rows.is_empty() {
            figures::write(output, &setting, &rows)?;
        }
        ended
    }

    fn sizes(&self) -> Sizes {
        let quick = self.quick;
        let of = |given: Option<u32>, usual: u32, small: u32| {
            given.unwrap_or(if quick { small } else { usual }) as usize
        };
        let many = |given: Option<u64>, usual: u64| given.unwrap_or(if quick { 500 } else { usual });
        Sizes {
            connections: of(self.connections, 64, 8),
            bytes: of(self.bytes, 100, 100),
            seconds: self.seconds.unwrap_or(if quick { 0.2 } else { 2.0 }),
            workers: of(self.workers, 2, 2),
            claim: self.claim.unwrap_or(32),
            jobs: many(self.jobs, 20_000),
            waiters: of(self.waiters, 5_000, 50),
            told: of(self.told, 5_000, 50),
            waiting: many(self.waiting, 50_000),
            finished: many(self.finished, 50_000),
            rate: f64::from(self.rate.unwrap_or(200)),
            readers: of(self.readers, 1_000, 20),
            bare: self.bare,
        }
    }

    fn choice(&self, named: Option<Session>) -> Result<Choice, Failed> {
        if let Some(session) = named {
            if self.folder.is_some() {
                return Err(Failed::usage(
                    "--folder is for a server that is started here, and --url names another",
                ));
            }
            if let Some((_, client)) = self.pin {
                spawn::pin(client)?;
            }
            return Ok(Choice::Running(Box::new(session), self.server_pid));
        }
        if self.server_pid.is_some() {
            return Err(Failed::usage(
                "--server-pid needs --url: what is started here is known",
            ));
        }
        Ok(Choice::ThrowAway(How {
            folder: std::path::absolute(self.folder.clone().unwrap_or_else(std::env::temp_dir))?,
            pinned: self.pin,
        }))
    }
}

/// One workload, and the server left as it was.
async fn measure(
    workload: Workload,
    choice: &Choice,
    sizes: &Sizes,
    output: Output,
    rows: &mut Vec<Row>,
) -> Result<(), Failed> {
    if workload == Workload::Backlog && matches!(choice, Choice::ThrowAway(_)) {
        let rig = Rig::open(choice, sizes, output).await?;
        let ended = unless_interrupted(backlog::memory(&rig, rows)).await;
        rig.close().await;
        ended?;
    }
    let mut rig = Rig::open(choice, sizes, output).await?;
    let load = async {
        match workload {
            Workload::Submit => submit::run(&rig, rows).await,
            Workload::Arrays => arrays::run(&rig, rows).await,
            Workload::Batch => batch::run(&rig, rows).await,
            Workload::Cycle => cycle::run(&rig, rows).await,
            Workload::Waiters => waiters::run(&rig, rows).await,
            Workload::Backlog => backlog::run(&mut rig, rows).await,
            Workload::Rate => rate::run(&rig, rows).await,
            Workload::Stream => stream::run(&rig, rows).await,
            Workload::Webhooks => webhooks::run(&rig, rows).await,
            Workload::Size => size::run(&rig, rows).await,
        }
    };
    let ended = unless_interrupted(load).await;
    rig.close().await;
    ended
}

async fn unless_interrupted(load: impl Future<Output = Result<(), Failed>>) -> Result<(), Failed> {
    tokio::select! {
        ended = load => ended,
        _ = tokio::signal::ctrl_c() => Err(Failed::silent(Exit::Interrupted)),
    }
}
