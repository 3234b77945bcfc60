//! How intents share commits, and that they do not share their faults.

use std::time::Duration;

use super::kit::join_all;
use postroom::orchestration::state::{StepState, TaskState};
use postroom::orchestration::store::{
    CompletionOutcome, Operation, OperationKind, OperationOutcome, Store, StoreError,
};
use uuid::Uuid;

use super::kit::{assert_sound, chain, claim, open, place, raw, submit, success, wide};

/// All of them are in the mailbox before the writer wakes up: on one thread this is no race.
#[tokio::test(flavor = "current_thread")]
async fn o12_a_hundred_completions_at_once_share_their_commits() {
    let (_folder, path) = place();
    let store = open(&path).await;
    let process = Uuid::new_v4();
    let task = submit(&store, wide(100)).await;
    let steps = claim(&store, process, 100).await;
    assert_eq!(steps.len(), 100);
    let before = store.commits();
    let completing = steps
        .iter()
        .map(|step| store.complete(vec![success(step, process)]));
    let outcomes = join_all(completing).await;
    let commits = store.commits() - before;
    assert!(commits <= 3, "{commits} commits");
    let finalised: Vec<bool> = outcomes
        .into_iter()
        .map(|outcome| match outcome.unwrap()[..] {
            [CompletionOutcome::Recorded { finalised, .. }] => finalised,
            ref other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(finalised.iter().filter(|finalised| **finalised).count(), 1);
    assert_eq!(
        store.task(task).await.unwrap().unwrap().state,
        TaskState::Complete
    );
    assert_sound(&store).await;
    store.close().await;
}

/// Submissions, claims, completions and heartbeats of many callers, mixed.
#[tokio::test(flavor = "current_thread")]
async fn o12_intents_of_all_kinds_share_a_commit() {
    let (_folder, path) = place();
    let store = open(&path).await;
    let process = Uuid::new_v4();
    submit(&store, wide(50)).await;
    let steps = claim(&store, process, 50).await;
    let before = store.commits();
    let mixed = steps.iter().map(|step| async {
        let (submitted, completed, claimed, held) = tokio::join!(
            store.submit(vec![chain(2)]),
            store.complete(vec![success(step, process)]),
            store.claim(super::kit::request(process, 1)),
            store.heartbeat(process, Duration::from_mins(1)),
        );
        submitted.unwrap().remove(0).unwrap();
        assert!(matches!(
            completed.unwrap()[..],
            [CompletionOutcome::Recorded { .. }]
        ));
        assert_eq!(claimed.unwrap().steps.len(), 1);
        held.unwrap();
    });
    join_all(mixed).await;
    let commits = store.commits() - before;
    assert!(commits <= 4, "{commits} commits for 200 intents");
    assert_sound(&store).await;
    store.close().await;
}

/// A fault that nobody foresaw, here a trigger, hits its own intent alone.
#[tokio::test(flavor = "current_thread")]
async fn o02_only_the_intent_at_fault_gets_the_error() {
    let (_folder, path) = place();
    let store = open(&path).await;
    sqlx::raw_sql(
        "CREATE TRIGGER refuse BEFORE INSERT ON postroom_tasks WHEN NEW.name = 'cursed'
         BEGIN SELECT RAISE(ABORT, 'cursed tasks are not welcome'); END",
    )
    .execute(&mut raw(&path).await)
    .await
    .unwrap();
    let tasks: Vec<_> = (0..20)
        .map(|number| {
            let mut task = chain(2);
            if number == 7 {
                task.name = "cursed".into();
            }
            task
        })
        .collect();
    let submitting = tasks.iter().map(|task| store.submit(vec![task.clone()]));
    for (number, answer) in join_all(submitting).await.into_iter().enumerate() {
        let stored = store.task(tasks[number].task_uuid).await.unwrap();
        if number == 7 {
            let error = answer.unwrap_err();
            assert!(matches!(error, StoreError::Failed { .. }), "{error}");
            assert!(error.to_string().contains("not welcome"), "{error}");
            assert_eq!(stored, None);
        } else {
            answer.unwrap().remove(0).unwrap();
            assert!(stored.is_some());
        }
    }
    assert_eq!(
        store
            .tasks(postroom::orchestration::store::TaskFilter::default())
            .await
            .unwrap()
            .len(),
        19
    );
    assert_sound(&store).await;
    store.close().await;
}

/// Callers who go away leave whole intents behind, or nothing of them.
#[tokio::test]
async fn o02_abandoned_callers_leave_nothing_half_done() {
    let (_folder, path) = place();
    let store = std::sync::Arc::new(open(&path).await);
    let mut submitted = Vec::new();
    for number in 0..100 {
        let task = chain(3);
        submitted.push(task.task_uuid);
        let connection = std::sync::Arc::clone(&store);
        let caller = tokio::spawn(async move { drop(connection.submit(vec![task]).await) });
        for _ in 0..number % 7 {
            tokio::task::yield_now().await;
        }
        caller.abort();
    }
    // Whatever was accepted before this is done when this is answered.
    submit(&store, chain(1)).await;
    for uuid in submitted {
        let steps = store.steps(uuid).await.unwrap().len();
        let whole = if store.task(uuid).await.unwrap().is_some() {
            3
        } else {
            0
        };
        assert_eq!(steps, whole);
    }
    assert_sound(&store).await;
    store.close().await;
}

/// The finaliser counts the rows, whatever the counters say; the audit sees both.
#[tokio::test]
async fn o05_the_audit_finds_damage_and_the_finaliser_mends_it() {
    let (_folder, path) = place();
    let store = open(&path).await;
    let process = Uuid::new_v4();
    let task = submit(&store, wide(1)).await;
    claim(&store, process, 1).await;
    let mut by_hand = raw(&path).await;
    sqlx::raw_sql(
        "UPDATE postroom_steps SET state = 'complete', result = '1', owner = NULL, lease_until = NULL",
    )
    .execute(&mut by_hand)
    .await
    .unwrap();
    let violations = store.audit().await.unwrap();
    assert!(
        violations.iter().any(|what| what.contains("counts")),
        "{violations:?}"
    );
    assert!(
        violations.iter().any(|what| what.contains("running")),
        "{violations:?}"
    );
    assert!(
        violations
            .iter()
            .all(|what| what.contains(&task.to_string())),
        "{violations:?}"
    );
    let finalise = Operation {
        task_uuid: task,
        kind: OperationKind::Finalise,
        process,
    };
    let outcomes = store
        .operate(vec![finalise.clone(), finalise])
        .await
        .unwrap();
    let state = TaskState::Complete;
    let expected = [
        OperationOutcome::Applied { state },
        OperationOutcome::NotApplicable { state },
    ];
    assert_eq!(outcomes, expected);
    assert_sound(&store).await;
    assert_eq!(
        store.steps(task).await.unwrap()[0].state,
        StepState::Complete
    );
    store.close().await;
}
