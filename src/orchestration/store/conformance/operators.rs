//! What operators do by hand: hold back, resolve, complete, rerun.

use uuid::Uuid;

use super::operations::{applied, not_applicable};
use super::subject::{DIAMOND, LONG, Subject};
use crate::orchestration::state::{StepState, TaskState};
use crate::orchestration::store::{
    CompletionOutcome, DeadLetterFilter, HistoryKind, OperationKind, OperationOutcome, SweepReport,
};

fn pause() -> OperationKind {
    OperationKind::Pause {
        reason: "maintenance".into(),
    }
}

fn resolve() -> OperationKind {
    OperationKind::Resolve {
        reason: "settled by phone".into(),
    }
}

fn resolve_step(step: u32) -> OperationKind {
    OperationKind::ResolveStep {
        step,
        reason: "not needed".into(),
    }
}

fn complete_step(step: u32) -> OperationKind {
    OperationKind::CompleteStep {
        step,
        result_json: r#"{"by":"hand"}"#.into(),
    }
}

/// A diamond whose left side has failed.
async fn failed_diamond(subject: &Subject) -> Uuid {
    let uuid = subject.submit(DIAMOND).await;
    let top = subject.claim_one().await;
    subject.succeed(&top).await;
    let sides = subject.claim(10).await;
    subject.succeed(&sides[1]).await;
    subject.fail(&sides[0], None).await;
    assert_eq!(subject.state(uuid).await, TaskState::Failed);
    uuid
}

/// What runs goes on, and nothing more starts until it is resumed.
pub async fn a_paused_task_is_not_claimed_until_it_is_resumed(subject: Subject) {
    let uuid = subject.submit(DIAMOND).await;
    let top = subject.claim_one().await;
    let paused = TaskState::Paused;
    assert_eq!(subject.operate(uuid, pause()).await, applied(paused));
    assert_eq!(subject.operate(uuid, pause()).await, not_applicable(paused));
    let record = subject.task(uuid).await;
    assert_eq!(record.reason.as_deref(), Some("maintenance"));
    subject.succeed(&top).await;
    assert_eq!(subject.state(uuid).await, paused);
    let claims = subject.claims(10).await;
    assert_eq!((claims.steps.len(), claims.next_due), (0, None));
    // Nobody can run it, but that is not what it waits for.
    subject.leave().await;
    assert_eq!(subject.sweep(&[]).await, SweepReport::default());
    subject.join().await;
    let resumed = subject.operate(uuid, OperationKind::Resume).await;
    assert_eq!(resumed, applied(TaskState::Running));
    assert_eq!(subject.task(uuid).await.reason, None);
    assert_eq!(subject.run_out().await, ["left", "right", "bottom"]);
    assert_eq!(subject.state(uuid).await, TaskState::Complete);
}

/// The last steps may have run when it was paused.
pub async fn a_paused_task_can_end(subject: Subject) {
    let uuid = subject.submit(&[("only", &[])]).await;
    let only = subject.claim_one().await;
    subject.operate(uuid, pause()).await;
    subject.succeed(&only).await;
    assert_eq!(subject.state(uuid).await, TaskState::Complete);
    let resumed = subject.operate(uuid, OperationKind::Resume).await;
    assert_eq!(resumed, not_applicable(TaskState::Complete));
}

/// It waits if that is what it did before.
pub async fn a_task_resumed_before_its_retry_is_due_waits(subject: Subject) {
    let uuid = subject.submit(&[("only", &[])]).await;
    let only = subject.claim_one().await;
    subject.fail(&only, Some(LONG)).await;
    subject.operate(uuid, pause()).await;
    let resumed = subject.operate(uuid, OperationKind::Resume).await;
    assert_eq!(resumed, applied(TaskState::Waiting));
}

/// Unfinished steps are cancelled, leases are lost, and what had failed is no dead letter any more.
pub async fn a_task_is_resolved_whether_unfinished_or_failed(subject: Subject) {
    let resolved = TaskState::ResolvedManually;
    let running = subject.submit(DIAMOND).await;
    let top = subject.claim_one().await;
    assert_eq!(subject.operate(running, resolve()).await, applied(resolved));
    let record = subject.task(running).await;
    assert_eq!(record.reason.as_deref(), Some("settled by phone"));
    assert_eq!(
        subject.step_states(running).await,
        [StepState::Cancelled; 4]
    );
    let late = subject.complete(subject.success(&top)).await;
    assert!(matches!(late, CompletionOutcome::Stale { .. }), "{late:?}");

    let failed = failed_diamond(&subject).await;
    let letters = || subject.store.dead_letters(DeadLetterFilter::default());
    assert_eq!(letters().await.unwrap().len(), 1);
    assert_eq!(subject.operate(failed, resolve()).await, applied(resolved));
    assert_eq!(letters().await.unwrap(), []);
    assert_eq!(subject.task(failed).await.run, 1);
    assert_eq!(
        subject.operate(failed, resolve()).await,
        not_applicable(resolved)
    );
}

