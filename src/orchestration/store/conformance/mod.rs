//! What every store has to do, as a suite of cases that any backend can be held against.
//!
//! A backend passes if [`store_conformance!`](crate::store_conformance) makes only green tests of it. Every
//! case gets a fresh store; after it the store's audit must be clean and the store must close well. Cases
//! never sleep: leases of no length have run out at once, and a retry is waited for as long as the store
//! itself says.
//!
//! ```
//! mod memory {
//!     use std::sync::Arc;
//!     use postroom::orchestration::store::{conformance::Fixture, memory::MemoryStore};
//!
//!     async fn fresh() -> Fixture {
//!         Fixture::new(Arc::new(MemoryStore::new()))
//!     }
//!
//!     postroom::store_conformance!(fresh);
//! }
//! # fn main() {}
//! ```
#![allow(
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    reason = "every case panics when the store does not do what the case is named after"
)]

mod subject;

pub mod blocking;
pub mod claims;
pub mod completions;
pub mod fail_fast;
pub mod failures;
pub mod leases;
pub mod model;
pub mod operations;
pub mod operators;
pub mod races;
pub mod reading;
pub mod retention;
pub mod selection;
pub mod submission;
pub mod sweeps;

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use super::Store;
pub use subject::Subject;

/// A fresh store, and whatever has to live as long as it does (a temporary folder, a server).
pub struct Fixture {
    store: Arc<dyn Store>,
    kept: Option<Box<dyn Any + Send>>,
}

impl Fixture {
    /// A store that needs nothing kept.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store, kept: None }
    }

    /// Keeps something until the store has been closed.
    #[must_use]
    pub fn keeping(mut self, kept: impl Any + Send) -> Self {
        self.kept = Some(Box::new(kept));
        self
    }
}

impl fmt::Debug for Fixture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fixture").finish_non_exhaustive()
    }
}

/// Runs one case against a fresh store, audits what it left, and closes the store.
pub async fn run<F, C>(factory: impl FnOnce() -> F, case: impl FnOnce(Subject) -> C)
where
    F: Future<Output = Fixture>,
    C: Future<Output = ()>,
{
    let fixture = factory().await;
    let subject = Subject::new(Arc::clone(&fixture.store));
    subject.join().await;
    case(subject).await;
    match fixture.store.audit().await {
        Ok(violations) => assert_eq!(violations, Vec::<String>::new(), "audit after the case"),
        Err(super::StoreError::Closed) => {}
        Err(error) => panic!("audit: {error}"),
    }
    for exit in fixture.store.close().await {
        assert!(exit.is_balanced(), "{exit}");
    }
    drop(fixture.kept);
}

