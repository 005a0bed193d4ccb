//! The log of a server: whose each line is.

use crate::rig::{Ran, Server, started_by};

/// A server that may write no larger files than 4 MiB, and that logs like this.
fn cramped(format: &str) -> Server {
    let script = "trap '' XFSZ; ulimit -f 8192; exec \"$@\"";
    let mut command = started_by(&["/bin/sh", "-c", script, "sh"]);
    command.env("RAINCHECK_LOG_FORMAT", format);
    let folder = tempfile::tempdir().expect("a temporary folder");
    Server::start_as(command, folder, &["--queue", "q"])
}

#[test]
fn a_line_that_is_logged_while_a_request_is_answered_tells_its_id() {
    for (format, id) in [("json", "\"request_id\":\"mine-"), ("text", "request_id=\"mine-")] {
        let server = cramped(format);
        let input = server.folder().join("input");
        std::fs::write(&input, "x".repeat(900_000)).unwrap();
        let url = format!("{}/v1/queues/q/jobs", server.url);
        let refused = (0..40).find(|n| {
            let mut curl = std::process::Command::new("curl");
            curl.args([
                "-s",
                "-o",
                "/dev/null",
                "-w",
                "%{http_code}",
                &url,
                "--data-binary",
            ])
            .arg(format!("@{}", input.display()))
            .args(["-H", &format!("X-Request-Id: mine-{n}")]);
            Ran::of(&mut curl).text() != "202"
        });
        let refused = refused.expect("the file is full some time");
        let (_, log, _folder) = server.ended();
        let refusal = |line: &&str| line.contains("a commit is in doubt") || line.contains("the store is");
        let lines: Vec<_> = log.lines().filter(refusal).collect();
        let told = format!("{id}{refused}\"");
        assert!(
            !lines.is_empty() && lines.iter().all(|line| line.contains(&told)),
            "{told}: {log}"
        );
    }
}

#[test]
fn the_lines_of_an_attempt_tell_its_job_whatever_is_logged() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("work");
    std::fs::copy("/bin/cat", &program).unwrap();
    let server = Server::start_in(folder, &["--log", "warn", "--queue", "q=cmd:./work"]);
    std::fs::remove_file(program).unwrap();
    let id = server.submit(&["q", "--max-attempts", "1"]);
    server.until(&id, "failed");
    server.logged("a program cannot be started", 1);
    server.logged(&format!("\"job_id\":\"{id}\",\"queue\":\"q\",\"attempt\":1"), 1);
    server.stop();
}
