//! What a program may take, where it works and as whom.
//!
//! Invariant: whoever starts the node or the worker says so, and nobody over the API.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use raincheck_core::name::QueueName;
use raincheck_core::queue::ByteSize;

use super::folders::Folders;
use super::users::User;

/// What one process of a program may take; `None` for what the system allows whoever starts it. Each process that a program
/// starts has as much again, for so the system counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// So much CPU time, in whole seconds (1 at least): SIGXCPU, and SIGKILL a second later.
    pub cpu: Option<Duration>,
    /// So many bytes of addresses: what is mapped, which may be more than what is used.
    pub memory: Option<ByteSize>,
    /// So many files, sockets and pipes open at once.
    pub open_files: Option<u32>,
    /// So many bytes in one file: SIGXFSZ.
    pub file_size: Option<ByteSize>,
}

/// Where a program is started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Workplace {
    /// Where whoever starts it is.
    #[default]
    Inherited,
    /// In the attempt's own folder, which is gone with it.
    Private,
    /// There.
    Fixed(PathBuf),
}

/// What is said of a program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Confinement {
    /// What each process of it may take.
    pub limits: Limits,
    /// Where it is started.
    pub workplace: Workplace,
    /// As whom it runs, where that is somebody else; only root can start such a program.
    pub user: Option<User>,
}

/// What is said of all programs of a node, and of those of single queues. Cloning gives another handle.
#[derive(Clone, Debug, Default)]
pub struct Programs(Arc<Said>);

#[derive(Debug, Default)]
struct Said {
    folders: Option<Folders>,
    rules: RwLock<Rules>,
}

/// What holds for which program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// For those of every queue,
    pub all: Confinement,
    /// but for these.
    pub queues: BTreeMap<QueueName, Confinement>,
}

/// What holds for one program, and where folders are made for its attempts.
#[derive(Clone, Debug, Default)]
pub struct Within {
    /// What it may do.
    pub confinement: Arc<Confinement>,
    /// Where each attempt gets a folder of its own, which `TMPDIR` names; without it none does.
    pub folders: Option<Folders>,
}

impl Programs {
    /// These rules, and folders made there.
    #[must_use]
    pub fn new(rules: Rules, folders: Option<Folders>) -> Self {
        Self(Arc::new(Said {
            folders,
            rules: RwLock::new(rules),
        }))
    }

    /// Other rules, for the programs that are started from now on.
    pub fn set(&self, rules: Rules) {
        // Nothing under this lock can panic half way.
        *self.0.rules.write().unwrap_or_else(PoisonError::into_inner) = rules;
    }

    /// What holds for the programs of this queue.
    #[must_use]
    pub fn of(&self, queue: &QueueName) -> Within {
        let rules = self.0.rules.read().unwrap_or_else(PoisonError::into_inner);
        Within {
            confinement: Arc::new(rules.queues.get(queue).unwrap_or(&rules.all).clone()),
            folders: self.0.folders.clone(),
        }
    }
}
