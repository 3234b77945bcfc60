//! Recording successes, and refusing what comes too late.

use std::time::Duration;

use uuid::Uuid;

use super::subject::{DIAMOND, Subject};
use crate::orchestration::state::{StepState, TaskState};
use crate::orchestration::store::{Completion, CompletionOutcome, HistoryKind, StepOutcome};

fn recorded(task_state: TaskState, newly_ready: u32, finalised: bool) -> CompletionOutcome {
    CompletionOutcome::Recorded {
        step_state: StepState::Complete,
        task_state,
        newly_ready,
        finalised,
        stops: false,
    }
}

/// Result, children and counters in one.
pub async fn a_success_readies_the_children(subject: Subject) {
    let uuid = subject.submit(DIAMOND).await;
    let top = subject.claim_one().await;
    let outcome = subject.complete(subject.success(&top)).await;
    assert_eq!(outcome, recorded(TaskState::Running, 2, false));
    let steps = subject.steps(uuid).await;
    let top = &steps[0];
    assert_eq!(
        (top.state, top.result_json.as_deref()),
        (StepState::Complete, Some("\"top\""))
    );
    assert_eq!((top.owner, top.lease_until, top.attempts), (None, None, 1));
    assert!(top.ended_at >= top.started_at);
    let unmet: Vec<u32> = steps.iter().map(|step| step.unmet_dependencies).collect();
    assert_eq!(unmet, [0, 0, 0, 2]);
    let (ready, pending) = (StepState::Ready, StepState::Pending);
    assert_eq!(
        steps.iter().map(|step| step.state).collect::<Vec<_>>()[1..],
        [ready, ready, pending]
    );
    assert_eq!(subject.task(uuid).await.steps_complete, 1);
}

/// The end comes with the last result.
pub async fn the_last_success_completes_the_task(subject: Subject) {
    let uuid = subject.submit(&[("first", &[]), ("last", &[0])]).await;
    let first = subject.claim_one().await;
    subject.succeed(&first).await;
    let last = subject.claim_one().await;
    let outcome = subject.complete(subject.success(&last)).await;
    assert_eq!(outcome, recorded(TaskState::Complete, 0, true));
    let record = subject.task(uuid).await;
    assert_eq!(
        (record.state, record.reason, record.steps_complete),
        (TaskState::Complete, None, 2)
    );
    assert!(record.ended_at >= record.started_at && record.ended_at.is_some());
    assert_eq!(subject.states_passed(uuid).await, ["running", "complete"]);
    assert!(subject.claim(10).await.is_empty());
}

/// Ready when the last parent is done, not before.
pub async fn a_join_waits_for_all_its_parents(subject: Subject) {
    let uuid = subject.submit(DIAMOND).await;
    let top = subject.claim_one().await;
    subject.succeed(&top).await;
    let sides = subject.claim(10).await;
    assert_eq!(sides.len(), 2);
    let outcome = subject.complete(subject.success(&sides[1])).await;
    assert_eq!(outcome, recorded(TaskState::Running, 0, false));
    assert!(subject.claim(10).await.is_empty());
    assert_eq!(subject.step(uuid, 3).await.unmet_dependencies, 1);
    let outcome = subject.complete(subject.success(&sides[0])).await;
    assert_eq!(outcome, recorded(TaskState::Running, 1, false));
    assert_eq!(subject.claim_one().await.name, "bottom");
}

/// Each answer is the one that the same completions would get one after another.
pub async fn parents_in_one_batch_ready_their_join_once(subject: Subject) {
    let uuid = subject.submit(DIAMOND).await;
    let other = subject.submit(&[("a", &[]), ("b", &[])]).await;
    let top = subject.claim(1).await.remove(0);
    subject.succeed(&top).await;
    let steps = subject.claim(10).await;
    assert_eq!(steps.len(), 4);
    let completions = steps.iter().map(|step| subject.success(step)).collect();
    let outcomes = subject.store.complete(completions).await.unwrap();
    let expected = [
        recorded(TaskState::Running, 0, false),
        recorded(TaskState::Running, 1, false),
        recorded(TaskState::Running, 0, false),
        recorded(TaskState::Complete, 0, true),
    ];
    assert_eq!(outcomes, expected);
    assert_eq!(subject.step(uuid, 3).await.state, StepState::Ready);
    assert_eq!(subject.task(other).await.steps_complete, 2);
}

