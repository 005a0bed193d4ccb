//! What was found for a setting, and where.
//!
//! Invariant: every value that is not a default can be traced to the line, variable or flag that says it.

use std::fmt;
use std::sync::Arc;

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Nobody said anything.
    Default,
    /// A line of the file, counted from 1.
    Line(Arc<str>, usize),
    /// An environment variable.
    Variable(String),
    /// The file that an environment variable names.
    VariableFile(String, String),
    /// A flag, with its dashes.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Line(file, line) => write!(f, "{file}:{line}"),
            Self::Variable(name) => f.write_str(name),
            Self::VariableFile(name, path) => write!(f, "{name} ({path})"),
            Self::Flag(flag) => f.write_str(flag),
        }
    }
}

impl Origin {
    /// The place and the setting, as a message about the setting begins.
    pub(crate) fn about(&self, name: &str) -> String {
        match self {
            Self::Default | Self::Line(..) => format!("{self}: {name}"),
            Self::Variable(_) | Self::VariableFile(..) | Self::Flag(_) => self.to_string(),
        }
    }
}

/// A setting's texts as they were written somewhere. `Debug` tells where, and not what: it may be a secret.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// One, or for a setting that takes several, any number.
    pub(crate) texts: Vec<String>,
    /// Where.
    pub(crate) origin: Origin,
}

impl fmt::Debug for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Found")
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}
