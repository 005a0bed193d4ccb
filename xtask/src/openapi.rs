//! The committed `openapi.json`, written from the code. That it is up to date is a test of the library.
//!
//! Invariant: the file is only ever written from the code.

use std::path::Path;

use anyhow::{Context as _, Result};

use crate::tree;

const FILE: &str = "openapi.json";

/// Writes the file.
///
/// # Errors
/// When the code does not build or the file cannot be written.
pub fn openapi(top: &Path) -> Result<()> {
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
    std::fs::write(top.join(FILE), generated).with_context(|| format!("writing {FILE}"))
}
