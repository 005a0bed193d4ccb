//! The real server over files that are damaged: it refuses and says what to do, or what it serves is what was promised.
//!
//! Invariant: every promise of the store that was damaged is asked for; one that is silently gone, or other than it was,
//! is a failure, and so is a panic.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use serde_json::{Value, json};

use super::ask::Asker;
use super::foreign;
use crate::rng::Rng;
use crate::soak::server::{Server, Start};

/// Jobs of the store that is damaged.
const JOBS: u64 = 120;
/// How soon a server that refuses has left.
const LEAVES_WITHIN: Duration = Duration::from_secs(10);
/// Bytes of a page.
const PAGE: u64 = 4096;

/// What was promised of a job.
#[derive(Clone, Debug)]
pub(super) struct Promise {
    input: Bytes,
    /// Its result, where it is done.
    result: Option<Bytes>,
    /// Whether somebody holds it.
    leased: bool,
}

pub(super) type Ledger = BTreeMap<String, Promise>;

fn start(binary: &str, store: &Path) -> Result<Server> {
    Server::start(&Start {
        words: vec![binary.to_owned()],
        store: store.to_owned(),
        queues: vec!["q".to_owned()],
    })
}

/// Fills the store: inputs and results small and large, some jobs done, some held, some waiting.
async fn fill(asker: &mut Asker, rng: &mut Rng, ledger: &mut Ledger, jobs: u64) -> Result<()> {
    for n in 0..jobs {
        let size = if rng.chance(2, 3) {
            rng.below(200)
        } else {
            rng.below(20_000)
        };
        let input: Bytes = (0..size).map(|_| rng.next().to_le_bytes()[7]).collect();
        let headers = [
            ("Content-Type", "application/octet-stream".to_owned()),
            ("Idempotency-Key", format!("key-{n}-{}", ledger.len())),
            ("Raincheck-Group", format!("group-{}", n % 5)),
            ("Raincheck-Tag", format!("tag-{}", n % 7)),
        ];
        let headers = if rng.chance(1, 2) {
            &headers[..]
        } else {
            &headers[..1]
        };
        let taken = asker
            .with("POST", "/v1/queues/q/jobs", headers, input.clone())
            .await?;
        ensure!(taken.status == 202, "a submit was answered with {}", taken.status);
        let promise = Promise {
            input,
            result: None,
            leased: false,
        };
        ledger.insert(taken.header("raincheck-job").to_owned(), promise);
    }
    let half = usize::try_from(jobs / 2)?;
    let claim = json!({"worker": "w", "max": half.min(100), "lease_for": "1h"}).to_string();
    let claimed = asker
        .expect(200, "POST", "/v1/queues/q/claim", claim)
        .await?
        .json()?;
    for (n, lease) in claimed["leases"].as_array().into_iter().flatten().enumerate() {
        let id = text(&lease["job"]["id"]);
        let promise = ledger.get_mut(&id).context("a claim gave what was promised")?;
        if n % 4 == 0 {
            promise.leased = true;
            continue;
        }
        let size = if rng.chance(1, 2) {
            rng.below(200)
        } else {
            rng.below(9_000)
        };
        let result: Bytes = (0..size).map(|_| rng.next().to_le_bytes()[7]).collect();
        let path = format!("/v1/leases/{}/succeed", text(&lease["lease"]));
        asker.expect(200, "POST", &path, result.clone()).await?;
        promise.result = Some(result);
    }
    Ok(())
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// A store whose log holds half of what it promised, since its server was killed.
async fn make(binary: &str, store: &Path, rng: &mut Rng) -> Result<Ledger> {
    let mut ledger = Ledger::new();
    let mut server = start(binary, store)?;
    let mut asker = Asker::to(server.ready().await?);
    fill(&mut asker, rng, &mut ledger, JOBS / 2).await?;
    server.terminate()?;
    ensure!(
        server.left(Duration::from_secs(40)).await?.success(),
        "a clean stop"
    );
    let mut server = start(binary, store)?;
    let mut asker = Asker::to(server.ready().await?);
    fill(&mut asker, rng, &mut ledger, JOBS / 2).await?;
    server.kill().await?;
    Ok(ledger)
}

/// One damage, in words.
fn damage(rng: &mut Rng, file: &Path) -> Result<String> {
    let mut bytes = std::fs::read(file)?;
    let size = bytes.len() as u64;
    ensure!(size > 0, "there is nothing to damage in {}", file.display());
    let at = rng.below(size);
    let place = usize::try_from(at)?;
    let what = match rng.below(8) {
        0..=2 => {
            let bit = rng.below(8);
            bytes[place] ^= 1 << bit;
            format!("bit {bit} of byte {at} flipped")
        }
        3 => {
            let end = bytes.len().min(place + 1 + usize::try_from(rng.below(64))?);
            for byte in &mut bytes[place..end] {
                *byte = rng.next().to_le_bytes()[7];
            }
            format!("bytes {place} to {end} written over")
        }
        4 | 5 => {
            bytes.truncate(place);
            format!("cut off at byte {at} of {size}")
        }
        6 => {
            let page = usize::try_from(at / PAGE * PAGE)?;
            let end = bytes.len().min(page + usize::try_from(PAGE)?);
            bytes[page..end].fill(0);
            format!("page {} zeroed", at / PAGE)
        }
        _ => {
            let count = usize::try_from(rng.below(3 * PAGE))?;
            bytes.extend((0..count).map(|_| rng.next().to_le_bytes()[7]));
            format!("{count} bytes appended")
        }
    };
    std::fs::write(file, bytes)?;
    Ok(what)
}

/// A copy of a store, without the space that it holds.
pub(super) fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_name() == "raincheck.reserve" {
            continue;
        }
        std::fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}

