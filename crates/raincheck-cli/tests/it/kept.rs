//! Bodies that `raincheck fetch` puts into files: whole, however they come. And lists that are none.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;

use crate::fetch::{fetch, folder, written};
use crate::rig::Ran;

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
