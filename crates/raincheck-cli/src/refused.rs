//! What the server refused, turned into an exit code and the next thing to type.
//!
//! Invariant: clients branch on a problem's `code`, never on its text (API.md section 9).

use serde::Deserialize;

use crate::client::Answer;
use crate::exit::{Exit, Failed};
use crate::session::{About, Session};

/// An `application/problem+json` document, as far as it is used here.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Problem {
    /// The stable word for what happened.
    pub(crate) code: String,
    title: String,
    detail: String,
    errors: Vec<Place>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Place {
    pointer: String,
    detail: String,
}

impl Problem {
    /// The problem in an answer; where it is none (a proxy's page, say), one made of its status.
    pub(crate) fn of(answer: &Answer) -> Self {
        serde_json::from_slice(&answer.body).unwrap_or_else(|_| Self {
            title: format!("the server answered {}, and not as Raincheck does", answer.status),
            ..Self::default()
        })
    }

    /// What happened, in one sentence.
    pub(crate) fn message(&self) -> String {
        let said = if self.detail.is_empty() {
            &self.title
        } else {
            &self.detail
        };
        let places = self.errors.iter().filter(|place| !place.detail.is_empty());
        let places = places.map(|place| format!("{} {}", place.pointer, place.detail).trim().to_owned());
        match places.collect::<Vec<_>>().join("; ") {
            places if places.is_empty() => said.clone(),
            places => format!("{}: {places}", said.trim_end_matches('.')),
        }
    }
}

/// The failure that an answer of 400 or more means.
pub(crate) fn refused(session: &Session, answer: &Answer, about: About<'_>) -> Failed {
    let problem = Problem::of(answer);
    let failed = Failed::new(exit(answer.status.as_u16(), &problem.code), problem.message());
    match next(session, answer, &problem.code, about) {
        Some(next) => failed.next(next),
        None => failed,
    }
}

fn exit(status: u16, code: &str) -> Exit {
    match (status, code) {
        (_, "store-failed") => Exit::StoreFailed,
        (_, "idempotency-mismatch") => Exit::Conflict,
        (_, "job-cancelled" | "job-expired") => Exit::JobFailed,
        (400, _) => Exit::Usage,
        (401 | 403, _) => Exit::Auth,
        (404 | 410, _) => Exit::NotFound,
        (409 | 412, _) => Exit::Conflict,
        (502..=504, _) => Exit::Unreachable,
        _ => Exit::Failure,
    }
}

fn next(session: &Session, answer: &Answer, code: &str, about: About<'_>) -> Option<String> {
    let command = |arguments: String| session.command(&arguments);
    let text = match (code, about) {
        ("unknown-queue", About::Queue(queue)) => {
            format!(
                "Create it: {}; see what is there: {}",
                command(format!("queue set {queue} worker=pull")),
                command("queue list".to_owned())
            )
        }
        ("unknown-job", _) => "Check the id, and that this is the server that gave it out".to_owned(),
        ("job-not-done", About::Job(job)) => format!(
            "Wait for it: {}; or cancel it: {}",
            command(format!("job result {job} --wait")),
            command(format!("job cancel {job}"))
        ),
        ("job-started", About::Job(job)) => {
            format!("Cancel it: {}", command(format!("job cancel {job}")))
        }
        ("queue-managed", About::Queue(_)) => {
            "Change the --queue flag of raincheck serve and start it again".to_owned()
        }
        ("queue-not-empty", About::Queue(queue)) => format!(
            "Wait for its jobs: {}; or cancel those that wait: {}",
            command(format!("queue wait {queue}")),
            command(format!("queue purge {queue}"))
        ),
        ("process-worker-forbidden", About::Queue(queue)) => {
            format!("Start the server with it: raincheck serve --queue {queue}='cmd:…'")
        }
        ("unauthenticated", _) => {
            "Give an API key: --api-key, RAINCHECK_API_KEY or RAINCHECK_API_KEY_FILE; an administrator makes one with \
             raincheck key create"
                .to_owned()
        }
        ("idempotency-mismatch", _) => {
            "Send the same request as before, or another --idempotency-key".to_owned()
        }
        ("unique-conflict", About::Queue(_)) => {
            "Use that job: --on-conflict attach; or take its place while it waits: --on-conflict replace"
                .to_owned()
        }
        ("body-too-large", About::Queue(queue)) => format!(
            "Raise the limit (16MiB at most): {}",
            command(format!("queue set {queue} body_max=16MiB"))
        ),
        ("queue-full", About::Queue(queue)) => {
            format!("See what waits: {}", command(format!("queue get {queue}")))
        }
        _ => {
            let seconds = answer.header("retry-after")?;
            format!("Try again in {seconds} s")
        }
    };
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::URL_DEFAULT;
    use crate::output::Output;
    use bytes::Bytes;
    use http::{HeaderMap, StatusCode};
    use raincheck::core::name::QueueName;

    fn answer(status: u16, body: &'static str) -> Answer {
        let mut headers = HeaderMap::new();
        headers.insert("retry-after", "3".parse().unwrap());
        Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers,
            body: Bytes::from_static(body.as_bytes()),
        }
    }

    fn check(status: u16, body: &'static str, exit: Exit, text: &str) {
        let session = Session::new(URL_DEFAULT.parse().unwrap(), Output::new(false, false, true));
        let queue = QueueName::new("q").unwrap();
        let failed = refused(&session, &answer(status, body), About::Queue(&queue));
        assert_eq!((failed.exit, failed.to_string().as_str()), (exit, text));
    }

    #[test]
    fn a_refusal_says_what_happened_and_names_the_next_command() {
        check(
            404,
            r#"{"code":"unknown-queue","title":"Unknown queue","detail":"there is no queue \"q\"."}"#,
            Exit::NotFound,
            "there is no queue \"q\". Create it: raincheck queue set q worker=pull; see what is there: raincheck queue list",
        );
        check(
            422,
            r#"{"code":"idempotency-mismatch","title":"T","detail":"the key was used"}"#,
            Exit::Conflict,
            "the key was used. Send the same request as before, or another --idempotency-key",
        );
        check(
            503,
            r#"{"code":"draining","title":"Draining"}"#,
            Exit::Unreachable,
            "Draining. Try again in 3 s",
        );
    }

    #[test]
    fn an_answer_that_is_no_problem_document_is_told_by_its_status() {
        check(
            502,
            "<html>",
            Exit::Unreachable,
            "the server answered 502 Bad Gateway, and not as Raincheck does. Try again in 3 s",
        );
    }

    #[test]
    fn the_places_of_a_problem_are_named() {
        let problem: Problem = serde_json::from_str(
            r#"{"detail":"bad settings.","errors":[{"pointer":"/depth","detail":"is at least 1"}]}"#,
        )
        .unwrap();
        assert_eq!(problem.message(), "bad settings: /depth is at least 1");
    }

    #[test]
    fn every_kind_of_refusal_has_its_exit_code() {
        for (status, code, expected) in [
            (400, "bad-request", Exit::Usage),
            (401, "unauthenticated", Exit::Auth),
            (403, "forbidden", Exit::Auth),
            (404, "unknown-job", Exit::NotFound),
            (410, "job-deleted", Exit::NotFound),
            (410, "job-cancelled", Exit::JobFailed),
            (409, "queue-managed", Exit::Conflict),
            (413, "body-too-large", Exit::Failure),
            (429, "queue-full", Exit::Failure),
            (503, "store-unavailable", Exit::Unreachable),
            (503, "store-failed", Exit::StoreFailed),
        ] {
            assert_eq!(exit(status, code), expected, "{status} {code}");
        }
    }
}
