//! `queue`, beside what it began as: the same requests to both, and what becomes of them.

use rustix::process::Signal;

use crate::rig::{Answer, Program, original};

/// Gives the original work; the path at which the result will be.
fn given(original: &Program, text: &str) -> String {
    format!("/{}", original.post("/", text).json()["id"].as_str().unwrap())
}

/// Follows where `GET /{id}` leads.
fn redeemed(queue: &Program, job: &str) -> Answer {
    let id = job.rsplit('/').next().unwrap();
    let led = queue.get(&format!("/{id}"));
    assert_eq!(led.status, 307, "{led:?}");
    queue.get(led.header("location").unwrap())
}

#[test]
fn work_is_done_and_redeemed() {
    let queue = Program::start("queue", &[("WORD_MS", "1")]);
    let job = queue.post("/", "it is raining cats and dogs").location();
    queue.until(&job, |answer| answer.json()["done"] == true);
    let result = redeemed(&queue, &job);
    assert_eq!((result.status, &result.json()["words"]), (200, &6.into()));
    if let Some(original) = original("queue", &[("WORD_MS", "1")]) {
        let path = given(&original, "it is raining cats and dogs");
        original.until(&path, |answer| answer.json()["words"] == 6);
    }
}

#[test]
fn a_kill_takes_the_originals_work_and_none_of_this_one() {
    let slow = [("WORD_MS", "600000")];
    let queue = Program::start("queue", &slow);
    let job = queue.post("/", "one two three").location();
    queue.until(&job, |answer| answer.json()["state"] == "running");
    let queue = Program::start_in(
        queue.kill(),
        "queue",
        &[("WORD_MS", "1"), ("BACKOFF", "constant;base=1ms")],
    );
    let result = queue.get(&format!("{job}/result?wait=60"));
    assert_eq!((result.status, &result.json()["words"]), (200, &3.into()));
    assert_eq!(result.json()["attempt"], 2, "that it was cut is counted");
    if let Some(first) = original("queue", &slow) {
        let path = given(&first, "one two three");
        drop(first);
        let second = original("queue", &slow).unwrap();
        assert_eq!(
            second.get(&path).json()["state"],
            "not ready",
            "and will not be, ever"
        );
    }
}

#[test]
fn an_id_that_never_was_is_told_from_one_that_is_not_finished() {
    let queue = Program::start("queue", &[("WORD_MS", "600000")]);
    let job = queue.post("/", "slow").location();
    assert_eq!(redeemed(&queue, &job).status, 202);
    let never = "/v1/jobs/job_01jd8zq3k5e7rv2m4n6p8s0t1w";
    assert_eq!(redeemed(&queue, never).status, 404);
    assert_eq!(queue.get("/nonsense").status, 404);
    if let Some(original) = original("queue", &[]) {
        let never = original.get("/nonsense");
        assert_eq!((never.status, &never.json()["state"]), (200, &"not ready".into()));
    }
}

#[test]
fn a_worker_that_crashes_works_on() {
    let env = [
        ("WORKERS", "1"),
        ("WORD_MS", "1"),
        ("BACKOFF", "constant;base=1ms"),
    ];
    let queue = Program::start("queue", &env);
    let (crash, bad) = (
        queue.post("/", "crash").location(),
        queue.post("/", "bad").location(),
    );
    let job = queue.post("/", "fine").location();
    assert_eq!(queue.get(&format!("{job}/result?wait=60")).json()["words"], 1);
    let crashed = queue.get(&format!("{crash}/result?wait=60"));
    assert!(
        crashed.status == 500 && crashed.text().contains("panicked"),
        "{crashed:?}"
    );
    assert_eq!(queue.get(&crash).json()["attempt"], 3, "it was tried again");
    let bad_result = queue.get(&format!("{bad}/result?wait=60"));
    assert!(bad_result.text().contains("bad-text"), "{bad_result:?}");
    assert_eq!(queue.get(&bad).json()["attempt"], 1, "that would not have helped");
    if let Some(original) = original("queue", &env) {
        let (crash, fine) = (given(&original, "crash"), given(&original, "fine"));
        for _ in 0..100 {
            for path in [&crash, &fine] {
                assert_eq!(original.get(path).json()["state"], "not ready");
            }
        }
    }
}

#[test]
fn too_much_work_is_refused_and_what_was_accepted_can_be_cancelled() {
    let queue = Program::start(
        "queue",
        &[("WORKERS", "1"), ("DEPTH", "2"), ("WORD_MS", "600000")],
    );
    let running = queue.post("/", "running").location();
    queue.until(&running, |answer| answer.json()["state"] == "running");
    let waiting = [
        queue.post("/", "first").location(),
        queue.post("/", "second").location(),
    ];
    let full = queue.post("/", "third");
    assert_eq!((full.status, &full.json()["code"]), (429, &"queue-full".into()));
    assert!(full.header("retry-after").unwrap().parse::<u64>().unwrap() > 0);
    for job in [&waiting[0], &running] {
        queue.post(&format!("{job}/cancel"), "");
        queue.until(job, |answer| answer.json()["outcome"] == "cancelled");
        let result = redeemed(&queue, job);
        assert_eq!(
            (result.status, &result.json()["code"]),
            (410, &"job-cancelled".into())
        );
    }
    if let Some(original) = original("queue", &[("WORD_MS", "600000")]) {
        for _ in 0..1000 {
            assert_eq!(original.post("/", "more").status, 200, "without a bound");
        }
    }
}

#[test]
fn results_are_kept_for_as_long_as_was_said_and_then_it_says_so() {
    let queue = Program::start("queue", &[("WORD_MS", "1"), ("KEEP_S", "1")]);
    let job = queue.post("/", "soon gone").location();
    assert_eq!(queue.get(&format!("{job}/result?wait=60")).status, 200);
    let path = format!("{job}/result");
    let gone = queue.until(&path, |answer| answer.status != 200);
    assert_eq!(
        (gone.status, &gone.json()["code"]),
        (410, &"result-expired".into())
    );
}

#[test]
fn the_original_waits_for_ever_where_a_worker_is_gone() {
    let Some(mut original) = original("queue", &[("WORKERS", "1"), ("WORD_MS", "1")]) else {
        return;
    };
    let fine = given(&original, "fine");
    original.until(&fine, |answer| answer.json()["words"] == 1);
    given(&original, "crash");
    original.signal(Signal::INT);
    // It answers nobody any more, and does not end: its worker will never have done what it was given.
    while std::net::TcpStream::connect(original.url.trim_start_matches("http://")).is_ok() {
        std::thread::yield_now();
    }
    assert!(original.is_there());
}
