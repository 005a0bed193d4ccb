//! The project's files and how to run its tools.
//!
//! Invariant: paths are found when asked, never at build time, so that one build of the chores serves every checkout.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

/// The project's top folder. Cargo says where this crate's manifest is whenever it runs something.
///
/// # Errors
/// When neither cargo nor git knows.
pub fn top() -> Result<PathBuf> {
    if let Some(manifest) = std::env::var_os("CARGO_MANIFEST_DIR") {
        let xtask = PathBuf::from(manifest);
        return Ok(xtask
            .parent()
            .context("the chores' crate lies in the project")?
            .to_owned());
    }
    let top = output(Command::new("git").args(["rev-parse", "--show-toplevel"]))?;
    Ok(PathBuf::from(top.trim()))
}

/// Where cargo puts what it builds.
///
/// # Errors
/// When the project's top is not known.
pub fn target() -> Result<PathBuf> {
    Ok(match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => top()?.join(dir),
        None => top()?.join("target"),
    })
}

/// The cargo that runs this.
#[must_use]
pub fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Every file that is, or could be, under version control, relative to `top`.
///
/// # Errors
/// When git fails.
pub fn files(top: &Path) -> Result<Vec<PathBuf>> {
    let list = output(Command::new("git").current_dir(top).args([
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ]))?;
    let mut files: Vec<PathBuf> = list.split_terminator('\0').map(PathBuf::from).collect();
    files.sort();
    files.dedup();
    // A file that was removed but not yet from the index is nobody's concern.
    files.retain(|file| top.join(file).is_file());
    Ok(files)
}

/// Runs a command and gives back what it printed.
///
/// # Errors
/// When it cannot be started, fails, or does not print text; with what it said.
pub fn output(command: &mut Command) -> Result<String> {
    let said = command
        .output()
        .with_context(|| format!("starting {}", line(command)))?;
    if !said.status.success() {
        bail!(
            "{} failed: {}",
            line(command),
            String::from_utf8_lossy(&said.stderr).trim()
        );
    }
    String::from_utf8(said.stdout).with_context(|| format!("{} printed no text", line(command)))
}

/// Runs a command that talks to the terminal itself.
///
/// # Errors
/// When it cannot be started or fails.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("starting {}", line(command)))?;
    ensure!(status.success(), "{} failed: {status}", line(command));
    Ok(())
}

/// The command as one would type it.
#[must_use]
pub fn line(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let program = program.file_name().unwrap_or(program.as_os_str());
    let words = std::iter::once(program)
        .chain(command.get_args())
        .map(OsStr::to_string_lossy);
    words.collect::<Vec<_>>().join(" ")
}

/// Whether a program is on the search path.
#[must_use]
pub fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}