/// What a server made of a damaged store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Came {
    /// It refused to start and said why.
    Refused,
    /// It refused, and served all but the damaged jobs once it was told to set them aside.
    SetAside,
    /// It served until it met the damage, and said so.
    Noticed,
    /// Everything was as promised.
    Served,
}

/// What it prints when it does not start: the file, and a way out.
fn names_the_way_out(said: &str, store: &Path) -> Result<()> {
    let way = [
        "backup",
        "another directory",
        "newer",
        "move it away",
        "another --store",
        "permission",
    ];
    ensure!(!said.contains("panicked"), "it panicked:\n{said}");
    ensure!(
        said.contains(&*store.to_string_lossy()),
        "the file is not named:\n{said}"
    );
    ensure!(
        way.iter().any(|way| said.contains(way)),
        "no way out is named:\n{said}"
    );
    Ok(())
}

/// Starts over this store, and asks for everything that it promised.
pub(super) async fn tried(binary: &str, store: &Path, ledger: &Ledger) -> Result<Came> {
    let mut server = start(binary, store)?;
    let Ok(to) = server.ready().await else {
        let status = server.left(LEAVES_WITHIN).await?;
        ensure!(
            status.code().is_some_and(|code| code != 0),
            "it left with {status}:\n{}",
            server.output()
        );
        names_the_way_out(&server.output(), store)?;
        if !server.output().contains("--set-aside-damaged") {
            return Ok(Came::Refused);
        }
        set_aside(binary, store, ledger)
            .await
            .context("started with --set-aside-damaged")?;
        return Ok(Came::SetAside);
    };
    let mut asker = Asker::to(to);
    let audited = audit(&mut asker, ledger, false).await;
    let noticed = match audited {
        Ok(noticed) => noticed,
        Err(error) => {
            // A server that left because its store failed has noticed.
            let left = tokio::time::timeout(Duration::from_secs(2), server.left(LEAVES_WITHIN)).await;
            let failed = matches!(left, Ok(Ok(status)) if status.code() == Some(70));
            ensure!(failed, "{error:#}\n{}", server.output());
            true
        }
    };
    ensure!(
        !server.output().contains("panicked"),
        "it panicked:\n{}",
        server.output()
    );
    server.kill().await?;
    Ok(if noticed { Came::Noticed } else { Came::Served })
}

/// Has the damaged jobs set aside: the others are as promised, and the next start needs nothing more.
async fn set_aside(binary: &str, store: &Path, ledger: &Ledger) -> Result<()> {
    let mut server = Server::start(&Start {
        words: ["env", "RAINCHECK_SET_ASIDE_DAMAGED=true", binary]
            .map(str::to_owned)
            .to_vec(),
        store: store.to_owned(),
        queues: vec!["q".to_owned()],
    })?;
    server.ready().await?;
    server.kill().await?;
    let mut server = start(binary, store)?;
    let mut asker = Asker::to(server.ready().await?);
    let named = asker.ask("GET", "/readyz", "").await?.json()?;
    ensure!(
        named["damaged"]["count"].as_u64() > Some(0),
        "none is named: {named}"
    );
    audit(&mut asker, ledger, true).await?;
    server.kill().await?;
    Ok(())
}

/// Whether an answer says that the store is damaged.
fn damaged(status: u16) -> bool {
    matches!(status, 500 | 503)
}

