//! The promises that every store keeps, by name.
//!
//! Invariant: this list and that of [durable stores](super::durable) are the only places that name the promises, and they name
//! all of them.

/// The promises of every store, given to the macro `$then`.
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_promises {
    ($then:path $(, $args:expr)*) => {
        $then! { $($args),*;
            submit {
                a_submitted_job_is_there_as_it_was_asked
                an_input_comes_back_to_the_byte
                an_input_without_a_description_has_none
                ids_grow_and_tell_the_time
                a_job_of_an_unknown_queue_is_refused_and_leaves_no_trace
                a_missing_queue_is_created_where_that_is_asked
                a_queue_that_is_there_is_not_created_again
                a_full_queue_refuses_and_drops_nothing
                scheduled_jobs_and_jobs_in_backoff_count_as_depth
                a_paused_queue_still_accepts
                a_dropped_answer_drops_only_the_wait
                jobs_handed_over_at_the_same_time_are_all_kept
                an_empty_batch_is_answered
            }
            idempotency {
                a_repeated_request_makes_no_second_job
                a_repeated_request_gets_the_job_as_it_is_now
                another_request_under_the_same_key_is_refused
                a_key_is_looked_up_before_every_refusal
                a_key_belongs_to_its_queue
                twins_in_one_batch_make_one_job
                twins_at_the_same_time_make_one_job
                a_refused_request_leaves_its_key_free
                a_key_can_be_asked_for_without_submitting
                a_key_of_a_forgotten_job_never_runs_it_again
                a_key_lives_as_long_as_the_tombstone_of_its_job
                a_key_lives_as_long_as_its_job
            }
            unique {
                a_second_job_with_the_value_is_refused_and_leaves_no_trace
                an_active_value_is_held_until_its_job_is_done
                a_queued_value_is_free_from_the_first_claim_on
                a_kept_value_is_held_until_its_job_is_forgotten
                every_end_of_a_job_frees_its_value
                attaching_gives_the_job_that_holds_the_value
                replacing_cancels_a_job_that_has_not_started
                a_job_that_has_started_is_not_replaced
                a_value_belongs_to_its_queue_and_namespace
                a_key_is_looked_up_before_uniqueness
                a_key_that_was_attached_lives_as_long_as_its_job
                of_many_at_the_same_time_one_gets_the_value
                twins_in_one_batch_hold_the_value_once
                a_retry_by_hand_takes_the_value_anew
                a_retry_by_hand_takes_a_kept_value_with_it
            }
            order {
                jobs_are_claimed_in_the_order_of_their_ids
                priority_goes_before_due_time_and_that_before_id
                priority_is_strict
                a_job_does_not_start_before_its_time
                groups_take_turns
                a_backlog_does_not_stand_before_another_groups_job
                a_group_does_not_gain_by_coming_and_going
                many_new_groups_do_not_stand_before_an_old_one
                priority_orders_a_groups_own_jobs_only
                a_job_in_backoff_does_not_hold_its_group_up
                a_job_that_comes_back_waits_by_its_new_due_time
                a_waiting_job_can_be_told_how_many_are_before_it
                who_does_not_wait_for_a_claim_has_nobody_before_it
            }
            claim {
                a_claim_counts_the_attempt_before_the_work_begins
                a_claim_brings_the_input
                a_claim_takes_no_more_than_it_brings_nonces
                every_lease_has_one_of_the_nonces_that_came
                no_two_claims_get_the_same_job
                a_running_job_is_not_claimed_again
                an_unknown_queue_has_nothing_to_claim
                a_paused_queue_gives_nothing_until_it_is_resumed
                a_leases_term_is_cut_to_its_bounds
                an_attempts_time_ends_with_the_timeout_or_the_deadline
                the_fence_grows_with_every_claim
            }
            claim_id {
                a_repeated_claim_gives_back_its_leases
                a_repeated_claim_gives_back_what_still_lives
                a_lapsed_lease_is_given_back_until_it_is_reclaimed
                a_repeated_claim_needs_no_room
                a_claim_id_is_its_workers_and_its_queues_own
            }
            rate {
                a_burst_starts_at_once_and_then_one_each_interval
                one_seconds_worth_is_the_burst_unless_written
                no_end_of_an_attempt_gives_a_start_back
                claims_at_the_same_time_respect_the_rate
                a_rate_counts_what_started_not_what_was_asked_for
                a_changed_rate_holds_from_the_next_claim_on
                a_waiting_job_says_that_a_rate_holds_it_and_until_when
            }
            groups {
                a_groups_concurrency_is_never_exceeded
                a_groups_rate_lets_so_many_start
                a_group_at_its_limit_takes_nobodys_turn
                what_is_written_for_a_group_beats_the_defaults
                limits_of_groups_that_are_set_late_count_what_runs
                a_queue_that_is_not_fair_has_one_order
                a_job_says_that_its_groups_limit_holds_it
                a_group_is_its_queues_own
                what_is_written_for_groups_ends_with_their_queue
                many_groups_at_their_limits_let_others_start
                a_claim_passes_over_the_groups_that_it_names
            }
            depth_bytes {
                no_more_bytes_wait_than_the_queue_allows
                every_way_to_stop_waiting_gives_the_bytes_back
                a_bound_that_is_set_late_counts_what_waits
            }
            waiting {
                whoever_waits_first_is_served_first
                one_submission_serves_all_who_wait
                who_comes_while_there_are_jobs_does_not_wait
                a_claim_that_is_withdrawn_takes_nothing
                waiting_claims_respect_pause_and_limits
                a_job_that_becomes_due_goes_to_whoever_waits
                a_waiting_claim_that_is_repeated_gives_back_its_leases
                a_claim_waits_for_its_own_queue
                what_comes_with_a_job_is_there_when_it_is_claimed_at_once
            }
            concurrency {
                concurrency_is_never_exceeded
                claims_at_the_same_time_respect_concurrency
                a_changed_concurrency_holds_for_the_next_claim
                concurrency_is_each_queues_own
                a_claims_own_bound_counts_all_that_run
            }
            lease {
                a_renewal_extends_the_lease
                a_renewal_never_passes_the_attempts_time
                a_renewals_term_is_cut_to_its_bounds
                a_lapsed_lease_lives_until_it_is_reclaimed
                a_live_lease_is_not_reclaimed
                a_reclaimed_job_is_tried_again_after_its_backoff
                jobs_that_lost_their_worker_together_do_not_come_back_together
                a_job_that_kills_its_workers_runs_out_of_attempts
                an_attempt_over_its_time_is_timed_out
                a_reclaimed_lease_is_fenced
                a_lease_that_nobody_was_given_is_refused
                one_lost_lease_in_a_batch_of_renewals_harms_no_other
                a_reclaim_ends_no_more_than_its_limit
                the_next_end_is_told
                a_lease_that_is_handed_over_runs_to_the_attempts_deadline
                a_job_that_was_handed_over_is_settled_under_its_lease
                what_the_server_holds_is_never_shortened
            }
            settle {
                a_store_keeps_what_was_decided
                a_success_is_final_and_its_result_stays
                settling_twice_with_the_same_content_is_harmless
                settling_twice_in_one_batch_counts_once
                a_settlement_is_forgotten_at_the_next_claim
                one_lost_lease_in_a_batch_of_settlements_harms_no_other
                a_failed_attempt_is_tried_again_after_its_backoff
                a_handlers_retry_after_is_the_least_delay
                a_job_that_its_handler_refuses_is_not_tried_again
                an_attempt_given_back_is_not_charged
                a_document_tells_of_the_last_attempts
                a_deadline_ends_the_retries
                a_result_without_bytes_is_a_result
                a_result_comes_back_to_the_byte
            }
            emit {
                what_is_emitted_is_read_in_its_order
                output_is_read_in_pages
                a_repeated_chunk_is_kept_once
                a_chunk_with_other_content_is_refused
                a_gap_is_refused
                a_lease_that_is_over_emits_nothing
                every_lease_counts_its_chunks_from_the_start
                an_attempt_emits_no_more_than_its_queue_allows
                what_earlier_attempts_emitted_goes_when_it_is_too_much
                output_goes_with_its_job
                a_result_that_was_emitted_before_comes_back_whole
                one_refused_emission_harms_no_other
                a_worker_that_emits_hears_that_it_is_to_stop
            }
            cancel {
                a_waiting_job_is_cancelled_at_once
                a_running_job_is_asked_to_stop
                success_wins_over_a_cancel_request
                anything_but_success_ends_cancelled_when_that_was_asked
                a_worker_that_does_not_stop_loses_its_lease_after_the_grace
                a_finished_job_stays_as_it_is_when_cancelled
                one_unknown_id_in_a_batch_of_cancels_harms_no_other
                a_cancel_and_a_claim_at_the_same_time_agree
                a_cancel_and_a_success_at_the_same_time_agree
                purging_cancels_what_waits_and_nothing_else
                an_endpoint_that_settles_later_has_the_grace_to_stop
            }
            overdue {
                a_job_that_was_not_started_in_time_expires
                a_job_that_is_claimed_in_time_is_started_in_time
                an_overdue_job_is_not_claimed_even_before_it_is_ended
                a_deadline_before_any_start_expires_the_job
                a_deadline_between_attempts_fails_the_job
                a_deadline_ends_a_running_attempt
                the_earlier_of_two_limits_counts
            }
            by_hand {
                a_retry_is_a_new_job_with_the_same_request
                every_outcome_can_be_retried
                an_unfinished_job_is_not_retried
                a_retry_repeated_while_it_is_unfinished_is_the_same_job
                a_retry_that_was_forgotten_can_be_made_anew
                a_batch_of_retries_is_independent
                a_refused_retry_leaves_the_old_job_alone
                a_retry_keeps_its_input_when_the_old_job_is_forgotten
                a_deleted_job_is_gone_and_said_to_be
                a_tombstone_lasts_24_hours
                an_unfinished_job_is_not_deleted
            }
            clock {
                leases_and_waits_are_as_long_as_they_were_when_the_clock_is_set
                due_times_follow_a_clock_that_is_set_and_what_was_due_stays_due
                limits_go_by_the_time_that_passes_when_the_clock_is_set
                who_becomes_due_by_a_clock_that_is_set_has_all_its_time_to_be_started
                a_deadline_is_as_far_as_it_was_for_the_attempts_that_follow
                what_is_finished_is_kept_as_long_when_the_clock_is_set
                batches_are_open_and_kept_as_long_when_the_clock_is_set
                a_batch_was_opened_when_the_clock_said_so_whatever_its_id_says
            }
            retention {
                a_finished_job_stays_until_its_retention_is_over
                a_pruned_job_is_said_to_be_gone_for_24_hours
                an_unfinished_job_is_never_pruned
                a_prune_takes_no_more_than_its_limit
                a_job_that_outlives_its_queue_is_kept_as_long
            }
            queues {
                a_queue_is_there_as_it_was_written
                a_put_replaces_the_settings_whole
                changed_settings_hold_for_jobs_that_are_there
                queues_are_listed_by_name
                an_unknown_queue_is_said_to_be
                a_managed_queue_is_changed_by_its_manager_only
                a_queue_can_become_managed
                a_queue_that_is_released_is_everybodys
                pausing_twice_is_pausing_once
                counts_follow_the_jobs
                a_queue_with_unfinished_jobs_is_not_deleted
                a_queue_made_again_begins_with_fresh_settings
            }
            namespaces {
                a_stranger_sees_no_job_of_another_namespace
                a_stranger_sees_no_queue_of_another_namespace
                queues_of_one_name_have_nothing_in_common
                an_idempotency_key_is_its_namespaces_own
                a_claim_id_is_its_namespaces_own
                upkeep_works_on_every_namespace
            }
            observer {
                a_settlement_is_told_with_its_result
                a_cancel_is_told
                a_reclaim_and_an_expiry_are_told
                a_job_that_is_retried_by_hand_is_told
                a_queue_that_has_more_to_claim_is_told
                a_resumed_queue_is_told
                a_place_that_becomes_free_is_told
                a_rate_that_lets_more_start_is_told
                a_place_that_an_endpoint_leaves_is_told
                acceptance_claims_and_progress_are_told
                chunks_are_told
                members_that_end_are_told_in_the_order_of_their_places
                the_last_observer_is_told
            }
            listing {
                jobs_are_listed_newest_first_page_by_page
                a_listing_shows_what_its_filter_says_and_nothing_else
                a_forgotten_job_is_not_listed
                a_page_goes_on_where_the_one_before_ended_whatever_happened_since
            }
            patch {
                a_job_that_has_not_started_can_be_changed
                a_changed_priority_or_start_moves_the_job
                a_change_costs_a_group_no_turn
                changed_tags_are_the_ones_it_is_found_by
                a_job_that_has_started_or_changed_is_not_patched
                a_patch_that_changes_nothing_is_no_transition
                progress_is_told_until_the_attempt_ends
            }
            lag {
                a_store_tells_how_far_behind_its_work_is
            }
            deliveries {
                every_way_to_end_makes_its_deliveries
                a_job_that_goes_on_makes_none
                a_delivery_is_tried_until_it_is_taken
                a_try_that_nobody_ends_is_made_again
                a_try_that_sent_nothing_does_not_count
                a_queue_whose_receiver_is_gone_tells_it_no_more_until_it_is_written_again
                a_job_is_kept_until_it_was_told
                a_deleted_job_takes_its_deliveries_along
                a_delivery_can_be_asked_for_again
                deliveries_are_listed_newest_first_page_by_page
                a_stranger_sees_no_delivery_of_another_namespace
            }
            batches {
                lines_become_members_that_are_counted
                a_line_that_makes_no_job_is_counted_and_told
                many_rejected_lines_are_counted_and_the_first_are_told
                a_line_is_taken_once
                a_batch_is_done_when_it_is_sealed_and_nothing_remains
                a_sealed_batch_takes_no_more_lines
                an_upload_is_recognised_by_its_key
                results_come_in_the_order_in_which_members_end
                a_cancelled_batch_ends_all_that_is_unfinished
                an_upload_that_is_not_taken_up_again_is_cancelled
                tending_goes_on_with_what_a_cancel_began
            }
            batches_over {
                a_batch_that_is_done_tells_its_receiver_once
                members_are_kept_as_long_as_their_batch
                a_batch_with_failures_is_kept_longer
                a_member_that_is_deleted_stays_counted
                a_retried_member_is_no_member
                members_with_callbacks_are_kept_until_those_are_told
                what_happens_to_a_batch_is_told
                a_stranger_sees_no_batch_of_another_namespace
            }
            secrets {
                the_first_secret_that_is_brought_stays
                who_asks_at_the_same_time_gets_the_same_secret
                a_former_secret_signs_for_a_day
                a_secret_can_be_replaced_before_anybody_asked_for_it
                a_secret_is_its_namespaces_own
                the_ticket_key_never_changes
            }
            keys {
                the_pepper_never_changes
                a_key_is_kept_with_all_that_it_allows
                the_first_key_must_be_able_to_make_others
                a_key_that_was_revoked_is_gone
                the_last_key_that_can_administer_stays
                a_key_is_its_namespaces_own
                the_last_use_of_a_key_only_moves_on
                whose_a_job_is_can_be_asked
            }
            acts {
                an_act_is_recorded_with_what_it_does
                every_administrative_operation_is_recorded
                the_row_of_a_key_that_was_made_names_it
                what_an_operation_refused_is_not_recorded_by_it
                an_act_has_one_row
                the_log_is_read_page_by_page
                the_log_shows_what_is_asked_for_and_nothing_else
                acts_are_forgotten_when_their_time_is_over
                no_flood_of_acts_fills_the_store
                a_stranger_sees_no_act_of_another_namespace
            }
            closing {
                an_open_store_can_write
                a_close_finishes_what_was_handed_over
                a_closed_store_takes_nothing
            }
        }
    };
}
