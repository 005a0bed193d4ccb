//! A reverse proxy that turns chosen calls into jobs.
//!
//! ```text
//!            ┌─ below /_raincheck ─► the API
//! Front ─────┤                    ┌─ Pass, Late ─► Upstreams ─► the service behind it
//!            └─ Rule ─► Calling ──┤                  ▲
//!                                 └─ Job ─► Desk ─► store ⇝ workers/upstream
//! ```
//!
//! Invariants: what no rule turns into a job is passed on as it came, byte for byte, both ways, without being kept; nothing but a
//! rule says where a call goes; nothing that comes from outside reaches the path of the API at the upstream, but below a prefix that the
//! upstream does not see.

pub(crate) mod again;
pub(crate) mod body;
pub(crate) mod choose;
pub(crate) mod flight;
mod front;
pub mod glob;
pub(crate) mod header;
pub(crate) mod keys;
pub(crate) mod parcel;
mod pass;
pub mod rule;
pub(crate) mod safe;
mod stuck;
mod tunnel;
pub(crate) mod turn;
mod upstream;
mod way;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use raincheck_core::name::QueueName;
use raincheck_core::queue::{QueueSpec, Worker};

pub use self::front::{Front, reserved};
pub use self::rule::{Mode, Prefix, Retries, Rule, Upstream, read_deadline};

use self::flight::Flights;
use self::header::Via;
use self::keys::Turns;
use self::tunnel::Tunnels;
use self::upstream::Upstreams;
use crate::outward::trust::Trust;
use crate::random::Randomness;
use crate::workers::function::Functions;

/// Below which path `raincheck proxy` has its own API.
pub const MOUNT: &str = "/_raincheck";

/// So many jobs of a rule's queue are sent to its upstream at once, unless its queue says otherwise.
const CONCURRENCY: u32 = 64;
/// So many calls that became jobs are awaited at once: they are under way in any case.
pub(crate) const CONCURRENCY_LATE: u32 = 10_000;

/// How a proxy behaves.
#[derive(Clone, Debug)]
pub struct ProxyOptions {
    /// Which paths go where.
    pub rules: Vec<Rule>,
    /// How long an upstream may take to begin an answer that passes through, from the end of its request; and how long a
    /// client may stall in the middle of a body.
    pub head_time: Duration,
    /// By whose word an upstream over TLS is the one that it says it is.
    pub trust: Trust,
}

/// A proxy without its door. Cloning gives another handle.
#[derive(Clone)]
pub struct Proxy(Arc<Inner>);

struct Inner {
    upstreams: Arc<Upstreams>,
    flights: Flights,
    turns: Turns,
    via: Via,
    tunnels: Tunnels,
    head_time: Duration,
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy")
            .field("rules", &self.0.upstreams.rules())
            .finish_non_exhaustive()
    }
}

impl Proxy {
    /// A proxy by these rules.
    #[must_use]
    pub fn new(options: ProxyOptions) -> Self {
        let upstreams = Upstreams::new(options.rules, options.head_time, &options.trust);
        Self(Arc::new(Inner {
            upstreams: Arc::new(upstreams),
            flights: Flights::default(),
            turns: Turns::default(),
            via: Via::new(Randomness::default().bits()),
            tunnels: Tunnels::new(),
            head_time: options.head_time,
        }))
    }

    /// What works the queues of its jobs, for [`NodeOptions`](crate::NodeOptions).
    #[must_use]
    pub fn functions(&self) -> Functions {
        let work = |name| {
            let origin: Arc<dyn flight::Origin> = self.0.upstreams.clone();
            (
                name,
                crate::workers::upstream::function(origin, self.0.flights.clone()),
            )
        };
        Functions(self.queues().into_keys().map(work).collect())
    }

    /// The queues that its jobs wait in, with their settings unless something else is said of them.
    #[must_use]
    pub fn queues(&self) -> BTreeMap<QueueName, QueueSpec> {
        queues(self.0.upstreams.rules().iter().map(AsRef::as_ref))
    }

    /// Closes the connections that have changed their protocol, and drops the calls that no attempt has taken.
    pub fn close(&self) {
        self.0.tunnels.close();
        self.0.flights.clear();
    }
}

/// The queues that the jobs of these rules wait in, with their settings unless something else is said of them.
pub fn queues<'a>(rules: impl Iterator<Item = &'a Rule>) -> BTreeMap<QueueName, QueueSpec> {
    let mut queues = BTreeMap::new();
    for rule in rules {
        for (name, concurrency) in [
            (rule.queue.clone(), CONCURRENCY),
            (rule.late_queue(), CONCURRENCY_LATE),
        ] {
            queues.insert(name, spec(concurrency));
        }
    }
    queues
}

fn spec(concurrency: u32) -> QueueSpec {
    QueueSpec {
        worker: Some(Worker::Function),
        concurrency: Some(concurrency),
        ..QueueSpec::default()
    }
}
