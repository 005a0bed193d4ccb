//! Asking before something is destroyed.
//!
//! Invariant: without `--yes` nothing is destroyed unless a person at a terminal said so.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use clap::Args;

use crate::exit::{Exit, Failed};

/// The flag of destructive commands.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Confirm {
    /// Do it without asking
    #[arg(short, long)]
    pub(crate) yes: bool,
}

impl Confirm {
    /// Asks `question` where nobody said yes already; `command` is what to type without a terminal.
    pub(crate) fn ask(self, question: &str, command: &str) -> Result<(), Failed> {
        if self.yes {
            return Ok(());
        }
        if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
            return Err(
                Failed::usage("this destroys something, and nobody is there to be asked")
                    .next(format!("Say yes in advance: {command} --yes")),
            );
        }
        write!(io::stderr(), "{question} [y/N] ")?;
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer)?;
        match answer.trim().to_ascii_lowercase().as_str() {
            "y" | "yes" => Ok(()),
            _ => Err(Failed::new(Exit::Failure, "nothing was changed")),
        }
    }
}
