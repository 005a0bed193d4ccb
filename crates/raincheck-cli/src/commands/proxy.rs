//! `raincheck proxy`: a server in front of a service that stays as it is. Chosen calls become jobs, everything else passes.
//!
//! Invariant: it is `raincheck serve` with rules of a proxy: the same settings, the same ways to start and to leave. The API is
//! below `/_raincheck`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use raincheck::core::time::parse_duration;
use raincheck::proxy::glob::Glob;
use raincheck::proxy::{Mode, Rule, Upstream, read_deadline};

use super::serve::Serve;
use crate::config::{Flags, Found, Origin};
use crate::exit::Failed;
use crate::output::Output;

const EXAMPLES: &str = "\
Everything passes through to the service untouched: bodies of any size while they come, both ways,
WebSockets, trailers. Chosen calls are answered 202 with a rain check in Location, by which the
client redeems the service's own answer when it is there, without any key:
  --async GLOB    calls of these paths become jobs at once
  --prefer GLOB   they do where the client asks: Prefer: respond-async, or wait=10 (which waits)
  --after 2s      a call that takes longer becomes a job while it runs; it is not sent again. It is
                  for the paths of --async and --prefer, or for all where neither is given
In a GLOB, * is a part of a segment and ** any number of segments.

The service gets Raincheck-Job, Raincheck-Attempt and an Idempotency-Key with calls that are jobs.
Those that fail are sent again where their method is idempotent (GET, HEAD, PUT, DELETE), or with
--retry-unsafe. The API is below /_raincheck; anything that serve can be told, proxy can be told.

Examples:
  raincheck proxy http://localhost:8000 --async '/reports/**' --async '/exports/**'
  raincheck proxy http://localhost:8000 --after 2s
  raincheck proxy http://localhost:8000 --prefer '/**' --set proxy.concurrency=4
  curl -i localhost:7246/reports/2026-11 -X POST -d '{\"format\":\"pdf\"}'";

/// Runs a proxy.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Proxy {
    /// The service that it stands in front of, such as http://localhost:8000
    upstream: Upstream,
    /// Calls of these paths become jobs at once, or with --after once they take longer; may be repeated
    #[arg(long = "async", value_name = "GLOB")]
    always: Vec<Glob>,
    /// Calls of these paths become jobs where their client asks for that; may be repeated
    #[arg(long, value_name = "GLOB")]
    prefer: Vec<Glob>,
    /// A call that takes longer becomes a job while it runs
    #[arg(long, value_name = "DURATION", value_parser = after)]
    after: Option<Duration>,
    /// How long a job may take from its acceptance, all its attempts and the wait for a service that is away together
    /// [default: as long as it takes]
    #[arg(long, value_name = "DURATION", value_parser = read_deadline)]
    deadline: Option<Duration>,
    /// Send a job's call again also where its method is not idempotent (POST, PATCH)
    #[arg(long)]
    retry_unsafe: bool,
    /// A status after which a job's call is sent again; may be repeated [default: 502, 503, 504]
    #[arg(long, value_name = "STATUS", value_parser = clap::value_parser!(u16).range(400..600))]
    retry_code: Vec<u16>,
    #[command(flatten)]
    flags: Flags,
}

fn after(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|why| why.to_string())
}

impl Proxy {
    /// The same, trusting the authorities of the file that `--ca-file` names.
    pub(crate) fn trusting(mut self, file: Option<PathBuf>) -> Self {
        self.flags.trust(file);
        self
    }

    /// Runs the command.
    pub(crate) fn run(self, output: Output) -> Result<(), Failed> {
        let rules = self.rules();
        let mut flags = self.flags;
        let said = flags.values.entry("proxy").or_insert_with(|| Found {
            texts: Vec::new(),
            origin: Origin::Flag("raincheck proxy".to_owned()),
        });
        // Those that are written out come first: they are for paths of their own.
        said.texts.extend(rules.iter().map(Rule::to_string));
        Serve::below_mount(flags).run(output)
    }

    /// What the command line says, with what is left for everything else at the end.
    fn rules(&self) -> Vec<Rule> {
        let rule = |path: &Glob, mode: Mode, after: Option<Duration>| {
            let mut rule = Rule::new(path.clone(), self.upstream.clone(), mode);
            rule.after = after;
            rule.deadline = self.deadline;
            rule.retries.unsafe_too = self.retry_unsafe;
            if !self.retry_code.is_empty() {
                rule.retries.codes.clone_from(&self.retry_code);
            }
            rule
        };
        let chosen = self.always.iter().map(|path| (path, Mode::Always));
        let chosen = chosen.chain(self.prefer.iter().map(|path| (path, Mode::Prefer)));
        let mut rules: Vec<Rule> = chosen.map(|(path, mode)| rule(path, mode, self.after)).collect();
        let all: Glob = "/**".parse().expect("a pattern for everything");
        let rest = match self.after {
            Some(after) if rules.is_empty() => (Mode::Prefer, Some(after)),
            Some(_) | None => (Mode::Never, None),
        };
        rules.push(rule(&all, rest.0, rest.1));
        rules
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Alone {
        #[command(flatten)]
        proxy: Proxy,
    }

    fn rules(words: &[&str]) -> Vec<String> {
        let words = ["proxy", "http://a:1"].iter().chain(words);
        let alone = Alone::try_parse_from(words)
            .map_err(|error| error.to_string())
            .unwrap();
        alone.proxy.rules().iter().map(Rule::to_string).collect()
    }

    #[test]
    fn what_is_not_chosen_passes() {
        assert_eq!(rules(&[]), ["/**=http://a:1;mode=never"]);
        assert_eq!(
            rules(&["--async", "/r/**", "--prefer", "/e/**"]),
            [
                "/r/**=http://a:1;mode=always",
                "/e/**=http://a:1;mode=prefer",
                "/**=http://a:1;mode=never"
            ]
        );
    }

    #[test]
    fn after_is_for_what_is_chosen_or_for_everything() {
        assert_eq!(rules(&["--after", "2s"]), ["/**=http://a:1;mode=prefer;after=2s"]);
        assert_eq!(
            rules(&[
                "--after",
                "2s",
                "--async",
                "/r",
                "--deadline",
                "1h",
                "--retry-unsafe",
                "--retry-code",
                "429"
            ]),
            [
                "/r=http://a:1;mode=always;after=2s;deadline=1h;retry_unsafe=true;retry_codes=429",
                "/**=http://a:1;mode=never;deadline=1h;retry_unsafe=true;retry_codes=429"
            ]
        );
    }
}
