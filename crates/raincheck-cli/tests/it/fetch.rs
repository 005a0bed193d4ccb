//! `raincheck fetch` against real pages: what is written, and that nothing is lost, doubled or asked for again, whatever ends a run.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};

use serde_json::Value;

use crate::rig::{Ran, Server, raincheck, signal, until};

/// A web server that counts. So many of its answers under `/slow/` are let go as its gate says.
pub(crate) struct Pages {
    addr: SocketAddr,
    asked: Arc<Mutex<HashMap<String, u32>>>,
    gate: Arc<(Mutex<usize>, Condvar)>,
}

impl Pages {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let pages = Self {
            addr: listener.local_addr().expect("it has an address"),
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

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    pub(crate) fn urls(&self, path: &str, count: usize) -> String {
        (0..count)
            .map(|n| format!("{}\n", self.url(&format!("{path}{n}"))))
            .collect()
    }

    pub(crate) fn open(&self, more: usize) {
        *self.gate.0.lock().expect("nobody panics with it") += more;
        self.gate.1.notify_all();
    }

    /// How often each path was asked for.
    pub(crate) fn asked(&self) -> HashMap<String, u32> {
        self.asked.lock().expect("nobody panics with it").clone()
    }
}

fn answer(
    mut stream: &TcpStream,
    asked: &Mutex<HashMap<String, u32>>,
    gate: &(Mutex<usize>, Condvar),
) -> Option<()> {
    let mut lines = BufReader::new(stream.try_clone().ok()?).lines();
    let first = lines.next()?.ok()?;
    let path = first.split(' ').nth(1)?.to_owned();
    let mut unchanged = false;
    for line in lines.by_ref().map_while(Result::ok) {
        unchanged |= line.eq_ignore_ascii_case("if-none-match: \"v1\"");
        if line.is_empty() {
            break;
        }
    }
    *asked
        .lock()
        .expect("nobody panics with it")
        .entry(path.clone())
        .or_default() += 1;
    if path.starts_with("/slow/") {
        let mut open = gate.0.lock().expect("nobody panics with it");
        while *open == 0 {
            open = gate.1.wait(open).expect("nobody panics with it");
        }
        *open -= 1;
    }
    let (status, kind, body) = match path.as_str() {
        "/json" => ("200 OK", "application/json", "{\"a\": 1}".to_owned()),
        "/none" => ("404 Not Found", "text/plain", "none".to_owned()),
        "/bad" => ("500 Internal Server Error", "text/plain", "bad".to_owned()),
        path if path.starts_with("/tagged") && unchanged => ("304 Not Modified", "text/plain", String::new()),
        path => ("200 OK", "text/plain", path.to_owned()),
    };
    let length = if status.starts_with("304") {
        String::new()
    } else {
        format!("content-length: {}\r\n", body.len())
    };
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\netag: \"v1\"\r\n{length}connection: close\r\n\r\n"
    );
    stream.write_all((head + &body).as_bytes()).ok()
}

pub(crate) fn fetch(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = raincheck();
    command.arg("fetch").args(arguments).current_dir(folder);
    command
}

fn lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).expect("a line is JSON"))
        .collect()
}

pub(crate) fn written(folder: &Path, file: &str) -> Vec<Value> {
    lines(&std::fs::read_to_string(folder.join(file)).expect("it is there"))
}

/// The numbers of these results, in order.
pub(crate) fn sorted(results: &[Value], name: &str) -> Vec<u64> {
    let mut numbers: Vec<u64> = results
        .iter()
        .map(|one| one[name].as_u64().expect("a number"))
        .collect();
    numbers.sort_unstable();
    numbers
}

pub(crate) fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

pub(crate) fn start(command: &mut Command) -> Child {
    command
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts")
}

/// Waits for its end: its exit code, and what it said.
pub(crate) fn ended(child: Child) -> (Option<i32>, String) {
    let output = child.wait_with_output().expect("it ends");
    (
        output.status.code(),
        String::from_utf8(output.stderr).expect("messages are text"),
    )
}

