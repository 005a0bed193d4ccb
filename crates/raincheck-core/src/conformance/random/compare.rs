//! Makes answers comparable: what a store may answer in more than one way is evened out.
//!
//! Invariant: the only thing evened out is the end of a lease, of which readers may see an older one.

use std::fmt::Debug;
use std::sync::Arc;

use crate::content::JobResult;
use crate::id::{Fence, JobId};
use crate::job::{Job, Phase};
use crate::output::Chunk;
use crate::store::{Change, Leased, Missing, Output, Submitted};

/// An answer in a form that two stores share.
pub(super) trait Plain {
    type Form: Debug + PartialEq;

    fn plain(self) -> Self::Form;
}

impl Plain for Arc<Job> {
    type Form = Job;

    fn plain(self) -> Job {
        let mut job = Job::clone(&self);
        if let Phase::Running(lease) = &mut job.phase {
            lease.expires_at = lease.started_at;
            lease.term = std::time::Duration::ZERO;
        }
        job
    }
}

impl Plain for Submitted {
    type Form = Option<(Result<Job, Missing>, JobId)>;

    fn plain(self) -> Self::Form {
        match self {
            Self::Created => None,
            Self::Replayed(job, id) => Some((job.plain(), id)),
            Self::Attached(job) => {
                let id = job.id;
                Some((Ok(job.plain()), id))
            }
        }
    }
}

impl Plain for Change {
    type Form = (Job, Option<Arc<JobResult>>);

    fn plain(self) -> Self::Form {
        (self.job.plain(), self.result)
    }
}

impl Plain for Leased {
    type Form = (Job, crate::content::Input);

    fn plain(self) -> Self::Form {
        (self.job.plain(), self.input)
    }
}

impl Plain for Output {
    type Form = (Job, Vec<Arc<Chunk>>, u64, Option<Fence>);

    fn plain(self) -> Self::Form {
        (self.job.plain(), self.chunks, self.last, self.before)
    }
}

impl<T: Plain, E: Debug + PartialEq> Plain for Result<T, E> {
    type Form = Result<T::Form, E>;

    fn plain(self) -> Self::Form {
        self.map(Plain::plain)
    }
}

impl<T: Plain> Plain for Option<T> {
    type Form = Option<T::Form>;

    fn plain(self) -> Self::Form {
        self.map(Plain::plain)
    }
}

impl<T: Plain> Plain for Vec<T> {
    type Form = Vec<T::Form>;

    fn plain(self) -> Self::Form {
        self.into_iter().map(Plain::plain).collect()
    }
}

/// Compares an answer of the store with the model's.
pub(super) fn equal<T: Debug + PartialEq>(what: &str, store: &T, model: &T) -> Result<(), String> {
    if store == model {
        Ok(())
    } else {
        Err(format!(
            "{what}:\n  the store says {store:?}\n  the model says {model:?}"
        ))
    }
}

/// Compares an answer of the store with the model's, both evened out.
pub(super) fn same<T: Plain>(what: &str, store: T, model: T) -> Result<(), String> {
    equal(what, &store.plain(), &model.plain())
}
