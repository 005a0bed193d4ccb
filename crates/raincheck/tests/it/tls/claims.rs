//! Claims over HTTP/2 whose client goes: by giving up the stream, or with its connection, or too often.

use std::future::Future;

use http::{Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use hyper::client::conn::http2::SendRequest;
use raincheck::server::ServerOptions;
use serde_json::{Value, json};

use super::rig::{Authority, http2, http2_by_hand};
use crate::harness::Server;
use crate::pull::waiting;

const CLAIM: &str = "/v1/queues/thumbs/claim";

fn request(method: Method, path: &str, body: &str) -> Request<String> {
    let request = Request::builder()
        .method(method)
        .uri(format!("https://localhost{path}"));
    request.body(body.to_owned()).expect("a request")
}

/// Somebody who stays.
struct Other(SendRequest<String>);

impl Other {
    async fn ask(&mut self, method: Method, path: &str, body: &str) -> (StatusCode, Value) {
        let answer = self.0.send_request(request(method, path, body)).await;
        let answer = answer.expect("the server answers");
        let status = answer.status();
        let body = answer.into_body().collect().await.expect("the answer is whole");
        (
            status,
            serde_json::from_slice(&body.to_bytes()).unwrap_or_default(),
        )
    }

    async fn submit(&mut self) -> String {
        let (status, job) = self.ask(Method::POST, "/v1/queues/thumbs/jobs", "x").await;
        assert_eq!(status, 202);
        job["id"].as_str().expect("an id").to_owned()
    }

    async fn job(&mut self, id: &str) -> Value {
        self.ask(Method::GET, &format!("/v1/jobs/{id}"), "").await.1
    }

    /// Claims the only job, for the first time as far as anybody can tell.
    async fn takes(&mut self, id: &str, fence: u32) {
        let (status, claimed) = self.ask(Method::POST, CLAIM, "{}").await;
        assert_eq!(status, 200, "{claimed}");
        let lease = &claimed["leases"][0];
        let (job, attempt) = (&lease["job"]["id"], &lease["job"]["attempt"]);
        assert_eq!(
            (job, attempt, &lease["fence"]),
            (&json!(id), &json!(1), &json!(fence))
        );
    }
}

/// Runs the connection until this is over.
async fn over<T>(connection: impl Future<Output = hyper::Result<()>>, doing: impl Future<Output = T>) -> T {
    tokio::select! {
        ended = connection => panic!("the connection ended: {ended:?}"),
        done = doing => done,
    }
}

async fn server(authority: &Authority) -> (Server, Other) {
    let server = super::server(authority, ServerOptions::default()).await;
    let (client, _) = http2(server.addr, authority).await;
    (server, Other(client))
}

#[tokio::test]
async fn a_claim_that_waits_over_http_2_is_given_up_with_its_stream_or_its_connection() {
    let authority = Authority::new();
    let (server, mut other) = server(&authority).await;
    for stream_only in [true, false] {
        let (mut client, connection) = http2_by_hand(server.addr, &authority, None).await;
        let mut connection = Box::pin(connection);
        let mut claim =
            Box::pin(client.send_request(request(Method::POST, &format!("{CLAIM}?wait=60"), "{}")));
        let waits = async {
            tokio::select! {
                answer = &mut claim => panic!("nothing is there: {answer:?}"),
                () = waiting(&server, 1) => {}
            }
        };
        over(&mut connection, waits).await;
        if stream_only {
            drop(claim);
            over(&mut connection, waiting(&server, 0)).await;
        } else {
            drop((claim, connection));
            waiting(&server, 0).await;
        }
        let id = other.submit().await;
        assert_eq!(other.job(&id).await["version"], 1, "nobody took it");
        other.takes(&id, 1).await;
    }
}

#[tokio::test]
async fn leases_whose_answer_was_not_taken_over_http_2_are_given_back() {
    let authority = Authority::new();
    let (server, mut other) = server(&authority).await;
    for stream_only in [true, false] {
        let id = other.submit().await;
        // No byte of a body fits through, so that the answer's head comes and its leases do not.
        let (mut client, connection) = http2_by_hand(server.addr, &authority, Some(0)).await;
        let mut connection = Box::pin(connection);
        let answer = over(
            &mut connection,
            client.send_request(request(Method::POST, CLAIM, "{}")),
        )
        .await;
        let answer = answer.expect("the head comes");
        assert_eq!(answer.status(), 200);
        assert_eq!(other.job(&id).await["state"], "running");
        let back = async {
            loop {
                let job = other.job(&id).await;
                if job["state"] == "queued" {
                    break job;
                }
            }
        };
        let job = if stream_only {
            drop(answer);
            over(&mut connection, back).await
        } else {
            drop((answer, connection));
            back.await
        };
        assert_eq!(
            (&job["attempt"], &job["attempts"][0]["outcome"]),
            (&json!(0), &json!("released"))
        );
        other.takes(&id, 2).await;
    }
}

#[tokio::test]
async fn who_gives_up_most_of_what_they_ask_for_still_gets_what_they_wait_for() {
    let authority = Authority::new();
    let (server, mut other) = server(&authority).await;
    let (mut client, _connection) = http2(server.addr, &authority).await;
    let waits = || request(Method::POST, &format!("{CLAIM}?wait=60"), "{}");
    let mut claim = Box::pin(client.clone().send_request(waits()));
    let given_up = async {
        for n in 0_u32.. {
            let mut again = Box::pin(client.send_request(waits()));
            tokio::select! {
                answer = &mut again => return (n, answer),
                () = waiting(&server, 2) => {}
            }
            drop(again);
            waiting(&server, 1).await;
        }
        unreachable!("it has no end");
    };
    let (n, refused) = tokio::select! {
        answer = &mut claim => panic!("nothing is there: {answer:?}"),
        refused = given_up => refused,
    };
    assert!(refused.is_err() && n > 100, "{n}: {refused:?}");
    let id = other.submit().await;
    let answer = claim.await.expect("it is answered all the same");
    let body = answer
        .into_body()
        .collect()
        .await
        .expect("it is whole")
        .to_bytes();
    let claimed: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(claimed["leases"][0]["job"]["id"], json!(id));
}
