//! Renewing and settling one lease.

use super::{claim, document, one, say, settings};
use crate::harness::Server;
use serde_json::json;

#[tokio::test]
async fn a_success_is_redeemed_as_its_worker_made_it() {
    let server = Server::start().await;
    let id = server.submit("x").await;
    let (lease, _) = one(&server).await;
    let succeed = |body: &'static str| {
        let ask = server.post(&format!("{lease}/succeed"));
        let ask = ask
            .header("content-type", "text/csv")
            .header("raincheck-status", "201");
        ask.header("content-language", "de")
            .header("x-own", "1")
            .body(body)
    };
    let answer = succeed("a,b").send().await;
    assert_eq!(
        (answer.status, answer.job(), answer.outcome()),
        (200, id.clone(), Some("succeeded"))
    );
    assert_eq!(
        answer.json(),
        json!({"job": id, "state": "succeeded", "done": true, "outcome": "succeeded", "run_at": null})
    );
    let redeem = || server.get(&format!("/v1/jobs/{id}/result")).send();
    let result = redeem().await;
    assert_eq!((result.status, result.text()), (201, "a,b"));
    assert_eq!(result.header("content-type"), Some("text/csv"));
    assert_eq!(
        (result.header("content-language"), result.header("x-own")),
        (Some("de"), None)
    );
    // Settling twice with the same content is 200; anything else changes nothing.
    let again = succeed("a,b").send().await;
    assert_eq!((again.status, again.outcome()), (200, Some("succeeded")));
    let other = succeed("c,d").send().await;
    assert_eq!((other.status, other.code()), (409, "already-settled".to_owned()));
    assert_eq!((other.job(), other.outcome()), (id.clone(), Some("succeeded")));
    let answer = server.post(&format!("{lease}/fail")).send().await;
    assert_eq!(answer.code(), "already-settled");
    let answer = server.post(&format!("{lease}/renew")).send().await;
    assert_eq!((answer.status, answer.code()), (409, "lease-lost".to_owned()));
    assert_eq!(redeem().await.text(), "a,b");
}

#[tokio::test]
async fn a_failure_is_tried_again_unless_its_worker_says_otherwise() {
    let server = Server::start().await;
    let id = server.submit("x").await;
    let (lease, _) = one(&server).await;
    let failure = json!({"error": {"code": "no-such-page", "detail": "page 7"}, "retry_after": "1h"});
    let answer = say(&server, &format!("{lease}/fail"), &failure).await;
    assert_eq!(
        (answer.status, answer.job(), answer.outcome()),
        (200, id.clone(), Some("pending"))
    );
    let settled = answer.json();
    assert_eq!(
        (&settled["state"], &settled["done"]),
        (&json!("scheduled"), &json!(false))
    );
    assert!(settled["run_at"].is_string());
    let job = document(&server, &id).await;
    assert_eq!(
        (&job["attempt"], &job["error"]["code"]),
        (&json!(1), &json!("no-such-page"))
    );
    assert_eq!(job["attempts"][0]["error"]["detail"], "page 7");

    let id = server.submit("y").await;
    let (lease, _) = one(&server).await;
    let answer = say(&server, &format!("{lease}/fail"), &json!({"retry": false})).await;
    assert_eq!((answer.job(), answer.outcome()), (id.clone(), Some("failed")));
    let result = server.get(&format!("/v1/jobs/{id}/result")).send().await;
    assert_eq!((result.status, result.code()), (500, "handler-failed".to_owned()));
}

#[tokio::test]
async fn a_release_charges_no_attempt() {
    let server = Server::start().await;
    let id = server.submit("x").await;
    let (lease, _) = one(&server).await;
    let answer = server.post(&format!("{lease}/release")).send().await;
    assert_eq!((answer.status, answer.outcome()), (200, Some("pending")));
    let job = document(&server, &id).await;
    assert_eq!((&job["attempt"], &job["state"]), (&json!(0), &json!("queued")));
    let (lease, again) = one(&server).await;
    assert_eq!(
        (&again["fence"], &again["job"]["attempt"]),
        (&json!(2), &json!(1))
    );
    let answer = say(&server, &format!("{lease}/release"), &json!({"delay": "1h"})).await;
    assert_eq!(answer.json()["state"], "scheduled");
    assert_eq!(claim(&server, "w", 1).await.len(), 0);
}

