//! (Feature `fuzzing`) What the command line and the configuration read, as targets for fuzzing.
//!
//! Invariant: a target is total, opens no file and connects nowhere.

use std::time::Duration;

use raincheck_core::fuzz::Target;
use serde_json::Value;

use crate::client::{Address, Answer, encoded, http_date};
use crate::config::{environment, file, flags, table};
use crate::document::JobDocument;
use crate::follow;
use crate::input;
use crate::named::Named;
use crate::output::visible;
use crate::redeem::wait_limit;
use crate::refused::Problem;
use crate::{master_key, when};

/// All of them.
pub const TARGETS: &[Target] = &[
    (
        "config_file",
        config_file,
        &[
            "log = \"debug\"\ndev = true\nallow_targets = [\"10.0.0.0/8\", \"::1\"]\n[queues.thumbs]\nworker = { push = [\"http://a/x\"] }\nconcurrency = 0x10\n",
            "listen = \"unix:./s\"\ndrain = \"25s\"\npublic_url = \"https://a.example/jobs/\"\n[queues.\"a b\"]\n",
            "[queues.a]\ntimeout = 1.5\nrate = \"50/s\"\ncallback = { url = \"https://a\" }\n",
        ],
    ),
    (
        "config_values",
        config_values,
        &[
            "listen 127.0.0.1:7246\nunix:./s",
            "drain 1m30s",
            "trace_share 0.25",
            "allow_targets 10.0.0.0/8\n::1",
            "public_url https://a.example/jobs/",
            "log_format json",
            "dev on",
        ],
    ),
    (
        "config_environment",
        config_environment,
        &["RAINCHECK_LOG=debug\nRAINCHECK_QUEUES__A__CONCURRENCY=4\nRAINCHECK_DRAIN=7s\nRAINCHECK_LISEN=x"],
    ),
    (
        "config_flags",
        config_flags,
        &[
            "thumbs=http://a:8000/x?y=z,http://b/x",
            "thumbs=cmd:./resize.sh --size '10 20' a=b",
            "eu.thumbs.depth=1",
            "q.backoff=constant;base=30s",
        ],
    ),
    (
        "words",
        words,
        &[
            "month=2026-11",
            "pages:=[1,2]",
            "{\"a\":1}",
            "note=a=b:=c",
            "a\nb=1",
        ],
    ),
    (
        "named",
        named,
        &[
            "job_01jd8zq3k5e7rv2m4n6p8s0t1w",
            "http://a:1/p/v1/jobs/job_01jd8zq3k5e7rv2m4n6p8s0t1w/result?wait=3&ticket=t1ab",
            "https://jobs.example.org/",
        ],
    ),
    (
        "spans",
        spans,
        &[
            "30s",
            "",
            "1h30m",
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "1795227064123 1795227000000",
        ],
    ),
    (
        "master_key",
        master,
        &[
            "q7Jm1vT0bX2cZ4nL6kR8sD5fG3hW9yAaEeIiOoUuPp8=",
            "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
        ],
    ),
    (
        "answers",
        answers,
        &[
            r#"{"title":"a","detail":"b","code":"x","errors":[{"pointer":"/a","detail":"c"}]}"#,
            r#"{"id":"job_1","queue":"q","state":"failed","attempt":1,"created_at":"2026-11-21T02:11:04.123Z","error":{"code":"a","detail":"b"},"attempts":[{"n":1}]}"#,
            r#"{"event":"log","id":"1.2","data":{"base64":"YWJj","attempt":1}}"#,
            r#"{"event":"progress","data":{"fraction":0.5,"message":"half"}}"#,
        ],
    ),
];

