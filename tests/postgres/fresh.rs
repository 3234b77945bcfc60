//! Tasks whose first steps start as they are stored, because nothing else waits: what is written is what a claim writes
//! that comes after, and what should not start does not.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use postroom::orchestration::state::{StepState, TaskState};
use postroom::orchestration::store::postgres::{PostgresOptions, PostgresStore};
use postroom::orchestration::store::{
    ClaimedStep, NewTask, Store, StoreError, Submission, TemplateSelector,
};
use sqlx::{Connection, PgConnection};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::cluster;
use super::kit::{
    assert_sound, claim, open_with, quiet, request, run_out, states, submit, succeed, success,
    task, with_handlers,
};

type Answers = Vec<Result<Submission, StoreError>>;

async fn submit_and_claim(
    store: &PostgresStore,
    tasks: Vec<NewTask>,
    process: Uuid,
    limit: u32,
) -> (Answers, Vec<ClaimedStep>) {
    let both = store.submit_and_claim(tasks, request(process, limit));
    both.await.unwrap()
}

/// All that the store says of a task and of the steps that were handed out, without what differs from task to task.
async fn told(store: &PostgresStore, task: Uuid, steps: &[ClaimedStep], process: Uuid) -> String {
    let mut record = store.task(task).await.unwrap().unwrap();
    assert!(record.started_at >= Some(record.created_at));
    let started_at = record.started_at;
    (record.task_uuid, record.correlation_id) = (Uuid::nil(), Uuid::nil());
    (record.created_at, record.started_at) = (0, started_at.map(|_| 0));
    let mut stored = store.steps(task).await.unwrap();
    for step in &mut stored {
        if step.state == StepState::Running {
            assert_eq!(step.owner, Some(process));
            assert_eq!(step.started_at, started_at);
            assert_eq!(step.lease_until, started_at.map(|at| at + 60_000));
        }
        step.owner = step.owner.map(|_| Uuid::nil());
        step.started_at = step.started_at.map(|_| 0);
        step.lease_until = step.lease_until.map(|_| 0);
    }
    let mut history = store.history(task).await.unwrap();
    for row in &mut history {
        assert_eq!(row.process, Some(process));
        assert_eq!(Some(row.at), started_at);
        (row.at, row.process) = (0, None);
    }
    let steps: Vec<_> = steps
        .iter()
        .map(|step| {
            assert_eq!(step.id.task_uuid, task);
            let (name, callable) = (&step.name, &step.callable);
            let attempts = (step.epoch, step.attempt, step.max_attempts);
            (step.id.index, name, callable, attempts, &step.parents)
        })
        .collect();
    format!("{record:#?}\n{stored:#?}\n{history:#?}\n{steps:#?}")
}

#[tokio::test]
async fn it_is_as_if_they_were_claimed_afterwards() {
    let (_url, store, process) = quiet().await;
    let shape = || with_handlers(task(&[&[], &[], &[], &[0, 2]]), &["work", "paint", "work"]);
    let (at_once, afterwards) = (shape(), shape());
    let correlation = at_once.correlation_id;
    let (at_once_uuid, afterwards_uuid) = (at_once.task_uuid, afterwards.task_uuid);
    let (answers, steps) = submit_and_claim(&store, vec![at_once], process, 10).await;
    assert!(
        matches!(&answers[..], [Ok(Submission::Created { task_uuid })] if *task_uuid == at_once_uuid)
    );
    assert!(steps.iter().all(|step| step.correlation_id == correlation));
    let first = told(&store, at_once_uuid, &steps, process).await;
    submit(&store, afterwards).await;
    let steps = claim(&store, process, 10).await;
    assert_eq!(steps.len(), 2);
    let second = told(&store, afterwards_uuid, &steps, process).await;
    assert_eq!(first, second);
    assert_sound(&store).await;
    store.close().await;
}

#[tokio::test]
async fn they_are_handed_out_as_claims_do() {
    let (_url, store, process) = quiet().await;
    let (early, late, mut urgent) = (task(&[&[], &[]]), task(&[&[]]), task(&[&[], &[], &[0]]));
    urgent.priority = 5;
    let expected = [
        (urgent.task_uuid, 0),
        (urgent.task_uuid, 1),
        (early.task_uuid, 0),
        (early.task_uuid, 1),
        (late.task_uuid, 0),
    ];
    // There is just room for all.
    let (_, steps) = submit_and_claim(&store, vec![early, late, urgent], process, 5).await;
    let places: Vec<_> = steps
        .iter()
        .map(|step| (step.id.task_uuid, step.id.index))
        .collect();
    assert_eq!(places, expected);
    assert!(claim(&store, process, 10).await.is_empty());
    assert_sound(&store).await;
    store.close().await;
}

