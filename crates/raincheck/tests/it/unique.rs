//! Unique jobs: at most one with a value, over sockets and against each other.

use std::collections::HashSet;
use std::sync::Arc;

use raincheck::core::job::Outcome;
use raincheck::tasks::{Group, TaskKind};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::client::{Answer, Ask};
use crate::harness::{Server, success};

fn unique(server: &Server, asked: &str) -> Ask {
    server
        .post("/v1/queues/thumbs/jobs")
        .header("raincheck-unique", asked)
}

/// The job that a refusal names, after checking that it is one.
fn holder(answer: &Answer) -> String {
    assert_eq!((answer.status, answer.code().as_str()), (409, "unique-conflict"));
    assert_eq!(
        (answer.header("raincheck-job"), answer.outcome()),
        (None, None),
        "nothing was stored"
    );
    let document = answer.json();
    let job = document["job"].as_str().unwrap().to_owned();
    assert!(document["detail"].as_str().unwrap().contains(&job));
    job
}

#[tokio::test]
async fn a_second_job_with_a_value_is_refused_until_the_first_is_done() {
    let server = Server::start().await;
    let first = unique(&server, "\"u\"").body("a").send().await;
    assert_eq!(first.status, 202);
    let refused = unique(&server, "\"u\"").body("b").send().await;
    insta::assert_snapshot!(refused.shown());
    assert_eq!(holder(&refused), first.job());
    let other = unique(&server, "\"v\"").body("b").send().await;
    assert_eq!(other.status, 202, "another value");
    server.ask("PUT", "/v1/queues/other").json("{}").send().await;
    let elsewhere = server
        .post("/v1/queues/other/jobs")
        .header("raincheck-unique", "\"u\"");
    assert_eq!(elsewhere.body("b").send().await.status, 202, "another queue");
    server.work(success("r")).await;
    assert_eq!(unique(&server, "\"u\"").body("c").send().await.status, 202);
}

#[tokio::test]
async fn attaching_answers_with_the_job_that_is_there() {
    let server = Server::start().await;
    let attach = |wait: bool| {
        let ask = unique(&server, "\"u\";while=kept;on-conflict=attach");
        if wait {
            ask.header("prefer", "wait=30").body("x")
        } else {
            ask.body("x")
        }
    };
    let first = attach(false).send().await;
    assert_eq!((first.status, first.header("raincheck-attached")), (202, None));
    let again = attach(false).send().await;
    assert_eq!(
        (again.status, again.header("raincheck-attached"), again.outcome()),
        (202, Some("true"), Some("pending"))
    );
    assert_eq!(again.job(), first.job());
    assert_eq!(
        again.header("location"),
        Some(&*format!("/v1/jobs/{}", first.job()))
    );
    let (answer, _) = tokio::join!(attach(true).send(), async {
        while server.node.watch().waiters() != 1 {
            tokio::task::yield_now().await;
        }
        server.work(success("r")).await
    });
    assert_eq!(
        (answer.text(), answer.job(), answer.header("raincheck-attached")),
        ("r", first.job(), Some("true")),
        "who waits is given the result"
    );
    let done = attach(false).send().await;
    assert_eq!(
        (done.status, done.outcome(), &done.json()["done"]),
        (200, Some("succeeded"), &json!(true))
    );
    let waited = attach(true).send().await;
    assert_eq!((waited.status, waited.text()), (200, "r"));
}

#[tokio::test]
async fn replacing_cancels_a_job_that_has_not_started_and_no_other() {
    let server = Server::start().await;
    let replace = || unique(&server, "\"u\"; on-conflict=replace");
    let first = replace().body("a").send().await.job();
    let second = replace().body("b").send().await;
    assert_eq!((second.status, second.outcome()), (202, Some("pending")));
    let ended = server.get(&format!("/v1/jobs/{first}")).send().await;
    let error = &ended.json()["error"];
    assert_eq!(
        (ended.outcome(), &error["code"]),
        (Some("cancelled"), &json!("replaced"))
    );
    assert!(error["detail"].as_str().unwrap().contains(&second.job()));
    let leased = server.claim("thumbs").await.unwrap();
    assert_eq!(
        (&*leased.input.body, leased.job.id.to_string()),
        (&b"b"[..], second.job())
    );
    assert_eq!(holder(&replace().body("c").send().await), second.job());
}

