//! `raincheck work --keep-alive`: programs that claim by themselves, kept alive.
//!
//! Invariant: leaving takes the drain at most; a program that did not leave by then is killed with all that it started.

use std::sync::Arc;
use std::time::Duration;

use raincheck::core::time::format_duration;
use raincheck::random::Randomness;
use raincheck::tasks::Group;
use raincheck::workers::process::{Crew, CrewEvent, CrewOptions, CrewTell, Environment, Program, Within};
use tokio::time::{Instant, timeout_at};

use super::Work;
use crate::exit::{Exit, Failed};
use crate::output::{Output, say, visible};
use crate::session::Session;
use crate::signals::Signals;
use crate::when;

/// How long after a drain the last of them may take to be gone.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Keeps the programs alive until told to stop.
pub(super) async fn run(work: Work, within: Within, session: &Session) -> Result<(), Failed> {
    let mut signals = Signals::new()?;
    let (output, drain) = (session.output, work.drain);
    let options = CrewOptions {
        url: session.client.address.to_string(),
        queue: work.queue.to_string(),
        worker: work.name().to_string(),
        count: work.concurrency(),
        own_output: true,
        api_key: session.client.key.as_ref().map(|key| key.reveal().to_owned()),
        program: Program::new(work.argv, Environment::AllAnd(Vec::new())).within(within),
    };
    output.note(&format!(
        "keeping {} of {} alive for {} at {}; Ctrl-C stops",
        options.count,
        visible(options.program.name()),
        options.queue,
        options.url
    ));
    let group = Group::new("crew");
    let crew = Crew::start(&options, &group, &Randomness::default(), &tell(output));
    let signal = signals.next().await;
    output.note(&format!(
        "{signal}: told them to leave, within {}",
        format_duration(drain)
    ));
    let end = Instant::now() + drain;
    crew.leave(end);
    tokio::select! {
        left = timeout_at(end + LAST_WORDS, group.idle()) => {
            if left.is_err() {
                group.abort();
            }
            Ok(())
        }
        _ = signals.next() => {
            group.abort();
            Err(Failed::silent(Exit::Interrupted))
        }
    }
}

/// Says what happens to them.
fn tell(output: Output) -> CrewTell {
    Arc::new(move |name, event| {
        let name = visible(name);
        match event {
            CrewEvent::Started(process) => output.note(&format!("{name} started as process {process}")),
            CrewEvent::NotStarted(error, pause) => say(&format!(
                "{name} cannot be started: {error}; again in {}",
                when::span(pause)
            )),
            CrewEvent::Ended(status, pause) => say(&format!(
                "{name} has ended ({status}); again in {}",
                when::span(pause)
            )),
            CrewEvent::Left(_) => output.note(&format!("{name} has left")),
            CrewEvent::Said(line) => super::report::say_line(&name, line),
        }
    })
}
