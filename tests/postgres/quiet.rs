//! Claims where the last one has found nothing: what a transaction readies starts with all else that it writes, and what
//! should not start does not.

use std::time::Duration;

use postroom::orchestration::state::{FailurePolicy, StepState, TaskState};
use postroom::orchestration::store::postgres::{PostgresOptions, PostgresStore};
use postroom::orchestration::store::{
    ClaimedStep, Completion, NewTask, StepFailure, StepOutcome, Store, TemplateSelector,
};
use uuid::Uuid;

use super::kit::{
    assert_sound, claim, open_with, quiet, request, states, submit, succeed, success, task,
    with_handlers,
};

/// Submits a task and claims in the same commit.
async fn submit_and_claim(store: &PostgresStore, task: NewTask, process: Uuid) -> Vec<ClaimedStep> {
    let both = store.submit_and_claim(vec![task], request(process, 10));
    let (submitted, steps) = both.await.unwrap();
    assert!(submitted.iter().all(Result::is_ok), "{submitted:?}");
    steps
}

/// Completes a step and claims in the same commit.
async fn complete_and_claim(
    store: &PostgresStore,
    step: &ClaimedStep,
    process: Uuid,
    limit: u32,
) -> Vec<ClaimedStep> {
    let both = store.complete_and_claim(vec![success(step, process)], request(process, limit));
    both.await.unwrap().1
}

fn failure(step: &ClaimedStep, process: Uuid, retry_in: Option<Duration>) -> Completion {
    let failure = StepFailure {
        kind: "error".into(),
        message: "not yet".into(),
        retryable: retry_in.is_some(),
        retry_after: None,
    };
    Completion {
        outcome: StepOutcome::Failure { failure, retry_in },
        ..success(step, process)
    }
}

fn names(steps: &[ClaimedStep]) -> Vec<&str> {
    steps.iter().map(|step| &*step.name).collect()
}

/// The task is complete, and nothing is wrong.
async fn end_complete(store: PostgresStore, task: Uuid) {
    let state = store.task(task).await.unwrap().unwrap().state;
    assert_eq!(state, TaskState::Complete);
    assert_sound(&store).await;
    store.close().await;
}

