//! `raincheck completions`: a completion script for a shell, generated from the command line's definition.

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::cli::Cli;
use crate::exit::Failed;
use crate::output::Output;

const EXAMPLES: &str = "\
Examples:
  raincheck completions bash > /etc/bash_completion.d/raincheck
  raincheck completions zsh > ~/.zfunc/_raincheck
  raincheck completions fish > ~/.config/fish/completions/raincheck.fish";

/// Prints a completion script for a shell.
#[derive(Clone, Copy, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    /// Runs the command.
    pub(crate) fn run(self, output: Output) -> Result<(), Failed> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "raincheck", &mut script);
        output.bytes(&script)
    }
}
