//! The examples that are plain Python beside the server, run as they are. Where Python is missing they are skipped, and say so.

#![expect(
    clippy::print_stderr,
    reason = "whoever runs the tests shall know what was skipped"
)]

use std::process::Command;

use crate::rig::{Ran, raincheck};

/// Runs `examples/NAME/run` with this binary, and gives back what it printed.
fn run(name: &str) -> Option<String> {
    if Command::new("python3").arg("--version").output().is_err() {
        eprintln!("SKIPPED: python3 is missing");
        return None;
    }
    let mut command = Command::new(format!(
        "{}/../../examples/{name}/run",
        env!("CARGO_MANIFEST_DIR")
    ));
    command.env("RAINCHECK", raincheck().get_program());
    Some(Ran::of(&mut command).ok())
}

#[test]
fn services_do_not_wait_for_each_other_and_all_of_them_see_one_trace() {
    let Some(said) = run("services") else { return };
    assert!(said.contains("is answered 202"), "{said}");
    assert!(said.contains("in 4 programs"), "{said}");
    // While the payments were down the order waited: they were asked more than once, and paid once.
    let paid: Vec<_> = said
        .lines()
        .filter(|line| line.starts_with("payments "))
        .collect();
    assert_eq!(paid.len(), 1, "{said}");
    assert!(said.contains("mail about order 7"), "{said}");
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
    assert!(said.contains("redeemed: 12 of the last orders"), "{said}");
}
