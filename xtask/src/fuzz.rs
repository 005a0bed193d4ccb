//! `cargo xtask fuzz`: every parser of ours under libFuzzer, guided by what code an input reaches.
//!
//! Invariants: a run begins with what is kept in `fuzz/` and changes it only when it is told to; an input that breaks a
//! target is told as the line that keeps it for good.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result, bail, ensure};

use crate::tree;

/// The largest input; what parsers tell apart is shorter.
const INPUT_BYTES_MAX: usize = 4_096;
/// So much is kept of a target's inputs.
const KEPT_BYTES_MAX: usize = 1_200;
/// An input that takes longer than this, in seconds, is a finding.
const SECONDS_MAX: u32 = 10;

/// How long a run is, in seconds.
#[derive(Clone, Copy, Debug)]
pub enum For {
    /// Each target.
    Each(u64),
    /// All of them together.
    All(u64),
}

/// What to run.
#[derive(Debug)]
pub struct Options {
    /// How long.
    pub length: For,
    /// What the inputs are made from: the same seed makes the same ones, as far as the time goes.
    pub seed: u64,
    /// These targets, separated by commas; all where absent.
    pub only: Option<String>,
    /// Whether to keep, at the end, the smallest inputs that reach what was reached.
    pub keep: bool,
}

/// A target, and where its inputs are.
struct Target {
    name: String,
    folder: PathBuf,
}

/// What a run came to.
#[derive(Debug, Default)]
struct Tried {
    inputs: u64,
    reached: u64,
    findings: Vec<String>,
    /// What the program said of them.
    said: Vec<String>,
}

/// Builds the program and runs the targets, as many at once as there are cores.
///
/// # Errors
/// When an input broke a target; or the program cannot be built or run.
pub fn fuzz(options: &Options, say: &(dyn Fn(&str) + Sync)) -> Result<()> {
    let top = tree::top()?;
    let program = build(&top)?;
    let targets = laid_out(&top, &program)?;
    let wanted: Option<Vec<&str>> = options.only.as_ref().map(|only| only.split(',').collect());
    let known = |name: &str| targets.iter().any(|target| target.name == name);
    if let Some(unknown) = wanted.iter().flatten().find(|name| !known(name)) {
        let names: Vec<_> = targets.iter().map(|target| target.name.as_str()).collect();
        bail!("no such target: {unknown}; there are: {}", names.join(" "));
    }
    let chosen = |target: &&Target| {
        wanted
            .as_ref()
            .is_none_or(|wanted| wanted.contains(&&*target.name))
    };
    let targets: Vec<&Target> = targets.iter().filter(chosen).collect();
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let seconds = match options.length {
        For::Each(seconds) => seconds,
        For::All(seconds) => seconds * cores as u64 / (targets.len() as u64).max(1),
    };
    let (next, all) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let run = || {
        while let Some(target) = targets.get(next.fetch_add(1, Ordering::Relaxed)) {
            let tried = one(&top, &program, target, seconds, options);
            if let Ok(tried) = &tried {
                say(&format!(
                    "{:<20} {:>9} inputs, {:>5} edges and values",
                    target.name, tried.inputs, tried.reached
                ));
            }
            if let Ok(mut all) = all.lock() {
                all.push((target.name.clone(), tried));
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(run);
        }
    });
    told(all.into_inner().unwrap_or_default(), say)
}

fn told(all: Vec<(String, Result<Tried>)>, say: &dyn Fn(&str)) -> Result<()> {
    let (mut inputs, mut targets, mut findings) = (0, 0, 0);
    for (name, tried) in all {
        let tried = tried.with_context(|| format!("the target {name}"))?;
        inputs += tried.inputs;
        targets += 1;
        tried.said.iter().for_each(|line| say(&format!("{name}: {line}")));
        for line in &tried.findings {
            findings += 1;
            say(&format!(
                "{name} breaks; keep this line in fuzz/broke/{name}.txt: {line}"
            ));
        }
    }
    ensure!(findings == 0, "{findings} inputs break a target");
    say(&format!(
        "fuzz: {targets} targets took {inputs} inputs, and none broke"
    ));
    Ok(())
}

fn build(top: &Path) -> Result<PathBuf> {
    let mut build = tree::cargo();
    build
        .current_dir(top)
        .env("RUSTC_WORKSPACE_WRAPPER", top.join("fuzz/rustc"))
        .args(["build", "--quiet", "--locked"])
        .args(["--package", "raincheck-fuzz", "--features", "libfuzzer"]);
    tree::run(&mut build).context("building the targets")?;
    Ok(tree::target()?.join("debug/fuzz"))
}

