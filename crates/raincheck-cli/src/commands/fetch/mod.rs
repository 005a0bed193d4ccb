//! `raincheck fetch`: pulls a list of URLs, bounded, retried, and gone on with after whatever happened.
//!
//! Invariant: the list is taken down before anything is asked, and a result is on stable storage before it is written; so a run that
//! ended in any way goes on with `--resume`, and what was fetched is not fetched again.

mod ahead;
mod feed;
mod folder;
mod here;
mod list;
mod meter;
mod out;
mod results;
mod there;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use raincheck::core::batch::BatchId;
use raincheck::core::limit::Rate;
use raincheck::core::size::ByteSize;
use raincheck::fetch::Terms;
use raincheck::random::Randomness;

use self::folder::{Folder, State};
use self::here::Opening;
use self::meter::Meter;
use self::out::Out;
use crate::exit::{Exit, Failed};
use crate::output::Output;
use crate::session::Session;
use crate::signals::{Signals, last_resort};
use crate::trust::Trust;

const EXAMPLES: &str = "\
The list: a URL a line, or an object such as {\"url\":\"https://…\",\"method\":\"HEAD\",\"headers\":{…}};
blank lines and lines that begin with # do not count, and a URL that stands there twice is
fetched once. 408, 425, 429, 5xx and broken connections are tried again, not before Retry-After;
any other answer, also a 4xx, is the result.

One JSON object a line, in the order in which they came: seq, index, url, final_url, headers,
attempts, bytes, outcome, status, content_type, and the body as json, text or base64. That is so
with --json and with -q as well, which only leaves out the bar and what is said at the end.

Everything is kept in a folder beside the output (FILE.raincheck, else ./raincheck-fetch), which
--resume and --conditional need; delete it when you are done. With --url or RAINCHECK_URL a server
fetches instead, and the folder holds the list only.

Exit codes: 0 all have an answer, 3 some have none, 7 there is unfinished work, 130 interrupted.

Examples:
  seq 1990 2019 | sed 's|^|https://en.wikipedia.org/wiki/|' | raincheck fetch - --per-host 4 -o pages.ndjson
  raincheck fetch --resume -o pages.ndjson                     go on after Ctrl-C or a crash
  raincheck fetch urls.txt -o pages.ndjson --conditional       again: only what has changed
  raincheck fetch images.txt --bodies images -o images.ndjson  bodies into files of their own";

/// Fetches a list of URLs.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Fetch {
    /// The list: a file, or - for standard input
    #[arg(required_unless_present = "resume")]
    file: Option<String>,
    /// So many requests at once [default: 100]
    #[arg(short = 'c', long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    concurrency: Option<u32>,
    /// So many of them at one host [default: 4]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    per_host: Option<u32>,
    /// So many URLs begin in so much time, such as 50/s [default: no bound]
    #[arg(long, value_name = "RATE")]
    rate: Option<Rate>,
    /// Write the results here, a file that is there is replaced; - is standard output [default: -]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Go on with the run that was interrupted
    #[arg(long)]
    resume: bool,
    /// Begin anew although there is unfinished work
    #[arg(long, conflicts_with = "resume")]
    restart: bool,
    /// Ask only for what has changed since the run before in the same folder
    #[arg(long, conflicts_with = "since")]
    conditional: bool,
    /// The same since this batch
    #[arg(long, value_name = "BATCH")]
    since: Option<BatchId>,
    /// Write bodies into this folder, each into a file of its own, instead of into the results
    #[arg(long, value_name = "DIR")]
    bodies: Option<PathBuf>,
    /// Where the work is kept [default: the output's name and .raincheck, or ./raincheck-fetch]
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
    /// How often each URL is attempted, 1 to 100 [default: 5]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    max_attempts: Option<u32>,
    /// Delays between attempts: 'exponential;base=2s;cap=10m' or 'constant;base=30s'
    #[arg(long, value_name = "BACKOFF")]
    backoff: Option<String>,
    /// How long one attempt may take, redirects and all [default: 1m]
    #[arg(long, value_name = "DURATION")]
    timeout: Option<String>,
    /// How long all attempts of one URL may take together
    #[arg(long, value_name = "DURATION")]
    deadline: Option<String>,
    /// How many redirects are followed, at most 20 [default: 10]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=20))]
    follow: Option<u32>,
    /// The largest body, such as 1MiB; one that is larger fails [default: 16MiB; with --bodies none]
    #[arg(long, value_name = "SIZE")]
    max_body: Option<ByteSize>,
    /// How long the answers are kept when all are there [default: 30d]
    #[arg(long, value_name = "DURATION")]
    keep: Option<String>,
    /// No progress bar
    #[arg(long)]
    no_progress: bool,
}

