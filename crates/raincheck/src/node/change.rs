//! Changes of queues and secrets, made through the node so that its cache and its dispatch follow.
//!
//! Invariant: a change that was asked for is made whole, in the store and on this node, though whoever asked went away.

use std::future::Future;
use std::sync::Arc;

use raincheck_core::audit::Act;
use raincheck_core::delivery::{Delivery, DeliveryId};
use raincheck_core::key::{ApiKey, KeyId, KeyRefused, Token};
use raincheck_core::name::{Namespace, QueueName};
use raincheck_core::queue::{Queue, QueueSpec};
use raincheck_core::secret::SigningSecrets;
use raincheck_core::store::{QueueRefused, Store, StoreError};
use tokio::sync::oneshot;

use super::Node;
use crate::keys::KeyWish;
use crate::tasks::TaskKind;

impl Node {
    /// The same node, on which an administrator acts: what is changed through this handle is recorded as this act, in
    /// the transaction that changes it.
    #[must_use]
    pub fn recording(&self, act: Act) -> Self {
        Self(self.0.clone(), Some(self.0.store.recording(act)))
    }

    /// The store that changes go to.
    pub(crate) fn changing(&self) -> &Arc<dyn Store> {
        self.1.as_ref().unwrap_or(&self.0.store)
    }

    /// Has a webhook sent at once. `None` where there is none.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn redeliver(&self, ns: &Namespace, id: DeliveryId) -> Result<Option<Delivery>, StoreError> {
        let asked = self.changing().redeliver(ns, id).await?;
        self.0.webhooks.ring();
        Ok(asked)
    }

    /// Creates the queue, or replaces its settings whole; in force at once. Durable on return, and made even where
    /// the caller is gone.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn put_queue(
        &self,
        ns: &Namespace,
        name: &QueueName,
        spec: QueueSpec,
        managed: bool,
    ) -> Result<Result<Arc<Queue>, QueueRefused>, StoreError> {
        let (node, ns, name) = (self.clone(), ns.clone(), name.clone());
        self.errand(async move {
            let _one_at_a_time = node.0.queues.changing.lock().await;
            let answer = node.changing().put_queue(&ns, &name, spec, managed).await?;
            Ok(answer.inspect(|queue| node.take_in(queue)))
        })
        .await
    }

    /// Makes a queue of the configuration an ordinary one; in force at once. Durable on return, and made even where the
    /// caller is gone. Where its jobs are pushed, their URLs are held to public addresses from then on.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn release_queue(
        &self,
        ns: &Namespace,
        name: &QueueName,
    ) -> Result<Result<Arc<Queue>, QueueRefused>, StoreError> {
        let (node, ns, name) = (self.clone(), ns.clone(), name.clone());
        self.errand(async move {
            let _one_at_a_time = node.0.queues.changing.lock().await;
            let answer = node.changing().release_queue(&ns, &name).await?;
            Ok(answer.inspect(|queue| node.take_in(queue)))
        })
        .await
    }

    /// Pauses or resumes claiming from the queue; in force at once. Durable on return, and made even where the
    /// caller is gone. What runs goes on.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn pause_queue(
        &self,
        ns: &Namespace,
        name: &QueueName,
        paused: bool,
    ) -> Result<Result<Arc<Queue>, QueueRefused>, StoreError> {
        let (node, ns, name) = (self.clone(), ns.clone(), name.clone());
        self.errand(async move {
            let _one_at_a_time = node.0.queues.changing.lock().await;
            let answer = node.changing().pause(&ns, &name, paused).await?;
            Ok(answer.inspect(|queue| node.take_in(queue)))
        })
        .await
    }

    /// Forgets the queue's settings. Durable on return, and made even where the caller is gone.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn delete_queue(
        &self,
        ns: &Namespace,
        name: &QueueName,
    ) -> Result<Result<(), QueueRefused>, StoreError> {
        let (node, ns, name) = (self.clone(), ns.clone(), name.clone());
        self.errand(async move {
            let _one_at_a_time = node.0.queues.changing.lock().await;
            let answer = node.changing().delete_queue(&ns, &name).await?;
            Ok(answer.inspect(|()| {
                node.0.queues.remove(&ns, &name);
                let key = (ns, name);
                node.0.dispatch.remove(&key);
                node.0.crews.remove(&key);
            }))
        })
        .await
    }

    /// Replaces what the namespace signs with; the former secret signs beside the new one for a day. Durable on return,
    /// and made even where the caller is gone.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn rotate_webhook_secret(&self, ns: &Namespace) -> Result<Arc<SigningSecrets>, StoreError> {
        let (node, ns) = (self.clone(), ns.clone());
        self.errand(async move { node.0.secrets.rotate(&**node.changing(), &ns).await })
            .await
    }

    /// Makes an API key of the namespace; it is good at once, and from the first on nothing is let in without one. Durable on
    /// return, and made even where the caller is gone. The secret is in the token and kept nowhere.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn create_key(
        &self,
        ns: &Namespace,
        wish: KeyWish,
    ) -> Result<Result<(ApiKey, Token), KeyRefused>, StoreError> {
        let (node, ns) = (self.clone(), ns.clone());
        self.errand(async move { node.0.keys.create(&**node.changing(), &ns, &wish).await })
            .await
    }

    /// Revokes an API key of the namespace: once this returned, it opens nothing any more. Durable on return, and made even
    /// where the caller is gone.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn revoke_key(&self, ns: &Namespace, id: KeyId) -> Result<Result<(), KeyRefused>, StoreError> {
        let (node, ns) = (self.clone(), ns.clone());
        self.errand(async move { node.0.keys.revoke(&**node.changing(), &ns, id).await })
            .await
    }

    /// Runs a change in a task of its own, so that cache and dispatch follow the store though the caller went away.
    async fn errand<T: Send + 'static>(
        &self,
        change: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (tell, told) = oneshot::channel();
        self.0.tasks.spawn(TaskKind::Errand, async move {
            // Nobody is there to be told where the caller went away.
            let _ = tell.send(change.await);
        });
        // The task is gone without an answer only where the node was cut or the change panicked.
        told.await.unwrap_or(Err(StoreError::Unknown))
    }
}
