//! What each submission asks for: drawn from the run's seed and the submission's number alone.
//!
//! Invariant: the same seed and token give the same request byte for byte, so a submission in doubt can be repeated
//! under its key without having been kept.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::ledger::{Submit, Token};
use crate::rng::Rng;

/// Worked by a command that the server starts.
pub(crate) const PROCESS: &str = "process";
/// Worked by the receiver in this program.
pub(crate) const PUSH: &str = "push";
/// Worked by nobody: its jobs wait, expire or are cancelled.
pub(crate) const PULL: &str = "pull";
/// Worked by pull workers.
pub(crate) const WORKED: &str = "worked";
/// All of them.
pub(crate) const QUEUES: [&str; 4] = [PROCESS, PUSH, PULL, WORKED];

/// A submission, ready to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Spec {
    /// For the ledger.
    pub(crate) submit: Submit,
    /// The path.
    pub(crate) path: String,
    /// The headers.
    pub(crate) headers: Vec<(&'static str, String)>,
    /// The body.
    pub(crate) body: Bytes,
}

/// What the options of a job are called in the two forms of a submission.
type Wanted = (&'static str, &'static str, String);

impl Spec {
    /// The submission of this number.
    pub(crate) fn new(seed: u64, token: Token) -> Self {
        let mut rng = Rng::new(seed).fork(token.0);
        let queue = match rng.below(10) {
            0..=3 => PUSH,
            4..=5 => PROCESS,
            6..=7 => WORKED,
            _ => PULL,
        };
        let short_lived = rng.chance(3, 100);
        let plan = plan(&mut rng, queue);
        let options = options(&mut rng, queue, &plan, short_lived);
        let body = format!("{token} {plan}\n");
        let key = rng
            .chance(1, 2)
            .then(|| Arc::<str>::from(format!("key-{}", token.0)));
        let submit = Submit {
            queue: queue.into(),
            key,
            token,
            valid: true,
            short_lived,
        };
        if rng.chance(1, 10) {
            as_json(submit, &options, &body)
        } else {
            as_bytes(submit, &options, body)
        }
    }

    /// A submission that the server must refuse. `taken` is one whose key is certainly in use.
    pub(crate) fn invalid(seed: u64, token: Token, taken: Option<&Submit>) -> Self {
        let mut rng = Rng::new(seed).fork(token.0);
        let mut submit = Submit {
            queue: PUSH.into(),
            key: None,
            token,
            valid: false,
            short_lived: false,
        };
        let mut body = format!("{token} ok\n");
        let mut headers = Vec::new();
        match (rng.below(5), taken) {
            (0 | 1, Some(taken)) => {
                submit.queue = taken.queue.clone();
                submit.key.clone_from(&taken.key);
            }
            (2, _) => headers.push(("Raincheck-Priority", "priority", "12".to_owned())),
            (3, _) => headers.push(("Raincheck-Umbrella", "umbrella", "yes".to_owned())),
            (4, _) => body.push_str(&" ".repeat(1 << 20)),
            _ => submit.queue = "nowhere".into(),
        }
        as_bytes(submit, &headers, body)
    }

    /// The same, asking to wait for the result: no part of what an idempotency key compares.
    pub(crate) fn waiting(mut self) -> Self {
        self.headers.push(("Prefer", "wait=1".to_owned()));
        self
    }
}

