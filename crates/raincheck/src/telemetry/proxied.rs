//! Requests that go by a proxy's rules, and those of the application's own routes below `respond_async`.
//!
//! Invariant: labels come from the rules and layers, of which the operator wrote each, never from a path.

use std::sync::{Arc, PoisonError, RwLock};

use http::StatusCode;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::{names, register};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    route: Arc<str>,
    mode: &'static str,
    code: u16,
}

/// The numbers of such requests. Cloning gives another handle.
#[derive(Clone, Debug)]
pub(crate) struct Proxied(Family<Labels, Counter>);

impl Proxied {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let answered = Family::<Labels, Counter>::default();
        register(registry, names::PROXIED, answered.clone());
        Self(answered)
    }

    /// The numbers of one rule, by its path.
    pub(crate) fn of(&self, route: &Arc<str>) -> OfRule {
        OfRule {
            all: self.clone(),
            route: route.clone(),
            counters: RwLock::default(),
        }
    }
}

/// The numbers of one rule. Those that were counted before are at hand: to look them up by their labels costs more than all headers
/// of a call.
#[derive(Debug)]
pub(crate) struct OfRule {
    all: Proxied,
    route: Arc<str>,
    /// As many as there are modes and statuses; a few in fact.
    counters: RwLock<Vec<(&'static str, u16, Counter)>>,
}

impl OfRule {
    /// Counts an answer: by what became of the call.
    pub(crate) fn answered(&self, mode: &'static str, code: u16) {
        let counters = self.counters.read().unwrap_or_else(PoisonError::into_inner);
        let at_hand = counters.iter().find(|known| (known.0, known.1) == (mode, code));
        if let Some((_, _, counter)) = at_hand {
            counter.inc();
            return;
        }
        drop(counters);
        let labels = Labels {
            route: self.route.clone(),
            mode,
            code,
        };
        let counter = self.all.0.get_or_create_owned(&labels);
        counter.inc();
        let mut counters = self.counters.write().unwrap_or_else(PoisonError::into_inner);
        counters.push((mode, code, counter));
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfLayer {
    queue: Arc<str>,
    mode: &'static str,
    code: u16,
}

/// The numbers of requests of the application's own routes. Cloning gives another handle.
#[derive(Clone, Debug)]
pub(crate) struct Responded(Family<OfLayer, Counter>);

impl Responded {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let answered = Family::<OfLayer, Counter>::default();
        register(registry, names::RESPONDED, answered.clone());
        Self(answered)
    }

    /// Counts an answer: by the queue of its layer, and by what became of the request.
    pub(crate) fn answered(&self, queue: &Arc<str>, mode: &'static str, code: StatusCode) {
        let labels = OfLayer {
            queue: queue.clone(),
            mode,
            code: code.as_u16(),
        };
        self.0.get_or_create(&labels).inc();
    }
}