#[tokio::test]
async fn no_more_start_than_are_asked_for() {
    let (_url, store, process) = quiet().await;
    let two = task(&[&[], &[]]);
    let task_uuid = two.task_uuid;
    let (_, none) = submit_and_claim(&store, vec![two], process, 0).await;
    assert!(none.is_empty());
    assert_eq!(states(&store, task_uuid).await, [StepState::Ready; 2]);
    let record = store.task(task_uuid).await.unwrap().unwrap();
    assert_eq!(
        (record.state, record.started_at),
        (TaskState::Pending, None)
    );
    assert_eq!(claim(&store, process, 10).await.len(), 2);
    assert_sound(&store).await;
    store.close().await;
}

#[tokio::test]
async fn what_waits_has_its_turn_before() {
    let (url, store, process) = quiet().await;
    let elsewhere = open_with(&url, PostgresOptions::default()).await;
    let waiting = submit(&elsewhere, task(&[&[]])).await;
    let (_, steps) = submit_and_claim(&store, vec![task(&[&[]])], process, 1).await;
    assert_eq!(steps[0].id.task_uuid, waiting);
    assert_eq!(claim(&store, process, 10).await.len(), 1);
    assert_sound(&store).await;
    store.close().await;
    elsewhere.close().await;
}

/// Nor is it looked for where something else waits.
#[tokio::test]
async fn what_is_there_already_is_not_claimed_beside_what_waits() {
    let (url, store, process) = quiet().await;
    let elsewhere = open_with(&url, PostgresOptions::default()).await;
    let known = task(&[&[]]);
    let (_, first) = submit_and_claim(&store, vec![known.clone()], process, 10).await;
    assert_eq!(first.len(), 1);
    let waiting = submit(&elsewhere, task(&[&[]])).await;
    let new = task(&[&[]]);
    let expected = [waiting, new.task_uuid];
    let (_, steps) = submit_and_claim(&store, vec![known, new], process, 10).await;
    let started: Vec<_> = steps.iter().map(|step| step.id.task_uuid).collect();
    assert_eq!(started, expected);
    assert_sound(&store).await;
    store.close().await;
    elsewhere.close().await;
}

#[tokio::test]
async fn what_is_there_already_does_not_start_again() {
    let (_url, store, process) = quiet().await;
    let known = task(&[&[]]);
    let (_, first) = submit_and_claim(&store, vec![known.clone()], process, 10).await;
    assert_eq!(first.len(), 1);
    let mut again = task(&[&[]]);
    again.identity = known.identity;
    let (mut same_id, other) = (task(&[&[]]), task(&[&[]]));
    same_id.task_uuid = known.task_uuid;
    let (other_uuid, twice) = (other.task_uuid, other.clone());
    let all = vec![again, other, twice, same_id];
    let (answers, steps) = submit_and_claim(&store, all, process, 10).await;
    let is_known = |answer: &Result<Submission, StoreError>, uuid: Uuid| matches!(answer, Ok(Submission::Duplicate { task_uuid, .. }) if *task_uuid == uuid);
    assert!(is_known(&answers[0], known.task_uuid), "{answers:?}");
    assert!(
        matches!(answers[1], Ok(Submission::Created { .. })),
        "{answers:?}"
    );
    assert!(is_known(&answers[2], other_uuid), "{answers:?}");
    assert!(
        matches!(answers[3], Err(StoreError::Invalid { .. })),
        "{answers:?}"
    );
    let started: Vec<_> = steps.iter().map(|step| step.id.task_uuid).collect();
    assert_eq!(started, [other_uuid]);
    let history = store.history(known.task_uuid).await.unwrap();
    assert_eq!(history.len(), 1);
    assert_sound(&store).await;
    store.close().await;
}

#[tokio::test]
async fn what_is_due_later_is_left_alone() {
    let (_url, store, process) = quiet().await;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let in_an_hour = i64::try_from(now.as_millis()).unwrap() + 3_600_000;
    let (mut later, at_once) = (task(&[&[]]), task(&[&[]]));
    later.run_at = Some(in_an_hour);
    let (later_uuid, at_once_uuid) = (later.task_uuid, at_once.task_uuid);
    let (_, steps) = submit_and_claim(&store, vec![later, at_once], process, 10).await;
    let started: Vec<_> = steps.iter().map(|step| step.id.task_uuid).collect();
    assert_eq!(started, [at_once_uuid]);
    assert_eq!(states(&store, later_uuid).await, [StepState::RetryWait]);
    let due = store.claim(request(process, 10)).await.unwrap();
    assert!(due.steps.is_empty());
    assert!(due.next_due > Some(Duration::from_mins(50)), "{due:?}");
    assert_sound(&store).await;
    store.close().await;
}

