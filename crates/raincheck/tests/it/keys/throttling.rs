//! How often a caller may come, and how it is told: with every answer.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::{Locked, unauthenticated};
use crate::client::Answer;
use crate::harness::{Server, Setup};
use raincheck::api::ApiOptions;
use raincheck::core::clock::ManualClock;

/// A server that holds keys and addresses to so much, and its clock.
async fn held_to(per_key: &str, per_address: &str) -> (Server, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::default());
    let setup = Setup {
        api: ApiOptions {
            per_key: per_key.parse().unwrap(),
            per_address: per_address.parse().unwrap(),
            ..ApiOptions::default()
        },
        clock: Some(clock.clone()),
        ..Setup::default()
    };
    (Server::with(setup).await, clock)
}

fn told(answer: &Answer) -> (u16, Option<&str>, Option<&str>) {
    (
        answer.status,
        answer.header("ratelimit-policy"),
        answer.header("ratelimit"),
    )
}

#[tokio::test]
async fn a_key_that_comes_too_often_is_told_when_to_come_again() {
    let (server, clock) = held_to("3/m", "off").await;
    let locked = Locked::lock(server).await;
    let policy = Some("\"key\";q=3;w=60");
    for state in ["\"key\";r=2;t=20", "\"key\";r=1;t=40", "\"key\";r=0;t=20"] {
        let answer = locked.root("GET", "/v1/jobs").send().await;
        assert_eq!(told(&answer), (200, policy, Some(state)));
    }
    let refused = locked.root("GET", "/v1/jobs").send().await;
    assert_eq!(told(&refused), (429, policy, Some("\"key\";r=0;t=20")));
    assert_eq!(
        (refused.code().as_str(), refused.header("retry-after")),
        ("rate-limited", Some("20"))
    );
    clock.advance(Duration::from_secs(20));
    assert_eq!(locked.root("GET", "/v1/jobs").send().await.status, 200);
    assert_eq!(locked.root("GET", "/v1/jobs").send().await.status, 429);
}

#[tokio::test]
async fn a_refusal_of_a_throttled_caller_tells_as_well_and_nothing_was_stored() {
    let (server, clock) = held_to("2/m", "off").await;
    let locked = Locked::lock(server).await;
    let wish = json!({"name": "k", "scopes": ["read"]});
    let key = locked.key(wish).await;
    let refused = locked
        .by(&key, "POST", "/v1/queues/thumbs/jobs")
        .body("x")
        .send()
        .await;
    assert_eq!(
        told(&refused),
        (403, Some("\"key\";q=2;w=60"), Some("\"key\";r=1;t=30"))
    );
    assert_eq!(locked.root("GET", "/v1/nothing").send().await.status, 404);
    let throttled = locked
        .root("POST", "/v1/queues/thumbs/jobs")
        .body("x")
        .send()
        .await;
    assert_eq!((throttled.status, throttled.header("raincheck-job")), (429, None));
    clock.advance(Duration::from_secs(60));
    let jobs = locked.root("GET", "/v1/jobs").send().await.json();
    assert_eq!(jobs["jobs"], json!([]));
}

#[tokio::test]
async fn an_address_without_a_key_is_held_to_its_own_bucket_and_keys_are_not() {
    let (server, _clock) = held_to("off", "2/m").await;
    let locked = Locked::lock(server).await;
    for _ in 0..2 {
        let answer = locked.server.get("/v1/jobs").send().await;
        unauthenticated(&answer);
        assert_eq!(answer.header("ratelimit-policy"), Some("\"address\";q=2;w=60"));
    }
    let refused = locked.server.get("/openapi.json").send().await;
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("30")));
    for probe in ["/healthz", "/readyz"] {
        let live = locked.server.get(probe).send().await;
        assert_eq!(
            told(&live),
            (200, None, None),
            "who looks whether it lives is told so"
        );
    }
    for _ in 0..5 {
        assert_eq!(
            told(&locked.root("GET", "/v1/jobs").send().await),
            (200, None, None)
        );
    }
}

#[tokio::test]
async fn who_presents_wrong_keys_is_told_what_he_is_held_to() {
    let (server, _clock) = held_to("off", "off").await;
    let locked = Locked::lock(server).await;
    let policy = Some("\"wrong-keys\";q=20;w=60");
    let by_wrong = || locked.by("rck_wrong", "GET", "/v1/jobs").send();
    for left in (0..20).rev() {
        let answer = by_wrong().await;
        unauthenticated(&answer);
        assert_eq!(answer.header("ratelimit-policy"), policy);
        let state = answer.header("ratelimit").unwrap();
        assert!(
            state.starts_with(&format!("\"wrong-keys\";r={left};t=")),
            "{state}"
        );
    }
    let refused = by_wrong().await;
    assert_eq!(told(&refused), (429, policy, Some("\"wrong-keys\";r=0;t=3")));
    assert_eq!(refused.header("retry-after"), Some("3"));
}

#[tokio::test]
async fn who_is_held_to_two_things_is_told_both() {
    let (server, _clock) = held_to("off", "5/m").await;
    let locked = Locked::lock(server).await;
    let answer = locked.by("rck_wrong", "GET", "/v1/jobs").send().await;
    unauthenticated(&answer);
    assert_eq!(
        told(&answer),
        (
            401,
            Some("\"address\";q=5;w=60, \"wrong-keys\";q=20;w=60"),
            Some("\"address\";r=4;t=12, \"wrong-keys\";r=19;t=3")
        )
    );
}

#[tokio::test]
async fn a_server_without_keys_holds_nobody_to_anything_unless_told_to() {
    let open = Server::start().await;
    assert_eq!(told(&open.get("/v1/jobs").send().await), (200, None, None));
    let (server, _clock) = held_to("off", "1/m").await;
    let once = server.get("/v1/jobs").send().await;
    assert_eq!(
        told(&once),
        (200, Some("\"address\";q=1;w=60"), Some("\"address\";r=0;t=60"))
    );
    assert_eq!(server.get("/v1/jobs").send().await.status, 429);
}

#[tokio::test]
async fn a_server_with_keys_holds_them_to_what_is_usual() {
    let locked = Locked::start().await;
    let answer = locked.root("GET", "/v1/jobs").send().await;
    assert_eq!(answer.header("ratelimit-policy"), Some("\"key\";q=10000;w=1"));
    let here = locked.server.get("/openapi.json").send().await;
    assert_eq!(told(&here), (200, None, None), "this machine is left alone");
}
