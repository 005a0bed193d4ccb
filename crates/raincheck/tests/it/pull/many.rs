//! Many leases in one request, and the next claim in the same round trip.

use super::{claim, leases, one, path, say, stands};
use crate::harness::Server;
use serde_json::{Value, json};

#[tokio::test]
async fn a_settlement_brings_the_next_jobs_along() {
    let server = Server::start().await;
    for body in ["1", "2", "3", "4"] {
        server.submit(body).await;
    }
    let (lease, _) = one(&server).await;
    let ask = server
        .post(&format!("{lease}/succeed"))
        .header("raincheck-claim", "2");
    let answer = ask.body("done").send().await;
    assert_eq!(answer.outcome(), Some("succeeded"));
    let next = leases(&answer);
    assert_eq!(next.len(), 2);
    assert_eq!(
        next[0]["job"]["attempts"][0]["worker"], "w",
        "for the same worker"
    );
    let answer = server
        .post(&format!("{}/fail", path(&next[0])))
        .header("raincheck-claim", "5")
        .send()
        .await;
    assert_eq!(leases(&answer).len(), 1);
    let answer = server
        .post(&format!("{}/succeed", path(&next[1])))
        .header("raincheck-claim", "0")
        .send()
        .await;
    assert_eq!(leases(&answer).len(), 0);
}

#[tokio::test]
async fn a_refused_settlement_brings_no_jobs() {
    let server = Server::start().await;
    server.submit("1").await;
    let (lease, _) = one(&server).await;
    server.post(&format!("{lease}/succeed")).body("a").send().await;
    let id = server.submit("2").await;
    let ask = server
        .post(&format!("{lease}/succeed"))
        .header("raincheck-claim", "1");
    assert_eq!(ask.body("b").send().await.code(), "already-settled");
    let job = stands(&server, &id, "queued").await;
    assert_eq!(job["attempt"], 0);
}

#[tokio::test]
async fn many_leases_are_acted_on_in_one_request() {
    let server = Server::start().await;
    let mut ids = Vec::new();
    for _ in 0..6 {
        ids.push(server.submit("x").await);
    }
    let held = claim(&server, "w", 4).await;
    let lease = |n: usize| held[n]["lease"].clone();
    let entries = json!([
        {"lease": lease(0), "action": "succeed", "json": {"a": 1}, "status": 201, "claim": 1},
        {"lease": lease(1), "action": "fail", "error": {"code": "e"}, "retry": false},
        {"lease": "nope", "action": "renew"},
        {"lease": lease(2), "action": "renew", "progress": {"fraction": 1}},
        {"lease": lease(0), "action": "succeed", "json": {"a": 2}},
        {"lease": lease(3), "action": "release", "claim": 1},
        {"lease": lease(3), "action": "eat"},
        {"lease": lease(3), "action": "release"},
        7,
    ]);
    let answer = say(&server, "/v1/leases", &entries).await;
    assert_eq!(answer.status, 200);
    let done = answer.json();
    let shown: Vec<_> = done
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| {
            (
                entry["status"].as_u64().unwrap(),
                entry["code"].as_str().or(entry["state"].as_str()),
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            (200, Some("succeeded")),
            (200, Some("failed")),
            (404, Some("unknown-lease")),
            (200, None),
            (409, Some("already-settled")),
            (400, Some("bad-request")),
            (400, Some("bad-request")),
            (200, Some("queued")),
            (400, Some("bad-request")),
        ]
    );
    assert_eq!((&done[0]["lease"], &done[0]["job"]), (&lease(0), &json!(ids[0])));
    assert_eq!(done[0]["leases"][0]["job"]["id"], json!(ids[4]));
    assert_eq!(
        (&done[2]["lease"], &done[2]["request_id"]),
        (&json!("nope"), &Value::Null)
    );
    assert_eq!(
        (&done[3]["cancel_requested"], &done[3]["expires_in"]),
        (&json!(false), &json!("30s"))
    );
    let result = server.get(&format!("/v1/jobs/{}/result", ids[0])).send().await;
    assert_eq!((result.status, result.text()), (201, r#"{"a":1}"#));
    let too_many = format!("[{}]", vec!["{}"; 1001].join(","));
    assert_eq!(
        server.post("/v1/leases").json(&too_many).send().await.code(),
        "bad-request"
    );
    assert_eq!(
        server.post("/v1/leases").json("{}").send().await.code(),
        "bad-request"
    );
    assert_eq!(say(&server, "/v1/leases", &json!([])).await.json(), json!([]));
}
