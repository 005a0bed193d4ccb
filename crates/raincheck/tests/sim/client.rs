//! Clients: they submit, repeat what is in doubt, cancel, retry, forget, redeem and wait.
//!
//! Invariant: a client believes only what it was told, and tells the checker what it believes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use raincheck::intake::IntakeRefused;
use raincheck_core::content::Input;
use raincheck_core::decide::NewJob;
use raincheck_core::id::JobId;
use raincheck_core::job::{Options, Phase};
use raincheck_core::name::{GroupName, QueueName};
use raincheck_core::store::{Idempotency, Retry, Store, StoreError, Submission, Submitted};
use tokio::time::timeout;

use crate::plan::PULL;
use crate::rng::Rng;
use crate::world::World;

/// How often a client repeats what is in doubt.
const TRIES: u32 = 6;

/// One client.
pub(crate) struct Client {
    world: Arc<World>,
    rng: Rng,
    name: u64,
    /// Requests with a key that were sent: number of the key, and what was asked.
    sent: Vec<(u64, Asked)>,
    /// Jobs that it knows of.
    known: Vec<JobId>,
}

/// What a submission asks, so that it can be asked again.
#[derive(Clone, Debug)]
struct Asked {
    queue: QueueName,
    group: Option<GroupName>,
    priority: u8,
    delay: Option<Duration>,
    options: Options,
}

impl Client {
    pub(crate) const fn new(world: Arc<World>, rng: Rng, name: u64) -> Self {
        Self {
            world,
            rng,
            name,
            sent: Vec::new(),
            known: Vec::new(),
        }
    }

    /// Does what it does, one thing after the other.
    pub(crate) async fn run(mut self) {
        for _ in 0..self.world.plan.actions {
            tokio::time::sleep(self.rng.ms(0, 900)).await;
            match self.rng.below(100) {
                0..45 => self.submit().await,
                45..53 => self.repeat().await,
                53..66 => self.cancel().await,
                66..72 => self.retry().await,
                72..77 => self.delete().await,
                77..85 => self.redeem().await,
                85..95 => self.watch().await,
                95..98 => self.pause().await,
                _ => self.purge().await,
            }
        }
    }

    fn asked(&mut self) -> Asked {
        let queue = *self.rng.pick(
            &self
                .world
                .plan
                .queues
                .iter()
                .map(|(name, _)| *name)
                .collect::<Vec<_>>(),
        );
        let seconds = |rng: &mut Rng, percent, low, high| {
            rng.chance(percent)
                .then(|| Duration::from_secs(rng.between(low, high)))
        };
        let rng = &mut self.rng;
        let options = Options {
            start_before: seconds(rng, 12, 1, 6),
            timeout: seconds(rng, 12, 1, 4),
            deadline: seconds(rng, 12, 3, 15),
            max_attempts: rng.chance(10).then_some(1),
            ..Options::default()
        };
        Asked {
            queue: queue_name(queue),
            group: rng
                .chance(30)
                .then(|| GroupName::new(["a", "b"][usize::from(rng.chance(50))]).expect("a name")),
            priority: if rng.chance(30) { 2 } else { 5 },
            delay: rng.chance(20).then(|| rng.ms(1, 4_000)),
            options,
        }
    }

    fn submission(&self, asked: &Asked, key: Option<(u64, u8)>) -> Submission {
        let id = self.world.mint();
        Submission {
            job: NewJob {
                id,
                namespace: self.world.ns.clone(),
                queue: asked.queue.clone(),
                group: asked.group.clone(),
                priority: asked.priority,
                run_at: None,
                delay: asked.delay,
                options: asked.options.clone().into(),
                retry_of: None,
                member: None,
            },
            input: Input {
                body: Bytes::copy_from_slice(&id.tail().to_be_bytes()),
                ..Input::default()
            },
            idempotency: key.map(|(number, request)| Idempotency {
                key: format!("{}-{number}", self.name),
                fingerprint: [request; 32],
            }),
            create_queue: false,
        }
    }

    async fn submit(&mut self) {
        let asked = self.asked();
        let key = self.rng.chance(55).then_some(self.sent.len() as u64);
        if let Some(number) = key {
            self.sent.push((number, asked.clone()));
        }
        for _ in 0..TRIES {
            let submission = self.submission(&asked, key.map(|number| (number, 1)));
            let in_doubt = self.send(submission).await;
            if !in_doubt {
                return;
            }
            if key.is_none() {
                // Sending it again could make a second job.
                return;
            }
            self.world.hit("submit repeated in doubt");
            tokio::time::sleep(self.rng.ms(0, 600)).await;
        }
    }

    /// Sends what was sent before under its key, or something else under it.
    async fn repeat(&mut self) {
        if self.sent.is_empty() {
            return;
        }
        let place = usize::try_from(self.rng.below(self.sent.len() as u64)).unwrap_or(0);
        let (number, asked) = self.sent[place].clone();
        let request = if self.rng.chance(70) { 1 } else { 2 };
        let submission = self.submission(&asked, Some((number, request)));
        self.send(submission).await;
    }

