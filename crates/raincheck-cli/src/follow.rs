//! Following a job: its events as they come, across disconnects and restarts of the server.
//!
//! Invariant: every output and every log is handed on once; who was disconnected goes on after the last event that had
//! an id.

use std::borrow::Cow;
use std::io::Write as _;
use std::time::Duration;

use http::HeaderName;
use http::header::{ACCEPT, HeaderValue};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;

use crate::client::{NoAnswer, Opened, Request};
use crate::exit::{Exit, Failed};
use crate::named::Named;
use crate::output::{Output, Shape, visible};
use crate::parcel::from_base64;
use crate::redeem::{Redeem, redeem};
use crate::refused::refused;
use crate::session::{About, Session};

/// How long a server that was there may stay away before we give up.
const AWAY_MAX: Duration = Duration::from_secs(60);
/// How long we wait before we come back, where the server does not say.
const PAUSE: Duration = Duration::from_millis(500);

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// When to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// When all that happened so far is told.
    Now,
    /// When the job is done.
    Done,
}

impl Until {
    /// What the flag `--follow` says.
    pub(crate) const fn told(follow: bool) -> Self {
        if follow { Self::Done } else { Self::Now }
    }
}

/// One event.
#[derive(Debug)]
pub(crate) struct Event {
    /// `state`, `progress`, `output`, `log`, `reset` or `done`.
    pub(crate) name: String,
    /// What it says.
    pub(crate) data: Value,
    /// As the server wrote it.
    pub(crate) line: String,
}

impl Event {
    /// What it says, in a few words.
    pub(crate) fn summary(&self) -> String {
        let data = &self.data;
        let text = |field: &str| data[field].as_str().unwrap_or_default().to_owned();
        match self.name.as_str() {
            "state" => format!("{}, attempt {}", text("state"), data["attempt"]),
            "progress" => {
                let share = data["fraction"]
                    .as_f64()
                    .map(|share| format!("{:.0} %", share * 100.0));
                [share.unwrap_or_default(), text("message")]
                    .join(" ")
                    .trim()
                    .to_owned()
            }
            "output" | "log" => String::from_utf8_lossy(&self.bytes()).into_owned(),
            "reset" => format!("attempt {} begins", data["attempt"]),
            "done" => text("outcome"),
            _ => data.to_string(),
        }
    }

    /// The bytes of a chunk.
    fn bytes(&self) -> Cow<'_, [u8]> {
        match (self.data["text"].as_str(), self.data["base64"].as_str()) {
            (Some(text), _) => Cow::Borrowed(text.as_bytes()),
            (None, Some(coded)) => from_base64(coded).unwrap_or_default().into(),
            (None, None) => Cow::Borrowed(b""),
        }
    }
}

#[derive(Deserialize)]
struct Line {
    event: String,
    id: Option<String>,
    #[serde(default)]
    data: Value,
}

/// How one connection ended.
enum Ended {
    /// All that was asked for is told.
    Told,
    /// The server leaves, and says when to come back.
    Leaving(Duration),
    /// The connection broke.
    Broken(NoAnswer),
}

/// Hands every event of the job on, until then. Gives back the outcome of a job that is done.
///
/// # Errors
/// When the server refuses, stays away, or an event cannot be handed on.
pub(crate) async fn follow(
    session: &Session,
    job: &Named,
    until: Until,
    mut take: impl FnMut(&Event) -> Result<(), Failed>,
) -> Result<Option<String>, Failed> {
    let mut reader = Reader {
        last_id: None,
        outcome: None,
        met: false,
    };
    let mut away_since: Option<Instant> = None;
    loop {
        let told = reader.connection(session, job, until, &mut take);
        let ended = tokio::select! {
            ended = told => ended?,
            _ = tokio::signal::ctrl_c() => {
                let failed = Failed::new(Exit::Interrupted, format!("interrupted; job {} goes on", job.id));
                let again = session.command(&format!("job events {job} --follow"));
                return Err(failed.next(format!("Follow it: {again}")));
            }
        };
        let pause = match ended {
            Ended::Told => return Ok(reader.outcome),
            Ended::Leaving(pause) => {
                away_since = None;
                pause
            }
            Ended::Broken(error) if !reader.met => return Err(session.unanswered(&error)),
            Ended::Broken(error) => {
                let since = *away_since.get_or_insert_with(|| {
                    session
                        .output
                        .note("the server is away; waiting for it to come back");
                    Instant::now()
                });
                if since.elapsed() >= AWAY_MAX {
                    return Err(session.unanswered(&error));
                }
                PAUSE
            }
        };
        tokio::time::sleep(pause).await;
    }
}

struct Reader {
    last_id: Option<String>,
    outcome: Option<String>,
    /// Whether the server was there.
    met: bool,
}