/// Makes one test of every case of the [conformance suite](crate::orchestration::store::conformance), for
/// the stores that an async function without arguments makes. To be called once per module.
#[macro_export]
macro_rules! store_conformance {
    ($factory:expr) => {
        $crate::store_conformance! { @cases $factory;
            submission {
                a_new_task_is_stored_as_it_was_given,
                the_same_identity_is_a_duplicate,
                other_content_under_the_same_identity_is_told,
                duplicates_in_one_batch_are_found,
                a_task_that_could_not_end_is_refused_alone,
                an_id_is_given_once,
                odd_text_comes_back_unchanged,
                empty_batches_do_nothing,
            }
            claims {
                a_claim_brings_a_lease_an_epoch_and_an_attempt,
                what_is_claimed_is_not_claimed_again,
                only_the_named_handlers_are_claimed,
                a_claim_for_one_task_leaves_the_others,
                the_limit_is_kept,
                priority_then_age_then_position,
                results_of_parents_come_in_template_order,
                a_join_of_many_gets_all_their_results,
                many_handlers_keep_the_order_of_turns,
                a_submission_brings_its_first_steps,
                a_submission_brings_no_step_out_of_turn,
                a_completion_brings_the_next_steps,
                a_completion_leaves_ready_what_it_does_not_start,
                a_stale_completion_brings_the_next_steps,
                the_least_priority_is_claimed_last,
                a_completion_brings_steps_with_all_their_results,
                a_completion_brings_steps_that_run_again,
                a_completion_brings_as_many_steps_as_are_wanted,
            }
            completions {
                a_success_readies_the_children,
                the_last_success_completes_the_task,
                a_join_waits_for_all_its_parents,
                parents_in_one_batch_ready_their_join_once,
                a_second_completion_is_stale,
                a_second_completion_in_the_same_batch_is_stale,
                a_stale_completion_finds_what_stands_before_it_in_the_batch,
                a_completion_by_another_process_is_stale,
                a_completion_of_another_epoch_is_stale,
                an_unknown_step_is_not_found,
                refusals_do_not_harm_their_neighbours,
                large_results_are_kept,
                every_attempt_leaves_one_row,
            }
            failures {
                a_retry_waits_until_it_is_due,
                a_due_retry_is_claimed_as_the_next_attempt,
                a_retry_falls_due_by_itself,
                without_attempts_left_there_is_no_retry,
                a_task_waits_only_when_nothing_else_goes_on,
                a_failure_leaves_independent_branches_running,
                the_first_failed_step_in_template_order_is_named,
                a_success_after_a_failure_is_a_success,
            }
            leases {
                a_heartbeat_renews_and_lists_what_is_held,
                a_released_step_is_ready_and_its_attempt_does_not_count,
                leases_no_longer_held_are_not_released,
                a_process_that_leaves_gives_everything_back,
                processes_are_listed_as_they_registered,
                registering_again_replaces,
            }
            sweeps {
                a_lease_that_ran_out_is_taken_back,
                a_renewed_lease_is_left_alone,
                the_leases_of_the_dead_are_taken_back,
                a_lost_lease_uses_up_no_attempt,
                too_many_lost_leases_fail_the_step,
                a_sweep_keeps_its_limit,
                who_lost_a_lease_completes_in_vain,
            }
            blocking {
                a_task_nobody_can_run_is_blocked_until_somebody_can,
                a_process_for_one_task_counts_for_that_task_alone,
                a_task_with_something_to_do_is_not_blocked,
                a_claim_ends_the_block,
                a_silent_process_does_not_count,
                a_retry_blocks_only_when_it_is_due,
                every_missing_handler_is_named,
            }
            operations {
                a_task_is_cancelled_in_any_unfinished_state,
                a_cancelled_step_is_completed_in_vain,
                what_is_finished_is_not_cancelled,
                a_retried_task_keeps_what_is_complete,
                only_failed_tasks_are_retried,
                there_is_nothing_to_finalise_twice,
                operations_on_the_same_task_in_one_batch_see_each_other,
                an_unknown_task_is_not_found,
            }
            operators {
                a_paused_task_is_not_claimed_until_it_is_resumed,
                a_paused_task_can_end,
                a_task_resumed_before_its_retry_is_due_waits,
                a_task_is_resolved_whether_unfinished_or_failed,
                a_resolved_step_lets_its_dependents_go_on,
                a_step_is_completed_by_hand_even_while_it_runs,
                the_last_failure_resolved_completes_the_task,
                steps_are_resolved_and_completed_only_where_that_makes_sense,
                a_rerun_resets_a_step_and_its_descendants,
                a_rerun_is_refused_while_a_step_of_it_is_leased,
                a_cancelled_task_can_be_rerun,
                concurrent_reruns_and_claims_never_mix_their_results,
            }
            fail_fast {
                a_failure_cancels_what_has_not_started,
                steps_that_run_are_told_to_stop_and_the_task_waits_for_them,
                nothing_is_tried_again_in_a_task_that_fails_fast,
                a_failure_counts_for_those_behind_it_in_the_batch,
                a_stale_completion_behind_a_failure_finds_its_step_cancelled,
                a_retry_takes_up_what_was_cancelled,
                a_failure_that_is_resolved_stops_nothing_more,
            }
            selection {
                only_the_templates_served_are_claimed,
                a_task_that_nobody_serves_is_blocked,
                a_task_that_is_to_run_later_waits,
                a_moment_that_has_passed_is_now,
            }
            retention {
                failed_steps_are_dead_letters_until_they_are_dealt_with,
                what_ended_long_ago_is_deleted,
                deleting_goes_on_batch_by_batch,
                a_process_silent_for_long_is_forgotten,
            }
            reading {
                tasks_are_listed_newest_first_as_the_filter_says,
                what_does_not_exist_is_none,
                history_is_told_in_order,
                what_waits_and_what_runs_is_counted,
                a_closed_store_says_so,
            }
            races {
                a_hundred_submissions_of_one_task_make_one,
                concurrent_claims_never_share_a_step,
                parents_completing_at_once_ready_their_join_once,
                concurrent_sweeps_take_back_once,
                a_task_ends_once_however_it_is_ended,
                many_workers_run_every_step_once,
            }
            model {
                random_work_does_what_the_model_says,
            }
        }
    };
    (@cases $factory:expr; $($group:ident { $($case:ident,)* })*) => {
        $(
            mod $group {
                #[allow(unused_imports)]
                use super::*;
                $(
                    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                    async fn $case() {
                        $crate::orchestration::store::conformance::run(
                            $factory,
                            $crate::orchestration::store::conformance::$group::$case,
                        )
                        .await;
                    }
                )*
            }
        )*
    };
}