#[tokio::test]
async fn auto_is_the_hash_of_the_input() {
    let server = Server::start().await;
    let auto = |kind: &str, body: &'static str| {
        unique(&server, "\"auto\"")
            .header("content-type", kind)
            .body(body)
    };
    let first = auto("a/b", "x").send().await;
    assert_eq!(holder(&auto("a/b", "x").send().await), first.job());
    assert_eq!(auto("a/b", "y").send().await.status, 202);
    assert_eq!(auto("a/c", "x").send().await.status, 202);
    let json = r#"{"queue":"thumbs","unique":{"value":"auto"},"input_text":"x","content_type":"a/b"}"#;
    let json = server.post("/v1/jobs").json(json).send().await;
    assert_eq!(holder(&json), first.job(), "the JSON form means the same");
}

#[tokio::test]
async fn entries_of_a_list_contend_with_each_other_and_harm_no_other() {
    let server = Server::start().await;
    let entry =
        |on_conflict: &str| json!({"queue": "thumbs", "unique": {"value": "u", "on_conflict": on_conflict}});
    let plain = json!({"queue": "thumbs"});
    let list = json!([
        entry("reject"),
        entry("reject"),
        plain,
        entry("attach"),
        entry("replace")
    ]);
    let answer = server.post("/v1/jobs").json(&list.to_string()).send().await;
    let told = answer.json();
    let id = |n: usize| told[n]["id"].as_str().unwrap();
    assert_eq!(
        (&told[1]["code"], &told[1]["job"], &told[1]["index"]),
        (&json!("unique-conflict"), &told[0]["id"], &json!(1))
    );
    assert_eq!((id(3), &told[3]["attached"]), (id(0), &json!(true)));
    assert_eq!(told[0].get("attached"), None);
    let ids: HashSet<_> = [0, 2, 4].map(id).into_iter().collect();
    assert_eq!(ids.len(), 3);
    let first = server.get(&format!("/v1/jobs/{}", id(0))).send().await;
    assert_eq!(
        first.outcome(),
        Some("cancelled"),
        "the last entry took its place"
    );
}

#[tokio::test]
async fn a_key_is_looked_up_before_uniqueness() {
    let server = Server::start().await;
    let keyed = |key: &str, asked: &str| unique(&server, asked).header("idempotency-key", key).body("x");
    let first = keyed("a", "\"u\"").send().await;
    let again = keyed("a", "\"u\"").send().await;
    assert_eq!(
        (again.job(), again.header("idempotency-replayed")),
        (first.job(), Some("true"))
    );
    assert_eq!(holder(&keyed("b", "\"u\"").send().await), first.job());
    let attached = keyed("c", "\"u\";on-conflict=attach").send().await;
    assert_eq!(attached.header("raincheck-attached"), Some("true"));
    server.work(success("r")).await;
    let again = keyed("c", "\"u\";on-conflict=attach").send().await;
    assert_eq!(
        (again.job(), again.header("idempotency-replayed")),
        (first.job(), Some("true")),
        "an attached key stays with its job although the value is free"
    );
    let refused = keyed("b", "\"u\"").send().await;
    assert_eq!(refused.status, 202, "a refused request left its key free");
}

#[tokio::test]
async fn a_retry_takes_the_value_anew_or_is_refused() {
    let server = Server::start().await;
    let first = unique(&server, "\"u\"").body("a").send().await.job();
    server.work(success("r")).await;
    let second = unique(&server, "\"u\"").body("b").send().await.job();
    let retry = || server.post(&format!("/v1/jobs/{first}/retry"));
    assert_eq!(holder(&retry().send().await), second);
    server.work(success("r")).await;
    let third = retry().send().await;
    assert_eq!((third.status, &third.json()["retry_of"]), (202, &json!(first)));
    assert_eq!(
        holder(&unique(&server, "\"u\"").body("c").send().await),
        third.job()
    );
}

