//! The workload `stream`: many readers of one job's output, which a worker emits at a steady pace as a language model
//! does.
//!
//! Invariant: every reader gets every piece; what counts begins when all of them have had the first ones, and ends when the
//! last of them has had the last.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::arrays::{Arrays, submit_in_turn};
use super::drive::{all, micros, reached};
use super::figures::{Latency, Measured, Row};
use super::rig::Rig;
use super::waiters::{AT_ONCE, leased};
use super::wire::{Head, Target, Wire};
use super::worker::Workers;
use crate::exit::Failed;

const NAME: &str = "stream";
/// Pieces of text in a second: what a large language model writes.
const PACE: u32 = 50;
/// So many are emitted before it counts.
const FIRST: usize = 10;
/// Stands once in each piece, and nowhere else in what a reader gets.
const MARK: u8 = b'~';
const TEXT: &str = "~ raining";

/// When each piece was about to be emitted, in microseconds since the run began.
type Emitted = Arc<Vec<AtomicU64>>;

/// Readers first, then what they read.
pub(super) async fn run(rig: &Rig, rows: &mut Vec<Row>) -> Result<(), Failed> {
    let readers = rig.sizes.readers;
    let who = if rig.sizes.bare { "bare, " } else { "" };
    let case = format!("{who}{readers} readers, {PACE}/s");
    rig.progress.begin(&format!("{NAME}, {case}"));
    let source = if rig.sizes.bare {
        Source::bare(rig).await?
    } else {
        Source::job(rig).await?
    };
    let counted = (rig.sizes.seconds * f64::from(PACE)).ceil();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "600 seconds at the most"
    )]
    let pieces = FIRST + counted as usize;
    rows.push(Row::of(NAME, case, &measured(rig, source, pieces).await?));
    Ok(())
}

/// What is emitted, and where it is read.
struct Source {
    wire: Wire,
    emit: Head,
    follow: Bytes,
    bare: bool,
}

impl Source {
    /// A job whose worker emits.
    async fn job(rig: &Rig) -> Result<Self, Failed> {
        let queue = rig.queue("streamed").await?;
        let ids = submit_in_turn(rig, &Arrays::of(queue.clone(), 1)).await?;
        let mut wire = Wire::open(&rig.target).await?;
        let lease = leased(&mut wire, &rig.target.post(&format!("/v1/queues/{queue}/claim"))).await?;
        Ok(Self {
            wire,
            emit: rig.target.post(&format!("/v1/leases/{lease}/emit")),
            follow: rig.target.get(&format!("/v1/jobs/{}/events", ids.concat())),
            bare: false,
        })
    }

    /// The same from a server that passes on what it gets.
    async fn bare(rig: &Rig) -> Result<Self, Failed> {
        Ok(Self {
            wire: Wire::open(&rig.target).await?,
            emit: rig.target.post("/chunk"),
            follow: rig.target.get("/stream"),
            bare: true,
        })
    }

    async fn emit(&mut self, n: usize) -> Result<(), Failed> {
        let body = if self.bare {
            // Byte for byte what a reader of a job gets.
            format!(
                "event: output\nid: 2.{}\ndata: {{\"attempt\":1,\"seq\":{n},\"text\":\"{TEXT}\"}}\n\n",
                n + 1
            )
        } else {
            format!("{{\"seq\":{n},\"output\":\"{TEXT}\"}}")
        };
        let answer = self.wire.call(&self.emit.with(body.as_bytes())).await?;
        answer.expect(200, "a piece of output").map(drop)
    }
}

async fn measured(rig: &Rig, mut source: Source, pieces: usize) -> Result<Measured, Failed> {
    let readers = rig.sizes.readers;
    let began = Instant::now();
    let emitted: Emitted = Arc::new((0..pieces).map(|_| AtomicU64::new(0)).collect());
    let (gate, here) = (Arc::new(Semaphore::new(AT_ONCE)), Arc::new(AtomicUsize::new(0)));
    let got = Arc::new(AtomicU64::new(0));
    let mut tasks = JoinSet::new();
    for _ in 0..readers {
        let reader = Reader {
            target: rig.target.clone(),
            message: source.follow.clone(),
            gate: gate.clone(),
            here: here.clone(),
            got: got.clone(),
            emitted: emitted.clone(),
            began,
        };
        tasks.spawn(reader.run());
    }
    while here.load(Ordering::Relaxed) < readers {
        rig.progress
            .show(here.load(Ordering::Relaxed) as f64 / readers as f64);
        tokio::select! {
            Some(ended) = tasks.join_next() => {
                ended.map_err(|error| super::drive::panicked(&error))??;
            }
            () = tokio::time::sleep(Duration::from_millis(10)) => {}
        }
    }
    let mut pace = interval(Duration::from_secs(1) / PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut reading = rig.meter().read();
    for n in 0..pieces {
        if n == FIRST {
            reached(
                (FIRST * readers) as u64,
                &got,
                &mut Workers::none(),
                &rig.progress,
            )
            .await?;
            pace.reset();
            reading = rig.meter().read();
        }
        pace.tick().await;
        emitted[n].store(u64::from(micros(began.elapsed())), Ordering::Relaxed);
        source.emit(n).await?;
        rig.progress.show(n as f64 / pieces as f64);
    }
    let whole = (pieces * readers) as f64;
    let shown = || got.load(Ordering::Relaxed) as f64 / whole;
    let seen = all(&mut tasks, &mut Workers::none(), &rig.progress, shown).await?;
    let used = rig.meter().since(reading);
    let latency = Latency::of(seen.concat());
    Ok(Measured {
        jobs: latency.count(),
        latency,
        used,
    })
}

struct Reader {
    target: Target,
    message: Bytes,
    gate: Arc<Semaphore>,
    here: Arc<AtomicUsize>,
    got: Arc<AtomicU64>,
    emitted: Emitted,
    began: Instant,
}

impl Reader {
    /// Reads until the last piece; how long after its emission each came, but for the first ones.
    async fn run(self) -> Result<Vec<u32>, Failed> {
        let place = self.gate.acquire().await;
        let wire = Wire::open(&self.target).await?;
        let mut pieces = wire.follow(&self.message).await?;
        drop(place);
        self.here.fetch_add(1, Ordering::Relaxed);
        let mut seen = Vec::with_capacity(self.emitted.len());
        let mut n = 0;
        while n < self.emitted.len() {
            let came = pieces.next().await?;
            let count = came.iter().filter(|byte| **byte == MARK).count();
            let now = micros(self.began.elapsed());
            for emitted in self.emitted.iter().skip(n).take(count) {
                let then = u32::try_from(emitted.load(Ordering::Relaxed)).unwrap_or(now);
                seen.push(now.saturating_sub(then));
            }
            n += count;
            self.got.fetch_add(count as u64, Ordering::Relaxed);
        }
        Ok(seen.split_off(FIRST.min(seen.len())))
    }
}
