//! `hello`: text, JSON, and a greeting that takes its time.

use crate::rig::Program;

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
