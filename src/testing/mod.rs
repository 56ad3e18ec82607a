//! The conformance suite: one function and more per clause of the contract, for any backend.
//!
//! A backend is held to it by a [`Harness`] and the macro [`conformance!`](crate::conformance),
//! which makes one test of each function. The functions are grouped by the families of clauses and
//! named after their clause, see `docs/contract.md`. They know the public interface only, so that
//! what they accept is what a user of the store sees.

#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::print_stderr,
    clippy::needless_pass_by_value,
    reason = "a test fails by panicking and says what it skips"
)]

mod append;
pub mod bytes;
mod checked;
mod commit;
pub mod directory;
mod errors;
#[cfg(test)]
mod faults;
mod following;
mod harm;
mod material;
pub mod metadata;
pub mod operations;
mod read;
mod records;
mod results;
pub mod run;
#[doc(hidden)]
pub mod simulation;
mod small;
mod streams;

use self::checked::CheckedHarness;
use crate::clock::Clock;
use crate::limits::Limits;
use crate::position::GlobalPosition;
use crate::store::{EventStore, RecordStore};

/// Opens the stores of one backend for the suite.
///
/// # Examples
///
/// ```
/// use annals::limits::Limits;
/// use annals::testing::{Harness, run};
/// use annals::{Clock, EventStore, MemoryStore};
///
/// struct Memory;
///
/// impl Harness for Memory {
///     fn open(&self, clock: Clock, limits: Limits) -> Box<dyn EventStore> {
///         Box::new(MemoryStore::with(clock, limits))
///     }
/// }
///
/// run("a3_a_retried_append_returns_the_original_result", &Memory);
/// ```
pub trait Harness {
    /// Opens a new, empty store.
    fn open(&self, clock: Clock, limits: Limits) -> Box<dyn EventStore>;

    /// Opens a new store, empty, for the records beside its events; `None` when the backend keeps none,
    /// which it does not by default.
    fn open_records(&self) -> Option<Box<dyn RecordStore>> {
        None
    }

    /// Closes the store that [`open`](Self::open) gave last and opens it again; `None` when the
    /// backend is not durable, which it is not by default.
    fn reopen(
        &self,
        store: Box<dyn EventStore>,
        clock: Clock,
        limits: Limits,
    ) -> Option<Box<dyn EventStore>> {
        let _ = (store, clock, limits);
        None
    }

    /// Closes the store that [`open`](Self::open) gave last, damages the bytes in which the event at
    /// `position` is kept, and opens the store for reading; `None` when that can not be done.
    fn damage(
        &self,
        store: Box<dyn EventStore>,
        position: GlobalPosition,
    ) -> Option<Box<dyn EventStore>> {
        let _ = (store, position);
        None
    }
}

type Function = fn(&dyn Harness);

/// The names of all functions of the suite, each beginning with its clause.
///
/// # Examples
///
/// ```
/// assert!(annals::testing::names().any(|name| name.starts_with("s1_")));
/// ```
pub fn names() -> impl Iterator<Item = &'static str> {
    FUNCTIONS.iter().map(|(name, _)| *name)
}

/// Runs one function of the suite.
///
/// Whatever the function asks for, every result of a commit is compared with what is read back.
///
/// # Panics
///
/// When the backend does not keep the clause, and when no function has this name.
pub fn run(name: &str, harness: &dyn Harness) {
    let function = FUNCTIONS.iter().find(|(own, _)| *own == name);
    let (_, function) = function.unwrap_or_else(|| panic!("the suite has no function {name}"));
    function(&CheckedHarness(harness));
}

/// Says on standard error what can not be checked on this backend.
fn skip(name: &str, why: &str) {
    eprintln!("skipped {name}: {why}");
}

