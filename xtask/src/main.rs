//! `cargo xtask`: the project's own chores.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use xtask::flags::Flags;
use xtask::{fuzz, openapi, rng, schema, setup, soak, strace, suite, tidy, tree, trouble};

const HELP: &str = "\
The project's own chores.

  cargo xtask test [--only STEP,STEP] [--cycles N]
      everything that has to hold, in one command; what .ci/run runs
  cargo xtask soak kill [--cycles N] [--seed S] [--binary PATH] [--keep]
      the real server under load, killed N times; every promise checked by what its clients saw
  cargo xtask strace [--binary PATH] [--seed S] [--points N]
      what the kernel saw: the sync returns before the 202, syncs are shared, a failed one is fatal
  cargo xtask trouble [--binary PATH] [--seed S] [--only disk,stall,clock,damage,memory] [--disks N]
                      [--stalls N] [--damages N]
      a disk that fills up, one that stalls, a clock that jumps by hours, files that are damaged, more clients than it takes: nothing promised is lost
  cargo xtask soak trouble [the same]
      the same, long
  cargo xtask fuzz [--seconds N] [--seed N] [--only TARGET,TARGET] [--keep]
      every parser under libFuzzer, each for N seconds; --keep writes the smallest inputs that reach what was reached to fuzz/corpus
  cargo xtask soak fuzz [--minutes N] [the same]
      the same, N minutes in all
  cargo xtask soak beside
      an application with sqlx of its own, built and run beside the library, outside the workspace; takes minutes
  cargo xtask soak features
      the library with each of its features alone, checked; takes minutes
  cargo xtask schema [--binary PATH]
      what the OpenAPI document says, tried against the real server by schemathesis
  cargo xtask setup
      install what the tests need (strace, faketime, curl, nginx, rustfmt, clippy, Python packages) where it is missing
  cargo xtask openapi
      write openapi.json from the code; a test says when it is due
  cargo xtask tidy
      the form of the project's files: module docs, lengths, layers, words, pages
";

/// Cycles of the crash test in the suite.
const CYCLES: u64 = 50;
/// Disks that fill up, in the suite.
const TROUBLES: u64 = 2;
/// Times that a disk stalls, in the suite.
const STALLS: u64 = 1;
/// Damaged copies of a store, in the suite and in the long run.
const DAMAGES: u64 = 40;
const DAMAGES_LONG: u64 = 4_000;
/// Seconds of each target of the fuzzer, and minutes of the long run.
const FUZZ_SECONDS: u64 = 3;
const FUZZ_MINUTES: u64 = 60;
/// Failing syncs, and failing writes, in the suite.
const POINTS: u64 = 5;

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
        "soak" => soak(rest),
        "strace" => {
            let flags = Flags::parse(rest, &["binary", "seed", "points"], &[])?;
            let options = strace::Options {
                binary: binary(&flags)?,
                seed: flags.value("seed")?.unwrap_or_else(rng::short_seed),
                points: flags.value("points")?.unwrap_or(POINTS),
            };
            strace::prove(&options, &say)
        }
        "trouble" => {
            let flags = Flags::parse(
                rest,
                &["binary", "seed", "disks", "stalls", "damages", "only"],
                &[],
            )?;
            trouble(&flags, [TROUBLES, STALLS, DAMAGES])
        }
        "fuzz" => {
            let flags = Flags::parse(rest, &["seconds", "seed", "only"], &["keep"])?;
            let seconds = flags.value("seconds")?.unwrap_or(FUZZ_SECONDS);
            // One seed, so that the suite finds what a change broke, not what lies there since long: that is for the soak.
            fuzz(&flags, fuzz::For::Each(seconds), 1)
        }
        "schema" => schema::check(&binary(&Flags::parse(rest, &["binary"], &[])?)?, &say),
        "setup" => {
            Flags::parse(rest, &[], &[])?;
            setup::setup()
        }
        "openapi" => {
            Flags::parse(rest, &[], &[])?;
            openapi::openapi(&tree::top()?)
        }
        "tidy" => {
            Flags::parse(rest, &[], &[])?;
            tidy()
        }
        other => bail!("no such command: {other}; see cargo xtask help"),
    }
}

