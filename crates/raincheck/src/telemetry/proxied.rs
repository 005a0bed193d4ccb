//! Requests that go by a proxy's rules, and those of the application's own routes below `respond_async`.
//!
//! Invariant: labels come from the rules and layers, of which the operator wrote each, never from a path.

use std::sync::Arc;

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

    /// Counts an answer: by the rule's path, and by what became of the call.
    pub(crate) fn answered(&self, route: &Arc<str>, mode: &'static str, code: StatusCode) {
        let labels = Labels {
            route: route.clone(),
            mode,
            code: code.as_u16(),
        };
        self.0.get_or_create(&labels).inc();
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
