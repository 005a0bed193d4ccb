//! The queues that the configuration defines: from the file, the environment and the flags, put together.
//!
//! Invariant: a queue that the file defines is what the configuration says and nothing else; one that only flags name
//! keeps the settings it has, but for those that are named. A program is found before anything is written.

use std::collections::BTreeMap;

use raincheck::core::group::GroupSpec;
use raincheck::core::name::{GroupName, Namespace, QueueName};
use raincheck::core::queue::{Queue, QueueSpec, Worker};
use raincheck::proxy::Rule;
use serde_json::{Map, Value as Json};

use super::origin::Origin;
use super::programs;
use crate::exit::Failed;
use crate::program;

/// What is said of one setting of a queue.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Said {
    /// `None` goes back to the default.
    pub(crate) value: Option<Json>,
    /// Where it is said.
    pub(crate) origin: Origin,
}

/// What is said of one queue.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Fields {
    /// Where the file defines it, if it does.
    pub(crate) defined: Option<Origin>,
    /// Its settings, by their names.
    pub(crate) said: BTreeMap<String, Said>,
    /// What is said of single groups of it, and where.
    pub(crate) groups: BTreeMap<GroupName, (GroupSpec, Origin)>,
}

/// What is said of all of them.
pub(crate) type Queues = BTreeMap<QueueName, Fields>;

/// A queue as it is to be written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Wanted {
    /// Whose.
    pub(crate) namespace: Namespace,
    /// Its name.
    pub(crate) name: QueueName,
    /// Its settings.
    pub(crate) spec: QueueSpec,
    /// The limits of single groups of it.
    pub(crate) groups: Vec<(GroupName, GroupSpec)>,
    /// Whether it is the configuration's.
    pub(crate) managed: bool,
}

/// Puts what is said by someone stronger over what is there.
pub(crate) fn lay_over(queues: &mut Queues, stronger: Queues) {
    for (name, fields) in stronger {
        let queue = queues.entry(name).or_default();
        queue.defined = fields.defined.or(queue.defined.take());
        queue.said.extend(fields.said);
        queue.groups.extend(fields.groups);
    }
}

/// The queues that the jobs of a proxy wait in, weaker than what is said of them.
pub(crate) fn of_proxy(rules: &[Rule]) -> Queues {
    let fields = |spec: &QueueSpec| {
        let said = match serde_json::to_value(spec) {
            Ok(Json::Object(fields)) => fields,
            Ok(_) | Err(_) => Map::new(),
        };
        let said = said.into_iter().map(|(field, value)| {
            let value = Some(value);
            let origin = Origin::Default;
            (field, Said { value, origin })
        });
        Fields {
            defined: None,
            said: said.collect(),
            groups: BTreeMap::new(),
        }
    };
    let queues = raincheck::proxy::queues(rules.iter());
    queues
        .iter()
        .map(|(name, spec)| (name.clone(), fields(spec)))
        .collect()
}

/// What has to be written, given the queues that are there. A program that an earlier configuration named and this one
/// does not is forgotten: no command runs that nobody asked for.
///
/// # Errors
/// The first setting that cannot be, with where it was said, or the first program that is not there.
pub(crate) fn wanted(queues: &Queues, there: &[std::sync::Arc<Queue>]) -> Result<Vec<Wanted>, Failed> {
    let ns = Namespace::default();
    let mut all = Vec::new();
    for queue in there {
        let named = queue.namespace == ns && queues.contains_key(&queue.name);
        let worker = queue.spec.worker.as_ref();
        if !named && worker.is_some_and(|worker| worker.command().is_some()) {
            all.push(Wanted {
                namespace: queue.namespace.clone(),
                name: queue.name.clone(),
                spec: QueueSpec {
                    worker: None,
                    ..queue.spec.clone()
                },
                groups: Vec::new(),
                // Until it is released, only the configuration may write a queue that it defined.
                managed: queue.managed,
            });
        }
    }
    for (name, fields) in queues {
        let known = there
            .iter()
            .find(|queue| queue.namespace == ns && queue.name == *name);
        let base = known
            .filter(|_| fields.defined.is_none())
            .map(|queue| &queue.spec);
        all.push(Wanted {
            namespace: ns.clone(),
            name: name.clone(),
            spec: spec(name, fields, base)?,
            groups: groups(fields).collect(),
            managed: true,
        });
    }
    Ok(all)
}

