//! `raincheck serve`: opens the store, starts the node, opens the door, and leaves in good order.
//!
//! Invariant: nothing is promised before the store is open and locked; on SIGTERM or SIGINT the node drains while
//! the door still answers, and a second signal leaves at once, which is as safe as a crash.

mod banner;
mod door;
mod logs;
mod queues;
mod settings;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use raincheck::clock::SystemClock;
use raincheck::core::store::Store;
use raincheck::core::time::{format_duration, parse_duration};
use raincheck::outward::target::{Range, Targets};
use raincheck::store::OpenError;
use raincheck::{Node, NodeOptions};
use tracing::{error, info, warn};

use self::banner::Banner;
use self::logs::LogFormat;
use self::queues::QueueFlag;
use self::settings::Setting;
use crate::exit::{Exit, Failed};
use crate::output::Output;
use crate::signals::Signals;

const EXAMPLES: &str = "\
A queue is worked in one of four ways:
  --queue NAME                   workers anywhere claim its jobs over HTTP
  --queue NAME=http://HOST/PATH  each job is sent there; the answer is its result
  --queue NAME='cmd:PROGRAM …'   the program is started for each job: input on stdin, result on
                                 stdout; it ends with 0 (done), 65 (failed for good) or anything
                                 else (to be tried again)
  --queue NAME='keep-alive:PROGRAM …'
                                 the program is kept running, as often as the queue's concurrency
                                 says (the cores), and claims jobs over HTTP by itself; it is told
                                 RAINCHECK_URL, RAINCHECK_QUEUE and RAINCHECK_WORKER

A server that is told to stop (SIGTERM, Ctrl-C) takes no new jobs, finishes what runs within
--drain, gives back the rest, and ends with 0. A second signal ends it at once; nothing is lost
either way. It ends with 70 when its store fails. With -q it prints the API's URL on standard
output once it listens, with --json also where the data is.

Examples:
  raincheck serve
  raincheck serve --queue thumbs='cmd:./resize.sh' --queue reports=http://localhost:8000/report
  raincheck serve --queue words='keep-alive:./worker.py' --set words.concurrency=2
  raincheck serve --listen 127.0.0.1:0 --store ./data --dev -q";

/// Runs a server.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Serve {
    /// The address to listen on, of this machine only; port 0 takes a free one
    #[arg(
        long,
        env = "RAINCHECK_LISTEN",
        value_name = "ADDRESS",
        default_value = "127.0.0.1:7246"
    )]
    listen: String,
    /// The server's own URL as those whom it pushes jobs to reach it [default: that of --listen]
    #[arg(long, env = "RAINCHECK_PUBLIC_URL", value_name = "URL", value_parser = public_url)]
    public_url: Option<String>,
    /// Addresses, or ranges such as 10.1.0.0/16, to which URLs that come over the API may lead although they are not
    /// public; may be repeated, or separated by commas
    #[arg(
        long,
        env = "RAINCHECK_ALLOW_TARGETS",
        value_name = "RANGE",
        value_delimiter = ','
    )]
    allow_targets: Vec<Range>,
    /// The directory of the embedded store [default: $STATE_DIRECTORY, else ./raincheck-data]
    #[arg(long, env = "RAINCHECK_STORE", value_name = "DIRECTORY")]
    store: Option<PathBuf>,
    /// A queue and how it is worked; may be repeated
    #[arg(long = "queue", value_name = "NAME[=URL|=cmd:…|=keep-alive:…]")]
    queues: Vec<QueueFlag>,
    /// A setting of such a queue, as `raincheck queue set` writes it; may be repeated
    #[arg(long = "set", value_name = "NAME.FIELD=VALUE")]
    settings: Vec<Setting>,
    /// How long running jobs get when the server is told to stop
    #[arg(long, env = "RAINCHECK_DRAIN", value_name = "DURATION", default_value = "25s", value_parser = duration)]
    drain: Duration,
    /// Create queues as they are named in submits
    #[arg(long, env = "RAINCHECK_DEV")]
    dev: bool,
    /// What is logged: a level, or levels by module
    #[arg(long, env = "RAINCHECK_LOG", value_name = "FILTER", default_value = "info")]
    log: String,
    /// How the log looks
    #[arg(
        long,
        env = "RAINCHECK_LOG_FORMAT",
        value_name = "FORMAT",
        default_value = "auto"
    )]
    log_format: LogFormat,
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|error| error.to_string())
}

fn public_url(text: &str) -> Result<String, String> {
    let uri: http::Uri = text.parse().map_err(|_| "this is not a URL")?;
    let fit = matches!(uri.scheme_str(), Some("http" | "https"))
        && uri
            .authority()
            .is_some_and(|authority| !authority.as_str().contains('@'))
        && uri.query().is_none();
    let rule = "write http:// or https://, a host, and a path where the API is below one";
    fit.then(|| text.trim_end_matches('/').to_owned())
        .ok_or_else(|| rule.to_owned())
}

