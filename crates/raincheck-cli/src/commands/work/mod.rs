//! `raincheck work`: works a queue with a program, from anywhere.
//!
//! One process a job ([`pull`]): claims over HTTP, runs the program, settles. Or programs that do so by themselves and are
//! kept alive ([`keep_alive`]). Invariant: whatever happens to this
//! process, its server or the line between them, a job that was claimed is settled, released, or its lease lapses.

mod attempt;
mod bench;
mod claim;
mod deliver;
mod keep_alive;
mod leases;
mod pull;
mod report;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use http::header::HeaderValue;
use http::{Method, StatusCode};
use raincheck::core::lease::{LEASE_MAX, LEASE_MIN};
use raincheck::core::name::{QueueName, WorkerName};
use raincheck::core::time::{format_duration, parse_duration};
use raincheck::workers::process::{Folders, Rules, Within};

use crate::client::Request;
use crate::config::programs::ProgramFlags;
use crate::confined;
use crate::document::QueueDocument;
use crate::exit::{Exit, Failed};
use crate::program;
use crate::refused::refused;
use crate::session::{About, Session};

const EXAMPLES: &str = "\
The program is started for each job, without a shell: the input is its standard input, what it
prints is the result, what it says on standard error is shown here with the job's id. It ends with
0 (done), 65 (failed for good) or anything else (to be tried again; the last lines of standard
error say why). It sees this environment and RAINCHECK_JOB, RAINCHECK_ATTEMPT, RAINCHECK_QUEUE,
RAINCHECK_FENCE, RAINCHECK_DEADLINE, RAINCHECK_CONTENT_TYPE, RAINCHECK_WORKER, RAINCHECK_URL, and
TRACEPARENT and TRACESTATE where the job has a trace.

Leases are renewed while it runs. A program that is to stop, because its job is cancelled or its
time is over, gets SIGTERM with all that it started, and SIGKILL when its grace is over.

Told to stop (SIGTERM, Ctrl-C) the worker claims nothing more, lets running jobs finish within
--drain, gives back the rest without charging an attempt, and ends with 0. A second signal ends it
at once; its jobs are tried again once their leases are over. While the server is away, running
jobs go on, and results are kept until it is back.

With --keep-alive the program is no command for one job but a worker of its own, such as those in
examples/workers: it is kept running -c times, told where to work by RAINCHECK_URL, RAINCHECK_QUEUE
and RAINCHECK_WORKER, and started again when it ends, after a pause that grows while it fails. It
gets SIGTERM when the worker is told to stop, and SIGKILL after --drain. Its output goes where that
of this command goes.

Temporary files of a job (TMPDIR) go with it; what it may take, where it works and as whom is said
by --program-…, as for the programs of a server.

On standard output there is nothing else; with -q the id of each job that was worked, with --json a
document a line.

Examples:
  raincheck work thumbs -- ./resize.sh --size 200
  raincheck work shout --create -c 8 -- tr a-z A-Z
  raincheck work import --exit-when-empty --lease 2m -- python3 import.py
  raincheck work words --keep-alive -c 2 -- examples/workers/worker.py
  raincheck work reports --url http://127.0.0.1:7246 --worker gpu-1 -- ./report";

/// Works a queue with a program.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Work {
    /// The queue
    queue: QueueName,
    /// The program and its arguments
    #[arg(last = true, required = true, value_name = "PROGRAM")]
    argv: Vec<String>,
    /// At most so many jobs at once [default: the number of cores]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    concurrency: Option<u32>,
    /// The program claims jobs over HTTP by itself: keep it running, N times
    #[arg(long, conflicts_with_all = ["lease", "result_type", "exit_when_empty", "max_jobs"])]
    keep_alive: bool,
    /// Create the queue where it is missing
    #[arg(long)]
    create: bool,
    /// How this worker calls itself [default: the host's name and the process id]
    #[arg(long, env = "RAINCHECK_WORKER", value_name = "NAME")]
    worker: Option<WorkerName>,
    /// How long a job stays ours after the last renewal [default: the queue's lease_for]
    #[arg(long, value_name = "DURATION", value_parser = lease)]
    lease: Option<Duration>,
    /// The content type of results [default: the queue's result_type, else that of the input]
    #[arg(long, value_name = "TYPE", value_parser = content_type)]
    result_type: Option<String>,
    /// How long running jobs get when the worker is told to stop
    #[arg(long, env = "RAINCHECK_DRAIN", value_name = "DURATION", default_value = "25s", value_parser = duration)]
    drain: Duration,
    /// End once no job is due and none runs
    #[arg(long)]
    exit_when_empty: bool,
    /// End after so many jobs
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    max_jobs: Option<u64>,
    #[command(flatten)]
    programs: ProgramFlags,
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|error| error.to_string())
}

