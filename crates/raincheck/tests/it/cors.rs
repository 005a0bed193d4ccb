//! Pages of other origins, of which the operator has named one.

use crate::client::{Answer, Ask};
use crate::harness::{Server, Setup, success};
use crate::keys::Locked;
use raincheck::api::ApiOptions;

const NAMED: &str = "https://app.example";

async fn server() -> Server {
    let origins = [NAMED, "http://localhost:3000"].map(|origin| origin.parse().unwrap());
    Server::with(Setup {
        api: ApiOptions {
            cors_origins: origins.to_vec(),
            ..ApiOptions::default()
        },
        ..Setup::default()
    })
    .await
}

fn varies_with_origin(answer: &Answer) -> bool {
    let vary = answer.headers.iter().filter(|(name, _)| name == "vary");
    vary.flat_map(|(_, value)| value.split(','))
        .any(|name| name.trim() == "origin")
}

#[tokio::test]
async fn a_page_of_a_named_origin_submits_and_reads_what_it_is_told() {
    let server = server().await;
    let ask = server.post("/v1/queues/thumbs/jobs").header("origin", NAMED);
    let answer = ask.header("sec-fetch-site", "cross-site").body("x").send().await;
    assert_eq!(answer.status, 202, "{answer:?}");
    assert_eq!(answer.header("access-control-allow-origin"), Some(NAMED));
    assert_eq!(answer.header("access-control-allow-credentials"), None);
    let exposed = answer.header("access-control-expose-headers").unwrap();
    for (name, _) in &answer.headers {
        let always = [
            "cache-control",
            "content-language",
            "content-length",
            "content-type",
            "vary",
            "connection",
        ];
        let readable = always.contains(&&**name) || exposed.split(", ").any(|exposed| exposed == name);
        assert!(
            readable || name.starts_with("access-control-"),
            "{name} in {exposed}"
        );
    }
    for name in [
        "location",
        "retry-after",
        "ratelimit",
        "preference-applied",
        "etag",
        "x-request-id",
    ] {
        assert!(exposed.split(", ").any(|exposed| exposed == name), "{name}");
    }
    assert!(varies_with_origin(&answer), "{answer:?}");
}

#[tokio::test]
async fn a_browser_that_asks_first_is_told_what_may_be_sent() {
    let server = server().await;
    let ask = |origin: &str| {
        let ask = server
            .ask("OPTIONS", "/v1/queues/thumbs/jobs")
            .header("origin", origin);
        let ask = ask.header("access-control-request-method", "POST");
        ask.header(
            "access-control-request-headers",
            "authorization,idempotency-key,raincheck-delay",
        )
        .send()
    };
    let told = ask(NAMED).await;
    assert_eq!((told.status, told.text()), (204, ""), "{told:?}");
    assert_eq!(told.header("access-control-allow-origin"), Some(NAMED));
    assert_eq!(
        told.header("access-control-allow-headers"),
        Some("authorization,idempotency-key,raincheck-delay")
    );
    assert!(
        told.header("access-control-allow-methods")
            .unwrap()
            .contains("PATCH")
    );
    assert!(told.header("access-control-max-age").is_some() && varies_with_origin(&told));
    assert_eq!(told.header("access-control-allow-credentials"), None);
    let other = ask("https://evil.example").await;
    assert_eq!(
        (other.status, other.header("access-control-allow-origin")),
        (403, None),
        "{other:?}"
    );
}

#[tokio::test]
async fn nobody_else_is_let_in_by_it() {
    let server = server().await;
    for origin in [
        "https://evil.example",
        "http://app.example",
        "https://app.example:8443",
        "https://app.example.evil.example",
        "https://APP.example",
        "null",
        "*",
    ] {
        let answer = server.get("/v1/jobs").header("origin", origin).send().await;
        assert_eq!(answer.status, 403, "{origin}: {answer:?}");
        assert_eq!(answer.header("access-control-allow-origin"), None, "{origin}");
        assert!(varies_with_origin(&answer), "{origin}");
    }
    let twice = server
        .get("/v1/jobs")
        .header("origin", NAMED)
        .header("origin", "https://evil.example")
        .send()
        .await;
    assert_eq!(twice.header("access-control-allow-origin"), None);
    let image = server
        .get("/v1/jobs")
        .header("sec-fetch-site", "cross-site")
        .send()
        .await;
    assert_eq!(image.status, 403, "what a page only embeds names no origin");
    let rebound = Ask::to_host(server.addr, "evil.example", "GET", "/v1/jobs");
    let rebound = rebound.header("origin", NAMED).send().await;
    assert_eq!(rebound.status, 403, "a foreign host stays one: {rebound:?}");
    let program = server.get("/v1/jobs").send().await;
    assert_eq!(
        (program.status, program.header("access-control-allow-origin")),
        (200, None)
    );
}

#[tokio::test]
async fn a_refusal_can_be_read_by_the_page_and_a_result_stays_in_its_sandbox() {
    let server = server().await;
    let done = server.finished(success("r")).await;
    let path = format!("/v1/jobs/{done}/result");
    let plain = server.get(&path).send().await;
    let answer = server.get(&path).header("origin", NAMED).send().await;
    assert_eq!(answer.header("access-control-allow-origin"), Some(NAMED));
    for name in [
        "content-security-policy",
        "cross-origin-resource-policy",
        "x-content-type-options",
    ] {
        assert!(plain.header(name).is_some(), "{name}");
        assert_eq!(answer.header(name), plain.header(name), "{name}");
    }
    let refused = server
        .get("/v1/jobs/nothing")
        .header("origin", NAMED)
        .send()
        .await;
    assert_eq!(
        (refused.status, refused.header("access-control-allow-origin")),
        (404, Some(NAMED))
    );
}

#[tokio::test]
async fn a_page_needs_a_key_where_the_server_has_some_and_asking_first_needs_none() {
    let locked = Locked::lock(server().await).await;
    let ask = locked.server.ask("OPTIONS", "/v1/jobs").header("origin", NAMED);
    let told = ask.header("access-control-request-method", "GET").send().await;
    assert_eq!(told.status, 204, "{told:?}");
    let keyless = locked.server.get("/v1/jobs").header("origin", NAMED).send().await;
    assert_eq!(
        (keyless.status, keyless.header("access-control-allow-origin")),
        (401, Some(NAMED))
    );
    let with_key = locked
        .root("GET", "/v1/jobs")
        .header("origin", NAMED)
        .send()
        .await;
    assert_eq!(with_key.status, 200);
    let options = locked
        .server
        .ask("OPTIONS", "/v1/jobs")
        .header("origin", NAMED)
        .send()
        .await;
    assert_eq!(
        options.status, 401,
        "an OPTIONS that asks for nothing is a request like others"
    );
}

#[tokio::test]
async fn without_a_named_origin_nothing_is_said_of_origins() {
    let server = Server::start().await;
    let answer = server.get("/v1/jobs").send().await;
    assert!(!varies_with_origin(&answer), "{answer:?}");
    let page = server.get("/v1/jobs").header("origin", NAMED).send().await;
    assert_eq!(
        (page.status, page.header("access-control-allow-origin")),
        (403, None)
    );
}
