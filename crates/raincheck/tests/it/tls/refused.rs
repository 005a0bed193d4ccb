//! What is refused over HTTP/2 before its body has come: the answer is whole, and nothing takes it back.

use std::time::Duration;

use raincheck::server::ServerOptions;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::floods::{DATA, END_HEADERS, END_STREAM, HEADERS, PING, RST_STREAM, SETTINGS, frame};
use super::rig::{Authority, secure};
use super::server;
use crate::harness::Server;

/// Where a refused submit goes.
const PATH: &[u8] = b"/v1/queues/x/jobs?nothing=so";

/// A frame that came: its type, its flags and what it holds.
struct Heard {
    kind: u8,
    flags: u8,
    content: Vec<u8>,
}

struct Client {
    stream: TlsStream<TcpStream>,
    _server: Server,
}

impl Client {
    /// A connection on which a submit was begun that is refused, with some of its body.
    async fn submitting() -> Self {
        let authority = Authority::new();
        let server = server(&authority, ServerOptions::default()).await;
        let mut stream = secure(server.addr, &authority, &["h2"]).await.unwrap();
        // POST and https by HPACK's static table, then path and authority as literals.
        let mut head = vec![0x83, 0x87, 0x04, u8::try_from(PATH.len()).unwrap()];
        head.extend(PATH);
        head.extend(b"\x01\x09localhost");
        let mut begun = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        begun.extend(frame(SETTINGS, 0, 0, b""));
        begun.extend(frame(HEADERS, END_HEADERS, 1, &head));
        begun.extend(frame(DATA, 0, 1, &[b'x'; 4096]));
        stream.write_all(&begun).await.unwrap();
        Self {
            stream,
            _server: server,
        }
    }

    async fn say(&mut self, frames: &[u8]) {
        self.stream.write_all(frames).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    async fn hear(&mut self) -> Heard {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).await.unwrap();
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut content = vec![0; length as usize];
        self.stream.read_exact(&mut content).await.unwrap();
        Heard {
            kind: head[3],
            flags: head[4],
            content,
        }
    }

    /// Hears a frame of this kind; fails at one that resets the stream before.
    async fn hear_until(&mut self, kind: u8, flags: u8) -> Heard {
        let hearing = async {
            loop {
                let heard = self.hear().await;
                if heard.kind == kind && heard.flags & flags == flags {
                    return heard;
                }
                assert_ne!(heard.kind, RST_STREAM, "the stream was reset");
            }
        };
        tokio::time::timeout(Duration::from_secs(30), hearing)
            .await
            .expect("the server goes on")
    }
}

#[tokio::test]
async fn an_early_refusal_ends_well_and_the_rest_of_the_body_is_let_in() {
    let mut client = Client::submitting().await;
    let whole = client.hear_until(DATA, END_STREAM).await;
    let text = String::from_utf8(whole.content).unwrap();
    assert!(text.contains(r#""code":"bad-request""#), "{text}");
    // Only now is the rest said; the server has the answer to the ping come after whatever it made of it.
    let mut rest = Vec::new();
    for _ in 0..8 {
        rest.extend(frame(DATA, 0, 1, &[b'x'; 4096]));
    }
    rest.extend(frame(PING, 0, 0, b"half-way"));
    client.say(&rest).await;
    client.hear_until(PING, 1).await;
    let mut end = frame(DATA, END_STREAM, 1, b"x");
    end.extend(frame(PING, 0, 0, b"all-said"));
    client.say(&end).await;
    client.hear_until(PING, 1).await;
}

#[tokio::test]
async fn a_refused_body_that_does_not_end_is_let_go_after_a_while() {
    let mut client = Client::submitting().await;
    client.hear_until(DATA, END_STREAM).await;
    let reset = client.hear_until(RST_STREAM, 0).await;
    assert_eq!(reset.content, [0; 4], "nothing went wrong");
}
