//! `--queue`: queues that the server's command line defines.
//!
//! Invariant: a command comes from this process's own flags, is split into words without a shell, and is found when
//! the server starts, not when the first job fails.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use raincheck::core::name::{Namespace, QueueName};
use raincheck::core::queue::{QueueSpec, Worker};
use raincheck::core::store::Store;
use tracing::warn;

use crate::exit::{Exit, Failed};

/// One `--queue NAME[=URL|=cmd:WORDS]`.
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
    if let Some(command) = text.strip_prefix("cmd:") {
        let words = shlex::split(command).ok_or("a quote in the command is not closed")?;
        return match words.first() {
            Some(program) if !program.is_empty() => Ok(Worker::Process(words)),
            _ => Err("after cmd: comes a program and its arguments".to_owned()),
        };
    }
    if text.starts_with("http://") || text.starts_with("https://") {
        return Ok(Worker::Push(text.split(',').map(str::to_owned).collect()));
    }
    Err("write NAME for workers that ask, NAME=http://… to push, or NAME='cmd:PROGRAM ARGUMENTS'".to_owned())
}

impl QueueFlag {
    /// The same with its program as an absolute path, once it is certain that it can be started.
    pub(crate) fn resolved(self) -> Result<Self, Failed> {
        let Worker::Process(mut words) = self.worker else {
            return Ok(self);
        };
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders: Vec<_> = std::env::split_paths(&path).collect();
        let found = find(&words[0], &folders).map_err(|reason| {
            let hint = if !words[0].contains('/') && Path::new(&words[0]).is_file() {
                format!("For the one in this folder write cmd:./{}", words[0])
            } else {
                "Name a program that this server can start".to_owned()
            };
            Failed::usage(format!("--queue {}: {reason}", self.name)).next(hint)
        })?;
        words[0] = found.to_str().map(str::to_owned).ok_or_else(|| {
            Failed::usage(format!(
                "--queue {}: the path of {:?} is not UTF-8",
                self.name, words[0]
            ))
        })?;
        Ok(Self {
            name: self.name,
            worker: Worker::Process(words),
        })
    }
}

/// Finds a program the way a shell would: a name on the search path, anything with a slash from here.
fn find(program: &str, folders: &[PathBuf]) -> Result<PathBuf, String> {
    if program.contains('/') {
        let path = std::path::absolute(program).map_err(|error| format!("{program}: {error}"))?;
        return match std::fs::metadata(&path) {
            Err(error) => Err(format!("there is no program {program:?} ({error})")),
            Ok(meta) if !meta.is_file() => Err(format!("{program:?} is not a file")),
            Ok(meta) if meta.permissions().mode() & 0o111 == 0 => {
                Err(format!("{program:?} may not be executed: chmod +x {program}"))
            }
            Ok(_) => Ok(path),
        };
    }
    let executable = |path: &PathBuf| {
        std::fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    };
    let mut candidates = folders.iter().map(|folder| folder.join(program));
    let found = candidates
        .find(executable)
        .and_then(|path| std::path::absolute(path).ok());
    found.ok_or_else(|| format!("there is no program {program:?} on the search path"))
}

/// Writes the queues of the command line into the store, before anything works them. A queue that is there keeps its
/// settings, but for how it is worked. A program that an earlier start was told of and this one is not is forgotten:
/// no command runs that nobody asked for.
pub(crate) async fn put(store: &dyn Store, flags: &[QueueFlag]) -> Result<(), Failed> {
    let ns = Namespace::default();
    let there = store
        .all_queues()
        .await
        .map_err(|error| unwritten(&error.to_string()))?;
    for queue in &there {
        let named = queue.namespace == ns && flags.iter().any(|flag| flag.name == queue.name);
        if !named && matches!(queue.spec.worker, Some(Worker::Process(_))) {
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
        let spec = QueueSpec {
            worker: Some(flag.worker.clone()),
            ..known.map(|queue| queue.spec.clone()).unwrap_or_default()
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
            "thumbs=cmd:'x",
        ] {
            assert!(worker(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_program_is_found_now_or_refused_now() {
        let dir = tempfile::tempdir().unwrap();
        let (plain, tool) = (dir.path().join("plain"), dir.path().join("tool"));
        std::fs::write(&plain, "").unwrap();
        std::fs::write(&tool, "").unwrap();
        std::fs::set_permissions(&tool, std::fs::Permissions::from_mode(0o755)).unwrap();
        let folders = [dir.path().to_owned()];
        assert_eq!(find("tool", &folders), Ok(tool.clone()));
        assert_eq!(find(tool.to_str().unwrap(), &[]), Ok(tool));
        assert!(find("plain", &folders).unwrap_err().contains("no program"));
        assert!(
            find(plain.to_str().unwrap(), &[])
                .unwrap_err()
                .contains("chmod +x")
        );
        assert!(
            find("./nowhere", &folders)
                .unwrap_err()
                .contains("no program \"./nowhere\"")
        );
        assert!(
            find(dir.path().to_str().unwrap(), &[])
                .unwrap_err()
                .contains("not a file")
        );
    }
}
