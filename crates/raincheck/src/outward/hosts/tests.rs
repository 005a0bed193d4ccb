//! What the table of hosts promises.

use std::sync::atomic::{AtomicU64, Ordering};

use raincheck_core::host::HostHeldBy;

use super::*;

const WELL: HostAnswer = HostAnswer::Answered { retry_after: None };

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(1_000_000_000_000).plus(Duration::from_millis(millis))
}

fn hosts(concurrency: u32) -> Hosts {
    Hosts::new(concurrency, Randomness::seeded(1))
}

fn host(name: &str) -> HostName {
    HostName::of(&format!("http://{name}/").parse().unwrap())
}

fn queue(hosts: &Hosts, names: &[&str]) -> Destinations {
    hosts.destinations(names.iter().map(|name| host(name)).collect())
}

/// Which URLs there is room at, or why there is none.
fn urls(places: &Result<Vec<(usize, Permit)>, HostHeld>) -> Result<Vec<usize>, HostHeldBy> {
    match places {
        Ok(places) => Ok(places.iter().map(|(url, _)| *url).collect()),
        Err(held) => Err(held.by),
    }
}

fn bell() -> Arc<Notify> {
    Arc::default()
}

/// Whether it was rung since it was last asked.
async fn rung(bell: &Notify) -> bool {
    timeout(Duration::ZERO, bell.notified()).await.is_ok()
}

fn open(hosts: &Hosts, name: &str) {
    let queue = queue(hosts, &[name]);
    for _ in 0..5 {
        let (_, permit) = queue.reserve(1, None, &bell(), at(0)).unwrap().remove(0);
        permit.ended(HostAnswer::BROKEN, Duration::ZERO, at(0));
    }
}

#[test]
fn a_host_is_told_by_name_and_port() {
    for (url, name) in [
        ("http://Example.org", "example.org:80"),
        ("http://example.org./a?b", "example.org:80"),
        ("https://example.org/", "example.org:443"),
        ("https://example.org:/", "example.org:443"),
        ("http://user@Example.org.:080/", "example.org:80"),
        ("http://[::1]/jobs", "[::1]:80"),
        ("http://[::1]:8000/jobs", "[::1]:8000"),
    ] {
        assert_eq!(HostName::of(&url.parse().unwrap()).as_str(), name);
    }
}

#[tokio::test]
async fn two_queues_of_one_host_share_its_room_and_hear_of_it() {
    let (hosts, first, second) = (hosts(3), bell(), bell());
    let (one, two) = (queue(&hosts, &["a"]), queue(&hosts, &["a"]));
    let mut held = one.reserve(9, None, &first, at(0)).unwrap();
    assert_eq!(held.len(), 3);
    let refused = two.reserve(1, None, &second, at(0));
    assert_eq!(urls(&refused), Err(HostHeldBy::Concurrency));
    assert!(!rung(&second).await);
    drop(held.pop());
    assert!(rung(&second).await && !rung(&first).await);
    assert_eq!(two.reserve(9, None, &second, at(0)).unwrap().len(), 1);
    assert!(
        hosts.held(&[host("a")], at(0)).is_none(),
        "that one was given back at once"
    );
}

#[test]
fn who_writes_a_larger_concurrency_has_it_for_as_long_as_it_pushes_there() {
    let hosts = hosts(2);
    let (one, two) = (queue(&hosts, &["a"]), queue(&hosts, &["a"]));
    let room = |queue: &Destinations, written| {
        queue
            .reserve(9, written, &bell(), at(0))
            .map(|places| places.len())
    };
    assert_eq!(room(&one, None), Ok(2));
    assert_eq!(room(&one, Some(5)), Ok(5));
    assert_eq!(room(&two, Some(1)), Ok(5), "the host has room for so many");
    assert_eq!(room(&one, Some(1)), Ok(2));
    assert_eq!(room(&one, Some(5)), Ok(5));
    drop(one);
    assert_eq!(room(&two, None), Ok(2));
}

#[test]
fn urls_are_taken_in_turn_and_one_without_room_is_passed_over() {
    let hosts = hosts(4);
    let queue = queue(&hosts, &["a", "b", "c"]);
    let places = queue.reserve(4, None, &bell(), at(0));
    assert_eq!(urls(&places), Ok(vec![0, 1, 2, 0]));
    drop(places);
    queue.begun(0);
    open(&hosts, "b");
    let places = queue.reserve(9, None, &bell(), at(0));
    assert_eq!(urls(&places), Ok(vec![2, 0, 2, 0, 2, 0, 2, 0]));
    assert_eq!(hosts.open(&[host("a"), host("b"), host("c")]), 1);
    assert_eq!(
        urls(&queue.reserve(1, None, &bell(), at(0))),
        Err(HostHeldBy::Concurrency)
    );
    drop(places);
    let places = queue.reserve(9, None, &bell(), at(1000));
    let to_b = urls(&places).unwrap().into_iter().filter(|url| *url == 1);
    assert_eq!(to_b.count(), 1, "the probe");
}

