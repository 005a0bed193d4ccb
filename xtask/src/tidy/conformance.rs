//! Every test that the page of the contract names is there.

use super::{Finding, Text};

const PAGE: &str = "docs/conformance.md";

/// What the page calls the folders in which the tests are.
const FOLDERS: [(&str, &str); 5] = [
    ("it/", "crates/raincheck/tests/it/"),
    ("cli/", "crates/raincheck-cli/tests/it/"),
    ("sqlite/", "crates/raincheck-sqlite/tests/it/"),
    ("promises/", "crates/raincheck-core/src/conformance/promises/"),
    ("src/", "crates/raincheck/src/"),
];

pub(super) fn check(texts: &[Text]) -> Vec<Finding> {
    let Some(page) = texts.iter().find(|text| text.path == PAGE) else {
        return vec![Finding::new(
            PAGE,
            "is missing: what the API says, and the test that holds it",
        )];
    };
    let lines = page.text.lines().zip(1..);
    lines
        .flat_map(|(line, n)| named(line).map(move |test| (n, test)))
        .filter(|(_, test)| !is_there(test, texts))
        .map(|(n, test)| {
            Finding::new(
                format!("{PAGE}:{n}"),
                format!("there is no test {test}: name the one that holds it now"),
            )
        })
        .collect()
}

/// The tests in a line: `it/jobs::a_version_is_a_tag` between back-quotes.
fn named(line: &str) -> impl Iterator<Item = &str> {
    let quoted = line.split('`').skip(1).step_by(2);
    quoted.filter(|text| text.contains("::") && FOLDERS.iter().any(|(folder, _)| text.starts_with(folder)))
}

fn is_there(test: &str, texts: &[Text]) -> bool {
    let Some((file, name)) = test.split_once("::") else {
        return false;
    };
    let path = FOLDERS
        .iter()
        .find_map(|(short, long)| Some(format!("{long}{}", file.strip_prefix(short)?)));
    let path = path.unwrap_or_default();
    // A file that became a folder keeps the name that the page uses.
    let files = texts.iter().filter(|text| {
        let rest = text.path.strip_prefix(&path);
        rest.is_some_and(|rest| rest == ".rs" || (rest.starts_with('/') && text.is("rs")))
    });
    let defined = [format!("fn {name}("), format!("fn {name}<")];
    files
        .into_iter()
        .any(|text| defined.iter().any(|defined| text.text.contains(defined)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_that_is_not_there_is_found() {
        let text = |path: &str, text: &str| Text {
            path: path.to_owned(),
            text: text.to_owned(),
        };
        let page = "| a | `it/jobs::one`, `it/pull/claim::two` |\n| `no::test` | `it/jobs::three` |\n| `it/folder::four` |\n";
        let texts = [
            text(PAGE, page),
            text(
                "crates/raincheck/tests/it/jobs.rs",
                "async fn one() {}\nfn threes() {}\n",
            ),
            text("crates/raincheck/tests/it/pull/claim.rs", "fn two<T>() {}\n"),
            text("crates/raincheck/tests/it/folder/part.rs", "fn four() {}\n"),
        ];
        let found = check(&texts);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].place, "docs/conformance.md:2");
    }
}
