//! One connection of the load: a request goes out, its answer comes in, nothing lies in between.
//!
//! Invariant: no pool, no task and no allocation that a request does not need, so that the cost of the load stays below
//! that of the server (half of what it is over hyper's client); what is read is bounded. httparse reads the heads.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::Uri;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::api_key::ApiKey;
use crate::client::{Address, Client};
use crate::exit::{Exit, Failed};

/// How long connecting may take.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// The largest answer that is read.
const ANSWER_MAX: usize = 64 << 20;
/// The most headers of an answer.
const HEADERS_MAX: usize = 64;
/// What a connection reads into; it grows with the answer, and goes back to this.
const BUFFER: usize = 4 << 10;

/// Where the load goes.
#[derive(Clone, Debug)]
pub(super) struct Target {
    address: SocketAddr,
    host: String,
    prefix: String,
    key: Option<ApiKey>,
}

impl Target {
    /// Finds out where the API is that a client asks.
    pub(super) async fn of(client: &Client) -> Result<Self, Failed> {
        let address = &client.address;
        let uri: Uri = address.to_string().parse().map_err(|_| unknown(address))?;
        if uri.scheme_str() != Some("http") {
            return Err(Failed::usage(
                "a measurement speaks plain http: name a server by such a URL",
            ));
        }
        let authority = uri.authority().ok_or_else(|| unknown(address))?;
        // An address in brackets is written with them, and looked up without.
        let host = authority.host().trim_matches(['[', ']']);
        let port = authority.port_u16().unwrap_or(80);
        let mut found = tokio::net::lookup_host((host, port))
            .await
            .map_err(|_| unknown(address))?;
        Ok(Self {
            address: found.next().ok_or_else(|| unknown(address))?,
            host: authority.as_str().to_owned(),
            prefix: uri.path().trim_end_matches('/').to_owned(),
            key: client.key.clone(),
        })
    }

    /// A request without a body.
    pub(super) fn get(&self, path: &str) -> Bytes {
        format!(
            "GET {}{path} HTTP/1.1\r\nHost: {}\r\n{}\r\n",
            self.prefix,
            self.host,
            self.presented()
        )
        .into()
    }

    /// The head of requests with a JSON body.
    pub(super) fn post(&self, path: &str) -> Head {
        self.post_of(path, "application/json")
    }

    /// The head of requests with JSON lines.
    pub(super) fn post_lines(&self, path: &str) -> Head {
        self.post_of(path, "application/x-ndjson")
    }

    fn post_of(&self, path: &str, content_type: &str) -> Head {
        Head(format!(
            "POST {}{path} HTTP/1.1\r\nHost: {}\r\nContent-Type: {content_type}\r\n{}",
            self.prefix,
            self.host,
            self.presented()
        ))
    }

    /// The line that presents the key, where there is one.
    fn presented(&self) -> String {
        let line = |key: &ApiKey| format!("Authorization: Bearer {}\r\n", key.reveal());
        self.key.as_ref().map(line).unwrap_or_default()
    }
}

fn unknown(address: &Address) -> Failed {
    Failed::new(
        Exit::Unreachable,
        format!("no such address on the network: {address}"),
    )
}

/// What requests have in common; there may be a key in it.
#[derive(Clone)]
pub(super) struct Head(String);

impl std::fmt::Debug for Head {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Head")
    }
}

impl Head {
    /// Adds a header; neither name nor value may hold a line end.
    #[must_use]
    pub(super) fn header(mut self, name: &str, value: &str) -> Self {
        debug_assert!(!value.contains(['\r', '\n']), "{value:?} is one line");
        // Nothing goes wrong where a string is written to.
        let _ = write!(self.0, "{name}: {value}\r\n");
        self
    }

    /// A request with this body.
    pub(super) fn with(&self, body: &[u8]) -> Bytes {
        let mut message = String::with_capacity(self.0.len() + 32 + body.len());
        let _ = write!(message, "{}Content-Length: {}\r\n\r\n", self.0, body.len());
        let mut message = message.into_bytes();
        message.extend_from_slice(body);
        message.into()
    }
}

