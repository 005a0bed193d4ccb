//! Every test that the pages of the contract and of the guarantees name is there.

use super::{Finding, Text};

/// The pages, and what they are.
const PAGES: [(&str, &str); 2] = [
    (
        "docs/conformance.md",
        "what the API says, and the test that holds it",
    ),
    (
        "docs/guarantees.md",
        "what is promised, and the tests that hold it",
    ),
];

/// What the pages call the folders in which the tests are.
const FOLDERS: [(&str, &str); 7] = [
    ("it/", "crates/raincheck/tests/it/"),
    ("cli/", "crates/raincheck-cli/tests/it/"),
    ("sim/", "crates/raincheck/tests/sim/"),
    ("sqlite/", "crates/raincheck-sqlite/tests/it/"),
    ("sqlite-src/", "crates/raincheck-sqlite/src/"),
    ("promises/", "crates/raincheck-core/src/conformance/promises/"),
    ("src/", "crates/raincheck/src/"),
];

pub(super) fn check(texts: &[Text]) -> Vec<Finding> {
    let pages = PAGES.iter();
    pages
        .flat_map(
            |(page, what)| match texts.iter().find(|text| text.path == *page) {
                Some(found) => of_page(page, &found.text, texts),
                None => vec![Finding::new(*page, format!("is missing: {what}"))],
            },
        )
        .collect()
}

fn of_page(page: &str, text: &str, texts: &[Text]) -> Vec<Finding> {
    let lines = text.lines().zip(1..);
    lines
        .flat_map(|(line, n)| named(line).map(move |test| (n, test)))
        .filter(|(_, test)| !is_there(test, texts))
        .map(|(n, test)| {
            Finding::new(
                format!("{page}:{n}"),
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
            text(PAGES[0].0, page),
            text(PAGES[1].0, "`it/jobs::one`, `it/jobs::other`"),
            text(
                "crates/raincheck/tests/it/jobs.rs",
                "async fn one() {}\nfn threes() {}\n",
            ),
            text("crates/raincheck/tests/it/pull/claim.rs", "fn two<T>() {}\n"),
            text("crates/raincheck/tests/it/folder/part.rs", "fn four() {}\n"),
        ];
        let found = check(&texts);
        let places: Vec<&str> = found.iter().map(|finding| &*finding.place).collect();
        assert_eq!(places, ["docs/conformance.md:2", "docs/guarantees.md:1"]);
    }
}
