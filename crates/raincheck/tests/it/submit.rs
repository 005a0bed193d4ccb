//! Submitting: what is accepted, how it is answered, what is refused before anything is stored.

use crate::harness::{Server, Setup, ns, queue, success};
use raincheck::NodeOptions;
use raincheck::core::queue::{ByteSize, QueueSpec};

#[tokio::test]
async fn a_submit_is_answered_with_the_job() {
    let server = Server::start().await;
    let answer = server
        .post("/v1/queues/thumbs/jobs")
        .header("content-type", "image/png")
        .body("PNG")
        .send()
        .await;
    insta::assert_snapshot!(answer.shown());
    let id = answer.job();
    assert_eq!(answer.header("location"), Some(&*format!("/v1/jobs/{id}")));
    let stored = server
        .store()
        .input(&ns(), id.parse().unwrap())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (stored.content_type.as_deref(), &stored.body[..]),
        (Some("image/png"), &b"PNG"[..])
    );
}

#[tokio::test]
async fn a_job_as_json_is_the_same_job() {
    let server = Server::start().await;
    let json = r#"{"queue":"thumbs","input":{"w": 1},"priority":2,"group":"t","delay":"10m"}"#;
    let answer = server.post("/v1/jobs").json(json).send().await;
    insta::assert_snapshot!(answer.shown());
    let input = server
        .get(&format!("/v1/jobs/{}/input", answer.job()))
        .send()
        .await;
    assert_eq!(
        (input.text(), input.header("content-type")),
        (r#"{"w": 1}"#, Some("application/json"))
    );
}

#[tokio::test]
async fn any_bytes_are_kept_as_they_came() {
    let server = Server::start().await;
    let body: Vec<u8> = (0..=255).cycle().take(200_000).collect();
    let answer = server
        .post("/v1/queues/thumbs/jobs")
        .header("content-encoding", "zstd")
        .body(body.clone())
        .send()
        .await;
    let input = server
        .get(&format!("/v1/jobs/{}/input", answer.job()))
        .send()
        .await;
    assert_eq!(input.body, body);
    assert_eq!(
        (input.header("content-encoding"), input.header("content-type")),
        (Some("zstd"), None)
    );
    assert_eq!(input.outcome(), Some("pending"));
}

#[tokio::test]
async fn an_empty_input_is_an_input() {
    let server = Server::start().await;
    let answer = server.post("/v1/queues/thumbs/jobs").send().await;
    assert_eq!(answer.status, 202);
    assert_eq!(
        server
            .get(&format!("/v1/jobs/{}/input", answer.job()))
            .send()
            .await
            .body,
        b""
    );
}

#[tokio::test]
async fn an_unknown_queue_is_refused_unless_the_server_makes_queues() {
    let server = Server::start().await;
    let answer = server.post("/v1/queues/nope/jobs").body("x").send().await;
    insta::assert_snapshot!(answer.shown());
    assert_eq!(answer.outcome(), None, "nothing is stored");
    let answer = server.post("/v1/queues/a%20b/jobs").body("x").send().await;
    assert_eq!(answer.code(), "unknown-queue");

    let node = NodeOptions {
        dev: true,
        ..NodeOptions::default()
    };
    let server = Server::with(Setup {
        node,
        ..Setup::default()
    })
    .await;
    assert_eq!(
        server.post("/v1/queues/new/jobs").body("x").send().await.status,
        202
    );
    assert_eq!(
        server
            .post("/v1/jobs")
            .json(r#"{"queue":"newer"}"#)
            .send()
            .await
            .status,
        202
    );
    assert_eq!(
        server.get("/v1/queues/newer").send().await.json()["counts"]["queued"],
        1
    );
}

#[tokio::test]
async fn a_body_over_the_queues_limit_is_refused() {
    let server = Server::start().await;
    let spec = QueueSpec {
        body_max: Some(ByteSize(10)),
        ..QueueSpec::default()
    };
    server
        .node
        .put_queue(&ns(), &queue("small"), spec, false)
        .await
        .unwrap()
        .unwrap();
    let submit = |body: &str| server.post("/v1/queues/small/jobs").body(body);
    assert_eq!(submit("0123456789").send().await.status, 202);
    insta::assert_snapshot!(submit("0123456789a").send().await.shown());
    let json = |body: &str| {
        server
            .post("/v1/jobs")
            .json(&format!(r#"{{"queue":"small","input_text":"{body}"}}"#))
    };
    assert_eq!(json("0123456789").send().await.status, 202);
    assert_eq!(json("0123456789a").send().await.code(), "body-too-large");
    let large = server
        .post("/v1/queues/thumbs/jobs")
        .body(vec![0; (1 << 20) + 1])
        .send()
        .await;
    assert_eq!(large.code(), "body-too-large");
    assert_eq!(large.header("connection"), Some("close"));
    assert_eq!(
        server
            .post("/v1/queues/thumbs/jobs")
            .body(vec![0; 1 << 20])
            .send()
            .await
            .status,
        202
    );
}

#[tokio::test]
async fn a_full_queue_refuses_and_drops_nothing() {
    let server = Server::start().await;
    let put = server
        .ask("PUT", "/v1/queues/thumbs")
        .json(r#"{"depth":1}"#)
        .send()
        .await;
    assert_eq!(put.status, 200);
    let first = server.submit("x").await;
    let answer = server.post("/v1/queues/thumbs/jobs").body("x").send().await;
    insta::assert_snapshot!(answer.shown());
    assert_eq!(server.get(&format!("/v1/jobs/{first}")).send().await.status, 200);
    server.work(success("")).await;
    server.submit("x").await;
}

#[tokio::test]
async fn a_draining_server_takes_nothing_new_but_knows_what_it_took() {
    let server = Server::start().await;
    let submit = |body: &str| {
        server
            .post("/v1/queues/thumbs/jobs")
            .header("idempotency-key", "k")
            .body(body)
    };
    let first = submit("x").send().await.job();
    server.node.drain().await;
    insta::assert_snapshot!(
        server
            .post("/v1/queues/thumbs/jobs")
            .body("x")
            .send()
            .await
            .shown()
    );
    let again = submit("x").send().await;
    assert_eq!(
        (again.status, again.job(), again.header("idempotency-replayed")),
        (202, first.clone(), Some("true"))
    );
    assert_eq!(submit("y").send().await.code(), "idempotency-mismatch");
    let other = server
        .post("/v1/queues/thumbs/jobs")
        .header("idempotency-key", "l")
        .body("x")
        .send()
        .await;
    assert_eq!(other.code(), "draining");
    assert_eq!(
        server
            .post("/v1/jobs")
            .json(r#"{"queue":"thumbs"}"#)
            .send()
            .await
            .code(),
        "draining"
    );
    assert_eq!(
        server.get(&format!("/v1/jobs/{first}")).send().await.status,
        200,
        "reading goes on"
    );
}

#[tokio::test]
async fn the_json_form_takes_plain_json_only() {
    let server = Server::start().await;
    let body = r#"{"queue":"thumbs"}"#;
    let ask = |kind: &str| server.post("/v1/jobs").header("content-type", kind).body(body);
    assert_eq!(ask("application/json; charset=utf-8").send().await.status, 202);
    assert_eq!(ask("application/vnd.x+json").send().await.status, 202);
    assert_eq!(
        server.post("/v1/jobs").body(body).send().await.status,
        202,
        "curl may leave the type out"
    );
    for kind in ["application/x-www-form-urlencoded", "text/plain", "nonsense"] {
        let answer = ask(kind).send().await;
        assert_eq!(
            (answer.code().as_str(), answer.status),
            ("unsupported-media-type", 415),
            "{kind}"
        );
    }
    let coded = ask("application/json")
        .header("content-encoding", "gzip")
        .send()
        .await;
    insta::assert_snapshot!(coded.shown());
    for (body, code) in [
        ("[", "bad-request"),
        ("{", "bad-request"),
        ("", "bad-request"),
        ("{}", "bad-request"),
    ] {
        assert_eq!(
            server.post("/v1/jobs").json(body).send().await.code(),
            code,
            "{body}"
        );
    }
}

#[tokio::test]
async fn a_json_bomb_is_refused_without_repeating_it() {
    let server = Server::start().await;
    for body in [
        "[".repeat(100_000),
        "{\"a\":".repeat(100_000),
        "[0".repeat(100_000),
    ] {
        let answer = server.post("/v1/jobs").json(&body).send().await;
        assert_eq!(answer.code(), "bad-request");
        assert!(answer.body.len() < 400, "{}", answer.text());
    }
}
