//! Every error code has its page, and every page its code.

use super::{Finding, Text};

/// The one enum of codes.
const CODES: &str = "crates/raincheck/src/api/code.rs";
const PAGES: &str = "docs/errors/";

pub(super) fn check(texts: &[Text]) -> Vec<Finding> {
    let Some(source) = texts.iter().find(|text| text.path == CODES) else {
        return vec![Finding::new(CODES, "is missing: the enum of error codes")];
    };
    let codes = codes(&source.text);
    let pages: Vec<&str> = texts
        .iter()
        .filter_map(|text| text.path.strip_prefix(PAGES)?.strip_suffix(".md"))
        .filter(|page| *page != "README")
        .collect();
    compare(&codes, &pages)
}

fn compare(codes: &[String], pages: &[&str]) -> Vec<Finding> {
    let mut findings = Vec::new();
    if codes.is_empty() {
        findings.push(Finding::new(
            CODES,
            "no code found: keep one `Name = \"code\", STATUS` a line",
        ));
    }
    for code in codes.iter().filter(|code| !pages.contains(&code.as_str())) {
        findings.push(Finding::new(
            format!("{PAGES}{code}.md"),
            format!("write the page of `{code}`"),
        ));
    }
    for page in pages
        .iter()
        .filter(|page| !codes.iter().any(|code| code == *page))
    {
        findings.push(Finding::new(
            format!("{PAGES}{page}.md"),
            "no such code: remove the page",
        ));
    }
    if let Some(pair) = codes.windows(2).find(|pair| pair[0] > pair[1]) {
        let advice = format!(
            "keep the codes in alphabetical order: {} after {}",
            pair[0], pair[1]
        );
        findings.push(Finding::new(CODES, advice));
    }
    findings
}

/// The codes: `Name = "code", STATUS, …` at the beginning of a line.
fn codes(source: &str) -> Vec<String> {
    let code = |line: &str| {
        let (name, rest) = line.trim().split_once(" = \"")?;
        let (code, rest) = rest.split_once("\", ")?;
        let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let is_code = code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
        let has_status = rest.starts_with(|c: char| c.is_ascii_uppercase());
        (is_name && is_code && has_status).then(|| code.to_owned())
    };
    source.lines().filter_map(code).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_without_a_page_and_a_page_without_a_code_are_found() {
        let found = codes("    /// Bad.\n    BadRequest = \"bad-request\", BAD_REQUEST, \"Bad\";\n");
        assert_eq!(found, ["bad-request"]);
        assert_eq!(compare(&found, &["bad-request"]), []);
        assert_eq!(compare(&found, &["other"]).len(), 2);
    }
}
