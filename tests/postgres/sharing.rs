//! Several stores on one database, as several processes have them.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use postroom::orchestration::state::{StepState, TaskState};
use postroom::orchestration::store::postgres::{PostgresOptions, PostgresStore};
use postroom::orchestration::store::{
    ClaimedStep, Operation, OperationKind, StepId, Store, Submission, SweepRequest,
};
use sqlx::{Connection, Executor, PgConnection, Row};
use tokio::task::JoinSet;
use tokio::time::timeout;
use uuid::Uuid;

use super::cluster;
use super::kit::{
    assert_sound, chain, claim, open, open_with, request, run_out, submit, succeed, success, task,
};

async fn count(conn: &mut PgConnection, statement: &'static str) -> i64 {
    conn.fetch_one(statement).await.unwrap().get(0)
}

async fn two(url: &str) -> [Arc<PostgresStore>; 2] {
    [Arc::new(open(url).await), Arc::new(open(url).await)]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn o03_two_processes_share_the_work_and_never_a_step() {
    let url = cluster::database().await;
    let stores = two(&url).await;
    // One wide task: its steps are claimed beside each other.
    let roots: Vec<&[u32]> = (0..200).map(|_| &[][..]).collect();
    let wide = submit(&stores[0], task(&roots)).await;
    for number in 0..40 {
        submit(&stores[number % 2], chain()).await;
    }
    let mut working = JoinSet::new();
    for worker in 0..6 {
        let store = Arc::clone(&stores[worker % 2]);
        working.spawn(async move {
            let process = Uuid::new_v4();
            let mut done = Vec::new();
            let mut idle = 0;
            while idle < 20 {
                let steps = claim(&store, process, 3).await;
                idle = if steps.is_empty() { idle + 1 } else { 0 };
                for step in &steps {
                    succeed(&store, step, process).await;
                    done.push(step.id);
                }
                tokio::task::yield_now().await;
            }
            done
        });
    }
    let mut done: Vec<StepId> = working.join_all().await.into_iter().flatten().collect();
    let last = Uuid::new_v4();
    while let [step, ..] = &claim(&stores[0], last, 1).await[..] {
        succeed(&stores[0], step, last).await;
        done.push(step.id);
    }
    assert_eq!(done.len(), 360);
    assert_eq!(done.into_iter().collect::<HashSet<_>>().len(), 360);
    let record = stores[1].task(wide).await.unwrap().unwrap();
    assert_eq!(record.state, TaskState::Complete);
    for store in &stores {
        assert_sound(store).await;
        store.close().await;
    }
}

/// The same identities in opposite orders, and all kinds of intents on the same tasks: everything is answered,
/// and no deadlock has to be broken.
///
/// With one writer each. A claim that skips locked rows waits all the same where the server follows the versions of a
/// task that an operator holds; with more transactions at once it may hold a step then that the operator waits for. The
/// server breaks that, and it is tried again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn o02_transactions_lock_in_one_order_and_never_wait_for_each_other() {
    let url = cluster::database().await;
    let one = PostgresOptions::default().writers(1);
    let stores = [
        Arc::new(open_with(&url, one.clone()).await),
        Arc::new(open_with(&url, one).await),
    ];
    let tasks: Vec<_> = (0..200).map(|_| chain()).collect();
    let mut submitting = JoinSet::new();
    for (number, store) in stores.iter().enumerate() {
        let (store, mut tasks) = (Arc::clone(store), tasks.clone());
        if number == 1 {
            tasks.reverse();
        }
        submitting.spawn(async move {
            let mut created = 0;
            for tasks in tasks.chunks(20) {
                let mut tasks = tasks.to_vec();
                for task in &mut tasks {
                    task.task_uuid = Uuid::now_v7();
                }
                for answer in store.submit(tasks).await.unwrap() {
                    created += usize::from(matches!(answer, Ok(Submission::Created { .. })));
                }
            }
            created
        });
    }
    let created: usize = submitting.join_all().await.into_iter().sum();
    assert_eq!(created, 200, "each once");

    let mut working = JoinSet::new();
    for worker in 0..4 {
        let store = Arc::clone(&stores[worker % 2]);
        working.spawn(async move {
            let process = Uuid::new_v4();
            for round in 0..40_u32 {
                let steps = claim(&store, process, 10).await;
                let (give_back, complete) = steps.split_at(steps.len() / 3);
                let completions = complete
                    .iter()
                    .map(|step| super::kit::success(step, process))
                    .collect();
                let leases = give_back.iter().map(ClaimedStep::lease).collect();
                let finalise = steps.iter().map(|step| Operation {
                    task_uuid: step.id.task_uuid,
                    kind: match round % 4 {
                        0 => OperationKind::Cancel {
                            reason: "enough".into(),
                        },
                        _ => OperationKind::Finalise,
                    },
                    process,
                });
                let sweep = SweepRequest {
                    process,
                    dead: Vec::new(),
                    max_lost_leases: 3,
                    process_ttl: Duration::from_mins(1),
                    limit: 100,
                };
                let finalise = finalise.rev().collect();
                let done = tokio::join!(
                    store.complete(completions),
                    store.release(process, leases),
                    store.operate(finalise),
                    store.sweep(sweep),
                    store.heartbeat(process, Duration::from_mins(1)),
                );
                done.0.unwrap();
                done.1.unwrap();
                done.2.unwrap();
                done.3.unwrap();
                done.4.unwrap();
            }
        });
    }
    working.join_all().await;
    assert_sound(&stores[0]).await;
    let mut by_hand = PgConnection::connect(&url).await.unwrap();
    let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    assert_eq!(count(&mut by_hand, deadlocks).await, 0);
    for store in &stores {
        store.close().await;
    }
}

