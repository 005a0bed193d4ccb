//! The change log keeps its form (Keep a Changelog 1.1.0), and the pages that a newcomer needs are there.

use super::{Finding, Text};

/// Pages without which nobody finds their way.
const PAGES: [&str; 6] = [
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "docs/adr/README.md",
    "openapi.json",
];

const KINDS: [&str; 6] = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"];

pub(super) fn check(texts: &[Text]) -> Vec<Finding> {
    let mut findings: Vec<Finding> = PAGES
        .into_iter()
        .filter(|page| !texts.iter().any(|text| text.path == *page))
        .map(|page| Finding::new(page, "is missing"))
        .collect();
    if let Some(log) = texts.iter().find(|text| text.path == "CHANGELOG.md") {
        findings.extend(form(&log.text));
    }
    findings
}

fn form(text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut say = |line: usize, advice: &str| {
        findings.push(Finding::new(format!("CHANGELOG.md:{}", line + 1), advice));
    };
    if !text.starts_with("# Changelog\n") {
        say(0, "begin with `# Changelog`");
    }
    let mut versions = 0;
    for (n, line) in text.lines().enumerate() {
        if let Some(version) = line.strip_prefix("## ") {
            versions += 1;
            if versions == 1 && version != "[Unreleased]" {
                say(n, "the first section is `## [Unreleased]`");
            }
            if version != "[Unreleased]" && !is_release(version) {
                say(n, "a release is `## [1.2.3] - 2026-11-21`");
            }
        }
        if line
            .strip_prefix("### ")
            .is_some_and(|kind| !KINDS.contains(&kind))
        {
            say(
                n,
                "a kind is one of Added, Changed, Deprecated, Removed, Fixed, Security",
            );
        }
    }
    if versions == 0 {
        say(0, "has no `## [Unreleased]`");
    }
    findings
}

fn is_release(version: &str) -> bool {
    let Some((number, date)) = version.strip_prefix('[').and_then(|rest| rest.split_once("] - ")) else {
        return false;
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_date = date.len() == 10 && date.splitn(3, '-').all(digits);
    is_date && number.split('.').count() == 3 && number.split('.').all(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_in_its_form_passes() {
        let log =
            "# Changelog\n\n## [Unreleased]\n\n### Added\n- x\n\n## [0.1.0] - 2026-11-21\n### Fixed\n- y\n";
        assert_eq!(form(log), []);
    }

    #[test]
    fn a_log_out_of_form_is_found() {
        assert_eq!(form("# Changelog\n## 0.1\n### New\n").len(), 3);
        assert_eq!(form("Changes\n").len(), 2);
    }
}
