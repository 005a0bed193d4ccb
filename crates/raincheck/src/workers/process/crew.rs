//! Long-lived programs that claim jobs over HTTP by themselves, kept alive by this server or by `raincheck work`.
//!
//! Invariants: there are as many of them as there are to be, but for the pause after one has ended; each is a process group,
//! and when the crew is gone nothing of any is left; leaving takes no longer than whoever leaves says.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{ChildStderr, ChildStdout, Command};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use super::Lines;
use super::folders::Private;
use super::group::ProcessGroup;
use super::program::Program;
use crate::backoff::Backoff;
use crate::random::Randomness;
use crate::tasks::{Group, TaskKind};

/// A member that lived so long did not end because it cannot start: the next one is started soon.
const STEADY: Duration = Duration::from_secs(10);
/// How much is read at once of what a member says.
const CHUNK: usize = 8 << 10;

/// What a crew is told to do.
#[derive(Clone)]
pub struct CrewOptions {
    /// What each member runs, told what to do by `RAINCHECK_URL`, `RAINCHECK_QUEUE` and `RAINCHECK_WORKER`.
    pub program: Program,
    /// Where the API is.
    pub url: String,
    /// Whose jobs they claim.
    pub queue: String,
    /// What all their names begin with; `-1`, `-2` and so on follow.
    pub worker: String,
    /// How many there are.
    pub count: usize,
    /// Whether what they print goes where our own output goes, instead of being told line by line.
    pub own_output: bool,
    /// The API key by which they claim, handed over as `RAINCHECK_API_KEY`.
    pub api_key: Option<String>,
}

impl std::fmt::Debug for CrewOptions {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CrewOptions")
            .field("program", &self.program)
            .field("url", &self.url)
            .field("queue", &self.queue)
            .field("worker", &self.worker)
            .field("count", &self.count)
            .finish_non_exhaustive()
    }
}