#[tokio::test]
async fn a_probe_that_is_not_sent_leaves_its_turn_and_one_that_ends_is_heard_of() {
    let (hosts, line) = (hosts(4), bell());
    open(&hosts, "a");
    let queue = queue(&hosts, &["a"]);
    let early = queue.reserve(1, None, &line, at(0));
    assert!(
        matches!(early, Err(HostHeld { by: HostHeldBy::Circuit, until: Some(until) }) if until <= at(1000))
    );
    let unsent = queue.reserve(4, None, &line, at(1000)).unwrap();
    assert_eq!(unsent.len(), 1);
    let refused = queue.reserve(1, None, &line, at(1000));
    assert!(matches!(
        refused,
        Err(HostHeld {
            by: HostHeldBy::Circuit,
            until: None
        })
    ));
    rung(&line).await;
    drop(queue.reserve(1, None, &line, at(1000)));
    drop(unsent);
    assert!(rung(&line).await);
    let (_, probe) = queue.reserve(4, None, &line, at(1000)).unwrap().remove(0);
    drop(queue.reserve(1, None, &line, at(1000)));
    probe.ended(WELL, Duration::ZERO, at(1000));
    assert!(rung(&line).await);
    assert_eq!(queue.reserve(9, None, &line, at(1000)).unwrap().len(), 4);
}

#[tokio::test]
async fn webhooks_and_pushes_do_not_take_each_others_room_but_share_what_is_known() {
    let hosts = hosts(2);
    let queue = queue(&hosts, &["a"]);
    let pushes = queue.reserve(9, None, &bell(), at(0)).unwrap();
    let webhooks = hosts.take_webhooks(&[host("a"), host("a"), host("a")], at(0));
    let taken: Vec<_> = webhooks.iter().map(Result::is_ok).collect();
    assert_eq!((pushes.len(), taken), (2, vec![true, true, false]));
    drop((pushes, webhooks));
    let asked = HostAnswer::of(429, Duration::from_secs(2));
    let webhook = hosts.take_webhooks(&[host("a")], at(0)).remove(0).unwrap();
    webhook.ended(asked, Duration::ZERO, at(0));
    assert_eq!(
        urls(&queue.reserve(1, None, &bell(), at(0))),
        Err(HostHeldBy::Pause)
    );
    assert!(hosts.take_webhooks(&[host("a")], at(1999)).remove(0).is_err());
    assert!(hosts.take_webhooks(&[host("a")], at(2000)).remove(0).is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_webhook_waits_a_moment_for_room_and_not_again_at_a_host_that_is_slow() {
    let hosts = hosts(1);
    let name = host("a");
    let wait = || hosts.wait_webhook(&name, Duration::from_millis(250), || at(0));
    let held = wait().await.unwrap();
    let (waited, ()) = tokio::join!(wait(), async { held.ended(WELL, Duration::ZERO, at(0)) });
    let quick: Vec<_> = hosts.take_webhooks(&vec![name.clone(); 40], at(0));
    let room = quick.iter().filter(|taken| taken.is_ok()).count();
    assert_eq!(room, 31, "one that answers quickly gets more at once");
    assert!(wait().await.is_err(), "nobody made room");
    let asked = tokio::time::Instant::now();
    assert!(wait().await.is_err() && hosts.slow(Some(&name)));
    assert_eq!(asked.elapsed(), Duration::ZERO, "it did not wait again");
    drop((waited, quick));
    let again = wait().await.unwrap();
    again.ended(WELL, Duration::ZERO, at(0));
    assert!(!hosts.slow(Some(&name)));
}

#[test]
fn hosts_without_number_are_forgotten_but_for_those_that_are_in_use_or_known_for_something() {
    let hosts = hosts(8);
    let queue = queue(&hosts, &["pushed"]);
    open(&hosts, "dead");
    let busy = hosts.take_webhooks(&[host("busy")], at(0));
    let now = AtomicU64::new(0);
    for n in 0..20_000 {
        let name = host(&format!("h{n}"));
        drop(hosts.take_webhooks(&[name], at(now.fetch_add(1, Ordering::Relaxed))));
    }
    assert!(hosts.table().hosts.len() <= 2 * SWEEP_MIN);
    for name in ["pushed", "dead", "busy"] {
        assert!(hosts.table().hosts.contains_key(&host(name)), "{name}");
    }
    drop((queue, busy));
    for n in 0..20_000 {
        drop(hosts.take_webhooks(&[host(&format!("h{n}"))], at(600_000 + n)));
    }
    for name in ["pushed", "dead", "busy"] {
        assert!(!hosts.table().hosts.contains_key(&host(name)), "{name}");
    }
}