/// Reads and writes take turns on the only connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn o13_one_connection_is_enough() {
    let url = cluster::database().await;
    let store = Arc::new(open_with(&url, PostgresOptions::default().connections(1)).await);
    let mut working = JoinSet::new();
    for _ in 0..8 {
        let store = Arc::clone(&store);
        working.spawn(async move {
            let process = Uuid::new_v4();
            for _ in 0..5 {
                let uuid = submit(&store, chain()).await;
                run_out(&store, process).await;
                assert_eq!(store.steps(uuid).await.unwrap().len(), 4);
            }
        });
    }
    working.join_all().await;
    run_out(&store, Uuid::new_v4()).await;
    assert_sound(&store).await;
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn o12_work_that_another_process_submits_is_run_without_polling() {
    let url = cluster::database().await;
    let [submits, works] = two(&url).await;
    crate::together::o12_a_worker_is_told_of_work(submits, works).await;
}

/// Completes and claims over one store while somebody holds the task of the first step; and the other step over the other
/// store meanwhile. Returns what was claimed.
async fn overtaken(
    url: &str,
    [early, late]: &[Arc<PostgresStore>; 2],
    process: Uuid,
    waiting: Vec<&ClaimedStep>,
    overtaking: &ClaimedStep,
) -> ClaimedStep {
    let mut elsewhere = PgConnection::connect(url).await.unwrap();
    elsewhere.execute("BEGIN").await.unwrap();
    sqlx::query("SELECT 1 FROM postroom.tasks WHERE uuid = $1 FOR UPDATE")
        .bind(waiting[0].id.task_uuid)
        .execute(&mut elsewhere)
        .await
        .unwrap();
    let completions = waiting.into_iter().map(|step| success(step, process));
    let (completions, store) = (completions.collect(), Arc::clone(early));
    let claiming = tokio::spawn(async move {
        let both = store.complete_and_claim(completions, request(process, 1));
        both.await.unwrap().1
    });
    // It waits, and the clock, in milliseconds, has gone on since it began to.
    let waits = "SELECT count(*) FROM pg_stat_activity
                 WHERE datname = current_database() AND wait_event_type = 'Lock'
                    AND clock_timestamp() > query_start + interval '2 ms'";
    let mut watcher = PgConnection::connect(url).await.unwrap();
    let waits = async { while count(&mut watcher, waits).await == 0 {} };
    timeout(Duration::from_mins(1), waits).await.unwrap();
    succeed(late, overtaking, process).await;
    elsewhere.execute("ROLLBACK").await.unwrap();
    claiming.await.unwrap().remove(0)
}

