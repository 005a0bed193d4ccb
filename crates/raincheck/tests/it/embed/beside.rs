//! Beside an application that uses `sqlx`: SQLite is linked once in a program, so both have to agree on one.

use std::path::Path;
use std::process::Command;

/// The application, outside the workspace.
const APP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/beside-sqlx");

#[test]
fn the_range_that_lets_sqlx_choose_the_sqlite_is_not_narrowed() {
    // Alone it is the newest; sqlx 0.9 takes what rusqlite 0.39 links. The application below resolves because of this.
    let workspace = concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml");
    let manifest = std::fs::read_to_string(workspace).unwrap();
    assert!(manifest.contains(r#"rusqlite = { version = ">=0.39, <0.42""#));
}

#[test]
fn an_application_with_sqlx_writes_beside_its_jobs() {
    if std::env::var_os("RAINCHECK_SLOW_TESTS").is_none() {
        eprintln!("skipped: building sqlx takes minutes; cargo xtask soak beside runs it");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let ran = Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--manifest-path"])
        .arg(format!("{APP}/Cargo.toml"))
        .arg("--")
        .arg(folder.path())
        // What the workspace leaves out of SQLite, sqlx needs; an application of its own has none of that.
        .env("LIBSQLITE3_FLAGS", "-DHAVE_FDATASYNC=1")
        .env(
            "CARGO_TARGET_DIR",
            Path::new(env!("CARGO_TARGET_TMPDIR")).join("beside"),
        )
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success() && ran.stdout == b"both wrote\n", "{said}");
}
