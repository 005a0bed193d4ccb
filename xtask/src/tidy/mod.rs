//! What a compiler does not check: the form of the project's files. `cargo xtask tidy`, and a test.
//!
//! Invariant: every finding names the file and what to do about it.

mod changelog;
mod conformance;
mod errors;
mod examples;
mod layers;
mod sources;
mod words;

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::tree;

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Where, `file` or `file:line`.
    pub place: String,
    /// What to do.
    pub advice: String,
    /// Whether it is only a smell.
    pub smell: bool,
}

impl Finding {
    pub(crate) fn new(place: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            place: place.into(),
            advice: advice.into(),
            smell: false,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.smell { "warning" } else { "error" };
        write!(f, "{kind}: {}: {}", self.place, self.advice)
    }
}

/// A file of the project that is text.
pub(crate) struct Text {
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Text {
    fn is(&self, extension: &str) -> bool {
        Path::new(&self.path)
            .extension()
            .is_some_and(|has| has == extension)
    }
}

/// Looks at the whole project.
///
/// # Errors
/// When it cannot be read, or a tool is missing.
pub fn check(top: &Path) -> Result<Vec<Finding>> {
    let files = tree::files(top)?;
    let texts = read(top, &files)?;
    let mut findings = Vec::new();
    for text in &texts {
        if text.is("rs") {
            findings.extend(sources::check(&text.path, &text.text));
        }
        findings.extend(words::check(&text.path, &text.text));
        findings.extend(sources::machine_paths(&text.path, &text.text));
    }
    findings.extend(changelog::check(&texts));
    findings.extend(conformance::check(&texts));
    findings.extend(errors::check(&texts));
    findings.extend(examples::check(&texts));
    findings.extend(layers::check(top)?);
    Ok(findings)
}

fn read(top: &Path, files: &[PathBuf]) -> Result<Vec<Text>> {
    let mut texts = Vec::new();
    for file in files {
        let bytes = std::fs::read(top.join(file)).with_context(|| format!("reading {}", file.display()))?;
        // Pictures and the like have no words and no lines.
        if let Ok(text) = String::from_utf8(bytes) {
            texts.push(Text {
                path: file.to_string_lossy().into_owned(),
                text,
            });
        }
    }
    Ok(texts)
}