/// A transaction that began before a parent ended, and claims the child afterwards, does not date it back: neither a child
/// that another transaction has readied, nor one that it readies itself; whether it asks first what waits or not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_child_starts_when_its_parents_have_ended() {
    for (joins, quiet) in [(false, false), (false, true), (true, false), (true, true)] {
        for connections in [1, 5] {
            a_parent_is_overtaken(joins, quiet, connections).await;
        }
    }
}

async fn a_parent_is_overtaken(joins: bool, quiet: bool, connections: u32) {
    let url = cluster::database().await;
    let options = PostgresOptions::default().connections(connections);
    let stores = [
        Arc::new(open_with(&url, options).await),
        Arc::new(open(&url).await),
    ];
    let process = Uuid::new_v4();
    let store = &stores[0];
    submit(store, task(&[&[]])).await;
    let parents: &[&[u32]] = if joins {
        &[&[], &[], &[0, 1]]
    } else {
        &[&[], &[0]]
    };
    let family = submit(store, task(parents)).await;
    let steps = claim(store, process, 3).await;
    if quiet {
        assert!(claim(store, process, 1).await.is_empty());
    }
    let (waiting, overtaking) = match &steps[..] {
        [single, one] => (vec![single], one),
        [single, one, other] => (vec![single, other], one),
        steps => panic!("{steps:?}"),
    };
    let child = overtaken(&url, &stores, process, waiting, overtaking).await;
    assert_eq!(child.id.task_uuid, family);
    let steps = store.steps(family).await.unwrap();
    let index = child.id.index as usize;
    for &parent in parents[index] {
        let ended = steps[parent as usize].ended_at;
        assert!(
            steps[index].started_at >= ended,
            "{joins} {quiet} {connections}: {steps:?}"
        );
    }
    for store in stores {
        store.close().await;
    }
}

/// Others are told of work, and are not told when there is none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn o12_another_process_is_told_of_new_work() {
    let url = cluster::database().await;
    let stores = two(&url).await;
    for store in &stores {
        let registration = postroom::orchestration::store::ProcessRegistration {
            process: Uuid::new_v4(),
            host: "host".into(),
            pid: 1,
            pid_birth: String::new(),
            callables: vec!["work".into()],
            serves: Vec::new(),
            only_task: None,
        };
        store.register_process(registration).await.unwrap();
    }
    let mut hints = stores[1].hints().unwrap();
    // Listening has begun when a notification arrives; those before it may be missed.
    let told = async {
        loop {
            submit(&stores[0], chain()).await;
            let woken = timeout(Duration::from_millis(100), hints.next()).await;
            if woken.is_ok() {
                return;
            }
        }
    };
    timeout(Duration::from_secs(30), told)
        .await
        .expect("to be told");
    for store in &stores {
        store.close().await;
    }
}

/// Text that the database cannot hold does no harm to anybody.
#[tokio::test]
async fn o02_the_character_zero_harms_nobody() {
    use postroom::orchestration::store::{Completion, StepFailure, StepOutcome};
    let url = cluster::database().await;
    let store = open(&url).await;
    let process = Uuid::new_v4();
    let uuid = submit(&store, task(&[&[], &[]])).await;
    let steps = claim(&store, process, 2).await;
    let failed = Completion {
        outcome: StepOutcome::Failure {
            failure: StepFailure {
                kind: "error".into(),
                message: "a\0b".into(),
                retryable: false,
                retry_after: None,
            },
            retry_in: None,
        },
        ..super::kit::success(&steps[0], process)
    };
    let good = super::kit::success(&steps[1], process);
    store.complete(vec![failed, good]).await.unwrap();
    let stored = store.steps(uuid).await.unwrap();
    assert_eq!(stored[0].error.as_deref(), Some("error: a\u{FFFD}b"));
    assert_eq!(stored[1].state, StepState::Complete);
    store.close().await;
}
