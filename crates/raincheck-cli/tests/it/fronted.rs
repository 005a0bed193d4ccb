//! A server in front of a service, with the real binary: what the documentation shows, and `kill -9` in the middle of calls.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex};

use crate::door::{TLS, certify};
use crate::rig::{Ran, Server, first_key, raincheck, until};

/// A service in threads of its own that answers as `/now…` at once, and everything else only from the second call on; it writes
/// down what it was asked.
struct Service {
    addr: SocketAddr,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Service {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let addr = listener.local_addr().expect("it is taken");
        let heard = Arc::<Mutex<Vec<String>>>::default();
        let kept = heard.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let heard = kept.clone();
                std::thread::spawn(move || answer(stream, &heard));
            }
        });
        Self { addr, heard }
    }

    fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// How often a request began so.
    fn calls(&self, start: &str) -> usize {
        let heard = self.heard.lock().expect("no thread of the service panics");
        heard.iter().filter(|head| head.starts_with(start)).count()
    }
}

fn answer(mut stream: TcpStream, all: &Mutex<Vec<String>>) {
    let mut heard = Vec::new();
    let mut part = [0; 4096];
    while !heard.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut part) {
            Ok(0) | Err(_) => return,
            Ok(read) => heard.extend_from_slice(&part[..read]),
        }
    }
    let head = String::from_utf8_lossy(&heard).into_owned();
    let line = head.lines().next().unwrap_or_default().to_owned();
    let calls = {
        let mut all = all.lock().expect("no thread of the service panics");
        all.push(head);
        all.iter().filter(|head| head.starts_with(&line)).count()
    };
    let slow = !line.contains(" /now") && calls == 1;
    if slow {
        // Until whoever asked is gone.
        while !matches!(stream.read(&mut part), Ok(0) | Err(_)) {}
        return;
    }
    let answer = "HTTP/1.1 200 OK\r\nContent-Type: application/pdf\r\nContent-Length: 4\r\nConnection: close\r\n\r\n%PDF";
    let _ = stream.write_all(answer.as_bytes());
}

fn curl(words: &[&str]) -> String {
    let mut curl = Command::new("curl");
    Ran::of(curl.args(["-si", "--max-time", "60"]).args(words)).ok()
}

/// The path of a rain check's result.
fn result_of(answer: &str) -> String {
    assert!(answer.starts_with("HTTP/1.1 202 Accepted"), "{answer}");
    let location = answer
        .lines()
        .find_map(|line| line.strip_prefix("location: "))
        .expect("a location");
    let (path, ticket) = location.trim().split_once('?').expect("a ticket");
    format!("{path}/result?{ticket}&wait=60")
}

#[test]
fn the_quick_start_works_as_it_is_written() {
    let service = Service::start();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let arguments = ["--async", "/now/reports/**", "--async", "/exports/**"];
    let proxy = Server::proxy_in(folder, &service.url(), &arguments);
    let url = |path: &str| format!("{}{path}", proxy.url);
    let check = curl(&[
        &url("/now/reports/2026-11"),
        "-X",
        "POST",
        "-d",
        r#"{"format":"pdf"}"#,
    ]);
    assert!(
        check.contains("\nlocation: /_raincheck/v1/jobs/job_") && check.contains("\nretry-after: "),
        "{check}"
    );
    let result = curl(&[&url(&result_of(&check))]);
    assert!(result.starts_with("HTTP/1.1 200 OK"), "{result}");
    assert!(
        result.contains("content-type: application/pdf") && result.ends_with("%PDF"),
        "{result}"
    );
    let passed = curl(&[&url("/now/else")]);
    assert!(
        passed.starts_with("HTTP/1.1 200 OK") && !passed.contains("raincheck-job"),
        "{passed}"
    );
    // The other commands find the API below its mount.
    let mut list = raincheck();
    list.env("RAINCHECK_URL", url("/_raincheck"))
        .args(["job", "list", "--json"]);
    let jobs = Ran::of(&mut list).json();
    assert_eq!(jobs[0]["queue"], "proxy", "{jobs}");
    proxy.stop();
}

/// A job is made of a call that the service does not answer, and the server dies.
fn killed_in_the_middle(method: &str, arguments: &[&str]) -> (Service, Server, String) {
    let service = Service::start();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let proxy = Server::proxy_in(folder, &service.url(), arguments);
    let check = curl(&[&format!("{}/slow", proxy.url), "-X", method, "-d", "rain"]);
    let result = result_of(&check);
    until("the call", || service.calls(&format!("{method} /slow")) == 1);
    let folder = proxy.kill();
    let proxy = Server::proxy_in(folder, &service.url(), arguments);
    let redeemed = curl(&[&format!("{}{result}", proxy.url)]);
    (service, proxy, redeemed)
}

#[test]
fn a_crash_in_the_middle_of_a_call_repeats_what_is_safe_to_repeat() {
    for arguments in [&["--async", "/**"][..], &["--after", "50ms"]] {
        let (service, proxy, result) = killed_in_the_middle("PUT", arguments);
        assert!(
            result.starts_with("HTTP/1.1 200 OK") && result.ends_with("%PDF"),
            "{result}"
        );
        assert_eq!(service.calls("PUT /slow"), 2);
        proxy.stop();
    }
}

