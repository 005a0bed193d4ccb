//! Everything that an application may call stands in an example that compiles.
//!
//! Invariant: it is the name that is looked for, in the examples of all of `embed`; what they do with it, the tests of documentation show.

use std::collections::BTreeSet;

use super::{Finding, Text};

/// Where the interface of applications lies.
const EMBED: &str = "crates/raincheck/src/embed/";
/// What is never written: the compiler asks for it by itself, or it has no name outside.
const IMPLIED: [&str; 4] = ["Given", "Gives", "Takes", "WorkedBy"];

/// Public names of `embed` that are in no example.
pub(super) fn check(texts: &[Text]) -> Vec<Finding> {
    let ours: Vec<_> = texts
        .iter()
        .filter(|text| text.path.starts_with(EMBED) && text.is("rs"))
        .collect();
    let shown: BTreeSet<_> = ours
        .iter()
        .flat_map(|text| words_of_examples(&text.text))
        .collect();
    let missing = |text: &&Text| -> Vec<Finding> {
        let names = text
            .text
            .lines()
            .enumerate()
            .filter_map(|(n, line)| Some((n, name(line)?)));
        names
            .filter(|(_, name)| !shown.contains(name) && !IMPLIED.contains(name))
            .map(|(n, name)| {
                Finding::new(
                    format!("{}:{}", text.path, n + 1),
                    format!("show {name} in an example that compiles"),
                )
            })
            .collect()
    };
    ours.iter().copied().flat_map(|text| missing(&text)).collect()
}

/// What a line makes public.
fn name(line: &str) -> Option<&str> {
    let rest = line.trim_start().strip_prefix("pub ")?;
    let rest = ["async ", "const "]
        .iter()
        .fold(rest, |rest, word| rest.strip_prefix(word).unwrap_or(rest));
    let kinds = ["fn ", "struct ", "enum ", "trait "];
    let rest = kinds.iter().find_map(|kind| rest.strip_prefix(kind))?;
    rest.split(|c: char| !c.is_alphanumeric() && c != '_')
        .next()
        .filter(|name| !name.is_empty())
}

fn words_of_examples(text: &str) -> BTreeSet<&str> {
    let mut inside = false;
    let mut words = BTreeSet::new();
    for line in text.lines().map(str::trim_start) {
        let Some(said) = line.strip_prefix("///").or_else(|| line.strip_prefix("//!")) else {
            inside = false;
            continue;
        };
        if said.trim_start().starts_with("```") {
            inside = !inside;
        } else if inside {
            words.extend(said.split(|c: char| !c.is_alphanumeric() && c != '_'));
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(code: &str) -> Vec<String> {
        let text = Text {
            path: format!("{EMBED}thing.rs"),
            text: code.to_owned(),
        };
        check(&[text]).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_no_example_shows_is_told() {
        let shown =
            "/// ```\n/// Thing::make();\n/// ```\npub struct Thing;\n    pub const fn make() -> Self {\n";
        assert_eq!(found(shown), [""; 0]);
        let only_told = "/// Thing makes.\npub struct Thing;\npub(crate) fn make() {}\n";
        assert_eq!(
            found(only_told),
            ["error: crates/raincheck/src/embed/thing.rs:2: show Thing in an example that compiles"]
        );
    }
}
