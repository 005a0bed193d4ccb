//! `cargo xtask test`: everything that has to hold before a change lands, in one command.
//!
//! Invariants: a step that fails does not hide the others; the last lines say how many passed and how many failed,
//! counting each test of cargo's and each step that is not tests, and name those that failed.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use tokio::time::Instant;

use crate::tree::{cargo, line, target, top};

/// One step of the suite.
struct Step {
    name: &'static str,
    command: Command,
}

/// What one step came to.
struct Outcome {
    name: &'static str,
    took: Duration,
    passed: u64,
    failed: u64,
    /// The tests that failed, by name.
    names: Vec<String>,
}

fn step(name: &'static str, command: &mut Command) -> Step {
    let empty = Command::new("");
    Step {
        name,
        command: std::mem::replace(command, empty),
    }
}

fn xtask(words: &[&str]) -> Command {
    let mut command = cargo();
    command.args(["xtask"]).args(words);
    command
}

/// The steps, cheapest first, so that a slip is told soon. `cycles` is how often the crash test kills.
fn steps(top: &Path, cycles: u64) -> Result<Vec<Step>> {
    // The one that the tests build: a build of its own costs minutes and finds nothing more.
    let binary = target()?.join("debug/raincheck");
    let binary = binary.to_str().context("the target folder's name is text")?;
    let cycles = cycles.to_string();
    let mut steps = vec![
        step("setup", &mut xtask(&["setup"])),
        step("fmt", cargo().args(["fmt", "--all", "--check"])),
        step("tidy", &mut xtask(&["tidy"])),
        step(
            "clippy",
            cargo().args([
                "clippy",
                "--quiet",
                "--workspace",
                "--all-targets",
                "--locked",
                "--",
                "-D",
                "warnings",
            ]),
        ),
        step(
            "build",
            cargo().args(["test", "--quiet", "--workspace", "--locked", "--no-run"]),
        ),
        step(
            "tests",
            cargo().env("RUST_TEST_THREADS", threads().to_string()).args([
                "test",
                "--quiet",
                "--workspace",
                "--locked",
                "--no-fail-fast",
            ]),
        ),
        step(
            "docs",
            // Pages for those who work on it: what is private is shown, and may be linked to. Only libraries, since
            // the binary and the library have one name and would write one page. Not the command line's, whose comments
            // are its help.
            cargo()
                .env("RUSTDOCFLAGS", "-D warnings -A rustdoc::private-intra-doc-links")
                .args([
                    "doc",
                    "--quiet",
                    "--workspace",
                    "--exclude",
                    "raincheck-cli",
                    "--lib",
                    "--no-deps",
                    "--locked",
                    "--document-private-items",
                ]),
        ),
        step("fuzz", &mut xtask(&["fuzz"])),
        step("schema", &mut xtask(&["schema", "--binary", binary])),
        step(
            "crash",
            &mut xtask(&["soak", "kill", "--cycles", &cycles, "--binary", binary]),
        ),
        step("strace", &mut xtask(&["strace", "--binary", binary])),
        step("trouble", &mut xtask(&["trouble", "--binary", binary])),
        step(
            "example",
            Command::new("examples/thumbs/run").env("RAINCHECK", binary),
        ),
    ];
    if has_deny() {
        // What of it needs no network; advisories do.
        let words = [
            "deny",
            "--offline",
            "--log-level",
            "error",
            "check",
            "licenses",
            "bans",
            "sources",
        ];
        steps.insert(3, step("deny", cargo().args(words)));
    }
    for step in &mut steps {
        // Tests panic on purpose, too: a line of each is enough to find those that do not.
        step.command.current_dir(top).env("RUST_BACKTRACE", "0");
    }
    Ok(steps)
}

