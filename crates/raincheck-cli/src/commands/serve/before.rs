//! What a server is refused for before it opens or makes anything.
//!
//! Invariant: it is decided here, once, for `serve`, `config check` and `doctor`; all that is wrong is found, and nothing is made,
//! but for a private folder that is gone again.

use std::path::{Path, PathBuf};

use raincheck::core::queue::Worker;
use raincheck::outward::trust::Trust;
use raincheck::proxy::reserved;
use raincheck::workers::process::{Folders, Rules};

use super::door::Plan;
use crate::config::queues::{Queues, Wanted, wanted};
use crate::config::{Config, Origin, Settings};
use crate::confined;
use crate::exit::Failed;

/// A configuration that nothing speaks against.
#[derive(Debug)]
pub(crate) struct Ready {
    /// What holds for the programs of its queues.
    pub(crate) rules: Rules,
    /// Where it listens, and how.
    pub(crate) plan: Plan,
    /// Whom it trusts where it asks others.
    pub(crate) trust: Trust,
    /// Where its data is.
    pub(crate) directory: PathBuf,
}

/// Something that a server is refused for.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// What it is about, in a word or two.
    pub(crate) about: &'static str,
    /// How `serve` ends for it.
    pub(crate) failed: Failed,
}

/// What a server of this configuration starts with, whose API is below a path of its own (`mounted`) or at the top.
///
/// # Errors
/// All that it is refused for, at least one.
pub(crate) fn ready(config: &Config, mounted: bool) -> Result<Ready, Vec<Refusal>> {
    let mut all = Refusals(Vec::new());
    let rules = all.of("programs", config.programs().and_then(placed));
    let programs = all.programs(&config.queues);
    let plan = all.of("address", Plan::new(config, programs).and_then(safe));
    all.of("proxy", reachable(config, mounted));
    let trust = all.of("authorities", trust(config));
    let directory = all.of("store", directory(&config.settings));
    match (rules, plan, trust, directory) {
        (Some(rules), Some(plan), Some(trust), Some(directory)) if all.0.is_empty() => Ok(Ready {
            rules,
            plan,
            trust,
            directory,
        }),
        _ => Err(all.0),
    }
}

struct Refusals(Vec<Refusal>);

impl Refusals {
    fn of<T>(&mut self, about: &'static str, found: Result<T, Failed>) -> Option<T> {
        found
            .map_err(|failed| self.0.push(Refusal { about, failed }))
            .ok()
    }

    /// Looks at each queue; whether programs of any are to reach the server.
    fn programs(&mut self, queues: &Queues) -> bool {
        let mut programs = false;
        for (name, fields) in queues {
            let alone = Queues::from([(name.clone(), fields.clone())]);
            let found = self.of("queue", wanted(&alone, &[])).unwrap_or_default();
            programs |= found.iter().any(keeps_alive);
        }
        programs
    }
}

fn keeps_alive(queue: &Wanted) -> bool {
    matches!(queue.spec.worker, Some(Worker::KeepAlive(_)))
}

/// The rules, once it is certain that programs can be where they say.
fn placed(rules: Rules) -> Result<Rules, Failed> {
    if confined::needed(&rules) {
        confined::folders(&rules)?.iter().for_each(Folders::close);
    }
    Ok(rules)
}

/// The plan, unless others could listen in. Whether there is a key only the store knows.
fn safe(plan: Plan) -> Result<Plan, Failed> {
    plan.check(true)?;
    Ok(plan)
}

/// Whether each rule of a proxy can be for some call, and some call be answered in time.
fn reachable(config: &Config, mounted: bool) -> Result<(), Failed> {
    let settings = &config.settings;
    if let Some(rule) = settings.proxy.iter().find(|rule| reserved(&rule.path, mounted)) {
        let path = &rule.path;
        return Err(Failed::usage(format!(
            "proxy: no call goes by {path}: such paths are this server's own API"
        ))
        .next("Leave the rule out, or name another path"));
    }
    let worker = |name| Some((name, config.queues.get(name)?.said.get("worker")?));
    let own = raincheck::proxy::queues(settings.proxy.iter());
    // What is said of it by nobody is the proxy's own.
    if let Some((name, said)) = own
        .keys()
        .filter_map(worker)
        .find(|(_, said)| said.origin != Origin::Default)
    {
        let origin = &said.origin;
        return Err(Failed::usage(format!(
            "{origin}: queue {name}: its jobs are calls of the proxy, which works them itself"
        ))
        .next("Leave worker out, or name another queue in the rule: queue = \"NAME\""));
    }
    if settings.upstream_timeout.is_zero() {
        return Err(
            Failed::usage("upstream_timeout: nothing is answered within 0s".to_owned())
                .next("Write a longer time: --upstream-timeout 5m"),
        );
    }
    Ok(())
}

fn trust(config: &Config) -> Result<Trust, Failed> {
    match config.settings.ca_file.as_deref() {
        Some(file) => crate::trust::with(&config.about("ca_file"), file),
        None => Ok(Trust::default()),
    }
}

/// Where the store is.
///
/// # Errors
/// When there can be none.
pub(crate) fn directory(settings: &Settings) -> Result<PathBuf, Failed> {
    let directory = super::directory(settings.store.clone())?;
    let file = |path: &Path| path.exists() && !path.is_dir();
    match directory.ancestors().find(|path| file(path)) {
        Some(path) => Err(Failed::usage(format!("store: {} is a file", path.display()))
            .next("Name another directory: --store ./raincheck-data")),
        None => Ok(directory),
    }
}