/// Makes one test of every function of the conformance suite.
///
/// The argument is an expression that makes a [`Harness`](crate::testing::Harness); it is evaluated
/// anew for each test.
#[macro_export]
macro_rules! conformance {
    ($harness:expr) => {
        $crate::testing::conformance!(@list @tests $harness);
    };
    (@tests $harness:expr; $($family:ident { $($name:ident)+ })+) => {
        $($(
            #[test]
            fn $name() {
                $crate::testing::run(stringify!($name), &$harness);
            }
        )+)+
    };
    (@functions; $($family:ident { $($name:ident)+ })+) => {
        &[$($((stringify!($name), $family::$name as Function),)+)+]
    };
    (@list @$what:ident $($harness:expr)?) => {
        $crate::testing::conformance! { @$what $($harness)?;
            streams {
                s1_the_same_id_under_two_types_is_two_streams
                s1_names_that_run_together_the_same_are_different_streams
                s2_each_spelling_of_a_uuid_is_an_id_of_its_own
                s2_tenants_and_actors_come_back_as_they_went_in
                s2_real_and_odd_ids_come_back_as_they_went_in
                s2_the_longest_aggregate_type_is_taken_and_the_rules_hold
                s3_versions_and_positions_count_from_one_without_gaps
                s3_a_refused_append_burns_no_number
                s3_numbers_go_on_after_reopening
                s4_a_claimed_version_that_is_right_is_taken
                s4_a_claimed_version_that_is_wrong_is_an_error
                s4_a_conflict_is_reported_before_a_wrong_claim
            }
            append {
                a1_an_append_is_whole_and_readable_when_it_returns
                a1_a_refused_batch_leaves_none_of_its_events
                a1_what_was_appended_is_there_after_reopening
                a1_every_field_comes_back_as_it_was_given
                a2_exact_is_the_version_the_stream_has
                a2_no_stream_is_for_a_stream_without_events
                a2_stream_exists_is_for_a_stream_with_events
                a2_any_checks_nothing
                a7_an_empty_batch_checks_the_version_and_writes_nothing
                a8_a_payload_at_its_limit_is_taken_and_one_over_refused
                a8_a_commit_of_too_many_events_is_refused
                a8_a_commit_of_too_many_bytes_is_refused
                a8_tags_are_limited_in_number_and_length
                a8_event_types_and_metadata_are_limited
                a8_limits_are_lowered_but_never_raised
                a8_limits_come_before_everything_else
                a9_recorded_times_never_decrease_when_the_clock_steps_back
                a9_recorded_times_never_decrease_across_reopening
                a9_the_events_of_a_commit_share_their_time
                a9_the_time_an_event_happened_is_not_touched
                a9_an_event_without_a_time_occurs_at_that_of_the_clock
                a10_threads_with_exact_versions_lose_no_update
                a10_of_many_that_expect_no_stream_one_succeeds
                a10_the_same_batch_from_many_threads_is_recorded_once
            }
            results {
                a3_a_retried_append_returns_the_original_result
                a3_a_retry_is_recognised_after_other_appends
                a3_a_retry_is_recognised_after_reopening
                a3_a_part_of_what_is_recorded_is_a_retry_too
                a3_known_ids_in_another_order_are_no_retry
                a3_only_type_and_payload_tell_a_retry_from_another_event
                a3_a_retry_comes_before_conditions_that_its_own_events_match
                a3_a_wrong_claim_is_an_error_in_a_retry_too
                a4_known_events_are_skipped_and_new_ones_appended_in_order
                a4_skipping_comes_after_the_expected_version
                a4_reject_refuses_a_batch_with_a_known_event
                a4_a_whole_retry_is_a_success_under_reject_too
                a5_an_id_of_another_stream_is_an_error
                a5_an_id_with_another_type_or_payload_is_an_error
                a5_a_taken_id_comes_before_a_conflict_in_a_commit
                a6_an_event_twice_in_a_batch_is_recorded_once
                a6_an_event_twice_in_a_batch_is_refused_under_reject
                a6_two_events_with_one_id_in_a_batch_are_an_error
            }
            commit {
                c1_a_commit_writes_to_all_its_streams_in_its_order
                c1_nothing_is_written_when_one_stream_is_not_as_expected
                c1_a_commit_is_there_as_a_whole_after_reopening
                c1_a_commit_that_only_checks_writes_nothing
                c2_a_query_matches_by_type_tags_and_category
                c2_any_item_of_a_query_matches
                c2_each_condition_has_its_own_position
                c2_a_position_beyond_the_end_is_refused
                c2_a_position_beyond_the_end_comes_after_a_retry_and_before_the_checks
                c2_a_commit_does_not_match_its_own_conditions
                c2_of_threads_that_claim_one_name_one_succeeds
                c3_a_refusal_names_every_check_that_failed
                c3_a_commit_of_one_stream_is_refused_by_the_same_error
                c4_appends_to_one_stream_see_each_other
                c4_a_retried_commit_returns_the_original_result
                c4_a_retry_of_which_a_part_is_new_is_checked
                c4_ids_repeated_across_the_appends_of_a_commit_follow_a6
                c4_skipped_events_do_not_count_for_later_appends
                c4_an_empty_commit_does_nothing
                c4_the_limits_of_a_commit_count_all_its_streams
                c4_readers_see_no_part_of_a_commit_without_the_rest
            }
            read {
                r1_a_read_does_not_see_what_is_appended_later
                r1_a_read_under_way_does_not_hold_up_appends
                r1_a_read_outlives_its_store_handle_and_moves_to_a_thread
                r2_bounds_and_limit_of_a_stream_count_versions
                r2_bounds_and_limit_of_the_whole_store_count_positions
                r2_the_limit_counts_what_passes_the_filter
                r2_pages_put_together_are_the_whole
                r3_types_tags_and_categories_filter_every_kind_of_read
                r3_events_without_a_tenant_never_match_a_tenant_filter
                r3_bounds_of_time_are_inclusive_instants
                r3_filters_combine_with_and
                r4_a_category_is_read_in_global_order
                r4_a_query_is_read_in_global_order_and_each_event_once
                r4_what_is_indexed_is_the_same_after_reopening
                r5_an_absent_stream_reads_as_empty
                r5_the_version_of_a_loaded_stream_is_not_the_count
                r6_a_read_that_is_dropped_early_costs_nothing_more
                r6_events_that_are_lent_are_those_that_are_handed_out
                r6_interleaved_reads_do_not_disturb_each_other
                r7_the_store_is_shown_as_it_was_at_a_time
                r8_a_damaged_event_is_an_error_at_its_place
                r8_an_answer_that_may_depend_on_damage_is_that_error
            }
            following {
                f1_every_event_is_delivered_once_and_in_order_while_threads_append
                f1_a_subscription_begins_where_it_is_told
                f1_a_subscription_goes_on_after_reopening
                f1_a_watcher_is_called_for_the_next_event_and_not_before
                f1_waiting_ends_with_the_next_event_and_not_before
                f1_a_start_behind_the_end_is_refused
                f2_what_is_filtered_out_moves_the_position
                f2_queries_and_filters_combine
                f3_a_subscriber_that_never_asks_holds_up_no_append
                f3_subscriptions_do_not_disturb_each_other
                f5_the_id_at_a_position_is_that_of_its_event
                f5_a_subscription_begins_after_an_event_that_is_there
                f5_another_history_is_refused
                f5_what_was_filtered_out_is_compared_too
            }
            records {
                k1_a_record_is_what_was_written_last_under_its_kind_and_name
                k2_a_removed_record_is_absent
                k3_records_are_listed_by_kind_and_sorted
                k4_a_name_is_claimed_by_one_at_a_time
            }
            errors {
                e1_rejections_are_told_apart_and_say_what_happened
                e2_names_that_break_the_rules_are_refused_in_events
                e2_odd_names_and_payloads_come_back_as_they_went_in
                e2_names_that_no_event_has_are_refused_in_reads
                e2_extreme_numbers_are_taken_for_what_they_are
            }
        }
    };
}

static FUNCTIONS: &[(&str, Function)] = conformance!(@list @functions);

// The macro reaches itself through this module, which owns it, and not through the crate's root.
pub use conformance;
