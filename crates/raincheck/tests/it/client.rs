//! A client that sends what it is told and nothing else, so that a test sees each byte.

use std::fmt::Write as _;
use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A request to be sent on a connection of its own.
pub(crate) struct Ask {
    addr: SocketAddr,
    head: String,
    body: Vec<u8>,
}

impl Ask {
    pub(crate) fn new(addr: SocketAddr, method: &str, path: &str) -> Self {
        Self::to_host(addr, &addr.to_string(), method, path)
    }

    /// A request for another host at the same address.
    pub(crate) fn to_host(addr: SocketAddr, host: &str, method: &str, path: &str) -> Self {
        Self {
            addr,
            head: format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n"),
            body: Vec::new(),
        }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        write!(self.head, "{name}: {value}\r\n").unwrap();
        self
    }

    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        write!(self.head, "content-length: {}\r\n", self.body.len()).unwrap();
        self
    }

    pub(crate) fn json(self, body: &str) -> Self {
        self.header("content-type", "application/json").body(body)
    }

    pub(crate) async fn send(self) -> Answer {
        let mut bytes = self.head.into_bytes();
        let head_only = bytes.starts_with(b"HEAD ");
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(&self.body);
        let mut line = Line::open(self.addr).await;
        line.send(&bytes).await;
        line.answer_to(head_only).await.expect("an answer")
    }
}

/// An answer as it came.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The header's value, where there is exactly one.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self
            .headers
            .iter()
            .filter(|(n, _)| n == name)
            .map(|(_, v)| v.as_str());
        let first = values.next();
        assert_eq!(values.next(), None, "{name} is there twice");
        first
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {:?}", self.text()))
    }

    /// The job that the answer is about.
    pub(crate) fn job(&self) -> String {
        self.header("raincheck-job")
            .unwrap_or_else(|| panic!("no job: {self:?}"))
            .to_owned()
    }

    pub(crate) fn outcome(&self) -> Option<&str> {
        self.header("raincheck-outcome")
    }

    /// A problem's code, after checking what every problem must have.
    pub(crate) fn code(&self) -> String {
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json"),
            "{self:?}"
        );
        let problem = self.json();
        let code = problem["code"].as_str().unwrap().to_owned();
        assert_eq!(problem["status"], self.status);
        assert_eq!(problem["type"], format!("/problems/{code}"));
        assert!(!problem["detail"].as_str().unwrap().is_empty());
        assert_eq!(problem["request_id"].as_str(), self.header("x-request-id"));
        code
    }

    /// The whole answer as text, with everything blotted out that differs from run to run.
    pub(crate) fn shown(&self) -> String {
        let mut shown = format!("{}\n", self.status);
        let mut headers = self.headers.clone();
        headers.sort();
        for (name, value) in headers
            .iter()
            .filter(|(name, _)| !["date", "connection", "content-length"].contains(&name.as_str()))
        {
            let value = if name == "x-request-id" {
                "[request]"
            } else {
                value
            };
            writeln!(shown, "{name}: {value}").unwrap();
        }
        let body = match serde_json::from_slice::<Value>(&self.body) {
            Ok(Value::Object(mut object)) => {
                if object.contains_key("request_id") {
                    object.insert("request_id".into(), "[request]".into());
                }
                serde_json::to_string_pretty(&object).unwrap()
            }
            _ => self.text().to_owned(),
        };
        write!(shown, "\n{body}").unwrap();
        blot(&shown)
    }
}

/// Replaces job ids, instants and lengths that depend on them.
fn blot(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let digits = |at: &[usize]| {
            at.iter()
                .all(|i| rest.as_bytes().get(*i).is_some_and(u8::is_ascii_digit))
        };
        if rest.starts_with("job_") && rest.len() >= 30 {
            out.push_str("[job]");
            rest = &rest[30..];
        } else if digits(&[0, 1, 2, 3, 5, 6, 8, 9, 11, 12]) && rest.as_bytes().get(10) == Some(&b'T') {
            let end = rest.find('Z').unwrap() + 1;
            out.push_str("[time]");
            rest = &rest[end..];
        } else {
            out.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    out
}

/// A connection, for those who send by hand.
pub(crate) struct Line {
    stream: TcpStream,
    heard: Vec<u8>,
}

impl Line {
    pub(crate) async fn open(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            heard: Vec::new(),
        }
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        // The server may have refused and closed while we still send: its answer tells.
        let _ = self.stream.write_all(bytes).await;
    }

    /// The next answer; `None` where the connection ends instead.
    pub(crate) async fn answer(&mut self) -> Option<Answer> {
        self.answer_to(false).await
    }

    async fn answer_to(&mut self, head_only: bool) -> Option<Answer> {
        let end = loop {
            if let Some(end) = find(&self.heard, b"\r\n\r\n") {
                break end;
            }
            if !self.hear().await {
                assert!(
                    self.heard.is_empty(),
                    "half an answer: {:?}",
                    String::from_utf8_lossy(&self.heard)
                );
                return None;
            }
        };
        let head = String::from_utf8(self.heard.drain(..end + 4).collect()).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next().unwrap();
        let status: u16 = status
            .strip_prefix("HTTP/1.1 ")
            .or(status.strip_prefix("HTTP/1.0 "))
            .unwrap()[..3]
            .parse()
            .unwrap();
        let headers: Vec<(String, String)> = lines
            .map(|line| line.split_once(':').unwrap())
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let mut answer = Answer {
            status,
            headers,
            body: Vec::new(),
        };
        assert_eq!(
            answer.header("transfer-encoding"),
            None,
            "answers here have a length"
        );
        let bodiless = head_only || matches!(status, 100 | 204 | 304);
        let length: usize = answer
            .header("content-length")
            .map_or(0, |text| text.parse().unwrap());
        if !bodiless {
            while self.heard.len() < length {
                assert!(self.hear().await, "the body broke off");
            }
            answer.body = self.heard.drain(..length).collect();
        }
        Some(answer)
    }

    /// Whether the server closes the connection without another byte.
    pub(crate) async fn closed(&mut self) -> bool {
        self.heard.is_empty() && !self.hear().await
    }

    /// Until the first byte of an answer is there; takes none.
    pub(crate) async fn starts(&self) {
        self.stream.peek(&mut [0]).await.unwrap();
    }

    /// Whether what comes, if anything, ends before it is whole.
    pub(crate) async fn breaks_off(&mut self) -> bool {
        while self.hear().await {}
        let Some(end) = find(&self.heard, b"\r\n\r\n") else {
            return true;
        };
        let head = String::from_utf8_lossy(&self.heard[..end]).to_ascii_lowercase();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .unwrap();
        self.heard.len() - end - 4 < length.parse().unwrap()
    }

    /// Closes our sending side.
    pub(crate) async fn finish(&mut self) {
        self.stream.shutdown().await.unwrap();
    }

    async fn hear(&mut self) -> bool {
        matches!(self.stream.read_buf(&mut self.heard).await, Ok(n) if n > 0)
    }
}

fn find(bytes: &[u8], pattern: &[u8]) -> Option<usize> {
    bytes.windows(pattern.len()).position(|window| window == pattern)
}
