//! Leases and the processes that hold them.

use std::time::Duration;

use uuid::Uuid;

use super::subject::{DIAMOND, LONG, Subject, WORK};
use crate::orchestration::state::{StepState, TaskState};
use crate::orchestration::store::{ClaimedStep, Heartbeat, Lease};

/// All leases of the process, and only they.
pub async fn a_heartbeat_renews_and_lists_what_is_held(subject: Subject) {
    let uuid = subject.submit(&[("a", &[]), ("b", &[]), ("c", &[])]).await;
    let other = subject.another().await;
    let foreign = other.claim(1).await.remove(0);
    let mine = subject.claim(10).await;
    let before = subject.steps(uuid).await;
    let heartbeat = subject
        .store
        .heartbeat(subject.process, LONG * 2)
        .await
        .unwrap();
    assert!(heartbeat.registered && heartbeat.stop.is_empty());
    let mut held = heartbeat.held;
    held.sort_by_key(|lease| lease.id);
    let expected: Vec<Lease> = mine.iter().map(ClaimedStep::lease).collect();
    assert_eq!(held, expected);
    let after = subject.steps(uuid).await;
    assert_eq!(after[0], before[0], "another's lease is left alone");
    for step in &after[1..] {
        let left = step.lease_until.unwrap() - step.started_at.unwrap();
        assert!(
            u128::try_from(left).unwrap() >= (LONG * 2).as_millis(),
            "{left}"
        );
    }
    other.succeed(&foreign).await;
    let held = other.store.heartbeat(other.process, LONG).await.unwrap();
    assert_eq!(held.held, []);
    let unknown = subject.store.heartbeat(Uuid::new_v4(), LONG).await.unwrap();
    assert_eq!(unknown, Heartbeat::default());
}

/// As if it had not been claimed, but for the epoch.
pub async fn a_released_step_is_ready_and_its_attempt_does_not_count(subject: Subject) {
    let uuid = subject.submit(&[("only", &[])]).await;
    let first = subject.claim_one().await;
    let released = subject
        .store
        .release(subject.process, vec![first.lease()])
        .await;
    assert_eq!(released.unwrap(), 1);
    let step = subject.step(uuid, 0).await;
    assert_eq!(
        (step.state, step.attempts, step.lost_leases),
        (StepState::Ready, 0, 0)
    );
    assert_eq!((step.epoch, step.owner, step.lease_until), (1, None, None));
    let second = subject.another().await.claim_one().await;
    assert_eq!((second.epoch, second.attempt), (2, 1));
}

/// Not another's, not an earlier one, not twice.
pub async fn leases_no_longer_held_are_not_released(subject: Subject) {
    let uuid = subject.submit(&[("a", &[]), ("b", &[])]).await;
    let steps = subject.claim(10).await;
    let old = Lease {
        epoch: 0,
        ..steps[0].lease()
    };
    let mut unknown = steps[0].lease();
    unknown.id.task_uuid = Uuid::now_v7();
    let leases = vec![old, unknown, steps[1].lease(), steps[1].lease()];
    let by_other = subject.store.release(Uuid::new_v4(), leases.clone()).await;
    assert_eq!(by_other.unwrap(), 0);
    let released = subject.store.release(subject.process, leases).await;
    assert_eq!(released.unwrap(), 1);
    assert_eq!(
        subject.step_states(uuid).await,
        [StepState::Running, StepState::Ready]
    );
    assert_eq!(subject.step(uuid, 1).await.attempts, 0, "released once");
}

/// And is known no more.
pub async fn a_process_that_leaves_gives_everything_back(subject: Subject) {
    let uuid = subject.submit(&[("a", &[]), ("b", &[])]).await;
    let other = subject.another().await;
    let mut request = other.request(1);
    request.lease = Duration::ZERO;
    other.store.claim(request).await.unwrap();
    let kept = subject.claim_one().await;
    other.leave().await;
    other.leave().await;
    assert_eq!(
        subject.step_states(uuid).await,
        [StepState::Ready, StepState::Running]
    );
    assert_eq!(subject.step(uuid, 0).await.attempts, 0);
    let known = subject.store.processes().await.unwrap();
    assert_eq!(known.len(), 1);
    assert_eq!(
        (known[0].registration.process, known[0].leases),
        (subject.process, 1)
    );
    subject.succeed(&kept).await;
    assert_eq!(subject.state(uuid).await, TaskState::Running);
}

/// With what others need to tell whether it lives.
pub async fn processes_are_listed_as_they_registered(subject: Subject) {
    let uuid = subject.submit(DIAMOND).await;
    let other = subject.another().await;
    let mut registration = other.registration(&["a", "it's \"b\""]);
    registration.only_task = Some(uuid);
    registration.pid = u32::MAX;
    other
        .store
        .register_process(registration.clone())
        .await
        .unwrap();
    subject.claim_one().await;
    let mut known = subject.store.processes().await.unwrap();
    known.sort_by_key(|record| record.registration.only_task);
    assert_eq!(known.len(), 2);
    assert_eq!(known[0].registration, subject.registration(&[WORK]));
    assert_eq!(known[0].leases, 1);
    assert_eq!(known[1].registration, registration);
    assert_eq!(known[1].leases, 0);
    assert!(known[0].silent_ms < 60_000);
}

/// A process that says something new of itself.
pub async fn registering_again_replaces(subject: Subject) {
    let registration = subject.registration(&["new"]);
    subject
        .store
        .register_process(registration.clone())
        .await
        .unwrap();
    let known = subject.store.processes().await.unwrap();
    assert_eq!(known.len(), 1);
    assert_eq!(known[0].registration, registration);
}
