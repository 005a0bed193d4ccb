//! Keeping what attempts emit.

use super::*;
use crate::decide::{EmitRefused, EmitStep, emit, emitted_again};
use crate::id::Fence;
use crate::output::{CHUNK_COST, CHUNKS_MAX, Mark, Piece, Stream};

fn piece(stream: Stream, len: usize) -> Piece {
    Piece {
        stream,
        body: bytes::Bytes::from(vec![b'x'; len]),
    }
}

/// Emits `len` bytes of output as chunk `seq` at five seconds, with 100 bytes allowed: what is kept, in one line.
fn tell(job: &Job, mark: Option<&Mark>, seq: u32, stream: Stream, len: usize) -> String {
    match emit(
        job,
        &lease(&running()),
        mark,
        seq,
        &piece(stream, len),
        100,
        at(5),
    ) {
        Ok(EmitStep::Kept {
            chunk,
            mark,
            drop_former,
        }) => {
            assert_eq!((chunk.n, chunk.seq, chunk.at), (mark.n, seq, at(5)));
            assert_eq!((chunk.fence, chunk.attempt), (job.fence, job.attempt));
            assert_eq!((mark.seq, mark.fence), (seq, job.fence));
            let dropped = if drop_former { ", alone" } else { "" };
            format!(
                "n{} out {} log {} former {}{dropped}",
                mark.n, mark.output_bytes, mark.log_bytes, mark.former_bytes
            )
        }
        Ok(EmitStep::Again { n }) => format!("again n{n}"),
        Err(refused) => format!("{refused:?}"),
    }
}

#[track_caller]
fn check(mark: Option<Mark>, seq: u32, stream: Stream, len: usize, expected: &str) {
    assert_eq!(tell(&running(), mark.as_ref(), seq, stream, len), expected);
}

/// Where the running job's lease has got to: chunks up to `seq`, of which the last is the job's `n`th.
fn here(n: u64, seq: u32, output_bytes: u64, log_bytes: u64) -> Option<Mark> {
    Some(Mark {
        n,
        fence: Fence(1),
        seq,
        output_bytes,
        log_bytes,
        former_bytes: 0,
    })
}

#[test]
fn chunks_are_kept_one_after_the_other() {
    use Stream::{Log, Output};
    check(None, 0, Output, 3, "n1 out 3 log 0 former 0");
    check(None, 1, Output, 3, "Gap { next: 0 }");
    check(here(1, 0, 3, 0), 1, Log, 4, "n2 out 3 log 4 former 0");
    check(here(9, 4, 3, 4), 5, Output, 0, "n10 out 3 log 4 former 0");
    check(here(9, 4, 3, 4), 6, Output, 0, "Gap { next: 5 }");
    check(here(9, 4, 3, 4), 4, Output, 0, "again n9");
    check(here(9, 4, 3, 4), 0, Output, 0, "again n5");
}

#[test]
fn an_attempt_has_its_limit_for_each_stream() {
    use Stream::{Log, Output};
    check(None, 0, Output, 100, "n1 out 100 log 0 former 0");
    check(None, 0, Output, 101, "TooLarge { bytes_max: 100 }");
    check(here(1, 0, 99, 0), 1, Output, 2, "TooLarge { bytes_max: 100 }");
    check(here(1, 0, 100, 0), 1, Log, 100, "n2 out 100 log 100 former 0");
    check(here(1, 0, 0, 100), 1, Log, 1, "TooLarge { bytes_max: 100 }");
    check(here(1, CHUNKS_MAX - 1, 0, 0), CHUNKS_MAX, Log, 1, "TooMany");
}

#[test]
fn what_earlier_claims_emitted_stays_while_it_is_not_too_much() {
    let former = |output_bytes, former_bytes| Mark {
        n: 7,
        fence: Fence(0),
        seq: 0,
        output_bytes,
        log_bytes: 1,
        former_bytes,
    };
    let fits = 100 - CHUNK_COST - 1;
    check(
        Some(former(fits, 0)),
        0,
        Stream::Output,
        2,
        "n8 out 2 log 0 former 100",
    );
    check(
        Some(former(fits - 5, 5)),
        0,
        Stream::Output,
        2,
        "n8 out 2 log 0 former 100",
    );
    check(
        Some(former(fits, 1)),
        0,
        Stream::Output,
        2,
        "n8 out 2 log 0 former 0, alone",
    );
    check(Some(former(fits, 0)), 1, Stream::Output, 2, "Gap { next: 0 }");
}

#[test]
fn only_the_holder_emits() {
    for job in [
        waiting(),
        done(succeed()),
        done(release(0, false)),
        done(fail(None)),
    ] {
        assert_eq!(
            tell(&job, here(1, 0, 1, 0).as_ref(), 0, Stream::Output, 1),
            "LeaseLost"
        );
    }
    assert_eq!(
        tell(&asked(), None, 0, Stream::Output, 1),
        "n1 out 1 log 0 former 0"
    );
    let forged = LeaseId {
        nonce: Nonce([8; 12]),
        ..lease(&running())
    };
    let refused = emit(&running(), &forged, None, 0, &piece(Stream::Log, 1), 100, at(5));
    assert_eq!(refused, Err(EmitRefused::LeaseLost));
}

#[test]
fn the_same_chunk_again_is_the_same_to_the_byte() {
    let kept = emit(
        &running(),
        &lease(&running()),
        None,
        0,
        &piece(Stream::Log, 3),
        100,
        at(5),
    );
    let Ok(EmitStep::Kept { chunk, .. }) = kept else {
        panic!("it is the first chunk: {kept:?}");
    };
    assert_eq!(emitted_again(&chunk, &piece(Stream::Log, 3)), Ok(()));
    assert_eq!(
        emitted_again(&chunk, &piece(Stream::Log, 2)),
        Err(EmitRefused::Mismatch)
    );
    assert_eq!(
        emitted_again(&chunk, &piece(Stream::Output, 3)),
        Err(EmitRefused::Mismatch)
    );
}
