//! The committed `openapi.json` and what the code generates are one.
//!
//! Invariant: the file is only ever written from the code.

use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::tree;

const FILE: &str = "openapi.json";

/// Writes the file, or with `check` says whether it is what would be written.
///
/// # Errors
/// When the code does not build, the file cannot be written, or they differ.
pub fn openapi(top: &Path, check: bool) -> Result<()> {
    let mut generate = tree::cargo();
    generate.current_dir(top).args([
        "run",
        "--quiet",
        "--package",
        "xtask",
        "--features",
        "openapi",
        "--bin",
        "openapi",
    ]);
    let generated = tree::output(&mut generate)?;
    let file = top.join(FILE);
    if !check {
        return std::fs::write(&file, generated).with_context(|| format!("writing {FILE}"));
    }
    let committed = std::fs::read_to_string(&file).with_context(|| format!("reading {FILE}"))?;
    if let Some(line) = differs(&committed, &generated) {
        bail!("{FILE} is not what the code generates, from line {line} on; write it: cargo xtask openapi");
    }
    Ok(())
}

/// The first line, from 1, on which two texts differ.
fn differs(one: &str, other: &str) -> Option<usize> {
    if one == other {
        return None;
    }
    let same = one
        .lines()
        .zip(other.lines())
        .take_while(|(one, other)| one == other);
    Some(same.count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_differs_is_named() {
        assert_eq!(differs("a\nb\n", "a\nb\n"), None);
        assert_eq!(differs("a\nb\n", "a\nc\n"), Some(2));
        assert_eq!(differs("a\n", "a\nb\n"), Some(2));
    }
}
