//! Queues by HTTP.

use crate::harness::{Server, ns, queue, success};
use raincheck::core::queue::{QueueSpec, Worker};
use serde_json::json;

#[tokio::test]
async fn a_queue_shows_every_setting_and_where_it_comes_from() {
    let server = Server::start().await;
    let settings = r#"{"worker":{"push":["http://a:8000/thumb","https://b/thumb"]},"concurrency":8,"depth":1000,
        "body_max":"2MiB","result_max":65536,"timeout":"90s","lease_for":"1m","cancel_grace":"10s","max_attempts":3,
        "backoff":"constant;base=30s","keep":"1h","keep_failed":"2d"}"#;
    let put = server
        .ask("PUT", "/v1/queues/reports")
        .json(settings)
        .send()
        .await;
    insta::assert_snapshot!("set", put.shown());
    assert_eq!(server.get("/v1/queues/reports").send().await.json(), put.json());
    let replaced = server.ask("PUT", "/v1/queues/reports").json("{}").send().await;
    insta::assert_snapshot!("default", replaced.shown());
    let all = server.get("/v1/queues").send().await.json();
    let names: Vec<_> = all["queues"]
        .as_array()
        .unwrap()
        .iter()
        .map(|q| q["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["reports", "thumbs"]);
}

#[tokio::test]
async fn an_action_takes_no_fields_and_does_nothing_where_some_are_sent() {
    let server = Server::start().await;
    let id = server.submit("x").await;
    for path in [
        "/v1/queues/thumbs/pause".to_owned(),
        "/v1/queues/thumbs/resume".to_owned(),
        "/v1/queues/thumbs/purge".to_owned(),
        format!("/v1/jobs/{id}/cancel"),
        format!("/v1/jobs/{id}/retry"),
        "/v1/batches/batch_01jd8zq3k5e7rv2m4n6p8s0t1w/cancel".to_owned(),
        "/v1/webhook-secret/rotate".to_owned(),
        "/v1/deliveries/job_01jd8zq3k5e7rv2m4n6p8s0t1w.1/redeliver".to_owned(),
    ] {
        let refused = server.post(&path).json(r#"{"reason":"rain"}"#).send().await;
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (400, "bad-request"),
            "{path}"
        );
        let problem = refused.json();
        assert_eq!(problem["errors"][0]["pointer"], "/reason", "{path}");
        let refused = server.post(&path).body("rain").send().await;
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (400, "bad-request"),
            "{path}"
        );
        let large = server.post(&path).body(vec![b' '; 100_000]).send().await;
        assert_eq!(
            (large.status, large.code().as_str()),
            (413, "body-too-large"),
            "{path}"
        );
    }
    let queue = server.get("/v1/queues/thumbs").send().await.json();
    assert_eq!(
        (&queue["paused"], &queue["counts"]["queued"]),
        (&json!(null), &json!(1))
    );
    for body in ["", " \n", "{}", " { } "] {
        for action in ["pause", "resume"] {
            let done = server.post(&format!("/v1/queues/thumbs/{action}")).json(body);
            assert_eq!(done.send().await.status, 200, "{action} {body:?}");
        }
    }
    let purged = server.post("/v1/queues/thumbs/purge").send().await;
    assert_eq!(purged.json()["cancelled"], 1);
}

