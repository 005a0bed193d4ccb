//! The log of what administrators do: keys, queues, bulk acts, secrets.
//!
//! Invariants: each act of somebody who was let in is one line in the log and one row in the store, done or refused, with
//! who, from where, what, on what and the request's id; never a body, which may hold secrets. What was done has its row
//! from the transaction that did it, what was refused before it is answered; refusals get no more rows than their bucket
//! gives, so that nobody fills the disk with them.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::response::Response;
use http::{HeaderValue, Request};
use raincheck_core::audit::{Act, Actor};
use raincheck_core::key::Scope;
use raincheck_core::limit::Rate;
use raincheck_core::name::Namespace;
use raincheck_core::store::{Answer, Store};

use super::caller::RAINCHECK_NAMESPACE;
use super::door::{Came, peer};
use super::ids::X_REQUEST_ID;
use super::needs;
use super::problem::Unwritten;
use super::text;
use crate::random::Randomness;
use crate::telemetry::http::Routes;
use crate::throttle::{Buckets, Source};

/// So many refused acts of one caller have their row within a minute.
const REFUSED_BURST: u32 = 60;

/// So much of a path is kept.
const TARGET_CHARS: usize = 256;

/// Shows a secret, which is an act though it changes nothing.
const SHOWS_A_SECRET: &str = "/v1/webhook-secret";

/// An operation that is an act of administration.
#[derive(Debug)]
struct Operation {
    method: String,
    route: Arc<str>,
    action: String,
}

/// Sees to it that every act is recorded.
#[derive(Debug)]
pub(crate) struct Audit {
    store: Arc<dyn Store>,
    random: Randomness,
    operations: Vec<Operation>,
    refused: Buckets,
}

impl Audit {
    /// Of the operations that a document declares: method, path and name of each.
    pub(crate) fn new<'a>(
        store: Arc<dyn Store>,
        random: Randomness,
        routes: &Routes,
        declared: impl Iterator<Item = (&'static str, &'a str, &'a str)>,
    ) -> Self {
        let administers = |method: &str, path: &str| {
            let need = needs::row(method, path);
            need.is_some_and(|need| need.scope == Scope::Admin) && (method != "GET" || path == SHOWS_A_SECRET)
        };
        let operations = declared
            .filter(|(method, path, _)| administers(method, path))
            .map(|(method, path, action)| Operation {
                method: method.to_owned(),
                route: routes.of(path).clone(),
                action: action.to_owned(),
            });
        let a_minute = Rate::new(REFUSED_BURST, Duration::from_secs(60));
        Self {
            store,
            random,
            operations: operations.collect(),
            refused: Buckets::new(a_minute.expect("sixty a minute is a rate"), REFUSED_BURST),
        }
    }

    /// What is asked, where that is an act of somebody who was let in. Its route finds it in the request's extensions.
    pub(crate) fn act<B>(
        &self,
        request: &mut Request<B>,
        came: Came,
        method: &str,
        route: &Arc<str>,
        request_id: &HeaderValue,
    ) -> Option<Box<OnItsWay>> {
        let asked =
            |operation: &&Operation| Arc::ptr_eq(&operation.route, route) && operation.method == method;
        let operation = self.operations.iter().find(asked)?;
        let (actor, namespace) = match came {
            Came::Nobody => return None,
            Came::Anyone => (Actor::Local, Namespace::default()),
            Came::Key(key) => {
                let named = request
                    .headers()
                    .get(RAINCHECK_NAMESPACE)
                    .filter(|_| key.is_operator());
                let named = named.and_then(|named| Namespace::new(named.to_str().ok()?.trim()).ok());
                (Actor::Key(key.id), named.unwrap_or_else(|| key.namespace.clone()))
            }
        };
        let on_its_way = OnItsWay {
            act: Act {
                id: self.random.bits(),
                actor,
                address: Some(peer(request)),
                namespace,
                action: operation.action.clone(),
                target: text::clipped(request.uri().path(), TARGET_CHARS).into_owned(),
                request_id: request_id.to_str().unwrap_or_default().to_owned(),
            },
            taken: Arc::default(),
        };
        request.extensions_mut().insert(on_its_way.clone());
        Some(Box::new(on_its_way))
    }

    /// Writes the line of an act that is about to be answered, and gives what is still to be done for its row.
    pub(crate) fn answered(&self, on_its_way: &OnItsWay, response: &Response) -> Option<Answer<()>> {
        let act = &on_its_way.act;
        let status = response.status();
        tracing::info!(
            target: "raincheck::audit", actor = %act.actor, address = act.address.map(tracing::field::display),
            namespace = %act.namespace, action = act.action, on = act.target, status = status.as_u16(),
            request_id = act.request_id, "administrative act"
        );
        if status.is_success() {
            let recorded = on_its_way.taken.load(Ordering::Relaxed);
            return (!recorded).then(|| self.store.record(act.clone(), None));
        }
        let source = match (act.actor, act.address) {
            (Actor::Key(key), _) => Source::Key(key),
            (Actor::Local, address) => Source::Address(address?),
        };
        if self.refused.take(source, self.store.now()).wait.is_some() {
            return None;
        }
        let problem = response.extensions().get::<Unwritten>();
        let code = problem.map_or("internal", |Unwritten(problem)| problem.code().as_str());
        Some(self.store.record(act.clone(), Some(code.to_owned())))
    }
}

/// An act whose answer is not there yet.
#[derive(Clone, Debug)]
pub(crate) struct OnItsWay {
    act: Act,
    /// Whether its route took the store that records it.
    taken: Arc<AtomicBool>,
}

impl OnItsWay {
    /// The act, for the store that records it with what it does.
    pub(crate) fn take(&self) -> Act {
        self.taken.store(true, Ordering::Relaxed);
        self.act.clone()
    }
}

/// An answer that waits for a row.
pub(super) struct Recording {
    pub(super) response: Response,
    pub(super) row: Answer<()>,
}

impl fmt::Debug for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recording").finish_non_exhaustive()
    }
}

impl Recording {
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Response> {
        match self.row.as_mut().poll(cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(())) => {}
            // What was done is done, and its line is in the log.
            Poll::Ready(Err(error)) => {
                let request_id = self.response.headers().get(X_REQUEST_ID);
                let request_id = request_id.and_then(|id| id.to_str().ok());
                tracing::error!(request_id, %error, "the row of an administrative act was not written")
            }
        }
        Poll::Ready(std::mem::take(&mut self.response))
    }
}