    /// Sends one submission; gives back whether nobody knows what came of it.
    async fn send(&mut self, submission: Submission) -> bool {
        let id = submission.job.id;
        let world = self.world.clone();
        let node = world.state().node.clone();
        let answer = match node {
            Some(node) => node.intake().submit(&world.ns, submission).await,
            None => {
                let answer = world.door().submit(&world.ns, vec![submission]).await;
                answer.map(|mut answers| answers.remove(0).map_err(IntakeRefused::from))
            }
        };
        match answer {
            Ok(Ok(Submitted::Created)) => {
                world.state().checker.acknowledged(id);
                self.known.push(id);
                world.hit("submitted");
            }
            Ok(Ok(Submitted::Attached(_))) => unreachable!("no submission asks for it"),
            Ok(Ok(Submitted::Replayed(_, first))) => {
                let mut state = world.state();
                state.checker.acknowledged(first);
                state.checker.refused(id);
                self.known.push(first);
            }
            Ok(Err(refused)) => {
                world.state().checker.refused(id);
                if refused == IntakeRefused::Draining {
                    world.hit("submit refused while draining");
                }
            }
            Err(StoreError::Unknown) => {
                // It may exist: asking for it is harmless.
                self.known.push(id);
                return true;
            }
            Err(_) => world.state().checker.refused(id),
        }
        false
    }

    fn one_known(&mut self) -> Option<JobId> {
        if self.known.is_empty() || self.rng.chance(3) {
            // Nobody was given this one.
            return Some(self.world.mint());
        }
        Some(*self.rng.pick(&self.known))
    }

    async fn cancel(&mut self) {
        let Some(id) = self.one_known() else { return };
        for _ in 0..TRIES {
            let answer = self.world.door().cancel(&self.world.ns, vec![id]).await;
            if !matches!(answer, Err(StoreError::Unknown | StoreError::Unavailable(_))) {
                return;
            }
            tokio::time::sleep(self.rng.ms(0, 400)).await;
        }
    }

    async fn retry(&mut self) {
        let Some(id) = self.one_known() else { return };
        let new_id = self.world.mint();
        let answer = self
            .world
            .door()
            .retry(&self.world.ns, vec![Retry { id, new_id }])
            .await;
        match answer {
            Ok(mut answers) => {
                if let Ok(job) = answers.remove(0) {
                    self.world.state().checker.acknowledged(job.id);
                    self.known.push(job.id);
                }
            }
            Err(StoreError::Unknown) => self.known.push(new_id),
            Err(_) => self.world.state().checker.refused(new_id),
        }
    }

    async fn delete(&mut self) {
        let Some(id) = self.one_known() else { return };
        // What came of it is the checker's to say.
        let _ = self.world.door().delete(&self.world.ns, vec![id]).await;
    }

    async fn redeem(&mut self) {
        let Some(id) = self.one_known() else { return };
        let _ = self.world.door().result(&self.world.ns, id).await;
    }

    /// Waits for a job as a long-poll does: subscribe, read, wait, read again.
    async fn watch(&mut self) {
        let Some(id) = self.one_known() else { return };
        let Some(node) = self.world.state().node.clone() else {
            return self.redeem().await;
        };
        let patience = self.rng.ms(100, 4_000);
        let door = self.world.door();
        let mut watching = node.watch().subscribe(id);
        let Ok(Ok(before)) = door.result(&self.world.ns, id).await else {
            return;
        };
        if before.job.done() {
            return;
        }
        let told = timeout(patience, watching.changed()).await.is_ok();
        if told {
            self.world.hit("waiter told");
        }
        let gave_up = self.world.now();
        let Ok(Ok(after)) = door.result(&self.world.ns, id).await else {
            return;
        };
        let done_before = match &after.job.phase {
            Phase::Done { finished_at, .. } => *finished_at < gave_up,
            Phase::Waiting | Phase::Running(_) => false,
        };
        // A lost hint, or one that went to a node that is gone, is nobody's fault.
        let sure = self.world.plan.faults.hint_lost == 0;
        let mut state = self.world.state();
        state.checker.rule(
            told || !sure || !done_before,
            "a waiter is told when its job ends (G7)",
            || format!("{:?} after {:?}", after.job, before.job),
        );
    }

    async fn pause(&mut self) {
        let name = queue_name(PULL);
        let world = self.world.clone();
        for paused in [true, false] {
            for _ in 0..TRIES {
                if set_paused(&world, &name, paused).await {
                    break;
                }
            }
            tokio::time::sleep(self.rng.ms(0, 1_500)).await;
        }
    }

    async fn purge(&mut self) {
        let door = self.world.door();
        let _ = door.purge(&self.world.ns, &queue_name(PULL), 2).await;
    }
}

/// Pauses or resumes a queue; gives back whether that was done.
pub(crate) async fn set_paused(world: &Arc<World>, name: &QueueName, paused: bool) -> bool {
    let node = world.state().node.clone();
    let answer = match node {
        Some(node) => node.pause_queue(&world.ns, name, paused).await,
        None => world.door().pause(&world.ns, name, paused).await,
    };
    answer.is_ok()
}

pub(crate) fn queue_name(name: &str) -> QueueName {
    QueueName::new(name).expect("a plain name")
}