const CONCURRENCY: u32 = 100;
const PER_HOST: u32 = 4;
/// So long after a second signal the process ends, whatever it waits for.
const LAST_RESORT: Duration = Duration::from_secs(1);
/// The terms that may differ from one `--resume` to the next, where this process fetches.
const LIMITS: [&str; 3] = ["concurrency", "per_host", "rate"];

/// What a run has come to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    /// URLs that have a result.
    pub(crate) done: u64,
    /// Those of them that have an answer.
    pub(crate) answered: u64,
    /// Answers that are no 2xx.
    pub(crate) other: u64,
    /// Earlier answers that still hold.
    pub(crate) revalidated: u64,
    /// Bytes of bodies.
    pub(crate) bytes: u64,
}

impl Fetch {
    /// Runs the command; `server` is there where one is to do it, else these authorities are trusted.
    pub(crate) fn run(mut self, output: Output, trust: Trust, server: Option<Session>) -> Result<(), Failed> {
        // As the list's - is standard input.
        self.output = self.output.filter(|path| path != Path::new("-"));
        if self.resume && !self.folder().exists() {
            return Err(nothing_begun(&self.folder().display().to_string()));
        }
        let folder = Folder::open(&self.folder())?;
        let before = folder.state()?;
        let unfinished = before.as_ref().filter(|state| !state.done);
        let (state, opening) = match (self.resume, unfinished) {
            (true, Some(state)) => {
                let state = self.again(state.clone(), output, server.as_ref())?;
                (state, server.is_none().then(|| Opening::begin(&folder)))
            }
            (true, None) => {
                return before.map_or_else(
                    || Err(nothing_begun(&folder.shown())),
                    |state| over(&folder, &state, output),
                );
            }
            (false, Some(state)) if !self.restart => return Err(self.unfinished(&folder, state)),
            (false, _) => self.begin(&folder, before.as_ref(), output, server.as_ref())?,
        };
        if let Some(bodies) = &state.bodies {
            folder::made(bodies)?;
        }
        let (out, after) = Out::open(state.output.as_deref(), &folder, self.resume)?;
        let meter = Meter::new(output, state.lines, self.no_progress);
        let work = Work {
            folder: &folder,
            state: &state,
            out,
            after,
            meter,
            again: self.command(&state),
        };
        let signals = work.end_at_a_second_signal(output)?;
        let tally = match (server, opening) {
            (Some(session), _) => there::run(work, &session, signals)?,
            (None, opening) => {
                let opening = opening.unwrap_or_else(|| Opening::begin(&folder));
                here::run(work, opening, trust, signals)?
            }
        };
        let ended = State {
            done: true,
            failed: state.lines.saturating_sub(tally.answered),
            ..folder.state()?.unwrap_or(state.clone())
        };
        folder.write(&ended)?;
        output.note(&summary(&state, tally));
        ended.end()
    }

    /// Where the work is kept.
    fn folder(&self) -> PathBuf {
        if let Some(store) = &self.store {
            return store.clone();
        }
        match &self.output {
            Some(output) => {
                let mut name = output.clone().into_os_string();
                name.push(".raincheck");
                name.into()
            }
            None => PathBuf::from("raincheck-fetch"),
        }
    }

