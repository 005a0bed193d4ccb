//! Credentials of calls that became jobs: sent to the service, and shown by no file and no answer.

use std::path::Path;

use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};

use super::jobs::{redeem, ticket};
use super::{Counting, Proxied};

const RULES: &[&str] = &["/**=UP;mode=always"];
const CREDENTIALS: [(&str, &str); 4] = [
    ("authorization", "Basic dmVyeS1zZWNyZXQtMQ=="),
    ("cookie", "session=very-secret-2"),
    ("x-api-key", "very-secret-3"),
    ("x-csrf-token", "very-s\u{e9}cret-4"),
];
const SHOWN: &str = "plain-to-see";

/// Answers 200 where all credentials came as they were sent, and says so in no word of them.
async fn checked(_: u32, request: Request) -> Response {
    let heard = |(name, value): &(&str, &str)| request.headers()[*name].as_bytes() == value.as_bytes();
    match CREDENTIALS.iter().all(heard) {
        true => Body::from("welcome").into_response(),
        false => (http::StatusCode::UNAUTHORIZED, Body::from("who are you?")).into_response(),
    }
}

/// Whether any file of the folder holds these bytes.
fn holds(folder: &Path, bytes: &[u8]) -> bool {
    let files = std::fs::read_dir(folder).unwrap();
    files
        .map(|entry| entry.unwrap().path())
        .any(|path| match path.is_dir() {
            true => holds(&path, bytes),
            false => memchr::memmem::find(&std::fs::read(&path).unwrap(), bytes).is_some(),
        })
}

async fn act(proxy: &Proxied, act: &str) {
    let path = format!("/_raincheck/v1/queues/proxy/{act}");
    let answer = proxy.ask("POST", &path).send().await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test]
async fn credentials_are_in_no_file_and_no_answer_and_open_doors_all_the_same_after_a_restart() {
    let service = Counting::start(checked).await;
    let proxy = Proxied::start(service.addr, RULES).await;
    act(&proxy, "pause").await;
    let mut ask = proxy.ask("POST", "/reports").header("x-plain", SHOWN);
    for (name, value) in CREDENTIALS {
        ask = ask.header(name, value);
    }
    let answer = ask.body("{}").send().await;
    let (path, ticket) = ticket(&answer);
    for what in ["", "/input", "/result"] {
        let told = proxy
            .ask("GET", &format!("{path}{what}?ticket={ticket}"))
            .send()
            .await;
        let whole = format!("{told:?}");
        assert!(told.status < 300 && !whole.contains("ecret-"), "{whole}");
    }
    let folder = proxy.dir.clone();
    let proxy = proxy.restarted(service.addr, RULES).await;
    assert!(holds(folder.path(), SHOWN.as_bytes()), "the store is looked at");
    for (name, value) in CREDENTIALS {
        assert!(
            !holds(folder.path(), value.as_bytes()),
            "{name} lies in the clear"
        );
    }
    act(&proxy, "resume").await;
    let result = redeem(&proxy, &answer).await;
    assert_eq!((result.status, result.text()), (200, "welcome"));
    assert_eq!(service.calls(), 1);
}

#[tokio::test]
async fn a_job_that_is_made_again_by_hand_has_the_credentials_of_the_first() {
    let service = Counting::start(|n, request| async move {
        match n {
            1 => http::StatusCode::INTERNAL_SERVER_ERROR.into_response(),
            _ => checked(n, request).await,
        }
    })
    .await;
    let proxy = Proxied::start(service.addr, RULES).await;
    let mut ask = proxy.ask("POST", "/reports");
    for (name, value) in CREDENTIALS {
        ask = ask.header(name, value);
    }
    let answer = ask.body("{}").send().await;
    assert_eq!(redeem(&proxy, &answer).await.status, 500);
    let (path, _) = ticket(&answer);
    let again = proxy.ask("POST", &format!("{path}/retry")).send().await;
    let path = format!("/_raincheck/v1/jobs/{}/result?wait=30", again.job());
    let result = proxy.ask("GET", &path).send().await;
    assert_eq!((result.status, result.text()), (200, "welcome"), "{again:?}");
}