/// An answer, as long as nothing else is read from its connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer<'a> {
    /// Its status.
    pub(super) status: u16,
    /// The job that it is about, where it names one.
    pub(super) job: Option<&'a str>,
    /// Its body.
    pub(super) body: &'a [u8],
}

impl<'a> Answer<'a> {
    /// The answer, where its status is this one; no other is given in a healthy run.
    pub(super) fn expect(self, status: u16, what: &'static str) -> Result<Self, Failed> {
        if self.status == status {
            Ok(self)
        } else {
            Err(refused(what, self.status, self.body))
        }
    }

    /// The body as a document.
    pub(super) fn json<T: serde::Deserialize<'a>>(self) -> Result<T, Failed> {
        serde_json::from_slice(self.body).map_err(|error| Failed::unreadable(&error))
    }
}

/// A connection.
#[derive(Debug)]
pub(super) struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// Where in the buffer an answer lies.
struct Extent {
    status: u16,
    job: Option<(usize, usize)>,
    head: usize,
    body: usize,
}

impl Wire {
    /// Connects.
    pub(super) async fn open(target: &Target) -> Result<Self, Failed> {
        let lost = |why: &str| {
            let address = target.address;
            Failed::new(Exit::Unreachable, format!("cannot connect to {address}: {why}"))
        };
        let connecting = tokio::time::timeout(CONNECT_MAX, TcpStream::connect(target.address));
        let stream = match connecting.await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(lost(&error.to_string())),
            Err(_) => return Err(lost("it does not accept connections in time")),
        };
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: Vec::with_capacity(BUFFER),
        })
    }

    /// Sends a request and reads the whole answer. After a failure the connection is of no use any more.
    pub(super) async fn call(&mut self, message: &[u8]) -> Result<Answer<'_>, Failed> {
        let written = self.stream.write_all(message).await;
        written.map_err(|error| broken(&error.to_string()))?;
        self.buffer.clear();
        self.buffer.shrink_to(BUFFER);
        let mut extent = None;
        loop {
            if extent.is_none() {
                extent = extent_of(&self.buffer)?;
            }
            if let Some(found) = &extent
                && self.buffer.len() >= found.head + found.body
            {
                break;
            }
            if self.buffer.len() > ANSWER_MAX {
                return Err(broken("it is too large"));
            }
            let read = self.stream.read_buf(&mut self.buffer).await;
            if read.map_err(|error| broken(&error.to_string()))? == 0 {
                return Err(broken("it closed the connection"));
            }
        }
        let Some(Extent {
            status,
            job,
            head,
            body,
        }) = extent
        else {
            return Err(broken("it is none"));
        };
        let job = job.and_then(|(from, to)| std::str::from_utf8(&self.buffer[from..to]).ok());
        Ok(Answer {
            status,
            job,
            body: &self.buffer[head..head + body],
        })
    }
}

/// An answer that goes on: what comes after its head, as it comes.
#[derive(Debug)]
pub(super) struct Pieces {
    stream: TcpStream,
    buffer: Vec<u8>,
    fresh: bool,
}

impl Pieces {
    /// What came since, at least a byte.
    pub(super) async fn next(&mut self) -> Result<&[u8], Failed> {
        // What came with the head is the first.
        if !std::mem::take(&mut self.fresh) || self.buffer.is_empty() {
            self.buffer.clear();
            let read = self.stream.read_buf(&mut self.buffer).await;
            if read.map_err(|error| broken(&error.to_string()))? == 0 {
                return Err(broken("it closed the connection"));
            }
        }
        Ok(&self.buffer)
    }
}

