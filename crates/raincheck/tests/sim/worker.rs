//! Pull workers: honest ones, slow ones, ones that are stopped past their lease and wake as zombies, ones that die.
//!
//! Invariant: a worker knows what its claims and renewals told it, and nothing else; one that is told that a lease is over
//! may believe it or not.

use std::sync::Arc;
use std::time::Duration;

use raincheck_core::content::JobResult;
use raincheck_core::decide::{Claimer, SettleRefused, Settlement};
use raincheck_core::id::LeaseId;
use raincheck_core::job::Failure;
use raincheck_core::lease::WorkerKind;
use raincheck_core::name::WorkerName;
use raincheck_core::output::{Piece, Stream};
use raincheck_core::retry::mix;
use raincheck_core::store::{Claim, Emit, Leased, Renew, Settle, Store, StoreError};

use crate::client::queue_name;
use crate::log::number;
use crate::plan::PULL;
use crate::rng::Rng;
use crate::world::World;

/// How often a worker repeats a settlement that came to nothing.
const TRIES: u32 = 5;

/// One pull worker.
pub(crate) struct Worker {
    world: Arc<World>,
    rng: Rng,
    name: WorkerName,
    claims: u64,
}

impl Worker {
    pub(crate) fn new(world: Arc<World>, rng: Rng, name: u64) -> Self {
        Self {
            world,
            rng,
            name: WorkerName::new(&format!("w{name}")).expect("a plain name"),
            claims: 0,
        }
    }

    /// Claims and works for as long as there is a world.
    pub(crate) async fn run(mut self) {
        loop {
            let got = self.claim().await;
            if got.is_empty() {
                let pause = if self.world.quiet() {
                    Duration::from_millis(500)
                } else {
                    self.rng.ms(100, 1_400)
                };
                tokio::time::sleep(pause).await;
            }
            for leased in got {
                self.work(leased).await;
            }
        }
    }

    async fn claim(&mut self) -> Vec<Leased> {
        self.claims += 1;
        let claim_id = self.rng.chance(60).then(|| format!("c{}", self.claims));
        for _ in 0..3 {
            let claim = Claim {
                queue: queue_name(PULL),
                claimer: Claimer {
                    worker: self.name.clone(),
                    kind: WorkerKind::Pull,
                    term: Duration::from_secs(self.rng.between(1, 4)),
                    claim_id: claim_id.clone(),
                },
                nonces: (0..self.rng.between(1, 3)).map(|_| self.rng.nonce()).collect(),
                running_max: None,
                passing_over: Vec::new(),
            };
            match self.world.door().claim(&self.world.ns, claim).await {
                Ok(leased) => return leased,
                // What it claimed it can still get, where it gave its claim a name.
                Err(StoreError::Unknown) if claim_id.is_some() => {}
                Err(_) => return Vec::new(),
            }
            tokio::time::sleep(self.rng.ms(0, 300)).await;
        }
        Vec::new()
    }

    async fn work(&mut self, leased: Leased) {
        let (Some(lease), Some(held)) = (leased.job.lease_id(), leased.job.lease()) else {
            return;
        };
        let term = u64::try_from(held.term.as_millis()).unwrap_or(u64::MAX);
        if self.world.quiet() {
            self.settle(lease, self.success(lease)).await;
            return;
        }
        match self.rng.below(100) {
            // Prompt.
            0..30 => {
                tokio::time::sleep(self.rng.ms(0, 300)).await;
                self.settle(lease, self.success(lease)).await;
            }
            // Long, and renewing as it should.
            30..42 => self.renew_and_finish(lease, term).await,
            // Slow: around its lease's end, without renewing.
            42..52 => {
                tokio::time::sleep(self.rng.ms(term * 7 / 10, term * 14 / 10)).await;
                self.settle(lease, self.success(lease)).await;
            }
            // Stopped past its lease, and then awake again.
            52..66 => {
                tokio::time::sleep(self.rng.ms(term + 100, term + 4_000)).await;
                if self.rng.chance(50) {
                    self.renew(lease, term).await;
                } else {
                    self.emit(lease, &mut 0, "late").await;
                }
                self.settle(lease, self.success(lease)).await;
            }
            // Dies.
            66..74 => self.world.hit("worker died"),
            74..86 => {
                let failure = self.failure();
                self.settle(lease, failure).await;
            }
            86..90 => {
                let delay = self.rng.ms(0, 800);
                let release = Settlement::Release {
                    delay,
                    interrupted: false,
                    why: None,
                };
                self.settle(lease, release).await;
            }
            90..93 => self.settle(lease, Settlement::Cancel).await,
            // Somebody guesses at the lease.
            93..96 => {
                let nonce = self.rng.nonce();
                self.settle(LeaseId { nonce, ..lease }, self.success(lease)).await;
                self.settle(lease, self.success(lease)).await;
            }
            // Does everything twice, and then something else.
            _ => {
                self.settle(lease, self.success(lease)).await;
                tokio::time::sleep(self.rng.ms(0, 2_000)).await;
                self.settle(lease, self.success(lease)).await;
                let failure = self.failure();
                self.settle(lease, failure).await;
            }
        }
    }

