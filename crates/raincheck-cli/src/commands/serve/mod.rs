//! `raincheck serve`: opens the store, starts the node, opens the door, and leaves in good order.
//!
//! Invariant: nothing is promised before the store is open and locked; on SIGTERM or SIGINT the node drains while
//! the door still answers, and a second signal leaves at once, which is as safe as a crash.

mod banner;
pub(crate) mod before;
mod certificate;
mod door;
pub(crate) mod logs;
mod queues;
mod reload;
mod systemd;

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use raincheck::api::ApiOptions;
use raincheck::clock::SystemClock;
use raincheck::core::audit::ActsKept;
use raincheck::core::store::Store;
use raincheck::core::time::format_duration;
use raincheck::links::Mount;
use raincheck::outward::target::Targets;
use raincheck::outward::trust::Trust;
use raincheck::proxy::{MOUNT, Mode, Proxy, ProxyOptions, Rule};
use raincheck::store::{MasterKeys, Opening, open_with};
use raincheck::tasks::Group;
use raincheck::workers::process::{Folders, Programs};
use raincheck::{Node, NodeOptions, Sampler, TraceOptions};
use tracing::{error, info, warn};

use self::banner::Banner;
use self::before::Refusal;
use self::certificate::Certificate;
use self::logs::LogFilter;
use self::reload::Follower;
use crate::config::{Config, Flags, Settings, default_directory};
use crate::confined;
use crate::exit::{Exit, Failed};
use crate::master_key::not_opened;
use crate::output::{Output, say};
use crate::signals::{Hangups, Signals};

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
  raincheck serve --listen 127.0.0.1:0 --store ./data --dev -q

Every flag can be said by a variable or in raincheck.toml as well: docs/configuration.md, and
`raincheck config show --origin`. On SIGHUP the server reads both again.";

/// Runs a server.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Serve {
    #[command(flatten)]
    flags: Flags,
    /// Whether the API is below [`MOUNT`].
    #[arg(skip)]
    mounted: bool,
}

impl Serve {
    /// A server whose API leaves the top to what is proxied.
    pub(crate) const fn below_mount(flags: Flags) -> Self {
        Self { flags, mounted: true }
    }

    /// The same, trusting the authorities of the file that `--ca-file` names.
    pub(crate) fn trusting(mut self, file: Option<PathBuf>) -> Self {
        self.flags.trust(file);
        self
    }

    /// Runs the command.
    pub(crate) fn run(self, output: Output) -> Result<(), Failed> {
        let config = Config::load(&self.flags)?;
        // What cannot be is refused before anything is made.
        let ready = before::ready(&config, self.mounted).map_err(|all| first(&config, all))?;
        let settings = &config.settings;
        confined::confine(settings.program_new_privileges)?;
        let log = logs::start(&settings.log, settings.log_format, output.stderr_colour);
        config.passed_over.iter().for_each(|what| warn!("{what}"));
        let json_log = settings.log_format.is_json();
        let folders = confined::folders(&ready.rules)?;
        let runtime = runtime()?;
        let serving = Serving {
            flags: self.flags,
            mounted: self.mounted,
            config,
            trust: ready.trust,
            programs: Programs::new(ready.rules, folders.clone()),
            log,
            output,
        };
        let end = runtime.block_on(serving.serve(ready.plan, ready.directory));
        // What was cut lets go of its processes; nothing else is waited for.
        runtime.shutdown_timeout(Duration::from_millis(500));
        folders.iter().for_each(Folders::close);
        match end {
            // A log of JSON lines stays one to the end.
            Err(failed) if json_log && !failed.message.is_empty() => {
                error!(exit = failed.exit as u8, next = failed.next, "{}", failed.message);
                Err(Failed::silent(failed.exit))
            }
            end => end,
        }
    }
}

/// What is said of a configuration that cannot be: the first thing, and how to see all.
fn first(config: &Config, refusals: Vec<Refusal>) -> Failed {
    let more = refusals.len() > 1;
    let first = refusals.into_iter().next().expect("a refusal has a reason");
    match config.file.as_ref().filter(|_| more) {
        Some(file) => first.failed.also(&format!(
            "See all that is wrong: raincheck config check {}",
            file.display()
        )),
        None => first.failed,
    }
}

