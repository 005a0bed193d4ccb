//! The nearest name to one that does not exist.
//!
//! Invariant: a suggestion is near enough to be a slip; otherwise there is none.

use std::fmt;

/// The name among these that was probably meant.
#[must_use]
pub fn nearest<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let near = (word.chars().count() / 3).max(1);
    let distances = names.into_iter().map(|name| (distance(word, name), name));
    distances
        .filter(|(distance, _)| *distance <= near)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// `; did you mean X?`, where some name is near.
pub fn hint<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, names).map_or_else(String::new, |name| format!("; did you mean {name}?"))
}

/// What serde says of a value of ours that it cannot read, for those who wrote it: numbers by their common name, without the place in a
/// document that nobody sees, and with the name that was probably meant.
pub fn told(error: impl fmt::Display) -> String {
    let why = error.to_string();
    let why = why.replace("expected u32", "expected a whole number");
    let why = why.replace("expected u64", "expected a whole number");
    let why = match why.split_once("expected struct ") {
        Some((before, _)) => format!("{before}expected an object"),
        None => why,
    };
    let why = why.split(" at line ").next().unwrap_or_default();
    let mut quoted = why.split('`').skip(1).step_by(2);
    let meant = match quoted.next() {
        Some(unknown) if why.starts_with("unknown ") => hint(unknown, quoted),
        _ => String::new(),
    };
    format!("{why}{meant}")
}

/// How many letters have to be added, taken, changed or swapped with their neighbour.
fn distance(one: &str, other: &str) -> usize {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    let mut rows = vec![(0..=other.len()).collect::<Vec<_>>()];
    for (i, a) in one.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in other.iter().enumerate() {
            let changed = rows[i][j] + usize::from(a != b);
            let mut least = changed.min(rows[i][j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *a == other[j - 1] && one[i - 1] == *b {
                least = least.min(rows[i - 1][j - 1] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[one.len()][other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_serde_does_not_know_is_told_with_what_was_meant() {
        let expected = "expected one of `concurrency`, `rate`, `burst`";
        for (why, meant) in [
            (
                format!("unknown field `concurency`, {expected}"),
                "; did you mean concurrency?",
            ),
            (format!("unknown field `x`, {expected} at line 1 column 9"), ""),
            (
                "unknown field `rat`, expected `rate`".to_owned(),
                "; did you mean rate?",
            ),
        ] {
            let plain = why.split(" at line").next().unwrap();
            assert_eq!(told(&why), format!("{plain}{meant}"));
        }
        assert_eq!(
            told("invalid type: string \"x`y`\", expected u32"),
            "invalid type: string \"x`y`\", expected a whole number"
        );
        assert_eq!(
            told("invalid type: string \"x\", expected struct Callback at line 1 column 3"),
            "invalid type: string \"x\", expected an object"
        );
    }

    #[test]
    fn a_slip_is_told_from_another_word() {
        let names = ["listen", "log", "log_format", "store", "concurrency"];
        for (word, meant) in [
            ("lisen", Some("listen")),
            ("sotre", Some("store")),
            ("concurency", Some("concurrency")),
            ("log-format", Some("log_format")),
            ("lig", Some("log")),
            ("timeout", None),
            ("x", None),
        ] {
            assert_eq!(nearest(word, names), meant, "{word}");
        }
        assert_eq!(hint("lisen", names), "; did you mean listen?");
        assert_eq!(hint("zzz", names), "");
    }
}
