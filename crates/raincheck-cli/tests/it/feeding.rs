//! `raincheck fetch` with a list that is long, and with authorities of one's own.

use std::path::Path;
use std::sync::Arc;

use raincheck::clock::SystemClock;
use raincheck::core::batch::BatchStatus;
use raincheck::core::name::Namespace;
use serde_json::Value;

use crate::door::{TLS, certify};
use crate::fetch::{Pages, ended, fetch, folder, sorted, start, written};
use crate::rig::{Ran, Server, signal, until};

/// So far a list is handed over ahead of those that have ended: a thousand, and one group.
const AHEAD: u64 = 1_000 + 128;

/// The batch of a run that nobody is at, as its store has it.
fn batch(work: &Path) -> BatchStatus {
    let state = std::fs::read_dir(work).expect("it is there").filter_map(|entry| {
        let text = std::fs::read_to_string(entry.expect("it can be read").path()).ok()?;
        serde_json::from_str::<Value>(&text).ok()
    });
    let ids: Vec<String> = state
        .filter_map(|state| state["batch"].as_str().map(str::to_owned))
        .collect();
    let id = ids.first().expect("the run has a batch").parse().expect("an id");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let clock = Arc::new(SystemClock::new());
        let store = raincheck::store::open(work.join("store"), clock).expect("it opens");
        let found = store.batch(&Namespace::default(), id).await.expect("it answers");
        // The next to open it comes at once.
        store.close().await.expect("it was open");
        found.expect("the batch is there")
    })
}

#[test]
fn of_a_long_list_no_more_is_handed_over_than_keeps_the_hosts_busy() {
    let (pages, folder) = (Pages::start(), folder());
    std::fs::write(folder.path().join("urls"), pages.urls("/slow/", 3_000)).expect("the folder takes a file");
    let run = ["urls", "-o", "out", "-c", "6", "--per-host", "6"];
    let child = start(&mut fetch(folder.path(), &run));
    pages.open(200);
    let out = folder.path().join("out");
    until("200 lines", || {
        std::fs::read_to_string(&out).is_ok_and(|text| text.lines().count() == 200)
    });
    until("6 more requests", || pages.asked().len() == 206);
    signal(child.id(), "KILL");
    assert_eq!(ended(child).0, None);
    let status = batch(&folder.path().join("out.raincheck"));
    let (handed, sealed) = (status.batch.lines, status.batch.sealed());
    assert!(
        (206..=200 + AHEAD).contains(&handed) && !sealed,
        "{handed} were handed over"
    );
    pages.open(10_000);
    let resumed = Ran::of(&mut fetch(
        folder.path(),
        &["--resume", "-o", "out", "-c", "50", "--per-host", "50"],
    ));
    assert_eq!(resumed.code, 0, "{resumed:?}");
    assert_eq!(
        sorted(&written(folder.path(), "out"), "index"),
        (0..3_000).collect::<Vec<_>>()
    );
    let twice = pages.asked().values().filter(|count| **count > 1).count();
    assert!(twice <= 6, "{twice} were asked for again, beyond those under way");
}

#[test]
fn what_begins_ahead_waits_for_its_turn_also_after_a_kill() {
    let (pages, folder) = (Pages::start(), folder());
    std::fs::write(folder.path().join("urls"), pages.urls("/slow/", 100)).expect("the folder takes a file");
    let run = ["urls", "-o", "out", "-c", "16", "--per-host", "16"];
    let child = start(&mut fetch(folder.path(), &run));
    pages.open(20);
    let out = folder.path().join("out");
    until("20 lines", || {
        std::fs::read_to_string(&out).is_ok_and(|text| text.lines().count() == 20)
    });
    until("16 more requests", || pages.asked().len() >= 36);
    // Were more let through, they would have asked before those that came to an end since.
    pages.open(1);
    until("another line", || {
        std::fs::read_to_string(&out).is_ok_and(|text| text.lines().count() == 21)
    });
    until("another request", || pages.asked().len() >= 37);
    assert_eq!(pages.asked().len(), 37, "sixteen at once");
    signal(child.id(), "KILL");
    assert_eq!(ended(child).0, None);
    let running = batch(&folder.path().join("out.raincheck")).counts.running;
    assert_eq!(running, 0, "opened again, the store has ended what ran");
    pages.open(10_000);
    let resumed = Ran::of(&mut fetch(folder.path(), &["--resume", "-o", "out"]));
    assert_eq!(resumed.code, 0, "{resumed:?}");
    assert!(resumed.stderr.contains("100 URLs: 100 answered"), "{resumed:?}");
    let results = written(folder.path(), "out");
    assert_eq!(sorted(&results, "index"), (0..100).collect::<Vec<_>>());
    assert_eq!(sorted(&results, "seq"), (1..=100).collect::<Vec<_>>());
    let twice = pages.asked().values().filter(|count| **count > 1).count();
    assert!(
        twice <= 16,
        "{twice} were asked for again, beyond those under way"
    );
}

#[test]
fn what_waits_for_its_turn_loses_none_of_its_time() {
    let (pages, folder) = (Pages::start(), folder());
    std::fs::write(folder.path().join("urls"), pages.urls("/slow/", 40)).expect("the folder takes a file");
    // Nothing is answered, so each has its turn when the time of others is over.
    let run = [
        "urls",
        "-o",
        "out",
        "-c",
        "16",
        "--per-host",
        "16",
        "--max-attempts",
        "2",
    ];
    let ran = Ran::of(&mut fetch(
        folder.path(),
        &[
            &run[..],
            &["--timeout", "500ms", "--backoff", "constant;base=1ms"],
        ]
        .concat(),
    ));
    assert_eq!(ran.code, 3, "{ran:?}");
    let asked = pages.asked();
    assert_eq!(asked.len(), 40, "each has its turn: {ran:?}");
    assert!(asked.values().all(|times| *times == 2), "{asked:?}");
    let results = written(folder.path(), "out");
    assert!(
        results.iter().all(|one| one["error"]["code"] == "timed-out"),
        "{results:?}"
    );
}

#[test]
fn pages_of_an_authority_of_ones_own_are_fetched_where_it_is_named() {
    let service = folder();
    certify(service.path());
    let service = Server::start_in(service, &TLS);
    let cert = service.folder().join("cert.pem");
    let cert = cert.to_str().expect("the path is text");
    let folder = folder();
    let url = format!("{}/healthz\n", service.url.replace("127.0.0.1", "localhost"));
    std::fs::write(folder.path().join("urls"), url).expect("the folder takes a file");
    let run = ["urls", "-o", "out", "--max-attempts", "1", "--restart"];
    for (named, code) in [(&[][..], 3), (&["--ca-file", cert][..], 0)] {
        let ran = Ran::of(&mut fetch(folder.path(), &[&run, named].concat()));
        assert_eq!(ran.code, code, "{ran:?}");
    }
    let by_variable = Ran::of(fetch(folder.path(), &run).env("RAINCHECK_CA_FILE", cert));
    assert_eq!(by_variable.code, 0, "{by_variable:?}");
    service.stop();
}
