//! Taking back what time and dead processes left behind.

use std::time::Duration;

use super::subject::{DIAMOND, LONG, Subject, task};
use crate::orchestration::state::{StepState, TaskState};
use crate::orchestration::store::{CompletionOutcome, HistoryKind, SweepReport};

/// By anybody, and it can be claimed again at once.
pub async fn a_lease_that_ran_out_is_taken_back(subject: Subject) {
    let uuid = subject.submit(DIAMOND).await;
    let lost = subject.claim_and_lose().await;
    let other = subject.another().await;
    let report = other.sweep(&[]).await;
    let rescued = SweepReport {
        rescued: vec![lost.id],
        ..SweepReport::default()
    };
    assert_eq!(report, rescued);
    let step = subject.step(uuid, 0).await;
    assert_eq!(
        (step.state, step.attempts, step.lost_leases),
        (StepState::Ready, 0, 1)
    );
    assert_eq!((step.epoch, step.owner, step.lease_until), (1, None, None));
    let rows = subject.rows(uuid, HistoryKind::LeaseLost).await;
    assert_eq!(rows.len(), 1);
    assert_eq!(
        (rows[0].step, rows[0].epoch, rows[0].attempt),
        (Some(0), Some(1), Some(1))
    );
    assert_eq!(rows[0].process, Some(other.process), "who took it back");
    assert!(
        rows[0]
            .detail
            .as_ref()
            .unwrap()
            .contains(&subject.process.to_string())
    );
    let again = other.claim_one().await;
    assert_eq!((again.epoch, again.attempt), (2, 1));
    assert_eq!(subject.sweep(&[]).await, SweepReport::default());
}

/// Whoever renews in time keeps it.
pub async fn a_renewed_lease_is_left_alone(subject: Subject) {
    let uuid = subject.submit(DIAMOND).await;
    let step = subject.claim_and_lose().await;
    subject
        .store
        .heartbeat(subject.process, LONG)
        .await
        .unwrap();
    assert_eq!(
        subject.another().await.sweep(&[]).await,
        SweepReport::default()
    );
    assert_eq!(subject.step(uuid, 0).await.state, StepState::Running);
    subject.succeed(&step).await;
}

/// Whatever their leases say.
pub async fn the_leases_of_the_dead_are_taken_back(subject: Subject) {
    let uuid = subject.submit(&[("a", &[]), ("b", &[])]).await;
    let dead = subject.another().await;
    let theirs = dead.claim(1).await.remove(0);
    let mine = subject.claim_one().await;
    let report = subject.sweep(&[dead.process]).await;
    assert_eq!(report.rescued, [theirs.id]);
    assert_eq!(
        subject.step_states(uuid).await,
        [StepState::Ready, StepState::Running]
    );
    subject.succeed(&mine).await;
}

/// A step with one attempt that loses its lease still has that attempt.
pub async fn a_lost_lease_uses_up_no_attempt(subject: Subject) {
    let mut new = task(&[("only", &[])]);
    new.steps[0].max_attempts = 1;
    let uuid = subject.submit_task(new).await;
    for lost in 1..=3 {
        let step = subject.claim_and_lose().await;
        assert_eq!((step.attempt, step.epoch), (1, lost));
        assert_eq!(subject.sweep(&[]).await.rescued.len(), 1);
    }
    let step = subject.claim_one().await;
    assert_eq!((step.attempt, step.epoch), (1, 4));
    subject.succeed(&step).await;
    assert_eq!(subject.state(uuid).await, TaskState::Complete);
}

/// A step that takes its process down with it every time is stopped.
pub async fn too_many_lost_leases_fail_the_step(subject: Subject) {
    let uuid = subject.submit(&[("only", &[]), ("after", &[0])]).await;
    let mut request = subject.sweep_request(&[]);
    request.max_lost_leases = 1;
    subject.claim_and_lose().await;
    let report = subject.store.sweep(request.clone()).await.unwrap();
    assert_eq!(report.rescued.len(), 1);
    let step = subject.claim_and_lose().await;
    let report = subject.store.sweep(request).await.unwrap();
    let failed = SweepReport {
        failed: vec![step.id],
        finalised: vec![(uuid, TaskState::Failed)],
        ..SweepReport::default()
    };
    assert_eq!(report, failed);
    let record = subject.task(uuid).await;
    assert_eq!((record.state, record.steps_failed), (TaskState::Failed, 1));
    assert!(
        record
            .reason
            .as_ref()
            .unwrap()
            .starts_with("step only failed: lease_lost: "),
        "{record:?}"
    );
    assert_eq!(subject.rows(uuid, HistoryKind::LeaseLost).await.len(), 2);
    let lost = subject.step(uuid, 0).await;
    assert_eq!(
        (lost.state, lost.lost_leases, lost.owner),
        (StepState::Failed, 2, None)
    );
}

/// The rest waits for the next one.
pub async fn a_sweep_keeps_its_limit(subject: Subject) {
    let uuid = subject.submit(&[("a", &[]), ("b", &[]), ("c", &[])]).await;
    let mut request = subject.request(10);
    request.lease = Duration::ZERO;
    subject.store.claim(request).await.unwrap();
    let mut request = subject.sweep_request(&[]);
    request.limit = 2;
    assert_eq!(
        subject
            .store
            .sweep(request.clone())
            .await
            .unwrap()
            .rescued
            .len(),
        2
    );
    assert_eq!(
        subject
            .store
            .sweep(request.clone())
            .await
            .unwrap()
            .rescued
            .len(),
        1
    );
    assert_eq!(subject.store.sweep(request).await.unwrap().rescued.len(), 0);
    assert_eq!(subject.step_states(uuid).await, [StepState::Ready; 3]);
}

/// Before and after somebody else has claimed the step.
pub async fn who_lost_a_lease_completes_in_vain(subject: Subject) {
    let uuid = subject.submit(&[("only", &[])]).await;
    let lost = subject.claim_and_lose().await;
    let other = subject.another().await;
    other.sweep(&[]).await;
    let outcome = subject.complete(subject.success(&lost)).await;
    let stale = |step_state, epoch| CompletionOutcome::Stale { step_state, epoch };
    assert_eq!(outcome, stale(StepState::Ready, 1));
    let taken = other.claim_one().await;
    let outcome = subject.complete(subject.success(&lost)).await;
    assert_eq!(outcome, stale(StepState::Running, 2));
    other.succeed(&taken).await;
    let outcome = subject.complete(subject.success(&lost)).await;
    assert_eq!(outcome, stale(StepState::Complete, 2));
    assert_eq!(subject.rows(uuid, HistoryKind::Stale).await.len(), 3);
    assert_eq!(subject.rows(uuid, HistoryKind::Attempt).await.len(), 1);
}
