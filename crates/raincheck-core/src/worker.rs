//! How a queue is worked, as settings, rows and documents write it.
//!
//! Invariant: what was written by an earlier version reads as it was meant: `"pull"`, `{"push": ["http://…"]}`,
//! `{"process": ["./resize.sh"]}` and, since, `{"process": ["./worker.py"], "keep_alive": true}`, `"function"` and
//! `"fetch"`.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How a queue is worked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Worker {
    /// Workers ask for jobs.
    #[default]
    Pull,
    /// The server sends each job to one of these URLs, in turn.
    Push(Vec<String>),
    /// The server starts this command for each job: a program and its arguments, no shell.
    Process(Vec<String>),
    /// The server keeps this command running, as many times as the queue's concurrency says; they ask for jobs as any
    /// other worker does.
    KeepAlive(Vec<String>),
    /// A function of the application that the server is part of works each job.
    Function,
    /// The server asks the URL that stands in each job's input, and keeps the answer.
    Fetch,
}

impl Worker {
    /// The kind's name, as documents and metrics write it.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push(_) => "push",
            Self::Process(_) | Self::KeepAlive(_) => "process",
            Self::Function => "function",
            Self::Fetch => "fetch",
        }
    }

    /// Whether workers ask for its jobs.
    #[must_use]
    pub const fn pulled(&self) -> bool {
        matches!(self, Self::Pull | Self::KeepAlive(_))
    }

    /// The command that the server itself runs for it, in whatever way.
    #[must_use]
    pub const fn command(&self) -> Option<&Vec<String>> {
        match self {
            Self::Process(argv) | Self::KeepAlive(argv) => Some(argv),
            Self::Pull | Self::Push(_) | Self::Function | Self::Fetch => None,
        }
    }
}

/// A worker with something to it, as it is written.
#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Written {
    #[serde(skip_serializing_if = "Option::is_none")]
    push: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    process: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    keep_alive: Option<bool>,
}

impl Serialize for Worker {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let written = match self {
            Self::Pull | Self::Function | Self::Fetch => return serializer.serialize_str(self.kind()),
            Self::Push(urls) => Written {
                push: Some(urls.clone()),
                ..Written::default()
            },
            Self::Process(argv) => Written {
                process: Some(argv.clone()),
                ..Written::default()
            },
            Self::KeepAlive(argv) => Written {
                process: Some(argv.clone()),
                keep_alive: Some(true),
                ..Written::default()
            },
        };
        written.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Worker {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Forms;

        impl<'de> Visitor<'de> for Forms {
            type Value = Worker;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    r#"a worker: "pull", "fetch", {"push": ["http://…"]} or {"process": ["./program"]}"#,
                )
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Worker, E> {
                match text {
                    "pull" => Ok(Worker::Pull),
                    "function" => Ok(Worker::Function),
                    "fetch" => Ok(Worker::Fetch),
                    _ => Err(E::invalid_value(serde::de::Unexpected::Str(text), &self)),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Worker, A::Error> {
                let written = Written::deserialize(MapAccessDeserializer::new(map))?;
                match (written.push, written.process, written.keep_alive) {
                    (Some(urls), None, None) => Ok(Worker::Push(urls)),
                    (None, Some(argv), None | Some(false)) => Ok(Worker::Process(argv)),
                    (None, Some(argv), Some(true)) => Ok(Worker::KeepAlive(argv)),
                    (None, None, None) => Err(A::Error::invalid_length(0, &self)),
                    _ => Err(A::Error::custom(
                        "a worker is one of push and process; keep_alive goes with process",
                    )),
                }
            }
        }

        deserializer.deserialize_any(Forms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_work_a_queue_is_written_and_read_back() {
        let words = || vec!["./a".to_owned(), "b".to_owned()];
        for (worker, written) in [
            (Worker::Pull, r#""pull""#),
            (Worker::Function, r#""function""#),
            (Worker::Fetch, r#""fetch""#),
            (Worker::Push(words()), r#"{"push":["./a","b"]}"#),
            (Worker::Process(words()), r#"{"process":["./a","b"]}"#),
            (
                Worker::KeepAlive(words()),
                r#"{"process":["./a","b"],"keep_alive":true}"#,
            ),
        ] {
            assert_eq!(serde_json::to_string(&worker).unwrap(), written);
            assert_eq!(serde_json::from_str::<Worker>(written).unwrap(), worker);
        }
        let said = r#"{"process":["./a","b"],"keep_alive":false}"#;
        assert_eq!(
            serde_json::from_str::<Worker>(said).unwrap(),
            Worker::Process(words())
        );
    }

    #[test]
    fn what_is_no_way_to_work_a_queue_is_refused() {
        for bad in [
            r#""push""#,
            "1",
            "[]",
            "{}",
            r#"{"pull":[]}"#,
            r#"{"push":["http://a"],"keep_alive":true}"#,
            r#"{"push":["http://a"],"process":["a"]}"#,
            r#"{"keep_alive":true}"#,
        ] {
            assert!(serde_json::from_str::<Worker>(bad).is_err(), "{bad}");
        }
    }
}
