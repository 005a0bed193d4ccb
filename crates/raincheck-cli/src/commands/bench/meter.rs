//! What a measurement cost: CPU of the server, of the load and of everything else, and resident memory.
//!
//! Invariant: what this machine does not tell is absent, never zero. All of it is the kernel's own account under
//! `/proc`, whose unit is 10 ms: a figure per job needs a run of a second or more.

use std::time::Duration;

use tokio::time::Instant;

/// The kernel's ticks per second in `/proc` (USER_HZ), the same on every architecture that Raincheck runs on.
const TICKS: f64 = 100.0;
/// How long a server that settles down is watched.
const STILL_MAX: Duration = Duration::from_secs(20);
/// How long its CPU time stands still before it counts as settled.
const STILL: Duration = Duration::from_millis(300);

/// Reads what a server uses.
#[derive(Clone, Copy, Debug)]
pub(super) struct Meter {
    /// The server's process, where it is known and on this machine.
    pub(super) server: Option<u32>,
}

/// A reading.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    at: Instant,
    server: Option<f64>,
    own: Option<f64>,
    busy: Option<f64>,
}

/// What was used between two readings.
#[derive(Clone, Copy, Debug)]
pub(super) struct Used {
    /// How long it took.
    pub(super) seconds: f64,
    /// CPU seconds of the server.
    pub(super) server: Option<f64>,
    /// CPU seconds of this process: clients and workers.
    pub(super) own: Option<f64>,
    /// CPUs that everything else on the machine kept busy: more than a quarter disturbs the figures.
    pub(super) other_cpus: Option<f64>,
}

impl Meter {
    /// Reads the meter.
    pub(super) fn read(self) -> Reading {
        Reading {
            at: Instant::now(),
            server: self.server.and_then(|pid| cpu(&pid.to_string())),
            own: cpu("self"),
            busy: busy(),
        }
    }

    /// What was used since.
    pub(super) fn since(self, then: Reading) -> Used {
        let now = self.read();
        let seconds = (now.at - then.at).as_secs_f64();
        let spent = |now: Option<f64>, then: Option<f64>| Some((now? - then?).max(0.0));
        let (server, own) = (spent(now.server, then.server), spent(now.own, then.own));
        let others = spent(now.busy, then.busy)
            .zip(server)
            .zip(own)
            .map(|((all, server), own)| ((all - server - own) / seconds).max(0.0));
        Used {
            seconds,
            server,
            own,
            other_cpus: others,
        }
    }

    /// Resident memory of the server, in KiB.
    pub(super) fn resident_kib(self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.server?)).ok()?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
        line.split_whitespace().nth(1)?.parse().ok()
    }

    /// Waits until the server has nothing more to do, as far as its CPU time tells; a while where that is not known.
    pub(super) async fn still(self) {
        tokio::time::sleep(STILL).await;
        let until = Instant::now() + STILL_MAX;
        let mut last = self.read().server;
        while last.is_some() && Instant::now() < until {
            tokio::time::sleep(STILL).await;
            let now = self.read().server;
            if now == last {
                return;
            }
            last = now;
        }
    }
}

/// CPU seconds of a process, all its threads: user and system time, the 14th and 15th field of its `stat`.
fn cpu(process: &str) -> Option<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The second field is the name in brackets, which may hold anything.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    Some((ticks()? + ticks()?) / TICKS)
}

/// CPU seconds that the whole machine was busy: user, nice, system, interrupts, soft interrupts, stolen.
fn busy() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/stat").ok()?;
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let fields: Vec<f64> = line.split_whitespace().flat_map(str::parse).collect();
    let ticks: Option<f64> = [0, 1, 2, 5, 6, 7].iter().map(|i| fields.get(*i)).sum();
    Some(ticks? / TICKS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_this_process_uses_is_seen() {
        let meter = Meter {
            server: Some(std::process::id()),
        };
        let then = meter.read();
        let mut sum = 0_u64;
        while meter.since(then).server.is_some_and(|used| used < 0.02) {
            sum = (0..100_000).fold(sum, u64::wrapping_add);
        }
        let used = meter.since(then);
        assert!(
            used.server.is_some() && used.own.is_some() && used.seconds > 0.0,
            "{used:?} {sum}"
        );
        assert!(meter.resident_kib().is_some_and(|kib| kib > 100));
    }

    #[test]
    fn a_server_that_is_elsewhere_has_no_figures() {
        let meter = Meter { server: None };
        assert!(meter.resident_kib().is_none());
        assert!(meter.since(meter.read()).server.is_none());
    }
}
