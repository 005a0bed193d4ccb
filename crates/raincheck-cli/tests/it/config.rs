//! The configuration: what is stronger, what is refused, and what a running server follows.

use std::path::Path;
use std::process::Command;

use crate::rig::{Ran, Server, raincheck};

fn folder(toml: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    write(folder.path(), toml);
    folder
}

fn write(folder: &Path, toml: &str) {
    std::fs::write(folder.join("raincheck.toml"), toml).expect("the file can be written");
}

fn within(folder: &Path, words: &[&str]) -> Command {
    let mut command = raincheck();
    command.args(words).current_dir(folder);
    command
}

fn show(command: &mut Command, words: &[&str]) -> serde_json::Value {
    Ran::of(command.args(["config", "show", "--json"]).args(words)).json()
}

#[test]
fn flags_are_stronger_than_variables_and_those_than_the_file() {
    let folder = folder(
        "drain = '1s'\nlog = 'debug'\npublic_url = 'http://a.example'\n[queues.q]\nconcurrency = 1\ndepth = 1\n",
    );
    let mut command = within(folder.path(), &[]);
    command
        .env("RAINCHECK_LOG", "warn")
        .env("RAINCHECK_DRAIN", "2s")
        .env("RAINCHECK_QUEUES__Q__CONCURRENCY", "2");
    let shown = show(
        &mut command,
        &["--origin", "--drain", "3s", "--set", "q.timeout=1m"],
    );
    let settings = &shown["settings"];
    for (name, value, origin) in [
        ("drain", "3s", "--drain"),
        ("log", "warn", "RAINCHECK_LOG"),
        ("public_url", "http://a.example", "raincheck.toml:3"),
        ("log_format", "auto", "default"),
    ] {
        let expected = serde_json::json!({"value": value, "origin": origin});
        assert_eq!(settings[name], expected, "{name}");
    }
    let queue = &shown["queues"]["q"];
    assert_eq!(queue["concurrency"]["origin"], "RAINCHECK_QUEUES__Q__CONCURRENCY");
    assert_eq!(queue["depth"]["origin"], "raincheck.toml:6");
    assert_eq!(queue["timeout"]["value"], "1m");
    assert_eq!(shown["file"], "raincheck.toml");
}

#[test]
fn the_configuration_is_shown_as_a_table_in_a_pipe() {
    let folder = folder("dev = true\n");
    let ran = Ran::of(&mut within(folder.path(), &["config", "show", "--origin"])).ok();
    assert!(ran.contains("dev\ttrue\traincheck.toml:1\n"), "{ran}");
    for default in [
        "store\traincheck-data\tdefault\n",
        "public_url\thttp://127.0.0.1:7246\tdefault\n",
        "rate_per_key\t10000/s\tdefault\n",
        "rate_per_address\t200/s\tdefault\n",
        "master_key\t-\tdefault\n",
    ] {
        assert!(ran.contains(default), "{default}: {ran}");
    }
}

