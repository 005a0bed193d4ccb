//! A whole server for one test, and a worker that the test plays by hand.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use raincheck::api::{ApiOptions, service_with};
use raincheck::clock::SystemClock;
use raincheck::core::clock::{Clock, ManualClock};
use raincheck::core::content::JobResult;
use raincheck::core::decide::{Claimer, Settlement};
use raincheck::core::id::Nonce;
use raincheck::core::job::{Failure, Job};
use raincheck::core::lease::WorkerKind;
use raincheck::core::name::{Namespace, QueueName, WorkerName};
use raincheck::core::queue::QueueSpec;
use raincheck::core::store::{Claim, Leased, Settle, Store};
use raincheck::server::{Listener, ServerOptions, Tls, serve};
use raincheck::tasks::{Group, TaskKind};
use raincheck::{Node, NodeOptions};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::client::Ask;

/// What a test may choose.
#[derive(Default)]
pub(crate) struct Setup {
    pub(crate) node: NodeOptions,
    pub(crate) api: ApiOptions,
    pub(crate) server: ServerOptions,
    pub(crate) clock: Option<Arc<ManualClock>>,
    pub(crate) tls: Option<Tls>,
}

pub(crate) struct Server {
    pub(crate) addr: SocketAddr,
    pub(crate) node: Node,
    pub(crate) stop: CancellationToken,
    pub(crate) served: oneshot::Receiver<usize>,
    nonces: AtomicU64,
    dir: Arc<tempfile::TempDir>,
}

pub(crate) fn ns() -> Namespace {
    Namespace::default()
}

pub(crate) fn queue(name: &str) -> QueueName {
    QueueName::new(name).unwrap()
}

impl Server {
    /// A server with one pull queue, `thumbs`.
    pub(crate) async fn start() -> Self {
        Self::with(Setup::default()).await
    }

    pub(crate) async fn with(setup: Setup) -> Self {
        Self::within(Arc::new(tempfile::tempdir().unwrap()), setup).await
    }

    /// Stops in good order and starts anew over what was kept; the address is another one.
    pub(crate) async fn restarted(self) -> Self {
        self.node.shutdown().await;
        let dir = self.dir.clone();
        drop(self);
        Self::within(dir, Setup::default()).await
    }

    /// The same under this clock.
    pub(crate) async fn restarted_at(self, clock: Arc<ManualClock>) -> Self {
        self.node.shutdown().await;
        let dir = self.dir.clone();
        drop(self);
        let setup = Setup {
            clock: Some(clock),
            ..Setup::default()
        };
        Self::within(dir, setup).await
    }

    async fn within(dir: Arc<tempfile::TempDir>, mut setup: Setup) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        setup.node.public_url.get_or_insert(format!("http://{addr}"));
        let clock: Arc<dyn Clock> = match setup.clock {
            Some(clock) => clock,
            None => Arc::new(SystemClock::new()),
        };
        let store = raincheck::store::open(dir.path(), clock).unwrap();
        let node = Node::start(store, setup.node).await.unwrap();
        node.put_queue(&ns(), &queue("thumbs"), QueueSpec::default(), false)
            .await
            .unwrap()
            .unwrap();
        let stop = CancellationToken::new();
        let app = service_with(node.clone(), setup.api);
        let mut listener = Listener::from(listener);
        if let Some(tls) = setup.tls {
            listener = listener.with_tls(tls);
        }
        let serving = serve(vec![listener], app, setup.server, stop.clone());
        let (tell, served) = oneshot::channel();
        Group::new("test").spawn(TaskKind::Errand, async move {
            // A test that does not ask has dropped the other end.
            let _ = tell.send(serving.await);
        });
        Self {
            addr,
            node,
            stop,
            served,
            nonces: AtomicU64::new(1),
            dir,
        }
    }

    pub(crate) fn store(&self) -> &dyn Store {
        &**self.node.store()
    }

    pub(crate) fn ask(&self, method: &str, path: &str) -> Ask {
        Ask::new(self.addr, method, path)
    }

    pub(crate) fn get(&self, path: &str) -> Ask {
        self.ask("GET", path)
    }

    pub(crate) fn post(&self, path: &str) -> Ask {
        self.ask("POST", path)
    }

    /// Submits `body` to `thumbs` and gives back the id.
    pub(crate) async fn submit(&self, body: &str) -> String {
        let answer = self.post("/v1/queues/thumbs/jobs").body(body).send().await;
        assert_eq!(answer.status, 202, "{answer:?}");
        answer.job()
    }

    /// Claims the next job of the queue.
    pub(crate) async fn claim(&self, name: &str) -> Option<Leased> {
        let mut nonce = [7; 12];
        nonce[..8].copy_from_slice(&self.nonces.fetch_add(1, Ordering::Relaxed).to_be_bytes());
        let claim = Claim {
            queue: queue(name),
            claimer: Claimer {
                worker: WorkerName::new("by-hand").unwrap(),
                kind: WorkerKind::Pull,
                term: Duration::from_secs(30),
                claim_id: None,
            },
            nonces: vec![Nonce(nonce)],
            running_max: None,
            passing_over: Vec::new(),
        };
        self.store().claim(&ns(), claim).await.unwrap().pop()
    }

    /// Settles a claimed job.
    pub(crate) async fn settle(&self, leased: &Leased, settlement: Settlement) -> Arc<Job> {
        let settle = Settle {
            lease: leased.job.lease_id().unwrap(),
            settlement,
            digest: [1; 16],
            seed: 1,
        };
        self.store()
            .settle(&ns(), vec![settle])
            .await
            .unwrap()
            .pop()
            .unwrap()
            .unwrap()
    }

    /// Works the next job of `thumbs`, once it is there.
    pub(crate) async fn work(&self, settlement: Settlement) -> Arc<Job> {
        loop {
            if let Some(leased) = self.claim("thumbs").await {
                return self.settle(&leased, settlement).await;
            }
            tokio::task::yield_now().await;
        }
    }

    /// Submits a job and finishes it so.
    pub(crate) async fn finished(&self, settlement: Settlement) -> String {
        let id = self.submit("x").await;
        assert_eq!(self.work(settlement).await.id.to_string(), id);
        id
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
        self.node.abort();
    }
}

/// A result.
pub(crate) fn result(status: u16, kind: &str, headers: &[(&str, &str)], body: &str) -> JobResult {
    let headers = headers
        .iter()
        .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
        .collect();
    JobResult::new(
        status,
        Some(kind.to_owned()),
        headers,
        Bytes::copy_from_slice(body.as_bytes()),
    )
}

/// Success with this text.
pub(crate) fn success(body: &str) -> Settlement {
    Settlement::succeed(result(200, "text/plain", &[], body))
}

/// Failure for good.
pub(crate) fn failure(code: &str, detail: &str, result: Option<JobResult>) -> Settlement {
    Settlement::Fail {
        failure: Failure::new(code, detail),
        retry: None,
        result: result.map(Arc::new),
        timed_out: code == "timed-out",
    }
}
