//! Following all jobs.

use serde_json::json;

use super::{Stream, Worked, told};
use crate::harness::{Server, ns, queue};
use crate::pull::say;
use raincheck::core::queue::QueueSpec;

#[tokio::test]
async fn every_change_of_every_job_is_shown() {
    let server = Server::start().await;
    let mut all = Stream::open(server.addr, "/v1/events").await;
    assert_eq!(all.status, 200);
    let mut job = Worked::start(&server).await;
    job.output(&server, "not shown").await;
    job.act(&server, "renew", json!({"progress": {"message": "half"}}))
        .await;
    job.succeed(&server, "x").await;
    let events = all.take(4).await;
    assert_eq!(told(&events), ["queued", "running", "running", "succeeded"]);
    assert!(
        events
            .iter()
            .all(|event| event.id.is_none() && event.data["id"] == *job.id)
    );
    assert_eq!(events[2].data["progress"]["message"], "half");
}

#[tokio::test]
async fn one_queues_jobs_can_be_followed_alone() {
    let server = Server::start().await;
    let put = server
        .node
        .put_queue(&ns(), &queue("other"), QueueSpec::default(), false)
        .await;
    put.unwrap().unwrap();
    let mut other = Stream::open(server.addr, "/v1/events?queue=other").await;
    server.submit("x").await;
    let answer = server.post("/v1/queues/other/jobs").body("y").send().await;
    let events = other.take(1).await;
    assert_eq!(events[0].data["id"], answer.job());
    for (query, status) in [("queue=%20", 400), ("queue=a&queue=b", 400), ("after=1.0", 400)] {
        let answer = server.get(&format!("/v1/events?{query}")).send().await;
        assert_eq!(answer.status, status, "{query}");
    }
}

#[tokio::test]
async fn a_reader_that_is_too_slow_is_told_to_list_the_jobs_anew() {
    let server = Server::start().await;
    let mut all = Stream::open(server.addr, "/v1/events").await;
    // Until the reader's line is full and the feed has gone on without it.
    let tags: Vec<_> = (10..26).map(|n| format!("{n}{}", "t".repeat(60))).collect();
    let entry = json!({"queue": "thumbs", "input_text": "x", "tags": tags});
    let many = json!(vec![entry; 5_000]);
    for _ in 0..3 {
        let answer = say(&server, "/v1/jobs", &many).await;
        assert_eq!(answer.status, 200);
    }
    loop {
        let event = all.next().await.expect("the stream goes on");
        if event.name == "relist" {
            assert_eq!(event.data, json!({"url": "/v1/jobs"}));
            break;
        }
        assert_eq!(event.told(), "queued");
    }
    assert_eq!(told(&all.take(1).await), ["queued"], "and then it goes on");
}
