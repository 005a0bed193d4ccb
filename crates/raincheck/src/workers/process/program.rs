//! A program that is run for one attempt, by this server or by `raincheck work`.
//!
//! Exit 0 succeeded, 65 failed for good (`EX_DATAERR` of sysexits), anything else failed and is tried again.
//! A program that is to stop gets SIGTERM, and SIGKILL when its patience ends: the queue's `cancel_grace` after a cancel
//! request, half a second after the attempt's deadline (which it is told in `RAINCHECK_DEADLINE`), what is left of the
//! drain when whoever runs it leaves.
//! Invariants: no shell is involved; when the attempt is over, no process of its group is left, nor its folder, however it
//! ended.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::process::Stdio;

use bytes::Bytes;
use raincheck_core::job::Failure;
use tokio::process::Command;
use tracing::debug;

use super::confine::{Confinement, Within, Workplace};
use super::folders::Private;
use super::group::ProcessGroup;
use super::launch;
use super::pipes::Pipes;
use super::verdict::{Ended, verdict};
use crate::room::Room;
use crate::workers::{AttemptEnd, Stops};

/// What a program sees of a server's own environment, beside `LC_*`.
const INHERITED: [&str; 6] = ["PATH", "HOME", "LANG", "TZ", "TMPDIR", "USER"];

/// What a program sees of the environment of whoever starts it.
#[derive(Clone, Debug)]
pub enum Environment {
    /// What programs cannot do without: `PATH`, `HOME`, `USER`, `TMPDIR`, `TZ` and the locale.
    Few,
    /// All of it, and these beside.
    AllAnd(Vec<(&'static str, String)>),
}

/// A program and its arguments.
#[derive(Clone, Debug)]
pub struct Program {
    argv: Vec<String>,
    environment: Environment,
    within: Within,
}

/// What a program is told of its attempt, each in a variable of its own.
#[derive(Clone, Debug)]
pub struct Facts {
    /// `RAINCHECK_JOB`.
    pub job: String,
    /// `RAINCHECK_ATTEMPT`, from 1.
    pub attempt: u32,
    /// `RAINCHECK_QUEUE`.
    pub queue: String,
    /// `RAINCHECK_FENCE`, which grows with every claim of the job.
    pub fence: String,
    /// `RAINCHECK_DEADLINE`: when the attempt's time is over.
    pub deadline: String,
    /// `RAINCHECK_CONTENT_TYPE`, empty where the input has none.
    pub content_type: Option<String>,
    /// `TRACEPARENT`: what the program's spans are below, where there is a trace (OpenTelemetry, environment variables as
    /// context propagation carriers).
    pub traceparent: Option<String>,
    /// `TRACESTATE`: the rest of that trace's context.
    pub tracestate: Option<String>,
}

/// Gets the bytes that a program prints as they come.
pub type Log = Box<dyn FnMut(&[u8]) + Send>;

/// One run of a program.
pub struct Run {
    /// What it is told.
    pub facts: Facts,
    /// Its stdin.
    pub input: Bytes,
    /// The content type of its stdout; the input's where absent.
    pub result_type: Option<String>,
    /// So many bytes of stdout are a result; more are a failure.
    pub result_max: u64,
    /// What there is for the results of all runs.
    pub room: Room,
    /// On which it is told to stop.
    pub stops: Stops,
    /// Who gets its stdout as it comes, beside the result.
    pub tap: Option<Log>,
    /// Who gets its stderr, beside the failure's detail.
    pub log: Option<Log>,
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run")
            .field("facts", &self.facts)
            .finish_non_exhaustive()
    }
}

impl Program {
    /// The program `argv[0]` with the rest as its arguments.
    #[must_use]
    pub fn new(argv: Vec<String>, environment: Environment) -> Self {
        Self {
            argv,
            environment,
            within: Within::default(),
        }
    }

    /// The same within these limits.
    #[must_use]
    pub fn within(mut self, within: Within) -> Self {
        self.within = within;
        self
    }

    /// The program's name or path.
    #[must_use]
    pub fn name(&self) -> &str {
        self.argv.first().map_or("", String::as_str)
    }

    /// What it is confined to.
    pub(super) fn confinement(&self) -> &Confinement {
        &self.within.confinement
    }