    async fn renew_and_finish(&mut self, lease: LeaseId, term: u64) {
        let mut emitted = 0;
        for page in 0..self.rng.between(1, 4) {
            tokio::time::sleep(Duration::from_millis(term / 3)).await;
            self.emit(lease, &mut emitted, &format!("page {page}")).await;
            match self.renew(lease, term).await {
                Some(true) => {
                    self.settle(lease, Settlement::Cancel).await;
                    return;
                }
                Some(false) => {}
                // Told that its lease is over; some go on nevertheless.
                None if self.rng.chance(60) => return,
                None => break,
            }
        }
        self.settle(lease, self.success(lease)).await;
    }

    /// Whether it is to stop; `None` where the lease is over.
    async fn renew(&mut self, lease: LeaseId, term: u64) -> Option<bool> {
        let renew = Renew {
            lease,
            term: Duration::from_millis(term),
            progress: None,
            defer: false,
        };
        match self.world.door().renew(&self.world.ns, vec![renew]).await {
            Ok(mut answers) => answers.remove(0).map(|renewed| renewed.cancel_requested),
            // Not told: it goes on as if nothing were.
            Err(_) => Some(false),
        }
    }

    /// Emits a chunk and reads it back, as whoever follows the job would. One whose answer was lost is sent again.
    async fn emit(&mut self, lease: LeaseId, emitted: &mut u32, text: &str) {
        let emit = Emit {
            lease,
            seq: *emitted,
            piece: Piece {
                stream: Stream::Output,
                body: text.to_owned().into(),
            },
        };
        for _ in 0..TRIES {
            match self.world.door().emit(&self.world.ns, vec![emit.clone()]).await {
                Ok(mut answers) => {
                    if let Ok(kept) = answers.remove(0) {
                        *emitted += 1;
                        let after = kept.n.saturating_sub(2);
                        // Nobody minds when it cannot be read now.
                        let _ = self
                            .world
                            .door()
                            .output(&self.world.ns, lease.job, after, 2)
                            .await;
                    }
                    return;
                }
                Err(_) => tokio::time::sleep(self.rng.ms(10, 200)).await,
            }
        }
    }

    fn success(&self, lease: LeaseId) -> Settlement {
        let text = format!("{} by {} under {}", number(lease.job), self.name, lease.fence);
        Settlement::succeed(JobResult::new(200, None, Vec::new(), text.into()))
    }

    fn failure(&mut self) -> Settlement {
        let retry = self.rng.chance(80).then(|| self.rng.ms(0, 900));
        let result = Arc::new(JobResult::new(500, None, Vec::new(), "no".into()));
        Settlement::Fail {
            failure: Failure::new("handler-failed", "simulated"),
            result: retry.is_none().then_some(result),
            retry,
            timed_out: false,
        }
    }

    async fn settle(&mut self, lease: LeaseId, settlement: Settlement) {
        let settle = Settle {
            lease,
            digest: digest(lease, &settlement),
            settlement,
            seed: self.rng.next(),
        };
        for _ in 0..TRIES {
            let answer = self
                .world
                .door()
                .settle(&self.world.ns, vec![settle.clone()])
                .await;
            match answer {
                Ok(mut answers) => {
                    if answers.remove(0) == Err(SettleRefused::LeaseLost) {
                        self.world.hit("worker told that its lease is over");
                    }
                    return;
                }
                Err(_) => tokio::time::sleep(self.rng.ms(10, 700)).await,
            }
        }
    }
}

/// Stands for verb and content.
fn digest(lease: LeaseId, settlement: &Settlement) -> [u8; 16] {
    let (verb, more) = match settlement {
        Settlement::Succeed(_) => (1, 0),
        Settlement::Fail { retry, .. } => (2, retry.map_or(0, |retry| 1 + retry.as_millis())),
        Settlement::Release { delay, .. } => (3, delay.as_millis()),
        Settlement::Cancel => (4, 0),
    };
    let more = u64::try_from(more).unwrap_or(u64::MAX);
    let low = mix(lease.job.tail() ^ mix(u64::from(lease.fence.0)));
    let mut digest = [0; 16];
    digest[..8].copy_from_slice(&mix(low ^ verb).to_be_bytes());
    digest[8..].copy_from_slice(&mix(more).to_be_bytes());
    digest
}
