//! The suite must be able to fail: every fault of a broken store is caught by promises that are named here, and by
//! random commands where those can meet it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::clock::ManualClock;
use crate::conformance::model::ModelStore;
use crate::conformance::model::broken::{Broken, Fault};
use crate::conformance::{Opened, promises, random, run};

/// A promise, ready to be held against a broken store.
type Promise = (&'static str, fn(Opened));

macro_rules! runnable {
    (; $($subject:ident { $($name:ident)* })*) => {
        const PROMISES: &[super::Promise] = &[$($((
            concat!(stringify!($subject), "::", stringify!($name)),
            |opened| super::run(super::promises::$subject::$name(super::promises::kit::Kit::new(opened))),
        )),*),*];
        pub(super) fn all() -> &'static [super::Promise] {
            PROMISES
        }
    };
}

macro_rules! runnable_durable {
    (; $($subject:ident { $($name:ident)* })*) => {
        const PROMISES: &[super::Promise] = &[$($((
            concat!(stringify!($subject), "::", stringify!($name)),
            |opened| {
                let kit = super::promises::kit::Kit::new(opened);
                super::run(super::promises::$subject::$name(kit, super::reopen));
            },
        )),*),*];
        pub(super) fn all() -> &'static [super::Promise] {
            PROMISES
        }
    };
}

mod every_store {
    crate::conformance_promises!(runnable);
}

mod durable_stores {
    crate::conformance_durable_promises!(runnable_durable);
}

fn opened(store: Arc<Broken>, clock: Arc<ManualClock>) -> Opened {
    let guard = Box::new(store.clone());
    Opened { store, clock, guard }
}

fn open(fault: Fault) -> Opened {
    let clock = Arc::new(ManualClock::default());
    let store = Broken::new(ModelStore::new(clock.clone()), fault);
    opened(Arc::new(store), clock)
}

fn reopen(closed: Opened) -> Opened {
    let store = closed.guard.downcast::<Arc<Broken>>().unwrap();
    opened(Arc::new(store.reopened()), closed.clock)
}

/// Whether random commands are expected to meet a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Random {
    Finds,
    Passes,
}
use Random::{Finds, Passes};