fn groups(fields: &Fields) -> impl Iterator<Item = (GroupName, GroupSpec)> {
    fields
        .groups
        .iter()
        .map(|(name, (spec, _))| (name.clone(), *spec))
}

/// The queues that an earlier configuration defined and this one does not name.
pub(crate) fn released(queues: &Queues, there: &[std::sync::Arc<Queue>]) -> Vec<(Namespace, QueueName)> {
    let ns = Namespace::default();
    let named = |queue: &Queue| queue.namespace == ns && queues.contains_key(&queue.name);
    let gone = there.iter().filter(|queue| queue.managed && !named(queue));
    gone.map(|queue| (queue.namespace.clone(), queue.name.clone()))
        .collect()
}

/// The groups of which an earlier configuration said something, and this one nothing.
pub(crate) fn dropped(earlier: &Queues, now: &Queues) -> Vec<(QueueName, GroupName)> {
    let there = |queue, group| {
        now.get(queue)
            .is_some_and(|fields: &Fields| fields.groups.contains_key(group))
    };
    let all = earlier
        .iter()
        .flat_map(|(queue, fields)| fields.groups.keys().map(move |group| (queue, group)));
    let gone = all.filter(|(queue, group)| !there(queue, group));
    gone.map(|(queue, group)| (queue.clone(), group.clone()))
        .collect()
}

/// Whether what is said of a queue can be; its program is not looked for.
pub(crate) fn check(name: &QueueName, fields: &Fields) -> Result<(), Failed> {
    written(name, fields, None).map(drop)
}

/// A queue's settings: these over the ones of `base`.
fn spec(name: &QueueName, fields: &Fields, base: Option<&QueueSpec>) -> Result<QueueSpec, Failed> {
    let mut spec = written(name, fields, base)?;
    let origin = fields.said.get("worker").map(|said| &said.origin);
    spec.worker = match spec.worker.take() {
        Some(worker) if origin.is_some() => Some(resolved(name, worker, origin)?),
        // A program of an earlier start that nobody names now.
        Some(worker) if worker.command().is_some() => None,
        worker => worker,
    };
    Ok(spec)
}

fn written(name: &QueueName, fields: &Fields, base: Option<&QueueSpec>) -> Result<QueueSpec, Failed> {
    let mut written = match base.map(serde_json::to_value) {
        Some(Ok(Json::Object(written))) => written,
        Some(_) | None => Map::new(),
    };
    for (field, said) in &fields.said {
        let Some(value) = &said.value else {
            written.remove(field);
            continue;
        };
        programs::fits(field, value).map_err(|why| {
            let at = said.origin.about(&format!("queues.{name}.{field}"));
            Failed::usage(format!("{at}: {why}"))
        })?;
        // What its programs may do is this server's to know, and not the store's.
        if programs::row(field).is_some() {
            continue;
        }
        written.insert(field.clone(), value.clone());
    }
    let spec: QueueSpec = serde_json::from_value(Json::Object(written))
        .map_err(|error| Failed::usage(format!("queue {name}: {error}")))?;
    raincheck::workers::check(&spec).map_err(|bad| {
        let field = bad.pointer.split('/').nth(1).unwrap_or_default();
        let at = fields.said.get(field).map(|said| said.origin.to_string());
        let at = at.unwrap_or_else(|| "the queue's settings".to_owned());
        Failed::usage(format!("{at}: queue {name}: {}", bad.detail))
    })?;
    Ok(spec)
}

