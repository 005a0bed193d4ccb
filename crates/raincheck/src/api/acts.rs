//! Doing what workers ask with their leases, many at once.
//!
//! Invariants: everything of one request is handed to the store before anything is awaited, so that settlements,
//! renewals and the next claim share a commit; entries are independent of each other; leases that a refused settlement
//! asked for are given back.

use std::sync::Arc;
use std::time::Duration;

use http::header::HeaderName;
use raincheck_core::decide::{EmitRefused, Renewed, SettleRefused, Settlement};
use raincheck_core::id::{JobId, LeaseId};
use raincheck_core::job::Job;
use raincheck_core::name::Namespace;
use raincheck_core::output::CHUNKS_MAX;
use raincheck_core::queue::Queue;
use raincheck_core::store::{Emit, Emitted, Leased, Renew, Settle};

use super::Api;
use super::caller::Caller;
use super::code::Code;
use super::problem::Problem;
use super::wire::lease::{Act, Entry};
use crate::hashing::Map;
use crate::pull::handed::{Handed, Lent};
use crate::pull::roll::Holder;
use crate::pull::{CLAIM_MAX, Wanted};
use crate::settle::digest;

/// The largest result of a queue that is not known any more: what no queue exceeds.
const RESULT_BYTES_LIMIT: u64 = raincheck_core::queue::BODY_MAX_LIMIT;

/// Says which chunk, and in a refusal which one is next.
pub(crate) const SEQ: HeaderName = HeaderName::from_static("raincheck-seq");

/// What became of an entry.
#[derive(Debug)]
pub(crate) enum Done {
    /// The lease runs on.
    Renewed(JobId, Renewed),
    /// The chunk is kept.
    Emitted { job: JobId, seq: u32, emitted: Emitted },
    /// The attempt is over.
    Settled {
        job: Arc<Job>,
        /// The next jobs, where they were asked for.
        leased: Option<Vec<Leased>>,
        queue: Option<Arc<Queue>>,
    },
}

/// What became of all entries, in their order, and the leases that come with it.
pub(crate) struct Performed {
    pub(crate) done: Vec<Result<Done, Problem>>,
    pub(crate) lent: Vec<Lent>,
}

/// What is known of a lease before the store is asked to act on it.
pub(crate) struct Known {
    holder: Option<Arc<Holder>>,
    queue: Option<Arc<Queue>>,
    term: Duration,
}

impl Known {
    /// Looks the lease up: in memory where this node handed it out, else in the store.
    ///
    /// # Errors
    /// When the store cannot be read, or the caller's key is not for the lease's queue: as if the lease were over.
    pub(crate) async fn find(api: &Api, caller: &Caller, lease: &LeaseId) -> Result<Self, Problem> {
        let known = Self::look_up(api, &caller.namespace, lease).await?;
        match &known.holder {
            // One of a queue that the key is not for might as well be over.
            Some(holder) if !caller.sees(&holder.queue) => Err(refused(SettleRefused::LeaseLost, lease.job)),
            Some(_) => Ok(known),
            None => match caller.blind_to(api, lease.job).await? {
                true => Err(refused(SettleRefused::LeaseLost, lease.job)),
                false => Ok(known),
            },
        }
    }

    async fn look_up(api: &Api, namespace: &Namespace, lease: &LeaseId) -> Result<Self, Problem> {
        let roll = api.node.pull().roll();
        if let Some(held) = roll.held(namespace, lease) {
            let queue = api.node.queue(namespace, &held.holder.queue).await?;
            roll.seen(&held.holder);
            return Ok(Self {
                queue,
                holder: Some(held.holder),
                term: held.term,
            });
        }
        let Ok(job) = api.node.store().get(namespace, lease.job).await? else {
            return Ok(Self {
                holder: None,
                queue: None,
                term: Duration::from_secs(30),
            });
        };
        let queue = api.node.queue(namespace, &job.queue).await?;
        let holder = job.lease().filter(|_| job.lease_id().as_ref() == Some(lease));
        let holder = holder.map(|held| {
            Arc::new(Holder {
                namespace: namespace.clone(),
                queue: job.queue.clone(),
                worker: held.worker.clone(),
            })
        });
        if let Some(holder) = &holder {
            roll.seen(holder);
        }
        let default = || queue.as_deref().map_or(Duration::from_secs(30), Queue::lease_for);
        Ok(Self {
            term: job.lease().map_or_else(default, |held| held.term),
            holder,
            queue,
        })
    }

