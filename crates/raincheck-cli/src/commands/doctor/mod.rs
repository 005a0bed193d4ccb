//! `raincheck doctor`: what is wrong here, or with the server, and what to do about it.
//!
//! Invariant: nothing is changed: the one file that is written, to time a sync, is gone before the answer is given.

mod here;
mod server;

use clap::Args;
use serde::Serialize;

use crate::config::Flags;
use crate::exit::{Exit, Failed};
use crate::output::{Output, Paint, Shape, paint, visible};
use crate::session::Session;

const EXAMPLES: &str = "\
It looks at this machine as `raincheck serve`, given the same flags here and now, would use it: the
configuration, the store's folder and its disk, the limits. Then it asks the server at --url, or where
the configuration says that it listens: whether it takes work, whether the key is good, whether queues
have jobs that nobody works.

Ends with 0 where nothing is wrong (warnings are no faults), 69 where no server answers or it takes
no work, 4 where it does not let us in, else 1. With --ready it only asks whether the server takes
work: what a container's health check needs. Of a server that speaks TLS on this machine's own address
the certificate is then looked at, and not the name in it. In a pipe: state, what was looked at, what was found.

Examples:
  raincheck doctor
  raincheck doctor --config /etc/raincheck/raincheck.toml --json
  raincheck doctor --ready --url http://127.0.0.1:7246";

/// Finds out what is wrong.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Doctor {
    /// Only ask whether the server takes work
    #[arg(long)]
    ready: bool,
    #[command(flatten)]
    flags: Flags,
}

/// How a thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Ok,
    Warning,
    Fault,
}

impl State {
    const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Fault => "fault",
        }
    }

    const fn paint(self) -> Paint {
        match self {
            Self::Ok => Paint::Good,
            Self::Warning => Paint::Busy,
            Self::Fault => Paint::Bad,
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    state: State,
    /// What was looked at.
    about: &'static str,
    /// What was found.
    found: String,
    /// What to do.
    next: Option<String>,
    /// How the command ends for it.
    #[serde(skip)]
    exit: Exit,
}

impl Finding {
    fn ok(about: &'static str, found: impl Into<String>) -> Self {
        Self::new(State::Ok, about, found, Exit::Ok)
    }

    fn warning(about: &'static str, found: impl Into<String>, next: impl Into<String>) -> Self {
        Self {
            next: Some(next.into()),
            ..Self::new(State::Warning, about, found, Exit::Ok)
        }
    }

    fn fault(about: &'static str, found: impl Into<String>, next: impl Into<String>) -> Self {
        Self {
            next: Some(next.into()),
            ..Self::new(State::Fault, about, found, Exit::Failure)
        }
    }

    /// What a command would have failed with.
    fn failed(about: &'static str, failed: Failed) -> Self {
        Self {
            next: failed.next,
            ..Self::new(State::Fault, about, failed.message, failed.exit)
        }
    }

    fn new(state: State, about: &'static str, found: impl Into<String>, exit: Exit) -> Self {
        Self {
            state,
            about,
            found: found.into(),
            next: None,
            exit,
        }
    }
}

impl Doctor {
    /// Runs the command.
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failed> {
        let own = here::own(&self.flags);
        let session = &session.or_at(own.as_ref().map(|own| own.address.clone()));
        if self.ready {
            let probe = own.and_then(|own| own.probe(session));
            return match server::ready(probe.as_ref().unwrap_or(session)).await {
                finding if finding.state == State::Ok => session.output.line("ready"),
                finding => Err(Failed {
                    exit: finding.exit,
                    message: finding.found,
                    next: finding.next,
                }),
            };
        }
        let mut findings = here::look(&self.flags);
        findings.extend(server::look(session).await);
        show(&findings, session.output)?;
        let worst = findings.iter().find(|finding| finding.state == State::Fault);
        worst.map_or(Ok(()), |finding| Err(Failed::silent(finding.exit)))
    }
}

fn show(findings: &[Finding], output: Output) -> Result<(), Failed> {
    if output.shape == Shape::Json {
        let document = serde_json::to_string(findings).map_err(|error| Failed::unreadable(&error))?;
        return output.line(&document);
    }
    for finding in findings {
        if output.shape == Shape::Quiet && finding.state == State::Ok {
            continue;
        }
        let (state, about) = (finding.state.name(), finding.about);
        let (found, next) = (visible(&finding.found), finding.next.as_deref().map(visible));
        if output.shape != Shape::Terminal {
            output.fields(&[state, about, &found, &next.unwrap_or_default()])?;
            continue;
        }
        let padded = format!("{state:<8}");
        let state = paint(&padded, finding.state.paint(), output.colour);
        output.line(&format!("{state} {about:<14} {found}"))?;
        if let Some(next) = next {
            let arrow = paint("->", Paint::Dim, output.colour);
            output.line(&format!("{:24}{arrow} {next}", ""))?;
        }
    }
    Ok(())
}
