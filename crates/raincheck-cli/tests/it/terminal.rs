//! What people see on a terminal: a pseudo-terminal made by `script`, which every Debian has.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::rig::{Ran, Server};

/// Runs a command on a terminal and gives back what it showed there, with plain line ends.
fn shown(command: &Command) -> (i32, String) {
    let mut words = vec![
        command
            .get_program()
            .to_str()
            .expect("the path is text")
            .to_owned(),
    ];
    words.extend(
        command
            .get_args()
            .map(|word| word.to_str().expect("text").to_owned()),
    );
    let line = shlex::try_join(words.iter().map(String::as_str)).expect("no NUL");
    let mut script = Command::new("script");
    script
        .args(["--quiet", "--return", "--command", &line, "/dev/null"])
        .stdin(Stdio::null())
        .env("TERM", "xterm");
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => script.env(name, value),
            None => script.env_remove(name),
        };
    }
    script.current_dir(command.get_current_dir().unwrap_or(Path::new(".")));
    let ran = Ran::of(&mut script);
    (ran.code, ran.text().replace("\r\n", "\n"))
}

#[test]
fn a_terminal_gets_a_table_with_headings_colour_and_relative_times() {
    let server = Server::start(&["--queue", "reports", "--queue", "thumbs=cmd:cat"]);
    server.run(&["submit", "thumbs", "a=1", "--wait"]).ok();
    let (code, text) = shown(&server.command(&["queue", "list", "--no-color"]));
    assert_eq!(code, 0);
    assert_eq!(
        text,
        "NAME     WORKER   PAUSED  SCHEDULED  QUEUED  RUNNING  SUCCEEDED  FAILED  CANCELLED  EXPIRED\n\
         reports  pull     -               0       0        0          0       0          0        0\n\
         thumbs   process  -               0       0        0          1       0          0        0\n"
    );
    let (_, coloured) = shown(&server.command(&["queue", "list"]));
    assert!(coloured.contains("\x1b["), "{coloured}");
    server.run(&["queue", "pause", "reports"]).ok();
    let (_, text) = shown(&server.command(&["queue", "list", "--no-color"]));
    assert!(text.contains("just now") || text.contains("s ago"), "{text}");
    server.stop();
}

#[test]
fn a_terminal_is_told_how_to_redeem_a_job() {
    let server = Server::start(&["--queue", "q"]);
    let (_, text) = shown(&server.command(&["submit", "q", "--no-color"]));
    let id = text.split_whitespace().next().unwrap();
    assert_eq!(
        text,
        format!("{id}  queued\nRedeem it: raincheck job result {id} --wait\n")
    );
    server.stop();
}

#[test]
fn bytes_that_would_confuse_a_terminal_are_not_shown() {
    let server = Server::start(&["--queue", "echo=cmd:cat"]);
    std::fs::write(server.folder().join("odd.png"), b"\x1b[2J\x00").unwrap();
    let (code, text) = shown(&server.command(&["submit", "echo", "@odd.png", "--wait", "--no-color"]));
    assert_eq!(code, 1);
    assert!(
        text.contains("the result is 5 bytes image/png, not text for a terminal"),
        "{text:?}"
    );
    assert!(!text.contains('\x1b'), "{text:?}");
    let (code, text) = shown(&server.command(&["submit", "echo", "a=1", "--wait"]));
    assert_eq!(
        (code, text.as_str()),
        (0, "{\"a\":\"1\"}\n"),
        "a line end is added"
    );
    server.stop();
}

#[test]
fn what_a_worker_wrote_is_shown_not_obeyed() {
    let server = Server::start(&["--queue", "fail=cmd:sh -c 'printf \"\\033[31mred\" >&2; exit 65'"]);
    let id = server.submit(&["fail"]);
    server.until(&id, "failed");
    let (_, text) = shown(&server.command(&["job", "get", &id, "--no-color"]));
    assert!(text.contains("red") && !text.contains('\x1b'), "{text:?}");
    assert!(
        text.contains("ATTEMPT") && text.contains("handler-failed"),
        "{text}"
    );
    server.stop();
}

#[test]
fn a_destructive_command_asks_and_takes_no_for_an_answer() {
    let server = Server::start(&["--queue", "q"]);
    let id = server.submit(&["q"]);
    // Nobody answers: stdin ends, and that is a no.
    let (code, text) = shown(&server.command(&["queue", "purge", "q", "--no-color"]));
    assert_eq!(code, 1, "{text}");
    assert!(
        text.contains("Cancel the 1 jobs that wait in queue q? [y/N]"),
        "{text}"
    );
    assert!(text.contains("nothing was changed"), "{text}");
    assert_eq!(
        server.run(&["job", "get", &id, "--json"]).json()["state"],
        "queued"
    );
    server.stop();
}

#[test]
fn colour_in_a_pipe_comes_only_when_it_is_forced() {
    let server = Server::start(&["--queue", "q"]);
    let id = server.submit(&["q"]);
    server.run(&["job", "cancel", &id]).ok();
    let colour = |name: &str, value: &str| {
        let mut command = server.command(&["job", "get", "job_01jd8zq3k5e7rv2m4n6p8s0t1w"]);
        Ran::of(command.env(name, value)).stderr.contains('\x1b')
    };
    assert!(!colour("UNRELATED", "1"));
    assert!(colour("CLICOLOR_FORCE", "1"));
    assert!(!colour("NO_COLOR", "1"));
    server.stop();
}

#[test]
fn the_first_start_that_others_can_reach_shows_the_first_key_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let serve = || {
        let mut serve = crate::rig::raincheck();
        // An address of documentation: nothing is listened on in the end.
        serve.args([
            "serve",
            "--insecure-http",
            "--listen",
            "192.0.2.1:7246",
            "--store",
        ]);
        serve.arg(&store).current_dir(folder.path());
        serve
    };
    let (code, said) = shown(&serve());
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("shown this once"), "{said}");
    let at = said.find("rck_").unwrap_or_else(|| panic!("{said}"));
    let key = said[at..at + 62].to_owned();
    let (_, again) = shown(&serve());
    assert!(!again.contains("rck_"), "{again}");
    let server = Server::start_in(folder, &[]);
    assert_eq!(server.run(&["queue", "list"]).code, 4);
    let mut list = server.command(&["key", "list", "--json"]);
    let keys = Ran::of(list.env("RAINCHECK_API_KEY", &key)).json();
    assert_eq!(keys[0]["id"], key[4..12]);
    server.stop();
}