/// The library with each of its features alone: the workspace is built with all that anybody in it asks for.
fn features() -> Result<()> {
    for alone in ["", "sqlite", "otlp", "testing", "fuzzing"] {
        say(&format!("features: {alone:?}"));
        let mut check = tree::cargo();
        check.args(["clippy", "--quiet", "--locked", "--package", "raincheck"]);
        check.args([
            "--no-default-features",
            "--features",
            alone,
            "--",
            "-D",
            "warnings",
        ]);
        tree::run(check.current_dir(tree::top()?))?;
    }
    Ok(())
}

fn soak(words: &[String]) -> Result<()> {
    let Some((kind, rest)) = words.split_first() else {
        bail!("which soak? There are: kill trouble fuzz beside features");
    };
    if kind == "fuzz" {
        let flags = Flags::parse(rest, &["minutes", "seed", "only"], &["keep"])?;
        let minutes = flags.value("minutes")?.unwrap_or(FUZZ_MINUTES);
        return fuzz(&flags, fuzz::For::All(60 * minutes), rng::short_seed());
    }
    if kind == "trouble" {
        let flags = Flags::parse(
            rest,
            &["binary", "seed", "disks", "stalls", "damages", "only"],
            &[],
        )?;
        return trouble(&flags, [10 * TROUBLES, 20 * STALLS, DAMAGES_LONG]);
    }
    if kind == "beside" {
        Flags::parse(rest, &[], &[])?;
        let mut tests = tree::cargo();
        tests.args(["test", "--package", "raincheck", "--test", "it", "embed::beside"]);
        return tree::run(tests.env("RAINCHECK_SLOW_TESTS", "1").current_dir(tree::top()?));
    }
    if kind == "features" {
        Flags::parse(rest, &[], &[])?;
        return features();
    }
    if kind != "kill" {
        bail!("no such soak: {kind}; there are: kill trouble fuzz beside features");
    }
    let flags = Flags::parse(rest, &["cycles", "seed", "binary"], &["keep"])?;
    let options = soak::Options {
        cycles: flags.value("cycles")?.unwrap_or(CYCLES),
        seed: flags.value("seed")?.unwrap_or_else(rng::short_seed),
        binary: binary(&flags)?,
        keep: flags.has("keep"),
    };
    soak::kill(&options, &say, &complain)
}

/// Runs the targets of the fuzzer for so long.
fn fuzz(flags: &Flags, length: fuzz::For, seed: u64) -> Result<()> {
    let options = fuzz::Options {
        length,
        seed: flags.value("seed")?.unwrap_or(seed),
        only: flags.value("only")?,
        keep: flags.has("keep"),
    };
    fuzz::fuzz(&options, &say)
}

/// Runs what goes wrong around the server, with these numbers where the command names no others.
fn trouble(flags: &Flags, [disks, stalls, damages]: [u64; 3]) -> Result<()> {
    let options = trouble::Options {
        binary: binary(flags)?,
        seed: flags.value("seed")?.unwrap_or_else(rng::short_seed),
        disks: flags.value("disks")?.unwrap_or(disks),
        stalls: flags.value("stalls")?.unwrap_or(stalls),
        damages: flags.value("damages")?.unwrap_or(damages),
        only: flags.value("only")?,
    };
    trouble::prove(&options, &say)
}

/// The server to test: the one named, or a fresh build.
fn binary(flags: &Flags) -> Result<PathBuf> {
    if let Some(binary) = flags.value("binary")? {
        return Ok(binary);
    }
    let mut build = tree::cargo();
    build
        .current_dir(tree::top()?)
        .args(["build", "--quiet", "--package", "raincheck-cli"]);
    tree::run(&mut build).context("building the server")?;
    Ok(tree::target()?.join("debug").join("raincheck"))
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
