//! Clients of HTTP/2 in front of a service that speaks HTTP/1.1.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::http::{HeaderMap, HeaderValue, Request, Response};
use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::client::conn::http2::SendRequest;
use raincheck::server::{Exposed, Tls};
use tokio::sync::oneshot;

use super::{Played, Proxied, Setup};
use crate::tls::rig::{Authority, http2};

type Content = UnsyncBoxBody<Bytes, Infallible>;

/// A proxy over TLS, and a client of it.
struct Fronted {
    service: Played,
    proxy: Proxied,
    client: SendRequest<Content>,
    _connection: oneshot::Receiver<()>,
    _authority: Authority,
}

impl Fronted {
    async fn start(rule: &str) -> Self {
        let (authority, service) = (Authority::new(), Played::start().await);
        let setup = Setup {
            tls: Some(Tls::open(&authority.cert(), &authority.key()).unwrap()),
            exposed: Some(Exposed::default()),
            ..Setup::default()
        };
        let proxy = Proxied::with(setup, &format!("http://{}", service.addr), &[rule]).await;
        let (client, connection) = http2(proxy.addr, &authority).await;
        Self {
            service,
            proxy,
            client,
            _connection: connection,
            _authority: authority,
        }
    }

    /// What the service hears until `end` of this request, and what the client gets for its answer.
    async fn exchange(
        &mut self,
        request: Request<Content>,
        end: &str,
        answer: &str,
    ) -> (String, Response<Incoming>) {
        let serving = async {
            let mut side = self.service.accept().await;
            let heard = side.until(end).await;
            side.say(answer).await;
            heard
        };
        let (heard, got) = tokio::join!(serving, self.client.send_request(request));
        (heard, got.unwrap())
    }
}

/// A body that does not know how long it is.
struct Frames(VecDeque<Frame<Bytes>>);

impl Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(Ok))
    }
}

fn empty() -> Content {
    Empty::new().boxed_unsync()
}

#[tokio::test]
async fn what_http_2_says_in_its_own_way_is_said_in_that_of_http_1_1() {
    let mut fronted = Fronted::start("/**=UP;mode=never").await;
    let request = Request::get("https://shop.example/a%2Fb?c")
        .header("cookie", "a=1")
        .header("cookie", "b=2; c=3")
        .header("te", "trailers")
        .header("x-forwarded-for", "1.1.1.1")
        .body(empty())
        .unwrap();
    let answer = "HTTP/1.1 200 OK\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\
                  Trailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nwets\r\n0\r\nX-Sum: 7\r\n\r\n";
    let (heard, got) = fronted.exchange(request, "\r\n\r\n", answer).await;
    assert!(heard.starts_with("GET /a%2Fb?c HTTP/1.1\r\n"), "{heard}");
    for line in [
        "host: shop.example\r\n",
        "cookie: a=1; b=2; c=3\r\n",
        "te: trailers\r\n",
        "connection: te\r\n",
        "via: 2 raincheck-",
        "x-forwarded-for: 127.0.0.1\r\n",
        "x-forwarded-host: shop.example\r\n",
        "x-forwarded-proto: https\r\n",
    ] {
        let line = format!("\r\n{line}");
        assert_eq!(heard.matches(&line).count(), 1, "{line:?} in {heard}");
    }
    assert!(
        !heard.contains("transfer-encoding") && !heard.contains("content-length"),
        "{heard}"
    );
    assert_eq!(got.status(), 200);
    assert_eq!(got.headers().get_all("set-cookie").iter().count(), 2);
    for name in ["connection", "keep-alive", "x-hop", "transfer-encoding"] {
        assert!(!got.headers().contains_key(name), "{name}");
    }
    let body = got.into_body().collect().await.unwrap();
    let sum = body
        .trailers()
        .and_then(|trailers| trailers.get("x-sum"))
        .cloned();
    assert_eq!(
        (sum, body.to_bytes()),
        (Some(HeaderValue::from_static("7")), Bytes::from("wets"))
    );
}

#[tokio::test]
async fn a_body_that_says_no_length_is_sent_in_chunks_and_its_trailers_after_it() {
    let mut fronted = Fronted::start("/**=UP;mode=never").await;
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", HeaderValue::from_static("7"));
    let frames = [Frame::data(Bytes::from("rain")), Frame::trailers(trailers)];
    let body = Frames(frames.into()).boxed_unsync();
    let request = Request::post("https://shop.example/a").header("trailer", "x-sum");
    let answer = "HTTP/1.1 204 No Content\r\n\r\n";
    let request = request.body(body).unwrap();
    let (heard, got) = fronted
        .exchange(request, "\r\n0\r\nx-sum: 7\r\n\r\n", answer)
        .await;
    assert!(heard.contains("transfer-encoding: chunked\r\n"), "{heard}");
    assert_eq!(got.status(), 204);
    let body = Full::new(Bytes::from("rain")).boxed_unsync();
    let request = Request::put("https://shop.example/a").header("content-length", "4");
    let (heard, _) = fronted
        .exchange(request.body(body).unwrap(), "\r\n\r\nrain", answer)
        .await;
    assert!(heard.contains("content-length: 4\r\n"), "{heard}");
}

#[tokio::test]
async fn no_tunnel_is_made_over_http_2() {
    let mut fronted = Fronted::start("/**=UP;mode=never").await;
    let plain = Request::connect("shop.example:443").body(empty()).unwrap();
    assert_eq!(fronted.client.send_request(plain).await.unwrap().status(), 400);
    let mut extended = Request::connect("https://shop.example/chat")
        .body(empty())
        .unwrap();
    let websocket = hyper::ext::Protocol::from_static("websocket");
    extended.extensions_mut().insert(websocket);
    let refused = fronted.client.send_request(extended).await;
    // The server never said that it takes these: RFC 8441 makes it an error of the stream.
    assert!(refused.is_err(), "{refused:?}");
    let fine = Request::get("https://shop.example/a").body(empty()).unwrap();
    let (_, got) = fronted
        .exchange(fine, "\r\n\r\n", "HTTP/1.1 204 No Content\r\n\r\n")
        .await;
    assert_eq!(
        got.status(),
        204,
        "the connection goes on, and this was the first call"
    );
}

#[tokio::test]
async fn a_call_over_http_2_becomes_a_job_like_any_other() {
    let mut fronted = Fronted::start("/**=UP;mode=always").await;
    let request = Request::post("https://shop.example/a")
        .header("cookie", "a=1")
        .header("cookie", "b=2")
        .body(Full::new(Bytes::from("rain")).boxed_unsync());
    let (heard, got) = fronted
        .exchange(
            request.unwrap(),
            "\r\n\r\nrain",
            "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nwets",
        )
        .await;
    for line in [
        "host: shop.example\r\n",
        "cookie: a=1; b=2\r\n",
        "content-length: 4\r\n",
    ] {
        assert!(heard.contains(line), "{line:?} in {heard}");
    }
    assert_eq!(got.status(), 202);
    let location = got.headers()["location"].to_str().unwrap();
    let (path, ticket) = location.split_once('?').unwrap();
    let result = format!("https://{}{path}/result?{ticket}&wait=30", fronted.proxy.addr);
    let request = Request::get(result).body(empty()).unwrap();
    let result = fronted.client.send_request(request).await.unwrap();
    assert_eq!(result.into_body().collect().await.unwrap().to_bytes(), "wets");
}
