//! What systemd hands to a server, and what a server tells it.

use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;

use crate::rig::{Ran, Server, raincheck, started_by};

/// The service manager's side of the talk.
struct Manager {
    socket: UnixDatagram,
    folder: TempDir,
}

impl Manager {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let socket = UnixDatagram::bind(folder.path().join("notify")).expect("a socket");
        // Longer than anything takes: a server that says nothing fails the test instead of holding it.
        let patience = Some(Duration::from_secs(60));
        socket.set_read_timeout(patience).expect("a time can be set");
        Self { socket, folder }
    }

    fn start(&self, variables: &[(&str, &str)]) -> Server {
        let mut command = raincheck();
        command
            .env("NOTIFY_SOCKET", self.folder.path().join("notify"))
            .envs(variables.iter().copied());
        Server::start_as(command, tempfile::tempdir().expect("a temporary folder"), &[])
    }

    fn hears(&self) -> String {
        let mut note = [0; 4096];
        let length = self.socket.recv(&mut note).expect("the server tells something");
        String::from_utf8(note[..length].to_vec()).expect("notes are text")
    }
}

#[test]
fn systemd_is_told_when_the_server_is_ready_reads_again_and_stops() {
    let manager = Manager::new();
    let server = manager.start(&[]);
    let ready = manager.hears();
    assert!(ready.starts_with("READY=1\n"), "{ready}");
    assert!(
        ready.contains(&format!("STATUS=answering at {}", server.url)),
        "{ready}"
    );
    server.signal("HUP");
    let reloading = manager.hears();
    assert!(
        reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="),
        "{reloading}"
    );
    assert!(manager.hears().starts_with("READY=1\n"));
    server.signal("TERM");
    let stopping = manager.hears();
    // The drain of 25 s, and 15 s for the rest.
    assert!(
        stopping.starts_with("STOPPING=1\nEXTEND_TIMEOUT_USEC=40000000\n"),
        "{stopping}"
    );
    assert!(server.ended().0.success());
}

#[test]
fn the_watchdog_hears_of_the_server_again_and_again() {
    let manager = Manager::new();
    let server = manager.start(&[("WATCHDOG_USEC", "100000")]);
    let mut beats = 0;
    while beats < 3 {
        beats += usize::from(manager.hears() == "WATCHDOG=1\n");
    }
    server.stop();
}

#[test]
fn the_watchdog_of_another_process_is_not_ours() {
    let manager = Manager::new();
    let server = manager.start(&[("WATCHDOG_USEC", "1000"), ("WATCHDOG_PID", "1")]);
    server.signal("TERM");
    assert!(manager.hears().starts_with("READY=1\n"));
    assert!(manager.hears().starts_with("STOPPING=1\n"));
    assert!(server.ended().0.success());
}

/// The words of a program that hands its standard input on as the first socket.
const HANDS_OVER: [&str; 3] = [
    "/bin/sh",
    "-c",
    "LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" \"$@\" 3<&0 </dev/null",
];

fn given(socket: impl Into<OwnedFd>) -> Server {
    Server::start_given(&HANDS_OVER, Stdio::from(socket.into()))
}

/// A server that should refuse to start with this.
fn refused(folder: &Path, descriptor: impl Into<OwnedFd>) -> Ran {
    Ran::of(
        started_by(&HANDS_OVER)
            .args(["serve", "--store", "store"])
            .current_dir(folder)
            .stdin(Stdio::from(descriptor.into())),
    )
}

fn answers(mut stream: impl std::io::Read + std::io::Write) -> bool {
    stream
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .expect("the server reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the server answers");
    answer.starts_with("HTTP/1.1 200 ")
}

#[test]
fn a_port_that_systemd_holds_is_served_and_no_connection_is_refused_meanwhile() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    // Connected before there is a server.
    let early = TcpStream::connect(address).unwrap();
    let server = given(socket.try_clone().unwrap());
    assert_eq!(server.url, format!("http://{address}"));
    assert!(answers(early));
    server.stop();
    // Between two servers it waits.
    let between = TcpStream::connect(address).unwrap();
    let server = given(socket);
    assert!(answers(between));
    server.stop();
}

#[test]
fn a_local_socket_that_systemd_holds_is_served_and_left_in_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("raincheck.sock");
    let server = given(UnixListener::bind(&path).unwrap());
    assert_eq!(server.url, format!("unix:{}", path.display()));
    assert!(answers(UnixStream::connect(&path).unwrap()));
    server.stop();
    assert!(path.exists());
}

#[test]
fn a_port_for_others_is_refused_from_systemd_too() {
    let socket = TcpListener::bind("0.0.0.0:0").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let ran = refused(folder.path(), socket);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("refusing to listen on 0.0.0.0:"), "{ran:?}");
}

#[test]
fn what_is_no_socket_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = std::fs::File::create(folder.path().join("file")).unwrap();
    let ran = refused(folder.path(), file);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(
        ran.stderr.contains("socket 0 of LISTEN_FDS") && ran.stderr.contains("ListenStream="),
        "{ran:?}"
    );
}
