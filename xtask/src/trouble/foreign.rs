//! The real server over files that are no store of ours, or not to be written: it refuses, says what to do, and leaves them as they
//! are.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use super::damage::{Came, Ledger, copy, tried};
use super::disk::{DISK_MIB, Disk};

/// What is made of a store's database, by name.
type Case = (&'static str, fn(&Path) -> Result<()>);

/// Stores that are no store of ours, or not to be written.
pub(super) async fn prove(binary: &str, dir: &Path, good: &Path) -> Result<usize> {
    let cases: [Case; 8] = [
        ("a text", |db| {
            Ok(std::fs::write(db, "this is no database\n".repeat(500))?)
        }),
        ("a picture", |db| {
            Ok(std::fs::write(
                db,
                [b"\x89PNG\r\n\x1a\n".as_slice(), &[7; 9000]].concat(),
            )?)
        }),
        ("a head and nothing else", |db| {
            Ok(std::fs::write(db, b"SQLite format 3\0")?)
        }),
        ("a directory", |db| {
            std::fs::remove_file(db)?;
            Ok(std::fs::create_dir(db)?)
        }),
        ("another program's", |db| patched(db, 68, 0x1234_5678)),
        ("a newer version's", |db| patched(db, 60, 9_999)),
        ("a version below nothing", |db| patched(db, 60, u32::MAX)),
        ("another encoding", |db| patched(db, 56, 7)),
    ];
    for (n, (what, change)) in cases.iter().enumerate() {
        let store = dir.join(format!("foreign-{n}"));
        copy(good, &store)?;
        let db = store.join("raincheck.db");
        change(&db)?;
        let before = std::fs::read(&db).unwrap_or_default();
        let came = tried(binary, &store, &Ledger::new())
            .await
            .with_context(|| format!("{what} as the database"))?;
        ensure!(came == Came::Refused, "{what} was taken for a store");
        ensure!(
            std::fs::read(&db).unwrap_or_default() == before,
            "{what} was changed"
        );
    }
    let disk = Disk::mount(&dir.join("read-only"), DISK_MIB)?;
    let store = disk.0.join("store");
    copy(good, &store)?;
    disk.read_only()?;
    let came = tried(binary, &store, &Ledger::new())
        .await
        .context("a disk that cannot be written")?;
    ensure!(came == Came::Refused, "a disk that cannot be written was taken");
    let file = dir.join("a-file");
    std::fs::write(&file, "x")?;
    let came = tried(binary, &file, &Ledger::new())
        .await
        .context("a file as the store's directory")?;
    ensure!(came == Came::Refused, "a file was taken for a directory");
    Ok(cases.len() + 2)
}

/// Writes one number of the database's head.
fn patched(db: &Path, at: usize, value: u32) -> Result<()> {
    let mut bytes = std::fs::read(db)?;
    bytes[at..at + 4].copy_from_slice(&value.to_be_bytes());
    Ok(std::fs::write(db, bytes)?)
}
