//! Dead letters, and what is deleted or forgotten in time.

use std::time::Duration;

use super::subject::{DIAMOND, LONG, Subject, task};
use crate::orchestration::state::TaskState;
use crate::orchestration::store::{
    CleanupRequest, DeadLetterFilter, OperationKind, SweepReport, TaskFilter,
};

fn request(older_than: Duration, after: Option<u64>, limit: u32) -> CleanupRequest {
    CleanupRequest {
        older_than,
        after,
        limit,
        dry_run: false,
    }
}

/// With the reason, as long as nobody has dealt with it.
pub async fn failed_steps_are_dead_letters_until_they_are_dealt_with(subject: Subject) {
    let uuid = subject.submit(DIAMOND).await;
    let top = subject.claim_one().await;
    subject.fail(&top, None).await;
    let mut other = task(&[("a", &[]), ("b", &[])]);
    other.namespace = "other".into();
    let other = subject.submit_task(other).await;
    let steps = subject.claim(10).await;
    subject.fail(&steps[1], None).await;
    let all = DeadLetterFilter::default();
    let letters = subject.store.dead_letters(all.clone()).await.unwrap();
    let found: Vec<_> = letters
        .iter()
        .map(|letter| (letter.task_uuid, letter.step.as_str(), letter.task_state))
        .collect();
    let expected = [
        (other, "b", TaskState::Running),
        (uuid, "top", TaskState::Failed),
    ];
    assert_eq!(found, expected);
    let letter = &letters[1];
    assert_eq!(letter.error.as_deref(), Some("error: broken"));
    assert_eq!((letter.attempts, letter.max_attempts), (1, 3));
    assert!(letter.failed_at.is_some());
    let of_default = DeadLetterFilter {
        namespace: Some("default".into()),
        ..all.clone()
    };
    let of_default = subject.store.dead_letters(of_default).await.unwrap();
    assert_eq!(of_default, letters[1..]);
    let one = DeadLetterFilter {
        limit: 1,
        ..all.clone()
    };
    assert_eq!(subject.store.dead_letters(one).await.unwrap(), letters[..1]);
    subject.operate(uuid, OperationKind::Retry).await;
    subject.succeed(&steps[0]).await;
    subject.cancel(other).await;
    let resolve = OperationKind::Resolve {
        reason: String::new(),
    };
    subject.operate(other, resolve).await;
    assert_eq!(subject.store.dead_letters(all).await.unwrap(), []);
}

/// With everything that belonged to them; what is unfinished or too young stays.
pub async fn what_ended_long_ago_is_deleted(subject: Subject) {
    let mut new = task(DIAMOND);
    let identity = new.identity;
    let done = subject.submit_task(new.clone()).await;
    subject.run_out().await;
    let open = subject.submit(DIAMOND).await;
    let young = subject
        .store
        .cleanup(request(LONG, None, 100))
        .await
        .unwrap();
    assert_eq!(young.tasks, 0);
    let mut dry = request(Duration::ZERO, None, 100);
    dry.dry_run = true;
    assert_eq!(subject.store.cleanup(dry).await.unwrap().tasks, 1);
    assert_eq!(subject.state(done).await, TaskState::Complete);
    let report = subject.store.cleanup(request(Duration::ZERO, None, 100));
    assert_eq!(report.await.unwrap().tasks, 1);
    assert_eq!(subject.store.task(done).await.unwrap(), None);
    assert_eq!(subject.store.steps(done).await.unwrap(), []);
    assert_eq!(subject.store.history(done).await.unwrap(), []);
    assert_eq!(subject.store.definition(done).await.unwrap(), None);
    let left = subject.store.tasks(TaskFilter::default()).await.unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].task_uuid, open);
    // What is deleted is forgotten: the same again is new.
    new.task_uuid = uuid::Uuid::now_v7();
    assert_eq!(new.identity, identity);
    subject.submit_task(new).await;
    assert_eq!(subject.run_out().await.len(), 8);
}

/// Each looks at no more than its limit, and the next goes on behind it.
pub async fn deleting_goes_on_batch_by_batch(subject: Subject) {
    for _ in 0..5 {
        subject.submit(&[("only", &[])]).await;
    }
    let open = subject.claim(5).await;
    for step in &open[1..] {
        subject.succeed(step).await;
    }
    let (mut after, mut batches) = (None, Vec::new());
    loop {
        let batch = request(Duration::ZERO, after, 2);
        let report = subject.store.cleanup(batch).await.unwrap();
        batches.push(report.tasks);
        after = report.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(batches, [1, 2, 1, 0]);
    subject.succeed(&open[0]).await;
}

/// Unless it still holds something; and it is told to register again if it lives after all.
pub async fn a_process_silent_for_long_is_forgotten(subject: Subject) {
    let silent = subject.another().await;
    subject.submit(&[("only", &[])]).await;
    let step = silent.claim_one().await;
    let mut sweep = subject.sweep_request(&[]);
    sweep.process_ttl = Duration::ZERO;
    subject.store.sweep(sweep.clone()).await.unwrap();
    let known = subject.store.processes().await.unwrap();
    let known: Vec<_> = known.iter().map(|it| it.registration.process).collect();
    assert_eq!(known, [silent.process], "it holds a lease");
    silent.succeed(&step).await;
    assert_eq!(
        subject.store.sweep(sweep).await.unwrap(),
        SweepReport::default()
    );
    assert_eq!(subject.store.processes().await.unwrap(), []);
    let heartbeat = silent.store.heartbeat(silent.process, LONG).await.unwrap();
    assert!(!heartbeat.registered);
    silent.join().await;
    let heartbeat = silent.store.heartbeat(silent.process, LONG).await.unwrap();
    assert!(heartbeat.registered);
}
