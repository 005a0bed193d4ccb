//! `raincheck queue pause` and `raincheck queue resume`: one switch, two positions.

use clap::Args;
use raincheck::core::name::QueueName;

use crate::client::Request;
use crate::document::{QueueDocument, instant};
use crate::exit::Failed;
use crate::output::Shape;
use crate::session::{About, Session};

const PAUSE: &str = "\
Running jobs go on, submits are accepted; the pause is durable.

Example:
  raincheck queue pause reports";

const RESUME: &str = "\
Example:
  raincheck queue resume reports";

/// Stops giving out a queue's jobs.
#[derive(Args, Debug)]
#[command(after_help = PAUSE)]
pub(crate) struct Pause {
    /// The queue
    queue: QueueName,
}

/// Gives out a queue's jobs again.
#[derive(Args, Debug)]
#[command(after_help = RESUME)]
pub(crate) struct Resume {
    /// The queue
    queue: QueueName,
}

impl Pause {
    /// Runs the command.
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failed> {
        switch(session, &self.queue, "pause").await
    }
}

impl Resume {
    /// Runs the command.
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failed> {
        switch(session, &self.queue, "resume").await
    }
}

async fn switch(session: &Session, name: &QueueName, verb: &str) -> Result<(), Failed> {
    let request = Request::post(format!("/v1/queues/{name}/{verb}"));
    let answer = session.call(request, About::Queue(name)).await?;
    let queue: QueueDocument = answer.json()?;
    let output = session.output;
    let now = answer.date().filter(|_| output.shape == Shape::Terminal);
    let state = match (queue.paused, now) {
        (Some(since), Some(_)) => format!("paused ({})", instant(since, now)),
        (Some(_), None) => "paused".to_owned(),
        (None, _) => "active".to_owned(),
    };
    match output.shape {
        Shape::Json => output.document(&answer.body),
        Shape::Quiet => output.line(&queue.name),
        Shape::Terminal => output.line(&format!("{}  {state}", queue.name)),
        Shape::Plain => output.fields(&[&queue.name, &state]),
    }
}