    /// The largest result.
    pub(crate) fn result_max(&self) -> u64 {
        self.queue
            .as_deref()
            .map_or(RESULT_BYTES_LIMIT, Queue::result_max)
    }

    /// Who may claim in the same round trip: the holder of a lease of a queue that is pulled.
    fn claimer(&self) -> Option<&Arc<Holder>> {
        let pulled = self.queue.as_deref().is_some_and(|queue| queue.worker().pulled());
        self.holder.as_ref().filter(|_| pulled)
    }
}

/// What an entry waits for.
enum Slot {
    Renewed(usize),
    Emitted(usize, u32),
    Settled(usize),
    Refused(Problem),
}

/// One entry on its way.
struct Sent {
    lease: LeaseId,
    known: Known,
    claim: Option<u32>,
    slot: Slot,
}

/// Does it all.
///
/// # Errors
/// When nothing was done: the store could not, or more jobs are claimed than one request may.
pub(crate) async fn perform(
    api: &Api,
    namespace: &Namespace,
    entries: Vec<(Entry, Known)>,
) -> Result<Performed, Problem> {
    if entries
        .iter()
        .map(|(entry, _)| u64::from(entry.claim.unwrap_or(0)))
        .sum::<u64>()
        > u64::from(CLAIM_MAX)
    {
        let detail =
            format!("the entries claim more than {CLAIM_MAX} jobs together, the limit of one request");
        return Err(Problem::bad_request(detail));
    }
    let (mut asked, mut wanted) = (Asked::default(), Map::default());
    let pull = api.node.pull();
    let mut sent = Vec::with_capacity(entries.len());
    for (entry, known) in entries {
        let slot = asked.sort(entry.act, entry.lease, &known, || pull.seed());
        if let Some(claim) = entry.claim.filter(|claim| *claim > 0)
            && !api.node.draining()
            && let (Slot::Settled(_), Some(holder)) = (&slot, known.claimer())
        {
            let wanted = wanted.entry(holder.clone()).or_insert((0, known.term));
            wanted.0 += claim;
        }
        sent.push(Sent {
            lease: entry.lease,
            known,
            claim: entry.claim,
            slot,
        });
    }
    let store = api.node.store();
    let Asked {
        renews,
        emits,
        settles,
    } = asked;
    // What is emitted comes first: its attempt may end in the same request.
    let emitted = (!emits.is_empty()).then(|| store.emit(namespace, emits));
    let settled = (!settles.is_empty()).then(|| store.settle(namespace, settles));
    let renewed = (!renews.is_empty()).then(|| store.renew(namespace, renews));
    let claims: Vec<_> = wanted
        .into_iter()
        .map(|(holder, (max, term))| {
            let claim_id = None;
            (
                holder.clone(),
                pull.claim(&Wanted {
                    holder,
                    max,
                    term,
                    claim_id,
                }),
            )
        })
        .collect();
    let mut answers = Answers::default();
    if let Some(emitted) = emitted {
        answers.emitted = emitted.await?;
    }
    if let Some(settled) = settled {
        answers.settled = settled.await?.into_iter().map(Some).collect();
    }
    if let Some(renewed) = renewed {
        answers.renewed = renewed.await?;
    }
    for (holder, claim) in claims {
        answers.handed.insert(holder, claim.await?);
    }
    let done = sent.into_iter().map(|sent| answers.fate(sent)).collect();
    let lent = answers.handed.into_values().map(Handed::taken).collect();
    Ok(Performed { done, lent })
}

/// What is handed to the store.
#[derive(Default)]
struct Asked {
    renews: Vec<Renew>,
    emits: Vec<Emit>,
    settles: Vec<Settle>,
}

