//! How a program that is served by the library leaves.

use rustix::process::Signal;

use crate::rig::Program;

#[test]
fn sigterm_and_sigint_let_what_runs_finish_and_give_the_rest_to_the_next_start() {
    for signal in [Signal::TERM, Signal::INT] {
        let queue = Program::start("queue", &[("WORKERS", "1"), ("WORD_MS", "300")]);
        let running = queue.post("/", "one two").location();
        let waiting = queue.post("/", "one").location();
        queue.until(&running, |answer| answer.json()["state"] == "running");
        queue.signal(signal);
        let (status, folder) = queue.ended();
        assert_eq!(status.code(), Some(0), "{signal:?}");
        let queue = Program::start_in(folder.unwrap(), "queue", &[("WORD_MS", "1")]);
        let finished = queue.get(&running).json();
        assert_eq!(
            (&finished["outcome"], &finished["attempt"]),
            (&"succeeded".into(), &1.into())
        );
        let other = queue.get(&format!("{waiting}/result?wait=60")).json();
        assert_eq!((&other["words"], &other["attempt"]), (&1.into(), &1.into()));
    }
}

#[test]
fn a_second_signal_leaves_at_once_and_loses_nothing() {
    let queue = Program::start("queue", &[("WORD_MS", "600000")]);
    let job = queue.post("/", "one").location();
    queue.until(&job, |answer| answer.json()["state"] == "running");
    queue.signal(Signal::TERM);
    queue.until("/readyz", |answer| answer.status == 503);
    queue.signal(Signal::TERM);
    let (_, folder) = queue.ended();
    let env = [("WORD_MS", "1"), ("BACKOFF", "constant;base=1ms")];
    let queue = Program::start_in(folder.unwrap(), "queue", &env);
    assert_eq!(queue.get(&format!("{job}/result?wait=60")).json()["words"], 1);
}
