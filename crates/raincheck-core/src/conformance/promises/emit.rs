//! Promises about what attempts show while they run: numbered, kept once, bounded, gone with their job.

use std::sync::Arc;

use super::kit::{Draft, Kit, TERM, answer, fail, lease, log, output, release, s, succeed};
use crate::content::JobResult;
use crate::decide::{EmitRefused, Settlement};
use crate::id::{LeaseId, Nonce};
use crate::job::{Job, Options};
use crate::output::{Chunk, Stream};
use crate::queue::{ByteSize, QueueSpec};
use crate::store::{Emit, Missing};

/// Chunks as number, attempt, number within the lease, stream and text.
fn shown(chunks: &[Arc<Chunk>]) -> Vec<(u64, u32, u32, Stream, &str)> {
    chunks
        .iter()
        .map(|chunk| {
            let text = std::str::from_utf8(&chunk.piece.body).expect("promises emit text");
            (chunk.n, chunk.attempt, chunk.seq, chunk.piece.stream, text)
        })
        .collect()
}

/// The numbers of the chunks.
fn numbers(chunks: &[Arc<Chunk>]) -> Vec<u64> {
    chunks.iter().map(|chunk| chunk.n).collect()
}

/// A queue whose results, and so the output of an attempt, are this large.
async fn narrow(kit: &Kit, bytes: u64) {
    let result_max = Some(ByteSize(bytes));
    kit.put(
        "q",
        QueueSpec {
            result_max,
            ..QueueSpec::default()
        },
    )
    .await;
}

