//! Starts programs, asks them, and ends them.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// Nothing here takes longer, however slow the machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long it waits between two looks.
const LOOK: Duration = Duration::from_millis(5);

pub(crate) fn binary(name: &str) -> &'static str {
    match name {
        "hello" => env!("CARGO_BIN_EXE_hello"),
        "web" => env!("CARGO_BIN_EXE_web"),
        "queue" => env!("CARGO_BIN_EXE_queue"),
        "fetch_all" => env!("CARGO_BIN_EXE_fetch_all"),
        "chat" => env!("CARGO_BIN_EXE_chat"),
        "ingest" => env!("CARGO_BIN_EXE_ingest"),
        "predict" => env!("CARGO_BIN_EXE_predict"),
        other => panic!("there is no program {other}"),
    }
}

/// A file of an example.
pub(crate) fn file(path: &str) -> String {
    format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))
}

/// Whether Python is there; tests that need it say so and count as passed where it is not.
pub(crate) fn python() -> bool {
    let version = Command::new("python3")
        .arg("--version")
        .stdout(Stdio::null())
        .status();
    let there = version.is_ok_and(|status| status.success());
    if !there {
        eprintln!("SKIPPED: python3 is missing");
    }
    there
}

/// The program that an example began as, where Python is there.
pub(crate) fn original(name: &str, env: &[(&str, &str)]) -> Option<Program> {
    python().then(|| {
        let mut command = Command::new(file(&format!("{name}/original.py")));
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        // Where a client goes away it prints a trace, which is what is expected.
        command.stderr(Stdio::null());
        Program::of(command, env, None)
    })
}

/// A running program.
pub(crate) struct Program {
    child: Child,
    pub(crate) url: String,
    folder: Option<TempDir>,
}

