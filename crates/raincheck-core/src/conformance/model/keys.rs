//! The model keeps API keys, in the order in which they were made.

use super::state::Model;
use crate::decide;
use crate::id::JobId;
use crate::key::{ApiKey, KeyId, KeyRefused, NewKey};
use crate::name::Namespace;
use crate::time::Timestamp;

impl Model {
    pub(super) fn create_key(
        &mut self,
        ns: &Namespace,
        new: NewKey,
        now: Timestamp,
    ) -> Result<ApiKey, KeyRefused> {
        let key = decide::create_key(new, ns, &self.api_keys, now)?;
        self.api_keys.push(key.clone());
        Ok(key)
    }

    pub(super) fn keys_of(&self, ns: Option<&Namespace>) -> Vec<ApiKey> {
        let of = |key: &&ApiKey| ns.is_none_or(|ns| key.namespace == *ns);
        self.api_keys.iter().filter(of).cloned().collect()
    }

    pub(super) fn revoke_key(&mut self, ns: &Namespace, id: KeyId, now: Timestamp) -> Result<(), KeyRefused> {
        decide::revoke_key(id, ns, &self.api_keys, now)?;
        self.api_keys.retain(|key| key.id != id);
        Ok(())
    }

    pub(super) fn touch_keys(&mut self, used: Vec<(KeyId, Timestamp)>) {
        for (id, at) in used {
            for key in self.api_keys.iter_mut().filter(|key| key.id == id) {
                key.last_used_at = key.last_used_at.max(Some(at));
            }
        }
    }

    pub(super) fn home(&self, id: JobId) -> Option<Namespace> {
        let job = self.jobs.get(&id).map(|row| &row.job.namespace);
        let gone = || self.gone.get(&id).map(|gone| &gone.namespace);
        job.or_else(gone).cloned()
    }
}
