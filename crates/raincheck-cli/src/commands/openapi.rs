//! `raincheck openapi`: the HTTP API's description.

use crate::exit::Failed;
use crate::output::Output;

/// Prints the OpenAPI document of the HTTP API.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct OpenApi {}

impl OpenApi {
    /// Runs the command.
    pub(crate) fn run(self, output: Output) -> Result<(), Failed> {
        output.line(raincheck::api::openapi_json().trim_end())
    }
}
