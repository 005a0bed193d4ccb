//! `raincheck queue set`: reads a queue's settings, changes some, and puts them back whole.
//!
//! Invariant: a setting that is not named keeps its value, and one that nobody ever wrote keeps following the
//! default.

use clap::Args;
use http::header::HeaderValue;
use http::{Method, StatusCode};
use raincheck::core::name::QueueName;
use serde_json::{Map, Value as Json};

use crate::client::{Answer, Request};
use crate::exit::Failed;
use crate::input::{self, Paired};
use crate::refused::refused;
use crate::session::{About, Session};

const EXAMPLES: &str = "\
Settings: worker concurrency rate burst depth depth_bytes group_defaults fair body_max result_max
result_type stream timeout lease_for cancel_grace max_attempts backoff keep keep_failed callback.
Written as field=value; field= goes back to the default; field:=json as it is.

Examples:
  raincheck queue set reports worker=pull
  raincheck queue set reports worker=http://localhost:8000/jobs/report timeout=10m concurrency=4
  raincheck queue set reports rate=50/s burst=100 depth_bytes=1GiB fair=true
  raincheck queue set reports 'group_defaults:={\"concurrency\":2,\"rate\":\"10/s\"}'
  raincheck queue set reports 'backoff=exponential;base=2s;cap=10m' max_attempts=
  raincheck queue set reports 'worker:={\"push\":[\"http://a:8000/r\",\"http://b:8000/r\"]}'";

/// Creates a queue, or changes some of its settings.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Set {
    /// The queue
    queue: QueueName,
    /// A setting and its value
    #[arg(value_name = "FIELD=VALUE", required = true)]
    fields: Vec<String>,
}

impl Set {
    /// Runs the command.
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failed> {
        let about = About::Queue(&self.queue);
        let path = format!("/v1/queues/{}", self.queue);
        let changes = changes(&self.fields)?;
        let there = session.client.send(Request::get(&path)).await;
        let there = there.map_err(|error| session.unanswered(&error))?;
        let mut settings = match there.status {
            StatusCode::OK => written(&there)?,
            StatusCode::NOT_FOUND => Map::new(),
            _ => return Err(refused(session, &there, about)),
        };
        for (name, value) in changes {
            match value {
                Some(value) => settings.insert(name, value),
                None => settings.remove(&name),
            };
        }
        let body = Json::Object(settings).to_string();
        let json = Some(HeaderValue::from_static("application/json"));
        let request = Request::new(Method::PUT, path).body(json, body.into());
        let answer = session.call(request, about).await?;
        if there.status == StatusCode::NOT_FOUND {
            session.output.note(&format!("queue {} was created", self.queue));
        }
        super::get::write(session, &answer, &answer.json()?)
    }
}

/// The settings that somebody wrote, as `PUT` takes them.
pub(super) fn written(answer: &Answer) -> Result<Map<String, Json>, Failed> {
    let mut fields: Map<String, Json> = answer.json()?;
    let origins = match fields.remove("origin") {
        Some(Json::Object(origins)) => origins,
        _ => Map::new(),
    };
    fields.retain(|name, _| origins.get(name).is_some_and(|origin| origin == "set"));
    Ok(fields)
}

/// The changes by field; `None` goes back to the default.
pub(super) fn changes(words: &[String]) -> Result<Vec<(String, Option<Json>)>, Failed> {
    let mut changes: Vec<(String, Option<Json>)> = Vec::new();
    for word in words {
        let (name, value) = change(word)?;
        if changes.iter().any(|(known, _)| *known == name) {
            return Err(Failed::usage(format!("the setting {name} is given twice")));
        }
        changes.push((name, value));
    }
    Ok(changes)
}

/// One `field=value`; `None` goes back to the default.
pub(crate) fn change(word: &str) -> Result<(String, Option<Json>), Failed> {
    let (name, value) = input::pair(word)?;
    let value = match value {
        Paired::Text(text) => plain(name, &text),
        Paired::Json(value) => Some(value),
    };
    Ok((name.to_owned(), value))
}

/// A value as a person writes it: nothing is the default, digits are a number, a worker may be a URL.
fn plain(name: &str, text: &str) -> Option<Json> {
    let url = |text: &str| text.starts_with("http://") || text.starts_with("https://");
    match text {
        "" => None,
        text if name == "worker" && url(text) => {
            Some(serde_json::json!({ "push": text.split(',').collect::<Vec<_>>() }))
        }
        "true" | "false" if matches!(name, "fair" | "stream") => Some((text == "true").into()),
        text => Some(text.parse::<u64>().map_or_else(|_| text.into(), Into::into)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(words: &[&str]) -> Result<Vec<(String, Option<Json>)>, Failed> {
        changes(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn values_are_read_as_people_write_them() {
        let changes = changed(&[
            "concurrency=4",
            "timeout=10m",
            "max_attempts=",
            "worker=http://a/x,http://b/x",
            "backoff=constant;base=30s",
            "result_type:=\"7\"",
            "fair=false",
        ])
        .unwrap();
        let expected = [
            ("concurrency", Some(serde_json::json!(4))),
            ("timeout", Some("10m".into())),
            ("max_attempts", None),
            (
                "worker",
                Some(serde_json::json!({"push": ["http://a/x", "http://b/x"]})),
            ),
            ("backoff", Some("constant;base=30s".into())),
            ("result_type", Some("7".into())),
            ("fair", Some(serde_json::json!(false))),
        ];
        let expected: Vec<_> = expected
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        assert_eq!(changes, expected);
        assert!(changed(&["timeout=1s", "timeout=2s"]).is_err());
        assert!(changed(&["timeout"]).is_err());
    }

    #[test]
    fn only_what_somebody_wrote_is_put_back() {
        let answer = Answer {
            status: StatusCode::OK,
            headers: http::HeaderMap::new(),
            body: r#"{"name":"q","depth":5,"timeout":"5m","worker":"pull","paused":null,"counts":{},
                      "origin":{"depth":"set","timeout":"default","worker":"config"}}"#
                .into(),
        };
        assert_eq!(
            Json::Object(written(&answer).unwrap()).to_string(),
            r#"{"depth":5}"#
        );
    }
}
