//! How many connections are open: in all, and from one address.
//!
//! Invariant: a connection is counted from its acceptance to the drop of its [`Admission`], exactly once.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::{Resource, getrlimit};

use super::ServerOptions;

/// Open files kept for everything that is no client's connection: the store, pushes, children, logs.
const RESERVE: u64 = 256;

/// The connections that are open.
#[derive(Debug)]
pub(super) struct Caps {
    max: u32,
    per_address_max: u32,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    total: u32,
    /// Loopback addresses are not counted.
    by_address: HashMap<IpAddr, u32>,
}

/// A place among the open connections; given back when dropped.
#[derive(Debug)]
pub(super) struct Admission {
    caps: Arc<Caps>,
    address: Option<IpAddr>,
}

/// As many connections as the process may open files, less the reserve, or half of them where they are few.
fn from_open_files(options: &ServerOptions) -> u32 {
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::from(u32::MAX));
    connections(files, options)
}

fn connections(files: u64, options: &ServerOptions) -> u32 {
    let left = files.saturating_sub(RESERVE).max(files / 2);
    // What passes to another server has a connection there too.
    let each = if options.interim { 2 } else { 1 };
    u32::try_from(left / each).unwrap_or(u32::MAX)
}

impl Caps {
    pub(super) fn new(options: &ServerOptions) -> Self {
        Self {
            max: options
                .connections_max
                .unwrap_or_else(|| from_open_files(options)),
            per_address_max: options.per_address_max,
            open: Mutex::default(),
        }
    }

    /// Counts a connection in; `None` where there are too many.
    pub(super) fn admit(self: &Arc<Self>, address: IpAddr) -> Option<Admission> {
        let address = Some(address.to_canonical()).filter(|address| !address.is_loopback());
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.total >= self.max {
            return None;
        }
        if let Some(address) = address {
            let count = open.by_address.entry(address).or_default();
            if *count >= self.per_address_max {
                return None;
            }
            *count += 1;
        }
        open.total += 1;
        Some(Admission {
            caps: self.clone(),
            address,
        })
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let mut open = self.caps.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.total -= 1;
        if let Some(address) = self.address
            && let Some(count) = open.by_address.get_mut(&address)
        {
            *count -= 1;
            if *count == 0 {
                open.by_address.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caps(max: u32, per_address_max: u32) -> Arc<Caps> {
        Arc::new(Caps::new(&ServerOptions {
            connections_max: Some(max),
            per_address_max,
            ..ServerOptions::default()
        }))
    }

    #[test]
    fn one_address_cannot_take_all_places() {
        let caps = caps(10, 2);
        let (there, here) = ("10.0.0.1".parse().unwrap(), "127.0.0.1".parse().unwrap());
        let first = caps.admit(there).unwrap();
        let second = caps.admit("::ffff:10.0.0.1".parse().unwrap()).unwrap();
        assert!(caps.admit(there).is_none());
        assert!(caps.admit("10.0.0.2".parse().unwrap()).is_some());
        let local: Vec<_> = (0..5).map(|_| caps.admit(here).unwrap()).collect();
        drop(first);
        assert!(caps.admit(there).is_some());
        drop((second, local));
        let open = caps.open.lock().unwrap();
        assert_eq!(
            (open.total, open.by_address.len()),
            (0, 0),
            "nothing is left behind"
        );
    }

    #[test]
    fn a_connection_whose_requests_pass_on_takes_two_files() {
        for (files, interim, wanted) in [
            (1_024, false, 768),
            (1_024, true, 384),
            (256, false, 128),
            (256, true, 64),
            (u64::MAX, true, u32::MAX),
        ] {
            let options = ServerOptions {
                interim,
                ..ServerOptions::default()
            };
            assert_eq!(connections(files, &options), wanted, "{files}");
        }
    }

    #[test]
    fn there_is_an_end_to_all_places() {
        let caps = caps(2, 9);
        let here = "::1".parse().unwrap();
        let places = (caps.admit(here).unwrap(), caps.admit(here).unwrap());
        assert!(caps.admit(here).is_none());
        drop(places);
        assert!(caps.admit(here).is_some());
    }
}
