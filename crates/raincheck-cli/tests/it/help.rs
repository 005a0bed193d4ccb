//! What the binary says of itself.

use crate::rig::{Ran, raincheck};

fn help(words: &[&str]) -> String {
    Ran::of(raincheck().args(words).arg("--help")).ok()
}

#[test]
fn the_help_of_every_command_is_as_reviewed() {
    for (name, words) in [
        ("raincheck", &[][..]),
        ("serve", &["serve"]),
        ("proxy", &["proxy"]),
        ("submit", &["submit"]),
        ("job", &["job"]),
        ("job_list", &["job", "list"]),
        ("job_patch", &["job", "patch"]),
        ("job_get", &["job", "get"]),
        ("job_result", &["job", "result"]),
        ("job_events", &["job", "events"]),
        ("job_logs", &["job", "logs"]),
        ("job_input", &["job", "input"]),
        ("job_cancel", &["job", "cancel"]),
        ("job_retry", &["job", "retry"]),
        ("job_delete", &["job", "delete"]),
        ("batch", &["batch"]),
        ("batch_submit", &["batch", "submit"]),
        ("batch_get", &["batch", "get"]),
        ("batch_results", &["batch", "results"]),
        ("batch_cancel", &["batch", "cancel"]),
        ("audit_list", &["audit", "list"]),
        ("master_key_new", &["master-key", "new"]),
        ("master_key_rotate", &["master-key", "rotate"]),
        ("config", &["config"]),
        ("config_check", &["config", "check"]),
        ("queue", &["queue"]),
        ("queue_list", &["queue", "list"]),
        ("queue_get", &["queue", "get"]),
        ("queue_set", &["queue", "set"]),
        ("queue_pause", &["queue", "pause"]),
        ("queue_resume", &["queue", "resume"]),
        ("queue_purge", &["queue", "purge"]),
        ("queue_wait", &["queue", "wait"]),
        ("queue_delete", &["queue", "delete"]),
        ("bench", &["bench"]),
        ("work", &["work"]),
        ("webhook", &["webhook"]),
        ("webhook_listen", &["webhook", "listen"]),
        ("webhook_secret", &["webhook", "secret"]),
        ("webhook_rotate", &["webhook", "rotate"]),
        ("webhook_deliveries", &["webhook", "deliveries"]),
        ("webhook_redeliver", &["webhook", "redeliver"]),
        ("openapi", &["openapi"]),
        ("completions", &["completions"]),
        ("version", &["version"]),
    ] {
        insta::assert_snapshot!(name, help(words));
    }
}

#[test]
fn the_version_comes_in_every_shape() {
    let version = env!("CARGO_PKG_VERSION");
    let run = |words: &[&str]| Ran::of(raincheck().args(words)).ok();
    assert_eq!(run(&["version"]), format!("raincheck {version}"));
    assert_eq!(run(&["--version"]), format!("raincheck {version}"));
    assert_eq!(run(&["version", "-q"]), version);
    assert_eq!(
        run(&["version", "--json"]),
        format!("{{\"version\":\"{version}\"}}")
    );
}

#[test]
fn completions_name_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let script = Ran::of(raincheck().args(["completions", shell])).ok();
        assert!(
            script.contains("submit")
                && script.contains("max-attempts")
                && script.contains("exit-when-empty"),
            "{shell}"
        );
    }
}

#[test]
fn the_openapi_document_is_printed_without_a_server() {
    let document = Ran::of(raincheck().arg("openapi")).json();
    assert!(
        document["openapi"]
            .as_str()
            .is_some_and(|version| version.starts_with("3.1"))
    );
    assert!(document["paths"]["/v1/jobs/{id}/result"].is_object());
}

#[test]
fn a_command_line_that_cannot_be_ends_with_2() {
    for words in [
        &["nonsense"][..],
        &["submit"],
        &["submit", "a/b"],
        &["submit", "q", "a", "b"],
        &["submit", "q", "--delay", "1s", "--at", "@1"],
        &["submit", "q", "-o", "file"],
        &["job", "get", "../queues"],
        &["job", "list", "--all", "--limit", "3"],
        &["job", "list", "--limit", "0"],
        &["job", "patch", "job_1"],
        &["job", "patch", "job_1", "--tag", "a", "--no-tags"],
        &["queue", "set", "q"],
        &["queue", "set", "q", "timeout"],
        &["queue", "wait", "q", "--timeout", "5"],
        &["submit", "q", "--callback-events", "failed"],
        &["webhook", "listen", "--secret", "whsec_AAEC"],
        &["webhook", "listen", "--status", "99"],
        &["webhook", "redeliver", "job_1"],
        &["webhook", "rotate"],
        &["work", "q"],
        &["work", "q", "cat"],
        &["work", "q", "-c", "0", "--", "cat"],
        &["work", "q", "--lease", "100ms", "--", "cat"],
        &["work", "q", "--max-jobs", "0", "--", "cat"],
        &["work", "q", "--", "./no-such-program"],
        &["work", "q", "--keep-alive", "--lease", "5s", "--", "cat"],
        &["serve", "--queue", "a", "--set", "b.depth=5"],
        &["serve", "--queue", "a", "--set", "a.worker=pull"],
        &["serve", "--queue", "a=keep-alive:./no-such-program"],
        &["version", "--json", "-q"],
        &["version", "--url", "ftp://example.org"],
        &["serve", "--queue", "a=b"],
        &["serve", "--queue", "a", "--queue", "a"],
        &["serve", "--drain", "soon"],
        &["serve", "--listen", "nowhere"],
        &["serve", "--store", "postgres://x"],
    ] {
        let ran = Ran::of(raincheck().args(words));
        assert_eq!(ran.code, 2, "{words:?}: {ran:?}");
        assert!(
            ran.stdout.is_empty() && ran.stderr.starts_with("error: "),
            "{words:?}: {ran:?}"
        );
    }
}

#[test]
fn without_a_server_a_command_ends_with_69_and_says_how_to_start_one() {
    let ran = Ran::of(raincheck().args(["queue", "list", "--url", "http://127.0.0.1:9"]));
    assert_eq!(ran.code, 69);
    assert!(ran.stdout.is_empty());
    assert!(
        ran.stderr
            .starts_with("error: no Raincheck server answers at http://127.0.0.1:9 ("),
        "{ran:?}"
    );
    assert!(ran.stderr.contains("Start one: raincheck serve"), "{ran:?}");
    let words = ["job", "result", "job_1", "--wait", "--url", "http://127.0.0.1:9"];
    assert_eq!(
        Ran::of(raincheck().args(words)).code,
        69,
        "it does not wait for a server that it never met"
    );
}

#[test]
fn the_readme_has_the_same_exit_codes_as_the_help() {
    let readme = concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md");
    let readme = std::fs::read_to_string(readme).expect("the README is there");
    let help = help(&[]);
    let (_, table) = help.split_once("Exit codes:\n").expect("the help has them");
    for line in table.lines() {
        let (code, meaning) = line.trim().split_once("  ").expect("a code and its meaning");
        let row = format!("| {code} | ");
        let told = readme.lines().find_map(|line| line.strip_prefix(&row));
        let told = told
            .unwrap_or_else(|| panic!("{code} is missing"))
            .replace('`', "");
        assert!(told.starts_with(meaning), "{code}: {told} is not {meaning}");
    }
}
