//! Calls that a client repeats under a key of its own: the service hears one.

use super::jobs::redeem;
use super::{Played, Proxied, Side, code};
use crate::client::Answer;

const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nwets";

/// A call under the key `k` of this client.
async fn call(proxy: &Proxied, client: &str, prefer: &str, body: &str) -> Answer {
    let mut ask = proxy
        .ask("POST", "/slow")
        .header("idempotency-key", "k")
        .header("cookie", client);
    if !prefer.is_empty() {
        ask = ask.header("prefer", prefer);
    }
    ask.body(body).send().await
}

/// The next call that the service hears.
async fn heard(service: &Played) -> Side {
    let mut side = service.accept().await;
    side.until("\r\n\r\nrain").await;
    side
}

#[tokio::test]
async fn a_repeat_of_a_call_that_became_a_job_is_answered_by_it() {
    let service = Played::start().await;
    let proxy = Proxied::start(service.addr, &["/**=UP;after=50ms"]).await;
    let (mut side, first) = tokio::join!(heard(&service), call(&proxy, "me", "", "rain"));
    for prefer in ["", "wait=1", "respond-async"] {
        let again = call(&proxy, "me", prefer, "rain").await;
        assert_eq!(
            (again.status, again.job(), again.header("idempotency-replayed")),
            (202, first.job(), Some("true")),
            "{prefer:?}"
        );
    }
    let other = call(&proxy, "me", "", "snow").await;
    assert_eq!(
        (other.status, code(&other).as_str()),
        (422, "idempotency-mismatch")
    );
    side.say(ANSWER).await;
    assert_eq!(redeem(&proxy, &first).await.text(), "wets");
    let again = call(&proxy, "me", "wait=30", "rain").await;
    assert_eq!((again.job(), again.text()), (first.job(), "wets"));
    assert!(service.is_alone().await, "it heard one call");
    let (_side, other) = tokio::join!(heard(&service), call(&proxy, "you", "", "rain"));
    assert_ne!(
        other.job(),
        first.job(),
        "one client's keys are nothing to another's"
    );
}

#[tokio::test]
async fn a_repeat_of_a_call_that_was_a_job_from_the_start_is_answered_by_it_though_it_would_pass() {
    let service = Played::start().await;
    let proxy = Proxied::start(service.addr, &["/**=UP;after=30s"]).await;
    let first = call(&proxy, "me", "respond-async", "rain").await;
    let mut side = heard(&service).await;
    let again = call(&proxy, "me", "", "rain").await;
    assert_eq!((again.status, again.job()), (202, first.job()));
    side.say(ANSWER).await;
    assert_eq!(redeem(&proxy, &first).await.text(), "wets");
    assert!(service.is_alone().await, "it heard one call");
}

#[tokio::test]
async fn a_repeat_of_a_call_under_way_waits_until_it_is_known_whether_that_is_a_job() {
    let service = Played::start().await;
    let proxy = Proxied::start(service.addr, &["/**=UP;mode=prefer"]).await;
    let first = call(&proxy, "me", "wait=1", "rain");
    let second = async {
        let side = heard(&service).await;
        (side, call(&proxy, "me", "respond-async", "rain").await)
    };
    let (first, (mut side, second)) = tokio::join!(first, second);
    assert_eq!((second.status, second.job()), (202, first.job()));
    side.say(ANSWER).await;
    assert_eq!(redeem(&proxy, &second).await.text(), "wets");
    assert!(service.is_alone().await, "it heard one call");
}

#[tokio::test]
async fn a_repeat_of_a_call_that_was_answered_in_time_is_a_call_of_its_own_after_it() {
    let service = Played::start().await;
    let proxy = Proxied::start(service.addr, &["/**=UP;after=30s"]).await;
    let calls = async {
        tokio::join!(
            call(&proxy, "me", "", "rain"),
            call(&proxy, "me", "", "rain"),
            call(&proxy, "you", "", "rain")
        )
    };
    let serving = async {
        // Two clients' at the same time, and of one of them the second only after the first.
        let (mut one, mut two) = (heard(&service).await, heard(&service).await);
        assert!(service.is_alone().await);
        one.say(ANSWER).await;
        two.say(ANSWER).await;
        heard(&service).await.say(ANSWER).await;
    };
    let ((one, two, three), ()) = tokio::join!(calls, serving);
    for answer in [one, two, three] {
        assert_eq!((answer.status, answer.text()), (200, "wets"));
    }
}
