//! The examples that are plain Python beside the server, run as they are, and what they began as. Where Python is missing they are skipped, and say so.

#![expect(
    clippy::print_stderr,
    reason = "whoever runs the tests shall know what was skipped"
)]

use std::process::Command;

use crate::rig::{Ran, raincheck};

/// Runs `examples/NAME/run` with this binary, and gives back what it printed.
fn run(name: &str) -> Option<String> {
    said_by(&format!("{name}/run"), &[], &[])
}

/// What a program below `examples/` prints.
fn said_by(path: &str, words: &[&str], env: &[(&str, &str)]) -> Option<String> {
    if Command::new("python3").arg("--version").output().is_err() {
        eprintln!("SKIPPED: python3 is missing");
        return None;
    }
    let mut command = Command::new(format!("{}/../../examples/{path}", env!("CARGO_MANIFEST_DIR")));
    command.args(words).envs(env.iter().copied());
    command.env("RAINCHECK", raincheck().get_program());
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    Some(Ran::of(&mut command).ok())
}

#[test]
fn services_do_not_wait_for_each_other_and_all_of_them_see_one_trace() {
    let Some(said) = run("services") else { return };
    // Ordered twice, answered twice, though nobody whom it takes is there.
    assert_eq!(said.matches("is answered 202").count(), 2, "{said}");
    assert!(said.contains("in 4 programs"), "{said}");
    // Once they are, it is paid once, and one mail is sent.
    let paid: Vec<_> = said
        .lines()
        .filter(|line| line.starts_with("payments "))
        .collect();
    assert_eq!(paid.len(), 1, "{said}");
    assert_eq!(said.matches("mail about order 7").count(), 1, "{said}");
}

#[test]
fn services_that_wait_for_each_other_lose_an_order_and_are_paid_twice_for_the_next() {
    let Some(said) = said_by("services/original.py", &[], &[]) else {
        return;
    };
    let told = [
        "the customer is answered 502 while the payments are down",
        "the payments are up again: 0 paid",
        "the customer is answered 502 while the mails are down: 1 paid",
        "the customer asks again and is answered 200: 2 paid, 1 mails",
    ];
    assert_eq!(said.lines().collect::<Vec<_>>(), told);
}

/// The orders that wait at the end.
fn waiting(said: &str) -> u64 {
    let line = said.lines().find_map(|line| line.strip_prefix("waiting: "));
    let count = line.and_then(|line| line.split(' ').next()?.parse().ok());
    count.unwrap_or_else(|| panic!("{said}"))
}

#[test]
fn without_throttling_the_greedy_one_is_never_refused_and_everybody_waits_behind_him() {
    let Some(said) = said_by("peak/run", &["original"], &[("SECONDS", "0.5")]) else {
        return;
    };
    let greedy = said.lines().find(|line| line.starts_with("greedy"));
    let greedy = greedy.unwrap_or_else(|| panic!("{said}"));
    let numbers: Vec<_> = greedy.split_whitespace().collect();
    assert_eq!((numbers[1], numbers[3]), (numbers[2], "0"), "{said}");
    assert!(said.contains("Retry-After: none"), "{said}");
    // The bound of the one below; behind so many a polite customer's next order waits.
    assert!(waiting(&said) > 200, "{said}");
}

#[test]
fn at_peak_load_the_polite_are_served_and_the_greedy_are_told_when_to_come_back() {
    let Some(said) = run("peak") else { return };
    let row = |name: &str| -> Vec<f64> {
        let line = said.lines().find(|line| line.starts_with(name));
        let line = line.unwrap_or_else(|| panic!("no {name}: {said}"));
        let numbers = line.split_whitespace().skip(1).take(3);
        numbers.map(|number| number.parse().unwrap()).collect()
    };
    for name in ["polite-1", "polite-2"] {
        let [asked, accepted, refused] = row(name)[..] else {
            panic!("{said}")
        };
        assert!(asked > 10.0 && accepted > 10.0, "{said}");
        assert!(refused < asked / 4.0, "{name} kept to what it was told: {said}");
    }
    let [asked, accepted, refused] = row("greedy")[..] else {
        panic!("{said}")
    };
    assert!(refused > asked / 2.0 && accepted > 10.0, "{said}");
    for told in [
        "RateLimit-Policy: \"key\";q=10;w=1",
        "RateLimit: \"key\";r=0;t=1",
        "Retry-After: 1",
    ] {
        assert!(said.contains(told), "{told} in {said}");
    }
    assert!(waiting(&said) <= 200, "{said}");
    assert!(said.contains("redeemed: 12 of the last orders"), "{said}");
}
