//! Starts the real binary as a server on a free port, and runs its other commands against it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Nothing here takes longer, however slow the machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The binary, without the caller's own settings.
pub(crate) fn raincheck() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_raincheck"));
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| {
            ["RAINCHECK_", "CLICOLOR", "OTEL_"]
                .iter()
                .any(|own| name.starts_with(own))
        }) {
            command.env_remove(name);
        }
    }
    command
        .env_remove("NO_COLOR")
        .env_remove("STATE_DIRECTORY")
        .stdin(Stdio::null());
    command
}

/// The same, started by another program, given as its first words.
pub(crate) fn started_by(words: &[&str]) -> Command {
    let plain = raincheck();
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).arg(plain.get_program());
    for (name, value) in plain.get_envs() {
        if value.is_none() {
            command.env_remove(name);
        }
    }
    command
}

/// What a command printed and how it ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Ran {
    /// Runs a command to its end.
    pub(crate) fn of(command: &mut Command) -> Self {
        Self::fed(command, b"")
    }

    /// The same with this on stdin.
    pub(crate) fn fed(command: &mut Command, input: &[u8]) -> Self {
        if !input.is_empty() {
            command.stdin(Stdio::piped());
        }
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(input).expect("the binary reads its input");
        }
        let output = child.wait_with_output().expect("the binary ends");
        Self {
            code: output.status.code().expect("no signal ended it"),
            stdout: output.stdout,
            stderr: String::from_utf8(output.stderr).expect("messages are text"),
        }
    }

    /// What it printed as data, as text.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).expect("this output is text")
    }

    /// What it printed as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The data of a command that must have succeeded, without the last line end.
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        self.text().trim_end_matches('\n').to_owned()
    }
}

/// The command that makes the first key of the store in this folder.
pub(crate) fn first_key(folder: &Path) -> Command {
    let mut create = raincheck();
    create
        .args(["key", "create", "ops", "--scope", "admin", "--store"])
        .arg(folder.join("store"));
    create
}

/// A server whose first key was made before it ever ran, and that key.
pub(crate) fn locked(arguments: &[&str]) -> (Server, String) {
    locked_in(tempfile::tempdir().expect("a temporary folder"), arguments)
}

/// The same, in a folder that holds something already.
pub(crate) fn locked_in(folder: TempDir, arguments: &[&str]) -> (Server, String) {
    let key = Ran::of(&mut first_key(folder.path())).ok();
    (Server::start_in(folder, arguments), key)
}

/// What a server says on stderr, as it comes.
#[derive(Debug)]
struct Log {
    text: Arc<Mutex<String>>,
    ended: mpsc::Receiver<()>,
}

impl Log {
    fn of(stderr: ChildStderr) -> Self {
        let text = Arc::<Mutex<String>>::default();
        let (tell, ended) = mpsc::channel();
        let kept = text.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let mut kept = kept.lock().expect("no reader of the log panics");
                kept.push_str(&line);
                kept.push('\n');
            }
            let _ = tell.send(());
        });
        Self { text, ended }
    }

    fn text(&self) -> String {
        self.text.lock().expect("no writer of the log panics").clone()
    }
}

/// A process that is ended with the test that has it: one that fails leaves none behind.
#[derive(Debug)]
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // What was waited for is left alone.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A server with a store of its own; killed when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Running,
    log: Log,
    pub(crate) url: String,
    folder: TempDir,
}

