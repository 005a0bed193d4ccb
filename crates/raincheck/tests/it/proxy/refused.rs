//! What does not pass: the ambiguous, what goes in circles, and what is for the proxy's own API.

use std::time::Duration;

use super::{Counting, Played, Proxied, code};
use axum::response::IntoResponse as _;

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
    assert_eq!((answer.status, code(&answer).as_str()), (504, "timed-out"));
    let mut call = silent.accept().await;
    call.until("\r\n\r\n").await;
    assert!(call.ended().await, "the call is given up");
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