/// So many tests at once: most of them wait for servers, for syncs or for a time-out of theirs, and not for a core.
fn threads() -> usize {
    2 * std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Whether `cargo deny` is installed: building it takes longer than everything else, so nobody has to.
fn has_deny() -> bool {
    let mut asked = cargo();
    asked
        .args(["deny", "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    asked.status().is_ok_and(|status| status.success())
}

/// Runs all steps, or those named, and says at the end how it went.
///
/// # Errors
/// When a step failed or could not be started.
pub fn test(only: Option<&str>, cycles: u64, say: &dyn Fn(&str)) -> Result<()> {
    let steps = steps(&top()?, cycles)?;
    let names: Vec<&str> = steps.iter().map(|step| step.name).collect();
    let wanted: Option<Vec<&str>> = only.map(|only| only.split(',').collect());
    if let Some(unknown) = wanted.iter().flatten().find(|name| !names.contains(name)) {
        bail!("no such step: {unknown}; there are: {}", names.join(" "));
    }
    let mut outcomes = Vec::new();
    for step in steps {
        if wanted.as_ref().is_none_or(|wanted| wanted.contains(&step.name)) {
            say(&format!("── {}: {}", step.name, line(&step.command)));
            outcomes.push(run(step, say));
        }
    }
    say("");
    say("step          took    passed  failed");
    for outcome in &outcomes {
        let took = outcome.took.as_secs_f64();
        say(&format!(
            "{:<10} {took:>6.1} s  {:>7} {:>7}",
            outcome.name, outcome.passed, outcome.failed
        ));
    }
    let passed: u64 = outcomes.iter().map(|outcome| outcome.passed).sum();
    let failed: u64 = outcomes.iter().map(|outcome| outcome.failed).sum();
    let took: f64 = outcomes.iter().map(|outcome| outcome.took.as_secs_f64()).sum();
    say(&format!("{passed} passed, {failed} failed, in {took:.0} s"));
    ensure!(failed == 0, "{failed} failed: {}", named(&outcomes));
    Ok(())
}

/// What failed: steps, and in them tests.
fn named(outcomes: &[Outcome]) -> String {
    let failed = outcomes.iter().filter(|outcome| outcome.failed > 0);
    let each = failed.map(|outcome| match outcome.names.as_slice() {
        [] => outcome.name.to_owned(),
        names => format!("{} ({})", outcome.name, names.join(", ")),
    });
    each.collect::<Vec<_>>().join("; ")
}

/// Runs one step, shows what it prints, and counts cargo's test results in it.
fn run(mut step: Step, say: &dyn Fn(&str)) -> Outcome {
    let began = Instant::now();
    let (mut passed, mut failed, mut names) = (0, 0, Vec::new());
    let mut watch = || -> Result<bool> {
        let mut child = step.command.stdout(Stdio::piped()).spawn()?;
        let stdout = child.stdout.take().context("its output is piped")?;
        for text in BufReader::new(stdout).lines() {
            let text = text?;
            say(&text);
            if let Some((ok, bad)) = results(&text) {
                passed += ok;
                failed += bad;
            }
            names.extend(failure(&text).map(str::to_owned));
        }
        Ok(child.wait()?.success())
    };
    let succeeded = watch().unwrap_or_else(|error| {
        say(&format!("{}: {error:#}", step.name));
        false
    });
    // A step that is not tests counts as one; one that broke down without a failed test counts as failed.
    if succeeded && passed == 0 {
        passed = 1;
    }
    if !succeeded && failed == 0 {
        failed = 1;
    }
    Outcome {
        name: step.name,
        took: began.elapsed(),
        passed,
        failed,
        names,
    }
}

/// The test of a line such as `---- name stdout ----`, above what one that failed has printed.
fn failure(line: &str) -> Option<&str> {
    line.strip_prefix("---- ")?.strip_suffix(" stdout ----")
}

/// Passed and failed of a line such as `test result: ok. 24 passed; 0 failed; 0 ignored; …`.
fn results(line: &str) -> Option<(u64, u64)> {
    let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let mut counts = counts.split("; ").map(|count| count.split_once(' '));
    let (passed, _) = counts.next()??;
    let (failed, _) = counts.next()??;
    Some((passed.parse().ok()?, failed.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargos_results_are_counted() {
        let line = "test result: FAILED. 22 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out";
        assert_eq!(results(line), Some((22, 2)));
        assert_eq!(results("running 3 tests"), None);
    }

    #[test]
    fn what_failed_is_named() {
        let quiet = |_: &str| {};
        let mut print = Command::new("printf");
        print.args([
            "%s\n",
            "---- a::b stdout ----",
            "test result: FAILED. 1 passed; 1 failed; 0 ignored",
        ]);
        let outcomes = [
            run(step("tests", &mut print), &quiet),
            run(step("true", &mut Command::new("true")), &quiet),
            run(step("false", &mut Command::new("false")), &quiet),
        ];
        assert_eq!(named(&outcomes), "tests (a::b); false");
    }

    #[test]
    fn a_step_that_fails_counts_as_failed() {
        let quiet = |_: &str| {};
        let failed = run(step("false", &mut Command::new("false")), &quiet);
        assert_eq!((failed.passed, failed.failed), (0, 1));
        let passed = run(step("true", &mut Command::new("true")), &quiet);
        assert_eq!((passed.passed, passed.failed), (1, 0));
        let missing = run(step("none", &mut Command::new("no-such-program")), &quiet);
        assert_eq!((missing.passed, missing.failed), (0, 1));
    }
}
