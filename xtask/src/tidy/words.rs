//! One word for one thing: the words that the design says *not* to use.
//!
//! Invariant: only words that have no honest other meaning here are looked for; the table in the design has more.

use super::Finding;

/// What not to say, and what to say for it.
const BANNED: [(&str, &str); 17] = [
    ("enqueue", "submit"),
    ("enqueued", "submitted"),
    ("dequeue", "claim"),
    ("heartbeat", "renew"),
    ("heartbeats", "renewals"),
    ("ack", "settle, or acknowledge"),
    ("acked", "settled, or acknowledged"),
    ("nack", "fail"),
    ("payload", "input or result"),
    ("payloads", "inputs or results"),
    ("eta", "run_at"),
    ("rescue", "reclaim"),
    ("gc", "prune"),
    ("todo", "an issue, or the thing itself"),
    ("util", "a name that says what it holds"),
    ("utils", "a name that says what it holds"),
    ("helpers", "a name that says what it holds"),
];

/// Rust's and HTTP's own names: the line is theirs, not ours.
const FOREIGN: [&str; 8] = [
    "tower::util",
    "PAYLOAD_TOO_LARGE",
    "hyper_util",
    "hyper-util",
    "tokio_util",
    "tokio-util",
    "http_body_util",
    "http-body-util",
];

/// Words in code and in the pages that users read. Decisions may quote how others speak.
pub(super) fn check(path: &str, text: &str) -> Vec<Finding> {
    let code = path.ends_with(".rs") && !path.ends_with("tidy/words.rs");
    let page = path.ends_with(".md") && !path.starts_with("docs/adr/") && path != "CONTRIBUTING.md";
    if !code && !page {
        return Vec::new();
    }
    let panics = text.contains("dyn Any");
    let mut findings = Vec::new();
    for (n, line) in text.lines().enumerate() {
        if FOREIGN.iter().any(|foreign| line.contains(foreign)) {
            continue;
        }
        for word in split(line) {
            let Some((_, say)) = BANNED.iter().find(|(banned, _)| *banned == word) else {
                continue;
            };
            // What a panic carries has this name in the standard library.
            if word.starts_with("payload") && panics || code && word == "todo" && line.contains("todo!") {
                continue;
            }
            let advice = format!("say {say}, not {word} (the words are in CONTRIBUTING.md)");
            findings.push(Finding::new(format!("{path}:{}", n + 1), advice));
        }
    }
    findings
}

/// The words of a line in lower case: `visibilityTimeout` and `visibility_timeout` are two each.
fn split(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut lower = false;
    for c in line.chars() {
        let starts = !c.is_alphabetic() || (c.is_uppercase() && lower);
        if starts {
            words.push(String::new());
        }
        if c.is_alphabetic()
            && let Some(word) = words.last_mut()
        {
            word.extend(c.to_lowercase());
        }
        lower = c.is_lowercase();
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_banned_word_is_found_in_any_spelling() {
        for line in [
            "fn enqueue() {}",
            "let jobPayload = 1;",
            "HEARTBEAT_MS",
            "send_ack(1)",
        ] {
            assert_eq!(check("a.rs", line).len(), 1, "{line}");
        }
    }

    #[test]
    fn other_words_and_foreign_names_are_left_alone() {
        for line in [
            "back to the stack",
            "use tokio_util::sync;",
            "StatusCode::PAYLOAD_TOO_LARGE",
            "details",
        ] {
            assert_eq!(check("a.rs", line), [], "{line}");
        }
        assert_eq!(check("a.rs", "fn f(payload: Box<dyn Any>) {}"), []);
    }
}
