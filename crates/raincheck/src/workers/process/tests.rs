//! What process promises, with real programs.

use std::path::Path;
use std::time::Duration;

use raincheck_core::job::{AttemptOutcome, Outcome};
use raincheck_core::queue::{ByteSize, Worker};
use raincheck_core::store::Store;
use rustix::process::{Pid, test_kill_process};

use crate::testing::{Setup, eventually, promises, sh, soon, text};

promises! {
    a_process_gets_its_input_and_its_output_is_the_result
    the_environment_is_the_allow_list_and_the_jobs_own
    a_program_that_does_not_read_its_input_succeeds
    much_in_and_much_out_do_not_block_each_other
    exit_65_is_final
    any_other_exit_is_tried_again_and_stderr_tells_why
    a_program_that_is_not_there_is_tried_again
    output_over_the_limit_is_a_failure_and_the_program_is_gone
    a_cancelled_process_group_is_gone
    a_success_after_a_cancel_request_wins
    an_attempt_that_times_out_is_tried_again
    a_program_stopped_by_a_time_out_has_not_succeeded_by_exiting_with_0
    nothing_a_program_left_behind_outlives_its_attempt
    a_process_that_left_the_group_cannot_hold_the_attempt
}

async fn a_process_gets_its_input_and_its_output_is_the_result(setup: Setup) {
    setup.queue("q", sh("tr a-z A-Z"), |_| {}).await;
    setup
        .queue("typed", sh("cat"), |spec| {
            spec.result_type = Some("text/html".to_owned())
        })
        .await;
    let id = setup.submit("q", "a picture").await;
    let done = setup.done(id).await;
    assert_eq!(done.job.outcome(), Some(Outcome::Succeeded));
    let result = done.result.clone().unwrap();
    assert_eq!(
        (result.status, result.content_type.as_deref()),
        (200, Some("text/plain"))
    );
    assert_eq!(text(&done), "A PICTURE");
    let id = setup.submit("typed", "<p>").await;
    let result = setup.done(id).await.result.unwrap();
    assert_eq!(result.content_type.as_deref(), Some("text/html"));
}

async fn the_environment_is_the_allow_list_and_the_jobs_own(setup: Setup) {
    setup
        .queue("q", Worker::Process(vec!["/usr/bin/env".to_owned()]), |_| {})
        .await;
    let id = setup.submit("q", "").await;
    let done = setup.done(id).await;
    let all = text(&done);
    let value = |name: &str| {
        let line = all.lines().find(|line| line.starts_with(&format!("{name}=")));
        line.map(|line| line[name.len() + 1..].to_owned())
            .unwrap_or_default()
    };
    assert_eq!(value("RAINCHECK_JOB"), id.to_string());
    assert_eq!(value("RAINCHECK_ATTEMPT"), "1");
    assert_eq!(value("RAINCHECK_QUEUE"), "q");
    assert_eq!(value("RAINCHECK_FENCE"), "1");
    assert_eq!(value("RAINCHECK_CONTENT_TYPE"), "text/plain");
    let deadline: raincheck_core::time::Timestamp = value("RAINCHECK_DEADLINE").parse().unwrap();
    assert_eq!(
        deadline.since(done.job.attempts[0].started_at),
        Duration::from_secs(300)
    );
    assert_eq!(value("PATH"), std::env::var("PATH").unwrap());
    // cargo sets this for every test.
    assert!(std::env::var("CARGO_MANIFEST_DIR").is_ok());
    assert_eq!(value("CARGO_MANIFEST_DIR"), "", "{all}");
}

async fn a_program_that_does_not_read_its_input_succeeds(setup: Setup) {
    setup.queue("q", sh("exec <&-; echo done"), |_| {}).await;
    // More than a pipe holds.
    let input: &'static str = "x".repeat(1 << 20).leak();
    let id = setup.submit("q", input).await;
    assert_eq!(text(&setup.done(id).await), "done\n");
}

async fn much_in_and_much_out_do_not_block_each_other(setup: Setup) {
    setup
        .queue("q", sh("head -c 300000 /dev/zero >&2; cat"), |_| {})
        .await;
    let input: &'static str = "abcdefgh".repeat(1 << 17).leak();
    let id = setup.submit("q", input).await;
    assert!(text(&setup.done(id).await) == input);
}

