//! `raincheck version`.

use crate::exit::Failed;
use crate::output::{Output, Shape};

/// Prints this program's version.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Version {}

impl Version {
    /// Runs the command.
    pub(crate) fn run(self, output: Output) -> Result<(), Failed> {
        let version = env!("CARGO_PKG_VERSION");
        match output.shape {
            Shape::Json => output.line(&serde_json::json!({ "version": version }).to_string()),
            Shape::Quiet => output.line(version),
            Shape::Terminal | Shape::Plain => output.line(&format!("raincheck {version}")),
        }
    }
}