#[test]
fn what_other_variables_say_is_shown_with_them() {
    let folder = folder("");
    let mut command = within(folder.path(), &[]);
    command
        .env("STATE_DIRECTORY", "/var/lib/raincheck")
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318")
        .env("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
        .env("OTEL_TRACES_SAMPLER_ARG", "0.5");
    let settings = show(&mut command, &["--origin"])["settings"].clone();
    for (name, value, origin) in [
        ("store", "/var/lib/raincheck", "STATE_DIRECTORY"),
        (
            "otlp_endpoint",
            "http://collector:4318",
            "OTEL_EXPORTER_OTLP_ENDPOINT",
        ),
        ("trace_sampler", "parentbased_traceidratio", "OTEL_TRACES_SAMPLER"),
        ("trace_share", "0.5", "OTEL_TRACES_SAMPLER_ARG"),
    ] {
        let expected = serde_json::json!({"value": value, "origin": origin});
        assert_eq!(settings[name], expected, "{name}");
    }
}

#[test]
fn what_a_variable_says_in_vain_is_told_where_one_looks() {
    let told = [
        "RAINCHECK_API_KEYS is passed over",
        "OTEL_TRACES_SAMPLER is passed over",
    ];
    let with = |mut command: Command| {
        command
            .env("RAINCHECK_API_KEYS", "rck_x")
            .env("OTEL_TRACES_SAMPLER", "sometimes");
        command
    };
    let server = Server::start_as(with(raincheck()), folder(""), &[]);
    told.iter().for_each(|part| server.logged(part, 1));
    let doctor = Ran::of(&mut with(server.command(&["doctor"])));
    let shown = Ran::of(&mut with(server.command(&["config", "show"])));
    for part in told {
        assert!(
            doctor.text().contains(&format!("warning\tenvironment\t{part}")),
            "{doctor:?}"
        );
        assert!(shown.stderr.contains(part), "{shown:?}");
    }
    server.stop();
}

#[test]
fn all_addresses_that_are_listened_on_are_told() {
    let folder = folder("");
    let socket = folder.path().join("here.sock");
    let unix = format!("unix:{}", socket.display());
    let words = [
        "--listen",
        "127.0.0.1:0",
        "--listen",
        "[::1]:0",
        "--listen",
        &unix,
    ];
    let server = Server::start_in(folder, &words);
    let line = format!("\"urls\":\"{} http://[::1]:", server.url);
    server.logged(&line, 1);
    server.logged(&format!(" {unix}\""), 1);
    server.stop();
}

#[test]
fn a_file_that_is_named_is_read_instead_of_the_one_that_is_found() {
    let folder = folder("drain = '1s'\n");
    let other = folder.path().join("other.toml");
    std::fs::write(&other, "dev = true\n").unwrap();
    let mut command = within(folder.path(), &[]);
    let shown = show(command.env("RAINCHECK_CONFIG", &other), &[]);
    assert_eq!(shown["settings"]["dev"], true);
    assert_eq!(shown["settings"]["drain"], "25s");
    let ran = Ran::of(&mut within(folder.path(), &["serve", "--config", "nowhere.toml"]));
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("nowhere.toml"), "{ran:?}");
}

