//! The project's files keep their form; `cargo xtask tidy` says the same, with the smells.

#[test]
fn the_tree_is_tidy() {
    let top = xtask::tree::top().expect("cargo says where the project is");
    let findings = xtask::tidy::check(&top).expect("the project's files can be read");
    let errors: Vec<String> = findings
        .iter()
        .filter(|finding| !finding.smell)
        .map(ToString::to_string)
        .collect();
    assert!(errors.is_empty(), "\n{}", errors.join("\n"));
}
