//! Everything that an application may call has an example that compiles.
//!
//! Invariant: an example stands in the item's own documentation; what it does with the item, the tests of documentation show.

use super::{Finding, Text};

/// Where the interface of applications lies.
const EMBED: &str = "crates/raincheck/src/embed/";
/// What has no name outside.
const UNNAMED: &str = "Given";

/// Public items of `embed` whose documentation holds no example.
pub(super) fn check(texts: &[Text]) -> Vec<Finding> {
    let ours = texts
        .iter()
        .filter(|text| text.path.starts_with(EMBED) && text.is("rs"));
    ours.flat_map(missing).collect()
}

fn missing(text: &Text) -> Vec<Finding> {
    let lines: Vec<&str> = text.text.lines().map(str::trim_start).collect();
    let items = lines
        .iter()
        .enumerate()
        .filter_map(|(n, line)| Some((n, name(line)?)));
    items
        .filter(|&(n, name)| name != UNNAMED && !has_example(&lines[..n]))
        .map(|(n, name)| {
            Finding::new(
                format!("{}:{}", text.path, n + 1),
                format!("show {name} in an example of its own"),
            )
        })
        .collect()
}

/// Whether the documentation at the end of these lines, which attributes may follow, holds an example.
fn has_example(above: &[&str]) -> bool {
    let belongs =
        |line: &&&str| line.starts_with("///") || !(line.is_empty() || line.ends_with(['{', '}', ';']));
    let mut own = above.iter().rev().take_while(belongs);
    own.any(|line| line.starts_with("/// ```"))
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
    fn an_item_without_an_example_of_its_own_is_told() {
        let shown = "/// A thing.\n///\n/// ```\n/// Thing;\n/// ```\n#[note(\n    why = \"x\",\n)]\npub struct Thing;\n";
        assert_eq!(found(shown), [""; 0]);
        let told = format!(
            "{shown}\n/// Makes a Thing.\n    pub const fn make() -> Self {{\npub(crate) fn own() {{}}\n"
        );
        assert_eq!(
            found(&told),
            ["error: crates/raincheck/src/embed/thing.rs:12: show make in an example of its own"]
        );
    }
}
