//! Claiming: what comes, in which order, and who is refused.

use super::{CLAIM, claim, leases, one, path, say, settings, waiting};
use crate::client::Line;
use crate::harness::{Server, Setup, ns, queue};
use raincheck::NodeOptions;
use raincheck::api::ApiOptions;
use raincheck::core::queue::{QueueSpec, Worker};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

#[tokio::test]
async fn a_claim_brings_jobs_with_their_inputs_under_leases() {
    let server = Server::start().await;
    let submit = server.post("/v1/queues/thumbs/jobs");
    let id = submit.json(r#"{"page": [1, 2]}"#).send().await.job();
    server.submit("second").await;
    let leases = claim(&server, "gpu-1", 4).await;
    assert_eq!(leases.len(), 2);
    let lease = &leases[0];
    assert!(lease["lease"].as_str().unwrap().starts_with("l_"));
    assert_eq!(lease["fence"], 1);
    assert_eq!(lease["expires_in"], "30s");
    assert_eq!(lease["cancel_requested"], false);
    assert!(lease["expires_at"].as_str().unwrap() < lease["attempt_deadline"].as_str().unwrap());
    assert_eq!(
        (
            &lease["job"]["id"],
            &lease["job"]["state"],
            &lease["job"]["attempt"]
        ),
        (&json!(id), &json!("running"), &json!(1))
    );
    assert_eq!(lease["job"]["attempts"][0]["worker"], "gpu-1");
    assert_eq!(
        lease["input"],
        json!({"content_type": "application/json", "size": 16, "json": {"page": [1, 2]}})
    );
    assert_eq!(
        leases[1]["input"],
        json!({"content_type": null, "size": 6, "base64": "c2Vjb25k"})
    );
}

#[tokio::test]
async fn a_claim_without_jobs_is_204() {
    let server = Server::start().await;
    let answer = server.post(CLAIM).send().await;
    assert_eq!((answer.status, answer.text()), (204, ""));
    let answer = server.post(CLAIM).header("prefer", "wait=1").send().await;
    assert_eq!(
        (answer.status, answer.header("preference-applied")),
        (204, Some("wait=1"))
    );
}

#[tokio::test]
async fn a_claim_that_makes_no_sense_is_refused() {
    let server = Server::start().await;
    server.submit("x").await;
    for (body, pointer) in [
        (json!({"max": 0}), "/max"),
        (json!({"max": 101}), "/max"),
        (json!({"max": "4"}), "/max"),
        (json!({"worker": ""}), "/worker"),
        (json!({"lease_for": "999ms"}), "/lease_for"),
        (json!({"lease_for": "13h"}), "/lease_for"),
        (json!({"lease_for": 30}), "/lease_for"),
        (json!({"claim_id": ""}), "/claim_id"),
        (json!({"fence": 1}), "/fence"),
    ] {
        let answer = say(&server, CLAIM, &body).await;
        assert_eq!(
            (answer.status, answer.code()),
            (400, "bad-request".to_owned()),
            "{body}"
        );
        assert_eq!(answer.json()["errors"][0]["pointer"], pointer);
    }
    let answer = server.post(CLAIM).header("raincheck-claim", "1").send().await;
    assert_eq!(answer.code(), "bad-request");
    let answer = server.post("/v1/queues/nope/claim").send().await;
    assert_eq!((answer.status, answer.code()), (404, "unknown-queue".to_owned()));
    settings(&server, |spec| {
        spec.worker = Some(Worker::Push(vec!["http://127.0.0.1:9/".to_owned()]))
    })
    .await;
    let answer = server.post(CLAIM).send().await;
    assert_eq!((answer.status, answer.code()), (409, "queue-not-pull".to_owned()));
}

#[tokio::test]
async fn a_waiting_claim_is_answered_by_the_commit_that_brings_a_job() {
    let server = Server::start().await;
    let started = tokio::time::Instant::now();
    let ask = server.post(CLAIM).header("prefer", "wait=30");
    let (answer, id) = tokio::join!(ask.send(), async {
        waiting(&server, 1).await;
        server.submit("x").await
    });
    assert_eq!(leases(&answer)[0]["job"]["id"], id);
    assert_eq!(answer.header("preference-applied"), Some("wait=30"));
    assert!(started.elapsed() < Duration::from_secs(5), "before anybody polls");
    assert_eq!(server.node.claims_waiting(), 0);
}

#[tokio::test]
async fn those_who_wait_are_served_in_the_order_in_which_they_came() {
    let server = Server::start().await;
    let mut lines = Vec::new();
    for number in 0..3 {
        let mut line = Line::open(server.addr).await;
        line.send(b"POST /v1/queues/thumbs/claim?wait=30 HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .await;
        waiting(&server, number + 1).await;
        lines.push(line);
    }
    for mut line in lines {
        let id = server.submit("x").await;
        assert_eq!(leases(&line.answer().await.unwrap())[0]["job"]["id"], id);
    }
}

#[tokio::test]
async fn a_drain_sends_those_who_wait_away_and_lets_nobody_claim() {
    let server = Server::start().await;
    server.submit("x").await;
    let (lease, _) = one(&server).await;
    let ask = server.post(CLAIM).header("prefer", "wait=60");
    let (answer, ()) = tokio::join!(ask.send(), async {
        waiting(&server, 1).await;
        server.node.drain().await;
    });
    assert_eq!(answer.status, 204);
    let answer = server.post(CLAIM).send().await;
    assert_eq!((answer.status, answer.code()), (503, "draining".to_owned()));
    let settle = server
        .post(&format!("{lease}/succeed"))
        .header("raincheck-claim", "1");
    let answer = settle.body("done").send().await;
    assert_eq!(
        (answer.status, leases(&answer).len()),
        (200, 0),
        "what is held can be settled"
    );
}

#[tokio::test]
async fn a_repeated_claim_brings_the_same_leases() {
    let server = Server::start().await;
    for _ in 0..3 {
        server.submit("x").await;
    }
    let ask = json!({"worker": "w", "max": 2, "claim_id": "c1"});
    let first = leases(&say(&server, CLAIM, &ask).await);
    let again = leases(&say(&server, CLAIM, &ask).await);
    assert_eq!(first.len(), 2);
    let ids = |leases: &[Value]| leases.iter().map(|l| l["lease"].clone()).collect::<HashSet<_>>();
    assert_eq!(ids(&first), ids(&again));
    let other = json!({"worker": "w", "max": 2, "claim_id": "c2"});
    assert_eq!(leases(&say(&server, CLAIM, &other).await).len(), 1);
}

#[tokio::test]
async fn workers_are_listed_with_what_they_hold() {
    let server = Server::start().await;
    for _ in 0..3 {
        server.submit("x").await;
    }
    let held = claim(&server, "gpu-1", 2).await;
    claim(&server, "gpu-2", 1).await;
    let list = async || {
        let workers = server.get("/v1/workers").send().await.json();
        let workers = workers["workers"].as_array().unwrap().clone();
        assert!(workers.iter().all(|worker| worker["last_seen"].is_string()));
        let shown = |worker: &Value| {
            format!(
                "{} {} {} {}",
                worker["id"], worker["queue"], worker["kind"], worker["running"]
            )
        };
        workers.iter().map(shown).collect::<Vec<_>>()
    };
    assert_eq!(
        list().await,
        [r#""gpu-1" "thumbs" "pull" 2"#, r#""gpu-2" "thumbs" "pull" 1"#]
    );
    server
        .post(&format!("{}/succeed", path(&held[0])))
        .body("x")
        .send()
        .await;
    server.post(&format!("{}/release", path(&held[1]))).send().await;
    assert_eq!(list().await[0], r#""gpu-1" "thumbs" "pull" 0"#);
    let spec = QueueSpec {
        worker: Some(Worker::Process(vec!["cat".to_owned()])),
        ..QueueSpec::default()
    };
    let put = server.node.put_queue(&ns(), &queue("cats"), spec, true).await;
    put.unwrap().unwrap();
    assert_eq!(list().await[0], r#""node" "cats" "process" 0"#);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn racing_claimers_get_each_job_exactly_once() {
    const WORKERS: usize = 64;
    const JOBS: usize = 200;
    let server = Arc::new(Server::start().await);
    let mut workers = tokio::task::JoinSet::new();
    for number in 0..WORKERS {
        let server = server.clone();
        workers.spawn(async move {
            let mut got = Vec::new();
            loop {
                let body = json!({"worker": format!("w{number}"), "max": 1 + number % 3});
                let ask = server
                    .post(CLAIM)
                    .header("prefer", "wait=60")
                    .json(&body.to_string());
                let leases = leases(&ask.send().await);
                let last = leases.is_empty();
                for lease in leases {
                    got.push(lease["job"]["id"].as_str().unwrap().to_owned());
                    let answer = server
                        .post(&format!("{}/succeed", path(&lease)))
                        .body("ok")
                        .send()
                        .await;
                    assert_eq!(answer.outcome(), Some("succeeded"));
                }
                if last {
                    return got;
                }
            }
        });
    }
    let mut submitted = HashSet::new();
    for _ in 0..JOBS {
        submitted.insert(server.submit("x").await);
    }
    while server
        .store()
        .queue(&ns(), &queue("thumbs"))
        .await
        .unwrap()
        .unwrap()
        .counts
        .succeeded
        < JOBS as u64
    {
        tokio::task::yield_now().await;
    }
    // All are back in line before the drain refuses whoever comes.
    waiting(&server, WORKERS).await;
    server.node.drain().await;
    let got: Vec<String> = workers.join_all().await.into_iter().flatten().collect();
    assert_eq!(got.len(), JOBS);
    assert_eq!(got.into_iter().collect::<HashSet<_>>(), submitted);
}

#[tokio::test]
async fn under_dev_a_worker_may_come_before_its_queue() {
    let node = NodeOptions {
        dev: true,
        ..NodeOptions::default()
    };
    let server = Server::with(Setup {
        node,
        ..Setup::default()
    })
    .await;
    let ask = server.post("/v1/queues/new/claim").header("prefer", "wait=30");
    let (answer, submitted) = tokio::join!(ask.send(), async {
        waiting(&server, 1).await;
        server.post("/v1/queues/new/jobs").body("x").send().await
    });
    assert_eq!(leases(&answer)[0]["job"]["id"], submitted.job());
}

#[tokio::test]
async fn a_wait_without_a_place_is_refused_but_work_that_is_there_is_given_out() {
    let api = ApiOptions {
        waiters_max: 0,
        ..ApiOptions::default()
    };
    let server = Server::with(Setup {
        api,
        ..Setup::default()
    })
    .await;
    let ask = || server.post(CLAIM).header("prefer", "wait=30").send();
    let answer = ask().await;
    assert_eq!(
        (answer.status, answer.code()),
        (429, "too-many-waiters".to_owned())
    );
    let id = server.submit("x").await;
    assert_eq!(leases(&ask().await)[0]["job"]["id"], id);
}
