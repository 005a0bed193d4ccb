//! Function: a Rust function in the server's own process works each job.
//!
//! Invariant: a function gets the job and a way to hear that it is to stop; leases, renewals and settlements are none of
//! its business. Applications bring them through [`embed`](crate::embed), simulations by themselves.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use raincheck_core::content::Input;
use raincheck_core::job::Job;
use raincheck_core::lease::WorkerKind;
use raincheck_core::name::QueueName;
use raincheck_core::store::Store;
use raincheck_core::time::Timestamp;

use super::emit::{Emitter, alongside};
use super::{AttemptEnd, Ctx, Runner, Stops};
use crate::room::Room;

pub use super::{AttemptEnd as Ended, StopReason};

/// What a function gets to work one job.
#[derive(Debug)]
pub struct Call {
    /// The job, running.
    pub job: Arc<Job>,
    /// Its input.
    pub input: Input,
    pub(crate) stops: Stops,
    /// When the attempt's time is over.
    pub(crate) deadline: Timestamp,
    pub(crate) traceparent: Option<String>,
    /// How long its lease runs.
    pub(crate) term: Duration,
    /// The largest result in bytes.
    pub(crate) result_max: u64,
    pub(crate) store: Arc<dyn Store>,
    /// What there is for its result.
    pub(crate) room: Room,
    /// Takes what it shows while it works.
    pub(crate) emitter: Option<Emitter>,
}

impl Call {
    /// Waits until the attempt is to stop, and tells why. The function is dropped soon after, if it does not end.
    ///
    /// # Cancel safety
    /// Safe: asking again tells again.
    pub async fn stopped(&mut self) -> StopReason {
        self.stops.told().await.reason
    }
}

type Work = dyn Fn(Call) -> Pin<Box<dyn Future<Output = Ended> + Send>> + Send + Sync;

/// A function that works jobs.
#[derive(Clone)]
pub struct Function(Arc<Work>);

impl Function {
    /// Wraps a function.
    pub fn new<F>(work: impl Fn(Call) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Ended> + Send + 'static,
    {
        Self(Arc::new(move |call| Box::pin(work(call))))
    }
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Function")
    }
}

impl Runner for Function {
    fn kind(&self) -> WorkerKind {
        WorkerKind::Function
    }

    fn leaves_early(&self) -> bool {
        true
    }

    fn run(self: Arc<Self>, ctx: Ctx) -> Pin<Box<dyn Future<Output = AttemptEnd> + Send>> {
        let (emitter, pump) = ctx.emission_of_its_own().unzip();
        let call = Call {
            deadline: ctx.deadline,
            traceparent: ctx.traceparent,
            term: ctx.queue.lease_for(),
            result_max: ctx.queue.result_max(),
            store: ctx.store,
            room: ctx.room,
            job: ctx.job,
            input: ctx.input,
            stops: ctx.stops,
            emitter,
        };
        Box::pin(alongside((self.0)(call), pump))
    }
}

/// Functions that stand in for the workers of queues of these names, which must not be `pull`.
#[derive(Clone, Debug, Default)]
pub struct Functions(pub BTreeMap<QueueName, Function>);

impl Functions {
    pub(super) fn runner(&self, queue: &QueueName) -> Option<Arc<dyn Runner>> {
        let function = self.0.get(queue)?;
        Some(Arc::new(function.clone()))
    }
}
