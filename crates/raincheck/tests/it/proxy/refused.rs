//! What does not pass: the ambiguous, what goes in circles, and what is for the proxy's own API.

use std::time::Duration;

use super::{Counting, Played, Proxied, Side, code};
use axum::response::IntoResponse as _;
use tokio::io::AsyncWriteExt as _;

const ALL: &str = "/**=UP;mode=never";

#[tokio::test]
async fn what_another_could_read_otherwise_never_reaches_the_service() {
    let service = Played::start().await;
    let proxy = Proxied::start(service.addr, &[ALL]).await;
    for request in [
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nab",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2, 2\r\n\r\nab",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +2\r\n\r\nab",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nX-A: 1\r\n folded: 2\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nX-A: 1\rX-B: 2\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nX-A: 1\0\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost:\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: user@h\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h/x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h:a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n",
        "GET http://evil.example/ HTTP/1.1\r\nHost: h\r\n\r\n",
        "CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n",
    ] {
        let request = request.to_owned() + "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n";
        let got = proxy.exchange(request.as_bytes()).await;
        assert!(
            got.starts_with("HTTP/1.1 400 ") || got.starts_with("HTTP/1.0 400 "),
            "{request:?}: {got}"
        );
        assert!(service.is_alone().await, "{request:?}");
    }
}

#[tokio::test]
async fn what_is_without_measure_is_refused_whatever_becomes_of_it() {
    let service = Played::start().await;
    let proxy = Proxied::start(service.addr, &["/a/**=UP;mode=always", ALL]).await;
    for path in ["/", "/a/b"] {
        let target = format!("{path}?{}", "x".repeat(9_000));
        assert_eq!(proxy.ask("GET", &target).send().await.status, 414, "{path}");
        let large = proxy.ask("GET", path).header("cookie", &"x".repeat(33_000));
        assert_eq!(large.send().await.status, 431, "{path}");
    }
    assert!(service.is_alone().await);
}

#[tokio::test]
async fn of_two_framings_the_service_sees_the_one_that_counted() {
    let service = Played::start().await;
    let proxy = Proxied::start(service.addr, &[ALL]).await;
    let request = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n\
                   GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n";
    let serving = async {
        let mut side = service.accept().await;
        let heard = side.until("0\r\n\r\n").await;
        side.say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
        (heard, side.finish().await)
    };
    let ((heard, more), got) = tokio::join!(serving, proxy.exchange(request.as_bytes()));
    assert!(
        !heard.contains("content-length") && heard.contains("transfer-encoding: chunked"),
        "{heard}"
    );
    assert!(!more.contains("smuggled"), "{more}");
    assert_eq!(got.matches("HTTP/1.1 ").count(), 1, "{got}");
}

#[tokio::test]
async fn no_way_of_writing_its_path_reaches_the_api_of_a_service_behind() {
    let service = Counting::start(|_, _| async { "there".into_response() }).await;
    let proxy = Proxied::start(service.addr, &[ALL]).await;
    for path in [
        "/%5Fraincheck/v1/jobs",
        "//_raincheck/v1",
        "/a/../_raincheck/v1",
        "/a%2f..%2f_raincheck",
        "/_RAINCHECK/v1",
    ] {
        let answer = proxy.ask("GET", path).send().await;
        assert_eq!(
            (answer.status, code(&answer).as_str()),
            (400, "bad-request"),
            "{path}"
        );
    }
    let own = proxy.ask("GET", "/_raincheck/healthz").send().await;
    assert_eq!((own.status, service.calls()), (200, 0));
    assert_eq!(proxy.ask("GET", "/_raincheck/nowhere").send().await.status, 404);
    assert_eq!(
        proxy.ask("GET", "/v1/jobs").send().await.text(),
        "there",
        "the top is the service's"
    );
}

#[tokio::test]
async fn what_comes_back_goes_no_further_round() {
    let service = Played::start().await;
    let proxy = Proxied::start(service.addr, &[ALL]).await;
    let serving = async {
        let mut side = service.accept().await;
        let heard = side.until("\r\n\r\n").await;
        side.say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
        heard
    };
    let (heard, _) = tokio::join!(serving, proxy.ask("GET", "/").send());
    let via = heard.lines().find_map(|line| line.strip_prefix("via: ")).unwrap();
    let answer = proxy.ask("GET", "/").header("via", via).send().await;
    assert_eq!((answer.status, code(&answer).as_str()), (508, "loop-detected"));
    let other = proxy.ask("OPTIONS", "/").header("max-forwards", "0").send().await;
    assert_eq!(other.status, 204);
    assert_eq!(
        proxy
            .ask("TRACE", "/")
            .header("max-forwards", "0")
            .send()
            .await
            .status,
        405
    );
}

#[tokio::test]
async fn a_service_that_is_not_there_or_does_not_answer_is_told_as_a_problem() {
    let gone = Played::start().await.addr;
    let proxy = Proxied::start(gone, &[ALL]).await;
    let answer = proxy.ask("GET", "/").send().await;
    assert_eq!(
        (answer.status, code(&answer).as_str()),
        (502, "handler-unreachable")
    );
    let silent = Played::start().await;
    let proxy = Proxied::hasty(silent.addr, &[ALL], Duration::from_millis(100)).await;
    let answer = proxy.ask("GET", "/").send().await;
    assert_eq!((answer.status, code(&answer).as_str()), (504, "upstream-timeout"));
    let mut call = silent.accept().await;
    call.until("\r\n\r\n").await;
    assert!(call.ended().await, "the call is given up");
}