impl Wire {
    /// Sends a request whose answer goes on, and reads the head of that.
    pub(super) async fn follow(mut self, message: &[u8]) -> Result<Pieces, Failed> {
        let written = self.stream.write_all(message).await;
        written.map_err(|error| broken(&error.to_string()))?;
        loop {
            let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
            let mut response = httparse::Response::new(&mut headers);
            let parsed = response
                .parse(&self.buffer)
                .map_err(|error| broken(&error.to_string()))?;
            if let httparse::Status::Complete(head) = parsed {
                let status = response.code.unwrap_or_default();
                if status != 200 {
                    return Err(refused("a reader of a stream", status, &self.buffer[head..]));
                }
                self.buffer.drain(..head);
                return Ok(Pieces {
                    stream: self.stream,
                    buffer: self.buffer,
                    fresh: true,
                });
            }
            let read = self.stream.read_buf(&mut self.buffer).await;
            if read.map_err(|error| broken(&error.to_string()))? == 0 {
                return Err(broken("it closed the connection"));
            }
        }
    }
}

/// Reads the head of an answer; `None` while it is not whole.
fn extent_of(buffer: &[u8]) -> Result<Option<Extent>, Failed> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let parsed = response
        .parse(buffer)
        .map_err(|error| broken(&error.to_string()))?;
    let httparse::Status::Complete(head) = parsed else {
        return Ok(None);
    };
    let status = response.code.unwrap_or_default();
    let header = |name: &str| {
        let mut found = response.headers.iter();
        found
            .find(|header| header.name.eq_ignore_ascii_case(name))
            .map(|header| header.value)
    };
    let length = header("content-length").and_then(|value| std::str::from_utf8(value).ok()?.parse().ok());
    let body = match length {
        Some(length) => length,
        None if matches!(status, 204 | 304) => 0,
        // The API tells the length of all that the load asks for.
        None => return Err(broken("its length is not told")),
    };
    // The parser's values are pieces of the buffer.
    let job = header("raincheck-job").map(|value| {
        let from = value.as_ptr().addr() - buffer.as_ptr().addr();
        (from, from + value.len())
    });
    Ok(Some(Extent {
        status,
        job,
        head,
        body,
    }))
}

fn broken(why: &str) -> Failed {
    Failed::new(
        Exit::Unreachable,
        format!("the server gave no complete answer: {why}"),
    )
}

/// The server refused a part of the load.
pub(super) fn refused(what: &'static str, status: u16, problem: &[u8]) -> Failed {
    #[derive(Default, serde::Deserialize)]
    #[serde(default)]
    struct Problem {
        code: String,
        detail: String,
    }
    let Problem { code, detail } = serde_json::from_slice(problem).unwrap_or_default();
    let exit = match code.as_str() {
        "unknown-queue" => Exit::NotFound,
        _ => Exit::Failure,
    };
    Failed::new(
        exit,
        format!("the server answered {status} to {what} ({code}: {detail})"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_where_it_ends() {
        let answer = b"HTTP/1.1 202 Accepted\r\nraincheck-job: job_1\r\nContent-Length: 2\r\n\r\n{}rest";
        let found = extent_of(answer).unwrap().unwrap();
        assert_eq!((found.status, found.body), (202, 2));
        assert_eq!(&answer[found.head..], b"{}rest");
        let (from, to) = found.job.unwrap();
        assert_eq!(&answer[from..to], b"job_1");
        for whole in 0..found.head {
            assert!(extent_of(&answer[..whole]).unwrap().is_none(), "{whole} bytes");
        }
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        for bad in ["ICY 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n"] {
            assert!(extent_of(bad.as_bytes()).is_err(), "{bad:?}");
        }
        assert!(extent_of(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap().is_some());
    }

    #[test]
    fn a_request_tells_the_length_of_its_body() {
        let target = Target {
            address: ([127, 0, 0, 1], 1).into(),
            host: "localhost:1".to_owned(),
            prefix: "/jobs".to_owned(),
            key: None,
        };
        let message = target.post("/v1/jobs").header("A", "b").with(b"{}");
        assert_eq!(
            std::str::from_utf8(&message).unwrap(),
            "POST /jobs/v1/jobs HTTP/1.1\r\nHost: localhost:1\r\nContent-Type: application/json\r\nA: b\r\n\
             Content-Length: 2\r\n\r\n{}"
        );
    }
}