/// The targets, each with a folder in which the program has laid out what to begin with.
fn laid_out(top: &Path, program: &Path) -> Result<Vec<Target>> {
    let work = tree::target()?.join("fuzz");
    let mut list = Command::new(program);
    list.env_remove("RAINCHECK_FUZZ_TARGET")
        .args([top.join("fuzz"), work.clone()]);
    let target = |name: &str| Target {
        name: name.to_owned(),
        folder: work.join(name),
    };
    Ok(tree::output(&mut list)?.lines().map(target).collect())
}

/// Runs one target.
fn one(top: &Path, program: &Path, target: &Target, seconds: u64, options: &Options) -> Result<Tried> {
    let (corpus, found) = (target.folder.join("corpus"), target.folder.join("found"));
    let _ = std::fs::remove_dir_all(&found);
    std::fs::create_dir_all(&found)?;
    let output = ours(program, target)
        .arg(&corpus)
        .args([
            format!("-max_total_time={seconds}"),
            format!("-seed={}", options.seed),
            format!("-max_len={INPUT_BYTES_MAX}"),
            format!("-timeout={SECONDS_MAX}"),
            format!("-artifact_prefix={}/", found.display()),
            format!("-dict={}", target.folder.with_file_name("dictionary").display()),
        ])
        .args([
            "-rss_limit_mb=1024",
            "-print_final_stats=1",
            "-use_value_profile=1",
        ])
        .output()
        .context("starting the target")?;
    let said = String::from_utf8_lossy(&output.stderr);
    let mut tried = figures(&said);
    for entry in std::fs::read_dir(&found)? {
        tried
            .findings
            .push(std::fs::read(entry?.path())?.escape_ascii().to_string());
    }
    if tried.findings.is_empty() && !output.status.success() {
        let end: Vec<_> = said.lines().rev().take(20).collect();
        bail!(
            "it ended with {}: {}",
            output.status,
            end.into_iter().rev().collect::<Vec<_>>().join("\n")
        );
    }
    if !tried.findings.is_empty() {
        // What a panic said, without what libFuzzer says around it.
        let lines = said
            .lines()
            .filter(|line| line.contains("panicked at") || line.contains("ERROR: libFuzzer"));
        tried.said.extend(lines.map(str::to_owned));
    }
    if options.keep && tried.findings.is_empty() {
        let file = format!("fuzz/corpus/{}.txt", target.name);
        keep(program, target, &corpus, &top.join(file))?;
    }
    Ok(tried)
}

fn ours(program: &Path, target: &Target) -> Command {
    let mut command = Command::new(program);
    command
        .env("RAINCHECK_FUZZ_TARGET", &target.name)
        .stdout(Stdio::null());
    command
}

/// Keeps the smallest inputs that reach what all of them reach, as far as they fit.
fn keep(program: &Path, target: &Target, corpus: &Path, file: &Path) -> Result<()> {
    let least = target.folder.join("least");
    let _ = std::fs::remove_dir_all(&least);
    std::fs::create_dir_all(&least)?;
    let mut merge = ours(program, target);
    merge.args(["-merge=1", "-max_len=256", "-use_value_profile=0"]);
    tree::run(merge.arg(&least).arg(corpus).stderr(Stdio::null()))?;
    let mut inputs = Vec::new();
    for entry in std::fs::read_dir(&least)? {
        inputs.push(std::fs::read(entry?.path())?);
    }
    inputs.sort_by_key(|input| (input.len(), input.clone()));
    let mut text = String::new();
    for input in inputs {
        let line = input.escape_ascii().to_string();
        if text.len() + line.len() >= KEPT_BYTES_MAX {
            break;
        }
        writeln!(text, "{line}")?;
    }
    std::fs::create_dir_all(file.parent().context("a folder")?)?;
    std::fs::write(file, text).with_context(|| format!("writing {}", file.display()))
}

/// How many inputs were tried, and how much of the code they reached.
fn figures(said: &str) -> Tried {
    let number = |text: &str| text.trim().parse().ok();
    let inputs = said
        .lines()
        .find_map(|line| number(line.strip_prefix("stat::number_of_executed_units:")?));
    let reached = said.lines().rev().find_map(|line| {
        let (_, rest) = line.split_once(" ft: ")?;
        number(rest.split(' ').next()?)
    });
    Tried {
        inputs: inputs.unwrap_or_default(),
        reached: reached.unwrap_or_default(),
        findings: Vec::new(),
        said: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_tried_and_reached_is_read_from_what_is_said() {
        let said = "#2\tINITED cov: 5 ft: 7 corp: 1/1b\n#900\tDONE   cov: 50 ft: 71 corp: 9/80b lim: 4 exec/s: 0\n\
                    stat::number_of_executed_units: 912\n";
        let tried = figures(said);
        assert_eq!((tried.inputs, tried.reached), (912, 71));
    }
}