#[tokio::test]
async fn what_is_not_served_does_not_start() {
    let (_url, store, process) = quiet().await;
    let other = task(&[&[]]);
    let task_uuid = other.task_uuid;
    let mut elsewhere = request(process, 10);
    elsewhere.serves = vec![TemplateSelector::namespace("elsewhere")];
    let both = store.submit_and_claim(vec![other], elsewhere);
    assert!(both.await.unwrap().1.is_empty());
    assert_eq!(states(&store, task_uuid).await, [StepState::Ready]);
    assert_eq!(claim(&store, process, 10).await.len(), 1);
    assert_sound(&store).await;
    store.close().await;
}

/// What is asked for in one transaction, in which nothing else is done.
#[tokio::test]
async fn claims_of_one_transaction_share_what_is_stored_in_it() {
    let (_url, store, process) = quiet().await;
    let (three, mut urgent) = (task(&[&[], &[], &[]]), task(&[&[]]));
    urgent.priority = 10;
    let (three_uuid, urgent_uuid) = (three.task_uuid, urgent.task_uuid);
    let commits = store.commits();
    // All are asked before the writer has its turn.
    let ((_, first), (_, second), third) = tokio::join!(
        submit_and_claim(&store, vec![three], process, 2),
        submit_and_claim(&store, vec![urgent], process, 2),
        claim(&store, process, 1),
    );
    assert_eq!(store.commits() - commits, 1);
    let places = |steps: &[ClaimedStep]| -> Vec<_> {
        let places = steps.iter().map(|step| (step.id.task_uuid, step.id.index));
        places.collect()
    };
    assert_eq!(places(&first), [(urgent_uuid, 0), (three_uuid, 0)]);
    assert_eq!(places(&second), [(three_uuid, 1), (three_uuid, 2)]);
    assert!(third.is_empty());
    for task in [three_uuid, urgent_uuid] {
        let history = store.history(task).await.unwrap();
        assert_eq!(history.len(), 1);
        assert_eq!(history[0].process, Some(process));
    }
    assert_sound(&store).await;
    store.close().await;
}

#[tokio::test]
async fn claims_of_two_processes_in_one_transaction_take_no_step_twice() {
    let (_url, store, one) = quiet().await;
    let other = Uuid::new_v4();
    let commits = store.commits();
    let ((_, first), (_, second)) = tokio::join!(
        submit_and_claim(&store, vec![task(&[&[], &[]])], one, 3),
        submit_and_claim(&store, vec![task(&[&[], &[]])], other, 3),
    );
    assert_eq!(store.commits() - commits, 1);
    assert_eq!((first.len(), second.len()), (3, 1));
    for (steps, process) in [(first, one), (second, other)] {
        for step in steps {
            let stored = store.steps(step.id.task_uuid).await.unwrap();
            assert_eq!(stored[step.id.index as usize].owner, Some(process));
        }
    }
    assert_sound(&store).await;
    store.close().await;
}

/// A heartbeat that begins with what the process has claimed lately finds what has started as it was stored, or as its
/// parent ended: what is missing in its answer counts as taken away.
#[tokio::test]
async fn a_heartbeat_tells_of_what_has_started_since_the_last() {
    let (_url, store, process) = quiet().await;
    let hour = Duration::from_hours(1);
    let held = async || store.heartbeat(process, hour).await.unwrap().held;
    // Every other one looks at all, beginning with the first.
    assert!(held().await.is_empty());
    let (_, first) = submit_and_claim(&store, vec![task(&[&[], &[0]])], process, 10).await;
    assert_eq!(held().await, [first[0].lease()]);
    let both = store.complete_and_claim(vec![success(&first[0], process)], request(process, 10));
    let child = both.await.unwrap().1;
    assert_eq!(held().await, [child[0].lease()]);
    succeed(&store, &child[0], process).await;
    assert!(held().await.is_empty());
    assert!(held().await.is_empty());
    let (_, first) = submit_and_claim(&store, vec![task(&[&[], &[0]])], process, 10).await;
    assert_eq!(held().await, [first[0].lease()]);
    assert!(held().await.len() == 1);
    let both = store.complete_and_claim(vec![success(&first[0], process)], request(process, 10));
    let child = both.await.unwrap().1;
    assert_eq!(held().await, [child[0].lease()]);
    assert_sound(&store).await;
    store.close().await;
}

