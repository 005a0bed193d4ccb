//! What a store promises on top where it keeps what it was given.
//!
//! Invariant: the list names every promise of the files it lists, in their order.

/// The promises of durable stores, given to the macro `$then`.
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_durable_promises {
    ($then:path $(, $args:expr)*) => {
        $then! { $($args),*;
            reopen {
                an_accepted_job_survives
                the_order_of_a_group_survives
                a_finished_job_and_its_result_survive
                idempotency_keys_survive
                unique_values_survive
                tombstones_survive_and_end
                queues_survive
                a_queue_is_managed_only_while_its_configuration_runs
                waiting_jobs_still_become_overdue_after_opening
                retentions_still_end_after_opening
                ids_keep_growing_after_opening
                what_a_namespace_signs_with_survives
                webhooks_survive
                an_empty_store_opens_again
            }
            reopen_acts {
                acts_survive
            }
            reopen_batches {
                batches_and_their_counts_survive
                a_cancel_that_was_begun_goes_on_after_opening
            }
            reopen_clock {
                what_a_clock_that_was_set_has_moved_stays_so_after_opening
            }
            reopen_keys {
                keys_survive
            }
            reopen_leases {
                a_settlement_can_be_repeated_after_opening
                a_pull_lease_gets_its_full_term
                a_renewed_term_survives
                no_full_term_passes_the_attempts_time
                a_claim_can_be_repeated_after_opening
                attempts_of_the_former_process_are_over_and_counted
                a_cancelled_attempt_of_the_former_process_ends_cancelled
                a_lease_that_was_handed_over_lives_on_to_its_deadline
                a_job_that_was_claimed_at_once_survives
            }
            reopen_limits {
                a_rate_is_not_forgotten
                what_groups_use_of_their_limits_is_not_forgotten
                how_many_bytes_wait_is_not_forgotten
            }
            reopen_output {
                output_and_its_numbers_survive
            }
        }
    };
}
