//! Acting on many jobs by a filter: a preview, then the deed, on those that matched then.

use std::sync::Arc;
use std::time::Duration;

use raincheck::core::clock::ManualClock;
use serde_json::{Value, json};

use crate::client::Answer;
use crate::harness::{Server, Setup, failure, success};

async fn ask(server: &Server, action: &str, filter: &Value, confirm: Option<&Value>) -> Answer {
    let body = json!({"action": action, "filter": filter, "confirm": confirm});
    server.post("/v1/jobs/bulk").json(&body.to_string()).send().await
}

async fn preview(server: &Server, action: &str, filter: &Value) -> Value {
    let answer = ask(server, action, filter, None).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    answer.json()
}

async fn act(server: &Server, action: &str, filter: &Value, confirm: &Value) -> Value {
    let answer = ask(server, action, filter, Some(confirm)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

async fn outcome(server: &Server, id: &str) -> Option<String> {
    let answer = server.get(&format!("/v1/jobs/{id}")).send().await;
    answer.outcome().map(str::to_owned)
}

#[tokio::test]
async fn jobs_that_wait_are_cancelled_and_those_that_came_later_are_not() {
    let server = Server::start().await;
    let filter = json!({"queue": "thumbs"});
    let done = server.finished(success("r")).await;
    let mut waiting = Vec::new();
    for n in 0..15 {
        waiting.push(server.submit(&n.to_string()).await);
    }
    let looked = preview(&server, "cancel", &filter).await;
    assert_eq!((&looked["count"], &looked["exact"]), (&json!(15), &json!(true)));
    let sample: Vec<_> = looked["sample"]
        .as_array()
        .unwrap()
        .iter()
        .map(|job| &job["id"])
        .collect();
    assert_eq!(sample.len(), 10);
    assert_eq!(*sample[0], json!(waiting[14]), "the newest first");
    assert_eq!(outcome(&server, &waiting[0]).await.as_deref(), Some("pending"));
    let later = server.submit("later").await;
    let told = act(&server, "cancel", &filter, &looked["confirm"]).await;
    assert_eq!(
        told,
        json!({"acted": 15, "refused": {}, "remaining": 0, "exact": true, "confirm": null})
    );
    for id in &waiting {
        assert_eq!(outcome(&server, id).await.as_deref(), Some("cancelled"));
    }
    assert_eq!(outcome(&server, &later).await.as_deref(), Some("pending"));
    assert_eq!(outcome(&server, &done).await.as_deref(), Some("succeeded"));
    let again = act(&server, "cancel", &filter, &looked["confirm"]).await;
    assert_eq!(again["acted"], 0, "repeating a request is harmless");
}

#[tokio::test]
async fn failed_jobs_are_retried_once() {
    let server = Server::start().await;
    let filter = json!({"queue": "thumbs", "state": "failed"});
    let mut failed = Vec::new();
    for _ in 0..3 {
        failed.push(server.finished(failure("handler-failed", "no", None)).await);
    }
    server.finished(success("r")).await;
    let looked = preview(&server, "retry", &filter).await;
    assert_eq!(looked["count"], 3);
    let later = server.finished(failure("handler-failed", "no", None)).await;
    let told = act(&server, "retry", &filter, &looked["confirm"]).await;
    assert_eq!((&told["acted"], &told["confirm"]), (&json!(3), &Value::Null));
    for id in &failed {
        let job = server.get(&format!("/v1/jobs/{id}")).send().await.json();
        assert!(job["retried_as"].is_string(), "{job}");
    }
    let job = server.get(&format!("/v1/jobs/{later}")).send().await.json();
    assert_eq!(job["retried_as"], Value::Null, "it failed after the preview");
    let first = server.claim("thumbs").await.unwrap();
    assert_eq!(
        first.job.retry_of.map(|id| id.to_string()).as_ref(),
        Some(&failed[0]),
        "the oldest is tried first"
    );
    assert_eq!(
        act(&server, "retry", &filter, &looked["confirm"]).await["acted"],
        0
    );
    assert_eq!(preview(&server, "retry", &filter).await["count"], 1);
}

#[tokio::test]
async fn a_retry_that_is_refused_is_counted_by_its_code() {
    let server = Server::start().await;
    let unique = || {
        server
            .post("/v1/queues/thumbs/jobs")
            .header("raincheck-unique", "\"u\"")
            .body("x")
    };
    for _ in 0..2 {
        assert_eq!(unique().send().await.status, 202);
        server.work(failure("handler-failed", "no", None)).await;
    }
    let filter = json!({"queue": "thumbs"});
    let looked = preview(&server, "retry", &filter).await;
    let told = act(&server, "retry", &filter, &looked["confirm"]).await;
    assert_eq!(
        told,
        json!({"acted": 1, "refused": {"unique-conflict": 1}, "remaining": 0, "exact": true, "confirm": null})
    );
}

#[tokio::test]
async fn finished_jobs_are_deleted_by_every_part_of_a_filter() {
    let clock = Arc::new(ManualClock::default());
    let server = Server::with(Setup {
        clock: Some(clock.clone()),
        ..Setup::default()
    })
    .await;
    let submit = |tag: &'static str, group: &'static str| {
        let ask = server.post("/v1/queues/thumbs/jobs").header("raincheck-tag", tag);
        ask.header("raincheck-group", group).body("x").send()
    };
    let mut ids = Vec::new();
    for (tag, group) in [("a", "g"), ("a", "h"), ("b", "g")] {
        ids.push(submit(tag, group).await.job());
        server.work(success("r")).await;
        clock.advance(Duration::from_secs(1));
    }
    let waiting = submit("a", "g").await.job();
    let between = server.get(&format!("/v1/jobs/{}", ids[1])).send().await.json()["created_at"].clone();
    for (filter, count) in [
        (json!({}), 3),
        (json!({"queue": "other"}), 0),
        (json!({"state": "failed"}), 0),
        (json!({"submitted_after": between}), 1),
        (json!({"submitted_before": between}), 1),
        (json!({"group": "g"}), 2),
        (json!({"tag": "a"}), 2),
    ] {
        let looked = preview(&server, "delete", &filter).await;
        assert_eq!(
            (&looked["count"], &looked["exact"]),
            (&json!(count), &json!(true)),
            "{filter}"
        );
        assert_eq!(looked["confirm"].is_null(), count == 0);
    }
    let filter = json!({"tag": "a", "queue": "thumbs", "state": "succeeded"});
    let looked = preview(&server, "delete", &filter).await;
    assert_eq!(
        act(&server, "delete", &filter, &looked["confirm"]).await["acted"],
        2
    );
    let gone = server.get(&format!("/v1/jobs/{}", ids[0])).send().await;
    assert_eq!((gone.status, gone.code().as_str()), (410, "job-deleted"));
    assert_eq!(outcome(&server, &ids[2]).await.as_deref(), Some("succeeded"));
    assert_eq!(outcome(&server, &waiting).await.as_deref(), Some("pending"));
}

#[tokio::test]
async fn a_running_job_is_asked_to_stop_and_not_asked_again() {
    let server = Server::start().await;
    let id = server.submit("x").await;
    server.claim("thumbs").await.unwrap();
    let filter = json!({"state": "running"});
    let looked = preview(&server, "cancel", &filter).await;
    assert_eq!(looked["count"], 1);
    assert_eq!(
        act(&server, "cancel", &filter, &looked["confirm"]).await["acted"],
        1
    );
    let job = server.get(&format!("/v1/jobs/{id}")).send().await.json();
    assert_eq!(
        (&job["state"], &job["cancel_requested"]),
        (&json!("running"), &json!(true))
    );
    assert_eq!(
        act(&server, "cancel", &filter, &looked["confirm"]).await["acted"],
        0
    );
}

#[tokio::test]
async fn more_than_ten_thousand_jobs_take_more_than_one_request() {
    let server = Server::start().await;
    for count in [10_000, 1_500] {
        let list = vec![json!({"queue": "thumbs"}); count];
        let answer = server
            .post("/v1/jobs")
            .json(&json!(list).to_string())
            .send()
            .await;
        assert_eq!(answer.status, 200);
    }
    let filter = json!({"queue": "thumbs", "state": "queued"});
    let looked = preview(&server, "cancel", &filter).await;
    assert_eq!(
        (&looked["count"], &looked["exact"]),
        (&json!(11_500), &json!(true))
    );
    let first = act(&server, "cancel", &filter, &looked["confirm"]).await;
    assert_eq!(
        (&first["acted"], &first["remaining"], &first["exact"]),
        (&json!(10_000), &json!(1_500), &json!(true))
    );
    let second = act(&server, "cancel", &filter, &first["confirm"]).await;
    assert_eq!(
        second,
        json!({"acted": 1_500, "refused": {}, "remaining": 0, "exact": true, "confirm": null})
    );
    assert!(server.claim("thumbs").await.is_none());
}

#[tokio::test]
async fn who_repeats_the_first_confirm_gets_on_as_well() {
    let server = Server::start().await;
    let many = json!(vec![json!({"queue": "thumbs"}); 9_000]).to_string();
    for _ in 0..5 {
        assert_eq!(server.post("/v1/jobs").json(&many).send().await.status, 200);
    }
    let filter = json!({"queue": "thumbs", "state": "queued"});
    let looked = preview(&server, "cancel", &filter).await;
    for (acted, remaining) in [
        (10_000, 35_000),
        (10_000, 25_000),
        (10_000, 15_000),
        (10_000, 5_000),
        (5_000, 0),
    ] {
        let done = act(&server, "cancel", &filter, &looked["confirm"]).await;
        assert_eq!(
            (&done["acted"], &done["remaining"]),
            (&json!(acted), &json!(remaining))
        );
    }
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_and_changes_nothing() {
    let server = Server::start().await;
    let id = server.submit("x").await;
    let looked = preview(&server, "cancel", &json!({})).await;
    for (action, filter, confirm, pointer) in [
        ("stop", json!({}), None, "/action"),
        ("cancel", json!({"state": "failed"}), None, "/filter/state"),
        ("retry", json!({"state": "queued"}), None, "/filter/state"),
        ("delete", json!({"state": "running"}), None, "/filter/state"),
        ("cancel", json!({"batch": "b"}), None, "/filter/batch"),
        (
            "cancel",
            json!({"queue": "thumbs"}),
            Some(&looked["confirm"]),
            "/confirm",
        ),
        ("delete", json!({}), Some(&looked["confirm"]), "/confirm"),
        ("cancel", json!({}), Some(&json!("yes")), "/confirm"),
    ] {
        let answer = ask(&server, action, &filter, confirm).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (400, "bad-request"),
            "{action} {filter}"
        );
        assert_eq!(answer.json()["errors"][0]["pointer"], pointer);
    }
    assert_eq!(outcome(&server, &id).await.as_deref(), Some("pending"));
}
