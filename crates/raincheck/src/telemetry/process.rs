//! The numbers that every exporter gives of its process (Prometheus, writing client libraries: process metrics).
//!
//! Invariant: what the system does not tell is left out, not shown as nought.

use std::fs;

use rustix::process::{Resource, getrlimit};

/// What the system says of this process.
#[derive(Debug, Default)]
pub(super) struct Process {
    pub(super) cpu_seconds: Option<f64>,
    pub(super) resident_bytes: Option<u64>,
    pub(super) files: Option<u64>,
    pub(super) files_max: Option<u64>,
    pub(super) started: Option<f64>,
}

impl Process {
    /// As it is now: proc(5), `/proc/self/stat`.
    pub(super) fn read() -> Self {
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        // The second field is the program's name in brackets, in which there may be anything.
        let fields: Vec<&str> = stat
            .rsplit_once(')')
            .map_or_else(Vec::new, |(_, rest)| rest.split_whitespace().collect());
        // The first of these is field 3.
        let number = |field: usize| fields.get(field - 3).and_then(|text| text.parse::<f64>().ok());
        let ticks = f64::from(u32::try_from(rustix::param::clock_ticks_per_second()).unwrap_or(100));
        let cpu_seconds = number(14)
            .zip(number(15))
            .map(|(user, system)| (user + system) / ticks);
        let page = rustix::param::page_size() as u64;
        let resident = fields.get(24 - 3).and_then(|pages| pages.parse::<u64>().ok());
        Self {
            cpu_seconds,
            resident_bytes: resident.map(|pages| pages * page),
            files: fs::read_dir("/proc/self/fd")
                .ok()
                .map(|files| files.count() as u64),
            files_max: getrlimit(Resource::Nofile).current,
            started: boot_time()
                .zip(number(22))
                .map(|(boot, ticked)| boot + ticked / ticks),
        }
    }
}

/// When the machine began, in seconds since 1970.
fn boot_time() -> Option<f64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let line = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_on_linux_tells_all_of_them() {
        let process = Process::read();
        assert!(process.cpu_seconds.unwrap() >= 0.0);
        assert!(process.resident_bytes.unwrap() > 1 << 20);
        assert!(process.files.unwrap() > 2 && process.files.unwrap() <= process.files_max.unwrap());
        assert!(process.started.unwrap() > 1e9);
    }
}
