//! `raincheck work`, against a real server over real sockets.

mod jobs;
mod keep_alive;
mod leaving;
mod losses;

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use tempfile::TempDir;

use crate::rig::{Server, signal, until};

/// A worker that runs, and what it says.
struct Worker {
    child: Child,
    said: Arc<Mutex<String>>,
    reading: Option<JoinHandle<()>>,
}

impl Worker {
    /// `raincheck work` with these arguments.
    fn start(server: &Server, arguments: &[&str]) -> Self {
        Self::start_in(server, arguments, &[])
    }

    /// The same with these variables.
    fn start_in(server: &Server, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut words = vec!["work"];
        words.extend(arguments);
        let mut child = server
            .command(&words)
            .envs(variables.iter().copied())
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("the binary starts");
        let said = Arc::<Mutex<String>>::default();
        let mut lines = BufReader::new(child.stderr.take().expect("its messages are piped"));
        let heard = said.clone();
        let reading = std::thread::spawn(move || {
            let mut line = String::new();
            while lines.read_line(&mut line).is_ok_and(|read| read > 0) {
                heard.lock().expect("nobody panics with it").push_str(&line);
                line.clear();
            }
        });
        Self {
            child,
            said,
            reading: Some(reading),
        }
    }

    fn said(&self) -> String {
        self.said.lock().expect("nobody panics with it").clone()
    }

    /// Waits until it has said this.
    fn says(&self, words: &str) {
        until(words, || self.said().contains(words));
    }

    fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    /// Waits until it ended by itself; gives back how, and everything that it said.
    fn ended(mut self) -> (ExitStatus, String) {
        until("the worker's end", || {
            self.child
                .try_wait()
                .expect("the worker can be waited for")
                .is_some()
        });
        let status = self.child.wait().expect("the worker can be waited for");
        let reading = self.reading.take().expect("it is read once");
        reading.join().expect("the reader ends");
        (status, self.said())
    }

    /// Tells it to stop, which it does in good order.
    fn stop(self) -> String {
        self.signal("TERM");
        let (status, said) = self.ended();
        assert_eq!(status.code(), Some(0), "{said}");
        said
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // A test that failed leaves nothing behind; one that went well has waited for the end already.
        let _ = self.child.kill();
    }
}

/// A program that waits until there is a file named `gate`, and then gives back its input.
const GATED: [&str; 3] = ["sh", "-c", "until [ -e gate ]; do sleep 0.02; done; cat"];

fn open_gate(server: &Server) {
    std::fs::write(server.folder().join("gate"), "").expect("the file can be written");
}

/// A server with one queue that workers may claim from.
fn served() -> Server {
    Server::start(&["--queue", "q"])
}

/// The job's document.
fn job(server: &Server, id: &str) -> serde_json::Value {
    server.run(&["job", "get", id, "--json"]).json()
}

/// Waits until the job is back in its queue, no attempt charged. (A claim that was waiting when its worker left may take
/// the job for a moment, until the server sees that nobody is there to have it.)
fn is_back(server: &Server, id: &str) {
    until("the job's return", || {
        let job = job(server, id);
        job["state"] == "queued" && job["attempt"] == 0
    });
}

/// Whether a process runs.
fn alive(process: &str) -> bool {
    // A process that its parent has not reaped yet has ended nevertheless.
    let stat =
        std::fs::read_to_string(std::path::Path::new("/proc").join(process).join("stat")).unwrap_or_default();
    let state = stat.rsplit(')').next().unwrap_or_default().trim_start();
    !state.is_empty() && !state.starts_with('Z')
}

/// The lines of a file that programs write to, none where it is not there.
fn lines(server: &Server, name: &str) -> Vec<String> {
    let text = std::fs::read_to_string(server.folder().join(name)).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// Starts the same server again in its old place.
fn again(folder: TempDir, url: &str) -> Server {
    let address = url.strip_prefix("http://").expect("an http URL");
    Server::start_in(folder, &["--queue", "q", "--listen", address])
}
