//! Limits over real sockets: what is never exceeded, and that whoever waits hears when it goes on.

use std::sync::Arc;
use std::time::Duration;

use raincheck::core::clock::ManualClock;
use raincheck::core::time::Timestamp;
use serde_json::{Value, json};

use crate::harness::{Server, Setup, ns, queue};
use crate::pull::{CLAIM, document, leases, say};

async fn set(server: &Server, settings: Value) -> Value {
    let put = server.ask("PUT", "/v1/queues/thumbs").json(&settings.to_string());
    let answer = put.send().await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

#[tokio::test]
async fn a_claim_that_waits_is_woken_when_the_rate_lets_a_job_start() {
    let server = Server::start().await;
    set(&server, json!({"rate": "2/s", "burst": 1})).await;
    for _ in 0..3 {
        server.submit("x").await;
    }
    let mut started = Vec::new();
    for _ in 0..3 {
        // Sooner than anybody looks by itself.
        let claim = server.post(CLAIM).header("prefer", "wait=4");
        let answer = claim.json(r#"{"worker": "w", "max": 9}"#).send().await;
        let leases = leases(&answer);
        assert_eq!(leases.len(), 1, "{answer:?}");
        let at = leases[0]["job"]["started_at"].as_str().unwrap();
        started.push(at.parse::<Timestamp>().unwrap());
    }
    for two in started.windows(2) {
        assert!(two[1].since(two[0]) >= Duration::from_millis(500), "{started:?}");
    }
}

#[tokio::test]
async fn a_queue_that_the_server_works_goes_on_as_its_rate_lets_it() {
    let server = Server::start().await;
    let spec = raincheck::core::queue::QueueSpec {
        worker: Some(raincheck::core::queue::Worker::Process(vec!["cat".to_owned()])),
        rate: "4/s".parse().ok(),
        burst: Some(1),
        ..Default::default()
    };
    let (ns, cats) = (ns(), queue("cats"));
    let put = server.node.put_queue(&ns, &cats, spec, true);
    put.await.unwrap().unwrap();
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(server.post("/v1/queues/cats/jobs").body("x").send().await.job());
    }
    let mut started = Vec::new();
    for id in ids {
        let wait = server.get(&format!("/v1/jobs/{id}")).header("prefer", "wait=4");
        let job = wait.send().await.json();
        assert_eq!(job["state"], "succeeded", "{job}");
        started.push(job["started_at"].as_str().unwrap().parse::<Timestamp>().unwrap());
    }
    for two in started.windows(2) {
        assert!(two[1].since(two[0]) >= Duration::from_millis(250), "{started:?}");
    }
}

#[tokio::test]
async fn a_job_that_a_rate_holds_back_says_so_and_until_when() {
    let clock = Arc::new(ManualClock::default());
    let server = Server::with(Setup {
        clock: Some(clock.clone()),
        ..Setup::default()
    })
    .await;
    let shown = set(&server, json!({"rate": "6/m", "burst": 2})).await;
    assert_eq!((&shown["rate"], &shown["burst"]), (&json!("6/m"), &json!(2)));
    assert_eq!(
        (&shown["origin"]["rate"], &shown["origin"]["depth"]),
        (&json!("set"), &json!("default"))
    );
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(server.submit("x").await);
    }
    assert_eq!(document(&server, &ids[2]).await["waiting_for"], "worker");
    let claimed = say(&server, CLAIM, &json!({"worker": "w", "max": 9})).await;
    assert_eq!(leases(&claimed).len(), 2);
    for (id, seconds) in [(&ids[2], "10"), (&ids[3], "20")] {
        let answer = server.get(&format!("/v1/jobs/{id}")).send().await;
        assert_eq!(answer.json()["waiting_for"], "rate");
        assert_eq!(answer.header("retry-after"), Some(seconds));
    }
    clock.advance(Duration::from_secs(10));
    assert_eq!(document(&server, &ids[2]).await["waiting_for"], "worker");
}
