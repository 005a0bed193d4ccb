//! The programs that this node keeps alive for its queues.
//!
//! Invariant: every queue whose settings say so has its crew, as long as the node does not leave; nothing else has one.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use raincheck_core::key::Token;
use raincheck_core::name::{Namespace, QueueName};
use raincheck_core::queue::{Queue, Worker};
use tokio::time::Instant;
use tracing::{info, warn};

use super::process::{Confinement, Crew, CrewEvent, CrewOptions, CrewTell, Environment, Member, Program};
use crate::hashing::Map;
use crate::keys::Keys;
use crate::node::NodeOptions;
use crate::queues::QueueKey;
use crate::tasks::Group;

/// How long programs may take to leave whose queue was changed.
const CHANGE_GRACE: Duration = Duration::from_secs(10);

/// The crews of a node.
pub(crate) struct Crews {
    options: NodeOptions,
    keys: Keys,
    group: Group,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    crews: Map<QueueKey, Kept>,
    /// What opens the API to the programs of a queue; stays, because those that leave settle what they have.
    tokens: Map<QueueKey, Token>,
    /// Whether the node leaves.
    left: bool,
}

struct Kept {
    argv: Vec<String>,
    count: usize,
    confinement: Arc<Confinement>,
    crew: Crew,
}

impl fmt::Debug for Crews {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Crews")
            .field("group", &self.group)
            .finish_non_exhaustive()
    }
}

impl Crews {
    pub(crate) fn new(options: &NodeOptions, group: Group, keys: Keys) -> Self {
        Self {
            options: options.clone(),
            keys,
            group,
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing under this lock can panic half way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in a queue's settings, which are in force from now on.
    pub(crate) fn put(&self, queue: &Arc<Queue>) {
        let key = (queue.namespace.clone(), queue.name.clone());
        let Some(Worker::KeepAlive(argv)) = &queue.spec.worker else {
            return self.remove(&key);
        };
        let count = queue.concurrency(self.options.cores).unwrap_or(1) as usize;
        let within = self.options.programs.of(&queue.name);
        let confinement = within.confinement.clone();
        let same =
            |known: &Kept| known.argv == *argv && known.count == count && known.confinement == confinement;
        let mut state = self.state();
        if state.left || state.crews.get(&key).is_some_and(same) {
            return;
        }
        let Some(url) = self.options.own_url.clone() else {
            warn!(queue = %queue.name, "its programs are not started: this node has no URL that they could ask");
            return;
        };
        if let Some(before) = state.crews.remove(&key) {
            before.crew.leave(Instant::now() + CHANGE_GRACE);
        }
        let token = state.tokens.entry(key.clone());
        let token = token.or_insert_with(|| self.keys.lend(&queue.namespace, &queue.name));
        let api_key = Some(token.reveal());
        let options = CrewOptions {
            program: Program::new(argv.clone(), Environment::Few).within(within),
            url,
            queue: queue.name.to_string(),
            worker: self.options.worker.to_string(),
            count,
            own_output: false,
            api_key,
        };
        let crew = Crew::start(&options, &self.group, &self.options.random, &tell(&queue.name));
        let argv = argv.clone();
        let kept = Kept {
            argv,
            count,
            confinement,
            crew,
        };
        state.crews.insert(key, kept);
    }

    /// Lets the programs of a queue go that has none any more.
    pub(crate) fn remove(&self, key: &QueueKey) {
        if let Some(kept) = self.state().crews.remove(key) {
            kept.crew.leave(Instant::now() + CHANGE_GRACE);
        }
    }

    /// Tells every program to leave; those that are there at `by` are killed.
    pub(crate) fn leave(&self, by: Instant) {
        let mut state = self.state();
        state.left = true;
        for kept in state.crews.values() {
            kept.crew.leave(by);
        }
    }

    /// Waits until no program is left.
    pub(crate) async fn idle(&self) {
        self.group.idle().await;
    }

    /// Kills every program where it stands.
    pub(crate) fn abort(&self) {
        self.state().left = true;
        self.group.abort();
    }

    /// The same, and waits until they are gone.
    pub(crate) async fn cut(&self) {
        self.state().left = true;
        self.group.cut().await;
    }

    /// The programs of a namespace's queues.
    pub(crate) fn members(&self, ns: &Namespace) -> Vec<(QueueName, Member)> {
        let state = self.state();
        let kept = state.crews.iter().filter(|((of, _), _)| of == ns);
        kept.flat_map(|((_, queue), kept)| {
            let members = kept.crew.members();
            members.into_iter().map(|member| (queue.clone(), member))
        })
        .collect()
    }
}

/// Writes into the log what happens to the programs of a queue, and what they say.
fn tell(queue: &QueueName) -> CrewTell {
    let queue = queue.clone();
    Arc::new(move |worker, event| match event {
        CrewEvent::Started(process) => {
            info!(%queue, worker, process, "a program was started and is kept alive")
        }
        CrewEvent::NotStarted(error, pause) => {
            warn!(%queue, worker, %error, ?pause, "a program that is to be kept alive cannot be started");
        }
        CrewEvent::Ended(status, pause) => {
            warn!(%queue, worker, %status, ?pause, "a program that is kept alive has ended and is started again");
        }
        CrewEvent::Left(status) => {
            let status = status.map(|status| status.to_string());
            info!(%queue, worker, status, "a program that was kept alive has left");
        }
        CrewEvent::Said(line) => info!(%queue, worker, "{line}"),
    })
}
