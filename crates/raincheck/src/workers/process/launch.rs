//! Limits of a program: this program once more, which takes them upon itself and becomes the other.
//!
//! The system has limits set by a process for itself, between its start and its program; without `unsafe` nothing of ours
//! runs there. So a program that has limits is started as `raincheck launch LIMITS -- PROGRAM`, which stays the same process
//! to its end. Invariant: a program runs with all the limits that were asked for, or not at all.

use std::ffi::OsString;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::sync::OnceLock;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::confine::{Confinement, Limits};

/// What ends the limits' words.
const END: &str = "--";
/// What a shell ends with where a program cannot be started.
const NOT_STARTED: u8 = 126;

/// What starts programs that have limits, where this process was given it.
static LAUNCHER: OnceLock<(PathBuf, &'static str)> = OnceLock::new();

/// From now on `program argument` starts the programs of this process that have limits; it must call [`run_launch`] with
/// the words that follow. Only the first call counts. Without it such programs are not started.
pub fn launch_by(program: PathBuf, argument: &'static str) {
    // Only the first call counts.
    let _ = LAUNCHER.set((program, argument));
}

/// The command that starts this program within its limits, as its user.
pub(super) fn command(argv: &[String], confinement: &Confinement) -> io::Result<Command> {
    let name = argv.first().map_or("", String::as_str);
    let user = confinement.user.as_ref().map(|user| (user.uid, user.gid));
    if confinement.limits == Limits::default() {
        let mut command = Command::new(name);
        command.args(argv.iter().skip(1));
        be(&mut command, user);
        return Ok(command);
    }
    let (launcher, argument) = LAUNCHER.get().ok_or_else(|| {
        io::Error::other("it has limits, and this process has nothing that starts such programs")
    })?;
    startable(name)?;
    let mut command = Command::new(launcher);
    command.arg(argument).args(words(confinement.limits));
    command.args(user.iter().map(|(uid, gid)| format!("user={uid}:{gid}")));
    command.arg(END).args(argv);
    Ok(command)
}

/// Whether a program that is named by its path may be started; what is told before is told better.
fn startable(name: &str) -> io::Result<()> {
    if name.contains('/') {
        let mode = std::fs::metadata(name)?.permissions().mode();
        if mode & 0o111 == 0 {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
    }
    Ok(())
}

/// As whom it runs. The standard library lets go of all further groups with it.
fn be(command: &mut Command, user: Option<(u32, u32)>) {
    if let Some((uid, gid)) = user {
        command.uid(uid).gid(gid);
    }
}

/// The resources by their words.
const RESOURCES: [(&str, Resource); 4] = [
    ("cpu", Resource::Cpu),
    ("memory", Resource::As),
    ("open-files", Resource::Nofile),
    ("file-size", Resource::Fsize),
];

fn words(limits: Limits) -> impl Iterator<Item = String> {
    // Part of a second is one: less than asked for would not be what was said.
    let seconds = |cpu: std::time::Duration| cpu.as_millis().div_ceil(1_000).max(1).to_string();
    let values = [
        limits.cpu.map(seconds),
        limits.memory.map(|size| size.0.to_string()),
        limits.open_files.map(|count| count.to_string()),
        limits.file_size.map(|size| size.0.to_string()),
    ];
    let named = RESOURCES.into_iter().zip(values);
    named.filter_map(|((word, _), value)| Some(format!("{word}={}", value?)))
}

/// What the launcher does with its words: takes the limits upon itself and becomes the program. It returns only where that
/// cannot be; what it says then on standard error is what the attempt's failure tells.
#[must_use]
pub fn run_launch(words: impl Iterator<Item = OsString>) -> ExitCode {
    match launch(words) {
        Ok(never) => match never {},
        Err(why) => {
            // Whoever started it reads this; nothing else of ours ever runs here.
            let _ = io::Write::write_all(&mut io::stderr(), format!("raincheck: {why}\n").as_bytes());
            ExitCode::from(NOT_STARTED)
        }
    }
}

fn launch(mut words: impl Iterator<Item = OsString>) -> Result<std::convert::Infallible, String> {
    const FORM: &str =
        "launch is what raincheck starts programs with: write raincheck serve or raincheck work";
    let (mut limits, mut user) = (Vec::new(), None);
    for word in words.by_ref() {
        let word = word.to_str().ok_or(FORM)?;
        if word == END {
            break;
        }
        let (name, value) = word.split_once('=').ok_or(FORM)?;
        if name == "user" {
            let (uid, gid) = value.split_once(':').ok_or(FORM)?;
            let number = |text: &str| text.parse::<u32>().map_err(|_| FORM);
            user = Some((number(uid)?, number(gid)?));
            continue;
        }
        let known = RESOURCES.into_iter().find(|(known, _)| *known == name);
        let (_, resource) = known.ok_or(FORM)?;
        limits.push((name.to_owned(), resource, value.parse::<u64>().map_err(|_| FORM)?));
    }
    let program = words.next().ok_or(FORM)?;
    let mut command = Command::new(&program);
    command.args(words);
    be(&mut command, user);
    for (name, resource, value) in limits {
        limit(resource, value).map_err(|error| format!("its limit of {name} cannot be set: {error}"))?;
    }
    // It returns only where it fails.
    let error = command.exec();
    Err(format!("{} cannot be started: {error}", program.display()))
}

fn limit(resource: Resource, value: u64) -> io::Result<()> {
    let there = getrlimit(resource);
    let most = there.maximum.unwrap_or(u64::MAX);
    // CPU time ends with a word to the program first, and for good a second later.
    let grace = u64::from(resource == Resource::Cpu);
    let limit = Rlimit {
        current: Some(value.min(most)),
        maximum: Some(value.saturating_add(grace).min(most)),
    };
    Ok(setrlimit(resource, limit)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use raincheck_core::queue::ByteSize;
    use std::time::Duration;

    #[test]
    fn limits_are_words_and_what_is_not_limited_is_none() {
        let limits = Limits {
            cpu: Some(Duration::from_millis(1_200)),
            memory: Some(ByteSize(1 << 20)),
            open_files: None,
            file_size: Some(ByteSize(7)),
        };
        let all: Vec<_> = words(limits).collect();
        assert_eq!(all, ["cpu=2", "memory=1048576", "file-size=7"]);
    }

    #[test]
    fn words_that_mean_nothing_start_nothing() {
        for bad in [
            &[][..],
            &["--"],
            &["cpu=1"],
            &["cpu", "--", "true"],
            &["cpu=x", "--", "true"],
            &["colour=1", "--", "true"],
            &["user=1", "--", "true"],
        ] {
            let words = bad.iter().map(OsString::from);
            assert!(launch(words).is_err(), "{bad:?}");
        }
    }
}
