//! What a store tells of its commits, and to whom.

use std::fmt::Debug;
use std::sync::Arc;

use crate::batch::Batch;
use crate::content::JobResult;
use crate::job::Job;
use crate::name::{Namespace, QueueName};
use crate::output::Chunk;

/// A job and its result: as a change was committed, or as they are read.
#[derive(Clone, Debug)]
pub struct Change {
    /// The job.
    pub job: Arc<Job>,
    /// Its result, where it is done and has one.
    pub result: Option<Arc<JobResult>>,
}

/// Is told what was committed, commit by commit, one call at a time, after the sync and before the answers of that commit.
/// Called from the store's own thread or from the task that delivers those answers: must return quickly.
///
/// The calls are hints for those who wait; who must know reads the store.
pub trait Observer: Debug + Send + Sync + 'static {
    /// These jobs changed (cancel requested, settled, reclaimed, expired …); acceptance and claims are not told here.
    /// What one commit has to tell comes in the order [`Observer::emitted`], [`Observer::advanced`], this, [`Observer::batches`].
    fn changed(&self, changes: Vec<Change>);

    /// These jobs were accepted, claimed, or renewed with progress. Told apart from other changes because hardly anybody
    /// waits for them; of a job that is settled in the same commit, [`Observer::changed`] has the newer version.
    fn advanced(&self, jobs: Vec<Arc<Job>>) {
        drop(jobs);
    }

    /// These chunks were kept, in the order of their numbers.
    fn emitted(&self, chunks: Vec<Arc<Chunk>>) {
        drop(chunks);
    }

    /// These batches took lines, lost members to their ends, were sealed, cancelled or done. Told after the jobs of the
    /// same commit, and those in the order in which they ended: what was told counts so many ends, and who ended last has that place.
    fn batches(&self, batches: Vec<Arc<Batch>>) {
        drop(batches);
    }

    /// These queues have jobs to claim that they did not have before (new ones, or a place that concurrency lets
    /// them have), or were resumed.
    fn ready(&self, queues: Vec<(Namespace, QueueName)>);

    /// The store failed and takes nothing any more.
    fn failed(&self, reason: &str);
}
