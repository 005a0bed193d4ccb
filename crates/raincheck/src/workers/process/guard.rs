//! A small process that outlives its starter for a moment, and ends what that was running.
//!
//! A process that is killed cannot end its programs itself, and without `unsafe` it cannot ask the system to. So it starts
//! this program once more, holding one end of a pipe, and writes down every process group that it starts and ends. When the
//! pipe closes, its starter is gone, however that came about: what is written down then is killed.
//!
//! Invariant: a group is forgotten before its leader is reaped, so that no number is signalled that may be somebody
//! else's. (A program is written down just after its start: one that is started in the very moment of the end is missed.)

use std::collections::HashSet;
use std::io::{self, BufRead, Write};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};

use rustix::process::{Pid, Signal, kill_process_group};
use tracing::warn;

/// The guard of this process, where it was given one.
static GUARD: OnceLock<Guard> = OnceLock::new();

/// How this process's guard is started, and what it is told.
#[derive(Debug)]
struct Guard {
    program: PathBuf,
    argument: &'static str,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    pipe: Option<ChildStdin>,
    groups: HashSet<i32>,
    /// Whether it was said that there is no guard.
    warned: bool,
}

/// From now on `program argument` guards what this process runs. It is started with the first program, and must call
/// [`run_guard`] with its standard input. Only the first call counts.
pub fn guard_by(program: PathBuf, argument: &'static str) {
    // Only the first call counts.
    let _ = GUARD.set(Guard {
        program,
        argument,
        state: Mutex::default(),
    });
}

/// Sees to it that the guard is there before a program is started, so that writing it down takes no time.
pub(super) fn ready() {
    if let Some(guard) = GUARD.get() {
        let mut state = guard.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.pipe.is_none() {
            guard.renew(&mut state);
        }
    }
}

/// Writes a group down.
pub(super) fn enter(group: Pid) {
    if let Some(guard) = GUARD.get() {
        let mut state = guard.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.groups.insert(group.as_raw_nonzero().get());
        guard.write(&mut state, '+', group);
    }
}

/// Forgets a group whose leader is about to be reaped.
pub(super) fn leave(group: Pid) {
    if let Some(guard) = GUARD.get() {
        let mut state = guard.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.groups.remove(&group.as_raw_nonzero().get()) {
            guard.write(&mut state, '-', group);
        }
    }
}

impl Guard {
    fn write(&self, state: &mut State, sign: char, group: Pid) {
        let line = format!("{sign}{}\n", group.as_raw_nonzero());
        let written = state.pipe.as_mut().map(|pipe| pipe.write_all(line.as_bytes()));
        if matches!(written, Some(Ok(()))) {
            return;
        }
        self.renew(state);
    }

    /// Starts a guard where there is none, and tells it of all that runs.
    fn renew(&self, state: &mut State) {
        let started = self.start().and_then(|mut pipe| {
            let all: String = state.groups.iter().map(|group| format!("+{group}\n")).collect();
            pipe.write_all(all.as_bytes())?;
            Ok(pipe)
        });
        match started {
            Ok(pipe) => state.pipe = Some(pipe),
            Err(error) => {
                state.pipe = None;
                if !std::mem::replace(&mut state.warned, true) {
                    warn!(%error, "programs are not guarded: they would outlive a kill of this process");
                }
            }
        }
    }

    fn start(&self) -> io::Result<ChildStdin> {
        // A group of its own: what ends ours, such as Ctrl-C on a terminal, does not end it first.
        let mut guard = Command::new(&self.program)
            .arg(self.argument)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        guard.stdin.take().ok_or_else(|| io::Error::other("no pipe"))
    }
}

/// What the guard does: reads which groups there are until its starter is gone, and kills those that are left.
pub fn run_guard(lines: impl BufRead) {
    let mut groups: HashSet<Pid> = HashSet::new();
    for line in lines.lines().map_while(Result::ok) {
        let Some(group) = line
            .get(1..)
            .and_then(|number| number.parse().ok())
            .and_then(Pid::from_raw)
        else {
            continue;
        };
        if line.starts_with('+') {
            groups.insert(group);
        } else {
            groups.remove(&group);
        }
    }
    for group in groups {
        // It fails only where nobody is left in the group, which is what is wanted.
        let _ = kill_process_group(group, Signal::KILL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_started_and_not_ended_is_killed_and_nothing_else() {
        let start = || {
            let mut command = Command::new("sleep");
            command.arg("1000").process_group(0).spawn().unwrap()
        };
        let (mut left, mut ended) = (start(), start());
        let lines = format!("+{}\n+{}\n-{}\nnonsense\n+x\n", left.id(), ended.id(), ended.id());
        run_guard(lines.as_bytes());
        assert!(!left.wait().unwrap().success());
        assert!(
            ended.try_wait().unwrap().is_none(),
            "it was ended in good order before"
        );
        ended.kill().unwrap();
        ended.wait().unwrap();
    }
}