async fn expect_stale(subject: &Subject, completion: Completion, state: StepState, epoch: u64) {
    let uuid = completion.lease.id.task_uuid;
    let (task, steps) = (subject.task(uuid).await, subject.steps(uuid).await);
    let rows = subject.rows(uuid, HistoryKind::Stale).await.len();
    let (process, stale_epoch) = (completion.process, completion.lease.epoch);
    let outcome = subject.complete(completion).await;
    let refused = CompletionOutcome::Stale {
        step_state: state,
        epoch,
    };
    assert_eq!(outcome, refused);
    assert_eq!(subject.task(uuid).await, task, "nothing may change");
    assert_eq!(subject.steps(uuid).await, steps, "nothing may change");
    let after = subject.rows(uuid, HistoryKind::Stale).await;
    assert_eq!(after.len(), rows + 1, "one row tells of it");
    let row = after.last().unwrap();
    assert_eq!((row.process, row.epoch), (Some(process), Some(stale_epoch)));
}

/// Once recorded, for ever recorded.
pub async fn a_second_completion_is_stale(subject: Subject) {
    subject.submit(DIAMOND).await;
    let top = subject.claim_one().await;
    subject.succeed(&top).await;
    expect_stale(&subject, subject.success(&top), StepState::Complete, 1).await;
    expect_stale(&subject, subject.failed(&top, None), StepState::Complete, 1).await;
}

/// Even if both come together.
pub async fn a_second_completion_in_the_same_batch_is_stale(subject: Subject) {
    let uuid = subject.submit(DIAMOND).await;
    let top = subject.claim_one().await;
    let both = vec![subject.success(&top), subject.failed(&top, None)];
    let outcomes = subject.store.complete(both).await.unwrap();
    let stale = CompletionOutcome::Stale {
        step_state: StepState::Complete,
        epoch: 1,
    };
    assert_eq!(outcomes, [recorded(TaskState::Running, 2, false), stale]);
    assert_eq!(subject.rows(uuid, HistoryKind::Stale).await.len(), 1);
    assert_eq!(subject.rows(uuid, HistoryKind::Attempt).await.len(), 1);
}

/// Each is refused with the state that the step had when its turn came.
pub async fn a_stale_completion_finds_what_stands_before_it_in_the_batch(subject: Subject) {
    let uuid = subject.submit(DIAMOND).await;
    let top = subject.claim_one().await;
    let batch = vec![
        subject.stale(uuid, 1),
        subject.success(&top),
        subject.stale(uuid, 1),
        subject.stale(uuid, 3),
    ];
    let outcomes = subject.store.complete(batch).await.unwrap();
    let refused = |step_state| CompletionOutcome::Stale {
        step_state,
        epoch: 0,
    };
    let expected = [
        refused(StepState::Pending),
        recorded(TaskState::Running, 2, false),
        refused(StepState::Ready),
        refused(StepState::Pending),
    ];
    assert_eq!(outcomes, expected);
    let rows = subject.rows(uuid, HistoryKind::Stale).await;
    let told: Vec<_> = rows
        .iter()
        .map(|row| (row.step, row.detail.as_deref()))
        .collect();
    let expected = [
        (Some(1), Some("the step is pending at epoch 0")),
        (Some(1), Some("the step is ready at epoch 0")),
        (Some(3), Some("the step is pending at epoch 0")),
    ];
    assert_eq!(told, expected);
}

/// A lease belongs to a process.
pub async fn a_completion_by_another_process_is_stale(subject: Subject) {
    subject.submit(DIAMOND).await;
    let top = subject.claim_one().await;
    let other = subject.another().await;
    expect_stale(&subject, other.success(&top), StepState::Running, 1).await;
    subject.succeed(&top).await;
}

