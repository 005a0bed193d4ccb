//! Calls that are jobs from the start: the 202, the ticket, and the service's own answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use http_body_util::BodyExt as _;

use super::{Counting, Proxied, code};
use crate::client::Answer;

const ALWAYS: &[&str] = &["/reports/**=UP;mode=always", "/**=UP;mode=never"];
const PREFER: &[&str] = &["/**=UP;mode=prefer"];

/// Where a rain check is redeemed.
pub(super) fn ticket(answer: &Answer) -> (String, String) {
    assert_eq!(answer.status, 202, "{answer:?}");
    let location = answer.header("location").unwrap();
    let (path, ticket) = location.split_once("?ticket=").unwrap();
    assert!(path.starts_with("/_raincheck/v1/jobs/job_"), "{path}");
    (path.to_owned(), ticket.to_owned())
}

/// Redeems it as soon as it can be.
pub(super) async fn redeem(proxy: &Proxied, answer: &Answer) -> Answer {
    let (path, ticket) = ticket(answer);
    proxy
        .ask("GET", &format!("{path}/result?ticket={ticket}&wait=30"))
        .send()
        .await
}

/// Answers with what it heard.
async fn echo(_: u32, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let mut heard = format!("{} {}\n", parts.method, parts.uri);
    let mut headers: Vec<_> = parts.headers.iter().collect();
    headers.sort_by_key(|(name, _)| name.as_str());
    for (name, value) in headers {
        heard.push_str(&format!("{name}: {}\n", value.to_str().unwrap()));
    }
    heard.push_str(&String::from_utf8_lossy(&body));
    Response::builder()
        .status(201)
        .header("content-type", "text/html")
        .header("x-own", "1")
        .header("set-cookie", "session=1")
        .header("content-encoding", "x-none")
        .header("location", "/reports/7")
        .body(Body::from(heard))
        .unwrap()
}

