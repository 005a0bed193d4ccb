//! What a trace proves about one submission and about many at once.
//!
//! Invariant: pure; a trace in, the lines that prove it or the reason why it does not, out.

use anyhow::{Context as _, Result, bail};

use super::trace::Call;

/// The places in the trace that prove that a sync returned before the answer was written.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Durable {
    /// Where the request was read.
    pub(super) read: usize,
    /// Where the store was written.
    pub(super) written: usize,
    /// Where the sync returned.
    pub(super) synced: usize,
    /// Where the 202 began to be written.
    pub(super) answered: usize,
}

/// The first submission in the trace: read, written to the store below `dir`, synced, and only then answered.
pub(super) fn durable_before_answer(calls: &[Call], dir: &str) -> Result<Durable> {
    let read = calls
        .iter()
        .find(|call| call.received("POST /v1/queues/"))
        .context("the trace has no submission")?
        .ended;
    let answered = calls
        .iter()
        .find(|call| call.began > read && call.sends("HTTP/1.1 202"))
        .context("the trace has no 202")?
        .began;
    let written = calls
        .iter()
        .filter(|call| call.began > read && call.ended < answered && call.wrote(dir) && !note(call))
        .map(|call| call.ended)
        .next_back()
        .context("nothing was written to the store between the request and its 202")?;
    let synced = calls
        .iter()
        .find(|call| call.began > written && call.ended < answered && call.synced(dir))
        .context("no sync of what was written returned before the 202 was written")?
        .ended;
    Ok(Durable {
        read,
        written,
        synced,
        answered,
    })
}

/// Whether it concerns the note of how far the log goes, which follows each commit and promises nothing.
fn note(call: &Call) -> bool {
    call.file().ends_with("/seal")
}

/// Syncs of the store and 202s from the first submission on.
pub(super) fn shared(calls: &[Call], dir: &str) -> Result<(usize, usize)> {
    let first = calls.iter().position(|call| call.received("POST /v1/queues/"));
    let calls = &calls[first.context("the trace has no submission")?..];
    let syncs = calls.iter().filter(|call| call.synced(dir)).count();
    let answers = calls.iter().filter(|call| call.sends("HTTP/1.1 202")).count();
    Ok((syncs, answers))
}

/// After a call that strace made fail: no 202 is written any more, and the file whose sync failed is not synced again.
/// Says on which line the failure stands.
///
/// A failed sync of the directory `dir` itself does not count: SQLite makes them and by design does not look at what
/// they return (`unixSync` in `os_unix.c`); they are about the names of new files only.
pub(super) fn silent_after_failure(calls: &[Call], dir: &str) -> Result<usize> {
    let failed = calls
        .iter()
        .find(|call| call.injected && call.file() != dir)
        .context("strace made no call fail that is about a file")?;
    let place = failed.ended;
    // One client sends one request at a time, so the request in flight is the one whose commit failed.
    if let Some(lie) = calls
        .iter()
        .find(|call| call.began > place && call.sends("HTTP/1.1 202"))
    {
        bail!(
            "line {}: 202 after the failure on line {}",
            lie.began + 1,
            place + 1
        );
    }
    let again = |call: &&Call| call.began > place && call.returned == Some(0) && call.file() == failed.file();
    if let Some(again) = calls.iter().filter(|call| call.syncs()).find(again) {
        bail!(
            "line {}: synced again after the failure on line {}",
            again.began + 1,
            place + 1
        );
    }
    Ok(place)
}

#[cfg(test)]
mod tests {
    use super::super::trace::read;
    use super::*;

    const REQUEST: &str = "1 recvfrom(9, \"POST /v1/queues/pull/jobs\"..., 8192, 0, NULL, NULL) = 120\n";
    const WRITE: &str = "2 pwrite64(7</s/db-wal>, \"x\", 1, 0) = 1\n";
    const SYNC: &str = "2 fdatasync(7</s/db-wal>) = 0\n";
    const ANSWER: &str = "1 sendto(9, \"HTTP/1.1 202 Accepted\"..., 300, 0, NULL, 0) = 300\n";
    const FAILURE: &str = "2 fdatasync(7</s/db-wal>) = -1 EIO (Input/output error) (INJECTED)\n";

    fn proof(lines: &[&str]) -> Result<Durable> {
        durable_before_answer(&read(&lines.concat()), "/s/")
    }

    #[test]
    fn an_honest_order_is_a_proof() {
        let places = proof(&[SYNC, REQUEST, WRITE, SYNC, ANSWER]).unwrap();
        assert_eq!(
            (places.read, places.written, places.synced, places.answered),
            (1, 2, 3, 4)
        );
    }

    #[test]
    fn what_is_noted_after_the_sync_needs_none() {
        let note = "2 pwrite64(8</s/seal>, \"x\", 16, 0) = 16\n";
        assert!(proof(&[REQUEST, WRITE, SYNC, note, ANSWER]).is_ok());
        assert!(proof(&[REQUEST, WRITE, note, ANSWER]).is_err());
    }

    #[test]
    fn an_answer_before_the_sync_is_none() {
        assert!(proof(&[SYNC, REQUEST, WRITE, ANSWER, SYNC]).is_err());
        assert!(proof(&[REQUEST, SYNC, WRITE, ANSWER]).is_err());
        assert!(
            proof(&[
                REQUEST,
                WRITE,
                "2 fdatasync(7</s/db-wal> <unfinished ...>\n",
                ANSWER
            ])
            .is_err()
        );
        assert!(proof(&[REQUEST, WRITE, "2 fdatasync(7</other>) = 0\n", ANSWER]).is_err());
    }

    #[test]
    fn an_answer_or_a_second_sync_after_a_failure_is_found() {
        let check = |lines: &[&str]| silent_after_failure(&read(&lines.concat()), "/s");
        assert!(check(&[REQUEST, WRITE, SYNC, ANSWER, REQUEST, WRITE, FAILURE]).is_ok());
        assert!(check(&[REQUEST, WRITE, FAILURE, ANSWER]).is_err());
        assert!(check(&[REQUEST, WRITE, FAILURE, SYNC]).is_err());
        assert!(check(&[REQUEST, WRITE, SYNC, ANSWER]).is_err());
        let directory = "2 fdatasync(8</s>) = -1 EIO (Input/output error) (INJECTED)\n";
        assert!(check(&[directory, REQUEST, WRITE, SYNC, ANSWER, REQUEST, WRITE, FAILURE]).is_ok());
    }

    #[test]
    fn syncs_and_answers_are_counted_from_the_first_submission() {
        let calls = read(&[SYNC, REQUEST, WRITE, SYNC, ANSWER, ANSWER].concat());
        assert_eq!(shared(&calls, "/s/").unwrap(), (1, 2));
    }
}
