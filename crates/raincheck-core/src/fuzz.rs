//! (Feature `fuzzing`) Targets for fuzzing, and a run of them that needs no fuzzer: what was found is replayed, and mutated
//! for a moment.
//!
//! Invariants: a target is total: whatever the bytes, it returns. A run is told by its seed; an input that broke a target
//! stays in `fuzz/broke/TARGET.txt` for good, so that it never comes back.

use std::path::Path;
use std::time::{Duration, Instant};

/// A target: its name, what it does with bytes (a panic is a finding), and inputs that its parser takes, to start from.
pub type Target = (&'static str, fn(&[u8]), &'static [&'static str]);

/// Inputs are cut at this length: what our parsers tell apart is shorter.
pub const INPUT_BYTES_MAX: usize = 4_096;

/// Words that parsers look for.
pub const WORDS: [&str; 28] = [
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
#[derive(Debug)]
struct Rng(u64);

impl Rng {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ z >> 31) >> 1).unwrap_or_default() % end.max(1)
    }

    fn byte(&mut self) -> u8 {
        u8::try_from(self.below(256)).unwrap_or_default()
    }
}

fn mutated(rng: &mut Rng, inputs: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = inputs[rng.below(inputs.len())].clone();
    for _ in 0..=rng.below(5) {
        let at = rng.below(bytes.len() + 1);
        match rng.below(8) {
            0 if at < bytes.len() => bytes[at] ^= 1 << rng.below(8),
            1 if at < bytes.len() => bytes[at] = rng.byte(),
            2 => bytes.truncate(at),
            3 if at < bytes.len() => {
                bytes.remove(at);
            }
            4 => {
                let other = &inputs[rng.below(inputs.len())];
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
        bytes.truncate(INPUT_BYTES_MAX);
    }
    bytes
}

/// What a target begins with: its own inputs, and those that are kept in this folder of the project, `broke` (they broke a
/// target once) and `corpus` (they reach its code). A file has one input a line, as [`u8::escape_ascii`] writes it.
///
/// # Panics
/// On a line that cannot be.
#[must_use]
pub fn beginnings((name, _, starts): &Target, kept: &Path) -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = starts.iter().map(|start| start.as_bytes().to_vec()).collect();
    for folder in ["broke", "corpus"] {
        let file = kept.join(folder).join(name).with_extension("txt");
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        let read = |line: &str| unescaped(line).unwrap_or_else(|| panic!("{}: {line}", file.display()));
        all.extend(text.lines().map(read));
    }
    all
}

/// The bytes of a line that [`u8::escape_ascii`] wrote.
fn unescaped(line: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(line.len());
    let mut rest = line.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'\\' => match rest.next()? {
                b'x' => {
                    let (high, low) = (char::from(rest.next()?), char::from(rest.next()?));
                    u8::try_from(high.to_digit(16)? * 16 + low.to_digit(16)?).ok()?
                }
                b't' => b'\t',
                b'r' => b'\r',
                b'n' => b'\n',
                other @ (b'\\' | b'\'' | b'"') => other,
                _ => return None,
            },
            byte => byte,
        });
    }
    Some(bytes)
}

/// Replays what is kept for these targets, and then mutates it for a moment: each a tenth of a second, or with
/// `RAINCHECK_SLOW_TESTS` ten seconds. `package` is the folder of the crate that has them.
///
/// # Panics
/// When an input breaks a target; with the input as it is kept.
#[expect(
    clippy::disallowed_methods,
    reason = "the length of a run, and a seed; no decision is made by them"
)]
pub fn run(package: &str, targets: &[Target]) {
    let kept = Path::new(package).join("../../fuzz");
    let told = std::env::var("RAINCHECK_FUZZ_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let drawn = || std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0);
    let seed: u64 = told.unwrap_or_else(drawn);
    let each = match std::env::var_os("RAINCHECK_SLOW_TESTS") {
        Some(_) => Duration::from_secs(10),
        None => Duration::from_millis(100),
    };
    for (place, whole) in targets.iter().enumerate() {
        let (name, target, _) = whole;
        let holds = |input: &[u8]| {
            assert!(
                std::panic::catch_unwind(|| target(input)).is_ok(),
                "{name}, seed {seed}: keep this line in fuzz/broke/{name}.txt: {}",
                input.escape_ascii()
            );
        };
        let all = beginnings(whole, &kept);
        all.iter().for_each(|input| holds(input));
        let mut rng = Rng(seed ^ place as u64);
        let began = Instant::now();
        while began.elapsed() < each {
            holds(&mutated(&mut rng, &all));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_is_read_as_it_was_written() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(unescaped(&all.escape_ascii().to_string()), Some(all));
        for bad in ["\\", "\\x", "\\x1", "\\xzz", "\\q"] {
            assert_eq!(unescaped(bad), None, "{bad}");
        }
    }

    #[test]
    #[should_panic(expected = "broken")]
    fn a_target_that_breaks_is_told() {
        const BROKEN: &[Target] = &[(
            "broken",
            |bytes| assert!(!bytes.contains(&b'"'), "broken"),
            &["x"],
        )];
        run(env!("CARGO_MANIFEST_DIR"), BROKEN);
    }
}
