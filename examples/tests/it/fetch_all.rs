//! `fetch_all`: a slow page holds nothing up, a broken one loses nothing, a killed run asks for nothing twice; and what it began as.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Lines, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};

use serde_json::Value;

use crate::rig::{binary, file, python};

/// Pages that are counted. `/slow` comes once the gate is open.
struct Pages {
    addr: SocketAddr,
    asked: Arc<Mutex<HashMap<String, u32>>>,
    gate: Arc<(Mutex<bool>, Condvar)>,
}

impl Pages {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let pages = Self {
            addr: listener.local_addr().unwrap(),
            asked: Arc::default(),
            gate: Arc::default(),
        };
        let (asked, gate) = (pages.asked.clone(), pages.gate.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (asked, gate) = (asked.clone(), gate.clone());
                std::thread::spawn(move || answer(&stream, &asked, &gate));
            }
        });
        pages
    }

    fn list(&self, paths: &[String]) -> String {
        paths
            .iter()
            .map(|path| format!("http://{}{path}\n", self.addr))
            .collect()
    }

    /// Waits until so many were asked for, and sees that no more are.
    fn until_asked(&self, pages: usize) {
        loop {
            let asked = self.asked.lock().unwrap().len();
            assert!(asked <= pages, "{asked} are asked for");
            if asked == pages {
                return;
            }
            std::thread::yield_now();
        }
    }

    fn open(&self) {
        *self.gate.0.lock().unwrap() = true;
        self.gate.1.notify_all();
    }
}

fn answer(
    mut stream: &TcpStream,
    asked: &Mutex<HashMap<String, u32>>,
    gate: &(Mutex<bool>, Condvar),
) -> Option<()> {
    let mut lines = BufReader::new(stream).lines();
    let path = lines.next()?.ok()?.split(' ').nth(1)?.to_owned();
    lines.map_while(Result::ok).find(String::is_empty)?;
    *asked.lock().unwrap().entry(path.clone()).or_default() += 1;
    if path == "/slow" {
        let open = gate.0.lock().unwrap();
        drop(gate.1.wait_while(open, |open| !*open).unwrap());
    }
    let status = if path == "/broken" { "500 Broken" } else { "200 OK" };
    let length = path.len();
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/plain\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all((head + &path).as_bytes()).ok()
}

/// A hundred pages, one that is slow and one that is broken.
fn paths() -> Vec<String> {
    let mut paths: Vec<_> = (0..100).map(|n| format!("/{n}")).collect();
    paths.insert(0, "/slow".to_owned());
    paths.insert(50, "/broken".to_owned());
    paths
}

/// A run over this store: what it prints, line by line.
fn run(store: &Path, list: &str) -> (Child, Lines<BufReader<ChildStdout>>) {
    let mut command = Command::new(binary("fetch_all"));
    command.env("STORE", store).env("BACKOFF", "constant;base=1ms");
    started(command, list)
}

fn started(mut command: Command, list: &str) -> (Child, Lines<BufReader<ChildStdout>>) {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(list.as_bytes()).unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    (child, lines)
}

fn path(line: &str) -> (String, Value) {
    let line: Value = serde_json::from_str(line).unwrap();
    let url = line["url"].as_str().unwrap();
    (url[url.rfind('/').unwrap()..].to_owned(), line)
}

#[test]
fn slow_and_broken_pages_harm_no_other_and_a_killed_run_asks_for_nothing_twice() {
    let (pages, folder) = (Pages::start(), tempfile::tempdir().unwrap());
    let paths = paths();
    let list = pages.list(&paths);
    let (mut killed, mut lines) = run(folder.path(), &list);
    // All others come, though the first of them does not: in chunks of 30 none would.
    let first: HashMap<_, _> = (0..101).map(|_| path(&lines.next().unwrap().unwrap())).collect();
    assert!(!first.contains_key("/slow"));
    assert_eq!(
        (&first["/broken"]["outcome"], &first["/broken"]["status"]),
        (&"failed".into(), &500.into())
    );
    killed.kill().unwrap();
    killed.wait().unwrap();
    pages.open();
    let (mut again, lines) = run(folder.path(), &list);
    let all: HashMap<_, _> = lines.map(|line| path(&line.unwrap())).collect();
    assert!(again.wait().unwrap().success());
    assert_eq!((all.len(), &all["/slow"]["text"]), (102, &"/slow".into()));
    let asked = pages.asked.lock().unwrap();
    for path in &paths {
        // What was under way is asked for again, what is broken was tried twice.
        let times = if matches!(path.as_str(), "/slow" | "/broken") {
            2
        } else {
            1
        };
        assert_eq!(asked[path], times, "{path}");
    }
}

#[test]
fn the_original_waits_for_the_slow_page_and_loses_all_others_by_the_broken_one() {
    if !python() {
        return;
    }
    let pages = Pages::start();
    let mut command = Command::new(file("fetch_all/original.py"));
    command.stderr(Stdio::piped());
    let (mut original, lines) = started(command, &pages.list(&paths()));
    // While this one prints all but the slow page, the original does not get beyond the chunk that it is in.
    let (others, folder) = (Pages::start(), tempfile::tempdir().unwrap());
    let (mut ours, mut printed) = run(folder.path(), &others.list(&paths()));
    assert_eq!(printed.by_ref().take(101).count(), 101);
    ours.kill().unwrap();
    ours.wait().unwrap();
    pages.until_asked(30);
    others.open();
    pages.open();
    let printed = lines.map_while(Result::ok).count();
    let mut said = String::new();
    original.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(original.wait().unwrap().code(), Some(1));
    assert!(said.contains("/broken: 500"), "{said}");
    let asked = pages.asked.lock().unwrap().len();
    assert!(
        (31..=60).contains(&asked),
        "{asked}: the second chunk is its last"
    );
    assert_eq!(printed, 0, "and of those that came none is there");
}