fn options(rng: &mut Rng, queue: &str, plan: &str, short_lived: bool) -> Vec<Wanted> {
    // A kill ends an attempt, and a killed attempt counts: a job must live through some kills. One that hangs fails
    // in the end, and nobody wants to wait long for that.
    let (attempts, timeout) = if queue == WORKED {
        // No attempt runs out of time, so that a lease within its term has no reason to be over.
        (3 + rng.below(8), "60s")
    } else if plan == "hang" {
        (2, "400ms")
    } else {
        (3 + rng.below(8), "1500ms")
    };
    let mut options = vec![
        ("Raincheck-Backoff", "backoff", "constant;base=80ms".to_owned()),
        ("Raincheck-Max-Attempts", "max_attempts", attempts.to_string()),
        ("Raincheck-Timeout", "timeout", timeout.to_owned()),
    ];
    let mut maybe = |rng: &mut Rng, n, of, option: Wanted| {
        if rng.chance(n, of) {
            options.push(option);
        }
    };
    let priority = rng.below(10).to_string();
    maybe(rng, 1, 4, ("Raincheck-Priority", "priority", priority));
    let group = format!("tenant-{}", rng.below(6));
    maybe(rng, 1, 3, ("Raincheck-Group", "group", group));
    let delay = format!("{}ms", 50 + rng.below(2_000));
    maybe(rng, 1, 6, ("Raincheck-Delay", "delay", delay));
    let deadline = format!("{}ms", 1_000 + rng.below(4_000));
    let n = u64::from(queue != WORKED);
    maybe(rng, n, 20, ("Raincheck-Deadline", "deadline", deadline));
    let start_before = format!("{}ms", 200 + rng.below(3_000));
    let (n, of) = if queue == PULL { (1, 2) } else { (1, 30) };
    maybe(
        rng,
        n,
        of,
        ("Raincheck-Start-Before", "start_before", start_before),
    );
    maybe(
        rng,
        u64::from(short_lived),
        1,
        ("Raincheck-Keep", "keep", "1s".to_owned()),
    );
    options
}

/// What the handler shall do with it.
fn plan(rng: &mut Rng, queue: &str) -> String {
    match rng.below(20) {
        0..=10 => "ok".to_owned(),
        11..=12 => format!("slow {}", 20 + rng.below(300)),
        // A cancel is then known for long before the attempt ends: time enough for a kill.
        13 if queue == PROCESS => format!("stubborn {}", 300 + rng.below(600)),
        13 => format!("slow {}", 300 + rng.below(600)),
        14..=16 => format!("flaky {}", 1 + rng.below(2)),
        17 => "reject".to_owned(),
        18 => "fail".to_owned(),
        _ if queue == PUSH => "hang".to_owned(),
        _ => "large".to_owned(),
    }
}

fn as_bytes(submit: Submit, options: &[Wanted], body: String) -> Spec {
    let mut headers: Vec<(&str, String)> = options
        .iter()
        .map(|(header, _, value)| (*header, value.clone()))
        .collect();
    headers.push(("Content-Type", "text/plain".to_owned()));
    if let Some(key) = &submit.key {
        headers.push(("Idempotency-Key", format!("\"{key}\"")));
    }
    Spec {
        path: format!("/v1/queues/{}/jobs", submit.queue),
        headers,
        body: body.into(),
        submit,
    }
}

fn as_json(submit: Submit, options: &[Wanted], body: &str) -> Spec {
    let mut fields = Map::new();
    fields.insert("queue".to_owned(), json!(&*submit.queue));
    fields.insert("input_text".to_owned(), json!(body));
    for (_, field, value) in options {
        let number = matches!(*field, "priority" | "max_attempts")
            .then(|| value.parse::<u64>().ok())
            .flatten();
        fields.insert(
            (*field).to_owned(),
            number.map_or_else(|| json!(value), Value::from),
        );
    }
    if let Some(key) = &submit.key {
        fields.insert("idempotency_key".to_owned(), json!(&**key));
    }
    Spec {
        path: "/v1/jobs".to_owned(),
        headers: vec![("Content-Type", "application/json".to_owned())],
        body: Value::Object(fields).to_string().into(),
        submit,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_submission_is_the_same_whenever_it_is_drawn() {
        for token in (1..500).map(Token) {
            let (first, again) = (Spec::new(9, token), Spec::new(9, token));
            assert_eq!(
                (first.path, first.headers, first.body),
                (again.path, again.headers, again.body)
            );
            assert_eq!(first.submit, again.submit);
        }
    }

    #[test]
    fn every_body_names_its_token() {
        for token in (1..500).map(Token) {
            let spec = Spec::new(9, token);
            let body = String::from_utf8(spec.body.to_vec()).unwrap();
            assert_eq!(Token::find(&body), Some(token));
        }
    }
}