/// A server with its configuration read.
#[derive(Debug)]
struct Serving {
    flags: Flags,
    mounted: bool,
    config: Config,
    trust: Trust,
    programs: Programs,
    log: LogFilter,
    output: Output,
}

impl Serving {
    async fn serve(mut self, plan: door::Plan, directory: PathBuf) -> Result<(), Failed> {
        // From here on signals are ours, so that none can end the process between two steps.
        let (mut signals, mut hangups) = (Signals::new()?, Hangups::new()?);
        let fresh = !directory.join("raincheck.db").exists();
        let opening = opening(&self.config.settings);
        if plan.public() && opening.master_keys.current.is_none() {
            warn!(
                "others can reach this server and its secrets are not encrypted on the disk: make a key with `raincheck master-key new`, name its file with --master-key-file"
            );
        }
        let (store, door) = opened(plan, &directory, fresh, opening).await?;
        let (url, own_url) = (door.url.clone(), door.own_url.clone());
        let (public, tls, urls) = (door.public, door.tls.clone(), door.urls.clone());
        let queues = queues::put(&*store, &self.config.queues).await?;
        let settings = &self.config.settings;
        let mount = self.mount()?;
        let proxy = self.proxy();
        let public_url = settings.public_url.as_ref().map(|url| url.0.clone());
        let options = NodeOptions {
            drain: settings.drain,
            dev: settings.dev,
            targets: Arc::new(Targets {
                // What is on this machine is nobody's who asks from elsewhere.
                loopback: !public,
                allowed: settings.allow_targets.clone(),
            }),
            trust: self.trust.clone(),
            host_concurrency: settings.host_concurrency,
            results_bytes_max: settings.bodies_memory.results,
            public_url: public_url.or_else(|| Some(url.clone()).filter(|url| url.starts_with("http"))),
            programs: self.programs.clone(),
            own_url: own_url.map(|url| format!("{url}{mount}")),
            functions: proxy.as_ref().map(Proxy::functions).unwrap_or_default(),
            mount: mount.clone(),
            traces: traces(settings),
            acts_kept: ActsKept {
                time: settings.audit_keep,
                ..ActsKept::default()
            },
            ..NodeOptions::default()
        };
        let node = Node::start(store, options)
            .await
            .map_err(|error| store_failed(&error.to_string()))?;
        let api = ApiOptions {
            per_key: settings.rate_per_key.unwrap_or_default(),
            per_address: settings.rate_per_address.unwrap_or_default(),
            cors_origins: settings.cors_origin.clone(),
            bodies_bytes_max: settings.bodies_memory.requests,
            answers_bytes_max: settings.bodies_memory.answers,
            ..ApiOptions::default()
        };
        let door = door.open(&node, api, proxy);
        let banner = Banner {
            api: format!("{url}{mount}"),
            url,
            urls,
            proxied: proxied(&settings.proxy),
            store: directory,
            fresh,
            queues,
            dev: settings.dev,
            drain: settings.drain,
        };
        banner.show(self.output, settings.log_format.is_json())?;
        let watchdog = Group::new("watchdog");
        systemd::watch(&node, &watchdog);
        systemd::ready(&banner.url);
        let drain = settings.drain;
        let mut certificate = Certificate::new(tls);
        let signal = loop {
            tokio::select! {
                signal = signals.next() => break signal,
                () = hangups.next() => {
                    systemd::reloading();
                    self.reload(&node, &mut certificate).await;
                    systemd::ready(&banner.url);
                }
                () = certificate.changed() => certificate.follow(),
                why = node.failure() => return Err(give_up(&node, &door, &why).await),
            }
        };
        info!(signal, drain = format_duration(drain), "told to stop");
        systemd::stopping(drain);
        let end = leave(&node, &door, &mut signals).await;
        watchdog.stop();
        end
    }

    /// Where the API is.
    fn mount(&self) -> Result<Mount, Failed> {
        let path = if self.mounted { MOUNT } else { "" };
        Mount::new(path).map_err(|why| Failed::usage(why.to_string()))
    }

    /// The proxy, where there are rules for one.
    fn proxy(&self) -> Option<Proxy> {
        let settings = &self.config.settings;
        let options = ProxyOptions {
            rules: settings.proxy.clone(),
            head_time: settings.upstream_timeout,
            trust: self.trust.clone(),
        };
        (!options.rules.is_empty()).then(|| Proxy::new(options))
    }