impl Program {
    /// An example with a store of its own.
    pub(crate) fn start(name: &str, env: &[(&str, &str)]) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), name, env)
    }

    /// An example over the store that another one left.
    pub(crate) fn start_in(folder: TempDir, name: &str, env: &[(&str, &str)]) -> Self {
        let mut command = Command::new(binary(name));
        command.env("STORE", folder.path().join("jobs"));
        Self::of(command, env, Some(folder))
    }

    /// Any program that prints its URL.
    pub(crate) fn of(mut command: Command, env: &[(&str, &str)], folder: Option<TempDir>) -> Self {
        command.env("LISTEN", "127.0.0.1:0").envs(env.iter().copied());
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut url = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut url)
            .unwrap();
        let url = url.trim_end().to_owned();
        assert!(url.starts_with("http://"), "the program did not start: {url:?}");
        Self { child, url, folder }
    }

    pub(crate) fn ask(&self, method: &str, path: &str) -> Ask {
        Ask::new(&self.url, method, path)
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.ask("GET", path).send()
    }

    pub(crate) fn post(&self, path: &str, body: &str) -> Answer {
        self.ask("POST", path).body(body).send()
    }

    /// Asks until the answer is what is waited for.
    pub(crate) fn until(&self, path: &str, found: impl Fn(&Answer) -> bool) -> Answer {
        let begun = Instant::now();
        loop {
            let answer = self.get(path);
            if found(&answer) {
                return answer;
            }
            assert!(begun.elapsed() < PATIENCE, "{path}: {answer:?}");
            std::thread::sleep(LOOK);
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Whether it has not ended.
    pub(crate) fn is_there(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits until it has ended by itself.
    pub(crate) fn ended(mut self) -> (ExitStatus, Option<TempDir>) {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait().unwrap() {
                return (status, self.folder.take());
            }
            std::thread::sleep(LOOK);
        }
        panic!("the program does not end");
    }

    /// Ends it as a crash does, and gives back its store.
    pub(crate) fn kill(mut self) -> TempDir {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.folder.take().unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A request on a connection of its own.
pub(crate) struct Ask {
    host: String,
    head: String,
    body: Vec<u8>,
}

impl Ask {
    fn new(url: &str, method: &str, path: &str) -> Self {
        let host = url.trim_start_matches("http://").to_owned();
        let head = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n");
        Self {
            host,
            head,
            body: Vec::new(),
        }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.head += &format!("{name}: {value}\r\n");
        self
    }

    pub(crate) fn body(mut self, body: &str) -> Self {
        self.body = body.into();
        let length = self.body.len().to_string();
        self.header("content-length", &length)
    }

    fn open(self) -> BufReader<TcpStream> {
        let mut stream = TcpStream::connect(&self.host).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let bytes = [self.head.as_bytes(), b"\r\n", &self.body].concat();
        stream.write_all(&bytes).unwrap();
        BufReader::new(stream)
    }

    pub(crate) fn send(self) -> Answer {
        self.begin().answer()
    }

    /// Asks, and does not wait for the answer yet.
    pub(crate) fn begin(self) -> Pending {
        Pending(self.open())
    }

    /// Follows a stream of events.
    pub(crate) fn follow(self) -> Events {
        let mut stream = self.open();
        let answer = Answer::head(&mut stream);
        assert_eq!(answer.status, 200, "{answer:?}");
        Events {
            stream,
            text: String::new(),
            ready: VecDeque::new(),
        }
    }
}

/// An answer that is waited for.
pub(crate) struct Pending(BufReader<TcpStream>);

impl Pending {
    pub(crate) fn answer(mut self) -> Answer {
        let mut answer = Answer::head(&mut self.0);
        self.0.read_to_end(&mut answer.body).unwrap();
        if answer.header("transfer-encoding").is_some() {
            answer.body = unchunked(&answer.body);
        }
        answer
    }

    /// Whether some of it is there already.
    pub(crate) fn has_begun(&self) -> bool {
        let stream = self.0.get_ref();
        stream.set_nonblocking(true).unwrap();
        let begun = stream.peek(&mut [0]).is_ok_and(|bytes| bytes > 0);
        stream.set_nonblocking(false).unwrap();
        begun
    }

    /// Whether the connection ends without any: whoever was asked is gone.
    pub(crate) fn came_to_nothing(mut self) -> bool {
        self.0.read(&mut [0]).map_or_else(
            |error| error.kind() == ErrorKind::ConnectionReset,
            |bytes| bytes == 0,
        )
    }
}

fn unchunked(mut bytes: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let end = bytes.iter().position(|byte| *byte == b'\n').unwrap();
        let size = usize::from_str_radix(std::str::from_utf8(&bytes[..end]).unwrap().trim(), 16).unwrap();
        if size == 0 {
            return body;
        }
        body.extend_from_slice(&bytes[end + 1..=end + size]);
        bytes = &bytes[end + 1 + size + 2..];
    }
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Answer {
    fn head(stream: &mut BufReader<TcpStream>) -> Self {
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        let status = line
            .split(' ')
            .nth(1)
            .unwrap_or_else(|| panic!("no answer: {line:?}"));
        let (status, mut headers) = (status.parse().unwrap(), Vec::new());
        loop {
            line.clear();
            stream.read_line(&mut line).unwrap();
            let Some((name, value)) = line.trim_end().split_once(": ") else {
                break;
            };
            headers.push((name.to_ascii_lowercase(), value.to_owned()));
        }
        Self {
            status,
            headers,
            body: Vec::new(),
        }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(header, _)| header == name);
        found.next().map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Where the job is that was accepted.
    pub(crate) fn location(&self) -> String {
        assert_eq!(self.status, 202, "{self:?}");
        self.header("location").unwrap().to_owned()
    }
}

/// One event.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) id: Option<String>,
    pub(crate) data: Value,
}

/// A stream of events as it comes. Chunks' sizes stand between its lines, and are told from them.
pub(crate) struct Events {
    stream: BufReader<TcpStream>,
    text: String,
    ready: VecDeque<Event>,
}

impl Events {
    /// The next event; none where the stream is over.
    pub(crate) fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            let mut size = String::new();
            self.stream.read_line(&mut size).unwrap();
            let size = usize::from_str_radix(size.trim(), 16)
                .ok()
                .filter(|size| *size > 0)?;
            let mut chunk = vec![0; size + 2];
            self.stream.read_exact(&mut chunk).unwrap();
            self.text += std::str::from_utf8(&chunk[..size]).unwrap();
            while let Some(end) = self.text.find("\n\n") {
                let told: String = self.text.drain(..end + 2).collect();
                let field = |name: &str| {
                    let mut lines = told.lines();
                    let line = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
                    line.map(str::to_owned)
                };
                let Some(name) = field("event") else { continue };
                let data = field("data").map_or(Value::Null, |data| serde_json::from_str(&data).unwrap());
                self.ready.push_back(Event {
                    name,
                    id: field("id"),
                    data,
                });
            }
        }
    }

    /// The next event of this name.
    pub(crate) fn until(&mut self, name: &str) -> Event {
        loop {
            let event = self.next().unwrap_or_else(|| panic!("no {name}"));
            if event.name == name {
                return event;
            }
        }
    }
}