    /// Takes the list down.
    fn begin(
        &self,
        folder: &Folder,
        before: Option<&State>,
        output: Output,
        server: Option<&Session>,
    ) -> Result<(State, Option<Opening>), Failed> {
        let Some(file) = &self.file else {
            return Err(Failed::usage("name the list: a file, or - for standard input"));
        };
        if server.is_some() && self.bodies.is_some() {
            return Err(Failed::usage(
                "--bodies writes on this machine, and --url has another one fetch",
            ));
        }
        let mut terms = self.terms()?;
        if self.conditional {
            let since = before.and_then(|state| state.batch);
            terms.since = Some(since.ok_or_else(|| {
                let text = format!("nothing was fetched before in {}", folder.shown());
                Failed::usage(text).next("Leave --conditional out, or name the folder: --store DIR")
            })?);
        }
        // Meanwhile: neither needs the other.
        let opening = server.is_none().then(|| Opening::begin(folder));
        let taken = match list::take(file, folder, output) {
            Ok(taken) => taken,
            Err(failed) => {
                // Nobody leaves a store that is half open.
                drop(opening.map(Opening::opened));
                return Err(failed);
            }
        };
        let state = State {
            key: format!("fetch-{:016x}", Randomness::default().bits()),
            terms: terms.said(),
            output: self.output.as_deref().map(absolute).transpose()?,
            bodies: self.bodies.as_deref().map(absolute).transpose()?,
            failed: 0,
            lines: taken.lines,
            bad: taken.bad,
            server: server.map(|session| session.client.address.to_string()),
            batch: None,
            done: false,
        };
        folder.write(&state)?;
        Ok((state, opening))
    }

    /// What was begun, with the limits of now. The other terms are in the jobs already: what is said of them is told not to count.
    fn again(&self, mut state: State, output: Output, server: Option<&Session>) -> Result<State, Failed> {
        let now = server.map(|session| session.client.address.to_string());
        if state.server != now {
            let text = match &state.server {
                Some(server) => format!("this was begun on the server at {server}"),
                None => "this was begun without a server".to_owned(),
            };
            return Err(Failed::usage(text)
                .next("Go on where it was: with the same --url or RAINCHECK_URL, or without"));
        }
        let mut terms = state.terms()?;
        let said = self.terms()?;
        // On a server they are those of its batch.
        if server.is_none() {
            terms.concurrency = self.concurrency.or(terms.concurrency);
            terms.per_host = self.per_host.or(terms.per_host);
            terms.rate = self.rate.or(terms.rate);
        }
        for (name, text) in said.said() {
            let may_differ = server.is_none() || !self.says(&name);
            let stays = !(may_differ && LIMITS.contains(&name.as_str()));
            if stays && !state.terms.contains(&(name.clone(), text)) {
                let option = name.replace('_', "-");
                output.note(&format!(
                    "--{option} stays as it was when this was begun; --restart begins anew"
                ));
            }
        }
        state.terms = terms.said();
        if let Some(output) = &self.output {
            state.output = Some(absolute(output)?);
        }
        Ok(state)
    }

    fn terms(&self) -> Result<Terms, Failed> {
        let mut terms = Terms {
            concurrency: Some(self.concurrency.unwrap_or(CONCURRENCY)),
            per_host: Some(self.per_host.unwrap_or(PER_HOST)),
            rate: self.rate,
            max_attempts: self.max_attempts,
            follow: self.follow,
            max_body: self.max_body,
            since: self.since,
            ..Terms::default()
        };
        for (name, text) in [
            ("backoff", &self.backoff),
            ("timeout", &self.timeout),
            ("deadline", &self.deadline),
            ("keep", &self.keep),
        ] {
            if let Some(text) = text {
                let taken = terms.take(name, text);
                taken.map_err(|why| Failed::usage(format!("--{name}: {why}")))?;
            }
        }
        Ok(terms)
    }

    /// Whether something was said of this limit.
    fn says(&self, limit: &str) -> bool {
        match limit {
            "concurrency" => self.concurrency.is_some(),
            "per_host" => self.per_host.is_some(),
            _ => true,
        }
    }