    async fn reload(&mut self, node: &Node, certificate: &mut Certificate) {
        let follower = Follower {
            node,
            tls: certificate.tls(),
            log: &self.log,
            programs: &self.programs,
            flags: &self.flags,
        };
        follower.reload(&mut self.config).await;
    }
}

/// The rules of a proxy, for people.
fn proxied(rules: &[Rule]) -> Vec<String> {
    let rule = |rule: &Rule| {
        let after = rule
            .after
            .map(|after| format!(" after {}", format_duration(after)));
        let mode = match (rule.mode, &after) {
            (Mode::Never, _) => "passes",
            (Mode::Always, None) => "async",
            (Mode::Prefer, None) => "async if asked",
            (Mode::Always | Mode::Prefer, Some(_)) => "async",
        };
        format!("{} {mode}{}", rule.path, after.unwrap_or_default())
    };
    rules.iter().map(rule).collect()
}

/// Where traces are sent, if anywhere.
fn traces(settings: &Settings) -> Option<TraceOptions> {
    let endpoint = settings.otlp_endpoint.as_ref()?.0.clone();
    let sampler = Sampler::named(&settings.trace_sampler.0, settings.trace_share.0);
    Some(TraceOptions {
        endpoint,
        sampler: sampler.unwrap_or_default(),
    })
}

/// Leaves in good order, or at once where a second signal says so.
async fn leave(node: &Node, door: &door::Door, signals: &mut Signals) -> Result<(), Failed> {
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
        why = node.failure() => Err(give_up(node, door, &why).await),
    }
}

/// The store, and the addresses, which are taken before it is opened; but for those of others than this machine, which are
/// taken only where it has an API key.
async fn opened(
    plan: door::Plan,
    directory: &Path,
    fresh: bool,
    opening: Opening,
) -> Result<(Arc<dyn Store>, door::Bound), Failed> {
    if fresh && plan.public() && std::io::stderr().is_terminal() {
        plan.check(true)?;
        let store = open(directory, opening)?;
        first_key(&*store).await?;
        return Ok((store, plan.bind().await?));
    }
    if fresh || !plan.public() {
        plan.check(false)?;
        let door = plan.bind().await?;
        return Ok((open(directory, opening)?, door));
    }
    let store = open(directory, opening)?;
    let keys = raincheck::keys::any(&*store).await;
    plan.check(keys.map_err(|error| store_failed(&error.to_string()))?)?;
    Ok((store, plan.bind().await?))
}

/// Makes the first key of a new store that others are to reach, and shows it to whoever sits at the terminal; a log, which
/// is kept and read by others, is not where a key belongs.
async fn first_key(store: &dyn Store) -> Result<(), Failed> {
    let made = raincheck::keys::create_first(store).await;
    if let Some((_, token)) = made.map_err(|error| store_failed(&error.to_string()))? {
        say(&format!(
            "The first API key, shown this once; it may do everything:\n\n  {}\n\n\
             export RAINCHECK_API_KEY=…, and make others with less: raincheck key create ci --scope submit",
            token.reveal()
        ));
    }
    Ok(())
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
pub(crate) fn directory(told: Option<PathBuf>) -> Result<PathBuf, Failed> {
    let directory = told.unwrap_or_else(|| default_directory().0);
    let postgres = directory
        .to_str()
        .is_some_and(|text| text.starts_with("postgres"));
    if postgres && directory.to_str().is_some_and(|text| text.contains("://")) {
        return Err(Failed::usage("PostgreSQL as a store is not built yet")
            .next("Name a directory for the embedded store: --store ./raincheck-data"));
    }
    Ok(std::path::absolute(directory)?)
}

/// How the store is to be opened.
fn opening(settings: &Settings) -> Opening {
    Opening {
        master_keys: MasterKeys {
            current: settings.master_key.clone(),
            former: None,
        },
        set_aside_damaged: settings.set_aside_damaged,
    }
}

/// Opens the store; a store that is in use, damaged or encrypted is told apart.
fn open(directory: &Path, opening: Opening) -> Result<Arc<dyn Store>, Failed> {
    open_with(directory, Arc::new(SystemClock::new()), opening).map_err(|error| not_opened(&error))
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
