//! One connection of the load: a request goes out, its answer comes in, nothing lies in between.
//!
//! Invariant: no pool and no task of its own, so that the cost of the load stays far below that of the server; what is
//! read is bounded.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Request, Response, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{Builder, Connection, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::client::Address;
use crate::exit::{Exit, Failed};

/// How long connecting may take.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// The largest answer that is read.
const BODY_MAX: usize = 64 << 20;

/// A request that is ready to be sent.
pub(super) type Message = Request<Full<Bytes>>;

/// Where the load goes.
#[derive(Clone, Debug)]
pub(super) struct Target {
    address: SocketAddr,
    host: HeaderValue,
    prefix: String,
}

impl Target {
    /// Finds out where the API at this address is.
    pub(super) async fn of(address: &Address) -> Result<Self, Failed> {
        let uri: Uri = address.to_string().parse().map_err(|_| unknown(address))?;
        let authority = uri.authority().ok_or_else(|| unknown(address))?;
        // An address in brackets is written with them, and looked up without.
        let host = authority.host().trim_matches(['[', ']']);
        let port = authority.port_u16().unwrap_or(80);
        let mut found = tokio::net::lookup_host((host, port))
            .await
            .map_err(|_| unknown(address))?;
        Ok(Self {
            address: found.next().ok_or_else(|| unknown(address))?,
            host: HeaderValue::from_str(authority.as_str()).map_err(|_| unknown(address))?,
            prefix: uri.path().trim_end_matches('/').to_owned(),
        })
    }

    /// The head of requests with this path.
    pub(super) fn head(&self, method: Method, path: &str) -> Head {
        let mut headers = HeaderMap::with_capacity(6);
        headers.insert(header::HOST, self.host.clone());
        Head {
            method,
            uri: format!("{}{path}", self.prefix).parse().unwrap_or_default(),
            headers,
        }
    }

    /// The head of requests with this path and a JSON body.
    pub(super) fn post_json(&self, path: &str) -> Head {
        let json = HeaderValue::from_static("application/json");
        self.head(Method::POST, path).header(header::CONTENT_TYPE, json)
    }
}

fn unknown(address: &Address) -> Failed {
    Failed::new(
        Exit::Unreachable,
        format!("no such address on the network: {address}"),
    )
}

/// What requests have in common.
#[derive(Clone, Debug)]
pub(super) struct Head {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
}

impl Head {
    /// Adds a header.
    #[must_use]
    pub(super) fn header(mut self, name: header::HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// A request with this body.
    pub(super) fn with(&self, body: Bytes) -> Message {
        let mut message = Request::new(Full::new(body));
        *message.method_mut() = self.method.clone();
        *message.uri_mut() = self.uri.clone();
        *message.headers_mut() = self.headers.clone();
        message
    }
}

/// A connection.
#[derive(Debug)]
pub(super) struct Wire {
    sender: SendRequest<Full<Bytes>>,
    connection: Connection<TokioIo<TcpStream>, Full<Bytes>>,
}

impl Wire {
    /// Connects.
    pub(super) async fn open(target: &Target) -> Result<Self, Failed> {
        let connecting = tokio::time::timeout(CONNECT_MAX, TcpStream::connect(target.address));
        let stream = match connecting.await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(lost(target.address, &error.to_string())),
            Err(_) => return Err(lost(target.address, "it does not accept connections in time")),
        };
        stream.set_nodelay(true)?;
        let (sender, connection) = Builder::new()
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| lost(target.address, &error.to_string()))?;
        Ok(Self { sender, connection })
    }

    /// Sends a request and reads the whole answer. The connection serves further requests only after success.
    pub(super) async fn call(&mut self, message: Message) -> Result<Response<Bytes>, Failed> {
        let Self { sender, connection } = self;
        let answer = async {
            sender.ready().await?;
            let (head, body) = sender.send_request(message).await?.into_parts();
            let body = Limited::new(body, BODY_MAX).collect().await;
            Ok((head, body))
        };
        // The connection is driven here, by the one who waits for it: no other task has to be woken.
        let answer: Result<_, hyper::Error> = tokio::select! {
            biased;
            answer = answer => answer,
            _ = connection => return Err(broken("it closed the connection")),
        };
        let (head, body) = answer.map_err(|error| broken(&error.to_string()))?;
        let body = body.map_err(|error| broken(&error.to_string()))?;
        Ok(Response::from_parts(head, body.to_bytes()))
    }
}

fn lost(address: SocketAddr, why: &str) -> Failed {
    Failed::new(Exit::Unreachable, format!("cannot connect to {address}: {why}"))
}

fn broken(why: &str) -> Failed {
    Failed::new(
        Exit::Unreachable,
        format!("the server gave no complete answer: {why}"),
    )
}

/// The answer to something that cannot be refused in a healthy run.
pub(super) fn expect(
    status: u16,
    answer: Response<Bytes>,
    what: &'static str,
) -> Result<Response<Bytes>, Failed> {
    if answer.status() == status {
        return Ok(answer);
    }
    Err(refused(what, answer.status().as_u16(), answer.body()))
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