/// The task goes on in a new run, with no result for what depends on it.
pub async fn a_resolved_step_lets_its_dependents_go_on(subject: Subject) {
    let uuid = failed_diamond(&subject).await;
    let outcome = subject.operate(uuid, resolve_step(1)).await;
    assert_eq!(outcome, applied(TaskState::Pending));
    let record = subject.task(uuid).await;
    assert_eq!(
        (record.run, record.reason, record.ended_at),
        (2, None, None)
    );
    let left = subject.step(uuid, 1).await;
    assert_eq!((left.state, left.epoch), (StepState::ResolvedManually, 2));
    let row = subject.rows(uuid, HistoryKind::Operator).await.remove(0);
    assert_eq!((row.step, row.run), (Some(1), 2));
    assert_eq!(row.detail.as_deref(), Some("not needed"));
    assert_eq!(row.to.as_deref(), Some("resolved_manually"));
    let bottom = subject.claim_one().await;
    let results: Vec<&str> = bottom.parents.iter().map(|it| &*it.result_json).collect();
    assert_eq!(results, ["null", r#""right""#]);
    subject.succeed(&bottom).await;
    assert_eq!(subject.state(uuid).await, TaskState::Complete);
}

/// Its dependents see the result; its holder hands in too late.
pub async fn a_step_is_completed_by_hand_even_while_it_runs(subject: Subject) {
    let uuid = subject.submit(&[("a", &[]), ("b", &[0])]).await;
    let first = subject.claim_one().await;
    let outcome = subject.operate(uuid, complete_step(0)).await;
    assert_eq!(outcome, applied(TaskState::Running));
    let late = subject.complete(subject.success(&first)).await;
    let stale = CompletionOutcome::Stale {
        step_state: StepState::Complete,
        epoch: 2,
    };
    assert_eq!(late, stale);
    let second = subject.claim_one().await;
    assert_eq!(second.parents[0].result_json, r#"{"by":"hand"}"#);
    let outcome = subject.operate(uuid, complete_step(1)).await;
    assert_eq!(outcome, applied(TaskState::Complete));
    assert_eq!(subject.states_passed(uuid).await, ["running", "complete"]);
}

/// The task is evaluated at once: if that was all, it has ended.
pub async fn the_last_failure_resolved_completes_the_task(subject: Subject) {
    let uuid = subject.submit(&[("a", &[]), ("b", &[])]).await;
    for step in subject.claim(10).await {
        subject.fail(&step, None).await;
    }
    let still = subject.operate(uuid, resolve_step(0)).await;
    assert_eq!(still, applied(TaskState::Failed));
    let record = subject.task(uuid).await;
    assert_eq!(record.run, 1, "another failure still holds it");
    assert_eq!(
        record.reason.as_deref(),
        Some("step b failed: error: broken")
    );
    let outcome = subject.operate(uuid, resolve_step(1)).await;
    assert_eq!(outcome, applied(TaskState::Complete));
    assert_eq!(subject.task(uuid).await.run, 2);
}

/// Neither in a state in which it makes no sense, nor in a task that is done.
pub async fn steps_are_resolved_and_completed_only_where_that_makes_sense(subject: Subject) {
    let uuid = subject.submit(&[("a", &[]), ("b", &[0])]).await;
    let step = |state| OperationOutcome::StepNotApplicable { state };
    let outcome = subject.operate(uuid, complete_step(1)).await;
    assert_eq!(outcome, step(StepState::Pending));
    let outcome = subject.operate(uuid, complete_step(7)).await;
    assert_eq!(outcome, OperationOutcome::NoSuchStep);
    let first = subject.claim_one().await;
    subject.succeed(&first).await;
    for kind in [resolve_step(0), complete_step(0)] {
        let outcome = subject.operate(uuid, kind).await;
        assert_eq!(outcome, step(StepState::Complete));
    }
    subject.cancel(uuid).await;
    for kind in [resolve_step(1), complete_step(1)] {
        let outcome = subject.operate(uuid, kind).await;
        assert_eq!(outcome, not_applicable(TaskState::Cancelled));
    }
}

/// The step and what depends on it, with the results that were there kept as history.
pub async fn a_rerun_resets_a_step_and_its_descendants(subject: Subject) {
    let uuid = subject.submit(DIAMOND).await;
    subject.run_out().await;
    let before = subject.steps(uuid).await;
    let outcome = subject
        .operate(uuid, OperationKind::Rerun { from: 1 })
        .await;
    assert_eq!(outcome, applied(TaskState::Pending));
    let states = [
        StepState::Complete,
        StepState::Ready,
        StepState::Complete,
        StepState::Pending,
    ];
    assert_eq!(subject.step_states(uuid).await, states);
    let after = subject.steps(uuid).await;
    assert_eq!((&after[0], &after[2]), (&before[0], &before[2]));
    for index in [1, 3] {
        let step = &after[index];
        assert_eq!((step.attempts, &step.result_json), (0, &None));
        assert_eq!(step.epoch, before[index].epoch + 1);
    }
    let rows = subject.rows(uuid, HistoryKind::Operator).await;
    let kept: Vec<_> = rows
        .iter()
        .map(|row| (row.step, row.result_json.as_deref()))
        .collect();
    let expected = [(Some(1), Some(r#""left""#)), (Some(3), Some(r#""bottom""#))];
    assert_eq!(kept, expected);
    assert_eq!(subject.run_out().await, ["left", "bottom"]);
    let record = subject.task(uuid).await;
    assert_eq!((record.state, record.run), (TaskState::Complete, 2));
    let path = ["running", "complete", "pending", "running", "complete"];
    assert_eq!(subject.states_passed(uuid).await, path);
}

/// And not while the lease of one of them could still bring a result.
pub async fn a_rerun_is_refused_while_a_step_of_it_is_leased(subject: Subject) {
    let uuid = subject.submit(DIAMOND).await;
    let top = subject.claim_one().await;
    subject.succeed(&top).await;
    let sides = subject.claim(10).await;
    for from in [0, 2] {
        let outcome = subject.operate(uuid, OperationKind::Rerun { from }).await;
        let step = from.max(1);
        assert_eq!(outcome, OperationOutcome::Busy { step });
    }
    assert_eq!(subject.task(uuid).await.run, 1);
    subject.succeed(&sides[0]).await;
    let outcome = subject
        .operate(uuid, OperationKind::Rerun { from: 1 })
        .await;
    assert_eq!(
        outcome,
        applied(TaskState::Running),
        "the other side goes on"
    );
    subject.succeed(&sides[1]).await;
    assert_eq!(subject.run_out().await, ["left", "bottom"]);
    assert_eq!(subject.task(uuid).await.run, 2);
}

/// What was cancelled with its task waits again.
pub async fn a_cancelled_task_can_be_rerun(subject: Subject) {
    let uuid = subject.submit(DIAMOND).await;
    let top = subject.claim_one().await;
    subject.succeed(&top).await;
    subject.cancel(uuid).await;
    let outcome = subject
        .operate(uuid, OperationKind::Rerun { from: 3 })
        .await;
    assert_eq!(outcome, applied(TaskState::Pending));
    assert_eq!(subject.run_out().await, ["left", "right", "bottom"]);
    assert_eq!(subject.state(uuid).await, TaskState::Complete);
}

/// Only one of them resets, and the epochs tell the runs apart.
pub async fn concurrent_reruns_and_claims_never_mix_their_results(subject: Subject) {
    let uuid = subject.submit(&[("a", &[]), ("b", &[0])]).await;
    subject.run_out().await;
    for _ in 0..10 {
        let mut working = tokio::task::JoinSet::new();
        for _ in 0..4 {
            let subject = subject.clone();
            working.spawn(async move {
                subject
                    .operate(uuid, OperationKind::Rerun { from: 0 })
                    .await;
                for step in subject.claim(1).await {
                    subject.complete(subject.success(&step)).await;
                }
            });
        }
        working.join_all().await;
    }
    subject.run_out().await;
    let record = subject.task(uuid).await;
    assert_eq!(record.state, TaskState::Complete);
    let ends = subject.states_passed(uuid).await;
    let ends = ends.iter().filter(|state| *state == "complete").count();
    assert!(
        ends <= record.run as usize,
        "{ends} ends in {} runs",
        record.run
    );
}
