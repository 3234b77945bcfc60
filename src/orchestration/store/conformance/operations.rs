//! What operators and the finaliser do to tasks.

use std::time::Duration;

use uuid::Uuid;

use super::subject::{DIAMOND, LONG, Subject};
use crate::orchestration::state::{StepState, TaskState};
use crate::orchestration::store::{
    CompletionOutcome, HistoryKind, OperationKind, OperationOutcome,
};

pub(super) const fn applied(state: TaskState) -> OperationOutcome {
    OperationOutcome::Applied { state }
}

pub(super) const fn not_applicable(state: TaskState) -> OperationOutcome {
    OperationOutcome::NotApplicable { state }
}

/// Pending, running, waiting, blocked: and everything unfinished with it.
pub async fn a_task_is_cancelled_in_any_unfinished_state(subject: Subject) {
    for state in [
        TaskState::Pending,
        TaskState::Running,
        TaskState::Waiting,
        TaskState::Blocked,
    ] {
        let uuid = subject.submit(&[("a", &[]), ("b", &[0])]).await;
        match state {
            TaskState::Running => drop(subject.claim_one().await),
            TaskState::Waiting => {
                let step = subject.claim_one().await;
                subject.fail(&step, Some(LONG)).await;
            }
            TaskState::Blocked => {
                subject.leave().await;
                subject.sweep(&[]).await;
                subject.join().await;
            }
            _ => {}
        }
        assert_eq!(subject.state(uuid).await, state);
        assert_eq!(subject.cancel(uuid).await, applied(TaskState::Cancelled));
        let record = subject.task(uuid).await;
        assert_eq!(
            (record.state, record.reason.as_deref()),
            (TaskState::Cancelled, Some("enough"))
        );
        assert!(record.ended_at.is_some());
        assert_eq!(subject.step_states(uuid).await, [StepState::Cancelled; 2]);
        let last = subject
            .rows(uuid, HistoryKind::TaskState)
            .await
            .pop()
            .unwrap();
        assert_eq!(
            (last.detail.as_deref(), last.process),
            (Some("enough"), Some(subject.process))
        );
        let claims = subject.claims(10).await;
        assert_eq!((claims.steps.len(), claims.next_due), (0, None));
    }
}

/// Its lease is gone, and what was complete stays.
pub async fn a_cancelled_step_is_completed_in_vain(subject: Subject) {
    let uuid = subject.submit(DIAMOND).await;
    let top = subject.claim_one().await;
    subject.succeed(&top).await;
    let sides = subject.claim(10).await;
    subject.cancel(uuid).await;
    let heartbeat = subject.store.heartbeat(subject.process, LONG).await;
    assert_eq!(heartbeat.unwrap().held, []);
    for side in &sides {
        let outcome = subject.complete(subject.success(side)).await;
        let stale = CompletionOutcome::Stale {
            step_state: StepState::Cancelled,
            epoch: 2,
        };
        assert_eq!(outcome, stale);
    }
    let steps = subject.steps(uuid).await;
    assert_eq!((steps[0].state, steps[0].epoch), (StepState::Complete, 1));
    assert_eq!(subject.task(uuid).await.steps_complete, 1);
    assert_eq!(subject.states_passed(uuid).await, ["running", "cancelled"]);
}

/// Complete, failed and cancelled tasks stay what they are.
pub async fn what_is_finished_is_not_cancelled(subject: Subject) {
    let complete = subject.submit(DIAMOND).await;
    subject.run_out().await;
    assert_eq!(
        subject.cancel(complete).await,
        not_applicable(TaskState::Complete)
    );
    let failed = subject.submit(DIAMOND).await;
    let top = subject.claim_one().await;
    subject.fail(&top, None).await;
    assert_eq!(
        subject.cancel(failed).await,
        not_applicable(TaskState::Failed)
    );
    let cancelled = subject.submit(DIAMOND).await;
    subject.cancel(cancelled).await;
    assert_eq!(
        subject.cancel(cancelled).await,
        not_applicable(TaskState::Cancelled)
    );
}