/// Every fault, a promise or two that catch it, and whether random commands find it.
const FAULTS: &[(Fault, &[&str], Random)] = &[
    (
        Fault::LosesJobs,
        &["submit::a_submitted_job_is_there_as_it_was_asked"],
        Finds,
    ),
    (
        Fault::KeepsRefusedJobs,
        &["submit::a_full_queue_refuses_and_drops_nothing"],
        Finds,
    ),
    (
        Fault::ForgetsKeys,
        &[
            "idempotency::a_repeated_request_makes_no_second_job",
            "idempotency::twins_at_the_same_time_make_one_job",
        ],
        Finds,
    ),
    (
        Fault::TakesAnyFingerprint,
        &["idempotency::another_request_under_the_same_key_is_refused"],
        Finds,
    ),
    (
        Fault::OverfillsQueues,
        &["submit::scheduled_jobs_and_jobs_in_backoff_count_as_depth"],
        Finds,
    ),
    (
        Fault::StopsAtABadEntry,
        &["submit::a_job_of_an_unknown_queue_is_refused_and_leaves_no_trace"],
        Finds,
    ),
    (
        Fault::IgnoresTurns,
        &[
            "order::groups_take_turns",
            "order::a_backlog_does_not_stand_before_another_groups_job",
        ],
        Finds,
    ),
    (Fault::IgnoresPriority, &["order::priority_is_strict"], Finds),
    (
        Fault::StartsEarly,
        &["order::a_job_does_not_start_before_its_time"],
        Finds,
    ),
    (
        Fault::StartsOverdueJobs,
        &["overdue::an_overdue_job_is_not_claimed_even_before_it_is_ended"],
        Finds,
    ),
    (
        Fault::IgnoresPause,
        &["claim::a_paused_queue_gives_nothing_until_it_is_resumed"],
        Finds,
    ),
    (
        Fault::IgnoresGroupLimits,
        &[
            "groups::a_groups_concurrency_is_never_exceeded",
            "groups::a_groups_rate_lets_so_many_start",
        ],
        Finds,
    ),
    (
        Fault::IgnoresDepthBytes,
        &["depth_bytes::no_more_bytes_wait_than_the_queue_allows"],
        Finds,
    ),
    (
        Fault::IgnoresRates,
        &["rate::a_burst_starts_at_once_and_then_one_each_interval"],
        Finds,
    ),
    (
        Fault::ForgetsRatesOnOpen,
        &["reopen_limits::a_rate_is_not_forgotten"],
        Finds,
    ),
    (
        Fault::IgnoresConcurrency,
        &[
            "concurrency::concurrency_is_never_exceeded",
            "concurrency::claims_at_the_same_time_respect_concurrency",
        ],
        Finds,
    ),
    (
        Fault::IgnoresTheClaimersBound,
        &["concurrency::a_claims_own_bound_counts_all_that_run"],
        Finds,
    ),
    (
        Fault::PassesNobodyOver,
        &["groups::a_claim_passes_over_the_groups_that_it_names"],
        Passes,
    ),
    (
        Fault::ForgetsTheAttempt,
        &[
            "claim::a_claim_counts_the_attempt_before_the_work_begins",
            "lease::a_job_that_kills_its_workers_runs_out_of_attempts",
        ],
        Finds,
    ),
    (
        Fault::LeavesTheFence,
        &["claim::the_fence_grows_with_every_claim"],
        Finds,
    ),
    (
        Fault::RepeatsNoClaim,
        &["claim_id::a_repeated_claim_gives_back_its_leases"],
        Finds,
    ),
    (
        Fault::AcceptsOldLeases,
        &["lease::a_reclaimed_lease_is_fenced"],
        Finds,
    ),
    (
        Fault::ObeysOldLeases,
        &["lease::a_reclaimed_lease_is_fenced"],
        Finds,
    ),
    (
        Fault::SettlesTwice,
        &["settle::settling_twice_with_the_same_content_is_harmless"],
        Finds,
    ),
    (
        Fault::LosesResults,
        &["settle::a_success_is_final_and_its_result_stays"],
        Finds,
    ),
    (
        Fault::LosesOutput,
        &["emit::what_is_emitted_is_read_in_its_order"],
        Finds,
    ),
    (
        Fault::TakesAnyChunk,
        &["emit::a_chunk_with_other_content_is_refused"],
        Finds,
    ),
    (
        Fault::AcceptsOldEmissions,
        &["emit::a_lease_that_is_over_emits_nothing"],
        Finds,
    ),
    (
        Fault::ChargesReleasedAttempts,
        &["settle::an_attempt_given_back_is_not_charged"],
        Finds,
    ),
    (
        Fault::RetriesForEver,
        &["settle::a_failed_attempt_is_tried_again_after_its_backoff"],
        Finds,
    ),
    (
        Fault::ChangesFinalJobs,
        &[
            "cancel::a_finished_job_stays_as_it_is_when_cancelled",
            "settle::a_success_is_final_and_its_result_stays",
        ],
        Finds,
    ),
    (
        Fault::LetsCancelBeatSuccess,
        &["cancel::success_wins_over_a_cancel_request"],
        Finds,
    ),
    (
        Fault::ForgetsCancelRequests,
        &["cancel::anything_but_success_ends_cancelled_when_that_was_asked"],
        Finds,
    ),
    (
        Fault::ReclaimsEarly,
        &["lease::a_live_lease_is_not_reclaimed"],
        Finds,
    ),
    (
        Fault::NeverReclaims,
        &["lease::a_reclaimed_job_is_tried_again_after_its_backoff"],
        Finds,
    ),
    (
        Fault::PrunesEarly,
        &["retention::a_finished_job_stays_until_its_retention_is_over"],
        Finds,
    ),
    (
        Fault::LetsTombstonesBeUnknown,
        &["by_hand::a_tombstone_lasts_24_hours"],
        Finds,
    ),
    (
        Fault::ForgetsRetries,
        &["by_hand::a_retry_repeated_while_it_is_unfinished_is_the_same_job"],
        Finds,
    ),
    (
        Fault::DeletesUnfinishedJobs,
        &["by_hand::an_unfinished_job_is_not_deleted"],
        Finds,
    ),
    (
        Fault::SeesAllNamespaces,
        &["namespaces::a_stranger_sees_no_job_of_another_namespace"],
        Finds,
    ),
    (
        Fault::DeletesFullQueues,
        &["queues::a_queue_with_unfinished_jobs_is_not_deleted"],
        Finds,
    ),
    (
        Fault::PatchesStartedJobs,
        &["patch::a_job_that_has_started_or_changed_is_not_patched"],
        Finds,
    ),
    (
        Fault::ListsAPageOnly,
        &["listing::jobs_are_listed_newest_first_page_by_page"],
        Finds,
    ),
    (
        Fault::TellsNobody,
        &["observer::a_settlement_is_told_with_its_result"],
        Finds,
    ),
    (
        Fault::IgnoresUniqueness,
        &["unique::of_many_at_the_same_time_one_gets_the_value"],
        Finds,
    ),
    (
        Fault::HoldsValuesForEver,
        &[
            "unique::a_queued_value_is_free_from_the_first_claim_on",
            "unique::an_active_value_is_held_until_its_job_is_done",
        ],
        Finds,
    ),
    (
        Fault::ReplacesNobody,
        &["unique::replacing_cancels_a_job_that_has_not_started"],
        Finds,
    ),
    (
        Fault::LosesAttachedKeys,
        &["unique::a_key_that_was_attached_lives_as_long_as_its_job"],
        Finds,
    ),
    // Random commands close a store only to open it again.
    (
        Fault::WorksWhenClosed,
        &["closing::a_closed_store_takes_nothing"],
        Passes,
    ),
    (
        Fault::LosesKeysOnOpen,
        &["reopen::idempotency_keys_survive"],
        Finds,
    ),
    (
        Fault::LosesResultsOnOpen,
        &["reopen::a_finished_job_and_its_result_survive"],
        Finds,
    ),
    (
        Fault::LosesOutputOnOpen,
        &["reopen_output::output_and_its_numbers_survive"],
        Finds,
    ),
    (Fault::LosesPausesOnOpen, &["reopen::queues_survive"], Finds),
    (
        Fault::KeepsAttemptsOnOpen,
        &["reopen_leases::attempts_of_the_former_process_are_over_and_counted"],
        Finds,
    ),
    (
        Fault::EndsPullLeasesOnOpen,
        &["reopen_leases::a_pull_lease_gets_its_full_term"],
        Finds,
    ),
    (
        Fault::EndsDeferredLeasesOnOpen,
        &["reopen_leases::a_lease_that_was_handed_over_lives_on_to_its_deadline"],
        Finds,
    ),
    (
        Fault::ReusesIdsOnOpen,
        &["reopen::ids_keep_growing_after_opening"],
        Finds,
    ),
    // Random commands know no batches.
    (Fault::TakesLinesAgain, &["batches::a_line_is_taken_once"], Passes),
    (
        Fault::SealsByItself,
        &["batches::a_batch_is_done_when_it_is_sealed_and_nothing_remains"],
        Passes,
    ),
    (
        Fault::NeverTendsBatches,
        &[
            "batches::an_upload_that_is_not_taken_up_again_is_cancelled",
            "reopen_batches::a_cancel_that_was_begun_goes_on_after_opening",
        ],
        Passes,
    ),
];

fn breaks(check: impl FnOnce()) -> bool {
    catch_unwind(AssertUnwindSafe(check)).is_err()
}

#[test]
fn every_fault_breaks_the_promises_that_are_named_for_it() {
    let all: Vec<&Promise> = every_store::all().iter().chain(durable_stores::all()).collect();
    for (fault, names, _) in FAULTS {
        for name in *names {
            let (_, promise) = all.iter().find(|(known, _)| known == name).unwrap();
            assert!(
                breaks(|| promise(open(*fault))),
                "{name} does not notice a store that {fault:?}"
            );
        }
    }
}

#[test]
fn random_commands_find_nearly_every_fault() {
    for (fault, _, expected) in FAULTS {
        let seeds = if *expected == Finds { 1..13 } else { 1..2 };
        let found = breaks(|| {
            random::agree_on(seeds, 400, || open(*fault), Some(&reopen));
        });
        assert_eq!(found, *expected == Finds, "{fault:?}");
    }
}
