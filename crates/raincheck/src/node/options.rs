//! How a node behaves.
//!
//! Invariant: what is not said has a value here, and nowhere else.

use std::sync::Arc;
use std::time::Duration;

use raincheck_core::audit::ActsKept;
use raincheck_core::host::HOST_CONCURRENCY;
use raincheck_core::name::WorkerName;

use crate::links::Mount;
use crate::outward::target::Targets;
use crate::outward::trust::Trust;
use crate::random::Randomness;
use crate::room::Shares;
use crate::telemetry::traces::TraceOptions;
use crate::workers::function::Functions;
use crate::workers::process::Programs;

/// How a node behaves.
#[derive(Clone, Debug)]
pub struct NodeOptions {
    /// How long a drain may take: attempts that run longer are given back.
    pub drain: Duration,
    /// How many processes a queue runs at once unless it says otherwise.
    pub cores: u32,
    /// Whether a submit to an unknown queue creates it.
    pub dev: bool,
    /// The server's own URL as handlers reach it, for the URLs in push requests.
    pub public_url: Option<String>,
    /// Where the API stands on that server: URLs in answers begin with it, and follow the public URL with it elsewhere.
    pub mount: Mount,
    /// Where URLs that come over the API may lead, beside public addresses.
    pub targets: Arc<Targets>,
    /// By whose word those whom this server asks over TLS are the ones that they say they are.
    pub trust: Trust,
    /// So many pushes go to one host at once, unless a queue's own concurrency is larger; and webhooks to one that is slow.
    pub host_concurrency: u32,
    /// The server's own URL on this machine, for the programs that it keeps alive; without one there are none.
    pub own_url: Option<String>,
    /// What the programs of queues may take, where they work and as whom.
    pub programs: Programs,
    /// Where traces are sent, if anywhere. Needs the feature `otlp`: without it there are no such options.
    pub traces: Option<TraceOptions>,
    /// How long what administrators did is kept.
    pub acts_kept: ActsKept,
    /// So many bytes all results together may take that attempts have made and the store has not yet, each of up to 64 KiB left aside: attempts
    /// that answer with more wait for their turn.
    pub results_bytes_max: u64,
    /// How this node calls itself in the attempts it runs.
    pub worker: WorkerName,
    /// Where its randomness comes from.
    #[doc(hidden)]
    pub random: Randomness,
    /// Where the bodies of what is fetched go, each into a file of its own, instead of with their results.
    #[doc(hidden)]
    pub bodies: Option<std::path::PathBuf>,
    /// So many fetches ask at once, whatever their queues let begin: those beyond that wait where they are.
    #[doc(hidden)]
    pub fetches: Option<u32>,
    /// What stands in for the workers of queues.
    #[doc(hidden)]
    pub functions: Functions,
}

impl Default for NodeOptions {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            drain: Duration::from_secs(25),
            cores: u32::try_from(cores).unwrap_or(u32::MAX),
            dev: false,
            public_url: None,
            mount: Mount::default(),
            targets: Arc::default(),
            trust: Trust::default(),
            host_concurrency: HOST_CONCURRENCY,
            own_url: None,
            programs: Programs::default(),
            traces: None,
            acts_kept: ActsKept::default(),
            results_bytes_max: Shares::default().results,
            worker: WorkerName::new("node").expect("a plain word is a worker's name"),
            random: Randomness::default(),
            bodies: None,
            fetches: None,
            functions: Functions::default(),
        }
    }
}

impl NodeOptions {
    /// What the API's URLs begin with for those who are elsewhere.
    pub(super) fn outside(&self) -> Option<String> {
        self.public_url.as_deref().map(|url| self.mount.outside(url))
    }
}
