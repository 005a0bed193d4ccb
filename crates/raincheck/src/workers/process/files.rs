//! How many files this process may have open: as many as it is allowed to allow itself, while its programs may have as many as before.
//!
//! Systems let a process have 1,024 unless it asks, for the sake of programs that count files with `select`, and as many as it asks for up to
//! a hard limit. Invariant: what was asked for here is not the programs': their limit is that of before from just after their start.

use std::sync::OnceLock;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit, setrlimit};

use super::confine::Confinement;

/// No more are asked for: each takes a little of the system's memory, and a hard limit may be none at all.
const ENOUGH: u64 = 1 << 20;

/// The limit of before, where more was asked for.
static BEFORE: OnceLock<Rlimit> = OnceLock::new();

/// Lets this process have as many files open as it may allow itself, at most a million; programs that it starts may have as many as before.
/// Where that is not to be had, all stays as it is.
///
/// ```
/// raincheck::workers::process::open_many_files();
/// ```
pub fn open_many_files() {
    let before = getrlimit(Resource::Nofile);
    let Some(more) = more(&before) else { return };
    if setrlimit(Resource::Nofile, more).is_ok() {
        // What was asked for first is told to programs.
        let _ = BEFORE.set(before);
    }
}

/// What to ask for; `None` where there is no more to be had.
fn more(before: &Rlimit) -> Option<Rlimit> {
    let current = before.current?;
    let wanted = before.maximum.unwrap_or(ENOUGH).min(ENOUGH);
    (wanted > current).then_some(Rlimit {
        current: Some(wanted),
        maximum: before.maximum,
    })
}

/// Gives a program that was just started the limit of before, unless it has one of its own.
pub(super) fn as_before(program: Pid, confinement: &Confinement) {
    if let Some(before) = BEFORE.get()
        && confinement.limits.open_files.is_none()
    {
        // It may be gone already.
        let _ = prlimit(Some(program), Resource::Nofile, *before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_are_asked_for_as_there_may_be_up_to_a_million() {
        let limit = |current, maximum| Rlimit { current, maximum };
        for (before, wanted) in [
            (limit(Some(1_024), Some(524_288)), Some(524_288)),
            (limit(Some(1_024), None), Some(ENOUGH)),
            (limit(Some(1_024), Some(1 << 30)), Some(ENOUGH)),
            (limit(Some(4_096), Some(4_096)), None),
            (limit(Some(1 << 30), Some(1 << 30)), None),
            (limit(None, None), None),
        ] {
            let asked = more(&before);
            assert_eq!(asked.as_ref().and_then(|more| more.current), wanted, "{before:?}");
            assert!(asked.is_none_or(|more| more.maximum == before.maximum));
        }
    }
}
