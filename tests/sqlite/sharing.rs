//! Several stores on one file, as several processes have them.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use postroom::orchestration::state::TaskState;
use postroom::orchestration::store::sqlite::SqliteOptions;
use postroom::orchestration::store::{CompletionOutcome, StepId, Store, StoreError};
use sqlx::SqliteConnection;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::kit::{assert_sound, chain, claim, open, open_with, place, raw, submit, success, wide};
use crate::{outage, together};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn o03_two_processes_share_the_work_and_never_a_step() {
    let (_folder, path) = place();
    let stores = [Arc::new(open(&path).await), Arc::new(open(&path).await)];
    let mut tasks = Vec::new();
    for number in 0..40 {
        tasks.push(submit(&stores[number % 2], chain(4)).await);
    }
    let mut working = JoinSet::new();
    for worker in 0..6 {
        let (store, tasks) = (Arc::clone(&stores[worker % 2]), tasks.clone());
        working.spawn(async move {
            let process = Uuid::new_v4();
            let mut done = Vec::new();
            loop {
                let steps = claim(&store, process, 3).await;
                for step in &steps {
                    let outcome = store.complete(vec![success(step, process)]).await.unwrap();
                    assert!(
                        matches!(outcome[..], [CompletionOutcome::Recorded { .. }]),
                        "{outcome:?}"
                    );
                    done.push(step.id);
                }
                if steps.is_empty() {
                    let mut finished = true;
                    for task in &tasks {
                        let record = store.task(*task).await.unwrap().unwrap();
                        finished &= record.state == TaskState::Complete;
                    }
                    if finished {
                        return done;
                    }
                    tokio::task::yield_now().await;
                }
            }
        });
    }
    let done: Vec<StepId> = working.join_all().await.into_iter().flatten().collect();
    assert_eq!(done.len(), 160);
    assert_eq!(done.into_iter().collect::<HashSet<_>>().len(), 160);
    for store in &stores {
        assert_sound(store).await;
        store.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn o12_work_that_another_process_submits_is_run_without_polling() {
    let (_folder, path) = place();
    let (submits, works) = (open(&path).await, open(&path).await);
    together::o12_a_worker_is_told_of_work(Arc::new(submits), Arc::new(works)).await;
}

#[tokio::test]
async fn o13_a_lock_held_for_long_opens_the_breaker() {
    let (_folder, path) = place();
    let bound = Duration::from_millis(50);
    let store = open_with(&path, SqliteOptions::default().busy_timeout(bound)).await;
    outage::o13_a_step_that_ends_in_an_outage_is_recorded_after_it(
        Arc::new(store),
        async || {
            let mut holder = raw(&path).await;
            let begun = sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut holder).await;
            begun.unwrap();
            holder
        },
        async |mut holder: SqliteConnection| {
            let ended = sqlx::raw_sql("ROLLBACK").execute(&mut holder).await;
            ended.unwrap();
        },
    )
    .await;
}

#[tokio::test]
async fn o12_a_lock_held_too_long_is_a_typed_error_and_readers_go_on() {
    let (_folder, path) = place();
    let bound = Duration::from_millis(50);
    let store = open_with(&path, SqliteOptions::default().busy_timeout(bound)).await;
    let task = submit(&store, wide(1)).await;
    let mut holder = raw(&path).await;
    sqlx::raw_sql("BEGIN IMMEDIATE")
        .execute(&mut holder)
        .await
        .unwrap();

    let error = store.submit(vec![chain(1)]).await.unwrap_err();
    let StoreError::Busy {
        waited_ms,
        ref database,
    } = error
    else {
        panic!("{error}");
    };
    assert!(
        waited_ms >= 50 && database.contains("postroom.db"),
        "{error}"
    );
    assert!(error.is_transient());
    assert!(
        store.task(task).await.unwrap().is_some(),
        "readers do not wait"
    );
    assert_sound(&store).await;

    sqlx::raw_sql("COMMIT").execute(&mut holder).await.unwrap();
    submit(&store, chain(1)).await;
    assert_eq!(
        store
            .tasks(postroom::orchestration::store::TaskFilter::default())
            .await
            .unwrap()
            .len(),
        2
    );
    store.close().await;
}

/// A lock that is let go in time is waited for.
#[tokio::test]
async fn o12_a_lock_held_briefly_is_waited_for() {
    let (_folder, path) = place();
    let store = open(&path).await;
    let mut holder = raw(&path).await;
    sqlx::raw_sql("BEGIN IMMEDIATE")
        .execute(&mut holder)
        .await
        .unwrap();
    let submitting = submit(&store, chain(1));
    let letting_go = async {
        // The writer has found it locked by then.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        sqlx::raw_sql("COMMIT").execute(&mut holder).await.unwrap();
    };
    tokio::join!(submitting, letting_go);
    store.close().await;
}