    /// The command, in a process group of its own, and its folder, which is to be kept until that group is gone.
    pub(super) fn command(&self) -> io::Result<(Command, Option<Private>)> {
        let Within { confinement, folders } = &self.within;
        let mut command = Command::from(launch::command(&self.argv, confinement)?);
        match &self.environment {
            Environment::Few => command.env_clear().envs(inherited()),
            Environment::AllAnd(more) => command.envs(more.iter().map(|(name, value)| (name, value))),
        };
        let user = confinement.user.as_ref();
        let own = |name: &str| ["USER", "LOGNAME"].map(|variable| (variable, name.to_owned()));
        command.envs(
            user.and_then(|user| user.name.as_deref())
                .into_iter()
                .flat_map(own),
        );
        command.envs(
            user.and_then(|user| user.home.as_ref())
                .map(|home| ("HOME", home)),
        );
        let folder = folders.as_ref().map(|folders| folders.make(user)).transpose()?;
        command.envs(folder.iter().map(|folder| ("TMPDIR", folder.path())));
        match (&confinement.workplace, &folder) {
            (Workplace::Inherited, _) => {}
            (Workplace::Fixed(path), _) => {
                command.current_dir(path);
            }
            (Workplace::Private, Some(folder)) => {
                command.current_dir(folder.path());
            }
            (Workplace::Private, None) => {
                return Err(io::Error::other("there is no place for a folder of its own"));
            }
        }
        command.process_group(0).kill_on_drop(true);
        Ok((command, folder))
    }

    /// The command for one attempt.
    fn attempt(&self, facts: &Facts) -> io::Result<(Command, Option<Private>)> {
        let (mut command, folder) = self.command()?;
        command
            .env("RAINCHECK_JOB", &facts.job)
            .env("RAINCHECK_ATTEMPT", facts.attempt.to_string())
            .env("RAINCHECK_QUEUE", &facts.queue)
            .env("RAINCHECK_FENCE", &facts.fence)
            .env("RAINCHECK_DEADLINE", &facts.deadline)
            .env(
                "RAINCHECK_CONTENT_TYPE",
                facts.content_type.as_deref().unwrap_or_default(),
            )
            .envs(facts.traceparent.iter().map(|parent| ("TRACEPARENT", parent)))
            .envs(facts.tracestate.iter().map(|state| ("TRACESTATE", state)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Ok((command, folder))
    }

    /// Runs the program once. Dropping the future ends it with all that it started.
    ///
    /// # Errors
    /// When it cannot be started: then nothing of it ran.
    pub async fn run(&self, run: Run) -> io::Result<AttemptEnd> {
        let Run {
            facts,
            input,
            result_type,
            result_max,
            room,
            stops,
            tap,
            log,
        } = run;
        // The folder comes first, so that it goes last where this future is dropped.
        let (command, folder) = self.attempt(&facts)?;
        let (mut group, pipes) = ProcessGroup::start(command, self.confinement())?;
        let mut pipes = Pipes::new(pipes, input, (result_max, &room), (tap, log));
        let mut stopped = None;
        let patience = stops.clone();
        // Until the program has ended: it is fed and read meanwhile, and told to stop where that is due.
        let ended = loop {
            tokio::select! {
                biased;
                ended = group.ended() => break ended,
                () = pipes.overflow() => break group.kill().await,
                stop = stops.told(), if stopped.is_none() => {
                    stopped = Some(stop.reason);
                    group.terminate();
                }
                () = patience.out_of_patience() => break group.kill().await,
            }
        };
        let status = match ended {
            Ok(()) => group.finish(&mut pipes).await,
            Err(error) => Err(error),
        };
        let read = pipes.into_read();
        let how = status
            .as_ref()
            .map_or_else(ToString::to_string, ToString::to_string);
        debug!(how, stderr = %read.tail, "a program ended");
        if let Some(folder) = folder {
            folder.remove().await;
        }
        Ok(match status {
            Ok(status) => verdict(Ended {
                status,
                read,
                stopped,
                content_type: result_type.or(facts.content_type),
                result_max,
                limits: self.within.confinement.limits,
            }),
            Err(error) => {
                let detail = format!("the program could not be waited for: {error}");
                AttemptEnd::retry(Failure::new("handler-unreachable", detail))
            }
        })
    }
}

fn inherited() -> impl Iterator<Item = (OsString, OsString)> {
    std::env::vars_os().filter(|(name, _)| {
        name.to_str()
            .is_some_and(|name| INHERITED.contains(&name) || name.starts_with("LC_"))
    })
}
