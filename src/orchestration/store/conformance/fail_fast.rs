//! Tasks that fail fast: nothing new starts, what runs is told to stop, the rest is cancelled.

use std::time::Duration;

use uuid::Uuid;

use super::subject::{LONG, Shape, Subject, task};
use crate::orchestration::state::{FailurePolicy, StepState, TaskState};
use crate::orchestration::store::{ClaimedStep, CompletionOutcome, OperationKind, SweepReport};

/// Three that can start at once, one behind each of two of them, and one behind both.
const WIDE: &Shape<'static> = &[
    ("first", &[]),
    ("second", &[]),
    ("third", &[]),
    ("after first", &[0]),
    ("after both", &[0, 1]),
];

async fn submit(subject: &Subject) -> Uuid {
    let mut new = task(WIDE);
    new.failure_policy = FailurePolicy::FailFast;
    subject.submit_task(new).await
}

/// Three steps run; the first one fails for good.
async fn failing(subject: &Subject) -> (Uuid, Vec<ClaimedStep>) {
    let uuid = submit(subject).await;
    let steps = subject.claim(10).await;
    assert_eq!(steps.len(), 3);
    let outcome = subject.complete(subject.failed(&steps[0], None)).await;
    let expected = CompletionOutcome::Recorded {
        step_state: StepState::Failed,
        task_state: TaskState::Running,
        newly_ready: 0,
        finalised: false,
        stops: true,
    };
    assert_eq!(outcome, expected);
    (uuid, steps)
}

/// In the commit that records the failure.
pub async fn a_failure_cancels_what_has_not_started(subject: Subject) {
    let uuid = submit(&subject).await;
    let first = subject.claim(1).await.remove(0);
    let outcome = subject.complete(subject.failed(&first, None)).await;
    let expected = CompletionOutcome::Recorded {
        step_state: StepState::Failed,
        task_state: TaskState::Failed,
        newly_ready: 0,
        finalised: true,
        stops: true,
    };
    assert_eq!(outcome, expected);
    let mut states = [StepState::Cancelled; 5];
    states[0] = StepState::Failed;
    assert_eq!(subject.step_states(uuid).await, states);
    let record = subject.task(uuid).await;
    assert_eq!(
        record.reason.as_deref(),
        Some("step first failed: error: broken")
    );
    assert!(subject.claim(10).await.is_empty());
}

/// Their holders learn it from the heartbeat, and results that they hand in all the same count.
pub async fn steps_that_run_are_told_to_stop_and_the_task_waits_for_them(subject: Subject) {
    let (uuid, steps) = failing(&subject).await;
    assert_eq!(subject.state(uuid).await, TaskState::Running);
    let heartbeat = subject
        .store
        .heartbeat(subject.process, LONG)
        .await
        .unwrap();
    let leases: Vec<_> = steps[1..].iter().map(ClaimedStep::lease).collect();
    assert_eq!((&heartbeat.held, &heartbeat.stop), (&leases, &leases));
    let outcome = subject.complete(subject.success(&steps[1])).await;
    let CompletionOutcome::Recorded {
        step_state: StepState::Complete,
        newly_ready: 0,
        finalised: false,
        stops: true,
        ..
    } = outcome
    else {
        panic!("{outcome:?}");
    };
    let released = subject
        .store
        .release(subject.process, vec![steps[2].lease()]);
    assert_eq!(released.await.unwrap(), 1);
    assert_eq!(subject.state(uuid).await, TaskState::Failed);
    let states = [
        StepState::Failed,
        StepState::Complete,
        StepState::Cancelled,
        StepState::Cancelled,
        StepState::Cancelled,
    ];
    assert_eq!(subject.step_states(uuid).await, states);
    assert_eq!(subject.states_passed(uuid).await, ["running", "failed"]);
}