async fn exit_65_is_final(setup: Setup) {
    setup
        .queue("q", sh("echo this is no picture >&2; exit 65"), |_| {})
        .await;
    let id = setup.submit("q", "").await;
    let done = setup.done(id).await;
    assert_eq!((done.job.attempt, done.job.outcome()), (1, Some(Outcome::Failed)));
    let error = done.job.error.clone().unwrap();
    assert_eq!(error.code, "handler-failed");
    assert_eq!(
        error.detail,
        "the program exited with code 65: this is no picture"
    );
    assert!(done.result.is_none());
}

async fn any_other_exit_is_tried_again_and_stderr_tells_why(setup: Setup) {
    let script = r#"case $RAINCHECK_ATTEMPT in
        1) head -c 5000 /dev/zero | tr '\0' x >&2; printf 'the \033end' >&2; exit 3;;
        2) kill -9 $$;;
        *) echo at last;;
    esac"#;
    setup.queue("q", sh(script), |_| {}).await;
    let id = setup.submit("q", "").await;
    let done = setup.done(id).await;
    assert_eq!(text(&done), "at last\n");
    let details: Vec<_> = done
        .job
        .attempts
        .iter()
        .map(|a| {
            a.error
                .clone()
                .unwrap_or_else(|| raincheck_core::job::Failure::new("", ""))
        })
        .map(|e| e.detail)
        .collect();
    assert!(
        details[0].starts_with("the program exited with code 3: xxx"),
        "{}",
        details[0]
    );
    assert!(details[0].ends_with("xxxthe \\u{1b}end"), "{}", details[0]);
    assert!(details[0].len() < 2200, "{}", details[0].len());
    assert_eq!(details[1], "the program was ended by signal 9 (SIGKILL)");
    assert_eq!(done.job.attempts[2].outcome, AttemptOutcome::Succeeded);
}

async fn a_program_that_is_not_there_is_tried_again(setup: Setup) {
    let missing = setup.path("no-such-program");
    setup
        .queue("q", Worker::Process(vec![missing.clone()]), |spec| {
            spec.max_attempts = Some(2)
        })
        .await;
    let id = setup.submit("q", "").await;
    let done = setup.done(id).await;
    assert_eq!((done.job.attempt, done.job.outcome()), (2, Some(Outcome::Failed)));
    let error = done.job.error.clone().unwrap();
    assert_eq!(error.code, "handler-unreachable");
    assert!(error.detail.contains("No such file"), "{error:?}");
    assert!(
        !error.detail.contains(&missing),
        "a client does not see the server's paths: {error:?}"
    );
}

/// The number that a script wrote into a file, once it is there whole.
async fn number_in(path: &str) -> Pid {
    let read = || {
        std::fs::read_to_string(path)
            .ok()
            .filter(|text| text.ends_with('\n'))
    };
    eventually("the program's number", || read().is_some()).await;
    Pid::from_raw(read().unwrap().trim().parse().unwrap()).unwrap()
}

/// The processes of a group that have not ended. (One that has, but that its parent has not reaped, is no concern.)
fn living(group: Pid) -> usize {
    let stats = std::fs::read_dir("/proc").unwrap().flatten();
    let stats = stats.filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok());
    // proc_pid_stat(5): the name in parentheses, then state, parent and group.
    let of_group = |stat: &String| {
        let mut fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        let (state, number) = (fields.next(), fields.nth(1));
        state != Some("Z") && number == Some(&group.as_raw_nonzero().to_string())
    };
    stats.filter(of_group).count()
}

/// A script that starts a grandchild, says who it is itself, and then goes on with `rest`.
fn family(setup: &Setup, rest: &str) -> Worker {
    let (leader, child) = (setup.path("leader"), setup.path("child"));
    sh(&format!(
        "sleep 1000 & echo $! > {child}; echo $$ > {leader}; {rest}"
    ))
}

async fn is_gone(setup: &Setup) {
    let leader = number_in(&setup.path("leader")).await;
    assert!(
        test_kill_process(leader).is_err(),
        "the leader was reaped before the attempt was settled"
    );
    eventually("the end of the group", || living(leader) == 0).await;
}

