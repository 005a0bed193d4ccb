//! `raincheck queue wait`: until nothing in the queue is unfinished.

use std::time::Duration;

use clap::Args;
use raincheck::core::name::QueueName;
use raincheck::core::time::{ParseDurationError, parse_duration};
use tokio::time::Instant;

use crate::document::QueueDocument;
use crate::exit::{Exit, Failed};
use crate::session::Session;

/// The queue is asked again after this long, and then ever more seldom.
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// The longest time between two questions.
const PAUSE_MAX: Duration = Duration::from_secs(2);

const EXAMPLES: &str = "\
Exits with 6 when the time is over; the jobs go on.

Example:
  raincheck queue wait reports --timeout 10m";

/// Waits until a queue has no unfinished jobs.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Wait {
    /// The queue
    queue: QueueName,
    /// Wait for at most this long [default: without limit]
    #[arg(long, value_name = "DURATION", value_parser = limit)]
    timeout: Option<Duration>,
}

fn limit(text: &str) -> Result<Duration, ParseDurationError> {
    parse_duration(text)
}

impl Wait {
    /// Runs the command.
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failed> {
        let started = Instant::now();
        let mut pause = PAUSE_MIN;
        let mut told = false;
        loop {
            let (answer, queue) = super::read(session, &self.queue).await?;
            if queue.counts.unfinished() == 0 {
                return super::get::write(session, &answer, &queue);
            }
            let left = self
                .timeout
                .map(|timeout| timeout.saturating_sub(started.elapsed()));
            if left.is_some_and(|left| left.is_zero()) {
                return Err(self.over(session, &queue));
            }
            if queue.paused.is_some() && queue.counts.running == 0 && !std::mem::replace(&mut told, true) {
                let resume = session.command(&format!("queue resume {}", self.queue));
                session
                    .output
                    .note(&format!("queue {} is paused. Resume it: {resume}", self.queue));
            }
            tokio::time::sleep(pause.min(left.unwrap_or(pause))).await;
            pause = (pause * 3 / 2).min(PAUSE_MAX);
        }
    }

    fn over(&self, session: &Session, queue: &QueueDocument) -> Failed {
        let name = &self.queue;
        let counts = queue.counts;
        let text = format!(
            "queue {name} still has {} unfinished jobs ({} waiting, {} running)",
            counts.unfinished(),
            counts.waiting(),
            counts.running
        );
        Failed::new(Exit::Timeout, text).next(format!(
            "See how they do: {}",
            session.command(&format!("queue get {name}"))
        ))
    }
}
