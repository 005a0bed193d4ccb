//! The command line as a whole: the commands and the flags that all of them take.
//!
//! Invariant: one file per command under `commands/`; this file only names them.

use std::path::PathBuf;

use clap::builder::styling::{AnsiColor, Styles};
use clap::parser::ValueSource;
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::api_key::ApiKey;
use crate::client::{Address, URL_DEFAULT};
use crate::commands::{
    audit, batch, bench, completions, config, doctor, fetch, job, key, master_key, openapi, proxy, queue,
    serve, submit, version, webhook, work,
};
use crate::exit::{Failed, TABLE};
use crate::output::Output;
use crate::session::Session;
use crate::trust::{self, Trust};

use raincheck::workers::process::{guard_by, launch_by, open_many_files, run_guard};

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

/// The word by which this program is started to become another one; `main` reads it before there is a command line.
pub(crate) const LAUNCH: &str = "launch";

const EXAMPLES: &str = "\
Examples:
  raincheck serve --queue thumbs='cmd:./resize.sh'        a server that works a queue with a script
  raincheck submit thumbs @photo.png --wait -o small.png  submit a file, wait, keep the result
  raincheck work thumbs -- ./resize.sh                    work a queue of that server from anywhere
  raincheck queue list                                    what is in the queues

";

/// Durable background jobs over HTTP: hand a slow request a rain check.
#[derive(Debug, Parser)]
#[command(name = "raincheck", version, styles = STYLES, after_help = format!("{EXAMPLES}{TABLE}"),
          disable_help_subcommand = true, propagate_version = false, max_term_width = 110)]
pub(crate) struct Cli {
    #[command(flatten)]
    global: Global,
    /// Whether the command line itself names the server, not only the environment.
    #[arg(skip)]
    url_given: bool,
    /// Whether the command line itself names authorities to trust.
    #[arg(skip)]
    ca_given: bool,
    #[command(subcommand)]
    command: Command,
}

/// Flags that every command takes.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Global {
    /// Where the server's API is
    #[arg(long, global = true, env = "RAINCHECK_URL", default_value = URL_DEFAULT, help_heading = "Global options")]
    url: Address,
    /// The API key; RAINCHECK_API_KEY_FILE names a file that holds it
    #[arg(
        long,
        global = true,
        env = "RAINCHECK_API_KEY",
        hide_env_values = true,
        value_name = "KEY",
        help_heading = "Global options"
    )]
    api_key: Option<ApiKey>,
    /// Certificates in PEM form of authorities to trust beside the usual ones
    #[arg(
        long,
        global = true,
        env = "RAINCHECK_CA_FILE",
        value_name = "FILE",
        help_heading = "Global options"
    )]
    ca_file: Option<PathBuf>,
    /// One JSON document on standard output
    #[arg(
        long,
        global = true,
        conflicts_with = "quiet",
        help_heading = "Global options"
    )]
    json: bool,
    /// Ids only on standard output, no messages but errors
    #[arg(short, long, global = true, help_heading = "Global options")]
    quiet: bool,
    /// No colour (so does NO_COLOR; CLICOLOR_FORCE=1 colours pipes too)
    #[arg(long, global = true, help_heading = "Global options")]
    no_color: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a server
    Serve(Box<serve::Serve>),
    /// Put a server in front of a service, and turn its slow calls into jobs
    Proxy(Box<proxy::Proxy>),
    /// Submit a job
    Submit(Box<submit::Submit>),
    /// Look at a job, redeem it, cancel it
    #[command(subcommand)]
    Job(job::Job),
    /// Submit many jobs as one batch, look at it, redeem it, cancel it
    #[command(subcommand)]
    Batch(batch::Batch),
    /// Fetch a list of URLs: bounded, retried, gone on with after a crash
    Fetch(Box<fetch::Fetch>),
    /// Look at queues and change them
    #[command(subcommand)]
    Queue(queue::Queue),
    /// Measure a server: a throw-away one, or the one that --url names
    Bench(Box<bench::Bench>),
    /// Work a queue with a program, from anywhere
    Work(Box<work::Work>),
    /// Receive webhooks here, look at those that were sent, send one again
    #[command(subcommand)]
    Webhook(webhook::Webhook),
    /// Make API keys, list and revoke them
    #[command(subcommand)]
    Key(key::Key),
    /// Make the master key that the store's secrets are encrypted under, replace it
    #[command(subcommand)]
    MasterKey(master_key::MasterKey),
    /// Look at what administrators did
    #[command(subcommand)]
    Audit(audit::Audit),
    /// Look at the server's configuration: what it says, where, and what is wrong with it
    #[command(subcommand)]
    Config(config::Config),
    /// Find out what is wrong here or with the server, and what to do about it
    Doctor(Box<doctor::Doctor>),
    /// Print the OpenAPI document of the HTTP API
    Openapi(openapi::OpenApi),
    /// Print a completion script for a shell
    Completions(completions::Completions),
    /// End what a killed server or worker was running; started by them
    #[command(hide = true)]
    Guard,
    /// Print this program's version
    Version(version::Version),
}

