//! Going on where a reader stopped: after a disconnect, a new attempt, a restart of the server.

use super::{Stream, Worked, at_once, told};
use crate::harness::Server;

/// The id of the last event that has one.
fn last_id(events: &[super::Event]) -> String {
    events
        .iter()
        .rev()
        .find_map(|event| event.id.clone())
        .expect("an id")
}

async fn resumed(server: &Server, job: &Worked, id: &str) -> Stream {
    Stream::with(server.addr, &job.path(), &[("last-event-id", id)]).await
}

#[tokio::test]
async fn a_reader_goes_on_after_any_event() {
    let server = Server::start().await;
    at_once(&server).await;
    let mut job = Worked::start(&server).await;
    for text in ["a", "b"] {
        job.output(&server, text).await;
    }
    job.fail(&server).await;
    job.claim(&server).await;
    for text in ["c", "d"] {
        job.output(&server, text).await;
    }
    job.succeed(&server, "x").await;
    let mut whole = Stream::open(server.addr, &job.path()).await;
    let whole = whole.rest().await;
    assert_eq!(
        told(&whole),
        [
            "succeeded",
            "output 1.0 a",
            "output 1.1 b",
            "reset 2",
            "output 2.0 c",
            "output 2.1 d",
            "done succeeded"
        ]
    );
    for (n, event) in whole.iter().enumerate().take(6) {
        let id = event.id.as_deref().expect("every event but progress has an id");
        let mut by_header = resumed(&server, &job, id).await;
        let events = by_header.rest().await;
        assert_eq!(told(&events[..1]), ["succeeded"], "the newest state once");
        // A reset may be told again, for it has the id of the chunk before it.
        let after = if event.name == "reset" { n } else { n + 1 };
        let expected = &whole[after.max(1)..];
        assert_eq!(events[1..], *expected, "after {n}");
        let mut by_query = Stream::open(server.addr, &format!("{}?after={id}", job.path())).await;
        assert_eq!(by_query.rest().await, events);
    }
    let end = resumed(&server, &job, &last_id(&whole)).await;
    assert_eq!(end.status, 204);
    assert!(
        end.head.contains("raincheck-outcome: succeeded\r\n"),
        "{}",
        end.head
    );
}

#[tokio::test]
async fn a_disconnect_in_the_middle_loses_nothing_and_repeats_nothing() {
    let server = Server::start().await;
    let mut job = Worked::start(&server).await;
    let mut words = Vec::new();
    let mut id = "0.0".to_owned();
    for round in 0..5 {
        let mut reader = resumed(&server, &job, &id).await;
        for n in 0..3 {
            job.output(&server, &format!("{round}-{n} ")).await;
        }
        // One is left unread every time.
        let events = reader.take(3).await;
        assert_eq!(events[0].name, "state");
        words.extend(told(&events[1..]));
        id = last_id(&events);
    }
    job.succeed(&server, "x").await;
    let events = resumed(&server, &job, &id).await.rest().await;
    words.extend(told(&events[1..events.len() - 1]));
    let expected: Vec<_> = (0..15)
        .map(|n| format!("output 1.{n} {}-{} ", n / 3, n % 3))
        .collect();
    assert_eq!(words, expected);
}

#[tokio::test]
async fn a_reader_goes_on_after_a_restart_of_the_server() {
    let server = Server::start().await;
    let mut job = Worked::start(&server).await;
    let mut reader = Stream::open(server.addr, &job.path()).await;
    job.output(&server, "a").await;
    job.output(&server, "b").await;
    let events = reader.take(2).await;
    assert_eq!(told(&events), ["running", "output 1.0 a"]);
    let server = server.restarted().await;
    let mut reader = resumed(&server, &job, &last_id(&events)).await;
    assert_eq!(told(&reader.take(2).await), ["running", "output 1.1 b"]);
    // The worker did not notice.
    job.output(&server, "c").await;
    job.succeed(&server, "abc").await;
    assert_eq!(
        told(&reader.rest().await),
        ["output 1.2 c", "succeeded", "done succeeded"]
    );
    let result = server.get(&format!("/v1/jobs/{}/result", job.id)).send().await;
    assert_eq!(result.text(), "abc");
}

#[tokio::test]
async fn a_reader_that_comes_back_learns_of_a_new_attempt() {
    let server = Server::start().await;
    at_once(&server).await;
    let mut job = Worked::start(&server).await;
    job.output(&server, "a").await;
    job.output(&server, "b").await;
    let mut reader = Stream::open(server.addr, &job.path()).await;
    let events = reader.take(3).await;
    drop(reader);
    job.fail(&server).await;
    job.claim(&server).await;
    let id = last_id(&events);
    let mut reader = resumed(&server, &job, &id).await;
    assert_eq!(told(&reader.take(2).await), ["running", "reset 2"]);
    job.output(&server, "c").await;
    assert_eq!(told(&reader.take(1).await), ["output 2.0 c"]);
    // From the middle of the attempt before.
    let first = events[1].id.as_deref().expect("output has an id");
    let mut reader = resumed(&server, &job, first).await;
    assert_eq!(
        told(&reader.take(4).await),
        ["running", "output 1.1 b", "reset 2", "output 2.0 c"]
    );
}

#[tokio::test]
async fn what_is_no_id_of_this_job_is_refused() {
    let server = Server::start().await;
    let job = Worked::start(&server).await;
    let path = job.path();
    for id in ["x", "7", "1.x", "2.9"] {
        let answer = server.get(&path).header("last-event-id", id).send().await;
        assert_eq!(
            (answer.status, answer.code()),
            (400, "bad-request".to_owned()),
            "{id}"
        );
    }
    for query in ["after=x", "after=1.0&after=1.0", "before=1.0"] {
        let answer = server.get(&format!("{path}?{query}")).send().await;
        assert_eq!(
            (answer.status, answer.code()),
            (400, "bad-request".to_owned()),
            "{query}"
        );
    }
    // Browsers send an empty one when they have none.
    assert_eq!(
        Stream::with(server.addr, &path, &[("last-event-id", "")])
            .await
            .status,
        200
    );
}