#[tokio::test]
async fn a_renewal_tells_progress_and_never_passes_the_attempts_deadline() {
    let server = Server::start().await;
    let ask = server
        .post("/v1/queues/thumbs/jobs")
        .header("raincheck-timeout", "2m");
    let id = ask.body("x").send().await.job();
    let (lease, claimed) = one(&server).await;
    let renew = format!("{lease}/renew");
    let body = json!({"lease_for": "1h", "progress": {"fraction": 0.4, "message": "page 4"}});
    let answer = say(&server, &renew, &body).await;
    assert_eq!(
        (answer.status, answer.job(), answer.outcome()),
        (200, id.clone(), Some("pending"))
    );
    let renewed = answer.json();
    assert_eq!(
        (&renewed["expires_at"], &renewed["cancel_requested"]),
        (&claimed["attempt_deadline"], &json!(false))
    );
    assert_eq!(
        server.post(&renew).send().await.json()["expires_in"],
        "30s",
        "the term of the claim"
    );
    let progress = json!({"fraction": 0.4, "message": "page 4"});
    assert_eq!(document(&server, &id).await["progress"], progress);
    for (body, pointer) in [
        (json!({"lease_for": "1ms"}), "/lease_for"),
        (json!({"progress": {"fraction": 1.5}}), "/progress"),
        (json!({"progress": 0.5}), "/progress"),
        (json!({"delay": "1s"}), "/delay"),
    ] {
        let answer = say(&server, &renew, &body).await;
        assert_eq!(
            (answer.code(), &answer.json()["errors"][0]["pointer"]),
            ("bad-request".to_owned(), &json!(pointer))
        );
    }
}

#[tokio::test]
async fn a_result_over_the_queues_limit_is_413_and_changes_nothing() {
    let server = Server::start().await;
    settings(&server, |spec| spec.result_max = "1KiB".parse().ok()).await;
    let id = server.submit("x").await;
    let (lease, claimed) = one(&server).await;
    let large = "x".repeat(1025);
    let answer = server
        .post(&format!("{lease}/succeed"))
        .body(&*large)
        .send()
        .await;
    assert_eq!((answer.status, answer.code()), (413, "body-too-large".to_owned()));
    let entry = json!([{"lease": claimed["lease"], "action": "succeed", "text": large}]);
    let answer = say(&server, "/v1/leases", &entry).await.json();
    assert_eq!(
        (&answer[0]["status"], &answer[0]["code"]),
        (&json!(413), &json!("body-too-large"))
    );
    assert_eq!(document(&server, &id).await["state"], "running");
    let answer = server
        .post(&format!("{lease}/succeed"))
        .body(&large[..1024])
        .send()
        .await;
    assert_eq!(answer.outcome(), Some("succeeded"));
}

#[tokio::test]
async fn what_cannot_be_said_of_a_lease_is_refused() {
    let server = Server::start().await;
    for path in [
        "/v1/leases/nope/renew",
        "/v1/leases/l_0/succeed",
        "/v1/leases/job_1/fail",
    ] {
        let answer = server.post(path).send().await;
        assert_eq!((answer.status, answer.code()), (404, "unknown-lease".to_owned()));
    }
    server.submit("x").await;
    let (lease, _) = one(&server).await;
    for (name, value) in [
        ("raincheck-status", "301"),
        ("raincheck-status", "ok"),
        ("raincheck-claim", "101"),
        ("raincheck-claim", "-1"),
        ("raincheck-priority", "1"),
    ] {
        let answer = server
            .post(&format!("{lease}/succeed"))
            .header(name, value)
            .send()
            .await;
        assert_eq!(
            (answer.status, answer.code()),
            (400, "bad-request".to_owned()),
            "{name}"
        );
    }
    let answer = server
        .post(&format!("{lease}/release"))
        .header("raincheck-claim", "1")
        .send()
        .await;
    assert_eq!(answer.code(), "bad-request");
    let forgotten = server.post(&format!("{lease}/succeed?x=1")).send().await;
    assert_eq!(forgotten.code(), "bad-request");
    // A lease of a job that nobody knows is over, as far as anybody can tell.
    let unknown = lease.replace("/v1/leases/l_01", "/v1/leases/l_00");
    let answer = server.post(&format!("{unknown}/succeed")).send().await;
    assert_eq!((answer.status, answer.code()), (409, "lease-lost".to_owned()));
}