#[tokio::test]
async fn a_chosen_call_is_answered_by_a_rain_check_for_its_own_answer() {
    let service = Counting::start(echo).await;
    let proxy = Proxied::start(service.addr, ALWAYS).await;
    let answer = proxy
        .ask("POST", "/reports/2026-11?x=%20")
        .header("authorization", "Basic abc")
        .header("x-list", "a")
        .json(r#"{"format":"pdf"}"#)
        .send()
        .await;
    assert_eq!(answer.outcome(), Some("pending"));
    assert_eq!(answer.header("retry-after"), Some("1"));
    let job = answer.job();
    let result = redeem(&proxy, &answer).await;
    assert_eq!(
        (result.status, result.outcome()),
        (201, Some("succeeded")),
        "{result:?}"
    );
    for (name, value) in [
        ("content-type", Some("text/html")),
        ("x-own", Some("1")),
        ("content-encoding", Some("x-none")),
        ("location", Some("/reports/7")),
        ("set-cookie", None),
        ("content-security-policy", None),
        ("x-content-type-options", None),
        ("content-disposition", None),
    ] {
        assert_eq!(result.header(name), value, "{name}");
    }
    let heard = result.text();
    assert!(heard.starts_with("POST /reports/2026-11?x=%20\n"), "{heard}");
    for line in [
        "authorization: Basic abc\n",
        "content-type: application/json\n",
        "content-length: 16\n",
        "x-list: a\n",
        "raincheck-attempt: 1\n",
        &format!("raincheck-job: {job}\n"),
        &format!("idempotency-key: {job}\n"),
        "x-forwarded-for: 127.0.0.1\n",
        &format!("host: {}\n", proxy.addr),
    ] {
        assert!(heard.contains(line), "{line} in {heard}");
    }
    assert!(heard.ends_with(r#"{"format":"pdf"}"#), "{heard}");
    assert!(!heard.contains("connection:"), "{heard}");
}

#[tokio::test]
async fn other_paths_and_other_wishes_pass() {
    let service = Counting::start(echo).await;
    let proxy = Proxied::start(service.addr, ALWAYS).await;
    for path in ["/", "/report", "/Reports/a", "/reports/../x", "/reports/%2e%2e/x"] {
        let answer = proxy
            .ask("POST", path)
            .header("prefer", "respond-async")
            .send()
            .await;
        assert_eq!(
            (answer.status, answer.header("set-cookie")),
            (201, Some("session=1")),
            "{path}"
        );
    }
    let proxy = Proxied::start(service.addr, PREFER).await;
    assert_eq!(proxy.ask("GET", "/a").send().await.status, 201);
    let answer = proxy
        .ask("GET", "/a")
        .header("prefer", "respond-async")
        .send()
        .await;
    assert_eq!(answer.header("preference-applied"), Some("respond-async"));
    let heard = redeem(&proxy, &answer).await;
    assert!(!heard.text().contains("prefer:"), "{heard:?}");
    let wait = proxy.ask("GET", "/a").header("prefer", "wait=10").send().await;
    assert_eq!(
        (wait.status, wait.header("raincheck-job")),
        (201, None),
        "it was fast"
    );
}

#[tokio::test]
async fn who_waits_for_a_job_gets_its_answer_when_it_is_there() {
    let service = Counting::start(echo).await;
    let proxy = Proxied::start(service.addr, ALWAYS).await;
    let answer = proxy
        .ask("GET", "/reports/a")
        .header("prefer", "wait=30")
        .send()
        .await;
    assert_eq!(
        (answer.status, answer.header("preference-applied")),
        (201, Some("wait=30"))
    );
    assert!(answer.header("raincheck-job").is_some());
}

#[tokio::test]
async fn a_ticket_opens_its_own_job_and_the_job_without_it_needs_a_key() {
    let service = Counting::start(echo).await;
    let proxy = Proxied::start(service.addr, ALWAYS).await;
    let one = proxy.ask("GET", "/reports/a").send().await;
    let two = proxy.ask("GET", "/reports/b").send().await;
    let ((path, _), (_, other)) = (ticket(&one), ticket(&two));
    let answer = proxy.ask("GET", &format!("{path}?ticket={other}")).send().await;
    assert_eq!((answer.status, code(&answer).as_str()), (403, "forbidden"));
    let wish = raincheck::keys::KeyWish {
        name: raincheck::core::name::KeyName::new("root").unwrap(),
        grants: raincheck::core::key::Grants::everything(),
        valid_for: None,
    };
    let made = proxy.node.create_key(&crate::harness::ns(), wish).await;
    made.unwrap().unwrap();
    assert_eq!(proxy.ask("GET", &path).send().await.status, 401);
    assert_eq!(
        redeem(&proxy, &one).await.status,
        201,
        "who has the ticket needs no key"
    );
    assert_eq!(
        proxy.ask("GET", "/free").send().await.status,
        201,
        "what passes needs none either"
    );
}

#[tokio::test]
async fn an_answer_is_redeemed_by_its_own_tag_and_in_parts() {
    let answer = |_, _| async {
        (
            [
                ("etag", "\"v1\""),
                ("cache-control", "max-age=5"),
                ("content-type", "text/plain"),
            ],
            "0123456789",
        )
            .into_response()
    };
    let service = Counting::start(answer).await;
    let proxy = Proxied::start(service.addr, ALWAYS).await;
    let check = proxy.ask("GET", "/reports/a").send().await;
    let whole = redeem(&proxy, &check).await;
    assert_eq!(
        (whole.header("etag"), whole.header("cache-control")),
        (Some("\"v1\""), Some("max-age=5"))
    );
    let (path, ticket) = ticket(&check);
    let result = format!("{path}/result?ticket={ticket}");
    let part = proxy
        .ask("GET", &result)
        .header("range", "bytes=2-4")
        .send()
        .await;
    assert_eq!(
        (part.status, part.text(), part.header("content-range")),
        (206, "234", Some("bytes 2-4/10"))
    );
    let same = proxy
        .ask("GET", &result)
        .header("if-none-match", "\"v1\"")
        .send()
        .await;
    assert_eq!(same.status, 304);
    let other = proxy
        .ask("GET", &result)
        .header("range", "bytes=2-4")
        .header("if-range", "\"v0\"")
        .send()
        .await;
    assert_eq!((other.status, other.text()), (200, "0123456789"));
    let head = proxy.ask("HEAD", &result).send().await;
    assert_eq!((head.status, head.header("content-length")), (200, Some("10")));
}

#[tokio::test]
async fn what_is_not_safe_to_repeat_is_sent_once_unless_allowed() {
    for (method, status, rule, calls, outcome) in [
        ("GET", 503, "/**=UP;mode=always", 2, "succeeded"),
        ("PUT", 502, "/**=UP;mode=always", 2, "succeeded"),
        ("POST", 503, "/**=UP;mode=always", 1, "failed"),
        ("PATCH", 503, "/**=UP;mode=always", 1, "failed"),
        (
            "POST",
            503,
            "/**=UP;mode=always;retry_unsafe=true",
            2,
            "succeeded",
        ),
        ("GET", 500, "/**=UP;mode=always", 1, "failed"),
        ("GET", 500, "/**=UP;mode=always;retry_codes=500", 2, "succeeded"),
        ("GET", 404, "/**=UP;mode=always", 1, "succeeded"),
        ("GET", 429, "/**=UP;mode=always;retry_codes=429", 2, "succeeded"),
        ("GET", 302, "/**=UP;mode=always", 1, "succeeded"),
    ] {
        let service = Counting::start(move |n, _| async move {
            let status = if n == 1 { status } else { 200 };
            (axum::http::StatusCode::from_u16(status).unwrap(), "said").into_response()
        })
        .await;
        let proxy = Proxied::start(service.addr, &[rule]).await;
        let check = proxy.ask(method, "/a").send().await;
        let result = redeem(&proxy, &check).await;
        assert_eq!(
            (service.calls(), result.outcome()),
            (calls, Some(outcome)),
            "{method} {status} {rule}"
        );
        let expected = if calls == 1 { status } else { 200 };
        assert_eq!(
            (result.status, result.text()),
            (expected, "said"),
            "{method} {status}"
        );
    }
}

#[tokio::test]
async fn a_key_of_the_client_makes_one_job_of_one_call_and_is_the_services_too() {
    let keys = Arc::new(AtomicU32::new(0));
    let seen = keys.clone();
    let service = Counting::start(move |_, request: Request| {
        let key = request
            .headers()
            .get("idempotency-key")
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        seen.fetch_add(u32::from(key == "k1"), Ordering::SeqCst);
        async { "done".into_response() }
    })
    .await;
    let proxy = Proxied::start(service.addr, ALWAYS).await;
    let ask = |path: &str, cookie: &str, body: &str| {
        let ask = proxy
            .ask("POST", path)
            .header("idempotency-key", "k1")
            .header("cookie", cookie);
        ask.body(body).send()
    };
    let one = ask("/reports/a", "me", "x").await;
    redeem(&proxy, &one).await;
    let again = ask("/reports/a", "me", "x").await;
    assert_eq!(
        (again.job(), again.header("idempotency-replayed")),
        (one.job(), Some("true"))
    );
    assert_eq!(redeem(&proxy, &again).await.text(), "done");
    let (body, path) = (
        ask("/reports/a", "me", "y").await,
        ask("/reports/b", "me", "x").await,
    );
    assert_eq!((body.status, path.status), (422, 422));
    let other = ask("/reports/a", "you", "x").await;
    assert_ne!(
        other.job(),
        one.job(),
        "one client's keys are nothing to another's"
    );
    redeem(&proxy, &other).await;
    let with_key = proxy
        .ask("POST", "/reports/a")
        .header("idempotency-key", "k1")
        .header("cookie", "me")
        .header("x-api-key", "another");
    let third = with_key.body("x").send().await;
    assert_ne!(third.job(), one.job(), "whatever tells them apart");
    redeem(&proxy, &third).await;
    assert_eq!((service.calls(), keys.load(Ordering::SeqCst)), (3, 3));
}

#[tokio::test]
async fn a_value_that_is_no_text_is_kept_octet_for_octet_both_ways() {
    let service = Counting::start(|_, request: Request| async move {
        let value = request.headers()["x-octets"].clone();
        let seen = format!("{:02x?}", value.as_bytes());
        ([("x-octets", value)], seen).into_response()
    })
    .await;
    let proxy = Proxied::start(service.addr, ALWAYS).await;
    let head = b"GET /reports/a HTTP/1.1\r\nHost: h\r\nConnection: close\r\nPrefer: wait=30\r\nX-Octets: a\xe4\xff\r\n\r\n";
    let got = proxy.exchange(head).await;
    assert!(got.contains("\nx-octets: a\u{fffd}\u{fffd}\r\n"), "{got}");
    assert!(got.ends_with("[61, e4, ff]"), "{got}");
}

#[tokio::test]
async fn what_is_too_large_for_a_job_is_refused_before_it_is_one() {
    let service = Counting::start(echo).await;
    let proxy = Proxied::start(service.addr, ALWAYS).await;
    let answer = proxy
        .ask("POST", "/reports/a")
        .body(vec![b'x'; (1 << 20) + 1])
        .send()
        .await;
    assert_eq!(
        (answer.status, code(&answer).as_str(), service.calls()),
        (413, "body-too-large", 0)
    );
}

#[tokio::test]
async fn elsewhere_than_on_the_proxys_origin_an_answer_cannot_act() {
    let service = Counting::start(echo).await;
    let proxy = Proxied::start(service.addr, ALWAYS).await;
    let check = proxy.ask("GET", "/reports/a").send().await;
    redeem(&proxy, &check).await;
    let api = raincheck::api::service(proxy.node.clone());
    let request = axum::http::Request::get(format!("/v1/jobs/{}/result", check.job()))
        .header("host", "localhost")
        .body(Body::empty())
        .unwrap();
    let answer = tower::ServiceExt::oneshot(api, request).await.unwrap();
    assert_eq!(
        answer.headers()["content-security-policy"],
        "default-src 'none'; sandbox"
    );
    assert_eq!(answer.headers()["content-disposition"], "attachment");
    assert!(!answer.headers().contains_key("location") && !answer.headers().contains_key("x-own"));
}
