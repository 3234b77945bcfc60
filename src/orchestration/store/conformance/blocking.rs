//! Tasks that no live process can run say so.

use std::time::Duration;

use uuid::Uuid;

use super::subject::{DIAMOND, LONG, Subject, WORK, task};
use crate::orchestration::state::TaskState;
use crate::orchestration::store::SweepReport;

fn blocked(uuid: Uuid) -> SweepReport {
    SweepReport {
        blocked: vec![uuid],
        ..SweepReport::default()
    }
}

fn unblocked(uuid: Uuid) -> SweepReport {
    SweepReport {
        unblocked: vec![uuid],
        ..SweepReport::default()
    }
}

/// With the reason, and without anybody having to lift it.
pub async fn a_task_nobody_can_run_is_blocked_until_somebody_can(subject: Subject) {
    let uuid = subject.submit(DIAMOND).await;
    assert_eq!(subject.sweep(&[]).await, SweepReport::default());
    subject.leave().await;
    assert_eq!(subject.sweep(&[]).await, blocked(uuid));
    let record = subject.task(uuid).await;
    assert_eq!(record.state, TaskState::Blocked);
    assert_eq!(record.reason.as_deref(), Some("no live worker for work"));
    assert_eq!(
        subject.sweep(&[]).await,
        SweepReport::default(),
        "told once"
    );
    subject.join().await;
    assert_eq!(subject.sweep(&[]).await, unblocked(uuid));
    let record = subject.task(uuid).await;
    assert_eq!((record.state, record.reason), (TaskState::Running, None));
    assert_eq!(subject.states_passed(uuid).await, ["blocked", "running"]);
}

/// Its own task can be run, the other cannot.
pub async fn a_process_for_one_task_counts_for_that_task_alone(subject: Subject) {
    let own = subject.submit(DIAMOND).await;
    let other = subject.submit(DIAMOND).await;
    let mut registration = subject.registration(&[WORK]);
    registration.only_task = Some(own);
    subject
        .store
        .register_process(registration.clone())
        .await
        .unwrap();
    assert_eq!(subject.sweep(&[]).await, blocked(other));
    registration.only_task = Some(other);
    subject.store.register_process(registration).await.unwrap();
    let report = subject.sweep(&[]).await;
    assert_eq!((report.blocked, report.unblocked), (vec![own], vec![other]));
}

/// Not while a step runs, and not while another one could.
pub async fn a_task_with_something_to_do_is_not_blocked(subject: Subject) {
    let mut new = task(&[("mine", &[]), ("alien", &[])]);
    new.steps[1].callable = "alien".into();
    let uuid = subject.submit_task(new).await;
    assert_eq!(
        subject.sweep(&[]).await,
        SweepReport::default(),
        "one can be run"
    );
    let mine = subject.claim_one().await;
    assert_eq!(subject.sweep(&[]).await, SweepReport::default(), "one runs");
    subject.succeed(&mine).await;
    assert_eq!(subject.sweep(&[]).await, blocked(uuid));
    let reason = subject.task(uuid).await.reason;
    assert_eq!(reason.as_deref(), Some("no live worker for alien"));
}

/// A process that nobody heard of may still claim.
pub async fn a_claim_ends_the_block(subject: Subject) {
    let uuid = subject.submit(DIAMOND).await;
    subject.leave().await;
    subject.sweep(&[]).await;
    subject.claim_one().await;
    let record = subject.task(uuid).await;
    assert_eq!((record.state, record.reason), (TaskState::Running, None));
    assert_eq!(subject.states_passed(uuid).await, ["blocked", "running"]);
}

/// Neither one without a heartbeat for too long, nor one that is known to be dead.
pub async fn a_silent_process_does_not_count(subject: Subject) {
    let uuid = subject.submit(DIAMOND).await;
    let mut request = subject.sweep_request(&[]);
    request.process_ttl = Duration::ZERO;
    assert_eq!(subject.store.sweep(request).await.unwrap(), blocked(uuid));
    // It was silent for so long that it is forgotten.
    subject.join().await;
    assert_eq!(subject.sweep(&[]).await, unblocked(uuid));
    assert_eq!(subject.sweep(&[subject.process]).await, blocked(uuid));
}

/// Until then the task waits for time, not for a worker.
pub async fn a_retry_blocks_only_when_it_is_due(subject: Subject) {
    let early = subject.submit(&[("only", &[])]).await;
    let step = subject.claim_one().await;
    subject.fail(&step, Some(LONG)).await;
    let due = subject.submit(&[("only", &[])]).await;
    let step = subject.claim_one().await;
    subject.fail(&step, Some(Duration::ZERO)).await;
    subject.leave().await;
    assert_eq!(subject.sweep(&[]).await, blocked(due));
    assert_eq!(subject.state(early).await, TaskState::Waiting);
    subject.join().await;
    assert_eq!(subject.sweep(&[]).await, unblocked(due));
    assert_eq!(subject.state(due).await, TaskState::Waiting);
}

/// In the order of the alphabet, each once; and the reason follows what is missing.
pub async fn every_missing_handler_is_named(subject: Subject) {
    let mut new = task(&[("1", &[]), ("2", &[]), ("3", &[]), ("4", &[0])]);
    for (step, callable) in new.steps.iter_mut().zip(["z", "a", "a", "later"]) {
        step.callable = callable.into();
    }
    let uuid = subject.submit_task(new).await;
    assert_eq!(subject.sweep(&[]).await, blocked(uuid));
    let reason = subject.task(uuid).await.reason;
    assert_eq!(reason.as_deref(), Some("no live worker for a, z"));
}
