//! Hosts that requests go to, over real sockets: what one that is down, slow or asks for patience does to those jobs and
//! webhooks that go there, and that it does nothing to others.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use raincheck::core::clock::ManualClock;
use serde_json::{Value, json};

use crate::harness::{Server, Setup, success};
use crate::pull::document;
use crate::push::{Endpoint, Received};

async fn at(clock: &Arc<ManualClock>) -> Server {
    Server::with(Setup {
        clock: Some(clock.clone()),
        ..Setup::default()
    })
    .await
}

/// Makes a queue whose jobs go to these in turn; one that has failed is not tried again before an hour has gone by.
async fn pushes(server: &Server, queue: &str, to: &[&Endpoint], concurrency: Option<u32>) {
    let urls: Vec<_> = to
        .iter()
        .map(|endpoint| format!("http://{}/", endpoint.addr))
        .collect();
    let mut settings = json!({"worker": {"push": urls}, "backoff": "constant;base=1h"});
    if let Some(concurrency) = concurrency {
        settings["concurrency"] = json!(concurrency);
    }
    let put = server.ask("PUT", &format!("/v1/queues/{queue}"));
    let answer = put.json(&settings.to_string()).send().await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

async fn submit(server: &Server, queue: &str) -> String {
    let answer = server
        .post(&format!("/v1/queues/{queue}/jobs"))
        .body("x")
        .send()
        .await;
    assert_eq!(answer.status, 202, "{answer:?}");
    answer.job()
}

/// What the job waits for, how often it was attempted, and when it is worth asking again.
async fn stands(server: &Server, id: &str) -> (Value, Value, Option<String>) {
    let answer = server.get(&format!("/v1/jobs/{id}")).send().await;
    let job = answer.json();
    let again = answer.header("retry-after").map(str::to_owned);
    (job["waiting_for"].clone(), job["attempt"].clone(), again)
}

/// Until the job waits for this.
async fn waits_for(server: &Server, id: &str, what: &str) {
    while document(server, id).await["waiting_for"] != what {
        tokio::task::yield_now().await;
    }
}

/// Until the job is done; its document then.
async fn done(server: &Server, id: &str) -> Value {
    let wait = server.get(&format!("/v1/jobs/{id}")).header("prefer", "wait=20");
    wait.send().await.json()
}

fn away() -> Response {
    StatusCode::BAD_GATEWAY.into_response()
}

fn later(seconds: &'static str) -> Response {
    (StatusCode::TOO_MANY_REQUESTS, [("retry-after", seconds)]).into_response()
}

#[tokio::test]
async fn a_host_that_is_down_is_left_alone_until_one_probe_finds_it_again() {
    let clock = Arc::new(ManualClock::default());
    let (server, mut endpoint) = (at(&clock).await, Endpoint::start().await);
    pushes(&server, "q", &[&endpoint], None).await;
    let mut ids = Vec::new();
    for _ in 0..10 {
        ids.push(submit(&server, "q").await);
    }
    let mut sent = Vec::new();
    for _ in 0..8 {
        sent.push(endpoint.next().await);
    }
    assert_eq!(
        stands(&server, &ids[9]).await,
        (json!("host_concurrency"), json!(0), Some("1".to_owned()))
    );
    for request in sent {
        request.answer(away());
    }
    waits_for(&server, &ids[9], "circuit").await;
    for id in &ids[8..] {
        assert_eq!(
            stands(&server, id).await,
            (json!("circuit"), json!(0), Some("1".to_owned()))
        );
    }
    assert!(!endpoint.more());
    clock.advance(Duration::from_secs(1));
    let probe = endpoint.next().await;
    let probed = probe.header("raincheck-job").to_owned();
    let other = ids[8..].iter().find(|id| **id != probed).unwrap();
    assert_eq!(stands(&server, other).await.0, "circuit", "one is enough to know");
    assert!(!endpoint.more());
    probe.answer("there again".into_response());
    endpoint.next().await.answer("and this".into_response());
    for id in &ids[8..] {
        let job = done(&server, id).await;
        assert_eq!((&job["state"], &job["attempt"]), (&json!("succeeded"), &json!(1)));
    }
}

#[tokio::test]
async fn nobody_at_a_port_opens_the_circuit_and_each_probe_that_fails_prolongs_it() {
    let clock = Arc::new(ManualClock::default());
    let server = at(&clock).await;
    let gone = Endpoint::start().await;
    pushes(&server, "q", &[&gone], Some(1)).await;
    drop(gone);
    let mut ids = Vec::new();
    for _ in 0..8 {
        ids.push(submit(&server, "q").await);
    }
    waits_for(&server, &ids[7], "circuit").await;
    let attempted = async || {
        let mut attempted = 0;
        for id in &ids {
            attempted += document(&server, id).await["attempt"].as_u64().unwrap();
        }
        attempted
    };
    assert_eq!(attempted().await, 5, "so many failures in a row");
    for (seconds, probes) in [(1, 6), (2, 7)] {
        clock.advance(Duration::from_secs(seconds));
        while attempted().await < probes {
            tokio::task::yield_now().await;
        }
        waits_for(&server, &ids[7], "circuit").await;
        assert_eq!(attempted().await, probes);
    }
}

#[tokio::test]
async fn a_handlers_own_failure_says_nothing_of_its_host() {
    let server = Server::start().await;
    let mut endpoint = Endpoint::start().await;
    pushes(&server, "q", &[&endpoint], Some(1)).await;
    let mut ids = Vec::new();
    for _ in 0..10 {
        ids.push(submit(&server, "q").await);
    }
    for _ in &ids {
        endpoint
            .next()
            .await
            .answer(StatusCode::INTERNAL_SERVER_ERROR.into_response());
    }
}

#[tokio::test]
async fn a_host_that_asks_for_patience_has_it_from_all_queues_and_others_do_not_wait() {
    let clock = Arc::new(ManualClock::default());
    let server = at(&clock).await;
    let (mut asks, mut other) = (Endpoint::start().await, Endpoint::start().await);
    pushes(&server, "one", &[&asks], None).await;
    pushes(&server, "two", &[&asks], None).await;
    pushes(&server, "other", &[&other], None).await;
    let first = submit(&server, "one").await;
    asks.next().await.answer(later("2"));
    while document(&server, &first).await["state"] != "scheduled" {
        tokio::task::yield_now().await;
    }
    let held = [submit(&server, "one").await, submit(&server, "two").await];
    for id in &held {
        assert_eq!(
            stands(&server, id).await,
            (json!("host_pause"), json!(0), Some("2".to_owned()))
        );
    }
    let free = submit(&server, "other").await;
    other.next().await.answer("at once".into_response());
    assert_eq!(done(&server, &free).await["state"], "succeeded");
    assert!(!asks.more());
    clock.advance(Duration::from_secs(2));
    for _ in &held {
        asks.next().await.answer("now".into_response());
    }
    for id in &held {
        assert_eq!(done(&server, id).await["attempt"], 1);
    }
}

#[tokio::test]
async fn of_a_list_of_urls_the_one_that_is_down_is_passed_over() {
    let clock = Arc::new(ManualClock::default());
    let server = at(&clock).await;
    let (mut down, mut up) = (Endpoint::start().await, Endpoint::start().await);
    pushes(&server, "q", &[&down, &up], Some(1)).await;
    let (mut failed, mut worked) = (0, 0);
    while failed < 5 {
        let id = submit(&server, "q").await;
        tokio::select! {
            request = down.next() => {
                failed += 1;
                request.answer(away());
            }
            request = up.next() => {
                worked += 1;
                request.answer("ok".into_response());
            }
        }
        while document(&server, &id).await["attempts"] == json!([]) {
            tokio::task::yield_now().await;
        }
    }
    assert!(worked >= 4, "in turn: {worked}");
    for _ in 0..10 {
        let id = submit(&server, "q").await;
        up.next().await.answer("ok".into_response());
        assert_eq!(done(&server, &id).await["attempt"], 1);
    }
    assert!(!down.more());
}

/// Has so many jobs end that are to be told to the endpoint.
async fn ended(server: &Server, endpoint: &Endpoint, count: usize) {
    let callback = format!("\"http://{}/\"", endpoint.addr);
    for _ in 0..count {
        let post = server.post("/v1/queues/thumbs/jobs");
        let answer = post
            .header("raincheck-callback", &callback)
            .body("x")
            .send()
            .await;
        assert_eq!(answer.status, 202, "{answer:?}");
    }
    for _ in 0..count {
        server.work(success("x")).await;
    }
}

fn no_content() -> Response {
    StatusCode::NO_CONTENT.into_response()
}

/// Until as many deliveries as are wanted stand so.
async fn deliveries(server: &Server, wanted: usize, is_so: impl Fn(&Value) -> bool) {
    loop {
        let listed = server.get("/v1/deliveries?limit=200").send().await.json();
        let listed = listed["deliveries"].as_array().unwrap().clone();
        if listed.iter().filter(|delivery| is_so(delivery)).count() == wanted {
            return;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_receiver_that_does_not_answer_holds_no_others_webhook_up() {
    let server = Server::start().await;
    let (mut slow, mut quick) = (Endpoint::start().await, Endpoint::start().await);
    ended(&server, &slow, 100).await;
    let mut sent: Vec<Received> = Vec::new();
    for _ in 0..8 {
        sent.push(slow.next().await);
    }
    ended(&server, &quick, 1).await;
    // None of the hundred before it was answered.
    quick.next().await.answer(no_content());
    deliveries(&server, 1, |delivery| delivery["state"] == "delivered").await;
    assert!(!slow.more(), "eight at once are its share");
    deliveries(&server, 92, |delivery| delivery["tries"] == 0).await;
    sent.into_iter()
        .for_each(|request| assert!(request.answer(no_content())));
    for _ in 0..92 {
        slow.next().await.answer(no_content());
    }
    deliveries(&server, 101, |delivery| {
        delivery["state"] == "delivered" && delivery["tries"] == 1
    })
    .await;
}

#[tokio::test]
async fn webhooks_to_a_receiver_that_is_down_wait_and_their_tries_do_not_count() {
    let clock = Arc::new(ManualClock::default());
    let (server, mut receiver) = (at(&clock).await, Endpoint::start().await);
    ended(&server, &receiver, 5).await;
    for _ in 0..5 {
        receiver.next().await.answer(away());
    }
    deliveries(&server, 5, |delivery| delivery["last"]["status"] == 502).await;
    ended(&server, &receiver, 3).await;
    deliveries(&server, 3, |delivery| {
        delivery["tries"] == 0 && delivery["next_at"].as_str() > delivery["created_at"].as_str()
    })
    .await;
    assert!(!receiver.more());
    // Later than the circuit's pause and what they were put back for, but before the five are tried again.
    clock.advance(Duration::from_secs(4));
    let probe = receiver.next().await;
    assert!(!receiver.more());
    probe.answer(no_content());
    deliveries(&server, 1, |delivery| delivery["state"] == "delivered").await;
    clock.advance(Duration::from_secs(10));
    for _ in 0..7 {
        receiver.next().await.answer(no_content());
    }
    deliveries(&server, 3, |delivery| {
        delivery["state"] == "delivered" && delivery["tries"] == 1
    })
    .await;
    deliveries(&server, 5, |delivery| {
        delivery["state"] == "delivered" && delivery["tries"] == 2
    })
    .await;
}
