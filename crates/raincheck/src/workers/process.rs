//! Process: a command is started for each attempt; its input is stdin, its result stdout. How it is run and what its end
//! means is [`program`]'s to say, which `raincheck work` shares.
//!
//! Invariant: the command sees an environment made here and nothing else of the server's.

mod confine;
mod crew;
mod files;
mod folders;
mod group;
mod guard;
mod launch;
mod lines;
mod pipes;
mod program;
mod users;
mod verdict;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use raincheck_core::job::Failure;
use raincheck_core::lease::WorkerKind;
use raincheck_core::output::Stream;
use tracing::warn;

pub use self::confine::{Confinement, Limits, Programs, Rules, Within, Workplace};
pub use self::crew::{Crew, CrewEvent, CrewOptions, CrewTell, Member};
pub use self::files::open_many_files;
pub use self::folders::Folders;
pub use self::guard::{guard_by, run_guard};
pub use self::launch::{launch_by, run_launch};
pub use self::lines::Lines;
pub use self::program::{Environment, Facts, Log, Program, Run};
pub use self::users::{NoUser, User, UserName};
use super::emit::{Emitter, alongside};
use super::{AttemptEnd, Ctx, Runner};

/// The runner of one process queue.
#[derive(Debug)]
pub(crate) struct Process {
    program: Program,
    programs: Programs,
}

impl Process {
    /// Starts this program with these arguments for every attempt, within what is said of its queue at that time.
    pub(super) fn new(argv: Vec<String>, programs: Programs) -> Self {
        Self {
            program: Program::new(argv, Environment::Few),
            programs,
        }
    }

    async fn attempt(&self, ctx: Ctx) -> AttemptEnd {
        let job = &ctx.job;
        let (emitter, pump) = ctx.emission().unzip();
        let tap = |stream| {
            emitter.clone().map(|emitter: Emitter| -> Log {
                Box::new(move |bytes| {
                    emitter.push(stream, bytes);
                })
            })
        };
        let run = Run {
            facts: Facts {
                traceparent: ctx.traceparent.clone(),
                tracestate: job.options.tracestate.clone(),
                job: job.id.to_string(),
                attempt: job.attempt,
                queue: job.queue.to_string(),
                fence: job.fence.to_string(),
                deadline: ctx.deadline.to_string(),
                content_type: ctx.input.content_type.clone(),
            },
            input: ctx.input.body.clone(),
            result_type: ctx.queue.spec.result_type.clone(),
            result_max: ctx.queue.result_max(),
            room: ctx.room.clone(),
            stops: ctx.stops.clone(),
            tap: tap(Stream::Output),
            log: tap(Stream::Log),
        };
        let program = self.program.clone().within(self.programs.of(&job.queue));
        alongside(program.run(run), pump).await.unwrap_or_else(|error| {
            // The path stays in the log: a failure's detail is shown to clients.
            warn!(program = program.name(), %error, "a program cannot be started");
            let detail = format!("the queue's program cannot be started: {error}");
            AttemptEnd::retry(Failure::new("handler-unreachable", detail))
        })
    }
}

impl Runner for Process {
    fn kind(&self) -> WorkerKind {
        WorkerKind::Process
    }

    fn run(self: Arc<Self>, ctx: Ctx) -> Pin<Box<dyn Future<Output = AttemptEnd> + Send>> {
        Box::pin(async move { self.attempt(ctx).await })
    }
}

#[cfg(test)]
mod tests;
