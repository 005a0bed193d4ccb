//! What a job that is not done is told of the time ahead: what it waits for, its place, and when to ask again.

use std::sync::Arc;
use std::time::Duration;

use raincheck::core::clock::ManualClock;
use serde_json::{Value, json};

use crate::client::Answer;
use crate::harness::{Server, Setup, success};

/// A server whose time stands still.
async fn server(clock: &Arc<ManualClock>) -> Server {
    Server::with(Setup {
        clock: Some(clock.clone()),
        ..Setup::default()
    })
    .await
}

async fn get(server: &Server, id: &str) -> Answer {
    let answer = server.get(&format!("/v1/jobs/{id}")).send().await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer
}

/// What the job waits for, and its place.
async fn outlook(server: &Server, id: &str) -> (Value, Value) {
    let job = get(server, id).await.json();
    (job["waiting_for"].clone(), job["position"].clone())
}

/// When the document and the result say to ask again.
async fn again(server: &Server, id: &str) -> Option<u64> {
    let job = get(server, id).await;
    let told = |answer: &Answer| answer.header("retry-after").map(|text| text.parse().unwrap());
    let result = server.get(&format!("/v1/jobs/{id}/result")).send().await;
    let tag = job.header("etag").unwrap();
    let unmoved = server.get(&format!("/v1/jobs/{id}")).header("if-none-match", tag);
    let unmoved = unmoved.send().await;
    if job.json()["done"] == false {
        assert_eq!((result.status, told(&result)), (202, told(&job)));
        assert_eq!((unmoved.status, told(&unmoved)), (304, told(&job)));
    }
    told(&job)
}

async fn set(server: &Server, settings: Value) {
    let put = server.ask("PUT", "/v1/queues/thumbs").json(&settings.to_string());
    assert_eq!(put.send().await.status, 200);
}

#[tokio::test]
async fn a_waiting_job_says_what_it_waits_for_and_its_place() {
    let clock = Arc::new(ManualClock::default());
    let server = server(&clock).await;
    let first = server.submit("1").await;
    let second = server.submit("2").await;
    assert_eq!(outlook(&server, &first).await, (json!("worker"), json!(1)));
    assert_eq!(outlook(&server, &second).await, (json!("worker"), json!(2)));
    let ask = server.post("/v1/queues/thumbs/jobs");
    let urgent = ask.header("raincheck-priority", "0").body("0").send().await.job();
    assert_eq!(outlook(&server, &urgent).await, (json!("worker"), json!(1)));
    assert_eq!(outlook(&server, &second).await, (json!("worker"), json!(3)));

    let ask = server.post("/v1/queues/thumbs/jobs");
    let later = ask.header("raincheck-delay", "1h").body("x").send().await.job();
    assert_eq!(outlook(&server, &later).await, (json!("run_at"), Value::Null));

    server.post("/v1/queues/thumbs/pause").send().await;
    assert_eq!(outlook(&server, &first).await, (json!("pause"), json!(2)));
    assert_eq!(
        again(&server, &first).await,
        Some(10),
        "nobody knows when it goes on"
    );
    server.post("/v1/queues/thumbs/resume").send().await;

    set(&server, json!({"concurrency": 1})).await;
    let leased = server.claim("thumbs").await.unwrap();
    assert_eq!(leased.job.id.to_string(), urgent);
    assert_eq!(outlook(&server, &first).await, (json!("concurrency"), json!(1)));
    let running = get(&server, &urgent).await.json();
    assert!(running.get("waiting_for").is_none() && running.get("position").is_none());
    server.settle(&leased, success("x")).await;
    assert_eq!(outlook(&server, &first).await, (json!("worker"), json!(1)));
    let done = get(&server, &urgent).await.json();
    assert!(done.get("waiting_for").is_none() && done.get("position").is_none());
}

#[tokio::test]
async fn a_place_that_is_dear_to_know_is_null() {
    let clock = Arc::new(ManualClock::default());
    let server = server(&clock).await;
    let jobs = vec![json!({"queue": "thumbs", "input": 1}); 1100];
    let many = server
        .post("/v1/jobs")
        .json(&json!(jobs).to_string())
        .send()
        .await;
    assert_eq!(many.status, 200);
    let many = many.json();
    let id = |n: usize| many[n]["id"].as_str().unwrap().to_owned();
    assert_eq!(outlook(&server, &id(1000)).await, (json!("worker"), json!(1001)));
    assert_eq!(outlook(&server, &id(1001)).await, (json!("worker"), Value::Null));
}

#[tokio::test]
async fn asking_again_is_advised_by_how_fast_the_queue_goes() {
    let clock = Arc::new(ManualClock::default());
    let server = server(&clock).await;
    let first = server.submit("x").await;
    assert_eq!(again(&server, &first).await, Some(1), "nothing is known yet");
    for _ in 0..12 {
        let leased = server.claim("thumbs").await;
        let leased = match leased {
            Some(leased) => leased,
            None => {
                server.submit("x").await;
                server.claim("thumbs").await.unwrap()
            }
        };
        clock.advance(Duration::from_secs(5));
        server.settle(&leased, success("x")).await;
    }
    assert_eq!(again(&server, &first).await, None, "it is done");
    let mut ids = Vec::new();
    for _ in 0..20 {
        let answer = server.post("/v1/queues/thumbs/jobs").body("x").send().await;
        assert_eq!(
            answer.header("retry-after"),
            Some("1"),
            "a submit finds nothing out"
        );
        ids.push(answer.job());
    }
    // Five seconds each, one after the other.
    for (n, seconds) in [(0, 5), (1, 10), (4, 25), (19, 60)] {
        let told = again(&server, &ids[n]).await.unwrap();
        assert!(told.abs_diff(seconds) <= 1 + seconds / 8, "{told} for {n}");
    }
    // Four at once are four times as fast.
    let mut running = Vec::new();
    for _ in 0..4 {
        running.push(server.claim("thumbs").await.unwrap());
    }
    let told = again(&server, &ids[8]).await.unwrap();
    assert!(
        told.abs_diff(10) <= 1,
        "{told} behind four others and four that run"
    );
    assert_eq!(again(&server, &ids[0]).await, Some(5));
    clock.advance(Duration::from_secs(3));
    assert_eq!(again(&server, &ids[0]).await, Some(2));
    clock.advance(Duration::from_secs(60));
    assert_eq!(again(&server, &ids[0]).await, Some(1), "it is late");
}