#[test]
fn a_list_is_fetched_and_written_as_lines() {
    let (pages, folder) = (Pages::start(), folder());
    let list = format!(
        "# pages\n{}\n\nnonsense\n{}\n{}\n{}\n{}\n",
        pages.url("/a"),
        pages.url("/json"),
        pages.url("/none"),
        pages.url("/a#again"),
        pages.url("/bad")
    );
    let mut command = fetch(folder.path(), &["-", "-o", "pages.ndjson", "--max-attempts", "1"]);
    let ran = Ran::fed(&mut command, list.as_bytes());
    assert_eq!((ran.code, ran.text()), (3, ""), "{ran:?}");
    for said in [
        "line 4: fetch takes absolute URLs",
        "1 URLs stand there again",
        "4 URLs: 3 answered, 1 not with a 2xx, 1 failed, 1 lines were no URLs",
    ] {
        assert!(ran.stderr.contains(said), "{said}: {}", ran.stderr);
    }
    let mut results = written(folder.path(), "pages.ndjson");
    assert_eq!(
        results.iter().map(|one| one["seq"].as_u64()).collect::<Vec<_>>(),
        [1, 2, 3, 4].map(Some)
    );
    results.sort_by_key(|one| one["index"].as_u64());
    let expected = format!(
        r#"{{"index":0,"url":"{}","headers":{{"etag":"\"v1\""}},"attempts":1,"bytes":2,"outcome":"succeeded","status":200,"content_type":"text/plain","text":"/a"}}"#,
        pages.url("/a")
    );
    let mut first = results[0].clone();
    first.as_object_mut().expect("an object").remove("seq");
    assert_eq!(
        first,
        serde_json::from_str::<Value>(&expected).expect("it is JSON")
    );
    assert_eq!(results[1]["json"]["a"], 1);
    assert_eq!(
        (&results[2]["outcome"], &results[2]["status"]),
        (&"succeeded".into(), &404.into())
    );
    assert_eq!(
        (&results[3]["outcome"], &results[3]["text"]),
        (&"failed".into(), &"bad".into())
    );
    let again = Ran::of(&mut fetch(folder.path(), &["--resume", "-o", "pages.ndjson"]));
    assert!(
        again.code == 3 && again.stderr.contains("is fetched; 2 of it without an answer"),
        "{again:?}"
    );
}

#[test]
fn without_a_file_results_go_to_standard_output() {
    let (pages, folder) = (Pages::start(), folder());
    std::fs::write(folder.path().join("urls"), pages.urls("/", 300)).expect("the folder takes a file");
    let ran = Ran::of(&mut fetch(
        folder.path(),
        &["urls", "-q", "-c", "8", "--per-host", "8"],
    ));
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    let results = lines(ran.text());
    assert_eq!(sorted(&results, "index"), (0..300).collect::<Vec<_>>());
    assert!(folder.path().join("raincheck-fetch").is_dir());
    let missing = Ran::of(&mut fetch(folder.path(), &["--resume", "-o", "other"]));
    assert_eq!(missing.code, 5, "{missing:?}");
    let no_list = Ran::of(&mut fetch(folder.path(), &["absent"]));
    assert!(
        no_list.code == 1 && no_list.stderr.contains("cannot read the list"),
        "{no_list:?}"
    );
    std::fs::write(folder.path().join("blank"), "# nothing\n\n").expect("the folder takes a file");
    let nothing = Ran::of(&mut fetch(folder.path(), &["blank"]));
    assert_eq!(nothing.code, 2, "{nothing:?}");
    assert!(!folder.path().join("raincheck-fetch/urls.part").exists());
}

#[test]
fn results_stand_in_the_file_while_others_keep_coming() {
    let (pages, folder) = (Pages::start(), folder());
    std::fs::write(folder.path().join("urls"), pages.urls("/page/", 200)).expect("the folder takes a file");
    let run = ["urls", "-o", "out", "--rate", "20/s"];
    let child = start(&mut fetch(folder.path(), &run));
    let out = folder.path().join("out");
    until("a line", || {
        std::fs::read_to_string(&out).is_ok_and(|text| text.contains('\n'))
    });
    let asked = pages.asked().len();
    signal(child.id(), "KILL");
    assert_eq!(ended(child).0, None);
    assert!(asked < 200, "it came with the last");
}

