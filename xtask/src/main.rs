//! `cargo xtask`: the project's own chores.

use std::process::ExitCode;

use anyhow::{Result, bail};
use xtask::flags::Flags;
use xtask::{setup, suite, tidy, tree};

const HELP: &str = "\
The project's own chores.

  cargo xtask test [--only STEP,STEP] [--cycles N]
      everything that has to hold, in one command; what .ci/run runs
  cargo xtask setup
      install what the tests need (strace, curl, rustfmt, clippy) where it is missing
  cargo xtask tidy
      the form of the project's files: module docs, lengths, layers, words, pages
";

/// Cycles of the crash test in the suite.
const CYCLES: u64 = 50;

#[expect(
    clippy::print_stdout,
    reason = "a command line tool speaks on standard output"
)]
fn say(line: &str) {
    println!("{line}");
}

#[expect(clippy::print_stderr, reason = "what went wrong belongs on standard error")]
fn complain(line: &str) {
    eprintln!("{line}");
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn dispatch(words: &[String]) -> Result<()> {
    let (command, rest) = match words {
        [] => ("help", words),
        [command, rest @ ..] => (command.as_str(), rest),
    };
    match command {
        "help" | "--help" | "-h" => {
            say(HELP.trim_end());
            Ok(())
        }
        "test" => {
            let flags = Flags::parse(rest, &["only", "cycles"], &[])?;
            let only: Option<String> = flags.value("only")?;
            suite::test(only.as_deref(), flags.value("cycles")?.unwrap_or(CYCLES), &say)
        }
        "setup" => {
            Flags::parse(rest, &[], &[])?;
            setup::setup()
        }
        "tidy" => {
            Flags::parse(rest, &[], &[])?;
            tidy()
        }
        other => bail!("no such command: {other}; see cargo xtask help"),
    }
}

fn tidy() -> Result<()> {
    let findings = tidy::check(&tree::top()?)?;
    for finding in &findings {
        complain(&finding.to_string());
    }
    let errors = findings.iter().filter(|finding| !finding.smell).count();
    if errors > 0 {
        bail!("{errors} files or lines are not as they should be");
    }
    Ok(())
}