impl Cli {
    /// Reads this process's command line; one that cannot be ends the process, as does `--help`.
    pub(crate) fn read() -> Self {
        let mut matches = Self::command().get_matches();
        let given = matches.value_source("url") == Some(ValueSource::CommandLine);
        let ca_given = matches.value_source("ca_file") == Some(ValueSource::CommandLine);
        let read = Self::from_arg_matches_mut(&mut matches);
        let mut cli = read.unwrap_or_else(|error| error.format(&mut Self::command()).exit());
        cli.url_given = given;
        cli.ca_given = ca_given;
        cli
    }

    /// Where this command's output goes.
    pub(crate) fn output(&self) -> Output {
        Output::new(self.global.json, self.global.quiet, self.global.no_color)
    }

    /// Runs the command.
    pub(crate) fn run(self, output: Output) -> Result<(), Failed> {
        if !matches!(self.command, Command::Guard) {
            open_many_files();
        }
        if let Ok(program) = std::env::current_exe() {
            guard_by(program.clone(), "guard");
            launch_by(program, LAUNCH);
        }
        let client = !matches!(
            self.command,
            Command::Serve(_)
                | Command::Proxy(_)
                | Command::Config(_)
                | Command::MasterKey(_)
                | Command::Openapi(_)
                | Command::Completions(_)
                | Command::Guard
                | Command::Version(_)
        );
        let key = match self.global.api_key.clone() {
            Some(key) if client => key.checked()?,
            None if client => ApiKey::from_file()?,
            Some(_) | None => None,
        };
        let trust = match self.global.ca_file.as_deref().filter(|_| client) {
            Some(file) => trust::with("--ca-file", file)?,
            None => Trust::default(),
        };
        let session = || {
            let address = self.global.url.clone();
            Session::trusting(trust.clone(), address, output).with_key(key.clone())
        };
        // What the variable says servers read themselves, with the rest of their settings.
        let named = self.global.ca_file.clone().filter(|_| self.ca_given);
        match self.command {
            Command::Serve(serve) => serve.trusting(named).run(output),
            Command::Proxy(proxy) => proxy.trusting(named).run(output),
            Command::Submit(submit) => block_on(submit.run(&session())),
            Command::Job(job) => block_on(job.run(&session())),
            Command::Batch(batch) => block_on(batch.run(&session())),
            Command::Fetch(fetch) => {
                let named = self.url_given || std::env::var_os("RAINCHECK_URL").is_some();
                fetch.run(output, trust.clone(), named.then(session))
            }
            Command::Queue(queue) => block_on(queue.run(&session())),
            Command::Bench(bench) => {
                let named = self.url_given.then(session);
                block_on(bench.run(output, named))
            }
            Command::Work(work) => block_on(work.run(&session())),
            Command::Webhook(webhook) => block_on(webhook.run(&session())),
            Command::Key(key) => block_on(key.run(&session())),
            Command::MasterKey(master_key) => block_on(master_key.run(output)),
            Command::Audit(audit) => block_on(audit.run(&session())),
            Command::Config(config) => config.run(output),
            Command::Doctor(doctor) => block_on(doctor.run(&session())),
            Command::Openapi(openapi) => openapi.run(output),
            Command::Completions(completions) => completions.run(output),
            Command::Guard => {
                run_guard(std::io::stdin().lock());
                Ok(())
            }
            Command::Version(version) => version.run(output),
        }
    }
}

/// Runs a client's command to its end, on this thread.
fn block_on<F: Future<Output = Result<(), Failed>>>(future: F) -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(future)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
