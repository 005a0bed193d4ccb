//! How runs of fetching go on that were interrupted while nobody read their results, and what is said of those that are over.

use std::process::{Child, Stdio};

use crate::fetch::{Pages, fetch};
use crate::rig::{Ran, signal, until};

/// Ends by signals a run, and gives back how.
fn interrupted(child: &mut Child) -> (Option<i32>, String) {
    signal(child.id(), "INT");
    until("the end", || {
        signal(child.id(), "INT");
        child.try_wait().expect("it is ours").is_some()
    });
    let status = child.wait().expect("it is ours");
    let said = std::io::read_to_string(child.stderr.take().expect("it is piped")).expect("it can be read");
    (status.code(), said)
}

#[test]
fn a_run_whose_results_nobody_reads_ends_at_a_second_signal_and_goes_on_later() {
    let (pages, folder) = (Pages::start(), tempfile::tempdir().expect("a folder"));
    std::fs::write(folder.path().join("urls"), pages.urls("/plain", 800)).expect("the folder takes a file");
    let mut child = fetch(folder.path(), &["urls", "--per-host", "20"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    // More than a pipe holds.
    let unread = child.stdout.take();
    until("all", || pages.asked().len() == 800);
    let (code, said) = interrupted(&mut child);
    assert_eq!(code, Some(130), "{said}");
    assert!(
        said.contains("could not be written. Go on: raincheck fetch --resume"),
        "{said}"
    );
    drop(unread);
    let resumed = Ran::of(&mut fetch(folder.path(), &["--resume"]));
    assert_eq!(resumed.code, 0, "{resumed:?}");
}

#[test]
fn a_run_that_is_over_tells_again_that_some_have_no_answer() {
    let (pages, folder) = (Pages::start(), tempfile::tempdir().expect("a folder"));
    for (list, code) in [
        (pages.urls("/plain", 2), 0),
        (pages.urls("/plain", 2) + "no url\n", 3),
    ] {
        std::fs::write(folder.path().join("urls"), list).expect("the folder takes a file");
        let run = Ran::of(&mut fetch(folder.path(), &["urls", "-o", "out"]));
        let again = Ran::of(&mut fetch(folder.path(), &["--resume", "-o", "out"]));
        assert_eq!((run.code, again.code), (code, code), "{run:?} {again:?}");
        assert!(again.stderr.contains("is fetched"), "{again:?}");
    }
}
