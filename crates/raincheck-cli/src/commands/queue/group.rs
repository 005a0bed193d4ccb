//! `raincheck queue group`: what bounds one group of a queue.
//!
//! Invariant: a limit that is not named keeps its value.

use clap::Args;
use http::Method;
use http::header::HeaderValue;
use raincheck::core::name::{GroupName, QueueName};
use serde_json::{Map, Value as Json};

use crate::client::{Answer, Request, encoded};
use crate::exit::Failed;
use crate::output::Shape;
use crate::session::{About, Session};

const EXAMPLES: &str = "\
Limits: concurrency rate burst. Written as field=value; field= goes back to the queue's group_defaults.
In a pipe: lines of limit, value and where it comes from (set, group_defaults, default).

Examples:
  raincheck queue group thumbs tenant-7
  raincheck queue group thumbs tenant-7 concurrency=8 rate=50/s
  raincheck queue group thumbs tenant-7 --reset";

/// Shows or changes what bounds one group of a queue.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Group {
    /// The queue
    queue: QueueName,
    /// The group
    group: GroupName,
    /// A limit and its value
    #[arg(value_name = "FIELD=VALUE")]
    fields: Vec<String>,
    /// Forget the group's own limits
    #[arg(long, conflicts_with = "fields")]
    reset: bool,
}

impl Group {
    /// Runs the command.
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failed> {
        let about = About::Queue(&self.queue);
        let path = format!(
            "/v1/queues/{}/groups/{}",
            self.queue,
            encoded(self.group.as_str())
        );
        let changes = super::set::changes(&self.fields)?;
        let answer = if self.reset {
            session.call(Request::new(Method::DELETE, path), about).await?
        } else {
            let there = session.call(Request::get(&path), about).await?;
            if changes.is_empty() {
                there
            } else {
                let mut settings = super::set::written(&there)?;
                for (name, value) in changes {
                    match value {
                        Some(value) => settings.insert(name, value),
                        None => settings.remove(&name),
                    };
                }
                let json = Some(HeaderValue::from_static("application/json"));
                let body = Json::Object(settings).to_string();
                let request = Request::new(Method::PUT, path).body(json, body.into());
                session.call(request, about).await?
            }
        };
        self.write(session, &answer)
    }

    fn write(&self, session: &Session, answer: &Answer) -> Result<(), Failed> {
        let output = session.output;
        match output.shape {
            Shape::Json => return output.document(&answer.body),
            Shape::Quiet => return output.line(self.group.as_str()),
            Shape::Terminal | Shape::Plain => {}
        }
        let fields: Map<String, Json> = answer.json()?;
        super::get::settings(&fields).write(output)
    }
}
