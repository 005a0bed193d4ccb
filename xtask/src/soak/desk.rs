//! Where all clients and handlers of a run write down what they see.
//!
//! Invariant: facts get into the ledger under one lock, in the order in which they happened to this program.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::Instant;

use super::http::{Client, Sent};
use super::plan::Spec;
use super::wire;
use crate::ledger::{CallId, Event, JobId, Ledger, Marker, Reply, Request, Submit, Token};

/// The run's memory, shared by all of its tasks.
#[derive(Debug)]
pub(crate) struct Desk {
    /// The run's seed.
    pub(crate) seed: u64,
    ledger: Mutex<Ledger>,
    /// Jobs in the order in which their ids were shown, and submissions whose key is in use.
    lists: Mutex<(Vec<JobId>, Vec<Submit>)>,
    /// The process ids of the servers, in the order of their starts.
    pids: Mutex<Vec<u32>>,
    /// Where the server is, while it is to be used.
    pub(crate) address: watch::Sender<Option<SocketAddr>>,
    /// Calls that a living server never answered.
    pub(crate) silent: AtomicU64,
    closing: AtomicBool,
    workers_home: AtomicBool,
    markers: AtomicU64,
    began: Instant,
    calls: AtomicU64,
    tokens: AtomicU64,
}

impl Desk {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed,
            ledger: Mutex::default(),
            lists: Mutex::default(),
            pids: Mutex::default(),
            address: watch::Sender::new(None),
            silent: AtomicU64::new(0),
            closing: AtomicBool::new(false),
            workers_home: AtomicBool::new(false),
            markers: AtomicU64::new(0),
            began: Instant::now(),
            calls: AtomicU64::new(0),
            tokens: AtomicU64::new(0),
        }
    }

    /// The ledger, locked.
    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a fact down.
    pub(crate) fn record(&self, event: Event) {
        let mut ledger = self.ledger();
        let at = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        ledger.record(at, event);
    }

    /// The server with this process id was started; under which number.
    pub(crate) fn started(&self, pid: u32) {
        self.pids.lock().unwrap_or_else(PoisonError::into_inner).push(pid);
    }

    /// The number of the server with this process id, 0 where it was none.
    pub(crate) fn server_of(&self, pid: u32) -> u64 {
        let pids = self.pids.lock().unwrap_or_else(PoisonError::into_inner);
        pids.iter()
            .rposition(|known| *known == pid)
            .map_or(0, |place| place as u64 + 1)
    }

    /// Whether the clients are to go home.
    pub(crate) fn closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// Sends the clients home once their call in flight is answered.
    pub(crate) fn close(&self) {
        self.closing.store(true, Ordering::Release);
    }

    /// Whether the pull workers are to go home.
    pub(crate) fn workers_home(&self) -> bool {
        self.workers_home.load(Ordering::Acquire)
    }

    /// Sends the pull workers home: every job is finished.
    pub(crate) fn send_workers_home(&self) {
        self.workers_home.store(true, Ordering::Release);
    }

    /// A marker that no result had before.
    pub(crate) fn marker(&self) -> Marker {
        Marker(self.markers.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// A number that no submission had before.
    pub(crate) fn token(&self) -> Token {
        Token(self.tokens.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// One of the jobs known, by a function of how many there are.
    pub(crate) fn job(&self, choose: impl FnOnce(usize) -> usize) -> Option<JobId> {
        let lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        lists.0.get(choose(lists.0.len())).cloned()
    }

    /// The same for submissions that were acknowledged under a key.
    pub(crate) fn keyed(&self, choose: impl FnOnce(usize) -> usize) -> Option<Submit> {
        let lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        lists.1.get(choose(lists.1.len())).cloned()
    }

    /// Every job in the order in which the ids were shown, from the given place on.
    pub(crate) fn jobs_from(&self, place: usize) -> Vec<JobId> {
        let lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        lists.0.get(place..).unwrap_or_default().to_vec()
    }

    /// Leaves out jobs that were retired.
    pub(crate) fn forget(&self, retired: &[JobId]) {
        let mut lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        let retired: std::collections::HashSet<&JobId> = retired.iter().collect();
        lists.0.retain(|id| !retired.contains(id));
        let kept = lists.1.len().saturating_sub(2_000);
        lists.1.drain(..kept);
    }

    fn remember(&self, request: &Request, reply: &Reply) {
        let Some(id) = &reply.job else {
            return;
        };
        let known = self.ledger().is_known(id);
        let mut lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        match request {
            // A replay or a repeated retry would list a job twice: harmless, it is then looked at twice.
            Request::Submit(submit) if !reply.replayed => {
                lists.0.push(id.clone());
                if submit.key.is_some() && submit.valid {
                    lists.1.push(submit.clone());
                }
            }
            Request::Retry(_) if !known => lists.0.push(id.clone()),
            Request::Submit(_)
            | Request::Read(_)
            | Request::Redeem(_)
            | Request::Cancel(_)
            | Request::Retry(_)
            | Request::Delete(_)
            | Request::Settle(_) => {}
        }
    }

    /// Sends a request and writes down what became of it.
    pub(crate) async fn call(
        &self,
        client: &mut Client,
        to: SocketAddr,
        request: &Request,
        how: How<'_>,
    ) -> Option<Reply> {
        let call = CallId(self.calls.fetch_add(1, Ordering::Relaxed) + 1);
        self.record(Event::Call(call, request.clone()));
        let (event, reply) = match client.send(to, how.method, how.path, how.headers, how.body).await {
            Sent::Unsent => (Event::Unsent(call), None),
            Sent::Lost => (Event::Lost(call), None),
            Sent::Silent => {
                self.silent.fetch_add(1, Ordering::Relaxed);
                (Event::Lost(call), None)
            }
            Sent::Answered {
                status,
                headers,
                body,
            } => {
                let reply = wire::reply(status, &headers, body.as_ref());
                (Event::Reply(call, reply.clone()), Some(reply))
            }
        };
        if let Some(reply) = &reply {
            self.remember(request, reply);
        }
        self.record(event);
        reply
    }

    /// Submits.
    pub(crate) async fn submit(&self, client: &mut Client, to: SocketAddr, spec: Spec) -> Option<Reply> {
        let how = How {
            method: "POST",
            path: &spec.path,
            headers: &spec.headers,
            body: spec.body,
        };
        self.call(client, to, &Request::Submit(spec.submit), how).await
    }

    /// Asks about a job, waiting up to `wait` seconds where that means something.
    pub(crate) async fn ask(&self, client: &mut Client, to: SocketAddr, request: Request, wait: u64) {
        let Some(id) = request.job().cloned() else {
            return;
        };
        let (method, verb) = match &request {
            Request::Submit(_) | Request::Settle(_) | Request::Read(_) => ("GET", ""),
            Request::Redeem(_) => ("GET", "/result"),
            Request::Cancel(_) => ("POST", "/cancel"),
            Request::Retry(_) => ("POST", "/retry"),
            Request::Delete(_) => ("DELETE", ""),
        };
        let path = format!("/v1/jobs/{id}{verb}");
        let wait = (wait > 0).then(|| ("Prefer", format!("wait={wait}")));
        let how = How {
            method,
            path: &path,
            headers: wait.as_slice(),
            body: Bytes::new(),
        };
        self.call(client, to, &request, how).await;
    }
}

/// A request's form on the wire.
#[derive(Debug)]
pub(crate) struct How<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) headers: &'a [(&'static str, String)],
    pub(crate) body: Bytes,
}