fn lease(text: &str) -> Result<Duration, String> {
    let lease = duration(text)?;
    if lease < LEASE_MIN || lease > LEASE_MAX {
        let (least, most) = (format_duration(LEASE_MIN), format_duration(LEASE_MAX));
        return Err(format!("a lease is {least} to {most}"));
    }
    Ok(lease)
}

fn content_type(text: &str) -> Result<String, String> {
    let visible = !text.is_empty() && text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    visible
        .then(|| text.to_owned())
        .ok_or_else(|| "not a content type".to_owned())
}

/// What the queue says of its work; a queue that is not there yet says nothing.
#[derive(Debug, Default)]
struct Settings {
    result_type: Option<String>,
    result_max: Option<u64>,
}

impl Work {
    /// Runs the command.
    pub(crate) async fn run(mut self, session: &Session) -> Result<(), Failed> {
        self.argv[0] = program::resolve(&self.argv[0]).map_err(|missing| {
            Failed::usage(missing.reason).next(match missing.beside {
                Some(here) => format!("For the one in this folder write {here}"),
                None => "After -- name a program that can be started here".to_owned(),
            })
        })?;
        let (confinement, new_privileges) = self.programs.read()?;
        confined::confine(new_privileges)?;
        let settings = self.settings(session).await?;
        let rules = Rules {
            all: confinement,
            ..Rules::default()
        };
        let folders = confined::folders(&rules)?;
        let within = Within {
            confinement: Arc::new(rules.all),
            folders: folders.clone(),
        };
        let end = if self.keep_alive {
            keep_alive::run(self, within, session).await
        } else {
            pull::run(self, within, session, settings).await
        };
        folders.iter().for_each(Folders::close);
        end
    }

    /// Asks for the queue; creates it where that is wanted.
    async fn settings(&self, session: &Session) -> Result<Settings, Failed> {
        let about = About::Queue(&self.queue);
        let path = format!("/v1/queues/{}", self.queue);
        let there = session.client.send(Request::get(&path)).await;
        let there = there.map_err(|error| session.unanswered(&error))?;
        let answer = match there.status {
            StatusCode::OK => there,
            StatusCode::NOT_FOUND if self.create => {
                let body = (Some(HeaderValue::from_static("application/json")), "{}".into());
                let request = Request::new(Method::PUT, path).body(body.0, body.1);
                let answer = session.call(request, about).await?;
                session.output.note(&format!("queue {} was created", self.queue));
                answer
            }
            // A server started with --dev makes queues as they are named; the claim will tell.
            StatusCode::NOT_FOUND => return Ok(Settings::default()),
            _ => return Err(refused(session, &there, about)),
        };
        let queue: QueueDocument = answer.json()?;
        if !queue.is_pulled() {
            let kind = queue.worker_kind();
            let failed = Failed::new(
                Exit::Conflict,
                format!("the server works queue {:?} itself ({kind})", self.queue.as_str()),
            );
            return Err(failed.next(if queue.managed {
                format!(
                    "To let workers have its jobs, start the server with --queue {}",
                    self.queue
                )
            } else {
                let command = session.command(&format!("queue set {} worker=pull", self.queue));
                format!("Let workers have its jobs: {command}")
            }));
        }
        Ok(Settings {
            result_type: queue.result_type.clone(),
            result_max: queue.result_max.map(|size| size.0),
        })
    }

    fn concurrency(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        self.concurrency.map_or_else(cores, |n| n as usize)
    }

    /// How this worker calls itself, unless told: the host and the process.
    fn name(&self) -> WorkerName {
        self.worker.clone().unwrap_or_else(|| {
            let system = rustix::system::uname();
            let host = system.nodename().to_string_lossy();
            let name = format!("{host}-{}", std::process::id());
            WorkerName::new(&name)
                .unwrap_or_else(|_| WorkerName::new("worker").expect("a plain word is a worker's name"))
        })
    }
}
