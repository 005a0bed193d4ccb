//! Brings what the tests need and Rust does not bring.
//!
//! Invariant: what is there is never touched, and what cannot be brought is an error that says what to install.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::tree::{cargo, has, run, target};

/// Programs and the Debian packages that have them.
const PROGRAMS: [(&str, &str); 7] = [
    ("strace", "strace"),
    ("curl", "curl"),
    ("python3", "python3"),
    ("pip3", "python3-pip"),
    ("faketime", "faketime"),
    // The guide to it is tried with it in front.
    ("nginx", "nginx"),
    // libFuzzer is C++.
    ("c++", "g++"),
];

/// The Python package by which tests verify signatures independently: its name and version.
const VERIFIER: (&str, &str) = ("standardwebhooks", "1.0.1");

/// The Python package that tries the OpenAPI document against the server: its name and version.
const FUZZER: (&str, &str) = ("schemathesis", "4.32.5");

/// Parts of the Rust toolchain: the cargo command and the component that has it.
const COMPONENTS: [(&str, &str); 2] = [("fmt", "rustfmt"), ("clippy", "clippy")];

/// Installs what is missing, where this may.
///
/// # Errors
/// When something is missing and cannot be installed.
pub fn setup() -> Result<()> {
    for (command, component) in COMPONENTS {
        let there = cargo()
            .args([command, "--version"])
            .output()
            .is_ok_and(|said| said.status.success());
        if !there {
            if !has("rustup") {
                bail!("`cargo {command}` is missing: install {component}");
            }
            run(Command::new("rustup").args(["component", "add", component]))?;
        }
    }
    programs()?;
    verifier()?;
    schemathesis().map(drop)
}

fn programs() -> Result<()> {
    let missing: Vec<&str> = PROGRAMS
        .into_iter()
        .filter(|(program, _)| !has(program))
        .map(|(_, package)| package)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    if !has("apt-get") || !rustix::process::geteuid().is_root() {
        bail!("missing: {list}; install it, for example as root: apt-get install {list}");
    }
    run(apt().arg("update"))?;
    run(apt()
        .args(["install", "--yes", "--no-install-recommends"])
        .args(&missing))
}

/// Puts the verifier where the tests look for it. Its own dependencies are for type checkers and the like; what
/// verifies is plain Python.
fn verifier() -> Result<()> {
    let (name, version) = VERIFIER;
    let folder = target()?.join("python");
    if folder.join(name).is_dir() {
        return Ok(());
    }
    pip(&folder, &["--no-deps"], &format!("{name}=={version}"))
}

/// The folder of schemathesis, installed where it is missing.
///
/// # Errors
/// When it is missing and cannot be installed.
pub(crate) fn schemathesis() -> Result<PathBuf> {
    let (name, version) = FUZZER;
    // Named by its version, so that another one is not taken for it.
    let folder = target()?.join(format!("{name}-{version}"));
    if !folder.join("schemathesis").is_dir() {
        pip(&folder, &[], &format!("{name}=={version}"))?;
    }
    Ok(folder)
}

/// Installs a Python package into a folder below the target folder, where nothing but the tests sees it.
fn pip(folder: &Path, flags: &[&str], package: &str) -> Result<()> {
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
        .args(["--root-user-action", "ignore"])
        .args(flags)
        .arg("--target")
        .arg(folder);
    run(pip.arg(package))
}

fn apt() -> Command {
    let mut apt = Command::new("apt-get");
    apt.arg("--quiet").env("DEBIAN_FRONTEND", "noninteractive");
    // In single-user mode Debian starts no service that it installs: the tests start their own.
    apt.env("RUNLEVEL", "1");
    apt
}