/// A failure that would be tried again, a lost lease: neither starts anew.
pub async fn nothing_is_tried_again_in_a_task_that_fails_fast(subject: Subject) {
    let (uuid, steps) = failing(&subject).await;
    let again = subject.failed(&steps[1], Some(Duration::ZERO));
    let outcome = subject.complete(again).await;
    let CompletionOutcome::Recorded {
        step_state: StepState::Cancelled,
        finalised: false,
        ..
    } = outcome
    else {
        panic!("{outcome:?}");
    };
    let report = subject.another().await.sweep(&[subject.process]).await;
    let expected = SweepReport {
        rescued: vec![steps[2].id],
        finalised: vec![(uuid, TaskState::Failed)],
        ..SweepReport::default()
    };
    assert_eq!(report, expected);
    assert_eq!(subject.step(uuid, 2).await.state, StepState::Cancelled);
    assert!(subject.claim(10).await.is_empty());
}

/// As if they had come one after another.
pub async fn a_failure_counts_for_those_behind_it_in_the_batch(subject: Subject) {
    let uuid = submit(&subject).await;
    let steps = subject.claim(10).await;
    let batch = vec![
        subject.success(&steps[0]),
        subject.failed(&steps[2], None),
        subject.success(&steps[1]),
    ];
    let outcomes = subject.store.complete(batch).await.unwrap();
    let told: Vec<_> = outcomes
        .iter()
        .map(|outcome| match outcome {
            CompletionOutcome::Recorded {
                newly_ready,
                finalised,
                stops,
                ..
            } => (*newly_ready, *finalised, *stops),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(told, [(1, false, false), (0, false, true), (0, true, true)]);
    let states = [
        StepState::Complete,
        StepState::Complete,
        StepState::Failed,
        StepState::Cancelled,
        StepState::Cancelled,
    ];
    assert_eq!(subject.step_states(uuid).await, states);
}

/// What an earlier one of the batch readied, and another then stopped.
pub async fn a_stale_completion_behind_a_failure_finds_its_step_cancelled(subject: Subject) {
    let uuid = submit(&subject).await;
    let steps = subject.claim(10).await;
    let batch = vec![
        subject.success(&steps[0]),
        subject.stale(uuid, 3),
        subject.failed(&steps[2], None),
        subject.stale(uuid, 3),
        subject.stale(uuid, 4),
    ];
    let outcomes = subject.store.complete(batch).await.unwrap();
    let refused = |step_state| CompletionOutcome::Stale {
        step_state,
        epoch: 0,
    };
    assert_eq!(outcomes[1], refused(StepState::Ready));
    assert_eq!(outcomes[3], refused(StepState::Cancelled));
    assert_eq!(outcomes[4], refused(StepState::Cancelled));
}

/// What was cancelled for the failure waits again, with the rest.
pub async fn a_retry_takes_up_what_was_cancelled(subject: Subject) {
    let uuid = submit(&subject).await;
    let first = subject.claim(1).await.remove(0);
    subject.fail(&first, None).await;
    let outcome = subject.operate(uuid, OperationKind::Retry).await;
    let pending = TaskState::Pending;
    assert_eq!(outcome, super::operations::applied(pending));
    let states = [
        StepState::Ready,
        StepState::Ready,
        StepState::Ready,
        StepState::Pending,
        StepState::Pending,
    ];
    assert_eq!(subject.step_states(uuid).await, states);
    assert_eq!(subject.run_out().await.len(), 5);
    assert_eq!(subject.state(uuid).await, TaskState::Complete);
}

/// Resolving the failure while others run lets the task go on as if there had been none.
pub async fn a_failure_that_is_resolved_stops_nothing_more(subject: Subject) {
    let (uuid, steps) = failing(&subject).await;
    let kind = OperationKind::ResolveStep {
        step: 0,
        reason: "done by hand".into(),
    };
    let running = TaskState::Running;
    let outcome = subject.operate(uuid, kind).await;
    assert_eq!(outcome, super::operations::applied(running));
    let heartbeat = subject
        .store
        .heartbeat(subject.process, LONG)
        .await
        .unwrap();
    assert!(heartbeat.stop.is_empty());
    subject.succeed(&steps[1]).await;
    subject.succeed(&steps[2]).await;
    assert_eq!(subject.run_out().await, ["after first", "after both"]);
    assert_eq!(subject.state(uuid).await, TaskState::Complete);
}