/// Asks for every promise; whether the server said of one that it cannot be read, as it may have `noticed` before.
async fn audit(asker: &mut Asker, ledger: &Ledger, mut noticed: bool) -> Result<bool> {
    for (id, promise) in ledger {
        let input = asker.ask("GET", &format!("/v1/jobs/{id}/input"), "").await?;
        let right = input.status == 200 && input.body == promise.input;
        ensure!(
            right || damaged(input.status),
            "the input of {id}: {} and other bytes",
            input.status
        );
        noticed |= !right;
        let Some(result) = &promise.result else {
            continue;
        };
        let read = asker.ask("GET", &format!("/v1/jobs/{id}/result"), "").await?;
        let right = read.status == 200 && read.body == result;
        ensure!(
            right || damaged(read.status),
            "the result of {id}: {} and other bytes",
            read.status
        );
        noticed |= !right;
    }
    let mut waiting: Vec<&String> = ledger
        .iter()
        .filter(|(_, promise)| promise.result.is_none() && !promise.leased)
        .map(|(id, _)| id)
        .collect();
    loop {
        let claim = json!({"worker": "w", "max": 100}).to_string();
        let claimed = asker.ask("POST", "/v1/queues/q/claim", claim).await?;
        if damaged(claimed.status) {
            return Ok(true);
        }
        if claimed.status == 204 {
            break;
        }
        ensure!(claimed.status == 200, "a claim: {}", claimed.status);
        for lease in claimed.json()?["leases"].as_array().into_iter().flatten() {
            let id = text(&lease["job"]["id"]);
            let place = waiting.iter().position(|waiting| **waiting == id);
            let place = place.with_context(|| format!("{id} was claimed, which was not waiting"))?;
            waiting.swap_remove(place);
            let size = lease["input"]["size"].as_u64();
            ensure!(
                size == Some(ledger[&id].input.len() as u64),
                "{id} was claimed with {size:?} bytes"
            );
        }
    }
    ensure!(
        noticed || waiting.is_empty(),
        "{} jobs are never claimed: {:?}",
        waiting.len(),
        waiting.first()
    );
    Ok(noticed)
}

/// Changes a letter of a group's name wherever it stands.
fn other_group(db: &Path) -> Result<()> {
    let mut bytes = std::fs::read(db)?;
    for place in 0..bytes.len().saturating_sub(7) {
        if bytes[place..].starts_with(b"group-1") {
            bytes[place] = b'G';
        }
    }
    Ok(std::fs::write(db, bytes)?)
}

/// Runs the proof over so many damaged copies.
pub(super) async fn prove(binary: &str, dir: &Path, count: u64, seed: u64, say: &dyn Fn(&str)) -> Result<()> {
    let mut rng = Rng::new(seed);
    let (killed, closed) = (dir.join("killed"), dir.join("closed"));
    let ledger = make(binary, &killed, &mut rng).await?;
    copy(&killed, &closed)?;
    let mut server = start(binary, &closed)?;
    server.ready().await?;
    server.terminate()?;
    ensure!(
        server.left(Duration::from_secs(40)).await?.success(),
        "a clean stop"
    );
    ensure!(
        !closed.join("raincheck.db-wal").exists(),
        "a clean stop leaves no log"
    );

    let refused = foreign::prove(binary, dir, &closed).await?;
    say(&format!(
        "{refused} stores that are not ours or cannot be written: refused, unchanged, the way out named"
    ));

    let one = dir.join("one-group");
    copy(&closed, &one)?;
    other_group(&one.join("raincheck.db"))?;
    let came = tried(binary, &one, &ledger)
        .await
        .context("jobs of another group")?;
    ensure!(came == Came::SetAside, "damaged jobs: {came:?}");
    say("a store with damaged jobs: refused, and served without them once that was asked for");

    let (mut counts, mut bad) = ([0_u64; 4], Vec::new());
    for n in 0..count {
        let mut rng = Rng::new(seed).fork(n);
        let (from, name): (&PathBuf, _) = match rng.below(3) {
            0 => (&killed, "raincheck.db"),
            1 => (&killed, "raincheck.db-wal"),
            _ => (&closed, "raincheck.db"),
        };
        let store = dir.join(format!("damaged-{n}"));
        copy(from, &store)?;
        let what = damage(&mut rng, &store.join(name))?;
        let from = from
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        match tried(binary, &store, &ledger).await {
            Ok(came) => {
                counts[came as usize] += 1;
                std::fs::remove_dir_all(&store)?;
            }
            Err(error) => {
                let story = format!("{n}: {name} of the store that was {from}, {what}: {error:#}");
                say(&story);
                bad.push(story);
            }
        }
    }
    let [refused, aside, noticed, served] = counts;
    say(&format!(
        "{count} damaged copies: {refused} refused with a way out, {aside} as well until the damaged jobs \
         were set aside, {noticed} served until the damage was met and told, \
         {served} harmless and every one of {} promises kept",
        ledger.len()
    ));
    if !bad.is_empty() {
        bail!("{} of {count} damaged copies were served wrongly", bad.len());
    }
    Ok(())
}