    /// The command that goes on.
    fn command(&self, state: &State) -> String {
        let mut words = vec!["raincheck fetch --resume".to_owned()];
        if let Some(output) = &self.output {
            words.push(format!("-o {}", quoted(output)));
        }
        if let Some(store) = &self.store {
            words.push(format!("--store {}", quoted(store)));
        }
        if let Some(server) = &state.server {
            words.push(format!("--url {server}"));
        }
        words.join(" ")
    }

    fn unfinished(&self, folder: &Folder, state: &State) -> Failed {
        let text = format!("{} holds unfinished work, {} URLs", folder.shown(), state.lines);
        let go_on = self.command(state);
        Failed::new(Exit::Conflict, text).next(format!("Go on: {go_on}; or begin anew: --restart"))
    }
}

/// What the two ways to do it get.
pub(crate) struct Work<'a> {
    pub(crate) folder: &'a Folder,
    pub(crate) state: &'a State,
    pub(crate) out: Out,
    /// The last result that was written.
    pub(crate) after: u64,
    pub(crate) meter: Meter,
    /// The command that goes on.
    pub(crate) again: String,
}

impl Work<'_> {
    /// What a run came to; `None` where it was interrupted.
    pub(crate) fn ended(&mut self, ended: Option<Result<(), Failed>>) -> Result<Tally, Failed> {
        self.meter.clear();
        let ended = match (ended, self.out.flush()) {
            (None, Ok(())) => return Err(self.interrupted()),
            (Some(Err(failed)), _) | (_, Err(failed)) => Err(failed),
            (Some(Ok(())), Ok(())) => self.out.finish(),
        };
        ended.map_err(|failed| match failed.next {
            Some(_) => failed,
            None => failed.next(format!("What came is kept. Go on: {}", self.again)),
        })?;
        Ok(self.meter.tally())
    }

    /// From here on the first signal is heard, and a second one ends the process, whatever it waits for: what is written is known at every moment.
    pub(crate) fn end_at_a_second_signal(&self, output: Output) -> Result<Signals, Failed> {
        let failed = Failed::new(
            Exit::Interrupted,
            "interrupted, while something could not be written",
        );
        let failed = failed.next(format!("Go on: {}", self.again));
        let end = move || {
            output.error(&failed);
            std::process::exit(failed.exit as i32);
        };
        Ok(last_resort(LAST_RESORT, end)?)
    }

    fn interrupted(&self) -> Failed {
        let (done, all) = (self.meter.tally().done, self.state.lines);
        let failed = Failed::new(
            Exit::Interrupted,
            format!("interrupted; {done} of {all} URLs are written"),
        );
        failed.next(format!("Go on: {}", self.again))
    }
}

/// Nothing is left to go on with.
fn over(folder: &Folder, state: &State, output: Output) -> Result<(), Failed> {
    let failed = match state.failed + state.bad {
        0 => String::new(),
        failed => format!("; {failed} of it without an answer"),
    };
    output.note(&format!(
        "all that was begun in {} is fetched{failed}",
        folder.shown()
    ));
    state.end()
}

fn nothing_begun(folder: &str) -> Failed {
    let failed = Failed::new(Exit::NotFound, format!("nothing was begun in {folder}"));
    failed.next("Name the output or the folder of the run that was interrupted: -o FILE or --store DIR")
}

fn absolute(path: &Path) -> Result<PathBuf, Failed> {
    Ok(std::path::absolute(path)?)
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    shlex::try_quote(&text).map_or_else(|_| text.clone().into_owned(), std::borrow::Cow::into_owned)
}

fn summary(state: &State, tally: Tally) -> String {
    let mut parts = vec![format!("{} URLs: {} answered", state.lines, tally.answered)];
    for (count, what) in [
        (tally.other, "not with a 2xx"),
        (tally.revalidated, "unchanged"),
        (state.lines.saturating_sub(tally.answered), "failed"),
        (state.bad, "lines were no URLs"),
    ] {
        if count > 0 {
            parts.push(format!("{count} {what}"));
        }
    }
    parts.push(meter::bytes(tally.bytes));
    parts.join(", ")
}
