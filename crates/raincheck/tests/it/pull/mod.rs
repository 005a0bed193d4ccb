//! Workers elsewhere: claiming, renewing, settling, and what becomes of those who go silent.

mod claim;
mod emit;
mod examples;
mod lost;
mod many;
mod settle;

use raincheck::core::queue::QueueSpec;
use serde_json::{Value, json};

use crate::client::Answer;
use crate::harness::{Server, ns, queue};

/// Sends JSON.
pub(crate) async fn say(server: &Server, path: &str, body: &Value) -> Answer {
    server.post(path).json(&body.to_string()).send().await
}

/// Claims up to `max` jobs of `thumbs`.
pub(crate) async fn claim(server: &Server, worker: &str, max: u32) -> Vec<Value> {
    let answer = say(server, CLAIM, &json!({"worker": worker, "max": max})).await;
    leases(&answer)
}

pub(crate) const CLAIM: &str = "/v1/queues/thumbs/claim";

pub(crate) fn leases(answer: &Answer) -> Vec<Value> {
    match answer.status {
        204 => Vec::new(),
        200 => answer.json()["leases"].as_array().unwrap().clone(),
        _ => panic!("{answer:?}"),
    }
}

/// Claims the one job that is there.
pub(crate) async fn one(server: &Server) -> (String, Value) {
    let mut leases = claim(server, "w", 1).await;
    let lease = leases.pop().expect("a job to claim");
    (path(&lease), lease)
}

pub(crate) fn path(lease: &Value) -> String {
    format!("/v1/leases/{}", lease["lease"].as_str().unwrap())
}

pub(crate) async fn document(server: &Server, id: &str) -> Value {
    server.get(&format!("/v1/jobs/{id}")).send().await.json()
}

/// Until so many claims wait.
pub(crate) async fn waiting(server: &Server, count: usize) {
    while server.node.claims_waiting() != count {
        tokio::task::yield_now().await;
    }
}

/// Until the job is in this state.
pub(crate) async fn stands(server: &Server, id: &str, state: &str) -> Value {
    loop {
        let document = document(server, id).await;
        if document["state"] == state {
            return document;
        }
        tokio::task::yield_now().await;
    }
}

/// Changes the settings of `thumbs`.
pub(crate) async fn settings(server: &Server, change: impl FnOnce(&mut QueueSpec)) {
    let mut spec = QueueSpec::default();
    change(&mut spec);
    let put = server.node.put_queue(&ns(), &queue("thumbs"), spec, false).await;
    put.unwrap().unwrap();
}