/// By it a writer that lost its connection finds out what became of a commit.
#[tokio::test]
async fn each_transaction_that_writes_has_one_row() {
    let (url, store, process) = quiet().await;
    let mut conn = PgConnection::connect(&url).await.unwrap();
    let mut rows = 0;
    let mut more = async |expected: i64| {
        let now: i64 = sqlx::query_scalar("SELECT count(*) FROM postroom.commits")
            .fetch_one(&mut conn)
            .await
            .unwrap();
        assert_eq!(now - rows, expected);
        rows = now;
    };
    more(0).await;
    let known = task(&[&[], &[0]]);
    let (_, first) = submit_and_claim(&store, vec![known.clone()], process, 1).await;
    more(1).await;
    // It is there already.
    let (_, none) = submit_and_claim(&store, vec![known], process, 1).await;
    assert!(none.is_empty());
    more(1).await;
    submit(&store, task(&[&[]])).await;
    more(1).await;
    let both = store.complete_and_claim(vec![success(&first[0], process)], request(process, 2));
    assert_eq!(both.await.unwrap().1.len(), 2);
    more(1).await;
    let mut refused = task(&[&[]]);
    refused.steps.clear();
    let (answers, _) = submit_and_claim(&store, vec![refused], process, 1).await;
    assert!(answers[0].is_err(), "{answers:?}");
    more(0).await;
    store.close().await;
}

/// Whoever submits waits for another one's commit of the same identity, and may have to begin again.
#[tokio::test]
async fn a_start_that_is_tried_again_starts_once() {
    let url = cluster::database().await;
    let options = PostgresOptions::default().writers(1);
    let options = options.statement_timeout(Duration::from_millis(200));
    let store = open_with(&url, options).await;
    let process = Uuid::new_v4();
    assert!(claim(&store, process, 1).await.is_empty());
    let new = task(&[&[], &[0]]);
    let task_uuid = new.task_uuid;
    let mut elsewhere = PgConnection::connect(&url).await.unwrap();
    let mut held = elsewhere.begin().await.unwrap();
    sqlx::query(
        "INSERT INTO postroom.tasks
             (uuid, identity, content, namespace, name, version, state, run, priority, failure_policy,
              correlation_id, submitted_by, steps_total, steps_pending, steps_active, steps_retry_wait,
              steps_satisfied, steps_failed, steps_cancelled, created_at)
         VALUES (gen_random_uuid(), $1, '', '', '', '', 'pending', 1, 0, 'continue', gen_random_uuid(),
                 gen_random_uuid(), 0, 0, 0, 0, 0, 0, 0, 0)",
    )
    .bind(&new.identity[..])
    .execute(&mut *held)
    .await
    .unwrap();
    let waiting = store.submit_and_claim(vec![new], request(process, 5));
    let ends = async {
        // The first attempt has given up when the second one waits: another transaction of the same writer.
        let mut seen = HashSet::new();
        let mut watching = PgConnection::connect(&url).await.unwrap();
        while seen.len() < 2 {
            let waits: Option<String> = sqlx::query_scalar(
                "SELECT xact_start::text FROM pg_stat_activity
                 WHERE datname = current_database() AND wait_event_type = 'Lock'",
            )
            .fetch_optional(&mut watching)
            .await
            .unwrap();
            seen.extend(waits);
        }
        held.rollback().await.unwrap();
    };
    let (both, ()) = tokio::join!(waiting, ends);
    let (answers, steps) = both.unwrap();
    assert!(
        matches!(answers[0], Ok(Submission::Created { .. })),
        "{answers:?}"
    );
    assert_eq!(steps.len(), 1);
    assert_eq!((steps[0].epoch, steps[0].attempt), (1, 1));
    assert_eq!(store.history(task_uuid).await.unwrap().len(), 1);
    assert_sound(&store).await;
    store.close().await;
}

/// However the writers put them together, each step is handed out once.
#[tokio::test]
async fn many_that_come_at_once_start_once_each() {
    let (_url, store, process) = quiet().await;
    let store = Arc::new(store);
    for _ in 0..20 {
        let mut at_once = JoinSet::new();
        for number in 0..16 {
            let store = Arc::clone(&store);
            at_once.spawn(async move {
                let tasks = vec![task(&[&[]]), task(&[&[], &[0]])];
                let limit = if number % 4 == 0 { 0 } else { 3 };
                submit_and_claim(&store, tasks, process, limit).await.1
            });
        }
        for _ in 0..4 {
            let store = Arc::clone(&store);
            at_once.spawn(async move { claim(&store, process, 1).await });
        }
        let mut steps = at_once.join_all().await.concat();
        steps.extend(claim(&store, process, 100).await);
        let places: HashSet<_> = steps.iter().map(|step| step.id).collect();
        assert_eq!((places.len(), steps.len()), (32, 32));
        for step in &steps {
            succeed(&store, step, process).await;
        }
        assert_eq!(run_out(&store, process).await, 16);
    }
    assert_sound(&store).await;
    store.close().await;
}