#[test]
fn a_killed_run_goes_on_without_fetching_or_writing_anything_twice() {
    let (pages, folder) = (Pages::start(), folder());
    std::fs::write(folder.path().join("urls"), pages.urls("/slow/", 60)).expect("the folder takes a file");
    // Each has one attempt, so those under way are on their last.
    let mut run = vec!["urls", "-o", "out", "-c", "6", "--per-host", "6"];
    run.extend(["--max-attempts", "1", "--backoff", "constant;base=1ms"]);
    let child = start(&mut fetch(folder.path(), &run));
    pages.open(25);
    let out = folder.path().join("out");
    until("25 lines", || {
        std::fs::read_to_string(&out).is_ok_and(|text| text.lines().count() == 25)
    });
    // Six more are under way when it is killed.
    until("6 requests", || pages.asked().len() == 31);
    signal(child.id(), "KILL");
    assert_eq!(ended(child).0, None);
    let mut torn = std::fs::OpenOptions::new()
        .append(true)
        .open(&out)
        .expect("it is there");
    torn.write_all(b"{\"seq\":26,\"ind").expect("it can be written");
    drop(torn);
    let before = pages.asked();
    let refused = Ran::of(&mut fetch(folder.path(), &run));
    assert_eq!(refused.code, 7, "{refused:?}");
    assert!(
        refused.stderr.contains("raincheck fetch --resume -o out"),
        "{refused:?}"
    );
    pages.open(1_000);
    let resumed = Ran::of(&mut fetch(
        folder.path(),
        &["--resume", "-o", "out", "--max-attempts", "3"],
    ));
    assert_eq!(resumed.code, 0, "{resumed:?}");
    assert!(resumed.stderr.contains("60 URLs: 60 answered"), "{resumed:?}");
    let told = "--max-attempts stays as it was when this was begun";
    assert!(resumed.stderr.contains(told), "{resumed:?}");
    let results = written(folder.path(), "out");
    assert_eq!(sorted(&results, "index"), (0..60).collect::<Vec<_>>());
    assert_eq!(
        results.iter().map(|one| one["seq"].as_u64()).collect::<Vec<_>>(),
        (1..=60).map(Some).collect::<Vec<_>>()
    );
    let twice = pages.asked().values().filter(|count| **count > 1).count();
    assert!(twice <= 6, "{twice} were asked for again, beyond those under way");
    for result in &results[..25] {
        let path = format!("/slow/{}", result["index"]);
        assert_eq!((before[&path], pages.asked()[&path]), (1, 1), "{path}");
    }
}

#[test]
fn an_interrupted_run_says_how_to_go_on() {
    let (pages, folder) = (Pages::start(), folder());
    std::fs::write(folder.path().join("urls"), pages.urls("/slow/", 20)).expect("the folder takes a file");
    let child = start(&mut fetch(
        folder.path(),
        &["urls", "-o", "my out", "--per-host", "3"],
    ));
    pages.open(5);
    let out = folder.path().join("my out");
    until("3 more requests", || pages.asked().len() == 8);
    until("5 lines", || {
        std::fs::read_to_string(&out).is_ok_and(|text| text.lines().count() == 5)
    });
    signal(child.id(), "INT");
    let (code, said) = ended(child);
    assert_eq!(code, Some(130), "{said}");
    assert!(
        said.contains("5 of 20 URLs are written. Go on: raincheck fetch --resume -o 'my out'"),
        "{said}"
    );
    pages.open(1_000);
    let resumed = Ran::of(&mut fetch(folder.path(), &["--resume", "-o", "my out"]));
    assert_eq!(resumed.code, 0, "{resumed:?}");
    assert_eq!(
        sorted(&written(folder.path(), "my out"), "seq"),
        (1..=20).collect::<Vec<_>>()
    );
    assert_eq!(
        pages.asked().values().sum::<u32>(),
        23,
        "those under way are asked for again, and no others"
    );
}