#[tokio::test]
async fn what_cannot_be_asked_is_refused_and_stores_nothing() {
    let server = Server::start().await;
    for (asked, why) in [
        ("u", "a quoted value"),
        ("\"u\";while=done", "while is queued, active or kept"),
        (
            "\"u\";on-conflict=wait",
            "on-conflict is reject, attach or replace",
        ),
        ("\"u\";until=kept", "while and on-conflict only"),
        ("\"\"", "a unique value takes"),
    ] {
        let answer = unique(&server, asked).body("x").send().await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "bad-request"));
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(
            detail.starts_with("Raincheck-Unique: ") && detail.contains(why),
            "{detail}"
        );
    }
    let json = r#"{"queue":"thumbs","unique":{"value":"u","while":"done"}}"#;
    let answer = server.post("/v1/jobs").json(json).send().await;
    assert_eq!(
        (answer.status, &answer.json()["errors"][0]["pointer"]),
        (400, &json!("/unique"))
    );
    assert!(server.claim("thumbs").await.is_none());
}

/// Sends the same request from 64 connections at once.
async fn race(server: &Server, asked: &str) -> Vec<Answer> {
    let (tell, mut told) = mpsc::channel(64);
    let group = Group::new("racers");
    let start = Arc::new(tokio::sync::Barrier::new(64));
    for n in 0..64 {
        let ask = unique(server, asked).body(n.to_string());
        let (start, tell) = (start.clone(), tell.clone());
        group.spawn(TaskKind::Errand, async move {
            start.wait().await;
            tell.send(ask.send().await).await.unwrap();
        });
    }
    drop(tell);
    let mut answers = Vec::new();
    while let Some(answer) = told.recv().await {
        answers.push(answer);
    }
    assert_eq!(answers.len(), 64);
    answers
}

async fn listed(server: &Server) -> Vec<Value> {
    let answer = server.get("/v1/jobs?queue=thumbs&limit=200").send().await;
    answer.json()["jobs"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_64_racing_clients_one_gets_the_value() {
    let server = Server::start().await;
    for round in 1..=3 {
        let answers = race(&server, "\"u\"").await;
        let won: Vec<_> = answers.iter().filter(|answer| answer.status == 202).collect();
        let [winner] = won[..] else {
            panic!("{} got the value", won.len());
        };
        for lost in answers.iter().filter(|answer| answer.status != 202) {
            assert_eq!(holder(lost), winner.job());
        }
        assert_eq!(listed(&server).await.len(), round, "no other job was made");
        server.work(success("r")).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_64_racing_clients_all_attach_to_one_job() {
    let server = Server::start().await;
    let answers = race(&server, "\"u\";on-conflict=attach").await;
    assert!(answers.iter().all(|answer| answer.status == 202));
    let ids: HashSet<_> = answers.iter().map(Answer::job).collect();
    assert_eq!(ids.len(), 1);
    let made = answers
        .iter()
        .filter(|answer| answer.header("raincheck-attached").is_none());
    assert_eq!((made.count(), listed(&server).await.len()), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_64_racing_clients_that_replace_each_other_the_last_stays() {
    let server = Server::start().await;
    let answers = race(&server, "\"u\";while=kept;on-conflict=replace").await;
    assert!(answers.iter().all(|answer| answer.status == 202));
    let jobs = listed(&server).await;
    let unfinished: Vec<_> = jobs.iter().filter(|job| job["done"] == false).collect();
    assert_eq!((jobs.len(), unfinished.len()), (64, 1));
    let replaced = jobs.iter().filter(|job| job["error"]["code"] == "replaced");
    assert_eq!(replaced.count(), 63);
    let job = server.work(success("r")).await;
    assert_eq!(job.outcome(), Some(Outcome::Succeeded));
    assert!(server.claim("thumbs").await.is_none());
}