impl Reader {
    /// Reads from where the last connection stopped to the end of this one.
    async fn connection(
        &mut self,
        session: &Session,
        job: &Named,
        until: Until,
        take: &mut impl FnMut(&Event) -> Result<(), Failed>,
    ) -> Result<Ended, Failed> {
        let query = (until == Until::Now).then_some("follow=false");
        let mut request = Request::get(job.path("/events", query))
            .header(ACCEPT, HeaderValue::from_static("application/x-ndjson"));
        if let Some(last) = self
            .last_id
            .as_deref()
            .and_then(|id| HeaderValue::from_str(id).ok())
        {
            request = request.header(LAST_EVENT_ID, last);
        }
        let mut lines = match session.client.open(request).await {
            Ok(Opened::Lines(lines)) => lines,
            Ok(Opened::Whole(answer)) if answer.status.as_u16() == 204 => return Ok(Ended::Told),
            Ok(Opened::Whole(answer)) if answer.status.as_u16() == 503 && self.met => {
                return Ok(Ended::Broken(NoAnswer::Lost("it is leaving".to_owned())));
            }
            Ok(Opened::Whole(answer)) => return Err(refused(session, &answer, About::Job(job))),
            Err(error) => return Ok(Ended::Broken(error)),
        };
        self.met = true;
        let mut pause = None;
        loop {
            let line = match lines.next().await {
                Ok(Some(line)) => line,
                Ok(None) => break,
                Err(error) => return Ok(Ended::Broken(error)),
            };
            let Line { event, id, data } =
                serde_json::from_slice(&line).map_err(|error| Failed::unreadable(&error))?;
            match event.as_str() {
                "ping" => continue,
                "retry" => {
                    pause = data["millis"].as_u64();
                    continue;
                }
                "done" => self.outcome = data["outcome"].as_str().map(str::to_owned),
                _ => {}
            }
            if id.is_some() {
                self.last_id = id;
            }
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            take(&Event {
                name: event,
                data,
                line,
            })?;
        }
        let told = self.outcome.is_some() || until == Until::Now;
        Ok(match pause {
            _ if told => Ended::Told,
            Some(millis) => Ended::Leaving(Duration::from_millis(millis)),
            None => Ended::Broken(NoAnswer::Lost("the stream ended early".to_owned())),
        })
    }
}

/// Writes a chunk to standard output: as it is in a pipe, without what would confuse a terminal on one.
pub(crate) fn write(output: Output, event: &Event) -> Result<(), Failed> {
    let bytes = event.bytes();
    match output.shape {
        Shape::Json => output.line(&event.line),
        Shape::Terminal => output.bytes(shown(&bytes).as_bytes()),
        Shape::Plain | Shape::Quiet => output.bytes(&bytes),
    }
}

/// Text for a terminal: line ends and tabs stay, other control characters are escaped.
fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let escaped = text.split_inclusive(['\n', '\t']).map(|part| {
        let end = part.ends_with(['\n', '\t']).then(|| &part[part.len() - 1..]);
        let body = end.map_or(part, |end| &part[..part.len() - end.len()]);
        [visible(body), end.unwrap_or_default().into()].concat()
    });
    escaped.collect()
}

/// Prints what the job emits as it comes, and its result where it emits no output; the exit code tells how it ended.
///
/// # Errors
/// As for [`follow`], and where the job ends without success.
pub(crate) async fn deliver(session: &Session, job: &Named) -> Result<(), Failed> {
    let output = session.output;
    let mut any = false;
    let outcome = follow(session, job, Until::Done, |event| {
        match event.name.as_str() {
            _ if output.shape == Shape::Json => output.line(&event.line)?,
            "output" => {
                any = true;
                write(output, event)?;
            }
            "log" => {
                // Where even that fails there is nobody left to tell.
                let _ = std::io::stderr()
                    .lock()
                    .write_all(shown(&event.bytes()).as_bytes());
            }
            "reset" if any => output.note(&format!(
                "attempt {} begins: what was printed before is void",
                event.data["attempt"]
            )),
            _ => {}
        }
        Ok(())
    })
    .await?;
    let told = any || output.shape == Shape::Json;
    if told && outcome.as_deref() == Some("succeeded") {
        return Ok(());
    }
    // What is left to tell is the result, or why there is none.
    let how = Redeem::default();
    redeem(session, job, &how, true).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(name: &str, data: Value) -> Event {
        Event {
            name: name.to_owned(),
            data,
            line: String::new(),
        }
    }

    #[test]
    fn an_event_is_told_in_a_few_words() {
        for (name, data, expected) in [
            (
                "state",
                serde_json::json!({"state": "running", "attempt": 2}),
                "running, attempt 2",
            ),
            (
                "progress",
                serde_json::json!({"fraction": 0.5, "message": "page 4"}),
                "50 % page 4",
            ),
            (
                "progress",
                serde_json::json!({"fraction": null, "message": "page 4"}),
                "page 4",
            ),
            ("output", serde_json::json!({"text": "a"}), "a"),
            ("output", serde_json::json!({"base64": "Yg=="}), "b"),
            ("reset", serde_json::json!({"attempt": 2}), "attempt 2 begins"),
            ("done", serde_json::json!({"outcome": "failed"}), "failed"),
            ("other", serde_json::json!({"a": 1}), r#"{"a":1}"#),
        ] {
            assert_eq!(event(name, data).summary(), expected);
        }
    }

    #[test]
    fn a_terminal_is_not_confused() {
        assert_eq!(shown(b"a\n\tb\x1b[31m\r\n"), "a\n\tb\\u{1b}[31m\\r\n");
    }
}