fn text_of(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

/// What a person is told is one line of visible characters, whoever chose the words.
fn told(text: &str) {
    let shown = visible(text);
    assert!(!shown.chars().any(char::is_control), "{shown:?}");
}

/// Secrets are said by the names of files, which are read: none of those is made up here.
fn names_a_file(text: &str) -> bool {
    text.to_ascii_lowercase().contains("_file") || text.contains("master_key")
}

fn config_file(bytes: &[u8]) {
    let text = text_of(bytes);
    if names_a_file(text) || text.contains('\\') {
        return;
    }
    match file::parse(&"raincheck.toml".into(), text) {
        Ok(file) => {
            // What a file says of a setting is what the same words say elsewhere.
            for (name, found) in &file.values {
                let row = table::TABLE.iter().find(|row| row.name == *name);
                let row = row.expect("a setting of the table");
                assert_eq!((row.check)(&found.texts), Ok(()), "{name}");
            }
            for (name, fields) in &file.queues {
                let _ = crate::config::queues::check(name, fields);
            }
        }
        Err(mistakes) => {
            assert!(!mistakes.is_empty(), "refused without a reason");
            let lines = text.lines().count().max(1) + 1;
            for mistake in mistakes {
                let line = mistake.to_string();
                let at = line.split(':').nth(1).and_then(|line| line.parse::<usize>().ok());
                assert!(
                    at.is_some_and(|at| (1..=lines).contains(&at)),
                    "{line} of {lines}"
                );
            }
        }
    }
}

/// A setting and its texts, one a line.
fn config_values(bytes: &[u8]) {
    let (name, texts) = text_of(bytes).split_once(' ').unwrap_or_default();
    let Some(row) = table::TABLE.iter().find(|row| row.name == name && !row.secret) else {
        return;
    };
    let texts: Vec<String> = texts.split('\n').map(str::to_owned).collect();
    if let Err(why) = (row.check)(&texts) {
        assert!(!why.is_empty(), "refused without a reason");
    }
}

fn config_environment(bytes: &[u8]) {
    let lines = text_of(bytes).lines();
    let variables = lines.filter_map(|line| line.split_once('='));
    let variables = variables.filter(|(name, _)| !names_a_file(name));
    let variables: Vec<_> = variables
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let _ = environment::read(variables, &[]);
}

fn config_flags(bytes: &[u8]) {
    let text = text_of(bytes);
    if let Ok((name, worker)) = flags::queue(text) {
        assert!(text.starts_with(name.as_str()));
        assert!(
            worker
                .command()
                .is_none_or(|words| words.first().is_some_and(|word| !word.is_empty()))
        );
    }
    if let Ok((name, field, _)) = flags::setting(text) {
        assert!(text.starts_with(&format!("{name}.{field}")), "{text:?}");
    }
}

/// The input of `submit`, from words; none of them names a file.
fn words(bytes: &[u8]) {
    let words: Vec<String> = text_of(bytes).lines().map(str::to_owned).collect();
    if words.iter().any(|word| word.starts_with('@') || word == "-") {
        return;
    }
    if let Ok(body) = input::read(&words) {
        let json = body.content_type == Some("application/json");
        let read = serde_json::from_slice::<serde::de::IgnoredAny>(&body.bytes);
        assert!(if json { read.is_ok() } else { body.bytes.is_empty() });
    }
}

fn named(bytes: &[u8]) {
    let text = text_of(bytes);
    if let Ok(named) = text.parse::<Named>() {
        let path = named.path("/result", Some("wait=1"));
        assert!(
            path.starts_with(&format!("/v1/jobs/{}/result?wait=1", named.id)),
            "{path}"
        );
        assert!(path.bytes().all(|byte| byte.is_ascii_graphic()), "{path}");
        let again = named.to_string();
        let words = shlex::split(&again).unwrap_or_default();
        assert!(words.len() == 1, "{again:?} is not typed as one word");
        assert_eq!(words[0].parse(), Ok(named));
    }
    if let Ok(address) = text.parse::<Address>() {
        let link = address.link("/v1/jobs/x");
        assert!(
            link.is_ascii() && link[..4].eq_ignore_ascii_case("http"),
            "{link}"
        );
    }
    assert!(encoded(text).bytes().all(|byte| byte.is_ascii_graphic()));
}

fn spans(bytes: &[u8]) {
    let text = text_of(bytes);
    let _ = (wait_limit(text), http_date(text));
    let mut numbers = text.split(' ').filter_map(|word| word.parse().ok());
    if let (Some(then), Some(now)) = (numbers.next(), numbers.next()) {
        use raincheck_core::time::Timestamp;
        let told = when::relative(Timestamp::from_millis(then), Timestamp::from_millis(now));
        assert!(told.len() < 40, "{told}");
        let _ = when::span(Duration::from_millis(then.unsigned_abs()));
    }
}

fn master(bytes: &[u8]) {
    if let Err(why) = master_key::read(text_of(bytes)) {
        // A message that is always the same shows nothing of the key.
        let same = master_key::read("-").is_err_and(|other| other == why);
        assert!(
            same || why.starts_with("all its bytes are alike; write 32 bytes"),
            "{why}"
        );
    }
}

/// What a server answers, or whoever stands in its place.
fn answers(bytes: &[u8]) {
    let answer = Answer {
        status: http::StatusCode::BAD_REQUEST,
        headers: http::HeaderMap::new(),
        body: bytes.to_vec().into(),
    };
    told(&Problem::of(&answer).message());
    if let Ok(job) = answer.json::<JobDocument>() {
        told(&job.error.map(|error| error.text()).unwrap_or_default());
    }
    if let Ok(Value::Object(line)) = serde_json::from_slice(bytes)
        && let Some(Value::String(name)) = line.get("event")
    {
        let event = follow::Event {
            name: name.clone(),
            data: line.get("data").cloned().unwrap_or_default(),
            line: text_of(bytes).to_owned(),
        };
        told(&event.summary());
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn no_words_break_the_command_line() {
        raincheck_core::fuzz::run(env!("CARGO_MANIFEST_DIR"), super::TARGETS);
    }
}