/// Emits these as the first chunks of the job's lease.
async fn emit_all(kit: &Kit, job: &Job, texts: &[&'static str]) {
    for (seq, text) in (0..).zip(texts) {
        let emitted = kit.emit(lease(job), seq, output(text)).await;
        emitted.expect("the lease is held");
    }
}

/// Lets the attempt fail and claims the job again.
async fn again(kit: &Kit, job: &Job) -> Arc<Job> {
    kit.settle(job, fail()).await.expect("the lease is held");
    kit.advance(s(600));
    kit.claim_one().await
}

pub async fn what_is_emitted_is_read_in_its_order(kit: Kit) {
    kit.q().await;
    let held = kit.running(Draft::default()).await;
    assert!(kit.chunks(held.id).await.is_empty());
    let other = kit.running(Draft::default()).await;
    emit_all(&kit, &held, &["a", "b"]).await;
    emit_all(&kit, &other, &["not this one's"]).await;
    let emitted = kit
        .emit(lease(&held), 2, log("hm"))
        .await
        .expect("the lease is held");
    assert_eq!((emitted.n, emitted.cancel_requested), (3, false));
    kit.advance(s(1));
    kit.emit(lease(&held), 3, output(""))
        .await
        .expect("the lease is held");
    let chunks = kit.chunks(held.id).await;
    assert_eq!(
        shown(&chunks),
        [
            (1, 1, 0, Stream::Output, "a"),
            (2, 1, 1, Stream::Output, "b"),
            (3, 1, 2, Stream::Log, "hm"),
            (4, 1, 3, Stream::Output, ""),
        ]
    );
    assert!(
        chunks
            .iter()
            .all(|chunk| chunk.job == held.id && chunk.fence == held.fence)
    );
    assert_eq!(chunks[3].at, chunks[0].at.plus(s(1)));
    let now = kit.get(held.id).await;
    assert_eq!(now.version, held.version, "an emission is no transition");
    kit.settle(&held, succeed("yes"))
        .await
        .expect("the lease is held");
    assert_eq!(kit.chunks(held.id).await, chunks, "what was emitted stays");
}

pub async fn output_is_read_in_pages(kit: Kit) {
    kit.q().await;
    let held = kit.running(Draft::default()).await;
    emit_all(&kit, &held, &["a", "b", "c", "d", "e"]).await;
    for (after, limit, expected, before) in [
        (0, 2, &[1, 2][..], None),
        (2, 2, &[3, 4], Some(held.fence)),
        (4, 2, &[5], Some(held.fence)),
        (5, 2, &[], Some(held.fence)),
        (9, 2, &[], None),
    ] {
        let page = kit.output(held.id, after, limit).await;
        assert_eq!(
            (numbers(&page.chunks).as_slice(), page.last),
            (expected, 5),
            "after {after}"
        );
        assert_eq!(page.before, before, "after {after}");
    }
    let unknown = kit.store.output(&kit.ns, kit.store.mint(), 0, 9).await;
    let unknown = unknown.expect("the store answers").map(|output| output.last);
    assert_eq!(unknown, Err(Missing::Unknown));
}

pub async fn a_repeated_chunk_is_kept_once(kit: Kit) {
    kit.q().await;
    let held = kit.running(Draft::default()).await;
    emit_all(&kit, &held, &["a", "b", "c"]).await;
    for (seq, text, n) in [(2, "c", 3), (0, "a", 1), (1, "b", 2)] {
        let emitted = kit.emit(lease(&held), seq, output(text)).await;
        assert_eq!(emitted.map(|emitted| emitted.n), Ok(n));
    }
    assert_eq!(numbers(&kit.chunks(held.id).await), [1, 2, 3]);
}

pub async fn a_chunk_with_other_content_is_refused(kit: Kit) {
    kit.q().await;
    let held = kit.running(Draft::default()).await;
    emit_all(&kit, &held, &["a", "b"]).await;
    let before = kit.chunks(held.id).await;
    for (seq, piece) in [(1, output("c")), (0, output("")), (1, log("b"))] {
        let refused = kit.emit(lease(&held), seq, piece).await;
        assert_eq!(refused, Err(EmitRefused::Mismatch));
    }
    assert_eq!(kit.chunks(held.id).await, before);
}

pub async fn a_gap_is_refused(kit: Kit) {
    kit.q().await;
    let held = kit.running(Draft::default()).await;
    assert_eq!(
        kit.emit(lease(&held), 1, output("b")).await,
        Err(EmitRefused::Gap { next: 0 })
    );
    emit_all(&kit, &held, &["a"]).await;
    assert_eq!(
        kit.emit(lease(&held), 9, output("j")).await,
        Err(EmitRefused::Gap { next: 1 })
    );
    assert_eq!(numbers(&kit.chunks(held.id).await), [1]);
}

pub async fn a_lease_that_is_over_emits_nothing(kit: Kit) {
    kit.q().await;
    let first = kit.running(Draft::default()).await;
    emit_all(&kit, &first, &["a"]).await;
    kit.advance(TERM + s(9));
    // Lapsed, but nobody ended it.
    kit.emit(lease(&first), 1, output("b"))
        .await
        .expect("the lease is held");
    kit.reclaim().await;
    let refused = async |held: &Job| {
        for (seq, piece) in [(2, output("c")), (1, output("b"))] {
            let refused = kit.emit(lease(held), seq, piece).await;
            assert_eq!(refused, Err(EmitRefused::LeaseLost));
        }
    };
    refused(&first).await;
    kit.advance(s(600));
    let second = kit.claim_one().await;
    refused(&first).await;
    let forged = LeaseId {
        nonce: Nonce([0; 12]),
        ..lease(&second)
    };
    assert_eq!(
        kit.emit(forged, 0, output("x")).await,
        Err(EmitRefused::LeaseLost)
    );
    kit.settle(&second, succeed("yes"))
        .await
        .expect("the lease is held");
    refused(&first).await;
    assert_eq!(
        kit.emit(lease(&second), 0, output("x")).await,
        Err(EmitRefused::LeaseLost)
    );
    assert_eq!(numbers(&kit.chunks(first.id).await), [1, 2]);
}

pub async fn every_lease_counts_its_chunks_from_the_start(kit: Kit) {
    kit.q().await;
    let first = kit.running(Draft::default()).await;
    emit_all(&kit, &first, &["a", "b"]).await;
    let second = again(&kit, &first).await;
    emit_all(&kit, &second, &["c"]).await;
    kit.settle(&second, release(s(0)))
        .await
        .expect("the lease is held");
    let third = kit.claim_one().await;
    emit_all(&kit, &third, &["d"]).await;
    let chunks = kit.chunks(first.id).await;
    let output = Stream::Output;
    // The second attempt was given back, so the third one has its number.
    let expected = [
        (1, 1, 0, output, "a"),
        (2, 1, 1, output, "b"),
        (3, 2, 0, output, "c"),
        (4, 2, 0, output, "d"),
    ];
    assert_eq!(shown(&chunks), expected);
    assert!(chunks[2].fence < chunks[3].fence);
}

pub async fn an_attempt_emits_no_more_than_its_queue_allows(kit: Kit) {
    narrow(&kit, 3).await;
    let held = kit.running(Draft::default()).await;
    let too_large = Err(EmitRefused::TooLarge { bytes_max: 3 });
    assert_eq!(kit.emit(lease(&held), 0, output("four")).await, too_large);
    emit_all(&kit, &held, &["ab"]).await;
    assert_eq!(kit.emit(lease(&held), 1, output("cd")).await, too_large);
    // The log has as much for itself.
    kit.emit(lease(&held), 1, log("abc")).await.expect("it fits");
    assert_eq!(kit.emit(lease(&held), 2, log("d")).await, too_large);
    kit.emit(lease(&held), 2, output("c")).await.expect("it fits");
    assert_eq!(kit.emit(lease(&held), 3, output("d")).await, too_large);
    assert_eq!(numbers(&kit.chunks(held.id).await), [1, 2, 3]);
}

pub async fn what_earlier_attempts_emitted_goes_when_it_is_too_much(kit: Kit) {
    narrow(&kit, 200).await;
    let options = Options {
        max_attempts: Some(9),
        ..Options::default()
    };
    let mut held = kit.running(Draft::with(options)).await;
    emit_all(&kit, &held, &["a"]).await;
    for expected in [&[1, 2][..], &[1, 2, 3], &[1, 2, 3, 4], &[5], &[5, 6]] {
        held = again(&kit, &held).await;
        emit_all(&kit, &held, &["b"]).await;
        assert_eq!(numbers(&kit.chunks(held.id).await), expected);
    }
}

pub async fn output_goes_with_its_job(kit: Kit) {
    kit.q().await;
    let deleted = kit.running(Draft::default()).await;
    emit_all(&kit, &deleted, &["a", "b"]).await;
    kit.settle(&deleted, succeed("yes"))
        .await
        .expect("the lease is held");
    let pruned = kit.running(Draft::default()).await;
    emit_all(&kit, &pruned, &["a", "b"]).await;
    kit.settle(&pruned, succeed("yes"))
        .await
        .expect("the lease is held");
    kit.delete(deleted.id).await.expect("it is done");
    assert_eq!(kit.chunks(pruned.id).await.len(), 2);
    kit.advance(s(24 * 3600));
    assert!(kit.prune().await > 0);
    for (id, why) in [(deleted.id, Missing::Unknown), (pruned.id, Missing::Expired)] {
        let gone = kit
            .store
            .output(&kit.ns, id, 0, 9)
            .await
            .expect("the store answers");
        assert_eq!(gone.map(|output| output.last), Err(why));
    }
}

pub async fn a_result_that_was_emitted_before_comes_back_whole(kit: Kit) {
    kit.q().await;
    let emitted = ["so it ", "", "goes"];
    let whole = answer("so it goes");
    let first = kit.running(Draft::default()).await;
    emit_all(&kit, &first, &["so it goes"]).await;
    let second = again(&kit, &first).await;
    emit_all(&kit, &second, &emitted).await;
    kit.emit(lease(&second), 3, log("not this"))
        .await
        .expect("the lease is held");
    let done = kit.settle(&second, Settlement::succeed(whole.clone())).await;
    done.expect("the lease is held");
    let found = kit.result(second.id).await.expect("it is there");
    assert_eq!(found.result.as_deref(), Some(&whole));
    // As long, but not the same.
    let other = kit.running(Draft::default()).await;
    emit_all(&kit, &other, &emitted).await;
    let result = JobResult::new(200, None, Vec::new(), "so it went".into());
    let done = kit.settle(&other, Settlement::succeed(result.clone())).await;
    done.expect("the lease is held");
    let found = kit.result(other.id).await.expect("it is there");
    assert_eq!(found.result.as_deref(), Some(&result));
}

pub async fn one_refused_emission_harms_no_other(kit: Kit) {
    kit.q().await;
    let held = kit.running(Draft::default()).await;
    let emit = |lease, seq, text| Emit {
        lease,
        seq,
        piece: output(text),
    };
    let lost = LeaseId {
        nonce: Nonce([0; 12]),
        ..lease(&held)
    };
    let batch = vec![
        emit(lease(&held), 0, "a"),
        emit(lost, 1, "x"),
        emit(lease(&held), 1, "b"),
        emit(lease(&held), 3, "d"),
        emit(lease(&held), 2, "c"),
    ];
    let answers = kit.store.emit(&kit.ns, batch).await.expect("the store answers");
    let kept: Vec<_> = answers
        .iter()
        .map(|answer| answer.map(|emitted| emitted.n))
        .collect();
    let expected = [
        Ok(1),
        Err(EmitRefused::LeaseLost),
        Ok(2),
        Err(EmitRefused::Gap { next: 2 }),
        Ok(3),
    ];
    assert_eq!(kept, expected);
    assert_eq!(numbers(&kit.chunks(held.id).await), [1, 2, 3]);
}

pub async fn a_worker_that_emits_hears_that_it_is_to_stop(kit: Kit) {
    kit.q().await;
    let held = kit.running(Draft::default()).await;
    emit_all(&kit, &held, &["a"]).await;
    kit.cancel(held.id).await.expect("the job is there");
    for seq in [1, 0] {
        let emitted = kit
            .emit(lease(&held), seq, output(if seq == 0 { "a" } else { "b" }))
            .await;
        assert!(emitted.expect("the lease is held").cancel_requested);
    }
}