#[tokio::test]
async fn what_the_proxy_answers_itself_has_an_id() {
    let service = Counting::start(|_, _| async { "wet".into_response() }).await;
    let rules = ["/never/**=UP;mode=never", "/jobs/**=UP;mode=always"];
    let proxy = Proxied::start(service.addr, &rules).await;
    let own = proxy.ask("TRACE", "/never/x").header("max-forwards", "0");
    let taken = proxy.ask("POST", "/jobs/x").body("x");
    for (ask, status) in [(taken, 202), (own, 405)] {
        let answer = ask.header("x-request-id", "mine").send().await;
        let id = (status == 202).then_some("mine");
        assert_eq!((answer.status, answer.header("x-request-id")), (status, id));
    }
    let twice = "POST /never/x HTTP/1.1\r\nHost: h\r\nX-Request-Id: ours\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx";
    let got = proxy.exchange(twice.as_bytes()).await;
    assert!(
        got.contains("x-request-id: ours\r\n") && got.contains(r#""request_id":"ours""#),
        "{got}"
    );
    let unfit = proxy
        .ask("GET", "/%5fraincheck/v1")
        .header("x-request-id", "a b")
        .send()
        .await;
    let id = unfit.header("x-request-id").unwrap().to_owned();
    assert_eq!(
        (unfit.status, unfit.json()["request_id"].as_str()),
        (400, Some(id.as_str()))
    );
    assert!(!id.is_empty() && id != "a b");
    let no_request = proxy
        .exchange(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +2\r\n\r\nab")
        .await;
    assert!(
        no_request.contains(r#""type":"/_raincheck/problems/bad-request""#),
        "{no_request}"
    );
    let passed = proxy
        .ask("GET", "/never/x")
        .header("x-request-id", "mine")
        .send()
        .await;
    assert_eq!(
        (passed.status, passed.header("x-request-id")),
        (200, None),
        "that is the service's"
    );
}

#[tokio::test]
async fn a_client_that_breaks_off_is_counted_as_such_and_not_as_the_service_s_failure() {
    let service = Played::start().await;
    for (rule, path) in [(ALL, "/"), ("/**=UP;mode=prefer;after=60s", "/late")] {
        let proxy = Proxied::start(service.addr, &[rule]).await;
        let mut client = Side::connect(proxy.addr).await;
        let head = format!("POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nwets");
        client.say(&head).await;
        let mut side = service.accept().await;
        side.until("wets").await;
        // It only closes its own side, so it hears what is said to it.
        let told = client.finish().await;
        assert!(
            told.starts_with("HTTP/1.1 400 ") && told.contains("broke off"),
            "{told}"
        );
        assert!(side.ended().await);
        let shown = proxy.ask("GET", "/_raincheck/metrics").send().await;
        let counted = |mode: &str, code: u16| {
            let sample =
                format!("raincheck_proxy_requests_total{{route=\"/**\",mode=\"{mode}\",code=\"{code}\"}}");
            shown.text().contains(&sample)
        };
        assert!(
            counted("gone", 499) && !counted("refused", 502),
            "{}",
            shown.text()
        );
    }
}

#[tokio::test]
async fn the_head_of_a_service_s_answer_has_a_measure() {
    let fields = |count: usize| "X-A: b\r\n".repeat(count);
    for (more, status) in [
        (fields(98), 200),
        (fields(101), 502),
        (format!("X-A: {}\r\n", "b".repeat(60_000)), 200),
        (format!("X-A: {}\r\n", "b".repeat(300_000)), 502),
    ] {
        let service = Played::start().await;
        let proxy = Proxied::start(service.addr, &[ALL]).await;
        let serving = async {
            let mut side = service.accept().await;
            side.until("\r\n\r\n").await;
            let said = format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n{more}\r\n");
            // It may be given up before all of it is said.
            let _ = side.0.write_all(said.as_bytes()).await;
            side
        };
        let request = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
        let (answer, _side) = tokio::join!(proxy.exchange(request), serving);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{} fields: {:?}",
            more.len(),
            answer.get(..200)
        );
    }
}

#[tokio::test]
async fn a_service_that_breaks_off_is_no_answer() {
    for (said, status) in [
        ("", 502),
        ("HTTP/1.1 200 OK\r\nContent-Le", 502),
        ("rain\r\n\r\n", 502),
    ] {
        let service = Played::start().await;
        let proxy = Proxied::start(service.addr, &[ALL]).await;
        let serving = async {
            let mut side = service.accept().await;
            side.until("\r\n\r\n").await;
            side.say(said).await;
            side.finish().await;
        };
        let (answer, ()) = tokio::join!(proxy.ask("POST", "/").send(), serving);
        assert_eq!(answer.status, status, "{said:?}");
    }
}
