//! A proxy between real sockets: what passes, what becomes a job, and what is never done twice.

mod again;
mod answers;
mod away;
mod below;
mod connections;
mod early;
mod http2;
mod jobs;
mod kept;
mod late;
mod logged;
mod pages;
mod pass;
mod redeemed;
mod refused;
mod secure;
mod stalled;
mod way;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use raincheck::api::{ApiOptions, Origin};
use raincheck::clock::SystemClock;
use raincheck::links::Mount;
use raincheck::outward::trust::Trust;
use raincheck::proxy::{Front, MOUNT, Proxy, ProxyOptions};
use raincheck::server::{Exposed, Listener, ServerOptions, Tls, serve};
use raincheck::tasks::{Group, TaskKind};
use raincheck::{Node, NodeOptions};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::client::Ask;
use crate::harness::ns;

/// A proxy in front of something.
pub(crate) struct Proxied {
    pub(crate) addr: SocketAddr,
    pub(crate) node: Node,
    proxy: Proxy,
    stop: CancellationToken,
    dir: Arc<tempfile::TempDir>,
}

/// How a proxy is set up.
pub(crate) struct Setup {
    pub(crate) dir: Arc<tempfile::TempDir>,
    /// How long it waits for the head of an answer.
    pub(crate) head_time: Duration,
    /// Whom it trusts to be the service.
    pub(crate) trust: Trust,
    /// What it speaks with those who ask.
    pub(crate) tls: Option<Tls>,
    pub(crate) exposed: Option<Exposed>,
    /// Whose pages may read what it says itself.
    pub(crate) origins: Vec<Origin>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            dir: Arc::new(tempfile::tempdir().unwrap()),
            head_time: Duration::from_secs(60),
            trust: Trust::default(),
            tls: None,
            exposed: None,
            origins: Vec::new(),
        }
    }
}

impl Proxied {
    /// With these rules, in which `UP` stands for the upstream.
    pub(crate) async fn start(upstream: SocketAddr, rules: &[&str]) -> Self {
        Self::with(Setup::default(), &format!("http://{upstream}"), rules).await
    }

    /// One that waits no longer than this for the head of an answer.
    pub(crate) async fn hasty(upstream: SocketAddr, rules: &[&str], head_time: Duration) -> Self {
        let setup = Setup {
            head_time,
            ..Setup::default()
        };
        Self::with(setup, &format!("http://{upstream}"), rules).await
    }

    /// Leaves in good order and starts anew over what was kept.
    pub(crate) async fn restarted(self, upstream: SocketAddr, rules: &[&str]) -> Self {
        self.node.shutdown().await;
        let setup = Setup {
            dir: self.dir.clone(),
            ..Setup::default()
        };
        drop(self);
        Self::with(setup, &format!("http://{upstream}"), rules).await
    }

    /// With these rules, in which `UP` stands for the upstream's URL.
    pub(crate) async fn with(setup: Setup, url: &str, rules: &[&str]) -> Self {
        let rules = rules.iter().map(|rule| rule.replace("UP", url).parse().unwrap());
        let proxy = Proxy::new(ProxyOptions {
            rules: rules.collect(),
            head_time: setup.head_time,
            trust: setup.trust,
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let store = raincheck::store::open(setup.dir.path(), Arc::new(SystemClock::new())).unwrap();
        let options = NodeOptions {
            functions: proxy.functions(),
            mount: Mount::new(MOUNT).unwrap(),
            drain: Duration::from_millis(500),
            ..NodeOptions::default()
        };
        let node = Node::start(store, options).await.unwrap();
        for (name, spec) in proxy.queues() {
            node.put_queue(&ns(), &name, spec, true).await.unwrap().unwrap();
        }
        let api = ApiOptions {
            cors_origins: setup.origins,
            ..ApiOptions::default()
        };
        let front = Front::new(node.clone(), api, proxy.clone());
        let stop = CancellationToken::new();
        let options = ServerOptions {
            interim: true,
            mount: Mount::new(MOUNT).unwrap(),
            exposed: setup.exposed,
            ..ServerOptions::default()
        };
        let listener = match setup.tls {
            Some(tls) => Listener::from(listener).with_tls(tls),
            None => Listener::from(listener),
        };
        let serving = serve(vec![listener], front, options, stop.clone());
        Group::new("test").spawn(TaskKind::Errand, async move {
            serving.await;
        });
        Self {
            addr,
            node,
            proxy,
            stop,
            dir: setup.dir,
        }
    }

    pub(crate) fn ask(&self, method: &str, path: &str) -> Ask {
        Ask::new(self.addr, method, path)
    }

    /// Sends bytes on a connection of their own and gives back all that comes.
    pub(crate) async fn exchange(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.addr).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut heard = Vec::new();
        // A connection that is reset has said what it had to say.
        let _ = stream.read_to_end(&mut heard).await;
        String::from_utf8_lossy(&heard).into_owned()
    }
}

/// A problem's code; its page is below the mount.
pub(crate) fn code(answer: &crate::client::Answer) -> String {
    let problem = answer.json();
    let code = problem["code"].as_str().unwrap().to_owned();
    assert_eq!(problem["type"], format!("/_raincheck/problems/{code}"));
    code
}

impl Drop for Proxied {
    fn drop(&mut self) {
        self.proxy.close();
        self.stop.cancel();
    }
}

/// What a test waits for comes within this, or it has failed.
async fn soon<T>(what: &str, coming: impl Future<Output = T>) -> T {
    let come = tokio::time::timeout(Duration::from_secs(30), coming).await;
    come.unwrap_or_else(|_| panic!("{what} did not come"))
}

/// A service that is played by hand: each connection is the test's own.
pub(crate) struct Played {
    pub(crate) addr: SocketAddr,
    listener: TcpListener,
}

impl Played {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        Self { addr, listener }
    }

