//! What workers ask of a store: claims, renewals, settlements.

use std::sync::Arc;
use std::time::Duration;

use crate::content::Input;
use crate::decide::{Claimer, Settlement};
use crate::id::{LeaseId, Nonce};
use crate::job::Job;
use crate::lease::Progress;
use crate::name::{GroupName, QueueName};

/// One claim of up to as many jobs as it brings nonces.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The queue.
    pub queue: QueueName,
    /// Who claims and how.
    pub claimer: Claimer,
    /// The secret parts of the leases, fresh and random.
    pub nonces: Vec<Nonce>,
    /// With those that this claim takes, at most so many jobs of the queue run, whoever runs them: the bound by which
    /// the claimer works the queue where its settings write none. What the settings write holds besides.
    pub running_max: Option<u32>,
    /// Groups whose jobs this claim leaves alone, for the claimer has no room for them now. Until it is over they have no turn,
    /// and then they stand at the back.
    pub passing_over: Vec<GroupName>,
}

/// A job in a worker's hands.
#[derive(Clone, Debug)]
pub struct Leased {
    /// The job, running.
    pub job: Arc<Job>,
    /// Its input.
    pub input: Input,
}

/// One renewal.
#[derive(Clone, Debug)]
pub struct Renew {
    /// The lease.
    pub lease: LeaseId,
    /// Its new term.
    pub term: Duration,
    /// How far the attempt is; what was told before stays where absent.
    pub progress: Option<Progress>,
    /// Whether the attempt goes on elsewhere: the lease is its endpoint's from now on, outlives the server, and runs to
    /// the attempt's deadline.
    pub defer: bool,
}

/// One settlement.
#[derive(Clone, Debug)]
pub struct Settle {
    /// The lease under which the attempt ran.
    pub lease: LeaseId,
    /// What became of it.
    pub settlement: Settlement,
    /// Stands for verb and content when the settlement is repeated.
    pub digest: [u8; 16],
    /// Brings the jitter of a retry's delay.
    pub seed: u64,
}