async fn output_over_the_limit_is_a_failure_and_the_program_is_gone(setup: Setup) {
    let worker = family(&setup, "yes");
    setup
        .queue("q", worker, |spec| spec.result_max = Some(ByteSize(100_000)))
        .await;
    let id = setup.submit("q", "").await;
    let done = setup.done(id).await;
    assert_eq!((done.job.attempt, done.job.outcome()), (1, Some(Outcome::Failed)));
    assert_eq!(done.job.error.clone().unwrap().code, "result-too-large");
    is_gone(&setup).await;
}

async fn a_cancelled_process_group_is_gone(setup: Setup) {
    // Neither of them minds SIGTERM.
    let worker = family(&setup, "trap '' TERM; (trap '' TERM; sleep 1000); wait");
    setup
        .queue("q", worker, |spec| {
            spec.cancel_grace = Some(Duration::from_millis(100))
        })
        .await;
    let id = setup.submit("q", "").await;
    let leader = number_in(&setup.path("leader")).await;
    assert!(living(leader) >= 2);
    setup.store.cancel(&setup.ns, vec![id]).await.unwrap();
    let done = setup.done(id).await.job;
    assert_eq!(done.outcome(), Some(Outcome::Cancelled));
    assert_eq!(done.attempts[0].outcome, AttemptOutcome::Cancelled);
    is_gone(&setup).await;
}

async fn a_success_after_a_cancel_request_wins(setup: Setup) {
    let ready = setup.path("ready");
    let script = format!("trap 'echo finished; exit 0' TERM; echo > {ready}; while :; do sleep 0.01; done");
    setup.queue("q", sh(&script), |_| {}).await;
    let id = setup.submit("q", "").await;
    eventually("the trap", || Path::new(&ready).exists()).await;
    setup.store.cancel(&setup.ns, vec![id]).await.unwrap();
    let done = setup.done(id).await;
    assert_eq!(done.job.outcome(), Some(Outcome::Succeeded));
    assert!(done.job.cancel_requested);
    assert_eq!(text(&done), "finished\n");
}

async fn an_attempt_that_times_out_is_tried_again(setup: Setup) {
    let rest = "test $RAINCHECK_ATTEMPT -ge 2 && kill $! && exit 0; trap '' TERM; sleep 1000";
    let worker = family(&setup, rest);
    setup
        .queue("q", worker, |spec| {
            spec.timeout = Some(Duration::from_millis(700))
        })
        .await;
    let id = setup.submit("q", "").await;
    let done = setup.done(id).await.job;
    let outcomes = [0, done.attempts.len() - 1].map(|n| done.attempts[n].outcome);
    assert_eq!(
        outcomes,
        [AttemptOutcome::TimedOut, AttemptOutcome::Succeeded],
        "{:?}",
        done.attempts
    );
    is_gone(&setup).await;
}

async fn a_program_stopped_by_a_time_out_has_not_succeeded_by_exiting_with_0(setup: Setup) {
    let script = "trap 'exit 0' TERM; echo half; while :; do sleep 0.01; done";
    setup
        .queue("q", sh(script), |spec| {
            spec.timeout = Some(Duration::from_millis(200));
            spec.max_attempts = Some(1);
        })
        .await;
    let id = setup.submit("q", "").await;
    let done = setup.done(id).await;
    assert_eq!(done.job.outcome(), Some(Outcome::Failed));
    assert_eq!(done.job.error.clone().unwrap().code, "timed-out");
    assert!(done.result.is_none());
}

async fn nothing_a_program_left_behind_outlives_its_attempt(setup: Setup) {
    // The grandchild keeps stdout open, which would keep a reader waiting for ever.
    let worker = family(&setup, "echo done");
    setup.queue("q", worker, |_| {}).await;
    let id = setup.submit("q", "").await;
    assert_eq!(text(&setup.done(id).await), "done\n");
    is_gone(&setup).await;
}

async fn a_process_that_left_the_group_cannot_hold_the_attempt(setup: Setup) {
    let child = setup.path("child");
    let script = format!(
        "setsid sh -c 'echo $$ > {child}; exec sleep 1000' & while ! test -s {child}; do sleep 0.01; done; echo done"
    );
    setup.queue("q", sh(&script), |_| {}).await;
    let id = setup.submit("q", "").await;
    assert_eq!(text(&setup.done(id).await), "done\n");
    // It is not ours any more; the test cleans up after itself.
    let child = number_in(&child).await;
    rustix::process::kill_process(child, rustix::process::Signal::KILL).unwrap();
    soon("the node's end", setup.node.shutdown()).await;
}
