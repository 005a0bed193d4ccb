//! Answers that are lost, workers that go silent, and jobs that are cancelled under them.

use super::{CLAIM, claim, document, leases, one, path, say, settings, stands, waiting};
use crate::client::Line;
use crate::harness::{Server, Setup};
use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response};
use raincheck::api::{ApiOptions, service_with};
use raincheck::core::clock::ManualClock;
use raincheck::server::{OnlyToThePresent, Presence, ServerOptions, serve};
use serde_json::json;
use std::convert::Infallible;
use std::future::Future as _;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

#[tokio::test]
async fn an_answer_nobody_took_gives_the_attempt_back() {
    let server = Server::start().await;
    let id = server.submit("x").await;
    let app = service_with(server.node.clone(), ApiOptions::default());
    let request = || {
        let request = Request::post(CLAIM).header("host", "localhost");
        request.body(Body::from(r#"{"claim_id":"c"}"#)).unwrap()
    };
    // The answer was made, but not written.
    let answer = app.clone().oneshot(request()).await.unwrap();
    assert_eq!(answer.status(), 200);
    drop(answer);
    let job = stands(&server, &id, "queued").await;
    assert_eq!(
        (&job["attempt"], &job["attempts"][0]["outcome"]),
        (&json!(0), &json!("released"))
    );
    // The client went away while the claim was on its way to the disk.
    {
        let mut answering = pin!(app.oneshot(request()));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(matches!(answering.as_mut().poll(&mut cx), Poll::Pending));
    }
    while document(&server, &id).await["attempts"].as_array().unwrap().len() < 2 {
        tokio::task::yield_now().await;
    }
    let job = stands(&server, &id, "queued").await;
    assert_eq!(job["attempt"], 0);
    assert_eq!(claim(&server, "w", 1).await[0]["fence"], 3);
}

#[tokio::test]
async fn what_was_handed_out_is_dropped_once_its_client_has_left() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (dropped, mut is_dropped) = mpsc::channel(1);
    let service = tower::service_fn(move |request: Request<raincheck::server::Upload>| {
        let dropped = dropped.clone();
        async move {
            let presence = request.extensions().get::<Presence>().cloned().unwrap();
            presence.left().await;
            assert!(presence.has_left());
            let mut answer = Response::new(Handed(dropped, false));
            answer.extensions_mut().insert(OnlyToThePresent);
            Ok::<_, Infallible>(answer)
        }
    });
    let stop = CancellationToken::new();
    let options = ServerOptions {
        gone_time: Duration::from_millis(1),
        ..ServerOptions::default()
    };
    let mut serving = pin!(serve(vec![listener.into()], service, options, stop.clone()));
    let mut line = None;
    let ended = async {
        line.insert(Line::open(addr).await)
            .send(b"GET /?wait=60 HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .await;
        line = None;
        is_dropped.recv().await
    };
    tokio::select! {
        _ = &mut serving => panic!("it stopped"),
        ended = ended => assert_eq!(ended, Some(false), "it was dropped unread"),
    }
}

/// A body that says in the end whether it was read.
struct Handed(mpsc::Sender<bool>, bool);

impl http_body::Body for Handed {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        self.1 = true;
        Poll::Ready(None)
    }
}

impl Drop for Handed {
    fn drop(&mut self) {
        let _ = self.0.try_send(self.1);
    }
}

#[tokio::test]
async fn a_worker_that_went_away_is_not_waited_for() {
    let server = Server::with(Setup {
        server: ServerOptions {
            gone_time: Duration::from_secs(3600),
            ..ServerOptions::default()
        },
        ..Setup::default()
    })
    .await;
    let mut gone = Line::open(server.addr).await;
    gone.send(b"POST /v1/queues/thumbs/claim?wait=60 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    waiting(&server, 1).await;
    drop(gone);
    waiting(&server, 0).await;
    let id = server.submit("x").await;
    assert_eq!(document(&server, &id).await["version"], 1, "nobody took it");
    let leases = claim(&server, "w", 1).await;
    assert_eq!(
        (
            &leases[0]["job"]["id"],
            &leases[0]["job"]["attempt"],
            &leases[0]["fence"]
        ),
        (&json!(id), &json!(1), &json!(1))
    );
}

#[tokio::test]
async fn a_stopped_workers_late_result_is_refused() {
    let clock = Arc::new(ManualClock::default());
    let server = Server::with(Setup {
        clock: Some(clock.clone()),
        ..Setup::default()
    })
    .await;
    settings(&server, |spec| spec.backoff = "constant;base=1ms".parse().ok()).await;
    let id = server.submit("x").await;
    let ask = json!({"worker": "zombie", "lease_for": "1s"});
    let zombie = path(&leases(&say(&server, CLAIM, &ask).await)[0]);
    clock.advance(Duration::from_secs(2));
    // Lapsed is not over: until somebody reclaims it, it can be renewed.
    let renewed = server.post(&format!("{zombie}/renew")).send().await;
    assert!(renewed.status == 200 || renewed.code() == "lease-lost");
    clock.advance(Duration::from_secs(2));
    server.store().reclaim(10, 0).await.unwrap();
    clock.advance(Duration::from_secs(2));
    let (second, lease) = loop {
        if let Some(lease) = claim(&server, "second", 1).await.pop() {
            break (path(&lease), lease);
        }
    };
    assert_eq!(
        (&lease["fence"], &lease["job"]["attempt"]),
        (&json!(2), &json!(2))
    );
    let succeed =
        |lease: &str, body: &'static str| server.post(&format!("{lease}/succeed")).body(body).send();
    for during in [true, false] {
        let late = succeed(&zombie, "late").await;
        assert_eq!((late.status, late.code()), (409, "lease-lost".to_owned()));
        assert_eq!(late.outcome(), Some(if during { "pending" } else { "succeeded" }));
        for verb in ["renew", "fail", "release"] {
            let answer = server.post(&format!("{zombie}/{verb}")).send().await;
            assert_eq!((answer.status, answer.code()), (409, "lease-lost".to_owned()));
        }
        assert_eq!(succeed(&second, "right").await.status, 200);
    }
    let result = server.get(&format!("/v1/jobs/{id}/result")).send().await;
    assert_eq!(result.text(), "right");
    assert_eq!(
        document(&server, &id).await["attempts"][0]["outcome"],
        "lease_lost"
    );
}

#[tokio::test]
async fn a_cancel_request_is_told_by_renewal_and_success_still_wins() {
    let server = Server::start().await;
    let cancel = async |id: &str| server.post(&format!("/v1/jobs/{id}/cancel")).send().await;
    let id = server.submit("x").await;
    let (lease, _) = one(&server).await;
    assert_eq!(cancel(&id).await.status, 202);
    let renewed = server.post(&format!("{lease}/renew")).send().await;
    assert_eq!(renewed.json()["cancel_requested"], true);
    let answer = server.post(&format!("{lease}/succeed")).body("done").send().await;
    assert_eq!(answer.outcome(), Some("succeeded"));
    for verb in ["fail", "release"] {
        let id = server.submit("x").await;
        let (lease, _) = one(&server).await;
        cancel(&id).await;
        let answer = server.post(&format!("{lease}/{verb}")).send().await;
        assert_eq!(
            (answer.status, answer.outcome()),
            (200, Some("cancelled")),
            "{verb}"
        );
    }
}

#[tokio::test]
async fn a_lease_is_over_when_the_grace_after_a_cancel_request_is() {
    let clock = Arc::new(ManualClock::default());
    let server = Server::with(Setup {
        clock: Some(clock.clone()),
        ..Setup::default()
    })
    .await;
    let id = server.submit("x").await;
    let ask = json!({"worker": "w", "lease_for": "4m"});
    let lease = path(&leases(&say(&server, CLAIM, &ask).await)[0]);
    server.post(&format!("/v1/jobs/{id}/cancel")).send().await;
    let renewed = server.post(&format!("{lease}/renew")).send().await;
    assert_eq!(renewed.json()["expires_in"], "30s", "the grace, not the term");
    clock.advance(Duration::from_secs(31));
    server.store().reclaim(10, 0).await.unwrap();
    let answer = server.post(&format!("{lease}/succeed")).body("late").send().await;
    assert_eq!(
        (answer.code(), answer.outcome()),
        ("lease-lost".to_owned(), Some("cancelled"))
    );
}
