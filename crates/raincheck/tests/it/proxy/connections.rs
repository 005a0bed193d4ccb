//! Connections to a service are kept, and what becomes of a call that meets one which has closed.

use super::{Played, Proxied, Side};

const ALL: &str = "/**=UP;mode=never";

#[tokio::test]
async fn a_call_that_meets_a_connection_that_closes_is_sent_once_more_where_that_is_safe() {
    let service = Played::start().await;
    let proxy = Proxied::start(service.addr, &[ALL]).await;
    let serving = async {
        let mut heard = Vec::new();
        let mut side = service.accept().await;
        side.until("\r\n\r\n").await;
        side.say("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1").await;
        for answer in ["", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n2", "", ""] {
            let head = side.until("\r\n\r\n").await;
            heard.push(head.split(' ').next().unwrap().to_owned());
            if answer.is_empty() {
                drop(side);
                if heard.len() == 4 {
                    break;
                }
                side = service.accept().await;
            } else {
                side.say(answer).await;
            }
        }
        heard
    };
    let asking = async {
        let mut got = Vec::new();
        for method in ["GET", "GET", "POST", "POST"] {
            let answer = proxy.ask(method, "/").send().await;
            got.push((answer.status, answer.text().len()));
        }
        got
    };
    let (heard, got) = tokio::join!(serving, asking);
    assert_eq!(
        heard,
        ["GET", "GET", "POST", "POST"],
        "two for the second GET, one for each POST"
    );
    assert_eq!(&got[..2], [(200, 1), (200, 1)]);
    assert!(got[2..].iter().all(|(status, _)| *status == 502), "{got:?}");
}

#[tokio::test]
async fn a_call_that_met_a_connection_that_closes_is_sent_again_on_a_new_one() {
    const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let service = Played::start().await;
    let proxy = Proxied::start(service.addr, &[ALL]).await;
    let (mut first, mut second) = (Side::connect(proxy.addr).await, Side::connect(proxy.addr).await);
    for client in [&mut first, &mut second] {
        client.say("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    }
    // Two calls at once leave two connections, of which the second one is taken next.
    let (mut older, mut newer) = (service.accept().await, service.accept().await);
    for side in [&mut older, &mut newer] {
        side.until("\r\n\r\n").await;
    }
    older.say(OK).await;
    tokio::select! { _ = first.until("ok") => {}, _ = second.until("ok") => std::mem::swap(&mut first, &mut second) }
    newer.say(OK).await;
    second.until("ok").await;
    first.say("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    newer.until("\r\n\r\n").await;
    drop(newer);
    assert!(
        older.ended().await,
        "what was left longer than one that closed is not used"
    );
    let mut anew = service.accept().await;
    anew.until("\r\n\r\n").await;
    anew.say(OK).await;
    first.until("ok").await;
}

#[tokio::test]
async fn a_call_that_a_new_connection_did_not_survive_is_not_sent_again() {
    let service = Played::start().await;
    let proxy = Proxied::start(service.addr, &[ALL]).await;
    let (answer, ()) = tokio::join!(proxy.ask("DELETE", "/").send(), async {
        let mut side = service.accept().await;
        side.until("\r\n\r\n").await;
    });
    assert_eq!(answer.status, 502);
    // The next connection is the next call's.
    let (_, head) = tokio::join!(proxy.ask("GET", "/next").send(), async {
        service.accept().await.until("\r\n\r\n").await
    });
    assert!(head.starts_with("GET /next "), "{head}");
}

#[tokio::test]
async fn connections_to_the_service_are_used_again() {
    let service = Played::start().await;
    let proxy = Proxied::start(service.addr, &[ALL]).await;
    let mut client = Side::connect(proxy.addr).await;
    client.say("GET /1 HTTP/1.1\r\nHost: h\r\n\r\n").await;
    let mut side = service.accept().await;
    for n in 1..=3 {
        let heard = side.until("\r\n\r\n").await;
        assert!(heard.starts_with(&format!("GET /{n} ")), "{heard}");
        side.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        client.until("ok").await;
        client
            .say(&format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", n + 1))
            .await;
    }
}
