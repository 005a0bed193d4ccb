//! Tickets: links by which one job is read and cancelled without a key.

use std::sync::Arc;
use std::time::Duration;

use raincheck::core::clock::ManualClock;
use serde_json::{Value, json};

use crate::client::{Answer, Ask};
use crate::harness::{Server, Setup, success};

fn ticketed(server: &Server) -> Ask {
    server
        .post("/v1/queues/thumbs/jobs")
        .header("raincheck-ticket", "1h")
}

/// A URL of the answer's document.
fn url(document: &Value, name: &str) -> String {
    document["urls"][name].as_str().unwrap().to_owned()
}

fn refused(answer: &Answer) -> String {
    assert_eq!((answer.status, answer.code().as_str()), (403, "forbidden"));
    answer.json()["detail"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_ticket_reads_redeems_and_cancels_its_job() {
    let server = Server::start().await;
    let answer = ticketed(&server).body("x").send().await;
    let (id, document) = (answer.job(), answer.json());
    let own = url(&document, "self");
    assert_eq!(answer.header("location"), Some(&*own));
    let ticket = own
        .strip_prefix(&format!("/v1/jobs/{id}?ticket="))
        .unwrap()
        .to_owned();
    for (name, below) in [("result", "/result"), ("input", "/input"), ("cancel", "/cancel")] {
        assert_eq!(
            url(&document, name),
            format!("/v1/jobs/{id}{below}?ticket={ticket}")
        );
    }
    assert_eq!(
        url(&document, "retry"),
        format!("/v1/jobs/{id}/retry"),
        "a ticket opens it not"
    );
    let read = server.get(&own).send().await;
    assert_eq!(
        (read.status, url(&read.json(), "result")),
        (200, url(&document, "result"))
    );
    let pending = server
        .get(&format!("{}&wait=0", url(&document, "result")))
        .send()
        .await;
    assert_eq!(
        (pending.status, pending.header("content-location")),
        (202, Some(&*own))
    );
    assert_eq!(url(&pending.json(), "cancel"), url(&document, "cancel"));
    let input = server.get(&url(&document, "input")).send().await;
    assert_eq!((input.status, input.text()), (200, "x"));
    let cancelled = server.post(&url(&document, "cancel")).send().await;
    assert_eq!((cancelled.status, cancelled.outcome()), (200, Some("cancelled")));
    assert_eq!(url(&cancelled.json(), "self"), own);
}

#[tokio::test]
async fn who_waits_is_told_where_the_result_is() {
    let server = Server::start().await;
    let waiting = ticketed(&server).header("prefer", "wait=30").body("x").send();
    let (answer, _) = tokio::join!(waiting, server.work(success("r")));
    assert_eq!(answer.text(), "r");
    let place = answer.header("content-location").unwrap().to_owned();
    assert!(place.contains("/result?ticket=t1"), "{place}");
    assert_eq!(server.get(&place).send().await.text(), "r");
}

#[tokio::test]
async fn a_ticket_opens_nothing_else() {
    let server = Server::start().await;
    let other = server.submit("y").await;
    let answer = ticketed(&server).body("x").send().await;
    let id = answer.job();
    let own = url(&answer.json(), "self");
    let (_, ticket) = own.split_once("?ticket=").unwrap();
    for (method, path) in [
        ("PATCH", format!("/v1/jobs/{id}")),
        ("DELETE", format!("/v1/jobs/{id}")),
        ("POST", format!("/v1/jobs/{id}/retry")),
        ("GET", "/v1/jobs".to_owned()),
        ("GET", "/v1/queues/thumbs".to_owned()),
        ("POST", "/v1/queues/thumbs/jobs".to_owned()),
        ("POST", "/v1/queues/thumbs/claim".to_owned()),
    ] {
        let ask = server.ask(method, &format!("{path}?ticket={ticket}"));
        let detail = refused(&ask.json("{}").send().await);
        assert!(detail.contains("does nothing else"), "{method} {path}: {detail}");
    }
    let elsewhere = server
        .get(&format!("/v1/jobs/{other}?ticket={ticket}"))
        .send()
        .await;
    assert!(refused(&elsewhere).contains("is not one for"));
    let mut forged = ticket.to_owned();
    let last = forged.pop().unwrap();
    forged.push(if last == '0' { '1' } else { '0' });
    for bad in [
        "",
        "t1",
        "x",
        &forged,
        &ticket.to_uppercase(),
        &format!("{ticket}00"),
    ] {
        let answer = server.get(&format!("/v1/jobs/{id}?ticket={bad}")).send().await;
        assert!(refused(&answer).contains("is not one for"), "{bad}");
    }
    let twice = server.get(&format!("{own}&ticket={ticket}")).send().await;
    assert_eq!(twice.status, 400);
    let job = server.get(&format!("/v1/jobs/{id}")).send().await;
    assert_eq!((job.status, job.outcome()), (200, Some("pending")));
    assert_eq!(
        url(&job.json(), "self"),
        format!("/v1/jobs/{id}"),
        "nobody is given one unasked"
    );
}

#[tokio::test]
async fn a_ticket_ends_when_its_time_is_over() {
    let clock = Arc::new(ManualClock::default());
    let server = Server::with(Setup {
        clock: Some(clock.clone()),
        ..Setup::default()
    })
    .await;
    let answer = ticketed(&server).body("x").send().await;
    let own = url(&answer.json(), "self");
    clock.advance(Duration::from_secs(3598));
    assert_eq!(server.get(&own).send().await.status, 200);
    clock.advance(Duration::from_secs(2));
    assert!(refused(&server.get(&own).send().await).contains("expired at"));
    let cancel = server.post(&url(&answer.json(), "cancel")).send().await;
    assert!(refused(&cancel).contains("expired at"));
}

#[tokio::test]
async fn entries_of_a_list_have_tickets_of_their_own() {
    let server = Server::start().await;
    let list = json!([
        {"queue": "thumbs", "ticket": "1h", "unique": {"value": "u"}},
        {"queue": "thumbs"},
        {"queue": "thumbs", "ticket": "5m"},
        {"queue": "thumbs", "ticket": "1h", "unique": {"value": "u", "on_conflict": "attach"}},
        {"queue": "thumbs", "ticket": "0s"},
    ]);
    let answer = server.post("/v1/jobs").json(&list.to_string()).send().await;
    let told = answer.json();
    for n in [0, 2, 3] {
        let own = url(&told[n], "self");
        assert!(own.contains("?ticket=t1"), "{own}");
        let read = server.get(&own).send().await;
        assert_eq!(read.json()["id"], told[n]["id"]);
    }
    assert_eq!(told[3]["id"], told[0]["id"], "it is attached");
    assert_eq!(
        url(&told[1], "self"),
        format!("/v1/jobs/{}", told[1]["id"].as_str().unwrap())
    );
    assert_eq!(
        (&told[4]["status"], &told[4]["errors"][0]["pointer"]),
        (&json!(400), &json!("/ticket"))
    );
}

#[tokio::test]
async fn a_repeated_request_is_given_a_ticket_again() {
    let server = Server::start().await;
    let submit = || ticketed(&server).header("idempotency-key", "k").body("x").send();
    let first = submit().await;
    let again = submit().await;
    assert_eq!(
        (again.job(), again.header("idempotency-replayed")),
        (first.job(), Some("true"))
    );
    let own = url(&again.json(), "self");
    assert_eq!(server.get(&own).send().await.status, 200);
}
