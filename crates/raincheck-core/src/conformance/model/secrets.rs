//! The model keeps what namespaces sign with.

use super::state::Model;
use crate::decide::{first_secret, rotate_secret};
use crate::name::Namespace;
use crate::secret::{Secret, SigningSecrets};
use crate::time::Timestamp;

impl Model {
    pub(in crate::conformance) fn signing_secrets(
        &mut self,
        ns: &Namespace,
        fresh: Secret,
        now: Timestamp,
    ) -> SigningSecrets {
        let kept = self.secrets.entry(ns.clone());
        kept.or_insert_with(|| first_secret(fresh, now)).clone()
    }

    pub(in crate::conformance) fn rotate_secret(
        &mut self,
        ns: &Namespace,
        fresh: Secret,
        now: Timestamp,
    ) -> SigningSecrets {
        let next = match self.secrets.get(ns) {
            Some(kept) => rotate_secret(kept, fresh, now),
            None => first_secret(fresh, now),
        };
        self.secrets.insert(ns.clone(), next.clone());
        next
    }
}