/// Failed steps anew, with all their attempts; the rest as it was.
pub async fn a_retried_task_keeps_what_is_complete(subject: Subject) {
    let uuid = subject.submit(DIAMOND).await;
    let top = subject.claim_one().await;
    subject.succeed(&top).await;
    let sides = subject.claim(10).await;
    subject.succeed(&sides[0]).await;
    subject.fail(&sides[1], Some(Duration::ZERO)).await;
    let again = subject.claim_one().await;
    subject.fail(&again, None).await;
    assert_eq!(subject.state(uuid).await, TaskState::Failed);
    let started = subject.task(uuid).await.started_at;

    assert_eq!(
        subject.operate(uuid, OperationKind::Retry).await,
        applied(TaskState::Pending)
    );
    let record = subject.task(uuid).await;
    assert_eq!(
        (record.state, record.run, record.reason),
        (TaskState::Pending, 2, None)
    );
    assert_eq!((record.ended_at, record.started_at), (None, started));
    assert_eq!((record.steps_complete, record.steps_failed), (2, 0));
    let side = subject.step(uuid, 2).await;
    assert_eq!(
        (side.state, side.attempts, side.epoch),
        (StepState::Ready, 0, 3)
    );
    let outcome = subject.complete(subject.success(&again)).await;
    assert!(
        matches!(outcome, CompletionOutcome::Stale { .. }),
        "{outcome:?}"
    );
    assert_eq!(subject.run_out().await, ["right", "bottom"]);
    assert_eq!(subject.state(uuid).await, TaskState::Complete);
    let path = [
        "running", "waiting", "running", "failed", "pending", "running", "complete",
    ];
    assert_eq!(subject.states_passed(uuid).await, path);
    let runs: Vec<u32> = subject
        .rows(uuid, HistoryKind::TaskState)
        .await
        .iter()
        .map(|row| row.run)
        .collect();
    assert_eq!(runs, [1, 1, 1, 1, 2, 2, 2]);
}

/// There is nothing to continue in any other.
pub async fn only_failed_tasks_are_retried(subject: Subject) {
    let uuid = subject.submit(&[("only", &[])]).await;
    let retry = async || subject.operate(uuid, OperationKind::Retry).await;
    assert_eq!(retry().await, not_applicable(TaskState::Pending));
    let step = subject.claim_one().await;
    assert_eq!(retry().await, not_applicable(TaskState::Running));
    subject.succeed(&step).await;
    assert_eq!(retry().await, not_applicable(TaskState::Complete));
    assert_eq!(subject.task(uuid).await.run, 1);
}

/// Completions finalise; what looks again finds it done, or not yet to be done.
pub async fn there_is_nothing_to_finalise_twice(subject: Subject) {
    let uuid = subject.submit(&[("only", &[])]).await;
    let finalise = async || subject.operate(uuid, OperationKind::Finalise).await;
    assert_eq!(finalise().await, not_applicable(TaskState::Pending));
    let step = subject.claim_one().await;
    assert_eq!(finalise().await, not_applicable(TaskState::Running));
    subject.succeed(&step).await;
    assert_eq!(finalise().await, not_applicable(TaskState::Complete));
    assert_eq!(subject.states_passed(uuid).await, ["running", "complete"]);
}

/// As if they had come one after another.
pub async fn operations_on_the_same_task_in_one_batch_see_each_other(subject: Subject) {
    let uuid = subject.submit(DIAMOND).await;
    let top = subject.claim_one().await;
    subject.fail(&top, None).await;
    let cancel = || OperationKind::Cancel {
        reason: "enough".into(),
    };
    let kinds = [
        cancel(),
        OperationKind::Retry,
        OperationKind::Retry,
        cancel(),
        cancel(),
    ];
    let batch = kinds
        .into_iter()
        .map(|kind| subject.operation(uuid, kind))
        .collect();
    let outcomes = subject.store.operate(batch).await.unwrap();
    let expected = [
        not_applicable(TaskState::Failed),
        applied(TaskState::Pending),
        not_applicable(TaskState::Pending),
        applied(TaskState::Cancelled),
        not_applicable(TaskState::Cancelled),
    ];
    assert_eq!(outcomes, expected);
    assert_eq!(subject.task(uuid).await.run, 2);
}

/// Whatever is to be done to it.
pub async fn an_unknown_task_is_not_found(subject: Subject) {
    let kinds = [
        OperationKind::Finalise,
        OperationKind::Retry,
        OperationKind::Resume,
        OperationKind::Rerun { from: 0 },
        OperationKind::Cancel {
            reason: String::new(),
        },
    ];
    for kind in kinds {
        let outcome = subject.operate(Uuid::now_v7(), kind).await;
        assert_eq!(outcome, OperationOutcome::NotFound);
    }
}
