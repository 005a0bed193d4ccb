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

#[tokio::test]
async fn a_group_at_ten_times_its_share_does_not_starve_another() {
    let server = Server::start().await;
    set(&server, json!({"group_defaults": {"concurrency": 2}})).await;
    let submit = async |group: &str| {
        let post = server
            .post("/v1/queues/thumbs/jobs")
            .header("raincheck-group", group);
        post.body("x").send().await.job()
    };
    for _ in 0..20 {
        submit("big").await;
    }
    let held = leases(&say(&server, CLAIM, &json!({"worker": "w", "max": 9})).await);
    assert_eq!(held.len(), 2, "more workers than it may have");
    let waits = submit("big").await;
    assert_eq!(
        document(&server, &waits).await["waiting_for"],
        "group_concurrency"
    );
    for _ in 0..2 {
        let small = submit("small").await;
        let next = leases(&say(&server, CLAIM, &json!({"worker": "w", "max": 9})).await);
        assert_eq!(next.len(), 1);
        assert_eq!(
            next[0]["job"]["id"],
            small.as_str(),
            "it did not wait behind twenty"
        );
    }
}

#[tokio::test]
async fn a_claim_that_waits_is_woken_when_a_groups_limits_let_a_job_start() {
    let server = Server::start().await;
    set(
        &server,
        json!({"group_defaults": {"concurrency": 1, "rate": "2/s", "burst": 1}}),
    )
    .await;
    for _ in 0..3 {
        let post = server
            .post("/v1/queues/thumbs/jobs")
            .header("raincheck-group", "a");
        assert_eq!(post.body("x").send().await.status, 202);
    }
    let mut started = Vec::new();
    for _ in 0..3 {
        let claim = server.post(CLAIM).header("prefer", "wait=4");
        let answer = claim.json(r#"{"worker": "w", "max": 9}"#).send().await;
        let leases = leases(&answer);
        assert_eq!(leases.len(), 1, "{answer:?}");
        let at = leases[0]["job"]["started_at"].as_str().unwrap();
        started.push(at.parse::<Timestamp>().unwrap());
        let done = server.post(&format!("{}/succeed", crate::pull::path(&leases[0])));
        assert_eq!(done.body("ok").send().await.status, 200);
    }
    for two in started.windows(2) {
        assert!(two[1].since(two[0]) >= Duration::from_millis(500), "{started:?}");
    }
}

#[tokio::test]
async fn a_group_has_limits_of_its_own() {
    let server = Server::start().await;
    set(
        &server,
        json!({"group_defaults": {"concurrency": 2, "rate": "10/s"}}),
    )
    .await;
    let path = "/v1/queues/thumbs/groups/tenant%207";
    let read = async || server.get(path).send().await;
    assert_eq!(
        read().await.json(),
        json!({"queue": "thumbs", "group": "tenant 7", "concurrency": 2, "rate": "10/s", "burst": 10,
               "origin": {"concurrency": "group_defaults", "rate": "group_defaults", "burst": "default"}})
    );
    let put = server
        .ask("PUT", path)
        .json(r#"{"rate": "30/m", "burst": 4}"#)
        .send()
        .await;
    assert_eq!(put.status, 200);
    assert_eq!(read().await.json(), put.json());
    assert_eq!(
        put.json(),
        json!({"queue": "thumbs", "group": "tenant 7", "concurrency": 2, "rate": "30/m", "burst": 4,
               "origin": {"concurrency": "group_defaults", "rate": "set", "burst": "set"}})
    );
    for (bad, pointer) in [
        (r#"{"concurrency": 0}"#, "/concurrency"),
        (r#"{"burst": 4}"#, "/burst"),
        (r#"{"depth": 4}"#, "/depth"),
        ("[1]", ""),
    ] {
        let refused = server.ask("PUT", path).json(bad).send().await;
        assert_eq!(refused.code(), "bad-request", "{bad}");
        let told = refused.json()["errors"][0]["pointer"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        assert_eq!(told, pointer, "{bad}: {}", refused.text());
    }
    assert_eq!(read().await.json(), put.json(), "nothing of it was stored");
    let reset = server.ask("DELETE", path).send().await;
    assert_eq!((reset.status, reset.json()["rate"].clone()), (200, json!("10/s")));
    let nowhere = server.get("/v1/queues/nowhere/groups/a").send().await;
    assert_eq!(nowhere.code(), "unknown-queue");
}

#[tokio::test]
async fn a_queue_takes_no_more_bytes_than_it_may_hold() {
    let server = Server::start().await;
    set(&server, json!({"body_max": 1000, "depth_bytes": 1500})).await;
    let post = async |bytes: usize| {
        let post = server.post("/v1/queues/thumbs/jobs");
        post.body("x".repeat(bytes)).send().await
    };
    assert_eq!(post(1000).await.status, 202);
    let full = post(501).await;
    assert_eq!((full.status, full.code()), (429, "queue-full".to_owned()));
    assert_eq!(full.header("retry-after"), Some("1"));
    let detail = full.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("more than 1500, its depth_bytes"), "{detail}");
    let many = json!([{"queue": "thumbs", "input_text": "x".repeat(400)}, {"queue": "thumbs", "input_text": "y".repeat(400)}]);
    let many = server
        .post("/v1/jobs")
        .json(&many.to_string())
        .send()
        .await
        .json();
    assert_eq!(
        (&many[0]["state"], &many[1]["code"]),
        (&json!("queued"), &json!("queue-full"))
    );
    let line = format!(
        "{{\"queue\":\"thumbs\",\"input_text\":\"{}\"}}\n",
        "z".repeat(400)
    );
    let batch = server
        .post("/v1/batches")
        .header("content-type", "application/x-ndjson");
    let batch = batch.body(line).send().await.json();
    assert_eq!(batch["rejected"], 1);
    say(&server, CLAIM, &json!({"worker": "w", "max": 1})).await;
    assert_eq!(post(1000).await.status, 202, "what runs does not wait");
}
