//! What clients get who flood an HTTP/2 connection, frame by frame: always an end to that connection, never a server that
//! does not answer others.

use std::time::Duration;

use raincheck::server::ServerOptions;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::rig::{Authority, http2, secure};
use super::server;
use crate::harness::Server;

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;

/// RFC 9113 section 7.
const ENHANCE_YOUR_CALM: u32 = 11;

/// `GET https://localhost/v1/jobs` by HPACK's static table and literals.
fn get() -> Vec<u8> {
    let mut block = vec![0x82, 0x87];
    block.extend(b"\x04\x08/v1/jobs");
    block.extend(b"\x01\x09localhost");
    block
}

pub(super) fn frame(kind: u8, flags: u8, stream: u32, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).expect("a small frame").to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(content);
    frame
}

/// A connection on which frames are written by hand.
struct Flood {
    authority: Authority,
    server: Server,
    stream: TlsStream<TcpStream>,
}

/// How a flooded connection ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// The server said why, with this code.
    Told(u32),
    /// It closed.
    Closed,
    /// It went on to the end of the flood.
    Open,
}

impl Flood {
    async fn begin(options: ServerOptions) -> Self {
        let authority = Authority::new();
        let server = server(&authority, options).await;
        let mut stream = secure(server.addr, &authority, &["h2"])
            .await
            .expect("the server speaks TLS");
        let mut opening = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        opening.extend(frame(SETTINGS, 0, 0, b""));
        stream.write_all(&opening).await.expect("the server listens");
        Self {
            authority,
            server,
            stream,
        }
    }

    /// Sends what `next` makes, so many times, while reading what comes; tells how it ended, once others were answered.
    async fn send(mut self, times: u32, mut next: impl FnMut(u32) -> Vec<u8>) -> End {
        let (mut heard, mut writer) = tokio::io::split(&mut self.stream);
        let mut kept = Vec::new();
        let writing = async {
            for time in 0..times {
                if writer.write_all(&next(time)).await.is_err() {
                    return;
                }
            }
            // Everything before it is dealt with once this comes back.
            let _ = writer.write_all(&frame(PING, 0, 0, b"all-said")).await;
            let _ = writer.flush().await;
        };
        let reading = async {
            let mut buffer = vec![0; 1 << 16];
            loop {
                match heard.read(&mut buffer).await {
                    Ok(0) | Err(_) => return,
                    Ok(read) => kept.extend_from_slice(&buffer[..read]),
                }
                if kept.windows(8).any(|window| window == b"all-said") {
                    return;
                }
            }
        };
        let both = async { tokio::join!(writing, reading) };
        tokio::time::timeout(Duration::from_secs(30), both)
            .await
            .expect("a flood ends");
        let end = ending(&kept);
        self.others_are_answered().await;
        end
    }

    async fn others_are_answered(&self) {
        let (mut client, _connection) = http2(self.server.addr, &self.authority).await;
        let ask = http::Request::get("https://localhost/healthz").body(String::new());
        assert_eq!(client.send_request(ask.unwrap()).await.unwrap().status(), 200);
    }
}

/// What the server's frames say of the end.
fn ending(mut heard: &[u8]) -> End {
    while let Some((head, rest)) = heard.split_first_chunk::<9>() {
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let Some((content, rest)) = rest.split_at_checked(length) else {
            break;
        };
        if head[3] == GOAWAY {
            let code = content[4..8].try_into().map(u32::from_be_bytes);
            return End::Told(code.unwrap_or(u32::MAX));
        }
        if head[3] == PING && content == b"all-said" {
            return End::Open;
        }
        heard = rest;
    }
    End::Closed
}

fn ids(time: u32) -> u32 {
    2 * time + 1
}

#[tokio::test]
async fn requests_that_are_reset_at_once_end_the_connection() {
    let flood = Flood::begin(ServerOptions::default()).await;
    let end = flood
        .send(20_000, |time| {
            let mut both = frame(HEADERS, END_STREAM | END_HEADERS, ids(time), &get());
            both.extend(frame(RST_STREAM, 0, ids(time), &8u32.to_be_bytes()));
            both
        })
        .await;
    assert_eq!(end, End::Told(ENHANCE_YOUR_CALM));
}

#[tokio::test]
async fn requests_that_make_the_server_reset_end_the_connection() {
    let flood = Flood::begin(ServerOptions::default()).await;
    // An increment of nothing is an error of the stream (RFC 9113 section 6.9).
    let end = flood
        .send(20_000, |time| {
            let mut both = frame(HEADERS, END_HEADERS, ids(time), &get());
            both.extend(frame(WINDOW_UPDATE, 0, ids(time), &0u32.to_be_bytes()));
            both
        })
        .await;
    assert_ne!(end, End::Open);
}

#[tokio::test]
async fn headers_that_never_end_end_the_connection() {
    let flood = Flood::begin(ServerOptions::default()).await;
    let end = flood
        .send(10_000, |time| match time {
            0 => frame(HEADERS, END_STREAM, 1, &get()),
            _ => frame(CONTINUATION, 0, 1, b"\x00\x03x-x\x03rcx"),
        })
        .await;
    assert_ne!(end, End::Open);
}

#[tokio::test]
async fn settings_and_pings_are_answered_one_by_one() {
    for (kind, content) in [(SETTINGS, &b""[..]), (PING, b"12345678")] {
        let flood = Flood::begin(ServerOptions::default()).await;
        assert_eq!(flood.send(1_000, |_| frame(kind, 0, 0, content)).await, End::Open);
    }
}

#[tokio::test]
async fn settings_and_pings_ask_for_nothing_so_the_connection_is_given_up() {
    for (kind, content) in [(SETTINGS, &b""[..]), (PING, b"12345678")] {
        let options = ServerOptions {
            head_time: Duration::from_millis(50),
            ..ServerOptions::default()
        };
        let flood = Flood::begin(options).await;
        assert_eq!(
            flood.send(u32::MAX, |_| frame(kind, 0, 0, content)).await,
            End::Closed
        );
    }
}

#[tokio::test]
async fn a_client_that_takes_nothing_of_its_answer_is_given_up() {
    let options = ServerOptions {
        write_time: Duration::from_millis(50),
        ..ServerOptions::default()
    };
    let mut flood = Flood::begin(options).await;
    // SETTINGS_INITIAL_WINDOW_SIZE of nothing, then a request: its answer's body cannot be sent.
    let mut bytes = frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
    bytes.extend(frame(HEADERS, END_STREAM | END_HEADERS, 1, &get()));
    flood.stream.write_all(&bytes).await.unwrap();
    super::rig::ended(&mut flood.stream).await;
    flood.others_are_answered().await;
}
