//! Endpoints that answer `202` with `Raincheck-Complete: later`.

use serde_json::json;

use super::{Endpoint, submit};
use crate::harness::Server;
use crate::pull::{document, say, stands};

/// Until no push request of the queue `pushed` is under way.
async fn handed_over(server: &Server) {
    loop {
        let workers = server.get("/v1/workers").send().await.json();
        let pushing = workers["workers"].as_array().unwrap().iter();
        if pushing
            .filter(|worker| worker["kind"] == "push")
            .all(|worker| worker["running"] == 0)
        {
            return;
        }
        tokio::task::yield_now().await;
    }
}

async fn started() -> (Server, Endpoint) {
    let (server, endpoint) = (Server::start().await, Endpoint::start().await);
    endpoint.works(&server).await;
    (server, endpoint)
}

#[tokio::test]
async fn a_job_is_settled_later_over_its_lease() {
    let (server, mut endpoint) = started().await;
    let id = submit(&server, "2+2").await;
    let push = endpoint.next().await;
    assert_eq!(
        (push.header("raincheck-job"), &push.body[..]),
        (&*id, &b"2+2"[..])
    );
    let lease = push.lease(&server);
    assert!(push.later());
    handed_over(&server).await;
    let running = document(&server, &id).await;
    assert_eq!(
        (&running["state"], &running["version"]),
        (&json!("running"), &json!(2))
    );

    let renewal = json!({"lease_for": "1s", "progress": {"fraction": 0.5}});
    let renewed = say(&server, &format!("{lease}/renew"), &renewal).await.json();
    assert_eq!(renewed["cancel_requested"], false);
    let deadline = push_deadline(&running);
    assert_eq!(
        renewed["expires_at"], deadline,
        "the lease runs to the attempt's deadline, whatever is asked"
    );

    let settle = server
        .post(&format!("{lease}/succeed"))
        .header("content-type", "text/plain");
    assert_eq!(settle.body("4").send().await.status, 200);
    let result = server.get(&format!("/v1/jobs/{id}/result")).send().await;
    assert_eq!(
        (result.status, result.text(), result.outcome()),
        (200, "4", Some("succeeded"))
    );
    let done = document(&server, &id).await;
    assert_eq!(
        (&done["attempt"], done["attempts"].as_array().unwrap().len()),
        (&json!(1), 1)
    );
}

/// Five minutes after its start: the queue's `timeout`.
fn push_deadline(job: &serde_json::Value) -> String {
    let started: raincheck::core::time::Timestamp = job["started_at"].as_str().unwrap().parse().unwrap();
    started.plus(std::time::Duration::from_secs(300)).to_string()
}

#[tokio::test]
async fn what_is_settled_later_outlives_the_server() {
    let (server, mut endpoint) = started().await;
    let id = submit(&server, "x").await;
    let push = endpoint.next().await;
    let lease = push.lease(&server);
    assert!(push.later());
    handed_over(&server).await;
    // A drain lasts 25 s; it does not wait for what others do.
    let stopping = std::time::Duration::from_secs(20);
    let server = tokio::time::timeout(stopping, server.restarted())
        .await
        .expect("the drain is short");
    assert_eq!(document(&server, &id).await["state"], "running");
    let settled = server
        .post(&format!("{lease}/succeed"))
        .body("after all")
        .send()
        .await;
    assert_eq!((settled.status, settled.outcome()), (200, Some("succeeded")));
    let result = server.get(&format!("/v1/jobs/{id}/result")).send().await;
    assert_eq!(result.text(), "after all");
    assert_eq!(document(&server, &id).await["attempt"], 1);
    assert!(!endpoint.more(), "it was pushed once");
}

#[tokio::test]
async fn an_endpoint_may_settle_before_it_answers() {
    let (server, mut endpoint) = started().await;
    for verb in ["succeed", "fail", "release"] {
        let id = submit(&server, "x").await;
        let push = endpoint.next().await;
        let lease = push.lease(&server);
        let body = match verb {
            "fail" => r#"{"error":{"code":"no-luck"},"retry":false}"#,
            "release" => r#"{"delay":"1h"}"#,
            _ => "fast",
        };
        let settled = server.post(&format!("{lease}/{verb}")).body(body).send().await;
        assert_eq!(settled.status, 200, "{settled:?}");
        let before = document(&server, &id).await;
        assert!(push.later(), "the connection was not cut");
        handed_over(&server).await;
        let after = document(&server, &id).await;
        assert_eq!(after, before, "{verb}: its answer changed nothing");
        assert_eq!(after["attempts"].as_array().unwrap().len(), 1);
    }
}

#[tokio::test]
async fn an_endpoint_learns_of_a_cancel_request_when_it_renews() {
    let (server, mut endpoint) = started().await;
    let id = submit(&server, "x").await;
    let push = endpoint.next().await;
    let lease = push.lease(&server);
    assert!(push.later());
    handed_over(&server).await;
    let cancel = server.post(&format!("/v1/jobs/{id}/cancel")).send().await;
    assert_eq!(cancel.status, 202);
    let renewed = say(&server, &format!("{lease}/renew"), &json!({})).await.json();
    assert_eq!(
        (&renewed["cancel_requested"], &renewed["expires_in"]),
        (&json!(true), &json!("30s"))
    );
    let failed = say(
        &server,
        &format!("{lease}/fail"),
        &json!({"error": {"code": "stopped"}}),
    )
    .await;
    assert_eq!(failed.status, 200);
    stands(&server, &id, "cancelled").await;
}