#[tokio::test]
async fn a_join_brings_the_results_of_all_its_parents() {
    let (_url, store, process) = quiet().await;
    let first = submit_and_claim(&store, task(&[&[], &[0], &[0], &[1, 2]]), process).await;
    let task_uuid = first[0].id.task_uuid;
    let sides = complete_and_claim(&store, &first[0], process, 10).await;
    assert_eq!(names(&sides), ["1", "2"]);
    for side in &sides {
        let parents: Vec<_> = side.parents.iter().map(|one| &*one.result_json).collect();
        assert_eq!(parents, [r#""0""#]);
        assert_eq!((side.epoch, side.attempt), (1, 1));
    }
    assert!(
        complete_and_claim(&store, &sides[0], process, 10)
            .await
            .is_empty()
    );
    let join = complete_and_claim(&store, &sides[1], process, 10).await;
    let parents: Vec<_> = join[0]
        .parents
        .iter()
        .map(|one| &*one.result_json)
        .collect();
    assert_eq!(parents, [r#""1""#, r#""2""#]);
    let lease = store.steps(task_uuid).await.unwrap()[3].lease_until;
    assert!(lease.is_some());
    let last = complete_and_claim(&store, &join[0], process, 10).await;
    assert!(last.is_empty());
    end_complete(store, task_uuid).await;
}

#[tokio::test]
async fn a_child_with_another_handler_is_left_to_those_who_have_it() {
    let (_url, store, process) = quiet().await;
    let mixed = with_handlers(task(&[&[], &[0], &[0]]), &["work", "work", "paint"]);
    let first = submit_and_claim(&store, mixed, process).await;
    let task_uuid = first[0].id.task_uuid;
    let ours = complete_and_claim(&store, &first[0], process, 10).await;
    assert_eq!(names(&ours), ["1"]);
    let expected = [StepState::Complete, StepState::Running, StepState::Ready];
    assert_eq!(states(&store, task_uuid).await, expected);
    assert_sound(&store).await;
    let painter = Uuid::new_v4();
    let mut paints = request(painter, 10);
    paints.callables = vec!["paint".into()];
    let theirs = store.claim(paints).await.unwrap().steps;
    assert_eq!(names(&theirs), ["2"]);
    succeed(&store, &theirs[0], painter).await;
    let last = complete_and_claim(&store, &ours[0], process, 10).await;
    assert!(last.is_empty());
    end_complete(store, task_uuid).await;
}

#[tokio::test]
async fn no_more_children_start_than_are_asked_for() {
    let (_url, store, process) = quiet().await;
    let first = submit_and_claim(&store, task(&[&[], &[0], &[0], &[0]]), process).await;
    let one = complete_and_claim(&store, &first[0], process, 1).await;
    assert_eq!(names(&one), ["1"]);
    let rest = complete_and_claim(&store, &one[0], process, 10).await;
    assert_eq!(names(&rest), ["2", "3"]);
    assert_sound(&store).await;
    store.close().await;
}

#[tokio::test]
async fn what_others_have_submitted_has_its_turn_before_children() {
    let (url, store, process) = quiet().await;
    let elsewhere = open_with(&url, PostgresOptions::default()).await;
    let first = submit_and_claim(&store, task(&[&[], &[0]]), process).await;
    let mut urgent = task(&[&[]]);
    urgent.priority = 10;
    let urgent = submit(&elsewhere, urgent).await;
    let next = complete_and_claim(&store, &first[0], process, 1).await;
    assert_eq!(next[0].id.task_uuid, urgent);
    let child = complete_and_claim(&store, &next[0], process, 1).await;
    assert_eq!(names(&child), ["1"]);
    assert_sound(&store).await;
    store.close().await;
    elsewhere.close().await;
}

#[tokio::test]
async fn the_urgent_one_of_two_that_are_submitted_together_starts() {
    let (_url, store, process) = quiet().await;
    let (patient, mut urgent) = (task(&[&[]]), task(&[&[]]));
    urgent.priority = 10;
    let urgent_uuid = urgent.task_uuid;
    let both = store.submit_and_claim(vec![patient, urgent], request(process, 1));
    let steps = both.await.unwrap().1;
    assert_eq!(steps[0].id.task_uuid, urgent_uuid);
    assert_sound(&store).await;
    store.close().await;
}

#[tokio::test]
async fn a_step_that_is_tried_again_is_found_when_it_is_due() {
    let (_url, store, process) = quiet().await;
    let first = submit_and_claim(&store, task(&[&[]]), process).await;
    let failed = failure(&first[0], process, Some(Duration::ZERO));
    // Due at once: the claim of the same commit finds it.
    let both = store.complete_and_claim(vec![failed], request(process, 1));
    let again = both.await.unwrap().1;
    assert_eq!((again[0].epoch, again[0].attempt), (2, 2));
    assert_sound(&store).await;
    store.close().await;
}

/// What stops one task is written before the claim, and the other's step is found all the same.
#[tokio::test]
async fn a_step_that_is_tried_again_is_found_beside_a_task_that_fails_fast() {
    let (_url, store, process) = quiet().await;
    let mut strict = task(&[&[], &[]]);
    strict.failure_policy = FailurePolicy::FailFast;
    let strict_steps = submit_and_claim(&store, strict, process).await;
    let other_steps = submit_and_claim(&store, task(&[&[], &[]]), process).await;
    assert_eq!((strict_steps.len(), other_steps.len()), (2, 2));
    assert!(claim(&store, process, 1).await.is_empty());
    let failed = vec![
        failure(&strict_steps[0], process, None),
        failure(&other_steps[0], process, Some(Duration::ZERO)),
    ];
    let both = store.complete_and_claim(failed, request(process, 1));
    let again = both.await.unwrap().1;
    assert_eq!(again[0].id, other_steps[0].id);
    assert_sound(&store).await;
    store.close().await;
}

#[tokio::test]
async fn a_child_of_a_template_that_is_not_served_does_not_start() {
    let (_url, store, process) = quiet().await;
    let first = submit_and_claim(&store, task(&[&[], &[0]]), process).await;
    let mut other = request(process, 10);
    other.serves = vec![TemplateSelector::namespace("elsewhere")];
    let both = store.complete_and_claim(vec![success(&first[0], process)], other);
    assert!(both.await.unwrap().1.is_empty());
    let expected = [StepState::Complete, StepState::Ready];
    assert_eq!(states(&store, first[0].id.task_uuid).await, expected);
    assert_eq!(names(&claim(&store, process, 10).await), ["1"]);
    assert_sound(&store).await;
    store.close().await;
}

/// Words that mean something in an array or in a string are not put into one.
#[tokio::test]
async fn handlers_may_have_any_name() {
    let (_url, store, process) = quiet().await;
    for name in ["null", "a,b", "{}", "it's", "\"", "\\", "", " x ", "ü"] {
        let named = with_handlers(task(&[&[], &[0]]), &[name, name]);
        let mut asked = request(process, 10);
        asked.callables = vec![name.to_owned(), "work".to_owned()];
        assert!(store.claim(asked.clone()).await.unwrap().steps.is_empty());
        let both = store.submit_and_claim(vec![named], asked.clone());
        let first = both.await.unwrap().1;
        assert_eq!(names(&first), ["0"], "{name:?}");
        let both = store.complete_and_claim(vec![success(&first[0], process)], asked.clone());
        let second = both.await.unwrap().1;
        assert_eq!(names(&second), ["1"], "{name:?}");
        let both = store.complete_and_claim(vec![success(&second[0], process)], asked);
        assert!(both.await.unwrap().1.is_empty(), "{name:?}");
    }
    assert_sound(&store).await;
    store.close().await;
}