    /// The next connection.
    pub(crate) async fn accept(&self) -> Side {
        Side(soon("a connection", self.listener.accept()).await.unwrap().0)
    }

    /// Whether nobody has come.
    pub(crate) async fn is_alone(&self) -> bool {
        tokio::time::timeout(Duration::from_millis(50), self.listener.accept())
            .await
            .is_err()
    }
}

/// One side of a connection.
pub(crate) struct Side(pub(crate) TcpStream);

impl Side {
    pub(crate) async fn connect(addr: SocketAddr) -> Self {
        Self(TcpStream::connect(addr).await.unwrap())
    }

    /// Reads until this was said.
    pub(crate) async fn until(&mut self, end: &str) -> String {
        let mut heard = Vec::new();
        while !heard.windows(end.len().max(1)).any(|part| part == end.as_bytes()) {
            let mut byte = [0];
            let read = soon(end, self.0.read(&mut byte)).await.unwrap_or(0);
            assert_eq!(read, 1, "it ended: {:?}", String::from_utf8_lossy(&heard));
            heard.push(byte[0]);
        }
        String::from_utf8(heard).unwrap()
    }

    pub(crate) async fn say(&mut self, bytes: &str) {
        self.0.write_all(bytes.as_bytes()).await.unwrap();
    }

    /// Says no more, and reads what still comes.
    pub(crate) async fn finish(mut self) -> String {
        let _ = self.0.shutdown().await;
        let mut heard = Vec::new();
        let _ = self.0.read_to_end(&mut heard).await;
        String::from_utf8_lossy(&heard).into_owned()
    }

    /// Whether the other side is gone.
    pub(crate) async fn ended(&mut self) -> bool {
        matches!(soon("the end", self.0.read(&mut [0])).await, Ok(0) | Err(_))
    }
}

/// A service that answers by a function, and counts.
pub(crate) struct Counting {
    pub(crate) addr: SocketAddr,
    calls: Arc<AtomicU32>,
}

impl Counting {
    pub(crate) async fn start<F, A>(answer: F) -> Self
    where
        F: Fn(u32, axum::extract::Request) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = axum::response::Response> + Send + 'static,
    {
        Self::over(None, answer).await
    }

    /// The same, over TLS.
    pub(crate) async fn over<F, A>(tls: Option<Tls>, answer: F) -> Self
    where
        F: Fn(u32, axum::extract::Request) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = axum::response::Response> + Send + 'static,
    {
        let calls = Arc::new(AtomicU32::new(0));
        let counted = calls.clone();
        let app = axum::Router::new().fallback(move |request: axum::extract::Request| {
            let n = counted.fetch_add(1, Ordering::SeqCst) + 1;
            answer(n, request)
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let listener = match tls {
            Some(tls) => Listener::from(listener).with_tls(tls),
            None => Listener::from(listener),
        };
        let serving = serve(
            vec![listener],
            app,
            ServerOptions::default(),
            CancellationToken::new(),
        );
        Group::new("service").spawn(TaskKind::Errand, async move {
            serving.await;
        });
        Self { addr, calls }
    }

    pub(crate) fn calls(&self) -> u32 {
        self.calls.load(Ordering::SeqCst)
    }
}