/// A fencing token that is not the present one, lower or higher.
pub async fn a_completion_of_another_epoch_is_stale(subject: Subject) {
    subject.submit(DIAMOND).await;
    let top = subject.claim_one().await;
    for epoch in [0, 2, u64::from(u32::MAX)] {
        let mut completion = subject.success(&top);
        completion.lease.epoch = epoch;
        expect_stale(&subject, completion, StepState::Running, 1).await;
    }
    subject.succeed(&top).await;
}

/// No such task, no such step.
pub async fn an_unknown_step_is_not_found(subject: Subject) {
    let uuid = subject.submit(DIAMOND).await;
    for (task_uuid, index) in [(Uuid::now_v7(), 0), (uuid, 4), (uuid, u32::MAX)] {
        let completion = subject.stale(task_uuid, index);
        assert_eq!(
            subject.complete(completion).await,
            CompletionOutcome::NotFound
        );
    }
    assert!(subject.store.history(uuid).await.unwrap().is_empty());
}

/// One refused completion harms no other of its batch, and the answers keep their order.
pub async fn refusals_do_not_harm_their_neighbours(subject: Subject) {
    let uuid = subject.submit(&[("a", &[]), ("b", &[]), ("c", &[])]).await;
    let steps = subject.claim(10).await;
    subject.succeed(&steps[1]).await;
    let mut unknown = subject.success(&steps[0]);
    unknown.lease.id.task_uuid = Uuid::now_v7();
    let batch = vec![
        unknown,
        subject.success(&steps[0]),
        subject.success(&steps[1]),
        subject.failed(&steps[2], Some(Duration::ZERO)),
    ];
    let outcomes = subject.store.complete(batch).await.unwrap();
    assert_eq!(outcomes[0], CompletionOutcome::NotFound);
    assert_eq!(outcomes[1], recorded(TaskState::Running, 0, false));
    assert!(
        matches!(outcomes[2], CompletionOutcome::Stale { .. }),
        "{outcomes:?}"
    );
    let waits = CompletionOutcome::Recorded {
        step_state: StepState::RetryWait,
        task_state: TaskState::Waiting,
        newly_ready: 0,
        finalised: false,
        stops: false,
    };
    assert_eq!(outcomes[3], waits);
    assert_eq!(subject.task(uuid).await.steps_complete, 2);
}

/// A mebibyte, and text that needs escaping.
pub async fn large_results_are_kept(subject: Subject) {
    let uuid = subject
        .submit(&[("large", &[]), ("after", &[0]), ("small", &[])])
        .await;
    let steps = subject.claim(10).await;
    let large = format!("{:?}", "\u{1F4EE}\"'\\\n".repeat(1 << 17));
    let batch = steps
        .iter()
        .map(|step| {
            let mut completion = subject.success(step);
            if step.name == "large" {
                completion.outcome = StepOutcome::Success {
                    result_json: large.clone(),
                };
            }
            completion
        })
        .collect();
    subject.store.complete(batch).await.unwrap();
    assert_eq!(
        subject.step(uuid, 0).await.result_json.as_ref(),
        Some(&large)
    );
    assert_eq!(
        subject.step(uuid, 2).await.result_json.as_deref(),
        Some("\"small\"")
    );
    assert_eq!(subject.claim_one().await.parents[0].result_json, large);
}

/// The history tells what happened, attempt by attempt.
pub async fn every_attempt_leaves_one_row(subject: Subject) {
    let uuid = subject.submit(&[("only", &[])]).await;
    let first = subject.claim_one().await;
    subject.fail(&first, Some(Duration::ZERO)).await;
    let second = subject.claim_one().await;
    subject.succeed(&second).await;
    let rows = subject.rows(uuid, HistoryKind::Attempt).await;
    assert_eq!(rows.len(), 2);
    for (row, (number, to)) in rows.iter().zip([(1, "retry_wait"), (2, "complete")]) {
        assert_eq!(
            (row.step, row.attempt, row.epoch),
            (Some(0), Some(number), Some(u64::from(number)))
        );
        assert_eq!(
            (row.from.as_deref(), row.to.as_deref()),
            (Some("running"), Some(to))
        );
        assert_eq!((row.process, row.run), (Some(subject.process), 1));
    }
    assert_eq!(rows[0].detail.as_deref(), Some("error: broken"));
    assert_eq!(rows[1].detail.as_deref(), Some("took 5 ms"));
}
