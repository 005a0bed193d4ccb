//! `ingest`: more readings than the queue takes, in uploads that break off, each counted once; and how it began.

use std::collections::BTreeSet;
use std::process::Command;

use crate::rig::{Program, file, original, python};

#[test]
fn every_reading_is_counted_once_through_a_full_queue_and_a_cut_upload() {
    if !python() {
        return;
    }
    let ingest = Program::start("ingest", &[("WORKERS", "2"), ("DEPTH", "50"), ("WORK_MS", "4")]);
    let device = Command::new(file("ingest/device.py"))
        .args(["boiler", "400"])
        .env("URL", &ingest.url)
        .env("CUT", "1")
        .output()
        .unwrap();
    let said = String::from_utf8(device.stdout).unwrap();
    assert!(device.status.success(), "{said}");
    assert!(said.contains("again: cut on purpose"), "{said}");
    let told: serde_json::Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    assert!(
        told["came_again"].as_u64().unwrap() > 0,
        "the queue was never full: {said}"
    );
    let overview = ingest.until("/devices", |answer| answer.json()["boiler"]["readings"] == 400);
    assert_eq!(overview.json()["boiler"]["highest"], 90.0);
    // Each has its result, under its own number.
    let (mut cursor, mut numbers) = (String::new(), BTreeSet::new());
    loop {
        let page = ingest
            .get(&format!("/v1/jobs?queue=readings&limit=200{cursor}"))
            .json();
        for job in page["jobs"].as_array().unwrap() {
            let result = ingest.get(&format!("{}?wait=60", job["urls"]["result"].as_str().unwrap()));
            let judged = result.json();
            assert!(numbers.insert(judged["n"].as_u64().unwrap()), "{judged} twice");
        }
        match page["cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(numbers, (0..400).collect());
}

#[test]
fn a_reading_that_cannot_be_harms_no_other() {
    let ingest = Program::start("ingest", &[]);
    let lines = "{\"input\":{\"device\":\"d\",\"n\":1,\"celsius\":20}}\nnonsense\n{\"input\":{\"device\":\"d\",\"n\":2,\"celsius\":900}}\n";
    let ask = ingest.ask("POST", "/v1/batches?queue=readings");
    let batch = ask
        .header("content-type", "application/x-ndjson")
        .body(lines)
        .send();
    assert_eq!(
        (batch.status, &batch.json()["rejected"]),
        (202, &1.into()),
        "{batch:?}"
    );
    let path = batch.json()["urls"]["self"].as_str().unwrap().to_owned();
    let done = ingest.get(&format!("{path}?wait=60")).json();
    assert_eq!(
        (&done["counts"]["succeeded"], &done["counts"]["failed"]),
        (&1.into(), &1.into())
    );
    let results = ingest.get(&format!("{path}/results"));
    assert!(results.text().contains("bad-reading"), "{results:?}");
}

/// A device's readings, as it uploads them.
fn readings(count: u32) -> String {
    let line = |n| format!("{{\"input\":{{\"device\":\"boiler\",\"n\":{n},\"celsius\":20}}}}\n");
    (0..count).map(line).collect()
}

#[test]
fn the_original_counts_a_cut_upload_twice() {
    let Some(original) = original("ingest", &[]) else {
        return;
    };
    let device = Command::new(file("ingest/device.py"))
        .args(["boiler", "400"])
        .env("URL", &original.url)
        .env("CUT", "1")
        .output()
        .unwrap();
    assert!(device.status.success(), "{device:?}");
    // The same device as above. 101 lines of its first upload came before it broke off, and then all of them again.
    original.until("/devices", |answer| {
        answer.json()["boiler"]["readings"] == 400 + 101
    });
}

#[test]
fn what_is_too_much_is_dropped_by_the_original_and_refused_line_by_line_here() {
    let held = [("WORKERS", "1"), ("DEPTH", "50"), ("WORK_MS", "600000")];
    let ingest = Program::start("ingest", &held);
    let ask = ingest.ask("POST", "/v1/batches?queue=readings");
    let ask = ask.header("content-type", "application/x-ndjson");
    let batch = ask.body(&readings(400)).send().json();
    let rejected = batch["rejected"].as_u64().unwrap();
    assert!(
        batch["total"] == 400 && (300..=350).contains(&rejected),
        "{batch}"
    );
    assert_eq!(batch["rejected_lines"][0]["code"], "queue-full");
    let Some(original) = original("ingest", &[("WORKERS", "0"), ("DEPTH", "50")]) else {
        return;
    };
    let batch = original
        .ask("POST", "/v1/batches?queue=readings")
        .body(&readings(400))
        .send();
    assert_eq!(
        (batch.status, &batch.json()["rejected"]),
        (202, &0.into()),
        "all is well"
    );
    assert_eq!(original.get("/waiting").json()["waiting"], 50, "350 are nowhere");
}
