//! Redeeming results: every row of the contract's table, conditions, ranges and what keeps stored bytes harmless.

use crate::harness::{Server, failure, ns, result, success};
use raincheck::core::decide::Settlement;

async fn redeem(server: &Server, id: &str) -> crate::client::Answer {
    server.get(&format!("/v1/jobs/{id}/result")).send().await
}

#[tokio::test]
async fn a_result_is_the_handlers_answer_as_it_was_made() {
    let server = Server::start().await;
    let kept = [("content-language", "de"), ("x-kept", "1"), ("x-kept", "2")];
    let id = server
        .finished(Settlement::succeed(result(201, "text/plain", &kept, "made")))
        .await;
    let answer = redeem(&server, &id).await;
    insta::assert_snapshot!(answer.shown());
    assert_eq!(redeem(&server, &id).await.body, answer.body);
}

#[tokio::test]
async fn a_failed_jobs_answer_is_redeemed_as_well() {
    let server = Server::start().await;
    let answer = result(422, "application/problem+json", &[], r#"{"why":"no picture"}"#);
    let id = server
        .finished(failure("handler-failed", "422", Some(answer)))
        .await;
    let redeemed = redeem(&server, &id).await;
    assert_eq!((redeemed.status, redeemed.outcome()), (422, Some("failed")));
    assert_eq!(redeemed.json()["why"], "no picture");
    assert_eq!(redeemed.header("cache-control"), Some("private, no-cache"));
}

#[tokio::test]
async fn a_failure_without_an_answer_is_a_problem() {
    let server = Server::start().await;
    for (word, status, code) in [
        ("timed-out", 504, "timed-out"),
        ("handler-unreachable", 502, "handler-unreachable"),
        ("handler-redirected", 502, "handler-redirected"),
        ("result-too-large", 502, "result-too-large"),
        ("handler-failed", 500, "handler-failed"),
        ("lease-lost", 500, "handler-failed"),
        ("my-own-word", 500, "handler-failed"),
    ] {
        let id = server.finished(failure(word, "what went wrong", None)).await;
        let answer = redeem(&server, &id).await;
        assert_eq!(
            (answer.status, answer.code().as_str(), answer.outcome()),
            (status, code, Some("failed")),
            "{word}"
        );
        assert!(
            answer.json()["detail"]
                .as_str()
                .unwrap()
                .contains("what went wrong")
        );
        assert_eq!(answer.job(), id);
    }
}

#[tokio::test]
async fn a_job_that_is_not_done_is_a_202_with_its_document() {
    let server = Server::start().await;
    let id = server.submit("x").await;
    let answer = redeem(&server, &id).await;
    insta::assert_snapshot!(answer.shown());
    server.claim("thumbs").await.unwrap();
    let running = redeem(&server, &id).await;
    assert_eq!(
        (running.status, running.outcome(), &running.json()["state"]),
        (202, Some("pending"), &"running".into())
    );
}

#[tokio::test]
async fn a_job_that_was_not_started_in_time_has_no_result() {
    let clock = std::sync::Arc::new(raincheck::core::clock::ManualClock::default());
    let setup = crate::harness::Setup {
        clock: Some(clock.clone()),
        ..Default::default()
    };
    let server = Server::with(setup).await;
    let submit = server
        .post("/v1/queues/thumbs/jobs")
        .header("raincheck-start-before", "1s")
        .body("x");
    let id = submit.send().await.job();
    clock.advance(std::time::Duration::from_secs(2));
    server.store().reclaim(10, 1).await.unwrap();
    insta::assert_snapshot!(redeem(&server, &id).await.shown());
}

#[tokio::test]
async fn a_result_has_a_strong_tag_that_conditions_are_judged_by() {
    let server = Server::start().await;
    let id = server.finished(success("text")).await;
    let tag = redeem(&server, &id).await.header("etag").unwrap().to_owned();
    assert!(tag.starts_with('"') && tag.len() == 34, "{tag}");
    let path = format!("/v1/jobs/{id}/result");
    let ask = async |condition: &str| server.get(&path).header("if-none-match", condition).send().await;
    let same = ask(&tag).await;
    insta::assert_snapshot!(same.shown().replace(&tag, "[tag]"));
    assert_eq!(ask(&format!("\"other\", W/{tag}")).await.status, 304);
    assert_eq!(ask("*").await.status, 304);
    assert_eq!(ask("\"other\"").await.status, 200);
    let again = server.finished(success("text")).await;
    assert_eq!(
        redeem(&server, &again).await.header("etag"),
        Some(&*tag),
        "the tag is the content's"
    );
    let refused = server
        .finished(failure(
            "handler-failed",
            "",
            Some(result(404, "text/plain", &[], "text")),
        ))
        .await;
    let path = format!("/v1/jobs/{refused}/result");
    let tag = server.get(&path).send().await.header("etag").unwrap().to_owned();
    let answer = server.get(&path).header("if-none-match", &tag).send().await;
    assert_eq!(
        (answer.status, answer.text()),
        (404, "text"),
        "conditions are for stored 2xx"
    );
}

#[tokio::test]
async fn a_part_of_a_result_can_be_asked_for() {
    let server = Server::start().await;
    let id = server.finished(success("0123456789")).await;
    let path = format!("/v1/jobs/{id}/result");
    let tag = server.get(&path).send().await.header("etag").unwrap().to_owned();
    for (range, status, text, content_range) in [
        ("bytes=2-5", 206, "2345", Some("bytes 2-5/10")),
        ("bytes=8-", 206, "89", Some("bytes 8-9/10")),
        ("bytes=-3", 206, "789", Some("bytes 7-9/10")),
        ("bytes=-99", 206, "0123456789", Some("bytes 0-9/10")),
        ("bytes=0-99", 206, "0123456789", Some("bytes 0-9/10")),
        ("bytes=0-1,4-5", 200, "0123456789", None),
        ("bytes=5-2", 200, "0123456789", None),
        ("pages=1", 200, "0123456789", None),
    ] {
        let answer = server.get(&path).header("range", range).send().await;
        assert_eq!(
            (answer.status, answer.text(), answer.header("content-range")),
            (status, text, content_range),
            "{range}"
        );
        assert_eq!(
            (answer.header("etag"), answer.outcome()),
            (Some(&*tag), Some("succeeded"))
        );
        assert_eq!(answer.header("accept-ranges"), Some("bytes"));
    }
    let outside = server.get(&path).header("range", "bytes=10-").send().await;
    insta::assert_snapshot!(outside.shown().replace(&tag, "[tag]"));
    let current = server
        .get(&path)
        .header("range", "bytes=0-0")
        .header("if-range", &tag)
        .send()
        .await;
    assert_eq!((current.status, current.text()), (206, "0"));
    let changed = server
        .get(&path)
        .header("range", "bytes=0-0")
        .header("if-range", "\"old\"")
        .send()
        .await;
    assert_eq!((changed.status, changed.text()), (200, "0123456789"));
    let both = server
        .get(&path)
        .header("range", "bytes=0-0")
        .header("if-none-match", &tag)
        .send()
        .await;
    assert_eq!(both.status, 304, "If-None-Match comes before Range");
    let head = server
        .ask("HEAD", &path)
        .header("range", "bytes=0-0")
        .send()
        .await;
    assert_eq!(
        (head.status, head.header("content-length")),
        (200, Some("10")),
        "ranges are for GET"
    );
}

#[tokio::test]
async fn only_a_stored_200_has_parts() {
    let server = Server::start().await;
    let id = server
        .finished(Settlement::succeed(result(201, "text/plain", &[], "0123")))
        .await;
    let answer = server
        .get(&format!("/v1/jobs/{id}/result"))
        .header("range", "bytes=0-0")
        .send()
        .await;
    assert_eq!(
        (answer.status, answer.text(), answer.header("accept-ranges")),
        (201, "0123", None)
    );
}

#[tokio::test]
async fn stored_bytes_cannot_act_on_the_servers_origin() {
    let server = Server::start().await;
    let evil = [
        ("set-cookie", "session=stolen"),
        ("access-control-allow-origin", "*"),
        ("content-security-policy", "default-src *"),
        ("www-authenticate", "Basic"),
        ("raincheck-outcome", "pending"),
        ("etag", "\"mine\""),
    ];
    let html = result(200, "text/html", &evil, "<script>alert(1)</script>");
    let id = server.finished(Settlement::succeed(html)).await;
    let shown = redeem(&server, &id).await;
    let tag = shown.header("etag").unwrap().to_owned();
    insta::assert_snapshot!(shown.shown().replace(&tag, "[tag]"));
    let id = server
        .finished(Settlement::succeed(result(
            200,
            "text/javascript",
            &[],
            "alert(1)",
        )))
        .await;
    assert_eq!(
        redeem(&server, &id).await.header("content-type"),
        Some("text/plain; charset=utf-8")
    );
    let id = server
        .finished(Settlement::succeed(result(200, "image/png", &[], "PNG")))
        .await;
    assert_eq!(
        redeem(&server, &id).await.header("content-disposition"),
        None,
        "a picture can be looked at"
    );
    let input = server
        .post("/v1/queues/thumbs/jobs")
        .header("content-type", "text/html")
        .body("<b>")
        .send()
        .await;
    let input = server
        .get(&format!("/v1/jobs/{}/input", input.job()))
        .send()
        .await;
    assert_eq!(input.header("content-disposition"), Some("attachment"));
    assert_eq!(
        input.header("content-security-policy"),
        Some("default-src 'none'; sandbox")
    );
}

#[tokio::test]
async fn a_result_without_content_has_none() {
    let server = Server::start().await;
    let id = server
        .finished(Settlement::succeed(result(204, "text/plain", &[], "")))
        .await;
    let answer = redeem(&server, &id).await;
    assert_eq!(
        (answer.status, answer.outcome(), answer.body.len()),
        (204, Some("succeeded"), 0)
    );
    let id = server
        .finished(Settlement::succeed(result(200, "text/plain", &[], "")))
        .await;
    let answer = redeem(&server, &id).await;
    assert_eq!(
        (answer.status, answer.header("content-length"), answer.body.len()),
        (200, Some("0"), 0)
    );
    assert!(
        server
            .store()
            .get(&ns(), id.parse().unwrap())
            .await
            .unwrap()
            .unwrap()
            .done()
    );
}
