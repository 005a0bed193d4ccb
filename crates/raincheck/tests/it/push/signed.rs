//! Signatures of push requests: verified by hand, and by the independent Python package where that is there.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

use super::{Endpoint, Received, submit};
use crate::harness::Server;

const BODY: &str = r#"{"grüße": [1, 2, 3]}"#;

pub(crate) async fn secret(server: &Server) -> Value {
    let answer = server.get("/v1/webhook-secret").send().await;
    assert_eq!(
        (answer.status, answer.header("cache-control")),
        (200, Some("no-store")),
        "{answer:?}"
    );
    answer.json()
}

/// The bytes behind `whsec_…`.
fn key(secret: &str) -> Vec<u8> {
    let text = secret
        .strip_prefix("whsec_")
        .expect("the prefix by which secrets are known");
    let digits = text.bytes().filter(|b| *b != b'=').map(|b| match b {
        b'A'..=b'Z' => b - b'A',
        b'a'..=b'z' => b - b'a' + 26,
        b'0'..=b'9' => b - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => panic!("{text} is not base64"),
    });
    let bits: Vec<u8> = digits
        .flat_map(|digit| (0..6).rev().map(move |n| digit >> n & 1))
        .collect();
    bits.chunks_exact(8)
        .map(|byte| byte.iter().fold(0, |held, bit| held << 1 | bit))
        .collect()
}

/// Whether one of the request's signatures is that of this secret.
pub(crate) fn verified(push: &Received, secret: &str) -> bool {
    let mut mac = Hmac::<Sha256>::new_from_slice(&key(secret)).unwrap();
    mac.update(push.header("webhook-id").as_bytes());
    mac.update(b".");
    mac.update(push.header("webhook-timestamp").as_bytes());
    mac.update(b".");
    mac.update(&push.body);
    let expected = mac.finalize().into_bytes().to_vec();
    let signatures = push.header("webhook-signature").split(' ');
    signatures
        .map(|signature| signature.strip_prefix("v1,").unwrap())
        .any(|one| key(&format!("whsec_{one}")) == expected)
}

async fn pushed(server: &Server, endpoint: &mut Endpoint) -> Received {
    submit(server, BODY).await;
    endpoint.next().await
}

#[tokio::test]
async fn every_push_is_signed_with_the_secret_that_the_api_shows() {
    let (server, mut endpoint) = (Server::start().await, Endpoint::start().await);
    endpoint.works(&server).await;
    let first = pushed(&server, &mut endpoint).await;
    let shown = secret(&server).await;
    assert_eq!(shown["former_until"], Value::Null);
    let shown = shown["secret"].as_str().unwrap().to_owned();
    assert_eq!(key(&shown).len(), 32);
    assert!(verified(&first, &shown));
    let now = server.store().now().as_millis() / 1000;
    let sent: i64 = first.header("webhook-timestamp").parse().unwrap();
    assert!((now - 60..=now).contains(&sent), "{sent} is not now, {now}");
    assert!(!first.header("webhook-id").contains('.'));
    first.answer(StatusCode::OK.into_response());

    let rotated = server.post("/v1/webhook-secret/rotate").send().await;
    assert_eq!(rotated.status, 200);
    assert_eq!(secret(&server).await, rotated.json());
    let rotated = rotated.json();
    assert!(rotated["former_until"].is_string());
    let second = pushed(&server, &mut endpoint).await;
    assert!(verified(&second, rotated["secret"].as_str().unwrap()));
    assert!(verified(&second, &shown), "the former secret signs as well");
    assert!(!verified(&second, &format!("whsec_{}", "A".repeat(43))));
    second.answer(StatusCode::OK.into_response());

    // What is signed with outlives the server.
    let server = server.restarted().await;
    assert_eq!(secret(&server).await, rotated);
}

#[tokio::test]
async fn each_attempt_is_a_message_of_its_own() {
    let (server, mut endpoint) = (Server::start().await, Endpoint::start().await);
    let settings =
        json!({"worker": {"push": [format!("http://{}/", endpoint.addr)]}, "backoff": "constant;base=0s"});
    let put = server
        .ask("PUT", "/v1/queues/pushed")
        .json(&settings.to_string())
        .send()
        .await;
    assert_eq!(put.status, 200, "{put:?}");
    let first = pushed(&server, &mut endpoint).await;
    let id = first.header("webhook-id").to_owned();
    first.answer(StatusCode::SERVICE_UNAVAILABLE.into_response());
    let second = endpoint.next().await;
    assert_ne!(
        second.header("webhook-id"),
        id,
        "a receiver that keeps ids takes it"
    );
    assert_eq!(second.header("idempotency-key"), second.header("raincheck-job"));
}

/// Where `cargo xtask setup` puts what the tests need of Python: in the target folder, which is three above the test.
fn packages() -> Option<PathBuf> {
    let test = std::env::current_exe().ok()?;
    let target = test.ancestors().nth(3)?;
    let places = [Some(target), target.parent()];
    let found = places.into_iter().flatten().map(|place| place.join("python"));
    found
        .into_iter()
        .find(|place| place.join("standardwebhooks").is_dir())
}

#[expect(clippy::print_stderr, reason = "whoever runs the tests shall know")]
fn skipped() {
    eprintln!(
        "skipped: signatures are not verified with the package standardwebhooks; run cargo xtask setup"
    );
}

#[tokio::test]
async fn the_independent_package_verifies_what_is_sent() {
    let Some(packages) = packages() else {
        skipped();
        return;
    };
    let (server, mut endpoint) = (Server::start().await, Endpoint::start().await);
    endpoint.works(&server).await;
    let former = secret(&server).await["secret"].clone();
    server.post("/v1/webhook-secret/rotate").send().await;
    let current = secret(&server).await["secret"].clone();
    let push = pushed(&server, &mut endpoint).await;
    let verify = |secret: &Value, body: &str| {
        let headers: serde_json::Map<_, _> = ["webhook-id", "webhook-timestamp", "webhook-signature"]
            .into_iter()
            .map(|name| (name.to_owned(), push.header(name).into()))
            .collect();
        let request = json!({"secret": secret, "headers": headers, "body": body}).to_string();
        let mut python = Command::new("python3")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/push/verify.py"))
            .env("PYTHONPATH", &packages)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the package was installed by a Python");
        python
            .stdin
            .take()
            .unwrap()
            .write_all(request.as_bytes())
            .unwrap();
        let said = python.wait_with_output().unwrap().stdout;
        String::from_utf8(said).unwrap().trim().to_owned()
    };
    assert_eq!(verify(&current, BODY), "verified");
    assert_eq!(verify(&former, BODY), "verified");
    let stranger = Value::from(format!("whsec_{}=", "A".repeat(43)));
    assert!(verify(&stranger, BODY).starts_with("refused"));
    assert!(verify(&current, "{}").starts_with("refused"));
}
