//! `hello`: text, JSON, and a greeting that takes its time; beside what it began as.

use crate::rig::{Pending, Program, original};

#[test]
fn all_greetings_say_the_same_and_the_slow_one_survives_a_crash() {
    let hello = Program::start("hello", &[("BREATH_MS", "600000")]);
    assert_eq!(hello.get("/").text(), "Hello, world!\n");
    assert_eq!(hello.get("/json").json()["message"], "Hello, world!");
    assert_eq!(hello.get("/nothing").status, 404);
    assert_eq!(hello.post("/json", "").status, 405);
    let job = hello.post("/greetings/Ada", "").location();
    hello.until(&job, |answer| answer.json()["state"] == "running");
    let hello = Program::start_in(hello.kill(), "hello", &[("BREATH_MS", "0")]);
    let greeting = hello.get(&format!("{job}/result?wait=60"));
    assert_eq!(greeting.json(), "Hello, Ada!");
}

#[test]
fn a_kill_takes_ten_of_the_originals_ten_greetings_and_none_of_these() {
    let slow = [("BREATH_MS", "600000")];
    let greetings = || (0..10).map(|n| format!("/greetings/guest-{n}"));
    let hello = Program::start("hello", &slow);
    let jobs: Vec<_> = greetings().map(|path| hello.post(&path, "").location()).collect();
    let hello = Program::start_in(hello.kill(), "hello", &[("BREATH_MS", "0")]);
    for (n, job) in jobs.iter().enumerate() {
        let greeting = hello.get(&format!("{job}/result?wait=60"));
        assert_eq!(greeting.json(), format!("Hello, guest-{n}!"));
    }
    let Some(original) = original("hello", &slow) else {
        return;
    };
    let asked: Vec<_> = greetings()
        .map(|path| original.ask("POST", &path).begin())
        .collect();
    assert_eq!(original.get("/json").json()["message"], "Hello, world!");
    drop(original);
    // Not one has an answer, nor anything to ask for it with.
    assert_eq!(
        asked
            .into_iter()
            .map(Pending::came_to_nothing)
            .filter(|lost| *lost)
            .count(),
        10
    );
}
