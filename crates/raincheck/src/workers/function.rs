//! Function: a Rust function in the server's own process works each job.
//!
//! Invariant: a function gets the job and a way to hear that it is to stop; leases, renewals and settlements are none of
//! its business. Simulations put functions in the place of a queue's worker; embedding applications are to follow.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use raincheck_core::content::Input;
use raincheck_core::job::Job;
use raincheck_core::lease::WorkerKind;
use raincheck_core::name::QueueName;

use super::{AttemptEnd, Ctx, Runner, Stops};

pub use super::{AttemptEnd as Ended, StopReason};

/// What a function gets to work one job.
#[derive(Debug)]
pub struct Call {
    /// The job, running.
    pub job: Arc<Job>,
    /// Its input.
    pub input: Input,
    stops: Stops,
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

    fn run(self: Arc<Self>, ctx: Ctx) -> Pin<Box<dyn Future<Output = AttemptEnd> + Send>> {
        (self.0)(Call {
            job: ctx.job,
            input: ctx.input,
            stops: ctx.stops,
        })
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
