//! Requests that go by a proxy's rules.
//!
//! Invariant: labels come from the rules, of which the operator wrote each, never from a path.

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
