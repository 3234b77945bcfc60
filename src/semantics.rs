//! What is promised, and which tests prove it.
//!
//! The tests of a clause carry its number in their names. A test of its own checks that every test
//! named here exists, and that every test with a clause's number is named here.
//!
//! # Clauses
//!
//! | Clause | Proved | Promise |
//! |---|---|---|
//! | R1 | yes | One handler runs at a time per actor, with `&mut self`, across awaits. Handlers are native `async fn`. The error belongs to the message. Actors that ask each other compile. |
//! | R2 | yes | If one send returned `Ok` before another began, its message is handled first, whatever the senders, types and handles. |
//! | R3 | yes | Capacity is the number of accepted messages whose handler has not started, plus unused permits and promised slots, exactly. A slot is free when the handler (or batch) starts. `Full` only if all slots are taken or someone waits; a freed slot goes to the longest waiter; a dropped wait leaves nothing behind. Capacity 0 is an error. |
//! | R4 | yes | `tell` waits for room; `try_tell` and a timed tell give the message back; `reserve` gives a permit, also an owned one. A mailbox may instead drop its newest (a tell gets `Ok(Dropped)`, an ask `Full(M)`) or evict its oldest (an evicted asker gets `Evicted(M)`; permits are never evicted). Every drop is counted. |
//! | R5 | in part | Stop levels are state and no queue: they need no room and go before messages. Not yet: health and death notices, the bound of 16 control items. |
//! | R6 | yes | Errors say whether the handler ran, and give the message back if not. |
//! | R7 | yes | A plain ask has the deadline of the handler that makes it, or none. A queued message whose asker is gone is skipped and counted, unless its type opts out. Timeouts cover room, queue and handling, and revoke what is queued. A running handler is never cancelled by its asker. A clock is touched only when a timeout is set. |
//! | R8 | yes | Waiting for oneself returns `WouldDeadlock`, through handles, recipients, routes, permits and pending replies. With debug assertions a circle of asks, waits for room and direct calls is logged by name, once; a look for one ends after 1,000 sends. |
//! | R9 | yes | The general form of a handler gets a reply token, which may move into a task or another message, and knows its asker's deadline and whether the asker has gone. A dropped token answers `NoReply`. An ask can be enqueued now and its answer awaited later and elsewhere. |
//! | R10 | yes | A batch is the run of consecutive messages of one type at the head, at most `MAX_BATCH`; each is answered separately; a panic answers every unanswered one. |
//! | R11 | yes | `started` and `stopped` have deadlines. `stopped` runs once for every `started` that returned `Ok`, also after a panic or a kill, and the next incarnation starts only after it. An actor without a `started` of its own has started when it is spawned. |
//! | R12 | yes | A handler's error is the asker's answer and stops nothing. A panic ends no other actor; a panic in a hook, a drop or a payload is reported and hangs nothing. (A build with `panic = "abort"` has no isolation.) |
//! | R13 | yes | Permanent and transient actors come from a factory, temporary ones are plain values. Intensity in a sliding window, backoff with full jitter; an outside stop is final. A critical actor that fails for good shuts its registry down. Groups restart together, one-for-all or rest-for-one: siblings finish their handler within their stop deadline, end in reverse order and start in order. |
//! | R14 | yes | The mailbox, its messages, its waiting senders and all handles survive a restart; the message that panicked is consumed. A type may have its messages handled again, at most n times, before all others; then they are set aside and reported. Repeated panics of one type are reported. |
//! | R15 | yes | All mailboxes exist before the first start; actors start in order, each ready before the next; a failed start rolls back in reverse. Names, routes and declared sends are checked. A dropped registry stops its actors and warns. Actors are added and removed while the registry runs, without trace. |
//! | R16 | yes | `drain`, `stop` and `kill`; levels only rise. A shutdown closes the routes at once and each mailbox in its turn, in reverse order, under deadlines, in a task of its own. Every accepted message is accounted for. |
//! | R17 | `r17_a_runtime_that_goes_before_the_first_poll_is_told_of` | `tests/actors/life.rs` |
//! | R17 | yes | An actor that no registry holds drains when its last handle, recipient, permit and pending send are gone. `closed` is repeatable and carries the account. Handles have a name, an id, `Eq`, `Hash` and `Debug`. |
//! | R18 | yes | Both kinds of runtime; a flooded mailbox starves neither timers nor stop nor other tasks. Threads send with blocking variants, which are an error inside a runtime. |
//! | R19 | yes | Depth, high-water mark, every term of the account and restarts are readable at any time, exactly (the high-water mark to one message, if one leaves as another comes); the age of the running handler from the first look at it on. Unasked for, no clock is looked at: times are sampled, and histograms go through the `metrics` facade alone. |
//! | R20 | yes | If a subscriber asks for them, handlers run in spans (`handle`, target `postroom::handler`, level `DEBUG`) that follow from the span of the sender and have no parent, so that they nest nothing. Unasked for they add no bytes to a message, and one look at the level to its way. |
//! | R21 | yes | A kit (feature `testing`) steps an actor message by message, looks into its mailbox and its state, stands in for a collaborator, injects faults, fills mailboxes and works with virtual time. |
//! | R22 | yes | Two dispatchers for one trait: behind a mailbox, or called in place behind a fair asynchronous mutex, with the same hooks, errors, restarts and counts. (`benches/dispatch.rs` measures the price of the mailbox.) |
//! | R23 | yes | An ask of an idle actor can run its handler in the asker's task, and so can a tell, by default if handlers are brief; if the handler has to wait, the actor's task goes on with it, whatever the asker does, and a tell does not wait. Nobody is overtaken who waits for room or has been given some. At most 8 run inside each other, and an asker in a loop gives way: after 4 where others ask too. One that meets a sender in a handler gives way up to 8 times before it is queued. Exclusion, order, conservation and the actor's identity are as if it had been queued, against the queue, kills, stops, restarts and a runtime that goes away (and by the model checks of `tests/loom.sh`). |
//!
//! # Tests
//!
//! | Clause | Test | File |
//! |---|---|---|
//! | R1 | `r01_an_answer_and_an_error_keep_their_types` | `tests/actors/messages.rs` |
//! | R1 | `r01_one_handler_at_a_time_across_awaits` | `tests/actors/messages.rs` |
//! | R1 | `r01_actors_that_ask_each_other_compile` | `tests/actors/messages.rs` |
//! | R1 | `r01_the_public_types_are_as_free_as_their_messages` | `tests/actors/messages.rs` |
//! | R2 | `r02_each_sender_is_handled_in_its_own_order` | `tests/actors/backpressure.rs` |
//! | R2 | `r02_order_holds_across_types_senders_and_handles` | `tests/actors/messages.rs` |
//! | R2 | `r02_the_mailbox_keeps_the_order_of_the_sends` | `tests/actors/stepped.rs` |
//! | R3 | `r03_capacity_is_exact_and_the_running_message_takes_no_slot` | `tests/actors/backpressure.rs` |
//! | R3 | `r03_a_slot_is_free_as_soon_as_the_handler_starts` | `tests/actors/backpressure.rs` |
//! | R3 | `r03_capacity_zero_is_an_error` | `tests/actors/backpressure.rs` |
//! | R3 | `r03_an_unused_permit_takes_a_slot` | `tests/actors/backpressure.rs` |
//! | R3 | `r03_a_dropped_permit_gives_its_slot_to_the_longest_waiter` | `tests/actors/backpressure.rs` |
//! | R3 | `r03_a_dropped_wait_leaves_nothing_behind` | `tests/actors/backpressure.rs` |
//! | R3 | `r03_a_dropped_wait_passes_its_promised_slot_on` | `tests/actors/backpressure.rs` |
//! | R3 | `r03_a_revoked_message_keeps_its_slot_until_its_turn` | `tests/actors/backpressure.rs` |
//! | R3 | `r03_a_freed_slot_goes_to_the_longest_waiter` | `tests/actors/backpressure.rs` |
//! | R3 | `r03_try_tell_is_full_while_someone_waits` | `tests/actors/backpressure.rs` |
//! | R3 | `r03_any_schedule_keeps_capacity_order_and_conservation` | `tests/actors/backpressure_model.rs` |
//! | R3 | `r03_a_waker_that_panics_harms_neither_the_actor_nor_who_waits_behind` | `tests/actors/endings.rs` |
//! | R3 | `r03_a_waker_that_panics_at_the_answer_is_not_the_handlers_fault` | `tests/actors/endings.rs` |
//! | R3 | `r03_the_count_of_messages_may_wrap_around` | `src/mailbox/slots.rs` |
//! | R3 | `r03_what_senders_remember_is_renewed_while_all_of_them_wait` | `src/mailbox/slots.rs` |
//! | R3 | `r03_what_senders_remember_may_go_back` | `src/mailbox/slots.rs` |
//! | R3 | `r03_a_waker_that_panics_when_dropped_loses_no_slot` | `src/mailbox/slots.rs` |
//! | R3 | `r03_one_slot_is_the_high_water_mark_of_one_that_was_taken` | `src/mailbox/slots.rs` |
//! | R3 | `r03_a_capacity_that_is_lowered_holds_from_then_on` | `src/mailbox/slots.rs` |
//! | R4 | `r04_try_tell_and_try_ask_give_the_message_back_when_full` | `tests/actors/backpressure.rs` |
//! | R4 | `r04_tell_waits_for_room` | `tests/actors/backpressure.rs` |
//! | R4 | `r04_a_timed_tell_gives_the_message_back` | `tests/actors/backpressure.rs` |
//! | R4 | `r04_a_send_does_nothing_until_it_is_polled_and_then_enqueues_at_once` | `tests/actors/backpressure.rs` |
//! | R4 | `r04_a_permit_is_closed_with_the_mailbox` | `tests/actors/backpressure.rs` |
//! | R4 | `r04_an_owned_permit_moves_into_a_task_and_keeps_the_actor` | `tests/actors/overflow.rs` |
//! | R4 | `r04_a_full_mailbox_may_drop_its_newest` | `tests/actors/overflow.rs` |
//! | R4 | `r04_a_full_mailbox_may_evict_its_oldest` | `tests/actors/overflow.rs` |
//! | R4 | `r04_permits_are_never_evicted` | `tests/actors/overflow.rs` |
//! | R4 | `r04_an_evicted_message_that_was_abandoned_is_counted_as_that` | `tests/actors/overflow.rs` |
//! | R4 | `r04_a_registered_actor_has_its_policy` | `tests/actors/overflow.rs` |
//! | R4 | `r04_eviction_against_the_receiver_loses_and_doubles_nothing` | `tests/actors/overflow.rs` |
//! | R4 | `r04_overflow_leaves_control_alone` | `tests/actors/overflow.rs` |
//! | R4 | `r04_the_oldest_is_evicted_and_the_rest_moves_up` | `tests/actors/stepped.rs` |
//! | R5 | `r05_stop_needs_no_room_and_goes_before_messages` | `tests/actors/backpressure.rs` |
//! | R6 | `r06_errors_say_whether_the_handler_ran` | `tests/actors/asks.rs` |
//! | R6 | `r06_a_kill_mid_way_is_cancelled` | `tests/actors/asks.rs` |
//! | R6 | `r06_errors_work_with_the_question_mark` | `tests/actors/asks.rs` |
//! | R6 | `r06_errors_are_readable_whatever_the_message` | `tests/actors/asks.rs` |
//! | R6 | `r06_a_timeout_revokes_what_is_still_queued` | `tests/actors/asks.rs` |
//! | R6 | `r06_a_timeout_while_the_handler_runs_is_timed_out` | `tests/actors/asks.rs` |
//! | R7 | `r07_a_timeout_covers_the_wait_for_room` | `tests/actors/asks.rs` |
//! | R7 | `r07_abandoned_ask_is_skipped` | `tests/actors/asks.rs` |
//! | R7 | `r07_no_clock_is_touched_without_a_timeout` | `tests/actors/asks.rs` |
//! | R7 | `r07_a_revoked_message_is_dropped_at_once` | `tests/actors/asks.rs` |
//! | R7 | `r07_a_message_may_insist_on_being_handled` | `tests/actors/asks.rs` |
//! | R7 | `r07_a_running_handler_is_never_cancelled_by_its_asker` | `tests/actors/asks.rs` |
//! | R7 | `r07_a_wait_that_panics_leaves_no_place_in_the_line` | `tests/actors/endings.rs` |
//! | R7 | `r07_an_ask_that_is_polled_again_panics_and_does_not_hang` | `tests/actors/endings.rs` |
//! | R7 | `r07_a_waker_may_use_the_actor_when_it_is_dropped` | `tests/actors/endings.rs` |
//! | R7 | `r07_a_nested_ask_of_a_queued_handler_inherits_its_deadline` | `tests/actors/deadlines.rs` |
//! | R7 | `r07_a_nested_ask_of_a_handler_in_place_inherits_its_deadline` | `tests/actors/deadlines.rs` |
//! | R7 | `r07_a_handler_that_was_suspended_still_has_its_deadline` | `tests/actors/deadlines.rs` |
//! | R7 | `r07_a_limit_of_ones_own_goes_before_the_inherited_one` | `tests/actors/deadlines.rs` |
//! | R7 | `r07_the_last_limit_that_was_set_counts` | `tests/actors/deadlines.rs` |
//! | R7 | `r07_a_deadline_goes_through_every_actor_on_the_way` | `tests/actors/deadlines.rs` |
//! | R7 | `r07_a_handler_without_a_deadline_hands_none_on` | `tests/actors/deadlines.rs` |
//! | R7 | `r07_those_that_nobody_waits_for_are_skipped_wherever_they_stand` | `tests/actors/stepped.rs` |
//! | R7 | `r07_a_handler_told_in_place_has_not_its_senders_deadline` | `tests/actors/told_in_place.rs` |
//! | R8 | `r08_waiting_for_oneself_is_an_error` | `tests/actors/asks.rs` |
//! | R8 | `r08_asking_another_actor_is_no_deadlock` | `tests/actors/asks.rs` |
//! | R8 | `r08_asking_oneself_through_a_route_is_an_error` | `tests/registry/routes.rs` |
//! | R8 | `r08_awaiting_ones_own_pending_reply_is_an_error` | `tests/actors/enqueue.rs` |
//! | R8 | `r08_a_circle_of_asks_is_logged_by_name_once` | `tests/telemetry/circles.rs` |
//! | R8 | `r08_a_circle_through_a_route_is_logged` | `tests/telemetry/circles.rs` |
//! | R8 | `r08_a_circle_of_waits_for_room_is_logged` | `tests/telemetry/circles.rs` |
//! | R8 | `r08_a_circle_of_direct_calls_is_logged` | `tests/telemetry/circles.rs` |
//! | R8 | `r08_the_shortest_circle_is_named` | `src/actor/circle.rs` |
//! | R8 | `r08_a_circle_counts_only_if_all_its_sends_still_wait` | `src/actor/circle.rs` |
//! | R8 | `r08_sends_beside_a_circle_do_not_hide_it` | `src/actor/circle.rs` |
//! | R8 | `r08_a_chain_may_be_of_any_length_and_few_of_its_sends_are_looked_at` | `src/actor/circle.rs` |
//! | R8 | `r08_many_sends_of_one_handler_do_not_slow_each_other` | `src/actor/circle.rs` |
//! | R8 | `r08_who_asks_back_after_the_answer_is_in_no_circle` | `tests/telemetry/circles.rs` |
//! | R9 | `r09_a_token_answers` | `tests/actors/replies.rs` |
//! | R9 | `r09_a_dropped_token_answers_no_reply` | `tests/actors/replies.rs` |
//! | R9 | `r09_a_token_may_move_into_a_task` | `tests/actors/replies.rs` |
//! | R9 | `r09_a_token_may_move_into_another_message` | `tests/actors/replies.rs` |
//! | R9 | `r09_a_token_dropped_by_a_panic_answers_panicked` | `tests/actors/replies.rs` |
//! | R9 | `r09_a_token_that_outlives_its_actor_answers_no_reply_when_dropped` | `tests/actors/replies.rs` |
//! | R9 | `r09_an_enqueued_ask_is_accepted_now_and_answered_later` | `tests/actors/enqueue.rs` |
//! | R9 | `r09_an_enqueued_ask_waits_for_room_under_its_limit_and_keeps_it` | `tests/actors/enqueue.rs` |
//! | R9 | `r09_a_pending_reply_that_is_dropped_abandons_what_is_queued` | `tests/actors/enqueue.rs` |
//! | R9 | `r09_an_enqueued_ask_of_an_idle_actor_runs_in_the_actors_task` | `tests/actors/enqueue.rs` |
//! | R9 | `r09_a_token_knows_its_deadline_and_whether_its_asker_has_gone` | `tests/actors/replies.rs` |
//! | R10 | `r10_a_batch_takes_what_is_there_up_to_its_limit` | `tests/actors/replies.rs` |
//! | R10 | `r10_a_batch_ends_where_another_type_begins` | `tests/actors/replies.rs` |
//! | R10 | `r10_each_member_is_answered_separately` | `tests/actors/replies.rs` |
//! | R10 | `r10_a_panic_answers_every_unanswered_member` | `tests/actors/replies.rs` |
//! | R10 | `r10_abandoned_members_are_left_out` | `tests/actors/replies.rs` |
//! | R10 | `r10_all_slots_of_a_batch_are_free_when_it_starts` | `tests/actors/replies.rs` |
//! | R10 | `r10_a_kill_cancels_every_unanswered_member` | `tests/actors/replies.rs` |
//! | R11 | `r11_hooks_run_once_around_the_messages` | `tests/actors/life.rs` |
//! | R11 | `r11_a_start_that_fails_in_any_way_ends_the_actor_without_stopped` | `tests/actors/life.rs` |
//! | R11 | `r11_a_start_that_calls_anothers_default_is_no_default` | `tests/actors/life.rs` |
//! | R11 | `r11_the_defaults_of_the_hooks_are_known` | `src/actor/hook.rs` |
//! | R11 | `r11_the_default_of_another_actor_is_none` | `src/actor/hook.rs` |
//! | R11 | `r11_the_default_of_the_other_hook_is_none` | `src/actor/hook.rs` |
//! | R11 | `r11_a_hook_that_calls_the_default_of_the_other_is_no_default` | `tests/actors/life.rs` |
//! | R11 | `r11_an_actor_with_nothing_to_start_has_started_when_it_is_spawned` | `tests/actors/life.rs` |
//! | R11 | `r11_trouble_in_stopped_is_reported_and_hangs_nothing` | `tests/actors/life.rs` |
//! | R11 | `r11_stopped_runs_after_a_panic_and_after_a_kill` | `tests/actors/life.rs` |
//! | R11 | `r11_a_hook_that_waits_without_a_clock_says_so` | `tests/actors/endings.rs` |
//! | R11 | `r11_incarnations_never_overlap` | `tests/actors/restarts.rs` |
//! | R12 | `r12_a_panic_while_dropping_the_state_is_reported` | `tests/actors/life.rs` |
//! | R12 | `r12_a_panic_while_dropping_a_queued_message_loses_no_other` | `tests/actors/life.rs` |
//! | R12 | `r12_a_panic_while_dropping_an_unwanted_answer_is_counted_once` | `tests/actors/endings.rs` |
//! | R12 | `r12_a_panic_while_dropping_an_evicted_message_is_not_its_evictors` | `tests/actors/overflow.rs` |
//! | R12 | `r12_a_report_that_cannot_be_logged_is_published_all_the_same` | `tests/actors/endings.rs` |
//! | R12 | `r12_a_told_messages_error_is_counted_and_logged_once` | `tests/telemetry/logs.rs` |
//! | R12 | `r12_a_handlers_error_stops_nothing` | `tests/actors/messages.rs` |
//! | R12 | `r12_a_panic_is_the_askers_answer_and_ends_no_other_actor` | `tests/actors/messages.rs` |
//! | R12 | `r12_any_panic_payload_is_survived` | `tests/actors/messages.rs` |
//! | R12 | `r12_a_panic_in_place_is_in_the_report_of_a_runtime_that_goes_away` | `tests/actors/in_place.rs` |
//! | R12 | `r12_an_asker_that_ends_the_actor_reports_what_its_task_has_noted` | `tests/actors/in_place.rs` |
//! | R12 | `r12_a_told_handler_that_panics_in_place_ends_its_actor_and_not_its_sender` | `tests/actors/told_in_place.rs` |
//! | R12 | `r12_the_error_of_a_told_handler_in_place_is_counted` | `tests/actors/told_in_place.rs` |
//! | R13 | `r13_backoff_doubles_up_to_its_cap` | `src/supervision/backoff.rs` |
//! | R13 | `r13_backoff_draws_spread_below_the_ceiling` | `src/supervision/backoff.rs` |
//! | R13 | `r13_intensity_counts_inside_a_sliding_window` | `src/supervision/intensity.rs` |
//! | R13 | `r13_slow_failures_never_exceed_the_intensity` | `src/supervision/intensity.rs` |
//! | R13 | `r13_intensity_zero_allows_no_restart` | `src/supervision/intensity.rs` |
//! | R13 | `r13_a_critical_actor_that_fails_for_good_shuts_the_registry_down` | `tests/registry/failing.rs` |
//! | R13 | `r13_a_restart_that_a_stop_prevents_is_not_counted` | `tests/actors/endings.rs` |
//! | R13 | `r13_any_other_actor_stays_down_and_the_registry_goes_on` | `tests/registry/failing.rs` |
//! | R13 | `r13_a_failed_actor_comes_back` | `tests/actors/restarts.rs` |
//! | R13 | `r13_a_plain_value_is_temporary` | `tests/actors/restarts.rs` |
//! | R13 | `r13_only_a_permanent_actor_comes_back_after_stopping_itself` | `tests/actors/restarts.rs` |
//! | R13 | `r13_an_outside_stop_is_final_under_every_policy` | `tests/actors/restarts.rs` |
//! | R13 | `r13_an_exceeded_intensity_keeps_the_actor_down_and_reports_its_queue` | `tests/actors/restarts.rs` |
//! | R13 | `r13_restarts_wait_for_their_backoff` | `tests/actors/restarts.rs` |
//! | R13 | `r13_a_stop_ends_the_backoff` | `tests/actors/restarts.rs` |
//! | R13 | `r13_a_later_start_that_fails_is_tried_again` | `tests/actors/restarts.rs` |
//! | R13 | `r13_a_factory_that_panics_is_tried_again` | `tests/actors/restarts.rs` |
//! | R13 | `r13_the_first_start_that_fails_is_final` | `tests/actors/restarts.rs` |
//! | R13 | `r13_a_kill_mid_way_is_final_and_cancels` | `tests/actors/restarts.rs` |
//! | R13 | `r13_one_for_all_ends_all_in_reverse_and_starts_them_in_order` | `tests/registry/groups.rs` |
//! | R13 | `r13_rest_for_one_leaves_those_before_alone` | `tests/registry/groups.rs` |
//! | R13 | `r13_one_for_one_leaves_all_others_alone` | `tests/registry/groups.rs` |
//! | R13 | `r13_a_sibling_finishes_its_handler_and_keeps_its_messages` | `tests/registry/groups.rs` |
//! | R13 | `r13_a_siblings_handler_is_dropped_when_its_stop_deadline_has_passed` | `tests/registry/groups.rs` |
//! | R13 | `r13_a_group_restart_counts_against_no_sibling` | `tests/registry/groups.rs` |
//! | R13 | `r13_a_member_that_fails_for_good_takes_those_along_that_depend_on_it` | `tests/registry/groups.rs` |
//! | R13 | `r13_a_member_that_was_stopped_from_outside_is_not_started_again` | `tests/registry/groups.rs` |
//! | R13 | `r13_a_shutdown_in_the_middle_of_a_group_restart_ends_it` | `tests/registry/groups.rs` |
//! | R13 | `r13_a_start_that_fails_in_a_group_restart_begins_it_again` | `tests/registry/groups.rs` |
//! | R13 | `r13_a_group_under_fire_loses_no_message_and_comes_back` | `tests/registry/groups.rs` |
//! | R13 | `r13_a_critical_member_that_fails_for_good_is_the_cause` | `tests/registry/groups.rs` |
//! | R13 | `r13_all_end_in_reverse_and_start_in_order` | `src/supervision/group.rs` |
//! | R13 | `r13_those_before_the_failed_one_go_on_in_rest_for_one` | `src/supervision/group.rs` |
//! | R13 | `r13_a_failure_during_a_restart_begins_it_again` | `src/supervision/group.rs` |
//! | R13 | `r13_one_that_is_starting_ends_when_it_is_up` | `src/supervision/group.rs` |
//! | R13 | `r13_one_that_is_gone_is_not_waited_for` | `src/supervision/group.rs` |
//! | R13 | `r13_a_failure_for_good_stops_those_that_share_its_fate` | `src/supervision/group.rs` |
//! | R13 | `r13_without_a_clock_a_restart_that_has_to_wait_is_an_end` | `tests/actors/direct.rs` |
//! | R13 | `r13_a_wish_to_end_is_over_with_its_incarnation` | `tests/actors/restarts.rs` |
//! | R13 | `r13_after_a_panic_of_a_told_handler_in_place_the_actor_comes_back` | `tests/actors/told_in_place.rs` |
//! | R14 | `r14_what_is_queued_behind_a_panic_of_a_temporary_actor_is_given_back` | `tests/actors/messages.rs` |
//! | R14 | `r14_a_drain_ends_the_backoff_of_an_actor_with_nothing_left` | `tests/actors/endings.rs` |
//! | R14 | `r14_mailbox_messages_and_handles_survive_a_restart` | `tests/actors/restarts.rs` |
//! | R14 | `r14_senders_that_wait_for_room_survive_a_restart` | `tests/actors/restarts.rs` |
//! | R14 | `r14_a_drain_goes_on_across_restarts` | `tests/actors/restarts.rs` |
//! | R14 | `r14_a_drain_with_nothing_left_restarts_nothing` | `tests/actors/restarts.rs` |
//! | R14 | `r14_a_message_may_be_handled_again_before_all_others` | `tests/actors/redelivery.rs` |
//! | R14 | `r14_a_message_that_panics_too_often_is_set_aside_and_reported` | `tests/actors/redelivery.rs` |
//! | R14 | `r14_a_drain_handles_again_what_panicked` | `tests/actors/redelivery.rs` |
//! | R14 | `r14_without_a_next_incarnation_a_message_is_set_aside` | `tests/actors/redelivery.rs` |
//! | R14 | `r14_a_message_whose_asker_has_gone_is_not_handled_again` | `tests/actors/redelivery.rs` |
//! | R14 | `r14_a_clone_that_panics_is_a_panic_of_the_handler` | `tests/actors/redelivery.rs` |
//! | R14 | `r14_a_kill_cancels_a_message_that_is_handled_again` | `tests/actors/redelivery.rs` |
//! | R14 | `r14_repeated_panics_of_one_type_are_in_the_report` | `tests/actors/redelivery.rs` |
//! | R14 | `r14_messages_that_are_handled_again_are_all_accounted_for` | `tests/actors/redelivery.rs` |
//! | R14 | `r14_a_message_that_panics_when_it_is_given_up_changes_nothing_else` | `tests/actors/redelivery.rs` |
//! | R14 | `r14_a_restart_keeps_what_is_queued_and_nothing_of_the_state` | `tests/actors/stepped.rs` |
//! | R15 | `r15_sends_to_earlier_actors_are_in_order` | `src/registry/order.rs` |
//! | R15 | `r15_a_send_to_a_later_actor_is_refused` | `src/registry/order.rs` |
//! | R15 | `r15_a_circle_of_sends_is_named` | `src/registry/order.rs` |
//! | R15 | `r15_a_registry_that_is_dropped_warns_and_one_that_is_shut_down_does_not` | `tests/telemetry/logs.rs` |
//! | R15 | `r15_a_duplicate_name_or_route_and_capacity_zero_are_build_errors` | `tests/registry/building.rs` |
//! | R15 | `r15_a_refused_registration_leaves_no_trace` | `tests/registry/building.rs` |
//! | R15 | `r15_declared_sends_are_checked_before_anything_starts` | `tests/registry/building.rs` |
//! | R15 | `r15_handles_exist_before_their_actors` | `tests/registry/building.rs` |
//! | R15 | `r15_a_builder_that_never_starts_gives_everything_back` | `tests/registry/building.rs` |
//! | R15 | `r15_actors_start_in_order_and_each_is_ready_before_the_next` | `tests/registry/starting.rs` |
//! | R15 | `r15_a_failed_start_rolls_back_in_reverse` | `tests/registry/starting.rs` |
//! | R15 | `r15_a_start_that_is_dropped_stops_what_has_started` | `tests/registry/starting.rs` |
//! | R15 | `r15_outside_a_runtime_is_an_error` | `tests/registry/starting.rs` |
//! | R15 | `r15_routes_lead_to_whoever_declared_the_message` | `tests/registry/routes.rs` |
//! | R15 | `r15_a_registry_that_is_dropped_stops_its_actors` | `tests/registry/shutdown.rs` |
//! | R15 | `r15_a_rollback_that_is_dropped_stops_what_has_started` | `tests/registry/rollback.rs` |
//! | R15 | `r15_a_rollback_does_not_wait_for_actors_that_never_start` | `tests/registry/rollback.rs` |
//! | R15 | `r15_a_refused_registration_leaves_nothing_behind` | `tests/registry/rollback.rs` |
//! | R15 | `r15_an_actor_added_at_run_time_is_ready_routed_and_drained_first` | `tests/registry/change.rs` |
//! | R15 | `r15_a_removed_actor_is_drained_and_reported_and_leaves_no_trace` | `tests/registry/change.rs` |
//! | R15 | `r15_a_removal_goes_on_when_nobody_waits_for_it` | `tests/registry/change.rs` |
//! | R15 | `r15_a_removal_insists_when_the_deadline_has_passed` | `tests/registry/change.rs` |
//! | R15 | `r15_an_actor_that_ended_by_itself_stays_until_it_is_removed` | `tests/registry/change.rs` |
//! | R15 | `r15_what_cannot_be_added_leaves_no_trace` | `tests/registry/change.rs` |
//! | R15 | `r15_an_addition_that_is_dropped_leaves_the_registry_when_it_has_ended` | `tests/registry/change.rs` |
//! | R15 | `r15_nobody_comes_or_goes_once_the_shutdown_has_begun` | `tests/registry/change.rs` |
//! | R15 | `r15_a_removal_that_a_shutdown_overtakes_is_in_both_reports` | `tests/registry/change.rs` |
//! | R15 | `r15_a_critical_actor_added_at_run_time_shuts_the_registry_down` | `tests/registry/change.rs` |
//! | R15 | `r15_a_registry_whose_runtime_is_gone_says_so` | `tests/registry/change.rs` |
//! | R15 | `r15_actors_come_and_go_without_trace` | `tests/registry/scale.rs` |
//! | R16 | `r16_an_orchestration_shut_down_under_load_accounts_for_every_message` | `tests/orchestration/workflows.rs` |
//! | R16 | `r16_a_kill_goes_before_a_handler_that_could_go_on` | `tests/actors/asks.rs` |
//! | R16 | `r16_drain_handles_what_was_accepted_and_closes_to_the_rest` | `tests/actors/backpressure.rs` |
//! | R16 | `r16_stop_gives_back_what_is_queued` | `tests/actors/backpressure.rs` |
//! | R16 | `r16_an_actor_that_failed_for_good_accepts_nothing_while_it_stops` | `tests/actors/endings.rs` |
//! | R16 | `r16_a_context_ends_its_actor_from_outside_while_it_is_idle` | `tests/actors/endings.rs` |
//! | R16 | `r16_any_schedule_of_senders_and_ends_conserves_every_message` | `tests/actors/schedules.rs` |
//! | R16 | `r16_messages_behind_a_handler_that_never_yields_are_given_back` | `tests/actors/endings.rs` |
//! | R16 | `r16_the_report_says_who_had_to_be_stopped` | `tests/actors/endings.rs` |
//! | R16 | `r16_tasks_of_an_actor_end_after_it_has_failed` | `tests/actors/endings.rs` |
//! | R16 | `r16_a_stop_during_started_lets_it_finish` | `tests/actors/life.rs` |
//! | R16 | `r16_a_kill_during_started_drops_it` | `tests/actors/life.rs` |
//! | R16 | `r16_a_stop_before_the_start_starts_nothing` | `tests/actors/life.rs` |
//! | R16 | `r16_levels_only_rise_and_may_be_asked_for_again` | `tests/actors/life.rs` |
//! | R16 | `r16_an_actor_may_stop_itself` | `tests/actors/life.rs` |
//! | R16 | `r16_an_actor_that_stops_itself_is_closed_before_its_stopped_runs` | `tests/actors/life.rs` |
//! | R16 | `r16_tasks_of_an_actor_can_wait_for_its_end` | `tests/actors/life.rs` |
//! | R16 | `r16_a_shutdown_under_load_accounts_for_every_message` | `tests/registry/shutdown.rs` |
//! | R16 | `r16_routes_close_at_once_and_mailboxes_in_their_turn` | `tests/registry/shutdown.rs` |
//! | R16 | `r16_every_caller_gets_the_same_report_and_may_go_away` | `tests/registry/shutdown.rs` |
//! | R16 | `r16_an_actor_that_does_not_drain_in_time_is_stopped_and_then_killed` | `tests/registry/shutdown.rs` |
//! | R16 | `r16_when_the_total_is_spent_the_rest_are_stopped` | `tests/registry/shutdown.rs` |
//! | R16 | `r16_a_handler_that_never_yields_is_named_and_left_behind` | `tests/registry/shutdown.rs` |
//! | R16 | `r16_a_signal_shuts_the_registry_down` | `tests/registry/shutdown.rs` |
//! | R16 | `r16_a_hundred_thousand_actors_start_answer_and_end_in_reverse` | `tests/registry/scale.rs` |
//! | R16 | `r16_the_end_of_many_that_hang_is_bounded_by_the_deadlines_of_all` | `tests/registry/scale.rs` |
//! | R16 | `r16_a_stop_gives_back_what_a_drain_handles` | `tests/actors/stepped.rs` |
//! | R16 | `r16_an_actor_that_ends_while_its_messages_are_given_back_reports_them_all` | `tests/actors/endings.rs` |
//! | R17 | `r17_an_actor_drains_when_its_last_handle_is_gone` | `tests/actors/life.rs` |
//! | R17 | `r17_handles_know_who_they_reach` | `tests/actors/life.rs` |
//! | R17 | `r17_closed_is_repeatable_and_may_be_dropped` | `tests/actors/life.rs` |
//! | R17 | `r17_a_runtime_that_goes_away_gives_everything_back` | `tests/actors/life.rs` |
//! | R17 | `r17_a_runtime_that_goes_away_survives_a_state_that_panics` | `tests/actors/endings.rs` |
//! | R17 | `r17_the_registry_holds_its_actors` | `tests/registry/shutdown.rs` |
//! | R18 | `r18_a_flood_starves_nothing_on_a_current_thread_runtime` | `tests/actors/fairness.rs` |
//! | R18 | `r18_a_flood_starves_nothing_on_a_multi_thread_runtime` | `tests/actors/fairness.rs` |
//! | R18 | `r18_a_sender_in_a_loop_gives_way` | `tests/actors/fairness.rs` |
//! | R18 | `r18_brief_handlers_have_longer_turns` | `src/actor/giving_way.rs` |
//! | R18 | `r18_a_turn_that_takes_long_is_not_made_longer` | `src/actor/giving_way.rs` |
//! | R18 | `r18_threads_can_tell_and_ask` | `tests/actors/blocking.rs` |
//! | R18 | `r18_a_blocked_thread_is_told_what_became_of_its_ask` | `tests/actors/blocking.rs` |
//! | R18 | `r18_a_blocking_send_inside_a_runtime_is_an_error_and_gives_the_message_back` | `tests/actors/blocking.rs` |
//! | R19 | `r19_counts_are_exact_at_every_instant` | `tests/actors/messages.rs` |
//! | R19 | `r19_the_age_of_a_handler_counts_from_the_first_look` | `tests/telemetry/observer.rs` |
//! | R19 | `r19_all_actors_of_a_registry_are_seen_at_once` | `tests/telemetry/observer.rs` |
//! | R19 | `r19_counters_and_gauges_are_published_under_their_documented_names` | `tests/telemetry/metrics.rs` |
//! | R19 | `r19_times_are_recorded_when_that_is_asked_for` | `tests/telemetry/metrics.rs` |
//! | R20 | `r20_a_handlers_span_follows_from_its_senders` | `tests/telemetry/spans.rs` |
//! | R20 | `r20_the_span_holds_across_waits_and_for_tokens_and_direct_calls` | `tests/telemetry/spans.rs` |
//! | R20 | `r20_without_a_span_there_is_no_link_and_unasked_for_there_is_no_span` | `tests/telemetry/spans.rs` |
//! | R20 | `r20_a_subscriber_that_panics_takes_no_actor_along` | `tests/telemetry/spans.rs` |
//! | R21 | `r21_an_actor_is_stepped_message_by_message` | `tests/actors/test_kit.rs` |
//! | R21 | `r21_its_mailbox_and_its_state_can_be_looked_into` | `tests/actors/test_kit.rs` |
//! | R21 | `r21_a_step_takes_what_one_call_of_a_batch_handler_takes` | `tests/actors/test_kit.rs` |
//! | R21 | `r21_an_end_is_stepped_too` | `tests/actors/test_kit.rs` |
//! | R21 | `r21_more_steps_than_a_task_may_take_in_one_turn` | `tests/actors/stepped.rs` |
//! | R21 | `r21_a_stand_in_hands_its_messages_to_the_test` | `tests/actors/test_kit.rs` |
//! | R21 | `r21_a_stand_in_answers_by_itself_and_keeps_what_it_was_sent` | `tests/actors/test_kit.rs` |
//! | R21 | `r21_handlers_and_starts_panic_when_told_to` | `tests/actors/test_kit.rs` |
//! | R21 | `r21_starts_are_slow_in_virtual_time` | `tests/actors/test_kit.rs` |
//! | R21 | `r21_a_mailbox_is_full_when_told_to` | `tests/actors/test_kit.rs` |
//! | R20 | `r20_messages_that_cause_messages_nest_no_spans` | `tests/telemetry/spans.rs` |
//! | R20 | `r20_a_subscriber_that_panics_when_it_is_asked_takes_no_actor_along` | `tests/telemetry/spans.rs` |
//! | R22 | `r22_a_waker_that_panics_when_dropped_keeps_nobody_from_the_actor` | `tests/actors/direct.rs` |
//! | R22 | `r22_the_same_handlers_answer_in_place_and_hooks_run` | `tests/actors/direct.rs` |
//! | R22 | `r22_nobody_has_a_handle_to_an_actor_without_a_mailbox` | `tests/actors/direct.rs` |
//! | R22 | `r22_started_runs_with_the_first_call` | `tests/actors/direct.rs` |
//! | R22 | `r22_callers_take_turns_in_the_order_in_which_they_came` | `tests/actors/direct.rs` |
//! | R22 | `r22_a_handler_whose_caller_has_gone_runs_on` | `tests/actors/direct.rs` |
//! | R22 | `r22_a_timeout_takes_back_what_waits_and_lets_run_what_runs` | `tests/actors/direct.rs` |
//! | R22 | `r22_a_kill_reaches_a_handler_that_waits` | `tests/actors/direct.rs` |
//! | R22 | `r22_a_panic_is_the_askers_answer_and_ends_a_plain_actor` | `tests/actors/direct.rs` |
//! | R22 | `r22_a_supervised_actor_comes_back` | `tests/actors/direct.rs` |
//! | R22 | `r22_an_actor_ends_with_its_last_owner` | `tests/actors/direct.rs` |
//! | R22 | `r22_an_actor_whose_start_fails_handles_nothing` | `tests/actors/direct.rs` |
//! | R22 | `r22_actors_that_call_each_other_compile_and_one_that_calls_itself_is_told` | `tests/actors/direct.rs` |
//! | R22 | `r22_tokens_may_answer_later` | `tests/actors/direct.rs` |
//! | R22 | `r22_any_schedule_of_calls_drops_and_ends_keeps_the_account` | `tests/actors/direct.rs` |
//! | R22 | `r22_a_runtime_that_goes_away_ends_the_actor` | `tests/actors/direct.rs` |
//! | R22 | `r22_a_context_ends_its_actor_from_outside_while_it_is_idle` | `tests/actors/direct.rs` |
//! | R22 | `r22_a_kill_while_stopped_waits_does_not_poll_it_again_and_again` | `tests/actors/direct.rs` |
//! | R22 | `r22_a_context_ends_its_actor_whose_runtime_is_gone` | `tests/actors/direct.rs` |
//! | R22 | `r22_an_end_that_is_asked_for_while_somebody_has_the_turn_is_seen` | `tests/actors/direct.rs` |
//! | R22 | `r22_the_pause_of_a_restart_is_on_the_actors_own_runtime` | `tests/actors/direct.rs` |
//! | R23 | `r23_handlers_in_place_survive_every_end` | `tests/actors/schedules.rs` |
//! | R23 | `r23_a_task_that_rests_and_finds_work_takes_over_what_an_asker_left` | `tests/actors/schedules.rs` |
//! | R23 | `r23_an_idle_actor_handles_an_ask_in_the_askers_task` | `tests/actors/in_place.rs` |
//! | R23 | `r23_an_actor_with_nothing_to_start_is_asked_in_place_before_its_task_has_run` | `tests/actors/in_place.rs` |
//! | R23 | `r23_an_actor_that_is_not_idle_handles_an_ask_in_its_own_task` | `tests/actors/in_place.rs` |
//! | R23 | `r23_an_ask_overtakes_no_sender_that_waits_for_room_or_was_given_some` | `tests/actors/in_place.rs` |
//! | R23 | `r23_a_task_that_blocks_on_another_runtime_runs_no_handlers_there` | `tests/actors/in_place.rs` |
//! | R23 | `r23_at_most_eight_handlers_run_inside_each_other` | `tests/actors/in_place.rs` |
//! | R23 | `r23_an_asker_in_a_loop_gives_way` | `tests/actors/in_place.rs` |
//! | R23 | `r23_of_many_askers_none_keeps_the_others_waiting_for_long` | `tests/actors/in_place.rs` |
//! | R23 | `r23_an_asker_that_gives_way_hands_no_handler_over` | `tests/actors/in_place.rs` |
//! | R23 | `r23_an_asker_that_meets_another_gives_way_and_is_queued_if_that_does_not_help` | `tests/actors/in_place.rs` |
//! | R23 | `r23_an_asker_that_gives_way_is_woken_and_keeps_its_deadline` | `tests/actors/in_place.rs` |
//! | R23 | `r23_a_task_of_many_futures_that_ask_gives_way` | `tests/actors/in_place.rs` |
//! | R23 | `r23_a_handler_that_waits_goes_on_in_the_actors_task_whatever_its_asker_does` | `tests/actors/in_place.rs` |
//! | R23 | `r23_in_its_askers_task_an_actor_is_itself` | `tests/actors/in_place.rs` |
//! | R23 | `r23_by_default_handlers_that_wait_are_left_to_the_actor` | `tests/actors/in_place.rs` |
//! | R23 | `r23_the_second_handler_is_measured_and_then_one_in_64_or_in_16` | `src/actor/dispatch.rs` |
//! | R23 | `r23_handlers_that_repeat_themselves_are_all_measured` | `src/actor/dispatch.rs` |
//! | R23 | `r23_tells_are_queued_until_a_handler_was_brief_and_asks_until_one_was_long` | `src/actor/dispatch.rs` |
//! | R23 | `r23_a_time_in_between_changes_nothing_for_tells` | `src/actor/dispatch.rs` |
//! | R23 | `r23_after_one_that_was_not_brief_many_have_to_be` | `src/actor/dispatch.rs` |
//! | R23 | `r23_an_idle_actor_handles_a_tell_in_its_senders_task` | `tests/actors/told_in_place.rs` |
//! | R23 | `r23_what_does_not_wait_is_queued` | `tests/actors/told_in_place.rs` |
//! | R23 | `r23_a_tell_does_not_wait_for_a_handler_that_waits` | `tests/actors/told_in_place.rs` |
//! | R23 | `r23_a_tell_to_itself_is_handled_after` | `tests/actors/told_in_place.rs` |
//! | R23 | `r23_at_most_eight_told_handlers_run_inside_each_other` | `tests/actors/told_in_place.rs` |
//! | R23 | `r23_a_teller_in_a_loop_gives_way` | `tests/actors/told_in_place.rs` |
//! | R23 | `r23_a_teller_without_a_budget_finds_the_mailbox_full` | `tests/actors/told_in_place.rs` |
//! | R23 | `r23_messages_that_are_skipped_are_not_taken_for_brief_handlers` | `tests/actors/told_in_place.rs` |
//! | R23 | `r23_by_default_only_brief_handlers_are_told_in_place` | `tests/actors/told_in_place.rs` |
//!
//! # The orchestration
//!
//! Clauses whose tests have other names are proved by the conformance suite, which runs against every store.
//!
//! | Clause | Proved | Promise |
//! |---|---|---|
//! | O1 | yes | The database is the truth; mailboxes only carry work. A submission is acknowledged after the durable commit of task, steps and edges; a result when its completion has committed. Losing every process loses nothing acknowledged. Handlers run at least once; results, counters and finalisation happen once. Proved by storms over several processes on one file and on one server. |
//! | O2 | yes | Each intent is atomic, by compare-and-swap on state and epoch; the loser gets a graceful answer. One commit may carry many intents, and one that fails harms no neighbour. A transaction whose COMMIT was not answered is looked up before its callers are. Proved by the conformance suite, on every store. |
//! | O3 | yes | A claimed step carries a lease and an epoch that rises at every claim and is given to the handler. Heartbeats renew; only the store's clock decides. A stale completion is answered as stale and leaves one history row. Lost leases count apart from attempts. |
//! | O4 | yes | A task is finalised once per run, by compare-and-swap, however many processes see the last step finish. Proved by the conformance suite. |
//! | O5 | yes | No unfinished task is without an owner: `Store::audit` checks it, `postroom doctor` proves it on a live database, and tests end with it. |
//! | O6 | yes | One intent records result, attempt, the children's counters and readiness, and finalises when nothing remains. Proved by the conformance suite, and with joins of 1,100 and races of two parents over two connections and two processes. |
//! | O7 | yes | Retries, backoff, permanent errors and timeouts as declared; a handler's hint (`Retry-After`) replaces the backoff; what is not known is refused at load. What failed for good is listed as a dead letter, with its reason. |
//! | O8 | yes | Under `failure_policy: continue` independent branches go on, and a failed task names its first failed step in template order. Under `fail_fast` nothing new starts, steps that run are told to stop, and the rest is cancelled. Operators retry, resolve, complete by hand, cancel, pause, resume, and rerun from a step; the task is evaluated anew in the same commit. |
//! | O9 | not yet | Steps that are decided at run time. |
//! | O10 | yes | Identity by template and input, by the caller's key, or none; a duplicate is answered and never run twice; a task keeps its own copy of its template. |
//! | O11 | yes | Submitting, and completing a step, can join the caller's own transaction on SQLite and PostgreSQL: nothing is seen or started before its commit, a rollback undoes all of it, and an error says whether the transaction can go on. |
//! | O12 | `o12_a_commit_is_waited_for_where_commits_are_not` | `tests/postgres/losses.rs` |
//! | O12 | yes | One conformance suite over all stores: in memory, SQLite and PostgreSQL. |
//! | O13 | in part | Every queue is bounded and a full one makes its callers wait; a claim takes no more than there is room for. Not yet: shedding by load, a circuit breaker. |
//! | O14 | yes | Bad input gets an error that names the place, and nothing is stored; a worker claims only what it has a handler for; a step that nobody can run leaves its task `blocked` with the reason. A rolling restart of processes of two template versions strands and doubles nothing. |
//! | O15 | yes | Rows, spans and log lines carry the correlation id; payloads do not show in debug output. A worker that serves others' tasks runs `shell` only when told to on its command line. |
//!
//! # Tests of the orchestration
//!
//! | Clause | Test | File |
//! |---|---|---|
//! | O1 | `o01_a_killed_run_is_resumed_and_finished_steps_are_not_repeated` | `tests/cli/resume.rs` |
//! | O1 | `o01_killed_again_and_again_it_ends_complete` | `tests/cli/resume.rs` |
//! | O1 | `o01_a_diamond_runs_each_step_once_parents_before_children` | `tests/orchestration/workflows.rs` |
//! | O1 | `o01_lost_answers_of_the_store_lose_no_task_and_record_no_result_twice` | `tests/orchestration/faults.rs` |
//! | O1 | `o01_two_processes_on_one_file_lose_nothing_and_record_nothing_twice_in_a_storm` | `tests/processes/crash/mod.rs` |
//! | O1 | `o01_three_processes_on_one_server_lose_nothing_and_record_nothing_twice_in_a_storm` | `tests/processes/crash/mod.rs` |
//! | O1 | `o01_an_acknowledged_task_that_was_not_stored_is_found` | `src/orchestration/simulation/tests.rs` |
//! | O2 | `o02_a_step_handed_out_twice_is_found` | `src/orchestration/simulation/tests.rs` |
//! | O2 | `o02_a_broken_state_check_is_found` | `src/orchestration/simulation/tests.rs` |
//! | O2 | `refusals_do_not_harm_their_neighbours` | `src/orchestration/store/conformance/completions.rs` |
//! | O2 | `operations_on_the_same_task_in_one_batch_see_each_other` | `src/orchestration/store/conformance/operations.rs` |
//! | O2 | `concurrent_claims_never_share_a_step` | `src/orchestration/store/conformance/races.rs` |
//! | O2 | `o02_only_the_intent_at_fault_gets_the_error` | `tests/sqlite/commits.rs` |
//! | O2 | `o02_abandoned_callers_leave_nothing_half_done` | `tests/sqlite/commits.rs` |
//! | O2 | `o02_connections_that_are_cut_at_any_moment_lose_and_double_nothing` | `tests/postgres/losses.rs` |
//! | O2 | `o02_a_server_that_restarts_is_found_again` | `tests/postgres/losses.rs` |
//! | O2 | `o02_transactions_lock_in_one_order_and_never_wait_for_each_other` | `tests/postgres/sharing.rs` |
//! | O2 | `o02_the_character_zero_harms_nobody` | `tests/postgres/sharing.rs` |
//! | O3 | `o03_only_what_may_run_beside_a_new_attempt_is_ended` | `src/orchestration/lifecycle/task_finalization.rs` |
//! | O3 | `a_renewed_lease_is_left_alone` | `src/orchestration/store/conformance/sweeps.rs` |
//! | O3 | `a_lease_that_ran_out_is_taken_back` | `src/orchestration/store/conformance/sweeps.rs` |
//! | O3 | `who_lost_a_lease_completes_in_vain` | `src/orchestration/store/conformance/sweeps.rs` |
//! | O3 | `a_lost_lease_uses_up_no_attempt` | `src/orchestration/store/conformance/sweeps.rs` |
//! | O3 | `o03_death_is_seen_in_spite_of_zombies_and_reused_ids` | `src/orchestration/worker/process/identity.rs` |
//! | O3 | `o03_children_of_a_dead_process_and_theirs_are_ended` | `src/orchestration/worker/process/orphans.rs` |
//! | O3 | `o03_a_follower_takes_over_from_a_dead_process_within_two_seconds` | `tests/cli/follow.rs` |
//! | O3 | `o03_a_process_that_is_stopped_is_followed_no_longer_than_its_leases_last` | `src/bin/postroom/run/runner.rs` |
//! | O3 | `o03_two_processes_on_one_store_run_each_step_once` | `tests/orchestration/workflows.rs` |
//! | O3 | `o03_the_steps_of_a_process_that_is_gone_are_taken_over_and_its_late_result_is_stale` | `tests/orchestration/faults.rs` |
//! | O3 | `o03_two_processes_share_the_work_and_never_a_step` | `tests/sqlite/sharing.rs` |
//! | O3 | `o03_a_broken_epoch_check_is_found` | `src/orchestration/simulation/tests.rs` |
//! | O3 | `o03_leases_that_are_never_taken_back_are_found` | `src/orchestration/simulation/tests.rs` |
//! | O3 | `o03_a_lease_that_is_taken_too_early_is_found` | `src/orchestration/simulation/tests.rs` |
//! | O4 | `there_is_nothing_to_finalise_twice` | `src/orchestration/store/conformance/operations.rs` |
//! | O4 | `a_task_ends_once_however_it_is_ended` | `src/orchestration/store/conformance/races.rs` |
//! | O4 | `many_workers_run_every_step_once` | `src/orchestration/store/conformance/races.rs` |
//! | O5 | `a_process_that_leaves_gives_everything_back` | `src/orchestration/store/conformance/leases.rs` |
//! | O5 | `too_many_lost_leases_fail_the_step` | `src/orchestration/store/conformance/sweeps.rs` |
//! | O5 | `o05_a_thousand_simulated_storms_lose_nothing_and_record_nothing_twice` | `src/orchestration/simulation/tests.rs` |
//! | O5 | `o05_the_doctor_proves_a_sound_database_and_names_what_is_wrong` | `tests/cli/operators.rs` |
//! | O5 | `o05_the_audit_finds_damage_and_the_finaliser_mends_it` | `tests/sqlite/commits.rs` |
//! | O6 | `a_join_of_many_gets_all_their_results` | `src/orchestration/store/conformance/claims.rs` |
//! | O6 | `parents_completing_at_once_ready_their_join_once` | `src/orchestration/store/conformance/races.rs` |
//! | O6 | `o06_joins_of_1100_parents_and_10000_diamonds_start_once_in_memory` | `tests/processes/joins.rs` |
//! | O6 | `o06_a_join_that_does_not_count_its_parents_is_found` | `src/orchestration/simulation/tests.rs` |
//! | O6 | `o06_joins_of_1100_parents_and_10000_diamonds_start_once_in_a_file` | `tests/processes/joins.rs` |
//! | O6 | `o06_joins_of_1100_parents_and_10000_diamonds_start_once_on_a_server` | `tests/processes/joins.rs` |
//! | O6 | `o06_a_step_costs_the_same_however_many_there_are` | `tests/postgres/costs.rs` |
//! | O6 | `o06_two_hundred_diamonds_over_two_processes_on_one_file` | `tests/processes/joins.rs` |
//! | O6 | `o06_two_hundred_diamonds_over_two_processes_on_one_server` | `tests/processes/joins.rs` |
//! | O7 | `o07_unknown_keys_are_refused` | `src/orchestration/worker/builtin/noop.rs` |
//! | O7 | `o07_failures_say_why` | `src/orchestration/worker/builtin/shell/tests.rs` |
//! | O7 | `o07_a_timeout_ends_the_whole_group` | `src/orchestration/worker/builtin/shell/tests.rs` |
//! | O7 | `o07_a_bad_configuration_is_refused` | `src/orchestration/worker/builtin/shell/tests.rs` |
//! | O7 | `o07_what_cannot_be_slept_is_refused` | `src/orchestration/worker/builtin/sleep.rs` |
//! | O7 | `o07_an_error_becomes_retryable_with_its_causes_once` | `src/orchestration/worker/error.rs` |
//! | O7 | `o07_a_failure_is_stored_as_the_handler_said_it` | `src/orchestration/worker/error.rs` |
//! | O7 | `o07_values_and_errors_come_through` | `src/orchestration/worker/executor_tests.rs` |
//! | O7 | `o07_a_panic_is_an_outcome` | `src/orchestration/worker/executor_tests.rs` |
//! | O7 | `o07_a_panic_while_being_dropped_is_held` | `src/orchestration/worker/executor_tests.rs` |
//! | O7 | `o07_time_is_up` | `src/orchestration/worker/executor_tests.rs` |
//! | O7 | `o07_a_handler_may_end_by_itself_within_its_grace` | `src/orchestration/worker/executor_tests.rs` |
//! | O7 | `o07_a_blocking_handler_keeps_its_slot_until_it_ends` | `src/orchestration/worker/executor_tests.rs` |
//! | O7 | `o07_dropping_the_attempt_tells_what_the_handler_left_behind` | `src/orchestration/worker/executor_tests.rs` |
//! | O7 | `o07_a_failing_step_is_retried_and_then_the_task_fails_until_its_cause_is_gone` | `tests/cli/run.rs` |
//! | O7 | `o07_a_failing_step_is_retried_as_declared_then_the_task_fails` | `tests/orchestration/workflows.rs` |
//! | O7 | `o07_a_permanent_error_is_not_retried` | `tests/orchestration/workflows.rs` |
//! | O7 | `failed_steps_are_dead_letters_until_they_are_dealt_with` | `src/orchestration/store/conformance/retention.rs` |
//! | O7 | `o07_a_handler_says_when_it_wants_to_be_tried_again` | `tests/orchestration/operators.rs` |
//! | O7 | `o07_a_hint_makes_a_permanent_error_no_less_permanent` | `tests/orchestration/operators.rs` |
//! | O8 | `the_first_failed_step_in_template_order_is_named` | `src/orchestration/store/conformance/failures.rs` |
//! | O8 | `a_retried_task_keeps_what_is_complete` | `src/orchestration/store/conformance/operations.rs` |
//! | O8 | `o08_only_a_failure_under_fail_fast_stops_the_others` | `src/orchestration/state/policy.rs` |
//! | O8 | `o08_every_operation_moves_steps_and_tasks_only_where_their_machines_allow` | `src/orchestration/store/plan_tests.rs` |
//! | O8 | `o08_a_step_that_does_not_exist_is_refused` | `src/orchestration/store/plan_tests.rs` |
//! | O8 | `steps_that_run_are_told_to_stop_and_the_task_waits_for_them` | `src/orchestration/store/conformance/fail_fast.rs` |
//! | O8 | `a_failure_counts_for_those_behind_it_in_the_batch` | `src/orchestration/store/conformance/fail_fast.rs` |
//! | O8 | `a_paused_task_is_not_claimed_until_it_is_resumed` | `src/orchestration/store/conformance/operators.rs` |
//! | O8 | `a_rerun_resets_a_step_and_its_descendants` | `src/orchestration/store/conformance/operators.rs` |
//! | O8 | `a_rerun_is_refused_while_a_step_of_it_is_leased` | `src/orchestration/store/conformance/operators.rs` |
//! | O8 | `the_last_failure_resolved_completes_the_task` | `src/orchestration/store/conformance/operators.rs` |
//! | O8 | `o08_the_failure_policy_is_one_of_two_and_part_of_what_a_template_is` | `src/orchestration/template/tests.rs` |
//! | O8 | `o08_cancelling_asks_the_group_to_end` | `src/orchestration/worker/builtin/shell/tests.rs` |
//! | O8 | `o08_a_command_that_will_not_end_is_ended` | `src/orchestration/worker/builtin/shell/tests.rs` |
//! | O8 | `o08_cancelled_from_outside_while_it_runs` | `src/orchestration/worker/executor_tests.rs` |
//! | O8 | `o08_a_task_that_fails_fast_stops_its_steps_in_this_process_at_once` | `tests/orchestration/operators.rs` |
//! | O8 | `o08_another_process_learns_of_it_from_its_heartbeat` | `tests/orchestration/operators.rs` |
//! | O8 | `o08_a_task_is_paused_resumed_completed_by_hand_and_rerun_through_its_handle` | `tests/orchestration/operators.rs` |
//! | O8 | `o08_a_failed_step_is_completed_by_hand_and_the_rest_runs` | `tests/cli/operators.rs` |
//! | O8 | `o08_what_cannot_be_done_is_said_with_its_status` | `tests/cli/operators.rs` |
//! | O8 | `o08_a_task_is_rerun_from_a_step_and_the_old_run_is_told` | `tests/cli/operators.rs` |
//! | O8 | `o08_another_process_pauses_resumes_and_cancels_what_runs` | `tests/cli/operators.rs` |
//! | O8 | `o08_operators_do_on_a_server_what_they_do_on_a_file` | `tests/postgres/cli.rs` |
//! | O8 | `o08_independent_branches_go_on_and_a_failed_task_can_be_continued` | `tests/orchestration/workflows.rs` |
//! | O10 | `o10_every_combination` | `src/bin/postroom/run/choice.rs` |
//! | O10 | `a_hundred_submissions_of_one_task_make_one` | `src/orchestration/store/conformance/races.rs` |
//! | O10 | `o10_another_input_is_another_task_and_the_same_one_is_not` | `tests/cli/run.rs` |
//! | O10 | `o10_the_same_template_and_input_is_the_same_task` | `tests/orchestration/workflows.rs` |
//! | O10 | `o10_many_are_submitted_at_once_and_each_gets_its_answer` | `tests/orchestration/operators.rs` |
//! | O10 | `o10_a_task_that_is_stored_twice_is_found` | `src/orchestration/simulation/tests.rs` |
//! | O11 | `o11_committed_together` | `tests/joining/mod.rs` |
//! | O11 | `o11_found_without_being_told` | `tests/joining/mod.rs` |
//! | O11 | `o11_rolled_back_together` | `tests/joining/mod.rs` |
//! | O11 | `o11_identities_hold_inside` | `tests/joining/mod.rs` |
//! | O11 | `o11_another_database_is_refused` | `tests/joining/mod.rs` |
//! | O11 | `o11_dropped_half_way_leaves_nothing` | `tests/joining/mod.rs` |
//! | O11 | `o11_a_step_completes_with_its_rows` | `tests/joining/mod.rs` |
//! | O11 | `o11_a_step_rolled_back_runs_again` | `tests/joining/mod.rs` |
//! | O11 | `o11_a_lost_step_is_not_completed` | `tests/joining/mod.rs` |
//! | O11 | `o11_a_transaction_that_lags_behind_is_said_to_be_broken` | `tests/sqlite/transactions.rs` |
//! | O11 | `o11_a_lock_held_elsewhere_leaves_the_transaction_usable` | `tests/sqlite/transactions.rs` |
//! | O11 | `o11_others_go_on_meanwhile_and_are_told_with_the_commit` | `tests/postgres/transactions.rs` |
//! | O11 | `o11_heartbeats_do_not_wait_for_a_step_that_is_being_completed` | `tests/postgres/transactions.rs` |
//! | O11 | `o11_a_lost_connection_is_said_to_be_broken` | `tests/postgres/transactions.rs` |
//! | O12 | `large_results_are_kept` | `src/orchestration/store/conformance/completions.rs` |
//! | O12 | `odd_text_comes_back_unchanged` | `src/orchestration/store/conformance/submission.rs` |
//! | O12 | `o12_a_hundred_completions_at_once_share_their_commits` | `tests/sqlite/commits.rs` |
//! | O12 | `o12_a_workflow_costs_a_commit_for_each_step_and_one` | `tests/sqlite/costs.rs` |
//! | O12 | `o12_a_workflow_costs_few_commits_rows_and_statements` | `tests/postgres/costs.rs` |
//! | O12 | `o12_intents_of_all_kinds_share_a_commit` | `tests/sqlite/commits.rs` |
//! | O12 | `o12_a_newer_schema_is_refused_and_left_alone` | `tests/sqlite/opening.rs` |
//! | O12 | `o12_a_lock_held_too_long_is_a_typed_error_and_readers_go_on` | `tests/sqlite/sharing.rs` |
//! | O12 | `o12_a_lock_held_briefly_is_waited_for` | `tests/sqlite/sharing.rs` |
//! | O12 | `o12_fifty_processes_may_make_the_same_file_at_once` | `tests/processes/opening.rs` |
//! | O12 | `o12_fifty_processes_may_make_the_same_schema_at_once` | `tests/processes/opening.rs` |
//! | O12 | `o12_an_older_schema_is_brought_up_to_date` | `tests/postgres/opening.rs` |
//! | O12 | `o12_the_tasks_of_an_older_schema_are_kept` | `tests/postgres/opening.rs` |
//! | O12 | `o12_the_tasks_of_an_older_schema_are_kept` | `tests/sqlite/opening.rs` |
//! | O12 | `o12_another_process_is_told_of_new_work` | `tests/postgres/sharing.rs` |
//! | O12 | `o12_work_that_another_process_submits_is_run_without_polling` | `tests/postgres/sharing.rs` |
//! | O12 | `o12_work_that_another_process_submits_is_run_without_polling` | `tests/sqlite/sharing.rs` |
//! | O12 | `o12_a_transaction_that_waits_holds_up_no_other` | `tests/postgres/writers.rs` |
//! | O12 | `o12_one_connection_is_left_to_read_with` | `tests/postgres/writers.rs` |
//! | O12 | `o12_rows_of_earlier_commits_do_not_pile_up` | `tests/postgres/writers.rs` |
//! | O12 | `o12_a_worker_is_told_of_work` | `tests/together/mod.rs` |
//! | O12 | `what_waits_and_what_runs_is_counted` | `src/orchestration/store/conformance/reading.rs` |
//! | O13 | `the_limit_is_kept` | `src/orchestration/store/conformance/claims.rs` |
//! | O13 | `a_sweep_keeps_its_limit` | `src/orchestration/store/conformance/sweeps.rs` |
//! | O13 | `o13_whoever_holds_a_row_and_does_nothing_is_cut_off` | `tests/postgres/losses.rs` |
//! | O13 | `o13_a_step_that_ends_while_logins_are_refused_is_recorded_after_it` | `tests/postgres/losses.rs` |
//! | O13 | `o13_a_first_sweep_that_hangs_does_not_hinder_the_start` | `tests/orchestration/events.rs` |
//! | O13 | `o13_one_connection_is_enough` | `tests/postgres/sharing.rs` |
//! | O13 | `o13_it_opens_after_failures_in_a_row_and_says_for_how_long` | `src/orchestration/store/breaker.rs` |
//! | O13 | `o13_half_open_one_call_decides_and_the_others_are_told_to_wait` | `src/orchestration/store/breaker.rs` |
//! | O13 | `o13_a_deciding_call_that_is_given_up_leaves_it_to_the_next` | `src/orchestration/store/breaker.rs` |
//! | O13 | `o13_what_began_before_it_opened_decides_nothing` | `src/orchestration/store/breaker.rs` |
//! | O13 | `o13_faults_of_callers_do_not_open_it` | `src/orchestration/store/breaker.rs` |
//! | O13 | `o13_an_outage_loses_no_work_and_does_none_twice` | `tests/orchestration/overload.rs` |
//! | O13 | `o13_an_outage_longer_than_the_lease_records_nothing_twice` | `tests/orchestration/overload.rs` |
//! | O13 | `o13_while_the_breaker_is_open_callers_are_told_at_once` | `tests/orchestration/overload.rs` |
//! | O13 | `o13_the_faults_of_callers_leave_the_breaker_closed` | `tests/orchestration/overload.rs` |
//! | O13 | `o13_a_submission_that_finds_no_room_is_refused_with_when_to_come_back` | `tests/orchestration/overload.rs` |
//! | O13 | `o13_health_tells_what_waits_and_answers_when_the_store_hangs` | `tests/orchestration/events.rs` |
//! | O13 | `o13_a_step_that_ends_in_an_outage_is_recorded_after_it` | `tests/outage/mod.rs` |
//! | O13 | `o13_steps_that_do_not_end_at_shutdown_are_given_back` | `tests/orchestration/workflows.rs` |
//! | O13 | `o13_a_worker_that_is_told_to_stop_gives_its_leases_back_at_once` | `tests/cli/workers.rs` |
//! | O13 | `o13_a_server_that_is_away_opens_the_breaker` | `tests/postgres/losses.rs` |
//! | O13 | `o13_a_lock_held_for_long_opens_the_breaker` | `tests/sqlite/sharing.rs` |
//! | O14 | `only_the_templates_served_are_claimed` | `src/orchestration/store/conformance/selection.rs` |
//! | O14 | `o14_a_rolling_restart_strands_and_doubles_nothing_on_one_file` | `tests/processes/rolling.rs` |
//! | O14 | `o14_a_rolling_restart_strands_and_doubles_nothing_on_one_server` | `tests/processes/rolling.rs` |
//! | O14 | `o14_an_output_that_is_too_large_is_refused_with_its_tail` | `src/orchestration/worker/builtin/shell/tests.rs` |
//! | O14 | `o14_input_and_config_errors_name_their_place` | `src/orchestration/worker/context.rs` |
//! | O14 | `o14_what_cannot_run_says_so_without_running` | `src/orchestration/worker/executor_tests.rs` |
//! | O14 | `o14_a_result_that_is_too_large_is_refused` | `src/orchestration/worker/executor_tests.rs` |
//! | O14 | `o14_duplicate_and_empty_names_are_all_reported` | `src/orchestration/worker/table.rs` |
//! | O14 | `o14_a_table_knows_its_names_and_refuses_others` | `src/orchestration/worker/table.rs` |
//! | O14 | `o14_a_bad_template_is_refused_with_its_place_and_nothing_is_stored` | `tests/cli/templates.rs` |
//! | O14 | `o14_every_problem_is_said_at_once` | `tests/cli/templates.rs` |
//! | O14 | `o14_an_unknown_handler_is_refused_by_name_and_nothing_is_stored` | `tests/orchestration/workflows.rs` |
//! | O14 | `o14_a_task_that_no_live_worker_can_run_is_blocked_and_says_so` | `tests/orchestration/faults.rs` |
//! | O15 | `o15_a_worker_runs_shell_only_when_told_to` | `tests/cli/workers.rs` |
//! | O15 | `o15_payloads_do_not_show_in_debug_output` | `src/orchestration/worker/context.rs` |
//! | O15 | `o15_what_cannot_be_opened_is_named_without_its_password` | `tests/postgres/opening.rs` |
//! | O15 | `o15_no_password_is_shown_wherever_it_stands` | `src/orchestration/store/url.rs` |
//! | O15 | `o15_what_is_shown_has_no_password` | `src/orchestration/store/postgres/location.rs` |
//! | O15 | `o15_what_is_refused_is_told_without_passwords` | `src/orchestration/store/postgres/location.rs` |
