//! Failed attempts: retried, or final.

use std::time::Duration;

use super::subject::{LONG, Subject, failure, task};
use crate::orchestration::state::{StepState, TaskState};
use crate::orchestration::store::{CompletionOutcome, StepOutcome};

/// Not claimed before its time; the claim says when that is.
pub async fn a_retry_waits_until_it_is_due(subject: Subject) {
    let uuid = subject.submit(&[("only", &[])]).await;
    let step = subject.claim_one().await;
    let outcome = subject.complete(subject.failed(&step, Some(LONG))).await;
    let waits = CompletionOutcome::Recorded {
        step_state: StepState::RetryWait,
        task_state: TaskState::Waiting,
        newly_ready: 0,
        finalised: false,
        stops: false,
    };
    assert_eq!(outcome, waits);
    let claims = subject.claims(10).await;
    assert!(claims.steps.is_empty());
    let next_due = claims.next_due.expect("a retry is waited for");
    assert!(next_due <= LONG && next_due > LONG / 2, "{next_due:?}");
    let record = subject.step(uuid, 0).await;
    assert_eq!(
        (record.attempts, record.owner, record.lease_until),
        (1, None, None)
    );
    assert_eq!(record.error.as_deref(), Some("error: broken"));
    let delay = record.due_at.unwrap() - record.ended_at.unwrap();
    assert_eq!(u128::try_from(delay), Ok(LONG.as_millis()));
    // Somebody who cannot run it has nothing to wait for.
    let mut request = subject.request(10);
    request.callables = vec!["other".into()];
    assert_eq!(subject.store.claim(request).await.unwrap().next_due, None);
}

/// With a higher epoch and one more attempt.
pub async fn a_due_retry_is_claimed_as_the_next_attempt(subject: Subject) {
    let uuid = subject.submit(&[("only", &[])]).await;
    let first = subject.claim_one().await;
    subject.fail(&first, Some(Duration::ZERO)).await;
    let claims = subject.claims(0).await;
    assert_eq!(
        claims.next_due,
        Some(Duration::ZERO),
        "it is due, and was not claimed"
    );
    let second = subject.claim_one().await;
    assert_eq!((second.epoch, second.attempt), (2, 2));
    let record = subject.step(uuid, 0).await;
    assert_eq!(
        (record.state, record.due_at, record.ended_at),
        (StepState::Running, None, None)
    );
    assert_eq!(
        subject.states_passed(uuid).await,
        ["running", "waiting", "running"]
    );
}

/// The store's own word on the time is enough to wait for.
pub async fn a_retry_falls_due_by_itself(subject: Subject) {
    subject.submit(&[("only", &[])]).await;
    let first = subject.claim_one().await;
    subject.fail(&first, Some(Duration::from_millis(30))).await;
    loop {
        let claims = subject.claims(10).await;
        let Some(next_due) = claims.next_due else {
            assert_eq!(claims.steps.len(), 1);
            break;
        };
        tokio::time::sleep(next_due + Duration::from_millis(1)).await;
    }
}

/// A retry that is asked for beyond the last attempt is a failure.
pub async fn without_attempts_left_there_is_no_retry(subject: Subject) {
    let mut new = task(&[("only", &[])]);
    new.steps[0].max_attempts = 2;
    let uuid = subject.submit_task(new).await;
    let first = subject.claim_one().await;
    subject.fail(&first, Some(Duration::ZERO)).await;
    let second = subject.claim_one().await;
    let outcome = subject
        .complete(subject.failed(&second, Some(Duration::ZERO)))
        .await;
    let failed = CompletionOutcome::Recorded {
        step_state: StepState::Failed,
        task_state: TaskState::Failed,
        newly_ready: 0,
        finalised: true,
        stops: false,
    };
    assert_eq!(outcome, failed);
    let record = subject.task(uuid).await;
    assert_eq!(
        record.reason.as_deref(),
        Some("step only failed: error: broken")
    );
    assert_eq!((record.steps_failed, record.steps_complete), (1, 0));
    assert!(record.ended_at.is_some());
}

/// `waiting` means that nothing else is going on.
pub async fn a_task_waits_only_when_nothing_else_goes_on(subject: Subject) {
    let uuid = subject.submit(&[("a", &[]), ("b", &[])]).await;
    let steps = subject.claim(10).await;
    subject.fail(&steps[0], Some(LONG)).await;
    assert_eq!(subject.state(uuid).await, TaskState::Running);
    subject.succeed(&steps[1]).await;
    assert_eq!(subject.state(uuid).await, TaskState::Waiting);
}

/// What does not depend on the failed step runs to its end; what does is not reached.
pub async fn a_failure_leaves_independent_branches_running(subject: Subject) {
    let shape: &[(&str, &[u32])] = &[
        ("bad", &[]),
        ("good", &[]),
        ("after bad", &[0]),
        ("after good", &[1]),
        ("after both", &[2, 3]),
    ];
    let uuid = subject.submit(shape).await;
    let steps = subject.claim(10).await;
    let outcome = subject.complete(subject.failed(&steps[0], None)).await;
    let goes_on = CompletionOutcome::Recorded {
        step_state: StepState::Failed,
        task_state: TaskState::Running,
        newly_ready: 0,
        finalised: false,
        stops: false,
    };
    assert_eq!(outcome, goes_on);
    subject.succeed(&steps[1]).await;
    let last = subject.claim_one().await;
    let outcome = subject.complete(subject.success(&last)).await;
    let ended = CompletionOutcome::Recorded {
        step_state: StepState::Complete,
        task_state: TaskState::Failed,
        newly_ready: 0,
        finalised: true,
        stops: false,
    };
    assert_eq!(outcome, ended);
    let (failed, complete, pending) = (StepState::Failed, StepState::Complete, StepState::Pending);
    assert_eq!(
        subject.step_states(uuid).await,
        [failed, complete, pending, complete, pending]
    );
}

/// Not the one that failed first in time.
pub async fn the_first_failed_step_in_template_order_is_named(subject: Subject) {
    let uuid = subject.submit(&[("a", &[]), ("b", &[]), ("c", &[])]).await;
    let steps = subject.claim(10).await;
    for (step, message) in [(2, "third"), (1, "second")] {
        let mut completion = subject.failed(&steps[step], None);
        completion.outcome = StepOutcome::Failure {
            failure: failure(message),
            retry_in: None,
        };
        subject.complete(completion).await;
    }
    subject.succeed(&steps[0]).await;
    let record = subject.task(uuid).await;
    assert_eq!(record.state, TaskState::Failed);
    assert_eq!(
        record.reason.as_deref(),
        Some("step b failed: error: second")
    );
}

/// The error of an attempt that was made good is history.
pub async fn a_success_after_a_failure_is_a_success(subject: Subject) {
    let uuid = subject.submit(&[("only", &[])]).await;
    let first = subject.claim_one().await;
    subject.fail(&first, Some(Duration::ZERO)).await;
    let second = subject.claim_one().await;
    subject.succeed(&second).await;
    let step = subject.step(uuid, 0).await;
    assert_eq!(
        (step.state, step.attempts, step.error),
        (StepState::Complete, 2, None)
    );
    assert_eq!(subject.state(uuid).await, TaskState::Complete);
}