/// What happens to a member.
#[derive(Debug)]
pub enum CrewEvent<'a> {
    /// It runs now, as the process of this number.
    Started(u32),
    /// It could not be started; it is tried again after this pause.
    NotStarted(&'a io::Error, Duration),
    /// It has ended by itself; another is started after this pause.
    Ended(ExitStatus, Duration),
    /// It has ended after it was told to.
    Left(Option<ExitStatus>),
    /// It said a line.
    Said(&'a str),
}

/// Hears of the members, each by its name.
pub type CrewTell = Arc<dyn Fn(&str, CrewEvent<'_>) + Send + Sync>;

/// Members that are kept alive. Dropping it changes nothing; they belong to the group of tasks.
#[derive(Debug)]
pub struct Crew {
    closing: watch::Sender<Option<Instant>>,
    members: Arc<Mutex<Vec<Member>>>,
}

/// A member as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// How it calls itself.
    pub name: String,
    /// Its process, while it runs.
    pub process: Option<u32>,
}

impl Crew {
    /// Starts the members in tasks of `group`, which end once the crew was told to leave.
    #[must_use]
    pub fn start(options: &CrewOptions, group: &Group, random: &Randomness, tell: &CrewTell) -> Self {
        let closing = watch::Sender::new(None);
        let members = (1..=options.count).map(|n| Member {
            name: format!("{}-{n}", options.worker),
            process: None,
        });
        let members = Arc::new(Mutex::new(members.collect::<Vec<_>>()));
        for place in 0..options.count {
            let keeper = Keeper {
                options: options.clone(),
                name: format!("{}-{}", options.worker, place + 1),
                place,
                members: members.clone(),
                closing: closing.subscribe(),
                tell: tell.clone(),
            };
            let keep = keeper.keep(Backoff::new(random.clone()));
            group.spawn(TaskKind::Attempt, keep);
        }
        Self { closing, members }
    }

    /// Tells every member to leave (SIGTERM); those that are there at `by` are killed.
    pub fn leave(&self, by: Instant) {
        self.closing.send_replace(Some(by));
    }

    /// The members.
    #[must_use]
    pub fn members(&self) -> Vec<Member> {
        self.members
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// Keeps one member alive.
struct Keeper {
    options: CrewOptions,
    name: String,
    place: usize,
    members: Arc<Mutex<Vec<Member>>>,
    closing: watch::Receiver<Option<Instant>>,
    tell: CrewTell,
}

impl Keeper {
    async fn keep(mut self, mut backoff: Backoff) {
        while self.closing.borrow().is_none() {
            let started = Instant::now();
            let lived = self.live().await;
            if self.closing.borrow().is_some() {
                self.tell(CrewEvent::Left(lived.ok()));
                return;
            }
            if started.elapsed() >= STEADY {
                backoff.reset();
            }
            let pause = backoff.next();
            match lived {
                Ok(status) => self.tell(CrewEvent::Ended(status, pause)),
                Err(error) => self.tell(CrewEvent::NotStarted(&error, pause)),
            }
            tokio::select! {
                _ = told(&mut self.closing) => {}
                () = sleep(pause) => {}
            }
        }
    }

    fn tell(&self, event: CrewEvent<'_>) {
        (self.tell)(&self.name, event);
    }

    fn command(&self) -> io::Result<(Command, Option<Private>)> {
        let options = &self.options;
        let output = || {
            if options.own_output {
                Stdio::inherit()
            } else {
                Stdio::piped()
            }
        };
        let (mut command, folder) = options.program.command()?;
        command
            .env("RAINCHECK_URL", &options.url)
            .env("RAINCHECK_QUEUE", &options.queue)
            .env("RAINCHECK_WORKER", &self.name)
            .envs(options.api_key.iter().map(|key| ("RAINCHECK_API_KEY", key)))
            .stdin(Stdio::null())
            .stdout(output())
            .stderr(output());
        Ok((command, folder))
    }

    /// Starts the member and lives with it until its end.
    async fn live(&mut self) -> io::Result<ExitStatus> {
        // The folder comes first, so that it goes last where this future is dropped.
        let (command, folder) = self.command()?;
        let (mut group, (_, stdout, stderr)) =
            ProcessGroup::start(command, self.options.program.confinement())?;
        self.is(Some(group.number()));
        self.tell(CrewEvent::Started(group.number()));
        let mut talk = Talk::new(&self.tell, &self.name, stdout, stderr);
        let mut kill_at = None;
        let ended = loop {
            tokio::select! {
                biased;
                ended = group.ended() => break ended,
                by = told(&mut self.closing), if kill_at.is_none() => {
                    kill_at = Some(by);
                    group.terminate();
                }
                () = sleep_until(kill_at.unwrap_or_else(Instant::now)), if kill_at.is_some() => {
                    break group.kill().await;
                }
                () = talk.step() => {}
            }
        };
        let status = match ended {
            Ok(()) => group.reap().await,
            Err(error) => Err(error),
        };
        self.is(None);
        if let Some(folder) = folder {
            folder.remove().await;
        }
        status
    }

    fn is(&self, process: Option<u32>) {
        let mut members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(member) = members.get_mut(self.place) {
            member.process = process;
        }
    }
}

/// Waits until the crew is to leave, and tells until when.
async fn told(closing: &mut watch::Receiver<Option<Instant>>) -> Instant {
    let by = closing.wait_for(Option::is_some).await.ok().and_then(|by| *by);
    match by {
        Some(by) => by,
        // Whoever tells is gone: members stay until their tasks are cut.
        None => std::future::pending().await,
    }
}

/// What a member says on stdout and stderr.
struct Talk {
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
    bytes: BytesMut,
    out: Lines,
    err: Lines,
}

impl Talk {
    fn new(tell: &CrewTell, name: &str, stdout: Option<ChildStdout>, stderr: Option<ChildStderr>) -> Self {
        let lines = || {
            let (tell, name) = (tell.clone(), name.to_owned());
            Lines::new(move |line| tell(&name, CrewEvent::Said(line)))
        };
        Self {
            stdout,
            stderr,
            bytes: BytesMut::new(),
            out: lines(),
            err: lines(),
        }
    }

    /// Hears some of it; never returns where there is nothing more to hear.
    ///
    /// # Cancel safety
    /// Safe: no byte is lost.
    async fn step(&mut self) {
        self.bytes.clear();
        let mut other = BytesMut::new();
        tokio::select! {
            ended = heard(&mut self.stdout, &mut self.bytes) => {
                self.out.take(&self.bytes);
                if ended {
                    self.stdout = None;
                }
            }
            ended = heard(&mut self.stderr, &mut other) => {
                self.err.take(&other);
                if ended {
                    self.stderr = None;
                }
            }
        }
    }
}

/// Reads some; whether that was the end.
async fn heard(pipe: &mut Option<impl AsyncRead + Unpin>, into: &mut BytesMut) -> bool {
    match pipe {
        Some(pipe) => {
            into.reserve(CHUNK);
            !matches!(pipe.read_buf(into).await, Ok(1..))
        }
        None => std::future::pending().await,
    }
}