impl Asked {
    /// Puts an act where it is handed over from.
    fn sort(&mut self, act: Act, lease: LeaseId, known: &Known, seed: impl Fn() -> u64) -> Slot {
        let settlement = match act {
            Act::Renew { term, progress } => {
                self.renews.push(Renew {
                    lease,
                    term: term.unwrap_or(known.term),
                    progress,
                    defer: false,
                });
                return Slot::Renewed(self.renews.len() - 1);
            }
            Act::Emit { seq, piece } => {
                self.emits.push(Emit { lease, seq, piece });
                return Slot::Emitted(self.emits.len() - 1, seq);
            }
            Act::Succeed(result) => {
                let (size, limit) = (result.body.len() as u64, known.result_max());
                if size > limit {
                    let detail =
                        format!("the result is larger than {limit} bytes, the limit of the queue's results");
                    return Slot::Refused(Problem::new(Code::BodyTooLarge, detail));
                }
                Settlement::succeed(result)
            }
            Act::Fail { failure, retry } => Settlement::Fail {
                failure,
                retry,
                result: None,
                timed_out: false,
            },
            Act::Release { delay } => Settlement::Release {
                delay,
                interrupted: false,
                why: None,
            },
        };
        self.settles.push(Settle {
            lease,
            digest: digest(&settlement),
            settlement,
            seed: seed(),
        });
        Slot::Settled(self.settles.len() - 1)
    }
}

/// What the store answered.
#[derive(Default)]
struct Answers {
    settled: Vec<Option<Result<Arc<Job>, SettleRefused>>>,
    renewed: Vec<Option<Renewed>>,
    emitted: Vec<Result<Emitted, EmitRefused>>,
    handed: Map<Arc<Holder>, Handed>,
}

impl Answers {
    /// An entry's fate, with its share of what was claimed.
    fn fate(&mut self, sent: Sent) -> Result<Done, Problem> {
        let id = sent.lease.job;
        let settled = match sent.slot {
            Slot::Refused(problem) => return Err(problem),
            Slot::Renewed(place) => {
                let renewed = self.renewed.get_mut(place).and_then(Option::take);
                let renewed = renewed.ok_or_else(|| refused(SettleRefused::LeaseLost, id))?;
                return Ok(Done::Renewed(id, renewed));
            }
            Slot::Emitted(place, seq) => {
                let lost = Err(EmitRefused::LeaseLost);
                let emitted = self.emitted.get(place).copied().unwrap_or(lost);
                let emitted = emitted.map_err(|why| not_emitted(why, seq, id))?;
                return Ok(Done::Emitted {
                    job: id,
                    seq,
                    emitted,
                });
            }
            Slot::Settled(place) => self.settled.get_mut(place).and_then(Option::take),
        };
        let job = settled.unwrap_or(Err(SettleRefused::LeaseLost));
        let job = job.map_err(|why| refused(why, id))?;
        let leased = sent.claim.map(|claim| {
            let handed = sent
                .known
                .claimer()
                .and_then(|holder| self.handed.get_mut(holder));
            handed.map_or_else(Vec::new, |handed| handed.take(claim))
        });
        Ok(Done::Settled {
            job,
            leased,
            queue: sent.known.queue,
        })
    }
}

/// Why a chunk was not kept.
fn not_emitted(why: EmitRefused, seq: u32, job: JobId) -> Problem {
    match why {
        EmitRefused::LeaseLost => refused(SettleRefused::LeaseLost, job),
        EmitRefused::Gap { next } => Problem::new(
            Code::EmitGap,
            format!("chunk {seq} came, but the next of this lease of {job} is chunk {next}"),
        )
        .header(SEQ, next.into()),
        EmitRefused::Mismatch => Problem::new(
            Code::EmitMismatch,
            format!(
                "chunk {seq} of this lease of {job} was emitted before with other content; the first one stands"
            ),
        ),
        EmitRefused::TooLarge { bytes_max } => Problem::new(
            Code::OutputTooLarge,
            format!(
                "an attempt may emit {bytes_max} bytes of output and as many of log, the limit of the queue's results; \
                 chunk {seq} was not kept"
            ),
        ),
        EmitRefused::TooMany => Problem::new(
            Code::OutputTooLarge,
            format!("an attempt may emit {CHUNKS_MAX} chunks; put more into each"),
        ),
    }
}

/// Why a lease was neither renewed nor settled.
fn refused(why: SettleRefused, job: JobId) -> Problem {
    match why {
        SettleRefused::LeaseLost => Problem::new(
            Code::LeaseLost,
            format!(
                "this lease of {job} is over and nothing has changed; stop the work, another attempt decides"
            ),
        ),
        SettleRefused::AlreadySettled => Problem::new(
            Code::AlreadySettled,
            format!(
                "this lease of {job} was settled before with another verb or content; the first one stands"
            ),
        ),
    }
}
