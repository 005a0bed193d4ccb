//! One batch of fetches on a node of this process: what `raincheck fetch` does without a server.
//!
//! Invariant: everything that it gives back is on stable storage; opened again over the same store with the same key it goes on
//! where it was.

use raincheck_core::batch::{
    Batch, BatchId, BatchOpened, BatchRefused, BatchStatus, Finished, Line, NewBatch,
};
use raincheck_core::name::{Namespace, QueueName};
use raincheck_core::queue::{QueueSpec, SPAN_MAX};
use raincheck_core::store::{Idempotency, StoreError};

use super::since::{Earlier, earlier};
use super::supply::Supply;
use super::terms::Terms;
use super::wanted::{Checked, Wanted};
use crate::batches::Following;
use crate::node::Node;

/// So many results are read at once, where they are not at hand.
const PAGE: u32 = 500;

/// Why a batch could not be opened or go on.
#[derive(Debug, thiserror::Error)]
pub enum RunFailed {
    /// The store has failed.
    #[error("the store has failed: {0}")]
    Store(#[from] StoreError),
    /// The batch takes nothing more.
    #[error(transparent)]
    Batch(#[from] BatchRefused),
    /// The queue's settings cannot be.
    #[error("{0}")]
    Queue(String),
}

/// See the module.
#[derive(Debug)]
pub struct Run {
    node: Node,
    namespace: Namespace,
    queue: QueueName,
    terms: Terms,
    /// So many begin beyond those that may ask at once.
    ahead: u32,
    earlier: Earlier,
    status: BatchStatus,
}

impl Run {
    /// Opens the batch of this key, or finds it.
    ///
    /// # Errors
    /// As of the store.
    pub async fn open(node: &Node, key: &str, terms: Terms) -> Result<Self, RunFailed> {
        let (namespace, queue) = (
            Namespace::default(),
            QueueName::new("fetch").map_err(|why| RunFailed::Queue(why.to_string()))?,
        );
        let ahead = match node.options().fetches {
            Some(_) => terms.ahead(),
            None => 0,
        };
        let spec = QueueSpec {
            depth: Some(u64::MAX >> 1),
            ..terms.settings(ahead)
        };
        let new = NewBatch {
            id: BatchId::new(node.store().mint()),
            keep: terms.keep,
            // Who interrupts it goes on whenever he likes.
            open_for: Some(SPAN_MAX),
            callback: None,
            idempotency: Some(Idempotency {
                key: key.to_owned(),
                fingerprint: [0; 32],
            }),
        };
        // Both at once, which is one sync less: neither needs the other.
        let (put, opened) = tokio::join!(
            node.put_queue(&namespace, &queue, spec, true),
            node.store().open_batch(&namespace, new)
        );
        put?.map_err(|why| RunFailed::Queue(why.to_string()))?;
        let id = match opened?? {
            BatchOpened::Created(batch) => batch.id,
            BatchOpened::Replayed(status) => status.batch.id,
        };
        let status = node
            .store()
            .batch(&namespace, id)
            .await?
            .map_err(BatchRefused::from)?;
        let earlier = match terms.since {
            Some(since) => earlier(&**node.store(), &namespace, since).await?,
            None => Earlier::default(),
        };
        Ok(Self {
            node: node.clone(),
            namespace,
            queue,
            terms,
            ahead,
            earlier,
            status,
        })
    }

    /// The batch as it was when this was opened.
    #[must_use]
    pub fn batch(&self) -> &Batch {
        &self.status.batch
    }

    /// Makes a line of this.
    #[must_use]
    pub fn line(&self, mut checked: Checked) -> Line {
        checked.wanted.since = self.earlier.of(&checked.wanted.url);
        let id = self.node.store().mint();
        Line::Job(Box::new(self.terms.job(
            id,
            &self.namespace,
            &self.queue,
            checked,
        )))
    }

    /// Adds lines, of which the first has this index: on their way on return, durable when the future is ready.
    ///
    /// # Errors
    /// As of the store.
    pub fn add(
        &self,
        first: u64,
        lines: Vec<Line>,
    ) -> impl Future<Output = Result<(), RunFailed>> + Send + use<> {
        let store = self.node.store();
        let added = store.add_lines(&self.namespace, self.batch().id, first, lines);
        async move {
            added.await??;
            Ok(())
        }
    }

    /// How many lines are to be added at a time.
    #[must_use]
    pub fn supply(&self) -> Supply {
        let key = (self.namespace.clone(), self.queue.clone());
        Supply::new(self.node.slots(&key), self.concurrency() + u64::from(self.ahead))
    }

    fn concurrency(&self) -> u64 {
        self.terms.at_once().into()
    }

    /// Whether less than half of what may be under way is: what was added does not keep it busy, for it waits for its hosts, say.
    ///
    /// # Errors
    /// As of the store.
    pub async fn idle(&self) -> Result<bool, RunFailed> {
        let status = self.node.store().batch(&self.namespace, self.batch().id).await?;
        let running = status.map_err(BatchRefused::from)?.counts.running;
        Ok(running * 2 < self.concurrency())
    }

    /// There are so many lines, and no more come. Durable on return.
    ///
    /// # Errors
    /// As of the store.
    pub async fn seal(&self, lines: u64) -> Result<(), RunFailed> {
        self.node
            .store()
            .seal_batch(&self.namespace, self.batch().id, lines)
            .await??;
        Ok(())
    }

    /// A follower of the results behind this place.
    #[must_use]
    pub fn results(&self, after: u64) -> Results {
        Results {
            node: self.node.clone(),
            namespace: self.namespace.clone(),
            id: self.batch().id,
            following: self.node.batches().follow_ends(self.batch().id),
            after,
        }
    }
}

/// The results of a batch, in the order in which they came.
#[derive(Debug)]
pub struct Results {
    node: Node,
    namespace: Namespace,
    id: BatchId,
    following: Following,
    after: u64,
}

impl Results {
    /// Those that have come since, at least one; none when there will be no more.
    ///
    /// # Errors
    /// As of the store.
    ///
    /// # Cancel safety
    /// Safe: what was not given back comes again.
    pub async fn next(&mut self) -> Result<Vec<Finished>, RunFailed> {
        loop {
            match self.following.ended(self.after) {
                Some(ended) if !ended.is_empty() => {
                    self.after = ended.last().map_or(self.after, |last| last.place);
                    return Ok(ended);
                }
                Some(_) if self.following.done(self.after) => return Ok(Vec::new()),
                Some(_) => {
                    self.following.changed().await;
                    continue;
                }
                None => {}
            }
            let page = self
                .node
                .store()
                .results(&self.namespace, self.id, self.after, PAGE)
                .await?;
            let page = page.map_err(BatchRefused::from)?;
            if let Some(last) = page.finished.last() {
                self.after = last.place;
                return Ok(page.finished);
            }
            if page.batch.done() {
                return Ok(Vec::new());
            }
            self.following.changed().await;
        }
    }

    /// What the job was to fetch.
    pub async fn wanted(&self, finished: &Finished) -> Option<Wanted> {
        let input = self.node.store().input(&self.namespace, finished.job.id).await;
        Wanted::read(&input.ok()?.ok()?.body).ok()
    }
}
