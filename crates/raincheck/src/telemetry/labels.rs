//! How queues are named in labels.
//!
//! Invariant: there are at most [`QUEUES_MAX`] labels of queues, whatever is created; what comes later counts as `_other`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use raincheck_core::name::{Namespace, QueueName};

/// So many queues have numbers of their own.
const QUEUES_MAX: usize = 1000;

/// The label of all other queues.
pub(super) const OTHER: &str = "_other";

type ByQueue = HashMap<Namespace, HashMap<QueueName, Arc<str>>>;

/// The labels that were given out. Cloning gives another handle.
#[derive(Clone, Debug, Default)]
pub(super) struct Labels(Arc<Mutex<ByQueue>>);

impl Labels {
    /// The queue's label: its name, behind its namespace unless that is `default`.
    pub(super) fn of(&self, ns: &Namespace, queue: &QueueName) -> Arc<str> {
        let mut labels = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(label) = labels.get(ns).and_then(|of| of.get(queue)) {
            return label.clone();
        }
        let known: usize = labels.values().map(HashMap::len).sum();
        if known >= QUEUES_MAX {
            return Arc::from(OTHER);
        }
        let label: Arc<str> = if *ns == Namespace::default() {
            Arc::from(queue.as_str())
        } else {
            Arc::from(format!("{ns}/{queue}"))
        };
        let of = labels.entry(ns.clone()).or_default();
        of.insert(queue.clone(), label.clone());
        label
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_of_other_namespaces_are_told_apart_and_there_is_an_end_of_labels() {
        let labels = Labels::default();
        let (ours, theirs) = (Namespace::default(), Namespace::new("acme").unwrap());
        let queue = QueueName::new("q").unwrap();
        assert_eq!(&*labels.of(&ours, &queue), "q");
        assert_eq!(&*labels.of(&theirs, &queue), "acme/q");
        for n in 0..QUEUES_MAX {
            labels.of(&ours, &QueueName::new(&format!("q{n}")).unwrap());
        }
        assert_eq!(&*labels.of(&ours, &QueueName::new("one-more").unwrap()), "_other");
        assert_eq!(
            &*labels.of(&theirs, &queue),
            "acme/q",
            "what is known stays known"
        );
    }
}
