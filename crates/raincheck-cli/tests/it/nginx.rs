//! The guide's configuration of nginx, with nginx before a real server: what passes, when, and who is told to have asked.
//!
//! Invariant: the configuration is the one of the page, but for addresses and the certificate that the page leaves to its reader.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::door::certify;
use crate::guides::{block, there};
use crate::rig::{Ran, Server, locked_in, until};

/// nginx before a server.
struct Nginx {
    child: Child,
    url: String,
}

impl Nginx {
    fn before(server: &Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let at = listener.local_addr().expect("it is taken");
        drop(listener);
        let folder = server.folder();
        let tls = format!(
            "listen {at} ssl; ssl_certificate {0}/cert.pem; ssl_certificate_key {0}/key.pem;",
            folder.display()
        );
        let page = block("nginx.md", "nginx");
        let own = page
            .replace("listen 8443;", &tls)
            .replace("127.0.0.1:7246", server.url.trim_start_matches("http://"));
        assert!(own.contains("ssl_certificate") && !own.contains("7246"), "{own}");
        fs::write(folder.join("nginx.conf"), around(&own, folder)).expect("the folder is there");
        let child = Command::new("nginx")
            .arg("-c")
            .arg(folder.join("nginx.conf"))
            .args(["-g", "daemon off; master_process off;"])
            .stderr(Stdio::null())
            .spawn()
            .expect("nginx starts");
        until("nginx listens", || TcpStream::connect(at).is_ok());
        let url = format!("https://localhost:{}", at.port());
        Self { child, url }
    }

    /// What asks it.
    fn curl(&self, folder: &Path, key: &str, words: &[&str]) -> Command {
        let (path, words) = words.split_last().expect("a path");
        let mut curl = Command::new("curl");
        curl.args(["-sN", "-4", "--max-time", "60", "--cacert", "cert.pem"])
            .args(["-H", &format!("Authorization: Bearer {key}")])
            .args(words)
            .arg(format!("{}{path}", self.url))
            .current_dir(folder);
        curl
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server's block, within what every configuration needs around it.
pub(crate) fn around(own: &str, folder: &Path) -> String {
    let at = folder.display();
    format!(
        "pid {at}/nginx.pid; error_log {at}/error.log; events {{}} http {{ access_log off; client_body_temp_path {at}/b; \
         proxy_temp_path {at}/p; fastcgi_temp_path {at}/f; uwsgi_temp_path {at}/u; scgi_temp_path {at}/s; {own} }}"
    )
}

/// Reads lines until one begins so.
fn read_until(lines: &mut impl Iterator<Item = String>, start: &str) -> String {
    let found = lines.find(|line| line.starts_with(start));
    found.unwrap_or_else(|| panic!("it ended before {start:?}"))
}

#[test]
fn behind_nginx_nothing_waits_in_a_buffer_and_the_client_is_known() {
    if !there("nginx", "nginx.md") || !there("curl", "nginx.md") {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    certify(folder.path());
    // A program that shows a word, and ends once it may.
    let program = "cmd:sh -c 'echo so far; while [ ! -e go ]; do sleep 0.02; done; echo done'";
    let arguments = [
        "--behind-proxy",
        "127.0.0.1",
        "--queue",
        &format!("show={program}"),
        "--set",
        "show.stream=true",
    ];
    let (server, key) = locked_in(folder, &arguments);
    let nginx = Nginx::before(&server);
    let ask = |words: &[&str]| nginx.curl(server.folder(), &key, words);
    let answer = |words: &[&str]| Ran::of(&mut ask(words)).ok();

    // Events and output come while the job runs.
    let job: Value = serde_json::from_str(&answer(&["-d", "x", "/v1/queues/show/jobs"])).expect("a job");
    let path = job["urls"]["self"].as_str().expect("its path").to_owned();
    let mut following = ask(&[&format!("{path}/events")])
        .stdout(Stdio::piped())
        .spawn()
        .expect("curl starts");
    let mut lines = BufReader::new(following.stdout.take().expect("it is piped"))
        .lines()
        .map_while(Result::ok);
    read_until(&mut lines, "event: output");
    assert!(read_until(&mut lines, "data:").contains("so far"));
    // A wait is held until there is something to tell.
    let mut waiting = ask(&[&format!("{path}/result?wait=60")])
        .stdout(Stdio::piped())
        .spawn()
        .expect("curl starts");
    assert!(waiting.try_wait().expect("it is there").is_none());
    fs::write(server.folder().join("go"), "").expect("the folder is there");
    assert!(read_until(&mut lines, "event: done").contains("done"));
    following.wait().expect("it ends");
    let waited = waiting.wait_with_output().expect("it ends");
    assert_eq!(String::from_utf8_lossy(&waited.stdout), "so far\ndone\n");

    // A batch is worked while it is uploaded.
    let ndjson = "Content-Type: application/x-ndjson";
    let mut upload = ask(&["-X", "POST", "-T", "-", "-H", ndjson, "/v1/batches?queue=show"]);
    let mut upload = upload
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("curl starts");
    let mut body = upload.stdin.take().expect("it is piped");
    body.write_all(b"{\"input_text\":\"one\"}\n").expect("curl reads");
    until("the first line is a job", || {
        let listed: Value = serde_json::from_str(&answer(&["/v1/jobs?queue=show"])).expect("a list");
        listed["jobs"].as_array().is_some_and(|jobs| jobs.len() == 2)
    });
    body.write_all(b"{\"input_text\":\"two\"}\n").expect("curl reads");
    drop(body);
    let batch = upload.wait_with_output().expect("it ends");
    let batch: Value = serde_json::from_slice(&batch.stdout).expect("a batch");
    assert_eq!(
        (&batch["total"], &batch["sealed"]),
        (&2.into(), &true.into()),
        "{batch}"
    );

    // Who asks is who nginx sees, whatever he claims.
    let claimed = "X-Forwarded-For: 203.0.113.7";
    let words = [
        "--interface",
        "127.0.0.2",
        "-H",
        claimed,
        "-X",
        "PUT",
        "--json",
        "{}",
        "/v1/queues/mine",
    ];
    answer(&words);
    let audit = answer(&["/v1/audit"]);
    assert!(
        audit.contains("127.0.0.2") && !audit.contains("203.0.113.7"),
        "{audit}"
    );
    drop(nginx);
    server.stop();
}
