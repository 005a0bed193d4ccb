//! Dependencies point down only: `cli → raincheck → stores → core`, and the core touches no runtime.
//!
//! Invariant: asked of cargo's own resolution, so a dependency of a dependency counts as well.

use std::path::Path;

use anyhow::Result;

use super::Finding;
use crate::tree;

/// A crate and what may not be anywhere below it.
const RULES: [(&str, &[&str]); 3] = [
    (
        "raincheck-core",
        &[
            "tokio",
            "axum",
            "hyper",
            "http",
            "rusqlite",
            "tokio-postgres",
            "sqlx",
        ],
    ),
    (
        "raincheck-sqlite",
        &["raincheck", "raincheck-postgres", "axum", "hyper", "http"],
    ),
    (
        "raincheck-postgres",
        &["raincheck", "raincheck-sqlite", "axum", "hyper", "http"],
    ),
];

pub(super) fn check(top: &Path) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for (package, banned) in RULES {
        let manifest = top.join("crates").join(package).join("Cargo.toml");
        if !manifest.is_file() {
            continue;
        }
        let below = tree::output(tree::cargo().current_dir(top).args([
            "tree",
            "--quiet",
            "--edges",
            "normal",
            "--prefix",
            "none",
            "--format",
            "{p}",
            "--package",
            package,
        ]))?;
        for name in banned.iter().filter(|banned| depends(&below, banned)) {
            let advice = format!("{package} may not depend on {name}, not even through another crate");
            findings.push(Finding::new(format!("crates/{package}/Cargo.toml"), advice));
        }
    }
    Ok(findings)
}

/// Whether cargo's list (one `name version` a line) has this name.
fn depends(list: &str, name: &str) -> bool {
    list.lines()
        .filter_map(|line| line.split_whitespace().next())
        .any(|has| has == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_name_counts() {
        let list = "raincheck-core v0.1.0\nhttp-body v1.1.0\nuuid v1.0.0\n";
        assert!(depends(list, "http-body"));
        assert!(!depends(list, "http"));
    }
}
