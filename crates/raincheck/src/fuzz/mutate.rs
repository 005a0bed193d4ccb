//! The targets under mutations of what is kept, without help of a fuzzer: some seconds of every test run.
//!
//! Invariant: a run is told by its seed; an input that broke a target is printed, to be kept in `fuzz/corpus/TARGET`.

use std::panic::catch_unwind;
use std::path::Path;
use std::time::{Duration, Instant};

use super::TARGETS;

/// Words that parsers look for.
const WORDS: [&str; 28] = [
    "\"",
    "\\",
    "\\u0000",
    "\\ud800",
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    ";",
    "=",
    "\r\n",
    "\n",
    "\0",
    "\u{e9}",
    "\u{202e}",
    "%00",
    "%",
    "+",
    "-1",
    "0",
    "99999999999999999999",
    "1e400",
    "null",
    "true",
    "  ",
    "/",
];

/// SplitMix64.
struct Rng(u64);

impl Rng {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ z >> 31) >> 1).unwrap() % end.max(1)
    }
}

fn mutated(rng: &mut Rng, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = seeds[rng.below(seeds.len())].clone();
    for _ in 0..=rng.below(5) {
        let at = rng.below(bytes.len() + 1);
        match rng.below(8) {
            0 if at < bytes.len() => bytes[at] ^= 1 << rng.below(8),
            1 if at < bytes.len() => bytes[at] = u8::try_from(rng.below(256)).unwrap(),
            2 => bytes.truncate(at),
            3 if at < bytes.len() => {
                bytes.remove(at);
            }
            4 => {
                let other = &seeds[rng.below(seeds.len())];
                let from = rng.below(other.len() + 1);
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
            5 => {
                let end = (at + rng.below(12)).min(bytes.len());
                let part = bytes[at..end].repeat(1 + rng.below(20));
                bytes.splice(at..at, part);
            }
            _ => {
                let word = WORDS[rng.below(WORDS.len())].as_bytes().iter().copied();
                bytes.splice(at..at, word);
            }
        }
        bytes.truncate(4_096);
    }
    bytes
}

/// What is kept for a target: inputs that once broke it, and those that a fuzzer found worth keeping.
fn kept(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/corpus")
        .join(name);
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| std::fs::read(entry.path()).unwrap())
        .collect()
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "the length of a run; nothing is decided by it"
)]
fn no_input_breaks_a_parser() {
    let told = std::env::var("RAINCHECK_FUZZ_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let seed: u64 = told.unwrap_or_else(rand::random);
    let each = match std::env::var_os("RAINCHECK_SLOW_TESTS") {
        Some(_) => Duration::from_secs(20),
        None => Duration::from_millis(400),
    };
    for (place, (name, target, seeds)) in TARGETS.iter().enumerate() {
        let mut rng = Rng(seed ^ place as u64);
        let mut all: Vec<Vec<u8>> = seeds.iter().map(|seed| seed.as_bytes().to_vec()).collect();
        all.extend(kept(name));
        for input in &all {
            target(input);
        }
        let began = Instant::now();
        while began.elapsed() < each {
            let input = mutated(&mut rng, &all);
            assert!(
                catch_unwind(|| target(&input)).is_ok(),
                "{name}, seed {seed}: keep this in fuzz/corpus/{name}: {:?}",
                String::from_utf8_lossy(&input)
            );
        }
    }
}