#[test]
fn what_has_not_changed_is_not_sent_again() {
    let (pages, folder) = (Pages::start(), folder());
    std::fs::write(folder.path().join("urls"), pages.urls("/tagged", 3)).expect("the folder takes a file");
    let none = Ran::of(&mut fetch(folder.path(), &["urls", "-o", "out", "--conditional"]));
    assert!(
        none.code == 2 && none.stderr.contains("nothing was fetched before"),
        "{none:?}"
    );
    for more in [&[][..], &["--conditional"], &["--conditional"]] {
        let ran = Ran::of(&mut fetch(
            folder.path(),
            &[&["urls", "-o", "out"][..], more].concat(),
        ));
        assert_eq!(ran.code, 0, "{ran:?}");
        let results = written(folder.path(), "out");
        for result in &results {
            let path = format!("/tagged{}", result["index"]);
            assert_eq!((&result["text"], &result["status"]), (&path.into(), &200.into()));
            assert_eq!(result["revalidated"] == true, !more.is_empty());
        }
        assert_eq!(
            (results.len(), ran.stderr.contains("3 unchanged")),
            (3, !more.is_empty())
        );
    }
}

#[test]
fn bodies_go_into_files_of_their_own() {
    let (pages, folder) = (Pages::start(), folder());
    std::fs::write(folder.path().join("urls"), pages.urls("/tagged", 3)).expect("the folder takes a file");
    for more in [&[][..], &["--conditional"]] {
        let words = [&["urls", "-o", "out", "--bodies", "kept"][..], more].concat();
        let ran = Ran::of(&mut fetch(folder.path(), &words));
        assert_eq!(ran.code, 0, "{ran:?}");
        for result in written(folder.path(), "out") {
            let file = folder
                .path()
                .join("kept")
                .join(result["file"].as_str().expect("it has a file"));
            let body = std::fs::read_to_string(file).expect("it is there");
            assert_eq!(body, format!("/tagged{}", result["index"]));
            assert_eq!(
                (&result["text"], result["revalidated"] == true),
                (&Value::Null, !more.is_empty())
            );
        }
    }
    let files = std::fs::read_dir(folder.path().join("kept")).expect("it is there");
    assert_eq!(files.count(), 3, "nothing else is left there");
}

#[test]
fn a_server_fetches_where_one_is_named() {
    let (pages, server) = (Pages::start(), Server::start(&[]));
    let list = format!(
        "{}\nhttp://127.0.0.1:1/\n{}",
        pages.url("/json"),
        pages.urls("/", 40)
    );
    std::fs::write(server.folder().join("urls"), list).expect("the folder takes a file");
    let ran = server.run(&["fetch", "urls", "-o", "out", "--max-attempts", "1"]);
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.stderr.contains("42 URLs: 41 answered, 1 failed"), "{ran:?}");
    let mut results = written(server.folder(), "out");
    assert_eq!(sorted(&results, "index"), (0..42).collect::<Vec<_>>());
    results.sort_by_key(|one| one["index"].as_u64());
    assert_eq!(
        (&results[0]["url"], &results[0]["json"]["a"]),
        (&pages.url("/json").into(), &1.into())
    );
    assert_eq!(
        (&results[1]["url"], &results[1]["error"]["code"]),
        (&"http://127.0.0.1:1/".into(), &"handler-unreachable".into())
    );
    assert!(
        !server.folder().join("out.raincheck/store").exists(),
        "the store is the server's"
    );
    server.stop();
}

#[test]
fn an_interrupted_run_on_a_server_goes_on_there() {
    let (pages, server) = (Pages::start(), Server::start(&[]));
    std::fs::write(server.folder().join("urls"), pages.urls("/slow/", 12)).expect("the folder takes a file");
    let child = start(&mut server.command(&["fetch", "urls", "-o", "out"]));
    pages.open(5);
    let out = server.folder().join("out");
    until("5 lines", || {
        std::fs::read_to_string(&out).is_ok_and(|text| text.lines().count() == 5)
    });
    signal(child.id(), "INT");
    let (code, said) = ended(child);
    assert!(
        code == Some(130) && said.contains("--resume -o out --url"),
        "{code:?} {said}"
    );
    pages.open(1_000);
    let elsewhere = Ran::of(&mut fetch(server.folder(), &["--resume", "-o", "out"]));
    assert_eq!(elsewhere.code, 2, "{elsewhere:?}");
    let resumed = server.run(&["fetch", "--resume", "-o", "out"]);
    assert_eq!(resumed.code, 0, "{resumed:?}");
    assert_eq!(
        sorted(&written(server.folder(), "out"), "seq"),
        (1..=12).collect::<Vec<_>>()
    );
    assert_eq!(pages.asked().values().sum::<u32>(), 12);
    server.stop();
}
