//! `--queue`: queues that the server's command line defines.
//!
//! Invariant: a command comes from this process's own flags, is split into words without a shell, and is found when
//! the server starts, not when the first job fails.

use std::str::FromStr;

use raincheck::core::name::{Namespace, QueueName};
use raincheck::core::queue::{QueueSpec, Worker};
use raincheck::core::store::Store;
use tracing::warn;

use crate::exit::{Exit, Failed};
use crate::program;

use super::settings::{self, Setting};

/// One `--queue NAME[=URL|=cmd:WORDS|=keep-alive:WORDS]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct QueueFlag {
    /// The queue's name.
    pub(crate) name: QueueName,
    /// How it is worked.
    pub(crate) worker: Worker,
}

impl FromStr for QueueFlag {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, worker) = match text.split_once('=') {
            None => (text, Worker::Pull),
            Some((name, worker)) => (name, parse_worker(worker)?),
        };
        let name = QueueName::new(name).map_err(|error| error.to_string())?;
        Ok(Self { name, worker })
    }
}

fn parse_worker(text: &str) -> Result<Worker, String> {
    for (form, worker) in [
        ("cmd:", Worker::Process as fn(Vec<String>) -> Worker),
        ("keep-alive:", Worker::KeepAlive),
    ] {
        let Some(command) = text.strip_prefix(form) else {
            continue;
        };
        let words = shlex::split(command).ok_or("a quote in the command is not closed")?;
        return match words.first() {
            Some(program) if !program.is_empty() => Ok(worker(words)),
            _ => Err(format!("after {form} comes a program and its arguments")),
        };
    }
    if text.starts_with("http://") || text.starts_with("https://") {
        return Ok(Worker::Push(text.split(',').map(str::to_owned).collect()));
    }
    Err(
        "write NAME for workers that ask, NAME=http://… to push, NAME='cmd:PROGRAM ARGUMENTS' or \
         NAME='keep-alive:PROGRAM ARGUMENTS'"
            .to_owned(),
    )
}

impl QueueFlag {
    /// The same with its program as an absolute path, once it is certain that it can be started.
    pub(crate) fn resolved(self) -> Result<Self, Failed> {
        let (mut words, worker, form) = match self.worker {
            Worker::Process(words) => (words, Worker::Process as fn(Vec<String>) -> Worker, "cmd"),
            Worker::KeepAlive(words) => (words, Worker::KeepAlive as _, "keep-alive"),
            Worker::Pull | Worker::Push(_) => return Ok(self),
        };
        words[0] = program::resolve(&words[0]).map_err(|missing| {
            let hint = match missing.beside {
                Some(here) => format!("For the one in this folder write {form}:{here}"),
                None => "Name a program that this server can start".to_owned(),
            };
            Failed::usage(format!("--queue {}: {}", self.name, missing.reason)).next(hint)
        })?;
        Ok(Self {
            name: self.name,
            worker: worker(words),
        })
    }
}

/// Writes the queues of the command line into the store, before anything works them. A queue that is there keeps its
/// settings, but for how it is worked. A program that an earlier start was told of and this one is not is forgotten:
/// no command runs that nobody asked for.
pub(crate) async fn put(store: &dyn Store, flags: &[QueueFlag], settings: &[Setting]) -> Result<(), Failed> {
    let ns = Namespace::default();
    let there = store
        .all_queues()
        .await
        .map_err(|error| unwritten(&error.to_string()))?;
    for queue in &there {
        let named = queue.namespace == ns && flags.iter().any(|flag| flag.name == queue.name);
        if !named
            && queue
                .spec
                .worker
                .as_ref()
                .is_some_and(|worker| worker.command().is_some())
        {
            warn!(queue = %queue.name, "no --queue names its program any more: workers have to ask for its jobs");
            let spec = QueueSpec {
                worker: None,
                ..queue.spec.clone()
            };
            write(store, &queue.namespace, &queue.name, spec, false).await?;
        }
    }
    for flag in flags {
        let known = there
            .iter()
            .find(|queue| queue.namespace == ns && queue.name == flag.name);
        let spec = known.map(|queue| queue.spec.clone()).unwrap_or_default();
        let own = settings.iter().filter(|setting| setting.queue == flag.name);
        let spec = QueueSpec {
            worker: Some(flag.worker.clone()),
            ..settings::apply(&spec, own)?
        };
        raincheck::workers::check(&spec)
            .map_err(|error| Failed::usage(format!("--queue {}: {error}", flag.name)))?;
        write(store, &ns, &flag.name, spec, true).await?;
    }
    Ok(())
}

async fn write(
    store: &dyn Store,
    ns: &Namespace,
    name: &QueueName,
    spec: QueueSpec,
    managed: bool,
) -> Result<(), Failed> {
    let written = store.put_queue(ns, name, spec, managed).await;
    match written.map(|answer| answer.map(drop)) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(refused)) => Err(unwritten(&format!("{name}: {refused}"))),
        Err(error) => Err(unwritten(&format!("{name}: {error}"))),
    }
}

fn unwritten(why: &str) -> Failed {
    Failed::new(
        Exit::StoreFailed,
        format!("the queues of the command line cannot be stored: {why}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker(text: &str) -> Result<Worker, String> {
        text.parse::<QueueFlag>().map(|flag| flag.worker)
    }

    #[test]
    fn a_queue_is_pull_push_or_a_command() {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        assert_eq!(worker("thumbs"), Ok(Worker::Pull));
        assert_eq!(
            worker("thumbs=http://a:8000/x?y=z,http://b/x"),
            Ok(Worker::Push(words(&["http://a:8000/x?y=z", "http://b/x"])))
        );
        assert_eq!(
            worker("thumbs=cmd:./resize.sh --size '10 20' a=b"),
            Ok(Worker::Process(words(&["./resize.sh", "--size", "10 20", "a=b"])))
        );
        assert_eq!(
            worker("thumbs=keep-alive:./worker.py x"),
            Ok(Worker::KeepAlive(words(&["./worker.py", "x"])))
        );
    }

    #[test]
    fn what_is_no_worker_is_refused_with_the_forms_that_work() {
        for bad in [
            "",
            "=x",
            "a b",
            "thumbs=",
            "thumbs=./x",
            "thumbs=cmd:",
            "thumbs=cmd:''",
            "thumbs=keep-alive:",
            "thumbs=cmd:'x",
        ] {
            assert!(worker(bad).is_err(), "{bad:?}");
        }
    }
}
