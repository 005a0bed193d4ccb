//! A reader of streams that takes nothing for granted: it reads chunked bytes and writes down each event as it came.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// One event.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) id: Option<String>,
    pub(crate) data: Value,
}

impl Event {
    fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            id: None,
            data: Value::Null,
        }
    }

    /// The event in a few words.
    pub(crate) fn told(&self) -> String {
        let (name, data) = (&self.name, &self.data);
        let text = |field: &str| data[field].as_str().unwrap_or_default().to_owned();
        match name.as_str() {
            "state" => text("state"),
            "output" | "log" => {
                let body = data["text"]
                    .as_str()
                    .map_or_else(|| text("base64"), str::to_owned);
                format!("{name} {}.{} {body}", data["attempt"], data["seq"])
            }
            "reset" => format!("reset {}", data["attempt"]),
            "progress" => format!("progress {}", text("message")),
            "done" => format!("done {}", text("outcome")),
            other => other.to_owned(),
        }
    }
}

/// A stream that is being read.
pub(crate) struct Stream {
    stream: TcpStream,
    /// As it came.
    raw: Vec<u8>,
    /// Without the chunks' sizes.
    body: Vec<u8>,
    pub(crate) status: u16,
    pub(crate) head: String,
    over: bool,
    lines: bool,
}

impl Stream {
    pub(crate) async fn open(addr: SocketAddr, path: &str) -> Self {
        Self::with(addr, path, &[]).await
    }

    pub(crate) async fn with(addr: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Self {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        let mut ask = format!("GET {path} HTTP/1.1\r\nhost: {addr}\r\n");
        for (name, value) in headers {
            ask.push_str(&format!("{name}: {value}\r\n"));
        }
        ask.push_str("\r\n");
        stream.write_all(ask.as_bytes()).await.unwrap();
        let mut this = Self {
            stream,
            raw: Vec::new(),
            body: Vec::new(),
            status: 0,
            head: String::new(),
            over: false,
            lines: false,
        };
        let end = loop {
            match this.raw.windows(4).position(|window| window == b"\r\n\r\n") {
                Some(end) => break end + 4,
                None => assert!(this.hear().await, "no head"),
            }
        };
        this.head = String::from_utf8(this.raw.drain(..end).collect())
            .unwrap()
            .to_ascii_lowercase();
        this.status = this.head[9..12].parse().unwrap();
        this.lines = this.head.contains("application/x-ndjson");
        this
    }

    async fn hear(&mut self) -> bool {
        matches!(self.stream.read_buf(&mut self.raw).await, Ok(n) if n > 0)
    }

    /// Takes whole chunks out of what came.
    fn unchunk(&mut self) {
        loop {
            let Some(line) = self.raw.windows(2).position(|window| window == b"\r\n") else {
                return;
            };
            let size = std::str::from_utf8(&self.raw[..line]).unwrap();
            let size = usize::from_str_radix(size, 16).unwrap();
            if self.raw.len() < line + 2 + size + 2 {
                return;
            }
            self.body.extend_from_slice(&self.raw[line + 2..line + 2 + size]);
            self.raw.drain(..line + 2 + size + 2);
            if size == 0 {
                self.over = true;
                return;
            }
        }
    }

    /// The next event, or comment (`ping`), or `retry`; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        loop {
            self.unchunk();
            let mark: &[u8] = if self.lines { b"\n" } else { b"\n\n" };
            let end = self.body.windows(mark.len()).position(|window| window == mark);
            if let Some(end) = end {
                let block: Vec<u8> = self.body.drain(..end + mark.len()).collect();
                let block = std::str::from_utf8(&block).unwrap();
                return Some(if self.lines { line(block) } else { sse(block) });
            }
            if self.over {
                assert!(self.body.is_empty(), "half an event");
                return None;
            }
            assert!(self.hear().await, "the connection broke off");
        }
    }

    /// The next line as it came; `None` at the end.
    pub(crate) async fn next_line(&mut self) -> Option<String> {
        loop {
            self.unchunk();
            if let Some(end) = self.body.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.body.drain(..=end).collect();
                return Some(String::from_utf8(line).unwrap().trim_end().to_owned());
            }
            if self.over {
                assert!(self.body.is_empty(), "half a line");
                return None;
            }
            assert!(self.hear().await, "the connection broke off");
        }
    }

    /// The next so many events.
    pub(crate) async fn take(&mut self, count: usize) -> Vec<Event> {
        let mut events = Vec::new();
        for _ in 0..count {
            events.push(self.next().await.expect("more events"));
        }
        events
    }

    /// Everything to the end.
    pub(crate) async fn rest(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        events
    }
}

/// Reads an event of `text/event-stream`.
fn sse(block: &str) -> Event {
    let mut event = Event::new("");
    for line in block.lines().filter(|line| !line.is_empty()) {
        let (field, value) = line.split_once(':').unwrap();
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "" => event.name = "ping".to_owned(),
            "event" => event.name = value.to_owned(),
            "id" => event.id = Some(value.to_owned()),
            "data" => event.data = serde_json::from_str(value).unwrap(),
            "retry" => {
                event.name = "retry".to_owned();
                event.data = serde_json::json!({"millis": value.parse::<u64>().unwrap()});
            }
            _ => panic!("{line:?}"),
        }
    }
    event
}

/// Reads an event of NDJSON.
fn line(line: &str) -> Event {
    let value: Value = serde_json::from_str(line).unwrap();
    Event {
        name: value["event"].as_str().unwrap().to_owned(),
        id: value["id"].as_str().map(str::to_owned),
        data: value["data"].clone(),
    }
}