#[test]
fn a_crash_in_the_middle_of_a_call_never_repeats_what_is_not() {
    for arguments in [&["--async", "/**"][..], &["--after", "50ms"]] {
        let (service, proxy, result) = killed_in_the_middle("POST", arguments);
        assert!(result.contains("\nraincheck-outcome: failed"), "{result}");
        assert!(
            result.contains("lease-lost") || result.contains("call-lost"),
            "{result}"
        );
        assert_eq!(service.calls("POST /slow"), 1);
        proxy.stop();
    }
}

#[test]
fn a_server_of_queues_is_a_proxy_by_its_configuration() {
    let service = Service::start();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = format!(
        "[[proxy]]\npath = \"/now/**\"\nupstream = \"{0}\"\nmode = \"prefer\"\nafter = \"20s\"\n\n[queues.proxy]\nconcurrency = 2\n",
        service.url()
    );
    std::fs::write(folder.path().join("raincheck.toml"), file).expect("the file is written");
    let server = Server::start_in(folder, &["--queue", "hello"]);
    let url = |path: &str| format!("{}{path}", server.url);
    assert!(curl(&[&url("/now/a")]).ends_with("%PDF"));
    let check = curl(&[&url("/now/a"), "-H", "Prefer: respond-async"]);
    assert!(check.contains("\nlocation: /v1/jobs/job_"), "{check}");
    assert!(curl(&[&url(&result_of(&check))]).ends_with("%PDF"));
    assert!(curl(&[&url("/now/../admin"), "--path-as-is"]).starts_with("HTTP/1.1 404"));
    assert!(
        curl(&[&url("/elsewhere")]).starts_with("HTTP/1.1 404"),
        "no rule is for it"
    );
    let queue = server.run(&["queue", "get", "proxy", "--json"]).json();
    assert_eq!(
        queue["concurrency"]["value"]
            .as_u64()
            .or(queue["concurrency"].as_u64()),
        Some(2),
        "{queue}"
    );
    assert!(server.submit(&["hello", "{}"]).starts_with("job_"));
    server.stop();
}

#[test]
fn a_service_over_tls_is_asked_where_its_authority_is_named() {
    let service = tempfile::tempdir().expect("a temporary folder");
    certify(service.path());
    let service = Server::start_in(service, &TLS);
    let url = service.url.replace("127.0.0.1", "localhost");
    let cert = service.folder().join("cert.pem");
    let named = ["--ca-file", cert.to_str().expect("the path is text")];
    for (arguments, status) in [(&[][..], "502"), (&named, "200")] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let proxy = Server::proxy_in(folder, &url, arguments);
        let answer = curl(&[&format!("{}/healthz", proxy.url), "-H", "Host: localhost"]);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        proxy.stop();
    }
    let wrong = ["proxy", &url, "--ca-file", "nowhere.pem"];
    let ran = Ran::of(raincheck().args(wrong));
    assert!(
        ran.code == 2 && ran.stderr.contains("--ca-file: nowhere.pem"),
        "{ran:?}"
    );
    service.stop();
}

#[test]
fn a_service_is_told_what_a_named_proxy_says_of_the_way() {
    let service = Service::start();
    let folder = tempfile::tempdir().expect("a temporary folder");
    Ran::of(&mut first_key(folder.path())).ok();
    let arguments = ["--behind-proxy", "127.0.0.1", "--async", "/now/jobs/**"];
    let proxy = Server::proxy_in(folder, &service.url(), &arguments);
    for path in ["/now", "/now/jobs"] {
        let url = format!("{}{path}", proxy.url);
        let said = [
            "-H",
            "X-Forwarded-For: 203.0.113.7",
            "-H",
            "X-Forwarded-Proto: https",
        ];
        curl(&[&[url.as_str()][..], &said].concat());
        until("the call", || service.calls(&format!("GET {path} ")) == 1);
    }
    for head in service
        .heard
        .lock()
        .expect("no thread of the service panics")
        .iter()
    {
        for line in [
            "x-forwarded-for: 203.0.113.7, 127.0.0.1\r\n",
            "x-forwarded-proto: https\r\n",
        ] {
            assert!(head.contains(line), "{head}");
        }
    }
    proxy.stop();
}

#[test]
fn a_rule_that_cannot_be_is_refused_before_anything_is_made() {
    for (words, part) in [
        (&["proxy", "localhost:8000"][..], "http://localhost:8000"),
        (&["proxy", "http://a/b"], "without a path"),
        (
            &["proxy", "http://a", "--async", "reports"],
            "begins with a slash",
        ),
        (&["serve", "--proxy", "/a=b"], "http://localhost:8000"),
    ] {
        let ran = Ran::of(raincheck().args(words));
        assert!(ran.code == 2 && ran.stderr.contains(part), "{words:?}: {ran:?}");
    }
}
