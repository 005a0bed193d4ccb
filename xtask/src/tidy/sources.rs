//! The form of Rust files, and what no file may name.

use super::Finding;

/// Longer files are a smell.
const LINES_SMELL: usize = 300;
/// Longer files are refused: a file holds one idea.
const LINES_MAX: usize = 450;
/// The same for tests, which are lists by nature.
const TEST_LINES_MAX: usize = 600;

/// A Rust file opens with its purpose and is not too long.
pub(super) fn check(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let opens = text
        .lines()
        .find(|line| !line.trim().is_empty())
        .unwrap_or_default();
    if !opens.starts_with("//!") {
        findings.push(Finding::new(
            path,
            "open it with `//!`: its purpose, then the invariant it owns",
        ));
    }
    let lines = text.lines().count();
    let tests = path.contains("/tests") || path.contains("/conformance/");
    let most = if tests { TEST_LINES_MAX } else { LINES_MAX };
    if lines > LINES_SMELL {
        findings.push(Finding {
            smell: lines <= most,
            ..Finding::new(path, format!("{lines} lines (at most {most}): split it by idea"))
        });
    }
    findings
}

/// No file names a path of the machine that it was written on.
pub(super) fn machine_paths(path: &str, text: &str) -> Vec<Finding> {
    // Put together here, so that this file does not find itself.
    let banned = ["home", "root", "Users", "work", "farm", "tmp"].map(|dir| format!("/{dir}/"));
    let mut findings = Vec::new();
    for (n, line) in text.lines().enumerate() {
        let starts_a_path = |at: usize| {
            let before = line[..at].chars().next_back();
            before.is_none_or(|c| c.is_whitespace() || "\"'`(=<[:".contains(c))
        };
        let named = banned.iter().find(|banned| {
            line.match_indices(banned.as_str())
                .any(|(at, _)| starts_a_path(at))
        });
        if let Some(named) = named {
            let advice = format!("{named}… is a path of one machine: use a relative one");
            findings.push(Finding::new(format!("{path}:{}", n + 1), advice));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_a_purpose_is_found() {
        assert_eq!(check("a.rs", "\n//! Purpose.\nfn a() {}\n"), []);
        assert_eq!(check("a.rs", "fn a() {}\n").len(), 1);
    }

    #[test]
    fn a_long_file_is_a_smell_and_a_longer_one_an_error() {
        let smell = |lines: usize| {
            check("a.rs", &"//! x\n".repeat(lines))
                .first()
                .map(|found| found.smell)
        };
        assert_eq!(
            (smell(300), smell(301), smell(451)),
            (None, Some(true), Some(false))
        );
    }

    #[test]
    fn a_path_of_this_machine_is_found() {
        for line in [["see /ho", "me/ann/notes"], ["in `/t", "mp/x`"]] {
            assert_eq!(machine_paths("a.md", &line.concat()).len(), 1);
        }
        assert_eq!(machine_paths("a.md", "GET /v1/home/x and crates/home/a"), []);
    }
}