impl Server {
    /// A server with these further arguments.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::start_in(tempfile::tempdir().expect("a temporary folder"), arguments)
    }

    /// A server whose store lies in this folder.
    pub(crate) fn start_in(folder: TempDir, arguments: &[&str]) -> Self {
        Self::start_as(raincheck(), folder, arguments)
    }

    /// A server that is started by another program, given as its first words.
    pub(crate) fn start_by(words: &[&str], arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        Self::start_as(started_by(words), folder, arguments)
    }

    /// The same, with this on the other program's standard input.
    pub(crate) fn start_given(words: &[&str], input: Stdio) -> Self {
        let mut command = started_by(words);
        command.stdin(input);
        Self::start_as(command, tempfile::tempdir().expect("a temporary folder"), &[])
    }

    /// A server as this command starts it, with its store in this folder.
    pub(crate) fn start_as(command: Command, folder: TempDir, arguments: &[&str]) -> Self {
        Self::start_with(command, &["serve"], folder, arguments)
    }

    /// A proxy in front of this URL, with its store in this folder.
    pub(crate) fn proxy_in(folder: TempDir, upstream: &str, arguments: &[&str]) -> Self {
        Self::start_with(raincheck(), &["proxy", upstream], folder, arguments)
    }

    fn start_with(mut command: Command, words: &[&str], folder: TempDir, arguments: &[&str]) -> Self {
        command
            .env("RAINCHECK_LISTEN", "127.0.0.1:0")
            .args(words)
            .args(["-q", "--store"])
            .arg(folder.path().join("store"));
        command.args(arguments).current_dir(folder.path());
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map(Running)
            .expect("the binary starts");
        let mut lines = BufReader::new(child.0.stdout.take().expect("its output is piped"));
        let log = Log::of(child.0.stderr.take().expect("its messages are piped"));
        let mut url = String::new();
        lines.read_line(&mut url).expect("its output can be read");
        if url.is_empty() {
            let _ = log.ended.recv_timeout(PATIENCE);
            panic!("the server did not start: {}", log.text());
        }
        url.truncate(url.trim_end().len());
        Self {
            child,
            log,
            url,
            folder,
        }
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.0.id()
    }

    /// Where programs of queues run and files may lie.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where the store lies.
    pub(crate) fn store(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    /// One of the other commands, against this server.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = raincheck();
        command
            .env("RAINCHECK_URL", &self.url)
            .args(arguments)
            .current_dir(self.folder());
        command
    }

    /// What `raincheck` with these arguments and this key says to it.
    pub(crate) fn by(&self, key: &str, arguments: &[&str]) -> Ran {
        Ran::of(self.command(arguments).env("RAINCHECK_API_KEY", key))
    }

    /// Runs one of the other commands against this server.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(&mut self.command(arguments))
    }

    /// Submits and gives back the id.
    pub(crate) fn submit(&self, arguments: &[&str]) -> String {
        let mut words = vec!["submit", "-q"];
        words.extend(arguments);
        self.run(&words).ok()
    }

    /// Asks for the job until it is in this state.
    pub(crate) fn until(&self, id: &str, state: &str) {
        until(state, || {
            self.run(&["job", "get", id, "--json"]).json()["state"] == state
        });
    }

    /// Waits until its log has said this so many times.
    pub(crate) fn logged(&self, part: &str, times: usize) {
        until(part, || self.log.text().matches(part).count() >= times);
    }

    /// Sends a signal, such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        signal(self.child.0.id(), name);
    }

    /// Waits until the server ended by itself; gives back how, what it logged, and its folder.
    pub(crate) fn ended(mut self) -> (ExitStatus, String, TempDir) {
        let ended = self.log.ended.recv_timeout(PATIENCE);
        ended.expect("the server ends in time");
        let log = self.log.text();
        (
            self.child.0.wait().expect("the server can be waited for"),
            log,
            self.folder,
        )
    }

    /// Tells it to stop and waits until it did so in good order.
    pub(crate) fn stop(self) -> TempDir {
        self.signal("TERM");
        let (status, log, folder) = self.ended();
        assert!(status.success(), "{status}: {log}");
        folder
    }

    /// Ends it as a crash would.
    pub(crate) fn kill(self) -> TempDir {
        self.signal("KILL");
        self.ended().2
    }
}

/// Asks until it is so; `what` is what the failure says.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = now() + PATIENCE;
    while !is_so() {
        assert!(now() < deadline, "it took too long: {what}");
        std::thread::yield_now();
    }
}

/// Sends a signal to a process that a test started.
pub(crate) fn signal(pid: u32, name: &str) {
    let sent = Command::new("/bin/sh")
        .args(["-c", &format!("kill -{name} {pid}")])
        .status();
    assert!(sent.expect("a shell starts").success());
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test's patience is measured on the host's own clock"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}