/// The same with its program as an absolute path, once it is certain that it can be started.
fn resolved(name: &QueueName, worker: Worker, origin: Option<&Origin>) -> Result<Worker, Failed> {
    let (mut words, form, back) = match worker {
        Worker::Process(words) => (words, "cmd", Worker::Process as fn(Vec<String>) -> Worker),
        Worker::KeepAlive(words) => (words, "keep-alive", Worker::KeepAlive as _),
        other @ (Worker::Pull | Worker::Push(_) | Worker::Fetch) => return Ok(other),
        // Nobody wrote it: it is a proxy's own.
        Worker::Function if origin == Some(&Origin::Default) => return Ok(Worker::Function),
        Worker::Function => {
            let text =
                format!("queue {name}: a function works a queue only within the application that has it");
            return Err(Failed::usage(text).next("Choose pull, push or process"));
        }
    };
    let Some(program) = words.first_mut() else {
        return Ok(back(words));
    };
    *program = program::resolve(program).map_err(|missing| {
        let flag = matches!(origin, Some(Origin::Flag(_)));
        let hint = match missing.beside {
            Some(here) if flag => format!("For the one in this folder write {form}:{here}"),
            Some(here) => format!("For the one in this folder write {here}"),
            None => "Name a program that this server can start".to_owned(),
        };
        let at = origin.map_or_else(String::new, |origin| format!("{origin}: "));
        Failed::usage(format!("{at}queue {name}: {}", missing.reason)).next(hint)
    })?;
    Ok(back(words))
}

#[cfg(test)]
mod tests {
    use super::*;
    use raincheck::core::time::Timestamp;
    use std::sync::Arc;

    fn name() -> QueueName {
        QueueName::new("q").unwrap()
    }

    fn fields(defined: bool, said: &[(&str, Json)]) -> Fields {
        let origin = Origin::Line("f.toml".into(), 3);
        Fields {
            defined: defined.then(|| origin.clone()),
            said: said
                .iter()
                .map(|(field, value)| {
                    let value = (!value.is_null()).then(|| value.clone());
                    let origin = origin.clone();
                    ((*field).to_owned(), Said { value, origin })
                })
                .collect(),
            groups: BTreeMap::new(),
        }
    }

    fn there(spec: QueueSpec) -> Vec<Arc<Queue>> {
        vec![Arc::new(Queue::new(
            Namespace::default(),
            name(),
            spec,
            Timestamp::from_millis(0),
        ))]
    }

    fn first(fields: Fields, there: &[Arc<Queue>]) -> Result<Wanted, String> {
        let all = wanted(&Queues::from([(name(), fields)]), there);
        all.map(|mut all| all.remove(0))
            .map_err(|failed| failed.to_string())
    }

    #[test]
    fn a_queue_of_the_file_is_whole_and_one_of_flags_keeps_its_settings() {
        let earlier = there(QueueSpec {
            depth: Some(5),
            concurrency: Some(9),
            ..QueueSpec::default()
        });
        let said = [("concurrency", 2.into())];
        let whole = first(fields(true, &said), &earlier).unwrap();
        assert_eq!((whole.spec.concurrency, whole.spec.depth), (Some(2), None));
        let over = first(fields(false, &said), &earlier).unwrap();
        assert_eq!((over.spec.concurrency, over.spec.depth), (Some(2), Some(5)));
        let back = first(fields(false, &[("depth", Json::Null)]), &earlier).unwrap();
        assert_eq!((back.spec.concurrency, back.spec.depth), (Some(9), None));
        assert!(back.managed);
    }

    #[test]
    fn a_program_that_nobody_names_any_more_is_forgotten() {
        let program = || QueueSpec {
            worker: Some(Worker::Process(vec!["/bin/cat".to_owned()])),
            ..QueueSpec::default()
        };
        let gone = wanted(&Queues::new(), &there(program())).unwrap();
        assert_eq!(
            (gone.len(), gone[0].managed, &gone[0].spec.worker),
            (1, false, &None)
        );
        let kept = first(fields(false, &[("depth", 1.into())]), &there(program())).unwrap();
        assert_eq!(kept.spec.worker, None);
        let push = QueueSpec {
            worker: Some(Worker::Push(vec!["http://a".to_owned()])),
            ..QueueSpec::default()
        };
        assert_eq!(wanted(&Queues::new(), &there(push)).unwrap(), []);
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_line() {
        for (field, value, part) in [
            ("timeout", "soon".into(), "f.toml:3: queues.q.timeout: "),
            ("concurrency", 0.into(), "f.toml:3: queue q: concurrency "),
            (
                "worker",
                serde_json::json!({"push": ["x"]}),
                "f.toml:3: queue q: ",
            ),
            (
                "worker",
                serde_json::json!({"process": ["./nowhere"]}),
                "f.toml:3: queue q: there is no program",
            ),
        ] {
            let refused = first(fields(true, &[(field, value)]), &[]).unwrap_err();
            assert!(refused.starts_with(part), "{refused}");
        }
    }
}
