//! Bodies that `raincheck fetch` puts into files: whole, however they come. Lists that are none, and results that nobody takes.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use crate::fetch::{Pages, fetch, folder, sorted, written};
use crate::rig::{Ran, Server, until};

/// Chunks of all lengths up to some thousand bytes, five megabytes in all.
fn chunks() -> Vec<Vec<u8>> {
    (1..3_200_usize)
        .map(|n| vec![u8::try_from(n % 251).expect("it is small"); n])
        .collect()
}

/// Answers one request with these chunks, each sent by itself.
fn serve_once(chunks: Vec<Vec<u8>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let url = format!("http://{}/", listener.local_addr().expect("it has an address"));
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept()?;
        let mut head = BufReader::new(stream.try_clone()?).lines();
        while head
            .next()
            .is_some_and(|line| line.is_ok_and(|line| !line.is_empty()))
        {}
        stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n")?;
        for chunk in chunks {
            stream.write_all(&[format!("{:x}\r\n", chunk.len()).as_bytes(), &chunk, b"\r\n"].concat())?;
        }
        stream.write_all(b"0\r\n\r\n")
    });
    url
}

#[test]
fn a_body_of_many_parts_is_whole_in_its_file() {
    let (url, folder) = (serve_once(chunks()), folder());
    std::fs::write(folder.path().join("urls"), url).expect("the folder takes a file");
    let ran = Ran::of(&mut fetch(
        folder.path(),
        &["urls", "-o", "out", "--bodies", "kept"],
    ));
    assert_eq!(ran.code, 0, "{ran:?}");
    let results = written(folder.path(), "out");
    let file = results[0]["file"].as_str().expect("it has a file");
    let body = std::fs::read(folder.path().join("kept").join(file)).expect("it is there");
    assert!(body == chunks().concat(), "{} bytes came", body.len());
}

#[test]
fn who_names_a_url_instead_of_a_list_is_told_what_to_type() {
    let ran = Ran::of(&mut fetch(folder().path(), &["http://127.0.0.1:1/a"]));
    assert_eq!(ran.code, 1, "{ran:?}");
    let hint = "type: echo http://127.0.0.1:1/a | raincheck fetch -";
    assert!(ran.stderr.contains(hint), "{ran:?}");
}

/// Runs a command whose standard output leads there: its code, and what it said.
fn to(stdout: impl Into<Stdio>, command: &mut Command) -> (Option<i32>, String) {
    let child = command.stdout(stdout).stderr(Stdio::piped()).spawn();
    let ended = child.and_then(Child::wait_with_output).expect("the binary ends");
    (
        ended.status.code(),
        String::from_utf8_lossy(&ended.stderr).into_owned(),
    )
}

#[test]
fn results_that_cannot_be_written_are_kept_and_the_message_says_how_to_go_on() {
    let (pages, folder) = (Pages::start(), folder());
    std::fs::write(folder.path().join("urls"), pages.urls("/", 20)).expect("the folder takes a file");
    let full = std::fs::File::create("/dev/full").expect("it is there");
    let ran = to(full, &mut fetch(folder.path(), &["urls", "--store", "kept"]));
    for part in [
        "cannot write standard output: No space left",
        "Go on: raincheck fetch --resume --store kept",
    ] {
        assert!(ran.1.contains(part), "{part}: {ran:?}");
    }
    assert_eq!(ran.0, Some(1), "{ran:?}");
    let ran = Ran::of(&mut fetch(
        folder.path(),
        &["--resume", "-o", "out", "--store", "kept"],
    ));
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(
        sorted(&written(folder.path(), "out"), "index"),
        (0..20).collect::<Vec<_>>()
    );
    assert!(
        pages.asked().values().all(|times| *times == 1),
        "nothing is asked again"
    );
}

#[test]
fn results_that_nobody_reads_any_more_are_unfinished_work() {
    let (pages, folder) = (Pages::start(), folder());
    std::fs::write(folder.path().join("urls"), pages.urls("/", 20)).expect("the folder takes a file");
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let ran = to(writer, &mut fetch(folder.path(), &["urls", "-o", "-"]));
    assert_eq!(ran.0, Some(7), "{ran:?}");
    assert!(ran.1.contains("Go on: raincheck fetch --resume"), "{ran:?}");
    assert!(!folder.path().join("-").exists(), "- is no file's name");
    let ran = Ran::of(&mut fetch(folder.path(), &["--resume"]));
    assert_eq!((ran.code, ran.text().lines().count()), (0, 20), "{ran:?}");
}

#[test]
fn what_was_never_begun_leaves_no_folder_behind() {
    let folder = folder();
    let ran = Ran::of(&mut fetch(folder.path(), &["--resume", "-o", "nothere"]));
    assert_eq!(ran.code, 5, "{ran:?}");
    let left = std::fs::read_dir(folder.path()).expect("it is there").count();
    assert_eq!(left, 0);
}

#[test]
fn what_a_server_fetches_is_gone_on_with_by_other_limits() {
    let (pages, server) = (Pages::start(), Server::start(&[]));
    std::fs::write(server.folder().join("urls"), pages.urls("/slow/", 20)).expect("the folder takes a file");
    let words = ["fetch", "urls", "-o", "out", "-c", "3", "--per-host", "3"];
    let mut first = server.command(&words).spawn().expect("the binary starts");
    until("the server asks", || pages.asked().len() == 3);
    first.kill().expect("it runs");
    first.wait().expect("it has ended");
    pages.open(20);
    let ran = server.run(&["fetch", "--resume", "-o", "out", "-c", "7"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stderr.contains("--concurrency stays as it was"), "{ran:?}");
    assert_eq!(
        sorted(&written(server.folder(), "out"), "index"),
        (0..20).collect::<Vec<_>>()
    );
}

#[test]
fn a_run_beside_one_in_the_same_folder_touches_nothing_of_it() {
    let (pages, folder) = (Pages::start(), folder());
    let write = |list| std::fs::write(folder.path().join("urls"), list).expect("the folder takes a file");
    write(pages.urls("/slow/", 20));
    let mut first = fetch(folder.path(), &["urls", "-o", "out"])
        .spawn()
        .expect("the binary starts");
    until("the first one asks", || pages.asked().len() == 4);
    write(pages.urls("/other/", 3));
    for more in [&["urls", "--restart"][..], &["--resume"], &["urls"]] {
        let ran = Ran::of(&mut fetch(folder.path(), &[more, &["-o", "out"]].concat()));
        assert_eq!(ran.code, 7, "{ran:?}");
        assert!(
            ran.stderr.contains("another raincheck fetch is at work"),
            "{ran:?}"
        );
    }
    pages.open(20);
    assert!(first.wait().expect("it ends").success());
    assert_eq!(
        sorted(&written(folder.path(), "out"), "index"),
        (0..20).collect::<Vec<_>>()
    );
    assert_eq!(pages.asked().len(), 20, "nothing else was asked");
}