impl Serve {
    /// Runs the command.
    pub(crate) fn run(mut self, output: Output) -> Result<(), Failed> {
        let address = door::address(&self.listen)?;
        for queue in std::mem::take(&mut self.queues) {
            if self.queues.iter().any(|known| known.name == queue.name) {
                return Err(Failed::usage(format!("--queue {} is given twice", queue.name)));
            }
            self.queues.push(queue.resolved()?);
        }
        if let Some(stray) = self
            .settings
            .iter()
            .find(|setting| !self.queues.iter().any(|queue| queue.name == setting.queue))
        {
            return Err(Failed::usage(format!(
                "--set names queue {:?}, and no --queue does",
                stray.queue.as_str()
            ))
            .next("Change others over the API: raincheck queue set"));
        }
        let directory = directory(self.store.take())?;
        logs::start(&self.log, self.log_format, output.stderr_colour)?;
        let json_log = self.log_format.is_json();
        let runtime = runtime()?;
        let end = runtime.block_on(self.serve(address, directory, output));
        // What was cut lets go of its processes; nothing else is waited for.
        runtime.shutdown_timeout(Duration::from_millis(500));
        match end {
            // A log of JSON lines stays one to the end.
            Err(failed) if json_log && !failed.message.is_empty() => {
                error!(exit = failed.exit as u8, next = failed.next, "{}", failed.message);
                Err(Failed::silent(failed.exit))
            }
            end => end,
        }
    }

    async fn serve(self, address: SocketAddr, directory: PathBuf, output: Output) -> Result<(), Failed> {
        // From here on signals are ours, so that none can end the process between two steps.
        let mut signals = Signals::new()?;
        let door = door::bind(address).await?;
        let url = format!("http://{}", door.address);
        let fresh = !directory.join("raincheck.db").exists();
        let store = open(&directory)?;
        queues::put(&*store, &self.queues, &self.settings).await?;
        let options = NodeOptions {
            drain: self.drain,
            dev: self.dev,
            targets: Arc::new(Targets {
                // The server listens on this machine alone (`door::address`).
                loopback: true,
                allowed: self.allow_targets,
            }),
            public_url: Some(self.public_url.unwrap_or_else(|| url.clone())),
            own_url: Some(url.clone()),
            ..NodeOptions::default()
        };
        let node = Node::start(store, options)
            .await
            .map_err(|error| store_failed(&error.to_string()))?;
        let door = door.open(&node);
        let banner = Banner {
            url,
            store: directory,
            fresh,
            queues: self.queues,
            dev: self.dev,
            drain: self.drain,
        };
        banner.show(output, self.log_format.is_json())?;
        let signal = tokio::select! {
            signal = signals.next() => signal,
            why = node.failure() => return Err(give_up(&node, &door, &why).await),
        };
        info!(signal, drain = format_duration(self.drain), "told to stop");
        let leave = async {
            node.drain().await;
            door.close().await;
            node.close().await;
        };
        tokio::select! {
            () = leave => {
                info!("stopped");
                Ok(())
            }
            signal = signals.next() => {
                warn!(signal, "leaving at once");
                node.abort();
                Err(Failed::silent(Exit::Interrupted))
            }
            why = node.failure() => Err(give_up(&node, &door, &why).await),
        }
    }
}

/// How long answers may take that were under way when the store failed.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Leaves because nothing can be promised any more. Clients that wait for an answer still get one, a refusal.
async fn give_up(node: &Node, door: &door::Door, why: &str) -> Failed {
    // What has no answer by then has none: its connection breaks, as in any crash.
    let _ = tokio::time::timeout(LAST_WORDS, door.close()).await;
    node.abort();
    store_failed(why)
}

fn store_failed(why: &str) -> Failed {
    Failed::new(Exit::StoreFailed, format!("the store has failed: {why}"))
        .next("What was acknowledged is safe: start the server again once the disk is well")
}

/// Where the data is: as told, else where systemd says, else here.
fn directory(told: Option<PathBuf>) -> Result<PathBuf, Failed> {
    let directory = told.unwrap_or_else(|| {
        std::env::var_os("STATE_DIRECTORY").map_or_else(|| PathBuf::from("raincheck-data"), PathBuf::from)
    });
    let postgres = directory
        .to_str()
        .is_some_and(|text| text.starts_with("postgres"));
    if postgres && directory.to_str().is_some_and(|text| text.contains("://")) {
        return Err(Failed::usage("PostgreSQL as a store is not built yet")
            .next("Name a directory for the embedded store: --store ./raincheck-data"));
    }
    Ok(std::path::absolute(directory)?)
}

/// Opens the store; a store that is in use or damaged is told apart.
fn open(directory: &Path) -> Result<Arc<dyn Store>, Failed> {
    raincheck::store::open(directory, Arc::new(SystemClock::new())).map_err(|error| {
        let exit = match &error {
            OpenError::InUse { .. } => Exit::Conflict,
            OpenError::Directory { .. }
            | OpenError::Database { .. }
            | OpenError::Row { .. }
            | OpenError::Foreign { .. }
            | OpenError::Newer { .. }
            | OpenError::NoWal { .. }
            | OpenError::OldSqlite { .. }
            | OpenError::Thread(_) => Exit::StoreFailed,
        };
        let mut text = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(reason) = cause {
            text = format!("{text} ({reason})");
            cause = reason.source();
        }
        Failed::new(exit, text)
    })
}

/// As many threads as there are cores for us; with one, everything runs on this thread.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mut builder = if cores == 1 {
        tokio::runtime::Builder::new_current_thread()
    } else {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(cores);
        builder
    };
    builder.enable_all().build()
}
