//! How a command ends: its exit code, and what it says when it did not do what was asked.
//!
//! Invariant: the numbers here are the ones in `raincheck --help` and the README; scripts branch on them.

use std::fmt;

/// The exit codes. Their numbers never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Ok = 0,
    /// It did not work, for a reason that has no number of its own.
    Failure = 1,
    /// The command line, or an option that the server refused.
    Usage = 2,
    /// The job ended without success.
    JobFailed = 3,
    /// The server does not let us.
    Auth = 4,
    /// There is no such job or queue, or no longer.
    NotFound = 5,
    /// The time that was granted is over; the job still runs.
    Timeout = 6,
    /// Something else is there, or somebody was first.
    Conflict = 7,
    /// The server cannot be reached, or takes nothing now.
    Unreachable = 69,
    /// The server's store failed.
    StoreFailed = 70,
    /// Ctrl-C.
    Interrupted = 130,
}

/// The table of exit codes, as `--help` shows it.
pub(crate) const TABLE: &str = "\
Exit codes:
    0  done
    1  failure
    2  usage: the command line, or an option that the server refused
    3  the job ended without success (submit --wait, job result)
    4  not allowed
    5  no such job or queue, or no longer
    6  time is over; the job still runs
    7  conflict
   69  server unreachable, or taking nothing now
   70  store failed (serve)
  130  interrupted";

/// Why a command did not do what was asked: what happened and why, and what to type next.
#[derive(Debug)]
pub(crate) struct Failed {
    /// How the process ends.
    pub(crate) exit: Exit,
    /// What happened and why: a fragment that follows `error: `, without a full stop. Empty where everything has
    /// been said already.
    pub(crate) message: String,
    /// What to do, such as `Start one: raincheck serve`.
    pub(crate) next: Option<String>,
}

impl Failed {
    /// A failure without a next step.
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
            next: None,
        }
    }

    /// The command line asks for something that cannot be.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// The server's answer is not what this version knows.
    pub(crate) fn unreadable(error: &serde_json::Error) -> Self {
        Self::new(
            Exit::Failure,
            format!("the server's answer is not what this version knows: {error}"),
        )
        .next("Compare the versions: raincheck version")
    }

    /// Ends with this code and says nothing more.
    pub(crate) fn silent(exit: Exit) -> Self {
        Self::new(exit, "")
    }

    /// Adds what to do now.
    #[must_use]
    pub(crate) fn next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }

    /// Adds something more to do.
    #[must_use]
    pub(crate) fn also(self, more: &str) -> Self {
        match self.next.clone() {
            Some(next) => self.next(format!("{next}. {more}")),
            None => self.next(more),
        }
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let message = self.message.trim_end_matches('.');
        match &self.next {
            Some(next) => write!(f, "{message}. {next}"),
            None => f.write_str(message),
        }
    }
}

/// A local read or write that failed. Nobody reading our output any more (`| head`) is no failure.
impl From<std::io::Error> for Failed {
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            Self::silent(Exit::Ok)
        } else {
            Self::new(Exit::Failure, error.to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_what_happened_and_then_what_to_do() {
        let failed = Failed::new(Exit::Conflict, "queue \"q\" is not empty.")
            .next("Empty it: raincheck queue purge q");
        assert_eq!(
            failed.to_string(),
            "queue \"q\" is not empty. Empty it: raincheck queue purge q"
        );
        assert_eq!(Failed::usage("no").to_string(), "no");
    }

    #[test]
    fn the_table_in_the_help_shows_every_code() {
        for exit in [
            Exit::Ok,
            Exit::Failure,
            Exit::Usage,
            Exit::JobFailed,
            Exit::Auth,
            Exit::NotFound,
            Exit::Timeout,
            Exit::Conflict,
            Exit::Unreachable,
            Exit::StoreFailed,
            Exit::Interrupted,
        ] {
            assert!(TABLE.contains(&format!("\n{:>5}  ", exit as u8)), "{exit:?}");
        }
    }
}
