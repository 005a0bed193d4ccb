//! `raincheck queue get`: a queue's settings, where they come from, and what is in it.
//!
//! Invariant: settings are shown as the server sends them, so that a new one needs no change here.

use clap::Args;
use raincheck::core::name::QueueName;
use serde_json::{Map, Value as Json};

use crate::client::Answer;
use crate::document::{QueueDocument, instant};
use crate::exit::Failed;
use crate::output::Shape;
use crate::session::Session;
use crate::table::{Record, Table, Value};

const EXAMPLES: &str = "\
In a pipe: lines of name and value; a setting also has where it comes from (set, config, default).

Examples:
  raincheck queue get thumbs
  raincheck queue get thumbs --json | jq .counts.queued";

/// Shows a queue.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Get {
    /// The queue
    queue: QueueName,
}

impl Get {
    /// Runs the command.
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failed> {
        let (answer, queue) = super::read(session, &self.queue).await?;
        write(session, &answer, &queue)
    }
}

/// Writes a queue document.
pub(super) fn write(session: &Session, answer: &Answer, queue: &QueueDocument) -> Result<(), Failed> {
    let output = session.output;
    match output.shape {
        Shape::Json => return output.document(&answer.body),
        Shape::Quiet => return output.line(&queue.name),
        Shape::Terminal | Shape::Plain => {}
    }
    let fields: Map<String, Json> = answer.json()?;
    let now = answer.date().filter(|_| output.shape == Shape::Terminal);
    let mut record = Record::default();
    record.field("name", Value::text(&queue.name));
    let paused = queue
        .paused
        .map_or_else(|| "no".to_owned(), |since| instant(since, now));
    record.field("paused", Value::text(&paused));
    let managed = if queue.managed {
        "by the server's flags"
    } else {
        "no"
    };
    record.field("managed", Value::text(managed));
    for (name, count) in [
        ("scheduled", queue.counts.scheduled),
        ("queued", queue.counts.queued),
        ("running", queue.counts.running),
        ("succeeded", queue.counts.succeeded),
        ("failed", queue.counts.failed),
        ("cancelled", queue.counts.cancelled),
        ("expired", queue.counts.expired),
    ] {
        record.field(name, Value::count(count));
    }
    record.write(output)?;
    if output.shape == Shape::Terminal {
        output.line("")?;
    }
    settings(&fields).write(output)
}

/// The settings with the value in force and where it comes from.
pub(super) fn settings(fields: &Map<String, Json>) -> Table {
    let mut table = Table::new(&["SETTING", "VALUE", "FROM"]);
    let origins = fields.get("origin").and_then(Json::as_object);
    for (name, origin) in origins.into_iter().flatten() {
        let value = match fields.get(name) {
            None | Some(Json::Null) => "-".to_owned(),
            Some(Json::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        };
        table.row(vec![
            Value::text(name),
            Value::text(&value),
            Value::text(origin.as_str().unwrap_or_default()),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_that_the_server_names_is_shown() {
        let fields: Map<String, Json> = serde_json::from_str(
            r#"{"name":"q","depth":5,"worker":{"push":["http://a"]},"concurrency":null,
                "origin":{"depth":"set","worker":"config","concurrency":"default"}}"#,
        )
        .unwrap();
        let text = format!("{:?}", settings(&fields));
        for part in [
            "concurrency",
            "\"-\"",
            "depth",
            "\"5\"",
            r#"{\"push\":[\"http://a\"]}"#,
            "config",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
}