#[tokio::test]
async fn a_setting_that_cannot_be_is_named() {
    let server = Server::start().await;
    for (settings, part, pointer) in [
        (
            r#"{"schedule":"50/s"}"#,
            "the setting \"schedule\": there is no such setting",
            "/schedule",
        ),
        (r#"{"rate":"50"}"#, "write one such as 50/s", "/rate"),
        (
            r#"{"group_defaults":[2]}"#,
            "expected an object",
            "/group_defaults",
        ),
        (
            r#"{"group_defaults":{"rate":"1/s","burst":0}}"#,
            "group_defaults burst goes with a rate, is 1",
            "/group_defaults",
        ),
        (
            r#"{"depth_bytes":"1KiB"}"#,
            "depth_bytes is at least body_max",
            "/depth_bytes",
        ),
        (r#"{"burst":5}"#, "burst goes with a rate", "/burst"),
        (
            r#"{"input_schema":{}}"#,
            "there is no such setting",
            "/input_schema",
        ),
        (
            r#"{"concurrency":0}"#,
            "concurrency is 1 to 100000",
            "/concurrency",
        ),
        (
            r#"{"body_max":"17MiB"}"#,
            "body_max is at most 16MiB",
            "/body_max",
        ),
        (r#"{"timeout":"soon"}"#, "not a duration", "/timeout"),
        (r#"{"depth":-1}"#, "depth is at least 1", "/depth"),
        (
            r#"{"concurrency":-1}"#,
            "concurrency is 1 to 100000",
            "/concurrency",
        ),
        (
            r#"{"concurrency":99999999999}"#,
            "concurrency is 1 to 100000",
            "/concurrency",
        ),
        (
            r#"{"concurrency":1.5}"#,
            "expected a whole number",
            "/concurrency",
        ),
        (
            r#"{"concurency":1}"#,
            "there is no such setting; did you mean concurrency?",
            "/concurency",
        ),
        (
            r#"{"group_defaults":{"brust":1}}"#,
            "unknown field `brust`, expected one of `concurrency`, `rate`, `burst`; did you mean burst?",
            "/group_defaults",
        ),
        (
            r#"{"depth":1,"depth":2}"#,
            "the setting \"depth\": given twice",
            "/depth",
        ),
        (r#"{"worker":"robot"}"#, "expected a worker: ", "/worker"),
        (r#"{"worker":{"robot":[]}}"#, "unknown field `robot`", "/worker"),
        (
            r#"{"worker":{"push":["http://a"],"keep_alive":true}}"#,
            "keep_alive goes with process",
            "/worker",
        ),
        (r#"{"worker":{"push":[]}}"#, "push takes 1 to 100 URLs", "/worker"),
        (
            r#"{"worker":{"push":["/thumb"]}}"#,
            "push takes",
            "/worker/push/0",
        ),
        (
            r#"{"worker":{"push":["ftp://a/b"]}}"#,
            "worker: push takes http:// and https:// URLs only",
            "/worker/push/0",
        ),
        (
            r#"{"worker":{"push":["https://10.0.0.1/b"]}}"#,
            "10.0.0.1 is not a public address",
            "/worker/push/0",
        ),
        (
            r#"{"worker":{"push":["http://[fd00::1]/b"]}}"#,
            "fd00::1 is not a public address",
            "/worker/push/0",
        ),
        (
            r#"{"worker":{"push":["http://u:p@a/b"]}}"#,
            "without user and password",
            "/worker/push/0",
        ),
        ("[]", "a list is not taken here", ""),
        ("", "not a JSON object", ""),
    ] {
        let answer = server.ask("PUT", "/v1/queues/q").json(settings).send().await;
        assert_eq!(answer.code(), "bad-request", "{settings}");
        assert!(
            answer.json()["detail"].as_str().unwrap().contains(part),
            "{settings}: {}",
            answer.text()
        );
        assert_eq!(
            answer.json()["errors"][0]["pointer"].as_str().unwrap_or_default(),
            pointer,
            "{settings}"
        );
    }
    assert_eq!(
        server.get("/v1/queues/q").send().await.code(),
        "unknown-queue",
        "nothing is stored"
    );
    let name = server.ask("PUT", "/v1/queues/a%20b").json("{}").send().await;
    insta::assert_snapshot!(name.shown());
    assert_eq!(
        server
            .ask("PUT", "/v1/queues/q")
            .header("content-type", "text/plain")
            .body("{}")
            .send()
            .await
            .status,
        415
    );
    let large = format!("{{\"result_type\":\"{}\"}}", "x".repeat(70_000));
    assert_eq!(
        server.ask("PUT", "/v1/queues/q").json(&large).send().await.code(),
        "body-too-large"
    );
}

#[tokio::test]
async fn a_command_never_comes_over_the_api() {
    let server = Server::start().await;
    let answer = server
        .ask("PUT", "/v1/queues/q")
        .json(r#"{"worker":{"process":["rm","-rf","/"]}}"#)
        .send()
        .await;
    insta::assert_snapshot!(answer.shown());
}

#[tokio::test]
async fn a_managed_queue_is_changed_where_it_is_defined_but_can_be_paused() {
    let server = Server::start().await;
    let spec = QueueSpec {
        worker: Some(Worker::Push(vec!["http://127.0.0.1:1/x".to_owned()])),
        ..QueueSpec::default()
    };
    server
        .node
        .put_queue(&ns(), &queue("managed"), spec, true)
        .await
        .unwrap()
        .unwrap();
    let put = server.ask("PUT", "/v1/queues/managed").json("{}").send().await;
    insta::assert_snapshot!(put.shown());
    assert_eq!(
        server.ask("DELETE", "/v1/queues/managed").send().await.code(),
        "queue-managed"
    );
    let paused = server.post("/v1/queues/managed/pause").send().await.json();
    assert_eq!(
        (&paused["managed"], &paused["origin"]["worker"]),
        (&true.into(), &"config".into())
    );
    assert!(paused["paused"].is_string());
}

#[tokio::test]
async fn a_paused_queue_takes_jobs_and_hands_none_out() {
    let server = Server::start().await;
    let paused = server.post("/v1/queues/thumbs/pause").send().await;
    assert_eq!(paused.status, 200);
    let since = paused.json()["paused"].clone();
    assert!(since.is_string());
    assert_eq!(
        server.post("/v1/queues/thumbs/pause").send().await.json()["paused"],
        since
    );
    server.submit("x").await;
    assert!(server.claim("thumbs").await.is_none());
    let resumed = server.post("/v1/queues/thumbs/resume").send().await.json();
    assert_eq!(
        (&resumed["paused"], &resumed["counts"]["queued"]),
        (&serde_json::Value::Null, &1.into())
    );
    assert!(server.claim("thumbs").await.is_some());
}

#[tokio::test]
async fn a_purge_cancels_what_waits() {
    let server = Server::start().await;
    let running = server.submit("x").await;
    server.claim("thumbs").await.unwrap();
    for _ in 0..3 {
        server.submit("y").await;
    }
    let later = server
        .post("/v1/queues/thumbs/jobs")
        .header("raincheck-delay", "1h")
        .body("z")
        .send()
        .await
        .job();
    let purged = server.post("/v1/queues/thumbs/purge").send().await;
    assert_eq!((purged.status, purged.text()), (200, r#"{"cancelled":4}"#));
    let counts = server.get("/v1/queues/thumbs").send().await.json()["counts"].clone();
    assert_eq!(
        (&counts["cancelled"], &counts["running"], &counts["queued"]),
        (&4.into(), &1.into(), &0.into())
    );
    assert_eq!(
        server.get(&format!("/v1/jobs/{later}")).send().await.outcome(),
        Some("cancelled")
    );
    assert_eq!(
        server.get(&format!("/v1/jobs/{running}")).send().await.outcome(),
        Some("pending")
    );
    assert_eq!(
        server.post("/v1/queues/thumbs/purge").send().await.text(),
        r#"{"cancelled":0}"#
    );
}

#[tokio::test]
async fn only_a_queue_without_unfinished_jobs_is_deleted() {
    let server = Server::start().await;
    let id = server.submit("x").await;
    insta::assert_snapshot!(server.ask("DELETE", "/v1/queues/thumbs").send().await.shown());
    server.work(success("r")).await;
    assert_eq!(server.ask("DELETE", "/v1/queues/thumbs").send().await.status, 204);
    assert_eq!(
        server.ask("DELETE", "/v1/queues/thumbs").send().await.code(),
        "unknown-queue"
    );
    let kept = server.get(&format!("/v1/jobs/{id}/result")).send().await;
    assert_eq!(kept.text(), "r", "its finished jobs stay");
}

#[tokio::test]
async fn an_unknown_queue_is_unknown_to_every_verb() {
    let server = Server::start().await;
    for (method, below) in [
        ("GET", ""),
        ("DELETE", ""),
        ("POST", "/pause"),
        ("POST", "/resume"),
        ("POST", "/purge"),
    ] {
        for name in ["nope", "a%20b", "-"] {
            let answer = server
                .ask(method, &format!("/v1/queues/{name}{below}"))
                .send()
                .await;
            assert_eq!(
                (answer.status, answer.code().as_str()),
                (404, "unknown-queue"),
                "{method} {name}{below}"
            );
        }
    }
}
