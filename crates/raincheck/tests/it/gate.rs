//! What every request passes: whose host it is for, which page it comes from, its size, its id.

use crate::client::{Answer, Line};
use crate::harness::{Server, Setup};
use raincheck::api::ApiOptions;

async fn with_head(server: &Server, head: &str) -> Answer {
    let mut line = Line::open(server.addr).await;
    line.send(format!("GET /v1/queues HTTP/1.1\r\n{head}\r\n").as_bytes())
        .await;
    line.answer().await.unwrap()
}

#[tokio::test]
async fn only_this_hosts_names_are_answered() {
    let server = Server::start().await;
    for host in [
        "localhost",
        "LOCALHOST:7246",
        "127.0.0.1",
        "127.0.0.1:1",
        "[::1]",
        "[::1]:7246",
    ] {
        assert_eq!(
            with_head(&server, &format!("Host: {host}\r\n")).await.status,
            200,
            "{host}"
        );
    }
    let shown = with_head(&server, "Host: rebound.example\r\n").await.shown();
    insta::assert_snapshot!(shown);
    let foreign =
        ["localhost.example", "example:7246", "127.0.0.2", "0.0.0.0"].map(|host| (host, 403, "forbidden"));
    let none = ["", "localhost:x", "::1", "u@localhost", "a b"].map(|host| (host, 400, "bad-request"));
    for (host, status, code) in foreign.into_iter().chain(none) {
        let answer = with_head(&server, &format!("Host: {host}\r\n")).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (status, code),
            "{host:?}"
        );
    }
}

#[tokio::test]
async fn a_page_of_another_origin_is_refused() {
    let server = Server::start().await;
    let host = "Host: localhost:7246\r\n";
    for head in [
        "Origin: http://localhost:7246\r\n",
        "Sec-Fetch-Site: none\r\n",
        "Sec-Fetch-Site: same-origin\r\n",
    ] {
        assert_eq!(
            with_head(&server, &format!("{host}{head}")).await.status,
            200,
            "{head}"
        );
    }
    for head in [
        "Origin: https://evil.example\r\n",
        "Origin: http://localhost:3000\r\n",
        "Origin: https://localhost:7246\r\n",
        "Origin: null\r\n",
        "Sec-Fetch-Site: cross-site\r\n",
    ] {
        let answer = with_head(&server, &format!("{host}{head}")).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (403, "forbidden"),
            "{head}"
        );
    }
    let submit = server
        .post("/v1/queues/thumbs/jobs")
        .header("origin", "https://evil.example")
        .body("x")
        .send()
        .await;
    assert_eq!((submit.status, submit.outcome()), (403, None));
    assert_eq!(
        server.get("/v1/queues/thumbs").send().await.json()["counts"]["queued"],
        0
    );
}

#[tokio::test]
async fn a_server_that_is_not_closed_answers_to_any_name() {
    let api = ApiOptions {
        closed: false,
        ..ApiOptions::default()
    };
    let server = Server::with(Setup {
        api,
        ..Setup::default()
    })
    .await;
    assert_eq!(
        with_head(&server, "Host: jobs.example\r\nOrigin: https://a.example\r\n")
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn every_answer_has_a_request_id() {
    let server = Server::start().await;
    let given = server
        .get("/healthz")
        .header("x-request-id", "abc-123")
        .send()
        .await;
    assert_eq!(given.header("x-request-id"), Some("abc-123"));
    let problem = server.get("/nope").header("x-request-id", "abc-123").send().await;
    assert_eq!(problem.json()["request_id"], "abc-123");
    let long = "x".repeat(129);
    for bad in ["a b", "", &long, "\u{e9}"] {
        let own = server.get("/healthz").header("x-request-id", bad).send().await;
        let id = own.header("x-request-id").unwrap().to_owned();
        assert!(id != bad && !id.is_empty(), "{bad:?}");
    }
    let (one, two) = (
        server.get("/healthz").send().await,
        server.get("/nope").send().await,
    );
    assert_ne!(one.header("x-request-id"), two.header("x-request-id"));
}

#[tokio::test]
async fn a_path_that_does_not_exist_is_not_found() {
    let server = Server::start().await;
    insta::assert_snapshot!(server.get("/v1/job").send().await.shown());
    for path in [
        "/",
        "/v1",
        "/v1/jobs/",
        "/v1/queues/",
        "/v1/queues/thumbs/",
        "/v2/queues",
        "//v1/queues",
        "/V1/queues",
    ] {
        assert_eq!(server.get(path).send().await.code(), "not-found", "{path}");
    }
}

#[tokio::test]
async fn a_method_that_does_not_exist_lists_those_that_do() {
    let server = Server::start().await;
    insta::assert_snapshot!(server.ask("PATCH", "/v1/queues/thumbs").send().await.shown());
    for (method, path, allow) in [
        ("DELETE", "/v1/jobs", "POST,GET,HEAD"),
        ("PUT", "/v1/jobs/job_x", "GET,HEAD,DELETE,PATCH"),
        ("POST", "/v1/jobs/job_x/result", "GET,HEAD"),
        ("GET", "/v1/jobs/job_x/cancel", "POST"),
        ("GET", "/v1/queues/thumbs/jobs", "POST"),
        ("DELETE", "/healthz", "GET,HEAD"),
        ("OPTIONS", "/v1/queues", "GET,HEAD"),
        ("TRACE", "/v1/queues", "GET,HEAD"),
        ("BREW", "/v1/queues", "GET,HEAD"),
    ] {
        let answer = server.ask(method, path).send().await;
        assert_eq!(
            (answer.code().as_str(), answer.header("allow")),
            ("method-not-allowed", Some(allow)),
            "{method} {path}"
        );
    }
}

#[tokio::test]
async fn an_unknown_query_parameter_is_refused() {
    let server = Server::start().await;
    let id = server.submit("x").await;
    for (method, path) in [
        ("GET", format!("/v1/jobs/{id}?verbose=1")),
        ("GET", format!("/v1/jobs/{id}/result?wait=1&x")),
        ("GET", format!("/v1/jobs/{id}/input?wait=1")),
        ("POST", format!("/v1/jobs/{id}/cancel?force=1")),
        ("POST", format!("/v1/jobs/{id}/retry?x=1")),
        ("DELETE", format!("/v1/jobs/{id}?x=1")),
        ("GET", "/v1/queues?limit=1".to_owned()),
        ("GET", "/v1/queues/thumbs?x".to_owned()),
        ("POST", "/v1/queues/thumbs/purge?all=1".to_owned()),
    ] {
        let answer = server.ask(method, &path).send().await;
        assert_eq!(answer.code(), "bad-request", "{method} {path}");
    }
    assert_eq!(
        server.get(&format!("/v1/jobs/{id}")).send().await.outcome(),
        Some("pending"),
        "nothing was cancelled"
    );
}