#[test]
fn a_key_that_means_nothing_ends_the_start_with_its_line_and_makes_nothing() {
    let folder = folder("\nlisten = '127.0.0.1:0'\n[queues.q]\nconcurency = 1\n");
    let ran = Ran::of(&mut within(folder.path(), &["serve"]));
    assert_eq!(ran.code, 2, "{ran:?}");
    let what = "raincheck.toml:4: queues.q: there is no setting \"concurency\"; did you mean concurrency?";
    assert!(ran.stderr.contains(what), "{ran:?}");
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[test]
fn a_check_tells_all_mistakes_of_a_file() {
    let folder = folder("drain = 'soon'\nlisen = 1\n[queues.q]\nconcurrency = 'many'\n");
    let check = |format: &str| {
        Ran::of(&mut within(
            folder.path(),
            &["config", "check", "raincheck.toml", format],
        ))
    };
    let ran = check("--no-color");
    assert_eq!((ran.code, ran.stderr.lines().count()), (2, 3), "{ran:?}");
    assert_eq!(check("--json").json().as_array().map(Vec::len), Some(3));
    write(folder.path(), "[queues.q]\nconcurrency = 0\n");
    assert!(
        check("-q")
            .stderr
            .contains("raincheck.toml:2: queue q: concurrency")
    );
    write(folder.path(), "[queues.q]\nconcurrency = 4\n");
    assert_eq!(check("-q").code, 0);
}

/// Files that nothing is wrong with in themselves and that a server is refused for, and what it says.
const REFUSED: [(&str, &str, &str); 12] = [
    (
        "listen = ['0.0.0.0:0']",
        "without TLS",
        "--tls-cert FILE --tls-key FILE",
    ),
    (
        "listen = ['127.0.0.1:0', '[::]:0']",
        "without TLS",
        "--insecure-http",
    ),
    (
        "tls_cert = 'a.pem'\ntls_key = 'b.pem'",
        "raincheck.toml:1: tls_cert: ",
        "raincheck serve --tls-cert",
    ),
    (
        "\ntls_cert = 'a.pem'",
        "raincheck.toml:2: tls_cert: tls_key is missing",
        "--tls-key FILE",
    ),
    (
        "tls_key = 'b.pem'",
        "raincheck.toml:1: tls_key: tls_cert is missing",
        "--tls-cert FILE",
    ),
    (
        "ca_file = 'nowhere.pem'",
        "raincheck.toml:1: ca_file: ",
        "PEM form",
    ),
    (
        "[queues.q]\nworker = { process = ['./nowhere'] }",
        "raincheck.toml:2: queue q: there is no program",
        "Name a program",
    ),
    (
        "store = 'raincheck.toml'",
        "is a file",
        "--store ./raincheck-data",
    ),
    (
        "upstream_timeout = '0s'",
        "nothing is answered within 0s",
        "--upstream-timeout 5m",
    ),
    (
        "[[proxy]]\npath = '/v1/**'\nupstream = 'http://127.0.0.1:1'",
        "no call goes by /v1/**",
        "name another path",
    ),
    (
        "[queues.proxy]\nworker = 'pull'\n[[proxy]]\npath = '/a/**'\nupstream = 'http://127.0.0.1:1'",
        "raincheck.toml:2: queue proxy: its jobs are calls of the proxy",
        "Leave worker out",
    ),
    (
        "program_user = 'nobody-at-all'",
        "raincheck.toml:1: program_user: ",
        "getent passwd",
    ),
];

#[test]
fn a_check_and_the_doctor_refuse_what_a_start_refuses() {
    for (toml, what, next) in REFUSED {
        let folder = folder(toml);
        let ran = |words: &[&str]| Ran::of(&mut within(folder.path(), words));
        let serve = ran(&["serve"]);
        let check = ran(&["config", "check", "raincheck.toml"]);
        for ran in [&serve, &check] {
            assert_eq!(ran.code, 2, "{toml}: {ran:?}");
            assert!(
                ran.stderr.contains(what) && ran.stderr.contains(next),
                "{toml}: {ran:?}"
            );
        }
        let listed = ran(&["config", "check", "raincheck.toml", "--json"]).json();
        assert_eq!(listed.as_array().map(Vec::len), Some(1), "{toml}: {listed}");
        let doctor = ran(&["doctor", "--json", "--url", "http://127.0.0.1:1"]).json();
        let mut findings = doctor.as_array().expect("a list").iter();
        let told = findings.any(|finding| {
            finding["state"] == "fault"
                && finding["found"]
                    .as_str()
                    .is_some_and(|found| found.contains(what))
                && finding["next"].as_str().is_some_and(|text| text.contains(next))
        });
        assert!(told, "{toml}: {doctor}");
        assert_eq!(
            std::fs::read_dir(folder.path()).unwrap().count(),
            1,
            "{toml}: nothing is made"
        );
    }
}

#[test]
fn a_check_tells_all_that_a_start_is_refused_for() {
    let folder = folder(
        "listen = ['0.0.0.0:0']\nca_file = 'a.pem'\n[queues.a]\nworker = { process = ['./a'] }\n[queues.b]\nworker = { process = ['./b'] }\n",
    );
    let mut command = within(folder.path(), &["config", "check", "raincheck.toml", "--json"]);
    let mistakes = Ran::of(&mut command).json();
    assert_eq!(mistakes.as_array().map(Vec::len), Some(4), "{mistakes}");
}

#[test]
fn the_doctor_tells_that_others_need_a_first_key() {
    let folder = folder("listen = ['0.0.0.0:0']\ninsecure_http = true\n");
    let ran = |words: &[&str]| Ran::of(&mut within(folder.path(), words));
    assert!(ran(&["serve"]).stderr.contains("there is no API key"));
    assert_eq!(
        ran(&["config", "check", "raincheck.toml"]).code,
        0,
        "the store is none of the file's"
    );
    let doctor = ran(&["doctor", "--url", "http://127.0.0.1:1"]);
    assert!(doctor.text().contains("warning\tfirst key\t"), "{doctor:?}");
    assert!(
        doctor.text().contains("raincheck key create ops --scope admin"),
        "{doctor:?}"
    );
}

#[test]
fn the_queues_of_the_file_work_and_are_its_own() {
    let folder = folder(
        "[queues.up]\nworker = { process = ['tr', 'a-z', 'A-Z'] }\nresult_type = 'text/plain'\n[queues.other]\n",
    );
    let server = Server::start_in(folder, &["--set", "other.depth=3"]);
    let done = server.run(&["submit", "up", "\"rain\"", "--wait=30s"]);
    assert_eq!(done.ok(), "\"RAIN\"");
    assert_eq!(
        server.run(&["queue", "get", "other", "--json"]).json()["depth"],
        3
    );
    let refused = server.run(&["queue", "set", "up", "timeout=1s"]);
    assert_eq!(refused.code, 7, "{refused:?}");
    server.stop();
}

#[test]
fn a_hangup_has_the_configuration_read_again_and_followed() {
    let folder = folder("[queues.q]\nconcurrency = 1\n[queues.gone]\nworker = { process = ['cat'] }\n");
    let server = Server::start_in(folder, &[]);
    let read_again = "the configuration was read again";
    write(
        server.folder(),
        "log = 'debug'\ndrain = '3s'\n[queues.q]\nconcurrency = 2\n[queues.new]\n",
    );
    server.signal("HUP");
    server.logged(read_again, 1);
    let queue = |name| server.run(&["queue", "get", name, "--json"]).json();
    assert_eq!(queue("q")["concurrency"], 2);
    assert_eq!(queue("new")["managed"], true);
    let gone = queue("gone");
    assert_eq!(gone["worker"], "pull", "its program is forgotten");
    assert_eq!(gone["managed"], false, "it is nobody's any more");
    server.run(&["queue", "set", "gone", "timeout=1s"]).ok();
    server.run(&["queue", "delete", "gone", "--yes"]).ok();
    server.logged("\"level\":\"debug\"", 1);
    server.logged("\"setting\":\"drain\"", 1);
    server.logged("\"queue\":\"gone\"", 1);

    write(
        server.folder(),
        "log = 'debug'\n[queues.q]\nconcurrency = 3\ncolour = 1\n",
    );
    server.signal("HUP");
    server.logged("the configuration is left as it was: raincheck.toml:4: ", 1);
    assert_eq!(queue("q")["concurrency"], 2);

    write(
        server.folder(),
        "log = 'info'\n[queues.q]\nconcurrency = 4\nworker = { process = ['./nowhere'] }\n",
    );
    server.signal("HUP");
    server.logged("the configuration is left as it was", 2);
    assert_eq!(queue("q")["concurrency"], 2);
    server.stop();
}

#[test]
fn groups_of_the_file_are_followed_by_a_running_server_and_forgotten_with_it() {
    const QUEUE: &str =
        "drain = '0s'\n[queues.q]\nworker = { process = ['sleep', '1000'] }\nconcurrency = 9\n";
    let with = |groups: &str| format!("{QUEUE}{groups}");
    let server = Server::start_in(folder(&with("[queues.q.groups.a]\nconcurrency = 1\n")), &[]);
    let jobs: Vec<_> = (0..3).map(|_| server.submit(&["q", "--group", "a"])).collect();
    let concurrency = || {
        let group = server.run(&["queue", "group", "q", "a", "--json"]).json();
        (
            group["concurrency"].clone(),
            group["origin"]["concurrency"].clone(),
        )
    };
    let state = |id: &str| server.run(&["job", "get", id, "--json"]).json()["state"].clone();
    server.until(&jobs[0], "running");
    assert_eq!(state(&jobs[1]), "queued", "its group has one turn");
    for (read, groups, limit, running) in [
        (
            1,
            "[queues.q.groups.a]\nconcurrency = 2\n",
            (2.into(), "set".into()),
            2,
        ),
        (2, "", (serde_json::Value::Null, "default".into()), 3),
    ] {
        write(server.folder(), &with(groups));
        server.signal("HUP");
        server.logged("the configuration was read again", read);
        assert_eq!(concurrency(), limit, "{groups:?}");
        for id in &jobs[..running] {
            server.until(id, "running");
        }
        if let Some(id) = jobs.get(running) {
            assert_eq!(state(id), "queued", "{groups:?}");
        }
    }
    server.stop();
}

#[test]
fn a_queue_that_the_file_names_no_more_is_ordinary_without_a_restart() {
    let named = "[queues.q]\nconcurrency = 2\n";
    let server = Server::start_in(folder(named), &["--queue", "flag"]);
    let queue = |name: &str| server.run(&["queue", "get", name, "--json"]).json();
    let read_again = |toml: &str, times| {
        write(server.folder(), toml);
        server.signal("HUP");
        server.logged("the configuration was read again", times);
    };
    let id = server.submit(&["q"]);
    assert_eq!(server.run(&["queue", "set", "q", "timeout=1s"]).code, 7);
    read_again("", 1);
    let left = queue("q");
    assert_eq!(
        (&left["managed"], &left["concurrency"]),
        (&false.into(), &2.into())
    );
    assert_eq!(queue("flag")["managed"], true, "a flag names it still");
    assert_eq!(
        server.run(&["job", "get", &id, "--json"]).json()["state"],
        "queued"
    );
    server.run(&["queue", "set", "q", "timeout=1s"]).ok();
    // Named again it is the file's again, and whole.
    read_again(named, 2);
    let back = queue("q");
    assert_eq!(
        (&back["managed"], &back["origin"]["timeout"]),
        (&true.into(), &"default".into())
    );
    server.stop();
}

#[test]
fn a_setting_that_waits_for_a_start_is_named_until_it_is_taken_back() {
    let server = Server::start_in(folder(""), &[]);
    for (toml, named, read) in [("drain = '3s'", 1, 1), ("drain = '3s'", 2, 2), ("", 2, 3)] {
        write(server.folder(), toml);
        server.signal("HUP");
        server.logged("the configuration was read again", read);
        server.logged("\"setting\":\"drain\"", named);
    }
    let (_, log, _folder) = {
        server.signal("TERM");
        server.ended()
    };
    assert_eq!(log.matches("\"setting\":\"drain\"").count(), 2, "{log}");
}

#[test]
fn the_reference_is_what_the_table_says() {
    let page = Ran::of(raincheck().args(["config", "reference"])).stdout;
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    let committed = std::fs::read_to_string(committed).unwrap();
    let page = String::from_utf8(page).unwrap();
    let mut both = page.lines().zip(committed.lines());
    let differs = both.find(|(page, committed)| page != committed);
    let write_it = "cargo run -p raincheck-cli -- config reference > docs/configuration.md";
    assert_eq!(differs, None, "write it: {write_it}");
    assert_eq!(page.len(), committed.len(), "write it: {write_it}");
}

#[test]
fn the_configurations_that_are_shipped_have_no_mistakes() {
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy");
    for shipped in ["systemd/raincheck.toml", "kubernetes/raincheck.toml"] {
        let mut command = raincheck();
        command.args(["config", "check"]).arg(deploy.join(shipped));
        let ran = Ran::of(&mut command);
        assert_eq!(ran.code, 0, "{ran:?}");
    }
}
